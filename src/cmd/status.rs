//! `status`: how well each claim is protected, of a namespace or of all; once, or for Prometheus again and again.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::backup::cronjob_settings::config_maps;
use crate::backup::observe::check_namespace;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::survey::{Skipped, Survey};
use crate::cmd::show::{print, table};
use crate::cmd::watch::watch;
use crate::cmd::{Context, now};
use crate::config::{Global, Output, Service, Status};
use crate::core::health::cronjob::Schedule;
use crate::core::health::metrics;
use crate::core::health::status::{
    self, Backup, ClaimStatus, Orphan, Overdue, Protection, Read, Report, State, Stored, Superfluous, Unfinished,
    Unread,
};
use crate::core::kube::calls::{CLAIMS, CONTENTS, CRON_JOBS, Next};
use crate::core::kube::objects::Pvc;
use crate::core::retention::history::Moment;
use crate::core::words::{age, counted};
use crate::exit::{Exit, Fail};
use crate::io::metrics_server::MetricsPage;
use crate::io::process;
use crate::io::report::{self, Reporter, Step};
use crate::io::wait;

/// How many orphans and late snapshots are shown to people by name.
const SHOWN: usize = 20;

/// Shows how each claim is protected, or serves it.
///
/// # Errors
/// Nothing can be read, or not all of it: what was read is shown then.
pub fn run(global: &Global, config: &Status, reporter: &Reporter) -> Result<()> {
    let quiet = reporter.quietly();
    let context = Context::connect(global, config, if config.watch.is_some() { &quiet } else { reporter })?;
    let ask = || ask(&context);
    if let Some(service) = &config.service {
        return serve(service, ask);
    }
    let shown = |report: &Report| {
        context.shown(report, || match global.output {
            Output::Prometheus => metrics::text(report),
            output => text(report, output == Output::Wide, config.all_namespaces),
        })
    };
    if let Some(every) = config.watch {
        return watch_status(every, reporter, global.output, ask, shown);
    }
    let report = ask()?;
    print(reporter, &shown(&report)?)?;
    incomplete(&report).map_or(Ok(()), |fail| bail!(fail))
}

/// Prints the status whenever something other than an age changed.
fn watch_status(
    every: Duration,
    reporter: &Reporter,
    output: Output,
    ask: impl Fn() -> Result<Report>,
    shown: impl Fn(&Report) -> Result<String>,
) -> Result<()> {
    let (mut before, mut missing) = (None, None);
    watch(every, reporter, || {
        let report = ask()?;
        let now_missing = incomplete(&report);
        if let Some(fail) = now_missing.as_ref().filter(|_| missing != now_missing) {
            tracing::warn!(remedy = fail.remedy, "{}", fail.what);
        }
        missing = now_missing;
        let state = Some(status::without_ages(&report));
        let is_first = before.is_none();
        if before == state {
            return Ok(None);
        }
        let text = shown(&report)?;
        before = state;
        let between = match output {
            _ if is_first => "",
            Output::Yaml => "---\n",
            Output::Text | Output::Wide => "\n",
            _ => "",
        };
        Ok(Some(format!("{between}{text}")))
    })
}

/// Reads all and judges it.
fn ask(context: &Context<'_, Status>) -> Result<Report> {
    let Context { global, config, kubectl, .. } = context;
    let named = Some(kubectl.target.namespace.as_str()).filter(|_| !config.all_namespaces);
    let read = context.reporter.step("read", |step| {
        let read = read(kubectl, named, config, step)?;
        let what = format!("{}, {}", counted(read.snapshots.len(), "snapshot"), counted(read.claims.len(), "claim"));
        Ok((read, what))
    })?;
    if let Some(name) = named.filter(|_| read.snapshots.is_empty() && read.claims.is_empty()) {
        check_namespace(kubectl, name)?;
    }
    Ok(status::report(read, &Moment { now: now(), zone: global.zone, ready_timeout: config.ready_timeout }))
}

/// Serves the metrics to Prometheus, and asks anew every so often. What cannot be asked once it could stays as it is and
/// grows old, which is an alert; asking fails at once only where it never succeeded.
fn serve(service: &Service, ask: impl Fn() -> Result<Report>) -> Result<()> {
    let page = MetricsPage::serve(&service.at)?;
    let mut missing = None;
    let mut asked = false;
    loop {
        match ask() {
            Ok(report) => {
                asked = true;
                page.put(&metrics::text(&report));
                let now_missing = incomplete(&report);
                if let Some(fail) = now_missing.as_ref().filter(|_| missing != now_missing) {
                    tracing::warn!(remedy = fail.remedy, "{}", fail.what);
                }
                missing = now_missing;
            }
            Err(error) if asked && wait::interrupted().is_none() => {
                let fail = error.fail();
                tracing::warn!(remedy = fail.remedy, "what is served grows old: {}", fail.what);
            }
            Err(error) => return Err(error),
        }
        process::sleep(service.every);
        if let Some(fail) = wait::interrupted() {
            bail!(fail);
        }
    }
}

