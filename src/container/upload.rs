//! Sends a file from this machine, or what comes on a pipe, into a container, beside a dump file whose lock a load session holds.
//! Must not know what the file holds.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::download;
use super::session::{self, Lost, Session};
use crate::cluster::kubectl::Kubectl;
use crate::core::backup::pod::Chosen;
use crate::core::backup::tool_error::ToolError;
use crate::exit::{Exit, Fail};
use crate::io::report::{self, Step};

/// How many bytes are read at once.
const CHUNK: usize = 128 << 10;

/// How long to wait for a line before showing the progress again.
const SOON: Duration = Duration::from_millis(500);

/// What the user has if sending fails.
const AS_IT_WAS: &str = "nothing was loaded, the database is as it was";

/// Where the file goes.
#[derive(Debug, Clone, Copy)]
pub struct Destination<'a> {
    pub chosen: &'a Chosen,
    /// The dump file, whose lock a session with this nonce holds.
    pub dump_file: &'a str,
    pub nonce: &'a str,
    /// What the received file's name ends with.
    pub suffix: &'a str,
    /// How many bytes it may have at most.
    pub most: u64,
}

impl Destination<'_> {
    /// The path of the received file. The load session removes it when it ends.
    pub fn path(&self) -> String {
        format!("{}.backup-ns-{}.{}", self.dump_file, self.nonce, self.suffix)
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// Why not all was sent.
enum PumpFault {
    Read(io::Error),
    TooLarge,
    /// kubectl does not take more. Its end says why.
    Closed,
}

/// Copies everything, counts and hashes it.
fn pump(source: &mut dyn Read, to: &mut dyn Write, most: u64, sent: &AtomicU64) -> Result<SentFile, PumpFault> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PumpFault::Read(error)),
        };
        bytes += read as u64;
        if bytes > most {
            return Err(PumpFault::TooLarge);
        }
        hasher.update(&chunk[..read]);
        to.write_all(&chunk[..read]).map_err(|_| PumpFault::Closed)?;
        sent.store(bytes, Ordering::Relaxed);
    }
    to.flush().map_err(|_| PumpFault::Closed)?;
    Ok(SentFile { bytes, sha256: download::digits(hasher) })
}

/// Sends all of `source`. `name` is what it is for people, `size` its size if that is known.
///
/// # Errors
/// It cannot be read, is too large, could not be written, or a signal came. Nothing is left in the container once the load
/// session has ended.
pub fn send(
    kubectl: &Kubectl,
    to: Destination<'_>,
    mut source: Box<dyn Read + Send>,
    name: &str,
    size: Option<u64>,
    step: &Step,
) -> Result<SentFile> {
    let values = [to.dump_file.to_string(), to.suffix.to_string()];
    let sent = Arc::new(AtomicU64::new(0));
    let (tell, outcome) = mpsc::channel();
    let (counter, most) = (Arc::clone(&sent), to.most);
    let feed = move |input: &mut dyn Write| {
        // The receiver may be gone.
        let _ = tell.send(pump(&mut *source, input, most, &counter));
    };
    let failed = |error| session::fail(&error, Exit::Failed, AS_IT_WAS);
    let mut session =
        Session::start_fed(kubectl, to.chosen, super::RECEIVE, to.nonce, &values, feed).map_err(failed)?;
    let mut written = None;
    loop {
        let line = match session.next(SOON) {
            Ok(line) => line,
            Err(error) => {
                // The sending thread may wait for its source.
                session.kill();
                bail!(failed(error));
            }
        };
        let all = size.map_or(String::new(), |size| format!(" of {}", report::bytes(size)));
        step.progress(&format!("{}{all}", report::bytes(sent.load(Ordering::Relaxed))));
        match line {
            Some(line) if line.key == "bytes" => written = line.value.trim().parse().ok(),
            Some(line) if line.key == "lost" => {
                session.kill();
                bail!(not_written(Lost::parse(&line.value), &session.said()));
            }
            Some(line) if line.key == "end" => break,
            _ => {}
        }
    }
    let sent = match outcome.try_recv() {
        Ok(Ok(sent)) => sent,
        Ok(Err(PumpFault::Read(error))) => {
            let what = format!("{name} cannot be read to its end: {error}");
            bail!(Fail::new(Exit::Failed, what).remedy(format!("mend what the message says; {AS_IT_WAS}")));
        }
        Ok(Err(PumpFault::TooLarge)) => bail!(too_large(name, to.most)),
        Ok(Err(PumpFault::Closed)) | Err(_) => {
            session.kill();
            bail!(
                Fail::new(Exit::Failed, format!("the container took only a part of {name}"))
                    .remedy(format!("look at the pod's events, then run it again; {AS_IT_WAS}"))
            );
        }
    };
    if written != Some(sent.bytes) {
        let came = written.map_or("an unknown number of".into(), |bytes: u64| bytes.to_string());
        let what = format!("{} bytes of {name} were sent, and {came} came into the container", sent.bytes);
        bail!(Fail::new(Exit::Failed, what).remedy(format!("run it again; {AS_IT_WAS}")));
    }
    Ok(sent)
}

/// The failure for a file that would fill the volume.
pub fn too_large(name: &str, most: u64) -> Fail {
    let what = format!("{name} does not fit on the volume: it may have {}", report::bytes(most));
    Fail::new(Exit::Precondition, what).remedy(format!(
        "enlarge the PVC or free space, or compress the file with zstd or gzip if it is not; {AS_IT_WAS}"
    ))
}

fn not_written(lost: Lost<'_>, said: &str) -> Fail {
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let remedy = if ToolError::NoSpace.is_in(&said) { "enlarge the PVC or free space" } else { "run it again" };
    let what = format!("the file cannot be written in the container: {}{said}", lost.why);
    Fail::new(Exit::Failed, what).remedy(format!("{remedy}; {AS_IT_WAS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted_hashed_and_bounded() {
        let (mut to, sent) = (Vec::new(), AtomicU64::new(0));
        let pumped = pump(&mut &b"abc"[..], &mut to, 3, &sent).ok().unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(pumped, SentFile { bytes: 3, sha256: known.into() });
        assert_eq!((to.as_slice(), sent.load(Ordering::Relaxed)), (&b"abc"[..], 3));
        to.clear();
        assert!(matches!(pump(&mut &b"abcd"[..], &mut to, 3, &sent), Err(PumpFault::TooLarge)));
        assert!(to.is_empty());
    }

    #[test]
    fn a_full_volume_has_its_remedy() {
        let full = not_written(Lost::parse("other cat ended with status 1"), "cat: -: No space left on device");
        assert!(full.remedy.starts_with("enlarge the PVC"), "{full:?}");
        let other = not_written(Lost::parse("other cat ended with status 1"), "");
        assert_eq!(other.remedy, "run it again; nothing was loaded, the database is as it was");
    }
}
