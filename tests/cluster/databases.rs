//! MariaDB, both databases before one snapshot, and a snapshot without a dump, on the real cluster.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::Stop;
use crate::kit::*;

/// Asks the demo's MariaDB.
pub fn mariadb(tenant: &Tenant, statement: &str) -> String {
    let script =
        "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -BN --default-character-set=utf8mb4 app";
    let args = ["-n", &tenant.namespace, "exec", "-i", "deploy/app-base", "-c", "mysql", "--", "sh", "-c", script];
    let output = kubectl_with(&args, statement);
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_restored_snapshot_holds_mariadb_as_it_was_while_a_writer_kept_writing() {
    let tenant = Tenant::of("mariadb", "mariadb.yaml");
    mariadb(&tenant, "CREATE TABLE journal (n bigint PRIMARY KEY) ENGINE=InnoDB");
    let stop = AtomicBool::new(false);
    let (before, summary, after) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut next = 1;
            while !stop.load(Ordering::SeqCst) {
                let rows: String = (next..next + 50).map(|n| format!("INSERT INTO journal VALUES ({n});\n")).collect();
                mariadb(&tenant, &rows);
                next += 50;
            }
        });
        let _stop = Stop(&stop);
        let count = || mariadb(&tenant, "SELECT count(*) FROM journal").parse::<u64>().unwrap();
        until("the writer writes", 30, || (count() > 0).then_some(()));
        let before = count();
        let done = tenant.create(&["--db-mysql"]).done();
        assert!(done.status.success(), "{}", done.stderr);
        let after = count();
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap();
        (before, serde_json::from_str::<Value>(&done.stdout).unwrap(), after)
    });
    assert!(after > before, "the writer kept writing");
    let snapshot = summary["volumeSnapshot"].as_str().unwrap();
    let proof = &summary["dumps"]["mysql"];
    assert!(proof["tool"].as_str().unwrap().starts_with("mariadb-dump"), "{proof}");
    tenant.scratch_mariadb(snapshot);
    let file = format!("/restored/{}", proof["pathInVolume"].as_str().unwrap());
    let (_, sum) = tenant.scratch_sh(&format!("sha256sum {file} | cut -d ' ' -f 1"));
    assert_eq!(sum, proof["sha256"].as_str().unwrap(), "the snapshot holds the very file that was proven");
    let client = "mariadb -h127.0.0.1 -uroot -px -BN --default-character-set=utf8mb4 app";
    let (loaded, said) = tenant.scratch_sh(&format!("gzip -dc {file} | {client} --binary-mode"));
    assert!(loaded, "{said}");
    let ask = |statement: &str| {
        let args = ["-n", &tenant.namespace, "exec", "-i", "scratch", "--", "sh", "-c", client];
        let output = kubectl_with(&args, statement);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    for question in [
        "CHECKSUM TABLE customers, orders, files EXTENDED",
        "SELECT md5(group_concat(`select`, coalesce(`a column`, '<null>') ORDER BY `select` SEPARATOR '|')) FROM `odd; ta``ble $1 'é\"`",
        "SELECT count(*), sum(cents), spent_by(7) FROM spent",
    ] {
        assert_eq!(ask(question), mariadb(&tenant, question), "{question}");
    }
    let journal = ask("SELECT concat(count(*), '|', coalesce(max(n), 0)) FROM journal");
    let (count, max) = journal.split_once('|').unwrap();
    assert_eq!(count, max, "a prefix of the writer's transactions, none missing in between");
    let count: u64 = count.parse().unwrap();
    assert!((before..=after).contains(&count), "{before} <= {count} <= {after}");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn both_databases_are_dumped_before_one_snapshot() {
    let tenant = Tenant::small("both", 512, |deployment| {
        let pod = &mut deployment["spec"]["template"]["spec"];
        pod["containers"][0]["volumeMounts"][0]["subPath"] = json!("pg");
        let mysql = json!({
            "name": "mysql", "image": "mariadb:10.11", "imagePullPolicy": "IfNotPresent",
            "args": ["--ignore-db-dir=lost+found", "--innodb-log-file-size=10M"],
            "env": [{"name": "MARIADB_ROOT_PASSWORD", "value": "p w'$HOME"}, {"name": "MARIADB_DATABASE", "value": "app"}],
            "readinessProbe": {
                "exec": {"command": ["sh", "-c", "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb-admin -h127.0.0.1 -uroot ping"]},
                "periodSeconds": 1,
            },
            "volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql", "subPath": "my"}],
        });
        pod["containers"].as_array_mut().unwrap().push(mysql);
    });
    mariadb(&tenant, "CREATE TABLE held (n int); CREATE TABLE loose (n int) ENGINE=MyISAM");
    let done = tenant.create(&["--db-postgres", "--db-mysql"]).done();
    done.assert(0, &["loose"]);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().len(), 1);
    tenant.scratch(summary["volumeSnapshot"].as_str().unwrap());
    for (engine, path) in [("postgres", "pg/dump.sql.gz"), ("mysql", "my/dump.sql.gz")] {
        let proof = &summary["dumps"][engine];
        assert_eq!(proof["pathInVolume"], in_format(path));
        let (_, sum) = tenant.scratch_sh(&format!("sha256sum /restored/{path} | cut -d ' ' -f 1"));
        assert_eq!(sum, proof["sha256"].as_str().unwrap());
    }
    // Where one of them fails, nothing is snapshotted.
    let done = tenant.create(&["--db-postgres", "--db-mysql", "--db-mysql-user=nobody"]).done();
    done.assert(4, &["does not answer", "nobody"]);
    assert_eq!(tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().len(), 1);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_snapshot_without_a_dump_is_flushed() {
    let tenant = Tenant::volume("skip");
    let pod = |script: &str| tenant.kubectl(&["exec", "holder", "--", "sh", "-c", script]);
    // Written a moment ago, and not yet on its disk.
    let sum = pod("head -c 3000000 /dev/urandom >/data/fresh && sha256sum </data/fresh");
    let done = tenant.create(&["--db-skip"]).done();
    done.assert(0, &["flushed by 1 of 1"]);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(summary["dumps"], json!({}));
    tenant.scratch(summary["volumeSnapshot"].as_str().unwrap());
    assert_eq!(tenant.scratch_sh("sha256sum </restored/fresh"), (true, sum));
    // Without any pod it goes too.
    tenant.kubectl(&["delete", "pod", "holder"]);
    tenant.create(&["--db-skip"]).done().assert(0, &["no running pod mounts it"]);
}

