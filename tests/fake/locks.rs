//! The node's lock files under pressure: many processes of the real binary, flock(1), other users, and files that are
//! deleted underneath. What happened is in the log of the node's kubectl, see tests/fake/support/node.rs, and by /proc/locks,
//! never by a clock.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::node::{FAILED, Flock, NO_LOCK, Node, PRECONDITION, PROGRAM, Run, flocks};
use crate::support::poll;

/// How many processes there are, and how many locks.
const MANY: usize = 50;
const LOCKS: usize = 3;

fn inode(path: PathBuf) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Time for a mistake to show; nothing that is right depends on it.
fn linger() {
    thread::sleep(Duration::from_millis(200));
}

/// Invariant 12. Every holder holds on until it gets its signal, which comes once all locks are held that can be: one who
/// waited beside a free file would wait for ever.
#[test]
fn fifty_get_three_files_in_their_order() {
    let node = Node::new();
    let start = |nth| {
        let run = node.start(node.create(LOCKS));
        if nth < LOCKS { run.holds() } else { run.waits() }
    };
    let mut runs: Vec<Run<'_>> = (0..MANY).map(start).collect();
    let queue: Vec<u32> = runs.iter().map(Run::pid).collect();
    for turn in 0..MANY {
        let most = LOCKS.min(runs.len());
        poll("as many holders as there are locks", || node.holders(LOCKS).len() == most);
        let holders = node.holders(LOCKS);
        // Now the first of them goes, now another; every fourth is killed.
        let places: Vec<usize> = (0..runs.len()).filter(|nth| holders.contains(&runs[*nth].pid())).collect();
        let run = runs.remove(places[turn % places.len()]);
        if turn % 4 == 3 { run.kill() } else { assert_eq!(run.done(), FAILED) }
    }
    let started = node.started();
    let place = |pid: &u32| started.iter().position(|other| other == pid).unwrap();
    let places: Vec<usize> = queue.iter().map(place).collect();
    for (nth, mine) in places.iter().enumerate() {
        let overtaken = places[nth..].iter().filter(|other| *other < mine).count();
        assert!(overtaken <= 3, "the {nth}th was overtaken by {overtaken}: {places:?}");
    }
    assert_eq!(node.files().len(), LOCKS);
}

/// With flock(1) among them, whose users wait for one file each.
#[test]
fn fifty_at_once_are_never_more_than_three() {
    let node = Node::new();
    fs::write(node.path("go"), "").unwrap();
    let runs: Vec<Run<'_>> = (0..MANY)
        .map(|nth| if nth % 8 == 0 { node.start_flock(nth / 8 % LOCKS + 1) } else { node.start(node.create(LOCKS)) })
        .collect();
    for run in runs {
        assert_eq!(run.end().0, FAILED);
    }
    assert!(node.holders(LOCKS).is_empty());
    assert_eq!(node.started().len(), MANY);
    assert_eq!(node.files().len(), LOCKS);
    for number in 1..=LOCKS {
        assert_eq!(fs::read_to_string(node.lock(number)).unwrap(), "", "a name was left");
    }
}

#[test]
fn one_who_gives_up_leaves_no_trace() {
    let node = Node::new();
    let holder = node.start(node.create(1)).holds();
    let names = fs::read_to_string(node.lock(1)).unwrap();
    assert!(names.contains(&format!("(process {})", holder.pid())), "{names}");
    // The head of the queue is the first of these, and the last to go.
    let waiting = ["INT", "KILL", "TERM", "HUP"].map(|signal| (signal, node.start(node.create(1)).waits()));
    let patient = node.start(node.create(1)).waits();
    let pids = waiting.each_ref().map(|(_, run)| run.pid());
    for ((signal, run), code) in waiting.into_iter().zip([130, -9, 143, 129]).rev() {
        run.signal(signal);
        let (ended, stderr) = run.end();
        assert_eq!(ended, code, "{stderr}");
        assert!(signal == "KILL" || stderr.contains("while waiting for a lock"), "{stderr}");
    }
    assert!(pids.iter().all(|pid| flocks(*pid).is_empty()));
    assert_eq!(node.started(), [holder.pid()]);
    assert_eq!(fs::read_to_string(node.lock(1)).unwrap(), names);
    assert_eq!(node.files(), BTreeSet::from(["1.lock".to_string()]));
    // A killed holder's name stays until the next one's, which takes all of its place.
    fs::write(node.lock(1), names.repeat(2)).unwrap();
    holder.kill();
    let patient = patient.holds();
    let names = fs::read_to_string(node.lock(1)).unwrap();
    assert!(names.lines().count() == 1 && names.contains(&format!("(process {})", patient.pid())), "{names}");
    patient.signal("TERM");
    assert_eq!(patient.end().0, 143);
    assert_eq!(fs::read_to_string(node.lock(1)).unwrap(), "");
}

