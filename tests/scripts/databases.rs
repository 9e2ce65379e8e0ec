//! Which databases a server has.

use super::*;

/// What the script reports, without heartbeats, and its messages.
fn listed(shell: &[&str], parts: &str, values: &[&str], env: &[(&str, &str)]) -> (Vec<String>, String) {
    let mut session = Session::running(shell, parts, values, env);
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "end yes") {
        let line = session.lines.recv_timeout(Duration::from_secs(60)).unwrap();
        let rest = line.strip_prefix(&format!("{} ", session.nonce)).expect("every line has the nonce");
        lines.extend((!rest.starts_with("beat ")).then(|| rest.to_string()));
    }
    lines.pop();
    let said = session.last_words();
    assert!(session.child.wait().unwrap().success());
    (lines, said)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_postgresql_lists_what_a_backup_of_all_holds_under_every_shell() {
    let server = Server::start();
    let odd = "Ümlaut/../a 'b' \"c\" %s \\n $(id) ; ";
    for statement in [
        format!("CREATE DATABASE {}", quoted(odd)),
        "CREATE DATABASE closed ALLOW_CONNECTIONS false".into(),
        "CREATE DATABASE model IS_TEMPLATE true".into(),
        "CREATE DATABASE interrupted".into(),
        "UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'interrupted'".into(),
    ] {
        server.sql("postgres", &statement);
    }
    let (port, password) = (server.port.to_string(), format!("={PASSWORD}"));
    for shell in SHELLS {
        let of = |user: &str, database: &str| {
            let values = ["127.0.0.1", &port, user, &password, database];
            listed(shell, &format!("{POSTGRES}{POSTGRES_DATABASES}"), &values, &[("POSTGRES_DB", DATABASE)])
        };
        let all = [format!("database {DATABASE}"), "database postgres".into(), format!("database {odd}")];
        // A database that is not there does not keep the others from being listed.
        for (database, own) in [("$POSTGRES_DB", DATABASE), ("=gone", "gone")] {
            let (mut lines, _) = of("=app", database);
            assert_eq!(lines.remove(0), format!("own {own}"), "{shell:?}");
            assert_eq!(lines.pop().as_deref(), Some("answers yes"));
            lines.sort();
            assert_eq!(lines, all, "{shell:?}");
        }
        let (lines, said) = of("=nobody", "=postgres");
        assert_eq!(lines, ["own postgres"]);
        assert!(said.contains("password authentication failed"), "{said}");
    }
    server.sql("postgres", "CREATE DATABASE \"two\nlines\"");
    let values = ["127.0.0.1", &port, "=app", &password, "=postgres"];
    let (lines, _) = listed(SHELLS[0], &format!("{POSTGRES}{POSTGRES_DATABASES}"), &values, &[]);
    assert!(lines.contains(&"unfit two lines".into()), "{lines:?}");
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_mariadb_lists_what_a_backup_of_all_holds_under_every_shell() {
    let server = Maria::start();
    let odd = "Ümlaut/../a 'b' \"c\" %s \\n $(id) ; x";
    server.sql(
        "",
        &format!(
            "CREATE DATABASE `{odd}`; CREATE DATABASE plain;
             CREATE USER few@'%' IDENTIFIED BY 'p'; GRANT SELECT ON plain.* TO few@'%';
             CREATE USER `a'll@x`@'%' IDENTIFIED BY 'p'; GRANT SHOW DATABASES ON *.* TO `a'll@x`@'%';
             CREATE USER process@'%' IDENTIFIED BY 'p'; GRANT PROCESS, RELOAD ON *.* TO process@'%'; GRANT SELECT ON plain.* TO process@'%'"
        ),
    );
    // As on a volume with a file system of its own.
    fs::create_dir(server.dir.path().join("data/lost+found")).unwrap();
    let port = server.port.to_string();
    for shell in SHELLS {
        let of = |user: &str, password: &str| {
            let values = ["127.0.0.1", &port, user, password, "$MYSQL_DATABASE", "utf8mb4"];
            listed(shell, &format!("{MYSQL}{MYSQL_DATABASES}"), &values, &[("MARIADB_DATABASE", "shop")]).0
        };
        let mut all = vec![format!("database {MARIA_DATABASE}"), format!("database {odd}"), "database plain".into()];
        let found = |user: &str, password: &str| {
            let mut lines = of(user, password);
            assert_eq!(lines.remove(0), "own shop", "{shell:?}");
            assert_eq!(lines.pop().as_deref(), Some("answers yes"));
            lines.retain(|line| line != "database test");
            lines.sort();
            lines
        };
        all.sort();
        assert_eq!(found("=a'll@x", "=p"), all, "{shell:?}");
        assert_eq!(found("=few", "=p"), ["database plain", "limited yes"], "{shell:?}");
        assert_eq!(found("=process", "=p").last().unwrap(), "limited yes", "{shell:?}");
        assert_eq!(of("=nobody", "=p"), ["own shop"]);
    }
    server.sql("", "CREATE DATABASE `two\nlines`");
    let values = ["127.0.0.1", &port, "=a'll@x", "=p", "=", "utf8mb4"];
    let (lines, _) = listed(SHELLS[0], &format!("{MYSQL}{MYSQL_DATABASES}"), &values, &[]);
    assert!(lines.contains(&"unfit two lines".into()) && lines[0] == "own ", "{lines:?}");
}

/// Tests two dumps after each other in one pod; `values` are those of `verify.sh` behind its folders.
fn verify_both(shell: &[&str], engine: &str, volume: &Path, values: [[&str; 11]; 2]) {
    let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
    let pod = dir.path().join("scratch");
    fs::create_dir(&pod).unwrap();
    ok(Command::new("chmod").args(["-R", "a+rwx"]).arg(dir.path()));
    for (at, of) in values.iter().enumerate() {
        let scratch = pod.join(at.to_string());
        let kept = if at == 0 { "yes" } else { "" };
        let folders = [volume.to_str().unwrap(), scratch.to_str().unwrap()];
        let all = [&folders[..], of, &[pod.to_str().unwrap(), kept]].concat();
        let mut session = Session::running(shell, &format!("{engine}{VERIFY}"), &all, &[]);
        let (key, why) = session.until(&["end", "bad", "lost"]);
        let said = session.last_words();
        assert_eq!((key.as_str(), why.as_str()), ("end", "good"), "{shell:?} {said}");
        assert_eq!(session.seen["rows"], if at == 0 { "3" } else { "5" });
        assert!(session.child.wait().unwrap().success());
        // The next one has all of the room, and the pod waits for it.
        assert_eq!((scratch.exists(), pod.join("done").exists()), (at == 1, at == 1));
    }
}

/// The databases of the tests that verify two.
const TWO: [&str; 2] = ["one", "Ümlaut/../a 'b' \"c\" %s"];

/// Tests the dumps of [`TWO`] so under every shell.
fn verify_both_under_every_shell(engine: &str, folder: &Path, files: &[PathBuf; 2]) {
    let (sums, sizes) = (files.each_ref().map(|file| sha256(file)), files.each_ref().map(|file| size(file)));
    let names = files.each_ref().map(|file| file.file_name().unwrap().to_str().unwrap());
    let of = |at: usize| [names[at], &sizes[at], &sums[at], TWO[at], "", "", "tables 1\n", "", "", "", ""];
    for shell in SHELLS {
        verify_both(shell, engine, folder, [of(0), of(1)]);
    }
}

fn size(file: &Path) -> String {
    fs::metadata(file).unwrap().len().to_string()
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn two_postgresql_databases_are_verified_in_one_pod() {
    let server = Server::start();
    let folder = server.folder("dumps");
    let files = [(TWO[0], 3), (TWO[1], 5)].map(|(name, rows)| {
        server.sql("postgres", &format!("CREATE DATABASE {}", quoted(name)));
        server.sql(name, &format!("CREATE TABLE n AS SELECT i FROM generate_series(1, {rows}) i"));
        let file = folder.join(format!("dump.db-{rows}.sql.gz"));
        ok(server.client("sh", name).args(["-c", "pg_dump --clean --if-exists | gzip >\"$1\"", "sh"]).arg(&file));
        file
    });
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    verify_both_under_every_shell(&engine, &folder, &files);
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn two_mariadb_databases_are_verified_in_one_pod() {
    let server = Maria::start();
    let folder = server.dir.path().join("dumps");
    fs::create_dir(&folder).unwrap();
    let files = [(TWO[0], 3), (TWO[1], 5)].map(|(name, rows)| {
        server.sql("", &format!("CREATE DATABASE `{name}`"));
        server.sql(name, &format!("CREATE TABLE n AS SELECT seq FROM seq_1_to_{rows}"));
        let file = folder.join(format!("dump.db-{rows}.sql.gz"));
        let (password, database) = (format!("={PASSWORD}"), format!("={name}"));
        let user = format!("={USER}");
        let mut session = server.session(SHELLS[0], &file, [&user, &password, &database], &[]);
        assert_eq!(session.dump().0, "proven", "{:?}", session.seen);
        session.close();
        session.until(&["end"]);
        file
    });
    ok(Command::new("chmod").args(["-R", "a+rX"]).arg(&folder));
    let engine = format!("{MYSQL}{MYSQL_VERIFY}");
    verify_both_under_every_shell(&engine, &folder, &files);
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_dump_waits_for_the_others_under_every_shell() {
    let server = Server::start();
    let (port, password, database) = (server.port.to_string(), format!("={PASSWORD}"), format!("={DATABASE}"));
    for shell in SHELLS {
        let folder = server.folder(shell[0]);
        let (file, _) = old_dump_and_secret(&folder, "gz");
        let whole = |limit: usize| {
            let seconds = limit.to_string();
            // With a time limit in seconds, which does not hold for the wait.
            let values = [
                file.to_str().unwrap(),
                "someone",
                &seconds,
                "1",
                "1",
                "/",
                "127.0.0.1",
                &port,
                "=app",
                &password,
                &database,
            ];
            let mut session = Session::of(shell, POSTGRES, &values, &[]);
            session.until(&["looked"]);
            session.tell("dump auto later");
            let (key, bytes) = session.until(&["whole", "lost"]);
            assert_eq!(key, "whole", "{shell:?} {:?}", session.seen);
            for _ in 0..=limit {
                session.until(&["beat"]);
            }
            assert_eq!(fs::read_to_string(&file).unwrap(), "the old dump", "{shell:?}");
            let lines = ["lost", "sha256"].map(|key| session.seen.get(key));
            assert!(globals_of(&file).is_empty() && lines == [None, None], "{shell:?} {lines:?}");
            (session, bytes)
        };
        // Ended while it waits, it leaves the old dump.
        let (mut session, _) = whole(8);
        session.close();
        session.until(&["end"]);
        assert!(session.child.wait().unwrap().success());
        assert_eq!(
            (fs::read_to_string(&file).unwrap().as_str(), left_in(&folder).len()),
            ("the old dump", 0),
            "{shell:?}"
        );
        let (mut session, bytes) = whole(0);
        session.tell("place");
        assert_eq!(session.until(&["proven", "lost"]).0, "proven", "{shell:?} {:?}", session.seen);
        assert_eq!((&session.seen["sha256"], &session.seen["bytes"]), (&sha256(&file), &bytes));
        assert_eq!(globals_of(&file).len(), 1);
        session.tell(&format!("release {} {bytes}", session.seen["inode"]));
        assert_eq!(session.until(&["unchanged"]).1, "yes");
        session.until(&["end"]);
        assert!(session.child.wait().unwrap().success());
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
    }
}
