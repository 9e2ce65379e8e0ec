//! `postgres|mysql restore`: loads the dump file into its database, if it has a proof and the answer is yes.

use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Hand, made, restore_export, restore_from};
use crate::backup::dump::DumpRules;
use crate::backup::inspect_dump::{DumpFile, InspectDepth};
use crate::backup::load::{Load, LoadMode, LoadedDump};
use crate::backup::observe::DatabasePlace;
use crate::cmd::show::show;
use crate::config::ByHand;
use crate::core::backup::find_proof::Proven;
use crate::core::backup::globals::{self, GlobalsProof, RolesOfLoad};
use crate::core::backup::one_table::OneTable;
use crate::core::engine::Engine;
use crate::core::kube::calls::SCRIPT;
use crate::core::plan::PlanStep;
use crate::core::words::{counted, first};
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::report;

/// How much room a dump may take that is loaded beside the database, for each byte of its text: indexes and logs come on top.
const ROOM: u64 = 2;

/// How many roles or accounts are named.
const NAMED: usize = 20;

/// Loads the dump.
///
/// # Errors
/// There is no proven dump, the answer is no, or the load failed: what became of the database is said.
pub fn run(hand: &Hand<'_>) -> Result<()> {
    if let Some(name) = &hand.config.from {
        return restore_from::run(hand, name);
    }
    if let Some(export) = &hand.config.from_export {
        return restore_export::run(hand, export);
    }
    let began = Instant::now();
    let ByHand { yes, .. } = hand.config;
    let place = hand.place(true)?;
    let database = &place.database;
    let table = hand.config.table.as_ref();
    // The proof is of a whole dump, so its hash is enough. A table takes its place only when all of the dump was read.
    let depth = if table.is_none() { InspectDepth::Roles } else { InspectDepth::Hash };
    let found = hand.inspect(&place, depth)?;
    let (file, proven) = believe(hand, &place, found)?;
    let rules = DumpRules { threshold_percent: u8::MAX, dump_timeout: None, ..hand.rules() };
    let (load, free) =
        Load::prepare(&hand.kubectl, hand.reporter, database, &place.chosen, rules, hand.config.table.as_ref())?;
    let roles = roles(hand, &place, &file, &proven, &load)?;
    let trial = trial(hand, &file, free)?;
    if hand.global.dry_run {
        return show_plan(hand, &place, &load.preflight.database, trial, &roles);
    }
    let question = question(hand, &place, &load.preflight.database, &proven);
    confirm::confirm(hand.reporter, &format!("{question}{}", roles.in_words()), *yes, "--yes")?;
    let target = load.preflight.database.clone();
    let LoadedDump { tried, left_out } = load.make(file.bytes, &file.sha256, roles.sha256(), trial)?;
    let done = LoadResult {
        namespace: &hand.kubectl.target.namespace,
        pod: &place.chosen.pod,
        database: &target,
        file: &database.dump_file,
        bytes: file.bytes,
        sha256: &file.sha256,
        proven_by: &proven.by,
        dumped: &proven.proof.ended,
        tried,
        table: table.map(|table| table.to.to_string()),
        left_out,
        roles: &roles.names,
        seconds: report::rounded(began.elapsed()),
    };
    show(hand.reporter, hand.global.output, &done, || {
        if let Some(table) = table {
            return loaded_table(
                table,
                &format!("the dump of {}", done.dumped),
                &target,
                done.pod,
                done.seconds,
                &done.left_out,
            );
        }
        format!(
            "All that is in the dump of {1} is in database {target} in pod {0} as it was, loaded in {2:.1}s; what was made since \
             and is not in the dump stays\n{3}",
            done.pod,
            done.dumped,
            done.seconds,
            roles.done()
        )
    })
}

