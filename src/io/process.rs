//! The one place that spawns processes: command line, standard streams, time limit, exit status, and an error that
//! carries all of them with secrets masked. Must not know kubectl.
//!
//! Children get a process group of their own, so that a Ctrl-C on the terminal reaches this program first and it ends
//! them in order; every wait here notices a signal within a moment.

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
use crate::core::kube::kubectl_env::EnvChange;

/// The signal that was received, 0 for none. Set by the handlers that [`listen`] installs.
static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// How much of a child's stderr is kept: its last lines.
const STDERR_LINES: usize = 40;

/// How often a wait looks up.
const PAUSE: Duration = Duration::from_millis(5);

/// Takes notice of INT, TERM and HUP from here on instead of dying of them. A second one ends the program at once.
///
/// # Errors
/// The handlers cannot be installed.
pub fn listen() -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored_signals();
    let flag = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    // What nohup(1) or a shell in the background made this program ignore, it goes on ignoring.
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0) {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))?;
        signal_hook::flag::register(signal, Arc::clone(&again))?;
        signal_hook::flag::register_usize(signal, Arc::clone(&flag), signal.unsigned_abs() as usize)?;
    }
    let _ = SIGNAL.set(flag);
    Ok(())
}

/// Keeps passwords out of core files, of this program and of all that it starts.
pub fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is never refused.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// The signals that this process ignores, a bit each from signal 1 on (proc_pid_status(5)); none where that is not told.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// The signal that this program was asked to end with, if any.
pub fn signal() -> Option<i32> {
    let signal = SIGNAL.get().map_or(0, |flag| flag.load(Ordering::SeqCst));
    i32::try_from(signal).ok().filter(|signal| *signal != 0)
}

/// When this program must be done, and how long that was given.
static DEADLINE: OnceLock<(Instant, Duration)> = OnceLock::new();

thread_local! {
    /// What cuts this thread's waits short for now, see [`unhurried`] and [`within`].
    static HURRY: Cell<Hurry> = const { Cell::new(Hurry::Usual) };
}

/// What cuts waits short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurry {
    /// A signal, and the end of the time that all may take.
    Usual,
    /// Nothing.
    Never,
    /// The end of a time of its own.
    At(Instant, Duration),
}

/// From now on all that this program does may take so long; every wait ends then as it does with a signal.
pub fn limit(time: Duration) {
    let _ = DEADLINE.set((Instant::now() + time, time));
}

/// Does what must be done even when time is up or a signal came, on this thread alone: others go on as they would. A second
/// signal ends the program all the same.
pub fn unhurried<T>(work: impl FnOnce() -> T) -> T {
    hurry(Hurry::Never, work)
}

/// Likewise, but all of it may take so long and no longer.
pub fn within<T>(time: Duration, work: impl FnOnce() -> T) -> T {
    hurry(Hurry::At(Instant::now() + time, time), work)
}

fn hurry<T>(hurry: Hurry, work: impl FnOnce() -> T) -> T {
    let before = HURRY.replace(hurry);
    let value = work();
    HURRY.set(before);
    value
}

/// Why a wait of this thread must end now, if it must.
pub fn hurried() -> Option<Ending> {
    let over = |(end, time): (Instant, Duration)| (Instant::now() >= end).then_some(Ending::OutOfTime(time));
    match HURRY.get() {
        Hurry::Usual => signal().map(Ending::Signal).or_else(|| over(*DEADLINE.get()?)),
        Hurry::Never => None,
        Hurry::At(end, time) => over((end, time)),
    }
}

/// Sleeps, but no longer than until a signal comes or time is up.
pub fn sleep(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && hurried().is_none() {
        thread::sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
    }
}

/// Does `work`, which the kernel may hold up for as long as it likes, on a thread of its own. Where that is given up, the thread
/// ends with the program.
///
/// # Errors
/// A signal came or time is up.
pub fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ending> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        // It may have been given up.
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
    /// Found in the PATH.
    pub program: &'a str,
    /// The arguments.
    pub args: Vec<String>,
    /// What it finds otherwise in its environment than this program does.
    pub environment: &'a [EnvChange],
    /// Masked wherever the command line or the output is shown.
    pub secrets: &'a Secrets,
}

