//! Runs the real binary against the fake kubectl: a [`Scenario`] is built (cluster, container, faults, flags), run, and
//! its [`Outcome`] asserted. Everything of one scenario lies in one temporary directory; nothing of the caller's
//! environment reaches the program.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start processes, read the environment, fail by panicking, and each file uses a part of this"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub mod fake_api;
pub mod matrix;
pub mod node;

use fake_api::{Api, NAMESPACES};

/// How long anything may take before a test gives up: far more than it needs, for a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What the old dump holds; it need not be a dump, it must only stay.
pub const OLD: &str = "the last good dump";

/// What pg_dumpall writes.
pub const GLOBALS: &str = "CREATE ROLE app;\nALTER ROLE app WITH LOGIN PASSWORD 'SCRAM-SHA-256$hunter2';\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";

/// The body of a dump, and how pg_dump ends one since 17.6 and before.
pub const BODY: &str = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (a int);\nCOPY t FROM stdin;\n1\n\\.\n\n";
pub const TRAILER: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";
pub const UNRESTRICT: &str = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict k3YkEy\n\n";

/// Which of a kind's calls a fault is for.
pub type Times = RangeInclusive<u32>;
pub const ONCE: Times = 1..=1;
pub const ALWAYS: Times = 1..=u32::MAX;

/// What kubectl says when the API refuses.
pub const FORBIDDEN: &str = "Error from server (Forbidden): this is forbidden: User \"x\" cannot do that";
pub const REFUSED: &str =
    "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?";
