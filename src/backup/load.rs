//! Loads a dump file into its database: runs a session and reads its reports. Must not decide whether a load should be made.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::backup::dump::{self, DumpLockWait, DumpRules, SessionScript};
use crate::cluster::kubectl::Kubectl;
use crate::config::Database;
use crate::container;
use crate::container::session::{self, Lost, Session};
use crate::core::backup::globals::GlobalsMode;
use crate::core::backup::one_table::OneTable;
use crate::core::backup::pod::Chosen;
use crate::core::backup::preflight::PreflightReport;
use crate::core::backup::tool_error::ToolError;
use crate::core::words::first;
use crate::exit::{Exit, Fail};
use crate::io::process::ProcessError;
use crate::io::report::{self, Reporter, Step};

/// How many objects that a load would drop are remembered, and how many of them an error names.
const GONE: usize = 100;
const NAMED: usize = 5;

/// How long to wait for a line before checking for signals.
const SOON: Duration = Duration::from_secs(1);

/// How careful a load is. In MySQL, a failed load cannot be undone, so it can be tried in a scratch schema first. In PostgreSQL, a
/// load may drop objects that are not in the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadMode {
    /// Try it first, or give up. Drop no object that is not in the dump.
    Required,
    /// Try it first if the user may create a schema. Such objects may be dropped.
    IfPermitted,
    /// Do not try it first.
    Skipped,
}

impl LoadMode {
    fn word(self) -> &'static str {
        match self {
            LoadMode::Required => "try",
            LoadMode::IfPermitted => "any",
            LoadMode::Skipped => "not",
        }
    }
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedDump {
    /// Whether it was tried in a scratch schema first.
    pub tried: bool,
    /// What of one table was left out, because it refers to something else.
    pub left_out: Vec<String>,
}

/// A load whose container passed the preflight.
pub struct Load<'a> {
    reporter: &'a Reporter,
    rules: DumpRules<'a>,
    /// The container's report.
    pub preflight: PreflightReport,
    session: Session,
    /// What to load instead of the dump file.
    received: bool,
}

impl<'a> Load<'a> {
    /// Starts the session and runs the preflight; nothing is changed yet. Only `table` is loaded, if there is one. The number is
    /// the free bytes of the volume.
    ///
    /// # Errors
    /// One error with everything that a load needs and that is missing.
    pub fn prepare(
        kubectl: &'a Kubectl,
        reporter: &'a Reporter,
        database: &'a Database,
        chosen: &Chosen,
        rules: DumpRules<'a>,
        table: Option<&OneTable>,
    ) -> Result<(Load<'a>, u64)> {
        reporter.step("check", |_| {
            let more = table.map(OneTable::values).unwrap_or_default();
            let text = if table.is_some() { container::load_table } else { container::load };
            let script = SessionScript { text: text(database.engine), more: &more };
            // A load writes no file of roles.
            let database = Database { globals: GlobalsMode::Off, ..database.clone() };
            let (session, preflight, site) = dump::start_session(kubectl, &database, chosen, rules, script)?;
            let free = report::bytes(site.available_bytes);
            let what = format!("{}, database {}, {free} free", preflight.tool, preflight.database);
            Ok(((Load { reporter, rules, preflight, session, received: false }, site.available_bytes), what))
        })
    }

    /// Takes the dump lock, so that a file can be received beside the dump file. The load is then of the file with this suffix.
    ///
    /// # Errors
    /// Another session holds the lock, or it cannot be written.
    pub fn hold(&mut self, suffix: &str, step: &Step) -> Result<()> {
        let state = "nothing was loaded, the database is as it was";
        self.received = true;
        self.session.tell(&format!("hold {suffix}"));
        let mut lock_wait = DumpLockWait::new(self.rules.busy_timeout);
        loop {
            let Some(line) = self.session.next(SOON).map_err(|error| broken(&error, state))? else { continue };
            match line.key.as_str() {
                "busy" => lock_wait.holder_lives(&line.value, step)?,
                "doubted" => lock_wait.holder_may_be_dead(&line.value, step),
                "lost" => bail!(failed(Lost::parse(&line.value), "", state, &self.session.last_words(), true)),
                "locked" => return Ok(()),
                _ => {}
            }
        }
    }

