//! The checks of `doctor`: what a backup needs, and the remedy for what is missing. Judges objects and answers; must not know how
//! they are read.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::core::backup::job;
use crate::core::backup::pod::Chosen;
use crate::core::backup::preflight::{Aspect, PreflightReport, Problem, Site};
use crate::core::engine::Engine;
use crate::core::health::cronjob::{ConfigMaps, LATE, Schedule};
use crate::core::health::rights::SNAPSHOT_GROUP;
use crate::core::health::status::{Protection, Report, State};
use crate::core::kube::json::{self, list, text};
use crate::core::kube::kubectl_env::Preferences;
use crate::core::kube::labels;
use crate::core::kube::objects::{Pvc, Snapshot};
use crate::core::words::age;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    Passed,
    Failed,
    /// Nothing was checked, or it is a warning.
    Skipped,
}

/// One check, a line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    pub check: &'static str,
    pub outcome: CheckOutcome,
    /// What was found, or why it was skipped.
    pub what: String,
    /// The remedy for a failed check.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Check {
    pub fn passed(check: &'static str, what: impl Into<String>) -> Check {
        Check { check, outcome: CheckOutcome::Passed, what: what.into(), remedy: String::new() }
    }

    pub fn failed(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { check, outcome: CheckOutcome::Failed, what: what.into(), remedy: remedy.into() }
    }

    pub fn skipped(check: &'static str, why: impl Into<String>) -> Check {
        Check { check, outcome: CheckOutcome::Skipped, what: why.into(), remedy: String::new() }
    }
}

/// A check for each fault of the settings, of the time zone and of the others, and one for a dry run.
pub fn configuration(zone: &[String], other: &[String], dry_run: bool) -> Vec<Check> {
    const REMEDY: &str = "correct it; backup-ns env shows every setting, and where it comes from";
    let mut checks: Vec<Check> =
        other.iter().map(|fault| Check::failed("configuration", fault.as_str(), REMEDY)).collect();
    if checks.is_empty() {
        checks.push(Check::passed("configuration", "every setting can be read"));
    }
    if dry_run {
        let what = "a backup would only print its plan: BAK_DRY_RUN is set";
        checks.push(Check::failed("configuration", what, "take BAK_DRY_RUN (--dry-run) away"));
    }
    checks.extend(zone.iter().map(|fault| Check::failed("time zone", fault.as_str(), "set TZ (--tz) to an IANA name")));
    checks
}

/// The version of the snapshot API that backups need.
pub const SNAPSHOT_API: &str = "snapshot.storage.k8s.io/v1";

/// The check of the snapshot API where it is there.
pub fn served_snapshot_api() -> Check {
    Check::passed("snapshot API", format!("{SNAPSHOT_API} is served"))
}

/// Checks the snapshot API. `kinds` is the server's answer about version v1, None if it does not serve that; `group` is then its
/// answer about the group.
pub fn snapshot_api(kinds: Option<&Value>, group: Option<&Value>) -> Check {
    const INSTALL: &str =
        "install the VolumeSnapshot CRDs and the snapshot controller (kubernetes-csi/external-snapshotter)";
    let names = |of: &Value, pointer: &str, field: &str| -> Vec<String> {
        list(of, pointer).iter().map(|one| text(one, field).to_string()).collect()
    };
    let Some(kinds) = kinds else {
        let served = group.map(|group| names(group, "/versions", "/version")).unwrap_or_default();
        let what = match &served[..] {
            [] => "the cluster does not know VolumeSnapshots".to_string(),
            served => format!("the cluster serves {SNAPSHOT_GROUP} in {}, not in v1", served.join(", ")),
        };
        return Check::failed("snapshot API", what, INSTALL);
    };
    let there = names(kinds, "/resources", "/name");
    let wanted = ["volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"];
    let missing: Vec<&str> = wanted.into_iter().filter(|name| !there.iter().any(|other| other == name)).collect();
    match &missing[..] {
        [] => served_snapshot_api(),
        missing => Check::failed("snapshot API", format!("the cluster does not know {}", missing.join(", ")), INSTALL),
    }
}

/// The preferences of kubectl, which could change what its commands do.
pub fn preferences(preferences: &Preferences) -> Check {
    let kept = match preferences.policy {
        Some(_) => ", but for its policy for credential plugins",
        None => "",
    };
    Check::passed("preferences", format!("{} is turned off for every call of kubectl{kept}", preferences.path))
}

/// Checks quotas and limits. `short` is the quota with too little room for the `snapshots` of a backup, and its room; `refused`
/// is why a restore test would get no pod, which does not affect backups.
pub fn quota(short: Option<(String, u128)>, snapshots: usize, refused: &[String]) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some((name, left)) = short {
        let what =
            format!("the ResourceQuota {name} leaves room for {left} VolumeSnapshots, a backup makes {snapshots}");
        checks.push(Check::failed("quota", what, "raise it, or delete snapshots that are not needed (backup-ns list)"));
    }
    if !refused.is_empty() {
        let what = format!("backup-ns verify would get no pod until this is changed: {}", refused.join("; "));
        checks.push(Check::skipped("quota", what));
    }
    if checks.is_empty() {
        checks.push(Check::passed("quota", "quotas and limits leave room for a backup and for a restore test"));
    }
    checks
}

/// The driver of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Driver {
    Csi(String),
    Other(String),
    Unknown,
}

/// The driver by the claim's volume if that could be read, else by the provisioner of the claim.
pub fn driver(claim: &Pvc, volume: Option<&Value>) -> Driver {
    if let Some(volume) = volume {
        let migrated = text(volume, "/metadata/annotations/pv.kubernetes.io~1migrated-to");
        return match (text(volume, "/spec/csi/driver"), migrated) {
            ("", "") => {
                let spec = volume["spec"].as_object();
                let kinds = ["nfs", "hostPath", "local", "iscsi", "fc", "rbd", "cephfs"];
                let kind = kinds.into_iter().find(|kind| spec.is_some_and(|spec| spec.contains_key(*kind)));
                Driver::Other(kind.unwrap_or("no CSI driver").into())
            }
            ("", migrated) => Driver::Csi(migrated.into()),
            (driver, _) => Driver::Csi(driver.into()),
        };
    }
    let keys = ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
    let named = keys.into_iter().find_map(|key| claim.metadata.annotations.get(key));
    // A provisioner that is built into Kubernetes may be migrated to a driver that the claim does not name.
    match named.filter(|name| !name.starts_with("kubernetes.io/")) {
        Some(name) => Driver::Csi(name.clone()),
        None => Driver::Unknown,
    }
}

