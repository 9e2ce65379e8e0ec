//! `postgres|mysql download-dump`: the dump file on this machine, whole or not at all, and with `--globals` the file of roles or
//! accounts beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Hand;
use crate::backup::inspect_dump::{DumpFile, InspectDepth};
use crate::backup::observe::DatabasePlace;
use crate::cmd::show::show;
use crate::container::download::{self, Brought, PartialFile, Remote};
use crate::core::backup::find_proof::Proven;
use crate::core::backup::globals::{self, GlobalsProof};
use crate::core::escape;
use crate::core::plan::PlanStep;
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::report;

/// How often to begin anew when the file in the pod is another than the one that was looked at.
const ANEW: u32 = 3;

/// Downloads it.
///
/// # Errors
/// There is no dump, FILE is another file, or the transfer broke off; the same call goes on then.
pub fn run(hand: &Hand<'_>) -> Result<()> {
    let began = Instant::now();
    // A name that cannot be used here is refused before the cluster is asked.
    target(hand.config.file.as_deref(), &hand.config.database.dump_file)?;
    let place = hand.place(true)?;
    let target = target(hand.config.file.as_deref(), &place.database.dump_file)?;
    let path = &place.database.dump_file;
    let mut left = ANEW;
    loop {
        let (file, proven) = hand.inspect(&place, InspectDepth::Hash)?.ok_or_else(|| {
            Fail::new(Exit::Precondition, format!("there is no dump {path} in pod {}", place.chosen.pod))
                .remedy(format!("make one with backup-ns {} dump", hand.config.database.engine.command()))
        })?;
        if proven.is_none() {
            tracing::warn!(
                "this dump is not proven: neither PVC {} nor any of its snapshots has a proof of it",
                hand.config.pvc
            );
        }
        let recorded = if hand.config.globals { Some(recorded(hand, &place, proven.as_ref())?) } else { None };
        let (chosen, force) = (&place.chosen, hand.config.force);
        // The small one first, because a new backup replaces both.
        let mut all = Vec::new();
        if let Some(RecordedFile { proof, path }) = &recorded {
            let remote = Remote { chosen, path, bytes: proof.bytes, sha256: &proof.sha256 };
            all.push(WantedFile::new("file", remote, beside(&target, proof), force)?);
        }
        let remote = Remote { chosen, path, bytes: file.bytes, sha256: &file.sha256 };
        all.push(WantedFile::new("dump", remote, target.clone(), force)?);
        if hand.global.dry_run {
            return show_plan(hand, &all);
        }
        match fetch_all(hand, &all)? {
            Ok(resumed_from) => {
                return tell(hand, &place, &target, &file, proven.as_ref(), resumed_from, began);
            }
            Err(error) => {
                left -= 1;
                if left == 0 {
                    return Err(error.into());
                }
                tracing::warn!("looking at the dump again: {error}");
            }
        }
    }
}

/// A file to download.
struct WantedFile<'a> {
    remote: Remote<'a>,
    target: PathBuf,
    /// Whether it is on this machine.
    there: bool,
}

impl<'a> WantedFile<'a> {
    fn new(what: &str, remote: Remote<'a>, target: PathBuf, force: bool) -> Result<WantedFile<'a>> {
        let there = there(&target, what, remote.sha256, force)?;
        Ok(WantedFile { remote, target, there })
    }
}

/// The file of roles or accounts beside the dump.
struct RecordedFile<'a> {
    proof: &'a GlobalsProof,
    /// In the container.
    path: String,
}

/// Where it goes: beside the downloaded dump, as it is beside the dump.
fn beside(dump: &Path, proof: &GlobalsProof) -> PathBuf {
    let mut target = dump.as_os_str().to_os_string();
    target.push(proof.file("").unwrap_or_default());
    target.into()
}

