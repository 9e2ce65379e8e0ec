//! The scripts of an export, with real restic and rclone: what they say only when the copy came back, and of each fault of a
//! repository.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{BOOTSTRAP, COMMON, END, KEEPALIVE, SHELLS, descendants, escaped, lives, ok, sha256, until};

pub const EXPORT: &str = concat!(
    include_str!("../../src/container/scratch.sh"),
    include_str!("../../src/container/repository.sh"),
    include_str!("../../src/container/export.sh")
);
pub const RESTIC: &str = include_str!("../../src/container/export-restic.sh");
pub const RCLONE: &str = include_str!("../../src/container/export-rclone.sh");
pub const COMMAND: &str = include_str!("../../src/container/export-command.sh");

/// A password that is also in messages of the tool if it is not hidden there.
const PASSWORD: &str = "hunter2 is secret";

/// A volume with dumps, a repository, and the pod's folders.
pub struct Pod {
    dir: tempfile::TempDir,
    /// Path in the volume, compression, and the names in the repository.
    pub files: Vec<[String; 4]>,
    pub what: &'static str,
    pub env: Vec<(String, String)>,
}

/// What a session said: its lines without heartbeats, and its stderr.
#[derive(Debug)]
pub struct Said {
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Said {
    pub fn end(&self) -> &str {
        self.lines.last().map_or("", String::as_str)
    }

    /// The values of the lines with this key.
    pub fn of(&self, key: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).collect()
    }
}

/// A running session.
pub struct Running {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Reads up to a line with one of these keys, and tells the manifest when it is wanted.
    pub fn until(&mut self, keys: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap_or(0) > 0 {
            let text = line.trim_end().strip_prefix("n1 ").expect("every line has the nonce").to_string();
            line.clear();
            let key = text.split(' ').next().unwrap_or_default().to_string();
            if key == "described" {
                let manifest = escaped("{\"version\": 1, \"odd\": \"'$HOME\\n\"}\n");
                writeln!(self.stdin.as_mut().unwrap(), "manifest {manifest}").unwrap();
            }
            if key != "beat" {
                lines.push(text);
            }
            if keys.contains(&key.as_str()) {
                break;
            }
        }
        lines
    }
}

