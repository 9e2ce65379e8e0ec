//! The account of a command that changes many objects: each change with its outcome, and their numbers. Must not know how
//! changes are decided or made.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use crate::cluster::bulk::Refused;
use crate::cluster::survey::Skipped;
use crate::cmd::show::{json_line, print, yaml};
use crate::cmd::{Conclusion, Context};
use crate::config::Output;
use crate::core::escape::one_line;
use crate::core::words::counted;
use crate::exit::{Exit, Fail};

/// The outcome of a change.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Outcome {
    /// Nothing was done: nothing was to be done, this is a dry run, or the run ended before.
    Planned,
    Done {
        #[serde(skip_serializing_if = "String::is_empty")]
        note: String,
    },
    /// Not done, because the object is not what the change was decided on.
    Left {
        note: String,
    },
    Failed {
        error: String,
    },
}

impl Outcome {
    /// The outcome of a change that was made with others, and refused if `refused` says why.
    pub fn of(refused: Option<&Refused>) -> Outcome {
        match refused.cloned() {
            None => Outcome::Done { note: String::new() },
            Some(Refused::Overtaken(note)) => Outcome::Left { note },
            Some(Refused::Failed(error)) => Outcome::Failed { error },
        }
    }

    /// The end of a line about the change.
    pub fn text(&self) -> String {
        match self {
            Outcome::Planned => String::new(),
            Outcome::Done { note } if note.is_empty() => ": done".into(),
            Outcome::Done { note } => format!(": done, {note}"),
            Outcome::Left { note } => format!(": left, {note}"),
            Outcome::Failed { error } => format!(": FAILED, {error}"),
        }
    }
}

/// A change and its outcome.
#[derive(Debug, Serialize)]
pub struct Entry<C> {
    #[serde(flatten)]
    pub change: C,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The changes of a run; as data they are fields of the account.
pub trait Changes: Serialize {
    /// What to do after a failure.
    const REMEDY: &'static str;

    /// What is to be changed: each object's name, and the outcome.
    fn planned(&self) -> impl Iterator<Item = (String, &Outcome)>;

    /// A line of text for each entry.
    fn lines(&self, dry_run: bool) -> impl Iterator<Item = String>;

    /// The number of changed objects, in words.
    fn number(number: usize) -> String {
        number.to_string()
    }
}

/// Everything that a run reports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account<C> {
    pub command: &'static str,
    /// Whether nothing was changed.
    pub dry_run: bool,
    #[serde(flatten)]
    pub changes: C,
    /// The namespaces that may not be read.
    pub skipped: Vec<Skipped>,
    pub summary: Summary,
}

/// Numbers of objects.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// VolumeSnapshots that are bound to a content, for a command that reads contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<usize>,
    pub read: usize,
    pub planned: usize,
    pub done: usize,
    pub left: usize,
    pub failed: usize,
    /// Kept, but they need a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<usize>,
    /// Those of them whose copy outside the cluster is required and not proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexported: Option<usize>,
}

impl<C: Changes> Account<C> {
    /// Counts and prints it. `read` says what was read. The conclusion has the numbers in words.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print<T>(&mut self, context: &Context<'_, T>, read: &str) -> Result<Conclusion> {
        for (_, outcome) in self.changes.planned() {
            self.summary.planned += 1;
            match outcome {
                Outcome::Planned => {}
                Outcome::Done { .. } => self.summary.done += 1,
                Outcome::Left { .. } => self.summary.left += 1,
                Outcome::Failed { .. } => self.summary.failed += 1,
            }
        }
        let message = self.message(read);
        let text = match context.global.output {
            Output::Json => json_line(self),
            Output::Yaml => yaml(self),
            _ => self.text(&message),
        };
        print(context.reporter, &text)?;
        Ok(Conclusion { message, report: json!({"summary": self.summary, "skipped": self.skipped}) })
    }

    fn text(&self, message: &str) -> String {
        let mut text: String = self.changes.lines(self.dry_run).map(|line| one_line(&line) + "\n").collect();
        for Skipped { namespace, reason } in &self.skipped {
            let _ = writeln!(text, "{namespace}  skipped  ({reason})");
        }
        text + &format!("{}: {message}\n", self.command)
    }

    /// The numbers, in a line.
    fn message(&self, read: &str) -> String {
        let Summary { planned, done, left, failed, .. } = self.summary;
        let mut text = format!("{read} read, ");
        let _ = match self.dry_run {
            true => write!(text, "{} would be changed; dry run, nothing was changed", C::number(planned)),
            false => write!(text, "{} changed, {left} left, {failed} failed", C::number(done)),
        };
        if let Some(warnings) = self.summary.warnings.filter(|number| *number > 0) {
            let _ = write!(text, ", {warnings} to look at");
        }
        if let Some(unexported) = self.summary.unexported {
            let _ = write!(text, ", {unexported} not exported");
        }
        if !self.skipped.is_empty() {
            let _ = write!(text, ", {} skipped", counted(self.skipped.len(), "namespace"));
        }
        text
    }

    /// The end of the run, once the account is printed.
    ///
    /// # Errors
    /// A change failed.
    pub fn check(&self) -> Result<()> {
        let Summary { planned, done, left, failed, .. } = self.summary;
        if failed == 0 {
            return Ok(());
        }
        let failures = self.changes.planned().filter_map(|(object, outcome)| match outcome {
            Outcome::Failed { error } => Some(format!("{object}: {error}")),
            _ => None,
        });
        let mut first: Vec<String> = failures.take(5).collect();
        if failed > first.len() {
            first.push(format!("and {} more, see the list above", failed - first.len()));
        }
        let what = format!("{failed} of {} failed:\n  {}", counted(planned, "change"), first.join("\n  "));
        // Nothing done at all is a failure, not a part.
        let exit = if done + left == 0 { Exit::Failed } else { Exit::Partial };
        bail!(Fail::new(exit, what).remedy(C::REMEDY))
    }
}
