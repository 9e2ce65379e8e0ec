//! The lie detector, `make soak`: runs of backup-ns one after the other on a real cluster, with PostgreSQL and MariaDB under
//! writers that never stop, contents that are hard to dump and to load, and a random fault at a random moment of most runs.
//!
//! - `create` that exits 0: the snapshot that it named is restored, its dump compared with the proof, loaded into servers of
//!   their own, and compared with what the writers know: every transaction that was committed before the run began, none
//!   that was sent after the dump, none in part, books that balance, all other contents. Else: a FALSE SUCCESS.
//! - `verify` of a sound snapshot that says bad or distrusts it: a FALSE BAD. Of one whose stored dump or proof was spoilt
//!   that says good: a FALSE GOOD.
//! - `restore --in-place`, its continuation and its rollback: whatever was exited with, the printed way on is gone until it
//!   ends. A LIE, if the databases are not up then, or hold anything but what the exit code says.
//! - `retain` and `mark-and-delete`, `delete`: LOST, if a snapshot or its stored data is gone that had to stay, by rules that are
//!   written down here a second time; looked for after runs of every kind.
//! - After each run, whatever it exited with, the dump file is whole, the servers were not harmed, and nothing of backup-ns is
//!   left after a grace: no process, file, Job, pod, claim, finalizer or journal. Else: BROKEN.
//!
//! Any of these makes this exit 1; what is needed to look at it is printed and kept in target/tmp/soak-SEED.
//!
//! - `SOAK_SECONDS`: no run begins later than that; 600.
//! - `SOAK_SEED`: what the runs are drawn from, each by its number alone; from the clock, and printed first.
//! - `SOAK_FIRST`: the number of the first run, to come to a certain one at once; 1.
//! - `SOAK_ONLY`: runs of this kind alone, beside the backups that they need; create, verify, restore, prune or delete.
//! - `SOAK_SPARE=1`: no component of the cluster is killed, because others use it; backup-ns is, instead.
//! - `SOAK_LIE=1`: shows that lies are found. What is judged is spoilt before, each time in another way; each must be found.
//!   Then this exits 1; it exits 2 if one was not found.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[allow(dead_code, reason = "the cluster tests use the rest")]
#[path = "../cluster/kit.rs"]
mod kit;

mod create;
mod engines;
mod faults;
mod judge;
mod plan;
mod prune;
mod restore;
mod runs;
mod stock;
mod verify;
mod writers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engines::Engine;
use judge::{JOB_GRACE, Left};
use kit::{Class, Tenant, apply, is_local};
use plan::{Fault, Kind, NEEDED, Plan};
use runs::{Ended, Run, TOO_LONG, exec, text};
use serde_json::{Value, json};
use stock::Known;
use writers::Writer;

/// What went wrong, and whose fault it is to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sin {
    FalseSuccess,
    FalseGood,
    FalseBad,
    Lie,
    Lost,
    Broken,
}

impl Sin {
    const ALL: [Sin; 6] = [Sin::FalseSuccess, Sin::FalseGood, Sin::FalseBad, Sin::Lie, Sin::Lost, Sin::Broken];

    fn word(self) -> &'static str {
        match self {
            Sin::FalseSuccess => "FALSE SUCCESS",
            Sin::FalseGood => "FALSE GOOD",
            Sin::FalseBad => "FALSE BAD",
            Sin::Lie => "LIE",
            Sin::Lost => "LOST",
            Sin::Broken => "BROKEN",
        }
    }
}

/// What came of a run.
#[derive(Default)]
struct Outcome {
    /// What the fault came to, how each ended, what was found.
    said: String,
    ended: Vec<Ended>,
    problems: Vec<(Sin, String)>,
    /// When the last backup began that succeeded, and of which databases.
    succeeded: Option<(Instant, Vec<Engine>)>,
    /// Whether something was spoilt that must be found.
    lied: bool,
}

impl Outcome {
    fn problem(&mut self, sin: Sin, why: impl Into<String>) {
        self.problems.push((sin, why.into()));
    }
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
    /// The fingerprint of each database's contents.
    contents: Vec<(Engine, String)>,
    /// What snapshots there are, and what each holds.
    stock: Vec<Known>,
    /// Whether the run that is at work replaced the volume.
    restored: bool,
    /// The number in the table `era` of what runs now.
    era: u64,
    /// How often each kind was run, by exit code.
    runs: BTreeMap<Kind, BTreeMap<i32, u32>>,
    faults: BTreeMap<String, u32>,
    sins: BTreeMap<Sin, u32>,
    transactions: u64,
    /// Lies that were told, and found.
    lies: (u32, u32),
}

