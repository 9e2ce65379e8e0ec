//! Exit codes and the one error type that carries them.
//!
//! Everything that can go wrong ends in a [`Fail`]: what happened, what to do about it, and with which
//! code the program ends. Must not know which command was running or how a message is printed.

use std::fmt;

/// Why the program ends. The numbers are an interface: they stand in `--help` and in the README.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// Something failed that has no code of its own, the API being out of reach among it.
    Failed,
    /// The command line or the configuration is wrong; nothing was started.
    Usage,
    /// Some of it is done; what is not was listed.
    Partial,
    /// Something a backup needs is not there: PVC, pod, tool, space, permission.
    Precondition,
    /// No lock in time.
    Lock,
    /// The dump failed or could not be proven.
    Dump,
    /// The VolumeSnapshot failed or was not ready in time.
    Snapshot,
    /// A backup that was put to the test turned out bad.
    BackupBad,
    /// Ended by the signal with this number.
    Signal(i32),
    /// As another program ended whose work this was: with its status.
    As(u8),
}

impl Exit {
    /// The process status for this ending.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::Precondition => 4,
            Exit::Lock => 5,
            Exit::Dump => 6,
            Exit::Snapshot => 7,
            Exit::As(code) => code,
            Exit::BackupBad => 8,
            Exit::Signal(n) => 128u8.saturating_add(u8::try_from(n).unwrap_or(127)),
        }
    }
}

/// The table of exit codes as `--help` shows it.
pub const HELP: &str = "\
Exit codes:
  0      done
  1      failed
  2      usage or configuration
  3      partly done (the rest is listed)
  4      a precondition is missing (PVC, pod, tool, space, permission)
  5      no lock in time
  6      the dump failed or could not be proven
  7      the snapshot failed or was not ready in time
  8      a verified backup turned out bad
  128+n  ended by signal n";

/// A failure: what happened, what the reader can do, how the program ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail {
    /// How the program ends.
    pub exit: Exit,
    /// What happened, a sentence without a full stop.
    pub what: String,
    /// What to do about it; empty where nothing can be said.
    pub remedy: String,
    /// Whether it was printed already.
    pub is_reported: bool,
}

impl Fail {
    /// A failure without a remedy.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Fail { exit, what: what.into(), remedy: String::new(), is_reported: false }
    }

    /// A precondition that is missing, and what to do about it.
    pub fn precondition((what, remedy): (String, String)) -> Self {
        Fail::new(Exit::Precondition, what).remedy(remedy)
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// The same failure, which was printed.
    #[must_use]
    pub fn reported(mut self) -> Self {
        self.is_reported = true;
        self
    }

    /// The same failure seen as part of a phase that has a code of its own. A signal and a missing
    /// permission keep theirs.
    #[must_use]
    pub fn during(mut self, exit: Exit) -> Self {
        if self.exit == Exit::Failed {
            self.exit = exit;
        }
        self
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fail {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_code() {
        use Exit::*;
        for exit in [Done, Failed, Usage, Partial, Precondition, Lock, Dump, Snapshot, BackupBad] {
            assert!(HELP.contains(&format!("\n  {} ", exit.code())), "{exit:?}");
        }
        assert_eq!(Exit::Signal(15).code(), 143);
    }

    #[test]
    fn a_phase_does_not_hide_a_signal_or_a_permission() {
        assert_eq!(Fail::new(Exit::Signal(2), "").during(Exit::Dump).exit, Exit::Signal(2));
        assert_eq!(Fail::new(Exit::Precondition, "").during(Exit::Dump).exit, Exit::Precondition);
        assert_eq!(Fail::new(Exit::Failed, "").during(Exit::Dump).exit, Exit::Dump);
    }
}
