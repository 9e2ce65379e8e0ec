//! A stand-in for kubectl: behaves like a sound cluster unless the scenario in `$FAKE_KUBECTL_DIR` chooses a fault for
//! this call. What is executed in its only pod is executed by a shell of this machine, so that a session is a real one; a
//! scenario that is about pruning has an API server instead, see `fake_api.rs`. Leases have one of their own, beside either.
//! Knows nothing of backups; `tests/fake/support/mod.rs` writes the scenario and reads what is recorded beside it.
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

mod fake_api;

use fake_api::{
    Answer, Api, CLAIMS, CONFIG_MAPS, CONTENTS, CRONJOBS, DEPLOYMENTS, JOBS, KINDS, Kind, LEASES, NAMESPACES, PODS,
    POLICIES, SNAPSHOTS,
};

const PAUSE: Duration = Duration::from_millis(20);

/// One call: what it is, which of its kind, and what the scenario says about it.
struct Call {
    dir: PathBuf,
    scenario: Value,
    args: Vec<String>,
    kind: &'static str,
    nth: u64,
    /// Which of all calls.
    number: usize,
}

fn main() {
    let dir = PathBuf::from(std::env::var_os("FAKE_KUBECTL_DIR").expect("FAKE_KUBECTL_DIR"));
    let scenario = serde_json::from_slice(&fs::read(dir.join("scenario.json")).unwrap()).unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut stdin = BufReader::new(io::stdin());
    let script = if args.iter().any(|arg| arg == "exec") { read_script(&mut stdin) } else { String::new() };
    let kind = kind(&args, &script);
    let nth = (1..).find(|n| create_new(&dir.join(format!("{kind}.{n}"))).is_ok()).unwrap();
    let mut call = Call { dir, scenario, args, kind, nth, number: 0 };
    call.record();
    let faults = call.faults();
    let first = |key: &str| faults.iter().find(|fault| fault.get(key).is_some());
    for script in faults.iter().filter_map(|fault| fault["run"].as_str()) {
        call.run(script);
    }
    let api = Api::of(&if call.kind.ends_with("Lease") { call.dir.join("leases") } else { call.dir.clone() });
    for change in faults.iter().filter_map(|fault| fault.get("change")) {
        let (key, patch) = (change["key"].as_str().unwrap(), serde_json::from_str(change["patch"].as_str().unwrap()));
        let (kind, key) = match key {
            "" => (LEASES, call.key()),
            _ if key.contains('/') => (SNAPSHOTS, key.to_string()),
            _ => (CONTENTS, key.to_string()),
        };
        // It may be gone already.
        let _ = api.as_ref().unwrap().merge(kind, &key, &patch.unwrap());
    }
    for deleted in faults.iter().filter_map(|fault| fault["delete"].as_str()) {
        let (plural, part) = deleted.split_once('/').unwrap();
        let (api, kind) = (api.as_ref().unwrap(), KINDS.into_iter().find(|kind| kind.plural == plural).unwrap());
        for key in api.keys(kind).iter().filter(|key| key.contains(part)) {
            api.delete(kind, key, &json!({})).unwrap();
        }
    }
    if first("hang").is_some() {
        call.hold(Duration::MAX);
    }
    if let Some(fault) = first("exit").filter(|fault| fault["after"].is_null()) {
        say(fault["stdout"].as_str().unwrap_or_default());
        call.refuse(fault);
    }
    if let Some(api) = api.filter(|_| !["config", "print", "export"].contains(&call.kind)) {
        return call.ask(&api, stdin, &faults);
    }
    match call.kind {
        "session" | "second" | "hook" | "flush" | "receive" | "databases" | "export" => {
            call.exec(script, stdin, &faults);
        }
        "stream" => call.stream(),
        "config" => call.answer(&call.scenario["config"]),
        "observe" => call.observe(),
        "version" => call.answer(&json!({"clientVersion": {"gitVersion": "v1.36.3"}})),
        "api" => call.answer(&api_version()),
        "versions" => {
            call.answer(&json!({"clientVersion": {"gitVersion": "v1.36.3"}, "serverVersion": api_version()}));
        }
        "rules" => call.rules(),
        "review" => call.review(stdin),
        "event" => {
            let mut text = String::new();
            stdin.read_to_string(&mut text).unwrap();
            fs::write(call.file("stdin"), text).unwrap();
            say("event/created\n");
            call.end(0, "");
        }
        "kinds" => {
            let names = ["volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"];
            call.answer(&json!({"resources": names.map(|name| json!({"name": name}))}));
        }
        "classes" => call.answer(&json!({"items": [class()]})),
        "driver" => call.answer(&json!({"kind": "CSIDriver"})),
        "quotas" => call.answer(&json!({"items": []})),
        "class" => call.answer(&json!({"kind": "VolumeSnapshotClass"})),
        "contents" => call.answer(&json!({"items": []})),
        "list" => call.answer(&json!({"kind": "VolumeSnapshotList", "items": call.snapshots()})),
        "print" => call.print(stdin),
        "get" => match call.snapshot() {
            Some(snapshot) => call.answer(&snapshot),
            None => call.end(1, "Error from server (NotFound): volumesnapshots.snapshot.storage.k8s.io not found"),
        },
        "create" => call.create(stdin, first("exit")),
        "try" => call.refuse_if_there(&call.manifest(stdin)),
        "watch" => call.watch(),
        "patch" => call.answer(&json!({})),
        "secret" => call.secret(),
        _ => call.end(64, "the fake kubectl does not know this call"),
    }
}

