//! `postgres restore --from`: what a file of this machine must be, and what is left in the container if it is not loaded.

use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::*;

/// A whole dump, as pg_dump writes it.
const WHOLE: &str = "--\n-- PostgreSQL database dump\n--\n\nSELECT 'of the file';\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

/// A cluster whose database takes what is loaded: it goes to the file `loaded`.
fn cluster(args: &[&str]) -> Scenario {
    let scenario = Scenario::new().args(&[&["postgres", "restore", "-o", "json"], args].concat());
    let scenario = scenario.tool("awk", r#"exec "$REAL/awk" "$@""#).tool("grep", r#"exec "$REAL/grep" "$@""#);
    scenario.tool(
        "psql",
        r#"case " $* " in *' --command '*) exit 0 ;; esac
        cd "$FAKE_KUBECTL_DIR"
        cat >loaded
        "$REAL/sed" -n "s/^SELECT '\(.*\)';$/\1/p" loaded | tail -n 1"#,
    )
}

/// The bytes as a program packs them.
fn packed(scenario: &Scenario, tool: &str, text: &[u8]) -> Vec<u8> {
    let path = scenario.dir().join("to pack");
    fs::write(&path, text).unwrap();
    let output = Command::new("sh").args(["-c", &format!("{tool} <\"$1\""), "sh"]).arg(path).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Starts it with this file as stdin.
const WITH_STDIN: [&str; 5] =
    ["/usr/bin/env", "--default-signal=HUP,INT,TERM", "/bin/sh", "-c", "exec \"$0\" \"$@\" <\"$INPUT\""];

fn was_loaded(scenario: &Scenario) -> bool {
    scenario.lines("loaded").iter().any(|line| line == "SELECT 'of the file';")
}

#[test]
fn a_file_in_any_format_is_loaded_and_nothing_is_left() {
    for (tool, way) in [("gzip -c", "file"), ("zstd -q -c", "pipe"), ("cat", "file"), ("cat", "pipe")] {
        let from = if way == "file" { "a dump" } else { "-" };
        let scenario = cluster(&["--from", from, "--yes"]).env("INPUT", "a dump");
        let bytes = packed(&scenario, tool, WHOLE.as_bytes());
        fs::write(scenario.dir().join("a dump"), &bytes).unwrap();
        let outcome = scenario.start_under(&WITH_STDIN).finish().exits(0).keeps_old().clean();
        let outcome = outcome.calls("config observe session receive session");
        let said: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(said["from"], from, "{outcome}");
        assert_eq!((&said["bytes"], &said["provenBy"]), (&json!(bytes.len()), &Value::Null), "{outcome}");
        assert!(was_loaded(&scenario), "{tool} {way}: {outcome}");
    }
}

#[test]
fn the_question_names_the_file_and_whether_it_is_proven() {
    let backup = Scenario::new().dump(WHOLE);
    backup.run().exits(0);
    let snapshot = backup.snapshots().remove(0);
    let name = snapshot["metadata"]["name"].as_str().unwrap();
    let ask = |proven: bool, args: &[&str]| {
        let scenario = cluster(&[&["--from", "x.gz"], args].concat()).also(snapshot.clone());
        let bytes = if proven { backup.dump_file() } else { packed(&scenario, "gzip -c", WHOLE.as_bytes()) };
        fs::write(scenario.dir().join("x.gz"), bytes).unwrap();
        scenario
    };
    let none = |scenario: Scenario, texts: &[&str]| {
        let outcome = scenario.run().exits(2).clean().says(texts);
        outcome.calls("config observe session");
        assert!(!was_loaded(&scenario));
    };
    let by = format!("proven by VolumeSnapshot {name}");
    none(ask(true, &[]), &["is overwritten by the file x.gz (", &by, "confirmation is needed"]);
    none(ask(false, &[]), &["the file x.gz (", "last written less than a minute ago, not proven"]);
    let proven = ask(true, &["--yes"]);
    let outcome = proven.run().exits(0).clean();
    let said: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(said["provenBy"], json!(format!("VolumeSnapshot {name}")), "{outcome}");
    // What comes on a pipe cannot be known before, and is not read by a dry run.
    let dry = cluster(&["--from", "-", "--dry-run"]).env("INPUT", "/dev/null");
    let outcome = dry.start_under(&WITH_STDIN).finish().exits(0).calls("config observe session");
    outcome.prints(&["send what comes on stdin to a temporary file", "whole dump"]);
    let pipe = cluster(&["--from", "-"]).env("INPUT", "x").file("x", WHOLE);
    let outcome = pipe.start_under(&WITH_STDIN).finish().exits(2).clean();
    outcome.says(&["by what comes on stdin (of unknown size and age, not proven before it is read)"]);
}

#[test]
fn what_is_no_dump_is_refused_before_the_cluster_is_asked() {
    let scenario = || cluster(&["--from", "x", "--yes"]);
    scenario().run().exits(2).calls("config").says(&["the file x cannot be read: No such file", "name a file"]);
    let folder = scenario();
    fs::create_dir(folder.dir().join("x")).unwrap();
    folder.run().exits(2).calls("config").says(&["the file x cannot be read: Is a directory"]);
    for (text, said, remedy) in [
        ("", "the file x is empty", "name a dump"),
        ("PGDMP\u{1}\u{e}", "is an archive for pg_restore", "pg_restore --clean --if-exists --file=x.sql x, and name"),
        ("BZh91AY", "is compressed with bzip2", "unpack it with bzip2 -dc x >x.sql"),
        ("a\0b", "is neither SQL nor compressed", "name a dump"),
    ] {
        scenario().file("x", text).run().exits(6).calls("config").says(&[said, remedy, "nothing was changed"]);
    }
    let terminal = cluster(&["--from", "-", "--yes"]).env("INPUT", "x").file("x", "");
    terminal.start_under(&WITH_STDIN).finish().exits(6).calls("config").says(&["what comes on stdin is empty"]);
}

#[test]
fn what_turns_out_to_be_no_whole_dump_changes_nothing_and_goes() {
    let whole = |scenario: &Scenario, tool: &str| packed(scenario, tool, WHOLE.as_bytes());
    type Make<'a> = &'a dyn Fn(&Scenario) -> Vec<u8>;
    let cases: [(Make<'_>, &str); 6] = [
        (
            &|it| {
                let all = whole(it, "gzip -c");
                all[..all.len() - 9].to_vec()
            },
            "is broken or was cut off: it does not test whole",
        ),
        (&|it| whole(it, "head -c 90"), "is broken or was cut off: it does not end as a complete dump does"),
        (&|it| packed(it, "gzip -c", b"PGDMP\x01"), "is an archive for pg_restore"),
        (&|it| packed(it, "zstd -q -c", b"-- MariaDB dump 10.19  Distrib\n"), "is a dump of MySQL"),
        (
            &|it| packed(it, "cat", b"--\n-- PostgreSQL database cluster dump\n--\n"),
            "pg_dump --clean --if-exists DATABASE",
        ),
        (&|it| packed(it, "cat", b"DROP TABLE t;\n"), "does not begin as a dump of PostgreSQL does"),
    ];
    for (make, said) in cases {
        for from in ["x", "-"] {
            let scenario = cluster(&["--from", from, "--force"]).env("INPUT", "x");
            fs::write(scenario.dir().join("x"), make(&scenario)).unwrap();
            let outcome = scenario.start_under(&WITH_STDIN).finish().exits(6).clean().keeps_old().says(&[said]);
            outcome.calls("config observe session receive session");
            assert!(!scenario.dir().join("loaded").exists(), "{said}");
        }
    }
}

#[test]
fn a_pipe_that_is_interrupted_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let scenario = cluster(&["--from", "-", "--yes"]).env("INPUT", "pipe");
        let pipe = scenario.dir().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let running = scenario.start_under(&WITH_STDIN);
        let mut writer = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        let text = format!("{WHOLE}{}", "-- x\n".repeat(200));
        writer.write_all(text.as_bytes()).unwrap();
        let running = running.until("receive.1.stdin");
        let received = || {
            let entries = fs::read_dir(scenario.dir().join("data")).unwrap().flatten();
            entries
                .filter(|it| it.file_name().to_string_lossy().ends_with(".from.sql"))
                .map(|it| it.metadata().unwrap().len())
                .sum::<u64>()
        };
        poll("it comes", || received() == text.len() as u64);
        let code = if signal == "INT" { 130 } else { 143 };
        let outcome = running.signal(signal).finish().exits(code).clean().keeps_old();
        outcome.says(&["nothing was loaded"]).calls("config observe session receive");
        assert!(!scenario.dir().join("loaded").exists());
        drop(writer);
    }
}

#[test]
fn a_file_that_does_not_fit_is_not_sent() {
    // 100 KiB are free.
    let df = r#"case $* in *-i*) exec "$REAL/df" "$@" ;; esac
        echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
        echo "/dev/x 1000 900 100 90% /""#;
    let big = format!("{}{WHOLE}", "-- x\n".repeat(30_000));
    let scenario = cluster(&["--from", "x", "--yes"]).tool("df", df).file("x", &big);
    let outcome = scenario.run().exits(4).clean().says(&["the file x does not fit on the volume", "enlarge the PVC"]);
    outcome.calls("config observe session");
    // Of a pipe no more is sent than fits.
    let scenario = cluster(&["--from", "-", "--yes"]).tool("df", df).env("INPUT", "x").file("x", &big);
    let outcome = scenario.start_under(&WITH_STDIN).finish().exits(4).clean();
    outcome.says(&["what comes on stdin does not fit on the volume"]).calls("config observe session receive");
}

#[test]
fn one_table_is_named_as_in_sql_and_planned() {
    let wrong = |args: &[&str], said: &str| {
        cluster(args).run().exits(2).calls("").says(&[said]);
    };
    wrong(&["--table-as", "x"], "--table");
    wrong(&["--replace"], "--table");
    wrong(&["--table", "t", "--as", "other"], "--as names the user that kubectl acts as");
    wrong(&["--table", "a.b.c"], "'a.b.c' has more parts than a schema and a table");
    wrong(&["--table", "\"a"], "lacks the closing \"");
    let planned = |args: &[&str], said: &str| {
        let scenario = cluster(&[&["--from", "x", "--dry-run"], args].concat()).file("x", WHOLE);
        let outcome = scenario.run().exits(0).calls("config observe session").prints(&[said]);
        assert!(outcome.stdin("session").contains("filter_table()"), "{outcome}");
    };
    planned(&["--table", "Shop.Orders"], "Only shop.orders, as shop.orders_restored");
    planned(&["--table", "\"Shop\".o", "--table-as", "\"Old o\""], "Only Shop.o, as Shop.Old o");
    planned(&["--table", "o", "--replace"], "Only public.o, as public.o");
    let asked = cluster(&["--from", "x", "--table", "o", "--replace"]).file("x", WHOLE);
    asked
        .run()
        .exits(2)
        .says(&["the table public.o replaces the table of that name, if there is one, with public.o of the file x"]);
    // The values arrive in the container behind those of the session, and what the dump lacks changes nothing.
    let scenario = cluster(&["--from", "x", "--table", "\"o'\"\"$HOME\"", "--yes"]).file("x", WHOLE);
    let outcome = scenario.run().exits(4).clean().keeps_old();
    outcome.says(&["the dump holds no table public.o'\"$HOME", "the database is as it was"]);
}
