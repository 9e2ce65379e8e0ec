//! Reads a namespace once and finds what a backup works on: the PersistentVolumeClaims, the pod of each database, the pods to
//! flush, and the snapshots of an earlier try of the same run. A manual command looks up one database this way. Must not know
//! what is done there.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};

use crate::backup::dump_path::with_dump_file;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::config::{Create, Database};
use crate::core::backup::event::EventSubject;
use crate::core::backup::pod::{self, Chosen, ExecResource, NoPod};
use crate::core::kube::calls::{CLAIMS, Kind, NAMESPACES, PODS, SNAPSHOTS};
use crate::core::kube::claim_manifest::{self, ClaimTemplate};
use crate::core::kube::labels;
use crate::core::kube::namespace_objects::ExecKind;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Pvc, Readiness, Snapshot, Workload};
use crate::exit::{Exit, Fail};

/// What a backup works on.
#[derive(Debug)]
pub struct Observed {
    /// One for each claim, in the order of the settings.
    pub claims: Vec<ClaimTemplate>,
    /// The claims that Events of this run are about.
    pub about: Vec<EventSubject>,
    /// The pod and container of each database, in the order of the settings.
    pub chosen: Vec<Chosen>,
    /// The pods that mount a claim which holds no dump, one entry for each such claim.
    pub mounters: Vec<Chosen>,
    /// The identity of this run, if a later try of it has the same.
    pub run_id: Option<String>,
    /// The snapshots that an earlier try of this run made, in the order of the claims: all of them or none.
    pub earlier: Vec<Snapshot>,
    /// All snapshots of the namespace.
    pub snapshots: Vec<Snapshot>,
}

/// Where one database and its dump are.
#[derive(Debug)]
pub struct DatabasePlace {
    /// The claim that holds the dump.
    pub claim: Pvc,
    /// The pod and container of the database.
    pub chosen: Chosen,
    /// The database, with the path of its dump in that container.
    pub database: Database,
    /// The path of the dump of the server's first database.
    pub first_dump_file: String,
    /// The namespace's snapshots, if they were requested.
    pub snapshots: Vec<Snapshot>,
}

/// Finds one database as a backup would. Also returns a line about it for the log.
///
/// # Errors
/// As [`observe`].
pub fn place(
    kubectl: &Kubectl,
    database: &Database,
    pvc: &str,
    snapshots: bool,
    nonce: &str,
) -> Result<(DatabasePlace, String)> {
    let namespace_objects = read(kubectl, std::slice::from_ref(database), snapshots)?;
    let namespace = &kubectl.target.namespace;
    let claim = find_claim(namespace, pvc, &namespace_objects.claims)
        .map_err(|fail| nowhere(kubectl, &namespace_objects, pvc, fail))?
        .clone();
    let chosen = choose(&namespace_objects, namespace, database, pvc)?;
    let database = with_dump_file(kubectl, database, &chosen, nonce)?;
    let what = format!("PVC {pvc} in {namespace}, pod {}", chosen.pod);
    let first_dump_file = database.dump_file.clone();
    Ok((DatabasePlace { claim, chosen, database, first_dump_file, snapshots: namespace_objects.snapshots }, what))
}

/// Reads what is needed to choose a pod for each of these databases, and the snapshots if requested.
fn read(kubectl: &Kubectl, databases: &[Database], snapshots: bool) -> Result<NamespaceObjects> {
    let kinds = databases.iter().filter_map(|database| database.resource.kind.resource());
    let kinds = kinds.collect::<BTreeSet<_>>();
    let kinds: Vec<Kind> = [CLAIMS, PODS].into_iter().chain(snapshots.then_some(SNAPSHOTS)).chain(kinds).collect();
    Ok(kubectl.all(&kinds)?)
}

/// Chooses the pod of a database whose dump is on the claim `holder`.
///
/// # Errors
/// No pod fits, with the reason.
pub fn choose(
    namespace_objects: &NamespaceObjects,
    namespace: &str,
    database: &Database,
    holder: &str,
) -> Result<Chosen, Fail> {
    let ExecResource { kind, name } = &database.resource;
    let workload = namespace_objects.workloads.iter().find(|(of, found)| of == kind && found.metadata.name == *name);
    let workload = workload.map(|(_, workload)| workload);
    let chosen = pod::choose(&database.resource, &database.container, holder, workload, &namespace_objects.pods);
    let mark = namespace_objects.claim(holder).map(claim_manifest::mark).unwrap_or_default();
    chosen.map(|chosen| Chosen { mark, ..chosen }).map_err(|why| {
        let restoring = restoring(namespace_objects, holder, workload).filter(|_| why == NoPod::NoPods);
        let fail = no_pod(namespace_objects, namespace, database, holder, why);
        match restoring {
            Some(snapshot) => amid_restore(fail, namespace, &snapshot),
            None => fail,
        }
    })
}

