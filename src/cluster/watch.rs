//! Follows one VolumeSnapshot until it is where it should be, through one kubectl that watches. Knows snapshots, not what
//! is in them.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::kube::calls::SNAPSHOTS;
use crate::core::kube::objects::{Readiness, Snapshot, SnapshotEvent};
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, Lines};
use crate::io::report::Step;

/// A snapshot that is followed.
pub struct Watch<'a> {
    kubectl: &'a Kubectl,
    /// As it was last seen.
    pub snapshot: Snapshot,
    limit: Duration,
    deadline: Instant,
    lines: Option<Lines>,
    /// The error that was reported last.
    reported: String,
}

impl Watch<'_> {
    /// Follows `snapshot` for at most `limit` in all.
    pub fn of(kubectl: &Kubectl, snapshot: Snapshot, limit: Duration) -> Watch<'_> {
        Watch { kubectl, snapshot, limit, deadline: Instant::now() + limit, lines: None, reported: String::new() }
    }

    /// Waits until the snapshot is where `enough` says. Its error is reported at once, but only the end of
    /// the time decides, because the snapshot controller tries again. A class that is not there is worth no wait.
    ///
    /// # Errors
    /// It did not get there in time or never will, it was deleted, or a signal came. `goal` is the word for it.
    pub fn until(&mut self, goal: &str, step: &Step, enough: impl Fn(&Readiness) -> bool) -> Result<()> {
        loop {
            let readiness = self.snapshot.readiness();
            if enough(&readiness) {
                return Ok(());
            }
            let name = &self.snapshot.metadata.name;
            if let Readiness::Failed(message) = readiness
                && message != self.reported
            {
                if is_classless(&message) {
                    bail!(Fail::new(Exit::Snapshot, format!("the VolumeSnapshot {name} was not {goal}: {message}"))
                        .remedy(format!(
                            "set BAK_VS_CLASS_NAME (--vs-class-name) to one of kubectl get volumesnapshotclasses; as long as there \
                             is no such class, {name} stays as it is; the dump itself is proven and in place"
                        )));
                }
                tracing::warn!(snapshot = name, "the snapshot has an error, waiting on: {message}");
                step.progress(&message);
                self.reported = message;
            }
            match self.next()? {
                Some(SnapshotEvent::Now(snapshot)) => self.snapshot = *snapshot,
                Some(SnapshotEvent::Bookmark) => {}
                Some(SnapshotEvent::Deleted) => {
                    let what = format!("another client deleted the VolumeSnapshot {}", self.snapshot.metadata.name);
                    bail!(Fail::new(Exit::Snapshot, what).remedy("run the backup again"));
                }
                Some(SnapshotEvent::Error) | None => {
                    let over = Instant::now() >= self.deadline;
                    self.begin_again()?;
                    if over && !enough(&self.snapshot.readiness()) {
                        bail!(self.not_in_time(goal));
                    }
                }
            }
        }
    }

    /// The next event of the watch, which is started if needed; None when it ended.
    fn next(&mut self) -> Result<Option<SnapshotEvent>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let meta = &self.snapshot.metadata;
        let lines = match &mut self.lines {
            Some(lines) => lines,
            none => {
                let call = self.kubectl.target.watch_snapshot(&meta.name, Some(&meta.resource_version), left);
                none.insert(Lines::of(self.kubectl.start(call)?))
            }
        };
        match lines.next(left) {
            Ok(Some(line)) => Ok(Some(serde_json::from_str(&line).unwrap_or(SnapshotEvent::Error))),
            Ok(None) => Ok(None),
            Err(error) if error.is(Refusal::Transient) || matches!(error.ending, Ending::Early) => {
                tracing::warn!("the watch was cut off, watching on");
                Ok(None)
            }
            Err(error) => bail!(self.stays(error.fail())),
        }
    }

    /// The watch ended, or its version was too old: goes on from what is there now.
    fn begin_again(&mut self) -> Result<()> {
        self.lines = None;
        process::sleep(Duration::from_millis(500));
        let call = self.kubectl.target.get(SNAPSHOTS, &self.snapshot.metadata.name);
        self.snapshot = self.kubectl.json(&call).map_err(|error| self.stays(error.fail()))?;
        Ok(())
    }

    fn stays(&self, fail: Fail) -> Fail {
        let fail = fail.during(Exit::Snapshot);
        let (name, namespace) = (&self.snapshot.metadata.name, &self.kubectl.target.namespace);
        let stays = match self.snapshot.status.creation_time {
            Some(_) => format!("the VolumeSnapshot {name} stays as it is"),
            None => format!(
                "the VolumeSnapshot {name} was not cut when it was last seen; if it never is, backup-ns delete {name} -n {namespace}"
            ),
        };
        if fail.remedy.is_empty() { fail.remedy(stays) } else { fail }
    }

    fn not_in_time(&self, goal: &str) -> Fail {
        let (name, namespace) = (&self.snapshot.metadata.name, &self.kubectl.target.namespace);
        let why = match self.snapshot.readiness() {
            Readiness::Failed(message) => format!(": {message}"),
            _ if self.snapshot.status.bound_volume_snapshot_content_name.is_none() => {
                ": the snapshot controller did not react at all".into()
            }
            _ => String::new(),
        };
        let limit = humantime::format_duration(self.limit);
        Fail::new(Exit::Snapshot, format!("the VolumeSnapshot {name} was not {goal} within {limit}{why}")).remedy(format!(
            "see kubectl describe volumesnapshot {name} -n {namespace}; check BAK_VS_CLASS_NAME and the CSI driver, or raise \
             BAK_VS_WAIT_UNTIL_READY_TIMEOUT; the dump itself is proven and in place"
        ))
    }
}

/// Whether an error of a snapshot says that its class is not there, in the words of the snapshot controller of
/// kubernetes-csi/external-snapshotter: `Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io "x"
/// not found`, in later versions with more words in between.
fn is_classless(message: &str) -> bool {
    let behind = message.to_lowercase().split_once("get snapshot class with error").map(|(_, rest)| rest.to_string());
    behind.is_some_and(|rest| rest.contains("volumesnapshotclass") && rest.contains("not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_not_there_is_told_from_what_may_pass() {
        for message in [
            r#"Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io "x" not found"#,
            r#"Failed to get snapshot class with error failed to retrieve snapshot class x from the informer: "volumesnapshotclass.snapshot.storage.k8s.io \"x\" not found""#,
            r#"failed to get snapshot class with error: VolumeSnapshotClass "x" not found"#,
        ] {
            assert!(is_classless(message), "{message}");
        }
        for message in [
            "Failed to set default snapshot class with error cannot find default snapshot class",
            r#"Failed to get snapshot class with error Get "https://10.0.0.1/apis": dial tcp: i/o timeout"#,
            r#"Failed to check and update snapshot content: failed to take snapshot of the volume v-1: "rpc error: code = NotFound desc = volume v-1 not found""#,
            r#"Failed to create snapshot content with error snapshot class x: secrets "csi" not found"#,
            "",
        ] {
            assert!(!is_classless(message), "{message}");
        }
    }
}
