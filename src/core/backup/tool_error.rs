//! What the database's tools said that changes a remedy. Their stderr is all that they give, so this is the one place that reads
//! their words: the scripts set `LC_ALL=C`, and MySQL's errors are known by their numbers.

/// A known cause in the stderr of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolError {
    /// ENOSPC.
    NoSpace,
    /// EROFS.
    ReadOnly,
    /// MySQL: the account that defines a view or a routine does not exist.
    UnknownDefiner,
    /// MySQL: a view refers to what does not exist any more, or its definer may not read it.
    InvalidView,
    /// PostgreSQL: a tablespace that the dump names does not exist.
    NoTablespace,
    /// MySQL: this account may log in through the server's socket only.
    SocketOnly,
    /// What a dump creates exists, and the dump does not drop it first.
    AlreadyThere,
    /// PostgreSQL: a standby ended a query that was in the way of what it replays
    /// (<https://www.postgresql.org/docs/current/hot-standby.html#HOT-STANDBY-CONFLICT>).
    RecoveryConflict,
    /// PostgreSQL: the server ended the connection. A standby does that, too, if nothing is being read at that moment.
    ConnectionEnded,
    /// The server takes no writes: a standby, or a MySQL or MariaDB that is read-only.
    TakesNoWrites,
    /// The server wants a password, and the client sent none.
    NoPassword,
    /// There is no database of that name.
    NoDatabase,
}

impl ToolError {
    /// Whether the tools reported this.
    pub fn is_in(self, said: &str) -> bool {
        let words: &[&str] = match self {
            ToolError::NoSpace => &["No space left"],
            ToolError::ReadOnly => &["Read-only file system"],
            // As mysql writes them, and mysqldump for a query and for a lock.
            ToolError::UnknownDefiner => &["ERROR 1449", "(1449)", "error: 1449:"],
            ToolError::InvalidView => &["ERROR 1356", "(1356)", "error: 1356:"],
            ToolError::NoTablespace => &["invalid value for parameter \"default_tablespace\""],
            ToolError::SocketOnly => &["ERROR 1698"],
            ToolError::AlreadyThere => &[" already exists"],
            ToolError::RecoveryConflict => &["conflict with recovery"],
            ToolError::ConnectionEnded => &["server closed the connection unexpectedly"],
            ToolError::TakesNoWrites => &["in a read-only transaction", "during recovery", "ERROR 1290"],
            ToolError::NoPassword => &["no password supplied", "using password: NO"],
            ToolError::NoDatabase => {
                let is_so = |line: &str| line.contains("FATAL:  database \"") && line.ends_with("\" does not exist");
                return said.contains("ERROR 1049") || said.lines().any(is_so);
            }
        };
        words.iter().any(|words| said.contains(words))
    }
}
