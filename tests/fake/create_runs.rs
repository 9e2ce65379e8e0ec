//! What surrounds the dumps of a backup: both kinds of database or none, hooks, several claims, runs that are tried again,
//! limits of time. With the fake kubectl; what real servers do with it is in tests/cluster.

use crate::support::{ALWAYS, BODY, Event, FORBIDDEN, Fault, ONCE, Outcome, REFUSED, Scenario, TRAILER, each, shells};
use serde_json::{Value, json};

const MYSQL_TEXT: &str =
    "CREATE TABLE t (a int);\n/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n-- Dump completed on 2026-01-02  3:04:05\n";

/// A container with MariaDB's tools, too.
fn with_mysql(scenario: Scenario) -> Scenario {
    let folder = scenario.dir().join("mysql");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("dump.sql.gz").display().to_string();
    scenario
        .file("mysql.text", MYSQL_TEXT)
        .tool("mysql", r#"cat "${1#--defaults-file=}" >"$FAKE_KUBECTL_DIR/mysql.options"; printf 'unsteady\todd\n'"#)
        .tool(
            "mysqldump",
            r#"case $* in --version) echo 'mysqldump  Ver 9.0'; exit ;; '--no-defaults --help') exit ;; esac
            cd "$FAKE_KUBECTL_DIR"; echo "$*" >mysql.argv; cat mysql.text"#,
        )
        .env("BAK_DB_MYSQL", "true")
        .env("BAK_DB_MYSQL_DUMP_FILE", &file)
        .env("BAK_DB_MYSQL_EXEC_CONTAINER", "postgres")
        .env("BAK_DB_MYSQL_DB", "shop")
        .env("BAK_DB_MYSQL_PASSWORD", "p\"w\\ 1")
}

fn skipping() -> Scenario {
    Scenario::new().env("BAK_DB_POSTGRES", "false").arg("--db-skip")
}

fn hooked(scenario: Scenario) -> Scenario {
    let log = scenario.dir().join("hooked").display().to_string();
    let (before, after) = (format!("echo before >>{log}"), format!("echo after >>{log}"));
    scenario.tool("sh", r#"exec /bin/sh "$@""#).env("BAK_HOOK_PRE", &before).env("BAK_HOOK_POST", &after)
}

fn two_claims() -> Scenario {
    let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "other"}, "status": {"phase": "Bound"}});
    let scenario = Scenario::new().also(claim).arg("--pvc-name=data,other");
    let mount = scenario.dir().join("data").display().to_string();
    scenario.object("Pod", |pod| {
        let volume = json!({"name": "w", "persistentVolumeClaim": {"claimName": "other"}});
        pod["spec"]["volumes"].as_array_mut().unwrap().push(volume);
        let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap();
        mounts.push(json!({"name": "w", "mountPath": mount}));
    })
}

fn annotation(snapshot: &Value, key: &str) -> Option<String> {
    Some(snapshot["metadata"]["annotations"][format!("backup-ns.sh/{key}")].as_str()?.to_string())
}

/// What the hooks wrote, once the run is over.
fn hook_log(_: &Outcome<'_>, scenario: &Scenario) -> String {
    scenario.lines("hooked").join(" ")
}