    /// Loads the file with this size and SHA-256, and makes the roles or accounts that are missing from the file with the
    /// SHA-256 `globals`, if one is given.
    ///
    /// # Errors
    /// The file was replaced, or could not be loaded. The remedy says what is in the database.
    pub fn make(mut self, bytes: u64, sha256: &str, globals: Option<&str>, trial: LoadMode) -> Result<LoadedDump> {
        let Load { reporter, session, rules, received, .. } = &mut self;
        reporter.step("load", |step| {
            session.tell(&format!("load {} {bytes} {sha256} {}", globals.unwrap_or("-"), trial.word()));
            let mut lock_wait = DumpLockWait::new(rules.busy_timeout);
            let mut state = "nothing was loaded, the database is as it was".to_string();
            let (mut tried, mut untried) = (false, String::new());
            let mut gone = Vec::new();
            let mut left_out = Vec::new();
            let mut phase = "";
            loop {
                let line = session.next(SOON).map_err(|error| broken(&error, &state))?;
                let Some(line) = line else { continue };
                match line.key.as_str() {
                    "busy" => lock_wait.holder_lives(&line.value, step)?,
                    "doubted" => lock_wait.holder_may_be_dead(&line.value, step),
                    "state" => state = line.value,
                    "phase" => phase = if line.value == "trial" { "trial: " } else { "" },
                    "tried" => tried = true,
                    "unkept" => tracing::warn!(
                        "the history of {} is lost: the dump does not hold it, and replaces the tables",
                        line.value
                    ),
                    "untried" => {
                        tracing::warn!("the dump is not tried first: {}", line.value);
                        untried = line.value;
                    }
                    "left" if left_out.len() < GONE => left_out.push(line.value),
                    "gone" if gone.len() < GONE => gone.push(line.value),
                    "not-granted" => tracing::warn!(
                        "what was there before is not changed, so this membership is not restored: GRANT {}",
                        line.value
                    ),
                    "ungranted" => tracing::warn!(
                        "a recorded grant is not restored, because what it is on is not there: {}",
                        line.value
                    ),
                    "beat" => {
                        if let Ok(far @ 1..) = line.value.trim().parse::<u64>() {
                            step.progress(&format!("{phase}{} of {}", report::bytes(far), report::bytes(bytes)));
                        }
                    }
                    "lost" => {
                        let lost = Lost::parse(&line.value);
                        bail!(match lost.key {
                            "gone" => would_lose(lost.why, &gone, &state),
                            _ => failed(lost, &untried, &state, &session.last_words(), *received),
                        });
                    }
                    "loaded" => break,
                    _ => {}
                }
            }
            if !gone.is_empty() {
                tracing::warn!("dropped with what the dump replaces, and not in the dump: {}", gone.join(", "));
            }
            for what in &left_out {
                tracing::warn!("left out of the table: {what}");
            }
            let first = if tried { ", tried in a schema of its own first" } else { "" };
            Ok((LoadedDump { tried, left_out }, format!("{} loaded{first}", report::bytes(bytes))))
        })
    }
}

/// The failure for a session that broke off, with what is in the database.
fn broken(error: &ProcessError, state: &str) -> Fail {
    let fail = session::fail(error, Exit::Failed, state);
    match fail.exit {
        Exit::Signal(_) => fail.remedy(format!("run it again; {state}")),
        _ if fail.remedy.contains(state) => fail,
        _ => {
            let remedy = format!("{}; {state}", fail.remedy);
            fail.remedy(remedy)
        }
    }
}

/// The failure for a load that would have dropped objects that are not in the dump.
fn would_lose(why: &str, gone: &[String], state: &str) -> Fail {
    let named = match gone.len() {
        // No more of them were kept.
        GONE.. => format!("{} and many more", gone[..NAMED].join(", ")),
        _ => first(NAMED, gone),
    };
    Fail::new(Exit::Precondition, format!("{why}: {named}"))
        .remedy(format!("drop them, or use --force to load the dump and drop them with what it replaces; {state}"))
}

