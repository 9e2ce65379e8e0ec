//! `delete-vsc`: deletes stored data whose VolumeSnapshot, or whole namespace, is gone; or only the VolumeSnapshotContent, where
//! another one names the data, too.
//!
//! The deletionPolicy `Delete` is the mark: who makes another content for the same data (`rebind-vsc`, a clone) looks at this one,
//! or at its VolumeSnapshot, afterwards. So it is set first, then all contents are read again, and only the version that was
//! marked is deleted: one of the two sees the other, and the data stays.

use anyhow::{Result, bail};
use serde_json::json;

use crate::cluster::delete_snapshot;
use crate::cluster::failure::Failure;
use crate::cluster::refusal::Refusal;
use crate::cmd::{Context, now};
use crate::config::{DeleteContent as Config, Global};
use crate::core::kube::calls::{CONTENTS, SNAPSHOTS, delete_options};
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, ObjectList, Snapshot};
use crate::core::plan::{self, PlanStep};
use crate::core::restore::stored_data::{self, Holder, Removal};
use crate::core::words;
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::report::Reporter;

/// How often it is begun anew because the content was changed meanwhile.
const TRIES: usize = 5;

/// Asks, and deletes it.
///
/// # Errors
/// Something speaks against it, the question was not answered with yes, or a call failed. The same call again goes on.
pub fn run(global: &Global, config: &Config, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let name = &config.content;
    let found = delete_snapshot::find_content(&context.kubectl, name)?;
    let Some(content) = found else {
        let result = json!({"volumeSnapshotContent": name, "deleted": false, "data": "none"});
        return context
            .show(&result, || format!("there is no VolumeSnapshotContent {name}: nothing is to be deleted\n"));
    };
    let removal = reporter.step("look", |_| {
        let removal = context.judge(&content)?;
        let what = match &removal {
            Removal::WithData => format!("no other content names the data of {name}"),
            Removal::ObjectAlone(other) => format!("{other} names the data of {name}, too"),
        };
        Ok((removal, what))
    })?;
    let what = described(&content, &removal);
    if global.dry_run {
        let steps = context.steps(&content, &removal);
        let result = json!({"dryRun": true, "volumeSnapshotContent": name, "data": word(&removal), "steps": steps});
        return context.show(&result, || format!("Dry run: nothing was changed. {what}\n{}", plan::text(&steps)));
    }
    confirm::confirm(reporter, &what, config.yes, "--yes")?;
    reporter.step("delete", |_| Ok(((), context.delete(content, &removal)?)))?;
    let result = json!({"volumeSnapshotContent": name, "deleted": true, "data": word(&removal)});
    context.show(&result, || match &removal {
        Removal::WithData => format!("VolumeSnapshotContent {name} is deleted with its stored data\n"),
        Removal::ObjectAlone(other) => format!("VolumeSnapshotContent {name} is deleted; {other} keeps the data\n"),
    })
}

/// What becomes of the data, for machines.
fn word(removal: &Removal) -> &'static str {
    match removal {
        Removal::WithData => "deleted",
        Removal::ObjectAlone(_) => "kept",
    }
}

/// What goes, as a question needs it.
fn described(content: &Content, removal: &Removal) -> String {
    let (meta, reference) = (&content.metadata, &content.spec.volume_snapshot_ref);
    let mut text = format!(
        "This deletes the VolumeSnapshotContent {}, which was of the VolumeSnapshot {}/{}",
        meta.name, reference.namespace, reference.name
    );
    if let Some(pvc) = meta.labels.get(labels::PVC) {
        text.push_str(&format!(", of the PVC {pvc}"));
    }
    text.push_str(&format!(", {} old", words::age(now() - meta.creation_timestamp)));
    match removal {
        Removal::WithData => text.push_str(". The stored data goes with it, and nothing brings it back."),
        Removal::ObjectAlone(other) => text.push_str(&format!(". The stored data stays: {other} names it, too.")),
    }
    text
}

