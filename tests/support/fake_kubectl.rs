//! A stand-in for kubectl: behaves like a sound cluster unless the scenario in `$FAKE_KUBECTL_DIR` chooses a fault for
//! this call. What is executed in its only pod is executed by a shell of this machine, so that a session is a real one.
//! Knows nothing of backups; `tests/support/mod.rs` writes the scenario and reads what is recorded beside it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a fake program of the tests: it lives on its environment and its processes, and may die of a bad scenario"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PAUSE: Duration = Duration::from_millis(20);

/// One call: what it is, which of its kind, and what the scenario says about it.
struct Call {
    dir: PathBuf,
    scenario: Value,
    args: Vec<String>,
    kind: &'static str,
    nth: u64,
}

fn main() {
    let dir = PathBuf::from(std::env::var_os("FAKE_KUBECTL_DIR").expect("FAKE_KUBECTL_DIR"));
    let scenario = serde_json::from_slice(&fs::read(dir.join("scenario.json")).unwrap()).unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut stdin = BufReader::new(io::stdin());
    let script = if args.iter().any(|arg| arg == "exec") { read_script(&mut stdin) } else { String::new() };
    let kind = kind(&args, &script);
    let nth = (1..).find(|n| create_new(&dir.join(format!("{kind}.{n}"))).is_ok()).unwrap();
    let call = Call { dir, scenario, args, kind, nth };
    call.record();
    let faults = call.faults();
    let first = |key: &str| faults.iter().find(|fault| fault.get(key).is_some());
    for script in faults.iter().filter_map(|fault| fault["run"].as_str()) {
        call.run(script);
    }
    if first("hang").is_some() {
        call.hold(Duration::MAX);
    }
    if let Some(fault) = first("exit").filter(|fault| fault["after"].is_null()) {
        say(fault["stdout"].as_str().unwrap_or_default());
        call.refuse(fault);
    }
    match call.kind {
        "session" | "second" => call.exec(script, stdin, &faults),
        "config" => call.answer(&call.scenario["config"]),
        "observe" => call.answer(&json!({"kind": "List", "items": call.observed()})),
        "list" => call.answer(&json!({"kind": "VolumeSnapshotList", "items": call.snapshots()})),
        "get" => match call.snapshot() {
            Some(snapshot) => call.answer(&snapshot),
            None => call.end(1, "Error from server (NotFound): volumesnapshots.snapshot.storage.k8s.io not found"),
        },
        "create" => call.create(stdin, first("exit")),
        "watch" => call.watch(),
        "patch" => call.answer(&json!({})),
        _ => call.end(64, "the fake kubectl does not know this call"),
    }
}

/// What a call is about, by its words; two scripts are told apart by what only one of them does.
fn kind(args: &[String], script: &str) -> &'static str {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let path = args.iter().find(|arg| arg.starts_with("/apis/")).map(String::as_str).unwrap_or_default();
    match path.rsplit_once("/volumesnapshots").map(|(_, rest)| rest) {
        _ if has("exec") && script.contains("db_dump") => "session",
        _ if has("exec") => "second",
        _ if has("config") => "config",
        _ if has("patch") => "patch",
        Some("") if has("create") => "create",
        Some("") => "list",
        Some(rest) if rest.starts_with("?watch=1") => "watch",
        Some(rest) if rest.starts_with('/') => "get",
        None if has("get") => "observe",
        _ => "unknown",
    }
}

/// The script on an exec's stdin with its end mark; what follows stays for the script itself.
fn read_script(stdin: &mut impl BufRead) -> String {
    let mut script = String::new();
    while !script.ends_with("#end-of-script\n") && stdin.read_line(&mut script).unwrap() > 0 {}
    script
}

fn create_new(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Writes to stdout; a reader that is gone ends this program as a broken pipe would.
fn say(text: &str) {
    let mut stdout = io::stdout();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        exit(1);
    }
}

impl Call {
    /// A file of this very call.
    fn file(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{}.{what}", self.kind, self.nth))
    }

