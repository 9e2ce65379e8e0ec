//! A restore test: which snapshot and dumps it tests, the manifest of its Job, the state of its pod, and the stamp that it leaves
//! on the snapshot. Must not know how requests are sent.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::objects::{Meta, Readiness, Snapshot};
use crate::core::kube::quantity;
use crate::core::retention::history;
use crate::core::time_zone::Zone;

/// Where the volume is mounted in the pod.
pub const VOLUME: &str = "/backup-ns/volume";
/// Where the scratch server keeps its data.
pub const SCRATCH: &str = "/backup-ns/scratch";

/// What a scratch pod is for.
#[derive(Debug, PartialEq, Eq)]
pub struct ScratchPurpose {
    /// The name of the pod's only container, and a part of the Job's name.
    pub word: &'static str,
    /// The label of its objects, whose value is the Job.
    pub label: &'static str,
    /// Whether the pod may connect to others.
    pub has_egress: bool,
    /// What to do if time is up.
    pub longer: &'static str,
    /// What to do if the pod cannot run.
    pub other_image: &'static str,
    /// What a failure leaves as it was.
    pub unchanged: &'static str,
}

pub const RESTORE_TEST: ScratchPurpose = ScratchPurpose {
    word: "verify",
    label: labels::VERIFY,
    has_egress: false,
    longer: "find out what takes so long, or raise BAK_VERIFY_TIMEOUT (--verify-timeout); nothing was stamped",
    other_image: "correct what the message names, name another image with --verify-image perhaps; nothing was stamped",
    unchanged: "nothing was stamped",
};

pub const EXPORT: ScratchPurpose = ScratchPurpose {
    word: "export",
    label: labels::EXPORT_JOB,
    has_egress: true,
    longer: "find out what takes so long, or raise BAK_EXPORT_TIMEOUT (--export-timeout); nothing was stamped",
    other_image: "correct what the message names: the image is BAK_EXPORT_IMAGE (--export-image), the Secret \
                  BAK_EXPORT_SECRET (--export-secret); nothing was stamped",
    unchanged: "nothing was stamped",
};

pub const IMPORT: ScratchPurpose = ScratchPurpose {
    word: "import",
    label: labels::IMPORT_JOB,
    has_egress: true,
    longer: "find out what takes so long, or raise BAK_EXPORT_TIMEOUT (--export-timeout), for a restore test BAK_VERIFY_TIMEOUT (--verify-timeout); nothing was changed",
    other_image: "correct what the message names: the image is BAK_EXPORT_IMAGE (--export-image), the Secret \
                  BAK_EXPORT_SECRET (--export-secret); nothing was changed",
    unchanged: "nothing was changed",
};

/// After how many seconds Kubernetes deletes a finished Job that backup-ns did not delete.
const STAYS: u32 = 10;
/// The beginning of the reasons in [`labels::DISTRUSTED`] that are from a restore test; a later test may remove only those.
const OURS: &str = "verify: ";

/// Why there is no snapshot to test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoSnapshot {
    Missing,
    /// It is not ready: why.
    NotReady(String),
    /// No ready one of the claim; the claims that have ready ones.
    NoneReady(Vec<String>),
}

/// Finds the snapshot: the named one, else the newest ready backup of `pvc`.
///
/// # Errors
/// See [`NoSnapshot`].
pub fn choose<'a>(
    snapshots: &'a [Snapshot],
    named: Option<&str>,
    pvc: &str,
    now: DateTime<Utc>,
) -> Result<&'a Snapshot, NoSnapshot> {
    let Some(name) = named else {
        let ready = |snapshot: &&Snapshot| {
            snapshot.metadata.labels.get(labels::TYPE).is_none_or(|kind| kind != labels::SAFETY)
                && snapshot.metadata.deletion_timestamp.is_none()
                && snapshot.readiness() == Readiness::Ready
        };
        let made = |snapshot: &&Snapshot| {
            let meta = &snapshot.metadata;
            (history::made(snapshot.status.creation_time, meta.creation_timestamp, now), meta.creation_timestamp)
        };
        let of_claim = snapshots.iter().filter(|snapshot| snapshot.is_of(pvc));
        return of_claim.filter(ready).max_by_key(made).ok_or_else(|| {
            let others = snapshots.iter().filter(ready);
            let others = others.filter_map(|other| other.spec.source.persistent_volume_claim_name.clone());
            NoSnapshot::NoneReady(others.collect::<BTreeSet<_>>().into_iter().collect())
        });
    };
    let found = snapshots.iter().find(|snapshot| snapshot.metadata.name == name).ok_or(NoSnapshot::Missing)?;
    match found.readiness() {
        _ if found.metadata.deletion_timestamp.is_some() => Err(NoSnapshot::NotReady("it is being deleted".into())),
        Readiness::Ready => Ok(found),
        Readiness::Failed(message) => Err(NoSnapshot::NotReady(message)),
        Readiness::Pending | Readiness::Cut => Err(NoSnapshot::NotReady("it is still being made".into())),
    }
}

/// The proofs of one server's databases.
type EngineProofs = (Engine, Vec<Proof>);

