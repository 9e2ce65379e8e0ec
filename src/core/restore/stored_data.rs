//! VolumeSnapshotContents and the stored data that they name: which of them name the same data, and whether one whose
//! VolumeSnapshot is gone may be deleted. Must not know how contents are read or deleted.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Meta, Snapshot};
use crate::core::restore::in_place::Journal;
use crate::core::restore::rebind::{self, No};
use crate::core::retention::group_member::{self, Membership};
use crate::core::words::age;

/// How long a new content may be unbound because its VolumeSnapshot is not made yet.
const UNBOUND: TimeDelta = TimeDelta::minutes(10);

/// A content, and the data that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub name: String,
    pub clone: bool,
    pub namespace: String,
    pub snapshot: String,
    /// The uid of its VolumeSnapshot; empty where it is not bound yet.
    pub snapshot_uid: String,
    /// The data: the driver, and the handles in spec and status.
    data: BTreeSet<(String, String)>,
}

impl From<&Content> for Holder {
    fn from(content: &Content) -> Holder {
        let reference = &content.spec.volume_snapshot_ref;
        let driver = &content.spec.driver;
        Holder {
            name: content.metadata.name.clone(),
            clone: content.is_clone(),
            namespace: reference.namespace.clone(),
            snapshot: reference.name.clone(),
            snapshot_uid: reference.uid.clone(),
            data: content.handles().map(|handle| (driver.clone(), handle.to_string())).collect(),
        }
    }
}

impl Holder {
    /// Whether this is another content that names data of `content`.
    pub fn shares(&self, content: &Content) -> bool {
        let mut handles = content.handles().map(|handle| (content.spec.driver.clone(), handle.to_string()));
        self.name != content.metadata.name && handles.any(|data| self.data.contains(&data))
    }

    /// `CONTENT (NAMESPACE/SNAPSHOT)`.
    pub fn described(&self) -> String {
        format!("{} ({}/{})", self.name, self.namespace, self.snapshot)
    }
}

/// All contents, by the data that they name.
#[derive(Debug, Default)]
pub struct Holders {
    all: Vec<Holder>,
    by_data: BTreeMap<(String, String), Vec<usize>>,
}

impl FromIterator<Holder> for Holders {
    fn from_iter<I: IntoIterator<Item = Holder>>(all: I) -> Holders {
        let all: Vec<Holder> = all.into_iter().collect();
        let mut by_data: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for (at, holder) in all.iter().enumerate() {
            for data in &holder.data {
                by_data.entry(data.clone()).or_default().push(at);
            }
        }
        Holders { all, by_data }
    }
}

impl Holders {
    /// The others that name data of `holder`.
    pub fn others(&self, holder: &Holder) -> Vec<&Holder> {
        let same = holder.data.iter().filter_map(|data| self.by_data.get(data)).flatten();
        let at: BTreeSet<usize> = same.copied().filter(|at| self.all[*at].name != holder.name).collect();
        at.into_iter().map(|at| &self.all[at]).collect()
    }

    /// The VolumeSnapshots, by uid, whose data another content names, and that content. Clones are left out: their data is never
    /// deleted with them.
    pub fn shared(&self) -> BTreeMap<String, String> {
        let bound = self.all.iter().filter(|holder| !holder.snapshot_uid.is_empty() && !holder.clone);
        let shared =
            bound.filter_map(|holder| Some((holder.snapshot_uid.clone(), self.others(holder).first()?.name.clone())));
        shared.collect()
    }
}

/// How a content may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    WithData,
    /// Without its data, because this other content names the data, too.
    ObjectAlone(String),
}

/// What the flags ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// Never delete data.
    pub keep_data: bool,
    /// Delete the data of a clone whose source is gone.
    pub force: bool,
}