impl Soak {
    fn new(seed: u64, lie: bool) -> Soak {
        let maria = |volume: bool, password: &str| {
            let mut container = json!({
                "name": "mysql", "image": "mariadb:10.11", "imagePullPolicy": "IfNotPresent",
                "args": Engine::MySql.arguments(),
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
        let initdb = format!("--no-sync --wal-segsize=1 {}", Engine::Postgres.arguments().join(" "));
        let tenant = Tenant::small("soak", 512, |deployment| {
            let pod = &mut deployment["spec"]["template"]["spec"];
            for variable in pod["containers"][0]["env"].as_array_mut().unwrap() {
                if variable["name"] == "POSTGRES_INITDB_ARGS" {
                    variable["value"] = json!(initdb);
                }
            }
            pod["containers"][0]["volumeMounts"][0]["subPath"] = json!("pg");
            pod["containers"].as_array_mut().unwrap().push(maria(true, "p w'$HOME"));
        });
        let loader = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loader"},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                {
                    "name": "postgres", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "args": ["-c", "fsync=off"],
                    "env": [
                        {"name": "POSTGRES_USER", "value": "app"}, {"name": "POSTGRES_PASSWORD", "value": "x"},
                        {"name": "POSTGRES_INITDB_ARGS", "value": initdb},
                    ],
                    "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "app"]}, "periodSeconds": 1},
                },
                maria(false, "x"),
            ]},
        });
        apply(&tenant.namespace, &loader);
        tenant.kubectl(&["wait", "pod/loader", "--for=condition=Ready", "--timeout=180s"]);
        let mut contents = Vec::new();
        for engine in Engine::ALL {
            let ask = |statements: &str| {
                let container = engine.name();
                let made =
                    exec(&tenant.namespace, "deploy/app-base", container, engine.client(), statements.as_bytes());
                assert!(made.status.success(), "{container}: {}", text(&made.stderr));
                text(&made.stdout)
            };
            for statements in [engine.surroundings(), engine.contents(), &engine.create_tables()] {
                ask(statements);
            }
            let said = ask(&engine.questions());
            contents.push((engine, said.split_once("contents\n").unwrap().1.to_string()));
        }
        let class = |parameters: Value, name| (name, Class::new(&format!("soak-{name}"), &parameters));
        let classes = [
            class(json!({}), "plain"),
            class(json!({"fail": "the array is on fire"}), "failing"),
            class(json!({"ready-after": "10m"}), "never"),
            class(json!({"ready-after": "1500ms"}), "lateready"),
            class(json!({"cut-after": "1200ms"}), "latecut"),
            class(json!({}), "kept"),
        ];
        // The others let the data go with the snapshot.
        kit::kubectl(&[
            "patch",
            "volumesnapshotclass",
            &classes[5].1.0,
            "--type=merge",
            "-p",
            r#"{"deletionPolicy":"Retain"}"#,
        ]);
        let writers = Engine::ALL.map(|engine| (engine, Writer::start(&tenant.namespace, engine)));
        Soak {
            tenant,
            classes: classes.into(),
            writers: writers.into(),
            left: BTreeMap::new(),
            spoilt: Vec::new(),
            lie,
            evidence: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("soak-{seed}")),
            contents,
            stock: Vec::new(),
            restored: false,
            era: 1,
            runs: BTreeMap::new(),
            faults: BTreeMap::new(),
            sins: BTreeMap::new(),
            transactions: 0,
            lies: (0, 0),
        }
    }

    fn writer(&self, engine: Engine) -> &Writer {
        &self.writers.iter().find(|(of, _)| *of == engine).unwrap().1
    }

    fn class(&self, plan: &Plan) -> &str {
        self.classes.get(plan.class).map_or("no-such-class", |class| class.0.as_str())
    }

    /// Starts backup-ns as a plan says.
    fn spawn(&self, plan: &Plan, args: &[String]) -> Run {
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

    /// Notes how a run ended, and whether that is something that it may exit with.
    fn note(&mut self, plan: &Plan, outcome: &mut Outcome, ended: &Ended, codes: &[i32]) {
        *self.runs.entry(plan.kind).or_default().entry(ended.code).or_default() += 1;
        write!(outcome.said, " → {} in {:.1} s", ended.code, ended.took.as_secs_f64()).unwrap();
        if ended.stderr.contains("SOAK: it hangs") {
            outcome.problem(Sin::Broken, format!("did not end within {} s", TOO_LONG.as_secs()));
        } else if !codes.contains(&ended.code) && ![0, 130, 137, 143].contains(&ended.code) {
            outcome.problem(Sin::Broken, format!("ended with {}, which nothing here should make it do", ended.code));
        }
    }

    /// One run with its fault, and all that is looked at after it; a line for people.
    fn run(&mut self, plan: &Plan) {
        *self.faults.entry(format!("{:<8}{}", plan.kind.word(), plan.fault.kind())).or_default() += 1;
        let mut outcome = match plan.kind {
            Kind::Create => self.create(plan),
            Kind::Verify => self.verify(plan),
            Kind::Restore => self.restore(plan),
            Kind::Prune => self.prune(plan),
            Kind::Delete => self.delete(plan),
        };
        if matches!(plan.fault, Fault::Quota(_)) {
            self.allow();
        }
        self.tenant.await_ready();
        for (_, writer) in &self.writers {
            writer.await_progress();
        }
        for engine in Engine::ALL {
            let of = |of: &&(Instant, Vec<Engine>)| of.1.contains(&engine);
            let succeeded = outcome.succeeded.as_ref().filter(of).map(|(began, _)| *began);
            if let Err(why) = self.look_after(plan, engine, succeeded) {
                outcome.problem(Sin::Broken, why);
            }
        }
        for (_, writer) in &self.writers {
            for lost in writer.journal.lock().unwrap().lost.drain(..) {
                outcome.problem(Sin::Lost, lost);
            }
        }
        self.restored = false;
        self.look_for_leftovers(plan, &mut outcome);
        self.look_for_losses(&mut outcome);
        self.clear();
        println!("{} {}", plan.describe(), outcome.said.trim_start());
        if outcome.lied {
            self.lies.0 += 1;
            if outcome.problems.is_empty() {
                println!("  ! THIS LIE WAS NOT FOUND");
            } else {
                self.lies.1 += 1;
            }
        }
        if !outcome.problems.is_empty() {
            for (sin, _) in &outcome.problems {
                *self.sins.entry(*sin).or_default() += 1;
            }
            self.report(plan, &outcome);
        }
    }

    /// Says and keeps all that is needed to look at what went wrong.
    fn report(&self, plan: &Plan, outcome: &Outcome) {
        let folder = self.evidence.join(format!("run-{}", plan.number));
        std::fs::create_dir_all(&folder).unwrap();
        let mut all = format!("{plan:#?}\n");
        for (sin, why) in &outcome.problems {
            println!("  ! {}: {why}", sin.word());
            writeln!(all, "{}: {why}", sin.word()).unwrap();
        }
        for ended in &outcome.ended {
            write!(all, "\nexit code {}\n{}\n{}\n", ended.code, ended.stderr, ended.stdout).unwrap();
            if !self.lie {
                println!("{}", ended.stderr.trim_end().replace('\n', "\n    ").replacen("", "    ", 1));
            }
        }
        std::fs::write(folder.join("report"), all).unwrap();
        println!("  ! all of it: {}", folder.display());
    }
}

