//! The fault matrix of `restore --in-place` in docs/reliability.md: its table is what is expected here, cell by cell. Each cell
//! is a real run against the fake kubectl with that fault at that step, and then the commands that it printed: each of them, in
//! a run of its own, must bring the workload up with the data that it promises.

use std::fs;
use std::process::Command;

use crate::support::fake_api::{CLAIMS, DEPLOYMENTS, SNAPSHOTS};
use crate::support::matrix::{Act, Matrix, rows};
use crate::support::{ALWAYS, FORBIDDEN, Fault, ONCE, Outcome, REFUSED, Scenario, Times, poll};
use serde_json::{Value, json};

const MATRIX: Matrix =
    Matrix { head: "fault of a restore", steps: &["try", "note", "stop", "safety", "replace", "start", "done"] };
const GO_ON: &str = "--in-place --yes";
const BACK: &str = "--rollback --yes";
/// The API is away for some two seconds, of a patience of 45: half a minute on a small scale.
const A_WHILE: Times = 1..=3;
const QUOTA: &str = "Error from server (Forbidden): persistentvolumeclaims \"data\" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=1, limited: persistentvolumeclaims=0";
const POLICY: &str =
    "Error from server (Invalid): ValidatingAdmissionPolicy 'p' with binding 'b' denied request: p says no";
const CHANGED: &str = "Error from server (Conflict): Operation cannot be fulfilled on it: the object has been modified";

/// The snapshot that is restored.
fn one() -> Value {
    json!({
        "kind": "VolumeSnapshot", "content": "one",
        "metadata": {"namespace": "shop", "name": "one", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
        "status": {"readyToUse": true, "creationTime": "2026-01-01T00:00:00Z", "restoreSize": "1Gi"},
    })
}

/// A restore of the snapshot `one` over the claim `data` with what was written since, which the Deployment `web` mounts.
fn base(args: &[&str]) -> Scenario {
    let all = [&["restore", "one", "-n", "shop", "--in-place", "--yes"], args].concat();
    let scenario = Scenario::cluster(&all).namespaces(&["shop"]);
    let api = scenario.api();
    api.cut([(one(), "Retain")]);
    let made_by = json!({"volume.kubernetes.io/storage-provisioner": "csi"});
    api.put(
        CLAIMS,
        json!({
            "kind": "PersistentVolumeClaim", "content": "live",
            "metadata": {
                "namespace": "shop", "name": "data", "uid": "old", "annotations": made_by, "finalizers": ["kubernetes.io/pvc-protection"],
            },
            "spec": {"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Bound"},
        }),
    );
    let volumes = json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]});
    api.put(
        DEPLOYMENTS,
        json!({
            "kind": "Deployment", "metadata": {"namespace": "shop", "name": "web", "generation": 1},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": volumes}},
        }),
    );
    // Its pod comes.
    api.merge(DEPLOYMENTS, "shop/web", &json!({})).unwrap();
    scenario
}

/// The objects of a restore, as [`Fault::Delete`] names them.
const SNAPSHOT: &str = "volumesnapshots/shop/one";
const SAFETY: &str = "volumesnapshots/shop/data-before-restore-";
const CLAIM: &str = "persistentvolumeclaims/shop/data";
const WORKLOAD: &str = "deployments/shop/web";

/// The call that a step is about, and which of its kind that is in a run without faults.
fn call(step: &str) -> (&'static str, u32) {
    match step {
        "try" => ("deleteClaim", 1),
        "note" => ("patch", 1),
        "stop" => ("patchWorkload", 1),
        "safety" => ("create", 1),
        "replace" => ("deleteClaim", 2),
        "start" => ("patchWorkload", 2),
        _ => ("patch", 2),
    }
}

struct Case {
    scenario: Scenario,
    at: Option<(String, Act)>,
}

impl From<Scenario> for Case {
    fn from(scenario: Scenario) -> Case {
        Case { scenario, at: None }
    }
}

