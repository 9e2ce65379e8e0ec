//! Runs of `restore --in-place` and what has to come of them, whatever they were exited with: databases that are up and hold
//! what the exit code says. Must not know how a restore is made.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::engines::{Answers, Engine};
use crate::kit::{self, Backup, format_settings};
use crate::plan::{Fault, Plan};
use crate::runs::{Ended, Run, exec, text};
use crate::stock::Known;
use crate::{Outcome, Sin, Soak};

/// How often a way on is gone before there is none.
const WAYS: usize = 4;

/// How long backup-ns waits for each thing, as settings, for the commands that it prints.
const PATIENCE: [(&str, &str); 2] = [("BAK_RESTORE_TIMEOUT", "40s"), ("BAK_VS_WAIT_UNTIL_READY_TIMEOUT", "30s")];

/// What is spoilt in the restored databases where lies are told, within a transaction that is taken back.
const LIES: [(&str, &str); 3] = [
    ("DELETE FROM journal WHERE tx = 2 AND part = 1;", "DELETE FROM journal WHERE tx = 2 AND part = 1;"),
    ("DELETE FROM shop.receipt WHERE sale = 9;", "DELETE FROM price WHERE id = 3;"),
    ("UPDATE era SET n = n + 1;", "UPDATE era SET n = n + 1;"),
];

