//! Classifies what kubectl says when it refuses: the one place that reads its words. Must not know what was asked for.

use crate::io::process::{Ending, ProcessError};

/// What kind of refusal kubectl's words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// RBAC says no.
    Forbidden,
    /// The kubeconfig cannot be read, or has no such context.
    NoContext,
    /// The API does not know who asks.
    Unauthenticated,
    /// No such object.
    NotFound,
    /// The API does not know the kind.
    UnknownKind,
    /// An object of that name is there.
    AlreadyExists,
    /// The object is not the one, or not in the version, that the request is for.
    Conflict,
    /// The next page of a list cannot be had any more.
    ListTokenExpired,
    /// The API is away, busy or broken for the moment: asking again may help.
    Transient,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Reads kubectl's stderr. The words are those of k8s.io/apimachinery's status reasons and of Go's network errors.
    pub fn of(stderr: &str) -> Refusal {
        let any = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
        if any(&["(Forbidden)", "is forbidden:", "forbidden: User", ": Forbidden (user="]) {
            Refusal::Forbidden
        } else if stderr.contains("context \"") && stderr.contains("\" does not exist")
            || stderr.contains("error loading config file")
        {
            Refusal::NoContext
        } else if any(&["(Unauthorized)", "You must be logged in", ": Unauthorized"])
            // What fails otherwise may be away for a moment.
            || stderr.contains("getting credentials: ") && any(&[" not found", "no such file"])
        {
            Refusal::Unauthenticated
        } else if any(&["(AlreadyExists)", " already exists"]) {
            Refusal::AlreadyExists
        } else if any(&["(Conflict)", "the object has been modified"]) {
            Refusal::Conflict
        } else if any(&["(Expired)", "(ResourceExpired)", "(Gone)", "continue parameter is too old"]) {
            Refusal::ListTokenExpired
        } else if any(&["doesn't have a resource type", "could not find the requested resource"]) {
            Refusal::UnknownKind
        } else if stderr.contains("executable file not found in $PATH") {
            // The kubelet calls it an internal error, but the container stays without that program.
            Refusal::Other
        } else if any(&["(TooManyRequests)", "(ServiceUnavailable)", "(InternalError)", "(Timeout)", "(ServerTimeout)"])
            || any(&["connection refused", "was refused - did you", "connection reset", "no route to host"])
            || any(&["i/o timeout", "TLS handshake timeout", "Client.Timeout", "context deadline exceeded"])
            || any(&["unexpected EOF", ": EOF", "error reading from server", "http2: ", "broken pipe"])
            || any(&["the server is currently unable", "an error on the server", "apiserver not ready"])
            || any(&["in the time allotted", "has received too many requests", "Too many requests", "ResourceExhausted"])
            || any(&["Unable to connect to the server", "unable to connect to the server", "error dialing backend"])
            || any(&["Internal error occurred", "etcdserver: ", "leader changed"])
            // A kubelet that was just started has not heard of its pods yet; of a pod that is gone the API itself says so.
            || stderr.contains("unable to upgrade ") && stderr.contains(": pod does not exist")
        {
            Refusal::Transient
        } else if any(&["(NotFound)", " not found"]) {
            Refusal::NotFound
        } else {
            Refusal::Other
        }
    }
}

/// Whether the API says that it gets too many requests, as its priority and fairness do.
pub fn is_throttled(words: &str) -> bool {
    ["(TooManyRequests)", "has received too many requests", "Too many requests"].iter().any(|word| words.contains(word))
}

impl ProcessError {
    /// What kind of refusal it is, of kubectl; one that got no answer in time is passing.
    pub fn refusal(&self) -> Refusal {
        match self.ending {
            Ending::TimeOut(_) => Refusal::Transient,
            Ending::Status(_) => Refusal::of(&self.stderr),
            _ => Refusal::Other,
        }
    }

    /// Whether it is this refusal.
    pub fn is(&self, refusal: Refusal) -> bool {
        self.refusal() == refusal
    }

    /// Whether RBAC refused it and names the missing right; a quota or an admission webhook refuses with words of its own.
    pub fn lacks_right(&self) -> bool {
        self.is(Refusal::Forbidden) && self.stderr.contains(" cannot ")
    }

    /// Whether a ResourceQuota refused it.
    pub fn exceeds_quota(&self) -> bool {
        self.stderr.contains("exceeded quota")
    }

    /// Whether a webhook keeps the API from a dry run of this call, which then tells nothing.
    pub fn has_no_dry_run(&self) -> bool {
        self.stderr.contains("does not support dry run")
    }

