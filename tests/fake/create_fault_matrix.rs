//! The fault matrix of docs/reliability.md: its table is what is expected here, cell by cell. Each cell is a real run with
//! that fault at that step, or the reason why it cannot happen there.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::support::matrix::{Act, DOC, Matrix, rows};
use crate::support::{ALWAYS, BUSY, Event, FORBIDDEN, Fault, INTERNAL, NOT_FOUND, ONCE, REFUSED, Scenario, zone};
use chrono::{Datelike, NaiveDate};
use serde_json::Value;

const LOCKS: &str = include_str!("../../docs/locks.md");
const MATRIX: Matrix = Matrix {
    head: "fault",
    steps: &["lock", "observe", "check", "preflight", "hooks", "dump", "prove", "snapshot", "cut", "ready"],
};

/// Lines of shell that wait until the session has ended: nothing else; with a word first, for the fault that cuts its
/// stream; and with one behind, which tells that the dump was released.
const GONE: &str = "until [ -e session.1.ended ]; do sleep 0.05; done";
const CREATING: &str = ": >creating; until [ -e session.1.ended ]; do sleep 0.05; done";
const TRYING: &str = ": >trying; until [ -e session.1.ended ]; do sleep 0.05; done";
const CUTTING: &str = ": >cut; until [ -e session.1.ended ]; do sleep 0.05; done";
const RELEASED: &str = "until [ -e session.1.ended ]; do sleep 0.05; done; : >released";
const LATER: crate::support::Times = 2..=u32::MAX;
/// The API is away for some two seconds, of a patience of 45: half a minute on a small scale.
const A_WHILE: crate::support::Times = 1..=3;
const EOF: &str = "error: unexpected EOF";
const OTHER_POD: &str = "other,pid:[1],1";
const QUOTA: &str = "Error from server (Forbidden): volumesnapshots.snapshot.storage.k8s.io \"data-x\" is forbidden: exceeded quota: few, requested: count/volumesnapshots.snapshot.storage.k8s.io=1, used: count/volumesnapshots.snapshot.storage.k8s.io=1, limited: count/volumesnapshots.snapshot.storage.k8s.io=1";
const POLICY: &str =
    "Error from server (Invalid): ValidatingAdmissionPolicy 'p' with binding 'b' denied request: p says no";

