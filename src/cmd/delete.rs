//! `delete`: one snapshot that a person names, with its stored data.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::json;

use crate::cluster::delete_snapshot::{self, Fate};
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cmd::{Context, now};
use crate::config::{Delete, Global};
use crate::core::health::listing::Row;
use crate::core::kube::calls::{CLAIMS, CONTENTS, SNAPSHOTS, Target};
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::Snapshot;
use crate::core::plan::{self, PlanStep};
use crate::core::retention::group_member::{Membership, content_objection};
use crate::core::retention::history::{Action, Moment, Record};
use crate::core::retention::mark_and_delete::{self, DeletionBlocks};
use crate::core::words;
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::report::{self, Reporter};

/// What `delete` says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted<'a> {
    namespace: &'a str,
    volume_snapshot: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pvc: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_snapshot_content: Option<&'a str>,
    /// What is to be said about the stored data.
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

/// Asks, and deletes it in the very version that was asked about.
///
/// # Errors
/// It is not there, something prevents it, the answer was no, or a call failed.
pub fn run(global: &Global, config: &Delete, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let kubectl = &context.kubectl;
    let (target, name) = (&kubectl.target, &config.snapshot);
    let moment = Moment { now: now(), zone: global.zone, ready_timeout: Duration::ZERO };
    let (namespace_objects, snapshot) = reporter.step("observe", |_| {
        let namespace_objects: NamespaceObjects = kubectl.all(&[SNAPSHOTS, CLAIMS])?;
        let snapshot = find(&namespace_objects, name, &target.namespace)?.clone();
        let what = format!("{name} among {}", counted(namespace_objects.snapshots.len(), "snapshot"));
        Ok(((namespace_objects, snapshot), what))
    })?;
    if let Some(group) = Membership::of(&snapshot) {
        bail!(is_member(name, group.objection(&target.namespace, name)));
    }
    let objections = namespace_objects.objections(&snapshot, &moment);
    if !objections.is_empty() && !config.force {
        let what = format!("the VolumeSnapshot {name} is not deleted: {}", objections.join(", and "));
        bail!(Fail::new(Exit::Precondition, what).remedy("say --force if it is meant all the same"));
    }
    check_shared(kubectl, &snapshot)?;
    let row = Row::from(snapshot.clone());
    let what = described(&row, &moment);
    if global.dry_run {
        let steps = plan(target, &snapshot);
        let result = json!({"dryRun": true, "namespace": target.namespace, "volumeSnapshot": name, "steps": steps});
        return context
            .show(&result, || format!("Dry run: nothing was changed. Deletion of {what}:\n{}", plan::text(&steps)));
    }
    let mut question = format!("This deletes {what}.");
    for objection in &objections {
        question.push_str(&format!(" Mind that {objection}."));
    }
    question.push_str(" The stored data goes with it, and nothing brings it back.");
    confirm::confirm(reporter, &question, config.yes, "--yes")?;
    clear(kubectl, &namespace_objects, name, &moment);
    let note = reporter.step("delete", |_| match delete_snapshot::delete(kubectl, &snapshot, Some(moment.now)) {
        Ok(Fate::Deleted(note)) => Ok((note, name.clone())),
        Ok(Fate::Left(why)) => bail!(
            Fail::new(Exit::Failed, format!("the VolumeSnapshot {name} stays: {why}"))
                .remedy(format!("look at it with backup-ns list -n {}, then decide again", target.namespace))
        ),
        Err(error) => bail!(taken_back(kubectl, &snapshot, error.fail())),
    })?;
    let result = Deleted {
        namespace: &target.namespace,
        volume_snapshot: name,
        pvc: row.pvc.as_deref(),
        volume_snapshot_content: row.content.as_deref(),
        note: &note,
    };
    context.show(&result, || {
        let note = if note.is_empty() { String::new() } else { format!(", {note}") };
        format!("VolumeSnapshot {name} in {} is deleted{note}\n", target.namespace)
    })
}

/// Nothing makes the deletion of one member of a group right, not even --force: its data would stay.
fn is_member(name: &str, (why, remedy): (String, String)) -> Fail {
    Fail::new(Exit::Precondition, format!("the VolumeSnapshot {name} is not deleted: {why}")).remedy(remedy)
}

/// The data of a group's member stays, and so does data that another content names: that may be the data of a living snapshot.
fn check_shared(kubectl: &Kubectl, snapshot: &Snapshot) -> Result<()> {
    let content = match delete_snapshot::content_of(kubectl, snapshot) {
        // Then the deletion leaves contents alone, too.
        Err(error) if error.is(Refusal::Forbidden) => None,
        content => content?,
    };
    let content = content.filter(|content| !content.is_clone());
    if let Some(objection) = content.as_ref().and_then(content_objection) {
        bail!(is_member(&snapshot.metadata.name, objection));
    }
    let is_deleted = snapshot.metadata.deletion_timestamp.is_some();
    let Some(content) = content.filter(|_| !is_deleted) else { return Ok(()) };
    let others = delete_snapshot::sharers(kubectl, &content, true)?;
    let Some(other) = others.first() else { return Ok(()) };
    let (name, meta) = (&snapshot.metadata.name, &content.metadata.name);
    let what = format!(
        "the VolumeSnapshot {name} is not deleted: its data, by {meta}, is also that of the VolumeSnapshotContent {}",
        other.described()
    );
    let remedy = format!(
        "backup-ns delete-vsc {} --keep-data deletes that object alone, or says what needs it; then this again",
        other.name
    );
    bail!(Fail::new(Exit::Precondition, what).remedy(remedy))
}

