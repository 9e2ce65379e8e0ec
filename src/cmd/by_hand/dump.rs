//! `postgres|mysql dump`: the dump of `create` without a snapshot. The proof is noted on the claim, so that a restore by hand
//! knows the file.

use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::Hand;
use crate::backup::dump::Dump;
use crate::backup::observe::DatabasePlace;
use crate::cluster::failure::Failure;
use crate::cluster::refusal::Refusal;
use crate::cmd::create;
use crate::cmd::show::show;
use crate::core::backup::proof::Proof;
use crate::core::kube::calls::{CLAIMS, SCRIPT};
use crate::core::kube::objects::Pvc;
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::report;

/// Dumps, and notes the proof.
///
/// # Errors
/// As those of `create` up to its snapshot, or the proof cannot be noted for another reason than a missing right.
pub fn run(hand: &Hand<'_>) -> Result<()> {
    let began = Instant::now();
    let place = hand.place(false)?;
    let database = &place.database;
    let mut dump = Dump::prepare(&hand.kubectl, hand.reporter, database, place.chosen.clone(), hand.rules())?;
    if hand.global.dry_run {
        return show_plan(hand, &dump, &place.claim);
    }
    let made = dump.make()?;
    let proof = dump.recheck(&made)?;
    let noted = note(hand, &place, &proof)?;
    match dump.release(&made, "do not trust it") {
        Err(error) if error.exit() == Exit::Snapshot => bail!(Fail { exit: Exit::Dump, ..error.fail() }),
        released => released?,
    }
    let done = DumpResult {
        namespace: &hand.kubectl.target.namespace,
        pvc: &hand.config.pvc,
        proof: &proof,
        noted,
        dump_seconds: report::rounded(made.took),
        seconds: report::rounded(began.elapsed()),
    };
    show(hand.reporter, hand.global.output, &done, || {
        let Proof { database, pod, file, bytes, sha256, tool, .. } = &proof;
        format!(
            "Dump of {database} in pod {pod} is done in {:.1}s\n  dump      {file}, {bytes} bytes, SHA-256 {sha256}\n  tool      {tool}\n",
            done.seconds
        )
    })
}

/// The change of the claim that notes the proof, if it is still the same claim.
fn patch(hand: &Hand<'_>, claim: &Pvc, proof: &str) -> Value {
    let key = hand.config.database.engine.annotation();
    json!({"metadata": {"uid": claim.metadata.uid, "annotations": {key: proof}}})
}

/// Notes the proof on the claim, beside those of other databases. Without the right to change claims the dump is kept, and the
/// proof is not noted; returns whether it is.
fn note(hand: &Hand<'_>, place: &DatabasePlace, proof: &Proof) -> Result<bool> {
    let claim = &place.claim;
    let earlier = claim.metadata.annotations.get(place.database.engine.annotation());
    let earlier = earlier.and_then(|text| serde_json::from_str(text).ok());
    hand.reporter.step("note", |_| {
        let all = proof.clone().added_to(earlier, &place.first_dump_file);
        let patch = patch(hand, claim, &json!(all).to_string());
        let call = hand.kubectl.target.patch(CLAIMS, &claim.metadata.name, &patch);
        match hand.kubectl.json::<Pvc>(&call) {
            Ok(_) => Ok((true, format!("the proof, on PVC {}", claim.metadata.name))),
            Err(error) if error.is(Refusal::Forbidden) => {
                tracing::warn!(
                    "the proof cannot be noted on the PVC: a restore by hand will find none for this file. {}",
                    error.said()
                );
                Ok((false, "nothing: the right to patch PVCs is missing".into()))
            }
            Err(error) => {
                let fail = error.fail().during(Exit::Failed);
                let remedy = format!("{}; the dump is whole and in place, but its proof is not noted", fail.remedy);
                bail!(fail.remedy(remedy.trim_start_matches("; ").to_string()))
            }
        }
    })
}

fn show_plan(hand: &Hand<'_>, dump: &Dump<'_>, claim: &Pvc) -> Result<()> {
    let target = &hand.kubectl.target;
    let exec = target.exec(&dump.chosen.pod, &dump.chosen.container, SCRIPT);
    let at = format!("pod {}, container {}", dump.chosen.pod, dump.chosen.container);
    let file = &dump.database.dump_file;
    let mut steps = vec![
        PlanStep::new(format!("In {at}: check tools, database, path and space (done just now)")).kubectl(&exec),
        PlanStep::new(format!("Dump into a temporary file, prove it, flush it, rename it to {file}"))
            .command(create::command(dump)),
    ];
    steps.extend(create::globals_step(dump));
    steps.extend([
        PlanStep::new("Look at the file again through another stream, and flush its file system").kubectl(&exec),
        PlanStep::new("Note the proof on the PVC").kubectl(&target.patch(
            CLAIMS,
            &claim.metadata.name,
            &patch(hand, claim, "<the proof>"),
        )),
    ]);
    hand.show_plan("Dump", &steps)
}

/// What it says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DumpResult<'a> {
    namespace: &'a str,
    pvc: &'a str,
    proof: &'a Proof,
    /// Whether the proof is on the claim.
    noted: bool,
    /// How long the dump took, with its proof from the stream.
    dump_seconds: f64,
    /// How long all of it took.
    seconds: f64,
}