/// The VolumeSnapshot whose in-place restore to this claim is not finished, according to its journal or to the annotation of a
/// workload that was scaled down for it.
fn restoring(namespace_objects: &NamespaceObjects, claim: &str, workload: Option<&Workload>) -> Option<String> {
    let begun = namespace_objects.begun(claim).map(|(snapshot, _)| snapshot.metadata.name.clone());
    begun.or_else(|| workload?.metadata.annotations.get(labels::RESTORING).cloned())
}

/// A failure that an unfinished in-place restore causes. Its remedy is to finish that: repairs by hand would interfere.
fn amid_restore(fail: Fail, namespace: &str, snapshot: &str) -> Fail {
    let Fail { exit, what, .. } = fail;
    Fail::new(exit, format!("{what}; an in-place restore of {snapshot} is not finished")).remedy(format!(
        "wait for it if it is at work just now; else go on with it: backup-ns restore {snapshot} -n {namespace} --in-place, or take \
         it back: the same with --rollback"
    ))
}

/// Reads the namespace. `own_pod` is the pod that this program runs in. Also returns a line for the log.
///
/// # Errors
/// A claim does not exist or is not bound, or no pod fits.
pub fn observe(kubectl: &Kubectl, config: &Create, own_pod: Option<&str>) -> Result<(Observed, String)> {
    let namespace_objects = read(kubectl, &config.databases, true)?;
    let namespace = &kubectl.target.namespace;
    let find = |pvc: &String| {
        find_lasting(namespace, pvc, &namespace_objects.claims)
            .map_err(|fail| nowhere(kubectl, &namespace_objects, pvc, fail))
    };
    let found: Vec<&Pvc> = config.pvcs.iter().map(find).collect::<Result<_, _>>()?;
    let templates: Vec<ClaimTemplate> = found.iter().map(|claim| ClaimTemplate::of(claim)).collect();
    let about = |claim: &&Pvc| EventSubject { name: claim.metadata.name.clone(), uid: claim.metadata.uid.clone() };
    let about = found.iter().map(about).collect();
    let holder = config.pvcs.first().map(String::as_str).unwrap_or_default();
    let choose = |database: &Database| choose(&namespace_objects, namespace, database, holder);
    let chosen: Vec<Chosen> = config.databases.iter().map(choose).collect::<Result<_, _>>()?;
    let NamespaceObjects { pods, snapshots, .. } = &namespace_objects;
    let without_dump = config.pvcs.iter().skip(usize::from(!config.databases.is_empty()));
    let mounters: Vec<Chosen> = without_dump.flat_map(|pvc| pod::mounters(pvc, pods)).collect();
    let own = pods.iter().find(|pod| Some(pod.metadata.name.as_str()) == own_pod);
    let (run_id, before) = match (&config.run_id, own.and_then(|pod| Some((pod.job()?, pod.begun()?)))) {
        (Some(given), _) => (Some(given.clone()), None),
        // Snapshots since this pod's containers started are not of an earlier try: a pod may make several backups in turn.
        (None, Some((job, begun))) => (Some(job), Some(begun)),
        (None, None) => (None, None),
    };
    let earlier = run_id.as_deref().map(|id| earlier(&config.pvcs, id, before, snapshots)).unwrap_or_default();

    let names: BTreeSet<&str> = chosen.iter().chain(&mounters).map(|chosen| chosen.pod.as_str()).collect();
    let by = Vec::from_iter(names).join(", ");
    let by = if by.is_empty() { "no running pod mounts it".into() } else { format!("mounted by {by}") };
    let what = format!("PVC {} in {namespace}, {by}", config.pvcs.join(", "));
    let snapshots = namespace_objects.snapshots;
    Ok((Observed { claims: templates, about, chosen, mounters, run_id, earlier, snapshots }, what))
}

