//! Makes the failure with exit code and remedy of any error: the one place where `main`, and code that decides by a failure, finds
//! it. Must not print.

use crate::cluster::refusal::Refusal;
use crate::exit::{Exit, Fail};
use crate::io::process::{Ending, ProcessError};
use crate::io::wait;

/// An error that has an exit code, words and a remedy.
pub trait Failure {
    /// All of them.
    fn fail(&self) -> Fail;

    /// The exit code alone.
    fn exit(&self) -> Exit {
        self.fail().exit
    }

    /// Whether a signal ended the work.
    fn is_signal(&self) -> bool {
        matches!(self.exit(), Exit::Signal(_))
    }
}

impl Failure for anyhow::Error {
    fn fail(&self) -> Fail {
        let fail = match (self.downcast_ref::<Fail>(), self.downcast_ref::<ProcessError>()) {
            (Some(fail), _) => fail.clone(),
            (None, Some(error)) => error.fail(),
            (None, None) => return Fail::new(Exit::Failed, format!("{self:#}")),
        };
        // What was put in front on the way; the innermost is the failure itself.
        let contexts = self.chain().count().saturating_sub(1);
        let front: String = self.chain().take(contexts).map(|context| format!("{context}: ")).collect();
        Fail { what: front + &fail.what, ..fail }
    }
}

impl Failure for Fail {
    fn fail(&self) -> Fail {
        self.clone()
    }
}

impl Failure for ProcessError {
    fn fail(&self) -> Fail {
        if let Some(fail) = wait::stopped(self) {
            return fail;
        }
        let what = self.to_string();
        match (&self.ending, self.refusal()) {
            (Ending::NotFound, _) => Fail::new(Exit::Precondition, what)
                .remedy("install kubectl and put it in the PATH; backup-ns needs nothing else"),
            (_, Refusal::Forbidden) if !self.lacks_right() => Fail::new(Exit::Precondition, what)
                .remedy("the API refuses this for a reason of its own, which the message names"),
            (_, Refusal::Forbidden) => Fail::new(Exit::Precondition, what).remedy(
                "grant the verb that the message names; backup-ns doctor lists every rule that a backup lacks, and docs/install.md \
                 the rights that each command needs",
            ),
            (_, Refusal::NoContext) => {
                // Of several kinds at once kubectl says it as often.
                let said = self.said();
                let said = said.lines().next_back().unwrap_or_default().trim_start_matches("error: ");
                Fail::new(Exit::Precondition, format!("kubectl has no cluster to talk to: {said}"))
                    .remedy("name another with --context (kubectl config get-contexts shows them), or another kubeconfig with --kubeconfig")
            }
            (_, Refusal::Unauthenticated) => Fail::new(Exit::Precondition, what)
                .remedy("log in again, or renew the token or certificate of the context; kubectl auth whoami tells whether it is known"),
            (_, Refusal::UnknownKind) => Fail::new(Exit::Precondition, what).remedy(
                "install the VolumeSnapshot CRDs and the snapshot controller (kubernetes-csi/external-snapshotter)",
            ),
            (_, Refusal::Transient) => Fail::new(Exit::Failed, what).remedy(
                "the API server is out of reach or overloaded; check the kubeconfig and the cluster, then run it again",
            ),
            _ => Fail::new(Exit::Failed, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};

    use super::*;
    use crate::core::escape::Secrets;

    #[test]
    fn the_failure_is_found_beneath_what_was_added_on_the_way() {
        let lock = Fail::new(Exit::Lock, "no lock").remedy("wait");
        assert_eq!(anyhow::Error::from(lock.clone()).fail(), lock);
        let deep: Result<()> = Err(lock.clone()).context("inner").context("outer");
        assert_eq!(deep.unwrap_err().fail(), Fail { what: "outer: inner: no lock".into(), ..lock.clone() });
        let none: Result<()> = None.with_context(|| lock.clone());
        assert_eq!(none.unwrap_err().fail(), lock);
    }

    #[test]
    fn an_error_of_kubectl_gets_code_and_remedy_here() {
        let error = |ending| ProcessError {
            command: "kubectl get pods".into(),
            ending,
            stderr: String::new(),
            secrets: Secrets::default(),
        };
        let missing = anyhow::Error::from(error(Ending::NotFound)).context("nothing was read").fail();
        assert_eq!(missing.exit, Exit::Precondition);
        assert!(missing.what.starts_with("nothing was read: `kubectl get pods` cannot be run"), "{missing:?}");
        assert!(missing.remedy.contains("install kubectl"), "{missing:?}");
        assert!(anyhow::Error::from(error(Ending::Signal(15))).is_signal());
        assert_eq!(anyhow::anyhow!("why").context("what").fail(), Fail::new(Exit::Failed, "what: why"));
    }
}
