//! Makes one dump in one container, from the preflight to the release of the dump lock: runs a session and reads its reports. Must
//! not know what the dump is for.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::config::{Database, DbValue};
use crate::container;
use crate::container::session::{self, Lost, Session};
use crate::core::backup::compression::Compression;
use crate::core::backup::globals::{self, GlobalsMode};
use crate::core::backup::pod::Chosen;
use crate::core::backup::preflight::{self, PreflightReport, Problem, Requirements, Site};
use crate::core::backup::proof::{DumpReport, Proof};
use crate::core::backup::tool_error::ToolError;
use crate::core::engine::Engine;
use crate::core::escape;
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::process::{Ending, ProcessError};
use crate::io::report::{self, Reporter, Step};

/// How long to wait for a line before checking for signals.
const SOON: Duration = Duration::from_secs(1);

/// How long a session may take for an answer that needs no work.
const ANSWER: Duration = Duration::from_secs(45);

/// The settings of a dump besides its database.
#[derive(Debug, Clone, Copy)]
pub struct DumpRules<'a> {
    /// The PVC that the dump must be on.
    pub pvc: &'a str,
    /// From how many percent on the volume is too full; more than 100 if no space is needed.
    pub threshold_percent: u8,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// How long the dump may take; `None` for no limit.
    pub dump_timeout: Option<Duration>,
    /// This run, as shown to others who wait for the dump lock.
    pub holder: &'a str,
    /// The first word of every line that the session reports.
    pub nonce: &'a str,
}

/// A script that runs under session.sh.
#[derive(Debug, Clone, Copy)]
pub struct SessionScript<'a> {
    pub text: &'a str,
    /// Its values behind those of the session.
    pub more: &'a [String],
}

impl<'a> SessionScript<'a> {
    /// A script without more values.
    pub fn of(text: &'a str) -> SessionScript<'a> {
        SessionScript { text, more: &[] }
    }
}

impl DumpRules<'_> {
    /// Judges a preflight report of the container that was chosen for this database.
    ///
    /// # Errors
    /// The problems, at least one.
    pub fn assess(&self, report: &PreflightReport, database: &Database, chosen: &Chosen) -> Result<Site, Vec<Problem>> {
        let required = Requirements {
            engine: database.engine,
            mounts: &chosen.mounts,
            pvc: self.pvc,
            file: &database.dump_file,
            threshold_percent: self.threshold_percent,
            globals: database.globals,
        };
        preflight::assess(report, &required)
    }
}

/// A dump whose container passed the preflight.
pub struct Dump<'a> {
    kubectl: &'a Kubectl,
    reporter: &'a Reporter,
    pub database: &'a Database,
    rules: DumpRules<'a>,
    /// The pod and container that it is made in.
    pub chosen: Chosen,
    /// The container's report.
    pub preflight: PreflightReport,
    /// Where the dump file goes, as judged from the preflight.
    pub site: Site,
    session: Session,
    /// The session of the recheck, which waits for the path of the file.
    recheck_session: RefCell<Option<Session>>,
}

/// A dump that was made and proven.
#[derive(Debug, Clone, Default)]
pub struct MadeDump {
    pub report: DumpReport,
    /// How long the dump took, with its proof from the stream.
    pub took: Duration,
}

