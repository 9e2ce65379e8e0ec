//! Creates the VolumeSnapshots of a backup: one for each claim, all at the same time. Must not know how their dumps were made.

use std::thread;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::config::Create;
use crate::core::backup::manifest::{self, Retain, SlotChoice, SnapshotRequest};
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::kube::calls::SNAPSHOTS;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::objects::{ObjectList, Snapshot};
use crate::core::time_zone::Zone;
use crate::exit::{Exit, Fail};
use crate::io::process::{Ending, ProcessError};

/// What the snapshots of one run have in common.
#[derive(Debug)]
pub struct SnapshotSet<'a> {
    pub kubectl: &'a Kubectl,
    pub config: &'a Create,
    /// The time that decides the day, week and month of the retention slots.
    pub now: DateTime<Utc>,
    /// The zone of every date.
    pub zone: Zone,
    /// The identity of the run, for their label.
    pub run: String,
    /// One for each claim, in the order of the settings.
    pub names: Vec<String>,
    /// One for each claim, in the same order.
    pub claims: &'a [ClaimTemplate],
}

/// A snapshot to create.
#[derive(Debug, Clone)]
pub struct PlannedSnapshot {
    pub name: String,
    /// Its retention slots, including those that another snapshot holds.
    pub slots: Vec<SlotChoice>,
    pub manifest: Value,
}

impl PlannedSnapshot {
    /// Its slots, and those that it does not get, as text.
    pub fn slots_text(&self) -> String {
        let taken = self.slots.iter().filter(|slot| slot.holder.is_none()).map(|slot| slot.value.clone());
        taken.chain(self.held()).collect::<Vec<_>>().join(", ")
    }

    /// The slots that it does not get, with their holders.
    pub fn held(&self) -> Vec<String> {
        let held = |slot: &SlotChoice| Some(format!("{} is held by {}", slot.value, slot.holder.as_ref()?));
        self.slots.iter().filter_map(held).collect()
    }
}

