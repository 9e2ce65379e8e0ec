//! backup-ns: application-consistent backups of a Kubernetes namespace.
//!
//! `flags + environment → Config → observed state → plan → kubectl calls → report`; `main` parses, runs and exits.

mod cli;
mod cmd;
mod config;
mod container;
mod core;
mod cut;
mod delete;
mod dump;
mod exit;
mod hooks;
mod kubectl;
mod lock;
mod observe;
mod process;
mod relabel;
mod report;
mod session;
mod settings;
mod survey;
mod watch;

use std::process::ExitCode;

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
    let (name, matches) = matches.subcommand().unwrap_or(("", &matches));
    let get = |setting: &'static settings::Setting| cli::value(matches, setting);
    let plain = cli::plain(matches);
    let reporter = Reporter::new(config::log_format(&get), plain.verbose);
    let outcome = process::listen()
        .map_err(|error| Fail::new(Exit::Failed, format!("signals cannot be handled: {error}")))
        .and_then(|()| match name {
            "create" => {
                let (global, create) = config::create(plain, config::Values::new(&get))?;
                begin(&global);
                cmd::create::run(&global, &create, &reporter)
            }
            "retain" => {
                let (global, retention) = config::retain(plain, config::Values::new(&get))?;
                begin(&global);
                cmd::retain::run(&global, &retention, &reporter)
            }
            "mark-and-delete" => {
                let (global, sweep) = config::sweep(plain, config::Values::new(&get))?;
                begin(&global);
                cmd::mark_and_delete::run(&global, &sweep, &reporter)
            }
            _ => Err(Fail::new(Exit::Usage, "no command was given").remedy("see backup-ns --help")),
        });
    match outcome {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(fail) => {
            reporter.failure(&fail);
            ExitCode::from(fail.exit.code())
        }
    }
}

/// What holds for every command from here on.
fn begin(global: &config::Global) {
    if let Some(time) = global.timeout {
        process::limit(time);
    }
}
