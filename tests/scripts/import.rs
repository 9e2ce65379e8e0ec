//! The scripts of an import, with real restic and rclone: what a repository holds comes back as it was sent, and each fault of a
//! repository is named as what it is.

use std::fs;
use std::io::Read;
use std::process::Command;

use super::export::{COMMAND, Pod, RCLONE, RESTIC, Running, Said, assert_ends_with_its_tool};
use super::{SHELLS, ok, sha256};

pub const IMPORT: &str = concat!(
    include_str!("../../src/container/scratch.sh"),
    include_str!("../../src/container/repository.sh"),
    include_str!("../../src/container/import.sh")
);

/// A shell that is not the one of the tests that run all three.
const SHELL: &[&str] = &["busybox", "sh"];

/// A copy as a manifest has it: name, restic snapshot, bytes, SHA-256, and what it becomes.
type Wanted = [String; 5];

fn start(pod: &Pod, shell: &[&str], tool: &str, mode: &str, copies: &[Wanted]) -> Running {
    fs::remove_dir_all(pod.path("scratch")).unwrap();
    fs::create_dir_all(pod.path("scratch")).unwrap();
    fs::create_dir_all(pod.path("target")).unwrap();
    let path = |name: &str| pod.path(name).display().to_string();
    let mut values = vec!["n1".into(), path("target"), path("scratch"), path("secret"), "far:deep".into()];
    values.extend(["cat \"$STORE/$EXPORT_NAME\"".into(), mode.into(), copies.len().to_string()]);
    values.extend(copies.iter().flatten().cloned());
    pod.run(shell, &format!("{tool}{IMPORT}"), &values)
}

fn import(pod: &Pod, shell: &[&str], tool: &str, mode: &str, copies: &[Wanted]) -> Said {
    let mut running = start(pod, shell, tool, mode, copies);
    let lines = running.until(&["end", "copy-bad", "lost"]);
    drop(running.stdin.take());
    let mut stderr = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    running.child.wait().unwrap();
    Said { lines, stderr }
}

/// What an export sent, as an import asks for it: the files and the manifest.
fn sent(said: &Said, names: &[&str]) -> Vec<Wanted> {
    assert_eq!(said.end(), "end good", "{said:?}");
    let copy = |name: &str, words: &[&str]| {
        let [bytes, sum, id] = words[..] else { panic!("{words:?}") };
        let id = if id == "-" { "" } else { id };
        [name, id, bytes, sum, name.rsplit('/').next().unwrap()].map(String::from)
    };
    let mut copies = Vec::new();
    for (line, name) in said.of("sent").iter().zip(names) {
        copies.push(copy(name, &line.split(' ').collect::<Vec<_>>()[2..]));
    }
    copies.push(copy(names.last().unwrap(), &said.of("manifest")[0].split(' ').collect::<Vec<_>>()));
    copies
}

const OF_RESTIC: [&str; 3] = ["/shop/data/dump.sql", "/shop/data/dump.sql.globals.sql", "/shop/data/manifest.json"];
const OF_OTHERS: [&str; 3] =
    ["shop/data/data-1/dump.sql.gz", "shop/data/data-1/dump.sql.globals.sql", "shop/data/data-1/manifest.json"];

/// Checks that each copy is in the target, and is what it was.
fn assert_fetched(pod: &Pod, said: &Said, copies: &[Wanted], context: &str) {
    assert_eq!(said.end(), "end good", "{context}: {said:?}");
    assert_eq!(said.of("fetched").len(), copies.len(), "{context}");
    for [.., sum, place] in copies {
        assert_eq!(&sha256(&pod.path("target").join(place)), sum, "{context} {place}");
    }
    fs::remove_dir_all(pod.path("target")).unwrap();
}

#[test]
#[ignore = "needs restic: make test"]
fn what_restic_has_is_listed_read_and_fetched_under_every_shell() {
    let pod = Pod::restic();
    let nothing = import(&pod, SHELL, RESTIC, "list", &[]);
    assert_eq!((nothing.end(), nothing.of("copy").len()), ("end good", 0), "{nothing:?}");
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    // One of other files in the same repository.
    ok(pod.tool("restic").args(["backup", "-q"]).arg(pod.path("volume/sub")));
    for shell in SHELLS {
        let listed = import(&pod, shell, RESTIC, "list", &[]);
        assert_eq!(listed.end(), "end good", "{shell:?} {listed:?}");
        let found = listed.of("copy");
        assert_eq!(found.len(), 2, "{shell:?} one for each manifest: {listed:?}");
        let found: Vec<serde_json::Value> = found.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(found.iter().all(|it| it["paths"] == serde_json::json!([OF_RESTIC[2]])), "{shell:?}");
        assert!(found.iter().any(|it| it["id"].as_str().unwrap().starts_with(&copies[2][1])), "{shell:?}");

        let read = import(&pod, shell, RESTIC, "read", &copies[2..]);
        assert_eq!(read.of("text"), ["{\"version\": 1, \"odd\": \"'$HOME\\n\"}"], "{shell:?} {read:?}");
        assert_eq!(read.of("read"), [format!("0 {} {}", copies[2][2], copies[2][3])], "{shell:?} {read:?}");

        let fetched = import(&pod, shell, RESTIC, "fetch", &copies);
        assert_fetched(&pod, &fetched, &copies, &format!("{shell:?}"));
        assert_eq!(fs::read_dir(pod.path("far/locks")).unwrap().count(), 0);
    }
}

