//! `create`: one backup, from the lock to the ready VolumeSnapshot.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::backup::databases;
use crate::backup::dump::{Dump, DumpRules, MadeDump};
use crate::backup::dump_path::with_dump_file;
use crate::backup::hooks::RunningHooks;
use crate::backup::observe::{Observed, observe};
use crate::backup::snapshots::{self, SnapshotSet};
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::watch::Watch;
use crate::cmd::{Conclusion, Context, now};
use crate::config::{Create, Database, DbValue, Global};
use crate::container;
use crate::container::session::Session;
use crate::core::backup::event::{self, EventSubject, News, Reason};
use crate::core::backup::globals::{self, GlobalsMode};
use crate::core::backup::manifest::Retain;
use crate::core::backup::pod::Chosen;
use crate::core::backup::preflight;
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::escape::{self, Secrets};
use crate::core::kube::calls::{CLAIMS, QUOTAS, SCRIPT, SNAPSHOT_CLASSES, SNAPSHOTS};
use crate::core::kube::objects::{ObjectList, Pvc, Readiness, Snapshot};
use crate::core::kube::quota;
use crate::core::plan::{self, PlanStep};
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending};
use crate::io::random;
use crate::io::report::{self, Reporter};

/// How long it may take in all to leave an Event.
const EVENT_TIME: Duration = Duration::from_secs(5);

/// How long the flush of a volume may take.
const FLUSH_TIME: Duration = Duration::from_secs(300);

/// Makes one backup.
///
/// # Errors
/// As the exit codes say; whatever happens, the last good dump stays until a proven one replaces it.
pub fn run(global: &Global, config: &Create, reporter: &Reporter) -> Result<Conclusion> {
    // Marks every line that comes back from a container, and tells this try from any other.
    let nonce = random::nonce();
    reporter.mark("try", &nonce);
    if let Some(run) = config.run_id.as_ref().or(global.own_pod.is_none().then_some(&nonce)) {
        reporter.mark("run", run);
    }
    let mut notice = Notice::new(global, config, &nonce);
    let outcome = make_backup(global, config, reporter, &mut notice);
    // Report the failure first: leaving the Event may be interrupted.
    let outcome = outcome.map_err(|error| error.fail());
    if let Err(fail) = &outcome {
        reporter.failure(fail);
    }
    let good = notice.good.get().cloned().unwrap_or_default();
    if config.events && !global.dry_run {
        notice.leave(&outcome, now());
    }
    outcome.map(|()| Conclusion { message: good.what, report: good.report }).map_err(|fail| fail.reported().into())
}

/// Makes it. `notice` knows what was made, whatever fails afterwards.
fn make_backup(global: &Global, config: &Create, reporter: &Reporter, notice: &mut Notice<'_>) -> Result<()> {
    let began = Instant::now();
    let secrets = config.secrets();
    let mut connect = || match &notice.kubectl {
        Some(kubectl) => Ok(Kubectl::clone(kubectl)),
        None => match Kubectl::connect(&global.asked, secrets.clone(), global.retry_timeout) {
            Ok(kubectl) => Ok(notice.kubectl.insert(kubectl).clone()),
            Err(fail) => {
                notice.hopeless = true;
                Err(fail)
            }
        },
    };
    let _lock = match &config.locks {
        Some(locks) if !global.dry_run => Some(reporter.step("lock", |_| {
            let held = locks.acquire(&global.holder, &mut connect)?;
            let what = format!("{} after {}", held.name, report::seconds(held.waited));
            Ok((held, what))
        })?),
        _ => None,
    };
    // The slots are those of the begin, however long the dump takes.
    let now = now();
    let names = names(config, global, now)?;
    let context = Context { global, config, reporter, kubectl: connect()?, began };
    let (kubectl, nonce) = (&context.kubectl, notice.nonce);
    let observed = reporter.step("observe", |_| observe(kubectl, config, global.own_pod.as_deref()))?;
    notice.claims = observed.about.clone();
    if let Some(class) = config.class.as_ref().filter(|class| global.dry_run || !has_cut(class, &observed.snapshots)) {
        find_class(kubectl, class)?;
    }
    let rules = DumpRules {
        pvc: config.pvcs.first().map(String::as_str).unwrap_or_default(),
        threshold_percent: config.threshold_percent,
        busy_timeout: config.busy_timeout,
        dump_timeout: config.dump_timeout,
        holder: &global.holder,
        nonce,
    };
    let run = observed.run_id.clone().unwrap_or_else(|| nonce.into());
    reporter.mark("run", &run);
    let cut = SnapshotSet { kubectl, config, now, zone: global.zone, run, names, claims: &observed.claims };
    let run = BackupRun { context: &context, cut, nonce, good: &notice.good };
    let prepare = |(database, chosen): (_, &Chosen)| Dump::prepare(kubectl, reporter, database, chosen.clone(), rules);
    let placed = place(kubectl, config, &observed, nonce)?;
    let dumps: Vec<Dump<'_>> =
        placed.iter().map(|(database, chosen)| prepare((database, chosen))).collect::<Result<_, _>>()?;
    check_together(&dumps)?;
    if global.dry_run {
        run.foresee(&observed.snapshots)?;
        return run.show_plan(&dumps, &observed.mounters);
    }
    if let Some(earlier) = run.adopt(observed.earlier.clone(), &dumps)? {
        return run.await_ready(earlier.watches, &earlier.dumps, Duration::ZERO);
    }
    run.foresee(&observed.snapshots)?;
    run.back_up(dumps, &observed)
}

