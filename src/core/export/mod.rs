//! An export, and the way back: which files of a snapshot go to which tool, the manifest beside them, the Job, and the record that is left on the
//! snapshot. Must not know how requests are sent, or what a tool's command line is.

pub mod files;
pub mod import;
pub mod job;
pub mod manifest;
pub mod record;

use serde::{Deserialize, Serialize};

/// The tool that brings files to the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportTool {
    Restic,
    Rclone,
    /// The user's own commands.
    Command,
}

impl ExportTool {
    pub const ALL: [ExportTool; 3] = [ExportTool::Restic, ExportTool::Rclone, ExportTool::Command];

    pub const fn word(self) -> &'static str {
        match self {
            ExportTool::Restic => "restic",
            ExportTool::Rclone => "rclone",
            ExportTool::Command => "command",
        }
    }

    /// As a setting has it.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<ExportTool, String> {
        let found = ExportTool::ALL.into_iter().find(|tool| tool.word() == text);
        found.ok_or_else(|| "restic, rclone or command".into())
    }
}

/// What of a snapshot is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportContent {
    /// The proven dumps.
    Dump,
    /// All files of the volume.
    Volume,
}

impl ExportContent {
    pub const ALL: [ExportContent; 2] = [ExportContent::Dump, ExportContent::Volume];

    pub const fn word(self) -> &'static str {
        match self {
            ExportContent::Dump => "dump",
            ExportContent::Volume => "volume",
        }
    }

    /// As a setting has it.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<ExportContent, String> {
        ExportContent::ALL.into_iter().find(|what| what.word() == text).ok_or_else(|| "dump or volume".into())
    }
}

/// Checks the address of an rclone remote. Parameters in it could be secrets.
///
/// # Errors
/// What is accepted.
pub fn check_remote(text: &str) -> Result<(), String> {
    let name = text.split_once(':').map(|(name, _)| name);
    let is_name = |name: &str| {
        name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+@- ".contains(&byte))
    };
    if name.is_some_and(is_name) && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err("REMOTE:PATH, with the name of a remote that the Secret configures and without parameters".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parsed_and_remotes_have_a_name() {
        assert!(ExportTool::ALL.into_iter().all(|tool| ExportTool::parse(tool.word()) == Ok(tool)));
        assert!(ExportContent::ALL.into_iter().all(|what| ExportContent::parse(what.word()) == Ok(what)));
        assert!(ExportTool::parse("tar").is_err() && ExportContent::parse("").is_err());
        for remote in ["far:", "far:bucket/folder", "my remote-2:x:y"] {
            assert_eq!(check_remote(remote), Ok(()), "{remote}");
        }
        for remote in ["", "far", ":s3:bucket", "far,secret=x:bucket", "-far:x", "far:a\nb"] {
            assert!(check_remote(remote).is_err(), "{remote}");
        }
    }
}