/// The check of a driver without a CSIDriver. A few drivers work without one: if it cut a snapshot recently, it works.
pub fn no_driver(driver: &str, pvcs: &[&str], snapshots: &[Snapshot], now: DateTime<Utc>) -> Check {
    let is_of_late = |snapshot: &Snapshot| snapshot.status.creation_time.is_some_and(|cut| cut > now - LATE);
    if snapshots.iter().any(|snapshot| is_of_late(snapshot) && pvcs.iter().any(|pvc| snapshot.is_of(pvc))) {
        return Check::skipped("driver", format!("there is no CSIDriver '{driver}', but snapshots are cut"));
    }
    Check::failed(
        "driver",
        format!(
            "there is no CSIDriver '{driver}': nothing in the cluster seems to be at work that could cut snapshots"
        ),
        "install the driver, with the sidecar external-snapshotter; if it is there and runs without a CSIDriver, as few do, this may be",
    )
}

/// Checks the VolumeSnapshotClass of a backup: the named one, else the default of the claim's driver.
pub fn class(named: Option<&str>, driver: &str, classes: &[Value]) -> Vec<Check> {
    let names = |of: &[&Value]| Vec::from_iter(of.iter().map(|class| json::name(class))).join(", ");
    let of_driver: Vec<&Value> = classes.iter().filter(|class| text(class, "/driver") == driver).collect();
    let fitting = || match &of_driver[..] {
        [] => format!("make a VolumeSnapshotClass for the driver {driver}"),
        some => format!("set BAK_VS_CLASS_NAME (--vs-class-name) to one of the driver {driver}: {}", names(some)),
    };
    let is_default =
        |class: &&&Value| class["metadata"]["annotations"]["snapshot.storage.kubernetes.io/is-default-class"] == "true";
    let chosen = match named {
        Some(name) => {
            let Some(class) = classes.iter().find(|class| json::name(class) == name) else {
                return vec![Check::failed("class", format!("there is no VolumeSnapshotClass '{name}'"), fitting())];
            };
            if text(class, "/driver") != driver {
                let what = format!(
                    "the VolumeSnapshotClass '{name}' is for the driver {}, the claim's is {driver}",
                    text(class, "/driver")
                );
                return vec![Check::failed("class", what, fitting())];
            }
            class
        }
        None => match of_driver.iter().filter(is_default).copied().collect::<Vec<_>>()[..] {
            [one] => one,
            [] => {
                let what = format!("no VolumeSnapshotClass is the default for the driver {driver}");
                return vec![Check::failed("class", what, format!("{}, or mark it as the default", fitting()))];
            }
            ref several => {
                let what = format!("several VolumeSnapshotClasses are the default for {driver}: {}", names(several));
                return vec![Check::failed("class", what, "leave the annotation is-default-class on one of them")];
            }
        },
    };
    let name = json::name(chosen);
    let how = if named.is_some() { "named" } else { "the default" };
    let policy = match text(chosen, "/deletionPolicy") {
        "Delete" => Check::failed(
            "deletion policy",
            format!("the class {name} says Delete: deleting a VolumeSnapshot or the namespace deletes the stored data"),
            format!(
                "kubectl patch volumesnapshotclass {name} --type=merge -p '{{\"deletionPolicy\":\"Retain\"}}'; \
                 VolumeSnapshotContents that are there keep their own"
            ),
        ),
        other => Check::passed("deletion policy", format!("the class {name} says {other}")),
    };
    vec![Check::passed("class", format!("{name}, {how}, for the driver {driver}")), policy]
}

/// Checks the pods in which volumes without a dump are flushed, the first of which runs the hooks. `may` is whether pods/exec is
/// allowed.
pub fn flushed(pvcs: &str, mounters: &[Chosen], hooked: bool, may: bool) -> Check {
    let mut pods: Vec<&str> = mounters.iter().map(|mounter| mounter.pod.as_str()).collect();
    let mut seen = BTreeSet::new();
    pods.retain(|pod| seen.insert(*pod));
    match &pods[..] {
        [] if hooked => Check::failed(
            "pod",
            format!("no running pod mounts {pvcs}, so the hooks cannot run"),
            "start what mounts the volume, or leave BAK_HOOK_PRE and BAK_HOOK_POST unset",
        ),
        [] => Check::passed("pod", format!("no running pod mounts {pvcs}: there is nothing to flush")),
        some if !may => Check::skipped(
            "pod",
            format!(
                "may not create pods/exec: {pvcs} is not flushed in {}, and a snapshot may lack what was written last",
                some.join(", ")
            ),
        ),
        some @ [first, ..] => {
            let hooks = if hooked { format!(", the hooks run in {first}") } else { String::new() };
            Check::passed("pod", format!("{pvcs} is flushed in {}{hooks}", some.join(", ")))
        }
    }
}

/// The checks of one container, by its preflight report.
pub fn container(
    report: &PreflightReport,
    engine: Engine,
    judged: Result<&Site, &[Problem]>,
    threshold_percent: u8,
    free: &str,
) -> Vec<Check> {
    let problems = judged.err().unwrap_or_default();
    let line = |check, aspect, fine: &dyn Fn() -> Check| {
        let of: Vec<&Problem> = problems.iter().filter(|problem| problem.aspect == aspect).collect();
        if of.is_empty() {
            return vec![fine()];
        }
        of.iter().map(|problem| Check::failed(check, problem.what.as_str(), problem.remedy.as_str())).collect()
    };
    let unknown = "a check before it failed";
    let tools = || {
        let faster = report.faster().map(|how| format!("; {how} (docs/performance.md)"));
        Check::passed("tools", format!("{}, {}{}", report.tool, report.compressor, faster.unwrap_or_default()))
    };
    let database = || match (report.missing.is_empty(), report.empty(engine)) {
        (false, _) => Check::skipped("database", unknown),
        // It can be backed up, but is rarely the intended database.
        (true, Some(empty)) => Check::failed("database", empty.what, empty.remedy),
        (true, None) => {
            let follows = report.follower(engine).map(|kind| format!(", its server is {kind}"));
            Check::passed("database", format!("{} answers{}", report.database, follows.unwrap_or_default()))
        }
    };
    let unseen = report.unseen().map(|it| Check::skipped("routines", format!("{}; {}", it.what, it.remedy)));
    let caveats = report
        .caveat_warnings()
        .into_iter()
        .map(|it| Check::skipped("contents", format!("{}; {}", it.what, it.remedy)));
    let other = report.other_format().map(|it| Check::skipped("path", format!("{}; {}", it.what, it.remedy)));
    let path = || match judged {
        Ok(site) => Check::passed("path", format!("the dump is {} on the volume", site.path_in_volume)),
        Err(_) => Check::passed("path", "the dump lies on the volume"),
    };
    let space = || match judged {
        Ok(site) => Check::passed(
            "space",
            format!("the volume is {} % full, {free} free, the threshold is {threshold_percent} %", site.used_percent),
        ),
        Err(_) if report.directory.is_empty() => Check::skipped("space", unknown),
        Err(_) => Check::passed("space", format!("below the threshold of {threshold_percent} %")),
    };
    let all = [
        line("tools", Aspect::Tools, &tools),
        line("database", Aspect::Database, &database),
        unseen.into_iter().chain(caveats).collect(),
        line("path", Aspect::Path, &path),
        other.into_iter().collect(),
        line("space", Aspect::Space, &space),
    ];
    all.concat()
}