/// The databases to dump, each with its dump file and the container that it is dumped in.
fn place<'a>(
    kubectl: &Kubectl,
    config: &Create,
    observed: &'a Observed,
    nonce: &str,
) -> Result<Vec<(Database, &'a Chosen)>> {
    let mut placed = Vec::new();
    for (database, chosen) in config.databases.iter().zip(&observed.chosen) {
        let first = with_dump_file(kubectl, database, chosen, nonce)?;
        placed.extend(
            databases::one_per_database(kubectl, &first, chosen, nonce)?.into_iter().map(|database| (database, chosen)),
        );
    }
    databases::check_files(placed.iter().map(|(database, chosen)| (database, *chosen)))?;
    Ok(placed)
}

/// Makes the dumps. Of several, none replaces its last one before all of them are whole.
///
/// # Errors
/// One of them fails; of several, the error names its database.
fn make(dumps: &mut [Dump<'_>]) -> Result<Vec<MadeDump>> {
    if let [only] = dumps {
        return Ok(vec![only.make()?]);
    }
    let named = |dump: &Dump<'_>, error: anyhow::Error| match error.is_signal() {
        true => error,
        false => error.context(format!("database {}", dump.preflight.database)),
    };
    let make = |dump: &mut Dump<'_>| dump.make_whole().map_err(|error| named(dump, error));
    let mut all = dumps.iter_mut().map(make).collect::<Result<Vec<MadeDump>>>()?;
    // A session may have ended while others were dumping: then none is renamed.
    for dump in dumps.iter_mut() {
        dump.check_waits().map_err(|error| named(dump, error))?;
    }
    dumps.iter_mut().for_each(Dump::start_to_place);
    for (dump, made) in dumps.iter_mut().zip(&mut all) {
        dump.place(made).map_err(|error| named(dump, error))?;
    }
    Ok(all)
}

