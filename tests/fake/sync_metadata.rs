//! `sync-metadata-to-vsc` against a cluster whose faults are chosen: how many processes it takes, what it never touches, and
//! that whatever breaks is reported and made good by the next run.

use crate::support::fake_api::{CONTENTS, content_of};
use crate::support::{ALWAYS, FORBIDDEN, Fault, ONCE, Outcome, REFUSED, Scenario};
use serde_json::{Value, json};

const EXPIRED: &str =
    "Error from server (Expired): The provided continue parameter is too old to display a consistent list result.";
const THERE: &str = r#"{"metadata": {"labels": {"theirs": "x"}}}"#;

/// A cluster with so many bound snapshots in this namespace, of whose labels their contents know nothing.
fn with(scenario: Scenario, namespace: &str, number: usize) -> Scenario {
    let snapshots = (0..number).map(|number| {
        let snapshot = json!({
            "kind": "VolumeSnapshot", "status": {"readyToUse": true},
            "metadata": {
                "namespace": namespace, "name": format!("s-{number:04}"), "labels": {"backup-ns.sh/pvc": "data", "app": "x"},
                "annotations": {"backup-ns.sh/claim": "{}"}, "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        (snapshot, "Retain")
    });
    scenario.api().cut(snapshots);
    scenario
}

fn sync() -> Scenario {
    Scenario::cluster(&["sync-metadata-to-vsc", "-o", "json"]).env("BAK_RETRY_TIMEOUT", "1s")
}

fn content(scenario: &Scenario, key: &str) -> Value {
    scenario.api().get(CONTENTS, &content_of(key)).unwrap()
}

/// Whether the content says what its snapshot says.
fn is_told(scenario: &Scenario, key: &str) -> bool {
    let meta = content(scenario, key)["metadata"].clone();
    meta["labels"] == json!({"backup-ns.sh/pvc": "data"}) && meta["annotations"] == json!({"backup-ns.sh/claim": "{}"})
}

#[track_caller]
fn summary(outcome: &Outcome) -> Value {
    let account: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
    account["summary"].clone()
}

#[track_caller]
fn numbers(outcome: &Outcome) -> [u64; 4] {
    ["planned", "done", "left", "failed"].map(|number| summary(outcome)[number].as_u64().unwrap())
}

fn version(scenario: &Scenario) -> Vec<String> {
    scenario.lines("api/version")
}

#[test]
fn mirroring_grows_with_pages_and_not_with_objects_and_writes_once() {
    let scenario = with(sync(), "shop", 1200);
    let before = version(&scenario);
    let scenario = scenario.env("BAK_DRY_RUN", "true");
    let dry = scenario.run().exits(0).calls("config page contents contents contents");
    assert_eq!((numbers(&dry), &version(&scenario)), ([1200, 0, 0, 0], &before));
    drop(dry);
    let scenario = scenario.env("BAK_DRY_RUN", "false");
    // Of a page several write, each 100 contents at least.
    let calls = "config page contents W W W W contents W W W W contents W W";
    let first = scenario.run().exits(0).calls(&calls.replace('W', "replace"));
    assert_eq!((numbers(&first), summary(&first)["read"].as_u64()), ([1200, 1200, 0, 0], Some(1200)));
    drop(first);
    assert!((0..1200).all(|number| is_told(&scenario, &format!("shop/s-{number:04}"))));
    let before = version(&scenario);
    let second = scenario.run().exits(0).calls("config page contents contents contents");
    assert_eq!((numbers(&second), version(&scenario)), ([0; 4], before));
}

#[test]
fn one_namespace_is_mirrored_alone() {
    let scenario = with(with(sync().args_also(&["-n", "b"]), "a", 1), "b", 1);
    let before = content(&scenario, "a/s-0000");
    scenario.run().exits(0);
    assert!(is_told(&scenario, "b/s-0000"));
    assert_eq!(content(&scenario, "a/s-0000"), before);
}

#[test]
fn a_change_in_between_is_left_for_the_next_run() {
    let scenario = with(sync(), "shop", 3);
    let scenario = scenario.fault("replace", ONCE, Fault::Change("snapcontent-shop-s-0001", THERE));
    let outcome = scenario.run().exits(0).calls("config page contents replace");
    assert_eq!(numbers(&outcome), [3, 2, 1, 0], "{outcome}");
    drop(outcome);
    assert_eq!(content(&scenario, "shop/s-0001")["metadata"]["labels"], json!({"theirs": "x"}));
    let scenario = scenario.mended();
    assert_eq!(numbers(&scenario.run().exits(0)), [1, 1, 0, 0]);
    let labels = &content(&scenario, "shop/s-0001")["metadata"]["labels"];
    assert_eq!(labels, &json!({"theirs": "x", "backup-ns.sh/pvc": "data"}));
}

#[test]
fn a_content_that_goes_in_between_is_not_made_again() {
    let scenario = with(sync(), "shop", 2);
    let scenario = scenario.fault("replace", ONCE, Fault::Run("rm api/volumesnapshotcontents/snapcontent-shop-s-0001"));
    let outcome = scenario.run().exits(0);
    assert_eq!(numbers(&outcome), [2, 1, 1, 0], "{outcome}");
    assert!(scenario.api().get(CONTENTS, &content_of("shop/s-0001")).is_err());
}

#[test]
fn one_failure_does_not_stop_the_rest_and_is_told() {
    let scenario = with(sync(), "shop", 3).fault("replace", ALWAYS, Fault::Forbid("s-0001"));
    let outcome = scenario.run().exits(3).says(&["1 of 3 changes failed", "snapcontent-shop-s-0001"]);
    assert_eq!(numbers(&outcome), [3, 2, 0, 1], "{outcome}");
    drop(outcome);
    assert!(is_told(&scenario, "shop/s-0002") && !is_told(&scenario, "shop/s-0001"));
    let outcome = scenario.run().exits(1).says(&["1 of 1 change failed"]);
    drop(outcome);
    let scenario = scenario.mended();
    assert_eq!(numbers(&scenario.run().exits(0)), [1, 1, 0, 0]);
}

#[test]
fn an_api_that_goes_away_for_a_moment_is_asked_again() {
    let scenario = with(sync(), "shop", 3).env("BAK_RETRY_TIMEOUT", "20s");
    let scenario = scenario.fault("replace", ONCE, Fault::StopAt(1, 1, REFUSED));
    let outcome = scenario.run().exits(0).calls("config page contents replace replace");
    assert_eq!(numbers(&outcome), [3, 3, 0, 0], "{outcome}");
}

#[test]
fn what_was_done_is_told_when_the_rest_cannot_be_read() {
    let scenario = with(sync(), "shop", 700).fault("contents", 2..=u32::MAX, Fault::Refuse(REFUSED));
    let outcome = scenario.run().exits(1).says(&["out of reach"]);
    assert_eq!(numbers(&outcome), [500, 500, 0, 0]);
    drop(outcome);
    let scenario = scenario.mended();
    assert_eq!(numbers(&scenario.run().exits(0)), [200, 200, 0, 0]);
}

#[test]
fn a_list_that_changes_too_fast_is_begun_again() {
    let scenario = with(sync(), "shop", 700).fault("contents", 2..=2, Fault::Refuse(EXPIRED));
    let calls = "config page contents W W W W contents contents contents W W".replace('W', "replace");
    let outcome = scenario.run().exits(0).calls(&calls);
    assert_eq!((numbers(&outcome), summary(&outcome)["read"].as_u64()), ([700, 700, 0, 0], Some(700)));
}

#[test]
fn what_may_not_be_read_is_named() {
    let scenario = with(sync(), "shop", 1).fault("contents", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).says(&["grant the verb"]);
    let scenario = with(with(sync(), "a", 1), "b", 1).namespaces(&["a", "b"]);
    let scenario = scenario.fault_about("page", "v1/volumesnapshots", ALWAYS, Fault::Refuse(FORBIDDEN));
    let scenario = scenario.fault_about("page", "/b/", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(0).prints(&[r#""skipped":[{"namespace":"b""#]);
    assert!(is_told(&scenario, "a/s-0000") && !is_told(&scenario, "b/s-0000"));
}

#[test]
fn people_are_told_in_lines() {
    let scenario = with(sync(), "shop", 1).args(&["sync-metadata-to-vsc"]);
    let words = [
        "snapcontent-shop-s-0000  shop/s-0000  +pvc=data +claim\n",
        "sync-metadata-to-vsc: 1 bound snapshot and 1 content read, 1 content changed, 0 left, 0 failed\n",
    ];
    scenario.run().exits(0).prints(&words);
}
