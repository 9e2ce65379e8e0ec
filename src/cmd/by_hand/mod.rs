//! `postgres` and `mysql`: the pieces of a backup by hand, on the pod that `create` would choose. What all of them begin with.

mod download;
mod dump;
mod info;
mod restore;
mod restore_export;
mod restore_from;
mod shell;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::backup::databases;
use crate::backup::dump::DumpRules;
use crate::backup::inspect_dump::{self, DumpFile, InspectDepth};
use crate::backup::observe::{self, DatabasePlace};
use crate::cli::Piece;
use crate::cluster::kubectl::Kubectl;
use crate::cmd::now;
use crate::cmd::show::show;
use crate::config::{ByHand, DbValue, Global};
use crate::core::backup::find_proof::{self, Proven};
use crate::core::backup::proof::Proof;
use crate::core::escape::Secrets;
use crate::core::plan::{self, PlanStep};
use crate::io::random;
use crate::io::report::{self, Reporter};

/// Does one piece.
///
/// # Errors
/// As the exit codes say.
pub fn run(piece: Piece, global: &Global, config: &ByHand, reporter: &Reporter) -> Result<()> {
    let secrets = match &config.database.password {
        DbValue::Literal(text) => Secrets::new([text.clone()]),
        DbValue::Variable(_) => Secrets::default(),
    };
    let kubectl = Kubectl::connect(&global.asked, secrets, global.retry_timeout)?;
    let nonce = random::nonce();
    let hand = Hand { global, config, reporter, kubectl, nonce };
    match piece {
        Piece::Dump => dump::run(&hand),
        Piece::Restore => restore::run(&hand),
        Piece::DownloadDump => download::run(&hand),
        Piece::Shell => shell::run(&hand),
        Piece::Info => info::run(&hand),
    }
}

/// What every piece goes by.
struct Hand<'a> {
    global: &'a Global,
    config: &'a ByHand,
    reporter: &'a Reporter,
    kubectl: Kubectl,
    /// Marks every line of this run's reports.
    nonce: String,
}

impl Hand<'_> {
    /// Finds the claim, the pod and the one database that this is for; the snapshots, too, for a command that reads its dump.
    fn place(&self, reads: bool) -> Result<DatabasePlace> {
        let ByHand { database, name, pvc, .. } = self.config;
        self.reporter.step("observe", |_| {
            let (place, what) = observe::place(&self.kubectl, database, pvc, reads, &self.nonce)?;
            let database = databases::selected(&self.kubectl, &place, name.as_deref(), !reads, &self.nonce)?;
            Ok((DatabasePlace { database, ..place }, what))
        })
    }

    fn rules(&self) -> DumpRules<'_> {
        DumpRules {
            pvc: &self.config.pvc,
            threshold_percent: self.config.threshold_percent,
            busy_timeout: self.config.busy_timeout,
            dump_timeout: self.config.dump_timeout,
            holder: &self.global.holder,
            nonce: &self.nonce,
        }
    }

    /// Looks at the dump file, if there is one, and for its proof.
    fn inspect(&self, place: &DatabasePlace, test: InspectDepth) -> Result<Option<(DumpFile, Option<Proven>)>> {
        let database = &place.database;
        self.reporter.step("look", |_| {
            let found = inspect_dump::inspect(&self.kubectl, &place.chosen, database, &self.nonce, test)?;
            let Some(file) = found else { return Ok((None, format!("there is no {}", database.dump_file))) };
            let proven = {
                let sum = (file.bytes, file.sha256.as_str());
                find_proof::find(database.engine, &place.claim, &place.snapshots, sum, &database.dump_file)
            };
            let by = proven.as_ref().map_or("not proven".into(), |proven| format!("proven by {}", proven.by));
            let what = format!("{}, {}, {by}", database.dump_file, report::bytes(file.bytes));
            Ok((Some((file, proven)), what))
        })
    }

    /// Prints the plan of a dry run.
    fn show_plan(&self, what: &str, steps: &[PlanStep]) -> Result<()> {
        let ByHand { pvc, .. } = self.config;
        let namespace = &self.kubectl.target.namespace;
        let result = json!({"dryRun": true, "namespace": namespace, "pvc": pvc, "steps": steps});
        show(self.reporter, self.global.output, &result, || {
            format!("Dry run: nothing was changed. {what} of PVC {pvc} in {namespace}:\n{}", plan::text(steps))
        })
    }
}

/// How old a proven dump is, and of which database if that is not `name`, for people.
fn made(proof: &Proof, name: &str) -> String {
    let ended = DateTime::parse_from_rfc3339(&proof.ended).map(|time| time.to_utc());
    let age = ended.map_or("at an unknown time".into(), |time| ago(time, now()));
    let of = if proof.database == name { String::new() } else { format!(" of ANOTHER database, {},", proof.database) };
    format!("{of} made {age}")
}

/// How long ago something was, for people: to the minute.
fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let minutes = (now - then).num_minutes();
    match minutes {
        i64::MIN..=0 => "less than a minute ago".into(),
        1..=119 => format!("{minutes} min ago"),
        120..=2879 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn ages_are_rounded_down() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let before = |minutes: i64| ago(now - TimeDelta::minutes(minutes), now);
        assert_eq!([before(-1), before(0)], ["less than a minute ago"; 2]);
        assert_eq!([before(1), before(119), before(120)], ["1 min ago", "119 min ago", "2 h ago"]);
        assert_eq!([before(2879), before(2880)], ["47 h ago", "2 days ago"]);
    }
}