/// Checks the CronJobs that make backups of `pvcs` in the namespace. `unmade` holds, by CronJob, the Job whose pod cannot be made,
/// and why.
pub fn schedules(
    schedules: &[Schedule],
    (pods, jobs): (&[Value], &[Value]),
    maps: Option<&ConfigMaps>,
    namespace: &str,
    pvcs: &[String],
    unmade: &BTreeMap<String, (String, String)>,
    now: DateTime<Utc>,
) -> Vec<Check> {
    let (ours, mut checks) = schedules_of(schedules, maps, namespace, pvcs);
    if ours.is_empty() {
        let why = format!("no CronJob in {namespace} makes backups of {}", pvcs.join(", "));
        return vec![Check::skipped("schedule", why)];
    }
    let judge = |schedule: &Schedule| {
        let name = &schedule.name;
        if schedule.suspended {
            let patch = format!("kubectl patch cronjob {name} -n {namespace} -p '{{\"spec\":{{\"suspend\":false}}}}'");
            return Check::failed("schedule", format!("the CronJob {name} is suspended: it makes no backups"), patch);
        }
        if schedule.is_dry_run(maps) {
            let what = format!("the CronJob {name} only prints its plan: it makes no backups");
            let set = format!("kubectl set env cronjob/{name} -n {namespace} BAK_DRY_RUN-");
            return Check::failed(
                "schedule",
                what,
                format!(
                    "remove BAK_DRY_RUN or --dry-run where it is set: {set}, or in its ConfigMap, or on its command line"
                ),
            );
        }
        if let Some((pod, why)) = schedule.stuck(pods, jobs) {
            let see = format!("see kubectl describe pod {pod} -n {namespace}");
            return Check::failed("schedule", format!("the pod {pod} of the CronJob {name} cannot start: {why}"), see);
        }
        if let Some((job, why)) = unmade.get(name) {
            let what = format!("the Job {job} of the CronJob {name} has no pod");
            return match why.as_str() {
                "" => Check::failed("schedule", what, format!("see kubectl describe job {job} -n {namespace}")),
                why => Check::failed("schedule", format!("{what}: {why}"), job::unmade_remedy(why)),
            };
        }
        match schedule.last.filter(|_| schedule.failed()) {
            Some(last) => Check::failed(
                "schedule",
                format!("the last run of the CronJob {name}, {} ago, failed", age(now - last)),
                format!(
                    "kubectl get jobs -n {namespace} shows it; backup-ns adhoc {name} -n {namespace} runs it again and follows it"
                ),
            ),
            None => Check::passed("schedule", format!("the CronJob {name} makes backups ({})", schedule.cron)),
        }
    };
    checks.extend(ours.into_iter().map(judge));
    checks
}

/// The CronJobs that make backups of `pvcs`, and a skipped check for each whose claims are unknown. If there are no others, those
/// are taken, because they may make them.
fn schedules_of<'a>(
    schedules: &'a [Schedule],
    maps: Option<&ConfigMaps>,
    namespace: &str,
    pvcs: &[String],
) -> (Vec<&'a Schedule>, Vec<Check>) {
    let (mut ours, mut unclear) = (Vec::new(), Vec::new());
    for schedule in schedules {
        match schedule.claims(maps) {
            Ok(claims) if claims.iter().any(|(of, name)| of == namespace && pvcs.contains(name)) => ours.push(schedule),
            Ok(_) => {}
            Err(why) => unclear.push((schedule, why)),
        }
    }
    if ours.is_empty() {
        return (unclear.into_iter().map(|(schedule, _)| schedule).collect(), Vec::new());
    }
    let skipped = unclear.into_iter().map(|(schedule, why)| {
        let what = format!("the claims that the CronJob {} backs up are unknown: {why}", schedule.name);
        Check::skipped("schedule", what)
    });
    (ours, skipped.collect())
}

/// The most names in a line.
const NAMES: usize = 5;

/// `a, b and 3 more`.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let shown = all.iter().take(NAMES).copied().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Checks what earlier backups and restores left in the namespace.
pub fn history(report: &Report, snapshots: &[Snapshot], namespace: &str, pvcs: &[String]) -> Vec<Check> {
    let is_meant = |claim: &&Protection| claim.namespace == namespace && pvcs.contains(&claim.pvc);
    let mut checks: Vec<Check> = report.claims.iter().filter(is_meant).map(last_backup).collect();
    let counted = |count: fn(&Protection) -> usize| {
        let some = report.claims.iter().filter(|claim| count(claim) > 0);
        some.map(|claim| format!("{} of {}", count(claim), claim.pvc)).collect::<Vec<String>>()
    };
    let failed = counted(|claim| claim.count(State::Failed));
    checks.push(match &counted(|claim| claim.failed_since)[..] {
        [] if failed.is_empty() => Check::passed("failed snapshots", "there are none"),
        [] => Check::passed("failed snapshots", format!("{} failed, and newer ones are ready", failed.join(", "))),
        some => Check::failed(
            "failed snapshots",
            format!("snapshots failed or never became ready, and no newer one is ready: {}", some.join(", ")),
            format!("backup-ns list -n {namespace} -o wide says why; backup-ns delete takes one away"),
        ),
    });
    checks.push(match &report.overdue[..] {
        [] => Check::passed("sweep", "no snapshot is there that should be gone for days"),
        some => Check::failed(
            "sweep",
            format!(
                "snapshots should be gone for days: {}",
                names(some.iter().map(|one| one.volume_snapshot.as_str()))
            ),
            "see whether backup-ns mark-and-delete runs, and how it ends",
        ),
    });
    let restoring = snapshots.iter().filter(|snapshot| snapshot.metadata.annotations.contains_key(labels::RESTORING));
    let restoring: Vec<&str> = restoring.map(|snapshot| snapshot.metadata.name.as_str()).collect();
    checks.push(match &restoring[..] {
        [] => Check::passed("restores", "no in-place restore is unfinished"),
        [first, ..] => Check::failed(
            "restores",
            format!("an in-place restore was begun and is not done: {}", names(restoring.iter().copied())),
            format!(
                "unless it is running now, resume it with backup-ns restore {first} -n {namespace} --in-place, or roll it back with --rollback"
            ),
        ),
    });
    checks
}

