//! The scripts that run in a database's container, as the static texts they are. Put together at compile time; no
//! value ever becomes part of them.

/// A script ready for `boot.sh`: its text with the end mark.
macro_rules! script {
    ($($part:literal),+) => {
        concat!($(include_str!($part)),+, "#end-of-script\n")
    };
}

/// A backup's session with PostgreSQL.
pub const POSTGRES_SESSION: &str = script!("common.sh", "postgres.sh", "session.sh");

/// The second look at a dump file.
pub const SECOND_LOOK: &str = script!("common.sh", "second.sh");
