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

/// What an in-place restore has to remember from its first step to its last. It stands on the snapshot that is restored, from
/// before anything is changed until all is done; together with what is there it says what is to be done next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The claim that is replaced.
    pub claim: ClaimTemplate,
    /// Its uid: one with another is the replacement.
    pub uid: String,
    /// Its annotations, but for those that speak of the volume.
    pub annotations: BTreeMap<String, String>,
    /// Its `metadata.ownerReferences`, as they are.
    pub owners: Vec<Value>,
    /// The VolumeSnapshot of what was there.
    pub safety: String,
    /// What is down meanwhile.
    pub workloads: Vec<Down>,
    /// Whether what was there is to come back.
    pub back: bool,
    /// Which call is at work on it: the last one that wrote it. Empty where an older version did.
    #[serde(default)]
    pub run: String,
}

/// What is there by the name of a restore's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimState {
    /// The claim that the restore began with.
    Old,
    /// None, or one that is being deleted.
    Gone,
    /// The one that the restore made.
    Restored,
    /// The one that its rollback made.
    Back,
    /// Another one: something else made it.
    Other,
}

/// What is still to be done of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// All of it: the claim is not replaced yet.
    Replace,
    /// The claim is there; what is down for it has to come up.
    Start,
    /// The journal has to go: nothing else was changed.
    Forget,
}

/// How many days the snapshot of what was there before a restore stays.
const SAFETY_DAYS: u32 = 30;

/// The name of the snapshot of what was there.
pub fn safety_name(claim: &str, now: DateTime<Utc>, zone: Zone) -> String {
    name::with_ending(claim, &format!("-before-restore-{}", zone.local(now).format("%Y-%m-%d-%H%M%S")))
}

impl NamespaceObjects {
    /// An in-place restore that was begun and is not done, of the claim that `snapshot` is of: the snapshot that it restores,
    /// and its journal.
    pub fn begun(&self, claim: &str) -> Option<(&Snapshot, Journal)> {
        let journals = self.snapshots.iter().filter_map(|snapshot| Some((snapshot, journal(snapshot)?)));
        journals.into_iter().find(|(_, journal)| journal.claim.name == claim)
    }

    /// Why nothing that mounts the claim may be brought down, and what to do: it was deleted, and only its pods hold it.
    pub fn going(&self, claim: &str) -> Option<(String, String)> {
        let deleted = self.claim(claim).is_some_and(|claim| claim.metadata.deletion_timestamp.is_some());
        (deleted && !self.mounters(claim).is_empty()).then(|| {
            let namespace = self.claim(claim).map_or("", |claim| claim.metadata.namespace.as_str());
            // As YAML: quotes would not survive where logs escape them.
            let patch = "'spec: {persistentVolumeReclaimPolicy: Retain}'";
            (
                format!("somebody deleted the claim {claim}: it goes, with all it holds, as soon as no pod mounts it"),
                format!(
                    "leave its pods alone; have its volume stay first: kubectl patch pv $(kubectl get pvc {claim} -n {namespace} \
                     -o jsonpath='{{.spec.volumeName}}') -p {patch}; then scale them down, and run this again, or make the claim \
                     anew with backup-ns restore"
                ),
            )
        })
    }

    /// Plans an in-place restore of `snapshot` to the claim that it is of; `safety` is the name of the snapshot of what is
    /// there.
    ///
    /// # Errors
    /// Everything that speaks against it, with what to do about it.
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
                format!("nothing tells what claim VolumeSnapshot {name} is of"),
                format!(
                    "make a claim from it, beside what is there: backup-ns restore {name} -n {namespace} --pvc NAME"
                ),
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
                // One that has not failed is of a backup that is at work.
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

    /// The snapshots that hold a claim: the snapshot controller keeps it as long as a snapshot of it is not ready.
    fn unready(&self, claim: &str) -> Vec<&Snapshot> {
        let of_claim = |one: &&Snapshot| one.spec.source.persistent_volume_claim_name.as_deref() == Some(claim);
        self.snapshots.iter().filter(of_claim).filter(|one| one.readiness() != Readiness::Ready).collect()
    }

