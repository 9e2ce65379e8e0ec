//! The CronJob that makes backups, the Job that `adhoc` makes from it, and the state of that Job. Objects are JSON here, because
//! the Job's template is copied with all its fields. Must not know how a Job is followed.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::core::escape::MASK;
use crate::core::kube::json::{list, name, text, uid};

/// The names of this program in images and commands; as a plugin of kubectl it is `kubectl-backup_ns`.
const PROGRAM: [&str; 2] = ["backup-ns", "backup_ns"];

/// The commands of this program that make no backup, and those of the older one.
pub const OTHERS: [&str; 29] = [
    "adhoc",
    "controller",
    "delete",
    "delete-vsc",
    "doctor",
    "env",
    "export",
    "import",
    "list",
    "locks",
    "mark-and-delete",
    "markAndDelete",
    "mysql",
    "postgres",
    "rebind-vsc",
    "rebindVsc",
    "restore",
    "retain",
    "status",
    "sync-metadata-to-vsc",
    "syncMetadataToVsc",
    "trust",
    "verify",
    "version",
    "completion",
    "man",
    "help",
    "mark-and-delete.sh",
    "retain.sh",
];

/// The variable with the type of a snapshot.
const TYPE_VARIABLE: &str = "BAK_LABEL_VS_TYPE";

/// The longest name of a Job: its pods carry it as a label
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/job/#writing-a-job-spec>).
const LONGEST_NAME: usize = 63;

/// The spec of a CronJob's pods.
const POD: &str = "/spec/jobTemplate/spec/template/spec";
const CONTAINERS: &str = "/containers";
const INIT_CONTAINERS: &str = "/initContainers";

/// A container's command and arguments.
fn texts(container: &Value) -> impl Iterator<Item = &str> {
    ["/command", "/args"].into_iter().flat_map(|part| list(container, part)).filter_map(Value::as_str)
}

/// The words of a container's command and arguments, which may be whole scripts. Of a path, only the file name.
fn argument_words(container: &Value) -> impl Iterator<Item = &str> {
    let is_between = |c: char| c.is_whitespace() || [';', '&', '|', '(', ')', '\'', '"'].contains(&c);
    let words = texts(container).flat_map(move |text| text.split(is_between)).filter(|word| !word.is_empty());
    words.map(|word| word.rsplit('/').next().unwrap_or_default())
}

fn runs_create(container: &Value) -> bool {
    argument_words(container).any(|word| word == "create")
}

/// Whether a word of a script is `create`, perhaps followed by shell punctuation.
pub fn is_create(word: &str) -> bool {
    word.trim_end_matches([';', '&', '|', ')', '"', '\'']) == "create"
}

/// Whether a word of a command line is this program.
pub fn is_program(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    PROGRAM.iter().any(|program| name.ends_with(program))
}

/// Whether a container runs `backup-ns create`: its image or command names this program, and no other command of it.
fn makes_backups(container: &Value) -> bool {
    let mut texts = texts(container).chain([text(container, "/image")]);
    texts.any(|text| PROGRAM.iter().any(|program| text.contains(program)))
        && (runs_create(container) || !argument_words(container).any(|word| OTHERS.contains(&word)))
}

fn is_native_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

/// Whether our chart made this CronJob for backups.
fn is_the_charts(cronjob: &Value) -> bool {
    let label = |name: &str| text(cronjob, &format!("/metadata/labels/app.kubernetes.io~1{name}"));
    label("part-of") == "backup-ns" && label("component") == "backup"
}

/// The path in the pod's spec of a CronJob's container that runs `backup-ns create`. An init container that is no sidecar counts
/// only if its arguments say `create`. Because an image may be mirrored under any name, a container with settings of ours, or of
/// our chart, counts too if its arguments say `create`, or if it has none, which means the same.
fn maker_at(cronjob: &Value) -> Option<String> {
    let find = |part: &str, is_it: &dyn Fn(&Value) -> bool| {
        let containers = list(cronjob, &format!("{POD}{part}"));
        Some(format!("{part}/{}", containers.iter().position(is_it)?))
    };
    let charts = is_the_charts(cronjob);
    let is_ours = |container: &Value| {
        charts || list(container, "/env").iter().any(|entry| text(entry, "/name").starts_with("BAK_"))
    };
    let creates = |container: &Value| makes_backups(container) && runs_create(container);
    let may_create = |container: &Value| is_ours(container) && runs_create(container);
    find(CONTAINERS, &creates)
        .or_else(|| find(CONTAINERS, &may_create))
        .or_else(|| find(INIT_CONTAINERS, &creates))
        .or_else(|| find(INIT_CONTAINERS, &may_create))
        .or_else(|| find(CONTAINERS, &makes_backups))
        .or_else(|| find(CONTAINERS, &|container| is_ours(container) && argument_words(container).next().is_none()))
        .or_else(|| find(INIT_CONTAINERS, &|container| is_native_sidecar(container) && makes_backups(container)))
}