/// The proofs of the dumps in a snapshot: for each engine those of its databases.
///
/// # Errors
/// The annotation whose proof is not valid.
pub fn proofs(snapshot: &Snapshot) -> Result<Vec<EngineProofs>, &'static str> {
    let annotations = &snapshot.metadata.annotations;
    let noted = Engine::ALL.into_iter().filter_map(|engine| Some((engine, annotations.get(engine.annotation())?)));
    noted
        .map(|(engine, text)| match serde_json::from_str::<Proof>(text) {
            Ok(mut first) => {
                let more = std::mem::take(&mut first.more);
                Ok((engine, std::iter::once(first).chain(more).collect()))
            }
            Err(_) => Err(engine.annotation()),
        })
        .collect()
}

/// The proofs of one database of that name, and whether others were left out. Without a name, all of them.
///
/// # Errors
/// The databases that there are, if none has that name.
pub fn of_database(proofs: Vec<EngineProofs>, name: Option<&str>) -> Result<(Vec<EngineProofs>, bool), Vec<String>> {
    let Some(name) = name else { return Ok((proofs, false)) };
    let names: Vec<String> =
        proofs.iter().flat_map(|(_, all)| all.iter().map(|proof| proof.database.clone())).collect();
    let of = |(engine, all): EngineProofs| (engine, all.into_iter().filter(|it| it.database == name).collect());
    let found: Vec<(Engine, Vec<Proof>)> =
        proofs.into_iter().map(of).filter(|(_, all): &(_, Vec<_>)| !all.is_empty()).collect();
    let number: usize = found.iter().map(|(_, all)| all.len()).sum();
    if number == 0 { Err(names) } else { Ok((found, number < names.len())) }
}

/// The engine of an image, by its name.
pub fn engine_of(image: &str) -> Engine {
    let any = |words: &[&str]| words.iter().any(|word| image.contains(word));
    if any(&["mysql", "maria", "percona"]) { Engine::MySql } else { Engine::Postgres }
}

/// The fields of the database's pod that the pod of a restore test takes over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScratchPodTemplate {
    pub image: Option<String>,
    /// Fields of the pod's `spec`.
    pod: Map<String, Value>,
    security: Option<Value>,
    /// The container's requests and limits of what every node has.
    resources: Map<String, Value>,
}

/// The fields of the pod in which the dump was made, or of its successor: a pod that mounts the claim `pvc` in a container of
/// the same name, which may be a native sidecar. Without a proof, any container that mounts it. Empty if there is no such pod.
pub fn pod_template(pods: &[Value], proof: Option<&Proof>, pvc: &str) -> ScratchPodTemplate {
    let named = |container: &&Value| proof.is_none_or(|proof| container["name"] == proof.container.as_str());
    let mounts = |pod: &Value, container: &Value| {
        let of_claim: BTreeSet<String> = list(&pod["spec"]["volumes"])
            .iter()
            .filter(|volume| volume["persistentVolumeClaim"]["claimName"] == pvc)
            .filter_map(|volume| Some(volume["name"].as_str()?.to_string()))
            .collect();
        list(&container["volumeMounts"])
            .iter()
            .any(|mount| mount["name"].as_str().is_some_and(|n| of_claim.contains(n)))
    };
    let mut candidates = Vec::new();
    for pod in pods {
        let made_in = proof.is_some_and(|proof| pod["metadata"]["name"] == proof.pod.as_str());
        let containers = running(pod);
        if let Some(container) = containers.iter().find(|c| named(c) && (made_in || mounts(pod, c))) {
            candidates.push((!made_in, pod, container.clone()));
        }
    }
    let Some((_, pod, container)) = candidates.into_iter().min_by_key(|(other, ..)| *other) else {
        return ScratchPodTemplate::default();
    };
    let fields = ["imagePullSecrets", "securityContext", "nodeSelector", "tolerations", "resources"];
    let pod =
        fields.into_iter().filter_map(|field| Some((field.to_string(), pod["spec"].get(field)?.clone()))).collect();
    let common = |of: &Value| -> Map<String, Value> {
        let of = of.as_object().cloned().unwrap_or_default();
        of.into_iter().filter(|(name, _)| ["cpu", "memory", EPHEMERAL].contains(&name.as_str())).collect()
    };
    let kinds = ["requests", "limits"].map(|kind| (kind.to_string(), common(&container["resources"][kind])));
    ScratchPodTemplate {
        image: container["image"].as_str().map(str::to_string),
        pod,
        security: container.get("securityContext").cloned(),
        resources: kinds.into_iter().filter(|(_, of)| !of.is_empty()).map(|(kind, of)| (kind, of.into())).collect(),
    }
}

/// The resource name of a node's own disk.
const EPHEMERAL: &str = "ephemeral-storage";

impl ScratchPodTemplate {
    /// The container's requests and limits, with `storage` of the node's disk for the scratch server: the database's data is on a
    /// volume instead.
    fn resources(&self, storage: &str) -> Map<String, Value> {
        let mut resources = self.resources.clone();
        if let Some(limit) = resources.get_mut("limits").and_then(|limits| limits.get_mut(EPHEMERAL)) {
            let bytes = |text: &str| quantity::bytes(text).unwrap_or_default();
            *limit = json!(bytes(limit.as_str().unwrap_or_default()).saturating_add(bytes(storage)).to_string());
        }
        resources
    }

