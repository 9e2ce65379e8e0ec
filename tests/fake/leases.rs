//! The node's locks as Leases, as tests/fake/locks.rs has them as files: many processes of the real binary, some of which are killed,
//! and an API that loses answers, is away or says no. What happened is in the log of the node's kubectl and by the
//! Leases, never by a clock.

use std::fs;

use serde_json::{Value, json};

use crate::support::fake_api::{Api, LEASES, NAMESPACES};
use crate::support::node::{FAILED, LOCKS_NAMESPACE, NO_LOCK, Node, PRECONDITION, PROGRAM, Run};
use crate::support::{ALWAYS, Fault, ONCE, REFUSED, Scenario, poll};

/// How many processes there are, and how many locks.
const MANY: usize = 16;
const LOCKS: usize = 3;

/// A Lease that no test outlasts, two that a busy machine renews in time, and the shortest there is.
const LONG: &str = "20m";
const FINE: &str = "15s";
const BRIEF: &str = "6s";
const SHORT: &str = "3s";

const FORBIDDEN: &str = r#"Error from server (Forbidden): leases.coordination.k8s.io is forbidden: User "x" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "backup-ns-locks""#;

fn holder(lease: &Value) -> &str {
    lease["spec"]["holderIdentity"].as_str().unwrap()
}

fn count(lease: &Value) -> u64 {
    lease["spec"]["leaseTransitions"].as_u64().unwrap()
}

/// All Leases are free locks, and so many had one in all.
#[track_caller]
fn nothing_is_left(node: &Node, holders: u64) {
    let leases = node.leases();
    assert!(leases.iter().all(|lease| holder(lease).is_empty()), "{leases:#?}");
    assert!(node.tickets().is_empty(), "{leases:#?}");
    // The first holder of each is its zeroth.
    assert_eq!(leases.iter().map(|lease| count(lease) + 1).sum::<u64>(), holders, "{leases:#?}");
}

/// Invariant 12. Every holder holds on until it gets its signal, which comes once all locks are held that can be: one who
/// waited beside a free Lease would wait for ever.
#[test]
fn many_get_three_leases_in_their_order() {
    let node = Node::of_leases();
    let start = |nth| {
        let run = node.start(node.create_by_lease(LOCKS, FINE));
        if nth < LOCKS { run.holds() } else { run.queues() }
    };
    let mut runs: Vec<Run<'_>> = (0..MANY).map(start).collect();
    let queue: Vec<u32> = runs.iter().map(Run::pid).collect();
    for turn in 0..MANY {
        let most = LOCKS.min(runs.len());
        poll("as many holders as there are locks", || node.holders(LOCKS).len() == most);
        let holders = node.holders(LOCKS);
        // Now the first of them goes, now another; every fourth by a signal.
        let places: Vec<usize> = (0..runs.len()).filter(|nth| holders.contains(&runs[*nth].pid())).collect();
        let run = runs.remove(places[turn % places.len()]);
        if turn % 4 == 3 {
            node.write(&format!("end {}\n", run.pid()));
            run.signal("TERM");
            assert_eq!(run.end().0, 143);
        } else {
            assert_eq!(run.done(), FAILED);
        }
    }
    // Each ticket was there before the next one came, and one lock was let go at a time.
    assert_eq!(node.started(), queue);
    nothing_is_left(&node, MANY as u64);
}

#[test]
fn many_at_once_are_never_more_than_three() {
    let node = Node::of_leases();
    fs::write(node.path("go"), "").unwrap();
    let runs: Vec<Run<'_>> = (0..MANY).map(|_| node.start(node.create_by_lease(LOCKS, FINE))).collect();
    for run in runs {
        assert_eq!(run.end().0, FAILED);
    }
    assert!(node.holders(LOCKS).is_empty());
    assert_eq!(node.started().len(), MANY);
    assert_eq!(node.leases().len(), LOCKS);
    nothing_is_left(&node, MANY as u64);
}

