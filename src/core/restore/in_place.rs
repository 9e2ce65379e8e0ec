//! The journal of an in-place restore: its plan, and what is still to be done by what the namespace holds. Must not know how any
//! of it is done.

use std::collections::BTreeMap;
use std::mem;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::backup::name;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Meta, Readiness, Snapshot};
use crate::core::restore::new_claim::{self, of_claim};
use crate::core::restore::workloads::Down;
use crate::core::retention::slot;
use crate::core::time_zone::Zone;

/// The state of an in-place restore. It is kept on the restored snapshot from before the first change to the end; with the
/// objects of the namespace it determines the next step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    pub claim: ClaimTemplate,
    /// Its uid: a claim with another uid is a replacement.
    pub uid: String,
    /// Its annotations, but for those about the volume.
    pub annotations: BTreeMap<String, String>,
    pub owners: Vec<Value>,
    /// The VolumeSnapshot of the data before the restore.
    pub safety: String,
    /// The workloads that are scaled down meanwhile.
    pub workloads: Vec<Down>,
    /// Whether the restore is rolled back.
    pub back: bool,
    /// The call that works on it: the last one that wrote it. Empty if an older version did.
    #[serde(default)]
    pub run: String,
}

/// The claim that a restore finds by the name of its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The claim that the restore began with.
    Old,
    /// There is none, or it is being deleted.
    Gone,
    /// The one that the restore made.
    Restored,
    /// The one that its rollback made.
    Back,
    Other,
}

/// The next step of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Stop the workloads and replace the claim.
    Replace,
    /// The claim is replaced; start the workloads.
    Start,
    /// Remove the journal: nothing else was changed.
    Forget,
}

/// How many days the safety snapshot is kept.
const SAFETY_DAYS: u32 = 30;

/// The name of the safety snapshot.
pub fn safety_name(claim: &str, now: DateTime<Utc>, zone: Zone) -> String {
    name::with_ending(claim, &format!("-before-restore-{}", zone.local(now).format("%Y-%m-%d-%H%M%S")))
}

impl NamespaceObjects {
    /// The unfinished in-place restore of a claim: the snapshot that it restores, and its journal.
    pub fn begun(&self, claim: &str) -> Option<(&Snapshot, Journal)> {
        let journals = self.snapshots.iter().filter_map(|snapshot| Some((snapshot, journal(snapshot)?)));
        journals.into_iter().find(|(_, journal)| journal.claim.name == claim)
    }

    /// Why no workload of the claim may be scaled down, and the remedy: the claim was deleted, and only its pods keep it.
    /// `snapshot` is the one that was to be restored.
    pub fn deleted_claim_problem(&self, claim: &str, snapshot: &str) -> Option<(String, String)> {
        let deleted = self.claim(claim).is_some_and(|claim| claim.metadata.deletion_timestamp.is_some());
        (deleted && !self.mounters(claim).is_empty()).then(|| {
            let namespace = self.claim(claim).map_or("", |claim| claim.metadata.namespace.as_str());
            // As YAML: quotes would not survive where logs escape them.
            let patch = "'spec: {persistentVolumeReclaimPolicy: Retain}'";
            (
                format!("something else deleted the claim {claim}: Kubernetes removes it and its data as soon as no pod mounts it"),
                format!(
                    "do not stop its pods; first keep its volume: kubectl patch pv $(kubectl get pvc {claim} -n {namespace} \
                     -o jsonpath='{{.spec.volumeName}}') -p {patch}; then scale them down, make the claim anew with backup-ns \
                     restore {snapshot} -n {namespace} --pvc {claim} --wait, and scale them up"
                ),
            )
        })
    }

