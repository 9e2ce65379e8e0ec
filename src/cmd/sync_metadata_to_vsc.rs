//! `sync-metadata-to-vsc`: copies what VolumeSnapshots say to their contents, so that stored data can be identified when the
//! namespace is gone.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cluster::bulk::{self, Name, Refused};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::survey::{Skipped, Survey};
use crate::cmd::prune::Outcome;
use crate::cmd::show::{json_line, print, yaml};
use crate::config::{Global, Output};
use crate::core::escape::{Secrets, one_line};
use crate::core::kube::calls::{CONTENTS, Next};
use crate::core::restore::sync_metadata::{Source, Sources};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::report::{Reporter, Step};

/// Mirrors, page by page of the contents.
///
/// # Errors
/// As the exit codes say; a change that failed does not keep the others from being made.
pub fn run(global: &Global, _: &(), reporter: &Reporter) -> Result<()> {
    let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
    let (sources, skipped) = reporter.step("read", |step| {
        // All of them: what lost its last label must lose it on the content, too.
        let survey = Survey::of(&kubectl, global.asked.namespace.as_deref(), &[""], Source::of, step)?;
        let sources: Sources = survey.snapshots.into_iter().collect();
        let what = counted(sources.len(), "bound snapshot");
        Ok(((sources, survey.skipped), what))
    })?;
    let mut account = Account {
        command: "sync-metadata-to-vsc",
        dry_run: global.dry_run,
        skipped,
        summary: Summary { snapshots: sources.len(), ..Summary::default() },
        ..Account::default()
    };
    let synced = reporter.step("mirror", |step| {
        mirror(&kubectl, &sources, &mut account, step)?;
        Ok(((), account.so_far()))
    });
    // What was done is reported even if the rest could not be read.
    account.close(reporter, global.output, synced)
}