impl<'a> Dump<'a> {
    /// Starts the session and runs the preflight; nothing is changed yet.
    ///
    /// # Errors
    /// One error with everything that a dump needs and that is missing.
    pub fn prepare(
        kubectl: &'a Kubectl,
        reporter: &'a Reporter,
        database: &'a Database,
        chosen: Chosen,
        rules: DumpRules<'a>,
    ) -> Result<Dump<'a>> {
        reporter.step("check", |_| {
            let script = SessionScript::of(container::dump(database.engine));
            let (session, report, site) = start_session(kubectl, database, &chosen, rules, script)?;
            let free = report::bytes(site.available_bytes);
            let PreflightReport { tool, compressor, database: name, .. } = &report;
            if !report.unsteady.is_empty() {
                tracing::warn!(
                    "not of one moment in the dump, because only InnoDB's tables are held still: {}",
                    report.unsteady.join(", ")
                );
            }
            for Problem { what, remedy, .. } in report
                .unseen()
                .into_iter()
                .chain(report.caveat_warnings())
                .chain(report.empty(database.engine))
                .chain(report.other_format())
            {
                tracing::warn!("{what}; {remedy}");
            }
            if let Some(kind) = report.follower(database.engine) {
                tracing::info!(
                    "the server is {kind}: the dump holds what it has replayed, and the snapshot is of PVC {}, where the dump is",
                    rules.pvc
                );
            }
            let what =
                format!("{tool}, {compressor}, database {name}, volume {} % full, {free} free", site.used_percent);
            Ok((
                Dump {
                    kubectl,
                    reporter,
                    database,
                    rules,
                    chosen,
                    preflight: report,
                    site,
                    session,
                    recheck_session: RefCell::default(),
                },
                what,
            ))
        })
    }

    /// Makes the dump, and checks what the container reports of it.
    ///
    /// # Errors
    /// Another backup holds the dump lock, or the dump failed or was not proven. The last good dump is untouched then.
    pub fn make(&mut self) -> Result<MadeDump> {
        let reporter = self.reporter;
        reporter.step("dump", |step| {
            self.session.tell(&format!("dump {}", self.database.globals.word()));
            let mut made = MadeDump::default();
            self.follow(&mut made, "proven", session::UNTOUCHED, step)?;
            let (bytes, with) = self.check(&made)?;
            let what = format!("{bytes} dumped in {}, proven and flushed{with}", report::seconds(made.took));
            Ok((made, what))
        })
    }

    /// Makes the dump, but leaves it beside the last one until [`Dump::place`].
    ///
    /// # Errors
    /// As [`Dump::make`].
    pub fn make_whole(&mut self) -> Result<MadeDump> {
        let reporter = self.reporter;
        reporter.step("dump", |step| {
            self.session.tell(&format!("dump {} later", self.database.globals.word()));
            let mut made = MadeDump::default();
            let bytes = self
                .follow(&mut made, "whole", session::UNTOUCHED, step)?
                .trim()
                .parse()
                .map(report::bytes)
                .unwrap_or_default();
            let name = &self.preflight.database;
            let what =
                format!("{bytes} of database {name} dumped in {}, whole and flushed", report::seconds(made.took));
            Ok((made, what))
        })
    }

    /// Checks that the session of a dump that is whole still waits, as far as its reports say.
    ///
    /// # Errors
    /// It ended.
    pub fn check_waits(&mut self) -> Result<()> {
        let state = session::UNTOUCHED;
        while let Some(line) = self.session.next(Duration::ZERO).map_err(|it| session::fail(&it, Exit::Dump, state))? {
            if line.key == "lost" {
                bail!(given_up(&mut self.session, &line.value, &self.preflight, self.database.engine));
            }
        }
        Ok(())
    }

    /// Has the session rename a dump that is whole. [`Dump::place`] waits for that.
    pub fn start_to_place(&mut self) {
        self.session.tell("place");
    }

    /// Waits until a dump that is whole has replaced the last one, and checks what the container reports of it.
    ///
    /// # Errors
    /// It is not in place, or was not proven.
    pub fn place(&mut self, made: &mut MadeDump) -> Result<()> {
        let reporter = self.reporter;
        reporter.step("rename", |step| {
            self.follow(made, "proven", "the new dump is whole, but may not be in its place", step)?;
            let (bytes, with) = self.check(made)?;
            Ok(((), format!("{}, {bytes}, proven{with}", self.database.dump_file)))
        })
    }

    /// Notes what the session reports, up to the line `last`. Returns the value of that. `state` is what the user has if the session
    /// breaks off.
    fn follow(&mut self, made: &mut MadeDump, last: &str, state: &str, step: &Step) -> Result<String> {
        let Dump { kubectl, session, rules, recheck_session, chosen, database, preflight, .. } = self;
        let mut lock_wait = DumpLockWait::new(rules.busy_timeout);
        let mut began = Instant::now();
        loop {
            let line = session.next(SOON).map_err(|error| session::fail(&error, Exit::Dump, state))?;
            let Some(line) = line else { continue };
            match line.key.as_str() {
                "busy" => lock_wait.holder_lives(&line.value, step)?,
                "doubted" => lock_wait.holder_may_be_dead(&line.value, step),
                "beat" => step.progress(&line.value.trim().parse().map(report::bytes).unwrap_or_default()),
                "lost" => bail!(given_up(session, &line.value, preflight, database.engine)),
                key if key == last => return Ok(line.value),
                "began" => began = Instant::now(),
                "ended" => {
                    made.took = began.elapsed();
                    if last == "proven" {
                        // While the dump is flushed. If it cannot be started, the recheck tries again.
                        recheck_session.replace(start_recheck(kubectl, chosen, *rules).ok());
                    }
                }
                "no-globals" => {
                    let noun = globals::noun(database.engine);
                    tracing::warn!("the server's {noun}s are not in this backup: {}", line.value);
                }
                _ => {}
            }
            made.report.note(&line.key, &line.value);
        }
    }

    /// The size of the dump, and what lies beside it, in words.
    ///
    /// # Errors
    /// The container's report lacks something.
    fn check(&self, made: &MadeDump) -> Result<(String, String)> {
        let noun = globals::noun(self.database.engine);
        let bytes = made.report.check().map_err(|why| {
            Fail::new(Exit::Dump, format!("the container's proof does not count: {why}"))
                .remedy("run the backup again; the proof must name size, SHA-256 and file")
        })?;
        let with = match &made.report.globals {
            None if self.database.globals == GlobalsMode::Required => bail!(
                Fail::new(Exit::Dump, format!("the container did not report the file of the server's {noun}s"))
                    .remedy("run the backup again")
            ),
            None => String::new(),
            Some(it) => {
                let without = if it.passwords { "" } else { " without their passwords, which the user may not read" };
                format!(", with {}{without}", counted(it.roles, noun))
            }
        };
        Ok((report::bytes(bytes), with))
    }

    /// Reads size, hash, inode and container of the file in an exec of its own, which also flushes its file system.
    fn recheck_file(&self) -> Result<DumpReport> {
        let mut started = self.recheck_session.take();
        let recheck = || {
            let mut session = match started.take() {
                Some(session) => session,
                None => start_recheck(self.kubectl, &self.chosen, self.rules)?,
            };
            session.tell(&escape::line(&self.database.dump_file));
            let mut report = DumpReport::default();
            session.until("end", Duration::MAX, |key, value| report.note(key, value))?;
            Ok(report)
        };
        let report = self.kubectl.patiently(recheck);
        Ok(report.map_err(|error| session::fail(&error, Exit::Dump, "the dump file itself is in place"))?)
    }

    /// Whether the file is still the one of this proof.
    pub fn is_still(&self, proof: &Proof) -> Result<bool> {
        let now = self.recheck_file()?;
        let same = now.bytes == Some(proof.bytes) && now.sha256 == proof.sha256;
        Ok(same && now.has_globals(proof.globals.as_ref()))
    }

    /// Rechecks the file in an exec of its own, which flushes its file system again, and composes the proof.
    ///
    /// # Errors
    /// The file is not the one that the dump session reported.
    pub fn recheck(&self, made: &MadeDump) -> Result<Proof> {
        self.reporter.step("prove", |_| {
            let second = self.recheck_file()?;
            let bytes =
                second.check_file().and_then(|bytes| made.report.agrees(&second).map(|()| bytes)).map_err(|why| {
                    Fail::new(Exit::Dump, format!("a second look at the dump does not agree: {why}"))
                        .remedy("find out who else writes this file or restarted the pod, then run the backup again")
                })?;
            let proof = Proof {
                tool: self.preflight.tool.clone(),
                database: self.preflight.database.clone(),
                bytes,
                sha256: second.sha256.clone(),
                began: made.report.began.clone(),
                ended: made.report.ended.clone(),
                file: self.database.dump_file.clone(),
                path_in_volume: self.site.path_in_volume.clone(),
                pod: self.chosen.pod.clone(),
                container: self.chosen.container.clone(),
                image: self.chosen.image.clone(),
                namespace: self.kubectl.target.namespace.clone(),
                objects: made.report.before.objects(&made.report.after),
                server: made.report.before.server(&made.report.after),
                globals: made.report.globals.clone(),
                more: Vec::new(),
            };
            Ok((proof, format!("second look agrees, flushed, SHA-256 {}", &second.sha256[..16])))
        })
    }

    /// Releases the dump lock, after the snapshot is cut or if there will be none. The session, which holds the lock, answers whether
    /// the file is still the proven one. If its stream was cut meanwhile, the file is rechecked.
    ///
    /// # Errors
    /// The file was replaced, so the snapshot does not hold the proven dump. `then` is the remedy.
    pub fn release(mut self, made: &MadeDump, then: &str) -> Result<()> {
        self.session.tell(&format!("release {} {}", made.report.inode, made.report.bytes.unwrap_or_default()));
        match self.session.until("unchanged", ANSWER, |_, _| ()) {
            Ok(answer) if answer == "yes" => Ok(()),
            Ok(_) => bail!(
                Fail::new(Exit::Snapshot, "the dump was replaced by another program in spite of its lock")
                    .remedy(format!("find out who else writes this file; {then}"))
            ),
            Err(error) if matches!(error.ending, Ending::Signal(_)) => Err(error.into()),
            Err(error) => {
                tracing::warn!("the session was cut off before it was to end, looking at the dump again: {error}");
                match self.recheck(made) {
                    Err(error) if error.exit() == Exit::Dump => bail!(Fail { exit: Exit::Snapshot, ..error.fail() }),
                    outcome => outcome.map(|_| ()),
                }
            }
        }
    }
}

