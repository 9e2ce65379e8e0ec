//! `postgres|mysql restore --from`: loads a file of this machine, or what comes on a pipe, into the database. It is sent into the
//! container, checked there, and loaded as the dump file is.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::time::Instant;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::restore::{check_trust, intent, loaded_table, on_error, planned_load, trial};
use super::{Hand, ago, made};
use crate::backup::dump::DumpRules;
use crate::backup::inspect_dump::{self, DumpFile, InspectDepth};
use crate::backup::load::{Load, LoadMode, LoadedDump};
use crate::backup::observe::DatabasePlace;
use crate::cmd::now;
use crate::cmd::show::show;
use crate::container::download;
use crate::container::upload::{self, Destination, SentFile};
use crate::core::backup::find_proof::{self, Proven};
use crate::core::backup::foreign_file::{self, Storage, Unloadable};
use crate::core::engine::Engine;
use crate::core::kube::calls::SCRIPT;
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::report::{self, Step};
use crate::io::{confirm, process};

/// What share of the volume's free bytes the file may take: a tenth is left to the database.
const SHARE: (u64, u64) = (9, 10);

/// The file to load.
struct ForeignFile {
    /// As it was given; `-` for stdin.
    name: String,
    storage: Storage,
    /// What is known of a regular file before it is sent.
    known: Option<Known>,
}

struct Known {
    sent: SentFile,
    modified: Option<DateTime<Utc>>,
}

/// Loads the file `name`.
///
/// # Errors
/// The file cannot be read, is no whole dump of this engine, the answer is no, or the load failed: what became of the database is
/// said.
pub fn run(hand: &Hand<'_>, name: &str) -> Result<()> {
    let began = Instant::now();
    let engine = hand.config.database.engine;
    let (file, source) = open(name, engine, hand.global.dry_run)?.unzip();
    let place = hand.place(true)?;
    let database = &place.database;
    let rules = DumpRules { threshold_percent: u8::MAX, dump_timeout: None, ..hand.rules() };
    let (mut load, free) =
        Load::prepare(&hand.kubectl, hand.reporter, database, &place.chosen, rules, hand.config.table.as_ref())?;
    let target = load.preflight.database.clone();
    let shown = foreign_file::shown(name);
    let most = free / SHARE.1 * SHARE.0;
    let known = file.as_ref().and_then(|file| file.known.as_ref());
    let proof = known.and_then(|known| proof(&place, &known.sent));
    if let Some(proven) = &proof {
        check_trust(hand, proven, &shown)?;
    }
    if known.is_some_and(|known| known.sent.bytes > most) {
        bail!(upload::too_large(&shown, most));
    }
    let (Some(file), Some(source), false) = (&file, source, hand.global.dry_run) else {
        return show_plan(hand, &place, &target, &shown, known);
    };
    let question = question(hand, &place, &target, &shown, file.known.as_ref(), proof.as_ref());
    confirm::confirm(hand.reporter, &question, hand.config.yes, "--yes")?;
    let (sent, path) = send(hand, &place, &mut load, (file, source), most)?;
    let (received, proof) = hand.reporter.step("look", |_| look(hand, &place, &path, file, &sent))?;
    let mode = trial(hand, &received, free.saturating_sub(sent.bytes))?;
    let LoadedDump { tried, left_out } = load.make(sent.bytes, &sent.sha256, None, mode)?;
    let done = ForeignResult {
        namespace: &hand.kubectl.target.namespace,
        pod: &place.chosen.pod,
        database: &target,
        from: name,
        bytes: sent.bytes,
        sha256: &sent.sha256,
        proven_by: proof.as_ref().map(|proven| proven.by.as_str()),
        dumped: proof.as_ref().map(|proven| proven.proof.ended.as_str()),
        tried,
        table: hand.config.table.as_ref().map(|table| table.to.to_string()),
        left_out,
        seconds: report::rounded(began.elapsed()),
    };
    show(hand.reporter, hand.global.output, &done, || {
        if let Some(table) = &hand.config.table {
            return loaded_table(table, &shown, &target, done.pod, done.seconds, &done.left_out);
        }
        format!(
            "All that is in {shown} is in database {target} in pod {}, loaded in {:.1}s; what was made since and is not in \
             the dump stays\n",
            done.pod, done.seconds
        )
    })
}

