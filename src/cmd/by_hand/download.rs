//! `postgres|mysql download-dump`: the dump file on this machine, whole or not at all.

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
use crate::core::escape;
use crate::core::plan::PlanStep;
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
        let there = there(&target, &file, hand.config.force)?;
        if hand.global.dry_run {
            return show_plan(hand, &place, &target, &file, there);
        }
        let resumed_from = if there { None } else { Some(fetch(hand, &place, &target, &file)?) };
        let resumed_from = match resumed_from {
            Some(Err(error)) => {
                left -= 1;
                if left == 0 {
                    return Err(error.into());
                }
                tracing::warn!("looking at the dump again: {error}");
                continue;
            }
            Some(Ok(resumed_from)) => Some(resumed_from),
            None => None,
        };
        return tell(hand, &place, &target, &file, proven.as_ref(), resumed_from, began);
    }
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
fn there(target: &Path, file: &DumpFile, force: bool) -> Result<bool> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(false);
    }
    if fs::metadata(target).is_ok_and(|meta| meta.is_file()) && download::sha256(target)?.as_ref() == Some(&file.sha256)
    {
        return Ok(true);
    }
    if force {
        return Ok(false);
    }
    let what = format!("{} is there, and is not the dump with SHA-256 {}", target.display(), file.sha256);
    bail!(Fail::new(Exit::Failed, what).remedy("name another FILE, or say --force to replace it; nothing was changed"))
}

/// Brings it; from which byte on, or why the file should be looked at again.
fn fetch(hand: &Hand<'_>, place: &DatabasePlace, target: &Path, file: &DumpFile) -> Result<Result<u64, Fail>> {
    hand.reporter.step("download", |step| {
        let mut part = PartialFile::open(target, &file.sha256)?;
        let resumed_from = part.resumed_from;
        let remote =
            Remote { chosen: &place.chosen, path: &place.database.dump_file, bytes: file.bytes, sha256: &file.sha256 };
        match part.bring(&hand.kubectl, remote, step)? {
            Brought::Otherwise(fail) => Ok((Err(fail), "not done".into())),
            Brought::Whole => {
                part.finish()?;
                let from = if resumed_from == 0 { String::new() } else { format!(" from byte {resumed_from} on") };
                let what = format!("{} to {}{from}", report::bytes(file.bytes), target.display());
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
    let done = DownloadResult {
        namespace: &hand.kubectl.target.namespace,
        pod: &place.chosen.pod,
        file: target.display().to_string(),
        bytes: file.bytes,
        sha256: &file.sha256,
        transferred: resumed_from.map_or(0, |from| file.bytes - from),
        resumed_from,
        proven_by: proven.map(|proven| proven.by.as_str()),
        seconds: report::rounded(began.elapsed()),
    };
    show(hand.reporter, hand.global.output, &done, || {
        let was = if done.resumed_from.is_none() { "was there already" } else { "is downloaded" };
        let proven = done.proven_by.map_or("NOT proven".into(), |by| format!("proven by {by}"));
        format!("{} {was}: {} bytes, SHA-256 {}, {proven}\n", done.file, done.bytes, done.sha256)
    })
}

fn show_plan(hand: &Hand<'_>, place: &DatabasePlace, target: &Path, file: &DumpFile, there: bool) -> Result<()> {
    let chosen = &place.chosen;
    let from = &place.database.dump_file;
    let target = target.display();
    let steps = if there {
        vec![PlanStep::new(format!("Nothing: {target} is the dump already"))]
    } else {
        vec![
            PlanStep::new(format!("Bring {} from pod {}", report::bytes(file.bytes), chosen.pod))
                .kubectl(&hand.kubectl.target.stream(&chosen.pod, &chosen.container, from, 0)),
            PlanStep::new(format!("Compare its SHA-256 with {}, flush it, rename it to {target}", file.sha256)),
        ]
    };
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
    seconds: f64,
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