/// Who holds the deleted file goes on; from then on the name means the new one. That a file is not taken when it is
/// deleted between opening and locking is tried in src/lock/flock.rs.
#[test]
fn a_file_that_was_deleted_or_replaced_locks_nothing_out_or_in() {
    let node = Node::new();
    let first = node.start(node.create(1)).holds();
    fs::remove_file(node.lock(1)).unwrap();
    let second = node.start(node.create(1)).holds();
    second.comes_to(Flock::Holds(inode(node.lock(1))));
    let third = node.start(node.create(1)).waits();
    // Replaced while one waits, by a file that is held already.
    let other = File::create(node.path("other")).unwrap();
    other.lock().unwrap();
    fs::rename(node.path("other"), node.lock(1)).unwrap();
    assert_eq!([first.done(), second.done()], [FAILED; 2]);
    linger();
    assert!(!third.has_started(), "it got a lock that has another holder");
    drop(other);
    let third = third.holds();
    third.comes_to(Flock::Holds(inode(node.lock(1))));
}

/// The queue is at the directory; one that was replaced is left for the new one.
#[test]
fn a_directory_that_was_replaced_is_noticed() {
    let node = Node::new();
    let queue = || node.start(node.command(&["flock", node.path("locks").to_str().unwrap(), "kubectl"])).holds();
    let old = queue();
    let run = node.start(node.create(1)).waits();
    run.comes_to(Flock::WaitsFor(inode(node.path("locks"))));
    fs::rename(node.path("locks"), node.path("old")).unwrap();
    fs::create_dir(node.path("locks")).unwrap();
    let new = queue();
    old.done();
    run.comes_to(Flock::WaitsFor(inode(node.path("locks"))));
    assert!(!run.has_started(), "it did not queue");
    new.done();
    assert_eq!(run.holds().done(), FAILED);
}

#[test]
fn flock_the_program_and_this_one_wait_for_each_other() {
    let node = Node::new();
    let ours = node.start(node.create(1)).holds();
    let refused = node.command(&["flock", "--nonblock", node.lock(1).to_str().unwrap(), "kubectl"]).status().unwrap();
    assert_eq!(refused.code(), Some(1));
    let theirs = node.start_flock(1).waits();
    ours.kill();
    let theirs = theirs.holds();
    let ours = node.start(node.create(1)).waits();
    linger();
    assert!(!ours.has_started(), "flock(1) was not heeded");
    theirs.done();
    let ours = ours.holds();
    let theirs = node.start_flock(1).waits();
    ours.done();
    assert_eq!(theirs.holds().done(), FAILED);
    assert!(node.holders(1).is_empty());
}

/// Words that run a program as the user `nobody`; none, and loudly so, where that cannot be.
fn as_nobody(node: &Node) -> Option<Vec<String>> {
    let program = node.path("backup-ns").display().to_string();
    let words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", &program];
    let tried = node.command(&[&words[..], &["--version"]].concat()).output();
    if tried.is_ok_and(|output| output.status.success()) {
        return Some(words.map(str::to_string).to_vec());
    }
    // stderr of a test is where its reader looks.
    let _ = std::io::stderr().write_all(b"LEFT OUT: only root, with setpriv(1), can try the locks of other users\n");
    None
}

