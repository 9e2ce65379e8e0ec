//! The lie detector, `make soak`: runs of `backup-ns create` one after the other on a real cluster, with PostgreSQL and
//! MariaDB under writers that never stop, and with a random fault at a random moment of most of them.
//!
//! After each run that exited 0, the snapshot that it named is restored, its dump compared with the proof, loaded into
//! servers of their own, and compared with what the writers know: every transaction that was committed before the run
//! began, none that was sent after the dump, none in part, and books that balance. Whatever else it finds is a FALSE
//! SUCCESS. After each run, whatever it exited with, the dump file is whole, nobody harmed the servers, and nothing
//! of backup-ns is left after a grace. Either one broken makes this exit 1; what is needed to look at it is printed and
//! kept in target/tmp/soak-SEED.
//!
//! - `SOAK_SECONDS`: no run begins later than that; 600.
//! - `SOAK_SEED`: what the runs are drawn from, each by its number alone; from the clock, and printed first.
//! - `SOAK_FIRST`: the number of the first run, to come to a certain one at once; 1.
//! - `SOAK_LIE=1`: shows that lies are found. Each restored dump is spoilt in one of six ways before it is judged, so all
//!   successes must turn out false, and this exits 1.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[allow(dead_code, reason = "the cluster tests use the rest")]
#[path = "cluster/kit.rs"]
mod kit;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::{Backup, Class, Started, Tenant, apply, component, is_local, until};
use serde_json::{Value, json};

/// How long what a failed run left may stay: a session ends by itself when it heard nothing for a minute.
const GRACE: Duration = Duration::from_secs(75);

/// A run that lasts longer hangs.
const TOO_LONG: Duration = Duration::from_secs(240);

/// Rows that never change, so that a dump takes a moment and some room.
const NOISE: u64 = 60_000;

/// The ways in which `SOAK_LIE` spoils what was restored.
const LIES: [&str; 6] =
    ["a flipped byte", "an end cut off", "a lost row", "a lost transaction", "one too many", "a torn one"];

/// The two sides of an entry, and what balances them.
const SIDES: [&str; 3] = ["(tx * 7919) % 997", "(tx * 104729) % 991", "-((tx * 7919) % 997 + (tx * 104729) % 991)"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Postgres,
    MySql,
}

impl Engine {
    /// Its name in flags and results, and its container's.
    fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Engine::Postgres => "/var/lib/postgresql/data",
            Engine::MySql => "/var/lib/mysql",
        }
    }

    fn tool(self) -> &'static str {
        match self {
            Engine::Postgres => "pg_dump",
            Engine::MySql => "mariadb-dump",
        }
    }

    /// A client in its container, which ends with the first statement that fails.
    fn client(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1"
            }
            Engine::MySql => {
                "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -BNn --default-character-set=utf8mb4 app"
            }
        }
    }

    /// A fresh database, with the dump on stdin loaded up to the first error.
    fn load(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "export PGPASSWORD=$POSTGRES_PASSWORD; p='psql -h 127.0.0.1 -U app -XAtq -v ON_ERROR_STOP=1'
                 $p -d postgres -c 'DROP DATABASE IF EXISTS app WITH (FORCE)' && $p -d postgres -c 'CREATE DATABASE app' &&
                 $p -d app -o /dev/null"
            }
            Engine::MySql => {
                "export MYSQL_PWD=$MARIADB_ROOT_PASSWORD; m='mariadb -h127.0.0.1 -uroot --default-character-set=utf8mb4'
                 $m -e 'DROP DATABASE IF EXISTS app; CREATE DATABASE app' && $m --binary-mode app >/dev/null"
            }
        }
    }

    fn create_tables(self) -> String {
        let (kind, noise) = match self {
            Engine::Postgres => ("", format!("SELECT n, md5(n::text) AS t FROM generate_series(1, {NOISE}) n")),
            Engine::MySql => ("ENGINE=InnoDB", format!("SELECT seq AS n, md5(seq) AS t FROM seq_1_to_{NOISE}")),
        };
        format!(
            "CREATE TABLE journal (tx bigint, part int, amount bigint, note varchar(60), PRIMARY KEY (tx, part)) {kind};
             CREATE TABLE account (part int PRIMARY KEY, total bigint) {kind};
             INSERT INTO account VALUES (1, 0), (2, 0), (3, 0);
             CREATE TABLE held (n int) {kind};
             CREATE TABLE noise AS {noise};\n"
        )
    }

    /// Keeps a table locked for so long, so that a dump waits in front of it.
    fn stall(self, seconds: f64) -> String {
        match self {
            Engine::Postgres => {
                format!("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds}); COMMIT;")
            }
            Engine::MySql => format!("LOCK TABLES held WRITE; SELECT SLEEP({seconds}); UNLOCK TABLES;"),
        }
    }

    /// Ends the connection of a dump, if there is one; says how many.
    fn disconnect(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'COPY %' OR query LIKE 'LOCK TABLE public%'"
            }
            Engine::MySql => {
                "BEGIN NOT ATOMIC DECLARE n bigint DEFAULT (SELECT max(id) FROM information_schema.processlist
                 WHERE info LIKE 'SELECT /*!40001 SQL_NO_CACHE%'); IF n IS NULL THEN SELECT 0; ELSE KILL n; SELECT 1; END IF; END"
            }
        }
    }
}

/// One numbered transaction: an entry on three accounts that adds up to nothing, and the accounts' totals.
fn transaction(n: u64) -> String {
    let mut text = "BEGIN;".to_string();
    for (part, side) in (1..).zip(SIDES) {
        let amount = side.replace("tx", &n.to_string());
        write!(text, " INSERT INTO journal VALUES ({n}, {part}, {amount}, 'tx {n} it''s \"$HOME\"');").unwrap();
        write!(text, " UPDATE account SET total = total + ({amount}) WHERE part = {part};").unwrap();
    }
    text + &format!(" COMMIT; SELECT 'done {n}';\n")
}

