//! Finds the databases that a setting names in the container that was chosen for them: one for each dump. Must not know what is done
//! with the dumps.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::backup::dump;
use crate::backup::observe::DatabasePlace;
use crate::cluster::kubectl::Kubectl;
use crate::config::{Database, DbValue};
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::databases::{self, OtherDatabases};
use crate::core::backup::find_proof;
use crate::core::backup::pod::Chosen;
use crate::core::engine::Engine;
use crate::exit::{Exit, Fail};

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// One for each database that the setting names: the first as it is, the others with their own dump files.
///
/// # Errors
/// The server cannot be asked for all of its databases, or has none or too many.
pub fn one_per_database(kubectl: &Kubectl, database: &Database, chosen: &Chosen, nonce: &str) -> Result<Vec<Database>> {
    let others = match &database.others {
        OtherDatabases::Named(names) => names.clone(),
        OtherDatabases::All => {
            let names = list(kubectl, database, chosen, nonce)?.in_order(database.engine)?;
            let listed =
                |(at, name): (usize, &String)| Database { is_listed: true, ..with_name(database, name, at == 0) };
            return Ok(names.iter().enumerate().map(listed).collect());
        }
    };
    let first = Database { others: OtherDatabases::Named(Vec::new()), ..database.clone() };
    Ok(std::iter::once(first).chain(others.iter().map(|name| with_name(database, name, false))).collect())
}

/// The database `name` of the same server. Only the first has the path of the setting.
fn with_name(database: &Database, name: &str, is_first: bool) -> Database {
    let dump_file = match is_first {
        true => database.dump_file.clone(),
        false => databases::dump_file(&database.dump_file, name),
    };
    let others = OtherDatabases::Named(Vec::new());
    Database { database: DbValue::Literal(name.into()), others, dump_file, ..database.clone() }
}

/// The one database that a manual command is for: `name`, or without it the only one that the setting names. Which file a name has
/// depends on whether it is the first. To read one, the newest proof of it decides, if there is one; `writes` has the settings
/// decide, because the file of an older proof may be another database's by now.
///
/// # Errors
/// No name is given and the setting names several; or the server cannot be asked.
pub fn selected(
    kubectl: &Kubectl,
    place: &DatabasePlace,
    name: Option<&str>,
    writes: bool,
    nonce: &str,
) -> Result<Database> {
    let DatabasePlace { database, claim, chosen, snapshots, .. } = place;
    let Some(name) = name else {
        if database.others.is_empty() {
            return Ok(database.clone());
        }
        let mut all = one_per_database(kubectl, database, chosen, nonce)?;
        if all.len() == 1 {
            return Ok(all.remove(0));
        }
        let names: Vec<String> = all.iter().map(|it| it.database.to_string()).collect();
        let what = format!(
            "{}_DB names several databases, and this takes one: {}",
            database.engine.setting(),
            names.join(", ")
        );
        bail!(Fail::new(Exit::Usage, what).remedy("name one of them with --database"));
    };
    let (first, other) = (with_name(database, name, true), with_name(database, name, false));
    let paths = [first.dump_file.as_str(), other.dump_file.as_str()];
    let proven = (!writes).then(|| find_proof::file_of(database.engine, claim, snapshots, name, paths)).flatten();
    let proven = proven.map(|path| path == first.dump_file);
    let is_first = match (proven, &database.others, &database.database) {
        (Some(is_first), ..) => is_first,
        (None, OtherDatabases::Named(names), _) if names.iter().any(|other| other == name) => false,
        (None, OtherDatabases::Named(_), DbValue::Literal(first)) => first == name,
        (None, OtherDatabases::Named(_), DbValue::Variable(_)) => list(kubectl, database, chosen, nonce)?.own == name,
        (None, OtherDatabases::All, _) => {
            let all = list(kubectl, database, chosen, nonce)?.in_order(database.engine)?;
            all.first().is_some_and(|first| first == name)
        }
    };
    Ok(if is_first { first } else { other })
}

/// What the server answered.
#[derive(Debug, Default)]
struct ServerDatabases {
    /// The database that the container's own variable names.
    own: String,
    names: Vec<String>,
    /// Databases whose names hold control characters, with those replaced.
    unfit: Vec<String>,
    /// Whether the user may see only those databases that it has rights on.
    limited: bool,
    answers: bool,
    /// The container's messages.
    said: String,
}

impl ServerDatabases {
    fn note(&mut self, key: &str, value: &str) {
        match key {
            "own" => self.own = value.into(),
            "database" => self.names.push(value.into()),
            "unfit" => self.unfit.push(value.into()),
            "limited" => self.limited = true,
            "answers" => self.answers = true,
            _ => {}
        }
    }

