//! Deletes one VolumeSnapshot with its stored data, in an order that may leak but never loses: the VolumeSnapshot first,
//! in the very version that was judged, then its VolumeSnapshotContent. Must not know why it is deleted.
//!
//! Under deletionPolicy Retain the content outlives its VolumeSnapshot, and nothing would distinguish it from data that a person
//! wants to keep. So the VolumeSnapshot gets a finalizer of ours before it is deleted: it then stays, as deleted, with
//! its labels, until its content is gone too. A crash in between leaves just that, and the next run goes on from there, or,
//! when the mark was taken off meanwhile, lets the VolumeSnapshot go and the content stay.
//!
//! Data that another content names is never deleted. That is looked for twice: before anything is changed, when the
//! VolumeSnapshot stays, and again once it is deleted: who makes such a content looks at the VolumeSnapshot afterwards, so one
//! of the two sees the other.
//!
//! Nothing of a member of a group snapshot is deleted, because its data would stay.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::kube::calls::{CONTENTS, Next, SNAPSHOTS, delete_options};
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Meta, Snapshot};
use crate::core::restore::stored_data::Holder;
use crate::core::retention::deletion_objections::shared_reason;
use crate::core::retention::group_member::{self, Membership, content_objection};
use crate::io::process::{self, ProcessError};

/// What came of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted; what is to be said about its data.
    Deleted(String),
    /// It stays, because it is not what was judged any more.
    Left(String),
}

const CHANGED: &str = "it changed since it was judged; the next run judges it anew";

/// What came of one whose deletion was called off.
pub const RELEASED: &str = "its finalizer is off, its data stays";

/// How often a change is tried again that loses to other changes of the same object.
const TRIES: usize = 5;

/// Deletes `snapshot`, as it was just read, with its data. One that was deleted already and carries our finalizer is
/// finished. `named` is when a person named it; none for a deletion by policy.
///
/// # Errors
/// A call that failed; what has been done stays, and another call with a fresh look goes on from there.
pub fn delete(kubectl: &Kubectl, snapshot: &Snapshot, named: Option<DateTime<Utc>>) -> Result<Fate, ProcessError> {
    if let Some(group) = Membership::of(snapshot) {
        return keep(kubectl, snapshot, group.reason(&snapshot.metadata.namespace, &snapshot.metadata.name));
    }
    let content = match content_of(kubectl, snapshot) {
        Ok(content) => content,
        Err(error) if error.is(Refusal::Forbidden) => {
            // Without the right to read contents, they are left to the snapshot controller.
            return Ok(match forget(kubectl, snapshot)? {
                Fate::Deleted(_) => Fate::Deleted(
                    "the VolumeSnapshotContent may not be read here: under deletionPolicy Retain its data stays".into(),
                ),
                left => left,
            });
        }
        Err(error) => return Err(error),
    };
    if let Some(clone) =
        content.as_ref().filter(|content| content.is_clone() && content.spec.deletion_policy == "Delete")
    {
        // Before the snapshot controller can take the data with it.
        policy(kubectl, clone, "Retain")?;
    }
    if let Some(objection) = content.as_ref().filter(|content| !content.is_clone()).and_then(content_objection) {
        return keep(kubectl, snapshot, group_member::phrase(objection));
    }
    let is_deleted = snapshot.metadata.deletion_timestamp.is_some();
    if let Some(content) = content.as_ref().filter(|content| !content.is_clone() && !is_deleted)
        && let Some(other) = sharers(kubectl, content, false)?.first()
    {
        return Ok(Fate::Left(shared_reason(&other.name)));
    }
    let goes_along = |content: &Content| content.spec.deletion_policy == "Delete" && !content.is_clone();
    let Some(content) = content.filter(|content| !goes_along(content) || is_claimed(snapshot)) else {
        return forget(kubectl, snapshot);
    };
    let name = &content.metadata.name;
    if !is_deleted {
        let Some(claimed) = claim(kubectl, snapshot, named)? else { return Ok(Fate::Left(CHANGED.into())) };
        if let left @ Fate::Left(_) = forget(kubectl, &claimed)? {
            release(kubectl, &snapshot.metadata.name)?;
            return Ok(left);
        }
    }
    let other = if content.is_clone() { None } else { sharers(kubectl, &content, false)?.into_iter().next() };
    if let Some(other) = other {
        call_off(kubectl, snapshot)?;
        return Ok(Fate::Deleted(format!("but {name} and its data stay: {}", shared_reason(&other.name))));
    }
    destroy(kubectl, &content)?;
    release(kubectl, &snapshot.metadata.name)?;
    Ok(Fate::Deleted(match content.is_clone() {
        true => format!("with {name}; its data is another snapshot's and stays"),
        false => format!("with {name}"),
    }))
}

