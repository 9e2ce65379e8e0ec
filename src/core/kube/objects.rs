//! What was seen of the cluster: the fields of Kubernetes objects that decisions need, and no others.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A list as `kubectl get -o json` prints it, of several kinds at once.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ObjectList<T = Item> {
    /// The objects. An answer without them is no list, and not one of nothing.
    pub items: Vec<T>,
}

/// `metadata` of a list.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    /// What to ask for the next page with; empty on the last one.
    #[serde(rename = "continue")]
    pub next: String,
}

/// Reads a [`ObjectList`] and hands each object on as soon as it is read: whatever others have put on thousands of objects, one at a time
/// is held whole.
pub struct Each<T, F> {
    hand_on: F,
    of: PhantomData<T>,
}

impl<T, F: FnMut(T) -> Result<(), String>> Each<T, F> {
    /// Hands them on to `hand_on`, whose refusal ends the reading.
    pub fn to(hand_on: F) -> Each<T, F> {
        Each { hand_on, of: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> DeserializeSeed<'de> for Each<T, F> {
    type Value = ListMeta;

    fn deserialize<D: Deserializer<'de>>(self, list: D) -> Result<ListMeta, D::Error> {
        list.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> Visitor<'de> for Each<T, F> {
    type Value = ListMeta;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a list of objects")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<ListMeta, M::Error> {
        let (mut meta, mut has_items) = (ListMeta::default(), false);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => meta = map.next_value()?,
                "items" => {
                    map.next_value_seed(Items(&mut self))?;
                    has_items = true;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        // An answer without them is no list, and not one of nothing.
        if has_items { Ok(meta) } else { Err(de::Error::missing_field("items")) }
    }
}

/// The objects of a list.
struct Items<'a, T, F>(&'a mut Each<T, F>);

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> DeserializeSeed<'de> for Items<'_, T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, items: D) -> Result<(), D::Error> {
        items.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> Result<(), String>> Visitor<'de> for Items<'_, T, F> {
    type Value = ();

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("objects")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(), S::Error> {
        while let Some(object) = items.next_element()? {
            (self.0.hand_on)(object).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

/// One object of a mixed list.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind")]
pub enum Item {
    /// See [`Pvc`].
    PersistentVolumeClaim(Pvc),
    /// See [`Pod`].
    Pod(Pod),
    /// See [`Snapshot`].
    VolumeSnapshot(Box<Snapshot>),
    /// See [`Workload`].
    Deployment(Workload),
    /// See [`Workload`].
    StatefulSet(Workload),
    /// See [`Workload`].
    DaemonSet(Workload),
    /// See [`CronJob`].
    CronJob(CronJob),
    /// Anything else.
    #[serde(other)]
    Other,
}

/// `metadata` of any object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// `metadata.namespace`; empty where the object has none.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: no two objects ever share it.
    pub uid: String,
    /// `metadata.resourceVersion`: another one after every change.
    pub resource_version: String,
    /// `metadata.generation`: another one after every change of what is wanted.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub creation_timestamp: DateTime<Utc>,
    /// `metadata.deletionTimestamp`: set once somebody deleted the object.
    pub deletion_timestamp: Option<DateTime<Utc>>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.ownerReferences`, as they are: whose it is.
    pub owner_references: Vec<Value>,
    /// `metadata.finalizers`: who has to agree before a deleted object goes.
    pub finalizers: Vec<String>,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pvc {
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: PvcSpec,
    /// `status`.
    pub status: Phase,
}

/// `spec` of a [`Pvc`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PvcSpec {
    /// The StorageClass; absent on one that was given none.
    pub storage_class_name: Option<String>,
    /// The PersistentVolume, once it is bound.
    pub volume_name: Option<String>,
    /// Such as `ReadWriteOnce`.
    pub access_modes: Vec<String>,
    /// `Filesystem` or `Block`.
    pub volume_mode: Option<String>,
    /// The VolumeAttributesClass, where there is one.
    pub volume_attributes_class_name: Option<String>,
    /// What is asked for.
    pub resources: Resources,
    /// What the volume is made from, if from anything.
    pub data_source: Option<DataSource>,
    /// The same, which may lie in another namespace.
    pub data_source_ref: Option<DataSource>,
}

/// `spec.resources` of a [`Pvc`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Quantities by name, `storage` among them.
    pub requests: BTreeMap<String, String>,
    /// The most that may be asked for, likewise.
    pub limits: BTreeMap<String, String>,
}

/// `spec.dataSource` and `spec.dataSourceRef` of a [`Pvc`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DataSource {
    /// Such as `VolumeSnapshot`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace, where that is not the claim's.
    pub namespace: Option<String>,
}

impl Pvc {
    /// The VolumeSnapshots, by namespace and name, that this claim's volume is still to be made from. An annotation counts only
    /// for the claim's own namespace: a clone's source in another one is known by the content that both share.
    pub fn sources(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let spec = &self.spec;
        let waits = self.status.phase != "Bound";
        let sources = [&spec.data_source, &spec.data_source_ref].into_iter().flatten();
        let sources = sources.filter(|source| source.kind == "VolumeSnapshot").map(|source| {
            let namespace = source.namespace.as_ref().unwrap_or(&self.metadata.namespace);
            (namespace.clone(), source.name.clone())
        });
        let noted = self
            .metadata
            .annotations
            .get(crate::core::kube::labels::RESTORED_FROM)
            .and_then(|from| from.split_once('/'));
        let noted = noted.filter(|(namespace, _)| *namespace == self.metadata.namespace);
        let noted = noted.map(|(namespace, name)| (namespace.to_string(), name.to_string()));
        sources.chain(noted).filter(move |_| waits)
    }
}

/// A `status` of which only the phase counts.
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
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: WorkloadSpec,
    /// `status`.
    pub status: WorkloadStatus,
}

/// `spec` of a [`Workload`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSpec {
    /// Which pods are its own.
    pub selector: Selector,
    /// How many pods there are to be; absent for one, and on a DaemonSet.
    pub replicas: Option<u32>,
    /// What its pods are like.
    pub template: PodTemplate,
    /// The claims that a StatefulSet makes for each of its pods.
    pub volume_claim_templates: Vec<Named>,
    /// What a StatefulSet does with them.
    pub persistent_volume_claim_retention_policy: ClaimRetention,
}

/// The template of pods.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Their `spec`.
    pub spec: PodSpec,
}

/// An object of which only the metadata count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Name and the rest.
    pub metadata: Meta,
}

/// `spec.persistentVolumeClaimRetentionPolicy` of a StatefulSet.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimRetention {
    /// `Delete` where a claim goes with its pod when the StatefulSet is scaled down.
    pub when_scaled: String,
}

/// `status` of a [`Workload`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadStatus {
    /// The generation of the object that its controller has seen.
    pub observed_generation: i64,
    /// How many of its pods are ready.
    pub ready_replicas: u32,
}

/// A CronJob.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CronJob {
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: CronJobSpec,
}

/// `spec` of a [`CronJob`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobSpec {
    /// Whether it makes no Jobs for now.
    pub suspend: bool,
    /// What its Jobs are like.
    pub job_template: JobTemplate,
}

/// The template of Jobs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    /// Their `spec`.
    pub spec: JobSpec,
}

/// `spec` of a Job.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobSpec {
    /// What its pods are like.
    pub template: PodTemplate,
}

/// A label selector.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// All must be equal.
    pub match_labels: BTreeMap<String, String>,
    /// All must hold.
    pub match_expressions: Vec<Requirement>,
}

/// One expression of a [`Selector`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether an object with these labels is selected. An empty selector selects nothing here: a workload of
    /// ours always has one, and "every pod" is never what is meant. An unknown operator holds for nothing.
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
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: PodSpec,
    /// `status`.
    pub status: PodStatus,
}

impl Pod {
    /// The identity of the Job that made it, if one did
    /// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#batchkubernetesio-controller-uid>).
    pub fn job(&self) -> Option<String> {
        self.metadata.labels.get(crate::core::kube::calls::JOB_UID).cloned()
    }

    /// When the last of its containers was started, the first time or again.
    pub fn begun(&self) -> Option<DateTime<Utc>> {
        let statuses = self.status.container_statuses.iter().chain(&self.status.init_container_statuses);
        let running = statuses.filter_map(|status| status.state.running.as_ref());
        running.filter_map(|running| running.started_at).max().or(self.status.start_time)
    }
}

/// `spec` of a [`Pod`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "PodSpecFields")]
pub struct PodSpec {
    /// The containers that run together, native sidecars behind the others.
    pub containers: Vec<Container>,
    /// What they can mount.
    pub volumes: Vec<Volume>,
}

/// `spec` of a [`Pod`] as the API has it.
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

/// A container of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name within the pod.
    pub name: String,
    /// What it runs.
    pub image: String,
    /// What it mounts, and where.
    pub volume_mounts: Vec<VolumeMount>,
    /// Of an init container: `Always` on a native sidecar.
    pub restart_policy: Option<String>,
}

impl Container {
    /// Whether it is an init container that runs as long as the pod does
    /// (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>).
    pub fn is_native_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }
}

/// One mount of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// The volume's name within the pod.
    pub name: String,
    /// Where in the container.
    pub mount_path: String,
    /// Which folder of the volume; empty for its root.
    pub sub_path: String,
    /// Whether nothing can be written.
    pub read_only: bool,
}

/// A volume of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Its name within the pod.
    pub name: String,
    /// The claim behind it, if it is one.
    pub persistent_volume_claim: Option<ClaimReference>,
}

/// A volume's reference to a PersistentVolumeClaim.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimReference {
    /// The claim's name.
    pub claim_name: String,
}

/// `status` of a [`Pod`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Such as `Running`.
    pub phase: String,
    /// `Ready` among them.
    pub conditions: Vec<Condition>,
    /// When the kubelet took it on.
    pub start_time: Option<DateTime<Utc>>,
    /// How each of its containers is.
    pub container_statuses: Vec<ContainerStatus>,
    /// How each of its init containers is, native sidecars among them.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// How a container is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// `state`.
    pub state: ContainerState,
}

/// `state` of a [`ContainerStatus`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Set while it runs.
    pub running: Option<RunningContainer>,
}

/// A container that runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunningContainer {
    /// Since when.
    pub started_at: Option<DateTime<Utc>>,
}

/// A condition of a pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// A VolumeSnapshot.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: SnapshotSpec,
    /// `status`; absent until the snapshot controller saw it.
    pub status: SnapshotStatus,
}

/// `spec` of a [`Snapshot`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSpec {
    /// Of what it is.
    pub source: SnapshotSource,
    /// The VolumeSnapshotClass that was asked for; absent where that is the default.
    pub volume_snapshot_class_name: Option<String>,
}

/// `spec.source` of a [`Snapshot`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotSource {
    /// The claim it was cut from; absent on one that was bound to stored data by hand.
    pub persistent_volume_claim_name: Option<String>,
    /// The VolumeSnapshotContent that it was bound to by hand; absent on one that was cut.
    pub volume_snapshot_content_name: Option<String>,
}

/// `status` of a [`Snapshot`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStatus {
    /// The moment for which it stands; set once it is cut.
    pub creation_time: Option<DateTime<Utc>>,
    /// Whether volumes can be made from it.
    pub ready_to_use: Option<bool>,
    /// The VolumeSnapshotContent that holds it.
    pub bound_volume_snapshot_content_name: Option<String>,
    /// The smallest volume it can be restored to, a quantity such as `1Gi`.
    pub restore_size: Option<String>,
    /// What went wrong last.
    pub error: Option<SnapshotError>,
}

/// `status.error` of a [`Snapshot`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotError {
    /// The driver's or the controller's words.
    pub message: Option<String>,
}

/// Where a snapshot stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Not cut yet, as far as is known.
    Pending,
    /// Cut, but no volume can be made from it yet.
    Cut,
    /// Usable.
    Ready,
    /// Failed, with the words of who failed.
    Failed(String),
}

impl Snapshot {
    /// Whether this is a snapshot of the claim `pvc`.
    pub fn is_of(&self, pvc: &str) -> bool {
        match &self.spec.source.persistent_volume_claim_name {
            Some(source) => source == pvc,
            None => {
                self.metadata.labels.get(crate::core::kube::labels::PVC)
                    == Some(&crate::core::kube::labels::pvc_value(pvc))
            }
        }
    }

    /// Whether pruning looks at it.
    pub fn is_pruned(&self) -> bool {
        let labels = &self.metadata.labels;
        labels.contains_key(crate::core::kube::labels::RETAIN)
            || labels.contains_key(crate::core::kube::labels::DELETE_AFTER)
    }

    /// Where it stands. Ready outweighs an error: the error is then of an attempt before.
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
    /// Name and the rest.
    pub metadata: Meta,
    /// `spec`.
    pub spec: ContentSpec,
    /// `status`.
    pub status: ContentStatus,
}

impl Content {
    /// The storage's own name of the data; none as long as it is not cut.
    pub fn handle(&self) -> Option<&str> {
        let named = self.status.snapshot_handle.as_deref().or(self.spec.source.snapshot_handle.as_deref());
        named.filter(|handle| !handle.is_empty())
    }

    /// Every name of the data, as status and spec say it.
    pub fn handles(&self) -> impl Iterator<Item = &str> {
        let all = [&self.status.snapshot_handle, &self.spec.source.snapshot_handle];
        all.into_iter().flatten().map(String::as_str).filter(|handle| !handle.is_empty())
    }

    /// Whether its data is that of another content, and stays whatever becomes of this one. Annotations get lost; the name that
    /// a clone's content is given does not.
    pub fn is_clone(&self) -> bool {
        let named = self.metadata.name.starts_with("clone-") && self.spec.source.snapshot_handle.is_some();
        named || self.metadata.annotations.contains_key(crate::core::kube::labels::CLONE_OF)
    }
}

/// `status` of a [`Content`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentStatus {
    /// The storage's own name of the data.
    pub snapshot_handle: Option<String>,
    /// When the data was cut, in nanoseconds since 1970.
    pub creation_time: Option<i64>,
}

/// `spec.source` of a [`Content`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSource {
    /// The storage's own name of the data, where that was there before the content.
    pub snapshot_handle: Option<String>,
}

/// `spec` of a [`Content`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContentSpec {
    /// The CSI driver.
    pub driver: String,
    /// Where the data comes from.
    pub source: ContentSource,
    /// The VolumeSnapshotClass.
    pub volume_snapshot_class_name: Option<String>,
    /// `Filesystem` or `Block`.
    pub source_volume_mode: Option<String>,
    /// `Retain` or `Delete`: what becomes of the data when the VolumeSnapshot is deleted.
    pub deletion_policy: String,
    /// The VolumeSnapshot that it belongs to.
    pub volume_snapshot_ref: ObjectReference,
}

/// A reference to an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// One event of a watch.
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

/// An event as the API streams it.
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
    fn a_mixed_list_is_told_apart() {
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
        assert!(serde_json::from_value::<SnapshotEvent>(status).is_err(), "a Status is no snapshot, and so an error");
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