/// Starts the session of a recheck, which waits for the path of the file.
fn start_recheck(kubectl: &Kubectl, chosen: &Chosen, rules: DumpRules<'_>) -> Result<Session, ProcessError> {
    Session::start(kubectl, chosen, container::RECHECK, rules.nonce, &[])
}

/// Starts a session that runs `script`, and judges its preflight report; nothing is changed yet.
///
/// # Errors
/// One error with everything that the session's work needs and that is missing.
pub fn start_session(
    kubectl: &Kubectl,
    database: &Database,
    chosen: &Chosen,
    rules: DumpRules<'_>,
    script: SessionScript<'_>,
) -> Result<(Session, PreflightReport, Site)> {
    let (mut session, report) = run_preflight(kubectl, database, chosen, rules, script)?;
    let site = rules.assess(&report, database, chosen).map_err(|problems| {
        let (whats, remedies): (Vec<String>, Vec<String>) = problems.into_iter().map(|it| (it.what, it.remedy)).unzip();
        let remedies: Vec<String> = remedies.into_iter().filter(|remedy| !remedy.is_empty()).collect();
        let said = session.last_words();
        let said = if said.is_empty() { said } else { format!(" (the container says: {said})") };
        Fail::new(Exit::Precondition, format!("pod {}: {}{said}", chosen.pod, whats.join("; ")))
            .remedy(remedies.join("; "))
    })?;
    Ok((session, report, site))
}

