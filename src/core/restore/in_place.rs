//! What is made of a snapshot: a claim beside the old one, a clone in another namespace, or the plan of an in-place restore.
//! Pure; must not know how any of it is done.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::backup::name;
use crate::core::engine::Engine;
use crate::core::kube::calls;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::namespace_objects::ExecKind;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Content, CronJob, Meta, Pod, PodSpec, Pvc, Readiness, Snapshot, Workload};
use crate::core::kube::quantity;
use crate::core::retention::slot;
use crate::core::time_zone::Zone;

/// What a claim made from `snapshot` is like: as the one that it is of, if that is still there, else as it was noted when the
/// snapshot was made, and never smaller than the data. None where neither is known.
pub fn template(snapshot: &Snapshot, living: Option<&Pvc>) -> Option<ClaimTemplate> {
    let noted = ClaimTemplate::noted(&snapshot.metadata.annotations);
    let mut template = living.map(ClaimTemplate::of).or_else(|| noted.clone())?;
    let least = snapshot.status.restore_size.as_deref().unwrap_or_default();
    let was = noted.map(|noted| noted.storage).unwrap_or_default();
    template.storage = quantity::bigger(quantity::bigger(&template.storage, &was), least).to_string();
    Some(template)
}

/// What a claim by the name `name` is taken to be like where nothing tells: as big as the data, for one node, and of the volume
/// mode that the content knows. None where nothing tells how big the data is, either.
pub fn assumed(name: &str, snapshot: &Snapshot, content: Option<&Content>) -> Option<ClaimTemplate> {
    let size = snapshot.status.restore_size.clone()?;
    // Drivers that do not know say nothing, or 0.
    quantity::bytes(&size).filter(|bytes| *bytes > 0)?;
    Some(ClaimTemplate {
        name: name.into(),
        access_modes: vec!["ReadWriteOnce".into()],
        volume_mode: content.and_then(|content| content.spec.source_volume_mode.clone()),
        storage: size,
        ..ClaimTemplate::default()
    })
}

/// A StorageClass.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageClass {
    /// Name and the rest.
    pub metadata: Meta,
    /// The driver that makes its volumes.
    pub provisioner: String,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
}

/// The class of this name, or the one that Kubernetes gives a claim which names none: the newest that is marked as the default
/// (<https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>). `driver` is the snapshot's, where that
/// is known: volumes are made from a snapshot by its own driver alone.
///
/// # Errors
/// There is none, or it is another driver's; and what to do.
pub fn class<'a>(
    classes: &'a [StorageClass],
    named: Option<&str>,
    driver: Option<&str>,
) -> Result<&'a str, (String, String)> {
    let is_default = |class: &&StorageClass| {
        let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        marks.iter().any(|mark| class.metadata.annotations.get(*mark).is_some_and(|value| value == "true"))
    };
    let is_fit = |class: &StorageClass| driver.is_none_or(|driver| class.provisioner == driver);
    let found = match named {
        Some(named) => classes.iter().find(|class| class.metadata.name == named),
        None => classes.iter().filter(is_default).max_by_key(|class| {
            let Meta { creation_timestamp: made, name, .. } = &class.metadata;
            (*made, Reverse(name))
        }),
    };
    let default = if named.is_none() { "the cluster's default " } else { "" };
    let what = match (found, named) {
        (Some(class), _) if is_fit(class) => return Ok(&class.metadata.name),
        (Some(StorageClass { metadata: Meta { name, .. }, provisioner, .. }), _) => {
            let driver = driver.unwrap_or_default();
            format!("{default}StorageClass {name} is of {provisioner}, the snapshot of {driver}")
        }
        (None, Some(named)) => format!("there is no StorageClass {named}"),
        (None, None) => "the cluster has no default StorageClass".into(),
    };
    let fit: Vec<&str> =
        classes.iter().filter(|class| is_fit(class)).map(|class| class.metadata.name.as_str()).collect();
    let which = if fit.is_empty() { "there is none that fits".into() } else { fit.join(" or ") };
    Err((what, format!("name one with --storage-class: {which}")))
}

/// A claim as [`template`] says, by the name and in the namespace that are given, from the VolumeSnapshot `source` there. `from`
/// is the snapshot whose data that is. One that takes the place of the old one has its annotations and finalizers, too; for a
/// copy beside it those would be lies: they tell tools and controllers whose it is.
pub fn claim(template: &ClaimTemplate, name: &str, namespace: &str, source: &str, from: &Snapshot) -> Value {
    let takes_its_place = name == template.name && namespace == from.metadata.namespace;
    let mut annotations = if takes_its_place { template.annotations.clone() } else { BTreeMap::new() };
    annotations.insert(labels::RESTORED_FROM.into(), full_name(from));
    for engine in Engine::ALL {
        if let Some(proof) = from.metadata.annotations.get(engine.annotation()) {
            annotations.insert(engine.annotation().into(), proof.clone());
        }
    }
    let mut spec = json!({
        "accessModes": template.access_modes,
        "resources": {"requests": {"storage": template.storage}},
        "dataSource": data_source(source),
    });
    if let Some(class) = &template.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    if let Some(mode) = &template.volume_mode {
        spec["volumeMode"] = json!(mode);
    }
    if let Some(class) = &template.volume_attributes_class_name {
        spec["volumeAttributesClassName"] = json!(class);
    }
    if !template.limits.is_empty() {
        spec["resources"]["limits"] = json!(template.limits);
    }
    let mut metadata =
        json!({"name": name, "namespace": namespace, "labels": template.labels, "annotations": annotations});
    if takes_its_place && !template.finalizers.is_empty() {
        metadata["finalizers"] = json!(template.finalizers);
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
}

fn data_source(snapshot: &str) -> Value {
    json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot})
}

fn full_name(snapshot: &Snapshot) -> String {
    format!("{}/{}", snapshot.metadata.namespace, snapshot.metadata.name)
}

/// Whether a claim was made from this snapshot's data.
pub fn is_from(claim: &Pvc, snapshot: &Snapshot) -> bool {
    claim.metadata.annotations.get(labels::RESTORED_FROM) == Some(&full_name(snapshot))
}