    /// The user ID of the container, if the pod sets one other than root.
    fn user(&self) -> Option<u64> {
        let of = |context: Option<&Value>| context?.get("runAsUser")?.as_u64();
        of(self.security.as_ref()).or_else(|| of(self.pod.get("securityContext"))).filter(|user| *user != 0)
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The containers of a pod and its native sidecars.
fn running(pod: &Value) -> Vec<Value> {
    let mut all = list(&pod["spec"]["containers"]);
    all.extend(list(&pod["spec"]["initContainers"]).into_iter().filter(|it| it["restartPolicy"] == "Always"));
    all
}

/// Whether the image that a proof names may run in this namespace: the dump was made here, or a container here has that image.
/// Else a proof from elsewhere could run any image.
pub fn may_run(proof: &Proof, namespace: &str, pods: &[Value]) -> bool {
    proof.namespace == namespace
        || pods.iter().any(|pod| {
            ["containers", "initContainers"]
                .iter()
                .any(|kind| list(&pod["spec"][*kind]).iter().any(|it| it["image"] == proof.image.as_str()))
        })
}

/// The volume that a test needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScratchVolume {
    class: Option<String>,
    access_modes: Vec<String>,
    storage: String,
}

impl ScratchVolume {
    /// The spec of a claim of this kind, made from the VolumeSnapshot or empty.
    pub fn claim_spec(&self, snapshot: Option<&str>) -> Value {
        let mut spec = json!({
            "accessModes": self.access_modes,
            "resources": {"requests": {"storage": self.storage}},
        });
        if let Some(name) = snapshot {
            spec["dataSource"] = json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name});
        }
        if let Some(class) = &self.class {
            spec["storageClassName"] = json!(class);
        }
        spec
    }

    /// The same with room for so many bytes.
    #[must_use]
    pub fn with_room(self, bytes: u64) -> ScratchVolume {
        // What a file system takes for itself.
        let needed = bytes.saturating_add(bytes / 10).saturating_add(64 << 20).to_string();
        let storage = quantity::bigger(&self.storage, &needed).to_string();
        ScratchVolume { storage, ..self }
    }
}

/// The volume for a test of a snapshot: as its claim, and at least as big as its data.
///
/// # Errors
/// Why there can be no such volume.
pub fn volume(snapshot: &Snapshot, claim: Option<ClaimTemplate>) -> Result<ScratchVolume, String> {
    volume_of(claim, snapshot.status.restore_size.as_deref())
}

/// A volume as a claim of this kind, and at least as big as its data.
///
/// # Errors
/// Why there can be no such volume.
pub fn volume_of(claim: Option<ClaimTemplate>, restore_size: Option<&str>) -> Result<ScratchVolume, String> {
    let claim = claim.unwrap_or_default();
    if claim.volume_mode.as_deref() == Some("Block") {
        return Err("it is of a raw block device, in which no file can be read".into());
    }
    let storage = quantity::bigger(&claim.storage, restore_size.unwrap_or_default());
    if quantity::bytes(storage).is_none_or(|bytes| bytes == 0) {
        return Err("the size of its volume is unknown".into());
    }
    let storage = storage.to_string();
    let modes = if claim.access_modes.is_empty() { vec!["ReadWriteOnce".into()] } else { claim.access_modes };
    Ok(ScratchVolume { class: claim.storage_class_name, access_modes: modes, storage })
}

/// The name of a Job for a snapshot, which is also a label's value.
pub fn job_name(purpose: &ScratchPurpose, snapshot: &str, rand: &str) -> String {
    let end = format!("-{}-{rand}", purpose.word);
    let begin: String = snapshot.replace('.', "-").chars().take(63usize.saturating_sub(end.len())).collect();
    format!("{}{end}", begin.trim_end_matches('-'))
}

/// What the pod mounts as [`VOLUME`].
#[derive(Debug, Clone, Copy)]
pub enum PodVolume<'a> {
    /// A volume of its own, made from this VolumeSnapshot.
    Snapshot(&'a str, &'a ScratchVolume),
    /// A claim of this name, and how big it is.
    Claim(&'a str, &'a ScratchVolume),
    Nothing,
}

/// What a Job is made from.
#[derive(Debug, Clone)]
pub struct JobRequest<'a> {
    pub purpose: &'a ScratchPurpose,
    pub name: &'a str,
    pub namespace: &'a str,
    pub volume: PodVolume<'a>,
    pub image: &'a str,
    pub template: &'a ScratchPodTemplate,
    pub keepalive: &'a str,
    /// How long it may run, in seconds.
    pub seconds: u64,
}

