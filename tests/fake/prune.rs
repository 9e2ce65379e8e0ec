//! `retain` and `mark-and-delete` against a cluster whose faults are chosen: how many processes they take, what they never
//! touch, and that whatever breaks, in whichever moment, loses nothing and is finished by the next run.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::fake_api::{CLAIMS, CONTENTS, SNAPSHOTS, content_of};
use crate::support::{ALWAYS, BUSY, FORBIDDEN, Fault, INTERNAL, ONCE, Outcome, REFUSED, Scenario, each, zone};
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

const EXPIRED: &str =
    "Error from server (Expired): The provided continue parameter is too old to display a consistent list result.";
const SWEEP: &str = "backup-ns.sh/sweep";
const UNMARK: &str = r#"{"metadata": {"labels": {"backup-ns.sh/delete-after": null}}}"#;

/// The page of a namespace that is read before the first deletion: the two before it are of the whole cluster.
const REREAD: std::ops::RangeInclusive<u32> = 3..=3;

/// The calls of one deletion of a snapshot whose content is retained, and of one whose content goes along.
const RETAINED: &str = "page claims getContent contents patch delete contents patchContent deleteContent get patch";
const ALONG: &str = "page claims getContent contents delete";

/// A VolumeSnapshot to be.
#[derive(Clone)]
struct Shot {
    namespace: String,
    name: String,
    day: NaiveDate,
    labels: BTreeMap<String, String>,
    ready: bool,
    policy: &'static str,
    pvc: &'static str,
}

/// A ready one, so many days old, that is kept by slots and holds none.
fn shot(namespace: &str, name: &str, age: u64) -> Shot {
    let labels = BTreeMap::from([
        ("backup-ns.sh/retain".into(), "daily_weekly_monthly".into()),
        ("backup-ns.sh/pvc".into(), "data".into()),
    ]);
    let (namespace, name) = (namespace.into(), name.into());
    Shot { namespace, name, day: day(age), labels, ready: true, policy: "Retain", pvc: "data" }
}

impl Shot {
    fn label(mut self, key: &str, value: impl Into<String>) -> Shot {
        self.labels.insert(format!("backup-ns.sh/{key}"), value.into());
        self
    }

    /// Holds these slots of its day.
    fn slots(self, kinds: &str) -> Shot {
        let day = self.day;
        kinds.split(' ').fold(self, |shot, kind| {
            let format = match kind {
                "daily" => "%Y-%m-%d",
                "weekly" => "%G-w%V",
                _ => "%Y-%m",
            };
            shot.label(kind, day.format(format).to_string())
        })
    }

    /// Its date has passed.
    fn due(self) -> Shot {
        self.label("delete-after", day(1).to_string())
    }

    fn days(mut self) -> Shot {
        self.labels.insert("backup-ns.sh/retain".into(), "days".into());
        self
    }

    /// A foreign one: without any label of ours, whatever it is like.
    fn foreign(mut self) -> Shot {
        self.labels = BTreeMap::from([("app".into(), "other".into())]);
        self
    }

    /// Not made by this program, but marked for it.
    fn by_hand(mut self) -> Shot {
        self.labels.remove("backup-ns.sh/retain");
        self
    }

    fn of(mut self, pvc: &'static str) -> Shot {
        self.pvc = pvc;
        self
    }

    fn unready(mut self) -> Shot {
        self.ready = false;
        self
    }

    /// Its content is not asked for.
    fn light(mut self) -> Shot {
        self.policy = "";
        self
    }

    /// Its data goes with it.
    fn along(mut self) -> Shot {
        self.policy = "Delete";
        self
    }
}

/// The date, so many days ago.
fn day(age: u64) -> NaiveDate {
    zone().1.checked_sub_days(Days::new(age)).unwrap()
}

/// A cluster with these snapshots, and no patience.
fn with(scenario: Scenario, shots: impl IntoIterator<Item = Shot>) -> Scenario {
    let scenario = scenario.env("BAK_RETRY_TIMEOUT", "1s");
    let described = shots.into_iter().map(|shot| {
        let made = format!("{}T12:00:00Z", shot.day);
        let status = if shot.ready { json!({"readyToUse": true, "creationTime": made}) } else { json!({}) };
        let snapshot = json!({
            "kind": "VolumeSnapshot", "status": status,
            "metadata": {
                "namespace": shot.namespace, "name": shot.name, "labels": shot.labels, "creationTimestamp": made,
            },
            "spec": {"source": {"persistentVolumeClaimName": shot.pvc}},
        });
        (snapshot, shot.policy)
    });
    scenario.api().cut(described);
    scenario
}

/// `mark-and-delete` without pauses that only take time.
fn sweeper(shots: impl IntoIterator<Item = Shot>) -> Scenario {
    with(Scenario::cluster(&["mark-and-delete", "-o", "json"]).env("BAK_DELETE_INTERVAL", "0s"), shots)
}

fn retainer(shots: impl IntoIterator<Item = Shot>) -> Scenario {
    with(Scenario::cluster(&["retain", "-o", "json"]), shots)
}

/// In each of these namespaces one that stays and one that is due.
fn pairs(namespaces: &[&str]) -> Vec<Shot> {
    namespaces.iter().flat_map(|name| [shot(name, "new", 1).slots("daily"), shot(name, "old", 9).due()]).collect()
}