/// Reading is enough for flock(2), so files that another user made can be shared.
#[test]
fn files_of_another_user_can_be_held() {
    let node = Node::open_to_all();
    let Some(words) = as_nobody(&node) else { return };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for number in 1..=LOCKS {
        fs::write(node.lock(number), "").unwrap();
        fs::set_permissions(node.lock(number), Permissions::from_mode(0o444)).unwrap();
    }
    let nobody = |locks| node.start(node.create_as(&words, locks));
    let theirs = [(); LOCKS].map(|()| nobody(LOCKS).holds());
    // They cannot make a further one, and cannot use one that they may not read.
    let refused = || {
        let (code, stderr) = nobody(LOCKS + 1).end();
        assert_eq!(code, PRECONDITION, "{stderr}");
        assert!(stderr.contains("4.lock cannot be used: Permission denied") && stderr.contains("remedy="), "{stderr}");
    };
    refused();
    fs::write(node.lock(4), "").unwrap();
    fs::set_permissions(node.lock(4), Permissions::from_mode(0o600)).unwrap();
    refused();
    let owner = node.start(node.create(LOCKS)).waits();
    let last = nobody(LOCKS).waits();
    let [first, second, third] = theirs;
    assert_eq!(first.done(), FAILED);
    let owner = owner.holds();
    let names = [1, 2, 3].map(|number| fs::read_to_string(node.lock(number)).unwrap()).concat();
    assert!(names.lines().count() == 1 && names.contains(&format!("(process {})", owner.pid())), "{names}");
    second.kill();
    let last = last.holds();
    assert_eq!([third.done(), owner.done(), last.done()], [FAILED; 3]);
    // A directory that can be passed through but not read has no queue.
    fs::set_permissions(node.path("locks"), Permissions::from_mode(0o711)).unwrap();
    let (code, stderr) = nobody(LOCKS).end();
    assert_eq!(code, PRECONDITION, "{stderr}");
    assert!(stderr.contains("locks cannot be used: Permission denied") && stderr.contains("remedy="), "{stderr}");
}

#[test]
fn what_cannot_be_used_is_a_precondition_that_is_named() {
    let node = Node::new();
    symlink("1.lock", node.lock(1)).unwrap();
    let cases = [
        ("missing", "missing does not exist"),
        ("kubectl", "kubectl is no directory"),
        ("kubectl/below", "kubectl/below cannot be used: Not a directory"),
        ("locks", "1.lock cannot be used: it is a symbolic link, not a regular file"),
    ];
    for (dir, what) in cases {
        let mut command = node.create(1);
        command.env("BAK_FLOCK_DIR", node.path(dir));
        let (code, stderr) = node.start(command).end();
        assert_eq!(code, PRECONDITION, "{stderr}");
        assert!(stderr.contains(what) && stderr.contains("remedy="), "{stderr}");
    }
    assert!(node.started().is_empty());
}

/// An open of a named pipe waits for its other end, and any pod with the hostPath may put one there.
#[test]
fn a_named_pipe_holds_nothing_up() {
    let node = Node::new();
    let pipe = node.lock(1);
    assert!(node.command(&["mkfifo", pipe.to_str().unwrap()]).status().unwrap().success());
    let dir = node.path("locks").display().to_string();
    let looks = node.command(&[PROGRAM, "locks", "--flock-count=1", "--flock-dir", &dir]);
    let prepares = node.command(&[PROGRAM, "locks", "--prepare", "--flock-count=1", "--flock-dir", &dir]);
    for command in [node.create(1), looks, prepares] {
        let (code, stderr) = node.start(command).end();
        assert_eq!(code, PRECONDITION, "{stderr}");
        assert!(stderr.contains("1.lock cannot be used: it is a named pipe, not a regular file"), "{stderr}");
    }
    assert!(node.started().is_empty());
}