fn recorded<'a>(hand: &Hand<'_>, place: &DatabasePlace, proven: Option<&'a Proven>) -> Result<RecordedFile<'a>> {
    let noun = globals::noun(place.database.engine);
    let proof = proven.and_then(|proven| proven.proof.globals.as_ref());
    let path = proof.and_then(|proof| proof.file(&place.database.dump_file));
    let (Some(proof), Some(path)) = (proof, path) else {
        let why = match proven {
            Some(proven) => format!("no {noun}s were recorded with this dump, as its proof by {} says", proven.by),
            None => format!("only the proof of a dump says which file of {noun}s belongs to it, and there is none"),
        };
        let command = hand.config.database.engine.command();
        bail!(Fail::new(Exit::Precondition, why).remedy(format!(
            "download the dump without --globals, or make one with its {noun}s: backup-ns {command} dump"
        )))
    };
    Ok(RecordedFile { proof, path })
}

/// Where it goes: the file that was named, or under the dump's own name in the directory that was named, or here. That name may be
/// another's choice, and must not become a file that some program reads by itself.
fn target(file: Option<&Path>, dump: &str) -> Result<PathBuf, Fail> {
    let base = dump.rsplit('/').next().unwrap_or(dump);
    let directory = match file {
        Some(file) if fs::metadata(file).is_ok_and(|meta| meta.is_dir()) => file,
        Some(file) => return Ok(file.into()),
        None => Path::new(""),
    };
    if base.is_empty() || base.starts_with('.') || escape::visible(base) != base {
        let what =
            format!("the name of the dump file, '{base}', is empty, begins with a dot or holds control characters");
        return Err(Fail::new(Exit::Usage, what).remedy("name the FILE that it is to become here"));
    }
    Ok(directory.join(base))
}

/// Whether the very file is there already.
fn there(target: &Path, what: &str, sha256: &str, force: bool) -> Result<bool> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(false);
    }
    if fs::metadata(target).is_ok_and(|meta| meta.is_file()) && download::sha256(target)?.as_deref() == Some(sha256) {
        return Ok(true);
    }
    if force {
        return Ok(false);
    }
    let what = format!("{} is there, and is not the {what} with SHA-256 {sha256}", target.display());
    bail!(Fail::new(Exit::Failed, what).remedy("name another FILE, or say --force to replace it; nothing was changed"))
}

/// Brings those that are not there; from which byte on the last one, or why the dump should be looked at again.
fn fetch_all(hand: &Hand<'_>, all: &[WantedFile<'_>]) -> Result<Result<Option<u64>, Fail>> {
    let mut resumed_from = None;
    for wanted in all {
        resumed_from = match wanted.there {
            true => None,
            false => match fetch(hand, wanted)? {
                Ok(from) => Some(from),
                Err(error) => return Ok(Err(error)),
            },
        };
    }
    Ok(Ok(resumed_from))
}

/// Brings one; likewise.
fn fetch(hand: &Hand<'_>, WantedFile { remote, target, .. }: &WantedFile<'_>) -> Result<Result<u64, Fail>> {
    hand.reporter.step("download", |step| {
        let mut part = PartialFile::open(target, remote.sha256)?;
        let resumed_from = part.resumed_from;
        match part.bring(&hand.kubectl, *remote, step)? {
            Brought::Otherwise(fail) => Ok((Err(fail), "not done".into())),
            Brought::Whole => {
                part.finish()?;
                let from = if resumed_from == 0 { String::new() } else { format!(" from byte {resumed_from} on") };
                let what = format!("{} to {}{from}", report::bytes(remote.bytes), target.display());
                Ok((Ok(resumed_from), what))
            }
        }
    })
}