/// What is said of one table that was loaded out of `of`.
pub(super) fn loaded_table(
    table: &OneTable,
    of: &str,
    database: &str,
    pod: &str,
    seconds: f64,
    left_out: &[String],
) -> String {
    let without = if left_out.is_empty() { String::new() } else { format!(", without: {}", left_out.join(", ")) };
    format!(
        "{} of {of} is {} in database {database} in pod {pod}, loaded in {seconds:.1}s{without}\n",
        table.from, table.to
    )
}

/// What a load does, up to the word for the dump.
pub(super) fn intent(hand: &Hand<'_>, place: &DatabasePlace, name: &str) -> String {
    let (engine, pod, namespace) = (place.database.engine, &place.chosen.pod, &hand.kubectl.target.namespace);
    match &hand.config.table {
        None => format!("The {engine} database {name} in pod {pod}, namespace {namespace}, is overwritten by"),
        Some(OneTable { from, to, replace }) => {
            let how = if *replace { "replaces the table of that name, if there is one, with" } else { "is made of" };
            format!(
                "In the {engine} database {name} in pod {pod}, namespace {namespace}, the table {to} {how} {from} of"
            )
        }
    }
}

/// Whether the dump is tried first, by the free bytes of the volume.
///
/// # Errors
/// There is no room for that.
pub(super) fn trial(hand: &Hand<'_>, file: &DumpFile, free: u64) -> Result<LoadMode> {
    let ByHand { force, database, table, .. } = hand.config;
    match file.plain {
        Some(plain) if database.engine == Engine::MySql && table.is_none() && plain.saturating_mul(ROOM) > free => {
            let what = format!(
                "there is no room to try the dump first: it unpacks to {}, {} are free",
                report::bytes(plain),
                report::bytes(free)
            );
            if !force {
                bail!(Fail::new(Exit::Precondition, what).remedy(
                    "enlarge the PVC, or say --force to load without a trial, which cannot be undone; nothing was loaded",
                ));
            }
            tracing::warn!("{what}");
            Ok(LoadMode::Skipped)
        }
        _ if *force => Ok(LoadMode::IfPermitted),
        _ => Ok(LoadMode::Required),
    }
}

/// The roles or accounts that this restore makes.
pub(super) struct NewRoles<'a> {
    engine: Engine,
    pub(super) names: Vec<String>,
    /// Accounts of the file that are there.
    kept: Vec<String>,
    /// The file that they are made from.
    from: Option<&'a GlobalsProof>,
}

impl NewRoles<'_> {
    /// The hash of the file, if there is anything to make. In MySQL that may be grants on what the load makes.
    pub(super) fn sha256(&self) -> Option<&str> {
        let wanted = !self.names.is_empty() || self.engine == Engine::MySql;
        self.from.filter(|_| wanted).map(|it| it.sha256.as_str())
    }

    fn passwords(&self) -> &'static str {
        if self.from.is_some_and(|it| it.passwords) { "with their passwords" } else { "without passwords" }
    }

    /// For the question.
    pub(super) fn in_words(&self) -> String {
        let noun = globals::noun(self.engine);
        let mut text = String::new();
        if !self.names.is_empty() {
            let names = first(NAMED, &self.names);
            text = format!(" These {noun}s are made first, {}: {names}.", self.passwords());
        }
        if !self.kept.is_empty() {
            let names = first(NAMED, &self.kept);
            text.push_str(&format!(" These {noun}s are there, and are not changed: {names}."));
        }
        text
    }

    /// For the end.
    pub(super) fn done(&self) -> String {
        let (noun, kept) = (globals::noun(self.engine), self.kept.len() as u64);
        let kept = if kept == 0 { String::new() } else { format!("; {} not changed", counted(kept, noun)) };
        match self.names.is_empty() {
            true => String::new(),
            false => format!("{} made, {}{kept}\n", counted(self.names.len() as u64, noun), self.passwords()),
        }
    }
}

