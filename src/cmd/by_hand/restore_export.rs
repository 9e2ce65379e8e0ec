//! `postgres|mysql restore --from-export`: loads a dump out of a repository outside the cluster. A pod with the user's tool brings the
//! copy and compares it with its manifest; from there it goes through this program into the database's container, and is loaded as
//! the dump file is.

use std::io::Read;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::restore::{self, NewRoles, intent, loaded_table, on_error, planned_load, trial};
use super::{Hand, made};
use crate::backup::dump::DumpRules;
use crate::backup::inspect_dump::{self, DumpFile, InspectDepth};
use crate::backup::load::{Load, LoadMode, LoadedDump};
use crate::backup::observe::DatabasePlace;
use crate::cmd::copies::{self, Repository, RepositoryPod};
use crate::cmd::show::show;
use crate::config::FromExport;
use crate::container::upload::{self, Destination, SentFile};
use crate::core::backup::find_proof::Proven;
use crate::core::backup::foreign_file;
use crate::core::backup::globals;
use crate::core::backup::pod::Chosen;
use crate::core::export::import::{self, CopiedDump, CopyEntry, WantedCopy};
use crate::core::export::job::FOLDERS;
use crate::core::kube::calls::SCRIPT;
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::report;

/// What share of the volume's free bytes the dump may take: a tenth is left to the database.
const SHARE: (u64, u64) = (9, 10);

const AS_IT_WAS: &str = "nothing was loaded, the database is as it was";

/// Loads the copy.
///
/// # Errors
/// As the exit codes say: [`Exit::BackupBad`] if the copy is not what its manifest says; or the load failed, and what became of the
/// database is said.
pub fn run(hand: &Hand<'_>, export: &FromExport) -> Result<()> {
    let began = Instant::now();
    let place = hand.place(true)?;
    let database = &place.database;
    let rules = DumpRules { threshold_percent: u8::MAX, dump_timeout: None, ..hand.rules() };
    let (load, free) =
        Load::prepare(&hand.kubectl, hand.reporter, database, &place.chosen, rules, hand.config.table.as_ref())?;
    let template = copies::pod_template(&hand.kubectl, &export.settings)?;
    let repository = Repository {
        kubectl: &hand.kubectl,
        reporter: hand.reporter,
        settings: &export.settings,
        template: &template,
        end: began + export.settings.timeout,
    };
    let find = |pod: &RepositoryPod<'_>| {
        let entry = pod.find(&export.id, &export.of_or_own(&hand.kubectl.target.namespace))?;
        let read = pod.manifest(&entry)?;
        let wanted = hand.config.name.as_deref();
        let copy = import::one_dump(&read.manifest, database.engine, wanted).map_err(Fail::precondition)?;
        Ok(LoadOfCopy { hand, place: &place, entry, copy, began })
    };
    let done = if hand.config.yes || hand.global.dry_run {
        repository.in_pod(|pod| find(pod)?.run(pod, load, free))?
    } else {
        // A pod without a session ends after a minute, and a person may need longer for the answer.
        let found = repository.in_pod(find)?;
        found.check_room(free)?;
        found.ask(&load)?;
        repository.in_pod(|pod| found.run(pod, load, free))?
    };
    let Some((done, roles)) = done else { return Ok(()) };
    show(hand.reporter, hand.global.output, &done, || {
        let of = format!("the copy {}", done.id);
        if let Some(table) = &hand.config.table {
            return loaded_table(table, &of, &done.database, done.pod, done.seconds, &done.left_out);
        }
        format!(
            "All that is in {of} of {} is in database {} in pod {}, loaded in {:.1}s; what was made since and is not in the dump \
             stays\n{roles}",
            done.dumped, done.database, done.pod, done.seconds
        )
    })
}

/// One load of a copy.
struct LoadOfCopy<'a> {
    hand: &'a Hand<'a>,
    place: &'a DatabasePlace,
    entry: CopyEntry,
    copy: CopiedDump,
    began: Instant,
}

impl<'a> LoadOfCopy<'a> {
    /// For people.
    fn shown(&self) -> String {
        format!("the copy {}", self.entry.id)
    }

    /// The largest dump for which the volume has room, in bytes.
    fn most(free: u64) -> u64 {
        free / SHARE.1 * SHARE.0
    }

