//! `list`, `env` and `delete` against the fake kubectl: how many processes they take, what they never touch, what they
//! say.

use crate::support::fake_api::{CLAIMS, CONTENTS, SNAPSHOTS, content_of};
use crate::support::{ALWAYS, FORBIDDEN, Fault, ONCE, Outcome, REFUSED, Scenario};
use serde_json::{Value, json};

const NO_CLAIM: &str = "Error from server (NotFound): persistentvolumeclaims \"data\" not found";
const CLASSES: &str = r#"{"items": [
    {"metadata": {"name": "other"}, "provisioner": "csi"},
    {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "csi"}
]}"#;

const NOT_THERE: &str = "Error from server (NotFound): namespaces \"shop\" not found";

/// A ready snapshot of the claim `data`, made in this minute of the day.
fn shot(namespace: &str, name: &str, minute: usize, labels: Value) -> Value {
    let made = format!("2026-01-02T{:02}:{:02}:00Z", minute / 60, minute % 60);
    json!({
        "kind": "VolumeSnapshot", "metadata": {"namespace": namespace, "name": name, "creationTimestamp": made, "labels": labels},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {"readyToUse": true, "creationTime": made, "restoreSize": "1Gi"},
    })
}

/// A cluster with these snapshots, and no patience.
fn with(args: &[&str], shots: impl IntoIterator<Item = Value>) -> Scenario {
    let scenario = Scenario::cluster(args).env("BAK_RETRY_TIMEOUT", "1s");
    scenario.api().cut(shots.into_iter().map(|shot| (shot, "Retain")));
    scenario
}

fn ours() -> Value {
    json!({"backup-ns.sh/retain": "days", "backup-ns.sh/type": "cronjob"})
}

