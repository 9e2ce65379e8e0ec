//! The real binary on a real cluster with real CSI snapshots. `make test` brings the cluster up and runs these; they take
//! turns, because some of them stop parts of the cluster.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod by_hand;
mod chart;
mod databases;
mod doctor;
mod export;
mod export_faults;
mod external;
mod groups;
mod import;
mod kit;
mod locks;
mod migration;
mod monitoring;
mod objects;
mod prune;
mod rebind;
mod recovery;
#[path = "../remote/mod.rs"]
mod remote;
mod remotes;
mod restore;
mod runs;
mod servers;
mod status;
mod verify;

use std::sync::atomic::{AtomicBool, Ordering};

use kit::*;
use serde_json::{Value, json};

const TABLES: [&str; 5] = [
    "SELECT count(*), md5(string_agg(c::text, '|' ORDER BY id)) FROM customers c",
    "SELECT count(*), md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o",
    r#"SELECT count(*), md5(string_agg(coalesce("a column", '<null>'), '|' ORDER BY "select")) FROM "odd; schema"."Ta""ble $1 'é'""#,
    "SELECT md5(lo_get(424242))",
    "SELECT count(*), sum(cents), spent_by(7) FROM spent",
];

/// Sets a flag when it goes.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn dump_annotation(tenant: &Tenant, snapshot: &str) -> Value {
    let object = tenant.get(&["volumesnapshot", snapshot]);
    serde_json::from_str(object["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].as_str().unwrap()).unwrap()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_restored_snapshot_holds_the_database_as_it_was_while_a_writer_kept_writing() {
    let tenant = Tenant::demo("restore");
    tenant.sql("CREATE TABLE journal (n bigint PRIMARY KEY)");
    let stop = AtomicBool::new(false);
    let (before, summary, after) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // One short transaction after the other; a prefix of them is what a dump may hold.
            let mut next = 1;
            while !stop.load(Ordering::SeqCst) {
                let numbers: String =
                    (next..next + 50).map(|n| format!("INSERT INTO journal VALUES ({n});\n")).collect();
                tenant.sql(&numbers);
                next += 50;
            }
        });
        // The writer ends even if what follows fails.
        let _stop = Stop(&stop);
        let count = || tenant.sql("SELECT count(*) FROM journal").parse::<u64>().unwrap();
        until("the writer writes", 30, || (count() > 0).then_some(()));
        let before = count();
        let summary = tenant.backup(&[]);
        let after = count();
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        (before, summary, after)
    });
    assert!(after > before, "the writer kept writing");

    let snapshot = summary["volumeSnapshot"].as_str().unwrap();
    tenant.scratch(snapshot);
    let proof = dump_annotation(&tenant, snapshot);
    let file = format!("/restored/{}", proof["pathInVolume"].as_str().unwrap());
    let (_, sum) = tenant.scratch_sh(&format!("sha256sum {file} | cut -d ' ' -f 1"));
    assert_eq!(sum, proof["sha256"].as_str().unwrap(), "the snapshot holds the very file that was proven");
    let psql = "PGPASSWORD=x psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1";
    let (loaded, said) = tenant.scratch_sh(&format!("gzip -dc {file} | {psql}"));
    assert!(loaded, "{said}");
    let ask = |statement: &str| {
        let args = ["-n", &tenant.namespace, "exec", "-i", "scratch", "--", "sh", "-c", psql];
        let output = kubectl_with(&args, statement);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    for table in TABLES {
        assert_eq!(ask(table), tenant.sql(table), "{table}");
    }
    let journal = ask("SELECT count(*), coalesce(max(n), 0) FROM journal");
    let (count, max) = journal.split_once('|').unwrap();
    assert_eq!(count, max, "a prefix of the writer's transactions, none missing in between");
    let count: u64 = count.parse().unwrap();
    assert!((before..=after).contains(&count), "{before} <= {count} <= {after}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn without_the_flush_the_snapshot_would_not_hold_the_dump() {
    // A `sync` that does nothing comes before the real one in PATH. That this backup is a lie shows that the storage
    // tells flushed from unflushed, and so that the test above would notice a missing flush.
    let tenant = Tenant::small("noflush", 256, |deployment| {
        let pod = &mut deployment["spec"]["template"]["spec"];
        let container = &mut pod["containers"][0];
        container["env"].as_array_mut().unwrap().push(json!({"name": "PATH", "value":
            "/fake:/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}));
        container["volumeMounts"].as_array_mut().unwrap().push(json!({"name": "fake", "mountPath": "/fake"}));
        container["lifecycle"] = json!({"postStart": {"exec": {"command":
            ["/bin/sh", "-c", "ln -sf /bin/true /fake/sync"]}}});
        pod["volumes"].as_array_mut().unwrap().push(json!({"name": "fake", "emptyDir": {}}));
    });
    assert_eq!(tenant.sh("command -v sync"), "/fake/sync");
    let summary = tenant.backup(&[]);
    let snapshot = summary["volumeSnapshot"].as_str().unwrap();
    tenant.scratch(snapshot);
    let (_, sum) = tenant.scratch_sh("sha256sum /restored/dump.sql.gz | cut -d ' ' -f 1");
    assert_ne!(sum, summary["dumps"]["postgres"]["sha256"].as_str().unwrap(), "the storage flushed by itself");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_kubelet_that_dies_during_the_dump_makes_no_backup() {
    alone();
    if !is_local() {
        return;
    }
    let tenant = Tenant::small("kubelet", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();
    let gate = tenant.gate();
    // Over SPDY kubectl exits 0 when the kubelet dies under it.
    let backup = tenant.create_with(&[], |command| {
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false");
    });
    tenant.await_dump();
    let kubelet = Started("kubelet");
    component("stop", "kubelet");
    let done = backup.done();
    drop(kubelet);
    done.assert(6, &["before its last line", "last good dump is untouched"]);
    until("exec works again", 60, || (tenant.sh("echo yes") == "yes").then_some(()));
    // Where the container's stdin stays open without an end, the session misses its heartbeats and ends by itself.
    tenant.assert_clean_within(75, &old);
    assert_eq!(tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().len(), 1);
    drop(gate);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_full_disk_leaves_the_old_dump() {
    let tenant = Tenant::small("full", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();
    // 20 MB that do not compress, locked until the disk is full.
    tenant.sql(
        "INSERT INTO gate SELECT 1; CREATE TABLE noise AS SELECT md5(random()::text) t FROM generate_series(1, 400000)",
    );
    let gate = tenant.gate();
    let backup = tenant.create(&["--threshold-space-used-percentage=100"]);
    tenant.await_dump();
    tenant.sh("cd /var/lib/postgresql/data && n=$(df -P -k . | tail -n 1 | tr -s ' ' | cut -d ' ' -f 4) && fallocate -l $((n - 2000))K filler");
    drop(gate);
    backup.done().assert(6, &["No space left on device", "enlarge the PVC"]);
    tenant.assert_clean(&old);
    tenant.sh("rm /var/lib/postgresql/data/filler");
    tenant.backup(&["--threshold-space-used-percentage=100"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_pod_deleted_during_the_dump_makes_no_backup() {
    let tenant = Tenant::small("podgone", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();
    let gate = tenant.gate();
    let backup = tenant.create(&[]);
    tenant.await_dump();
    tenant.kubectl(&["delete", "pod", &tenant.pod(), "--wait=false"]);
    backup.done().assert(6, &["last good dump is untouched"]);
    drop(gate);
    tenant.await_ready();
    assert_eq!(tenant.sum(), old);
    // What the killed container left does not stand in the way of the next backup, and is swept by it.
    tenant.backup(&["--busy-timeout=60s"]);
    assert_eq!(tenant.traces(), "");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn nothing_runs_on_when_backup_ns_is_ended() {
    let tenant = Tenant::small("signals", 256, |_| ());
    let old = tenant.backup(&[])["dumps"]["postgres"]["sha256"].as_str().unwrap().to_string();
    // Over WebSocket the container's stdin ends; over SPDY its shell is killed.
    let cases = [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)];
    for ((name, code), websockets) in cases.into_iter().flat_map(|case| [(case, "true"), (case, "false")]) {
        let gate = tenant.gate();
        let backup = tenant.create_with(&[], |command| {
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        });
        tenant.await_dump();
        backup.signal(name);
        let done = backup.done();
        assert_eq!(done.status.code(), code, "{name}: {}", done.stderr);
        tenant.assert_clean(&old);
        drop(gate);
    }
    tenant.backup(&[]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn an_api_server_that_restarts_during_the_wait_is_waited_for() {
    alone();
    if !is_local() {
        return;
    }
    let tenant = Tenant::small("api", 256, |_| ());
    let class = Class::new("late", &json!({"ready-after": "8s"}));
    let limits = ["--retry-timeout=60s", "--vs-wait-until-ready-timeout=120s"];
    let mut backup = tenant.create(&[&[format!("--vs-class-name={}", class.0).as_str()], &limits[..]].concat());
    backup.until_says("step=\"snapshot\"");
    component("stop", "kube-apiserver");
    std::thread::sleep(std::time::Duration::from_secs(3));
    component("start", "kube-apiserver");
    let done = backup.done();
    done.assert(0, &["watching on"]);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(summary["ready"], true);
    assert_eq!(tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().len(), 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_snapshot_that_never_becomes_ready_is_a_failure_with_its_reason() {
    let tenant = Tenant::small("never", 256, |_| ());
    let failing = Class::new("failing", &json!({"fail": "the array is on fire"}));
    let timeout = "--vs-wait-until-ready-timeout=6s";
    let done = tenant.create(&[&format!("--vs-class-name={}", failing.0), timeout]).done();
    done.assert(7, &["the snapshot has an error, waiting on", "the array is on fire", "was not cut within 6s"]);
    // A class that is not there is known before a dump is made.
    for more in [&["--dry-run"][..], &[]] {
        let done = tenant.create(&[&["--vs-class-name=no-such-class"], more].concat()).done();
        done.assert(4, &["there is no VolumeSnapshotClass 'no-such-class'", "kubectl get volumesnapshotclasses"]);
    }
    assert_eq!((tenant.snapshots().len(), tenant.traces().as_str()), (1, ""));
    let slow = Class::new("slow", &json!({"ready-after": "10m"}));
    let slow = format!("--vs-class-name={}", slow.0);
    tenant.create(&[&slow, timeout]).done().assert(7, &["was not ready within 6s"]);
    let summary = tenant.backup(&[&slow, timeout, "--vs-wait-until-ready=false"]);
    assert_eq!(summary["ready"], false);
    assert_eq!(tenant.traces(), "", "the dump's lock is let go");
    // A snapshot without a class has the snapshot controller hold its claim for ever, and the namespace with it.
    tenant.kubectl(&["delete", "volumesnapshots", "--all"]);
    tenant.kubectl(&["patch", "pvc", "data", "--type=merge", "-p", r#"{"metadata": {"finalizers": null}}"#]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn slots_go_to_the_first_ready_snapshot_of_the_day() {
    let tenant = Tenant::small("slots", 256, |_| ());
    let failing = Class::new("noslot", &json!({"fail": "no"}));
    let retain = "--label-vs-retain=daily_weekly_monthly";
    let class = format!("--vs-class-name={}", failing.0);
    tenant.create(&[retain, &class, "--vs-wait-until-ready-timeout=5s"]).done().assert(7, &[]);
    let slots = |summary: &Value| {
        let labels = summary["labels"].as_object().unwrap();
        labels.keys().filter(|key| ["daily", "weekly", "monthly"].iter().any(|slot| key.ends_with(slot))).count()
    };
    assert_eq!(slots(&tenant.backup(&[retain])), 3, "a failed snapshot holds no slot");
    assert_eq!(slots(&tenant.backup(&[retain])), 0, "a ready one does");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_password_is_in_no_process_list_and_two_backups_do_not_mix() {
    let tenant = Tenant::small("secret", 256, |_| ());
    let gate = tenant.gate();
    // The same password as a literal of ours, as a CronJob's Secret would bring it.
    let backup = tenant.create_with(&["-v"], |command| {
        command.env("BAK_DB_POSTGRES_PASSWORD", "hunter2 '$HOME");
    });
    tenant.await_dump();
    let inside = tenant.sh("ps -eo args");
    assert!(inside.contains("pg_dump --no-password") && !inside.contains("hunter2"), "{inside}");
    let outside = command_lines();
    assert!(outside.contains("kubectl") && !outside.contains("hunter2"));

    // Meanwhile another one: it says who is at work.
    let done = tenant.create(&[]).done();
    done.assert(5, &["another backup of this volume is at work", &format!("process {}", backup.0.id())]);
    // Or waits, if it may.
    let mut patient = tenant.create(&["--busy-timeout=120s"]);
    patient.until_says("waiting for another backup");
    drop(gate);
    let (first, second) = (backup.done(), patient.done());
    first.assert(0, &[]);
    second.assert(0, &[]);
    assert!(!format!("{}{}", first.stderr, first.stdout).contains("hunter2"));
    let objects = tenant.get(&["volumesnapshots"]).to_string();
    assert!(objects.contains("env-config") && !objects.contains("hunter2"));
    let (first, second): (Value, Value) =
        (serde_json::from_str(&first.stdout).unwrap(), serde_json::from_str(&second.stdout).unwrap());
    assert_ne!(first["volumeSnapshot"], second["volumeSnapshot"]);
    assert_eq!(tenant.sum(), second["dumps"]["postgres"]["sha256"].as_str().unwrap());
}

#[test]
#[ignore = "needs a cluster: make test"]
fn what_is_missing_is_said_before_anything_happens() {
    let tenant = Tenant::small("missing", 256, |_| ());
    for (args, words) in [
        (&["--pvc-name=nope"][..], &["no PVC 'nope'", "it has data"][..]),
        (&["--db-postgres-exec-resource=sts/nope"], &["no statefulset/nope"]),
        (&["--db-postgres-exec-container=nope"], &["no container 'nope' (it has postgres)"]),
        (&["--db-postgres-dump-file=/tmp/dump.sql.gz"], &["does not lie on the PVC 'data'"]),
        (&["--db-postgres-dump-file=/nope/dump.sql.gz"], &["/nope/ does not exist"]),
        (&["--db-postgres-user=nobody"], &["does not answer", "nobody"]),
        (&["--db-postgres-port=1"], &["does not answer", "refused"]),
        (&["--threshold-space-used-percentage=1"], &["threshold is 1 %"]),
    ] {
        tenant.create(args).done().assert(4, words);
    }
    assert_eq!(tenant.traces(), "");
    assert_eq!(tenant.sum(), "");
    assert!(tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().is_empty());
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_volume_restored_from_a_snapshot_can_be_backed_up_itself() {
    // The snapshot was cut while the dump's lock was held, so the restored volume holds the lock of a session elsewhere.
    let tenant = Tenant::small("again", 256, |_| ());
    let summary = tenant.backup(&[]);
    let snapshot = summary["volumeSnapshot"].as_str().unwrap();
    // When the claim was made is known by the second, and the lock must be older.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let mut deployment = tenant.get(&["deployment", "app-base"]);
    let labels = json!({"app": "restored"});
    deployment["metadata"] = json!({"name": "restored"});
    deployment["spec"]["selector"]["matchLabels"] = labels.clone();
    deployment["spec"]["template"]["metadata"]["labels"] = labels;
    deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = json!("restored");
    let items = json!([tenant.claim("restored", "256Mi", Some(snapshot)), deployment]);
    apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    tenant.kubectl(&["rollout", "status", "deployment/restored", "--timeout=120s"]);
    let done = tenant.create(&["--pvc-name=restored", "--db-postgres-exec-resource=deployment/restored"]).done();
    assert!(done.status.success() && !done.stderr.contains("whether its holder still lives"), "{}", done.stderr);
    let again: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(again["pvc"], "restored");
    assert_eq!(again["dumps"]["postgres"]["database"], "app");
}
