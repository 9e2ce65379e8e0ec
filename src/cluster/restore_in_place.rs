//! An in-place restore, step by step: try, note, stop, safety snapshot, replacement, start. Before anything is stopped the API
//! has tried every request that is still to come, and a journal is on the snapshot. What is to be done next is read from it and
//! from what is there, so that a second call goes on from wherever the first one ended, or takes it back. Must not know how it
//! came to be asked for.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cluster::delete_snapshot;
use crate::cluster::dry_run::InPlaceRequest;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::watch::Watch;
use crate::core::kube::calls::{
    CLAIMS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, Kind, PODS, SNAPSHOTS, STATEFUL_SETS, STORAGE_CLASSES, delete_options,
};
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Pvc, Readiness, Snapshot};
use crate::core::restore::in_place::{self, ClaimState, Journal, NextStep};
use crate::core::restore::new_claim::{self, StorageClass};
use crate::core::restore::workloads::Down;
use crate::core::time_zone::Zone;
use crate::exit::{Exit, Fail};
use crate::io::process::ProcessError;
use crate::io::report::{Reporter, Step};
use crate::io::wait;

/// How often a change of the journal is tried again that loses to other changes of its snapshot.
const TRIES: usize = 5;

/// How long one that gives way to this one may take to take its journal off.
const GIVE_WAY: Duration = Duration::from_secs(5);

/// A restore at work.
pub struct InPlace<'a> {
    /// kubectl for the namespace.
    pub kubectl: &'a Kubectl,
    /// Says what is going on.
    pub reporter: &'a Reporter,
    /// The snapshot that is restored, and that carries the journal.
    pub snapshot: Snapshot,
    /// What has to be remembered.
    pub journal: Journal,
    /// The journal as it was found, where one was.
    pub found: Option<Journal>,
    /// The class of the safety snapshot, where one was named.
    pub class: Option<&'a str>,
    /// How long a snapshot may take to become ready.
    pub ready_timeout: Duration,
    /// How long each of the other waits may take.
    pub timeout: Duration,
    /// The moment of the call.
    pub now: DateTime<Utc>,
    /// The zone of every date.
    pub zone: Zone,
    /// The command that goes on with it, but for its last words.
    pub command: String,
    /// How far it is.
    pub stage: Cell<RestoreStage>,
    /// Whether the safety snapshot was there at the end.
    pub is_kept: Cell<bool>,
}

/// What an in-place restore is decided on.
const SCENE: [Kind; 7] = [CLAIMS, PODS, SNAPSHOTS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS];

/// Reads the namespace.
///
/// # Errors
/// It cannot be read.
pub fn observe(kubectl: &Kubectl) -> Result<NamespaceObjects> {
    Ok(kubectl.all(&SCENE)?)
}

/// How far a restore is, for the words at a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RestoreStage {
    /// Nothing was changed.
    #[default]
    Untouched,
    /// The journal is on the snapshot.
    Noted,
    /// Workloads may be down.
    Down,
    /// The safety snapshot is ready.
    Safe,
    /// The claim is replaced.
    Replaced,
    /// Another call is at work on it, or it is over: nothing is to be done here.
    Over,
}

