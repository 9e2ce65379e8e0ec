//! The command blocks of the documents: each is run as it is written, with the real program on a cluster that forbids
//! everything, so that what cannot be understood is told apart from what cannot be done. docs/reference.md has the examples of
//! every `--help`, so they are run too. tests/cluster runs those of docs/recovery.md and docs/migration.md in earnest.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests start processes, read the environment, fail by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What comes before every block: variables that the text around it tells of, and what to do about a program that is not
/// known here.
const PRELUDE: &str = r#"
set -u
snapshot=data-2026-11-22-030000-abcdef content=snapcontent-1b0d8a4e
source() { cat "$1" >/dev/null; } # it may be another shell's
cd() { :; } # what is there is the reader's
command_not_found_handle() { echo "unknown program: $*" >>"$DOCS/faults"; }
"#;

/// Our program, which notes how it ended. A word in capitals is what only the reader knows.
const BACKUP_NS: &str = r#"
for word; do
  shift
  case $word in SNAPSHOT) word=data-2026-11-22-030000-abcdef ;; esac
  set -- "$@" "$word"
done
status=0
PATH="$DOCS/refusing" "$PROGRAM" "$@" </dev/null >"$DOCS/stdout.$$" 2>"$DOCS/stderr.$$" || status=$?
echo "$status $*" >>"$DOCS/calls"
case $status in 2 | 101 | 127) echo "backup-ns $*: $(cat "$DOCS/stderr.$$")" >>"$DOCS/faults" ;; esac
cat "$DOCS/stdout.$$"
case " $* " in *' -o name '*) echo volumesnapshot.snapshot.storage.k8s.io/data-2026-11-22-030000-abcdef ;; esac
"#;

/// kubectl for the reader's own calls: our plugin, or the real one, if there is one, without a cluster. What it says of words
/// that it does not know is a fault.
const KUBECTL: &str = r#"
case ${1-} in
backup-ns) shift && exec backup-ns "$@" ;;
krew | '') exit ;;
esac
[ -z "$KUBECTL" ] || "$KUBECTL" --server=http://127.0.0.1:1 "$@" 2>&1 </dev/null |
  sed -n "s/.*unknown \(flag\|command\|shorthand\).*/kubectl $*: &/p" >>"$DOCS/faults"
"#;

/// make, which knows its targets.
const MAKE: &str = r#"
for word; do
  case $word in
  *=*) ;;
  *) grep -q "^$word:" "$ROOT/Makefile" || echo "make: no target $word" >>"$DOCS/faults" ;;
  esac
done
"#;

/// A script of the repository, which must be there.
const OURS: &str = r#"[ -x "$ROOT/${0#"$PWD/"}" ] || echo "no script $0" >>"$DOCS/faults""#;

/// Programs that may do what they do; nothing but a directory of this test is in their reach by the blocks' words.
const REAL: &str = "cat command cut date env find grep gzip head jq ln man mkdir mv rm sed sh sleep sort tail tar test";

/// Programs that would do too much, or are another shell's.
const IDLE: &str = "Invoke-Expression Out-String cosign curl docker dpkg helm rclone restic sha256sum sudo";

/// A block of a document.
struct Block {
    line: usize,
    kind: String,
    text: String,
}

/// The documents, by their paths from the root.
fn documents() -> Vec<String> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let mut names: Vec<String> = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display())).collect();
    names.retain(|name| name.ends_with(".md"));
    let others = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "kind/README.md", "charts/backup-ns/README.md"];
    names.extend(others.map(String::from));
    names.sort();
    names
}

