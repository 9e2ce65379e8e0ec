//! `doctor` against the fake kubectl: how many processes it takes, that it changes nothing, and what it says of faults that a
//! real cluster cannot be made to have.

use crate::support::{ALWAYS, FORBIDDEN, Fault, Outcome, REFUSED, Scenario};
use serde_json::{Value, json};

/// A sound cluster whose claim says its driver.
fn doctor() -> Scenario {
    let scenario = Scenario::new().args(&["doctor", "-o", "json"]).env("BAK_RETRY_TIMEOUT", "1s");
    scenario.object("PersistentVolumeClaim", |claim| {
        claim["metadata"]["namespace"] = json!("shop");
        claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/storage-provisioner": "csi.example"});
    })
}

/// The lines with an outcome, as `CHECK: WHAT`.
#[track_caller]
fn lines(outcome: &Outcome, wanted: &str) -> Vec<String> {
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    let checks = told["checks"].as_array().unwrap().iter();
    let failed = checks.clone().filter(|check| check["outcome"] == "failed");
    assert_eq!(told["summary"]["failed"], json!(failed.clone().count()));
    assert!(failed.clone().all(|check| !check["remedy"].as_str().unwrap().is_empty()), "no remedy: {outcome}");
    let line = |check: &Value| format!("{}: {}", check["check"].as_str().unwrap(), check["what"].as_str().unwrap());
    checks.filter(|check| check["outcome"] == wanted).map(line).collect()
}

/// It fails this check with these words, and no other.
#[track_caller]
fn fails(scenario: &Scenario, check: &str, words: &str) {
    let outcome = scenario.run().exits(4).says(&["checks failed", "remedy="]);
    let failed = lines(&outcome, "failed");
    let [one] = &failed[..] else { panic!("{failed:?} of {outcome}") };
    assert!(one.starts_with(&format!("{check}: ")) && one.contains(words), "{check} {words}: {one}");
}

/// The calls for a sound namespace. All rights are asked for in one of them.
const WHOLE: &str = "config versions rules observe session try contents";

/// Those where the caller may not list limits: `observe` is the first list, the namespace, and the list of the rest.
const WITHOUT_LIMITS: &str =
    "config versions rules observe review observe kinds observe driver classes session try contents";

#[test]
fn a_sound_namespace_passes_and_nothing_is_changed() {
    let scenario = doctor();
    let outcome = scenario.run().exits(0).calls_in_any_order(WHOLE).lost_nothing();
    assert!(outcome.kinds().len() <= 7, "{outcome}");
    assert_eq!(lines(&outcome, "failed"), [""; 0]);
    let skipped = lines(&outcome, "skipped");
    let expected = ["schedule: no CronJob in shop", "last backup: there is no backup", "locks: no lock is configured"];
    assert_eq!(skipped.len(), expected.len(), "{skipped:?}");
    for (line, words) in skipped.iter().zip(expected) {
        assert!(line.starts_with(words), "{line}");
    }
    // People read the same.
    let scenario = scenario.args(&["doctor"]);
    let words = ["passed   class             csi, the default", "skipped  locks", " passed, 0 failed, 3 skipped\n"];
    scenario.run().exits(0).prints(&words);
}