/// What it costs: a call to look, one to take, one to let go.
#[test]
fn who_need_not_wait_makes_three_calls() {
    let node = Node::of_leases();
    for take in ["createLease", "replaceLease"] {
        let run = node.start(node.create_by_lease(1, LONG)).holds();
        let pid = run.pid();
        assert_eq!(node.calls(pid), ["listLease", take]);
        let slot = node.slot(1);
        assert!(holder(&slot).contains(&format!("(process {pid}) ")), "{slot}");
        assert_eq!(slot["spec"]["leaseDurationSeconds"], 20 * 60);
        assert_eq!(slot["metadata"]["labels"], json!({"backup-ns.sh/lock-node": "n1"}));
        assert_eq!(run.done(), FAILED);
        assert_eq!(node.calls(pid), ["listLease", take, "replaceLease"]);
    }
    nothing_is_left(&node, 2);
}

#[test]
fn one_who_gives_up_leaves_no_trace() {
    let node = Node::of_leases();
    let holder = node.start(node.create_by_lease(1, LONG)).holds();
    let slot = node.slot(1);
    let start = || node.start(node.create_by_lease(1, LONG)).queues();
    let waiting = ["INT", "TERM", "HUP"].map(|signal| (signal, start()));
    for ((signal, run), code) in waiting.into_iter().zip([130, 143, 129]).rev() {
        run.signal(signal);
        let (ended, stderr) = run.end();
        assert!(ended == code && stderr.contains("while waiting for a lock"), "{ended}: {stderr}");
    }
    assert_eq!(node.leases(), [slot]);
    assert_eq!(node.started(), [holder.pid()]);
    assert_eq!(holder.done(), FAILED);
    nothing_is_left(&node, 1);
}

/// The crash of one who holds a lock, and of one who waits before others.
#[test]
fn what_was_killed_expires_for_those_who_wait() {
    let node = Node::of_leases();
    let start = || node.start(node.create_by_lease(1, BRIEF));
    let first = start().holds();
    let killed = start().queues();
    let second = start().queues();
    let third = start().queues();
    // A holder that is alive says so, and waits as long as it takes.
    let pids = [first.pid(), killed.pid(), second.pid(), third.pid()];
    let renewals = |pid: u32| node.calls(pid).iter().filter(|call| *call == "replaceLease").count();
    poll("everybody has been there for longer than a Lease lasts", || pids.iter().all(|pid| renewals(*pid) > 4));
    assert_eq!((node.started(), node.tickets().len()), (vec![pids[0]], 3));
    let slot = node.slot(1);
    first.kill();
    killed.kill();
    let second = second.holds();
    assert_eq!((count(&slot), count(&node.slot(1)), node.tickets().len()), (0, 1, 1));
    assert_eq!(second.done(), FAILED);
    assert_eq!(third.holds().done(), FAILED);
    assert_eq!(node.started(), [pids[0], pids[2], pids[3]]);
    nothing_is_left(&node, 3);
}

/// No other process is there to do it.
#[test]
fn who_gets_a_lock_takes_the_ticket_of_a_killed_one_away() {
    let node = Node::of_leases();
    one_is_killed_before_the_lock_is_free(&node);
    assert_eq!(node.tickets().len(), 0);
    nothing_is_left(&node, 2);
}

/// A process that was only stopped for a while keeps its place.
#[test]
fn a_ticket_that_is_renewed_before_it_is_taken_away_stays() {
    let node = Node::of_leases();
    let renewed = r#"{"metadata": {"annotations": {"renewed": "yes"}}}"#;
    node.faults(&[("deleteLease", ONCE, Fault::Change("", renewed))]);
    one_is_killed_before_the_lock_is_free(&node);
    let tickets = node.tickets();
    assert!(tickets.len() == 1 && tickets[0]["metadata"]["annotations"]["renewed"] == "yes", "{tickets:#?}");
}

/// Two wait; the first of them is killed, and so is the holder; the second gets the lock and lets go again.
fn one_is_killed_before_the_lock_is_free(node: &Node) {
    let start = || node.start(node.create_by_lease(1, BRIEF));
    let (first, killed, last) = (start().holds(), start().queues(), start().queues());
    let renewals = || node.calls(killed.pid()).iter().filter(|call| *call == "replaceLease").count();
    first.kill();
    // The ticket expires after the lock, so that the lock is taken in the look that shows it.
    let before = renewals();
    poll("another renewal of the ticket", || renewals() > before);
    killed.kill();
    assert_eq!(last.holds().done(), FAILED);
}