/// Why a claim was not found: an in-place restore is replacing it, or the namespace does not exist. The API lists a namespace
/// that does not exist as an empty one.
fn nowhere(kubectl: &Kubectl, namespace_objects: &NamespaceObjects, pvc: &str, fail: Fail) -> Fail {
    if let Some(snapshot) = restoring(namespace_objects, pvc, None) {
        return amid_restore(fail, &kubectl.target.namespace, &snapshot);
    }
    let NamespaceObjects { claims, pods, snapshots, workloads, .. } = namespace_objects;
    if !claims.is_empty() || !pods.is_empty() || !snapshots.is_empty() || !workloads.is_empty() {
        return fail;
    }
    check_namespace(kubectl, &kubectl.target.namespace).err().map_or(fail, |error| error.fail())
}

/// Checks whether a namespace exists in which nothing was found. Passes if the caller may not read namespaces.
///
/// # Errors
/// It does not exist.
pub fn check_namespace(kubectl: &Kubectl, name: &str) -> Result<()> {
    match kubectl.once(kubectl.target.get(NAMESPACES, name), "", |_| Ok(())) {
        Err(error) if error.is(Refusal::NotFound) => {
            bail!(
                Fail::new(Exit::Precondition, format!("there is no namespace '{name}'"))
                    .remedy("name another with -n; kubectl get namespaces shows them, and list -A all snapshots")
            )
        }
        _ => Ok(()),
    }
}

/// The claim of this name, which must be bound.
pub fn find_claim<'a>(namespace: &str, pvc: &str, claims: &'a [Pvc]) -> Result<&'a Pvc, Fail> {
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
    Ok(claim)
}

/// The claim of this name, which must be bound and must not be in deletion: no snapshot can be cut of such a claim.
pub fn find_lasting<'a>(namespace: &str, pvc: &str, claims: &'a [Pvc]) -> Result<&'a Pvc, Fail> {
    let claim = find_claim(namespace, pvc, claims)?;
    match claim.metadata.deletion_timestamp {
        Some(_) => Err(Fail::new(Exit::Precondition, format!("the PVC '{pvc}' is being deleted")).remedy(format!(
            "it goes once no pod uses it (kubectl describe pvc {pvc} -n {namespace}), and no snapshot of it can be cut any \
             more; save its dump with backup-ns postgres (or mysql) download-dump, or name another with --pvc-name"
        ))),
        None => Ok(claim),
    }
}

fn no_pod(
    namespace_objects: &NamespaceObjects,
    namespace: &str,
    database: &Database,
    holder: &str,
    why: NoPod,
) -> Fail {
    let Database { engine, resource, .. } = database;
    let missing = |what: String| Fail::new(Exit::Precondition, what);
    match why {
        NoPod::NoWorkload => missing(format!(
            "the namespace '{namespace}' has no {resource} ({})",
            there(namespace_objects, resource, holder)
        ))
        .remedy(format!("set {}_EXEC_RESOURCE to what runs the database", engine.setting())),
        NoPod::NoPods if resource.kind == ExecKind::Pod => missing(format!(
            "the namespace '{namespace}' has no {resource} ({})",
            there(namespace_objects, resource, holder)
        ))
        .remedy(format!(
            "set {}_EXEC_RESOURCE to what runs the database: deployment/NAME, statefulset/NAME or daemonset/NAME",
            engine.setting()
        )),
        NoPod::NoPods => missing(format!("{resource} has no pods")).remedy("scale it up, or name another resource"),
        NoPod::NoneFits { why, unready } => {
            let wait =
                unready.map(|pod| format!("wait until it is ready: kubectl describe pod {pod} -n {namespace}; or "));
            missing(format!("no pod of {resource} will do: {}", why.join("; "))).remedy(format!(
                "a dump is made in a ready pod that mounts the PVC in the container that is named; {1}set {0}_EXEC_CONTAINER, \
                 {0}_EXEC_RESOURCE or BAK_PVC_NAME to yours",
                engine.setting(),
                wait.unwrap_or_default(),
            ))
        }
    }
}

/// Names the workloads of the kind that was set, and the pods that mount the claim.
fn there(namespace_objects: &NamespaceObjects, named: &ExecResource, holder: &str) -> String {
    let of_kind = namespace_objects.workloads.iter().filter(|(kind, _)| *kind == named.kind);
    let name = |name: &String| ExecResource { kind: named.kind, name: name.clone() }.to_string();
    let names: Vec<String> = of_kind.map(|(_, found)| name(&found.metadata.name)).collect();
    let pods: BTreeSet<String> =
        pod::mounters(holder, &namespace_objects.pods).into_iter().map(|chosen| chosen.pod).collect();
    let mount = match Vec::from_iter(pods).join(", ") {
        none if none.is_empty() => format!("no running pod mounts the PVC '{holder}'"),
        some => format!("the PVC '{holder}' is mounted by pod {some}"),
    };
    match names.join(", ") {
        _ if named.kind == ExecKind::Pod => mount,
        none if none.is_empty() => format!("it has none of that kind; {mount}"),
        some => format!("it has {some}; {mount}"),
    }
}

