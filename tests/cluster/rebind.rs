//! `sync-metadata-to-vsc` and `rebind-vsc`: stored data is told apart, and brought back, when its VolumeSnapshot or its whole
//! namespace is gone.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

/// A driver that is not there.
const AWAY: &str = "away.backup-ns.sh";

/// The stored data of a test's snapshot; whatever contents name it go with the test, and the data with them.
struct Stored(String);

impl Stored {
    /// That of the snapshot that has this content.
    fn of(content: &str) -> Stored {
        let handle = handle(&content_object(content));
        assert!(!handle.is_empty(), "{content}");
        Stored(handle)
    }

    /// The contents that name it.
    fn contents(&self) -> Vec<Value> {
        let list: Value = serde_json::from_str(&kubectl(&["get", "volumesnapshotcontents", "-o", "json"])).unwrap();
        let ours = |content: &&Value| handle(content) == self.0;
        list["items"].as_array().unwrap().iter().filter(ours).cloned().collect()
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        for content in self.contents() {
            let name = content["metadata"]["name"].as_str().unwrap();
            let going = json!({
                "metadata": {"annotations": {"snapshot.storage.kubernetes.io/volumesnapshot-being-deleted": "yes"}},
                "spec": {"deletionPolicy": "Delete"},
            });
            if content["spec"]["driver"] == AWAY {
                // No controller lets it go.
                kubectl_with(&["delete", "volumesnapshotcontent", name, "--wait=false"], "");
                let patch = r#"{"metadata":{"finalizers":null}}"#;
                kubectl_with(&["patch", "volumesnapshotcontent", name, "--type=merge", "-p", patch], "");
                continue;
            }
            kubectl_with(&["patch", "volumesnapshotcontent", name, "--type=merge", "-p", &going.to_string()], "");
            // The snapshot controller makes a living snapshot a content again.
            let of = |field: &str| content["spec"]["volumeSnapshotRef"][field].as_str().unwrap();
            kubectl_with(&["delete", "volumesnapshot", of("name"), "-n", of("namespace")], "");
            kubectl_with(&["delete", "volumesnapshotcontent", name, "--wait=false"], "");
        }
    }
}

fn handle(content: &Value) -> String {
    let handles = [&content["status"]["snapshotHandle"], &content["spec"]["source"]["snapshotHandle"]];
    handles.into_iter().find_map(Value::as_str).unwrap_or_default().to_string()
}

fn content_object(name: &str) -> Value {
    serde_json::from_str(&kubectl(&["get", "volumesnapshotcontent", name, "-o", "json"])).unwrap()
}

/// A snapshot that is ready, with its content mirrored.
fn mirrored(tenant: &Tenant, name: &str, labels: &Value) -> (String, Stored) {
    tenant.snapshot(name, labels);
    let content = tenant.content(name);
    let stored = Stored::of(&content);
    sync(tenant, &[]);
    (content, stored)
}

