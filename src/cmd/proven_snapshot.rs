//! The snapshot that `verify` or `export` is about: found, read in a scratch pod, and stamped. Must not know what a session in that
//! pod does.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::backup::observe::check_namespace;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::scratch_pod::ScratchPod;
use crate::cmd::now;
use crate::container::session::{Line, Session};
use crate::core::backup::pod::Chosen;
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::kube::calls::{CLAIMS, PODS, SNAPSHOTS};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::objects::{Meta, ObjectList, Pvc, Snapshot};
use crate::core::restore::verify::{self, NoSnapshot};
use crate::exit::{Exit, Fail};
use crate::io::process::ProcessError;

/// How long to wait for a line before time and signals are looked at.
const SOON: Duration = Duration::from_secs(1);

/// How often a stamp is tried again on an object that changes meanwhile.
const TRIES: usize = 5;

/// A ready snapshot, with what a scratch pod for it needs.
pub struct ProvenSnapshot {
    pub snapshot: Snapshot,
    pub proofs: Vec<(Engine, Vec<Proof>)>,
    /// The name of its claim, if it is known.
    pub claim: Option<String>,
    /// What its claim is like, if it is known.
    pub template: Option<ClaimTemplate>,
    /// The pods of the namespace.
    pub pods: Vec<Value>,
}

/// Reads the namespace once and finds the snapshot `named`, or else the newest of the claim `pvc`. `verb` is for remedies.
///
/// # Errors
/// There is none that can be used, with the reason.
pub fn find(kubectl: &Kubectl, named: Option<&str>, pvc: &str, verb: &str) -> Result<ProvenSnapshot> {
    let list: ObjectList<Value> = kubectl.all(&[CLAIMS, PODS, SNAPSHOTS])?;
    let of_kind = |kind: &str| list.items.iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<Value>>();
    let read = |item: Value| serde_json::from_value::<Snapshot>(item).ok();
    let snapshots: Vec<Snapshot> = of_kind("VolumeSnapshot").into_iter().filter_map(read).collect();
    let namespace = &kubectl.target.namespace;
    let snapshot = verify::choose(&snapshots, named, pvc, now()).map_err(|why| {
        let fail = || no_snapshot(named, pvc, namespace, why).into();
        if list.items.is_empty() { check_namespace(kubectl, namespace).err().unwrap_or_else(fail) } else { fail() }
    })?;
    let proofs = verify::proofs(snapshot).map_err(|annotation| {
        missing(snapshot, format!("its annotation {annotation} cannot be read"))
            .remedy(format!("{verb} another snapshot, or correct it"))
    })?;
    let claims =
        of_kind("PersistentVolumeClaim").into_iter().filter_map(|item| serde_json::from_value::<Pvc>(item).ok());
    let living = claims.into_iter().find(|claim| snapshot.is_of(&claim.metadata.name));
    let template =
        ClaimTemplate::noted(&snapshot.metadata.annotations).or_else(|| living.as_ref().map(ClaimTemplate::of));
    // The claim's own name; a label may be a shortened one.
    let claim = snapshot.spec.source.persistent_volume_claim_name.clone();
    let claim = claim.or_else(|| Some(template.as_ref()?.name.clone()));
    Ok(ProvenSnapshot { snapshot: snapshot.clone(), proofs, claim, template, pods: of_kind("Pod") })
}

/// The failure for what a snapshot lacks.
pub fn missing(snapshot: &Snapshot, what: String) -> Fail {
    Fail::new(Exit::Precondition, format!("VolumeSnapshot {}: {what}", snapshot.metadata.name))
}

