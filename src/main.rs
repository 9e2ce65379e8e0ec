//! backup-ns: application-consistent backups of a Kubernetes namespace.
//!
//! `flags + environment → Config → observed state → plan → kubectl calls → report`; `main` parses, runs and exits.

mod backup;
mod cli;
mod cluster;
mod cmd;
mod config;
mod container;
mod core;
mod exit;
mod io;
mod lock;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::backup::cronjob_settings::CronJobSettings;
use crate::cli::Called;
use crate::cluster::failure::Failure;
use crate::config::{Global, Plain, Values, settings};
use crate::core::engine::Engine;
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::report::{self, LogFormat, Reporter};

fn main() -> ExitCode {
    process::leave_no_core();
    if let Ok(Some(shell)) = config::environment(cmd::completion::ASKS) {
        let answer = |reporter: &_| cmd::completion::answer_shell(&shell, reporter);
        return done(&Reporter::new(LogFormat::Plain, false), answer);
    }
    let command = match cli::called(std::env::args_os().next()) {
        Called::Itself => cli::command(),
        Called::Plugin => cli::plugin(),
        Called::ToComplete => return done(&Reporter::new(LogFormat::Plain, false), cmd::completion::answer_kubectl),
    };
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are answers; everything else is a usage error.
            report::usage(&error);
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let (words, matches) = cli::chosen(&matches);
    let get = |setting: &'static settings::Setting| cli::value(matches, setting);
    let plain = cli::plain(matches);
    let reporter = Reporter::new(config::log_format(&get), plain.is("verbose"));
    done(&reporter, |reporter| {
        process::listen().map_err(|error| Fail::new(Exit::Failed, format!("signals cannot be handled: {error}")))?;
        // No warnings about settings in a starting shell.
        if !matches!(words[..], ["completion" | "man"]) {
            config::unknown_variables().iter().for_each(|var| tracing::warn!("{}", config::about_unknown(var)));
        }
        let cronjob = match plain.word("from-cronjob") {
            Some(name) => {
                let global = config::before_cronjob_settings(&plain, &get)?;
                begin(&global);
                CronJobSettings::ask(&global, Some(name.as_str()).filter(|name| !name.is_empty()))?
            }
            None => CronJobSettings::default(),
        };
        let get = |setting: &'static settings::Setting| match get(setting) {
            Ok(None) => cronjob.get(setting),
            found => found,
        };
        run(&words, &plain, &mut config::Values::new(&get), reporter)
    })
}

/// Does it, says how it failed if that was not said yet, and how the program ends.
fn done(reporter: &Reporter, it: impl FnOnce(&Reporter) -> Result<()>) -> ExitCode {
    match it(reporter) {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(error) => {
            let fail = error.fail();
            if !fail.is_reported() {
                reporter.failure(&fail);
            }
            ExitCode::from(fail.exit.code())
        }
    }
}

/// Runs the command that was given.
fn run(words: &[&str], plain: &Plain, values: &mut Values<'_>, reporter: &Reporter) -> Result<()> {
    match words {
        ["create"] => go(config::create(plain, values), cmd::create::run, reporter),
        ["adhoc"] => go(config::adhoc(plain, values), cmd::adhoc::run, reporter),
        ["retain"] => go(config::retain(plain, values), cmd::retain::run, reporter),
        ["mark-and-delete"] => go(config::mark_and_delete(plain, values), cmd::mark_and_delete::run, reporter),
        ["doctor"] => go(config::doctor(plain, values), cmd::doctor::run, reporter),
        ["status"] => go(config::status(plain, values), cmd::status::run, reporter),
        ["list"] => go(config::list(plain, values), cmd::list::run, reporter),
        ["restore"] => go(config::restore(plain, values), cmd::restore::run, reporter),
        ["verify"] => go(config::verify(plain, values), cmd::verify::run, reporter),
        ["rebind-vsc"] => go(config::rebind(plain, values), cmd::rebind_vsc::run, reporter),
        ["delete-vsc"] => go(config::delete_content(plain, values), cmd::delete_vsc::run, reporter),
        ["trust"] => go(config::trust(plain, values), cmd::trust::run, reporter),
        ["delete"] => go(config::delete(plain, values), cmd::delete::run, reporter),
        ["sync-metadata-to-vsc"] | ["controller", _] => {
            go(config::sync(plain, values), cmd::sync_metadata_to_vsc::run, reporter)
        }
        ["locks"] => go(config::locks(plain, values), cmd::locks::run, reporter),
        ["env"] => cmd::env::run(plain, values, reporter),
        ["completion"] => cmd::completion::run(plain, reporter),
        ["man"] => cmd::man::run(plain, reporter),
        [engine, piece] => {
            let engine = if *engine == Engine::MySql.command() { Engine::MySql } else { Engine::Postgres };
            let run = |global: &_, by_hand: &_, reporter: &_| cmd::by_hand::run(piece, global, by_hand, reporter);
            go(config::by_hand(plain, values, engine), run, reporter)
        }
        _ => bail!(Fail::new(Exit::Usage, "no command was given").remedy("see backup-ns --help")),
    }
}

/// Runs a command with its configuration, if that is valid.
fn go<T>(
    told: Result<(Global, T), Fail>,
    run: impl Fn(&Global, &T, &Reporter) -> Result<()>,
    reporter: &Reporter,
) -> Result<()> {
    let (global, told) = told?;
    begin(&global);
    run(&global, &told, reporter)
}

/// What holds for every command from here on.
fn begin(global: &config::Global) {
    if let Some(time) = global.timeout {
        process::limit(time);
    }
}