/// Opens the file and reads its beginning; a regular file is read to its end once. A dry run does not read stdin.
fn open(name: &str, engine: Engine, dry_run: bool) -> Result<Option<(ForeignFile, ByteSource)>> {
    if name == "-" && io::stdin().is_terminal() {
        bail!(Fail::new(Exit::Usage, "--from - reads stdin, which is a terminal").remedy(format!(
            "pipe a dump into it, or name a file: backup-ns {} restore --from FILE",
            engine.command()
        )));
    }
    if name == "-" && dry_run {
        return Ok(None);
    }
    let path = name.to_string();
    // A pipe may have no writer, or one that is silent.
    let opened = process::on_thread(move || begin(path));
    let opened = opened.map_err(|ending| {
        Fail::new(ending_exit(&ending), format!("{} was not read: {}", foreign_file::shown(name), reason(&ending)))
            .remedy("run it again; nothing was changed")
    })?;
    let (head, source, known) = opened.map_err(|error| {
        Fail::new(Exit::Usage, format!("{} cannot be read: {error}", foreign_file::shown(name)))
            .remedy("name a file that you may read, or - for stdin; nothing was changed")
    })?;
    let storage = foreign_file::of(&head).map_err(|why| unloadable(why, name, engine))?;
    let source: ByteSource = Box::new(io::Cursor::new(head).chain(source));
    Ok(Some((ForeignFile { name: name.into(), storage, known }, source)))
}

fn ending_exit(ending: &process::Ending) -> Exit {
    match ending {
        process::Ending::Signal(signal) => Exit::Signal(*signal),
        _ => Exit::Failed,
    }
}

fn reason(ending: &process::Ending) -> String {
    match ending {
        process::Ending::Signal(signal) => format!("ended by signal {signal}"),
        _ => "the time of the run is over".into(),
    }
}

/// What is still to be read.
type ByteSource = Box<dyn Read + Send>;

/// The beginning of the file, the rest of it, and what is known of a regular file.
type Begun = (Vec<u8>, ByteSource, Option<Known>);

fn begin(name: String) -> io::Result<Begun> {
    let (mut source, known): (ByteSource, _) = if name == "-" {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(&name)?;
        let meta = file.metadata()?;
        let known = match meta.is_file() {
            true => Some(Known {
                sent: SentFile { bytes: meta.len(), sha256: download::sha256_of(File::open(&name)?)? },
                modified: meta.modified().ok().map(DateTime::from),
            }),
            false => None,
        };
        (Box::new(file), known)
    };
    let mut head = Vec::new();
    source.by_ref().take(foreign_file::HEAD as u64).read_to_end(&mut head)?;
    Ok((head, source, known))
}

fn unloadable(why: Unloadable, name: &str, engine: Engine) -> Fail {
    let (what, remedy) = why.explain(name, engine);
    Fail::new(Exit::Dump, what).remedy(remedy)
}

fn proof(place: &DatabasePlace, sent: &SentFile) -> Option<Proven> {
    let sum = (sent.bytes, sent.sha256.as_str());
    find_proof::find(place.database.engine, &place.claim, &place.snapshots, sum, "")
}

/// Sends the file into the container, under the dump lock. Returns its path there.
fn send(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    load: &mut Load<'_>,
    (file, source): (&ForeignFile, ByteSource),
    most: u64,
) -> Result<(SentFile, String)> {
    let shown = foreign_file::shown(&file.name);
    hand.reporter.step("send", |step: &Step| {
        let suffix = file.storage.suffix();
        let dump_file = &place.database.dump_file;
        load.hold(suffix, step)?;
        let to = Destination { chosen: &place.chosen, dump_file, nonce: &hand.nonce, suffix, most };
        let size = file.known.as_ref().map(|known| known.sent.bytes);
        let sent = upload::send(&hand.kubectl, to, source, &shown, size, step)?;
        if file.known.as_ref().is_some_and(|known| known.sent != sent) {
            bail!(
                Fail::new(Exit::Failed, format!("{shown} changed while it was read"))
                    .remedy("run it again when the file is complete; nothing was loaded, the database is as it was")
            );
        }
        let what = format!("{} of {shown}", report::bytes(sent.bytes));
        Ok(((sent, to.path()), what))
    })
}

