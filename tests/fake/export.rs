//! `export` against the fake kubectl: its calls, and what is left and stamped after whatever goes wrong between the Job and the
//! stamp. The pod's script is the real one, with a command of the user as its tool.

use std::fs;
use std::process::Command;

use crate::support::fake_api::{JOBS, PODS, POLICIES, SNAPSHOTS};
use crate::support::{ALWAYS, FORBIDDEN, Fault, ONCE, Outcome, Scenario, each};
use serde_json::{Value, json};

/// The calls of an export that goes well.
const WHOLE: &str = "config observe createJob createPolicy trial export deleteJob trial patch";

/// What is in the volume.
const DUMP: &str = "a dump, compressed as it is";

/// A namespace with one snapshot, whose proof is of the file in the pod's volume.
fn export() -> Scenario {
    let scenario = Scenario::cluster(&["export", "-o", "json", "--export-tool=command", "--export-image=tool:1"])
        .namespaces(&["shop"])
        .env("BAK_RETRY_TIMEOUT", "1s")
        .env("BAK_EXPORT_COMMAND", "cat >\"$HOME/copy-${EXPORT_NAME##*/}\"")
        .env("BAK_EXPORT_CHECK", "cat \"$HOME/copy-${EXPORT_NAME##*/}\"");
    let scenario = ["awk", "grep", "sed", "sh"]
        .into_iter()
        .fold(scenario, |scenario, tool| scenario.tool(tool, &format!("exec \"$REAL/{tool}\" \"$@\"")));
    for folder in ["volume", "scratch", "secret"] {
        fs::create_dir_all(scenario.dir().join("pod").join(folder)).unwrap();
    }
    let file = scenario.dir().join("pod/volume/dump.sql.gz");
    fs::write(&file, DUMP).unwrap();
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_string();
    let proof = json!({
        "tool": "pg_dump", "database": "app", "bytes": DUMP.len(), "sha256": sum, "began": "2026-01-02T03:04:00Z",
        "ended": "2026-01-02T03:04:05Z", "file": "/d/dump.sql.gz", "pathInVolume": "dump.sql.gz", "pod": "db-1",
        "container": "db",
    });
    let snapshot = json!({
        "kind": "VolumeSnapshot",
        "metadata": {
            "namespace": "shop", "name": "data-1", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"backup-ns.sh/retain": "days", "backup-ns.sh/pvc": "data"},
            "annotations": {"backup-ns.sh/dump-postgres": proof.to_string()},
        },
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {"readyToUse": true, "creationTime": "2026-01-02T03:04:06Z", "restoreSize": "1Gi"},
    });
    scenario.api().cut([(snapshot, "Retain")]);
    scenario
}

/// The label and the record of an export on the snapshot.
fn stamp(scenario: &Scenario) -> (Value, Value) {
    let meta = scenario.api().get(SNAPSHOTS, "shop/data-1").unwrap()["metadata"].clone();
    let record = meta["annotations"]["backup-ns.sh/export"].as_str().unwrap_or("null");
    (meta["labels"]["backup-ns.sh/exported"].clone(), serde_json::from_str(record).unwrap())
}

#[track_caller]
fn unstamped(scenario: &Scenario) {
    assert_eq!(stamp(scenario), (Value::Null, Value::Null));
}

/// Nothing of the Job is left.
#[track_caller]
fn gone(outcome: &Outcome) {
    let api = outcome.scenario.api();
    assert_eq!((api.keys(JOBS), api.keys(PODS)), (Vec::new(), Vec::new()), "{outcome}");
}

