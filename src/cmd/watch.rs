//! `--watch`: reads again and again, and prints what changed. Must not know what is read.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::failure::Failure;
use crate::cmd::show::printed;
use crate::io::process;
use crate::io::report::Reporter;
use crate::io::wait;

/// A pause is at least so many times as long as the reading before it: of very many objects it costs the API server much.
const REST: u32 = 10;

/// Prints what `read` returns, every so often, until a signal comes or the reader of the output is gone. `read` returns None
/// if nothing changed, and fails at first if nothing can be read; later that is a warning.
///
/// # Errors
/// A signal came, or the first reading failed.
pub fn watch(every: Duration, reporter: &Reporter, mut read: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let mut is_first = true;
    loop {
        let began = Instant::now();
        match read() {
            Ok(Some(text)) if !printed(reporter, &text)? => return Ok(()),
            Ok(_) => is_first = false,
            Err(error) if !is_first && wait::interrupted().is_none() => {
                let fail = error.fail();
                tracing::warn!(remedy = fail.remedy, "it cannot be read at the moment: {}", fail.what);
            }
            Err(error) => return Err(error),
        }
        process::sleep(every.max(began.elapsed() * REST));
        if let Some(fail) = wait::interrupted() {
            bail!(fail);
        }
    }
}