/// Checks in the container that the file came whole, and is a whole dump of the engine. Also finds its proof.
fn look(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    path: &str,
    file: &ForeignFile,
    sent: &SentFile,
) -> Result<((DumpFile, Option<Proven>), String)> {
    let engine = place.database.engine;
    let depth =
        if engine == Engine::MySql && hand.config.table.is_none() { InspectDepth::Count } else { InspectDepth::Whole };
    let shown = foreign_file::shown(&file.name);
    let as_it_was = "nothing was loaded, the database is as it was";
    let found = inspect_dump::inspect_file(&hand.kubectl, &place.chosen, engine, path, &hand.nonce, depth)?;
    let Some(received) = found.filter(|it| (it.bytes, it.sha256.as_str()) == (sent.bytes, sent.sha256.as_str())) else {
        bail!(
            Fail::new(Exit::Failed, format!("what came into the container is not {shown} as it was sent"))
                .remedy(format!("run it again; {as_it_was}"))
        );
    };
    if let Some(tool) = &received.lacks {
        bail!(
            Fail::new(Exit::Precondition, format!("the container lacks {tool}, without which {shown} cannot be read"))
                .remedy(format!(
                    "unpack it here first and name the unpacked file, or add {tool} to the image; {as_it_was}"
                ))
        );
    }
    foreign_file::judge(&received.kind, engine).map_err(|why| unloadable(why, &file.name, engine))?;
    if let Some(why) = &received.broken {
        bail!(
            Fail::new(Exit::Dump, format!("{shown} is broken or was cut off: {why}"))
                .remedy(format!("name a whole dump; {as_it_was}"))
        );
    }
    let proof = proof(place, sent);
    if let Some(proven) = &proof {
        check_trust(hand, proven, &shown)?;
    }
    let by = proof.as_ref().map_or("not proven".into(), |proven| format!("proven by {}", proven.by));
    Ok(((received, proof), format!("{shown} is a whole dump, {by}")))
}

fn question(
    hand: &Hand<'_>,
    place: &DatabasePlace,
    target: &str,
    shown: &str,
    known: Option<&Known>,
    proof: Option<&Proven>,
) -> String {
    let mut facts = Vec::new();
    if let Some(known) = known {
        facts.push(report::bytes(known.sent.bytes));
    }
    facts.push(match (proof, known) {
        (Some(Proven { by, proof, .. }), _) => {
            format!("a dump{} by {}, proven by {by}", made(proof, target), proof.tool)
        }
        (None, Some(Known { modified: Some(time), .. })) => format!("last written {}, not proven", ago(*time, now())),
        (None, Some(_)) => "not proven".into(),
        (None, None) => "of unknown size and age, not proven before it is read".into(),
    });
    format!(
        "{} {shown} ({}). Whether that is a whole dump is checked before anything is changed. {}",
        intent(hand, place, target),
        facts.join(", "),
        on_error(hand)
    )
}

fn show_plan(hand: &Hand<'_>, place: &DatabasePlace, target: &str, shown: &str, known: Option<&Known>) -> Result<()> {
    let chosen = &place.chosen;
    let exec = hand.kubectl.target.exec(&chosen.pod, &chosen.container, SCRIPT);
    let size = known.map_or(String::new(), |known| format!(", {},", report::bytes(known.sent.bytes)));
    let mode = if hand.config.force { LoadMode::IfPermitted } else { LoadMode::Required };
    let steps = [
        PlanStep::new(format!(
            "In pod {}: send {shown}{size} to a temporary file beside {}, under the dump file's lock",
            chosen.pod, place.database.dump_file
        ))
        .kubectl(&exec),
        PlanStep::new(format!("In pod {}: compare its SHA-256, and look whether it is a whole dump", chosen.pod))
            .kubectl(&exec),
        planned_load(hand, place, target, mode),
    ];
    hand.show_plan("Restore", &steps)
}

/// What it says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ForeignResult<'a> {
    namespace: &'a str,
    pod: &'a str,
    /// What was overwritten.
    database: &'a str,
    /// The file, or `-`.
    from: &'a str,
    bytes: u64,
    sha256: &'a str,
    /// The object that has a proof of the same bytes.
    proven_by: Option<&'a str>,
    /// When the dump ended, if it is proven.
    dumped: Option<&'a str>,
    /// Whether it was loaded into a schema of its own first.
    tried: bool,
    /// The name of the table, if only one was loaded.
    table: Option<String>,
    /// What of that was left out.
    left_out: Vec<String>,
    seconds: f64,
}