#[test]
fn a_signal_lets_go_at_once() {
    let node = Node::of_leases();
    let first = node.start(node.create_by_lease(1, LONG)).holds();
    let second = node.start(node.create_by_lease(1, LONG)).queues();
    node.write(&format!("end {}\n", first.pid()));
    first.signal("TERM");
    assert_eq!(first.end().0, 143);
    let second = second.holds();
    second.signal("INT");
    assert_eq!(second.end().0, 130);
    nothing_is_left(&node, 2);
}

#[test]
fn who_has_waited_enough_is_told_who_holds_the_locks() {
    let node = Node::of_leases();
    let holders = [1, 2].map(|_| node.start(node.create_by_lease(2, LONG)).holds());
    let names = holders.each_ref().map(|run| format!("(process {})", run.pid()));
    let impatient = |variable: &str, value: &str, what: &str| {
        let mut command = node.create_by_lease(2, LONG);
        command.env(variable, value);
        let (code, stderr) = node.start(command).end();
        assert_eq!(code, NO_LOCK, "{stderr}");
        let failure = stderr.lines().find(|line| line.contains("remedy=")).unwrap_or_default();
        assert!(failure.contains(what) && names.iter().all(|name| failure.contains(name)), "{stderr}");
    };
    impatient("BAK_FLOCK_TIMEOUT_SEC", "0", "no lock within 0s: all 2 Leases, backup-ns-n1-1 to 2, in backup-ns-locks");
    impatient("BAK_FLOCK_TIMEOUT_SEC", "1", "no lock within 1s: all 2 Leases");
    impatient("BAK_TIMEOUT", "1s", "the time of the whole run is up, still waiting for a lock");
    assert_eq!(node.leases().len(), 2, "a place in the queue was left");
    for run in holders {
        assert_eq!(run.done(), FAILED);
    }
    nothing_is_left(&node, 2);
}

/// Invariant 12. The first in the queue may be one who is gone, and that takes its time to show.
#[test]
fn no_waiter_leaves_while_a_lease_is_free() {
    let node = Node::of_leases();
    let ticket = json!({
        "metadata": {
            "name": "backup-ns-n1-wait-abcdefghij", "namespace": LOCKS_NAMESPACE,
            "labels": {"backup-ns.sh/lock-node": "n1"}, "annotations": {"backup-ns.sh/lock-turn": "1"},
        },
        "spec": {"holderIdentity": "somebody abcdefghij", "leaseDurationSeconds": 1200},
    });
    node.api().put(LEASES, ticket);
    let patient = node.start(node.create_by_lease(1, LONG)).queues();
    let mut command = node.create_by_lease(1, LONG);
    command.env("BAK_FLOCK_TIMEOUT_SEC", "0");
    assert_eq!(node.start(command).holds().done(), FAILED);
    assert!(!patient.has_started(), "it did not heed who was before");
    // Another node's are none of ours.
    let mut command = node.create_by_lease(1, LONG);
    command.env("BAK_LOCK_NODE", "n2");
    assert_eq!(node.start(command).holds().done(), FAILED);
}

#[test]
fn an_answer_that_is_lost_takes_no_second_lock_and_leaves_none() {
    let node = Node::of_leases();
    node.faults(&[("createLease", ONCE, Fault::DoneBut(REFUSED))]);
    let run = node.start(node.create_by_lease(2, LONG)).holds();
    assert_eq!(node.calls(run.pid()), ["listLease", "createLease", "createLease", "listLease"]);
    assert_eq!(node.leases().len(), 1);
    assert_eq!(run.done(), FAILED);
    nothing_is_left(&node, 1);
    // The answer to the first renewal: the second finds another version than it knows, looks, and is made again.
    node.faults(&[("replaceLease", 3..=3, Fault::DoneBut(REFUSED))]);
    let run = node.start(node.create_by_lease(1, SHORT)).holds();
    let pid = run.pid();
    poll("a renewal after the one whose answer was lost", || node.calls(pid).len() > 6);
    let expected = ["listLease", "replaceLease", "replaceLease", "replaceLease", "listLease", "replaceLease"];
    assert_eq!(node.calls(pid)[..6], expected);
    let slot = node.slot(1);
    assert!(holder(&slot).contains(&format!("(process {pid}) ")), "{slot}");
    run.let_go();
    let (code, stderr) = run.end();
    assert!(code == FAILED && !stderr.contains("another's"), "{stderr}");
    nothing_is_left(&node, 2);
}