impl SnapshotSet<'_> {
    /// Reads the existing snapshots, if slots depend on them, and plans with [`Self::planned`]. If they cannot be read, that is
    /// an error: no slot is assumed to be free.
    pub fn plan(&self, dumps: &[(Engine, Proof)]) -> Result<Vec<PlannedSnapshot>> {
        let there = match self.config.retain {
            Retain::Days(_) => Vec::new(),
            Retain::DailyWeeklyMonthly => {
                let call = self.kubectl.target.list(SNAPSHOTS, "");
                let list: ObjectList<Snapshot> =
                    self.kubectl.json(&call).map_err(|error| error.fail().during(Exit::Snapshot))?;
                list.items
            }
        };
        Ok(self.planned(dumps, &there))
    }

    /// Decides names, slots and manifests. The first claim's snapshot holds the dumps.
    pub fn planned(&self, dumps: &[(Engine, Proof)], there: &[Snapshot]) -> Vec<PlannedSnapshot> {
        let one = |(number, (pvc, name)): (usize, (&String, &String))| {
            let config = self.config;
            let slots = match config.retain {
                Retain::Days(_) => Vec::new(),
                Retain::DailyWeeklyMonthly => {
                    manifest::choose_slots(pvc, there, self.now, self.zone, config.ready_timeout)
                }
            };
            let request = SnapshotRequest {
                name,
                namespace: &self.kubectl.target.namespace,
                pvc,
                class: config.class.as_deref(),
                kind: &config.label_type,
                pod: config.label_pod.as_deref(),
                retain: config.retain,
                run: &self.run,
                settings: &config.set,
                claim: self.claims.get(number),
                dumps: if number == 0 { dumps } else { &[] },
            };
            let manifest = manifest::snapshot(&request, &slots, self.now, self.zone);
            PlannedSnapshot { name: name.clone(), slots, manifest }
        };
        self.config.pvcs.iter().zip(&self.names).enumerate().map(one).collect()
    }

    /// Sends each as a server-side dry run. Returns the message of an admission webhook that does not support dry runs, if any.
    ///
    /// # Errors
    /// The API would refuse one, or does not answer. Other errors come before one that a name is taken.
    pub fn dry_run(&self, planned: &[PlannedSnapshot]) -> Result<Option<String>, ProcessError> {
        let kubectl = self.kubectl;
        let ask = |planned: &PlannedSnapshot| {
            kubectl.create::<Snapshot>(&kubectl.target.try_create(SNAPSHOTS), &planned.manifest).map(drop)
        };
        let answers: Vec<Result<(), ProcessError>> = thread::scope(|scope| {
            let tasks: Vec<_> = planned.iter().map(|planned| scope.spawn(move || ask(planned))).collect();
            tasks.into_iter().filter_map(|task| task.join().ok()).collect()
        });
        let mut errors: Vec<ProcessError> = answers.into_iter().filter_map(Result::err).collect();
        errors.sort_by_key(|error| error.is(Refusal::AlreadyExists));
        // The API refuses a dry run if an admission webhook has side effects.
        let (mute, refused): (Vec<_>, Vec<_>) = errors.into_iter().partition(ProcessError::has_no_dry_run);
        match refused.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(mute.first().map(ProcessError::said)),
        }
    }

    /// Creates them all at the same time.
    ///
    /// # Errors
    /// One of them could not be created. Those that were created are marked as distrusted.
    pub fn create(&self, planned: &[PlannedSnapshot]) -> Result<Vec<Snapshot>> {
        let outcomes: Vec<Result<Snapshot>> = thread::scope(|scope| {
            let tasks: Vec<_> = planned.iter().map(|planned| scope.spawn(|| self.create_one(planned))).collect();
            let failed = || bail!(Fail::new(Exit::Snapshot, "a request was not made at all"));
            tasks.into_iter().map(|task| task.join().unwrap_or_else(|_| failed())).collect()
        });
        let (made, mut failed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        match failed.pop() {
            Some(Err(error)) => {
                let made: Vec<Snapshot> = made.into_iter().flatten().collect();
                let mut fail = self.distrust(&made, error.fail());
                if !made.is_empty() {
                    let names: Vec<&str> = made.iter().map(|snapshot| snapshot.metadata.name.as_str()).collect();
                    let half = "made by the same run, is only a part of the backup";
                    fail.what = format!("{}; VolumeSnapshot {}, {half}", fail.what, names.join(", "));
                }
                bail!(fail)
            }
            _ => Ok(made.into_iter().flatten().collect()),
        }
    }

    /// Creates one. If a request got no answer, it is repeated under the same name. If the name is then taken by an object with
    /// this run's label, the first request had succeeded.
    fn create_one(&self, planned: &PlannedSnapshot) -> Result<Snapshot> {
        let (kubectl, name) = (self.kubectl, &planned.name);
        let created =
            kubectl.create::<Snapshot>(&kubectl.target.create(SNAPSHOTS), &planned.manifest).or_else(|error| {
                if !error.is(Refusal::AlreadyExists) {
                    return Err(error);
                }
                let there: Snapshot = kubectl.get(SNAPSHOTS, name)?;
                if there.metadata.labels.get(labels::RUN) == Some(&self.run) { Ok(there) } else { Err(error) }
            });
        Ok(created.map_err(|error| {
            let fail = error.fail().during(Exit::Snapshot);
            if let Exit::Signal(_) = fail.exit {
                fail.remedy(format!(
                    "the dump is proven and in place; the VolumeSnapshot {name} may be there, labelled"
                ))
            } else if fail.remedy.is_empty() {
                fail.remedy("the dump is proven and in place; correct what the API says and run the backup again")
            } else {
                fail
            }
        })?)
    }

    /// Marks snapshots that may not hold the proven dump as distrusted, and removes their slots and proof.
    pub fn distrust(&self, snapshots: &[Snapshot], fail: Fail) -> Fail {
        // After a signal, the next try of the run checks them.
        if let Exit::Signal(_) = fail.exit {
            return fail;
        }
        let mut fail = fail;
        for snapshot in snapshots {
            let patch = self.kubectl.target.patch(SNAPSHOTS, &snapshot.metadata.name, &manifest::distrust(&fail.what));
            if let Err(error) = self.kubectl.act(&patch, "") {
                let name = &snapshot.metadata.name;
                fail.remedy = format!("{}; {name} could not be marked so, delete it: {error}", fail.remedy);
            }
        }
        fail
    }
}

/// The failure for a VolumeSnapshot that the API refuses.
pub fn refused(error: &ProcessError) -> Fail {
    let fail = error.fail();
    match error.refusal() {
        Refusal::AlreadyExists => fail.remedy(
            "put {{ .timestamp }} or {{ .rand }} into BAK_VS_NAME_TEMPLATE (--vs-name-template): each backup needs a name of its own",
        ),
        // RBAC's messages contain " cannot "; those of quotas and policies do not.
        Refusal::Forbidden if !error.lacks_right() => fail.remedy(
            "change the quota or the policy that the message names, or delete snapshots that are not needed (backup-ns list)",
        ),
        // A kubectl that was killed says nothing of the API.
        Refusal::Other if matches!(error.ending, Ending::Status(status) if status.code().is_some()) => {
            Fail::new(Exit::Precondition, fail.what).remedy("correct what the API says, then run it again")
        }
        _ if fail.remedy.is_empty() && !error.is_signal() => fail.remedy("run it again"),
        _ => fail,
    }
}