#[test]
#[ignore = "needs rclone: make test"]
fn what_rclone_and_commands_have_is_fetched_under_every_shell() {
    let pod = Pod::rclone();
    let store = pod.path("store").display().to_string();
    let pod = pod.env("STORE", &store);
    let nothing = import(&pod, SHELL, RCLONE, "list", &[]);
    assert_eq!((nothing.end(), nothing.of("copy").len()), ("end good", 0), "{nothing:?}");
    for tool in [RCLONE, COMMAND] {
        let copies = sent(&pod.export(SHELL, tool), &OF_OTHERS);
        for shell in SHELLS {
            let read = import(&pod, shell, tool, "read", &copies[2..]);
            assert_eq!(read.of("read").len(), 1, "{shell:?} {read:?}");
            let fetched = import(&pod, shell, tool, "fetch", &copies);
            assert_fetched(&pod, &fetched, &copies, &format!("{shell:?}"));
            let listed = import(&pod, shell, tool, "list", &[]);
            if tool == COMMAND {
                assert!(listed.end().starts_with("lost other "), "{listed:?}");
            } else {
                let found = listed.of("copy");
                assert_eq!(found.len(), 1, "{listed:?}");
                assert!(found[0].ends_with(&format!(";{}", OF_OTHERS[2])), "{found:?}");
            }
        }
    }
}