#[test]
fn both_databases_are_proven_before_one_snapshot() {
    let scenario = with_mysql(Scenario::new());
    scenario
        .run()
        .exits(0)
        .calls("config observe session session try second second create watch event")
        .clean()
        .holds_new();
    let snapshot = &scenario.snapshots()[0];
    let proof = |engine: &str| -> Value { serde_json::from_str(&annotation(snapshot, engine).unwrap()).unwrap() };
    assert_eq!(proof("dump-mysql")["database"], "shop");
    assert_eq!(proof("dump-mysql")["tool"], "mysqldump  Ver 9.0");
    assert_ne!(proof("dump-mysql")["sha256"], proof("dump-postgres")["sha256"]);
    let options = scenario.lines("mysql.options").join("\n");
    assert!(options.contains(r#"password="p\"w\\ 1""#) && options.contains("host=127.0.0.1"), "{options}");
    let argv = scenario.lines("mysql.argv").join(" ");
    for option in ["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob", "=utf8mb4", "-- shop"]
    {
        assert!(argv.contains(option), "{option}: {argv}");
    }
    assert!(!argv.contains("p\"w"));
}

/// What the database's user may not see, the dump tools leave out and say nothing.
#[test]
fn what_the_user_may_not_see_is_told_before_the_dump() {
    let mysql = |facts: &str| {
        let script = format!(r#"case "$*" in *'SHOW GRANTS'*) printf '{facts}' ;; esac"#);
        with_mysql(Scenario::new()).tool("mysql", &script)
    };
    let limited = mysql("tables\\t3\\naccount\\tu@%%\\nGRANT SELECT, EVENT ON *.* TO u IDENTIFIED BY hunter2\\n");
    let words = ["the database's user 'u'@'%' lacks TRIGGER", "GRANT TRIGGER ON `shop`.* TO 'u'@'%'"];
    let outcome = limited.run().exits(4).says(&words).clean().keeps_old().snapshots(0);
    assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    limited.args(&["doctor"]).run().exits(4).prints(&["FAILED   database", words[0], words[1]]);
    // Whether there is anything that it does not see cannot be known here: that stops no backup.
    let owner =
        mysql("tables\\t0\\naccount\\tu@%%\\nserver\\t8.4.6\\nGRANT SELECT, TRIGGER, EVENT ON `shop`.* TO u\\n");
    let words = ["may not see stored procedures and functions", "GRANT SHOW_ROUTINE ON *.* TO 'u'@'%'"];
    let none = ["the database shop holds no table", "BAK_DB_MYSQL_DB (--db-mysql-db)"];
    owner.run().exits(0).says(&words).says(&none).clean().snapshots(1);
    let lines = ["skipped  routines", "FAILED   database"];
    owner.args(&["doctor"]).run().exits(4).prints(&words).prints(&none).prints(&lines);
}

#[test]
fn a_privilege_that_was_revoked_for_the_database_is_missed_before_the_dump() {
    let facts = "account\\tu@%%\\nserver\\t9.7.4\\nGRANT SELECT, TRIGGER, EVENT ON *.* TO u\\nGRANT FLUSH_TABLES,SHOW_ROUTINE ON *.* TO u\\n";
    let mysql = |more: &str| {
        let script = format!(r#"case "$*" in *'SHOW GRANTS'*) printf '{facts}{more}' ;; esac"#);
        with_mysql(Scenario::new()).tool("mysql", &script)
    };
    let revoked = mysql("REVOKE TRIGGER ON `shop`.* FROM u\\n");
    let words = ["the database's user 'u'@'%' lacks TRIGGER", "GRANT TRIGGER ON `shop`.* TO 'u'@'%'"];
    revoked.run().exits(4).says(&words).clean().keeps_old().snapshots(0);
    revoked.args(&["doctor"]).run().exits(4).prints(&["FAILED   database", words[0], words[1]]);
    let elsewhere = mysql("REVOKE TRIGGER ON `shops`.* FROM u\\n");
    let outcome = elsewhere.run().exits(0).clean().snapshots(1);
    assert!(!format!("{outcome}").contains("may not see stored procedures"), "{outcome}");
}

#[test]
fn what_a_dump_does_not_hold_exactly_is_named_and_counts() {
    let facts = "tables\\t2\\nleft-out\\tfloat t.weight\\nleft-out\\thistory prices\\n";
    let script = format!(r#"case "$*" in *'SHOW GRANTS'*) printf '{facts}' ;; esac"#);
    let scenario = with_mysql(Scenario::new()).tool("mysql", &script);
    let words = ["six significant digits: t.weight", "history of system-versioned tables is NOT in the dump: prices"];
    scenario.run().exits(0).says(&words).clean().snapshots(1);
    scenario.args(&["doctor"]).run().prints(&words).prints(&["skipped  contents"]);
}

/// What the options of the client and of the dump tool are, by what the tool knows of and where the server is.
#[test]
fn the_tools_are_asked_for_what_they_know() {
    let options = |help: &str, host: &str| {
        let scenario = with_mysql(Scenario::new().env("BAK_DB_MYSQL_HOST", host)).file("mysql.help", help).tool(
            "mysqldump",
            r#"cd "$FAKE_KUBECTL_DIR"
            case $* in --version) echo 'mysqldump  Ver 9.0'; exit ;; '--no-defaults --help') cat mysql.help; exit ;; esac
            echo "$*" >mysql.argv; cat mysql.text"#,
        );
        let scenario = scenario.tool(
            "mysql",
            r#"cat "${1#--defaults-file=}" >"$FAKE_KUBECTL_DIR/mysql.options"; case "$*" in *"'history'"*) echo history ;; esac"#,
        );
        scenario.run().exits(0).clean();
        let read = |name: &str| std::fs::read_to_string(scenario.dir().join(name)).unwrap();
        (read("mysql.options"), read("mysql.argv"))
    };
    let (own, argv) = options("  --set-gtid-purged[=name]\n  --get-server-public-key\n", "127.0.0.1");
    assert!(argv.contains(" --set-gtid-purged=OFF") && argv.contains(" --skip-add-locks"), "{argv}");
    assert!(!argv.contains("history"), "{argv}");
    assert!(
        own.contains("\nloose-get-server-public-key\n[client-mariadb]\nloose-skip-ssl-verify-server-cert"),
        "{own}"
    );
    let (own, argv) = options("  -H, --dump-history\n", "localhost");
    assert!(argv.contains(" --dump-history") && !argv.contains("gtid"), "{argv}");
    assert!(own.contains("[client-mariadb]") && !own.contains("public-key"), "{own}");
    // Another machine's key and certificate are not taken unseen.
    let (own, argv) = options("  --set-gtid-purged[=name]\n  --get-server-public-key\n", "db.example.com");
    assert!(argv.contains("gtid") && !own.contains("public-key") && !own.contains("cert"), "{own}");
    let (own, _) = options("", "/run/mysqld/mysqld.sock");
    assert!(own.contains("host=localhost\nsocket=\"/run/mysqld/mysqld.sock\"\n"), "{own}");
}

#[test]
fn one_database_that_fails_fails_the_backup() {
    let cut = "CREATE TABLE t (a int);\n-- Dump completed on 2026-01-02  3:04:05\n";
    let scenario = with_mysql(Scenario::new()).file("mysql.text", cut);
    scenario.run().exits(6).says(&["does not end as a complete one does"]).clean().snapshots(0);
    assert!(!scenario.dir().join("mysql/dump.sql.gz").exists());
    let scenario = with_mysql(Scenario::new()).tool("mysql", "echo 'Access denied' >&2; exit 1");
    scenario.run().exits(4).says(&["does not answer", "Access denied"]).clean().keeps_old().snapshots(0);
    let scenario = with_mysql(Scenario::new()).without("mysqldump");
    scenario.run().exits(4).says(&["lacks: mysqldump"]).clean().keeps_old().snapshots(0);
}

#[test]
fn tables_that_are_not_held_still_are_named() {
    let scenario = with_mysql(Scenario::new().env("BAK_DB_POSTGRES", "false"));
    scenario
        .run()
        .exits(0)
        .calls("config observe session try second create watch event")
        .says(&["held still: odd"])
        .clean();
}

#[test]
fn without_a_dump_the_volume_is_flushed() {
    let scenario = skipping();
    scenario.run().exits(0).calls("config observe try flush create watch event").clean().keeps_old().snapshots(1);
    assert!(annotation(&scenario.snapshots()[0], "dump-postgres").is_none());
    // What cannot be flushed is reported, and no reason to go without.
    let scenario = skipping().fault("flush", ALWAYS, Fault::Refuse(FORBIDDEN));
    scenario.run().exits(0).says(&["could not flush"]).snapshots(1);
    // No pod mounts it.
    let scenario = skipping().object("Pod", |pod| pod["status"]["phase"] = json!("Pending"));
    scenario.run().exits(0).calls("config observe try create watch event").snapshots(1);
}

#[test]
fn hooks_run_before_the_dump_and_once_the_snapshot_is_cut() {
    let scenario = hooked(Scenario::new());
    let outcome =
        scenario.run().exits(0).calls("config observe session try hook second create watch event").clean().holds_new();
    assert_eq!(hook_log(&outcome, &scenario), "before after");
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!said.contains("echo before") && !outcome.argv("hook").contains("echo"), "{outcome}");
    assert!(!scenario.snapshots()[0].to_string().contains("echo before"));
}

#[test]
fn the_hook_after_runs_whatever_fails() {
    each(&["session", "second", "create", "watch"], |call| {
        let scenario = hooked(Scenario::new()).args_also(&["--retry-timeout=1s", "--vs-wait-until-ready-timeout=2s"]);
        let scenario = scenario.fault(call, ALWAYS, Fault::Refuse(FORBIDDEN));
        let outcome = scenario.run().exits(4).clean();
        // Nothing is run around a backup that never began.
        let expected = if *call == "session" { "" } else { "before after" };
        assert_eq!(hook_log(&outcome, &scenario), expected, "{outcome}");
    });
}

#[test]
fn a_hook_that_fails_counts_unless_it_may() {
    let failing = |which: &str| hooked(Scenario::new()).env(which, "echo oh no >&2; exit 7");
    failing("BAK_HOOK_PRE")
        .run()
        .exits(1)
        .says(&["BAK_HOOK_PRE ended with status 7", "oh no"])
        .clean()
        .keeps_old()
        .snapshots(0);
    failing("BAK_HOOK_POST")
        .run()
        .exits(1)
        .says(&["BAK_HOOK_POST ended with status 7", "the backup itself is done"])
        .clean()
        .snapshots(1);
    for which in ["BAK_HOOK_PRE", "BAK_HOOK_POST"] {
        failing(which)
            .arg("--hook-on-error=continue")
            .run()
            .exits(0)
            .says(&["going on all the same"])
            .clean()
            .snapshots(1);
    }
    let slow = hooked(Scenario::new()).env("BAK_HOOK_PRE", "exec \"$REAL/sleep\" 60").arg("--hook-timeout=1s");
    slow.run().exits(1).says(&["BAK_HOOK_PRE was not done within 1s"]).clean().keeps_old();
}

#[test]
fn a_signal_does_not_keep_the_hook_after_from_running() {
    let scenario = hooked(Scenario::new()).held();
    let outcome = scenario.start().until("dumping").signal("TERM").finish().exits(143).clean().keeps_old();
    assert_eq!(hook_log(&outcome, &scenario), "before after");
}

#[test]
fn several_claims_share_their_run() {
    let scenario = two_claims();
    let outcome = scenario.run().exits(0).clean().holds_new().snapshots(2);
    assert_eq!((outcome.count("create"), outcome.count("flush"), outcome.count("watch")), (2, 1, 2), "{outcome}");
    let snapshots = scenario.snapshots();
    let run = |snapshot: &Value| snapshot["metadata"]["labels"]["backup-ns.sh/run"].as_str().unwrap().to_string();
    assert_eq!(run(&snapshots[0]), run(&snapshots[1]));
    let dumps = snapshots.iter().filter(|snapshot| annotation(snapshot, "dump-postgres").is_some());
    assert_eq!(dumps.count(), 1, "the first claim alone holds the dump");
}

#[test]
fn a_backup_of_several_claims_is_whole_or_none() {
    let scenario = two_claims().fault("create", ONCE, Fault::Refuse(FORBIDDEN));
    let outcome = scenario.run().exits(4).clean().snapshots(1);
    assert_eq!(outcome.count("patch"), 1, "what was made counts for nothing: {outcome}");
    let made = scenario.snapshots()[0]["metadata"]["name"].as_str().unwrap().to_string();
    let words = format!("VolumeSnapshot {made}, made by the same run, is only a part of the backup");
    let outcome = outcome.says(&[&words]);
    assert!(outcome.stdin("event").contains(&words), "the Event says it as well: {outcome}");
    assert!(!outcome.argv("patch").contains("only a part"), "it knows its own name: {outcome}");
    let scenario = two_claims().args_also(&["--retry-timeout=0s"]).fault(
        "create",
        ONCE,
        Fault::Refuse("Error from server (Invalid): no"),
    );
    let outcome = scenario.run().exits(7).clean().snapshots(1);
    assert_eq!(outcome.count("patch"), 1, "what was made counts for nothing: {outcome}");
    two_claims().arg("--vs-name-template=one").run().exits(2).says(&["would have one name"]).lost_nothing();
    Scenario::new().arg("--pvc-name=data,missing").run().exits(4).says(&["no PVC 'missing'"]).lost_nothing();
}

#[test]
fn a_run_that_is_tried_again_adopts_its_snapshot() {
    let scenario = Scenario::new().arg("--run-id=night");
    scenario.run().exits(0).snapshots(1);
    let outcome = scenario.run().exits(0).says(&["an earlier try"]).clean().snapshots(1);
    assert_eq!((outcome.count("create"), outcome.count("second")), (0, 1), "{outcome}");
    // What is on the volume now is not what that snapshot was proven to hold.
    std::fs::write(scenario.dir().join("data/dump.sql.gz"), "another").unwrap();
    scenario.run().exits(0).says(&["was replaced since"]).clean().snapshots(2);
    // Another run has nothing to do with it.
    let scenario = scenario.args(&["create", "--run-id=next"]);
    scenario.run().exits(0).clean().snapshots(3);
}

#[test]
fn a_failed_snapshot_is_not_adopted() {
    let failed = [&[Event::Error("no")][..]];
    let scenario = Scenario::new().args_also(&["--run-id=night", "--vs-wait-until-ready-timeout=2s"]).watches(&failed);
    scenario.run().exits(7).snapshots(1);
    let scenario = scenario.watches(&[&[Event::Cut, Event::Ready]]);
    scenario.run().exits(0).clean().snapshots(2);
}

#[test]
fn all_of_it_ends_when_its_time_is_up() {
    let calls = [("config", 1), ("observe", 1), ("session", 4), ("second", 6), ("create", 7), ("watch", 7)];
    each(&calls, |(call, code)| {
        let scenario = Scenario::new().arg("--timeout=6s").fault(call, ALWAYS, Fault::Hang);
        let outcome = scenario.run().exits(*code).says(&["not done within 6s in all", "BAK_TIMEOUT"]);
        outcome.clean();
    });
}

#[test]
fn a_dump_that_takes_too_long_is_ended_where_it_runs() {
    let scenario = Scenario::new().held().arg("--dump-timeout=2s");
    scenario.run().exits(6).says(&["took longer than 2 s", "BAK_DUMP_TIMEOUT"]).clean().keeps_old().snapshots(0);
    // A database that never answers what it is asked before its dump.
    let scenario = Scenario::new()
        .tool("psql", r#"case "$*" in *by_extension*'fact AS'*) until [ -e "$FAKE_KUBECTL_DIR/go" ]; do "$REAL/sleep" 0.1; done ;; esac"#)
        .arg("--dump-timeout=2s");
    scenario.run().exits(6).says(&["took longer than 2 s", "BAK_DUMP_TIMEOUT"]).clean().keeps_old().snapshots(0);
}

/// The Event that a run left, if it left one.
fn event(outcome: &Outcome) -> Option<Value> {
    let list: Value = (outcome.count("event") > 0).then(|| serde_json::from_str(&outcome.stdin("event")).unwrap())?;
    assert_eq!((outcome.count("event"), list["items"].as_array().unwrap().len()), (1, 1), "{outcome}");
    Some(list["items"][0].clone())
}

#[test]
fn an_event_on_the_claim_tells_how_it_came_out() {
    let with_uid = || Scenario::new().object("PersistentVolumeClaim", |claim| claim["metadata"]["uid"] = json!("u-1"));
    let scenario = with_uid();
    let outcome = scenario.run().exits(0);
    let told = event(&outcome).unwrap();
    assert_eq!((&told["type"], &told["reason"]), (&json!("Normal"), &json!("BackupReady")));
    let name = scenario.snapshots()[0]["metadata"]["name"].as_str().unwrap().to_string();
    assert!(told["message"].as_str().unwrap().starts_with(&format!("VolumeSnapshot {name} is ready")), "{told}");
    let object = &told["involvedObject"];
    assert_eq!(
        [&object["name"], &object["namespace"], &object["uid"]],
        [&json!("data"), &json!("shop"), &json!("u-1")]
    );
    assert_eq!(told["reportingComponent"], "backup-ns.sh");
    let scenario = with_uid().arg("--vs-wait-until-ready=false").watches(&[&[Event::Cut]]);
    assert_eq!(event(&scenario.run().exits(0)).unwrap()["reason"], "BackupCut");

    // One that failed says why, and nothing that is secret.
    let scenario =
        with_uid().env("BAK_DB_POSTGRES_PASSWORD", "hunter2").file("dump.stderr", "FATAL: hunter2 is wrong\n");
    let told = event(&scenario.run().exits(6)).unwrap();
    assert_eq!((&told["type"], &told["reason"]), (&json!("Warning"), &json!("BackupFailed")));
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("**** is wrong") && message.contains("; remedy: "), "{message}");
    assert!(!told.to_string().contains("hunter2"), "{told}");
    // Before anything of the claim was read, it is looked for.
    let full = ["--flock", "--flock-count=1", "--flock-dir=locks", "--flock-timeout-sec=0"];
    let scenario = with_uid().held().args_also(&full);
    let first = scenario.start().until("dumping");
    let late = scenario.run().exits(5).calls("config observe event");
    assert_eq!(event(&late).unwrap()["involvedObject"]["uid"], "u-1");
    first.go_on().finish().exits(0);
    // So is a name that cannot be given, which shows only once its day is known.
    let scenario = with_uid().arg("--vs-name-template={{ .pvcName }}-Nightly");
    let outcome = scenario.run().exits(2).calls("config observe event").lost_nothing();
    let told = event(&outcome).unwrap();
    assert_eq!((&told["reason"], &told["involvedObject"]["uid"]), (&json!("BackupFailed"), &json!("u-1")));
    assert!(told["message"].as_str().unwrap().contains("the name 'data-Nightly' is not valid"), "{told}");
    // A signal is a reason, too.
    let scenario = with_uid().held();
    let told = event(&scenario.start().until("dumping").signal("TERM").finish().exits(143)).unwrap();
    assert!(told["message"].as_str().unwrap().contains("signal 15"), "{told}");
}

/// Whatever fails behind a snapshot that is good, the Event says that it is there.
#[test]
fn an_event_tells_of_a_good_snapshot_and_of_what_failed_behind_it() {
    let post = || hooked(Scenario::new()).env("BAK_HOOK_POST", "exit 7");
    let cut = || post().arg("--vs-wait-until-ready=false").watches(&[&[Event::Cut]]);
    let cases = [
        (post(), "BackupReady", false, "BAK_HOOK_POST ended with status 7; remedy: "),
        (cut(), "BackupCut", false, "BAK_HOOK_POST ended with status 7; remedy: "),
        (Scenario::new(), "BackupReady", true, "the result cannot be written to stdout"),
        (Scenario::new().arg("--run-id=night"), "BackupReady", true, "the result cannot be written to stdout"),
    ];
    let full_disk = ["/bin/sh", "-c", "exec \"$@\" >/dev/full", "sh"];
    each(&cases, |(scenario, reason, full, words)| {
        let running = if *full { scenario.start_under(&full_disk) } else { scenario.start() };
        let told = event(&running.finish().exits(1).clean().snapshots(1)).unwrap();
        assert_eq!((&told["type"], &told["reason"]), (&json!("Warning"), &json!(reason)));
        let (message, name) = (told["message"].as_str().unwrap(), &scenario.snapshots()[0]["metadata"]["name"]);
        let begins = format!("VolumeSnapshot {} is ", name.as_str().unwrap());
        assert!(message.starts_with(&begins) && message.contains(&format!("; but {words}")), "{message}");
    });
    // One that was adopted is as good.
    let again = cases[3].0.start_under(&full_disk).finish().exits(1).says(&["an earlier try"]).snapshots(1);
    assert_eq!(event(&again).unwrap()["reason"], "BackupReady");
    // Where it is not ready, what failed before is not the matter.
    let scenario = post().arg("--vs-wait-until-ready-timeout=2s").watches(&[&[Event::Cut]]);
    let told = event(&scenario.run().exits(7).clean()).unwrap();
    assert_eq!(told["reason"], "BackupFailed");
    assert!(told["message"].as_str().unwrap().contains("was not ready within 2s"), "{told}");
}

/// All users of the namespace may read its events; hooks may hold tokens, and print what they like.
#[test]
fn an_event_has_no_word_of_a_hook_or_of_its_output() {
    let command = "curl -H 'Bearer hunter2' (";
    let hooked = |which: &str, command: &str| {
        // bash quotes the line that it does not understand.
        let shells = shells();
        let sh = shells.iter().find(|words| words[0].ends_with("bash")).unwrap_or(&shells[0]);
        let scenario = Scenario::new().tool("sh", &format!("exec {} \"$@\"", sh.join(" ")));
        scenario.env("BAK_HOOK_PRE", ":").env(which, command)
    };
    let held = "echo hunter2 >&2; : >\"$FAKE_KUBECTL_DIR/hooking\"; exec \"$REAL/sleep\" 60";
    let cut = |code| Fault::CutAfter("beat", code);
    let cases = [
        (hooked("BAK_HOOK_PRE", command), 1, "BAK_HOOK_PRE ended with status 2"),
        (hooked("BAK_HOOK_POST", command), 1, "BAK_HOOK_POST ended with status 2"),
        (hooked("BAK_HOOK_PRE", "echo hunter2; exit 7"), 1, "BAK_HOOK_PRE ended with status 7"),
        (hooked("BAK_HOOK_PRE", held).arg("--hook-timeout=1s"), 1, "BAK_HOOK_PRE was not done within 1s"),
        (hooked("BAK_HOOK_PRE", held).fault("hook", ALWAYS, cut(1)), 1, "ended with status 1"),
        (hooked("BAK_HOOK_PRE", held).fault("hook", ALWAYS, cut(0)), 1, "before its last line"),
        (hooked("BAK_HOOK_PRE", held), 143, "ended by signal 15"),
    ];
    each(&cases, |(scenario, code, words)| {
        let running = scenario.start();
        let running = if *code == 143 { running.until("hooking").signal("TERM") } else { running };
        let outcome = running.finish().exits(*code).clean();
        let told = event(&outcome).unwrap();
        let message = told["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains("hunter2") && !message.contains("curl"), "{told}");
        let failed = outcome.stderr.lines().find(|line| line.contains("failed: ")).unwrap();
        assert!(!failed.contains("hunter2"), "{outcome}");
        if outcome.stderr.contains("ended with status 7") {
            assert!(
                outcome.stderr.contains("said: hunter2") && message.contains("in the log of this run"),
                "{outcome}"
            );
        }
        if message.contains("ended with status 2") {
            // Nor is the line of the command itself in the log, where it says that it cannot be understood.
            assert!(outcome.stderr.contains("syntax error") || outcome.stderr.contains("Syntax error"), "{outcome}");
            assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
        }
    });
}

#[test]
fn an_event_that_cannot_be_left_changes_nothing() {
    for (fault, said) in
        [(Fault::Refuse(FORBIDDEN), ""), (Fault::Refuse(REFUSED), "no Event was left"), (Fault::Print(""), "no Event")]
    {
        let scenario = Scenario::new().fault("event", ALWAYS, fault);
        let outcome = scenario.run().exits(0).says(&[said]).clean().holds_new();
        assert_eq!(outcome.count("event"), 1, "it is tried once: {outcome}");
        // A user who may not is not warned each night.
        assert!(!said.is_empty() || !outcome.stderr.contains("Event"), "{outcome}");
        let scenario = Scenario::new().fault("event", ALWAYS, fault).without("gzip");
        scenario.run().exits(4);
    }
    for args in [&["--events=false"][..], &["--dry-run"]] {
        let outcome = Scenario::new().args_also(args);
        assert_eq!(outcome.run().exits(0).count("event"), 0, "{args:?}");
    }
    // Who has no cluster has nowhere to leave one.
    Scenario::new().config(json!({"current-context": "", "contexts": null})).run().exits(4).calls("config");
}

/// shows: with a kubectl that hangs, a backup that failed says nothing for 15 s, and a person who kills it then never knows why.
#[test]
fn a_failure_is_told_once_and_before_the_event() {
    let failing = || Scenario::new().without("gzip").fault("event", ALWAYS, Fault::Hang);
    let told = |outcome: &Outcome| outcome.stderr.matches("the container lacks: gzip").count();
    let outcome = failing();
    let outcome = outcome.run().exits(4).says(&["no Event was left on the PVC: not done within 5s in all"]);
    assert_eq!(told(&outcome), 1, "{outcome}");
    // Killed while the Event is left.
    let scenario = failing();
    let outcome = scenario.start().until("event.1").signal("KILL").finish();
    assert_eq!((told(&outcome), outcome.killed), (1, Some(9)), "{outcome}");
    // A second signal waits for nothing.
    let scenario = failing().held();
    let scenario = scenario.tool("gzip", "exec \"$REAL/gzip\" \"$@\"");
    let running = scenario.start().until("dumping").signal("TERM").until("event.1").signal("TERM");
    let outcome = running.finish().exits(143).clean();
    assert_eq!(outcome.stderr.matches("failed: ended by signal 15").count(), 1, "{outcome}");
    assert!(!outcome.stderr.contains("no Event"), "{outcome}");
    // All of it has one limit, the look for the claims with it.
    each(&["config", "observe"], |call| {
        let scenario = Scenario::new().args_also(&["--request-timeout=1s", "--retry-timeout=0s"]);
        let scenario = scenario.fault(call, ALWAYS, Fault::Hang);
        let outcome = scenario.run().exits(1);
        assert_eq!(outcome.stderr.contains("no Event was left on the PVC: not done within 5s"), *call == "observe");
        assert_eq!((outcome.stderr.matches("failed: ").count(), outcome.count("event")), (1, 0), "{outcome}");
    });
    let outcome = Scenario::new().arg("--events=false").without("gzip");
    assert_eq!(told(&outcome.run().exits(4)), 1);
}

#[test]
fn every_json_line_says_of_which_run_it_is() {
    let lines = |outcome: &Outcome| -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        outcome.stderr.lines().map(line).collect()
    };
    for (args, code) in [(&[][..], 0), (&["--db-postgres-exec-container=nope"], 4)] {
        let scenario = Scenario::new().arg("--log-format=json").args_also(args);
        let outcome = scenario.run().exits(code);
        let lines = lines(&outcome);
        assert!(
            lines.len() > 1
                && lines.iter().all(|line| line["run"] == lines[0]["run"] && line["try"] == lines[0]["try"]),
            "{outcome}"
        );
        if code == 0 {
            assert_eq!(lines[0]["run"], scenario.snapshots()[0]["metadata"]["labels"]["backup-ns.sh/run"]);
        }
    }
    let scenario = Scenario::new().args_also(&["--log-format=json", "--run-id=tonight"]);
    let outcome = scenario.run().exits(0);
    assert!(lines(&outcome).iter().all(|line| line["run"] == "tonight" && line["try"] != "tonight"), "{outcome}");
    // Before the settings are read there is no run.
    let scenario = Scenario::new().args_also(&["--log-format=json", "--db-postgres-port=0"]);
    assert!(lines(&scenario.run().exits(2)).iter().all(|line| line["try"].is_null() && line["code"] == 2));
}

#[test]
fn a_native_sidecar_is_backed_up_and_flushed_like_any_container() {
    let sidecar = |scenario: Scenario| {
        scenario.object("Pod", |pod| {
            let mut database = pod["spec"]["containers"].as_array_mut().unwrap().remove(0);
            database["restartPolicy"] = json!("Always");
            pod["spec"]["initContainers"] = json!([{"name": "prepare"}, database]);
            pod["spec"]["containers"] = json!([{"name": "app"}]);
        })
    };
    let scenario = sidecar(Scenario::new());
    scenario
        .run()
        .exits(0)
        .calls("config observe session try second create watch event")
        .clean()
        .holds_new()
        .snapshots(1);
    let scenario = sidecar(skipping());
    let outcome = scenario.run().exits(0).calls("config observe try flush create watch event").snapshots(1);
    assert!(outcome.argv("flush").contains("-c postgres"), "{outcome}");
}

/// Before it asks, a load says which roles the dump names and the server lacks; with `--globals` it makes those of the proven file.
#[test]
fn a_load_says_which_roles_are_missing_and_makes_the_recorded_ones() {
    let text = format!(
        "ALTER TABLE t OWNER TO app;\nGRANT SELECT ON TABLE t TO gone;\nGRANT SELECT ON TABLE t TO there;\n{BODY}{TRAILER}"
    );
    let backup = |globals: &str| {
        let psql = r#"case "$*" in *pg_authid*) echo yes ;; esac"#;
        let backup = Scenario::new().dump(&text).tool("psql", psql).env("BAK_DB_POSTGRES_GLOBALS", globals);
        backup.run().exits(0);
        backup
    };
    let restore = |backup: &Scenario, args: &[&str]| {
        let psql =
            r#"case "$*" in *" role '"*pg_roles*) n=${*#*SELECT \'} && printf '%s role "there"\n' "${n%% *}" ;; esac"#;
        let scenario =
            Scenario::new().also(backup.snapshots().remove(0)).args(&[&["postgres", "restore"], args].concat());
        for from in backup.globals().iter().chain(&[backup.dump_path()]) {
            std::fs::copy(from, scenario.dir().join("data").join(from.file_name().unwrap())).unwrap();
        }
        // A setting for backups does not matter here.
        let scenario = scenario.without("pg_dumpall").env("BAK_DB_POSTGRES_GLOBALS", "true").tool("psql", psql);
        ["awk", "grep"]
            .into_iter()
            .fold(scenario, |scenario, tool| scenario.tool(tool, &format!("exec \"$REAL/{tool}\" \"$@\"")))
    };
    let good = backup("auto");
    let lacks = "the dump names roles that the server lacks: ";
    let said = format!("{lacks}app, gone; use --globals to make them as they were recorded");
    let scenario = restore(&good, &["--dry-run"]);
    let outcome = scenario.run().exits(0).says(&[&said]);
    assert!(!outcome.stdout.contains("roles are made"), "{outcome}");
    let said = format!("{lacks}gone; make them with CREATE ROLE");
    let scenario = restore(&good, &["--dry-run", "--globals"]);
    let outcome = scenario.run().exits(0).says(&[&said]);
    assert!(outcome.stdout.contains("These roles are made first, with their passwords: app."), "{outcome}");
    for (args, sent) in [(&["--yes", "--globals"][..], true), (&["--yes"], false)] {
        let scenario = restore(&good, args);
        let outcome = scenario.run();
        let name = good.globals()[0].display().to_string();
        let hash = name.rsplit('-').next().unwrap().trim_end_matches(".sql");
        assert_eq!(outcome.stdin("session").contains(&format!("\nload {hash}")), sent, "{outcome}");
    }
    let other = restore(&good, &["--yes", "--globals"]);
    std::fs::write(&other.globals()[0], "CREATE ROLE evil;\n").unwrap();
    other.run().exits(6).says(&["is not there or not as proven", "nothing was loaded"]);
    let without = restore(&backup("false"), &["--yes", "--globals"]);
    without.run().exits(4).says(&["no roles were recorded with this dump", "nothing was loaded"]);
}

#[test]
fn the_file_of_roles_is_downloaded_with_its_dump() {
    let psql = r#"case "$*" in *pg_authid*) echo yes ;; esac"#;
    let backup = |globals: &str| {
        let backup = Scenario::new().tool("psql", psql).env("BAK_DB_POSTGRES_GLOBALS", globals);
        backup.run().exits(0);
        backup
    };
    let good = backup("auto");
    let (from, here) = (good.globals().remove(0), good.dir().join("here"));
    let beside = good.dir().join(from.file_name().unwrap().to_str().unwrap().replace("dump.sql.gz", "here"));
    let here = here.display().to_string();
    let download = |scenario: Scenario, args: &[&str]| {
        scenario.args(&[&["postgres", "download-dump", &here, "-o", "text"], args].concat())
    };
    let alone = download(good, &[]);
    alone.run().exits(0).prints(&["its file of 1 role is not downloaded; --globals downloads it, too"]);
    assert!(!beside.exists());
    let plan = download(alone, &["--globals", "--dry-run"]);
    plan.run().exits(0).prints(&[&format!("rename it to {}", beside.display()), "is that file already"]);
    let both = download(plan, &["--globals"]);
    // Whatever was there with this name is not replaced.
    std::fs::write(&beside, "other").unwrap();
    both.run().exits(1).says(&["is not the file with SHA-256"]);
    std::fs::remove_file(&beside).unwrap();
    let words = [format!("{} holds 1 role, with the hashes of their passwords, as proven", beside.display())];
    both.run().exits(0).prints(&words.each_ref().map(String::as_str));
    assert_eq!(std::fs::read(&beside).unwrap(), std::fs::read(&from).unwrap());
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&beside).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A file that is not the one of the proof is not taken.
    std::fs::remove_file(&beside).unwrap();
    let changed = std::fs::read_to_string(&from).unwrap().to_uppercase();
    std::fs::write(&from, changed).unwrap();
    both.run().exits(1).says(&["SHA-256"]);
    assert!(!beside.exists());
    let without = download(backup("false"), &["--globals"]);
    without.run().exits(4).says(&["no roles were recorded with this dump", "backup-ns postgres dump"]);
}

/// The same for the accounts of a MySQL, which the user may not be allowed to see.
#[test]
fn a_load_says_which_accounts_are_missing_and_makes_the_recorded_ones() {
    let dump = format!(
        "/*!50013 DEFINER=`app`@`%` SQL SECURITY DEFINER */\n\
         CREATE DEFINER=`gone`@`%` PROCEDURE `p`() SELECT 'x\n DEFINER=`no`@`no`' ;;\n{MYSQL_TEXT}"
    );
    let dumping = r#"case "$*" in
        *"'yes' FROM mysql.user"*) echo yes ;;
        *'SELECT version()'*) echo 9.7.4 ;;
        *'WITH RECURSIVE'*) printf "user\t'app'@'%%'\nuser\t'there'@'%%'\n" ;;
        *--execute=*) ;;
        *) while IFS= read -r line; do
            case $line in 'SHOW CREATE USER '*) echo "CREATE USER ${line#SHOW CREATE USER } IDENTIFIED WITH 'x' AS 'hunter2'" ;; esac
        done ;;
        esac"#;
    let backup = |globals: &str| {
        let backup = with_mysql(Scenario::new()).file("mysql.text", &dump).tool("mysql", dumping);
        backup.env("BAK_DB_MYSQL_GLOBALS", globals).env("BAK_DB_POSTGRES", "false")
    };
    let restore = |globals: &str, accounts: &str, args: &[&str]| {
        let scenario = backup(globals);
        scenario.run().exits(0);
        let loading = format!(r#"case "$*" in *'FROM mysql.user'*) printf '%s' '{accounts}' ;; esac"#);
        let scenario = scenario.tool("mysql", &loading).args(&[&["mysql", "restore"], args].concat());
        ["awk", "grep"]
            .into_iter()
            .fold(scenario, |scenario, tool| scenario.tool(tool, &format!("exec \"$REAL/{tool}\" \"$@\"")))
    };
    let there = "`root`@`localhost`\n`there`@`%`\n";
    let lacks = "the dump names accounts that the server lacks: ";
    let scenario = restore("auto", there, &["--dry-run"]);
    let outcome = scenario.run().exits(0).says(&[&format!("{lacks}`app`@`%`, `gone`@`%`; use --globals to make them")]);
    assert!(!outcome.stdout.contains("accounts are"), "{outcome}");
    let scenario = restore("auto", there, &["--dry-run", "--globals"]);
    let outcome = scenario.run().exits(0).says(&[&format!("{lacks}`gone`@`%`; make them with CREATE USER")]);
    let words = "These accounts are made first, with their passwords: `app`@`%`. These accounts are there, and are not changed: \
                 `there`@`%`.";
    assert!(outcome.stdout.contains(words) && !format!("{outcome}").contains("hunter2"), "{outcome}");
    // The file is also read where all of its accounts are there, for grants on what the load makes.
    let all = "`root`@`localhost`\n`app`@`%`\n`there`@`%`\n";
    for (args, sent) in [(&["--yes", "--globals"][..], true), (&["--yes"], false)] {
        let scenario = restore("auto", all, args);
        let outcome = scenario.run();
        assert_eq!(outcome.stdin("session").contains("\nload - "), !sent, "{outcome}");
    }
    // Without the right to see them nothing is known to be missing.
    let unseen = restore("auto", "", &["--dry-run"]);
    let outcome = unseen.run().exits(0);
    assert!(!format!("{outcome}").contains("lacks"), "{outcome}");
    let unseen = restore("auto", "", &["--yes", "--globals"]);
    unseen.run().exits(4).says(&["the user may not see the accounts of the server", "SELECT ON mysql.*"]);
    let without = restore("false", there, &["--yes", "--globals"]);
    without.run().exits(4).says(&["no accounts were recorded with this dump", "nothing was loaded"]);
}