/// Keeps a snapshot whose data is not to be deleted alone, and calls off what an earlier version began.
fn keep(kubectl: &Kubectl, snapshot: &Snapshot, why: String) -> Result<Fate, ProcessError> {
    if is_claimed(snapshot) {
        call_off(kubectl, snapshot)?;
    }
    Ok(Fate::Left(why))
}

/// The other contents that name the data of `content`: of all, or of those that this program made for data that was there.
///
/// # Errors
/// They cannot be read. Nothing is deleted then, because what cannot be seen may be there.
pub fn sharers(kubectl: &Kubectl, content: &Content, all: bool) -> Result<Vec<Holder>, ProcessError> {
    let value = |handle| labels::data_value(&content.spec.driver, handle);
    let values: BTreeSet<String> = content.handles().map(value).collect();
    let values: Vec<String> = values.into_iter().collect();
    let selector = match (all, &values[..]) {
        (true, _) => String::new(),
        // Nothing is stored yet.
        (false, []) => return Ok(Vec::new()),
        (false, [value]) => format!("{}={value}", labels::DATA),
        (false, values) => format!("{} in ({})", labels::DATA, values.join(",")),
    };
    let page = |next: &Next| kubectl.target.page(CONTENTS, None, &selector, next);
    let keep = |other: Content| Some(Holder::from(&other)).filter(|other| other.shares(content));
    kubectl.pages(page, keep, |_| ())
}

/// Cancels a deletion that was begun: removes our finalizer, and sets the deletionPolicy of the content back to Retain.
///
/// # Errors
/// One of them cannot be changed.
pub fn call_off(kubectl: &Kubectl, snapshot: &Snapshot) -> Result<(), ProcessError> {
    match content_of(kubectl, snapshot) {
        Ok(Some(content)) if content.spec.deletion_policy == "Delete" => {
            policy(kubectl, &content, "Retain")?;
        }
        Err(error) if !error.is(Refusal::Forbidden) => return Err(error),
        _ => {}
    }
    release(kubectl, &snapshot.metadata.name)
}

/// Likewise, of one that was not just read.
///
/// # Errors
/// As [`call_off`].
pub fn call_off_by_name(kubectl: &Kubectl, name: &str) -> Result<(), ProcessError> {
    find_snapshot(kubectl, name)?.map_or(Ok(()), |snapshot| call_off(kubectl, &snapshot))
}

/// Calls off what a failed [`delete`] has begun, if anything, even where a signal came or time is up: a namespace could not be
/// deleted meanwhile. Whether the VolumeSnapshot goes, and the content that then stays.
///
/// # Errors
/// It cannot be called off.
pub fn take_back(kubectl: &Kubectl, snapshot: &Snapshot) -> Result<(bool, Option<String>), ProcessError> {
    let mut kubectl = kubectl.clone();
    kubectl.retry_timeout = kubectl.retry_timeout.min(TAKE_BACK / 2);
    process::within(TAKE_BACK, || {
        let name = &snapshot.metadata.name;
        let now = find_snapshot(&kubectl, name)?.filter(|now| now.metadata.uid == snapshot.metadata.uid);
        // Where nothing was begun, the policy of the content is as it always was.
        if let Some(now) = now.as_ref().filter(|now| is_claimed(now)) {
            call_off(&kubectl, now)?;
        }
        let content = content_of(&kubectl, snapshot)?.filter(|content| content.metadata.deletion_timestamp.is_none());
        let goes = now.is_none_or(|now| now.metadata.deletion_timestamp.is_some());
        Ok((goes, content.map(|content| content.metadata.name)))
    })
}

/// How long that may take.
const TAKE_BACK: Duration = Duration::from_secs(20);

