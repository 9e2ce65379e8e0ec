//! Exports on the real cluster, with the real restic, to a remote with faults, and with kills at random moments: no stamp that is not
//! true, nothing left in the cluster, and a repository that the next night can use.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::export::{left, stamp};
use crate::kit::*;
use crate::remote::{Fault, Remote};

/// The address of this machine, for pods of the local cluster.
const NODE: &str = "10.244.0.1";
const IMAGE_OF_RESTIC: &str = "restic/restic:0.14.0";

/// A namespace with a proven backup, and a remote with a repository for it.
struct Site {
    tenant: Tenant,
    remote: Remote,
    snapshot: String,
}

impl Site {
    /// None where the cluster's pods cannot reach this machine, or the image cannot be had.
    fn new(name: &str) -> Option<Site> {
        if !is_local() || !has_image(IMAGE_OF_RESTIC) {
            return None;
        }
        let tenant = Tenant::small(name, 256, |_| ());
        // What does not compress fills packs.
        tenant.sql("CREATE TABLE noise AS SELECT n, sha512(n::text::bytea) || sha512(('a' || n)::bytea) AS b FROM generate_series(1, 40000) n");
        let snapshot = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
        let site = Site { tenant, remote: Remote::start("0.0.0.0"), snapshot };
        site.init("shop");
        Some(site)
    }