/// How `content` may be deleted. `others` are the contents that name its data, too, and `snapshots` are those of the namespace
/// that it refers to.
///
/// # Errors
/// Why it may not, and the remedy.
pub fn judge(
    content: &Content,
    others: &[Holder],
    snapshots: &[Snapshot],
    wish: Wish,
    now: DateTime<Utc>,
) -> Result<Removal, No> {
    let (meta, reference) = (&content.metadata, &content.spec.volume_snapshot_ref);
    let name = &meta.name;
    let place = format!("{}/{}", reference.namespace, reference.name);
    if let Some(snapshot) = snapshots.iter().find(|snapshot| rebind::is_of(content, snapshot)) {
        if let Some(group) = Membership::of(snapshot) {
            let (why, remedy) = group.objection(&reference.namespace, &snapshot.metadata.name);
            return Err((format!("{name} is not deleted, it is bound to {place}: {why}"), remedy));
        }
        return Err(bound(name, snapshot));
    }
    for snapshot in snapshots {
        let Some(journal) = snapshot.metadata.annotations.get(labels::RESTORING) else { continue };
        let source = &snapshot.metadata.name;
        // A journal that cannot be read may name it.
        if serde_json::from_str::<Journal>(journal).map_or(true, |journal| journal.safety == reference.name) {
            let what = format!(
                "an in-place restore of {source} in {} is not finished, and {name} may hold what was there before it",
                reference.namespace
            );
            let command = format!("backup-ns restore {source} -n {}", reference.namespace);
            return Err((
                what,
                format!("finish it first: {command} --in-place, or take it back: {command} --rollback"),
            ));
        }
    }
    let clone = content.is_clone();
    if reference.uid.is_empty() && (clone || !wish.keep_data) && now - meta.creation_timestamp < UNBOUND {
        let what = format!(
            "the VolumeSnapshotContent {name} is {} old and not bound yet: its VolumeSnapshot {place} may be about to be made",
            age(now - meta.creation_timestamp)
        );
        return Err((what, format!("run this again when it is {} old", age(UNBOUND))));
    }
    let Some(first) = others.first() else { return judge_last(content, wish) };
    // A clone must not be the last content that names the data: its deletion never deletes the data.
    match others.iter().find(|other| !other.clone) {
        Some(owner) => Ok(Removal::ObjectAlone(owner.described())),
        None if clone => Ok(Removal::ObjectAlone(first.described())),
        None => Err((
            format!(
                "the VolumeSnapshotContent {}, of a clone, names the stored data of {name}, too",
                first.described()
            ),
            format!("backup-ns delete-vsc {} --keep-data first, then this again", first.name),
        )),
    }
}

/// As [`judge`], for the only content that names the data.
fn judge_last(content: &Content, wish: Wish) -> Result<Removal, No> {
    let Meta { name, annotations, .. } = &content.metadata;
    // Whatever is wanted, only the object would go.
    if let Some((why, remedy)) = group_member::content_objection(content) {
        return Err((format!("{name} is not deleted: {why}"), remedy));
    }
    match wish {
        Wish { keep_data: true, .. } => Err((
            format!(
                "no other VolumeSnapshotContent names the stored data of {name}: without it the data could not be found"
            ),
            format!("backup-ns rebind-vsc {name} brings it back; backup-ns delete-vsc {name} deletes it with its data"),
        )),
        Wish { force: false, .. } if content.is_clone() => Err((
            format!(
                "{name} was made for a clone of {}, and no VolumeSnapshotContent of that is here: the data is gone, or \
                 this is the last to name it, or its owner is in another cluster",
                annotations.get(labels::CLONE_OF).map_or("another snapshot", String::as_str)
            ),
            format!(
                "backup-ns rebind-vsc {name} brings it back if it is still there; backup-ns delete-vsc {name} --force \
                 deletes it with the data"
            ),
        )),
        _ => Ok(Removal::WithData),
    }
}

/// Why a bound content is not deleted, and the remedy.
fn bound(name: &str, snapshot: &Snapshot) -> No {
    let Meta { namespace, name: bound, deletion_timestamp, finalizers, .. } = &snapshot.metadata;
    let delete = format!("backup-ns delete {bound} -n {namespace}");
    match deletion_timestamp {
        None => (
            format!("the stored data of {name} is not without a snapshot: it is bound to {namespace}/{bound}"),
            format!("to delete both: {delete}"),
        ),
        Some(_) if finalizers.iter().any(|finalizer| finalizer == labels::DELETION_FINALIZER) => (
            format!("the deletion of {namespace}/{bound}, to which {name} is bound, was begun and is not finished"),
            format!("{delete} finishes it"),
        ),
        Some(_) => (
            format!(
                "the VolumeSnapshot {namespace}/{bound}, to which {name} is bound, is being deleted, and held by {}",
                finalizers.join(", ")
            ),
            "wait until it is gone, then run this again".into(),
        ),
    }
}

