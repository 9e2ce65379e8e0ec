//! The commands, one file each: gather, plan, do, report. What they decide with is in the core, what they act with are
//! the edges.

mod account;
pub mod adhoc;
pub mod by_hand;
pub mod completion;
mod copies;
pub mod create;
pub mod delete;
pub mod delete_vsc;
pub mod doctor;
pub mod env;
pub mod export;
pub mod import;
pub mod list;
pub mod locks;
pub mod man;
pub mod mark_and_delete;
pub mod notify;
mod proven_snapshot;
mod prune;
pub mod rebind_vsc;
pub mod restore;
pub mod retain;
mod show;
pub mod status;
pub mod sync_metadata_to_vsc;
pub mod trust;
pub mod verify;
pub mod version;
mod watch;

use std::time::Instant;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::kubectl::Kubectl;
use crate::config::{Global, Output};
use crate::core::escape::Secrets;
use crate::io::report::Reporter;

/// What a command works with; `C` is its own configuration.
struct Context<'a, C> {
    global: &'a Global,
    config: &'a C,
    reporter: &'a Reporter,
    kubectl: Kubectl,
    began: Instant,
}

impl<'a, C> Context<'a, C> {
    fn connect(global: &'a Global, config: &'a C, reporter: &'a Reporter) -> Result<Context<'a, C>> {
        let began = Instant::now();
        let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
        Ok(Context { global, config, reporter, kubectl, began })
    }

    /// What is printed of a result: as [`show::shown`], or by the template that was given.
    fn shown<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce() -> String) -> Result<String> {
        match self.global.output {
            Output::Template => show::by_template(&self.kubectl, &self.global.template, value),
            output => Ok(show::shown(output, value, text)),
        }
    }

    /// As [`show::show`].
    fn show<T: Serialize + ?Sized>(&self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        show::show(self.reporter, self.global.output, value, text)
    }
}

/// What a command says at its end, for a notification.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conclusion {
    /// What was done, in a line.
    pub message: String,
    /// The result, as `-o json` prints it.
    pub report: Value,
}

impl From<()> for Conclusion {
    /// Of a command that sends no notification.
    fn from((): ()) -> Conclusion {
        Conclusion::default()
    }
}

/// The clock is read here, once; decisions get the time as an argument.
#[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
