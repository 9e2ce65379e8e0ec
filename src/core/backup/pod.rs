//! Chooses the pod in which a dump is made: it belongs to the named resource, is ready, and has the named container, which
//! mounts the PVC. Gives a reason for every pod that does not fit. Must not know what is done in the pod.

use std::fmt;

use crate::core::kube::namespace_objects::ExecKind;
use crate::core::kube::objects::{Pod, VolumeMount, Workload};

/// The resource that `*_EXEC_RESOURCE` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResource {
    pub kind: ExecKind,
    pub name: String,
}

impl ExecResource {
    /// Parses `kind/name` with the names and short names that kubectl accepts; a bare name is a pod.
    ///
    /// # Errors
    /// Another kind, or an invalid name.
    pub fn parse(text: &str) -> Result<ExecResource, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        let kind = match kind.to_ascii_lowercase().as_str() {
            "pod" | "pods" | "po" => ExecKind::Pod,
            "deployment" | "deployments" | "deploy" | "deployment.apps" | "deployments.apps" => ExecKind::Deployment,
            "statefulset" | "statefulsets" | "sts" | "statefulset.apps" | "statefulsets.apps" => ExecKind::StatefulSet,
            "daemonset" | "daemonsets" | "ds" | "daemonset.apps" | "daemonsets.apps" => ExecKind::DaemonSet,
            _ => return Err("deployment/NAME, statefulset/NAME, daemonset/NAME or pod/NAME".into()),
        };
        crate::core::backup::name::check_name(name)?;
        Ok(ExecResource { kind, name: name.into() })
    }
}

impl fmt::Display for ExecResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.word(), self.name)
    }
}

/// The pod that was chosen.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub pod: String,
    pub container: String,
    pub image: String,
    /// Where that container mounts the PVC; at least one.
    pub mounts: Vec<VolumeMount>,
    /// The PVC and its volume, for the lock beside a dump file; see [`crate::core::kube::claim_manifest::mark`].
    pub mark: String,
}

/// Why no pod could be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPod {
    NoWorkload,
    NoPods,
    /// None of its pods fits.
    NoneFits {
        /// `pod NAME: why`, one each.
        why: Vec<String>,
        /// The first of them that fits but is not ready.
        unready: Option<String>,
    },
}

/// Chooses the pod: of several that fit the one that has run longest, then the first by name, so that two backups at the same
/// time choose the same.
///
/// # Errors
/// See [`NoPod`].
pub fn choose(
    resource: &ExecResource,
    container: &str,
    pvc: &str,
    workload: Option<&Workload>,
    pods: &[Pod],
) -> Result<Chosen, NoPod> {
    let candidates: Vec<&Pod> = match resource.kind {
        ExecKind::Pod => pods.iter().filter(|pod| pod.metadata.name == resource.name).collect(),
        _ => {
            let selector = &workload.ok_or(NoPod::NoWorkload)?.spec.selector;
            pods.iter().filter(|pod| selector.selects(&pod.metadata.labels)).collect()
        }
    };
    if candidates.is_empty() {
        return Err(NoPod::NoPods);
    }
    let (mut refused, mut unready) = (Vec::new(), None);
    let mut fitting = Vec::new();
    for pod in candidates {
        let name = &pod.metadata.name;
        match mounts(pod, container, pvc) {
            Ok(mounts) if is_ready(pod) => fitting.push((pod, mounts)),
            Ok(_) => {
                refused.push(format!("pod {name}: it is not ready (phase {})", pod.status.phase));
                unready.get_or_insert_with(|| name.clone());
            }
            Err(why) => refused.push(format!("pod {name}: {why}")),
        }
    }
    fitting.sort_by_key(|(pod, _)| (pod.status.start_time.is_none(), pod.status.start_time, &pod.metadata.name));
    match fitting.into_iter().next() {
        Some((pod, mounts)) => Ok(chosen(pod, container, mounts)),
        None => Err(NoPod::NoneFits { why: refused, unready }),
    }
}

/// Every running pod that may write to the PVC, with the first of its containers that mounts it.
pub fn mounters(pvc: &str, pods: &[Pod]) -> Vec<Chosen> {
    let mounter = |pod: &Pod| {
        pod.spec
            .containers
            .iter()
            .find_map(|container| Some(chosen(pod, &container.name, mounts(pod, &container.name, pvc).ok()?)))
    };
    pods.iter().filter(|pod| pod.status.phase == "Running").filter_map(mounter).collect()
}

fn chosen(pod: &Pod, container: &str, mounts: Vec<VolumeMount>) -> Chosen {
    let found = pod.spec.containers.iter().find(|found| found.name == container);
    let image = found.map(|found| found.image.clone()).unwrap_or_default();
    Chosen { pod: pod.metadata.name.clone(), container: container.into(), image, mounts, mark: String::new() }
}