/// Why a process did not do what it was started for.
#[derive(Debug)]
pub struct ProcessError {
    /// The command line with secrets masked.
    pub command: String,
    /// How it ended.
    pub ending: Ending,
    /// The last lines of its stderr as they were; [`ProcessError::said`] shows them.
    pub stderr: String,
    /// Masked wherever stderr is shown.
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
    /// It is not in the PATH.
    NotFound,
    /// It could not be started, fed or read.
    Io(io::Error),
    /// It ended with another status than 0.
    Status(ExitStatus),
    /// It ended with status 0, but before it said what it was to say.
    Early,
    /// It was ended because its time was up.
    TimeOut(Duration),
    /// It was ended because this program got a signal.
    Signal(i32),
    /// It was ended because the time of the whole run was up.
    OutOfTime(Duration),
    /// It was ended because it said more than this, in bytes.
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
    /// The command line as it may be shown.
    pub fn shown(&self) -> String {
        let words = std::iter::once(self.program).chain(self.args.iter().map(String::as_str));
        let words = words.map(|word| if word.contains('\n') { "<script>".into() } else { escape::word(word) });
        self.secrets.mask(&words.collect::<Vec<_>>().join(" "))
    }

    /// Runs it to its end with `input` on stdin and hands its stdout to `read`, on a thread of its own, so that output
    /// of any size streams through.
    ///
    /// # Errors
    /// Anything but an exit with status 0 within `limit`; the process is gone then.
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
                let mut stdout = BufReader::new(stdout.ok_or_else(|| io::Error::other("no stdout"))?);
                let value = read(&mut stdout);
                // Whatever was not asked for is read all the same, or the child could not end.
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

    /// Puts it in the place of this program: its streams, its terminal and its status are this one's from here on.
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

    /// Starts it with all three streams in hand.
    ///
    /// # Errors
    /// It cannot be started.
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

/// Collects the last lines of stderr; the receiver hangs up when it ends.
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

/// The writing end of a child's stdin, shared between those who feed it and the one who ends it.
pub type Input = Arc<Mutex<Option<ChildStdin>>>;

/// A process that runs. Dropping it kills it.
pub struct RunningProcess {
    child: Child,
    command: String,
    stdin: Input,
    /// Its output, for whoever takes it.
    pub stdout: Option<std::process::ChildStdout>,
    tail: Arc<Mutex<VecDeque<String>>>,
    drained: Receiver<()>,
    secrets: Secrets,
}

impl RunningProcess {
    /// The writing end of its stdin.
    pub fn input(&self) -> Input {
        Arc::clone(&self.stdin)
    }

    /// Writes to its stdin.
    ///
    /// # Errors
    /// It does not read any more.
    pub fn write(&self, text: &str) -> io::Result<()> {
        write(&self.stdin, text)
    }

