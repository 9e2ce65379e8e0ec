//! A fixed list of calls with a kubectl of each minor, on a real cluster and on a server that only refuses: which succeed, and what
//! kind of refusal the others are. kubectl's words change from one minor to the next.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal::{self, *};
use crate::core::escape::Secrets;
use crate::core::health::rights;
use crate::core::kube::calls::{
    CLAIMS, ClusterChoice, JOBS, LEASES, Next, PODS, RULES_REVIEWS, Relabel, SNAPSHOTS, Target, delete_options,
};
use crate::core::kube::kubectl_env::Shield;
use crate::io::process::{Job, ProcessError};

/// What is expected of a call: its output has these words, or it is refused so, with this exit code.
enum Expected {
    Prints(&'static str),
    Refused(Refusal, u8),
    /// It is forbidden, and the right that is missing is named.
    LacksRight,
}
use Expected::{LacksRight, Prints, Refused};

/// A call with its stdin.
struct Case {
    name: String,
    kubectl: Kubectl,
    args: Vec<String>,
    stdin: String,
    expected: Expected,
}

fn once(kubectl: &Kubectl, args: Vec<String>, stdin: &str) -> Result<String, ProcessError> {
    kubectl.once(args, stdin, |stdout| {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    })
}

impl Case {
    /// What is not as expected.
    fn fault(self) -> Option<String> {
        let Case { name, kubectl, args, stdin, expected } = self;
        let found = once(&kubectl, args, &stdin);
        match (&found, &expected) {
            (Ok(text), Prints(words)) if text.contains(words) => None,
            (Err(error), Refused(refusal, code)) if error.is(*refusal) && error.fail().exit.code() == *code => None,
            (Err(error), LacksRight) if error.lacks_right() && error.fail().remedy.starts_with("grant") => None,
            (Ok(text), _) => Some(format!("{name}: it printed {text}")),
            (Err(error), _) => Some(format!("{name}: {:?}, {:?}: {error}", error.refusal(), error.fail().exit)),
        }
    }
}

/// A namespace with what the calls are about; it goes with the test.
struct Place {
    namespace: String,
    /// kubectl of the minor that made it.
    kubectl: Kubectl,
    files: tempfile::TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        let call = ["delete", "namespace", &self.namespace, "--wait=false"].map(String::from);
        let _ = once(&self.kubectl, call.to_vec(), "");
    }
}

/// kubectl of a path, with these arguments for access, and without retries.
fn kubectl(path: &str, namespace: &str, access: &[&str]) -> Kubectl {
    let choice = ClusterChoice {
        access: access.iter().map(ToString::to_string).collect(),
        request_timeout: Duration::from_secs(20),
        shield: Shield { caller: Some(path.into()), ..Shield::default() },
        ..ClusterChoice::default()
    };
    let mut kubectl = Kubectl::unpinned(&choice, Secrets::default(), Duration::ZERO).unwrap();
    kubectl.target.namespace = namespace.into();
    kubectl
}

fn pod(name: &str, script: &str, selector: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "nodeSelector": selector,
            "containers": [{
                "name": "c", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
            }],
        },
    })
}