/// What `-o json` printed.
#[track_caller]
fn account(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// What came of each snapshot that it told about: `NAMESPACE/NAME ACTION OUTCOME`.
#[track_caller]
fn told(outcome: &Outcome) -> Vec<String> {
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap().to_string();
    let told = |entry: &Value| {
        let [namespace, name, action, outcome] =
            ["namespace", "name", "action", "outcome"].map(|field| text(entry, field));
        format!("{namespace}/{name} {action} {outcome}")
    };
    account(outcome)["snapshots"].as_array().unwrap().iter().map(told).collect()
}

fn is_there(scenario: &Scenario, key: &str) -> bool {
    scenario.api().get(SNAPSHOTS, key).is_ok()
}

fn label(scenario: &Scenario, key: &str, label: &str) -> Option<String> {
    let snapshot = scenario.api().get(SNAPSHOTS, key).unwrap();
    snapshot["metadata"]["labels"][format!("backup-ns.sh/{label}")].as_str().map(str::to_string)
}

/// The snapshot is gone, its content and its data with it.
#[track_caller]
fn gone(scenario: &Scenario, key: &str) {
    let content = scenario.api().get(CONTENTS, &content_of(key)).is_ok();
    let is = (is_there(scenario, key), content, scenario.api().is_stored(key));
    assert_eq!(is, (false, false, false), "{key}: (VolumeSnapshot, content, data)");
}

/// The snapshot is there, usable, and nothing holds or threatens it; so are its content and its data.
#[track_caller]
fn whole(scenario: &Scenario, key: &str) {
    let snapshot = scenario.api().get(SNAPSHOTS, key).unwrap_or_else(|_| panic!("{key} is gone"));
    assert_eq!((&snapshot["metadata"]["deletionTimestamp"], claimed(scenario, key)), (&Value::Null, false), "{key}");
    data_stays(scenario, key);
}

#[track_caller]
fn data_stays(scenario: &Scenario, key: &str) {
    let content = scenario.api().get(CONTENTS, &content_of(key)).unwrap_or_else(|_| panic!("{key}: content is gone"));
    assert_eq!(content["metadata"]["deletionTimestamp"], Value::Null, "{key}: {content}");
    assert!(scenario.api().is_stored(key), "{key}: its data is gone");
}

fn claimed(scenario: &Scenario, key: &str) -> bool {
    let snapshot = scenario.api().get(SNAPSHOTS, key).unwrap_or_default();
    snapshot["metadata"]["finalizers"].as_array().is_some_and(|all| all.contains(&json!(SWEEP)))
}

/// The version in which the cluster is: the same as long as nothing was changed.
fn version(scenario: &Scenario) -> Vec<String> {
    scenario.lines("api/version")
}

/// The calls of a run of `mark-and-delete` that has to delete one snapshot.
fn calls_of_one(deletion: &str) -> Vec<String> {
    let calls = format!("config page page claims contents {deletion}");
    calls.split(' ').map(str::to_string).collect()
}

// How many processes.

/// 60 namespaces with 20 snapshots each, in steps of ten days, each with a slot of every kind.
fn large() -> Vec<Shot> {
    let all =
        |number: usize| (0..20).map(move |age| shot(&format!("ns-{number:02}"), &format!("s-{age:02}"), age * 10 + 1));
    (0..60).flat_map(all).map(|shot| shot.slots("daily weekly monthly").light()).collect()
}

#[test]
fn retain_takes_one_process_for_each_change() {
    let scenario = with(Scenario::cluster(&["retain", "-o", "json"]), large());
    let before = version(&scenario);
    let scenario = scenario.env("RETAIN_DRY_RUN", "true");
    let dry = scenario.run().exits(0).calls("config page");
    assert_eq!(before, version(&scenario));
    assert_eq!(account(&dry)["summary"]["read"], 1200);
    drop(dry);
    let scenario = scenario.env("RETAIN_DRY_RUN", "false");
    // Five ways to lose labels, of 60 to 540 snapshots each: a kubectl for every 100 of them, and not more than four at once.
    let first = scenario.run().exits(0);
    let mut sizes: Vec<usize> = batches(&first).iter().map(Vec::len).collect();
    sizes.sort_unstable();
    assert_eq!((first.calls.len(), &sizes[..]), (11, &[60, 120, 120, 120, 120, 135, 135, 135, 135][..]), "{first}");
    let pids: BTreeSet<_> = first.calls.iter().map(|call| call["pid"].as_u64()).collect();
    assert_eq!(pids.len(), 11, "{first}");
    // Each snapshot once, however many labels it loses.
    let changed: BTreeSet<String> = batches(&first).concat().into_iter().collect();
    assert_eq!((changed.len(), told(&first).len()), (1080, 1080), "{first}");
    assert_eq!(account(&first)["summary"]["failed"], 0, "{first}");
    for number in 0..60 {
        let held = |kind: &str| {
            let all = (0..20).filter(|age| label(&scenario, &format!("ns-{number:02}/s-{age:02}"), kind).is_some());
            all.count()
        };
        assert_eq!((held("daily"), held("weekly")), (7, 4));
    }
    // Steady state; then with a context that is named.
    let steady = scenario.run().exits(0).calls("config page");
    assert!(told(&steady).is_empty(), "{steady}");
    drop(steady);
    let scenario = scenario.args(&["retain", "--context=prod", "-n", "ns-07"]);
    scenario.run().exits(0).calls("config page").prints(&["retain: 20 snapshots read, 0 changed, 0 left, 0 failed\n"]);
}

#[test]
fn a_deletion_takes_a_fixed_number_of_processes() {
    let args = ["mark-and-delete", "--delete-interval=0s"];
    // Nothing is due: claims are not asked for.
    let marks = (0..600).map(|number| shot("shop", &format!("s-{number:03}"), 10 + number).light());
    let newest = shot("shop", "new", 1).slots("daily");
    let scenario = with(Scenario::cluster(&args), marks.chain([newest]));
    let calls = "config page page label label label label";
    scenario.run().exits(0).calls(calls).prints(&["601 snapshots read, 600 changed"]);
    scenario.run().exits(0).calls("config page page");
    for (deletion, along) in [(RETAINED, false), (ALONG, true)] {
        let due = pairs(&["a", "b", "c"]).into_iter().map(|shot| if along { shot.along() } else { shot });
        let scenario = with(Scenario::cluster(&args), due.chain([shot("d", "new", 1), shot("d", "mark", 2)]));
        let calls = format!("config page page claims contents label {deletion} {deletion} {deletion}");
        scenario.run().exits(0).calls(&calls).prints(&["4 changed, 0 left, 0 failed"]);
        for key in ["a/old", "b/old", "c/old"] {
            gone(&scenario, key);
        }
        scenario.run().exits(0).calls("config page page");
    }
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_a_run_then_does() {
    let mut shots = large();
    shots.truncate(100);
    shots.extend(pairs(&["a", "b"]));
    shots.extend([
        shot("c", "new", 1).slots("daily"),
        shot("c", "mark", 3),
        shot("c", "odd", 3).label("delete-after", "tomorrow"),
        shot("c", "days", 40).days().due(),
        shot("c", "later", 3).days().label("delete-after", zone().1.to_string()),
        shot("c", "failed", 5).slots("daily").unready(),
        shot("c", "heir", 5),
        shot("c", "week", 5).label("weekly", "2026-wXX"),
    ]);
    each(&["retain", "mark-and-delete"], |command| {
        let args = [*command, "-o", "json", "--dry-run"];
        let scenario = with(Scenario::cluster(&args), shots.clone());
        let before = version(&scenario);
        let dry = account(&scenario.run().exits(0));
        assert_eq!(before, version(&scenario));
        assert_eq!(dry["dryRun"], true);
        let scenario = scenario.args(&[command, "-o", "json", "--delete-interval=0s"]);
        let scenario = if *command == "retain" { scenario.args(&args[..3]) } else { scenario };
        let run = account(&scenario.run().exits(0));
        let decisions = |account: &Value| -> Vec<Value> {
            let entries = account["snapshots"].as_array().unwrap().iter().cloned();
            let changed = entries.filter(|entry| entry["action"] != "keep" || entry["warning"] == true);
            let plain = changed.map(|mut entry| {
                let fields = entry.as_object_mut().unwrap();
                fields.retain(|key, _| key != "outcome" && key != "note");
                entry
            });
            plain.collect()
        };
        assert_eq!(decisions(&dry), decisions(&run));
        assert!(decisions(&run).len() > 3, "{run}");
        assert_eq!(dry["summary"]["planned"], run["summary"]["done"], "{run}");
        // A dry run gives a reason for every snapshot that is ours.
        assert!(dry["snapshots"].as_array().unwrap().iter().all(|entry| entry["reason"] != ""));
    });
}

#[test]
fn retain_goes_first_and_its_failure_keeps_nothing_from_being_done() {
    let shots = || {
        let held = |name, age| shot("a", name, age).slots("daily");
        [held("new", 1), held("old", 2), shot("b", "new", 1).slots("daily"), shot("b", "old", 9).due()]
    };
    let args = ["mark-and-delete", "--retain-first", "--retain-last-daily=1", "--delete-interval=0s"];
    let prune = || with(Scenario::cluster(&args), shots());
    let scenario = prune();
    // What lost its last label is marked by the same run.
    let said = ["retain: 4 snapshots read, 1 changed", "a/old  mark ", "2 changed, 0 left, 0 failed"];
    scenario.run().exits(0).prints(&said);
    assert_eq!(label(&scenario, "a/old", "delete-after"), Some(day(0).to_string()));
    gone(&scenario, "b/old");

    let scenario = prune().fault("label", ALWAYS, Fault::Forbid("a/"));
    scenario.run().exits(3).prints(&["1 changed, 0 left, 0 failed"]).says(&["going on", "1 of 1 change failed"]);
    whole(&scenario, "a/old");
    gone(&scenario, "b/old");
    // A signal ends all of it.
    let scenario = prune().fault("page", ONCE, Fault::Hang);
    scenario.start().until("page.1").signal("TERM").finish().exits(143).calls("config page");
    whole(&scenario, "b/old");
}

// What is never touched.

#[test]
fn the_newest_ready_one_stays_whatever_says_otherwise() {
    let shots = || {
        [
            // The newest by far, but not ready.
            shot("a", "unready", 0).unready().due(),
            shot("a", "floor", 9).slots("daily weekly monthly").due(),
            shot("a", "old", 10).slots("daily").due(),
            shot("b", "only", 99).due(),
            shot("c", "bare", 99),
            shot("c", "barer", 100),
            // Another PVC of a namespace is another history.
            shot("a", "logs", 50).of("logs").days().due(),
        ]
    };
    let scenario = sweeper(shots());
    let outcome = scenario.run().exits(0).says(&["newest ready snapshot of its PVC"]);
    for key in ["a/floor", "b/only", "c/bare", "a/logs"] {
        whole(&scenario, key);
    }
    assert_eq!(label(&scenario, "c/bare", "delete-after"), None, "{outcome}");
    assert_eq!(label(&scenario, "c/barer", "delete-after"), Some(day(0).to_string()), "{outcome}");
    gone(&scenario, "a/old");
    let empty = ["--retain-last-daily=0", "--retain-last-weekly=0", "--retain-last-monthly=0", "--allow-empty-policy"];
    let scenario = retainer(shots().into_iter().chain([shot("a", "older", 11).slots("daily")])).args_also(&empty);
    scenario.run().exits(0);
    for kind in ["daily", "weekly", "monthly"] {
        assert!(label(&scenario, "a/floor", kind).is_some(), "{kind}");
    }
    assert_eq!(label(&scenario, "a/older", "daily"), None);
}

#[test]
fn an_empty_policy_is_refused_before_anything_is_asked() {
    let empty = ["--retain-last-daily=0", "--retain-last-weekly=0", "--retain-last-monthly=0"];
    let scenario = retainer([shot("a", "new", 1).slots("daily"), shot("a", "old", 2).slots("daily")]).args_also(&empty);
    scenario.run().exits(2).calls("").says(&["--allow-empty-policy"]);
    let scenario = scenario.arg("--allow-empty-policy");
    scenario.run().exits(0).calls("config page label");
    assert_eq!(label(&scenario, "a/old", "daily"), None);
    assert!(label(&scenario, "a/new", "daily").is_some());
}

#[test]
fn a_date_that_is_none_keeps_and_is_told() {
    each(&["", "soon", "2026-02-30", "2026-1-1", "20260101"], |date| {
        let scenario = sweeper([shot("a", "new", 1).slots("daily"), shot("a", "old", 9).label("delete-after", *date)]);
        let before = version(&scenario);
        let outcome = scenario.run().exits(0).says(&["is no date"]);
        assert_eq!(told(&outcome), ["a/old keep planned"]);
        assert_eq!(account(&outcome)["summary"]["warnings"], 1);
        assert_eq!(before, version(&scenario));
        whole(&scenario, "a/old");
    });
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let foreign = |key: &str, age| shot("a", key, age).foreign();
    let shots = [foreign("f-0", 0), foreign("f-9", 9), foreign("f-99", 99)].into_iter().chain(pairs(&["a", "b"]));
    let mut old = shot("b", "theirs", 9).foreign();
    old.labels.insert("backup.example/delete-after".into(), day(5).to_string());
    old.labels.insert("daily".into(), day(5).to_string());
    for scenario in [sweeper(shots.clone().chain([old.clone()])), retainer(shots.chain([old]))] {
        let theirs = |scenario: &Scenario| {
            let ours = ["new", "old"];
            let all = scenario.api().everything();
            let others = all.into_iter().filter(|(path, _)| !ours.iter().any(|name| path.ends_with(name)));
            others.collect::<Vec<_>>()
        };
        let before = theirs(&scenario);
        assert!(before.len() >= 8, "{before:?}");
        scenario.run().exits(0);
        assert_eq!(before, theirs(&scenario));
    }
}

#[test]
fn the_source_of_a_restore_that_waits_stays() {
    let claim = |namespace: &str, phase: &str, source: Value| {
        let mut claim = json!({
            "kind": "PersistentVolumeClaim", "metadata": {"namespace": namespace, "name": "restored"},
            "spec": {}, "status": {"phase": phase},
        });
        let field = if source["namespace"].is_null() { "dataSource" } else { "dataSourceRef" };
        claim["spec"][field] = source;
        claim
    };
    let source = json!({"kind": "VolumeSnapshot", "name": "old", "apiGroup": "snapshot.storage.k8s.io"});
    let mut afar = source.clone();
    afar["namespace"] = json!("a");
    let cases = [
        (claim("a", "Pending", source.clone()), true),
        (claim("z", "Pending", afar), true),
        (claim("a", "Bound", source.clone()), false),
        (claim("z", "Pending", source), false),
    ];
    each(&cases, |(claim, stays)| {
        let scenario = sweeper(pairs(&["a"]));
        scenario.api().put(CLAIMS, claim.clone());
        let outcome = scenario.run().exits(0);
        match stays {
            true => whole(&scenario, "a/old"),
            false => gone(&scenario, "a/old"),
        }
        assert_eq!(told(&outcome).len(), usize::from(!stays), "{outcome}");
    });
    // A person begins a restore between the plan and the deletion.
    let scenario = sweeper(pairs(&["a"]));
    let text = cases[0].0.to_string();
    let path = scenario.dir().join("claim.json");
    std::fs::write(&path, text).unwrap();
    let begin = "mkdir -p api/persistentvolumeclaims/a; cp claim.json api/persistentvolumeclaims/a/restored";
    let scenario = scenario.fault("page", REREAD, Fault::Run(begin));
    let outcome = scenario.run().exits(0);
    assert_eq!(told(&outcome), ["a/old delete left"]);
    whole(&scenario, "a/old");
}

#[test]
fn snapshots_by_days_go_when_their_date_has_passed() {
    let scenario = sweeper([
        shot("a", "new", 0).days().label("delete-after", day(0).to_string()),
        shot("a", "today", 30).days().label("delete-after", day(0).to_string()),
        shot("a", "past", 31).days().due(),
        shot("a", "past-along", 31).days().due().along(),
        shot("a", "dateless", 400).days(),
    ]);
    let outcome = scenario.run().exits(0).says(&["it has no date"]);
    for key in ["a/new", "a/today", "a/dateless"] {
        whole(&scenario, key);
    }
    gone(&scenario, "a/past");
    gone(&scenario, "a/past-along");
    assert_eq!(told(&outcome).iter().filter(|line| line.ends_with("delete done")).count(), 2, "{outcome}");
    // One that was marked by hand need not have a policy.
    let by_hand = shot("a", "by-hand", 5).foreign().due();
    let scenario = sweeper([shot("a", "new", 1).slots("daily"), by_hand]);
    scenario.run().exits(0);
    gone(&scenario, "a/by-hand");
}

/// The stamp of an export.
const STAMP: &str = r#"{"metadata": {"labels": {"backup-ns.sh/exported": "2026-11-22"}, "annotations": {"backup-ns.sh/export":
    "{\"tool\": \"restic\", \"what\": \"dump\", \"repository\": \"r\", \"manifest\": \"m\", \"bytes\": 1, \"files\": 1, \"at\": \"2026-11-22T03:00:00Z\", \"seconds\": 1}"}}}"#;

fn stamped(scenario: Scenario, key: &str) -> Scenario {
    let stamp: Value = serde_json::from_str(STAMP).unwrap();
    scenario.api().merge(SNAPSHOTS, key, &stamp).unwrap();
    scenario
}

