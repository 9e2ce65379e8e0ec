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
#[path = "../cluster/kit.rs"]
mod kit;

mod engines;
mod faults;
mod judge;
mod runs;
mod writers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engines::Engine;
use faults::{Fault, Plan};
use judge::{GRACE, Left};
use kit::{Class, Tenant, apply, is_local};
use runs::{Ended, Run, TOO_LONG, exec, exec_aside, text};
use serde_json::{Value, json};
use writers::Writer;

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