/// A request that is under way when a signal comes may be done all the same.
#[test]
fn a_signal_while_it_takes_a_lock_leaves_none_behind() {
    let node = Node::of_leases();
    node.faults(&[("createLease", ONCE, Fault::DoneBut(REFUSED)), ("createLease", 2..=u32::MAX, Fault::Hang)]);
    let run = node.start(node.create_by_lease(1, LONG));
    poll("the second try", || node.calls(run.pid()).len() > 2);
    assert_eq!(node.leases().len(), 1);
    run.signal("TERM");
    let (code, stderr) = run.end();
    assert!(code == 143 && stderr.contains("while waiting for a lock"), "{stderr}");
    nothing_is_left(&node, 1);
}

/// A lock limits load: a run that loses it goes on, says so, and lets the other's alone.
#[test]
fn a_lease_that_was_taken_over_is_told_and_left_alone() {
    let node = Node::of_leases();
    let run = node.start(node.create_by_lease(1, SHORT)).holds();
    let key = format!("{LOCKS_NAMESPACE}/backup-ns-n1-1");
    node.api().merge(LEASES, &key, &json!({"spec": {"holderIdentity": "somebody else"}})).unwrap();
    poll("the loss", || run.stderr().contains("Lease backup-ns-n1-1 in backup-ns-locks was taken by another backup"));
    assert_eq!(run.done(), FAILED);
    assert_eq!(holder(&node.slot(1)), "somebody else");
}

#[test]
fn a_deleted_lease_is_made_again_by_its_holder() {
    let node = Node::of_leases();
    let run = node.start(node.create_by_lease(1, BRIEF)).holds();
    let waiting = node.start(node.create_by_lease(1, LONG)).queues();
    let (slot, ticket) = (node.slot(1), node.tickets().remove(0));
    // Its owner has it back before he looks for a lock again.
    node.api()
        .delete(LEASES, &format!("{LOCKS_NAMESPACE}/{}", ticket["metadata"]["name"].as_str().unwrap()), &json!({}))
        .unwrap();
    poll("the ticket", || {
        node.tickets().first().is_some_and(|again| again["spec"]["holderIdentity"] == ticket["spec"]["holderIdentity"])
    });
    assert_eq!(node.tickets()[0]["metadata"]["annotations"], ticket["metadata"]["annotations"]);
    waiting.signal("TERM");
    assert_eq!(waiting.end().0, 143);
    node.api().delete(LEASES, &format!("{LOCKS_NAMESPACE}/backup-ns-n1-1"), &json!({})).unwrap();
    poll("the lock", || node.leases().iter().any(|again| holder(again) == holder(&slot)));
    assert_eq!(run.done(), FAILED);
    nothing_is_left(&node, 1);
}

#[test]
fn an_api_that_is_away_while_a_lock_is_held_is_told_of() {
    let node = Node::of_leases();
    let run = node.start(node.create_by_lease(1, SHORT)).holds();
    node.faults(&[("replaceLease", ALWAYS, Fault::Refuse(REFUSED))]);
    poll("the warning", || run.stderr().contains("could not be renewed for 3s, others may take it"));
    node.faults(&[]);
    assert_eq!(run.done(), FAILED);
    nothing_is_left(&node, 1);
    // At the end it is left to expire.
    let run = node.start(node.create_by_lease(1, LONG)).holds();
    node.faults(&[("replaceLease", ALWAYS, Fault::Refuse(REFUSED))]);
    run.let_go();
    let (code, stderr) = run.end();
    assert!(code == FAILED && stderr.contains("could not be released, and expires"), "{stderr}");
}

#[test]
fn what_is_missing_is_a_precondition_with_its_remedy() {
    let refused = |node: &Node, words: &[&str]| {
        let (code, stderr) = node.start(node.create_by_lease(1, LONG)).end();
        assert_eq!(code, PRECONDITION, "{stderr}");
        let failure = stderr.lines().find(|line| line.contains("remedy=")).unwrap_or_default();
        assert!(words.iter().all(|word| failure.contains(word)), "{stderr}");
        assert!(node.started().is_empty());
    };
    let node = Node::of_leases();
    for call in ["listLease", "createLease"] {
        node.faults(&[(call, ALWAYS, Fault::Refuse(FORBIDDEN))]);
        refused(&node, &["list, create, update and delete of leases", "namespace backup-ns-locks", "docs/locks.md"]);
        refused(&node, &["cluster.locks.enabled=true"]);
    }
    node.faults(&[]);
    node.api().delete(NAMESPACES, LOCKS_NAMESPACE, &json!({})).unwrap();
    refused(&node, &["namespaces \"backup-ns-locks\" not found", "kubectl create namespace backup-ns-locks"]);
    refused(&node, &["cluster.locks.enabled=true", "docs/locks.md"]);
}

