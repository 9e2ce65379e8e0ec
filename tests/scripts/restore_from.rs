//! A file that is sent into the container and loaded instead of the dump file.

use super::*;

/// Runs `receive.sh` for a session.
fn receive(shell: &[&str], session: &Session, file: &Path, suffix: &str) -> Session {
    Session::beside(shell, RECEIVE, &session.nonce, &[file.to_str().unwrap(), suffix], &[])
}

/// Takes the lock, sends the bytes, and loads them: how it went, what was said to stderr.
fn load_received(shell: &[&str], mut session: Session, file: &Path, suffix: &str, bytes: &[u8]) -> (String, String) {
    session.until(&["looked"]);
    session.tell(&format!("hold {suffix}"));
    session.until(&["locked"]);
    let mut sending = receive(shell, &session, file, suffix);
    sending.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    sending.close();
    sending.until(&["end"]);
    assert_eq!(sending.seen["bytes"], bytes.len().to_string(), "{shell:?}");
    assert!(sending.child.wait().unwrap().success());
    let path = file.with_file_name(format!(
        "{}.backup-ns-{}.{suffix}",
        file.file_name().unwrap().to_str().unwrap(),
        session.nonce
    ));
    assert_eq!(fs::read(&path).unwrap(), bytes, "{shell:?}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    session.tell(&format!("load - 0 {} try", sha256(&path)));
    let outcome = session.until(&["loaded", "lost"]);
    let said = session.last_words();
    assert!(session.child.wait().unwrap().success());
    (outcome.0, format!("{said} {}", outcome.1))
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_file_that_was_received_is_loaded_and_goes_under_every_shell() {
    let server = Server::start();
    let port = server.port.to_string();
    let (password, database) = (format!("={PASSWORD}"), format!("={DATABASE}"));
    let question = "SELECT count(*), md5(string_agg(v, ',' ORDER BY id)) FROM t";
    let good = server.sql(DATABASE, question);
    let plain = ok(server.client("pg_dump", DATABASE).args(["--clean", "--if-exists"])).stdout;
    for shell in SHELLS {
        let folder = server.folder(&format!("from {}", shell[0]));
        // There is no dump file; that of another run is no hindrance.
        let file = folder.join("dump file.sql.gz");
        let packed = |tool: &str| {
            let path = folder.join("plain");
            fs::write(&path, &plain).unwrap();
            filtered(&path, tool);
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            bytes
        };
        let start = || {
            let path = file.to_str().unwrap();
            let values = session_values(path, &port, &["=app", &password, &database]);
            Session::running(shell, &format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}"), &values, &[])
        };
        fs::write(folder.join("dump file.sql.gz.backup-ns-older.from.gz"), "x").unwrap();
        for (suffix, tool) in [("from.gz", "gzip -c"), ("from.zst", "zstd -q -c"), ("from.sql", "cat")] {
            server.sql(DATABASE, "DELETE FROM t");
            let (outcome, said) = load_received(shell, start(), &file, suffix, &packed(tool));
            assert_eq!(
                (outcome.as_str(), server.sql(DATABASE, question)),
                ("loaded", good.clone()),
                "{shell:?} {said}"
            );
            assert_eq!(left_in(&folder), Vec::<String>::new(), "{shell:?} {suffix}");
        }
        // One that is cut off changes nothing, whatever was seen of it before.
        server.sql(DATABASE, "DELETE FROM t WHERE id > 9");
        let changed = server.sql(DATABASE, question);
        let cut = packed("gzip -c | head -c 100000");
        let (outcome, said) = load_received(shell, start(), &file, "from.gz", &cut);
        assert_eq!((outcome.as_str(), server.sql(DATABASE, question)), ("lost", changed.clone()), "{shell:?} {said}");
        assert!(said.contains("could not be read to its end"), "{said}");
        assert_eq!(left_in(&folder), Vec::<String>::new(), "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn what_is_being_received_ends_with_the_session_that_holds_the_lock() {
    let server = Server::start();
    let port = server.port.to_string();
    let (password, database) = (format!("={PASSWORD}"), format!("={DATABASE}"));
    for shell in SHELLS {
        for ending in ["session closes", "session is killed", "receiver closes", "receiver is killed", "no session"] {
            let folder = server.folder(&format!("receiving {} {ending}", shell[0]));
            let file = folder.join("dump.sql.gz");
            let path = file.to_str().unwrap();
            let values = session_values(path, &port, &["=app", &password, &database]);
            let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
            let mut session = Session::running(shell, &parts, &values, &[]);
            session.until(&["looked"]);
            if ending == "no session" {
                let mut receiving = receive(shell, &session, &file, "from.gz");
                receiving.until(&["lost"]);
                assert_eq!(left_in(&folder), Vec::<String>::new(), "{shell:?}");
                receiving.last_words();
                receiving.child.wait().unwrap();
                session.last_words();
                session.child.wait().unwrap();
                continue;
            }
            session.tell("hold from.gz");
            session.until(&["locked"]);
            let mut receiving = receive(shell, &session, &file, "from.gz");
            receiving.stdin.as_mut().unwrap().write_all(&[0; 100_000]).unwrap();
            let received = || {
                let bytes = |name: &String| fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
                left_in(&folder).iter().filter(|name| name.ends_with(".from.gz")).map(bytes).sum::<u64>()
            };
            until("it is received", 20, || received() == 100_000);
            let below = descendants(receiving.child.id());
            assert!(below.values().any(|line| line.starts_with("cat")), "{below:?}");
            let kill = |of: &Session| ok(Command::new("kill").args(["-KILL", &of.child.id().to_string()]));
            match ending {
                "session closes" => session.close(),
                "session is killed" => drop(kill(&session)),
                "receiver closes" => receiving.close(),
                // As containerd does it: the stream ends, too.
                _ => {
                    kill(&receiving);
                    receiving.close();
                }
            }
            until("its processes end", 20, || !below.keys().any(|pid| lives(*pid)));
            session.close();
            receiving.close();
            until("nothing is left", 20, || left_in(&folder).is_empty());
            let _ = (session.child.wait(), receiving.child.wait());
        }
    }
}

#[test]
fn the_text_of_a_dump_says_what_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("dump.sql.gz.backup-ns-n1.from.sql");
    let pg = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\nSET a = 1;\n";
    let my = "-- MySQL dump 10.13  Distrib 9.7.4, for Linux (x86_64)\n--\n-- Host: localhost    Database: \n";
    let of_all = format!("{my}{}\n--\n-- Current Database: `app`\n--\n", "/*!40101 SET x = y */;\n".repeat(20));
    let big = format!("{pg}{}", "INSERT INTO t VALUES (1);\n".repeat(100_000));
    for shell in SHELLS {
        for (text, kind) in [
            (pg, "postgres"),
            (big.as_str(), "postgres"),
            ("--\n-- PostgreSQL database cluster dump\n--\n", "cluster"),
            (my, "mysql"),
            ("-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB\n--\n", "mysql"),
            ("/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib\n--\n", "mysql"),
            (&of_all, "databases"),
            ("PGDMP\x01\x0e", "archive"),
            ("INSERT INTO t VALUES (1);\n", "unknown"),
            ("", "unknown"),
        ] {
            fs::write(&file, text).unwrap();
            let mut session =
                Session::running(shell, &format!("{POSTGRES}{INSPECT}"), &[file.to_str().unwrap(), "whole"], &[]);
            session.until(&["end"]);
            assert_eq!(session.seen["kind"], kind, "{shell:?} {text:.50}");
            session.last_words();
            assert!(session.child.wait().unwrap().success());
        }
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_received_dump_of_mariadb_is_tried_first_and_leads_into_no_other_schema() {
    let server = Maria::start();
    let port = server.port.to_string();
    let (user, password, database) = (format!("={USER}"), format!("={PASSWORD}"), "=app".to_string());
    let socket = format!("--socket={}", server.dir.path().join("socket").display());
    server.sql("", "CREATE DATABASE app; CREATE DATABASE other");
    server
        .sql("app", "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'USE `other`;'), (2, NULL)");
    let dump = |args: &[&str]| {
        ok(Command::new("mariadb-dump").args(["--no-defaults", "--user=root", &socket]).args(args)).stdout
    };
    let whole = dump(&["app"]);
    for shell in SHELLS {
        let folder = server.dir.path().join(format!("from-{}", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("dump.sql.gz");
        let start = || {
            let path = file.to_str().unwrap();
            let values = session_values(path, &port, &[&user, &password, &database, "utf8mb4"]);
            Session::running(shell, &format!("{MYSQL}{MYSQL_LOAD}{LOAD}"), &values, &[])
        };
        server.sql("app", "DELETE FROM t");
        let (outcome, said) = load_received(shell, start(), &file, "from.sql", &whole);
        assert_eq!(outcome, "loaded", "{shell:?} {said}");
        assert_eq!(server.sql("app", "SELECT count(*) FROM t"), "2");
        server.sql("app", "DELETE FROM t WHERE id = 2");
        for bad in [dump(&["--databases", "app"]), [&b"USE `other`;\n"[..], &whole].concat()] {
            let (outcome, said) = load_received(shell, start(), &file, "from.sql", &bad);
            assert_eq!(outcome, "lost", "{shell:?} {said}");
            assert_eq!(server.sql("app", "SELECT count(*) FROM t"), "1", "{shell:?} {said}");
            assert_eq!(server.sql("other", "SHOW TABLES"), "");
            assert_eq!(server.sql("", "SHOW DATABASES LIKE 'backup%'"), "");
            assert_eq!(left_in(&folder), Vec::<String>::new(), "{shell:?}");
        }
    }
}