/// The runs that show a fault at a step; none where it cannot happen.
fn cases(row: &str, step: &str) -> Vec<Case> {
    let (kind, nth) = call(step);
    let refused = |args: &[&str], times: Times, words| {
        let (from, more) = (times.start() - 1, times.end() - times.start());
        let from = from + nth;
        base(args).fault(kind, from..=from.saturating_add(more), Fault::Refuse(words))
    };
    let once_and_for_all = |words| vec![Case::from(refused(&[], ALWAYS, words))];
    let hung = |act| {
        let scenario = base(&[]).fault(kind, nth..=nth, Fault::Hang);
        vec![Case { scenario, at: Some((format!("{kind}.{nth}"), act)) }]
    };
    let impatient = || base(&["--restore-timeout=2s", "--vs-wait-until-ready-timeout=2s"]);
    let flagged = |flags: &[&str]| {
        let scenario = impatient();
        flags.iter().for_each(|flag| fs::write(scenario.dir().join("api").join(flag), "").unwrap());
        vec![Case::from(scenario)]
    };
    let gone = |kind: &str, nth: u32, what| vec![Case::from(impatient().fault(kind, nth..=nth, Fault::Delete(what)))];
    match (row, step) {
        ("backup-ns killed", _) => hung(Act::Signal("KILL")),
        ("backup-ns gets TERM", _) => hung(Act::Signal("TERM")),
        ("kubectl killed", _) => hung(Act::KillKubectl),
        ("API refuses once", "try") => vec![refused(&[], ONCE, REFUSED).into()],
        ("API refuses once", _) => {
            let done_but = base(&[]).fault(kind, nth..=nth, Fault::DoneBut(REFUSED));
            vec![refused(&[], ONCE, REFUSED).into(), done_but.into()]
        }
        ("API away for 30 s", _) => vec![refused(&[], A_WHILE, REFUSED).into()],
        ("API away for longer", _) => vec![refused(&["--retry-timeout=1s"], ALWAYS, REFUSED).into()],
        ("forbidden", _) => once_and_for_all(FORBIDDEN),
        ("refused by a policy", _) => once_and_for_all(POLICY),
        ("quota", "try") => vec![
            base(&[]).fault("tryClaim", ALWAYS, Fault::Refuse(QUOTA)).into(),
            base(&[]).fault("try", ALWAYS, Fault::Refuse(QUOTA)).into(),
        ],
        ("quota", "safety") => once_and_for_all(QUOTA),
        // For a moment it still counts the old claim.
        ("quota", "replace") => vec![base(&[]).fault("createClaim", 1..=2, Fault::Refuse(QUOTA)).into()],
        ("quota", "start") => {
            vec![base(&["--restore-timeout=2s"]).fault("createClaim", ALWAYS, Fault::Refuse(QUOTA)).into()]
        }
        ("changed meanwhile", "note") => vec![refused(&[], ONCE, CHANGED).into()],
        ("changed meanwhile", "try") => once_and_for_all(CHANGED),
        ("changed meanwhile", "replace") => once_and_for_all(CHANGED),
        ("changed meanwhile", "done") => vec![refused(&[], ONCE, CHANGED).into()],
        ("time is over", "stop") => flagged(&["stays"]),
        ("time is over", "safety") => flagged(&["full"]),
        ("time is over", "start") => flagged(&["unready"]),
        ("new claim stays Pending", "replace") => flagged(&["unbound"]),
        ("new claim stays Pending", "start") => flagged(&["unbound", "late"]),
        ("VolumeSnapshot gone", _) => gone(kind, nth, SNAPSHOT),
        ("safety snapshot gone", "safety") => gone("watch", 1, SAFETY),
        ("safety snapshot gone", "replace" | "start") => gone(kind, nth, SAFETY),
        ("claim gone", _) => gone(kind, nth, CLAIM),
        ("workload gone", "try") => gone("tryPatch", 1, WORKLOAD),
        ("workload gone", _) => gone(kind, nth, WORKLOAD),
        _ => vec![],
    }
}

fn row(name: &str) {
    MATRIX.row(name, |step| cases(name, step).len(), |step, cell, nth| show(cell, &|| cases(name, step).remove(nth)));
}

/// What is there after a run.
struct State {
    claim: Value,
    /// Null where it is gone.
    web: Value,
    safety: Option<Value>,
    journal: bool,
}

