//! `sync-metadata-to-vsc`: copies labels and annotations of a VolumeSnapshot to its VolumeSnapshotContent, so that stored data can
//! be identified when the VolumeSnapshot is gone. Decides what to change; must not know how it is sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::core::kube::labels;
use crate::core::kube::objects::Snapshot;

/// A bound VolumeSnapshot, and what to copy to its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub namespace: String,
    pub name: String,
    uid: String,
    content: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// The most that is copied from one VolumeSnapshot, in bytes: several times what this program writes. Tens of thousands are in
/// memory at once.
const MOST: usize = 128 << 10;

impl Source {
    /// What to copy from a VolumeSnapshot. None if it is not bound, has more than this program writes, or is being deleted: then
    /// the content keeps what was copied last.
    pub fn of(snapshot: Snapshot) -> Option<Source> {
        let meta = snapshot.metadata;
        let content = snapshot.status.bound_volume_snapshot_content_name;
        let content = content.filter(|name| !name.is_empty() && meta.deletion_timestamp.is_none())?;
        let ours = |all: BTreeMap<String, String>| -> BTreeMap<String, String> {
            all.into_iter().filter(|(key, _)| labels::is_synced(key)).collect()
        };
        let (labels, annotations) = (ours(meta.labels), ours(meta.annotations));
        let bytes: usize = labels.iter().chain(&annotations).map(|(key, value)| key.len() + value.len()).sum();
        let source = Source { namespace: meta.namespace, name: meta.name, uid: meta.uid, content, labels, annotations };
        (bytes <= MOST).then_some(source)
    }
}

/// VolumeSnapshots by their uid.
#[derive(Debug, Default)]
pub struct Sources(BTreeMap<String, Source>);

/// The changes to a content by key; None removes the key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetadataPatch {
    pub labels: BTreeMap<String, Option<String>>,
    pub annotations: BTreeMap<String, Option<String>>,
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(all: I) -> Sources {
        Sources(all.into_iter().map(|source| (source.uid.clone(), source)).collect())
    }
}

impl Sources {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The changes to `content`, an object as it was read, and the VolumeSnapshot that they are copied from. None if there are no
    /// changes, if it is being deleted, or if it and its VolumeSnapshot do not name each other.
    pub fn change(&self, content: &Value) -> Option<(&Source, MetadataPatch)> {
        let meta = &content["metadata"];
        let source = self.0.get(content["spec"]["volumeSnapshotRef"]["uid"].as_str()?)?;
        if meta["name"] != source.content.as_str() || !meta["deletionTimestamp"].is_null() {
            return None;
        }
        let change = MetadataPatch {
            labels: difference(&meta["labels"], &source.labels),
            annotations: difference(&meta["annotations"], &source.annotations),
        };
        (change != MetadataPatch::default()).then_some((source, change))
    }
}

/// The changes that make the copied keys of `old` those of `new`.
fn difference(old: &Value, new: &BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let set = new.iter().filter(|(key, value)| old[key.as_str()] != value.as_str());
    let set = set.map(|(key, value)| (key.clone(), Some(value.clone())));
    let taken = old.as_object().into_iter().flat_map(Map::keys);
    let taken = taken.filter(|key| labels::is_synced(key) && !new.contains_key(*key)).map(|key| (key.clone(), None));
    set.chain(taken).collect()
}