fn text(document: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

/// The blocks of a text; an error names the shape that is not known.
fn blocks(text: &str) -> Result<Vec<Block>, String> {
    let (mut blocks, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        match (line.strip_prefix("```"), open) {
            (Some(""), true) => open = false,
            (Some(kind @ ("sh" | "yaml" | "json" | "")), false) => {
                blocks.push(Block { line: number, kind: kind.into(), text: String::new() });
                open = true;
            }
            (Some(kind), _) => return Err(format!("line {number}: a block of the kind '{kind}'")),
            (None, true) => blocks.last_mut().unwrap().text.push_str(&format!("{line}\n")),
            (None, false) if line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~") => {
                return Err(format!("line {number}: a block that does not begin its line with ```"));
            }
            (None, false) if line.starts_with("    ") => return Err(format!("line {number}: a block by indentation")),
            (None, false) => {}
        }
    }
    if open { Err("a block that does not end".into()) } else { Ok(blocks) }
}

fn blocks_of(document: &str) -> Vec<Block> {
    blocks(&text(document)).unwrap_or_else(|shape| panic!("{document}, {shape}"))
}

/// How often a block calls our program, as its words read.
fn calls(block: &str) -> usize {
    let count = |line: &str| {
        let begins = |at: usize| {
            let before = line[..at].trim_start();
            let is_set = |word: &str| word.contains('=') && !word.starts_with('-');
            before.split_whitespace().all(is_set)
                || ["$(", "<(", "| ", "&& ", "kubectl "].iter().any(|lead| line[..at].ends_with(lead))
        };
        line.match_indices("backup-ns ").filter(|(at, _)| begins(*at)).count()
    };
    let without_comment = |line: &str| line.split("# ").next().map(count).unwrap_or_default();
    block.lines().map(without_comment).sum()
}

/// Where blocks are run.
struct Desk(TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().unwrap());
        for folder in ["bin", "refusing", "home/.config/fish/completions", "home/.local/bin", "kind"] {
            fs::create_dir_all(desk.path(folder)).unwrap();
        }
        desk.script("bin/backup-ns", BACKUP_NS);
        desk.script("bin/kubectl", KUBECTL);
        desk.script("bin/make", MAKE);
        desk.script("kind/cluster.sh", OURS);
        desk.script("refusing/kubectl", "echo 'Error from server (Forbidden): you may not' >&2; exit 1");
        for name in REAL.split(' ') {
            if let Some(real) = which(name) {
                std::os::unix::fs::symlink(real, desk.path("bin").join(name)).unwrap();
            }
        }
        for name in IDLE.split(' ') {
            desk.script(&format!("bin/{name}"), "");
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), format!("#!/bin/sh\n{text}")).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(String::from).collect()
    }

    /// Runs a block: what is wrong with it, and with how many calls of our program.
    fn run(&self, block: &str) -> (Vec<String>, usize) {
        for name in ["faults", "calls"] {
            fs::write(self.path(name), "").unwrap();
        }
        let output = Command::new(which("bash").unwrap())
            .args(["--norc", "-c", &format!("{PRELUDE}{block}\nexit 0")])
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("DOCS", self.0.path())
            .env("ROOT", ROOT)
            .env("PROGRAM", env!("CARGO_BIN_EXE_backup-ns"))
            .env("KUBECTL", which("kubectl").unwrap_or_default())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (mut faults, stderr) = (self.lines("faults"), String::from_utf8_lossy(&output.stderr));
        let is_missing = |line: &str| line.contains("bash: line ") && line.ends_with("No such file or directory");
        if !output.status.success() || stderr.lines().any(is_missing) {
            faults.push(stderr.into_owned());
        }
        (faults, self.lines("calls").len())
    }
}