    /// restic on this machine, without any fault.
    fn restic(&self, repository: &str, args: &[&str]) -> (bool, Vec<u8>, String) {
        let mut command = Command::new("restic");
        command.args(args).arg("--no-cache").env("RESTIC_PASSWORD", "key of shop");
        command.env("RESTIC_REPOSITORY", self.remote.repository("127.0.0.1", Fault::Sound, repository));
        let output = command.output().unwrap();
        (output.status.success(), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn init(&self, repository: &str) {
        let (done, _, said) = self.restic(repository, &["init"]);
        assert!(done, "{said}");
    }

    /// Names the remote, with this fault, in the Secret.
    fn point_at(&self, repository: &str, fault: Fault) {
        let address = self.remote.repository(NODE, fault, repository);
        let data = json!({"RESTIC_REPOSITORY": address, "RESTIC_PASSWORD": "key of shop"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "export"}, "stringData": data});
        apply(&self.tenant.namespace, &secret);
    }

    fn start(&self, args: &[&str]) -> Backup {
        let export = ["export", "--export-image", IMAGE_OF_RESTIC, "--export-secret=export", "--again"];
        self.tenant.run(&[&export, args].concat(), |_| ())
    }

    fn export(&self, args: &[&str]) -> Done {
        let done = self.start(args).done();
        assert_eq!(left(&self.tenant), "", "{}", done.stderr);
        done
    }

    /// Asserts that each copy that a stamp names is in the repository, byte for byte as its manifest says.
    fn assert_true(&self, repository: &str, note: &Value) {
        let ids: Vec<&str> = note["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        let read = |id: &str, name: &str| {
            let (done, bytes, said) = self.restic(repository, &["dump", "--no-lock", "-q", id, name]);
            assert!(done, "the stamp {note} is false: {said}");
            bytes
        };
        let manifest = read(ids.last().unwrap(), note["manifest"].as_str().unwrap());
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["volumeSnapshot"], json!(self.snapshot));
        for file in manifest["files"].as_array().unwrap() {
            let copy = read(file["id"].as_str().unwrap(), file["name"].as_str().unwrap());
            let sum = piped(&mut Command::new("sha256sum"), &String::from_utf8(copy).unwrap()).stdout;
            let sum = String::from_utf8(sum).unwrap();
            assert_eq!(sum.split(' ').next(), file["sha256"].as_str(), "the stamp {note} is false");
        }
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn each_fault_of_a_remote_ends_an_export_without_a_stamp_and_the_next_one_works() {
    let Some(site) = Site::new("remote-faults") else { return };
    // restic tries again and again where a remote is away or full: the limit ends it, and its last message says why.
    for (repository, fault, code, words) in [
        ("flips", Fault::Flips, 8, &["read back", "restic check --read-data"][..]),
        ("goesaway", Fault::GoesAway, 1, &["not done within 40s", "retrying after", "--export-timeout"]),
        ("full", Fault::Full, 1, &["not done within 40s", "507", "--export-timeout"]),
        ("refuses", Fault::Refuses, 4, &["credentials"]),
        ("slow", Fault::Slow, 0, &[]),
    ] {
        site.init(repository);
        site.point_at(repository, fault);
        let limit = if code == 1 { "--export-timeout=40s" } else { "--export-timeout=5m" };
        let done = site.export(&[limit]);
        assert_eq!(done.status.code(), Some(code), "{fault:?}: {}", done.stderr);
        done.assert(code, words);
        let (label, note) = stamp(&site.tenant, &site.snapshot);
        assert_eq!(label.is_null(), code != 0, "{fault:?}: {note}");
        if code == 0 {
            site.assert_true(repository, &note);
            continue;
        }
        // The next night: the remote is sound again. One that lost packs needs its index repaired, or another repository.
        site.remote.come_back();
        if code != 8 {
            site.point_at(repository, Fault::Sound);
            site.export(&[]).assert(0, &[]);
            let (_, note) = stamp(&site.tenant, &site.snapshot);
            site.assert_true(repository, &note);
        }
        site.tenant.kubectl(&["label", "volumesnapshot", &site.snapshot, "backup-ns.sh/exported-"]);
        site.tenant.kubectl(&["annotate", "volumesnapshot", &site.snapshot, "backup-ns.sh/export-"]);
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_lock_of_a_dead_one_does_not_stop_an_export() {
    let Some(site) = Site::new("remote-locks") else { return };
    // A backup on another host that died, and left its lock.
    let mut command = Command::new("sh");
    command.args(["-c", "head -c 60000000 /dev/urandom | restic backup --host other --no-cache --stdin --quiet"]);
    command.env("RESTIC_PASSWORD", "key of shop");
    command.env("RESTIC_REPOSITORY", site.remote.repository("127.0.0.1", Fault::Slow, "shop"));
    let mut dead = command.spawn().unwrap();
    until("the lock is there", 60, || (!site.remote.files("shop", "locks").is_empty()).then_some(()));
    let tools = Command::new("pgrep").args(["-P", &dead.id().to_string(), "restic"]).output().unwrap();
    let tool = String::from_utf8(tools.stdout).unwrap();
    assert!(Command::new("kill").args(["-9", tool.trim()]).status().unwrap().success(), "{tool}");
    dead.wait().unwrap();
    assert_eq!(site.remote.files("shop", "locks").len(), 1);
    site.point_at("shop", Fault::Sound);
    site.export(&[]).assert(0, &[]);
    let (_, note) = stamp(&site.tenant, &site.snapshot);
    site.assert_true("shop", &note);
}

/// What is killed, or goes away and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Program(&'static str),
    Kubectl,
    Pod,
    Tool,
    Remote,
}

const VICTIMS: [Victim; 6] =
    [Victim::Program("KILL"), Victim::Program("TERM"), Victim::Kubectl, Victim::Pod, Victim::Tool, Victim::Remote];

/// Children of a process.
fn children(pid: u32) -> Vec<String> {
    let output = Command::new("pgrep").args(["-P", &pid.to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

impl Victim {
    fn strike(self, site: &Site, run: &Backup) {
        match self {
            Victim::Program(signal) => {
                // It may have ended before.
                let pid = run.0.id().to_string();
                Command::new("kill").args([&format!("-{signal}"), &pid]).output().unwrap();
            }
            Victim::Kubectl => {
                for child in children(run.0.id()) {
                    Command::new("kill").args(["-KILL", &child]).output().unwrap();
                }
            }
            Victim::Pod => {
                let delete = ["delete", "pod", "-l", "backup-ns.sh/export-job", "--force", "--grace-period=0"];
                kubectl_with(&[&["-n", &site.tenant.namespace], &delete[..]].concat(), "");
            }
            Victim::Tool => {
                let name = ["-n", &site.tenant.namespace, "get", "pods", "-l", "backup-ns.sh/export-job", "-o", "name"];
                let pods = String::from_utf8(kubectl_with(&name, "").stdout).unwrap();
                for pod in pods.lines() {
                    let kill = ["-n", &site.tenant.namespace, "exec", pod, "--", "killall", "-9", "restic"];
                    kubectl_with(&kill, "");
                }
            }
            Victim::Remote => site.remote.go_away(),
        }
    }
}

/// Exports that are struck at a random moment; `EXPORT_KILLS` is how many, `EXPORT_SEED` repeats a run.
#[test]
#[ignore = "needs a cluster: make test"]
fn whatever_is_killed_at_any_moment_no_stamp_is_false_and_nothing_is_left() {
    let Some(site) = Site::new("kills") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let kills = number("EXPORT_KILLS").unwrap_or(4);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seed = number("EXPORT_SEED").unwrap_or(clock);
    eprintln!("EXPORT_SEED={seed} EXPORT_KILLS={kills}");
    let mut state = seed;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    site.point_at("shop", Fault::Sound);
    let began = std::time::Instant::now();
    site.export(&[]).assert(0, &[]);
    let usual = u64::try_from(began.elapsed().as_millis()).unwrap();
    let mut seen = stamp(&site.tenant, &site.snapshot).1;
    let mut ends = BTreeSet::new();
    for kill in 0..kills {
        let victim = VICTIMS[usize::try_from(random(VICTIMS.len() as u64)).unwrap()];
        let moment = random(usual);
        let run = site.start(&["--export-timeout=3m"]);
        std::thread::sleep(Duration::from_millis(moment));
        victim.strike(&site, &run);
        if victim == Victim::Remote {
            std::thread::sleep(Duration::from_secs(2));
            site.remote.come_back();
        }
        let done = run.done();
        let code = done.status.code();
        let context = format!("kill {kill}, {victim:?} after {moment} ms, {:?}: {}", done.status, done.stderr);
        let note = stamp(&site.tenant, &site.snapshot).1;
        // A success is stamped anew, and a stamp is true, whatever the program lived to say.
        assert!(code != Some(0) || note != seen, "no stamp: {context}");
        if note != seen {
            site.assert_true("shop", &note);
        }
        assert_ne!(code, Some(8), "a copy is called bad: {context}");
        seen = note;
        ends.insert(format!("{victim:?}: {}", code.map_or("killed".into(), |code| code.to_string())));
    }
    eprintln!("{}", ends.into_iter().collect::<Vec<_>>().join("\n"));
    // Nothing that a person would have to do: the next export works, and then nothing is left.
    site.export(&[]).assert(0, &[]);
    let (done, _, said) = site.restic("shop", &["check", "--read-data", "--no-lock"]);
    assert!(done, "{said}");
}
