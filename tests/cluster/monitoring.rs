//! What the chart ships for monitoring, read by those that it is for: Prometheus scrapes the status Deployment by the
//! configuration of docs/monitoring.md and evaluates the rules, Alertmanager gets the alerts, the dashboard's queries are
//! asked, and kube-state-metrics runs with the configuration and the rights that the chart names for it. All of them run on
//! this machine, in a temporary directory.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::kit::*;

const DOCUMENT: &str = include_str!("../../docs/monitoring.md");
const DASHBOARD: &str = include_str!("../../charts/backup-ns/files/dashboard.json");
const STATE_METRICS: &str = include_str!("../../charts/backup-ns/files/kube-state-metrics.yaml");

/// A process of this test. It ends with the test.
struct Process(Child);

impl Process {
    /// Its output goes to a file beside its data.
    fn start(command: &mut Command, log: &Path) -> Process {
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Process(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// ClusterRoles and ClusterRoleBindings of these names go with the test.
struct Rights(Vec<String>);

impl Drop for Rights {
    fn drop(&mut self) {
        let mut args = vec!["delete", "clusterrole,clusterrolebinding", "--ignore-not-found", "--wait=false"];
        args.extend(self.0.iter().map(String::as_str));
        kubectl_with(&args, "");
    }
}

/// Where the programs write. If the test fails, the ends of their logs are printed.
struct Directory(tempfile::TempDir);

impl Drop for Directory {
    fn drop(&mut self) {
        for file in std::fs::read_dir(self.0.path()).unwrap().flatten().filter(|_| std::thread::panicking()) {
            if file.path().extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read_to_string(file.path()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                eprintln!("{}:\n{}", file.path().display(), lines[lines.len().saturating_sub(20)..].join("\n"));
            }
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Asks a server of this machine; nothing if it does not answer.
fn ask(port: u16, path: &str, parameters: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail-with-body", "--get", "--max-time", "20"]);
    for (name, value) in parameters {
        command.args(["--data-urlencode", &format!("{name}={value}")]);
    }
    let output = command.arg(format!("http://127.0.0.1:{port}{path}")).output().unwrap();
    (!output.stdout.is_empty()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ask_json(port: u16, path: &str, parameters: &[(&str, &str)]) -> Option<Value> {
    serde_json::from_str(&ask(port, path, parameters)?).ok()
}

/// The text of the document's block of this kind that has this word.
fn block(kind: &str, word: &str) -> &'static str {
    let blocks = DOCUMENT.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let mut blocks = blocks.filter(|block| block.0 == kind).map(|block| block.1.trim_end());
    blocks.find(|block| block.contains(word)).unwrap_or_else(|| panic!("docs/monitoring.md has no {kind} with {word}"))
}

/// A Prometheus that answers.
struct Prometheus(u16);

impl Prometheus {
    /// The series that a query returns now: their labels and their values.
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = ask_json(self.0, "/api/v1/query", &[("query", query)]).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap().iter();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        series.map(|series| (series["metric"].clone(), value(series))).collect()
    }

    /// The one value that a query returns.
    fn value(&self, query: &str) -> f64 {
        let [(_, value)] = self.query(query)[..] else { panic!("{query}: {:?}", self.query(query)) };
        value
    }

    /// The series of the last minutes, as a graph asks for them.
    fn range(&self, query: &str) -> usize {
        let (start, end) = ((now() - 300).to_string(), now().to_string());
        let parameters = [("query", query), ("start", &start), ("end", &end), ("step", "5")];
        let answer = ask_json(self.0, "/api/v1/query_range", &parameters).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().len()
    }
}

/// An alert that must fire, by its labels; those of the cluster have no namespace, those of a namespace no claim.
fn alert(name: &str, severity: &str, namespace: &str, pvc: &str) -> Value {
    let mut labels = json!({"alertname": name, "severity": severity});
    for (label, value) in [("namespace", namespace), ("pvc", pvc)] {
        if !value.is_empty() {
            labels[label] = json!(value);
        }
    }
    labels
}

fn series(name: &str, labels: &Value) -> String {
    let labels = labels.as_object().unwrap().iter();
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// What a Prometheus would know that had scraped these metrics for nine days until 20 minutes ago, and in which these alerts
/// began to wait three days ago, in OpenMetrics' text format. The rules speak of days, and `for` goes on where it was when
/// Prometheus restarts. What is older than 15 minutes no rule takes for what is now.
fn history(metrics: &str, alerts: &[Value]) -> String {
    let (now, hour, last) = (now(), 3600, 20 * 60);
    let days_ago = [8 * 24 * hour + hour / 2, 26 * hour, last].map(|ago| now - ago);
    let mut text = String::new();
    for line in metrics.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(family) => text.push_str(&format!("# TYPE {family}\n")),
            // What was read at that time did not say that it was read now.
            None if line.starts_with('#') || line.starts_with("backup_ns_status_timestamp") => {}
            None => days_ago.iter().for_each(|at| text.push_str(&format!("{line} {at}\n"))),
        }
    }
    text.push_str("# TYPE ALERTS_FOR_STATE gauge\n");
    for labels in alerts {
        text.push_str(&format!("{} {} {}\n", series("ALERTS_FOR_STATE", labels), now - 72 * hour, now - last));
    }
    text + "# EOF\n"
}

/// A namespace with a claim that has a proven, tested and exported backup, which is 30 hours old, and an attempt after it that
/// failed; one that is gone, and has no copy outside the cluster although a CronJob exports it, one whose CronJob is suspended, a snapshot that should be deleted, and stored data without one.
struct Scene {
    tenant: Tenant,
    good: String,
    failed: String,
    orphan: String,
}

const THIRTY_HOURS: u64 = 30 * 3600;

impl Scene {
    fn new() -> Scene {
        let tenant = Tenant::small("monitoring", 256, |_| ());
        for (name, command, claims, suspended) in [
            ("backup", "create", "data,gone", false),
            ("asleep", "create", "asleep", true),
            ("copy", "export", "data", false),
            ("copy-gone", "export", "gone", false),
        ] {
            cronjob(&tenant, name, &[command], |cronjob| {
                // On a day that does not come.
                cronjob["spec"]["schedule"] = json!("0 0 31 2 *");
                cronjob["spec"]["suspend"] = json!(suspended);
                let container = &mut cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
                container["env"] = json!([{"name": "BAK_PVC_NAME", "value": claims}]);
            });
        }
        let lost = tenant.create(&["--db-skip"]).done();
        lost.assert(0, &[]);
        let lost: Value = serde_json::from_str(&lost.stdout).unwrap();
        let lost = lost["volumeSnapshot"].as_str().unwrap();
        let orphan = tenant.content(lost);
        tenant.kubectl(&["delete", "volumesnapshot", lost]);
        tenant.snapshot("overdue", &json!({"backup-ns.sh/delete-after": "2026-01-31"}));
        let good = tenant.backup(&["--label-vs-retain=daily_weekly_monthly"]);
        let good = good["volumeSnapshot"].as_str().unwrap().to_string();
        tenant.run(&["verify", &good], |_| ()).done().assert(0, &[]);
        let record = json!({
            "tool": "restic", "what": "dump", "repository": "r", "manifest": "m", "bytes": 1, "files": 1, "seconds": 1,
            "at": "2026-11-22T03:00:00Z",
        });
        let (labels, annotations) =
            (json!({"backup-ns.sh/exported": "2026-11-22"}), json!({"backup-ns.sh/export": record.to_string()}));
        let stamp = json!({"metadata": {"labels": labels, "annotations": annotations}}).to_string();
        tenant.kubectl(&["patch", "volumesnapshot", &good, "--type=merge", "-p", &stamp]);
        for snapshot in ["overdue", &good] {
            let cut = format!("@{}", now() - THIRTY_HOURS);
            let cut = Command::new("date").args(["--utc", "--date", &cut, "+%FT%TZ"]).output().unwrap();
            let cut = String::from_utf8(cut.stdout).unwrap();
            let patch = json!({"status": {"creationTime": cut.trim()}}).to_string();
            tenant.kubectl(&[
                "patch",
                "volumesnapshot",
                snapshot,
                "--subresource=status",
                "--type=merge",
                "-p",
                &patch,
            ]);
        }
        let failing = Class::new("unread", &json!({"fail": "the array is on fire"}));
        let class = format!("--vs-class-name={}", failing.0);
        tenant.create(&["--db-skip", &class, "--vs-wait-until-ready-timeout=3s"]).done().assert(7, &[]);
        let known = ["overdue".to_string(), good.clone()];
        let failed = tenant.snapshots().into_iter().find(|name| !known.contains(name)).unwrap();
        Scene { tenant, good, failed, orphan }
    }

    /// The alerts that this raises.
    fn alerts(&self) -> Vec<Value> {
        let here = |name, severity, pvc| alert(name, severity, &self.tenant.namespace, pvc);
        vec![
            here("BackupNsClaimMissing", "critical", "gone"),
            here("BackupNsLastAttemptFailed", "warning", "data"),
            here("BackupNsNeverExported", "warning", "gone"),
            here("BackupNsNoSnapshot", "critical", "gone"),
            here("BackupNsSnapshotTooOld", "critical", "data"),
            here("BackupNsSuspended", "warning", "asleep"),
            here("BackupNsSweepFailing", "warning", ""),
            alert("BackupNsOrphanedContents", "warning", "", ""),
        ]
    }

    /// While a failed snapshot is there, its claim cannot go.
    fn clear(self) {
        self.tenant.kubectl(&["delete", "volumesnapshot", &self.failed, "--timeout=60s"]);
        self.tenant.run(&["delete-vsc", &self.orphan, "--yes"], |_| ()).done().assert(0, &[]);
    }
}

/// The chart's status Deployment, at a port of this machine.
fn status_deployment(namespace: &str, log: &Path) -> (Process, u16, String) {
    let name = format!("fullnameOverride={namespace}");
    let parts =
        ["backup.enabled=false", "cluster.enabled=true", "cluster.prune.enabled=false", "cluster.sync.enabled=false"];
    let mut args = vec!["install", "monitoring", "charts/backup-ns", "-n", namespace];
    for value in [&parts[..], &["cluster.status.enabled=true", "cluster.status.every=1s", &name]].concat() {
        args.extend(["--set", value]);
    }
    helm(&args);
    let name = format!("{namespace}-status");
    kubectl(&["-n", namespace, "rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);
    // As the document has it, for these names.
    let metrics =
        block("sh", "get --raw").replace("backup-ns-status", &name).replace("/backup-ns/", &format!("/{namespace}/"));
    let metrics = kubectl(&metrics.split_whitespace().skip(1).collect::<Vec<_>>());

    let mut command = Command::new("kubectl");
    command.args(["-n", namespace, "port-forward", &format!("service/{name}"), ":metrics"]);
    let forward = Process::start(&mut command, log);
    let port = until("the port is forwarded", 30, || {
        let said = std::fs::read_to_string(log).unwrap();
        said.split_once("127.0.0.1:")?.1.split_once(' ')?.0.parse().ok()
    });
    (forward, port, metrics)
}

/// kube-state-metrics with the chart's configuration, as an account with the rights that its head names.
fn state_metrics(tenant: &Tenant, directory: &Path) -> (Process, u16) {
    let rights = STATE_METRICS.lines().take_while(|line| line.starts_with('#'));
    let rights: String = rights.filter_map(|line| Some(format!("{}\n", line.strip_prefix("#   ")?))).collect();
    let rights: Value = serde_yaml_ng::from_str(&rights).unwrap();
    assert_eq!(rights.as_array().unwrap().len(), 2);
    let name = format!("{}-ksm", tenant.namespace);
    let kind = "rbac.authorization.k8s.io/v1";
    let items = json!([
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ksm"}},
        {"apiVersion": kind, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rights},
        {"apiVersion": kind, "kind": "ClusterRoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
         "subjects": [{"kind": "ServiceAccount", "name": "ksm", "namespace": tenant.namespace}]},
    ]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    let config = directory.join("ksm.kubeconfig");
    std::fs::copy(tenant.kubeconfig("ksm").path(), &config).unwrap();
    let (port, own) = (free_port(), free_port());
    let mut command = Command::new("kube-state-metrics");
    command.args(["--custom-resource-state-only", "--host=127.0.0.1", "--telemetry-host=127.0.0.1"]);
    command.args([
        format!("--port={port}"),
        format!("--telemetry-port={own}"),
        format!("--kubeconfig={}", config.display()),
    ]);
    command.arg(format!(
        "--custom-resource-state-config-file={}/charts/backup-ns/files/kube-state-metrics.yaml",
        root().display()
    ));
    (Process::start(&mut command, &directory.join("ksm.log")), port)
}

fn alertmanager(directory: &Path) -> (Process, u16) {
    let config = directory.join("alertmanager.yml");
    std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus-alertmanager");
    command.args([format!("--config.file={}", config.display()), format!("--web.listen-address=127.0.0.1:{port}")]);
    command.args([
        format!("--storage.path={}", directory.join("alertmanager").display()),
        "--cluster.listen-address=".into(),
    ]);
    (Process::start(&mut command, &directory.join("alertmanager.log")), port)
}

/// Prometheus's configuration is the document's. Targets have the namespace of their pod, as those have that are discovered.
fn configure(file: &Path, status: u16, states: u16, alerts: u16) -> String {
    let target = |port: u16| format!("\"127.0.0.1:{port}\"], labels: {{namespace: monitoring}}");
    let shipped = block("yaml", "scrape_configs")
        .replace("\"backup-ns-status.backup-ns.svc:9469\"]", &target(status))
        .replace("\"kube-state-metrics.kube-system.svc:8080\"]", &target(states))
        .replace("/etc/prometheus/backup-ns.yaml", &format!("{}/charts/backup-ns/files/rules.yaml", root().display()));
    let head = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n";
    let alerting =
        format!("alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}\n");
    let config = format!("{head}{alerting}{shipped}\n");
    std::fs::write(file, &config).unwrap();
    config
}

/// A Prometheus whose data are in this directory.
fn prometheus(directory: &Path, config: &Path) -> (Process, Prometheus) {
    let port = free_port();
    let mut command = Command::new("prometheus");
    command.args([format!("--config.file={}", config.display()), format!("--web.listen-address=127.0.0.1:{port}")]);
    command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
    // It takes up also what waits for less than ten minutes. An alert that fires before it knows its Alertmanager, in the first
    // five seconds, is sent again soon, not after a minute.
    command.args(["--rules.alert.for-grace-period=1s", "--rules.alert.resend-delay=2s"]);
    let process = Process::start(&mut command, &directory.join("prometheus.log"));
    let prometheus = Prometheus(port);
    let scraped = || {
        let ready = ask(port, "/-/ready", &[]).is_some_and(|answer| answer.contains("Ready"));
        (ready && prometheus.query("up == 1").len() == 2).then_some(())
    };
    until("Prometheus scrapes both", 60, scraped);
    (process, prometheus)
}

/// Prometheus with this history, after a restart: it looks once, when it starts, for how long an alert has waited, and what it
/// scraped before is there then.
fn restarted_prometheus(directory: &Path, history: &str, ports: [u16; 3]) -> (Process, Prometheus) {
    let (past, first, second) = (directory.join("history"), directory.join("first.yml"), directory.join("second.yml"));
    std::fs::write(&past, history).unwrap();
    let imported = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
        .args([&past, &directory.join("data")])
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let config = configure(&second, ports[0], ports[1], ports[2]);
    let without_rules: Vec<&str> = config.lines().filter(|line| !line.starts_with("rule_files")).collect();
    std::fs::write(&first, without_rules.join("\n")).unwrap();
    drop(prometheus(directory, &first));
    prometheus(directory, &second)
}

/// Alertmanager has these alerts, and no other about this namespace; each leads to its runbook and says what is meant.
fn assert_alerts(port: u16, namespace: &str, expected: &[Value]) {
    let mut missing = Vec::new();
    let fired = || {
        let all = ask_json(port, "/api/v2/alerts", &[])?;
        let all = all.as_array()?.clone();
        let has = |wanted: &Value| all.iter().any(|alert| alert["labels"] == *wanted);
        let now: Vec<Value> = expected.iter().filter(|wanted| !has(wanted)).cloned().collect();
        if now != missing {
            eprintln!("Alertmanager lacks {now:?}");
        }
        missing = now;
        missing.is_empty().then_some(all)
    };
    for alert in until("Alertmanager has the alerts", 60, fired) {
        let (labels, notes) = (&alert["labels"], &alert["annotations"]);
        assert!(labels["namespace"] != namespace || expected.contains(labels), "{labels}");
        let anchor = format!("#{}", labels["alertname"].as_str().unwrap().to_lowercase());
        assert!(notes["runbook_url"].as_str().unwrap().ends_with(&anchor), "{notes}");
        for text in ["summary", "description"].map(|key| notes[key].as_str().unwrap()) {
            assert!(!text.is_empty() && !text.contains("{{") && !text.contains("no value"), "{text}");
        }
    }
}

/// Each query of the dashboard returns series in the namespace that is chosen, and the figures are those of the scene.
fn assert_dashboard(prometheus: &Prometheus, namespace: &str) {
    let board: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variable = &board["templating"]["list"][1]["query"]["query"];
    let of =
        variable.as_str().and_then(|query| query.strip_prefix("label_values(")?.strip_suffix(", namespace)")).unwrap();
    let chosen = ask_json(prometheus.0, "/api/v1/label/namespace/values", &[("match[]", of)]).unwrap();
    assert!(chosen["data"].as_array().unwrap().contains(&json!(namespace)), "{chosen}");
    let mut figures = Vec::new();
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap().replace("$namespace", namespace);
            assert!(!query.contains('$'), "a variable that this test does not know: {query}");
            let found =
                if target["instant"] == true { prometheus.query(&query).len() } else { prometheus.range(&query) };
            assert!(found > 0, "no series: {query}");
            if panel["type"] == "stat" {
                figures.push((panel["title"].as_str().unwrap(), prometheus.value(&query)));
            }
        }
    }
    // Stored data of other namespaces may be left over, too, and raise alerts.
    let [.., (_, orphans), (_, alerts), (_, age)] = figures[..] else { panic!("{figures:?}") };
    assert!(orphans >= 1.0 && alerts >= 8.0 && (0.0..300.0).contains(&age), "{figures:?}");
    let expected = [
        ("Backed up", 2.0),
        ("No backup for 26 h", 2.0),
        ("Last attempt not good", 1.0),
        ("Not verified for 8 days", 1.0),
        ("Overdue snapshots", 1.0),
    ];
    assert_eq!(figures[..5], expected);
}

/// kube-state-metrics says of each snapshot what the document says, to Prometheus.
fn assert_state_metrics(prometheus: &Prometheus, scene: &Scene) {
    let namespace = &scene.tenant.namespace;
    let of = |metric: &str, name: &str| {
        prometheus.query(&format!("backup_ns_volumesnapshot_{metric}{{namespace=\"{namespace}\",name=\"{name}\"}}"))
    };
    until("kube-state-metrics is scraped", 30, || (!of("info", &scene.good).is_empty()).then_some(()));
    for (name, ready) in [("overdue", 1.0), (&scene.good, 1.0), (&scene.failed, 0.0)] {
        assert_eq!(of("ready", name)[0].1, ready, "{name}");
        assert_eq!(of("creation_timestamp_seconds", name).len(), usize::from(ready == 1.0), "{name}");
    }
    let object = scene.tenant.get(&["volumesnapshot", &scene.good]);
    let (labels, value) = of("info", &scene.good)[0].clone();
    assert_eq!(value, 1.0);
    for label in ["pvc", "type", "retain", "daily", "weekly", "monthly", "verified", "exported"] {
        let set = &object["metadata"]["labels"][format!("backup-ns.sh/{label}")];
        assert!(set.is_string() && labels[label] == *set, "{label}: {labels}");
    }
    assert_eq!(of("info", "overdue")[0].0["delete_after"], "2026-01-31");
    // The query of the document, which finds the newest that is ready.
    let newest = prometheus.query(block("", "backup_ns_volumesnapshot_creation_timestamp_seconds"));
    let newest: Vec<f64> =
        newest.iter().filter(|(labels, _)| labels["namespace"] == *namespace).map(|found| found.1).collect();
    let age = prometheus.value("vector(time())") - newest[0];
    assert!(newest.len() == 1 && age >= THIRTY_HOURS as f64 && age < (THIRTY_HOURS + 3600) as f64, "{newest:?}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn prometheus_alertmanager_and_kube_state_metrics_read_what_the_chart_ships() {
    let scene = Scene::new();
    let namespace = scene.tenant.namespace.as_str();
    let _rights = Rights(["status", "ksm"].map(|name| format!("{namespace}-{name}")).into());
    let logs = Directory(tempfile::tempdir().unwrap());
    let directory = logs.0.path();
    let (_forward, status, metrics) = status_deployment(namespace, &directory.join("port-forward.log"));
    let (_states, states) = state_metrics(&scene.tenant, directory);
    let (_alertmanager, alerts) = alertmanager(directory);
    let expected = scene.alerts();
    let past = history(&metrics, &expected);
    let (_prometheus, prometheus) = restarted_prometheus(directory, &past, [status, states, alerts]);

    assert_alerts(alerts, namespace, &expected);
    let rules = ask_json(prometheus.0, "/api/v1/rules", &[]).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), include_str!("../../charts/backup-ns/files/rules.yaml").matches("- alert: ").count());
    assert!(rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");
    assert_dashboard(&prometheus, namespace);
    assert_state_metrics(&prometheus, &scene);
    scene.clear();
}