/// Mirrors; the account.
fn sync(tenant: &Tenant, args: &[&str]) -> Value {
    let done = tenant.run(&[&["sync-metadata-to-vsc"], args].concat(), |_| ()).done();
    done.assert(0, &[]);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Rebinds; the result.
fn rebind(tenant: &Tenant, content: &str, args: &[&str]) -> Value {
    let done = tenant.run(&[&["rebind-vsc", content], args].concat(), |_| ()).done();
    done.assert(0, &[]);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Deletes a VolumeSnapshot as a person may, without backup-ns.
fn lose(tenant: &Tenant, snapshot: &str) {
    tenant.kubectl(&["delete", "volumesnapshot", snapshot]);
}

/// Exactly one content names the data, and keeps it; the VolumeSnapshot that it is bound to is ready.
fn assert_one(tenant: &Tenant, stored: &Stored, snapshot: &str) -> Value {
    let contents = until("one content is left", 30, || Some(stored.contents()).filter(|contents| contents.len() == 1));
    let object = tenant.get(&["volumesnapshot", snapshot]);
    assert_eq!(contents[0]["spec"]["volumeSnapshotRef"]["uid"], object["metadata"]["uid"]);
    assert_eq!(contents[0]["spec"]["deletionPolicy"], "Retain");
    assert_eq!(object["status"]["readyToUse"], true);
    assert_eq!(object["status"]["boundVolumeSnapshotContentName"], contents[0]["metadata"]["name"]);
    object
}

/// A volume made from the snapshot holds what the tenant's volume held.
fn assert_restores(tenant: &Tenant, snapshot: &str) {
    apply(&tenant.namespace, &tenant.claim("restored", "256Mi", Some(snapshot)));
    assert_holds(tenant, "restored");
}

/// A claim holds what the tenant's volume held.
fn assert_holds(tenant: &Tenant, claim: &str) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "reader", "image": "postgres:15", "imagePullPolicy": "IfNotPresent",
                "command": ["grep", "-qx", "kept", "/data/kept"], "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
        },
    });
    apply(&tenant.namespace, &pod);
    tenant.kubectl(&["wait", "pod/reader", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s"]);
}

/// A kubectl that does something of its own at certain calls.
struct Fake(tempfile::TempDir);

impl Fake {
    /// At a call with these words it runs `script` first, in a directory of its own; there `kubectl` is the real one.
    fn new(call: &str, script: &str) -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let (at, real) = (dir.path().display(), real_kubectl());
        let real = real.display();
        let text = format!(
            "#!/bin/sh\nkubectl() {{ {real} \"$@\"; }}\ncase \"$*\" in *'{call}'*) cd {at}; {script} ;; esac\nexec {real} \"$@\"\n"
        );
        std::fs::write(dir.path().join("kubectl"), text).unwrap();
        std::fs::set_permissions(dir.path().join("kubectl"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Fake(dir)
    }

    fn stand_in(&self, command: &mut Command) {
        command.env("PATH", format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap()));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_content_says_what_its_snapshot_says_and_no_more() {
    let tenant = Tenant::volume("mirror");
    tenant.snapshot("a", &json!({"backup-ns.sh/delete-after": "2026-01-01", "team": "x"}));
    let content = tenant.content("a");
    let _stored = Stored::of(&content);
    tenant.kubectl(&["annotate", "volumesnapshot", "a", "backup-ns.sh/claim={}"]);
    // What the older tool left, what another program notes, and what contents alone say.
    kubectl(&["label", "volumesnapshotcontent", &content, "backup-ns.sh/weekly=w01", "team=y"]);
    kubectl(&["annotate", "volumesnapshotcontent", &content, "backup-ns.sh/clone-of=shop/b"]);

    let before = content_object(&content);
    let dry = sync(&tenant, &["--dry-run"]);
    assert_eq!(dry["summary"]["planned"], 1);
    assert_eq!(content_object(&content), before, "a dry run changes nothing");
    let account = sync(&tenant, &[]);
    assert_eq!(account["summary"]["done"], 1, "{account}");
    assert_eq!(account["contents"][&content]["changes"], dry["contents"][&content]["changes"]);
    let after = content_object(&content);
    let labels = json!({
        "backup-ns.sh/type": "adhoc", "backup-ns.sh/pvc": "data", "backup-ns.sh/delete-after": "2026-01-01", "team": "y",
    });
    assert_eq!(after["metadata"]["labels"], labels);
    let annotations = json!({"backup-ns.sh/claim": "{}", "backup-ns.sh/clone-of": "shop/b"});
    assert_eq!(after["metadata"]["annotations"], annotations);
    assert_eq!((&after["spec"], &after["status"]), (&before["spec"], &before["status"]));

    tenant.kubectl(&["label", "volumesnapshot", "a", "backup-ns.sh/delete-after-"]);
    sync(&tenant, &[]);
    let unmarked = content_object(&content);
    assert_eq!(unmarked["metadata"]["labels"]["backup-ns.sh/delete-after"], Value::Null);
    // Nothing more to do: no write, no new version. This is the old name of the command.
    let done = tenant.run(&["controller", "syncMetadataToVsc"], |_| ()).done();
    done.assert(0, &[]);
    assert_eq!(content_object(&content), unmarked);

    lose(&tenant, "a");
    sync(&tenant, &[]);
    assert_eq!(
        content_object(&content)["metadata"]["labels"],
        unmarked["metadata"]["labels"],
        "what is known last stays"
    );
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_lost_snapshot_comes_back_with_what_was_known_of_it() {
    let tenant = Tenant::volume("rebind");
    let labels =
        json!({"backup-ns.sh/retain": "days", "backup-ns.sh/run": "r1", "backup-ns.sh/delete-after": "2026-01-01"});
    let (content, stored) = mirrored(&tenant, "a", &labels);
    tenant.run(&["rebind-vsc", &content], |_| ()).done().assert(4, &["bound to", "backup-ns restore a"]);
    assert_eq!(stored.contents().len(), 1, "nothing was made");
    lose(&tenant, "a");

    let before = content_object(&content);
    let dry = rebind(&tenant, &content, &["--dry-run"]);
    assert_eq!(dry["steps"].as_array().unwrap().len(), 4, "{dry}");
    assert_eq!((tenant.snapshots(), stored.contents()), (vec![], vec![before]), "a dry run changes nothing");

    let result = rebind(&tenant, &content, &[]);
    assert_eq!(result["volumeSnapshot"], "a");
    // It was noted whose it is, but not what the claim was like.
    assert_eq!(result["next"], format!("backup-ns restore a -n {} --pvc data", tenant.namespace));
    assert!(result["notes"][0].as_str().unwrap().contains("2026-01-01 is not taken along"), "{result}");
    let object = assert_one(&tenant, &stored, "a");
    let expected = json!({
        "backup-ns.sh/type": "adhoc", "backup-ns.sh/pvc": "data", "backup-ns.sh/retain": "days", "backup-ns.sh/run": "r1",
    });
    assert_eq!(object["metadata"]["labels"], expected);
    assert_restores(&tenant, "a");
    // A second call finds that all is done, and says the same.
    assert_eq!(rebind(&tenant, &content, &[])["volumeSnapshotContent"], result["volumeSnapshotContent"]);
    assert_one(&tenant, &stored, "a");

    // What is rebound can be lost, and be rebound, again; the name may be another one's by now.
    lose(&tenant, "a");
    tenant.snapshot("a", &json!({}));
    let _another = Stored::of(&tenant.content("a"));
    let content = result["volumeSnapshotContent"].as_str().unwrap();
    tenant.run(&["rebind-vsc", content], |_| ()).done().assert(4, &["another VolumeSnapshot", "--name"]);
    rebind(&tenant, content, &["--name", "b"]);
    assert_one(&tenant, &stored, "b");
    tenant.run(&["rebind-vsc", "no-such"], |_| ()).done().assert(4, &["no VolumeSnapshotContent no-such"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_namespace_that_was_deleted_gets_its_data_back() {
    let tenant = Tenant::volume("gone");
    // Under Delete the content would go along: a person sets it to Retain, and back again before it is looked for.
    let (content, stored) = mirrored(&tenant, "a", &json!({"backup-ns.sh/daily": "2026-01-01"}));
    kubectl(&["delete", "namespace", &tenant.namespace]);
    let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
    kubectl(&["patch", "volumesnapshotcontent", &content, "--type=merge", "-p", policy]);
    let without_namespace = |command: &mut Command| {
        let args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_os_string).collect();
        let program = command.get_program().to_os_string();
        let at = args.iter().position(|arg| arg == "-n").unwrap();
        let rest: Vec<_> = args[..at].iter().chain(&args[at + 2..]).cloned().collect();
        *command = Command::new(program);
        command.args(rest);
    };
    let missing = tenant.run(&["rebind-vsc", &content], without_namespace).done();
    missing.assert(4, &["is not there", &format!("kubectl create namespace {}", tenant.namespace)]);
    assert_eq!(stored.contents().len(), 1, "nothing was made");
    kubectl(&["create", "namespace", &tenant.namespace]);
    let done = tenant.run(&["rebind-vsc", &content], without_namespace).done();
    done.assert(0, &[]);
    let object = assert_one(&tenant, &stored, "a");
    assert_eq!(object["metadata"]["labels"]["backup-ns.sh/daily"], "2026-01-01");
    assert_restores(&tenant, "a");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_namespace_that_was_deleted_before_its_notes_were_copied_gets_its_data_back() {
    let tenant = Tenant::volume("unsynced");
    let size = tenant.get(&["pvc", "data"])["status"]["capacity"]["storage"].clone();
    tenant.snapshot("a", &json!({}));
    let content = tenant.content("a");
    let stored = Stored::of(&content);
    kubectl(&["delete", "namespace", &tenant.namespace]);
    kubectl(&["create", "namespace", &tenant.namespace]);
    let result = rebind(&tenant, &content, &[]);
    assert!(result["notes"][0].as_str().unwrap().contains("says nothing of its snapshot"), "{result}");
    let next = format!("backup-ns restore a -n {} --pvc NAME", tenant.namespace);
    assert_eq!(result["next"], next);
    assert_one(&tenant, &stored, "a");

    let nameless = tenant.run(&["restore", "a", "--wait"], |_| ()).done();
    nameless.assert(4, &["the claim of VolumeSnapshot a is unknown", &next, "apply no workload"]);
    let done = tenant.run(&["restore", "a", "--pvc=restored", "--wait"], |_| ()).done();
    done.assert(0, &["nothing tells what the claim was like"]);
    let told: Value = serde_json::from_str(&done.stdout).unwrap();
    let assumed = told["assumed"].as_str().unwrap();
    assert!(assumed.contains("ReadWriteOnce, Filesystem, the cluster's default StorageClass"), "{assumed}");
    assert_eq!(told["bound"], true);
    let claim = tenant.get(&["pvc", "restored"]);
    assert_eq!(claim["status"]["capacity"]["storage"], size);
    assert_holds(&tenant, "restored");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_rebind_that_is_killed_at_any_step_is_gone_on_with() {
    let tenant = Tenant::volume("kill");
    let (mut content, stored) = mirrored(&tenant, "a", &json!({"backup-ns.sh/clone": "x"}));
    // After each step, and before each answer of the API that changes something.
    for step in [
        "step=\"look\"",
        "step=\"keep\"",
        "step=\"content\"",
        "step=\"snapshot\"",
        "step=\"ready\"",
        "step=\"release\"",
    ] {
        lose(&tenant, "a");
        // The one before has gone; each step has something to do.
        let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
        kubectl(&["patch", "volumesnapshotcontent", &content, "--type=merge", "-p", policy]);
        let mut killed = tenant.run(&["rebind-vsc", &content], |_| ());
        killed.until_says(step);
        killed.signal("KILL");
        killed.done();
        let result = rebind(&tenant, &content, &[]);
        assert_one(&tenant, &stored, "a");
        content = result["volumeSnapshotContent"].as_str().unwrap().to_string();
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn an_answer_that_is_lost_on_the_way_harms_no_rebind() {
    let tenant = Tenant::volume("lost");
    let (mut content, stored) = mirrored(&tenant, "a", &json!({}));
    for call in ["patch volumesnapshotcontents", "v1/volumesnapshotcontents -f", "/volumesnapshots -f", "delete --raw"]
    {
        lose(&tenant, "a");
        let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
        kubectl(&["patch", "volumesnapshotcontent", &content, "--type=merge", "-p", policy]);
        // The first call of this kind is heard, but its answer never comes, and its caller is killed.
        let fake = Fake::new(call, "kubectl \"$@\" >answer; : >there; exec sleep 60");
        let killed = tenant.run(&["rebind-vsc", &content], |command| fake.stand_in(command));
        until(call, 60, || fake.0.path().join("there").exists().then_some(()));
        killed.signal("KILL");
        killed.done();
        let result = rebind(&tenant, &content, &[]);
        assert_one(&tenant, &stored, "a");
        content = result["volumeSnapshotContent"].as_str().unwrap().to_string();
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_content_that_was_carried_into_a_cluster_without_its_snapshot_and_class_is_rebound() {
    let tenant = Tenant::volume("carried");
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    lose(&tenant, "a");
    // As it comes out of a file: bound to what never was here, by a class that is not here. Without the controller's word
    // that its snapshot is gone, its finalizer would hold it for ever.
    let old = content_object(&content);
    let mut carried = json!({
        "apiVersion": old["apiVersion"], "kind": old["kind"], "spec": old["spec"],
        "metadata": {
            "name": format!("carried-{}", tenant.namespace), "labels": old["metadata"]["labels"],
            "annotations": {"backup-ns.sh/clone-of": "shop/b"},
            "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"],
        },
    });
    carried["spec"]["source"] = json!({"snapshotHandle": handle(&old)});
    carried["spec"]["volumeSnapshotClassName"] = json!("no-such-class");
    carried["spec"]["volumeSnapshotRef"]["uid"] = json!("00000000-0000-0000-0000-000000000000");
    kubectl(&["delete", "volumesnapshotcontent", &content]);
    apply("default", &carried);
    // Into another namespace than it was of.
    let into = Tenant::empty("into");
    let result = rebind(&into, carried["metadata"]["name"].as_str().unwrap(), &[]);
    assert_eq!((&result["namespace"], tenant.snapshots()), (&json!(into.namespace), vec![]));
    assert_one(&into, &stored, "a");
    let new = content_object(result["volumeSnapshotContent"].as_str().unwrap());
    assert_eq!(new["metadata"]["annotations"]["backup-ns.sh/clone-of"], "shop/b", "a clone stays one");
    assert_eq!(new["spec"].get("volumeSnapshotClassName"), None);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_cannot_be_brought_back_now_stays_as_it_is() {
    let tenant = Tenant::empty("away");
    let name = format!("away-{}", tenant.namespace);
    let stored = Stored(format!("handle-{}", tenant.namespace));
    let content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": {"name": name},
        "spec": {
            "deletionPolicy": "Retain", "driver": AWAY, "source": {"snapshotHandle": stored.0},
            "volumeSnapshotRef": {"namespace": tenant.namespace, "name": "a"},
        },
    });
    apply("default", &content);
    let old = content_object(&name);
    let args = ["rebind-vsc", name.as_str(), "--vs-wait-until-ready-timeout=2s"];
    // Twice: the second call goes on with what the first one made.
    for _ in 0..2 {
        let done = tenant.run(&args, |_| ()).done();
        done.assert(7, &["was not ready within 2s", "the stored data is untouched", "run this again"]);
        assert_eq!(content_object(&name)["metadata"]["uid"], old["metadata"]["uid"]);
        assert_eq!((stored.contents().len(), tenant.snapshots()), (2, vec!["a".to_string()]));
        assert!(stored.contents().iter().all(|content| content["spec"]["deletionPolicy"] == "Retain"));
    }
    // Another name than that of the call before would make a third.
    let other = tenant.run(&[&args[..], &["--name", "b"]].concat(), |_| ()).done();
    other.assert(4, &["an earlier call began to rebind it as", "--name a"]);

    // Made to be cut from a volume that is not there: nothing is stored.
    let empty = format!("empty-{}", tenant.namespace);
    let mut never_cut = content;
    never_cut["metadata"]["name"] = json!(empty);
    never_cut["spec"]["source"] = json!({"volumeHandle": "no-such-volume"});
    apply("default", &never_cut);
    tenant.run(&["rebind-vsc", &empty], |_| ()).done().assert(4, &["nothing was ever stored"]);
    kubectl(&["delete", "volumesnapshotcontent", &empty, "--wait=false"]);
    kubectl_with(
        &["patch", "volumesnapshotcontent", &empty, "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#],
        "",
    );
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_content_that_is_changed_in_the_last_moment_does_not_take_the_data_along() {
    let tenant = Tenant::volume("race");
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    lose(&tenant, "a");
    // Right before the old content is deleted, a person has its deletion delete the data.
    let policy = |policy: &str| {
        format!(
            r#"kubectl patch volumesnapshotcontent {content} --type=merge -p '{{"spec":{{"deletionPolicy":"{policy}"}}}}'"#
        )
    };
    let fake = Fake::new("delete --raw", &format!("{} >&2", policy("Delete")));
    let done = tenant.run(&["rebind-vsc", &content], |command| fake.stand_in(command)).done();
    done.assert(1, &["another client is changing", "run this again"]);
    assert_eq!(content_object(&content)["metadata"]["deletionTimestamp"], Value::Null);
    assert_eq!(stored.contents().len(), 2);
    // A change that does not matter is no reason to give up.
    let fake =
        Fake::new("delete --raw", &format!("[ -e there ] || kubectl label volumesnapshotcontent {content} x=y >there"));
    tenant.run(&["rebind-vsc", &content], |command| fake.stand_in(command)).done().assert(0, &[]);
    assert!(fake.0.path().join("there").exists());
    assert_one(&tenant, &stored, "a");
    assert_restores(&tenant, "a");
}

/// `delete-vsc`, without a question; how it ended.
fn let_go(tenant: &Tenant, content: &str, args: &[&str]) -> Done {
    tenant.run(&[&["delete-vsc", content, "--yes"], args].concat(), |_| ()).done()
}

fn status(tenant: &Tenant) -> Value {
    let done = tenant.run(&["status"], |_| ()).done();
    done.assert(0, &[]);
    serde_json::from_str(&done.stdout).unwrap()
}

/// A content is no more.
fn assert_gone(content: &str) {
    until("the content is gone", 30, || {
        (!kubectl_with(&["get", "volumesnapshotcontent", content], "").status.success()).then_some(())
    });
}

#[test]
#[ignore = "needs a cluster: make test"]
fn stored_data_that_is_not_wanted_any_more_is_deleted_by_a_command() {
    let tenant = Tenant::volume("orphan");
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    let_go(&tenant, &content, &["--force"]).assert(4, &["is not without a snapshot", "backup-ns delete a -n"]);
    lose(&tenant, "a");
    assert_eq!(status(&tenant)["orphanedContents"][0]["name"], content);
    let before = content_object(&content);
    let_go(&tenant, &content, &["--dry-run"]).assert(0, &[]);
    let_go(&tenant, &content, &["--keep-data"]).assert(4, &["no other VolumeSnapshotContent", "rebind-vsc"]);
    tenant.run(&["delete-vsc", &content], |_| ()).done().assert(2, &["confirmation is needed"]);
    assert_eq!(content_object(&content), before, "nothing was changed");
    // Killed after each step, and before the answer to each change; the same call goes on.
    for call in ["patch volumesnapshotcontents", "delete --raw"] {
        let fake = Fake::new(call, ": >there; exec sleep 60");
        let killed = tenant.run(&["delete-vsc", &content, "--yes"], |command| fake.stand_in(command));
        until(call, 60, || fake.0.path().join("there").exists().then_some(()));
        killed.signal("KILL");
        killed.done();
        assert_eq!(stored.contents().len(), 1);
    }
    let_go(&tenant, &content, &[]).assert(0, &[]);
    assert_gone(&content);
    // The storage does not know it any more.
    let probe = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": format!("probe-{}", tenant.namespace)},
        "spec": {
            "deletionPolicy": "Retain", "driver": before["spec"]["driver"], "source": {"snapshotHandle": stored.0},
            "volumeSnapshotRef": {"namespace": tenant.namespace, "name": "b"},
        },
    });
    apply("default", &probe);
    let wanted = tenant
        .run(&["rebind-vsc", probe["metadata"]["name"].as_str().unwrap(), "--vs-wait-until-ready-timeout=3s"], |_| ());
    wanted.done().assert(7, &[]);
    let_go(&tenant, &content, &[]).assert(0, &[]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_twin_that_a_killed_rebind_left_goes_without_the_data() {
    let tenant = Tenant::volume("twin");
    let (content, stored) = mirrored(&tenant, "a", &json!({"backup-ns.sh/delete-after": "2020-01-01"}));
    lose(&tenant, "a");
    let fake = Fake::new("delete --raw", "kill -9 $PPID; exit 1");
    tenant.run(&["rebind-vsc", &content], |command| fake.stand_in(command)).done();
    assert_eq!(stored.contents().len(), 2);
    let told = status(&tenant);
    assert_eq!(told["orphanedContents"], json!([]), "{told}");
    let superfluous = &told["superfluousContents"][0];
    assert_eq!(
        (&superfluous["name"], &superfluous["belongsTo"]),
        (&json!(content), &json!(format!("{}/a", tenant.namespace)))
    );
    let doctor = tenant.run(&["doctor", "--db-skip"], |_| ()).done();
    assert!(doctor.stdout.contains(&format!("backup-ns delete-vsc {content} --keep-data")), "{}", doctor.stdout);
    // Neither by name nor by date.
    let remedy = format!("backup-ns delete-vsc {content} --keep-data");
    tenant.run(&["delete", "a", "--yes", "--force"], |_| ()).done().assert(4, &["a is not deleted", &remedy]);
    tenant.kubectl(&[
        "label",
        "volumesnapshot",
        "a",
        "backup-ns.sh/delete-after=2020-01-01",
        "backup-ns.sh/retain=days",
    ]);
    tenant.snapshot("b", &json!({"backup-ns.sh/retain": "days"}));
    let _newer = Stored::of(&tenant.content("b"));
    tenant.run(&["mark-and-delete"], |_| ()).done().assert(0, &[&remedy]);
    assert_eq!(stored.contents().len(), 2);
    let_go(&tenant, &content, &["--keep-data"]).assert(0, &[]);
    assert_one(&tenant, &stored, "a");
    assert_restores(&tenant, "a");
    // Once it is alone it is not taken for another's.
    let_go(&tenant, &tenant.content("a"), &["--keep-data"]).assert(4, &["is not without a snapshot"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_a_clone_left_whose_namespace_is_gone_goes_without_the_data() {
    let tenant = Tenant::volume("bridge");
    let (_, stored) = mirrored(&tenant, "a", &json!({}));
    let into = Tenant::empty("bridge-to");
    tenant.run(&["restore", "a", "--to-namespace", &into.namespace, "--pvc=copy"], |_| ()).done().assert(0, &[]);
    let bridge =
        stored.contents().into_iter().find(|one| one["metadata"]["name"].as_str().unwrap().starts_with("clone-"));
    let bridge = bridge.unwrap()["metadata"]["name"].as_str().unwrap().to_string();
    // In use, and its source is held: each says so, and what to do.
    let in_use = let_go(&tenant, &bridge, &["--keep-data"]);
    in_use.assert(4, &[&format!("backup-ns delete a -n {}", into.namespace)]);
    tenant.run(&["delete", "a", "--yes", "--force"], |_| ()).done().assert(4, &[&bridge]);
    kubectl(&["delete", "namespace", &into.namespace]);
    let told = status(&tenant);
    assert_eq!(told["orphanedContents"], json!([]), "{told}");
    let_go(&tenant, &bridge, &["--keep-data"]).assert(0, &[]);
    assert_one(&tenant, &stored, "a");
    assert_restores(&tenant, "a");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_rebind_and_a_deletion_of_the_same_data_never_leave_a_snapshot_without_data() {
    let tenant = Tenant::volume("both");
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    let bin = env!("CARGO_BIN_EXE_backup-ns");
    let real = |command: &str| {
        format!("[ -e there ] || {{ : >there; {bin} {command} -n {} >out 2>&1 || :; }}", tenant.namespace)
    };
    // All of a rebind between the last look and the deletion.
    lose(&tenant, "a");
    let fake = Fake::new("delete --raw", &real(&format!("rebind-vsc {content}")));
    let done = tenant.run(&["delete-vsc", &content, "--yes"], |command| fake.stand_in(command)).done();
    done.assert(1, &["names its data now"]);
    let object = assert_one(&tenant, &stored, "a");
    // All of a deletion between the mark that keeps the data and the second content.
    let content = object["status"]["boundVolumeSnapshotContentName"].as_str().unwrap().to_string();
    lose(&tenant, "a");
    let fake = Fake::new("volumesnapshotcontents -f", &real(&format!("delete-vsc {content} --yes")));
    let done = tenant.run(&["rebind-vsc", &content], |command| fake.stand_in(command)).done();
    done.assert(1, &["deleted the VolumeSnapshotContent", "perhaps with its data"]);
    assert_eq!(tenant.snapshots(), Vec::<String>::new());
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_clone_whose_source_is_deleted_meanwhile_gives_way() {
    let (tenant, into) = (Tenant::volume("source-goes"), Tenant::empty("source-goes-to"));
    let (_, stored) = mirrored(&tenant, "a", &json!({}));
    let delete = format!("{} delete a -n {} --yes --force", env!("CARGO_BIN_EXE_backup-ns"), tenant.namespace);
    let args = ["restore", "a", "--to-namespace", into.namespace.as_str(), "--pvc=copy"];
    // All of the deletion before the clone's content is made: the source is gone with its data.
    let fake = Fake::new("volumesnapshotcontents -f", &format!("[ -e there ] || {{ : >there; {delete} >out 2>&1; }}"));
    let done = tenant.run(&args, |command| fake.stand_in(command)).done();
    done.assert(1, &["deleted the VolumeSnapshot a meanwhile", "backup-ns list"]);
    until("no content names the data", 30, || stored.contents().is_empty().then_some(()));
    assert_eq!((tenant.snapshots(), into.snapshots()), (vec![], vec![]));
    // All of it after the deletion's first look: its second one finds the content, and the data stays under its own.
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    let clone = format!("{} -n {} {}", env!("CARGO_BIN_EXE_backup-ns"), tenant.namespace, args.join(" "));
    let fake = Fake::new("patch volumesnapshots", &format!("[ -e there ] || {{ : >there; {clone} >out 2>&1; }}"));
    let done = tenant.run(&["delete", "a", "--yes", "--force"], |command| fake.stand_in(command)).done();
    done.assert(0, &[]);
    assert!(done.stdout.contains("and its data stay"), "{}", done.stdout);
    assert_eq!(stored.contents().len(), 2, "the owner's and the clone's");
    into.kubectl(&["wait", "pvc/copy", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
    rebind(&tenant, &content, &[]);
    assert_restores(&tenant, "a");
}

/// The namespace can be deleted; nothing of ours holds it.
fn assert_can_go(tenant: &Tenant) {
    kubectl(&["delete", "namespace", &tenant.namespace, "--ignore-not-found", "--timeout=60s"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_delete_that_does_not_come_to_its_end_holds_no_namespace() {
    // It fails, and is taken back; the printed way on works.
    let tenant = Tenant::volume("fails");
    let (content, _stored) = mirrored(&tenant, "a", &json!({}));
    let fake = Fake::new("patch volumesnapshotcontents", "echo 'error: a webhook says no' >&2; exit 1");
    let done = tenant.run(&["delete", "a", "--yes", "--force"], |command| fake.stand_in(command)).done();
    done.assert(1, &["a webhook says no", &format!("backup-ns delete-vsc {content}")]);
    assert_can_go(&tenant);
    let_go(&tenant, &content, &[]).assert(0, &[]);
    assert_gone(&content);

    // It is killed: it is named, and let go by the next pruning, also of a namespace that is going already.
    let tenant = Tenant::volume("killed");
    let (content, stored) = mirrored(&tenant, "a", &json!({}));
    let fake = Fake::new("patch volumesnapshotcontents", "kill -9 $PPID; exit 1");
    tenant.run(&["delete", "a", "--yes", "--force"], |command| fake.stand_in(command)).done();
    // A quarter of an hour later.
    tenant.kubectl(&["annotate", "volumesnapshot", "a", "--overwrite", "backup-ns.sh/deleting=2026-01-01T00:00:00Z"]);
    assert_eq!(status(&tenant)["unfinishedDeletions"][0]["volumeSnapshot"], "a");
    let doctor = tenant.run(&["doctor", "--db-skip"], |_| ()).done();
    assert!(doctor.stdout.contains("backup-ns delete a -n"), "{}", doctor.stdout);
    kubectl(&["delete", "namespace", &tenant.namespace, "--wait=false"]);
    tenant.run(&["retain"], |_| ()).done().assert(0, &[]);
    assert_can_go(&tenant);
    assert_eq!(stored.contents().len(), 1, "its data stays");
    let_go(&tenant, &content, &[]).assert(0, &[]);
    assert_gone(&content);
}
