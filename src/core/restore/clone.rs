//! A clone: a second VolumeSnapshotContent and VolumeSnapshot by which another namespace gets at the data of a snapshot. Must not
//! know how they are made.

use serde_json::{Value, json};

use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Snapshot};
use crate::core::restore::new_claim::full_name;

/// The VolumeSnapshotContent and the VolumeSnapshot of a clone of `snapshot`, whose data `content` holds, bound to each other.
/// Deleting them never deletes the data. Their names do not change, so that a second call finds them.
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

fn clone_name(content: &Content, namespace: &str) -> String {
    format!("clone-{}-{namespace}", content.metadata.uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::restore::sample::snapshot;

    #[test]
    fn a_clone_names_the_same_data_and_never_deletes_it() {
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