/// Which roles or accounts are to be made. Names those that the dump needs and the server lacks.
pub(super) fn roles<'a>(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    file: &DumpFile,
    proven: &'a Proven,
    load: &Load<'_>,
) -> Result<NewRoles<'a>> {
    let engine = place.database.engine;
    let noun = globals::noun(engine);
    let from = proven.proof.globals.as_ref();
    let found = RolesOfLoad::of(&file.needs, &file.globals, from, &load.preflight.roles);
    let asked = hand.config.globals;
    let lacking = if asked { found.unknown() } else { found.lacking.clone() };
    if !lacking.is_empty() {
        let remedy = match found.recorded {
            Some(_) if !asked => "use --globals to make them as they were recorded beside the dump",
            _ if engine == Engine::MySql => {
                "make them with CREATE USER and their grants, or the load fails where a view needs one, and views, routines, triggers \
                 and events of theirs do not work"
            }
            _ => "make them with CREATE ROLE, or the load fails where it gives them something",
        };
        tracing::warn!("the dump names {noun}s that the server lacks: {}; {remedy}", first(NAMED, &lacking));
    }
    if !asked {
        return Ok(NewRoles { engine, names: Vec::new(), kept: Vec::new(), from: None });
    }
    let without = format!("restore without --globals after making the {noun}s that are missing; nothing was loaded");
    if load.preflight.roles.is_empty() {
        let what = format!("the user may not see the {noun}s of the server, so it is not known which are missing");
        bail!(Fail::new(Exit::Precondition, what).remedy(format!("give the user SELECT ON mysql.*, or {without}")))
    }
    match (from, found.recorded) {
        (Some(_), Some(names)) => {
            // PostgreSQL's file has all roles of the server, so that this would say little.
            let kept = if engine == Engine::MySql { found.kept } else { Vec::new() };
            Ok(NewRoles { engine, names, kept, from })
        }
        (Some(proof), None) => {
            let path = proof.file(&place.database.dump_file).unwrap_or_default();
            let what = format!("the file of {noun}s {path} in pod {} is not there or not as proven", place.chosen.pod);
            bail!(Fail::new(Exit::Dump, what).remedy(without))
        }
        (None, _) => {
            let what = format!("no {noun}s were recorded with this dump, as its proof by {} says", proven.by);
            bail!(Fail::new(Exit::Precondition, what).remedy(without))
        }
    }
}

/// The file, if it is whole and its very bytes are proven.
fn believe(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    found: Option<(DumpFile, Option<Proven>)>,
) -> Result<(DumpFile, Proven)> {
    let ByHand { pvc, .. } = hand.config;
    let (path, pod) = (&place.database.dump_file, &place.chosen.pod);
    let refuse = |what: String| {
        Fail::new(Exit::Dump, what).remedy(format!(
            "restore a snapshot with backup-ns restore, see backup-ns list --pvc {pvc}; nothing was loaded"
        ))
    };
    let (file, proven) = found
        .ok_or_else(|| Fail { exit: Exit::Precondition, ..refuse(format!("there is no dump {path} in pod {pod}")) })?;
    if let Some(why) = &file.broken {
        bail!(refuse(format!("the dump {path} in pod {pod} is broken: {why}")));
    }
    let proven = proven.ok_or_else(|| {
        refuse(format!(
            "the dump {path} in pod {pod} is not proven: neither PVC {pvc} nor any of its snapshots has a proof of {} bytes with SHA-256 {}",
            file.bytes, file.sha256
        ))
    })?;
    let of = &proven.proof.database;
    if let Some(name) = hand.config.name.as_ref().filter(|name| *name != of) {
        bail!(refuse(format!("the dump {path} in pod {pod} is of the database {of}, not of {name}")));
    }
    check_trust(hand, &proven, &format!("the dump {path} in pod {pod}"))?;
    Ok((file, proven))
}

