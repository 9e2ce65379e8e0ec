//! A node whose locks many processes of the real binary want. The kubectl here only holds on: it writes down when it is first
//! called, when its backup-ns holds a lock already, and when it is let go; then it fails. The order of these lines tells what
//! happened. Calls that are about Leases are the fake kubectl's, with an API server behind it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake_api::{Api, LEASES, NAMESPACES};
use super::{Fault, Times, fake_kubectl, poll};

/// Exit codes: kubectl fails here, so that this is the best that can be.
pub const FAILED: i32 = 1;
pub const PRECONDITION: i32 = 4;
pub const NO_LOCK: i32 = 5;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_backup-ns");

/// Where the Leases are.
pub const LOCKS_NAMESPACE: &str = "backup-ns-locks";

/// Its parent is who holds the lock. It ends with its parent and with the node, too.
const KUBECTL: &str = r#"#!/bin/sh
case "${FAKE_KUBECTL-} $*" in
*/leases*) exec "$FAKE_KUBECTL" "$@" ;;
/*' config view '*)
    # Before there is a lock.
    echo '{"contexts": [{"name": "prod", "context": {"cluster": "c"}}], "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]}'
    exit
    ;;
esac
echo "start $PPID" >>"$NODE/log"
while sleep 0.03; do
    if [ ! -e "$NODE/log" ] || [ ! -e "/proc/$PPID" ]; then exit 1; fi
    if [ -e "$NODE/go" ] || [ -e "$NODE/go.$PPID" ]; then break; fi
done
echo "end $PPID" >>"$NODE/log"
echo 'there is no cluster here' >&2
exit 1
"#;

/// A directory with the lock files, the kubectl and its log.
pub struct Node {
    temp: TempDir,
}

impl Node {
    pub fn new() -> Node {
        let node = Node { temp: tempfile::tempdir().unwrap() };
        fs::create_dir(node.path("locks")).unwrap();
        fs::write(node.path("log"), "").unwrap();
        fs::write(node.path("kubectl"), KUBECTL).unwrap();
        fs::set_permissions(node.path("kubectl"), Permissions::from_mode(0o755)).unwrap();
        node
    }

    /// One that other users can use as well, with a program that they can run.
    pub fn open_to_all() -> Node {
        let node = Node::new();
        fs::copy(PROGRAM, node.path("backup-ns")).unwrap();
        fs::set_permissions(node.temp.path(), Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(node.path("log"), Permissions::from_mode(0o666)).unwrap();
        node
    }

    /// One with Leases, in a cluster that has their namespace.
    pub fn of_leases() -> Node {
        let node = Node::new();
        node.faults(&[]);
        let api = Api::new(&node.path("leases"));
        api.put(NAMESPACES, json!({"kind": "Namespace", "metadata": {"name": LOCKS_NAMESPACE}}));
        node
    }

    /// What goes wrong from now on with calls about Leases, see `Fault`.
    pub fn faults(&self, faults: &[(&str, Times, Fault)]) {
        let faults = faults.iter().map(|(call, times, fault)| fault.for_calls(call, "", times.clone()));
        let new = self.path("scenario.json.new");
        fs::write(&new, json!({"faults": faults.collect::<Vec<_>>()}).to_string()).unwrap();
        fs::rename(new, self.path("scenario.json")).unwrap();
    }

    /// The API server that the Leases are in.
    pub fn api(&self) -> Api {
        Api::of(&self.path("leases")).unwrap()
    }

    /// All Leases, locks and tickets, by name.
    pub fn leases(&self) -> Vec<Value> {
        let api = self.api();
        // One may have gone meanwhile.
        api.keys(LEASES).iter().filter_map(|key| api.get(LEASES, key).ok()).collect()
    }

    /// A lock.
    pub fn slot(&self, number: usize) -> Value {
        self.api().get(LEASES, &format!("{LOCKS_NAMESPACE}/backup-ns-n1-{number}")).unwrap()
    }

    /// The places in the queue.
    pub fn tickets(&self) -> Vec<Value> {
        let is_ticket = |lease: &Value| lease["metadata"]["name"].as_str().unwrap().starts_with("backup-ns-n1-wait-");
        self.leases().into_iter().filter(is_ticket).collect()
    }

    /// The calls about Leases of one process, in order.
    pub fn calls(&self, pid: u32) -> Vec<String> {
        let log = fs::read_to_string(self.path("calls.jsonl")).unwrap_or_default();
        // A line that is being written does not count yet.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let calls = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        calls.filter(|call| call["parent"] == pid).map(|call| call["kind"].as_str().unwrap().to_string()).collect()
    }

    /// `create` with so many Leases that last so long.
    pub fn create_by_lease(&self, locks: usize, lasts: &str) -> Command {
        let mut command = self.command(&["env", "--default-signal=HUP,INT,TERM", PROGRAM, "create", "--context=prod"]);
        command
            .env("BAK_DB_SKIP", "true")
            .env("BAK_EVENTS", "false")
            .env("BAK_NAMESPACE", "shop")
            .env("BAK_FLOCK_COUNT", locks.to_string());
        command.env("FAKE_KUBECTL", fake_kubectl()).env("FAKE_KUBECTL_DIR", self.temp.path());
        // A holder keeps its lock as long as it takes.
        command.env("BAK_REQUEST_TIMEOUT", "10m");
        command.env("BAK_LOCK", "lease").env("BAK_LOCK_NODE", "n1").env("BAK_LOCK_LEASE_DURATION", lasts);
        command
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub fn lock(&self, number: usize) -> PathBuf {
        self.path(&format!("locks/{number}.lock"))
    }

    /// A program of this node, and nothing of the caller's environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        let system = std::env::var("PATH").unwrap();
        command.args(&words[1..]).env_clear().env("NODE", self.temp.path());
        command.env("PATH", format!("{}:{system}", self.temp.path().display()));
        command
    }

    /// `create` with so many locks.
    pub fn create(&self, locks: usize) -> Command {
        self.create_as(&[PROGRAM], locks)
    }

    pub fn create_as(&self, words: &[&str], locks: usize) -> Command {
        // Those who run the tests may ignore signals, as nohup(1) and a shell's background do; this does not.
        let mut command = self.command(&[&["env", "--default-signal=HUP,INT,TERM"], words, &["create"]].concat());
        // What is left on the claim of one that got no lock is no matter of the locks.
        command.env("BAK_DB_SKIP", "true").env("BAK_EVENTS", "false");
        command.env("BAK_FLOCK", "true").env("BAK_FLOCK_DIR", self.path("locks"));
        command.env("BAK_FLOCK_COUNT", locks.to_string());
        command
    }

    pub fn start(&self, mut command: Command) -> Run<'_> {
        let stderr = tempfile::NamedTempFile::new().unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr.reopen().unwrap());
        Run { node: self, child: command.spawn().unwrap(), stderr }
    }

    /// flock(1) on this file, which holds it as `create` would.
    pub fn start_flock(&self, number: usize) -> Run<'_> {
        self.start(self.command(&["flock", self.lock(number).to_str().unwrap(), "kubectl"]))
    }

    pub fn write(&self, line: &str) {
        fs::OpenOptions::new().append(true).open(self.path("log")).unwrap().write_all(line.as_bytes()).unwrap();
    }

    pub fn log(&self) -> Vec<(String, u32)> {
        let text = fs::read_to_string(self.path("log")).unwrap();
        let entry = |line: &str| line.split_once(' ').map(|(what, pid)| (what.to_string(), pid.parse().unwrap()));
        text.lines().filter_map(entry).collect()
    }

    /// Who got a lock, in the order in which they got it.
    pub fn started(&self) -> Vec<u32> {
        self.log().into_iter().filter(|(what, _)| what == "start").map(|(_, pid)| pid).collect()
    }

    /// Who holds one now; and never did more than so many.
    #[track_caller]
    pub fn holders(&self, most: usize) -> BTreeSet<u32> {
        let mut holders = BTreeSet::new();
        for (what, pid) in self.log() {
            if what == "start" {
                assert!(holders.insert(pid), "{pid} got two locks: {:?}", self.log());
            } else {
                holders.remove(&pid);
            }
            assert!(holders.len() <= most, "{} hold at once, not {most}: {:?}", holders.len(), self.log());
        }
        holders
    }

    /// What is in the directory.
    pub fn files(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path("locks")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A program at work.
pub struct Run<'a> {
    node: &'a Node,
    child: Child,
    stderr: tempfile::NamedTempFile,
}

impl Run<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
    }

    pub fn has_started(&self) -> bool {
        self.node.started().contains(&self.pid())
    }

    #[must_use]
    #[track_caller]
    pub fn holds(self) -> Self {
        poll("a process that holds a lock", || self.has_started());
        self
    }

    /// Waits until it is in the queue: the kernel knows it as one who waits for a lock, or, at the head, as
    /// the holder of the directory.
    #[must_use]
    #[track_caller]
    pub fn waits(self) -> Self {
        poll("a process that waits for a lock", || !flocks(self.pid()).is_empty());
        assert!(!self.has_started(), "it did not wait: {:?}", self.node.log());
        self
    }

    /// Waits until it is in the queue for a Lease.
    #[must_use]
    #[track_caller]
    pub fn queues(self) -> Self {
        let its = format!("(process {}) ", self.pid());
        let is_its = |ticket: &Value| ticket["spec"]["holderIdentity"].as_str().unwrap().contains(&its);
        poll("a process that waits for a Lease", || self.node.tickets().iter().any(is_its));
        assert!(!self.has_started(), "it did not wait: {:?}", self.node.log());
        self
    }

    /// Waits until this is the one lock that it has to do with.
    #[track_caller]
    pub fn comes_to(&self, lock: Flock) {
        poll(&format!("a process that {lock:?}"), || flocks(self.pid()) == [lock]);
    }

    pub fn let_go(&self) {
        fs::write(self.node.path(&format!("go.{}", self.pid())), "").unwrap();
    }

    /// Waits for its end: its status, or the signal that killed it, negative; and its stderr.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let child = RefCell::new(&mut self.child);
        poll("the end of a process", || child.borrow_mut().try_wait().unwrap().is_some());
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or_else(|| -status.signal().unwrap()), self.stderr())
    }

    /// Lets it go and waits for its end.
    #[track_caller]
    pub fn done(self) -> i32 {
        self.let_go();
        self.end().0
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Kills it, which its kubectl does not hear.
    #[track_caller]
    pub fn kill(mut self) {
        self.node.write(&format!("end {}\n", self.pid()));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Run<'_> {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A lock of flock(2) as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flock {
    Holds(u64),
    WaitsFor(u64),
}

/// What locks a process holds and waits for, by the inodes of the files. The kernel tells this in pieces, between which
/// one may be missed.
pub fn flocks(pid: u32) -> Vec<Flock> {
    let text = fs::read_to_string("/proc/locks").unwrap();
    let parse = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let waits = words.first() == Some(&"->");
        words.drain(..usize::from(waits));
        let [what, _, _, owner, file, ..] = words[..] else { return None };
        let inode = file.rsplit(':').next()?.parse().ok()?;
        let ours = what == "FLOCK" && owner == pid.to_string();
        ours.then_some(if waits { Flock::WaitsFor(inode) } else { Flock::Holds(inode) })
    };
    text.lines().filter_map(parse).collect()
}