#[test]
fn a_nightly_cronjob_that_made_nothing_for_long_fails() {
    let pod = json!({"containers": [{"name": "b", "image": "backup-ns"}]});
    let cronjob = |schedule: &str| {
        json!({
            "kind": "CronJob",
            "metadata": {"namespace": "shop", "name": "nightly", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": pod}}}},
        })
    };
    let words = "there is no backup of data, though the CronJob nightly makes them";
    fails(&doctor().also(cronjob("0 3 * * *")), "last backup", words);
    let old = doctor().also(cronjob("0 3 * * *")).snapshot(
        "old",
        json!({"backup-ns.sh/type": "cronjob"}),
        json!({"readyToUse": true, "creationTime": "2026-01-02T03:04:05Z"}),
    );
    fails(&old, "last backup", "old of data is the newest good one, and ");
    doctor().also(cronjob("0 3 * * 0")).run().exits(0);
}

#[test]
fn an_export_is_looked_at_where_one_is_configured() {
    let export = || doctor().env("BAK_EXPORT_IMAGE", "restic/restic:1").env("BAK_EXPORT_SECRET", "restic");
    let there = || export().file("secrets", "restic\n");
    let scenario = there();
    let outcome = scenario.run().exits(0).calls_in_any_order(&format!("{WHOLE} secret")).lost_nothing();
    let passed = lines(&outcome, "passed");
    for line in [
        "export settings: restic of each dump, in restic/restic:1",
        "rights: may get, list, create, delete jobs",
        "rights: may list, get persistentvolumeclaims",
        "export secret: restic is there; what is in it was not read",
    ] {
        assert!(passed.iter().any(|other| other == line), "{line}: {passed:?}");
    }
    let is_skipped = |outcome: &Outcome, line: &str| {
        let skipped = lines(outcome, "skipped");
        assert!(skipped.iter().any(|other| other.starts_with(line)), "{line}: {skipped:?}");
    };
    is_skipped(&outcome, "last export: no copy of data is proven yet");
    drop(outcome);
    fails(&export(), "export secret", "there is no Secret restic");
    fails(&there().file("forbidden", "jobs create"), "rights", "may not create jobs");
    let blind = there().file("forbidden", "secrets get");
    is_skipped(&blind.run().exits(0), "export secret: may not get secrets");
    let rclone = doctor().env("BAK_EXPORT_TOOL", "rclone").env("BAK_EXPORT_IMAGE", "x");
    fails(&rclone, "export settings", "BAK_EXPORT_REMOTE (--export-remote) is not set");
    let away = export().fault("versions", ALWAYS, Fault::Refuse(REFUSED));
    is_skipped(&away.run().exits(4), "last export: the API cannot be asked");
}

#[test]
fn a_cronjob_that_exports_nothing_for_long_fails() {
    let pod = json!({"containers": [{"name": "b", "image": "backup-ns", "args": ["export"]}]});
    let scenario = doctor().also(json!({
        "kind": "CronJob",
        "metadata": {"namespace": "shop", "name": "copy", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
    }));
    fails(&scenario, "last export", "no copy of data is proven, though the CronJob copy exports");
}

#[test]
fn without_a_cluster_the_rest_is_skipped() {
    let scenario = doctor().fault("versions", ALWAYS, Fault::Refuse(REFUSED));
    // Only the first answers were asked for, once each.
    let outcome = scenario.run().exits(4).calls_in_any_order("config versions version rules observe");
    assert!(lines(&outcome, "failed")[0].starts_with("API: "), "{outcome}");
    assert!(lines(&outcome, "passed").iter().any(|line| line == "kubectl: v1.36.3"), "{outcome}");
    let skipped = lines(&outcome, "skipped");
    assert!(skipped.iter().any(|line| line == "pod: the API cannot be asked") && skipped.len() >= 12, "{skipped:?}");
    // Nor without a context, nor without kubectl at all.
    let nothing = doctor().config(json!({"current-context": "", "contexts": null}));
    fails(&nothing, "kubectl", "no current context");
    fails(&doctor().env("PATH", "/nonexistent"), "kubectl", "kubectl");
    fails(&doctor().env("PATH", "/nonexistent").args_also(&["--context=a", "-n", "shop"]), "kubectl", "kubectl");
}

#[test]
fn what_may_not_be_read_is_skipped_and_what_is_missing_fails() {
    // What a Role for backups does not let one see.
    let more = "namespaces get\nconfigmaps get\ncsidrivers get\nevents create\ncronjobs list\njobs list\n\
                volumesnapshotclasses list\nvolumesnapshotcontents list\nresourcequotas list\nlimitranges list\n";
    let scenario = doctor().file("forbidden", more);
    let calls = "config versions rules observe review kinds observe session try";
    let outcome = scenario.run().exits(0).calls_in_any_order(calls);
    let skipped = lines(&outcome, "skipped");
    for line in [
        "namespace: may not get namespaces",
        "driver: may not get csidrivers",
        "class: may not list volumesnapshotclasses",
        "schedule: may not list cronjobs",
        "stored data: may not list volumesnapshotcontents",
        "restore tests: may not list jobs",
        "quota: may not list resourcequotas",
    ] {
        assert!(skipped.iter().any(|other| other == line), "{line}: {skipped:?}");
    }
    // What the rules lack is asked one by one, in one process, and so is every right in the whole cluster.
    let asked: Value = serde_json::from_str(&outcome.stdin("review")).unwrap();
    let attributes = |review: &Value| review["spec"]["resourceAttributes"].clone();
    let asked: Vec<String> = asked["items"].as_array().unwrap().iter().map(attributes).map(word).collect();
    let mut expected: Vec<&str> = more.lines().chain(["persistentvolumes get"]).collect();
    let mut asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    expected.sort_unstable();
    asked.sort_unstable();
    assert_eq!(asked, expected);

    for (right, words, skips) in [
        ("persistentvolumeclaims list", "may not list persistentvolumeclaims", "claim: may not list"),
        ("pods list", "may not list pods", "pod: may not list pods"),
        ("deployments list", "may not list deployments", "pod: may not list deployments.apps"),
        ("pods/exec create", "may not create pods/exec", "container: may not create pods/exec"),
        ("volumesnapshots list", "may not list volumesnapshots", "last backup: may not list"),
        ("volumesnapshots patch", "may not patch volumesnapshots", ""),
    ] {
        let scenario = doctor().file("forbidden", right);
        fails(&scenario, "rights", words);
        let skipped = lines(&scenario.run(), "skipped");
        assert!(skips.is_empty() || skipped.iter().any(|line| line.starts_with(skips)), "{right}: {skipped:?}");
    }
    // Where not even that may be asked, trying tells.
    let scenario =
        doctor().fault("rules", ALWAYS, Fault::Refuse(FORBIDDEN)).fault("review", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0).calls_in_any_order(&format!("{WHOLE} review"));
    assert!(lines(&outcome, "skipped").iter().any(|line| line.starts_with("rights: may not ask")), "{outcome}");
    // A backup needs no quota, so that these may not be listed keeps nothing else from being looked at.
    let scenario = scenario.fault_about("observe", "resourcequotas", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0);
    assert!(lines(&outcome, "skipped").iter().any(|line| line == "quota: may not list resourcequotas"), "{outcome}");
    assert!(lines(&outcome, "passed").iter().any(|line| line == "driver: csi.example is registered"), "{outcome}");
}

#[test]
fn a_cluster_without_snapshots_is_told() {
    const NONE: &str = "Error from server (NotFound): the server could not find the requested resource";
    // kubectl lists nothing if it does not know one of the kinds.
    const UNKNOWN: &str = "error: the server doesn't have a resource type \"volumesnapshots\"";
    let without = || doctor().fault_about("observe", "volumesnapshots", ALWAYS, Fault::Refuse(UNKNOWN));
    let scenario = without().fault("kinds", ALWAYS, Fault::Refuse(NONE));
    fails(&scenario, "snapshot API", "does not know VolumeSnapshots");
    let outcome = scenario.run().exits(4);
    assert!(!last_argv(&outcome, "observe").contains("volumesnapshots"), "{outcome}");
    assert!(lines(&outcome, "skipped").iter().any(|line| line == "class: there is no snapshot API"), "{outcome}");
    assert!(lines(&outcome, "passed").iter().any(|line| line.starts_with("pod: app-base-0 is ready")), "{outcome}");
    let versions = r#"{"versions": [{"version": "v1beta1"}]}"#;
    let scenario = without().fault("kinds", 1..=1, Fault::Refuse(NONE)).fault("kinds", 2..=2, Fault::Print(versions));
    fails(&scenario, "snapshot API", "in v1beta1, not in v1");
    // The other kinds alone are of no use.
    const TWO: &str = r#"{"resources": [{"name": "volumesnapshots"}, {"name": "volumesnapshotclasses"}]}"#;
    let scenario = doctor().fault("contents", ALWAYS, Fault::Refuse(NONE)).fault("kinds", ALWAYS, Fault::Print(TWO));
    fails(&scenario, "snapshot API", "does not know volumesnapshotcontents");
}

fn last_argv(outcome: &Outcome, kind: &str) -> String {
    let call = outcome.calls.iter().rfind(|call| call["kind"] == kind).unwrap();
    call["argv"].to_string()
}

/// `RESOURCE VERB` of a review's attributes.
fn word(attributes: Value) -> String {
    let of = |name: &str| attributes[name].as_str().unwrap_or_default().to_string();
    let subresource = attributes["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
    format!("{}{subresource} {}", of("resource"), of("verb"))
}

/// A webhook may deny what RBAC grants, and lists no rules.
#[test]
fn every_right_is_asked_one_by_one_where_the_rules_are_not_complete() {
    let scenario = || doctor().file("webhook", "");
    let calls = format!("{WHOLE} review");
    let outcome_of = scenario();
    let outcome = outcome_of.run().exits(0).calls_in_any_order(&calls);
    assert!(lines(&outcome, "passed").contains(&"rights: may get, list pods".to_string()), "{outcome}");
    let asked: Value = serde_json::from_str(&outcome.stdin("review")).unwrap();
    assert_eq!(asked["items"].as_array().unwrap().len(), 22, "{asked}");
    fails(&scenario().file("forbidden", "volumesnapshots watch"), "rights", "may not watch volumesnapshots");
    // A rule that a RoleBinding gives is listed, but grants nothing outside its namespace.
    let of_namespace =
        "csidrivers get\nvolumesnapshotclasses list\nvolumesnapshotcontents list\npersistentvolumes get\n";
    let admin = doctor().file("forbidden", of_namespace).file("bound", "");
    let calls = "config versions rules observe review observe kinds observe session try";
    let outcome = admin.run().exits(0).calls_in_any_order(calls);
    let skipped = lines(&outcome, "skipped");
    for words in [
        "driver: may not get csidrivers",
        "class: may not list volumesnapshotclasses",
        "stored data: may not list volumesnapshotcontents",
    ] {
        assert!(skipped.iter().any(|line| line == words), "{words}: {outcome}");
    }
    // One that lists some of the cluster's objects need not be allowed to list the others.
    let scenario = doctor().fault("contents", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0).calls_in_any_order(WHOLE);
    let words = "stored data: may not list volumesnapshotcontents";
    assert!(lines(&outcome, "skipped").iter().any(|line| line == words), "{outcome}");
}

#[test]
fn a_namespace_in_deletion_and_one_that_is_not_there_are_told() {
    const ENDING: &str = "Error from server (Forbidden): volumesnapshots.snapshot.storage.k8s.io \"data-x\" is forbidden: \
                          unable to create new content in namespace shop because it is being terminated";
    let deleted = r#"{"kind": "Namespace", "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"}}"#;
    let scenario = doctor().fault("try", ALWAYS, Fault::Refuse(ENDING)).fault_about(
        "observe",
        "/api/v1/namespaces/shop",
        ALWAYS,
        Fault::Print(deleted),
    );
    let outcome = scenario.run().exits(4);
    let failed = lines(&outcome, "failed");
    assert!(failed.len() == 2 && failed[0] == "namespace: shop is being deleted", "{outcome}");
    let order =
        ["\"rights\"", "\"namespace\"", "\"snapshot API\"", "\"claim\""].map(|check| outcome.stdout.find(check));
    assert!(order.is_sorted() && order[0].is_some(), "{outcome}");
    const NONE: &str = "Error from server (NotFound): namespaces \"shop\" not found";
    let scenario = doctor()
        .fault_about("observe", "volumesnapshots", ALWAYS, Fault::Print(r#"{"items": []}"#))
        .fault_about("observe", "/api/v1/namespaces/shop", ALWAYS, Fault::Refuse(NONE));
    fails(&scenario, "namespace", "there is no namespace shop");
    scenario.run().exits(4).calls_in_any_order("config versions rules observe observe kinds");
}

/// The first calls are made before it is known that the API answers.
#[test]
fn what_the_api_was_too_busy_for_at_first_is_asked_again() {
    const BUSY: &str = "Error from server (TooManyRequests): the server has received too many requests";
    // What was listed shows that the namespace and the snapshot API are there; else both are asked for.
    for (call, more) in [("rules", "rules rules"), ("observe", "observe observe observe review kinds driver classes")] {
        let scenario = doctor().fault(call, 1..=2, Fault::Refuse(BUSY));
        let outcome_of = scenario.env("BAK_RETRY_TIMEOUT", "20s");
        let outcome = outcome_of.run().exits(0).calls_in_any_order(&format!("{WHOLE} {more}"));
        assert_eq!(lines(&outcome, "failed"), [""; 0]);
    }
    // That the API is away is found out without asking again.
    let away = ["versions", "rules", "observe"]
        .into_iter()
        .fold(doctor(), |doctor, call| doctor.fault(call, ALWAYS, Fault::Refuse(REFUSED)));
    let away = away.args_also(&["--context=a", "-n", "shop"]);
    let outcome_of = away.env("BAK_RETRY_TIMEOUT", "20s");
    let outcome = outcome_of.run().exits(4).calls_in_any_order("config version versions rules observe");
    assert!(lines(&outcome, "failed").iter().any(|line| line.starts_with("API: ")), "{outcome}");
}

/// Its class is there, and create would wait a quarter of an hour for nothing.
#[test]
fn what_cuts_snapshots_must_be_there() {
    const NONE: &str = "Error from server (NotFound): csidrivers.storage.k8s.io \"csi.example\" not found";
    fails(&doctor().file("driverless", ""), "driver", "no CSIDriver 'csi.example'");
    // Who may not list all of them may get one.
    let alone = || doctor().file("forbidden", "limitranges list");
    alone().run().exits(0).calls_in_any_order(WITHOUT_LIMITS);
    fails(&alone().fault("driver", ALWAYS, Fault::Refuse(NONE)), "driver", "no CSIDriver 'csi.example'");
    let scenario = alone().fault("driver", ALWAYS, Fault::Refuse(FORBIDDEN));
    assert!(lines(&scenario.run().exits(0), "skipped").iter().any(|line| line == "driver: may not get csidrivers"));
    let ignored = doctor().snapshot("ignored", json!({}), json!({}));
    fails(&ignored, "controller", "ignored");
}

#[test]
fn wrong_settings_are_lines_and_words_of_the_command_line_are_not() {
    let scenario = doctor().env("TZ", "Mars/Olympus");
    fails(&scenario, "time zone", "Mars/Olympus");
    assert_eq!(scenario.run().exits(4).count("session"), 1, "the rest is looked at");
    // A pod with these settings makes no backup.
    fails(&doctor().env("BAK_DRY_RUN", "true"), "configuration", "only print its plan");
    // Of another command that reads the same settings.
    fails(&doctor().env("RETAIN_LAST_DAILY", "-1"), "configuration", "RETAIN_LAST_DAILY");
    let scenario = doctor().env("BAK_DB_POSTGRES_PORT", "0");
    fails(&scenario, "configuration", "BAK_DB_POSTGRES_PORT");
    let outcome = scenario.run().exits(4).calls_in_any_order("config versions kinds");
    let skipped = lines(&outcome, "skipped");
    assert!(skipped.iter().any(|line| line == "pod: see configuration"), "{skipped:?}");
    fails(&doctor().env("BAK_DB_POSTGRES", "false"), "configuration", "no database is chosen");
    doctor().args(&["doctor", "-o", "xml"]).run().exits(2).calls("");
}

/// A backup fails for each of these.
#[test]
fn names_that_no_snapshot_can_have_are_told() {
    let scenario = doctor().env("BAK_VS_NAME_TEMPLATE", "Upper-{{ .rand }}");
    fails(&scenario, "names", "is not valid");
    let outcome = scenario.run().exits(4);
    assert!(lines(&outcome, "skipped").iter().any(|line| line == "snapshot: see names"), "{outcome}");
    let two = doctor().env("BAK_PVC_NAME", "data,more").also(json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": "more"}, "status": {"phase": "Bound"},
    }));
    let two = two.env("BAK_VS_NAME_TEMPLATE", "{{ .timestamp }}");
    fails(&two, "names", "would have one name");
    two.args(&["create"]).run().exits(2);
    // Without a cluster, too; where the template itself cannot be read, the one line is enough.
    let scenario = scenario.args_also(&["--context=a", "-n", "shop"]).env("PATH", "/nonexistent");
    assert!(lines(&scenario.run(), "failed").iter().any(|line| line.starts_with("names: ")));
    fails(&doctor().env("BAK_VS_NAME_TEMPLATE", "{{ .what }}"), "configuration", "BAK_VS_NAME_TEMPLATE");
}

#[test]
fn hooks_need_a_pod_to_run_in() {
    let skip = || doctor().env("BAK_DB_POSTGRES", "false").env("BAK_DB_SKIP", "true");
    let hooked = || skip().env("BAK_HOOK_PRE", "true");
    let passed = |scenario: &Scenario, words: &str| {
        let outcome = scenario.run().exits(0);
        assert!(lines(&outcome, "passed").iter().any(|line| line == words), "{words}: {outcome}");
    };
    passed(&skip(), "pod: data is flushed in app-base-0");
    passed(&hooked(), "pod: data is flushed in app-base-0, the hooks run in app-base-0");
    let down = |scenario: Scenario| scenario.object("Pod", |pod| pod["status"]["phase"] = json!("Pending"));
    passed(&down(skip()), "pod: no running pod mounts data: there is nothing to flush");
    fails(&down(hooked()), "pod", "so the hooks cannot run");
    down(hooked()).args(&["create"]).run().exits(4).says(&["no pod in which the hooks could run"]);
    down(skip()).args(&["create"]).run().exits(0);
    // What a hook cannot do without, a flush can.
    let exec = "pods/exec create";
    fails(&hooked().file("forbidden", exec), "rights", "may not create pods/exec");
    let outcome_of = skip().file("forbidden", exec);
    let outcome = outcome_of.run().exits(0);
    assert!(
        lines(&outcome, "skipped").iter().any(|line| line.starts_with("pod: may not create pods/exec")),
        "{outcome}"
    );
}

/// What only the API knows: quotas, policies, and names that are taken.
#[test]
fn the_api_is_asked_whether_it_would_take_the_snapshot() {
    const QUOTA: &str = "Error from server (Forbidden): volumesnapshots.snapshot.storage.k8s.io \"data-x\" is forbidden: \
                         exceeded quota: few, requested: count/volumesnapshots.snapshot.storage.k8s.io=1, used: \
                         count/volumesnapshots.snapshot.storage.k8s.io=0, limited: count/volumesnapshots.snapshot.storage.k8s.io=0";
    const POLICY: &str = "Error from server: admission webhook \"names.example\" denied the request: bad name";
    const NO_DRY_RUN: &str =
        "Error from server (BadRequest): admission webhook \"names.example\" does not support dry run";
    let scenario = doctor().env("BAK_LABEL_VS_RETAIN", "daily_weekly_monthly").env("BAK_VS_CLASS_NAME", "csi");
    let outcome = scenario.run().exits(0).calls_in_any_order(WHOLE).snapshots(0);
    let path = "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots?dryRun=All";
    assert!(outcome.argv("try").contains(path), "{outcome}");
    let sent: Value = serde_json::from_str(&scenario.lines("try.1.stdin").concat()).unwrap();
    // It is what a backup makes, but for its proof.
    let made = scenario.args(&["create"]);
    made.run().exits(0);
    let made: Value = serde_json::from_str(&made.lines("create.1.stdin").concat()).unwrap();
    let keys = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((&sent["spec"], keys(&sent["metadata"]["labels"])), (&made["spec"], keys(&made["metadata"]["labels"])));
    let noted = "backup-ns.sh/claim";
    assert_eq!(sent["metadata"]["annotations"][noted], made["metadata"]["annotations"][noted]);

    fails(&doctor().fault("try", ALWAYS, Fault::Refuse(QUOTA)), "snapshot", "exceeded quota: few");
    fails(&doctor().fault("try", ALWAYS, Fault::Refuse(POLICY)), "snapshot", "denied the request: bad name");
    fails(&doctor().fault("try", ALWAYS, Fault::Print("")), "snapshot", "EOF while parsing");
    let taken = doctor().env("BAK_VS_NAME_TEMPLATE", "{{ .pvcName }}").snapshot(
        "data",
        json!({}),
        json!({"boundVolumeSnapshotContentName": "snapcontent-1"}),
    );
    fails(&taken, "snapshot", "already exists");
    let skips = |scenario: &Scenario, words: &str| {
        let outcome = scenario.run();
        let skipped = lines(&outcome, "skipped");
        assert!(
            skipped.iter().any(|line| line.starts_with("snapshot: ") && line.contains(words)),
            "{words}: {outcome}"
        );
    };
    skips(&doctor().fault("try", ALWAYS, Fault::Refuse(NO_DRY_RUN)), "does not support dry run");
    skips(&doctor().file("forbidden", "volumesnapshots create"), "may not create volumesnapshots");
    skips(&doctor().env("BAK_PVC_NAME", "nope"), "see claim");
    // A claim each.
    let two = doctor().env("BAK_PVC_NAME", "data,more").also(json!({
        "kind": "PersistentVolumeClaim", "metadata": {"name": "more"}, "status": {"phase": "Bound"},
    }));
    let outcome = two.run().prints(&["each by itself"]);
    assert_eq!(outcome.count("try"), 2);
    assert!(!doctor().run().stdout.contains("each by itself"));
}

/// As where Pod Security forbids the hostPath of the node's locks. The fake kubectl answers each such question with all there is.
#[test]
fn a_job_whose_pod_cannot_be_made_is_told() {
    let container = json!({"name": "b", "image": "backup-ns", "args": ["create"]});
    let cronjob = json!({
        "kind": "CronJob", "metadata": {"namespace": "shop", "name": "nightly"},
        "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}},
        "status": {"active": [{"name": "nightly-1"}]},
    });
    let job = json!({
        "kind": "Job",
        "metadata": {
            "name": "nightly-1", "uid": "u", "creationTimestamp": "2026-01-02T03:00:00Z",
            "ownerReferences": [{"kind": "CronJob", "name": "nightly"}],
        },
        "status": {},
    });
    let why = "Error creating: pods is forbidden: violates PodSecurity \"baseline:latest\": hostPath volumes";
    let event = json!({
        "kind": "Event", "reason": "FailedCreate", "message": why, "involvedObject": {"uid": "u"},
        "lastTimestamp": "2026-01-02T03:00:00Z",
    });
    let with = || doctor().also(cronjob.clone()).also(job.clone());
    let told = "schedule: the Job nightly-1 of the CronJob nightly has no pod";
    let scenario = with().also(event);
    let outcome = scenario.run().exits(4).prints(&["config.lock=none, or lease"]);
    assert_eq!(lines(&outcome, "failed"), [format!("{told}: {why}")], "{outcome}");
    assert_eq!(outcome.count("observe"), WHOLE.matches("observe").count() + 1, "{outcome}");
    // A user who may not read Events gets the reason all the same.
    let scenario = with().file("forbidden", "events list");
    let outcome = scenario.run().exits(4);
    assert_eq!(lines(&outcome, "failed"), [told]);
    assert_eq!(outcome.count("observe"), WHOLE.matches("observe").count(), "{outcome}");
}

#[test]
fn the_container_speaks_for_itself() {
    fails(&doctor().without("sha256sum"), "tools", "sha256sum");
    let refused = doctor()
        .tool("psql", "echo 'FATAL: password hunter2 is wrong' >&2; exit 2")
        .env("BAK_DB_POSTGRES_PASSWORD", "hunter2");
    let outcome = refused.run().exits(4).lost_nothing();
    let failed = lines(&outcome, "failed");
    assert!(failed[0].contains("password **** is wrong") && failed.len() == 1, "{failed:?}");
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    // A variable that a setting names and that is not there; another that is.
    let silent = |variable: &str| doctor().tool("psql", "exit 2").env("BAK_DB_POSTGRES_PASSWORD", variable);
    let words = "BAK_DB_POSTGRES_PASSWORD names NO_SUCH, and the container has neither that nor NO_SUCH_FILE";
    fails(&silent("${NO_SUCH}"), "database", words);
    silent("${NO_SUCH}").args(&["create"]).run().exits(4).says(&[words]);
    // The password that is looked for where no setting names one; and a file of it that cannot be read.
    let without = || {
        let psql = "echo 'psql: error: fe_sendauth: no password supplied' >&2; exit 2";
        doctor().variable("POSTGRES_PASSWORD", "").tool("psql", psql)
    };
    let words = "the container has neither POSTGRES_PASSWORD nor POSTGRES_PASSWORD_FILE";
    fails(&without(), "database", words);
    without().args(&["create"]).run().exits(4).says(&[words, "no password supplied", "set BAK_DB_POSTGRES_PASSWORD"]);
    doctor().variable("POSTGRES_PASSWORD", "").run().exits(0);
    let unreadable = || without().variable("POSTGRES_PASSWORD_FILE", "/nofile");
    let words = "POSTGRES_PASSWORD_FILE names /nofile, which cannot be read in the container: cat: ";
    fails(&unreadable(), "container", words);
    unreadable().args(&["create"]).run().exits(4).says(&[&format!("failed: {words}"), "mount the file there"]);
    assert!(!silent("${POSTGRES_USER}").run().stdout.contains("names POSTGRES_USER"));
    doctor().env("BAK_DB_POSTGRES_DB", "${NO_SUCH}").run().exits(0);
    fails(&doctor().env("BAK_THRESHOLD_SPACE_USED_PERCENTAGE", "1"), "space", "the threshold is 1 %");
    let full = r#"case $* in *-i*) echo '/dev/x 9 9 0 100% /' ;; *) exec "$REAL/df" "$@" ;; esac"#;
    fails(&doctor().tool("df", full), "space", "the volume has no inode left");
    doctor().tool("df", full).args(&["create"]).run().exits(4).lost_nothing();
    let unknown = r#"case $* in *-i*) echo 'df: invalid option' >&2; exit 1 ;; *) exec "$REAL/df" "$@" ;; esac"#;
    doctor().tool("df", unknown).run().exits(0);
    let cut = doctor().fault("session", ALWAYS, Fault::CutAfter("directory", 0));
    fails(&cut, "container", "");
}

#[test]
fn the_lock_directory_is_looked_at_and_not_written_to() {
    let with = |name: &str| {
        let scenario = doctor().env("BAK_FLOCK", "true").env("BAK_FLOCK_COUNT", "2");
        let path = scenario.dir().join(name).display().to_string();
        scenario.env("BAK_FLOCK_DIR", &path)
    };
    let scenario = with("locks");
    let outcome = scenario.run().exits(0);
    assert!(lines(&outcome, "passed").iter().any(|line| line.starts_with("locks: 2 in ")), "{outcome}");
    assert_eq!(std::fs::read_dir(scenario.dir().join("locks")).unwrap().count(), 0);
    fails(&with("nope"), "locks", "does not exist");
    fails(&with("dump.text"), "locks", "is no directory");
}

#[test]
fn a_signal_ends_it_at_once() {
    let scenario = doctor().fault("session", ALWAYS, Fault::Hang);
    let running = scenario.start().until("session.1");
    running.signal("TERM").finish().exits(143).clean();
}

/// shows: `kubectl version` fails where the server's version is not that of a release, and 16 checks were skipped.
#[test]
fn a_server_built_from_source_is_looked_at_like_any_other() {
    let version = r#"{"major": "", "minor": "", "gitVersion": "v0.0.0-master+$Format:%H$"}"#;
    let outcome_of = |scenario: Scenario| {
        let outcome = scenario.run().exits(0).calls_in_any_order(&format!("{WHOLE} version api"));
        assert!(
            lines(&outcome, "passed").contains(&"API: answers, v0.0.0-master+$Format:%H$".to_string()),
            "{outcome}"
        );
    };
    const NO_RELEASE: &str = "error: could not parse \"v0.0.0-master+$Format:%H$\" as version";
    let alone = || doctor().fault("versions", ALWAYS, Fault::Refuse(NO_RELEASE));
    outcome_of(alone().fault("api", ALWAYS, Fault::Print(version)));
    // kubectl's own version keeps nothing from being looked at either.
    let outcome = alone().fault("version", ALWAYS, Fault::Print("no version"));
    let outcome = outcome.run().exits(0).calls_in_any_order(&format!("{WHOLE} version api"));
    let skipped = lines(&outcome, "skipped");
    let named = skipped.iter().filter(|line| line.starts_with("kubectl: its version is not known: ")).count();
    assert!(named == 1 && lines(&outcome, "passed").len() > 10, "{outcome}");
}

#[test]
fn preferences_of_kubectl_are_named() {
    let scenario = doctor();
    let kuberc = scenario.dir().join("kuberc");
    let head = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";
    for (text, kept) in [("", ""), ("credentialPluginPolicy: DenyAll\n", ", but for its policy for credential plugins")]
    {
        let scenario = doctor().env("KUBERC", &kuberc.display().to_string());
        std::fs::write(&kuberc, format!("{head}{text}")).unwrap();
        let outcome = scenario.run().exits(0).calls_in_any_order(WHOLE);
        let line = format!("preferences: {} is turned off for every call of kubectl{kept}", kuberc.display());
        assert!(lines(&outcome, "passed").contains(&line), "{outcome}");
    }
}

#[test]
fn quotas_and_limits_are_looked_at_for_snapshots_and_restore_tests() {
    let quota = |hard: Value| json!({"kind": "ResourceQuota", "metadata": {"namespace": "shop", "name": "q"}, "status": {"hard": hard}});
    let snapshots = quota(json!({"count/volumesnapshots.snapshot.storage.k8s.io": "1"}));
    let words = "the ResourceQuota q leaves room for 1 VolumeSnapshots, a backup makes 2";
    let more = json!({
        "kind": "PersistentVolumeClaim", "status": {"phase": "Bound"},
        "metadata": {"namespace": "shop", "name": "more", "annotations": {"volume.kubernetes.io/storage-provisioner": "csi.example"}},
    });
    let two = doctor().also(more).env("BAK_PVC_NAME", "data,more");
    fails(&two.also(snapshots), "quota", words);
    let skipped = |scenario: Scenario| lines(&scenario.run().exits(0).calls_in_any_order(WHOLE), "skipped").join("\n");
    let cpu = || quota(json!({"requests.cpu": "1"}));
    let told = skipped(doctor().also(cpu()));
    assert!(told.contains("verify would get no pod") && told.contains("q: requests.cpu must be set"), "{told}");
    // The container says what it needs, or a LimitRange does for it.
    let range = json!({
        "kind": "LimitRange", "metadata": {"namespace": "shop", "name": "r"},
        "spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m"}}]},
    });
    let told = skipped(doctor().also(cpu()).also(range));
    assert!(!told.contains("verify"), "{told}");
    // A claim's own size, in a native sidecar.
    let sidecar = doctor().object("Pod", |pod| {
        let mut database = pod["spec"]["containers"].as_array_mut().unwrap().remove(0);
        database["restartPolicy"] = json!("Always");
        database["resources"] = json!({"limits": {"memory": "2Gi"}});
        pod["spec"]["initContainers"] = json!([database]);
    });
    let scenario = sidecar.also(quota(json!({"memory": "1Gi"})));
    let outcome = scenario.run().exits(0).calls_in_any_order(WHOLE);
    let passed = lines(&outcome, "passed").join("\n");
    assert!(passed.contains("app-base-0 is ready, its native sidecar postgres mounts data"), "{passed}");
    assert!(lines(&outcome, "skipped").join("\n").contains("memory: it needs 2Gi, and 0 of 1Gi are used"), "{outcome}");
}