fn which(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[test]
fn every_command_of_the_documents_is_understood() {
    let (desk, mut seen, mut wrong) = (Desk::new(), 0, Vec::new());
    for document in documents() {
        for block in blocks_of(&document).iter().filter(|block| block.kind == "sh") {
            let (mut faults, called) = desk.run(&block.text);
            let expected = calls(&block.text);
            if called != expected {
                faults.push(format!("{expected} calls of backup-ns, but {called} were made"));
            }
            wrong.extend(faults.iter().map(|fault| format!("{document}, line {}: {fault}", block.line)));
            seen += called;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 70, "{seen} calls");
}

/// The reference has no chapters for commands that only hold others together.
#[test]
fn every_example_of_a_help_is_understood() {
    let desk = Desk::new();
    for words in [&["--help"][..], &["postgres", "--help"], &["mysql", "--help"], &["controller", "--help"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_backup-ns")).args(words).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let examples =
            help.split_once("\nExamples:\n").and_then(|(_, rest)| rest.split_once("\n\nExit codes:")).unwrap().0;
        let (faults, called) = desk.run(examples);
        assert!(faults.is_empty() && called > 0 && called == calls(examples), "{words:?}: {called} calls, {faults:?}");
    }
}

#[test]
fn what_is_wrong_in_a_block_is_found() {
    let desk = Desk::new();
    for (block, fault) in [
        ("backup-ns create --no-such-flag", "--no-such-flag"),
        ("backup-ns list | backup-ns no-such-command", "no-such-command"),
        ("x=$(backup-ns restore)", "<VS>"),
        ("kubectl backup-ns verify --verify-timeout=soon", "soon"),
        ("BAK_FLOCK=perhaps backup-ns env", "perhaps"),
        ("make no-such-target", "no-such-target"),
        ("true | no-such-program", "no-such-program"),
        ("echo \"$no_such_variable\"", "no_such_variable"),
        ("if true; then", "unexpected end"),
        ("kind/no-such-script.sh up", "no-such-script"),
    ] {
        let (faults, _) = desk.run(block);
        assert!(faults.join("\n").contains(fault), "{block}: {faults:?}");
    }
    if which("kubectl").is_some() {
        let (faults, _) = desk.run("kubectl get pods --no-such-flag");
        assert!(faults.join("\n").contains("--no-such-flag"), "{faults:?}");
    }
    assert_eq!(desk.run("backup-ns list -n shop | tail -n 1 && make test"), (vec![], 1));
}

#[test]
fn a_block_of_an_unknown_shape_is_found() {
    for shape in
        ["```bash\nx\n```\n", "- x\n  ```sh\n  x\n  ```\n", "~~~\nx\n~~~\n", "    backup-ns list\n", "```sh\nx\n"]
    {
        assert!(blocks(shape).is_err(), "{shape}");
    }
    let found = blocks("text\n```sh\na\nb\n```\n\n```\nout\n```\n").unwrap_or_default();
    let found: Vec<_> = found.iter().map(|block| (block.line, block.kind.as_str(), block.text.as_str())).collect();
    assert_eq!(found, [(2, "sh", "a\nb\n"), (7, "", "out\n")]);
}

#[test]
fn every_manifest_of_the_documents_is_one() {
    let mut seen = 0;
    for document in documents() {
        // JSON is YAML.
        for block in blocks_of(&document).iter().filter(|block| ["yaml", "json"].contains(&block.kind.as_str())) {
            for part in serde_yaml_ng::Deserializer::from_str(&block.text) {
                let value = serde_json::Value::deserialize(part)
                    .unwrap_or_else(|why| panic!("{document}, line {}: {why}", block.line));
                assert!(value.is_object(), "{document}, line {}: {value}", block.line);
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

/// The one that is released together with them.
#[test]
fn every_image_and_download_of_the_documents_is_of_this_version() {
    for (lead, least) in [("ghcr.io/backup-ns/backup-ns:", 3), ("\nversion=v", 1)] {
        let mut seen = 0;
        for document in documents() {
            for rest in text(&document).split(lead).skip(1) {
                let tag: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '.').collect();
                assert!([env!("CARGO_PKG_VERSION"), "X.Y.Z"].contains(&tag.as_str()), "{document}: {tag}");
                seen += 1;
            }
        }
        assert!(seen >= least, "{seen} of {lead}");
    }
}

/// `make test` and `make init` install what is missing; `make check` only names it.
#[test]
fn the_quick_loop_names_what_it_misses_and_installs_nothing() {
    let desk = Desk::new();
    for name in ["cargo", "dash", "bash", "busybox", "setpriv", "zsh", "fish", "zstd"] {
        desk.script(&format!("bin/{name}"), "");
    }
    desk.script("bin/apt-get", r#"echo "$*" >>"$DOCS/calls""#);
    std::os::unix::fs::symlink(which("dirname").unwrap(), desk.path("bin/dirname")).unwrap();
    let check = || {
        let script = Path::new(ROOT).join("tests/bin/install.sh");
        let mut command = Command::new(which("sh").unwrap());
        command.arg(script).arg("check").env_clear().env("PATH", desk.path("bin")).env("DOCS", desk.0.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = check();
    assert!(code == Some(1) && stderr.contains("missing: shellcheck\n") && stderr.contains("'make init'"), "{stderr}");
    desk.script("bin/shellcheck", "");
    assert_eq!(check(), (Some(0), String::new()));
    assert!(desk.lines("calls").is_empty(), "apt-get was called");
    let make = text("Makefile");
    assert!(
        make.contains("\nlint: ##") && make.contains("\ncheck: lint ##") && make.contains("\ntest: init lint ##"),
        "check may not call init"
    );
}

/// rust-toolchain.toml has the version; what has to repeat it agrees, and the workflows read it there.
#[test]
fn the_version_of_rust_is_that_of_the_toolchain_file() {
    let toolchain = text("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (minor, _) = version.rsplit_once('.').unwrap();
    assert!(text("Cargo.toml").contains(&format!("\nrust-version = \"{minor}\"\n")), "Cargo.toml: not {minor}");
    assert!(text("Dockerfile").contains(&format!("RUST_IMAGE=rust:{version}-")), "Dockerfile: not {version}");
    assert!(text(".devcontainer/Dockerfile").contains(&format!("FROM rust:{minor}-")), ".devcontainer: not {minor}");
    for workflow in ["ci", "release"] {
        let workflow = text(&format!(".github/workflows/{workflow}.yml"));
        assert!(workflow.contains("rustup toolchain install\n") && !workflow.contains(minor), "{workflow}");
    }
}

/// The numbers of the lines of prose that are too long. Tables, code, comments and lines with a URL may be longer.
fn long_lines(text: &str) -> Vec<usize> {
    let (mut is_code, mut is_comment, mut found) = (false, false, Vec::new());
    for (number, line) in text.lines().enumerate() {
        is_code ^= line.starts_with("```");
        is_comment |= line.starts_with("<!--");
        let is_prose = !is_code && !is_comment && !line.starts_with('|') && !line.contains("://");
        if is_prose && line.chars().count() > 120 {
            found.push(number + 1);
        }
        is_comment &= !line.contains("-->");
    }
    found
}

/// docs/reference.md is made of help texts, which have no line breaks.
#[test]
fn no_line_of_the_documents_is_too_long() {
    let long = "word ".repeat(30);
    let shapes = format!("{long}\n| {long}\n```\n{long}\n```\n<!--\n{long}\n-->\nhttps://x {long}\n{long}\n");
    assert_eq!(long_lines(&shapes), [1, 10]);
    let mut documents = documents();
    documents.retain(|document| document != "docs/reference.md");
    documents.push("CHANGELOG.md".into());
    for document in documents {
        assert_eq!(long_lines(&text(&document)), [0; 0], "{document}: lines of more than 120 columns");
    }
    let lines = text("README.md").lines().count();
    assert!(lines <= 150, "README.md has {lines} lines, and 150 at most are read in five minutes");
}

/// The words in what people read of a file: all of a document, the comments of a program.
fn words_read(file: &str, text: &str) -> Vec<String> {
    let marks: &[&str] = match file.rsplit_once('.').map_or("", |(_, end)| end) {
        "md" => &[""],
        "rs" | "go" => &["//"],
        _ => &["#", "{{- /*"],
    };
    let read = |line: &str| {
        let found =
            marks.iter().filter_map(|mark| line.find(mark).map(|at| line[at + mark.len()..].to_string())).next();
        // What is quoted is a name: of a user, of a process.
        found.map(|prose| prose.split('`').step_by(2).collect::<Vec<_>>().join(" ").to_lowercase())
    };
    let prose = text.lines().filter_map(read).collect::<Vec<_>>().join("\n");
    prose.split(|letter: char| !letter.is_alphabetic()).filter(|word| !word.is_empty()).map(str::to_string).collect()
}

/// Vague words for a person or a place. The person, the program or the place has a name.
const VAGUE: [&str; 5] = ["nobody", "somebody", "anybody", "whoever", "stands"];

#[test]
fn what_people_read_names_who_and_where() {
    assert_eq!(words_read("a.rs", "let nobody = 1; // of `somebody` is\n"), ["of", "is"]);
    assert_eq!(words_read("a.sh", "run nobody # Whoever\n"), ["whoever"]);
    let listed = Command::new("git").args(["ls-files"]).current_dir(ROOT).output().unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let of_interest = |file: &&str| [".rs", ".go", ".sh", ".md", ".yaml", ".yml"].iter().any(|end| file.ends_with(end));
    let mut seen = 0;
    // This one has the words in it.
    for file in files.lines().filter(of_interest).filter(|file| *file != "tests/docs.rs") {
        let words = words_read(file, &text(file));
        let vague: Vec<&String> = words.iter().filter(|word| VAGUE.contains(&word.as_str())).collect();
        assert!(vague.is_empty(), "{file}: {vague:?}");
        seen += 1;
    }
    assert!(seen > 100, "{seen} files");
}

/// `make cast` makes them.
#[test]
fn the_pictures_of_the_demo_are_small_and_show_it_to_its_end() {
    for name in ["docs/demo-light.svg", "docs/demo-dark.svg"] {
        let picture = text(name);
        assert!(picture.len() < 100_000 && picture.ends_with("</svg>\n"), "{name}: {} bytes", picture.len());
        for row in
            ["== 3. The backup: backup-ns create -n demo", "verdict    good", "== 6. The recovery", "orders now:"]
        {
            assert!(picture.contains(row), "{name}: no '{row}'");
        }
        for private in ["/root", "/home/", "/tmp/", "localhost"] {
            assert!(!picture.contains(private), "{name}: {private}");
        }
        assert!(text("README.md").contains(name), "README.md does not show {name}");
    }
}

#[test]
fn every_folder_of_the_source_is_in_the_documents() {
    let (mut seen, rows, picture) = (0, text("CONTRIBUTING.md"), text("docs/architecture.md"));
    for parent in ["src", "src/core"] {
        for entry in fs::read_dir(Path::new(ROOT).join(parent)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                let name = entry.file_name().into_string().unwrap();
                assert!(rows.contains(&format!("\n| `{parent}/{name}/` |")), "CONTRIBUTING.md: no row {parent}/{name}");
                let is_named = |line: &str| line.starts_with('│') && line.split_whitespace().any(|word| word == name);
                assert!(picture.lines().any(is_named), "docs/architecture.md: {name} is not in the picture");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen} folders");
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    let mut seen = 0;
    for document in documents() {
        for word in text(&document).split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "kind/", "charts/", ".github/"].iter().any(|root| word.starts_with(root));
            if is_path && !word.contains(|c: char| c.is_whitespace() || "*{…".contains(c)) && !word.contains("NAME") {
                assert!(Path::new(ROOT).join(word).exists(), "{document}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen} files");
}

/// The keys of labels, annotations and finalizers, as the core spells them.
#[test]
fn every_key_is_explained() {
    let (keys, document) = (text("src/core/kube/labels.rs"), text("docs/objects.md"));
    let keys: Vec<&str> = keys
        .split("\"backup-ns.sh/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|key| key.len() > 1)
        .collect();
    assert!(keys.len() > 20, "{keys:?}");
    for key in keys.iter().filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
        assert!(document.contains(&format!("`{key}`")), "docs/objects.md: {key} is not explained");
    }
}
