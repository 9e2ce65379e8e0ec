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
use crate::cli::{Called, ChosenCommand};
use crate::cluster::failure::Failure;
use crate::cmd::Conclusion;
use crate::cmd::notify::Notifier;
use crate::config::{Global, Plain, Values, settings};
use crate::exit::{Exit, Fail};
use crate::io::process;
use crate::io::report::{self, LogFormat, LogLevel, Reporter};

fn main() -> ExitCode {
    process::leave_no_core();
    if let Ok(Some(shell)) = config::environment(cmd::completion::ASKS) {
        let answer = |reporter: &_| cmd::completion::answer_shell(&shell, reporter);
        return exit_code(&Reporter::new(LogFormat::Plain, LogLevel::Usual), answer);
    }
    let called = cli::called(std::env::args_os().next());
    let command = match called {
        Called::Itself => cli::command(),
        Called::Plugin => cli::plugin(),
        Called::ToComplete => {
            return exit_code(&Reporter::new(LogFormat::Plain, LogLevel::Usual), cmd::completion::answer_kubectl);
        }
    };
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are answers; everything else is a usage error.
            report::usage(&error);
            return ExitCode::from(if error.use_stderr() { Exit::Usage.code() } else { Exit::Done.code() });
        }
    };
    let (command, matches) = cli::chosen(&matches);
    let get = |setting: &'static settings::Setting| cli::value(matches, setting);
    let mut plain = cli::plain(matches);
    if let Some(caller) = config::caller().filter(|_| called == Called::Plugin) {
        plain.0.insert(config::CALLER.into(), caller);
    }
    let how_much = match (plain.is("quiet"), plain.is("verbose")) {
        (true, _) => LogLevel::Quiet,
        (false, true) => LogLevel::Verbose,
        (false, false) => LogLevel::Usual,
    };
    let reporter = Reporter::new(config::log_format(&get), how_much);
    exit_code(&reporter, |reporter| {
        process::listen().map_err(|error| Fail::new(Exit::Failed, format!("signals cannot be handled: {error}")))?;
        // No warnings about settings in a starting shell.
        if !matches!(command, Some(ChosenCommand::Completion | ChosenCommand::Man)) {
            config::unknown_variables().iter().for_each(|var| tracing::warn!("{}", config::about_unknown(var)));
        }
        let cronjob = match plain.word("from-cronjob") {
            Some(name) => {
                let global = config::before_cronjob_settings(&plain, &get)?;
                apply_timeout(&global);
                CronJobSettings::ask(&global, Some(name.as_str()).filter(|name| !name.is_empty()))?
            }
            None => CronJobSettings::default(),
        };
        let get = |setting: &'static settings::Setting| match get(setting) {
            Ok(None) => cronjob.get(setting),
            found => found,
        };
        let notifier = command.and_then(cli::notifies).map(|name| Notifier::start(name, config::notifications(&get)));
        let outcome = run(command, &plain, &mut config::Values::new(&get), reporter).map_err(|error| error.fail());
        let Some(notifier) = notifier else { return Ok(outcome.map(drop)?) };
        // First what is certain.
        if let Err(fail) = &outcome {
            reporter.failure(fail);
        }
        notifier.finish(&outcome);
        Ok(outcome.map(drop).map_err(Fail::reported)?)
    })
}

/// Runs `command`, prints its failure unless that was done, and returns the exit code.
fn exit_code(reporter: &Reporter, command: impl FnOnce(&Reporter) -> Result<()>) -> ExitCode {
    match command(reporter) {
        Ok(()) => ExitCode::from(Exit::Done.code()),
        Err(error) => {
            let fail = error.fail();
            reporter.failure(&fail);
            ExitCode::from(fail.exit.code())
        }
    }
}

/// Runs the command that was given.
fn run(
    command: Option<ChosenCommand>,
    plain: &Plain,
    values: &mut Values<'_>,
    reporter: &Reporter,
) -> Result<Conclusion> {
    let Some(command) = command else {
        bail!(Fail::new(Exit::Usage, "no command was given").remedy("see backup-ns --help"));
    };
    match command {
        ChosenCommand::Create => dispatch(config::create(plain, values), cmd::create::run, reporter),
        ChosenCommand::Adhoc => dispatch(config::adhoc(plain, values), cmd::adhoc::run, reporter),
        ChosenCommand::Retain => dispatch(config::retain(plain, values), cmd::retain::run, reporter),
        ChosenCommand::MarkAndDelete => {
            dispatch(config::mark_and_delete(plain, values), cmd::mark_and_delete::run, reporter)
        }
        ChosenCommand::Doctor => dispatch(config::doctor(plain, values), cmd::doctor::run, reporter),
        ChosenCommand::Status => dispatch(config::status(plain, values), cmd::status::run, reporter),
        ChosenCommand::List => dispatch(config::list(plain, values), cmd::list::run, reporter),
        ChosenCommand::Restore => dispatch(config::restore(plain, values), cmd::restore::run, reporter),
        ChosenCommand::Verify => dispatch(config::verify(plain, values), cmd::verify::run, reporter),
        ChosenCommand::Export => dispatch(config::export(plain, values), cmd::export::run, reporter),
        ChosenCommand::Import => dispatch(config::import(plain, values), cmd::import::run, reporter),
        ChosenCommand::RebindVsc => dispatch(config::rebind(plain, values), cmd::rebind_vsc::run, reporter),
        ChosenCommand::DeleteVsc => dispatch(config::delete_content(plain, values), cmd::delete_vsc::run, reporter),
        ChosenCommand::Trust => dispatch(config::trust(plain, values), cmd::trust::run, reporter),
        ChosenCommand::Delete => dispatch(config::delete(plain, values), cmd::delete::run, reporter),
        ChosenCommand::SyncMetadataToVsc => {
            dispatch(config::sync(plain, values), cmd::sync_metadata_to_vsc::run, reporter)
        }
        ChosenCommand::Locks => dispatch(config::locks(plain, values), cmd::locks::run, reporter),
        ChosenCommand::Env => cmd::env::run(plain, values, reporter).map(Into::into),
        ChosenCommand::Completion => cmd::completion::run(plain, reporter).map(Into::into),
        ChosenCommand::Version => dispatch(config::version(plain, values), cmd::version::run, reporter),
        ChosenCommand::Man => cmd::man::run(plain, reporter).map(Into::into),
        ChosenCommand::Manual(engine, piece) => {
            let run = |global: &_, by_hand: &_, reporter: &_| cmd::by_hand::run(piece, global, by_hand, reporter);
            dispatch(config::by_hand(plain, values, engine), run, reporter)
        }
    }
}

/// Runs a command with its configuration, if that is valid.
fn dispatch<T, C: Into<Conclusion>>(
    config: Result<(Global, T), Fail>,
    run: impl Fn(&Global, &T, &Reporter) -> Result<C>,
    reporter: &Reporter,
) -> Result<Conclusion> {
    let (global, config) = config?;
    apply_timeout(&global);
    run(&global, &config, reporter).map(Into::into)
}

/// From here on the limit of time holds for every command.
fn apply_timeout(global: &config::Global) {
    if let Some(time) = global.timeout {
        process::limit(time);
    }
}
