//! The pieces of a backup by hand.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::TABLES;
use crate::kit::*;

const PROOF: &str = "backup-ns.sh/dump-postgres";

/// A command that must succeed; its result.
fn told(tenant: &Tenant, args: &[&str]) -> Value {
    let done = tenant.run(args, |_| ()).done();
    assert!(done.status.success(), "{args:?}: {}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// Runs it with something on stdin.
fn fed(tenant: &Tenant, args: &[&str], input: &str, env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-ns"));
    command.args(["-n", &tenant.namespace]).args(args).envs(env.iter().copied()).envs(format_settings());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs it on a terminal, where `input` is typed; its status and what the terminal shows.
fn typed(tenant: &Tenant, args: &str, input: &str) -> (Option<i32>, String) {
    let line = format!("{} -n {} {args}", env!("CARGO_BIN_EXE_backup-ns"), tenant.namespace);
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).envs(format_settings()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("script, of util-linux");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Replaces the dump by what a filter makes of it, and notes a proof of that on the claim if it is to be `proven`.
fn tamper(tenant: &Tenant, container: &str, file: &str, annotation: &str, filter: &str, proven: bool) {
    let script =
        format!("{{ {filter}; }} <{file} >{file}.new && mv {file}.new {file} && wc -c <{file} && sha256sum <{file}");
    let said = tenant.kubectl(&["exec", "deploy/app-base", "-c", container, "--", "sh", "-c", &script]);
    if proven {
        let claim = tenant.get(&["pvc", "data"]);
        let mut proof: Value =
            serde_json::from_str(claim["metadata"]["annotations"][annotation].as_str().unwrap()).unwrap();
        let words: Vec<&str> = said.split_whitespace().collect();
        proof["bytes"] = json!(words[0].parse::<u64>().unwrap());
        proof["sha256"] = json!(words[1]);
        tenant.kubectl(&["annotate", "--overwrite", "pvc", "data", &format!("{annotation}={proof}")]);
    }
}

/// What processes and files of backup-ns are left in the database's container; waits for it to be nothing.
fn assert_nothing_left(tenant: &Tenant) {
    let left = || {
        tenant.sh(
            "pgrep -lf '[p]sql --no-psqlrc|[g]zip -|[a]wk '; ls -d /var/lib/postgresql/data/*backup-ns* 2>/dev/null",
        )
    };
    until("nothing is left in the container", 15, || left().is_empty().then_some(()));
    tenant.assert_unharmed();
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_by_hand_brings_postgresql_back_and_a_bad_one_leaves_it_as_it_is() {
    let tenant = Tenant::demo("hand-pg");
    let restore = |args: &[&str]| tenant.run(&[&["postgres", "restore"], args].concat(), |_| ()).done();
    restore(&["--force"]).assert(4, &["there is no dump"]);
    let summary = told(&tenant, &["postgres", "dump"]);
    let proof = &summary["proof"];
    assert_eq!((summary["noted"].as_bool(), proof["sha256"].as_str().unwrap()), (Some(true), tenant.sum().as_str()));
    let noted = tenant.get(&["pvc", "data"])["metadata"]["annotations"][PROOF].clone();
    assert_eq!(&serde_json::from_str::<Value>(noted.as_str().unwrap()).unwrap(), proof);
    assert_eq!(tenant.snapshots().len(), 0);

    let answers = || TABLES.map(|question| tenant.sql(question));
    let good = answers();
    tenant.sql("DROP TABLE orders CASCADE; DELETE FROM customers; SELECT lo_unlink(424242); CREATE TABLE more (n int)");
    restore(&[]).assert(2, &["overwritten", "as it is now", "confirmation is needed", "--yes"]);
    let dry = told(&tenant, &["postgres", "restore", "--dry-run"]);
    assert_eq!(dry["dryRun"], true);
    assert_eq!(tenant.sql("SELECT count(*) FROM customers"), "0", "nothing was loaded");
    let done = told(&tenant, &["postgres", "restore", "--yes"]);
    assert_eq!(done["sha256"], proof["sha256"]);
    assert_eq!(answers(), good);
    assert_eq!(tenant.sql("SELECT count(*) FROM more"), "0", "what is not in the dump stays");
    // What is not in the dump and depends on it goes only if that is said.
    tenant.sql("CREATE VIEW late AS SELECT * FROM orders; DELETE FROM orders WHERE id > 9");
    let changed = answers();
    restore(&["--yes"]).assert(4, &["would be dropped: view public.late", "use --force", "the database is as it was"]);
    assert_eq!(answers(), changed);
    assert_nothing_left(&tenant);
    told(&tenant, &["postgres", "restore", "--force"]);
    assert_eq!((answers(), tenant.sql("SELECT to_regclass('late') IS NULL").as_str()), (good.clone(), "t"));

    // A load that fails behind the large objects, which pg_dump puts into a transaction of their own.
    tenant.sql("DELETE FROM orders WHERE id % 2 = 0; SELECT lo_put(424242, 7, 'changed')");
    let changed = answers();
    let tamper = |filter: &str, proven| tamper(&tenant, "postgres", DUMP, PROOF, filter, proven);
    tamper("gzip -dc | sed 's/ADD CONSTRAINT orders_pkey PRIMARY KEY (id)/ADD PRIMARY KEY (nope)/' | gzip -c", true);
    restore(&["--force"]).assert(1, &["nope", "the database is as it was"]);
    assert_eq!(answers(), changed);
    assert_nothing_left(&tenant);
    // Bytes that were not proven, and proven ones that are no whole dump.
    tamper("gzip -dc | sed 's/Customer 7/Customer 8/' | gzip -c", false);
    restore(&["--force"]).assert(6, &["is not proven"]);
    tamper("gzip -dc | head -n -9 | gzip -c", true);
    restore(&["--force"]).assert(6, &["does not end as a complete dump"]);
    tamper("head -c 9999", true);
    restore(&["--force"]).assert(6, &["does not test whole"]);
    assert_eq!(answers(), changed);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_restore_that_is_ended_leaves_the_database_as_it_was() {
    let tenant = Tenant::small("hand-end", 256, |_| ());
    let snapshot = tenant.backup(&[]);
    // The proof on a snapshot of the claim is as good as one on the claim.
    let info = told(&tenant, &["postgres", "info"]);
    let by = format!("VolumeSnapshot {}", snapshot["volumeSnapshot"].as_str().unwrap());
    assert_eq!(info["dump"]["provenBy"], json!(by));
    tenant.sql("INSERT INTO gate VALUES (-1)");
    for signal in ["TERM", "KILL"] {
        let gate = tenant.gate();
        let restore = tenant.run(&["postgres", "restore", "--force"], |_| ());
        let waits =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backup-ns' AND wait_event_type = 'Lock'";
        until("the load waits for the table", 30, || (tenant.sql(waits) == "1").then_some(()));
        // Neither may a backup replace the dump meanwhile, nor dump what is loaded by half.
        tenant.create(&[]).done().assert(5, &["another backup"]);
        restore.signal(signal);
        let done = restore.done();
        if signal == "TERM" {
            done.assert(143, &["the database is as it was"]);
        }
        assert_nothing_left(&tenant);
        let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backup-ns'";
        until("the server ends it, too", 15, || (tenant.sql(open) == "0").then_some(()));
        drop(gate);
        assert_eq!(tenant.sql("SELECT count(*), min(n) FROM gate"), "1001|-1", "{signal}");
    }
    told(&tenant, &["postgres", "restore", "--force"]);
    assert_eq!(tenant.sql("SELECT count(*), min(n) FROM gate"), "1000|1");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_by_hand_brings_mariadb_back_and_a_bad_one_is_not_tried_on_the_real_schema() {
    let tenant = Tenant::of("hand-my", "mariadb.yaml");
    let ask = |statement: &str| {
        let output = fed(&tenant, &["mysql", "shell"], statement, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // What runs by itself must not run in the schema that the dump is tried in.
    ask("CREATE TABLE ran (n int); SET GLOBAL event_scheduler = ON;
         CREATE EVENT e ON SCHEDULE EVERY 1 SECOND STARTS '2000-01-01' DISABLE DO INSERT INTO app.ran VALUES (1);");
    told(&tenant, &["mysql", "dump"]);
    let answers =
        || ask("CHECKSUM TABLE customers, orders, files EXTENDED; SELECT count(*), sum(cents), spent_by(7) FROM spent");
    let good = answers();
    ask("DROP TABLE orders; DELETE FROM files; UPDATE customers SET name = 'x'");
    let (status, shown) = typed(&tenant, "mysql restore", "n\n");
    assert_eq!(status, Some(1), "{shown}");
    assert!(shown.contains("MySQL cannot undo it") && shown.contains("nothing was changed"), "{shown}");
    let done = told(&tenant, &["mysql", "restore", "--force"]);
    assert_eq!(done["tried"], true);
    assert_eq!(answers(), good);

    ask("DELETE FROM files");
    let changed = answers();
    // A user who may not make a schema cannot try.
    let limited = "mysql restore --db-mysql-user='${MARIADB_USER}' --db-mysql-password='${MARIADB_PASSWORD}'";
    let (status, shown) = typed(&tenant, limited, "y\n");
    assert_eq!(status, Some(4), "{shown}");
    assert!(shown.contains("cannot be tried first") && shown.contains("--force"), "{shown}");
    let (file, annotation) = ("/var/lib/mysql/dump.sql.gz", "backup-ns.sh/dump-mysql");
    // It fails after all tables were loaded.
    tamper(&tenant, "mysql", file, annotation, "gzip -dc | sed 's/FUNCTION `spent_by`/NONSENSE/' | gzip -c", true);
    let done = tenant.run(&["mysql", "restore", "--force"], |_| ()).done();
    done.assert(1, &["NONSENSE", "the trial", "the database is as it was"]);
    assert_eq!(answers(), changed);
    assert!(!ask("SHOW DATABASES").contains("backup_ns"));
    let info = told(&tenant, &["mysql", "info"]);
    assert!(info["database"]["version"].as_str().unwrap().contains("MariaDB"), "{info}");
    assert_eq!(info["database"]["biggest"][0]["name"], "orders");
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_without_the_right_to_change_claims_says_what_is_missing() {
    let tenant = Tenant::small("hand-right", 256, |_| ());
    let rules = json!([
        {"apiGroups": [""], "resources": ["persistentvolumeclaims", "pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    ]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "hand"}, "rules": rules});
    apply(&tenant.namespace, &role);
    tenant.kubectl(&["create", "rolebinding", "hand", "--role=hand", "--user=somebody"]);
    let file = kubeconfig_as("somebody");
    let file = file.path();
    let done = tenant.run(&["postgres", "dump"], |command| _ = command.env("KUBECONFIG", file)).done();
    done.assert(0, &["cannot be noted", "cannot patch"]);
    assert_eq!(serde_json::from_str::<Value>(&done.stdout).unwrap()["noted"], false);
    tenant.run(&["postgres", "restore", "--force"], |_| ()).done().assert(6, &["is not proven"]);
    // Nor is any of it needed for a shell.
    let output = fed(&tenant, &["postgres", "shell"], "SELECT 40 + 2", &[("KUBECONFIG", file.to_str().unwrap())]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("42"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_shell_is_the_databases_own_client() {
    let tenant = Tenant::small("hand-shell", 256, |_| ());
    let output = fed(&tenant, &["postgres", "shell"], "SELECT 'a' || count(*) FROM gate", &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("a1000"));
    assert_eq!(output.status.code(), Some(0));
    let output = fed(&tenant, &["postgres", "shell"], "\\set ON_ERROR_STOP 1\nnonsense;", &[]);
    assert_eq!(output.status.code(), Some(3), "the client's own status");
    let (status, shown) = typed(&tenant, "postgres shell", "\\! test -t 0 && echo it-is-$((40 + 2))\n\\q\n");
    assert_eq!(status, Some(0), "{shown}");
    assert!(shown.contains("it-is-42"), "{shown}");

    // A literal password reaches the client, and is in no argument list meanwhile.
    let literal = [("BAK_DB_POSTGRES_PASSWORD", "hunter2 '$HOME")];
    let lines = std::thread::scope(|scope| {
        let client = scope.spawn(|| fed(&tenant, &["postgres", "shell"], "SELECT 'b' || pg_sleep(3)", &literal));
        let sleeps =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3)%' AND pid <> pg_backend_pid()";
        until("the client asks", 30, || (tenant.sql(sleeps) == "1").then_some(()));
        let lines = command_lines();
        let output = client.join().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains('b'), "{}", String::from_utf8_lossy(&output.stderr));
        lines
    });
    assert!(lines.contains(&format!("-n {} app-base", tenant.namespace)) && !lines.contains("hunter2 '$HOME"));
    assert_eq!(
        tenant.sh("ls -d /dev/shm/backup-ns* /tmp/backup-ns* /tmp/tmp.* 2>/dev/null"),
        "",
        "the password is gone"
    );
    let output = fed(&tenant, &["postgres", "shell"], "SELECT 1", &[("BAK_DB_POSTGRES_PASSWORD", "wrong")]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn info_tells_of_the_database_its_dump_and_its_volume() {
    let tenant = Tenant::small("hand-info", 256, |_| ());
    tenant.sql("CREATE TABLE \"odd name\" AS SELECT repeat('x', 1000) t FROM generate_series(1, 3000); ANALYZE");
    let info = told(&tenant, &["postgres", "info"]);
    let database = &info["database"];
    assert!(database["version"].as_str().unwrap().starts_with("15."), "{info}");
    assert_eq!((database["name"].as_str(), database["tables"].as_u64()), (Some("app"), Some(2)));
    assert_eq!(database["biggest"][0]["name"], "public.odd name");
    assert_eq!(database["biggest"][0]["rows"], 3000);
    assert!(database["biggest"][0]["bytes"].as_u64().unwrap() > 3_000_000);
    assert!(database["bytes"].as_u64() > database["biggest"][0]["bytes"].as_u64());
    assert_eq!((&info["dump"], info["pod"].as_str().unwrap()), (&Value::Null, tenant.pod().as_str()));
    assert!((1..=100).contains(&info["volume"]["usedPercent"].as_u64().unwrap()));

    told(&tenant, &["postgres", "dump"]);
    let info = told(&tenant, &["postgres", "info"]);
    assert_eq!(info["dump"]["sha256"].as_str().unwrap(), tenant.sum());
    assert_eq!(info["dump"]["provenBy"], "PersistentVolumeClaim data");
    tenant.sh(&format!("gzip -dc {DUMP} | gzip -9 -c >{DUMP}.new && mv {DUMP}.new {DUMP}"));
    // A database that does not answer does not hide the dump.
    let done = tenant.run(&["postgres", "info", "--db-postgres-user=nobody"], |_| ()).done();
    done.assert(4, &["does not answer", "nobody"]);
    let info: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&info["database"], &info["dump"]["provenBy"]), (&Value::Null, &Value::Null));
}

/// A kubectl that does `instead` with the stream of a file, and everything else as ever. `$real` is the real one.
fn kubectl_that(dir: &Path, instead: &str) -> String {
    let real = real_kubectl();
    let script = format!(
        "#!/bin/sh\nreal='{}'\ncase \" $* \" in *' -- tail -c '*)\n{instead}\n;; esac\nexec \"$real\" \"$@\"\n",
        real.display()
    );
    let file = dir.join("kubectl");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

/// A number below `limit` that differs from run to run.
fn random(limit: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish() % limit
}

fn sum(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_string()
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_download_that_is_cut_anywhere_is_gone_on_with() {
    let tenant = Tenant::small("hand-load", 256, |_| ());
    tenant.sql("CREATE TABLE noise AS SELECT md5(n::text) FROM generate_series(1, 60000) n");
    let size = told(&tenant, &["postgres", "dump"])["proof"]["bytes"].as_u64().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let here = dir.path().join("here");
    fs::create_dir(&here).unwrap();
    let file = here.join(in_format("dump.sql.gz"));
    let there = |name: &str| here.join(in_format(name)).to_str().unwrap().to_string();
    let download = |path: &str, args: &[&str]| {
        let args = [&["postgres", "download-dump"], args].concat();
        tenant.run(&args, |command| _ = command.env("PATH", path).current_dir(&here))
    };
    let left = || {
        let mut names: Vec<String> =
            fs::read_dir(&here).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };

    // Cut twice at any byte; the same call goes on, once with a status that says that all is well.
    let (one, two) = (1 + random(size / 2), 1 + random(size / 3));
    let log = dir.path().join("log");
    let cut = format!(
        "echo \"$*\" >>'{0}'\ncase $(wc -l <'{0}') in 1) \"$real\" \"$@\" | head -c {one}; exit 0 ;; 2) \"$real\" \"$@\" | head -c {two}; exit 1 ;; esac",
        log.display()
    );
    let done = download(&kubectl_that(&bin, &cut), &[]).done();
    done.assert(0, &["going on there"]);
    assert_eq!((sum(&file), left()), (tenant.sum(), vec![in_format("dump.sql.gz")]), "cut at {one}, then at {two}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let streams = fs::read_to_string(&log).unwrap();
    assert!(streams.lines().nth(1).unwrap().contains(&format!("tail -c +{} ", one + 1)), "{streams}");
    // What is there is not brought again, and what is something else is not replaced unless that is meant.
    let usual = std::env::var("PATH").unwrap();
    let again: Value = serde_json::from_str(&download(&usual, &[]).done().stdout).unwrap();
    assert_eq!((&again["transferred"], &again["resumedFrom"]), (&json!(0), &Value::Null));
    fs::write(&file, "mine").unwrap();
    download(&usual, &[]).done().assert(1, &["is not the dump", "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    download(&usual, &["--force"]).done().assert(0, &[]);
    assert_eq!(sum(&file), tenant.sum());

    // Cut, and the call with it; the next call goes on.
    let part = format!("{}.{}.part", there("other.gz"), &tenant.sum()[..16]);
    let held = format!("\"$real\" \"$@\" | {{ head -c {one}; exec sleep 60; }}; exit 0");
    let holding = download(&kubectl_that(&bin, &held), &[&there("other.gz")]);
    let come = || fs::metadata(&part).map(|meta| meta.len()).unwrap_or_default();
    until("the part has come", 30, || (come() == one).then_some(()));
    download(&usual, &[&there("other.gz")]).done().assert(5, &["another download"]);
    holding.signal("TERM");
    holding.done().assert(143, &[]);
    let done = download(&usual, &[&there("other.gz")]).done();
    done.assert(0, &[]);
    let told_of: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((told_of["resumedFrom"].as_u64(), sum(Path::new(&there("other.gz")))), (Some(one), tenant.sum()));

    // A part of a dump that was replaced meanwhile is of no use; nor is one whose bytes are others.
    let part = format!("{}.{}.part", there("third.gz"), &tenant.sum()[..16]);
    fs::write(&part, "the beginning of another file").unwrap();
    let done = download(&usual, &[&there("third.gz")]).done();
    done.assert(0, &["looking at the dump again"]);
    assert_eq!(sum(Path::new(&there("third.gz"))), tenant.sum());
    fs::write(format!("{}.{}.part", there("fourth.gz"), "0".repeat(16)), "old").unwrap();
    tenant.sh(&format!("gzip -dc {DUMP} | gzip -9 -c >{DUMP}.new && mv {DUMP}.new {DUMP}"));
    download(&usual, &[&there("fourth.gz")]).done().assert(0, &["this dump is not proven"]);
    assert_eq!(sum(Path::new(&there("fourth.gz"))), tenant.sum());
    assert_eq!(left(), ["dump.sql.gz", "fourth.gz", "other.gz", "third.gz"].map(in_format));
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_of_this_machine_is_loaded_and_what_is_none_changes_nothing() {
    let tenant = Tenant::demo("table-from");
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let restore = |args: &[&str]| tenant.run(&[&["postgres", "restore"], args].concat(), |_| ()).done();
    // A dump on stdin; its exit status, stdout and stderr.
    let piped = |name: &str, yes: &str| {
        let input = fs::read_to_string(at(name)).unwrap();
        let output = fed(&tenant, &["postgres", "restore", "--from", "-", yes, "-o", "json"], &input, &[]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    told(&tenant, &["postgres", "dump"]);
    let answers = || TABLES.map(|question| tenant.sql(question));
    let good = answers();
    let damage = || drop(tenant.sql("DROP TABLE orders CASCADE; DELETE FROM customers; SELECT lo_unlink(424242)"));
    told(&tenant, &["postgres", "download-dump", &at("copy")]);

    damage();
    let done = restore(&["--from", &at("copy"), "--yes"]);
    assert!(done.status.success(), "{}", done.stderr);
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(said["provenBy"], "PersistentVolumeClaim data");
    assert_eq!(answers(), good);
    assert_nothing_left(&tenant);

    // What the remedy for an archive makes is loaded from a pipe.
    let script =
        "PGPASSWORD=$POSTGRES_PASSWORD pg_dump -h 127.0.0.1 -U \"$POSTGRES_USER\" -Fc \"$POSTGRES_DB\" | base64";
    let archive = tenant.sh(script);
    fs::write(dir.path().join("archive.b64"), archive).unwrap();
    let shell = |line: &str| {
        let status = Command::new("sh").args(["-c", line]).current_dir(dir.path()).status().unwrap();
        assert!(status.success(), "{line}");
    };
    shell("base64 -d archive.b64 >archive");
    restore(&["--from", &at("archive"), "--yes"]).assert(6, &["is an archive for pg_restore"]);
    let remedy = format!("pg_restore --clean --if-exists --file={0}.sql {0}", at("archive"));
    restore(&["--from", &at("archive"), "--yes"]).assert(6, &[&remedy, "nothing was changed"]);
    shell(&remedy);
    damage();
    let (status, said, stderr) = piped("archive.sql", "--yes");
    assert_eq!(status, Some(0), "{stderr}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["provenBy"], Value::Null);
    assert_eq!(answers(), good);

    // What is cut off, and what another engine made.
    damage();
    let damaged = tenant.sql("SELECT count(*) FROM customers");
    let unpack = if fs::read(at("copy")).unwrap().starts_with(&[0x1f, 0x8b]) { "gzip" } else { "zstd" };
    shell(&format!("head -c 9999 copy >cut; {unpack} -dc <copy | head -n -20 >short"));
    shell("printf '%s\\n' '-- MariaDB dump 10.19' >maria");
    restore(&["--from", &at("cut"), "--force"]).assert(6, &["is broken or was cut off: it does not test whole"]);
    let (status, _, stderr) = piped("short", "--force");
    assert_eq!(status, Some(6), "{stderr}");
    assert!(stderr.contains("what comes on stdin is broken or was cut off"), "{stderr}");
    restore(&["--from", &at("maria"), "--force"]).assert(6, &["is a dump of MySQL"]);
    assert_nothing_left(&tenant);

    // A pipe that is interrupted while it brings something.
    shell("mkfifo pipe");
    let (pipe, writer) = (at("pipe"), at("pipe"));
    let writing = std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(writer).unwrap();
        let text = "-- x\n".repeat(20_000);
        while pipe.write_all(text.as_bytes()).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    let running = tenant.run(&["postgres", "restore", "--from", &pipe, "--yes"], |_| ());
    let comes = || tenant.sh("cat /var/lib/postgresql/data/*.from.sql 2>/dev/null | head -c 1");
    until("it comes", 30, || (!comes().is_empty()).then_some(()));
    running.signal("INT");
    running.done().assert(130, &["nothing was loaded"]);
    writing.join().unwrap();
    assert_nothing_left(&tenant);
    assert_eq!(tenant.sql("SELECT count(*) FROM customers"), damaged);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn one_table_of_postgresql_comes_back_beside_itself_and_takes_its_own_place() {
    let tenant = Tenant::demo("table-one");
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy").display().to_string();
    let restore = |args: &[&str]| tenant.run(&[&["postgres", "restore"], args].concat(), |_| ()).done();
    tenant.sql("CREATE VIEW seen AS SELECT id FROM customers");
    told(&tenant, &["postgres", "dump"]);
    told(&tenant, &["postgres", "download-dump", &copy]);
    let answer =
        |table: &str| tenant.sql(&format!("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t"));
    let good = answer("orders");
    tenant.sql("DROP VIEW spent; DELETE FROM orders WHERE id > 9; UPDATE customers SET name = 'newer'");
    let (changed, others) = (answer("orders"), answer("customers"));

    restore(&["--table", "orders"])
        .assert(2, &["the table public.orders_restored is made of public.orders of the dump"]);
    let said = told(&tenant, &["postgres", "restore", "--table", "orders", "--yes"]);
    assert_eq!(said["table"], "public.orders_restored");
    assert_eq!((answer("orders_restored"), answer("orders")), (good.clone(), changed.clone()));
    assert_nothing_left(&tenant);
    restore(&["--table", "orders", "--yes"]).assert(4, &["the table public.orders_restored is there", "--replace"]);
    restore(&["--table", "nothing", "--yes"]).assert(4, &["the dump holds no table public.nothing", "as it was"]);
    restore(&["--table", "customers", "--replace", "--yes"])
        .assert(4, &["cannot be replaced", "view seen", "--table-as"]);
    assert_eq!((answer("orders"), answer("customers")), (changed, others.clone()));

    // Out of a file of this machine, over what is there.
    let said =
        told(&tenant, &["postgres", "restore", "--from", &copy, "--table", "public.orders", "--replace", "--yes"]);
    assert_eq!(
        (said["table"].as_str(), said["provenBy"].as_str()),
        (Some("public.orders"), Some("PersistentVolumeClaim data"))
    );
    assert_eq!((answer("orders"), answer("customers")), (good, others));
    assert_nothing_left(&tenant);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn one_table_of_mariadb_comes_back_beside_itself_and_takes_its_own_place() {
    let tenant = Tenant::of("table-my", "mariadb.yaml");
    let ask = |statement: &str| {
        let output = fed(&tenant, &["mysql", "shell"], statement, &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy").display().to_string();
    let restore = |args: &[&str]| tenant.run(&[&["mysql", "restore"], args].concat(), |_| ()).done();
    told(&tenant, &["mysql", "dump"]);
    told(&tenant, &["mysql", "download-dump", &copy]);
    let answer = |table: &str| {
        ask(&format!("CHECKSUM TABLE {table} EXTENDED")).split_whitespace().next_back().unwrap().to_string()
    };
    let (good, others) = (answer("orders"), answer("customers"));
    ask("DELETE FROM orders WHERE id > 9");
    let changed = answer("orders");
    let said = told(&tenant, &["mysql", "restore", "--table", "orders", "--yes"]);
    assert_eq!(said["table"], "orders_restored");
    assert_eq!((answer("orders_restored"), answer("orders")), (good.clone(), changed.clone()));
    restore(&["--table", "orders", "--yes"]).assert(4, &["the table orders_restored is there", "--replace"]);
    restore(&["--table", "nothing", "--yes"])
        .assert(4, &["the dump holds no table nothing", "the database is as it was"]);
    assert_eq!(answer("orders"), changed);
    let said = told(&tenant, &["mysql", "restore", "--from", &copy, "--table", "orders", "--replace", "--yes"]);
    assert_eq!(
        (said["table"].as_str(), said["provenBy"].as_str()),
        (Some("orders"), Some("PersistentVolumeClaim data"))
    );
    assert_eq!((answer("orders"), answer("customers")), (good, others));
    assert!(!ask("SHOW TABLES").contains("backup_ns"));
}
