//! The file of the server's roles or accounts, which lies beside a dump: whether one is wanted, and what the proof says of it. Must
//! not know how it is made.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::core::backup::proof::is_sha256;
use crate::core::engine::Engine;

/// Whether the file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalsMode {
    /// If it can be made; a warning says why it is not.
    Auto,
    /// A dump without it fails.
    Required,
    Off,
}

impl GlobalsMode {
    /// As a setting has it.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<GlobalsMode, String> {
        let known = [GlobalsMode::Auto, GlobalsMode::Required, GlobalsMode::Off];
        known.into_iter().find(|mode| mode.word() == text).ok_or_else(|| "auto, true or false".into())
    }

    /// The word for it, in settings and for the script.
    pub fn word(self) -> &'static str {
        match self {
            GlobalsMode::Auto => "auto",
            GlobalsMode::Required => "true",
            GlobalsMode::Off => "false",
        }
    }
}

/// The word for what is in the file.
pub fn noun(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "role",
        Engine::MySql => "account",
    }
}

/// What the proof of a dump says of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalsProof {
    pub bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Whether it holds the hashes of passwords.
    pub passwords: bool,
    /// How many roles or accounts it makes.
    pub roles: u64,
}

impl GlobalsProof {
    /// From the container's `ROLES PASSWORDS BYTES SHA256`; `None` if it is something else.
    pub fn parse(text: &str) -> Option<GlobalsProof> {
        let words: Vec<&str> = text.split(' ').collect();
        let [roles, passwords, bytes, sha256] = words[..] else { return None };
        let proof = GlobalsProof {
            bytes: bytes.parse().ok()?,
            sha256: sha256.into(),
            passwords: passwords == "yes",
            roles: roles.parse().ok()?,
        };
        proof.file("").map(|_| proof)
    }

    /// The path of the file beside this dump; `None` if the proof has no SHA-256.
    pub fn file(&self, dump: &str) -> Option<String> {
        is_sha256(&self.sha256).then(|| format!("{dump}.globals-{}.sql", &self.sha256[..16]))
    }
}

/// A file of roles that was found beside a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalsFile {
    pub bytes: u64,
    pub sha256: String,
    /// The roles that it makes, in double quotes, or the accounts, in backquotes.
    pub roles: Vec<String>,
}

impl GlobalsFile {
    /// From `BYTES SHA256`.
    pub fn parse(text: &str) -> Option<GlobalsFile> {
        let (bytes, sha256) = text.split_once(' ')?;
        Some(GlobalsFile { bytes: bytes.parse().ok()?, sha256: sha256.into(), roles: Vec::new() })
    }
}

/// What a load has to do with roles or accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RolesOfLoad {
    /// Those that the dump names and the server lacks.
    pub lacking: Vec<String>,
    /// Those that the proven file beside the dump makes and the server lacks; `None` without such a file.
    pub recorded: Option<Vec<String>>,
    /// Those of that file that the server has.
    pub kept: Vec<String>,
}

impl RolesOfLoad {
    /// Compares the roles that a dump names, and the files beside it, with the server and with the proof. Names of roles are in
    /// double quotes, in the result they are not. Accounts stay as they are. Every server has some; if none is given, the user may
    /// not see them, and none is known to be missing.
    pub fn of(
        needs: &[String],
        files: &[GlobalsFile],
        proof: Option<&GlobalsProof>,
        server: &BTreeSet<String>,
    ) -> RolesOfLoad {
        let of_these = |names: &[String], there: bool| {
            let chosen = |name: &&String| !server.is_empty() && server.contains(*name) == there;
            let chosen: BTreeSet<&String> = names.iter().filter(chosen).collect();
            chosen.into_iter().map(|name| bare(name)).collect::<Vec<_>>()
        };
        let is_proven =
            |file: &&GlobalsFile| proof.is_some_and(|it| it.bytes == file.bytes && it.sha256 == file.sha256);
        let file = files.iter().find(is_proven);
        RolesOfLoad {
            lacking: of_these(needs, false),
            recorded: file.map(|file| of_these(&file.roles, false)),
            kept: file.map(|file| of_these(&file.roles, true)).unwrap_or_default(),
        }
    }

    /// Those that the dump names and that are missing even after the recorded ones are made.
    pub fn unknown(&self) -> Vec<String> {
        let recorded = self.recorded.as_deref().unwrap_or_default();
        self.lacking.iter().filter(|name| !recorded.contains(name)).cloned().collect()
    }
}

/// A name without its double quotes.
fn bare(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inner.unwrap_or(name).replace("\"\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_lacks_and_what_the_file_has_is_told_apart() {
        let quoted = |names: &[&str]| names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
        let sum = "0123456789abcdef".repeat(4);
        let file = |sum: &str| GlobalsFile {
            roles: quoted(&["app", "O\"\"Hara", "web"]),
            ..GlobalsFile::parse(&format!("120 {sum}")).unwrap()
        };
        let proof = GlobalsProof::parse(&format!("3 yes 120 {sum}")).unwrap();
        let server = quoted(&["app"]).into_iter().collect();
        let of = |files: &[GlobalsFile], proof| {
            RolesOfLoad::of(&quoted(&["web", "app", "gone", "web"]), files, proof, &server)
        };
        let found = of(&[file("other"), file(&sum)], Some(&proof));
        assert_eq!((&found.lacking, &found.unknown()), (&vec!["gone".to_string(), "web".into()], &vec!["gone".into()]));
        assert_eq!(found.recorded, Some(vec!["O\"Hara".into(), "web".into()]));
        assert_eq!(found.kept, ["app"]);
        let unseen = RolesOfLoad::of(&quoted(&["web"]), &[file(&sum)], Some(&proof), &BTreeSet::new());
        assert_eq!(unseen, RolesOfLoad { recorded: Some(Vec::new()), ..RolesOfLoad::default() });
        let accounts = ["`web`@`%`".to_string(), "`o``hara`".into()];
        let server = ["`root`@`localhost`".to_string()].into_iter().collect();
        assert_eq!(RolesOfLoad::of(&accounts, &[], None, &server).lacking, ["`o``hara`", "`web`@`%`"]);
        for (files, proof) in [(vec![file("other")], Some(&proof)), (vec![file(&sum)], None), (vec![], Some(&proof))] {
            assert_eq!(of(&files, proof).recorded, None, "only the file of the proof counts");
        }
        assert_eq!((GlobalsFile::parse("x"), GlobalsFile::parse("x y")), (None, None));
    }

    #[test]
    fn the_file_is_named_by_its_hash_and_other_words_are_no_proof() {
        let sum = "0123456789abcdef".repeat(4);
        let proof = GlobalsProof::parse(&format!("3 yes 120 {sum}")).unwrap();
        assert_eq!((proof.roles, proof.passwords, proof.bytes), (3, true, 120));
        assert_eq!(proof.file("/data/dump.sql.gz").unwrap(), "/data/dump.sql.gz.globals-0123456789abcdef.sql");
        assert!(!GlobalsProof::parse(&format!("3 no 120 {sum}")).unwrap().passwords);
        for other in ["", "3 yes 120", "x yes 120 SUM", "3 yes x SUM", "3 yes 120 ../../x", "3 yes 120 SUM more"] {
            assert_eq!(GlobalsProof::parse(&other.replace("SUM", &sum)), None, "{other}");
        }
        for mode in [GlobalsMode::Auto, GlobalsMode::Required, GlobalsMode::Off] {
            assert_eq!(GlobalsMode::parse(mode.word()), Ok(mode));
        }
        assert!(GlobalsMode::parse("yes").is_err());
    }
}
