//! Reads a namespace once and finds in it what a backup works on: the claims, the pod of each database, the pods to
//! flush, and the snapshots of an earlier try of the same run. Must not know what is done there.

use std::collections::BTreeSet;

use crate::config::{Create, Database};
use crate::core::labels;
use crate::core::observed::{Item, List, Pod, Pvc, Readiness, Snapshot, Workload};
use crate::core::pod::{self, Chosen, ExecKind, ExecResource, NoPod};
use crate::exit::{Exit, Fail};
use crate::kubectl::{self, Kubectl};

/// What a backup works on.
#[derive(Debug)]
pub struct Observed {
    /// The pod and container of each database, in their order.
    pub chosen: Vec<Chosen>,
    /// The pods that mount a claim which holds no dump, one entry for each such claim.
    pub mounters: Vec<Chosen>,
    /// The identity of this run, if it has one that outlives it.
    pub run_id: Option<String>,
    /// The snapshots that an earlier try of this run made, in the order of the claims: all of them or none.
    pub earlier: Vec<Snapshot>,
}

/// Reads the namespace. `own_pod` is the pod that this program runs in. Returns a line about it, too.
///
/// # Errors
/// A claim is not there or not bound, or there is no pod to dump in.
pub fn observe(kubectl: &Kubectl, config: &Create, own_pod: Option<&str>) -> Result<(Observed, String), Fail> {
    let kinds = config.databases.iter().filter_map(|database| database.resource.kind.resource());
    let kinds: Vec<&str> = kinds.collect::<BTreeSet<_>>().into_iter().collect();
    let list: List = kubectl.json(&kubectl.target.observe(&kinds)).map_err(|error| kubectl::fail(&error))?;
    let namespace = &kubectl.target.namespace;
    let mut claims: Vec<Pvc> = Vec::new();
    let mut pods: Vec<Pod> = Vec::new();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    let mut workloads: Vec<(ExecKind, Workload)> = Vec::new();
    for item in list.items {
        match item {
            Item::PersistentVolumeClaim(claim) => claims.push(claim),
            Item::Pod(pod) => pods.push(pod),
            Item::VolumeSnapshot(snapshot) => snapshots.push(*snapshot),
            Item::Deployment(found) => workloads.push((ExecKind::Deployment, found)),
            Item::StatefulSet(found) => workloads.push((ExecKind::StatefulSet, found)),
            Item::DaemonSet(found) => workloads.push((ExecKind::DaemonSet, found)),
            Item::Other => {}
        }
    }
    config.pvcs.iter().try_for_each(|pvc| check_claim(namespace, pvc, &claims))?;
    let holder = config.pvcs.first().map(String::as_str).unwrap_or_default();
    let choose = |database: &Database| {
        let ExecResource { kind, name } = &database.resource;
        let workload = workloads.iter().find(|(of, found)| of == kind && found.metadata.name == *name);
        let workload = workload.map(|(_, workload)| workload);
        pod::choose(&database.resource, &database.container, holder, workload, &pods)
            .map_err(|why| no_pod(namespace, database, why))
    };
    let chosen: Vec<Chosen> = config.databases.iter().map(choose).collect::<Result<_, _>>()?;
    let without_dump = config.pvcs.iter().skip(usize::from(!config.databases.is_empty()));
    let mounters: Vec<Chosen> = without_dump.flat_map(|pvc| pod::mounters(pvc, &pods)).collect();
    let run_id =
        config.run_id.clone().or_else(|| pods.iter().find(|pod| Some(pod.metadata.name.as_str()) == own_pod)?.job());
    let earlier = run_id.as_deref().map(|id| earlier(&config.pvcs, id, &snapshots)).unwrap_or_default();

    let names: BTreeSet<&str> = chosen.iter().chain(&mounters).map(|chosen| chosen.pod.as_str()).collect();
    let by = Vec::from_iter(names).join(", ");
    let by = if by.is_empty() { "no running pod mounts it".into() } else { format!("mounted by {by}") };
    let what = format!("PVC {} in {namespace}, {by}", config.pvcs.join(", "));
    Ok((Observed { chosen, mounters, run_id, earlier }, what))
}

fn check_claim(namespace: &str, pvc: &str, claims: &[Pvc]) -> Result<(), Fail> {
    let missing = |what: String| Fail::new(Exit::Precondition, what);
    let Some(claim) = claims.iter().find(|claim| claim.metadata.name == pvc) else {
        let names: Vec<&str> = claims.iter().map(|claim| claim.metadata.name.as_str()).collect();
        let there = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
        return Err(missing(format!("the namespace '{namespace}' has no PVC '{pvc}' ({there})")).remedy(
            "set BAK_PVC_NAME (--pvc-name) to the claim that holds the database, or name another namespace with -n",
        ));
    };
    if claim.status.phase != "Bound" {
        return Err(missing(format!("the PVC '{pvc}' is not bound but {}", claim.status.phase))
            .remedy(format!("see kubectl describe pvc {pvc} -n {namespace}")));
    }
    Ok(())
}

fn no_pod(namespace: &str, database: &Database, why: NoPod) -> Fail {
    let Database { engine, resource, .. } = database;
    let missing = |what: String| Fail::new(Exit::Precondition, what);
    match why {
        NoPod::NoWorkload => missing(format!("the namespace '{namespace}' has no {resource}"))
            .remedy(format!("set {}_EXEC_RESOURCE to what runs the database", engine.setting())),
        NoPod::NoPods => missing(format!("{resource} has no pods")).remedy("scale it up, or name another resource"),
        NoPod::NoneFits(why) => missing(format!("no pod of {resource} will do: {}", why.join("; ")))
            .remedy("a dump is made in a ready pod that mounts the PVC in the container that is named"),
    }
}

/// The snapshots of these claims that the run `id` made before, if every claim has one that may still do.
fn earlier(pvcs: &[String], id: &str, snapshots: &[Snapshot]) -> Vec<Snapshot> {
    let of = |pvc: &String| {
        snapshots.iter().find(|snapshot| {
            let meta = &snapshot.metadata;
            snapshot.is_of(pvc)
                && meta.labels.get(labels::RUN).is_some_and(|run| run == id)
                && meta.deletion_timestamp.is_none()
                && !meta.annotations.contains_key(labels::DISTRUSTED)
                && !matches!(snapshot.readiness(), Readiness::Failed(_))
        })
    };
    pvcs.iter().map(|pvc| of(pvc).cloned()).collect::<Option<Vec<_>>>().unwrap_or_default()
}
