//! The one place that spawns processes: command line, standard streams, time limit, exit status, and an error that
//! carries all of them with secrets masked. Must not know kubectl.
//!
//! Children get a process group of their own, so that a Ctrl-C on the terminal reaches only this program, which then ends
//! them in order. Every wait here notices a signal within milliseconds.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::core::escape::{self, Secrets};
use crate::core::kube::klog;
use crate::core::kube::kubectl_env::EnvChange;

/// The signal that was received, 0 for none. Set by the handlers that [`listen`] installs.
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// How many of the last lines of a child's stderr are kept.
const STDERR_LINES: usize = 40;

/// How often a wait checks whether it must end.
const PAUSE: Duration = Duration::from_millis(5);

/// Installs handlers for INT, TERM and HUP. The first signal is noted, the second one ends the program at once.
pub fn listen() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_signals();
    let flag = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    // Signals that nohup(1) or a shell made this program ignore stay ignored.
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        signal_hook::flag::register(signal, Arc::clone(&again))?;
        signal_hook::flag::register_usize(signal, Arc::clone(&flag), signal.unsigned_abs() as usize)?;
    }
    let _ = SIGNAL.set(flag);
    Ok(())
}

/// Forbids core files of this program and its children, because they would hold passwords.
pub fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is never refused.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// The signals that this process ignores, a bit for each from signal 1 on (proc_pid_status(5)); 0 if that is unknown.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The first signal that was received.
pub fn signal() -> Option<i32> {
    let signal = SIGNAL.get().map_or(0, |flag| flag.load(Ordering::SeqCst));
    i32::try_from(signal).ok().filter(|signal| *signal != 0)
}

/// When this program must end, and the limit that was set.
static DEADLINE: OnceLock<(Instant, Duration)> = OnceLock::new();

thread_local! {
    /// What ends this thread's waits early, see [`unhurried`] and [`within`].
    static HURRY: Cell<Hurry> = const { Cell::new(Hurry::Usual) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurry {
    /// A signal, and the end of the run's time.
    Usual,
    Never,
    /// The end of this time only.
    At(Instant, Duration),
}

/// Sets the time limit of the run. Every wait ends then, as with a signal.
pub fn limit(time: Duration) {
    let _ = DEADLINE.set((Instant::now() + time, time));
}

/// Runs `work`, which must be done even after a signal or when the time is up. Only this thread is affected. A second signal
/// still ends the program.
pub fn unhurried<T>(work: impl FnOnce() -> T) -> T {
    hurry(Hurry::Never, work)
}

/// Runs `work` with a time limit of its own, even after a signal.
pub fn within<T>(time: Duration, work: impl FnOnce() -> T) -> T {
    hurry(Hurry::At(Instant::now() + time, time), work)
}

fn hurry<T>(hurry: Hurry, work: impl FnOnce() -> T) -> T {
    let before = HURRY.replace(hurry);
    let value = work();
    HURRY.set(before);
    value
}

/// The reason why a wait of this thread must end now.
pub fn hurried() -> Option<Ending> {
    let over = |(end, time): (Instant, Duration)| (Instant::now() >= end).then_some(Ending::OutOfTime(time));
    match HURRY.get() {
        Hurry::Usual => signal().map(Ending::Signal).or_else(|| over(*DEADLINE.get()?)),
        Hurry::Never => None,
        Hurry::At(end, time) => over((end, time)),
    }
}

/// Sleeps until a signal comes, or until the run's time is up, at most for `time`.
pub fn sleep(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && hurried().is_none() {
        thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Runs `work`, which the kernel may block for ever, on another thread. After a signal, or when the time is up, it returns an
/// error and leaves the thread behind.
pub fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ending> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // The receiver may be gone.
        let _ = send.send(work());
    });
    loop {
        match receive.recv_timeout(PAUSE) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Disconnected) => return Err(Ending::Io(io::Error::other("the thread ended"))),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(ending) = hurried() {
                    return Err(ending);
                }
            }
        }
    }
}

/// A program to run, and what must never be shown of it.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The name, found in the PATH.
    pub program: &'a str,
    pub args: Vec<String>,
    /// Changes to this program's environment.
    pub environment: &'a [EnvChange],
    /// Masked in the command line and in stderr.
    pub secrets: &'a Secrets,
}

/// The failure of a process.
#[derive(Debug)]
pub struct ProcessError {
    /// The command line with secrets masked.
    pub command: String,
    pub ending: Ending,
    /// The last lines of its stderr, not masked; see [`ProcessError::said`].
    pub stderr: String,
    pub secrets: Secrets,
}

