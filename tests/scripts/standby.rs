//! A dump from a server that only follows another one.

use super::*;

/// A standby of the server, which lets nothing that it reads hold up what it replays.
fn standby_of(primary: &Server) -> Server {
    let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
    ok(Command::new("chmod").args(["-R", "a+rwX"]).arg(dir.path()));
    let data = dir.path().join("data");
    let mut copy = as_postgres(&binaries().join("pg_basebackup"));
    copy.envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD)]);
    copy.env("PGPORT", primary.port.to_string());
    ok(copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-D"]).arg(&data));
    let settings = data.join("postgresql.auto.conf");
    let mut text = fs::read_to_string(&settings).unwrap();
    text.push_str("max_standby_streaming_delay = 0\nhot_standby_feedback = off\n");
    fs::write(&settings, text).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = Server::run(&data, port);
    let standby = Server { dir, process, port };
    standby.wait();
    standby
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_standby_is_known_and_says_what_ended_its_dump() {
    let primary = Server::start();
    let standby = standby_of(&primary);
    primary.sql(DATABASE, "INSERT INTO t VALUES (-1, 'late')");
    until("the standby follows", 30, || standby.sql(DATABASE, "SELECT count(*) FROM t") == "20002");
    let (password, database) = (format!("={PASSWORD}"), format!("={DATABASE}"));
    let dump = |server: &Server, shell: &[&str], path: &str| {
        let (port, file) = (server.port.to_string(), server.folder(shell[0]).join("d.sql.gz"));
        let file = file.to_str().unwrap();
        let values = [file, "someone", "0", "1", "1", "/", "127.0.0.1", &port, "=app", &password, &database];
        Session::of(shell, POSTGRES, &values, &[("PATH", path)])
    };
    let path = std::env::var("PATH").unwrap();
    for shell in SHELLS {
        for (server, follows) in [(&primary, None), (&standby, Some("yes"))] {
            let mut session = dump(server, shell, &path);
            assert_eq!(session.dump_with("true").0, "proven", "{shell:?} {:?}", session.seen);
            assert_eq!(session.seen.get("standby").map(String::as_str), follows);
            session.close();
            session.until(&["end"]);
        }
    }

    // A dump that reads a table while the primary empties it, which is too large for the buffers between them. It reads slowly, as
    // bash does byte by byte, and without a pause, because a server that cannot send does not notice that its query is to end.
    primary.sql(DATABASE, "CREATE TABLE large AS SELECT repeat(md5(i::text), 12) FROM generate_series(1, 60000) i");
    until("the standby follows", 60, || standby.psql(DATABASE, "SELECT 1 / count(*) FROM large").status.success());
    let fakes = standby.folder("fakes");
    let real = binaries().join("pg_dump");
    let slow = format!(
        "#!/bin/bash\ncase $* in --version) exec {0} --version ;; esac\nset -o pipefail\n\
         {0} \"$@\" | {{ head -c 4000; : >\"${{0%/*}}/reads\"; while IFS= read -r line; do printf '%s\\n' \"$line\"; done; }}\n",
        real.display()
    );
    fs::write(fakes.join("pg_dump"), slow).unwrap();
    ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&fakes));
    let mut session = dump(&standby, SHELLS[0], &format!("{}:{path}", fakes.display()));
    session.until(&["looked"]);
    session.tell("dump false");
    until("the dump reads", 30, || fakes.join("reads").exists());
    primary.sql(DATABASE, "TRUNCATE large");
    until("the standby replays that", 30, || standby.sql(DATABASE, "SELECT count(*) FROM large") == "0");
    assert_eq!(session.until(&["proven", "lost"]).0, "lost");
    let said = session.last_words();
    assert!(said.contains("conflict with recovery"), "{said}");

    // It takes no dump back, and says so in words that are known (src/core/backup/tool_error.rs).
    let file = standby.folder(SHELLS[0][0]).join("d.sql.gz");
    let port = standby.port.to_string();
    let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, &database]);
    let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
    let (outcome, said) = Session::running(SHELLS[0], &parts, &values, &[]).load(&sha256(&file), "try");
    assert_eq!(outcome, "lost");
    assert!(said.contains("in a read-only transaction") || said.contains("during recovery"), "{said}");
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_mariadb_that_is_read_only_is_known_and_takes_no_dump() {
    let server = Maria::start();
    // One who may write to a server that is read-only would not be held up by that.
    server.sql(
        "",
        &format!(
            "CREATE USER plain@'%' IDENTIFIED BY 'p'; GRANT ALL ON `{MARIA_DATABASE}`.* TO plain@'%';
             GRANT SELECT ON mysql.proc TO plain@'%'; SET GLOBAL read_only = 1"
        ),
    );
    let (file, database) = (server.dir.path().join("d.sql.gz"), format!("={MARIA_DATABASE}"));
    let mut session = server.session(SHELLS[0], &file, ["=plain", "=p", &database], &[]);
    assert_eq!(session.dump().0, "proven", "{:?}", session.seen);
    assert_eq!(session.seen.get("standby").map(String::as_str), Some("yes"));
    session.close();
    session.until(&["end"]);
    let port = server.port.to_string();
    let values = session_values(file.to_str().unwrap(), &port, &["=plain", "=p", &database, "utf8mb4"]);
    let mut session = Session::running(SHELLS[0], &format!("{MYSQL}{MYSQL_LOAD}{LOAD}"), &values, &[]);
    let (outcome, said) = session.load(&sha256(&file), "not");
    assert_eq!(outcome, "lost");
    assert!(said.contains("ERROR 1290"), "{said}");
    assert_eq!(server.sql(MARIA_DATABASE, "SELECT count(*) FROM t"), "20002");
}