/// What no preflight sees by itself: whether two dumps would be of one database, and whether all have room.
fn check_together(dumps: &[Dump<'_>]) -> Result<()> {
    for (at, dump) in dumps.iter().enumerate() {
        let of = |dump: &Dump<'_>| (dump.database.engine, dump.preflight.database.clone());
        if dumps[..at].iter().any(|other| of(other) == of(dump)) {
            let (engine, name) = of(dump);
            bail!(
                Fail::new(Exit::Precondition, format!("{}_DB names the database {name} twice", engine.setting()))
                    .remedy(format!("name it once: the variable of the container is {name}, too"))
            );
        }
    }
    let last: Vec<u64> = dumps.iter().map(|dump| dump.preflight.old_bytes.unwrap_or_default()).collect();
    // They are all on the claim that is snapshotted.
    let free = dumps.iter().map(|dump| dump.site.available_bytes).min().unwrap_or_default();
    preflight::check_room(&last, free).map_err(|it| Fail::new(Exit::Precondition, it.what).remedy(it.remedy))?;
    Ok(())
}

/// Whether the last snapshot that asked for this class was cut: then the class is there, and need not be looked for each night.
fn has_cut(class: &str, snapshots: &[Snapshot]) -> bool {
    let asked = |snapshot: &&Snapshot| snapshot.spec.volume_snapshot_class_name.as_deref() == Some(class);
    let last = snapshots.iter().filter(asked).max_by_key(|snapshot| snapshot.metadata.creation_timestamp);
    last.is_some_and(|snapshot| matches!(snapshot.readiness(), Readiness::Cut | Readiness::Ready))
}

/// Looks for the VolumeSnapshotClass, without which a snapshot is never cut. Who may not look takes it to be there: classes are
/// the cluster's, and few Roles of a namespace show them.
fn find_class(kubectl: &Kubectl, class: &str) -> Result<()> {
    match kubectl.get::<IgnoredAny>(SNAPSHOT_CLASSES, class) {
        Err(error) if error.is(Refusal::NotFound) => {
            bail!(Fail::new(Exit::Precondition, format!("there is no VolumeSnapshotClass '{class}'"))
                .remedy("set BAK_VS_CLASS_NAME (--vs-class-name) to one of kubectl get volumesnapshotclasses, or leave it unset for the cluster's default"))
        }
        Err(error) if !error.is(Refusal::Forbidden) => Err(error.into()),
        _ => Ok(()),
    }
}

/// The names of the snapshots, in the order of the claims.
///
/// # Errors
/// The template makes no valid name, or one name for two claims.
pub(super) fn names(config: &Create, global: &Global, now: DateTime<Utc>) -> Result<Vec<String>> {
    let rand = config.rand.clone().unwrap_or_else(|| random::letters(6));
    let remedy = "correct BAK_VS_NAME_TEMPLATE (--vs-name-template) or BAK_VS_RAND (--vs-rand)";
    let render = |pvc: &String| config.template.render(pvc, now, global.zone, &rand);
    let names: Result<Vec<String>, String> = config.pvcs.iter().map(render).collect();
    let names = names.map_err(|why| Fail::new(Exit::Usage, why).remedy(remedy))?;
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    if sorted.len() < names.len() {
        let what = format!("the snapshots of {} would have one name: {}", config.pvcs.join(", "), sorted.join(", "));
        bail!(Fail::new(Exit::Usage, what).remedy("put {{ .pvcName }} into BAK_VS_NAME_TEMPLATE"));
    }
    Ok(names)
}

struct BackupRun<'a> {
    context: &'a Context<'a, Create>,
    cut: SnapshotSet<'a>,
    /// Marks every line of this run's reports.
    nonce: &'a str,
    /// What it has made, once that is so.
    good: &'a OnceCell<Good>,
}

/// Snapshots of an earlier try that are good, and the proofs of what they hold.
struct Earlier<'a> {
    watches: Vec<Watch<'a>>,
    dumps: Vec<(Engine, Proof)>,
}

impl<'a> BackupRun<'a> {
    /// Asks whether the API would take the snapshots, before a dump is made for them. `there` are the namespace's snapshots.
    ///
    /// # Errors
    /// It would not.
    fn foresee(&self, there: &[Snapshot]) -> Result<()> {
        self.context.reporter.step("preflight", |_| {
            let names = self.cut.names.join(", ");
            let before = |error: anyhow::Error| match error.is_signal() {
                true => error,
                false => error.context("no dump was made"),
            };
            match self.cut.dry_run(&self.cut.planned(&[], there)) {
                Ok(Some(words)) => return Ok(((), format!("the API cannot tell beforehand: {words}"))),
                // It may be this run's own, or be free by the time.
                Err(error) if !error.is(Refusal::AlreadyExists) => {
                    bail!(before(snapshots::refused(&error).into()));
                }
                _ => {}
            }
            self.room().map_err(before)?;
            Ok(((), format!("the API would take {names}")))
        })
    }

