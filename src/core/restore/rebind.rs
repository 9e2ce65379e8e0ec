//! `rebind-vsc`: whether a new VolumeSnapshotContent and VolumeSnapshot may be made for stored data whose VolumeSnapshot is gone,
//! and their manifests. Must not know how they are made.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SecondsFormat};
use serde_json::{Value, json};

use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Meta, Snapshot};
use crate::core::retention::history::{AT_WORK, date};

/// The annotation by which the snapshot controller marks a content whose VolumeSnapshot was deleted. Without it the driver's
/// sidecar deletes no bound content (kubernetes-csi/external-snapshotter, `shouldDelete` in `snapshot_controller.go`).
pub const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";

/// Labels and annotations for the driver's sidecar, such as a node or a Secret, which a new content needs; but not those about
/// what happens to the VolumeSnapshot at the moment.
const DRIVERS: &str = "snapshot.storage.kubernetes.io/";
const MOMENTARY: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-";

/// Why something cannot be done, and the remedy.
pub type No = (String, String);

/// The objects to make.
#[derive(Debug, Clone)]
pub struct Pair {
    pub content: Value,
    pub snapshot: Value,
    /// The `delete-after` date that has passed and was left out.
    pub dropped: Option<String>,
}

/// What to make from a content.
#[derive(Debug, Clone)]
pub struct RebindPlan<'a> {
    /// The content to replace.
    pub old: &'a Content,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Whether the VolumeSnapshotClass is gone: the sidecar ignores a content that names a missing one.
    pub classless: bool,
}

/// Whether the data of `old` can be rebound. `bound` is the VolumeSnapshot of the name that it refers to, if there is one.
///
/// # Errors
/// Why not, and the remedy.
pub fn judge_old(old: &Content, bound: Option<&Snapshot>) -> Result<(), No> {
    let (name, reference) = (&old.metadata.name, &old.spec.volume_snapshot_ref);
    let place = format!("{}/{}", reference.namespace, reference.name);
    if old.handle().is_none() {
        let what = format!("the VolumeSnapshotContent {name} has no snapshotHandle: nothing was ever stored for it");
        return Err((what, format!("see kubectl describe volumesnapshotcontent {name}")));
    }
    match bound.filter(|snapshot| is_of(old, snapshot)) {
        Some(snapshot) if snapshot.metadata.deletion_timestamp.is_some() => {
            let finalizers = snapshot.metadata.finalizers.join(", ");
            let what = format!("the VolumeSnapshot {place} of {name} is being deleted, and held by {finalizers}");
            let remedy = if snapshot.metadata.finalizers.iter().any(|finalizer| finalizer == labels::DELETION_FINALIZER)
            {
                let label = labels::DELETE_AFTER;
                // Before that a delete may still work on it.
                let begun = snapshot.metadata.annotations.get(labels::DELETING);
                let from = begun.and_then(|begun| DateTime::parse_from_rfc3339(begun).ok()).map(|begun| {
                    format!(", from {} on", (begun.to_utc() + AT_WORK).to_rfc3339_opts(SecondsFormat::Secs, true))
                });
                format!(
                    "its deletion with its data has begun; to call it off: kubectl label volumesnapshot {} -n {} {label}- , \
                     then backup-ns mark-and-delete -n {}{}, then this again",
                    reference.name,
                    reference.namespace,
                    reference.namespace,
                    from.unwrap_or_default()
                )
            } else {
                "wait until it is gone, then run this again".into()
            };
            return Err((what, remedy));
        }
        Some(_) => {
            let what = format!("the data of {name} is not without a snapshot: it is bound to {place}");
            return Err((what, format!("use backup-ns restore {} -n {}", reference.name, reference.namespace)));
        }
        None => {}
    }
    if old.metadata.deletion_timestamp.is_some() && old.spec.deletion_policy != "Retain" {
        let what = format!("the VolumeSnapshotContent {name} is being deleted with its data");
        let patch = r#"'{"spec":{"deletionPolicy":"Retain"}}'"#;
        return Err((
            what,
            format!(
                "where the storage still has the data: kubectl patch volumesnapshotcontent {name} --type=merge -p {patch}, \
                 then this again"
            ),
        ));
    }
    Ok(())
}