/// Where the container mounts the PVC, or why this pod does not fit.
fn mounts(pod: &Pod, container: &str, pvc: &str) -> Result<Vec<VolumeMount>, String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Err("it is being deleted".into());
    }
    let volume = pod
        .spec
        .volumes
        .iter()
        .find(|volume| volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.claim_name == pvc))
        .ok_or_else(|| format!("it does not mount the PVC '{pvc}'"))?;
    let Some(found) = pod.spec.containers.iter().find(|c| c.name == container) else {
        let names: Vec<&str> = pod.spec.containers.iter().map(|c| c.name.as_str()).collect();
        return Err(format!("it has no container '{container}' (it has {})", names.join(", ")));
    };
    let mounts: Vec<VolumeMount> = found.volume_mounts.iter().filter(|m| m.name == volume.name).cloned().collect();
    if mounts.is_empty() {
        return Err(format!("its container '{container}' does not mount the PVC '{pvc}'"));
    }
    if mounts.iter().all(|mount| mount.read_only) {
        return Err(format!("its container '{container}' mounts the PVC '{pvc}' read-only"));
    }
    Ok(mounts)
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.phase == "Running" && pod.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, change: impl Fn(&mut Value)) -> Pod {
        let mut value = json!({
            "metadata": {"name": name, "labels": {"app": "db"}},
            "spec": {
                "containers": [
                    {"name": "sidecar"},
                    {"name": "postgres", "volumeMounts": [{"name": "v", "mountPath": "/data"}]},
                ],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}],
            },
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "startTime": "2026-01-02T00:00:00Z"},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn pick(pods: &[Pod]) -> Result<String, NoPod> {
        let workload = serde_json::from_value(json!({"spec": {"selector": {"matchLabels": {"app": "db"}}}})).unwrap();
        let resource = ExecResource::parse("deployment/app-base").unwrap();
        choose(&resource, "postgres", "data", Some(&workload), pods).map(|chosen| chosen.pod)
    }

    #[test]
    fn the_oldest_ready_pod_is_chosen_in_any_order() {
        let young = pod("a", |_| ());
        let old = pod("b", |v| v["status"]["startTime"] = json!("2026-01-01T00:00:00Z"));
        let alien = pod("0", |v| v["metadata"]["labels"]["app"] = json!("other"));
        assert_eq!(pick(&[young.clone(), old.clone(), alien.clone()]).unwrap(), "b");
        assert_eq!(pick(&[alien, old, young]).unwrap(), "b");
    }

    #[test]
    fn a_native_sidecar_is_a_container_like_any_other() {
        let sidecar = |policy: Value| {
            pod("p", |v| {
                let database = v["spec"]["containers"].as_array_mut().unwrap().remove(1);
                v["spec"]["initContainers"] = json!([{"name": "prepare"}, database]);
                v["spec"]["initContainers"][1]["restartPolicy"] = policy.clone();
            })
        };
        assert_eq!(pick(&[sidecar(json!("Always"))]).unwrap(), "p");
        let flushed: Vec<String> =
            mounters("data", &[sidecar(json!("Always"))]).into_iter().map(|c| c.container).collect();
        assert_eq!(flushed, ["postgres"]);
        for other in [json!(null), json!("OnFailure")] {
            let Err(NoPod::NoneFits { why, .. }) = pick(&[sidecar(other)]) else { panic!() };
            assert_eq!(why, ["pod p: it has no container 'postgres' (it has sidecar)"]);
        }
    }

    #[test]
    fn every_refusal_has_its_reason() {
        type PodEdit = fn(&mut Value);
        let cases: [(PodEdit, &str); 7] = [
            (|v| v["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"), "being deleted"),
            (|v| v["status"]["conditions"][0]["status"] = json!("False"), "not ready"),
            (|v| v["status"]["phase"] = json!("Pending"), "Pending"),
            (
                |v| v["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = json!("x"),
                "does not mount the PVC 'data'",
            ),
            (
                |v| v["spec"]["containers"][1]["name"] = json!("mysql"),
                "no container 'postgres' (it has sidecar, mysql)",
            ),
            (|v| v["spec"]["containers"][1]["volumeMounts"] = json!([]), "its container 'postgres' does not mount"),
            (|v| v["spec"]["containers"][1]["volumeMounts"][0]["readOnly"] = json!(true), "read-only"),
        ];
        for (change, reason) in cases {
            let Err(NoPod::NoneFits { why, unready }) = pick(&[pod("p", change)]) else { panic!("{reason}") };
            assert!(why[0].starts_with("pod p: ") && why[0].contains(reason), "{why:?}");
            assert_eq!(unready.as_deref(), why[0].contains("not ready").then_some("p"), "{why:?}");
        }
        assert_eq!(pick(&[]), Err(NoPod::NoPods));
        let resource = ExecResource::parse("sts/db").unwrap();
        assert_eq!(choose(&resource, "c", "data", None, &[]).unwrap_err(), NoPod::NoWorkload);
    }

    #[test]
    fn resources_parse_as_kubectl_takes_them() {
        for (text, shown) in [
            ("deployment/app-base", "deployment/app-base"),
            ("deploy/a", "deployment/a"),
            ("sts/db", "statefulset/db"),
            ("DaemonSet/x", "daemonset/x"),
            ("po/x", "pod/x"),
            ("db-0", "pod/db-0"),
        ] {
            assert_eq!(ExecResource::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["job/x", "deployment/", "", "deployment/a b", "deployment/a/b"] {
            assert!(ExecResource::parse(bad).is_err(), "{bad}");
        }
    }
}
