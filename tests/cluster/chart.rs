//! What users install: the image, the chart and the plain manifests, on the real cluster. Each Job runs in the image of the
//! Dockerfile, under the ServiceAccount that the chart gives it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::Receiver;

use serde_json::{Value, json};

use crate::kit::*;
use crate::remotes::server;

/// The name of every release here.
const RELEASE: &str = "backup-ns";

/// A release of the chart in a namespace, with these values. Tries are for users; a test wants to see the first.
fn helm_release(verb: &str, namespace: &str, values: &[&str]) -> String {
    with_a_release();
    let mut args = vec![verb, RELEASE, "charts/backup-ns", "-n", namespace, "--set", "backoffLimit=0"];
    for value in values {
        args.extend(["--set", value]);
    }
    helm(&args)
}

fn install(tenant: &Tenant, values: &[&str]) {
    let notes = helm_release("install", &tenant.namespace, values);
    assert!(notes.contains("helm test backup-ns"), "{notes}");
}

/// A Job of a CronJob, now: whether it succeeded, and what its containers said.
fn job(namespace: &str, cronjob: &str, name: &str) -> (bool, String) {
    start_job(namespace, cronjob, name);
    await_job(namespace, name)
}

fn start_job(namespace: &str, cronjob: &str, name: &str) {
    kubectl(&["-n", namespace, "create", "job", name, &format!("--from=cronjob/{cronjob}")]);
}

