//! Changes many objects with one kubectl, and tells those that were refused apart. Must not know why they are changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::kube::calls::Relabel;
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

/// Changes a label of `objects`. Those that did not get the change are returned, with the reason; `progress` gets how
/// many are done.
///
/// # Errors
/// As [`each`].
pub fn relabel(
    kubectl: &Kubectl,
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
    each(kubectl, &kubectl.target.relabel(change), objects, object, progress)
}

/// Makes a call for `objects`, of each of which `text` is what is sent, and again for those whose refusal was a passing one.
/// Those that it did not get through with are returned, with the reason; `progress` gets how many are done.
///
/// # Errors
/// kubectl cannot be run, or a signal came: how far it got is unknown, and doing it again does no harm.
pub fn each(
    kubectl: &Kubectl,
    call: &[String],
    objects: &[Name],
    text: impl Fn(&Name) -> String,
    mut progress: impl FnMut(usize),
) -> Result<BTreeMap<Name, Refused>> {
    let mut waiting: BTreeSet<Name> = objects.iter().cloned().collect();
    let mut refused = BTreeMap::new();
    let mut deadline = Instant::now() + kubectl.retry_timeout;
    while !waiting.is_empty() {
        let before = waiting.len();
        let attempt = attempt(kubectl, call, &text, &mut waiting, |left| progress(objects.len() - left))?;
        let Some(error) = attempt else { break };
        let said = sort_out(&error, &mut waiting, &mut refused);
        let passing = !matches!(error.ending, Ending::Status(_))
            || said.lines().any(|line| Refusal::of(line) == Refusal::Transient);
        let words = said.lines().last().map_or_else(|| error.to_string(), str::to_string);
        if waiting.len() < before {
            deadline = Instant::now() + kubectl.retry_timeout;
        }
        if !passing || Instant::now() >= deadline {
            let why = if passing { Refused::Failed(words) } else { judge(&words) };
            refused.extend(std::mem::take(&mut waiting).into_iter().map(|name| (name, why.clone())));
        } else if !waiting.is_empty() {
            let changes = counted(objects.len(), "change");
            tracing::warn!("not made yet: {} of {changes}, asking again: {words}", waiting.len());
            process::sleep(Duration::from_secs(1).min(deadline.saturating_duration_since(Instant::now())));
        }
    }
    Ok(refused)
}

/// One kubectl for all that wait; whom it is through with waits no longer. What it ended with, if anybody still does.
fn attempt(
    kubectl: &Kubectl,
    call: &[String],
    text: impl Fn(&Name) -> String,
    waiting: &mut BTreeSet<Name>,
    mut progress: impl FnMut(usize),
) -> Result<Option<ProcessError>> {
    // Object by object, because tens of thousands of them as values take their room.
    let mut list = String::from(r#"{"apiVersion":"v1","kind":"List","items":["#);
    for (number, name) in waiting.iter().enumerate() {
        list.push_str(if number == 0 { "" } else { "," });
        list.push_str(&text(name));
    }
    list.push_str("]}");
    let running = kubectl.start(call.to_vec())?;
    running.feed(list);
    let mut lines = Lines::of(running);
    // Each object is a request or two: silence for longer than they may take is no work.
    let silence = kubectl.target.request_timeout * 2 + Duration::from_secs(10);
    loop {
        match lines.next(silence) {
            Ok(Some(line)) => {
                if let Some((namespace, name)) = line.split_once('/') {
                    waiting.remove(&(namespace.to_string(), name.to_string()));
                }
                progress(waiting.len());
            }
            Ok(None) => return Ok(Some(lines.running.error(Ending::TimeOut(silence)))),
            Err(error) if matches!(error.ending, Ending::Signal(_)) => return Err(error.into()),
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
