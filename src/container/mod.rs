//! The scripts that run in a database's container. They are static text, put together at compile time; no value becomes part of
//! them. What they report is listed in docs/architecture.md.

pub mod download;
pub mod session;
pub mod upload;

use crate::core::engine::Engine;
use crate::core::export::ExportTool;

/// The text for `sh -c` in a container: reads the script from stdin.
pub const BOOTSTRAP: &str = include_str!("bootstrap.sh");

/// Process 1 of a scratch pod.
pub const KEEPALIVE: &str = include_str!("keepalive.sh");

/// Ends a scratch pod in which several sessions ran, see `keepalive.sh`.
pub const END_POD: &str = ": >/backup-ns/scratch/done";

/// A script for `bootstrap.sh`: its parts and the end mark.
macro_rules! script {
    ($($part:literal),+) => {
        concat!($(include_str!($part)),+, "#end-of-script\n")
    };
}

/// A session that dumps a database of this kind.
pub const fn dump(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!(
                "common.sh",
                "postgres.sh",
                "postgres-globals.sh",
                "globals.sh",
                "session.sh",
                "dump.sh",
                "commands.sh"
            )
        }
        Engine::MySql => {
            script!("common.sh", "mysql.sh", "mysql-globals.sh", "globals.sh", "session.sh", "dump.sh", "commands.sh")
        }
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
                "postgres-roles.sh",
                "postgres-load.sh",
                "session.sh",
                "load.sh",
                "commands.sh"
            )
        }
        Engine::MySql => {
            script!(
                "common.sh",
                "mysql.sh",
                "mysql-scratch.sh",
                "mysql-accounts.sh",
                "mysql-load.sh",
                "session.sh",
                "load.sh",
                "commands.sh"
            )
        }
    }
}

/// A session that loads one table of a dump into a database of this kind.
pub const fn load_table(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!("common.sh", "postgres.sh", "postgres-table.sh", "session.sh", "load.sh", "table.sh", "commands.sh")
        }
        Engine::MySql => {
            script!(
                "common.sh",
                "mysql.sh",
                "mysql-scratch.sh",
                "mysql-table.sh",
                "session.sh",
                "load.sh",
                "table.sh",
                "commands.sh"
            )
        }
    }
}

/// Receives a file for a load session.
pub const RECEIVE: &str = script!("common.sh", "receive.sh");

/// Reports size, hash and state of a dump file of this kind.
pub const fn inspect(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!("common.sh", "postgres.sh", "postgres-facts.sh", "postgres-inspect.sh", "inspect.sh")
        }
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-accounts.sh", "mysql-inspect.sh", "inspect.sh"),
    }
}

/// Reports version and size of a database of this kind.
pub const fn info(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "postgres-info.sh", "info.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-info.sh", "info.sh"),
    }
}

/// Lists the databases of a server of this kind.
pub const fn databases(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "postgres-databases.sh", "databases.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "mysql-databases.sh", "databases.sh"),
    }
}

/// The interactive client of a database of this kind. Goes to `sh -c` itself, because stdin is the user's.
pub const fn shell(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => script!("common.sh", "postgres.sh", "shell.sh"),
        Engine::MySql => script!("common.sh", "mysql.sh", "shell.sh"),
    }
}

/// Writes a password to a file for such a client.
pub const HOLD_PASSWORD: &str = script!("common.sh", "hold-password.sh");

/// Runs the user's hooks around a backup.
pub const HOOK: &str = script!("common.sh", "hook.sh");

/// Flushes a volume whose snapshot holds no dump.
pub const FLUSH: &str = script!("common.sh", "flush.sh");

/// A restore test of a database of this kind.
pub const fn verify(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            script!(
                "common.sh",
                "postgres.sh",
                "postgres-replace.sh",
                "postgres-facts.sh",
                "postgres-roles.sh",
                "postgres-verify.sh",
                "scratch.sh",
                "verify.sh"
            )
        }
        Engine::MySql => {
            script!("common.sh", "mysql.sh", "mysql-accounts.sh", "mysql-verify.sh", "scratch.sh", "verify.sh")
        }
    }
}

/// An export with this tool.
pub const fn export(tool: ExportTool) -> &'static str {
    match tool {
        ExportTool::Restic => script!("common.sh", "export-restic.sh", "scratch.sh", "repository.sh", "export.sh"),
        ExportTool::Rclone => script!("common.sh", "export-rclone.sh", "scratch.sh", "repository.sh", "export.sh"),
        ExportTool::Command => script!("common.sh", "export-command.sh", "scratch.sh", "repository.sh", "export.sh"),
    }
}

/// A look into a repository of exports with this tool.
pub const fn import(tool: ExportTool) -> &'static str {
    match tool {
        ExportTool::Restic => script!("common.sh", "export-restic.sh", "scratch.sh", "repository.sh", "import.sh"),
        ExportTool::Rclone => script!("common.sh", "export-rclone.sh", "scratch.sh", "repository.sh", "import.sh"),
        ExportTool::Command => script!("common.sh", "export-command.sh", "scratch.sh", "repository.sh", "import.sh"),
    }
}

/// Reports whether a directory exists.
pub const DIRECTORY: &str = script!("common.sh", "directory.sh");

/// Rechecks a dump file in an exec of its own.
pub const RECHECK: &str = script!("common.sh", "recheck.sh");