/// The JSON patch that sets the deletionPolicy of this version of a content, and marks its VolumeSnapshot as deleted; None if
/// neither is needed.
pub fn deletion_policy_patch(content: &Content, policy: &str) -> Option<Value> {
    let meta = &content.metadata;
    let mut patch = rebind::orphan_patch(meta);
    if content.spec.deletion_policy != policy {
        let replace = json!({"op": "replace", "path": "/spec/deletionPolicy", "value": policy});
        match patch.as_mut().and_then(Value::as_array_mut) {
            Some(operations) => operations.push(replace),
            None => patch = Some(rebind::patch(meta, json!([replace]))),
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::retention::history::testing::at;

    const NOW: &str = "2026-11-22T12:00";

    /// A content of `shop/a`, bound to a VolumeSnapshot of the uid `uid-NAME`.
    fn content(name: &str, driver: &str, spec: Option<&str>, status: Option<&str>, change: Value) -> Content {
        let mut object = json!({
            "metadata": {"name": name, "uid": format!("u-{name}"), "resourceVersion": "7",
                "creationTimestamp": "2026-11-20T02:00:00Z", "labels": {}, "annotations": {}},
            "spec": {"driver": driver, "deletionPolicy": "Retain", "source": {"snapshotHandle": spec},
                "volumeSnapshotRef": {"namespace": "shop", "name": "a", "uid": format!("uid-{name}")}},
            "status": {"snapshotHandle": status},
        });
        for (pointer, value) in change.as_object().unwrap() {
            *object.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn plain(name: &str) -> Content {
        content(name, "d", Some("h"), Some("h"), json!({}))
    }

    fn snapshot(change: Value) -> Snapshot {
        let mut object =
            json!({"metadata": {"namespace": "shop", "name": "a", "uid": "uid-x"}, "spec": {"source": {}}});
        for (key, value) in change.as_object().unwrap() {
            object["metadata"][key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn data_is_the_same_by_driver_and_handle_wherever_that_is_written() {
        let of = |driver: &str, spec, status| content("other", driver, spec, status, json!({}));
        for (other, same) in [
            (of("d", Some("h"), None), true),
            (of("d", None, Some("h")), true),
            (of("d", Some("h"), Some("changed")), true),
            (of("d", Some("changed"), Some("h")), true),
            (of("other", Some("h"), Some("h")), false),
            (of("d", Some("i"), Some("i")), false),
            // Nothing is stored yet: two of those have nothing in common.
            (of("d", None, None), false),
            (of("d", Some(""), Some("")), false),
        ] {
            for own in [content("x", "d", Some("h"), None, json!({})), content("x", "d", None, Some("h"), json!({}))] {
                assert_eq!(Holder::from(&other).shares(&own), same, "{other:?}");
                let holders: Holders = [&own, &other].map(Holder::from).into_iter().collect();
                let names: Vec<&str> =
                    holders.others(&Holder::from(&own)).iter().map(|other| other.name.as_str()).collect();
                assert_eq!(names, if same { vec!["other"] } else { vec![] }, "{other:?}");
                let shared: Vec<(String, String)> = holders.shared().into_iter().collect();
                let both = [("uid-other", "x"), ("uid-x", "other")].map(|(a, b)| (a.to_string(), b.to_string()));
                assert_eq!(shared, if same { both.to_vec() } else { vec![] });
            }
        }
        assert!(!Holder::from(&plain("x")).shares(&plain("x")), "itself is no other");
        let nothing = content("y", "d", None, None, json!({}));
        assert!(!Holder::from(&nothing).shares(&content("z", "d", None, None, json!({}))));
    }

    #[test]
    fn only_what_is_bound_and_no_clone_is_held_back() {
        let clone = content("clone-1", "d", Some("h"), Some("h"), json!({}));
        let unbound = content("unbound", "d", Some("h"), None, json!({"/spec/volumeSnapshotRef/uid": ""}));
        let holders: Holders = [&plain("x"), &clone, &unbound].map(Holder::from).into_iter().collect();
        assert_eq!(holders.shared().into_iter().collect::<Vec<_>>(), [("uid-x".to_string(), "clone-1".to_string())]);
    }

    #[track_caller]
    fn refused(answer: Result<Removal, No>, what: &str, remedy: &str) {
        let (said, text) = answer.unwrap_err();
        assert!(said.contains(what) && text.contains(remedy), "{said}: {text}");
    }

    #[test]
    fn an_orphan_goes_with_its_data_and_a_twin_as_an_object_alone() {
        let now = at(NOW);
        let (none, keep) = (Wish { keep_data: false, force: false }, Wish { keep_data: true, force: false });
        let force = Wish { keep_data: false, force: true };
        let x = plain("x");
        let twin = Holder::from(&plain("y"));
        let clone = content("clone-1", "d", Some("h"), Some("h"), json!({}));
        let bridge = Holder::from(&clone);
        let alone = |holder: &Holder| Ok(Removal::ObjectAlone(holder.described()));
        for wish in [none, force] {
            assert_eq!(judge(&x, &[], &[], wish, now), Ok(Removal::WithData));
        }
        refused(judge(&x, &[], &[], keep, now), "no other VolumeSnapshotContent", "backup-ns rebind-vsc x");
        for wish in [none, keep, force] {
            assert_eq!(judge(&x, std::slice::from_ref(&twin), &[], wish, now), alone(&twin));
            assert_eq!(judge(&x, &[bridge.clone(), twin.clone()], &[], wish, now), alone(&twin), "the owner is named");
            assert_eq!(judge(&clone, std::slice::from_ref(&twin), &[], wish, now), alone(&twin));
            assert_eq!(judge(&clone, std::slice::from_ref(&bridge), &[], wish, now), alone(&bridge));
            // Else only a clone would name the data, and would never delete it.
            refused(
                judge(&x, std::slice::from_ref(&bridge), &[], wish, now),
                "of a clone, names",
                "backup-ns delete-vsc clone-1 --keep-data first",
            );
        }
        refused(judge(&clone, &[], &[], none, now), "made for a clone", "backup-ns delete-vsc clone-1 --force");
        refused(judge(&clone, &[], &[], keep, now), "no other VolumeSnapshotContent", "rebind-vsc clone-1");
        assert_eq!(judge(&clone, &[], &[], force, now), Ok(Removal::WithData));
    }

    #[test]
    fn the_data_of_a_groups_member_is_never_deleted_alone() {
        let noted = json!({"/metadata/annotations": {"groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle": "G-1"}});
        let noted = content("x", "d", None, Some("h"), noted);
        let mut stated = plain("x");
        stated.status.volume_group_snapshot_handle = Some("G-1".into());
        let mut clone = content("clone-1", "d", Some("h"), Some("h"), json!({}));
        clone.status.volume_group_snapshot_handle = Some("G-1".into());
        let twin = Holder::from(&plain("y"));
        for wish in [(false, false), (true, false), (false, true)] {
            let wish = Wish { keep_data: wish.0, force: wish.1 };
            for member in [&noted, &stated, &clone] {
                let name = &member.metadata.name;
                let alone = judge(member, &[], &[], wish, at(NOW));
                refused(
                    alone,
                    "of a member of the group snapshot G-1, whose data is only deleted as a whole",
                    &format!("kubectl delete volumesnapshotcontent {name} then deletes"),
                );
                // Another content keeps the data, and the object alone may go.
                let beside = judge(member, std::slice::from_ref(&twin), &[], wish, at(NOW));
                assert_eq!(beside, Ok(Removal::ObjectAlone(twin.described())));
            }
            let mut bound = snapshot(json!({"ownerReferences": [{"kind": "VolumeGroupSnapshot", "name": "one"}]}));
            refused(
                judge(&noted, std::slice::from_ref(&twin), std::slice::from_ref(&bound), wish, at(NOW)),
                "x is not deleted, it is bound to shop/a: it is a member",
                "kubectl delete volumegroupsnapshot one -n shop",
            );
            bound.metadata.uid = "another".into();
            assert!(judge(&noted, std::slice::from_ref(&twin), &[bound], wish, at(NOW)).is_ok());
        }
    }

    #[test]
    fn what_is_in_use_is_refused_whatever_is_wanted() {
        let x = plain("x");
        let bound = snapshot(json!({}));
        let swept =
            snapshot(json!({"deletionTimestamp": "2026-11-22T02:00:00Z", "finalizers": [labels::DELETION_FINALIZER]}));
        let going = snapshot(json!({"deletionTimestamp": "2026-11-22T02:00:00Z", "finalizers": ["other/x"]}));
        let other = snapshot(json!({"uid": "another"}));
        let journal = |text: &str| snapshot(json!({"name": "s", "uid": "s", "annotations": {labels::RESTORING: text}}));
        let safety = |name: &str| {
            let claim = json!({"name": "data", "labels": {}, "accessModes": [], "storage": "1Gi"});
            json!({"claim": claim, "uid": "u", "annotations": {}, "owners": [], "safety": name, "workloads": [], "back": false})
                .to_string()
        };
        assert!(serde_json::from_str::<Journal>(&safety("a")).is_ok(), "else the test shows nothing");
        let twin = [Holder::from(&plain("y"))];
        for wish in [(false, false), (true, false), (false, true)] {
            let wish = Wish { keep_data: wish.0, force: wish.1 };
            let judge = |snapshot: &Snapshot| judge(&x, &twin, std::slice::from_ref(snapshot), wish, at(NOW));
            refused(judge(&bound), "bound to shop/a", "backup-ns delete a -n shop");
            refused(judge(&swept), "was begun and is not finished", "backup-ns delete a -n shop finishes it");
            refused(judge(&going), "held by other/x", "wait until it is gone");
            refused(judge(&journal(&safety("a"))), "restore of s in shop", "backup-ns restore s -n shop --in-place");
            refused(judge(&journal("{}")), "restore of s in shop", "--rollback");
            assert!(judge(&other).is_ok() && judge(&journal(&safety("b"))).is_ok());
        }
    }

    #[test]
    fn one_that_may_be_about_to_be_bound_is_left_for_a_while() {
        let young = |name: &str| {
            let made =
                json!({"/spec/volumeSnapshotRef/uid": "", "/metadata/creationTimestamp": "2026-11-22T11:58:00Z"});
            content(name, "d", Some("h"), None, made)
        };
        let owner = [Holder::from(&plain("y"))];
        let judge = |content: &Content, keep_data, now: &str| {
            judge(content, &owner, &[], Wish { keep_data, force: false }, at(now)).map_err(|(what, _)| what)
        };
        let not_yet = |answer: Result<Removal, String>| assert!(answer.unwrap_err().contains("not bound yet"));
        not_yet(judge(&young("x"), false, NOW));
        not_yet(judge(&young("clone-1"), false, NOW));
        not_yet(judge(&young("clone-1"), true, NOW));
        // What a rebind left is taken back by its own remedy.
        assert!(judge(&young("x"), true, NOW).is_ok());
        assert!(judge(&young("clone-1"), false, "2026-11-22T12:08").is_ok());
    }

    #[test]
    fn a_content_is_prepared_in_the_version_that_was_read() {
        let being_deleted = json!({"/metadata/annotations": {rebind::BEING_DELETED: "yes"}});
        let said = content("x", "d", Some("h"), None, being_deleted);
        assert_eq!(deletion_policy_patch(&said, "Retain"), None);
        let patch = deletion_policy_patch(&said, "Delete").unwrap();
        let test =
            |field: &str, value: &str| json!({"op": "test", "path": format!("/metadata/{field}"), "value": value});
        let policy = json!({"op": "replace", "path": "/spec/deletionPolicy", "value": "Delete"});
        assert_eq!(patch, json!([test("uid", "u-x"), test("resourceVersion", "7"), policy]));
        let patch = deletion_policy_patch(&plain("x"), "Delete").unwrap();
        assert_eq!((&patch[0], &patch[1]), (&test("uid", "u-x"), &test("resourceVersion", "7")));
        assert!(
            patch.to_string().contains("volumesnapshot-being-deleted") && patch.as_array().unwrap().contains(&policy)
        );
        assert!(!deletion_policy_patch(&plain("x"), "Retain").unwrap().to_string().contains("deletionPolicy"));
    }
}
