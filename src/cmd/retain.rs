//! `retain`: takes the daily, weekly and monthly labels off snapshots that outlived the policy.

use anyhow::{Result, bail};

use crate::cluster::delete_snapshot;
use crate::cluster::survey::Survey;
use crate::cmd::account::{Account, Entry, Outcome};
use crate::cmd::prune::Decisions;
use crate::cmd::{Conclusion, Context, now};
use crate::config::{Global, Retention};
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
pub fn run(global: &Global, config: &Retention, reporter: &Reporter) -> Result<Conclusion> {
    let context = Context::connect(global, config, reporter)?;
    let named = global.asked.namespace.as_deref();
    let survey = reporter.step("read", |step| {
        let survey =
            Survey::of(&context.kubectl, named, &[labels::RETAIN], |snapshot| Some(Record::from(snapshot)), step)?;
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
    let mut account = Account::plan("retain", global.dry_run, verdicts, survey);
    if !global.dry_run {
        account.relabel(&context, config.concurrency, "label")?;
        release(&context, &mut account)?;
    }
    account.close(&context)
}

/// Lets go of what deletions by name have left behind: their namespace cannot be deleted meanwhile.
fn release(context: &Context<'_, Retention>, account: &mut Account<Decisions>) -> Result<()> {
    let positions = account.to_do(|action| *action == Action::Release);
    if positions.is_empty() {
        return Ok(());
    }
    context.reporter.step("release", |_| {
        let mut done = 0;
        for at in &positions {
            let Entry { change: Decision { namespace, name, .. }, outcome } = &mut account.changes.snapshots[*at];
            *outcome = match delete_snapshot::call_off_by_name(&context.kubectl.in_namespace(namespace), name) {
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