/// That not all could be read, if that is so.
fn incomplete(report: &Report) -> Option<Fail> {
    let unread: Vec<String> = report.unread.iter().map(said).collect();
    let fail = || {
        Fail::new(Exit::Partial, format!("not all could be read:\n  {}", unread.join("\n  ")))
            .remedy("grant what the messages name (docs/operations.md has the rights of status); the rest is there")
    };
    (!unread.is_empty()).then(fail)
}

/// Reads all that is judged, page by page, whole kinds at once.
fn read(kubectl: &Kubectl, named: Option<&str>, config: &Status, step: &Step) -> Result<Read> {
    let mut unread = Vec::new();
    let mut note = |what: &'static str, skipped: Vec<Skipped>| {
        unread.extend(skipped.into_iter().map(|Skipped { namespace, reason }| Unread { what, namespace, reason }));
    };
    // Before the snapshots: one that is made meanwhile is no orphan.
    let contents = match kubectl.pages(|next| kubectl.target.page(CONTENTS, None, "", next), Stored::of, |_| ()) {
        Ok(contents) => Some(contents),
        Err(error) if error.is(Refusal::Forbidden) => {
            note("volumesnapshotcontents", vec![Skipped::of("", &error)]);
            None
        }
        Err(error) => return Err(error.into()),
    };
    // All of them: a snapshot without our labels still has its data.
    let mut survey = Survey::of(kubectl, named, &[""], |snapshot| Some(Backup::from(snapshot)), step)?;
    let skipped = std::mem::take(&mut survey.skipped);
    note("volumesnapshots", survey.narrowed.take().into_iter().chain(skipped).collect());
    let page = |place: Option<&str>, next: &Next| kubectl.target.page(CLAIMS, place, "", next);
    let (claims, skipped) = survey.also(kubectl, page, |claim: Pvc| Some(ClaimStatus::from(claim)))?;
    note("persistentvolumeclaims", skipped);
    let page = |place: Option<&str>, next: &Next| kubectl.target.page(CRON_JOBS, place, "", next);
    let both = |cronjob: Value| {
        let both = (Schedule::of(&cronjob), Schedule::of_exports(&cronjob));
        (both.0.is_some() || both.1.is_some()).then_some(both)
    };
    let (both, skipped) = survey.also(kubectl, page, both)?;
    note("cronjobs", skipped);
    let (schedules, exports): (Vec<_>, Vec<_>) = both.into_iter().unzip();
    let [schedules, exports]: [Vec<Schedule>; 2] = [schedules, exports].map(|all| all.into_iter().flatten().collect());
    let config_maps = config_maps(kubectl, &[&schedules[..], &exports].concat())?;
    let covers = |namespace: &str| survey.covers(namespace);
    let leftovers = contents.map(|contents| status::leftovers(contents, &survey.snapshots, covers));
    let (scope, snapshots) = (survey.scope, survey.snapshots);
    let require_exported = config.require_exported;
    Ok(Read { claims, schedules, exports, config_maps, leftovers, unread, scope, snapshots, require_exported })
}

/// What was not read, in words.
fn said(unread: &Unread) -> String {
    let Unread { what, namespace, reason } = unread;
    let place = if namespace.is_empty() { "of the cluster".into() } else { format!("of {namespace}") };
    format!("{what} {place}: {reason}")
}