#[test]
fn a_dump_goes_out_comes_back_and_is_stamped() {
    let scenario = export();
    let outcome = scenario.run().exits(0).calls(WHOLE);
    gone(&outcome);
    let (label, record) = stamp(&scenario);
    assert!(label.is_string(), "{label}");
    assert_eq!((&record["tool"], &record["what"], &record["files"]), (&json!("command"), &json!("dump"), &json!(1)));
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&told["export"], &told["alreadyExported"]), (&record, &json!(false)));
    assert_eq!(fs::read_to_string(scenario.dir().join("pod/scratch/copy-dump.sql.gz")).unwrap(), DUMP);
    let manifest = fs::read_to_string(scenario.dir().join("pod/scratch/copy-manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!((&manifest["namespace"], &manifest["volumeSnapshot"]), (&json!("shop"), &json!("data-1")));
    // The stamp is for the version that was read.
    assert!(outcome.argv("patch").contains("resourceVersion"), "{}", outcome.argv("patch"));
    let policy: Value = serde_json::from_str(&outcome.stdin("createPolicy")).unwrap();
    assert_eq!((&policy["spec"]["egress"], &policy["spec"]["ingress"]), (&json!([{}]), &Value::Null));
    drop(outcome);

    // list and status read it, and a second export has nothing to do.
    let again = scenario.again(&["export", "-o", "json", "--export-tool=command", "--export-image=tool:1"]);
    let again = again.exits(0).calls("config observe").says(&["already exported"]);
    let told: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&told["export"], &told["alreadyExported"]), (&record, &json!(true)));
    drop(again);
    let list = scenario.again(&["list", "-o", "json"]).exits(0);
    let rows: Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!((&rows[0]["exported"], &rows[0]["export"]), (&label, &record), "{list}");
    drop(list);
    let status = scenario.again(&["status", "-n", "shop"]);
    assert!(status.stdout.lines().next().unwrap().contains("VERIFIED   EXPORTED"), "{status}");
}

#[test]
fn a_dry_run_shows_the_job_and_makes_nothing() {
    let scenario = export().arg("--dry-run");
    let before = scenario.api().everything();
    let outcome = scenario.run().exits(0).calls("config observe");
    let plan: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(plan["dryRun"], true);
    let text = plan.to_string();
    for words in ["\"kind\":\"Job\"", "\"kind\":\"NetworkPolicy\"", "patch volumesnapshots"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(scenario.api().everything(), before);
}

#[test]
fn a_right_that_is_missing_is_named_and_leaves_nothing() {
    // The call that is refused, how it ends, and whether the copy is stamped.
    let cases = [
        ("observe", 4, false),
        ("createJob", 4, false),
        ("trial", 4, false),
        ("export", 4, false),
        ("patch", 4, false),
        // More than an export needs.
        ("createPolicy", 0, true),
        ("deleteJob", 0, true),
    ];
    each(&cases, |(call, code, stamped)| {
        let scenario = export().fault(call, ALWAYS, Fault::Refuse(FORBIDDEN));
        let outcome = scenario.run().exits(*code).says(&["this is forbidden"]);
        assert_eq!(stamp(&scenario).0.is_string(), *stamped, "{call}: {outcome}");
        // Who may not delete the Job leaves it to its own limits.
        if *call != "deleteJob" {
            gone(&outcome);
        }
        assert_eq!(
            scenario.api().keys(POLICIES).len(),
            usize::from(outcome.count("createPolicy") > 0 && *call != "createPolicy")
        );
    });
}

#[test]
fn a_job_that_is_killed_is_told_and_stamps_nothing() {
    // Its pod ended while the file was sent.
    const KILLED: &str = r#"for pod in api/pods/shop/*; do
        echo '{"kind": "Pod", "metadata": {"namespace": "shop", "name": "p", "labels": '"$(sed 's/.*"labels":\({[^}]*}\).*/\1/' "$pod")"'},
            "status": {"phase": "Failed", "reason": "DeadlineExceeded", "containerStatuses": [{"state": {}}]}}' >"$pod"
    done"#;
    let scenario =
        export().fault("export", ALWAYS, Fault::CutAfter("sent", 137)).fault("trial", 2..=2, Fault::Run(KILLED));
    let outcome = scenario.run().exits(1).says(&["its pod is Failed: DeadlineExceeded", "nothing was stamped"]);
    assert_eq!(outcome.count("patch"), 0);
    unstamped(&scenario);
    gone(&outcome);
}

#[test]
fn an_exec_that_is_lost_proves_nothing_whatever_its_exit_code() {
    let cuts = [("repository", 0), ("sent", 0), ("sent", 1), ("sent", 137), ("described", 0), ("manifest", 0)];
    let cases: Vec<_> = cuts
        .into_iter()
        .map(|(key, code)| Fault::CutAfter(key, code))
        .chain([
            Fault::Drop("sent"),
            Fault::Drop("manifest"),
            Fault::Drop("end"),
            // A copy that is stored as it is has the hash of the proof.
            Fault::Rewrite("sent", "0 stored 27 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa -"),
            Fault::Rewrite("sent", "1 stored 27 x -"),
        ])
        .collect();
    each(&cases, |fault| {
        // A session that never says its end goes on until its time is up.
        let scenario = export().env("BAK_EXPORT_TIMEOUT", "20s").fault("export", ALWAYS, *fault);
        let outcome = scenario.run().exits(1).says(&["remedy="]);
        assert_eq!(outcome.count("patch"), 0, "{fault:?}: {outcome}");
        unstamped(&scenario);
        gone(&outcome);
    });
}