impl State {
    fn of(scenario: &Scenario) -> State {
        let api = scenario.api();
        let shots: Vec<Value> = api.keys(SNAPSHOTS).iter().map(|key| api.get(SNAPSHOTS, key).unwrap()).collect();
        State {
            claim: api.get(CLAIMS, "shop/data").unwrap_or_default(),
            web: api.get(DEPLOYMENTS, "shop/web").unwrap_or_default(),
            safety: shots.iter().find(|shot| shot["metadata"]["name"] != "one").cloned(),
            journal: shots.iter().any(|shot| shot.to_string().contains("backup-ns.sh/restoring")),
        }
    }

    /// The letters of the legend that hold, but for the commands that go on.
    fn letters(&self) -> String {
        let is_going = !self.claim["metadata"]["deletionTimestamp"].is_null();
        let is_old = self.claim["metadata"]["uid"] == "old";
        let kept = self.safety.as_ref().is_some_and(|safety| {
            let is_ready = safety["status"]["readyToUse"] == true;
            assert!(!is_ready || safety["content"] == "live", "what was there is what is kept");
            is_ready
        });
        let (has_web, is_down) = (!self.web.is_null(), self.web["spec"]["replicas"] == 0);
        let states = [
            (has_web && is_down, 'D'),
            (has_web && !is_down, 'U'),
            (!has_web, 'W'),
            (is_old && !is_going, 'O'),
            (is_old && is_going, 'P'),
            (kept, 'K'),
            (!is_old && !kept, 'L'),
            (self.journal, 'J'),
        ];
        states.into_iter().filter_map(|(holds, letter)| holds.then_some(letter)).collect()
    }

    /// It is up, with this data, and nothing is left to do.
    #[track_caller]
    fn is_up_with(&self, content: &str, outcome: &Outcome) {
        let web = &self.web;
        assert_eq!(self.claim["content"], content, "{outcome}");
        let is_up = web["spec"]["replicas"] == 1 && web["status"]["readyReplicas"] == 1;
        assert!(web.is_null() || is_up, "{web}: {outcome}");
        assert!(!self.journal && !web.to_string().contains("backup-ns.sh/restoring"), "{outcome}");
    }
}

/// Runs a case; what it said and what is there then.
fn run(case: &Case) -> (i32, String, State) {
    let scenario = &case.scenario;
    let mut running = scenario.start();
    if let Some((file, act)) = &case.at {
        running = running.until(file);
        running = act.on(scenario, running);
    }
    let outcome = running.finish();
    // A request that was under way when backup-ns was killed is carried out.
    poll("the end of kubectl", || scenario.processes().is_empty());
    let ended = outcome.code.unwrap_or_else(|| 128 + outcome.killed.unwrap());
    (ended, format!("{outcome}"), State::of(scenario))
}

/// `CODE words · LETTERS`, as the legend has it.
fn show(cell: &str, fresh: &dyn Fn() -> Case) {
    let (told, letters) = cell.split_once(" · ").unwrap();
    let (code, words) = told.split_once(' ').unwrap_or((told, ""));
    let case = fresh();
    let (ended, said, state) = run(&case);
    assert!(ended.to_string() == code && said.contains(words), "expected '{cell}': {said}");
    if code == "0" {
        let kept = if letters.contains('K') { "What was there is kept in" } else { "What was there is not kept" };
        assert!(said.contains(kept), "'{kept}': {said}");
    }
    let ways = [(GO_ON, 'G', "one"), (BACK, 'B', "live")];
    let is_way = |letter: char| "HC".contains(letter) || ways.iter().any(|(_, way, _)| *way == letter);
    let expected: String = letters.chars().filter(|letter| !is_way(*letter)).collect();
    assert_eq!(state.letters(), expected, "'{cell}': {said}");
    if code == "0" {
        assert_eq!(state.claim["content"], "one");
        return;
    }
    if letters.contains('H') {
        by_hand(&case, &said);
    }
    if letters.contains('C') {
        make_claim(&case, &said, letters.contains('P'));
    }
    for (number, (way, _, content)) in ways.into_iter().filter(|(_, letter, _)| letters.contains(*letter)).enumerate() {
        // The first follows the run that was looked at, the other one like it.
        let other;
        let case = if number == 0 {
            &case
        } else {
            other = fresh();
            run(&other);
            &other
        };
        let command = format!("backup-ns restore one -n shop {way}");
        assert!(said.contains(&command) || code == "137", "'{command}' is not printed: {said}");
        mend(case, way, content);
    }
    assert!(letters.contains('B') || !said.contains(BACK), "there is nothing to take back: {said}");
}