/// Lets go of what earlier deletions in the namespace have left behind: it cannot be deleted as long as they hold on. A failure
/// is no reason not to delete.
fn clear(kubectl: &Kubectl, namespace_objects: &NamespaceObjects, name: &str, moment: &Moment) {
    let seen: Vec<Record> =
        namespace_objects.snapshots.iter().filter(|one| one.is_pruned()).cloned().map(Record::from).collect();
    let left = mark_and_delete::decide(&seen, &DeletionBlocks::default(), moment);
    for verdict in left.iter().filter(|left| left.action == Action::Release && left.name != name) {
        let Some(left) = namespace_objects.snapshot(&verdict.name) else { continue };
        let (snapshot, reason) = (&verdict.name, &verdict.reason);
        match delete_snapshot::call_off(kubectl, left) {
            Ok(()) => tracing::info!(snapshot, "let go, its data stays: {reason}"),
            Err(error) => tracing::warn!(snapshot, "an earlier deletion still holds it: {error}"),
        }
    }
}

/// A failure on the way, once what was begun is called off.
fn taken_back(kubectl: &Kubectl, snapshot: &Snapshot, fail: Fail) -> Fail {
    let (name, namespace) = (&snapshot.metadata.name, &kubectl.target.namespace);
    let again = format!("backup-ns delete {name} -n {namespace}");
    let what = match delete_snapshot::take_back(kubectl, snapshot) {
        Ok((false, _)) => format!("the VolumeSnapshot is as it was; once that is mended: {again}"),
        Ok((true, Some(content))) => format!(
            "the VolumeSnapshot is deleted, its data stays under {content}; once that is mended: backup-ns delete-vsc {content}"
        ),
        Ok((true, None)) => "it is deleted with its data all the same".into(),
        Err(error) => {
            tracing::warn!("what was begun could not be called off: {error}");
            format!(
                "the deletion is begun, and its finalizer on the VolumeSnapshot holds the namespace; {again} finishes it, and \
                 nothing else is lost"
            )
        }
    };
    let remedy = if fail.remedy.is_empty() { what } else { format!("{}; {what}", fail.remedy) };
    fail.remedy(remedy)
}

fn find<'a>(namespace_objects: &'a NamespaceObjects, name: &str, namespace: &str) -> Result<&'a Snapshot> {
    let found = namespace_objects.snapshots.iter().find(|snapshot| snapshot.metadata.name == name);
    found.with_context(|| {
        const SHOWN: usize = 10;
        let mut names: Vec<&str> =
            namespace_objects.snapshots.iter().map(|snapshot| snapshot.metadata.name.as_str()).collect();
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        let there = match (names.join(", "), more) {
            (none, _) if none.is_empty() => "it has none".into(),
            (all, 0) => format!("it has {all}"),
            (some, more) => format!("it has {some} and {more} more"),
        };
        Fail::new(Exit::Precondition, format!("the namespace '{namespace}' has no VolumeSnapshot '{name}' ({there})"))
            .remedy(format!("see backup-ns list -n {namespace}, or name another namespace with -n"))
    })
}

/// What goes, as people need it to tell it from others.
fn described(row: &Row, moment: &Moment) -> String {
    let mut text = format!("the VolumeSnapshot {} in {}", row.name, row.namespace);
    if let Some(pvc) = &row.pvc {
        text.push_str(&format!(", of the PVC {pvc}"));
    }
    text.push_str(&format!(", {} old", words::age(moment.now - row.made(moment.now))));
    for (engine, proof) in &row.dumps {
        text.push_str(&format!(", with a dump of {engine} of {}", report::bytes(proof.all_bytes())));
    }
    match row.held() {
        held if held.is_empty() => text.push_str(", without a slot"),
        held => text.push_str(&format!(", which holds {held}")),
    }
    text
}

/// The calls of a deletion. Which of them it takes depends on the content, which is read first.
fn plan(target: &Target, snapshot: &Snapshot) -> Vec<PlanStep> {
    let meta = &snapshot.metadata;
    let conditions = json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
    let forget = PlanStep::new("Delete the VolumeSnapshot, as long as it is still in this version")
        .kubectl(&target.delete(SNAPSHOTS, &meta.name))
        .manifest(json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}));
    let Some(content) = &snapshot.status.bound_volume_snapshot_content_name else { return vec![forget] };
    vec![
        PlanStep::new("Read its VolumeSnapshotContent; under deletionPolicy Delete the next deletion takes it along")
            .kubectl(&target.get(CONTENTS, content)),
        PlanStep::new("Look for other VolumeSnapshotContents that name its data: one ends it here"),
        PlanStep::new(
            "Under Retain: put our finalizer on the VolumeSnapshot, so that it is there until its data is gone",
        ),
        forget,
        PlanStep::new("Under Retain: look for others again; one keeps the content and the data"),
        PlanStep::new(
            "Under Retain: set deletionPolicy Delete, and delete the VolumeSnapshotContent with the stored data",
        )
        .kubectl(&target.delete(CONTENTS, content)),
        PlanStep::new("Under Retain: take our finalizer off"),
    ]
}