    /// Plans an in-place restore of `snapshot` to the claim that it is of; `safety` is the name of the safety snapshot.
    ///
    /// # Errors
    /// Every problem, with its remedy.
    pub fn plan(&self, snapshot: &Snapshot, safety: &str) -> Result<Journal, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut problem = |what: String, remedy: String| problems.push((what, remedy));
        let Meta { name, namespace, .. } = &snapshot.metadata;
        if snapshot.readiness() != Readiness::Ready {
            problem(
                format!("the VolumeSnapshot {name} is not ready"),
                format!("see kubectl describe volumesnapshot {name} -n {namespace}"),
            );
        }
        let Some(source) = of_claim(snapshot) else {
            problem(
                format!("the claim of VolumeSnapshot {name} is unknown"),
                format!("make a new claim from it: backup-ns restore {name} -n {namespace} --pvc NAME"),
            );
            return Err(problems);
        };
        let Some(claim) = self.claim(&source) else {
            problem(
                format!("the claim '{source}' that {name} is of is not there"),
                format!(
                    "there is nothing to replace; make it with backup-ns restore {name} -n {namespace} --pvc {source}"
                ),
            );
            return Err(problems);
        };
        let workloads = self.to_bring_down(&source, namespace, &mut problem);
        for other in self.unready(&source).into_iter().filter(|other| other.metadata.name != *name) {
            let (is_failed, other) = (matches!(other.readiness(), Readiness::Failed(_)), &other.metadata.name);
            problem(
                format!(
                    "the VolumeSnapshot {other} of the claim is not ready, and as long as it is not the claim cannot go"
                ),
                // One that has not failed is of a running backup.
                match is_failed {
                    true => format!("it failed: see why, then delete it (backup-ns delete {other} -n {namespace})"),
                    false => format!("wait until it is: kubectl get volumesnapshot {other} -n {namespace} -w"),
                },
            );
        }
        let Some(mut template) = new_claim::template(snapshot, Some(claim)) else { return Err(problems) };
        let annotations = mem::take(&mut template.annotations);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Journal {
            claim: template,
            uid: claim.metadata.uid.clone(),
            annotations,
            owners: claim.metadata.owner_references.clone(),
            safety: safety.into(),
            workloads,
            back: false,
            run: String::new(),
        })
    }

    /// The snapshots of a claim that are not ready: the snapshot controller keeps the claim as long as there is one.
    fn unready(&self, claim: &str) -> Vec<&Snapshot> {
        let of_claim = |one: &&Snapshot| one.spec.source.persistent_volume_claim_name.as_deref() == Some(claim);
        self.snapshots.iter().filter(of_claim).filter(|one| one.readiness() != Readiness::Ready).collect()
    }

    /// The snapshots that keep the claim of a restore from being removed: safety snapshots of its earlier calls, which never
    /// became ready and may be deleted, and all others.
    pub fn holders(&self, journal: &Journal) -> (Vec<&Snapshot>, Vec<&Snapshot>) {
        let others: Vec<Journal> = self.snapshots.iter().filter_map(self::journal).collect();
        let unready = self.unready(&journal.claim.name).into_iter();
        unready.filter(|one| one.metadata.name != journal.safety).partition(|one| {
            one.metadata.labels.get(labels::TYPE).is_some_and(|kind| kind == labels::SAFETY)
                && !others.iter().any(|other| other.safety == one.metadata.name)
        })
    }
}

/// The journal on a snapshot.
pub fn journal(snapshot: &Snapshot) -> Option<Journal> {
    serde_json::from_str(snapshot.metadata.annotations.get(labels::RESTORING)?).ok()
}

/// How a call of `restore --in-place` or `--rollback` goes on.
#[derive(Debug, PartialEq)]
pub enum Continuation {
    /// No restore of the snapshot was begun: plan one.
    Begin,
    /// An earlier call began one: continue with its journal. `renew_safety`: the old claim is still there, and was perhaps written
    /// to since that call made its safety snapshot, so another one is needed.
    Resume { journal: Box<Journal>, renew_safety: bool },
}

/// Why a call does not go on.
#[derive(Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// The journal is of a newer version.
    UnknownJournal,
    /// The restore is being rolled back, and this call is not a rollback.
    RollingBack,
    /// The restore of this other snapshot works on the same claim or workloads.
    OtherRestore(String),
    /// There is nothing to roll back.
    NotBegun,
}