/// Everything works again: one of the commands that were printed.
fn mend(case: &Case, way: &str, content: &str) {
    let dir = case.scenario.dir();
    for flag in ["stays", "full", "unready", "unbound", "late"] {
        let _ = fs::remove_file(dir.join("api").join(flag));
    }
    let api = case.scenario.api();
    // What was waited for comes, if it is there.
    let _ = api.merge(CLAIMS, "shop/data", &json!({"status": {"phase": "Bound"}}));
    let _ = api.merge(DEPLOYMENTS, "shop/web", &json!({}));
    // As `rebind-vsc` makes it anew from its content.
    if api.get(SNAPSHOTS, "shop/one").is_err() {
        api.cut([(one(), "Retain")]);
    }
    let words: Vec<&str> = ["restore", "one", "-n", "shop"].into_iter().chain(way.split(' ')).collect();
    let outcome = case.scenario.again(&words);
    let outcome = outcome.exits(0);
    State::of(&case.scenario).is_up_with(content, &outcome);
}

/// The commands that were printed for one whose journal is gone, that of kubectl in a shell; the workload is up with what was there.
fn by_hand(case: &Case, said: &str) {
    let scenario = &case.scenario;
    if !State::of(scenario).claim.is_object() {
        let safety = scenario.api().keys(SNAPSHOTS)[0].strip_prefix("shop/").unwrap().to_string();
        let words = ["restore", &safety, "-n", "shop", "--pvc", "data", "--wait"];
        assert!(said.contains(&format!("backup-ns {}", words.join(" "))), "{said}");
        scenario.again(&words).exits(0);
    }
    let (_, rest) = said.split_once("kubectl patch").unwrap_or_else(|| panic!("no command: {said}"));
    let words: Vec<&str> = rest.splitn(3, '\'').collect();
    let line = format!("kubectl patch{}'{}'", words[0], words[1]);
    let env = [("FAKE_KUBECTL_DIR", scenario.dir().to_path_buf()), ("PATH", scenario.dir().join("host"))];
    let shell = Command::new("/bin/sh").args(["-c", &line]).env_clear().envs(env).output().unwrap();
    assert!(shell.status.success(), "{line}: {shell:?}");
    State::of(scenario).is_up_with("live", &scenario.again(&["list", "-n", "shop"]));
}

/// The claim is made from the snapshot by the command that was printed, once its pods are gone.
fn make_claim(case: &Case, said: &str, has_pods: bool) {
    let scale = |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}});
        case.scenario.api().merge(DEPLOYMENTS, "shop/web", &patch).unwrap();
    };
    let words = ["restore", "one", "-n", "shop", "--pvc", "data", "--wait"];
    assert!(said.contains(&format!("backup-ns {}", words.join(" "))), "{said}");
    if has_pods {
        scale(0);
    }
    let outcome = case.scenario.again(&words).exits(0);
    if has_pods {
        scale(1);
        State::of(&case.scenario).is_up_with("one", &outcome);
    }
}

rows! {
    MATRIX, row:
    fn restore_killed() = "backup-ns killed";
    fn restore_term() = "backup-ns gets TERM";
    fn restore_kubectl_killed() = "kubectl killed";
    fn restore_refused() = "API refuses once";
    fn restore_away() = "API away for 30 s";
    fn restore_gone() = "API away for longer";
    fn restore_forbidden() = "forbidden";
    fn restore_policy() = "refused by a policy";
    fn restore_quota() = "quota";
    fn restore_changed() = "changed meanwhile";
    fn restore_time() = "time is over";
    fn restore_pending() = "new claim stays Pending";
    fn restore_snapshot_gone() = "VolumeSnapshot gone";
    fn restore_safety_gone() = "safety snapshot gone";
    fn restore_claim_gone() = "claim gone";
    fn restore_workload_gone() = "workload gone";
}

