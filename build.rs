//! Records the commit that the program is built from, for `backup-ns version`: that of `BACKUP_NS_COMMIT` and
//! `BACKUP_NS_COMMIT_DATE`, else for a release build that of git. The clock is not read: two builds of one commit are the same.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a build script reads the environment, starts git, and speaks to cargo by its stdout"
)]

use std::path::Path;
use std::process::Command;

/// What the program is made of.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let given = ["BACKUP_NS_COMMIT", "BACKUP_NS_COMMIT_DATE"].map(|name| {
        println!("cargo::rerun-if-env-changed={name}");
        std::env::var(name).unwrap_or_default()
    });
    // A debug build is made after every change; with a commit it would be made after every commit, too.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let [commit, date] = match given {
        [commit, date] if !commit.is_empty() => [commit, date],
        _ if is_release => from_git().unwrap_or_default(),
        _ => Default::default(),
    };
    println!("cargo::rustc-env=BACKUP_NS_COMMIT={}", word(&commit));
    println!("cargo::rustc-env=BACKUP_NS_COMMIT_DATE={}", word(&date));
}

/// The commit, with `-modified` if the sources differ from it, and its date in UTC.
fn from_git() -> Option<[String; 2]> {
    // The sources may lie in the repository of something else.
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::current_dir().ok()?.canonicalize().ok()?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name])?;
        // A file that is missing would run this script at every build.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let show = git(&["show", "-s", "--format=%H %cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "HEAD"])?;
    let (commit, date) = show.split_once(' ')?;
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    let modified = if changes.is_empty() { "" } else { "-modified" };
    Some([format!("{commit}{modified}"), date.into()])
}

/// What git prints; None without git or without a repository.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).env("TZ", "UTC").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

/// The first word: a line break would end what cargo reads.
fn word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}
