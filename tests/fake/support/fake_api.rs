//! An API server with the snapshot controller and a storage, as far as pruning has to do with them: each object is a file
//! below `api/`, each change is made under one lock, at once, and gives the object a new version. Knows nothing of backups.
//! The fake kubectl asks it, the tests fill it and look into it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fake of the tests, of which each program uses a part, and which may die of a bad scenario"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    pub plural: &'static str,
    pub group: &'static str,
    pub kind: &'static str,
}

const SNAPSHOT_GROUP: &str = ".snapshot.storage.k8s.io";
pub const SNAPSHOTS: Kind = Kind { plural: "volumesnapshots", group: SNAPSHOT_GROUP, kind: "VolumeSnapshot" };
pub const CONTENTS: Kind =
    Kind { plural: "volumesnapshotcontents", group: SNAPSHOT_GROUP, kind: "VolumeSnapshotContent" };
pub const CLAIMS: Kind = Kind { plural: "persistentvolumeclaims", group: "", kind: "PersistentVolumeClaim" };
pub const NAMESPACES: Kind = Kind { plural: "namespaces", group: "", kind: "Namespace" };
pub const LEASES: Kind = Kind { plural: "leases", group: ".coordination.k8s.io", kind: "Lease" };
pub const CRONJOBS: Kind = Kind { plural: "cronjobs", group: ".batch", kind: "CronJob" };
pub const CONFIG_MAPS: Kind = Kind { plural: "configmaps", group: "", kind: "ConfigMap" };
pub const DEPLOYMENTS: Kind = Kind { plural: "deployments", group: ".apps", kind: "Deployment" };
pub const PODS: Kind = Kind { plural: "pods", group: "", kind: "Pod" };
pub const JOBS: Kind = Kind { plural: "jobs", group: ".batch", kind: "Job" };
pub const POLICIES: Kind = Kind { plural: "networkpolicies", group: ".networking.k8s.io", kind: "NetworkPolicy" };
pub const KINDS: [Kind; 11] =
    [SNAPSHOTS, CONTENTS, CLAIMS, NAMESPACES, LEASES, CRONJOBS, CONFIG_MAPS, DEPLOYMENTS, PODS, JOBS, POLICIES];

/// The snapshot controller's own finalizer and its note for the driver's sidecar.
const BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection";
const CONTENT_BOUND: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";
/// As long as a pod mounts it, a claim does not go.
const IN_USE: &str = "kubernetes.io/pvc-protection";
const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";

/// A change of this very object, or what kubectl says when it is refused.
pub type Answer = Result<Value, String>;

/// The API server.
pub struct Api {
    dir: PathBuf,
}

impl Api {
    /// The one in this scenario's directory, if it has one.
    pub fn of(dir: &Path) -> Option<Api> {
        let dir = dir.join("api");
        dir.is_dir().then_some(Api { dir })
    }

    /// A new one.
    pub fn new(dir: &Path) -> Api {
        let api = Api { dir: dir.join("api") };
        for folder in KINDS.map(|kind| kind.plural).iter().chain(&["stored"]) {
            fs::create_dir_all(api.dir.join(folder)).unwrap();
        }
        fs::write(api.dir.join("version"), "100").unwrap();
        api
    }

    /// Only the holder of this changes anything.
    fn lock(&self) -> File {
        let file = File::options().create(true).append(true).open(self.dir.join("lock")).unwrap();
        file.lock().unwrap();
        file
    }

    fn path(&self, kind: Kind, key: &str) -> PathBuf {
        self.dir.join(kind.plural).join(key)
    }