impl Pod {
    pub fn new() -> Pod {
        let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
        for folder in ["volume/sub", "scratch", "secret", "tools", "far"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let text: String = (0..60_000).map(|row| format!("{row}\t{}\n", row * 7919 % 65_537)).collect();
        fs::write(dir.path().join("volume/dump.sql"), text).unwrap();
        ok(Command::new("gzip").arg("-n").arg(dir.path().join("volume/dump.sql")));
        let pod = Pod { dir, files: Vec::new(), what: "dump", env: Vec::new() };
        fs::write(pod.path("volume/dump.globals.sql"), "CREATE ROLE app;\n").unwrap();
        pod.with("dump.sql.gz", "gzip", "dump.sql", "dump.sql.gz").with(
            "dump.globals.sql",
            "plain",
            "dump.sql.globals.sql",
            "dump.sql.globals.sql",
        )
    }

    pub fn with(mut self, path: &str, form: &str, plain: &str, stored: &str) -> Pod {
        self.files.push([path, form, plain, stored].map(String::from));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Pod {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A variable of the Secret, which is also a file.
    pub fn secret(self, name: &str, value: &str) -> Pod {
        fs::write(self.path("secret").join(name), value).unwrap();
        self.env(name, value)
    }

    /// With a restic repository in `far`.
    pub fn restic() -> Pod {
        let pod = Pod::new();
        let far = pod.path("far").display().to_string();
        let pod = pod.secret("RESTIC_PASSWORD", PASSWORD).secret("RESTIC_REPOSITORY", &far);
        ok(pod.tool("restic").args(["init", "-q"]));
        pod
    }

    /// With an rclone remote in `far`.
    pub fn rclone() -> Pod {
        Pod::new().env("RCLONE_CONFIG_FAR_TYPE", "alias").with_remote()
    }

    fn with_remote(self) -> Pod {
        let far = self.path("far").display().to_string();
        self.env("RCLONE_CONFIG_FAR_REMOTE", &far)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The tool, as the tests themselves use it.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.envs(self.env.iter().cloned());
        command
    }

    /// Replaces a program in the pod; `$REAL` is the real one.
    pub fn program(self, name: &str, script: &str) -> Pod {
        let path = self.path("tools").join(name);
        let real = "PATH=${PATH#*:}; REAL=$(command -v \"${0##*/}\")";
        fs::write(&path, format!("#!/bin/sh\n{real}\n{script}\n")).unwrap();
        ok(Command::new("chmod").arg("755").arg(&path));
        self
    }

    fn start(&self, shell: &[&str], tool: &str, sums: &dyn Fn(&Path) -> String) -> Running {
        // What one session leaves in the scratch volume is not there in the next pod.
        fs::remove_dir_all(self.path("scratch")).unwrap();
        fs::create_dir(self.path("scratch")).unwrap();
        let folder = if tool == RESTIC { "/shop/data" } else { "shop/data/data-1" };
        let path = |name: &str| self.path(name).display().to_string();
        let mut values: Vec<String> =
            vec!["n1".into(), path("volume"), path("scratch"), path("secret"), self.what.into(), "shop".into()];
        values.extend(["2026-11-22 12:00:05", "claim=data\ndaily=2026-11-22", "far:deep"].map(String::from));
        values.extend([
            "mkdir -p \"$STORE/${EXPORT_NAME%/*}\" && cat >\"$STORE/$EXPORT_NAME\"".to_string(),
            "cat \"$STORE/$EXPORT_NAME\"".to_string(),
            format!("{folder}/manifest.json"),
            format!("{folder}/volume"),
            self.files.len().to_string(),
        ]);
        for [file, form, plain, stored] in &self.files {
            let at = self.path("volume").join(file);
            let bytes = fs::metadata(&at).map_or(0, |meta| meta.len()).to_string();
            values.extend([file.clone(), bytes, sums(&at), form.clone()]);
            values.extend([format!("{folder}/{plain}"), format!("{folder}/{stored}")]);
        }
        self.run(shell, &format!("{tool}{EXPORT}"), &values)
    }

    /// Starts a script of an export or import with these values.
    pub fn run(&self, shell: &[&str], script: &str, values: &[String]) -> Running {
        let path = |name: &str| self.path(name).display().to_string();
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "300"]).args(shell).args(["-c", BOOTSTRAP]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.envs(self.env.iter().cloned());
        command.env("PATH", format!("{}:{}", path("tools"), std::env::var("PATH").unwrap()));
        let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
        let mut stdin = child.stdin.take().unwrap();
        let values: String = values.iter().map(|value| escaped(value) + "\n").collect();
        stdin.write_all(format!("{COMMON}{script}{END}{values}").as_bytes()).unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdin: Some(stdin), stdout }
    }

    pub fn export(&self, shell: &[&str], tool: &str) -> Said {
        self.export_proven(shell, tool, &sha256)
    }

    /// An export by proofs with these sums.
    fn export_proven(&self, shell: &[&str], tool: &str, sums: &dyn Fn(&Path) -> String) -> Said {
        let mut running = self.start(shell, tool, sums);
        let lines = running.until(&["end", "bad", "copy-bad", "lost"]);
        drop(running.stdin.take());
        let mut stderr = String::new();
        running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        running.child.wait().unwrap();
        // What keeps the pod sees that it is over.
        let keep =
            Command::new(shell[0]).args(&shell[1..]).args(["-c", KEEPALIVE, "keep"]).arg(self.path("scratch")).status();
        assert!(keep.unwrap().success());
        Said { lines, stderr }
    }

    /// The packs of the restic repository.
    pub fn packs(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.path("far/data")).unwrap().flatten() {
            found.extend(fs::read_dir(folder.path()).unwrap().flatten().map(|file| file.path()));
        }
        found.sort();
        found
    }
}

/// A shell that is not the one of the tests that run all three.
const SHELL: &[&str] = &["busybox", "sh"];

