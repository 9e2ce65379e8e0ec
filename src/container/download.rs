//! Downloads a file from a container in several streams if needed, and checks its size and SHA-256. Must not know what the file
//! holds.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fs2::FileExt;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use crate::cluster::kubectl::Kubectl;
use crate::core::backup::pod::Chosen;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending, ProcessError};
use crate::io::report::{self, Step};
use crate::io::wait;

/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// After how many streams in a row without data a download fails.
const FRUITLESS: u32 = 5;

/// How many bytes are read at once.
const CHUNK: usize = 128 << 10;

/// The file to download.
#[derive(Debug, Clone, Copy)]
pub struct Remote<'a> {
    pub chosen: &'a Chosen,
    pub path: &'a str,
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: &'a str,
}

/// A partial download: `FILE.<beginning of its SHA-256>.part`, beside the target FILE. Locked against other downloads.
pub struct PartialFile {
    file: File,
    path: PathBuf,
    target: PathBuf,
    /// How many bytes an earlier call had downloaded.
    pub resumed_from: u64,
}

/// How a download ended.
#[derive(Debug)]
pub enum Brought {
    /// All of it is here, and size and hash match.
    Whole,
    /// No more data comes, or the data does not match: the file in the container may have been replaced.
    Otherwise(Fail),
}

/// The failure of a file operation on this machine.
fn local(what: &str, path: &Path, error: &io::Error) -> Fail {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull => "free space there, or name another FILE; the same call goes on where it stopped",
        _ => "name another FILE, or mend what the message says",
    };
    Fail::new(Exit::Failed, format!("{} cannot be {what}: {error}", path.display())).remedy(remedy)
}

/// The SHA-256 of a local file; `None` if it does not exist.
pub fn sha256(path: &Path) -> Result<Option<String>> {
    match File::open(path) {
        Ok(file) => Ok(Some(sha256_of(file).map_err(|error| local("read", path, &error))?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => bail!(local("read", path, &error)),
    }
}

/// The SHA-256 of what is left of an open file.
pub fn sha256_of(mut file: File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hasher.update(&chunk[..read]),
        }
    }
    Ok(digits(hasher))
}

