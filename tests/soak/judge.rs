//! Whether a success was one, and what every run owes, however it ended. Must not know which fault there was.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engines::{Answers, Engine};
use crate::faults::TEST;
use crate::kit::{self, apply, in_format};
use crate::plan::{Fault, Plan};
use crate::runs::{Ended, exec, text};
use crate::stock::Known;
use crate::writers::Journal;
use crate::{Outcome, Sin, Soak};

/// How long what a failed run left may stay: a session ends by itself when it heard nothing for a minute.
pub const GRACE: Duration = Duration::from_secs(75);

/// The ways in which `SOAK_LIE` spoils what was restored.
pub const LIES: [&str; 7] = [
    "a flipped byte",
    "an end cut off",
    "a lost row",
    "a lost transaction",
    "one too many",
    "a torn one",
    "other contents",
];

/// Something of backup-ns that lies about or runs in a container.
#[derive(Debug, Clone)]
pub struct Left {
    pub run: u64,
    pub since: Instant,
    /// The container it is in, empty where it came with a restored volume; none where it is in the cluster.
    pub container: Option<String>,
    pub process: bool,
}

impl Soak {
    /// Whether a success was one: what it says of itself, and then what a restore of it holds.
    pub fn judge(&mut self, plan: &Plan, ended: &Ended, number: usize) -> Result<String, String> {
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
        if judged.is_ok() {
            // A file fills the disk, or another changed the dump file before the cut.
            let odd = matches!(plan.fault, Fault::DiskFull);
            if self.stock.iter().all(|known| known.spoilt.is_none()) && number == 0 {
                self.spoil(plan, &name, annotations);
            }
            if !odd {
                self.stock.push(Known {
                    name: snapshot.into(),
                    era: self.era,
                    bounds: self.bounds(ended.dumped, ended.began + ended.took),
                    dumps: plan.engines.clone(),
                    unwhole: self.spoilt.clone(),
                    spoilt: None,
                });
            }
        }
        let objects = [format!("pod/{name}"), format!("pvc/{name}")];
        kit::kubectl_with(&["-n", &self.tenant.namespace, "delete", &objects[0], &objects[1], "--wait=false"], "");
        judged.map(|said: Vec<String>| said.join(", "))
    }