/// Reads the contents page by page and changes those of a page at once, each in the very version that was read. A list
/// that changes too fast is begun again: what is done needs nothing any more.
fn mirror(kubectl: &Kubectl, sources: &Sources, account: &mut Account, step: &Step) -> Result<()> {
    let (mut next, mut tries) = (Next::default(), 5);
    let page = |next: &Next| kubectl.target.page(CONTENTS, None, "", next);
    // Of a content that needs nothing, nothing is kept.
    let keep = |mut content: Value| {
        let (source, change) = sources.change(&content)?;
        let name = content["metadata"]["name"].as_str().unwrap_or_default().to_string();
        change.apply(&mut content);
        let entry = Entry {
            namespace: source.namespace.clone(),
            snapshot: source.name.clone(),
            changes: change.words(),
            outcome: Outcome::Planned,
        };
        Some((name, entry, content))
    };
    loop {
        let kept = match kubectl.page(page, &mut next, |content| Some(keep(content))) {
            Ok(kept) => kept,
            Err(error) if error.is(Refusal::ListTokenExpired) && tries > 0 => {
                tracing::warn!("the list changed too fast to be read to its end, beginning again");
                tries -= 1;
                account.summary.read = 0;
                next.token.clear();
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        account.summary.read += kept.len();
        let mut changed: BTreeMap<Name, Value> = BTreeMap::new();
        for (name, entry, content) in kept.into_iter().flatten() {
            account.contents.insert(name.clone(), entry);
            changed.insert((String::new(), name), content);
        }
        if !account.dry_run {
            write(kubectl, changed, account)?;
        }
        step.progress(&account.so_far());
        if next.token.is_empty() {
            return Ok(());
        }
    }
}

/// Writes the contents of a page with one kubectl.
fn write(kubectl: &Kubectl, mut changed: BTreeMap<Name, Value>, account: &mut Account) -> Result<()> {
    for content in changed.values_mut() {
        // Not every list says in each item what it is.
        content["apiVersion"] = json!("snapshot.storage.k8s.io/v1");
        content["kind"] = json!("VolumeSnapshotContent");
    }
    let names: Vec<Name> = changed.keys().cloned().collect();
    let text = |name: &Name| changed[name].to_string();
    let refused = bulk::each(kubectl, &kubectl.target.replace(), &names, text, |_| ())?;
    for name in names {
        let Some(entry) = account.contents.get_mut(&name.1) else { continue };
        entry.outcome = match refused.get(&name) {
            None => Outcome::Done { note: String::new() },
            Some(Refused::Overtaken(note)) => Outcome::Left { note: format!("{note}; the next run looks again") },
            Some(Refused::Failed(error) | Refused::Unreached(error)) => Outcome::Failed { error: error.clone() },
        };
    }
    Ok(())
}

/// Everything that a run has to say.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    command: &'static str,
    dry_run: bool,
    /// What is changed, by the content's name.
    contents: BTreeMap<String, Entry>,
    /// The namespaces that may not be read.
    skipped: Vec<Skipped>,
    summary: Summary,
}

/// A content that is changed, and what came of it.
#[derive(Debug, Serialize)]
struct Entry {
    namespace: String,
    snapshot: String,
    /// As [`crate::core::restore::sync_metadata::MetadataPatch::words`]: the values of tens of thousands of annotations take their room.
    changes: Vec<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Numbers.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// VolumeSnapshots that are bound to a content.
    snapshots: usize,
    /// Contents that were read.
    read: usize,
    /// To be changed, by the plan.
    planned: usize,
    /// Changed.
    done: usize,
    /// Not changed, because they are not what was read any more.
    left: usize,
    /// Not changed, because it failed.
    failed: usize,
}

impl Account {
    fn so_far(&self) -> String {
        format!("{}, {} to be changed", counted(self.summary.read, "content"), self.contents.len())
    }

    /// Prints it and says how the run ended.
    fn close(mut self, reporter: &Reporter, output: Output, synced: Result<()>) -> Result<()> {
        let count =
            |wanted: fn(&Outcome) -> bool| self.contents.values().filter(|entry| wanted(&entry.outcome)).count();
        self.summary = Summary {
            planned: self.contents.len(),
            done: count(|outcome| matches!(outcome, Outcome::Done { .. })),
            left: count(|outcome| matches!(outcome, Outcome::Left { .. })),
            failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            ..self.summary
        };
        let text = match output {
            Output::Json => json_line(&self),
            Output::Yaml => yaml(&self),
            _ => self.text(),
        };
        print(reporter, &text)?;
        synced?;
        self.failed()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (content, Entry { namespace, snapshot, changes, outcome }) in &self.contents {
            let end = match outcome {
                Outcome::Planned if !self.dry_run => ": broken off".into(),
                Outcome::Planned | Outcome::Done { .. } => String::new(),
                Outcome::Left { note } => format!(": left, {note}"),
                Outcome::Failed { error } => format!(": FAILED, {error}"),
            };
            let changes = changes.join(" ");
            let _ = writeln!(text, "{}", one_line(&format!("{content}  {namespace}/{snapshot}  {changes}{end}")));
        }
        for Skipped { namespace, reason } in &self.skipped {
            let _ = writeln!(text, "{namespace}  skipped  ({reason})");
        }
        let Summary { snapshots, read, planned, done, left, failed } = self.summary;
        let (snapshots, read) = (counted(snapshots, "bound snapshot"), counted(read, "content"));
        let _ = write!(text, "{}: {snapshots} and {read} read, ", self.command);
        let _ = match self.dry_run {
            true => write!(text, "{} would be changed; dry run, nothing was changed", counted(planned, "content")),
            false => write!(text, "{} changed, {left} left, {failed} failed", counted(done, "content")),
        };
        if !self.skipped.is_empty() {
            let _ = write!(text, ", {} skipped", counted(self.skipped.len(), "namespace"));
        }
        text.push('\n');
        text
    }

    fn failed(&self) -> Result<()> {
        let Summary { planned, done, left, failed, .. } = self.summary;
        if failed == 0 {
            return Ok(());
        }
        let failures = self.contents.iter().filter_map(|(content, entry)| match &entry.outcome {
            Outcome::Failed { error } => Some(format!("{content}: {error}")),
            _ => None,
        });
        let mut first: Vec<String> = failures.take(5).collect();
        if failed > first.len() {
            first.push(format!("and {} more, see the list above", failed - first.len()));
        }
        // Nothing done at all is a failure, not a part.
        let exit = if done + left == 0 { Exit::Failed } else { Exit::Partial };
        let what = format!("{failed} of {} failed:\n  {}", counted(planned, "change"), first.join("\n  "));
        bail!(Fail::new(exit, what).remedy("mend what the messages name and run it again: what is done stays done"))
    }
}
