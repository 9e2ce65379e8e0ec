//! `mark-and-delete`: marks snapshots that lost every slot, deletes those whose date has passed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::cluster::delete_snapshot::{self, Fate};
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::survey::{self, Survey};
use crate::cmd::account::{Account, Entry, Outcome};
use crate::cmd::prune::Decisions;
use crate::cmd::{Conclusion, Context, now, retain};
use crate::config::{Global, MarkAndDelete};
use crate::core::kube::calls::{CONTENTS, Next, SNAPSHOTS};
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Snapshot};
use crate::core::restore::stored_data::{Holder, Holders};
use crate::core::retention::history::{Action, Decision, Moment, Record};
use crate::core::retention::mark_and_delete::{self, DeletionBlocks};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, ProcessError};
use crate::io::report::Reporter;
use crate::io::wait;

/// Marks, then sweeps; before, if that is wanted, takes off labels as `retain` does.
///
/// # Errors
/// As the exit codes say; a deletion that failed does not keep the others from being made, unless the API is gone. What
/// `retain` could not do prevents nothing here, and is reported at the end.
pub fn run(global: &Global, config: &MarkAndDelete, reporter: &Reporter) -> Result<Conclusion> {
    let retained = config.first.map_or(Ok(Conclusion::default()), |first| retain::run(global, &first, reporter));
    if let Err(error) = &retained {
        if wait::interrupted().is_some() {
            return retained;
        }
        tracing::warn!("retain did not do all of it, going on with what is marked: {error:#}");
    }
    match (retained, mark_and_delete(global, config, reporter)) {
        (Err(first), Ok(_)) => bail!(Fail { exit: Exit::Partial, ..first.fail() }),
        (_, swept) => swept,
    }
}

fn mark_and_delete(global: &Global, config: &MarkAndDelete, reporter: &Reporter) -> Result<Conclusion> {
    let context = Context::connect(global, config, reporter)?;
    let kubectl = &context.kubectl;
    let named = global.asked.namespace.as_deref();
    // A snapshot that was marked by hand may be from another program.
    let marked_by_hand = format!("{},!{}", labels::DELETE_AFTER, labels::RETAIN);
    let moment = Moment { now: now(), zone: global.zone, ready_timeout: config.ready_timeout };
    let (survey, verdicts, held) = reporter.step("read", |step| {
        let mut survey = Survey::of(
            kubectl,
            named,
            &[labels::RETAIN, &marked_by_hand],
            |snapshot| Some(Record::from(snapshot)),
            step,
        )?;
        let mut held = DeletionBlocks { require_exported: config.require_exported, ..DeletionBlocks::default() };
        let mut verdicts = mark_and_delete::decide(&survey.snapshots, &held, &moment);
        // What is in use matters only where something is to be deleted.
        if verdicts.iter().any(|verdict| verdict.action == Action::Delete) {
            held = DeletionBlocks { sources: survey.in_use(kubectl)?, shared: shared(kubectl)?, ..held };
            verdicts = mark_and_delete::decide(&survey.snapshots, &held, &moment);
        }
        let what = counted(survey.snapshots.len(), "snapshot");
        Ok(((survey, verdicts, held), what))
    })?;
    let mut account = Account::plan("mark-and-delete", global.dry_run, verdicts, survey);
    if !global.dry_run {
        account.relabel(&context, config.concurrency, "mark")?;
        clear(&context, &mut account, &Judged { held, moment })?;
    }
    account.close(&context)
}

/// By what it was judged.
struct Judged {
    held: DeletionBlocks,
    moment: Moment,
}

