//! A script that runs in a container, on the other end of one `kubectl exec`: values and commands go in, report lines
//! come out, heartbeats go both ways. Knows the protocol of `src/container`, not what a dump is.
//!
//! The container is not trusted, and it knows the nonce: what it says is bounded line by line and in all, so that whatever is
//! kept of a report is bounded too.
//!
//! The script lives as long as its stdin. Whatever ends this program ends kubectl's stdin, that ends the script's, and
//! the script then ends what it started.

use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::kubectl::{self, Kubectl};
use crate::core::backup::pod::Chosen;
use crate::core::escape;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, Hear, Lines, ProcessError};

/// How long a session may be silent: its sign of life comes every second or two.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a line goes in: it keeps idle connections on the way open, and a script that hears none for a minute ends.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a session may take to clean up once its stdin has ended.
const FAREWELL: Duration = Duration::from_secs(8);

/// The status of a script that could not read such a file.
const UNREADABLE: i32 = 71;

/// The longest line of a report, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// How much a session may report, in bytes: the mounts of a busy node and the names of tens of thousands of tables are less.
const MOST: usize = 16 << 20;

/// What keeping one line costs, besides its bytes.
const COST: usize = 64;

/// Lines that come again and again, and that are not kept.
const SIGNS: [&str; 3] = ["beat", "busy", "doubted"];

/// A running script.
pub struct Session {
    lines: Lines,
    heard: Instant,
    reported: usize,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is about.
    pub key: String,
    /// What it says.
    pub value: String,
}

/// Why a script gave up: the value of a line `lost KEY WHY`. Only the key says what to do; the rest is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost<'a> {
    pub key: &'a str,
    pub why: &'a str,
}

impl<'a> Lost<'a> {
    pub fn parse(value: &'a str) -> Lost<'a> {
        let (key, why) = value.split_once(' ').unwrap_or(("other", value));
        Lost { key, why }
    }
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
        let running = kubectl.start(kubectl.target.exec(&chosen.pod, &chosen.container, super::BOOTSTRAP))?;
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
        let nonce = nonce.to_string();
        let hear = move |line: &str| match ours(&nonce, line) {
            None => Hear::No,
            // While the snapshot is cut no line may be read for hours. That must not hold up the sign of life.
            Some(("beat", _)) => Hear::IfRoom,
            Some(_) => Hear::Yes,
        };
        Ok(Session { lines: Lines::chosen(running, LONGEST_LINE, hear), heard: Instant::now(), reported: 0 })
    }

    /// The next line; none if none came within `wait`. A line without the nonce is not from our script.
    ///
    /// # Errors
    /// The stream ended, was silent for too long, said too much, or a signal came.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Line>, ProcessError> {
        let line = self.lines.next(wait)?;
        let Some((_, key, value)) = line.as_deref().and_then(parts) else {
            return match self.heard.elapsed() > SILENCE {
                true => Err(self.lines.running.error(Ending::TimeOut(SILENCE))),
                false => Ok(None),
            };
        };
        self.heard = Instant::now();
        if !SIGNS.contains(&key) {
            self.reported = self.reported.saturating_add(key.len() + value.len() + COST);
        }
        if self.reported > MOST {
            return Err(self.lines.running.error(Ending::TooMuch(MOST)));
        }
        Ok(Some(Line { key: key.into(), value: value.into() }))
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
        self.end();
        self.lines.running.said()
    }

    fn end(&mut self) {
        self.lines.close();
        self.lines.running.close();
        self.lines.running.end(FAREWELL);
    }
}

/// Nonce, key and value of a line.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (nonce, rest) = line.split_once(' ')?;
    let (key, value) = rest.split_once(' ')?;
    Some((nonce, key, value))
}

/// Key and value of a line of ours.
fn ours<'a>(nonce: &str, line: &'a str) -> Option<(&'a str, &'a str)> {
    parts(line).filter(|(first, ..)| *first == nonce).map(|(_, key, value)| (key, value))
}

impl Drop for Session {
    /// Ends the script's stdin and gives it time to clean up.
    fn drop(&mut self) {
        self.end();
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
    if matches!(error.ending, Ending::TooMuch(_)) {
        return fail.remedy(format!("find out what in the container writes to the session of backup-ns; {state}"));
    }
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
