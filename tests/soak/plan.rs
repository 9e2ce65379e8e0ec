//! What a run is: its kind, its fault and when that comes, drawn from the seed. Must not know how any of it is done.

use std::fmt::Write as _;

use crate::engines::Engine;

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    Nothing,
    /// A signal to backup-ns.
    Signal(&'static str),
    /// A signal to one of its kubectl processes, or all.
    Kubectl(&'static str, bool),
    /// backup-ns is stopped for so many seconds.
    Stopped(f64),
    /// A part of the cluster is killed and started again so many seconds later.
    Component(&'static str, f64),
    /// A signal to the dump tool or the compressor in the container, so many seconds after it started.
    Tool(&'static str, &'static str, f64),
    /// The database ends the connection of the dump.
    Disconnected,
    PodDeleted,
    DiskFull,
    /// Another program changes the dump file, so many seconds after it was renamed.
    Vandal(&'static str, f64),
    /// A VolumeSnapshotClass.
    BadClass(&'static str),
    WrongPassword,
    /// A second one that does the same, or something that gets in its way, so many seconds later. A backup waits for the first
    /// one so long.
    Second(f64, &'static str),
    /// The pod of a restore test is deleted.
    TestPodDeleted,
    /// A process in the pod of a restore test is killed, as the kernel does that is out of memory.
    OutOfMemory,
    /// The scratch volume of a restore test has so many MiB.
    ScratchFull(u32),
    /// A quota of nothing on objects of this kind.
    Quota(&'static str),
    /// A person takes the mark off a snapshot that is due.
    MarkTaken(f64),
}

impl Fault {
    pub fn kind(&self) -> String {
        match self {
            Fault::Nothing => "none".into(),
            Fault::Signal(signal) => format!("{signal} to backup-ns"),
            Fault::Kubectl(..) => "kubectl killed".into(),
            Fault::Stopped(_) => "backup-ns stopped for a while".into(),
            Fault::Component(component, _) => format!("{component} killed"),
            Fault::Tool("pg_dump" | "mariadb-dump", ..) => "dump tool killed".into(),
            Fault::Tool(..) => "another part of the dump killed".into(),
            Fault::Disconnected => "dump's connection ended".into(),
            Fault::PodDeleted => "pod deleted".into(),
            Fault::DiskFull => "disk full".into(),
            Fault::Vandal(how, _) => format!("dump file {how} by another"),
            Fault::BadClass(class) => format!("snapshot class {class}"),
            Fault::WrongPassword => "wrong password".into(),
            Fault::Second(..) => "a second one at the same time".into(),
            Fault::TestPodDeleted => "pod of the test deleted".into(),
            Fault::OutOfMemory => "process of the test killed".into(),
            Fault::ScratchFull(_) => "scratch volume full".into(),
            Fault::Quota(what) => format!("quota on {what}"),
            Fault::MarkTaken(_) => "mark taken off".into(),
        }
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Verify,
    Restore,
    Prune,
    Delete,
}

impl Kind {
    /// The order in which they come, again and again.
    const ORDER: [Kind; 12] = {
        use Kind::{Create, Delete, Prune, Restore, Verify};
        [Create, Verify, Restore, Create, Prune, Verify, Create, Delete, Restore, Verify, Create, Prune]
    };

    pub fn word(self) -> &'static str {
        match self {
            Kind::Create => "create",
            Kind::Verify => "verify",
            Kind::Restore => "restore",
            Kind::Prune => "prune",
            Kind::Delete => "delete",
        }
    }

    /// The steps behind which a fault comes, as they are logged.
    fn steps(self) -> &'static [Option<&'static str>] {
        match self {
            Kind::Create => {
                let steps: &[_] = &[
                    None,
                    Some("observe"),
                    Some("check"),
                    Some("check"),
                    Some("dump"),
                    Some("prove"),
                    Some("snapshot"),
                    Some("cut"),
                ];
                steps
            }
            Kind::Verify => {
                &[None, Some("observe"), Some("volume"), Some("volume"), Some("read"), Some("server"), Some("load")]
            }
            Kind::Restore => {
                &[None, Some("observe"), Some("note"), Some("stop"), Some("safety"), Some("replace"), Some("start")]
            }
            Kind::Prune | Kind::Delete => &[None],
        }
    }
}

/// From which number on runs are backups that other runs need.
pub const NEEDED: u64 = 10_000;

/// A run, drawn from the seed and its number.
#[derive(Debug, Clone)]
pub struct Plan {
    pub number: u64,
    pub kind: Kind,
    /// Those that are dumped.
    pub engines: Vec<Engine>,
    pub fault: Fault,
    /// The fault comes so many seconds after the end of this step, or after the start.
    pub after: Option<&'static str>,
    pub delay: f64,
    /// For how long a lock keeps the dump.
    pub stall: Option<f64>,
    /// One of the soak's VolumeSnapshotClasses.
    pub class: &'static str,
    pub websockets: bool,
    pub slots: bool,
    pub wait: bool,
    pub zone: &'static str,
    pub dice: u64,
}

impl Plan {
    pub fn draw(seed: u64, number: u64) -> Plan {
        let order = Kind::ORDER;
        let (round, place) = ((number - 1) / order.len() as u64, ((number - 1) % order.len() as u64) as usize);
        let kind = order[place];
        // Which one of its kind it is.
        let each = |all: &[Kind]| all.iter().filter(|one| **one == kind).count() as u64;
        let nth = round * each(&order) + each(&order[..place]);
        // Every fault of a kind comes once before any comes again; some come more often.
        let bag: &[u32] = match kind {
            Kind::Create => {
                &[0, 0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12, 13, 14, 14, 14, 15, 16, 17, 18, 19, 19]
            }
            Kind::Verify => &[0, 0, 0, 1, 3, 4, 5, 6, 7, 20, 21, 22, 22, 22, 23, 23, 24, 19],
            Kind::Restore => &[0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 20, 24, 24, 15, 16, 17, 19, 19, 25],
            Kind::Prune => &[0, 0, 1, 3, 3, 4, 5, 7, 8, 19, 19, 26, 26, 27],
            Kind::Delete => &[0, 1, 3, 3, 4, 7, 8, 19, 27],
        };
        let size = bag.len() as u64;
        let mut bag = bag.to_vec();
        fastrand::Rng::with_seed(seed.wrapping_add(nth / size).wrapping_add(kind as u64 * 7919)).shuffle(&mut bag);
        let fault = bag[(nth % size) as usize];
        let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let seconds = |rng: &mut fastrand::Rng, most: f64| (rng.f64() * most * 100.0).round() / 100.0;
        let engines = match rng.u32(..10) {
            0..4 => vec![Engine::Postgres],
            4..7 => vec![Engine::MySql],
            _ => vec![Engine::Postgres, Engine::MySql],
        };
        let deadly = if rng.bool() { "KILL" } else { "TERM" };
        let fault = match fault {
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
            10 => {
                let part = rng.choice(["gzip", "zstd", "tee", "cat", "sha256sum", "tail"]).unwrap();
                Fault::Tool(part, deadly, seconds(&mut rng, 0.6))
            }
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
            19 => {
                Fault::Second(if rng.bool() { 0.0 } else { seconds(&mut rng, 2.0) }, rng.choice(["0s", "60s"]).unwrap())
            }
            20 => Fault::Component("csi-provisioner", seconds(&mut rng, 1.0)),
            21 => Fault::TestPodDeleted,
            22 => Fault::OutOfMemory,
            23 => Fault::ScratchFull(rng.u32(1..90)),
            24 if kind == Kind::Verify => {
                Fault::Quota(rng.choice(["pods", "persistentvolumeclaims", "count/jobs.batch"]).unwrap())
            }
            24 => Fault::Quota(
                rng.choice(["pods", "persistentvolumeclaims", "count/volumesnapshots.snapshot.storage.k8s.io"])
                    .unwrap(),
            ),
            25 => Fault::Component("kube-controller-manager", seconds(&mut rng, 1.0)),
            26 => Fault::MarkTaken(seconds(&mut rng, 1.5)),
            _ => Fault::Component("snapshot-controller", seconds(&mut rng, 1.0)),
        };
        let after = *rng.choice(kind.steps()).unwrap();
        let slow_cut = matches!(fault, Fault::Vandal(..)) && rng.u32(..10) < 7;
        let class = match rng.u32(..6) {
            _ if slow_cut => "latecut",
            0 => "latecut",
            1 => "lateready",
            2 => "plain",
            _ => "kept",
        };
        let halts = matches!(
            fault,
            Fault::Nothing | Fault::Vandal(..) | Fault::DiskFull | Fault::WrongPassword | Fault::BadClass(_)
        );
        let full = fault == Fault::DiskFull;
        Plan {
            number,
            kind,
            engines,
            after: match &fault {
                // The disk has room when it is looked at, and there is a pod of the test from `volume` on.
                Fault::DiskFull => Some("check"),
                Fault::TestPodDeleted | Fault::OutOfMemory => {
                    rng.choice([Some("volume"), Some("volume"), Some("read"), Some("server"), Some("load")]).unwrap()
                }
                Fault::ScratchFull(_) => None,
                _ => after,
            },
            delay: match (kind, after) {
                // Behind the dump each step takes a moment only.
                (Kind::Create, Some("prove" | "snapshot" | "cut")) => seconds(&mut rng, 0.2),
                (Kind::Create, _) => seconds(&mut rng, 0.7),
                (Kind::Prune | Kind::Delete, _) => seconds(&mut rng, 0.8),
                _ => seconds(&mut rng, 1.5),
            },
            stall: match full {
                _ if kind != Kind::Create => None,
                true => Some(3.0),
                false if halts => None,
                false => rng.bool().then(|| 1.0 + seconds(&mut rng, 1.5)),
            },
            class: match &fault {
                Fault::BadClass(name) => name,
                _ => class,
            },
            websockets: rng.u32(..3) > 0,
            slots: rng.u32(..3) == 0,
            // What is never ready is a failure for who waits only.
            wait: rng.u32(..6) > 0 || matches!(fault, Fault::BadClass(_)),
            zone: rng.choice(["UTC", "Europe/Vienna", "Pacific/Kiritimati", "Pacific/Pago_Pago"]).unwrap(),
            dice: rng.u64(..),
            fault,
        }
    }

    /// A backup of both databases without a fault.
    pub fn quiet(number: u64) -> Plan {
        Plan {
            number,
            kind: Kind::Create,
            engines: Engine::ALL.to_vec(),
            fault: Fault::Nothing,
            after: None,
            delay: 0.0,
            stall: None,
            class: "plain",
            websockets: true,
            slots: false,
            wait: true,
            zone: "UTC",
            dice: number,
        }
    }

    /// Whether it is one of those that the others need, about which the fake never lies.
    pub fn is_needed(&self) -> bool {
        self.number == 0 || self.number >= NEEDED
    }

    /// Draws from what is only known when it runs.
    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.dice)
    }

    pub fn describe(&self) -> String {
        let engines: Vec<&str> = self.engines.iter().map(|engine| engine.name()).collect();
        let of = if self.kind == Kind::Create { engines.join("+") } else { String::new() };
        let mut text = format!("run {:>3}  {:<8}{of:<15} {}", self.number, self.kind.word(), self.fault.kind());
        match &self.fault {
            Fault::Nothing | Fault::BadClass(_) | Fault::WrongPassword | Fault::Disconnected => {}
            Fault::ScratchFull(room) => write!(text, " ({room} MiB)").unwrap(),
            Fault::MarkTaken(after) => write!(text, " (+{after} s)").unwrap(),
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
        let create = self.kind == Kind::Create;
        for (what, set) in [("SPDY", !self.websockets), ("slots", self.slots), ("not waiting", !self.wait)] {
            if set && create {
                write!(text, ", {what}").unwrap();
            }
        }
        if self.kind != Kind::Verify && !matches!(self.fault, Fault::BadClass(_)) {
            write!(text, ", {}", self.class).unwrap();
        }
        if let Some(stall) = self.stall {
            write!(text, ", locked for {stall:.2} s").unwrap();
        }
        text
    }
}
