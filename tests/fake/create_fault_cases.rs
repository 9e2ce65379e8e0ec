//! What happens when something goes wrong: every call of kubectl, the stream to the container, the dump, the disk, the
//! snapshot, the program itself. Each fault ends with its exit code, a message, and the last good dump where it was.

use crate::support::{
    ALWAYS, BODY, Event, FORBIDDEN, Fault, INTERNAL, NOT_FOUND, ONCE, Outcome, REFUSED, Scenario, TRAILER, UNRESTRICT,
    each, shells,
};
use serde_json::{Value, json};

/// All calls of one run in their order.
const CALLS: [&str; 8] = ["config", "observe", "session", "try", "second", "list", "create", "watch"];

/// A scenario that makes all of them.
fn with_slots() -> Scenario {
    Scenario::new().arg("--label-vs-retain=daily_weekly_monthly")
}

fn impatient() -> Scenario {
    with_slots().args_also(&["--retry-timeout=1s", "--vs-wait-until-ready-timeout=2s"])
}

/// Nothing is left running or lying about, and the dump file is the old one, or the new one if `call` comes after the
/// rename.
fn in_order<'a>(outcome: Outcome<'a>, call: &str) -> Outcome<'a> {
    let outcome = outcome.clean();
    if ["config", "observe", "session", "try"].contains(&call) { outcome.keeps_old() } else { outcome.holds_new() }
}

