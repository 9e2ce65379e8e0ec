//! The commands, one file each: gather, plan, do, report. What they decide with is in the core, what they act with are
//! the edges.

pub mod create;
pub mod mark_and_delete;
mod prune;
pub mod retain;

use chrono::{DateTime, Utc};

use crate::exit::{Exit, Fail};
use crate::report::Reporter;

/// The clock is read here, once; everything that is decided is told the time.
#[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn print(reporter: &Reporter, text: &str) -> Result<(), Fail> {
    reporter
        .result(text)
        .map_err(|error| Fail::new(Exit::Failed, format!("the result cannot be written to stdout: {error}")))
}