/// Starts a session that runs `script`, and reads its preflight report.
///
/// # Errors
/// The session cannot be started, or ends before the report does.
pub fn run_preflight(
    kubectl: &Kubectl,
    database: &Database,
    chosen: &Chosen,
    rules: DumpRules<'_>,
    script: SessionScript<'_>,
) -> Result<(Session, PreflightReport)> {
    let started = kubectl.patiently(|| start(kubectl, database, chosen, rules, script));
    Ok(started.map_err(|error| session::fail(&error, Exit::Precondition, session::UNTOUCHED))?)
}

fn start(
    kubectl: &Kubectl,
    database: &Database,
    chosen: &Chosen,
    rules: DumpRules<'_>,
    script: SessionScript<'_>,
) -> Result<(Session, PreflightReport), ProcessError> {
    let run = rules.nonce.get(..8).unwrap_or(rules.nonce);
    let format = Compression::of(&database.dump_file);
    let level = database.compression_level.unwrap_or(format.default_level());
    let limit = rules.dump_timeout.map_or(0, |limit| limit.as_secs().max(1));
    let mut values = vec![database.dump_file.clone(), format!("{}{} run {run}", chosen.mark, rules.holder)];
    values.extend([limit.to_string(), level.to_string(), chosen.mounts.len().to_string()]);
    values.extend(chosen.mounts.iter().map(|mount| mount.mount_path.clone()));
    values.extend(connection(database));
    values.extend_from_slice(script.more);
    let mut session = Session::start(kubectl, chosen, script.text, rules.nonce, &values)?;
    let mut report =
        PreflightReport { named: database.named(), is_listed: database.is_listed, ..PreflightReport::default() };
    session.until("looked", ANSWER, |key, value| report.note(key, value))?;
    if !report.answers {
        report.said = session.last_words();
    }
    Ok((session, report))
}

