//! Servers that are newer than those of the other tests, with what only they can hold: each way of a backup and back, compared
//! by a dump that backup-ns has no part in.

use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};

use crate::kit::*;

/// A database server, and how to put something hard into it.
struct Server {
    image: &'static str,
    engine: &'static str,
    /// How its version begins, as it says itself.
    version: &'static str,
    /// The server's arguments.
    args: &'static [&'static str],
    mount: &'static str,
    /// The official image's variables, besides the password.
    env: &'static [(&'static str, &'static str)],
    password: &'static str,
    /// Whether the pod runs as the image's user 999 instead of as root.
    non_root: bool,
    seeds: &'static [&'static str],
    /// Tables that nothing depends on, and that have nothing that refers to others.
    alone: &'static [&'static str],
    client: &'static str,
    dump: &'static str,
    /// Lines of the dump that differ from one to the next.
    volatile: &'static [&'static str],
    /// The user who may read all of the database, and no more.
    limited: &'static str,
    /// What happens to the database after the backup.
    damage: &'static str,
}

const LIMITED_PASSWORD: &str = "l1m it'ed";
const PASSWORD: &str = "p w'$HOME";

const PSQL: &str =
    "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1 >/dev/null";
const PG_DUMP: &str = "PGPASSWORD=$POSTGRES_PASSWORD exec pg_dump -h 127.0.0.1 -U app app";
const PG_VOLATILE: &[&str] = &["\\restrict ", "\\unrestrict "];
const PG_LIMITED: &str = "CREATE ROLE limited LOGIN BYPASSRLS PASSWORD 'l1m it''ed' IN ROLE pg_read_all_data;
    ALTER ROLE limited SET lo_compat_privileges = on";
// No table can be dropped, because an event trigger refuses it.
const PG_DAMAGE: &str = "DELETE FROM people WHERE id > 100; UPDATE people SET name = 'gone'; DROP VIEW tags CASCADE;
    SELECT lo_unlink(424242); TRUNCATE visits; ALTER TABLE people DISABLE ROW LEVEL SECURITY;
    ALTER EVENT TRIGGER greet DISABLE";

