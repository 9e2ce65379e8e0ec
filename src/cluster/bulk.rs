//! Changes many objects with a few kubectl side by side, and tells those that were refused apart. Must not know why they are
//! changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::{self, Refusal};
use crate::core::kube::calls::Relabel;
use crate::core::kube::pace::Pace;
use crate::core::words::counted;
use crate::io::process::{self, Ending, Lines, ProcessError};

/// An object, by namespace, which may be empty, and name.
pub type Name = (String, String);

/// Why an object did not get its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is not there any more, or it was changed the other way meanwhile: there is nothing to do for it now.
    Overtaken(String),
    /// The API refused it, or could not be reached.
    Failed(String),
}

/// Changes labels of `objects`. Those that did not get the change are returned, with the reason; `progress` gets how many
/// are done.
///
/// # Errors
/// As [`each`].
pub fn relabel(
    kubectl: &Kubectl,
    pace: &mut Pace,
    change: &Relabel,
    objects: &[Name],
    progress: impl FnMut(usize),
) -> Result<BTreeMap<Name, Refused>> {
    let object = |(namespace, name): &Name| {
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"namespace": namespace, "name": name},
        })
        .to_string()
    };
    each(kubectl, pace, &kubectl.target.relabel(change), objects, object, progress)
}

/// Makes a call for `objects`, of each of which `text` is what is sent, and again for those whose refusal was a passing one.
/// They are split among several kubectl side by side, as `pace` says. Those that it did not get through with are returned, with
/// the reason; `progress` gets how many are done.
///
/// # Errors
/// kubectl cannot be run, or a signal came: how far it got is unknown, and doing it again does no harm.
pub fn each(
    kubectl: &Kubectl,
    pace: &mut Pace,
    call: &[String],
    objects: &[Name],
    text: impl Fn(&Name) -> String + Sync,
    mut progress: impl FnMut(usize),
) -> Result<BTreeMap<Name, Refused>> {
    let mut waiting: BTreeSet<Name> = objects.iter().cloned().collect();
    let mut refused = BTreeMap::new();
    let mut deadline = Instant::now() + kubectl.retry_timeout;
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut names = std::mem::take(&mut waiting).into_iter();
        let shares = pace.shares(before).into_iter().map(|size| names.by_ref().take(size).collect()).collect();
        let attempts = side_by_side(kubectl, call, &text, shares, |left| progress(objects.len() - left))?;
        let (mut again, mut overload) = (None, false);
        for (mut left, error) in attempts {
            let Some(error) = error else { continue };
            let said = sort_out(&error, &mut left, &mut refused);
            let words = said.lines().last().map_or_else(|| error.to_string(), str::to_string);
            match Passing::of(&error, &said) {
                Some(passing) => {
                    overload |= passing == Passing::Overload;
                    again = Some(words);
                    waiting.extend(left);
                }
                None => {
                    let why = judge(&words);
                    refused.extend(left.into_iter().map(|name| (name, why.clone())));
                }
            }
        }
        let Some(words) = again else {
            pace.speed_up();
            break;
        };
        if waiting.len() < before {
            deadline = Instant::now() + kubectl.retry_timeout;
        }
        let (pause, left) = (pace.slow_down(overload), deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            let failed = Refused::Failed(words);
            refused.extend(std::mem::take(&mut waiting).into_iter().map(|name| (name, failed.clone())));
        } else if !waiting.is_empty() {
            let changes = counted(objects.len(), "change");
            tracing::warn!("not made yet: {} of {changes}, asking again: {words}", waiting.len());
            process::sleep(pause.min(left));
        }
    }
    Ok(refused)
}

/// Why a call is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// The API, or this machine, had too much to do.
    Overload,
    Other,
}

impl Passing {
    /// None if the error will not pass.
    fn of(error: &ProcessError, said: &str) -> Option<Passing> {
        match error.ending {
            Ending::Early => Some(Passing::Other),
            // Where it was killed, as a pod without memory for so many kubectl does, it did not say anything.
            Ending::Status(status) if status.code().is_some() => {
                let passes = said.lines().any(|line| Refusal::of(line) == Refusal::Transient);
                let passing = if refusal::is_throttled(said) { Passing::Overload } else { Passing::Other };
                passes.then_some(passing)
            }
            _ => Some(Passing::Overload),
        }
    }
}

/// What was not made of a share, and how its kubectl ended, if anything was not.
type ShareOutcome = (BTreeSet<Name>, Option<ProcessError>);