/// Takes our finalizer off, so that a VolumeSnapshot that was deleted goes.
fn release(kubectl: &Kubectl, name: &str) -> Result<(), ProcessError> {
    let mut tries = TRIES;
    loop {
        let Some(snapshot) = find_snapshot(kubectl, name)? else { return Ok(()) };
        if !is_claimed(&snapshot) {
            return Ok(());
        }
        let ours = |finalizer: &&String| *finalizer == labels::DELETION_FINALIZER;
        let others: Vec<&String> = snapshot.metadata.finalizers.iter().filter(|finalizer| !ours(finalizer)).collect();
        let mut patch = finalizers_patch(&snapshot, &others);
        if snapshot.metadata.annotations.contains_key(labels::DELETING) {
            patch["metadata"]["annotations"] = json!({labels::DELETING: null});
        }
        match patched(kubectl, &snapshot, &patch) {
            Ok(_) => return Ok(()),
            Err(error) => match error.refusal() {
                Refusal::NotFound => return Ok(()),
                Refusal::Conflict if tries > 0 => tries -= 1,
                _ => return Err(error),
            },
        }
    }
}

/// Whether a deletion of ours has begun and holds it.
pub fn is_claimed(snapshot: &Snapshot) -> bool {
    snapshot.metadata.finalizers.iter().any(|finalizer| finalizer == labels::DELETION_FINALIZER)
}

/// The content that holds the data of this very VolumeSnapshot; None if there is none or it belongs to another.
///
/// # Errors
/// It cannot be read.
pub fn content_of(kubectl: &Kubectl, snapshot: &Snapshot) -> Result<Option<Content>, ProcessError> {
    let Some(name) = &snapshot.status.bound_volume_snapshot_content_name else { return Ok(None) };
    let content = find_content(kubectl, name)?;
    Ok(content.filter(|content| content.spec.volume_snapshot_ref.uid == snapshot.metadata.uid))
}

/// Puts our finalizer on, with a note of the time where a person named it; none if the object is not in this version any more.
fn claim(
    kubectl: &Kubectl,
    snapshot: &Snapshot,
    named: Option<DateTime<Utc>>,
) -> Result<Option<Snapshot>, ProcessError> {
    if is_claimed(snapshot) {
        return Ok(Some(snapshot.clone()));
    }
    let mut finalizers: Vec<&String> = snapshot.metadata.finalizers.iter().collect();
    let ours = labels::DELETION_FINALIZER.to_string();
    finalizers.push(&ours);
    let mut patch = finalizers_patch(snapshot, &finalizers);
    // One that was marked by hand must be found by the next run even when the mark is taken off.
    if !snapshot.metadata.labels.contains_key(labels::RETAIN) {
        patch["metadata"]["labels"] = json!({labels::RETAIN: "days"});
    }
    if let Some(time) = named {
        patch["metadata"]["annotations"] = json!({labels::DELETING: time.to_rfc3339_opts(SecondsFormat::Secs, true)});
    }
    match patched(kubectl, snapshot, &patch) {
        Ok(claimed) => Ok(Some(claimed)),
        Err(error) => match error.refusal() {
            Refusal::Conflict | Refusal::NotFound => Ok(None),
            _ => Err(error),
        },
    }
}

/// The patch that sets the finalizers of an object that is still in this version.
fn finalizers_patch(snapshot: &Snapshot, finalizers: &[&String]) -> Value {
    json!({"metadata": {"resourceVersion": snapshot.metadata.resource_version, "finalizers": finalizers}})
}

fn patched(kubectl: &Kubectl, snapshot: &Snapshot, patch: &Value) -> Result<Snapshot, ProcessError> {
    let name = &snapshot.metadata.name;
    snapshot_by(kubectl, &kubectl.target.patch(SNAPSHOTS, name, patch), name)
}

fn snapshot_by(kubectl: &Kubectl, args: &[String], name: &str) -> Result<Snapshot, ProcessError> {
    object(kubectl, args, name, |snapshot: &Snapshot| &snapshot.metadata)
}

/// Makes a call that answers with the object of this name; anything else is no answer, and decides nothing.
///
/// # Errors
/// The call failed, or was answered with something else.
fn object<T: DeserializeOwned + Send>(
    kubectl: &Kubectl,
    args: &[String],
    name: &str,
    meta: fn(&T) -> &Meta,
) -> Result<T, ProcessError> {
    let object: T = kubectl.json(args)?;
    if meta(&object).name == name && !meta(&object).uid.is_empty() { Ok(object) } else { Err(kubectl.unanswered(args)) }
}

/// The VolumeSnapshot of this name as it is now; None if there is none.
///
/// # Errors
/// It cannot be read.
pub fn find_snapshot(kubectl: &Kubectl, name: &str) -> Result<Option<Snapshot>, ProcessError> {
    unless_gone(snapshot_by(kubectl, &kubectl.target.get(SNAPSHOTS, name), name))
}