/// A run, and what is done to it from outside once a file is there or a word was said.
struct Case {
    scenario: Scenario,
    at: Option<(&'static str, Act)>,
    /// A lock of the node's that another process holds.
    _lock: Option<File>,
}

impl From<Scenario> for Case {
    fn from(scenario: Scenario) -> Case {
        Case { scenario, at: None, _lock: None }
    }
}

fn base() -> Scenario {
    Scenario::new().arg("--label-vs-retain=daily_weekly_monthly")
}

/// Hooks that leave a word, the first of them and another line of shell in the scenario's directory.
fn hooked(before: &str) -> Scenario {
    let scenario = base();
    let dir = scenario.dir().display().to_string();
    scenario
        .tool("sh", r#"exec /bin/sh "$@""#)
        .env("BAK_HOOK_PRE", &format!("cd {dir}; echo before >>hooked; : >hooking; {before}"))
        .env("BAK_HOOK_POST", &format!("echo after >>{dir}/hooked"))
}

/// A run that stays in a step, with what is there as soon as it does.
fn staying(step: &str) -> (Case, &'static str) {
    let mut lock = None;
    let (scenario, file) = match step {
        "lock" => {
            let args = ["--flock", "--flock-count=1", "--flock-dir=locks", "--flock-timeout-sec=60"];
            let scenario = base().args_also(&args);
            let file = File::create(scenario.dir().join("locks/1.lock")).unwrap();
            file.lock().unwrap();
            lock = Some(file);
            (scenario, "waiting for a lock")
        }
        "observe" => (base().fault("observe", ALWAYS, Fault::Hang), "observe.1"),
        "check" => (base().tool("psql", r#": >"$FAKE_KUBECTL_DIR/checking"; exec "$REAL/sleep" 60"#), "checking"),
        "preflight" => (base().fault("try", ALWAYS, Fault::Hang), "try.1"),
        "hooks" => (hooked("exec \"$REAL/sleep\" 60"), "hooking"),
        "dump" => (base().held(), "dumping"),
        "prove" => (base().fault("second", ALWAYS, Fault::Hang), "second.1"),
        "snapshot" => (base().fault("create", ALWAYS, Fault::Hang), "create.1"),
        "cut" => (base().watches(&[&[Event::Pending]]), "watch.1"),
        _ => (base().watches(&[&[Event::Cut, Event::Run(RELEASED)]]), "released"),
    };
    (Case { scenario, at: None, _lock: lock }, file)
}

fn stopped(step: &str, act: Act) -> Vec<Case> {
    let (case, file) = staying(step);
    vec![Case { at: Some((file, act)), ..case }]
}

/// The calls of a step; the last is what it is about.
fn calls(step: &str) -> &'static [&'static str] {
    match step {
        "observe" => &["config", "observe"],
        "check" => &["session"],
        "preflight" => &["class", "try"],
        "hooks" => &["hook"],
        "prove" => &["second"],
        "snapshot" => &["list", "create"],
        _ => &["watch"],
    }
}

fn call(step: &str) -> &'static str {
    calls(step).last().unwrap()
}

fn for_step(step: &str) -> Scenario {
    match step {
        "hooks" => hooked(":"),
        "preflight" => base().arg("--vs-class-name=csi"),
        _ => base(),
    }
}

/// The stream of a step's exec is cut with this status; in those that have none, that of the session that is still open.
fn cut_off(step: &str, status: i32) -> Scenario {
    match step {
        "check" => base().fault("session", ALWAYS, Fault::CutAfter("mountinfo", status)),
        "preflight" => {
            base().fault("session", ALWAYS, Fault::CutAt("trying", status)).fault("try", ALWAYS, Fault::Run(TRYING))
        }
        "hooks" => hooked("\"$REAL/sleep\" 2").fault("hook", ALWAYS, Fault::CutAt("hooking", status)),
        "dump" => base().held().fault("session", ALWAYS, Fault::CutAt("dumping", status)),
        "prove" => base().fault("second", ALWAYS, Fault::CutAfter("inode", status)),
        "snapshot" => base().fault("session", ALWAYS, Fault::CutAt("creating", status)).fault(
            "create",
            ALWAYS,
            Fault::Run(CREATING),
        ),
        _ => base().fault("session", ALWAYS, Fault::CutAt("cut", status)).watches(&[&[
            Event::Run(CUTTING),
            Event::Cut,
            Event::Ready,
        ]]),
    }
}

/// The watch is cut in the step `ready`, and the next one goes on.
fn watched_on(status: i32, words: &'static str) -> Scenario {
    base().watches(&[&[Event::Cut, Event::Run(GONE), Event::End(status, words)], &[Event::Ready]])
}

/// The runs that show a fault at a step; none where it cannot happen.
fn cases(row: &str, step: &str) -> Vec<Case> {
    let refused = |times, words| {
        let scenario = for_step(step).fault(call(step), times, Fault::Refuse(words));
        if step == "ready" { watched_on(1, words) } else { scenario }
    };
    let each_refused = |times: crate::support::Times, words, args: &[&str]| -> Vec<Case> {
        let scenario =
            |call: &&str| for_step(step).fault(call, times.clone(), Fault::Refuse(words)).args_also(args).into();
        calls(step).iter().map(scenario).collect()
    };
    const HASTY: &[&str] = &["--retry-timeout=1s", "--vs-wait-until-ready-timeout=2s"];
    let impatient = |scenario: Scenario| scenario.args_also(HASTY);
    let tool = |name, script| vec![base().tool(name, script).into()];
    let silent = |scenario: Scenario| vec![scenario.args_also(&["--timeout=8s", "--hook-timeout=1s"]).into()];
    match (row, step) {
        ("backup-ns killed", _) => stopped(step, Act::Signal("KILL")),
        ("backup-ns gets TERM", _) => stopped(step, Act::Signal("TERM")),
        (_, "lock") => vec![],
        ("kubectl killed", _) => stopped(step, Act::KillKubectl),

        ("stream cut, exit 0", "observe") => {
            vec![base().fault("observe", ALWAYS, Fault::Print("{\"kind\": \"List\", \"items\": [{")).into()]
        }
        ("stream cut, exit 0", "preflight") => {
            vec![base().fault("try", ALWAYS, Fault::Print("{\"kind\": \"VolumeSnapshot\", \"meta")).into()]
        }
        ("stream cut, exit 0", "ready") => vec![watched_on(0, "").into()],
        ("stream cut, exit 0", _) => vec![cut_off(step, 0).into()],
        ("stream cut, exit 1", "observe" | "preflight") => vec![refused(ONCE, EOF).into()],
        ("stream cut, exit 1", "ready") => vec![watched_on(1, EOF).into()],
        ("stream cut, exit 1", _) => vec![cut_off(step, 1).into()],

        ("stream hung", "check") => silent(base().fault("session", ALWAYS, Fault::MuteAfter("mountinfo"))),
        ("stream hung", "dump") => silent(base().held().fault("session", ALWAYS, Fault::MuteAfter("began"))),
        ("stream hung", "cut") => vec![impatient(base().watches(&[&[Event::Pending]])).into()],
        ("stream hung", "ready") => vec![impatient(base().watches(&[&[Event::Cut]])).into()],
        ("stream hung", _) => silent(for_step(step).fault(call(step), ALWAYS, Fault::Hang)),

        ("API refuses once" | "API says 429 or 500" | "API away for 30 s" | "forbidden", "dump") => vec![],
        ("API refuses once", "ready") => vec![refused(ONCE, REFUSED).into()],
        ("API refuses once", _) => each_refused(ONCE, REFUSED, &[]),
        ("API says 429 or 500", "ready") => vec![refused(ONCE, BUSY).into(), refused(ONCE, INTERNAL).into()],
        ("API says 429 or 500", _) => {
            [each_refused(ONCE, BUSY, &[]), each_refused(ONCE, INTERNAL, &[])].into_iter().flatten().collect()
        }
        ("API away for 30 s", "ready") => {
            vec![watched_on(1, REFUSED).fault("get", A_WHILE, Fault::Refuse(REFUSED)).into()]
        }
        ("API away for 30 s", _) => each_refused(A_WHILE, REFUSED, &[]),
        ("API away for longer", "dump") => {
            vec![cut_off("dump", 1).fault("*", 5..=u32::MAX, Fault::Refuse(REFUSED)).into()]
        }
        ("API away for longer", "cut" | "ready") => {
            vec![impatient(refused(ALWAYS, REFUSED)).fault("get", ALWAYS, Fault::Refuse(REFUSED)).into()]
        }
        ("API away for longer", _) => each_refused(ALWAYS, REFUSED, HASTY),
        ("forbidden", "ready") => vec![watched_on(0, "").fault("get", ALWAYS, Fault::Refuse(FORBIDDEN)).into()],
        // Who may not read classes goes on.
        ("forbidden", "preflight") => vec![refused(ALWAYS, FORBIDDEN).into()],
        ("forbidden", _) => each_refused(ALWAYS, FORBIDDEN, &[]),
        ("quota", "preflight" | "snapshot") => vec![refused(ALWAYS, QUOTA).into()],
        ("refused by a policy", "check" | "preflight" | "hooks" | "prove" | "snapshot") => {
            vec![refused(ALWAYS, POLICY).into()]
        }

        ("pod replaced" | "container restarted", "observe") => vec![],
        ("pod replaced", "check" | "hooks" | "prove") => vec![refused(ALWAYS, NOT_FOUND).into()],
        ("pod replaced", "ready") => {
            let scenario = base().fault("session", LATER, Fault::Refuse(NOT_FOUND));
            vec![scenario.fault("second", LATER, Fault::Refuse(NOT_FOUND)).into()]
        }
        ("pod replaced", "dump") => vec![cut_off(step, 137).fault("second", ALWAYS, Fault::Refuse(NOT_FOUND)).into()],
        ("pod replaced", _) => vec![cut_off(step, 137).fault("second", LATER, Fault::Refuse(NOT_FOUND)).into()],
        ("container restarted", "prove") => {
            vec![base().fault("second", ALWAYS, Fault::Rewrite("identity", OTHER_POD)).into()]
        }
        ("container restarted", "ready") => {
            vec![base().fault("second", LATER, Fault::Rewrite("identity", OTHER_POD)).into()]
        }
        ("container restarted", _) => {
            vec![cut_off(step, 137).fault("second", LATER, Fault::Rewrite("identity", OTHER_POD)).into()]
        }

        ("disk full", "check") => tool("df", "echo h; echo '/dev/x 1000 1000 0 100% /'"),
        ("disk full", "dump") => tool(
            "cat",
            "case $# in 0) \"$REAL/head\" -c 9; echo 'cat: write error: No space left on device' >&2; exit 1 ;; esac; exec \"$REAL/cat\" \"$@\"",
        ),
        // The third flush is that of the second look.
        ("disk full", "prove") => tool(
            "sync",
            "case $* in '-f .') cd \"$FAKE_KUBECTL_DIR\"; echo . >>n; [ $(wc -l <n) -ne 3 ] || { echo 'sync: No space left on device' >&2; exit 1; } ;; esac",
        ),
        ("disk full", "cut") => vec![impatient(base().watches(&[&[Event::Error("no space in the pool")]])).into()],
        ("disk full", "ready") => {
            vec![
                impatient(base().watches(&[&[
                    Event::Cut,
                    Event::Error("no space in the pool"),
                    Event::Cut,
                    Event::Error("no space in the pool"),
                ]]))
                .into(),
            ]
        }
        ("disk read-only", "check") => vec![base().fault("session", ALWAYS, Fault::Drop("writable")).into()],
        ("disk read-only", "dump") => tool("mv", "echo \"mv: cannot move: Read-only file system\" >&2; exit 1"),
        ("database restarted", "check") => tool("psql", "echo 'the database system is starting up' >&2; exit 2"),
        ("database restarted", "dump") => {
            vec![base().file("dump.stderr", "server closed the connection unexpectedly").into()]
        }
        ("wrong password", "check") => tool("psql", "echo 'password authentication failed' >&2; exit 2"),
        ("wrong password", "dump") => vec![base().file("dump.stderr", "password authentication failed").into()],
        ("clock in another zone", "preflight" | "snapshot") => vec![base().env("TZ", &zone().0).into()],
        ("clock in another zone", "cut") => vec![base().env("TZ", "Pacific/Kiritimati").into()],
        _ => vec![],
    }
}

fn row(name: &str) {
    let run = |step: &'static str, cell: &'static str, nth: usize| {
        show(name, cell, cases(name, step).swap_remove(nth));
        if ["dump", "prove", "snapshot", "cut", "ready"].contains(&step) {
            let case = cases(name, step).swap_remove(nth);
            show(name, cell, Case { scenario: case.scenario.zst(), ..case });
        }
    };
    MATRIX.row(name, |step| cases(name, step).len(), run);
}

/// `CODE words · LETTERS`, as the legend has it.
fn show(row: &str, cell: &str, case: Case) {
    let (told, letters) = cell.split_once(" · ").unwrap();
    let (code, words) = told.split_once(' ').unwrap_or((told, ""));
    let scenario = &case.scenario;
    let mut running = scenario.start();
    if let Some((sign, act)) = case.at {
        running = if sign.contains(' ') { running.until_said(sign) } else { running.until(sign) };
        running = act.on(scenario, running);
    }
    let outcome = running.finish();
    let ended = outcome.code.unwrap_or_else(|| 128 + outcome.killed.unwrap());
    assert!(ended.to_string() == code, "expected '{cell}': {outcome}");
    let mut outcome = outcome.says(&[words]).clean();
    if code == "0" && outcome.count("create") > 0 {
        let labels = |call| serde_json::from_str::<Value>(&outcome.stdin(call)).unwrap()["metadata"]["labels"].clone();
        assert_eq!(labels("try"), labels("create"), "what was tried is what is made: {outcome}");
    } else if code == "4" {
        outcome = outcome.says(&["remedy="]);
    }
    let has = |letter: char| letters.contains(letter);
    assert!(has('N') && has('M') && has('L') != has('D'), "{cell}");
    outcome = if has('L') { outcome.keeps_old() } else { outcome.holds_new() };
    let stays = has('S') || has('X') || code == "0";
    outcome = outcome.snapshots(usize::from(stays));
    assert_eq!(outcome.count("patch"), usize::from(has('X')), "{cell}: {outcome}");
    if has('X') {
        let patch = outcome.argv("patch");
        assert!(patch.contains("distrusted") && patch.contains(r#""backup-ns.sh/daily":null"#), "{patch}");
    }
    let mut hooks = scenario.lines("hooked");
    hooks.dedup();
    assert_eq!(hooks.join(" "), if has('H') { "before after" } else { "" }, "{cell}: {outcome}");
    for snapshot in scenario.snapshots() {
        // Whatever holds a slot holds the proof of the file that is there.
        let text = snapshot["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].as_str().unwrap();
        let proof: Value = serde_json::from_str(text).unwrap();
        let sum = Command::new("sha256sum").arg(scenario.dump_path()).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(proof["sha256"].as_str(), sum.split(' ').next(), "{cell}: {outcome}");
        let label =
            |key: &str| snapshot["metadata"]["labels"][format!("backup-ns.sh/{key}")].as_str().unwrap().to_string();
        let day: NaiveDate = label("daily").parse().unwrap();
        assert_eq!(label("monthly"), day.format("%Y-%m").to_string());
        assert_eq!(label("weekly"), format!("{}-w{:02}", day.iso_week().year(), day.iso_week().week()));
        assert_eq!(snapshot["status"]["readyToUse"] == true, code == "0" || has('X'), "{cell}: {outcome}");
        if row == "clock in another zone" && words.is_empty() {
            assert_eq!(day, zone().1);
        }
    }
}

rows! {
    MATRIX, row:
    fn row_killed() = "backup-ns killed";
    fn row_term() = "backup-ns gets TERM";
    fn row_kubectl_killed() = "kubectl killed";
    fn row_cut_0() = "stream cut, exit 0";
    fn row_cut_1() = "stream cut, exit 1";
    fn row_answer_hung() = "stream hung";
    fn row_refused() = "API refuses once";
    fn row_busy() = "API says 429 or 500";
    fn row_away() = "API away for 30 s";
    fn row_gone() = "API away for longer";
    fn row_forbidden() = "forbidden";
    fn row_quota() = "quota";
    fn row_policy() = "refused by a policy";
    fn row_pod_replaced() = "pod replaced";
    fn row_restarted() = "container restarted";
    fn row_disk_full() = "disk full";
    fn row_read_only() = "disk read-only";
    fn row_database() = "database restarted";
    fn row_password() = "wrong password";
    fn row_zone() = "clock in another zone";
}

#[test]
fn no_cell_is_empty_and_every_reason_is_given() {
    MATRIX.is_explained(|_, _, _| ());
}

/// Whatever is in backquotes and looks like the name of a test is one.
#[test]
fn every_test_that_is_named_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests"), root.join("src")];
    let mut sources = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let words = [DOC, LOCKS].into_iter().flat_map(|text| text.split('`').skip(1).step_by(2));
    let test = |word: &&str| {
        word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let names: Vec<&str> = words.filter(test).collect();
    assert!(names.len() > 40, "{}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no test has this name: {missing:?}");
}