/// Whether the content belongs to this VolumeSnapshot. The reference of a content that was made by hand and is not bound yet has
/// no uid: then the VolumeSnapshot names the content.
pub fn is_of(content: &Content, snapshot: &Snapshot) -> bool {
    match content.spec.volume_snapshot_ref.uid.as_str() {
        "" => snapshot.spec.source.volume_snapshot_content_name.as_ref() == Some(&content.metadata.name),
        uid => snapshot.metadata.uid == uid,
    }
}

/// The name of the content that replaces `old`. It does not change, so that a second call finds it.
pub fn new_name(old: &Content) -> String {
    format!("rebound-{}", old.metadata.uid)
}

impl RebindPlan<'_> {
    /// Whether the VolumeSnapshot `found`, which has the wanted name, is from an earlier call.
    ///
    /// # Errors
    /// Why not, and the remedy.
    pub fn judge_snapshot(&self, found: &Snapshot) -> Result<(), No> {
        let place = format!("{}/{}", self.namespace, self.name);
        if found.spec.source.volume_snapshot_content_name != Some(new_name(self.old)) {
            let what = format!("there is another VolumeSnapshot {place} already");
            return Err((what, "give the new one another name with --name".into()));
        }
        if found.metadata.deletion_timestamp.is_some() {
            let what = format!("the VolumeSnapshot {place}, which an earlier call made, is being deleted");
            return Err((what, "wait until it is gone, then run this again".into()));
        }
        Ok(())
    }

    /// Whether the work of an earlier call can be resumed with its content `found`; `snapshot` is the VolumeSnapshot of the name.
    ///
    /// # Errors
    /// Why not, and the remedy.
    pub fn judge_content(&self, found: &Content, snapshot: Option<&Snapshot>) -> Result<(), No> {
        let Content { metadata, spec, .. } = found;
        let new = &metadata.name;
        if metadata.annotations.get(labels::REBOUND_FROM) != Some(&self.old.metadata.name)
            || spec.driver != self.old.spec.driver
            || spec.source.snapshot_handle.as_deref() != self.old.handle()
        {
            let what = format!("there is a VolumeSnapshotContent {new} already that was not made for this data");
            return Err((what, format!("see kubectl get volumesnapshotcontent {new} -o yaml")));
        }
        if metadata.deletion_timestamp.is_some() {
            let what = format!("the VolumeSnapshotContent {new}, which an earlier call made, is being deleted");
            return Err((what, "wait until it is gone, then run this again".into()));
        }
        let reference = &spec.volume_snapshot_ref;
        if (reference.namespace.as_str(), reference.name.as_str()) != (self.namespace, self.name) {
            let what = format!("an earlier call began to rebind it as {}/{}", reference.namespace, reference.name);
            let again = format!("--name {} -n {}", reference.name, reference.namespace);
            return Err((what, format!("resume it: backup-ns rebind-vsc {} {again}", self.old.metadata.name)));
        }
        let is_bound = |snapshot: &Snapshot| snapshot.metadata.uid == reference.uid;
        if !reference.uid.is_empty() && !snapshot.is_some_and(is_bound) {
            let what = format!("an earlier call rebound it as {new}, whose VolumeSnapshot was deleted since");
            return Err((what, format!("backup-ns delete-vsc {new} --keep-data, then this again")));
        }
        Ok(())
    }

    /// The objects to make, or None if nothing is stored. A `delete-after` date up to `today` is left out: mark-and-delete must
    /// not delete in the next night what was just brought back.
    pub fn pair(&self, today: NaiveDate) -> Option<Pair> {
        let Content { metadata: meta, spec, .. } = self.old;
        let mut labels = synced(&meta.labels);
        let annotations = synced(&meta.annotations);
        let has_passed = |label: &String| date(label).is_some_and(|date| date <= today);
        let dropped = labels.get(labels::DELETE_AFTER).filter(|label| has_passed(label)).cloned();
        if dropped.is_some() {
            labels.remove(labels::DELETE_AFTER);
        }
        let of_driver = |all: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            let all = all.iter().filter(|(key, _)| key.starts_with(DRIVERS) && !key.starts_with(MOMENTARY));
            all.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let mut content_labels = of_driver(&meta.labels);
        content_labels.extend(labels.clone());
        content_labels.insert(labels::DATA.into(), labels::data_value(&spec.driver, self.old.handle()?));
        let mut notes = of_driver(&meta.annotations);
        notes.extend(annotations.clone());
        notes.insert(labels::REBOUND_FROM.into(), meta.name.clone());
        if let Some(source) = meta.annotations.get(labels::CLONE_OF) {
            notes.insert(labels::CLONE_OF.into(), source.clone());
        }
        let api = "snapshot.storage.k8s.io/v1";
        let new = new_name(self.old);
        let mut content = json!({
            "apiVersion": api, "kind": "VolumeSnapshotContent",
            "metadata": {"name": new, "labels": content_labels, "annotations": notes},
            "spec": {
                "deletionPolicy": "Retain",
                "driver": spec.driver,
                "source": {"snapshotHandle": self.old.handle()?},
                "volumeSnapshotRef": {
                    "apiVersion": api, "kind": "VolumeSnapshot", "namespace": self.namespace, "name": self.name,
                },
            },
        });
        let class = spec.volume_snapshot_class_name.as_ref().filter(|_| !self.classless);
        for (field, value) in
            [("volumeSnapshotClassName", class), ("sourceVolumeMode", spec.source_volume_mode.as_ref())]
        {
            if let Some(value) = value {
                content["spec"][field] = json!(value);
            }
        }
        let snapshot = json!({
            "apiVersion": api, "kind": "VolumeSnapshot",
            "metadata": {"namespace": self.namespace, "name": self.name, "labels": labels, "annotations": annotations},
            "spec": {"source": {"volumeSnapshotContentName": new}},
        });
        Some(Pair { content, snapshot, dropped })
    }
}