/// The checks of an export; all but the first need the API.
pub const EXPORT_CHECKS: [&str; 3] = ["export settings", "export secret", "last export"];

/// Checks the settings of an export. `missing` is what its tool needs and is not set, `how` what it is done with.
pub fn export_settings(missing: &[String], how: &str) -> Check {
    match missing {
        [] => Check::passed("export settings", how),
        some => {
            Check::failed("export settings", some.join("; "), "set it; docs/export.md has an example for each tool")
        }
    }
}

/// Checks the Secret of an export by its name. `found` is whether it is there, None if that may not be known.
pub fn export_secret(name: Option<&str>, found: Option<bool>, namespace: &str) -> Check {
    const CHECK: &str = "export secret";
    let Some(name) = name else {
        return Check::skipped(CHECK, "none is named (BAK_EXPORT_SECRET): the pod has only what its image knows");
    };
    match found {
        Some(true) => Check::passed(CHECK, format!("{name} is there; what is in it was not read")),
        Some(false) => Check::failed(
            CHECK,
            format!("there is no Secret {name}, without which the pod of an export does not start"),
            format!(
                "kubectl create secret generic {name} -n {namespace} --from-env-file=FILE, with the tool's own variables"
            ),
        ),
        None => Check::skipped(CHECK, format!("may not get secrets: whether there is a {name} is unknown")),
    }
}

/// Checks the newest copy outside the cluster of one of `pvcs`. The repository itself can only be reached from a pod, so this
/// goes by the record of the last export.
pub fn last_export(report: &Report, namespace: &str, pvcs: &[String]) -> Vec<Check> {
    const CHECK: &str = "last export";
    let is_meant = |claim: &&Protection| claim.namespace == namespace && pvcs.first() == Some(&claim.pvc);
    let judge = |claim: &Protection| {
        let Protection { pvc, newest_exported, late_export, .. } = claim;
        let copied = newest_exported.as_ref().map(|exported| {
            let [old, ago] = [exported.age_seconds, (report.asked - exported.at).num_seconds().max(0)]
                .map(|seconds| age(TimeDelta::seconds(seconds)));
            format!("{} of {pvc}, {old} old, is the newest with a proven copy, of {ago} ago", exported.name)
        });
        match (copied, late_export) {
            (copied, Some(cronjob)) => Check::failed(
                CHECK,
                format!(
                    "{}, though the CronJob {cronjob} exports",
                    copied.unwrap_or_else(|| format!("no copy of {pvc} is proven"))
                ),
                format!(
                    "kubectl get jobs -n {namespace} shows how its runs ended; backup-ns adhoc {cronjob} -n {namespace} exports now"
                ),
            ),
            (Some(copied), None) => Check::passed(CHECK, copied),
            (None, None) => Check::skipped(
                CHECK,
                format!(
                    "no copy of {pvc} is proven yet; backup-ns export makes one, and says whether the repository can be reached"
                ),
            ),
        }
    };
    report.claims.iter().filter(is_meant).map(judge).collect()
}

fn last_backup(claim: &Protection) -> Check {
    const CHECK: &str = "last backup";
    let Protection { namespace, pvc, newest, newest_ready, late: late_cronjob, .. } = claim;
    let late = |what: String, cronjob: &String| {
        let remedy = format!(
            "kubectl get jobs -n {namespace} shows how its runs ended, if there were any; backup-ns adhoc {cronjob} -n \
             {namespace} makes a backup now and follows it"
        );
        Check::failed(CHECK, format!("{what}, though the CronJob {cronjob} makes them"), remedy)
    };
    match (newest.as_ref().map(|newest| (newest.state, &newest.name)), newest_ready, late_cronjob) {
        (None, _, Some(cronjob)) => late(format!("there is no backup of {pvc}"), cronjob),
        (None, _, None) => Check::skipped(CHECK, format!("there is no backup of {pvc} yet")),
        (Some((State::Ready, name)), Some(ready), cronjob) => {
            let old = age(TimeDelta::seconds(ready.age_seconds));
            match cronjob {
                Some(cronjob) => late(format!("{name} of {pvc} is the newest good one, and {old} old"), cronjob),
                None => Check::passed(CHECK, format!("{name} of {pvc} is ready, {old} old")),
            }
        }
        (Some((State::Pending, name)), ..) => Check::skipped(CHECK, format!("{name} of {pvc} is being made")),
        (Some((state, name)), ..) => Check::failed(
            CHECK,
            format!("{name} of {pvc} is {}", state.word()),
            format!(
                "kubectl describe volumesnapshot {name} -n {namespace}; then make another with {}",
                job::backup_now(namespace)
            ),
        ),
    }
}

/// Checks for snapshots that the snapshot controller ignores: within seconds it binds a snapshot or reports an error on it.
pub fn controller(snapshots: &[Snapshot], namespace: &str, now: DateTime<Utc>) -> Check {
    let is_ignored = |snapshot: &&Snapshot| {
        let Snapshot { metadata, status, .. } = snapshot;
        status.bound_volume_snapshot_content_name.is_none()
            && status.ready_to_use.is_none()
            && status.error.is_none()
            && metadata.deletion_timestamp.is_none()
            && now - metadata.creation_timestamp > TimeDelta::minutes(1)
    };
    let ignored: Vec<&str> =
        snapshots.iter().filter(is_ignored).map(|snapshot| snapshot.metadata.name.as_str()).collect();
    match &ignored[..] {
        [] => Check::passed("controller", "no VolumeSnapshot waits for the snapshot controller"),
        [first, ..] => Check::failed(
            "controller",
            format!(
                "the snapshot controller does not seem to be at work: these have no VolumeSnapshotContent after more than a minute: {}",
                names(ignored.iter().copied())
            ),
            format!(
                "install the snapshot controller (kubernetes-csi/external-snapshotter), or see its pods' logs; kubectl describe volumesnapshot {first} -n {namespace}"
            ),
        ),
    }
}

