//! `delete`: one snapshot that a person names, with its stored data.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use crate::ask;
use crate::cmd::now;
use crate::cmd::show::show;
use crate::config::{Delete, Global};
use crate::core::escape::Secrets;
use crate::core::history::Moment;
use crate::core::listing::{self, Row, counted};
use crate::core::observed::Snapshot;
use crate::core::plan::{self, Step};
use crate::core::scene::Scene;
use crate::core::target::{CLAIMS, CONTENTS, SNAPSHOTS, Target};
use crate::delete::{self, Fate};
use crate::exit::{Exit, Fail};
use crate::kubectl::{self, Kubectl};
use crate::report::{self, Reporter};

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
/// It is not there, something speaks against it, nobody said yes, or a call failed.
pub fn run(global: &Global, config: &Delete, reporter: &Reporter) -> Result<(), Fail> {
    let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
    let (target, name) = (&kubectl.target, &config.snapshot);
    let moment = Moment { now: now(), zone: global.zone, patience: Duration::ZERO };
    let (scene, snapshot) = reporter.step("observe", |_| {
        let scene: Scene = kubectl.all(&[SNAPSHOTS, CLAIMS]).map_err(|error| kubectl::fail(&error))?;
        let snapshot = find(&scene, name, &target.namespace)?.clone();
        let what = format!("{name} among {}", counted(scene.snapshots.len(), "snapshot"));
        Ok(((scene, snapshot), what))
    })?;
    let objections = scene.objections(&snapshot, &moment);
    if !objections.is_empty() && !config.force {
        let what = format!("the VolumeSnapshot {name} is not deleted: {}", objections.join(", and "));
        return Err(Fail::new(Exit::Precondition, what).remedy("say --force if it is meant all the same"));
    }
    let row = Row::from(snapshot.clone());
    let what = described(&row, &moment);
    if global.dry_run {
        let steps = plan(target, &snapshot);
        let told = json!({"dryRun": true, "namespace": target.namespace, "volumeSnapshot": name, "steps": steps});
        return show(reporter, global.output, &told, || {
            format!("Dry run: nothing was changed. Deletion of {what}:\n{}", plan::text(&steps))
        });
    }
    let mut question = format!("This deletes {what}.");
    for objection in &objections {
        question.push_str(&format!(" Mind that {objection}."));
    }
    question.push_str(" The stored data goes with it, and nothing brings it back.");
    ask::confirm(reporter, &question, config.yes, "--yes")?;
    let note = reporter.step("delete", |_| match delete::delete(&kubectl, &snapshot) {
        Ok(Fate::Deleted(note)) => Ok((note, name.clone())),
        Ok(Fate::Left(why)) => Err(Fail::new(Exit::Failed, format!("the VolumeSnapshot {name} stays: {why}"))
            .remedy(format!("look at it with backup-ns list -n {}, then decide again", target.namespace))),
        Err(error) => {
            let fail = kubectl::fail(&error);
            let again = "the same call goes on where this one stopped, and nothing else is lost";
            Err(if fail.remedy.is_empty() { fail.remedy(again) } else { fail })
        }
    })?;
    let told = Deleted {
        namespace: &target.namespace,
        volume_snapshot: name,
        pvc: row.pvc.as_deref(),
        volume_snapshot_content: row.content.as_deref(),
        note: &note,
    };
    show(reporter, global.output, &told, || {
        let note = if note.is_empty() { String::new() } else { format!(", {note}") };
        format!("VolumeSnapshot {name} in {} is deleted{note}\n", target.namespace)
    })
}

fn find<'a>(scene: &'a Scene, name: &str, namespace: &str) -> Result<&'a Snapshot, Fail> {
    let found = scene.snapshots.iter().find(|snapshot| snapshot.metadata.name == name);
    found.ok_or_else(|| {
        const SHOWN: usize = 10;
        let mut names: Vec<&str> = scene.snapshots.iter().map(|snapshot| snapshot.metadata.name.as_str()).collect();
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
    text.push_str(&format!(", {} old", listing::age(moment.now - row.made(moment.now))));
    for (engine, proof) in &row.dumps {
        text.push_str(&format!(", with a dump of {engine} of {}", report::bytes(proof.bytes)));
    }
    match row.held() {
        held if held.is_empty() => text.push_str(", without a slot"),
        held => text.push_str(&format!(", which holds {held}")),
    }
    text
}

/// The calls of a deletion. Which of them it takes depends on the content, which is read first.
fn plan(target: &Target, snapshot: &Snapshot) -> Vec<Step> {
    let meta = &snapshot.metadata;
    let conditions = json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
    let forget = Step::new("Delete the VolumeSnapshot, as long as it is still in this version")
        .kubectl(&target.delete(SNAPSHOTS, &meta.name))
        .manifest(json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}));
    let Some(content) = &snapshot.status.bound_volume_snapshot_content_name else { return vec![forget] };
    vec![
        Step::new("Read its VolumeSnapshotContent; under deletionPolicy Delete the next deletion takes it along")
            .kubectl(&target.get(CONTENTS, content)),
        Step::new("Under Retain: put our finalizer on the VolumeSnapshot, so that it is there until its data is gone"),
        forget,
        Step::new("Under Retain: set deletionPolicy Delete, and delete the VolumeSnapshotContent with the stored data")
            .kubectl(&target.delete(CONTENTS, content)),
        Step::new("Under Retain: take our finalizer off"),
    ]
}