/// How a call goes on with `snapshot`, of the claim `claim`.
pub fn continuation(
    namespace_objects: &NamespaceObjects,
    snapshot: &Snapshot,
    claim: &str,
    rollback: bool,
) -> Result<Continuation, Hindrance> {
    let Some(found) = journal(snapshot) else {
        if snapshot.metadata.annotations.contains_key(labels::RESTORING) {
            return Err(Hindrance::UnknownJournal);
        }
        if rollback {
            return Err(Hindrance::NotBegun);
        }
        return match namespace_objects.begun(claim) {
            Some((other, _)) => Err(Hindrance::OtherRestore(other.metadata.name.clone())),
            None => Ok(Continuation::Begin),
        };
    };
    if found.back && !rollback {
        return Err(Hindrance::RollingBack);
    }
    let is_replaced = found.claim_state(namespace_objects, snapshot) != ClaimState::Old;
    // A rollback before the claim is replaced only starts workloads again, which is in the way of no other restore.
    if (!rollback || is_replaced)
        && let Some(other) = found.others(namespace_objects, snapshot).first()
    {
        return Err(Hindrance::OtherRestore((*other).to_string()));
    }
    let renew_safety = !rollback && !is_replaced && namespace_objects.snapshot(&found.safety).is_some();
    Ok(Continuation::Resume { journal: Box::new(found), renew_safety })
}

impl Journal {
    /// Which claim exists by its name; `of` is the snapshot that carries the journal.
    pub fn claim_state(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> ClaimState {
        let Some(claim) = namespace_objects.claim(&self.claim.name) else { return ClaimState::Gone };
        let is_from = |name: &str| {
            let full = format!("{}/{name}", of.metadata.namespace);
            claim.metadata.annotations.get(labels::RESTORED_FROM) == Some(&full)
        };
        match () {
            () if claim.metadata.deletion_timestamp.is_some() => ClaimState::Gone,
            () if claim.metadata.uid == self.uid => ClaimState::Old,
            () if is_from(&of.metadata.name) => ClaimState::Restored,
            () if is_from(&self.safety) => ClaimState::Back,
            () => ClaimState::Other,
        }
    }

    /// The next step, by the objects of the namespace.
    ///
    /// # Errors
    /// The restore can neither be resumed nor rolled back; with the remedy.
    pub fn next_step(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> Result<NextStep, (String, String)> {
        let Journal { claim, safety, workloads, .. } = self;
        let (claim, name, namespace) = (&claim.name, &of.metadata.name, &of.metadata.namespace);
        // One that was not cut holds nothing, and once the claim is gone it never will.
        let is_cut = |safety: &Snapshot| matches!(safety.readiness(), Readiness::Cut | Readiness::Ready);
        let kept = namespace_objects.snapshot(safety).is_some_and(is_cut);
        match (self.claim_state(namespace_objects, of), self.back) {
            (ClaimState::Old, false) => Ok(NextStep::Replace),
            (ClaimState::Gone, _) | (ClaimState::Restored, true) if kept => Ok(NextStep::Replace),
            (ClaimState::Restored, false) | (ClaimState::Old | ClaimState::Back, true) => Ok(NextStep::Start),
            (ClaimState::Other, true) if !workloads.iter().any(|down| namespace_objects.is_down_for(down, name)) => {
                Ok(NextStep::Forget)
            }
            (ClaimState::Restored, true) => Err((
                format!("the VolumeSnapshot {safety} of what was there is gone"),
                "it cannot be taken back any more".into(),
            )),
            (ClaimState::Gone, _) => {
                let were: Vec<String> = workloads.iter().map(|down| format!("{down} had {}", down.replicas)).collect();
                Err((
                    format!("the claim {claim} is gone, and no VolumeSnapshot {safety} holds what was there"),
                    format!(
                        "make it from the snapshot: backup-ns restore {name} -n {namespace} --pvc {claim} --wait; then start the workloads with \
                         the command below ({})",
                        were.join(", ")
                    ),
                ))
            }
            (ClaimState::Back | ClaimState::Other, _) => Err((
                format!("the claim {claim} is neither the one that this restore began with nor the one that it made"),
                format!(
                    "see what made it: kubectl describe pvc {claim} -n {namespace}; pause that (GitOps, an operator) and move its \
                     data; the restore can be resumed as soon as there is no such claim"
                ),
            )),
        }
    }

    /// Whether another restore has the same claim or stops the same workload.
    fn collides(&self, other: &Journal) -> bool {
        let stops = |down: &Down| other.workloads.iter().any(|it| (it.kind, &it.name) == (down.kind, &down.name));
        self.claim.name == other.claim.name || self.workloads.iter().any(stops)
    }

    /// The names of other snapshots whose restores are not finished and collide with this one.
    pub fn others<'a>(&self, namespace_objects: &'a NamespaceObjects, of: &Snapshot) -> Vec<&'a str> {
        let others = namespace_objects.snapshots.iter().filter(|other| other.metadata.name != of.metadata.name);
        let others = others.filter(|other| journal(other).is_some_and(|journal| self.collides(&journal)));
        others.map(|other| other.metadata.name.as_str()).collect()
    }

