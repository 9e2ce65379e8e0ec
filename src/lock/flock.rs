//! The node's lock files: `flock(2)` on one of `1.lock` … `N.lock`, shared with the older tool and with flock(1).
//! Must not know why somebody wants a lock.
//!
//! Everyone queues: the head of the queue, who holds the lock on the directory itself, alone looks for a free file, the
//! others wait in the kernel behind it. Newcomers queue as well, so none overtakes. The kernel lets go of a lock
//! the moment its holder dies.
//!
//! Anyone who may write to the directory may put anything there. So nothing but a regular file is opened as a lock file, opening
//! does not wait, what a file says is read up to a limit, and a file system that hangs holds up a thread and not the program.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fs2::FileExt;
use rustix::fs::{Access, OFlags};

use crate::core::escape;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, Ending};
use crate::lock::{Listing, LockState};

/// How often the head of the queue looks for a free file.
const PAUSE: Duration = Duration::from_millis(20);

/// How much is read of what a lock file says, in bytes, and how much of that is shown, in characters.
const RECORD: u64 = 4096;
const TOLD: usize = 200;

/// Which lock files there are and how long to wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFiles {
    /// Their directory.
    pub dir: PathBuf,
    /// How many may be held at once on this node.
    pub count: u32,
    /// How long to wait for one.
    pub timeout: Duration,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct HeldFlock {
    file: File,
    /// The file that is held.
    pub path: PathBuf,
    /// How long it took to get it.
    pub waited: Duration,
}

impl LockFiles {
    /// Takes any one of the files, at once if one is free, else in turn.
    ///
    /// # Errors
    /// The directory or its files cannot be used, no lock in time (it says who holds them), or a signal.
    pub fn acquire(&self, holder: &str) -> Result<HeldFlock, Fail> {
        let began = Instant::now();
        self.aside(LockFiles::directory)?;
        let deadline = began + self.timeout;
        let turn = self.queue(deadline)?;
        let mut told = turn.is_none();
        loop {
            let name = holder.to_string();
            if let Some((file, path)) = self.aside(move |locks| locks.take(&name))? {
                return Ok(HeldFlock { file, path, waited: began.elapsed() });
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!("waiting for a lock, all {} are held: {}", self.count, self.holders());
            }
            super::go_on(|| self.holders())?;
            if Instant::now() >= deadline {
                return Err(self.too_late());
            }
            process::sleep(PAUSE);
        }
    }

    /// Takes the first free file, if there is one, and writes into it who holds it.
    fn take(&self, holder: &str) -> Result<Option<(File, PathBuf)>, Fail> {
        for number in 1..=self.count {
            let path = self.dir.join(format!("{number}.lock"));
            if let Some(file) = try_lock(&path, open).map_err(|error| unusable(&path, &error))? {
                sign(&file, &path, holder);
                return Ok(Some((file, path)));
            }
        }
        Ok(None)
    }