impl Place {
    fn new(path: &str) -> Place {
        let namespace = format!("kubectl-minors-{}", std::process::id());
        let kubectl = kubectl(path, &namespace, &[]);
        let place = Place { namespace, kubectl, files: tempfile::tempdir().unwrap() };
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
        let group = "rbac.authorization.k8s.io";
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "reader"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "minors-reader"}]});
        let items = json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &place.namespace}},
            pod("runs", "exec sleep 86400", json!({})),
            pod("ended", "echo hello", json!({})),
            pod("waits", "exit", json!({"no": "node"})),
            role, binding,
        ]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        place.run(&["apply", "-n", &place.namespace, "-f", "-"], &list);
        let wait = |pod: &str, what: &str| {
            place.run(&["wait", "-n", &place.namespace, &format!("pod/{pod}"), what, "--timeout=180s"], "");
        };
        wait("runs", "--for=condition=Ready");
        wait("ended", "--for=jsonpath={.status.phase}=Succeeded");
        place
    }

    fn run(&self, args: &[&str], stdin: &str) -> String {
        let args = args.iter().map(ToString::to_string).collect();
        once(&self.kubectl, args, stdin).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A kubeconfig in which the users are these.
    fn config(&self, name: &str, user: Value) -> String {
        let text = self.run(&["config", "view", "--raw", "--flatten", "--minify", "-o", "json"], "");
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["users"][0]["user"] = user;
        self.file(name, &config.to_string())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.files.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// The calls with one kubectl.
struct Calls<'a> {
    place: &'a Place,
    path: &'a str,
    /// What the objects of this kubectl are called.
    own: String,
    cases: Vec<Case>,
}

impl Calls<'_> {
    fn add(&mut self, name: &str, kubectl: &Kubectl, args: Vec<String>, stdin: &str, expected: Expected) {
        let case = Case { name: name.into(), kubectl: kubectl.clone(), args, stdin: stdin.into(), expected };
        self.cases.push(case);
    }

    fn kubectl(&self, access: &[&str]) -> Kubectl {
        kubectl(self.path, &self.place.namespace, access)
    }

    fn lease(&self, more: Value) -> Value {
        let mut lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": self.own, "namespace": self.place.namespace}, "spec": {"holderIdentity": "x"}});
        for (key, value) in more.as_object().unwrap() {
            lease["metadata"][key] = value.clone();
        }
        lease
    }

    /// Calls that succeed.
    fn working(&mut self) {
        let kubectl = self.kubectl(&[]);
        let t = kubectl.target.clone();
        let own = self.own.clone();
        let mut add = |name: &str, args, stdin: &str, words| self.add(name, &kubectl, args, stdin, Prints(words));
        add("version", t.version(), "", "clientVersion");
        add("versions", t.versions(), "", "serverVersion");
        add("server version", t.server_version(), "", "gitVersion");
        add("config view", t.config_view(), "", "contexts");
        add("snapshot API", t.snapshot_kinds(""), "", "\"v1\"");
        add("get", t.get(PODS, "runs"), "", "\"runs\"");
        add("list", t.list(PODS, "!no"), "", "\"runs\"");
        add("page", t.page(PODS, Some(&t.namespace), "", &Next::small()), "", "\"runs\"");
        add("get of kinds", t.get_all(&[PODS, CLAIMS, JOBS]), "", "\"runs\"");
        add("get of kinds by label", t.trial("no=label"), "", "items");
        add("warnings", t.warnings(), "", "items");
        add("exec", t.exec("runs", "c", "cat"), "from stdin\n", "from stdin");
        add("hand over", t.hand_over("runs", "c", false, "echo \"$1\"", &["a word"]), "", "a word");
        add("stream", t.stream("runs", "c", "/proc/version", 6), "", "version");
        add("logs", t.logs("ended", "c"), "", "hello");
        add("watch", t.watch_snapshot("none", None, Duration::from_secs(1)), "", "");
        let review = json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview", "metadata": {},
            "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": t.namespace}}}]});
        add("review", t.review(), &review.to_string(), "allowed");
        add("rules", t.create(RULES_REVIEWS), &rights::rules_review(&t.namespace).to_string(), "resourceRules");
        let event = json!({"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Event",
            "metadata": {"name": own, "namespace": t.namespace}, "type": "Normal", "reason": "x", "message": "y",
            "involvedObject": {"kind": "Pod", "name": "runs", "namespace": t.namespace}}]});
        add("events", t.create_events(), &event.to_string(), "event/minors-");
        let rows = json!({"apiVersion": "x.example/v1", "kind": "Report", "rows": [{"name": "a"}, {"name": "b"}]});
        add("jsonpath", t.print("jsonpath={.items[*].name}", true), &rows.to_string(), "a b");
        let template = "go-template={{range .rows}}{{.name}};{{end}}";
        add("go-template", t.print(template, false), &rows.to_string(), "a;b;");
    }

    /// Changes, in the order of an object's life, and those that its state refuses.
    fn changes(&mut self) {
        let kubectl = self.kubectl(&[]);
        let t = kubectl.target.clone();
        let (own, lease) = (self.own.clone(), self.lease(json!({})).to_string());
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [self.lease(json!({}))]}).to_string();
        let stale = self.lease(json!({"resourceVersion": "1"})).to_string();
        let stale_list =
            json!({"apiVersion": "v1", "kind": "List", "items": [self.lease(json!({"resourceVersion": "1"}))]});
        let other = Target { namespace: "no-such-namespace".into(), ..t.clone() };
        let mut add = |name: &str, args, stdin: &str, expected| self.add(name, &kubectl, args, stdin, expected);
        add("try to create", t.try_create(LEASES), &lease, Prints("holderIdentity"));
        add("create", t.create(LEASES), &lease, Prints("holderIdentity"));
        add("create again", t.create(LEASES), &lease, Refused(AlreadyExists, 1));
        add(
            "create elsewhere",
            other.create(LEASES),
            &lease.replace(&t.namespace, &other.namespace),
            Refused(NotFound, 1),
        );
        add(
            "create with a name that is not valid",
            t.create(LEASES),
            "{\"kind\": \"Lease\", \"metadata\": {\"name\": \"!\"}}",
            Refused(Other, 1),
        );
        add("replace of no version", t.replace_one(LEASES, &own), &lease, Refused(Other, 1));
        add("replace what changed", t.replace_one(LEASES, &own), &stale, Refused(Conflict, 1));
        add("replace many that changed", t.replace(), &stale_list.to_string(), Refused(Conflict, 1));
        add("replace many", t.replace(), &list, Prints(""));
        add("get named", t.get_named(), &list, Prints("holderIdentity"));
        add("label", t.relabel(&Relabel::Give("k", "v".into())), &list, Prints("/minors-"));
        add("label otherwise", t.relabel(&Relabel::Give("k", "w".into())), &list, Refused(Other, 1));
        add("unlabel", t.relabel(&Relabel::Take(vec!["k"])), &list, Prints("/minors-"));
        add("patch", t.patch(LEASES, &own, &json!({"metadata": {"labels": {"a": "b"}}})), "", Prints("\"b\""));
        let op = json!([{"op": "test", "path": "/metadata/labels/a", "value": "b"}]);
        add("try to patch", t.try_patch(LEASES, &own, &op), "", Prints("\"b\""));
        let version = json!({"metadata": {"resourceVersion": "1", "labels": {"a": "c"}}});
        add("patch what changed", t.patch(LEASES, &own, &version), "", Refused(Conflict, 1));
        add(
            "delete another",
            t.delete(LEASES, &own),
            &delete_options(&json!({"uid": "another"})),
            Refused(Conflict, 1),
        );
        add("delete", t.delete(LEASES, &own), &delete_options(&json!({})), Prints("Success"));
        for (name, args) in [
            ("get", t.get(PODS, "none")),
            ("exec", t.exec("none", "c", "cat")),
            ("stream", t.stream("none", "c", "/f", 0)),
            ("logs", t.logs("none", "c")),
            ("patch", t.patch(PODS, "none", &json!({}))),
            ("delete", t.delete(PODS, "none")),
        ] {
            add(&format!("{name} what is not there"), args, "", Refused(NotFound, 1));
        }
        let words = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        add("get of no API", words("get --raw /apis/none.example/v1/things"), "", Refused(UnknownKind, 4));
        add("get of no kind", words("get things.none.example -o json"), "", Refused(UnknownKind, 4));
        let mut missing = t.exec("runs", "c", "x");
        let at = missing.iter().position(|word| word == "--").unwrap();
        missing.splice(at + 1.., ["no-such-program".to_string()]);
        add("exec of no program", missing, "", Refused(Other, 1));
        add("exec that fails", t.exec("runs", "c", "echo no such luck >&2; exit 3"), "", Refused(Other, 1));
        add("exec in no container", t.exec("runs", "none", "cat"), "", Refused(Other, 1));
        add("exec before the pod runs", t.exec("waits", "c", "cat"), "", Refused(Other, 1));
        add("exec after the pod ran", t.exec("ended", "c", "cat"), "", Refused(Other, 1));
    }

    /// Calls of users without rights, and of those that the API does not know.
    fn as_others(&mut self) {
        let stranger = self.kubectl(&["--as=minors-stranger"]);
        let t = stranger.target.clone();
        let lease = self.lease(json!({})).to_string();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [pod("runs", "x", json!({}))]});
        let list = list.to_string().replace("\"runs\"", &format!("\"runs\",\"namespace\":\"{}\"", t.namespace));
        for (name, args, stdin) in [
            ("get", t.get(PODS, "runs"), ""),
            ("page", t.page(SNAPSHOTS, None, "", &Next::small()), ""),
            ("get of kinds", t.get_all(&[PODS, CLAIMS]), ""),
            ("get named", t.get_named(), &list),
            ("create", t.create(LEASES), &lease),
            ("try to create", t.try_create(LEASES), &lease),
            ("replace", t.replace_one(LEASES, "x"), &lease),
            ("label", t.relabel(&Relabel::Give("k", "v".into())), &list),
            ("unlabel", t.relabel(&Relabel::Take(vec!["k"])), &list),
            ("patch", t.patch(PODS, "runs", &json!({})), ""),
            ("try to patch", t.try_patch(PODS, "runs", &json!({})), ""),
            ("delete", t.delete(PODS, "runs"), "{}"),
            ("watch", t.watch_snapshot("x", None, Duration::from_secs(5)), ""),
            ("exec", t.exec("runs", "c", "cat"), ""),
            ("logs", t.logs("ended", "c"), ""),
        ] {
            self.add(&format!("{name} without rights"), &stranger, args, stdin, LacksRight);
        }
        // Who may get pods is refused by the exec itself, in other words.
        let reader = self.kubectl(&["--as=minors-reader"]);
        let t = reader.target.clone();
        for (name, args) in [
            ("exec", t.exec("runs", "c", "cat")),
            ("stream", t.stream("runs", "c", "/f", 0)),
            ("hand over", t.hand_over("runs", "c", false, "cat", &[])),
            ("logs", t.logs("ended", "c")),
        ] {
            self.add(&format!("{name} of a reader"), &reader, args, "", LacksRight);
        }
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin", "interactiveMode": "Never"});
        for (name, user) in [("token", json!({"token": "wrong"})), ("plugin", json!({"exec": exec}))] {
            let config = self.place.config(&format!("{}-{name}", self.own), user);
            let mut unknown = self.kubectl(&[]);
            unknown.target.kubeconfig = Some(config);
            let t = &unknown.target;
            for (call, args) in [
                ("get", t.get(PODS, "x")),
                ("get of kinds", t.get_all(&[PODS, CLAIMS])),
                ("exec", t.exec("runs", "c", "cat")),
            ] {
                self.add(&format!("{call} with a wrong {name}"), &unknown, args, "", Refused(Unauthenticated, 4));
            }
        }
    }

    /// Calls that reach no API.
    fn nowhere(&mut self) {
        let (mut context, mut config) = (self.kubectl(&[]), self.kubectl(&[]));
        context.target.context = Some("no-such-context".into());
        config.target.kubeconfig = Some(self.place.file(&format!("{}-garbage", self.own), "a: [b\n\tc"));
        // A port that nothing listens at.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let away = self.kubectl(&[&format!("--server=https://127.0.0.1:{port}")]);
        for (name, kubectl, refusal, code) in [
            ("no context", context, NoContext, 4),
            ("no kubeconfig", config, NoContext, 4),
            ("no server", away, Transient, 1),
        ] {
            let t = &kubectl.target;
            for (call, args) in [
                ("get", t.get(PODS, "x")),
                ("get of kinds", t.get_all(&[PODS, CLAIMS])),
                ("exec", t.exec("runs", "c", "cat")),
            ] {
                self.add(&format!("{call} with {name}"), &kubectl, args, "", Refused(refusal, code));
            }
        }
    }

    /// Calls of a server whose address has a path.
    fn below_a_path(&mut self, servers: &Servers) {
        let port = servers.0.last().unwrap();
        let mut kubectl = self.kubectl(&[&format!("--server=http://127.0.0.1:{port}/pre/")]);
        let version = once(&kubectl, kubectl.target.version(), "").unwrap();
        let target = Target { server_path: "/pre".into(), ..kubectl.target.clone() };
        kubectl.target = target.for_version(&serde_json::from_str(&version).unwrap()).unwrap();
        let t = kubectl.target.clone();
        self.add("list below a path", &kubectl, t.list(PODS, ""), "", Prints("items"));
        self.add("create below a path", &kubectl, t.create(LEASES), "{}", Prints("items"));
        self.add("delete below a path", &kubectl, t.delete(LEASES, "x"), "{}", Prints("items"));
    }

    /// Calls of servers that answer each with one status.
    fn statuses(&mut self, servers: &Servers) {
        for (server, (code, refusal, exit)) in servers.0.iter().zip(STATUSES) {
            let kubectl = self.kubectl(&[&format!("--server=http://127.0.0.1:{server}")]);
            let t = kubectl.target.clone();
            self.add(&format!("get {code}"), &kubectl, t.list(PODS, ""), "", Refused(refusal, exit));
            self.add(&format!("create {code}"), &kubectl, t.create(LEASES), "{}", Refused(refusal, exit));
            // An exec is neither a list nor a change.
            if ![409, 410].contains(&code) {
                self.add(&format!("exec {code}"), &kubectl, t.exec("runs", "c", "cat"), "", Refused(refusal, exit));
            }
        }
    }
}