/// Exports, damages the repository, and imports again.
fn after(fault: &str, script: &str, mode: &str) -> (Pod, Said) {
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    ok(Command::new("sh").args(["-euc", script]).current_dir(pod.path("far")));
    let chosen = if mode == "read" { &copies[2..] } else { &copies[..] };
    let said = import(&pod, SHELL, RESTIC, mode, chosen);
    assert!(said.of("fetched").is_empty(), "{fault}: {said:?}");
    (pod, said)
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn a_copy_that_was_damaged_is_bad() {
    // restic reads again and again for half a minute what it cannot read.
    std::thread::scope(|scope| {
        for (fault, script) in [
            (
                "changed",
                "for it in data/*/*; do chmod u+w $it; printf x | dd of=$it bs=1 seek=9 conv=notrunc status=none; done",
            ),
            ("cut", "for it in data/*/*; do chmod u+w $it; truncate -s 1000 $it; done"),
            ("lost", "rm -f data/*/*"),
            ("without its index", "rm -f index/*"),
            ("without the snapshot", "rm -f snapshots/*"),
        ] {
            scope.spawn(move || {
                let (_, said) = after(fault, script, "fetch");
                assert!(said.end().starts_with("copy-bad "), "{fault}: {said:?}");
            });
        }
    });
    let (_, said) = after("lost", "rm -f data/*/*", "read");
    assert_eq!((said.end(), said.of("unread").len()), ("end good", 1), "a list goes on: {said:?}");

    for (fault, script) in [
        ("cut", "truncate -s -1 dump.sql.gz"),
        ("changed", "printf x | dd of=dump.sql.gz bs=1 seek=9 conv=notrunc status=none"),
        ("lost", "rm dump.sql.gz"),
    ] {
        let pod = Pod::rclone();
        let copies = sent(&pod.export(SHELL, RCLONE), &OF_OTHERS);
        ok(Command::new("sh").args(["-euc", script]).current_dir(pod.path("far/deep/shop/data/data-1")));
        let said = import(&pod, SHELL, RCLONE, "fetch", &copies);
        assert!(said.end().starts_with("copy-bad "), "{fault}: {said:?}");
        assert_eq!(said.of("fetched").len(), 0, "{fault}");
    }
    // A manifest of another size or hash than what comes.
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    for (field, value) in [(2, "5"), (3, &*"0".repeat(64))] {
        let mut other = copies[0].clone();
        other[field] = value.into();
        let said = import(&pod, SHELL, RESTIC, "fetch", &[other]);
        assert!(said.end().starts_with("copy-bad ") && said.end().contains("manifest"), "{said:?}");
    }
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn what_keeps_a_repository_from_being_read_is_named() {
    let kind = |pod: &Pod, tool| {
        let said = import(pod, SHELL, tool, "list", &[]);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
        said.end().split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    let pod = Pod::restic();
    sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    let pod = pod.secret("RESTIC_PASSWORD", "another");
    assert_eq!(kind(&pod, RESTIC), "lost password");
    let pod = Pod::restic();
    fs::remove_dir_all(pod.path("far")).unwrap();
    assert_eq!(kind(&pod, RESTIC), "lost repository");
    let pod = Pod::restic().secret("RESTIC_REPOSITORY", "rest:http://127.0.0.1:1/x/");
    assert_eq!(kind(&pod, RESTIC), "lost away");
    assert_eq!(kind(&Pod::new().env("RCLONE_CONFIG_OTHER_TYPE", "local"), RCLONE), "lost repository");
    // The server goes away while a copy is read: that says nothing about the copy.
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    let pod = pod.program("restic", "case \" $* \" in *' dump '*) echo 'Get \"http://far\": dial tcp: connection refused' >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"");
    let said = import(&pod, SHELL, RESTIC, "fetch", &copies);
    assert!(said.end().starts_with("lost away "), "{said:?}");
    // One that cleans up begins while a copy is read.
    let pod = pod.program("restic", "case \" $* \" in *' dump '*) echo 'unable to create lock in backend: repository is already locked exclusively by PID 7 on far' >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"");
    let said = import(&pod, SHELL, RESTIC, "fetch", &copies);
    assert!(said.end().starts_with("lost locked "), "{said:?}");
    // One that has begun.
    let pod = pod.program("restic", "case \" $* \" in *' cat '*) echo 'unable to create lock in backend: repository is already locked exclusively by PID 7 on far' >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"");
    assert_eq!(kind(&pod, RESTIC), "lost locked");
    // A storage that takes no files, not even a lock.
    let pod = pod.program("restic", "case \" $* \" in *' --no-lock '*) exec \"$REAL\" \"$@\" ;; esac; echo 'Fatal: unable to create lock in backend: 403 Forbidden' >&2; exit 1");
    let said = import(&pod, SHELL, RESTIC, "fetch", &copies);
    assert_fetched(&pod, &said, &copies, "without locks");
}

/// A file system in memory at `target`, as long as this lives.
struct Small<'a>(&'a Pod);

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("target")).status();
    }
}

#[test]
#[ignore = "needs restic and root: make test"]
fn a_volume_without_room_is_no_bad_copy() {
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    fs::create_dir_all(pod.path("target")).unwrap();
    ok(Command::new("mount").args(["-t", "tmpfs", "-o", "size=100k", "tmpfs"]).arg(pod.path("target")));
    let small = Small(&pod);
    let said = import(&pod, SHELL, RESTIC, "fetch", &copies);
    assert!(said.end().starts_with("lost target "), "{said:?}");
    drop(small);
}

#[test]
#[ignore = "needs restic: make test"]
fn a_file_that_cannot_be_written_is_no_bad_copy_and_does_not_hang() {
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    for shell in SHELLS {
        fs::create_dir_all(pod.path("target/dump.sql")).unwrap();
        let said = import(&pod, shell, RESTIC, "fetch", &copies);
        assert!(said.end().starts_with("lost user "), "{shell:?} {said:?}");
    }
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn a_whole_volume_comes_back_under_every_shell() {
    for shell in SHELLS {
        for (tool, name) in [(RESTIC, "/shop/data/volume"), (RCLONE, "shop/data/data-1/volume")] {
            let mut pod = if tool == RESTIC { Pod::restic() } else { Pod::rclone() };
            pod.what = "volume";
            fs::write(pod.path("volume/sub/with 'odd' $name"), "x").unwrap();
            let said = pod.export(shell, tool);
            assert_eq!(said.end(), "end good", "{said:?}");
            let words: Vec<&str> = said.of("volume")[0].split(' ').collect();
            let id = if words[2] == "-" { "" } else { words[2] };
            let wanted = [name, id, words[1], words[0], ""].map(String::from);
            let said = import(&pod, shell, tool, "volume", std::slice::from_ref(&wanted));
            assert_eq!(said.end(), "end good", "{shell:?} {said:?}");
            ok(Command::new("diff").arg("-r").arg(pod.path("volume")).arg(pod.path("target")));
            fs::remove_dir_all(pod.path("target")).unwrap();
            let mut more = wanted;
            more[3] = "9".into();
            let said = import(&pod, shell, tool, "volume", &[more]);
            assert_eq!(said.end(), "copy-bad the copy has 3 files, its manifest says 9", "{shell:?} {said:?}");
        }
    }
}

#[test]
#[ignore = "needs restic: make test"]
fn a_session_that_ends_ends_the_tool_and_leaves_no_lock() {
    let pod = Pod::restic();
    let copies = sent(&pod.export(SHELL, RESTIC), &OF_RESTIC);
    let pod = pod.program("openssl", "exit 1").program("sha256sum", "sleep 60; exec \"$REAL\"");
    for shell in SHELLS {
        let mut running = start(&pod, shell, RESTIC, "fetch", &copies);
        while !running.until(&["step"]).last().unwrap().ends_with("fetch") {}
        assert_ends_with_its_tool(&pod, running, &format!("{shell:?}"));
    }
}
