//! The kinds of database. Must not know how they are dumped.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::kube::labels;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Engine {
    pub const ALL: [Engine; 2] = [Engine::Postgres, Engine::MySql];

    /// The annotation that holds the proof of its dump.
    pub const fn annotation(self) -> &'static str {
        match self {
            Engine::Postgres => labels::DUMP_POSTGRES,
            Engine::MySql => labels::DUMP_MYSQL,
        }
    }

    /// The command that groups the manual commands for it.
    pub const fn command(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        }
    }

    /// The container's variables that may hold the password, unless a setting names another.
    pub const fn password_variables(self) -> &'static [&'static str] {
        match self {
            Engine::Postgres => &["POSTGRES_PASSWORD"],
            Engine::MySql => &["MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"],
        }
    }

    /// The beginning of the names of its settings.
    pub const fn setting(self) -> &'static str {
        match self {
            Engine::Postgres => "BAK_DB_POSTGRES",
            Engine::MySql => "BAK_DB_MYSQL",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Postgres => "PostgreSQL",
            Engine::MySql => "MySQL",
        })
    }
}