/// The snapshots of these claims that the run `id` made, and made `before` that time if given. Empty unless every claim has a
/// usable one.
fn earlier(pvcs: &[String], id: &str, before: Option<DateTime<Utc>>, snapshots: &[Snapshot]) -> Vec<Snapshot> {
    let of = |pvc: &String| {
        snapshots.iter().find(|snapshot| {
            let meta = &snapshot.metadata;
            snapshot.is_of(pvc)
                && meta.labels.get(labels::RUN).is_some_and(|run| run == id)
                && before.is_none_or(|moment| meta.creation_timestamp < moment)
                && meta.deletion_timestamp.is_none()
                && !meta.annotations.contains_key(labels::DISTRUSTED)
                && !matches!(snapshot.readiness(), Readiness::Failed(_))
        })
    };
    pvcs.iter().map(|pvc| of(pvc).cloned()).collect::<Option<Vec<_>>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kube::objects::Pod;
    use serde_json::{Value, json};

    fn made(name: &str, pvc: &str, run: &str, second: u32, more: Value) -> Snapshot {
        let mut object = json!({
            "metadata": {
                "name": name, "labels": {"backup-ns.sh/run": run},
                "creationTimestamp": format!("2026-11-22T12:00:{second:02}Z"),
            },
            "spec": {"source": {"persistentVolumeClaimName": pvc}},
            "status": {"readyToUse": true},
        });
        for (key, value) in more.as_object().unwrap() {
            for (field, value) in value.as_object().unwrap() {
                object[key][field] = value.clone();
            }
        }
        serde_json::from_value(object).unwrap()
    }

    fn found(pvcs: &[&str], id: &str, before: Option<&str>, snapshots: &[Snapshot]) -> Vec<String> {
        let pvcs: Vec<String> = pvcs.iter().map(ToString::to_string).collect();
        let before = before.map(|text| DateTime::parse_from_rfc3339(text).unwrap().to_utc());
        earlier(&pvcs, id, before, snapshots).into_iter().map(|snapshot| snapshot.metadata.name).collect()
    }

    #[test]
    fn a_run_finds_its_own_snapshots_and_all_of_them_or_none() {
        let all = [
            made("a", "data", "night", 10, json!({})),
            made("b", "other", "night", 10, json!({})),
            made("c", "data", "next", 20, json!({})),
        ];
        assert_eq!(found(&["data", "other"], "night", None, &all), ["a", "b"]);
        assert_eq!(found(&["data"], "next", None, &all), ["c"]);
        assert!(found(&["data", "other"], "next", None, &all).is_empty());
        assert!(found(&["data"], "nobody", None, &all).is_empty());
    }

    #[test]
    fn what_cannot_do_is_not_taken() {
        for more in [
            json!({"metadata": {"deletionTimestamp": "2026-11-22T12:01:00Z"}}),
            json!({"metadata": {"annotations": {"backup-ns.sh/distrusted": "why"}}}),
            json!({"status": {"readyToUse": false, "error": {"message": "no"}}}),
        ] {
            assert!(
                found(&["data"], "night", None, &[made("a", "data", "night", 10, more.clone())]).is_empty(),
                "{more}"
            );
        }
    }

    #[test]
    fn a_pod_that_makes_one_backup_after_the_other_means_each() {
        let all = [made("a", "data", "job", 10, json!({}))];
        assert_eq!(found(&["data"], "job", Some("2026-11-22T12:00:11Z"), &all), ["a"], "made before this try began");
        assert!(found(&["data"], "job", Some("2026-11-22T12:00:10Z"), &all).is_empty());
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {"batch.kubernetes.io/controller-uid": "job"}},
            "status": {
                "startTime": "2026-11-22T12:00:00Z",
                "containerStatuses": [{"state": {"running": {"startedAt": "2026-11-22T12:00:05Z"}}}, {"state": {"waiting": {}}}],
            },
        }))
        .unwrap();
        assert_eq!(pod.job().as_deref(), Some("job"));
        assert_eq!(pod.begun().unwrap().to_rfc3339(), "2026-11-22T12:00:05+00:00", "restarted, it is another try");
    }
}