    /// What holds the claim of a restore: the safety snapshots of its earlier calls that never became ready and hold
    /// nothing, and all others, which are not this restore's to delete.
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

impl Journal {
    /// What is there by the claim's name; `of` is the snapshot that carries the journal.
    pub fn place(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> ClaimState {
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

    /// What is still to be done, by what is there.
    ///
    /// # Errors
    /// Neither way goes on, with what a person can do.
    pub fn rest(&self, namespace_objects: &NamespaceObjects, of: &Snapshot) -> Result<Rest, (String, String)> {
        let Journal { claim, safety, workloads, .. } = self;
        let (claim, name, namespace) = (&claim.name, &of.metadata.name, &of.metadata.namespace);
        let kept = namespace_objects.snapshot(safety).is_some();
        match (self.place(namespace_objects, of), self.back) {
            (ClaimState::Old, false) => Ok(Rest::Replace),
            (ClaimState::Gone, _) | (ClaimState::Restored, true) if kept => Ok(Rest::Replace),
            (ClaimState::Restored, false) | (ClaimState::Old | ClaimState::Back, true) => Ok(Rest::Start),
            (ClaimState::Other, true) if !workloads.iter().any(|down| namespace_objects.is_down_for(down, name)) => {
                Ok(Rest::Forget)
            }
            (ClaimState::Restored, true) => Err((
                format!("the VolumeSnapshot {safety} of what was there is gone"),
                "it cannot be taken back any more".into(),
            )),
            (ClaimState::Gone, _) => {
                let were: Vec<String> = workloads.iter().map(|down| format!("{down} had {}", down.replicas)).collect();
                Err((
                    format!("the claim {claim} is gone, and so is the VolumeSnapshot {safety} of what was there"),
                    format!(
                        "make it from what is to come back: backup-ns restore {name} -n {namespace} --pvc {claim} --wait; what is                          down comes up then with the command below ({})",
                        were.join(", ")
                    ),
                ))
            }
            (ClaimState::Back | ClaimState::Other, _) => Err((
                format!("the claim {claim} is neither the one that this restore began with nor the one that it made"),
                format!(
                    "see what made it: kubectl describe pvc {claim} -n {namespace}; pause that (GitOps, an operator) and move what \
                     it holds; this goes on as soon as there is no such claim"
                ),
            )),
        }
    }

    /// Whether another restore is about the same claim or stops the same workload.
    fn collides(&self, other: &Journal) -> bool {
        let stops = |down: &Down| other.workloads.iter().any(|it| (it.kind, &it.name) == (down.kind, &down.name));
        self.claim.name == other.claim.name || self.workloads.iter().any(stops)
    }

    /// The restores of other snapshots, by name, that were begun and are in the way of this one.
    pub fn others<'a>(&self, namespace_objects: &'a NamespaceObjects, of: &Snapshot) -> Vec<&'a str> {
        let others = namespace_objects.snapshots.iter().filter(|other| other.metadata.name != of.metadata.name);
        let others = others.filter(|other| journal(other).is_some_and(|journal| self.collides(&journal)));
        others.map(|other| other.metadata.name.as_str()).collect()
    }

    /// The merge patch that notes it on its snapshot, while that is still in this version; `None` takes the note away.
    pub fn patch(journal: Option<&Journal>, snapshot: &Snapshot) -> Value {
        let note = journal.map(|journal| json!(journal).to_string());
        json!({"metadata": {
            "resourceVersion": snapshot.metadata.resource_version, "annotations": {labels::RESTORING: note},
        }})
    }

    /// The VolumeSnapshot of what was there. It is no backup: nothing in it was proven, and it must not stand for one.
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

    /// What is to be known of a claim that has finalizers of others.
    pub fn held(&self) -> Option<String> {
        let ClaimTemplate { name, finalizers, .. } = &self.claim;
        let held = || {
            format!(
                "the claim {name} is held by {}: it goes only when what set that takes it off, and the new one has it again",
                finalizers.join(", ")
            )
        };
        (!finalizers.is_empty()).then(held)
    }

    /// What the claim is like, all of it.
    fn whole(&self) -> ClaimTemplate {
        ClaimTemplate { annotations: self.annotations.clone(), ..self.claim.clone() }
    }

