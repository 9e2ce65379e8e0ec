//! Exports on the real cluster: a proven dump comes back from a server, a copy that does not is found out, and nothing is left.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;
use crate::remotes::server;

/// What an export may leave: its Job, pod, claim and NetworkPolicy.
pub fn left(tenant: &Tenant) -> String {
    tenant.kubectl(&["get", "jobs,pods,pvc,networkpolicies", "-l", "backup-ns.sh/export-job", "-o", "name"])
}

fn export(tenant: &Tenant, args: &[&str]) -> Done {
    let image = ["export", "--export-image=restic/restic:0.14.0", "--export-secret=export"];
    let done = tenant.run(&[&image, args].concat(), |_| ()).done();
    assert_eq!(left(tenant), "", "{}", done.stderr);
    done
}

/// The label and the annotation of an export.
pub fn stamp(tenant: &Tenant, snapshot: &str) -> (Value, Value) {
    let meta = tenant.get(&["volumesnapshot", snapshot])["metadata"].clone();
    let note = meta["annotations"]["backup-ns.sh/export"].as_str().unwrap_or("null");
    (meta["labels"]["backup-ns.sh/exported"].clone(), serde_json::from_str(note).unwrap())
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_is_exported_read_back_and_stamped() {
    if !has_image("restic/restic:0.14.0") || !has_image("backup-ns/remotes:12") {
        return;
    }
    let tenant = Tenant::small("export", 256, |_| ());
    let args = ["rclone", "serve", "restic", "--addr", ":8080", "/srv"];
    let address = server(&tenant, "far", "backup-ns/remotes:12", &args, &[], 8080);
    let repository = format!("rest:http://user:hunter2@{address}/shop");
    let secret = |password: &str| {
        let data = json!({"RESTIC_REPOSITORY": repository, "RESTIC_PASSWORD": password});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "export"}, "stringData": data});
        apply(&tenant.namespace, &secret);
    };
    secret("hunter2 is secret");
    let snapshot = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();

    // A dry run says what would be made, and makes nothing.
    let plan = export(&tenant, &["--dry-run"]);
    plan.assert(0, &[]);
    let plan = serde_json::from_str::<Value>(&plan.stdout).unwrap().to_string();
    assert!(plan.contains("\"kind\":\"Job\"") && plan.contains("patch volumesnapshots"), "{plan}");
    // The repository does not exist.
    export(&tenant, &[]).assert(4, &["the repository cannot be opened", "restic init"]);
    assert_eq!(stamp(&tenant, &snapshot).0, Value::Null);

    let restic = |args: &[&str]| {
        let mut command = Command::new("restic");
        command.args(args).arg("--no-cache").env("RESTIC_REPOSITORY", &repository);
        let output = command.env("RESTIC_PASSWORD", "hunter2 is secret").output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    restic(&["init", "-q"]);
    let done = export(&tenant, &[]);
    done.assert(0, &[]);
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("hunter2"), "{} {}", done.stdout, done.stderr);
    let found: Value = serde_json::from_str(&done.stdout).unwrap();
    let (label, note) = stamp(&tenant, &snapshot);
    assert!(label.as_str().is_some_and(|day| day.len() == 10), "{label}");
    assert_eq!((&found["export"], &found["alreadyExported"]), (&note, &json!(false)));
    assert_eq!(note["repository"], json!(format!("rest:http://{address}/shop")));
    let ids: Vec<&str> = note["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let name = note["manifest"].as_str().unwrap();
    let manifest: Value = serde_json::from_str(&restic(&["dump", "-q", ids.last().unwrap(), name])).unwrap();
    assert_eq!((&manifest["version"], &manifest["volumeSnapshot"]), (&json!(1), &json!(snapshot)));
    let file = &manifest["files"][0];
    let copy = restic(&["dump", "-q", file["id"].as_str().unwrap(), file["name"].as_str().unwrap()]);
    assert_eq!(json!(copy.len()), file["bytes"]);
    assert!(copy.contains("PostgreSQL database dump complete"), "plain text");

    // It is not done twice unasked.
    let again: Value = serde_json::from_str(&export(&tenant, &[]).stdout).unwrap();
    assert_eq!((&again["export"], &again["alreadyExported"]), (&note, &json!(true)));
    // A server that lost its packs: restic does not send them again, and that is found out.
    tenant.kubectl(&["exec", "far", "--", "sh", "-c", "rm -rf /srv/shop/data/*"]);
    export(&tenant, &["--again"]).assert(8, &["cannot be read back", "restic check --read-data"]);
    assert_eq!(stamp(&tenant, &snapshot), (label, note));
    secret("wrong");
    export(&tenant, &["--again"]).assert(4, &["RESTIC_PASSWORD"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn an_export_that_is_killed_leaves_nothing_and_the_next_one_waits_for_its_end() {
    if !has_image("backup-ns/remotes:12") {
        return;
    }
    let tenant = Tenant::small("killed", 256, |_| ());
    let snapshot = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    let start = |command: &'static str| {
        let args = ["export", "--export-tool=command", "--export-image=backup-ns/remotes:12"];
        tenant.run(&args, move |process| {
            process.env("BAK_EXPORT_COMMAND", command).env("BAK_EXPORT_CHECK", "cat \"$HOME/copies/$EXPORT_NAME\"");
        })
    };
    let mut killed = start("sleep 1000");
    killed.until_says("size and SHA-256 are those of the proof");
    killed.signal("KILL");
    killed.done();
    assert_ne!(left(&tenant), "");
    assert_eq!(stamp(&tenant, &snapshot).0, Value::Null);
    let done = start("mkdir -p \"$HOME/copies/${EXPORT_NAME%/*}\" && cat >\"$HOME/copies/$EXPORT_NAME\"").done();
    done.assert(0, &["another export of it is at work"]);
    assert_eq!(left(&tenant), "", "{}", done.stderr);
    assert_eq!(stamp(&tenant, &snapshot).1["tool"], "command");
}
