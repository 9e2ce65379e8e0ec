//! Kubernetes objects, with only the fields that decisions need.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::core::kube::labels;

/// A list that `kubectl get -o json` prints, of several kinds at once.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ObjectList<T = Item> {
    /// Required: an answer without `items` is an error, and not an empty list.
    pub items: Vec<T>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind")]
pub enum Item {
    PersistentVolumeClaim(Pvc),
    Pod(Pod),
    VolumeSnapshot(Box<Snapshot>),
    Deployment(Workload),
    StatefulSet(Workload),
    DaemonSet(Workload),
    CronJob(CronJob),
    #[serde(other)]
    Other,
}

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Empty for an object without a namespace.
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Changes with every change of the object.
    pub resource_version: String,
    /// Changes with every change of `spec`.
    pub generation: i64,
    pub creation_timestamp: DateTime<Utc>,
    /// Set once the object was deleted; finalizers may still keep it.
    pub deletion_timestamp: Option<DateTime<Utc>>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<Value>,
    pub finalizers: Vec<String>,
}

/// The record of an export that has all its parts, whatever its tool.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "only whether they are there matters")]
struct ProvenCopy {
    tool: String,
    what: String,
    repository: String,
    manifest: String,
    bytes: u64,
    files: u64,
    at: DateTime<Utc>,
    seconds: u64,
}

impl Meta {
    /// Whether the copy of a snapshot outside the cluster is proven: an export has stamped it with a label and a whole record.
    pub fn has_proven_copy(&self) -> bool {
        let record = self.annotations.get(labels::EXPORT).filter(|_| self.labels.contains_key(labels::EXPORTED));
        record.is_some_and(|record| serde_json::from_str::<ProvenCopy>(record).is_ok())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pvc {
    pub metadata: Meta,
    pub spec: PvcSpec,
    pub status: Phase,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PvcSpec {
    pub storage_class_name: Option<String>,
    /// The PersistentVolume, once the claim is bound.
    pub volume_name: Option<String>,
    /// Such as `ReadWriteOnce`.
    pub access_modes: Vec<String>,
    /// `Filesystem` or `Block`.
    pub volume_mode: Option<String>,
    pub volume_attributes_class_name: Option<String>,
    pub resources: Resources,
    /// The source of the volume.
    pub data_source: Option<DataSource>,
    /// The source of the volume, which may be in another namespace.
    pub data_source_ref: Option<DataSource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Quantities by name, such as `storage`.
    pub requests: BTreeMap<String, String>,
    pub limits: BTreeMap<String, String>,
}

/// `spec.dataSource` and `spec.dataSourceRef` of a [`Pvc`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DataSource {
    /// Such as `VolumeSnapshot`.
    pub kind: String,
    pub name: String,
    /// Its namespace, where that is not the claim's.
    pub namespace: Option<String>,
}

impl Pvc {
    /// The VolumeSnapshots, by namespace and name, that this claim is restored from, as long as it is not bound. An annotation counts
    /// only for the claim's own namespace: the source of a clone is protected by the content that both share.
    pub fn sources(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let spec = &self.spec;
        let waits = self.status.phase != "Bound";
        let sources = [&spec.data_source, &spec.data_source_ref].into_iter().flatten();
        let sources = sources.filter(|source| source.kind == "VolumeSnapshot").map(|source| {
            let namespace = source.namespace.as_ref().unwrap_or(&self.metadata.namespace);
            (namespace.clone(), source.name.clone())
        });
        let noted = self.metadata.annotations.get(labels::RESTORED_FROM).and_then(|from| from.split_once('/'));
        let noted = noted.filter(|(namespace, _)| *namespace == self.metadata.namespace);
        let noted = noted.map(|(namespace, name)| (namespace.to_string(), name.to_string()));
        sources.chain(noted).filter(move |_| waits)
    }
}

/// A `status` of which only the phase is read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Phase {
    /// Such as `Bound`.
    pub phase: String,
}

/// A Deployment, StatefulSet or DaemonSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Workload {
    pub metadata: Meta,
    pub spec: WorkloadSpec,
    pub status: WorkloadStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    pub selector: Selector,
    /// The wanted number of pods; absent for one, and on a DaemonSet.
    pub replicas: Option<u32>,
    pub template: PodTemplate,
    /// The claims that a StatefulSet creates for each of its pods.
    pub volume_claim_templates: Vec<Named>,
    /// When a StatefulSet deletes them.
    pub persistent_volume_claim_retention_policy: ClaimRetention,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    pub spec: PodSpec,
}

