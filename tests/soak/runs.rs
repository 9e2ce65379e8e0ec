//! Runs of backup-ns and scripts in containers: started, listened to, waited for. Must not know what is wrong with them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::kit::{Backup, in_format};

/// A run that lasts longer hangs.
pub const TOO_LONG: Duration = Duration::from_secs(240);

/// Runs a script in a container, for a minute at most.
pub fn exec(namespace: &str, pod: &str, container: &str, script: &str, input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["60", "kubectl", "-n", namespace, "exec", "-i", pod, "-c", container, "--", "sh", "-c"]);
    command.arg(in_format(script));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

/// The same, in the background, with nothing on stdin.
pub fn exec_aside(namespace: &str, container: &str, script: &str) -> Child {
    let mut command = Command::new("timeout");
    command.args(["60", "kubectl", "-n", namespace, "exec", "deploy/app-base", "-c", container, "--", "sh", "-c"]);
    command.arg(in_format(script));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_string()
}

/// Reads lines in the background, each with the time at which it came.
pub fn lines(from: impl Read + Send + 'static) -> Receiver<(Instant, String)> {
    let (to, received): (Sender<(Instant, String)>, _) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    received
}

/// A backup-ns at work, listened to.
pub struct Run {
    pub child: Child,
    pub began: Instant,
    pub lines: Receiver<(Instant, String)>,
    pub stdout: JoinHandle<String>,
    pub stderr: String,
    /// When the last dump was done.
    pub dumped: Option<Instant>,
}

/// How it ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub began: Instant,
    pub dumped: Instant,
    pub took: Duration,
}

impl Run {
    pub fn of(backup: Backup, began: Instant) -> Run {
        let Backup(mut child) = backup;
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).ok();
            text
        });
        let lines = lines(child.stderr.take().unwrap());
        Run { child, began, lines, stdout, stderr: String::new(), dumped: None }
    }

    /// Listens until a step is done; false when it ended before.
    pub fn until(&mut self, step: Option<&str>) -> bool {
        let Some(step) = step else { return true };
        let done = format!("step=\"{step}\"");
        while let Ok((at, line)) = self.lines.recv_timeout(TOO_LONG) {
            self.hear(at, &line);
            if line.contains(&done) && !line.contains("failed") {
                return true;
            }
        }
        false
    }

    pub fn hear(&mut self, at: Instant, line: &str) {
        if line.contains("step=\"dump\"") {
            self.dumped = Some(at);
        }
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }

    pub fn signal(&self, name: &str) {
        Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }

    pub fn done(mut self) -> Ended {
        loop {
            match self.lines.recv_timeout(TOO_LONG.saturating_sub(self.began.elapsed())) {
                Ok((at, line)) => self.hear(at, &line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.stderr.push_str("SOAK: it hangs, and is killed\n");
                    self.child.kill().unwrap();
                    break;
                }
            }
        }
        let status = self.child.wait().unwrap();
        let code =
            status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0));
        let now = Instant::now();
        let (began, dumped) = (self.began, self.dumped.unwrap_or(now));
        Ended { code, stdout: self.stdout.join().unwrap(), stderr: self.stderr, began, dumped, took: now - began }
    }
}

/// The kubectl processes of a backup-ns.
pub fn children(of: u32) -> Vec<u32> {
    let stat = |pid: u32| -> Option<(u32, String)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((rest.split_whitespace().nth(1)?.parse().ok()?, name.to_string()))
    };
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(parent, name)| parent == of && name == "kubectl")).collect()
}
