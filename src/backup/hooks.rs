//! What a user wants run in the database's container around a backup. It runs in a session of its own there, so that the
//! command after runs however this program ends. Must not know what the commands do.

use std::time::Duration;

use crate::cluster::kubectl::Kubectl;
use crate::config;
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::pod::Chosen;
use crate::core::escape::Secrets;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, ProcessError};

/// How much longer a hook's end may take to be told than the hook itself.
const SPARE: Duration = Duration::from_secs(10);

/// Hooks whose command before was run, and whose command after will be, at the latest when this goes.
pub struct RunningHooks<'a> {
    config: &'a config::HookCommands,
    session: Option<Session>,
}

impl<'a> RunningHooks<'a> {
    /// Runs the command before, where there are any commands.
    ///
    /// # Errors
    /// It failed, and that is not to be overlooked. The command after runs all the same.
    pub fn run_pre(
        kubectl: &Kubectl,
        chosen: Option<&Chosen>,
        config: &'a config::HookCommands,
        nonce: &str,
    ) -> Result<RunningHooks<'a>, Fail> {
        if config.pre.is_empty() && config.post.is_empty() {
            return Ok(RunningHooks { config, session: None });
        }
        let chosen = chosen.ok_or_else(|| {
            Fail::new(Exit::Precondition, "there is no pod in which the hooks could run")
                .remedy("start what mounts the volume, or leave BAK_HOOK_PRE and BAK_HOOK_POST unset")
        })?;
        let values = [config.timeout.as_secs().max(1).to_string(), config.pre.clone(), config.post.clone()];
        let start = || Session::start(kubectl, chosen, container::HOOK, nonce, &values);
        // Asked once only: nobody knows whether a session that broke off has run its command.
        let session = start().map_err(|error| broken(config, error))?;
        let mut hooks = RunningHooks { config, session: Some(session) };
        match hooks.wait("pre") {
            Err(fail) if !config.continue_on_error || matches!(fail.exit, Exit::Signal(_)) => Err(fail),
            Err(fail) => {
                tracing::warn!("going on all the same: {}", fail.what);
                Ok(hooks)
            }
            Ok(()) => Ok(hooks),
        }
    }

    /// Runs the command after, whatever came before, and be it a signal.
    ///
    /// # Errors
    /// It failed, and that is not to be overlooked.
    pub fn run_post(&mut self) -> Result<(), Fail> {
        let Some(session) = &self.session else { return Ok(()) };
        if self.config.post.is_empty() {
            self.session = None;
            return Ok(());
        }
        session.tell("post");
        let outcome = process::unhurried(|| self.wait("post"));
        self.session = None;
        match outcome {
            Err(fail) if self.config.continue_on_error => {
                tracing::warn!("going on all the same: {}", fail.what);
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Waits for the end of the command `which`. What it printed may be the command itself, secrets and all, as shells quote a
    /// line that they do not understand: it goes to the log and into no failure, because failures go into Events.
    fn wait(&mut self, which: &str) -> Result<(), Fail> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let setting = if which == "pre" { "BAK_HOOK_PRE" } else { "BAK_HOOK_POST" };
        let status =
            session.until(which, self.config.timeout + SPARE, |_, _| ()).map_err(|error| broken(self.config, error))?;
        let what = match status.as_str() {
            "0" => return Ok(()),
            "timeout" => {
                format!("{setting} was not done within {}", humantime::format_duration(self.config.timeout))
            }
            status => format!("{setting} ended with status {status}"),
        };
        log(self.config, &session.said());
        Err(Fail::new(Exit::Failed, what).remedy(
            "see in the log of this run what it printed; correct the command, or set BAK_HOOK_ON_ERROR=continue \
             (--hook-on-error) to overlook it",
        ))
    }
}

/// A session that broke off as a failure without what came from there.
fn broken(config: &config::HookCommands, error: ProcessError) -> Fail {
    log(config, &error.said());
    let known = session::fail(&error, Exit::Failed, "the hook after runs in the container by itself");
    let what = ProcessError { stderr: String::new(), ..error }.to_string();
    Fail { what, ..known }
}

/// Tells what came from the container, without whole lines of the commands.
fn log(config: &config::HookCommands, said: &str) {
    if !said.is_empty() {
        let lines = config.pre.lines().chain(config.post.lines()).map(str::trim);
        let commands = Secrets::new(lines.filter(|line| line.len() > 8).map(String::from));
        tracing::warn!("the hooks' session said: {}", commands.mask(said));
    }
}

impl Drop for RunningHooks<'_> {
    /// The command after runs even where the backup was left in the middle.
    fn drop(&mut self) {
        if let Err(fail) = self.run_post() {
            tracing::warn!("{}", fail.what);
        }
    }
}