fn no_snapshot(named: Option<&str>, pvc: &str, namespace: &str, why: NoSnapshot) -> Fail {
    let name = named.unwrap_or_default();
    match why {
        NoSnapshot::Missing => {
            Fail::new(Exit::Precondition, format!("the namespace '{namespace}' has no VolumeSnapshot '{name}'"))
                .remedy(format!("see backup-ns list -n {namespace}"))
        }
        NoSnapshot::NotReady(why) => {
            Fail::new(Exit::Snapshot, format!("the VolumeSnapshot {name} is not ready: {why}"))
                .remedy(format!("see kubectl describe volumesnapshot {name} -n {namespace}"))
        }
        NoSnapshot::NoneReady(others) => {
            let there = match &others[..] {
                [] => "there are none".to_string(),
                some => format!("there are some of {}", some.join(", ")),
            };
            let what = format!("the namespace '{namespace}' has no ready VolumeSnapshot of the PVC '{pvc}' ({there})");
            Fail::new(Exit::Precondition, what)
                .remedy(format!("see backup-ns list -n {namespace}, and set BAK_PVC_NAME (--pvc-name)"))
        }
    }
}

/// A session in a scratch pod, which has to be done in time.
pub struct ScratchSession<'a> {
    pub session: Session,
    pod: &'a ScratchPod<'a>,
    end: Instant,
    limit: Duration,
}

impl<'a> ScratchSession<'a> {
    /// Starts `script` in the pod. Returns its first line, too. It may last until `end`, when `limit` is over.
    ///
    /// # Errors
    /// The pod cannot be reached, or the script ended.
    pub fn start(
        kubectl: &Kubectl,
        (pod, chosen): (&'a ScratchPod<'a>, &Chosen),
        (script, nonce, values): (&str, &str, &[String]),
        (end, limit): (Instant, Duration),
    ) -> Result<(ScratchSession<'a>, Line)> {
        let start = || {
            let mut session = Session::start(kubectl, chosen, script, nonce, values)?;
            // A kubelet may not have heard of the pod yet.
            let first = loop {
                if let Some(line) = session.next(SOON)? {
                    break line;
                }
            };
            Ok((session, first))
        };
        let (session, first) = kubectl.patiently(start).map_err(|error| pod.broken(error.fail()))?;
        Ok((ScratchSession { session, pod, end, limit }, first))
    }

    /// The next line of the session, as long as there is time.
    ///
    /// # Errors
    /// Time is up, or the session broke off.
    pub fn next(&mut self) -> Result<Line> {
        while Instant::now() < self.end {
            if let Some(line) = self.session.next(SOON).map_err(|error| self.pod.broken(error.fail()))? {
                return Ok(line);
            }
        }
        bail!(self.pod.out_of_time(self.limit, &self.session.last_words()))
    }
}

/// Patches the very object that was read, whatever else changes on it meanwhile. `patch` makes the patch for one version of it. For
/// messages: `done` is what holds without the stamp, and `verb`, with its participle, what was done with the snapshot.
///
/// # Errors
/// The object is another one, or the API refuses.
pub fn stamp(
    kubectl: &Kubectl,
    before: &Meta,
    patch: impl Fn(&Meta) -> Value,
    done: &str,
    (verb, participle): (&str, &str),
) -> Result<()> {
    let (target, name) = (&kubectl.target, &before.name);
    let refused = |error: &ProcessError| {
        let fail = error.fail();
        let remedy = format!("{}; {done}", fail.remedy);
        fail.remedy(remedy.trim_start_matches("; ").to_string())
    };
    let mut meta = before.clone();
    let mut tries = TRIES;
    loop {
        match kubectl.json::<Snapshot>(&target.patch(SNAPSHOTS, name, &patch(&meta))) {
            Ok(_) => return Ok(()),
            Err(error) if error.is(Refusal::Conflict) && tries > 0 => tries -= 1,
            Err(error) => bail!(refused(&error)),
        }
        let there: Snapshot = kubectl.get(SNAPSHOTS, name).map_err(|error| refused(&error))?;
        if there.metadata.uid != meta.uid {
            let what = format!("the VolumeSnapshot {name} is another one now; that which was {participle} is gone");
            bail!(Fail::new(Exit::Failed, what).remedy(format!("{verb} the new one")));
        }
        meta = there.metadata;
    }
}