/// Asks a restored database for all that the judgement needs, a number a line.
fn questions() -> String {
    let [one, two, three] = SIDES;
    format!(
        "SELECT count(*) FROM journal;
         SELECT count(DISTINCT tx) FROM journal;
         SELECT coalesce(min(tx), 1) FROM journal;
         SELECT coalesce(max(tx), 0) FROM journal;
         SELECT count(*) FROM journal WHERE note <> concat('tx ', tx, ' it''s \"$HOME\"')
           OR amount <> CASE part WHEN 1 THEN {one} WHEN 2 THEN {two} ELSE {three} END;
         SELECT count(*) FROM (SELECT tx FROM journal GROUP BY tx HAVING count(*) <> 3 OR sum(amount) <> 0) torn;
         SELECT count(*) FROM account WHERE total = (SELECT coalesce(sum(amount), 0) FROM journal WHERE journal.part = account.part);
         SELECT count(*) FROM noise;\n"
    )
}

/// Runs a script in a container, for a minute at most.
fn exec(namespace: &str, pod: &str, container: &str, script: &str, input: &[u8]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["60", "kubectl", "-n", namespace, "exec", "-i", pod, "-c", container, "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

/// The same, in the background, with nothing on stdin.
fn exec_aside(namespace: &str, container: &str, script: &str) -> Child {
    let mut command = Command::new("timeout");
    command.args([
        "60",
        "kubectl",
        "-n",
        namespace,
        "exec",
        "deploy/app-base",
        "-c",
        container,
        "--",
        "sh",
        "-c",
        script,
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_string()
}

/// What a writer knows of its transactions: when each was sent first, and when it was known to be committed.
#[derive(Default)]
struct Journal {
    sent: Vec<Instant>,
    committed: Vec<Instant>,
    /// Transactions that were committed and are gone.
    lost: Vec<String>,
}

impl Journal {
    fn by(times: &[Instant], when: Instant) -> u64 {
        times.iter().take_while(|time| **time <= when).count() as u64
    }
}

/// Writes one transaction after the other until it goes, whatever breaks.
struct Writer {
    journal: Arc<Mutex<Journal>>,
    stop: Arc<AtomicBool>,
    pause: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(namespace: &str, engine: Engine) -> Writer {
        let (journal, stop, pause, idle) = Default::default();
        let mut writer = Writer { journal, stop, pause, idle, thread: None };
        let (journal, namespace) = (writer.journal.clone(), namespace.to_string());
        let (stop, pause, idle) = (writer.stop.clone(), writer.pause.clone(), writer.idle.clone());
        writer.thread = Some(std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                Writer::session(&namespace, engine, &journal, &stop, &pause, &idle);
                idle.store(true, Ordering::SeqCst);
                sleep(Duration::from_millis(300));
            }
        }));
        writer
    }

    /// Writes over one connection until it fails.
    fn session(
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
    fn await_progress(&self) {
        let count = || self.journal.lock().unwrap().committed.len();
        let before = count();
        until("the writer goes on", 180, || (count() > before).then_some(()));
    }

    fn pause(&self, yes: bool) {
        self.pause.store(yes, Ordering::SeqCst);
        if yes {
            until("the writer pauses", 30, || self.idle.load(Ordering::SeqCst).then_some(()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().ok();
    }
}

/// Reads lines in the background, each with the time at which it came.
fn lines(from: impl Read + Send + 'static) -> Receiver<(Instant, String)> {
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

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq)]
enum Fault {
    Nothing,
    /// A signal to backup-ns.
    Signal(&'static str),
    /// A signal to one of its kubectl processes, or all.
    Kubectl(&'static str, bool),
    /// backup-ns stands still for so many seconds.
    Stopped(f64),
    /// A part of the cluster is killed and started again so many seconds later.
    Component(&'static str, f64),
    /// A signal to the dump tool or the compressor in the container, so many seconds after it started.
    Tool(&'static str, &'static str, f64),
    /// The database ends the connection of the dump.
    Disconnected,
    PodDeleted,
    DiskFull,
    /// Somebody else changes the dump file, so many seconds after it was renamed.
    Vandal(&'static str, f64),
    /// A VolumeSnapshotClass.
    BadClass(&'static str),
    WrongPassword,
    /// A second backup, so many seconds later, that waits or does not.
    Second(f64, &'static str),
}

impl Fault {
    fn kind(&self) -> String {
        match self {
            Fault::Nothing => "none".into(),
            Fault::Signal(signal) => format!("{signal} to backup-ns"),
            Fault::Kubectl(..) => "kubectl killed".into(),
            Fault::Stopped(_) => "backup-ns stopped for a while".into(),
            Fault::Component(component, _) => format!("{component} killed"),
            Fault::Tool("gzip", ..) => "compressor killed".into(),
            Fault::Tool(..) => "dump tool killed".into(),
            Fault::Disconnected => "dump's connection ended".into(),
            Fault::PodDeleted => "pod deleted".into(),
            Fault::DiskFull => "disk full".into(),
            Fault::Vandal(how, _) => format!("dump file {how} by another"),
            Fault::BadClass(class) => format!("snapshot class {class}"),
            Fault::WrongPassword => "wrong password".into(),
            Fault::Second(..) => "second backup at the same time".into(),
        }
    }
}

/// A run, drawn from the seed and its number.
#[derive(Debug, Clone)]
struct Plan {
    number: u64,
    engines: Vec<Engine>,
    fault: Fault,
    /// The fault comes so many seconds after the end of this step, or after the start.
    after: Option<&'static str>,
    delay: f64,
    /// For how long a lock keeps the dump.
    stall: Option<f64>,
    class: Option<&'static str>,
    websockets: bool,
    slots: bool,
    wait: bool,
    zone: &'static str,
}

impl Plan {
    fn draw(seed: u64, number: u64) -> Plan {
        // Every fault comes once before any comes again; some come more often.
        let kinds = [
            vec![0; 6],
            vec![1, 1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 9, 10, 10, 11, 12, 13, 14, 14, 14, 14, 15, 16, 17, 18, 19, 19],
        ];
        let mut bag: Vec<u32> = kinds.concat();
        let size = bag.len() as u64;
        fastrand::Rng::with_seed(seed.wrapping_add((number - 1) / size)).shuffle(&mut bag);
        let kind = bag[((number - 1) % size) as usize];
        let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let seconds = |rng: &mut fastrand::Rng, most: f64| (rng.f64() * most * 100.0).round() / 100.0;
        let engines = match rng.u32(..10) {
            0..6 => vec![Engine::Postgres],
            6..8 => vec![Engine::MySql],
            _ => vec![Engine::Postgres, Engine::MySql],
        };
        let deadly = if rng.bool() { "KILL" } else { "TERM" };
        let fault = match kind {
            0 => Fault::Nothing,
            1 => Fault::Signal("TERM"),
            2 => Fault::Signal("INT"),
            3 => Fault::Signal("KILL"),
            4 => Fault::Kubectl(deadly, rng.bool()),
            5 => Fault::Stopped(seconds(&mut rng, 3.0)),
            6 => Fault::Component("kubelet", seconds(&mut rng, 1.5)),
            7 => Fault::Component("kube-apiserver", seconds(&mut rng, 1.5)),
            8 => Fault::Component("csi-snapshotter", seconds(&mut rng, 1.0)),
            9 => Fault::Tool(engines[0].tool(), deadly, seconds(&mut rng, 0.4)),
            10 => Fault::Tool("gzip", deadly, seconds(&mut rng, 0.6)),
            11 => Fault::Disconnected,
            12 => Fault::PodDeleted,
            13 => Fault::DiskFull,
            14 => {
                let how = rng.choice(["appended to", "truncated", "overwritten", "replaced", "removed"]).unwrap();
                Fault::Vandal(how, seconds(&mut rng, 2.0))
            }
            15 => Fault::BadClass("failing"),
            16 => Fault::BadClass("never"),
            17 => Fault::BadClass("missing"),
            18 => Fault::WrongPassword,
            _ => Fault::Second(seconds(&mut rng, 2.0), rng.choice(["0s", "60s"]).unwrap()),
        };
        let after = rng
            .choice([
                None,
                Some("observe"),
                Some("check"),
                Some("check"),
                Some("dump"),
                Some("prove"),
                Some("snapshot"),
                Some("cut"),
            ])
            .unwrap();
        let slow_cut = matches!(fault, Fault::Vandal(..)) && rng.u32(..10) < 7;
        let class = match rng.u32(..4) {
            _ if slow_cut => Some("latecut"),
            0 => Some("latecut"),
            1 => Some("lateready"),
            _ => None,
        };
        let halts = matches!(
            fault,
            Fault::Nothing | Fault::Vandal(..) | Fault::DiskFull | Fault::WrongPassword | Fault::BadClass(_)
        );
        let full = fault == Fault::DiskFull;
        Plan {
            number,
            engines,
            // The disk has room when it is looked at.
            after: if full { Some("check") } else { after },
            // Behind the dump each step takes a moment only.
            delay: seconds(&mut rng, if matches!(after, Some("prove" | "snapshot" | "cut")) { 0.2 } else { 0.7 }),
            stall: match full {
                true => Some(3.0),
                false if halts => None,
                false => rng.bool().then(|| 1.0 + seconds(&mut rng, 1.5)),
            },
            class: match &fault {
                Fault::BadClass(name) => Some(name),
                _ => class,
            },
            websockets: rng.u32(..3) > 0,
            slots: rng.u32(..4) == 0,
            // What is never ready is a failure for who waits only.
            wait: rng.u32(..6) > 0 || matches!(fault, Fault::BadClass(_)),
            zone: rng.choice(["UTC", "Europe/Vienna", "Pacific/Kiritimati", "Pacific/Pago_Pago"]).unwrap(),
            fault,
        }
    }

    fn describe(&self) -> String {
        let engines: Vec<&str> = self.engines.iter().map(|engine| engine.name()).collect();
        let mut text = format!("run {:>3}  {:<14} {}", self.number, engines.join("+"), self.fault.kind());
        match &self.fault {
            Fault::Nothing | Fault::BadClass(_) | Fault::WrongPassword | Fault::Disconnected => {}
            Fault::Tool(tool, signal, after) => write!(text, " ({signal} {tool} +{after} s)").unwrap(),
            Fault::Vandal(_, after) => write!(text, " (+{after} s)").unwrap(),
            Fault::Second(after, busy) => write!(text, " (+{after} s, waits {busy})").unwrap(),
            fault => {
                match fault {
                    Fault::Kubectl(signal, all) => {
                        write!(text, " ({signal}, {})", if *all { "all" } else { "one" }).unwrap()
                    }
                    Fault::Component(_, down) | Fault::Stopped(down) => write!(text, " (for {down} s)").unwrap(),
                    _ => {}
                }
                write!(text, " {} +{} s", self.after.unwrap_or("start"), self.delay).unwrap();
            }
        }
        for (what, set) in [("SPDY", !self.websockets), ("slots", self.slots), ("not waiting", !self.wait)] {
            if set {
                write!(text, ", {what}").unwrap();
            }
        }
        if let (Some(class), false) = (self.class, matches!(self.fault, Fault::BadClass(_))) {
            write!(text, ", {class}").unwrap();
        }
        if let Some(stall) = self.stall {
            write!(text, ", locked for {stall:.2} s").unwrap();
        }
        text
    }
}

/// A backup-ns at work, listened to.
struct Run {
    child: Child,
    began: Instant,
    lines: Receiver<(Instant, String)>,
    stdout: JoinHandle<String>,
    stderr: String,
    /// When the last dump was done.
    dumped: Option<Instant>,
}

/// How it ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
    began: Instant,
    dumped: Instant,
    took: Duration,
}

impl Run {
    fn of(backup: Backup, began: Instant) -> Run {
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
    fn until(&mut self, step: Option<&str>) -> bool {
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

    fn hear(&mut self, at: Instant, line: &str) {
        if line.contains("step=\"dump\"") {
            self.dumped = Some(at);
        }
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }

    fn signal(&self, name: &str) {
        Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .unwrap();
    }

    fn done(mut self) -> Ended {
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
fn children(of: u32) -> Vec<u32> {
    let stat = |pid: u32| -> Option<(u32, String)> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((rest.split_whitespace().nth(1)?.parse().ok()?, name.to_string()))
    };
    let pids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(parent, name)| parent == of && name == "kubectl")).collect()
}

/// Something of backup-ns that lies about or runs in a container.
#[derive(Debug, Clone)]
struct Left {
    run: u64,
    since: Instant,
    container: String,
    process: bool,
}

/// All of a soak.
struct Soak {
    tenant: Tenant,
    classes: BTreeMap<&'static str, Class>,
    writers: Vec<(Engine, Writer)>,
    /// By engine and what it is.
    left: BTreeMap<(&'static str, String), Left>,
    /// Whose dump file was changed by another since the last success.
    spoilt: Vec<Engine>,
    lie: bool,
    evidence: PathBuf,
    runs: u32,
    codes: BTreeMap<i32, u32>,
    faults: BTreeMap<String, u32>,
    false_successes: u32,
    violations: u32,
    transactions: u64,
}

impl Soak {
    fn new(seed: u64, lie: bool) -> Soak {
        let maria = |volume: bool, password: &str| {
            let mut container = json!({
                "name": "mysql", "image": "mariadb:10.11", "imagePullPolicy": "IfNotPresent",
                "args": ["--ignore-db-dir=lost+found", "--innodb-log-file-size=10M"],
                "env": [{"name": "MARIADB_ROOT_PASSWORD", "value": password}, {"name": "MARIADB_DATABASE", "value": "app"}],
                "readinessProbe": {
                    "exec": {"command": ["sh", "-c", "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb-admin -h127.0.0.1 -uroot ping"]},
                    "periodSeconds": 1,
                },
            });
            if volume {
                container["volumeMounts"] = json!([{"name": "data", "mountPath": "/var/lib/mysql", "subPath": "my"}]);
            }
            container
        };
        let tenant = Tenant::small("soak", 512, |deployment| {
            let pod = &mut deployment["spec"]["template"]["spec"];
            pod["containers"][0]["volumeMounts"][0]["subPath"] = json!("pg");
            pod["containers"].as_array_mut().unwrap().push(maria(true, "p w'$HOME"));
        });
        let loader = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loader"},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                {
                    "name": "postgres", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "args": ["-c", "fsync=off"],
                    "env": [{"name": "POSTGRES_USER", "value": "app"}, {"name": "POSTGRES_PASSWORD", "value": "x"}],
                    "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "app"]}, "periodSeconds": 1},
                },
                maria(false, "x"),
            ]},
        });
        apply(&tenant.namespace, &loader);
        tenant.kubectl(&["wait", "pod/loader", "--for=condition=Ready", "--timeout=180s"]);
        for engine in [Engine::Postgres, Engine::MySql] {
            let made = exec(
                &tenant.namespace,
                "deploy/app-base",
                engine.name(),
                engine.client(),
                engine.create_tables().as_bytes(),
            );
            assert!(made.status.success(), "{}", text(&made.stderr));
        }
        let class = |parameters: Value, name| (name, Class::new(&format!("soak-{name}"), &parameters));
        // All of them let the data go with the snapshot, which the cluster's own class does not.
        let classes = [
            class(json!({}), "plain"),
            class(json!({"fail": "the array is on fire"}), "failing"),
            class(json!({"ready-after": "10m"}), "never"),
            class(json!({"ready-after": "1500ms"}), "lateready"),
            class(json!({"cut-after": "1200ms"}), "latecut"),
        ];
        let writers =
            [Engine::Postgres, Engine::MySql].map(|engine| (engine, Writer::start(&tenant.namespace, engine)));
        Soak {
            tenant,
            classes: classes.into(),
            writers: writers.into(),
            left: BTreeMap::new(),
            spoilt: Vec::new(),
            lie,
            evidence: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("soak-{seed}")),
            runs: 0,
            codes: BTreeMap::new(),
            faults: BTreeMap::new(),
            false_successes: 0,
            violations: 0,
            transactions: 0,
        }
    }

    fn writer(&self, engine: Engine) -> &Writer {
        &self.writers.iter().find(|(of, _)| *of == engine).unwrap().1
    }

    fn start(&self, plan: &Plan, busy: &str) -> Run {
        let mut args: Vec<String> = plan.engines.iter().map(|engine| format!("--db-{}", engine.name())).collect();
        args.insert(0, "create".into());
        args.extend([format!("--tz={}", plan.zone), format!("--busy-timeout={busy}")]);
        let class = self.classes.get(plan.class.unwrap_or("plain")).map_or("no-such-class", |class| class.0.as_str());
        args.push(format!("--vs-class-name={class}"));
        let patience = if matches!(plan.fault, Fault::BadClass(_)) { 4 } else { 60 };
        args.push(format!("--vs-wait-until-ready-timeout={patience}s"));
        if !plan.wait {
            args.push("--vs-wait-until-ready=false".into());
        }
        if plan.slots {
            args.push("--label-vs-retain=daily_weekly_monthly".into());
        }
        if plan.fault == Fault::DiskFull {
            args.push("--threshold-space-used-percentage=100".into());
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let began = Instant::now();
        let backup = self.tenant.run(&args, |command| {
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", plan.websockets.to_string());
            if plan.fault == Fault::WrongPassword {
                command.env("BAK_DB_POSTGRES_PASSWORD", "wrong").env("BAK_DB_MYSQL_PASSWORD", "wrong");
            }
        });
        Run::of(backup, began)
    }

    /// What lurks in the container of the run's first database before the run begins.
    fn lurker(&self, plan: &Plan) -> Option<Child> {
        let engine = plan.engines[0];
        let script = match &plan.fault {
            Fault::Tool(tool, signal, after) => format!(
                "n=0; until pgrep -x {tool} >/dev/null; do [ $n -lt 400 ] || exit 0; sleep 0.02; n=$((n + 1)); done
                 sleep {after}; pkill -{signal} -x {tool} && echo hit"
            ),
            Fault::Disconnected => format!(
                "c() {{ {}; }}; n=0; until [ \"$(echo \"$0\" | (c))\" = 1 ]; do [ $n -lt 150 ] || exit 0; n=$((n + 1)); done; echo hit",
                engine.client()
            ),
            Fault::Vandal(how, after) => {
                let change = match *how {
                    "appended to" => "printf x >>dump.sql.gz",
                    "truncated" => "truncate -s -7 dump.sql.gz",
                    "overwritten" => "printf spoilt | dd of=dump.sql.gz bs=1 seek=500 conv=notrunc 2>/dev/null",
                    "replaced" => "echo 'SELECT 1;' | gzip >other && mv other dump.sql.gz",
                    _ => "rm -f dump.sql.gz",
                };
                format!(
                    "cd {} && old=$(stat -c %i dump.sql.gz 2>/dev/null); n=0
                     until new=$(stat -c %i dump.sql.gz 2>/dev/null) && [ \"$new\" != \"$old\" ]; do
                       [ $n -lt 400 ] || exit 0; sleep 0.02; n=$((n + 1)); done
                     sleep {after}; {change}; sync -f .; echo hit",
                    engine.directory()
                )
            }
            _ => return None,
        };
        let child = if plan.fault == Fault::Disconnected {
            let mut command = Command::new("timeout");
            let args = [
                "60",
                "kubectl",
                "-n",
                &self.tenant.namespace,
                "exec",
                "deploy/app-base",
                "-c",
                engine.name(),
                "--",
                "sh",
            ];
            command.args(args).args(["-c", &script, engine.disconnect()]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
        } else {
            exec_aside(&self.tenant.namespace, engine.name(), &script)
        };
        // It is there before the run is.
        sleep(Duration::from_millis(300));
        Some(child)
    }

    /// Lets the fault happen to a run; what became of it.
    fn strike(&self, plan: &Plan, run: &mut Run) -> &'static str {
        let comes = matches!(
            plan.fault,
            Fault::Signal(_)
                | Fault::Kubectl(..)
                | Fault::Stopped(_)
                | Fault::Component(..)
                | Fault::PodDeleted
                | Fault::DiskFull
        );
        if !comes {
            return "";
        }
        let reached = run.until(plan.after);
        sleep(Duration::from_secs_f64(if reached { plan.delay } else { 0.0 }));
        if !reached || run.child.try_wait().unwrap().is_some() {
            return "came too late";
        }
        match &plan.fault {
            Fault::Signal(signal) => run.signal(signal),
            Fault::Kubectl(signal, all) => {
                let mut found = children(run.child.id());
                let keep = plan.number as usize % found.len().max(1);
                if !all && !found.is_empty() {
                    found = vec![found[keep]];
                }
                if found.is_empty() {
                    return "found none";
                }
                for pid in found {
                    Command::new("kill")
                        .args([format!("-{signal}"), pid.to_string()])
                        .stderr(Stdio::null())
                        .status()
                        .unwrap();
                }
            }
            Fault::Stopped(seconds) => {
                run.signal("STOP");
                sleep(Duration::from_secs_f64(*seconds));
                run.signal("CONT");
            }
            Fault::Component(name, seconds) => {
                let _started = Started(name);
                component("stop", name);
                sleep(Duration::from_secs_f64(*seconds));
            }
            Fault::PodDeleted => {
                self.tenant.kubectl(&["delete", "pod", &self.tenant.pod(), "--wait=false"]);
            }
            Fault::DiskFull => self.fill(),
            _ => {}
        }
        ""
    }

    /// Leaves less room on the volume than a dump needs.
    fn fill(&self) {
        self.tenant.sh(
            "cd /var/lib/postgresql/data && n=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) && fallocate -l $((n - 600))K filler",
        );
    }

    fn free(&self) {
        let gone = || (self.tenant.sh("rm -f /var/lib/postgresql/data/filler && echo gone") == "gone").then_some(());
        until("the filler is gone", 60, gone);
        for (_, writer) in &self.writers {
            writer.pause(false);
        }
    }

    /// One run with its fault, and all that is looked at after it; a line for people.
    fn run(&mut self, plan: &Plan) {
        *self.faults.entry(plan.fault.kind()).or_default() += 1;
        if plan.fault == Fault::DiskFull {
            for (_, writer) in &self.writers {
                writer.pause(true);
            }
        }
        let lurker = self.lurker(plan);
        // By the time of the dump it has the lock.
        let stall = plan.stall.map(|seconds| {
            let engine = plan.engines[0];
            let script = format!("echo \"{}\" | ({})", engine.stall(seconds), engine.client());
            exec_aside(&self.tenant.namespace, engine.name(), &script)
        });
        let mut run = self.start(plan, if matches!(plan.fault, Fault::Second(..)) { "60s" } else { "20s" });
        let mut second = None;
        if let Fault::Second(after, busy) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            second = Some(self.start(plan, busy));
        }
        let late = self.strike(plan, &mut run);
        let mut ended = vec![run.done()];
        ended.extend(second.map(Run::done));
        if plan.fault == Fault::DiskFull {
            self.free();
        }
        let hit = lurker.map(|child| text(&child.wait_with_output().unwrap().stdout) == "hit");
        if let Some(mut stall) = stall {
            stall.wait().unwrap();
        }
        self.tenant.await_ready();
        for (_, writer) in &self.writers {
            writer.await_progress();
        }

        let mut line = plan.describe();
        for word in [late, if hit == Some(false) { "came too late" } else { "" }] {
            if !word.is_empty() {
                write!(line, " ({word})").unwrap();
            }
        }
        let mut problems = Vec::new();
        for (number, ended) in ended.iter().enumerate() {
            self.runs += 1;
            *self.codes.entry(ended.code).or_default() += 1;
            write!(line, " → {} in {:.1} s", ended.code, ended.took.as_secs_f64()).unwrap();
            match ended.code {
                0 => {
                    let began = Instant::now();
                    self.spoilt.retain(|engine| !plan.engines.contains(engine));
                    match self.judge(plan, ended, number) {
                        Ok(said) => write!(line, ", true: {said} ({:.1} s)", began.elapsed().as_secs_f64()).unwrap(),
                        Err(why) => {
                            self.false_successes += 1;
                            problems.push(format!("FALSE SUCCESS: {why}"));
                        }
                    }
                }
                1 | 4 | 5 | 6 | 7 | 130 | 137 | 143 => {}
                code => problems.push(format!("ended with {code}, which nothing here should make it do")),
            }
            if ended.stderr.contains("SOAK: it hangs") {
                problems.push(format!("did not end within {} s", TOO_LONG.as_secs()));
            }
        }
        if hit == Some(true) && matches!(plan.fault, Fault::Vandal(..)) {
            self.spoilt.push(plan.engines[0]);
        }
        let succeeded = ended.iter().filter(|ended| ended.code == 0).map(|ended| ended.began).max();
        for engine in [Engine::Postgres, Engine::MySql] {
            let succeeded = succeeded.filter(|_| plan.engines.contains(&engine));
            if let Err(why) = self.look_after(plan, engine, succeeded) {
                problems.push(why);
            }
        }
        for (_, writer) in &self.writers {
            problems.append(&mut writer.journal.lock().unwrap().lost);
        }
        self.tenant.kubectl(&["delete", "volumesnapshots", "--all", "--wait=false"]);
        println!("{line}");
        if !problems.is_empty() {
            self.violations += problems.iter().filter(|problem| !problem.starts_with("FALSE")).count() as u32;
            self.report(plan, &ended, &problems);
        }
    }

    /// Says and keeps all that is needed to look at what went wrong.
    fn report(&self, plan: &Plan, ended: &[Ended], problems: &[String]) {
        let folder = self.evidence.join(format!("run-{}", plan.number));
        std::fs::create_dir_all(&folder).unwrap();
        let mut all = format!("{plan:#?}\n");
        for problem in problems {
            println!("  ! {problem}");
            writeln!(all, "{problem}").unwrap();
        }
        for ended in ended {
            write!(all, "\nexit code {}\n{}\n{}\n", ended.code, ended.stderr, ended.stdout).unwrap();
            if !self.lie {
                println!("{}", ended.stderr.trim_end().replace('\n', "\n    ").replacen("", "    ", 1));
            }
        }
        std::fs::write(folder.join("report"), all).unwrap();
        println!("  ! all of it: {}", folder.display());
    }

    /// Whether a success was one: what it says of itself, and then what a restore of it holds.
    fn judge(&mut self, plan: &Plan, ended: &Ended, number: usize) -> Result<String, String> {
        let summary: Value =
            serde_json::from_str(&ended.stdout).map_err(|error| format!("no result on stdout: {error}"))?;
        let snapshot = summary["volumeSnapshot"].as_str().ok_or("it names no snapshot")?;
        let found = self.patiently(|| {
            let output =
                kit::kubectl_with(&["-n", &self.tenant.namespace, "get", "volumesnapshot", snapshot, "-o", "json"], "");
            let found: Value = serde_json::from_slice(&output.stdout)
                .map_err(|_| format!("the snapshot cannot be read: {}", text(&output.stderr)))?;
            if found["status"]["readyToUse"] == true {
                Ok(found)
            } else {
                Err(format!("the snapshot does not become ready: {}", found["status"]))
            }
        })?;
        if plan.wait && summary["ready"] != true {
            return Err("it did not wait until the snapshot was ready".into());
        }
        let annotations = &found["metadata"]["annotations"];
        if !annotations["backup-ns.sh/distrusted"].is_null() {
            return Err(format!("the snapshot is distrusted: {annotations}"));
        }
        let name = format!("look-{}-{number}", plan.number);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "look", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "86400"],
                    "volumeMounts": [{"name": "restored", "mountPath": "/restored"}],
                }],
                "volumes": [{"name": "restored", "persistentVolumeClaim": {"claimName": name}}],
            },
        });
        let items = json!([self.tenant.claim(&name, "512Mi", Some(snapshot)), pod]);
        apply(&self.tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
        let wait =
            ["-n", &self.tenant.namespace, "wait", &format!("pod/{name}"), "--for=condition=Ready", "--timeout=90s"];
        let restored = kit::kubectl_with(&wait, "");
        let judged = if restored.status.success() {
            plan.engines
                .iter()
                .map(|engine| self.judge_dump(plan, ended, *engine, &name, &summary, annotations))
                .collect()
        } else {
            Err(format!("the snapshot cannot be restored: {}", text(&restored.stderr)))
        };
        let objects = [format!("pod/{name}"), format!("pvc/{name}")];
        kit::kubectl_with(&["-n", &self.tenant.namespace, "delete", &objects[0], &objects[1], "--wait=false"], "");
        judged.map(|said: Vec<String>| said.join(", "))
    }

    fn judge_dump(
        &mut self,
        plan: &Plan,
        ended: &Ended,
        engine: Engine,
        look: &str,
        summary: &Value,
        annotations: &Value,
    ) -> Result<String, String> {
        let name = engine.name();
        let proof = &summary["dumps"][name];
        let annotated = annotations[format!("backup-ns.sh/dump-{name}")].as_str().unwrap_or_default();
        let annotated: Value =
            serde_json::from_str(annotated).map_err(|error| format!("{name}: no proof on the snapshot: {error}"))?;
        let sum = annotated["sha256"].as_str().unwrap_or_default();
        if proof["sha256"] != annotated["sha256"] || sum.len() != 64 {
            return Err(format!("{name}: the result's proof is {proof}, the snapshot's {annotated}"));
        }
        let lie = self.lie.then(|| LIES[plan.number as usize % LIES.len()]);
        let flip =
            if lie == Some(LIES[0]) { "printf x | dd of=\"$f\" bs=1 seek=300 conv=notrunc 2>/dev/null;" } else { "" };
        let path = annotated["pathInVolume"].as_str().unwrap_or_default();
        let script = format!("f=/restored/{path}; {flip} sha256sum <\"$f\" >&2 && cat \"$f\"");
        let dump = self.patiently(|| {
            let read = exec(&self.tenant.namespace, look, "look", &script, b"");
            if read.status.success() {
                Ok(read)
            } else {
                Err(format!("{name}: the dump cannot be read in the restored volume: {}", text(&read.stderr)))
            }
        })?;
        let folder = self.evidence.join(format!("run-{}", plan.number));
        let keep = |why: String| {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{name}.sql.gz")), &dump.stdout).unwrap();
            why
        };
        let found = text(&dump.stderr);
        if !found.starts_with(sum) {
            return Err(keep(format!("{name}: the proof says SHA-256 {sum}, the restored volume holds {found}")));
        }

        let spoil = match lie {
            Some(lie) if lie == LIES[2] => "DELETE FROM journal WHERE tx = 2 AND part = 2;",
            Some(lie) if lie == LIES[3] => {
                "DELETE FROM journal WHERE tx = 2; UPDATE account SET total = (SELECT sum(amount) FROM journal WHERE journal.part = account.part);"
            }
            Some(lie) if lie == LIES[4] => {
                "INSERT INTO journal SELECT tx + 100000, part, amount, note FROM journal WHERE tx = 1;"
            }
            Some(lie) if lie == LIES[5] => "UPDATE journal SET amount = amount + 1 WHERE tx = 3 AND part = 1;",
            _ => "",
        };
        let cut = if lie == Some(LIES[1]) { "| head -c -300000" } else { "" };
        let script = format!(
            "cat >/tmp/dump; echo \"sum $(sha256sum </tmp/dump)\"
             load() {{ {}; }}; ask() {{ {}; }}
             {{ gzip -t /tmp/dump && gzip -dc /tmp/dump {cut} | (load) && echo \"$0\" | (ask); }} 2>&1
             echo \"end $?\"",
            engine.load(),
            engine.client(),
        );
        let statements = format!("{spoil}{}", questions());
        let answers = self.patiently(|| {
            let mut command = Command::new("timeout");
            let args = [
                "120",
                "kubectl",
                "-n",
                &self.tenant.namespace,
                "exec",
                "-i",
                "loader",
                "-c",
                name,
                "--",
                "sh",
                "-c",
                &script,
                &statements,
            ];
            let mut child =
                command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let (mut stdin, bytes) = (child.stdin.take().unwrap(), &dump.stdout);
            let output = std::thread::scope(|scope| {
                scope.spawn(move || stdin.write_all(bytes).ok());
                child.wait_with_output().unwrap()
            });
            let said = text(&output.stdout);
            // Only what was heard to its end, of a file that came over whole, is an answer.
            if said.starts_with(&format!("sum {sum}"))
                && said.lines().last().is_some_and(|line| line.starts_with("end "))
            {
                Ok(said)
            } else {
                Err(format!("{name}: the dump cannot be loaded: {said} {}", text(&output.stderr)))
            }
        })?;
        let numbers: Vec<u64> = answers.lines().skip(1).filter_map(|line| line.parse().ok()).collect();
        let &[rows, transactions, first, last, wrong, torn, balanced, noise] = &numbers[..] else {
            return Err(keep(format!("{name}: the dump does not load: {answers}")));
        };
        let known = self.writer(engine).journal.lock().unwrap();
        let (least, most) = (Journal::by(&known.committed, ended.began), Journal::by(&known.sent, ended.dumped));
        drop(known);
        let figures = format!("{name} {last} of {least}..{most}");
        if rows != 3 * transactions || first != 1 || last != transactions {
            return Err(keep(format!(
                "{figures}: {transactions} transactions from {first} to {last} with {rows} rows: no prefix of the journal"
            )));
        }
        if wrong + torn > 0 || balanced != 3 || noise != NOISE {
            return Err(keep(format!(
                "{figures}: {wrong} wrong rows, {torn} torn transactions, {balanced} of 3 accounts balanced, {noise} of {NOISE} other rows"
            )));
        }
        if last < least || last > most {
            return Err(keep(format!(
                "{figures}: {least} were committed before it began, {most} sent before the dump was done"
            )));
        }
        self.transactions += last;
        Ok(figures)
    }

    /// Tries again for as long as the cluster may need to come round.
    fn patiently<T>(&self, work: impl Fn() -> Result<T, String>) -> Result<T, String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match work() {
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(500)),
                done => return done,
            }
        }
    }

    /// What every run owes, however it ended: a whole dump, servers that nobody harmed, and in the end nothing left.
    fn look_after(&mut self, plan: &Plan, engine: Engine, succeeded: Option<Instant>) -> Result<(), String> {
        let name = engine.name();
        let script = format!(
            "start() {{ set -- $(sed 's/.*) //' /proc/$1/stat 2>/dev/null); echo \"${{20-}}\"; }}
             cd {} || exit
             for p in $(pgrep -x 'pg_dump|mariadb-dump|gzip|pigz'); do echo \"process $p $(start $p) $(cat /proc/$p/comm)\"; done
             for f in *backup-ns*; do [ ! -e \"$f\" ] || echo \"file $(ls -id \"$f\")\"; done
             gzip -t dump.sql.gz && gzip -dc dump.sql.gz | tail -c 400 | grep -Eq 'database dump complete|Dump completed' && echo whole
             echo \"container $(hostname) $(start 1)\"",
            engine.directory()
        );
        let end = Instant::now() + Duration::from_secs(3);
        let seen = loop {
            let seen = self.patiently(|| {
                let output = exec(&self.tenant.namespace, "deploy/app-base", name, &script, b"");
                let seen = text(&output.stdout);
                if seen.contains("container ") { Ok(seen) } else { Err(format!("{name}: {}", text(&output.stderr))) }
            })?;
            let something = seen.lines().any(|line| line.starts_with("process ") || line.starts_with("file "));
            if !something || Instant::now() > end {
                break seen;
            }
            sleep(Duration::from_millis(300));
        };
        let container = seen.lines().find_map(|line| line.strip_prefix("container ")).unwrap_or_default().to_string();
        let things: Vec<&str> =
            seen.lines().filter(|line| line.starts_with("process ") || line.starts_with("file ")).collect();
        self.left.retain(|(of, thing), _| *of != name || things.contains(&thing.as_str()));
        for thing in things {
            let new = Left {
                run: plan.number,
                since: Instant::now(),
                container: container.clone(),
                process: thing.starts_with("process"),
            };
            self.left.entry((name, thing.to_string())).or_insert(new);
        }
        let mut problems = Vec::new();
        self.left.retain(|(of, thing), left| {
            // A container that is gone tidied up nothing; the next backup of that dump does.
            let swept = succeeded.is_some_and(|began| left.since < began);
            let due = left.since.elapsed() > GRACE && (left.container == container || left.process);
            let broken = *of == name && (swept || due);
            if broken {
                let age = left.since.elapsed().as_secs();
                problems.push(format!(
                    "{name}: {thing} of run {} is left after {age} s{}",
                    left.run,
                    if swept { " and a backup" } else { "" }
                ));
            }
            !broken
        });
        if !seen.lines().any(|line| line == "whole") && !self.spoilt.contains(&engine) {
            problems.push(format!("{name}: the dump file is not whole: {seen}"));
        }
        if engine == Engine::Postgres {
            let logs = kit::kubectl_with(
                &["-n", &self.tenant.namespace, "logs", "deploy/app-base", "-c", name, "--tail=-1"],
                "",
            );
            let logs = text(&logs.stdout);
            if logs.contains("was terminated by signal") || logs.contains("reinitializing") {
                problems.push(format!("{name}: the server was harmed: {logs}"));
            }
        }
        let pods = self.tenant.get(&["pods", "-l", "app=app-base"]);
        if pods.to_string().contains("\"restartCount\":1") {
            problems
                .push(format!("{name}: a container restarted: {}", pods["items"][0]["status"]["containerStatuses"]));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n  ! ")) }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn main() -> ExitCode {
    if !is_local() {
        return ExitCode::SUCCESS;
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let (seconds, seed, first) = (setting("SOAK_SECONDS", 600), setting("SOAK_SEED", clock), setting("SOAK_FIRST", 1));
    let lie = setting("SOAK_LIE", 0) > 0;
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds} SOAK_FIRST={first}{}", if lie { " SOAK_LIE=1" } else { "" });
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut soak = Soak::new(seed, lie);
    // Both have a dump that can be lost.
    let quiet = Plan {
        number: 0,
        engines: vec![Engine::Postgres, Engine::MySql],
        fault: Fault::Nothing,
        after: None,
        delay: 0.0,
        stall: None,
        class: None,
        websockets: true,
        slots: false,
        wait: true,
        zone: "UTC",
    };
    for (_, writer) in &soak.writers {
        writer.await_progress();
    }
    soak.run(&quiet);
    let mut number = first;
    while Instant::now() < end {
        soak.run(&Plan::draw(seed, number));
        number += 1;
    }
    // What is left may go yet, by itself or by a backup.
    if !soak.left.is_empty() {
        sleep(
            GRACE.saturating_sub(soak.left.values().map(|left| left.since.elapsed()).min().unwrap_or_default())
                + Duration::from_secs(1),
        );
        soak.run(&Plan { number, ..quiet });
    }

    let successes = soak.codes.get(&0).copied().unwrap_or_default();
    println!("\nruns {}, successes {successes}, failures {}", soak.runs, soak.runs - successes);
    for (code, count) in soak.codes.iter().filter(|(code, _)| **code != 0) {
        println!("  exit code {code:<3}  {count}");
    }
    println!("faults");
    for (kind, count) in &soak.faults {
        println!("  {count:>3}  {kind}");
    }
    println!("transactions compared {}", soak.transactions);
    println!("promises broken otherwise {}", soak.violations);
    println!("false successes {}", soak.false_successes);
    if soak.false_successes + soak.violations == 0 {
        return ExitCode::SUCCESS;
    }
    println!("repeat it with SOAK_SEED={seed}; what is known of each is in {}", soak.evidence.display());
    ExitCode::FAILURE
}
