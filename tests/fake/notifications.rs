//! Notifications and pings: sent beside and after a command to real HTTP servers, of which one speaks TLS.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::*;

/// A request as it came: its first line, its head and its body.
#[derive(Debug, Clone)]
struct Came {
    line: String,
    head: String,
    body: String,
}

/// An HTTP server that gives these answers, one for each connection, and then 200. An empty answer leaves the client waiting.
struct Server {
    port: u16,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    fn answering(answers: &[&'static str]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(Mutex::new(Vec::new()));
        let (log, answers) = (Arc::clone(&came), answers.to_vec());
        thread::spawn(move || {
            let mut waiting = Vec::new();
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let request = read(&stream);
                log.lock().unwrap().push(request);
                match answers.get(number).copied().unwrap_or("200 OK") {
                    "" => waiting.push(stream),
                    answer => {
                        write!(&stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap()
                    }
                }
            }
        });
        Server { port, came }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }

    /// The first lines of the requests.
    fn lines(&self) -> Vec<String> {
        self.came().into_iter().map(|it| it.line).collect()
    }

    fn body(&self, number: usize) -> Value {
        serde_json::from_str(&self.came()[number].body).unwrap()
    }
}

fn read(stream: &TcpStream) -> Came {
    let mut reader = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    reader.read_line(&mut line).unwrap();
    loop {
        let mut next = String::new();
        reader.read_line(&mut next).unwrap();
        if next.trim().is_empty() {
            break;
        }
        head.push_str(&next.to_lowercase());
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Came { line: line.trim().to_string(), head, body: String::from_utf8(body).unwrap() }
}

#[test]
fn a_good_backup_is_posted_with_its_result_and_pinged() {
    let (hook, check) = (Server::answering(&[]), Server::answering(&[]));
    let scenario = Scenario::new()
        .env("BAK_NAMESPACE", "shop")
        .env("BAK_NOTIFY_URL", &hook.url("/T0/secret-path"))
        .env("BAK_NOTIFY_ON", "both")
        .env("BAK_NOTIFY_HEADERS", "Authorization: Bearer secret-token\nX-Team: shop\n")
        .env("BAK_PING_URL", &check.url("/secret-uuid"))
        .arg("-v");
    let said = ["a notification was sent to http://127.0.0.1", "a ping was sent to http://127.0.0.1"];
    let outcome = scenario.run().exits(0).clean().holds_new().says(&said);
    assert!(!format!("{}{}", outcome.stdout, outcome.stderr).contains("secret"), "{outcome}");
    assert_eq!(hook.lines(), ["POST /T0/secret-path HTTP/1.1"]);
    let came = &hook.came()[0];
    for header in ["authorization: bearer secret-token\r\n", "x-team: shop\r\n", "content-type: application/json\r\n"] {
        assert!(came.head.contains(header), "{}", came.head);
    }
    let body = hook.body(0);
    let of = |keys: &[&str]| keys.iter().map(|key| body[key].clone()).collect::<Vec<_>>();
    assert_eq!(
        of(&["command", "namespace", "outcome", "exitCode", "remedy", "version"]),
        [json!("create"), json!("shop"), json!("success"), json!(0), json!(""), json!(env!("CARGO_PKG_VERSION"))]
    );
    let name = scenario.snapshots()[0]["metadata"]["name"].as_str().unwrap().to_string();
    assert_eq!(body["report"]["volumeSnapshot"], json!(name));
    assert!(body["message"].as_str().unwrap().starts_with(&format!("VolumeSnapshot {name} is ready after ")), "{body}");
    assert_eq!(check.lines(), ["GET /secret-uuid/start HTTP/1.1", "POST /secret-uuid HTTP/1.1"]);
    assert!(check.came()[1].body.starts_with("backup-ns create in shop succeeded: VolumeSnapshot "));
}

#[test]
fn a_failure_is_posted_with_its_remedy_and_pinged_as_one() {
    let (hook, check) = (Server::answering(&[]), Server::answering(&[]));
    let scenario = Scenario::new()
        .tool("pg_dump", "case $1 in --version) exec \"$REAL/pg_dump\" \"$@\" ;; esac; exit 1")
        .env("BAK_NAMESPACE", "shop")
        .env("BAK_NOTIFY_URL", &hook.url("/"))
        .env("BAK_NOTIFY_FORMAT", "slack")
        .env("BAK_PING_URL", &check.url("/u?create=1"));
    scenario.run().exits(6).clean().keeps_old();
    let text = hook.body(0)["text"].as_str().unwrap().to_string();
    assert!(
        text.starts_with("backup-ns create in shop FAILED (exit code 6): ") && text.contains("\nremedy: "),
        "{text}"
    );
    assert_eq!(check.lines(), ["GET /u/start?create=1 HTTP/1.1", "POST /u/fail?create=1 HTTP/1.1"]);
}

#[test]
fn only_the_wanted_outcomes_are_posted_and_a_dry_run_sends_nothing() {
    for (on, dry_run, code, number) in [
        ("failure", false, 0, 0),
        ("success", false, 0, 1),
        ("both", true, 0, 0),
        ("failure", false, 2, 1),
        ("success", false, 2, 0),
    ] {
        let hook = Server::answering(&[]);
        let mut scenario = Scenario::new().env("BAK_NOTIFY_URL", &hook.url("/")).env("BAK_NOTIFY_ON", on);
        if dry_run {
            scenario = scenario.arg("--dry-run").env("BAK_PING_URL", &hook.url("/"));
        }
        if code == 2 {
            // A wrong setting of the backup is a failure that is posted, too.
            scenario = scenario.env("BAK_DUMP_TIMEOUT", "soon");
        }
        scenario.run().exits(code);
        assert_eq!(hook.lines().len(), number, "{on} {code}");
    }
}

#[test]
fn what_does_not_answer_or_refuses_fails_no_backup() {
    const REDIRECT: &str = "302 Found\r\nLocation: http://127.0.0.1:1/elsewhere";
    let cases: [(&[&str], usize, &[&str]); 6] = [
        (&["503 Busy", "500 No"], 3, &[]),
        (
            &["503 Busy", "429 Slow", "503 Busy"],
            3,
            &["no notification was sent to http://127.0.0.1", "it answered 503"],
        ),
        (&["404 No"], 1, &["it answered 404"]),
        (&[REDIRECT], 1, &["it answered 302, a redirect, which is not followed: set the address that it leads to"]),
        (&["nonsense"], 1, &["no notification was sent to"]),
        (&["", "", ""], 2, &["no notification was sent within 20 s"]),
    ];
    each(&cases, |(answers, number, said)| {
        let hook = Server::answering(answers);
        let scenario = Scenario::new().env("BAK_NOTIFY_URL", &hook.url("/")).env("BAK_NOTIFY_ON", "both");
        let outcome = scenario.run().exits(0).clean().holds_new().says(said);
        assert!(hook.lines().len() >= *number, "{answers:?}: {:?}, {outcome}", hook.lines());
        assert_eq!(outcome.stderr.contains("no notification"), !said.is_empty(), "{outcome}");
    });
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let scenario = Scenario::new().env("BAK_PING_URL", &format!("http://127.0.0.1:{closed}/x"));
    scenario.run().exits(0).holds_new().says(&["no ping was sent to http://127.0.0.1", "Connection refused"]);
}

#[test]
fn a_backup_that_is_ended_says_so() {
    let (hook, check) = (Server::answering(&[]), Server::answering(&[]));
    let scenario = Scenario::new().held().env("BAK_NOTIFY_URL", &hook.url("/")).env("BAK_PING_URL", &check.url("/u"));
    scenario.start().until("dumping").signal("TERM").finish().exits(143).clean().keeps_old();
    assert_eq!((&hook.body(0)["outcome"], &hook.body(0)["exitCode"]), (&json!("failure"), &json!(143)));
    assert_eq!(check.lines(), ["GET /u/start HTTP/1.1", "POST /u/fail HTTP/1.1"]);
}

#[test]
fn an_address_is_no_flag_and_is_never_shown() {
    let secret = "https://hooks.example.com/secret";
    for (flag, var) in
        [("notify-url", "BAK_NOTIFY_URL"), ("ping-url", "BAK_PING_URL"), ("notify-headers", "BAK_NOTIFY_HEADERS")]
    {
        let scenario = Scenario::new().arg(&format!("--{flag}={secret}"));
        let said = format!("{var} (--{flag}) is a flag; accepted: the environment variable");
        let outcome = scenario.run().exits(2).calls("").says(&[&said]);
        assert!(!outcome.stderr.contains("secret"), "{outcome}");
        let scenario = Scenario::new().env(var, "no secret");
        scenario.run().exits(2).calls("").says(&[&format!("{var} is '****'; accepted: ")]);
    }
    let scenario = Scenario::new().args(&["env"]).env("BAK_NOTIFY_URL", secret).env("BAK_PING_URL", secret);
    let shown = scenario.run().exits(0).prints(&["BAK_PING_URL", "****"]);
    assert!(!shown.stdout.contains("secret"), "{shown}");
}

#[test]
fn pruning_and_verifying_report_likewise() {
    for command in ["retain", "mark-and-delete"] {
        let hook = Server::answering(&[]);
        let scenario = Scenario::cluster(&[command]).env("BAK_NOTIFY_URL", &hook.url("/")).env("BAK_NOTIFY_ON", "both");
        scenario.run().exits(0);
        let body = hook.body(0);
        assert_eq!((&body["command"], &body["report"]["summary"]["failed"]), (&json!(command), &json!(0)), "{body}");
        assert!(body["message"].as_str().unwrap().contains(" read, 0 changed, 0 left, 0 failed"), "{body}");
    }
}

/// nginx with a certificate of a CA of its own. It logs each request as a line of JSON.
struct Nginx {
    server: Child,
    port: u16,
}

impl Nginx {
    fn start(scenario: &Scenario) -> Nginx {
        let dir = scenario.dir();
        let run = |words: &[&str]| {
            let outcome = Command::new(words[0]).args(&words[1..]).current_dir(dir).output().unwrap();
            assert!(outcome.status.success(), "{words:?}: {}", String::from_utf8_lossy(&outcome.stderr));
        };
        fs::write(dir.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        let subject =
            |name: &'static str| ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", name];
        run(&[
            &["openssl", "req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"],
            &subject("/CN=test CA")[..],
        ]
        .concat());
        run(&[&["openssl", "req", "-keyout", "key.pem", "-out", "request.pem"], &subject("/CN=localhost")[..]].concat());
        run(&[
            "openssl",
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            "cert.pem",
            "-days",
            "2",
            "-extfile",
            "names",
        ]);
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (port, behind) = (free(), free());
        let at = dir.display();
        let config = format!(
            "daemon off; pid {at}/nginx.pid; error_log {at}/nginx.err;\nevents {{}}\nhttp {{\n\
             log_format came escape=json '{{\"line\":\"$request\",\"body\":\"$request_body\",\"by\":\"$http_authorization\"}}';\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
             access_log off;\n\
             server {{ listen 127.0.0.1:{behind}; location / {{ return 204; }} }}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;\n\
             access_log {at}/came.log came; location / {{ proxy_pass http://127.0.0.1:{behind}; }} }}\n}}\n"
        );
        fs::write(dir.join("nginx.conf"), config).unwrap();
        let server = Command::new("nginx").arg("-c").arg(dir.join("nginx.conf")).stderr(Stdio::null()).spawn().unwrap();
        poll("nginx answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Nginx { server, port }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_server_with_tls_gets_it_only_if_its_certificate_is_trusted() {
    let scenario = Scenario::new();
    let nginx = Nginx::start(&scenario);
    let url = format!("https://localhost:{}", nginx.port);
    let ca = scenario.dir().join("ca.pem");
    let scenario = scenario
        .env("BAK_NOTIFY_URL", &format!("{url}/hook"))
        .env("BAK_NOTIFY_ON", "both")
        .env("BAK_NOTIFY_HEADERS", "Authorization: Bearer t")
        .env("BAK_PING_URL", &format!("{url}/check"));
    scenario.run().exits(0).says(&[
        &format!("no notification was sent to {url}"),
        &format!("no ping was sent to {url}"),
        "certificate",
    ]);
    assert!(scenario.lines("came.log").is_empty());
    let scenario = scenario.env("SSL_CERT_FILE", ca.to_str().unwrap());
    let outcome = scenario.run().exits(0);
    assert!(!outcome.stderr.contains("was sent to"), "{outcome}");
    let came: Vec<Value> = scenario.lines("came.log").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |start: &str| came.iter().filter(|it| it["line"].as_str().unwrap().starts_with(start)).count();
    assert_eq!(
        [line("GET /check/start "), line("POST /check "), line("POST /hook "), came.len()],
        [1, 1, 1, 3],
        "{came:?}"
    );
    let post = came.iter().find(|it| it["line"] == "POST /hook HTTP/1.1").unwrap();
    assert_eq!(post["by"], "Bearer t");
    let body: Value = serde_json::from_str(post["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["outcome"], "success", "{body}");
}
