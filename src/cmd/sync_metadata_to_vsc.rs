//! `sync-metadata-to-vsc`: copies what VolumeSnapshots say to their contents, so that stored data can be identified when the
//! namespace is gone.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::bulk::{self, Name};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::survey::Survey;
use crate::cmd::Context;
use crate::cmd::account::{Account, Changes, Entry, Outcome, Summary};
use crate::config::{Global, SyncMetadata};
use crate::core::kube::calls::{CONTENTS, Next};
use crate::core::kube::pace::Pace;
use crate::core::restore::sync_metadata::{Source, Sources};
use crate::core::words::counted;
use crate::io::report::{Reporter, Step};

/// Mirrors, page by page of the contents.
///
/// # Errors
/// As the exit codes say; a change that failed does not keep the others from being made.
pub fn run(global: &Global, config: &SyncMetadata, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let (sources, skipped) = reporter.step("read", |step| {
        // All of them: what lost its last label must lose it on the content, too.
        let survey = Survey::of(&context.kubectl, global.asked.namespace.as_deref(), &[""], Source::of, step)?;
        let sources: Sources = survey.snapshots.into_iter().collect();
        let what = counted(sources.len(), "bound snapshot");
        Ok(((sources, survey.skipped), what))
    })?;
    let bound = sources.len();
    let mut account = Account {
        command: "sync-metadata-to-vsc",
        dry_run: global.dry_run,
        skipped,
        summary: Summary { snapshots: Some(bound), ..Summary::default() },
        changes: Contents::default(),
    };
    let synced = reporter.step("mirror", |step| {
        mirror(&context, &sources, &mut account, step)?;
        Ok(((), account.so_far()))
    });
    // What was done is reported even if the rest could not be read.
    let read = format!("{} and {}", counted(bound, "bound snapshot"), counted(account.summary.read, "content"));
    account.print(&context, &read)?;
    synced?;
    account.check()
}

/// Reads the contents page by page and changes those of a page together, each in the very version that was read. A list
/// that changes too fast is begun again: what is done needs nothing any more.
fn mirror(
    context: &Context<'_, SyncMetadata>,
    sources: &Sources,
    account: &mut Account<Contents>,
    step: &Step,
) -> Result<()> {
    let (kubectl, mut pace) = (&context.kubectl, Pace::of(context.config.concurrency));
    let page = |next: &Next| kubectl.target.page(CONTENTS, None, "", next);
    // Of a content that needs nothing, nothing is kept.
    let keep = |mut content: Value| {
        Some(sources.change(&content).map(|(source, change)| {
            let name = content["metadata"]["name"].as_str().unwrap_or_default().to_string();
            change.apply(&mut content);
            let (namespace, snapshot) = (source.namespace.clone(), source.name.clone());
            let change = MetadataCopy { namespace, snapshot, changes: change.words() };
            (name, Entry { change, outcome: Outcome::Planned }, content)
        }))
    };
    // Contents are kept whole until they are written.
    kubectl.each_page(Next::small(), page, keep, |kept| {
        let Some(kept) = kept else {
            account.summary.read = 0;
            return Ok(());
        };
        account.summary.read += kept.len();
        let mut changed: BTreeMap<Name, Value> = BTreeMap::new();
        for (name, entry, content) in kept.into_iter().flatten() {
            account.changes.contents.insert(name.clone(), entry);
            changed.insert((String::new(), name), content);
        }
        if !account.dry_run {
            write(kubectl, &mut pace, changed, account)?;
        }
        step.progress(&account.so_far());
        Ok(())
    })
}

/// Writes the contents of a page.
fn write(
    kubectl: &Kubectl,
    pace: &mut Pace,
    mut changed: BTreeMap<Name, Value>,
    account: &mut Account<Contents>,
) -> Result<()> {
    for content in changed.values_mut() {
        // Not every list says in each item what it is.
        content["apiVersion"] = json!("snapshot.storage.k8s.io/v1");
        content["kind"] = json!("VolumeSnapshotContent");
    }
    let names: Vec<Name> = changed.keys().cloned().collect();
    let text = |name: &Name| changed[name].to_string();
    let refused = bulk::each(kubectl, pace, &kubectl.target.replace(), &names, text, |_| ())?;
    for name in names {
        let Some(entry) = account.changes.contents.get_mut(&name.1) else { continue };
        entry.outcome = Outcome::of(refused.get(&name));
        if let Outcome::Left { note } = &mut entry.outcome {
            note.push_str("; the next run looks again");
        }
    }
    Ok(())
}

/// The contents that are changed, by name.
#[derive(Debug, Default, Serialize)]
struct Contents {
    contents: BTreeMap<String, Entry<MetadataCopy>>,
}

/// What is copied to a content, and from where.
#[derive(Debug, Serialize)]
struct MetadataCopy {
    namespace: String,
    snapshot: String,
    /// As [`crate::core::restore::sync_metadata::MetadataPatch::words`]: the values of tens of thousands of annotations take their room.
    changes: Vec<String>,
}

impl Changes for Contents {
    const REMEDY: &'static str = "mend what the messages name and run it again: what is done stays done";

    fn planned(&self) -> impl Iterator<Item = (String, &Outcome)> {
        self.contents.iter().map(|(content, entry)| (content.clone(), &entry.outcome))
    }

    fn lines(&self, dry_run: bool) -> impl Iterator<Item = String> {
        self.contents.iter().map(move |(content, Entry { change, outcome })| {
            let MetadataCopy { namespace, snapshot, changes } = change;
            let end = match outcome {
                Outcome::Planned if !dry_run => ": broken off".into(),
                Outcome::Done { .. } => String::new(),
                outcome => outcome.text(),
            };
            format!("{content}  {namespace}/{snapshot}  {}{end}", changes.join(" "))
        })
    }

    fn number(number: usize) -> String {
        counted(number, "content")
    }
}

impl Account<Contents> {
    fn so_far(&self) -> String {
        format!("{}, {} to be changed", counted(self.summary.read, "content"), self.changes.contents.len())
    }
}
