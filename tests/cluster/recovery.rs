//! The runbook, docs/recovery.md, run from top to bottom as it is written.

use std::process::{Command, Stdio};

use crate::import::{Far, PASSWORD, has_images};
use crate::kit::*;

/// What the runbook's hidden steps may use: the database's rows, statements, the workload without its claim, the contents of
/// the namespace that are backups, and those that tell nothing of themselves.
const HELPERS: &str = r#"
psql() { kubectl -n "$1" exec -i deploy/app-base -c postgres -- sh -c 'PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -XAtq -v ON_ERROR_STOP=1'; }
sql() { printf '%s' "$1" | psql shop; }
rows() { printf %s "SELECT count(*), md5(string_agg(c::text, '|' ORDER BY id)) FROM customers c; SELECT count(*), sum(cents) FROM orders" | psql "${1:-shop}"; }
deploy() {
  kubectl -n "$1" apply -f "$demo"
  kubectl -n "$1" rollout status deployment/app-base --timeout=180s
}
types() {
  kubectl get volumesnapshotcontents --sort-by=.status.creationTime \
    -o jsonpath='{range .items[?(@.spec.volumeSnapshotRef.namespace=="shop")]}{.metadata.name}{" "}{.metadata.labels.backup-ns\.sh/type}{"\n"}{end}'
}
contents() { types | sed -n 's/ adhoc$//p'; }
untold() { types | sed -n 's/ $//p'; }
"#;

/// The runbook as one script: its visible blocks and its hidden steps, each announced by its line.
fn script(runbook: &str) -> String {
    let (mut script, mut inside) = (String::new(), false);
    for (number, line) in runbook.lines().enumerate() {
        match line {
            "```sh" | "<!-- sh" => {
                script.push_str(&format!("echo '== line {}' >&2\n", number + 1));
                inside = true;
            }
            "```" | "-->" => inside = false,
            _ if inside => script.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    script
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_runbook_works_as_it_is_written() {
    let mut runbook = std::fs::read_to_string(root().join("docs/recovery.md")).unwrap();
    let far = has_images().then(|| Far::new("runbook"));
    if far.is_none() {
        let (before, rest) = runbook.split_once("\n## The cluster is gone\n").unwrap();
        runbook = format!("{before}\n## {}", rest.split_once("\n## ").unwrap().1);
    }
    let tenant = Tenant::demo("runbook");
    let staging = Tenant { namespace: format!("{}-staging", tenant.namespace) };
    let scratch = tempfile::tempdir().unwrap();
    let script = format!("set -eu\n{HELPERS}\n{}", script(&runbook));
    // Namespaces of its own, whatever the cluster has; file names keep theirs.
    let script = script.replace("shop.sql.gz", "download.sql.gz").replace("shop", &tenant.namespace);
    let script = script.replace("staging", &staging.namespace).replace("restic/restic:0.18.1", "restic/restic:0.14.0");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg("-c").arg(&script).current_dir(scratch.path()).env("PATH", path);
    command.env("scratch", scratch.path()).env("demo", root().join("kind/demo/postgres.yaml"));
    command.env("repository", far.as_ref().map_or("", |far| &far.repository)).env("password", PASSWORD);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(40).collect();
    assert!(output.status.success(), "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert_eq!(said.matches("== line").count(), runbook.matches("```sh").count() + runbook.matches("<!-- sh").count());
}

/// The section of the runbook for a cluster that is gone, with a cluster that is really taken away, and another one made. It is run
/// by tests/bin/cluster-away.sh, after all others, because nothing that they loaded into the cluster is left.
#[test]
#[ignore = "takes the cluster away: make test"]
fn a_lost_cluster_comes_back_from_its_repository_as_the_runbook_says() {
    alone();
    if !is_local() || !has_image("restic/restic:0.14.0") {
        return;
    }
    let runbook = std::fs::read_to_string(root().join("docs/recovery.md")).unwrap();
    let section = runbook.split("\n## The cluster is gone\n").nth(1).unwrap().split("\n## ").next().unwrap();
    // The repository is on this machine, and outlives the cluster. Pods reach it at their bridge, which comes with the first of them.
    let scratch = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port();
    let mut serve = Command::new("rclone");
    serve.args(["serve", "restic", "--addr", &format!(":{port}")]).arg(scratch.path().join("far"));
    let _server = Server(serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the server answers", 30, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let repository = |host: &str| format!("rest:http://{host}:{port}/shop");
    let prelude = r#"
password_of_reader() { sql "SELECT rolpassword, has_table_privilege('reader', 'customers', 'SELECT') FROM pg_authid WHERE rolname = 'reader'"; }
RESTIC_PASSWORD=$password restic -r "$here" init -q
kubectl create namespace shop
deploy shop
sql "CREATE ROLE reader LOGIN PASSWORD 'kept'; GRANT SELECT ON customers TO reader"
reader=$(password_of_reader)
"#;
    let away = r#""$cluster" down && "$cluster" up && "$cluster" image restic/restic:0.14.0"#;
    let steps = script(section).replace("kubectl delete namespace shop", away);
    assert!(steps.contains(away), "{steps}");
    let script = format!("set -eu\n{HELPERS}\n{prelude}\n{steps}\ntest \"$(password_of_reader)\" = \"$reader\"");
    let script = script.replace("restic/restic:0.18.1", "restic/restic:0.14.0");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg("-c").arg(&script).current_dir(scratch.path()).env("PATH", path);
    command.env("demo", root().join("kind/demo/postgres.yaml")).env("cluster", root().join("kind/cluster.sh"));
    command.env("repository", repository("10.244.0.1")).env("here", repository("127.0.0.1")).env("password", PASSWORD);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(40).collect();
    assert!(output.status.success(), "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

/// A server that ends with the test.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