fn log(namespace: &str, job: &str) -> String {
    let args = ["-n", namespace, "logs", &format!("job/{job}"), "--all-containers", "--tail=-1"];
    let output = kubectl_with(&args, "");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn await_job(namespace: &str, name: &str) -> (bool, String) {
    let succeeded = until("the Job ends", 180, || {
        let job: Value = serde_json::from_str(&kubectl(&["-n", namespace, "get", "job", name, "-o", "json"])).unwrap();
        let conditions = job["status"]["conditions"].as_array()?.clone();
        let is = |kind: &str| conditions.iter().any(|it| it["type"] == kind && it["status"] == "True");
        if is("Complete") { Some(true) } else { is("Failed").then_some(false) }
    });
    (succeeded, log(namespace, name))
}

fn must(outcome: (bool, String)) -> String {
    assert!(outcome.0, "{}", outcome.1);
    outcome.1
}

/// Takes the rules of a Role or ClusterRole away, one after the other, and lets `misses` say what is missing then.
fn each_rule_is_needed(namespace: &str, kind: &str, name: &str, mut misses: impl FnMut(usize, &Value)) {
    let whole: Value = serde_json::from_str(&kubectl(&["-n", namespace, "get", kind, name, "-o", "json"])).unwrap();
    let set = |rules: &Vec<Value>| {
        let patch = json!({"rules": rules}).to_string();
        kubectl(&["-n", namespace, "patch", kind, name, "--type=merge", "-p", &patch]);
    };
    let rules = whole["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for (number, rule) in rules.iter().enumerate() {
        let mut less = rules.clone();
        less.remove(number);
        set(&less);
        misses(number, rule);
    }
    set(rules);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_chart_backs_up_a_postgresql_with_just_its_role() {
    let tenant = Tenant::small("chart", 256, |_| ());
    let namespace = tenant.namespace.as_str();
    install(&tenant, &["config.dbPostgres=true"]);
    let said = helm(&["test", RELEASE, "-n", namespace, "--logs"]);
    assert!(said.contains("Phase:          Succeeded"), "{said}");
    assert!(said.contains("passed") && said.contains("locks") && !said.contains("FAILED"), "{said}");
    assert!(tenant.snapshots().is_empty());

    let said = must(job(namespace, RELEASE, "nightly"));
    assert!(said.contains("Prepared ") && said.contains("(ready)"), "{said}");
    let made = tenant.get(&["volumesnapshots"])["items"][0].clone();
    assert_eq!(made["status"]["readyToUse"], true);
    let labels = &made["metadata"]["labels"];
    assert_eq!(labels["backup-ns.sh/type"], "cronjob");
    assert!(labels["backup-ns.sh/pod"].as_str().unwrap().starts_with("nightly-"), "{labels}");
    tenant.assert_unharmed();
    // As a user without rights, who writes nowhere.
    let pod = tenant.get(&["pods", "-l", "job-name=nightly"])["items"][0].clone();
    assert_eq!(pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["spec"]["securityContext"]["runAsNonRoot"], true);

    let described = tenant.kubectl(&["describe", "pvc", "data"]);
    assert!(described.contains("BackupReady") && described.contains("backup-ns.sh"), "{described}");

    // Each rule is needed: without any one of them the backup says which it misses.
    let ready = "--field-selector=reason=BackupReady";
    let events = || tenant.kubectl(&["get", "events", ready, "-o", "name"]).lines().count();
    let told = events();
    each_rule_is_needed(namespace, "role", RELEASE, |number, rule| {
        // Slots are what the snapshots are asked for.
        let (succeeded, said) = job(namespace, RELEASE, &format!("less-{number}"));
        if rule["resources"][0] == "events" {
            assert!(succeeded && events() == told, "a backup without its Event: {said}");
            return;
        }
        assert!(!succeeded, "{rule}");
        assert!(said.contains("forbidden") && said.contains("grant the verb"), "{rule}: {said}");
    });

    // What was made stays, whatever becomes of the release.
    let before = tenant.snapshots();
    helm_release("upgrade", namespace, &["config.dbPostgres=true", "schedule=5 5 * * *", "config.lock=none"]);
    let cronjob = tenant.get(&["cronjob", RELEASE]);
    assert_eq!(cronjob["spec"]["schedule"], "5 5 * * *");
    must(job(namespace, RELEASE, "upgraded"));
    assert_eq!(tenant.snapshots().len(), before.len() + 1);
    let before = tenant.snapshots();
    helm(&["uninstall", RELEASE, "-n", namespace, "--wait"]);
    assert_eq!(tenant.snapshots(), before);
    let left = tenant.kubectl(&["get", "cronjob,role,rolebinding,serviceaccount,configmap", "-o", "name"]);
    assert!(!left.contains(RELEASE), "{left}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_chart_backs_up_a_mariadb_under_the_restricted_standard_as_any_user() {
    let tenant = Tenant::of("chart-mariadb", "mariadb.yaml");
    let namespace = tenant.namespace.as_str();
    kubectl(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    // A stranger's uid, as clusters give that choose one for each namespace.
    let values = ["config.dbMysql=true", "config.lock=none", "podSecurityContext.runAsUser=1000720000"];
    install(&tenant, &values);
    helm(&["test", RELEASE, "-n", namespace]);
    must(job(namespace, RELEASE, "nightly"));
    assert_eq!(tenant.get(&["volumesnapshots"])["items"][0]["status"]["readyToUse"], true);

    // Where the standard is enforced, a hostPath is refused, and the Job says so.
    helm_release("upgrade", namespace, &["config.dbMysql=true"]);
    start_job(namespace, RELEASE, "refused");
    until("the pod is refused", 60, || {
        let events = tenant.kubectl(&["get", "events", "--field-selector=involvedObject.name=refused"]);
        events.contains("violates PodSecurity \"restricted").then_some(())
    });
}

/// The chart's restore test, under its own Role. What the backup leaves out it goes without.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_chart_verifies_what_it_made() {
    let tenant = Tenant::small("chart-verify", 256, |_| ());
    let namespace = tenant.namespace.as_str();
    let sql = "verify.sql=SELECT count(*) = 1000 FROM gate";
    install(&tenant, &["config.dbPostgres=true", "config.lock=none", "verify.enabled=true", sql]);
    must(job(namespace, RELEASE, "nightly"));
    must(job(namespace, "backup-ns-verify", "weekly"));
    let verified = tenant.get(&["volumesnapshots"])["items"][0]["metadata"]["labels"]["backup-ns.sh/verified"].clone();
    assert!(verified.is_string(), "{verified}");
    each_rule_is_needed(namespace, "role", "backup-ns-verify", |number, rule| {
        let (succeeded, said) = job(namespace, "backup-ns-verify", &format!("less-{number}"));
        // Events and the NetworkPolicy are more than a verification needs, and it says what it went without.
        let optional = ["events", "networkpolicies"].iter().any(|it| rule["resources"].to_string().contains(it));
        assert_eq!(succeeded, optional, "{rule}: {said}");
    });
}

/// The chart's export, under its own Role, to a server that only appends.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_chart_exports_what_it_made() {
    let image = "restic/restic:0.14.0";
    if !has_image(image) || !has_image("backup-ns/remotes:12") {
        return;
    }
    let tenant = Tenant::small("chart-export", 256, |_| ());
    let namespace = tenant.namespace.as_str();
    let args = ["rclone", "serve", "restic", "--append-only", "--addr", ":8080", "/srv"];
    let address = server(&tenant, "far", "backup-ns/remotes:12", &args, &[], 8080);
    let variables =
        [("RESTIC_REPOSITORY", format!("rest:http://{address}/shop")), ("RESTIC_PASSWORD", "hunter2 is secret".into())];
    let data: serde_json::Map<String, Value> =
        variables.iter().map(|(name, value)| ((*name).to_string(), json!(value))).collect();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "restic"}, "stringData": data});
    apply(namespace, &secret);
    let init = Command::new("restic").args(["--no-cache", "init", "-q"]).envs(variables).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));

    let export = ["export.enabled=true", &format!("export.image={image}"), "export.existingSecret=restic"];
    let verify = ["verify.enabled=true", "verify.fromExport=true"];
    let notes = helm_release(
        "install",
        namespace,
        &[&["config.dbPostgres=true", "config.lock=none", "networkPolicy.enabled=true"], &export[..], &verify].concat(),
    );
    assert!(notes.contains("backup-ns adhoc backup-ns-export"), "{notes}");
    must(job(namespace, RELEASE, "nightly"));
    let said = must(job(namespace, "backup-ns-export", "copy"));
    assert!(said.contains("sent       ") && !said.contains("hunter2"), "{said}");
    let meta = tenant.get(&["volumesnapshots"])["items"][0]["metadata"].clone();
    assert!(meta["labels"]["backup-ns.sh/exported"].is_string(), "{meta}");
    let record: Value = serde_json::from_str(meta["annotations"]["backup-ns.sh/export"].as_str().unwrap()).unwrap();
    assert_eq!((&record["tool"], &record["what"]), (&json!("restic"), &json!("dump")));
    let left = "jobs,pods,pvc,networkpolicies";
    assert_eq!(tenant.kubectl(&["get", left, "-l", "backup-ns.sh/export-job", "-o", "name"]), "");

    // The next one of the same snapshot has nothing to do; and status knows both.
    let said = must(job(namespace, "backup-ns-export", "again"));
    assert!(said.contains("already exported"), "{said}");
    let metrics = tenant.run(&["status", "-o", "prometheus"], |_| ()).done().stdout;
    for metric in ["export_scheduled", "last_exported_timestamp_seconds"] {
        let line = format!("\nbackup_ns_{metric}{{namespace=\"{namespace}\",pvc=\"data\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }

    // What comes back is tested by a Job of its own.
    must(job(namespace, "backup-ns-verify", "restore-test"));
    let meta = tenant.get(&["volumesnapshots"])["items"][0]["metadata"].clone();
    let record: Value = serde_json::from_str(meta["annotations"]["backup-ns.sh/export"].as_str().unwrap()).unwrap();
    assert!(record["verified"].is_string() && meta["labels"]["backup-ns.sh/verified"].is_null(), "{meta}");

    each_rule_is_needed(namespace, "role", "backup-ns-export", |number, rule| {
        tenant.kubectl(&["label", "volumesnapshots", "--all", "backup-ns.sh/exported-"]);
        let (succeeded, said) = job(namespace, "backup-ns-export", &format!("less-{number}"));
        // Events and the NetworkPolicy are more than an export needs, and it says what it went without.
        let optional = ["events", "networkpolicies"].iter().any(|it| rule["resources"].to_string().contains(it));
        assert_eq!(succeeded, optional, "{rule}: {said}");
    });
}

/// A PostgreSQL as a StatefulSet, with the claim `data-orders-0`.
fn orders() -> Value {
    let labels = json!({"app": "orders"});
    let env = json!([
        {"name": "POSTGRES_USER", "value": "app"},
        {"name": "POSTGRES_PASSWORD", "value": "hunter2"},
        {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
        {"name": "POSTGRES_INITDB_ARGS", "value": "--no-sync --wal-segsize=1"},
    ]);
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "orders"},
        "spec": {
            "serviceName": "orders",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "terminationGracePeriodSeconds": 2,
                    "containers": [{
                        "name": "postgres", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "env": env,
                        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "app"]}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}],
                    }],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "256Mi"}}},
            }],
        },
    })
}