fn tell(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    target: &Path,
    file: &DumpFile,
    proven: Option<&Proven>,
    resumed_from: Option<u64>,
    began: Instant,
) -> Result<()> {
    let recorded = proven.and_then(|proven| proven.proof.globals.as_ref());
    let globals = recorded.filter(|_| hand.config.globals);
    let globals = globals.map(|proof| DownloadedGlobals { file: beside(target, proof).display().to_string(), proof });
    let done = DownloadResult {
        namespace: &hand.kubectl.target.namespace,
        pod: &place.chosen.pod,
        file: target.display().to_string(),
        bytes: file.bytes,
        sha256: &file.sha256,
        transferred: resumed_from.map_or(0, |from| file.bytes - from),
        resumed_from,
        proven_by: proven.map(|proven| proven.by.as_str()),
        globals,
        seconds: report::rounded(began.elapsed()),
    };
    let noun = globals::noun(place.database.engine);
    show(hand.reporter, hand.global.output, &done, || {
        let was = if done.resumed_from.is_none() { "was there already" } else { "is downloaded" };
        let proven = done.proven_by.map_or("NOT proven".into(), |by| format!("proven by {by}"));
        let beside = match (&done.globals, recorded) {
            (Some(it), _) => {
                let with = if it.proof.passwords { "with the hashes of their passwords" } else { "without passwords" };
                format!("{} holds {}, {with}, as proven\n", it.file, counted(it.proof.roles, noun))
            }
            (None, Some(proof)) => {
                format!("its file of {} is not downloaded; --globals downloads it, too\n", counted(proof.roles, noun))
            }
            (None, None) => String::new(),
        };
        format!("{} {was}: {} bytes, SHA-256 {}, {proven}\n{beside}", done.file, done.bytes, done.sha256)
    })
}

fn show_plan(hand: &Hand<'_>, all: &[WantedFile<'_>]) -> Result<()> {
    let mut steps = Vec::new();
    for WantedFile { remote: Remote { chosen, path, bytes, sha256 }, target, there } in all {
        let target = target.display();
        if *there {
            steps.push(PlanStep::new(format!("Nothing: {target} is that file already")));
            continue;
        }
        steps.push(
            PlanStep::new(format!("Bring {} from pod {}", report::bytes(*bytes), chosen.pod))
                .kubectl(&hand.kubectl.target.stream(&chosen.pod, &chosen.container, path, 0)),
        );
        steps.push(PlanStep::new(format!("Compare its SHA-256 with {sha256}, flush it, rename it to {target}")));
    }
    hand.show_plan("Download of the dump", &steps)
}

/// What it says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DownloadResult<'a> {
    namespace: &'a str,
    pod: &'a str,
    /// On this machine.
    file: String,
    bytes: u64,
    sha256: &'a str,
    /// How many bytes this call brought.
    transferred: u64,
    /// How many an earlier call had brought; none where the file was there.
    resumed_from: Option<u64>,
    /// The object that has its proof; none if it is not proven.
    proven_by: Option<&'a str>,
    /// The file of roles or accounts that was downloaded, too.
    globals: Option<DownloadedGlobals<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct DownloadedGlobals<'a> {
    /// On this machine.
    file: String,
    #[serde(flatten)]
    proof: &'a GlobalsProof,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gets_the_dumps_own_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = "/var/lib/postgresql/data/dump.sql.gz";
        assert_eq!(target(None, path), Ok(PathBuf::from("dump.sql.gz")));
        assert_eq!(target(Some(dir.path()), path), Ok(dir.path().join("dump.sql.gz")));
        let named = dir.path().join("mine.gz");
        assert_eq!(target(Some(&named), path), Ok(named.clone()));
        for (file, dump) in [None, Some(dir.path())].into_iter().flat_map(|file| {
            ["/data/.profile", "/data/..", "/data/", "/data/a\u{1b}[2Jb", "/data/a\u{202e}b"].map(|dump| (file, dump))
        }) {
            assert_eq!(target(file, dump).unwrap_err().exit, Exit::Usage, "{dump:?}");
        }
        assert_eq!(target(Some(&named), "/data/.profile"), Ok(named));
    }
}