pub const BUSY: &str = "Error from server (TooManyRequests): the server has received too many requests";
pub const INTERNAL: &str = "Error from server (InternalError): an error on the server has prevented the request";
pub const NOT_FOUND: &str = "Error from server (NotFound): pods \"app-base-0\" not found";

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is not done, and ends with status 1 and these words.
    Refuse(&'static str),
    /// It is done, and then answers as if it were not.
    DoneBut(&'static str),
    /// It prints this and ends with status 0.
    Print(&'static str),
    /// It never ends.
    Hang,
    /// Before it is done, this line of shell runs in the scenario's directory.
    Run(&'static str),
    /// Before it is done, another client changes the VolumeSnapshot with this key, or the content, or without a key
    /// the Lease that the call is about, by this merge patch.
    Change(&'static str, &'static str),
    /// Before it is done, something else deletes the objects of the API whose kind and a part of whose key this is:
    /// `PLURAL/PART`.
    Delete(&'static str),
    /// It is done, and then kills who made it.
    Kill,
    /// A label call comes no further than to the object with this number, counted from 0: it ends with status 0, or
    /// else each object from there on is refused with these words.
    StopAt(usize, i32, &'static str),
    /// A label call stays before the object with this number.
    HangAt(usize),
    /// A label call is forbidden to change objects whose key contains this.
    Forbid(&'static str),
    /// An exec's stream is cut behind the line with this key; kubectl ends with this status.
    CutAfter(&'static str, i32),
    /// An exec's stream is cut as soon as this file is there; kubectl ends with this status.
    CutAt(&'static str, i32),
    /// An exec goes silent behind the line with this key.
    MuteAfter(&'static str),
    /// An exec's lines come with another nonce.
    Nonce(&'static str),
    /// An exec's lines with this key do not come.
    Drop(&'static str),
    /// An exec's lines with this key come with another value.
    Rewrite(&'static str, &'static str),
    /// Behind an exec's first line come so many of 1000 bytes with its nonce and this key, because the container knows it.
    Flood(&'static str, u64),
}

impl Fault {
    /// As the fake kubectl reads it: of those calls of a kind of which an argument contains `about`.
    fn for_calls(self, call: &str, about: &str, times: Times) -> Value {
        let mut json = self.json();
        json["call"] = json!(call);
        json["about"] = json!(about);
        json["from"] = json!(times.start());
        json["to"] = json!(times.end());
        json
    }

    fn json(self) -> Value {
        match self {
            Fault::Refuse(stderr) => json!({"exit": 1, "stderr": stderr}),
            Fault::DoneBut(stderr) => json!({"exit": 1, "stderr": stderr, "after": true}),
            Fault::Print(stdout) => json!({"exit": 0, "stdout": stdout}),
            Fault::Hang => json!({"hang": true}),
            Fault::Run(script) => json!({"run": script}),
            Fault::Change(key, patch) => json!({"change": {"key": key, "patch": patch}}),
            Fault::Delete(key) => json!({"delete": key}),
            Fault::Kill => json!({"kill": true}),
            Fault::StopAt(number, code, stderr) => json!({"stop": {"at": number, "code": code, "stderr": stderr}}),
            Fault::HangAt(number) => json!({"stop": {"at": number}}),
            Fault::Forbid(key) => json!({"forbid": key}),
            Fault::CutAfter(key, code) => json!({"cutAfter": key, "code": code}),
            Fault::CutAt(file, code) => json!({"cutAt": file, "code": code}),
            Fault::MuteAfter(key) => json!({"muteAfter": key}),
            Fault::Nonce(nonce) => json!({"nonce": nonce}),
            Fault::Drop(key) => json!({"drop": key}),
            Fault::Rewrite(key, value) => json!({"rewrite": key, "value": value}),
            Fault::Flood(key, lines) => json!({"flood": key, "lines": lines}),
        }
    }
}

/// What happens to the snapshot while it is watched.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Bound, but not cut yet.
    Pending,
    /// Failing, for now.
    Error(&'static str),
    /// Cut, but no volume can be made from it yet.
    Cut,
    Ready,
    Deleted,
    /// The watch's version is too old.
    Gone,
    /// This line of shell runs in the scenario's directory.
    Run(&'static str),
    /// Anything at all comes.
    Print(&'static str),
    /// The watch ends, with this status and these words.
    End(i32, &'static str),
}

impl Event {
    fn json(self) -> Value {
        let bound = |ready: bool| {
            json!({"status": {
                "creationTime": "2026-01-02T03:04:06Z", "readyToUse": ready, "restoreSize": "1Gi",
                "boundVolumeSnapshotContentName": "snapcontent-1",
            }})
        };
        match self {
            Event::Pending => json!({"status": {"readyToUse": false}}),
            Event::Error(message) => json!({"status": {"readyToUse": false, "error": {"message": message}}}),
            Event::Cut => bound(false),
            Event::Ready => bound(true),
            Event::Deleted => json!({"deleted": true}),
            Event::Gone => {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                    "message": "too old resource version: 1 (9)", "reason": "Expired",
                });
                json!({"print": format!("{}\n", json!({"type": "ERROR", "object": status}))})
            }
            Event::Run(script) => json!({"run": script}),
            Event::Print(text) => json!({"print": text}),
            Event::End(code, stderr) => json!({"exit": code, "stderr": stderr}),
        }
    }
}

/// A cluster, a container, faults and a command line.
pub struct Scenario {
    temp: TempDir,
    args: Vec<String>,
    env: BTreeMap<String, String>,
    shell: Vec<String>,
    container: BTreeMap<String, String>,
    config: Value,
    objects: Vec<Value>,
    faults: Vec<Value>,
    watch: Vec<Vec<Value>>,
}

impl Scenario {
    /// A sound cluster with one deployment, its pod and its PVC, a database with an old dump, and `create` for it.
    pub fn new() -> Scenario {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        for folder in ["snapshots", "data", "host", "container", "locks"] {
            fs::create_dir(dir.join(folder)).unwrap();
        }
        fs::write(dir.join("data/dump.sql.gz"), OLD).unwrap();
        symlink(fake_kubectl(), dir.join("host/kubectl")).unwrap();
        let tools = "cat chmod chown cut date df gzip head ln ls mkfifo mv printenv readlink rm sha256sum sleep tail tee touch tr wc zstd";
        for tool in tools.split(' ') {
            symlink(which(tool).unwrap_or_else(|| panic!("{tool} is not installed")), dir.join("container").join(tool))
                .unwrap();
        }
        let dump_file = dir.join("data/dump.sql.gz");
        let mut scenario = Scenario {
            args: vec!["create".into()],
            env: BTreeMap::from([
                ("FAKE_KUBECTL_DIR".into(), dir.display().to_string()),
                ("PATH".into(), dir.join("host").display().to_string()),
                ("TZ".into(), "UTC".into()),
                ("BAK_DB_POSTGRES".into(), "true".into()),
                ("BAK_DB_POSTGRES_DUMP_FILE".into(), dump_file.display().to_string()),
            ]),
            shell: vec!["/bin/sh".into()],
            container: BTreeMap::from(
                [("POSTGRES_USER", "app"), ("POSTGRES_PASSWORD", "from the container"), ("POSTGRES_DB", "shop")]
                    .map(|(key, value)| (key.into(), value.into())),
            ),
            config: json!({
                "kind": "Config", "current-context": "prod",
                "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            }),
            objects: objects(&mount_point(dir)),
            faults: Vec::new(),
            watch: vec![vec![Event::Cut.json(), Event::Ready.json()]],
            temp,
        };
        // Each script knows its place by the environment that the fake kubectl gives it.
        scenario = scenario
            .tool("psql", "exit 0")
            // Nothing here depends on how long the scripts sleep, but the tests take as long.
            .tool("sleep", r#"exec "$REAL/sleep" 0.5"#)
            .tool(
                "pg_dump",
                r#"case " $* " in *' --version '*) echo 'pg_dump (PostgreSQL) 17.6'; exit ;; esac
                cd "$FAKE_KUBECTL_DIR"
                tr '\0' '\n' </proc/$$/cmdline >dump.cmdline
                printf %s "$PGPASSWORD" >dump.password
                cat dump.text
                : >dumping
                [ ! -e held ] || until [ -e go ]; do "$REAL/sleep" 0.1; done
                if [ -e dump.stderr ]; then cat dump.stderr >&2; exit 1; fi"#,
            )
            .tool("pg_dumpall", r#"cat "$FAKE_KUBECTL_DIR/globals.text""#)
            .tool(
                "sync",
                r#"cd "$FAKE_KUBECTL_DIR"
                set -- "$PPID $*" $(ls -i data/dump.sql.gz data/dump.sql.zst 2>/dev/null)
                echo "$1 $2" >>synced"#,
            );
        scenario.file("dump.text", &format!("{BODY}{UNRESTRICT}")).file("globals.text", GLOBALS)
    }

    /// Where everything of this scenario lies.
    pub fn dir(&self) -> &Path {
        self.temp.path()
    }

    pub fn arg(mut self, arg: &str) -> Scenario {
        self.args.push(arg.into());
        self
    }

    pub fn args_also(mut self, args: &[&str]) -> Scenario {
        self.args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// Another command line altogether.
    pub fn args(mut self, args: &[&str]) -> Scenario {
        self.args = args.iter().map(ToString::to_string).collect();
        self
    }

    pub fn env(mut self, key: &str, value: &str) -> Scenario {
        self.env.insert(key.into(), value.into());
        self
    }

    /// A variable of the container.
    pub fn variable(mut self, key: &str, value: &str) -> Scenario {
        self.container.insert(key.into(), value.into());
        self
    }

    /// The shell that is the container's `sh`.
    pub fn shell(mut self, words: &[String]) -> Scenario {
        self.shell = words.to_vec();
        self
    }

    /// A file in the scenario's directory.
    pub fn file(self, name: &str, text: &str) -> Scenario {
        fs::write(self.dir().join(name), text).unwrap();
        self
    }

    /// A program of the container, as a shell script; `$REAL` is the directory of the real ones.
    pub fn tool(self, name: &str, script: &str) -> Scenario {
        let path = self.dir().join("container").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// A container without this program.
    pub fn without(self, tool: &str) -> Scenario {
        fs::remove_file(self.dir().join("container").join(tool)).unwrap();
        self
    }

    /// What pg_dump prints.
    pub fn dump(self, text: &str) -> Scenario {
        self.file("dump.text", text)
    }

    /// A volume without a dump.
    pub fn without_old(self) -> Scenario {
        fs::remove_file(self.dump_path()).unwrap();
        self
    }

    /// The same with a dump file in zstd.
    pub fn zst(self) -> Scenario {
        let path = self.dir().join("data/dump.sql.zst");
        fs::rename(self.dump_path(), &path).unwrap();
        self.env("BAK_DB_POSTGRES_DUMP_FILE", &path.display().to_string())
    }

    /// The files of roles beside the dump.
    pub fn globals(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir().join("data")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.display().to_string().contains(".globals-")).collect()
    }

    pub fn dump_path(&self) -> PathBuf {
        let zst = self.env["BAK_DB_POSTGRES_DUMP_FILE"].ends_with(".zst");
        self.dir().join(if zst { "data/dump.sql.zst" } else { "data/dump.sql.gz" })
    }

    /// A pg_dump that does not end before [`Running::go_on`].
    pub fn held(self) -> Scenario {
        self.file("held", "")
    }

    /// Changes the kubeconfig as kubectl shows it.
    pub fn config(mut self, config: Value) -> Scenario {
        self.config = config;
        self
    }

    /// Changes one of the namespace's objects.
    pub fn object(mut self, kind: &str, change: impl FnOnce(&mut Value)) -> Scenario {
        change(self.objects.iter_mut().find(|object| object["kind"] == kind).unwrap());
        self
    }

    /// Another object of the namespace.
    pub fn also(mut self, object: Value) -> Scenario {
        self.objects.push(object);
        self
    }

    /// A snapshot that is there already.
    pub fn snapshot(self, name: &str, labels: Value, status: Value) -> Scenario {
        let snapshot = json!({
            "kind": "VolumeSnapshot", "status": status,
            "metadata": {
                "namespace": "shop", "name": name, "labels": labels, "resourceVersion": "5", "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        self.file(&format!("snapshots/{name}"), &snapshot.to_string())
    }

    /// A cluster of many namespaces without snapshots, and this command line. It is noon there, so that no day ends
    /// while a test runs.
    pub fn cluster(args: &[&str]) -> Scenario {
        let scenario = Scenario::new().args(args).env("TZ", &zone().0);
        Api::new(scenario.dir());
        scenario
    }

    /// The API server of [`Scenario::cluster`].
    pub fn api(&self) -> Api {
        Api::of(self.dir()).unwrap()
    }

    /// Namespaces of that cluster.
    pub fn namespaces(self, names: &[&str]) -> Scenario {
        for name in names {
            self.api().put(NAMESPACES, json!({"kind": "Namespace", "metadata": {"name": name}}));
        }
        self
    }

    /// A fault of the calls of a kind, as `kind` in `fake_kubectl.rs` names them; of all kinds together with `*`.
    pub fn fault(self, call: &str, times: Times, fault: Fault) -> Scenario {
        self.fault_about(call, "", times, fault)
    }

    /// A fault of those calls among them of which an argument contains `about`.
    pub fn fault_about(mut self, call: &str, about: &str, times: Times, fault: Fault) -> Scenario {
        self.faults.push(fault.for_calls(call, about, times));
        self
    }

    /// Everything works from here on.
    pub fn mended(mut self) -> Scenario {
        self.faults.clear();
        self
    }

    /// What happens in the first watch, in the second and so on; the last is that of all further ones.
    pub fn watches(mut self, watches: &[&[Event]]) -> Scenario {
        self.watch = watches.iter().map(|events| events.iter().map(|event| event.json()).collect()).collect();
        self
    }

    /// Starts the program.
    pub fn start(&self) -> Running<'_> {
        // Those who run the tests may ignore signals, as nohup(1) and a shell's background do; this does not.
        self.start_under(&["/usr/bin/env", "--default-signal=HUP,INT,TERM"])
    }

    /// From now on, while the program runs, a kind of call has this fault and no other any.
    pub fn now_fails(&self, call: &str, fault: Fault) {
        self.tell(&[fault.for_calls(call, "", ALWAYS)]);
    }

    /// Tells the fake kubectl, which reads it with each call.
    fn tell(&self, faults: &[Value]) {
        let mut env = self.container.clone();
        let folder = |path: &Path| path.display().to_string();
        env.insert("FAKE_KUBECTL_DIR".into(), folder(self.dir()));
        env.insert("PATH".into(), folder(&self.dir().join("container")));
        env.insert("REAL".into(), folder(which("gzip").unwrap().parent().unwrap()));
        let scenario = json!({
            "config": self.config, "objects": self.objects, "faults": faults, "watch": self.watch,
            "shell": self.shell, "path": std::env::var("PATH").unwrap(), "env": env,
        });
        fs::write(self.dir().join("scenario.new"), scenario.to_string()).unwrap();
        fs::rename(self.dir().join("scenario.new"), self.dir().join("scenario.json")).unwrap();
    }

    /// Starts it as the command line of another program, such as `nohup`.
    pub fn start_under(&self, words: &[&str]) -> Running<'_> {
        self.tell(&self.faults);
        self.start_with(words, &self.args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start_with(&self, words: &[&str], args: &[&str]) -> Running<'_> {
        let line = [words, &[env!("CARGO_BIN_EXE_backup-ns")]].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        command.args(args).env_clear().envs(&self.env).current_dir(self.dir());
        let runs = fs::read_dir(self.dir()).unwrap().count();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.dir().join(format!("{name}.{runs}")));
        let to = |path: &Path| fs::File::create_new(path).unwrap();
        let child = command.stdin(Stdio::null()).stdout(to(&stdout)).stderr(to(&stderr)).spawn().unwrap();
        Running { scenario: self, child, stdout, stderr }
    }

    /// Runs the program once more to its end, with this command line and without faults.
    pub fn again(&self, args: &[&str]) -> Outcome<'_> {
        self.tell(&[]);
        self.start_with(&["/usr/bin/env", "--default-signal=HUP,INT,TERM"], args).finish()
    }

    /// Runs the program to its end.
    pub fn run(&self) -> Outcome<'_> {
        self.start().finish()
    }

    /// The dump file as it is now.
    pub fn dump_file(&self) -> Vec<u8> {
        fs::read(self.dump_path()).unwrap()
    }

    /// The inode of the dump file.
    pub fn inode(&self) -> String {
        fs::metadata(self.dump_path()).unwrap().ino().to_string()
    }

    /// What a file in the scenario's directory holds, line by line; nothing where there is none.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        text.lines().map(ToString::to_string).collect()
    }

    /// The snapshots that are there.
    pub fn snapshots(&self) -> Vec<Value> {
        let entries = fs::read_dir(self.dir().join("snapshots")).unwrap();
        entries.map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap()).collect()
    }

    /// The processes that belong to this scenario, in the container and out of it, as `PID COMMAND`. A zombie does not count.
    pub fn processes(&self) -> Vec<String> {
        let mark = format!("FAKE_KUBECTL_DIR={}", self.dir().display());
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        pids.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
            .filter(|pid| {
                let env = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                env.split(|b| *b == 0).any(|variable| variable == mark.as_bytes())
            })
            .map(|pid| {
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let words = String::from_utf8_lossy(&words).replace(['\0', '\n'], " ");
                format!("{pid} {}", words.chars().take(200).collect::<String>())
            })
            .collect()
    }

    /// Kills all of them at once, as a node that dies does.
    pub fn kill_all(&self) {
        let pids: Vec<String> =
            self.processes().iter().filter_map(|line| Some(line.split_once(' ')?.0.to_string())).collect();
        signal("KILL", &pids);
    }

    fn leftovers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir().join("data")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let is_dump =
            |name: &String| name.starts_with("dump.") && (name.ends_with(".sql.gz") || name.ends_with(".sql.zst"));
        names.filter(|name| !is_dump(name) && !name.contains(".globals-")).collect()
    }
}

/// The program at work.
pub struct Running<'a> {
    scenario: &'a Scenario,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl<'a> Running<'a> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a file is there, such as `dumping`, or that of a call, such as `page.1`, which is empty until the log has it.
    #[must_use]
    pub fn until(self, file: &str) -> Running<'a> {
        let path = self.scenario.dir().join(file);
        let is_call = file.ends_with(|c: char| c.is_ascii_digit());
        poll(file, || fs::metadata(&path).is_ok_and(|meta| !is_call || meta.len() > 0));
        self
    }

    /// Waits until it has said something on stderr.
    #[must_use]
    pub fn until_said(self, text: &str) -> Running<'a> {
        poll(text, || self.said().contains(text));
        self
    }

    /// Waits until it has printed something on stdout.
    #[must_use]
    pub fn until_printed(self, text: &str) -> Running<'a> {
        poll(text, || fs::read_to_string(&self.stdout).unwrap().contains(text));
        self
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Lets a held pg_dump go on.
    #[must_use]
    pub fn go_on(self) -> Running<'a> {
        fs::write(self.scenario.dir().join("go"), "").unwrap();
        self
    }

    /// Sends a signal.
    #[must_use]
    pub fn signal(self, name: &str) -> Running<'a> {
        signal(name, &[self.child.id().to_string()]);
        self
    }

    /// How much memory it has had at most so far, in MiB: `VmHWM` of proc_pid_status(5); 0 once it has ended.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.map_or(0, |kib| kib.trim().parse::<u64>().unwrap() / 1024)
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Outcome<'a> {
        let end = Instant::now() + PATIENCE;
        let mut peak = 0;
        let status = loop {
            peak = peak.max(self.peak());
            match self.child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > end => {
                    self.child.kill().unwrap();
                    self.child.wait().unwrap();
                    break None;
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let log = self.scenario.lines("calls.jsonl");
        let calls = log.iter().map(|line| serde_json::from_str(line).unwrap());
        let outcome = Outcome {
            scenario: self.scenario,
            code: status.and_then(|status| status.code()),
            killed: status.and_then(|status| status.signal()),
            stdout: fs::read_to_string(&self.stdout).unwrap(),
            stderr: fs::read_to_string(&self.stderr).unwrap(),
            peak,
            calls: calls.filter(|call: &Value| call["parent"] == self.child.id()).collect(),
        };
        assert!(status.is_some(), "it did not end: {outcome}");
        outcome
    }
}

impl Drop for Running<'_> {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came of a run.
pub struct Outcome<'a> {
    pub scenario: &'a Scenario,
    /// Its exit status; none if a signal killed it.
    pub code: Option<i32>,
    pub killed: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// How much memory it had at most, in MiB, as far as that was seen before it ended.
    pub peak: u64,
    /// Its calls of kubectl in order: `kind`, `nth`, `pid`, `argv`, `env` (what of it is about kubectl or the
    /// language) and `kuberc` (the text of the preferences file that it names).
    pub calls: Vec<Value>,
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, kinds) = (self.code, self.kinds().join(" "));
        write!(f, "exit {code:?}, calls: {kinds}\n--- stdout\n{}--- stderr\n{}---", self.stdout, self.stderr)
    }
}

impl Outcome<'_> {
    /// It ended with this status.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit {code}, got: {self}");
        self
    }

    /// Its stderr holds all of these.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr lacks '{text}': {self}");
        }
        self
    }

    /// Its stdout holds all of these.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "stdout lacks '{text}': {self}");
        }
        self
    }

    /// It never had more memory than this, in MiB.
    #[track_caller]
    pub fn fits_in(self, most: u64) -> Self {
        assert!((1..=most).contains(&self.peak), "it had {} MiB: {self}", self.peak);
        self
    }

    /// The kinds of its calls, in order.
    pub fn kinds(&self) -> Vec<&str> {
        self.calls.iter().map(|call| call["kind"].as_str().unwrap()).collect()
    }

    /// How often it made such a call.
    pub fn count(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|other| **other == kind).count()
    }

    /// It made these calls, in this order and no others.
    #[track_caller]
    pub fn calls(self, kinds: &str) -> Self {
        assert!(self.kinds().join(" ") == kinds, "expected the calls '{kinds}': {self}");
        self
    }

    /// It made these calls and no others, in any order, because some were made side by side.
    #[track_caller]
    pub fn calls_in_any_order(self, kinds: &str) -> Self {
        let (mut made, mut expected) = (self.kinds(), kinds.split(' ').collect::<Vec<_>>());
        made.sort_unstable();
        expected.sort_unstable();
        assert!(made == expected, "expected the calls '{kinds}' in any order: {self}");
        self
    }

    /// The argument list of its first call of a kind, as one line.
    #[track_caller]
    pub fn argv(&self, kind: &str) -> String {
        let call = self.calls.iter().find(|call| call["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {self}"));
        let words: Vec<&str> = call["argv"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        words.join(" ")
    }

    /// What its last call of a kind got on stdin.
    #[track_caller]
    pub fn stdin(&self, kind: &str) -> String {
        let call = self.calls.iter().rfind(|call| call["kind"] == kind).unwrap_or_else(|| panic!("no {kind}: {self}"));
        fs::read_to_string(self.scenario.dir().join(format!("{kind}.{}.stdin", call["nth"]))).unwrap()
    }

    /// Nothing runs any more, in the container or out of it, and no file is left beside the dump.
    #[track_caller]
    pub fn clean(self) -> Self {
        let left = || [self.scenario.processes(), self.scenario.leftovers()].concat();
        let end = Instant::now() + Duration::from_secs(15);
        while !left().is_empty() {
            assert!(Instant::now() < end, "left over: {:#?} of {self}", left());
            thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// The old dump is where it was.
    #[track_caller]
    pub fn keeps_old(self) -> Self {
        assert!(self.scenario.dump_file() == OLD.as_bytes(), "the old dump is gone: {self}");
        self
    }

    /// The dump file now holds what pg_dump printed.
    #[track_caller]
    pub fn holds_new(self) -> Self {
        let path = self.scenario.dump_path();
        let tool = if path.extension().unwrap() == "zst" { "zstd" } else { "gzip" };
        let unpacked = Command::new(tool).arg("-dc").stdin(fs::File::open(path).unwrap()).output().unwrap();
        let text = fs::read(self.scenario.dir().join("dump.text")).unwrap();
        assert!(unpacked.status.success() && unpacked.stdout == text, "the new dump is not there: {self}");
        self
    }

    /// So many snapshots are there.
    #[track_caller]
    pub fn snapshots(self, number: usize) -> Self {
        assert!(self.scenario.snapshots().len() == number, "expected {number} snapshots: {self}");
        self
    }

    /// A failure before the rename: nothing runs, nothing is left, the old dump is there, no snapshot was made.
    #[track_caller]
    pub fn lost_nothing(self) -> Self {
        self.clean().keeps_old().snapshots(0)
    }
}

/// A zone in which it is noon, and the date there.
pub fn zone() -> (String, chrono::NaiveDate) {
    let now = chrono::Utc::now();
    let east = 12 - i64::from(chrono::Timelike::hour(&now));
    // Names of this kind count westward.
    (format!("Etc/GMT{:+}", -east), (now + chrono::TimeDelta::hours(east)).date_naive())
}

/// Runs `test` for all cases, a few at a time: most of their time they wait.
pub fn each<T: Sync>(cases: &[T], test: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                    test(case);
                }
            });
        }
    });
}