/// What cannot be made before it waits is no reason to wait; and what cannot be taken away at the end, none to fail.
#[test]
fn a_place_in_the_queue_that_cannot_be_left_is_told_of() {
    let node = Node::of_leases();
    let first = node.start(node.create_by_lease(1, LONG)).holds();
    let second = node.start(node.create_by_lease(1, LONG)).queues();
    node.faults(&[("deleteLease", ALWAYS, Fault::Refuse(FORBIDDEN))]);
    assert_eq!(first.done(), FAILED);
    let second = second.holds();
    let told = second.stderr();
    assert!(told.contains("a place in the queue was left behind") && told.contains("remedy="), "{told}");
    // It is not waited for, as long as its owner is at work.
    let third = node.start(node.create_by_lease(2, LONG)).holds();
    assert_eq!(node.calls(third.pid()), ["listLease", "createLease"]);
    assert_eq!([second.done(), third.done()], [FAILED; 2]);
}

fn scenario(args: &[&str]) -> Scenario {
    let scenario = Scenario::new().args_also(args).args_also(&["--lock=lease", "--lock-node=n1", "--flock-count=2"]);
    Api::new(&scenario.dir().join("leases")).put(NAMESPACES, json!({"metadata": {"name": LOCKS_NAMESPACE}}));
    scenario
}

#[test]
fn a_backup_takes_its_lock_first_and_lets_go_last() {
    let scenario = scenario(&[]);
    let done = scenario.run().exits(0).says(&["Lease backup-ns-n1-1 in backup-ns-locks after"]);
    let kinds = done.kinds().join(" ");
    assert!(kinds.starts_with("config listLease createLease observe "), "{kinds}");
    assert!(kinds.ends_with(" watch replaceLease event") && done.count("config") == 1, "{kinds}");
    done.clean().holds_new().snapshots(1);
}

#[test]
fn a_dry_run_says_which_lease_would_be_taken_and_takes_none() {
    let scenario = scenario(&["--dry-run"]);
    let done = scenario.run().exits(0).prints(&[
        "1. Take one of 2 Leases, backup-ns-n1-1 to 2, in backup-ns-locks, waiting up to 1h, and renew it until the end",
        "get --raw '/apis/coordination.k8s.io/v1/namespaces/backup-ns-locks/leases?labelSelector=backup-ns.sh%2Flock-node%3Dn1'",
    ]);
    assert!(done.kinds().iter().all(|kind| !kind.ends_with("Lease")), "{done}");
}

/// What `doctor` says of the locks, and how it ends.
#[test]
fn doctor_finds_what_a_backup_would_lack_to_take_a_lease() {
    let of_locks = |scenario: &Scenario| -> Value {
        let outcome = scenario.run();
        let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let check = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "locks").unwrap().clone();
        assert_eq!(outcome.code, Some(if check["outcome"] == "failed" { 4 } else { 0 }), "{outcome}");
        assert!(outcome.count("createLease") == 0 && outcome.count("rules") == 2, "{outcome}");
        check
    };
    let doctor = || {
        scenario(&[])
            .args(&["doctor", "-o", "json", "--lock=lease", "--lock-node=n1", "--flock-count=2"])
            .env("BAK_RETRY_TIMEOUT", "1s")
    };
    let fails = |scenario: &Scenario, words: &str| {
        let check = of_locks(scenario);
        let has = |field: &str, words: &str| check[field].as_str().unwrap().contains(words);
        assert!(check["outcome"] == "failed" && has("what", words), "{words}: {check}");
        assert!(has("remedy", "cluster.locks.enabled=true") && has("remedy", "docs/locks.md"), "{check}");
    };
    let sound = doctor();
    let check = of_locks(&sound);
    assert_eq!(check["outcome"], "passed", "{check}");
    assert!(Api::of(&sound.dir().join("leases")).unwrap().keys(LEASES).is_empty(), "it made one");
    for verb in ["list", "create", "update", "delete"] {
        let words = format!("may not {verb} leases in backup-ns-locks");
        fails(&doctor().file("forbidden", &format!("leases {verb}")), &words);
    }
    // A list in a namespace that is not there is merely empty.
    let nowhere = doctor().args_also(&["--lock-namespace=nowhere"]);
    fails(&nowhere, "namespaces \"nowhere\" not found");
    // Where the API could not be asked, trying shows it.
    let blind =
        doctor().fault("rules", ALWAYS, Fault::Refuse(FORBIDDEN)).fault("review", ALWAYS, Fault::Refuse(FORBIDDEN));
    fails(&blind.fault("tryLease", ALWAYS, Fault::Refuse(FORBIDDEN)), "is forbidden");
    const NO_DRY_RUN: &str = "Error from server (BadRequest): admission webhook \"w\" does not support dry run";
    assert_eq!(of_locks(&doctor().fault("tryLease", ALWAYS, Fault::Refuse(NO_DRY_RUN)))["outcome"], "passed");
}

