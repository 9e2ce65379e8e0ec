//! The program at home in a shell: completion in real shells, the manual's pages, the name as kubectl's plugin.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start processes, read the environment, fail by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_backup-ns");

/// Names of the older tool, which work but are shown nowhere.
const OLDER: [&str; 4] = ["controller", "syncMetadataToVsc", "rebindVsc", "downloadDump"];

const SHELLS: [&str; 4] = ["bash", "zsh", "fish", "powershell"];

/// A home of its own, with programs in `bin` that come before all others.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("bin")).unwrap();
        home.link("backup-ns")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program under this name.
    fn link(self, name: &str) -> Home {
        symlink(PROGRAM, self.path("bin").join(name)).unwrap();
        self
    }

    fn run(&self, words: &[&str]) -> Output {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("env");
        command.env_clear().env("PATH", path).env("HOME", self.0.path()).env("TERM", "dumb").args(words);
        command.current_dir(self.0.path()).stdin(Stdio::null()).output().unwrap()
    }

    /// What it prints, when it ends well and has nothing to complain of.
    fn prints(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn bash_completes() {
    let home = Home::new();
    // As bash does it when Tab is pressed behind the last of the words.
    let complete = |line: &str| {
        let script = r#"
            set -u
            compopt() { :; } # bash's own works only when a key was pressed
            source <(backup-ns completion bash)
            eval "$(complete -p backup-ns | sed 's/.* -F \([^ ]*\) .*/function=\1/')"
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9 COMPREPLY=()
            "$function" backup-ns "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let line: Vec<&str> = line.split(' ').collect();
        home.prints(&[&["bash", "--norc", "-c", script, "bash"], &line[..]].concat())
    };
    assert_eq!(words(&complete("backup-ns cre")), ["create"]);
    assert_eq!(words(&complete("backup-ns create --hook-on")), ["--hook-on-error"]);
    assert_eq!(words(&complete("backup-ns create --hook-on-error ")), ["fail", "continue"]);
    assert_eq!(words(&complete("backup-ns postgres down")), ["download-dump"]);
    assert_eq!(words(&complete("backup-ns list -n ")), [""; 0], "a namespace is no file");
}

#[test]
fn fish_completes() {
    let home = Home::new();
    let complete = |line: &str| {
        let script = "backup-ns completion fish | source; complete -C $argv[1]";
        let candidates = home.prints(&["fish", "--no-config", "-c", script, line]);
        candidates.lines().map(|line| line.split('\t').next().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(complete("backup-ns cre"), ["create"]);
    assert_eq!(complete("backup-ns create --hook-on"), ["--hook-on-error"]);
    assert_eq!(
        BTreeSet::from_iter(complete("backup-ns create --hook-on-error ")),
        ["continue", "fail"].map(String::from).into()
    );
    assert_eq!(complete("backup-ns postgres down"), ["download-dump"]);
    assert_eq!(complete("backup-ns create --dry-run --hook-on"), ["--hook-on-error"], "a switch takes no word");
}

/// zsh completes only when keys are pressed, so this presses them; a program that notes its words takes the place of ours, and
/// lets ours answer.
#[test]
fn zsh_completes() {
    let home = Home::new();
    fs::write(home.path("_backup-ns"), home.prints(&["backup-ns", "completion", "zsh"])).unwrap();
    let noted = home.path("bin/backup-ns");
    fs::remove_file(&noted).unwrap();
    fs::write(
        &noted,
        format!(
            "#!/bin/sh\n[ -z \"$BACKUP_NS_COMPLETE\" ] || exec {PROGRAM} \"$@\"\n\
             printf '%s\\n' \"$@\" >\"$HOME/words.new\"\nmv \"$HOME/words.new\" \"$HOME/words\"\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&noted, fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"
        zmodload zsh/zpty || exit
        zpty inner zsh -f -i
        zpty -w inner 'autoload -Uz compinit; compinit -u -D; source ~/_backup-ns; PS1=rea; PS1=${PS1}dy'
        zpty -r inner seen '*ready' || exit
        zpty -w inner $'backup-ns cre\t--hook-on\tcont\t'
        repeat 300 { [[ -e ~/words ]] && break; zpty -t inner && zpty -r inner seen; sleep 0.1 }
        cat ~/words"#;
    let words = home.prints(&["zsh", "-f", "-c", script]);
    assert!(
        ["create\n--hook-on-error=continue\n", "create\n--hook-on-error\ncontinue\n"].contains(&words.as_str()),
        "{words}"
    );
}

/// What the program answers the script of a shell for these words, the last of which is to be completed: values without their
/// meaning.
fn answers(home: &Home, shell: &str, words: &[&str]) -> Vec<String> {
    let index = format!("_CLAP_COMPLETE_INDEX={}", words.len());
    let asks = format!("BACKUP_NS_COMPLETE={shell}");
    let ask = ["env", &asks, &index, "_CLAP_IFS=\n", "backup-ns", "--", "backup-ns"];
    let answer = home.prints(&[&ask[..], words].concat());
    answer.lines().map(|line| line.split(['\t', ':']).next().unwrap().to_string()).collect()
}

#[test]
fn every_shell_is_told_every_command_and_none_of_the_older_names() {
    let home = Home::new();
    let pages = pages(&home);
    for shell in SHELLS {
        assert!(home.prints(&["backup-ns", "completion", shell]).contains("BACKUP_NS_COMPLETE"), "{shell}");
        for page in &pages {
            let command = page.trim_start_matches("backup-ns").trim_start_matches('-').trim_end_matches(".1");
            let (before, command) = match command.split_once('-') {
                Some((group @ ("postgres" | "mysql"), piece)) => (vec![group], piece),
                _ => (Vec::new(), command),
            };
            let told = answers(&home, shell, &[&before[..], &[""]].concat());
            assert!(command.is_empty() || told.iter().any(|it| it == command), "{shell}, {page}: {told:?}");
            assert!(!OLDER.iter().any(|older| told.iter().any(|it| it == older)), "{shell}: {told:?}");
        }
        let choices = answers(&home, shell, &["create", "--label-vs-retain", ""]);
        assert_eq!(choices, ["days", "daily_weekly_monthly"], "{shell}");
    }
    let output = home.run(&["backup-ns", "completion", "tcsh"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("bash, zsh, fish, powershell"), "{output:?}");
}

#[test]
fn names_are_asked_of_the_cluster_that_is_meant() {
    let home = Home::new();
    let kubectl = home.path("bin/kubectl");
    let script =
        "#!/bin/sh\necho \"$@\" >>\"$HOME/asked\"\necho volumesnapshot.snapshot.storage.k8s.io/data-1\necho x/data-2";
    fs::write(&kubectl, script).unwrap();
    fs::set_permissions(&kubectl, fs::Permissions::from_mode(0o755)).unwrap();
    let asked = |words: &[&str]| {
        fs::write(home.path("asked"), "").unwrap();
        let names = answers(&home, "fish", words);
        (names, fs::read_to_string(home.path("asked")).unwrap())
    };
    let (names, asked_for) = asked(&["--context=b", "restore", "-n", "shop", ""]);
    assert_eq!(names.iter().filter(|name| !name.starts_with('-')).collect::<Vec<_>>(), ["data-1", "data-2"]);
    assert_eq!(asked_for, "get volumesnapshots -o name --context=b --namespace=shop\n");
    let access = ["--as=x", "--as-group", "g", "--insecure-skip-tls-verify", "restore", ""];
    let flags = "--as=x --as-group=g --insecure-skip-tls-verify=true";
    assert_eq!(asked(&access).1, format!("get volumesnapshots -o name {flags}\n"));
    for (words, kind) in [
        (&["list", "-n", ""][..], "get namespaces "),
        (&["list", "--pvc", ""], "get persistentvolumeclaims "),
        (&["create", "--pvc-name", ""], "get persistentvolumeclaims "),
        (&["adhoc", ""], "get cronjobs "),
        (&["rebind-vsc", ""], "get volumesnapshotcontents "),
        (&["delete-vsc", ""], "get volumesnapshotcontents "),
        (&["list", "--context", ""], "config get-contexts "),
    ] {
        let (names, asked_for) = asked(words);
        assert!(names.contains(&"data-2".into()) && asked_for.starts_with(kind), "{words:?}: {names:?}, {asked_for}");
    }
    assert_eq!(home.prints(&["env", "BACKUP_NS_COMPLETE=fish", "backup-ns"]), "", "no words, no answer");
    // The API is not asked for what is no name, and one who has no answer is no failure.
    assert_eq!(asked(&["create", "--hook-on-error", ""]).1, "");
    fs::write(&kubectl, "#!/bin/sh\necho no such server >&2; exit 1").unwrap();
    assert_eq!(answers(&home, "fish", &["list", "-n", ""]), [""; 0]);
}

/// A shell that starts must not fail over a setting that is meant for backups.
#[test]
fn completion_and_manual_look_at_no_setting() {
    let home = Home::new();
    for words in [&["completion", "bash"][..], &["man"]] {
        let wrong = ["env", "BAK_DRY_RUN=perhaps", "BAK_LOG_FORMAT=x", "TZ=Mars/Olympus", "PATH=/nonexistent", PROGRAM];
        assert!(!home.prints(&[&wrong[..], words].concat()).is_empty());
    }
}

/// Writes the manual, and gives the names of its pages.
fn pages(home: &Home) -> BTreeSet<String> {
    let printed = home.prints(&["backup-ns", "man", "share/man/man1"]);
    let listed: BTreeSet<String> = fs::read_dir(home.path("share/man/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let name = |line: &str| Path::new(line).file_name().unwrap().to_str().unwrap().to_string();
    assert_eq!(printed.lines().map(name).collect::<BTreeSet<_>>(), listed);
    listed
}

#[test]
fn the_manual_has_a_page_for_every_command_and_troff_reads_it() {
    let home = Home::new();
    let pages = pages(&home);
    assert!(pages.contains("backup-ns.1") && pages.contains("backup-ns-postgres-download-dump.1"), "{pages:?}");
    for name in OLDER {
        assert!(!pages.iter().any(|page| page.contains(name)), "{pages:?}");
    }
    for page in &pages {
        let file = format!("share/man/man1/{page}");
        let read = home.prints(&["LC_ALL=C.UTF-8", "MANROFFSEQ=", "man", "--warnings", "-l", &file]);
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "EXIT STATUS"] {
            assert_eq!(read.lines().filter(|line| *line == section).count(), 1, "{page}: {section}: {read}");
        }
        assert!(read.contains("\n       6      the dump failed or could not be proven\n"), "{page}: {read}");
    }
    let main = fs::read_to_string(home.path("share/man/man1/backup-ns.1")).unwrap();
    assert_eq!(home.prints(&["backup-ns", "man"]), main);
}

#[test]
fn a_manual_that_cannot_be_written_is_a_failure_with_its_remedy() {
    let home = Home::new();
    fs::write(home.path("file"), "").unwrap();
    let output = home.run(&["backup-ns", "man", "file/man1"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
    assert!(stderr.contains("file/man1 cannot be written to") && stderr.contains("remedy"), "{stderr}");
}

/// How the plugin is called: by kubectl where there is one, and in any case by its name alone.
fn plugins() -> Vec<Vec<&'static str>> {
    let has_kubectl = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    let kubectl = has_kubectl.then(|| vec!["kubectl", "backup-ns"]);
    kubectl.into_iter().chain([vec!["kubectl-backup_ns"]]).collect()
}

#[test]
fn under_the_plugins_name_it_speaks_as_the_plugin() {
    let home = Home::new().link("kubectl-backup_ns");
    for plugin in plugins() {
        let help = home.prints(&[&plugin[..], &["create", "--help"]].concat());
        assert!(help.contains("Usage: kubectl backup-ns create [OPTIONS]"), "{help}");
        assert!(help.contains("\n  kubectl backup-ns create -n shop --db-postgres --dry-run\n"), "{help}");
        let output = home.run(&[&plugin[..], &["create", "--no-such-flag"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && stderr.contains("Usage: kubectl backup-ns create"), "{output:?}");
        // What it is named after, it is not called by: scripts and pages are the program's own.
        assert_eq!(home.prints(&[&plugin[..], &["man"]].concat()), home.prints(&["backup-ns", "man"]));
    }
    let help = home.prints(&["backup-ns", "create", "--help"]);
    assert!(help.contains("Usage: backup-ns create [OPTIONS]") && !help.contains("kubectl backup-ns"), "{help}");
}

/// kubectl 1.37 and newer tell a plugin their path.
#[test]
fn as_a_plugin_it_calls_the_kubectl_that_called_it() {
    let home = Home::new().link("kubectl-backup_ns");
    let program = |name: &str, version: &str| {
        let script = format!(
            "#!/bin/sh\n[ -z \"${{KUBECTL_PATH+x}}\" ] && echo '{{\"clientVersion\":{{\"gitVersion\":\"{version}\"}}}}'\n"
        );
        fs::write(home.path(name), script).unwrap();
        fs::set_permissions(home.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        home.path(name).display().to_string()
    };
    program("bin/kubectl", "v1.33.0");
    let (caller, other) = (program("kubectl-1.37", "v1.37.1"), program("k3s", "v1.36.0"));
    for (name, path, version) in [
        ("kubectl-backup_ns", caller.as_str(), "v1.37.1"),
        ("kubectl-backup_ns", "", "v1.33.0"),
        ("kubectl-backup_ns", "/nonexistent/kubectl", "v1.33.0"),
        ("kubectl-backup_ns", "kubectl-1.37", "v1.33.0"),
        // A program that is kubectl only under that name.
        ("kubectl-backup_ns", &other, "v1.33.0"),
        ("backup-ns", &caller, "v1.33.0"),
    ] {
        let printed = home.prints(&["env", &format!("KUBECTL_PATH={path}"), name, "version", "--client"]);
        assert!(printed.ends_with(&format!("\nkubectl: {version}\n")), "{name} {path}: {printed}");
    }
}

#[test]
fn kubectl_completes_the_plugin() {
    let home = Home::new().link("kubectl-backup_ns").link("kubectl_complete-backup_ns");
    fs::create_dir(home.path("etc")).unwrap();
    let asks = plugins().into_iter().map(|plugin| match plugin[..] {
        ["kubectl", name] => vec!["kubectl", "__complete", name],
        _ => vec!["kubectl_complete-backup_ns"],
    });
    for ask in asks {
        let complete = |words: &[&str]| {
            let output = home.run(&[&ask[..], words].concat());
            assert!(output.status.success(), "{output:?}");
            let answer = String::from_utf8(output.stdout).unwrap();
            answer.lines().map(|line| line.split('\t').next().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(complete(&["cre"]), ["create", ":4"]);
        assert_eq!(complete(&["-n", "shop", "create", "--hook-on"]), ["--hook-on-error", ":4"]);
        assert_eq!(complete(&["create", "--dry-run", "--hook-on-error", ""]), ["fail", "continue", ":4"]);
        assert_eq!(complete(&["postgres", "down"]), ["download-dump", ":4"]);
        assert_eq!(complete(&["list", "-n", ""]), [":4"]);
        assert_eq!(complete(&["list", "--kubeconfig", "e"]), ["etc/", ":6"], "it goes on behind a directory");
        assert_eq!(complete(&["rebindV"]), [":4"], "older names are not shown");
        assert!(!complete(&[""]).iter().any(|word| word.starts_with('-')), "flags are for who begins one");
    }
}