    /// Does what the file system of the directory may hold up.
    fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LockFiles) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, Fail> {
        let locks = self.clone();
        process::aside(move || work(&locks)).unwrap_or_else(|ending| {
            let dir = self.dir.display();
            Err(match ending {
                Ending::Signal(signal) => Fail::new(
                    Exit::Signal(signal),
                    format!("ended by signal {signal} while waiting for a file in {dir}"),
                ),
                _ => Fail::new(Exit::Lock, format!("the file system of the lock directory {dir} does not answer"))
                    .remedy("look at the node's mounts, or set BAK_FLOCK_DIR to a directory on a local disk"),
            })
        })
    }

    /// Makes the directory and its files where they are missing, and lets every user of this node lock them: whoever owns
    /// them, or root, does that once for those who may not write there.
    ///
    /// # Errors
    /// One of them cannot be made, or is not this user's to open to others.
    pub fn prepare(&self) -> Result<(), Fail> {
        self.aside(LockFiles::prepare_files)
    }

    fn prepare_files(&self) -> Result<(), Fail> {
        let failed = |path: &Path, error: io::Error| {
            match error.kind() {
            io::ErrorKind::InvalidData => unusable(path, &error),
            _ => Fail::new(Exit::Precondition, format!("{} cannot be prepared: {error}", path.display())).remedy(
                "run it as root, or as the owner of the directory, with CAP_DAC_OVERRIDE and CAP_FOWNER where it is a stranger's",
            ),
        }
        };
        let dir = self.dir.as_path();
        fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(|error| failed(dir, error))?;
        open_directory(dir).and_then(|opened| permit(&opened, 0o555)).map_err(|error| failed(dir, error))?;
        for number in 1..=self.count {
            let path = self.dir.join(format!("{number}.lock"));
            let opened = open_regular(to_lock(), &path);
            opened.and_then(|file| permit(&file, 0o666)).map_err(|error| failed(&path, error))?;
        }
        Ok(())
    }

    /// Looks for the directory.
    fn directory(&self) -> Result<(), Fail> {
        let metadata = fs::metadata(&self.dir);
        if metadata.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return Ok(());
        }
        let why = match metadata {
            Ok(_) => "is no directory".to_string(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist".into(),
            Err(error) => format!("cannot be used: {error}"),
        };
        Err(Fail::new(Exit::Precondition, format!("the lock directory {} {why}", self.dir.display()))
            .remedy("mount the node's lock directory there, set BAK_FLOCK_DIR, or set BAK_FLOCK=false"))
    }

    /// Whether the files can be locked, as far as that can be told without locking or making one. Returns a line about it.
    ///
    /// # Errors
    /// The directory or one of the files cannot be used.
    pub fn check(&self) -> Result<String, Fail> {
        self.aside(LockFiles::check_files)
    }

    fn check_files(&self) -> Result<String, Fail> {
        self.directory()?;
        open_directory(&self.dir).map_err(|error| unusable(&self.dir, &error))?;
        let paths = (1..=self.count).map(|number| self.dir.join(format!("{number}.lock")));
        let (there, missing): (Vec<PathBuf>, Vec<PathBuf>) = paths.partition(|path| fs::symlink_metadata(path).is_ok());
        for path in &there {
            open_to_read(path).map_err(|error| unusable(path, &error))?;
        }
        if let Some(path) = missing.first() {
            let write = Access::WRITE_OK | Access::EXEC_OK;
            rustix::fs::access(&self.dir, write).map_err(|error| unusable(path, &error.into()))?;
        }
        Ok(format!("{} in {} can be used", self.count, self.dir.display()))
    }

    /// The files as they are, those of a greater number that are there, too. Who holds one is told by the kernel's list of locks. That
    /// does not show to a container who is in another, and names files of some file systems by a device that is not theirs; so a
    /// file that is not in it is tried, in the shared way and for an instant: whoever looks for a free one just then looks again.
    ///
    /// # Errors
    /// The directory or its files cannot be read.
    pub fn look(&self) -> Result<Listing, Fail> {
        self.aside(|locks| {
            let kernel = fs::read_to_string("/proc/locks").unwrap_or_default();
            let complete =
                !kernel.is_empty() && fs::read_link("/proc/self/ns/pid").is_ok_and(|ns| ns == Path::new(ROOT_PIDS));
            locks.look_by(&kernel, complete)
        })
    }

    /// The same by what the kernel's list of locks says. `complete` is whether those of all processes are in it.
    fn look_by(&self, kernel: &str, complete: bool) -> Result<Listing, Fail> {
        self.directory()?;
        let queue = fs::metadata(&self.dir).map_err(|error| unusable(&self.dir, &error))?;
        let entries = fs::read_dir(&self.dir).map_err(|error| unusable(&self.dir, &error))?;
        let number = |name: &str| name.strip_suffix(".lock")?.parse::<u32>().ok().filter(|number| *number > 0);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut numbers: BTreeSet<u32> = names.filter_map(|name| number(&name)).collect();
        numbers.extend(1..=self.count);
        let (mut locks, mut told) = (Vec::new(), complete);
        for number in numbers {
            let lock = format!("{number}.lock");
            let path = self.dir.join(&lock);
            let seen = match open_to_read(&path) {
                Ok(file) => {
                    let (seen, listed) = seen(lock, file, kernel, &queue).map_err(|error| unusable(&path, &error))?;
                    // A list that does not name the holder of a file need not name those who wait at the directory.
                    told &= listed || !seen.held;
                    seen
                }
                // Whoever takes it makes it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    LockState { lock, held: false, holder: None, pid: None, since: None }
                }
                Err(error) => return Err(unusable(&path, &error)),
            };
            locks.push(seen);
        }
        // The head of the queue holds the directory.
        let (head, behind) = in_kernel(kernel, &queue);
        let waiting = told.then(|| behind + usize::from(head.is_some()));
        Ok(Listing { kind: "flock", place: self.dir.display().to_string(), locks, waiting })
    }

    /// Waits until this process is the head of the queue; none if that takes too long: then it may look once.
    fn queue(&self, deadline: Instant) -> Result<Option<File>, Fail> {
        let path = self.dir.clone();
        let unusable = |error: io::Error| {
            Fail::new(Exit::Precondition, format!("the lock directory {} cannot be used: {error}", path.display()))
                .remedy("let the user that runs backup-ns read it")
        };
        if let Some(turn) = self.aside(|locks| Ok(try_lock(&locks.dir, open_directory)))?.map_err(unusable)? {
            return Ok(Some(turn));
        }
        tracing::info!("waiting for one of {} locks behind others: {}", self.count, self.holders());
        // Blocks in the kernel on a thread of its own, which ends with the process if the wait is given up.
        let (send, receive) = mpsc::channel();
        let waiting = path.clone();
        thread::spawn(move || {
            let _ = send.send(wait_lock(&waiting));
        });
        while Instant::now() < deadline {
            match receive.recv_timeout(PAUSE) {
                Ok(turn) => return turn.map(Some).map_err(unusable),
                Err(_) => super::go_on(|| self.holders())?,
            }
        }
        Ok(None)
    }

    /// Time to wait is over.
    fn too_late(&self) -> Fail {
        super::too_late(self.timeout, &format!("all {} in {}", self.count, self.dir.display()), &self.holders())
    }

    /// Who holds the files, as far as they say.
    fn holders(&self) -> String {
        let holder = |locks: &LockFiles, number: u32| {
            let said = open_to_read(&locks.dir.join(format!("{number}.lock"))).ok().and_then(|file| record(&file));
            format!("{number}.lock by {}", said.as_deref().unwrap_or("someone who does not say"))
        };
        let holders =
            move |locks: &LockFiles| Ok((1..=locks.count).map(|number| holder(locks, number)).collect::<Vec<_>>());
        self.aside(holders).map_or_else(|fail| fail.what, |all| all.join(", "))
    }
}