fn api_version() -> Value {
    json!({"gitVersion": "v1.36.1", "major": "1", "minor": "36+"})
}

/// The only VolumeSnapshotClass.
fn class() -> Value {
    let default = json!({"snapshot.storage.kubernetes.io/is-default-class": "true"});
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass", "driver": "csi.example",
        "metadata": {"name": "csi", "annotations": default}, "deletionPolicy": "Retain",
    })
}

/// What a call is about, by its words; two scripts are told apart by what only one of them does.
fn kind(args: &[String], script: &str) -> &'static str {
    let has = |word: &str| args.iter().any(|arg| arg == word);
    let path = args.iter().find(|arg| arg.starts_with("/api")).map(String::as_str).unwrap_or_default();
    let content = args.iter().any(|arg| arg.contains(CONTENTS.plural));
    let lease = path.contains("/leases");
    match path.rsplit_once("/volumesnapshots").map(|(_, rest)| rest) {
        _ if path.contains("/selfsubjectaccessreviews") => "mayWatch",
        _ if path.contains("/selfsubjectrulesreviews") => "rules",
        _ if path.contains("/resourcequotas") => "quotas",
        _ if has("create") && path.ends_with("/persistentvolumeclaims?dryRun=All") => "tryClaim",
        _ if has("create") && path.ends_with("/persistentvolumeclaims") => "createClaim",
        _ if has("delete") && path.contains("/persistentvolumeclaims/") => "deleteClaim",
        _ if has("--local") => "print",
        _ if path.contains("/jobs") && has("create") => "createJob",
        _ if path.contains("/jobs/") && has("delete") => "deleteJob",
        _ if path.contains("/jobs/") => "getJob",
        _ if path.contains("/networkpolicies") => "createPolicy",
        _ if has("get") && has("-l") => "trial",
        _ if has("patch") && has("--dry-run=server") => "tryPatch",
        _ if has("patch") && has("deployments.apps") => "patchWorkload",
        _ if lease && has("get") => "listLease",
        _ if lease && has("create") && path.ends_with("?dryRun=All") => "tryLease",
        _ if lease && has("create") => "createLease",
        _ if lease && has("replace") => "replaceLease",
        _ if lease && has("delete") => "deleteLease",
        _ if has("exec") && has("tail") => "stream",
        _ if has("exec") && script.contains("export_volume") => "export",
        _ if has("exec") && script.contains("receiving=") => "receive",
        _ if has("exec") && script.contains("db_list_databases") => "databases",
        _ if has("exec") && script.contains("db_dump") => "session",
        _ if has("exec") && script.contains("wait_for_command") => "hook",
        _ if has("exec") && script.contains("MOUNTS") => "flush",
        _ if has("exec") => "second",
        _ if has("config") => "config",
        _ if has("version") && has("--client") => "version",
        _ if has("version") => "versions",
        _ if has("create") && has("--validate=false") && has("name") => "event",
        _ if has("create") && has("-o") && has("json") && path.is_empty() => "review",
        _ if path.ends_with("/volumesnapshotclasses") => "classes",
        _ if path.contains("/volumesnapshotclasses/") => "class",
        _ if path.contains("/csidrivers/") => "driver",
        _ if has("/version") => "api",
        _ if path == "/apis/snapshot.storage.k8s.io" || path == "/apis/snapshot.storage.k8s.io/v1" => "kinds",
        // A change of many, whichever way.
        _ if has("label") || has("patch") && has("-f") => "label",
        _ if has("replace") => "replace",
        _ if has("get") && path.contains("/volumesnapshotcontents?limit=") => "contents",
        _ if has("patch") && content => "patchContent",
        _ if has("patch") => "patch",
        _ if has("delete") && content => "deleteContent",
        _ if has("delete") => "delete",
        _ if has("get") && content => "getContent",
        _ if path.contains("/persistentvolumeclaims?limit=") => "claims",
        _ if path.contains("/namespaces?limit=") => "namespaces",
        _ if path.contains("/cronjobs?limit=") => "cronjobs",
        _ if has("get") && has("--ignore-not-found") => "named",
        _ if has("get") && has("secrets") => "secret",
        Some("") if has("create") => "create",
        Some("?dryRun=All") if has("create") => "try",
        Some("") => "list",
        Some(rest) if rest.starts_with("?watch=1") => "watch",
        Some(rest) if rest.starts_with("?limit=") => "page",
        Some(rest) if rest.starts_with('/') => "get",
        None if has("get") && has("volumesnapshots.snapshot.storage.k8s.io,persistentvolumeclaims") => "history",
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

/// What a path's query means.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap().to_string();
    parts.fold(first, |text, part| {
        let byte = u8::from_str_radix(&part[..2], 16).unwrap();
        format!("{text}{}{}", char::from(byte), &part[2..])
    })
}

