//! `trust`: takes the mark off a snapshot that says that it is not to be trusted, because a person says so.

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use crate::cluster::refusal::Refusal;
use crate::cmd::Context;
use crate::config::{Global, Trust};
use crate::core::kube::calls::SNAPSHOTS;
use crate::core::kube::labels;
use crate::core::kube::objects::Snapshot;
use crate::core::plan::{self, PlanStep};
use crate::core::restore::verify;
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::report::Reporter;

/// What `trust` says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Trusted<'a> {
    namespace: &'a str,
    volume_snapshot: &'a str,
    /// Why it was not trusted; none where it was all the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    distrusted: Option<&'a str>,
}

/// Asks, and takes the mark off the very version that was asked about.
///
/// # Errors
/// It is not there, it never was a backup, the question was not answered with yes, or it was changed meanwhile.
pub fn run(global: &Global, config: &Trust, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let kubectl = &context.kubectl;
    let (target, name) = (&kubectl.target, &config.snapshot);
    let namespace = &target.namespace;
    let found: Option<Snapshot> = kubectl.find(SNAPSHOTS, name)?;
    let Some(snapshot) = found else {
        let what = format!("the namespace '{namespace}' has no VolumeSnapshot '{name}'");
        bail!(Fail::new(Exit::Precondition, what).remedy(format!("see backup-ns list -n {namespace}")));
    };
    let meta = &snapshot.metadata;
    if meta.labels.get(labels::TYPE).is_some_and(|kind| kind == labels::SAFETY) {
        let what = format!("the VolumeSnapshot {name} holds what was there before a restore, and never was a backup");
        bail!(Fail::new(Exit::Precondition, what).remedy("make a backup of what is there now with backup-ns create"));
    }
    let why = meta.annotations.get(labels::DISTRUSTED);
    let result = Trusted { namespace, volume_snapshot: name, distrusted: why.map(String::as_str) };
    let Some(why) = why else {
        return context.show(&result, || format!("VolumeSnapshot {name} in {namespace} is trusted already\n"));
    };
    let patch = target.patch(SNAPSHOTS, name, &verify::trust(meta));
    if global.dry_run {
        let steps = [PlanStep::new(format!("Take the mark off that says: {why}")).kubectl(&patch)];
        let result = json!({"dryRun": true, "namespace": namespace, "volumeSnapshot": name, "steps": steps});
        return context.show(&result, || {
            format!("Dry run: nothing was changed. Trust in {name} in {namespace}:\n{}", plan::text(&steps))
        });
    }
    let question = format!(
        "The VolumeSnapshot {name} in {namespace} is distrusted ({why}). Trusted, it counts as a backup again: for retention, for \
         restores and for the alerts."
    );
    confirm::confirm(reporter, &question, config.yes, "--yes")?;
    reporter.step("trust", |_| match kubectl.json::<Snapshot>(&patch) {
        Ok(_) => Ok(((), name.clone())),
        Err(error) if error.is(Refusal::Conflict) => bail!(Fail::new(
            Exit::Failed,
            format!("the VolumeSnapshot {name} was changed meanwhile, and stays as it is now"),
        )
        .remedy(format!("look at it with backup-ns list -n {namespace}, then decide again"))),
        Err(error) => Err(error.into()),
    })?;
    context.show(&result, || format!("VolumeSnapshot {name} in {namespace} is trusted again\n"))
}