/// The Job of a scratch pod. It owns the pod, which owns the claim, so that Kubernetes deletes all of them with the Job, also if
/// backup-ns was killed.
pub fn job(request: &JobRequest<'_>) -> Value {
    let labels = json!({request.purpose.label: request.name});
    let mut container = json!({
        "name": request.purpose.word,
        "image": request.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", request.keepalive, "keep", SCRATCH],
        "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
    });
    if let Some(security) = &request.template.security {
        container["securityContext"] = security.clone();
    }
    let (source, storage) = match request.volume {
        PodVolume::Snapshot(snapshot, volume) => {
            let template = json!({"metadata": {"labels": labels}, "spec": volume.claim_spec(Some(snapshot))});
            (Some(json!({"name": "volume", "ephemeral": {"volumeClaimTemplate": template}})), volume.storage.as_str())
        }
        PodVolume::Claim(claim, volume) => {
            let source = json!({"name": "volume", "persistentVolumeClaim": {"claimName": claim}});
            (Some(source), volume.storage.as_str())
        }
        PodVolume::Nothing => (None, ""),
    };
    let resources = request.template.resources(storage);
    if !resources.is_empty() {
        container["resources"] = resources.into();
    }
    let mut volumes = vec![json!({"name": "scratch", "emptyDir": {}})];
    if let Some(source) = source {
        volumes.insert(0, source);
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.insert(0, json!({"name": "volume", "mountPath": VOLUME}));
        }
    }
    let mut annotations = Map::new();
    // initdb needs a name for its user, which the image may lack: so the pod has its own list of users.
    if let Some(user) = request.template.user() {
        annotations
            .insert(labels::USERS.into(), json!(format!("root:x:0:0::/:/bin/sh\ndatabase:x:{user}:0::/:/bin/sh\n")));
        let path = format!("metadata.annotations['{}']", labels::USERS);
        let file = json!({"path": "passwd", "fieldRef": {"fieldPath": path}});
        volumes.push(json!({"name": "users", "downwardAPI": {"items": [file]}}));
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.push(json!({"name": "users", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": true}));
        }
    }
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "containers": [container],
        "volumes": volumes,
    });
    for (field, value) in &request.template.pod {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": request.name, "namespace": request.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": request.seconds,
            "ttlSecondsAfterFinished": STAYS,
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        },
    })
}

/// Denies all traffic of the pod but what its purpose needs. The Job owns it.
pub fn network_policy(purpose: &ScratchPurpose, job: &str, namespace: &str, uid: &str) -> Value {
    let labels = json!({purpose.label: job});
    let mut policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": job,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": uid}],
        },
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress", "Egress"]},
    });
    if purpose.has_egress {
        policy["spec"]["egress"] = json!([{}]);
    }
    policy
}

/// The label selector of a Job's objects.
pub fn selector(purpose: &ScratchPurpose, job: &str) -> String {
    format!("{}={job}", purpose.label)
}

/// Why a pod does not run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// A sentence that says why.
    pub what: String,
    /// Whether the volume cannot be made from the snapshot.
    pub storage: bool,
    /// Whether it rarely passes after more than a minute.
    pub lasting: bool,
}

/// The state of a Job's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodState {
    /// It runs, and has this name.
    Runs(String),
    /// It does not run yet.
    Waits(Option<Trouble>),
    /// It ended: why.
    Ended(String),
}

/// The state of the pod by the objects of the Job and by the warnings about them, newest last. A warning about something that
/// exists by now is ignored.
pub fn pod_state(objects: &[Value], events: &[Value]) -> PodState {
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind);
    let pod = find("Pod");
    let bound = find("PersistentVolumeClaim").is_some_and(|claim| claim["status"]["phase"] == "Bound");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let warning = events.iter().rev().find_map(|event| {
        let reason = word(&event["reason"]);
        let what = format!("{reason}: {}", word(&event["message"]));
        let storage = reason == "ProvisioningFailed";
        // Kubernetes asks a slow driver again.
        let slow = ["DeadlineExceeded", "Aborted"].iter().any(|word| what.contains(word));
        let lasting = (storage && !slow) || reason == "FailedCreate";
        let overtaken = (storage && bound) || (reason == "FailedCreate" && pod.is_some());
        let known = ["ProvisioningFailed", "FailedCreate", "FailedScheduling", "FailedMount", "FailedAttachVolume"];
        (known.contains(&reason.as_str()) && !overtaken).then_some(Trouble { what, storage, lasting })
    });
    let Some(pod) = pod else { return PodState::Waits(warning) };
    let status = &pod["status"];
    let container = &status["containerStatuses"][0]["state"];
    match word(&status["phase"]).as_str() {
        "Running" if !container["running"].is_null() => PodState::Runs(word(&pod["metadata"]["name"])),
        phase @ ("Succeeded" | "Failed") => {
            let why = [&status["reason"], &status["message"], &container["terminated"]["reason"]];
            let why: Vec<String> = why.into_iter().map(word).filter(|word| !word.is_empty()).collect();
            PodState::Ended(format!("its pod is {phase}: {}", why.join(", ")))
        }
        _ => {
            let waiting = &container["waiting"];
            let reason = word(&waiting["reason"]);
            // Any other reason needs a change by a person.
            if ["", "ContainerCreating", "PodInitializing"].contains(&reason.as_str()) {
                return PodState::Waits(warning);
            }
            let what = format!("{reason}: {}", word(&waiting["message"]));
            PodState::Waits(Some(Trouble { what, storage: false, lasting: true }))
        }
    }
}

/// The results of the test of one dump, or of the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The server's version, as it names itself.
    pub server: String,
    /// The image that it is in.
    pub image: String,
    /// The database, where a dump was tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The dump's bytes, compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How many tables were compared.
    pub tables: u64,
    /// How many rows they have in all.
    pub rows: u64,
    /// How many roles or accounts were made from the file beside the dump, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<u64>,
    /// How many kinds of objects were compared with what the database held.
    pub objects: u64,
    /// How many materialized views could not be filled in the scratch server, which is shut off from the network.
    pub unfilled: u64,
    /// Whether the query was asked, and true.
    pub query: bool,
    /// Whether the server ran on the data directory, which was read.
    pub physical: bool,
    /// The results of the server's other databases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Facts>,
}

