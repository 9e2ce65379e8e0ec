//! An in-place restore, step by step: down, safety snapshot, replacement, up. Before anything is changed a journal stands on
//! the snapshot, and what is to be done next is read from it and from what is there, so that a second call goes on from
//! wherever the first one ended, or takes it back. Must not know how it came to be asked for.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::core::claim::ClaimTemplate;
use crate::core::labels;
use crate::core::observed::{Pvc, Readiness, Snapshot};
use crate::core::restore::{self, Down, Journal, StorageClass};
use crate::core::scene::Scene;
use crate::core::target::{
    CLAIMS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, Kind, PODS, SNAPSHOTS, STATEFUL_SETS, STORAGE_CLASSES, delete_options,
};
use crate::core::zone::Zone;
use crate::exit::{Exit, Fail};
use crate::kubectl::{self, Kubectl, Refusal};
use crate::report::{Reporter, Step};
use crate::watch::Watch;

/// How often a change of the journal is tried again that loses to other changes of its snapshot.
const TRIES: usize = 5;

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
}

/// What an in-place restore is decided on.
const SCENE: [Kind; 7] = [CLAIMS, PODS, SNAPSHOTS, DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS, CRON_JOBS];

/// Reads the namespace.
///
/// # Errors
/// It cannot be read.
pub fn observe(kubectl: &Kubectl) -> Result<Scene, Fail> {
    kubectl.all(&SCENE).map_err(|error| kubectl::fail(&error))
}

/// How far it is, for the words at a failure.
#[derive(Clone, Copy)]
enum Stage {
    Untouched,
    Down,
    Safe,
    Replaced,
}