impl InPlace<'_> {
    /// Has the API try all that is still to come, writes the journal, then does it. Where an earlier call had made the claim: when.
    ///
    /// # Errors
    /// Of any step; the failure says how things stand, and how to go on.
    pub fn run(&mut self, namespace_objects: &NamespaceObjects) -> Result<Option<DateTime<Utc>>> {
        let begun = self.found.is_some();
        Ok(self.steps(namespace_objects).map_err(|error| self.explain(begun, error.fail()))?)
    }

    fn steps(&mut self, namespace_objects: &NamespaceObjects) -> Result<Option<DateTime<Utc>>> {
        self.reporter.step("try", |_| self.rehearse(namespace_objects))?;
        let rest = self.reporter.step("note", |_| {
            let rest = self.begin()?;
            Ok((rest, format!("on VolumeSnapshot {}", self.snapshot.metadata.name)))
        })?;
        let mut earlier = None;
        if rest == NextStep::Replace {
            self.stage.set(RestoreStage::Down);
            self.reporter.step("stop", |step| self.stop(step))?;
            if !self.journal.back {
                self.reporter.step("safety", |step| self.keep_what_is_there(step))?;
                self.stage.set(RestoreStage::Safe);
            }
        }
        if rest != NextStep::Forget {
            earlier = self.reporter.step("replace", |step| self.replace(self.journal.back, step))?;
            self.stage.set(RestoreStage::Replaced);
            self.reporter.step("start", |step| self.start(rest, step))?;
        }
        self.reporter.step("done", |_| {
            self.check_kept();
            self.write_journal(false)?;
            Ok(((), "nothing is left to do".into()))
        })?;
        Ok(earlier)
    }

    /// What a reader has to know at a failure: how things stand, what is safe, and what to type.
    fn explain(&self, begun: bool, fail: Fail) -> Fail {
        let Journal { claim, safety, back, .. } = &self.journal;
        let (name, claim) = (&self.snapshot.metadata.name, &claim.name);
        if let Some((what, first)) = self.dead_end(begun) {
            let what = if fail.what.contains(&what) { fail.what } else { format!("{}; {what}", fail.what) };
            let command = &self.command;
            return Fail { what, ..fail }.remedy(format!("{first}; then go on with: {command} --in-place --yes"));
        }
        let state = match (self.stage.get(), back) {
            (RestoreStage::Over, _) => return fail,
            (RestoreStage::Untouched, _) if begun => "this call changed nothing".to_string(),
            (RestoreStage::Untouched, _) => "nothing was changed".to_string(),
            (RestoreStage::Noted, _) => "this call stopped nothing".to_string(),
            (RestoreStage::Down, false) => {
                format!("workloads may be down; this call left the claim {claim} as it was")
            }
            (RestoreStage::Down, true) => {
                format!("workloads may be down; VolumeSnapshot {safety}, if it was made, holds what was there")
            }
            (RestoreStage::Safe, _) => format!(
                "workloads are down; the claim {claim} may be gone; VolumeSnapshot {safety} holds what was there, {name} what comes back"
            ),
            (RestoreStage::Replaced, false) => format!(
                "the claim {claim} is restored, workloads may not be up; VolumeSnapshot {safety} holds what was there"
            ),
            (RestoreStage::Replaced, true) => format!("the claim {claim} is as it was, workloads may not be up"),
        };
        let next = match back {
            _ if self.stage.get() == RestoreStage::Untouched && !begun => {
                format!("then run it again: {} --in-place --yes", self.command)
            }
            true => format!("go on with: {} --rollback --yes", self.command),
            false => {
                format!("go on with: {0} --in-place --yes; or take it back with: {0} --rollback --yes", self.command)
            }
        };
        let before = if fail.remedy.is_empty() { String::new() } else { format!("{}; ", fail.remedy) };
        fail.remedy(format!("{before}{state}; {next}"))
    }

    /// Why neither way goes on before something is done by hand, and what: where the claim is gone and nothing holds what was in
    /// it. None as well where that cannot be seen at once.
    fn dead_end(&self, begun: bool) -> Option<(String, String)> {
        match self.stage.get() {
            RestoreStage::Noted | RestoreStage::Down => {}
            RestoreStage::Untouched if begun => {}
            _ => return None,
        }
        let mut once = self.kubectl.clone();
        once.retry_timeout = Duration::ZERO;
        let namespace_objects = observe(&once).ok()?;
        let is_gone = self.journal.claim_state(&namespace_objects, &self.snapshot) == ClaimState::Gone;
        self.journal.next_step(&namespace_objects, &self.snapshot).err().filter(|_| is_gone && !self.journal.back)
    }

    /// Has the API try all that is still to come, by what `namespace_objects` holds.
    ///
    /// # Errors
    /// It would refuse some of it, or neither way goes on.
    pub fn rehearse(&self, namespace_objects: &NamespaceObjects) -> Result<((), String)> {
        let rest = self.journal.next_step(namespace_objects, &self.snapshot);
        let rest = rest.map_err(Fail::precondition)?;
        let asked = InPlaceRequest {
            kubectl: self.kubectl,
            journal: &self.journal,
            of: &self.snapshot,
            namespace_objects,
            class: self.class,
        };
        let number = asked.all(rest, &self.safety_snapshot())?;
        Ok(((), format!("the API would accept all of it, {number} requests")))
    }

    fn safety_snapshot(&self) -> Value {
        let (of, namespace) = (&self.snapshot.metadata.name, &self.kubectl.target.namespace);
        self.journal.safety(of, namespace, self.class, self.now, self.zone)
    }

    /// Writes the journal and makes sure that it is the only one for its claim and workloads; what is to be done.
    fn begin(&mut self) -> Result<NextStep> {
        let begun = self.found.is_some();
        self.write_journal(true)?;
        self.stage.set(RestoreStage::Noted);
        let rest = match self.alone()? {
            Ok(namespace_objects) => {
                match namespace_objects.deleted_claim_problem(&self.journal.claim.name, &self.snapshot.metadata.name) {
                    Some(going) => Err(going),
                    None => self.journal.next_step(&namespace_objects, &self.snapshot),
                }
            }
            Err(other) => {
                let (name, claim) = (&self.snapshot.metadata.name, &self.journal.claim.name);
                let what = format!(
                    "another restore was begun at the same time, of {other}; this one of {name} to the claim {claim} gives way"
                );
                Err((what, format!("wait until that one is done, and see whether {name} is still to be restored")))
            }
        };
        match rest {
            Ok(rest) => Ok(rest),
            Err((what, remedy)) => {
                if !begun {
                    self.write_journal(false)?;
                    self.stage.set(RestoreStage::Over);
                }
                bail!(Fail::new(Exit::Precondition, what).remedy(remedy))
            }
        }
    }

    /// Waits until no other restore is in the way, or tells which one is. Each writes its journal before it looks for others, so
    /// of two at least one sees the other, and none goes on that does. The one whose snapshot's name comes first waits for the
    /// other to give way, as long as that takes if the other has not begun yet.
    fn alone(&self) -> Result<Result<NamespaceObjects, String>> {
        let mut other = String::new();
        let alone = wait::until(GIVE_WAY, || {
            let namespace_objects = observe(self.kubectl)?;
            self.check_journal(&namespace_objects)?;
            let first = self.journal.others(&namespace_objects, &self.snapshot).into_iter().min().map(str::to_string);
            match first {
                None => Ok(Some(Ok(namespace_objects))),
                Some(first) if first < self.snapshot.metadata.name => Ok(Some(Err(first))),
                Some(first) => {
                    other = first;
                    Ok(None)
                }
            }
        })?;
        Ok(alone.unwrap_or(Err(other)))
    }

    /// Notes the journal on the snapshot, or takes it away. The journal of another call is never overwritten.
    fn write_journal(&mut self, wanted: bool) -> Result<()> {
        let name = self.snapshot.metadata.name.clone();
        let target = &self.kubectl.target;
        let mut tries = TRIES;
        loop {
            let there = in_place::journal(&self.snapshot);
            if wanted == there.is_some() && there.as_ref().is_none_or(|there| *there == self.journal) {
                self.found = there;
                return Ok(());
            }
            if there.is_some() && there != self.found && there.as_ref() != Some(&self.journal) {
                bail!(self.overtaken());
            }
            let patch = Journal::patch(wanted.then_some(&self.journal), &self.snapshot);
            match self.kubectl.json::<Snapshot>(&target.patch(SNAPSHOTS, &name, &patch)) {
                Ok(snapshot) => {
                    self.snapshot = snapshot;
                    self.found = wanted.then(|| self.journal.clone());
                    return Ok(());
                }
                Err(error) if error.is(Refusal::Conflict) && tries > 0 => {
                    tries -= 1;
                    if let Some(now) = self.kubectl.find(SNAPSHOTS, &name)? {
                        self.snapshot = now;
                    }
                }
                Err(error) if error.is(Refusal::NotFound) && !wanted => {
                    tracing::warn!("something else deleted the VolumeSnapshot {name} meanwhile");
                    return Ok(());
                }
                Err(error) if error.is(Refusal::NotFound) => return Err(self.vanished().into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn overtaken(&self) -> Fail {
        self.stage.set(RestoreStage::Over);
        let name = &self.snapshot.metadata.name;
        let what = format!("another call began, changed or ended the restore of {name} in place meanwhile");
        Fail::new(Exit::Precondition, what).remedy("wait until that call is through, then look")
    }

    /// Something else deleted the snapshot that is restored, and with it the journal: no other call can go on with this, so all
    /// that has to be done is in this error.
    fn vanished(&self) -> Fail {
        let Journal { claim, safety, workloads, back, .. } = &self.journal;
        let (name, namespace) = (&self.snapshot.metadata.name, &self.kubectl.target.namespace);
        let stage = self.stage.replace(RestoreStage::Over);
        let fail = |what: &str, remedy: String| {
            let what = format!(
                "something else deleted the VolumeSnapshot {name}, and the note on this restore with it; {what}"
            );
            Fail::new(Exit::Precondition, what).remedy(remedy)
        };
        if matches!(stage, RestoreStage::Untouched | RestoreStage::Noted) {
            let remedy = format!(
                "stored data whose VolumeSnapshot is gone comes back with backup-ns rebind-vsc; then run it again: {} --in-place --yes",
                self.command
            );
            return fail("this call stopped nothing", remedy);
        }
        let mut steps: Vec<String> = workloads.iter().map(|down| down.up_by_hand(namespace)).collect();
        if stage != RestoreStage::Down || *back {
            let claim = &claim.name;
            steps.insert(
                0,
                format!(
                    "if there is no claim {claim}, make it from what was there: backup-ns restore {safety} -n {namespace} --pvc {claim} --wait"
                ),
            );
        }
        fail("workloads are down", format!("bring them up: {}", steps.join("; ")))
    }

    /// Whether the journal is still this one: another call may have turned it round, or be through with it.
    fn check_journal(&self, namespace_objects: &NamespaceObjects) -> Result<()> {
        match namespace_objects.snapshot(&self.snapshot.metadata.name) {
            None => Err(self.vanished().into()),
            Some(snapshot) if in_place::journal(snapshot).as_ref() == Some(&self.journal) => Ok(()),
            Some(_) => Err(self.overtaken().into()),
        }
    }

    /// Whether the safety snapshot still exists: the command for the way back, printed at the end, needs it.
    fn check_kept(&self) {
        let Journal { safety, back, .. } = &self.journal;
        let there = self.kubectl.find::<Snapshot>(SNAPSHOTS, safety);
        if !back && matches!(there, Ok(None)) {
            tracing::warn!("something else deleted the VolumeSnapshot {safety}: what was there before is not kept");
            self.is_kept.set(false);
        }
    }

    /// Likewise, with a look at the snapshot alone.
    fn check_journal_now(&self) -> Result<()> {
        let now = self.kubectl.find::<Snapshot>(SNAPSHOTS, &self.snapshot.metadata.name)?;
        self.check_journal(&NamespaceObjects { snapshots: now.into_iter().collect(), ..NamespaceObjects::default() })
    }

    /// Whether what is there is what the safety snapshot holds: whatever was brought up since it was cut has written.
    fn check_quiet(&self) -> Result<()> {
        let claim = &self.journal.claim.name;
        let namespace_objects = observe(self.kubectl)?;
        self.check_journal(&namespace_objects)?;
        let pods: Vec<&str> = namespace_objects.mounters(claim).iter().map(|pod| pod.metadata.name.as_str()).collect();
        if pods.is_empty() && self.journal.workloads.iter().all(|down| namespace_objects.is_down(down)) {
            return Ok(());
        }
        let what = format!("workloads were brought up again; the claim {claim} is mounted by: {}", pods.join(", "));
        bail!(
            Fail::new(Exit::Precondition, what)
                .remedy("pause what scales them; the next call makes a safety snapshot of its own")
        )
    }

    fn stop(&self, step: &Step) -> Result<((), String)> {
        let claim = &self.journal.claim.name;
        for down in &self.journal.workloads {
            self.set(down, Some(&self.snapshot.metadata.name))?;
        }
        let mut mounting = Vec::new();
        let ended = wait::until(self.timeout, || {
            let namespace_objects = observe(self.kubectl)?;
            self.check_journal(&namespace_objects)?;
            // It may have been brought up again meanwhile.
            for down in self.journal.workloads.iter().filter(|down| !namespace_objects.is_down(down)) {
                self.set(down, Some(&self.snapshot.metadata.name))?;
            }
            mounting = namespace_objects.mounters(claim).into_iter().map(|pod| pod.metadata.name.clone()).collect();
            step.progress(&format!("waits for {}", mounting.join(", ")));
            Ok(mounting.is_empty().then_some(()))
        })?;
        if ended.is_none() {
            let what = format!(
                "the claim {claim} is still mounted after {}: pod {}",
                self.said_timeout(),
                mounting.join(", ")
            );
            bail!(Fail::new(Exit::Failed, what).remedy(format!(
                "see kubectl describe pod {} -n {}",
                mounting.join(" "),
                self.kubectl.target.namespace
            )));
        }
        let names: Vec<String> = self.journal.workloads.iter().map(ToString::to_string).collect();
        let names = if names.is_empty() { "nothing".into() } else { names.join(", ") };
        Ok(((), format!("{names} down, nothing mounts {claim}")))
    }

    /// Brings a workload down, or up to what it was. One that is gone stays gone.
    fn set(&self, down: &Down, why: Option<&str>) -> Result<()> {
        let call = self.kubectl.target.patch(down.kind.resource(), &down.name, &down.patch(why));
        match self.kubectl.json::<Value>(&call) {
            Ok(_) => Ok(()),
            Err(error) if error.is(Refusal::NotFound) => {
                tracing::warn!("{down} is gone, going on without it");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The safety snapshot, ready. Once the old claim is gone there must be one.
    fn keep_what_is_there(&self, step: &Step) -> Result<((), String)> {
        let name = &self.journal.safety;
        let there = match self.kubectl.find::<Snapshot>(SNAPSHOTS, name)? {
            Some(there) => there,
            None => {
                let old = self.claim()?.filter(|claim| claim.metadata.uid == self.journal.uid);
                if old.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()) {
                    let claim = &self.journal.claim.name;
                    let what = format!(
                        "something else deleted the claim {claim}, and there is no VolumeSnapshot {name} of it"
                    );
                    bail!(Fail::new(Exit::Precondition, what));
                }
                self.kubectl.ensure(
                    &self.kubectl.target.create(SNAPSHOTS),
                    &self.safety_snapshot(),
                    &self.kubectl.target.get(SNAPSHOTS, name),
                )?
            }
        };
        let mut watch = Watch::of(self.kubectl, there, self.ready_timeout);
        watch.until("ready", step, |readiness| *readiness == Readiness::Ready)?;
        Ok(((), format!("{name} holds what was there")))
    }

    fn claim(&self) -> Result<Option<Pvc>> {
        self.kubectl.find(CLAIMS, &self.journal.claim.name)
    }

    /// A snapshot that the claim is to be made from; it must be there and ready right now.
    fn source(&self, name: &str) -> Result<Snapshot> {
        let Some(snapshot) = self.kubectl.find::<Snapshot>(SNAPSHOTS, name)? else {
            return Err(match *name == self.snapshot.metadata.name {
                true => self.vanished().into(),
                false => {
                    Fail::new(Exit::Precondition, format!("something else deleted the VolumeSnapshot {name}")).into()
                }
            });
        };
        match (snapshot.readiness(), snapshot.metadata.deletion_timestamp) {
            (Readiness::Ready, None) => Ok(snapshot),
            _ => bail!(Fail::new(
                Exit::Snapshot,
                format!("the VolumeSnapshot {name} is not ready any more, or is being deleted"),
            )),
        }
    }

    /// Puts the claim from the snapshot in the place of the old one; with `back` the one from the safety snapshot in the place
    /// of that, or nothing at all if the old one is still there.
    fn replace(&self, back: bool, step: &Step) -> Result<(Option<DateTime<Utc>>, String)> {
        let name = &self.journal.claim.name;
        let is_old = |claim: &Pvc| claim.metadata.uid == self.journal.uid;
        if back && self.claim()?.is_some_and(|claim| is_old(&claim) && claim.metadata.deletion_timestamp.is_none()) {
            return Ok((None, format!("{name} is still the one that it was")));
        }
        let from = self.source(if back { &self.journal.safety } else { &self.snapshot.metadata.name })?;
        let is_new = |claim: &Pvc| new_claim::is_from(claim, &from) && !is_old(claim);
        let (mut ours, mut refused) = (false, None);
        let earlier = loop {
            let claim = self.claim()?;
            // After the claim was read: a call that reverses the journal later reads the claim later still.
            self.check_journal_now()?;
            match claim {
                Some(claim) if claim.metadata.deletion_timestamp.is_some() => {
                    self.release()?;
                    self.await_gone(&claim, step)?;
                }
                Some(claim) if is_new(&claim) => break Some(claim.metadata.creation_timestamp).filter(|_| !ours),
                Some(claim) if is_old(&claim) || (back && new_claim::is_from(&claim, &self.snapshot)) => {
                    if !back {
                        self.source(&self.journal.safety)?;
                    }
                    self.check_quiet()?;
                    self.await_unheld(step)?;
                    let conditions = json!({"uid": claim.metadata.uid});
                    let call = self.kubectl.target.delete(CLAIMS, name);
                    match self.kubectl.act(&call, &delete_options(&conditions)) {
                        Err(error) if !error.is(Refusal::NotFound) => {
                            return Err(error.into());
                        }
                        _ => self.await_gone(&claim, step)?,
                    }
                }
                Some(_) => {
                    let namespace = &self.kubectl.target.namespace;
                    let what = format!("something else made a claim {name} meanwhile");
                    bail!(Fail::new(Exit::Precondition, what).remedy(format!(
                        "see what made it: kubectl describe pvc {name} -n {namespace}; pause that (GitOps, an operator) and move what \
                         it holds; this goes on as soon as there is no such claim"
                    )));
                }
                None => {
                    let target = &self.kubectl.target;
                    let manifest = self.journal.replacement(&target.namespace, &from);
                    let (create, get) = (target.create(CLAIMS), target.get(CLAIMS, name));
                    let made = wait::until(self.timeout, || {
                        match self.kubectl.ensure::<Pvc>(&create, &manifest, &get) {
                            // It counts the old claim for a moment after that is gone.
                            Err(error) if error.downcast_ref().is_some_and(ProcessError::exceeds_quota) => {
                                step.progress("waits until the quota counts the old claim no more");
                                refused = Some(error);
                                Ok(None)
                            }
                            outcome => outcome.map(Some),
                        }
                    })?;
                    if let (None, Some(error)) = (made, refused.take()) {
                        return Err(error);
                    }
                    ours = true;
                }
            }
        };
        let bound = await_bound(self.kubectl, name, self.timeout, step)?;
        Ok((earlier, format!("{name} is made from {}, {bound}", from.metadata.name)))
    }

    /// Deletes the safety snapshots of earlier calls that never became ready: they hold no data, but they hold the claim. What
    /// else holds it.
    fn release(&self) -> Result<Vec<Snapshot>> {
        let namespace_objects = observe(self.kubectl)?;
        let (ours, others) = namespace_objects.holders(&self.journal);
        for snapshot in ours {
            let name = &snapshot.metadata.name;
            tracing::info!(
                "VolumeSnapshot {name}, which an earlier call made and which never became ready, is deleted"
            );
            delete_snapshot::delete(self.kubectl, snapshot, Some(self.now)).map_err(|error| {
                let fail = error.fail();
                if !error.is(Refusal::Forbidden) {
                    return fail;
                }
                let namespace = &self.kubectl.target.namespace;
                let remedy = format!(
                    "{}; or have it deleted by an account that may: backup-ns delete {name} -n {namespace}",
                    fail.remedy
                );
                fail.remedy(remedy)
            })?;
        }
        Ok(others.into_iter().cloned().collect())
    }

    /// Waits for snapshots that are being deleted. A claim that any other snapshot holds would stay as one that is being deleted,
    /// and no pod could mount it.
    fn await_unheld(&self, step: &Step) -> Result<()> {
        let mut last = None;
        let held = wait::until(self.timeout, || {
            let by = self.release()?;
            let stays = by.iter().find(|one| one.metadata.deletion_timestamp.is_none());
            if stays.is_some() || by.is_empty() {
                return Ok(Some(stays.cloned()));
            }
            last = by.into_iter().next();
            step.progress("waits until a VolumeSnapshot that holds the claim is gone");
            Ok(None)
        })?;
        let Some(one) = held.unwrap_or(last) else { return Ok(()) };
        let (name, namespace, claim) = (&one.metadata.name, &one.metadata.namespace, &self.journal.claim.name);
        let what =
            format!("the VolumeSnapshot {name} of the claim {claim} is not ready, and holds the claim until it is");
        let remedy = match one.metadata.deletion_timestamp {
            Some(_) => format!("it is being deleted: see kubectl describe volumesnapshot {name} -n {namespace}"),
            None => format!("wait until it is ready, or delete it (backup-ns delete {name} -n {namespace})"),
        };
        bail!(Fail::new(Exit::Precondition, what).remedy(remedy))
    }

    fn await_gone(&self, claim: &Pvc, step: &Step) -> Result<()> {
        let name = &claim.metadata.name;
        step.progress(&format!("waits until {name} is gone"));
        let mut held = Vec::new();
        let gone = wait::until(self.timeout, || {
            let Some(now) = self.claim()?.filter(|now| now.metadata.uid == claim.metadata.uid) else {
                return Ok(Some(()));
            };
            let by = now.metadata.finalizers;
            if by != held {
                tracing::info!("the claim {name} is held by {}, waiting", by.join(", "));
                held = by;
            }
            Ok(None)
        })?;
        gone.with_context(|| {
            let namespace = &self.kubectl.target.namespace;
            let what = format!("the claim {name} is not gone after {}, held by {}", self.said_timeout(), held.join(", "));
            let (others, own): (Vec<&String>, Vec<&String>) =
                held.iter().partition(|finalizer| self.journal.claim.finalizers.contains(finalizer));
            let mut remedy = format!("see kubectl describe pvc {name} -n {namespace}");
            if !others.is_empty() {
                // As YAML: quotes would not survive where logs escape them.
                let own: Vec<&str> = own.iter().map(|own| own.as_str()).collect();
                let patch = format!("metadata: {{finalizers: [{}]}}", own.join(", "));
                remedy.push_str(&format!(
                    "; if what set {others} does not take it off, this does, and the new claim has it again: kubectl patch pvc {name} \
                     -n {namespace} --type=merge -p '{patch}'",
                    others = others.iter().map(|other| other.as_str()).collect::<Vec<_>>().join(", ")
                ));
            }
            Fail::new(Exit::Failed, what).remedy(remedy)
        })
    }

    /// Brings up what is down for this restore: after a replacement all of it, else what an earlier call had stopped.
    fn start(&self, rest: NextStep, step: &Step) -> Result<((), String)> {
        let namespace_objects = observe(self.kubectl)?;
        self.check_journal(&namespace_objects)?;
        let is_down = |down: &&Down| {
            rest == NextStep::Replace || namespace_objects.is_down_for(down, &self.snapshot.metadata.name)
        };
        let stopped: Vec<&Down> = self.journal.workloads.iter().filter(is_down).collect();
        for down in &stopped {
            self.set(down, None)?;
        }
        // One that an earlier call brought up may not be ready yet; one that is down for another reason stays so.
        let awaited: Vec<&Down> =
            self.journal.workloads.iter().filter(|down| is_down(down) || !namespace_objects.is_down(down)).collect();
        let mut missing = Vec::new();
        let up = wait::until(self.timeout, || {
            let namespace_objects = observe(self.kubectl)?;
            let waits = awaited.iter().filter(|down| !namespace_objects.is_up(down));
            missing = waits.map(ToString::to_string).collect::<Vec<_>>();
            step.progress(&format!("waits for {}", missing.join(", ")));
            Ok(missing.is_empty().then_some(()))
        })?;
        if up.is_none() {
            let what = format!("{} is not ready after {}", missing.join(", "), self.said_timeout());
            bail!(
                Fail::new(Exit::Failed, what)
                    .remedy(format!("see kubectl get pods -n {}", self.kubectl.target.namespace))
            );
        }
        let names: Vec<String> = awaited.iter().map(ToString::to_string).collect();
        Ok(((), format!("{} up as before", if names.is_empty() { "nothing".into() } else { names.join(", ") })))
    }

    fn said_timeout(&self) -> String {
        humantime::format_duration(self.timeout).to_string()
    }
}

/// Waits until a claim is bound, where that does not wait for a pod itself. Returns a word on it.
///
/// # Errors
/// It is not bound in time, or it is gone.
pub fn await_bound(kubectl: &Kubectl, name: &str, limit: Duration, step: &Step) -> Result<String> {
    step.progress(&format!("waits until {name} is bound"));
    let mut waits_for_pod = None;
    let bound = wait::until(limit, || {
        let namespace = &kubectl.target.namespace;
        let claim = kubectl
            .find::<Pvc>(CLAIMS, name)?
            .ok_or_else(|| Fail::new(Exit::Failed, format!("the claim {name} in {namespace} is gone")))?;
        if claim.status.phase == "Bound" {
            return Ok(Some("bound"));
        }
        let class = claim.spec.storage_class_name.unwrap_or_default();
        let waits = *waits_for_pod.get_or_insert_with(|| {
            // Without the right to read it, wait.
            let class = kubectl.get::<StorageClass>(STORAGE_CLASSES, &class).ok();
            class.and_then(|class| class.volume_binding_mode).as_deref() == Some("WaitForFirstConsumer")
        });
        Ok(waits.then_some("bound as soon as a pod mounts it"))
    })?;
    bound.map(str::to_string).with_context(|| {
        let (limit, namespace) = (humantime::format_duration(limit), &kubectl.target.namespace);
        Fail::new(Exit::Failed, format!("the claim {name} was not bound within {limit}"))
            .remedy(format!("see kubectl describe pvc {name} -n {namespace}"))
    })
}
