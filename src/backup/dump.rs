//! One dump in one container, from the first look to the release of its lock: drives a session and judges what it says.
//! Knows what a dump is, not what becomes of it.

use std::time::{Duration, Instant};

use crate::cluster::kubectl::{self, Kubectl};
use crate::config::{Database, DbValue};
use crate::container;
use crate::container::session::{self, Lost, Session};
use crate::core::backup::pod::Chosen;
use crate::core::backup::preflight::{self, PreflightReport, Problem, Requirements, Site};
use crate::core::backup::proof::{DumpReport, Proof};
use crate::core::backup::tool_error::ToolError;
use crate::exit::{Exit, Fail};
use crate::io::process::{Ending, ProcessError};
use crate::io::report::{self, Reporter, Step};

/// How long to listen before looking up.
const SOON: Duration = Duration::from_secs(1);

/// How long a session may take to answer what takes it a moment.
const ANSWER: Duration = Duration::from_secs(45);

/// What holds for a dump besides its database.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The PVC on which the dump must lie.
    pub pvc: &'a str,
    /// How full the volume may not be, in percent; more than 100 where no room is needed.
    pub threshold_percent: u8,
    /// How long to wait for another backup of the same dump file.
    pub busy_timeout: Duration,
    /// How long the dump may take; none for as long as it takes.
    pub dump_timeout: Option<Duration>,
    /// Who is at work, for others who wait.
    pub holder: &'a str,
    /// Marks every line of the reports.
    pub nonce: &'a str,
}

impl Rules<'_> {
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
        };
        preflight::assess(report, &required)
    }
}

/// A dump whose container passed the preflight.
pub struct Dump<'a> {
    kubectl: &'a Kubectl,
    reporter: &'a Reporter,
    /// What is dumped.
    pub database: &'a Database,
    rules: Rules<'a>,
    /// Where it is made.
    pub chosen: Chosen,
    /// The container's report.
    pub preflight: PreflightReport,
    /// What that is worth.
    pub site: Site,
    session: Session,
}

