//! `retain` and `mark-and-delete` on real snapshots: what is swept goes with its stored data, what is not stays, whatever
//! happens on the way.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::*;

const SLOTS: &str = "daily_weekly_monthly";

/// A namespace with snapshots `names` whose date has passed, and a newer one that stays.
fn due(name: &str, names: &[&str]) -> Tenant {
    let tenant = Tenant::volume(name);
    for name in names {
        tenant.snapshot(name, &json!({"backup-ns.sh/retain": SLOTS, "backup-ns.sh/delete-after": "2026-01-01"}));
    }
    // Moments are compared by the second.
    sleep(Duration::from_millis(1100));
    tenant.snapshot("newest", &json!({"backup-ns.sh/retain": SLOTS, "backup-ns.sh/daily": "2026-01-02"}));
    tenant
}

fn sweep(tenant: &Tenant, args: &[&str]) -> Backup {
    tenant.run(&[&["mark-and-delete", "--delete-interval=0s"], args].concat(), |_| ())
}

fn is_there(content: &str) -> bool {
    let output = kubectl_with(&["get", "volumesnapshotcontent", content, "-o", "name"], "");
    output.status.success()
}

/// The content goes, and where the storage can be looked at, what it stored.
fn assert_data_goes(content: &str, handle: &str) {
    until("the content goes", 30, || (!is_there(content)).then_some(()));
    assert!(!stored(handle), "the stored data of {handle} is left");
}

fn handle(content: &str) -> String {
    let content: Value =
        serde_json::from_str(&kubectl(&["get", "volumesnapshotcontent", content, "-o", "json"])).unwrap();
    content["status"]["snapshotHandle"].as_str().unwrap().to_string()
}