    fn check_room(&self, free: u64) -> Result<()> {
        if self.copy.dump.bytes > Self::most(free) {
            bail!(upload::too_large(&self.shown(), Self::most(free)));
        }
        Ok(())
    }

    /// Asks whether it is to be loaded.
    fn ask(&self, load: &Load<'_>) -> Result<()> {
        let (hand, place, copy) = (self.hand, self.place, &self.copy);
        let target = &load.preflight.database;
        let question = format!(
            "{} {}{} ({}, {}). Whether it is what its manifest says is checked before anything is changed.{} {}",
            intent(hand, place, target),
            self.shown(),
            made(&copy.proof, target),
            report::bytes(copy.dump.bytes),
            copy.proof.tool,
            self.roles_in_words(),
            on_error(hand)
        );
        confirm::confirm(hand.reporter, &question, hand.config.yes, "--yes")
    }

    /// Brings it, and loads it. Returns what it says at its end, and of roles in words; nothing for a dry run.
    fn run(&self, pod: &RepositoryPod<'_>, mut load: Load<'_>, free: u64) -> Result<Option<(CopyResult<'a>, String)>> {
        let (hand, place, copy) = (self.hand, self.place, &self.copy);
        let target = load.preflight.database.clone();
        self.check_room(free)?;
        let most = Self::most(free);
        if hand.global.dry_run {
            return self.show_plan(&target).map(|()| None);
        }
        let proven = Proven { by: self.shown(), proof: copy.proof.clone(), distrusted: None };
        let globals = copy.globals.as_ref().filter(|_| hand.config.globals);
        let wanted: Vec<WantedCopy> = std::iter::once(&copy.dump).chain(globals).cloned().collect();
        // The pod stays as long as this session.
        let session = pod.fetch(false, FOLDERS[1], &wanted)?;
        let (sent, path) = self.send(pod.place(), &mut load, globals, most)?;
        drop(session);
        let received = hand.reporter.step("look", |_| {
            let found = self.look(&path, &sent)?;
            Ok((found, format!("{} is a whole dump", self.shown())))
        })?;
        let roles = self.roles(&received, &proven, &load)?;
        let mode = trial(hand, &received, free.saturating_sub(sent.bytes))?;
        let LoadedDump { tried, left_out } = load.make(sent.bytes, &sent.sha256, roles.sha256(), mode)?;
        let said = roles.done();
        let done = CopyResult {
            namespace: &hand.kubectl.target.namespace,
            pod: &place.chosen.pod,
            database: target,
            id: self.entry.id.clone(),
            bytes: sent.bytes,
            sha256: sent.sha256,
            dumped: copy.proof.ended.clone(),
            tried,
            table: hand.config.table.as_ref().map(|table| table.to.to_string()),
            left_out,
            roles: roles.names,
            seconds: report::rounded(self.began.elapsed()),
        };
        Ok(Some((done, said)))
    }

    fn roles_in_words(&self) -> String {
        let noun = globals::noun(self.place.database.engine);
        match (self.hand.config.globals, &self.copy.globals) {
            (true, Some(_)) => format!(" The {noun}s that are missing and were recorded with it are made first."),
            _ => String::new(),
        }
    }

    fn roles<'p>(&self, received: &DumpFile, proven: &'p Proven, load: &Load<'_>) -> Result<NewRoles<'p>> {
        restore::roles(self.hand, self.place, received, proven, load)
    }