/// Writes who holds it into a file, for others to read; a file of another user is held without.
fn sign(mut file: &File, path: &Path, holder: &str) {
    let written = file.set_len(0).and_then(|()| file.rewind());
    if let Err(error) = written.and_then(|()| writeln!(file, "{}", holder.replace('\n', " "))) {
        tracing::debug!("{} does not say who holds it: {error}", path.display());
    }
}

/// What a file says of its holder, if anything: its first line, or the beginning of it, because anybody may write there.
fn record(file: &File) -> Option<String> {
    let mut bytes = Vec::new();
    // What cannot be read says nothing.
    let _ = file.take(RECORD).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!line.is_empty()).then(|| escape::short(line, TOLD).into_owned())
}

impl Drop for HeldFlock {
    fn drop(&mut self) {
        // The name goes before the lock, so that it never stands in a file that somebody else holds.
        let _ = self.file.set_len(0);
        let _ = FileExt::unlock(&self.file);
    }
}

/// Gives everyone these rights, where somebody lacks one.
fn permit(file: &File, rights: u32) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & rights == rights { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode & 0o7777 | rights)) }
}

/// The root namespace of processes, as `/proc/self/ns/pid` names it: `PROC_PID_INIT_INO` in the kernel's
/// `include/linux/proc_ns.h`. Only from there the kernel's list of locks is whole (`locks_show` in `fs/locks.c`).
const ROOT_PIDS: &str = "pid:[4026531836]";

/// A file as it is, and whether the kernel's list can be taken to tell of `queue`, its directory, as well.
fn seen(lock: String, file: File, kernel: &str, queue: &fs::Metadata) -> io::Result<(LockState, bool)> {
    let metadata = file.metadata()?;
    let pid = in_kernel(kernel, &metadata).0;
    let listed = pid.is_some() && metadata.dev() == queue.dev();
    let held = match pid {
        Some(_) => true,
        None => match FileExt::try_lock_shared(&file) {
            Ok(()) => FileExt::unlock(&file).map(|()| false)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        },
    };
    // What stands in a file that nobody holds is the name of somebody who was killed.
    let holder = if held { record(&file) } else { None };
    // Its holder wrote his name when he took it.
    let since = holder.as_ref().and_then(|_| Some(metadata.modified().ok()?.into()));
    Ok((LockState { lock, held, holder, pid: pid.filter(|pid| *pid > 0), since }, listed))
}