    /// Leaves this call in the log, in one write.
    fn record(&self) {
        let line = json!({"kind": self.kind, "nth": self.nth, "pid": std::process::id(), "parent": parent_id(), "argv": self.args});
        let mut log = OpenOptions::new().append(true).create(true).open(self.dir.join("calls.jsonl")).unwrap();
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The faults that the scenario has for this call.
    fn faults(&self) -> Vec<Value> {
        let all = self.scenario["faults"].as_array().cloned().unwrap_or_default();
        let ours = |fault: &Value| {
            let (from, to) = (fault["from"].as_u64().unwrap(), fault["to"].as_u64().unwrap());
            fault["call"] == self.kind && (from..=to).contains(&self.nth)
        };
        all.into_iter().filter(ours).collect()
    }

    /// Runs a line of shell of the scenario's in its directory, to its end.
    fn run(&self, script: &str) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-euc", script]).env("PATH", self.scenario["path"].as_str().unwrap());
        let status = shell.current_dir(&self.dir).stdin(Stdio::null()).stdout(io::stderr()).status();
        assert!(status.unwrap().success(), "{script}");
    }

    /// Stays for so long, but not longer than the one who called.
    fn hold(&self, time: Duration) {
        let (began, parent) = (Instant::now(), parent_id());
        while began.elapsed() < time && parent_id() == parent {
            thread::sleep(PAUSE);
        }
    }

    fn end(&self, code: i32, stderr: &str) -> ! {
        if !stderr.is_empty() {
            let _ = writeln!(io::stderr(), "{stderr}");
        }
        let _ = create_new(&self.file("ended"));
        exit(code)
    }

