//! A throwaway pod with a volume made from a snapshot: made, waited for, and gone again, whatever happens. Everything hangs
//! on one Job, so that it goes by itself where this program is killed. Must not know what is done in the pod.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::backup::pod::Chosen;
use crate::core::kube::calls::{JOBS, NETWORK_POLICIES, VOLUMES};
use crate::core::kube::labels;
use crate::core::kube::objects::{Named, ObjectList};
use crate::core::restore::verify::{self, PodState, ScratchPurpose, Trouble};
use crate::exit::{Exit, Fail};
use crate::io::process::{self, ProcessError};
use crate::io::report::Step;
use crate::io::wait;

/// How often the cluster is asked how far it is.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is asked for its warnings.
const WARNINGS: Duration = Duration::from_secs(5);
/// How long a trouble may last that does not pass by itself as a rule.
const HOPELESS: Duration = Duration::from_secs(60);
/// How long everything may take to go.
const GONE: Duration = Duration::from_secs(90);

/// A Job of ours.
#[derive(Debug)]
pub struct ScratchPod<'a> {
    kubectl: &'a Kubectl,
    purpose: &'static ScratchPurpose,
    name: String,
    namespace: String,
    /// Empty until the API confirmed that it exists.
    uid: String,
}

impl<'a> ScratchPod<'a> {
    /// A Job of this name, not made yet.
    pub fn of(kubectl: &'a Kubectl, purpose: &'static ScratchPurpose, name: &str) -> ScratchPod<'a> {
        let namespace = kubectl.target.namespace.clone();
        ScratchPod { kubectl, purpose, name: name.into(), namespace, uid: String::new() }
    }

    /// Makes the Job and what shuts its pod off, and waits until the pod runs, but no longer than to `end`.
    ///
    /// # Errors
    /// It does not run, with the reason.
    pub fn begin(&mut self, manifest: &Value, image: &str, step: &Step, end: Instant) -> Result<Chosen> {
        self.ensure(manifest)?;
        self.run(image, step, end)
    }

    /// Makes the Job, whose name is random: an existing one is from the first request, whose answer was lost.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn ensure(&mut self, manifest: &Value) -> Result<()> {
        let target = &self.kubectl.target;
        let made: Named = self.kubectl.ensure(&target.create(JOBS), manifest, &target.get(JOBS, &self.name))?;
        self.uid = made.metadata.uid;
        Ok(())
    }

    /// What an object that is to go with the Job has as its owner, once that is made.
    pub fn owner(&self) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "name": self.name, "uid": self.uid})
    }

    /// Makes the Job, unless there is one of this name of another run. Returns whether it was made.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&mut self, manifest: &Value) -> Result<bool> {
        let run = |job: &Value| job["metadata"]["annotations"][labels::RUN].clone();
        let target = &self.kubectl.target;
        let made = match self.kubectl.create::<Value>(&target.create(JOBS), manifest) {
            Err(error) if error.is(Refusal::AlreadyExists) => match self.kubectl.find::<Value>(JOBS, &self.name)? {
                Some(there) if run(&there) == run(manifest) => there,
                _ => return Ok(false),
            },
            made => made?,
        };
        self.uid = made["metadata"]["uid"].as_str().unwrap_or_default().into();
        Ok(true)
    }

    /// Limits the traffic of the pod, and waits until it runs, but no longer than to `end`.
    ///
    /// # Errors
    /// It does not run, with the reason.
    pub fn run(&self, image: &str, step: &Step, end: Instant) -> Result<Chosen> {
        let kubectl = self.kubectl;
        let policy = verify::network_policy(self.purpose, &self.name, &self.namespace, &self.uid);
        match kubectl.create::<Named>(&kubectl.target.create(NETWORK_POLICIES), &policy) {
            Err(error) if error.is(Refusal::Forbidden) => {
                tracing::warn!(
                    "the traffic of the pod is not limited, because no NetworkPolicy may be made: {}",
                    error.said()
                );
            }
            Err(error) if !error.is(Refusal::AlreadyExists) => return Err(error.into()),
            _ => {}
        }
        let pod = self.running(step, end)?;
        Ok(Chosen {
            pod,
            container: self.purpose.word.into(),
            image: image.into(),
            mounts: Vec::new(),
            mark: String::new(),
        })
    }

    fn objects(&self) -> Result<Vec<Value>, ProcessError> {
        let list: ObjectList<Value> =
            self.kubectl.read_all(&self.kubectl.target.trial(&verify::selector(self.purpose, &self.name)))?;
        Ok(list.items)
    }

    /// The warnings about what is ours, oldest first. Who may not read them goes without.
    fn warnings(&self) -> Vec<Value> {
        let read = self.kubectl.json::<ObjectList<Value>>(&self.kubectl.target.warnings());
        let mut events = read.map(|list| list.items).unwrap_or_default();
        let ours =
            |event: &Value| event["involvedObject"]["name"].as_str().is_some_and(|name| name.starts_with(&self.name));
        events.retain(ours);
        let time = |event: &Value| {
            let times = [&event["lastTimestamp"], &event["eventTime"], &event["metadata"]["creationTimestamp"]];
            times.into_iter().find_map(|time| time.as_str().map(str::to_string)).unwrap_or_default()
        };
        events.sort_by_key(time);
        events
    }

    /// Waits until the pod runs; its name.
    fn running(&self, step: &Step, end: Instant) -> Result<String> {
        let mut warnings = Vec::new();
        let mut asked = Instant::now();
        let mut hopeless_since: Option<Instant> = None;
        let mut reported = BTreeSet::new();
        loop {
            let objects = self.objects()?;
            let trouble = match verify::pod_state(&objects, &warnings) {
                PodState::Runs(pod) => {
                    self.not_retained(&objects);
                    return Ok(pod);
                }
                PodState::Ended(why) => bail!(Fail::new(Exit::Failed, why).remedy(self.again())),
                PodState::Waits(trouble) => trouble,
            };
            if let Some(trouble) = &trouble {
                step.progress(&trouble.what);
                // The kubelet pulls, backs off and pulls again: each is reported once.
                if reported.insert(trouble.what.clone()) {
                    tracing::info!("the pod does not run yet: {}", trouble.what);
                }
            }
            match &trouble {
                Some(trouble) if trouble.lasting => {
                    if hopeless_since.get_or_insert_with(Instant::now).elapsed() > HOPELESS {
                        bail!(self.hopeless(trouble));
                    }
                }
                _ => hopeless_since = None,
            }
            if Instant::now() >= end {
                let not = "the pod did not run in time";
                bail!(match &trouble {
                    Some(trouble) if trouble.storage => self.hopeless(trouble),
                    Some(trouble) =>
                        Fail::new(Exit::Failed, format!("{not}: {}", trouble.what)).remedy(self.purpose.longer),
                    None => Fail::new(Exit::Failed, not).remedy(self.purpose.longer),
                });
            }
            process::sleep(PAUSE);
            if let Some(fail) = wait::interrupted() {
                bail!(fail);
            }
            if asked.elapsed() > WARNINGS {
                asked = Instant::now();
                warnings = self.warnings();
            }
        }
    }

    /// A class may keep its volumes when their claims go. This one is to go, too, as far as we may say so.
    fn not_retained(&self, objects: &[Value]) {
        let target = &self.kubectl.target;
        let claims = objects.iter().filter(|object| object["kind"] == "PersistentVolumeClaim");
        for volume in claims.filter_map(|claim| claim["spec"]["volumeName"].as_str()) {
            let Ok(found) = self.kubectl.get::<Value>(VOLUMES, volume) else {
                tracing::debug!(volume, "whether it goes with its claim cannot be seen");
                continue;
            };
            if found["spec"]["persistentVolumeReclaimPolicy"] != "Retain" {
                continue;
            }
            let patch = json!({
                "metadata": {"uid": found["metadata"]["uid"]}, "spec": {"persistentVolumeReclaimPolicy": "Delete"},
            });
            let patch = target.patch(VOLUMES, volume, &patch);
            if let Err(error) = self.kubectl.act(&patch, "") {
                tracing::warn!(volume, "its class keeps volumes, so delete it by hand when this is over: {error}");
            }
        }
    }

    fn hopeless(&self, trouble: &Trouble) -> Fail {
        if trouble.storage {
            let unchanged = self.purpose.unchanged;
            if self.purpose == &verify::IMPORT {
                return Fail::new(Exit::Precondition, format!("no volume can be made for the claim: {}", trouble.what))
                    .remedy(format!("name a class that makes volumes, with --storage-class; {unchanged}"));
            }
            let what = format!("no volume can be made from the snapshot: {}", trouble.what);
            return Fail::new(Exit::Snapshot, what)
                .remedy(format!("check the CSI driver and the stored data; {unchanged}"));
        }
        Fail::new(Exit::Precondition, format!("the pod cannot run: {}", trouble.what)).remedy(self.purpose.other_image)
    }

    /// Why the pod is not what it was; nothing where it is.
    pub fn ended(&self) -> Option<String> {
        match verify::pod_state(&self.objects().ok()?, &[]) {
            PodState::Runs(_) => None,
            PodState::Ended(why) => Some(why),
            PodState::Waits(_) => Some("its pod is gone".into()),
        }
    }

    /// What to do where the surroundings failed.
    fn again(&self) -> String {
        match self.purpose == &verify::IMPORT {
            true => format!("nothing is said about the copy and {}: run it again", self.purpose.unchanged),
            false => AGAIN.to_string(),
        }
    }

    /// The failure of a session in the pod that was not done within `limit`.
    pub fn out_of_time(&self, limit: Duration, said: &str) -> Fail {
        let limit = humantime::format_duration(limit);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Fail::new(Exit::Failed, format!("not done within {limit}{said}")).remedy(self.purpose.longer)
    }

    /// The failure of a session in the pod that broke off.
    pub fn broken(&self, fail: Fail) -> Fail {
        if let Exit::Signal(_) = fail.exit {
            return fail.remedy(self.purpose.unchanged);
        }
        let why = self.ended().map(|why| format!(" ({why})")).unwrap_or_default();
        let remedy = if fail.remedy.is_empty() { self.again() } else { fail.remedy };
        Fail { what: format!("{}{why}", fail.what), remedy, ..fail }
    }

    /// Deletes the Job and waits until everything of it is gone. What is not gone in time is named in a warning: the TTL deletes it.
    pub fn clear(&self) {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"});
        if !self.uid.is_empty() {
            options["preconditions"] = json!({"uid": self.uid});
        }
        let call = self.kubectl.target.delete(JOBS, &self.name);
        let options = options.to_string();
        let name = &self.name;
        match self.kubectl.act(&call, &options) {
            // Who may make none has none to delete.
            Err(error) if self.uid.is_empty() && error.is(Refusal::Forbidden) => return,
            Err(error) if !error.is(Refusal::NotFound) => {
                tracing::warn!(job = name, "it cannot be deleted, but ends and goes by itself: {error}");
                return;
            }
            _ => {}
        }
        let end = Instant::now() + GONE;
        loop {
            match self.objects() {
                Ok(objects) if objects.is_empty() => return,
                Ok(_) if Instant::now() < end => {}
                Ok(_) => return tracing::warn!(job = name, "what belongs to it goes, but is not gone yet"),
                Err(error) => {
                    return tracing::warn!(job = name, "it is deleted; whether all is gone cannot be seen: {error}");
                }
            }
            process::sleep(PAUSE);
        }
    }
}

/// What to do where the surroundings failed.
pub const AGAIN: &str = "nothing is said about the backup and nothing was stamped: run it again";