/// The content and the VolumeSnapshot, bound to each other, by which another namespace gets at the data of `snapshot`, which
/// `content` holds. The data never goes with them. Their names are the same every time, so that a second call finds them.
///
/// # Errors
/// The content has no stored data yet.
pub fn clone(snapshot: &Snapshot, content: &Content, namespace: &str) -> Result<(Value, Value), String> {
    let handle = content.handle().ok_or("its VolumeSnapshotContent has no snapshotHandle")?;
    let name = &snapshot.metadata.name;
    let content_name = clone_name(content, namespace);
    let of = json!({labels::CLONE_OF: full_name(snapshot)});
    let mut spec = json!({
        "deletionPolicy": "Retain",
        "driver": content.spec.driver,
        "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "name": name, "namespace": namespace,
        },
    });
    if let Some(class) = &content.spec.volume_snapshot_class_name {
        spec["volumeSnapshotClassName"] = json!(class);
    }
    if let Some(mode) = &content.spec.source_volume_mode {
        spec["sourceVolumeMode"] = json!(mode);
    }
    let api = "snapshot.storage.k8s.io/v1";
    let content = json!({
        "apiVersion": api, "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": content_name, "annotations": of,
            "labels": {labels::DATA: labels::data_value(&content.spec.driver, handle)},
        },
        "spec": spec,
    });
    let snapshot = json!({
        "apiVersion": api, "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": namespace, "labels": {labels::TYPE: labels::CLONE}, "annotations": of},
        "spec": {"source": {"volumeSnapshotContentName": content_name}},
    });
    Ok((content, snapshot))
}

/// The name of the content by which `namespace` gets at the data of `content`.
fn clone_name(content: &Content, namespace: &str) -> String {
    format!("clone-{}-{namespace}", content.metadata.uid)
}

/// What an in-place restore has to remember from its first step to its last. It stands on the snapshot that is restored, from
/// before anything is changed until all is done; together with what is there it says what is to be done next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The claim that is replaced.
    pub claim: ClaimTemplate,
    /// Its uid: one with another is the replacement.
    pub uid: String,
    /// Its annotations, but for those that speak of the volume.
    pub annotations: BTreeMap<String, String>,
    /// Its `metadata.ownerReferences`, as they are.
    pub owners: Vec<Value>,
    /// The VolumeSnapshot of what was there.
    pub safety: String,
    /// What is down meanwhile.
    pub workloads: Vec<Down>,
    /// Whether what was there is to come back.
    pub back: bool,
    /// Which call is at work on it: the last one that wrote it. Empty where an older version did.
    #[serde(default)]
    pub run: String,
}

/// What is there by the name of a restore's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The claim that the restore began with.
    Old,
    /// None, or one that is being deleted.
    Gone,
    /// The one that the restore made.
    Restored,
    /// The one that its rollback made.
    Back,
    /// Another one: something else made it.
    Other,
}

/// What is still to be done of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All of it: the claim is not replaced yet.
    Replace,
    /// The claim is there; what is down for it has to come up.
    Start,
    /// The journal has to go: nothing else was changed.
    Forget,
}

/// How many days the snapshot of what was there before a restore stays.
const SAFETY_DAYS: u32 = 30;

/// The name of the snapshot of what was there.
pub fn safety_name(claim: &str, now: DateTime<Utc>, zone: Zone) -> String {
    name::with_ending(claim, &format!("-before-restore-{}", zone.local(now).format("%Y-%m-%d-%H%M%S")))
}

/// A workload that is down, and how it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// How many pods it had; of a CronJob 1 if it was at work, 0 if it was suspended.
    pub replicas: u32,
}

/// The kinds of workload that can be brought down and up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// By its replicas.
    Deployment,
    /// By its replicas.
    StatefulSet,
    /// By suspending it.
    CronJob,
}

impl WorkloadKind {
    /// As the API has it.
    pub fn resource(self) -> calls::Kind {
        match self {
            WorkloadKind::Deployment => calls::DEPLOYMENTS,
            WorkloadKind::StatefulSet => calls::STATEFUL_SETS,
            WorkloadKind::CronJob => calls::CRON_JOBS,
        }
    }

    fn word(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
            WorkloadKind::CronJob => "cronjob",
        }
    }
}