/// Whether a container runs `backup-ns export`: as an argument of its own, or behind this program in a script. The shell has a
/// command `export`, too.
fn exports(container: &Value, is_ours: bool) -> bool {
    let names_program =
        || texts(container).chain([text(container, "/image")]).any(|text| PROGRAM.iter().any(|it| text.contains(it)));
    let is_argument = texts(container).any(|text| text == "export");
    let words: Vec<&str> = argument_words(container).collect();
    let is_in_script = words.windows(2).any(|pair| is_program(pair[0]) && pair[1] == "export");
    is_in_script || is_argument && (is_ours || names_program())
}

/// The container of a CronJob that runs `backup-ns export`, if one does.
pub fn exporter(cronjob: &Value) -> Option<&Value> {
    let is_ours = |container: &Value| {
        text(cronjob, "/metadata/labels/app.kubernetes.io~1part-of") == "backup-ns"
            || list(container, "/env").iter().any(|entry| text(entry, "/name").starts_with("BAK_"))
    };
    let containers = [CONTAINERS, INIT_CONTAINERS].into_iter().flat_map(|part| list(cronjob, &format!("{POD}{part}")));
    containers.into_iter().find(|container| exports(container, is_ours(container)))
}

/// The container of a CronJob that runs `backup-ns create`, if one does.
pub fn maker(cronjob: &Value) -> Option<&Value> {
    cronjob.pointer(&format!("{POD}{}", maker_at(cronjob)?))
}

/// The path of the container that makes the backup, or of the first container if none is recognised.
fn backup_container(cronjob: &Value) -> String {
    maker_at(cronjob).unwrap_or(format!("{CONTAINERS}/0"))
}

/// The name of the container that makes the backup.
pub fn container(cronjob: &Value) -> &str {
    text(cronjob, &format!("{POD}{}/name", backup_container(cronjob)))
}

/// How to make a backup now; plain `create` would lack the CronJob's settings.
pub fn backup_now(namespace: &str) -> String {
    format!("backup-ns adhoc -n {namespace} (without a CronJob: backup-ns create -n {namespace} with your settings)")
}

/// The named CronJob, else the only one that runs `backup-ns create`.
///
/// # Errors
/// No CronJob, or several: a sentence whose subject the caller adds, and the remedy.
pub fn choose<'a>(cronjobs: &'a [Value], named: Option<&str>) -> Result<&'a Value, (String, &'static str)> {
    const NAME: &str = "name the CronJob: backup-ns adhoc CRONJOB, or another namespace with -n";
    const INSTALL: &str = "install one: helm install backup-ns oci://ghcr.io/backup-ns/charts/backup-ns -n NAMESPACE --set config.dbPostgres=true (docs/install.md); \
         or name what makes backups here: backup-ns adhoc CRONJOB, or another namespace with -n; backup-ns create needs none";
    let names = |of: &[&Value]| Vec::from_iter(of.iter().map(|cronjob| name(cronjob))).join(", ");
    let all: Vec<&Value> = cronjobs.iter().collect();
    let there = || if all.is_empty() { "it has none".into() } else { format!("it has {}", names(&all)) };
    if let Some(named) = named {
        let found = cronjobs.iter().find(|cronjob| name(cronjob) == named);
        return found.ok_or_else(|| (format!("has no CronJob '{named}' ({})", there()), NAME));
    }
    let makes = |cronjob: &&Value| maker(cronjob).is_some();
    match cronjobs.iter().filter(makes).collect::<Vec<_>>()[..] {
        [one] => Ok(one),
        [] => Err((format!("has no CronJob that runs backup-ns create ({})", there()), INSTALL)),
        ref several => {
            Err((format!("has {} CronJobs that run backup-ns create: {}", several.len(), names(several)), NAME))
        }
    }
}