/// Waits until something is so.
#[track_caller]
pub fn poll(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The shells that a container's `sh` may be, as far as they are here.
pub fn shells() -> Vec<Vec<String>> {
    let all = [("dash", ""), ("busybox", "sh"), ("bash", "--posix")];
    all.iter()
        .filter_map(|(program, arg)| {
            let path = which(program);
            if path.is_none() {
                // stderr of a test is where its reader looks.
                let _ = std::io::Write::write_all(
                    &mut std::io::stderr(),
                    format!("LEFT OUT: no {program} here\n").as_bytes(),
                );
            }
            let words = [path?.display().to_string(), (*arg).to_string()];
            Some(words.into_iter().filter(|word| !word.is_empty()).collect())
        })
        .collect()
}

fn signal(name: &str, pids: &[String]) {
    // One may be gone already.
    let _ = Command::new("kill").arg(format!("-{name}")).args(pids).stderr(Stdio::null()).status().unwrap();
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// `cargo test` builds examples before it runs tests, but `cargo test --test NAME` does not.
fn fake_kubectl() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap().join("examples/fake-kubectl");
    let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
    for source in ["fake_kubectl.rs", "fake_api.rs"] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake/support").join(source);
        assert!(changed(&path) > changed(&source), "{} is missing or old: run cargo build --examples", path.display());
    }
    path
}

/// The mount point on which a directory of this machine lies; the PVC is taken to be mounted there.
fn mount_point(dir: &Path) -> String {
    let dir = dir.canonicalize().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| dir.starts_with(point)).max_by_key(|point| point.len()).unwrap().to_string()
}

fn objects(mount: &str) -> Vec<Value> {
    let labels = json!({"app": "base"});
    vec![
        json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "status": {"phase": "Bound"}}),
        json!({
            "kind": "Deployment", "metadata": {"name": "app-base"}, "spec": {"selector": {"matchLabels": labels}},
        }),
        json!({
            "kind": "Pod",
            "metadata": {"name": "app-base-0", "labels": labels},
            "spec": {
                "containers": [{"name": "postgres", "volumeMounts": [{"name": "v", "mountPath": mount}]}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}],
            },
            "status": {
                "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }),
    ]
}