#[test]
fn a_sound_run_makes_nine_calls() {
    let scenario = with_slots();
    let outcome = scenario.run().exits(0).calls(&format!("{} event", CALLS.join(" "))).clean().holds_new().snapshots(1);
    assert!(outcome.calls.len() <= 9, "{outcome}");
    let pids: std::collections::BTreeSet<_> = outcome.calls.iter().map(|call| call["pid"].as_u64()).collect();
    assert_eq!(pids.len(), outcome.calls.len());
    let snapshot = &scenario.snapshots()[0];
    assert_eq!(snapshot["spec"], json!({"source": {"persistentVolumeClaimName": "data"}}));
    let proof: Value =
        serde_json::from_str(snapshot["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].as_str().unwrap())
            .unwrap();
    assert_eq!(proof["bytes"], scenario.dump_file().len());
    assert_eq!(proof["tool"], "pg_dump (PostgreSQL) 17.6");
    for field in ["began", "ended", "sha256", "file", "pathInVolume", "pod", "container"] {
        assert!(proof[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {proof}");
    }
}

/// The file of the server's roles is proven with the dump, without one more process; what it may do without that file is the
/// setting's business.
#[test]
fn the_servers_roles_are_proven_with_the_dump() {
    let proof = |scenario: &Scenario| -> Value {
        let text = scenario.snapshots()[0]["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].clone();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let may_read = r#"case "$*" in *pg_authid*) echo yes ;; esac"#;
    let scenario = with_slots().tool("psql", may_read);
    let outcome = scenario.run().exits(0).calls(&format!("{} event", CALLS.join(" "))).says(&["flushed, with 1 role "]);
    assert!(!format!("{outcome}").contains("SCRAM"), "{outcome}");
    let (noted, files) = (proof(&scenario), scenario.globals());
    assert_eq!((&noted["globals"]["roles"], &noted["globals"]["passwords"]), (&json!(1), &json!(true)), "{noted}");
    let sum = noted["globals"]["sha256"].as_str().unwrap();
    assert!(files.len() == 1 && files[0].display().to_string().ends_with(&format!("-{}.sql", &sum[..16])), "{files:?}");
    assert_eq!(noted["globals"]["bytes"], std::fs::metadata(&files[0]).unwrap().len());
    assert!(!scenario.snapshots()[0].to_string().contains("SCRAM"));

    let fails = "echo 'pg_dumpall: error: no right' >&2; exit 1";
    let why = "the server's roles are not in this backup: pg_dumpall ended with status 1: pg_dumpall: error: no right";
    let without = Scenario::new().tool("pg_dumpall", fails);
    without.run().exits(0).says(&[why]).clean().holds_new();
    assert!(proof(&without).get("globals").is_none() && without.globals().is_empty());
    let wanted = Scenario::new().tool("pg_dumpall", fails).env("BAK_DB_POSTGRES_GLOBALS", "true");
    wanted.run().exits(6).says(&["no right", "set BAK_DB_POSTGRES_GLOBALS=auto"]).lost_nothing();
    let absent = || Scenario::new().without("pg_dumpall");
    absent().run().exits(0).says(&["the server's roles are not in this backup"]).clean().holds_new();
    let wanted = absent().env("BAK_DB_POSTGRES_GLOBALS", "true");
    wanted.run().exits(4).says(&["lacks pg_dumpall"]).lost_nothing();
    let unwanted = Scenario::new().env("BAK_DB_POSTGRES_GLOBALS", "false");
    unwanted.run().exits(0).clean().holds_new();
    assert!(proof(&unwanted).get("globals").is_none() && unwanted.globals().is_empty());
    // A file that is another one when it is looked at again.
    let swapped = Scenario::new().tool("readlink", r#"for it in "$FAKE_KUBECTL_DIR"/data/*.globals-*; do [ ! -e "$it" ] || echo x >>"$it"; done; exec "$REAL/readlink" "$@""#);
    swapped.run().exits(6).says(&["the file of the server's roles was replaced"]).snapshots(0);
}

/// What the database holds is noted as far as it was the same before and after the dump, and no dump fails for want of it.
#[test]
fn a_proof_notes_what_the_database_held() {
    let psql = r#"case $* in *pg_event_trigger*) ;; *) exit ;; esac
        cd "$FAKE_KUBECTL_DIR"
        echo "$PWD" >>asked
        echo 'object tables 3 aa'
        echo "object views 2 $(grep -c . asked)"
        echo 'property encoding UTF8'
        echo 'property app.password hush'
        exit 1"#;
    let scenario = Scenario::new().tool("psql", psql);
    scenario.run().exits(0).clean().holds_new();
    let text = scenario.snapshots()[0]["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].clone();
    let proof: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
    assert_eq!(proof["objects"], json!({"tables": 3}), "a view came and another went");
    assert_eq!(proof["server"], json!({"encoding": "UTF8"}));
}

#[test]
fn the_first_dump_of_all_needs_no_old_one() {
    let scenario = Scenario::new().without_old();
    scenario.run().exits(0).calls("config observe session try second create watch event").clean().holds_new();
    let scenario = Scenario::new().without_old().dump(BODY);
    scenario.run().exits(6).clean().snapshots(0);
    assert!(!scenario.dir().join("data/dump.sql.gz").exists());
}

/// Invariant 6.
#[test]
fn slots_are_taken_once() {
    let scenario = with_slots();
    scenario.run().exits(0);
    scenario.run().exits(0).clean().snapshots(2);
    let slots = |snapshot: &Value| {
        let labels = snapshot["metadata"]["labels"].as_object().unwrap();
        ["daily", "weekly", "monthly"]
            .iter()
            .filter(|kind| labels.contains_key(&format!("backup-ns.sh/{kind}")))
            .count()
    };
    let mut counts: Vec<usize> = scenario.snapshots().iter().map(slots).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 3]);
}

#[test]
fn garbage_is_no_answer() {
    let codes = [1, 1, 4, 1, 6, 7, 7, 7];
    let texts = ["", "no JSON\n", "{\"kind\": \"List\", \"items\": [{\"kind\": \"Pod\", \"meta"];
    let calls: Vec<(&str, i32)> = CALLS.into_iter().zip(codes).collect();
    let cases: Vec<_> = calls.into_iter().flat_map(|call| texts.map(|text| (call, text))).collect();
    each(&cases, |((call, code), text)| {
        let scenario = impatient().fault(call, ALWAYS, Fault::Print(text));
        in_order(scenario.run().exits(*code), call).snapshots(usize::from(*call == "watch"));
    });
}

/// Invariant 6: an unanswered question is an error, never a yes.
#[test]
fn a_list_that_is_none_is_no_empty_list() {
    // shows: `{}` and `[]` count as lists without snapshots, so that all slots are taken to be free.
    each(&["{}\n", "[]\n", "null\n", "{\"kind\": \"Status\"}\n"], |text| {
        let scenario = impatient().fault("list", ALWAYS, Fault::Print(text));
        scenario.run().exits(7).clean().snapshots(0);
    });
}

#[test]
fn the_pod_that_goes_away_is_not_replaced_by_another() {
    for (call, code) in [("session", 4), ("second", 6)] {
        let scenario = Scenario::new().fault(call, ALWAYS, Fault::Refuse(NOT_FOUND));
        let outcome = in_order(scenario.run().exits(code).says(&["app-base-0", "not found", "remedy="]), call);
        assert_eq!(outcome.count(call), 1, "{outcome}");
    }
}

/// What a backup needs and does not find: exit 4 before anything is changed.
#[test]
fn missing_preconditions_change_nothing() {
    let cases: Vec<(Scenario, &str)> = vec![
        (Scenario::new().arg("--threshold-space-used-percentage=1"), "the threshold is 1 %"),
        (Scenario::new().without("pg_dump"), "the container lacks: pg_dump"),
        (Scenario::new().without("gzip").without("mkfifo"), "the container lacks: gzip mkfifo"),
        (Scenario::new().tool("psql", "echo 'no such role' >&2; exit 2"), "does not answer"),
        (Scenario::new().object("PersistentVolumeClaim", |pvc| pvc["status"]["phase"] = json!("Pending")), "not bound"),
        (
            Scenario::new().object("PersistentVolumeClaim", |it| {
                it["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z")
            }),
            "the PVC 'data' is being deleted",
        ),
        (
            Scenario::new().object("Deployment", |it| it["metadata"]["name"] = json!("x")),
            "has no deployment/app-base (it has deployment/x; the PVC 'data' is mounted by pod app-base-0)",
        ),
        (
            Scenario::new().env("BAK_DB_POSTGRES_EXEC_RESOURCE", "statefulset/db"),
            "has no statefulset/db (it has none of that kind; the PVC 'data' is mounted by pod app-base-0)",
        ),
        (
            Scenario::new().env("BAK_DB_POSTGRES_EXEC_RESOURCE", "db-0"),
            "has no pod/db-0 (the PVC 'data' is mounted by pod app-base-0)",
        ),
        (
            Scenario::new().object("Pod", |pod| pod["status"]["conditions"] = json!([])),
            "wait until it is ready: kubectl describe pod app-base-0 -n shop; or set BAK_DB_POSTGRES_EXEC_CONTAINER",
        ),
        (Scenario::new().object("Pod", |pod| pod["status"]["conditions"] = json!([])), "no pod of deployment/app-base"),
        (
            Scenario::new().object("Pod", |pod| {
                pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/proc");
            }),
            "does not lie on the PVC 'data'",
        ),
        (Scenario::new().env("BAK_DB_POSTGRES_DUMP_FILE", "/no/such/dir/d.gz"), "/no/such/dir/ does not exist"),
        (Scenario::new().env("BAK_FLOCK", "true").env("BAK_FLOCK_DIR", "/no/such"), "/no/such does not exist"),
    ];
    each(&cases, |(scenario, words)| {
        scenario.run().exits(4).says(&[words, "remedy="]).lost_nothing();
        assert!(!scenario.dir().join("dumping").exists());
    });
}

/// What failed is the last line: no Event can be left there, and that says nothing new.
#[test]
fn a_missing_context_or_namespace_is_told_once() {
    let context = "context \"nope\" does not exist\ncontext \"nope\" does not exist";
    let login = "error: You must be logged in to the server (Unauthorized)";
    let namespace = "Error from server (NotFound): error when creating \"STDIN\": namespaces \"shop\" not found";
    let cases = [
        (
            Scenario::new().fault("observe", ALWAYS, Fault::Refuse(context)),
            "to: context \"nope\" does not exist code=4",
        ),
        (Scenario::new().fault("observe", ALWAYS, Fault::Refuse(login)), "You must be logged in"),
        (Scenario::new().without("pg_dump").fault("event", ALWAYS, Fault::Refuse(namespace)), "lacks: pg_dump"),
    ];
    each(&cases, |(scenario, words)| {
        let outcome = scenario.run().exits(4).says(&[words, "remedy="]).lost_nothing();
        let last = outcome.stderr.lines().next_back().unwrap_or_default();
        assert!(last.contains(words), "{outcome}");
    });
}

/// What an in-place restore brought down is not to be brought up by hand.
#[test]
fn a_restore_in_place_that_is_not_finished_is_told() {
    let down = || {
        Scenario::new().object("Pod", |pod| pod["metadata"]["labels"] = json!({"app": "other"})).object(
            "Deployment",
            |it| {
                it["metadata"]["annotations"] = json!({"backup-ns.sh/restoring": "night"});
            },
        )
    };
    let journal = json!({
        "claim": {"name": "data"}, "uid": "u", "annotations": {}, "owners": [], "safety": "s", "workloads": [], "back": false,
    });
    let noted = |scenario: Scenario| {
        scenario.also(json!({
            "kind": "VolumeSnapshot",
            "metadata": {
                "name": "night", "creationTimestamp": "2026-01-02T00:00:00Z",
                "annotations": {"backup-ns.sh/restoring": journal.to_string()},
            },
            "spec": {"source": {}},
        }))
    };
    let gone = noted(Scenario::new().object("PersistentVolumeClaim", |pvc| pvc["metadata"]["name"] = json!("other")));
    each(&[down(), noted(down()), gone], |scenario| {
        let words = ["an in-place restore of night is not finished", "backup-ns restore night -n shop --in-place"];
        scenario.run().exits(4).says(&words).lost_nothing();
    });
}

/// Invariant 1: the end of a stream, with whatever status, proves nothing.
#[test]
fn a_stream_that_is_cut_proves_nothing() {
    let renamed = |key: &str| ["bytes", "sha256", "inode"].contains(&key);
    let keys = [
        ("mountinfo", 4),
        ("looked", 6),
        ("locked", 6),
        ("began", 6),
        ("ended", 6),
        ("bytes", 6),
        ("sha256", 6),
        ("inode", 6),
    ];
    let cases: Vec<_> = keys.into_iter().flat_map(|key| [0, 1].map(|status| (key, status))).collect();
    each(&cases, |((key, code), status)| {
        let scenario = Scenario::new().fault("session", ALWAYS, Fault::CutAfter(key, *status));
        let words = if *status == 0 { "ended with status 0 before its last line" } else { "ended with status 1" };
        let outcome = scenario.run().exits(*code).says(&[words, "remedy="]).clean().snapshots(0);
        // Cut in the middle of its last words, the container may have renamed a dump that was proven there.
        if !renamed(key) && *key != "ended" {
            outcome.keeps_old();
        }
    });
    each(&[("inode", 0), ("sha256", 0), ("sha256", 1)], |(key, status)| {
        let scenario = Scenario::new().fault("second", ALWAYS, Fault::CutAfter(key, *status));
        scenario.run().exits(6).clean().holds_new().snapshots(0);
    });
}

#[test]
fn lines_without_this_runs_nonce_do_not_count() {
    let other = "0123456789abcdef0123456789abcdef";
    each(&["", other], |nonce| {
        let scenario = Scenario::new().fault("session", ALWAYS, Fault::Nonce(nonce)).fault(
            "session",
            ALWAYS,
            Fault::CutAfter("looked", 0),
        );
        scenario.run().exits(4).lost_nothing();
        let scenario = Scenario::new().fault("second", ALWAYS, Fault::Nonce(nonce));
        scenario.run().exits(6).says(&["before its last line"]).clean().snapshots(0);
    });
}

#[test]
fn a_proof_with_a_hole_is_none() {
    // shows: a proof without `began` or `ended` is taken, and an annotation with empty times is made of it.
    each(&["bytes", "sha256", "inode", "identity", "began", "ended"], |key| {
        let scenario = Scenario::new().fault("session", ALWAYS, Fault::Drop(key));
        scenario.run().exits(6).says(&["proof does not count", "remedy="]).clean().snapshots(0);
    });
    each(&[("bytes", "17"), ("bytes", "many"), ("sha256", "e3b0c442"), ("inode", "")], |(key, value)| {
        let scenario = Scenario::new().fault("session", ALWAYS, Fault::Rewrite(key, value));
        scenario.run().exits(6).says(&["proof does not count"]).clean().snapshots(0);
    });
}

#[test]
fn a_second_look_that_sees_another_file_fails() {
    let sum = "0000000000000000000000000000000000000000000000000000000000000000";
    let values = [("sha256", sum), ("bytes", "4711"), ("inode", "4711"), ("identity", "other,pid:[1],1")];
    each(&values, |(key, value)| {
        let scenario = Scenario::new().fault("second", ALWAYS, Fault::Rewrite(key, value));
        scenario.run().exits(6).says(&["second look", "does not agree", "remedy="]).clean().snapshots(0);
        let scenario = Scenario::new().fault("second", ALWAYS, Fault::Drop(key));
        scenario.run().exits(6).says(&["second look", "does not agree"]).clean().snapshots(0);
    });
    let changes = [
        ("echo x >>data/dump.sql.gz", "size changed"),
        ("cp data/dump.sql.gz x; mv x data/dump.sql.gz", "was replaced"),
        ("printf XYZ | dd of=data/dump.sql.gz bs=1 seek=30 conv=notrunc status=none", "SHA-256 changed"),
        ("rm data/dump.sql.gz", "it gave no size"),
    ];
    each(&changes, |(script, words)| {
        // The third flush is that of the second look.
        let count = "case $* in '-f .') cd \"$FAKE_KUBECTL_DIR\"; echo . >>n; [ $(wc -l <n) -eq 3 ] || exit 0";
        let scenario = Scenario::new().tool("sync", &format!("PATH=$REAL:$PATH; {count}; {script} ;; esac"));
        scenario.run().exits(6).says(&["second look", words]).clean().snapshots(0);
    });
}

#[test]
fn a_stream_that_is_cut_behind_the_proof_makes_it_look_again() {
    each(&[0, 1], |status| {
        let scenario = Scenario::new().fault("session", ALWAYS, Fault::CutAfter("proven", *status));
        let outcome = scenario.run().exits(0).calls("config observe session try second create watch second event");
        outcome.says(&["looking at the dump again"]).clean().holds_new().snapshots(1);
    });
}

/// A watch in which the session's stream is cut, then something is done, before the snapshot is cut.
macro_rules! cut_meanwhile {
    ($then:literal) => {
        &[&[
            Event::Run(concat!(": >cut; until [ -e session.1.ended ]; do sleep 0.05; done; ", $then)),
            Event::Cut,
            Event::Ready,
        ]]
    };
}

#[test]
fn a_stream_that_is_cut_while_the_snapshot_is_made_makes_it_look_again() {
    each(&[0, 1], |status| {
        let scenario =
            Scenario::new().fault("session", ALWAYS, Fault::CutAt("cut", *status)).watches(cut_meanwhile!(":"));
        let outcome = scenario.run().exits(0).calls("config observe session try second create watch second event");
        outcome.says(&["looking at the dump again"]).clean().holds_new();

        // shows: the second second look keeps the code 6 of the first.
        let scenario = Scenario::new()
            .fault("session", ALWAYS, Fault::CutAt("cut", *status))
            .watches(cut_meanwhile!("echo x >>data/dump.sql.gz"));
        scenario.run().says(&["does not agree"]).exits(7).clean();
    });
}

/// Invariant 3: what is snapshotted is what was proven.
#[test]
fn a_dump_that_is_replaced_while_the_snapshot_is_made_fails_it() {
    let scripts = [
        "cp data/dump.sql.gz x; mv x data/dump.sql.gz",
        "echo x >>data/dump.sql.gz",
        "rm data/dump.sql.gz",
        "rm data/*.lock",
        // In place: neither its size nor its inode changes.
        "sleep 0.1; printf garbage | dd of=data/dump.sql.gz conv=notrunc bs=1 seek=3 2>/dev/null",
    ];
    each(&scripts, |script| {
        let scenario = Scenario::new().watches(&[&[Event::Run(script), Event::Cut, Event::Ready]]);
        let outcome = scenario.run().exits(7).calls("config observe session try second create watch patch event");
        outcome.says(&["replaced by another program", "do not trust VolumeSnapshot data-", "remedy="]).clean();
    });
    // It keeps no slot that a good one could have; where it cannot be marked so, that is said.
    let script = "echo x >>data/dump.sql.gz";
    let scenario = Scenario::new().watches(&[&[Event::Run(script), Event::Cut, Event::Ready]]);
    scenario.fault("patch", ONCE, Fault::Refuse(FORBIDDEN)).run().exits(7).says(&["could not be marked so, delete it"]);
}

#[test]
fn a_create_that_was_done_is_not_done_twice() {
    each(&[REFUSED, INTERNAL, "error: unexpected EOF"], |words| {
        let scenario = Scenario::new().fault("create", ONCE, Fault::DoneBut(words));
        let outcome = scenario.run().exits(0).calls("config observe session try second create create get watch event");
        outcome.clean().snapshots(1);
    });
    // Not even when it cannot be told that it was.
    let scenario = Scenario::new().arg("--retry-timeout=1s").fault("create", ONCE, Fault::DoneBut(REFUSED)).fault(
        "get",
        ALWAYS,
        Fault::Refuse(REFUSED),
    );
    scenario.run().exits(7).clean().snapshots(1);
}

#[test]
fn a_snapshot_of_that_name_that_is_not_ours_is_left_alone() {
    let scenario = Scenario::new().arg("--vs-name-template=fixed").snapshot("fixed", json!({"mine": "no"}), json!({}));
    scenario.run().exits(7).says(&["already exists", "remedy="]).clean().snapshots(1);
    assert_eq!(scenario.snapshots()[0]["metadata"]["labels"], json!({"mine": "no"}));
    assert_eq!(scenario.snapshots()[0]["metadata"]["resourceVersion"], "5");
}

#[test]
fn an_error_of_the_snapshot_is_shown_at_once_and_waited_out() {
    let scenario = Scenario::new().watches(&[&[
        Event::Pending,
        Event::Error("pool is busy"),
        Event::Run("until [ -e go ]; do sleep 0.05; done"),
        Event::Error("pool is still busy"),
        Event::Cut,
        Event::Ready,
    ]]);
    let running = scenario.start().until_said("pool is busy").go_on();
    running.finish().exits(0).says(&["pool is still busy"]).clean().snapshots(1);
}

#[test]
fn a_snapshot_that_is_never_ready_fails_in_time() {
    let bound = "was not ready within 2s: no space in the pool";
    let cases: Vec<(&[Event], &str)> = vec![
        (&[Event::Error("first"), Event::Cut, Event::Error("no space in the pool")], bound),
        (&[Event::Error("no snapshot class")], "was not cut within 2s: no snapshot class"),
        (&[Event::Cut], "was not ready within 2s"),
        (&[], "did not react at all"),
    ];
    each(&cases, |(events, words)| {
        let scenario = Scenario::new().arg("--vs-wait-until-ready-timeout=2s").watches(&[events]);
        scenario.run().exits(7).says(&[words, "remedy=", "describe volumesnapshot"]).clean().holds_new().snapshots(1);
    });
}

/// The API's words for a class that is not there, and the snapshot controller's.
const NO_CLASS: &str = "Error from server (NotFound): volumesnapshotclasses.snapshot.storage.k8s.io \"typo\" not found";
const NEVER_CUT: &str =
    "Failed to get snapshot class with error volumesnapshotclass.snapshot.storage.k8s.io \"typo\" not found";

#[test]
fn a_dry_run_finds_out_a_class_that_is_not_there() {
    let scenario = || Scenario::new().args_also(&["--vs-class-name=typo", "--retry-timeout=1s", "--dry-run"]);
    let missing = scenario().fault("class", ALWAYS, Fault::Refuse(NO_CLASS));
    let outcome = missing.run().exits(4).calls("config observe class").lost_nothing();
    outcome.says(&["there is no VolumeSnapshotClass 'typo'", "kubectl get volumesnapshotclasses"]);
    // Few may look at what is the cluster's.
    for scenario in [scenario(), scenario().fault("class", ALWAYS, Fault::Refuse(FORBIDDEN))] {
        scenario.run().exits(0).calls("config observe class session try").lost_nothing();
    }
    scenario().fault("class", ALWAYS, Fault::Refuse(REFUSED)).run().exits(1).lost_nothing();
    let outcome = scenario().fault("class", ALWAYS, Fault::Hang);
    outcome.start().until("class.1").signal("TERM").finish().exits(143).lost_nothing();
}

/// The snapshot controller says it.
#[test]
fn a_snapshot_whose_class_is_not_there_is_not_waited_for() {
    // shows: it was waited for until the time was up, 15 minutes, and the retries of a Job likewise.
    let scenario = Scenario::new().arg("--vs-class-name=typo");
    let scenario = scenario.watches(&[&[Event::Pending, Event::Error(NEVER_CUT)]]);
    let outcome = scenario.run().exits(7).calls("config observe class session try second create watch event");
    outcome
        .says(&["was not cut: Failed to get snapshot class", "kubectl get volumesnapshotclasses", "stays as it is"])
        .clean()
        .holds_new()
        .snapshots(1);
    // As one that was not ready in time: it keeps its labels, and says of itself that it failed.
    let labels = &scenario.snapshots()[0]["metadata"]["labels"];
    assert!(labels["backup-ns.sh/delete-after"].is_string(), "{labels}");
    let late = Scenario::new().arg("--vs-wait-until-ready-timeout=2s").watches(&[&[Event::Error("no")]]);
    late.run().exits(7);
    let keys = |scenario: &Scenario| {
        let meta = scenario.snapshots()[0]["metadata"].clone();
        let of = |field: &str| meta[field].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        (of("labels"), of("annotations"))
    };
    assert_eq!(keys(&scenario), keys(&late));
}

#[test]
fn readiness_is_not_waited_for_when_it_is_not_wanted() {
    let scenario = Scenario::new().arg("--vs-wait-until-ready=false").watches(&[&[Event::Cut]]);
    scenario.run().exits(0).prints(&["cut, not ready yet"]).clean();
}

#[test]
fn a_snapshot_that_is_deleted_fails_it() {
    each(
        &[&[Event::Deleted][..], &[Event::Cut, Event::Deleted], &[Event::Run("rm snapshots/*"), Event::End(0, "")]],
        |events| {
            let scenario = Scenario::new().watches(&[events]);
            scenario.run().exits(7).clean().snapshots(0);
        },
    );
    let scenario = Scenario::new().watches(&[&[Event::Deleted]]);
    scenario.run().says(&["another client deleted the VolumeSnapshot data-", "remedy="]);
}

#[test]
fn a_watch_that_ends_is_begun_again() {
    let bookmark =
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"VolumeSnapshot\",\"metadata\":{\"resourceVersion\":\"7\"}}}\n";
    let cases: Vec<Vec<&[Event]>> = vec![
        vec![&[Event::End(0, "")], &[Event::Cut, Event::End(0, "")], &[Event::Ready]],
        vec![&[Event::End(1, "error: unexpected EOF")], &[Event::Cut, Event::End(1, REFUSED)], &[Event::Ready]],
        vec![&[Event::Gone], &[Event::Cut, Event::Gone], &[Event::Ready]],
        vec![&[Event::Print("no JSON\n")], &[Event::Cut, Event::Print("{\"type\": \"MODI")], &[Event::Ready]],
    ];
    each(&cases, |watches| {
        // What the fourth prints is the beginning of a line, so that this one ends by itself.
        let ends = [watches[1], &[Event::End(0, "")]].concat();
        let scenario = Scenario::new().watches(&[watches[0], &ends, watches[2]]);
        let outcome = scenario.run().exits(0).clean().snapshots(1);
        assert_eq!((outcome.count("watch"), outcome.count("create")), (3, 1), "{outcome}");
    });
    let scenario =
        Scenario::new().watches(&[&[Event::Print(bookmark), Event::Cut, Event::Print(bookmark), Event::Ready]]);
    let outcome = scenario.run().exits(0).clean();
    assert_eq!(outcome.count("watch"), 1, "{outcome}");
    // What happened between two watches is not missed.
    let done = "sed 's/$/ /' snapshots/* >x; sed -i 's/\"metadata\"/\"status\":{\"readyToUse\":true},\"metadata\"/' x; cp x snapshots/$(ls snapshots)";
    let scenario = Scenario::new().watches(&[&[Event::Run(done), Event::End(0, "")], &[]]);
    scenario.run().exits(0).clean();
}

/// An API server that answers every watch with an error is not asked as fast as it can answer.
#[test]
fn a_watch_that_fails_at_once_is_not_begun_again_at_once() {
    each(&[Event::Gone, Event::Print("no JSON\n"), Event::End(0, ""), Event::End(1, REFUSED)], |event| {
        // shows: behind an ERROR event there is no pause, kubectl is run as fast as it goes until the time is over.
        let scenario = Scenario::new().arg("--vs-wait-until-ready-timeout=2s").watches(&[&[*event]]);
        let outcome = scenario.run().exits(7).clean();
        assert!(outcome.count("watch") <= 10, "{outcome}");
    });
}

#[test]
fn a_call_that_hangs_is_ended() {
    let cases = [("observe", 1), ("list", 7), ("create", 7)];
    each(&cases, |(call, code)| {
        let scenario =
            with_slots().args_also(&["--request-timeout=1s", "--retry-timeout=1s"]).fault(call, ALWAYS, Fault::Hang);
        let outcome = scenario.run().exits(*code).says(&["did not answer within", "remedy="]);
        in_order(outcome, call).snapshots(0);
    });
}

/// A minute is the limit of silence, and nothing but silence is limited by it.
#[test]
#[ignore = "takes longer than a minute"]
fn silence_is_limited_and_work_is_not() {
    // The file of the roles is hashed by the session, after the second look was started, and by the second look.
    let slow = r#"case $(readlink /proc/self/fd/0) in
        *.globals*) ;;
        *) [ ! -e "$FAKE_KUBECTL_DIR/second.1" ] || "$REAL/sleep" 70 ;;
        esac; exec "$REAL/sha256sum" "$@""#;
    let cases: Vec<(Scenario, i32)> = vec![
        (Scenario::new().arg("--retry-timeout=0s").fault("session", ALWAYS, Fault::MuteAfter("mountinfo")), 4),
        (Scenario::new().held().fault("session", ALWAYS, Fault::MuteAfter("began")), 6),
        // shows: the second look says nothing while it reads; a file that it reads for longer than a minute never passes.
        (Scenario::new().tool("sha256sum", slow), 0),
        // shows: a database that takes a connection but answers no query is waited for without end.
        (Scenario::new().arg("--retry-timeout=0s").tool("psql", "while :; do sleep 1; done"), 4),
    ];
    each(&cases, |(scenario, code)| drop(scenario.run().exits(*code).clean()));
}

/// Whatever hangs, a signal ends it.
#[test]
fn a_signal_ends_what_hangs() {
    each(&CALLS, |call| {
        let scenario = with_slots().fault(call, ALWAYS, Fault::Hang);
        let running = scenario.start().until(&format!("{call}.1")).signal("TERM");
        in_order(running.finish().exits(143), call).snapshots(usize::from(*call == "watch"));
    });
    each(&["looked", "began"], |key| {
        let scenario = Scenario::new().held().fault("session", ALWAYS, Fault::MuteAfter(key));
        let file = if *key == "began" { "dumping" } else { "session.1.stdin" };
        scenario.start().until(file).signal("TERM").finish().exits(143).lost_nothing();
    });
}

/// Invariants 2 and 5.
#[test]
fn a_signal_during_the_dump_leaves_nothing_behind() {
    each(&[("TERM", 143), ("INT", 130), ("HUP", 129)], |(name, code)| {
        let scenario = Scenario::new().held();
        let running = scenario.start().until("dumping").signal(name);
        running.finish().exits(*code).says(&["ended by signal"]).lost_nothing();
    });
}

/// Invariants 2 and 5, where the program cannot do anything any more.
#[test]
fn a_kill_during_the_dump_leaves_nothing_behind() {
    let scenario = Scenario::new().held();
    let outcome = scenario.start().until("dumping").signal("KILL").finish();
    assert_eq!(outcome.killed, Some(9), "{outcome}");
    outcome.lost_nothing();
    // While others wait for the snapshot, the same.
    let scenario = Scenario::new().watches(&[&[Event::Pending]]);
    let outcome = scenario.start().until("watch.1").signal("KILL").finish();
    assert_eq!(outcome.killed, Some(9), "{outcome}");
    outcome.clean().holds_new();
}

/// Invariant 2: each dump that is not whole is found out, and the last good one stays.
#[test]
fn a_dump_that_is_not_whole_replaces_nothing() {
    let cases: Vec<(Scenario, &str)> = vec![
        (Scenario::new().file("dump.stderr", "pg_dump: error: out of memory"), "out of memory"),
        (Scenario::new().dump(&BODY[..60]), "does not end as a complete one does"),
        (Scenario::new().dump(BODY), "does not end as a complete one does"),
        (Scenario::new().dump(""), "does not end as a complete one does"),
        (
            Scenario::new().dump("COPY t FROM stdin;\nx\n-- PostgreSQL database dump complete\n"),
            "does not end as a complete one does",
        ),
        (
            Scenario::new().dump("COPY t FROM stdin;\nx\n--\n-- PostgreSQL database dump complete\n"),
            "does not end as a complete one does",
        ),
        (Scenario::new().dump(&format!("{BODY}{TRAILER}COPY t FROM stdin;\n")), "does not end as a complete one does"),
        (Scenario::new().dump(&format!("{BODY}\\unrestrict k3YkEy\n")), "does not end as a complete one does"),
        (
            Scenario::new()
                .tool("gzip", "case $1 in -1) head -c 20 >/dev/null; exit 3 ;; esac; exec \"$REAL/gzip\" \"$@\""),
            "gzip ended with status 3",
        ),
        (
            Scenario::new().tool(
                "gzip",
                "case $1 in -1) \"$REAL/gzip\" -c | head -c -9; exit ;; esac; exec \"$REAL/gzip\" \"$@\"",
            ),
            "does not test whole",
        ),
        (Scenario::new().tool("sha256sum", "exit 1"), "hashing ended with status 1"),
        (
            Scenario::new().tool("tail", "case $1 in -c) exit 1 ;; esac; exec \"$REAL/tail\" \"$@\""),
            "tail ended with status 1",
        ),
        (Scenario::new().tool("tee", "head -c 9; exit 1"), "tee ended with status 1"),
        (Scenario::new().tool("mv", "exit 1"), "cannot be renamed"),
        (Scenario::new().tool("mkfifo", "exit 1"), "named pipe"),
    ];
    // shows: what pg_dump said is lost where it comes later than the session's last line, as another stream may.
    each(&cases, |(scenario, words)| {
        scenario.run().exits(6).says(&[words, "remedy="]).lost_nothing();
    });
}

/// What is logged is read by people: a session's script does not stand in it.
#[test]
fn an_error_shows_no_script() {
    // shows: the text that `sh -c` gets is in every error about an exec.
    let scenario = Scenario::new().fault("session", ALWAYS, Fault::Refuse(NOT_FOUND));
    let outcome = scenario.run().exits(4).says(&["not found"]);
    assert!(!outcome.stderr.contains("IFS="), "{outcome}");
}

#[test]
fn a_dump_of_any_version_is_known_by_its_end() {
    each(&[TRAILER, UNRESTRICT, TRAILER.trim_end()], |end| {
        let scenario = Scenario::new().dump(&format!("{BODY}{end}"));
        scenario.run().exits(0).clean().holds_new();
    });
}

/// Invariant 3.
#[test]
fn everything_is_flushed_before_and_behind_the_rename_and_at_the_second_look() {
    let scenario = Scenario::new();
    let old = scenario.inode();
    scenario.run().exits(0).holds_new();
    let synced: Vec<Vec<String>> = scenario
        .lines("synced")
        .iter()
        .map(|line| line.split(' ').map(ToString::to_string).collect())
        .filter(|words: &Vec<String>| words[2] == ".")
        .collect();
    let inodes: Vec<&str> = synced.iter().map(|words| words[3].as_str()).collect();
    let new = scenario.inode();
    assert_ne!(old, new);
    // The file of the roles is written before the first one.
    assert_eq!(inodes, [&old, &new, &new], "{synced:?}");
    assert!(!synced[..2].iter().any(|words| words[0] == synced[2][0]), "not by a second session: {synced:?}");
}

#[test]
fn a_sync_that_knows_no_file_systems_flushes_all() {
    let script = r#"case $* in -f*) exit 1 ;; esac; echo all >>"$FAKE_KUBECTL_DIR/synced""#;
    let scenario = Scenario::new().tool("sync", script);
    scenario.run().exits(0);
    assert_eq!(scenario.lines("synced"), ["all"; 3]);
}

#[test]
fn a_flush_that_fails_is_no_backup() {
    let scenario = Scenario::new().tool("sync", "exit 1");
    scenario.run().exits(6).says(&["cannot be flushed"]).lost_nothing();
    // `sync -f /proc`, a question, succeeds; of the flushes, the nth fails.
    for (nth, words) in [(1, "the dump cannot be flushed"), (2, "directory cannot be flushed"), (3, "status 73")] {
        let scenario = Scenario::new().tool(
            "sync",
            &format!(
                "case $* in '-f .') cd \"$FAKE_KUBECTL_DIR\"; echo . >>n; [ $(wc -l <n) -ne {nth} ] || exit 1 ;; esac"
            ),
        );
        let outcome = scenario.run().exits(6).says(&[words, "remedy="]).clean().snapshots(0);
        if nth == 1 {
            outcome.keeps_old();
        }
    }
}

#[test]
fn a_second_backup_says_who_is_at_work() {
    let scenario = Scenario::new().held();
    let first = scenario.start().until("dumping");
    let holder = format!("(process {})", first.pid());
    let second = scenario.run().exits(5).says(&["another backup of this volume is at work", &holder, "remedy="]);
    assert_eq!(second.count("create"), 0, "{second}");
    first.go_on().finish().exits(0).clean().holds_new().snapshots(1);
}

#[test]
fn a_second_backup_waits_if_it_was_told_to() {
    let scenario = Scenario::new().held().arg("--busy-timeout=60s");
    let first = scenario.start().until("dumping");
    let second = scenario.start().until_said("waiting for another backup of this volume");
    let (first, second) = (first.go_on().finish().exits(0), second.finish().exits(0));
    assert_eq!((first.count("create"), second.count("create")), (1, 1));
    second.clean().holds_new().snapshots(2);
}

#[test]
fn the_lock_of_a_session_that_was_killed_is_taken_over() {
    // shows: a holder that is dead but not yet reaped by the container's first process counts as living.
    let scenario = Scenario::new().held();
    let first = scenario.start().until("dumping");
    scenario.kill_all();
    let first = first.finish();
    assert_eq!(first.killed, Some(9), "{first}");
    let left = std::fs::read_dir(scenario.dir().join("data")).unwrap().count();
    assert!(left > 1, "nothing was left to take over");
    scenario.start().go_on().finish().exits(0).clean().holds_new().snapshots(1);
}

/// A node that was restarted, or a container: its processes cannot be looked up any more.
#[test]
fn the_lock_of_a_container_that_is_gone_is_taken_over() {
    // shows: a run that is not to wait gives up at the first `busy`, before the silence of the holder can tell that it
    // is dead; so each backup behind a pod that died while dumping ends with 5, for ever.
    let line = "other-boot,pid:[4026531836],1 4711 99 0123 somebody@elsewhere (process 1) run 0123";
    let scenario = Scenario::new().file("data/dump.sql.gz.backup-ns.lock", &format!("{line}\n"));
    let outcome = scenario.run().exits(0).clean().holds_new().snapshots(1);
    assert_eq!(outcome.stderr.matches("whether its holder still lives: somebody@elsewhere").count(), 1, "{outcome}");
}

/// A volume made from a snapshot holds the lock under which that was cut.
#[test]
fn the_lock_that_came_with_a_restored_volume_is_known_dead_at_once() {
    let lock = "data/dump.sql.gz.backup-ns.lock";
    let line = |claim: &str| {
        format!("other-boot,pid:[4026531836],1 4711 99 0123 {claim}somebody@elsewhere (process 1) run 0123\n")
    };
    let claimed = |volume: &'static str, made: &'static str| {
        Scenario::new().object("PersistentVolumeClaim", |claim| {
            claim["metadata"]["uid"] = json!("new");
            claim["metadata"]["creationTimestamp"] = json!(made);
            claim["spec"]["volumeName"] = json!(volume);
        })
    };
    let watched = "whether its holder still lives: somebody@elsewhere";
    // The lock's file is made now; what was restored has a claim that is younger.
    let later = "2999-01-01T00:00:00Z";
    each(&shells(), |shell| {
        let scenario = claimed("pvc-new", later).shell(shell).file(lock, &line("claim=old,202601020304.05 "));
        let outcome = scenario.run().exits(0).clean().holds_new().snapshots(1);
        assert!(!outcome.stderr.contains("whether its holder still lives"), "{outcome}");
    });
    // A living holder is never thrown out: one of the same claim in another pod, one that does not say its claim, one on a
    // volume that was not made for our claim, and one that came to our volume later, through a claim made by hand.
    for (volume, made, holder) in [
        ("pvc-new", later, "claim=new,202601020304.05 "),
        ("pvc-new", later, ""),
        ("nfs-share", later, "claim=old, "),
        ("pvc-new", "2026-01-02T03:04:05Z", "claim=old,202601020304.05 "),
    ] {
        let scenario = claimed(volume, made).file(lock, &line(holder)).arg("--busy-timeout=0s");
        let running = scenario.start().until_said(watched);
        // Its sign of life.
        std::fs::write(scenario.dir().join("data/dump.sql.gz.backup-ns.beat"), "0123 1\n").unwrap();
        let outcome = running.finish().exits(5).keeps_old().snapshots(0);
        assert!(outcome.stderr.contains("another backup of this volume is at work: somebody@elsewhere"), "{outcome}");
        assert_eq!(std::fs::read_to_string(scenario.dir().join(lock)).unwrap(), line(holder));
    }
    // What we leave in the lock names our claim.
    let scenario = claimed("pvc-new", "2026-01-02T03:04:05Z").held();
    let running = scenario.start().until("dumping");
    let ours = std::fs::read_to_string(scenario.dir().join(lock)).unwrap();
    assert_eq!(ours.split(' ').nth(4), Some("claim=new,202601020304.05"), "{ours}");
    running.go_on().finish().exits(0).clean();
}

#[test]
fn a_node_whose_locks_are_all_held_touches_no_database() {
    let flags = ["--flock", "--flock-count=1", "--flock-dir=locks", "--flock-timeout-sec=0"];
    let scenario = Scenario::new().held().args_also(&flags);
    let first = scenario.start().until("dumping");
    let holder = format!("(process {})", first.pid());
    scenario.run().exits(5).calls("config observe event").says(&["1.lock by ", &holder, "remedy="]);
    first.go_on().finish().exits(0).clean();
    scenario.run().exits(0).clean().snapshots(2);
}

/// The container's `sh` is another in every image.
#[test]
fn it_works_with_every_shell() {
    let shells = shells();
    each(&shells, |shell| {
        let scenario = with_slots().shell(shell);
        scenario.run().exits(0).calls(&format!("{} event", CALLS.join(" "))).clean().holds_new().snapshots(1);
        let scenario = Scenario::new().shell(shell).dump(BODY);
        scenario.run().exits(6).says(&["does not end as a complete one does"]).lost_nothing();
        let scenario = Scenario::new().shell(shell).held();
        scenario.start().until("dumping").signal("TERM").finish().exits(143).lost_nothing();
        let scenario = Scenario::new().shell(shell).held();
        let outcome = scenario.start().until("dumping").signal("KILL").finish();
        outcome.lost_nothing();
    });
}

const NO_ROOM: &str = "Error from server (Forbidden): volumesnapshots.snapshot.storage.k8s.io \"data-x\" is forbidden: exceeded \
                       quota: few, requested: count/volumesnapshots.snapshot.storage.k8s.io=1, used: \
                       count/volumesnapshots.snapshot.storage.k8s.io=1, limited: count/volumesnapshots.snapshot.storage.k8s.io=1";

/// What the API says of the VolumeSnapshot beforehand also counts in a dry run; what it cannot say then stops no dump.
#[test]
fn what_the_api_would_refuse_is_known_before_the_dump() {
    let denied = "Error from server: admission webhook \"names.example\" denied the request: bad name";
    let scenario = Scenario::new().fault("try", ALWAYS, Fault::Refuse(denied));
    let outcome = scenario.run().exits(4).calls("config observe session try event").lost_nothing();
    outcome.says(&["no dump was made", denied, "correct what the API says"]);
    let scenario = Scenario::new().arg("--dry-run").fault("try", ALWAYS, Fault::Refuse(NO_ROOM));
    scenario.run().exits(4).says(&["exceeded quota: few"]).lost_nothing();
    // An admission webhook with side effects is not asked, and a name that is taken now is judged when it is made.
    let no_dry_run = "Error from server (BadRequest): admission webhook \"names.example\" does not support dry run";
    let taken = "Error from server (AlreadyExists): volumesnapshots.snapshot.storage.k8s.io \"x\" already exists";
    for words in [no_dry_run, taken] {
        let scenario = Scenario::new().fault("try", ALWAYS, Fault::Refuse(words));
        scenario.run().exits(0).calls("config observe session try second create watch event").holds_new().snapshots(1);
    }
}

#[test]
fn a_class_that_is_not_there_is_known_before_the_dump() {
    let scenario = || Scenario::new().args_also(&["--vs-class-name=typo", "--retry-timeout=1s"]);
    let missing = scenario().fault("class", ALWAYS, Fault::Refuse(NO_CLASS));
    let outcome = missing.run().exits(4).calls("config observe class event").keeps_old().snapshots(0);
    outcome.says(&["there is no VolumeSnapshotClass 'typo'", "kubectl get volumesnapshotclasses"]);
    // Who may not read classes makes the backup.
    let blind = scenario().fault("class", ALWAYS, Fault::Refuse(FORBIDDEN));
    blind.run().exits(0).calls("config observe class session try second create watch event").snapshots(1);
    // What was cut by this class last time is not asked for again; what was not, is.
    let again = blind.mended();
    let name = again.snapshots()[0]["metadata"]["name"].as_str().unwrap().to_string();
    let path = format!("snapshots/{name}");
    let cut = json!({
        "kind": "VolumeSnapshot", "status": {"readyToUse": true},
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "typo"},
    });
    let again = again.file(&path, &cut.to_string());
    again.run().exits(0).calls("config observe session try second create watch event");
    let mut failed = cut;
    failed["status"] = json!({"readyToUse": false, "error": {"message": "no class"}});
    failed["metadata"]["creationTimestamp"] = json!("2026-01-03T03:04:05Z");
    let again = again.file(&path, &failed.to_string()).fault("class", ALWAYS, Fault::Refuse(NO_CLASS));
    again.run().exits(4).calls("config observe class event");
}

/// A quota for one of two snapshots lets each dry run pass.
#[test]
fn a_quota_for_one_of_two_snapshots_is_known_before_the_dump() {
    let two = || {
        Scenario::new().env("BAK_PVC_NAME", "data,more").also(json!({
        "kind": "PersistentVolumeClaim", "metadata": {"namespace": "shop", "name": "more"}, "status": {"phase": "Bound"},
    }))
    };
    let quota = |hard: &str| {
        let count = "count/volumesnapshots.snapshot.storage.k8s.io";
        let quota = json!({"metadata": {"name": "few"}, "status": {"hard": {count: hard}, "used": {count: "1"}}});
        &*Box::leak(json!({"items": [quota]}).to_string().into_boxed_str())
    };
    let scenario = two().fault("quotas", ALWAYS, Fault::Print(quota("2")));
    let outcome = scenario.run().exits(4).keeps_old().snapshots(0);
    let words = "the ResourceQuota few leaves room for 1 VolumeSnapshots, and this backup makes 2";
    outcome.says(&["no dump was made", words, "backup-ns list"]);
    two().fault("quotas", ALWAYS, Fault::Print(quota("3"))).run().exits(0).snapshots(2);
    // Without the right to read quotas the second one fails, and the first is not taken for a backup.
    let blind = two().fault("quotas", ALWAYS, Fault::Refuse(FORBIDDEN)).fault("create", 2..=2, Fault::Refuse(NO_ROOM));
    let outcome = blind.run().exits(4).count("patch");
    assert_eq!(outcome, 1, "the first one is distrusted");
}