/// Answers a request below `/pre` with an empty list, and any other as a server that is not the one.
fn answer_below(stream: &mut TcpStream) -> io::Result<()> {
    let path = read_request(stream)?;
    let (line, body) = match path.starts_with("/pre/api") {
        true => ("200 OK", json!({"apiVersion": "v1", "kind": "List", "items": []})),
        false => ("404 Not Found", json!({})),
    };
    respond(stream, line, &body)
}

/// What kind of refusal each status of the API is, and its exit code.
const STATUSES: [(u16, Refusal, u8); 8] = [
    (401, Unauthenticated, 4),
    (403, Forbidden, 4),
    (409, Conflict, 1),
    (410, ListTokenExpired, 1),
    (429, Transient, 1),
    (500, Transient, 1),
    (503, Transient, 1),
    (504, Transient, 1),
];

/// Reads a request; its path.
fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut until = |end: &[u8]| -> io::Result<String> {
        let (mut text, mut byte) = (Vec::new(), [0]);
        while !text.ends_with(end) && stream.read(&mut byte)? > 0 {
            text.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    let head = until(b"\r\n\r\n")?;
    // A client that cannot write all of its request does not read the answer.
    if head.contains("chunked") {
        until(b"0\r\n\r\n")?;
    }
    Ok(head.split(' ').nth(1).unwrap_or_default().into())
}

fn respond(stream: &mut TcpStream, line: &str, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {line}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// Answers a request with this status, but for one of a pod.
fn refuse(stream: &mut TcpStream, code: u16) -> io::Result<()> {
    let path = read_request(stream)?;
    let body = if path.ends_with("/pods/runs") {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runs"}, "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Running"}})
    } else {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "pods is forbidden: User \"x\" cannot do that"),
            409 => ("Conflict", "Operation cannot be fulfilled: the object has been modified"),
            410 => ("Expired", "The provided continue parameter is too old"),
            429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
            500 => ("InternalError", "Internal error occurred: it broke"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("NotFound", "the server could not find the requested resource"),
        };
        json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "reason": reason, "message": message,
            "code": code})
    };
    let line = if body["kind"] == "Pod" { "200 OK".to_string() } else { format!("{code} x") };
    respond(stream, &line, &body)
}