    pub fn judge_dump(
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
        let lie = (self.lie && !plan.is_needed()).then(|| LIES[plan.number as usize % LIES.len()]);
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
            Some(lie) if lie == LIES[6] => match engine {
                Engine::Postgres => "DELETE FROM shop.sale_new_at WHERE id = 600;",
                Engine::MySql => "DELETE FROM price WHERE id = 3;",
            },
            Some(lie) if lie == LIES[5] => "UPDATE journal SET amount = amount + 1 WHERE tx = 3 AND part = 1;",
            _ => "",
        };
        let cut = if lie == Some(LIES[1]) { "| head -c -300000" } else { "" };
        let script = format!(
            "around=$1; cat >/tmp/dump; echo \"sum $(sha256sum </tmp/dump)\"
             load() {{ {}; }}; ask() {{ {}; }}
             {{ gzip -t /tmp/dump && gzip -dc /tmp/dump {cut} | (load) && echo \"$0\" | (ask); }} 2>&1
             echo \"end $?\"",
            engine.load(),
            engine.client(),
        );
        let statements = format!("{spoil}{}", engine.questions());
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
                &in_format(&script),
                &statements,
                engine.surroundings(),
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
        let said = answers.rsplit_once('\n').map_or("", |(said, _)| said);
        let Some(found) = Answers::read(said) else {
            let said: Vec<&str> = answers.lines().rev().take(4).collect();
            let said: String =
                said.into_iter().rev().map(|line| line.chars().take(300).collect::<String>() + "\n").collect();
            return Err(keep(format!("{name}: the dump does not load: {said}")));
        };
        let last = found.last;
        let known = self.writer(engine).journal.lock().unwrap();
        let (least, most) = (Journal::by(&known.committed, ended.began), Journal::by(&known.sent, ended.dumped));
        drop(known);
        let figures = format!("{name} {last} of {least}..{most}");
        let whole = found.check(self.contents_of(engine));
        whole.map_err(|why| keep(format!("{figures}: {why}")))?;
        if found.era != self.era {
            return Err(keep(format!("{figures}: it is of the era {}, not {}", found.era, self.era)));
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
    pub fn patiently<T>(&self, work: impl Fn() -> Result<T, String>) -> Result<T, String> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match work() {
                Err(_) if Instant::now() < end => sleep(Duration::from_millis(500)),
                done => return done,
            }
        }
    }

    /// What every run owes, however it ended: a whole dump, servers that were not harmed, and in the end nothing left.
    pub fn look_after(&mut self, plan: &Plan, engine: Engine, succeeded: Option<Instant>) -> Result<(), String> {
        let name = engine.name();
        let script = format!(
            "start() {{ set -- $(sed 's/.*) //' /proc/$1/stat 2>/dev/null); echo \"${{20-}}\"; }}
             cd {} || exit
             for p in $(pgrep -x 'pg_dump|mariadb-dump|gzip|pigz|zstd|tee|sha256sum'); do echo \"process $p $(start $p) $(cat /proc/$p/comm)\"; done
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
                // What came with a restored volume is of a container that is gone.
                container: Some(if self.restored { String::new() } else { container.clone() }),
                process: thing.starts_with("process"),
            };
            self.left.entry((name, thing.to_string())).or_insert(new);
        }
        let mut problems = Vec::new();
        self.left.retain(|(of, thing), left| {
            // A container that is gone tidied up nothing; the next backup of that dump does.
            let swept = succeeded.is_some_and(|began| left.since < began);
            let due = left.since.elapsed() > GRACE && (left.container.as_ref() == Some(&container) || left.process);
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

/// What came of a look at the namespace for what a run may leave there.
const LEFT_IN_CLUSTER: &str = "cluster";

/// How long a Job stays that lost its session: until it hears nothing for a minute, and then for its own time.
pub const JOB_GRACE: Duration = Duration::from_secs(110);

impl Soak {
    pub fn contents_of(&self, engine: Engine) -> &str {
        &self.contents.iter().find(|(of, _)| *of == engine).unwrap().1
    }

    /// Jobs, pods and claims of restore tests, finalizers and journals: nothing of them stays.
    pub fn look_for_leftovers(&mut self, plan: &Plan, outcome: &mut Outcome) {
        let look = || {
            let tests = self.tenant.kubectl(&["get", "jobs,pods,pvc,networkpolicies", "-l", TEST, "-o", "name"]);
            let mut found: Vec<String> = tests.lines().map(str::to_string).collect();
            let list = self.tenant.get(&["volumesnapshots,deployments,pvc"]);
            for item in list["items"].as_array().unwrap() {
                let meta = &item["metadata"];
                let name = format!("{}/{}", item["kind"].as_str().unwrap(), meta["name"].as_str().unwrap());
                if meta["finalizers"].to_string().contains("backup-ns.sh/") {
                    found.push(format!("{name} with a finalizer"));
                }
                if !meta["annotations"]["backup-ns.sh/restoring"].is_null() {
                    found.push(format!("{name} with a journal"));
                }
            }
            found
        };
        let found = look();
        self.left.retain(|(of, thing), _| *of != LEFT_IN_CLUSTER || found.contains(thing));
        for thing in found {
            let new = Left { run: plan.number, since: Instant::now(), container: None, process: false };
            self.left.entry((LEFT_IN_CLUSTER, thing)).or_insert(new);
        }
        self.left.retain(|(of, thing), left| {
            let broken = *of == LEFT_IN_CLUSTER && left.since.elapsed() > JOB_GRACE;
            if broken {
                let age = left.since.elapsed().as_secs();
                outcome.problem(Sin::Broken, format!("{thing} of run {} is left after {age} s", left.run));
            }
            !broken
        });
    }
}
