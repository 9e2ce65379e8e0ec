//! The workloads that mount a claim: which of them an in-place restore scales down, and whether they are down or up again. Must
//! not know how they are scaled.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::kube::calls;
use crate::core::kube::labels;
use crate::core::kube::namespace_objects::{ExecKind, NamespaceObjects};
use crate::core::kube::objects::{CronJob, Meta, Pod, PodSpec, Workload};

/// A workload that is scaled down, and its number of replicas before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    pub kind: WorkloadKind,
    pub name: String,
    /// Its replicas; of a CronJob 1 if it was active, 0 if it was suspended.
    pub replicas: u32,
}

/// The kinds of workload that can be scaled down and up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadKind {
    Deployment,
    StatefulSet,
    CronJob,
}

impl WorkloadKind {
    /// Its resource in the API.
    pub fn resource(self) -> calls::Kind {
        match self {
            WorkloadKind::Deployment => calls::DEPLOYMENTS,
            WorkloadKind::StatefulSet => calls::STATEFUL_SETS,
            WorkloadKind::CronJob => calls::CRON_JOBS,
        }
    }

    fn word(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "deployment",
            WorkloadKind::StatefulSet => "statefulset",
            WorkloadKind::CronJob => "cronjob",
        }
    }
}

impl Down {
    /// The merge patch that scales it down for the restore of the snapshot `down`, which it notes, or up again.
    pub fn patch(&self, down: Option<&str>) -> Value {
        let replicas = if down.is_some() { 0 } else { self.replicas };
        let spec = match self.kind {
            WorkloadKind::CronJob => json!({"suspend": replicas == 0}),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => json!({"replicas": replicas}),
        };
        json!({"metadata": {"annotations": {labels::RESTORING: down}}, "spec": spec})
    }

    /// The command that brings it up by hand. The patch is YAML: quotes would not survive where logs escape them.
    pub fn up_by_hand(&self, namespace: &str) -> String {
        let patch = self.patch(None).to_string().replace('"', "").replace(':', ": ").replace(',', ", ");
        let kind = self.kind.resource();
        format!("kubectl patch {} {} -n {namespace} --type=merge -p '{patch}'", kind.name(), self.name)
    }
}

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

impl NamespaceObjects {
    /// The pods that mount the claim. Kubernetes keeps the claim while there is one, even one that has ended.
    pub fn mounters(&self, claim: &str) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| mounts(&pod.spec, claim)).collect()
    }

    pub fn workload(&self, down: &Down) -> Option<&Workload> {
        let kind = match down.kind {
            WorkloadKind::Deployment => ExecKind::Deployment,
            WorkloadKind::StatefulSet => ExecKind::StatefulSet,
            WorkloadKind::CronJob => return None,
        };
        self.workloads
            .iter()
            .find(|(of, found)| *of == kind && found.metadata.name == down.name)
            .map(|(_, found)| found)
    }

    /// The restore for which a workload is down, by the note on it.
    fn mark(&self, down: &Down) -> Option<&str> {
        let meta = match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).map(|found| &found.metadata),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).map(|found| &found.metadata),
        };
        meta?.annotations.get(labels::RESTORING).map(String::as_str)
    }

    fn cron_job(&self, down: &Down) -> Option<&CronJob> {
        self.cron_jobs.iter().find(|found| found.metadata.name == down.name)
    }

    pub fn is_there(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).is_some(),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).is_some(),
        }
    }

    /// Whether a workload is down for the restore of this snapshot.
    pub fn is_down_for(&self, down: &Down, snapshot: &str) -> bool {
        self.mark(down) == Some(snapshot)
    }

    pub fn is_down(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => self.cron_job(down).is_none_or(|found| found.spec.suspend),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => {
                self.workload(down).is_none_or(|found| found.spec.replicas == Some(0))
            }
        }
    }

    /// Whether all pods of a workload are ready. All were made after it was down. They need not be of the newest template:
    /// those of a paused Deployment, or of a StatefulSet with a partition, never are.
    pub fn is_up(&self, down: &Down) -> bool {
        match down.kind {
            WorkloadKind::CronJob => down.replicas == 0 || !self.is_down(down),
            WorkloadKind::Deployment | WorkloadKind::StatefulSet => self.workload(down).is_none_or(|found| {
                // An autoscaler may have changed the number.
                let wanted = found.spec.replicas.unwrap_or(1);
                (wanted > 0 || down.replicas == 0)
                    && found.status.observed_generation >= found.metadata.generation
                    && found.status.ready_replicas >= wanted
            }),
        }
    }

    /// The workloads to scale down so that nothing mounts the claim. Anything that cannot be scaled down is a problem.
    pub(super) fn to_bring_down(
        &self,
        claim: &str,
        namespace: &str,
        problem: &mut impl FnMut(String, String),
    ) -> Vec<Down> {
        let mut all = Vec::new();
        let mut covered: Vec<&str> = Vec::new();
        for (kind, workload) in &self.workloads {
            if !mounts(&workload.spec.template.spec, claim) && !makes(workload, claim) {
                continue;
            }
            if let Some(down) = scalable(*kind, workload, namespace, problem) {
                all.push(down);
                let own = self.pods.iter().filter(|pod| workload.spec.selector.selects(&pod.metadata.labels));
                covered.extend(own.map(|pod| pod.metadata.name.as_str()));
            }
        }
        for cron_job in &self.cron_jobs {
            if mounts(&cron_job.spec.job_template.spec.template.spec, claim) {
                let replicas = u32::from(!cron_job.spec.suspend);
                all.push(Down { kind: WorkloadKind::CronJob, name: cron_job.metadata.name.clone(), replicas });
            }
        }
        let is_loose = |pod: &&Pod| !covered.contains(&pod.metadata.name.as_str());
        for pod in self.mounters(claim).into_iter().filter(is_loose) {
            let (what, remedy) = loose_pod(pod, namespace);
            problem(what, remedy);
        }
        all
    }
}