    /// An object by its key: `NAMESPACE/NAME`, or `NAME` where the kind has no namespaces.
    pub fn get(&self, kind: Kind, key: &str) -> Answer {
        match fs::read(self.path(kind, key)) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap()),
            Err(_) => {
                let (Kind { plural, group, .. }, name) = (kind, name(key));
                Err(format!("Error from server (NotFound): {plural}{group} \"{name}\" not found"))
            }
        }
    }

    /// All keys of a kind, in order.
    pub fn keys(&self, kind: Kind) -> Vec<String> {
        let names = |dir: PathBuf| -> Vec<String> {
            let entries = fs::read_dir(dir).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let root = self.dir.join(kind.plural);
        let mut keys = Vec::new();
        for name in names(root.clone()) {
            match root.join(&name).is_dir() {
                true => keys.extend(names(root.join(&name)).into_iter().map(|object| format!("{name}/{object}"))),
                false => keys.push(name),
            }
        }
        // What is written at this moment is no object yet.
        keys.retain(|key| !key.ends_with(".new"));
        keys.sort();
        keys
    }

    /// Some of a kind: in one namespace or in all, as `selector` says, behind the key `after`; and the key to go on
    /// behind, if there are more than `limit`.
    pub fn page(&self, kind: Kind, namespace: Option<&str>, selector: &str, limit: usize, after: &str) -> Value {
        let within = |key: &str| namespace.is_none_or(|namespace| key.split_once('/').unwrap().0 == namespace);
        let keys = self.keys(kind).into_iter().filter(|key| within(key) && key.as_str() > after);
        let mut chosen = keys.filter_map(|key| Some((self.get(kind, &key).ok()?, key))).filter(|(object, _)| {
            let labels = &object["metadata"]["labels"];
            selector.split(',').filter(|word| !word.is_empty()).all(|word| match word.strip_prefix('!') {
                Some(key) => labels[key].is_null(),
                None => match word.split_once('=') {
                    Some((key, value)) => labels[key] == value,
                    None => !labels[word].is_null(),
                },
            })
        });
        let items: Vec<(Value, String)> = chosen.by_ref().take(limit).collect();
        let mut list = json!({"kind": format!("{}List", kind.kind), "metadata": {"resourceVersion": "1"}});
        if let Some((_, last)) = items.last().filter(|_| chosen.next().is_some()) {
            list["metadata"]["continue"] = json!(last);
        }
        // A list of the API's own does not repeat the kind in each item.
        let items = items.into_iter().map(|(mut object, _)| {
            object.as_object_mut().unwrap().remove("kind");
            object
        });
        list["items"] = items.collect();
        list
    }

    /// Puts an object there, as its maker would.
    pub fn put(&self, kind: Kind, object: Value) {
        let _lock = self.lock();
        self.store(kind, object);
    }

    /// Creates an object in a namespace, which must be there.
    pub fn create(&self, kind: Kind, namespace: &str, object: &Value) -> Answer {
        let _lock = self.lock();
        self.get(NAMESPACES, namespace)?;
        let name = object["metadata"]["name"].as_str().unwrap();
        if self.get(kind, &format!("{namespace}/{name}")).is_ok() {
            let Kind { plural, group, .. } = kind;
            return Err(format!("Error from server (AlreadyExists): {plural}{group} \"{name}\" already exists"));
        }
        let mut new = object.clone();
        new["metadata"]["namespace"] = json!(namespace);
        new["metadata"]["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
        let copied = |kind: Kind, name: &Value| {
            let of = self.get(kind, &format!("{namespace}/{}", name.as_str().unwrap_or_default()));
            of.map_or(Value::Null, |of| of["content"].clone())
        };
        if kind == CLAIMS {
            new["content"] = copied(SNAPSHOTS, &new["spec"]["dataSource"]["name"]);
            new["metadata"]["finalizers"] = json!([IN_USE]);
            let phase = if self.dir.join("unbound").exists() { "Pending" } else { "Bound" };
            new["status"] = json!({"phase": phase});
        } else if kind == SNAPSHOTS {
            new["content"] = copied(CLAIMS, &new["spec"]["source"]["persistentVolumeClaimName"]);
        } else if kind == JOBS {
            // The Job controller makes its pod, and a kubelet runs that at once.
            let labels = new["spec"]["template"]["metadata"]["labels"].clone();
            self.store(PODS, json!({
                "kind": "Pod", "metadata": {"namespace": namespace, "name": format!("{name}-pod"), "labels": labels},
                "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]},
            }));
        }
        Ok(self.store(kind, new))
    }

    /// A JSON merge patch (RFC 7396). A `resourceVersion` in it is a condition.
    pub fn merge(&self, kind: Kind, key: &str, patch: &Value) -> Answer {
        let _lock = self.lock();
        let old = self.get(kind, key)?;
        let mut new = old.clone();
        merge(&mut new, patch);
        let name = name(key);
        let meta = |object: &Value, field: &str| object["metadata"][field].clone();
        if meta(&new, "resourceVersion") != meta(&old, "resourceVersion") {
            return Err(modified(kind, name));
        }
        let (finalizers, before) = (finalizers(&new), finalizers(&old));
        let more = finalizers.iter().find(|finalizer| !before.contains(finalizer));
        if let Some(more) = more.filter(|_| !meta(&old, "deletionTimestamp").is_null()) {
            return Err(format!(
                "The {} \"{name}\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{more:?}}}",
                kind.kind
            ));
        }
        if kind == DEPLOYMENTS && new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap_or(1) + 1);
        }
        let new = if new == old { old } else { self.store(kind, new) };
        if kind == DEPLOYMENTS {
            self.controller(kind, key);
        }
        Ok(new)
    }

    /// Puts an object in the place of the one that it was, if that is still in its version. Its status is not touched. A Lease
    /// that is gone is made again.
    pub fn replace(&self, kind: Kind, key: &str, object: &Value) -> Answer {
        if let (LEASES, Err(_)) = (kind, self.get(kind, key)) {
            return self.create(kind, key.split_once('/').unwrap().0, object);
        }
        let _lock = self.lock();
        let old = self.get(kind, key)?;
        if object["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
            return Err(modified(kind, name(key)));
        }
        let mut new = object.clone();
        new["status"] = old["status"].clone();
        for field in ["namespace", "uid", "creationTimestamp"] {
            new["metadata"][field] = old["metadata"][field].clone();
        }
        Ok(self.store(kind, new))
    }

    /// A JSON patch (RFC 6902) of `test`, `replace` and `add` to what is there.
    pub fn patch(&self, kind: Kind, key: &str, operations: &Value) -> Answer {
        let _lock = self.lock();
        let mut object = self.get(kind, key)?;
        for operation in operations.as_array().unwrap() {
            let path = operation["path"].as_str().unwrap();
            if let ("add", Some((parent, field))) = (operation["op"].as_str().unwrap(), path.rsplit_once('/'))
                && let Some(Value::Object(fields)) = object.pointer_mut(parent)
            {
                fields.insert(field.replace("~1", "/"), operation["value"].clone());
                continue;
            }
            match (operation["op"].as_str().unwrap(), object.pointer_mut(path)) {
                ("test", Some(value)) if *value == operation["value"] => {}
                ("replace", Some(value)) => *value = operation["value"].clone(),
                _ => {
                    return Err(
                        "The request is invalid: the server rejected our request due to an error in our request".into(),
                    );
                }
            }
        }
        Ok(self.store(kind, object))
    }

    /// Deletes an object, if it is the one and in the version that the conditions name. It stays as long as something holds
    /// it by a finalizer.
    pub fn delete(&self, kind: Kind, key: &str, conditions: &Value) -> Answer {
        let _lock = self.lock();
        let mut object = self.get(kind, key)?;
        let meta = &mut object["metadata"];
        for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let (wanted, is) = (&conditions[field], &meta[field]);
            if !wanted.is_null() && wanted != is {
                let (Kind { plural, group, .. }, name) = (kind, name(key));
                let (wanted, is) = (wanted.as_str().unwrap(), is.as_str().unwrap());
                return Err(format!(
                    "Error from server (Conflict): Operation cannot be fulfilled on {plural}{group} \"{name}\": the {what} in the precondition ({wanted}) does not match the {what} in record ({is}). The object might have been modified"
                ));
            }
        }
        if !meta["deletionTimestamp"].is_null() {
            return Ok(object);
        }
        meta["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        let object = self.store(kind, object);
        self.controller(kind, key);
        match kind {
            DEPLOYMENTS => self.end_pod(key),
            // The garbage collector takes what the Job owns.
            JOBS => drop(fs::remove_file(self.path(PODS, &format!("{key}-pod")))),
            _ => {}
        }
        Ok(object)
    }

    /// Gives an object its next version and puts it in its place at once, for those who read meanwhile; one that is deleted
    /// and no longer held goes.
    fn store(&self, kind: Kind, mut object: Value) -> Value {
        let version: u64 = fs::read_to_string(self.dir.join("version")).unwrap().parse().unwrap();
        fs::write(self.dir.join("version"), (version + 1).to_string()).unwrap();
        let meta = &mut object["metadata"];
        meta["resourceVersion"] = json!((version + 1).to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", version + 1));
        }
        let key = match meta["namespace"].as_str() {
            Some(namespace) => format!("{namespace}/{}", meta["name"].as_str().unwrap()),
            None => meta["name"].as_str().unwrap().into(),
        };
        let path = self.path(kind, &key);
        if !object["metadata"]["deletionTimestamp"].is_null() && finalizers(&object).is_empty() {
            fs::remove_file(path).unwrap();
        } else {
            let new = PathBuf::from(format!("{}.new", path.display()));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&new, object.to_string()).unwrap();
            fs::rename(new, path).unwrap();
        }
        object
    }

    /// What controllers do when an object was changed or deleted.
    fn controller(&self, kind: Kind, key: &str) {
        let Ok(object) = self.get(kind, key) else { return };
        match kind {
            SNAPSHOTS if finalizers(&object).contains(&BOUND.into()) => {
                let content = object["status"]["boundVolumeSnapshotContentName"].as_str().unwrap_or_default();
                if let Ok(mut content) = self.get(CONTENTS, content)
                    && content["spec"]["volumeSnapshotRef"]["uid"] == object["metadata"]["uid"]
                {
                    content["metadata"]["annotations"][BEING_DELETED] = json!("yes");
                    if content["spec"]["deletionPolicy"] == "Delete" {
                        content["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
                    }
                    let content = self.store(CONTENTS, content);
                    self.controller(CONTENTS, content["metadata"]["name"].as_str().unwrap());
                }
                self.let_go(SNAPSHOTS, object, BOUND);
            }
            // A Deployment has one pod or none, which mounts the claim of its name.
            DEPLOYMENTS => {
                let (wanted, pod) = (object["spec"]["replicas"] != 0, format!("{key}-0"));
                if wanted && self.get(PODS, &pod).is_err() {
                    let (namespace, name) = pod.split_once('/').unwrap();
                    let volumes = object["spec"]["template"]["spec"].clone();
                    let labels = object["spec"]["selector"]["matchLabels"].clone();
                    let metadata = json!({"namespace": namespace, "name": name, "labels": labels});
                    self.store(PODS, json!({"kind": "Pod", "metadata": metadata, "spec": volumes}));
                } else if !wanted && !self.dir.join("stays").exists() {
                    self.end_pod(key);
                }
                // A pod starts once its claims are bound.
                let volumes = object["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
                let namespace = key.split_once('/').unwrap().0;
                let is_bound = |volume: &Value| {
                    let claim = volume["persistentVolumeClaim"]["claimName"].as_str().unwrap_or_default();
                    self.get(CLAIMS, &format!("{namespace}/{claim}"))
                        .is_ok_and(|claim| claim["status"]["phase"] == "Bound")
                };
                let starts = wanted && !self.dir.join("unready").exists() && volumes.iter().all(is_bound);
                let ready = u32::from(starts);
                let mut now = object.clone();
                now["status"] = json!({"observedGeneration": object["metadata"]["generation"], "readyReplicas": ready});
                if now != object {
                    self.store(DEPLOYMENTS, now);
                }
            }
            CLAIMS
                if !object["metadata"]["deletionTimestamp"].is_null()
                    && finalizers(&object).contains(&IN_USE.into())
                    && self.keys(PODS).is_empty() =>
            {
                self.let_go(CLAIMS, object, IN_USE);
            }
            // The sidecar heeds no content whose VolumeSnapshot was not deleted first.
            CONTENTS
                if !object["metadata"]["deletionTimestamp"].is_null()
                    && !object["metadata"]["annotations"][BEING_DELETED].is_null() =>
            {
                // The sidecar deletes no single member of a group snapshot.
                let is_member = !object["status"]["volumeGroupSnapshotHandle"].is_null();
                if object["spec"]["deletionPolicy"] == "Delete" && !is_member {
                    // Of a second content of the same data the driver deletes nothing more.
                    let handle = object["status"]["snapshotHandle"].as_str().unwrap_or(key);
                    let _ = fs::remove_file(self.dir.join("stored").join(handle));
                }
                self.let_go(CONTENTS, object, CONTENT_BOUND);
            }
            _ => {}
        }
    }

    /// The pod of a Deployment ends, and a claim that was only held by it goes.
    fn end_pod(&self, deployment: &str) {
        let _ = fs::remove_file(self.path(PODS, &format!("{deployment}-0")));
        self.keys(CLAIMS).iter().for_each(|claim| self.controller(CLAIMS, claim));
    }

    fn let_go(&self, kind: Kind, mut object: Value, finalizer: &str) {
        object["metadata"]["finalizers"].as_array_mut().unwrap().retain(|other| other != finalizer);
        self.store(kind, object);
    }

    /// VolumeSnapshots as they are described, each with what the snapshot controller adds to one that is cut: its content
    /// under this deletionPolicy, if any, and, in the storage, its data. Nothing else is at work yet.
    pub fn cut<'a>(&self, snapshots: impl IntoIterator<Item = (Value, &'a str)>) {
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let mut version: u64 = fs::read_to_string(self.dir.join("version")).unwrap().parse().unwrap();
        for (mut snapshot, policy) in snapshots {
            version += 1;
            let meta = &mut snapshot["metadata"];
            meta["finalizers"] = json!([BOUND]);
            meta["uid"] = json!(format!("uid-{version}"));
            meta["resourceVersion"] = json!(version.to_string());
            let (namespace, name) = (text(&meta["namespace"]), text(&meta["name"]));
            let reference = json!({"namespace": namespace, "name": name, "uid": meta["uid"]});
            let key = format!("{namespace}/{name}");
            let content = content_of(&key);
            if !policy.is_empty() {
                snapshot["status"]["boundVolumeSnapshotContentName"] = json!(content);
                let object = json!({
                    "kind": CONTENTS.kind,
                    "metadata": {
                        "name": content, "uid": format!("uid-of-{content}"), "resourceVersion": version.to_string(),
                        "finalizers": [CONTENT_BOUND], "annotations": {},
                    },
                    "spec": {"driver": "csi.example", "deletionPolicy": policy, "volumeSnapshotRef": reference},
                    "status": {"snapshotHandle": content},
                });
                fs::write(self.path(CONTENTS, &content), object.to_string()).unwrap();
                fs::write(self.dir.join("stored").join(&content), "data").unwrap();
            }
            fs::create_dir_all(self.path(SNAPSHOTS, &namespace)).unwrap();
            fs::write(self.path(SNAPSHOTS, &key), snapshot.to_string()).unwrap();
        }
        fs::write(self.dir.join("version"), version.to_string()).unwrap();
    }

    /// Whether the storage still has the data of the VolumeSnapshot with this key.
    pub fn is_stored(&self, key: &str) -> bool {
        self.dir.join("stored").join(content_of(key)).exists()
    }

    /// Everything as it is, by path.
    pub fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let all = KINDS.iter().flat_map(|kind| self.keys(*kind).into_iter().map(|key| (*kind, key)));
        all.map(|(kind, key)| (format!("{}/{key}", kind.plural), fs::read(self.path(kind, &key)).unwrap())).collect()
    }
}

/// The name of the content of the VolumeSnapshot with this key.
pub fn content_of(key: &str) -> String {
    format!("snapcontent-{}", key.replace('/', "-"))
}

fn name(key: &str) -> &str {
    key.rsplit('/').next().unwrap()
}

fn modified(Kind { plural, group, .. }: Kind, name: &str) -> String {
    format!(
        "Error from server (Conflict): Operation cannot be fulfilled on {plural}{group} \"{name}\": the object has been modified; please apply your changes to the latest version and try again"
    )
}

fn finalizers(object: &Value) -> Vec<String> {
    serde_json::from_value(object["metadata"]["finalizers"].clone()).unwrap_or_default()
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let fields = target.as_object_mut().unwrap();
    for (key, value) in changes {
        match value {
            Value::Null => drop(fields.remove(key)),
            value => merge(fields.entry(key.clone()).or_insert(Value::Null), value),
        }
    }
}