fn text(report: &Report, wide: bool, all_namespaces: bool) -> String {
    let mut head = vec!["PVC", "CLAIM", "SCHEDULED", "NEWEST-READY", "AGE", "VERIFIED", "SNAPSHOTS"];
    // Only where copies are made.
    let is_exported = |claim: &Protection| claim.newest_exported.is_some() || claim.export_scheduled == Some(true);
    let exports = report.claims.iter().any(is_exported);
    if exports {
        head.insert(6, "EXPORTED");
    }
    if all_namespaces {
        head.insert(0, "NAMESPACE");
    }
    if wide {
        head.extend(["SIZE", "DUMP", "DATABASE", "CRONJOBS", "LAST-RUN"]);
    }
    head.push("NOTES");
    let mut text =
        table(&head, report.claims.iter().map(|claim| cells(claim, report, (wide, all_namespaces, exports))));
    let snapshot = |orphan: &Orphan| format!("{}/{}", orphan.namespace, orphan.volume_snapshot);
    if let Some(orphans) = report.orphaned_contents.as_ref().filter(|orphans| !orphans.is_empty()) {
        text.push_str(&format!("\nStored data without a VolumeSnapshot: {}\n", orphans.len()));
        let row = |orphan: &Orphan| {
            let policy = if orphan.clone { "a clone's" } else { orphan.deletion_policy.as_str() };
            [orphan.name.clone(), snapshot(orphan), policy.into(), age(report.asked - orphan.created)].to_vec()
        };
        text.push_str(&table(&["CONTENT", "WAS", "POLICY", "AGE"], orphans.iter().take(SHOWN).map(row)));
        text.push_str(&more(orphans.len()));
        text.push_str(
            "backup-ns rebind-vsc CONTENT brings one back, backup-ns delete-vsc CONTENT deletes one with its data\n",
        );
    }
    if let Some(superfluous) = report.superfluous_contents.as_ref().filter(|superfluous| !superfluous.is_empty()) {
        text.push_str(&format!("\nVolumeSnapshotContents that share the data of another: {}\n", superfluous.len()));
        let row = |one: &Superfluous| {
            let content = &one.content;
            [content.name.clone(), snapshot(content), one.shares_data_of.clone(), one.belongs_to.clone()].to_vec()
        };
        let rows = superfluous.iter().take(SHOWN).map(row);
        text.push_str(&table(&["CONTENT", "WAS", "DATA-OF", "SNAPSHOT"], rows));
        text.push_str(&more(superfluous.len()));
        text.push_str("backup-ns delete-vsc CONTENT --keep-data deletes that object alone; the data stays\n");
    }
    if !report.unfinished_deletions.is_empty() {
        text.push_str(&format!(
            "\nDeletions that were begun and not finished: {}\n",
            report.unfinished_deletions.len()
        ));
        let row = |one: &Unfinished| [one.namespace.clone(), one.volume_snapshot.clone()].to_vec();
        let rows = report.unfinished_deletions.iter().take(SHOWN).map(row);
        text.push_str(&table(&["NAMESPACE", "SNAPSHOT"], rows));
        text.push_str(&more(report.unfinished_deletions.len()));
        text.push_str(
            "backup-ns delete SNAPSHOT -n NAMESPACE finishes one; the next backup-ns mark-and-delete finishes what is due, and \
             lets go of the others, whose data stays\n",
        );
    }
    if !report.overdue.is_empty() {
        text.push_str(&format!("\nSnapshots that should be gone for days: {}\n", report.overdue.len()));
        let row =
            |one: &Overdue| [one.namespace.clone(), one.volume_snapshot.clone(), one.delete_after.clone()].to_vec();
        let rows = report.overdue.iter().take(SHOWN).map(row);
        text.push_str(&table(&["NAMESPACE", "SNAPSHOT", "DELETE-AFTER"], rows));
        text.push_str(&more(report.overdue.len()));
        text.push_str("see whether backup-ns mark-and-delete runs, and how it ends\n");
    }
    text
}

/// That not all of so many are shown.
fn more(number: usize) -> String {
    match number.saturating_sub(SHOWN) {
        0 => String::new(),
        left => format!("and {left} more, see -o json\n"),
    }
}

fn cells(claim: &Protection, report: &Report, (wide, all_namespaces, exports): (bool, bool, bool)) -> Vec<String> {
    let known = |answer: Option<bool>, yes: &str, no: &str| match answer {
        Some(true) => yes.to_string(),
        Some(false) => no.to_string(),
        None => "?".to_string(),
    };
    let seconds = |seconds: i64| age(chrono::TimeDelta::seconds(seconds));
    let ready = claim.newest_ready.as_ref();
    let counts = State::ALL.into_iter().filter(|state| claim.count(*state) > 0);
    let counts: Vec<String> = counts.map(|state| format!("{} {}", claim.count(state), state.word())).collect();
    let at_rest = match &claim.cron_jobs[..] {
        [] => "no",
        some if some.iter().any(|plan| plan.suspended) => "suspended",
        _ => "dry run",
    };
    let mut cells = if all_namespaces { vec![claim.namespace.clone()] } else { Vec::new() };
    cells.extend([
        claim.pvc.clone(),
        claim.phase.clone().unwrap_or_else(|| known(claim.exists, "", "missing")),
        known(claim.scheduled, "yes", at_rest),
        ready.map(|ready| ready.name.clone()).unwrap_or_default(),
        ready.map(|ready| seconds(ready.age_seconds)).unwrap_or_default(),
        claim
            .newest_verified
            .as_ref()
            .map(|verified| format!("{} ago", seconds(verified.age_seconds)))
            .unwrap_or_default(),
    ]);
    if exports {
        let exported = claim.newest_exported.as_ref();
        cells.push(exported.map(|exported| format!("{} old", seconds(exported.age_seconds))).unwrap_or_default());
    }
    cells.push(counts.join(", "));
    if wide {
        let dumps = ready.into_iter().flat_map(|ready| &ready.dumps);
        let sizes: Vec<String> = dumps.clone().map(|(_, dump)| report::bytes(dump.bytes)).collect();
        let servers: Vec<String> = dumps
            .map(|(engine, dump)| format!("{} {}", engine.command(), dump.server_version.as_deref().unwrap_or("?")))
            .collect();
        let plans = claim.cron_jobs.iter();
        let names: Vec<String> = plans.clone().map(|plan| format!("{} ({})", plan.name, plan.schedule)).collect();
        let last = plans.filter_map(|plan| plan.last_schedule).max();
        cells.extend([
            ready.and_then(|ready| ready.restore_size.clone()).unwrap_or_default(),
            sizes.join(" + "),
            servers.join(" + "),
            names.join(", "),
            last.map(|last| format!("{} ago", age(report.asked - last))).unwrap_or_default(),
        ]);
    }
    cells.push(claim.notes.join("; "));
    cells
}