    /// Whether the namespace of the object does not exist.
    pub fn misses_namespace(&self) -> bool {
        self.is(Refusal::NotFound) && self.stderr.contains("namespaces \"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_a_refusal_says() {
        use std::os::unix::process::ExitStatusExt;
        let of = |stderr: &str| {
            let ending = Ending::Status(std::process::ExitStatus::from_raw(1 << 8));
            let secrets = crate::core::escape::Secrets::default();
            let error = ProcessError { command: String::new(), ending, stderr: stderr.into(), secrets };
            [error.lacks_right(), error.exceeds_quota(), error.has_no_dry_run(), error.misses_namespace()]
        };
        for (stderr, expected) in [
            (r#"(Forbidden): pods is forbidden: User "x" cannot list resource "pods""#, [true, false, false, false]),
            (r#"(Forbidden): pvc "d" is forbidden: exceeded quota: q, requested: 1"#, [false, true, false, false]),
            (r#"(BadRequest): admission webhook "w" does not support dry run"#, [false, false, true, false]),
            (r#"Error from server (NotFound): namespaces "shop" not found"#, [false, false, false, true]),
            (r#"Error from server (NotFound): pods "shop" not found"#, [false; 4]),
        ] {
            assert_eq!(of(stderr), expected, "{stderr}");
        }
    }

    #[test]
    fn refusals_as_kubectl_words_them() {
        use Refusal::*;
        for (stderr, refusal) in [
            (r#"Error from server (Forbidden): pods is forbidden: User "x" cannot list resource "pods""#, Forbidden),
            (
                r#"Error from server (Forbidden): pods "a" is forbidden: User "x" cannot create resource "pods/exec""#,
                Forbidden,
            ),
            ("context \"nope\" does not exist\ncontext \"nope\" does not exist", NoContext),
            (r#"error: error loading config file "/etc/passwd": yaml: line 1: mapping values"#, NoContext),
            ("error: You must be logged in to the server (Unauthorized)", Unauthenticated),
            (
                "error: You must be logged in to the server (the server has asked for the client to provide credentials)",
                Unauthenticated,
            ),
            ("Unable to connect to the server: getting credentials: exec: executable aws not found", Unauthenticated),
            (
                "Unable to connect to the server: getting credentials: exec: executable aws failed with exit code 255",
                Transient,
            ),
            (r#"Error from server (NotFound): pods "x" not found"#, NotFound),
            (r#"error: the server doesn't have a resource type "volumesnapshots""#, UnknownKind),
            (r#"Error from server (NotFound): the server could not find the requested resource"#, UnknownKind),
            (r#"Error from server (AlreadyExists): volumesnapshots "a" already exists"#, AlreadyExists),
            (
                "The connection to the server 10.0.0.1:443 was refused - did you specify the right host or port?",
                Transient,
            ),
            (
                r#"Error from server (Conflict): Operation cannot be fulfilled on volumesnapshots "x": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (2). The object might have been modified"#,
                Conflict,
            ),
            (
                "Error from server (Expired): The provided continue parameter is too old to display a consistent list result.",
                ListTokenExpired,
            ),
            ("Error from server (TooManyRequests): the server has received too many requests", Transient),
            (
                r#"Error from server (InternalError): an error on the server ("unknown") has prevented the request"#,
                Transient,
            ),
            ("Unable to connect to the server: net/http: TLS handshake timeout", Transient),
            ("Error from server: etcdserver: request timed out", Transient),
            ("error: unable to upgrade connection: pod does not exist", Transient),
            ("error: unable to upgrade streaming request: pod does not exist", Transient),
            // kubectl 1.36 leaves out the reason where an exec is refused, which 1.32 puts first.
            (
                r#"error: unable to upgrade connection: pods "p" is forbidden: User "x" cannot create resource "pods/exec""#,
                Forbidden,
            ),
            (
                "error: unable to upgrade connection: Forbidden (user=kube-apiserver, verb=create, resource=nodes)",
                Forbidden,
            ),
            (r#"error: unable to upgrade connection: pods "p" not found"#, NotFound),
            ("error: unable to upgrade connection: Unauthorized", Unauthenticated),
            ("error: unable to upgrade connection: the server has received too many requests", Transient),
            (
                "error: unable to upgrade connection: the server was unable to return a response in the time allotted",
                Transient,
            ),
            (
                r#"error: Internal error occurred: error executing command in container: OCI runtime exec failed: exec: "sh": executable file not found in $PATH"#,
                Other,
            ),
            ("", Other),
        ] {
            assert_eq!(Refusal::of(stderr), refusal, "{stderr}");
        }
    }
}
