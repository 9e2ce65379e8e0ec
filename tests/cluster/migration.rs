//! docs/migration.md: its switch from the older tool, and its way back, run as they stand there on what the older tool's
//! manifests make. What Helm does is shown by the chart's own tests; the older image is not needed, because going back ends
//! with the objects as they were.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

const OLDER: &str = "ghcr.io/allaboutapps/backup-ns:v0.2.0";

/// What goes with the test besides its namespaces: roles, and the lock directory where the node is this machine.
struct ClusterRoles(String);

impl Drop for ClusterRoles {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(locks(&self.0));
        for (kind, name) in ["", "-controller"]
            .into_iter()
            .flat_map(|end| ["clusterrole", "clusterrolebinding"].map(|kind| (kind, format!("{}{end}", self.0))))
        {
            kubectl_with(&["delete", kind, &name, "--ignore-not-found", "--wait=false"], "");
        }
    }
}

/// The directory on the node.
fn locks(namespace: &str) -> String {
    format!("/tmp/{namespace}-locks")
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// A CronJob that does not run by itself while a test does.
fn cronjob(name: &str, pod: Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {
            "schedule": "32 0 29 2 *", "timeZone": "Etc/UTC", "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": name}}, "spec": pod}}},
        },
    })
}

/// What runs for a namespace, as the older tool has it.
fn in_the_namespace(role: &str, namespace: &str) -> Value {
    let account = json!({"kind": "ServiceAccount", "name": "backup-ns", "namespace": namespace});
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mounts = json!([{"name": "host-backup-locks", "mountPath": "/mnt/host-backup-locks"}]);
    let pod = json!({
        "restartPolicy": "Never", "serviceAccountName": "backup-ns",
        "initContainers": [{
            "name": "init-permissions", "image": "postgres:15", "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts,
            "command": ["sh", "-c", "chmod 777 /mnt/host-backup-locks"],
        }],
        "containers": [{
            "name": "backup", "image": OLDER, "imagePullPolicy": "IfNotPresent", "volumeMounts": mounts,
            "envFrom": [{"configMapRef": {"name": "backup-env"}}],
            "env": [field("BAK_NAMESPACE", "metadata.namespace"), field("BAK_LABEL_VS_POD", "metadata.name"), {"name": "TZ", "value": "UTC"}],
        }],
        "volumes": [{"name": "host-backup-locks", "hostPath": {"path": locks(namespace), "type": "DirectoryOrCreate"}}],
    });
    let data = json!({
        "BAK_LABEL_VS_TYPE": "cronjob", "BAK_LABEL_VS_RETAIN": "daily_weekly_monthly", "BAK_FLOCK": "true", "BAK_DB_POSTGRES": "true",
    });
    json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "backup-env"}, "data": data},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "backup-ns"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "backup-ns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}, "subjects": [account],
        },
        cronjob("backup", pod),
    ])
}

/// What runs for the whole cluster.
fn in_the_cluster(role: &str, namespace: &str) -> Value {
    let account = json!({"kind": "ServiceAccount", "name": "backup-ns-controller", "namespace": namespace});
    let pod = |name: &str, command: &[&str]| {
        json!({
            "restartPolicy": "Never", "serviceAccountName": "backup-ns-controller",
            "containers": [{
                "name": name, "image": OLDER, "command": command, "imagePullPolicy": "IfNotPresent",
                "volumeMounts": [{"name": "timezone", "mountPath": "/etc/localtime"}],
            }],
            "volumes": [{"name": "timezone", "hostPath": {"path": "/usr/share/zoneinfo/Europe/Vienna"}}],
        })
    };
    let snapshots = "snapshot.storage.k8s.io";
    json!([
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": role},
            "rules": [
                rule("", &["pods", "persistentvolumeclaims"], &["get", "list"]),
                rule("apps", &["deployments"], &["get", "list"]),
                rule("", &["pods/exec"], &["get", "create"]),
                rule(snapshots, &["volumesnapshots"], &["get", "create", "list", "watch"]),
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": format!("{role}-controller")},
            "rules": [rule(snapshots, &["volumesnapshots", "volumesnapshotcontents"], &["get", "list", "patch", "delete", "watch"])],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": format!("{role}-controller")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("{role}-controller")},
            "subjects": [account],
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "backup-ns-controller"}},
        cronjob("pruner", pod("pruner", &["/bin/bash", "-c", "/app/retain.sh && /app/mark-and-delete.sh"])),
        cronjob("sync-volume-snapshot-labels", pod("sync-metadata-to-vsc", &["/app/backup-ns", "controller", "syncMetadataToVsc"])),
    ])
}

/// The command blocks of the page from one heading to another that do not need Helm.
fn blocks(page: &str, from: &str, to: &str) -> String {
    let (_, rest) = page.split_once(&format!("\n{from}\n")).unwrap_or_else(|| panic!("no heading {from}"));
    let (part, _) = rest.split_once(&format!("\n{to}\n")).unwrap_or_else(|| panic!("no line {to}"));
    let blocks: Vec<&str> = part.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert!(!blocks.is_empty(), "{from} has no blocks");
    blocks.concat()
}

