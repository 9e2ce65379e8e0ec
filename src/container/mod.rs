//! The scripts that run in a database's container, as the static texts they are. Put together at compile time; no
//! value ever becomes part of them.

pub mod download;
pub mod session;

use crate::core::engine::Engine;

/// What `sh -c` gets in a container: reads the script from stdin.
pub const BOOTSTRAP: &str = include_str!("bootstrap.sh");

/// What keeps the pod of a restore test running.
pub const KEEPALIVE: &str = include_str!("keepalive.sh");

/// A script ready for `bootstrap.sh`: its text with the end mark.
macro_rules! script {
    ($($part:literal),+) => {
        concat!($(include_str!($part)),+, "#end-of-script\n")
    };
}

/// A backup's session with a database of this kind.
pub const fn dump(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "session.sh", "dump.sh", "commands.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "session.sh", "dump.sh", "commands.sh"),
    }
}

/// A session that loads a dump into a database of this kind.
pub const fn load(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!(
                "common.sh",
                "postgres.sh",
                "postgres-replace.sh",
                "postgres-load.sh",
                "session.sh",
                "load.sh",
                "commands.sh"
            )
        }
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-load.sh", "session.sh", "load.sh", "commands.sh"),
    }
}

/// What a dump file of this kind is.
pub const fn inspect(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "inspect.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "inspect.sh"),
    }
}

/// What a database of this kind is like.
pub const fn info(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "postgres-info.sh", "info.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-info.sh", "info.sh"),
    }
}

/// A client of a database of this kind for a person; for `sh -c` itself, as stdin is the person's.
pub const fn shell(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "shell.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "shell.sh"),
    }
}

/// A password that waits for such a client.
pub const HOLD_PASSWORD: &str = script!("common.sh", "hold-password.sh");

/// What a user wants run before and after.
pub const HOOK: &str = script!("common.sh", "hook.sh");

/// The flush of a volume whose snapshot holds no dump.
pub const FLUSH: &str = script!("common.sh", "flush.sh");

/// A restore test of a database of this kind.
pub const fn verify(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!("common.sh", "postgres.sh", "postgres-replace.sh", "postgres-verify.sh", "verify.sh")
        }
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-verify.sh", "verify.sh"),
    }
}

/// The second look at a dump file.
pub const RECHECK: &str = script!("common.sh", "recheck.sh");
