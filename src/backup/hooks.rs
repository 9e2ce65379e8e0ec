//! The user's hooks, which run in the database's container around a backup. They have a session of their own there, so that the
//! post hook runs even if this program is killed. Must not know what the commands do.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::config;
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::pod::Chosen;
use crate::core::escape::Secrets;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, ProcessError};

/// How much longer to wait for the report of a hook than the hook itself may take.
const SPARE: Duration = Duration::from_secs(10);

/// The hooks of a backup between pre and post. Dropping this runs the post hook.
pub struct RunningHooks<'a> {
    config: &'a config::HookCommands,
    session: Option<Session>,
}

impl<'a> RunningHooks<'a> {
    /// Starts the session and runs the pre hook, if there are any hooks.
    ///
    /// # Errors
    /// It failed, and BAK_HOOK_ON_ERROR is not `continue`. The post hook runs nevertheless.
    pub fn run_pre(
        kubectl: &Kubectl,
        chosen: Option<&Chosen>,
        config: &'a config::HookCommands,
        nonce: &str,
    ) -> Result<RunningHooks<'a>> {
        if config.pre.is_empty() && config.post.is_empty() {
            return Ok(RunningHooks { config, session: None });
        }
        let chosen = chosen.ok_or_else(|| {
            Fail::new(Exit::Precondition, "there is no pod in which the hooks could run")
                .remedy("start what mounts the volume, or leave BAK_HOOK_PRE and BAK_HOOK_POST unset")
        })?;
        let values = [config.timeout.as_secs().max(1).to_string(), config.pre.clone(), config.post.clone()];
        let start = || Session::start(kubectl, chosen, container::HOOK, nonce, &values);
        // Not repeated: a session that broke off may have run its command.
        let session = start().map_err(|error| broken(config, error))?;
        let mut hooks = RunningHooks { config, session: Some(session) };
        match hooks.wait("pre") {
            Err(error) if !config.continue_on_error || error.is_signal() => Err(error),
            Err(error) => {
                tracing::warn!("going on all the same: {error:#}");
                Ok(hooks)
            }
            Ok(()) => Ok(hooks),
        }
    }

    /// Runs the post hook, even after a failure or a signal.
    ///
    /// # Errors
    /// It failed, and BAK_HOOK_ON_ERROR is not `continue`.
    pub fn run_post(&mut self) -> Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if self.config.post.is_empty() {
            self.session = None;
            return Ok(());
        }
        session.tell("post");
        let outcome = process::unhurried(|| self.wait("post"));
        self.session = None;
        match outcome {
            Err(error) if self.config.continue_on_error => {
                tracing::warn!("going on all the same: {error:#}");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Waits for the end of the hook `which`, `pre` or `post`. Its output may contain the command with its secrets, because
    /// shells quote a line that they cannot parse. So the output goes to the log and not into the failure: failures go into
    /// Events.
    fn wait(&mut self, which: &str) -> Result<()> {
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
        bail!(Fail::new(Exit::Failed, what).remedy(
            "see in the log of this run what it printed; correct the command, or set BAK_HOOK_ON_ERROR=continue \
             (--hook-on-error) to overlook it",
        ))
    }
}

/// The failure for a session that broke off, without the container's output.
fn broken(config: &config::HookCommands, error: ProcessError) -> Fail {
    log(config, &error.said());
    let known = session::fail(&error, Exit::Failed, "the hook after runs in the container by itself");
    let what = ProcessError { stderr: String::new(), ..error }.to_string();
    Fail { what, ..known }
}

/// Logs the container's output, with whole lines of the commands masked.
fn log(config: &config::HookCommands, said: &str) {
    if !said.is_empty() {
        let lines = config.pre.lines().chain(config.post.lines()).map(str::trim);
        let commands = Secrets::new(lines.filter(|line| line.len() > 8).map(String::from));
        tracing::warn!("the hooks' session said: {}", commands.mask(said));
    }
}

impl Drop for RunningHooks<'_> {
    /// Runs the post hook if the backup ended early.
    fn drop(&mut self) {
        if let Err(error) = self.run_post() {
            tracing::warn!("{error:#}");
        }
    }
}