/// Starts it, with a table.
fn start_orders(tenant: &Tenant) {
    apply(&tenant.namespace, &orders());
    tenant.kubectl(&["rollout", "status", "statefulset/orders", "--timeout=180s"]);
    let table = ["env", "PGPASSWORD=hunter2", "psql", "-h", "127.0.0.1", "-U", "app", "-c", "CREATE TABLE t (n int)"];
    tenant.kubectl(&[&["exec", "orders-0", "--"], &table[..]].concat());
}

/// One release with a PostgreSQL and a MariaDB of one namespace, and a volume of another.
#[test]
#[ignore = "needs a cluster: make test"]
fn one_release_backs_up_and_verifies_several_databases() {
    let tenant = Tenant::of("chart-several", "mariadb.yaml");
    let namespace = tenant.namespace.as_str();
    start_orders(&tenant);
    let other = Tenant::volume("chart-elsewhere");
    let elsewhere = format!("backups[2].namespace={}", other.namespace);
    let two = [
        "config.lock=none",
        "verify.enabled=true",
        "backups[0].name=orders",
        "backups[0].config.dbPostgres=true",
        "backups[0].config.dbPostgresExecResource=statefulset/orders",
        "backups[0].config.pvcName=data-orders-0",
        "backups[1].name=wiki",
        "backups[1].config.dbMysql=true",
    ];
    let third =
        ["backups[2].name=files", &elsewhere, "backups[2].config.dbSkip=true", "backups[2].verify.enabled=false"];
    install(&tenant, &[&two[..], &third].concat());
    let said = helm(&["test", RELEASE, "-n", namespace]);
    assert_eq!(said.matches("Phase:          Succeeded").count(), 3, "{said}");

    // The CronJobs, and after each both of its Jobs.
    for (name, pvc) in [("orders", "data-orders-0"), ("wiki", "data")] {
        let cronjob = format!("{RELEASE}-{name}");
        must(job(namespace, &cronjob, &format!("{name}-nightly")));
        let of_it = format!("backup-ns.sh/pvc={pvc}");
        let made = tenant.get(&["volumesnapshots", "-l", &of_it]);
        assert_eq!(made["items"].as_array().unwrap().len(), 1, "{made}");
        must(job(namespace, &format!("{cronjob}-verify"), &format!("{name}-weekly")));
        let verified = tenant.get(&["volumesnapshots", "-l", &of_it]);
        assert!(verified["items"][0]["metadata"]["labels"]["backup-ns.sh/verified"].is_string(), "{verified}");
    }
    assert_eq!(tenant.snapshots().len(), 2);
    let pods = tenant.kubectl(&["get", "pods", "-l", "backup-ns.sh/backup=orders", "-o", "name"]);
    assert!(pods.contains("orders-nightly") && !pods.contains("wiki"), "{pods}");
    must(job(&other.namespace, "backup-ns-files", "nightly"));
    assert_eq!(other.snapshots().len(), 1);

    // What Prometheus would read.
    let metrics = tenant.run(&["status", "-o", "prometheus"], |_| ()).done().stdout;
    for pvc in ["data", "data-orders-0"] {
        for metric in ["scheduled", "newest_ready", "last_verified_timestamp_seconds"] {
            let line = format!("\nbackup_ns_{metric}{{namespace=\"{namespace}\",pvc=\"{pvc}\"}} 1");
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
    }

    // One Role for both: each database needs its own kind of workload in it.
    let role = tenant.get(&["role", RELEASE]);
    let mut rules = role["rules"].as_array().unwrap().clone();
    let apps = rules.iter().position(|rule| rule["apiGroups"] == json!(["apps"])).unwrap();
    assert_eq!(rules[apps]["resources"], json!(["deployments", "statefulsets"]));
    for (left, fails) in [("deployments", "orders"), ("statefulsets", "wiki")] {
        rules[apps]["resources"] = json!([left]);
        tenant.kubectl(&["patch", "role", RELEASE, "--type=merge", "-p", &json!({"rules": rules}).to_string()]);
        let (succeeded, said) = job(namespace, &format!("{RELEASE}-{fails}"), &format!("{fails}-{left}"));
        assert!(!succeeded && said.contains("forbidden"), "{fails} without its kind: {said}");
    }

    // An entry that is taken out takes its objects with it, and leaves its snapshots.
    helm_release("upgrade", namespace, &two);
    let left = other.kubectl(&["get", "cronjob,role,rolebinding,serviceaccount,configmap", "-o", "name"]);
    assert!(!left.contains(RELEASE), "{left}");
    assert_eq!(other.snapshots().len(), 1);
    helm(&["uninstall", RELEASE, "-n", namespace, "--wait"]);
}

/// A namespace with a snapshot that is due and the newest, which stays.
fn due(name: &str) -> (Tenant, String) {
    let tenant = Tenant::volume(name);
    let slots = json!("daily_weekly_monthly");
    tenant.snapshot("old", &json!({"backup-ns.sh/retain": slots, "backup-ns.sh/delete-after": "2026-01-01"}));
    tenant.snapshot("lost", &json!({"backup-ns.sh/retain": slots, "backup-ns.sh/daily": "2026-01-01"}));
    // Moments are compared by the second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    tenant.snapshot("newest", &json!({"backup-ns.sh/retain": slots, "backup-ns.sh/daily": "2026-01-02"}));
    let content = tenant.content("old");
    (tenant, content)
}

fn content(name: &str) -> Option<Value> {
    let output = kubectl_with(&["get", "volumesnapshotcontent", name, "-o", "json"], "");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_pruner_prunes_the_cluster_under_its_roles() {
    alone();
    let pruner = Tenant::empty("chart-cluster");
    let namespace = pruner.namespace.as_str();
    let (tenant, old) = due("chart-prune");
    // ClusterRoles have no namespace to tell them apart.
    let name = format!("fullnameOverride={namespace}");
    let values = |more: &str| {
        let set = [&name, "backup.enabled=false", "cluster.enabled=true", "cluster.prune.lastDaily=1", more];
        set.map(str::to_string)
    };
    let release = |verb: &str, more: &str| {
        let values = values(more);
        helm_release(verb, namespace, &values.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let cronjob = format!("{namespace}-prune");
    let notes = release("install", "cluster.prune.destroyContents=false");
    assert!(notes.contains(&cronjob), "{notes}");

    // Without the right to destroy, the snapshot goes and its data stays.
    let said = must(job(namespace, &cronjob, "timid"));
    assert_eq!(tenant.snapshots(), ["lost", "newest"], "{said}");
    assert!(content(&old).is_some(), "{said}");
    let lost = tenant.get(&["volumesnapshot", "lost"]);
    assert!(lost["metadata"]["labels"]["backup-ns.sh/delete-after"].is_string(), "marked by the same run: {lost}");

    // With it, both go, though a policy lets no other user delete them.
    let protected = format!(
        "cluster.protection.enabled=true,cluster.protection.groups={{auditors}},cluster.protection.namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name={}",
        tenant.namespace
    );
    release("upgrade", &protected);
    let refused = || {
        let output =
            kubectl_with(&["-n", &tenant.namespace, "delete", "volumesnapshot", "newest", "--dry-run=server"], "");
        String::from_utf8_lossy(&output.stderr).contains("VolumeSnapshot newest is a backup, and ").then_some(())
    };
    until("the policy holds", 30, refused);
    let lost = tenant.content("lost");
    let due = "backup-ns.sh/delete-after=2026-01-01";
    tenant.kubectl(&["label", "volumesnapshot", "lost", due, "--overwrite"]);
    each_rule_is_needed(namespace, "clusterrole", &cronjob, |number, rule| {
        let (succeeded, said) = job(namespace, &cronjob, &format!("less-{number}"));
        assert!(!succeeded && said.contains("forbidden"), "{rule}: {said}");
    });
    assert_eq!(tenant.snapshots(), ["lost", "newest"]);
    let said = must(job(namespace, &cronjob, "able"));
    assert_eq!(tenant.snapshots(), ["newest"], "{said}");
    until("its content goes", 30, || content(&lost).is_none().then_some(()));

    // The labels of what stays reach its content.
    let sync = format!("{namespace}-sync");
    each_rule_is_needed(namespace, "clusterrole", &sync, |number, rule| {
        let (succeeded, said) = job(namespace, &sync, &format!("sync-less-{number}"));
        assert!(!succeeded && said.contains("forbidden"), "{rule}: {said}");
    });
    must(job(namespace, &sync, "sync"));
    let newest = content(&tenant.content("newest")).unwrap();
    assert_eq!(newest["metadata"]["labels"]["backup-ns.sh/pvc"], "data");

    helm(&["uninstall", RELEASE, "-n", namespace, "--wait"]);
    assert_eq!(tenant.snapshots(), ["newest"]);
    kubectl(&["delete", "volumesnapshotcontent", &old]);
}

/// What `status` serves in a Deployment, as Prometheus would get it, under its own ClusterRole.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_status_of_the_cluster_can_be_scraped() {
    let tenant = Tenant::volume("chart-scraped");
    helm_release("install", &tenant.namespace, &["config.dbSkip=true", "config.lock=none"]);
    tenant.snapshot("night", &json!({"backup-ns.sh/retain": "days", "backup-ns.sh/pvc": "data"}));
    let watcher = Tenant::empty("chart-status");
    let namespace = watcher.namespace.as_str();
    let name = format!("{namespace}-status");
    let parts =
        ["backup.enabled=false", "cluster.enabled=true", "cluster.prune.enabled=false", "cluster.sync.enabled=false"];
    let set = format!("fullnameOverride={namespace}");
    let own = [&set, "cluster.status.enabled=true", "cluster.status.every=1s"];
    helm_release("install", namespace, &[&parts[..], &own].concat());
    kubectl(&["-n", namespace, "rollout", "status", &format!("deployment/{name}"), "--timeout=120s"]);

    let path = format!("/api/v1/namespaces/{namespace}/services/{name}:metrics/proxy/metrics");
    let metrics = kubectl(&["get", "--raw", &path]);
    let data = format!("{{namespace=\"{}\",pvc=\"data\"}} ", tenant.namespace);
    for line in ["scheduled", "claim_exists", "newest_ready"].map(|metric| format!("\nbackup_ns_{metric}{data}1\n")) {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let checked = piped(
        Command::new("promtool").args(["check", "metrics", "--extended", "--lint=none"]),
        &format!("{metrics}\n"),
    );
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    each_rule_is_needed(namespace, "clusterrole", &name, |_, rule| {
        let kinds: Vec<&str> = rule["resources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let missed = || {
            let said = watcher.kubectl(&["logs", &format!("deployment/{name}"), "--since=2s"]);
            kinds
                .iter()
                .any(|kind| {
                    said.contains(&format!("\"{kind}\"")) || (*kind == "configmaps" && said.contains("the ConfigMap"))
                })
                .then_some(())
        };
        until("it says what it may not read", 60, missed);
    });
    until("all is read again", 60, || {
        let now = kubectl(&["get", "--raw", &path]);
        let is = now.contains(&format!("\nbackup_ns_scheduled{data}1\n"));
        is.then_some(())
    });
    helm(&["uninstall", RELEASE, "-n", namespace, "--wait"]);
}

/// Two namespaces on one node with one lock: the second waits until the first is through.
fn turns_are_taken(name: &str, values: &[&str]) {
    let [first, second] = ["a", "b"].map(|which| Tenant::small(&format!("{name}-{which}"), 256, |_| ()));
    let values = [&["config.dbPostgres=true", "config.flockCount=1"], values].concat();
    for tenant in [&first, &second] {
        install(tenant, &values);
    }
    let gate = first.gate();
    start_job(&first.namespace, RELEASE, "nightly");
    first.await_dump();
    start_job(&second.namespace, RELEASE, "nightly");
    until("the second waits and says for whom", 60, || {
        let said = log(&second.namespace, "nightly");
        (said.contains("waiting for") && said.contains("nightly-")).then_some(())
    });
    assert!(second.snapshots().is_empty());
    drop(gate);
    must(await_job(&first.namespace, "nightly"));
    must(await_job(&second.namespace, "nightly"));
    assert_eq!((first.snapshots().len(), second.snapshots().len()), (1, 1));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn two_namespaces_take_turns_by_the_lock_files_of_their_node() {
    let directory = format!("lockHostPath=/tmp/backup-ns-test-locks-{:x}", std::process::id());
    turns_are_taken("flock", &[&directory]);
    if is_local() {
        std::fs::remove_dir_all(directory.trim_start_matches("lockHostPath=")).unwrap();
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn two_namespaces_take_turns_by_leases() {
    let locks = format!("t-leases-{:x}", std::process::id());
    let cluster = Tenant::empty("lease-cluster");
    let set = format!("cluster.locks.namespace={locks}");
    // Without it nothing is installed, not even half.
    let early = [
        "install",
        RELEASE,
        "charts/backup-ns",
        "-n",
        &cluster.namespace,
        "--set",
        "config.dbSkip=true,config.lock=lease",
    ];
    let early = piped(
        Command::new("helm").args(early).args(["--set", &format!("config.lockNamespace={locks}")]).current_dir(root()),
        "",
    );
    let said = String::from_utf8_lossy(&early.stderr);
    assert!(!early.status.success() && said.contains("cluster.locks.enabled=true"), "{said}");
    assert!(!cluster.kubectl(&["get", "cronjobs", "-o", "name"]).contains(RELEASE));
    let parts =
        ["backup.enabled=false", "cluster.enabled=true", "cluster.prune.enabled=false", "cluster.sync.enabled=false"];
    helm_release("install", &cluster.namespace, &[&parts[..], &["cluster.locks.enabled=true", &set]].concat());
    turns_are_taken("lease", &["config.lock=lease", &format!("config.lockNamespace={locks}")]);
    // None is held any more, and no process waits.
    let leases: Value = serde_json::from_str(&kubectl(&["-n", &locks, "get", "leases", "-o", "json"])).unwrap();
    let all = leases["items"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{leases}");
    assert!(all[0]["spec"]["holderIdentity"].as_str().unwrap_or_default().is_empty(), "{leases}");
    // The others' locks outlive the release that brought them.
    helm(&["uninstall", RELEASE, "-n", &cluster.namespace, "--wait"]);
    kubectl(&["-n", &locks, "get", "role", "backup-ns-locks"]);
    kubectl(&["delete", "namespace", &locks, "--wait=false"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn plain_manifests_do_what_the_chart_does() {
    alone();
    let tenant = Tenant::small("plain", 256, |_| ());
    let mut render = Command::new(root().join("charts/manifests.sh"));
    let output = render.env("NAMESPACE", &tenant.namespace).env("DB", "postgres").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    kubectl(&["apply", "-f", root().join("target/manifests/namespace.yaml").to_str().unwrap()]);
    must(job(&tenant.namespace, RELEASE, "nightly"));
    assert_eq!(tenant.get(&["volumesnapshots"])["items"][0]["status"]["readyToUse"], true);

    // The cluster's part goes into a namespace that it brings along; here that of the test.
    let cluster = root().join("target/manifests/cluster.yaml");
    let cluster = std::fs::read_to_string(cluster).unwrap().replacen("---", "", 1);
    let (_, cluster) = cluster.split_once("metadata: {name: backup-ns}").unwrap();
    let (tenant, old) = due("plain-prune");
    let cluster = cluster.replace("namespace: backup-ns", &format!("namespace: {}", tenant.namespace));
    let cluster = cluster.replace("backup-ns-", &format!("{}-", tenant.namespace));
    let applied = kubectl_with(&["apply", "-f", "-"], &cluster);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    must(job(&tenant.namespace, &format!("{}-prune", tenant.namespace), "prune"));
    assert_eq!(tenant.snapshots(), ["lost", "newest"]);
    assert!(content(&old).is_none());
    let deleted = kubectl_with(&["delete", "-f", "-"], &cluster);
    assert!(deleted.status.success(), "{}", String::from_utf8_lossy(&deleted.stderr));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_image_is_kubectl_and_little_more() {
    let archive = root().join("target/image/image.tar");
    // The files of its layers, with their sizes.
    let list = r#"tar -tf "$0" | grep '\.tar$' | while read -r layer; do tar -xOf "$0" "$layer" | tar -tv; done"#;
    let output = Command::new("sh").args(["-c", list, archive.to_str().unwrap()]).output().unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    let sizes = files.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    let (image, kubectl) = (sizes.sum::<u64>(), real_kubectl().metadata().unwrap().len());
    // The program with TLS for notifications, certificates and time zones.
    assert!(image > kubectl && image - kubectl <= 10_000_000, "kubectl and {image} - {kubectl} bytes:\n{files}");
}

/// The blocks of README's section on it, as they are written, but for the namespace's name; then the night itself.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_way_of_the_readme_from_nothing_to_a_nightly_backup() {
    alone();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Every night\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 1);
    let tenant = Tenant { namespace: format!("t-nightly-{:x}", std::process::id()) };
    let _cluster = Tenant { namespace: "backup-ns".into() };
    let script = format!("set -eu\n{}", blocks.concat()).replace("shop", &tenant.namespace);
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").arg("-c").arg(&script).current_dir(root()).env("PATH", path).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("adhoc") && stdout.contains("1 ready") && !stdout.contains("FAILED"), "{stdout}");
    assert_eq!(tenant.snapshots().len(), 1);

    let cronjob = tenant.get(&["cronjob", RELEASE]);
    assert_eq!((&cronjob["spec"]["schedule"], &cronjob["spec"]["suspend"]), (&json!("0 0 * * *"), &json!(false)));
    tenant.kubectl(&["patch", "cronjob", RELEASE, "--type=merge", "-p", r#"{"spec": {"schedule": "* * * * *"}}"#]);
    until("a night falls, and its backup is ready", 120, || {
        let nightly = [
            "get",
            "volumesnapshots",
            "-l",
            "backup-ns.sh/type=cronjob",
            "-o",
            "jsonpath={.items[*].status.readyToUse}",
        ];
        tenant.kubectl(&nightly).contains("true").then_some(())
    });
    helm(&["uninstall", RELEASE, "-n", "backup-ns"]);
}

/// A webhook that pods of the local cluster reach: the bodies that it gets.
fn webhook() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, bodies) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let head = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let head: Vec<String> = head.map(|line| line.to_ascii_lowercase()).collect();
            let length = head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (port, bodies)
}

/// The blocks of the section "In ten minutes" of docs/install.md, as they are written, but for the namespace's name and the two
/// addresses: a backup, its restore test, and a message about each.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_way_of_install_md_to_a_verified_backup_with_messages() {
    if !is_local() {
        return;
    }
    let page = std::fs::read_to_string(root().join("docs/install.md")).unwrap();
    let (_, section) = page.split_once("\n## In ten minutes\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = |fence: &str| -> Vec<&str> {
        section.split(fence).skip(1).map(|block| block.split("```").next().unwrap()).collect()
    };
    let (values, scripts) = (blocks("```yaml\n"), blocks("```sh\n"));
    assert_eq!((values.len(), scripts.len()), (1, 2));
    let tenant = Tenant::empty("chart-install");
    start_orders(&tenant);
    let (port, messages) = webhook();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("values.yaml"), values[0]).unwrap();
    let chart = root().join("charts/backup-ns");
    let script = format!("set -eu\n{}", scripts.concat())
        .replace("-n shop", &format!("-n {}", tenant.namespace))
        .replace("oci://ghcr.io/backup-ns/charts/backup-ns", chart.to_str().unwrap())
        .replace("https://hooks.example.org/backups", &format!("http://10.244.0.1:{port}/backups"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(
        stdout.contains("0 failed") && stdout.contains("(ready)") && stdout.contains("verdict    good"),
        "{stdout}"
    );
    for command in ["create", "verify"] {
        let message = messages.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!((&message["command"], &message["outcome"]), (&json!(command), &json!("success")), "{message}");
    }
    helm(&["uninstall", RELEASE, "-n", &tenant.namespace, "--wait"]);
}
