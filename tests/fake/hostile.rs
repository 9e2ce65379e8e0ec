//! Containers, annotations and API servers that mean harm: what they say reaches no terminal as anything but text, and however
//! much they say, it takes a bounded amount of this program's memory.

use crate::support::fake_api::SNAPSHOTS;
use crate::support::{ALWAYS, Event, Fault, Outcome, Scenario, each};
use serde_json::{Value, json};

/// More memory than any run here needs, in MiB, and much less than what floods it.
const ENOUGH: u64 = 64;

/// What a terminal would obey: it clears the screen, rings, writes over the line, and shows what follows from right to left.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;OWNED\u{7}\r\u{9b}2J\u{202e}\u{2066}done";
const TOO_LONG: &str = "Error from server (Timeout): the server was unable to return a response in the time allotted, but may still be processing the request";
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

/// A pg_dump that leaves behind what writes 200 MiB into the session's output, each piece by `$1`, while nothing reads it. Its parent
/// waits in a `sleep`, for which dash gives itself another output, so it takes that of the parent's parent.
fn flooded(how: &str) -> Scenario {
    let dump = format!(
        r#"case " $* " in *' --version '*) echo 'pg_dump (PostgreSQL) 17.6'; exit ;; esac
        cd "$FAKE_KUBECTL_DIR"
        read -r _ _ _ session _ <"/proc/$PPID/stat"
        exec 4>"/proc/$session/fd/1"
        cat dump.text
        {{ "$REAL/sleep" 1; {how} | "$REAL/head" -c 200000000; echo; : >flooded; }} >&4 2>/dev/null </dev/null &
        exit 0"#
    );
    // The snapshot is not cut before all of it was written, or as much as is read of it.
    let wait = Event::Run("tries=0; until [ -e flooded ] || [ $tries = 300 ]; do sleep 0.1; tries=$((tries+1)); done");
    Scenario::new().tool("pg_dump", &dump).watches(&[&[wait, Event::Cut, Event::Ready]])
}

/// Invariant 18.
#[test]
fn a_container_that_floods_its_session_takes_no_memory() {
    // Lines of 1000 bytes, and one that does not end.
    let line = "x".repeat(1000);
    for how in [format!("\"$REAL/yes\" {line}"), format!("\"$REAL/yes\" {line} | tr -d '\\n'")] {
        let scenario = flooded(&how);
        scenario.run().exits(0).fits_in(ENOUGH).says(&["passing over what is no report"]).clean().holds_new();
    }
}

/// Invariant 18. The container knows the nonce.
#[test]
fn a_report_without_end_is_ended() {
    let scenario = Scenario::new().fault("session", ALWAYS, Fault::Flood("mountinfo", 200_000));
    scenario.run().exits(4).fits_in(ENOUGH).says(&["said more than 16 MiB", "find out what"]).lost_nothing();
    let scenario = Scenario::new().fault("second", ALWAYS, Fault::Flood("bytes", 200_000));
    scenario.run().exits(6).fits_in(ENOUGH).says(&["said more than 16 MiB"]);
    // What is not kept may come as often as it likes.
    let scenario = Scenario::new().fault("session", ALWAYS, Fault::Flood("beat", 100_000));
    scenario.run().exits(0).fits_in(ENOUGH).clean().holds_new();
}

/// Invariant 18. So do the words of kubectl and of a policy that refuses.
#[test]
fn of_stderr_the_last_lines_are_kept() {
    let flood = Fault::Run(
        "yes aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa | head -c 200000000; yes | head -c 100000000 | tr -d '\n'",
    );
    let scenario = Scenario::new().fault("observe", ALWAYS, flood).fault("observe", ALWAYS, Fault::Refuse(REFUSED));
    let outcome = scenario.run().exits(4).fits_in(ENOUGH);
    assert!(outcome.stderr.len() < 2 << 20, "{}", outcome.stderr.len());
}