fn synced(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let all = all.iter().filter(|(key, _)| labels::is_synced(key));
    all.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The JSON patch that sets the deletionPolicy of this version of a content to Retain.
pub fn retain_patch(meta: &Meta) -> Value {
    patch(meta, json!([{"op": "replace", "path": "/spec/deletionPolicy", "value": "Retain"}]))
}

/// The JSON patch that marks this version of a content as one whose VolumeSnapshot was deleted; None if it is marked.
pub fn orphan_patch(meta: &Meta) -> Option<Value> {
    if meta.annotations.contains_key(BEING_DELETED) {
        return None;
    }
    let path = format!("/metadata/annotations/{}", BEING_DELETED.replace('/', "~1"));
    let note = json!({"op": "add", "path": path, "value": "yes"});
    Some(match meta.annotations.is_empty() {
        true => patch(meta, json!([{"op": "add", "path": "/metadata/annotations", "value": {}}, note])),
        false => patch(meta, json!([note])),
    })
}

/// A JSON patch that applies only to this version of a content.
pub fn patch(meta: &Meta, operations: Value) -> Value {
    let mut all = vec![
        json!({"op": "test", "path": "/metadata/uid", "value": meta.uid}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": meta.resource_version}),
    ];
    if let Value::Array(operations) = operations {
        all.extend(operations);
    }
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(change: &Value) -> Content {
        let mut content = json!({
            "metadata": {
                "name": "c1", "uid": "u1", "resourceVersion": "7",
                "labels": {
                    "backup-ns.sh/type": "adhoc", "backup-ns.sh/run": "r", "backup-ns.sh/delete-after": "2026-11-21",
                    "snapshot.storage.kubernetes.io/managed-by": "node", "team": "x",
                },
                "annotations": {
                    "backup-ns.sh/claim": "{}", "backup-ns.sh/clone-of": "a/b", "backup-ns.sh/rebound-from": "c0",
                    "snapshot.storage.kubernetes.io/deletion-secret-name": "s",
                    "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes",
                },
            },
            "spec": {
                "deletionPolicy": "Delete", "driver": "d", "source": {"volumeHandle": "v"}, "sourceVolumeMode": "Filesystem",
                "volumeSnapshotClassName": "class", "volumeSnapshotRef": {"namespace": "shop", "name": "data-1", "uid": "s1"},
            },
            "status": {"snapshotHandle": "h"},
        });
        for (pointer, value) in change.as_object().unwrap() {
            *content.pointer_mut(pointer).unwrap() = value.clone();
        }
        serde_json::from_value(content).unwrap()
    }

    fn snapshot(text: Value) -> Snapshot {
        serde_json::from_value(text).unwrap()
    }

    fn rebind(old: &Content) -> RebindPlan<'_> {
        RebindPlan { old, namespace: "shop", name: "data-1", classless: false }
    }

    fn today() -> NaiveDate {
        date("2026-11-22").unwrap()
    }

    #[test]
    fn the_pair_says_what_the_old_content_said() {
        let old = content(&json!({}));
        let pair = rebind(&old).pair(today()).unwrap();
        assert_eq!(
            pair.content,
            json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                "metadata": {
                    "name": "rebound-u1",
                    "labels": {
                        "backup-ns.sh/type": "adhoc", "backup-ns.sh/run": "r",
                        "snapshot.storage.kubernetes.io/managed-by": "node",
                        "backup-ns.sh/data": labels::data_value("d", "h"),
                    },
                    "annotations": {
                        "backup-ns.sh/claim": "{}", "backup-ns.sh/clone-of": "a/b", "backup-ns.sh/rebound-from": "c1",
                        "snapshot.storage.kubernetes.io/deletion-secret-name": "s",
                    },
                },
                "spec": {
                    "deletionPolicy": "Retain", "driver": "d", "source": {"snapshotHandle": "h"},
                    "sourceVolumeMode": "Filesystem", "volumeSnapshotClassName": "class",
                    "volumeSnapshotRef": {
                        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "namespace": "shop", "name": "data-1",
                    },
                },
            })
        );
        assert_eq!(
            pair.snapshot,
            json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "metadata": {
                    "namespace": "shop", "name": "data-1",
                    "labels": {"backup-ns.sh/type": "adhoc", "backup-ns.sh/run": "r"},
                    "annotations": {"backup-ns.sh/claim": "{}"},
                },
                "spec": {"source": {"volumeSnapshotContentName": "rebound-u1"}},
            })
        );
        let classless = RebindPlan { classless: true, ..rebind(&old) }.pair(today()).unwrap();
        assert_eq!(classless.content["spec"].get("volumeSnapshotClassName"), None);
    }

    #[test]
    fn a_date_that_would_have_it_swept_in_the_next_night_stays_behind() {
        for (label, stays_behind) in
            [("2026-11-21", true), ("2026-11-22", true), ("2026-11-23", false), ("soon", false), ("", false)]
        {
            let old = content(&json!({"/metadata/labels/backup-ns.sh~1delete-after": label}));
            let pair = rebind(&old).pair(today()).unwrap();
            assert_eq!(pair.dropped.as_deref(), Some(label).filter(|_| stays_behind), "{label}");
            for object in [&pair.content, &pair.snapshot] {
                let kept = &object["metadata"]["labels"][labels::DELETE_AFTER];
                assert_eq!(kept.is_null(), stays_behind, "{label}");
            }
        }
    }

    #[test]
    fn the_handle_is_that_of_the_stored_data() {
        let by_hand = json!({"/spec/source": {"snapshotHandle": "h2"}, "/status": {}});
        assert_eq!(content(&by_hand).handle(), Some("h2"));
        let never_cut = content(&json!({"/status": {}}));
        assert!(judge_old(&never_cut, None).unwrap_err().0.contains("nothing was ever stored"));
        assert!(rebind(&never_cut).pair(today()).is_none());
    }

    #[test]
    fn data_whose_snapshot_is_still_there_is_not_rebound() {
        let old = content(&json!({}));
        let said = |snapshot: Value| judge_old(&old, Some(&self::snapshot(snapshot)));
        let (what, remedy) = said(json!({"metadata": {"uid": "s1"}})).unwrap_err();
        assert!(what.contains("bound to shop/data-1") && remedy.contains("backup-ns restore data-1 -n shop"), "{what}");
        let going =
            json!({"metadata": {"uid": "s1", "deletionTimestamp": "2026-11-22T12:00:00Z", "finalizers": ["x"]}});
        assert!(said(going.clone()).unwrap_err().1.contains("wait"));
        let mut swept = going;
        swept["metadata"]["finalizers"] = json!([labels::DELETION_FINALIZER]);
        let remedy = said(swept.clone()).unwrap_err().1;
        assert!(
            remedy.contains("delete-after-") && remedy.ends_with("mark-and-delete -n shop, then this again"),
            "{remedy}"
        );
        // Before that the pruning leaves it to the delete that may be at work.
        swept["metadata"]["annotations"] = json!({labels::DELETING: "2026-11-22T12:00:00Z"});
        let remedy = said(swept).unwrap_err().1;
        assert!(remedy.ends_with("mark-and-delete -n shop, from 2026-11-22T12:15:00Z on, then this again"), "{remedy}");
        assert_eq!(said(json!({"metadata": {"uid": "s2"}})), Ok(()), "another one of the same name");
        assert_eq!(judge_old(&old, None), Ok(()));
        let unbound = content(&json!({"/spec/volumeSnapshotRef/uid": ""}));
        let asks = |name: &str| {
            snapshot(json!({"metadata": {"uid": "s3"}, "spec": {"source": {"volumeSnapshotContentName": name}}}))
        };
        assert!(judge_old(&unbound, Some(&asks("c1"))).is_err());
        assert_eq!(judge_old(&unbound, Some(&asks("c2"))), Ok(()));
    }

    #[test]
    fn a_content_that_goes_with_its_data_is_not_rebound() {
        let going = |policy: &str| Content {
            metadata: Meta { deletion_timestamp: Some(chrono::DateTime::UNIX_EPOCH), ..content(&json!({})).metadata },
            ..content(&json!({"/spec/deletionPolicy": policy}))
        };
        assert!(judge_old(&going("Delete"), None).unwrap_err().1.contains("kubectl patch"));
        assert_eq!(judge_old(&going("Retain"), None), Ok(()));
    }

    #[test]
    fn an_earlier_call_is_gone_on_with_and_nothing_else_is_taken_for_it() {
        let old = content(&json!({}));
        let rebind = rebind(&old);
        let made = |change: Value| {
            let mut made = rebind.pair(today()).unwrap().content;
            made["metadata"]["uid"] = json!("n1");
            for (pointer, value) in change.as_object().unwrap() {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                made.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value.clone();
            }
            serde_json::from_value::<Content>(made).unwrap()
        };
        let ours = |more: Value| {
            let mut ours = rebind.pair(today()).unwrap().snapshot;
            ours["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            snapshot(ours)
        };
        let living = ours(json!({"uid": "s9"}));
        assert_eq!(rebind.judge_snapshot(&living), Ok(()));
        assert_eq!(rebind.judge_content(&made(json!({})), None), Ok(()));
        assert_eq!(rebind.judge_content(&made(json!({"/spec/volumeSnapshotRef/uid": "s9"})), Some(&living)), Ok(()));

        let going = ours(json!({"uid": "s9", "deletionTimestamp": "2026-11-22T12:00:00Z"}));
        assert!(rebind.judge_snapshot(&going).is_err());
        let other =
            snapshot(json!({"metadata": {"uid": "x"}, "spec": {"source": {"persistentVolumeClaimName": "data"}}}));
        assert!(rebind.judge_snapshot(&other).unwrap_err().1.contains("--name"));
        for (change, word) in [
            (json!({"/metadata/annotations": {}}), "not made for this data"),
            (json!({"/spec/driver": "e"}), "not made for this data"),
            (json!({"/spec/source": {"snapshotHandle": "i"}}), "not made for this data"),
            (json!({"/metadata/deletionTimestamp": "2026-11-22T12:00:00Z"}), "being deleted"),
            (json!({"/spec/volumeSnapshotRef/name": "another"}), "shop/another"),
            (json!({"/spec/volumeSnapshotRef/uid": "s8"}), "deleted since"),
        ] {
            let (what, _) = rebind.judge_content(&made(change), Some(&living)).unwrap_err();
            assert!(what.contains(word), "{what}");
        }
    }

    #[test]
    fn changes_are_of_the_very_version_that_was_seen() {
        let old = content(&json!({}));
        let tests = json!([
            {"op": "test", "path": "/metadata/uid", "value": "u1"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        ]);
        let begins = |patch: &Value| patch.as_array().unwrap().starts_with(tests.as_array().unwrap());
        assert!(begins(&retain_patch(&old.metadata)));
        assert_eq!(orphan_patch(&old.metadata), None, "the controller has said so already");
        let bare = content(&json!({"/metadata/annotations": {}}));
        let patch = orphan_patch(&bare.metadata).unwrap();
        assert!(begins(&patch) && patch.as_array().unwrap().len() == 4, "{patch}");
    }
}