    /// The merge patch that writes the journal on this version of its snapshot; `None` removes it.
    pub fn patch(journal: Option<&Journal>, snapshot: &Snapshot) -> Value {
        let note = journal.map(|journal| json!(journal).to_string());
        json!({"metadata": {
            "resourceVersion": snapshot.metadata.resource_version, "annotations": {labels::RESTORING: note},
        }})
    }

    /// The safety snapshot. Nothing in it is proven, so it must not count as a backup.
    pub fn safety(&self, of: &str, namespace: &str, class: Option<&str>, now: DateTime<Utc>, zone: Zone) -> Value {
        let mut spec = json!({"source": {"persistentVolumeClaimName": self.claim.name}});
        if let Some(class) = class {
            spec["volumeSnapshotClassName"] = json!(class);
        }
        json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {
                "name": self.safety,
                "namespace": namespace,
                "labels": {
                    labels::TYPE: labels::SAFETY,
                    labels::PVC: labels::pvc_value(&self.claim.name),
                    labels::RETAIN: "days",
                    labels::RETAIN_DAYS: SAFETY_DAYS.to_string(),
                    labels::DELETE_AFTER: slot::date_after(now, SAFETY_DAYS, zone),
                },
                "annotations": {
                    labels::CLAIM: self.whole().note(),
                    labels::DISTRUSTED: format!("what was there before {of} was restored in place"),
                },
            },
            "spec": spec,
        })
    }

    /// A warning about a claim with finalizers of other tools.
    pub fn held(&self) -> Option<String> {
        let ClaimTemplate { name, finalizers, .. } = &self.claim;
        let held = || {
            format!(
                "the claim {name} is held by {}: it is gone only when the tool that set that removes it; the new claim has it again",
                finalizers.join(", ")
            )
        };
        (!finalizers.is_empty()).then(held)
    }

    fn whole(&self) -> ClaimTemplate {
        ClaimTemplate { annotations: self.annotations.clone(), ..self.claim.clone() }
    }

    /// The manifest of the claim that replaces the old one, with the data of `from`.
    pub fn replacement(&self, namespace: &str, from: &Snapshot) -> Value {
        let mut claim = new_claim::claim(&self.whole(), &self.claim.name, namespace, &from.metadata.name, from);
        if !self.owners.is_empty() {
            claim["metadata"]["ownerReferences"] = json!(self.owners);
        }
        claim
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kube::objects::Pvc;
    use crate::core::restore::sample::{claim, items, pod, snapshot, volumes, workload};

    /// The plan for a namespace with these objects besides a snapshot and its claim.
    fn plan(objects: &[Value]) -> Result<Journal, Vec<String>> {
        let mut all = vec![snapshot("s", |_| ()), claim()];
        all.extend_from_slice(objects);
        let namespace_objects = items(json!(all));
        let plan = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe");
        plan.map_err(|problems| problems.into_iter().map(|(what, remedy)| format!("{what} -> {remedy}")).collect())
    }

    #[test]
    fn workloads_that_mount_the_claim_are_scaled_down() {
        let template = json!({"template": {"spec": {"volumes": volumes()}}, "replicas": 3});
        let journal = plan(&[
            workload("Deployment", "web", template.clone()),
            workload("Deployment", "other", json!({"replicas": 2})),
            // The pod template of a StatefulSet does not name the claims that it makes.
            workload("StatefulSet", "db", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})),
            workload("StatefulSet", "db-0", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})),
            json!({
                "kind": "CronJob", "metadata": {"name": "report"},
                "spec": {"suspend": true, "jobTemplate": {"spec": template}},
            }),
            pod("db-0", "db"),
            pod("web-1", "web"),
        ])
        .unwrap();
        let said: Vec<String> = journal.workloads.iter().map(|down| format!("{down} {}", down.replicas)).collect();
        assert_eq!(said, ["deployment/web 3", "statefulset/db 1", "cronjob/report 0"]);
        assert_eq!(journal.workloads[2].patch(Some("s"))["spec"], json!({"suspend": true}));
        assert_eq!(journal.workloads[2].patch(None)["spec"], json!({"suspend": true}), "as it was");
        assert_eq!(journal.workloads[0].patch(Some("s"))["spec"], json!({"replicas": 0}));
        let up = journal.workloads[0].patch(None);
        assert_eq!(up, json!({"metadata": {"annotations": {"backup-ns.sh/restoring": null}}, "spec": {"replicas": 3}}));
    }

    #[test]
    fn a_call_begins_resumes_or_is_refused_by_what_is_there() {
        use Continuation::Begin;
        use Hindrance::{NotBegun, OtherRestore, RollingBack, UnknownJournal};
        let noted = |name: &str, back: bool| {
            let journal = json!(Journal { back, ..plan(&[]).unwrap() });
            snapshot(name, |object| {
                object["metadata"]["annotations"]["backup-ns.sh/restoring"] = json!(journal.to_string());
            })
        };
        let unreadable =
            snapshot("s", |object| object["metadata"]["annotations"]["backup-ns.sh/restoring"] = json!("v9"));
        let mut replaced = claim();
        replaced["metadata"]["uid"] = json!("u2");
        let (plain, safe) = (snapshot("s", |_| ()), snapshot("safe", |_| ()));
        let (own, other, back) = (noted("s", false), noted("t", false), noted("s", true));
        let resumed = |renews: bool| Some(renews);
        for (objects, rollback, expected) in [
            (vec![&plain, &claim()], false, Ok(None)),
            (vec![&plain, &claim()], true, Err(NotBegun)),
            (vec![&unreadable, &claim()], false, Err(UnknownJournal)),
            (vec![&unreadable, &claim()], true, Err(UnknownJournal)),
            (vec![&plain, &other, &claim()], false, Err(OtherRestore("t".into()))),
            (vec![&own, &claim()], false, Ok(resumed(false))),
            (vec![&own, &safe, &claim()], false, Ok(resumed(true))),
            (vec![&own, &safe, &replaced], false, Ok(resumed(false))),
            (vec![&own, &safe], false, Ok(resumed(false))),
            (vec![&own, &safe, &claim()], true, Ok(resumed(false))),
            (vec![&own, &other, &claim()], false, Err(OtherRestore("t".into()))),
            (vec![&own, &other, &claim()], true, Ok(resumed(false))),
            (vec![&own, &other, &replaced], true, Err(OtherRestore("t".into()))),
            (vec![&back, &claim()], false, Err(RollingBack)),
            (vec![&back, &claim()], true, Ok(resumed(false))),
        ] {
            let said = format!("{objects:?} {rollback}");
            let namespace_objects = items(json!(objects));
            let of = namespace_objects.snapshot("s").unwrap();
            let found = continuation(&namespace_objects, of, "data-db-0", rollback).map(|found| match found {
                Begin => None,
                Continuation::Resume { renew_safety, .. } => Some(renew_safety),
            });
            assert_eq!(found, expected, "{said}");
        }
    }

    #[test]
    fn everything_that_cannot_be_scaled_is_a_problem() {
        let template = json!({"template": {"spec": {"volumes": volumes()}}});
        let mut shrinking =
            workload("StatefulSet", "db", json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}));
        shrinking["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenScaled": "Delete"});
        let problems =
            plan(&[workload("DaemonSet", "agent", template), shrinking, pod("debug", "me"), pod("db-0", "db")]);
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        for words in ["daemonset/agent mounts", "whenScaled to Retain", "delete it: kubectl delete pod debug -n shop"] {
            assert!(problems.iter().any(|problem| problem.contains(words)), "{words}: {problems:?}");
        }
        let namespace_objects = items(json!([snapshot("s", |object| object["status"] = json!({}))]));
        let problems = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe").unwrap_err();
        assert_eq!(problems.len(), 2, "not ready, and no claim: {problems:?}");
    }

    #[test]
    fn a_loose_pod_is_a_problem_with_its_remedy() {
        let problem = |phase: &str, owner: Value| {
            let mut pod = pod("p", "p");
            pod["status"] = json!({"phase": phase});
            pod["metadata"]["ownerReferences"] = owner;
            plan(&[pod]).unwrap_err().join("; ")
        };
        let of = |kind: &str| json!([{"kind": kind, "name": "o", "controller": true}]);
        // A controller makes the pod again if it is deleted.
        for (phase, owner, words) in [
            ("Running", json!([]), "delete it: kubectl delete pod p -n shop"),
            ("Succeeded", of("Job"), "delete it: kubectl delete pod p -n shop"),
            ("Running", of("Job"), "-> wait until it has ended"),
            ("Running", of("ReplicaSet"), "of the ReplicaSet o -> stop that by its own means"),
        ] {
            let problem = problem(phase, owner);
            assert!(problem.contains(words), "{problem}");
            assert_eq!(problem.contains("kubectl delete"), words.contains("kubectl delete"), "{problem}");
        }
    }

    #[test]
    fn a_pending_snapshot_is_waited_for_and_only_a_failed_one_deleted() {
        let problem = |status: Value| {
            let other = snapshot("other", |object| object["status"] = status.clone());
            plan(&[other]).unwrap_err().join("; ")
        };
        assert!(problem(json!({})).contains("wait until it is: kubectl get volumesnapshot other -n shop -w"));
        assert!(problem(json!({"error": {"message": "no"}})).contains("backup-ns delete other -n shop"));
        assert!(!problem(json!({"creationTime": "2026-01-02T03:04:05Z"})).contains("delete"));
    }

    #[test]
    fn the_replacement_is_the_claim_with_other_data() {
        let journal = plan(&[]).unwrap();
        let from = serde_json::from_value(snapshot("s", |object| {
            object["metadata"]["annotations"]["backup-ns.sh/dump-mysql"] = json!("proof");
        }));
        let made = journal.replacement("shop", &from.unwrap());
        let annotations =
            json!({"team": "shop", "backup-ns.sh/restored-from": "shop/s", "backup-ns.sh/dump-mysql": "proof"});
        assert_eq!(made["metadata"]["annotations"], annotations, "the old volume's proof is not the new one's");
        assert_eq!(made["metadata"]["labels"], json!({"app": "db"}));
        assert_eq!(made["metadata"]["ownerReferences"][0]["name"], "db");
        assert_eq!(made["metadata"]["finalizers"], json!(["example.com/keep"]), "Kubernetes sets its own anew");
        assert_eq!(made["spec"]["resources"]["requests"]["storage"], "2Gi", "no smaller than the data");
        assert_eq!(
            (&made["spec"]["storageClassName"], &made["spec"]["dataSource"]["name"]),
            (&json!("fast"), &json!("s"))
        );
        let new: Pvc = serde_json::from_value(made).unwrap();
        assert_eq!(new.sources().collect::<Vec<_>>(), vec![("shop".to_string(), "s".to_string()); 2], "by both notes");
    }

    #[test]
    fn a_journal_is_found_by_its_claim_and_read_as_it_was_written() {
        let journal = plan(&[]).unwrap();
        let note = json!(journal).to_string();
        let noted = snapshot("s", |object| object["metadata"]["annotations"][labels::RESTORING] = json!(note));
        let namespace_objects = items(json!([snapshot("r", |_| ()), noted]));
        let (of, found) = namespace_objects.begun("data-db-0").unwrap();
        assert_eq!((of.metadata.name.as_str(), found), ("s", journal));
        assert!(namespace_objects.begun("data").is_none());
    }

    /// The next step if the claim has this uid and is from this snapshot, beside other objects.
    fn next_step(back: bool, claim: Option<(&str, &str)>, also: &[Value]) -> Result<NextStep, String> {
        let journal = Journal {
            back,
            ..plan(&[workload("Deployment", "web", json!({"template": {"spec": {"volumes": volumes()}}}))]).unwrap()
        };
        let mut objects = vec![snapshot("s", |_| ())];
        objects.extend(claim.map(|(uid, from)| {
            let mut claim = self::claim();
            claim["metadata"]["uid"] = json!(uid);
            claim["metadata"]["annotations"][labels::RESTORED_FROM] = json!(from);
            claim
        }));
        objects.extend_from_slice(also);
        let namespace_objects = items(json!(objects));
        journal
            .next_step(&namespace_objects, namespace_objects.snapshot("s").unwrap())
            .map_err(|(what, remedy)| format!("{what} -> {remedy}"))
    }

    #[test]
    fn the_next_step_follows_from_the_objects() {
        let safe = || snapshot("safe", |_| ());
        let (old, restored, back, other) =
            (Some(("u1", "")), Some(("u2", "shop/s")), Some(("u2", "shop/safe")), Some(("u2", "")));
        for (is_back, claim, also, expected) in [
            (false, old, vec![], NextStep::Replace),
            // A claim that an earlier restore made is the old one of the next restore.
            (false, Some(("u1", "shop/s")), vec![], NextStep::Replace),
            (false, old, vec![safe()], NextStep::Replace),
            (false, None, vec![safe()], NextStep::Replace),
            (false, restored, vec![safe()], NextStep::Start),
            (true, old, vec![], NextStep::Start),
            (true, restored, vec![safe()], NextStep::Replace),
            (true, None, vec![safe()], NextStep::Replace),
            (true, back, vec![safe()], NextStep::Start),
            // Another restore replaced it meanwhile, and no workload is down for this one.
            (true, other, vec![], NextStep::Forget),
        ] {
            assert_eq!(next_step(is_back, claim, &also), Ok(expected), "{is_back} {claim:?}");
        }
        let stopped =
            json!({"kind": "Deployment", "metadata": {"name": "web", "annotations": {labels::RESTORING: "s"}}});
        for (is_back, claim, also, words) in [
            (false, None, vec![], "backup-ns restore s -n shop --pvc data-db-0 --wait"),
            (true, None, vec![], "deployment/web had 1"),
            (true, restored, vec![], "safe of what was there is gone"),
            (false, other, vec![safe()], "as soon as there is no such claim"),
            (true, other, vec![stopped, safe()], "as soon as there is no such claim"),
        ] {
            let problem = next_step(is_back, claim, &also).unwrap_err();
            assert!(problem.contains(words) && !problem.contains("delete"), "{problem}");
        }
        let mut going = claim();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        assert_eq!(
            next_step(true, None, &[going, safe()]),
            Ok(NextStep::Replace),
            "a claim that is being deleted counts as gone"
        );
    }

    #[test]
    fn restores_of_one_claim_or_one_workload_collide() {
        let web = workload("Deployment", "web", json!({"template": {"spec": {"volumes": volumes()}}}));
        let journal = plan(&[web]).unwrap();
        let with = |name: &str, change: &dyn Fn(&mut Journal)| {
            let mut other = journal.clone();
            other.claim.name = "logs".into();
            other.workloads.clear();
            change(&mut other);
            snapshot(name, |object| {
                object["metadata"]["annotations"][labels::RESTORING] = json!(json!(other).to_string())
            })
        };
        let namespace_objects = items(json!([
            with("s", &|_| ()),
            with("claim", &|other| other.claim.name = "data-db-0".into()),
            with("workload", &|other| other.workloads = journal.workloads.clone()),
            with("neither", &|_| ()),
            snapshot("unread", |object| object["metadata"]["annotations"][labels::RESTORING] = json!("?")),
        ]));
        assert_eq!(journal.others(&namespace_objects, namespace_objects.snapshot("s").unwrap()), ["claim", "workload"]);
    }

    #[test]
    fn a_journal_of_an_older_version_is_read() {
        let mut note = json!(plan(&[]).unwrap());
        note.as_object_mut().unwrap().remove("run");
        let old =
            snapshot("s", |object| object["metadata"]["annotations"][labels::RESTORING] = json!(note.to_string()));
        assert_eq!(journal(&serde_json::from_value(old).unwrap()), Some(plan(&[]).unwrap()));
    }

    #[test]
    fn a_snapshot_of_an_unknown_claim_is_not_restored_in_place() {
        let lost = snapshot("s", |object| object["spec"]["source"] = json!({"volumeSnapshotContentName": "c"}));
        let namespace_objects = items(json!([lost, claim()]));
        let problems = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe").unwrap_err();
        assert!(
            problems[0].0.contains("is unknown") && problems[0].1.contains("restore s -n shop --pvc NAME"),
            "{problems:?}"
        );
    }
}
