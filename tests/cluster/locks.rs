//! The node's locks as Leases, between namespaces of a real cluster.

use serde_json::{Value, json};

use crate::kit::*;

/// Where the Leases of a test are.
struct Locks(Tenant);

impl Locks {
    fn new(name: &str) -> Locks {
        Locks(Tenant::empty(name))
    }

    /// The arguments by which `create` takes the one lock of a node that is these tests' own.
    fn args<'a>(&self, lasts: &'a str, more: &[&'a str]) -> Vec<String> {
        let namespace = format!("--lock-namespace={}", self.0.namespace);
        let own = ["--lock=lease", "--lock-node=n1", "--flock-count=1", &namespace, "--lock-lease-duration", lasts];
        own.iter().chain(more).map(ToString::to_string).collect()
    }

    fn create(&self, tenant: &Tenant, lasts: &str, more: &[&str]) -> Backup {
        let args = self.args(lasts, more);
        tenant.create(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The lock: who holds it, and how often that changed. No process waits.
    fn lock(&self) -> (String, u64) {
        let leases = self.0.get(&["leases"]);
        let items = leases["items"].as_array().unwrap();
        assert!(items.len() == 1 && items[0]["metadata"]["name"] == "backup-ns-n1-1", "{leases:#}");
        let spec = &items[0]["spec"];
        (spec["holderIdentity"].as_str().unwrap_or_default().to_string(), spec["leaseTransitions"].as_u64().unwrap())
    }
}

/// Nothing is held, and so many held it in all.
#[track_caller]
fn free_after(locks: &Locks, holders: u64) {
    assert_eq!(locks.lock(), (String::new(), holders - 1));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn two_namespaces_of_a_node_take_turns_by_lease() {
    let locks = Locks::new("turns-locks");
    let (first, second) = (Tenant::small("turns-a", 256, |_| ()), Tenant::volume("turns-b"));
    let gate = first.gate();
    let ours = locks.create(&first, "15s", &[]);
    first.await_dump();
    let mut theirs = locks.create(&second, "15s", &["--db-skip"]);
    theirs.until_says(&format!("waiting for one of 1 locks, 0 wait before: backup-ns-n1-1 by {}", holder(&ours)));
    // A run that is not to wait says the same.
    let impatient = locks.create(&second, "15s", &["--db-skip", "--flock-timeout-sec=0"]).done();
    impatient.assert(5, &["no lock within 0s: all 1 Leases, backup-ns-n1-1,", &holder(&ours)]);
    assert_eq!(second.snapshots().len(), 0);
    drop(gate);
    ours.done().assert(0, &["step=\"lock\""]);
    theirs.done().assert(0, &["step=\"lock\""]);
    assert_eq!([first.snapshots().len(), second.snapshots().len()], [1, 1]);
    free_after(&locks, 2);
    // And without contention.
    locks.create(&second, "15s", &["--db-skip"]).done().assert(0, &[]);
    free_after(&locks, 3);
}

/// How a backup names itself.
fn holder(backup: &Backup) -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    let user = user.ok().filter(|user| !user.is_empty()).map(|user| format!("{user}@")).unwrap_or_default();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    format!("{user}{} (process {})", host.trim(), backup.0.id())
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_lease_of_a_killed_backup_is_taken_over() {
    let locks = Locks::new("killed-locks");
    let (first, second) = (Tenant::small("killed-a", 256, |_| ()), Tenant::volume("killed-b"));
    let _gate = first.gate();
    let ours = locks.create(&first, "6s", &[]);
    first.await_dump();
    let mut theirs = locks.create(&second, "6s", &["--db-skip"]);
    theirs.until_says("waiting for one of 1 locks");
    ours.signal("KILL");
    assert_eq!(ours.done().status.code(), None);
    theirs.done().assert(0, &["step=\"lock\""]);
    free_after(&locks, 2);
    // One that is ended by a signal lets go itself.
    let mut ours = locks.create(&first, "1h", &["--busy-timeout=60s"]);
    ours.until_says("step=\"lock\"");
    ours.signal("TERM");
    assert_eq!(ours.done().status.code(), Some(143));
    free_after(&locks, 3);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_role_of_the_leases_is_enough_and_not_too_much() {
    let locks = Locks::new("role-locks");
    let tenant = Tenant::volume("role-lease");
    let document = std::fs::read_to_string(root().join("docs/locks.md")).unwrap();
    let block = document.split("```yaml\n").find(|block| block.contains("kind: Role")).unwrap();
    let role = block.split("```").next().unwrap().split("---\n").find(|part| part.contains("kind: Role")).unwrap();
    let role = role.replace("namespace: backup-ns-locks", &format!("namespace: {}", locks.0.namespace));
    let applied = kubectl_with(&["apply", "-f", "-"], &role);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    locks.0.kubectl(&["create", "rolebinding", "shop", "--role=backup-ns-locks", "--user=somebody"]);
    tenant.kubectl(&["create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=somebody"]);
    let config = kubeconfig_as("somebody");
    // Held by one who is gone, so that all there is to do is done: it queues, takes over, and leaves the queue.
    let held = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "backup-ns-n1-1", "labels": {"backup-ns.sh/lock-node": "n1"}},
        "spec": {"holderIdentity": "somebody gone", "leaseDurationSeconds": 3, "leaseTransitions": 0},
    });
    let create = || {
        apply(&locks.0.namespace, &held);
        let args = locks.args("3s", &["--db-skip"]);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        tenant.create_with(&args, |command| _ = command.env("KUBECONFIG", config.path())).done()
    };
    let doctor = || {
        let args = locks.args("3s", &["--db-skip"]);
        let args: Vec<&str> = ["doctor"].into_iter().chain(args.iter().map(String::as_str)).collect();
        let done = tenant.run(&args, |command| _ = command.env("KUBECONFIG", config.path())).done();
        let told: Value = serde_json::from_str(&done.stdout).unwrap();
        let check = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "locks").unwrap();
        format!("{}: {}", check["outcome"].as_str().unwrap(), check["what"].as_str().unwrap())
    };
    assert!(doctor().starts_with("passed"), "{}", doctor());
    create().assert(0, &["step=\"lock\""]);
    free_after(&locks, 2);
    let whole = locks.0.get(&["role", "backup-ns-locks"]);
    for verb in whole["rules"][0]["verbs"].as_array().unwrap() {
        let mut less = whole.clone();
        less["metadata"] = json!({"name": "backup-ns-locks"});
        less["rules"][0]["verbs"].as_array_mut().unwrap().retain(|other| other != verb);
        apply(&locks.0.namespace, &less);
        let asked = ["auth", "can-i", verb.as_str().unwrap(), "leases", "--as=somebody", "-n", &locks.0.namespace];
        until("the API has heard of it", 30, || kubectl_with(&asked, "").stdout.starts_with(b"no").then_some(()));
        let cannot = format!("cannot {} resource \"leases\"", verb.as_str().unwrap());
        let found = doctor();
        let expected = format!("may not {} leases in {}", verb.as_str().unwrap(), locks.0.namespace);
        assert!(found.starts_with("failed") && found.contains(&expected), "{found}");
        let done = create();
        let said = done.stderr.replace('\\', "");
        assert!(said.contains(&cannot) && said.contains("docs/locks.md has both"), "{verb}: {said}");
        // A backup that has its lock does not fail for what it leaves in the queue.
        assert_eq!(done.status.code(), Some(if *verb == "delete" { 0 } else { 4 }), "{said}");
        let tickets = locks.0.get(&["leases"])["items"].as_array().unwrap().len() - 1;
        assert_eq!(tickets, usize::from(*verb == "delete"), "{verb}");
        locks.0.kubectl(&["delete", "leases", "--all"]);
    }
}
