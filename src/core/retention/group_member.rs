//! Members of VolumeGroupSnapshots: how they are recognised, and why none is deleted alone. Must not know who asks.
//!
//! The driver's sidecar never deletes the data of one member. A content that is deleted alone goes without its data, which then
//! only the VolumeGroupSnapshotContent names; a VolumeSnapshot that is deleted alone waits for its group, and no volume can be
//! restored from it meanwhile.

use crate::core::kube::objects::{Content, Snapshot};

/// On a VolumeSnapshot that a group made.
const IN_GROUP: &str = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection";

/// On a content that a group made: the storage's name of the group.
const GROUP_HANDLE: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";

/// Why something is not deleted, as a phrase, and the remedy.
pub type Objection = (String, String);

/// The group of a VolumeSnapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The VolumeGroupSnapshot; empty if it is not known.
    pub group: String,
    /// Whether that is the owner, and so in the same namespace. Else the snapshot was bound to the data of a member.
    pub is_owned: bool,
}

impl Membership {
    /// None for a snapshot that is not a member. The snapshot of a clone is not one, either: its data is its source's, and stays.
    pub fn of(snapshot: &Snapshot) -> Option<Membership> {
        let meta = &snapshot.metadata;
        if snapshot.is_bridge() {
            return None;
        }
        if let Some(owner) = meta.owner_references.iter().find(|owner| owner["kind"] == "VolumeGroupSnapshot") {
            return Some(Membership { group: owner["name"].as_str().unwrap_or_default().into(), is_owned: true });
        }
        let group = snapshot.status.volume_group_snapshot_name.clone();
        let is_protected = meta.finalizers.iter().any(|finalizer| finalizer == IN_GROUP);
        (group.is_some() || is_protected).then(|| Membership { group: group.unwrap_or_default(), is_owned: false })
    }

    /// Why the member `name` of `namespace` stays, as a phrase, with the remedy.
    pub fn reason(&self, namespace: &str, name: &str) -> String {
        phrase(self.objection(namespace, name))
    }

    /// Why the member `name` of `namespace` is not deleted.
    pub fn objection(&self, namespace: &str, name: &str) -> Objection {
        let Membership { group, is_owned } = self;
        let what = match (is_owned, group.as_str()) {
            (_, "") => "it is a member of a VolumeGroupSnapshot, whose data is only deleted as a whole".into(),
            (true, _) => {
                format!("it is a member of the VolumeGroupSnapshot {group}, whose data is only deleted as a whole")
            }
            (false, _) => format!(
                "its data is that of a member of the VolumeGroupSnapshot {group}, whose data is only deleted as a whole"
            ),
        };
        let remedy = if *is_owned && !group.is_empty() {
            format!(
                "kubectl delete volumegroupsnapshot {group} -n {namespace} deletes the group with all its VolumeSnapshots; \
                 under deletionPolicy Retain the data stays under its VolumeGroupSnapshotContent"
            )
        } else {
            by_content(&format!("volumesnapshot {name} -n {namespace}"))
        };
        (what, remedy)
    }
}

/// An objection and its remedy in one phrase.
pub fn phrase((what, remedy): Objection) -> String {
    format!("{what}; {remedy}")
}

impl Content {
    /// The storage's name of the group whose member's data this is.
    pub fn group_handle(&self) -> Option<&str> {
        let noted = self.metadata.annotations.get(GROUP_HANDLE);
        self.status.volume_group_snapshot_handle.as_ref().or(noted).map(String::as_str)
    }
}

/// Why the content of a member is not deleted with its data; None if it is of no group.
pub fn content_objection(content: &Content) -> Option<Objection> {
    let handle = content.group_handle()?;
    let name = &content.metadata.name;
    let what =
        format!("its data is that of a member of the group snapshot {handle}, whose data is only deleted as a whole");
    Some((what, by_content(&format!("volumesnapshotcontent {name}"))))
}