impl Down {
    /// The merge patch that brings it down, with a note on why, or up again.
    pub fn patch(&self, down: Option<&str>) -> Value {
        let replicas = if down.is_some() { 0 } else { self.replicas };
        let spec = match self.kind {
            WorkloadKind::CronJob => json!({"suspend": replicas == 0}),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => json!({"replicas": replicas}),
        };
        json!({"metadata": {"annotations": {labels::RESTORING: down}}, "spec": spec})
    }
}

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl NamespaceObjects {
    /// The snapshot of this name.
    pub fn snapshot(&self, name: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.metadata.name == name)
    }

    /// The claim of this name.
    pub fn claim(&self, name: &str) -> Option<&Pvc> {
        self.claims.iter().find(|claim| claim.metadata.name == name)
    }

    /// The pods that mount the claim: as long as there is one, be it one that has ended, the claim cannot go.
    pub fn mounters(&self, claim: &str) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| mounts(&pod.spec, claim)).collect()
    }

    /// A workload that is to be brought up again, as it is now.
    pub fn workload(&self, down: &Down) -> Option<&Workload> {
        let kind = match down.kind {
            WorkloadKind::Deployment => ExecKind::Deployment,
            WorkloadKind::StatefulSet => ExecKind::StatefulSet,
            WorkloadKind::CronJob => return None,
        };
        self.workloads
            .iter()
            .find(|(of, found)| *of == kind && found.metadata.name == down.name)
            .map(|(_, found)| found)
    }

    /// The note on a workload that says for which restore it is down.
    fn mark(&self, down: &Down) -> Option<&str> {
        let meta = match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).map(|found| &found.metadata),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).map(|found| &found.metadata),
        };
        meta?.annotations.get(labels::RESTORING).map(String::as_str)
    }

    fn cron_job(&self, down: &Down) -> Option<&CronJob> {
        self.cron_jobs.iter().find(|found| found.metadata.name == down.name)
    }

    /// Whether a workload is there.
    pub fn is_there(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).is_some(),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).is_some(),
        }
    }

    /// Whether a workload is down for the restore of this snapshot.
    pub fn is_down_for(&self, down: &Down, snapshot: &str) -> bool {
        self.mark(down) == Some(snapshot)
    }

    /// Whether a workload is down.
    pub fn is_down(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).is_none_or(|found| found.spec.suspend),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                self.workload(down).is_none_or(|found| found.spec.replicas == Some(0))
            }
        }
    }

    /// Whether a workload is up as it was: all of its pods are ready. They were made since it was down; that they are of the
    /// newest template is not asked for, as they never are where a Deployment is paused or a StatefulSet keeps a partition back.
    pub fn is_up(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => down.replicas == 0 || !self.is_down(down),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).is_none_or(|found| {
                // What scales it may want another number by now.
                let wanted = found.spec.replicas.unwrap_or(1);
                (wanted > 0 || down.replicas == 0)
                    && found.status.observed_generation >= found.metadata.generation
                    && found.status.ready_replicas >= wanted
            }),
        }
    }

    /// An in-place restore that was begun and is not done, of the claim that `snapshot` is of: the snapshot that it restores,
    /// and its journal.
    pub fn begun(&self, claim: &str) -> Option<(&Snapshot, Journal)> {
        let journals = self.snapshots.iter().filter_map(|snapshot| Some((snapshot, journal(snapshot)?)));
        journals.into_iter().find(|(_, journal)| journal.claim.name == claim)
    }

    /// Why nothing that mounts the claim may be brought down, and what to do: it was deleted, and only its pods hold it.
    pub fn going(&self, claim: &str) -> Option<(String, String)> {
        let deleted = self.claim(claim).is_some_and(|claim| claim.metadata.deletion_timestamp.is_some());
        (deleted && !self.mounters(claim).is_empty()).then(|| {
            let namespace = self.claim(claim).map_or("", |claim| claim.metadata.namespace.as_str());
            // As YAML: quotes would not survive where logs escape them.
            let patch = "'spec: {persistentVolumeReclaimPolicy: Retain}'";
            (
                format!("somebody deleted the claim {claim}: it goes, with all it holds, as soon as no pod mounts it"),
                format!(
                    "leave its pods alone; have its volume stay first: kubectl patch pv $(kubectl get pvc {claim} -n {namespace} \
                     -o jsonpath='{{.spec.volumeName}}') -p {patch}; then scale them down, and run this again, or make the claim \
                     anew with backup-ns restore"
                ),
            )
        })
    }

    /// Plans an in-place restore of `snapshot` to the claim that it is of; `safety` is the name of the snapshot of what is
    /// there.
    ///
    /// # Errors
    /// Everything that speaks against it, with what to do about it.
    pub fn plan(&self, snapshot: &Snapshot, safety: &str) -> Result<Journal, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut problem = |what: String, remedy: String| problems.push((what, remedy));
        let Meta { name, namespace, .. } = &snapshot.metadata;
        if snapshot.readiness() != Readiness::Ready {
            problem(
                format!("the VolumeSnapshot {name} is not ready"),
                format!("see kubectl describe volumesnapshot {name} -n {namespace}"),
            );
        }
        let Some(source) = of_claim(snapshot) else {
            problem(
                format!("nothing tells what claim VolumeSnapshot {name} is of"),
                format!(
                    "make a claim from it, beside what is there: backup-ns restore {name} -n {namespace} --pvc NAME"
                ),
            );
            return Err(problems);
        };
        let Some(claim) = self.claim(&source) else {
            problem(
                format!("the claim '{source}' that {name} is of is not there"),
                format!(
                    "there is nothing to replace; make it with backup-ns restore {name} -n {namespace} --pvc {source}"
                ),
            );
            return Err(problems);
        };
        let workloads = self.to_bring_down(&source, namespace, &mut problem);
        for other in self.unready(&source).into_iter().filter(|other| other.metadata.name != *name) {
            let (is_failed, other) = (matches!(other.readiness(), Readiness::Failed(_)), &other.metadata.name);
            problem(
                format!(
                    "the VolumeSnapshot {other} of the claim is not ready, and as long as it is not the claim cannot go"
                ),
                // One that has not failed is of a backup that is at work.
                match is_failed {
                    true => format!("it failed: see why, then delete it (backup-ns delete {other} -n {namespace})"),
                    false => format!("wait until it is: kubectl get volumesnapshot {other} -n {namespace} -w"),
                },
            );
        }
        let Some(mut template) = template(snapshot, Some(claim)) else { return Err(problems) };
        let annotations = mem::take(&mut template.annotations);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Journal {
            claim: template,
            uid: claim.metadata.uid.clone(),
            annotations,
            owners: claim.metadata.owner_references.clone(),
            safety: safety.into(),
            workloads,
            back: false,
            run: String::new(),
        })
    }

    /// The snapshots that hold a claim: the snapshot controller keeps it as long as a snapshot of it is not ready.
    fn unready(&self, claim: &str) -> Vec<&Snapshot> {
        let of_claim = |one: &&Snapshot| one.spec.source.persistent_volume_claim_name.as_deref() == Some(claim);
        self.snapshots.iter().filter(of_claim).filter(|one| one.readiness() != Readiness::Ready).collect()
    }

    /// What holds the claim of a restore: the safety snapshots of its earlier calls that never became ready and hold
    /// nothing, and all others, which are not this restore's to delete.
    pub fn holders(&self, journal: &Journal) -> (Vec<&Snapshot>, Vec<&Snapshot>) {
        let others: Vec<Journal> = self.snapshots.iter().filter_map(self::journal).collect();
        let unready = self.unready(&journal.claim.name).into_iter();
        unready.filter(|one| one.metadata.name != journal.safety).partition(|one| {
            one.metadata.labels.get(labels::TYPE).is_some_and(|kind| kind == labels::SAFETY)
                && !others.iter().any(|other| other.safety == one.metadata.name)
        })
    }

    /// What has to come down so that nothing mounts the claim; whatever cannot be brought down is a problem.
    fn to_bring_down(&self, claim: &str, namespace: &str, problem: &mut impl FnMut(String, String)) -> Vec<Down> {
        let mut all = Vec::new();
        let mut covered: Vec<&str> = Vec::new();
        for (kind, workload) in &self.workloads {
            let Workload { metadata: meta, spec, .. } = workload;
            if !mounts(&spec.template.spec, claim) && !makes(workload, claim) {
                continue;
            }
            let kind = match kind {
                ExecKind::Deployment => WorkloadKind::Deployment,
                ExecKind::StatefulSet => WorkloadKind::StatefulSet,
                ExecKind::DaemonSet | ExecKind::Pod => {
                    let name = &meta.name;
                    problem(
                        format!("daemonset/{name} mounts the claim and cannot be scaled down"),
                        format!(
                            "take it away for the time being (kubectl delete daemonset {name} -n {namespace} --cascade=foreground)"
                        ),
                    );
                    continue;
                }
            };
            if let Some(by) = meta.annotations.get(labels::RESTORING) {
                problem(
                    format!("{}/{} is down for a restore of {by}, which is not done", kind.word(), meta.name),
                    format!(
                        "wait for the call that does it; if that was ended, finish it first: backup-ns restore {by} -n {namespace} \
                         --in-place, or --rollback; if there is no such restore any more, start it: kubectl scale {0}/{1} -n \
                         {namespace} --replicas=1, and take the mark off: kubectl annotate {0}/{1} -n {namespace} {2}-",
                        kind.word(),
                        meta.name,
                        labels::RESTORING
                    ),
                );
            }
            if spec.persistent_volume_claim_retention_policy.when_scaled == "Delete" {
                let name = &meta.name;
                problem(
                    format!("statefulset/{name} deletes its claims when it is scaled down"),
                    "set its spec.persistentVolumeClaimRetentionPolicy.whenScaled to Retain".into(),
                );
            }
            let own = self.pods.iter().filter(|pod| spec.selector.selects(&pod.metadata.labels));
            covered.extend(own.map(|pod| pod.metadata.name.as_str()));
            all.push(Down { kind, name: meta.name.clone(), replicas: spec.replicas.unwrap_or(1) });
        }
        for cron_job in &self.cron_jobs {
            if mounts(&cron_job.spec.job_template.spec.template.spec, claim) {
                let replicas = u32::from(!cron_job.spec.suspend);
                all.push(Down { kind: WorkloadKind::CronJob, name: cron_job.metadata.name.clone(), replicas });
            }
        }
        let loose = self.mounters(claim).into_iter().filter(|pod| !covered.contains(&pod.metadata.name.as_str()));
        for pod in loose {
            let name = &pod.metadata.name;
            let owner = pod.metadata.owner_references.iter().find(|owner| owner["controller"] == true);
            let owner = owner.map(|owner| (owner["kind"].as_str().unwrap_or_default(), &owner["name"]));
            let delete = format!("kubectl delete pod {name} -n {namespace}");
            match owner {
                _ if ["Succeeded", "Failed"].contains(&pod.status.phase.as_str()) => problem(
                    format!("the pod {name} has ended, and as long as it is there the claim cannot go"),
                    format!("delete it: {delete}"),
                ),
                Some(("Job", _)) => {
                    problem(format!("the pod {name} of a Job mounts the claim"), "wait until it has ended".to_string())
                }
                Some((kind, owner)) => problem(
                    format!(
                        "what mounts the claim belongs to nothing that can be scaled down and up again: pod {name}, of the {kind} {}",
                        owner.as_str().unwrap_or_default()
                    ),
                    "stop that by its own means, until the pod is gone".to_string(),
                ),
                None => problem(
                    format!(
                        "what mounts the claim belongs to nothing that can be scaled down and up again: pod {name}"
                    ),
                    format!("wait until it is done, or delete it: {delete}"),
                ),
            }
        }
        all
    }
}

