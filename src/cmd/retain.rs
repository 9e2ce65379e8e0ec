//! `retain`: takes the daily, weekly and monthly labels off snapshots that outlived the policy.

use std::collections::BTreeMap;

use crate::cmd::now;
use crate::cmd::prune::{Account, Outcome};
use crate::config::{Global, Retention};
use crate::core::escape::Secrets;
use crate::core::history::{Action, Moment};
use crate::core::target::Relabel;
use crate::core::{labels, retention};
use crate::exit::Fail;
use crate::kubectl::Kubectl;
use crate::relabel::{self, Name, Refused};
use crate::report::{Reporter, Step};
use crate::survey::Survey;

/// Prunes slot labels.
///
/// # Errors
/// As the exit codes say; a change that failed does not keep the others from being made.
pub fn run(global: &Global, config: &Retention, reporter: &Reporter) -> Result<(), Fail> {
    let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
    let named = global.asked.namespace.as_deref();
    let survey = reporter.step("read", |step| {
        let survey = Survey::of(&kubectl, named, &[labels::RETAIN], step)?;
        let what = format!("{} snapshots", survey.snapshots.len());
        Ok((survey, what))
    })?;
    let moment = Moment { now: now(), zone: global.zone, patience: config.patience };
    let verdicts = retention::retain(&survey.snapshots, config.policy, &moment);
    let read = survey.snapshots.len();
    let mut account = Account::new("retain", global.dry_run, verdicts, survey.skipped);
    drop(survey.snapshots);
    if !global.dry_run {
        label(&kubectl, &mut account, reporter)?;
    }
    account.close(reporter, global.output, read)
}

/// Makes the changes, those that are alike at once. Labels are given before any is taken off, so that a slot is never
/// without a holder.
fn label(kubectl: &Kubectl, account: &mut Account, reporter: &Reporter) -> Result<(), Fail> {
    // In the order of their kinds: what is given comes first.
    let mut changes: BTreeMap<Relabel, Vec<usize>> = BTreeMap::new();
    for at in account.to_do(|action| matches!(action, Action::Label { .. })) {
        let Action::Label { remove, give } = &account.snapshots[at].verdict.action else { continue };
        for (kind, value) in give {
            changes.entry(Relabel::Give(labels::of_slot(*kind), value.clone())).or_default().push(at);
        }
        for kind in remove {
            changes.entry(Relabel::Take(labels::of_slot(*kind))).or_default().push(at);
        }
    }
    for (change, positions) in changes {
        reporter.step("label", |step| {
            let done = make(kubectl, account, &change, &positions, step)?;
            Ok(((), format!("{change} on {done} of {} snapshots", positions.len())))
        })?;
    }
    Ok(())
}

/// Makes one change to the snapshots at these positions; on how many.
///
/// # Errors
/// As [`relabel::relabel`].
pub(super) fn make(
    kubectl: &Kubectl,
    account: &mut Account,
    change: &Relabel,
    positions: &[usize],
    step: &Step,
) -> Result<usize, Fail> {
    let name = |at: &usize| -> Name {
        let verdict = &account.snapshots[*at].verdict;
        (verdict.namespace.clone(), verdict.name.clone())
    };
    let names: Vec<Name> = positions.iter().map(name).collect();
    let refused = relabel::relabel(kubectl, change, &names, |done| step.count(done, positions.len()))?;
    for (at, name) in positions.iter().zip(&names) {
        let outcome = &mut account.snapshots[*at].outcome;
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