/// Who holds a file by flock(2), as the kernel lists it in `/proc/locks` (proc_locks(5)), and how many wait for it.
fn in_kernel(kernel: &str, metadata: &fs::Metadata) -> (Option<u32>, usize) {
    let (device, inode) = (metadata.dev(), metadata.ino());
    let file = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let (mut holder, mut waiting) = (None, 0);
    for line in kernel.lines() {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        match words[..] {
            ["FLOCK", _, _, pid, of, ..] if of == file => holder = Some(pid.parse().unwrap_or(0)),
            ["->", "FLOCK", _, _, _, of, ..] if of == file => waiting += 1,
            _ => {}
        }
    }
    (holder, waiting)
}

fn unusable(path: &Path, error: &io::Error) -> Fail {
    let remedy = match error.kind() {
        io::ErrorKind::InvalidData => "find out who put it there, and remove it: backup-ns makes the file anew",
        _ => "let the user that runs backup-ns read it (and create it, where it does not exist)",
    };
    Fail::new(Exit::Precondition, format!("the lock file {} cannot be used: {error}", path.display())).remedy(remedy)
}

/// Opens a file, or makes it where it is missing, whoever else makes it meanwhile. One that is there is opened without O_CREAT,
/// which the kernel refuses for a stranger's file in a directory that everyone may write to (fs.protected_regular,
/// <https://docs.kernel.org/admin-guide/sysctl/fs.html>).
fn open_or_make(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => options.create(true).open(path),
        _ => Err(error),
    })
}

/// How a lock file is opened to lock it. Everyone on the node may lock them, no matter who made them: the mode is what the umask leaves
/// of this.
fn to_lock() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o666);
    options
}

/// Opens a lock file, making it where it is missing; reading is enough for a lock on another user's.
fn open(path: &Path) -> io::Result<File> {
    match open_regular(to_lock(), path) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied || error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            open_to_read(path).map_err(|_| error)
        }
        opened => opened,
    }
}

/// Opens a lock file that is there, to read it.
fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    regular(&fs::symlink_metadata(path)?)?;
    // Nothing is followed and nothing is waited for, should it have been replaced just now.
    let file = options.custom_flags(at_once(OFlags::NOFOLLOW)).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a lock file, making it where it is missing, if it is a regular file: an open of a named pipe may wait for ever, one of a
/// device may do anything, and a link may lead anywhere.
fn open_regular(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    if let Ok(there) = fs::symlink_metadata(path) {
        regular(&there)?;
    }
    let file = open_or_make(options.custom_flags(at_once(OFlags::NOFOLLOW)), path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens the directory.
fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(at_once(OFlags::DIRECTORY)).open(path)
}

/// Flags of an open that does not wait.
fn at_once(more: OFlags) -> i32 {
    (more | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

/// That a file is a regular one.
fn regular(metadata: &fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "symbolic link",
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () => "device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is a {what} and no regular file")))
}