impl Server {
    /// Runs a script in the container, with `argument` as `$1`: what is sent to the stdin of an exec was seen to be lost, and the
    /// client, which read nothing, to end well.
    fn sh(&self, tenant: &Tenant, script: &str, argument: &str) -> String {
        let args = ["-n", &tenant.namespace, "exec", "deploy/app-base", "--", "sh", "-c", script, "sh", argument];
        let output = kubectl_with(&args, "");
        assert!(output.status.success(), "{}: {}", self.image, String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A namespace with this server and its contents.
    fn tenant(&self, name: &str) -> Tenant {
        let tenant = Tenant::empty(name);
        let claim = tenant.claim("data", "512Mi", None);
        apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": [claim]}));
        self.start(&tenant);
        for seed in self.seeds {
            let file = root().join("tests/cluster/servers").join(seed);
            self.sql(&tenant, &std::fs::read_to_string(file).unwrap());
        }
        self.sql(&tenant, self.limited);
        tenant
    }

    /// Starts this server on the namespace's claim.
    fn start(&self, tenant: &Tenant) {
        let mut env: Vec<Value> = self.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        // The password comes as a file, as the official images take it from a Secret.
        env.push(json!({"name": format!("{}_FILE", self.password), "value": "/secret/password"}));
        // Without this policy the kubelet opens a restored data directory to the group, which PostgreSQL refuses to start on.
        let policy = "OnRootMismatch";
        let user = json!({"runAsUser": 999, "runAsGroup": 999, "fsGroup": 999, "fsGroupChangePolicy": policy});
        let answers = match self.engine {
            "postgres" => "exec pg_isready -h 127.0.0.1 -q",
            _ => "exec $(command -v mariadb-admin || command -v mysqladmin) -h127.0.0.1 -uprobe ping",
        };
        let items = json!([
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": PASSWORD}},
            {
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app-base"},
                "spec": {
                    "strategy": {"type": "Recreate"},
                    "selector": {"matchLabels": {"app": "app-base"}},
                    "template": {"metadata": {"labels": {"app": "app-base"}}, "spec": {
                        "terminationGracePeriodSeconds": 10,
                        "securityContext": if self.non_root { user } else { json!({}) },
                        "containers": [{
                            "name": self.engine, "image": self.image, "imagePullPolicy": "IfNotPresent",
                            "args": self.args, "env": env,
                            "readinessProbe": {
                                "exec": {"command": ["sh", "-c", answers]}, "periodSeconds": 1, "timeoutSeconds": 20, "failureThreshold": 5,
                            },
                            "volumeMounts": [
                                {"name": "data", "mountPath": self.mount}, {"name": "secret", "mountPath": "/secret"},
                            ],
                        }],
                        "volumes": [
                            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                            {"name": "secret", "secret": {"secretName": "db"}},
                        ],
                    }},
                },
            },
        ]);
        apply(&tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
        tenant.await_ready();
    }

    fn sql(&self, tenant: &Tenant, statements: &str) {
        self.sh(tenant, &self.with_password(&format!("printf %s \"$1\" | {{ {}; }}", self.client)), statements);
    }

    /// A script that begins with the password from its file.
    fn with_password(&self, script: &str) -> String {
        format!("{}=$(cat /secret/password); {script}", self.password)
    }

    /// All that the server's own tool dumps, without the lines that are never the same.
    fn dump(&self, tenant: &Tenant) -> String {
        let text = self.sh(tenant, &self.with_password(self.dump), "");
        let lasting = |line: &&str| !self.volatile.iter().any(|volatile| line.starts_with(volatile));
        text.lines().filter(lasting).collect::<Vec<_>>().join("\n")
    }

    /// The settings that choose the format of this run, with a path for which this server's image has room.
    fn settings(&self) -> Vec<(String, String)> {
        let room = |(name, file): (String, String)| (name, file.replace("/var/lib/postgresql/data", self.mount));
        format_settings().into_iter().map(room).collect()
    }

    fn command(&self, tenant: &Tenant, args: &[&str], change: impl Fn(&mut Command)) -> Done {
        let own = |command: &mut Command| {
            command.envs(self.settings());
            change(command);
        };
        tenant.run(args, own).done()
    }

    /// A command that must succeed; its result.
    fn run(&self, tenant: &Tenant, args: &[&str], change: impl Fn(&mut Command)) -> Value {
        let done = self.command(tenant, args, change);
        assert!(done.status.success(), "{}: {args:?}: {}\n{}", self.image, done.stderr, done.stdout);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", done.stdout))
    }

    /// Damages the database, lets the command bring it back, and compares.
    fn brought_back_by(&self, tenant: &Tenant, before: &str, args: &[&str], same: impl Fn(&str, &str) -> bool) {
        self.sql(tenant, self.damage);
        assert!(self.dump(tenant) != before, "{}: the damage does not show", self.image);
        self.run(tenant, args, |_| ());
        tenant.await_ready();
        self.is_as_before(tenant, before, args, same);
    }

    /// Starts the server on a clone of the volume in another namespace.
    fn runs_on_a_clone(&self, tenant: &Tenant, name: &str, before: &str, snapshot: &str) {
        let staging = Tenant::empty(&format!("{name}clone"));
        let args = ["restore", snapshot, "--to-namespace", &staging.namespace, "--wait"];
        self.run(tenant, &args, |_| ());
        self.start(&staging);
        self.is_as_before(&staging, before, &args, |was, is| was == is || sequence_went_on(was, is));
    }

    /// Compares the database line by line.
    fn is_as_before(&self, tenant: &Tenant, before: &str, args: &[&str], same: impl Fn(&str, &str) -> bool) {
        let after = self.dump(tenant);
        if let Some((was, is)) = before.lines().zip(after.lines()).find(|(was, is)| !same(was, is)) {
            panic!("{}: after {args:?} the database differs:\nbefore: {was}\nafter:  {is}", self.image);
        }
        assert_eq!(before.lines().count(), after.lines().count(), "{}: {args:?}", self.image);
    }

    /// The role `viewer`, which has a host in MySQL.
    fn role(&self) -> &'static str {
        if self.image.starts_with("mysql") { "`viewer`@`%`" } else { "`viewer`" }
    }

    /// The commands of docs/recovery.md for a server that is lost, one text a block.
    fn runbook(&self, tenant: &Tenant) -> Vec<String> {
        let runbook = std::fs::read_to_string(root().join("docs/recovery.md")).unwrap();
        let section = runbook.split("\n## ").find(|section| section.starts_with("The server is lost\n")).unwrap();
        let mut blocks: Vec<_> =
            section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0.to_string()).collect();
        for block in &mut blocks {
            *block = block.replace("/var/lib/postgresql/data", self.mount).replace("shop", &tenant.namespace);
            if self.engine == "mysql" {
                *block = block.replace("postgres", "mysql");
            }
        }
        blocks
    }

    /// Runs commands of it as they are written; what they print.
    fn follow(&self, commands: &str) -> String {
        let bin = std::path::Path::new(env!("CARGO_BIN_EXE_backup-ns")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-euc", &in_format(commands)]).env("PATH", path).envs(self.settings());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {commands}{said}", self.image);
        format!("{}{said}", String::from_utf8_lossy(&output.stdout))
    }

    /// Drops the accounts that the backup recorded, and lets a restore make them again.
    fn accounts_come_back(&self, tenant: &Tenant, proof: &Value) {
        let client = self.client.replace("exec ", "").replace(" >/dev/null", "");
        let hex = if self.image.starts_with("mysql") { "SET SESSION print_identified_with_as_hex = 1;" } else { "" };
        let shown = || {
            let statements = format!(
                "{hex} SHOW CREATE USER teller@'10.%'; SHOW GRANTS FOR teller@'10.%'; SHOW GRANTS FOR viewer;
                SHOW CREATE USER limited@'%'; SHOW GRANTS FOR limited@'%';"
            );
            self.sh(
                tenant,
                &self.with_password(&format!("printf %s \"$1\" | {{ {client} --binary-as-hex; }}")),
                &statements,
            )
        };
        assert_eq!(proof["globals"]["roles"], 3, "{proof}");
        let before = shown();
        assert!(before.contains("viewer"), "{before}");
        self.sql(tenant, "DROP USER teller@'10.%', limited@'%'; DROP ROLE viewer;");
        for all in [json!(["`limited`@`%`", "`teller`@`10.%`", self.role()]), json!([])] {
            let restored = self.run(tenant, &["mysql", "restore", "--globals", "--yes"], |_| ());
            assert_eq!(restored["roles"], all, "{restored}");
            assert_eq!(shown(), before, "{}", self.image);
        }
    }

    /// Backup, restore test, and both ways back.
    fn there_and_back(&self, name: &str) {
        if !has_image(self.image) {
            return;
        }
        let tenant = self.tenant(name);
        let before = self.dump(&tenant);
        let flag = format!("--db-{}", self.engine);
        let of = |snapshot: &Value| snapshot["volumeSnapshot"].as_str().unwrap().to_string();

        let doctor = self.run(&tenant, &["doctor", &flag], |_| ());
        let failed = |check: &&Value| check["outcome"] == "failed";
        assert_eq!(doctor["checks"].as_array().unwrap().iter().filter(failed).count(), 0, "{doctor:#}");
        let made = self.run(&tenant, &["create", &flag], |_| ());
        let proof = &made["dumps"][self.engine];
        assert!(proof["tool"].as_str().unwrap().contains(self.version), "{proof}");
        assert_eq!(proof["pathInVolume"], in_format("dump.sql.gz"), "{proof}");
        let info = self.run(&tenant, &[self.engine, "info"], |_| ());
        assert!(info["database"]["version"].as_str().unwrap().starts_with(self.version), "{info}");
        assert_eq!(info["dump"]["provenBy"], format!("VolumeSnapshot {}", of(&made)));
        writeln!(std::io::stderr(), "{}: server {}, {}", self.image, info["database"]["version"], proof["tool"]).ok();

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(in_format("dump.sql.gz"));
        let copied = self.run(&tenant, &[self.engine, "download-dump", file.to_str().unwrap()], |_| ());
        assert_eq!((&copied["sha256"], file.is_file()), (&proof["sha256"], true), "{copied}");
        assert_eq!(proof["globals"]["passwords"], true, "{proof}");
        if self.engine == "mysql" {
            self.accounts_come_back(&tenant, proof);
        }

        // A user who may only read makes the same backup.
        let upper = format!("BAK_DB_{}", self.engine.to_ascii_uppercase());
        let limited = self.run(&tenant, &["create", &flag], |command| {
            command.env(format!("{upper}_USER"), "limited").env(format!("{upper}_PASSWORD"), LIMITED_PASSWORD);
        });
        assert_eq!(limited["dumps"][self.engine]["objects"], proof["objects"]);
        for (snapshot, more) in [(of(&made), &[][..]), (of(&limited), &["--verify-physical"])] {
            let found = self.run(&tenant, &[&["verify", &snapshot], more].concat(), |_| ());
            let facts = &found["databases"][self.engine];
            assert_eq!(found["verdict"], "good", "{found}");
            assert_eq!(facts["physical"], !more.is_empty(), "{found}");
        }

        for table in self.alone {
            self.sql(&tenant, &format!("DELETE FROM {table}"));
            let args = [self.engine, "restore", "--table", table, "--replace", "--yes"];
            let one = self.run(&tenant, &args, |_| ());
            assert_eq!(one["leftOut"], serde_json::json!([]), "{one}");
            let after = self.dump(&tenant);
            let differs = before.lines().zip(after.lines()).find(|(was, is)| was != is);
            assert_eq!((differs, before.len()), (None, after.len()), "{}: {table}", self.image);
        }
        self.runs_on_a_clone(&tenant, name, &before, &of(&made));
        self.brought_back_by(&tenant, &before, &[self.engine, "restore", "--yes"], |was, is| was == is);
        let in_place = ["restore", &of(&made), "--in-place", "--yes"];
        self.brought_back_by(&tenant, &before, &in_place, |was, is| was == is || sequence_went_on(was, is));
    }
}

/// PostgreSQL writes a sequence's value to its log up to 32 calls ahead, and continues there after a crash, which the snapshot of
/// a running server's volume looks like.
fn sequence_went_on(was: &str, is: &str) -> bool {
    let parts = |line: &str| -> Option<(String, i64)> {
        let (name, rest) = line.strip_prefix("SELECT pg_catalog.setval(")?.split_once(", ")?;
        Some((name.into(), rest.split_once(',')?.0.parse().ok()?))
    };
    match (parts(was), parts(is)) {
        (Some((one, was)), Some((other, is))) => one == other && is >= was,
        _ => false,
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn postgresql_17_comes_back_as_it_was() {
    let server = Server {
        image: "postgres:17",
        engine: "postgres",
        version: "17.",
        args: &[],
        mount: "/var/lib/postgresql/data",
        env: &[
            ("POSTGRES_USER", "app"),
            ("POSTGRES_DB", "app"),
            ("PGDATA", "/var/lib/postgresql/data/pgdata"),
            ("POSTGRES_INITDB_ARGS", "--no-sync --locale-provider=builtin --builtin-locale=C.UTF-8"),
        ],
        password: "POSTGRES_PASSWORD",
        non_root: true,
        seeds: &["postgres-17.sql"],
        alone: &[],
        client: PSQL,
        dump: PG_DUMP,
        volatile: PG_VOLATILE,
        limited: PG_LIMITED,
        damage: PG_DAMAGE,
    };
    server.there_and_back("pg17");
}

fn postgresql_18() -> Server {
    Server {
        image: "postgres:18",
        engine: "postgres",
        version: "18.",
        args: &[],
        // The data directory is 18/docker below it.
        mount: "/var/lib/postgresql",
        env: &[("POSTGRES_USER", "app"), ("POSTGRES_DB", "app"), ("POSTGRES_INITDB_ARGS", "--no-sync")],
        password: "POSTGRES_PASSWORD",
        non_root: false,
        seeds: &["postgres-17.sql", "postgres-18.sql"],
        // An event trigger of theirs refuses to drop a table.
        alone: &[],
        client: PSQL,
        dump: PG_DUMP,
        volatile: PG_VOLATILE,
        limited: PG_LIMITED,
        damage:
            "DELETE FROM guests; UPDATE rooms SET rent = 0; ALTER TABLE prices DROP COLUMN gross; DELETE FROM people;
            SELECT lo_unlink(424242); ALTER TABLE drafts DROP CONSTRAINT body_needed",
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn postgresql_18_comes_back_as_it_was_from_the_layout_of_its_image() {
    postgresql_18().there_and_back("pg18");
}

/// All that is left of the server is what a backup wrote into the volume. The new server's superuser has another name, so that it
/// cannot grant as the old one did.
#[test]
#[ignore = "needs a cluster: make test"]
fn a_lost_postgresql_18_comes_back_with_its_roles_in_a_new_server() {
    let server = postgresql_18();
    if !has_image(server.image) {
        return;
    }
    let tenant = server.tenant("pg18lost");
    server.sql(
        &tenant,
        "CREATE ROLE staff; CREATE ROLE \"web \"\"app\" LOGIN PASSWORD 'web''s own' CONNECTION LIMIT 7; GRANT staff TO \"web \"\"app\";
        CREATE ROLE chief CREATEROLE VALID UNTIL '2031-02-03'; GRANT staff TO chief WITH ADMIN TRUE, INHERIT FALSE;
        ALTER ROLE staff SET search_path TO 'a b', public; COMMENT ON ROLE chief IS 'it''s\nCREATE ROLE other;';
        CREATE ROLE temp; SET ROLE chief; GRANT staff TO temp; RESET ROLE;
        GRANT SELECT ON people TO staff; ALTER TABLE visits OWNER TO chief;",
    );
    let roles = || {
        let text = server.sh(
            &tenant,
            &server.with_password("PGPASSWORD=$POSTGRES_PASSWORD exec pg_dumpall -h 127.0.0.1 -U app --globals-only"),
            "",
        );
        // Who granted what the superuser did depends on the superuser.
        let lines = text.lines().map(|line| line.replace(" GRANTED BY app;", ";").replace(" GRANTED BY boss;", ";"));
        let lasting =
            |line: &String| !PG_VOLATILE.iter().any(|volatile| line.starts_with(volatile)) && !line.contains(" boss");
        lines.filter(lasting).collect::<Vec<_>>()
    };
    let (before, roles_before) = (server.dump(&tenant), roles());
    let made = server.run(&tenant, &["create", "--db-postgres", "--db-postgres-globals=true"], |_| ());
    let globals = &made["dumps"]["postgres"]["globals"];
    assert_eq!((&globals["roles"], &globals["passwords"]), (&json!(7), &json!(true)), "{made}");
    let found = server.run(&tenant, &["verify", made["volumeSnapshot"].as_str().unwrap()], |_| ());
    assert_eq!((&found["verdict"], &found["databases"]["postgres"]["roles"]), (&json!("good"), &json!(7)), "{found}");

    tenant.kubectl(&["set", "env", "deployment/app-base", "POSTGRES_USER=boss"]);
    let [claim, new, load] = &server.runbook(&tenant)[..] else { panic!("three blocks") };
    server.follow(&format!("{claim}{new}"));
    tenant.await_ready();
    let refused =
        tenant.run(&["postgres", "restore", "--db-postgres-dump-file=/old/dump.sql.gz", "--yes"], |_| ()).done();
    assert!(refused.status.code() == Some(1), "{}", refused.stderr);
    for words in [
        "names roles that the server lacks: app, chief, reader, staff; use --globals",
        "does not exist",
        "the database is as it was",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    let said = server.follow(load);
    assert!(said.contains("7 roles made, with their passwords"), "{said}");
    assert_eq!(roles(), roles_before);
    assert_eq!(server.dump(&tenant), before);
    let login = "PGPASSWORD=\"web's own\" exec psql -h 127.0.0.1 -U 'web \"app' -d app -XAtqc 'SELECT count(*) >= 0 FROM people'";
    assert_eq!(server.sh(&tenant, login, "").trim(), "t", "a role with a password of its own");
    let found = server.run(&tenant, &["verify"], |_| ());
    assert_eq!((&found["verdict"], &found["databases"]["postgres"]["roles"]), (&json!("good"), &json!(8)), "{found}");
}

fn mariadb_11_8() -> Server {
    Server {
        image: "mariadb:11.8",
        engine: "mysql",
        version: "11.8.",
        args: &["--ignore-db-dir=lost+found", "--innodb-log-file-size=16M"],
        mount: "/var/lib/mysql",
        env: &[("MARIADB_DATABASE", "app")],
        password: "MARIADB_ROOT_PASSWORD",
        non_root: true,
        seeds: &["mariadb-11.8.sql"],
        alone: &["tickets", "stays"],
        client: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot app",
        dump: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb-dump -h127.0.0.1 -uroot --dump-history --single-transaction --routines --events --triggers --hex-blob app",
        volatile: &["-- Dump completed on "],
        limited: "CREATE USER limited@'%' IDENTIFIED BY 'l1m it''ed'; GRANT SELECT ON mysql.proc TO limited@'%';
            GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON app.* TO limited@'%';
            CREATE ROLE viewer; GRANT SELECT ON app.* TO viewer; CREATE USER teller@'10.%' IDENTIFIED BY 'te''ll';
            GRANT viewer TO teller@'10.%'; SET DEFAULT ROLE viewer FOR teller@'10.%';",
        damage: "DELETE FROM pictures WHERE id > 1; UPDATE papers SET body = NULL; DROP TRIGGER papers_before; DROP EVENT nightly;
            DROP VIEW paid; DROP PACKAGE wages; DROP SEQUENCE small; UPDATE salaries SET cents = 0; DELETE HISTORY FROM salaries; DROP TABLE stays;",
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn mariadb_11_8_comes_back_as_it_was() {
    mariadb_11_8().there_and_back("maria118");
}

fn mysql_9_7() -> Server {
    Server {
        image: "mysql:9.7",
        engine: "mysql",
        version: "9.7.",
        args: &["--innodb-redo-log-capacity=8M"],
        mount: "/var/lib/mysql",
        env: &[("MYSQL_DATABASE", "app")],
        password: "MYSQL_ROOT_PASSWORD",
        non_root: false,
        seeds: &["mysql-9.7.sql"],
        alone: &["days", "keyless"],
        client: "MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysql -h127.0.0.1 -uroot app >/dev/null",
        dump: "MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysqldump -h127.0.0.1 -uroot --set-gtid-purged=OFF --single-transaction --routines --events --triggers --hex-blob app",
        volatile: &["-- Dump completed on "],
        limited: "CREATE USER limited@'%' IDENTIFIED BY 'l1m it''ed'; GRANT SHOW_ROUTINE ON *.* TO limited@'%';
            GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON app.* TO limited@'%';
            CREATE ROLE viewer; GRANT SELECT ON app.* TO viewer; CREATE USER teller@'10.%' IDENTIFIED BY 'te''ll';
            GRANT viewer TO teller@'10.%'; SET DEFAULT ROLE viewer TO teller@'10.%';",
        damage: "DELETE FROM pictures WHERE id > 1; DROP TRIGGER papers_first; DROP EVENT nightly; DROP VIEW customer_documents;
            DELETE FROM orders; DROP TABLE keyless; DROP LIBRARY plus; ALTER TABLE days DROP PARTITION p2025;",
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn mysql_9_7_comes_back_as_it_was() {
    mysql_9_7().there_and_back("mysql97");
}

/// A dump tool that leaves the library out makes a backup that the restore test condemns.
fn lost_library_is_found(server: &Server, tenant: &Tenant) {
    server.sh(
        tenant,
        "cd /usr/bin && mv mysqldump mysqldump.real && printf %s \"$1\" >mysqldump && chmod +x mysqldump",
        "#!/bin/sh\nmysqldump.real \"$@\" | sed '/^CREATE LIBRARY/,/;;$/d'\n",
    );
    let made = server.run(tenant, &["create", "--db-mysql", "--db-mysql-globals=false"], |_| ());
    assert_eq!(made["dumps"]["mysql"]["objects"]["libraries"], json!(1), "{made}");
    let snapshot = made["volumeSnapshot"].as_str().unwrap();
    let condemned = tenant.run(&["verify", snapshot], |_| ()).done();
    assert_eq!(condemned.status.code(), Some(8), "{}", condemned.stderr);
    assert!(condemned.stderr.contains("libraries: 0 of 1"), "{}", condemned.stderr);
    server.run(tenant, &["delete", snapshot, "--yes", "--force"], |_| ());
}

/// The view `b_second` cannot be made before its definer has its right, nor the grants of `part` before what they are on is there.
#[test]
#[ignore = "needs a cluster: make test"]
fn a_lost_mysql_9_7_comes_back_with_its_accounts_in_a_new_server() {
    let server = mysql_9_7();
    if !has_image(server.image) {
        return;
    }
    let tenant = server.tenant("mysql97lost");
    server.sql(
        &tenant,
        r"CREATE TABLE plain (id int PRIMARY KEY, v int); INSERT INTO plain VALUES (1, 2);
        CREATE USER narrow@localhost; GRANT SELECT ON app.plain TO narrow@localhost WITH GRANT OPTION;
        CREATE DEFINER=narrow@localhost VIEW a_first AS SELECT id FROM plain; CREATE VIEW b_second AS SELECT id FROM a_first;
        CREATE PROCEDURE one() SELECT 1;
        CREATE USER 'pa''rt\\'@'%' IDENTIFIED BY 'pa''rt' WITH MAX_USER_CONNECTIONS 3 COMMENT 'it''s
CREATE USER IF NOT EXISTS other;';
        GRANT INSERT, SELECT (id, v) ON app.plain TO 'pa''rt\\'@'%'; GRANT EXECUTE ON PROCEDURE app.one TO 'pa''rt\\'@'%';
        GRANT BACKUP_ADMIN ON *.* TO 'pa''rt\\'@'%';",
    );
    let accounts = || {
        let accounts = ["teller@'10.%'", "viewer", "limited@'%'", "narrow@localhost", r"'pa''rt\\'@'%'"];
        let shown = accounts.map(|account| format!("SHOW CREATE USER {account}; SHOW GRANTS FOR {account};")).concat();
        let client = server.client.replace("exec ", "").replace(" >/dev/null", "");
        let script = format!("printf %s \"$1\" | {{ {client}; }}");
        server.sh(
            &tenant,
            &server.with_password(&script),
            &format!("SET SESSION print_identified_with_as_hex = 1; {shown}"),
        )
    };
    let (before, accounts_before) = (server.dump(&tenant), accounts());
    let made = server.run(&tenant, &["create", "--db-mysql", "--db-mysql-globals=true"], |_| ());
    assert_eq!(made["dumps"]["mysql"]["globals"]["roles"], json!(5), "{made}");
    let found = server.run(&tenant, &["verify", made["volumeSnapshot"].as_str().unwrap()], |_| ());
    assert_eq!((&found["verdict"], &found["databases"]["mysql"]["roles"]), (&json!("good"), &json!(5)), "{found}");
    lost_library_is_found(&server, &tenant);

    let [claim, new, load] = &server.runbook(&tenant)[..] else { panic!("three blocks") };
    server.follow(&format!("{claim}{new}"));
    tenant.await_ready();
    let refused = tenant.run(&["mysql", "restore", "--db-mysql-dump-file=/old/dump.sql.gz", "--yes"], |_| ()).done();
    assert!(refused.status.code() == Some(1), "{}", refused.stderr);
    for words in [
        "names accounts that the server lacks: `narrow`@`localhost`; use --globals",
        "ERROR 1449",
        "the database is as it was",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    let said = server.follow(load);
    assert!(said.contains("5 accounts made, with their passwords"), "{said}");
    assert!(!said.contains("24412430"), "{said}");
    assert_eq!(accounts(), accounts_before);
    assert_eq!(server.dump(&tenant), before);
    let login = "MYSQL_PWD=\"pa'rt\" exec mysql -h127.0.0.1 -u\"pa'rt\\\\\" app -BNe 'CALL one(); SELECT v FROM plain'";
    assert_eq!(server.sh(&tenant, login, "").split_whitespace().collect::<Vec<_>>(), ["1", "2"]);
    let found = server.run(&tenant, &["verify"], |_| ());
    assert_eq!((&found["verdict"], &found["databases"]["mysql"]["roles"]), (&json!("good"), &json!(5)), "{found}");
}

/// A dump of the older server is loaded into the newer one from a file, and backed up there.
fn crosses(name: &str, older: &Server, newer: &Server, same: impl Fn(&str) -> Vec<String>) {
    if !has_image(newer.image) {
        return;
    }
    let from = older.tenant(&format!("{name}-old"));
    let to = newer.tenant(&format!("{name}-new"));
    let flag = format!("--db-{}", older.engine);
    older.run(&from, &["create", &flag], |_| ());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(in_format("dump.sql.gz"));
    let file = file.to_str().unwrap();
    older.run(&from, &[older.engine, "download-dump", file], |_| ());
    newer.run(&to, &[newer.engine, "restore", "--from", file, "--yes"], |_| ());
    let (before, after) = (same(&older.dump(&from)), same(&newer.dump(&to)));
    let differs = before.iter().zip(&after).find(|(was, is)| was != is);
    assert_eq!((differs, before.len()), (None, after.len()), "{} in {}", older.image, newer.image);
    let made = newer.run(&to, &["create", &flag], |_| ());
    let proof = &made["dumps"][newer.engine];
    assert!(proof["tool"].as_str().unwrap().contains(newer.version), "{proof}");
    let found = newer.run(&to, &["verify", made["volumeSnapshot"].as_str().unwrap()], |_| ());
    assert_eq!(found["verdict"], "good", "{found}");
}

/// The lines of a dump in the order of the alphabet, because versions order them differently, without what a newer tool writes in
/// front of them.
fn statements(dump: &str) -> Vec<String> {
    let noise = ["--", "SET ", "SELECT pg_catalog.set_config('search_path'", "/*!", "/*M!", "COMMIT;"];
    let counts = |line: &&str| !line.is_empty() && !noise.iter().any(|noise| line.starts_with(noise));
    let mut lines: Vec<String> = dump.lines().filter(counts).map(str::to_string).collect();
    lines.sort();
    lines
}

/// The statements of a dump of 15's contents. A newer pg_dump names the kind where an older one writes ALTER TABLE, and a newer
/// server leaves out the table's name before a column where it is clear.
fn statements_of_15(dump: &str) -> Vec<String> {
    let kinds = ["ALTER SEQUENCE ", "ALTER MATERIALIZED VIEW ", "ALTER VIEW "];
    statements(&kinds.iter().fold(dump.replace("events.", ""), |dump, kind| dump.replace(kind, "ALTER TABLE ")))
}

fn postgresql_15() -> Server {
    Server {
        image: "postgres:15",
        version: "15.",
        mount: "/var/lib/postgresql/data",
        env: &[
            ("POSTGRES_USER", "app"),
            ("POSTGRES_DB", "app"),
            ("PGDATA", "/var/lib/postgresql/data/pgdata"),
            ("POSTGRES_INITDB_ARGS", "--no-sync --locale=C.UTF-8"),
        ],
        seeds: &["postgres-15.sql"],
        ..postgresql_18()
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_of_postgresql_15_is_loaded_into_18() {
    // The roles are the server's and not the database's.
    let newer = Server { seeds: &[], limited: "CREATE ROLE reader NOLOGIN", ..postgresql_18() };
    let older = postgresql_15();
    crosses("pg", &older, &newer, statements_of_15);
}

/// Upgraded by dump and load into another directory of the same claim: an image has the programs of one version only, which
/// pg_upgrade does not do with. What it leaves is the same: the older directory beside the newer one, or only the newer one.
#[test]
#[ignore = "needs a cluster: make test"]
fn a_postgresql_that_was_upgraded_on_its_claim_comes_back_from_the_backup_of_before() {
    let older = postgresql_15();
    let newer = Server {
        mount: older.mount,
        env: &[
            ("POSTGRES_USER", "app"),
            ("POSTGRES_DB", "app"),
            ("PGDATA", "/var/lib/postgresql/data/pgdata18"),
            ("POSTGRES_INITDB_ARGS", "--no-sync --locale=C.UTF-8"),
        ],
        ..postgresql_18()
    };
    if !has_image(newer.image) {
        return;
    }
    let tenant = older.tenant("pgupgrade");
    let before = older.dump(&tenant);
    let of = |made: &Value| made["volumeSnapshot"].as_str().unwrap().to_string();
    let old = of(&older.run(&tenant, &["create", "--db-postgres", "--db-postgres-globals=true"], |_| ()));
    newer.start(&tenant);
    newer.run(&tenant, &["postgres", "restore", "--globals", "--yes"], |_| ());
    let is_as_before = || {
        let (was, is) = (statements_of_15(&before), statements_of_15(&newer.dump(&tenant)));
        assert_eq!((was.iter().zip(&is).find(|(was, is)| was != is), was.len()), (None, is.len()));
    };
    is_as_before();

    // The backup of before: each part in an image of its version, the dump in a newer one, too.
    for (more, physical) in [(&["--verify-physical"][..], true), (&["--verify-image=postgres:18"], false)] {
        let found = newer.run(&tenant, &[&["verify", &old], more].concat(), |_| ());
        assert_eq!(
            (&found["verdict"], &found["databases"]["postgres"]["physical"]),
            (&json!("good"), &json!(physical))
        );
    }
    let newer_image = ["verify", &old, "--verify-image=postgres:18", "--verify-physical"];
    let refused = newer.command(&tenant, &newer_image, |_| ());
    assert_eq!(
        (refused.status.code(), serde_json::from_str::<Value>(&refused.stdout).unwrap()["verdict"].as_str()),
        (Some(4), Some("none")),
        "{}",
        refused.stderr
    );
    for words in [
        "the data directory is of PostgreSQL 15, the image has PostgreSQL 18.",
        "no verdict",
        "without --verify-physical",
    ] {
        assert!(refused.stderr.contains(words), "{words}: {}", refused.stderr);
    }
    // The backup of after holds both directories.
    let new = of(&newer.run(&tenant, &["create", "--db-postgres"], |_| ()));
    let found = newer.run(&tenant, &["verify", &new, "--verify-physical"], |_| ());
    assert_eq!(
        (&found["verdict"], &found["databases"]["postgres"]["physical"]),
        (&json!("good"), &json!(true)),
        "{found}"
    );

    let warning = "is of PostgreSQL 15, and the container postgres of deployment/app-base now runs PostgreSQL 18, which does not \
                   start on that data directory";
    let in_place = |last: &str| {
        let done = newer.command(&tenant, &["restore", &old, "--in-place", last], |_| ());
        assert!(done.status.success() && done.stderr.contains(warning), "{last}: {}", done.stderr);
        done.stderr
    };
    in_place("--dry-run");
    is_as_before();
    let said = in_place("--yes");
    assert!(said.find(warning) < said.find("step=\"try\""), "{said}");
    // As the warning says.
    tenant.await_ready();
    assert!(!newer.dump(&tenant).contains("CREATE TABLE"));
    older.start(&tenant);
    let same = |was: &str, is: &str| was == is || sequence_went_on(was, is);
    older.is_as_before(&tenant, &before, &["restore", &old, "--in-place"], same);
    let done = older.command(&tenant, &["restore", &new, "--in-place", "--dry-run"], |_| ());
    assert!(
        done.stderr
            .contains("is of PostgreSQL 18, and the container postgres of deployment/app-base now runs PostgreSQL 15")
    );
}

fn mariadb_10_11() -> Server {
    Server {
        image: "mariadb:10.11",
        version: "10.11.",
        non_root: false,
        seeds: &["mariadb-10.11.sql"],
        alone: &[],
        client: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb --default-character-set=utf8mb4 -h127.0.0.1 -uroot app",
        dump: "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb-dump -h127.0.0.1 -uroot --single-transaction --routines --events --triggers --hex-blob app",
        damage: "DELETE FROM orders WHERE id > 2; DROP VIEW totals; DROP PROCEDURE add_order; ALTER TABLE notes DROP COLUMN body;",
        ..mariadb_11_8()
    }
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_dump_of_mariadb_10_11_is_loaded_into_11_8() {
    let newer = Server { seeds: &[], dump: mariadb_10_11().dump, ..mariadb_11_8() };
    crosses("maria", &mariadb_10_11(), &newer, statements);
}

#[test]
#[ignore = "needs a cluster: make test"]
fn a_mariadb_that_was_upgraded_in_place_takes_the_dump_from_before() {
    let (older, newer) = (mariadb_10_11(), mariadb_11_8());
    if !has_image(newer.image) {
        return;
    }
    let tenant = older.tenant("upgrade");
    let made = older.run(&tenant, &["create", "--db-mysql"], |_| ());
    // The official image makes the files its user's own.
    let own = json!({
        "name": "own", "image": newer.image, "imagePullPolicy": "IfNotPresent",
        "command": ["chown", "-R", "mysql:", newer.mount],
        "volumeMounts": [{"name": "data", "mountPath": newer.mount}],
    });
    let container = json!({"name": newer.engine, "image": newer.image});
    let patch = json!({"spec": {"template": {"spec": {"initContainers": [own], "containers": [container]}}}});
    tenant.kubectl(&["patch", "deploy/app-base", "-p", &patch.to_string()]);
    tenant.await_ready();
    let newer = Server { dump: older.dump, damage: older.damage, ..newer };
    let upgrade = || {
        let run = "MYSQL_PWD=$MARIADB_ROOT_PASSWORD mariadb-upgrade -h127.0.0.1 -uroot --silent 2>&1";
        newer.sh(&tenant, &newer.with_password(run), "")
    };
    upgrade();
    let before = newer.dump(&tenant);
    newer.brought_back_by(&tenant, &before, &["mysql", "restore", "--yes"], |was, is| was == is);
    let snapshot = made["volumeSnapshot"].as_str().unwrap();
    for image in [&[][..], &["--verify-image=mariadb:11.8"]] {
        let found = newer.run(&tenant, &[&["verify", snapshot, "--verify-physical"], image].concat(), |_| ());
        assert_eq!(
            (&found["verdict"], &found["databases"]["mysql"]["physical"]),
            (&json!("good"), &json!(true)),
            "{found}"
        );
    }

    // The newer server reads the older directory.
    newer.sql(&tenant, newer.damage);
    let args = ["restore", snapshot, "--in-place", "--yes"];
    let done = newer.command(&tenant, &args, |_| ());
    let warning =
        "is of MariaDB 10.11, and the container mysql of deployment/app-base now runs MariaDB 11.8, which upgrades";
    assert!(done.status.success() && done.stderr.contains(warning), "{}", done.stderr);
    tenant.await_ready();
    upgrade();
    newer.is_as_before(&tenant, &before, &args, |was, is| was == is);
}