/// YAML in braces as JSON: its keys get quotes.
fn quoted(yaml: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || ".-_/".contains(c);
    let mut json = String::new();
    let mut rest = yaml;
    while let Some(at) = rest.find(is_word) {
        let (before, from) = rest.split_at(at);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        let quote = if after.starts_with(':') { "\"" } else { "" };
        json.push_str(&format!("{before}{quote}{word}{quote}"));
        rest = after;
    }
    json + rest
}

/// The preconditions in DeleteOptions.
fn conditions(options: &str) -> Value {
    serde_json::from_str::<Value>(options).unwrap()["preconditions"].clone()
}

fn forbidden_words(key: &str) -> String {
    let (namespace, name) = key.split_once('/').unwrap();
    let (plural, group) = (SNAPSHOTS.plural, &SNAPSHOTS.group[1..]);
    format!(
        "Error from server (Forbidden): {plural}.{group} \"{name}\" is forbidden: User \"x\" cannot patch resource \"{plural}\" in API group \"{group}\" in the namespace \"{namespace}\""
    )
}

fn already_exists(name: &str) -> String {
    let (plural, group) = (SNAPSHOTS.plural, SNAPSHOTS.group);
    format!("Error from server (AlreadyExists): {plural}{group} \"{name}\" already exists")
}

/// The ConfigMaps that a list names, as `kubectl get -f - --ignore-not-found` prints them: none as nothing, one as itself.
fn named(api: &Api, input: &str) -> Value {
    let list: Value = serde_json::from_str(input).unwrap();
    let key = |item: &Value| {
        let word = |field: &str| item["metadata"][field].as_str().unwrap().to_string();
        format!("{}/{}", word("namespace"), word("name"))
    };
    let items = list["items"].as_array().unwrap().iter();
    let mut found: Vec<Value> = items.filter_map(|item| api.get(CONFIG_MAPS, &key(item)).ok()).collect();
    match found.len() {
        0 => Value::Null,
        1 => found.remove(0),
        _ => json!({"kind": "List", "items": found}),
    }
}

/// Gives one object a label, as `KEY=VALUE` says, but overwrites none.
fn given(api: &Api, key: &str, change: &str) -> Result<(), String> {
    let object = api.get(SNAPSHOTS, key)?;
    let (label, value) = change.split_once('=').unwrap();
    match object["metadata"]["labels"][label].as_str() {
        Some(old) if old != value => {
            return Err(format!("'{label}' already has a value ({old}), and --overwrite is false"));
        }
        _ => {}
    }
    let changes: serde_json::Map<String, Value> = [(label.to_string(), json!(value))].into_iter().collect();
    api.merge(SNAPSHOTS, key, &json!({"metadata": {"labels": changes}})).map(drop)
}

impl Call {
    /// A file of this very call.
    fn file(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{}.{}.{what}", self.kind, self.nth))
    }

