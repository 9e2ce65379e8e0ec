//! Restore tests on the real cluster: good backups are stamped, bad ones are caught, and nothing is left.

use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

const LABEL: &str = "backup-ns.sh/verify";

/// What a restore test may leave: its Job, pod, claim and NetworkPolicy.
fn left(tenant: &Tenant) -> String {
    tenant.kubectl(&["get", "jobs,pods,pvc,networkpolicies", "-l", LABEL, "-o", "name"])
}

fn verify(tenant: &Tenant, args: &[&str]) -> Done {
    let done = tenant.run(&[&["verify"], args].concat(), |_| ()).done();
    assert_eq!(left(tenant), "", "{}", done.stderr);
    done
}

fn result(done: &Done) -> Value {
    done.assert(0, &[]);
    serde_json::from_str(&done.stdout).unwrap()
}

/// What is written on the snapshot: the label, the annotation, and why it is distrusted.
fn stamp(tenant: &Tenant, snapshot: &str) -> (Value, Value, Value) {
    let meta = tenant.get(&["volumesnapshot", snapshot])["metadata"].clone();
    let note = meta["annotations"]["backup-ns.sh/verification"].as_str().unwrap_or("null");
    let note = serde_json::from_str(note).unwrap();
    (meta["labels"]["backup-ns.sh/verified"].clone(), note, meta["annotations"]["backup-ns.sh/distrusted"].clone())
}

/// A snapshot with proofs of our own making: `change` makes a file of the dump's text, `database` is what its proof names.
struct Forged<'a> {
    tenant: &'a Tenant,
    engine: &'static str,
    container: &'static str,
    folder: &'static str,
    snapshot: &'static str,
    proof: Value,
}