    /// The claim in place of the old one, from the data of `from`.
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
    fn whatever_mounts_the_claim_comes_down() {
        let template = json!({"template": {"spec": {"volumes": volumes()}}, "replicas": 3});
        let journal = plan(&[
            workload("Deployment", "web", template.clone()),
            workload("Deployment", "other", json!({"replicas": 2})),
            // The claims that a StatefulSet makes stand in no template of its pods.
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
    fn what_cannot_come_down_and_up_again_is_told_all_at_once() {
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
    fn a_pod_that_is_in_the_way_is_told_with_what_ends_it() {
        let told = |phase: &str, owner: Value| {
            let mut pod = pod("p", "p");
            pod["status"] = json!({"phase": phase});
            pod["metadata"]["ownerReferences"] = owner;
            plan(&[pod]).unwrap_err().join("; ")
        };
        let of = |kind: &str| json!([{"kind": kind, "name": "o", "controller": true}]);
        // What makes a pod anew is not ended by deleting the pod.
        for (phase, owner, words) in [
            ("Running", json!([]), "delete it: kubectl delete pod p -n shop"),
            ("Succeeded", of("Job"), "delete it: kubectl delete pod p -n shop"),
            ("Running", of("Job"), "-> wait until it has ended"),
            ("Running", of("ReplicaSet"), "of the ReplicaSet o -> stop that by its own means"),
        ] {
            let told = told(phase, owner);
            assert!(told.contains(words), "{told}");
            assert_eq!(told.contains("kubectl delete"), words.contains("kubectl delete"), "{told}");
        }
    }

    #[test]
    fn a_snapshot_that_is_at_work_is_waited_for_and_only_a_failed_one_deleted() {
        let told = |status: Value| {
            let other = snapshot("other", |object| object["status"] = status.clone());
            plan(&[other]).unwrap_err().join("; ")
        };
        assert!(told(json!({})).contains("wait until it is: kubectl get volumesnapshot other -n shop -w"));
        assert!(told(json!({"error": {"message": "no"}})).contains("backup-ns delete other -n shop"));
        assert!(!told(json!({"creationTime": "2026-01-02T03:04:05Z"})).contains("delete"));
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

    /// What is still to be done where the claim is of this uid and from this snapshot, where this is there besides.
    fn rest(back: bool, claim: Option<(&str, &str)>, also: &[Value]) -> Result<Rest, String> {
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
            .rest(&namespace_objects, namespace_objects.snapshot("s").unwrap())
            .map_err(|(what, remedy)| format!("{what} -> {remedy}"))
    }

    #[test]
    fn what_is_still_to_be_done_follows_from_what_is_there() {
        let safe = || snapshot("safe", |_| ());
        let (old, restored, back, other) =
            (Some(("u1", "")), Some(("u2", "shop/s")), Some(("u2", "shop/safe")), Some(("u2", "")));
        for (is_back, claim, also, expected) in [
            (false, old, vec![], Rest::Replace),
            // What was restored once before is the old one of the next restore.
            (false, Some(("u1", "shop/s")), vec![], Rest::Replace),
            (false, old, vec![safe()], Rest::Replace),
            (false, None, vec![safe()], Rest::Replace),
            (false, restored, vec![safe()], Rest::Start),
            (true, old, vec![], Rest::Start),
            (true, restored, vec![safe()], Rest::Replace),
            (true, None, vec![safe()], Rest::Replace),
            (true, back, vec![safe()], Rest::Start),
            // Another restore replaced it meanwhile, and nothing is down for this one.
            (true, other, vec![], Rest::Forget),
        ] {
            assert_eq!(rest(is_back, claim, &also), Ok(expected), "{is_back} {claim:?}");
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
            let told = rest(is_back, claim, &also).unwrap_err();
            assert!(told.contains(words) && !told.contains("delete"), "{told}");
        }
        let mut going = claim();
        going["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        assert_eq!(rest(true, None, &[going, safe()]), Ok(Rest::Replace), "it is as good as gone");
    }

    #[test]
    fn restores_of_one_claim_or_one_workload_are_in_each_others_way() {
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
    fn a_snapshot_of_nobody_knows_what_takes_no_claims_place() {
        let lost = snapshot("s", |object| object["spec"]["source"] = json!({"volumeSnapshotContentName": "c"}));
        let namespace_objects = items(json!([lost, claim()]));
        let problems = namespace_objects.plan(namespace_objects.snapshot("s").unwrap(), "safe").unwrap_err();
        assert!(
            problems[0].0.contains("nothing tells") && problems[0].1.contains("restore s -n shop --pvc NAME"),
            "{problems:?}"
        );
    }
}
