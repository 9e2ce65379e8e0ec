//! What writes all the time, and remembers what was committed when. Must not know of backups.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::engines::{Engine, transaction};
use crate::kit::until;
use crate::runs::lines;

/// What a writer knows of its transactions: when each was sent first, and when it was known to be committed.
#[derive(Default)]
pub struct Journal {
    pub sent: Vec<Instant>,
    pub committed: Vec<Instant>,
    /// Transactions that were committed and are gone.
    pub lost: Vec<String>,
}

impl Journal {
    pub fn by(times: &[Instant], when: Instant) -> u64 {
        times.iter().take_while(|time| **time <= when).count() as u64
    }
}

/// Writes one transaction after the other until it goes, whatever breaks.
pub struct Writer {
    pub journal: Arc<Mutex<Journal>>,
    pub stop: Arc<AtomicBool>,
    pub pause: Arc<AtomicBool>,
    pub idle: Arc<AtomicBool>,
    /// Whether a connection that broke is not made anew.
    pub hold: Arc<AtomicBool>,
    pub thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(namespace: &str, engine: Engine) -> Writer {
        let (journal, stop, pause, idle, hold) = Default::default();
        let mut writer = Writer { journal, stop, pause, idle, hold, thread: None };
        let (journal, namespace) = (writer.journal.clone(), namespace.to_string());
        let (stop, pause, idle) = (writer.stop.clone(), writer.pause.clone(), writer.idle.clone());
        let hold = writer.hold.clone();
        writer.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                if hold.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(50));
                    continue;
                }
                idle.store(false, Ordering::SeqCst);
                Writer::session(&namespace, engine, &journal, &stop, &pause, &idle);
                idle.store(true, Ordering::SeqCst);
                sleep(Duration::from_millis(300));
            }
        }));
        writer
    }

    /// Writes over one connection until it fails.
    pub fn session(
        namespace: &str,
        engine: Engine,
        journal: &Mutex<Journal>,
        stop: &AtomicBool,
        pause: &AtomicBool,
        idle: &AtomicBool,
    ) {
        let mut command = Command::new("kubectl");
        command.args([
            "-n",
            namespace,
            "exec",
            "-i",
            "deploy/app-base",
            "-c",
            engine.name(),
            "--",
            "sh",
            "-c",
            engine.client(),
        ]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let answers = lines(child.stdout.take().unwrap());
        let mut stdin = child.stdin.take().unwrap();
        let mut ask = |statements: &str| {
            stdin.write_all(statements.as_bytes()).ok()?;
            answers.recv_timeout(Duration::from_secs(10)).ok().map(|(_, line)| line)
        };
        // Where a connection broke, the one transaction that was on its way is committed or is not.
        if let Some(last) =
            ask("SELECT coalesce(max(tx), 0) FROM journal;\n").and_then(|line| line.parse::<usize>().ok())
        {
            let mut known = journal.lock().unwrap();
            let committed = known.committed.len();
            if last < committed {
                known
                    .lost
                    .push(format!("{}: transaction {committed} was committed, the last is {last}", engine.name()));
            } else if last > committed {
                known.committed.push(Instant::now());
            }
            drop(known);
            while last >= committed && !stop.load(Ordering::SeqCst) {
                idle.store(pause.load(Ordering::SeqCst), Ordering::SeqCst);
                if idle.load(Ordering::SeqCst) {
                    sleep(Duration::from_millis(20));
                    continue;
                }
                let next = {
                    let mut known = journal.lock().unwrap();
                    let next = known.committed.len() + 1;
                    if known.sent.len() < next {
                        known.sent.push(Instant::now());
                    }
                    next as u64
                };
                if ask(&transaction(next)).as_deref() != Some(&format!("done {next}")) {
                    break;
                }
                journal.lock().unwrap().committed.push(Instant::now());
                sleep(Duration::from_millis(25));
            }
        }
        child.kill().ok();
        child.wait().ok();
    }

    /// Waits until it wrote something more.
    pub fn await_progress(&self) {
        let count = || self.journal.lock().unwrap().committed.len();
        let before = count();
        until("the writer goes on", 180, || (count() > before).then_some(()));
    }

    pub fn pause(&self, yes: bool) {
        self.pause.store(yes, Ordering::SeqCst);
        if yes {
            until("the writer pauses", 30, || self.idle.load(Ordering::SeqCst).then_some(()));
        }
    }
}

impl Writer {
    /// Whether a connection that breaks is not made anew, because the database is being replaced.
    pub fn hold(&self, yes: bool) {
        self.hold.store(yes, Ordering::SeqCst);
    }

    /// Goes on from the transaction `last`: the database was restored to it.
    pub fn rewind(&self, last: u64) {
        let mut known = self.journal.lock().unwrap();
        let last = last as usize;
        known.sent.truncate(last);
        known.committed.truncate(last);
        // One that was sent, and committed before its answer arrived.
        let now = Instant::now();
        known.sent.resize(last, now);
        known.committed.resize(last, now);
    }

    /// How many are known to be committed, and how many were sent.
    pub fn counts(&self) -> (u64, u64) {
        let known = self.journal.lock().unwrap();
        (known.committed.len() as u64, known.sent.len() as u64)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().ok();
    }
}