/// A dump that was made and proven.
#[derive(Debug, Clone)]
pub struct Made {
    /// What the container said of the file.
    pub report: DumpReport,
    /// How long the dump tool and the compressor took.
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
        rules: Rules<'a>,
    ) -> Result<Dump<'a>, Fail> {
        reporter.step("check", |_| {
            let script = container::dump(database.engine);
            let (session, report, site) = start_session(kubectl, database, &chosen, rules, script)?;
            let free = report::bytes(site.available_bytes);
            let PreflightReport { tool, compressor, database: name, .. } = &report;
            if !report.unsteady.is_empty() {
                tracing::warn!(
                    "not of one moment in the dump, because only InnoDB's tables are held still: {}",
                    report.unsteady.join(", ")
                );
            }
            for Problem { what, remedy, .. } in
                report.unseen().into_iter().chain(report.left_out()).chain(report.empty(database.engine))
            {
                tracing::warn!("{what}; {remedy}");
            }
            let what =
                format!("{tool}, {compressor}, database {name}, volume {} % full, {free} free", site.used_percent);
            Ok((Dump { kubectl, reporter, database, rules, chosen, preflight: report, site, session }, what))
        })
    }

    /// Dumps, and hears the proof.
    ///
    /// # Errors
    /// Another backup is at work, or the dump failed or was not proven; the last good one is untouched then.
    pub fn make(&mut self) -> Result<Made, Fail> {
        let Dump { reporter, session, rules, .. } = self;
        reporter.step("dump", |step| {
            session.tell("dump");
            let mut queue = Queue::new(rules.busy_timeout);
            let mut began = Instant::now();
            let mut made = Made { report: DumpReport::default(), took: Duration::ZERO };
            loop {
                let line = session.next(SOON).map_err(|error| session::fail(&error, Exit::Dump, session::UNTOUCHED))?;
                let Some(line) = line else { continue };
                match line.key.as_str() {
                    "busy" => queue.waits(&line.value, step)?,
                    "doubted" => queue.doubts(&line.value, step),
                    "beat" => step.progress(&line.value.trim().parse().map(report::bytes).unwrap_or_default()),
                    "lost" => return Err(failed(Lost::parse(&line.value), &session.last_words())),
                    "proven" => break,
                    "began" => began = Instant::now(),
                    "ended" => made.took = began.elapsed(),
                    _ => {}
                }
                made.report.note(&line.key, &line.value);
            }
            let bytes = made.report.check().map_err(|why| {
                Fail::new(Exit::Dump, format!("the container's proof does not count: {why}"))
                    .remedy("run the backup again; the proof must name size, SHA-256 and file")
            })?;
            let what = format!("{} dumped in {}, proven and flushed", report::bytes(bytes), report::seconds(made.took));
            Ok((made, what))
        })
    }

    /// What the file is now, by a process and a stream of their own. Flushes its file system, too.
    fn recheck_file(&self) -> Result<DumpReport, Fail> {
        let recheck = || {
            let values = [self.database.dump_file.clone()];
            let script = container::RECHECK;
            let mut session = Session::start(self.kubectl, &self.chosen, script, self.rules.nonce, &values)?;
            let mut report = DumpReport::default();
            session.until("end", Duration::MAX, |key, value| report.note(key, value))?;
            Ok(report)
        };
        self.kubectl
            .patiently(recheck)
            .map_err(|error| session::fail(&error, Exit::Dump, "the dump file itself is in place"))
    }

    /// Whether the file is still the one of this proof.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_still(&self, proof: &Proof) -> Result<bool, Fail> {
        let now = self.recheck_file()?;
        Ok(now.bytes == Some(proof.bytes) && now.sha256 == proof.sha256)
    }

    /// Looks at the file once more, through a process and a stream of their own, and flushes its file system again.
    ///
    /// # Errors
    /// It is not what was proven.
    pub fn recheck(&self, made: &Made) -> Result<Proof, Fail> {
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
            };
            Ok((proof, format!("second look agrees, flushed, SHA-256 {}", &second.sha256[..16])))
        })
    }

    /// Lets go of the dump once it is in a snapshot, or is to be in none. That the file was still the one that was proven is answered by the
    /// session under its lock; if its stream was cut meanwhile, the file itself tells.
    ///
    /// # Errors
    /// It was replaced: a snapshot does not hold what was proven. `then` is what to do about that.
    pub fn release(mut self, made: &Made, then: &str) -> Result<(), Fail> {
        self.session.tell(&format!("release {} {}", made.report.inode, made.report.bytes.unwrap_or_default()));
        match self.session.until("unchanged", ANSWER, |_, _| ()) {
            Ok(answer) if answer == "yes" => Ok(()),
            Ok(_) => Err(Fail::new(Exit::Snapshot, "the dump was replaced by somebody else in spite of its lock")
                .remedy(format!("find out who else writes this file; {then}"))),
            Err(error) if matches!(error.ending, Ending::Signal(_)) => Err(kubectl::fail(&error)),
            Err(error) => {
                tracing::warn!("the session was cut off before it was to end, looking at the dump again: {error}");
                self.recheck(made).map(|_| ()).map_err(|fail| Fail {
                    exit: if fail.exit == Exit::Dump { Exit::Snapshot } else { fail.exit },
                    ..fail
                })
            }
        }
    }
}

/// Starts a session that runs `script`, and judges its preflight report; nothing is changed yet.
///
/// # Errors
/// One error with everything that the session's work needs and that is missing.
pub fn start_session(
    kubectl: &Kubectl,
    database: &Database,
    chosen: &Chosen,
    rules: Rules<'_>,
    script: &str,
) -> Result<(Session, PreflightReport, Site), Fail> {
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
    rules: Rules<'_>,
    script: &str,
) -> Result<(Session, PreflightReport), Fail> {
    kubectl
        .patiently(|| start(kubectl, database, chosen, rules, script))
        .map_err(|error| session::fail(&error, Exit::Precondition, session::UNTOUCHED))
}