#[test]
fn what_is_not_copied_elsewhere_stays_if_that_is_required() {
    let shots = || {
        let due = |name: &str, age| shot("a", name, age).due();
        [
            shot("a", "new", 1).slots("daily"),
            due("copied", 9),
            due("uncopied", 10),
            due("label-alone", 11).label("exported", "2026-11-22"),
            due("failed", 12).unready(),
            shot("a", "unmarked", 13),
        ]
    };
    let scenario = stamped(sweeper(shots()).arg("--require-exported"), "a/copied");
    let outcome = scenario.run().exits(0).says(&["backup-ns export uncopied -n a"]);
    let expected = [
        "a/copied delete done",
        "a/uncopied keep planned",
        "a/label-alone keep planned",
        "a/failed delete done",
        "a/unmarked mark done",
    ];
    assert_eq!(told(&outcome), expected, "{outcome}");
    let account = account(&outcome);
    assert_eq!((&account["summary"]["warnings"], &account["summary"]["unexported"]), (&json!(2), &json!(2)));
    assert_eq!(account["snapshots"][1]["unexported"], true);
    whole(&scenario, "a/uncopied");
    whole(&scenario, "a/label-alone");
    gone(&scenario, "a/copied");
    gone(&scenario, "a/failed");
    drop(outcome);

    let args = ["mark-and-delete", "--delete-interval=0s", "--require-exported", "--dry-run"];
    let scenario = stamped(with(Scenario::cluster(&args), shots()), "a/copied");
    let outcome = scenario.run().exits(0);
    assert!(outcome.stdout.ends_with("nothing was changed, 2 to look at, 2 not exported\n"), "{outcome}");
    drop(outcome);

    // It is read again right before the deletion.
    const UNSTAMP: &str = r#"{"metadata": {"labels": {"backup-ns.sh/exported": null}}}"#;
    let scenario = stamped(sweeper(pairs(&["a"])).env("BAK_REQUIRE_EXPORTED", "true"), "a/old");
    let scenario = scenario.fault("page", REREAD, Fault::Change("a/old", UNSTAMP));
    let outcome = scenario.run().exits(0);
    assert_eq!(told(&outcome), ["a/old delete left"], "{outcome}");
    whole(&scenario, "a/old");
    drop(outcome);

    // Without the setting nothing has to be exported.
    let scenario = sweeper(pairs(&["a"]));
    assert_eq!(told(&scenario.run().exits(0)), ["a/old delete done"]);
}

// The order, and the conditions.