/// The VolumeSnapshotContent of this name as it is now; None if there is none.
///
/// # Errors
/// It cannot be read.
pub fn find_content(kubectl: &Kubectl, name: &str) -> Result<Option<Content>, ProcessError> {
    let args = kubectl.target.get(CONTENTS, name);
    unless_gone(object(kubectl, &args, name, |content: &Content| &content.metadata))
}

/// None where the API says that there is no such object.
fn unless_gone<T>(answer: Result<T, ProcessError>) -> Result<Option<T>, ProcessError> {
    match answer {
        Err(error) if error.is(Refusal::NotFound) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Deletes the VolumeSnapshot, and nothing else, if it is still in this version. One that is being deleted is.
fn forget(kubectl: &Kubectl, snapshot: &Snapshot) -> Result<Fate, ProcessError> {
    let meta = &snapshot.metadata;
    if meta.deletion_timestamp.is_some() {
        release(kubectl, &meta.name)?;
        return Ok(Fate::Deleted(String::new()));
    }
    let conditions = json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
    let error = match kubectl.act(&kubectl.target.delete(SNAPSHOTS, &meta.name), &delete_options(&conditions)) {
        Ok(()) => return Ok(Fate::Deleted(String::new())),
        Err(error) => error,
    };
    match error.refusal() {
        Refusal::NotFound => Ok(Fate::Left("it was deleted meanwhile".into())),
        // Perhaps this was the second time that we asked, and the first time was heard.
        Refusal::Conflict => Ok(match find_snapshot(kubectl, &meta.name)? {
            Some(now) if now.metadata.uid != meta.uid || now.metadata.deletion_timestamp.is_none() => {
                Fate::Left(CHANGED.into())
            }
            _ => Fate::Deleted(String::new()),
        }),
        _ => Err(error),
    }
}

/// Deletes a content and its stored data, as long as it belongs to the VolumeSnapshot that it was read for. The data
/// of a clone is another's, and stays. Otherwise the deletion is of the very version whose policy is Delete: where it is called
/// off meanwhile, an object that is deleted alone would leave data that nothing names.
fn destroy(kubectl: &Kubectl, content: &Content) -> Result<(), ProcessError> {
    let Meta { name, uid, resource_version, .. } = &content.metadata;
    let delete =
        |conditions: &Value| match kubectl.act(&kubectl.target.delete(CONTENTS, name), &delete_options(conditions)) {
            Err(error) if error.is(Refusal::NotFound) => Ok(()),
            outcome => outcome,
        };
    if content.is_clone() {
        return delete(&json!({"uid": uid}));
    }
    let mut version = match content.spec.deletion_policy == "Delete" {
        true => Some(resource_version.clone()),
        false => policy(kubectl, content, "Delete")?,
    };
    let mut tries = TRIES;
    while let Some(now) = version {
        let error = match delete(&json!({"uid": uid, "resourceVersion": now})) {
            Err(error) if error.is(Refusal::Conflict) && tries > 0 => error,
            outcome => return outcome,
        };
        tries -= 1;
        let Some(now) = find_content(kubectl, name)? else { return Ok(()) };
        let is_it =
            now.metadata.uid == *uid && now.spec.volume_snapshot_ref.uid == content.spec.volume_snapshot_ref.uid;
        if !is_it || now.spec.deletion_policy != "Delete" {
            return Err(error);
        }
        if now.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        version = Some(now.metadata.resource_version);
    }
    Ok(())
}

/// Deletes the content of a clone, whatever it belongs to; its data stays.
///
/// # Errors
/// A call that failed.
pub fn forget_clone(kubectl: &Kubectl, content: &Content) -> Result<(), ProcessError> {
    if content.spec.deletion_policy == "Delete" {
        policy(kubectl, content, "Retain")?;
    }
    destroy(kubectl, content)
}

/// Sets the deletionPolicy of a content, as long as it belongs to the VolumeSnapshot that it was read for; its version then. One
/// that is gone has none.
fn policy(kubectl: &Kubectl, content: &Content, policy: &str) -> Result<Option<String>, ProcessError> {
    let Content { metadata, spec, .. } = content;
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "test", "path": "/spec/volumeSnapshotRef/uid", "value": spec.volume_snapshot_ref.uid},
        {"op": "replace", "path": "/spec/deletionPolicy", "value": policy},
    ]);
    let args = kubectl.target.patch(CONTENTS, &metadata.name, &patch);
    let now = unless_gone(object(kubectl, &args, &metadata.name, |content: &Content| &content.metadata))?;
    Ok(now.map(|now| now.metadata.resource_version))
}