    /// Ends as a fault or an event says.
    fn refuse(&self, fault: &Value) -> ! {
        let code = fault["exit"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap();
        self.end(code, fault["stderr"].as_str().unwrap_or_default())
    }

    fn answer(&self, value: &Value) {
        say(&format!("{value}\n"));
        self.end(0, "");
    }

    /// Everything in the namespace.
    fn observed(&self) -> Vec<Value> {
        let objects = self.scenario["objects"].as_array().cloned().unwrap_or_default();
        objects.into_iter().chain(self.snapshots()).collect()
    }

    fn snapshots(&self) -> Vec<Value> {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(self.dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
    }

    /// The name of the snapshot that a path of this call is about.
    fn name(&self) -> String {
        let path = self.args.iter().find(|arg| arg.starts_with("/apis/")).unwrap();
        let name = match path.split_once("metadata.name%3D") {
            Some((_, rest)) => rest.split('&').next().unwrap(),
            None => path.rsplit('/').next().unwrap(),
        };
        name.into()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join("snapshots").join(name)
    }

    fn snapshot(&self) -> Option<Value> {
        fs::read(self.path(&self.name())).ok().map(|text| serde_json::from_slice(&text).unwrap())
    }

    /// Puts a snapshot in its place at once or not at all, for those who read meanwhile.
    fn store(&self, snapshot: &Value) {
        let new = self.file("new");
        fs::write(&new, snapshot.to_string()).unwrap();
        fs::rename(new, self.path(snapshot["metadata"]["name"].as_str().unwrap())).unwrap();
    }

    /// Creates the snapshot on stdin; `after` is an answer that hides that it was done.
    fn create(&self, mut stdin: impl Read, after: Option<&Value>) {
        let mut text = String::new();
        stdin.read_to_string(&mut text).unwrap();
        fs::write(self.file("stdin"), &text).unwrap();
        let mut snapshot: Value = serde_json::from_str(&text).expect("a manifest");
        snapshot["metadata"]["resourceVersion"] = json!("1");
        snapshot["metadata"]["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
        let name = snapshot["metadata"]["name"].as_str().unwrap();
        if create_new(&self.path(name)).is_err() {
            let kind = "volumesnapshots.snapshot.storage.k8s.io";
            self.end(1, &format!("Error from server (AlreadyExists): {kind} \"{name}\" already exists"));
        }
        self.store(&snapshot);
        match after {
            Some(fault) => self.refuse(fault),
            None => self.answer(&snapshot),
        }
    }

    /// Plays the events that the scenario has for this watch, then stays until its time is over.
    fn watch(&self) {
        let limit =
            self.args.iter().find_map(|arg| arg.split_once("timeoutSeconds=")?.1.split('&').next()?.parse().ok());
        let watches = self.scenario["watch"].as_array().unwrap();
        let nth = usize::try_from(self.nth).unwrap().min(watches.len());
        for event in watches[nth - 1].as_array().unwrap() {
            self.play(event);
        }
        self.hold(Duration::from_secs(limit.unwrap()));
        self.end(0, "");
    }

    fn play(&self, event: &Value) {
        if let Some(script) = event["run"].as_str() {
            self.run(script);
        } else if let Some(text) = event["print"].as_str() {
            say(text);
        } else if event.get("exit").is_some() {
            self.refuse(event);
        } else {
            let Some(mut snapshot) = self.snapshot() else { return };
            let version: u64 = snapshot["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            snapshot["metadata"]["resourceVersion"] = json!((version + 1).to_string());
            let kind = if event.get("deleted").is_some() {
                fs::remove_file(self.path(&self.name())).unwrap();
                "DELETED"
            } else {
                snapshot["status"] = event["status"].clone();
                self.store(&snapshot);
                "MODIFIED"
            };
            say(&format!("{}\n", json!({"type": kind, "object": snapshot})));
        }
    }

    /// Runs what stands behind `--` with another shell for its `sh`, the three streams passed on as they come. The
    /// container's processes are no children of the caller's terminal: they get a process group of their own.
    fn exec(&self, script: String, mut stdin: impl BufRead + Send + 'static, faults: &[Value]) {
        let rest = self.args.iter().position(|arg| arg == "--").map(|at| &self.args[at + 2..]).unwrap();
        let words = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        let shell = words(&self.scenario["shell"]);
        let env = self.scenario["env"].as_object().unwrap();
        let mut child = Command::new(&shell[0])
            .args(&shell[1..])
            .args(rest)
            .env_clear()
            .envs(env.iter().map(|(key, value)| (key, value.as_str().unwrap())))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut log = File::create(self.file("stdin")).unwrap();
        thread::spawn(move || {
            let mut line = script;
            while log.write_all(line.as_bytes()).and_then(|()| to.write_all(line.as_bytes())).is_ok() {
                line.clear();
                if stdin.read_line(&mut line).unwrap_or(0) == 0 {
                    return;
                }
            }
        });
        if let Some(cut) = faults.iter().find(|fault| fault.get("cutAt").is_some()).cloned() {
            let (gate, ended) = (self.dir.join(cut["cutAt"].as_str().unwrap()), self.file("ended"));
            thread::spawn(move || {
                while !gate.exists() {
                    thread::sleep(PAUSE);
                }
                let _ = create_new(&ended);
                exit(i32::try_from(cut["code"].as_i64().unwrap()).unwrap());
            });
        }
        let mut mute = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let (mut nonce, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let (key, mut value) = rest.split_once(' ').unwrap_or((rest, ""));
            let mut dropped = mute;
            for fault in faults {
                nonce = fault["nonce"].as_str().unwrap_or(nonce);
                dropped |= fault["drop"] == key;
                mute |= fault["muteAfter"] == key;
                if fault["rewrite"] == key {
                    value = fault["value"].as_str().unwrap();
                }
            }
            if !dropped {
                say(&format!("{nonce} {key} {value}\n"));
            }
            if let Some(cut) = faults.iter().find(|fault| fault["cutAfter"] == key) {
                self.end(i32::try_from(cut["code"].as_i64().unwrap()).unwrap(), "");
            }
        }
        self.end(child.wait().unwrap().code().unwrap_or(137), "");
    }
}