#[track_caller]
fn names(outcome: &Outcome) -> Vec<String> {
    let rows: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    let name = |row: &Value| format!("{}/{}", row["namespace"].as_str().unwrap(), row["name"].as_str().unwrap());
    rows.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_list_takes_one_process() {
    let scenario = with(&["list", "-o", "json"], (0..1201).map(|n| shot("shop", &format!("s{n:04}"), n, ours())));
    let outcome = scenario.run().exits(0).calls("config page");
    assert_eq!(names(&outcome), Vec::from_iter((0..1201).map(|n| format!("shop/s{n:04}"))));
}

#[test]
fn everywhere_is_wherever_one_may_read() {
    let places = ["bank", "shop", "zoo"];
    let all =
        || with(&["list", "-A", "-o", "json"], places.map(|place| shot(place, "a", 1, ours()))).namespaces(&places);
    let scenario = all();
    assert_eq!(names(&scenario.run().exits(0).calls("config page")), ["bank/a", "shop/a", "zoo/a"]);
    // Not the cluster at once, and not each namespace.
    let scenario = all().fault("page", ONCE, Fault::Refuse(FORBIDDEN)).fault_about(
        "page",
        "/bank/",
        ALWAYS,
        Fault::Refuse(FORBIDDEN),
    );
    let outcome = scenario.run().exits(0).says(&["namespace=\"bank\"", "skipping it"]);
    assert_eq!(names(&outcome), ["shop/a", "zoo/a"]);
    // Not even which there are: the one at hand.
    let scenario =
        all().fault("page", ONCE, Fault::Refuse(FORBIDDEN)).fault("namespaces", ALWAYS, Fault::Refuse(FORBIDDEN));
    assert_eq!(names(&scenario.run().exits(0).says(&["reading shop alone"])), ["shop/a"]);
    let scenario = all().fault("page", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).says(&["forbidden"]);
}

#[test]
fn nothing_is_told_from_nowhere_and_from_not_knowing() {
    let empty = |format: &str| with(&["list", "-o", format], []);
    let scenario = empty("table");
    let outcome = scenario.run().exits(0).says(&["no snapshots in namespace shop"]);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    let scenario = empty("json");
    assert_eq!(scenario.run().exits(0).stdout, "[]\n");
    let scenario = empty("json").fault_about("observe", "/api/v1/namespaces/shop", ALWAYS, Fault::Refuse(NOT_THERE));
    let outcome = scenario.run().exits(4).says(&["there is no namespace 'shop'", "remedy="]);
    assert!(outcome.stdout.is_empty(), "{outcome}");
    // A user who may not ask gets no answer, and an API that is away is no empty list.
    let scenario = empty("json").fault("observe", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(0).says(&["no snapshots in namespace shop"]);
    let scenario = empty("json").fault("page", ALWAYS, Fault::Refuse(REFUSED));
    assert!(scenario.run().exits(1).says(&["out of reach"]).stdout.is_empty());
    let scenario = with(&["list", "--pvc=logs"], [shot("shop", "a", 1, ours())]);
    scenario.run().exits(0).says(&["1 snapshot in namespace shop, none of that kind"]);
}

#[test]
fn a_list_is_selected_sorted_and_printed_as_kubectl_does() {
    let sized = |name: &str, minute: usize, size: &str, labels: Value| {
        let mut shot = shot("shop", name, minute, labels);
        shot["status"]["restoreSize"] = json!(size);
        shot
    };
    let all = |args: &[&str]| {
        let other = json!({"backup-ns.sh/type": "adhoc", "app": "x"});
        with(
            &[&["list"], args].concat(),
            [sized("c", 3, "900Mi", ours()), sized("b", 2, "1Gi", other), sized("a", 1, "2T", ours())],
        )
    };
    let listed = |args: &[&str]| {
        let scenario = all(&[args, &["-o", "json"]].concat());
        names(&scenario.run().exits(0).calls("config page")).join(" ").replace("shop/", "")
    };
    assert_eq!(listed(&[]), "a b c");
    assert_eq!(listed(&["-l", "app=x"]), "b");
    assert_eq!(listed(&["--selector=!app,backup-ns.sh/type=cronjob"]), "a c");
    assert_eq!(listed(&["--sort-by=size"]), "c b a");
    assert_eq!(listed(&["--sort-by", "type"]), "b a c");
    let scenario = all(&["-l", "app=y"]);
    scenario.run().exits(0).says(&["no snapshots with these labels in namespace shop"]);
    let scenario = all(&["--sort-by=colour", "-o", "csv"]);
    scenario.run().exits(2).calls("").says(&[
        "--sort-by is 'colour'; accepted: name, pvc, type, delete-after, ready, age, size, verified or exported",
        "-o is 'csv'; accepted: table, text, wide, json, yaml, name, jsonpath=,",
    ]);

    let (with_head, without) = (all(&[]), all(&["--no-headers"]));
    let (with_head, without) = (with_head.run().exits(0).stdout, without.run().exits(0).stdout);
    assert_eq!(with_head.lines().skip(1).collect::<Vec<_>>(), without.lines().collect::<Vec<_>>());

    for template in ["jsonpath={.items[*].name}", "go-template={{range .items}}{{.name}}{{end}}", "jsonpath-file=f"] {
        let scenario = all(&["-o", template]);
        let outcome = scenario.run().exits(0).calls("config page print");
        assert_eq!(outcome.stdout, "as the template says\n");
        assert!(outcome.argv("print").ends_with(&format!(" -o {template}")), "{outcome}");
        let data: Value = serde_json::from_str(&outcome.stdin("print")).unwrap();
        let names: Vec<&Value> = data["rows"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
    let wrong = Fault::Refuse("error: error parsing jsonpath {.items[, unterminated array");
    let scenario = all(&["-o", "jsonpath={.items["]).fault("print", ALWAYS, wrong);
    scenario.run().exits(2).says(&["unterminated array", "correct the template"]);
}

#[test]
fn a_watched_list_prints_what_changes() {
    let scenario = with(
        &["list", "--watch", "--every=1s"],
        [shot("shop", "a", 1, ours()), shot("shop", "b", 2, ours()), shot("shop", "a-long-name", 0, ours())],
    );
    let running = scenario.start().until_printed("\nb ").until("page.3");
    scenario.api().cut([(shot("shop", "c", 3, ours()), "Retain")]);
    let running = running.until_printed("\nc ");
    scenario
        .api()
        .merge(SNAPSHOTS, "shop/a", &json!({"metadata": {"labels": {"backup-ns.sh/verified": "good"}}}))
        .unwrap();
    let running = running.until_printed("good");
    // An API that is away ends nothing.
    scenario.now_fails("page", Fault::Refuse(REFUSED));
    let running = running.until_said("it cannot be read at the moment");
    scenario.now_fails("none", Fault::Hang);
    std::fs::remove_file(scenario.dir().join("api/volumesnapshots/shop/b")).unwrap();
    let outcome = running.until_printed("deleted").signal("INT").finish().exits(130);
    let rows: Vec<Vec<&str>> = outcome.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let shown: Vec<(&str, &str)> = rows.iter().map(|row| (row[0], row[5])).collect();
    let first = [("NAME", "READY"), ("a-long-name", "true"), ("a", "true"), ("b", "true")];
    let expected = [&first[..], &[("c", "true"), ("a", "true"), ("b", "deleted")]].concat();
    assert_eq!(shown, expected, "{outcome}");
    let column = outcome.stdout.find("READY").unwrap();
    let below = outcome.stdout.lines().skip(1).map(|line| line[column..].split(' ').next().unwrap());
    assert!(
        below.map(String::from).all(|cell| ["true", "deleted"].contains(&cell.as_str())),
        "the columns stay where they are: {outcome}"
    );
    assert!(!outcome.stderr.contains("step="), "what is done again and again is not logged: {outcome}");

    let scenario = with(&["list", "-w", "-o", "name"], []).fault("page", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).says(&["forbidden"]);
    for args in [&["--every=1m"][..], &["-w", "--every=0s"]] {
        with(&[&["list"], args].concat(), []).run().exits(2).calls("").says(&["--every"]);
    }
}

#[test]
fn the_configuration_is_shown_without_a_call_and_without_secrets() {
    for format in ["table", "wide", "json", "yaml"] {
        let scenario = Scenario::new()
            .args(&["env", "-o", format, "--pvc-name=logs"])
            .env("BAK_DB_POSTGRES_PASSWORD", "hunter2")
            .env("BAK_DB_MYSQL_PASSWORD", "${SECRET}")
            .env("BAK_HOOK_PRE", "curl -H hunter2")
            .env("RETAIN_LAST_DAILY", "9");
        let outcome = scenario.run().exits(0).calls("").prints(&["BAK_PVC_NAME", "****", "${SECRET}"]);
        assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
        if format == "json" {
            let all: Value = serde_json::from_str(&outcome.stdout).unwrap();
            let find = |var: &str| all.as_array().unwrap().iter().find(|one| one["variable"] == var).unwrap().clone();
            let one = |var: &str| [find(var)["value"].clone(), find(var)["origin"].clone()];
            assert_eq!(one("BAK_PVC_NAME"), ["logs", "flag"]);
            assert_eq!(one("RETAIN_LAST_DAILY"), ["9", "environment"]);
            assert_eq!(one("RETAIN_LAST_WEEKLY"), ["4", "default"]);
        }
    }
}

#[test]
fn what_does_not_parse_is_shown_and_is_a_usage_error() {
    let scenario = Scenario::new()
        .args(&["env", "-o", "json"])
        .env("BAK_VERIFY_TIMEOUT", "soon")
        .env("BAK_DELETE_INTERVAL", "5")
        .env("BAK_HOOK_ON_ERROR", "x");
    let outcome = scenario.run().exits(2).calls("").says(&["wrong in 3 places", "BAK_VERIFY_TIMEOUT is 'soon'"]);
    let all: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let wrong = |one: &&Value| one["faults"].is_array();
    let wrong: Vec<&str> =
        all.as_array().unwrap().iter().filter(wrong).map(|one| one["variable"].as_str().unwrap()).collect();
    assert_eq!(wrong, ["BAK_HOOK_ON_ERROR", "BAK_DELETE_INTERVAL", "BAK_VERIFY_TIMEOUT"]);
}

fn deletion(args: &[&str]) -> Scenario {
    let shots = [shot("shop", "old", 1, ours()), shot("shop", "new", 2, ours())];
    with(&[&["delete"], args].concat(), shots)
}

fn is_there(scenario: &Scenario, name: &str) -> bool {
    scenario.api().get(SNAPSHOTS, &format!("shop/{name}")).is_ok()
}

#[test]
fn a_deletion_takes_its_data_along() {
    let scenario = deletion(&["old", "--yes"]);
    let whole = "config history getContent contents getContent contents patch delete contents patchContent deleteContent get patch";
    scenario.run().exits(0).calls(whole).prints(&["VolumeSnapshot old in shop is deleted"]);
    let stored = |name: &str| scenario.api().get(CONTENTS, &content_of(&format!("shop/{name}"))).is_ok();
    assert!(!is_there(&scenario, "old") && !stored("old") && is_there(&scenario, "new") && stored("new"));
}

#[test]
fn what_is_refused_is_not_touched() {
    // Whether another content names the data is asked before a person is.
    let shared = "config history getContent contents";
    for (args, code, calls, said) in [
        (&["new", "--yes"][..], 4, "config history", "it is the newest ready snapshot of its PVC"),
        (&["gone", "--yes"], 4, "config history", "has no VolumeSnapshot 'gone' (it has new, old)"),
        (&["old"], 2, shared, "confirmation is needed"),
        (&["new", "--force"], 2, shared, "Mind that it is the newest ready snapshot of its PVC."),
        (&["old", "--dry-run"], 0, shared, ""),
    ] {
        let scenario = deletion(args);
        scenario.run().exits(code).calls(calls).says(&[said]);
        assert!(is_there(&scenario, "old") && is_there(&scenario, "new"), "{args:?}");
    }
    let scenario = deletion(&["old", "--yes"]);
    scenario.api().put(
        CLAIMS,
        json!({
            "kind": "PersistentVolumeClaim", "metadata": {"namespace": "shop", "name": "look"},
            "spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "old"}}, "status": {"phase": "Pending"},
        }),
    );
    scenario.run().exits(4).calls("config history").says(&["for the PVC look", "--force"]);
    let scenario = deletion(&["new", "--yes", "--force", "-o", "json"]);
    let outcome = scenario.run().exits(0);
    assert_eq!(serde_json::from_str::<Value>(&outcome.stdout).unwrap()["volumeSnapshot"], "new");
    assert!(!is_there(&scenario, "new"));
}

#[test]
fn a_distrusted_snapshot_is_trusted_again_by_who_names_it() {
    let distrusted = |kind: &str| {
        let mut one = shot("shop", "bad", 1, json!({"backup-ns.sh/type": kind, "backup-ns.sh/daily": "2026-01-02"}));
        one["metadata"]["annotations"] = json!({"backup-ns.sh/distrusted": "verify: a table does not hold the rows", "backup-ns.sh/dump-postgres": "{}"});
        one
    };
    let of = |args: &[&str], kind: &str| {
        with(&[&["trust"], args].concat(), [distrusted(kind), shot("shop", "good", 2, ours())])
    };
    let mark = |scenario: &Scenario| {
        let bad = scenario.api().get(SNAPSHOTS, "shop/bad").unwrap();
        (bad["metadata"]["annotations"]["backup-ns.sh/distrusted"].is_string(), bad["metadata"]["labels"].clone())
    };
    for (args, kind, code, calls, said) in [
        (&["bad", "--yes"][..], "cronjob", 0, "config get patch", "is trusted again"),
        (&["bad", "--dry-run"], "cronjob", 0, "config get", "a table does not hold the rows"),
        (&["bad"], "cronjob", 2, "config get", "confirmation is needed"),
        (&["bad", "--yes"], "safety", 4, "config get", "never was a backup"),
        (&["gone", "--yes"], "cronjob", 4, "config get", "has no VolumeSnapshot 'gone'"),
        (&["good", "--yes"], "cronjob", 0, "config get", "is trusted already"),
    ] {
        let scenario = of(args, kind);
        let outcome = scenario.run().exits(code).calls(calls);
        assert!(format!("{outcome}").contains(said), "{args:?} {outcome}");
        let (marked, labels) = mark(&scenario);
        assert_eq!(marked, code != 0 || args != ["bad", "--yes"], "{args:?}");
        assert_eq!(labels["backup-ns.sh/daily"], "2026-01-02", "{args:?}");
    }
    // What it was asked about is what it changes.
    let changed = r#"{"metadata": {"annotations": {"backup-ns.sh/distrusted": "verify: cut"}}}"#;
    let scenario = of(&["bad", "--yes"], "cronjob").fault("patch", ONCE, Fault::Change("shop/bad", changed));
    scenario.run().exits(1).says(&["was changed meanwhile", "then decide again"]);
    assert!(mark(&scenario).0);
}

#[test]
fn a_namespace_without_a_cronjob_is_told_how_to_get_one() {
    let scenario = with(&["adhoc"], []);
    let words = [
        "has no CronJob that runs backup-ns create (it has none)",
        "helm install backup-ns",
        "-n shop",
        "docs/install.md",
    ];
    scenario.run().exits(4).calls("config cronjobs").says(&words);
}

#[test]
fn one_that_changes_meanwhile_stays() {
    let kept = r#"{"metadata": {"labels": {"keep": "yes"}}}"#;
    let scenario = deletion(&["old", "--yes"]).fault("patch", ONCE, Fault::Change("shop/old", kept));
    scenario.run().exits(1).says(&["old stays: it changed since it was judged", "remedy="]);
    assert!(is_there(&scenario, "old"));
}

/// A dry run of a restore of the snapshot `lost`, which was rebound from data that tells nothing of itself.
fn lost(args: &[&str], labels: Value) -> Scenario {
    let mut lost = shot("shop", "lost", 1, labels);
    lost["spec"]["source"] = json!({"volumeSnapshotContentName": content_of("shop/lost")});
    let scenario = with(&[&["restore", "lost", "--dry-run"], args].concat(), []);
    scenario.api().cut([(lost, "Retain")]);
    let spec = json!({"spec": {"driver": "csi", "sourceVolumeMode": "Block"}});
    scenario.api().merge(CONTENTS, &content_of("shop/lost"), &spec).unwrap();
    scenario.fault_about("observe", "/persistentvolumeclaims/data", ALWAYS, Fault::Refuse(NO_CLAIM))
}

#[test]
fn data_that_tells_nothing_of_itself_is_restored_by_a_name() {
    let said = |scenario: Scenario| {
        let outcome = scenario.run().exits(0).says(&["nothing tells what the claim was like"]);
        serde_json::from_str::<Value>(&outcome.stdout).unwrap()
    };
    let classes = || Fault::Print(CLASSES);
    let named = || lost(&["--pvc=data", "-o", "json"], json!({}));
    let told = said(named().fault_about("observe", "/storageclasses", ALWAYS, classes()));
    assert_eq!(
        told["assumed"],
        "1Gi, as big as the data, ReadWriteOnce, Block, the cluster's default StorageClass fast"
    );
    let spec = &told["steps"][0]["manifest"]["spec"];
    assert_eq!((&spec["resources"]["requests"]["storage"], &spec["volumeMode"]), (&json!("1Gi"), &json!("Block")));
    assert_eq!((&spec["dataSource"]["name"], &spec["storageClassName"]), (&json!("lost"), &Value::Null));
    // A user who may not look at contents and classes gets the claim all the same.
    let blind = named().fault("getContent", ALWAYS, Fault::Refuse(FORBIDDEN));
    let told = said(blind.fault_about("observe", "/storageclasses", ALWAYS, Fault::Refuse(FORBIDDEN)));
    assert_eq!(
        told["assumed"],
        "1Gi, as big as the data, ReadWriteOnce, Filesystem, the cluster's default StorageClass"
    );
    // One that is named has to be of the snapshot's driver as well.
    let slow = || lost(&["--pvc=data", "--storage-class=slow", "-o", "json"], json!({}));
    let both = Fault::Print(
        r#"{"items": [{"metadata": {"name": "slow"}, "provisioner": "csi"}], "metadata": {"name": "slow"}}"#,
    );
    let told = said(slow().fault_about("observe", "/storageclasses", ALWAYS, both));
    assert_eq!(told["steps"][0]["manifest"]["spec"]["storageClassName"], "slow");
    let foreign = Fault::Print(r#"{"items": [{"metadata": {"name": "slow"}, "provisioner": "other"}]}"#);
    let scenario = slow().fault_about("observe", "/storageclasses", ALWAYS, foreign);
    scenario.run().exits(4).says(&["StorageClass slow is of other, the snapshot of csi"]);
    // One by which the claim would never be bound is said before.
    let no_default = Fault::Print(r#"{"items": [{"metadata": {"name": "other"}, "provisioner": "csi"}]}"#);
    let scenario = named().fault_about("observe", "/storageclasses", ALWAYS, no_default);
    scenario.run().exits(4).says(&["no default StorageClass", "--storage-class: other"]);
}

#[test]
fn without_a_name_the_way_out_is_told() {
    let words = [
        "the claim of VolumeSnapshot lost is unknown",
        "backup-ns restore lost -n shop --pvc NAME",
        "apply no workload",
    ];
    lost(&[], json!({})).run().exits(4).says(&words);
    // The older tool had labels copied, and no notes.
    lost(&[], json!({"backup-ns.sh/pvc": "data"})).run().exits(4).says(&["--pvc data"]);
    // One that was cut from a claim knows its name.
    let scenario = with(&["restore", "a", "--dry-run", "-o", "json"], [shot("shop", "a", 1, json!({}))]);
    let scenario = scenario.fault_about("observe", "/persistentvolumeclaims/data", ALWAYS, Fault::Refuse(NO_CLAIM));
    let scenario = scenario.fault("getContent", ALWAYS, Fault::Refuse(FORBIDDEN));
    let scenario = scenario.fault_about("observe", "/storageclasses", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0);
    assert_eq!(serde_json::from_str::<Value>(&outcome.stdout).unwrap()["pvc"], "data");
}
