//! Tablespaces, which a dump names and does not hold, and a data directory whose tablespaces are on other volumes.

use super::*;

/// A tablespace of the server with its files in this folder of the machine.
fn make_tablespace(server: &Server, name: &str, folder: &Path) {
    ok(as_postgres(Path::new("mkdir")).arg("-p").arg(folder));
    server.sql("postgres", &format!("CREATE TABLESPACE \"{name}\" LOCATION '{}'", folder.display()));
}

/// A database `shop` of its own tablespace, with a table and an index in others.
fn spread() -> Server {
    let server = Server::start();
    ok(Command::new("chmod").args(["a+rwX"]).arg(server.dir.path()));
    for name in ["own", "fast", "else where", "unused"] {
        make_tablespace(&server, name, &server.dir.path().join("places").join(name.replace(' ', "-")));
    }
    server.sql("postgres", "CREATE DATABASE shop TABLESPACE own");
    server.sql(
        "shop",
        "CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE \"else where\", v text) TABLESPACE fast;
         INSERT INTO t SELECT i, repeat('x', 9000) FROM generate_series(1, 50) i;
         CREATE TABLE plain (n int); CREATE TABLE here (n int) TABLESPACE pg_default",
    );
    server
}

fn session_of(server: &Server, shell: &[&str], file: &Path, database: &str) -> Session {
    let (password, database) = (format!("={PASSWORD}"), format!("={database}"));
    Session::start(shell, server, file, "=app", &password, &database, &[])
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn tablespaces_are_named_before_a_load_needs_them() {
    let (server, other) = (spread(), Server::start());
    ok(Command::new("chmod").args(["a+rwX"]).arg(other.dir.path()));
    let named = |shell: &[&str], database: &str| {
        let told = facts(session_of(&server, shell, &server.folder("look").join("d.gz"), database));
        told.into_iter().filter_map(|line| line.strip_prefix("left-out ").map(str::to_string)).collect::<Vec<_>>()
    };
    for (number, shell) in SHELLS.into_iter().enumerate() {
        // A table in the tablespace of its database is dumped without one, and pg_default is everywhere.
        let wanted = ["place own", "tablespace else where", "tablespace fast"];
        assert_eq!(named(shell, "shop"), wanted, "{shell:?}");
        assert_eq!(named(shell, DATABASE), [""; 0], "{shell:?}");

        let file = server.folder(&format!("dump {}", shell[0])).join("d.sql.gz");
        let mut session = session_of(&server, shell, &file, "shop");
        assert_eq!(session.dump().0, "proven", "{:?}", session.seen);
        session.close();
        session.until(&["end"]);

        // A server without them: the load names the first one and changes nothing; with them it loads.
        let database = format!("shop{number}");
        other.sql("postgres", &format!("CREATE DATABASE {database}"));
        let load = || {
            let (password, database) = (format!("={PASSWORD}"), format!("={database}"));
            let port = other.port.to_string();
            let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, &database]);
            let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
            Session::running(shell, &parts, &values, &[]).load(&sha256(&file), "try")
        };
        let (outcome, said) = load();
        assert_eq!(outcome, "lost", "{shell:?} {said}");
        assert!(said.contains("invalid value for parameter \"default_tablespace\": \"fast\""), "{shell:?} {said}");
        assert_eq!(other.sql(&database, "SELECT count(*) FROM pg_class WHERE relname = 'plain'"), "0", "{shell:?}");
        for name in ["fast", "else where"] {
            make_tablespace(
                &other,
                name,
                &other.dir.path().join(format!("places-{number}")).join(name.replace(' ', "-")),
            );
        }
        let (outcome, said) = load();
        assert_eq!(outcome, "loaded", "{shell:?} {said}");
        assert_eq!(other.sql(&database, "SELECT count(*) FROM t"), "50", "{shell:?}");
        assert_eq!(other.sql(&database, "SELECT tablespace FROM pg_tables WHERE tablename = 't'"), "fast");
        other.sql("postgres", &format!("DROP DATABASE {database}"));
        other.sql("postgres", "DROP TABLESPACE fast");
        other.sql("postgres", "DROP TABLESPACE \"else where\"");

        // A restore test makes them, so that the dump has a verdict.
        let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
        let found = verify(shell, AWKS[number], &engine, &file, "shop", "SELECT count(*) = 50 FROM t");
        assert_eq!(found, ["tables 3", "rows 50", "query yes", "end good"], "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_data_directory_without_its_tablespaces_gets_no_verdict() {
    let mut server = spread();
    let oid = server.sql("postgres", "SELECT oid FROM pg_tablespace WHERE spcname = 'fast'");
    server.stop("INT");
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    let dir = server.dir.path();
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let copied = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
        let volume = copied.path().join("volume");
        fs::create_dir(&volume).unwrap();
        ok(Command::new("chmod").args(["a+rwX"]).arg(copied.path()).arg(&volume));
        let copy = |what: &str| ok(Command::new("cp").arg("-a").arg(dir.join(what)).arg(&volume));
        let test = || {
            let values = ["", "", "", "", "", "yes", "", ""];
            verify_volume(&[], shell, awk, &engine, &volume, &values)
        };
        // In the volume they are found, although the volume was mounted elsewhere. What is there still is not read.
        copy("data");
        copy("places");
        assert_eq!(test(), ["physical yes", "end good"], "{shell:?}");
        let links = fs::read_dir(volume.join("data/pg_tblspc")).unwrap();
        let targets: Vec<PathBuf> = links.map(|link| fs::read_link(link.unwrap().path()).unwrap()).collect();
        assert!(targets.len() == 4 && targets.iter().all(|target| target.starts_with(&volume)), "{targets:?}");

        // On another volume: no verdict, and the name of the missing one.
        fs::remove_dir_all(volume.join("data")).unwrap();
        fs::remove_dir_all(volume.join("places/fast")).unwrap();
        copy("data");
        let why = format!(
            "lost place the tablespace at {} (pg_tblspc/{oid}) is not in this volume",
            dir.join("places/fast").display()
        );
        assert_eq!(test(), [why], "{shell:?}");

        // One whose path ends alike is another one.
        fs::remove_dir_all(volume.join("data")).unwrap();
        copy("data");
        let link = volume.join("data/pg_tblspc").join(&oid);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/elsewhere/places/unused", &link).unwrap();
        let found = test();
        assert!(found.len() == 1 && found[0].starts_with("lost place the tablespace at "), "{shell:?} {found:?}");
    }
}