/// One kubectl for each share, all at the same time; `progress` gets how many still wait.
fn side_by_side(
    kubectl: &Kubectl,
    call: &[String],
    text: &(impl Fn(&Name) -> String + Sync),
    shares: Vec<BTreeSet<Name>>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<ShareOutcome>> {
    let mut left: usize = shares.iter().map(BTreeSet::len).sum();
    let (made, each_made) = mpsc::channel();
    thread::scope(|scope| {
        let share = |mut waiting: BTreeSet<Name>| {
            let made = made.clone();
            let run = move || {
                // The receiver is there until all are through.
                let made = || made.send(()).unwrap_or_default();
                attempt(kubectl, call, text, &mut waiting, made).map(|error| (waiting, error))
            };
            scope.spawn(run)
        };
        let running: Vec<_> = shares.into_iter().map(share).collect();
        drop(made);
        for () in each_made {
            left -= 1;
            progress(left);
        }
        let ended = |share: ScopedJoinHandle<'_, Result<ShareOutcome>>| {
            share.join().unwrap_or_else(|_| bail!("the thread that watches a kubectl failed"))
        };
        running.into_iter().map(ended).collect()
    })
}

/// One kubectl for all that wait. An object that it made the change on waits no longer, and `made` is called. Returns how it
/// ended, if any still wait.
fn attempt(
    kubectl: &Kubectl,
    call: &[String],
    text: impl Fn(&Name) -> String,
    waiting: &mut BTreeSet<Name>,
    made: impl Fn(),
) -> Result<Option<ProcessError>> {
    // Object by object, because tens of thousands of them as values take their room.
    let mut list = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for (number, name) in waiting.iter().enumerate() {
        list.push_str(if number == 0 { "" } else { "," });
        list.push_str(&text(name));
    }
    list.push_str("]}");
    let running = match kubectl.start(call.to_vec()) {
        Ok(running) => running,
        // A pod may have no room for one more process.
        Err(error) if matches!(error.ending, Ending::Io(_)) => return Ok(Some(error)),
        Err(error) => return Err(error.into()),
    };
    running.feed(list);
    let mut lines = Lines::of(running);
    // Each object is a request or two: silence for longer than they may take is no work.
    let silence = kubectl.target.request_timeout * 2 + Duration::from_secs(10);
    loop {
        match lines.next(silence) {
            Ok(Some(line)) => {
                if let Some((namespace, name)) = line.split_once('/')
                    && waiting.remove(&(namespace.to_string(), name.to_string()))
                {
                    made();
                }
            }
            Ok(None) => return Ok(Some(lines.running.error(Ending::TimeOut(silence)))),
            Err(error) if matches!(error.ending, Ending::Signal(_) | Ending::OutOfTime(_)) => return Err(error.into()),
            Err(_) if waiting.is_empty() => return Ok(None),
            Err(error) => return Ok(Some(error)),
        }
    }
}

/// Takes those out of `waiting` about whom kubectl said why they were refused for good, each in a line with its name in
/// quotes. It does not say so of everyone, and only its last lines are kept. Returns what it said.
fn sort_out(error: &ProcessError, waiting: &mut BTreeSet<Name>, refused: &mut BTreeMap<Name, Refused>) -> String {
    let said = error.said();
    let mut namesakes: BTreeMap<String, usize> = BTreeMap::new();
    waiting.iter().for_each(|(_, name)| *namesakes.entry(name.clone()).or_default() += 1);
    waiting.retain(|name| {
        let quoted = format!("\"{}\"", name.1);
        let place = format!("in the namespace \"{}\"", name.0);
        let is_it = |line: &&str| {
            // Not every refusal names the namespace too.
            line.contains(&quoted)
                && (namesakes[&name.1] == 1 || line.contains(&place))
                && Refusal::of(line) != Refusal::Transient
        };
        let line = said.lines().find(is_it);
        if let Some(line) = line {
            refused.insert(name.clone(), judge(line));
        }
        line.is_none()
    });
    said
}

/// What a refusal means, by its words.
fn judge(words: &str) -> Refused {
    match Refusal::of(words) {
        Refusal::NotFound => Refused::Overtaken("it is gone".into()),
        Refusal::Conflict => Refused::Overtaken("another client changed it".into()),
        _ if words.contains("already has a value") => Refused::Overtaken("it has another value already".into()),
        _ => Refused::Failed(words.into()),
    }
}