/// How a group goes whose VolumeGroupSnapshot is gone, or not known, and then `object`, in the words of kubectl.
fn by_content(object: &str) -> String {
    let patch = r#"'{"spec":{"deletionPolicy":"Delete"}}'"#;
    format!(
        "kubectl get volumegroupsnapshotcontents -o yaml shows the VolumeGroupSnapshotContent that names the group; where \
         its VolumeGroupSnapshot is gone: kubectl patch volumegroupsnapshotcontent NAME --type=merge -p {patch}, then \
         kubectl delete volumegroupsnapshotcontent NAME; kubectl delete {object} then deletes the object"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn snapshot(metadata: Value, status: Value, source: Value) -> Snapshot {
        let object = json!({"metadata": metadata, "spec": {"source": source}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_member_is_recognised_by_each_of_its_marks() {
        let cut = json!({"persistentVolumeClaimName": "data"});
        let of = |metadata: Value, status: Value| Membership::of(&snapshot(metadata, status, cut.clone()));
        let membership = |group: &str, is_owned| Some(Membership { group: group.into(), is_owned });
        let owner =
            |kind: &str| json!({"ownerReferences": [{"kind": "Job", "name": "x"}, {"kind": kind, "name": "one"}]});
        let named = json!({"volumeGroupSnapshotName": "one"});
        assert_eq!(of(owner("VolumeGroupSnapshot"), json!({})), membership("one", true));
        assert_eq!(
            of(owner("VolumeGroupSnapshot"), json!({"volumeGroupSnapshotName": "two"})),
            membership("one", true)
        );
        assert_eq!(of(owner("CronJob"), json!({})), None);
        assert_eq!(of(json!({}), named.clone()), membership("one", false));
        assert_eq!(of(json!({"finalizers": ["a/b", IN_GROUP]}), json!({})), membership("", false));
        assert_eq!(of(json!({"finalizers": [IN_GROUP]}), named.clone()), membership("one", false));
        let others = json!({"finalizers": ["snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"]});
        assert_eq!(of(others, json!({"readyToUse": true})), None);
    }

    #[test]
    fn the_snapshot_of_a_clone_goes_though_its_data_is_a_members() {
        let bridge = json!({
            "labels": {"backup-ns.sh/type": "clone"}, "annotations": {"backup-ns.sh/clone-of": "bank/a"},
        });
        let named = json!({"volumeGroupSnapshotName": "one"});
        let from = json!({"volumeSnapshotContentName": "clone-1-shop"});
        assert_eq!(Membership::of(&snapshot(bridge.clone(), named.clone(), from)), None);
        let cut = json!({"persistentVolumeClaimName": "data"});
        assert!(Membership::of(&snapshot(bridge, named, cut)).is_some(), "it was cut here");
    }

    #[test]
    fn the_group_and_the_way_to_delete_it_are_named() {
        let said = |group: &str, is_owned| Membership { group: group.into(), is_owned }.reason("shop", "a");
        let owned = said("one", true);
        assert!(owned.contains("a member of the VolumeGroupSnapshot one,"), "{owned}");
        assert!(owned.contains("; kubectl delete volumegroupsnapshot one -n shop deletes"), "{owned}");
        // A group of that name may be in another namespace.
        for (group, is_owned, what) in [
            ("one", false, "its data is that of a member of the VolumeGroupSnapshot one"),
            ("", false, "it is a member of a VolumeGroupSnapshot,"),
            ("", true, "it is a member of a VolumeGroupSnapshot,"),
        ] {
            let said = said(group, is_owned);
            assert!(said.starts_with(what) && said.contains("kubectl get volumegroupsnapshotcontents"), "{said}");
            assert!(said.ends_with("; kubectl delete volumesnapshot a -n shop then deletes the object"), "{said}");
            assert!(!said.contains("delete volumegroupsnapshot "), "{said}");
        }
    }

    #[test]
    fn a_content_is_a_members_by_annotation_or_status() {
        let of = |annotations: Value, status: Value| {
            let object = json!({"metadata": {"name": "x", "annotations": annotations}, "status": status});
            let content: Content = serde_json::from_value(object).unwrap();
            content_objection(&content).map(|(what, _)| what)
        };
        let member = |handle| {
            Some(format!(
                "its data is that of a member of the group snapshot {handle}, whose data is only deleted as a whole"
            ))
        };
        assert_eq!(of(json!({GROUP_HANDLE: "G"}), json!({})), member("G"));
        assert_eq!(of(json!({GROUP_HANDLE: "G"}), json!({"volumeGroupSnapshotHandle": "H"})), member("H"));
        assert_eq!(of(json!({}), json!({"volumeGroupSnapshotHandle": "H"})), member("H"));
        assert_eq!(of(json!({"a": "b"}), json!({"snapshotHandle": "h"})), None);
    }
}
