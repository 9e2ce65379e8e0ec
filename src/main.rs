//! backup-ns: application-consistent backups of a Kubernetes namespace.
//!
//! `flags + environment → Config → observed state → plan → kubectl calls → report`; `main` parses, runs and exits.

mod ask;
mod cli;
mod cmd;
mod config;
mod container;
mod core;
mod cut;
mod delete;
mod download;
mod dump;
mod dump_file;
mod exit;
mod hooks;
mod in_place;
mod kubectl;
mod load;
mod lock;
mod observe;
mod process;
mod relabel;
mod report;
mod session;
mod settings;
mod survey;
mod trial;
mod watch;

use std::process::ExitCode;

use crate::config::{Plain, Values};
use crate::core::engine::Engine;
use crate::exit::{Exit, Fail};
use crate::report::Reporter;

fn main() -> ExitCode {
    let matches = match cli::command().try_get_matches() {
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
    let outcome = process::listen()
        .map_err(|error| Fail::new(Exit::Failed, format!("signals cannot be handled: {error}")))
        .and_then(|()| run(&words, &plain, config::Values::new(&get), &reporter));
    match outcome {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(fail) => {
            reporter.failure(&fail);
            ExitCode::from(fail.exit.code())
        }
    }
}

/// Runs the command that was given.
fn run(words: &[&str], plain: &Plain, values: Values<'_>, reporter: &Reporter) -> Result<(), Fail> {
    match words {
        ["create"] => {
            let (global, create) = config::create(plain, values)?;
            begin(&global);
            cmd::create::run(&global, &create, reporter)
        }
        ["adhoc"] => {
            let (global, adhoc) = config::adhoc(plain, values)?;
            begin(&global);
            cmd::adhoc::run(&global, &adhoc, reporter)
        }
        ["retain"] => {
            let (global, retention) = config::retain(plain, values)?;
            begin(&global);
            cmd::retain::run(&global, &retention, reporter)
        }
        ["mark-and-delete"] => {
            let (global, sweep) = config::sweep(plain, values)?;
            begin(&global);
            cmd::mark_and_delete::run(&global, &sweep, reporter)
        }
        ["list"] => {
            let (global, list) = config::list(plain, values)?;
            begin(&global);
            cmd::list::run(&global, &list, reporter)
        }
        ["restore"] => {
            let (global, restore) = config::restore(plain, values)?;
            begin(&global);
            cmd::restore::run(&global, &restore, reporter)
        }
        ["verify"] => {
            let (global, verify) = config::verify(plain, values)?;
            begin(&global);
            cmd::verify::run(&global, &verify, reporter)
        }
        ["rebind-vsc"] => {
            let (global, rebind) = config::rebind(plain, values)?;
            begin(&global);
            cmd::rebind_vsc::run(&global, &rebind, reporter)
        }
        ["delete"] => {
            let (global, delete) = config::delete(plain, values)?;
            begin(&global);
            cmd::delete::run(&global, &delete, reporter)
        }
        ["sync-metadata-to-vsc"] | ["controller", _] => {
            let global = config::sync(plain, values)?;
            begin(&global);
            cmd::sync_metadata_to_vsc::run(&global, reporter)
        }
        ["env"] => cmd::env::run(plain, values, reporter),
        [engine, piece] => {
            let engine = if *engine == Engine::MySql.command() { Engine::MySql } else { Engine::Postgres };
            let (global, by_hand) = config::by_hand(plain, values, engine)?;
            begin(&global);
            cmd::by_hand::run(piece, &global, &by_hand, reporter)
        }
        _ => Err(Fail::new(Exit::Usage, "no command was given").remedy("see backup-ns --help")),
    }
}

/// What holds for every command from here on.
fn begin(global: &config::Global) {
    if let Some(time) = global.timeout {
        process::limit(time);
    }
}