/// The workload as one to scale down, with the problems of that. None if its kind cannot be scaled.
fn scalable(
    kind: ExecKind,
    workload: &Workload,
    namespace: &str,
    problem: &mut impl FnMut(String, String),
) -> Option<Down> {
    let Workload { metadata: Meta { name, annotations, .. }, spec, .. } = workload;
    let kind = match kind {
        ExecKind::Deployment => WorkloadKind::Deployment,
        ExecKind::StatefulSet => WorkloadKind::StatefulSet,
        ExecKind::DaemonSet | ExecKind::Pod => {
            problem(
                format!("daemonset/{name} mounts the claim and cannot be scaled down"),
                format!(
                    "take it away for the time being (kubectl delete daemonset {name} -n {namespace} --cascade=foreground)"
                ),
            );
            return None;
        }
    };
    if let Some(by) = annotations.get(labels::RESTORING) {
        problem(
            format!("{}/{name} is down for a restore of {by}, which is not done", kind.word()),
            format!(
                "wait for the call that does it; if that was ended, finish it first: backup-ns restore {by} -n {namespace} \
                 --in-place, or --rollback; if there is no such restore any more, start it: kubectl scale {0}/{name} -n \
                 {namespace} --replicas=1, and take the mark off: kubectl annotate {0}/{name} -n {namespace} {1}-",
                kind.word(),
                labels::RESTORING
            ),
        );
    }
    if spec.persistent_volume_claim_retention_policy.when_scaled == "Delete" {
        problem(
            format!("statefulset/{name} deletes its claims when it is scaled down"),
            "set its spec.persistentVolumeClaimRetentionPolicy.whenScaled to Retain".into(),
        );
    }
    Some(Down { kind, name: name.clone(), replicas: spec.replicas.unwrap_or(1) })
}

/// The problem, and its remedy, of a pod that mounts the claim and belongs to no workload that can be scaled down.
fn loose_pod(pod: &Pod, namespace: &str) -> (String, String) {
    let name = &pod.metadata.name;
    let owner = pod.metadata.owner_references.iter().find(|owner| owner["controller"] == true);
    let owner = owner.map(|owner| (owner["kind"].as_str().unwrap_or_default(), &owner["name"]));
    let delete = format!("kubectl delete pod {name} -n {namespace}");
    match owner {
        _ if ["Succeeded", "Failed"].contains(&pod.status.phase.as_str()) => (
            format!("the pod {name} has ended, and as long as it is there the claim cannot go"),
            format!("delete it: {delete}"),
        ),
        Some(("Job", _)) => {
            (format!("the pod {name} of a Job mounts the claim"), "wait until it has ended".to_string())
        }
        Some((kind, owner)) => (
            format!(
                "what mounts the claim belongs to nothing that can be scaled down and up again: pod {name}, of the {kind} {}",
                owner.as_str().unwrap_or_default()
            ),
            "stop that by its own means, until the pod is gone".to_string(),
        ),
        None => (
            format!("what mounts the claim belongs to nothing that can be scaled down and up again: pod {name}"),
            format!("wait until it is done, or delete it: {delete}"),
        ),
    }
}

fn mounts(spec: &PodSpec, claim: &str) -> bool {
    let claims = spec.volumes.iter().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.into_iter().any(|reference| reference.claim_name == claim)
}

/// Whether a StatefulSet makes this claim for one of its pods: `TEMPLATE-NAME-NUMBER`
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage>).
fn makes(workload: &Workload, claim: &str) -> bool {
    workload.spec.volume_claim_templates.iter().any(|template| {
        let number = claim.strip_prefix(&format!("{}-{}-", template.metadata.name, workload.metadata.name));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::restore::sample::{items, workload};

    #[test]
    fn a_workload_is_up_when_its_wanted_pods_are_ready() {
        let down = Down { kind: WorkloadKind::Deployment, name: "web".into(), replicas: 2 };
        let is_up = |replicas: u32, generation: i64, ready: u32| {
            let mut object = workload("Deployment", "web", json!({"replicas": replicas}));
            object["metadata"]["generation"] = json!(4);
            object["status"] = json!({"observedGeneration": generation, "readyReplicas": ready});
            items(json!([object])).is_up(&down)
        };
        // One that is paused, or keeps a partition back, never has pods of the newest template.
        assert!(is_up(2, 4, 2));
        assert!(!is_up(0, 4, 0) && !is_up(2, 3, 2) && !is_up(2, 4, 1));
        assert!(items(json!([])).is_up(&down), "a deleted workload is not waited for");
    }
}
