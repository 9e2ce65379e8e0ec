//! What `retain` and `mark-and-delete` share: their changes of labels, and their account, each decision with its reason and
//! what came of it. Must not know how decisions are made.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::cluster::bulk::{self, Name, Refused};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::survey::Skipped;
use crate::cmd::show::{json_line, print, yaml};
use crate::config::Output;
use crate::core::escape::one_line;
use crate::core::kube::calls::Relabel;
use crate::core::retention::history::{Action, Decision};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::report::{Reporter, Step};

/// What came of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// Nothing was to be done, or this is a dry run.
    Planned,
    /// It is done; what is to be said about it, if anything.
    Done {
        /// What is to be said.
        #[serde(skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// It was left, because it is not what was judged any more.
    Left {
        /// What it is.
        note: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        error: String,
    },
}

/// A decision and what came of it.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// The decision.
    #[serde(flatten)]
    pub verdict: Decision,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Everything that a run has to say.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The command.
    pub command: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Every decision of a dry run; else those that change something, and those that need a person.
    pub snapshots: Vec<Entry>,
    /// The namespaces that may not be read.
    pub skipped: Vec<Skipped>,
    /// Numbers.
    pub summary: Summary,
}

/// Numbers of snapshots.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// All that were read.
    pub read: usize,
    /// To be changed, by the plan.
    pub planned: usize,
    /// Changed.
    pub done: usize,
    /// Not changed, because they are not what was judged any more.
    pub left: usize,
    /// Not changed, because it failed.
    pub failed: usize,
    /// Kept, but they need a person.
    pub warnings: usize,
}

impl Account {
    /// An account of what is planned.
    pub fn new(command: &'static str, dry_run: bool, verdicts: Vec<Decision>, skipped: Vec<Skipped>) -> Account {
        let planned = |verdict: Decision| Entry { verdict, outcome: Outcome::Planned };
        let snapshots = verdicts.into_iter().map(planned).collect();
        Account { command, dry_run, snapshots, skipped, summary: Summary::default() }
    }

    /// The positions of what a run has to do, in order.
    pub fn to_do(&self, wanted: impl Fn(&Action) -> bool) -> Vec<usize> {
        let all = self.snapshots.iter().enumerate();
        all.filter(|(_, entry)| wanted(&entry.verdict.action)).map(|(at, _)| at).collect()
    }

    /// Makes one change to the snapshots at these positions; on how many.
    ///
    /// # Errors
    /// As [`bulk::relabel`].
    pub fn relabel(&mut self, kubectl: &Kubectl, change: &Relabel, positions: &[usize], step: &Step) -> Result<usize> {
        let name = |at: &usize| -> Name {
            let verdict = &self.snapshots[*at].verdict;
            (verdict.namespace.clone(), verdict.name.clone())
        };
        let names: Vec<Name> = positions.iter().map(name).collect();
        let refused = bulk::relabel(kubectl, change, &names, |done| step.count(done, positions.len()))?;
        for (at, name) in positions.iter().zip(&names) {
            let outcome = &mut self.snapshots[*at].outcome;
            // What failed once has failed, whatever else succeeds.
            match refused.get(name) {
                _ if matches!(outcome, Outcome::Failed { .. }) => {}
                None if matches!(outcome, Outcome::Left { .. }) => {}
                None => *outcome = Outcome::Done { note: String::new() },
                Some(Refused::Overtaken(note)) => *outcome = Outcome::Left { note: note.clone() },
                Some(Refused::Failed(error) | Refused::Unreached(error)) => {
                    *outcome = Outcome::Failed { error: error.clone() }
                }
            }
        }
        Ok(positions.len() - refused.len())
    }