    /// Leaves this call in the log, in one write.
    fn record(&mut self) {
        let kubectls = |name: &str| ["KUBE", "LC_", "LANG", "HTTPS_PROXY"].iter().any(|start| name.starts_with(start));
        let env: serde_json::Map<_, _> = std::env::vars()
            .filter(|(name, _)| kubectls(name))
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        let kuberc = env.get("KUBERC").and_then(Value::as_str).filter(|word| *word != "off");
        let kuberc = kuberc.map(|path| fs::read_to_string(path).unwrap_or_else(|error| error.to_string()));
        let line = json!({
            "kind": self.kind, "nth": self.nth, "pid": std::process::id(), "parent": parent_id(), "argv": self.args,
            "env": env, "kuberc": kuberc,
        })
        .to_string();
        let mut log = OpenOptions::new().append(true).create(true).open(self.dir.join("calls.jsonl")).unwrap();
        log.write_all(format!("{line}\n").as_bytes()).unwrap();
        let all = fs::read_to_string(self.dir.join("calls.jsonl")).unwrap();
        self.number = all.lines().position(|other| other == line).unwrap() + 1;
        fs::write(self.dir.join(format!("{}.{}", self.kind, self.nth)), "in the log").unwrap();
    }

    /// The faults that the scenario has for this call.
    fn faults(&self) -> Vec<Value> {
        let all = self.scenario["faults"].as_array().cloned().unwrap_or_default();
        let ours = |fault: &Value| {
            let (from, to) = (fault["from"].as_u64().unwrap(), fault["to"].as_u64().unwrap());
            let nth = if fault["call"] == "*" { self.number as u64 } else { self.nth };
            let about = fault["about"].as_str().unwrap_or_default();
            (fault["call"] == "*" || fault["call"] == self.kind)
                && (from..=to).contains(&nth)
                && self.args.iter().any(|arg| arg.contains(about))
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

    /// Has the API server do what this call is for.
    fn ask(&self, api: &Api, mut stdin: impl Read, faults: &[Value]) {
        let mut input = String::new();
        if self.args.iter().any(|arg| arg == "-") {
            stdin.read_to_string(&mut input).unwrap();
            fs::write(self.file("stdin"), &input).unwrap();
        }
        let answer = match self.kind {
            "page" => Ok(self.page(api, SNAPSHOTS)),
            "contents" => Ok(self.page(api, CONTENTS)),
            "list" => Ok(api.page(SNAPSHOTS, self.namespace(), "", usize::MAX, "")),
            "claims" => Ok(self.page(api, CLAIMS)),
            "namespaces" => Ok(self.page(api, NAMESPACES)),
            "cronjobs" => Ok(self.page(api, CRONJOBS)),
            "named" => Ok(named(api, &input)),
            "get" => api.get(SNAPSHOTS, &self.key()),
            "getContent" => api.get(CONTENTS, &self.key()),
            "history" => Ok(self.history(api)),
            "patch" => api.merge(SNAPSHOTS, &self.key(), &self.patch()),
            "observe" => self.look(api),
            "createJob" => self.created(api, JOBS, &input),
            "getJob" => api.get(JOBS, &self.key()),
            "deleteJob" => api.delete(JOBS, &self.key(), &conditions(&input)),
            "createPolicy" => self.created(api, POLICIES, &input),
            "trial" => Ok(self.labelled(api)),
            "mayWatch" => Ok(json!({"status": {"allowed": true}})),
            "classes" => {
                let default = json!({"snapshot.storage.kubernetes.io/is-default-class": "true"});
                Ok(json!({"items": [{"metadata": {"name": "csi", "annotations": default}, "driver": "csi"}]}))
            }
            "quotas" => Ok(json!({"items": []})),
            "try" | "tryClaim" => Ok(serde_json::from_str(&input).unwrap()),
            "tryPatch" => api.get(DEPLOYMENTS, &self.key()),
            "create" => self.created(api, SNAPSHOTS, &input),
            "createClaim" => self.created(api, CLAIMS, &input),
            "patchWorkload" => api.merge(DEPLOYMENTS, &self.key(), &self.patch()),
            // With a body, no dryRun of the URL is heeded.
            "deleteClaim" if input.contains(r#""dryRun":["All"]"#) => api.get(CLAIMS, &self.key()),
            "deleteClaim" => api.delete(CLAIMS, &self.key(), &conditions(&input)),
            "watch" => self.cut(api),
            "patchContent" => api.patch(CONTENTS, &self.key(), &self.patch()),
            "delete" => api.delete(SNAPSHOTS, &self.key(), &conditions(&input)),
            "deleteContent" => api.delete(CONTENTS, &self.key(), &conditions(&input)),
            "label" | "replace" => self.label(api, &input, faults),
            "listLease" => Ok(self.page(api, LEASES)),
            // What is looked at first is whether there is such a place.
            "tryLease" => api.get(NAMESPACES, self.namespace().unwrap()),
            "createLease" => api.create(LEASES, self.namespace().unwrap(), &serde_json::from_str(&input).unwrap()),
            "replaceLease" => api.replace(LEASES, &self.key(), &serde_json::from_str(&input).unwrap()),
            "deleteLease" => api.delete(LEASES, &self.key(), &conditions(&input)),
            _ => self.end(64, "the fake kubectl does not know this call"),
        };
        if faults.iter().any(|fault| fault.get("kill").is_some()) {
            self.run(&format!("kill -KILL {}", parent_id()));
        }
        match (faults.iter().find(|fault| fault.get("exit").is_some()), answer) {
            (Some(after), _) => self.refuse(after),
            // Label has printed what it did.
            (None, Ok(Value::Null)) => self.end(0, ""),
            (None, Ok(answer)) => self.answer(&answer),
            (None, Err(words)) => self.end(1, &words),
        }
    }

    /// One object, or all of the namespace that a restore in place looks at.
    fn look(&self, api: &Api) -> Answer {
        match self.path_of_url() {
            Some(path) if path.contains("/persistentvolumeclaims/") => api.get(CLAIMS, &self.key()),
            Some(path) if path.ends_with("/storageclasses") => {
                let default = json!({"storageclass.kubernetes.io/is-default-class": "true"});
                Ok(
                    json!({"items": [{"metadata": {"name": "fast", "annotations": default}, "provisioner": "csi.example"}]}),
                )
            }
            Some(path) if path.contains("/storageclasses/") => {
                let mode = if self.dir.join("api/late").exists() { "WaitForFirstConsumer" } else { "Immediate" };
                Ok(json!({"metadata": {"name": "fast"}, "provisioner": "csi", "volumeBindingMode": mode}))
            }
            Some(path) if path.contains("/events?") => Ok(json!({"items": []})),
            Some(_) => self.end(64, "the fake kubectl does not know this call"),
            // A namespace that the scenario did not fill through the API holds what every scenario has.
            None => match self.all_of(api, &[CLAIMS, PODS, SNAPSHOTS, DEPLOYMENTS]) {
                all if all["items"] == json!([]) => Ok(json!({"kind": "List", "items": self.observed()})),
                all => Ok(all),
            },
        }
    }

    fn created(&self, api: &Api, kind: Kind, input: &str) -> Answer {
        api.create(kind, self.namespace().unwrap(), &serde_json::from_str(input).unwrap())
    }

    /// The snapshot that is watched is cut and ready, unless the storage fails.
    fn cut(&self, api: &Api) -> Answer {
        let status = match self.dir.join("api/full").exists() {
            true => json!({"readyToUse": false, "error": {"message": "no space in the pool"}}),
            false => json!({"readyToUse": true, "creationTime": "2026-01-02T03:04:06Z", "restoreSize": "1Gi"}),
        };
        let key = format!("{}/{}", self.namespace().unwrap(), self.name());
        let Ok(there) = api.get(SNAPSHOTS, &key) else {
            return Ok(json!({"type": "DELETED", "object": {"metadata": {"name": self.name()}}}));
        };
        let status = match there["content"].is_null() {
            true => json!({"readyToUse": false, "error": {"message": "its claim is not there"}}),
            false => status,
        };
        let snapshot = api.merge(SNAPSHOTS, &key, &json!({"status": status}))?;
        Ok(json!({"type": "MODIFIED", "object": snapshot}))
    }

    fn path_of_url(&self) -> Option<&str> {
        self.args.iter().map(String::as_str).find(|arg| arg.starts_with("/api"))
    }

    /// The object that this call is about: the path's end, or the words behind `patch KIND`.
    fn key(&self) -> String {
        let words: Vec<&str> = match self.path_of_url() {
            Some(path) => path.split('/').collect(),
            None => {
                let at = self.args.iter().position(|arg| arg == "patch").unwrap();
                let namespace = self.args.iter().position(|arg| arg == "-n").map(|at| self.args[at + 1].as_str());
                ["namespaces", namespace.unwrap_or_default(), "", &self.args[at + 2]].into()
            }
        };
        match &words[words.len() - 4..] {
            ["namespaces", namespace, _, name] if !namespace.is_empty() => format!("{namespace}/{name}"),
            other => other[3].into(),
        }
    }

    fn patch(&self) -> Value {
        let text = self.args.last().unwrap();
        serde_json::from_str(text).or_else(|_| serde_json::from_str(&quoted(text))).unwrap()
    }

    /// The namespace that the path is about.
    fn namespace(&self) -> Option<&str> {
        let (_, rest) = self.path_of_url().unwrap().split_once("/namespaces/")?;
        rest.split(['/', '?']).next()
    }

    /// The page of a list that the path asks for; all of it where it says nothing of pages.
    fn page(&self, api: &Api, kind: Kind) -> Value {
        let (_, query) = self.path_of_url().unwrap().split_once('?').unwrap();
        let namespace = self.namespace();
        let asked = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let text = |key: &str| decoded(asked(key).unwrap_or_default());
        api.page(
            kind,
            namespace,
            &text("labelSelector"),
            text("limit").parse().unwrap_or(usize::MAX),
            &text("continue"),
        )
    }

    fn history(&self, api: &Api) -> Value {
        self.all_of(api, &[SNAPSHOTS, CLAIMS])
    }

    /// The namespace's objects of these kinds.
    fn all_of(&self, api: &Api, kinds: &[Kind]) -> Value {
        let namespace = &self.args[self.args.iter().position(|arg| arg == "-n").unwrap() + 1];
        let of = |kind: &Kind| {
            let page = api.page(*kind, Some(namespace), "", usize::MAX, "");
            let (items, kind) = (page["items"].as_array().unwrap().clone(), kind.kind);
            items.into_iter().map(move |mut object| {
                object["kind"] = json!(kind);
                object
            })
        };
        json!({"kind": "List", "items": kinds.iter().flat_map(of).collect::<Vec<_>>()})
    }

    /// The objects that `kubectl get jobs,pods,persistentvolumeclaims -l LABEL=VALUE` lists.
    fn labelled(&self, api: &Api) -> Value {
        let (label, value) =
            self.args[self.args.iter().position(|arg| arg == "-l").unwrap() + 1].split_once('=').unwrap();
        let mut all = self.all_of(api, &[JOBS, PODS, CLAIMS]);
        all["items"].as_array_mut().unwrap().retain(|object| object["metadata"]["labels"][label] == value);
        all
    }

    /// Does as `kubectl label -f -`, `kubectl patch -f -` and `kubectl replace -f -` do: one object after the other, whatever becomes of those
    /// before, and all refusals at the end.
    fn label(&self, api: &Api, input: &str, faults: &[Value]) -> Answer {
        let list: Value = serde_json::from_str(input).unwrap();
        let patch = self.args.iter().find_map(|arg| arg.strip_prefix("--patch="));
        let patch: Option<Value> = patch.map(|patch| serde_json::from_str(patch).unwrap());
        let all = |key: &str| -> Vec<&Value> { faults.iter().filter_map(|fault| fault.get(key)).collect() };
        let (stops, forbids) = (all("stop"), all("forbid"));
        let mut refused = Vec::new();
        for (number, item) in list["items"].as_array().unwrap().iter().enumerate() {
            let stop = stops.iter().find(|stop| stop["at"].as_u64() <= Some(number as u64));
            match stop.map(|stop| (stop["code"].as_i64(), stop["stderr"].as_str().unwrap_or_default())) {
                Some((Some(0), _)) => self.end(0, ""),
                Some((Some(_), words)) => {
                    refused.push(words.to_string());
                    continue;
                }
                Some((None, _)) => self.hold(Duration::MAX),
                None => {}
            }
            let word = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
            let key = format!("{}/{}", word("namespace"), word("name"));
            let forbidden = forbids.iter().any(|forbidden| key.contains(forbidden.as_str().unwrap()));
            let outcome = match &patch {
                _ if forbidden => Err(forbidden_words(&key)),
                _ if self.kind == "replace" => api
                    .replace(CONTENTS, word("name"), item)
                    .map(drop)
                    .map_err(|words| words.replacen("): ", "): error when replacing \"STDIN\": ", 1)),
                Some(patch) => api.merge(SNAPSHOTS, &key, patch).map(drop),
                None => given(api, &key, self.args.last().unwrap()),
            };
            match outcome {
                Ok(()) => say(&format!("{key}\n")),
                Err(words) => refused.push(words),
            }
        }
        match &refused[..] {
            [] => Ok(Value::Null),
            // One by itself is marked as an error where its words do not say so.
            [one] if !one.starts_with("Error") => Err(format!("error: {one}")),
            _ => Err(refused.join("\n")),
        }
    }

    /// Everything in the namespace.
    /// Lists everything, if the scenario forbids none of the kinds by `RESOURCE VERB`; what is the whole cluster's only if it is
    /// asked for.
    fn observe(&self) {
        let forbidden = fs::read_to_string(self.dir.join("forbidden")).unwrap_or_default();
        let words: Vec<&str> = self.args.iter().flat_map(|arg| arg.split(',')).collect();
        for (resource, verb) in forbidden.lines().filter_map(|line| line.split_once(' ')) {
            let is_listed = words.iter().any(|word| word.split('.').next() == Some(resource));
            if is_listed && ["list", "get"].contains(&verb) {
                self.end(
                    1,
                    &format!("Error from server (Forbidden): {resource} is forbidden: User \"x\" cannot list them"),
                );
            }
        }
        let name = if self.dir.join("driverless").exists() { "csi.other" } else { "csi.example" };
        let driver = json!({"kind": "CSIDriver", "metadata": {"name": name}});
        let of_cluster = [("csidrivers", driver), ("volumesnapshotclasses", class())];
        let is_asked = |resource: &str| words.iter().any(|word| word.split('.').next() == Some(resource));
        let of_cluster = of_cluster.into_iter().filter(|(resource, _)| is_asked(resource)).map(|(_, object)| object);
        self.answer(
            &json!({"kind": "List", "items": self.observed().into_iter().chain(of_cluster).collect::<Vec<_>>()}),
        );
    }

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

    /// Lists a rule for each right that a backup or `doctor` uses, but for what the scenario forbids by `RESOURCE VERB`. RBAC lists
    /// no more where it is the only authorizer; beside a webhook, the answer says that there may be more. What a RoleBinding grants of
    /// the whole cluster's (`bound`) is listed, although it is not granted.
    fn rules(&self) {
        let forbidden = fs::read_to_string(self.dir.join("forbidden")).unwrap_or_default();
        let (webhook, bound) = (self.dir.join("webhook").exists(), self.dir.join("bound").exists());
        let (core, snapshot) = ("", "snapshot.storage.k8s.io");
        let mut rules = Vec::new();
        for (group, resources) in [
            (
                core,
                &["persistentvolumeclaims", "persistentvolumes", "pods", "pods/exec", "namespaces", "configmaps"][..],
            ),
            (core, &["events", "resourcequotas", "limitranges", "secrets"]),
            ("networking.k8s.io", &["networkpolicies"]),
            ("apps", &["deployments", "statefulsets", "daemonsets"]),
            ("batch", &["cronjobs", "jobs"]),
            ("storage.k8s.io", &["csidrivers"]),
            ("coordination.k8s.io", &["leases"]),
            (snapshot, &["volumesnapshots", "volumesnapshotclasses", "volumesnapshotcontents"]),
        ] {
            for resource in resources {
                let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
                let in_cluster = ["persistentvolumes", "csidrivers", "volumesnapshotclasses", "volumesnapshotcontents"];
                let listed = bound && in_cluster.contains(resource);
                let granted =
                    |verb: &&str| listed || !forbidden.lines().any(|line| line == format!("{resource} {verb}"));
                let verbs: Vec<&str> = verbs.into_iter().filter(granted).collect();
                rules.push(json!({"verbs": verbs, "apiGroups": [group], "resources": [resource]}));
            }
        }
        let error = if webhook { "webhook authorizer does not support user rule resolution" } else { "" };
        self.answer(&json!({
            "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": webhook, "evaluationError": error},
        }));
    }

    /// Grants what is asked for, but for what the scenario forbids by `RESOURCE VERB`. What it got stays beside the call.
    fn review(&self, mut stdin: impl Read) {
        let mut text = String::new();
        stdin.read_to_string(&mut text).unwrap();
        fs::write(self.file("stdin"), &text).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let forbidden = fs::read_to_string(self.dir.join("forbidden")).unwrap_or_default();
        for mut review in list["items"].as_array().unwrap().iter().cloned() {
            let attribute = |name: &str| review["spec"]["resourceAttributes"][name].as_str().unwrap_or_default();
            let resource = match attribute("subresource") {
                "" => attribute("resource").to_string(),
                sub => format!("{}/{sub}", attribute("resource")),
            };
            let right = format!("{resource} {}", attribute("verb"));
            review["status"] = json!({"allowed": !forbidden.lines().any(|line| line == right)});
            say(&format!("{}\n", serde_json::to_string_pretty(&review).unwrap()));
        }
        self.end(0, "");
    }

    /// A row for a Secret, if the scenario has one of this name.
    fn secret(&self) {
        let name = &self.args[self.args.iter().position(|arg| arg == "secrets").unwrap() + 1];
        match fs::read_to_string(self.dir.join("secrets")).unwrap_or_default().lines().any(|line| line == name) {
            true => say(&format!("{name}   Opaque   2     5d\n")),
            false => self.end(1, &format!("Error from server (NotFound): secrets \"{name}\" not found")),
        }
        self.end(0, "");
    }

    /// The manifest on stdin.
    fn manifest(&self, mut stdin: impl Read) -> Value {
        let mut text = String::new();
        stdin.read_to_string(&mut text).unwrap();
        fs::write(self.file("stdin"), &text).unwrap();
        serde_json::from_str(&text).expect("a manifest")
    }

    /// What is answered to one who only asks whether a snapshot could be created.
    fn refuse_if_there(&self, snapshot: &Value) {
        let name = snapshot["metadata"]["name"].as_str().unwrap();
        if self.path(name).exists() {
            self.end(1, &already_exists(name));
        }
        self.answer(snapshot);
    }

    /// Creates the snapshot on stdin; `after` is an answer that hides that it was done.
    fn create(&self, stdin: impl Read, after: Option<&Value>) {
        let mut snapshot = self.manifest(stdin);
        snapshot["metadata"]["resourceVersion"] = json!("1");
        snapshot["metadata"]["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
        let name = snapshot["metadata"]["name"].as_str().unwrap();
        if create_new(&self.path(name)).is_err() {
            self.end(1, &already_exists(name));
        }
        self.store(&snapshot);
        match after {
            Some(fault) => self.refuse(fault),
            None => self.answer(&snapshot),
        }
    }

    /// Plays the events that the scenario has for this watch, then stays until its time is over.
    /// What is to be printed by a template is only recorded.
    fn print(&self, mut stdin: impl Read) {
        let mut text = String::new();
        stdin.read_to_string(&mut text).unwrap();
        fs::write(self.file("stdin"), text).unwrap();
        say("as the template says\n");
        self.end(0, "");
    }

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

    /// Prints the file that a download reads.
    fn stream(&self) {
        let from = self.args.iter().find_map(|arg| arg.strip_prefix('+')?.parse::<usize>().ok()).unwrap();
        let bytes = fs::read(self.args.last().unwrap()).unwrap();
        io::stdout().write_all(&bytes[from - 1..]).unwrap();
        self.end(0, "");
    }

    /// Runs what comes behind `--` with another shell for its `sh`, the three streams passed on as they come. The
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
        // The folders of a scratch pod are in the scenario's.
        let folders = (self.kind == "export").then(|| format!("{}/pod/", self.dir.display()));
        thread::spawn(move || {
            // Behind the values of a script any bytes may follow.
            let mut line = script.into_bytes();
            while log.write_all(&line).and_then(|()| to.write_all(&line)).is_ok() {
                line.clear();
                if stdin.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
                    return;
                }
                if let (Some(folders), Some(rest)) = (&folders, line.strip_prefix(b"/backup-ns/")) {
                    line = [folders.as_bytes(), rest].concat();
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
        let mut flood = faults.iter().find(|fault| fault.get("flood").is_some());
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
            if let Some(flood) = flood.take() {
                let line = format!("{nonce} {} {}\n", flood["flood"].as_str().unwrap(), "x".repeat(1000));
                (0..flood["lines"].as_u64().unwrap()).for_each(|_| say(&line));
            }
            if let Some(cut) = faults.iter().find(|fault| fault["cutAfter"] == key) {
                self.end(i32::try_from(cut["code"].as_i64().unwrap()).unwrap(), "");
            }
        }
        self.end(child.wait().unwrap().code().unwrap_or(137), "");
    }
}