/// The name of a Job: `CRONJOB-adhoc-RAND`, with a long first part cut.
pub fn job_name(cronjob: &str, rand: &str) -> String {
    let end = format!("-adhoc-{rand}");
    let begin: String = cronjob.chars().take(LONGEST_NAME.saturating_sub(end.len())).collect();
    format!("{}{end}", begin.trim_end_matches(['-', '.']))
}

/// The Job that a CronJob makes now, as `kubectl create job --from` makes it, with snapshots of the type `adhoc`.
pub fn manifest(cronjob: &Value, namespace: &str, job: &str) -> Value {
    let template = &cronjob["spec"]["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert("cronjob.kubernetes.io/instantiate".into(), json!("manual"));
    let mut spec = template["spec"].clone();
    if let Some(container) = spec.pointer_mut(&format!("/template/spec{}", backup_container(cronjob))) {
        let others = list(container, "/env").iter().filter(|entry| text(entry, "/name") != TYPE_VARIABLE).cloned();
        let env: Vec<Value> = others.chain([json!({"name": TYPE_VARIABLE, "value": "adhoc"})]).collect();
        container["env"] = json!(env);
    }
    let mut metadata = json!({
        "name": job, "namespace": namespace, "annotations": annotations,
        // Without blockOwnerDeletion, which would take a right on the CronJob's finalizers.
        "ownerReferences": [{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": name(cronjob), "uid": uid(cronjob), "controller": true,
        }],
    });
    if let Some(labels) = template["metadata"]["labels"].as_object() {
        metadata["labels"] = json!(labels);
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

/// The manifest with the values of secret variables masked.
pub fn masked(manifest: &Value, is_secret: impl Fn(&str) -> bool) -> Value {
    let mut manifest = manifest.clone();
    for part in [CONTAINERS, INIT_CONTAINERS] {
        let containers = manifest.pointer_mut(&format!("/spec/template/spec{part}")).and_then(Value::as_array_mut);
        let env =
            containers.into_iter().flatten().filter_map(|container| container.get_mut("env")?.as_array_mut()).flatten();
        for entry in env.filter(|entry| entry["value"].is_string() && is_secret(text(entry, "/name"))) {
            entry["value"] = json!(MASK);
        }
    }
    manifest
}

/// The state of the backup's container in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStage {
    /// It was not started yet.
    Waiting {
        why: String,
        /// Whether the reason rarely passes by itself.
        stuck: bool,
    },
    Running,
    Ended,
}

/// A try of a Job: one run of the backup's container in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    pub pod: String,
    /// How often the container was started again there.
    pub restarts: u64,
    /// The state of the container.
    pub stage: JobStage,
    /// The exit code of this run of the container, or of the run before the restart.
    pub code: Option<i64>,
}

/// The tries of a Job by its pods as they are now, the oldest first.
pub fn tries(pods: &[Value], container: &str) -> Vec<Try> {
    let mut pods: Vec<&Value> = pods.iter().collect();
    pods.sort_by_key(|pod| (text(pod, "/metadata/creationTimestamp"), name(pod)));
    let one = |pod: &&Value| {
        let all = ["/status/containerStatuses", "/status/initContainerStatuses"].into_iter();
        let status = all.flat_map(|part| list(pod, part)).find(|status| text(status, "/name") == container);
        let restarts = status.and_then(|status| status["restartCount"].as_u64()).unwrap_or(0);
        let of = |state: &str| status.and_then(|status| status.pointer(&format!("/{state}/terminated/exitCode")));
        let code = of("state").or_else(|| of("lastState")).and_then(Value::as_i64);
        Try { pod: name(pod).into(), restarts, stage: stage(pod, status), code }
    };
    pods.iter().map(one).collect()
}

fn stage(pod: &Value, status: Option<&Value>) -> JobStage {
    let state = |which: &str| status.and_then(|status| status["state"].get(which)).filter(|state| state.is_object());
    let phase = text(pod, "/status/phase");
    let ended = ["Succeeded", "Failed"].contains(&phase);
    if state("terminated").is_some() || ended {
        return JobStage::Ended;
    }
    if state("running").is_some() {
        return JobStage::Running;
    }
    let said = |of: &Value| match (text(of, "/reason"), text(of, "/message")) {
        (reason, "") => reason.to_string(),
        (reason, message) => format!("{reason}: {message}"),
    };
    let is_scheduled = |condition: &&Value| text(condition, "/type") == "PodScheduled";
    let scheduled = list(pod, "/status/conditions").iter().find(is_scheduled);
    let passes = |waiting: &Value| ["", "ContainerCreating", "PodInitializing"].contains(&text(waiting, "/reason"));
    // If an init container cannot start, those after it wait without a reason.
    let mut before =
        list(pod, "/status/initContainerStatuses").iter().filter_map(|status| status["state"].get("waiting"));
    let stuck = scheduled.filter(|scheduled| text(scheduled, "/status") == "False");
    let stuck = stuck.or_else(|| before.find(|waiting| waiting.is_object() && !passes(waiting)));
    match (stuck, state("waiting")) {
        (Some(stuck), _) => JobStage::Waiting { why: said(stuck), stuck: true },
        (None, Some(waiting)) => JobStage::Waiting { why: said(waiting), stuck: !passes(waiting) },
        (None, None) => JobStage::Waiting { why: "waiting for a node".into(), stuck: false },
    }
}

/// Whether a Job is of this CronJob, by its owner: a name says too little, as that of a Job of `backup-verify` begins with
/// `backup`.
fn is_of(job: &Value, cronjob: &str) -> bool {
    let is_owner = |owner: &Value| text(owner, "/kind") == "CronJob" && text(owner, "/name") == cronjob;
    list(job, "/metadata/ownerReferences").iter().any(is_owner)
}

/// The pod of one of these Jobs that is of this CronJob and cannot start, and why.
pub fn stuck(pods: &[Value], jobs: &[Value], cronjob: &str, container: &str) -> Option<(String, String)> {
    let jobs: Vec<&str> = jobs.iter().filter(|job| is_of(job, cronjob)).map(name).collect();
    let is_theirs = |pod: &&Value| jobs.contains(&text(pod, "/metadata/labels/job-name"));
    let pods: Vec<Value> = pods.iter().filter(is_theirs).cloned().collect();
    tries(&pods, container).into_iter().find_map(|pod| match pod.stage {
        JobStage::Waiting { why, stuck: true } => Some((pod.pod, why)),
        _ => None,
    })
}

/// The Job of this CronJob that is older than a minute, is not finished, and never had a pod.
pub fn podless<'a>(jobs: &'a [Value], pods: &[Value], cronjob: &str, now: DateTime<Utc>) -> Option<&'a Value> {
    let had_none = |job: &Value| {
        ["active", "failed", "succeeded"].iter().all(|count| job["status"][count].as_u64().unwrap_or(0) == 0)
    };
    let is_old = |job: &Value| made(job).is_some_and(|made| now - made > TimeDelta::minutes(1));
    let has_none = |job: &Value| !pods.iter().any(|pod| text(pod, "/metadata/labels/job-name") == name(job));
    jobs.iter().find(|job| {
        is_of(job, cronjob)
            && job["spec"]["suspend"] != true
            && ended(job).is_none()
            && had_none(job)
            && is_old(job)
            && has_none(job)
    })
}