    /// Prints it and says how the run ended. `read` is the number of snapshots that were read.
    ///
    /// # Errors
    /// Something failed.
    pub fn close(mut self, reporter: &Reporter, output: Output, read: usize) -> Result<()> {
        let count = |wanted: fn(&Entry) -> bool| self.snapshots.iter().filter(|entry| wanted(entry)).count();
        self.summary = Summary {
            read,
            planned: count(|entry| entry.verdict.action != Action::Keep),
            done: count(|entry| matches!(entry.outcome, Outcome::Done { .. })),
            left: count(|entry| matches!(entry.outcome, Outcome::Left { .. })),
            failed: count(|entry| matches!(entry.outcome, Outcome::Failed { .. })),
            warnings: count(|entry| entry.verdict.action == Action::Keep && entry.verdict.warning),
        };
        if !self.dry_run {
            self.snapshots.retain(|entry| entry.verdict.action != Action::Keep || entry.verdict.warning);
        }
        for entry in self.snapshots.iter().filter(|entry| entry.verdict.warning) {
            let Decision { namespace, name, reason, .. } = &entry.verdict;
            tracing::warn!(namespace, snapshot = name, "{reason}");
        }
        let text = match output {
            Output::Json => json_line(&self),
            Output::Yaml => yaml(&self),
            _ => self.text(),
        };
        print(reporter, &text)?;
        self.failed()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for Entry { verdict, outcome } in &self.snapshots {
            let Decision { namespace, name, reason, .. } = verdict;
            let what = words(&verdict.action);
            let end = match outcome {
                Outcome::Planned => String::new(),
                Outcome::Done { note } if note.is_empty() => ": done".into(),
                Outcome::Done { note } => format!(": done, {note}"),
                Outcome::Left { note } => format!(": left, {note}"),
                Outcome::Failed { error } => format!(": FAILED, {error}"),
            };
            let _ = writeln!(text, "{}", one_line(&format!("{namespace}/{name}  {what}  ({reason}){end}")));
        }
        for Skipped { namespace, reason } in &self.skipped {
            let _ = writeln!(text, "{namespace}  skipped  ({reason})");
        }
        let Summary { read, planned, done, left, failed, warnings } = self.summary;
        let _ = write!(text, "{}: {} read, ", self.command, counted(read, "snapshot"));
        let _ = match self.dry_run {
            true => write!(text, "{planned} would be changed; dry run, nothing was changed"),
            false => write!(text, "{done} changed, {left} left, {failed} failed"),
        };
        if warnings > 0 {
            let _ = write!(text, ", {warnings} to look at");
        }
        if !self.skipped.is_empty() {
            let _ = write!(text, ", {} skipped", counted(self.skipped.len(), "namespace"));
        }
        text.push('\n');
        text
    }

    fn failed(&self) -> Result<()> {
        let failures = self.snapshots.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Failed { error } => Some(format!("{}/{}: {error}", entry.verdict.namespace, entry.verdict.name)),
            _ => None,
        });
        let number = self.summary.failed;
        if number == 0 {
            return Ok(());
        }
        let mut first: Vec<String> = failures.take(5).collect();
        if number > first.len() {
            first.push(format!("and {} more, see the list above", number - first.len()));
        }
        let what = format!("{number} of {} failed:\n  {}", counted(self.summary.planned, "change"), first.join("\n  "));
        // Nothing done at all is a failure, not a part.
        let exit = if self.summary.done + self.summary.left == 0 { Exit::Failed } else { Exit::Partial };
        bail!(Fail::new(exit, what).remedy("mend what the messages name and run it again: it goes on where it stopped"))
    }
}

/// What is done, in words: `label -daily +weekly=2026-w47`, `mark 2026-11-22`.
fn words(action: &Action) -> String {
    let mut words = action.word().to_string();
    match action {
        Action::Label { remove, give } => {
            remove.iter().for_each(|kind| words.push_str(&format!(" -{kind}")));
            give.iter().for_each(|(kind, value)| words.push_str(&format!(" +{kind}={value}")));
        }
        Action::Mark { delete_after } => words.push_str(&format!(" {delete_after}")),
        Action::Keep | Action::Delete | Action::Release => {}
    }
    words
}