/// Whether the local driver has a file of this snapshot.
fn stored(handle: &str) -> bool {
    let find = ["/var/lib/backup-ns-cluster/csi", "-name", &format!("{handle}*")];
    is_local() && !Command::new("find").args(find).output().unwrap().stdout.is_empty()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn labels_marks_and_data_go_one_after_the_other() {
    let tenant = Tenant::volume("prune");
    for (name, day) in [("a", "2026-01-01"), ("b", "2026-01-02"), ("c", "2026-01-03")] {
        let month = json!({"backup-ns.sh/retain": SLOTS, "backup-ns.sh/daily": day, "backup-ns.sh/monthly": "2026-01"});
        tenant.snapshot(name, &month);
        sleep(Duration::from_millis(1100));
    }
    tenant.snapshot("foreign", &json!({"backup-ns.sh/type": null}));
    let policy = ["retain", "--retain-last-daily=2", "--retain-last-weekly=1", "--retain-last-monthly=1"];
    let dry = tenant.run(&[&policy[..], &["--dry-run"]].concat(), |_| ()).done();
    dry.assert(0, &[]);
    let before = tenant.get(&["volumesnapshots"]);
    let done = tenant.run(&policy, |_| ()).done();
    done.assert(0, &[]);
    assert_ne!(before, tenant.get(&["volumesnapshots"]));
    let decided = |text: &str| -> Vec<Value> {
        let account: Value = serde_json::from_str(text).unwrap();
        let changes = account["snapshots"].as_array().unwrap().iter().filter(|entry| entry["action"] != "keep");
        changes.map(|entry| json!([entry["name"], entry["remove"], entry["reason"]])).collect()
    };
    assert_eq!(decided(&dry.stdout), decided(&done.stdout), "a run does what a dry run says");
    let labels = |name: &str| tenant.get(&["volumesnapshot", name])["metadata"]["labels"].clone();
    assert_eq!(labels("a")["backup-ns.sh/daily"], Value::Null);
    assert_eq!(labels("b")["backup-ns.sh/daily"], "2026-01-02");
    assert_eq!(labels("c")["backup-ns.sh/monthly"], "2026-01");
    assert_eq!(labels("b")["backup-ns.sh/monthly"], Value::Null);

    // The first night marks, another one deletes.
    sweep(&tenant, &["--tz=UTC"]).done().assert(0, &[]);
    assert_eq!(tenant.snapshots(), ["a", "b", "c", "foreign"]);
    let date = labels("a")["backup-ns.sh/delete-after"].as_str().unwrap().to_string();
    assert_eq!(date.len(), "2026-01-01".len());
    let content = tenant.content("a");
    let data = handle(&content);
    tenant.kubectl(&["label", "volumesnapshot", "a", "backup-ns.sh/delete-after=2026-01-01", "--overwrite"]);
    sweep(&tenant, &[]).done().assert(0, &[]);
    assert_eq!(tenant.snapshots(), ["b", "c", "foreign"]);
    assert_data_goes(&content, &data);
    for kept in ["b", "c", "foreign"] {
        assert!(is_there(&tenant.content(kept)), "{kept}");
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pruner_that_is_killed_between_the_halves_of_a_deletion_is_finished_by_the_next() {
    let bin = tempfile::tempdir().unwrap();
    let real = real_kubectl();
    let stuck = format!(
        "#!/bin/sh\ncase \"$*\" in *' patch volumesnapshotcontents'*) : >{0}/there; exec sleep 60 ;; esac\nexec {1} \"$@\"\n",
        bin.path().display(),
        real.display()
    );
    std::fs::write(bin.path().join("kubectl"), stuck).unwrap();
    std::fs::set_permissions(bin.path().join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let tenant = due("halves", &["finish"]);
    let killed = |name: &str| {
        let content = tenant.content(name);
        let pruner = tenant.run(&["mark-and-delete"], |command| {
            command.env("PATH", format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap()));
        });
        let there = bin.path().join("there");
        until("the VolumeSnapshot is deleted, its content not", 60, || there.exists().then_some(()));
        pruner.signal("KILL");
        pruner.done();
        std::fs::remove_file(there).unwrap();
        let snapshot = tenant.get(&["volumesnapshot", name]);
        assert!(snapshot["metadata"]["deletionTimestamp"].is_string(), "it is deleted, and held: {snapshot}");
        assert!(is_there(&content), "a crash may leak, but not lose");
        let data = handle(&content);
        (content, data)
    };
    let goes = || until("the VolumeSnapshot goes", 30, || (tenant.snapshots() == ["newest"]).then_some(()));

    let (content, data) = killed("finish");
    sweep(&tenant, &[]).done().assert(0, &[]);
    goes();
    assert_data_goes(&content, &data);

    // Here the mark is taken off before the next run: the VolumeSnapshot cannot be kept any more, but its data is.
    let past = json!({"backup-ns.sh/retain": SLOTS, "backup-ns.sh/delete-after": "2026-01-01"});
    tenant.snapshot("keep", &past);
    sleep(Duration::from_millis(1100));
    tenant.kubectl(&["delete", "volumesnapshot", "newest"]);
    tenant.snapshot("newest", &json!({"backup-ns.sh/retain": SLOTS, "backup-ns.sh/daily": "2026-01-02"}));
    let (content, data) = killed("keep");
    tenant.kubectl(&["label", "volumesnapshot", "keep", "backup-ns.sh/delete-after-"]);
    sweep(&tenant, &[]).done().assert(0, &[]);
    goes();
    let kept: Value =
        serde_json::from_str(&kubectl(&["get", "volumesnapshotcontent", &content, "-o", "json"])).unwrap();
    assert_eq!(
        (&kept["spec"]["deletionPolicy"], &kept["metadata"]["deletionTimestamp"]),
        (&json!("Retain"), &Value::Null)
    );
    assert!(!is_local() || stored(&data));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn unmarking_wins_as_long_as_the_deletion_has_not_begun() {
    let tenant = due("unmark", &["first", "second"]);
    let contents = ["first", "second"].map(|name| tenant.content(name));
    let mut pruner = tenant.run(&["mark-and-delete", "--delete-interval=8s"], |_| ());
    let said = pruner.until_says("deleted: its date");
    let (gone, other) = if said.contains("snapshot=\"first\"") { (0, "second") } else { (1, "first") };
    tenant.kubectl(&["label", "volumesnapshot", other, "backup-ns.sh/delete-after-"]);
    let done = pruner.done();
    done.assert(0, &["left"]);
    assert_eq!(
        tenant.snapshots(),
        [other, "newest"].into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    );
    until("the other's data goes", 30, || (!is_there(&contents[gone])).then_some(()));
    assert!(is_there(&contents[1 - gone]));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn two_pruners_at_once_delete_what_is_due_and_nothing_else() {
    let names = ["a", "b", "c", "d"];
    let tenant = due("two", &names);
    let contents = names.map(|name| tenant.content(name));
    let (one, two) = (sweep(&tenant, &[]), sweep(&tenant, &[]));
    one.done().assert(0, &[]);
    two.done().assert(0, &[]);
    sweep(&tenant, &[]).done().assert(0, &[]);
    until("all that is due goes", 30, || (tenant.snapshots() == ["newest"]).then_some(()));
    for content in contents {
        until("its content goes", 30, || (!is_there(&content)).then_some(()));
    }
    assert!(is_there(&tenant.content("newest")));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_sweep_whose_api_goes_away_is_finished_by_the_next() {
    alone();
    if !is_local() {
        return;
    }
    let names = ["a", "b", "c"];
    let tenant = due("apigone", &names);
    let contents = names.map(|name| tenant.content(name));
    let mut pruner = tenant.run(&["mark-and-delete", "--delete-interval=4s", "--retry-timeout=2s"], |_| ());
    pruner.until_says("deleted: its date");
    let back = Started("kube-apiserver");
    component("stop", "kube-apiserver");
    let done = pruner.done();
    drop(back);
    done.assert(3, &["the API is gone", "it goes on where it stopped"]);
    assert!(tenant.snapshots().len() >= 3);
    sweep(&tenant, &[]).done().assert(0, &[]);
    until("all that is due goes", 60, || (tenant.snapshots() == ["newest"]).then_some(()));
    for content in contents {
        until("its content goes", 60, || (!is_there(&content)).then_some(()));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_snapshot_that_a_volume_is_being_made_from_is_left_for_later() {
    let tenant = due("inuse", &["source"]);
    // A claim that waits for a consumer that never comes is still to be made.
    let mut claim = tenant.claim("restored", "256Mi", Some("source"));
    claim["spec"]["storageClassName"] = json!("no-such-class");
    apply(&tenant.namespace, &claim);
    let done = sweep(&tenant, &[]).done();
    done.assert(0, &[]);
    assert_eq!(tenant.snapshots(), ["newest", "source"]);
    tenant.kubectl(&["delete", "pvc", "restored"]);
    sweep(&tenant, &[]).done().assert(0, &[]);
    until("it goes", 30, || (tenant.snapshots() == ["newest"]).then_some(()));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_role_in_one_namespace_is_enough_to_prune_it() {
    let tenant = due("role", &["old"]);
    let document = std::fs::read_to_string(root().join("docs/retention.md")).unwrap();
    let role = document.split("```yaml\n").skip(1).find(|block| block.contains("kind: ClusterRole")).unwrap();
    let role = role.split("```").next().unwrap();
    // The very rules of the document, less what is no namespace's.
    let role = role.replace("kind: ClusterRole", "kind: Role");
    let applied = kubectl_with(&["-n", &tenant.namespace, "apply", "-f", "-"], &role);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let name = tenant.get(&["roles"])["items"][0]["metadata"]["name"].as_str().unwrap().to_string();
    tenant.kubectl(&["create", "serviceaccount", "pruner"]);
    let account = format!("--serviceaccount={}:pruner", tenant.namespace);
    tenant.kubectl(&["create", "rolebinding", "pruner", &format!("--role={name}"), &account]);
    let file = tenant.kubeconfig("pruner");
    let with = |args: &[&str]| {
        // Without a namespace named: it finds out by itself that it may see one only.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_backup-ns")]).args(args);
        command.env("KUBECONFIG", file.path());
        command.output().unwrap()
    };
    for args in [&["retain"][..], &["mark-and-delete", "--delete-interval=0s"]] {
        let output = with(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("may be listed"), "{said}");
    }
    until("it goes", 30, || (tenant.snapshots() == ["newest"]).then_some(()));
    let output = with(&["retain", "-n", "default"]);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
}