impl InPlace<'_> {
    /// Writes the journal, then does all that is still to be done. Where an earlier call had made the claim: when.
    ///
    /// # Errors
    /// Of any step; the failure says how things stand, and how to go on.
    pub fn run(&mut self) -> Result<Option<DateTime<Utc>>, Fail> {
        let mut stage = Stage::Untouched;
        self.steps(&mut stage).map_err(|fail| self.explain(stage, fail))
    }

    fn steps(&mut self, stage: &mut Stage) -> Result<Option<DateTime<Utc>>, Fail> {
        let begun = self.found.is_some();
        self.reporter.step("note", |_| {
            self.write_journal(true)?;
            self.check_ground(begun)?;
            Ok(((), format!("on VolumeSnapshot {}", self.snapshot.metadata.name)))
        })?;
        *stage = Stage::Down;
        self.reporter.step("stop", |step| self.stop(step))?;
        if !self.journal.back {
            self.reporter.step("safety", |step| self.keep_what_is_there(step))?;
            *stage = Stage::Safe;
        }
        let earlier = self.reporter.step("replace", |step| self.replace(self.journal.back, step))?;
        *stage = Stage::Replaced;
        self.reporter.step("start", |step| self.start(step))?;
        self.reporter.step("done", |_| {
            self.write_journal(false)?;
            Ok(((), "nothing is left to do".into()))
        })?;
        Ok(earlier)
    }

    /// What a reader has to know at a failure: how things stand, what is safe, and what to type.
    fn explain(&self, stage: Stage, fail: Fail) -> Fail {
        let Journal { claim, safety, back, .. } = &self.journal;
        let (name, claim) = (&self.snapshot.metadata.name, &claim.name);
        let state = match (stage, back) {
            (Stage::Untouched, _) => "this call changed nothing".to_string(),
            (Stage::Down, false) => {
                format!("workloads may be down; this call left the claim {claim} as it was")
            }
            (Stage::Down, true) => {
                format!("workloads may be down; VolumeSnapshot {safety}, if it was made, holds what was there")
            }
            (Stage::Safe, _) => format!(
                "workloads are down; the claim {claim} may be gone; VolumeSnapshot {safety} holds what was there, {name} what comes back"
            ),
            (Stage::Replaced, false) => format!(
                "the claim {claim} is restored, workloads may not be up; VolumeSnapshot {safety} holds what was there"
            ),
            (Stage::Replaced, true) => format!("the claim {claim} is as it was, workloads may not be up"),
        };
        let next = match back {
            true => format!("go on with: {} --rollback --yes", self.command),
            false => {
                format!("go on with: {0} --in-place --yes; or take it back with: {0} --rollback --yes", self.command)
            }
        };
        let before = if fail.remedy.is_empty() { String::new() } else { format!("{}; ", fail.remedy) };
        fail.remedy(format!("{before}{state}; {next}"))
    }

    /// Notes the journal on the snapshot, or takes it away. Nobody else's journal is overwritten.
    fn write_journal(&mut self, wanted: bool) -> Result<(), Fail> {
        let name = self.snapshot.metadata.name.clone();
        let target = &self.kubectl.target;
        let mut tries = TRIES;
        loop {
            let there = restore::journal(&self.snapshot);
            if wanted == there.is_some() && there.as_ref().is_none_or(|there| *there == self.journal) {
                return Ok(());
            }
            if there.is_some() && there != self.found && there.as_ref() != Some(&self.journal) {
                return Err(self.overtaken());
            }
            let patch = Journal::patch(wanted.then_some(&self.journal), &self.snapshot);
            match self.kubectl.json::<Snapshot>(&target.patch(SNAPSHOTS, &name, &patch)) {
                Ok(snapshot) => {
                    self.snapshot = snapshot;
                    self.found = wanted.then(|| self.journal.clone());
                    return Ok(());
                }
                Err(error) if kubectl::refusal(&error) == Refusal::Conflict && tries > 0 => {
                    tries -= 1;
                    let look = self.kubectl.json(&target.get(SNAPSHOTS, &name));
                    self.snapshot = look.map_err(|error| kubectl::fail(&error))?;
                }
                Err(error) => return Err(kubectl::fail(&error)),
            }
        }
    }

    /// Whether there is anything to go on from: the old claim, or what was kept of it. Nothing is stopped otherwise.
    fn check_ground(&mut self, begun: bool) -> Result<(), Fail> {
        let target = &self.kubectl.target;
        let is_old =
            |claim: &Pvc| claim.metadata.uid == self.journal.uid && claim.metadata.deletion_timestamp.is_none();
        if self.claim()?.as_ref().is_some_and(is_old)
            || self.kubectl.find::<Snapshot>(&target.get(SNAPSHOTS, &self.journal.safety))?.is_some()
        {
            return Ok(());
        }
        let (claim, safety) = (&self.journal.claim.name, &self.journal.safety);
        let what =
            format!("the claim {claim} is not the one any more that this restore began with, and there is no {safety}");
        if !begun {
            self.write_journal(false)?;
            return Err(Fail::new(Exit::Precondition, what).remedy("look what there is now, then run it again"));
        }
        let (name, namespace) = (&self.snapshot.metadata.name, &target.namespace);
        let were: Vec<String> =
            self.journal.workloads.iter().map(|down| format!("{down} had {}", down.replicas)).collect();
        Err(Fail::new(Exit::Precondition, what).remedy(format!(
            "neither way goes on. By hand: if the claim is gone, backup-ns restore {name} -n {namespace}; scale the workloads up \
             ({}); then take the note away: kubectl annotate volumesnapshot {name} -n {namespace} {}-",
            were.join(", "),
            labels::RESTORING
        )))
    }

    fn overtaken(&self) -> Fail {
        let name = &self.snapshot.metadata.name;
        let what = format!("somebody else began, changed or ended a restore of {name} in place meanwhile");
        Fail::new(Exit::Precondition, what).remedy("wait until that call is through, then look")
    }

    /// Whether the journal is still this one: somebody else may have turned it round, or be through with it.
    fn check_journal(&self) -> Result<(), Fail> {
        let target = &self.kubectl.target;
        let now = self.kubectl.json::<Snapshot>(&target.get(SNAPSHOTS, &self.snapshot.metadata.name));
        match restore::journal(&now.map_err(|error| kubectl::fail(&error))?) {
            Some(now) if now == self.journal => Ok(()),
            _ => Err(self.overtaken()),
        }
    }

    /// Whether what is there is what the safety snapshot holds: whatever was brought up since it was cut has written.
    fn check_quiet(&self) -> Result<(), Fail> {
        let claim = &self.journal.claim.name;
        let scene = observe(self.kubectl)?;
        let pods: Vec<&str> = scene.mounters(claim).iter().map(|pod| pod.metadata.name.as_str()).collect();
        if pods.is_empty() && self.journal.workloads.iter().all(|down| scene.is_down(down)) {
            return Ok(());
        }
        let what = format!("somebody brought workloads up again; the claim {claim} is mounted by: {}", pods.join(", "));
        Err(Fail::new(Exit::Precondition, what)
            .remedy("pause what scales them; the next call makes a safety snapshot of its own"))
    }

    fn stop(&self, step: &Step) -> Result<((), String), Fail> {
        let claim = &self.journal.claim.name;
        for down in &self.journal.workloads {
            self.set(down, Some(&self.snapshot.metadata.name))?;
        }
        let mut mounting = Vec::new();
        let ended = kubectl::until(self.timeout, || {
            let scene = observe(self.kubectl)?;
            // Somebody may have brought one up again meanwhile.
            for down in self.journal.workloads.iter().filter(|down| !scene.is_down(down)) {
                self.set(down, Some(&self.snapshot.metadata.name))?;
            }
            mounting = scene.mounters(claim).into_iter().map(|pod| pod.metadata.name.clone()).collect();
            step.progress(&format!("waits for {}", mounting.join(", ")));
            Ok(mounting.is_empty().then_some(()))
        })?;
        if ended.is_none() {
            let what = format!(
                "the claim {claim} is still mounted after {}: pod {}",
                self.said_timeout(),
                mounting.join(", ")
            );
            return Err(Fail::new(Exit::Failed, what).remedy(format!(
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
    fn set(&self, down: &Down, why: Option<&str>) -> Result<(), Fail> {
        let call = self.kubectl.target.patch(down.kind.resource(), &down.name, &down.patch(why));
        match self.kubectl.json::<Value>(&call) {
            Ok(_) => Ok(()),
            Err(error) if kubectl::refusal(&error) == Refusal::NotFound => {
                tracing::warn!("{down} is gone, going on without it");
                Ok(())
            }
            Err(error) => Err(kubectl::fail(&error)),
        }
    }

    /// The safety snapshot, ready. Once the old claim is gone there must be one.
    fn keep_what_is_there(&self, step: &Step) -> Result<((), String), Fail> {
        let (name, namespace) = (&self.journal.safety, &self.kubectl.target.namespace);
        let there = match self.kubectl.find::<Snapshot>(&self.kubectl.target.get(SNAPSHOTS, name))? {
            Some(there) => there,
            None => {
                let old = self.claim()?.filter(|claim| claim.metadata.uid == self.journal.uid);
                if old.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()) {
                    let claim = &self.journal.claim.name;
                    let what = format!("somebody else took the claim {claim} away, and there is no {name}");
                    return Err(Fail::new(Exit::Precondition, what));
                }
                let of = &self.snapshot.metadata.name;
                let manifest = self.journal.safety(of, namespace, self.class, self.now, self.zone);
                self.kubectl.ensure(
                    &self.kubectl.target.create(SNAPSHOTS),
                    &manifest,
                    &self.kubectl.target.get(SNAPSHOTS, name),
                )?
            }
        };
        let mut watch = Watch::of(self.kubectl, there, self.ready_timeout);
        watch.until("ready", step, |readiness| *readiness == Readiness::Ready)?;
        Ok(((), format!("{name} holds what was there")))
    }

    fn claim(&self) -> Result<Option<Pvc>, Fail> {
        self.kubectl.find(&self.kubectl.target.get(CLAIMS, &self.journal.claim.name))
    }

    /// A snapshot that the claim is to be made from; it must be there and ready right now.
    fn source(&self, name: &str) -> Result<Snapshot, Fail> {
        let snapshot: Snapshot =
            self.kubectl.json(&self.kubectl.target.get(SNAPSHOTS, name)).map_err(|error| kubectl::fail(&error))?;
        match (snapshot.readiness(), snapshot.metadata.deletion_timestamp) {
            (Readiness::Ready, None) => Ok(snapshot),
            _ => Err(Fail::new(
                Exit::Snapshot,
                format!("the VolumeSnapshot {name} is not ready any more, or is being deleted"),
            )),
        }
    }

    /// Puts the claim from the snapshot in the place of the old one; with `back` the one from the safety snapshot in the place
    /// of that, or nothing at all if the old one is still there.
    fn replace(&self, back: bool, step: &Step) -> Result<(Option<DateTime<Utc>>, String), Fail> {
        let name = &self.journal.claim.name;
        let is_old = |claim: &Pvc| claim.metadata.uid == self.journal.uid;
        if back && self.claim()?.is_some_and(|claim| is_old(&claim) && claim.metadata.deletion_timestamp.is_none()) {
            return Ok((None, format!("{name} is still the one that it was")));
        }
        let from = self.source(if back { &self.journal.safety } else { &self.snapshot.metadata.name })?;
        let is_new = |claim: &Pvc| restore::is_from(claim, &from) && !is_old(claim);
        let mut ours = false;
        let earlier = loop {
            let claim = self.claim()?;
            // After the claim was read: whoever turns the journal round later looks at the claim later still.
            self.check_journal()?;
            match claim {
                Some(claim) if claim.metadata.deletion_timestamp.is_some() => self.await_gone(&claim, step)?,
                Some(claim) if is_new(&claim) => break Some(claim.metadata.creation_timestamp).filter(|_| !ours),
                Some(claim) if is_old(&claim) || (back && restore::is_from(&claim, &self.snapshot)) => {
                    if !back {
                        self.source(&self.journal.safety)?;
                    }
                    self.check_quiet()?;
                    let conditions = json!({"uid": claim.metadata.uid});
                    let call = self.kubectl.target.delete(CLAIMS, name);
                    match self.kubectl.act(&call, &delete_options(&conditions)) {
                        Err(error) if kubectl::refusal(&error) != Refusal::NotFound => {
                            return Err(kubectl::fail(&error));
                        }
                        _ => self.await_gone(&claim, step)?,
                    }
                }
                Some(_) => {
                    let what = format!("somebody else made a claim {name} meanwhile");
                    return Err(Fail::new(Exit::Precondition, what).remedy(format!(
                        "if nothing in it is needed, delete it (kubectl delete pvc {name} -n {})",
                        self.kubectl.target.namespace
                    )));
                }
                None => {
                    let target = &self.kubectl.target;
                    let manifest = self.journal.replacement(&target.namespace, &from);
                    self.kubectl.ensure::<Pvc>(&target.create(CLAIMS), &manifest, &target.get(CLAIMS, name))?;
                    ours = true;
                }
            }
        };
        let bound = await_bound(self.kubectl, name, self.timeout, step)?;
        Ok((earlier, format!("{name} is made from {}, {bound}", from.metadata.name)))
    }

    fn await_gone(&self, claim: &Pvc, step: &Step) -> Result<(), Fail> {
        let name = &claim.metadata.name;
        step.progress(&format!("waits until {name} is gone"));
        let mut held = Vec::new();
        let gone = kubectl::until(self.timeout, || {
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
        gone.ok_or_else(|| {
            let namespace = &self.kubectl.target.namespace;
            Fail::new(
                Exit::Failed,
                format!("the claim {name} is not gone after {}, held by {}", self.said_timeout(), held.join(", ")),
            )
            .remedy(format!("see kubectl describe pvc {name} -n {namespace}"))
        })
    }

    fn start(&self, step: &Step) -> Result<((), String), Fail> {
        for down in &self.journal.workloads {
            self.set(down, None)?;
        }
        let mut missing = Vec::new();
        let up = kubectl::until(self.timeout, || {
            let scene = observe(self.kubectl)?;
            let waits = self.journal.workloads.iter().filter(|down| !scene.is_up(down));
            missing = waits.map(ToString::to_string).collect::<Vec<_>>();
            step.progress(&format!("waits for {}", missing.join(", ")));
            Ok(missing.is_empty().then_some(()))
        })?;
        if up.is_none() {
            let what = format!("{} is not ready after {}", missing.join(", "), self.said_timeout());
            return Err(Fail::new(Exit::Failed, what)
                .remedy(format!("see kubectl get pods -n {}", self.kubectl.target.namespace)));
        }
        let names: Vec<String> = self.journal.workloads.iter().map(ToString::to_string).collect();
        Ok(((), format!("{} up as before", if names.is_empty() { "nothing".into() } else { names.join(", ") })))
    }

    fn said_timeout(&self) -> String {
        humantime::format_duration(self.timeout).to_string()
    }
}

/// Whether a claim's StorageClass is there; whoever may not look goes on. Without it a claim is made and never bound.
///
/// # Errors
/// It is not.
pub fn check_class(kubectl: &Kubectl, claim: &ClaimTemplate) -> Result<(), Fail> {
    let Some(class) = claim.storage_class_name.as_deref().filter(|class| !class.is_empty()) else { return Ok(()) };
    match kubectl.find::<StorageClass>(&kubectl.target.get(STORAGE_CLASSES, class)) {
        Ok(None) => Err(Fail::new(Exit::Precondition, format!("there is no StorageClass {class}"))
            .remedy("see kubectl get storageclasses; --storage-class names another for a claim beside the old one")),
        Err(fail) if fail.exit != Exit::Precondition => Err(fail),
        _ => Ok(()),
    }
}

/// Waits until a claim is bound, where that does not wait for a pod itself. Returns a word on it.
///
/// # Errors
/// It is not bound in time, or it is gone.
pub fn await_bound(kubectl: &Kubectl, name: &str, limit: Duration, step: &Step) -> Result<String, Fail> {
    step.progress(&format!("waits until {name} is bound"));
    let mut waits_for_pod = None;
    let bound = kubectl::until(limit, || {
        let namespace = &kubectl.target.namespace;
        let claim = kubectl
            .find::<Pvc>(&kubectl.target.get(CLAIMS, name))?
            .ok_or_else(|| Fail::new(Exit::Failed, format!("the claim {name} in {namespace} is gone")))?;
        if claim.status.phase == "Bound" {
            return Ok(Some("bound"));
        }
        let class = claim.spec.storage_class_name.unwrap_or_default();
        let waits = *waits_for_pod.get_or_insert_with(|| {
            // Whoever may not read it waits.
            let class = kubectl.json::<StorageClass>(&kubectl.target.get(STORAGE_CLASSES, &class)).ok();
            class.and_then(|class| class.volume_binding_mode).as_deref() == Some("WaitForFirstConsumer")
        });
        Ok(waits.then_some("bound as soon as a pod mounts it"))
    })?;
    bound.map(str::to_string).ok_or_else(|| {
        let (limit, namespace) = (humantime::format_duration(limit), &kubectl.target.namespace);
        Fail::new(Exit::Failed, format!("the claim {name} was not bound within {limit}"))
            .remedy(format!("see kubectl describe pvc {name} -n {namespace}"))
    })
}
