//! The benchmark's arithmetic and counting, without a cluster: it asserts counts, order and words, and no time.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start processes, read the environment, fail by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SHELLS: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "ash"]];

fn program(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs a script after the helpers that the parts share, with two programs that take the place of ours and of the older one.
fn measure(shell: &[&str], base: bool, script: &str) -> (String, String) {
    let desk = tempfile::tempdir().unwrap();
    let at = |name: &str| desk.path().join(name);
    fs::create_dir_all(at("bin")).unwrap();
    fs::create_dir_all(at("target/release")).unwrap();
    program(&at("bin/kubectl"), "exit 0");
    let call = |who: &str, calls: &str| format!("echo {who} $1 >>{}\n{calls}", at("order").display());
    program(&at("older"), &call("base", "kubectl --context=a get x; kubectl -v=1 get y; kubectl version"));
    program(&at("target/release/backup-ns"), &call("ours", "kubectl get x"));
    let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
    let script = format!("set -eu\n. {ROOT}/tests/bin/bench-common.sh\ntrap 'rm -rf \"$work\"' EXIT\n{script}");
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .args(["-c", &script])
        .current_dir(desk.path())
        .env("PATH", path)
        .env("RUNS", "3")
        .env("BASE", if base { at("older") } else { "".into() })
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{shell:?}: {output:?}");
    (String::from_utf8(output.stdout).unwrap(), fs::read_to_string(at("order")).unwrap_or_default())
}

#[test]
fn medians_ratios_and_targets_are_right() {
    for shell in SHELLS {
        let script = "printf '%s\\n' 10.5 9 100 | median; printf '%s\\n' 3 20 1 2 | median; printf '%s\\n' 9 10 8 | most
            ratio 7 2; target speed 2.30 least 2.3; target speed 2.29 least 2.3; target memory 50 most 50; target memory 50.1 most 50";
        let expected = "10.5\n2\n10\n3.50\n  target: speed: 2.30, at least 2.3: met\n  target: speed: 2.29, at least 2.3: missed\n  \
             target: memory: 50, at most 50: met\n  target: memory: 50.1, at most 50: missed\n";
        assert_eq!(measure(shell, false, script).0, expected, "{shell:?}");
    }
}

#[test]
fn ours_and_the_older_one_alternate_and_their_kubectls_are_counted() {
    for shell in SHELLS {
        let script = "beside=echo; pairs 3 'a list' list; faster 2";
        let (printed, order) = measure(shell, true, script);
        assert_eq!(order, "base list\nours list\n".repeat(3), "{shell:?}");
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[..4], ["", "", "", "a list (medians of 3)"], "{shell:?}: {printed}");
        assert!(
            lines[4].starts_with("  base: ") && lines[4].contains(" s, 3 kubectl processes (2 get, 1 version), peak")
        );
        assert!(lines[5].starts_with("  ours: ") && lines[5].contains(" s, 1 kubectl processes (1 get), peak"));
        assert!(lines[6].starts_with("  target: times as fast as base: ") && lines[6].contains(", at least 2: "));

        let (printed, order) = measure(shell, false, script);
        assert_eq!(
            (order.as_str(), printed.matches("base").count()),
            ("ours list\nours list\nours list\n", 0),
            "{shell:?}"
        );
    }
}

/// What is wrong in the call is said before a cluster is made.
#[test]
fn a_wrong_call_ends_at_once() {
    let bench = |name: &str, value: &str| -> Output {
        let script = Path::new(ROOT).join("tests/bin/bench.sh");
        Command::new("sh").arg(script).env(name, value).env("CLUSTER_KIND", "none").output().unwrap()
    };
    for (name, value, message) in [
        ("ONLY", "all", "ONLY=all: must be dump, schemas, table, doctor, prune or export"),
        ("RUNS", "0", "RUNS=0: must be a number from 1"),
        ("RUNS", "five", "RUNS=five: must be a number from 1"),
        ("BASE", "/", "BASE=/: must be the path of a program"),
        ("BASE", "/does/not/exist", "BASE=/does/not/exist: must be the path of a program"),
    ] {
        let output = bench(name, value);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr), (Some(2), format!("bench: error: {message}\n")));
        assert!(output.stdout.is_empty());
    }
}
