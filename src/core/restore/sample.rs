//! Objects that the tests of this folder share: a VolumeSnapshot `s` of the claim `data-db-0` in the namespace `shop`.

use serde_json::{Value, json};

use crate::core::kube::namespace_objects::NamespaceObjects;

pub fn items(objects: Value) -> NamespaceObjects {
    NamespaceObjects::of(serde_json::from_value::<Vec<_>>(objects).unwrap())
}

pub fn snapshot(name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut object = json!({
        "kind": "VolumeSnapshot", "metadata": {"name": name, "namespace": "shop", "annotations": {}},
        "spec": {"source": {"persistentVolumeClaimName": "data-db-0"}},
        "status": {"readyToUse": true, "restoreSize": "2Gi"},
    });
    change(&mut object);
    object
}

pub fn claim() -> Value {
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

pub fn volumes() -> Value {
    json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data-db-0"}}])
}

pub fn workload(kind: &str, name: &str, spec: Value) -> Value {
    let mut object =
        json!({"kind": kind, "metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": name}}}});
    object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    object
}

pub fn pod(name: &str, app: &str) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": {"volumes": volumes()}})
}