impl ProcessError {
    /// The last lines of its stderr, secrets masked.
    pub fn said(&self) -> String {
        self.secrets.mask(self.stderr.trim())
    }
}

/// How a process ended.
#[derive(Debug)]
pub enum Ending {
    /// The program is not in the PATH.
    NotFound,
    /// It could not be started, or its streams could not be used.
    Io(io::Error),
    /// It ended with a status other than 0.
    Status(ExitStatus),
    /// It ended with status 0 before its expected last line.
    Early,
    /// It was killed at its own time limit.
    TimeOut(Duration),
    /// It was killed because this program got a signal.
    Signal(i32),
    /// It was killed at the time limit of the run.
    OutOfTime(Duration),
    /// It was killed because it printed more than so many bytes.
    TooMuch(usize),
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ending {
            Ending::NotFound => write!(f, "`{}` cannot be run: the program is not in the PATH", self.command)?,
            Ending::Io(error) => write!(f, "`{}` cannot be run or understood: {error}", self.command)?,
            Ending::Status(status) => match (status.code(), status.signal()) {
                (Some(code), _) => write!(f, "`{}` ended with status {code}", self.command)?,
                (None, Some(signal)) => write!(f, "`{}` was killed by signal {signal}", self.command)?,
                (None, None) => write!(f, "`{}` ended strangely", self.command)?,
            },
            Ending::Early => write!(f, "`{}` ended with status 0 before its last line", self.command)?,
            Ending::TimeOut(time) => {
                write!(f, "`{}` did not answer within {}", self.command, humantime::format_duration(*time))?;
            }
            Ending::TooMuch(most) => write!(f, "`{}` said more than {} MiB", self.command, most >> 20)?,
            Ending::Signal(signal) => write!(f, "ended by signal {signal}")?,
            Ending::OutOfTime(time) => {
                write!(f, "not done within {} in all", humantime::format_duration(*time))?;
            }
        }
        let stderr = self.said();
        if stderr.is_empty() { Ok(()) } else { write!(f, ": {stderr}") }
    }
}

impl std::error::Error for ProcessError {}

impl Job<'_> {
    /// The command line, secrets masked.
    pub fn shown(&self) -> String {
        let words = std::iter::once(self.program).chain(self.args.iter().map(String::as_str));
        let words = words.map(|word| if word.contains('\n') { "<script>".into() } else { escape::word(word) });
        self.secrets.mask(&words.collect::<Vec<_>>().join(" "))
    }

    /// Runs it with `input` on stdin. `read` reads its stdout on another thread, so that output of any size streams through.
    /// Fails unless it exits with status 0 within `limit`; the process has ended in any case.
    pub fn run<T: Send>(
        &self,
        input: &str,
        limit: Duration,
        read: impl FnOnce(&mut dyn BufRead) -> io::Result<T> + Send,
    ) -> Result<T, ProcessError> {
        let began = Instant::now();
        let mut running = self.start()?;
        let stdout = running.stdout.take();
        let outcome = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let stdout = stdout.ok_or_else(|| io::Error::other("no stdout"))?;
                // As much as a pipe holds.
                let mut stdout = BufReader::with_capacity(64 << 10, stdout);
                let value = read(&mut stdout);
                // The rest must be read, too, or the child could block on its output.
                io::copy(&mut stdout, &mut io::sink())?;
                value
            });
            running.feed(input.to_string());
            let status = running.wait(limit);
            let value = reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader failed")));
            status.and_then(|()| value.map_err(Ending::Io))
        });
        tracing::debug!(
            command = running.command,
            seconds = began.elapsed().as_secs_f64(),
            ok = outcome.is_ok(),
            "ran"
        );
        outcome.map_err(|ending| running.error(ending))
    }

    /// Replaces this program by it (execve(2)). Returns only if that fails.
    pub fn replace(&self) -> ProcessError {
        let error = self.process().exec();
        let ending = if error.kind() == io::ErrorKind::NotFound { Ending::NotFound } else { Ending::Io(error) };
        ProcessError { command: self.shown(), ending, stderr: String::new(), secrets: self.secrets.clone() }
    }

    fn process(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let mut process = Command::new(self.program);
        process.args(&self.args);
        for (name, value) in self.environment {
            match value {
                Some(value) => process.env(name, value),
                None => process.env_remove(name),
            };
        }
        process
    }

    /// Starts it with pipes for stdin, stdout and stderr.
    pub fn start(&self) -> Result<RunningProcess, ProcessError> {
        let command = self.shown();
        let mut process = self.process();
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = process.spawn().map_err(|error| ProcessError {
            command: command.clone(),
            ending: if error.kind() == io::ErrorKind::NotFound { Ending::NotFound } else { Ending::Io(error) },
            stderr: String::new(),
            secrets: self.secrets.clone(),
        })?;
        let stdin = Arc::new(Mutex::new(child.stdin.take()));
        let stdout = child.stdout.take();
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let drained = drain(child.stderr.take(), Arc::clone(&tail));
        tracing::debug!(command, "started");
        Ok(RunningProcess { child, command, stdin, stdout, tail, drained, secrets: self.secrets.clone() })
    }
}

