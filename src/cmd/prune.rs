//! What `retain` and `mark-and-delete` share: the account of their decisions, and their changes of labels. Must not know how
//! decisions are made.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::cluster::bulk::{self, Name};
use crate::cluster::kubectl::Kubectl;
use crate::cluster::survey::Survey;
use crate::cmd::account::{Account, Changes, Entry, Outcome, Summary};
use crate::cmd::{Conclusion, Context};
use crate::core::kube::calls::Relabel;
use crate::core::kube::labels;
use crate::core::kube::pace::Pace;
use crate::core::retention::history::{Action, Decision};
use crate::core::retention::slot::SlotKind;
use crate::core::words::counted;
use crate::io::report::Step;

/// Every decision of a dry run; else those that change something, and those that need a person.
#[derive(Debug, Serialize)]
pub struct Decisions {
    pub snapshots: Vec<Entry<Decision>>,
}

impl Changes for Decisions {
    const REMEDY: &'static str = "mend what the messages name and run it again: it goes on where it stopped";

    fn planned(&self) -> impl Iterator<Item = (String, &Outcome)> {
        let planned = self.snapshots.iter().filter(|entry| entry.change.action != Action::Keep);
        planned.map(|Entry { change, outcome }| (format!("{}/{}", change.namespace, change.name), outcome))
    }

    fn lines(&self, _: bool) -> impl Iterator<Item = String> {
        self.snapshots.iter().map(|Entry { change, outcome }| {
            let Decision { namespace, name, action, reason, .. } = change;
            format!("{namespace}/{name}  {}  ({reason}){}", words(action), outcome.text())
        })
    }
}

impl Account<Decisions> {
    /// An account of what is planned.
    pub fn plan(command: &'static str, dry_run: bool, decisions: Vec<Decision>, survey: Survey) -> Account<Decisions> {
        let planned = |change: Decision| Entry { change, outcome: Outcome::Planned };
        let changes = Decisions { snapshots: decisions.into_iter().map(planned).collect() };
        let summary = Summary { read: survey.snapshots.len(), ..Summary::default() };
        Account { command, dry_run, changes, skipped: survey.skipped, summary }
    }

    /// The positions of what a run has to do, in order.
    pub fn to_do(&self, wanted: impl Fn(&Action) -> bool) -> Vec<usize> {
        let all = self.changes.snapshots.iter().enumerate();
        all.filter(|(_, entry)| wanted(&entry.change.action)).map(|(at, _)| at).collect()
    }

    /// Changes the labels, by `concurrency` kubectl side by side. Snapshots that get the same change get it together. Labels are
    /// given before any is taken off, so that a slot is never without a holder.
    ///
    /// # Errors
    /// As [`bulk::relabel`].
    pub fn relabel<C>(&mut self, context: &Context<'_, C>, concurrency: usize, step: &'static str) -> Result<()> {
        // In the order of their kinds: what is given comes first.
        let mut changes: BTreeMap<Relabel, Vec<usize>> = BTreeMap::new();
        for (at, entry) in self.changes.snapshots.iter().enumerate() {
            for change in relabels(&entry.change.action) {
                changes.entry(change).or_default().push(at);
            }
        }
        let mut pace = Pace::of(concurrency);
        for (change, positions) in changes {
            context.reporter.step(step, |step| {
                let done = self.make(&context.kubectl, &mut pace, &change, &positions, step)?;
                Ok(((), format!("{change} on {done} of {}", counted(positions.len(), "snapshot"))))
            })?;
        }
        Ok(())
    }

    /// Makes one change to the snapshots at these positions; on how many.
    fn make(
        &mut self,
        kubectl: &Kubectl,
        pace: &mut Pace,
        change: &Relabel,
        positions: &[usize],
        step: &Step,
    ) -> Result<usize> {
        let name = |at: &usize| -> Name {
            let decision = &self.changes.snapshots[*at].change;
            (decision.namespace.clone(), decision.name.clone())
        };
        let names: Vec<Name> = positions.iter().map(name).collect();
        let refused = bulk::relabel(kubectl, pace, change, &names, |done| step.count(done, positions.len()))?;
        for (at, name) in positions.iter().zip(&names) {
            let outcome = &mut self.changes.snapshots[*at].outcome;
            match (&outcome, Outcome::of(refused.get(name))) {
                // What failed once has failed, whatever else succeeds.
                (Outcome::Failed { .. }, _) | (Outcome::Left { .. }, Outcome::Done { .. }) => {}
                (_, new) => *outcome = new,
            }
        }
        Ok(positions.len() - refused.len())
    }

    /// Prints it and says how the run ended.
    ///
    /// # Errors
    /// Something failed.
    pub fn close<C>(mut self, context: &Context<'_, C>) -> Result<Conclusion> {
        let snapshots = &mut self.changes.snapshots;
        if !self.dry_run {
            snapshots.retain(|entry| entry.change.action != Action::Keep || entry.change.warning);
        }
        let has_warning = |entry: &&Entry<Decision>| entry.change.warning;
        for Entry { change: Decision { namespace, name, reason, .. }, .. } in snapshots.iter().filter(has_warning) {
            tracing::warn!(namespace, snapshot = name, "{reason}");
        }
        let kept = snapshots.iter().filter(has_warning).filter(|entry| entry.change.action == Action::Keep);
        self.summary.warnings = Some(kept.count());
        let unexported = snapshots.iter().filter(|entry| entry.change.unexported).count();
        self.summary.unexported = Some(unexported).filter(|number| *number > 0);
        let read = counted(self.summary.read, "snapshot");
        let conclusion = self.print(context, &read)?;
        self.check().map(|()| conclusion)
    }
}

/// The changes of labels that an action consists of.
fn relabels(action: &Action) -> Vec<Relabel> {
    match action {
        Action::Label { remove, give } => {
            let give = give.iter().map(|(kind, value)| Relabel::Give(kind.label(), value.clone()));
            let take: Vec<&str> = remove.iter().map(|kind| SlotKind::label(*kind)).collect();
            give.chain((!take.is_empty()).then_some(Relabel::Take(take))).collect()
        }
        Action::Mark { delete_after } => vec![Relabel::Give(labels::DELETE_AFTER, delete_after.clone())],
        Action::Keep | Action::Delete | Action::Release => Vec::new(),
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
