//! Containers, annotations and API servers that mean harm: what they say reaches no terminal as anything but text, and however
//! much they say, it takes a bounded amount of this program's memory.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests fail by panicking")]

mod support;

use serde_json::{Value, json};
use support::{ALWAYS, Event, Fault, Outcome, Scenario, each};

/// What a terminal would obey: it clears the screen, rings, writes over the line, and shows what follows from right to left.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;OWNED\u{7}\r\u{9b}2J\u{202e}\u{2066}done";
const REFUSED: &str =
    "Error from server (Forbidden): \u{1b}[2J\u{7}\r\u{9b}2J\u{202e}\u{2066} is forbidden: User \"x\" cannot";

/// Nothing that was printed is obeyed by a terminal, but for this program's own colours, which end where they began.
#[track_caller]
fn is_harmless(outcome: &Outcome<'_>) {
    for (name, text) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        let colours = ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[36m", "\u{1b}[0m"];
        let text = colours.iter().fold(text.clone(), |text, colour| text.replace(colour, ""));
        let obeyed = |c: char| {
            c.is_control() && !"\n\t".contains(c)
                || "\u{61c}\u{200e}\u{200f}".contains(c)
                || ('\u{2028}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
        };
        let found: Vec<char> = text.chars().filter(|c| obeyed(*c)).collect();
        assert!(found.is_empty(), "{name} holds {found:?}: {:?}", outcome.to_string());
    }
}

/// A scenario in each way of logging and of printing.
fn in_every_way(make: impl Fn() -> Scenario + Sync, test: impl Fn(&Outcome<'_>) + Sync) {
    let ways: Vec<(&str, &str)> = ["plain", "live", "json"]
        .into_iter()
        .flat_map(|log| ["text", "json", "yaml"].map(|output| (log, output)))
        .collect();
    each(&ways, |(log, output)| {
        let scenario = make().args_also(&[&format!("--log-format={log}"), "-o", output]);
        let outcome = scenario.run();
        is_harmless(&outcome);
        if *log == "json" {
            for line in outcome.stderr.lines() {
                serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
            }
        }
        if *output == "json" && !outcome.stdout.is_empty() {
            serde_json::from_str::<Value>(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome}"));
        }
        test(&outcome);
    });
}

/// Invariant 18.
#[test]
fn the_words_of_a_container_are_shown_and_not_obeyed() {
    let say = format!("printf '%s\\n' '{EVIL}' 'Backup of PVC data is done' >&2; exit 1");
    in_every_way(
        || Scenario::new().tool("psql", &say),
        |outcome| {
            assert_eq!(outcome.code, Some(4), "{outcome}");
            assert!(outcome.stderr.contains("[2J"), "it is shown all the same: {outcome}");
            // Nor does it pass for a line of ours.
            assert!(!outcome.stderr.contains("\nBackup of PVC"), "{outcome}");
        },
    );
    let version = format!(
        "case $1 in --version) printf '%s' 'pg_dump 15 {EVIL}';; *) cat \"$FAKE_KUBECTL_DIR/dump.text\";; esac"
    );
    in_every_way(
        || Scenario::new().tool("pg_dump", &version),
        |outcome| {
            assert_eq!(outcome.code, Some(0), "{outcome}");
            assert!(outcome.stdout.contains("pg_dump 15"), "{outcome}");
        },
    );
}

/// Invariant 18.
#[test]
fn the_words_of_the_cluster_are_shown_and_not_obeyed() {
    in_every_way(
        || Scenario::new().watches(&[&[Event::Error(EVIL), Event::Cut, Event::Ready]]),
        |outcome| assert_eq!(outcome.code, Some(0), "{outcome}"),
    );
    in_every_way(
        || Scenario::new().fault("observe", ALWAYS, Fault::Refuse(REFUSED)),
        |outcome| {
            assert_eq!(outcome.code, Some(4), "{outcome}");
            assert!(outcome.stderr.contains("[2J"), "{outcome}");
        },
    );
    let listed = |args: &'static [&'static str]| {
        move || {
            let labels = json!({"backup-ns.sh/type": EVIL, "backup-ns.sh/retain": EVIL, "backup-ns.sh/daily": EVIL});
            let status = json!({"readyToUse": false, "restoreSize": EVIL, "error": {"message": EVIL}});
            let annotation = json!({"backup-ns.sh/distrusted": EVIL, "backup-ns.sh/proof-postgres": EVIL});
            Scenario::new().args(args).snapshot("odd", labels, status).also(json!({
                "kind": "VolumeSnapshot", "spec": {"source": {"persistentVolumeClaimName": EVIL}},
                "metadata": {
                    "namespace": "shop", "name": "other", "creationTimestamp": "2026-01-02T03:04:05Z",
                    "labels": {"backup-ns.sh/type": EVIL}, "annotations": annotation,
                },
                "status": {"readyToUse": true, "creationTime": "2026-01-02T03:04:06Z"},
            }))
        }
    };
    for args in [
        &["list"][..],
        &["status", "-n", "shop"],
        &["doctor"],
        &["restore", "other", "--dry-run", "--pvc=new"],
        &["verify", "other"],
        &["delete", "odd", "--dry-run"],
    ] {
        in_every_way(listed(args), |outcome| assert!(outcome.code.is_some(), "{outcome}"));
    }
}
