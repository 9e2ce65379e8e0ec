//! Node locks as lock files: `flock(2)` on one of `1.lock` … `N.lock`, shared with the older tool and with flock(1).
//! Must not know what a lock is taken for.
//!
//! Every process queues. The head of the queue holds the lock of the directory itself, and only it looks for a free file; the
//! others wait in the kernel for the directory, so that none overtakes. The kernel releases a lock when its holder dies.
//!
//! Every user who may write to the directory may put anything there. So only regular files are opened as lock files, opening
//! does not block, the text of a file is read up to a limit, and a file system that hangs blocks a thread and not the program.

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

/// How much of a lock file is read, in bytes, and how much of that is shown, in characters.
const READ_LIMIT: u64 = 4096;
const SHOWN_LIMIT: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFiles {
    pub dir: PathBuf,
    /// How many files there are.
    pub count: u32,
    /// How long to wait for one.
    pub timeout: Duration,
}

/// A held lock file. Dropping it releases it.
#[derive(Debug)]
pub struct HeldFlock {
    file: File,
    pub path: PathBuf,
    pub waited: Duration,
}

impl LockFiles {
    /// Takes any one of the files, see [`super::NodeLocks::acquire`].
    pub fn acquire(&self, holder: &str) -> Result<HeldFlock, Fail> {
        let began = Instant::now();
        self.on_thread(LockFiles::check_directory)?;
        let deadline = began + self.timeout;
        let turn = self.queue(deadline)?;
        let mut logged = turn.is_none();
        loop {
            let name = holder.to_string();
            if let Some((file, path)) = self.on_thread(move |locks| locks.take(&name))? {
                return Ok(HeldFlock { file, path, waited: began.elapsed() });
            }
            if !std::mem::replace(&mut logged, true) {
                tracing::info!("waiting for a lock, all {} are held: {}", self.count, self.holders());
            }
            super::check_interrupted(|| self.holders())?;
            if Instant::now() >= deadline {
                return Err(self.timed_out());
            }
            process::sleep(PAUSE);
        }
    }

    /// Takes the first free file and writes the holder's name into it.
    fn take(&self, holder: &str) -> Result<Option<(File, PathBuf)>, Fail> {
        for number in 1..=self.count {
            let path = self.dir.join(format!("{number}.lock"));
            if let Some(file) = try_lock(&path, open).map_err(|error| unusable(&path, &error))? {
                write_holder(&file, &path, holder);
                return Ok(Some((file, path)));
            }
        }
        Ok(None)
    }