/// The ports of servers: one for each of [`STATUSES`], and last one that is only below a path.
struct Servers(Vec<u16>);

impl Servers {
    fn start() -> Servers {
        fn serve(answer: impl Fn(&mut TcpStream) -> io::Result<()> + Clone + Send + 'static) -> u16 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let answer = answer.clone();
                    thread::spawn(move || stream.and_then(|mut stream| answer(&mut stream)));
                }
            });
            port
        }
        let refusing = STATUSES.into_iter().map(|(code, ..)| serve(move |stream| refuse(stream, code)));
        Servers(refusing.chain([serve(answer_below)]).collect())
    }
}

/// The kubectl that can be had here, by their minors. Those that cannot are named in `target/left-out.txt`, which
/// tests/bin/slow.sh prints at its end.
fn minors() -> Vec<(String, PathBuf)> {
    let secrets = Secrets::default();
    let job = Job { program: "tests/bin/kubectls.sh", args: Vec::new(), environment: &[], secrets: &secrets };
    let mut running = job.start().unwrap();
    let mut stdout = running.stdout.take().unwrap();
    let ended = running.wait(Duration::from_secs(900));
    let mut directory = String::new();
    stdout.read_to_string(&mut directory).unwrap();
    let wanted = fs::read_to_string("tests/tools/kubectl.txt").unwrap();
    let wanted: Vec<&str> =
        wanted.lines().filter_map(|line| line.split(' ').next().filter(|word| word.starts_with("1."))).collect();
    assert!(wanted.len() > 10, "{wanted:?}");
    let path = |minor: &&str| (minor.to_string(), PathBuf::from(directory.trim()).join(format!("kubectl-{minor}")));
    let (there, missing): (Vec<_>, Vec<_>) = wanted.iter().map(path).partition(|(_, path)| path.is_file());
    assert_eq!(ended.is_ok(), missing.is_empty(), "{}", running.said());
    if !missing.is_empty() {
        fs::create_dir_all("target").unwrap();
        let mut file = fs::OpenOptions::new().create(true).append(true).open("target/left-out.txt").unwrap();
        let names: Vec<&str> = missing.iter().map(|(minor, _)| minor.as_str()).collect();
        writeln!(file, "kubectl_minors, with kubectl {}: {}", names.join(", "), running.said().replace('\n', " "))
            .unwrap();
    }
    there
}

