//! `status` agrees with the cluster: after a failed night, with stored data left over, and when a claim is gone.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

fn status(tenant: &Tenant, args: &[&str], code: i32) -> Value {
    let done = tenant.run(&[&["status"], args].concat(), |_| ()).done();
    assert_eq!(done.status.code(), Some(code), "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

fn find(told: &Value, pvc: &str) -> Value {
    let mut all = told["claims"].as_array().unwrap().iter();
    all.find(|claim| claim["pvc"] == pvc).cloned().unwrap_or_else(|| panic!("no {pvc}: {told}"))
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_it_says_is_what_there_is() {
    let tenant = Tenant::volume("status");
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "backup"}, "data": {"BAK_PVC_NAME": "data,gone"}});
    apply(&tenant.namespace, &settings);
    cronjob(&tenant, "backup", &["create"], |cronjob| {
        // On a day that does not come.
        cronjob["spec"]["schedule"] = json!("0 0 31 2 *");
        cronjob["spec"]["suspend"] = json!(false);
        let container = &mut cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        container["envFrom"] = json!([{"configMapRef": {"name": "backup"}}]);
    });
    let done = tenant.create(&["--db-skip"]).done();
    done.assert(0, &[]);
    let first: Value = serde_json::from_str(&done.stdout).unwrap();
    // `kubectl describe` of the claim shows it.
    let described = || tenant.kubectl(&["describe", "pvc", "data"]);
    assert!(described().contains("BackupReady"), "{}", described());
    let told = status(&tenant, &[], 0);
    let data = find(&told, "data");
    assert_eq!((&data["exists"], &data["phase"], &data["scheduled"]), (&json!(true), &json!("Bound"), &json!(true)));
    assert_eq!(data["snapshots"], json!({"ready": 1, "pending": 0, "failed": 0, "distrusted": 0}));
    assert_eq!(data["newestReady"]["name"], first["volumeSnapshot"]);
    assert_eq!(data["newestReady"]["made"], first["creationTime"]);
    assert_eq!(data["newestReady"]["restoreSize"], first["restoreSize"]);
    assert_eq!((&data["notes"], &told["overdue"]), (&json!([]), &json!([])));
    // A claim that was never there.
    let gone = find(&told, "gone");
    assert_eq!((&gone["exists"], &gone["scheduled"]), (&json!(false), &json!(true)));
    assert_eq!(gone["notes"], json!(["the claim is not there", "there is no good backup"]));

    // A failed night.
    let failing = Class::new("night", &json!({"fail": "the array is on fire"}));
    let class = format!("--vs-class-name={}", failing.0);
    tenant.create(&["--db-skip", &class, "--vs-wait-until-ready-timeout=5s"]).done().assert(7, &[]);
    let told = described();
    assert!(told.contains("BackupFailed") && told.contains("the array is on fire"), "{told}");
    let data = find(&status(&tenant, &[], 0), "data");
    assert_eq!(data["snapshots"], json!({"ready": 1, "pending": 0, "failed": 1, "distrusted": 0}));
    assert_eq!((&data["newestReady"]["name"], &data["newest"]["state"]), (&first["volumeSnapshot"], &json!("failed")));
    assert!(data["notes"].to_string().contains("the array is on fire"), "{data}");

    // Stored data that is left over, and was never synced.
    let name = first["volumeSnapshot"].as_str().unwrap();
    let content = tenant.content(name);
    tenant.kubectl(&["delete", "volumesnapshot", name]);
    let told = status(&tenant, &[], 0);
    let orphans = told["orphanedContents"].as_array().unwrap();
    assert_eq!(orphans.len(), 1, "{told}");
    assert_eq!((&orphans[0]["name"], &orphans[0]["volumeSnapshot"]), (&json!(content), &json!(name)));
    assert!(find(&told, "data")["newestReady"].is_null());
    // Seen from everywhere it is the same.
    let all = status(&tenant, &["-A"], 0);
    assert!(all["orphanedContents"].to_string().contains(&content), "{all}");

    // The claim goes; its history stays.
    tenant.create(&["--db-skip"]).done().assert(0, &[]);
    let failed = find(&told, "data")["newest"]["name"].as_str().unwrap().to_string();
    // As long as a snapshot is to be cut of it, it stays.
    tenant.kubectl(&["delete", "volumesnapshot", &failed, "--timeout=60s"]);
    tenant.kubectl(&["delete", "pod/holder", "pvc/data", "--timeout=60s"]);
    let data = find(&status(&tenant, &[], 0), "data");
    assert_eq!((&data["exists"], &data["snapshots"]["ready"]), (&json!(false), &json!(1)));
    assert_eq!(data["notes"][0], "the claim is not there");

    // What the account of the README may see is shown, and what it may not is said.
    account(&tenant);
    let file = tenant.kubeconfig("backup-ns");
    let output = Command::new(env!("CARGO_BIN_EXE_backup-ns"))
        .args(["status", "-o", "prometheus"])
        .env("KUBECONFIG", file.path())
        .output()
        .unwrap();
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("volumesnapshotcontents of the cluster") && said.contains("cronjobs of"), "{said}");
    assert!(out.contains("\nbackup_ns_claim_exists{") && !out.contains("\nbackup_ns_orphaned_contents "), "{out}");

    // It is brought back, and no orphan any more.
    tenant.run(&["rebind-vsc", &content], |_| ()).done().assert(0, &[]);
    assert_eq!(status(&tenant, &[], 0)["orphanedContents"], json!([]));
    let [again] = &tenant.snapshots().into_iter().filter(|other| other == name).collect::<Vec<_>>()[..] else {
        panic!()
    };
    tenant.run(&["delete", again, "--yes", "--force"], |_| ()).done().assert(0, &[]);
}
