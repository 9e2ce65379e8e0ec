//! A script that runs in a container, on the other end of one `kubectl exec`: values and commands go in, report lines
//! come out, heartbeats go both ways. Knows the protocol of `src/container`, not what a dump is.
//!
//! The script lives as long as its stdin. Whatever ends this program ends kubectl's stdin, that ends the script's, and
//! the script then ends what it started.

use std::thread;
use std::time::{Duration, Instant};

use crate::core::escape;
use crate::core::pod::Chosen;
use crate::exit::{Exit, Fail};
use crate::kubectl::{self, Kubectl};
use crate::process::{self, Ending, Lines, ProcessError};

/// How long a session may be silent: its sign of life comes every second or two.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a line goes in: it keeps idle connections on the way open, and a script that hears none for a minute ends.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a session may take to clean up once its stdin has ended.
const FAREWELL: Duration = Duration::from_secs(8);

/// The status of a script that could not read such a file.
const UNREADABLE: i32 = 71;

/// A running script.
pub struct Session {
    lines: Lines,
    prefix: String,
    heard: Instant,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub key: String,
    /// What it says.
    pub value: String,
}

impl Session {
    /// Starts `script` in the chosen container with `values` on its stdin. The first value is `nonce`, with which every
    /// line of the report must begin.
    ///
    /// # Errors
    /// kubectl cannot be started. What goes wrong in the cluster shows in [`Session::next`].
    pub fn start(
        kubectl: &Kubectl,
        chosen: &Chosen,
        script: &str,
        nonce: &str,
        values: &[String],
    ) -> Result<Session, ProcessError> {
        let running = kubectl.start(kubectl.target.exec(&chosen.pod, &chosen.container))?;
        let mut text = script.to_string();
        for value in std::iter::once(nonce).chain(values.iter().map(String::as_str)) {
            text.push_str(&escape::line(value));
            text.push('\n');
        }
        // A kubectl that ends at once reads nothing; next() says why.
        let _ = running.write(&text);
        let input = running.input();
        thread::spawn(move || {
            while {
                thread::sleep(HEARTBEAT);
                process::write(&input, "beat\n").is_ok()
            } {}
        });
        Ok(Session { lines: Lines::of(running), prefix: format!("{nonce} "), heard: Instant::now() })
    }

    /// The next line; none if none came within `wait`. A line without the nonce is not from our script.
    ///
    /// # Errors
    /// The stream ended, was silent for too long, or a signal came.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Line>, ProcessError> {
        let line = self.lines.next(wait)?;
        let ours = line.as_deref().and_then(|line| line.strip_prefix(&self.prefix)?.split_once(' '));
        if let Some((key, value)) = ours {
            self.heard = Instant::now();
            return Ok(Some(Line { key: key.into(), value: value.into() }));
        }
        if self.heard.elapsed() > SILENCE {
            return Err(self.lines.running.error(Ending::TimeOut(SILENCE)));
        }
        Ok(None)
    }

    /// Lines up to and without the one with the key `last`, in order, each given to `note`; returns that line's value.
    ///
    /// # Errors
    /// As [`Session::next`], or it did not come within `limit`.
    pub fn until(
        &mut self,
        last: &str,
        limit: Duration,
        mut note: impl FnMut(&str, &str),
    ) -> Result<String, ProcessError> {
        let began = Instant::now();
        loop {
            if began.elapsed() > limit {
                return Err(self.lines.running.error(Ending::TimeOut(limit)));
            }
            if let Some(line) = self.next(Duration::from_secs(1))? {
                if line.key == last {
                    return Ok(line.value);
                }
                note(&line.key, &line.value);
            }
        }
    }

    /// Gives a command. That nobody heard it shows in [`Session::next`].
    pub fn tell(&self, command: &str) {
        let _ = self.lines.running.write(&format!("{command}\n"));
    }

    /// What the script and kubectl wrote to stderr so far.
    pub fn said(&self) -> String {
        self.lines.running.said()
    }

    /// Ends the session; what the script and kubectl wrote to stderr to the last.
    pub fn last_words(&mut self) -> String {
        self.lines.running.close();
        self.lines.running.end(FAREWELL);
        self.lines.running.said()
    }
}

impl Drop for Session {
    /// Ends the script's stdin and gives it time to clean up.
    fn drop(&mut self) {
        self.lines.running.close();
        self.lines.running.end(FAREWELL);
    }
}

/// The state of things in which nothing was replaced yet.
pub const UNTOUCHED: &str = "the last good dump is untouched";

/// A broken session as a failure of the phase `exit`: that it ended, even with status 0, proves nothing. `state` is what the
/// reader may rely on.
pub fn fail(error: &ProcessError, exit: Exit, state: &str) -> Fail {
    if let Some(what) = unreadable(error) {
        return Fail::new(Exit::Precondition, what)
            .remedy("correct what the container is told, mount the file there or let the container's user read it; or name the value in a setting of backup-ns");
    }
    let fail = kubectl::fail(error).during(exit);
    if fail.remedy.is_empty() {
        fail.remedy(format!("look at the pod's events and the container's restarts, then run it again; {state}"))
    } else {
        fail
    }
}

/// What a script said of a file that the container's environment names and that it could not read, see `common.sh`.
fn unreadable(error: &ProcessError) -> Option<String> {
    let Ending::Status(status) = &error.ending else { return None };
    let said = error.said();
    let line = said.lines().find(|line| line.contains("_FILE names ") && status.code() == Some(UNREADABLE));
    line.map(str::to_string)
}