/// Checks for stored data without a snapshot, and for contents that share the data of another.
pub fn stored_data(report: &Report) -> Check {
    let (Some(orphans), Some(superfluous)) = (&report.orphaned_contents, &report.superfluous_contents) else {
        return Check::skipped("stored data", "may not list volumesnapshotcontents");
    };
    let (mut whats, mut remedies) = (Vec::new(), Vec::new());
    if !orphans.is_empty() {
        let names = names(orphans.iter().map(|one| one.name.as_str()));
        whats.push(format!("VolumeSnapshotContents without a VolumeSnapshot: {names}"));
        remedies.push(
            "backup-ns rebind-vsc NAME brings one back, backup-ns delete-vsc NAME deletes one with its data"
                .to_string(),
        );
    }
    if let [first, ..] = &superfluous[..] {
        let names = names(superfluous.iter().map(|one| one.content.name.as_str()));
        whats.push(format!(
            "VolumeSnapshotContents without a VolumeSnapshot that share the data of another: {names} ({} that of {}, of {})",
            first.content.name, first.shares_data_of, first.belongs_to
        ));
        remedies.push(format!(
            "backup-ns delete-vsc {} --keep-data deletes that object alone; the data stays",
            first.content.name
        ));
    }
    match whats.is_empty() {
        true => Check::passed("stored data", "none is without its VolumeSnapshot"),
        false => Check::failed("stored data", whats.join("; "), remedies.join("; ")),
    }
}

/// Checks for interrupted deletions.
pub fn deletions(report: &Report) -> Check {
    match &report.unfinished_deletions[..] {
        [] => Check::passed("deletions", "none was begun and not finished"),
        [first, ..] => Check::failed(
            "deletions",
            format!(
                "begun and not finished, and the namespace cannot be deleted meanwhile: {}",
                names(report.unfinished_deletions.iter().map(|one| one.volume_snapshot.as_str()))
            ),
            format!(
                "backup-ns delete {} -n {} finishes one with its data; backup-ns mark-and-delete -n {} finishes what is due, \
                 and lets go of the others, whose data stays",
                first.volume_snapshot, first.namespace, first.namespace
            ),
        ),
    }
}