#[test]
#[ignore = "needs restic: make test"]
fn restic_gets_plain_text_and_it_comes_back_under_every_shell() {
    for shell in SHELLS {
        let pod = Pod::restic();
        let said = pod.export(shell, RESTIC);
        assert_eq!(said.end(), "end good", "{shell:?} {said:?}");
        let sent = said.of("sent");
        assert_eq!(sent.len(), 2, "{said:?}");
        let words: Vec<&str> = sent[0].split(' ').collect();
        ok(Command::new("gzip").arg("-dk").arg(pod.path("volume/dump.sql.gz")));
        let plain = pod.path("volume/dump.sql");
        let bytes = fs::metadata(&plain).unwrap().len().to_string();
        assert_eq!(words[..4], ["0", "plain", &bytes, &sha256(&plain)], "{shell:?}");
        let read = |id: &str, name: &str| ok(pod.tool("restic").args(["dump", "-q", id, name])).stdout;
        assert_eq!(read(words[4], "/shop/data/dump.sql"), fs::read(&plain).unwrap());
        let id = said.of("manifest")[0].split(' ').next_back().unwrap().to_string();
        assert_eq!(read(&id, "/shop/data/manifest.json"), b"{\"version\": 1, \"odd\": \"'$HOME\\n\"}\n");
        let listed = ok(pod.tool("restic").args(["snapshots", "--json"])).stdout;
        let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 3);
        for snapshot in listed.as_array().unwrap() {
            let mut tags: Vec<&str> =
                snapshot["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
            tags.sort_unstable();
            assert_eq!((snapshot["hostname"].as_str(), tags), (Some("shop"), vec!["claim=data", "daily=2026-11-22"]));
            assert!(snapshot["time"].as_str().unwrap().starts_with("2026-11-22T12:00:05"), "{snapshot}");
        }
        // A second export adds next to nothing, and no lock is left.
        let before: u64 = pod.packs().iter().map(|pack| fs::metadata(pack).unwrap().len()).sum();
        assert_eq!(pod.export(shell, RESTIC).end(), "end good");
        let after: u64 = pod.packs().iter().map(|pack| fs::metadata(pack).unwrap().len()).sum();
        assert!(after - before < 20_000, "{before} {after}");
        assert_eq!(fs::read_dir(pod.path("far/locks")).unwrap().count(), 0);
    }
}

#[test]
#[ignore = "needs rclone: make test"]
fn rclone_and_commands_get_files_as_they_are_under_every_shell() {
    for shell in SHELLS {
        let pod = Pod::rclone();
        let store = pod.path("store").display().to_string();
        let pod = pod.env("STORE", &store);
        for (tool, root) in [(RCLONE, "far/deep"), (COMMAND, "store")] {
            let said = pod.export(shell, tool);
            assert_eq!(said.end(), "end good", "{shell:?} {said:?}");
            let file = pod.path("volume/dump.sql.gz");
            let bytes = fs::metadata(&file).unwrap().len();
            assert_eq!(said.of("sent")[0], format!("0 stored {bytes} {} -", sha256(&file)));
            let copy = pod.path(root).join("shop/data/data-1");
            assert_eq!(fs::read(copy.join("dump.sql.gz")).unwrap(), fs::read(&file).unwrap());
            let mut names: Vec<_> = fs::read_dir(&copy).unwrap().map(|it| it.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, ["dump.sql.globals.sql", "dump.sql.gz", "manifest.json"]);
        }
    }
}

