//! Asks the person at the terminal before something is done that cannot be undone. Must not know what that is.

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::exit::{Exit, Fail};
use crate::io::report::Reporter;
use crate::io::wait;

/// Asks whether to do `what`, a sentence; returns when the answer is yes. With `yes` nobody is asked; `flag` is how to say
/// so beforehand.
///
/// # Errors
/// The answer is no, a signal came instead, or there is nobody to ask.
pub fn confirm(reporter: &Reporter, what: &str, yes: bool, flag: &str) -> Result<(), Fail> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let asked = format!(
            "nothing was changed: confirmation is needed, but stdin is not a terminal. The question is: {what}"
        );
        return Err(Fail::new(Exit::Usage, asked)
            .remedy(format!("say {flag} if it is meant; --dry-run shows what would be done")));
    }
    reporter.ask(&format!("{what}\nGo on? [y/N] "));
    // The answer is read aside, so that a signal is heard meanwhile.
    let (send, answer) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        // Nobody waits any more if a signal came first.
        let _ = send.send(read.map(|_| line));
    });
    let line = loop {
        match answer.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => break line.unwrap_or_default(),
            Err(mpsc::RecvTimeoutError::Disconnected) => break String::new(),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some(fail) = wait::interrupted() {
            return Err(fail);
        }
    };
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Fail::new(Exit::Failed, "nothing was changed: the answer was not yes")),
    }
}
