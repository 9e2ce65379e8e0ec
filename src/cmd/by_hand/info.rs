//! `postgres|mysql info`: what the database, its dump file and its volume are like.

use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Hand, ago};
use crate::backup::dump;
use crate::backup::inspect_dump::{DumpFile, InspectDepth};
use crate::backup::observe::DatabasePlace;
use crate::cmd::now;
use crate::cmd::show::{show, table};
use crate::container;
use crate::container::session::{self, Session};
use crate::core::backup::find_proof::Proven;
use crate::core::backup::preflight;
use crate::core::words::counted;
use crate::exit::{Exit, Fail};
use crate::io::report;

/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_secs(120);

/// Shows it.
///
/// # Errors
/// There is no pod, or the database does not answer; what is known is still printed.
pub fn run(hand: &Hand<'_>) -> Result<()> {
    let place = hand.place(true)?;
    let (heard, said) = hear(hand, &place)?;
    let found = hand.inspect(&place, InspectDepth::Hash)?;
    let now = now();
    let volume = preflight::parse_df(&heard.df);
    let info = Info {
        namespace: &hand.kubectl.target.namespace,
        pod: &place.chosen.pod,
        container: &place.chosen.container,
        database: heard.answers.then_some(heard.database),
        dump: found.as_ref().map(|(file, proven)| DumpInfo::of(&place.database.dump_file, file, proven.as_ref(), now)),
        volume: volume.map(|(used_percent, available_bytes)| VolumeInfo {
            pvc: &hand.config.pvc,
            used_percent,
            available_bytes,
        }),
    };
    show(hand.reporter, hand.global.output, &info, || info.text(now))?;
    match info.database {
        Some(_) => Ok(()),
        None => {
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let what = format!("the database in pod {} does not answer with these settings{said}", place.chosen.pod);
            bail!(
                Fail::new(Exit::Precondition, what)
                    .remedy("look at the message; check the host, port, user, password and database settings")
            )
        }
    }
}

/// What the container said.
#[derive(Default)]
struct Heard {
    answers: bool,
    df: String,
    database: DatabaseInfo,
}

/// Asks the database; what the container wrote to stderr, too.
fn hear(hand: &Hand<'_>, place: &DatabasePlace) -> Result<(Heard, String)> {
    hand.reporter.step("ask", |_| {
        let DatabasePlace { database, chosen, .. } = place;
        let mut values = vec![database.dump_file.clone()];
        values.extend(dump::connection(database));
        let ask = || {
            let script = container::info(database.engine);
            let mut session = Session::start(&hand.kubectl, chosen, script, &hand.nonce, &values)?;
            let mut heard = Heard::default();
            session.until("end", ANSWER, |key, value| heard.note(key, value))?;
            Ok((heard, session.last_words()))
        };
        let (heard, said) = hand
            .kubectl
            .patiently(ask)
            .map_err(|error| session::fail(&error, Exit::Precondition, "nothing was changed"))?;
        let DatabaseInfo { version, name, .. } = &heard.database;
        let what = if heard.answers { format!("{version}, database {name}") } else { "no answer".into() };
        Ok(((heard, said), what))
    })
}

impl Heard {
    fn note(&mut self, key: &str, value: &str) {
        let database = &mut self.database;
        match key {
            "answers" => self.answers = true,
            "df" => self.df = value.into(),
            "database" => database.name = value.into(),
            "version" => database.version = value.into(),
            "size" => database.bytes = value.trim().parse().ok(),
            "tables" => database.tables = value.trim().parse().ok(),
            "table" => database.biggest.extend(Table::parse(value)),
            _ => {}
        }
    }
}

/// All of it.
#[derive(Serialize)]
struct Info<'a> {
    namespace: &'a str,
    pod: &'a str,
    container: &'a str,
    /// None where it does not answer.
    database: Option<DatabaseInfo>,
    /// None if there is none.
    dump: Option<DumpInfo<'a>>,
    volume: Option<VolumeInfo<'a>>,
}

/// The database.
#[derive(Default, Serialize)]
struct DatabaseInfo {
    name: String,
    /// The server's version, as it says it.
    version: String,
    bytes: Option<u64>,
    /// How many tables it has.
    tables: Option<u64>,
    /// At most ten, the biggest first.
    biggest: Vec<Table>,
}

/// One table.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Table {
    name: String,
    /// As the server estimates.
    rows: u64,
    /// With its indexes.
    bytes: u64,
}

impl Table {
    /// From `BYTES ROWS NAME`.
    fn parse(text: &str) -> Option<Table> {
        let (bytes, rest) = text.split_once(' ')?;
        let (rows, name) = rest.split_once(' ')?;
        Some(Table { name: name.into(), rows: rows.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

/// The dump file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DumpInfo<'a> {
    file: &'a str,
    bytes: u64,
    sha256: &'a str,
    modified: Option<DateTime<Utc>>,
    age_seconds: Option<i64>,
    /// The object that has its proof; none if it is not proven.
    proven_by: Option<&'a str>,
}

impl<'a> DumpInfo<'a> {
    fn of(path: &'a str, file: &'a DumpFile, proven: Option<&'a Proven>, now: DateTime<Utc>) -> DumpInfo<'a> {
        DumpInfo {
            file: path,
            bytes: file.bytes,
            sha256: &file.sha256,
            modified: file.modified,
            age_seconds: file.modified.map(|time| (now - time).num_seconds().max(0)),
            proven_by: proven.map(|proven| proven.by.as_str()),
        }
    }
}

/// The volume that holds the dump.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeInfo<'a> {
    pvc: &'a str,
    used_percent: u8,
    available_bytes: u64,
}

impl Info<'_> {
    fn text(&self, now: DateTime<Utc>) -> String {
        let size = |bytes: Option<u64>| bytes.map_or("unknown size".into(), report::bytes);
        let mut text = format!("pod        {}, container {}\n", self.pod, self.container);
        if let Some(DatabaseInfo { name, version, bytes, tables, .. }) = &self.database {
            let tables = tables.map_or("unknown tables".into(), |number| counted(number, "table"));
            text.push_str(&format!("server     {version}\ndatabase   {name}, {}, {tables}\n", size(*bytes)));
        }
        match &self.dump {
            Some(dump) => {
                let age = dump.modified.map_or("at an unknown time".into(), |time| ago(time, now));
                let proven = dump.proven_by.map_or("NOT proven".into(), |by| format!("proven by {by}"));
                let bytes = report::bytes(dump.bytes);
                text.push_str(&format!("dump       {}, {bytes}, written {age}, {proven}\n", dump.file));
            }
            None => text.push_str("dump       none\n"),
        }
        if let Some(VolumeInfo { pvc, used_percent, available_bytes }) = &self.volume {
            text.push_str(&format!(
                "volume     PVC {pvc}, {used_percent} % full, {} free\n",
                report::bytes(*available_bytes)
            ));
        }
        if let Some(DatabaseInfo { biggest, .. }) =
            self.database.as_ref().filter(|database| !database.biggest.is_empty())
        {
            let row = |table: &Table| vec![table.name.clone(), format!("~{}", table.rows), report::bytes(table.bytes)];
            text.push('\n');
            text.push_str(&table(&["TABLE", "ROWS", "SIZE"], biggest.iter().map(row)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_any_name() {
        let table = Table::parse("8192 12 public.odd name 1 2").unwrap();
        assert_eq!(table, Table { name: "public.odd name 1 2".into(), rows: 12, bytes: 8192 });
        assert_eq!(Table::parse("8192"), None);
        assert_eq!(Table::parse("x 1 t"), None);
    }
}
