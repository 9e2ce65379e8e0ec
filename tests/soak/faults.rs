//! The means by which things go wrong. Must not judge what comes of it.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Soak;
use crate::kit::{self, Started, component, until};
use crate::plan::{Fault, Plan};
use crate::runs::{Run, children, exec_aside, text};

/// What selects all that belongs to restore tests.
pub const TEST: &str = "backup-ns.sh/verify";

impl Soak {
    /// What lurks in the container of the run's first database before the run begins.
    pub fn lurker(&self, plan: &Plan) -> Option<Child> {
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
    pub fn strike(&self, plan: &Plan, run: &mut Run) -> &'static str {
        let comes = matches!(
            plan.fault,
            Fault::Signal(_)
                | Fault::Kubectl(..)
                | Fault::Stopped(_)
                | Fault::Component(..)
                | Fault::PodDeleted
                | Fault::DiskFull
                | Fault::TestPodDeleted
                | Fault::OutOfMemory
                | Fault::ScratchFull(_)
                | Fault::Quota(_)
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
            Fault::TestPodDeleted => {
                let all = ["-n", &self.tenant.namespace, "delete", "pods", "-l", TEST, "--wait=false"];
                kit::kubectl_with(&all, "");
            }
            Fault::OutOfMemory => {
                let processes = self.test_processes();
                let Some(one) = plan.rng().choice(processes.iter()) else { return "found none" };
                Command::new("kill").args(["-KILL", &one.to_string()]).stderr(Stdio::null()).status().unwrap();
            }
            Fault::ScratchFull(mebibytes) => return self.fill_scratch(*mebibytes, run),
            Fault::Quota(what) => self.quota(what),
            _ => {}
        }
        ""
    }

    /// The processes in the pods of restore tests, seen from the node.
    fn test_processes(&self) -> Vec<u32> {
        let list = ["-n", &self.tenant.namespace, "get", "pods", "-l", TEST, "-o", "jsonpath={.items[*].metadata.uid}"];
        let pods = text(&kit::kubectl_with(&list, "").stdout);
        let pods: Vec<String> = pods.split_whitespace().map(|uid| format!("/pod{uid}/")).collect();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let of = |pid: &u32, what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        pids.filter(|pid| {
            let groups = of(pid, "cgroup");
            pods.iter().any(|pod| groups.contains(pod)) && !of(pid, "cmdline").starts_with("/pause")
        })
        .collect()
    }

    /// Puts a small file system in the place of a test's scratch volume as soon as its pod runs.
    fn fill_scratch(&self, mebibytes: u32, run: &mut Run) -> &'static str {
        let end = Instant::now() + Duration::from_secs(40);
        while Instant::now() < end && run.child.try_wait().unwrap().is_none() {
            if let Some(one) = self.test_processes().first() {
                let (pid, room) = (one.to_string(), format!("size={mebibytes}m"));
                let mount = ["-t", &pid, "-m", "mount", "-t", "tmpfs", "-o", &room, "tmpfs", "/backup-ns/scratch"];
                let done = Command::new("nsenter").args(mount).stderr(Stdio::null()).status().unwrap();
                // It may be on its way yet.
                if done.success() {
                    return "";
                }
            }
            sleep(Duration::from_millis(50));
        }
        "found none"
    }

    fn quota(&self, what: &str) {
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {what: "0"}}});
        kit::kubectl_with(&["-n", &self.tenant.namespace, "apply", "-f", "-"], &quota.to_string());
    }

    /// Takes a quota away again.
    pub fn allow(&self) {
        let all = ["-n", &self.tenant.namespace, "delete", "resourcequota", "none", "--ignore-not-found"];
        until("the quota is gone", 60, || kit::kubectl_with(&all, "").status.success().then_some(()));
    }

    /// Leaves less room on the volume than a dump needs.
    pub fn fill(&self) {
        self.tenant.sh(
            "cd /var/lib/postgresql/data && n=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) && fallocate -l $((n - 600))K filler",
        );
    }

    pub fn free(&self) {
        let gone = || (self.tenant.sh("rm -f /var/lib/postgresql/data/filler && echo gone") == "gone").then_some(());
        until("the filler is gone", 60, gone);
        for (_, writer) in &self.writers {
            writer.pause(false);
        }
    }
}
