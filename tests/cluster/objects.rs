//! `list`, `delete` and `adhoc` on real snapshots, and a real CronJob.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

/// `backup-ns` as it prints for people, which must succeed; its stdout.
fn print(tenant: &Tenant, args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_backup-ns")).args(["-n", &tenant.namespace]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a list.
fn listed(tenant: &Tenant, args: &[&str]) -> Vec<String> {
    let text = print(tenant, &[&["list", "-o", "name"], args].concat());
    let name = |line: &str| line.strip_prefix("volumesnapshot.snapshot.storage.k8s.io/").unwrap().to_string();
    text.lines().map(name).collect()
}

/// A snapshot of the volume that backup-ns did not make.
fn foreign(tenant: &Tenant, name: &str) {
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": name},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    });
    apply(&tenant.namespace, &snapshot);
    tenant.kubectl(&["wait", "volumesnapshot", name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"]);
}

/// Moments are compared by the second.
fn a_second_later() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

fn is_there(kind: &str, name: &str) -> bool {
    kubectl_with(&["get", kind, name, "-o", "name"], "").status.success()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_list_shows_what_there_is_oldest_first() {
    let tenant = Tenant::volume("list");
    let empty = tenant.run(&["list"], |_| ()).done();
    empty.assert(0, &["no snapshots in namespace"]);
    assert_eq!(empty.stdout.trim(), "[]");
    let slots = json!({"backup-ns.sh/type": "cronjob", "backup-ns.sh/retain": "daily_weekly_monthly",
        "backup-ns.sh/daily": "2026-11-22", "backup-ns.sh/weekly": "2026-w47"});
    tenant.snapshot("z-first", &slots);
    a_second_later();
    foreign(&tenant, "foreign");
    a_second_later();
    tenant.snapshot("a-last", &json!({"backup-ns.sh/delete-after": "2027-01-01"}));
    tenant.kubectl(&["annotate", "volumesnapshot", "a-last", "backup-ns.sh/distrusted=not what was proven"]);

    assert_eq!(listed(&tenant, &[]), ["z-first", "foreign", "a-last"]);
    assert_eq!(listed(&tenant, &["--cronjob"]), ["z-first"]);
    assert_eq!(listed(&tenant, &["--daily", "--adhoc"]), ["z-first", "a-last"]);
    assert_eq!(listed(&tenant, &["--monthly"]), [""; 0]);
    assert_eq!(listed(&tenant, &["--pvc", "data"]).len(), 3);
    assert_eq!(listed(&tenant, &["--pvc", "other"]), [""; 0]);

    let table = print(&tenant, &["list"]);
    let cells = |line: &str| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = table.lines().map(cells).collect();
    let head = ["NAME", "PVC", "TYPE", "SLOTS", "DELETE-AFTER", "READY", "AGE", "SIZE", "VERIFIED"];
    assert_eq!(lines[0], head);
    assert_eq!(lines[1][..6], ["z-first", "data", "cronjob", "2026-11-22,2026-w47", "-", "true"]);
    assert_eq!(lines[2][..6], ["foreign", "data", "-", "-", "-", "true"]);
    assert_eq!(lines[3][..6], ["a-last", "data", "adhoc", "-", "2027-01-01", "distrusted"]);
    let size = tenant.get(&["volumesnapshot", "z-first"])["status"]["restoreSize"].as_str().unwrap().to_string();
    assert_eq!(lines[1][7..], [size, "-".to_string()]);
    let wide = print(&tenant, &["list", "-o", "wide"]);
    assert!(wide.contains(&tenant.content("z-first")) && wide.contains("not what was proven"), "{wide}");

    let everywhere = print(&tenant, &["list", "-A"]);
    let ours = everywhere.lines().filter(|line| line.starts_with(&tenant.namespace));
    assert_eq!(ours.count(), 3, "{everywhere}");
    assert!(everywhere.starts_with("NAMESPACE "), "{everywhere}");

    let json: Value = serde_json::from_str(&tenant.run(&["list", "-A"], |_| ()).done().stdout).unwrap();
    let ours = |row: &&Value| row["namespace"] == json!(tenant.namespace) && row["name"] == "z-first";
    let row = json.as_array().unwrap().iter().find(ours).unwrap();
    assert_eq!(row["slots"], json!({"daily": "2026-11-22", "weekly": "2026-w47"}));
    let yaml = print(&tenant, &["list", "-o", "yaml"]);
    assert!(yaml.starts_with("- namespace: ") && yaml.contains("\n  name: z-first\n"), "{yaml}");

    let nowhere = Command::new(env!("CARGO_BIN_EXE_backup-ns")).args(["list", "-n", "no-such-place"]).output().unwrap();
    let said = String::from_utf8(nowhere.stderr).unwrap();
    assert!(nowhere.status.code() == Some(4) && said.contains("there is no namespace 'no-such-place'"), "{said}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_a_person_names_goes_with_its_data_unless_it_is_the_last() {
    let tenant = Tenant::volume("delete");
    let delete = |args: &[&str]| tenant.run(&[&["delete"], args].concat(), |_| ()).done();
    for name in ["a", "b", "c"] {
        tenant.snapshot(name, &json!({"backup-ns.sh/retain": "days", "backup-ns.sh/daily": "2026-11-22"}));
        a_second_later();
    }
    foreign(&tenant, "foreign");
    let contents = ["a", "b", "c"].map(|name| tenant.content(name));
    delete(&["nope", "--yes"]).assert(4, &["has no VolumeSnapshot 'nope'", "it has a, b, c, foreign"]);
    delete(&["c", "--yes"]).assert(4, &["newest ready snapshot of its PVC", "--force"]);
    delete(&["foreign", "--yes"]).assert(4, &["newest ready snapshot of its PVC", "--force"]);
    // There is no terminal to ask at; the sentence that they would be asked with is said.
    delete(&["a"]).assert(2, &["deletes the VolumeSnapshot a", "of the PVC data", "holds 2026-11-22", "--yes"]);
    let mut waiting = tenant.claim("look", "256Mi", Some("b"));
    waiting["spec"]["storageClassName"] = json!("no-such-class");
    apply(&tenant.namespace, &waiting);
    delete(&["b", "--yes"]).assert(4, &["a volume is still being made from it, for the PVC look", "--force"]);
    let plan = delete(&["a", "--dry-run"]);
    plan.assert(0, &[]);
    assert!(plan.stdout.contains(&contents[0]) && plan.stdout.contains("delete --raw"), "{}", plan.stdout);
    assert_eq!(tenant.snapshots(), ["a", "b", "c", "foreign"]);

    let done = delete(&["a", "--yes"]);
    done.assert(0, &[]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&told["volumeSnapshot"], &told["volumeSnapshotContent"]), (&json!("a"), &json!(contents[0])));
    for name in ["b", "c"] {
        delete(&[name, "--yes", "--force"]).assert(0, &[]);
    }
    assert_eq!(tenant.snapshots(), ["foreign"]);
    for content in contents {
        until("the content goes", 30, || (!is_there("volumesnapshotcontent", &content)).then_some(()));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_backup_cronjob_runs_now_and_its_log_and_exit_code_are_ours() {
    let tenant = Tenant::small("adhoc", 256, |_| ());
    account(&tenant);
    let adhoc = |args: &[&str]| tenant.run(&[&["adhoc"], args].concat(), |_| ());
    adhoc(&[]).done().assert(4, &["has no CronJob that runs backup-ns create (it has none)"]);
    cronjob(&tenant, "prune", &["retain"], |_| ());
    cronjob(&tenant, "backup", &["create"], |_| ());

    let plan = adhoc(&["--dry-run"]).done();
    plan.assert(0, &[]);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(plan["steps"][0]["manifest"]["kind"], "Job");
    assert_eq!(tenant.get(&["jobs"])["items"], json!([]));

    // Its log breaks off on the way.
    let gate = tenant.gate();
    let mut following = adhoc(&[]);
    following.until_says("step=\"check\"");
    tenant.await_dump();
    let children =
        Command::new("pgrep").args(["-P", &following.0.id().to_string(), "-f", "kubectl.* logs -f "]).output();
    let children = String::from_utf8(children.unwrap().stdout).unwrap();
    assert!(Command::new("kill").arg("-KILL").args(children.split_whitespace()).status().unwrap().success());
    drop(gate);
    let done = following.done();
    done.assert(0, &["step=\"dump\"", "is done in"]);
    assert_eq!(done.stderr.matches("step=\"check\"").count(), 0, "a line is passed on twice: {}", done.stderr);
    assert_eq!(done.stderr.matches("is done in").count(), 1, "{}", done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&told["cronJob"], &told["exitCode"], &told["complete"]), (&json!("backup"), &json!(0), &json!(true)));
    let job = tenant.get(&["job", told["job"].as_str().unwrap()]);
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "backup");
    assert_eq!(job["metadata"]["labels"]["team"], "shop");
    assert_eq!(job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    let snapshots = tenant.get(&["volumesnapshots"]);
    assert_eq!(snapshots["items"].as_array().unwrap().len(), 1);
    assert_eq!(snapshots["items"][0]["metadata"]["labels"]["backup-ns.sh/type"], "adhoc");

    // One that fails is tried again; both logs are passed on, and the last code is ours.
    cronjob(&tenant, "failing", &["create", "--pvc-name=nope"], |cronjob| {
        cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"] = json!(1);
    });
    adhoc(&[]).done().assert(4, &["has 2 CronJobs that run backup-ns create: backup, failing"]);
    let failed = adhoc(&["failing", "--log-format=json"]).done();
    failed.assert(4, &["failed with exit code 4", "BackoffLimitExceeded"]);
    assert_eq!(failed.stderr.matches("has no PVC 'nope'").count(), 2, "{}", failed.stderr);
    let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object());
    assert!(failed.stderr.lines().all(is_json), "{}", failed.stderr);
    let told: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!((&told["exitCode"], &told["complete"]), (&json!(4), &json!(false)));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_signal_ends_the_following_and_not_the_job() {
    if !is_local() {
        return;
    }
    let tenant = Tenant::small("adhocsig", 256, |_| ());
    account(&tenant);
    cronjob(&tenant, "backup", &["create"], |_| ());
    let gate = tenant.gate();
    let following = tenant.run(&["adhoc"], |_| ());
    tenant.await_dump();
    following.signal("TERM");
    let done = following.done();
    done.assert(143, &["goes on", "kubectl logs -f -n"]);
    tenant.await_dump();
    drop(gate);
    let job = tenant.get(&["jobs"])["items"][0]["metadata"]["name"].as_str().unwrap().to_string();
    tenant.kubectl(&["wait", "job", &job, "--for=condition=Complete", "--timeout=60s"]);
    assert_eq!(tenant.snapshots().len(), 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pod_that_cannot_be_made_is_told_with_the_reason() {
    let tenant = Tenant::empty("adhocunmade");
    cronjob(&tenant, "backup", &["create"], |_| ());
    let done = tenant.run(&["adhoc", "--timeout=12s"], |_| ()).done();
    let words =
        ["no pod can be made for the Job backup-adhoc-", "serviceaccount \"backup-ns\" not found", "remedy: put right"];
    done.assert(1, &words);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pod_that_cannot_start_is_said_once_and_not_waited_for_longer_than_wanted() {
    let tenant = Tenant::empty("adhocpull");
    tenant.kubectl(&["create", "serviceaccount", "backup-ns"]);
    cronjob(&tenant, "backup", &["create"], |cronjob| {
        let container = &mut cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!("backup-ns.invalid/nope:1");
        container["imagePullPolicy"] = json!("Never");
    });
    let done = tenant.run(&["adhoc", "--timeout=8s"], |_| ()).done();
    done.assert(1, &["does not start", "ErrImageNeverPull", "not done within 8s in all", "goes on"]);
    assert_eq!(done.stderr.matches("does not start").count(), 1, "{}", done.stderr);
}