/// The VolumeSnapshots, by uid, whose data another content names. Where contents may not be listed, each deletion finds that
/// out, if it reads contents at all.
fn shared(kubectl: &Kubectl) -> Result<BTreeMap<String, String>> {
    let page = |next: &Next| kubectl.target.page(CONTENTS, None, "", next);
    match kubectl.pages(page, |content: Content| Some(Holder::from(&content)), |_| ()) {
        Ok(all) => Ok(all.into_iter().collect::<Holders>().shared()),
        Err(error) if error.is(Refusal::Forbidden) => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes one after the other, with a pause in between, and looks at each again right before.
fn clear(context: &Context<'_, MarkAndDelete>, account: &mut Account<Decisions>, judged: &Judged) -> Result<()> {
    let positions = account.to_do(|action| matches!(action, Action::Delete | Action::Release));
    if positions.is_empty() {
        return Ok(());
    }
    let mut pause = false;
    let mut away: Option<String> = None;
    context.reporter.step("delete", |step| {
        for (number, at) in positions.iter().enumerate() {
            step.count(number, positions.len());
            let Entry { change: verdict, outcome } = &mut account.changes.snapshots[*at];
            if let Some(error) = &away {
                *outcome = Outcome::Failed { error: format!("not tried, because the API is gone: {error}") };
                continue;
            }
            if pause {
                process::sleep(context.config.interval);
            }
            if let Some(ending) = process::hurried() {
                let (exit, why) = match ending {
                    Ending::Signal(signal) => (Exit::Signal(signal), format!("ended by signal {signal}")),
                    _ => (Exit::Partial, "the time that BAK_TIMEOUT gives is up".into()),
                };
                let what = format!("{why}, {number} of {} deletions looked at", positions.len());
                bail!(Fail::new(exit, what).remedy("run it again: it goes on where it stopped, and nothing is lost"));
            }
            let kubectl = context.kubectl.in_namespace(&verdict.namespace);
            let history = History::read(&kubectl, &verdict.name).inspect_err(|error| {
                // A change may fail again and again for a reason of its own; a read that fails means that the API is gone.
                if error.is(Refusal::Transient) {
                    away = Some(error.to_string());
                }
            });
            *outcome = match history.and_then(|history| again(&kubectl, history, verdict, judged)) {
                Ok(Fate::Deleted(note)) => Outcome::Done { note },
                Ok(Fate::Left(note)) => Outcome::Left { note },
                Err(error) => {
                    let fail = error.fail();
                    if let Exit::Signal(_) = fail.exit {
                        bail!(fail.remedy("run it again: it goes on where it stopped, and nothing is lost"));
                    }
                    Outcome::Failed { error: error.to_string() }
                }
            };
            let Decision { namespace, name, reason, .. } = &*verdict;
            match &*outcome {
                Outcome::Done { note } => tracing::info!(namespace, snapshot = name, note, "deleted: {reason}"),
                Outcome::Left { note } => tracing::info!(namespace, snapshot = name, "left: {note}"),
                Outcome::Failed { error } => tracing::warn!(namespace, snapshot = name, "not deleted: {error}"),
                Outcome::Planned => {}
            }
            // Only what was deleted, or may have been, burdens the storage.
            pause = !matches!(outcome, Outcome::Left { .. });
        }
        let is_done = |at: &&usize| matches!(account.changes.snapshots[**at].outcome, Outcome::Done { .. });
        let done = positions.iter().filter(is_done).count();
        Ok(((), format!("{done} of {}", counted(positions.len(), "snapshot"))))
    })
}

/// What decides about one snapshot, in its namespace as it is now.
struct History {
    /// The snapshot itself.
    it: Option<Box<Snapshot>>,
    /// The snapshots of the namespace that are pruned.
    pruned: Vec<Record>,
    /// The snapshots, by namespace and name, that a volume is still to be made from.
    sources: BTreeSet<(String, String)>,
}

impl History {
    /// Reads it page by page, and keeps of the other objects only what decides: a tenant may have written hundreds of MB of
    /// annotations.
    fn read(kubectl: &Kubectl, name: &str) -> Result<History, ProcessError> {
        let namespace = Some(kubectl.target.namespace.as_str());
        let page = |next: &Next| kubectl.target.page(SNAPSHOTS, namespace, "", next);
        let keep = |snapshot: Snapshot| {
            let it = (snapshot.metadata.name == name).then(|| Box::new(snapshot.clone()));
            let record = snapshot.is_pruned().then(|| Record::from(snapshot));
            (it.is_some() || record.is_some()).then_some((it, record))
        };
        let (its, records): (Vec<_>, Vec<_>) = kubectl.pages(page, keep, |_| ())?.into_iter().unzip();
        Ok(History {
            it: its.into_iter().flatten().next(),
            pruned: records.into_iter().flatten().collect(),
            sources: survey::sources(kubectl, namespace)?,
        })
    }
}

/// Does what was decided, if it would be decided again about the very same version in the namespace as it is now.
fn again(kubectl: &Kubectl, history: History, planned: &Decision, judged: &Judged) -> Result<Fate, ProcessError> {
    let held = DeletionBlocks { sources: history.sources, ..judged.held.clone() };
    let Some(found) = history.it else { return Ok(Fate::Left("it was deleted meanwhile".into())) };
    // Others of the same PVC may have gone since.
    let verdicts = mark_and_delete::decide(&history.pruned, &held, &judged.moment);
    let now = verdicts.into_iter().find(|verdict| verdict.name == planned.name);
    match now {
        Some(now) if now.action != planned.action => Ok(Fate::Left(now.reason)),
        Some(now) if now.version != planned.version => {
            Ok(Fate::Left("it changed since it was judged; the next run judges it anew".into()))
        }
        Some(Decision { action: Action::Release, .. }) => {
            delete_snapshot::call_off(kubectl, &found)?;
            Ok(Fate::Deleted(delete_snapshot::RELEASED.into()))
        }
        Some(_) => delete_snapshot::delete(kubectl, &found, None),
        None => Ok(Fate::Left("it is no snapshot of ours any more".into())),
    }
}
