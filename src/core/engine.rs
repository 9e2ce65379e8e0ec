//! The kinds of database that are dumped. Knows their names, not how they are dumped.

use std::fmt;

use serde::Serialize;

use crate::core::kube::labels;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    MySql,
}

impl Engine {
    /// All of them.
    pub const ALL: [Engine; 2] = [Engine::Postgres, Engine::MySql];

    /// The annotation that holds the proof of a dump of this kind.
    pub const fn annotation(self) -> &'static str {
        match self {
            Engine::Postgres => labels::DUMP_POSTGRES,
            Engine::MySql => labels::DUMP_MYSQL,
        }
    }

    /// The command for what is done with it by hand.
    pub const fn command(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        }
    }

    /// The container's variables of which one holds the password where no setting names another.
    pub const fn password_variables(self) -> &'static [&'static str] {
        match self {
            Engine::Postgres => &["POSTGRES_PASSWORD"],
            Engine::MySql => &["MYSQL_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD"],
        }
    }

    /// The beginning of its settings' names: `BAK_DB_POSTGRES`, `BAK_DB_MYSQL`.
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