/// Refuses a dump whose proof is on a distrusted snapshot, unless that is allowed. `of` is what it is for people.
pub(super) fn check_trust(hand: &Hand<'_>, proven: &Proven, of: &str) -> Result<()> {
    if let Some(why) = &proven.distrusted {
        let what = format!("{of} is as it was proven by {}, but that is distrusted: {why}", proven.by);
        if !hand.config.force {
            let name = proven.by.rsplit(' ').next().unwrap_or_default();
            bail!(Fail::new(Exit::Dump, what).remedy(format!(
                "backup-ns trust {name} -n {} takes that back; or say --force to load it all the same; nothing was loaded",
                hand.kubectl.target.namespace
            )));
        }
        tracing::warn!("{what}");
    }
    Ok(())
}

/// What becomes of the database on an error.
pub(super) fn on_error(hand: &Hand<'_>) -> &'static str {
    match hand.config.database.engine {
        Engine::MySql if hand.config.table.is_some() => {
            "It is loaded under a name of its own first, and dropped if that fails; nothing else is changed before."
        }
        Engine::Postgres => "If the load fails, the database stays as it is now: all of it is one transaction.",
        Engine::MySql => {
            "It is loaded into a schema of its own first, which changes nothing if it fails; if the load after that fails, \
             MySQL cannot undo it."
        }
    }
}

fn question(hand: &Hand<'_>, place: &DatabasePlace, name: &str, Proven { by, proof, .. }: &Proven) -> String {
    format!(
        "{} the dump{} ({}, {}, {}, proven by {by}). {}",
        intent(hand, place, name),
        made(proof, name),
        proof.ended,
        report::bytes(proof.bytes),
        proof.tool,
        on_error(hand)
    )
}

/// The step of the plan that loads the dump.
pub(super) fn planned_load(hand: &Hand<'_>, place: &DatabasePlace, name: &str, trial: LoadMode) -> PlanStep {
    let DatabasePlace { database, chosen, .. } = place;
    let exec = hand.kubectl.target.exec(&chosen.pod, &chosen.container, SCRIPT);
    let load = match (database.engine, trial) {
        (Engine::Postgres, _) => {
            format!("Load it into the database {name} in one transaction, under the dump file's lock")
        }
        (Engine::MySql, _) if hand.config.table.is_some() => {
            "Load the table under a name of its own, and rename it, under the dump file's lock".into()
        }
        (Engine::MySql, LoadMode::Skipped) => format!("Load it into the schema {name}, under the dump file's lock"),
        (Engine::MySql, _) => {
            format!(
                "Load it into a schema of its own, drop that, and load it into the schema {name}, under the dump file's lock"
            )
        }
    };
    let table = hand.config.table.as_ref();
    let only = table.map_or(String::new(), |table| format!(". Only {}, as {}", table.from, table.to));
    PlanStep::new(format!("{load}{only}. {}", on_error(hand))).kubectl(&exec)
}

fn show_plan(hand: &Hand<'_>, place: &DatabasePlace, name: &str, trial: LoadMode, roles: &NewRoles<'_>) -> Result<()> {
    let DatabasePlace { database, chosen, .. } = place;
    let exec = hand.kubectl.target.exec(&chosen.pod, &chosen.container, SCRIPT);
    let load = planned_load(hand, place, name, trial);
    let steps = [
        PlanStep::new(format!(
            "In pod {}: look whether {} is whole and proven (done just now)",
            chosen.pod, database.dump_file
        ))
        .kubectl(&exec),
        PlanStep { what: format!("{}{}", load.what, roles.in_words()), ..load },
    ];
    hand.show_plan("Restore", &steps)
}

/// What it says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoadResult<'a> {
    namespace: &'a str,
    pod: &'a str,
    /// What was overwritten.
    database: &'a str,
    file: &'a str,
    bytes: u64,
    sha256: &'a str,
    /// The object that has the proof.
    proven_by: &'a str,
    /// When the dump ended.
    dumped: &'a str,
    /// Whether it was loaded into a schema of its own first.
    tried: bool,
    /// The name of the table, if only one was loaded.
    table: Option<String>,
    /// What of that was left out.
    left_out: Vec<String>,
    /// The roles or accounts that were made.
    roles: &'a [String],
    seconds: f64,
}