#[test]
fn what_is_not_what_was_proven_or_sent_is_bad() {
    let scenario = export();
    fs::write(scenario.dir().join("pod/volume/dump.sql.gz"), "another dump, of that length").unwrap();
    let outcome = scenario.run().exits(8).says(&["the backup in VolumeSnapshot data-1 is bad"]);
    unstamped(&scenario);
    gone(&outcome);
    drop(outcome);
    let scenario = export().env("BAK_EXPORT_CHECK", "echo something else");
    let outcome = scenario.run().exits(8).says(&["the SHA-256 of what came back is not that of what was sent"]);
    unstamped(&scenario);
    gone(&outcome);
}

#[test]
fn a_snapshot_that_changes_meanwhile_is_stamped_in_its_new_version() {
    const NOTE: &str = r#"{"metadata": {"annotations": {"note": "of another client"}}}"#;
    let scenario = export().fault("patch", 1..=2, Fault::Change("shop/data-1", NOTE));
    // The second patch changes nothing: the object has the note already.
    let outcome = scenario.run().exits(0);
    assert_eq!((outcome.count("patch"), outcome.count("get")), (2, 1), "{outcome}");
    assert!(stamp(&scenario).0.is_string());
    let meta = scenario.api().get(SNAPSHOTS, "shop/data-1").unwrap()["metadata"].clone();
    assert_eq!(meta["annotations"]["note"], "of another client");
    drop(outcome);

    // One that is gone, and one that another has replaced, is not stamped.
    let gone_meanwhile = export().fault("patch", ONCE, Fault::Run("rm api/volumesnapshots/shop/data-1"));
    gone(&gone_meanwhile.run().exits(1));
    const REPLACED: &str = r#"sed 's/"uid":"uid-[0-9]*"/"uid":"other"/; s/"resourceVersion":"[0-9]*"/"resourceVersion":"9999"/' \
        api/volumesnapshots/shop/data-1 >new && mv new api/volumesnapshots/shop/data-1"#;
    let replaced = export().tool("sed", "exec \"$REAL/sed\" \"$@\"").fault("patch", ONCE, Fault::Run(REPLACED));
    let outcome = replaced.run().exits(1).says(&["is another one now"]);
    unstamped(&replaced);
    gone(&outcome);
}

#[test]
fn a_second_export_waits_for_the_first_and_sends_nothing_that_it_sent() {
    // The Job of another run is there, and goes once its run has stamped the snapshot.
    let of_another = |scenario: &Scenario| {
        let outcome =
            scenario.again(&["export", "--dry-run", "-o", "json", "--export-tool=command", "--export-image=tool:1"]);
        let plan: Value = serde_json::from_str(&outcome.exits(0).stdout).unwrap();
        let steps = plan["steps"].as_array().unwrap().clone();
        let mut job = steps.iter().find(|step| step["manifest"]["kind"] == "Job").unwrap()["manifest"].clone();
        job["metadata"]["annotations"]["backup-ns.sh/run"] = json!("another");
        scenario.api().put(JOBS, job);
    };
    const STAMP: &str = r#"{"metadata": {"labels": {"backup-ns.sh/exported": "2026-01-02"}, "annotations": {"backup-ns.sh/export":
        "{\"tool\": \"command\", \"what\": \"dump\", \"repository\": \"r\", \"manifest\": \"m\", \"bytes\": 1, \"files\": 1, \"at\": \"2026-01-02T03:00:00Z\", \"seconds\": 1}"}}}"#;
    let scenario = export().fault("createJob", 2..=2, Fault::Run("rm -r api/jobs/shop")).fault(
        "createJob",
        2..=2,
        Fault::Change("shop/data-1", STAMP),
    );
    of_another(&scenario);
    let outcome = scenario.run().exits(0).says(&["another export of it is at work", "already exported"]);
    assert_eq!((outcome.count("createJob"), outcome.count("export"), outcome.count("patch")), (2, 0, 0), "{outcome}");
    assert_eq!(stamp(&scenario).1["repository"], "r");
    gone(&outcome);
    drop(outcome);

    // One that does not end in time is left alone.
    let scenario = export().env("BAK_EXPORT_TIMEOUT", "1s");
    of_another(&scenario);
    let outcome = scenario.run().exits(5).says(&["another export of it is at work"]);
    assert_eq!(scenario.api().keys(JOBS).len(), 1, "{outcome}");
    unstamped(&scenario);
}
