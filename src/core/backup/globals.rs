//! The file of the server's roles or accounts, which lies beside a dump: whether one is wanted, and what the proof says of it. Must
//! not know how it is made.

use serde::{Deserialize, Serialize};

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
        let is_sum = self.sha256.len() == 64 && self.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        is_sum.then(|| format!("{dump}.globals-{}.sql", &self.sha256[..16]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