fn start(
    kubectl: &Kubectl,
    database: &Database,
    chosen: &Chosen,
    rules: Rules<'_>,
    script: &str,
) -> Result<(Session, PreflightReport), ProcessError> {
    let run = rules.nonce.get(..8).unwrap_or(rules.nonce);
    let limit = rules.dump_timeout.map_or(0, |limit| limit.as_secs().max(1));
    let mut values =
        vec![database.dump_file.clone(), format!("{}{} run {run}", chosen.mark, rules.holder), limit.to_string()];
    values.push(chosen.mounts.len().to_string());
    values.extend(chosen.mounts.iter().map(|mount| mount.mount_path.clone()));
    values.extend(connection(database));
    let mut session = Session::start(kubectl, chosen, script, rules.nonce, &values)?;
    let mut report = PreflightReport { named: database.named(), ..PreflightReport::default() };
    session.until("looked", ANSWER, |key, value| report.note(key, value))?;
    if !report.answers {
        report.said = session.last_words();
    }
    Ok((session, report))
}

/// What a client connects with, as the container's scripts take it.
pub fn connection(database: &Database) -> Vec<String> {
    let mut values = vec![database.host.clone(), database.port.to_string()];
    values.extend([&database.user, &database.password, &database.database].map(DbValue::spec));
    values.extend(database.charset.clone());
    values
}

/// The wait for the lock beside the dump file: a terminal is told of each look, a log once.
pub struct Queue {
    since: Instant,
    limit: Duration,
    /// Whether the log has been told that somebody is at work, and that somebody may be.
    reported: (bool, bool),
}

impl Queue {
    /// From now on, for so long.
    pub fn new(limit: Duration) -> Queue {
        Queue { since: Instant::now(), limit, reported: (false, false) }
    }

    /// The holder lives.
    ///
    /// # Errors
    /// It was waited for long enough.
    pub fn waits(&mut self, holder: &str, step: &Step) -> Result<(), Fail> {
        if self.since.elapsed() >= self.limit {
            return Err(busy(holder, self.limit));
        }
        step.progress(&format!("waits for {holder}"));
        if !std::mem::replace(&mut self.reported.0, true) {
            tracing::info!("waiting for another backup of this volume: {holder}");
        }
        Ok(())
    }

    /// The holder may be dead, which shows only by its silence.
    pub fn doubts(&mut self, holder: &str, step: &Step) {
        step.progress(&format!("looks whether {holder} still lives"));
        if !std::mem::replace(&mut self.reported.1, true) {
            tracing::info!(
                "a lock lies beside the dump file, as after a restore or a crash: looking for 15 s whether its holder still lives: {holder}"
            );
        }
    }
}

/// Somebody else holds the lock beside the dump file.
fn busy(holder: &str, waited: Duration) -> Fail {
    let not_done = if waited.is_zero() {
        String::new()
    } else {
        format!(" and was not done within {}", humantime::format_duration(waited))
    };
    Fail::new(Exit::Lock, format!("another backup of this volume is at work{not_done}: {holder}"))
        .remedy("wait for it to end, or set BAK_BUSY_TIMEOUT (--busy-timeout) to wait here")
}

/// A dump that does not count, with what to do about it by what the tools said.
fn failed(lost: Lost<'_>, said: &str) -> Fail {
    let Lost { key, why } = lost;
    let remedy = if ToolError::NoSpace.is_in(said) {
        "enlarge the PVC or free space"
    } else if key == "timeout" {
        "find out what holds it up, a lock of the database perhaps, or raise BAK_DUMP_TIMEOUT (--dump-timeout)"
    } else if ToolError::ReadOnly.is_in(said) {
        "find out why the volume became read-only"
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
        let remedy = |lost: &str, said: &str| failed(Lost::parse(lost), said).remedy;
        let correct = "correct what the message names and run the backup again; the last good dump is untouched";
        assert_eq!(remedy("other the dump took longer, and was renamed", ""), correct);
        assert!(remedy("timeout why", "").contains("raise BAK_DUMP_TIMEOUT"));
        assert!(remedy("renamed why", "").ends_with("the new dump is whole, but may not be on its disk"));
        assert!(remedy("other why", "gzip: stdout: No space left on device").starts_with("enlarge the PVC"));
        assert!(
            remedy("other why", "sh: can't create x: Read-only file system").starts_with("find out why the volume")
        );
    }
}
