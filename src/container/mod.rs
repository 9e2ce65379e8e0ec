//! The scripts that run in a database's container, as the static texts they are. Put together at compile time; no
//! value ever becomes part of them.

use crate::core::engine::Engine;

/// A script ready for `boot.sh`: its text with the end mark.
macro_rules! script {
    ($($part:literal),+) => {
        concat!($(include_str!($part)),+, "#end-of-script\n")
    };
}

/// A backup's session with a database of this kind.
pub const fn session(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "session.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "session.sh"),
    }
}

/// What a user wants run before and after.
pub const HOOK: &str = script!("common.sh", "hook.sh");

/// The flush of a volume whose snapshot holds no dump.
pub const FLUSH: &str = script!("common.sh", "flush.sh");

/// The second look at a dump file.
pub const SECOND_LOOK: &str = script!("common.sh", "second.sh");
