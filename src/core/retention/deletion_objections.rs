//! The objections to deleting a snapshot that the user names. Must not know the command that asks.

use crate::core::kube::labels;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::Snapshot;
use crate::core::retention::history::{ClaimHistory, FLOOR, Moment, Record};

impl NamespaceObjects {
    /// The objections to deleting `snapshot`, as phrases. The first is that retention would keep it as the last one of its PVC,
    /// among all snapshots or among those that retention manages: a snapshot of another tool does not replace one of ours.
    pub fn objections(&self, snapshot: &Snapshot, moment: &Moment) -> Vec<String> {
        let pruned = |snapshot: &&Snapshot| snapshot.is_pruned();
        let seen = |wanted: &dyn Fn(&&Snapshot) -> bool| -> Vec<Record> {
            self.snapshots.iter().filter(wanted).cloned().map(Record::from).collect()
        };
        let name = &snapshot.metadata.name;
        let stays = |snapshots: &[Record]| {
            ClaimHistory::all(snapshots, moment).iter().find_map(|history| {
                let at = history.floor.iter().position(|at| history.snapshots[*at].name == *name)?;
                Some(match at {
                    _ if history.snapshots[0].pvc.is_empty() => "it is ready, and its PVC is unknown".into(),
                    0 => format!("it is the {FLOOR}"),
                    // The newest ready one is distrusted.
                    _ => "it is the newest of its PVC that is a backup".into(),
                })
            })
        };
        let floor = || stays(&seen(&|_| true)).or_else(|| stays(&seen(&pruned)));
        let mut objections: Vec<String> = if snapshot.is_bridge() { Vec::new() } else { floor().into_iter().collect() };
        if snapshot.metadata.annotations.contains_key(labels::RESTORING) {
            objections.push("an in-place restore from it was begun and is not done".into());
        }
        let of = (snapshot.metadata.namespace.clone(), name.clone());
        let users = self.claims.iter().filter(|claim| claim.sources().any(|source| source == of));
        let claims: Vec<&str> = users.map(|claim| claim.metadata.name.as_str()).collect();
        if !claims.is_empty() {
            objections.push(format!("a volume is still being made from it, for the PVC {}", claims.join(", ")));
        }
        objections
    }
}

/// The reason to keep stored data that the content `other` also names.
pub fn shared_reason(other: &str) -> String {
    format!(
        "the VolumeSnapshotContent {other} names the same stored data; backup-ns delete-vsc {other} --keep-data deletes that \
         object alone, or says what needs it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::retention::history::testing::moment;
    use serde_json::{Value, json};

    fn shot(name: &str, day: u8, more: Value) -> Value {
        let made = format!("2026-11-{day:02}T02:00:00Z");
        let mut object = json!({
            "kind": "VolumeSnapshot",
            "metadata": {
                "namespace": "shop", "name": name, "creationTimestamp": made, "labels": {"backup-ns.sh/retain": "days"},
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"creationTime": made, "readyToUse": true},
        });
        for (key, value) in more.as_object().unwrap() {
            for (field, value) in value.as_object().unwrap() {
                object[key][field] = value.clone();
            }
        }
        object
    }

    fn claim(name: &str, phase: &str, source: &str) -> Value {
        let source = json!({"kind": "VolumeSnapshot", "name": source});
        json!({
            "kind": "PersistentVolumeClaim", "metadata": {"namespace": "shop", "name": name},
            "spec": {"dataSource": source, "dataSourceRef": source}, "status": {"phase": phase},
        })
    }

    /// The objections to each snapshot, in their order.
    fn against(items: &[Value]) -> Vec<String> {
        let namespace_objects: NamespaceObjects = serde_json::from_value(json!({"items": items})).unwrap();
        let objections =
            |snapshot: &Snapshot| namespace_objects.objections(snapshot, &moment("2026-11-22T12:00")).join("; ");
        namespace_objects.snapshots.iter().map(objections).collect()
    }

    const NEWEST: &str = "it is the newest ready snapshot of its PVC";

    #[test]
    fn the_newest_ready_one_stays_and_the_newest_backup() {
        let nothing = json!({});
        assert_eq!(against(&[shot("a", 20, nothing.clone()), shot("b", 21, nothing.clone())]), ["", NEWEST]);
        let distrusted = json!({"metadata": {"annotations": {"backup-ns.sh/distrusted": "why"}}});
        let backup = "it is the newest of its PVC that is a backup";
        assert_eq!(against(&[shot("a", 20, nothing.clone()), shot("b", 21, distrusted)]), [backup, NEWEST]);
        let unready = json!({"status": {"readyToUse": false}});
        assert_eq!(against(&[shot("a", 20, nothing.clone()), shot("b", 21, unready)]), [NEWEST, ""]);
        let other = json!({"spec": {"source": {"persistentVolumeClaimName": "logs"}}});
        assert_eq!(against(&[shot("a", 20, nothing), shot("b", 21, other)]), [NEWEST, NEWEST]);
        let bound = json!({"spec": {"source": {"volumeSnapshotContentName": "c"}}});
        assert_eq!(against(&[shot("a", 20, bound)]), ["it is ready, and its PVC is unknown"]);
    }

    #[test]
    fn a_snapshot_of_another_tool_does_not_replace_ours() {
        let foreign = json!({"metadata": {"labels": {"app": "x"}}});
        let both = [shot("a", 20, json!({})), shot("b", 21, foreign.clone())];
        assert_eq!(against(&both), [NEWEST, NEWEST]);
        assert_eq!(against(&[shot("a", 20, foreign), shot("b", 21, json!({}))]), ["", NEWEST]);
    }

    #[test]
    fn a_source_of_a_new_volume_stays() {
        let both = [shot("a", 20, json!({})), shot("b", 21, json!({}))];
        let with = |claims: &[Value]| against(&[&both[..], claims].concat());
        let used = "a volume is still being made from it, for the PVC look, more";
        assert_eq!(with(&[claim("look", "Pending", "a"), claim("more", "Pending", "a")]), [used, NEWEST]);
        assert_eq!(with(&[claim("look", "Bound", "a"), claim("more", "Pending", "c")]), ["", NEWEST]);
    }

    #[test]
    fn a_snapshot_of_a_finished_clone_needs_no_force() {
        let bridge = json!({
            "metadata": {"labels": {"backup-ns.sh/type": "clone"}, "annotations": {"backup-ns.sh/clone-of": "bank/a"}},
            "spec": {"source": {"volumeSnapshotContentName": "clone-1-shop"}},
        });
        let shot = shot("a", 20, bridge);
        assert_eq!(against(std::slice::from_ref(&shot)), [""]);
        let used = "a volume is still being made from it, for the PVC look";
        assert_eq!(against(&[shot, claim("look", "Pending", "a")]), [used]);
    }

    #[test]
    fn a_source_of_a_running_in_place_restore_stays() {
        let begun = json!({"metadata": {"annotations": {"backup-ns.sh/restoring": "{}"}}});
        let objections = against(&[shot("a", 20, begun), shot("b", 21, json!({}))]);
        assert_eq!(objections, ["an in-place restore from it was begun and is not done", NEWEST]);
    }
}
