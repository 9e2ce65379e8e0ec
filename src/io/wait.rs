//! Waits that end early when a signal came or the run's time is over. Must not know what is waited for.

use std::time::{Duration, Instant};

use crate::core::escape::Secrets;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, ProcessError};

/// The failure of a run that a signal or its own limit of time ended, if it was one of these.
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

/// The failure that a wait has to end with now, if it has to.
pub fn interrupted() -> Option<Fail> {
    let ending = process::hurried()?;
    stopped(&ProcessError { command: String::new(), ending, stderr: String::new(), secrets: Secrets::default() })
}

/// Looks every second until `look` finds what is waited for; none if it did not within `limit`.
///
/// # Errors
/// Those of `look`, or the wait had to end.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> Result<Option<T>, Fail>) -> Result<Option<T>, Fail> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if let Some(fail) = interrupted() {
            return Err(fail);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        process::sleep(left.min(Duration::from_secs(1)));
    }
}