/// An object of which only the metadata count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    pub metadata: Meta,
}

/// `spec.persistentVolumeClaimRetentionPolicy` of a StatefulSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetention {
    /// `Delete` if a claim is deleted with its pod when the StatefulSet is scaled down.
    pub when_scaled: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The generation of the object that its controller has processed.
    pub observed_generation: i64,
    pub ready_replicas: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CronJob {
    pub metadata: Meta,
    pub spec: CronJobSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobSpec {
    pub suspend: bool,
    pub job_template: JobTemplate,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    pub spec: JobSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    pub template: PodTemplate,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
    pub match_expressions: Vec<Requirement>,
}

/// One expression of a [`Selector`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Requirement {
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values for `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether it selects an object with these labels. An empty selector selects nothing here: workloads always have one, and
    /// "every pod" is never meant. An unknown operator selects nothing.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let empty = self.match_labels.is_empty() && self.match_expressions.is_empty();
        !empty
            && self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| {
                let value = labels.get(&requirement.key);
                match requirement.operator.as_str() {
                    "In" => value.is_some_and(|value| requirement.values.contains(value)),
                    "NotIn" => value.is_none_or(|value| !requirement.values.contains(value)),
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

/// A Pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

impl Pod {
    /// The uid of its Job, if it has one.
    pub fn job(&self) -> Option<String> {
        self.metadata.labels.get(crate::core::kube::calls::JOB_UID).cloned()
    }

    /// When the last of its containers was started or restarted.
    pub fn begun(&self) -> Option<DateTime<Utc>> {
        let statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        let running = statuses.filter_map(|status| status.state.running.as_ref());
        running.filter_map(|running| running.started_at).max().or(self.status.start_time)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "PodSpecFields")]
pub struct PodSpec {
    /// The containers, then the native sidecars.
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
}

/// `spec` of a [`Pod`] in the form of the API.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpecFields {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    volumes: Vec<Volume>,
}

impl From<PodSpecFields> for PodSpec {
    fn from(fields: PodSpecFields) -> PodSpec {
        let sidecars = fields.init_containers.into_iter().filter(Container::is_native_sidecar);
        PodSpec { containers: fields.containers.into_iter().chain(sidecars).collect(), volumes: fields.volumes }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    pub name: String,
    pub image: String,
    pub volume_mounts: Vec<VolumeMount>,
    /// `Always` on a native sidecar.
    pub restart_policy: Option<String>,
}

impl Container {
    /// Whether it is an init container that runs as long as the pod
    /// (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>).
    pub fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// The volume's name within the pod.
    pub name: String,
    pub mount_path: String,
    /// The directory of the volume; empty for its root.
    pub sub_path: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    pub name: String,
    pub persistent_volume_claim: Option<ClaimReference>,
}

/// A volume's reference to a PersistentVolumeClaim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimReference {
    pub claim_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Such as `Running`.
    pub phase: String,
    pub conditions: Vec<Condition>,
    /// When the kubelet accepted the pod.
    pub start_time: Option<DateTime<Utc>>,
    pub container_statuses: Vec<ContainerStatus>,
    /// Includes native sidecars.
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    pub state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Set while it runs.
    pub running: Option<RunningContainer>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunningContainer {
    /// Since when.
    pub started_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub metadata: Meta,
    pub spec: SnapshotSpec,
    pub status: SnapshotStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSpec {
    pub source: SnapshotSource,
    /// Absent if the default VolumeSnapshotClass was requested.
    pub volume_snapshot_class_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSource {
    /// The claim that it was cut from; absent if it was bound to existing stored data.
    pub persistent_volume_claim_name: Option<String>,
    /// The VolumeSnapshotContent of existing stored data; absent if it was cut.
    pub volume_snapshot_content_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStatus {
    /// When it was cut.
    pub creation_time: Option<DateTime<Utc>>,
    pub ready_to_use: Option<bool>,
    pub bound_volume_snapshot_content_name: Option<String>,
    /// The smallest volume that it can be restored to, a quantity such as `1Gi`.
    pub restore_size: Option<String>,
    /// The VolumeGroupSnapshot whose member it, or its data, is.
    pub volume_group_snapshot_name: Option<String>,
    /// The last error.
    pub error: Option<SnapshotError>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotError {
    pub message: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Not cut yet.
    Pending,
    /// Cut, but no volume can be restored from it yet.
    Cut,
    Ready,
    /// Failed, with the message of the driver or the controller.
    Failed(String),
}

impl Snapshot {
    /// Whether this is a snapshot of the claim `pvc`.
    pub fn is_of(&self, pvc: &str) -> bool {
        match &self.spec.source.persistent_volume_claim_name {
            Some(source) => source == pvc,
            None => self.metadata.labels.get(labels::PVC) == Some(&labels::pvc_value(pvc)),
        }
    }

    /// Whether it only brings a clone's data over: it is no backup, and its data is another snapshot's.
    pub fn is_bridge(&self) -> bool {
        let Meta { labels, annotations, .. } = &self.metadata;
        labels.get(crate::core::kube::labels::TYPE).is_some_and(|kind| kind == crate::core::kube::labels::CLONE)
            && annotations.contains_key(crate::core::kube::labels::CLONE_OF)
            && self.spec.source.volume_snapshot_content_name.is_some()
    }

    /// Whether retention manages it.
    pub fn is_pruned(&self) -> bool {
        let has = |label: &str| self.metadata.labels.contains_key(label);
        has(labels::RETAIN) || has(labels::DELETE_AFTER)
    }

    /// Its readiness. If it is ready, an error is from an earlier attempt.
    pub fn readiness(&self) -> Readiness {
        match (&self.status.error, self.status.creation_time) {
            _ if self.status.ready_to_use == Some(true) => Readiness::Ready,
            (Some(error), _) => Readiness::Failed(error.message.clone().unwrap_or_else(|| "no reason given".into())),
            (None, Some(_)) => Readiness::Cut,
            (None, None) => Readiness::Pending,
        }
    }
}

/// A VolumeSnapshotContent: the stored data of a snapshot.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Content {
    pub metadata: Meta,
    pub spec: ContentSpec,
    pub status: ContentStatus,
}

impl Content {
    /// The storage's name of the data, once it is cut.
    pub fn handle(&self) -> Option<&str> {
        let named = self.status.snapshot_handle.as_deref().or(self.spec.source.snapshot_handle.as_deref());
        named.filter(|handle| !handle.is_empty())
    }

    /// The storage's names of the data, in status and spec.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        let all = [&self.status.snapshot_handle, &self.spec.source.snapshot_handle];
        all.into_iter().flatten().map(String::as_str).filter(|handle| !handle.is_empty())
    }

    /// Whether its data belongs to another content, and must not be deleted with this one. The name counts, too, because annotations
    /// can be lost.
    pub fn is_clone(&self) -> bool {
        let named = self.metadata.name.starts_with("clone-") && self.spec.source.snapshot_handle.is_some();
        named || self.metadata.annotations.contains_key(labels::CLONE_OF)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentStatus {
    /// The storage's name of the data.
    pub snapshot_handle: Option<String>,
    /// The storage's name of the group snapshot whose member's data this is.
    pub volume_group_snapshot_handle: Option<String>,
    /// When the data was cut, in nanoseconds since 1970.
    pub creation_time: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSource {
    /// The storage's name of the data, if the data is older than the content.
    pub snapshot_handle: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSpec {
    /// The CSI driver.
    pub driver: String,
    pub source: ContentSource,
    pub volume_snapshot_class_name: Option<String>,
    /// `Filesystem` or `Block`.
    pub source_volume_mode: Option<String>,
    /// `Delete` if the data is deleted with the VolumeSnapshot, else `Retain`.
    pub deletion_policy: String,
    pub volume_snapshot_ref: ObjectReference,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WatchEvent")]
pub enum SnapshotEvent {
    /// It is there, or it changed.
    Now(Box<Snapshot>),
    /// It was deleted.
    Deleted,
    /// A mark in the stream without news.
    Bookmark,
    /// The watch cannot go on.
    Error,
}

/// An event in the form of the API.
#[derive(Deserialize)]
struct WatchEvent {
    #[serde(rename = "type")]
    kind: String,
    object: Snapshot,
}

impl From<WatchEvent> for SnapshotEvent {
    fn from(event: WatchEvent) -> SnapshotEvent {
        match event.kind.as_str() {
            "ADDED" | "MODIFIED" => SnapshotEvent::Now(Box::new(event.object)),
            "DELETED" => SnapshotEvent::Deleted,
            "BOOKMARK" => SnapshotEvent::Bookmark,
            _ => SnapshotEvent::Error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_mixed_list_is_read_by_kind() {
        let list: ObjectList = serde_json::from_value(json!({"kind": "List", "items": [
            {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}], "initContainers": [
                {"name": "prepare"}, {"name": "sidecar", "restartPolicy": "Always"},
            ]}, "extra": 1},
            {"kind": "Secret", "metadata": {"name": "b"}, "data": {}},
        ]}))
        .unwrap();
        let [Item::Pod(pod), Item::Other] = &list.items[..] else { panic!("{list:?}") };
        let names: Vec<&str> = pod.spec.containers.iter().map(|container| container.name.as_str()).collect();
        assert_eq!(names, ["c", "sidecar"], "a native sidecar is a container like any other");
    }

    #[test]
    fn watch_events_are_read() {
        let event = |kind: &str| {
            serde_json::from_value(json!({"type": kind, "object": {"metadata": {"name": "s"},
                "spec": {"source": {"persistentVolumeClaimName": "data"}}, "status": {"error": {"message": "boom"}}}}))
        };
        let SnapshotEvent::Now(snapshot) = event("MODIFIED").unwrap() else { panic!() };
        assert!(snapshot.is_of("data") && !snapshot.is_of("other"));
        assert_eq!(snapshot.readiness(), Readiness::Failed("boom".into()));
        assert!(matches!(event("DELETED").unwrap(), SnapshotEvent::Deleted));
        let status = json!({"type": "ERROR", "object": {"kind": "Status", "status": "Failure", "code": 410}});
        assert!(serde_json::from_value::<SnapshotEvent>(status).is_err(), "a Status cannot be read as a snapshot");
    }

    #[test]
    fn readiness_goes_from_pending_to_ready() {
        let mut snapshot = Snapshot::default();
        assert_eq!(snapshot.readiness(), Readiness::Pending);
        snapshot.status.creation_time = DateTime::from_timestamp(1_795_305_600, 0);
        assert_eq!(snapshot.readiness(), Readiness::Cut);
        snapshot.status.error = Some(SnapshotError { message: None });
        assert!(matches!(snapshot.readiness(), Readiness::Failed(_)));
        snapshot.status.ready_to_use = Some(true);
        assert_eq!(snapshot.readiness(), Readiness::Ready);
    }

    #[test]
    fn selectors_select() {
        let selector: Selector = serde_json::from_value(json!({
            "matchLabels": {"app": "db"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }))
        .unwrap();
        let labels =
            |text: &str| text.split(',').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        assert!(selector.selects(&labels("app=db,tier=b,x=y")));
        for other in ["app=db,tier=c", "app=db", "app=db,tier=a,old=1", "tier=a", ""] {
            assert!(!selector.selects(&labels(other)), "{other}");
        }
        assert!(!Selector::default().selects(&labels("app=db")));
    }
}