impl Forged<'_> {
    fn sh(&self, script: &str) -> String {
        self.tenant.kubectl(&["exec", "deploy/app-base", "-c", self.container, "--", "sh", "-c", script])
    }

    /// Makes the file `name` in the volume by a script that reads the dump as text and writes a file; its proof.
    fn file(&self, name: &str, script: &str) -> (String, Value) {
        let folder = self.folder;
        self.sh(&format!("cd {folder} && gzip -dc dump.sql.gz | {{ {script}; }} >{name}.gz && sync"));
        let sum = self.sh(&format!("sha256sum <{folder}/{name}.gz | cut -d ' ' -f 1"));
        let bytes: u64 = self.sh(&format!("wc -c <{folder}/{name}.gz")).parse().unwrap();
        let mut proof = self.proof.clone();
        // The file of the roles lies beside the dump, and not beside this file.
        proof.as_object_mut().unwrap().remove("globals");
        for (key, value) in
            [("pathInVolume", json!(in_format(&format!("{name}.gz")))), ("sha256", json!(sum)), ("bytes", json!(bytes))]
        {
            proof[key] = value;
        }
        (name.to_string(), proof)
    }

    /// Verifies the snapshot with this proof on it, which must turn out bad.
    fn caught(&self, proof: &Value, why: &str) {
        let annotation = format!("backup-ns.sh/dump-{}={proof}", self.engine);
        self.tenant.kubectl(&["annotate", "--overwrite", "volumesnapshot", self.snapshot, &annotation]);
        let done = verify(self.tenant, &[self.snapshot]);
        done.assert(8, &[why]);
        let (label, note, distrusted) = stamp(self.tenant, self.snapshot);
        assert_eq!((&label, &note["verdict"]), (&Value::Null, &json!("bad")), "{why}");
        assert!(note["why"].as_str().unwrap().contains(why), "{note}");
        assert_eq!(distrusted, json!(format!("verify: {}", note["why"].as_str().unwrap())));
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_good_backup_of_postgres_is_stamped_until_a_question_says_otherwise() {
    let tenant = Tenant::small("verify", 256, |_| ());
    tenant.sql(
        r#"CREATE ROLE "Odd; ""Role"; CREATE ROLE reader; GRANT SELECT ON gate TO reader;
        CREATE TABLE "odd
        name" (a text); -- a name over two lines is loaded, but not counted
        DROP TABLE "odd
        name";
        CREATE TABLE "a ""b"" (c) 'd' $1" (t text);
        INSERT INTO "a ""b"" (c) 'd' $1" VALUES (E'COPY x (a) FROM stdin;\n\\.\n'), (NULL), ('\.');
        ALTER DEFAULT PRIVILEGES FOR ROLE "Odd; ""Role" GRANT SELECT ON TABLES TO reader;
        CREATE POLICY p ON gate TO reader, "Odd; ""Role" USING (n > 0);
        CREATE TABLE parts (n int) PARTITION BY RANGE (n);
        CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
        INSERT INTO parts VALUES (1), (2);
        CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT $x$
COPY a FROM stdin;
GRANT x TO y;
$x$ $$"#,
    );
    let first = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();
    let newest = tenant.backup(&[])["volumeSnapshot"].as_str().unwrap().to_string();

    // A dry run says what would be made, and makes nothing.
    let plan = result(&verify(&tenant, &["--dry-run"])).to_string();
    assert!(plan.contains("\"kind\":\"Job\"") && plan.contains("patch volumesnapshots"), "{plan}");
    assert_eq!(stamp(&tenant, &newest).0, Value::Null);

    let found = result(&verify(&tenant, &["--verify-physical", "--verify-sql=SELECT count(*) = 1000 FROM gate"]));
    assert_eq!((&found["volumeSnapshot"], &found["verdict"]), (&json!(newest), &json!("good")));
    let facts = &found["databases"]["postgres"];
    assert_eq!((&facts["tables"], &facts["rows"]), (&json!(3), &json!(1005)));
    assert_eq!((&facts["query"], &facts["physical"]), (&json!(true), &json!(true)));
    let (label, note, distrusted) = stamp(&tenant, &newest);
    assert!(label.as_str().is_some_and(|day| day.len() == 10), "{label}");
    assert_eq!((&note["verdict"], &note["rows"], &note["sql"]), (&json!("good"), &json!(1005), &json!(true)));
    assert_eq!((stamp(&tenant, &first).0, distrusted), (Value::Null, Value::Null));

    // A query without an answer is no verdict.
    let before = stamp(&tenant, &newest);
    let done = verify(&tenant, &[&newest, "--verify-sql=SELECT * FROM nowhere"]);
    done.assert(1, &["does not take the query", "relation \"nowhere\" does not exist", "correct the query"]);
    assert_eq!(stamp(&tenant, &newest), before);

    for query in ["SELECT count(*) = 7 FROM gate", "SELECT true UNION ALL SELECT true"] {
        let done = verify(&tenant, &[&newest, &format!("--verify-sql={query}")]);
        done.assert(8, &["the query", "is bad", &format!("until another verify of {newest} finds it good")]);
        assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["verdict"], "bad");
        let (label, note, distrusted) = stamp(&tenant, &newest);
        assert_eq!((label, &note["verdict"]), (Value::Null, &json!("bad")));
        assert!(distrusted.as_str().is_some_and(|why| why.starts_with("verify: the query")), "{distrusted}");
    }
    // What a restore test distrusted, a better one trusts again; what others distrusted stays so.
    result(&verify(&tenant, &[&newest]));
    assert_eq!(stamp(&tenant, &newest).2, Value::Null);
    tenant.kubectl(&["annotate", "volumesnapshot", &newest, "backup-ns.sh/distrusted=replaced"]);
    result(&verify(&tenant, &[&newest]));
    assert_eq!(stamp(&tenant, &newest).2, "replaced");

    // Where the class keeps volumes, this one goes all the same.
    let class = format!("verify-{:x}", std::process::id());
    let keeps = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
        "provisioner": "csi-local.backup-ns.sh", "reclaimPolicy": "Retain",
    });
    apply(&tenant.namespace, &keeps);
    let claim =
        json!({"name": "data", "storageClassName": class, "accessModes": ["ReadWriteOnce"], "storage": "256Mi"});
    tenant.kubectl(&["annotate", "--overwrite", "volumesnapshot", &first, &format!("backup-ns.sh/claim={claim}")]);
    let done = verify(&tenant, &[&first]);
    kubectl(&["delete", "storageclass", &class]);
    result(&done);
    let volumes = || {
        let all = tenant.get(&["pv"]);
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|volume| volume["spec"]["storageClassName"] == class.as_str())
            .count()
    };
    until("its volume is gone", 30, || (volumes() == 0).then_some(()));

    // What the surroundings fail at says nothing about the backup, and stamps nothing.
    let before = stamp(&tenant, &first);
    verify(&tenant, &[&first, "--verify-timeout=1s"]).assert(1, &["BAK_VERIFY_TIMEOUT"]);
    verify(&tenant, &["no-such-snapshot"]).assert(4, &["no VolumeSnapshot 'no-such-snapshot'"]);
    verify(&tenant, &["--pvc-name=other"]).assert(4, &["no ready VolumeSnapshot of the PVC 'other'"]);
    assert_eq!(stamp(&tenant, &first), before);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_bad_dump_of_postgres_is_caught() {
    let tenant = Tenant::small("verifybad", 256, |_| ());
    tenant.backup(&[]);
    let proof =
        tenant.get(&["volumesnapshots"])["items"][0]["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].clone();
    let proof: Value = serde_json::from_str(proof.as_str().unwrap()).unwrap();
    let folder = "/var/lib/postgresql/data";
    let forged = Forged {
        tenant: &tenant,
        engine: "postgres",
        container: "postgres",
        folder,
        snapshot: "forged",
        proof: proof.clone(),
    };
    let files = [
        // Half of the text, well compressed.
        (forged.file("truncated", "head -n 40 | gzip"), "does not end as a complete one"),
        // All of the text, badly compressed.
        (forged.file("cut", "gzip >whole; head -c -9 whole"), "does not test whole"),
        (forged.file("broken", "sed 's/^COPY public.gate/CPY public.gate/' | gzip"), "cannot be loaded"),
        (
            forged.file("fewer", "sed 's/^\\\\\\.$/&\\nDELETE FROM public.gate WHERE n = 7;/' | gzip"),
            "does not hold the rows",
        ),
    ];
    let refused = forged.file("refused", "sed 's/^COPY public.gate/COPY public.gone/' | gzip");
    // The dump of another database, whole, where the proven one was; and flipped bytes.
    tenant.sql("CREATE DATABASE other");
    forged.sh(&format!(
        "cd {folder} && PGPASSWORD=$POSTGRES_PASSWORD pg_dump -h 127.0.0.1 -U app other | gzip >other.gz"
    ));
    forged.sh(&format!("cd {folder} && cp dump.sql.gz flipped.gz && printf xx | dd of=flipped.gz bs=1 seek=500 conv=notrunc 2>/dev/null && sync"));
    tenant.snapshot("forged", &json!({}));
    verify(&tenant, &["forged"]).assert(4, &["no proven dump", "--verify-physical"]);

    for ((_, proof), why) in &files {
        forged.caught(proof, why);
    }
    let elsewhere = |path: &str, bytes: &Value| {
        let mut proof = proof.clone();
        proof["pathInVolume"] = json!(path);
        proof["bytes"] = bytes.clone();
        proof
    };
    // What another server might take is no verdict, and stamps nothing.
    let before = stamp(&tenant, "forged");
    let annotation = format!("backup-ns.sh/dump-postgres={}", refused.1);
    tenant.kubectl(&["annotate", "--overwrite", "volumesnapshot", "forged", &annotation]);
    let done = verify(&tenant, &["forged", "-o", "json"]);
    done.assert(1, &["could not take the dump", "no verdict, and nothing was stamped"]);
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["verdict"], "none");
    assert_eq!(stamp(&tenant, "forged"), before);
    forged.caught(&elsewhere("flipped.gz", &proof["bytes"]), "SHA-256");
    let size: u64 = forged.sh(&format!("wc -c <{folder}/other.gz")).parse().unwrap();
    forged.caught(&elsewhere("other.gz", &proof["bytes"]), "bytes, the proof says");
    forged.caught(&elsewhere("other.gz", &json!(size)), "SHA-256");
    forged.caught(&elsewhere("gone.gz", &proof["bytes"]), "not there");
    // It holds no slot any more, and with its proof right again it is good again.
    forged.tenant.kubectl(&[
        "annotate",
        "--overwrite",
        "volumesnapshot",
        "forged",
        &format!("backup-ns.sh/dump-postgres={proof}"),
    ]);
    result(&verify(&tenant, &["forged"]));
    // Without a proof the data directory alone is looked at.
    tenant.kubectl(&["annotate", "volumesnapshot", "forged", "backup-ns.sh/dump-postgres-"]);
    let found = result(&verify(&tenant, &["forged", "--verify-physical"]));
    assert_eq!(found["databases"]["postgres"]["physical"], true);
    assert!(found["databases"]["postgres"].get("database").is_none(), "{found}");
    // A directory that holds no data directory is bad.
    forged.sh(&format!(
        "cd {folder} && mkdir -p a/global a/base && echo 15 >a/PG_VERSION && chown -R postgres a && sync"
    ));
    tenant.snapshot("hollow", &json!({}));
    verify(&tenant, &["hollow", "--verify-physical"]).assert(8, &["does not start"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn mariadb_with_all_its_quotes_is_verified_and_the_wrong_database_is_caught() {
    let tenant = Tenant::of("verifymy", "mariadb.yaml");
    let sql = r#"CREATE TABLE nasty (id int PRIMARY KEY, a text, b int AS (id + 1), `c ) VALUES (` text);
        INSERT INTO nasty (id, a, `c ) VALUES (`) VALUES (1, 'a''b(c)\\', ');'), (2, '\\''(', NULL), (3, ''',\n(4,''x''),;\n(', '\\\\''),('),
            (5, 'INSERT INTO `x` VALUES (1);\n-- Dump completed', '\\\''), (6, '\0\r\n\Z', ');\n'), (7, '"(`)`;', ';');
        CREATE TABLE nothing (n int);
        DELIMITER ;;
        CREATE PROCEDURE p() BEGIN
INSERT INTO `nasty` (id) VALUES
(99);
END;;
        DELIMITER ;
        CREATE DATABASE other;"#;
    let script =
        "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -BN --default-character-set=utf8mb4 app";
    let args = ["-n", &tenant.namespace, "exec", "-i", "deploy/app-base", "-c", "mysql", "--", "sh", "-c", script];
    let output = kubectl_with(&args, sql);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let done = tenant.create(&["--db-mysql"]).done();
    done.assert(0, &[]);
    let found = result(&verify(&tenant, &["--verify-physical", "--verify-sql=SELECT count(*) = 6 FROM nasty"]));
    let facts = &found["databases"]["mysql"];
    // The seed's: 50,000, 249,990, 8 and 1.
    assert_eq!((&facts["tables"], &facts["rows"]), (&json!(6), &json!(300_005)));
    assert_eq!((&facts["query"], &facts["physical"]), (&json!(true), &json!(true)));

    let snapshot = &serde_json::from_str::<Value>(&done.stdout).unwrap()["volumeSnapshot"];
    let annotations = tenant.get(&["volumesnapshot", snapshot.as_str().unwrap()])["metadata"]["annotations"].clone();
    let proof = serde_json::from_str(annotations["backup-ns.sh/dump-mysql"].as_str().unwrap()).unwrap();
    let folder = "/var/lib/mysql";
    let forged = Forged { tenant: &tenant, engine: "mysql", container: "mysql", folder, snapshot: "forged", proof };
    let dump = "cat >/dev/null; MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb-dump -h127.0.0.1 -uroot other | gzip";
    let other = forged.file("other", dump).1;
    let fewer = forged
        .file("fewer", "sed 's/^.*ALTER TABLE `nasty` ENABLE KEYS.*$/&\\nDELETE FROM `nasty` WHERE id = 7;/' | gzip")
        .1;
    let truncated = forged.file("truncated", "head -n 3000 | gzip").1;
    tenant.snapshot("forged", &json!({}));
    forged.caught(&other, "is of the database 'other'");
    forged.caught(&fewer, "does not hold the rows of the dump: `nasty`");
    forged.caught(&truncated, "does not end as a complete one");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn nothing_is_left_of_a_restore_test_that_is_ended_or_killed() {
    let tenant = Tenant::small("verifykill", 256, |_| ());
    tenant.backup(&[]);
    let begin = || {
        let mut running = tenant.run(&["verify", "--verify-sql=SELECT pg_sleep(300) IS NULL"], |_: &mut Command| ());
        running.until_says("step=\"count\"");
        running
    };
    let running = begin();
    let made = left(&tenant);
    for kind in ["job.batch/", "pod/", "persistentvolumeclaim/", "networkpolicy.networking.k8s.io/"] {
        assert!(made.contains(kind), "{made}");
    }
    let pod = tenant.get(&["pods", "-l", LABEL])["items"][0].clone();
    assert!(!pod.to_string().contains("kube-api-access"), "it has a token: {pod}");
    running.signal("TERM");
    let done = running.done();
    done.assert(143, &[]);
    assert_eq!(left(&tenant), "", "{}", done.stderr);

    let killed = begin();
    killed.signal("KILL");
    killed.done();
    until("everything goes by itself", 110, || left(&tenant).is_empty().then_some(()));
    let snapshot = tenant.snapshots().remove(0);
    assert_eq!(stamp(&tenant, &snapshot), (Value::Null, Value::Null, Value::Null));
}