impl Soak {
    fn summary(&self) {
        println!();
        for (kind, codes) in &self.runs {
            let said: Vec<String> = codes.iter().map(|(code, count)| format!("{count} x {code}")).collect();
            println!("{:<8} {:>3} runs, by exit code: {}", kind.word(), codes.values().sum::<u32>(), said.join(", "));
        }
        println!("faults");
        for (kind, count) in &self.faults {
            println!("  {count:>3}  {kind}");
        }
        println!("transactions compared {}", self.transactions);
        for sin in Sin::ALL {
            println!("{} {}", sin.word(), self.sins.get(&sin).copied().unwrap_or_default());
        }
        if self.lie {
            println!("lies told {}, found {}", self.lies.0, self.lies.1);
        }
    }
}

impl Drop for Soak {
    fn drop(&mut self) {
        self.let_data_go();
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
    let spare = setting("SOAK_SPARE", 0) > 0;
    let only = std::env::var("SOAK_ONLY").unwrap_or_default();
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds} SOAK_FIRST={first} SOAK_LIE={}", u8::from(lie));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut soak = Soak::new(seed, lie);
    for (_, writer) in &soak.writers {
        writer.await_progress();
    }
    // Both have a dump that can be lost.
    soak.run(&Plan::quiet(0));
    let mut number = first;
    while Instant::now() < end {
        let mut plan = Plan::draw(seed, number);
        if spare && matches!(plan.fault, Fault::Component(..)) {
            plan.fault = Fault::Signal("KILL");
        }
        let needs = matches!(plan.kind, Kind::Verify | Kind::Restore) && (only.is_empty() || only == plan.kind.word());
        if needs && !soak.stock.iter().any(Known::sound) {
            soak.run(&Plan::quiet(NEEDED + number));
        }
        if only.is_empty() || only == plan.kind.word() || (plan.kind == Kind::Create && soak.stock.len() < 3) {
            soak.run(&plan);
        }
        number += 1;
    }
    // What is left may go yet, by itself or by a backup; what came with a restored volume only by that.
    if !soak.left.is_empty() {
        let alone = soak.left.values().filter(|left| left.container.as_deref() != Some(""));
        let youngest = alone.map(|left| left.since.elapsed()).min().unwrap_or(JOB_GRACE);
        sleep(JOB_GRACE.saturating_sub(youngest));
        soak.run(&Plan::quiet(number));
    }
    soak.summary();
    let (told, found) = soak.lies;
    if told > found {
        return ExitCode::from(2);
    }
    if soak.sins.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("repeat it with SOAK_SEED={seed}; what is known of each is in {}", soak.evidence.display());
    ExitCode::FAILURE
}