fn run(script: &str) {
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-euxc", script]).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(40).collect();
    assert!(output.status.success(), "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
}

/// Runs a CronJob of the whole cluster once, for one namespace, so that it leaves others alone.
fn once(cluster: &Tenant, cronjob: &str, namespace: &str) {
    cluster.kubectl(&["set", "env", &format!("cronjob/{cronjob}"), &format!("BAK_NAMESPACE={namespace}")]);
    cluster.kubectl(&["create", "job", &format!("{cronjob}-now"), &format!("--from=cronjob/{cronjob}")]);
    let job = format!("job/{cronjob}-now");
    until(&format!("{cronjob} ends"), 120, || {
        let status = cluster.get(&[&job])["status"].clone();
        assert!(status["failed"].is_null(), "{cronjob}: {}", cluster.kubectl(&["logs", &job]));
        status["succeeded"].as_u64()
    });
    cluster.kubectl(&["set", "env", &format!("cronjob/{cronjob}"), "BAK_NAMESPACE-", "TZ-"]);
}

fn today(format: &str) -> String {
    let output = Command::new("date").args(["-u", format]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn the_switch_and_the_way_back_work_as_they_are_written() {
    let page = std::fs::read_to_string(root().join("docs/migration.md")).unwrap();
    let tenant = Tenant::small("switch", 256, |_| ());
    let cluster = Tenant::empty("switch-cluster");
    let roles = ClusterRoles(tenant.namespace.clone());
    let list = |items: Value| json!({"apiVersion": "v1", "kind": "List", "items": items});
    apply(&cluster.namespace, &list(in_the_cluster(&roles.0, &cluster.namespace)));
    apply(&tenant.namespace, &list(in_the_namespace(&roles.0, &tenant.namespace)));
    let cronjobs = || {
        let of = |tenant: &Tenant, name: &str| {
            let cronjob = tenant.get(&["cronjob", name]);
            cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0].clone()
        };
        [of(&tenant, "backup"), of(&cluster, "pruner"), of(&cluster, "sync-volume-snapshot-labels")]
    };
    let before = cronjobs();
    // The older tool was here today: its slots are taken.
    let day = today("+%F");
    let slots = json!({
        "backup-ns.sh/type": "cronjob", "backup-ns.sh/pvc": "data", "backup-ns.sh/retain": "daily_weekly_monthly",
        "backup-ns.sh/daily": day, "backup-ns.sh/weekly": today("+w%V"), "backup-ns.sh/monthly": today("+%Y-%m"),
    });
    tenant.snapshot("older", &slots);
    // And its days are over for this one.
    let days = json!({"backup-ns.sh/retain": "days", "backup-ns.sh/retain-days": "30", "backup-ns.sh/delete-after": "2026-01-01"});
    tenant.snapshot("over", &days);

    // Names of its own, whatever the cluster has.
    let own = |script: String| {
        let script = script.replace("-n shop", &format!("-n {}", tenant.namespace));
        let script = script.replace("-n backup-ns", &format!("-n {}", cluster.namespace));
        script.replace("clusterrole backup-ns", &format!("clusterrole {}", roles.0))
    };
    run(&own(blocks(&page, "## The switch", "### On a workstation")));

    let mut names = tenant.snapshots();
    names.retain(|name| !["older", "over"].contains(&name.as_str()));
    let [name] = &names[..] else { panic!("a dry run and a backup make one snapshot: {names:?}") };
    let labels = &tenant.get(&["volumesnapshot", name])["metadata"]["labels"];
    assert!(labels["backup-ns.sh/verified"].is_string(), "{labels}");
    if today("+%F") == day {
        for slot in ["daily", "weekly", "monthly"] {
            assert!(labels[format!("backup-ns.sh/{slot}")].is_null(), "the older tool's backup holds it: {labels}");
        }
    }
    let content = tenant.content("over");
    once(&cluster, "pruner", &tenant.namespace);
    let left = kubectl(&["get", "volumesnapshotcontents", "-o", "name"]);
    assert!(!tenant.snapshots().contains(&"over".into()) && !left.contains(&content), "it is not pruned");
    once(&cluster, "sync-volume-snapshot-labels", &tenant.namespace);
    let content: Value =
        serde_json::from_str(&kubectl(&["get", "volumesnapshotcontent", &tenant.content(name), "-o", "json"])).unwrap();
    assert_eq!(content["metadata"]["labels"]["backup-ns.sh/pvc"], "data", "{content}");

    run(&own(blocks(&page, "## Switching back", "The older tool then treats existing objects as follows:")));
    for (before, mut after) in before.into_iter().zip(cronjobs()) {
        // What is left of the way back is a variable that the older tool does not mind.
        if after["env"] == json!([]) || before["env"].is_null() {
            after.as_object_mut().unwrap().remove("env");
        }
        assert_eq!(before, after);
    }
}
