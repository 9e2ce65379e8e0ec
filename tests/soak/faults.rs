//! What goes wrong in a run: drawn from the seed, and done to it. Must not judge what comes of it.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Soak;
use crate::engines::Engine;
use crate::kit::{Started, component, until};
use crate::runs::{Run, children, exec_aside};

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
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
    pub fn kind(&self) -> String {
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
pub struct Plan {
    pub number: u64,
    pub engines: Vec<Engine>,
    pub fault: Fault,
    /// The fault comes so many seconds after the end of this step, or after the start.
    pub after: Option<&'static str>,
    pub delay: f64,
    /// For how long a lock keeps the dump.
    pub stall: Option<f64>,
    pub class: Option<&'static str>,
    pub websockets: bool,
    pub slots: bool,
    pub wait: bool,
    pub zone: &'static str,
}

impl Plan {
    pub fn draw(seed: u64, number: u64) -> Plan {
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

    pub fn describe(&self) -> String {
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