#[test]
#[ignore = "needs a cluster: make test"]
fn each_minor_of_kubectl_is_understood() {
    let minors = minors();
    let Some((_, newest)) = minors.last() else { return };
    let (place, server) = (Place::new(&newest.display().to_string()), Servers::start());
    let faults = |(minor, path): &(String, PathBuf)| {
        let own = format!("minors-{}", minor.replace('.', "-"));
        let mut calls = Calls { place: &place, path: &path.display().to_string(), own, cases: Vec::new() };
        calls.working();
        calls.changes();
        calls.as_others();
        calls.nowhere();
        calls.statuses(&server);
        calls.below_a_path(&server);
        assert!(calls.cases.len() > 100, "{}", calls.cases.len());
        let faults = calls.cases.into_iter().filter_map(Case::fault);
        faults.map(|fault| format!("{minor}: {fault}\n")).collect::<String>()
    };
    // Most of the time each of them waits for the API.
    let some = |minors: &[(String, PathBuf)]| {
        thread::scope(|scope| {
            let running: Vec<_> = minors.iter().map(|minor| scope.spawn(|| faults(minor))).collect();
            running.into_iter().map(|running| running.join().unwrap()).collect::<String>()
        })
    };
    let faults: String = minors.chunks(4).map(some).collect();
    assert!(faults.is_empty(), "{faults}");
}