/// When an object was made.
pub fn made(object: &Value) -> Option<DateTime<Utc>> {
    time(object, "/metadata/creationTimestamp")
}

/// The time at a path of an object.
pub fn time(object: &Value, pointer: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text(object, pointer)).ok()?.to_utc())
}

/// Why the pod of a Job could not be made, by the newest of these Events about it.
pub fn unmade<'a>(uid: &str, events: &'a [Value]) -> Option<&'a str> {
    let of = |event: &&Value| text(event, "/reason") == "FailedCreate" && text(event, "/involvedObject/uid") == uid;
    let newest = events.iter().filter(of).max_by_key(|event| text(event, "/lastTimestamp"));
    newest.map(|event| text(event, "/message"))
}

/// What to do about what keeps a pod from being made.
pub fn unmade_remedy(why: &str) -> &'static str {
    match why.contains("PodSecurity") && why.contains("hostPath") {
        true => {
            "the locks of the node need a hostPath, which Pod Security forbids here: helm upgrade the release with --set \
             config.lock=none, or lease (docs/locks.md)"
        }
        false => "put right what it names; the Job then goes on by itself",
    }
}

/// How a Job ended; none while it is at work. What went wrong, where it failed.
pub fn ended(job: &Value) -> Option<Result<(), String>> {
    let condition = |kind: &str| {
        let wanted = |condition: &&Value| text(condition, "/type") == kind && text(condition, "/status") == "True";
        list(job, "/status/conditions").iter().find(wanted)
    };
    match (condition("Complete"), condition("Failed")) {
        (Some(_), _) => Some(Ok(())),
        (None, Some(failed)) => Some(Err(format!("{}: {}", text(failed, "/reason"), text(failed, "/message")))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cronjob(name: &str, containers: Value) -> Value {
        let metadata = json!({"labels": {"team": "shop"}, "annotations": {"note": "x"}});
        json!({
            "metadata": {"name": name, "uid": "u-1"},
            "spec": {"suspend": true, "jobTemplate": {
                "metadata": metadata,
                "spec": {"backoffLimit": 2, "template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
            }},
        })
    }

    #[test]
    fn a_job_whose_pod_cannot_be_made_is_found() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").unwrap().to_utc();
        let job = |change: &dyn Fn(&mut Value)| {
            let owner = json!({"kind": "CronJob", "name": "nightly"});
            let mut job = json!({
                "metadata": {"name": "nightly-1", "uid": "u", "creationTimestamp": "2026-11-22T11:58:00Z", "ownerReferences": [owner]},
                "status": {},
            });
            change(&mut job);
            job
        };
        let found = |job: Value, pods: &[Value]| podless(&[job], pods, "nightly", now).is_some();
        assert!(found(job(&|_| ()), &[json!({"metadata": {"labels": {"job-name": "weekly-1"}}})]));
        assert!(!found(job(&|_| ()), &[json!({"metadata": {"labels": {"job-name": "nightly-1"}}})]));
        type CronJobEdit = fn(&mut Value);
        let others: [CronJobEdit; 6] = [
            |job| job["metadata"]["creationTimestamp"] = json!("2026-11-22T11:59:30Z"),
            |job| job["metadata"]["ownerReferences"][0]["name"] = json!("weekly"),
            |job| job["spec"]["suspend"] = json!(true),
            |job| job["status"]["active"] = json!(1),
            |job| job["status"]["failed"] = json!(1),
            |job| job["status"]["conditions"] = json!([{"type": "Failed", "status": "True"}]),
        ];
        for change in others {
            assert!(!found(job(&change), &[]), "{}", job(&change));
        }
        let event = |uid: &str, reason: &str, at: &str| json!({"reason": reason, "lastTimestamp": at, "message": format!("{reason} {at}"), "involvedObject": {"uid": uid}});
        let events = [
            event("u", "FailedCreate", "2"),
            event("u", "FailedCreate", "1"),
            event("u", "X", "3"),
            event("v", "FailedCreate", "4"),
        ];
        assert_eq!((unmade("u", &events), unmade("w", &events)), (Some("FailedCreate 2"), None));
        let by_pod_security = r#"violates PodSecurity "baseline:latest": hostPath volumes (volume "locks")"#;
        assert!(unmade_remedy(by_pod_security).contains("config.lock=none") && !unmade_remedy("x").contains("lock"));
    }

    #[test]
    fn containers_that_make_backups() {
        for (container, makes) in [
            (json!({"image": "registry/backup-ns:1", "args": ["create", "--db-postgres"]}), true),
            (json!({"image": "registry/backup-ns:1"}), true),
            (json!({"image": "x", "command": ["/usr/bin/backup-ns", "-n", "shop", "create"]}), true),
            (json!({"image": "x", "command": ["sh", "-c", "env A=b backup-ns create && echo done"]}), true),
            (json!({"image": "x", "command": ["kubectl", "backup_ns", "create"]}), true),
            (
                json!({"image": "registry/backup-ns:1", "args": ["sh", "-c", "backup-ns create; backup-ns retain"]}),
                true,
            ),
            (
                json!({"image": "registry/backup-ns:1", "args": ["sh", "-c", "(backup-ns create) && backup-ns verify"]}),
                true,
            ),
            (
                json!({"image": "registry/backup-ns:1", "args": ["sh", "-c", "backup-ns 'create'&backup-ns retain"]}),
                true,
            ),
            (json!({"image": "registry/backup-ns:1", "args": ["sh", "-c", "backup-ns retain; echo done"]}), false),
            (json!({"image": "registry/backup-ns:1", "args": ["retain"]}), false),
            (json!({"image": "registry/backup-ns:1", "command": ["/app/mark-and-delete.sh"]}), false),
            (json!({"image": "x", "command": ["backup-ns"], "args": ["-v", "mark-and-delete"]}), false),
            (json!({"image": "postgres", "args": ["create"]}), false),
            (json!({}), false),
        ] {
            assert_eq!(makes_backups(&container), makes, "{container}");
        }
    }

    #[test]
    fn containers_that_export() {
        let of = |container: Value| {
            let pod = json!({"template": {"spec": {"containers": [container]}}});
            json!({"spec": {"jobTemplate": {"spec": pod}}})
        };
        for (container, is_export) in [
            (json!({"image": "registry/backup-ns:1", "args": ["export"]}), true),
            (json!({"image": "registry/backup-ns:1", "args": ["-n", "shop", "export", "--again"]}), true),
            (json!({"image": "x", "args": ["export"], "env": [{"name": "BAK_EXPORT_IMAGE", "value": "y"}]}), true),
            (json!({"image": "x", "args": ["export"]}), false),
            (json!({"image": "x", "command": ["sh", "-c", "backup-ns create && /bin/backup-ns export"]}), true),
            // The shell's own command.
            (json!({"image": "backup-ns", "command": ["sh", "-c", "export BAK_PVC_NAME=x; backup-ns create"]}), false),
            (json!({"image": "backup-ns", "args": ["create"]}), false),
            (json!({"image": "backup-ns"}), false),
        ] {
            assert_eq!(exporter(&of(container.clone())).is_some(), is_export, "{container}");
        }
        let mut mirrored = of(json!({"image": "x", "args": ["export"]}));
        mirrored["metadata"] = json!({"labels": {"app.kubernetes.io/part-of": "backup-ns"}});
        assert!(exporter(&mirrored).is_some());
        mirrored["spec"]["jobTemplate"]["spec"]["template"]["spec"] =
            json!({"initContainers": [{"image": "x", "args": ["export"]}], "containers": [{"image": "y"}]});
        assert!(exporter(&mirrored).is_some());
    }

    #[test]
    fn a_mirrored_image_is_recognized_by_its_settings_or_by_the_chart() {
        let env = json!([{"name": "BAK_DB_POSTGRES", "value": "true"}]);
        let labels = |part_of: &str, component: &str| json!({"app.kubernetes.io/part-of": part_of, "app.kubernetes.io/component": component});
        let (none, sidecar) = (json!({}), json!({"name": "proxy", "image": "proxy", "env": env}));
        let mirrored = |change: Value| {
            let mut container = json!({"name": "b", "image": "registry.corp/mirror/k8s-bak"});
            container.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            container
        };
        for (labels, containers, makes) in [
            (&none, vec![mirrored(json!({"args": ["create"], "env": env}))], Some("b")),
            (&none, vec![mirrored(json!({"env": env}))], Some("b")),
            (&labels("backup-ns", "backup"), vec![mirrored(json!({"args": ["create"]}))], Some("b")),
            (&labels("backup-ns", "backup"), vec![sidecar.clone(), mirrored(json!({"args": ["create"]}))], Some("b")),
            // Nothing says that these are ours.
            (&none, vec![mirrored(json!({"args": ["create"]}))], None),
            (&none, vec![mirrored(json!({"args": ["create"], "env": [{"name": "BACKUP", "value": "x"}]}))], None),
            (&labels("shop", "backup"), vec![mirrored(json!({"args": ["create"]}))], None),
            // These are ours, and do something else.
            (&none, vec![mirrored(json!({"args": ["verify"], "env": env}))], None),
            (&none, vec![mirrored(json!({"args": ["mark-and-delete", "--retain-first"], "env": env}))], None),
            (&none, vec![mirrored(json!({"command": ["sh", "-c", "/scripts/tidy.sh"], "env": env}))], None),
            (&labels("backup-ns", "sync"), vec![mirrored(json!({"args": ["sync-metadata-to-vsc"]}))], None),
            (&labels("backup-ns", "verify"), vec![mirrored(json!({"args": ["verify"], "env": env}))], None),
            // One that says so itself comes first.
            (&none, vec![sidecar.clone(), json!({"name": "b", "image": "backup-ns"})], Some("b")),
        ] {
            let mut cronjob = cronjob("nightly", json!(containers));
            cronjob["metadata"]["labels"] = labels.clone();
            assert_eq!(maker(&cronjob).map(|container| text(container, "/name")), makes, "{cronjob}");
            assert_eq!(choose(&[cronjob], None).is_ok(), makes.is_some());
        }
    }

    #[test]
    fn a_backup_may_run_before_the_containers() {
        let env = json!([{"name": "BAK_DB_POSTGRES_PASSWORD", "value": "hunter2"}]);
        let push = json!({"name": "push", "image": "rclone", "args": ["sync"]});
        let with = |before: Value| {
            let mut cronjob = cronjob("nightly", json!([push]));
            cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"] =
                json!([{"name": "a"}, before]);
            cronjob
        };
        let before = |image: &str, args: Value| with(json!({"name": "b", "image": image, "args": args, "env": env}));
        for (cronjob, makes) in [
            (before("backup-ns", json!(["create"])), true),
            (with(json!({"name": "b", "image": "backup-ns", "args": ["create"]})), true),
            (before("mirrored", json!(["create"])), true),
            (before("backup-ns", json!(["locks", "--prepare"])), false),
            (before("backup-ns", json!(["sh", "-c", "chmod 777 /locks"])), false),
            (before("mirrored", json!([])), false),
            (before("backup-ns", json!([])), false),
            (with(json!({"name": "b", "image": "backup-ns", "restartPolicy": "Always"})), true),
        ] {
            assert_eq!(maker(&cronjob).map(|one| text(one, "/name")), makes.then_some("b"), "{cronjob}");
        }
        let cronjob = before("backup-ns", json!(["create"]));
        assert_eq!(container(&cronjob), "b");
        let job = masked(&manifest(&cronjob, "shop", "j"), |name| name.ends_with("_PASSWORD"));
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["containers"], json!([push]));
        let env = json!([
            {"name": "BAK_DB_POSTGRES_PASSWORD", "value": "****"}, {"name": "BAK_LABEL_VS_TYPE", "value": "adhoc"},
        ]);
        assert_eq!(pod["initContainers"][1]["env"], env);
        let ended = json!({"name": "b", "state": {"terminated": {"exitCode": 7}}});
        let pod = json!({"metadata": {"name": "p"}, "status": {"initContainerStatuses": [ended]}});
        let Try { stage, code, .. } = tries(&[pod], "b").remove(0);
        assert_eq!((stage, code), (JobStage::Ended, Some(7)));
    }

    #[test]
    fn the_only_one_that_makes_backups_is_chosen() {
        let ours = |name: &str| cronjob(name, json!([{"name": "b", "image": "backup-ns", "args": ["create"]}]));
        let prunes = cronjob("retain", json!([{"name": "b", "image": "backup-ns", "args": ["retain"]}]));
        let other = cronjob("mail", json!([{"name": "b", "image": "mail"}]));
        let all = [prunes.clone(), ours("backup"), other.clone()];
        assert_eq!(name(choose(&all, None).unwrap()), "backup");
        assert_eq!(name(choose(&all, Some("mail")).unwrap()), "mail");
        for (cronjobs, named, said) in [
            (&all[..], Some("nope"), "has no CronJob 'nope' (it has retain, backup, mail)"),
            (&[prunes, other], None, "has no CronJob that runs backup-ns create (it has retain, mail)"),
            (&[], None, "has no CronJob that runs backup-ns create (it has none)"),
            (&[ours("a"), ours("b")], None, "has 2 CronJobs that run backup-ns create: a, b"),
        ] {
            let (what, remedy) = choose(cronjobs, named).unwrap_err();
            assert_eq!(what, said);
            assert_eq!(remedy.contains("helm install"), said.contains("no CronJob that runs"), "{said}: {remedy}");
        }
    }

    #[test]
    fn a_job_is_the_template_with_another_type() {
        let containers = json!([
            {"name": "proxy", "image": "proxy", "env": [{"name": "BAK_LABEL_VS_TYPE", "value": "kept"}]},
            {
                "name": "backup", "image": "backup-ns", "envFrom": [{"secretRef": {"name": "s"}}],
                "env": [
                    {"name": "BAK_LABEL_VS_TYPE", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
                    {"name": "BAK_DB_POSTGRES", "value": "true"},
                ],
            },
        ]);
        let cronjob = cronjob("backup", containers);
        assert_eq!(container(&cronjob), "backup");
        let job = manifest(&cronjob, "shop", "backup-adhoc-abcdef");
        assert_eq!(
            job["metadata"],
            json!({
                "name": "backup-adhoc-abcdef", "namespace": "shop", "labels": {"team": "shop"},
                "annotations": {"note": "x", "cronjob.kubernetes.io/instantiate": "manual"},
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "CronJob", "name": "backup", "uid": "u-1", "controller": true},
                ],
            })
        );
        let mut expected = cronjob["spec"]["jobTemplate"]["spec"].clone();
        expected["template"]["spec"]["containers"][1]["env"] =
            json!([{"name": "BAK_DB_POSTGRES", "value": "true"}, {"name": "BAK_LABEL_VS_TYPE", "value": "adhoc"}]);
        assert_eq!(job["spec"], expected);
        assert_eq!((&job["kind"], &job["apiVersion"]), (&json!("Job"), &json!("batch/v1")));
    }

    #[test]
    fn secrets_are_masked_and_their_references_are_none() {
        let env = json!([
            {"name": "P", "value": "hunter2"}, {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
            {"name": "Q", "value": "shown"},
        ]);
        let job =
            manifest(&cronjob("backup", json!([{"name": "b", "image": "x", "env": env}, {"name": "c"}])), "shop", "j");
        let shown = masked(&job, |name| name == "P");
        let mut expected = job;
        expected["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("****");
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_name_is_never_too_long() {
        assert_eq!(job_name("backup", "abcdef"), "backup-adhoc-abcdef");
        let long = job_name(&format!("{}-{}", "a".repeat(49), "b".repeat(9)), "abcdef");
        assert_eq!(long, format!("{}-adhoc-abcdef", "a".repeat(49)));
        assert!(job_name(&"a".repeat(80), "abcdef").len() == LONGEST_NAME);
    }

    #[test]
    fn the_stage_of_a_try() {
        let with = |status: Value| {
            let pod = json!({"metadata": {"name": "p"}, "status": status});
            let Try { stage, code, .. } = tries(&[pod], "backup").remove(0);
            (stage, code)
        };
        let state =
            |state: Value| json!({"containerStatuses": [{"name": "other"}, {"name": "backup", "state": state}]});
        let again = json!({"containerStatuses": [{"name": "backup", "lastState": {"terminated": {"exitCode": 7}},
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
        let waiting = |why: &str, stuck| JobStage::Waiting { why: why.into(), stuck };
        let scheduling = |status: &str| json!({"type": "PodScheduled", "status": status, "reason": "Unschedulable", "message": "0/1"});
        for (status, stage, code) in [
            (json!({}), waiting("waiting for a node", false), None),
            (json!({"conditions": [scheduling("False")]}), waiting("Unschedulable: 0/1", true), None),
            (state(json!({"waiting": {"reason": "ContainerCreating"}})), waiting("ContainerCreating", false), None),
            (
                json!({"initContainerStatuses": [{"state": {"terminated": {}}}, {"state": {"waiting": {"reason": "ErrImagePull", "message": "m"}}}]}),
                waiting("ErrImagePull: m", true),
                None,
            ),
            (
                state(json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})),
                waiting("ImagePullBackOff: no such image", true),
                None,
            ),
            (state(json!({"running": {"startedAt": "x"}})), JobStage::Running, None),
            (state(json!({"terminated": {"exitCode": 6}})), JobStage::Ended, Some(6)),
            (again, waiting("CrashLoopBackOff", true), Some(7)),
            // Evicted before it was started.
            (json!({"phase": "Failed"}), JobStage::Ended, None),
        ] {
            assert_eq!(with(status.clone()), (stage, code), "{status}");
        }
    }

    #[test]
    fn tries_come_in_their_order_and_know_their_restarts() {
        let pod = |name: &str, created: &str, restarts: u64| {
            json!({
                "metadata": {"name": name, "creationTimestamp": created},
                "status": {"containerStatuses": [{"name": "backup", "restartCount": restarts, "state": {"running": {}}}]},
            })
        };
        let pods = [pod("b", "2026-11-22T02:00:10Z", 0), pod("c", "2026-11-22T02:00:00Z", 2)];
        let order: Vec<_> = tries(&pods, "backup").into_iter().map(|one| (one.pod, one.restarts)).collect();
        assert_eq!(order, [("c".to_string(), 2), ("b".to_string(), 0)]);
    }

    #[test]
    fn a_job_ends_complete_or_failed() {
        let job = |kind: &str, status: &str| {
            let condition =
                json!({"type": kind, "status": status, "reason": "BackoffLimitExceeded", "message": "too often"});
            ended(&json!({"status": {"conditions": [condition]}}))
        };
        assert_eq!(ended(&json!({})), None);
        assert_eq!(job("Complete", "True"), Some(Ok(())));
        assert_eq!(job("Failed", "True"), Some(Err("BackoffLimitExceeded: too often".into())));
        for (kind, status) in [("Failed", "False"), ("FailureTarget", "True"), ("Suspended", "True")] {
            assert_eq!(job(kind, status), None, "{kind}");
        }
    }
}
