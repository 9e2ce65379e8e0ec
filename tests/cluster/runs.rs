//! What surrounds a backup: hooks, several claims, a run that is tried again, limits of time.

use serde_json::{Value, json};

use crate::kit::*;

const HOOKED: &str = "/var/lib/postgresql/data/hooked";

fn hooks(command: &mut std::process::Command) {
    command.env("BAK_HOOK_PRE", format!("echo before >>{HOOKED}"));
    command.env("BAK_HOOK_POST", format!("echo after >>{HOOKED}"));
}

fn hooked(tenant: &Tenant) -> String {
    tenant.sh(&format!("tr '\\n' ' ' <{HOOKED}"))
}

fn names(tenant: &Tenant) -> usize {
    tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().len()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_hook_after_runs_whatever_happens() {
    let tenant = Tenant::small("hooks", 256, |_| ());
    let clear = || tenant.sh(&format!("rm -f {HOOKED}"));
    tenant.create_with(&[], hooks).done().assert(0, &[]);
    assert_eq!(hooked(&tenant), "before after");
    for (signal, code) in [("TERM", Some(143)), ("KILL", None)] {
        clear();
        let gate = tenant.gate();
        let backup = tenant.create_with(&[], hooks);
        tenant.await_dump();
        assert_eq!(hooked(&tenant), "before");
        backup.signal(signal);
        assert_eq!(backup.done().status.code(), code);
        until("the hook after runs", 20, || (hooked(&tenant) == "before after").then_some(()));
        drop(gate);
    }
    // A hook that fails ends the backup before the dump, unless it may.
    clear();
    let failing = |command: &mut std::process::Command| {
        hooks(command);
        command.env("BAK_HOOK_PRE", "echo no >&2; exit 3");
    };
    let before = names(&tenant);
    tenant.create_with(&[], failing).done().assert(1, &["BAK_HOOK_PRE ended with status 3", "no"]);
    until("the hook after runs", 20, || (hooked(&tenant) == "after").then_some(()));
    assert_eq!(names(&tenant), before);
    tenant.create_with(&["--hook-on-error=continue"], failing).done().assert(0, &["going on all the same"]);
    assert_eq!(names(&tenant), before + 1);
    tenant.assert_unharmed();
}

#[test]
#[ignore = "needs a cluster: make test"]
fn several_claims_are_cut_together_and_share_their_run() {
    let tenant = Tenant::small("claims", 256, |deployment| {
        let pod = &mut deployment["spec"]["template"]["spec"];
        let mount = json!({"name": "other", "mountPath": "/other"});
        pod["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mount);
        pod["volumes"].as_array_mut().unwrap().push(json!({"name": "other", "emptyDir": {}}));
    });
    apply(&tenant.namespace, &tenant.claim("other", "256Mi", None));
    let claim = json!([{"op": "replace", "path": "/spec/template/spec/volumes/1",
        "value": {"name": "other", "persistentVolumeClaim": {"claimName": "other"}}}]);
    tenant.kubectl(&["patch", "deployment/app-base", "--type=json", "-p", &claim.to_string()]);
    tenant.await_ready();
    // Written a moment ago, and not yet on its disk.
    let sum = tenant.sh("head -c 3000000 /dev/urandom >/other/fresh && sha256sum </other/fresh");
    let summary = tenant.backup(&["--pvc-name=data,other"]);
    let (first, other) = (&summary, &summary["others"][0]);
    assert_eq!((&first["pvc"], &other["pvc"], &other["ready"]), (&json!("data"), &json!("other"), &json!(true)));
    let run = &first["labels"]["backup-ns.sh/run"];
    assert!(run.is_string() && *run == other["labels"]["backup-ns.sh/run"], "{summary}");
    tenant.scratch(other["volumeSnapshot"].as_str().unwrap());
    assert_eq!(tenant.scratch_sh("sha256sum </restored/fresh"), (true, sum));
    tenant.create(&["--pvc-name=data,missing"]).done().assert(4, &["no PVC 'missing'"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_run_that_is_tried_again_goes_on_with_its_snapshot() {
    let tenant = Tenant::small("retry", 256, |_| ());
    let slow = Class::new("retry", &json!({"ready-after": "10s"}));
    let class = format!("--vs-class-name={}", slow.0);
    // Killed while it waits for its snapshot.
    let mut first = tenant.create(&["--run-id=night-1", &class]);
    first.until_says("step=\"cut\"");
    first.signal("KILL");
    first.done();
    let name = tenant.snapshots().pop().unwrap();
    let again = tenant.backup(&["--run-id=night-1", &class]);
    assert_eq!((&again["volumeSnapshot"], names(&tenant)), (&json!(name), 1));
    assert_eq!(again["ready"], true);
    let proof: Value = again["dumps"]["postgres"].clone();
    assert_eq!(tenant.sum(), proof["sha256"].as_str().unwrap());
    // Another run makes its own, and so does a retry whose dump was replaced since.
    tenant.backup(&["--run-id=night-2"]);
    assert_eq!(names(&tenant), 2);
    let third = tenant.create(&["--run-id=night-1"]).done();
    third.assert(0, &["the dump was replaced since"]);
    assert_eq!(names(&tenant), 3);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_job_that_is_retried_goes_on_with_the_snapshot_of_its_first_try() {
    let tenant = Tenant::small("job", 256, |_| ());
    let slow = Class::new("job", &json!({"ready-after": "20s"}));
    let rights = ["create", "rolebinding", "all", "--clusterrole=cluster-admin"];
    tenant.kubectl(&[&rights[..], &[&format!("--serviceaccount={}:default", tenant.namespace)]].concat());
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "backup"},
        "spec": {"backoffLimit": 3, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "backup-ns", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
                "args": ["create", "--db-postgres", "--vs-wait-until-ready-timeout=8s"],
                "env": [{"name": "BAK_VS_CLASS_NAME", "value": slow.0}],
            }],
        }}},
    });
    apply(&tenant.namespace, &job);
    tenant.kubectl(&["wait", "job/backup", "--for=condition=Complete", "--timeout=180s"]);
    assert!(tenant.get(&["job", "backup"])["status"]["failed"].as_u64().unwrap() >= 1, "its first try was too short");
    let log = tenant.kubectl(&["logs", "job/backup", "--all-pods=true", "--tail=-1"]);
    assert!(log.contains("an earlier try of this run made"), "{log}");
    assert_eq!(names(&tenant), 1, "{log}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_that_waits_behind_a_lock_ends_when_its_time_is_up() {
    let tenant = Tenant::small("limits", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();
    let gate = tenant.gate();
    tenant.create(&["--dump-timeout=3s"]).done().assert(6, &["took longer than 3 s"]);
    tenant.assert_clean(&old);
    tenant.create(&["--timeout=8s"]).done().assert(6, &["not done within 8s in all", "BAK_TIMEOUT"]);
    tenant.assert_clean(&old);
    drop(gate);
    assert_eq!(names(&tenant), 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn rows_of_the_matrix_on_a_real_cluster() {
    let tenant = Tenant::small("matrix", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();

    // Wrong password.
    let wrong = |command: &mut std::process::Command| {
        command.env("BAK_DB_POSTGRES_PASSWORD", "wrong");
    };
    tenant.create_with(&[], wrong).done().assert(4, &["password authentication failed"]);
    tenant.assert_clean(&old);

    // kubectl killed.
    let gate = tenant.gate();
    let backup = tenant.create(&[]);
    tenant.await_dump();
    let children = std::process::Command::new("pgrep").args(["-P", &backup.0.id().to_string()]).output().unwrap();
    let children = String::from_utf8(children.stdout).unwrap();
    assert!(
        std::process::Command::new("kill").arg("-KILL").args(children.split_whitespace()).status().unwrap().success()
    );
    backup.done().assert(6, &["killed by signal 9", "last good dump is untouched"]);
    tenant.assert_clean(&old);

    // The database ends the connection, as it does when it is restarted.
    let backup = tenant.create(&[]);
    tenant.await_dump();
    tenant.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backup-ns'");
    backup.done().assert(6, &["last good dump is untouched"]);
    tenant.assert_clean(&old);

    // The container is restarted with it, by a fast shutdown of its first process.
    let backup = tenant.create(&[]);
    tenant.await_dump();
    tenant.sh("kill -INT 1");
    backup.done().assert(6, &["last good dump is untouched"]);
    drop(gate);
    until("the container is back", 90, || (tenant.sh("pg_isready -q -h 127.0.0.1 && echo yes") == "yes").then_some(()));
    tenant.await_ready();
    assert_eq!(tenant.sum(), old);
    assert_eq!(names(&tenant), 1);

    // A clock in another zone, the farthest there is.
    let retain = ["--tz=Pacific/Kiritimati", "--label-vs-retain=daily_weekly_monthly", "--busy-timeout=60s"];
    let summary = tenant.backup(&retain);
    let made = chrono::DateTime::parse_from_rfc3339(summary["creationTime"].as_str().unwrap()).unwrap();
    let day = made.with_timezone(&chrono::FixedOffset::east_opt(14 * 3600).unwrap()).format("%Y-%m-%d").to_string();
    assert_eq!(summary["labels"]["backup-ns.sh/daily"], day.as_str());
    assert_eq!(tenant.traces(), "");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_quota_on_snapshots_stops_a_backup_before_its_dump() {
    let tenant = Tenant::small("noroom", 256, |_| ());
    tenant.create(&["--vs-class-name=nope"]).done().assert(4, &["there is no VolumeSnapshotClass 'nope'"]);
    let quota = |count: &str| {
        let hard = json!({"count/volumesnapshots.snapshot.storage.k8s.io": count});
        apply(
            &tenant.namespace,
            &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": hard}}),
        );
        let is =
            format!("--for=jsonpath={{.status.hard.count/volumesnapshots\\.snapshot\\.storage\\.k8s\\.io}}={count}");
        tenant.kubectl(&["wait", "resourcequota/few", &is, "--timeout=60s"]);
    };
    quota("0");
    tenant.create(&[]).done().assert(4, &["no dump was made", "exceeded quota: few", "delete snapshots"]);
    assert_eq!(tenant.sh(&format!("ls {DUMP}")), "", "no dump");
    // Room for one of two.
    apply(&tenant.namespace, &tenant.claim("more", "64Mi", None));
    tenant.kubectl(&["wait", "pvc/more", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
    quota("1");
    let two = tenant.create(&["--pvc-name=data,more"]).done();
    two.assert(4, &["no dump was made", "the ResourceQuota few leaves room for 1 VolumeSnapshots"]);
    assert_eq!((tenant.sh(&format!("ls {DUMP}")), tenant.snapshots().len()), (String::new(), 0));
    quota("2");
    tenant.backup(&["--pvc-name=data,more"]);
}
