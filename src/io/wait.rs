//! Waits that end early on a signal or when the run's time is up. Must not know what is waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::core::escape::Secrets;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, ProcessError};

/// The failure if a signal or the time limit of the run ended a process.
pub fn stopped(error: &ProcessError) -> Option<Fail> {
    match error.ending {
        Ending::Signal(signal) => Some(Fail::new(Exit::Signal(signal), error.to_string())),
        Ending::OutOfTime(_) => Some(
            Fail::new(Exit::Failed, error.to_string())
                .remedy("find out what takes so long, or raise BAK_TIMEOUT (--timeout)"),
        ),
        _ => None,
    }
}

/// The failure with which a wait must end now, after a signal or when the time is up.
pub fn interrupted() -> Option<Fail> {
    let ending = process::hurried()?;
    stopped(&ProcessError { command: String::new(), ending, stderr: String::new(), secrets: Secrets::default() })
}

/// Calls `look` every second until it finds something, or returns None after `limit`.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if let Some(fail) = interrupted() {
            bail!(fail);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        process::sleep(left.min(Duration::from_secs(1)));
    }
}