/// The journal on a snapshot.
pub fn journal(snapshot: &Snapshot) -> Option<Journal> {
    serde_json::from_str(snapshot.metadata.annotations.get(labels::RESTORING)?).ok()
}

/// The claim that a snapshot is of, by its source or by what was noted.
pub fn of_claim(snapshot: &Snapshot) -> Option<String> {
    let source = snapshot.spec.source.persistent_volume_claim_name.clone();
    source.or_else(|| ClaimTemplate::noted(&snapshot.metadata.annotations).map(|noted| noted.name))
}

/// The name of its claim as far as its labels tell, to be named to somebody who has to say it.
pub fn guessed_claim(snapshot: &Snapshot) -> &str {
    snapshot.metadata.labels.get(labels::PVC).map_or("NAME", String::as_str)
}

fn mounts(spec: &PodSpec, claim: &str) -> bool {
    let claims = spec.volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.into_iter().any(|reference| reference.claim_name == claim)
}

/// Whether a StatefulSet makes this claim for one of its pods: `TEMPLATE-NAME-NUMBER`
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage>).
fn makes(workload: &Workload, claim: &str) -> bool {
    workload.spec.volume_claim_templates.iter().any(|template| {
        let number = claim.strip_prefix(&format!("{}-{}-", template.metadata.name, workload.metadata.name));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

impl Journal {
    /// What is there by the claim's name; `of` is the snapshot that carries the journal.
    pub fn place(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> ClaimState {
        let Some(claim) = namespace_objects.claim(&self.claim.name) else { return ClaimState::Gone };
        let is_from = |name: &str| {
            let full = format!("{}/{name}", of.metadata.namespace);
            claim.metadata.annotations.get(labels::RESTORED_FROM) == Some(&full)
        };
        match () {
            () if claim.metadata.deletion_timestamp.is_some() => ClaimState::Gone,
            () if claim.metadata.uid == self.uid => ClaimState::Old,
            () if is_from(&of.metadata.name) => ClaimState::Restored,
            () if is_from(&self.safety) => ClaimState::Back,
            () => ClaimState::Other,
        }
    }

    /// What is still to be done, by what is there.
    ///
    /// # Errors
    /// Neither way goes on, with what a person can do.
    pub fn rest(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> Result<Rest, (String, String)> {
        let Journal { claim, safety, workloads, .. } = self;
        let (claim, name, namespace) = (&claim.name, &of.metadata.name, &of.metadata.namespace);
        let kept = namespace_objects.snapshot(safety).is_some();
        match (self.place(namespace_objects, of), self.back) {
            (ClaimState::Old, false) => Ok(Rest::Replace),
            (ClaimState::Gone, _) | (ClaimState::Restored, true) if kept => Ok(Rest::Replace),
            (ClaimState::Restored, false) | (ClaimState::Old | ClaimState::Back, true) => Ok(Rest::Start),
            (ClaimState::Other, true) if !workloads.iter().any(|down| namespace_objects.is_down_for(down, name)) => {
                Ok(Rest::Forget)
            }
            (ClaimState::Restored, true) => Err((
                format!("the VolumeSnapshot {safety} of what was there is gone"),
                "it cannot be taken back any more".into(),
            )),
            (ClaimState::Gone, _) => {
                let were: Vec<String> = workloads.iter().map(|down| format!("{down} had {}", down.replicas)).collect();
                Err((
                    format!("the claim {claim} is gone, and so is the VolumeSnapshot {safety} of what was there"),
                    format!(
                        "make it from what is to come back: backup-ns restore {name} -n {namespace} --pvc {claim} --wait; what is                          down comes up then with the command below ({})",
                        were.join(", ")
                    ),
                ))
            }
            (ClaimState::Back | ClaimState::Other, _) => Err((
                format!("the claim {claim} is neither the one that this restore began with nor the one that it made"),
                format!(
                    "see what made it: kubectl describe pvc {claim} -n {namespace}; pause that (GitOps, an operator) and move what \
                     it holds; this goes on as soon as there is no such claim"
                ),
            )),
        }
    }

    /// Whether another restore is about the same claim or stops the same workload.
    fn collides(&self, other: &Journal) -> bool {
        let stops = |down: &Down| other.workloads.iter().any(|it| (it.kind, &it.name) == (down.kind, &down.name));
        self.claim.name == other.claim.name || self.workloads.iter().any(stops)
    }

    /// The restores of other snapshots, by name, that were begun and are in the way of this one.
    pub fn others<'a>(&self, namespace_objects: &'a NamespaceObjects, of: &Snapshot) -> Vec<&'a str> {
        let others = namespace_objects.snapshots.iter().filter(|other| other.metadata.name != of.metadata.name);
        let others = others.filter(|other| journal(other).is_some_and(|journal| self.collides(&journal)));
        others.map(|other| other.metadata.name.as_str()).collect()
    }

    /// The merge patch that notes it on its snapshot, while that is still in this version; `None` takes the note away.
    pub fn patch(journal: Option<&Journal>, snapshot: &Snapshot) -> Value {
        let note = journal.map(|journal| json!(journal).to_string());
        json!({"metadata": {
            "resourceVersion": snapshot.metadata.resource_version, "annotations": {labels::RESTORING: note},
        }})
    }

    /// The VolumeSnapshot of what was there. It is no backup: nothing in it was proven, and it must not stand for one.
    pub fn safety(&self, of: &str, namespace: &str, class: Option<&str>, now: DateTime<Utc>, zone: Zone) -> Value {
        let mut spec = json!({"source": {"persistentVolumeClaimName": self.claim.name}});
        if let Some(class) = class {
            spec["volumeSnapshotClassName"] = json!(class);
        }
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {
                "name": self.safety,
                "namespace": namespace,
                "labels": {
                    labels::TYPE: labels::SAFETY,
                    labels::PVC: labels::pvc_value(&self.claim.name),
                    labels::RETAIN: "days",
                    labels::RETAIN_DAYS: SAFETY_DAYS.to_string(),
                    labels::DELETE_AFTER: slot::date_after(now, SAFETY_DAYS, zone),
                },
                "annotations": {
                    labels::CLAIM: self.whole().note(),
                    labels::DISTRUSTED: format!("what was there before {of} was restored in place"),
                },
            },
            "spec": spec,
        })
    }

    /// What is to be known of a claim that has finalizers of others.
    pub fn held(&self) -> Option<String> {
        let ClaimTemplate { name, finalizers, .. } = &self.claim;
        let held = || {
            format!(
                "the claim {name} is held by {}: it goes only when what set that takes it off, and the new one has it again",
                finalizers.join(", ")
            )
        };
        (!finalizers.is_empty()).then(held)
    }

    /// What the claim is like, all of it.
    fn whole(&self) -> ClaimTemplate {
        ClaimTemplate { annotations: self.annotations.clone(), ..self.claim.clone() }
    }

    /// The claim in place of the old one, from the data of `from`.
    pub fn replacement(&self, namespace: &str, from: &Snapshot) -> Value {
        let mut claim = claim(&self.whole(), &self.claim.name, namespace, &from.metadata.name, from);
        if !self.owners.is_empty() {
            claim["metadata"]["ownerReferences"] = json!(self.owners);
        }
        claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(objects: Value) -> NamespaceObjects {
        NamespaceObjects::of(serde_json::from_value::<Vec<_>>(objects).unwrap())
    }

    fn snapshot(name: &str, change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({
            "kind": "VolumeSnapshot", "metadata": {"name": name, "namespace": "shop", "annotations": {}},
            "spec": {"source": {"persistentVolumeClaimName": "data-db-0"}},
            "status": {"readyToUse": true, "restoreSize": "2Gi"},
        });
        change(&mut object);
        object
    }

    fn claim() -> Value {
        json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data-db-0", "uid": "u1", "labels": {"app": "db"},
                "annotations": {"team": "shop", "pv.kubernetes.io/bind-completed": "yes", "backup-ns.sh/dump-postgres": "{}"},
                "ownerReferences": [{"kind": "Database", "name": "db"}],
                "finalizers": ["kubernetes.io/pvc-protection", "example.com/keep"],
            },
            "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}},
        })
    }

    fn volumes() -> Value {
        json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
    }

    fn workload(kind: &str, name: &str, spec: Value) -> Value {
        let mut object =
            json!({"kind": kind, "metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}}});
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object
    }

    fn pod(name: &str, app: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": {"volumes": volumes()}})
    }

    /// The plan for a namespace with these objects besides a snapshot and its claim.
    fn plan(objects: &[Value]) -> Result<Journal, Vec<String>> {
        let mut all = vec![snapshot("s", |_| ()), claim()];
        all.extend_from_slice(objects);
        let namespace_objects = items(json!(all));
        let plan = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe");
        plan.map_err(|problems| problems.into_iter().map(|(what, remedy)| format!("{what} -> {remedy}")).collect())
    }

    #[test]
    fn whatever_mounts_the_claim_comes_down() {
        let template = json!({"template": {"spec": {"volumes": volumes()}}, "replicas": 3});
        let journal = plan(&[
            workload("Deployment", "web", template.clone()),
            workload("Deployment", "other", json!({"replicas": 2})),
            // The claims that a StatefulSet makes stand in no template of its pods.
            workload("StatefulSet", "db", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})),
            workload("StatefulSet", "db-0", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})),
            json!({
                "kind": "CronJob", "metadata": {"name": "report"},
                "spec": {"suspend": true, "jobTemplate": {"spec": template}},
            }),
            pod("db-0", "db"),
            pod("web-1", "web"),
        ])
        .unwrap();
        let said: Vec<String> = journal.workloads.iter().map(|down| format!("{down} {}", down.replicas)).collect();
        assert_eq!(said, ["deployment/web 3", "statefulset/db 1", "cronjob/report 0"]);
        assert_eq!(journal.workloads[2].patch(Some("s"))["spec"], json!({"suspend": true}));
        assert_eq!(journal.workloads[2].patch(None)["spec"], json!({"suspend": true}), "as it was");
        assert_eq!(journal.workloads[0].patch(Some("s"))["spec"], json!({"replicas": 0}));
        let up = journal.workloads[0].patch(None);
        assert_eq!(up, json!({"metadata": {"annotations": {"backup-ns.sh/restoring": null}}, "spec": {"replicas": 3}}));
    }

    #[test]
    fn what_cannot_come_down_and_up_again_is_told_all_at_once() {
        let template = json!({"template": {"spec": {"volumes": volumes()}}});
        let mut shrinking =
            workload("StatefulSet", "db", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}));
        shrinking["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
        let problems =
            plan(&[workload("DaemonSet", "agent", template), shrinking, pod("debug", "me"), pod("db-0", "db")]);
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for words in ["daemonset/agent mounts", "whenScaled to Retain", "delete it: kubectl delete pod debug -n shop"] {
            assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
        }
        let namespace_objects = items(json!([snapshot("s", |object| object["status"] = json!({}))]));
        let problems = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe").unwrap_err();
        assert_eq!(problems.len(), 2, "not ready, and no claim: {problems:?}");
    }

    #[test]
    fn a_pod_that_is_in_the_way_is_told_with_what_ends_it() {
        let told = |phase: &str, owner: Value| {
            let mut pod = pod("p", "p");
            pod["status"] = json!({"phase": phase});
            pod["metadata"]["ownerReferences"] = owner;
            plan(&[pod]).unwrap_err().join("; ")
        };
        let of = |kind: &str| json!([{"kind": kind, "name": "o", "controller": true}]);
        // What makes a pod anew is not ended by deleting the pod.
        for (phase, owner, words) in [
            ("Running", json!([]), "delete it: kubectl delete pod p -n shop"),
            ("Succeeded", of("Job"), "delete it: kubectl delete pod p -n shop"),
            ("Running", of("Job"), "-> wait until it has ended"),
            ("Running", of("ReplicaSet"), "of the ReplicaSet o -> stop that by its own means"),
        ] {
            let told = told(phase, owner);
            assert!(told.contains(words), "{told}");
            assert_eq!(told.contains("kubectl delete"), words.contains("kubectl delete"), "{told}");
        }
    }

    #[test]
    fn a_snapshot_that_is_at_work_is_waited_for_and_only_a_failed_one_deleted() {
        let told = |status: Value| {
            let other = snapshot("other", |object| object["status"] = status.clone());
            plan(&[other]).unwrap_err().join("; ")
        };
        assert!(told(json!({})).contains("wait until it is: kubectl get volumesnapshot other -n shop -w"));
        assert!(told(json!({"error": {"message": "no"}})).contains("backup-ns delete other -n shop"));
        assert!(!told(json!({"creationTime": "2026-01-02T03:04:05Z"})).contains("delete"));
    }

    #[test]
    fn the_replacement_is_the_claim_with_other_data() {
        let journal = plan(&[]).unwrap();
        let from = serde_json::from_value(snapshot("s", |object| {
            object["metadata"]["annotations"]["backup-ns.sh/dump-mysql"] = json!("proof");
        }));
        let made = journal.replacement("shop", &from.unwrap());
        let annotations =
            json!({"team": "shop", "backup-ns.sh/restored-from": "shop/s", "backup-ns.sh/dump-mysql": "proof"});
        assert_eq!(made["metadata"]["annotations"], annotations, "the old volume's proof is not the new one's");
        assert_eq!(made["metadata"]["labels"], json!({"app": "db"}));
        assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "db");
        assert_eq!(made["metadata"]["finalizers"], json!(["example.com/keep"]), "Kubernetes sets its own anew");
        assert_eq!(made["spec"]["resources"]["requests"]["storage"], "2Gi", "no smaller than the data");
        assert_eq!(
            (&made["spec"]["storageClassName"], &made["spec"]["dataSource"]["name"]),
            (&json!("fast"), &json!("s"))
        );
        let new: Pvc = serde_json::from_value(made).unwrap();
        assert_eq!(new.sources().collect::<Vec<_>>(), vec![("shop".to_string(), "s".to_string()); 2], "by both notes");
    }

    #[test]
    fn a_journal_is_found_by_its_claim_and_read_as_it_was_written() {
        let journal = plan(&[]).unwrap();
        let note = json!(journal).to_string();
        let noted = snapshot("s", |object| object["metadata"]["annotations"][labels::RESTORING] = json!(note));
        let namespace_objects = items(json!([snapshot("r", |_| ()), noted]));
        let (of, found) = namespace_objects.begun("data-db-0").unwrap();
        assert_eq!((of.metadata.name.as_str(), found), ("s", journal));
        assert!(namespace_objects.begun("data").is_none());
    }

    /// What is still to be done where the claim is of this uid and from this snapshot, where this is there besides.
    fn rest(back: bool, claim: Option<(&str, &str)>, also: &[Value]) -> Result<Rest, String> {
        let journal = Journal {
            back,
            ..plan(&[workload("Deployment", "web", json!({"template": {"spec": {"volumes": volumes()}}}))]).unwrap()
        };
        let mut objects = vec![snapshot("s", |_| ())];
        objects.extend(claim.map(|(uid, from)| {
            let mut claim = self::claim();
            claim["metadata"]["uid"] = json!(uid);
            claim["metadata"]["annotations"][labels::RESTORED_FROM] = json!(from);
            claim
        }));
        objects.extend_from_slice(also);
        let namespace_objects = items(json!(objects));
        journal
            .rest(&namespace_objects, namespace_objects.snapshot("s").unwrap())
            .map_err(|(what, remedy)| format!("{what} -> {remedy}"))
    }

    #[test]
    fn what_is_still_to_be_done_follows_from_what_is_there() {
        let safe = || snapshot("safe", |_| ());
        let (old, restored, back, other) =
            (Some(("u1", "")), Some(("u2", "shop/s")), Some(("u2", "shop/safe")), Some(("u2", "")));
        for (is_back, claim, also, expected) in [
            (false, old, vec![], Rest::Replace),
            // What was restored once before is the old one of the next restore.
            (false, Some(("u1", "shop/s")), vec![], Rest::Replace),
            (false, old, vec![safe()], Rest::Replace),
            (false, None, vec![safe()], Rest::Replace),
            (false, restored, vec![safe()], Rest::Start),
            (true, old, vec![], Rest::Start),
            (true, restored, vec![safe()], Rest::Replace),
            (true, None, vec![safe()], Rest::Replace),
            (true, back, vec![safe()], Rest::Start),
            // Another restore replaced it meanwhile, and nothing is down for this one.
            (true, other, vec![], Rest::Forget),
        ] {
            assert_eq!(rest(is_back, claim, &also), Ok(expected), "{is_back} {claim:?}");
        }
        let stopped =
            json!({"kind": "Deployment", "metadata": {"name": "web", "annotations": {labels::RESTORING: "s"}}});
        for (is_back, claim, also, words) in [
            (false, None, vec![], "backup-ns restore s -n shop --pvc data-db-0 --wait"),
            (true, None, vec![], "deployment/web had 1"),
            (true, restored, vec![], "safe of what was there is gone"),
            (false, other, vec![safe()], "as soon as there is no such claim"),
            (true, other, vec![stopped, safe()], "as soon as there is no such claim"),
        ] {
            let told = rest(is_back, claim, &also).unwrap_err();
            assert!(told.contains(words) && !told.contains("delete"), "{told}");
        }
        let mut going = claim();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        assert_eq!(rest(true, None, &[going, safe()]), Ok(Rest::Replace), "it is as good as gone");
    }

    #[test]
    fn restores_of_one_claim_or_one_workload_are_in_each_others_way() {
        let web = workload("Deployment", "web", json!({"template": {"spec": {"volumes": volumes()}}}));
        let journal = plan(&[web]).unwrap();
        let with = |name: &str, change: &dyn Fn(&mut Journal)| {
            let mut other = journal.clone();
            other.claim.name = "logs".into();
            other.workloads.clear();
            change(&mut other);
            snapshot(name, |object| {
                object["metadata"]["annotations"][labels::RESTORING] = json!(json!(other).to_string())
            })
        };
        let namespace_objects = items(json!([
            with("s", &|_| ()),
            with("claim", &|other| other.claim.name = "data-db-0".into()),
            with("workload", &|other| other.workloads = journal.workloads.clone()),
            with("neither", &|_| ()),
            snapshot("unread", |object| object["metadata"]["annotations"][labels::RESTORING] = json!("?")),
        ]));
        assert_eq!(journal.others(&namespace_objects, namespace_objects.snapshot("s").unwrap()), ["claim", "workload"]);
    }

    #[test]
    fn a_journal_of_an_older_version_is_read() {
        let mut note = json!(plan(&[]).unwrap());
        note.as_object_mut().unwrap().remove("run");
        let old =
            snapshot("s", |object| object["metadata"]["annotations"][labels::RESTORING] = json!(note.to_string()));
        assert_eq!(journal(&serde_json::from_value(old).unwrap()), Some(plan(&[]).unwrap()));
    }

    #[test]
    fn up_means_that_the_pods_that_were_asked_for_are_ready() {
        let down = Down { kind: WorkloadKind::Deployment, name: "web".into(), replicas: 2 };
        let is_up = |replicas: u32, generation: i64, ready: u32| {
            let mut object = workload("Deployment", "web", json!({"replicas": replicas}));
            object["metadata"]["generation"] = json!(4);
            object["status"] = json!({"observedGeneration": generation, "readyReplicas": ready});
            items(json!([object])).is_up(&down)
        };
        // One that is paused, or keeps a partition back, never has pods of the newest template.
        assert!(is_up(2, 4, 2));
        assert!(!is_up(0, 4, 0) && !is_up(2, 3, 2) && !is_up(2, 4, 1));
        assert!(items(json!([])).is_up(&down), "one that is gone is not waited for");
    }

    #[test]
    fn a_template_that_was_noted_does_for_a_claim_that_is_gone() {
        let note = r#"{"name": "data-db-0", "accessModes": ["ReadWriteOnce"], "storage": "3Gi"}"#;
        let of = |change: &dyn Fn(&mut Value)| serde_json::from_value::<Snapshot>(snapshot("s", change)).unwrap();
        assert_eq!(template(&of(&|_| ()), None), None);
        let noted = of(&|object| {
            object["metadata"]["annotations"][labels::CLAIM] = json!(note);
            object["spec"]["source"] = json!({"volumeSnapshotContentName": "c"});
        });
        assert_eq!(template(&noted, None).unwrap().storage, "3Gi");
        assert_eq!(of_claim(&noted).as_deref(), Some("data-db-0"));
        let living: Pvc = serde_json::from_value(claim()).unwrap();
        let template = template(&noted, Some(&living)).unwrap();
        assert_eq!((template.storage.as_str(), template.storage_class_name.as_deref()), ("3Gi", Some("fast")));
    }

    #[test]
    fn a_copy_is_not_taken_for_the_claim_that_it_is_of() {
        let of: Snapshot = serde_json::from_value(snapshot("s", |_| ())).unwrap();
        let living: Pvc = serde_json::from_value(claim()).unwrap();
        let template = template(&of, Some(&living)).unwrap();
        let made = |name: &str, namespace: &str| super::claim(&template, name, namespace, "s", &of)["metadata"].clone();
        let own = made("data-db-0", "shop");
        assert_eq!((&own["annotations"]["team"], &own["finalizers"][0]), (&json!("shop"), &json!("example.com/keep")));
        for copy in [made("look", "shop"), made("data-db-0", "staging")] {
            assert_eq!(copy["annotations"], json!({"backup-ns.sh/restored-from": "shop/s"}));
            assert!(copy.get("finalizers").is_none() && copy["labels"] == json!({"app": "db"}), "{copy}");
        }
    }

    #[test]
    fn where_nothing_tells_a_claim_is_as_big_as_the_data() {
        let of = |size: Value| {
            let object = snapshot("s", |object| object["status"]["restoreSize"] = size.clone());
            serde_json::from_value::<Snapshot>(object).unwrap()
        };
        let content: Content = serde_json::from_value(json!({"spec": {"sourceVolumeMode": "Block"}})).unwrap();
        let made = assumed("data", &of(json!("2Gi")), Some(&content)).unwrap();
        let made = super::claim(&made, "data", "shop", "s", &of(json!("2Gi")));
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeMode": "Block",
            "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
        });
        assert_eq!(made["spec"], spec, "without a class: Kubernetes gives it the default");
        assert_eq!(assumed("data", &of(json!("2Gi")), None).unwrap().volume_mode, None);
        for unknown in [json!(null), json!("0"), json!("much")] {
            assert_eq!(assumed("data", &of(unknown.clone()), None), None, "{unknown}");
        }
    }

    #[test]
    fn a_class_has_to_fit_and_the_default_is_the_newest() {
        let of = |name: &str, driver: &str, day: u32, mark: &str| -> StorageClass {
            let made = format!("2026-01-{day:02}T00:00:00Z");
            let annotations = json!({format!("storageclass.{mark}kubernetes.io/is-default-class"): "true"});
            let metadata = json!({"name": name, "creationTimestamp": made, "annotations": annotations});
            serde_json::from_value(json!({"metadata": metadata, "provisioner": driver})).unwrap()
        };
        let plain = || StorageClass {
            metadata: Meta { name: "plain".into(), ..Meta::default() },
            provisioner: "d".into(),
            ..StorageClass::default()
        };
        let all = [plain(), of("old", "d", 1, ""), of("new", "d", 3, "beta."), of("b", "e", 2, "")];
        assert_eq!(class(&all, None, Some("d")), Ok("new"));
        assert_eq!(class(&all, None, None), Ok("new"));
        let twins = [of("b", "d", 1, ""), of("a", "d", 1, "")];
        assert_eq!(class(&twins, None, None), Ok("a"));
        let (what, remedy) = class(&all, None, Some("e")).unwrap_err();
        assert!(what.contains("new is of d, the snapshot of e") && remedy.ends_with(": b"), "{what}; {remedy}");
        let (what, remedy) = class(&[plain()], None, Some("d")).unwrap_err();
        assert!(what.contains("no default") && remedy.ends_with(": plain"), "{what}; {remedy}");
        assert_eq!(class(&all, Some("old"), Some("d")), Ok("old"));
        let (what, remedy) = class(&all, Some("b"), Some("d")).unwrap_err();
        assert!(
            what == "StorageClass b is of e, the snapshot of d" && remedy.contains("plain or old or new"),
            "{what}; {remedy}"
        );
        assert_eq!(class(&all, Some("c"), None).unwrap_err().0, "there is no StorageClass c");
        assert!(class(&[], None, None).unwrap_err().1.contains("none that fits"));
    }

    #[test]
    fn a_snapshot_of_nobody_knows_what_takes_no_claims_place() {
        let lost = snapshot("s", |object| object["spec"]["source"] = json!({"volumeSnapshotContentName": "c"}));
        let namespace_objects = items(json!([lost, claim()]));
        let problems = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe").unwrap_err();
        assert!(
            problems[0].0.contains("nothing tells") && problems[0].1.contains("restore s -n shop --pvc NAME"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_clone_stands_for_the_same_data_and_never_takes_it_along() {
        let content: Content = serde_json::from_value(json!({
            "metadata": {"name": "c", "uid": "u9"},
            "spec": {"driver": "d", "deletionPolicy": "Delete", "sourceVolumeMode": "Filesystem"},
            "status": {"snapshotHandle": "h"},
        }))
        .unwrap();
        let of: Snapshot = serde_json::from_value(snapshot("s", |_| ())).unwrap();
        let (made, bridge) = clone(&of, &content, "staging").unwrap();
        assert_eq!(
            (&made["spec"]["deletionPolicy"], &made["spec"]["source"]),
            (&json!("Retain"), &json!({"snapshotHandle": "h"}))
        );
        assert_eq!(
            made["metadata"],
            json!({
                "name": "clone-u9-staging", "annotations": {"backup-ns.sh/clone-of": "shop/s"},
                "labels": {"backup-ns.sh/data": labels::data_value("d", "h")},
            })
        );
        assert_eq!(bridge["spec"]["source"]["volumeSnapshotContentName"], "clone-u9-staging");
        assert!(serde_json::from_value::<Content>(made).unwrap().is_clone());
        assert!(clone(&of, &Content::default(), "staging").is_err(), "nothing is stored yet");
    }
}