/// Collects the last lines of stderr. The receiver is disconnected at its end.
fn drain(stderr: Option<impl Read + Send + 'static>, tail: Arc<Mutex<VecDeque<String>>>) -> Receiver<()> {
    let (done, drained) = mpsc::channel();
    thread::spawn(move || {
        let _done = done;
        let Some(stderr) = stderr else { return };
        let mut stderr = BufReader::new(stderr);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut stderr).take(8192).read_until(b'\n', &mut line) {
            let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.push_back(String::from_utf8_lossy(&line).trim_end().to_string());
            if tail.len() > STDERR_LINES {
                tail.pop_front();
            }
            line.clear();
        }
    });
    drained
}

/// The writing end of a child's stdin; none once it is closed.
pub type Input = Arc<Mutex<Option<ChildStdin>>>;

/// A running process. Dropping it kills it.
pub struct RunningProcess {
    child: Child,
    command: String,
    stdin: Input,
    /// Its output, until something takes it.
    pub stdout: Option<std::process::ChildStdout>,
    tail: Arc<Mutex<VecDeque<String>>>,
    drained: Receiver<()>,
    secrets: Secrets,
}

impl RunningProcess {
    pub fn input(&self) -> Input {
        Arc::clone(&self.stdin)
    }

    /// Takes the writing end of its stdin. [`RunningProcess::write`] fails then.
    pub fn take_input(&self) -> Option<ChildStdin> {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Writes to its stdin.
    pub fn write(&self, text: &str) -> io::Result<()> {
        write(&self.stdin, text)
    }

    /// Writes `text` to its stdin and closes it, on another thread: the time limit must also hold for a child that reads nothing.
    pub fn feed(&self, text: String) {
        let stdin = self.input();
        thread::spawn(move || {
            // A child may end without reading all of it; its status shows whether it failed.
            let _ = write(&stdin, &text);
            stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
    }

    /// Closes its stdin.
    pub fn close(&self) {
        drop(self.take_input());
    }

    /// Waits until it ends. Kills it after `limit`, on a signal, or when the run's time is up.
    pub fn wait(&mut self, limit: Duration) -> Result<(), Ending> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(Ending::Status(status)),
                Ok(None) => {}
                Err(error) => return Err(Ending::Io(error)),
            }
            if let Some(ending) = hurried() {
                self.kill();
                return Err(ending);
            }
            if Instant::now() >= end {
                self.kill();
                return Err(Ending::TimeOut(limit));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until it ends, also after a signal, and kills it after `limit`.
    pub fn end(&mut self, limit: Duration) {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Ok(Some(_)) | Err(_) = self.child.try_wait() {
                return;
            }
            thread::sleep(PAUSE);
        }
        self.kill();
    }

    /// Kills its process group.
    pub fn kill(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of its stderr so far, without those of a log. Waits up to 200 ms for the end of the stream.
    fn stderr(&self) -> String {
        if let Err(RecvTimeoutError::Timeout) = self.drained.recv_timeout(Duration::from_millis(200)) {
            tracing::debug!(command = self.command, "stderr is still open");
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        klog::without_log(tail.iter().cloned().collect()).join("\n")
    }

    /// The last lines of its stderr, secrets masked.
    pub fn said(&self) -> String {
        self.secrets.mask(self.stderr().trim())
    }

    pub fn error(&self, ending: Ending) -> ProcessError {
        ProcessError { command: self.command.clone(), ending, stderr: self.stderr(), secrets: self.secrets.clone() }
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.kill();
        }
    }
}

/// A process whose output is read line by line. Only a few lines are buffered: while they are not read, the process blocks on
/// its pipe.
pub struct Lines {
    pub running: RunningProcess,
    lines: Receiver<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hear {
    /// Pass it on, and wait until there is room for it.
    Yes,
    /// Pass it on only if there is room now, because another like it follows soon.
    IfRoom,
    /// Drop it.
    No,
}

/// The longest line that is accepted, in bytes; a VolumeSnapshot has at most 1.5 MiB.
const LONGEST_LINE: u64 = 2 << 20;

/// How many lines are buffered.
const WAITING: usize = 8;

/// How many dropped bytes cause a warning: a stray line of a container does not.
const MUCH: u64 = 1 << 20;

impl Lines {
    /// Reads all lines of a process.
    pub fn of(running: RunningProcess) -> Lines {
        Lines::filtered(running, LONGEST_LINE, |_| Hear::Yes)
    }

    /// Reads the lines of a process that `select` keeps. Lines of more than `longest` bytes are dropped.
    pub fn filtered(
        mut running: RunningProcess,
        longest: u64,
        select: impl Fn(&str) -> Hear + Send + 'static,
    ) -> Lines {
        let (send, lines) = mpsc::sync_channel(WAITING);
        if let Some(stdout) = running.stdout.take() {
            let command = running.command.clone();
            thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                // If it cannot be read, the process's end shows why.
                let _ = pass_on(&mut stdout, longest, &select, &send, &command);
                drop(send);
                // The rest must be read, too, or the process could block on its output.
                let _ = io::copy(&mut stdout, &mut io::sink());
            });
        }
        Lines { running, lines }
    }

    /// Stops passing lines on, so that the process can write the rest and end.
    pub fn close(&mut self) {
        self.lines = mpsc::sync_channel(0).1;
    }

    /// The next line, or None if none came within `wait`. Fails when the process has ended, with [`Ending::Early`] after status 0.
    pub fn next(&mut self, wait: Duration) -> Result<Option<String>, ProcessError> {
        let end = Instant::now() + wait;
        loop {
            if let Some(ending) = hurried() {
                return Err(self.running.error(ending));
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(Duration::from_millis(50))) {
                Ok(line) => return Ok(Some(line)),
                Err(RecvTimeoutError::Disconnected) => {
                    let ending = self.running.wait(Duration::from_secs(5)).err().unwrap_or(Ending::Early);
                    return Err(self.running.error(ending));
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Passes on the selected lines until the end of the output, or until the receiver is gone.
fn pass_on(
    stdout: &mut impl BufRead,
    longest: u64,
    hear: impl Fn(&str) -> Hear,
    send: &SyncSender<String>,
    command: &str,
) -> io::Result<()> {
    let (mut line, mut unheard) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = stdout.take(longest).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        // A line that is too long, or has no end, is dropped.
        let skipped = if line.ends_with(b"\n") { 0 } else { read + stdout.skip_until(b'\n')? };
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let heard = if skipped == 0 { hear(text) } else { Hear::No };
        match heard {
            Hear::Yes if send.send(text.into()).is_err() => return Ok(()),
            Hear::IfRoom if matches!(send.try_send(text.into()), Err(TrySendError::Disconnected(_))) => return Ok(()),
            Hear::Yes | Hear::IfRoom => {}
            Hear::No => {
                let before = unheard;
                unheard += read.max(skipped) as u64;
                if before < MUCH && unheard >= MUCH {
                    tracing::warn!(
                        "passing over what is no report in the output of `{command}`: more than 1 MiB so far"
                    );
                }
            }
        }
    }
}

/// Writes to a child's stdin. Fails once it is closed.
pub fn write(input: &Input, text: &str) -> io::Result<()> {
    match &mut *input.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(stdin) => stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn shell(script: &str, secrets: &Secrets, input: &str) -> Result<String, ProcessError> {
        let job = Job { program: "sh", args: vec!["-c".into(), script.into()], environment: &[], secrets };
        job.run(input, SECOND * 10, |stdout| io::read_to_string(stdout))
    }

    #[test]
    fn output_and_input_flow() {
        assert_eq!(shell("cat; echo end", &Secrets::default(), "in\n").unwrap(), "in\nend\n");
        let much = "x".repeat(1 << 20);
        assert_eq!(shell("cat", &Secrets::default(), &much).unwrap(), much);
    }

    #[test]
    fn an_error_has_command_status_and_stderr_without_secrets() {
        let secrets = Secrets::new(["hunter2".to_string()]);
        let error = shell("echo 'no hunter2' >&2; exit 3", &secrets, "").unwrap_err().to_string();
        assert!(error.contains("ended with status 3: no ****"), "{error}");
        assert!(error.contains("sh -c") && !error.contains("hunter2"), "{error}");
        let error = shell("kill -KILL $$", &secrets, "").unwrap_err().to_string();
        assert!(error.contains("killed by signal 9"), "{error}");
    }

    #[test]
    fn a_missing_program_has_its_own_ending() {
        let job = Job { program: "no-such-program-here", args: vec![], environment: &[], secrets: &Secrets::default() };
        assert!(matches!(job.start().map(|_| ()).unwrap_err().ending, Ending::NotFound));
    }

    #[test]
    fn unhurried_affects_only_its_own_thread() {
        unhurried(|| {
            assert_eq!(HURRY.get(), Hurry::Never);
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    assert_eq!(HURRY.get(), Hurry::Usual);
                    unhurried(|| unhurried(|| ()));
                    HURRY.get()
                });
                assert_eq!(other.join().unwrap(), Hurry::Usual);
            });
            // A nested call does not end the outer one.
            unhurried(|| ());
            assert_eq!(HURRY.get(), Hurry::Never);
        });
        assert_eq!(HURRY.get(), Hurry::Usual);
    }

    #[test]
    fn processes_within_a_limit_share_its_time() {
        let secrets = Secrets::default();
        let job = Job { program: "sleep", args: vec!["60".into()], environment: &[], secrets: &secrets };
        within(Duration::from_millis(100), || {
            for _ in 0..2 {
                let error = job.run("", SECOND * 60, |_| Ok(())).unwrap_err();
                assert!(matches!(error.ending, Ending::OutOfTime(time) if time.as_millis() == 100), "{error}");
            }
        });
        assert!(hurried().is_none());
    }

    fn lines(script: &str, longest: u64, select: impl Fn(&str) -> Hear + Send + 'static) -> Lines {
        let job = Job {
            program: "sh",
            args: vec!["-c".into(), script.into()],
            secrets: &Secrets::default(),
            environment: &[],
        };
        Lines::filtered(job.start().unwrap(), longest, select)
    }

    #[test]
    fn foreign_long_and_unfinished_lines_are_dropped() {
        let script = "echo 'n one'; echo foreign; printf 'n %1000s\\n' n; echo 'n two'; printf 'n three'";
        let mut lines = lines(script, 100, |line| if line.starts_with("n ") { Hear::Yes } else { Hear::No });
        assert_eq!(lines.next(SECOND * 10).unwrap().as_deref(), Some("n one"));
        assert_eq!(lines.next(SECOND * 10).unwrap().as_deref(), Some("n two"));
        assert!(matches!(lines.next(SECOND * 10).unwrap_err().ending, Ending::Early));
    }

    #[test]
    fn a_process_blocks_on_lines_that_must_be_read_and_not_on_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("written").display().to_string();
        // More than the pipe and the buffers hold.
        let beats = format!("i=0; while [ $i -lt 20000 ]; do echo beat; i=$((i+1)); done; echo done; : >{file}; cat");
        let mut lines = lines(&beats, 100, |line| if line == "beat" { Hear::IfRoom } else { Hear::Yes });
        let written = || std::fs::exists(&file).unwrap();
        while !written() {
            thread::sleep(PAUSE);
        }
        // Those that had room are passed on, and then the line that waited.
        let mut heard = 0;
        while lines.next(SECOND * 10).unwrap().expect("what is always heard") != "done" {
            heard += 1;
        }
        assert!((1..20_000).contains(&heard), "{heard}");
        drop(lines);
        let flood = format!("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; : >{file}.2; cat");
        let mut lines = self::lines(&flood, 100, |_| Hear::Yes);
        for number in 0..10 {
            assert_eq!(lines.next(SECOND * 10).unwrap(), Some(format!("line {number}")));
        }
        thread::sleep(SECOND / 5);
        assert!(!std::fs::exists(format!("{file}.2")).unwrap(), "it does not wait");
        lines.close();
        lines.running.close();
        lines.running.wait(SECOND * 60).unwrap();
    }

    #[test]
    fn work_that_the_kernel_blocks_is_abandoned() {
        assert_eq!(on_thread(|| 7).unwrap(), 7);
        let ending = within(Duration::from_millis(100), || on_thread(|| thread::sleep(SECOND * 600)).unwrap_err());
        assert!(matches!(ending, Ending::OutOfTime(_)), "{ending:?}");
    }

    #[test]
    fn time_is_limited_whether_stdin_is_read_or_not() {
        let job = Job { program: "sleep", args: vec!["60".into()], environment: &[], secrets: &Secrets::default() };
        for input in [String::new(), "x".repeat(1 << 20)] {
            let error = job.run(&input, Duration::from_millis(100), |_| Ok(())).unwrap_err();
            assert!(matches!(error.ending, Ending::TimeOut(_)), "{error}");
        }
    }
}