    /// Writes all of its stdin and ends it, without waiting for it to be read: a child that reads nothing is ended like any other.
    pub fn feed(&self, text: String) {
        let stdin = self.input();
        thread::spawn(move || {
            // A child that ends without reading all of it says by its status whether that was all that it wanted.
            let _ = write(&stdin, &text);
            stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
    }

    /// Ends its stdin.
    pub fn close(&self) {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until it ends; ends it when `limit` is over or a signal comes.
    ///
    /// # Errors
    /// Any ending but status 0.
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

    /// Waits until it ends by itself, signals or not, but no longer than `limit`; then kills it.
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

    /// Kills it, and whatever it started in its group.
    pub fn kill(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The last lines of its stderr so far. Waits a moment for those that are on their way.
    fn stderr(&self) -> String {
        if let Err(RecvTimeoutError::Timeout) = self.drained.recv_timeout(Duration::from_millis(200)) {
            tracing::debug!(command = self.command, "stderr is still open");
        }
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(tail.iter().cloned()).join("\n")
    }

    /// The last lines of its stderr, secrets masked.
    pub fn said(&self) -> String {
        self.secrets.mask(self.stderr().trim())
    }

    /// An error about this process.
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

/// A process whose output is heard line by line while it runs. However much it prints, a few lines are held: where nothing reads them,
/// its output waits in the pipe, and it waits to write.
pub struct Lines {
    /// The process.
    pub running: RunningProcess,
    lines: Receiver<String>,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hear {
    /// It is passed on, and waits until there is room for it.
    Yes,
    /// It is passed on if there is room for it just now: another like it follows soon.
    IfRoom,
    /// It is not passed on.
    No,
}

/// The longest line that is heard whole, in bytes; a VolumeSnapshot has at most 1.5 MiB.
const LONGEST_LINE: u64 = 2 << 20;

/// How many lines wait to be heard.
const WAITING: usize = 8;

/// How many dropped bytes cause a warning: by accident a container prints a line, but not a million.
const MUCH: u64 = 1 << 20;

impl Lines {
    /// Listens to a process.
    pub fn of(running: RunningProcess) -> Lines {
        Lines::chosen(running, LONGEST_LINE, |_| Hear::Yes)
    }

    /// Listens to those lines of a process, none longer than `longest` bytes, that `hear` says to.
    pub fn chosen(mut running: RunningProcess, longest: u64, hear: impl Fn(&str) -> Hear + Send + 'static) -> Lines {
        let (send, lines) = mpsc::sync_channel(WAITING);
        if let Some(stdout) = running.stdout.take() {
            let command = running.command.clone();
            thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                // It cannot be read any more; the process's end says why.
                let _ = pass_on(&mut stdout, longest, &hear, &send, &command);
                drop(send);
                // What is not wanted is read all the same, or the process could not end.
                let _ = io::copy(&mut stdout, &mut io::sink());
            });
        }
        Lines { running, lines }
    }

    /// Listens no more, so that the process can write what it likes and end.
    pub fn close(&mut self) {
        self.lines = mpsc::sync_channel(0).1;
    }

    /// The next line; none if none came within `wait`.
    ///
    /// # Errors
    /// The process ended, with [`Ending::Early`] if well, or a signal came.
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

/// Passes on what is to be heard, until the end of the output or of the listener.
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
        // A line that is cut off or has no end is no line.
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

/// Writes to a child's stdin.
///
/// # Errors
/// It is closed, or the child does not read any more.
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
    fn a_missing_program_is_told_apart() {
        let job = Job { program: "no-such-program-here", args: vec![], environment: &[], secrets: &Secrets::default() };
        assert!(matches!(job.start().map(|_| ()).unwrap_err().ending, Ending::NotFound));
    }

    #[test]
    fn one_thread_that_is_unhurried_does_not_keep_others_from_hurrying() {
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
            // What is done in between takes nothing away either.
            unhurried(|| ());
            assert_eq!(HURRY.get(), Hurry::Never);
        });
        assert_eq!(HURRY.get(), Hurry::Usual);
    }

    #[test]
    fn what_may_take_so_long_shares_its_time() {
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

    fn lines(script: &str, longest: u64, hear: impl Fn(&str) -> Hear + Send + 'static) -> Lines {
        let job = Job {
            program: "sh",
            args: vec!["-c".into(), script.into()],
            secrets: &Secrets::default(),
            environment: &[],
        };
        Lines::chosen(job.start().unwrap(), longest, hear)
    }

    #[test]
    fn lines_that_are_foreign_too_long_or_cut_off_are_passed_over() {
        let script = "echo 'n one'; echo foreign; printf 'n %1000s\\n' n; echo 'n two'; printf 'n three'";
        let mut lines = lines(script, 100, |line| if line.starts_with("n ") { Hear::Yes } else { Hear::No });
        assert_eq!(lines.next(SECOND * 10).unwrap().as_deref(), Some("n one"));
        assert_eq!(lines.next(SECOND * 10).unwrap().as_deref(), Some("n two"));
        assert!(matches!(lines.next(SECOND * 10).unwrap_err().ending, Ending::Early));
    }

    #[test]
    fn a_process_waits_for_its_listener_but_not_with_what_need_not_be_heard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("written").display().to_string();
        // More than the pipe and all that waits hold.
        let beats = format!("i=0; while [ $i -lt 20000 ]; do echo beat; i=$((i+1)); done; echo done; : >{file}; cat");
        let mut lines = lines(&beats, 100, |line| if line == "beat" { Hear::IfRoom } else { Hear::Yes });
        let written = || std::fs::exists(&file).unwrap();
        while !written() {
            thread::sleep(PAUSE);
        }
        // Those that had room are heard, and then what waited for it.
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
    fn what_the_kernel_holds_up_is_given_up() {
        assert_eq!(aside(|| 7).unwrap(), 7);
        let ending = within(Duration::from_millis(100), || aside(|| thread::sleep(SECOND * 600)).unwrap_err());
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