    /// Whether a quota leaves room for all snapshots of a backup of several claims: each was tried by itself. Who may not read
    /// quotas takes it to be so.
    fn room(&self) -> Result<()> {
        let (kubectl, wanted) = (&self.context.kubectl, self.cut.names.len());
        if wanted < 2 {
            return Ok(());
        }
        let quotas: Vec<Value> = match kubectl.json::<ObjectList<Value>>(&kubectl.target.list(QUOTAS, "")) {
            Ok(list) => list.items,
            Err(error) if error.is(Refusal::Forbidden) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match quota::too_small_for(&quotas, wanted) {
            Some((name, left)) => bail!(Fail::new(
                Exit::Precondition,
                format!(
                    "the ResourceQuota {name} leaves room for {left} VolumeSnapshots, and this backup makes {wanted}"
                ),
            )
            .remedy("raise it, or delete snapshots that are not needed (backup-ns list)")),
            None => Ok(()),
        }
    }

    /// From the dumps to the ready snapshots.
    fn back_up(&self, dumps: Vec<Dump<'_>>, observed: &Observed) -> Result<()> {
        let hooked_in = observed.chosen.first().or(observed.mounters.first());
        let mut hooks =
            RunningHooks::run_pre(&self.context.kubectl, hooked_in, &self.context.config.hooks, self.nonce)?;
        // However it ends, the dumps have ended before the hook after runs.
        self.between(dumps, observed, &mut hooks)
    }

    fn between(&self, mut dumps: Vec<Dump<'_>>, observed: &Observed, hooks: &mut RunningHooks<'_>) -> Result<()> {
        let made = make(&mut dumps)?;
        let prove = |(dump, made): (&Dump<'_>, &MadeDump)| Ok((dump.database.engine, dump.recheck(made)?));
        let proofs: Vec<(Engine, Proof)> = dumps.iter().zip(&made).map(prove).collect::<Result<_>>()?;
        let proofs = Proof::grouped(proofs);
        if dumps.is_empty() || !observed.mounters.is_empty() {
            self.flush(&observed.mounters)?;
        }
        let created = self.snapshot(&proofs)?;
        let mut watches = self.watches(created);
        self.await_cut(&mut watches)?;
        let hooked = hooks.run_post();
        // From here on others may replace the dumps.
        let then = format!("do not trust VolumeSnapshot {}", self.cut.names[0]);
        let released: Vec<_> = dumps.into_iter().zip(&made).map(|(dump, made)| dump.release(made, &then)).collect();
        released.into_iter().collect::<Result<Vec<()>>>().map_err(|error| {
            let holder: Vec<Snapshot> = watches.iter().take(1).map(|watch| watch.snapshot.clone()).collect();
            self.cut.distrust(&holder, error.fail())
        })?;
        self.await_ready(watches, &proofs, made.iter().map(|made| made.took).sum())?;
        hooked.map_err(|error| {
            let fail = error.fail();
            let remedy = format!("{}; the backup itself is done", fail.remedy);
            fail.remedy(remedy)
        })?;
        Ok(())
    }

    fn watches(&self, snapshots: Vec<Snapshot>) -> Vec<Watch<'a>> {
        let watch = |snapshot| Watch::of(&self.context.kubectl, snapshot, self.context.config.ready_timeout);
        snapshots.into_iter().map(watch).collect()
    }

    fn await_cut(&self, watches: &mut [Watch<'_>]) -> Result<()> {
        self.context.reporter.step("cut", |step| {
            let mut times = Vec::new();
            for watch in watches {
                watch.until("cut", step, |readiness| matches!(readiness, Readiness::Cut | Readiness::Ready))?;
                let at =
                    watch.snapshot.status.creation_time.map(|time| self.context.global.zone.local(time).to_rfc3339());
                times.push(at.unwrap_or_else(|| "an unknown time".into()));
            }
            Ok(((), format!("at {}", times.join(", "))))
        })
    }

    /// Waits until all of them are ready, if that is wanted, and says what came of it.
    fn await_ready(&self, mut watches: Vec<Watch<'_>>, dumps: &[(Engine, Proof)], dumped: Duration) -> Result<()> {
        if self.context.config.wait_until_ready {
            self.context.reporter.step("ready", |step| {
                let mut contents = Vec::new();
                for watch in &mut watches {
                    watch.until("ready", step, |readiness| *readiness == Readiness::Ready)?;
                    contents.extend(watch.snapshot.status.bound_volume_snapshot_content_name.clone());
                }
                Ok(((), contents.join(", ")))
            })?;
        }
        let snapshots: Vec<&Snapshot> = watches.iter().map(|watch| &watch.snapshot).collect();
        let names: Vec<&str> = snapshots.iter().map(|snapshot| snapshot.metadata.name.as_str()).collect();
        let ready = snapshots.iter().all(|snapshot| snapshot.readiness() == Readiness::Ready);
        let dump = match dumps.iter().fold(0, |sum: u64, (_, proof)| sum.saturating_add(proof.all_bytes())) {
            0 => String::new(),
            bytes => format!(", with a dump of {}", report::bytes(bytes)),
        };
        let (what, took) = (if ready { "ready" } else { "cut" }, report::seconds(self.context.began.elapsed()));
        let what = format!("VolumeSnapshot {} is {what} after {took}{dump}", names.join(", "));
        let result = self.result(&snapshots, dumps, dumped);
        // A summary that cannot be printed does not fail the backup.
        let _ = self.good.set(Good { ready, what, report: json!(result) });
        self.context.show(&result, || result.as_ref().map(BackupResult::text).unwrap_or_default())
    }

    /// Goes on with the snapshots of an earlier try of this run, if they hold what is proven: if the dump that their
    /// proof is of is still the file's, it was the file's when they were cut. Otherwise this try makes its own.
    fn adopt(&self, earlier: Vec<Snapshot>, dumps: &[Dump<'_>]) -> Result<Option<Earlier<'a>>> {
        if earlier.is_empty() {
            return Ok(None);
        }
        let mut proofs = Vec::new();
        for dump in dumps {
            let engine = dump.database.engine;
            let proof = earlier[0].metadata.annotations.get(engine.annotation());
            let proof = proof.and_then(|text| serde_json::from_str::<Proof>(text).ok());
            let of_it =
                |proof: &&Proof| proof.file == dump.database.dump_file && proof.database == dump.preflight.database;
            let proof = proof.as_ref().and_then(|proof| proof.all().find(of_it));
            let Some(proof) = proof else { return Ok(None) };
            proofs.push((engine, Proof { more: Vec::new(), ..proof.clone() }));
        }
        let names: Vec<&str> = earlier.iter().map(|snapshot| snapshot.metadata.name.as_str()).collect();
        tracing::info!("an earlier try of this run made {}, looking at what it holds", names.join(", "));
        let mut watches = self.watches(earlier);
        self.await_cut(&mut watches)?;
        for (dump, (_, proof)) in dumps.iter().zip(&proofs) {
            if !dump.is_still(proof)? {
                tracing::info!("the dump was replaced since, making a new backup");
                return Ok(None);
            }
        }
        Ok(Some(Earlier { watches, dumps: Proof::grouped(proofs) }))
    }

    /// Flushes volumes wherever a running pod mounts them. A container that cannot do that is named in a warning, and no reason to
    /// go without a snapshot: nothing in it was promised to be whole.
    fn flush(&self, mounters: &[Chosen]) -> Result<()> {
        self.context.reporter.step("flush", |_| {
            let mut flushed = 0;
            for chosen in mounters {
                let mut values = vec![chosen.mounts.len().to_string()];
                values.extend(chosen.mounts.iter().map(|mount| mount.mount_path.clone()));
                let flush = || {
                    let mut session =
                        Session::start(&self.context.kubectl, chosen, container::FLUSH, self.nonce, &values)?;
                    session.until("end", FLUSH_TIME, |_, _| ())
                };
                match self.context.kubectl.patiently(flush) {
                    Ok(_) => flushed += 1,
                    Err(error) if matches!(error.ending, Ending::Signal(_) | Ending::OutOfTime(_)) => {
                        return Err(error.into());
                    }
                    Err(error) => tracing::warn!(
                        "pod {} could not flush the volume; the snapshot may lack what it wrote last: {error}",
                        chosen.pod
                    ),
                }
            }
            Ok((
                (),
                format!("what holds no dump, flushed by {flushed} of {} mounting it", counted(mounters.len(), "pod")),
            ))
        })
    }

    /// Creates the VolumeSnapshots.
    fn snapshot(&self, dumps: &[(Engine, Proof)]) -> Result<Vec<Snapshot>> {
        self.context.reporter.step("snapshot", |_| {
            let planned = self.cut.plan(dumps)?;
            let created = self.cut.create(&planned)?;
            let said = planned.iter().map(|planned| match self.context.config.retain {
                Retain::Days(days) => format!("{}, retained for {}", planned.name, counted(days, "day")),
                Retain::DailyWeeklyMonthly => format!("{}, slots {}", planned.name, planned.slots_text()),
            });
            Ok((created, said.collect::<Vec<_>>().join("; ")))
        })
    }

    /// The plan: the very calls and the very manifest that a run would make.
    fn show_plan(&self, dumps: &[Dump<'_>], mounters: &[Chosen]) -> Result<()> {
        let (config, target) = (self.context.config, &self.context.kubectl.target);
        let steps = self.plan(dumps, mounters)?;
        let result = json!({"dryRun": true, "namespace": target.namespace, "pvc": config.pvcs[0], "steps": steps});
        self.context.show(&result, || {
            format!(
                "Dry run: nothing was changed. Backup of PVC {} in {}{}:\n{}",
                config.pvcs.join(", "),
                target.namespace,
                dumps.first().map(|dump| format!(", {} % full", dump.site.used_percent)).unwrap_or_default(),
                plan::text(&steps)
            )
        })
    }

    fn plan(&self, dumps: &[Dump<'_>], mounters: &[Chosen]) -> Result<Vec<PlanStep>> {
        let (config, target) = (self.context.config, &self.context.kubectl.target);
        let planned = self.cut.plan(&[])?;
        let exec = |at: &Chosen| target.exec(&at.pod, &at.container, SCRIPT);
        let mut steps = Vec::new();
        if let Some(locks) = &config.locks {
            steps.push(locks.step(target));
        }
        if !config.hooks.pre.is_empty() {
            steps.push(PlanStep::new("Run BAK_HOOK_PRE in the database's container, or where the volume is mounted"));
        }
        for dump in dumps {
            let at = format!("pod {}, container {}", dump.chosen.pod, dump.chosen.container);
            steps.push(
                PlanStep::new(format!("In {at}: check tools, database, path and space (done just now)"))
                    .kubectl(&exec(&dump.chosen)),
            );
            steps.push(
                PlanStep::new(format!(
                    "Dump into a temporary file, prove it meanwhile, flush it, rename it to {}",
                    dump.database.dump_file
                ))
                .command(command(dump)),
            );
            steps.extend(globals_step(dump));
        }
        for dump in dumps {
            steps.push(
                PlanStep::new("Look at the file again through another stream, and flush its file system")
                    .kubectl(&exec(&dump.chosen)),
            );
        }
        for mounter in mounters {
            let what = format!("Flush the volume in pod {}", mounter.pod);
            steps.push(PlanStep::new(what).kubectl(&exec(mounter)));
        }
        for planned in &planned {
            let held = planned.held();
            let held = if held.is_empty() { String::new() } else { format!(" ({})", held.join(", ")) };
            steps.push(
                PlanStep::new(format!("Create the VolumeSnapshot {}{held}", planned.name))
                    .kubectl(&target.create(SNAPSHOTS))
                    .manifest(planned.manifest.clone()),
            );
        }
        let goal = if config.wait_until_ready { "ready" } else { "cut" };
        let limit = humantime::format_duration(config.ready_timeout);
        for planned in &planned {
            steps.push(
                PlanStep::new(format!("Wait until it is {goal}, up to {limit}")).kubectl(&target.watch_snapshot(
                    &planned.name,
                    None,
                    config.ready_timeout,
                )),
            );
        }
        if !config.hooks.post.is_empty() {
            steps.push(PlanStep::new("Run BAK_HOOK_POST there once it is cut, and whatever else happens"));
        }
        Ok(steps)
    }

    /// What `create` says at its end; there is at least one claim.
    fn result<'b>(
        &'b self,
        snapshots: &[&Snapshot],
        dumps: &'b [(Engine, Proof)],
        dumped: Duration,
    ) -> Option<BackupResult<'b>> {
        let of = |(pvc, snapshot): (&'b String, &&Snapshot)| One {
            pvc,
            volume_snapshot: snapshot.metadata.name.clone(),
            volume_snapshot_content: snapshot.status.bound_volume_snapshot_content_name.clone(),
            creation_time: snapshot.status.creation_time,
            ready: snapshot.readiness() == Readiness::Ready,
            restore_size: snapshot.status.restore_size.clone(),
            labels: snapshot.metadata.labels.clone(),
        };
        let mut all = self.context.config.pvcs.iter().zip(snapshots).map(of);
        Some(BackupResult {
            namespace: &self.context.kubectl.target.namespace,
            first: all.next()?,
            others: all.collect(),
            dumps: dumps.iter().map(|(engine, proof)| (*engine, proof)).collect(),
            dump_seconds: report::rounded(dumped),
            seconds: report::rounded(self.context.began.elapsed()),
        })
    }
}

/// A backup that was made.
#[derive(Debug, Clone, Default)]
struct Good {
    /// Whether it is ready.
    ready: bool,
    /// What it is, in a line.
    what: String,
    /// The result, as `-o json` prints it.
    report: Value,
}

/// What is known for the Event at the end.
struct Notice<'a> {
    global: &'a Global,
    config: &'a Create,
    nonce: &'a str,
    kubectl: Option<Kubectl>,
    /// Whether there is no cluster to leave it in.
    hopeless: bool,
    claims: Vec<EventSubject>,
    /// The backup, once there is one.
    good: OnceCell<Good>,
}

impl<'a> Notice<'a> {
    fn new(global: &'a Global, config: &'a Create, nonce: &'a str) -> Notice<'a> {
        Notice { global, config, nonce, kubectl: None, hopeless: false, claims: Vec::new(), good: OnceCell::new() }
    }

    /// Leaves an Event on the claims. Whether it can is of no account for how the backup came out.
    fn leave(self, outcome: &Result<(), Fail>, now: DateTime<Utc>) {
        let failure = match outcome {
            Err(_) if self.hopeless => return,
            Err(fail) if fail.remedy.is_empty() => Some(fail.what.clone()),
            Err(fail) => Some(format!("{}; remedy: {}", fail.what, fail.remedy)),
            Ok(()) => None,
        };
        let (reason, good) = match self.good.get() {
            Some(Good { ready: true, what, .. }) => (Reason::Ready, Some(what.clone())),
            Some(Good { what, .. }) => (Reason::Cut, Some(what.clone())),
            None => (Reason::Failed, None),
        };
        let failed = failure.is_some();
        let message = good.into_iter().chain(failure).collect::<Vec<_>>().join("; but ");
        let news = News { reason, failed, message: &message };
        // Even after a signal, because an interrupted backup matters most. A second signal ends the program.
        if let Err(error) = process::within(EVENT_TIME, || self.write(news, now)) {
            tracing::warn!("no Event was left on the PVC: {error:#}");
        }
    }

    fn write(self, news: News<'_>, now: DateTime<Utc>) -> Result<()> {
        let mut kubectl = match self.kubectl {
            Some(kubectl) => kubectl,
            None => Kubectl::connect(&self.global.asked, Secrets::default(), Duration::ZERO)?,
        };
        kubectl.target.request_timeout = kubectl.target.request_timeout.min(EVENT_TIME);
        kubectl.retry_timeout = Duration::ZERO;
        let mut claims = self.claims;
        if claims.is_empty() {
            // kubectl describe shows an Event only with the uid of its object. A claim that is not there may be the very reason.
            let there = match kubectl.all::<Pvc, ObjectList<Pvc>>(&[CLAIMS]) {
                Ok(list) => list.items,
                Err(error) if error.is(Refusal::Forbidden) => Vec::new(),
                Err(error) if matches!(error.refusal(), Refusal::NoContext | Refusal::Unauthenticated) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let uid = |name: &String| there.iter().find(|claim| claim.metadata.name == *name);
            let about = |name: &String| EventSubject {
                name: name.clone(),
                uid: uid(name).map(|claim| claim.metadata.uid.clone()).unwrap_or_default(),
            };
            claims = self.config.pvcs.iter().map(about).collect();
        }
        let news = News { message: &kubectl.secrets.mask(news.message), ..news };
        let who = (&self.nonce[..16], self.global.holder.as_str());
        let list = event::manifest(&kubectl.target.namespace, &claims, news, who, now).to_string();
        match kubectl.act(&kubectl.target.create_events(), &list) {
            // There may be no such namespace.
            Err(error) if [Refusal::Forbidden, Refusal::NotFound].contains(&error.refusal()) => {
                tracing::debug!("no Event was left on the PVC: {error}");
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }
}

/// What `create` says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BackupResult<'a> {
    namespace: &'a str,
    /// The snapshot that holds the dumps.
    #[serde(flatten)]
    first: One<'a>,
    /// Those of further claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<One<'a>>,
    /// The dumps that it holds, by kind of database.
    dumps: BTreeMap<Engine, &'a Proof>,
    /// How long the dumps took, with their proofs from the stream.
    dump_seconds: f64,
    /// How long all of it took.
    seconds: f64,
}

/// One snapshot.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    pvc: &'a str,
    volume_snapshot: String,
    volume_snapshot_content: Option<String>,
    creation_time: Option<DateTime<Utc>>,
    ready: bool,
    restore_size: Option<String>,
    labels: BTreeMap<String, String>,
}

impl BackupResult<'_> {
    fn text(&self) -> String {
        let all = || std::iter::once(&self.first).chain(&self.others);
        let pvcs: Vec<&str> = all().map(|one| one.pvc).collect();
        let mut text =
            format!("Backup of PVC {} in {} is done in {:.1}s\n", pvcs.join(", "), self.namespace, self.seconds);
        for one in all() {
            let ready = if one.ready { "ready" } else { "cut, not ready yet" };
            text.push_str(&format!("  snapshot  {} ({ready})\n", one.volume_snapshot));
        }
        for dump in self.dumps.values().flat_map(|proof| proof.all()) {
            let Proof { file, bytes, sha256, tool, .. } = dump;
            text.push_str(&format!("  dump      {file}, {bytes} bytes, SHA-256 {sha256}\n  tool      {tool}\n"));
        }
        let label = |(key, value): (&String, &String)| format!("{}={value}", key.trim_start_matches("backup-ns.sh/"));
        let labels: Vec<String> = self.first.labels.iter().map(label).collect();
        text.push_str(&format!("  labels    {}\n", labels.join(" ")));
        text
    }
}

/// The step that writes the server's roles, if they are wanted.
pub(super) fn globals_step(dump: &Dump<'_>) -> Option<PlanStep> {
    let Database { engine, dump_file, globals, .. } = dump.database;
    let unless = match globals {
        GlobalsMode::Off => return None,
        GlobalsMode::Auto => ", if that can be done",
        GlobalsMode::Required => "",
    };
    Some(PlanStep::new(format!(
        "Write the server's {}s to {dump_file}.globals-HASH.sql{unless}",
        globals::noun(*engine)
    )))
}

/// What the container's script runs, for people to read.
pub(super) fn command(dump: &Dump<'_>) -> String {
    let database = dump.database;
    let shown = |value: &DbValue| match value {
        DbValue::Literal(text) => escape::word(text),
        DbValue::Variable(name) => format!("${name}"),
    };
    let (user, name) = (shown(&database.user), shown(&database.database));
    let password = match &database.password {
        DbValue::Literal(_) => escape::MASK.to_string(),
        variable => shown(variable),
    };
    let (host, port, compressor) = (&database.host, database.port, &dump.preflight.compressor);
    match database.engine {
        Engine::Postgres => format!(
            "PGHOST={host} PGPORT={port} PGUSER={user} PGPASSWORD={password} PGDATABASE={name} \
             pg_dump --no-password --format=plain --clean --if-exists | {compressor} -c"
        ),
        Engine::MySql => format!(
            "mysqldump --defaults-file=<host={host} port={port} user={user} password={password}> \
             --default-character-set={} --single-transaction --quick --routines --events --triggers --hex-blob \
             --max-allowed-packet=1G -- {name} | {compressor} -c",
            database.charset.as_deref().unwrap_or_default()
        ),
    }
}