    /// Sends what the pod has into the database's container, under the dump lock. Returns the path of the dump there.
    fn send(
        &self,
        from: &Chosen,
        load: &mut Load<'_>,
        globals: Option<&WantedCopy>,
        most: u64,
    ) -> Result<(SentFile, String)> {
        let (hand, place) = (self.hand, self.place);
        let place_of_dump = &self.copy.dump.place;
        let suffix = match place_of_dump.rsplit('.').next() {
            Some("gz") => "from.gz",
            Some("zst") => "from.zst",
            _ => "from.sql",
        };
        hand.reporter.step("send", |step| {
            load.hold(suffix, step)?;
            let send = |copy: &WantedCopy, suffix: &str| -> Result<(SentFile, String)> {
                let dump_file = &place.database.dump_file;
                let to = Destination { chosen: &place.chosen, dump_file, nonce: &hand.nonce, suffix, most };
                let path = format!("{}/{}", FOLDERS[1], copy.place);
                let call = hand.kubectl.target.stream(&from.pod, &from.container, &path, 0);
                let mut running = hand.kubectl.start(call)?;
                running.close();
                let Some(stdout) = running.stdout.take() else {
                    bail!(Fail::new(Exit::Failed, "kubectl has no output").remedy(AS_IT_WAS));
                };
                let source: Box<dyn Read + Send> = Box::new(stdout);
                let sent = upload::send(&hand.kubectl, to, source, &self.shown(), Some(copy.bytes), step)?;
                if (sent.bytes, &sent.sha256) != (copy.bytes, &copy.sum) {
                    let what = format!("{} did not come whole out of the pod {}", self.shown(), from.pod);
                    bail!(Fail::new(Exit::Failed, what).remedy(format!("run it again; {AS_IT_WAS}")));
                }
                Ok((sent, to.path()))
            };
            let (sent, path) = send(&self.copy.dump, suffix)?;
            if let Some(globals) = globals {
                // Beside the dump, as the scripts expect it.
                let name = globals.place.strip_prefix(place_of_dump.as_str()).unwrap_or_default();
                send(globals, &format!("{suffix}{name}"))?;
            }
            let what = report::bytes(sent.bytes);
            Ok(((sent, path), what))
        })
    }

    /// Checks in the container that the dump came whole, and is a whole dump of the engine.
    fn look(&self, path: &str, sent: &SentFile) -> Result<DumpFile> {
        let (hand, engine, shown) = (self.hand, self.place.database.engine, self.shown());
        let depth = if hand.config.table.is_none() { InspectDepth::Roles } else { InspectDepth::Whole };
        let chosen = &self.place.chosen;
        let found = inspect_dump::inspect_file(&hand.kubectl, chosen, engine, path, &hand.nonce, depth)?;
        let Some(received) = found.filter(|it| (it.bytes, &it.sha256) == (sent.bytes, &sent.sha256)) else {
            bail!(
                Fail::new(Exit::Failed, format!("what came into the container is not {shown} as it was sent"))
                    .remedy(format!("run it again; {AS_IT_WAS}"))
            );
        };
        if let Some(tool) = &received.lacks {
            bail!(
                Fail::new(
                    Exit::Precondition,
                    format!("the container lacks {tool}, without which {shown} cannot be read")
                )
                .remedy(format!("add {tool} to the image; {AS_IT_WAS}"))
            );
        }
        let is_whole = received.broken.is_none() && foreign_file::judge(&received.kind, engine).is_ok();
        if !is_whole {
            let why = received.broken.clone().unwrap_or_else(|| format!("it is no dump of {engine}"));
            bail!(
                Fail::new(Exit::BackupBad, format!("{shown} is as its manifest says, but no good dump: {why}"))
                    .remedy(format!("take another copy; {AS_IT_WAS}"))
            );
        }
        Ok(received)
    }

    fn show_plan(&self, target: &str) -> Result<()> {
        let (hand, place) = (self.hand, self.place);
        let exec = |chosen: &Chosen| hand.kubectl.target.exec(&chosen.pod, &chosen.container, SCRIPT);
        let mode = if hand.config.force { LoadMode::IfPermitted } else { LoadMode::Required };
        let load = planned_load(hand, place, target, mode);
        let steps = [
            PlanStep::new(format!(
                "In a pod with the tool: bring {}, {}, and compare it with its manifest",
                self.shown(),
                report::bytes(self.copy.dump.bytes)
            )),
            PlanStep::new(format!(
                "In pod {}: send it to a temporary file beside {}, under the dump file's lock",
                place.chosen.pod, place.database.dump_file
            ))
            .kubectl(&exec(&place.chosen)),
            PlanStep { what: format!("{}{}", load.what, self.roles_in_words()), ..load },
        ];
        hand.show_plan("Restore", &steps)
    }
}

/// What it says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CopyResult<'a> {
    namespace: &'a str,
    pod: &'a str,
    /// What was overwritten.
    database: String,
    /// The copy.
    id: String,
    /// The size of the text that was loaded, as it was sent.
    bytes: u64,
    sha256: String,
    /// When the dump ended.
    dumped: String,
    /// Whether it was loaded into a schema of its own first.
    tried: bool,
    /// The name of the table, if only one was loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    /// What of that was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<String>,
    /// The roles or accounts that were made.
    roles: Vec<String>,
    seconds: f64,
}