/// The values of the connection, in the order of the scripts' `db_read_connection`.
pub fn connection(database: &Database) -> Vec<String> {
    let mut values = vec![database.host.clone(), database.port.to_string()];
    values.extend([&database.user, &database.password, &database.database].map(DbValue::spec));
    values.extend(database.charset.clone());
    values
}

/// The wait for the dump lock. A terminal shows every report of it, the log only the first.
pub struct DumpLockWait {
    since: Instant,
    limit: Duration,
    /// Whether the log shows already that the holder lives, and that it may be dead.
    reported: (bool, bool),
}

impl DumpLockWait {
    pub fn new(limit: Duration) -> DumpLockWait {
        DumpLockWait { since: Instant::now(), limit, reported: (false, false) }
    }

    /// Reports that the holder lives.
    ///
    /// # Errors
    /// The time limit of the wait is over.
    pub fn holder_lives(&mut self, holder: &str, step: &Step) -> Result<()> {
        if self.since.elapsed() >= self.limit {
            bail!(busy(holder, self.limit));
        }
        step.progress(&format!("waits for {holder}"));
        if !std::mem::replace(&mut self.reported.0, true) {
            tracing::info!("waiting for another backup of this volume: {holder}");
        }
        Ok(())
    }

    /// Reports that the holder may be dead, and that its heartbeat is watched.
    pub fn holder_may_be_dead(&mut self, holder: &str, step: &Step) {
        step.progress(&format!("looks whether {holder} still lives"));
        if !std::mem::replace(&mut self.reported.1, true) {
            tracing::info!(
                "a lock lies beside the dump file, as after a restore or a crash: looking for 15 s whether its holder still lives: {holder}"
            );
        }
    }
}

/// The failure for a dump lock that another session holds.
fn busy(holder: &str, waited: Duration) -> Fail {
    let not_done = if waited.is_zero() {
        String::new()
    } else {
        format!(" and was not done within {}", humantime::format_duration(waited))
    };
    Fail::new(Exit::Lock, format!("another backup of this volume is at work{not_done}: {holder}"))
        .remedy("wait for it to end, or set BAK_BUSY_TIMEOUT (--busy-timeout) to wait here")
}

/// Ends a dump session that gave up; the failure for it. `lost` is what it reported.
fn given_up(session: &mut Session, lost: &str, preflight: &PreflightReport, engine: Engine) -> Fail {
    failed(Lost::parse(lost), &session.last_words(), preflight.standby, engine)
}