/// The proof of what was dumped outlives a verdict about a restore test, and a person may go by it.
#[test]
fn a_dump_of_a_distrusted_snapshot_is_loaded_by_force_with_a_warning() {
    let backup = Scenario::new();
    backup.run().exits(0);
    let mut distrusted = backup.snapshots().remove(0);
    distrusted["metadata"]["annotations"]["backup-ns.sh/distrusted"] = json!("verify: a table does not hold the rows");
    let restore = |args: &[&str]| {
        let args = [&["postgres", "restore", "--dry-run"], args].concat();
        let scenario = Scenario::new().also(distrusted.clone()).args(&args);
        std::fs::copy(backup.dir().join("data/dump.sql.gz"), scenario.dir().join("data/dump.sql.gz")).unwrap();
        scenario
    };
    let name = distrusted["metadata"]["name"].as_str().unwrap();
    let why = "is distrusted: verify: a table does not hold the rows";
    let remedy = format!("backup-ns trust {name} -n shop takes that back; or say --force");
    restore(&[]).run().exits(6).says(&[why, &remedy]);
    let tools = |scenario: Scenario| scenario.tool("awk", "exit 0").tool("grep", "exit 0");
    tools(restore(&["--force"])).run().exits(0).says(&[why]).prints(&["Load it into the database shop"]);
}

#[test]
fn the_dump_goes_to_the_top_of_the_mount_where_the_default_path_has_no_directory() {
    let default = "/var/lib/postgresql/data/dump.sql.gz";
    let moved = "the container has no /var/lib/postgresql/data, so the dump's path is /var/lib/dump.sql.gz";
    // A setting counts, even if it names the default; a directory that is mounted itself is not asked for.
    for (mount, setting, expected) in
        [("/var/lib", "", true), ("/var/lib", default, false), ("/var/lib/postgresql/data", "", false)]
    {
        let scenario = Scenario::new().arg("--dry-run").env("BAK_DB_POSTGRES_DUMP_FILE", setting);
        let scenario = scenario.object("Pod", |pod| {
            pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!(mount);
        });
        let outcome = scenario.run();
        assert_eq!(outcome.stderr.contains(moved), expected, "{mount} {setting}: {outcome}");
    }
}
