//! Imports on the real cluster: rows and roles come back into a namespace that knows nothing of the one that made the copy, and a
//! repository that was damaged is found out.

use std::process::Command;

use serde_json::{Value, json};

use crate::databases::mariadb;
use crate::kit::*;
use crate::remotes::server;

pub const PASSWORD: &str = "hunter2 is secret";

/// A repository of restic, in a server of its own.
pub struct Far {
    tenant: Tenant,
    pub repository: String,
}

impl Far {
    pub fn new(name: &str) -> Far {
        let tenant = Tenant::empty(&format!("{name}-far"));
        let args = ["rclone", "serve", "restic", "--addr", ":8080", "/srv"];
        let address = server(&tenant, "far", "backup-ns/remotes:12", &args, &[], 8080);
        let far = Far { tenant, repository: format!("rest:http://{address}/shop") };
        far.restic(&["init", "-q"]);
        far
    }

    fn restic(&self, args: &[&str]) -> String {
        let mut command = Command::new("restic");
        command.args(args).arg("--no-cache").env("RESTIC_REPOSITORY", &self.repository);
        let output = command.env("RESTIC_PASSWORD", PASSWORD).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Gives a namespace the Secret.
    fn open(&self, tenant: &Tenant, password: &str) {
        let data = json!({"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": password});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "export"}, "stringData": data});
        apply(&tenant.namespace, &secret);
    }

    /// Changes a byte in each of its packs.
    fn damage(&self) {
        let script = "find /srv/shop/data -type f -exec sh -c 'for it; do chmod u+w \"$it\"; printf x | dd of=\"$it\" bs=1 seek=9 conv=notrunc; done' sh {} +";
        self.tenant.kubectl(&["exec", "far", "--", "sh", "-c", script]);
    }
}

pub fn has_images() -> bool {
    has_image("restic/restic:0.14.0") && has_image("backup-ns/remotes:12")
}

/// Runs a command with the settings of the export, after which nothing of an import may be left.
fn run(tenant: &Tenant, args: &[&str]) -> Done {
    let settings = ["--export-image=restic/restic:0.14.0", "--export-secret=export"];
    let done = tenant.run(&[args, &settings].concat(), |_| ()).done();
    let left = tenant.kubectl(&["get", "jobs,pods,pvc,networkpolicies", "-l", "backup-ns.sh/import-job", "-o", "name"]);
    assert_eq!(left, "", "{}", done.stderr);
    assert!(!format!("{}{}", done.stdout, done.stderr).contains("hunter2"), "{} {}", done.stdout, done.stderr);
    done
}

fn json_of(done: &Done) -> Value {
    done.assert(0, &[]);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Deletes the namespace, and waits until it is gone.
fn remove(tenant: &Tenant) {
    kubectl(&["delete", "namespace", &tenant.namespace, "--wait", "--timeout=180s"]);
}

fn claims(tenant: &Tenant) -> String {
    tenant.kubectl(&["get", "pvc", "-o", "name"])
}

#[test]
#[ignore = "needs a cluster: make test"]
fn postgres_comes_back_with_its_roles_when_its_namespace_is_gone() {
    if !has_images() {
        return;
    }
    let far = Far::new("back");
    let old = Tenant::demo("gone");
    far.open(&old, PASSWORD);
    old.sql("CREATE ROLE reader LOGIN PASSWORD 'kept'; GRANT SELECT ON customers TO reader");
    let asked = "SELECT count(*), md5(string_agg(c::text, '|' ORDER BY id)) FROM customers c; \
                 SELECT count(*), sum(cents) FROM orders; SELECT has_table_privilege('reader', 'customers', 'SELECT'); \
                 SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'";
    let rows = old.sql(asked);
    old.backup(&[]);
    run(&old, &["export"]).assert(0, &[]);
    let name = old.namespace.clone();
    remove(&old);

    // A namespace of another name, with the application's manifests and an empty database.
    let new = Tenant::demo("anew");
    new.sql("DROP TABLE customers, orders CASCADE");
    far.open(&new, "wrong");
    run(&new, &["import"]).assert(4, &["RESTIC_PASSWORD"]);
    far.open(&new, PASSWORD);
    let list = json_of(&run(&new, &["import"]));
    let [copy] = &list.as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&copy["namespace"], &copy["claim"]), (&json!(name), &json!("data")));
    assert_eq!((&copy["databases"], &copy["files"]), (&json!(["postgres:app"]), &json!(2)));
    let none = run(&new, &["postgres", "restore", "--from-export=latest", "--yes"]);
    none.assert(4, &[&format!("no copy of {}/data", new.namespace)]);

    let of = format!("--of={name}/data");
    let load = ["postgres", "restore", "--from-export=latest", &of, "--globals", "--yes"];
    let plan = json_of(&run(&new, &[&load[..], &["--dry-run"]].concat()));
    assert_eq!(plan["dryRun"], true);
    assert_eq!(new.sql("SELECT to_regclass('customers') IS NULL"), "t", "a dry run loads nothing");
    let loaded = json_of(&run(&new, &load));
    assert_eq!((&loaded["id"], &loaded["roles"]), (&copy["id"], &json!(["reader"])));
    assert_eq!(new.sql(asked), rows);
    new.assert_unharmed();

    // The same copy as files in a claim.
    let id = copy["id"].as_str().unwrap();
    let filled = json_of(&run(&new, &["import", id, "--pvc=copy"]));
    assert_eq!(filled["files"].as_array().unwrap().len(), 3, "{filled}");
    let claim = new.get(&["pvc", "copy"]);
    assert!(claim["metadata"].get("ownerReferences").is_none(), "{claim}");
    run(&new, &["import", id, "--pvc=copy"]).assert(4, &["a claim copy already"]);

    // What is changed below restic is never loaded, and leaves no claim.
    far.damage();
    new.sql("DELETE FROM orders");
    run(&new, &["import", id, "--pvc=other"]).assert(8, &["restic check --read-data"]);
    run(&new, &load).assert(8, &["restic check --read-data"]);
    assert_eq!(new.sql("SELECT count(*) FROM orders"), "0");
    assert_eq!(claims(&new).lines().count(), 2, "{}", claims(&new));
    new.assert_unharmed();
}