/// The failure for a load that gave up, with what is in the database.
fn failed(lost: Lost<'_>, untried: &str, state: &str, said: &str, received: bool) -> Fail {
    let Lost { key, why } = lost;
    let with_words = if said.is_empty() { why.to_string() } else { format!("{why}: {said}") };
    let (exit, what, remedy) = match key {
        "untried" => (
            Exit::Precondition,
            if said.is_empty() {
                format!("{why}, because {untried}")
            } else {
                format!("{why}, because {untried}: {said}")
            },
            "give the user the right to create schemas, or say --force to load without a trial, which cannot be undone",
        ),
        "history" => (
            Exit::Precondition,
            why.to_string(),
            "restore a snapshot instead, which holds the history, or say --force to load the dump and lose it",
        ),
        "absent" => (
            Exit::Precondition,
            why.to_string(),
            "name a table that it holds, as in SQL: in quotes if its name has capital letters or a dot",
        ),
        "there" => (
            Exit::Precondition,
            why.to_string(),
            "give the table another name with --table-as, or use --replace to replace it",
        ),
        "target" => (Exit::Precondition, why.to_string(), "give the table another name with --table-as"),
        "depends" => (
            Exit::Precondition,
            with_words,
            "remove what the message names, or load the table beside it under another name with --table-as",
        ),
        "accounts" => (
            Exit::Failed,
            with_words,
            "correct what the message names and run it again, or make the accounts that are missing and restore without --globals",
        ),
        "replaced" => (Exit::Dump, why.to_string(), "look what it is now, and run it again"),
        _ if ToolError::TakesNoWrites.is_in(said) => (
            Exit::Precondition,
            with_words,
            "load it into the primary: a standby or a read-only server takes no writes",
        ),
        _ if ToolError::UnknownDefiner.is_in(said) => (
            Exit::Failed,
            with_words,
            "create the account that is named, with its grants, or use --globals if it was recorded beside the dump, and run it \
             again: a dump of one database holds no accounts, and views that other views read need theirs",
        ),
        _ if ToolError::NoTablespace.is_in(said) => (
            Exit::Failed,
            with_words,
            if received {
                "create that tablespace on the server (CREATE TABLESPACE), and any other that the dump names, or make the dump \
                 with pg_dump --no-tablespaces"
            } else {
                "create that tablespace on the server, and any other that the dump names: the file of roles beside the dump has \
                 each CREATE TABLESPACE, for a directory that must be there"
            },
        ),
        _ if received && ToolError::AlreadyThere.is_in(said) => (
            Exit::Failed,
            with_words,
            "make the dump with pg_dump --clean --if-exists, so that it replaces what is there, or drop what the message names",
        ),
        _ if received => (Exit::Failed, with_words, "correct what the message names and run it again"),
        _ => (
            Exit::Failed,
            with_words,
            "correct what the message names and run it again: the dump file is proven and still there",
        ),
    };
    Fail::new(exit, what).remedy(format!("{remedy}; {state}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_lost_is_named_within_bounds() {
        let said = |number: usize| {
            let gone: Vec<_> = (0..number).map(|at| format!("view public.v{at}")).collect();
            let fail = would_lose("it would be dropped", &gone, "nothing changed");
            assert_eq!(fail.exit, Exit::Precondition);
            (fail.what, fail.remedy)
        };
        let remedy = "drop them, or use --force to load the dump and drop them with what it replaces; nothing changed";
        assert_eq!(said(1), ("it would be dropped: view public.v0".into(), remedy.into()));
        assert!(said(5).0.ends_with("public.v3, view public.v4"));
        assert!(said(7).0.ends_with("public.v4 and 2 more"));
        assert!(said(GONE).0.ends_with("public.v4 and many more"));
    }

    #[test]
    fn a_load_that_fails_says_what_goes_on() {
        let said = |lost: &str, words: &str| {
            let fail = failed(Lost::parse(lost), "it may not", "the database is as it was", words, false);
            assert!(fail.remedy.ends_with("; the database is as it was"), "{}", fail.remedy);
            (fail.exit, fail.what, fail.remedy)
        };
        let history = "the dump holds no history of the system-versioned tables `prices`, and loading it drops theirs";
        let (exit, what, remedy) = said(&format!("history {history}"), "");
        assert_eq!((exit, what.as_str()), (Exit::Precondition, history));
        assert!(remedy.contains("say --force to load the dump and lose it"), "{remedy}");
        let definer = "ERROR 1449 (HY000): The user specified as a definer ('app'@'%') does not exist";
        let (exit, what, remedy) = said("other the trial in a schema of its own failed", definer);
        assert_eq!(exit, Exit::Failed);
        assert!(
            what.contains("'app'@'%'") && remedy.starts_with("create the account that is named"),
            "{what} {remedy}"
        );
        assert!(said("other the trial in a schema of its own failed", "ERROR 1064").2.starts_with("correct what"));
        let (exit, what, remedy) = said("untried it cannot be tried", "words");
        assert_eq!((exit, what.as_str()), (Exit::Precondition, "it cannot be tried, because it may not: words"));
        assert!(remedy.starts_with("give the user the right"), "{remedy}");
        let absent = "ERROR:  invalid value for parameter \"default_tablespace\": \"fast\"";
        let (exit, what, remedy) = said("other psql ended with status 3", absent);
        assert_eq!(exit, Exit::Failed);
        assert!(
            what.contains("\"fast\"") && remedy.starts_with("create that tablespace on the server"),
            "{what} {remedy}"
        );
        let of_received = |words| failed(Lost::parse("other why"), "", "as it was", words, true).remedy;
        assert!(of_received("ERROR:  relation \"t\" already exists").starts_with("make the dump with pg_dump --clean"));
        assert!(of_received(absent).contains("make the dump with pg_dump --no-tablespaces"));
        assert_eq!(of_received("ERROR"), "correct what the message names and run it again; as it was");
        for (key, remedy) in [
            ("absent", "name a table that it holds"),
            ("there", "give the table another name with --table-as, or use --replace"),
            ("target", "give the table another name with --table-as;"),
            ("depends", "remove what the message names, or load the table beside it"),
        ] {
            let (exit, _, said) = said(&format!("{key} why"), "");
            assert!(exit == Exit::Precondition && said.starts_with(remedy), "{key} {said}");
        }
        let standby = "ERROR:  cannot execute CREATE FUNCTION in a read-only transaction";
        let (exit, _, remedy) = said("other psql ended with status 3", standby);
        assert_eq!(exit, Exit::Precondition);
        assert!(remedy.starts_with("load it into the primary"), "{remedy}");
        // The key decides, not the words.
        assert_eq!(said("replaced it is another one", "").0, Exit::Dump);
        assert_eq!(said("other the dump file was replaced meanwhile", "").0, Exit::Failed);
    }
}
