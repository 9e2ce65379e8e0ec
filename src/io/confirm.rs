//! Asks for confirmation at the terminal. Must not know what is confirmed.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::exit::{Exit, Fail};
use crate::io::report::Reporter;
use crate::io::wait;

/// Asks the question `what`, and fails unless the answer is yes. With `yes` it does not ask; `flag` is the flag for that.
pub fn confirm(reporter: &Reporter, what: &str, yes: bool, flag: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let asked = format!(
            "nothing was changed: confirmation is needed, but stdin is not a terminal. The question is: {what}"
        );
        bail!(
            Fail::new(Exit::Usage, asked).remedy(format!("use {flag} to confirm; --dry-run shows what would be done"))
        );
    }
    reporter.ask(&format!("{what}\nGo on? [y/N] "));
    // A thread reads the answer, so that this one notices signals.
    let (send, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        // The receiver is gone if a signal came first.
        let _ = send.send(read.map(|_| line));
    });
    let line = loop {
        match answer.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => break line.unwrap_or_default(),
            Err(mpsc::RecvTimeoutError::Disconnected) => break String::new(),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some(fail) = wait::interrupted() {
            bail!(fail);
        }
    };
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!(Fail::new(Exit::Failed, "nothing was changed: the answer was not yes")),
    }
}