/// A container's SHA-256 becomes a part of a file's name here.
#[test]
fn a_download_writes_nowhere_else() {
    let evil = format!("/../../{}", "x".repeat(57));
    let evil: &'static str = evil.leak();
    for sha256 in [evil, "", "../x", "ZZ"] {
        let scenario = Scenario::new().args(&["postgres", "download-dump", "here/dump"]).fault(
            "session",
            ALWAYS,
            Fault::Rewrite("sha256", sha256),
        );
        // As an attacker may have prepared the way.
        std::fs::create_dir_all(scenario.dir().join("here/dump.")).unwrap();
        scenario.run().exits(1).says(&["cannot be read in pod app-base-0"]);
        let names = |dir: &str| {
            let entries = std::fs::read_dir(scenario.dir().join(dir)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names("here"), ["dump."]);
        assert!(!names(".").iter().any(|name| name.starts_with("xx")), "{:?}", names("."));
    }
}

/// So many snapshots in a namespace, each with so much foreign text in labels and annotations.
fn laden(scenario: &Scenario, number: usize, bytes: usize) {
    let snapshots = (0..number).map(|nth| {
        let mut labels = json!({
            "backup-ns.sh/retain": "daily_weekly_monthly", "backup-ns.sh/pvc": "data", "backup-ns.sh/daily": "2026-01-01",
        });
        let texts = (0..bytes / 2 / 100).map(|nth| (format!("of-somebody-else-{nth:06}"), json!("x".repeat(63))));
        labels.as_object_mut().unwrap().extend(texts);
        let made = format!("2026-01-{:02}T{:02}:{:02}:00Z", 1 + nth / 600, nth / 60 % 24, nth % 60);
        let snapshot = json!({
            "kind": "VolumeSnapshot", "status": {"readyToUse": true, "creationTime": made},
            "metadata": {
                "namespace": "tenant", "name": format!("s-{nth:04}"), "labels": labels, "creationTimestamp": made,
                "annotations": {"note": "y".repeat(bytes / 2)},
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        (snapshot, "")
    });
    scenario.api().cut(snapshots);
}

/// The pruner of the whole cluster reads what any tenant wrote on 500 snapshots in one page of 100 MB.
#[test]
fn memory_follows_what_is_kept_of_a_page() {
    for args in [&["mark-and-delete", "--dry-run"][..], &["sync-metadata-to-vsc", "--dry-run"], &["list", "-A"]] {
        let scenario = Scenario::cluster(args).namespaces(&["tenant"]);
        laden(&scenario, 500, 200 << 10);
        scenario.run().exits(0).fits_in(ENOUGH);
    }
}

/// A namespace is read again before each deletion in it.
#[test]
fn a_deletion_in_a_laden_namespace_takes_no_memory() {
    let scenario = Scenario::cluster(&["mark-and-delete"]).namespaces(&["tenant"]);
    laden(&scenario, 500, 200 << 10);
    let due = json!({"metadata": {"labels": {"backup-ns.sh/delete-after": "2026-01-01"}}});
    scenario.api().merge(SNAPSHOTS, "tenant/s-0000", &due).unwrap();
    scenario.run().exits(0).fits_in(ENOUGH).prints(&["500 snapshots read, 1 changed, 0 left, 0 failed"]);
    assert_eq!(scenario.api().keys(SNAPSHOTS).len(), 499);
}

#[test]
fn a_page_that_is_too_big_is_asked_for_in_smaller_parts() {
    let scenario = Scenario::cluster(&["mark-and-delete", "--dry-run", "-o", "json"])
        .env("BAK_RETRY_TIMEOUT", "30s")
        .namespaces(&["tenant"])
        .fault_about("page", "limit=25000", ALWAYS, Fault::Refuse(TOO_LONG))
        .fault_about("page", "limit=500", ALWAYS, Fault::Refuse(TOO_LONG))
        .fault_about("page", "limit=125", ALWAYS, Fault::Refuse(TOO_LONG));
    laden(&scenario, 100, 100);
    let outcome = scenario.run().exits(0);
    let told: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(told["summary"]["read"], 100, "{outcome}");
    assert_eq!(scenario.api().keys(SNAPSHOTS).len(), 100);
    // 25000, 500 and 125 are refused, 31 and 62 answered, then the rest of 100; the second selector finds none.
    let limits: Vec<String> = outcome
        .calls
        .iter()
        .filter(|call| call["kind"] == "page")
        .map(|call| {
            let path = call["argv"].as_array().unwrap().last().unwrap().as_str().unwrap();
            path.split_once("limit=").unwrap().1.split('&').next().unwrap().to_string()
        })
        .collect();
    assert_eq!(limits[..5], ["25000", "500", "125", "31", "62"], "{limits:?}");
}