impl MetadataPatch {
    /// Applies the changes to an object.
    pub fn apply(&self, content: &mut Value) {
        for (field, changes) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if changes.is_empty() {
                continue;
            }
            let all = &mut content["metadata"][field];
            if !all.is_object() {
                *all = json!({});
            }
            for (key, value) in changes {
                match (value, all.as_object_mut()) {
                    (Some(value), _) => all[key] = json!(value),
                    (None, Some(all)) => drop(all.remove(key)),
                    (None, None) => {}
                }
            }
        }
    }

    /// In words: labels with their values, annotations by their keys alone, as `+type=adhoc`, `-delete-after`, `+claim`.
    pub fn words(&self) -> Vec<String> {
        let short = |key: &String| key.trim_start_matches(labels::PREFIX).to_string();
        let labels = self.labels.iter().map(|(key, value)| match value {
            Some(value) => format!("+{}={value}", short(key)),
            None => format!("-{}", short(key)),
        });
        let annotations = self.annotations.iter().map(|(key, value)| match value {
            Some(_) => format!("+{}", short(key)),
            None => format!("-{}", short(key)),
        });
        labels.chain(annotations).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(change: &Value) -> Snapshot {
        let mut snapshot = json!({
            "metadata": {
                "namespace": "shop", "name": "data-1", "uid": "u1",
                "labels": {"backup-ns.sh/type": "adhoc", "team": "x"},
                "annotations": {"backup-ns.sh/claim": "{}", "note": "y"},
            },
            "status": {"boundVolumeSnapshotContentName": "c1"},
        });
        for (pointer, value) in change.as_object().unwrap() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            snapshot.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        serde_json::from_value(snapshot).unwrap()
    }

    fn content() -> Value {
        json!({
            "metadata": {
                "name": "c1", "resourceVersion": "7",
                "labels": {"backup-ns.sh/delete-after": "2026-01-01", "snapshot.storage.kubernetes.io/managed-by": "node"},
                "annotations": {
                    "backup-ns.sh/clone-of": "shop/old", "backup-ns.sh/rebound-from": "c0", "backup-ns.sh/claim": "old",
                    "backup-ns.sh/of-the-older-tool": "1", "note": "z",
                },
            },
            "spec": {"volumeSnapshotRef": {"uid": "u1"}, "unknown": [1]},
            "status": {"readyToUse": true},
        })
    }

    fn sources(snapshot: Snapshot) -> Sources {
        Source::of(snapshot).into_iter().collect()
    }

    #[test]
    fn ours_is_added_changed_and_taken_away_and_nothing_else_is_touched() {
        let sources = sources(snapshot(&json!({})));
        let mut object = content();
        let (source, change) = sources.change(&object).unwrap();
        assert_eq!((source.namespace.as_str(), source.name.as_str()), ("shop", "data-1"));
        assert_eq!(change.words(), ["-delete-after", "+type=adhoc", "+claim", "-of-the-older-tool"]);
        change.apply(&mut object);
        let mut expected = content();
        expected["metadata"]["labels"] =
            json!({"backup-ns.sh/type": "adhoc", "snapshot.storage.kubernetes.io/managed-by": "node"});
        expected["metadata"]["annotations"] = json!({
            "backup-ns.sh/clone-of": "shop/old", "backup-ns.sh/rebound-from": "c0", "backup-ns.sh/claim": "{}", "note": "z",
        });
        assert_eq!(object, expected);
        assert_eq!(sources.change(&object), None, "a second time there is nothing to do");
    }

    #[test]
    fn a_content_without_metadata_of_its_own_gets_it() {
        let mut object = json!({"metadata": {"name": "c1"}, "spec": {"volumeSnapshotRef": {"uid": "u1"}}});
        let sources = sources(snapshot(&json!({})));
        sources.change(&object).unwrap().1.apply(&mut object);
        assert_eq!(object["metadata"]["labels"], json!({"backup-ns.sh/type": "adhoc"}));
        assert_eq!(object["metadata"]["annotations"], json!({"backup-ns.sh/claim": "{}"}));
    }

    #[test]
    fn what_only_contents_say_is_not_taken_from_a_snapshot() {
        let sources = sources(snapshot(&json!({"/metadata/annotations": {"backup-ns.sh/clone-of": "another/one"}})));
        let (_, change) = sources.change(&content()).unwrap();
        assert!(!change.annotations.contains_key(labels::CLONE_OF), "{change:?}");
    }

    #[test]
    fn a_snapshot_with_more_than_this_program_writes_is_not_copied() {
        let source =
            |key: &str, bytes: usize| Source::of(snapshot(&json!({"/metadata/annotations": {key: "x".repeat(bytes)}})));
        assert!(source("backup-ns.sh/claim", MOST - 100).is_some());
        assert_eq!(source("backup-ns.sh/claim", MOST), None);
        assert!(source("of-another-tool", MOST).is_some());
    }

    #[test]
    fn a_pair_that_does_not_name_each_other_is_not_changed() {
        for change in [
            json!({"/metadata/deletionTimestamp": "2026-11-22T12:00:00Z"}),
            json!({"/status/boundVolumeSnapshotContentName": "c2"}),
            json!({"/status/boundVolumeSnapshotContentName": null}),
            json!({"/metadata/uid": "u2"}),
        ] {
            assert_eq!(sources(snapshot(&change)).change(&content()), None, "{change}");
        }
        let mut going = content();
        going["metadata"]["deletionTimestamp"] = json!("2026-11-22T12:00:00Z");
        assert_eq!(sources(snapshot(&json!({}))).change(&going), None);
        assert_eq!(sources(snapshot(&json!({}))).change(&json!({})), None);
    }

    proptest! {
        #[test]
        fn once_changed_both_say_the_same(
            old in prop::collection::btree_map("(backup-ns.sh/)?[a-c]", "[xy]", 0..5),
            new in prop::collection::btree_map("(backup-ns.sh/)?[a-c]", "[xy]", 0..5),
        ) {
            let mut object = content();
            object["metadata"]["labels"] = json!(old);
            let sources = sources(snapshot(&json!({"/metadata/labels": new})));
            if let Some((_, change)) = sources.change(&object) {
                change.apply(&mut object);
            }
            let after: BTreeMap<String, String> = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap();
            let split = |all: &BTreeMap<String, String>, ours: bool| -> BTreeMap<String, String> {
                all.clone().into_iter().filter(|(key, _)| key.starts_with(labels::PREFIX) == ours).collect()
            };
            prop_assert_eq!(split(&after, true), split(&new, true));
            prop_assert_eq!(split(&after, false), split(&old, false));
        }
    }
}