#[test]
fn a_workload_is_never_down_without_a_way_on() {
    MATRIX.is_explained(|row, told, letters| {
        let done = told.split(' ').next() == Some("0");
        assert!(done || letters.contains(['G', 'H', 'C']), "{row}: '{told} · {letters}' has no way on");
        let (begun, is_lost) = (letters.contains('J'), letters.contains('L'));
        assert!(letters.contains('B') == (begun && !is_lost), "{row}: '{told} · {letters}' has no way back");
        assert!(!is_lost || row.ends_with(" gone"), "{row}: '{told} · {letters}' loses what was there");
    });
}

/// While the claim is gone, a plain restore of another snapshot would take its name, and the one in place could not go on.
#[test]
fn no_other_restore_makes_a_claim_that_is_being_replaced() {
    let killed = || {
        let scenario = base(&[]).fault("deleteClaim", 2..=2, Fault::Kill);
        scenario.api().cut([(
            json!({
                "kind": "VolumeSnapshot", "content": "two",
                "metadata": {"namespace": "shop", "name": "two", "creationTimestamp": "2026-01-02T00:00:00Z"},
                "spec": {"source": {"persistentVolumeClaimName": "data"}},
                "status": {"readyToUse": true, "creationTime": "2026-01-02T00:00:00Z", "restoreSize": "1Gi"},
            }),
            "Retain",
        )]);
        scenario.run();
        scenario.mended()
    };
    let plain = |snapshot: &'static str| ["restore", snapshot, "-n", "shop"];
    let words = [
        "a restore of one to the claim data was begun and is not done",
        "backup-ns restore one -n shop --in-place --yes",
        "backup-ns restore one -n shop --rollback --yes",
    ];
    for args in [&["--pvc=data"][..], &["--pvc=data", "--dry-run"], &[]] {
        let scenario = killed();
        let outcome = scenario.again(&[&plain("two")[..], args].concat()).exits(4).says(&words);
        assert_eq!(outcome.count("createClaim"), 0, "{outcome}");
        assert!(scenario.api().get(CLAIMS, "shop/data").is_err());
        drop(outcome);
        let outcome = scenario.again(&["restore", "one", "-n", "shop", "--in-place", "--yes"]).exits(0);
        State::of(&scenario).is_up_with("one", &outcome);
    }
    let scenario = killed();
    scenario.again(&[&plain("two")[..], &["--pvc=look"]].concat()).exits(0);
    scenario.again(&[&plain("one")[..], &["--pvc=data", "--dry-run"]].concat()).exits(0);
    // The right to list snapshots is not asked of a plain restore.
    let scenario = scenario.fault("page", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.args(&[&plain("two")[..], &["--pvc=data", "--dry-run"]].concat()).run().exits(0);
}

/// A safety snapshot that never became ready holds the claim. It goes before the claim does, and needs a right of its own.
#[test]
fn a_failed_safety_snapshot_that_may_not_be_deleted_is_named_with_the_remedy() {
    let scenario = base(&["--restore-timeout=2s", "--vs-wait-until-ready-timeout=2s"]);
    let full = scenario.dir().join("api/full");
    fs::write(&full, "").unwrap();
    scenario.run().exits(7);
    fs::remove_file(full).unwrap();
    let all = scenario.api().keys(SNAPSHOTS);
    let failed = all.iter().find_map(|key| key.strip_prefix("shop/").filter(|name| *name != "one")).unwrap();
    let remedy = format!("backup-ns delete {failed} -n shop");
    let scenario = scenario.fault("delete", ALWAYS, Fault::Refuse(FORBIDDEN));
    let outcome =
        scenario.run().exits(4).says(&["grant the verb", &remedy, "backup-ns restore one -n shop --in-place"]);
    assert_eq!(State::of(&scenario).claim["content"], "live", "{outcome}");
    drop(outcome);
    let words: Vec<&str> = remedy.split(' ').skip(1).chain(["--yes"]).collect();
    scenario.again(&words).exits(0);
    assert!(!scenario.api().keys(SNAPSHOTS).contains(&format!("shop/{failed}")));
    // What is left needs that right no more.
    let outcome = scenario.run().exits(0);
    State::of(&scenario).is_up_with("one", &outcome);
}
