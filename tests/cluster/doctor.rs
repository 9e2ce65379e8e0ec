//! `doctor` finds each of many planted misconfigurations on the real cluster, and reports none on a sound one.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

/// A kubeconfig, and what it finds there.
struct Patient<'a> {
    tenant: &'a Tenant,
    kubeconfig: Option<tempfile::NamedTempFile>,
    found: usize,
}

impl<'a> Patient<'a> {
    fn of(tenant: &'a Tenant) -> Patient<'a> {
        Patient { tenant, kubeconfig: None, found: 0 }
    }

    /// What `doctor` says with these arguments and variables, and how it ends.
    fn examine(&self, args: &[&str], env: &[(&str, &str)]) -> (i32, Vec<Value>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_backup-ns"));
        command.args(["doctor", "-o", "json"]).args(args);
        command.env("BAK_NAMESPACE", &self.tenant.namespace).env("BAK_RETRY_TIMEOUT", "1s");
        command.envs(format_settings()).envs(env.iter().copied());
        if let Some(file) = &self.kubeconfig {
            command.env("KUBECONFIG", file.path());
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        (output.status.code().unwrap(), told["checks"].as_array().unwrap().clone(), said)
    }

    /// It finds nothing; the lines that were skipped, as `CHECK: WHY`.
    fn sound(&self, args: &[&str]) -> Vec<String> {
        let (code, checks, said) = self.examine(args, &[]);
        let failed: Vec<&Value> = checks.iter().filter(|check| check["outcome"] == "failed").collect();
        assert!(code == 0 && failed.is_empty(), "{failed:#?} {said}");
        let skipped = checks.iter().filter(|check| check["outcome"] == "skipped");
        skipped
            .map(|check| format!("{}: {}", check["check"].as_str().unwrap(), check["what"].as_str().unwrap()))
            .collect()
    }

    /// It finds what was planted, in these checks and in no others, each with a remedy; the first with these words.
    fn finds(&mut self, planted: &str, args: &[&str], env: &[(&str, &str)], expected: &[&str], words: &str) {
        let (code, checks, said) = self.examine(args, env);
        let failed: Vec<&Value> = checks.iter().filter(|check| check["outcome"] == "failed").collect();
        let names: Vec<&str> = failed.iter().map(|check| check["check"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{planted}: {failed:#?} {said}");
        assert!(failed[0]["what"].as_str().unwrap().contains(words), "{planted}: {failed:#?}");
        assert!(
            failed.iter().all(|check| check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty())),
            "{failed:#?}"
        );
        assert!(code == 4 && !said.contains("hunter2"), "{planted}: {code} {said}");
        self.found += 1;
    }
}

const DB: &str = "--db-postgres";

#[test]
#[ignore = "needs a cluster: make test"]
fn each_planted_misconfiguration_is_found_and_none_on_a_sound_cluster() {
    let tenant = Tenant::small("doctor", 256, |_| ());
    let mut patient = Patient::of(&tenant);
    let first = tenant.backup(&[]);
    tenant.sql("CREATE ROLE reader LOGIN PASSWORD 'reader'");
    let skipped = patient.sound(&[DB]);
    assert_eq!(skipped.len(), 2, "schedule and locks: {skipped:?}");
    let before = tenant.get(&["pods,pvc,volumesnapshots,configmaps,secrets,events"]);

    // Settings.
    let delete = Class::new("drop", &json!({}));
    let delete = format!("--vs-class-name={}", delete.0);
    let foreign = OfDriver::class("foreign", "away.backup-ns.sh", false);
    let foreign_class = format!("--vs-class-name={}", foreign.0);
    for (planted, args, env, check, words) in [
        ("a port that cannot be", &[DB, "--db-postgres-port=0"][..], &[][..], "configuration", "BAK_DB_POSTGRES_PORT"),
        ("a zone that does not exist", &[DB], &[("TZ", "Mars/Olympus")], "time zone", "Mars/Olympus"),
        ("no database", &[], &[], "configuration", "no database is chosen"),
        ("a setting of pruning", &[DB], &[("RETAIN_LAST_DAILY", "many")], "configuration", "RETAIN_LAST_DAILY"),
        ("a context that is not there", &[DB, "--context=nope"], &[], "API", "nope"),
        ("a namespace that is not there", &[DB, "-n", "no-such-place"], &[], "namespace", "no namespace no-such-place"),
        ("a claim that is not there", &[DB, "--pvc-name=nope"], &[], "claim", "no PVC 'nope'"),
        ("a class that is not there", &[DB, "--vs-class-name=nope"], &[], "class", "no VolumeSnapshotClass 'nope'"),
        ("a class of another driver", &[DB, &foreign_class], &[], "class", "is for the driver away.backup-ns.sh"),
        ("names that are none", &[DB, "--vs-name-template=Upper-{{ .rand }}"], &[], "names", "is not valid"),
        ("a class that deletes", &[DB, &delete], &[], "deletion policy", "says Delete"),
        (
            "a workload that is not there",
            &[DB, "--db-postgres-exec-resource=sts/nope"],
            &[],
            "pod",
            "no statefulset/nope",
        ),
        (
            "a container that is not there",
            &[DB, "--db-postgres-exec-container=nope"],
            &[],
            "pod",
            "no container 'nope'",
        ),
        (
            "a path beside the volume",
            &[DB, "--db-postgres-dump-file=/tmp/d.gz"],
            &[],
            "path",
            "does not lie on the PVC",
        ),
        (
            "a directory that is not there",
            &[DB, "--db-postgres-dump-file=/nope/d.gz"],
            &[],
            "path",
            "/nope/ does not exist",
        ),
        ("a user that is not there", &[DB, "--db-postgres-user=nobody"], &[], "database", "nobody"),
        ("a port without a server", &[DB, "--db-postgres-port=1"], &[], "database", "refused"),
        (
            "a wrong password",
            &[DB],
            &[("BAK_DB_POSTGRES_PASSWORD", "hunter2 but wrong")],
            "database",
            "authentication failed",
        ),
        ("an empty database", &[DB, "--db-postgres-db=postgres"], &[], "database", "postgres holds no table"),
        (
            "a user who may not read",
            &[DB, "--db-postgres-user=reader"],
            &[("BAK_DB_POSTGRES_PASSWORD", "reader")],
            "database",
            "reader may not read public.gate",
        ),
        ("a full volume", &[DB, "--threshold-space-used-percentage=1"], &[], "space", "the threshold is 1 %"),
        ("no lock directory", &[DB, "--flock", "--flock-dir=/no/such/place"], &[], "locks", "does not exist"),
        (
            "Leases in a namespace that is not there",
            &[DB, "--lock=lease", "--lock-node=n1", "--lock-namespace=no-such-place"],
            &[],
            "locks",
            "\"no-such-place\" not found",
        ),
    ] {
        patient.finds(planted, args, env, &[check], words);
    }
    assert_eq!(tenant.get(&["pods,pvc,volumesnapshots,configmaps,secrets,events"]), before, "nothing was changed");

    // An API that is away.
    let mut config: Value = serde_json::from_str(&kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
    config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), config.to_string()).unwrap();
    patient.kubeconfig = Some(file);
    patient.finds("an API that is away", &[DB], &[], &["API"], "127.0.0.1:1");

    // What the account of the README may not see is skipped; what it lacks fails.
    account(&tenant);
    patient.kubeconfig = Some(tenant.kubeconfig("backup-ns"));
    let skipped = patient.sound(&[DB]).join("\n");
    for line in [
        "namespace: may not get",
        "driver: may not get csidrivers",
        "class: may not list volumesnapshotclasses",
        "stored data: may not list",
        "schedule: may not",
        "quota: may not list resourcequotas",
    ] {
        assert!(skipped.contains(line), "{line}: {skipped}");
    }
    assert!(!skipped.contains("snapshot: "), "the Role is enough to ask the API: {skipped}");
    let whole = tenant.get(&["role", "backup-ns"]);
    for (number, (group, resource)) in [
        ("", "persistentvolumeclaims"),
        ("", "pods"),
        ("", "pods/exec"),
        ("apps", "deployments"),
        ("snapshot.storage.k8s.io", "volumesnapshots"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut less = json!({"apiVersion": whole["apiVersion"], "kind": "Role", "metadata": {"name": "backup-ns"}, "rules": whole["rules"]});
        less["rules"].as_array_mut().unwrap().remove(number);
        apply(&tenant.namespace, &less);
        let rule = format!("a Role without {resource} of '{group}'");
        until(&rule, 30, || {
            let (_, checks, _) = patient.examine(&[DB], &[]);
            checks.iter().any(|check| check["outcome"] == "failed").then_some(())
        });
        patient.finds(&rule, &[DB], &[], &["rights"], resource);
    }
    patient.kubeconfig = None;

    // What only the API knows.
    let none = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
        "spec": {"hard": {"count/volumesnapshots.snapshot.storage.k8s.io": "0"}},
    });
    apply(&tenant.namespace, &none);
    tenant.kubectl(&["wait", "resourcequota/none", "--for=jsonpath={.status.hard}", "--timeout=60s"]);
    patient.finds("a quota that is used up", &[DB], &[], &["snapshot"], "exceeded quota: none");
    tenant.kubectl(&["delete", "resourcequota", "none"]);
    until("the quota to be gone", 30, || (patient.examine(&[DB], &[]).0 == 0).then_some(()));
    let name = first["volumeSnapshot"].as_str().unwrap();
    let template = format!("--vs-name-template={name}");
    patient.finds("a name that is taken", &[DB, &template], &[], &["snapshot"], "already exists");

    // Claims.
    let mut waiting = tenant.claim("waiting", "64Mi", None);
    waiting["spec"]["storageClassName"] = json!("no-such-class");
    apply(&tenant.namespace, &waiting);
    patient.finds(
        "a claim that is not bound",
        &[DB, "--pvc-name=waiting"],
        &[],
        &["claim"],
        "is not bound but Pending",
    );
    apply(&tenant.namespace, &tenant.claim("other", "64Mi", None));
    tenant.kubectl(&["wait", "pvc/other", "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
    patient.finds(
        "a claim that the pod does not mount",
        &[DB, "--pvc-name=other"],
        &[],
        &["pod"],
        "does not mount the PVC 'other'",
    );
    let away = OfDriver::volume(&tenant, "away");
    let skip = ["--db-skip", "--pvc-name=away"];
    patient.finds("a driver that is not there", &skip, &[], &["driver", "class"], "no CSIDriver 'away.backup-ns.sh'");
    let registered = OfDriver::registered("away.backup-ns.sh");
    patient.finds("no class for the driver", &skip, &[], &["class"], "no VolumeSnapshotClass is the default");
    let defaults = ["one", "two"].map(|name| OfDriver::class(name, "away.backup-ns.sh", true));
    patient.finds(
        "two default classes for the driver",
        &skip,
        &[],
        &["class"],
        "several VolumeSnapshotClasses are the default",
    );
    drop(defaults);
    let hook = [("BAK_HOOK_PRE", "true")];
    let hooked = [&skip[..], &[&foreign_class]].concat();
    patient.finds("hooks without a pod", &hooked, &hook, &["pod"], "so the hooks cannot run");
    drop((away, foreign, registered));

    // The container and the pod.
    tenant.sh("mv /usr/bin/sha256sum /usr/bin/sha256sum.away");
    patient.finds("a container without a tool", &[DB], &[], &["tools"], "sha256sum");
    tenant.sh("mv /usr/bin/sha256sum.away /usr/bin/sha256sum");

    // The schedule.
    cronjob(&tenant, "backup", &["create"], |_| ());
    patient.finds("a suspended CronJob", &[DB], &[], &["schedule"], "is suspended");
    tenant.kubectl(&["patch", "cronjob", "backup", "-p", r#"{"spec":{"suspend":false,"schedule":"0 0 31 2 *"}}"#]);
    let skipped = patient.sound(&[DB]);
    assert_eq!(skipped.len(), 1, "only locks: {skipped:?}");
    let status = r#"{"status":{"lastScheduleTime":"2026-01-01T00:00:00Z"}}"#;
    tenant.kubectl(&["patch", "cronjob", "backup", "--subresource=status", "--type=merge", "-p", status]);
    patient.finds("a failed night", &[DB], &[], &["schedule"], "the last run of the CronJob backup");
    tenant.kubectl(&["delete", "cronjob", "backup"]);

    // What earlier runs left.
    let name = first["volumeSnapshot"].as_str().unwrap();
    tenant.kubectl(&["annotate", "volumesnapshot", name, "backup-ns.sh/restoring={}"]);
    patient.finds("an unfinished restore", &[DB], &[], &["restores"], name);
    tenant.kubectl(&["annotate", "volumesnapshot", name, "backup-ns.sh/restoring-"]);
    tenant.kubectl(&["annotate", "volumesnapshot", name, "backup-ns.sh/distrusted=why"]);
    patient.finds("a distrusted backup", &[DB], &[], &["last backup"], "is distrusted");
    tenant.kubectl(&["annotate", "volumesnapshot", name, "backup-ns.sh/distrusted-"]);
    let second = tenant.backup(&[]);
    tenant.kubectl(&["label", "--overwrite", "volumesnapshot", name, "backup-ns.sh/delete-after=2020-01-01"]);
    patient.finds("a sweep that does not run", &[DB], &[], &["sweep"], name);
    tenant.run(&["delete", name, "--yes"], |_| ()).done().assert(0, &[]);
    let failing = Class::new("doctor", &json!({"fail": "the array is on fire"}));
    let class = format!("--vs-class-name={}", failing.0);
    tenant.create(&[&class, "--vs-wait-until-ready-timeout=3s"]).done().assert(7, &[]);
    patient.finds("a failed snapshot", &[DB], &[], &["last backup", "failed snapshots"], "is failed");
    let name = second["volumeSnapshot"].as_str().unwrap();
    for snapshot in tenant.snapshots().iter().filter(|other| *other != name) {
        tenant.kubectl(&["delete", "volumesnapshot", snapshot, "--timeout=60s"]);
    }
    tenant.run(&["sync-metadata-to-vsc"], |_| ()).done().assert(0, &[]);
    let content = tenant.content(name);
    tenant.kubectl(&["delete", "volumesnapshot", name]);
    patient.finds("stored data without a snapshot", &[DB], &[], &["stored data"], &content);
    tenant.run(&["rebind-vsc", &content], |_| ()).done().assert(0, &[]);
    tenant.run(&["delete", name, "--yes", "--force"], |_| ()).done().assert(0, &[]);

    tenant.kubectl(&["scale", "deployment/app-base", "--replicas=0"]);
    tenant.kubectl(&["wait", "pod", "-l", "app=app-base", "--for=delete", "--timeout=60s"]);
    patient.finds("a workload that is scaled down", &[DB], &[], &["pod"], "has no pods");

    assert!(patient.found >= 40, "{} were found", patient.found);
}

/// The API lists every rule of a RoleBinding to `cluster-admin`, but grants none for what is the whole cluster's. RBAC is the only
/// authorizer here, so its answer is complete.
#[test]
#[ignore = "needs a cluster: make test"]
fn the_admin_of_a_namespace_is_not_taken_for_one_of_the_cluster() {
    let tenant = Tenant::small("doctor-admin", 256, |_| ());
    tenant.kubectl(&["create", "serviceaccount", "admin"]);
    let account = format!("--serviceaccount={}:admin", tenant.namespace);
    tenant.kubectl(&["create", "rolebinding", "admin", "--clusterrole=cluster-admin", &account]);
    let mut patient = Patient::of(&tenant);
    patient.kubeconfig = Some(tenant.kubeconfig("admin"));
    until("the RoleBinding to count", 60, || (patient.examine(&[DB], &[]).0 == 0).then_some(()));
    let (_, checks, said) = patient.examine(&[DB], &[]);
    let outcome = |check: &str| {
        let found = checks.iter().find(|other| other["check"] == check).unwrap_or_else(|| panic!("{check}: {said}"));
        (found["outcome"].as_str().unwrap(), found["what"].as_str().unwrap())
    };
    assert_eq!(outcome("driver"), ("skipped", "may not get csidrivers"));
    assert_eq!(outcome("class"), ("skipped", "may not list volumesnapshotclasses"));
    assert_eq!(outcome("stored data"), ("skipped", "may not list volumesnapshotcontents"));
    for check in ["namespace", "claim", "pod", "database", "snapshot", "quota"] {
        assert_eq!(outcome(check).0, "passed", "{check}: {checks:#?}");
    }
}

/// Something of a driver that is not there; it goes with the test.
struct OfDriver(String, &'static str);

impl OfDriver {
    fn registered(driver: &str) -> OfDriver {
        let object =
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": driver}, "spec": {}});
        apply("default", &object);
        OfDriver(driver.into(), "csidriver")
    }

    fn class(name: &str, driver: &str, default: bool) -> OfDriver {
        let name = format!("{name}-{:x}", std::process::id());
        let annotations = json!({"snapshot.storage.kubernetes.io/is-default-class": default.to_string()});
        let class = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
            "metadata": {"name": name, "annotations": annotations}, "driver": driver, "deletionPolicy": "Retain",
        });
        apply("default", &class);
        OfDriver(name, "volumesnapshotclass")
    }

    /// A claim that is bound to a volume of that driver, which no pod mounts.
    fn volume(tenant: &Tenant, name: &str) -> OfDriver {
        let volume = format!("{name}-{:x}", std::process::id());
        let size = json!({"storage": "64Mi"});
        let object = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
            "spec": {
                "capacity": size, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "", "csi": {"driver": "away.backup-ns.sh", "volumeHandle": volume},
                "claimRef": {"namespace": tenant.namespace, "name": name},
            },
        });
        apply("default", &object);
        let mut claim = tenant.claim(name, "64Mi", None);
        claim["spec"]["storageClassName"] = json!("");
        claim["spec"]["volumeName"] = json!(volume);
        apply(&tenant.namespace, &claim);
        tenant.kubectl(&["wait", &format!("pvc/{name}"), "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
        OfDriver(volume, "persistentvolume")
    }
}

impl Drop for OfDriver {
    fn drop(&mut self) {
        kubectl_with(&["delete", self.1, &self.0, "--wait=false"], "");
    }
}
