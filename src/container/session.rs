//! A script that runs in a container through one `kubectl exec`: values and commands go in, report lines come out, heartbeats go
//! both ways. Knows the protocol of the scripts, which docs/architecture.md lists; must not know what a dump is.
//!
//! The container is not trusted, and it knows the nonce. So the length of each line and of the whole report is limited.
//!
//! If this program ends for any reason, kubectl's stdin ends, then the script's, and the script ends what it started.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::core::backup::pod::Chosen;
use crate::core::escape;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, Hear, Lines, ProcessError, RunningProcess};

/// How long a session may be silent. It sends a heartbeat every second or two.
const SILENCE: Duration = Duration::from_secs(60);

/// How often a heartbeat goes in. It keeps idle connections open, and a script that gets none for a minute ends.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long a session may take to clean up once its stdin has ended.
const FAREWELL: Duration = Duration::from_secs(8);

/// The exit status of a script that could not read the file of a `NAME_FILE` variable.
const UNREADABLE: i32 = 71;

/// The longest line of a report, in bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// The longest report of a session, in bytes. The mounts of a busy node and the names of tens of thousands of tables need less.
const MOST: usize = 16 << 20;

/// The memory that one line of a report takes besides its bytes.
const COST: usize = 64;

/// Keys of lines that are repeated and not kept.
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
    pub key: String,
    pub value: String,
}

impl Line {
    /// How many bytes are done by a `beat`; none if it does not say.
    pub fn bytes_done(&self) -> Option<u64> {
        self.value.trim().parse().ok().filter(|done| *done > 0)
    }
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
    /// kubectl cannot be started. Errors of the cluster are returned by [`Session::next`].
    pub fn start(
        kubectl: &Kubectl,
        chosen: &Chosen,
        script: &str,
        nonce: &str,
        values: &[String],
    ) -> Result<Session, ProcessError> {
        let running = exec(kubectl, chosen)?;
        // If kubectl has ended, next() returns its error.
        let _ = running.write(&text(script, nonce, values));
        let input = running.input();
        thread::spawn(move || {
            while {
                thread::sleep(HEARTBEAT);
                process::write(&input, "beat\n").is_ok()
            } {}
        });
        Ok(Session::of(running, nonce))
    }

    /// Starts `script` likewise. `feed` writes to its stdin behind the values, on a thread of its own, instead of heartbeats and
    /// commands; stdin ends when `feed` returns. `feed` is not called if the script cannot be sent.
    ///
    /// # Errors
    /// As [`Session::start`].
    pub fn start_fed(
        kubectl: &Kubectl,
        chosen: &Chosen,
        script: &str,
        nonce: &str,
        values: &[String],
        feed: impl FnOnce(&mut dyn Write) + Send + 'static,
    ) -> Result<Session, ProcessError> {
        let running = exec(kubectl, chosen)?;
        let input = running.take_input();
        let text = text(script, nonce, values);
        thread::spawn(move || {
            if let Some(mut input) = input
                && input.write_all(text.as_bytes()).is_ok()
            {
                feed(&mut input);
            }
        });
        Ok(Session::of(running, nonce))
    }

    fn of(running: RunningProcess, nonce: &str) -> Session {
        let nonce = nonce.to_string();
        let hear = move |line: &str| match ours(&nonce, line) {
            None => Hear::No,
            // While the snapshot is cut, no line is read, perhaps for hours. A full queue must not block the session then.
            Some(("beat", _)) => Hear::IfRoom,
            Some(_) => Hear::Yes,
        };
        Session { lines: Lines::filtered(running, LONGEST_LINE, hear), heard: Instant::now(), reported: 0 }
    }

    /// The next line, or `None` if none came within `wait`. Lines without the nonce are dropped.
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

    /// Gives each line to `note` until one has the key `last`, and returns the value of that one.
    ///
    /// # Errors
    /// As [`Session::next`], or the line did not come within `limit`.
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

    /// Sends a command; silence counts from now. If it cannot be sent, [`Session::next`] returns the error.
    pub fn tell(&mut self, command: &str) {
        self.heard = Instant::now();
        let _ = self.lines.running.write(&format!("{command}\n"));
    }

    /// What the script and kubectl wrote to stderr so far.
    pub fn said(&self) -> String {
        self.lines.running.said()
    }

    /// Ends the session, and returns all that the script and kubectl wrote to stderr.
    pub fn last_words(&mut self) -> String {
        self.end();
        self.lines.running.said()
    }

    /// Kills kubectl, which ends the script's stdin.
    pub fn kill(&mut self) {
        self.lines.running.kill();
    }

    fn end(&mut self) {
        self.lines.close();
        self.lines.running.close();
        self.lines.running.end(FAREWELL);
    }
}

fn exec(kubectl: &Kubectl, chosen: &Chosen) -> Result<RunningProcess, ProcessError> {
    kubectl.start(kubectl.target.exec(&chosen.pod, &chosen.container, super::BOOTSTRAP))
}

/// What goes to stdin first: the script, and its values.
fn text(script: &str, nonce: &str, values: &[String]) -> String {
    let mut text = script.to_string();
    for value in std::iter::once(nonce).chain(values.iter().map(String::as_str)) {
        text.push_str(&escape::line(value));
        text.push('\n');
    }
    text
}

/// Nonce, key and value of a line.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let (nonce, rest) = line.split_once(' ')?;
    let (key, value) = rest.split_once(' ')?;
    Some((nonce, key, value))
}

/// Key and value of a line that begins with the nonce.
fn ours<'a>(nonce: &str, line: &'a str) -> Option<(&'a str, &'a str)> {
    parts(line).filter(|(first, ..)| *first == nonce).map(|(_, key, value)| (key, value))
}

impl Drop for Session {
    /// Ends the script's stdin and gives it time to clean up.
    fn drop(&mut self) {
        self.end();
    }
}

/// For remedies: what the user has if the dump session failed before the rename.
pub const UNTOUCHED: &str = "the last good dump is untouched";

/// The failure for a session that broke off in the phase of `exit`: its end proves nothing, even with status 0. `state` says
/// what the user has now.
pub fn fail(error: &ProcessError, exit: Exit, state: &str) -> Fail {
    if let Some(what) = unreadable(error) {
        return Fail::new(Exit::Precondition, what)
            .remedy("correct the container's variable, mount the file there or let the container's user read it; or name the value in a setting of backup-ns");
    }
    let fail = error.fail().during(exit);
    if matches!(error.ending, Ending::TooMuch(_)) {
        return fail.remedy(format!("find out what in the container writes to the session of backup-ns; {state}"));
    }
    if fail.remedy.is_empty() {
        fail.remedy(format!("look at the pod's events and the container's restarts, then run it again; {state}"))
    } else {
        fail
    }
}

/// The message of a script that could not read the file of a `NAME_FILE` variable, see `common.sh`. The exit status decides.
fn unreadable(error: &ProcessError) -> Option<String> {
    let Ending::Status(status) = &error.ending else { return None };
    let said = error.said();
    let line = said.lines().find(|line| line.contains("_FILE names ") && status.code() == Some(UNREADABLE));
    line.map(str::to_string)
}