/// The hash in hexadecimal digits, as `sha256sum` prints it.
pub fn digits(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl PartialFile {
    /// Opens the partial file of `target`, with what an earlier call has downloaded. Removes partial files of other dumps for
    /// the same target.
    ///
    /// # Errors
    /// It cannot be written, or another download uses it.
    pub fn open(target: &Path, sha256: &str) -> Result<PartialFile> {
        let begin = sha256.get(..16).unwrap_or(sha256);
        let mut name = target.file_name().unwrap_or_default().to_os_string();
        let base = name.to_string_lossy().into_owned();
        name.push(format!(".{begin}.part"));
        let path = target.with_file_name(name);
        // Never writes through a link or into a device.
        if let Ok(meta) = fs::symlink_metadata(&path)
            && !meta.is_file()
        {
            let what = format!("{} is no regular file", path.display());
            bail!(Fail::new(Exit::Failed, what).remedy("remove it, or name another FILE"));
        }
        let mut options = OpenOptions::new();
        // Only the owner may read a dump. Should the path have become a link or a pipe just now, the open fails and does not
        // block.
        options.create(true).append(true).read(true).mode(0o600);
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let file = options.open(&path);
        let file = file.map_err(|error| local("written", &path, &error))?;
        match file.try_lock_exclusive() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let what = format!("another download is at work on {}", path.display());
                bail!(Fail::new(Exit::Lock, what).remedy("wait for it to end, or name another FILE"));
            }
            Err(error) => bail!(local("locked", &path, &error)),
        }
        // Another download may have finished and renamed it just now. Then the open file is the target, not a partial file.
        let same = |meta: fs::Metadata, open: fs::Metadata| (meta.dev(), meta.ino()) == (open.dev(), open.ino());
        if !fs::symlink_metadata(&path).and_then(|meta| Ok(same(meta, file.metadata()?))).unwrap_or(false) {
            let what = format!("another download was just through with {}", target.display());
            bail!(Fail::new(Exit::Lock, what).remedy("run it again"));
        }
        let directory = directory(target);
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let middle = name.strip_prefix(&format!("{base}.")).and_then(|rest| rest.strip_suffix(".part"));
            let is_part = middle.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
            if is_part && path.file_name() != Some(&entry.file_name()) {
                tracing::info!("removing {name}, a part of a dump that is not there any more");
                // One that cannot be removed does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
        let resumed_from = file.metadata().map_err(|error| local("read", &path, &error))?.len();
        Ok(PartialFile { file, path, target: target.into(), resumed_from })
    }

    /// Downloads the missing bytes. After a stream breaks, the next one continues there, as long as data comes.
    ///
    /// # Errors
    /// The file cannot be written, or a signal came. What was downloaded is kept.
    pub fn bring(&mut self, kubectl: &Kubectl, remote: Remote<'_>, step: &Step) -> Result<Brought> {
        let mut fruitless = 0;
        let mut have = self.resumed_from;
        self.has_room(remote.bytes.saturating_sub(have))?;
        while have < remote.bytes {
            let before = have;
            let broke = self.stream(kubectl, remote, &mut have, step)?;
            if have == remote.bytes {
                break;
            }
            fruitless = if have > before { 0 } else { fruitless + 1 };
            if let Some(fail) = wait::interrupted() {
                bail!(self.kept(fail));
            }
            let why = broke.map_or("it ended early".into(), |error| error.to_string());
            if fruitless == FRUITLESS {
                let what = format!("only {have} of {} bytes came: {why}", remote.bytes);
                return Ok(Brought::Otherwise(self.kept(Fail::new(Exit::Failed, what))));
            }
            tracing::warn!("the stream broke at {have} of {} bytes, going on there: {why}", remote.bytes);
            process::sleep(Duration::from_millis(500) * (1 << fruitless));
        }
        step.progress("compares SHA-256");
        let got = sha256(&self.path)?.unwrap_or_default();
        if have == remote.bytes && got == remote.sha256 {
            return Ok(Brought::Whole);
        }
        let what = format!(
            "what came has {have} bytes and SHA-256 {got}, the file in the pod {} bytes and {}",
            remote.bytes, remote.sha256
        );
        // It is unknown which part is wrong, so none is kept.
        self.file.set_len(0).map_err(|error| local("emptied", &self.path, &error))?;
        self.resumed_from = 0;
        Ok(Brought::Otherwise(Fail::new(Exit::Failed, what).remedy("run it again")))
    }

    /// Whether `bytes` more fit on the local disk, if its free space is known.
    fn has_room(&self, bytes: u64) -> Result<()> {
        let Ok(disk) = rustix::fs::fstatvfs(&self.file) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if bytes <= free {
            return Ok(());
        }
        let what =
            format!("{} more is to come than fits beside {}", report::bytes(bytes - free), self.target.display());
        bail!(Fail::new(Exit::Failed, what).remedy("free space there, or name another FILE; nothing was downloaded"))
    }

    /// Runs one stream from offset `have` on. Returns its error, if it had one.
    fn stream(
        &mut self,
        kubectl: &Kubectl,
        remote: Remote<'_>,
        have: &mut u64,
        step: &Step,
    ) -> Result<Option<ProcessError>> {
        let Remote { chosen, path, bytes, .. } = remote;
        let call = kubectl.target.stream(&chosen.pod, &chosen.container, path, *have);
        let mut running = match kubectl.start(call) {
            Ok(running) => running,
            Err(error) => return Ok(Some(error)),
        };
        running.close();
        let stdout = running.stdout.take();
        // At most 8 chunks are queued, so that a slow disk slows the stream instead of filling the memory.
        let (send, chunks) = mpsc::sync_channel::<Vec<u8>>(8);
        thread::spawn(move || {
            let Some(mut stdout) = stdout else { return };
            let mut chunk = vec![0; CHUNK];
            while let Ok(read @ 1..) = stdout.read(&mut chunk) {
                if send.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut heard = Instant::now();
        let ending = loop {
            match chunks.recv_timeout(Duration::from_millis(50)) {
                Ok(chunk) => {
                    heard = Instant::now();
                    let room = usize::try_from(bytes - *have).unwrap_or(usize::MAX);
                    let chunk = &chunk[..chunk.len().min(room)];
                    self.file.write_all(chunk).map_err(|error| local("written", &self.path, &error))?;
                    *have += chunk.len() as u64;
                    step.progress(&format!("{} of {}", report::bytes(*have), report::bytes(bytes)));
                    if *have == bytes {
                        break None;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break running.wait(Duration::from_secs(5)).err(),
                Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => break Some(Ending::TimeOut(SILENCE)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(ending) = process::hurried() {
                break Some(ending);
            }
        };
        let error = ending.map(|ending| running.error(ending));
        running.kill();
        Ok(error)
    }

    /// A failure after which the same command continues the download.
    fn kept(&self, fail: Fail) -> Fail {
        fail.remedy(format!("run it again: it goes on where it stopped, with {}", self.path.display()))
    }

    /// Flushes the file, and renames it to its target.
    pub fn finish(self) -> Result<()> {
        let PartialFile { file, path, target, .. } = self;
        file.sync_all().map_err(|error| local("flushed", &path, &error))?;
        fs::rename(&path, &target).map_err(|error| local("renamed", &path, &error))?;
        let directory = directory(&target);
        let flushed = File::open(directory).and_then(|directory| directory.sync_all());
        Ok(flushed.map_err(|error| local("flushed", directory, &error))?)
    }
}

/// The directory of a file, which may be the current one.
fn directory(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::failure::Failure;

    #[test]
    fn a_part_is_gone_on_with_and_those_of_other_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("dump.sql.gz");
        let (one, other) = ("a".repeat(64), "b".repeat(64));
        let mut part = PartialFile::open(&target, &one).unwrap();
        part.file.write_all(b"abc").unwrap();
        let busy = PartialFile::open(&target, &one).map(|_| ()).unwrap_err();
        assert_eq!(busy.exit(), Exit::Lock);
        drop(part);
        assert_eq!(PartialFile::open(&target, &one).unwrap().resumed_from, 3);
        fs::write(dir.path().join("dump.sql.gz.notes.part"), "mine").unwrap();
        assert_eq!(PartialFile::open(&target, &other).unwrap().resumed_from, 0);
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["dump.sql.gz.bbbbbbbbbbbbbbbb.part", "dump.sql.gz.notes.part"]);
    }

    #[test]
    fn a_part_that_is_a_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "kept").unwrap();
        let link = dir.path().join(format!("d.{}.part", "a".repeat(16)));
        std::os::unix::fs::symlink(&elsewhere, link).unwrap();
        assert!(PartialFile::open(&dir.path().join("d"), &"a".repeat(64)).is_err());
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "kept");
    }

    #[test]
    fn what_is_announced_must_fit() {
        let dir = tempfile::tempdir().unwrap();
        let part = PartialFile::open(&dir.path().join("d"), &"a".repeat(64)).unwrap();
        part.has_room(1 << 10).unwrap();
        let fail = part.has_room(u64::MAX).unwrap_err();
        assert!(fail.to_string().contains("than fits beside"), "{fail:?}");
    }

    #[test]
    fn a_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        assert_eq!(sha256(&file).unwrap(), None);
        fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&file).unwrap().as_deref(), Some(known));
    }
}