#[test]
fn the_snapshot_goes_before_its_data() {
    let scenario = sweeper(pairs(&["a"]));
    let outcome = scenario.run().exits(0).calls(&calls_of_one(RETAINED).join(" "));
    let argv = |nth: usize, kind: &str| {
        let call = outcome.calls.iter().filter(|call| call["kind"] == kind).nth(nth).unwrap();
        let words = call["argv"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    // The finalizer is put on one version of the object and nothing else is changed with it; then taken off likewise.
    assert!(argv(0, "patch").contains(SWEEP) && argv(0, "patch").contains("resourceVersion"));
    assert!(!argv(1, "patch").contains(SWEEP) && argv(1, "patch").contains("resourceVersion"));
    assert!(argv(0, "patchContent").contains("deletionPolicy"));
    let options = |kind: &str| serde_json::from_str::<Value>(&outcome.stdin(kind)).unwrap()["preconditions"].clone();
    for condition in ["uid", "resourceVersion"] {
        assert!(options("delete")[condition].is_string(), "{condition}");
    }
    assert!(options("deleteContent")["uid"].is_string());
    gone(&scenario, "a/old");
}

#[test]
fn a_snapshot_changed_meanwhile_is_kept() {
    const ANNOTATE: &str = r#"{"metadata": {"annotations": {"note": "wait"}}}"#;
    const LATER: &str = r#"{"metadata": {"labels": {"backup-ns.sh/delete-after": "2999-12-31"}}}"#;
    // During the pause before the second deletion, in its look, before its finalizer, before its deletion.
    let calls = [("page", false), ("getContent", false), ("patch", false), ("delete", false)];
    let calls = calls.into_iter().chain([("page", true), ("getContent", true), ("delete", true)]);
    let cases: Vec<_> = calls.flat_map(|call| [UNMARK, ANNOTATE, LATER].map(|patch| (call, patch))).collect();
    each(&cases, |((call, along), patch)| {
        let shots = pairs(&["a", "b", "c"]).into_iter().map(|shot| if *along { shot.along() } else { shot });
        // Of patches, each deletion makes two; two pages are read before all deletions.
        let nth = match *call {
            "patch" => 3,
            "page" => 4,
            _ => 2,
        };
        let scenario = sweeper(shots).fault(call, nth..=nth, Fault::Change("b/old", patch));
        let outcome = scenario.run().exits(0);
        assert_eq!(told(&outcome), ["a/old delete done", "b/old delete left", "c/old delete done"], "{call}");
        assert_eq!(account(&outcome)["summary"]["left"], 1);
        whole(&scenario, "b/old");
        gone(&scenario, "a/old");
        gone(&scenario, "c/old");
        // Nothing of ours hangs on it; and the next run takes what is still marked.
        let content = scenario.api().get(CONTENTS, &content_of("b/old")).unwrap();
        assert_eq!(content["spec"]["deletionPolicy"], if *along { "Delete" } else { "Retain" });
        drop(outcome);
        scenario.mended().run().exits(0);
    });
    // Deleted by another client.
    let scenario = sweeper(pairs(&["a"])).fault("page", REREAD, Fault::Run("rm api/volumesnapshots/a/old"));
    let outcome = scenario.run().exits(0);
    assert_eq!(told(&outcome), ["a/old delete left"], "{outcome}");
    data_stays(&scenario, "a/old");
}

/// While a run deletes, the history that its decisions stand on may change.
#[test]
fn one_that_became_the_last_good_one_stays() {
    let scenario =
        sweeper(pairs(&["a"])).fault("page", REREAD, Fault::Change("a/new", r#"{"status": {"readyToUse": false}}"#));
    let outcome = scenario.run().exits(0);
    assert_eq!(told(&outcome), ["a/old delete left"], "{outcome}");
    whole(&scenario, "a/old");
}

#[test]
fn two_pruners_do_no_more_than_one() {
    let shots = || pairs(&["a", "b"]).into_iter().chain(pairs(&["c"]).into_iter().map(Shot::along));
    let calls = format!("config page page claims contents {RETAINED} {RETAINED} {ALONG}");
    let all = calls.split(' ').count() as u32;
    let numbers: Vec<u32> = (1..=all).collect();
    each(&numbers, |number| {
        // The first one is stopped before this call of its, while the second one does everything.
        let wait = Fault::Run(": >waits; until [ -e go ]; do sleep 0.02; done");
        let scenario = sweeper(shots()).fault("*", *number..=*number, wait);
        let first = scenario.start().until("waits");
        let second = scenario.run().exits(0);
        for key in ["a/old", "b/old", "c/old"] {
            gone(&scenario, key);
        }
        let first = first.go_on().finish().exits(0);
        for key in ["a/new", "b/new", "c/new"] {
            whole(&scenario, key);
        }
        let done = |outcome: &Outcome| told(outcome).iter().filter(|line| line.ends_with(" done")).count();
        assert!((3..=4).contains(&(done(&first) + done(&second))), "{first}{second}");
    });
    // Both as fast as they can.
    each(&[(), (), ()], |()| {
        let scenario = sweeper(shots());
        let (first, second) = (scenario.start(), scenario.start());
        first.finish().exits(0);
        second.finish().exits(0);
        for key in ["a", "b", "c"] {
            gone(&scenario, &format!("{key}/old"));
            whole(&scenario, &format!("{key}/new"));
        }
    });
}

// Killed, refused, cut off.

#[test]
fn a_pruner_that_was_killed_is_finished_by_the_next() {
    let cases: Vec<_> = [RETAINED, ALONG]
        .into_iter()
        .flat_map(|deletion| (2..=calls_of_one(deletion).len() as u32).map(move |number| (deletion, number)))
        .collect();
    let killed = |deletion: &str, number: u32, by_hand: bool| {
        let shots = pairs(&["a"]).into_iter().map(|shot| if deletion == ALONG { shot.along() } else { shot });
        let shots = shots.map(|shot| if by_hand && shot.name == "old" { shot.by_hand() } else { shot });
        let scenario = sweeper(shots).fault("*", number..=number, Fault::Kill);
        let outcome = scenario.run();
        assert_eq!((outcome.killed, outcome.calls.len()), (Some(9), number as usize), "{outcome}");
        drop(outcome);
        scenario
    };
    each(&cases, |(deletion, number)| {
        let scenario = killed(deletion, *number, false);
        scenario.run().exits(0);
        gone(&scenario, "a/old");
        whole(&scenario, "a/new");
        assert_eq!(scenario.api().everything().len(), 2);
        scenario.run().exits(0).calls("config page page");
    });
    // The mark is taken off before the next run; of one that was marked by hand it was the only label of ours.
    let twice: Vec<_> = cases.iter().flat_map(|case| [(*case, false), (*case, true)]).collect();
    each(&twice, |((deletion, number), by_hand)| {
        let scenario = killed(deletion, *number, *by_hand);
        let last = calls_of_one(deletion)[*number as usize - 1].clone();
        let unmark: Value = serde_json::from_str(UNMARK).unwrap();
        let was_there = scenario.api().merge(SNAPSHOTS, "a/old", &unmark).is_ok();
        scenario.run().exits(0);
        whole(&scenario, "a/new");
        assert!(!claimed(&scenario, "a/old"));
        let calls = calls_of_one(deletion);
        let position = |kind: &str| calls.iter().position(|call| call == kind).unwrap_or(calls.len());
        let done = *number as usize;
        match *deletion {
            _ if done <= position("delete") => whole(&scenario, "a/old"),
            RETAINED if done <= position("deleteContent") => {
                data_stays(&scenario, "a/old");
                let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
                assert_eq!(content["spec"]["deletionPolicy"], "Retain", "{last}");
                assert!(was_there && !is_there(&scenario, "a/old"), "{last}");
            }
            _ => gone(&scenario, "a/old"),
        }
    });
}

#[test]
fn one_failure_goes_on_with_the_rest() {
    let old = |name: &str| format!("{name}/old");
    let cases = [
        ("delete", FORBIDDEN),
        ("page", FORBIDDEN),
        ("claims", FORBIDDEN),
        ("patch", FORBIDDEN),
        ("delete", INTERNAL),
        ("deleteContent", INTERNAL),
        ("patchContent", FORBIDDEN),
        ("getContent", "Error from server: something else"),
    ];
    each(&cases, |(call, words)| {
        let about = match *call {
            "getContent" | "patchContent" | "deleteContent" => "b-old",
            _ => "/namespaces/b/",
        };
        let scenario = sweeper(pairs(&["a", "b", "c"]));
        let scenario = match *call {
            // The second deletion's claim is the third patch.
            "patch" => scenario.fault("patch", 3..=3, Fault::Refuse(words)),
            _ => scenario.fault_about(call, about, ALWAYS, Fault::Refuse(words)),
        };
        let outcome = scenario.run().exits(3).says(&["b/old: ", "1 of 3 changes failed"]);
        assert_eq!(
            told(&outcome),
            ["a/old delete done", "b/old delete failed", "c/old delete done"],
            "{call}: {outcome}"
        );
        gone(&scenario, &old("a"));
        gone(&scenario, &old("c"));
        drop(outcome);
        let scenario = scenario.mended();
        scenario.run().exits(0);
        gone(&scenario, &old("b"));
    });
    // In words for people; and nothing at all done is no part.
    let scenario = with(Scenario::cluster(&["mark-and-delete", "--delete-interval=0s"]), pairs(&["a", "b"]));
    let scenario = scenario.fault_about("delete", "/a/", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(3).prints(&[
        "a/old  delete  (its date ",
        "FAILED, ",
        "(Forbidden)",
        "1 changed, 0 left, 1 failed",
    ]);
    let scenario = sweeper(pairs(&["a", "b"])).fault("delete", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(1).says(&["2 of 2 changes failed"]);
}

#[test]
fn an_api_that_goes_away_ends_the_run_and_the_next_one_finishes() {
    let shots =
        || pairs(&["a", "b", "c", "e", "f", "g"]).into_iter().chain([shot("d", "new", 1), shot("d", "mark", 2)]);
    let calls = format!("config page page claims contents label {RETAINED} {RETAINED}");
    let numbers: Vec<u32> = (1..=calls.split(' ').count() as u32).collect();
    each(&numbers, |number| {
        let scenario = sweeper(shots()).fault("*", *number..=u32::MAX, Fault::Refuse(REFUSED));
        // Nothing is done before the mark, which is done by the sixth call.
        let outcome = scenario.run().exits(if *number <= 6 { 1 } else { 3 }).says(&["remedy="]);
        if *number >= 6 {
            let told = told(&outcome);
            assert!(told.contains(&"g/old delete failed".into()), "{outcome}");
            assert_eq!(told.len(), 7, "{outcome}");
        } else {
            assert_eq!(outcome.stdout, "");
        }
        // It asks again for one object or page, not for each.
        assert!(outcome.calls.len() < *number as usize + 15, "{outcome}");
        drop(outcome);
        let scenario = scenario.mended();
        scenario.run().exits(0);
        for key in ["a", "b", "c", "e", "f", "g"] {
            gone(&scenario, &format!("{key}/old"));
            whole(&scenario, &format!("{key}/new"));
        }
        assert_eq!(label(&scenario, "d/mark", "delete-after"), Some(day(0).to_string()));
    });
}

#[test]
fn an_answer_that_is_lost_does_no_harm() {
    let cases = [("label", 1), ("patch", 1), ("delete", 1), ("patchContent", 1), ("deleteContent", 1), ("patch", 2)];
    let cases: Vec<_> = cases.into_iter().flat_map(|case| [false, true].map(|along| (case, along))).collect();
    each(&cases, |((call, nth), along)| {
        let shots = pairs(&["a", "b"]).into_iter().map(|shot| if *along { shot.along() } else { shot });
        let shots = shots.chain([shot("d", "new", 1), shot("d", "mark", 2)]);
        let scenario = sweeper(shots).fault(call, *nth..=*nth, Fault::DoneBut(REFUSED));
        let outcome = scenario.run().exits(0);
        assert_eq!(account(&outcome)["summary"]["failed"], 0, "{outcome}");
        drop(outcome);
        scenario.run().exits(0);
        for key in ["a", "b"] {
            gone(&scenario, &format!("{key}/old"));
            whole(&scenario, &format!("{key}/new"));
        }
        assert_eq!(label(&scenario, "d/mark", "delete-after"), Some(day(0).to_string()));
    });
}

// Batches of labels.

/// Those of six namespaces, each with one slot too many.
fn too_many() -> Scenario {
    let all = ["a", "b", "c", "d", "e", "f"].map(|name| {
        [shot(name, &format!("{name}-new"), 1).slots("daily"), shot(name, &format!("{name}-old"), 9).slots("daily")]
    });
    retainer(all.into_iter().flatten()).arg("--retain-last-daily=1")
}

/// The names in its last batch.
fn batch(outcome: &Outcome) -> Vec<String> {
    let list: Value = serde_json::from_str(&outcome.stdin("label")).unwrap();
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().into()).collect()
}

#[test]
fn a_batch_that_is_cut_is_asked_again_for_the_rest() {
    let cases = [
        (Fault::StopAt(2, 0, ""), 4),
        (Fault::StopAt(2, 1, REFUSED), 4),
        (Fault::StopAt(2, 1, "Error from server: etcdserver: leader changed"), 4),
        (Fault::StopAt(5, 0, ""), 1),
        (Fault::HangAt(2), 4),
        (Fault::Refuse(REFUSED), 6),
        (Fault::Print(""), 6),
        (Fault::Print("no name\na/\n/\nx/a-old\n"), 6),
    ];
    each(&cases, |(fault, rest)| {
        let scenario = too_many().arg("--request-timeout=1s").fault("label", ONCE, *fault);
        let outcome = scenario.run().exits(0).calls("config page label label").clean();
        assert_eq!(batch(&outcome).len(), *rest, "{outcome}");
        assert_eq!(account(&outcome)["summary"]["done"], 6, "{outcome}");
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(label(&scenario, &format!("{name}/{name}-old"), "daily"), None);
            assert!(label(&scenario, &format!("{name}/{name}-new"), "daily").is_some());
        }
    });
    // Asked again as long as it gets on.
    let scenario = too_many().fault("label", ALWAYS, Fault::StopAt(2, 1, REFUSED));
    scenario.run().exits(0).calls("config page label label label");
}

#[test]
fn a_label_that_is_refused_is_told_apart_from_its_batch() {
    let scenario = too_many().fault("label", ALWAYS, Fault::Forbid("c/"));
    let outcome = scenario.run().exits(3).calls("config page label").says(&["c/c-old: ", "cannot patch"]);
    let failed: Vec<_> = told(&outcome).into_iter().filter(|line| !line.ends_with("done")).collect();
    assert_eq!(failed, ["c/c-old label failed"], "{outcome}");
    assert_eq!(account(&outcome)["summary"]["done"], 5);
    let scenario = too_many().fault("label", ALWAYS, Fault::Forbid("/"));
    scenario.run().exits(1).calls("config page label").says(&["6 of 6 changes failed", "and 1 more"]);
    // Gone, or changed by another client.
    let scenario = too_many().fault("label", ONCE, Fault::Run("rm api/volumesnapshots/c/c-old"));
    let outcome = scenario.run().exits(0).calls("config page label");
    assert_eq!((account(&outcome)["summary"]["left"].as_u64(), told(&outcome).len()), (Some(1), 6), "{outcome}");
    let marked = r#"{"metadata": {"labels": {"backup-ns.sh/delete-after": "2999-12-31"}}}"#;
    let scenario = sweeper([shot("a", "new", 1), shot("a", "x", 2), shot("a", "y", 3)]);
    let scenario = scenario.fault("label", ONCE, Fault::Change("a/x", marked));
    let outcome = scenario.run().exits(0).calls("config page page label");
    assert_eq!(told(&outcome), ["a/x mark left", "a/y mark done"], "{outcome}");
    assert_eq!(label(&scenario, "a/x", "delete-after"), Some("2999-12-31".into()));
}

/// What is said of an object says nothing of one of the same name elsewhere.
#[test]
fn a_refusal_is_of_one_namespace() {
    let all = ["a", "b"].map(|name| [shot(name, "new", 1).slots("daily"), shot(name, "old", 9).slots("daily")]);
    let scenario = retainer(all.into_iter().flatten()).arg("--retain-last-daily=1");
    let scenario =
        scenario.fault("label", ALWAYS, Fault::Forbid("a/")).fault("label", ONCE, Fault::StopAt(1, 1, REFUSED));
    let outcome = scenario.run().exits(3);
    assert_eq!(told(&outcome), ["a/old label failed", "b/old label done"], "{outcome}");
    assert_eq!(label(&scenario, "b/old", "daily"), None);
}

#[test]
fn a_namespace_full_of_refusals_is_no_reason_to_ask_for_each() {
    let old = (0..300).map(|number| shot("a", &format!("a-{number:03}"), 9 + number).slots("daily").light());
    let newest =
        [shot("a", "new", 1).slots("daily"), shot("b", "new", 1).slots("daily"), shot("b", "old", 9).slots("daily")];
    let scenario = retainer(old.chain(newest)).arg("--retain-last-daily=1");
    let scenario = scenario.fault("label", ALWAYS, Fault::Forbid("a/"));
    let outcome = scenario.run().exits(3);
    assert_eq!(account(&outcome)["summary"]["failed"], 300);
    assert_eq!(label(&scenario, "b/old", "daily"), None);
    assert_eq!(outcome.count("label"), 3, "{outcome}");
}

// Several kubectl side by side.

/// The keys of the objects that each label call got, in the order of the calls.
fn batches(outcome: &Outcome) -> Vec<Vec<String>> {
    let calls = outcome.calls.iter().filter(|call| call["kind"] == "label");
    let batch = |call: &Value| {
        let path = outcome.scenario.dir().join(format!("label.{}.stdin", call["nth"]));
        let list: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let word = |item: &Value, field: &str| item["metadata"][field].as_str().unwrap().to_string();
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| format!("{}/{}", word(item, "namespace"), word(item, "name"))).collect()
    };
    calls.map(batch).collect()
}

/// 420 snapshots with one slot too many, in seven namespaces, and one that stays in each.
fn crowd() -> Scenario {
    let all = (0..7).flat_map(|namespace| {
        let namespace = format!("ns-{namespace}");
        let old = (0..60).map(move |number| (format!("s-{number:02}"), 9 + number));
        let shots = old.chain([("new".to_string(), 1)]);
        shots.map(move |(name, age)| shot(&namespace, &name, age).slots("daily").light())
    });
    retainer(all).arg("--retain-last-daily=1").env("BAK_RETRY_TIMEOUT", "60s")
}

/// How many snapshots of the crowd hold a slot.
fn holders(scenario: &Scenario) -> usize {
    let keys = scenario.api().keys(SNAPSHOTS);
    keys.iter().filter(|key| label(scenario, key, "daily").is_some()).count()
}

/// Goes on when so many label calls are at work at the same time, and not before.
macro_rules! meet {
    ($number:literal) => {
        Fault::Run(concat!(": >at.$PPID; until [ $(ls | grep -c '^at\\.') = ", $number, " ]; do sleep 0.05; done"))
    };
}

#[test]
fn changes_go_by_several_kubectl_at_once_and_each_object_by_one_of_them() {
    let cases = [
        ("4", vec![105; 4], meet!("4")),
        ("3", vec![140; 3], meet!("3")),
        ("1", vec![420], meet!("1")),
        // Each has 100 objects at least.
        ("16", vec![105; 4], meet!("4")),
    ];
    each(&cases, |(number, sizes, meet)| {
        let scenario = crowd().env("BAK_CHANGE_CONCURRENCY", number).fault("label", ALWAYS, *meet);
        let outcome = scenario.run().exits(0).clean();
        let batches = batches(&outcome);
        assert_eq!(&batches.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{outcome}");
        assert_eq!(batches.concat().into_iter().collect::<BTreeSet<_>>().len(), 420, "{outcome}");
        assert_eq!((account(&outcome)["summary"]["done"].as_u64(), holders(&scenario)), (Some(420), 7), "{outcome}");
    });
    // The flag wins, and so many at once are refused.
    let scenario = crowd().env("BAK_CHANGE_CONCURRENCY", "1").arg("--change-concurrency=2");
    assert_eq!(scenario.run().exits(0).count("label"), 2);
    crowd().arg("--change-concurrency=17").run().exits(2).says(&["BAK_CHANGE_CONCURRENCY (--change-concurrency)"]);
}

#[test]
fn what_is_refused_of_one_share_says_nothing_of_the_others() {
    let scenario = crowd()
        .fault("label", ALWAYS, Fault::Run("rm -f api/volumesnapshots/ns-0/s-59"))
        .fault("label", ALWAYS, Fault::Forbid("ns-0/s-00"))
        .fault("label", 2..=2, Fault::StopAt(5, 1, REFUSED));
    let outcome = scenario.run().exits(3).says(&["1 of 420 changes failed", "ns-0/s-00: "]);
    let numbers = ["done", "left", "failed"].map(|number| account(&outcome)["summary"][number].as_u64().unwrap());
    assert_eq!(numbers, [418, 1, 1], "{outcome}");
    // Only the rest of the share that was cut off is asked for again.
    let batches = batches(&outcome);
    assert_eq!(batches.iter().map(Vec::len).take(4).collect::<Vec<_>>(), [105; 4], "{outcome}");
    let rest = batches[..4].iter().find(|batch| batch[104] == batches[4][batches[4].len() - 1]).unwrap();
    let tried = |key: &&String| !key.ends_with("ns-0/s-00");
    let [rest, again] = [&rest[5..], &batches[4][..]].map(|keys| keys.iter().filter(tried).collect::<Vec<_>>());
    assert_eq!((rest, batches.len()), (again, 5), "{outcome}");
}

#[test]
fn a_kubectl_that_is_killed_is_followed_by_fewer() {
    // One of four does its share; two do the rest.
    let scenario = crowd().fault("label", 2..=4, Fault::Run("kill -KILL $PPID"));
    let outcome = scenario.run().exits(0).clean();
    assert_eq!((outcome.count("label"), holders(&scenario)), (6, 7), "{outcome}");
    // Always: it gives up, and nothing is taken for done.
    let scenario = crowd().env("BAK_RETRY_TIMEOUT", "1s").fault("label", ALWAYS, Fault::Run("kill -KILL $PPID"));
    let outcome = scenario.run().exits(1).says(&["420 of 420 changes failed", "killed by signal 9"]).clean();
    assert!([4, 6].contains(&outcome.count("label")) && holders(&scenario) == 427, "{outcome}");
}

#[test]
fn a_busy_api_gets_half_as_many_calls_until_it_takes_them() {
    // Four, then two, then one by one.
    let scenario =
        crowd().fault("label", 1..=6, Fault::StopAt(0, 1, BUSY)).fault("label", 7..=7, Fault::StopAt(99, 1, BUSY));
    let outcome =
        scenario.run().exits(0).says(&["not made yet: 420 of 420 changes", "not made yet: 321 of 420 changes"]);
    let sizes: Vec<usize> = batches(&outcome).iter().map(Vec::len).collect();
    assert_eq!(sizes, [105, 105, 105, 105, 210, 210, 420, 321], "{outcome}");
    assert_eq!(holders(&scenario), 7);
    // A connection that breaks is no reason for fewer.
    let scenario = crowd().fault("label", 1..=4, Fault::Refuse(REFUSED));
    let outcome = scenario.run().exits(0);
    assert_eq!((outcome.count("label"), holders(&scenario)), (8, 7), "{outcome}");
}

#[test]
fn a_signal_or_the_end_of_the_time_ends_all_of_them() {
    let hanging = || crowd().fault("label", ALWAYS, Fault::HangAt(2));
    each(&[("TERM", 143), ("INT", 130)], |(name, code)| {
        let scenario = hanging();
        let running = scenario.start().until("label.4").signal(name);
        let outcome = running.finish().exits(*code).clean().says(&["ended by signal"]);
        assert_eq!(outcome.count("label"), 4, "{outcome}");
        drop(outcome);
        scenario.mended().run().exits(0).clean();
    });
    let scenario = hanging().arg("--timeout=3s");
    let outcome = scenario.run().exits(1).clean().says(&["not done within 3s in all"]);
    assert!(outcome.count("label") <= 4, "{outcome}");
}

// Lists.

/// What the API answers where a page is too much for it, or for the time that it has.
const TOO_MUCH: [&str; 3] = [
    "Error from server (Timeout): the server was unable to return a response in the time allotted, but may still be processing the request",
    "Error from server (TooManyRequests): the server has received too many requests and has asked us to try again later",
    "error: net/http: request canceled (Client.Timeout or context cancellation while reading body)",
];

/// So many namespaces of 20 snapshots. 1,251 are more than the first page of a list has.
fn tenants(number: usize) -> Vec<Shot> {
    let all = |number: usize| (0..20).map(move |age| shot(&format!("ns-{number:04}"), &format!("s-{age:02}"), age + 1));
    (0..number).flat_map(all).map(|shot| shot.slots("daily weekly monthly").light()).collect()
}

/// The limit of each page, with `+` behind it if it continues another.
fn limits(outcome: &Outcome) -> Vec<String> {
    let pages = outcome.calls.iter().filter(|call| call["kind"] == "page");
    let limit = |call: &Value| {
        let path = call["argv"].as_array().unwrap().last().unwrap().as_str().unwrap().to_string();
        let limit = path.split_once("limit=").unwrap().1.split('&').next().unwrap().to_string();
        if path.contains("continue=") { limit + "+" } else { limit }
    };
    pages.map(limit).collect()
}

#[test]
fn a_list_longer_than_the_first_page_is_read_at_once() {
    let scenario = with(Scenario::cluster(&["retain", "-o", "json", "--dry-run"]), tenants(1251));
    let whole = scenario.run().exits(0).calls("config page page");
    let pages = limits(&whole);
    assert_eq!(
        (pages[0].as_str(), pages[1].ends_with('+')),
        ("25000", false),
        "the second is from the beginning: {pages:?}"
    );
    assert!(pages[1].parse::<usize>().unwrap() >= 50_000, "{pages:?}");
    let sound = account(&whole);
    let count = sound["snapshots"].as_array().unwrap().len();
    assert_eq!((&sound["summary"]["read"], count), (&json!(25_020), 25_020));
    // The page for all is too much.
    let scenario = scenario.env("BAK_RETRY_TIMEOUT", "30s").fault("page", 4..=4, Fault::Refuse(TOO_MUCH[0]));
    let outcome = scenario.run().exits(0).says(&["asking again"]);
    assert_eq!(limits(&outcome)[2..], [&["500"][..], &["500+"; 50]].concat());
    assert_eq!(account(&outcome), sound);
}

#[test]
fn a_list_is_read_in_small_pages_where_a_large_one_is_too_much() {
    let args = ["retain", "-o", "json", "--dry-run"];
    let scenario = with(Scenario::cluster(&args), tenants(130)).env("BAK_RETRY_TIMEOUT", "30s");
    let sound = account(&scenario.run().exits(0).calls("config page"));
    let (mut scenario, mut before) = (scenario, 1);
    for refusal in TOO_MUCH {
        scenario = scenario.mended().fault("page", before + 1..=before + 1, Fault::Refuse(refusal));
        let outcome = scenario.run().exits(0).says(&["asking again"]);
        assert_eq!(limits(&outcome), ["25000", "500", "500+", "500+", "500+", "500+", "500+"], "{refusal}");
        assert_eq!(account(&outcome), sound, "{refusal}");
        before += u32::try_from(outcome.count("page")).unwrap();
    }
    // Then also a small page is too much, and one comes too late.
    scenario =
        [(1, TOO_MUCH[0]), (3, TOO_MUCH[1]), (5, EXPIRED)].into_iter().fold(scenario.mended(), |scenario, fault| {
            let nth = before + fault.0;
            scenario.fault("page", nth..=nth, Fault::Refuse(fault.1))
        });
    let outcome = scenario.run().exits(0).says(&["asking again", "beginning again"]);
    assert_eq!(limits(&outcome)[1..7], ["500", "500+", "125+", "250+", "250", "500+"]);
    assert_eq!(account(&outcome), sound);
}

#[test]
fn a_list_that_expires_is_begun_again() {
    let mut shots = large();
    shots.truncate(520);
    let args = ["retain", "-o", "json", "--dry-run"];
    let sound = account(&with(Scenario::cluster(&args), shots.clone()).run().exits(0).calls("config page"));
    let in_small_pages = || {
        let scenario = with(Scenario::cluster(&args), shots.clone()).env("BAK_RETRY_TIMEOUT", "30s");
        scenario.fault_about("page", "limit=25000", ALWAYS, Fault::Refuse(TOO_MUCH[0]))
    };
    let scenario = in_small_pages().fault("page", 3..=3, Fault::Refuse(EXPIRED));
    let outcome = scenario.run().exits(0).says(&["beginning again"]);
    assert_eq!(limits(&outcome), ["25000", "500", "500+", "500", "500+"]);
    assert_eq!(account(&outcome), sound);
    let scenario = in_small_pages().fault_about("page", "continue=", ALWAYS, Fault::Refuse(EXPIRED));
    let outcome = scenario.run().exits(1).says(&["(Expired)"]);
    assert_eq!((outcome.count("page"), outcome.stdout.as_str()), (13, ""), "{outcome}");
}

/// An unanswered question is an error, never a yes.
#[test]
fn what_is_no_list_changes_nothing() {
    let texts =
        ["", "no JSON\n", "{}\n", "[]\n", "null\n", "{\"kind\": \"Status\"}\n", "{\"items\": [{\"metadata\": {\"na"];
    let faults = texts.map(Fault::Print).into_iter().chain([Fault::Refuse(INTERNAL), Fault::Refuse("error: no")]);
    let mut many = large();
    many.truncate(520);
    let mut scenario = retainer(many);
    let before = version(&scenario);
    for (fault, about) in
        ["limit=", "continue="].into_iter().flat_map(|about| faults.clone().map(move |fault| (fault, about)))
    {
        scenario = scenario.mended().fault_about("page", about, ALWAYS, fault);
        if about == "continue=" {
            // So that there is a second page.
            scenario = scenario.env("BAK_RETRY_TIMEOUT", "3s");
            scenario = scenario.fault_about("page", "limit=25000", ALWAYS, Fault::Refuse(TOO_MUCH[0]));
        }
        let outcome = scenario.run().exits(1);
        assert!(outcome.count("label") == 0 && outcome.stdout.is_empty(), "{outcome}");
        assert!(about == "limit=" || limits(&outcome).contains(&"500+".to_string()), "{outcome}");
        assert_eq!(before, version(&scenario));
    }
    // Of a change that is answered with nonsense, all that is known is that it was made.
    each(&["{}\n", "[]\n", "null\n", "{\"kind\": \"Status\"}\n"], |text| {
        let scenario = sweeper(pairs(&["a"])).fault("patch", ONCE, Fault::Print(text));
        let before = version(&scenario);
        let outcome = scenario.run().exits(1);
        assert_eq!((before, outcome.count("delete")), (version(&scenario), 0), "{outcome}");
    });
    let calls = [("page", ALWAYS), ("page", REREAD), ("claims", ALWAYS), ("claims", 2..=2), ("getContent", ALWAYS)];
    let cases: Vec<_> = calls.into_iter().flat_map(|call| texts.map(|text| (call.clone(), text))).collect();
    each(&cases, |((call, times), text)| {
        let scenario = sweeper(pairs(&["a"])).fault(call, times.clone(), Fault::Print(text));
        let before = version(&scenario);
        let outcome = scenario.run().exits(1);
        assert_eq!(before, version(&scenario), "{outcome}");
    });
    // What answers a change is not looked at so closely, but nothing is lost, and the next run finishes.
    let cases: Vec<_> = ["patch", "delete", "patchContent", "deleteContent", "get"].into_iter().collect();
    each(&cases, |call| {
        let scenario = sweeper(pairs(&["a"])).fault(call, ONCE, Fault::Print(""));
        let code = scenario.run().code;
        assert!([Some(0), Some(1)].contains(&code), "{call}: {code:?}");
        scenario.run().exits(0);
        gone(&scenario, "a/old");
        whole(&scenario, "a/new");
    });
}

// What may be read.

fn narrow(scenario: Scenario) -> Scenario {
    let scenario = scenario.namespaces(&["a", "b", "empty", "shop"]);
    ["page", "claims"].into_iter().fold(scenario, |scenario, call| {
        let about = if call == "page" { "k8s.io/v1/volumesnapshots?" } else { "/api/v1/persistentvolumeclaims?" };
        scenario.fault_about(call, about, ALWAYS, Fault::Refuse(FORBIDDEN))
    })
}

#[test]
fn who_may_not_read_the_cluster_reads_its_namespaces() {
    let scenario = narrow(sweeper(pairs(&["a", "b"]))).fault_about("page", "/b/", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0).says(&["skipping it"]);
    assert_eq!(told(&outcome), ["a/old delete done"], "{outcome}");
    let skipped = &account(&outcome)["skipped"];
    assert_eq!((skipped[0]["namespace"].as_str(), skipped.as_array().unwrap().len()), (Some("b"), 1), "{skipped}");
    assert!(skipped[0]["reason"].as_str().unwrap().contains("(Forbidden)"), "{skipped}");
    gone(&scenario, "a/old");
    whole(&scenario, "b/old");
    drop(outcome);
    let words = ["b  skipped  (Error from server (Forbidden)", "1 namespace skipped"];
    scenario.args(&["mark-and-delete", "--dry-run"]).run().exits(0).prints(&words);
    let scenario = narrow(too_many());
    scenario.run().exits(0).calls("config page namespaces page page page page label");
    assert_eq!((label(&scenario, "a/a-old", "daily"), label(&scenario, "b/b-old", "daily")), (None, None));
}

#[test]
fn who_may_not_read_claims_deletes_nothing() {
    let forbid = |scenario: Scenario, about| scenario.fault_about("claims", about, ALWAYS, Fault::Refuse(FORBIDDEN));
    // shows: one namespace whose claims may not be read keeps all others from being pruned.
    let scenario = forbid(narrow(sweeper(pairs(&["a", "b"]))), "/b/");
    let outcome = scenario.run().exits(0).says(&["skipping it"]);
    assert_eq!(told(&outcome), ["a/old delete done"], "{outcome}");
    assert_eq!(account(&outcome)["skipped"][0]["namespace"], "b");
    gone(&scenario, "a/old");
    whole(&scenario, "b/old");
    for args in [&[][..], &["-n", "a"]] {
        let scenario = forbid(narrow(sweeper(pairs(&["a"]))), "").args_also(args);
        scenario.run().exits(4).says(&["(Forbidden)", "remedy="]);
        whole(&scenario, "a/old");
    }
    let scenario = forbid(sweeper(pairs(&["a"])), "");
    scenario.run().exits(4).says(&["(Forbidden)", "remedy="]);
    whole(&scenario, "a/old");
}

#[test]
fn who_may_not_list_namespaces_reads_the_contexts_own() {
    let forbid = |scenario: Scenario| narrow(scenario).fault("namespaces", ALWAYS, Fault::Refuse(FORBIDDEN));
    let scenario = forbid(sweeper(pairs(&["a", "shop"])));
    let outcome = scenario.run().exits(0).says(&["reading shop alone"]);
    assert_eq!(told(&outcome), ["shop/old delete done"], "{outcome}");
    whole(&scenario, "a/old");
    gone(&scenario, "shop/old");
    drop(outcome);
    let scenario = forbid(sweeper(pairs(&["a"]))).fault("page", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).says(&["(Forbidden)", "remedy="]);
    // A user who names a namespace gets that one or none.
    let scenario = narrow(sweeper(pairs(&["a"]))).args_also(&["-n", "a"]);
    scenario.run().exits(0);
    gone(&scenario, "a/old");
    let scenario = sweeper(pairs(&["a"])).args_also(&["-n", "a"]).fault("page", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(4).calls("config page").says(&["(Forbidden)", "remedy="]);
    whole(&scenario, "a/old");
}

#[test]
fn who_may_not_read_contents_is_told_that_data_may_stay() {
    let shots = [pairs(&["a"]), pairs(&["b"]).into_iter().map(Shot::along).collect()].concat();
    let scenario = sweeper(shots).fault("getContent", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(0);
    assert_eq!(told(&outcome), ["a/old delete done", "b/old delete done"], "{outcome}");
    let note = account(&outcome)["snapshots"][0]["note"].as_str().unwrap().to_string();
    assert!(note.contains("under deletionPolicy Retain its data stays"), "{note}");
    assert!(!is_there(&scenario, "a/old"));
    data_stays(&scenario, "a/old");
    gone(&scenario, "b/old");
}

/// A content that is bound to another VolumeSnapshot, or gone, or deleted meanwhile.
#[test]
fn only_the_content_of_this_very_snapshot_goes() {
    let scenario = sweeper(pairs(&["a"]));
    let other = json!({"spec": {"volumeSnapshotRef": {"uid": "another"}}});
    scenario.api().merge(CONTENTS, &content_of("a/old"), &other).unwrap();
    scenario.run().exits(0);
    assert!(!is_there(&scenario, "a/old"));
    data_stays(&scenario, "a/old");
    // It changes hands at the last moment.
    let rebind = "sed -i 's/\"volumeSnapshotRef\":{/&\"x\":1,/; s/\"uid\":\"uid-[0-9]*\"}}/\"uid\":\"another\"}}/' api/volumesnapshotcontents/snapcontent-a-old";
    let scenario = sweeper(pairs(&["a"])).fault("patchContent", ONCE, Fault::Run(rebind));
    scenario.run().exits(1).says(&["a/old: "]);
    data_stays(&scenario, "a/old");
    let remove = "rm -f api/volumesnapshotcontents/snapcontent-a-old api/stored/snapcontent-a-old";
    let calls = [("page", REREAD), ("getContent", ONCE), ("patchContent", ONCE), ("deleteContent", ONCE)];
    each(&calls, |(call, times)| {
        let scenario = sweeper(pairs(&["a"])).fault(call, times.clone(), Fault::Run(remove));
        let outcome = scenario.run().exits(0);
        assert_eq!(told(&outcome), ["a/old delete done"], "{outcome}");
        gone(&scenario, "a/old");
    });
}

// Stored data that two contents name.

/// Another content, of an unbound VolumeSnapshot of `z`, that names the data of this one.
fn twin(scenario: &Scenario, name: &str, of: &str, labelled: bool) {
    let owner = scenario.api().get(CONTENTS, &content_of(of)).unwrap();
    let mut twin = json!({
        "kind": "VolumeSnapshotContent",
        "metadata": {
            "name": name, "creationTimestamp": "2026-01-02T03:04:05Z", "annotations": {}, "labels": {},
            "finalizers": ["snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"],
        },
        "spec": {
            "driver": owner["spec"]["driver"], "deletionPolicy": "Retain",
            "source": {"snapshotHandle": owner["status"]["snapshotHandle"]},
            "volumeSnapshotRef": {"namespace": "z", "name": "lost", "uid": "uid-lost"},
        },
        "status": {"snapshotHandle": owner["status"]["snapshotHandle"]},
    });
    if labelled {
        let value = fnv(&owner["spec"]["driver"], &owner["status"]["snapshotHandle"]);
        twin["metadata"]["labels"] = json!({"backup-ns.sh/data": value});
    }
    scenario.api().put(CONTENTS, twin);
}

/// The label by which contents of the same data are found, as the older versions must find it for ever.
fn fnv(driver: &Value, handle: &Value) -> String {
    let text = format!("{}\0{}", driver.as_str().unwrap(), handle.as_str().unwrap());
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
}

#[test]
fn data_that_another_content_names_is_never_deleted() {
    // A clone's is protected like any other.
    let cases: Vec<_> = ["rebound-1", "clone-1-z"].iter().flat_map(|name| [(*name, false), (*name, true)]).collect();
    each(&cases, |(name, along)| {
        let shots = pairs(&["a", "b"]).into_iter().map(|shot| if *along { shot.along() } else { shot });
        let scenario = sweeper(shots);
        twin(&scenario, name, "a/old", false);
        let remedy = format!("backup-ns delete-vsc {name} --keep-data");
        let outcome = scenario.run().exits(0).says(&[&remedy]);
        assert_eq!(told(&outcome), ["a/old keep planned", "b/old delete done"], "{outcome}");
        whole(&scenario, "a/old");
        gone(&scenario, "b/old");
        drop(outcome);
        // Nor by name, with whatever force; and nothing was changed.
        let delete = ["delete", "old", "-n", "a", "--yes", "--force"];
        let scenario = scenario.args(&delete);
        let before = version(&scenario);
        scenario.run().exits(4).says(&["old is not deleted", name, &remedy]);
        assert_eq!(before, version(&scenario));
        // The remedy, as it is written; then it goes.
        let scenario = scenario.args(&["delete-vsc", name, "--keep-data", "--yes"]);
        scenario.run().exits(0).prints(&["is deleted; snapcontent-a-old (a/old) keeps the data"]);
        assert!(scenario.api().get(CONTENTS, name).is_err());
        whole(&scenario, "a/old");
        let scenario = scenario.args(&delete);
        scenario.run().exits(0);
        gone(&scenario, "a/old");
    });
}

/// Another client makes a second content for the data while it is being deleted.
#[test]
fn a_content_that_is_made_meanwhile_keeps_the_data() {
    // Before each call of the deletion of `a/old`, up to the last look.
    let looks: Vec<_> = [RETAINED, ALONG]
        .iter()
        .flat_map(|deletion| {
            let calls = calls_of_one(deletion);
            let last = calls.iter().rposition(|call| call == "contents").unwrap();
            (5..=last + 1).map(move |number| (*deletion, number as u32)).collect::<Vec<_>>()
        })
        .collect();
    each(&looks, |(deletion, number)| {
        let shots = || pairs(&["a"]).into_iter().map(|shot| if *deletion == ALONG { shot.along() } else { shot });
        let scenario = sweeper(shots());
        twin(&scenario, "rebound-1", "a/old", true);
        std::fs::rename(scenario.dir().join("api/volumesnapshotcontents/rebound-1"), scenario.dir().join("rebound-1"))
            .unwrap();
        let make = Fault::Run("mv rebound-1 api/volumesnapshotcontents/");
        let scenario = scenario.fault("*", *number..=*number, make);
        scenario.run().exits(0);
        assert!(scenario.api().get(CONTENTS, "rebound-1").is_ok());
        data_stays(&scenario, "a/old");
        assert!(!claimed(&scenario, "a/old"));
        let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
        assert_eq!(content["spec"]["deletionPolicy"], if *deletion == ALONG { "Delete" } else { "Retain" });
    });
}

#[test]
fn who_may_not_list_contents_deletes_none() {
    let scenario = sweeper(pairs(&["a"])).fault("contents", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(1).says(&["(Forbidden)"]);
    whole(&scenario, "a/old");
    let scenario = scenario.args(&["delete", "old", "-n", "a", "--yes"]);
    scenario.run().exits(4).says(&["(Forbidden)", "remedy="]);
    whole(&scenario, "a/old");
}

/// A tenant can write what it likes into a claim of its own; contents it cannot make.
#[test]
fn an_annotation_holds_back_nothing_in_another_namespace() {
    let claim = |namespace: &str| {
        json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": "look", "annotations": {"backup-ns.sh/restored-from": "a/old"}},
            "spec": {}, "status": {"phase": "Pending"},
        })
    };
    let scenario = sweeper(pairs(&["a"]));
    scenario.api().put(CLAIMS, claim("z"));
    scenario.run().exits(0);
    gone(&scenario, "a/old");
    // Where a content is really of that data, its deletion waits; and a namespace's own claims count as ever.
    let scenario = sweeper(pairs(&["a"]));
    scenario.api().put(CLAIMS, claim("z"));
    twin(&scenario, "clone-1-z", "a/old", true);
    scenario.run().exits(0);
    whole(&scenario, "a/old");
    let scenario = sweeper(pairs(&["a"]));
    scenario.api().put(CLAIMS, claim("a"));
    scenario.run().exits(0);
    whole(&scenario, "a/old");
}

// `delete`.

/// `delete a/old` with a failure: what is left of it, by what failed.
#[test]
fn a_delete_that_fails_leaves_no_finalizer() {
    let args = ["delete", "old", "-n", "a", "--yes"];
    let faults = [
        ("patch", 1..=1, false),
        ("delete", 1..=u32::MAX, false),
        ("contents", 3..=3, true),
        ("patchContent", 1..=1, true),
        ("deleteContent", 1..=u32::MAX, true),
    ];
    each(&faults, |(call, calls, goes)| {
        let scenario =
            with(Scenario::cluster(&args), pairs(&["a"])).fault(call, calls.clone(), Fault::Refuse(FORBIDDEN));
        let outcome = scenario.run().exits(4).says(&["(Forbidden)"]);
        assert!(!claimed(&scenario, "a/old"), "{outcome}");
        data_stays(&scenario, "a/old");
        let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
        assert_eq!(content["spec"]["deletionPolicy"], "Retain", "{outcome}");
        assert_eq!(is_there(&scenario, "a/old"), !goes, "{outcome}");
        // The printed way on works as it is written.
        let command: &[&str] = match *goes {
            true => &["delete-vsc", "snapcontent-a-old"],
            false => &["delete", "old", "-n", "a"],
        };
        assert!(outcome.stderr.contains(&format!("backup-ns {}", command.join(" "))), "{outcome}");
        drop(outcome);
        let scenario = scenario.mended().args(&[command, &["--yes"]].concat());
        scenario.run().exits(0);
        gone(&scenario, "a/old");
    });
    // Where nothing was begun, nothing is called off: what was to go with its snapshot still is.
    each(&[("contents", 2), ("delete", 1)], |(call, number)| {
        let shots = pairs(&["a"]).into_iter().map(Shot::along);
        let scenario = with(Scenario::cluster(&args), shots).fault(call, *number..=u32::MAX, Fault::Refuse(FORBIDDEN));
        scenario.run().exits(4).says(&["the VolumeSnapshot is as it was", "backup-ns delete old -n a"]);
        whole(&scenario, "a/old");
        let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
        assert_eq!(content["spec"]["deletionPolicy"], "Delete");
    });
    // A signal, whatever hangs.
    each(&["patch", "delete", "patchContent", "deleteContent", "get"], |call| {
        let scenario = with(Scenario::cluster(&args), pairs(&["a"])).fault(call, ONCE, Fault::Hang);
        let running = scenario.start().until(&format!("{call}.1")).signal("TERM");
        let outcome = running.finish().exits(143).clean();
        assert!(!claimed(&scenario, "a/old"), "{outcome}");
    });
    // The time that it may take is up.
    let scenario =
        with(Scenario::cluster(&args).env("BAK_TIMEOUT", "2s"), pairs(&["a"])).fault("patchContent", ONCE, Fault::Hang);
    let outcome = scenario.run().exits(1);
    assert!(!claimed(&scenario, "a/old"), "{outcome}");
    data_stays(&scenario, "a/old");
}

/// A snapshot whose `delete` was killed so many minutes ago.
fn killed_delete(minutes: i64) -> Scenario {
    let scenario = with(
        Scenario::cluster(&["delete", "old", "-n", "a", "--yes"]),
        [shot("a", "new", 1), shot("a", "newer", 0), shot("a", "old", 9)],
    );
    let scenario = scenario.fault("patchContent", ONCE, Fault::Kill);
    assert_eq!(scenario.run().killed, Some(9));
    assert!(claimed(&scenario, "a/old"));
    let time = chrono::Utc::now() - chrono::TimeDelta::minutes(minutes);
    let note = json!({"metadata": {"annotations": {"backup-ns.sh/deleting": time.to_rfc3339()}}});
    scenario.api().merge(SNAPSHOTS, "a/old", &note).unwrap();
    scenario.mended()
}

#[test]
fn what_a_killed_delete_left_is_let_go_by_the_next_pruning() {
    let commands: [&[&str]; 3] = [
        &["retain", "-o", "json"],
        &["mark-and-delete", "-o", "json", "--delete-interval=0s"],
        &["delete", "new", "-n", "a", "--yes"],
    ];
    each(&commands, |command| {
        // One that may be at work is not touched.
        let scenario = killed_delete(1).args(command);
        scenario.run().exits(0);
        assert!(claimed(&scenario, "a/old"));
        let scenario = killed_delete(60).args(command);
        scenario.run().exits(0);
        assert!(!is_there(&scenario, "a/old"));
        data_stays(&scenario, "a/old");
        let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
        assert_eq!(content["spec"]["deletionPolicy"], "Retain");
    });
    // The same call finishes it at any time.
    let scenario = killed_delete(1);
    scenario.run().exits(0);
    gone(&scenario, "a/old");
    // A dry run lets go of nothing, and a live one that lost its deletion is whole again.
    let scenario = killed_delete(60).args(&["retain", "--dry-run"]);
    scenario.run().exits(0).prints(&["a/old  release "]);
    assert!(claimed(&scenario, "a/old"));
}

/// A run that lets go of a deletion which still works does not make its data lose its last name.
#[test]
fn a_delete_that_is_called_off_under_way_leaves_its_content() {
    let scenario = with(Scenario::cluster(&["delete", "old", "-n", "a", "--yes"]), pairs(&["a"]));
    let keep = Fault::Change("snapcontent-a-old", r#"{"spec": {"deletionPolicy": "Retain"}}"#);
    let scenario = scenario.fault("deleteContent", ONCE, keep);
    scenario.run().exits(1).says(&["backup-ns delete-vsc snapcontent-a-old"]);
    data_stays(&scenario, "a/old");
}

// `delete-vsc`.

/// `a/old` was deleted by hand, and its content is left.
fn orphan(args: &[&str]) -> Scenario {
    let scenario = with(Scenario::cluster(args), pairs(&["a"]));
    scenario.api().delete(SNAPSHOTS, "a/old", &json!({})).unwrap();
    data_stays(&scenario, "a/old");
    scenario
}

const LET_GO: [&str; 3] = ["delete-vsc", "snapcontent-a-old", "--yes"];

#[test]
fn stored_data_without_a_snapshot_goes_when_a_person_says_so() {
    let scenario = orphan(&["delete-vsc", "snapcontent-a-old"]);
    let before = version(&scenario);
    scenario.run().exits(2).says(&["confirmation is needed", "a/old", "nothing brings it back"]);
    let scenario = scenario.args(&["delete-vsc", "snapcontent-a-old", "--dry-run", "-o", "json"]);
    let dry: Value = serde_json::from_str(&scenario.run().exits(0).stdout).unwrap();
    assert_eq!((&dry["data"], dry["steps"].as_array().unwrap().len()), (&json!("deleted"), 3), "{dry}");
    assert_eq!(before, version(&scenario));
    let scenario = scenario.args(&LET_GO);
    let look = "getContent contents list";
    scenario.run().exits(0).calls(&format!("config {look} patchContent {look} deleteContent"));
    gone(&scenario, "a/old");
    whole(&scenario, "a/new");
    // Once more does no harm.
    scenario.run().exits(0).prints(&["there is no VolumeSnapshotContent snapcontent-a-old"]);
    // One that is bound is refused, with what does work.
    let scenario = scenario.args(&["delete-vsc", "snapcontent-a-new", "--yes", "--force"]);
    scenario.run().exits(4).says(&["bound to a/new", "backup-ns delete new -n a"]);
    whole(&scenario, "a/new");
    // The only one that names the data is not deleted alone.
    let scenario = orphan(&LET_GO).arg("--keep-data");
    scenario.run().exits(4).says(&["backup-ns rebind-vsc snapcontent-a-old"]);
    data_stays(&scenario, "a/old");
}

#[test]
fn a_delete_vsc_that_ends_anywhere_is_gone_on_with() {
    let all = "config getContent contents list patchContent getContent contents list deleteContent";
    let numbers: Vec<u32> = (2..=all.split(' ').count() as u32).collect();
    each(&numbers, |number| {
        for fault in [Fault::Kill, Fault::DoneBut(REFUSED), Fault::Refuse(FORBIDDEN)] {
            let scenario = orphan(&LET_GO).fault("*", *number..=*number, fault);
            let outcome = scenario.run();
            // Until it is deleted the content says where the data is.
            let content = scenario.api().get(CONTENTS, &content_of("a/old")).is_ok();
            assert_eq!(content, scenario.api().is_stored("a/old"), "{outcome}");
            drop(outcome);
            let scenario = scenario.mended();
            scenario.run().exits(0);
            gone(&scenario, "a/old");
            whole(&scenario, "a/new");
        }
    });
}

#[test]
fn whatever_comes_between_the_look_and_the_deletion_keeps_the_data() {
    let all = "config getContent contents list patchContent getContent contents list deleteContent";
    let last = all.split(' ').collect::<Vec<_>>().iter().rposition(|call| *call == "contents").unwrap() as u32 + 1;
    each(&(3..=last).collect::<Vec<_>>(), |number| {
        let scenario = orphan(&LET_GO);
        twin(&scenario, "rebound-1", "a/old", true);
        std::fs::rename(scenario.dir().join("api/volumesnapshotcontents/rebound-1"), scenario.dir().join("rebound-1"))
            .unwrap();
        let scenario = scenario.fault("*", *number..=*number, Fault::Run("mv rebound-1 api/volumesnapshotcontents/"));
        let outcome = scenario.run();
        assert!(scenario.api().is_stored("a/old"), "{outcome}");
        // Seen by the first look it is only the object that goes; later nothing does.
        match number {
            3 => assert_eq!(outcome.code, Some(0), "{outcome}"),
            _ => {
                assert_eq!(outcome.code, Some(1), "{outcome}");
                let content = scenario.api().get(CONTENTS, &content_of("a/old")).unwrap();
                assert_eq!(content["spec"]["deletionPolicy"], "Retain", "{outcome}");
            }
        }
    });
    // A person has it keep its data, in the last moment: it is looked at anew, and asked for anew.
    let keep = Fault::Change("snapcontent-a-old", r#"{"spec": {"deletionPolicy": "Retain"}}"#);
    let scenario = orphan(&LET_GO).fault("deleteContent", ALWAYS, keep);
    scenario.run().exits(1).says(&["another client is changing", "run this again"]);
    data_stays(&scenario, "a/old");
}

// Members of a group snapshot that another program made.

const GROUP: &str = "kubectl delete volumegroupsnapshot one -n a";

/// Has `a/old` and its content be of the group `one`, by only this mark of them.
fn member(scenario: &Scenario, mark: &str) {
    let by_content = json!({"status": {"volumeGroupSnapshotHandle": "G-1"}});
    let mark = match mark {
        "owner" => json!({"metadata": {"ownerReferences": [{"kind": "VolumeGroupSnapshot", "name": "one"}]}}),
        "status" => json!({"status": {"volumeGroupSnapshotName": "one"}}),
        "finalizer" => {
            let snapshot = scenario.api().get(SNAPSHOTS, "a/old").unwrap();
            let mut finalizers = snapshot["metadata"]["finalizers"].as_array().unwrap().clone();
            finalizers.push(json!("snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"));
            json!({"metadata": {"finalizers": finalizers}})
        }
        _ => json!({}),
    };
    scenario.api().merge(SNAPSHOTS, "a/old", &mark).unwrap();
    scenario.api().merge(CONTENTS, &content_of("a/old"), &by_content).unwrap();
}

#[test]
fn a_member_of_a_group_is_left_as_it_is() {
    each(&["owner", "status", "finalizer", "content"], |mark| {
        for along in [false, true] {
            let shots = pairs(&["a", "b"]).into_iter().map(|shot| if along { shot.along() } else { shot });
            let scenario = sweeper(shots);
            member(&scenario, mark);
            let objects = |scenario: &Scenario| {
                (
                    scenario.api().get(SNAPSHOTS, "a/old").unwrap(),
                    scenario.api().get(CONTENTS, &content_of("a/old")).unwrap(),
                )
            };
            let before = objects(&scenario);
            // The others of the run are deleted, and its exit code is theirs.
            let outcome = scenario.run().exits(0).says(&["only deleted as a whole"]);
            let of_a = if *mark == "content" { "a/old delete left" } else { "a/old keep planned" };
            assert_eq!(told(&outcome), [of_a, "b/old delete done"], "{outcome}");
            let summary = &account(&outcome)["summary"];
            let counted = (&summary["left"], &summary["warnings"], &summary["failed"]);
            let expected = if *mark == "content" { (1, 0, 0) } else { (0, 1, 0) };
            assert_eq!(counted, (&json!(expected.0), &json!(expected.1), &json!(expected.2)), "{outcome}");
            gone(&scenario, "b/old");
            assert_eq!(before, objects(&scenario));
            drop(outcome);
            // Nor by name, with whatever force.
            for more in [&[][..], &["--force"], &["--dry-run"]] {
                let scenario = sweeper(pairs(&["a"])).args(&[&["delete", "old", "-n", "a", "--yes"], more].concat());
                member(&scenario, mark);
                let outcome = scenario.run().exits(4).says(&["the VolumeSnapshot old is not deleted"]);
                let named = if *mark == "owner" { GROUP } else { "kubectl get volumegroupsnapshotcontents" };
                let _ = outcome.says(&[named]);
                whole(&scenario, "a/old");
            }
            // Nor by its content.
            let scenario = scenario.args(&LET_GO);
            let says = if *mark == "content" { "bound to a/old" } else { "deleted as a whole" };
            scenario.run().exits(4).says(&[says]);
            whole(&scenario, "a/old");
        }
    });
}

/// The group is gone, its VolumeGroupSnapshotContent and the contents of its members are left.
#[test]
fn the_content_of_a_member_is_not_deleted_alone() {
    for more in [&[][..], &["--force"], &["--keep-data"], &["--dry-run"]] {
        let scenario = orphan(&[&LET_GO[..], more].concat());
        scenario
            .api()
            .merge(CONTENTS, &content_of("a/old"), &json!({"status": {"volumeGroupSnapshotHandle": "G-1"}}))
            .unwrap();
        let before = version(&scenario);
        scenario.run().exits(4).says(&[
            "snapcontent-a-old is not deleted",
            "group snapshot G-1",
            "volumegroupsnapshotcontent",
        ]);
        assert_eq!(before, version(&scenario));
        data_stays(&scenario, "a/old");
    }
}

/// An earlier version deleted a member, which waits with our finalizer on.
#[test]
fn the_deletion_of_a_member_that_was_begun_is_called_off() {
    let scenario = killed_delete(60).args(&["mark-and-delete", "-o", "json", "--delete-interval=0s"]);
    member(&scenario, "owner");
    let outcome = scenario.run().exits(0);
    assert!(told(&outcome).contains(&"a/old release done".to_string()), "{outcome}");
    assert!(!claimed(&scenario, "a/old"));
    data_stays(&scenario, "a/old");
}

// Signals.

#[test]
fn a_signal_ends_it_and_the_next_run_goes_on() {
    each(&[("TERM", 143), ("INT", 130), ("HUP", 129)], |(name, code)| {
        let scenario = sweeper(pairs(&["a", "b"])).arg("--delete-interval=1h");
        let running = scenario.start().until_said("deleted: ");
        // A run that does not pause is far into the second one by now.
        std::thread::sleep(std::time::Duration::from_millis(500));
        let outcome = running.signal(name).finish().exits(*code).clean();
        let outcome = outcome.says(&["ended by signal", "remedy=\"run it again"]);
        assert_eq!(outcome.count("page"), 3, "{outcome}");
        drop(outcome);
        gone(&scenario, "a/old");
        whole(&scenario, "b/old");
        scenario.run().exits(0).clean();
        gone(&scenario, "b/old");
    });
    each(&[("TERM", 143), ("INT", 130)], |(name, code)| {
        let scenario = too_many().fault("label", ONCE, Fault::HangAt(2));
        let running = scenario.start().until("label.1").signal(name);
        running.finish().exits(*code).clean().says(&["ended by signal"]);
        scenario.run().exits(0).clean();
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert_eq!(label(&scenario, &format!("{name}/{name}-old"), "daily"), None);
        }
    });
    // Whatever hangs.
    let once = ["page", "claims", "contents", "patch", "delete", "deleteContent", "get"].map(|call| (call, 1));
    each(&[&once[..], &[("page", 3), ("claims", 2)]].concat(), |(call, nth)| {
        let scenario = sweeper(pairs(&["a"])).fault(call, *nth..=*nth, Fault::Hang);
        let running = scenario.start().until(&format!("{call}.{nth}")).signal("TERM");
        running.finish().exits(143).clean();
        scenario.run().exits(0);
        gone(&scenario, "a/old");
    });
}

// What is said.

#[test]
fn the_account_in_words() {
    let shots = || {
        [
            shot("a", "new", 1).slots("daily"),
            shot("a", "old", 9).slots("daily"),
            shot("a", "odd", 10).label("delete-after", "so\u{1b}[2Jon"),
            shot("a", "bare", 11),
            shot("a", "due", 12).due(),
            shot("a", "due-along", 13).due().along(),
        ]
    };
    let (today, yesterday) = (day(0), day(1));
    let scenario = with(Scenario::cluster(&["retain", "--retain-last-daily=1"]), shots()).arg("--dry-run");
    let outcome = scenario.run().exits(0);
    let old = format!("a/old  label -daily  (daily {}: number 2, only 1 are kept)", day(9));
    let lines = [
        &format!("a/new  keep  (daily {yesterday}: number 1 of 1)"),
        &old,
        "a/odd  keep  (it holds no slot)",
        "a/bare  keep  (it holds no slot)",
        "a/due  keep  (it holds no slot)",
        "a/due-along  keep  (it holds no slot)",
        "retain: 6 snapshots read, 1 would be changed; dry run, nothing was changed",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), lines);
    drop(outcome);
    let scenario = scenario.args(&["retain", "--retain-last-daily=1"]);
    let lines = format!("{old}: done\nretain: 6 snapshots read, 1 changed, 0 left, 0 failed\n");
    assert_eq!(scenario.run().exits(0).stdout, lines);

    let scenario = with(Scenario::cluster(&["mark-and-delete", "--delete-interval=0s"]), shots());
    let outcome = scenario.run().exits(0);
    let lines = [
        r"a/odd  keep  (delete-after is 'so\u{1b}[2Jon', which is no date YYYY-MM-DD)",
        &format!("a/bare  mark {today}  (holds no slot): done"),
        &format!("a/due  delete  (its date {yesterday} has passed): done, with snapcontent-a-due"),
        &format!("a/due-along  delete  (its date {yesterday} has passed): done"),
        "mark-and-delete: 6 snapshots read, 3 changed, 0 left, 0 failed, 1 to look at",
    ];
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_account_for_machines() {
    let shots = [
        shot("a", "new", 1).slots("daily"),
        shot("a", "odd", 10).label("delete-after", "soon"),
        shot("a", "bare", 11),
        shot("a", "due", 12).due(),
        shot("a", "kept", 13).due(),
    ];
    let scenario = sweeper(shots).fault_about("delete", "/kept", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(3);
    let mut account = account(&outcome);
    let error = account["snapshots"][3].as_object_mut().unwrap().remove("error").unwrap();
    assert!(error.as_str().unwrap().contains("(Forbidden)"), "{error}");
    let passed = format!("its date {} has passed", day(1));
    let golden = json!({
        "command": "mark-and-delete", "dryRun": false, "skipped": [],
        "snapshots": [
            {"namespace": "a", "name": "odd", "pvc": "data", "action": "keep", "outcome": "planned", "warning": true,
                "reason": "delete-after is 'soon', which is no date YYYY-MM-DD"},
            {"namespace": "a", "name": "bare", "pvc": "data", "action": "mark", "deleteAfter": day(0).to_string(),
                "outcome": "done", "reason": "holds no slot"},
            {"namespace": "a", "name": "due", "pvc": "data", "action": "delete", "outcome": "done", "reason": passed,
                "note": "with snapcontent-a-due"},
            {"namespace": "a", "name": "kept", "pvc": "data", "action": "delete", "outcome": "failed", "reason": passed},
        ],
        "summary": {"read": 5, "planned": 3, "done": 2, "left": 0, "failed": 1, "warnings": 1},
    });
    assert_eq!(account, golden);
    drop(outcome);
    let scenario = retainer([shot("a", "new", 1).slots("daily"), shot("a", "old", 9).slots("daily weekly")])
        .args_also(&["--retain-last-daily=1", "--retain-last-weekly=0"]);
    let told = account_of(&scenario.run().exits(0))["snapshots"][0].clone();
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("only 1 are kept; weekly ") && reason.contains("only 0 are kept"), "{reason}");
    assert_eq!((&told["action"], &told["remove"]), (&json!("label"), &json!(["daily", "weekly"])), "{told}");
}

fn account_of(outcome: &Outcome) -> Value {
    account(outcome)
}

#[test]
fn nothing_secret_is_said() {
    for scenario in [sweeper(pairs(&["a"])), too_many()] {
        let scenario = scenario.env("BAK_DB_POSTGRES_PASSWORD", "hunter2").arg("-v");
        let outcome = scenario.run().exits(0);
        let calls = outcome.calls.iter().map(ToString::to_string).collect::<String>();
        assert!(![&outcome.stdout, &outcome.stderr, &calls].iter().any(|text| text.contains("hunter2")), "{outcome}");
    }
}