impl Facts {
    /// The results of all databases of a server, from those of each.
    pub fn joined(all: Vec<Facts>) -> Facts {
        let mut all = all.into_iter();
        let first = all.next().unwrap_or_default();
        Facts { more: all.collect(), ..first }
    }

    /// The results of all databases, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Facts> {
        std::iter::once(self).chain(&self.more)
    }

    /// Takes one line of the report.
    pub fn note(&mut self, key: &str, value: &str) {
        match key {
            "server" => self.server = value.into(),
            "tables" => self.tables = value.trim().parse().unwrap_or(0),
            "rows" => self.rows = value.trim().parse().unwrap_or(0),
            "roles" => self.roles = value.trim().parse().ok(),
            "objects" => self.objects = value.trim().parse().unwrap_or(0),
            "unfilled" => self.unfilled = value.trim().parse().unwrap_or(0),
            "query" => self.query = true,
            "physical" => self.physical = true,
            _ => {}
        }
    }
}

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Good(BTreeMap<Engine, Facts>),
    /// The backup is bad: why.
    Bad(String),
    /// The test could not be made, for a reason outside the backup. Nothing is stamped.
    None(String),
}

/// The merge patch that stamps a snapshot, only in the version of `meta`.
pub fn stamp(meta: &Meta, verdict: &Verdict, now: DateTime<Utc>, zone: Zone, seconds: u64) -> Value {
    let at = zone.local(now).to_rfc3339_opts(SecondsFormat::Secs, false);
    let mut labels = Map::new();
    let mut annotations = Map::new();
    match verdict {
        Verdict::Good(facts) => {
            let facts: Vec<&Facts> = facts.values().flat_map(Facts::all).collect();
            let mut checked = Vec::new();
            if facts.iter().any(|facts| facts.database.is_some()) {
                checked.extend(["size", "sha256", "gzip", "end", "load", "rows"]);
            }
            checked.extend(facts.iter().any(|facts| facts.objects > 0).then_some("objects"));
            checked.extend(facts.iter().any(|facts| facts.roles.is_some()).then_some("roles"));
            checked.extend(facts.iter().any(|facts| facts.query).then_some("query"));
            checked.extend(facts.iter().any(|facts| facts.physical).then_some("physical"));
            let note = json!({
                "verdict": "good", "at": at, "checked": checked, "seconds": seconds,
                "tables": facts.iter().fold(0, |sum: u64, facts| sum.saturating_add(facts.tables)),
                "rows": facts.iter().fold(0, |sum: u64, facts| sum.saturating_add(facts.rows)),
                "sql": facts.iter().any(|facts| facts.query),
                "physical": facts.iter().any(|facts| facts.physical),
            });
            labels.insert(labels::VERIFIED.into(), json!(zone.local(now).format("%Y-%m-%d").to_string()));
            annotations.insert(labels::VERIFICATION.into(), json!(note.to_string()));
            if meta.annotations.get(labels::DISTRUSTED).is_some_and(|why| why.starts_with(OURS)) {
                annotations.insert(labels::DISTRUSTED.into(), Value::Null);
            }
        }
        Verdict::None(_) => {}
        Verdict::Bad(why) => {
            let note = json!({"verdict": "bad", "why": why, "at": at});
            labels.insert(labels::VERIFIED.into(), Value::Null);
            annotations.insert(labels::VERIFICATION.into(), json!(note.to_string()));
            // A reason that is not from a restore test stays.
            let others = meta.annotations.get(labels::DISTRUSTED).is_some_and(|why| !why.starts_with(OURS));
            if !others {
                annotations.insert(labels::DISTRUSTED.into(), json!(format!("{OURS}{why}")));
            }
        }
    }
    json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "labels": labels, "annotations": annotations,
    }})
}

