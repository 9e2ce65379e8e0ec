//! A database without a container in the namespace: a client pod of docs/databases.md makes the dump over the network.

use serde_json::{Value, json};

use crate::kit::*;

/// The manifest of the document, with another image, applied in a namespace of its own.
fn client_pod(name: &str, image: &str, server: &Tenant) -> Tenant {
    let documents = std::fs::read_to_string(root().join("docs/databases.md")).unwrap();
    let section = documents.split("\n## A database outside of the namespace\n").nth(1).unwrap();
    let manifest = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let client = Tenant::empty(name);
    let secret = server.get(&["secret", "app-base"]);
    let copy = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database"}, "data": secret["data"]});
    apply(&client.namespace, &copy);
    let manifest = manifest.replace("image: postgres:15", &format!("image: {image}")).replace("10Gi", "512Mi");
    let output = kubectl_with(&["-n", &client.namespace, "apply", "-f", "-"], &manifest);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    client.kubectl(&["rollout", "status", "deployment/database-client", "--timeout=180s"]);
    client
}

fn goes_there_and_back(engine: &str, image: &str, count: &str) {
    let server = Tenant::of(&format!("far-{engine}"), if engine == "mysql" { "mariadb.yaml" } else { "postgres.yaml" });
    let host = server.kubectl(&["get", "pods", "-l", "app=app-base", "-o", "jsonpath={.items[0].status.podIP}"]);
    let client = client_pod(&format!("near-{engine}"), image, &server);
    let upper = engine.to_ascii_uppercase();
    let run = |args: &[&str]| {
        client.run(args, |command| {
            command.env("BAK_PVC_NAME", "backup").env(format!("BAK_DB_{upper}"), "true");
            for (name, value) in [
                ("HOST", host.as_str()),
                ("EXEC_RESOURCE", "deployment/database-client"),
                ("EXEC_CONTAINER", "client"),
                ("DUMP_FILE", &in_format("/backup/dump.sql.gz")),
            ] {
                command.env(format!("BAK_DB_{upper}_{name}"), value);
            }
        })
    };
    let good = |args: &[&str]| -> Value {
        let done = run(args).done();
        assert!(done.status.success(), "{args:?}: {}\n{}", done.stderr, done.stdout);
        serde_json::from_str(&done.stdout).unwrap_or_default()
    };
    let sql = |statement: &str| {
        let done = std::process::Command::new("sh")
            .args([
                "-c",
                "printf %s \"$1\" | kubectl -n \"$2\" exec -i deploy/app-base -c \"$3\" -- sh -c \"$4\"",
                "sh",
            ])
            .args([statement, &server.namespace, engine])
            .arg(match engine {
                "mysql" => "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -BN app",
                _ => "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1",
            })
            .output()
            .unwrap();
        assert!(done.status.success(), "{statement}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_string()
    };
    let before = sql(count);
    let checks = good(&["doctor"]);
    let failed = |check: &&Value| check["outcome"] == "failed";
    assert_eq!(checks["checks"].as_array().unwrap().iter().filter(failed).count(), 0, "{checks:#}");
    let made = good(&["create"]);
    let proof = &made["dumps"][engine];
    assert_eq!(
        (&proof["pathInVolume"], &proof["globals"]["passwords"]),
        (&json!(in_format("dump.sql.gz")), &json!(true))
    );
    let info = good(&[engine, "info"]);
    assert_eq!(
        info["dump"]["provenBy"],
        format!("VolumeSnapshot {}", made["volumeSnapshot"].as_str().unwrap()),
        "{info}"
    );
    sql("DELETE FROM orders WHERE id > 100; DROP VIEW spent");
    assert!(sql("SELECT count(*) FROM orders") == "100");
    good(&[engine, "restore", "--yes"]);
    assert_eq!(sql(count), before);
    let found = good(&["verify"]);
    assert_eq!(
        (&found["verdict"], &found["databases"][engine]["physical"]),
        (&json!("good"), &json!(false)),
        "{found}"
    );
    // There is no data directory in the volume.
    let physical = run(&["verify", "--verify-physical"]).done();
    assert!(physical.stdout.contains("\"verdict\": \"none\""), "{} {}", physical.stdout, physical.stderr);
    physical.assert(1, &["no data directory is in the volume"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_database_in_another_namespace_is_backed_up_by_a_client_pod() {
    goes_there_and_back(
        "postgres",
        "postgres:15",
        "SELECT count(*), sum(cents) FROM orders; SELECT count(*) FROM spent",
    );
    goes_there_and_back(
        "mysql",
        "mariadb:10.11",
        "SELECT count(*), sum(cents) FROM orders; SELECT count(*) FROM spent",
    );
}