    /// Runs `work` on another thread, because the file system of the directory may block.
    fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LockFiles) -> Result<T, Fail> + Send + 'static,
    ) -> Result<T, Fail> {
        let locks = self.clone();
        process::on_thread(move || work(&locks)).unwrap_or_else(|ending| {
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

    /// Creates the directory and its files where they are missing, and opens them to every user of this node. Their owner or root
    /// runs this once, for users who may not write there.
    pub fn prepare(&self) -> Result<(), Fail> {
        self.on_thread(LockFiles::prepare_files)
    }

    fn prepare_files(&self) -> Result<(), Fail> {
        let failed = |path: &Path, error: io::Error| {
            match error.kind() {
            io::ErrorKind::InvalidData => unusable(path, &error),
            _ => Fail::new(Exit::Precondition, format!("{} cannot be prepared: {error}", path.display())).remedy(
                "run it as root, or as the owner of the directory; root needs CAP_DAC_OVERRIDE and CAP_FOWNER for a directory of another user",
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

    fn check_directory(&self) -> Result<(), Fail> {
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

    /// Checks whether the files can be locked, without locking or creating one. Returns a line for doctor.
    pub fn check(&self) -> Result<String, Fail> {
        self.on_thread(LockFiles::check_files)
    }

    fn check_files(&self) -> Result<String, Fail> {
        self.check_directory()?;
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

    /// Lists the files, also existing ones with a number above `count`. The holders come from the kernel's list of locks. In a
    /// container that list lacks processes of other containers, and for some file systems it has another device number. So a file
    /// that is not in the list is locked for an instant, in shared mode; a process that looks for a free file meanwhile tries again.
    pub fn list(&self) -> Result<Listing, Fail> {
        self.on_thread(|locks| {
            let proc_locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let sees_all_processes =
                !proc_locks.is_empty() && fs::read_link("/proc/self/ns/pid").is_ok_and(|ns| ns == Path::new(ROOT_PIDS));
            locks.list_with(&proc_locks, sees_all_processes)
        })
    }

    /// Lists the files by the text of `/proc/locks`. A file that is not in it is locked for an instant, to see whether it is free. Unless
    /// it `sees_all_processes`, the number of those that wait is unknown.
    fn list_with(&self, proc_locks: &str, sees_all_processes: bool) -> Result<Listing, Fail> {
        self.check_directory()?;
        let queue = fs::metadata(&self.dir).map_err(|error| unusable(&self.dir, &error))?;
        let entries = fs::read_dir(&self.dir).map_err(|error| unusable(&self.dir, &error))?;
        let number = |name: &str| name.strip_suffix(".lock")?.parse::<u32>().ok().filter(|number| *number > 0);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut numbers: BTreeSet<u32> = names.filter_map(|name| number(&name)).collect();
        numbers.extend(1..=self.count);
        let (mut locks, mut queue_is_known) = (Vec::new(), sees_all_processes);
        for number in numbers {
            let lock = format!("{number}.lock");
            let path = self.dir.join(&lock);
            let seen = match open_to_read(&path) {
                Ok(file) => {
                    let (seen, listed) =
                        seen(lock, file, proc_locks, &queue).map_err(|error| unusable(&path, &error))?;
                    // If the list lacks the holder of a file, it may also lack those who wait for the directory.
                    queue_is_known &= listed || !seen.held;
                    seen
                }
                // The first process that takes it creates it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    LockState { lock, held: false, holder: None, pid: None, since: None }
                }
                Err(error) => return Err(unusable(&path, &error)),
            };
            locks.push(seen);
        }
        // The head of the queue holds the directory.
        let (head, behind) = in_kernel(proc_locks, &queue);
        let waiting = queue_is_known.then(|| behind + usize::from(head.is_some()));
        Ok(Listing { kind: "flock", place: self.dir.display().to_string(), locks, waiting })
    }

    /// Waits until this process is the head of the queue. Returns None at the deadline; then the caller tries the files once.
    fn queue(&self, deadline: Instant) -> Result<Option<File>, Fail> {
        let path = self.dir.clone();
        let unusable = |error: io::Error| {
            Fail::new(Exit::Precondition, format!("the lock directory {} cannot be used: {error}", path.display()))
                .remedy("let the user that runs backup-ns read it")
        };
        if let Some(turn) = self.on_thread(|locks| Ok(try_lock(&locks.dir, open_directory)))?.map_err(unusable)? {
            return Ok(Some(turn));
        }
        tracing::info!("waiting for one of {} locks behind others: {}", self.count, self.holders());
        // Blocks in the kernel on another thread, which is left behind if the wait ends early.
        let (send, receive) = mpsc::channel();
        let waiting = path.clone();
        thread::spawn(move || {
            let _ = send.send(wait_lock(&waiting));
        });
        while Instant::now() < deadline {
            match receive.recv_timeout(PAUSE) {
                Ok(turn) => return turn.map(Some).map_err(unusable),
                Err(_) => super::check_interrupted(|| self.holders())?,
            }
        }
        Ok(None)
    }

    fn timed_out(&self) -> Fail {
        super::timed_out(self.timeout, &format!("all {} in {}", self.count, self.dir.display()), &self.holders())
    }

    /// The files with the names of their holders.
    fn holders(&self) -> String {
        let holder = |locks: &LockFiles, number: u32| {
            let said = open_to_read(&locks.dir.join(format!("{number}.lock"))).ok().and_then(|file| read_holder(&file));
            format!("{number}.lock by {}", said.as_deref().unwrap_or("an unnamed holder"))
        };
        let holders =
            move |locks: &LockFiles| Ok((1..=locks.count).map(|number| holder(locks, number)).collect::<Vec<_>>());
        self.on_thread(holders).map_or_else(|fail| fail.what, |all| all.join(", "))
    }
}

/// Writes the holder's name into the file. This fails for another user's file, which is held without a name.
fn write_holder(mut file: &File, path: &Path, holder: &str) {
    let written = file.set_len(0).and_then(|()| file.rewind());
    if let Err(error) = written.and_then(|()| writeln!(file, "{}", holder.replace('\n', " "))) {
        tracing::debug!("{} holds no name of its holder: {error}", path.display());
    }
}

/// The holder's name in a file: its first line, shortened, because any user may write there.
fn read_holder(file: &File) -> Option<String> {
    let mut bytes = Vec::new();
    // A file that cannot be read has no name.
    let _ = file.take(READ_LIMIT).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!line.is_empty()).then(|| escape::short(line, SHOWN_LIMIT).into_owned())
}

impl Drop for HeldFlock {
    fn drop(&mut self) {
        // The name is removed before the lock is released, so that it is never in a file that another process holds.
        let _ = self.file.set_len(0);
        let _ = FileExt::unlock(&self.file);
    }
}

/// Adds these rights to the file's mode.
fn permit(file: &File, rights: u32) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & rights == rights { Ok(()) } else { file.set_permissions(Permissions::from_mode(mode & 0o7777 | rights)) }
}

/// The root pid namespace, as `/proc/self/ns/pid` names it: `PROC_PID_INIT_INO` in the kernel's
/// `include/linux/proc_ns.h`. Only there the kernel's list of locks is complete (`locks_show` in `fs/locks.c`).
const ROOT_PIDS: &str = "pid:[4026531836]";

/// The state of a file, and whether the kernel's list has its holder and, by the same device number, its directory `queue`.
fn seen(lock: String, file: File, proc_locks: &str, queue: &fs::Metadata) -> io::Result<(LockState, bool)> {
    let metadata = file.metadata()?;
    let pid = in_kernel(proc_locks, &metadata).0;
    let listed = pid.is_some() && metadata.dev() == queue.dev();
    let held = match pid {
        Some(_) => true,
        None => match FileExt::try_lock_shared(&file) {
            Ok(()) => FileExt::unlock(&file).map(|()| false)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        },
    };
    // The name in a file that is not held was left by a killed process.
    let holder = if held { read_holder(&file) } else { None };
    // The holder wrote the name when it took the lock.
    let since = holder.as_ref().and_then(|_| Some(metadata.modified().ok()?.into()));
    Ok((LockState { lock, held, holder, pid: pid.filter(|pid| *pid > 0), since }, listed))
}

/// The process that holds a file by flock(2) according to `/proc/locks` (kernel(5)), and how many wait for it.
fn in_kernel(proc_locks: &str, metadata: &fs::Metadata) -> (Option<u32>, usize) {
    let (device, inode) = (metadata.dev(), metadata.ino());
    let file = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let (mut holder, mut waiting) = (None, 0);
    for line in proc_locks.lines() {
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
        io::ErrorKind::InvalidData => "find out who put it there, and remove it; backup-ns creates the file again",
        _ => "let the user that runs backup-ns read it (and create it, where it does not exist)",
    };
    Fail::new(Exit::Precondition, format!("the lock file {} cannot be used: {error}", path.display())).remedy(remedy)
}

/// Opens a file, or creates it. An existing file is opened without O_CREAT, which the kernel refuses for another user's file in
/// a directory that every user may write to (fs.protected_regular, <https://docs.kernel.org/admin-guide/sysctl/fs.html>).
fn open_or_make(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => options.create(true).open(path),
        _ => Err(error),
    })
}

/// How a lock file is opened to lock it. Every user may lock it, as far as the umask of its creator allows.
fn to_lock() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).truncate(false).mode(0o666);
    options
}

/// Opens or creates a lock file. Another user's file is opened for reading, which is enough to lock it.
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

/// Opens an existing lock file for reading.
fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    regular(&fs::symlink_metadata(path)?)?;
    // The file may have been replaced meanwhile: no link is followed, and the open does not block.
    let file = options.custom_flags(at_once(OFlags::NOFOLLOW)).open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens or creates a lock file, and fails if it is not a regular file: opening a named pipe may block for ever, opening a
/// device may have side effects, and a link may lead to any file.
fn open_regular(mut options: OpenOptions, path: &Path) -> io::Result<File> {
    if let Ok(there) = fs::symlink_metadata(path) {
        regular(&there)?;
    }
    let file = open_or_make(options.custom_flags(at_once(OFlags::NOFOLLOW)), path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(at_once(OFlags::DIRECTORY)).open(path)
}

/// The flags of an open that does not block.
fn at_once(more: OFlags) -> i32 {
    (more | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

/// Fails unless the file is a regular one.
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
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is a {what}, not a regular file")))
}

/// Whether the path still leads to the open file: the lock of a deleted or replaced file excludes no other process.
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

/// The number of CPUs of the node. `available_parallelism` is of no use here: a CPU limit of the container lowers it.
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
    fn only_regular_files_are_opened() {
        let make = |what: &str, path: &Path| match what {
            "named pipe" => assert!(run("mkfifo", &[path.to_str().unwrap()]).success()),
            "directory" => fs::create_dir(path).unwrap(),
            "symbolic link" => std::os::unix::fs::symlink("elsewhere", path).unwrap(),
            "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            // Only root can create one.
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
                locks.list().map(|_| ()).unwrap_err(),
                locks.check().map(|_| ()).unwrap_err(),
                locks.prepare().unwrap_err(),
                locks.acquire("us").map(|_| ()).unwrap_err(),
            ];
            for fail in fails {
                assert_eq!(fail.exit, Exit::Precondition, "{fail:?}");
                assert!(fail.what.contains(&format!("it is a {what}, not a regular file")), "{fail:?}");
            }
            assert!(!dir.path().join("elsewhere").exists(), "a link was followed");
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's tools")]
    fn run(program: &str, args: &[&str]) -> std::process::ExitStatus {
        std::process::Command::new(program).args(args).stderr(std::process::Stdio::null()).status().unwrap()
    }

    #[test]
    fn lock_files_are_read_up_to_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 2);
        for (number, text) in [(1, "x".repeat(1 << 20)), (2, String::new())] {
            let path = dir.path().join(format!("{number}.lock"));
            fs::write(&path, text).unwrap();
            // The rest of the file is a hole.
            OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
        }
        let held = [1, 2].map(|number| try_lock(&dir.path().join(format!("{number}.lock")), open).unwrap().unwrap());
        let listing = locks.list().unwrap().locks;
        assert_eq!(listing[0].holder.as_deref(), Some(&*format!("{}…", "x".repeat(SHOWN_LIMIT))));
        assert_eq!(listing[1].holder, None);
        let fail = locks.acquire("us").unwrap_err();
        assert!(fail.what.contains("2.lock by an unnamed holder") && fail.what.len() < 1000, "{fail:?}");
        drop(held);
    }

    /// Another process deletes the file, and holds its lock while it does.
    #[test]
    fn a_held_file_is_never_a_deleted_one() {
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
    fn locks_exclude_flock_the_program() {
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
        // The older tool holds it in this way.
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
    fn prepared_files_can_be_locked_by_every_user() {
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

        // The modes that the older tool left. A holder does not notice the change.
        fs::set_permissions(&files[0], Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&locks.dir, Permissions::from_mode(0o1777)).unwrap();
        let held = locks.acquire("us").unwrap();
        locks.prepare().unwrap();
        assert_eq!((mode(&files[0]), mode(&locks.dir)), (0o666, 0o1777));
        assert_eq!(files.iter().map(|path| fs::metadata(path).unwrap().ino()).collect::<Vec<_>>(), inodes);
        assert!(fs::read_to_string(&held.path).unwrap().starts_with("us"));

        // A link to another file.
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
        fs::write(dir.path().join("4.lock"), "a killed process\n").unwrap();
        fs::write(dir.path().join("x.lock"), "not a lock").unwrap();
        let held = locks.acquire("first of all").unwrap();
        let listing = locks.list().unwrap();
        let row = |seen: &LockState| (seen.lock.clone(), seen.held, seen.holder.clone());
        let expected = [("1.lock", true, Some("first of all")), ("2.lock", false, None), ("4.lock", false, None)];
        let expected = expected.map(|(lock, held, holder)| (lock.to_string(), held, holder.map(str::to_string)));
        assert_eq!(listing.locks.iter().map(row).collect::<Vec<_>>(), expected);
        assert!(listing.locks[0].since.is_some(), "{listing:?}");
        // Listing takes and creates nothing, and a free file can still be taken.
        assert!(!dir.path().join("2.lock").exists());
        let second = locks.acquire("second").unwrap();
        assert!(second.path.ends_with("2.lock") && locks.list().unwrap().locks[1].held);
        drop((held, second));
        assert!(locks.list().unwrap().locks.iter().all(|seen| !seen.held));
        assert_eq!(LockFiles { dir: "/no/such/dir".into(), ..locks }.list().unwrap_err().exit, Exit::Precondition);
    }

    /// The list of a container, and a complete list with another device number than the files (overlay, btrfs).
    #[test]
    fn a_file_that_is_not_in_the_kernels_list_is_tried() {
        const OTHERS: &str = "1: FLOCK  ADVISORY  WRITE 9 00:00:1 0 EOF\n";
        let dir = tempfile::tempdir().unwrap();
        let locks = locks(&dir, 1);
        let held = locks.acquire("another container").unwrap();
        for (proc_locks, sees_all_processes) in [("", false), (OTHERS, false), (OTHERS, true)] {
            let listing = locks.list_with(proc_locks, sees_all_processes).unwrap();
            let seen = &listing.locks[0];
            assert!(
                seen.held && seen.holder.as_deref() == Some("another container"),
                "{proc_locks} {sees_all_processes}: {listing:?}"
            );
            assert_eq!(listing.waiting, None, "the queue is not known either");
        }
        let path = held.path.clone();
        drop(held);
        assert!(!locks.list_with(OTHERS, true).unwrap().locks[0].held);
        assert!(try_lock(&path, open).unwrap().is_some(), "and released again");
    }

    #[test]
    fn waiting_processes_are_counted_if_the_list_has_files_and_directory() {
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
        assert_eq!(locks.list_with(&list, true).unwrap().waiting, Some(2));
        assert_eq!(locks.list_with(&list, false).unwrap().waiting, None, "a container sees only its own processes");
        // The directory has another device number than its files: the list may have the files and not the directory.
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
