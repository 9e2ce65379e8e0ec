//! The build script: which commit it records, from where, and when it records none.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "tests start processes and panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The build script, in a folder that is not part of a repository.
struct Script(tempfile::TempDir);

impl Script {
    fn new() -> Script {
        let temp = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
        let mut command = Command::new(rustc);
        command.arg("--edition=2024").arg(source).arg("-o").arg(temp.path().join("script"));
        assert!(command.status().unwrap().success());
        fs::create_dir_all(temp.path().join("tree/inner/src")).unwrap();
        for folder in ["tree", "tree/inner"] {
            fs::write(temp.path().join(folder).join("Cargo.toml"), "").unwrap();
        }
        Script(temp)
    }

    /// What the program gets to know: `COMMIT DATE`.
    fn run(&self, folder: &str, env: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.0.path().join("script"));
        command.current_dir(self.0.path().join(folder)).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let output = command.envs(env.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let set: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.strip_prefix("cargo::rustc-env=")?.split_once('=')).collect();
        assert_eq!(set.len(), 2, "{text}");
        format!("{} {}", set["BACKUP_NS_COMMIT"], set["BACKUP_NS_COMMIT_DATE"])
    }

    fn git(&self, args: &[&str]) -> String {
        let when = "2026-11-29T23:30:00-02:00";
        let own = [("GIT_AUTHOR_DATE", when), ("GIT_COMMITTER_DATE", when), ("GIT_CONFIG_GLOBAL", "/dev/null")];
        let mut command = Command::new("git");
        command.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(args).envs(own);
        let output = command.current_dir(self.0.path().join("tree")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().into()
    }
}

#[test]
fn the_commit_is_the_given_one_or_gits_or_none() {
    let (script, release) = (Script::new(), ("PROFILE", "release"));
    assert_eq!(script.run("tree", &[release]), " ", "no repository");
    script.git(&["init", "--quiet"]);
    assert_eq!(script.run("tree", &[release]), " ", "no commit");
    script.git(&["add", "."]);
    script.git(&["commit", "--quiet", "--message=x"]);
    let is = format!("{} 2026-11-30T01:30:00Z", script.git(&["rev-parse", "HEAD"]));
    assert_eq!(script.run("tree", &[release]), is);
    assert_eq!(script.run("tree", &[release]), is, "two builds of a commit are the same");
    fs::write(script.0.path().join("tree/README.md"), "not built").unwrap();
    assert_eq!(script.run("tree", &[release]), is);
    fs::write(script.0.path().join("tree/Cargo.toml"), "\n").unwrap();
    assert_eq!(script.run("tree", &[release]), is.replace(' ', "-modified "));
    assert_eq!(script.run("tree/inner", &[release]), " ", "the repository is of something else");
    assert_eq!(script.run("tree", &[("PROFILE", "debug")]), " ");
    assert_eq!(script.run("tree", &[release, ("PATH", "/nonexistent")]), " ", "no git");
    let given = [release, ("BACKUP_NS_COMMIT", "ab12"), ("BACKUP_NS_COMMIT_DATE", "2026-01-02T03:04:05Z")];
    assert_eq!(script.run("tree", &given), "ab12 2026-01-02T03:04:05Z");
    assert_eq!(script.run("tree", &given[..2]), "ab12 ");
    assert_eq!(script.run("tree", &[("BACKUP_NS_COMMIT", "ab12\ncargo::rustc-env=X=Y")]), "ab12 ");
}