/// The failure for a dump session that gave up, with its last words.
fn failed(lost: Lost<'_>, said: &str, standby: bool, engine: Engine) -> Fail {
    let Lost { key, why } = lost;
    let remedy = if ToolError::NoSpace.is_in(said) {
        "enlarge the PVC or free space"
    } else if key == "timeout" {
        "find out what holds it up, a lock of the database perhaps, or raise BAK_DUMP_TIMEOUT (--dump-timeout)"
    } else if key == "globals" {
        match engine {
            Engine::Postgres => {
                "let the user read the server's roles, or set BAK_DB_POSTGRES_GLOBALS=auto to back up without them"
            }
            Engine::MySql => {
                "GRANT SELECT ON mysql.* to the user, or set BAK_DB_MYSQL_GLOBALS=auto to back up without the accounts"
            }
        }
    } else if ToolError::ReadOnly.is_in(said) {
        "find out why the volume became read-only"
    } else if ToolError::RecoveryConflict.is_in(said) || standby && ToolError::ConnectionEnded.is_in(said) {
        "a standby ends what is in the way of what it replays: set hot_standby_feedback = on there, or raise \
         max_standby_streaming_delay above the time that a dump takes, or dump from the primary"
    } else if ToolError::InvalidView.is_in(said) {
        "the dump tool ends at such a view: with SHOW CREATE VIEW see what it reads, and make that again, or give its definer \
         the rights, or create the definer, or drop the view"
    } else if ToolError::UnknownDefiner.is_in(said) {
        "the dump tool ends at such a view: create the account that is named, or make the view with another definer"
    } else {
        "correct what the message names and run the backup again"
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let kept = match key {
        "renamed" => "the new dump is whole, but may not be on its disk",
        _ => "the last good dump is untouched",
    };
    Fail::new(Exit::Dump, format!("{why}{said}")).remedy(format!("{remedy}; {kept}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_lost_dump_decides_its_remedy() {
        let remedy = |lost: &str, said: &str| failed(Lost::parse(lost), said, false, Engine::MySql).remedy;
        let correct = "correct what the message names and run the backup again; the last good dump is untouched";
        assert_eq!(remedy("other the dump took longer, and was renamed", ""), correct);
        assert!(remedy("globals why", "").contains("set BAK_DB_MYSQL_GLOBALS=auto"));
        assert!(remedy("timeout why", "").contains("raise BAK_DUMP_TIMEOUT"));
        let conflict = "pg_dump: error: query failed: ERROR:  canceling statement due to conflict with recovery";
        let ended = "other the dump tool ended with status 1";
        assert!(remedy(ended, conflict).contains("hot_standby_feedback"));
        let closed = "pg_dump: error: query failed: server closed the connection unexpectedly";
        assert!(!remedy(ended, closed).contains("standby"));
        assert!(failed(Lost::parse(ended), closed, true, Engine::Postgres).remedy.contains("hot_standby_feedback"));
        let invalid = "mysqldump: Couldn't execute 'SHOW FIELDS FROM `v`': View 'shop.v' references invalid table(s) or column(s) or \
            function(s) or definer/invoker of view lack rights to use them (1356)";
        let fail = failed(Lost::parse(ended), invalid, false, Engine::MySql);
        assert!(fail.what.contains("View 'shop.v' references"), "{}", fail.what);
        assert!(fail.remedy.starts_with("the dump tool ends at such a view: with SHOW CREATE VIEW"), "{}", fail.remedy);
        let definer = "mysqldump: Got error: 1449: \"The user specified as a definer ('a'@'%') does not exist\" when using LOCK TABLES";
        assert!(remedy(ended, definer).contains("create the account that is named"));
        assert!(remedy("renamed why", "").ends_with("the new dump is whole, but may not be on its disk"));
        assert!(remedy("other why", "gzip: stdout: No space left on device").starts_with("enlarge the PVC"));
        assert!(
            remedy("other why", "sh: can't create x: Read-only file system").starts_with("find out why the volume")
        );
    }
}