/// Checks for Jobs of restore tests that are older than their limit.
pub fn trials(jobs: &[Value], namespace: &str, now: DateTime<Utc>) -> Check {
    let is_late = |job: &&Value| {
        let limit = job["spec"]["activeDeadlineSeconds"].as_i64().unwrap_or(0);
        // Kubernetes deletes a finished Job within seconds.
        let slack = TimeDelta::minutes(5) + TimeDelta::try_seconds(limit).unwrap_or(TimeDelta::MAX / 2);
        !job["metadata"]["labels"][labels::VERIFY].is_null() && job::made(job).is_some_and(|made| now - made > slack)
    };
    let late: Vec<&str> = jobs.iter().filter(is_late).map(json::name).collect();
    match &late[..] {
        [] => Check::passed("restore tests", "none is left over"),
        some => Check::failed(
            "restore tests",
            format!("Jobs of restore tests are left over: {}", names(some.iter().copied())),
            format!("kubectl delete job {} -n {namespace}", some.join(" ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::backup::grants::Grants;
    use crate::core::health::status::testing::{protection, report};
    use crate::core::health::status::{Exported, Orphan, Overdue, Superfluous, Unfinished};
    use crate::core::retention::history::testing::at;
    use serde_json::json;

    #[track_caller]
    fn is(check: &Check, outcome: CheckOutcome, words: &str) {
        assert!(check.outcome == outcome && check.what.contains(words), "expected {outcome:?} '{words}': {check:?}");
        assert_eq!(
            check.outcome == CheckOutcome::Failed,
            !check.remedy.is_empty(),
            "a failed check has a remedy: {check:?}"
        );
    }

    use CheckOutcome::{Failed, Passed, Skipped};

    #[test]
    fn every_fault_of_the_configuration_is_a_line() {
        let [one] = &configuration(&[], &[], false)[..] else { panic!() };
        is(one, Passed, "every setting");
        let (zone, port) = (["TZ is 'Mars'; accepted: x".to_string()], ["BAK_DB_POSTGRES_PORT is '0'".to_string()]);
        let [port, zone] = &configuration(&zone, &port, false)[..] else { panic!() };
        is(port, Failed, "BAK_DB_POSTGRES_PORT");
        is(zone, Failed, "TZ is 'Mars'");
        assert_eq!(zone.check, "time zone");
    }

    #[test]
    fn an_export_needs_its_settings_and_its_secret() {
        is(&export_settings(&[], "restic, in restic/restic:1"), Passed, "restic/restic:1");
        let missing = ["BAK_EXPORT_IMAGE is not set".to_string(), "BAK_EXPORT_REMOTE is not set".to_string()];
        is(&export_settings(&missing, ""), Failed, "BAK_EXPORT_IMAGE is not set; BAK_EXPORT_REMOTE is not set");
        is(&export_secret(Some("restic"), Some(true), "shop"), Passed, "restic is there");
        let absent = export_secret(Some("restic"), Some(false), "shop");
        is(&absent, Failed, "there is no Secret restic");
        assert!(absent.remedy.starts_with("kubectl create secret generic restic -n shop --from-env-file="));
        is(&export_secret(Some("restic"), None, "shop"), Skipped, "may not get secrets");
        is(&export_secret(None, None, "shop"), Skipped, "none is named");
    }

    #[test]
    fn the_last_export_says_whether_copies_arrive() {
        let copied = || Protection {
            newest_exported: Some(Exported {
                name: "old".into(),
                made: at("2026-11-20T02:00"),
                age_seconds: 208_800,
                at: at("2026-11-22T04:00"),
            }),
            ..protection("data", State::Ready)
        };
        let one = |claim: Protection| {
            let pvcs = ["data".to_string(), "uploads".to_string()];
            let other = Protection { late_export: Some("copy".into()), ..protection("uploads", State::Ready) };
            let [check] = &last_export(&report(vec![claim, other]), "shop", &pvcs)[..] else { panic!() };
            check.clone()
        };
        is(&one(copied()), Passed, "old of data, 2d10h old, is the newest with a proven copy, of 8h ago");
        let late = one(Protection { late_export: Some("copy".into()), ..copied() });
        is(&late, Failed, "2d10h old, is the newest with a proven copy, of 8h ago, though the CronJob copy exports");
        assert!(late.remedy.contains("backup-ns adhoc copy -n shop"), "{}", late.remedy);
        let never = Protection { late_export: Some("copy".into()), ..protection("data", State::Ready) };
        is(&one(never), Failed, "no copy of data is proven, though the CronJob copy exports");
        is(&one(protection("data", State::Ready)), Skipped, "no copy of data is proven yet");
    }

    #[test]
    fn the_snapshot_api_must_be_there_in_its_version() {
        let kinds =
            |names: &[&str]| json!({"resources": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
        let whole =
            kinds(&["volumesnapshots", "volumesnapshots/status", "volumesnapshotcontents", "volumesnapshotclasses"]);
        is(&snapshot_api(Some(&whole), None), Passed, "v1");
        is(
            &snapshot_api(Some(&kinds(&["volumesnapshots"])), None),
            Failed,
            "volumesnapshotcontents, volumesnapshotclasses",
        );
        is(&snapshot_api(None, None), Failed, "does not know VolumeSnapshots");
        is(&snapshot_api(None, Some(&json!({"versions": [{"version": "v1beta1"}]}))), Failed, "in v1beta1, not in v1");
    }

    #[test]
    fn the_driver_is_the_volumes_or_its_makers() {
        let claim = |annotations: Value| {
            serde_json::from_value::<Pvc>(json!({"metadata": {"annotations": annotations}})).unwrap()
        };
        let by = |name: &str| claim(json!({"volume.kubernetes.io/storage-provisioner": name}));
        assert_eq!(driver(&by("csi.example"), None), Driver::Csi("csi.example".into()));
        assert_eq!(driver(&by("kubernetes.io/aws-ebs"), None), Driver::Unknown);
        assert_eq!(driver(&claim(json!({})), None), Driver::Unknown);
        let volume = json!({"spec": {"csi": {"driver": "csi.other"}}});
        assert_eq!(driver(&by("csi.example"), Some(&volume)), Driver::Csi("csi.other".into()));
        assert_eq!(driver(&claim(json!({})), Some(&json!({"spec": {"nfs": {}}}))), Driver::Other("nfs".into()));
        let migrated =
            json!({"metadata": {"annotations": {"pv.kubernetes.io/migrated-to": "ebs.csi.aws.com"}}, "spec": {}});
        assert_eq!(driver(&claim(json!({})), Some(&migrated)), Driver::Csi("ebs.csi.aws.com".into()));
    }

    #[test]
    fn the_class_must_be_one_and_of_the_driver() {
        let class_of = |name: &str, driver: &str, policy: &str, default: bool| {
            json!({
                "metadata": {"name": name, "annotations": {"snapshot.storage.kubernetes.io/is-default-class": default.to_string()}},
                "driver": driver, "deletionPolicy": policy,
            })
        };
        let all = [
            class_of("keep", "a", "Retain", true),
            class_of("other", "a", "Retain", false),
            class_of("drop", "a", "Delete", false),
            class_of("b1", "b", "Retain", true),
            class_of("b2", "b", "Retain", true),
            class_of("c", "c", "Retain", false),
        ];
        let [chosen, policy] = &class(None, "a", &all)[..] else { panic!() };
        is(chosen, Passed, "keep, the default, for the driver a");
        is(policy, Passed, "Retain");
        let [chosen, policy] = &class(Some("drop"), "a", &all)[..] else { panic!() };
        is(chosen, Passed, "drop, named");
        is(policy, Failed, "says Delete");
        for (named, driver, what, remedy) in [
            (Some("gone"), "a", "no VolumeSnapshotClass 'gone'", "keep, other, drop"),
            (Some("c"), "a", "is for the driver c", "keep, other, drop"),
            (None, "b", "several VolumeSnapshotClasses are the default for b: b1, b2", "one of them"),
            (None, "c", "no VolumeSnapshotClass is the default", "c"),
            (None, "d", "no VolumeSnapshotClass is the default", "make a VolumeSnapshotClass"),
        ] {
            let [one] = &class(named, driver, &all)[..] else { panic!("{named:?} {driver}") };
            is(one, Failed, what);
            assert!(one.remedy.contains(remedy), "{}", one.remedy);
        }
    }

    #[test]
    fn the_preflight_report_becomes_a_check_for_each_aspect() {
        let report = PreflightReport {
            tool: "pg_dump 17".into(),
            compressor: "gzip".into(),
            database: "app".into(),
            directory: "/d".into(),
            ..PreflightReport::default()
        };
        let site = Site { path_in_volume: "dump.sql.gz".into(), used_percent: 12, available_bytes: 1 };
        let fine = container(&report, Engine::Postgres, Ok(&site), 90, "1 KiB");
        let words = ["pg_dump 17, gzip", "app answers", "dump.sql.gz", "12 % full, 1 KiB free"];
        assert_eq!(fine.len(), words.len());
        for (check, words) in fine.iter().zip(words) {
            is(check, Passed, words);
        }
        let follower = PreflightReport { standby: true, ..report.clone() };
        let check = &container(&follower, Engine::Postgres, Ok(&site), 90, "1 KiB")[1];
        is(check, Passed, "app answers, its server is a standby");
        let empty = PreflightReport { tables: Some(0), ..report.clone() };
        let check = &container(&empty, Engine::Postgres, Ok(&site), 90, "1 KiB")[1];
        is(check, Failed, "the database app holds no table");
        assert!(check.remedy.contains("BAK_DB_POSTGRES_DB (--db-postgres-db)"), "{check:?}");
        let blinkered = PreflightReport {
            grants: Grants { granted: vec!["SELECT, TRIGGER, EVENT ON `app`.*".into()], ..Grants::default() },
            ..report.clone()
        };
        let check = &container(&blinkered, Engine::MySql, Ok(&site), 90, "1 KiB")[2];
        is(check, Skipped, "may not see stored procedures");
        let partial = PreflightReport { caveats: vec![("subscription".into(), "s".into())], ..report.clone() };
        let checks = container(&partial, Engine::Postgres, Ok(&site), 90, "1 KiB");
        assert_eq!(checks.len(), words.len() + 1);
        is(&checks[2], Skipped, "these subscriptions are missing from the dump: s");
        let mut inexact = report.clone();
        inexact.note("left-out", "float t.f");
        inexact.note("left-out", "history prices");
        let checks = container(&inexact, Engine::MySql, Ok(&site), 90, "1 KiB");
        is(&checks[2], Skipped, "the history of system-versioned tables is NOT in the dump: prices");
        is(&checks[3], Skipped, "not exact in the dump, because a FLOAT is written with six significant digits: t.f");
        let problem = |aspect, what: &str| Problem { aspect, what: what.into(), remedy: "do".into() };
        let problems = [
            problem(Aspect::Database, "it does not answer"),
            problem(Aspect::Space, "full"),
            problem(Aspect::Space, "no room"),
        ];
        let bad = container(&report, Engine::Postgres, Err(&problems), 90, "");
        let expected =
            [("tools", Passed), ("database", Failed), ("path", Passed), ("space", Failed), ("space", Failed)];
        assert_eq!(bad.iter().map(|check| (check.check, check.outcome)).collect::<Vec<_>>(), expected);
        let blind = PreflightReport { missing: "psql".into(), directory: String::new(), ..report };
        let problems = [problem(Aspect::Tools, "the container lacks: psql"), problem(Aspect::Path, "does not exist")];
        let outcomes: Vec<_> =
            container(&blind, Engine::Postgres, Err(&problems), 90, "").iter().map(|check| check.outcome).collect();
        assert_eq!(outcomes, [Failed, Skipped, Failed, Skipped]);
    }

    #[test]
    fn hooks_need_a_pod_and_a_flush_does_not() {
        let mounter = |pod: &str| Chosen {
            pod: pod.into(),
            container: "c".into(),
            image: String::new(),
            mounts: Vec::new(),
            mark: String::new(),
        };
        let both = [mounter("a"), mounter("b"), mounter("a")];
        is(&flushed("data", &[], false, true), Passed, "nothing to flush");
        is(&flushed("data", &[], true, true), Failed, "no running pod mounts data");
        is(&flushed("data", &both, false, true), Passed, "data is flushed in a, b");
        is(&flushed("data", &both, true, true), Passed, "the hooks run in a");
        is(&flushed("data", &both, false, false), Skipped, "may not create pods/exec");
    }

    #[test]
    fn a_schedule_is_to_run_and_to_succeed() {
        let cronjob_of = |spec: Value, status: Value| {
            let mut object =
                json!({"metadata": {"namespace": "shop", "name": "nightly"}, "spec": spec, "status": status});
            object["spec"]["schedule"] = json!("0 3 * * *");
            object["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"] =
                json!([{"name": "b", "image": "backup-ns"}]);
            object
        };
        let cronjob = |spec: Value, status: Value| Schedule::of(&cronjob_of(spec, status)).unwrap();
        let now = at("2026-11-22T12:00");
        // Of a Job of whom, and for what it waits.
        let pod = |job: &str, reason: &str| {
            let waiting =
                json!({"name": "b", "state": {"waiting": {"reason": reason, "message": "secret \"x\" not found"}}});
            json!({"metadata": {"name": "p", "labels": {"job-name": job}}, "status": {"containerStatuses": [waiting]}})
        };
        let broken = "CreateContainerConfigError";
        let pods = [pod("weekly-1", broken), pod("nightly-1", "ContainerCreating"), pod("nightly-verify-1", broken)];
        let job = |name: &str, cronjob: &str| json!({"metadata": {"name": name, "ownerReferences": [{"kind": "CronJob", "name": cronjob}]}});
        let jobs = [job("weekly-1", "weekly"), job("nightly-1", "nightly"), job("nightly-verify-1", "nightly-verify")];
        let all = |all: &[Schedule], pods: &[Value], pvc: &str| {
            let (maps, unmade) = (ConfigMaps::new(), BTreeMap::new());
            schedules(all, (pods, &jobs), Some(&maps), "shop", &[pvc.to_string()], &unmade, now)
        };
        let judge_with = |pods: &[Value], schedule: Schedule, pvc: &str| {
            let checks = all(&[schedule], pods, pvc);
            assert_eq!(checks.len(), 1);
            checks[0].clone()
        };
        let judge = |schedule: Schedule, pvc: &str| judge_with(&pods, schedule, pvc);
        let stuck =
            judge_with(&[pod("nightly-1", "CreateContainerConfigError")], cronjob(json!({}), json!({})), "data");
        is(
            &stuck,
            Failed,
            "the pod p of the CronJob nightly cannot start: CreateContainerConfigError: secret \"x\" not found",
        );
        // The claims of this one are unknown.
        let mut other = cronjob_of(json!({"suspend": true}), json!({}));
        let from = json!([{"name": "BAK_PVC_NAME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "pvc"}}}]);
        other["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["env"] = from;
        let other = Schedule::of(&other).unwrap();
        is(&judge(other.clone(), "data"), Failed, "suspended");
        let [unclear, sure] = &all(&[other, cronjob(json!({}), json!({}))], &pods, "data")[..] else { panic!() };
        is(unclear, Skipped, "the claims that the CronJob nightly backs up are unknown");
        is(sure, Passed, "0 3 * * *");
        let last = json!({"lastScheduleTime": "2026-11-22T03:00:00Z"});
        is(&judge(cronjob(json!({}), json!({})), "data"), Passed, "0 3 * * *");
        is(&judge(cronjob(json!({}), json!({})), "logs"), Skipped, "no CronJob in shop makes backups of logs");
        is(&judge(cronjob(json!({"suspend": true}), json!({})), "data"), Failed, "suspended");
        let mut dry = cronjob_of(json!({}), json!({}));
        dry["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] =
            json!(["create", "--dry-run"]);
        is(&judge(Schedule::of(&dry).unwrap(), "data"), Failed, "the CronJob nightly only prints its plan");
        is(&judge(cronjob(json!({}), last), "data"), Failed, "the last run of the CronJob nightly, 9h ago, failed");
    }

    #[test]
    fn what_earlier_runs_left_is_told() {
        let pvcs = ["data".to_string()];
        let judge = |report: &Report, snapshots: &[Snapshot]| history(report, snapshots, "shop", &pvcs);
        let [last, failed, overdue, restores] = &judge(&report(vec![protection("data", State::Ready)]), &[])[..] else {
            panic!()
        };
        is(last, Passed, "night of data is ready, 10h old");
        for check in [failed, overdue, restores] {
            assert_eq!(check.outcome, Passed, "{check:?}");
        }
        for (state, outcome) in [(State::Pending, Skipped), (State::Failed, Failed), (State::Distrusted, Failed)] {
            is(&judge(&report(vec![protection("data", state)]), &[])[0], outcome, "night of data is");
        }
        let failed = &judge(&report(vec![protection("data", State::Failed)]), &[])[0];
        assert!(failed.remedy.contains("another with backup-ns adhoc -n shop"), "{failed:?}");
        let none = Protection { newest: None, newest_ready: None, ..protection("data", State::Ready) };
        is(&judge(&report(vec![none]), &[])[0], Skipped, "no backup of data yet");
        let late = |of: Protection| Protection { late: Some("nightly".into()), ..of };
        let [old, ..] = &judge(&report(vec![late(protection("data", State::Ready))]), &[])[..] else { panic!() };
        is(old, Failed, "night of data is the newest good one, and 10h old, though the CronJob nightly makes them");
        assert!(old.remedy.contains("backup-ns adhoc nightly -n shop"), "{old:?}");
        let never = Protection { newest: None, newest_ready: None, ..late(protection("data", State::Ready)) };
        is(
            &judge(&report(vec![never]), &[])[0],
            Failed,
            "there is no backup of data, though the CronJob nightly makes",
        );
        // Of another namespace.
        let other = Protection { namespace: "bank".into(), ..late(protection("data", State::Ready)) };
        assert!(judge(&report(vec![other]), &[]).iter().all(|check| check.outcome == Passed));
        // Of another claim, and still reported.
        let [failed, ..] = &judge(&report(vec![protection("logs", State::Failed)]), &[])[..] else { panic!() };
        is(failed, Failed, "no newer one is ready: 1 of logs");
        let mut mended = protection("data", State::Ready);
        mended.snapshots.insert(State::Failed, 2);
        is(&judge(&report(vec![mended]), &[])[1], Passed, "2 of data failed, and newer ones are ready");
        let late = |n: usize| Overdue {
            namespace: "shop".into(),
            volume_snapshot: format!("s{n}"),
            delete_after: String::new(),
        };
        let mut all = report(Vec::new());
        all.overdue = (0..7).map(late).collect();
        is(&judge(&all, &[])[1], Failed, "s0, s1, s2, s3, s4 and 2 more");
        let begun = json!({"metadata": {"name": "old", "annotations": {"backup-ns.sh/restoring": "{}"}}});
        let begun: Snapshot = serde_json::from_value(begun).unwrap();
        is(&judge(&report(Vec::new()), &[begun])[2], Failed, "not done: old");
        is(&stored_data(&report(Vec::new())), Passed, "none");
        is(&stored_data(&Report { orphaned_contents: None, ..report(Vec::new()) }), Skipped, "may not list");
        let orphan = Orphan {
            name: "snapcontent-1".into(),
            namespace: "shop".into(),
            volume_snapshot: "a".into(),
            clone: false,
            deletion_policy: "Retain".into(),
            bound: at("2026-11-22T02:00"),
            created: at("2026-11-22T02:00"),
        };
        let orphans = Some(vec![orphan.clone()]);
        let orphaned = stored_data(&Report { orphaned_contents: orphans.clone(), ..report(Vec::new()) });
        is(&orphaned, Failed, "snapcontent-1");
        assert!(orphaned.remedy.contains("backup-ns delete-vsc NAME"), "{orphaned:?}");
        let twin = Superfluous {
            content: Orphan { name: "twin".into(), ..orphan },
            shares_data_of: "rebound-1".into(),
            belongs_to: "shop/a".into(),
        };
        let superfluous = Some(vec![twin]);
        let shared = stored_data(&Report { superfluous_contents: superfluous.clone(), ..report(Vec::new()) });
        is(&shared, Failed, "twin that of rebound-1, of shop/a");
        assert_eq!(shared.remedy, "backup-ns delete-vsc twin --keep-data deletes that object alone; the data stays");
        let both = Report { orphaned_contents: orphans, superfluous_contents: superfluous, ..report(Vec::new()) };
        is(&stored_data(&both), Failed, "VolumeSnapshot: snapcontent-1; VolumeSnapshotContents");
        is(&deletions(&report(Vec::new())), Passed, "none");
        let begun = Unfinished { namespace: "shop".into(), volume_snapshot: "a".into() };
        let begun = deletions(&Report { unfinished_deletions: vec![begun], ..report(Vec::new()) });
        is(&begun, Failed, "begun and not finished");
        assert!(begun.remedy.starts_with("backup-ns delete a -n shop finishes"), "{begun:?}");
    }

    #[test]
    fn a_snapshot_that_the_controller_ignores_fails() {
        let snapshot = |status: Value, metadata: Value| {
            let mut object =
                json!({"metadata": {"name": "s", "creationTimestamp": "2026-11-22T11:58:00Z"}, "status": status});
            object["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
            serde_json::from_value::<Snapshot>(object).unwrap()
        };
        for (status, metadata, outcome) in [
            (json!({}), json!({}), Failed),
            (json!({}), json!({"creationTimestamp": "2026-11-22T11:59:30Z"}), Passed),
            (json!({}), json!({"deletionTimestamp": "2026-11-22T11:59:00Z"}), Passed),
            (json!({"boundVolumeSnapshotContentName": "c", "readyToUse": false}), json!({}), Passed),
            (json!({"error": {"message": "no class"}}), json!({}), Passed),
            (json!({"readyToUse": true}), json!({}), Passed),
        ] {
            let check = controller(&[snapshot(status, metadata)], "shop", at("2026-11-22T12:00"));
            is(
                &check,
                outcome,
                if outcome == Failed { "after more than a minute: s" } else { "no VolumeSnapshot waits" },
            );
        }
    }

    #[test]
    fn a_driver_that_cut_a_snapshot_of_the_claim_needs_no_csidriver() {
        for (pvc, cut, outcome) in [
            ("data", "2026-11-22T02:00:00Z", Skipped),
            ("data", "2026-11-20T02:00:00Z", Failed),
            ("logs", "2026-11-22T02:00:00Z", Failed),
        ] {
            let snapshot = json!({
                "metadata": {"name": "s", "creationTimestamp": cut}, "status": {"creationTime": cut},
                "spec": {"source": {"persistentVolumeClaimName": pvc}},
            });
            let snapshots = [serde_json::from_value::<Snapshot>(snapshot).unwrap()];
            let check = no_driver("csi.example", &["data"], &snapshots, at("2026-11-22T12:00"));
            is(&check, outcome, "there is no CSIDriver 'csi.example'");
        }
    }

    #[test]
    fn a_restore_test_that_outlived_its_time_is_told() {
        let job = |made: &str, labels: Value| json!({"metadata": {"name": "v", "creationTimestamp": made, "labels": labels}, "spec": {"activeDeadlineSeconds": 3600}});
        let ours = json!({"backup-ns.sh/verify": "v"});
        let now = at("2026-11-22T12:00");
        is(&trials(&[job("2026-11-22T10:00:00Z", ours.clone())], "shop", now), Failed, "left over: v");
        is(&trials(&[job("2026-11-22T11:30:00Z", ours)], "shop", now), Passed, "none");
        is(&trials(&[job("2026-11-22T10:00:00Z", json!({"app": "x"}))], "shop", now), Passed, "none");
    }
}