#[test]
fn leases_of_a_namespace_that_is_not_there_are_not_free() {
    let locks = || scenario(&[]).args(&["locks", "--lock=lease", "--lock-node=n1", "--flock-count=2"]);
    let words = ["namespaces \"nowhere\" not found", "kubectl create namespace nowhere", "docs/locks.md"];
    locks().args_also(&["--lock-namespace=nowhere"]).run().exits(4).says(&words);
    locks().run().exits(0).calls("config listLease tryLease");
}

#[test]
fn who_may_only_look_is_told_of_the_locks() {
    let args = ["locks", "--lock=lease", "--lock-node=n1"];
    scenario(&[]).args(&args).fault("tryLease", ALWAYS, Fault::Refuse(FORBIDDEN)).run().exits(0).prints(&["free"]);
}

#[test]
fn leases_without_a_node_are_no_configuration() {
    let scenario = Scenario::new().args_also(&["--lock=lease"]);
    let done = scenario.run().exits(2).says(&["BAK_LOCK_NODE", "spec.nodeName"]);
    assert!(done.calls.is_empty(), "{done}");
}

#[test]
fn a_lock_that_is_renewed_is_never_taken_by_one_who_came_later() {
    let node = Node::of_leases();
    let first = node.start(node.create_by_lease(1, BRIEF)).holds();
    // A process with another idea of how long a Lease lasts goes by what the Lease says.
    let second = node.start(node.create_by_lease(1, LONG)).queues();
    let renewals = || node.calls(first.pid()).iter().filter(|call| *call == "replaceLease").count();
    poll("renewals for two Leases' time", || renewals() > 6);
    assert!(!second.has_started());
    first.kill();
    assert_eq!(second.holds().done(), FAILED);
}

#[test]
fn who_holds_which_lease_and_how_many_wait_is_told() {
    let node = Node::of_leases();
    let told = |format: &str| -> Vec<u8> {
        // The same locks, only looked at.
        let create = node.create_by_lease(2, LONG);
        let mut locks = node.command(&[PROGRAM, "locks", "--context=prod", "-o", format]);
        locks.envs(create.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let output = locks.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let listed = || -> Value { serde_json::from_slice(&told("json")).unwrap() };
    let text = String::from_utf8(told("text")).unwrap();
    assert!(text.starts_with("Leases of the node n1 in the namespace backup-ns-locks\nLOCK "), "{text}");
    let nobody = listed();
    let free = |number: u32| json!({"lock": format!("backup-ns-n1-{number}"), "held": false});
    assert_eq!((&nobody["locks"], &nobody["waiting"]), (&json!([free(1), free(2)]), &json!(0)));
    let first = node.start(node.create_by_lease(2, LONG)).holds();
    let second = node.start(node.create_by_lease(2, LONG)).holds();
    let third = node.start(node.create_by_lease(2, LONG));
    poll("the third waits", || listed()["waiting"] == 1);
    let told = listed();
    for (number, run) in [&first, &second].into_iter().enumerate() {
        let seen = &told["locks"][number];
        assert!(seen["holder"].as_str().unwrap().ends_with(&format!("(process {})", run.pid())), "{told}");
        assert!(seen["since"].is_string() && seen["held"] == true, "{told}");
    }
    assert_eq!((&told["kind"], &told["place"]), (&json!("lease"), &json!(LOCKS_NAMESPACE)));
    first.done();
    third.holds().done();
    second.done();
}