impl Soak {
    /// An in-place restore, gone on with until it is through or taken back.
    pub fn restore(&mut self, plan: &Plan) -> Outcome {
        let mut rng = plan.rng();
        let sound: Vec<Known> = self.stock.iter().filter(|known| known.spoilt.is_none()).cloned().collect();
        let Some(known) = rng.choice(sound.clone()) else {
            return Outcome { said: "(no snapshot)".into(), ..Outcome::default() };
        };
        for (_, writer) in &self.writers {
            writer.hold(true);
        }
        let start = |snapshot: &str| {
            let limit = if matches!(plan.fault, Fault::BadClass(_)) { 4 } else { 45 };
            let words = ["restore", snapshot, "--in-place", "--yes", "--restore-timeout=45s"];
            let mut args: Vec<String> = words.map(str::to_string).to_vec();
            args.push(format!("--vs-wait-until-ready-timeout={limit}s"));
            args.push(format!("--vs-class-name={}", self.class(plan)));
            self.spawn(plan, &args)
        };
        let mut run = start(&known.name);
        let mut second = None;
        if let Fault::Second(after, _) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            let other = if rng.bool() { known.clone() } else { rng.choice(sound).unwrap() };
            second = Some((start(&other.name), other));
        }
        let late = self.strike(plan, &mut run);
        let mut ended = vec![(run.done(), known.clone())];
        if let Some((run, other)) = second {
            ended.push((run.done(), other));
        }
        let mut outcome = Outcome::default();
        write!(outcome.said, "of era {} in era {}", known.era, self.era).unwrap();
        if !late.is_empty() {
            write!(outcome.said, " ({late})").unwrap();
        }
        for (one, _) in &ended {
            self.note(plan, &mut outcome, one, &[1, 4, 7]);
            if one.code != 0 && one.code < 128 && !one.stderr.contains("remedy") {
                outcome.problem(Sin::Broken, "it failed and names no remedy");
            }
        }
        self.go_on(plan, &mut ended, &mut outcome);
        if let Err(why) = self.judge_restore(plan, &ended, &mut outcome) {
            outcome.problem(Sin::Lie, why);
        }
        self.settle(&mut outcome);
        outcome.ended = ended.into_iter().map(|(ended, _)| ended).collect();
        outcome
    }

    /// Whether a restore was begun and is not done, or the workload is down.
    fn unfinished(&self) -> Option<String> {
        let list = self.tenant.get(&["volumesnapshots,deployments"]);
        list["items"].as_array().unwrap().iter().find_map(|item| {
            let name = item["metadata"]["name"].as_str().unwrap_or_default();
            if !item["metadata"]["annotations"]["backup-ns.sh/restoring"].is_null() {
                return Some(name.to_string());
            }
            (item["spec"]["replicas"] == 0).then(|| name.to_string())
        })
    }

    /// Goes every way on that is printed, and where none was, because it was killed, says the same again.
    fn go_on(&self, plan: &Plan, ended: &mut Vec<(Ended, Known)>, outcome: &mut Outcome) {
        let mut rng = plan.rng();
        // A person who reads the message of the one that failed types what it says, whatever the other one did.
        let mut heed: Vec<usize> = (0..ended.len()).filter(|at| ended[*at].0.code != 0 && ended.len() > 1).collect();
        for way in 0..WAYS {
            // A person lifts a quota at once, or only after it was in the way once more.
            if let Fault::Quota(what) = plan.fault
                && (way == 1 || what == "pods" || rng.bool())
            {
                self.allow();
            }
            let at = match heed.pop() {
                Some(at) => at,
                None if self.unfinished().is_none() => return,
                None => ended.len() - 1,
            };
            let (last, known) = &ended[at];
            let mut ways = commands(&last.stderr);
            if ways.is_empty() && last.code >= 128 {
                let again = format!("backup-ns restore {} -n {}", known.name, self.tenant.namespace);
                ways = vec![format!("{again} --in-place --yes"), format!("{again} --rollback --yes")];
            }
            if ways.is_empty() {
                if self.unfinished().is_none() {
                    continue;
                }
                outcome.problem(Sin::Lie, format!("the workload is down, and no way on is printed: {}", last.stderr));
                return;
            }
            // The other one where the first did not help.
            let command = if way < 2 { rng.choice(ways).unwrap() } else { ways[way % ways.len()].clone() };
            let known = self.named_in(&command).unwrap_or_else(|| known.clone());
            let next = self.type_in(&command);
            let word = if command.contains("--rollback") { "back" } else { "on" };
            write!(outcome.said, ", {word} → {} in {:.1} s", next.code, next.took.as_secs_f64()).unwrap();
            ended.push((next, known));
        }
        if let Some(name) = self.unfinished() {
            outcome.problem(Sin::Lie, format!("{name} is not through after {WAYS} ways on"));
        }
    }

    /// The snapshot of the stock that a command names.
    fn named_in(&self, command: &str) -> Option<Known> {
        let words: BTreeSet<&str> = command.split_whitespace().collect();
        self.stock.iter().find(|known| words.contains(known.name.as_str())).cloned()
    }

    /// Runs a command as it was printed.
    fn type_in(&self, command: &str) -> Ended {
        let binary = Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command} -o json")]).env("PATH", path).envs(PATIENCE).envs(format_settings());
        shell.env("BAK_VS_CLASS_NAME", &self.classes["plain"].0);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        Run::of(Backup(shell.spawn().unwrap()), began).done()
    }

    /// Asks the databases that run.
    fn ask(&self, engine: Engine, lie: Option<&str>) -> Result<Answers, String> {
        let questions = engine.questions();
        let statements = lie.map_or(questions.clone(), |lie| format!("BEGIN; {lie}\n{questions}ROLLBACK;"));
        self.patiently(|| {
            let name = engine.name();
            let said = exec(&self.tenant.namespace, "deploy/app-base", name, engine.client(), statements.as_bytes());
            match Answers::read(&text(&said.stdout)) {
                Some(answers) if said.status.success() => Ok(answers),
                _ => Err(format!("{name} does not answer: {} {}", text(&said.stdout), text(&said.stderr))),
            }
        })
    }

    /// Whether the databases hold what the last one that got through says, and are up.
    fn judge_restore(&mut self, plan: &Plan, ended: &[(Ended, Known)], outcome: &mut Outcome) -> Result<(), String> {
        let lie = self.lie.then(|| plan.rng().choice(LIES).unwrap());
        outcome.lied = lie.is_some();
        let ready = ["-n", &self.tenant.namespace, "rollout", "status", "deployment/app-base", "--timeout=90s"];
        let ready = kit::kubectl_with(&ready, "");
        if !ready.status.success() {
            return Err(format!("the workload is not up: {}{}", text(&ready.stdout), text(&ready.stderr)));
        }
        // Where nothing was stopped they write still.
        for (_, writer) in &self.writers {
            writer.pause(true);
        }
        let whole = |one: &(Ended, Known)| (one.0.code == 0).then(|| serde_json::from_str::<Value>(&one.0.stdout).ok());
        // By their ends: which one was the last, and what it left.
        let mut through: Vec<(&(Ended, Known), Value)> =
            ended.iter().filter_map(|one| Some((one, whole(one)?.unwrap_or_default()))).collect();
        through.sort_by_key(|((ended, _), _)| ended.began + ended.took);
        let of = |(one, said): &(&(Ended, Known), Value)| (said["rolledBack"] != true).then(|| one.1.clone());
        let last = through.last().and_then(of);
        let old: Vec<(Engine, u64, u64)> =
            self.writers.iter().map(|(engine, writer)| (*engine, writer.counts().0, writer.counts().1)).collect();
        let before = Known { era: self.era, bounds: old, ..ended[0].1.clone() };
        let mut may_be = vec![last.clone().unwrap_or_else(|| before.clone())];
        let many = through.iter().filter_map(of).count() > 0 && through.len() > 1;
        if many {
            // Taken back to what was there when the journal was written, by the run that wrote it.
            may_be.extend(through.iter().filter_map(of));
            may_be.push(before.clone());
        }
        let mut found = Vec::new();
        for engine in Engine::ALL {
            let lie = lie.map(|(postgres, mysql)| if engine == Engine::Postgres { postgres } else { mysql });
            let answers = self.ask(engine, lie)?;
            answers.check(self.contents_of(engine)).map_err(|why| format!("{}: {why}", engine.name()))?;
            found.push((engine, answers));
        }
        let fits = |known: &Known| {
            found.iter().all(|(engine, answers)| {
                let bounds = known.bounds.iter().find(|(of, ..)| of == engine);
                answers.era == known.era
                    && bounds.is_some_and(|(_, least, most)| (*least..=*most).contains(&answers.last))
            })
        };
        let Some(known) = may_be.iter().find(|known| fits(known)) else {
            let held: Vec<String> = found
                .iter()
                .map(|(engine, answers)| format!("{} {} of era {}", engine.name(), answers.last, answers.era))
                .collect();
            let wanted: Vec<String> =
                may_be.iter().map(|known| format!("era {} with {:?}", known.era, known.bounds)).collect();
            return Err(format!("it holds {}, and may hold {}", held.join(", "), wanted.join(" or ")));
        };
        self.transactions += found.iter().map(|(_, answers)| answers.last).sum::<u64>();
        write!(outcome.said, ", true: era {}", known.era).unwrap();
        if known.era == self.era && last.is_none() {
            return Ok(());
        }
        self.spoilt = known.unwhole.clone();
        // What was there before is kept, whole.
        let safety = through.last().and_then(|(_, said)| said["safety"].as_str()).map(str::to_string);
        self.stock.retain(|known| !known.dumps.is_empty() || known.spoilt.is_some());
        if let Some(name) = safety {
            let (snapshots, stored) = (self.snapshots(), self.stored());
            if let Some(why) = Soak::lost(&name, &snapshots, &stored) {
                return Err(format!("what was there before is not kept: {why}"));
            }
            if through.len() == 1 {
                self.stock.push(Known { name, dumps: Vec::new(), unwhole: Vec::new(), ..before });
            }
        }
        Ok(())
    }

    /// What was found to be a dead end is ended by all means, so that there is something to go on with.
    fn mend(&self) {
        let kubectl = |args: &[&str]| kit::kubectl_with(&[&["-n", &self.tenant.namespace], args].concat(), "");
        let restoring = "backup-ns.sh/restoring";
        for one in self.snapshots() {
            let name = one["metadata"]["name"].as_str().unwrap();
            if one["status"]["readyToUse"] != true {
                kubectl(&["delete", "volumesnapshot", name, "--wait=false"]);
            } else if !one["metadata"]["annotations"][restoring].is_null() {
                let again = format!("backup-ns restore {name} -n {} --in-place --yes", self.tenant.namespace);
                self.type_in(&again);
                self.type_in(&again);
            }
        }
        kubectl(&["annotate", "volumesnapshots", "--all", &format!("{restoring}-")]);
        kubectl(&["annotate", "deployment", "app-base", &format!("{restoring}-")]);
        kubectl(&["scale", "deployment", "app-base", "--replicas=1"]);
    }

    /// The workload is up, the writers know what is there, and the era is a new one.
    fn settle(&mut self, outcome: &mut Outcome) {
        let namespace = self.tenant.namespace.clone();
        if self.unfinished().is_some() {
            self.mend();
        }
        self.tenant.await_ready();
        self.restored = true;
        self.era += 1;
        for (engine, writer) in &self.writers {
            let engine = *engine;
            writer.pause(true);
            match self.ask(engine, None) {
                Ok(answers) => writer.rewind(answers.last),
                Err(why) => outcome.problem(Sin::Lie, why),
            }
            let next = format!("UPDATE era SET n = {};\n", self.era);
            let told = exec(&namespace, "deploy/app-base", engine.name(), engine.client(), next.as_bytes());
            assert!(told.status.success(), "{}", text(&told.stderr));
            writer.hold(false);
            writer.pause(false);
        }
    }
}

/// The commands of restores that a message names, each as it is to be typed.
fn commands(said: &str) -> Vec<String> {
    let mut all = Vec::new();
    for rest in said.split("backup-ns restore ").skip(1) {
        let mut words = vec!["backup-ns restore"];
        for word in rest.split_whitespace() {
            let bare = word.trim_end_matches([';', ',', '"', ')', '.']);
            if !bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./=".contains(&byte)) {
                break;
            }
            words.push(bare);
            if bare != word {
                break;
            }
        }
        let mut command = words.join(" ");
        if command.contains("--in-place") || command.contains("--rollback") {
            if !command.contains("--yes") {
                command.push_str(" --yes");
            }
            if !all.contains(&command) {
                all.push(command);
            }
        }
    }
    all
}