#[test]
fn who_has_waited_enough_is_told_who_holds_the_locks() {
    let node = Node::new();
    let holders = [1, 2].map(|_| node.start(node.create(2)).holds());
    let names = holders.each_ref().map(|run| format!("(process {})", run.pid()));
    let impatient = |variable: &str, value: &str, what: &str| {
        let mut command = node.create(2);
        command.env(variable, value);
        let (code, stderr) = node.start(command).end();
        assert_eq!(code, NO_LOCK, "{stderr}");
        let failure = stderr.lines().find(|line| line.contains("remedy=")).unwrap_or_default();
        assert!(failure.contains(what) && names.iter().all(|name| failure.contains(name)), "{stderr}");
    };
    let all = || {
        impatient("BAK_FLOCK_TIMEOUT_SEC", "0", "no lock within 0s: all 2 in ");
        impatient("BAK_FLOCK_TIMEOUT_SEC", "1", "no lock within 1s: all 2 in ");
        impatient("BAK_TIMEOUT", "1s", "the time of the whole run is up, still waiting for a lock");
    };
    // As the head of the queue, and behind it.
    all();
    let head = node.start(node.create(2)).waits();
    all();
    let [first, second] = holders;
    first.done();
    assert_eq!(head.holds().done(), FAILED);
    second.done();
    assert_eq!(node.started().len(), 3);
}

/// Invariant 12. The head of the queue may be one who has been stopped, or wants fewer locks.
#[test]
fn no_waiter_leaves_while_a_file_is_free() {
    let node = Node::new();
    let head = node.start(node.command(&["flock", node.path("locks").to_str().unwrap(), "kubectl"])).holds();
    let mut command = node.create(1);
    command.env("BAK_FLOCK_TIMEOUT_SEC", "0");
    assert_eq!(node.start(command).holds().done(), FAILED);
    head.done();
}

/// What `locks` tells of this node.
fn listed(node: &Node) -> Value {
    let mut command = node.command(&[PROGRAM, "locks", "-o", "json", "--flock-count=2"]);
    let output = command.env("BAK_FLOCK_DIR", node.path("locks")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn who_holds_which_file_is_said_without_holding_anything_up() {
    let node = Node::new();
    let nobody = listed(&node);
    assert_eq!(nobody["locks"], json!([{"lock": "1.lock", "held": false}, {"lock": "2.lock", "held": false}]));
    assert!(node.files().is_empty(), "looking makes no file");
    let ours = node.start(node.create(2)).holds();
    let flock = node.start_flock(2).holds();
    let waiting = node.start(node.create(2)).waits();
    // However often the locks are listed, the one who waits gets the next free one.
    for _ in 0..20 {
        let told = listed(&node);
        let [first, second] = [&told["locks"][0], &told["locks"][1]];
        assert!(first["holder"].as_str().unwrap().ends_with(&format!("(process {})", ours.pid())), "{told}");
        assert_eq!((&first["held"], &second["held"], &second["holder"]), (&json!(true), &json!(true), &Value::Null));
        assert!(first["since"].is_string(), "{told}");
    }
    flock.done();
    waiting.holds().done();
    // People are told whose locks they are.
    let mut command = node.command(&[PROGRAM, "locks", "--flock-count=2"]);
    let output = command.env("BAK_FLOCK_DIR", node.path("locks")).output().unwrap();
    let (text, host) = (String::from_utf8(output.stdout).unwrap(), fs::read_to_string("/proc/sys/kernel/hostname"));
    let head = format!("Lock files in {}, as seen on {}", node.path("locks").display(), host.unwrap());
    assert!(text.starts_with(&head) && text.lines().nth(1).unwrap().starts_with("LOCK "), "{text}");
    // A killed holder leaves its name, and holds nothing.
    ours.kill();
    let told = listed(&node);
    assert_eq!(told["locks"][0], json!({"lock": "1.lock", "held": false}));
    let output = node.command(&[PROGRAM, "locks", "--flock-dir=/no/such/place"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
}