impl Context<'_, Config> {
    /// How it may be deleted, by a look at all contents and at the VolumeSnapshots of its namespace.
    fn judge(&self, content: &Content) -> Result<Removal> {
        let others: Vec<Holder> = delete_snapshot::sharers(&self.kubectl, content, true)?;
        let kubectl = self.kubectl.in_namespace(&content.spec.volume_snapshot_ref.namespace);
        let snapshots: ObjectList<Snapshot> = kubectl.json(&kubectl.target.list(SNAPSHOTS, ""))?;
        let removal = stored_data::judge(content, &others, &snapshots.items, self.config.wish, now());
        Ok(removal.map_err(Fail::precondition)?)
    }

    /// The steps, with the very calls.
    fn steps(&self, content: &Content, removal: &Removal) -> Vec<PlanStep> {
        let (target, name) = (&self.kubectl.target, &content.metadata.name);
        let policy = policy(removal);
        let mut steps = Vec::new();
        if let Some(patch) = stored_data::deletion_policy_patch(content, policy) {
            let what = format!("Set the deletionPolicy of {name} to {policy}, as long as it is still in this version");
            steps.push(PlanStep::new(what).kubectl(&target.patch(CONTENTS, name, &patch)));
        }
        if *removal == Removal::WithData {
            steps
                .push(PlanStep::new("Read all VolumeSnapshotContents again: another that names the data ends it here"));
        }
        let what = match removal {
            Removal::WithData => format!("Delete the VolumeSnapshotContent {name} with its stored data"),
            Removal::ObjectAlone(_) => format!("Delete the VolumeSnapshotContent {name}; the data stays"),
        };
        steps.push(PlanStep::new(what).kubectl(&target.delete(CONTENTS, name)));
        steps
    }

    /// Deletes it in the way that was asked about, or not at all.
    fn delete(&self, content: Content, removal: &Removal) -> Result<String> {
        let name = &self.config.content;
        let mut content = content;
        for _ in 0..TRIES {
            if let Some(patch) = stored_data::deletion_policy_patch(&content, policy(removal)) {
                let patch = self.kubectl.target.patch(CONTENTS, name, &patch);
                if let Err(error) = self.kubectl.act(&patch, "") {
                    // What overtook this one is seen below; one that nothing overtook was refused.
                    let now = self.now(&content)?;
                    if now
                        .as_ref()
                        .is_some_and(|now| now.metadata.resource_version == content.metadata.resource_version)
                    {
                        bail!(again(error.fail()));
                    }
                }
                match self.now(&content)? {
                    Some(now) => content = now,
                    None => return self.gone(&content, removal),
                }
                if content.spec.deletion_policy != policy(removal) {
                    continue;
                }
            }
            match self.judge(&content) {
                Ok(now) if now == *removal => {}
                answer => bail!(self.call_off(&content, removal, answer.err().map(|error| error.fail()))),
            }
            if content.metadata.deletion_timestamp.is_some() {
                return Ok(format!("{name} is being deleted"));
            }
            let (uid, version) = (&content.metadata.uid, &content.metadata.resource_version);
            let conditions = delete_options(&json!({"uid": uid, "resourceVersion": version}));
            match self.kubectl.act(&self.kubectl.target.delete(CONTENTS, name), &conditions) {
                Ok(()) => return Ok(format!("{name} is deleted")),
                Err(error) if matches!(error.refusal(), Refusal::Conflict | Refusal::NotFound) => {}
                Err(error) => bail!(again(error.fail())),
            }
            match self.now(&content)? {
                Some(now) => content = now,
                None => return self.gone(&content, removal),
            }
        }
        bail!(again(Fail::new(Exit::Failed, format!("another client is changing the VolumeSnapshotContent {name}"))))
    }

    /// What has become of a content that is gone: a first request may have been heard, or another command has brought its data back.
    fn gone(&self, content: &Content, removal: &Removal) -> Result<String> {
        let name = &self.config.content;
        let others = delete_snapshot::sharers(&self.kubectl, content, true)?;
        match others.first().filter(|_| *removal == Removal::WithData) {
            Some(other) => {
                let what =
                    format!("another client deleted {name} meanwhile, and {} names its data now", other.described());
                bail!(
                    Fail::new(Exit::Failed, what)
                        .remedy(format!("if that is to go, too: backup-ns delete-vsc {}", other.name))
                )
            }
            None => Ok(format!("{name} is gone")),
        }
    }

    /// The content as it is now; none if it is gone.
    fn now(&self, content: &Content) -> Result<Option<Content>> {
        let now = delete_snapshot::find_content(&self.kubectl, &self.config.content);
        Ok(now?.filter(|now| now.metadata.uid == content.metadata.uid))
    }

    /// Has the content keep its data again, after something changed that was asked about.
    fn call_off(&self, content: &Content, removal: &Removal, why: Option<Fail>) -> Fail {
        let name = &self.config.content;
        let why = why.unwrap_or_else(|| {
            Fail::new(
                Exit::Failed,
                format!("{name} is not deleted: which contents name its data has changed meanwhile"),
            )
            .remedy("run this again: it tells what there is now")
        });
        if *removal != Removal::WithData {
            return why;
        }
        let kept = stored_data::deletion_policy_patch(content, "Retain")
            .map_or(Ok(()), |patch| self.kubectl.act(&self.kubectl.target.patch(CONTENTS, name, &patch), ""));
        match kept {
            Ok(()) => why,
            Err(error) => {
                let remedy =
                    format!("{}; its deletionPolicy is still Delete, which alone deletes nothing: {error}", why.remedy);
                why.remedy(remedy)
            }
        }
    }
}

fn policy(removal: &Removal) -> &'static str {
    match removal {
        Removal::WithData => "Delete",
        Removal::ObjectAlone(_) => "Retain",
    }
}

fn again(fail: Fail) -> Fail {
    let again = "run this again: it goes on where this one stopped";
    let remedy = if fail.remedy.is_empty() { again.into() } else { format!("{}; then {again}", fail.remedy) };
    fail.remedy(remedy)
}