/// Whether the path still leads to the open file: one that was deleted or replaced locks nobody out.
fn is_current(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((held.dev(), held.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn try_lock(path: &Path, open: fn(&Path) -> io::Result<File>) -> io::Result<Option<File>> {
    loop {
        let file = open(path)?;
        match file.try_lock_exclusive() {
            Ok(()) if is_current(&file, path)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

fn wait_lock(path: &Path) -> io::Result<File> {
    loop {
        let file = open_directory(path)?;
        file.lock_exclusive()?;
        if is_current(&file, path)? {
            return Ok(file);
        }
    }
}

/// How many CPUs this node has: the kernel's count, which no limit on this process lowers (`available_parallelism`
/// would be lowered by one). None where it does not say.
pub fn node_cpus() -> Option<u32> {
    let mut text = String::new();
    File::open("/sys/devices/system/cpu/online").and_then(|mut file| file.read_to_string(&mut text)).ok()?;
    count_cpus(text.trim())
}

/// Counts a kernel CPU list such as `0-3,8`.
fn count_cpus(list: &str) -> Option<u32> {
    list.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locks(dir: &tempfile::TempDir, count: u32) -> LockFiles {
        LockFiles { dir: dir.path().into(), count, timeout: Duration::from_millis(200) }
    }

    #[test]
    fn any_free_file_is_taken_and_the_holder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 2);
        let first = locks.acquire("first of all").unwrap();
        let second = locks.acquire("second").unwrap();
        assert_ne!(first.path, second.path);
        let fail = locks.acquire("third").unwrap_err();
        assert_eq!(fail.exit, Exit::Lock);
        assert!(fail.what.contains("1.lock by first of all, 2.lock by second"), "{}", fail.what);
        drop(first);
        assert!(locks.acquire("third").unwrap().path.ends_with("1.lock"));
    }

    #[test]
    fn a_deleted_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let stale = try_lock(&path, open).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_current(&stale, &path).unwrap());
        let held = locks(&dir, 1).acquire("new").unwrap();
        assert!(is_current(&held.file, &path).unwrap());
        assert!(!is_current(&stale, &path).unwrap());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_by_whoever_looks() {
        let make = |what: &str, path: &Path| match what {
            "named pipe" => assert!(run("mkfifo", &[path.to_str().unwrap()]).success()),
            "directory" => fs::create_dir(path).unwrap(),
            "symbolic link" => std::os::unix::fs::symlink("elsewhere", path).unwrap(),
            "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            // Only root can make one.
            _ => {
                let _ = run("mknod", &[path.to_str().unwrap(), "c", "1", "5"]);
            }
        };
        for what in ["named pipe", "directory", "symbolic link", "socket", "device"] {
            let dir = tempfile::tempdir().unwrap();
            let locks = locks(&dir, 1);
            make(what, &dir.path().join("1.lock"));
            if what == "device" && !dir.path().join("1.lock").exists() {
                continue;
            }
            let fails = [
                locks.look().map(|_| ()).unwrap_err(),
                locks.check().map(|_| ()).unwrap_err(),
                locks.prepare().unwrap_err(),
                locks.acquire("us").map(|_| ()).unwrap_err(),
            ];
            for fail in fails {
                assert_eq!(fail.exit, Exit::Precondition, "{fail:?}");
                assert!(fail.what.contains(&format!("it is a {what} and no regular file")), "{fail:?}");
            }
            assert!(!dir.path().join("elsewhere").exists(), "a link was followed");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's tools")]
    fn run(program: &str, args: &[&str]) -> std::process::ExitStatus {
        std::process::Command::new(program).args(args).stderr(std::process::Stdio::null()).status().unwrap()
    }

    #[test]
    fn whatever_a_file_says_little_of_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 2);
        for (number, text) in [(1, "x".repeat(1 << 20)), (2, String::new())] {
            let path = dir.path().join(format!("{number}.lock"));
            fs::write(&path, text).unwrap();
            // All the rest of it is a hole.
            OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        }
        let held = [1, 2].map(|number| try_lock(&dir.path().join(format!("{number}.lock")), open).unwrap().unwrap());
        let told = locks.look().unwrap().locks;
        assert_eq!(told[0].holder.as_deref(), Some(&*format!("{}…", "x".repeat(TOLD))));
        assert_eq!(told[1].holder, None);
        let fail = locks.acquire("us").unwrap_err();
        assert!(fail.what.contains("2.lock by someone who does not say") && fail.what.len() < 1000, "{fail:?}");
        drop(held);
    }

    /// Somebody tidies up, and is careful to hold what he deletes.
    #[test]
    fn what_is_held_is_never_a_deleted_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let named = |file: &File| fs::metadata(&path).is_ok_and(|it| it.ino() == file.metadata().unwrap().ino());
        thread::scope(|scope| {
            let taker = scope.spawn(|| {
                let held = (0..20_000).filter_map(|_| try_lock(&path, open).unwrap());
                held.filter(|file| !named(file)).count()
            });
            while !taker.is_finished() {
                if let Ok(file) = File::open(&path)
                    && file.try_lock_exclusive().is_ok()
                {
                    fs::remove_file(&path).unwrap();
                }
            }
            assert_eq!(taker.join().unwrap(), 0);
        });
    }

    #[test]
    fn flock_the_program_is_waited_for_and_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let flock = |args: &[&str]| {
            let args = [&["--nonblock", path.to_str().unwrap()], args].concat();
            let job = process::Job {
                program: "flock",
                args: args.into_iter().map(str::to_string).collect(),
                environment: &[],
                secrets: &crate::core::escape::Secrets::default(),
            };
            job.start().unwrap()
        };
        let second = Duration::from_secs(1);
        // As the older tool holds it.
        let mut other = process::Lines::of(flock(&["sh", "-c", "echo held; cat"]));
        assert_eq!(other.next(second * 10).unwrap().as_deref(), Some("held"));
        assert_eq!(locks(&dir, 1).acquire("us").unwrap_err().exit, Exit::Lock);
        other.running.close();
        other.running.wait(second * 10).unwrap();
        let held = locks(&dir, 1).acquire("us").unwrap();
        assert!(flock(&["true"]).wait(second * 10).is_err(), "ours is seen by flock(1)");
        drop(held);
        flock(&["true"]).wait(second * 10).unwrap();
    }

    #[test]
    fn a_killed_holder_frees_its_lock_for_one_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("1.lock");
        let job = process::Job {
            program: "flock",
            args: ["--no-fork", path.to_str().unwrap(), "sh", "-c", "echo held; exec sleep 60"]
                .map(str::to_string)
                .to_vec(),
            environment: &[],
            secrets: &crate::core::escape::Secrets::default(),
        };
        let mut other = process::Lines::of(job.start().unwrap());
        other.next(Duration::from_secs(10)).unwrap();
        let patient = LockFiles { timeout: Duration::from_secs(60), ..locks(&dir, 1) };
        thread::scope(|scope| {
            let waiting = scope.spawn(|| patient.acquire("us").map(|held| held.path.clone()));
            thread::sleep(Duration::from_millis(100));
            assert!(!waiting.is_finished());
            drop(other);
            assert_eq!(waiting.join().unwrap().unwrap(), path);
        });
    }

    #[test]
    fn what_was_prepared_can_be_locked_by_everyone_and_is_prepared_once() {
        let dir = tempfile::tempdir().unwrap();
        let locks = LockFiles { dir: dir.path().join("made/here"), ..locks(&dir, 3) };
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        locks.prepare().unwrap();
        assert_eq!(mode(&locks.dir), 0o755);
        let files: Vec<PathBuf> = (1..=3).map(|number| locks.dir.join(format!("{number}.lock"))).collect();
        let inodes: Vec<u64> = files.iter().map(|path| fs::metadata(path).unwrap().ino()).collect();
        for path in &files {
            assert_eq!(mode(path), 0o666, "{}", path.display());
        }

        // As the older tool left them; who holds one does not notice.
        fs::set_permissions(&files[0], Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&locks.dir, Permissions::from_mode(0o1777)).unwrap();
        let held = locks.acquire("us").unwrap();
        locks.prepare().unwrap();
        assert_eq!((mode(&files[0]), mode(&locks.dir)), (0o666, 0o1777));
        assert_eq!(files.iter().map(|path| fs::metadata(path).unwrap().ino()).collect::<Vec<_>>(), inodes);
        assert!(fs::read_to_string(&held.path).unwrap().starts_with("us"));

        // A link leads to a file that is none of ours.
        let strange = dir.path().join("strange");
        fs::write(&strange, "").unwrap();
        fs::set_permissions(&strange, Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(&files[2]).unwrap();
        std::os::unix::fs::symlink(&strange, &files[2]).unwrap();
        assert_eq!(locks.prepare().unwrap_err().exit, Exit::Precondition);
        assert_eq!(mode(&strange), 0o600);
    }

    #[test]
    fn the_files_are_listed_with_who_holds_them() {
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 2);
        fs::write(dir.path().join("4.lock"), "somebody who was killed\n").unwrap();
        fs::write(dir.path().join("x.lock"), "none of ours").unwrap();
        let held = locks.acquire("first of all").unwrap();
        let told = locks.look().unwrap();
        let row = |seen: &LockState| (seen.lock.clone(), seen.held, seen.holder.clone());
        let expected = [("1.lock", true, Some("first of all")), ("2.lock", false, None), ("4.lock", false, None)];
        let expected = expected.map(|(lock, held, holder)| (lock.to_string(), held, holder.map(str::to_string)));
        assert_eq!(told.locks.iter().map(row).collect::<Vec<_>>(), expected);
        assert!(told.locks[0].since.is_some(), "{told:?}");
        // Looking took nothing, made nothing, and leaves what is free to others.
        assert!(!dir.path().join("2.lock").exists());
        let second = locks.acquire("second").unwrap();
        assert!(second.path.ends_with("2.lock") && locks.look().unwrap().locks[1].held);
        drop((held, second));
        assert!(locks.look().unwrap().locks.iter().all(|seen| !seen.held));
        assert_eq!(LockFiles { dir: "/no/such/dir".into(), ..locks }.look().unwrap_err().exit, Exit::Precondition);
    }

    /// As a container sees it; and as it is where the list is whole, but has another device than the files (overlay, btrfs).
    #[test]
    fn a_file_that_the_kernels_list_does_not_name_is_tried() {
        const OTHERS: &str = "1: FLOCK  ADVISORY  WRITE 9 00:00:1 0 EOF\n";
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 1);
        let held = locks.acquire("somebody elsewhere").unwrap();
        for (kernel, complete) in [("", false), (OTHERS, false), (OTHERS, true)] {
            let told = locks.look_by(kernel, complete).unwrap();
            let seen = &told.locks[0];
            assert!(seen.held && seen.holder.as_deref() == Some("somebody elsewhere"), "{kernel} {complete}: {told:?}");
            assert_eq!(told.waiting, None, "who waits is not known either");
        }
        let path = held.path.clone();
        drop(held);
        assert!(!locks.look_by(OTHERS, true).unwrap().locks[0].held);
        assert!(try_lock(&path, open).unwrap().is_some(), "and let go again");
    }

    #[test]
    fn who_waits_is_told_where_the_list_names_files_and_directory() {
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 1);
        let held = locks.acquire("us").unwrap();
        let queue = File::open(&locks.dir).unwrap();
        queue.lock_exclusive().unwrap();
        let of = |path: &Path| {
            let it = fs::metadata(path).unwrap();
            format!("{:02x}:{:02x}:{}", rustix::fs::major(it.dev()), rustix::fs::minor(it.dev()), it.ino())
        };
        let (file, directory) = (of(&held.path), of(&locks.dir));
        let list = format!(
            "1: FLOCK  ADVISORY  WRITE 1 {file} 0 EOF\n2: FLOCK  ADVISORY  WRITE 2 {directory} 0 EOF\n\
             2: -> FLOCK  ADVISORY  WRITE 3 {directory} 0 EOF\n"
        );
        assert_eq!(locks.look_by(&list, true).unwrap().waiting, Some(2));
        assert_eq!(locks.look_by(&list, false).unwrap().waiting, None, "a container sees its own alone");
        // Of another device than its files: those may be named and it not.
        let elsewhere = fs::metadata("/proc").unwrap();
        let (seen, listed) = seen("1.lock".into(), File::open(&held.path).unwrap(), &list, &elsewhere).unwrap();
        assert!(seen.held && seen.pid == Some(1) && !listed);
    }

    #[test]
    fn the_kernels_list_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let (device, inode) = (metadata.dev(), metadata.ino());
        let of = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
        let list = format!(
            "1: POSIX  ADVISORY  WRITE 7 {of} 0 EOF\n2: FLOCK  ADVISORY  WRITE 4711 {of} 0 EOF\n\
             2: -> FLOCK  ADVISORY  WRITE 4712 {of} 0 EOF\n3: FLOCK  ADVISORY  WRITE 9 00:00:1 0 EOF\n"
        );
        assert_eq!(in_kernel(&list, &metadata), (Some(4711), 1));
        assert_eq!(in_kernel("", &metadata), (None, 0));
    }

    #[test]
    fn a_missing_directory_is_a_precondition() {
        let missing = LockFiles { dir: "/no/such/dir".into(), count: 1, timeout: Duration::ZERO };
        assert_eq!(missing.acquire("x").unwrap_err().exit, Exit::Precondition);
    }

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(count_cpus("0-3,8"), Some(5));
        assert_eq!(count_cpus("0"), Some(1));
        assert_eq!(count_cpus(""), None);
        assert_eq!(count_cpus("3-1"), None);
    }
}