/// Several databases of one server: what a backup of them holds, and that each comes back by itself. `setting` names `app`, `web`
/// and `hostile` among them; `ask` asks one of them.
fn several_come_back(tenant: &Tenant, engine: &str, setting: &str, hostile: &str, ask: &dyn Fn(&str, &str) -> String) {
    let with = format!("--db-{engine}-db={setting}");
    let run = |args: &[&str]| tenant.run(&[args, &[&with]].concat(), |_| ()).done();
    for (name, rows) in [("web", 3), (hostile, 5)] {
        let values = (0..rows).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
        ask(name, &format!("CREATE TABLE only_here (n int); INSERT INTO only_here VALUES {values}"));
    }
    let doctor = run(&["doctor", &format!("--db-{engine}")]);
    let checks: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let checks = checks["checks"].as_array().unwrap();
    let answers = checks.iter().filter(|check| check["check"] == "database").map(|check| check["outcome"] == "passed");
    assert!(answers.clone().count() > 2 && answers.clone().all(|passed| passed), "{}", doctor.stdout);
    let done = tenant.create(&[&format!("--db-{engine}"), &with]).done();
    done.assert(0, &[]);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    let snapshot = summary["volumeSnapshot"].as_str().unwrap();
    let proof = &summary["dumps"][engine];
    let more = proof["more"].as_array().unwrap();
    let of = |name: &str| more.iter().find(|proof| proof["database"] == name).unwrap();
    assert_eq!(proof["database"], "app");
    let path = |proof: &Value| proof["pathInVolume"].as_str().unwrap().rsplit('/').next().unwrap().to_string();
    assert_eq!((path(proof), path(of("web"))), (in_format("dump.sql.gz"), in_format("dump.db-web.sql.gz")));
    assert!(path(of(hostile)).contains("%2F%2E%2E%2F"), "{}", path(of(hostile)));
    assert!(more.iter().all(|proof| proof["globals"].is_object()), "{proof}");

    // One of them comes back, and the others stay as they are now.
    for name in ["web", hostile] {
        ask(name, "DELETE FROM only_here");
    }
    run(&[engine, "restore", "--yes"]).assert(2, &["names several databases", hostile]);
    run(&[engine, "restore", "--yes", &format!("--database={hostile}")]).assert(0, &[]);
    let count = |name: &str| ask(name, "SELECT count(*) FROM only_here");
    assert_eq!((count(hostile), count("web")), ("5".into(), "0".into()));
    run(&[engine, "restore", "--yes", "--database", "web"]).assert(0, &[]);
    assert_eq!(count("web"), "3");
    // One that is lost altogether is made first.
    ask("app", "DROP DATABASE web");
    run(&[engine, "restore", "--yes", "--database", "web"])
        .assert(4, &["the server has no database web", "CREATE DATABASE"]);
    ask("app", "CREATE DATABASE web");
    run(&[engine, "restore", "--yes", "--database", "web"]).assert(0, &[]);
    assert_eq!(count("web"), "3");
    let info = run(&[engine, "info", &format!("--database={hostile}")]);
    info.assert(0, &[]);
    let info: Value = serde_json::from_str(&info.stdout).unwrap();
    assert_eq!((&info["database"]["name"], &info["dump"]["sha256"]), (&json!(hostile), &of(hostile)["sha256"]));

    // A restore test of one says nothing of the others.
    let stamped =
        || tenant.get(&["volumesnapshot", snapshot])["metadata"]["labels"]["backup-ns.sh/verified"].is_string();
    let done = tenant.run(&["verify", snapshot, &format!("--database={hostile}")], |_| ()).done();
    done.assert(0, &["is not stamped, because not all of its databases were tested"]);
    let rows = |facts: &Value| (facts["database"].clone(), facts["rows"].clone());
    let one: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(rows(&one["databases"][engine]), (json!(hostile), json!(5)));
    assert!(!stamped());
    let done = tenant.run(&["verify", snapshot], |_| ()).done();
    done.assert(0, &[]);
    let all: Value = serde_json::from_str(&done.stdout).unwrap();
    let found: Vec<_> = all["databases"][engine]["more"].as_array().unwrap().iter().map(rows).collect();
    assert_eq!(found.len(), more.len());
    assert!(found.contains(&(json!(hostile), json!(5))) && found.contains(&(json!("web"), json!(3))), "{found:?}");
    assert!(stamped());
    tenant
        .run(&["verify", snapshot, "--database", "gone"], |_| ())
        .done()
        .assert(4, &["no proven dump of the database 'gone'"]);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn all_databases_of_a_postgresql_are_in_one_snapshot_and_each_comes_back() {
    let tenant = Tenant::small("many-pg", 256, |_| ());
    let hostile = "-d a/../b 'c', \"d\" ü $HOME %s=x";
    for name in ["web", hostile] {
        tenant.sql(&format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")));
    }
    tenant.sql("CREATE DATABASE closed ALLOW_CONNECTIONS false");
    let ask = |name: &str, statement: &str| {
        let script =
            "PGPASSWORD=$POSTGRES_PASSWORD PGDATABASE=$1 exec psql -h 127.0.0.1 -U app -XAtq -v ON_ERROR_STOP=1";
        let exec = ["exec", "-i", "deploy/app-base", "-c", "postgres", "--", "sh", "-c", script, "sh", name];
        let output = kubectl_with(&[&["-n", &tenant.namespace], &exec[..]].concat(), statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    several_come_back(&tenant, "postgres", "*", hostile, &ask);
    tenant.assert_unharmed();
}

#[test]
#[ignore = "needs a cluster: make test"]
fn several_databases_of_a_mariadb_are_in_one_snapshot_and_each_comes_back() {
    let tenant = Tenant::of("many-maria", "mariadb.yaml");
    let hostile = "-d a/../b 'c' \"d\" ü $HOME %s=x";
    for name in ["web", hostile] {
        mariadb(&tenant, &format!("CREATE DATABASE `{name}`"));
    }
    let ask = |name: &str, statement: &str| mariadb(&tenant, &format!("USE `{name}`; {statement}"));
    several_come_back(&tenant, "mysql", &format!("${{MYSQL_DATABASE}}, web,{hostile}"), hostile, &ask);
    let done = tenant.create(&["--db-mysql", "--db-mysql-db=*"]).done();
    done.assert(0, &[]);
    let summary: Value = serde_json::from_str(&done.stdout).unwrap();
    let proof = &summary["dumps"]["mysql"];
    let more = proof["more"].as_array().unwrap().iter().map(|proof| proof["database"].as_str().unwrap());
    assert_eq!((proof["database"].as_str().unwrap(), more.collect::<Vec<_>>()), ("app", vec![hostile, "web"]));
}