    /// The databases in the order of their dumps.
    fn in_order(self, engine: Engine) -> Result<Vec<String>, Fail> {
        let setting = format!("{}_DB", engine.setting());
        let missing = |what: String, remedy: &str| {
            Err(Fail::new(Exit::Precondition, what).remedy(format!("{remedy}, or name the databases in {setting}")))
        };
        if !self.answers {
            let said = if self.said.is_empty() { String::new() } else { format!(": {}", self.said) };
            return missing(
                format!("the server does not list its databases with these settings{said}"),
                "check the host, port, user and password settings",
            );
        }
        if let Some(name) = self.unfit.first() {
            let what =
                format!("the name of the database '{name}' holds control characters, so {setting}=* cannot be used");
            return missing(what, "rename it");
        }
        if self.limited {
            return missing(
                format!(
                    "the user lacks SHOW DATABASES, so {setting}=* would leave out databases that it has no rights on"
                ),
                "GRANT SHOW DATABASES ON *.* to it",
            );
        }
        match self.names.len() {
            0 => missing(
                "the server has no database besides its own, or the user may see none".into(),
                "create one, or give the user rights on it",
            ),
            1..=databases::MOST => Ok(databases::in_order(self.names, &self.own)),
            number => missing(
                format!("the server has {number} databases, and one backup takes at most {}", databases::MOST),
                "make several backups, each of some of them",
            ),
        }
    }
}

/// Asks the server for its databases.
fn list(kubectl: &Kubectl, database: &Database, chosen: &Chosen, nonce: &str) -> Result<ServerDatabases> {
    let values = dump::connection(database);
    let ask = || {
        let script = container::databases(database.engine);
        let mut session = Session::start(kubectl, chosen, script, nonce, &values)?;
        let mut found = ServerDatabases::default();
        session.until("end", ANSWER, |key, value| found.note(key, value))?;
        found.said = session.last_words();
        Ok(found)
    };
    let found =
        kubectl.patiently(ask).map_err(|error| session::fail(&error, Exit::Precondition, "nothing was changed"))?;
    Ok(found)
}

/// Checks that no two dumps in one container have one file, as a path of one setting may be what another's is made to.
///
/// # Errors
/// Two have.
pub fn check_files<'a>(all: impl Iterator<Item = (&'a Database, &'a Chosen)> + Clone) -> Result<()> {
    for (at, (one, pod)) in all.clone().enumerate() {
        let is_same = |(other, other_pod): &(&Database, &Chosen)| {
            other.dump_file == one.dump_file && other_pod.pod == pod.pod && other_pod.container == pod.container
        };
        if all.clone().take(at).any(|other| is_same(&other)) {
            bail!(
                Fail::new(Exit::Usage, format!("two databases would have one dump file, {}", one.dump_file)).remedy(
                    "set BAK_DB_POSTGRES_DUMP_FILE and BAK_DB_MYSQL_DUMP_FILE to files in different directories"
                )
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> ServerDatabases {
        let mut found = ServerDatabases::default();
        found.note("own", "shop");
        names.iter().for_each(|name| found.note("database", name));
        found.note("answers", "yes");
        found
    }

    #[test]
    fn what_the_server_lists_is_used_or_refused_with_a_remedy() {
        assert_eq!(found(&["app", "shop", "a b"]).in_order(Engine::MySql).unwrap(), ["shop", "a b", "app"]);
        let fail = |found: ServerDatabases| {
            let fail = found.in_order(Engine::MySql).unwrap_err();
            assert_eq!(fail.exit, Exit::Precondition);
            assert!(fail.remedy.ends_with(", or name the databases in BAK_DB_MYSQL_DB"), "{}", fail.remedy);
            fail.what
        };
        assert!(fail(found(&[])).contains("has no database besides its own"));
        let many: Vec<String> = (0..=databases::MOST).map(|at| format!("d{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(fail(found(&many)).contains("33 databases, and one backup takes at most 32"));
        assert!(found(&many[1..]).in_order(Engine::Postgres).is_ok());
        let mut unfit = found(&["app"]);
        unfit.note("unfit", "a b");
        assert!(fail(unfit).contains("'a b' holds control characters"));
        let limited = ServerDatabases { limited: true, ..found(&["app"]) };
        assert!(fail(limited).contains("the user lacks SHOW DATABASES, so BAK_DB_MYSQL_DB=* would leave out"));
        let silent = ServerDatabases { answers: false, said: "Access denied".into(), ..found(&["app"]) };
        assert!(fail(silent).contains("does not list its databases with these settings: Access denied"));
    }
}