/// The merge patch that removes the distrust, only in the version of `meta`.
pub fn trust(meta: &Meta) -> Value {
    let annotations = json!({labels::DISTRUSTED: null});
    json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": annotations}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::retention::history::testing::at;

    fn snapshot(name: &str, second: u32, more: Value) -> Snapshot {
        let mut object = json!({
            "metadata": {"name": name, "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-22T12:00:00Z"},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"readyToUse": true, "creationTime": format!("2026-11-22T12:00:{second:02}Z"), "restoreSize": "2Gi"},
        });
        for (key, value) in more.as_object().unwrap() {
            for (field, value) in value.as_object().unwrap() {
                object[key][field] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_newest_ready_one_of_the_claim_is_tested_or_the_one_that_is_named() {
        let all = [
            snapshot("old", 1, json!({})),
            snapshot("new", 2, json!({})),
            snapshot("other", 3, json!({"spec": {"source": {"persistentVolumeClaimName": "x"}}})),
            snapshot("failed", 4, json!({"status": {"readyToUse": false, "error": {"message": "boom"}}})),
            snapshot("going", 5, json!({"metadata": {"deletionTimestamp": "2026-11-22T12:01:00Z"}})),
            snapshot(
                "ahead",
                7,
                json!({"status": {"creationTime": "2028-10-22T12:00:00Z"}, "metadata": {"creationTimestamp": "2026-11-22T11:00:00Z"}}),
            ),
            snapshot("safe", 6, json!({"metadata": {"labels": {"backup-ns.sh/type": "safety"}}})),
        ];
        let name = |named, pvc| {
            choose(&all, named, pvc, at("2026-11-22T13:00")).map(|snapshot| snapshot.metadata.name.as_str())
        };
        assert_eq!(name(None, "data"), Ok("new"));
        assert_eq!(name(Some("old"), "data"), Ok("old"));
        assert_eq!(name(Some("other"), "data"), Ok("other"));
        assert_eq!(name(None, "none"), Err(NoSnapshot::NoneReady(vec!["data".into(), "x".into()])));
        assert_eq!(name(Some("none"), "data"), Err(NoSnapshot::Missing));
        assert_eq!(name(Some("failed"), "data"), Err(NoSnapshot::NotReady("boom".into())));
        assert!(matches!(name(Some("going"), "data"), Err(NoSnapshot::NotReady(_))));
    }

    #[test]
    fn the_volume_is_as_the_claim_and_as_big_as_the_data() {
        let claim = |storage: &str| ClaimTemplate {
            storage: storage.into(),
            storage_class_name: Some("fast".into()),
            access_modes: vec!["ReadWriteMany".into()],
            ..ClaimTemplate::default()
        };
        let one = snapshot("a", 1, json!({}));
        let size = |claim| volume(&one, claim).map(|volume| volume.storage);
        assert_eq!(size(Some(claim("1Gi"))), Ok("2Gi".into()));
        assert_eq!(size(Some(claim("3Gi"))), Ok("3Gi".into()));
        assert_eq!(size(None), Ok("2Gi".into()));
        let block = ClaimTemplate { volume_mode: Some("Block".into()), ..claim("1Gi") };
        assert!(size(Some(block)).is_err());
        let made = volume(&one, Some(claim("1Gi"))).unwrap();
        assert_eq!((made.class.as_deref(), &made.access_modes[..]), (Some("fast"), &["ReadWriteMany".to_string()][..]));
        let unknown = snapshot("a", 1, json!({"status": {"restoreSize": "0"}}));
        assert!(volume(&unknown, None).is_err());
    }

    #[test]
    fn a_jobs_name_is_a_labels_value() {
        assert_eq!(job_name(&RESTORE_TEST, "data-1", "abcdef"), "data-1-verify-abcdef");
        let long = job_name(&RESTORE_TEST, &format!("{}.{}", "a".repeat(48), "b".repeat(200)), "abcdef");
        assert_eq!(long, format!("{}-verify-abcdef", "a".repeat(48)));
        assert!(labels::check_value(&long).is_ok());
    }

    fn pod(name: &str, container: &str, claim: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {
            "imagePullSecrets": [{"name": "pull"}], "securityContext": {"fsGroup": 9}, "serviceAccountName": "app",
            "containers": [{
                "name": container, "image": "db:1", "securityContext": {"runAsUser": 9}, "env": [{"name": "A", "value": "secret"}],
                "volumeMounts": [{"name": "v", "mountPath": "/x"}],
            }],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
        }})
    }

    fn proof() -> Proof {
        serde_json::from_value(json!({
            "tool": "t", "database": "app", "bytes": 100, "sha256": "0", "began": "", "ended": "", "file": "/x/d.gz",
            "pathInVolume": "d.gz", "pod": "db-1", "container": "db",
        }))
        .unwrap()
    }

    #[test]
    fn the_databases_pod_lends_its_rights_and_nothing_else() {
        let pods = [pod("db-2", "db", "data"), pod("db-1", "db", "data"), pod("web", "web", "other")];
        let found = pod_template(&pods, Some(&proof()), "data");
        assert_eq!(found.image.as_deref(), Some("db:1"));
        let volume = ScratchVolume { class: None, access_modes: vec!["ReadWriteOnce".into()], storage: "1Gi".into() };
        let request = JobRequest {
            purpose: &RESTORE_TEST,
            name: "j",
            namespace: "shop",
            volume: PodVolume::Snapshot("s", &volume),
            image: "db:1",
            template: &found,
            keepalive: "while :",
            seconds: 60,
        };
        let manifest = job(&request);
        let spec = &manifest["spec"]["template"]["spec"];
        assert_eq!(spec["imagePullSecrets"][0]["name"], "pull");
        assert_eq!(spec["securityContext"]["fsGroup"], 9);
        assert_eq!(spec["containers"][0]["securityContext"]["runAsUser"], 9);
        assert_eq!(manifest["spec"]["activeDeadlineSeconds"], 60);
        assert!(spec.get("serviceAccountName").is_none() && !manifest.to_string().contains("secret"), "{manifest}");
        // A successor counts, an unknown pod does not.
        assert!(pod_template(&pods[..1], Some(&proof()), "data").image.is_some());
        assert_eq!(pod_template(&pods[2..], Some(&proof()), "data"), ScratchPodTemplate::default());
        assert!(pod_template(&pods[2..], None, "other").image.is_some());
    }

    fn pod_of(pods: &[Value]) -> Value {
        let found = pod_template(pods, Some(&proof()), "data");
        let volume = ScratchVolume { class: None, access_modes: vec!["ReadWriteOnce".into()], storage: "1Gi".into() };
        let request = JobRequest {
            purpose: &RESTORE_TEST,
            name: "j",
            namespace: "shop",
            volume: PodVolume::Snapshot("s", &volume),
            image: "db:1",
            template: &found,
            keepalive: "",
            seconds: 60,
        };
        job(&request)["spec"]["template"].clone()
    }

    #[test]
    fn the_pod_has_the_resources_of_the_databases_container() {
        let mut database_pod = pod("db-1", "db", "data");
        assert!(pod_of(&[database_pod.clone()])["spec"]["containers"][0].get("resources").is_none());
        database_pod["spec"]["containers"][0]["resources"] = json!({
            "requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": "1"},
            "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "claims": [{"name": "x"}],
        });
        let expected = json!({
            "requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "1Gi"},
            "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": (2u64 << 30).to_string()},
        });
        assert_eq!(
            pod_of(&[database_pod])["spec"]["containers"][0]["resources"],
            expected,
            "room for a scratch server"
        );
    }

    #[test]
    fn an_init_container_that_stays_lends_as_any_other() {
        let mut database_pod = pod("db-1", "db", "data");
        let container = database_pod["spec"]["containers"][0].clone();
        database_pod["spec"]["containers"] = json!([{"name": "web", "image": "web:1"}]);
        database_pod["spec"]["initContainers"] = json!([container]);
        assert_eq!(pod_template(&[database_pod.clone()], Some(&proof()), "data").image, None, "one that has ended");
        database_pod["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
        assert_eq!(pod_template(&[database_pod], Some(&proof()), "data").image.as_deref(), Some("db:1"));
    }

    #[test]
    fn a_user_without_a_name_is_given_one() {
        let users = |template: &Value| {
            let spec = &template["spec"];
            let mounted = spec["containers"][0]["volumeMounts"].as_array().unwrap().iter();
            let mounted = mounted.filter(|mount| mount["mountPath"] == "/etc/passwd").count();
            (template["metadata"]["annotations"][labels::USERS].as_str().map(str::to_string), mounted)
        };
        let mut database_pod = pod("db-1", "db", "data");
        let (text, mounted) = users(&pod_of(&[database_pod.clone()]));
        assert!(text.unwrap().contains("\ndatabase:x:9:0:"));
        assert_eq!(mounted, 1);
        database_pod["spec"]["containers"][0]["securityContext"] = json!({});
        assert_eq!(users(&pod_of(&[database_pod.clone()])), (None, 0), "the image's own user has a name");
        database_pod["spec"]["securityContext"] = json!({"runAsUser": 1_000_680_000});
        assert!(users(&pod_of(&[database_pod.clone()])).0.unwrap().contains(":1000680000:"));
        database_pod["spec"]["containers"][0]["securityContext"] = json!({"runAsUser": 0});
        assert_eq!(users(&pod_of(&[database_pod])), (None, 0), "root has a name");
    }

    #[test]
    fn an_image_of_a_proof_from_elsewhere_runs_only_where_a_pod_runs_it() {
        let mut proof = proof();
        proof.image = "db:1".into();
        let mut sidecar = pod("x", "web", "y");
        sidecar["spec"]["initContainers"] = json!([{"name": "a", "image": "tool:1"}]);
        let pods = [sidecar];
        assert!(may_run(&proof, "shop", &pods));
        proof.image = "tool:1".into();
        assert!(may_run(&proof, "shop", &pods));
        proof.image = "evil:1".into();
        assert!(!may_run(&proof, "shop", &pods), "an older proof, which names no namespace");
        proof.namespace = "bank".into();
        assert!(!may_run(&proof, "shop", &pods));
        proof.namespace = "shop".into();
        assert!(may_run(&proof, "shop", &[]), "it was made here, even if its pod is gone");
    }

    #[test]
    fn the_state_of_the_pod() {
        let pod = |phase: &str, state: Value| json!({"kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": [{"state": state}]}});
        let event = |reason: &str, message: &str| json!({"reason": reason, "message": message});
        assert_eq!(pod_state(&[], &[]), PodState::Waits(None));
        assert_eq!(
            pod_state(&[pod("Running", json!({"running": {}}))], &[event("FailedMount", "x")]),
            PodState::Runs("p".into())
        );
        assert!(matches!(pod_state(&[pod("Failed", json!({}))], &[]), PodState::Ended(_)));
        let trouble = |pods: &[Value], events: &[Value]| match pod_state(pods, events) {
            PodState::Waits(Some(trouble)) => (trouble.storage, trouble.lasting),
            other => panic!("{other:?}"),
        };
        assert_eq!(trouble(&[pod("Pending", json!({"waiting": {"reason": "ErrImageNeverPull"}}))], &[]), (false, true));
        let pending = [pod("Pending", json!({"waiting": {"reason": "ContainerCreating"}}))];
        assert_eq!(trouble(&pending, &[event("ProvisioningFailed", "no such snapshot")]), (true, true));
        assert_eq!(trouble(&pending, &[event("ProvisioningFailed", "code = DeadlineExceeded")]), (true, false));
        assert_eq!(trouble(&pending, &[event("FailedScheduling", "0/1")]), (false, false));
        assert_eq!(trouble(&[], &[event("FailedCreate", "forbidden")]), (false, true));
        let bound = json!({"kind": "PersistentVolumeClaim", "status": {"phase": "Bound"}});
        let objects = [pending[0].clone(), bound];
        let passed = [event("FailedCreate", "quota"), event("ProvisioningFailed", "busy")];
        assert_eq!(pod_state(&objects, &passed), PodState::Waits(None), "the object exists by now");
    }

    #[test]
    fn the_databases_of_a_snapshot_are_all_tested_or_the_one_that_is_named() {
        let named = |name: &str, more: Vec<Proof>| Proof { database: name.into(), more, ..proof() };
        let both = json!({
            "backup-ns.sh/dump-postgres": json!(named("app", vec![named("web", Vec::new())])).to_string(),
            "backup-ns.sh/dump-mysql": json!(named("app", Vec::new())).to_string(),
        });
        let all = proofs(&snapshot("a", 1, json!({"metadata": {"annotations": both}}))).unwrap();
        let of = |name: Option<&str>| {
            let found = of_database(all.clone(), name).map(|(found, is_partial)| {
                let names = |all: Vec<Proof>| all.into_iter().map(|proof| proof.database).collect::<Vec<_>>().join(" ");
                (found.into_iter().map(|(engine, all)| (engine.command(), names(all))).collect::<Vec<_>>(), is_partial)
            });
            found.map_err(|names| names.join(" "))
        };
        let (postgres, mysql) = ("postgres", ("mysql", "app".to_string()));
        assert_eq!(of(None), Ok((vec![(postgres, "app web".into()), mysql.clone()], false)));
        assert_eq!(of(Some("web")), Ok((vec![(postgres, "web".into())], true)));
        assert_eq!(of(Some("app")), Ok((vec![(postgres, "app".into()), mysql], true)));
        assert_eq!(of(Some("gone")), Err("app web app".into()));
        let one = vec![(Engine::Postgres, vec![proof()])];
        assert!(!of_database(one, Some("app")).unwrap().1, "there is no other");
        assert_eq!(of_database(Vec::new(), Some("app")), Err(Vec::new()));
    }

    #[test]
    fn a_stamp_counts_all_databases() {
        let facts = |rows: u64| Facts { database: Some("app".into()), tables: 1, rows, ..Facts::default() };
        let last = Facts { objects: 3, physical: true, ..facts(4) };
        let good = Verdict::Good([(Engine::Postgres, Facts::joined(vec![facts(1), facts(2), last]))].into());
        let meta = snapshot("a", 1, json!({})).metadata;
        let patch = stamp(&meta, &good, DateTime::UNIX_EPOCH, Zone::UTC, 12);
        let note = patch["metadata"]["annotations"][labels::VERIFICATION].as_str().unwrap();
        let note: Value = serde_json::from_str(note).unwrap();
        assert_eq!((&note["tables"], &note["rows"], &note["physical"]), (&json!(3), &json!(7), &json!(true)));
        assert_eq!(note["checked"], json!(["size", "sha256", "gzip", "end", "load", "rows", "objects", "physical"]));
    }

    #[test]
    fn a_stamp_says_what_was_found_and_takes_back_only_its_own_distrust() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T23:30:00Z").unwrap().to_utc();
        let zone = Zone::parse("Europe/Vienna").unwrap();
        let facts = Facts { database: Some("app".into()), tables: 2, rows: 9, ..Facts::default() };
        let good = Verdict::Good(BTreeMap::from([(Engine::Postgres, facts)]));
        let bad = Verdict::Bad("the dump file is not there".into());
        let of = |verdict: &Verdict, distrusted: Option<&str>| {
            let noted = distrusted.map(|why| json!({"annotations": {labels::DISTRUSTED: why}})).unwrap_or(json!({}));
            stamp(&snapshot("a", 1, json!({"metadata": noted})).metadata, verdict, now, zone, 12)["metadata"].clone()
        };
        let stamped = of(&good, Some("verify: x"));
        assert_eq!(stamped["labels"], json!({labels::VERIFIED: "2026-11-23"}));
        assert_eq!(stamped["annotations"][labels::DISTRUSTED], Value::Null);
        assert!(stamped["annotations"].as_object().unwrap().contains_key(labels::DISTRUSTED));
        assert_eq!((&stamped["uid"], &stamped["resourceVersion"]), (&json!("u"), &json!("7")));
        let note: Value = serde_json::from_str(stamped["annotations"][labels::VERIFICATION].as_str().unwrap()).unwrap();
        assert_eq!((&note["verdict"], &note["rows"], &note["sql"]), (&json!("good"), &json!(9), &json!(false)));
        assert!(!of(&good, Some("replaced"))["annotations"].as_object().unwrap().contains_key(labels::DISTRUSTED));
        let stamped = of(&bad, None);
        assert_eq!(stamped["labels"], json!({labels::VERIFIED: null}));
        assert_eq!(stamped["annotations"][labels::DISTRUSTED], "verify: the dump file is not there");
        assert!(!of(&bad, Some("replaced"))["annotations"].as_object().unwrap().contains_key(labels::DISTRUSTED));
    }
}
