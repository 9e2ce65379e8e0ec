//! `retain`: takes the daily, weekly and monthly labels off snapshots that outlived the policy.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::cluster::delete_snapshot;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::survey::Survey;
use crate::cmd::now;
use crate::cmd::prune::{Account, Entry, Outcome};
use crate::config::{Global, Retention};
use crate::core::escape::Secrets;
use crate::core::kube::calls::Relabel;
use crate::core::kube::labels;
use crate::core::retention::history::{Action, Decision, Moment, Record};
use crate::core::retention::{mark_and_delete, retain};
use crate::core::words::counted;
use crate::io::report::Reporter;
use crate::io::wait;

/// Prunes slot labels.
///
/// # Errors
/// As the exit codes say; a change that failed does not keep the others from being made.
pub fn run(global: &Global, config: &Retention, reporter: &Reporter) -> Result<()> {
    let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
    let named = global.asked.namespace.as_deref();
    let survey = reporter.step("read", |step| {
        let survey = Survey::of(&kubectl, named, &[labels::RETAIN], |snapshot| Some(Record::from(snapshot)), step)?;
        let what = counted(survey.snapshots.len(), "snapshot");
        Ok((survey, what))
    })?;
    let moment = Moment { now: now(), zone: global.zone, ready_timeout: config.ready_timeout };
    let mut verdicts = retain::retain(&survey.snapshots, config.policy, &moment);
    let left = mark_and_delete::left_behind(&survey.snapshots, &moment);
    let is_left = |verdict: &Decision| {
        left.iter().any(|left| (&left.namespace, &left.name) == (&verdict.namespace, &verdict.name))
    };
    verdicts.retain(|verdict| !is_left(verdict));
    verdicts.extend(left);
    let read = survey.snapshots.len();
    let mut account = Account::new("retain", global.dry_run, verdicts, survey.skipped);
    drop(survey.snapshots);
    if !global.dry_run {
        label(&kubectl, &mut account, reporter)?;
        release(&kubectl, &mut account, reporter)?;
    }
    account.close(reporter, global.output, read)
}

/// Makes the changes, those that are alike at once. Labels are given before any is taken off, so that a slot is never
/// without a holder.
fn label(kubectl: &Kubectl, account: &mut Account, reporter: &Reporter) -> Result<()> {
    // In the order of their kinds: what is given comes first.
    let mut changes: BTreeMap<Relabel, Vec<usize>> = BTreeMap::new();
    for at in account.to_do(|action| matches!(action, Action::Label { .. })) {
        let Action::Label { remove, give } = &account.snapshots[at].verdict.action else { continue };
        for (kind, value) in give {
            changes.entry(Relabel::Give(kind.label(), value.clone())).or_default().push(at);
        }
        for kind in remove {
            changes.entry(Relabel::Take(kind.label())).or_default().push(at);
        }
    }
    for (change, positions) in changes {
        reporter.step("label", |step| {
            let done = account.relabel(kubectl, &change, &positions, step)?;
            Ok(((), format!("{change} on {done} of {}", counted(positions.len(), "snapshot"))))
        })?;
    }
    Ok(())
}

/// Lets go of what deletions by name have left behind: their namespace cannot be deleted meanwhile.
fn release(kubectl: &Kubectl, account: &mut Account, reporter: &Reporter) -> Result<()> {
    let positions = account.to_do(|action| *action == Action::Release);
    if positions.is_empty() {
        return Ok(());
    }
    reporter.step("release", |_| {
        let mut done = 0;
        for at in &positions {
            let Entry { verdict, outcome } = &mut account.snapshots[*at];
            *outcome = match delete_snapshot::call_off_by_name(&kubectl.in_namespace(&verdict.namespace), &verdict.name)
            {
                Ok(()) => {
                    done += 1;
                    Outcome::Done { note: delete_snapshot::RELEASED.into() }
                }
                Err(error) => match wait::interrupted() {
                    Some(fail) => bail!(fail),
                    None => Outcome::Failed { error: error.to_string() },
                },
            };
        }
        Ok(((), format!("{done} of {}", counted(positions.len(), "snapshot"))))
    })
}