#[test]
#[ignore = "needs restic: make test"]
fn a_dump_that_is_not_the_proven_one_is_a_bad_backup() {
    let pod = Pod::restic();
    let said = pod.export_proven(SHELL, RESTIC, &|_| "0".repeat(64));
    assert_eq!(said.end(), "bad the SHA-256 of a dump file is not that of the proof");
    assert_eq!(pod.packs().len(), 0, "nothing was sent");
    fs::remove_file(pod.path("volume/dump.sql.gz")).unwrap();
    let said = pod.export_proven(SHELL, RESTIC, &|_| "0".repeat(64));
    assert_eq!(said.end(), "bad a dump file is not there");
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn a_repository_that_loses_cuts_or_changes_what_it_took_is_found_out() {
    // What the storage does after each backup, before anything is read back.
    let faults = [
        ("cut", "for pack in \"$FAR\"/data/*/*; do chmod u+w \"$pack\"; truncate -s 1000 \"$pack\"; done"),
        (
            "changed",
            "for pack in \"$FAR\"/data/*/*; do chmod u+w \"$pack\"; printf x | dd of=\"$pack\" bs=1 seek=9 conv=notrunc status=none; done",
        ),
        ("lost", "rm -f \"$FAR\"/data/*/*"),
        ("without its index", "rm -f \"$FAR\"/index/*"),
        ("without the snapshot", "rm -f \"$FAR\"/snapshots/*"),
    ];
    // restic reads again and again for half a minute what it cannot read.
    std::thread::scope(|scope| {
        for (fault, script) in faults {
            scope.spawn(move || {
                let pod = Pod::restic();
                let far = pod.path("far").display().to_string();
                let pod = pod.env("FAR", &far).program(
                    "restic",
                    &format!("case \" $* \" in *' backup '*) \"$REAL\" \"$@\"; status=$?; {script}; exit $status ;; esac; exec \"$REAL\" \"$@\""),
                );
                let said = pod.export(SHELL, RESTIC);
                assert!(said.end().starts_with("copy-bad "), "{fault}: {said:?}");
                assert_eq!(said.of("sent").len(), 0, "{fault}");
            });
        }
    });
    // The pack of an earlier night is gone: the next backup does not send it again.
    let pod = Pod::restic();
    assert_eq!(pod.export(SHELL, RESTIC).end(), "end good");
    pod.packs().iter().for_each(|pack| fs::remove_file(pack).unwrap());
    assert!(pod.export(SHELL, RESTIC).end().starts_with("copy-bad "));

    for (fault, script) in [
        ("cut", "truncate -s -1 \"$file\""),
        ("changed", "printf x | dd of=\"$file\" bs=1 seek=9 conv=notrunc status=none"),
        ("lost", "rm -f \"$file\""),
    ] {
        let pod = Pod::rclone();
        let far = pod.path("far").display().to_string();
        let pod = pod.env("FAR", &far);
        let pod = pod.program(
            "rclone",
            &format!("case \" $* \" in *' copyto '*) \"$REAL\" \"$@\"; status=$?; for file in \"$FAR\"/deep/shop/data/data-1/*; do {script}; done; exit $status ;; esac; exec \"$REAL\" \"$@\""),
        );
        let said = pod.export(SHELL, RCLONE);
        assert!(said.end().starts_with("copy-bad "), "{fault}: {said:?}");
    }
}

#[test]
#[ignore = "needs restic: make test"]
fn a_manifest_that_does_not_come_back_is_no_export() {
    let pod = Pod::restic();
    let far = pod.path("far").display().to_string();
    let pod = pod.env("FAR", &far).program(
        "restic",
        "\"$REAL\" \"$@\"; status=$?; case \" $* \" in *' backup '*manifest.json*) rm -f \"$FAR\"/snapshots/* ;; esac; exit $status",
    );
    let said = pod.export(SHELL, RESTIC);
    assert_eq!(said.of("sent").len(), 2, "{said:?}");
    assert!(said.end().starts_with("copy-bad ") && said.of("manifest").is_empty(), "{said:?}");
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn each_failure_of_a_repository_has_its_kind_and_shows_no_secret() {
    let kind =
        |said: &Said| said.of("lost").first().and_then(|lost| lost.split(' ').next()).unwrap_or_default().to_string();
    let with = |pod: Pod, name: &str, value: &str| {
        let pod = pod.secret(name, value);
        let said = pod.export(SHELL, RESTIC);
        assert!(
            !said.stderr.contains("hunter2") && said.lines.iter().all(|line| !line.contains("hunter2")),
            "{said:?}"
        );
        (kind(&said), said)
    };
    assert_eq!(with(Pod::restic(), "RESTIC_PASSWORD", "wrong").0, "password");
    let none = Pod::restic();
    let empty = none.path("none").display().to_string();
    assert_eq!(with(none, "RESTIC_REPOSITORY", &empty).0, "repository");
    let (away, said) = with(Pod::restic(), "RESTIC_REPOSITORY", "rest:http://user:hunter2@127.0.0.1:1/far?x=hunter2");
    assert_eq!((away.as_str(), said.of("repository")), ("away", vec!["rest:http://127.0.0.1:1/far"]), "{said:?}");

    // What the tool prints of its secrets is hidden, line by line.
    let pod = Pod::restic().secret("AWS_KEYS", "id = abcdef\nkey = ghijkl\n");
    let pod = pod.program(
        "restic",
        "case \" $* \" in *' backup '*) cat >/dev/null; env >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"",
    );
    let said = pod.export(SHELL, RESTIC);
    assert!(!["hunter2", "abcdef", "ghijkl"].iter().any(|secret| said.stderr.contains(secret)), "{said:?}");

    let remote = Pod::new().env("RCLONE_CONFIG_OTHER_TYPE", "local");
    assert_eq!(kind(&remote.export(SHELL, RCLONE)), "repository");

    // A repository that another restic cleans up.
    let pod = Pod::restic();
    let pod = pod.program("restic", "case \" $* \" in *' backup '*) cat >/dev/null; echo 'unable to create lock in backend: repository is already locked exclusively by PID 7 on far' >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"");
    assert_eq!(kind(&pod.export(SHELL, RESTIC)), "locked");
    let pod = Pod::restic().program("restic", "case \" $* \" in *' backup '*) exit 137 ;; esac; exec \"$REAL\" \"$@\"");
    assert_eq!(kind(&pod.export(SHELL, RESTIC)), "memory");
    // The server goes away while a copy is read back: that says nothing about the copy.
    let pod = Pod::restic().program("restic", "case \" $* \" in *' dump '*) echo 'Get \"http://far\": dial tcp: connection refused' >&2; exit 1 ;; esac; exec \"$REAL\" \"$@\"");
    assert_eq!(kind(&pod.export(SHELL, RESTIC)), "away");
    let pod = Pod::restic();
    fs::remove_file(pod.path("secret/RESTIC_PASSWORD")).unwrap();
    let pod = Pod { env: pod.env.iter().filter(|(name, _)| name != "RESTIC_PASSWORD").cloned().collect(), ..pod };
    assert_eq!(kind(&pod.export(SHELL, RESTIC)), "password");
}

/// A file system in memory of 3 MB at `far`, as long as this lives.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[ignore = "needs restic, rclone and root: make test"]
fn a_full_repository_is_named_and_works_again_with_room() {
    for (tool, name) in [(RESTIC, "restic"), (RCLONE, "rclone")] {
        let pod = if name == "restic" { Pod::restic() } else { Pod::rclone() };
        let saved = pod.path("saved");
        fs::rename(pod.path("far"), &saved).unwrap();
        fs::create_dir(pod.path("far")).unwrap();
        ok(Command::new("mount").args(["-t", "tmpfs", "-o", "size=200k", "tmpfs"]).arg(pod.path("far")));
        let small = Small(pod.path("far"));
        ok(Command::new("cp").arg("-a").arg(saved.join(".")).arg(pod.path("far")));
        let said = pod.export(SHELL, tool);
        assert!(said.end().starts_with("lost full "), "{name}: {said:?}");
        ok(Command::new("mount").args(["-o", "remount,size=40m"]).arg(pod.path("far")));
        assert_eq!(pod.export(SHELL, tool).end(), "end good", "{name}");
        drop(small);
    }
}

/// Ends a session once its tool works, and asserts that the tool ends with it and leaves no lock.
pub fn assert_ends_with_its_tool(pod: &Pod, mut running: Running, context: &str) {
    let locks = || fs::read_dir(pod.path("far/locks")).unwrap().count();
    // It knows of its lock once it works: before that it would leave it, and the next export removes it.
    let works = |pid: u32| {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok());
        read.is_some_and(|read| read > 90_000)
    };
    let tools = || descendants(running.child.id()).into_iter().filter(|(_, name)| name.contains("restic"));
    until("the tool works", 30, || locks() > 0 && tools().any(|(pid, _)| works(pid)));
    let tools: Vec<u32> = tools().map(|(pid, _)| pid).collect();
    drop(running.stdin.take());
    running.child.wait().unwrap();
    until("the tool has ended", 30, || !tools.iter().any(|pid| lives(*pid)));
    assert_eq!(locks(), 0, "{context}: a lock is left");
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn a_session_that_ends_ends_the_tool_and_leaves_no_lock() {
    for shell in SHELLS {
        // It is stopped while it waits for the rest of the dump, and while what reads the copy does not go on.
        let slow_gzip = ("gzip", "\"$REAL\" \"$@\" | { head -c 100000; sleep 60; }");
        let slow_hash = (
            "sha256sum",
            ": >>\"$COUNT\"; echo >>\"$COUNT\"; [ \"$(wc -l <\"$COUNT\")\" -lt 3 ] || sleep 60; exec \"$REAL\"",
        );
        for (step, (program, script)) in [("send", slow_gzip), ("compare", slow_hash)] {
            let pod = Pod::restic();
            let count = pod.path("count").display().to_string();
            let pod = pod.env("COUNT", &count).program("openssl", "exit 1").program(program, script);
            let mut running = pod.start(shell, RESTIC, &sha256);
            loop {
                let lines = running.until(&["step"]);
                assert!(!lines.is_empty(), "{shell:?} {step}");
                if lines.last().unwrap() == &format!("step {step}") {
                    break;
                }
            }
            assert_ends_with_its_tool(&pod, running, &format!("{shell:?} {step}"));
            assert!(pod.path("scratch/done").exists());
        }
    }
}

#[test]
#[ignore = "needs restic: make test"]
fn a_part_of_the_pipe_that_dies_fails_the_export() {
    for (program, of) in [("gzip", "-dc"), ("tee", "hashed")] {
        let pod = Pod::restic().program(
            program,
            &format!(
                "case \" $* \" in *{of}*) \"$REAL\" \"$@\" | head -c 100000; exit 1 ;; esac; exec \"$REAL\" \"$@\""
            ),
        );
        let said = pod.export(SHELL, RESTIC);
        assert!(said.end().starts_with("lost other "), "{program}: {said:?}");
        assert_eq!(said.of("sent").len(), 0);
    }
}

#[test]
#[ignore = "needs restic: make test"]
fn a_dump_in_zstd_is_unpacked_only_if_the_image_can() {
    for (has_it, form, name) in [(true, "plain", "web.sql"), (false, "stored", "web.sql.zst")] {
        let mut pod = Pod::restic();
        pod.files.clear();
        fs::write(pod.path("volume/web.sql"), "SELECT 1;\n".repeat(1000)).unwrap();
        ok(Command::new("zstd").args(["-q", "--rm"]).arg(pod.path("volume/web.sql")));
        let pod = pod.with("web.sql.zst", "zstd", "web.sql", "web.sql.zst");
        // Without it: a PATH of links to all other programs.
        let bin = pod.path("bin");
        fs::create_dir(&bin).unwrap();
        for folder in ["/usr/bin", "/bin", "/usr/sbin"] {
            for program in fs::read_dir(folder).unwrap().flatten() {
                if has_it || program.file_name() != "zstd" {
                    let _ = std::os::unix::fs::symlink(program.path(), bin.join(program.file_name()));
                }
            }
        }
        let mut shell = vec!["env".to_string(), format!("PATH={}", bin.display())];
        shell.extend(["busybox", "sh"].map(String::from));
        let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
        let said = pod.export(&shell, RESTIC);
        assert_eq!(said.end(), "end good", "{said:?}");
        assert!(said.of("sent")[0].starts_with(&format!("0 {form} ")), "{said:?}");
        ok(pod
            .tool("restic")
            .args(["dump", "-q", "latest", &format!("/shop/data/{name}"), "--path"])
            .arg(format!("/shop/data/{name}")));
    }
}

#[test]
#[ignore = "needs restic and rclone: make test"]
fn a_whole_volume_is_compared_file_by_file_under_every_shell() {
    for shell in SHELLS {
        for (tool, name) in [(RESTIC, "restic"), (RCLONE, "rclone")] {
            let mut pod = if name == "restic" { Pod::restic() } else { Pod::rclone() };
            pod.what = "volume";
            for file in ["sub/with 'odd' $name", "sub/line\nfeed", "empty"] {
                if name == "restic" || !file.contains('\n') {
                    fs::write(pod.path("volume").join(file), file.repeat(file.len() % 6)).unwrap();
                }
            }
            let said = pod.export(shell, tool);
            assert_eq!(said.end(), "end good", "{name} {shell:?}: {said:?}");
            let number = if name == "restic" { 5 } else { 4 };
            assert!(said.of("volume")[0].starts_with(&format!("{number} ")), "{name} {shell:?}: {said:?}");
        }
    }
    // One file is changed below the tool.
    let far = |pod: Pod| {
        let far = pod.path("far").display().to_string();
        pod.env("FAR", &far)
    };
    let mut pod = far(Pod::rclone()).program("rclone", "case \" $* \" in *' copy '*) \"$REAL\" \"$@\" && printf x >\"$FAR/deep/shop/data/data-1/volume/dump.globals.sql\"; exit ;; esac; exec \"$REAL\" \"$@\"");
    pod.what = "volume";
    assert_eq!(pod.export(SHELL, RCLONE).end(), "copy-bad the files that came back are not those of the volume");
    let mut pod = far(Pod::restic()).program("restic", "case \" $* \" in *' backup '*' . ') \"$REAL\" \"$@\"; rm -f \"$FAR\"/snapshots/*; exit 0 ;; esac; exec \"$REAL\" \"$@\"");
    pod.what = "volume";
    assert!(pod.export(SHELL, RESTIC).end().starts_with("copy-bad "));
}