#[test]
#[ignore = "needs a cluster: make test"]
fn mariadb_comes_back_with_its_accounts_when_its_namespace_is_gone() {
    if !has_images() {
        return;
    }
    let far = Far::new("mback");
    let old = Tenant::of("mgone", "mariadb.yaml");
    far.open(&old, PASSWORD);
    mariadb(&old, "CREATE USER reader@'%' IDENTIFIED BY 'kept'; GRANT SELECT ON app.customers TO reader@'%'");
    let asked = "CHECKSUM TABLE customers, orders, files EXTENDED; SHOW GRANTS FOR reader@'%'";
    let rows = mariadb(&old, asked);
    old.create(&["--db-mysql"]).done().assert(0, &[]);
    run(&old, &["export"]).assert(0, &[]);
    let name = old.namespace.clone();
    remove(&old);

    let new = Tenant::of("manew", "mariadb.yaml");
    mariadb(&new, "SET foreign_key_checks = 0; DROP TABLE customers, orders, files");
    far.open(&new, PASSWORD);
    let of = format!("--of={name}");
    let loaded = json_of(&run(&new, &["mysql", "restore", "--from-export=latest", &of, "--globals", "--yes"]));
    assert_eq!(loaded["tried"], true);
    assert_eq!(mariadb(&new, asked), rows);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_copy_is_tested_and_one_that_was_damaged_is_none_any_more() {
    if !has_images() {
        return;
    }
    let far = Far::new("tested");
    let tenant = Tenant::small("tested", 256, |_| ());
    far.open(&tenant, PASSWORD);
    let snapshot = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    let stamp = || {
        let meta = tenant.get(&["volumesnapshot", &snapshot])["metadata"].clone();
        let note = meta["annotations"]["backup-ns.sh/export"].as_str().unwrap_or("null");
        (meta["labels"].clone(), serde_json::from_str::<Value>(note).unwrap())
    };
    let test = ["verify", "--from-export"];
    run(&tenant, &test).assert(4, &["no copy that was read back", "backup-ns export"]);
    run(&tenant, &["export"]).assert(0, &[]);
    let found = json_of(&run(&tenant, &test));
    assert_eq!((&found["verdict"], &found["fromExport"]), (&json!("good"), &json!(true)));
    assert_eq!(found["databases"]["postgres"]["rows"], 1000);
    let (labels, record) = stamp();
    assert!(record["verified"].is_string() && labels["backup-ns.sh/exported"].is_string(), "{labels} {record}");
    assert!(labels.get("backup-ns.sh/verified").is_none(), "the snapshot itself was not tested: {labels}");
    assert_eq!(claims(&tenant).lines().count(), 1, "{}", claims(&tenant));

    far.open(&tenant, "wrong");
    run(&tenant, &test).assert(4, &["RESTIC_PASSWORD"]);
    assert_eq!(stamp(), (labels, record));
    far.open(&tenant, PASSWORD);
    far.damage();
    run(&tenant, &test).assert(8, &["the copy of VolumeSnapshot", "backup-ns export"]);
    let (labels, record) = stamp();
    assert!(labels.get("backup-ns.sh/exported").is_none() && record["bad"].is_string(), "{labels} {record}");
    assert!(
        tenant.get(&["volumesnapshot", &snapshot])["metadata"]["annotations"].get("backup-ns.sh/distrusted").is_none()
    );
    assert_eq!(claims(&tenant).lines().count(), 1, "{}", claims(&tenant));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn an_import_that_is_killed_leaves_no_claim() {
    if !has_images() {
        return;
    }
    let far = Far::new("mid");
    let tenant = Tenant::small("mid", 256, |_| ());
    far.open(&tenant, PASSWORD);
    tenant.backup(&[]);
    run(&tenant, &["export"]).assert(0, &[]);
    let args = ["import", "latest", "--pvc=copy", "--export-image=restic/restic:0.14.0", "--export-secret=export"];
    let mut killed = tenant.run(&args, |_| ());
    killed.until_says("step=\"claim\"");
    killed.signal("KILL");
    killed.done();
    assert_eq!(claims(&tenant).lines().count(), 2, "it was made: {}", claims(&tenant));
    until("the claim has gone with its Job", 180, || (claims(&tenant).lines().count() == 1).then_some(()));
    json_of(&run(&tenant, &["import", "latest", "--pvc=copy"]));
    assert!(tenant.get(&["pvc", "copy"])["metadata"].get("ownerReferences").is_none());
}
