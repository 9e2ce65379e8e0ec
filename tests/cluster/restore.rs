//! Getting the data back: beside what is there, in another namespace, in place.

use serde_json::{Value, json};

use crate::kit::*;

/// Runs `restore` with these arguments to its end; its result.
fn restore(tenant: &Tenant, args: &[&str]) -> Value {
    let done = tenant.run(&[&["restore"], args].concat(), |_| ()).done();
    assert!(done.status.success(), "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// What is in the file `kept` of a claim, read by a pod of its own.
fn kept(namespace: &str, claim: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "reader", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                "command": ["cat", "/data/kept"], "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    });
    apply(namespace, &pod);
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    kubectl(&["-n", namespace, "wait", "pod/reader", ended, "--timeout=60s"]);
    let text = kubectl(&["-n", namespace, "logs", "reader"]);
    kubectl(&["-n", namespace, "delete", "pod", "reader"]);
    text
}

/// The contents that stand for the same stored data as this one.
fn contents_of(handle: &str) -> Vec<String> {
    let list: Value = serde_json::from_str(&kubectl(&["get", "volumesnapshotcontents", "-o", "json"])).unwrap();
    let is_it = |content: &&Value| {
        content["status"]["snapshotHandle"] == handle || content["spec"]["source"]["snapshotHandle"] == handle
    };
    let all = list["items"].as_array().unwrap().iter().filter(is_it);
    all.map(|content| content["metadata"]["name"].as_str().unwrap().to_string()).collect()
}

fn handle_of(content: &str) -> String {
    kubectl(&["get", "volumesnapshotcontent", content, "-o", "jsonpath={.status.snapshotHandle}"])
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_claim_beside_the_old_one_is_like_it_and_holds_the_data() {
    let tenant = Tenant::volume("beside");
    tenant.kubectl(&["label", "pvc", "data", "app=shop"]);
    tenant.snapshot("one", &json!({}));
    let told = restore(&tenant, &["one", "--wait"]);
    assert_eq!((&told["pvc"], &told["bound"]), (&json!("one"), &json!(true)), "its own name is taken");
    let (old, new) = (tenant.get(&["pvc", "data"]), tenant.get(&["pvc", "one"]));
    for field in ["accessModes", "resources", "storageClassName", "volumeMode"] {
        assert_eq!(old["spec"][field], new["spec"][field], "{field}");
    }
    assert_eq!(new["metadata"]["labels"], json!({"app": "shop"}));
    assert_eq!(kept(&tenant.namespace, "one"), "kept");
    // The same call again finds it; another's claim of that name is left alone.
    assert_eq!(restore(&tenant, &["one", "--wait"])["pvc"], "one");
    let taken = tenant.run(&["restore", "one", "--pvc", "data"], |_| ()).done();
    taken.assert(4, &["has another PVC data already", "--in-place"]);
    let classless = tenant.run(&["restore", "one", "--pvc", "x", "--storage-class", "nope"], |_| ()).done();
    classless.assert(4, &["there is no StorageClass nope", "--storage-class"]);
    tenant
        .run(&["restore", "nothing"], |_| ())
        .done()
        .assert(4, &["has no VolumeSnapshot 'nothing'", "backup-ns list"]);
    // What is printed is what would be applied.
    let printed = tenant.run(&["restore", "one", "--pvc", "two", "-o", "yaml"], |_| ()).done();
    assert!(printed.stdout.starts_with("apiVersion: v1\nkind: PersistentVolumeClaim"), "{}", printed.stdout);
    let applied = kubectl_with(&["apply", "-f", "-"], &printed.stdout);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    assert_eq!(tenant.get(&["pvc", "two"])["spec"]["dataSource"]["name"], "one");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_clone_in_another_namespace_goes_without_its_source() {
    let (tenant, staging) = (Tenant::volume("source"), Tenant::empty("staging"));
    tenant.snapshot("one", &json!({}));
    let handle = handle_of(&tenant.content("one"));
    let told = restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--wait"]);
    assert_eq!((&told["pvc"], &told["clone"]), (&json!("data"), &json!(true)), "its own name is free there");
    assert_eq!(kept(&staging.namespace, "data"), "kept");
    assert_eq!(staging.snapshots(), [""; 0], "what brought the data over is gone");
    until("one content is left", 30, || (contents_of(&handle) == [tenant.content("one")]).then_some(()));

    // One that is not waited for leaves its bridge; taking that away by this tool's own delete takes no data.
    restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--pvc", "again"]);
    assert_eq!(contents_of(&handle).len(), 2);
    staging.kubectl(&["wait", "pvc/again", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
    assert_eq!(
        restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--pvc", "again", "--wait"])["bound"],
        true
    );
    until("one content is left", 30, || (contents_of(&handle) == [tenant.content("one")]).then_some(()));

    // The whole namespace goes, with a bridge in it.
    restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--pvc", "third"]);
    let bridge = format!("clone-{}-{}", uid_of(&tenant.content("one")), staging.namespace);
    kubectl(&["delete", "namespace", &staging.namespace, "--timeout=120s"]);
    // What it left of the bridge does no harm.
    kubectl(&["get", "volumesnapshotcontent", &bridge]);
    kubectl(&["create", "namespace", &staging.namespace]);
    assert_eq!(restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--wait"])["bound"], true);
    until("one content is left", 30, || (contents_of(&handle) == [tenant.content("one")]).then_some(()));
    assert_eq!(restore(&tenant, &["one", "--pvc", "after", "--wait"])["bound"], true);
    assert_eq!(kept(&tenant.namespace, "after"), "kept", "the source is intact");
}

fn uid_of(content: &str) -> String {
    kubectl(&["get", "volumesnapshotcontent", content, "-o", "jsonpath={.metadata.uid}"])
}

/// The rows of the table that [`Tenant::small`] makes.
const ROWS: &str = "SELECT count(*), sum(n) FROM gate";

fn assert_restored(tenant: &Tenant, rows: &str) {
    tenant.await_ready();
    assert_eq!(tenant.sql(ROWS), rows);
    let deployment = tenant.get(&["deployment", "app-base"]);
    assert_eq!(deployment["spec"]["replicas"], 1);
    assert!(deployment["metadata"]["annotations"].get("backup-ns.sh/restoring").is_none(), "{deployment}");
    let list = tenant.get(&["volumesnapshots"]);
    assert!(!list.to_string().contains("backup-ns.sh/restoring"), "no journal is left: {list}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_table_dropped_comes_back_in_place_wherever_the_restore_was_killed() {
    let tenant = Tenant::small("inplace", 256, |_| ());
    tenant.kubectl(&["annotate", "pvc", "data", "team=shop"]);
    let rows = tenant.sql(ROWS);
    let backup = tenant.backup(&[]);
    let snapshot = backup["volumeSnapshot"].as_str().unwrap();

    tenant.run(&["restore", snapshot, "--in-place"], |_| ()).done().assert(2, &["confirmation is needed", "--yes"]);
    let planned = tenant.run(&["restore", snapshot, "--in-place", "--dry-run"], |_| ()).done();
    assert!(
        planned.status.success() && planned.stdout.contains("Bring deployment/app-base down"),
        "{}",
        planned.stdout
    );
    tenant.run(&["restore", snapshot, "--rollback", "--yes"], |_| ()).done().assert(4, &["no in-place restore of"]);
    assert_eq!(tenant.sql(ROWS), rows, "nothing was changed so far");

    tenant.sql("DROP TABLE gate");
    let old = tenant.get(&["pvc", "data"]);
    let told = restore(&tenant, &[snapshot, "--in-place", "--yes"]);
    assert_restored(&tenant, &rows);
    let new = tenant.get(&["pvc", "data"]);
    assert_ne!(old["metadata"]["uid"], new["metadata"]["uid"]);
    assert_eq!(new["metadata"]["annotations"]["team"], "shop");
    let safety = tenant.get(&["volumesnapshot", told["safety"].as_str().unwrap()]);
    assert_eq!(safety["status"]["readyToUse"], true);
    assert_eq!(safety["metadata"]["labels"]["backup-ns.sh/type"], "safety");

    for step in ["note", "stop", "safety", "replace", "start"] {
        tenant.sql("DROP TABLE gate");
        let mut killed = tenant.run(&["restore", snapshot, "--in-place", "--yes"], |_| ());
        killed.until_says(&format!("step=\"{step}\""));
        killed.signal("KILL");
        assert!(!killed.done().status.success());
        restore(&tenant, &[snapshot, "--in-place", "--yes"]);
        assert_restored(&tenant, &rows);
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_restore_that_was_begun_is_taken_back_from_wherever_it_is() {
    let tenant = Tenant::small("back", 256, |_| ());
    let backup = tenant.backup(&[]);
    let snapshot = backup["volumeSnapshot"].as_str().unwrap();
    tenant.sql("INSERT INTO gate VALUES (5000)");
    let rows = tenant.sql(ROWS);
    let other = tenant.backup(&[]);
    for step in ["note", "safety", "replace"] {
        let mut stopped = tenant.run(&["restore", snapshot, "--in-place", "--yes"], |_| ());
        stopped.until_says(&format!("step=\"{step}\""));
        stopped.signal("TERM");
        let stopped = stopped.done();
        assert_eq!(stopped.status.code(), Some(143), "{}", stopped.stderr);
        let next = format!("backup-ns restore {snapshot} -n {}", tenant.namespace);
        stopped.assert(143, &[&format!("{next} --in-place --yes"), &format!("{next} --rollback --yes")]);
        // Another restore of the same claim has to wait.
        let second = other["volumeSnapshot"].as_str().unwrap();
        let refused = tenant.run(&["restore", second, "--in-place", "--yes"], |_| ()).done();
        refused.assert(4, &["was begun and is not done", snapshot]);
        let told = restore(&tenant, &[snapshot, "--rollback", "--yes"]);
        assert_eq!(told["rolledBack"], true);
        assert_restored(&tenant, &rows);
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_is_written_between_two_calls_is_kept_by_the_second() {
    let tenant = Tenant::small("between", 256, |_| ());
    let backup = tenant.backup(&[]);
    let snapshot = backup["volumeSnapshot"].as_str().unwrap();
    let rows = tenant.sql(ROWS);
    let old = tenant.get(&["pvc", "data"])["metadata"]["uid"].clone();
    let mut killed = tenant.run(&["restore", snapshot, "--in-place", "--yes"], |_| ());
    killed.until_says("step=\"stop\"");
    killed.signal("KILL");
    killed.done();
    // The call was about to make its safety snapshot; one is there when the next call comes.
    let list = tenant.get(&["volumesnapshots"]).to_string();
    let journal = list.split("\\\"safety\\\":\\\"").nth(1).unwrap().split('\\').next().unwrap().to_string();
    if !tenant.snapshots().contains(&journal) {
        tenant.snapshot(&journal, &json!({"backup-ns.sh/type": "safety"}));
    }
    assert_eq!(tenant.get(&["pvc", "data"])["metadata"]["uid"], old, "nothing is replaced yet");
    // A person repairs it by hand, and the shop goes on.
    tenant.kubectl(&["scale", "deployment/app-base", "--replicas=1"]);
    tenant.await_ready();
    tenant.sql("INSERT INTO gate VALUES (7000)");
    let newer = tenant.sql(ROWS);
    let told = restore(&tenant, &[snapshot, "--in-place", "--yes"]);
    assert_restored(&tenant, &rows);
    restore(&tenant, &[told["safety"].as_str().unwrap(), "--in-place", "--yes"]);
    assert_restored(&tenant, &newer);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_is_going_or_held_or_down_already_is_not_stopped_for() {
    let tenant = Tenant::small("going", 256, |_| ());
    tenant.snapshot("one", &json!({}));
    let refused = |words: &[&str]| {
        tenant.run(&["restore", "one", "--in-place", "--yes"], |_| ()).done().assert(4, words);
        assert_eq!(tenant.get(&["deployment", "app-base"])["spec"]["replicas"], 1);
        assert!(!tenant.get(&["volumesnapshots"]).to_string().contains("backup-ns.sh/restoring"));
    };
    // A snapshot that never comes about holds the claim for ever.
    apply(
        &tenant.namespace,
        &json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "never"},
            "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "no-such-class"},
        }),
    );
    let failed = || tenant.get(&["volumesnapshot", "never"])["status"]["error"].is_object().then_some(());
    until("the snapshot to fail", 60, failed);
    refused(&["never of the claim is not ready", "backup-ns delete never"]);
    tenant.kubectl(&["delete", "volumesnapshot", "never"]);
    // Another restore keeps the workload down.
    tenant.kubectl(&["annotate", "deployment", "app-base", "backup-ns.sh/restoring=other"]);
    refused(&["is down for a restore of other"]);
    tenant.kubectl(&["annotate", "deployment", "app-base", "backup-ns.sh/restoring-"]);
    // A person deleted the claim: only its pod still holds it.
    tenant.kubectl(&["delete", "pvc", "data", "--wait=false"]);
    refused(&["something else deleted the claim data", "persistentVolumeReclaimPolicy"]);
    let volume = tenant.get(&["pvc", "data"])["spec"]["volumeName"].as_str().unwrap().to_string();
    let told = tenant.run(&["restore", "one", "--in-place", "--yes"], |_| ()).done().stderr;
    let patch = told.split("first keep its volume: ").nth(1).unwrap().split("; then").next().unwrap();
    assert!(piped(std::process::Command::new("sh").args(["-c", patch]), "").status.success(), "{patch}");
    let kept = ["get", "pv", &volume, "-o", "jsonpath={.spec.persistentVolumeReclaimPolicy}"];
    assert_eq!(kubectl(&kept), "Retain");
    kubectl(&["patch", "pv", &volume, "-p", "spec: {persistentVolumeReclaimPolicy: Delete}"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_claim_comes_back_with_all_that_it_had() {
    let tenant = web("whole");
    tenant.kubectl(&["create", "configmap", "owner"]);
    let owner = tenant.get(&["configmap", "owner"])["metadata"]["uid"].clone();
    let owners = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}]);
    let change = json!({"metadata": {
        "labels": {"app": "shop"}, "annotations": {"team": "shop"}, "ownerReferences": owners,
        "finalizers": ["kubernetes.io/pvc-protection", "example.com/keep"],
    }});
    tenant.kubectl(&["patch", "pvc", "data", "--type=merge", "-p", &change.to_string()]);
    let old = tenant.get(&["pvc", "data"]);

    // What holds the claim does not let it go: the workload is down, and what is printed goes on.
    let held = tenant.run(&["restore", "one", "--in-place", "--yes", "--restore-timeout", "5s"], |_| ()).done();
    let words =
        ["held by example.com/keep: it is gone only when", "is not gone after 5s", "go on with: backup-ns restore one"];
    held.assert(1, &words);
    let patch = held.stderr.split("has it again: ").nth(1).unwrap().split("; ").next().unwrap();
    assert!(piped(std::process::Command::new("sh").args(["-c", patch]), "").status.success(), "{patch}");
    restore(&tenant, &["one", "--in-place", "--yes"]);

    let new = tenant.get(&["pvc", "data"]);
    assert_ne!(old["metadata"]["uid"], new["metadata"]["uid"]);
    for field in ["labels", "ownerReferences"] {
        assert_eq!(old["metadata"][field], new["metadata"][field], "{field}");
    }
    for key in ["team", "kubectl.kubernetes.io/last-applied-configuration"] {
        assert_eq!(old["metadata"]["annotations"][key], new["metadata"]["annotations"][key], "{key}");
    }
    assert!(new["metadata"]["finalizers"].as_array().unwrap().contains(&json!("example.com/keep")), "{new}");
    for field in ["accessModes", "resources", "storageClassName", "volumeMode"] {
        assert_eq!(old["spec"][field], new["spec"][field], "{field}");
    }
    // A copy beside it is held by nothing, and belongs to nothing else.
    restore(&tenant, &["one", "--pvc", "look", "--wait"]);
    let copy = tenant.get(&["pvc", "look"])["metadata"].to_string();
    assert!(!copy.contains("example.com/keep") && !copy.contains("\"team\"") && !copy.contains("owner"), "{copy}");
    // The test's namespace can go.
    let none = json!({"metadata": {"finalizers": null}}).to_string();
    tenant.kubectl(&["patch", "pvc", "data", "--type=merge", "-p", &none]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_a_crash_takes_a_volume_that_comes_back_lacks() {
    let tenant = Tenant::small("unlogged", 256, |_| ());
    tenant.sql("CREATE UNLOGGED TABLE cache AS SELECT 1 AS n; CREATE SEQUENCE s; SELECT nextval('s')");
    let snapshot = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    restore(&tenant, &[&snapshot, "--in-place", "--yes"]);
    tenant.await_ready();
    assert_eq!(tenant.sql("SELECT count(*) FROM cache"), "0", "docs/recovery.md says so");
    let next: u32 = tenant.sql("SELECT nextval('s')").parse().unwrap();
    assert!((2..=34).contains(&next), "{next}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn workloads_of_every_kind_come_up_again() {
    let tenant = web("kinds");
    let pods = |name: &str| {
        let mut pods = tenant.get(&["deployment", "web"])["spec"]["template"].clone();
        pods["metadata"]["labels"]["app"] = json!(name);
        pods
    };
    // One that is paused with a change that it holds back, one that is scaled by something else, one of which pods of an
    // older template stay, a schedule, and a budget that lets no pod be evicted.
    let selector = |name: &str| json!({"matchLabels": {"app": name}});
    let items = json!([
        {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled"},
            "spec": {"replicas": 2, "selector": selector("scaled"), "template": pods("scaled")},
        },
        {
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "scaled"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scaled"},
                "minReplicas": 2, "maxReplicas": 3,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
            },
        },
        {
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
            "spec": {
                "replicas": 1, "serviceName": "db", "selector": selector("db"), "template": pods("db"),
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            },
        },
        {
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "report"},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": pods("report")["spec"]["containers"], "volumes": pods("report")["spec"]["volumes"],
            }}}}},
        },
        {
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": selector("web")},
        },
    ]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    for workload in ["deployment/scaled", "statefulset/db"] {
        tenant.kubectl(&["rollout", "status", workload, "--timeout=120s"]);
    }
    tenant.kubectl(&["rollout", "pause", "deployment/web"]);
    for workload in ["deployment/web", "statefulset/db"] {
        tenant.kubectl(&["set", "env", workload, "HELD=back"]);
    }
    restore(&tenant, &["one", "--in-place", "--yes", "--restore-timeout", "60s"]);
    for (workload, replicas) in [("deployment/web", 1), ("deployment/scaled", 2), ("statefulset/db", 1)] {
        let found = tenant.get(&[workload]);
        assert_eq!(
            (&found["spec"]["replicas"], &found["status"]["readyReplicas"]),
            (&json!(replicas), &json!(replicas)),
            "{found}"
        );
    }
    assert_eq!(tenant.get(&["cronjob", "report"])["spec"]["suspend"], false);

    // The pod of a Job holds the claim as long as it is there.
    tenant.kubectl(&["create", "job", "now", "--from=cronjob/report"]);
    tenant.kubectl(&["wait", "pod", "-l", "job-name=now", "--for=jsonpath={.status.phase}=Running", "--timeout=60s"]);
    let refused = tenant.run(&["restore", "one", "--in-place", "--yes"], |_| ()).done();
    refused.assert(4, &["of a Job mounts the claim", "wait until it has ended"]);
    assert_eq!(tenant.get(&["deployment", "web"])["spec"]["replicas"], 1);
    let ended = json!({"spec": {"activeDeadlineSeconds": 1}}).to_string();
    tenant.kubectl(&["patch", "job", "now", "-p", &ended]);
    until("the Job to end", 60, || {
        tenant.get(&["pod", "-l", "job-name=now"])["items"].as_array().unwrap().is_empty().then_some(())
    });
    restore(&tenant, &["one", "--in-place", "--yes", "--restore-timeout", "60s"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_clone_whose_mark_was_lost_takes_no_data_along() {
    let (tenant, staging) = (Tenant::volume("unmarked"), Tenant::empty("unmarked-to"));
    tenant.snapshot("one", &json!({}));
    restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--pvc", "look"]);
    let bridge = format!("clone-{}-{}", uid_of(&tenant.content("one")), staging.namespace);
    kubectl(&["annotate", "volumesnapshotcontent", &bridge, "backup-ns.sh/clone-of-"]);
    restore(&tenant, &["one", "--to-namespace", &staging.namespace, "--pvc", "look", "--wait"]);
    assert_eq!(staging.snapshots(), [""; 0]);
    assert_eq!(restore(&tenant, &["one", "--pvc", "after", "--wait"])["bound"], true);
    assert_eq!(kept(&tenant.namespace, "after"), "kept", "the source is intact");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_cannot_be_brought_down_is_told_before_anything_is() {
    let tenant = Tenant::volume("loose");
    tenant.snapshot("one", &json!({}));
    let refused = tenant.run(&["restore", "one", "--in-place", "--yes"], |_| ()).done();
    refused.assert(4, &["belongs to nothing that can be scaled down", "pod holder"]);
    assert_eq!(tenant.snapshots(), ["one"]);
    // A claim that nothing mounts is replaced all the same.
    tenant.kubectl(&["delete", "pod", "holder"]);
    restore(&tenant, &["one", "--in-place", "--yes"]);
    assert_eq!(kept(&tenant.namespace, "data"), "kept");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_mariadb_comes_back_in_place() {
    let tenant = Tenant::of("inmaria", "mariadb.yaml");
    let sql = |statement: &str| {
        let script = "mariadb -h127.0.0.1 -uroot -p\"$MARIADB_ROOT_PASSWORD\" -N \"$MARIADB_DATABASE\"";
        let args = ["-n", &tenant.namespace, "exec", "-i", "deploy/app-base", "--", "sh", "-c", script];
        let output = kubectl_with(&args, statement);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    let sum = "CHECKSUM TABLE customers, orders EXTENDED; SELECT COUNT(*) FROM orders";
    let before = sql(sum);
    let backup = tenant.create(&["--db-mysql"]).done();
    assert!(backup.status.success(), "{}", backup.stderr);
    let backup: Value = serde_json::from_str(&backup.stdout).unwrap();
    sql("DROP TABLE orders");
    restore(&tenant, &[backup["volumeSnapshot"].as_str().unwrap(), "--in-place", "--yes"]);
    tenant.await_ready();
    assert_eq!(sql(sum), before);
}

/// Preferences of kubectl that would break most calls: its own example and worse.
fn hostile_kuberc(more: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let option = |name: &str, value: &str| json!({"name": name, "default": value});
    let defaults = json!([
        {"command": "delete", "options": [option("interactive", "true")]},
        {"command": "get", "options": [option("output", "wide"), option("all-namespaces", "true"), option("v", "9")]},
        {"command": "create", "options": [option("dry-run", "client")]},
        {"command": "exec", "options": [option("container", "other")]},
    ]);
    let head = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";
    std::fs::write(file.path(), format!("{head}defaults: {defaults}\n{more}")).unwrap();
    file
}

#[test]
#[ignore = "needs a cluster: make test"]
fn no_preference_of_a_person_changes_what_is_done() {
    let tenant = Tenant::small("kuberc", 256, |_| ());
    let kuberc = hostile_kuberc("");
    let run = |args: &[&str]| {
        let done = tenant.run(args, |command| {
            command.env("KUBERC", kuberc.path()).env("LC_ALL", "ja_JP.UTF-8").env("KUBECTL_KYAML", "true");
        });
        let done = done.done();
        assert!(done.status.success(), "{args:?}: {}", done.stderr);
        serde_json::from_str::<Value>(&done.stdout).unwrap_or_default()
    };
    let first = run(&["create", "--db-postgres"])["volumeSnapshot"].as_str().unwrap().to_string();
    tenant.sql("TRUNCATE gate");
    let second = run(&["create", "--db-postgres"])["volumeSnapshot"].as_str().unwrap().to_string();
    assert_eq!(run(&["list"]).as_array().unwrap().len(), 2);
    run(&["restore", &first, "--in-place", "--yes"]);
    assert_eq!(tenant.sql("SELECT count(*) FROM gate"), "1000");
    run(&["delete", &second, "--yes", "--force"]);
    assert!(!tenant.snapshots().contains(&second));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_policy_for_credential_plugins_holds_for_every_call() {
    // A kubeconfig whose user runs a program; the person's preferences let none run.
    let dir = tempfile::tempdir().unwrap();
    let mut config: Value = serde_json::from_str(&kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "sh",
        "args": ["-c", format!("echo ran >>{}/ran; exit 1", dir.path().display())],
    }});
    let kubeconfig = dir.path().join("config");
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let kuberc = hostile_kuberc("credentialPluginPolicy: DenyAll\n");
    let ran = |kuberc: &std::path::Path| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_backup-ns"));
        command.args(["list", "-n", "default", "--retry-timeout=1s"]).env("KUBECONFIG", &kubeconfig);
        let output = command.env("KUBERC", kuberc).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        (dir.path().join("ran").exists(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ran_at_all, said) = ran(kuberc.path());
    assert!(!ran_at_all && said.contains("DenyAll"), "{said}");
    assert!(ran("off".as_ref()).0, "without preferences it runs");
}

/// A volume with a Deployment that mounts it and does nothing, and its snapshot `one`.
fn web(name: &str) -> Tenant {
    let tenant = Tenant::empty(name);
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "web", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", "echo kept >/data/kept && sync && exec sleep 86400"],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                },
            },
        },
    });
    let items = json!([tenant.claim("data", "64Mi", None), deployment]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    tenant.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    tenant.snapshot("one", &json!({}));
    tenant
}

/// A policy of this namespace's that goes with the test: what it matches is denied with its own name.
struct Policy(String);

impl Policy {
    fn of(tenant: &Tenant, name: &str, operation: &str, (group, resource): (&str, &str), allowed: &str) -> Policy {
        let name = format!("{name}-{}", tenant.namespace);
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}});
        let rule =
            json!({"apiGroups": [group], "apiVersions": ["*"], "operations": [operation], "resources": [resource]});
        let (api, metadata) = ("admissionregistration.k8s.io/v1", json!({"name": name}));
        let policy = json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
                "validations": [{"expression": allowed, "message": format!("{name} says no")}],
            },
        });
        let binding = json!({
            "apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        });
        apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}));
        Policy(name)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            kubectl_with(&["delete", kind, &self.0, "--wait=false"], "");
        }
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_the_api_would_refuse_stops_nothing() {
    let tenant = web("refused");
    let generation = tenant.get(&["deployment", "web"])["metadata"]["generation"].clone();
    let old = tenant.get(&["pvc", "data"])["metadata"]["uid"].clone();
    let refused = |args: &[&str], words: &[&str]| {
        // A policy and a quota take a moment until they hold, and until they no longer do: the one before this one may
        // refuse for some time yet.
        until("this refusal", 60, || {
            let dry = tenant.run(&[&["restore", "one", "--in-place", "--dry-run"], args].concat(), |_| ()).done();
            (dry.status.code() == Some(4) && words.iter().all(|word| dry.stderr.contains(*word))).then_some(())
        });
        let done = tenant.run(&[&["restore", "one", "--in-place", "--yes"], args].concat(), |_| ()).done();
        done.assert(4, &[words, &["nothing was changed; then run it again: backup-ns restore one"]].concat());
        let deployment = tenant.get(&["deployment", "web"]);
        assert_eq!(deployment["metadata"]["generation"], generation, "it was never touched");
        let claim = tenant.get(&["pvc", "data"]);
        assert_eq!((&claim["metadata"]["uid"], claim["metadata"].get("deletionTimestamp")), (&old, None));
        assert!(!tenant.get(&["volumesnapshots"]).to_string().contains("backup-ns.sh/restoring"));
    };
    tenant.kubectl(&["create", "quota", "few", "--hard=count/volumesnapshots.snapshot.storage.k8s.io=1"]);
    refused(&[], &["refuses to make the safety snapshot", "exceeded quota: few", "raise that ResourceQuota"]);
    tenant.kubectl(&["delete", "quota", "few"]);
    tenant.kubectl(&["create", "quota", "none", "--hard=persistentvolumeclaims=0"]);
    refused(&[], &["no room for the claim data", "the ResourceQuota none"]);
    tenant.kubectl(&["delete", "quota", "none"]);
    refused(&["--vs-class-name=nope"], &["there is no VolumeSnapshotClass 'nope'", "--vs-class-name"]);
    let policy = Policy::of(&tenant, "keep", "DELETE", ("", "persistentvolumeclaims"), "false");
    refused(&[], &["refuses to delete the claim data", &format!("{} says no", policy.0)]);
    drop(policy);
    let up = "object.spec.replicas > 0";
    let policy = Policy::of(&tenant, "up", "UPDATE", ("apps", "deployments"), up);
    refused(&[], &["refuses to stop deployment/web", &format!("{} says no", policy.0)]);
    drop(policy);
    let fresh = "!has(object.spec.dataSource)";
    let policy = Policy::of(&tenant, "fresh", "CREATE", ("", "persistentvolumeclaims"), fresh);
    refused(&[], &["refuses to make the claim data from one", &format!("{} says no", policy.0)]);
    drop(policy);
    // Nothing of all that was tried was done: the next one goes through.
    until("an end of the policies", 30, || {
        let dry = tenant.run(&["restore", "one", "--in-place", "--dry-run"], |_| ()).done();
        dry.status.success().then_some(())
    });
    restore(&tenant, &["one", "--in-place", "--yes"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_right_that_is_missing_is_told_before_anything_is_stopped() {
    let tenant = web("rights");
    let rule = |group: &str, resource: &str, verbs: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs.split(' ').collect::<Vec<_>>()});
    // As in docs/recovery.md, but for deleting claims, watching snapshots and changing Deployments.
    let rules = json!([
        rule("snapshot.storage.k8s.io", "volumesnapshots", "get list create patch"),
        rule("", "persistentvolumeclaims", "get list create"),
        rule("", "pods", "list"),
        rule("apps", "deployments", "get list"),
        rule("apps", "statefulsets", "get list patch"),
        rule("apps", "daemonsets", "list"),
        rule("batch", "cronjobs", "get list patch"),
    ]);
    let role = "rbac.authorization.k8s.io/v1";
    let items = json!([
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "small"}},
        {"apiVersion": role, "kind": "Role", "metadata": {"name": "small"}, "rules": rules},
        {
            "apiVersion": role, "kind": "RoleBinding", "metadata": {"name": "small"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "small"},
            "subjects": [{"kind": "ServiceAccount", "name": "small", "namespace": tenant.namespace}],
        },
    ]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    let config = tenant.kubeconfig("small");
    let config = config.path().to_str().unwrap();
    let done = tenant.run(&["restore", "one", "--in-place", "--yes", "--kubeconfig", config], |_| ()).done();
    let words = [
        "refuses to delete the claim data",
        "refuses to stop deployment/web",
        "you may not watch volumesnapshots",
        "grant the verb",
        "nothing was changed",
    ];
    done.assert(4, &words);
    assert_eq!(tenant.get(&["deployment", "web"])["spec"]["replicas"], 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_quota_with_room_for_one_claim_is_no_hindrance() {
    let tenant = web("room");
    let class = tenant.get(&["pvc", "data"])["spec"]["storageClassName"].as_str().unwrap().to_string();
    let of_class = format!("{class}.storageclass.storage.k8s.io");
    for (name, hard) in [
        ("one", "persistentvolumeclaims=1,requests.storage=64Mi".to_string()),
        ("two", "count/persistentvolumeclaims=1".into()),
        ("three", format!("{of_class}/persistentvolumeclaims=1,{of_class}/requests.storage=64Mi")),
    ] {
        tenant.kubectl(&["create", "quota", name, &format!("--hard={hard}")]);
    }
    until("the quotas to count the claim", 30, || {
        let quotas = tenant.get(&["quota"]);
        let counts =
            quotas["items"].as_array().unwrap().iter().all(|quota| quota["status"]["used"] == quota["status"]["hard"]);
        counts.then_some(())
    });
    restore(&tenant, &["one", "--in-place", "--yes"]);
    assert_eq!(tenant.get(&["deployment", "web"])["spec"]["replicas"], 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn of_two_restores_at_once_one_gives_way() {
    let tenant = Tenant::small("twice", 256, |_| ());
    let first = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    let rows = tenant.sql(ROWS);
    tenant.sql("INSERT INTO gate VALUES (5000)");
    let second = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    let newer = tenant.sql(ROWS);
    for _ in 0..3 {
        let args = |snapshot| ["restore", snapshot, "--in-place", "--yes"];
        let (one, two) = (tenant.run(&args(&first), |_| ()), tenant.run(&args(&second), |_| ()));
        let ended = [(one.done(), &rows), (two.done(), &newer)];
        let won: Vec<_> = ended.iter().filter(|(done, _)| done.status.success()).collect();
        // Both give way where they are as far as each other, and either may be done before the other begins.
        if let [(_, rows)] = won[..] {
            assert_restored(&tenant, rows);
        }
        for (done, _) in ended.iter().filter(|(done, _)| !done.status.success()) {
            assert_eq!(done.status.code(), Some(4), "{}", done.stderr);
            assert!(!done.stderr.contains("kubectl delete"), "{}", done.stderr);
        }
        assert!(!won.is_empty(), "{}\n{}", ended[0].0.stderr, ended[1].0.stderr);
        tenant.await_ready();
        assert!(!tenant.get(&["volumesnapshots"]).to_string().contains("backup-ns.sh/restoring"));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_safety_snapshot_that_failed_holds_up_no_second_try() {
    let tenant = web("failedsafe");
    let failing = Class::new("failedsafe", &json!({"fail": "the array is on fire"}));
    let args = ["restore", "one", "--in-place", "--yes", "--vs-wait-until-ready-timeout=2s"];
    let done = tenant.run(&[&args[..], &[&format!("--vs-class-name={}", failing.0)]].concat(), |_| ()).done();
    done.assert(7, &["the array is on fire", "go on with: backup-ns restore one"]);
    let unready = |one: &Value| one["status"]["readyToUse"] != true;
    let failed = |tenant: &Tenant| {
        let all = tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().clone();
        all.into_iter().filter(unready).collect::<Vec<Value>>()
    };
    assert_eq!(failed(&tenant).len(), 1);
    // One that another made holds the claim as well, and is not this restore's to delete: the claim is left alone.
    let mut other = failed(&tenant)[0].clone();
    other["metadata"] = json!({"name": "others"});
    other.as_object_mut().unwrap().remove("status");
    apply(&tenant.namespace, &other);
    let old = tenant.get(&["pvc", "data"])["metadata"]["uid"].clone();
    let done = tenant.run(&["restore", "one", "--in-place", "--yes", "--restore-timeout=20s"], |_| ()).done();
    done.assert(4, &["the VolumeSnapshot others of the claim data is not ready", "backup-ns delete others"]);
    let claim = tenant.get(&["pvc", "data"]);
    assert_eq!((&claim["metadata"]["uid"], claim["metadata"].get("deletionTimestamp")), (&old, None));
    let deleted = tenant.run(&["delete", "others", "--yes"], |_| ()).done();
    assert!(deleted.status.success(), "{}", deleted.stderr);
    restore(&tenant, &["one", "--in-place", "--yes", "--restore-timeout=60s"]);
    until("the failed ones are gone", 30, || failed(&tenant).is_empty().then_some(()));
    assert_ne!(tenant.get(&["pvc", "data"])["metadata"]["uid"], old);
    tenant.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
}
