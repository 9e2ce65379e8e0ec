//! The container's scripts on this machine, against a real PostgreSQL, under every shell that a container may have:
//! dash, busybox ash and bash. `make test` installs what they need.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "scripts/accounts.rs"]
mod accounts;
#[path = "scripts/databases.rs"]
mod databases;
#[path = "scripts/export.rs"]
mod export;
#[path = "scripts/import.rs"]
mod import;
#[path = "scripts/invalid_view.rs"]
mod invalid_view;
#[path = "remote/mod.rs"]
mod remote;
#[path = "scripts/remotes.rs"]
mod remotes;
#[path = "scripts/restore_from.rs"]
mod restore_from;
#[path = "scripts/restore_table.rs"]
mod restore_table;
#[path = "scripts/standby.rs"]
mod standby;
#[path = "scripts/tablespaces.rs"]
mod tablespaces;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const BOOTSTRAP: &str = include_str!("../src/container/bootstrap.sh");
const COMMON: &str = include_str!("../src/container/common.sh");
const POSTGRES: &str = include_str!("../src/container/postgres.sh");
const POSTGRES_GLOBALS: &str =
    concat!(include_str!("../src/container/postgres-globals.sh"), include_str!("../src/container/globals.sh"));
const MYSQL_GLOBALS: &str =
    concat!(include_str!("../src/container/mysql-globals.sh"), include_str!("../src/container/globals.sh"));
const MYSQL: &str = include_str!("../src/container/mysql.sh");
const SESSION: &str = concat!(
    include_str!("../src/container/session.sh"),
    include_str!("../src/container/dump.sh"),
    include_str!("../src/container/commands.sh")
);
const LOAD: &str = concat!(
    include_str!("../src/container/session.sh"),
    include_str!("../src/container/load.sh"),
    include_str!("../src/container/commands.sh")
);
const POSTGRES_REPLACE: &str = include_str!("../src/container/postgres-replace.sh");
const POSTGRES_LOAD: &str =
    concat!(include_str!("../src/container/postgres-roles.sh"), include_str!("../src/container/postgres-load.sh"));
const POSTGRES_INSPECT: &str =
    concat!(include_str!("../src/container/postgres-facts.sh"), include_str!("../src/container/postgres-inspect.sh"));
const POSTGRES_TABLE: &str = include_str!("../src/container/postgres-table.sh");
const LOAD_TABLE: &str = concat!(
    include_str!("../src/container/session.sh"),
    include_str!("../src/container/load.sh"),
    include_str!("../src/container/table.sh"),
    include_str!("../src/container/commands.sh")
);
const MYSQL_TABLE: &str =
    concat!(include_str!("../src/container/mysql-scratch.sh"), include_str!("../src/container/mysql-table.sh"));
const POSTGRES_INFO: &str = include_str!("../src/container/postgres-info.sh");
const MYSQL_INSPECT: &str =
    concat!(include_str!("../src/container/mysql-accounts.sh"), include_str!("../src/container/mysql-inspect.sh"));
const MYSQL_LOAD: &str = concat!(
    include_str!("../src/container/mysql-scratch.sh"),
    include_str!("../src/container/mysql-accounts.sh"),
    include_str!("../src/container/mysql-load.sh")
);
const MYSQL_INFO: &str = include_str!("../src/container/mysql-info.sh");
const RECEIVE: &str = include_str!("../src/container/receive.sh");
const INFO: &str = include_str!("../src/container/info.sh");
const POSTGRES_DATABASES: &str =
    concat!(include_str!("../src/container/postgres-databases.sh"), include_str!("../src/container/databases.sh"));
const MYSQL_DATABASES: &str =
    concat!(include_str!("../src/container/mysql-databases.sh"), include_str!("../src/container/databases.sh"));
const INSPECT: &str = include_str!("../src/container/inspect.sh");
const HOLD_PASSWORD: &str = include_str!("../src/container/hold-password.sh");
const SHELL: &str = include_str!("../src/container/shell.sh");
const FLUSH: &str = include_str!("../src/container/flush.sh");
const HOOK: &str = include_str!("../src/container/hook.sh");
const POSTGRES_VERIFY: &str = concat!(
    include_str!("../src/container/postgres-facts.sh"),
    include_str!("../src/container/postgres-roles.sh"),
    include_str!("../src/container/postgres-verify.sh")
);
const MYSQL_VERIFY: &str =
    concat!(include_str!("../src/container/mysql-accounts.sh"), include_str!("../src/container/mysql-verify.sh"));
const VERIFY: &str = concat!(include_str!("../src/container/scratch.sh"), include_str!("../src/container/verify.sh"));
const KEEPALIVE: &str = include_str!("../src/container/keepalive.sh");
const RECHECK: &str = include_str!("../src/container/recheck.sh");
const END: &str = "#end-of-script\n";

const SHELLS: [&[&str]; 3] = [&["dash"], &["busybox", "sh"], &["bash"]];

/// What no shell, no connection string and no option parser may take for anything but text.
const PASSWORD: &str = "p w'\"$HOME\\n`id`%s;#\u{e9}";
const DATABASE: &str = "--odd name=x 'q' \"d\" $HOME";

/// A scratch PostgreSQL server of this machine, which asks for a password.
struct Server {
    dir: tempfile::TempDir,
    process: Child,
    port: u16,
}

/// A command as a user who may run a PostgreSQL server, which root may not.
fn as_postgres(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL on this machine (make init installs it)");
    versions.flatten().map(|version| version.path().join("bin")).max().unwrap()
}

fn ok(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
        let data = dir.path().join("data");
        let password = dir.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        ok(Command::new("chmod").args(["-R", "a+rwX"]).arg(dir.path()));
        ok(as_postgres(&binaries().join("initdb"))
            .args([
                "--no-sync",
                "--auth=scram-sha-256",
                "--username=app",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--pwfile",
            ])
            .arg(&password)
            .arg(&data));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Server::run(&data, port);
        let server = Server { dir, process, port };
        server.wait();
        server.sql("postgres", &format!("CREATE DATABASE \"{}\"", DATABASE.replace('"', "\"\"")));
        server.sql(
            DATABASE,
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
             INSERT INTO t VALUES (0, E'\\n--\\n-- PostgreSQL database dump complete\\n--\\n');
             SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex'))",
        );
        server
    }

    fn psql(&self, database: &str, statement: &str) -> Output {
        let arguments = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement];
        self.client("psql", database).args(arguments).output().unwrap()
    }

    fn run(data: &Path, port: u16) -> Child {
        as_postgres(&binaries().join("postgres"))
            .args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-p", &port.to_string(), "-k", ""])
            .args(["-c", "wal_level=logical"])
            .arg("-D")
            .arg(data)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait(&self) {
        let answers = || self.psql("postgres", "SELECT 1").status.success();
        until("the scratch server answers", 60, answers);
    }

    fn restart(&mut self) {
        self.stop("INT");
        self.process = Server::run(&self.dir.path().join("data"), self.port);
        self.wait();
    }

    fn stop(&mut self, signal: &str) {
        let pid = fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            let _ = Command::new("kill").args([&format!("-{signal}"), pid]).status();
        }
        let _ = self.process.wait();
    }

    /// A client of a database.
    fn client(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(program);
        command.envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD), ("PGDATABASE", database)]);
        command.env("PGPORT", self.port.to_string());
        command
    }

    fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database, statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// Statement by statement, because a subscription is not made together with something else.
    fn feed(&self, database: &str, text: &str) {
        let mut psql = self.client("psql", database);
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
    }

    /// A folder of its own for one test's dump.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.dir.path().join(name.replace(' ', "-"));
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop("QUIT");
    }
}

/// One byte after the other in the form that `printf '%b'` reads.
fn escaped(value: &str) -> String {
    value.bytes().map(|byte| format!("\\0{byte:03o}")).collect()
}

/// The values of a session behind the nonce: the dump file, no time limit, compression level 1, one mount, and the connection to a
/// server of this machine: its port, the user, the password, the database, and what the engine wants besides.
fn session_values<'a>(file: &'a str, port: &'a str, connection: &[&'a str]) -> Vec<&'a str> {
    [&[file, "someone", "0", "1", "1", "/", "127.0.0.1", port], connection].concat()
}

/// A running session.
struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    nonce: String,
    seen: BTreeMap<String, String>,
    /// When a heartbeat was sent.
    beaten: Instant,
}

impl Session {
    /// Of each of these facts the value began so, before the dump and after it.
    #[track_caller]
    fn noted(&self, facts: &[(&str, &str)]) {
        for (fact, value) in facts {
            let [before, after] = ["before", "after"].map(|when| self.seen.get(&format!("{when} {fact}")));
            assert!(before.is_some_and(|it| it.starts_with(value)), "{fact}: {:?}", self.seen);
            assert_eq!(before, after, "{fact}");
        }
    }

    fn start(
        shell: &[&str],
        server: &Server,
        file: &Path,
        user: &str,
        password: &str,
        database: &str,
        env: &[(&str, &str)],
    ) -> Session {
        let port = server.port.to_string();
        let values = session_values(file.to_str().unwrap(), &port, &[user, password, database]);
        Session::of(shell, POSTGRES, &values, env)
    }

    /// A session with the database of this script and these values behind the nonce.
    fn of(shell: &[&str], engine: &str, values: &[&str], env: &[(&str, &str)]) -> Session {
        let globals = if engine == POSTGRES { POSTGRES_GLOBALS } else { MYSQL_GLOBALS };
        Session::running(shell, &format!("{engine}{globals}{SESSION}"), values, env)
    }

    /// A session of these parts, likewise.
    fn running(shell: &[&str], parts: &str, values: &[&str], env: &[(&str, &str)]) -> Session {
        Session::beside(shell, parts, &format!("nonce{}", fastrand_like()), values, env)
    }

    /// Another script of the run with this nonce.
    fn beside(shell: &[&str], parts: &str, nonce: &str, values: &[&str], env: &[(&str, &str)]) -> Session {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", BOOTSTRAP]).env_clear().env("PATH", std::env::var("PATH").unwrap());
        command.envs(env.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let values = std::iter::once(nonce).chain(values.iter().copied());
        let values: String = values.map(|value| escaped(value) + "\n").collect();
        stdin.write_all(format!("{COMMON}{parts}{END}{values}").as_bytes()).unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
        Session { child, stdin: Some(stdin), lines, nonce: nonce.into(), seen: BTreeMap::new(), beaten: Instant::now() }
    }

    fn tell(&mut self, command: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{command}\n").as_bytes()).unwrap();
    }

    /// Reads up to the line with one of these keys; which, and what it says.
    fn until(&mut self, keys: &[&str]) -> (String, String) {
        loop {
            // As the program does it, so that a busy machine does not end the session.
            if self.beaten.elapsed() > Duration::from_secs(5) {
                self.beaten = Instant::now();
                if let Some(stdin) = &mut self.stdin {
                    let _ = stdin.write_all(b"beat\n");
                }
            }
            let line = self.lines.recv_timeout(Duration::from_secs(60));
            let line = line.unwrap_or_else(|_| {
                self.child.kill().ok();
                let output = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
                panic!("no {keys:?} after {:?}: {output}", self.seen)
            });
            let rest = line.strip_prefix(&format!("{} ", self.nonce)).expect("every line has the nonce").to_string();
            let (key, value) = rest.split_once(' ').unwrap();
            let mut words = value.splitn(3, ' ');
            match (key, words.next(), words.next(), words.next()) {
                // Facts of the inventories, by what they are about.
                ("before" | "after", Some(kind), Some(name), fact) => {
                    self.seen.insert(format!("{key} {kind} {name}"), fact.unwrap_or_default().into())
                }
                _ => self.seen.insert(key.into(), value.into()),
            };
            if keys.contains(&key) {
                return (key.into(), value.into());
            }
        }
    }

    fn dump(&mut self) -> (String, String) {
        self.dump_with("false")
    }

    /// A dump with this word for the file of roles.
    fn dump_with(&mut self, globals: &str) -> (String, String) {
        self.until(&["looked"]);
        self.tell(&format!("dump {globals}"));
        self.until(&["proven", "lost", "busy"])
    }

    /// Loads the file with this hash; how it went, and what it said to stderr.
    fn load(&mut self, sum: &str, how: &str) -> (String, String) {
        self.load_with("-", sum, how)
    }

    /// As [`Session::load`], with the file of roles that has the hash `globals`.
    fn load_with(&mut self, globals: &str, sum: &str, how: &str) -> (String, String) {
        self.until(&["looked"]);
        let looked = ["missing", "answers"].map(|key| self.seen.get(key).map(String::as_str));
        if looked != [Some(""), Some("yes")] {
            let said = self.last_words();
            panic!("{:?}: {said}", self.seen);
        }
        self.tell(&format!("load {globals} 0 {sum} {how}"));
        let outcome = self.until(&["loaded", "lost"]).0;
        let said = self.last_words();
        assert!(self.child.wait().unwrap().success());
        (outcome, said)
    }

    fn close(&mut self) {
        drop(self.stdin.take());
    }

    /// Ends it; everything that it wrote to stderr.
    fn last_words(&mut self) -> String {
        self.close();
        std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap()
    }
}

/// A number that differs from call to call and from process to process.
fn fastrand_like() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn left_in(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains("backup-ns")).collect()
}

/// The processes that descend from this one, with their command lines.
fn descendants(ancestor: u32) -> BTreeMap<u32, String> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let below = |pid: &u32| std::iter::successors(parent(*pid), |pid| parent(*pid)).any(|pid| pid == ancestor);
    let line = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(below).map(|pid| (pid, String::from_utf8_lossy(&line(pid)).replace('\0', " "))).collect()
}

/// The pg_dump that a session runs.
fn dumping(session: &Session) -> u32 {
    let mut found = None;
    until("pg_dump runs", 20, || {
        let all = descendants(session.child.id());
        found = all.iter().find(|(_, line)| line.contains("pg_dump --no-password")).map(|(pid, _)| *pid);
        found.is_some()
    });
    found.unwrap()
}

/// Whether a process lives; one that only waits to be reaped does not.
fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !done() {
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every shell with each format of a dump file.
fn shells_and_formats() -> impl Iterator<Item = (&'static [&'static str], &'static str)> {
    SHELLS.into_iter().flat_map(|shell| ["gz", "zst"].map(|suffix| (shell, suffix)))
}

/// The command that unpacks a dump file of this suffix.
fn unpacker(suffix: &str) -> &'static str {
    if suffix == "zst" { "zstd -q -dc" } else { "gzip -dc" }
}

/// A file of an old dump in a folder, and one that holds the password.
fn old_dump_and_secret(folder: &Path, suffix: &str) -> (PathBuf, PathBuf) {
    let (file, secret) = (folder.join(format!("dump file.sql.{suffix}")), folder.join("secret"));
    fs::write(&file, "the old dump").unwrap();
    fs::write(&secret, format!("{PASSWORD}\n")).unwrap();
    (file, secret)
}

/// A folder that holds only these programs and the shells, for a PATH.
fn only_these(parent: &Path, programs: &[&str]) -> String {
    let folder = parent.join("few");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    for program in programs.iter().chain(&["bash", "busybox", "dash"]) {
        let real = ok(Command::new("sh").args(["-c", "command -v \"$1\"", "sh", program])).stdout;
        let real = String::from_utf8(real).unwrap();
        std::os::unix::fs::symlink(real.trim(), folder.join(program)).unwrap();
    }
    folder.display().to_string()
}

fn sha256(file: &Path) -> String {
    String::from_utf8_lossy(&ok(Command::new("sha256sum").arg(file)).stdout).split(' ').next().unwrap().into()
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_dump_is_made_proven_and_can_be_loaded_under_every_shell() {
    let server = Server::start();
    for (shell, suffix) in shells_and_formats() {
        let folder = server.folder(&format!("it's a {} $folder {suffix}", shell.join("-")));
        let (file, secret) = old_dump_and_secret(&folder, suffix);
        // As the official image has it: names in the container's variables, one of them by a file.
        let env =
            [("POSTGRES_USER", "app"), ("POSTGRES_PASSWORD_FILE", secret.to_str().unwrap()), ("POSTGRES_DB", DATABASE)];
        let mut session =
            Session::start(shell, &server, &file, "$POSTGRES_USER", "$POSTGRES_PASSWORD", "$POSTGRES_DB", &env);
        assert_eq!(session.dump().0, "proven", "{shell:?} {:?}", session.seen);
        assert_eq!(session.seen["answers"], "yes");
        assert_eq!(session.seen["sha256"], sha256(&file), "{shell:?}");
        assert_eq!(session.seen["bytes"], fs::metadata(&file).unwrap().len().to_string());
        assert_eq!(session.seen["old-bytes"], "12");
        session.noted(&[
            ("object tables", "1 "),
            ("object indexes", "1 "),
            ("object extensions", "1 "),
            ("property encoding", "UTF8"),
            ("property ctype", "C.UTF-8"),
            ("property TimeZone", ""),
            ("property version", ""),
        ]);
        assert!(session.seen["inodes"].split_whitespace().count() >= 6, "{shell:?} {:?}", session.seen);
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&file).unwrap());
        assert_eq!(session.seen["inode"], inode.to_string());

        // The second look says the same.
        let mut second = Command::new(shell[0]);
        second.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut second = second.spawn().unwrap();
        let values = format!("{}\n{}\n", escaped("n2"), escaped(file.to_str().unwrap()));
        second.stdin.take().unwrap().write_all(format!("{COMMON}{RECHECK}{END}{values}").as_bytes()).unwrap();
        let said = String::from_utf8(second.wait_with_output().unwrap().stdout).unwrap();
        for key in ["identity", "inode", "bytes", "sha256"] {
            assert!(said.contains(&format!("n2 {key} {}\n", session.seen[key])), "{shell:?} {key}: {said}");
        }
        assert!(said.ends_with("n2 end yes\n"), "{said}");

        let release = format!("release {inode} {}", session.seen["bytes"]);
        session.tell(&release);
        assert_eq!(session.until(&["unchanged"]).1, "yes");
        session.until(&["end"]);
        assert!(session.child.wait().unwrap().success());
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));

        // Loaded into a fresh database it is the same.
        let copy = format!("copy_{}_{suffix}", shell[0]);
        server.sql("postgres", &format!("CREATE DATABASE {copy}"));
        let load = format!("{} \"$1\" | psql -XAtq -v ON_ERROR_STOP=1 -d {copy}", unpacker(suffix));
        ok(Command::new("sh")
            .args(["-c", &load, "sh"])
            .arg(&file)
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD)])
            .env("PGPORT", server.port.to_string()));
        for question in ["SELECT count(*), md5(string_agg(v, ',' ORDER BY id)) FROM t", "SELECT md5(lo_get(4711))"] {
            assert_eq!(server.sql(&copy, question), server.sql(DATABASE, question), "{shell:?}");
        }
    }
}

/// The files of roles beside a dump.
fn globals_of(file: &Path) -> Vec<PathBuf> {
    let name = format!("{}.globals-", file.file_name().unwrap().to_str().unwrap());
    let all = fs::read_dir(file.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
    all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).collect()
}

/// What the recheck of a file reports.
fn recheck(shell: &[&str], file: &Path) -> String {
    let mut second = Command::new(shell[0]);
    second.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut second = second.spawn().unwrap();
    let values = format!("{}\n{}\n", escaped("n2"), escaped(file.to_str().unwrap()));
    second.stdin.take().unwrap().write_all(format!("{COMMON}{RECHECK}{END}{values}").as_bytes()).unwrap();
    String::from_utf8(second.wait_with_output().unwrap().stdout).unwrap()
}

const ROLES: &str = r#"CREATE ROLE "web ""app""" LOGIN PASSWORD 'hunter2'; CREATE ROLE "Staff"; GRANT "Staff" TO "web ""app""";
    COMMENT ON ROLE "Staff" IS E'it''s\nCREATE ROLE other;\n\\c'; ALTER ROLE "Staff" SET search_path TO 'a b', 'c';
    CREATE ROLE limited LOGIN PASSWORD 'hunter3'; GRANT pg_read_all_data TO limited"#;

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn the_servers_roles_are_written_beside_the_dump_under_every_shell() {
    let server = Server::start();
    server.sql("postgres", ROLES);
    // A member of pg_read_all_data may read the hashes of passwords; this one may not.
    server.sql(
        DATABASE,
        "CREATE ROLE reader LOGIN PASSWORD 'hunter4'; GRANT SELECT ON t TO reader; GRANT SELECT ON LARGE OBJECT 4711 TO reader",
    );
    for shell in SHELLS {
        let folder = server.folder(&format!("it's a {} $folder", shell[0]));
        let file = folder.join("dump file.sql.gz");
        let of = |user: &str, password: &str| {
            let (user, password, name) = (format!("={user}"), format!("={password}"), format!("={DATABASE}"));
            Session::start(shell, &server, &file, &user, &password, &name, &[])
        };
        let end = |mut session: Session| {
            session.close();
            session.until(&["end"]);
            assert!(session.child.wait().unwrap().success());
            assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
        };
        for globals in ["auto", "true"] {
            let mut session = of("app", PASSWORD);
            assert_eq!(session.dump_with(globals).0, "proven", "{shell:?} {:?}", session.seen);
            assert_eq!(session.seen["globals-tool"], "pg_dumpall");
            let beside = globals_of(&file);
            assert_eq!(beside.len(), 1, "{shell:?} that of an earlier dump is removed: {beside:?}");
            let (sum, bytes) = (sha256(&beside[0]), fs::metadata(&beside[0]).unwrap().len());
            assert!(beside[0].ends_with(format!("dump file.sql.gz.globals-{}.sql", &sum[..16])), "{beside:?}");
            assert_eq!(session.seen["globals"], format!("5 yes {bytes} {sum}"), "{shell:?}");
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&beside[0]).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600, "{shell:?}");
            let text = fs::read_to_string(&beside[0]).unwrap();
            assert_eq!(text.matches("SCRAM-SHA-256").count(), 4, "{text}");
            assert!(text.contains("GRANT \"Staff\" TO \"web \"\"app\"\"\""), "{text}");
            assert!(session.seen.values().all(|value| !value.contains("SCRAM")), "{:?}", session.seen);
            assert!(recheck(shell, &file).contains(&format!("n2 globals-file {bytes} {sum}\n")), "{shell:?}");
            end(session);
        }
        // Two files of the same roles have different hashes, so that these confirm no guess at a password.
        let first = globals_of(&file);
        let mut session = of("reader", "hunter4");
        assert_eq!(session.dump_with("true").0, "proven", "{shell:?} {:?}", session.seen);
        let beside = globals_of(&file);
        assert_ne!(beside, first);
        assert!(session.seen["globals"].starts_with("5 no "), "{shell:?} {:?}", session.seen);
        let text = fs::read_to_string(&beside[0]).unwrap();
        assert!(text.contains("CREATE ROLE reader;") && !text.contains("SCRAM"), "{text}");
        end(session);
        let mut session = of("app", PASSWORD);
        assert_eq!(session.dump_with("false").0, "proven", "{shell:?} {:?}", session.seen);
        assert_eq!((session.seen.get("globals"), globals_of(&file).len()), (None, 0), "{shell:?}");
        end(session);
    }
}

/// The file of roles takes no time of its own: this pg_dump ends only after pg_dumpall was started. If that fails, for want of a
/// second connection perhaps, it is started again when the dump is done.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn roles_are_written_beside_the_dump_and_once_more_after_it_if_that_failed() {
    let server = Server::start();
    let fakes = server.folder("fakes");
    let path = format!("{}:{}", fakes.display(), std::env::var("PATH").unwrap());
    let fake = |name: &str, script: &str| {
        fs::write(fakes.join(name), format!("#!/bin/sh\nPATH=${{PATH#*:}}\n{script}\n")).unwrap();
        ok(Command::new("chmod").args(["-R", "a+rwx"]).arg(&fakes));
    };
    for shell in SHELLS {
        let (folder, tried) = (server.folder(shell[0]), fakes.join("tried").display().to_string());
        fake(
            "pg_dump",
            &format!(
                "pg_dump \"$@\" || exit; [ \"$1\" != --version ] || exit 0
                for _ in $(seq 60); do [ ! -e {tried} ] || exit 0; sleep 1; done; exit 9"
            ),
        );
        fake("pg_dumpall", &format!("echo x >>{tried}; [ $(wc -l <{tried}) = 2 ] || exit 1; exec pg_dumpall \"$@\""));
        let file = folder.join("d.sql.gz");
        let (password, name) = (format!("={PASSWORD}"), format!("={DATABASE}"));
        let mut session = Session::start(shell, &server, &file, "=app", &password, &name, &[("PATH", &path)]);
        let outcome = session.dump_with("true");
        assert_eq!(outcome.0, "proven", "{shell:?} {outcome:?} {:?}", session.seen);
        assert_eq!(globals_of(&file).len(), 1);
        session.close();
        session.until(&["end"]);
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
        fs::remove_file(&tried).unwrap();
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn roles_that_cannot_be_written_fail_the_dump_only_where_they_must_be_there() {
    let server = Server::start();
    let fakes = server.folder("fakes");
    let fake = |name: &str, script: &str| {
        let _ = fs::remove_dir_all(&fakes);
        fs::create_dir_all(&fakes).unwrap();
        let real = "PATH=${PATH#*:}";
        fs::write(fakes.join(name), format!("#!/bin/sh\n{real}\n{script}\n")).unwrap();
        ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&fakes));
    };
    let path = format!("{}:{}", fakes.display(), std::env::var("PATH").unwrap());
    let faults = [
        (
            "pg_dumpall",
            "echo 'pg_dumpall: error: permission denied' >&2; exit 1",
            "with status 1: pg_dumpall: error: permission",
        ),
        ("pg_dumpall", "pg_dumpall \"$@\" | head -n 20", "does not end as a complete one"),
        ("pg_dumpall", "kill -KILL $$", "with status 137"),
        (
            "psql",
            "case $* in *pg_authid*) echo no; exit 1 ;; esac; exec psql \"$@\"",
            "the server cannot be asked for its roles",
        ),
    ];
    for ((tool, script, why), shell) in faults.into_iter().zip(SHELLS.into_iter().cycle()) {
        let folder = server.folder(&format!("{} {}", shell[0], why.len()));
        let file = folder.join("d.sql.gz");
        let of = || {
            let (password, name) = (format!("={PASSWORD}"), format!("={DATABASE}"));
            Session::start(shell, &server, &file, "=app", &password, &name, &[("PATH", &path)])
        };
        fake("unused", "");
        let mut session = of();
        assert_eq!(session.dump_with("true").0, "proven", "{shell:?} {:?}", session.seen);
        session.close();
        session.until(&["end"]);
        let before = (sha256(&file), globals_of(&file));
        assert_eq!(before.1.len(), 1);
        fake(tool, script);
        let mut session = of();
        let (key, said) = session.dump_with("true");
        assert!(key == "lost" && said.starts_with("globals ") && said.contains(why), "{shell:?} {said}");
        session.close();
        session.until(&["end"]);
        assert_eq!((sha256(&file), globals_of(&file)), before, "nothing is replaced");
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
        let mut session = of();
        assert_eq!(session.dump_with("auto").0, "proven", "{shell:?} {:?}", session.seen);
        assert!(session.seen["no-globals"].contains(why), "{shell:?} {:?}", session.seen);
        assert_eq!((session.seen.get("globals"), globals_of(&file).len()), (None, 0), "{shell:?}");
        session.close();
        session.until(&["end"]);
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
    }
    // A dump that cannot take the old one's place leaves the file of the old one's proof, whatever became of the new one.
    for shell in SHELLS {
        let folder = server.folder(shell[0]);
        let file = folder.join("d.sql.gz");
        let (password, name) = (format!("={PASSWORD}"), format!("={DATABASE}"));
        let of = || Session::start(shell, &server, &file, "=app", &password, &name, &[("PATH", &path)]);
        fake("unused", "");
        let mut session = of();
        assert_eq!(session.dump_with("true").0, "proven");
        session.close();
        session.until(&["end"]);
        let before = (sha256(&file), globals_of(&file));
        let of_old = sha256(&before.1[0]);
        fake("mv", "case $* in *.dump*) echo 'mv: Read-only file system' >&2; exit 1 ;; esac; exec mv \"$@\"");
        let mut session = of();
        assert_eq!(session.dump_with("true").0, "lost", "{shell:?} {:?}", session.seen);
        session.close();
        session.until(&["end"]);
        assert_eq!(sha256(&file), before.0);
        assert_eq!(sha256(&before.1[0]), of_old, "{shell:?}");
        fake("unused", "");
        let mut session = of();
        assert_eq!(session.dump_with("true").0, "proven");
        assert_eq!(globals_of(&file).len(), 1, "what was left behind goes with the next dump");
        session.close();
        session.until(&["end"]);
    }
}

/// The end of a session, or of its time, ends the tool that writes the roles, too.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_session_that_ends_while_the_roles_are_written_leaves_the_old_dump_and_its_file() {
    let server = Server::start();
    let fakes = server.folder("fakes");
    let path = format!("{}:{}", fakes.display(), std::env::var("PATH").unwrap());
    let real = "PATH=${PATH#*:}";
    for (shell, ending) in SHELLS.into_iter().zip(["stdin", "TERM", "limit"]) {
        let folder = server.folder(shell[0]);
        let file = folder.join("d.sql.gz");
        let (password, name, port) = (format!("={PASSWORD}"), format!("={DATABASE}"), server.port.to_string());
        let limit = if ending == "limit" { "8" } else { "0" };
        let values =
            [file.to_str().unwrap(), "someone", limit, "1", "1", "/", "127.0.0.1", &port, "=app", &password, &name];
        let _ = fs::remove_file(fakes.join("pg_dumpall"));
        let mut session = Session::of(shell, POSTGRES, &values, &[("PATH", &path)]);
        assert_eq!(session.dump_with("true").0, "proven", "{:?}", session.seen);
        session.close();
        session.until(&["end"]);
        let before = (sha256(&file), globals_of(&file));
        fs::write(
            fakes.join("pg_dumpall"),
            format!("#!/bin/sh\n{real}\npg_dumpall \"$@\" | head -n 20\nexec sleep 1000\n"),
        )
        .unwrap();
        ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&fakes));
        let mut session = Session::of(shell, POSTGRES, &values, &[("PATH", &path)]);
        session.until(&["looked"]);
        session.tell("dump true");
        session.until(&["began"]);
        let pid = session.child.id();
        until("the roles are written", 20, || descendants(pid).values().any(|line| line.starts_with("sleep 1000")));
        let started: Vec<u32> = descendants(pid).into_keys().collect();
        match ending {
            "stdin" => session.close(),
            "TERM" => drop(ok(Command::new("kill").args(["-TERM", &pid.to_string()]))),
            _ => {
                let (key, why) = session.until(&["lost", "proven"]);
                assert!(key == "lost" && why.starts_with("timeout "), "{key} {why}");
                session.close();
            }
        }
        session.until(&["end"]);
        assert!(session.child.wait().unwrap().success());
        until("nothing runs", 10, || !started.iter().any(|pid| lives(*pid)));
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
        assert_eq!((sha256(&file), globals_of(&file)), before, "{shell:?} {ending}");
    }
}

/// Those that own or are granted something in the database, directly or by a role, and what they are.
#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn the_accounts_of_a_mariadb_database_are_written_beside_the_dump_under_every_shell() {
    let server = Maria::start();
    server.sql("", "CREATE DATABASE other");
    let escaped_name = MARIA_DATABASE.replace('_', "\\_").replace('%', "\\%");
    server.sql(
        MARIA_DATABASE,
        &format!(
            "CREATE ROLE 're`a''d\\\\er'; CREATE ROLE inner_role; GRANT SELECT ON `{MARIA_DATABASE}`.t TO inner_role;
             GRANT inner_role TO 're`a''d\\\\er'; CREATE USER 'we''b\\\\x'@'10.%' IDENTIFIED BY 'hunter2' WITH MAX_USER_CONNECTIONS 3;
             GRANT 're`a''d\\\\er' TO 'we''b\\\\x'@'10.%'; SET DEFAULT ROLE 're`a''d\\\\er' FOR 'we''b\\\\x'@'10.%';
             CREATE USER whole@'%' IDENTIFIED BY 'hunter3'; GRANT ALL ON `{escaped_name}`.* TO whole@'%' WITH GRANT OPTION;
             CREATE USER definer@localhost; CREATE DEFINER=definer@localhost VIEW by_definer AS SELECT 1 AS n;
             CREATE USER stranger@'%'; GRANT ALL ON other.* TO stranger@'%'; CREATE ROLE unused;
             CREATE USER limited@'%' IDENTIFIED BY 'l';
             GRANT ALL ON `{escaped_name}`.* TO limited@'%'; GRANT SELECT ON mysql.proc TO limited@'%'"
        ),
    );
    let target = Maria::start();
    target.sql("", "CREATE USER whole@'%' IDENTIFIED BY 'its own'; CREATE DATABASE other");
    for shell in SHELLS {
        let folder = server.dir.path().join(format!("a {} folder", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("d.sql.gz");
        let (user, password, name) = (format!("={USER}"), format!("={PASSWORD}"), format!("={MARIA_DATABASE}"));
        let mut session = server.session(shell, &file, [&user, &password, &name], &[]);
        assert_eq!(session.dump_with("true").0, "proven", "{shell:?} {:?}", session.seen);
        session.close();
        session.until(&["end"]);
        let beside = globals_of(&file);
        let text = fs::read_to_string(&beside[0]).unwrap();
        let sum = sha256(&beside[0]);
        assert_eq!(session.seen["globals"], format!("6 yes {} {sum}", text.len()), "{shell:?} {text}");
        assert!(session.seen.values().all(|value| !value.contains("PASSWORD '*")), "{:?}", session.seen);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&beside[0]).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{shell:?}");
        for other in ["stranger", "unused", "root", "mariadb.sys"] {
            assert!(!text.contains(other), "{other}: {text}");
        }
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));

        // In another server they become what they are here, and one that is there keeps its password.
        let own = target.sql("", "SHOW CREATE USER whole@'%'");
        let socket = format!("--socket={}", target.dir.path().join("socket").display());
        target.sql("", &format!("DROP DATABASE IF EXISTS `{MARIA_DATABASE}`; CREATE DATABASE `{MARIA_DATABASE}`; CREATE TABLE `{MARIA_DATABASE}`.t (n int)"));
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", &socket, "--user=root", "--default-character-set=utf8mb4"]);
        ok(client.stdin(fs::File::open(&beside[0]).unwrap()));
        assert_eq!(target.sql("", "SHOW CREATE USER whole@'%'"), own, "{shell:?}");
        for statement in [
            "SHOW CREATE USER 'we''b\\\\x'@'10.%'",
            "SHOW GRANTS FOR 'we''b\\\\x'@'10.%'",
            "SHOW GRANTS FOR 're`a''d\\\\er'",
            "SHOW GRANTS FOR inner_role",
            "SHOW CREATE USER definer@localhost",
            "SHOW GRANTS FOR limited@'%'",
        ] {
            assert_eq!(target.sql("", statement), server.sql("", statement), "{shell:?} {statement}");
        }
        target.sql(
            "",
            "DROP USER 'we''b\\\\x'@'10.%', definer@localhost, limited@'%'; DROP ROLE 're`a''d\\\\er', inner_role",
        );

        // A user who may not read the accounts makes a dump without them, or none.
        let of = |globals: &str| {
            let mut session = server.session(shell, &file, ["=limited", "=l", &name], &[]);
            let outcome = session.dump_with(globals);
            session.close();
            session.until(&["end"]);
            (outcome, session.seen)
        };
        let ((key, why), _) = of("true");
        assert!(
            key == "lost" && why.starts_with("globals the server cannot be asked for its accounts: ERROR 1142"),
            "{why}"
        );
        assert_eq!(globals_of(&file), beside);
        let ((key, _), seen) = of("auto");
        assert!(
            key == "proven" && seen["no-globals"].contains("ERROR 1142") && !seen.contains_key("globals"),
            "{seen:?}"
        );
        assert!(globals_of(&file).is_empty());
    }
}

/// A folder whose `awk` is this one, for a PATH.
fn with_awk(folder: &Path, awk: &[&str]) -> String {
    let tools = folder.join(format!("{}-tools", awk[0]));
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("awk"), format!("#!/bin/sh\nexec {} \"$@\"\n", awk.join(" "))).unwrap();
    ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&tools));
    format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())
}

/// A server with the roles of [`ROLES`] that own and may read something, and a dump of it with its file of roles.
fn dump_with_roles(folder: &str) -> (Server, PathBuf, PathBuf) {
    let server = Server::start();
    server.sql("postgres", ROLES);
    server.sql(
        "postgres",
        r#"GRANT "Staff" TO limited; CREATE ROLE granter CREATEROLE; GRANT "Staff" TO granter WITH ADMIN OPTION;
        CREATE ROLE temp VALID UNTIL '2020-01-01' CONNECTION LIMIT 3; SET ROLE granter; GRANT "Staff" TO temp"#,
    );
    server.sql(
        DATABASE,
        r#"ALTER TABLE t OWNER TO "Staff"; GRANT SELECT ON t TO "web ""app"""; CREATE TABLE hidden (n int);
        ALTER TABLE hidden OWNER TO limited"#,
    );
    let file = server.folder(folder).join("d.sql.gz");
    let (password, name) = (format!("={PASSWORD}"), format!("={DATABASE}"));
    let mut session = Session::start(SHELLS[0], &server, &file, "=app", &password, &name, &[]);
    assert_eq!(session.dump_with("true").0, "proven", "{:?}", session.seen);
    session.close();
    session.until(&["end"]);
    let beside = globals_of(&file).remove(0);
    (server, file, beside)
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn missing_roles_are_made_from_the_recorded_file_and_no_others_are_changed() {
    let (server, file, beside) = dump_with_roles("dumps");
    let other = Server::start();
    let facts = r#"SELECT string_agg(concat_ws(' ', rolname, rolsuper, rolcreaterole, rolcanlogin, rolconnlimit, rolvaliduntil,
            rolpassword, rolconfig, shobj_description(a.oid, 'pg_authid')), E'\n' ORDER BY rolname COLLATE "C")
        FROM pg_authid a LEFT JOIN pg_roles r USING (rolname) WHERE rolname IN ('Staff', 'web "app"', 'temp', 'granter')"#;
    let facts = facts.replace(
        "rolsuper, rolcreaterole, rolcanlogin, rolconnlimit, rolvaliduntil,
            rolpassword, rolconfig",
        "a.rolsuper, a.rolcreaterole, a.rolcanlogin, a.rolconnlimit, a.rolvaliduntil,
            a.rolpassword, r.rolconfig",
    );
    let members =
        "SELECT string_agg(concat_ws(' ', roleid::regrole, member::regrole, grantor::regrole, admin_option), E'\\n'
        ORDER BY 1, 2) FROM (SELECT * FROM pg_auth_members WHERE member::regrole::text <> 'limited'
        AND roleid::regrole::text !~ '^pg_' ORDER BY roleid::regrole::text COLLATE \"C\", member::regrole::text) m";
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let folder = other.folder(shell[0]);
        let (copy, globals) = (folder.join("d.sql.gz"), folder.join(beside.file_name().unwrap()));
        fs::copy(&file, &copy).unwrap();
        fs::copy(&beside, &globals).unwrap();
        other
            .sql("postgres", "CREATE ROLE limited PASSWORD 'its own'; CREATE ROLE lowly CREATEROLE LOGIN PASSWORD 'l'");
        let own = "SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = 'limited'";
        let own_before = other.sql("postgres", own);
        let path = with_awk(&folder, awk);
        let load = |user: &str, password: &str, globals: &str| {
            let (user, password, port) = (format!("={user}"), format!("={password}"), other.port.to_string());
            let database = format!("={DATABASE}");
            let values =
                [copy.to_str().unwrap(), "x", "0", "1", "1", "/", "127.0.0.1", &port, &user, &password, &database];
            let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
            let mut session = Session::running(shell, &parts, &values, &[("PATH", &path)]);
            let (outcome, said) = session.load_with(globals, &sha256(&copy), "try");
            assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
            assert!(!said.contains("SCRAM") && !format!("{:?}", session.seen).contains("SCRAM"), "{said}");
            (outcome, said, session.seen)
        };
        // Without them nothing is loaded, nor by a user who may not make them, nor from another file.
        let before = other.sql(DATABASE, "SELECT count(*) FROM t");
        let no_role = |(outcome, said, seen): (String, String, BTreeMap<String, String>), why: &str| {
            assert_eq!(outcome, "lost", "{shell:?}");
            assert!(format!("{said} {seen:?}").contains(why), "{shell:?} {said} {seen:?}");
            assert_eq!(other.sql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'Staff'"), "0");
            assert_eq!(other.sql(DATABASE, "SELECT count(*) FROM t"), before);
        };
        no_role(load("app", PASSWORD, "-"), "role \"Staff\" does not exist");
        no_role(load("lowly", "l", &sha256(&beside)), "");
        no_role(load("app", PASSWORD, &format!("{}{}", &sha256(&beside)[..16], "0".repeat(48))), "replaced meanwhile");
        fs::rename(&globals, folder.join("away")).unwrap();
        no_role(load("app", PASSWORD, &sha256(&beside)), "the file of roles cannot be read");
        fs::rename(folder.join("away"), &globals).unwrap();

        let (outcome, said, seen) = load("app", PASSWORD, &sha256(&beside));
        assert_eq!(outcome, "loaded", "{shell:?} {said}");
        assert_eq!(seen["not-granted"], "\"Staff\" TO \"limited\"", "{shell:?}");
        assert!(seen.contains_key("role"), "{seen:?}");
        assert_eq!(other.sql("postgres", own), own_before, "a role that was there is not changed");
        assert_eq!(other.sql("postgres", &facts), server.sql("postgres", &facts), "{shell:?} {awk:?}");
        assert_eq!(other.sql("postgres", members), server.sql("postgres", members), "{shell:?} {awk:?}");
        assert!(server.sql("postgres", members).contains("temp granter"), "{}", server.sql("postgres", members));
        let rights =
            "SELECT string_agg(concat_ws(' ', relname, relowner::regrole, relacl), ',' ORDER BY relname) FROM pg_class
            WHERE relname IN ('t', 'hidden')";
        assert_eq!(other.sql(DATABASE, rights), server.sql(DATABASE, rights));
        // Once more: all of them are there.
        assert_eq!(load("app", PASSWORD, &sha256(&beside)).0, "loaded", "{shell:?}");
        other.sql(DATABASE, "ALTER TABLE t OWNER TO app; REVOKE ALL ON t FROM \"web \"\"app\"\"\"; DROP TABLE hidden");
        other.sql("postgres", r#"DROP ROLE temp, granter, "Staff", "web ""app""", limited, lowly"#);
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_restore_test_takes_the_recorded_roles() {
    let (server, file, beside) = dump_with_roles("dumps");
    let (volume, bytes, sum) = (file.parent().unwrap(), fs::metadata(&file).unwrap().len().to_string(), sha256(&file));
    let name = beside.file_name().unwrap().to_str().unwrap();
    let (of_roles, roles) = (fs::metadata(&beside).unwrap().len().to_string(), sha256(&beside));
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    // Of a role that is made up, the superuser is what it is not in the file.
    let query = "SELECT bool_and(rolsuper = :super) FROM pg_roles WHERE rolname IN ('Staff', 'web \"app\"', 'limited')";
    let like = format!("version {}\n", server.sql("postgres", "SHOW server_version"));
    ok(Command::new("mkfifo").arg(volume.join("pipe.sql")));
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let among = |programs: &[(&str, &str)], super_: &str, globals: [&str; 3]| {
            let query = query.replace(":super", super_);
            let values =
                ["d.sql.gz", &bytes, &sum, DATABASE, &query, "", "", &like, globals[0], globals[1], globals[2]];
            verify_volume(programs, shell, awk, &engine, volume, &values)
        };
        let test = |super_: &str, globals| among(&[], super_, globals);
        let good = test("false", [name, &of_roles, &roles]);
        assert_eq!(good, ["roles 6", "tables 2", "rows 20001", "query yes", "end good"], "{shell:?}");
        let made_up = test("true", ["", "", ""]);
        assert_eq!(made_up, ["tables 2", "rows 20001", "query yes", "end good"], "{shell:?}");
        let another = ["bad the file of the roles is not that of the proof"];
        assert_eq!(test("false", [name, &of_roles, &sum]), another, "{shell:?}");
        assert_eq!(test("false", [name, "1", &roles]), another, "{shell:?}");
        assert_eq!(test("false", ["gone.sql", "1", &roles]), ["bad the file of the roles is not there"], "{shell:?}");
        assert_eq!(test("false", ["pipe.sql", "0", &roles]), ["bad the file of the roles is no file"], "{shell:?}");
        // That it cannot be hashed is no fault of the backup.
        let hash = "case $(readlink /proc/self/fd/0) in *.sql) exit 1 ;; esac\nexec \"$REAL\" \"$@\"";
        let unhashed = among(&[("openssl", "exit 1"), ("sha256sum", hash)], "false", [name, &of_roles, &roles]);
        assert_eq!(unhashed, ["lost other the file of the roles could not be hashed"], "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn literals_reach_the_database_and_a_wrong_password_does_not_pass() {
    let server = Server::start();
    for shell in SHELLS {
        let folder = server.folder(shell[0]);
        let file = folder.join("d.gz");
        let literal = |text: &str| format!("={text}");
        let mut session = Session::start(shell, &server, &file, "=app", &literal(PASSWORD), &literal(DATABASE), &[]);
        assert_eq!(session.dump().0, "proven", "{shell:?}");
        let mut wrong = Session::start(shell, &server, &file, "=app", "=wrong", &literal(DATABASE), &[]);
        wrong.until(&["looked"]);
        assert!(!wrong.seen.contains_key("answers"), "{shell:?}");
        wrong.close();
        wrong.until(&["end"]);
        // Where neither variable is set, what the official image would use: user postgres, database of that name.
        let mut unset = Session::start(shell, &server, &file, "$NO_USER", "$NO_PASSWORD", "$NO_DB", &[]);
        unset.until(&["looked"]);
        unset.close();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut unset.child.stderr.take().unwrap(), &mut said).unwrap();
        assert!(said.contains("no password supplied"), "{shell:?}: {said}");
        let nofile = [("PW_FILE", "/nofile")];
        let mut unreadable = Session::start(shell, &server, &file, "=app", "$PW", &literal(DATABASE), &nofile);
        let said = unreadable.last_words();
        assert!(said.starts_with("PW_FILE names /nofile, which cannot be read in the container: cat: "), "{said}");
        assert_eq!(unreadable.child.wait().unwrap().code(), Some(71), "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn the_dump_ends_with_its_stdin_and_leaves_the_old_file() {
    let server = Server::start();
    for shell in SHELLS {
        let folder = server.folder(shell[0]);
        let file = folder.join("d.gz");
        fs::write(&file, "the old dump").unwrap();
        // A lock in front of which pg_dump waits.
        let mut gate = Command::new("psql")
            .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD), ("PGDATABASE", DATABASE)])
            .env("PGPORT", server.port.to_string())
            .args(["-XAtq"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        gate.stdin.as_mut().unwrap().write_all(b"BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT 1;\n").unwrap();
        BufReader::new(gate.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();

        let env = [("POSTGRES_PASSWORD", PASSWORD), ("POSTGRES_DB", DATABASE)];
        let start = || Session::start(shell, &server, &file, "=app", "$POSTGRES_PASSWORD", "$POSTGRES_DB", &env);
        // A dump may not take longer than it was told.
        let port = server.port.to_string();
        let values = [
            file.to_str().unwrap(),
            "someone",
            "2",
            "1",
            "1",
            "/",
            "127.0.0.1",
            &port,
            "=app",
            "$POSTGRES_PASSWORD",
            "$POSTGRES_DB",
        ];
        let mut late = Session::of(shell, POSTGRES, &values, &env);
        assert_eq!(late.dump(), ("lost".into(), "timeout the dump took longer than 2 s".into()));
        until("its pg_dump ends", 5, || !descendants(late.child.id()).values().any(|line| line.contains("pg_dump")));
        late.close();
        late.until(&["end"]);
        assert!(left_in(&folder).is_empty());

        let mut session = start();
        session.until(&["looked"]);
        session.tell("dump");
        session.until(&["began"]);
        let tool = dumping(&session);
        let lines = descendants(session.child.id()).into_values().collect::<String>();
        assert!(!lines.contains("p w'\"$HOME"), "the password in an argument list: {lines}");

        // A second one sees who is at work, and lets be.
        let mut second = start();
        assert_eq!(second.dump(), ("busy".into(), "someone".into()));
        second.close();
        second.until(&["end"]);
        assert!(lives(tool));

        session.close();
        until("nothing runs, nothing is left", 5, || !lives(tool) && left_in(&folder).is_empty());
        session.until(&["end"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "the old dump", "{shell:?}");

        // Its main shell killed, as containerd does to an exec over SPDY, the rest goes by itself.
        let mut beheaded = start();
        beheaded.until(&["looked"]);
        beheaded.tell("dump");
        beheaded.until(&["began"]);
        let tool = dumping(&beheaded);
        ok(Command::new("kill").args(["-KILL", &beheaded.child.id().to_string()]));
        beheaded.child.wait().unwrap();
        until("nothing runs, nothing is left", 5, || !lives(tool) && left_in(&folder).is_empty());

        // Killed while it waits for a dump tool that takes its time to end, too.
        let slow = folder.join("slow");
        fs::create_dir_all(&slow).unwrap();
        let tool = "#!/bin/sh\ncase $1 in --version) echo 'pg_dump 0'; exit ;; esac\ntrap 'sleep 2; exit 1' TERM\nsleep 60 & wait\n";
        fs::write(slow.join("pg_dump"), tool).unwrap();
        ok(Command::new("chmod").arg("+x").arg(slow.join("pg_dump")));
        let path = format!("{}:{}", slow.display(), std::env::var("PATH").unwrap());
        let env = [env[0], env[1], ("PATH", path.as_str())];
        let mut waiting = Session::start(shell, &server, &file, "=app", "$POSTGRES_PASSWORD", "$POSTGRES_DB", &env);
        waiting.until(&["looked"]);
        waiting.tell("dump");
        waiting.until(&["began"]);
        let tool = dumping(&waiting);
        waiting.close();
        std::thread::sleep(Duration::from_millis(500));
        ok(Command::new("kill").args(["-KILL", &waiting.child.id().to_string()]));
        waiting.child.wait().unwrap();
        until("nothing runs, nothing is left", 5, || !lives(tool) && left_in(&folder).is_empty());

        // Killed outright it cannot tidy up; the next one takes the lock of the dead over and sweeps.
        let mut killed = start();
        killed.until(&["looked"]);
        killed.tell("dump");
        killed.until(&["began"]);
        dumping(&killed);
        let all = descendants(killed.child.id());
        let pids = all.keys().chain([&killed.child.id()]).map(u32::to_string).collect::<Vec<_>>();
        // Some may be gone by their own a moment before.
        let _ = Command::new("kill").arg("-KILL").args(pids).stderr(Stdio::null()).status();
        killed.child.wait().unwrap();
        assert!(!left_in(&folder).is_empty());
        drop(gate.stdin.take());
        gate.wait().unwrap();
        let mut next = start();
        assert_eq!(next.dump().0, "proven", "{shell:?}");
        next.tell(&format!("release {} {}", next.seen["inode"], next.seen["bytes"]));
        assert_eq!(next.until(&["unchanged"]).1, "yes");
        next.until(&["end"]);
        until("nothing is left", 5, || left_in(&folder).is_empty());
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_part_of_the_pipe_that_is_killed_fails_the_dump_and_leaves_the_old_file() {
    let server = Server::start();
    // What its command line contains, and the words for it. A zstd that knows gzip unpacks it.
    let parts = |suffix: &str| {
        let packing = if suffix == "zst" { ["zstd -q -3", "zstd"] } else { ["gzip -1", "gzip"] };
        let ends = [["cat", "cat"], ["sha256", "hashing"], ["tail -c 500", "tail"], ["tee ", "tee"]];
        ends.into_iter().chain([packing, [" -dc", "z"], ["pg_dump --no-password", "the dump tool"]])
    };
    for (shell, suffix) in shells_and_formats() {
        let folder = server.folder(&format!("{} {suffix}", shell[0]));
        let file = folder.join(format!("d.{suffix}"));
        for [part, name] in parts(suffix) {
            fs::write(&file, "the old dump").unwrap();
            // pg_dump waits behind this lock, so that all parts wait for it.
            let mut gate = server.client("psql", DATABASE);
            let mut gate = gate.args(["-XAtq"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            gate.stdin
                .as_mut()
                .unwrap()
                .write_all(b"BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; SELECT 1;\n")
                .unwrap();
            BufReader::new(gate.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
            let (path, port) = (file.to_str().unwrap(), server.port.to_string());
            let level = if suffix == "zst" { "3" } else { "1" };
            let database = format!("={DATABASE}");
            let password = format!("={PASSWORD}");
            // The time limit ends a dump whose part is not missed.
            let values = [path, "someone", "60", level, "1", "/", "127.0.0.1", &port, "=app", &password, &database];
            let mut session = Session::of(shell, POSTGRES, &values, &[]);
            session.until(&["looked"]);
            session.tell("dump");
            session.until(&["began"]);
            dumping(&session);
            let mut found = None;
            until("the part runs", 20, || {
                let all = descendants(session.child.id());
                // openssl is tried on /dev/null before it hashes.
                let is_tried = |pid: u32| {
                    part == "sha256"
                        && !fs::read_link(format!("/proc/{pid}/fd/0"))
                            .is_ok_and(|stdin| stdin != Path::new("/dev/null"))
                };
                found = all.iter().find(|(pid, line)| line.contains(part) && !is_tried(**pid)).map(|(pid, _)| *pid);
                found.is_some()
            });
            ok(Command::new("kill").args(["-KILL", &found.unwrap().to_string()]));
            // The readers' end is noticed although nothing is written; that of the others when something is.
            if part == "tee " || part.contains(" -1") || part.contains(" -3") {
                drop(gate.stdin.take());
            }
            let (key, why) = session.until(&["proven", "lost"]);
            assert!(key == "lost" && why.contains(name), "{shell:?} {part}: {key} {why}");
            drop(gate.stdin.take());
            gate.wait().unwrap();
            session.close();
            session.until(&["end"]);
            assert!(session.child.wait().unwrap().success());
            assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
            assert_eq!(fs::read_to_string(&file).unwrap(), "the old dump", "{shell:?} {part}");
        }
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn tools_for_the_dump_are_chosen_by_what_the_container_has() {
    let server = Server::start();
    let folder = server.folder("tools");
    let fakes = folder.join("fakes");
    fs::create_dir_all(&fakes).unwrap();
    // What it was called with is kept. A real pigz compresses the same on the cluster (make bench).
    let pigz = "#!/bin/sh\ncase $1 in --help) echo --rsyncable; exit ;; -dc) exec gzip -dc ;; esac\necho \"$*\" >\"${0%/*}/asked\"\nexec gzip -c\n";
    fs::write(fakes.join("pigz"), pigz).unwrap();
    fs::write(fakes.join("nproc"), "#!/bin/sh\necho 3\n").unwrap();
    ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&fakes));
    let path = format!("{}:{}", fakes.display(), std::env::var("PATH").unwrap());
    let (password, database, port) = (format!("={PASSWORD}"), format!("={DATABASE}"), server.port.to_string());
    for (name, level, compressor) in
        [("d.sql.gz", "6", "pigz -6 -p3 --rsyncable"), ("d.sql.zst", "19", "zstd -q -19 -T3 -B4M --rsyncable")]
    {
        let file = folder.join(name);
        let path_of = file.to_str().unwrap();
        let values = [path_of, "someone", "0", level, "1", "/", "127.0.0.1", &port, "=app", &password, &database];
        let mut session = Session::of(SHELLS[0], POSTGRES, &values, &[("PATH", &path)]);
        assert_eq!(session.dump().0, "proven", "{:?}", session.seen);
        assert_eq!((session.seen["compressor"].as_str(), session.seen["cpus"].as_str()), (compressor, "3"));
        assert_eq!(session.seen["packer"], "zstd");
        // The older dump of the other format is named.
        let other = session.seen.get("other-format").cloned();
        let expected = (name == "d.sql.zst").then(|| {
            let older = folder.join("d.sql.gz");
            format!("{} {}", fs::metadata(&older).unwrap().len(), older.display())
        });
        assert_eq!(other, expected);
        session.close();
        session.until(&["end"]);
    }
    assert_eq!(fs::read_to_string(fakes.join("asked")).unwrap(), "-6 -p3 --rsyncable -c\n");
}

#[test]
#[ignore = "needs PostgreSQL and MariaDB on this machine: make test"]
fn a_dump_in_zstd_is_loaded_and_verified_under_every_shell() {
    let (server, maria) = (Server::start(), Maria::start());
    let (password, port, database) = (format!("={PASSWORD}"), server.port.to_string(), format!("={DATABASE}"));
    maria.sql(MARIA_DATABASE, "CREATE TABLE h (n int) WITH SYSTEM VERSIONING; INSERT INTO h VALUES (1)");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let folder = server.folder(shell[0]);
        ok(Command::new("chmod").arg("a+rwx").arg(&folder));
        let file = folder.join("p.sql.zst");
        let path = file.to_str().unwrap();
        let values = [path, "someone", "0", "3", "1", "/", "127.0.0.1", &port, "=app", &password, &database];
        let mut session = Session::of(shell, POSTGRES, &values, &[]);
        assert_eq!(session.dump().0, "proven", "{shell:?}");
        session.close();
        session.until(&["end"]);
        server.sql(DATABASE, "DELETE FROM t");
        let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
        let (outcome, said) = Session::running(shell, &parts, &values, &[]).load(&sha256(&file), "try");
        assert_eq!(
            (outcome.as_str(), server.sql(DATABASE, "SELECT count(*) FROM t").as_str()),
            ("loaded", "20001"),
            "{said}"
        );
        let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
        let found = verify(shell, awk, &engine, &file, DATABASE, "");
        assert_eq!(found, ["tables 1", "rows 20001", "end good"], "{shell:?}");
        // Cut off, and with one byte changed, it is bad to a load and to a restore test.
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        for broken in [&whole[..whole.len() / 2], &flipped] {
            fs::write(&file, broken).unwrap();
            let (outcome, said) = Session::running(shell, &parts, &values, &[]).load(&sha256(&file), "try");
            assert_eq!(outcome, "lost", "{said}");
            assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM t"), "20001", "{shell:?}");
            let found = verify(shell, awk, &engine, &file, DATABASE, "");
            assert_eq!(found, ["bad the compressed dump does not test whole"], "{shell:?}");
        }

        let file = folder.join("m.sql.zst");
        maria_dump(&maria, shell, &file, MARIA_DATABASE);
        maria.sql(MARIA_DATABASE, "DELETE FROM t");
        let (outcome, said, _) = maria_load(&maria, shell, &file, MARIA_DATABASE, "try");
        assert_eq!(
            (outcome.as_str(), maria.sql(MARIA_DATABASE, "SELECT count(*) FROM t").as_str()),
            ("loaded", "20002"),
            "{said}"
        );
        let found = verify(shell, awk, &format!("{MYSQL}{MYSQL_VERIFY}"), &file, MARIA_DATABASE, "");
        assert_eq!(found.last().map(String::as_str), Some("end good"), "{shell:?} {found:?}");
    }
}

/// A scratch MariaDB server of this machine, with a user who has a password.
struct Maria {
    dir: tempfile::TempDir,
    process: Child,
    port: u16,
}

/// mariadb-dump 10.11 itself escapes quotes in a name that needs none, and then does not find it.
const MARIA_DATABASE: &str = "--odd name=x $HOME;";

const USER: &str = "o'd \"user\"";

impl Maria {
    fn start() -> Maria {
        let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
        ok(Command::new("chmod").arg("a+rwx").arg(dir.path()));
        let as_mysql = |program: &str| {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=mysql", "--regid=mysql", "--clear-groups", program, "--no-defaults"]);
            command.arg(format!("--datadir={}", dir.path().join("data").display()));
            command.arg(format!("--tmpdir={}", dir.path().display()));
            command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
            command
        };
        ok(as_mysql("mariadb-install-db").args(["--auth-root-authentication-method=normal", "--skip-test-db"]));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let socket = dir.path().join("socket");
        let process = as_mysql("mariadbd")
            .args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--event-scheduler=OFF"])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", socket.display()))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Maria { dir, process, port };
        until("the scratch MariaDB answers", 60, || server.ask("", "SELECT 1").status.success());
        let text = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
        let (user, password) = (text(USER), text(PASSWORD));
        server
            .sql("", &format!("CREATE USER '{user}'@'%' IDENTIFIED BY '{password}'; GRANT ALL ON *.* TO '{user}'@'%'"));
        server.sql("", &format!("CREATE DATABASE `{MARIA_DATABASE}` CHARACTER SET utf8mb4"));
        server.sql(
            MARIA_DATABASE,
            "CREATE TABLE t (id int PRIMARY KEY, v varchar(99), b blob) ENGINE=InnoDB;
             INSERT INTO t SELECT seq, md5(seq), unhex(md5(seq)) FROM seq_1_to_20000;
             INSERT INTO t VALUES (0, '*/;\n\n-- Dump completed on 2026-01-01 00:00:00\n', x'00ff0a');
             INSERT INTO t VALUES (-1, '\u{1F600} \u{e9}', NULL);
             CREATE TABLE `not held` (n int) ENGINE=MyISAM;
             CREATE VIEW w AS SELECT count(*) n FROM t;
             CREATE PROCEDURE p() SELECT 1;
             CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v = upper(NEW.v);
             CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t",
        );
        server
    }

    fn ask(&self, database: &str, statement: &str) -> Output {
        let socket = format!("--socket={}", self.dir.path().join("socket").display());
        let options =
            ["--no-defaults", &socket, "--user=root", "--default-character-set=utf8mb4", "-BN", "-e", statement];
        Command::new("mariadb").args(options).args(["--", database]).output().unwrap()
    }

    fn sql(&self, database: &str, statement: &str) -> String {
        let output = self.ask(database, statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    }

    /// Makes a package and its body in a database.
    fn package(&self, database: &str) {
        let text = "SET sql_mode = ORACLE;\nDELIMITER //\nCREATE PACKAGE pk AS FUNCTION f RETURN int; END;\n//\n\
            CREATE PACKAGE BODY pk AS FUNCTION f RETURN int AS BEGIN RETURN 1; END; END;\n//\n";
        let socket = format!("--socket={}", self.dir.path().join("socket").display());
        let mut client = Command::new("mariadb");
        client.args(["--no-defaults", "--user=root", &socket, "--", database]).stdin(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(client.wait().unwrap().success());
    }

    fn session(
        &self,
        shell: &[&str],
        file: &Path,
        [user, password, database]: [&str; 3],
        env: &[(&str, &str)],
    ) -> Session {
        let port = self.port.to_string();
        let values = session_values(file.to_str().unwrap(), &port, &[user, password, database, "utf8mb4"]);
        Session::of(shell, MYSQL, &values, env)
    }
}

impl Drop for Maria {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_dump_of_mariadb_is_made_proven_and_can_be_loaded_under_every_shell() {
    let server = Maria::start();
    for (shell, suffix) in shells_and_formats() {
        let folder = server.dir.path().join(format!("a {} {suffix} folder", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let (file, secret) = old_dump_and_secret(&folder, suffix);
        // Names of either image, one of them by a file.
        let env = [("MARIADB_ROOT_PASSWORD_FILE", secret.to_str().unwrap()), ("MYSQL_DATABASE", MARIA_DATABASE)];
        let user = format!("={USER}");
        let mut session = server.session(shell, &file, [&user, "$MYSQL_ROOT_PASSWORD", "$MYSQL_DATABASE"], &env);
        let outcome = session.dump().0;
        if outcome != "proven" {
            let said = session.last_words();
            panic!("{shell:?}: {outcome} {:?}: {said}", session.seen.get("lost"));
        }
        assert_eq!((session.seen["answers"].as_str(), session.seen["database"].as_str()), ("yes", MARIA_DATABASE));
        assert_eq!(session.seen["unsteady"].trim(), "not held");
        session.noted(&[
            ("object tables", "2 "),
            ("object views", "1 "),
            ("object routines", "1 "),
            ("object triggers", "1 "),
            ("object events", "1 "),
            ("property characterSet", "utf8mb4"),
            ("property sql_mode", ""),
            ("property version", ""),
        ]);
        assert!(session.seen["before"].starts_with("Com_"), "what counts all that goes: {:?}", session.seen);
        assert!(session.seen["tool"].starts_with("mariadb-dump"), "{:?}", session.seen);
        assert_eq!(session.seen["sha256"], sha256(&file));
        session.close();
        session.until(&["end"]);
        assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));

        let copy = format!("copy_{}_{suffix}", shell[0]);
        server.sql("", &format!("CREATE DATABASE {copy} CHARACTER SET utf8mb4"));
        let client = "mariadb --no-defaults --user=root --socket=\"$2\" --binary-mode -- \"$3\"";
        let load = format!("{} \"$1\" | {client}", unpacker(suffix));
        ok(Command::new("sh").args(["-c", &load, "sh"]).arg(&file).arg(server.dir.path().join("socket")).arg(&copy));
        for question in [
            "SELECT count(*), md5(group_concat(hex(v), hex(b) ORDER BY id)) FROM t",
            "SELECT n FROM w",
            "SELECT v FROM t WHERE id < 0",
            "SELECT count(*) FROM information_schema.routines WHERE routine_schema = DATABASE()",
            "SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
            "SELECT count(*) FROM information_schema.events WHERE event_schema = DATABASE()",
        ] {
            assert_eq!(server.sql(&copy, question), server.sql(MARIA_DATABASE, question), "{shell:?} {question}");
        }
        assert_eq!(
            server.sql(&copy, "SELECT count(*) FROM information_schema.events WHERE event_schema = DATABASE()"),
            "1"
        );

        let mut wrong = server.session(shell, &file, [&user, "=wrong", "$MYSQL_DATABASE"], &env);
        wrong.until(&["looked"]);
        assert!(!wrong.seen.contains_key("answers"), "{shell:?}");
        wrong.close();
        let mut unnamed = server.session(shell, &file, [&user, "$MYSQL_ROOT_PASSWORD", "$NO_DB"], &env);
        unnamed.until(&["looked"]);
        assert!(!unnamed.seen.contains_key("answers"), "{shell:?}");
        unnamed.close();
    }
}

/// The looks of a session at the database, line by line, without its end.
fn facts(mut session: Session) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let keys = [
            "tables",
            "unsteady",
            "unreadable",
            "unreadable-object",
            "unshown",
            "calling",
            "left-out",
            "account",
            "server",
            "grant",
            "looked",
        ];
        match session.until(&keys) {
            (key, _) if key == "looked" => break,
            (key, value) => all.push(format!("{key} {value}")),
        }
    }
    session.close();
    session.until(&["end"]);
    all
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn what_a_user_of_mariadb_may_is_told_under_every_shell() {
    let server = Maria::start();
    server.sql(
        "",
        "CREATE DATABASE my_app; CREATE TABLE my_app.t (n int); CREATE VIEW my_app.v AS SELECT 1;
         CREATE PROCEDURE my_app.p() SELECT 1; CREATE DATABASE nothing;
         CREATE USER limited IDENTIFIED BY 'x'; GRANT SELECT, EVENT ON *.* TO limited;
         CREATE USER owner IDENTIFIED BY 'x'; GRANT ALL ON `my\\_app`.* TO owner; GRANT SELECT ON nothing.* TO owner;
         CREATE ROLE reader; GRANT SELECT, TRIGGER ON my_app.* TO reader;
         CREATE USER member IDENTIFIED BY 'x'; GRANT reader TO member; SET DEFAULT ROLE reader FOR member;
         CREATE DATABASE views; USE views;
         CREATE TABLE t (a float, b double, c float(9,2), d float AS (a) STORED, e float AS (a) VIRTUAL, `f` float NOT NULL DEFAULT 1);
         CREATE FUNCTION fu(n int) RETURNS int RETURN n; CREATE VIEW calls AS SELECT fu(1); CREATE VIEW plain AS SELECT a FROM t;
         CREATE SEQUENCE s; CREATE TABLE v (n int) WITH SYSTEM VERSIONING;
         CREATE USER viewer IDENTIFIED BY 'x'; GRANT SELECT, TRIGGER, EVENT ON views.* TO viewer; GRANT SHOW VIEW ON views.plain TO viewer;
         CREATE DATABASE `a TO b`; CREATE USER odd IDENTIFIED BY 'x'; GRANT ALL ON `a TO b`.* TO odd;
         SET GLOBAL sql_mode = 'ANSI'",
    );
    server.package("my_app");
    for shell in SHELLS {
        let folder = server.dir.path().join(format!("facts {}", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let look = |user: &str, database: &str| {
            let file = folder.join("d.gz");
            facts(server.session(shell, &file, [&format!("={user}"), "=x", &format!("={database}")], &[]))
        };
        let told = look("limited", "my_app");
        assert_eq!(told[..2], ["tables 1", "unshown v"], "{shell:?}");
        assert!(told[2].starts_with("server ") && told[2].contains("MariaDB"), "{told:?}");
        assert_eq!(told[3..], ["account limited@%", "grant SELECT, EVENT ON *.*"], "no hash of a password: {shell:?}");
        let told = look("owner", "my_app");
        for routine in ["unreadable p", "unreadable pk"] {
            assert!(told.contains(&routine.into()), "{shell:?} {routine}: {told:?}");
        }
        assert!(told.contains(&r"grant ALL PRIVILEGES ON `my\\_app`.*".into()), "{shell:?} {told:?}");
        assert!(look("member", "my_app").contains(&"grant SELECT, TRIGGER ON `my_app`.*".into()), "{shell:?}");
        assert!(look("owner", "nothing").contains(&"tables 0".into()), "{shell:?}");
        let told = look("viewer", "views");
        let wanted = ["tables 3", "left-out float t.a", "left-out float t.f", "unshown calls"];
        assert_eq!(told[..4], wanted, "{shell:?} {told:?}");
        let told = look("limited", "views");
        assert!(
            !told.iter().any(|line| line.starts_with("calling")),
            "without SHOW VIEW there is no text: {shell:?} {told:?}"
        );
        server.sql("", "GRANT SHOW VIEW ON views.* TO viewer");
        let told = look("viewer", "views");
        assert!(
            told.contains(&"calling calls".into()) && !told.iter().any(|line| line.starts_with("unshown")),
            "{shell:?} {told:?}"
        );
        server.sql("", "REVOKE SHOW VIEW ON views.* FROM viewer");
        assert!(look("odd", "a TO b").contains(&"grant ALL PRIVILEGES ON `a TO b`.*".into()), "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn what_a_user_of_postgres_may_not_read_is_told_under_every_shell() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE ROLE reader LOGIN PASSWORD 'x'");
    let look = |shell: &[&str], user: &str, database: &str| {
        let file = server.folder(&format!("facts {}", shell[0])).join("d.gz");
        let password = if user == "reader" { "=x".into() } else { format!("={PASSWORD}") };
        let mut all =
            facts(Session::start(shell, &server, &file, &format!("={user}"), &password, &format!("={database}"), &[]));
        assert!(all[1].starts_with("server 1"), "{all:?}");
        all.remove(1);
        all
    };
    for shell in SHELLS {
        assert_eq!(look(shell, "reader", "shop"), ["account reader", "tables 0"], "{shell:?}");
    }
    server.sql(
        "shop",
        "CREATE SCHEMA closed; CREATE TABLE closed.t (id int); GRANT SELECT ON closed.t TO reader;
         CREATE TABLE a (id serial); GRANT SELECT ON a TO reader;
         CREATE TABLE b (id int) PARTITION BY LIST (id); CREATE VIEW v AS SELECT 1;
         CREATE TABLE mine (id int); GRANT SELECT ON mine TO reader; ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
         CREATE TABLE seen (id int); GRANT SELECT ON seen TO reader",
    );
    for shell in SHELLS {
        let told =
            ["account reader", "tables 5", "unreadable closed.t", "unreadable public.a_id_seq", "unreadable public.b"];
        assert_eq!(look(shell, "reader", "shop"), [&told[..], &["unreadable public.mine"]].concat(), "{shell:?}");
        assert_eq!(look(shell, "app", "shop"), ["account app", "tables 5"], "{shell:?}");
    }
    // Not everything that is there is dumped.
    server.sql(
        "shop",
        "GRANT USAGE ON SCHEMA closed TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO reader; ALTER TABLE mine DISABLE ROW LEVEL SECURITY;
         REVOKE SELECT ON v FROM reader",
    );
    assert_eq!(look(SHELLS[0], "reader", "shop"), ["account reader", "tables 5"]);
    let mut session =
        Session::start(SHELLS[0], &server, &server.folder("d").join("d.gz"), "=reader", "=x", "=shop", &[]);
    assert_eq!(session.dump().0, "proven", "{:?}", session.seen);

    // Large objects of others, a table of an extension with a user's rows, and what the server itself holds back.
    server.sql(
        "shop",
        "SELECT lo_create(n) FROM generate_series(101, 106) n; GRANT SELECT ON LARGE OBJECT 101 TO reader;
         ALTER LARGE OBJECT 102 OWNER TO reader; CREATE EXTENSION hstore; CREATE TABLE rows (n int);
         CREATE TABLE other (n int); ALTER EXTENSION hstore ADD TABLE rows; ALTER EXTENSION hstore ADD TABLE other;
         UPDATE pg_extension SET extconfig = ARRAY['rows'::regclass], extcondition = '{\"\"}' WHERE extname = 'hstore';
         CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER srv FOREIGN DATA WRAPPER fdw;
         CREATE USER MAPPING FOR reader SERVER srv OPTIONS (password 'x'); CREATE UNLOGGED TABLE unlogged (n int);
         GRANT SELECT ON unlogged TO reader; ALTER ROLE reader SET client_encoding = 'LATIN1'",
    );
    server.sql(
        "shop",
        "CREATE SUBSCRIPTION sub CONNECTION 'host=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
    );
    let told = [
        "account reader",
        "tables 6",
        "unreadable public.rows",
        "unreadable-object 103",
        "unreadable-object 104",
        "unreadable-object 105",
        "unreadable-object 106",
        "left-out encoding LATIN1",
        "left-out mapping reader on srv",
        "left-out subscription sub",
    ];
    for shell in SHELLS {
        assert_eq!(look(shell, "reader", "shop"), told, "{shell:?}");
        assert_eq!(look(shell, "app", "shop"), ["account app", "tables 6"], "{shell:?}");
    }
    // With the remedies that are printed for the first two, a dump is made.
    let dumped = || {
        let file = server.folder("remedy").join("d.gz");
        Session::start(SHELLS[0], &server, &file, "=reader", "=x", "=shop", &[]).dump().0
    };
    assert_eq!(dumped(), "lost");
    server.sql("shop", "GRANT pg_read_all_data TO \"reader\"");
    assert_eq!((dumped().as_str(), &look(SHELLS[0], "reader", "shop")[2..6]), ("lost", &told.map(String::from)[3..7]));
    server.sql("shop", "ALTER ROLE \"reader\" SET lo_compat_privileges = on");
    server.sql("shop", "ALTER ROLE \"reader\" SET client_encoding = 'UTF8'");
    assert_eq!((dumped().as_str(), &look(SHELLS[0], "reader", "shop")[2..]), ("proven", &told.map(String::from)[8..]));
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_database_that_needs_more_locks_than_there_is_room_for_is_told_before_a_load_is_needed() {
    let mut server = Server::start();
    server.sql("postgres", "CREATE DATABASE large");
    let make = "DO $$ BEGIN FOR n IN 1..1200 LOOP EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, t text UNIQUE)', n);
                  IF n % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$";
    server.sql("large", make);
    let file = server.folder("large").join("d.gz");
    let (password, port) = (format!("={PASSWORD}"), server.port.to_string());
    let told = facts(Session::start(SHELLS[0], &server, &file, "=app", &password, "=large", &[]));
    let told = told.iter().find_map(|line| line.strip_prefix("left-out locks ")).unwrap();
    let [needed, room, setting] = told.split(' ').map(|n| n.parse::<u32>().unwrap()).collect::<Vec<_>>()[..] else {
        panic!("{told}")
    };
    assert!(needed > room && room >= 6400 && setting % 64 == 0, "{told}");
    let mut session = Session::start(SHELLS[0], &server, &file, "=app", &password, "=large", &[]);
    assert_eq!(session.dump().0, "proven");
    session.close();
    session.until(&["end"]);
    let load = || {
        let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, "=large"]);
        let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
        Session::running(SHELLS[0], &parts, &values, &[]).load(&sha256(&file), "try")
    };
    let (outcome, said) = load();
    assert!(outcome == "lost" && said.contains("max_locks_per_transaction"), "{outcome} {said}");
    // With what is printed, it loads.
    server.sql("postgres", &format!("ALTER SYSTEM SET max_locks_per_transaction = {setting}"));
    server.restart();
    let (outcome, said) = load();
    assert_eq!(outcome, "loaded", "{said}");
    let told = facts(Session::start(SHELLS[0], &server, &file, "=app", &password, "=large", &[]));
    assert!(!told.iter().any(|line| line.contains("locks")), "{told:?}");
}

/// Rewrites a dump as a filter makes it.
fn filtered(file: &Path, filter: &str) {
    let script = format!("{{ {filter}; }} <\"$1\" >\"$1.new\" && mv \"$1.new\" \"$1\"");
    ok(Command::new("sh").args(["-c", &script, "sh"]).arg(file));
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_load_is_all_or_nothing_under_every_shell() {
    let server = Server::start();
    // Texts that look like what pg_dump itself writes around large objects.
    server.sql(
        DATABASE,
        "CREATE TABLE u (v text);
         INSERT INTO u VALUES ('BEGIN;'), ('COMMIT;'), ('SELECT pg_catalog.lo_open(1)'), ('SELECT pg_catalog.lo_close(0);');
         COMMENT ON LARGE OBJECT 4711 IS E'x\\n\\nCOPY public.u (v) FROM stdin;\\nBEGIN;\\nx';
         CREATE FUNCTION f() RETURNS text LANGUAGE sql AS E'SELECT ''\\nBEGIN;\\n\\nSELECT 1;\\nCOMMIT;\\n''';
         CREATE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
    );
    let questions = [
        "SELECT count(*), md5(string_agg(v, ',' ORDER BY id)) FROM t",
        "SELECT string_agg(v, ',' ORDER BY v) FROM u",
        "SELECT md5(lo_get(4711)), obj_description(4711, 'pg_largeobject')",
        "SELECT f()",
    ];
    for shell in SHELLS {
        let folder = server.folder(&format!("a {} folder", shell[0]));
        let file = folder.join("dump.sql.gz");
        let password = format!("={PASSWORD}");
        let database = format!("={DATABASE}");
        let mut session = Session::start(shell, &server, &file, "=app", &password, &database, &[]);
        assert_eq!(session.dump().0, "proven", "{shell:?}");
        session.close();
        session.until(&["end"]);
        let answers = || questions.map(|question| server.sql(DATABASE, question));
        let good = answers();
        let port = server.port.to_string();
        let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, &database]);
        let load = |sum: &str| {
            let mut session =
                Session::running(shell, &format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}"), &values, &[]);
            let (outcome, said) = session.load(sum, "try");
            assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
            let state = session.seen.get("state").cloned().unwrap_or_default();
            (outcome, format!("{said} {}", session.seen.get("lost").cloned().unwrap_or_default()), state)
        };
        server.sql(DATABASE, "DELETE FROM t; DROP TABLE u; SELECT lo_unlink(4711); DROP FUNCTION f()");
        let (outcome, said, _) = load(&sha256(&file));
        assert_eq!(outcome, "loaded", "{shell:?} {said}");
        assert_eq!(answers(), good, "{shell:?}");

        server.sql(DATABASE, "DELETE FROM t WHERE id > 9; SELECT lo_put(4711, 0, 'changed'); DELETE FROM u");
        let changed = answers();
        // Another file than the one that was looked at; one that fails at its end; one that ends too early; one whose own
        // end of a transaction is not seen.
        let whole = fs::read(&file).unwrap();
        for (filter, why) in [
            ("cat", "replaced the dump file was replaced meanwhile"),
            ("gzip -dc | sed 's/PRIMARY KEY (id)/PRIMARY KEY (nope)/' | gzip -c", "nope"),
            ("head -c 100000", "could not be read to its end"),
            ("gzip -dc | sed 's/; Type: BLOBS; /; Type: OTHERS; /' | gzip -c", "backup_ns_gate"),
        ] {
            fs::write(&file, &whole).unwrap();
            filtered(&file, filter);
            let sum = if filter == "cat" { "0".repeat(64) } else { sha256(&file) };
            let (outcome, said, state) = load(&sum);
            assert_eq!((outcome.as_str(), answers()), ("lost", changed.clone()), "{shell:?} {filter}: {said}");
            assert!(said.contains(why), "{shell:?} {why}: {said}");
            assert_eq!(said.contains("unexpected end of file"), filter.starts_with("head"), "{shell:?} {why}: {said}");
            assert!(state.is_empty() || state.contains("as it was:"), "{state}");
        }
        fs::write(&file, &whole).unwrap();
        // Who may not: the server's words alone, not those of what it was poured from, which some runtimes let live on.
        server.sql(
            DATABASE,
            &format!(
                "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD '{}'",
                PASSWORD.replace('\'', "''")
            ),
        );
        let mut values = values.clone();
        values[8] = "=reader";
        let stubborn = [&["env", "--ignore-signal=PIPE"], shell].concat();
        let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
        let (outcome, said) = Session::running(&stubborn, &parts, &values, &[]).load(&sha256(&file), "try");
        assert_eq!((outcome.as_str(), answers()), ("lost", changed), "{shell:?}: {said}");
        assert!(said.contains("must be owner") && !said.contains("roken pipe"), "{shell:?}: {said}");
        assert_eq!(load(&sha256(&file)).0, "loaded");
        assert_eq!(answers(), good);
    }
}

/// What pg_dump, and what takes the place of what is there, may find hard.
const HARD: &str = r#"CREATE SCHEMA sh; CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm SCHEMA sh;
    CREATE TYPE color AS ENUM ('r', 'g', 'b'); CREATE TYPE sh.pair AS (a int, b color);
    CREATE DOMAIN sh.pos AS int CHECK (VALUE > 0); CREATE TYPE sh.frange AS RANGE (subtype = float8);
    CREATE TABLE events (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (id);
    CREATE TABLE events_2026_a PARTITION OF events_2026 FOR VALUES IN (1, 2, 3);
    CREATE TABLE events_2026_d PARTITION OF events_2026 DEFAULT;
    CREATE INDEX ON events (note); INSERT INTO events SELECT g, '2026-05-05', 'x' FROM generate_series(1, 100) g;
    CREATE TABLE refs (id int, day date, FOREIGN KEY (id, day) REFERENCES events (id, day)) PARTITION BY HASH (id);
    CREATE TABLE refs0 PARTITION OF refs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE refs1 PARTITION OF refs FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO refs SELECT id, day FROM events;
    CREATE TABLE hashed (c color, n int) PARTITION BY HASH (c);
    CREATE TABLE hashed0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE hashed1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO hashed SELECT (ARRAY['r', 'g', 'b'])[1 + i % 3]::color, i FROM generate_series(1, 100) i;
    CREATE TABLE base (id int PRIMARY KEY, v int CHECK (v > 0)); CREATE TABLE kid (w text) INHERITS (base);
    CREATE TABLE grandkid (CHECK (v < 100)) INHERITS (kid); INSERT INTO base VALUES (1, 1); INSERT INTO kid VALUES (2, 2, 'w');
    CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY UNIQUE, s serial, a int, b int GENERATED ALWAYS AS (a * 2) STORED,
      p sh.pos, q sh.pair, r sh.frange, h hstore);
    INSERT INTO made (a, p, q, r, h) VALUES (1, 2, (3, 'r'), '[1,2)', 'k=>v');
    CREATE TABLE one (id int PRIMARY KEY, other int); CREATE TABLE other (id int PRIMARY KEY REFERENCES one DEFERRABLE);
    ALTER TABLE one ADD FOREIGN KEY (other) REFERENCES other; INSERT INTO one VALUES (1); INSERT INTO other VALUES (1);
    UPDATE one SET other = 1;
    CREATE MATERIALIZED VIEW first AS SELECT count(*) n FROM events; CREATE UNIQUE INDEX ON first (n);
    CREATE MATERIALIZED VIEW second AS SELECT n * 2 m FROM first;
    CREATE VIEW sh.round AS SELECT 1 AS x, 'r'::color AS c; CREATE VIEW sh.straight AS SELECT 1 AS x, 'r'::color AS c;
    CREATE FUNCTION sh.about() RETURNS SETOF sh.round LANGUAGE sql AS 'SELECT * FROM sh.straight';
    CREATE OR REPLACE VIEW sh.round AS SELECT x, c FROM sh.about();
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER tg BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE TRIGGER tgv INSTEAD OF INSERT ON sh.round FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE RULE ru AS ON INSERT TO base DO ALSO NOTHING; CREATE STATISTICS sh.st ON id, v FROM base;
    CREATE PUBLICATION pub FOR TABLE base WHERE (id > 3), events; CREATE PUBLICATION pub_all FOR ALL TABLES;
    CREATE PUBLICATION pub_schema FOR TABLES IN SCHEMA sh; CREATE ROLE reader; CREATE ROLE other;
    ALTER TABLE made ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON made TO reader USING (a > 0);
    SELECT lo_from_bytea(4711, 'abc'); COMMENT ON LARGE OBJECT 4711 IS 'lo'; ALTER LARGE OBJECT 4711 OWNER TO other;
    COMMENT ON COLUMN made.a IS 'of a'; COMMENT ON SCHEMA sh IS 'of sh'; GRANT USAGE ON SCHEMA sh TO reader;
    CREATE FUNCTION plus(int, color) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE OPERATOR sh.|+| (LEFTARG = int, RIGHTARG = color, FUNCTION = plus);
    CREATE FUNCTION number(color) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE CAST (color AS int) WITH FUNCTION number(color); CREATE AGGREGATE sh.agg (int) (SFUNC = int4pl, STYPE = int);
    CREATE TEXT SEARCH DICTIONARY sh.dict (TEMPLATE = simple); CREATE TEXT SEARCH CONFIGURATION sh.cfg (COPY = simple);
    CREATE OPERATOR FAMILY sh.fam USING btree;
    CREATE FOREIGN DATA WRAPPER fdw; CREATE SERVER srv FOREIGN DATA WRAPPER fdw;
    CREATE USER MAPPING FOR reader SERVER srv OPTIONS (password 'x'); CREATE FOREIGN TABLE far (n int) SERVER srv;
    CREATE TABLE log (tag text);
    CREATE PROCEDURE pr(a int DEFAULT 3) LANGUAGE sql BEGIN ATOMIC DELETE FROM log; END;
    CREATE TABLE "new
line ; x" ("a
b" int); CREATE UNLOGGED TABLE unlogged (n int); INSERT INTO unlogged VALUES (1);
    CREATE TABLE "DROP TABLE x;" (t text);
    INSERT INTO "DROP TABLE x;" VALUES (E'--\n-- Name: x; Type: SCHEMA; Schema: -; Owner: a\n--\n'), ('CREATE SCHEMA app;');
    CREATE FUNCTION inner_of(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
    CREATE FUNCTION outer_of(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT inner_of($1)';
    CREATE FUNCTION known(int) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN EXISTS (SELECT FROM base WHERE id = $1); END';
    CREATE TABLE careless (x text, y text GENERATED ALWAYS AS (outer_of(x)) STORED, n int CHECK (known(n)));
    INSERT INTO careless VALUES ('A', DEFAULT, 1); CREATE INDEX ON careless (outer_of(x));
    CREATE SEQUENCE seven START 7; SELECT nextval('seven');
    CREATE SUBSCRIPTION sub CONNECTION 'host=/none dbname=x' PUBLICATION p WITH (connect = false, slot_name = 'sub');
    ALTER DEFAULT PRIVILEGES IN SCHEMA sh GRANT SELECT ON TABLES TO reader;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    CREATE FUNCTION audit() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (tg_tag); END $$;
    CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION audit();
    COMMENT ON EVENT TRIGGER audit IS E'of\naudit'"#;

/// What was made since a dump of `HARD`. All but the first line is lost with what the dump replaces.
const SINCE: &str = r"DROP EVENT TRIGGER audit; CREATE TABLE apart (n serial PRIMARY KEY); CREATE INDEX since ON made (a);
    CREATE TABLE sh.apart (n int); ALTER TABLE made ADD since int; ALTER TABLE made ADD CHECK (a > -1);
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON SEQUENCES TO reader;
    ALTER DEFAULT PRIVILEGES IN SCHEMA sh GRANT INSERT ON TABLES TO reader;
    CREATE TABLE late (id int REFERENCES one, c color DEFAULT 'r', k int DEFAULT nextval('seven'), n int);
    CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
    CREATE TABLE late_kid () INHERITS (base); CREATE VIEW late_view AS SELECT * FROM made;
    CREATE MATERIALIZED VIEW late_first AS SELECT * FROM first; CREATE INDEX late_index ON late (plus(n, 'r'));
    CREATE FUNCTION late_function(color) RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE TRIGGER late_trigger BEFORE INSERT ON late FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE POLICY late_policy ON late USING (plus(n, 'r') > 1); CREATE PUBLICATION late_pub FOR TABLE one, late";

/// Those, as they are named.
const LOST: [&str; 12] = [
    "table public.events_2027",
    "table public.late_kid",
    "default value for public.late.k",
    "function public.late_function(public.color)",
    "index public.late_index",
    "materialized view public.late_first",
    "policy late_policy on public.late",
    "publication relation public.one in publication late_pub",
    "table column public.late.c",
    "table constraint late_id_fkey on public.late",
    "trigger late_trigger on public.late",
    "view public.late_view",
];

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_load_takes_the_place_of_all_that_is_in_the_dump_and_of_nothing_else() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE hard");
    let statement = |text: &str| server.feed("hard", text);
    statement(HARD);
    // Rows of one table in any order.
    let lines = |database: &str| {
        let all = ok(&mut server.client("pg_dump", database)).stdout;
        let all = String::from_utf8(all).unwrap();
        let mut lines: Vec<_> = all.lines().filter(|line| !line.contains("restrict ")).map(str::to_string).collect();
        lines.sort();
        lines
    };
    let differs = |database: &str, than: &[String]| {
        let count = |all: &[String], line: &String| all.iter().filter(|other| *other == line).count();
        let now = lines(database);
        now.iter().chain(than).filter(|line| count(&now, line) != count(than, line)).cloned().collect::<Vec<_>>()
    };
    let nothing: [String; 0] = [];
    let file = server.folder("hard").join("dump.sql.gz");
    let (password, target, port) = (format!("={PASSWORD}"), "=hard".to_string(), server.port.to_string());
    let mut session = Session::start(SHELLS[0], &server, &file, "=app", &password, &target, &[]);
    assert_eq!(session.dump().0, "proven", "{:?}", session.seen);
    session.close();
    session.until(&["end"]);
    let good = lines("hard");
    for shell in SHELLS {
        let load = |database: &str, how: &str| {
            let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, database]);
            let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
            let mut session = Session::running(shell, &parts, &values, &[]);
            session.until(&["looked"]);
            session.tell(&format!("load - 0 {} {how}", sha256(&file)));
            let mut gone = Vec::new();
            loop {
                match session.until(&["gone", "loaded", "lost"]) {
                    (key, value) if key == "gone" => gone.push(value),
                    (outcome, why) => return (outcome, why, gone, session.last_words()),
                }
            }
        };
        // Over what it was made of, and into a new database.
        let (outcome, why, gone, said) = load("=hard", "try");
        assert_eq!((outcome.as_str(), gone.len()), ("loaded", 0), "{shell:?}: {why} {gone:?} {said}");
        assert_eq!(differs("hard", &good), nothing, "{shell:?}");
        let name = format!("new_{}", shell[0]);
        server.sql("postgres", &format!("CREATE DATABASE {name}"));
        // Two databases of one server cannot share the slot of a subscription.
        statement("ALTER SUBSCRIPTION sub SET (slot_name = NONE); DROP SUBSCRIPTION sub");
        let (outcome, why, _, said) = load(&format!("={name}"), "try");
        assert_eq!(outcome, "loaded", "{shell:?}: {why} {said}");
        assert_eq!(differs(&name, &good), nothing, "{shell:?}");

        statement(SINCE);
        let changed = lines("hard");
        let (outcome, why, gone, said) = load("=hard", "try");
        assert!(why.starts_with("gone "), "{shell:?} {why}");
        assert_eq!((outcome.as_str(), &gone[..]), ("lost", &LOST.map(String::from)[..]), "{shell:?} {said}");
        assert_eq!(differs("hard", &changed), nothing, "{shell:?}");
        let (outcome, _, gone, said) = load("=hard", "any");
        assert_eq!((outcome.as_str(), &gone[..]), ("loaded", &LOST.map(String::from)[..]), "{shell:?} {said}");
        // What the dump does not know and what does not depend on it is as it was.
        let stays = "SELECT count(*) FROM pg_class WHERE oid IN (to_regclass('apart'), to_regclass('sh.apart'), to_regclass('late'))";
        assert_eq!(server.sql("hard", stays), "3");
        let granted =
            "SELECT defaclobjtype, defaclacl FROM pg_default_acl WHERE defaclobjtype IN ('S', 'r') ORDER BY 1";
        assert_eq!(server.sql("hard", granted), "S|{app=rwU/app,reader=r/app}\nr|{reader=r/app}", "{shell:?}");
        statement(
            "DROP TABLE apart, sh.apart, late; DROP PUBLICATION late_pub;
            ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM reader",
        );
        assert_eq!(load("=hard", "try").0, "loaded", "{shell:?}");
        assert_eq!(differs("hard", &good), nothing, "{shell:?}");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn settings_of_the_role_do_not_change_a_load() {
    let server = Server::start();
    server.sql(DATABASE, "CREATE TABLE a (t text[]); INSERT INTO a VALUES ('{x,NULL}')");
    let file = server.folder("settings").join("d.gz");
    let (password, database, port) = (format!("={PASSWORD}"), format!("={DATABASE}"), server.port.to_string());
    let mut session = Session::start(SHELLS[0], &server, &file, "=app", &password, &database, &[]);
    assert_eq!(session.dump().0, "proven");
    session.close();
    session.until(&["end"]);
    server.sql(
        DATABASE,
        "DELETE FROM a; ALTER ROLE app SET array_nulls = off; ALTER ROLE app SET default_transaction_read_only = on;
         ALTER ROLE app SET default_transaction_isolation = serializable; ALTER ROLE app SET transform_null_equals = on",
    );
    let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, &database]);
    let parts = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}");
    let (outcome, said) = Session::running(SHELLS[0], &parts, &values, &[]).load(&sha256(&file), "try");
    assert_eq!(outcome, "loaded", "{said}");
    assert_eq!(server.sql(DATABASE, "SELECT t[2] IS NULL FROM a"), "t");
    // One that this server does not have ends a transaction on later ones.
    for name in ["transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout"] {
        assert!(POSTGRES_REPLACE.contains(&format!("('{name}', '0')")), "{name}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_load_into_mariadb_is_tried_first_under_every_shell() {
    let server = Maria::start();
    server.sql("", "CREATE USER 'limited'@'%' IDENTIFIED BY 'x'; GRANT SELECT ON *.* TO 'limited'@'%'");
    for shell in SHELLS {
        let folder = server.dir.path().join(format!("the {} folder", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("dump.sql.gz");
        let (user, password, database) = (format!("={USER}"), format!("={PASSWORD}"), format!("={MARIA_DATABASE}"));
        let mut session = server.session(shell, &file, [&user, &password, &database], &[]);
        assert_eq!(session.dump().0, "proven", "{shell:?}");
        session.close();
        session.until(&["end"]);
        let answers = || {
            [
                "SELECT count(*), md5(group_concat(hex(v), hex(b) ORDER BY id)) FROM t",
                "SELECT group_concat(event_name) FROM information_schema.events WHERE event_schema = DATABASE()",
                "SELECT count(*) FROM information_schema.routines WHERE routine_schema = DATABASE()",
            ]
            .map(|question| server.sql(MARIA_DATABASE, question))
        };
        let good = answers();
        let port = server.port.to_string();
        let load = |user: &str, password: &str, how: &str| {
            let path = file.to_str().unwrap();
            let values = session_values(path, &port, &[user, password, &database, "utf8mb4"]);
            let mut session = Session::running(shell, &format!("{MYSQL}{MYSQL_LOAD}{LOAD}"), &values, &[]);
            let (outcome, said) = session.load(&sha256(&file), how);
            assert!(left_in(&folder).is_empty(), "{:?}", left_in(&folder));
            assert_eq!(server.sql("", "SHOW DATABASES LIKE 'backup%'"), "", "{shell:?} {said}");
            (outcome, said, session.seen.clone())
        };
        // What a session that was killed had left goes.
        fs::write(folder.join("dump.sql.gz.backup-ns.scratch"), "backup_ns_old\n").unwrap();
        server.sql("", "CREATE DATABASE backup_ns_old");
        server.sql(MARIA_DATABASE, "DELETE FROM t; DROP PROCEDURE p; DROP EVENT e");
        let (outcome, said, seen) = load(&user, &password, "try");
        assert_eq!(outcome, "loaded", "{shell:?} {said}");
        assert_eq!(answers(), good, "{shell:?}");
        assert_eq!(seen.get("tried").map(String::as_str), Some("yes"));

        server.sql(MARIA_DATABASE, "DELETE FROM t WHERE id > 9");
        let changed = answers();
        // Who may make no schema cannot try; a trial that fails is all that happens.
        let (outcome, _, seen) = load("=limited", "=x", "try");
        assert_eq!((outcome.as_str(), answers()), ("lost", changed.clone()), "{shell:?}");
        assert!(seen.contains_key("untried") && seen["lost"].starts_with("untried "), "{seen:?}");
        let whole = fs::read(&file).unwrap();
        for filter in ["gzip -dc | sed 's/PROCEDURE `p`/NONSENSE/' | gzip -c", "head -c 100000"] {
            filtered(&file, filter);
            let (outcome, said, seen) = load(&user, &password, "try");
            assert_eq!((outcome.as_str(), answers()), ("lost", changed.clone()), "{shell:?} {filter}");
            assert!(seen["lost"].contains("trial"), "{seen:?} {said}");
            fs::write(&file, &whole).unwrap();
        }
        assert_eq!(load(&user, &password, "not").0, "loaded");
        assert_eq!(answers(), good);
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_trial_that_is_ended_leaves_no_schema() {
    let server = Maria::start();
    for shell in SHELLS {
        for ending in ["close", "kill"] {
            let folder = server.dir.path().join(format!("{}-{ending}", shell[0]));
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join("dump.sql.gz");
            let (user, password, database) = (format!("={USER}"), format!("={PASSWORD}"), format!("={MARIA_DATABASE}"));
            let mut session = server.session(shell, &file, [&user, &password, &database], &[]);
            assert_eq!(session.dump().0, "proven", "{shell:?}");
            session.close();
            session.until(&["end"]);
            // A statement that takes its time is at the end of the dump.
            filtered(&file, "gzip -dc | { cat; echo 'SELECT sleep(30);'; } | gzip -c");
            let port = server.port.to_string();
            let path = file.to_str().unwrap();
            let values = session_values(path, &port, &[&user, &password, &database, "utf8mb4"]);
            let mut session = Session::running(shell, &format!("{MYSQL}{MYSQL_LOAD}{LOAD}"), &values, &[]);
            session.until(&["looked"]);
            session.tell(&format!("load - 0 {} try", sha256(&file)));
            session.until(&["phase"]);
            let schemas = || server.sql("", "SHOW DATABASES LIKE 'backup%'");
            let sleeps = "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep(30)%'";
            until("the trial is at its end", 20, || server.sql("", sleeps) == "1");
            assert!(!schemas().is_empty());
            match ending {
                "close" => session.close(),
                _ => drop(ok(Command::new("kill").args(["-KILL", &session.child.id().to_string()]))),
            }
            until("nothing is left", 40, || schemas().is_empty() && left_in(&folder).is_empty());
            session.child.wait().unwrap();
        }
    }
}

/// What a filter of loads lets through.
fn statements(shell: &[&str], awk: &[&str], trial: &str, into: &str, dump: &str) -> String {
    let tools = tempfile::tempdir().unwrap();
    fs::write(tools.path().join("awk"), format!("#!/bin/sh\nexec {} \"$@\"\n", awk.join(" "))).unwrap();
    ok(Command::new("chmod").args(["-R", "a+rx"]).arg(tools.path()));
    let script = format!("{COMMON}{MYSQL}\nINTO=$2\ndb_filter_statements \"$1\"");
    let mut command = Command::new(shell[0]);
    command.env("PATH", format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap()));
    command.args(&shell[1..]).args(["-c", &script, "sh", trial, into]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
    child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn of_a_dump_only_what_must_not_happen_is_left_out() {
    // What goes always, what goes in a trial, and what stays although it looks like the first.
    let (always, trial, stays) = (1, 2, 0);
    let dump = [
        (stays, "-- Host: h    Database: app\n"),
        (always, "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n"),
        (
            always,
            "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,\n\
                  4E11FA47-71CA-11E1-9E33-C80AA9429562:1-3';\n",
        ),
        (stays, "/* SET @@GLOBAL.GTID_PURGED='+3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5';*/\n"),
        (stays, "CREATE TABLE `t'` (\n  `a\nUNLOCK TABLES;\nb` int,\n  c int DEFAULT '\\'`'\n);\n"),
        (always, "LOCK TABLES `t` WRITE;\n"),
        (stays, "INSERT INTO `t` VALUES\n(1,'/*!50106 CREATE*/ x'),\n(2,'`\\'DELIMITER ;;');\n"),
        (stays, "INSERT INTO `x`` VALUES\nLOCK TABLES ``` (`a`, row_start) VALUES (1,'`');\n"),
        (always, "UNLOCK TABLES;\nLOCK TABLES `a\n;\n`` b` WRITE;\nUNLOCK TABLES;\n"),
        (stays, "/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `x\nUNLOCK TABLES;\n`*/;\nDELIMITER ;;\n"),
        (
            trial,
            "/*!50106 CREATE*/ /*!50117 DEFINER=a*/ /*!50106 EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN\n SELECT ';;\n\
                 DELIMITER ;\nSET @@SESSION.SQL_LOG_BIN= 0;\n', \"it's;;\n\";\n # don't ;;\n /* ' ;;\n */ END */ ;;\n",
        ),
        (stays, "CREATE PROCEDURE p()\nSET @@SESSION.SQL_LOG_BIN= 0;\nUNLOCK TABLES;\n;;\n"),
        (
            stays,
            "/*!50003 SET sql_mode              = 'NO_BACKSLASH_ESCAPES' */ ;;\n\
                 CREATE PROCEDURE q() SELECT 'x\\' ;;\n/*!50003 SET sql_mode              = @saved_sql_mode */ ;;\n",
        ),
        (trial, "/*!50106 CREATE*/ /*!50106 EVENT f DO SELECT 1 */ ;;\n"),
        (stays, "DELIMITER ;\nkept;\n"),
        (always, "SET @@GLOBAL.GTID_PURGED='3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5';\n"),
        (always, "SET @@SESSION.SQL_LOG_BIN = @MYSQLDUMP_TEMP_LOG_BIN;\n"),
        (stays, "kept;\n"),
    ];
    let text = |left_out: &[i32]| {
        dump.iter().filter(|(kind, _)| !left_out.contains(kind)).map(|(_, text)| *text).collect::<String>()
    };
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        assert_eq!(statements(shell, awk, "0", "app", &text(&[])), text(&[always]), "{shell:?}");
        assert_eq!(statements(shell, awk, "1", "app", &text(&[])), text(&[always, trial]), "{shell:?}");
    }
}

#[test]
fn what_is_called_by_its_databases_name_is_called_by_the_new_one() {
    let dump = "-- Host: h    Database: a`b\n\
        CREATE TABLE `o` (\n  `id` int DEFAULT nextval(`a``b`.`s`),\n  `n` varchar(9) DEFAULT '`a``b`.`s`('\n);\n\
        /*!50001 VIEW `v` AS select `a``b`.`t`.`n` AS `n`,`a``b`.`f`(`t`.`n`) AS `m` from (`t` join `a``b`.`u`) */;\n\
        DELIMITER ;;\nCREATE PROCEDURE p() SELECT `a``b`.`t`.`n` FROM `a``b`.`t`;;\nDELIMITER ;\n";
    let wanted = dump
        .replace("nextval(`a``b`", "nextval(`n``w`")
        .replace("select `a``b`", "select `n``w`")
        .replace("`a``b`.`f`(", "`n``w`.`f`(");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        assert_eq!(statements(shell, awk, "0", "n`w", dump), wanted, "{shell:?}");
        assert_eq!(statements(shell, awk, "0", "a`b", dump), dump, "{shell:?}");
    }
}

/// A dump of `database` by a session of `user`, at `file`.
fn maria_dump(server: &Maria, shell: &[&str], file: &Path, database: &str) {
    let (user, password, database) = (format!("={USER}"), format!("={PASSWORD}"), format!("={database}"));
    let mut session = server.session(shell, file, [&user, &password, &database], &[]);
    if session.dump().0 != "proven" {
        panic!("{shell:?} {:?} {}", session.seen.clone(), session.last_words());
    }
    session.close();
    session.until(&["end"]);
}

/// A load of `file` into `database`: how it went, what it said to stderr, and all lines of its report.
fn maria_load(
    server: &Maria,
    shell: &[&str],
    file: &Path,
    database: &str,
    how: &str,
) -> (String, String, BTreeMap<String, String>) {
    let port = server.port.to_string();
    let (user, password, database) = (format!("={USER}"), format!("={PASSWORD}"), format!("={database}"));
    let path = file.to_str().unwrap();
    let values = session_values(path, &port, &[&user, &password, &database, "utf8mb4"]);
    let mut session = Session::running(shell, &format!("{MYSQL}{MYSQL_LOAD}{LOAD}"), &values, &[]);
    let (outcome, said) = session.load(&sha256(file), how);
    assert_eq!(server.sql("", "SHOW DATABASES LIKE 'backup%'"), "", "{shell:?} {said}");
    (outcome, said, session.seen.clone())
}

/// A dump as the older tool and older versions made it: with locks, without history.
fn older_dump(server: &Maria, file: &Path, database: &str) {
    let dump = "file=$1; shift; mariadb-dump --no-defaults --user=root --single-transaction --routines --events --triggers \
        --hex-blob \"$@\" | gzip >\"$file\"";
    let socket = format!("--socket={}", server.dir.path().join("socket").display());
    ok(Command::new("sh").args(["-c", dump, "sh"]).arg(file).args([&socket, "--", database]));
}

fn text_of(file: &Path) -> String {
    String::from_utf8_lossy(&ok(Command::new("gzip").arg("-dc").arg(file)).stdout).into_owned()
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_table_whose_default_is_a_sequence_comes_back_from_any_dump() {
    let server = Maria::start();
    for shell in SHELLS {
        server.sql(
            "",
            "CREATE OR REPLACE DATABASE shop; CREATE SEQUENCE shop.s;
             CREATE TABLE shop.orders (id bigint PRIMARY KEY DEFAULT nextval(shop.s), n int);
             INSERT INTO shop.orders (n) VALUES (1), (2), (3); CREATE OR REPLACE DATABASE other",
        );
        let (new, old) = (server.dir.path().join("new.gz"), server.dir.path().join("old.gz"));
        maria_dump(&server, shell, &new, "shop");
        assert!(!text_of(&new).contains("LOCK TABLES"), "{shell:?}");
        older_dump(&server, &old, "shop");
        assert!(text_of(&old).contains("\nLOCK TABLES `orders` WRITE;"), "{shell:?}");
        for file in [&new, &old] {
            // Over what is there, into a database of which nothing is left, and into another one.
            for (database, before) in [("shop", "DELETE FROM shop.orders"), ("shop", "CREATE OR REPLACE DATABASE shop")]
            {
                server.sql("", before);
                let (outcome, said, seen) = maria_load(&server, shell, file, database, "try");
                assert_eq!(outcome, "loaded", "{shell:?} {file:?} {before}: {said} {seen:?}");
                assert_eq!(server.sql("shop", "SELECT count(*), max(n) FROM orders"), "3\t3", "{shell:?} {before}");
            }
            server.sql("", "CREATE OR REPLACE DATABASE other");
            assert_eq!(maria_load(&server, shell, file, "other", "try").0, "loaded", "{shell:?} {file:?}");
            let default = server.sql("other", "SHOW CREATE TABLE orders");
            assert!(default.contains("nextval(`other`.`s`)"), "{default}");
        }
    }
}

/// All versions of all rows, with their times.
const VERSIONS: &str = "SELECT count(*), md5(group_concat(id, v, row_start, row_end ORDER BY id, row_start)) FROM prices FOR SYSTEM_TIME ALL";

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn the_history_of_a_table_comes_back_and_is_not_lost_unasked() {
    let server = Maria::start();
    for shell in SHELLS {
        server.sql(
            "",
            "CREATE OR REPLACE DATABASE shop; USE shop; CREATE TABLE plain (n int);
             CREATE TABLE prices (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING;
             INSERT INTO prices VALUES (1, 1), (2, 2); UPDATE prices SET v = v + 10; UPDATE prices SET v = v + 100;
             DELETE FROM prices WHERE id = 2;
             CREATE TABLE named (id int, s timestamp(6) GENERATED ALWAYS AS ROW START, e timestamp(6) GENERATED ALWAYS AS ROW END,
               PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING;
             INSERT INTO named (id) VALUES (1); UPDATE named SET id = 2;
             CREATE TABLE untouched (id int) WITH SYSTEM VERSIONING",
        );
        let folder = server.dir.path().join(format!("history {}", shell[0]));
        fs::create_dir_all(&folder).unwrap();
        let (new, old) = (folder.join("new.gz"), folder.join("old.gz"));
        let named = "SELECT group_concat(id, s, e ORDER BY s) FROM named FOR SYSTEM_TIME ALL";
        let before = [server.sql("shop", VERSIONS), server.sql("shop", named)];
        assert!(before[0].starts_with("6\t"), "{before:?}");
        maria_dump(&server, shell, &new, "shop");
        older_dump(&server, &old, "shop");
        server.sql("shop", "UPDATE prices SET v = 0; DELETE FROM named");
        let (outcome, said, seen) = maria_load(&server, shell, &new, "shop", "try");
        assert_eq!((outcome.as_str(), seen.get("unkept")), ("loaded", None), "{shell:?} {said} {seen:?}");
        assert_eq!([server.sql("shop", VERSIONS), server.sql("shop", named)], before, "{shell:?}");

        // A dump without the history: nothing happens unasked.
        let (outcome, said, seen) = maria_load(&server, shell, &old, "shop", "try");
        assert_eq!(outcome, "lost", "{shell:?} {said}");
        let words = "history the dump holds no history of the system-versioned tables `named` `prices` `untouched`";
        assert!(seen["lost"].contains(words), "{shell:?} {seen:?}");
        assert_eq!([server.sql("shop", VERSIONS), server.sql("shop", named)], before, "{shell:?}");
        let (outcome, said, seen) = maria_load(&server, shell, &old, "shop", "any");
        assert_eq!(
            (outcome.as_str(), seen["unkept"].as_str()),
            ("loaded", "`named` `prices` `untouched`"),
            "{shell:?} {said}"
        );
        assert_eq!(server.sql("shop", "SELECT count(*) FROM prices FOR SYSTEM_TIME ALL"), "1", "{shell:?}");
        // Where nothing is lost, no question is asked.
        server.sql("", "CREATE OR REPLACE DATABASE shop");
        assert_eq!(maria_load(&server, shell, &old, "shop", "try").0, "loaded", "{shell:?}");

        // The tool refuses to dump versions that are told apart by transactions: the others' history is not dumped then either.
        server.sql(
            "shop",
            "CREATE TABLE precise (id int, a bigint unsigned GENERATED ALWAYS AS ROW START, b bigint unsigned GENERATED ALWAYS AS ROW END,
               PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING; INSERT INTO precise (id) VALUES (1)",
        );
        maria_dump(&server, shell, &new, "shop");
        let (user, password) = (format!("={USER}"), format!("={PASSWORD}"));
        let told = facts(server.session(shell, &new, [&user, &password, "=shop"], &[]));
        assert_eq!(told.iter().filter(|line| line.starts_with("left-out history ")).count(), 4, "{told:?}");
        assert_eq!(maria_load(&server, shell, &new, "shop", "any").0, "loaded", "{shell:?}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn views_of_other_accounts_are_tried_and_come_back() {
    let server = Maria::start();
    let make = |account: &str| {
        server.sql(
            "",
            &format!(
                "CREATE OR REPLACE USER {account}; CREATE OR REPLACE DATABASE shop; GRANT ALL ON shop.* TO {account}; USE shop;
                 CREATE TABLE orders (n int); INSERT INTO orders VALUES (1), (2);
                 CREATE DEFINER={account} FUNCTION f(a int) RETURNS int RETURN (SELECT max(n) + a FROM orders);
                 CREATE DEFINER={account} VIEW v AS SELECT n FROM orders"
            ),
        );
    };
    for shell in SHELLS {
        let file = server.dir.path().join(format!("views-{}.gz", shell[0]));
        make("app");
        server.sql(
            "shop",
            "CREATE DEFINER=app VIEW `a first` AS SELECT n FROM v;
             CREATE DEFINER=app VIEW w AS SELECT f(n) AS m FROM v; CREATE DEFINER=app SQL SECURITY INVOKER VIEW x AS SELECT m FROM w",
        );
        maria_dump(&server, shell, &file, "shop");
        server.sql("shop", "DROP TABLE orders; DROP VIEW w");
        let (outcome, said, seen) = maria_load(&server, shell, &file, "shop", "try");
        assert_eq!(outcome, "loaded", "{shell:?} {said} {seen:?}");
        assert_eq!(server.sql("shop", "SELECT count(*), sum(m) FROM x"), "2\t7", "{shell:?}");
        let definers =
            "SELECT count(*) FROM information_schema.views WHERE table_schema = 'shop' AND definer = 'app@%'";
        assert_eq!(server.sql("", definers), "4", "{shell:?}");
        // Without the account such views cannot be made: the trial says so, and nothing happens.
        server.sql("", "DROP USER app; DELETE FROM shop.orders");
        let (outcome, said, seen) = maria_load(&server, shell, &file, "shop", "try");
        assert_eq!(
            (outcome.as_str(), server.sql("shop", "SELECT count(*) FROM orders").as_str()),
            ("lost", "0"),
            "{shell:?}"
        );
        assert!(
            said.contains("ERROR 1449") && said.contains("'app'@'%'") && seen["lost"].contains("trial"),
            "{said} {seen:?}"
        );
        // A view that no other one reads is made without it, although its text has the database's name in it then.
        make("app");
        server.sql("", "DROP USER app");
        maria_dump(&server, shell, &file, "shop");
        assert!(text_of(&file).contains("select `shop`.`orders`.`n` AS `n` from `orders`"), "{shell:?}");
        server.sql("shop", "DROP TABLE orders");
        let (outcome, said, seen) = maria_load(&server, shell, &file, "shop", "try");
        assert_eq!(outcome, "loaded", "{shell:?} {said} {seen:?}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn what_else_a_schema_may_hold_comes_back() {
    let server = Maria::start();
    server.sql(
        "",
        "CREATE DATABASE base; CREATE TABLE base.parent (id int PRIMARY KEY); INSERT INTO base.parent VALUES (1);
         CREATE DATABASE shop; USE shop;
         CREATE TABLE inv (id int PRIMARY KEY, hidden int INVISIBLE DEFAULT 7, n int CHECK (n > 0));
         INSERT INTO inv (id, hidden, n) VALUES (1, 8, 2), (2, 9, 3);
         CREATE TABLE computed (id int, twice int AS (id * 2) STORED, thrice int AS (id * 3) VIRTUAL, KEY (twice));
         INSERT INTO computed (id) VALUES (1), (2);
         CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES base.parent (id)); INSERT INTO child VALUES (1, 1);
         CREATE TABLE `al\\nUNLOCK TABLES` (n int);
         CREATE VIEW odd AS SELECT 'x\nLOCK TABLES `t` WRITE;\n' AS `a\nUNLOCK TABLES;\nb`, 'it''s' AS c;
         CREATE PROCEDURE p() SELECT 'x\nUNLOCK TABLES;\n', \"it's\";
         CREATE TABLE versioned (id int, v int) WITH SYSTEM VERSIONING;
         CREATE TRIGGER tr BEFORE UPDATE ON versioned FOR EACH ROW SET NEW.v = NEW.v + 100;
         INSERT INTO versioned VALUES (1, 1); UPDATE versioned SET v = 2;
         CREATE TABLE digits (f float, d double, fixed float(12,2), exact decimal(30,10));
         INSERT INTO digits VALUES (16777215, 1.0e0/3, 16777215.37, 12345678901234567890.0123456789);
         CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM inv",
    );
    server.package("shop");
    let questions = [
        "SELECT group_concat(id, hidden, n ORDER BY id) FROM inv",
        "SELECT group_concat(id, twice, thrice ORDER BY id) FROM computed",
        "SELECT group_concat(id, p) FROM child",
        "SELECT d = 1.0e0/3, fixed, exact FROM digits",
        "SELECT c, hex(`a\nUNLOCK TABLES;\nb`) FROM odd",
        "SELECT group_concat(v ORDER BY v) FROM versioned FOR SYSTEM_TIME ALL",
        "SELECT routine_definition FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY routine_type, routine_name",
        "SELECT group_concat(table_name, table_type ORDER BY table_name) FROM information_schema.tables WHERE table_schema = DATABASE()",
        "SELECT group_concat(trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
        "SELECT group_concat(event_name) FROM information_schema.events WHERE event_schema = DATABASE()",
        "SELECT count(*) FROM information_schema.check_constraints WHERE constraint_schema = DATABASE()",
    ];
    let answers = || questions.map(|question| server.sql("shop", question));
    let good = answers();
    assert_eq!(server.sql("shop", "SELECT cast(f AS double) FROM digits"), "16777215");
    for shell in SHELLS {
        let file = server.dir.path().join(format!("schema-{}.gz", shell[0]));
        maria_dump(&server, shell, &file, "shop");
        for before in ["DELETE FROM inv; DROP TABLE child; DROP VIEW odd", "CREATE OR REPLACE DATABASE shop"] {
            server.sql("shop", before);
            let (outcome, said, seen) = maria_load(&server, shell, &file, "shop", "try");
            assert_eq!(outcome, "loaded", "{shell:?} {before}: {said} {seen:?}");
            assert_eq!(answers(), good, "{shell:?} {before}");
            // As the documents say.
            assert_eq!(server.sql("shop", "SELECT cast(f AS double) FROM digits"), "16777200", "{shell:?}");
        }
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn an_account_of_the_socket_alone_is_reached_as_the_remedy_says() {
    let server = Maria::start();
    let me = String::from_utf8(ok(Command::new("id").arg("-un")).stdout).unwrap();
    let me = me.trim();
    server.sql(
        "",
        &format!(
            "CREATE DATABASE shop; DROP USER IF EXISTS '{me}'@'127.0.0.1';
             GRANT ALL ON *.* TO '{me}'@localhost IDENTIFIED VIA unix_socket"
        ),
    );
    let socket = server.dir.path().join("socket").display().to_string();
    let port = server.port.to_string();
    for shell in SHELLS {
        let file = server.dir.path().join("d.gz");
        let look = |host: &str| {
            let user = format!("={me}");
            let values =
                [file.to_str().unwrap(), "someone", "0", "1", "1", "/", host, &port, &user, "=", "=shop", "utf8mb4"];
            // Where the client looks for the socket.
            let mut session = Session::of(shell, MYSQL, &values, &[("MYSQL_UNIX_PORT", &socket)]);
            session.until(&["looked"]);
            let answers = session.seen.get("answers").cloned();
            (answers, session.last_words())
        };
        let (answers, said) = look("127.0.0.1");
        assert!(answers.is_none() && said.contains("ERROR 1698"), "{shell:?} {said}");
        for host in ["localhost", &socket] {
            assert_eq!(look(host), (Some("yes".into()), String::new()), "{shell:?} {host}");
        }
    }
}

#[test]
fn a_file_is_looked_at_without_being_touched() {
    let dir = tempfile::tempdir().unwrap();
    let whole = "x\n\n--\n-- PostgreSQL database dump complete\n--\n";
    for (shell, suffix) in shells_and_formats() {
        let file = dir.path().join(format!("a dump.{suffix}"));
        let look_with = |test: &str, path: &str| {
            // A script that waits for ever fails its test.
            let mut command = Command::new("/usr/bin/timeout");
            command.arg("60").args(shell).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
            command.env("PATH", path);
            let mut child =
                command.stderr(Stdio::null()).spawn().expect("dash, busybox and bash on this machine (make init)");
            let values: String = ["n1", file.to_str().unwrap(), test].map(|value| escaped(value) + "\n").concat();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(format!("{COMMON}{POSTGRES}{POSTGRES_INSPECT}{INSPECT}{END}{values}").as_bytes())
                .unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        };
        let path = std::env::var("PATH").unwrap();
        let look = |test: &str| look_with(test, &path);
        let _ = fs::remove_file(&file);
        assert_eq!(look("count"), "n1 absent yes\nn1 end yes\n", "{shell:?}");
        let pack = |text: &str| {
            fs::write(&file, text).unwrap();
            filtered(&file, if suffix == "zst" { "zstd -q -c" } else { "gzip -c" });
        };
        pack(whole);
        let said = look("count");
        assert!(!said.contains("broken") && said.contains(&format!("n1 plain {}\n", whole.len())), "{shell:?} {said}");
        assert!(said.contains(&format!("n1 sha256 {}\n", sha256(&file))), "{shell:?} {said}");
        assert!(said.contains("n1 modified 20"), "{shell:?} {said}");
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
        assert!(look("whole").contains("n1 broken it does not test whole\n"), "{shell:?}");
        assert!(!look("").contains("broken"), "{shell:?}");
        pack("x\n");
        assert!(look("whole").contains("n1 broken it does not end as"), "{shell:?}");
        // What is no file is no file of roles.
        let pipe = dir.path().join(format!("a dump.{suffix}.globals-0123456789abcdef.sql"));
        ok(Command::new("mkfifo").arg(&pipe));
        let said = look("roles");
        assert!(said.ends_with("n1 end yes\n") && !said.contains("globals-file"), "{shell:?} {said}");
        fs::remove_file(&pipe).unwrap();
        // Without the tool it is not called broken.
        let few = only_these(dir.path(), &["cat", "cut", "date", "ls", "sha256sum", "sleep"]);
        let said = look_with("whole", &few);
        let tool = unpacker(suffix).split(' ').next().unwrap();
        assert!(said.contains(&format!("n1 lacks {tool}\n")) && !said.contains("broken"), "{shell:?} {said}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_dump_of_mariadb_ends_with_its_stdin() {
    let server = Maria::start();
    for shell in SHELLS {
        let folder = server.dir.path().join(shell[0]);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("d.gz");
        fs::write(&file, "the old dump").unwrap();
        let socket = format!("--socket={}", server.dir.path().join("socket").display());
        let mut gate = Command::new("mariadb")
            .args(["--no-defaults", "--user=root", &socket, "-BNn", "--", MARIA_DATABASE])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        gate.stdin.as_mut().unwrap().write_all(b"LOCK TABLES t WRITE; SELECT 1;\n").unwrap();
        BufReader::new(gate.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();

        let database = format!("={MARIA_DATABASE}");
        let password = format!("={PASSWORD}");
        let user = format!("={USER}");
        let mut session = server.session(shell, &file, [&user, &password, &database], &[]);
        session.until(&["looked"]);
        session.tell("dump");
        session.until(&["began"]);
        let mut tool = None;
        until("mariadb-dump runs", 20, || {
            let all = descendants(session.child.id());
            tool = all.iter().find(|(_, line)| line.contains("mariadb-dump --defaults-file")).map(|(pid, _)| *pid);
            tool.is_some()
        });
        let lines = descendants(session.child.id()).into_values().collect::<String>();
        assert!(!lines.contains("p w'\"$HOME") && !lines.contains("o'd"), "a secret in an argument list: {lines}");
        let environ = fs::read(format!("/proc/{}/environ", tool.unwrap())).unwrap();
        assert!(!String::from_utf8_lossy(&environ).contains("p w'\"$HOME"), "the password in the environment");
        session.close();
        until("nothing runs, nothing is left", 5, || !lives(tool.unwrap()) && left_in(&folder).is_empty());
        assert_eq!(fs::read_to_string(&file).unwrap(), "the old dump", "{shell:?}");
        drop(gate.stdin.take());
        gate.wait().unwrap();
    }
}

/// A hook's session: what it said, and how it ended, by how it is left: told to, its stdin ended, its shell killed.
#[test]
fn the_command_after_runs_however_the_session_ends() {
    let dir = tempfile::tempdir().unwrap();
    for shell in SHELLS {
        for (number, ending) in ["after", "close", "kill"].into_iter().enumerate() {
            let log = dir.path().join(format!("{}.{number}", shell[0]));
            let line = |word: &str| format!("echo {word} >>'{}'", log.display());
            let (before, after) = (format!("{}; false", line("before")), line("after"));
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
            let mut stdin = child.stdin.take().unwrap();
            let values: String = ["n1", "30", &before, &after].map(|value| escaped(value) + "\n").concat();
            stdin.write_all(format!("{COMMON}{HOOK}{END}{values}").as_bytes()).unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            let said = lines.find(|line| line.starts_with("n1 pre")).unwrap();
            assert_eq!(said, "n1 pre 1", "{shell:?}");
            match ending {
                "after" => stdin.write_all(b"post\n").unwrap(),
                "close" => drop(stdin),
                _ => ok(Command::new("kill").args(["-KILL", &child.id().to_string()]))
                    .status
                    .success()
                    .then_some(())
                    .unwrap(),
            }
            let logged = || fs::read_to_string(&log).unwrap_or_default();
            until("the command after has run", 10, || logged().ends_with("after\n"));
            child.wait().unwrap();
            assert_eq!(logged(), "before\nafter\n", "{shell:?} {ending}");
        }
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended() {
    for shell in SHELLS {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
        let values: String = ["n1", "1", "trap '' TERM; while :; do sleep 1; done", "exit 3"]
            .map(|value| escaped(value) + "\n")
            .concat();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(format!("{COMMON}{HOOK}{END}{values}").as_bytes()).unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line == "n1 pre timeout" {
                stdin.write_all(b"post\n").unwrap();
            }
            said.push(line);
        }
        child.wait().unwrap();
        said.retain(|line| !line.contains(" beat "));
        assert_eq!(said, ["n1 pre timeout", "n1 post 3", "n1 end yes"], "{shell:?}");
    }
}

#[test]
fn the_command_before_has_ended_when_the_one_after_runs() {
    let dir = tempfile::tempdir().unwrap();
    for shell in SHELLS {
        for ending in ["close", "kill"] {
            let log = dir.path().join(format!("{}.{ending}", shell[0]));
            let before = format!("echo $$ >'{0}.pid'; sleep 30; echo late >>'{0}'", log.display());
            let after = format!("echo after >>'{}'", log.display());
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::null());
            let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
            let mut stdin = child.stdin.take().unwrap();
            let values: String = ["n1", "60", &before, &after].map(|value| escaped(value) + "\n").concat();
            stdin.write_all(format!("{COMMON}{HOOK}{END}{values}").as_bytes()).unwrap();
            let pid = format!("{}.pid", log.display());
            let running = || fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<u32>().ok());
            until("the command before runs", 10, || running().is_some());
            // Its shell's ticker has to be there, too.
            std::thread::sleep(Duration::from_millis(300));
            match ending {
                "close" => drop(stdin),
                _ => drop(ok(Command::new("kill").args(["-KILL", &child.id().to_string()]))),
            }
            until("the command after has run", 10, || fs::read_to_string(&log).is_ok_and(|text| text == "after\n"));
            assert!(!lives(running().unwrap()), "{shell:?} {ending}: the command before still runs");
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_volume_is_flushed_without_a_dump() {
    for shell in SHELLS {
        let flush = |mounts: &[&str]| {
            let mut command = Command::new(shell[0]);
            command
                .args(&shell[1..])
                .args(["-c", BOOTSTRAP])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
            let number = mounts.len().to_string();
            let values = ["n1", number.as_str()].into_iter().chain(mounts.iter().copied());
            let values: String = values.map(|value| escaped(value) + "\n").collect();
            child.stdin.take().unwrap().write_all(format!("{COMMON}{FLUSH}{END}{values}").as_bytes()).unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        };
        assert_eq!(flush(&["/tmp", "/"]), "n1 end yes\n", "{shell:?}");
        assert_eq!(flush(&["/no such folder"]), "", "{shell:?}");
    }
}

#[test]
fn an_end_of_a_mysql_dump_is_believed_only_if_it_is_one() {
    let reset = "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;";
    let cases = [
        (format!("x\n{reset}\n\n-- Dump completed on 2026-11-22 20:00:00"), true),
        (format!("x\n{reset}\n\n-- Dump completed"), true),
        (format!("x\n{reset}\n-- Dump completed on 2026-11-22"), false),
        ("x\n\n-- Dump completed on 2026-11-22".into(), false),
        (format!("x\n{reset}\n\n-- Dump completed on 2026-11-22\nmore"), false),
        (format!("x\n{reset}"), false),
        (String::new(), false),
    ];
    for shell in SHELLS {
        for (tail, whole) in &cases {
            let script = format!("{COMMON}{MYSQL}\ndb_is_complete \"$1\"");
            let status = Command::new(shell[0]).args(&shell[1..]).args(["-c", &script, "sh", tail]).status();
            assert_eq!(status.unwrap().success(), *whole, "{shell:?} {tail:?}");
        }
    }
}

#[test]
fn an_end_is_believed_only_if_it_is_one() {
    let trailer = "--\n-- PostgreSQL database dump complete\n--";
    let cases = [
        (format!("x\n\n{trailer}"), true),
        (format!("x\n\n{trailer}\n\n\\unrestrict abcDEF123"), true),
        (format!("x\n{trailer}\nCOPY"), false),
        (format!("x\n{trailer}\n\n\\unrestrict a\nmore"), false),
        ("x\n-- PostgreSQL database dump complete".into(), false),
        (format!("1\tfoo {trailer}"), false),
        (format!("{trailer}\\n"), false),
        (String::new(), false),
        ("\\unrestrict a".into(), false),
    ];
    for shell in SHELLS {
        for (tail, whole) in &cases {
            let mut command = Command::new(shell[0]);
            let script = format!("{COMMON}{POSTGRES}\ndb_is_complete \"$1\"");
            let status = command.args(&shell[1..]).args(["-c", &script, "sh", tail]).status();
            assert_eq!(
                status.expect("dash, busybox and bash on this machine (make init)").success(),
                *whole,
                "{shell:?} {tail:?}"
            );
        }
    }
}

/// A restore test on this machine: `file`, which holds a dump of `database`, as its own proof says, which notes nothing more;
/// the lines of the report.
fn verify(shell: &[&str], awk: &[&str], engine: &str, file: &Path, database: &str, query: &str) -> Vec<String> {
    verify_as(shell, awk, engine, file, database, query, ["", ""])
}

/// As [`verify`], with what the proof notes: how many objects, and what the server was like.
fn verify_as(
    shell: &[&str],
    awk: &[&str],
    engine: &str,
    file: &Path,
    database: &str,
    query: &str,
    noted: [&str; 2],
) -> Vec<String> {
    verify_among(&[], shell, awk, engine, file, database, query, noted)
}

/// As [`verify_as`], where these programs are what their scripts say.
#[allow(clippy::too_many_arguments, reason = "most tests name only some of them")]
fn verify_among(
    programs: &[(&str, &str)],
    shell: &[&str],
    awk: &[&str],
    engine: &str,
    file: &Path,
    database: &str,
    query: &str,
    noted: [&str; 2],
) -> Vec<String> {
    let (volume, name) = (file.parent().unwrap(), file.file_name().unwrap().to_str().unwrap());
    let (bytes, sum) = (fs::metadata(file).unwrap().len().to_string(), sha256(file));
    let [objects, like] = noted;
    verify_volume(programs, shell, awk, engine, volume, &[name, &bytes, &sum, database, query, "", objects, like])
}

/// A restore test of a volume: `values` are those that `verify.sh` takes behind its folders.
fn verify_volume(
    programs: &[(&str, &str)],
    shell: &[&str],
    awk: &[&str],
    engine: &str,
    volume: &Path,
    values: &[&str],
) -> Vec<String> {
    let dir = tempfile::Builder::new().prefix("backup-ns-").tempdir().unwrap();
    let (scratch, tools) = (dir.path().join("scratch"), dir.path().join("tools"));
    fs::create_dir_all(&scratch).unwrap();
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("awk"), format!("#!/bin/sh\nexec {} \"$@\"\n", awk.join(" "))).unwrap();
    for (name, script) in programs {
        // $REAL is the program's own.
        let real = "PATH=${PATH#*:}; REAL=$(command -v \"${0##*/}\")";
        fs::write(tools.join(name), format!("#!/bin/sh\n{real}\n{script}\n")).unwrap();
    }
    ok(Command::new("chmod").args(["-R", "a+rwx"]).arg(dir.path()));
    let folders = ["n1", volume.to_str().unwrap(), scratch.to_str().unwrap()];
    // Without a file of roles, if none is named.
    let none = ["", "", ""];
    let none = if values.len() < 10 { &none[..] } else { &[] };
    let pod = [folders[2], ""];
    let values = folders.iter().chain(values).chain(none).chain(&pod);
    let values: String = values.map(|value| escaped(value) + "\n").collect();
    // A test that hangs is a test that fails.
    let mut command = Command::new("timeout");
    command.args(["-k", "5", "300"]).args(shell).args(["-c", BOOTSTRAP]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("PATH", format!("{}:{}", tools.display(), std::env::var("PATH").unwrap()));
    let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{COMMON}{engine}{VERIFY}{END}{values}").as_bytes()).unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let line = line.strip_prefix("n1 ").unwrap().to_string();
        let key = line.split(' ').next().unwrap().to_string();
        if !["beat", "step", "server"].contains(&key.as_str()) {
            said.push(line);
        }
        if ["end", "bad", "lost"].contains(&key.as_str()) {
            break;
        }
    }
    drop(stdin);
    child.wait().unwrap();
    // What keeps the pod sees that it is over.
    let keep = Command::new(shell[0]).args(&shell[1..]).args(["-c", KEEPALIVE, "keep"]).arg(&scratch).status();
    assert!(keep.unwrap().success());
    said
}

const AWKS: [&[&str]; 3] = [&["mawk"], &["busybox", "awk"], &["gawk"]];

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_dump_of_postgres_is_verified_under_every_shell() {
    let server = Server::start();
    // No tablespace is made in one call with something else.
    let place = ["-c", "SET allow_in_place_tablespaces = on", "-c", "CREATE TABLESPACE \"else \"\"where\" LOCATION ''"];
    ok(Command::new("psql")
        .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD), ("PGDATABASE", "postgres")])
        .env("PGPORT", server.port.to_string())
        .arg("-Xq")
        .args(place));
    server.sql(
        DATABASE,
        r#"CREATE ROLE "Odd; ""Role"; CREATE ROLE reader; CREATE SCHEMA "s.""t";
        CREATE TABLE "s.""t"."a ""b"" (c) 'd' $1 %d" (t text);
        INSERT INTO "s.""t"."a ""b"" (c) 'd' $1 %d" VALUES (E'COPY x (a) FROM stdin;\n\\.\n'), (NULL), ('\.');
        ALTER TABLE t OWNER TO "Odd; ""Role"; GRANT SELECT ON t TO reader;
        ALTER DEFAULT PRIVILEGES FOR ROLE "Odd; ""Role" GRANT SELECT ON TABLES TO reader;
        CREATE POLICY p ON t TO reader, "Odd; ""Role" USING (id > 0);
        CREATE TABLE elsewhere (n int) TABLESPACE "else ""where";
        CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT $x$
COPY a FROM stdin;
GRANT x TO y;
$x$ $$"#,
    );
    let folder = server.folder("dumps");
    let whole = folder.join("whole.gz");
    let dump = "pg_dump --format=plain --clean --if-exists | gzip >\"$1\"";
    ok(Command::new("sh")
        .args(["-c", dump, "sh"])
        .arg(&whole)
        .envs([("PGHOST", "127.0.0.1"), ("PGUSER", "app"), ("PGPASSWORD", PASSWORD), ("PGDATABASE", DATABASE)])
        .env("PGPORT", server.port.to_string()));
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    let changed = |name: &str, script: &str| {
        let file = folder.join(name);
        let script = format!("gzip -dc \"$1\" | {script} | gzip >\"$2\"");
        ok(Command::new("sh").args(["-c", &script, "sh"]).args([&whole, &file]));
        file
    };
    let cut = changed("cut.gz", "head -n 100");
    let fewer = changed("fewer.gz", r"sed '/^COPY public.t /,$ s/^\\\.$/&\nDELETE FROM public.t WHERE id = 7;/'");
    let broken = changed("broken.gz", r"sed 's/^COPY public.t /SELCT 1;\n&/'");
    let refused = changed("refused.gz", r"sed 's/^COPY public.t /SELECT 1\/0;\n&/'");
    let like = ["", &format!("version {}\n", server.sql("postgres", "SHOW server_version"))];
    let cases = [
        (&cut, "bad the dump does not end as a complete one does"),
        (&fewer, "bad a table does not hold the rows of the dump: public.t"),
        (&broken, "bad the dump cannot be loaded"),
    ];
    // What may be the scratch server's fault, and what may be that of another version than the dump's, is no verdict.
    let no_verdict = ["lost load the scratch server could not take the dump"];
    assert_eq!(verify_as(&["dash"], &["mawk"], &engine, &refused, DATABASE, "", like), no_verdict);
    for other in ["", "version 9.6.1\n"] {
        assert_eq!(verify_as(&["dash"], &["mawk"], &engine, &broken, DATABASE, "", ["", other]), no_verdict, "{other}");
    }
    for ((shell, awk), (file, why)) in SHELLS.into_iter().zip(AWKS).zip(cases) {
        let query = "SELECT count(*) = 20001 AND current_database() LIKE '--odd%' FROM t";
        let found = verify(shell, awk, &engine, &whole, DATABASE, query);
        assert_eq!(found, ["tables 3", "rows 20004", "query yes", "end good"], "{shell:?}");
        assert_eq!(verify_as(shell, awk, &engine, file, DATABASE, "", like), [why], "{shell:?}");
    }
    asks(&engine, &whole, DATABASE);
}

/// What a dump holds and what the server was like, as the session of a dump says it and verify takes it.
fn inventory(mut session: Session) -> [String; 2] {
    session.until(&["looked"]);
    session.tell("dump");
    let outcome = session.until(&["proven", "lost"]);
    assert_eq!(outcome.0, "proven", "{outcome:?}");
    session.close();
    session.until(&["end"]);
    let of = |kind: &str| {
        let facts = session.seen.iter().filter_map(|(key, value)| Some((key.strip_prefix(kind)?, value)));
        facts.map(|(name, value)| format!("{name} {value}\n")).collect::<String>()
    };
    [of("before object "), of("before property ")]
}

/// Seen on real databases: each of these was called bad, because the scratch server was not like the original.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_good_dump_of_postgres_is_not_condemned() {
    let server = Server::start();
    server.sql(
        "postgres",
        "CREATE DATABASE odd TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    );
    server.sql("postgres", "ALTER DATABASE odd SET timezone TO 'Europe/Vienna'");
    server.sql("postgres", "ALTER DATABASE odd SET app.tenant TO '12'");
    server.sql(
        "odd",
        r#"CREATE TABLE people (name text CHECK (name ~ '^[[:alpha:]]+$')); INSERT INTO people VALUES ('Jürgen');
        CREATE TABLE days (at timestamptz, CHECK (at::date = '2026-01-02')); INSERT INTO days VALUES ('2026-01-02 00:30');
        CREATE TABLE mine (tenant text CHECK (tenant = current_setting('app.tenant'))); INSERT INTO mine VALUES ('12');
        CREATE TYPE color AS ENUM ('r', 'g', 'b');
        CREATE TABLE p (c color, n int) PARTITION BY LIST (n);
        CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY HASH (c);
        CREATE TABLE p10 PARTITION OF p1 FOR VALUES WITH (modulus 2, remainder 0);
        CREATE TABLE p11 PARTITION OF p1 FOR VALUES WITH (modulus 2, remainder 1);
        CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
        INSERT INTO p SELECT (ARRAY['r','g','b'])[1 + i % 3]::color, 1 + i % 2 FROM generate_series(1, 100) i;
        CREATE TABLE parent (n int); CREATE TABLE child () INHERITS (parent);
        INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2), (3);
        CREATE TABLE "of
two lines" ("a
b" int); INSERT INTO "of
two lines" VALUES (1), (2);
        CREATE TABLE log (what text);
        CREATE FUNCTION noting() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (tg_tag); END $$;
        CREATE FUNCTION far() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1 / (current_setting('port') <> '5432')::int; END $$;
        CREATE MATERIALIZED VIEW near AS SELECT count(*) FROM public.people;
        CREATE MATERIALIZED VIEW away AS SELECT public.far();
        CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION noting()"#,
    );
    let file = server.folder("dumps").join("odd.gz");
    let of = |shell: &[&str]| {
        let _ = fs::remove_file(&file);
        inventory(Session::start(shell, &server, &file, "=app", &format!("={PASSWORD}"), "=odd", &[]))
    };
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let [objects, like] = of(shell);
        let query = "SELECT count(*) = 2 FROM \"of\ntwo lines\"";
        let found = verify_as(shell, awk, &engine, &file, "odd", query, [&objects, &like]);
        let kinds = format!("objects {}", objects.lines().count());
        assert_eq!(found, ["unfilled 1", "tables 9", "rows 108", &kinds, "query yes", "end good"], "{shell:?}");
        // What the database held and the dump does not is missed, but not by a server of another version.
        let more = format!("{objects}triggers 1 x\n");
        let found = verify_as(shell, awk, &engine, &file, "odd", "", [&more, &like]);
        let missed = "bad the dump does not hold all that the database held, triggers: 0 of 1";
        assert_eq!(found.last().map(String::as_str), Some(missed), "{shell:?}");
    }
    let found = verify_as(&["dash"], &["mawk"], &engine, &file, "odd", "", ["triggers 9\n", ""]);
    assert_eq!(
        found.last().map(String::as_str),
        Some("lost load the scratch server could not take the dump"),
        "an older proof"
    );
    // What the server loaded when it started is loaded here, too.
    let query =
        "SELECT current_setting('shared_preload_libraries') || ' ' || current_setting('auto_explain.log_format')
        = 'auto_explain xml'";
    let like = format!(
        "shared_preload_libraries $libdir/auto_explain\nauto_explain.log_format xml\n{}",
        of(SHELLS[0])[1].replace("shared_preload_libraries \n", "")
    );
    let found = verify_as(&["dash"], &["mawk"], &engine, &file, "odd", query, ["", &like]);
    assert_eq!(found.last().map(String::as_str), Some("end good"), "{found:?}");
    // A locale that no guess would be like.
    let locale = "LOCALE_PROVIDER icu ICU_LOCALE 'de' LC_COLLATE 'C' LC_CTYPE 'C'";
    server.sql("postgres", &format!("CREATE DATABASE sorted TEMPLATE template0 ENCODING 'UTF8' {locale}"));
    server.sql("sorted", "CREATE TABLE t (v text CHECK (v < 'B')); INSERT INTO t VALUES ('a')");
    let sorted = file.with_file_name("sorted.gz");
    let [objects, like] =
        inventory(Session::start(SHELLS[0], &server, &sorted, "=app", &format!("={PASSWORD}"), "=sorted", &[]));
    let query = "SELECT datlocprovider = 'i' FROM pg_database WHERE datname = 'sorted'";
    let found = verify_as(&["dash"], &["mawk"], &engine, &sorted, "sorted", query, [&objects, &like]);
    assert_eq!(found.last().map(String::as_str), Some("end good"), "{found:?}");
    // A locale that is not in the image is no fault of the dump.
    let like = "version 15.1\nencoding UTF8\ncollate xx_XX.utf8\nctype xx_XX.utf8\n";
    let found = verify_as(&["dash"], &["mawk"], &engine, &file, "odd", "", ["", like]);
    assert_eq!(found, ["lost image the scratch database cannot be made"]);
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn verify_goes_the_way_of_a_load_over_what_is_there() {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE hard");
    server.feed("hard", HARD);
    server.sql("postgres", "ALTER DATABASE hard SET search_path = \"$user\", sh, public");
    server.sql(
        "hard",
        "CREATE FUNCTION sh.deep(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
         CREATE FUNCTION public.deeper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT deep($1)';
         CREATE TABLE deepest (x text CHECK (deeper(x) <> '')); INSERT INTO deepest VALUES ('A')",
    );
    let file = server.folder("dumps").join("hard.gz");
    let (password, target) = (format!("={PASSWORD}"), "=hard");
    let [objects, like] = inventory(Session::start(SHELLS[0], &server, &file, "=app", &password, target, &[]));
    assert!(like.contains("search_path sh, public\n"), "{like}");
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    let verified = |shell: &[&str], awk: &[&str], file: &Path| {
        // Rows are counted behind it: they are still there.
        let query = "SELECT count(*) = 100 FROM events";
        verify_as(shell, awk, &engine, file, "hard", query, [&objects, &like]).pop().unwrap_or_default()
    };
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        assert_eq!(verified(shell, awk, &file), "end good", "{shell:?}");
    }
    // A table that it does not drop is in the way.
    let why = "lost load the dump can be loaded into a new database, but not over what is there";
    let changed = file.with_file_name("changed.gz");
    let script = "gzip -dc \"$1\" | sed 's/^DROP TABLE IF EXISTS public.log;$//' | gzip >\"$2\"";
    ok(Command::new("sh").args(["-c", script, "sh"]).args([&file, &changed]));
    assert_eq!(verified(SHELLS[0], AWKS[0], &changed), why);
}

/// Each step of a restore test under what may go wrong round it: no such fault makes a good backup bad, or a test good that
/// was not made.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn no_fault_round_a_restore_test_is_a_verdict() {
    let server = Server::start();
    let file = server.folder("dumps").join("dump.gz");
    let [objects, like] = inventory(Session::start(
        SHELLS[0],
        &server,
        &file,
        "=app",
        &format!("={PASSWORD}"),
        &format!("={DATABASE}"),
        &[],
    ));
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    let of = |programs: &[(&str, &str)], shell: &[&str], awk: &[&str]| {
        verify_among(programs, shell, awk, &engine, &file, DATABASE, "SELECT true", [&objects, &like])
    };
    // psql where its arguments are those of one step; else it is as ever.
    let psql = |step: &str, what: &str| format!("case \" $* \" in *\"{step}\"*) {what} ;; esac\nexec \"$REAL\" \"$@\"");
    let (load, rows, inventory) = (" -f - ", " -F   ", "by_extension");
    let space = "cat >/dev/null; echo 'psql:<stdin>:1: ERROR:  53100: could not extend file: No space left on device' >&2; exit 3";
    let (load_killed, load_full) = (psql(load, "kill -9 $$"), psql(load, space));
    let load_down = psql(load, "kill -9 $(head -n 1 \"$PGHOST/data/postmaster.pid\"); sleep 1");
    let load_cut = psql(
        load,
        "head -n 20 | \"$REAL\" \"$@\" >/dev/null; echo 'server closed the connection unexpectedly' >&2; exit 2",
    );
    let (count_fails, compare_fails) = (psql(rows, "exit 2"), psql(inventory, "exit 1"));
    let starts_not = "case $* in --version) exec \"$REAL\" \"$@\" ;; esac; exit 1";
    let why = "the scratch server could not take the dump";
    let cases: [(&str, &str, String); 13] = [
        ("sha256sum", "kill -9 $$", "other the dump file could not be read: hashing ended with status 137".into()),
        ("gzip", "kill -9 $$", "other the dump could not be unpacked: gzip ended with status 137".into()),
        (
            "gzip",
            "\"$REAL\" \"$@\" 2>/dev/null | head -c 5000; echo 'gzip: stdin: Input/output error' >&2; exit 1",
            "other the dump could not be unpacked: gzip ended with status 1".into(),
        ),
        (
            "awk",
            "head -c 9 >/dev/null; kill -9 $$",
            "other the dump could not be counted: awk ended with status 137".into(),
        ),
        ("tee", ": >\"$1\"; exit 1", "other the dump could not be read to its end".into()),
        ("initdb", "echo 'No space left on device' >&2; exit 1", "space initdb failed".into()),
        ("postgres", starts_not, "other the scratch server does not start".into()),
        ("psql", &load_killed, format!("memory {why}")),
        ("psql", &load_full, format!("space {why}")),
        ("psql", &load_down, format!("memory {why}: it ended")),
        ("psql", &load_cut, format!("load {why}")),
        ("psql", &count_fails, "other the scratch server counted 0 of 1 tables".into()),
        ("psql", &compare_fails, "other the scratch server could not say what it holds".into()),
    ];
    for (number, (name, script, said)) in cases.iter().enumerate() {
        let said = format!("lost {said}");
        let last = of(&[("openssl", "exit 1"), (name, script)], SHELLS[number % 3], AWKS[0]).pop();
        assert_eq!(last, Some(said), "{name} {script}");
    }
    assert_eq!(of(&[], SHELLS[0], AWKS[0]).pop().as_deref(), Some("end good"));
}

/// A data directory is bad for what the server says is wrong in it, and not because it is another server's.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_data_directory_is_condemned_only_for_what_is_in_it() {
    let mut server = Server::start();
    server.stop("INT");
    let engine = format!("{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}");
    let test = |name: &str, change: &str| {
        let volume = server.folder(name);
        let script = format!("cp -a \"$1/data\" \"$2/data\" && cd \"$2\" && {{ {change}; }}");
        ok(Command::new("sh").args(["-c", &script, "sh"]).arg(server.dir.path()).arg(&volume));
        let values = ["", "", "", "", "", "yes", "", ""];
        let said = verify_volume(&[], SHELLS[0], AWKS[0], &engine, &volume, &values);
        said.last().cloned().unwrap_or_default()
    };
    assert_eq!(test("whole", ":"), "end good");
    let output = ok(Command::new(binaries().join("postgres")).arg("--version"));
    let version = String::from_utf8(output.stdout).unwrap();
    let version = version.trim().strip_prefix("postgres (PostgreSQL) ").unwrap();
    let other = test("other", "echo 9 >data/PG_VERSION");
    assert_eq!(
        other,
        format!("lost version the data directory is of PostgreSQL 9, the image has PostgreSQL {version}")
    );
    // That of before an upgrade is still there, and found first.
    let upgraded = test("upgraded", "mv data new && cp -a new data && echo 9 >data/PG_VERSION");
    assert_eq!(upgraded, "end good");
    assert_eq!(test("none", "rm -r data"), "lost other no data directory is in the volume");
    let setting = test("setting", "echo 'nonsense = 1' >>data/postgresql.conf");
    assert_eq!(setting, "lost data the server does not start on the data directory");
    let library = test("library", "echo \"shared_preload_libraries = 'nowhere'\" >>data/postgresql.conf");
    assert_eq!(library, "lost image the server does not start on the data directory");
    let log = test("log", "rm data/pg_wal/0*");
    assert_eq!(log, "bad the server does not start on the data directory");
}

/// A query that is not true tells of the backup; one that was not answered, whatever else it may tell of, does not.
fn asks(engine: &str, file: &Path, database: &str) {
    for (query, said) in [
        ("SELECT 1 = 1 -- so it is", "end good"),
        ("SELECT 1 = 1;\n", "end good"),
        ("SELECT 1 = 2", "bad the query did not return true"),
        ("SELECT 'true', 1", "bad the query did not return true"),
        ("SELECT 1 WHERE 1 = 2", "bad the query did not return true"),
        ("selct 1", "lost query the scratch server does not take the query"),
        ("SELECT * FROM nowhere", "lost query the scratch server does not take the query"),
        ("SELECT 'x = 1", "lost query the scratch server does not take the query"),
    ] {
        let last = verify(SHELLS[0], AWKS[0], engine, file, database, query).pop();
        assert_eq!(last.as_deref(), Some(said), "{query}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_dump_of_mariadb_is_verified_under_every_shell() {
    let server = Maria::start();
    server.sql(
        MARIA_DATABASE,
        r#"CREATE TABLE nasty (id int PRIMARY KEY, a text, b int AS (id + 1), `c ) VALUES (` text);
        INSERT INTO nasty (id, a, `c ) VALUES (`) VALUES (1, 'a''b(c)\\', ');'), (2, '\\''(', NULL), (3, ''',\n(4,''x''),;\n(', '\\\\''),('),
            (5, 'INSERT INTO `x` VALUES (1);\n-- Dump completed', '\\\''), (6, '\0\r\n\Z', ');\n'), (7, '"(`)`;', ';');
        CREATE TABLE `no``thing (` (n int);
        CREATE TRIGGER odd AFTER INSERT ON nasty FOR EACH ROW
INSERT INTO `no``thing (` VALUES
(99)"#,
    );
    let folder = server.dir.path().join("dumps");
    fs::create_dir_all(&folder).unwrap();
    let socket = format!("--socket={}", server.dir.path().join("socket").display());
    let dump = "file=$1; shift; mariadb-dump --no-defaults --user=root --single-transaction --routines --events --triggers \
        --hex-blob \"$@\" | gzip >\"$file\"";
    let engine = format!("{MYSQL}{MYSQL_VERIFY}");
    // As recent versions write rows, each on its line, and each as a statement; then as older ones do, many on a line.
    let [many, single] =
        [("many.gz", "--extended-insert"), ("single.gz", "--skip-extended-insert")].map(|(name, how)| {
            let file = folder.join(name);
            ok(Command::new("sh").args(["-c", dump, "sh"]).arg(&file).args([&socket, how, "--", MARIA_DATABASE]));
            file
        });
    let joined = folder.join("joined.gz");
    let join = r#"gzip -dc "$1" | awk '
        /^DELIMITER ;;$/ { body = 1 }
        /^DELIMITER ;$/ { body = 0 }
        !body && /^INSERT INTO .* VALUES$/ { printf "%s ", $0; rows = 1; next }
        rows { printf "%s", $0; if (/;$/) { print ""; rows = 0 }; next }
        { print }' | gzip >"$2""#;
    ok(Command::new("sh").args(["-c", join, "sh"]).args([&many, &joined]));
    let (escape, escaped) = (r"a\nb", folder.join("escaped.gz"));
    server.sql("", &format!("CREATE DATABASE `{escape}`"));
    server.sql(escape, "CREATE TABLE nasty (id int); INSERT INTO nasty VALUES (1), (2), (3), (4), (5), (6)");
    ok(Command::new("sh").args(["-c", dump, "sh"]).arg(&escaped).args([&socket, "--", escape]));
    // Locks around rows whose table reads a sequence, and all versions of rows.
    server.sql(
        "",
        "CREATE DATABASE shop; CREATE SEQUENCE shop.s; CREATE TABLE shop.nasty (id bigint DEFAULT nextval(shop.s), g int AS (1));
         INSERT INTO shop.nasty (id) VALUES (1), (2), (3), (4), (5), (6);
         CREATE TABLE shop.prices (id int, twice int AS (id * 2)) WITH SYSTEM VERSIONING;
         INSERT INTO shop.prices (id) VALUES (1), (2); UPDATE shop.prices SET id = id + 10; DELETE FROM shop.prices",
    );
    let [history, locks] = ["--dump-history", "--skip-dump-history"].map(|how| {
        let file = folder.join(format!("{how}.gz"));
        ok(Command::new("sh").args(["-c", dump, "sh"]).arg(&file).args([&socket, how, "--", "shop"]));
        file
    });
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let verify =
            |file: &Path, database: &str| verify(shell, awk, &engine, file, database, "SELECT count(*) = 6 FROM nasty");
        for file in [&many, &single, &joined] {
            let found = verify(file, MARIA_DATABASE);
            assert_eq!(found, ["tables 4", "rows 20008", "query yes", "end good"], "{shell:?} {file:?}");
        }
        assert_eq!(verify(&history, "shop"), ["tables 2", "rows 10", "query yes", "end good"], "{shell:?}");
        assert_eq!(verify(&locks, "shop"), ["tables 2", "rows 6", "query yes", "end good"], "{shell:?}");
        assert_eq!(verify(&escaped, escape), ["tables 1", "rows 6", "query yes", "end good"], "{shell:?}");
        let other = format!("bad the dump is of the database '{MARIA_DATABASE}', the proof is of 'other'");
        assert_eq!(verify(&many, "other"), [other], "{shell:?}");
    }
    asks(&engine, &many, MARIA_DATABASE);
}

/// As [`a_good_dump_of_postgres_is_not_condemned`].
#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_good_dump_of_mariadb_is_not_condemned() {
    let server = Maria::start();
    server.sql(
        "",
        "CREATE DATABASE odd CHARACTER SET latin1 COLLATE latin1_german2_ci; SET GLOBAL sql_mode = 'ANSI_QUOTES'",
    );
    let zone = "mariadb-tzinfo-to-sql /usr/share/zoneinfo/Europe/Vienna Europe/Vienna | mariadb --no-defaults --user=root \"$1\" mysql";
    let socket = format!("--socket={}", server.dir.path().join("socket").display());
    ok(Command::new("sh").args(["-c", zone, "sh", &socket]));
    server.sql(
        "odd",
        "CREATE USER app@'%'; GRANT ALL ON *.* TO app@'%';
         CREATE TABLE t (id int PRIMARY KEY, n varchar(9)) ENGINE=InnoDB; INSERT INTO t VALUES (1, 'a'), (2, 'b');
         CREATE DEFINER=app@'%' VIEW v AS SELECT id FROM t;
         CREATE DEFINER=app@'%' VIEW w AS SELECT * FROM v;
         CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1;
         CREATE DEFINER=app@'%' VIEW x AS SELECT f() AS n;
         CREATE TABLE old (n int) WITH SYSTEM VERSIONING; INSERT INTO old VALUES (1), (2); DELETE FROM old WHERE n = 1;
         CREATE TABLE a (n int) ENGINE=MyISAM; CREATE TABLE b (n int) ENGINE=MyISAM;
         INSERT INTO a VALUES (1); INSERT INTO b VALUES (2);
         CREATE TABLE `merged` (n int) ENGINE=MERGE UNION=(a, b);
         CREATE SEQUENCE s; CREATE TABLE z (n int DEFAULT nextval(s)); INSERT INTO z VALUES (DEFAULT), (DEFAULT);
         CREATE TABLE `of\ntwo lines` (n int); INSERT INTO `of\ntwo lines` VALUES (1), (2), (3);
         CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t;
         SET time_zone = 'Europe/Vienna'; CREATE EVENT zoned ON SCHEDULE EVERY 1 YEAR DO DELETE FROM t",
    );
    let folder = server.dir.path().join("dumps");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("odd.gz");
    let engine = format!("{MYSQL}{MYSQL_VERIFY}");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let [user, password] = [format!("={USER}"), format!("={PASSWORD}")];
        let [objects, like] = inventory(server.session(shell, &file, [&user, &password, "=odd"], &[]));
        let query = "SELECT @@collation_database = 'latin1_german2_ci' AND @@GLOBAL.sql_mode = 'ANSI_QUOTES'";
        let found = verify_as(shell, awk, &engine, &file, "odd", query, [&objects, &like]);
        let kinds = format!("objects {}", objects.lines().count());
        assert_eq!(found.get(2..).unwrap_or_default(), [&kinds, "query yes", "end good"], "{shell:?} {found:?}");
        // The history may be in the dump or not.
        assert!(["tables 6", "tables 7"].contains(&found[0].as_str()), "{found:?}");
        let more = format!("{objects}packages 1 x\n");
        let found = verify_as(shell, awk, &engine, &file, "odd", "", [&more, &like]);
        let missed = "bad the dump does not hold all that the database held, packages: 0 of 1";
        assert_eq!(found.last().map(String::as_str), Some(missed), "{shell:?}");
    }
    let found = verify_as(&["dash"], &["mawk"], &engine, &file, "odd", "", ["packages 9\n", ""]);
    assert_eq!(found.last().map(String::as_str), Some("end good"), "an older proof");
    let changed = |name: &str, script: &str| {
        let changed = folder.join(name);
        let script = format!("gzip -dc \"$1\" | {script} | gzip >\"$2\"");
        ok(Command::new("sh").args(["-c", &script, "sh"]).args([&file, &changed]));
        changed
    };
    let version = server.sql("", "SELECT version()");
    for (name, script, version, said) in [
        ("b.gz", "sed 's/^INSERT INTO `t`/INSRT INTO `t`/'", version.as_str(), "bad the dump cannot be loaded"),
        (
            "c.gz",
            "sed 's/^INSERT INTO `t`/INSRT INTO `t`/'",
            "8.4.1",
            "lost load the scratch server could not take the dump",
        ),
        (
            "d.gz",
            "sed 's/^INSERT INTO `t`/INSERT INTO `gone`/'",
            version.as_str(),
            "lost load the scratch server could not take the dump",
        ),
    ] {
        let file = changed(name, script);
        let like = format!("version {version}\n");
        let found = verify_as(&["dash"], &["mawk"], &engine, &file, "odd", "", ["", &like]);
        assert_eq!(found, [said], "{name}");
    }
}

#[test]
fn what_keeps_the_pod_ends_a_minute_after_the_last_sign_of_life() {
    for shell in [&["dash"][..], &["bash"]] {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        // Seconds that pass at once; in the first hundred of them there are signs of life.
        let sleep = format!(
            "#!/bin/sh\nread -r n <'{at}/n'\necho $((n + 1)) >'{at}/n'\n[ $n -ge 100 ] || echo $n >'{at}/beat'\n"
        );
        fs::write(dir.path().join("sleep"), sleep).unwrap();
        fs::write(dir.path().join("n"), "0\n").unwrap();
        ok(Command::new("chmod").arg("+x").arg(dir.path().join("sleep")));
        let path = format!("{}:{}", at, std::env::var("PATH").unwrap());
        let mut keep = Command::new(shell[0]);
        keep.args(&shell[1..]).args(["-c", KEEPALIVE, "keep"]).arg(dir.path()).env("PATH", path);
        ok(&mut keep);
        assert_eq!(fs::read_to_string(dir.path().join("n")).unwrap(), "160\n", "{shell:?}");
    }
}

/// dash and busybox ash forget a signal that a child hears before it has put its parent's trap away.
#[test]
fn a_child_that_misses_its_signal_does_not_wait_at_the_pipe() {
    let session = include_str!("../src/container/session.sh");
    let (_, rest) = session.split_once("\nend_children() {\n").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "own=$1/own\nend_children() {{\n{body}\n}}\ntrap : TERM\nfor n in 1 2 3 4 5 6 7 8 9; do
                mkfifo \"$own.pipe-one\" \"$own.pipe-other\" || exit
                cat <\"$own.pipe-one\" >/dev/null &
                children=$!
                cat <\"$own.pipe-other\" >/dev/null &
                children=\"$children $!\"
                end_children
            done\nls \"$1\""
        );
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "20"]).args(shell).args(["-c", &script, "sh"]).arg(dir.path());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{shell:?} {output:?}");
    }
}

/// busybox ash gives up to open a named pipe when one of its children ends.
#[test]
fn a_child_that_ends_does_not_keep_a_restore_test_from_its_pipe() {
    let (_, rest) = VERIFY.split_once("\nload_dump() {\n").unwrap();
    let (body, _) = rest.split_once("\n}\n").unwrap();
    let parts = "say() { :; }
        start_unpacking() { sleep 0.1 & { sleep 0.3; echo dump >\"$SCRATCH/pipe\"; } & unpacking=$!; }
        check_unpacking() { wait \"$unpacking\"; status=0; }
        lost() { echo lost \"$1\"; exit; }
        lost_for_known_cause() { lost \"$1\"; }
        db_filter() { cat; }
        db_load() { cat >\"$SCRATCH/loaded\"; }
        db_after_load() { cat \"$SCRATCH/loaded\"; }";
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        let script = format!("SCRATCH=$1\nmkfifo \"$1/pipe\"\n{parts}\nload_dump() {{\n{body}\n}}\nload_dump");
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "20"]).args(shell).args(["-c", &script, "sh"]).arg(dir.path());
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"dump\n"[..]), "{shell:?} {output:?}");
    }
}

#[test]
fn a_script_that_is_cut_off_runs_nothing() {
    for shell in SHELLS {
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).args(["-c", BOOTSTRAP]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("dash, busybox and bash on this machine (make init)");
        child.stdin.take().unwrap().write_all(b"echo ran\necho again\n#end-of-scrip").unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(70), 0), "{shell:?}");
    }
}

#[test]
fn every_script_passes_shellcheck() {
    let whole = tempfile::tempdir().unwrap();
    let parts = [
        ("bootstrap", BOOTSTRAP.to_string()),
        ("session", format!("{COMMON}{POSTGRES}{POSTGRES_GLOBALS}{SESSION}")),
        ("mysql-session", format!("{COMMON}{MYSQL}{MYSQL_GLOBALS}{SESSION}")),
        ("flush", format!("{COMMON}{FLUSH}")),
        ("hook", format!("{COMMON}{HOOK}")),
        ("recheck", format!("{COMMON}{RECHECK}")),
        ("load", format!("{COMMON}{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_LOAD}{LOAD}")),
        ("load-table", format!("{COMMON}{POSTGRES}{POSTGRES_TABLE}{LOAD_TABLE}")),
        ("mysql-load-table", format!("{COMMON}{MYSQL}{MYSQL_TABLE}{LOAD_TABLE}")),
        ("mysql-load", format!("{COMMON}{MYSQL}{MYSQL_LOAD}{LOAD}")),
        ("receive", format!("{COMMON}{RECEIVE}")),
        ("inspect", format!("{COMMON}{POSTGRES}{POSTGRES_INSPECT}{INSPECT}")),
        ("mysql-inspect", format!("{COMMON}{MYSQL}{MYSQL_INSPECT}{INSPECT}")),
        ("info", format!("{COMMON}{POSTGRES}{POSTGRES_INFO}{INFO}")),
        ("mysql-info", format!("{COMMON}{MYSQL}{MYSQL_INFO}{INFO}")),
        ("databases", format!("{COMMON}{POSTGRES}{POSTGRES_DATABASES}")),
        ("mysql-databases", format!("{COMMON}{MYSQL}{MYSQL_DATABASES}")),
        ("hold-password", format!("{COMMON}{HOLD_PASSWORD}")),
        ("shell", format!("{COMMON}{POSTGRES}{SHELL}")),
        ("verify", format!("{COMMON}{POSTGRES}{POSTGRES_REPLACE}{POSTGRES_VERIFY}{VERIFY}")),
        ("mysql-verify", format!("{COMMON}{MYSQL}{MYSQL_VERIFY}{VERIFY}")),
        ("keepalive", KEEPALIVE.to_string()),
        ("export-restic", format!("{COMMON}{}{}", export::RESTIC, export::EXPORT)),
        ("export-rclone", format!("{COMMON}{}{}", export::RCLONE, export::EXPORT)),
        ("export-command", format!("{COMMON}{}{}", export::COMMAND, export::EXPORT)),
        ("import-restic", format!("{COMMON}{}{}", export::RESTIC, import::IMPORT)),
        ("import-rclone", format!("{COMMON}{}{}", export::RCLONE, import::IMPORT)),
        ("import-command", format!("{COMMON}{}{}", export::COMMAND, import::IMPORT)),
    ];
    for (name, text) in parts {
        let file = whole.path().join(name);
        fs::write(&file, text).unwrap();
        let mut check = Command::new("shellcheck");
        // Not every script calls every function, and reads or sets every variable, of its parts.
        let output = check
            .args(["--shell=sh", "--exclude=SC2317,SC2034,SC2153"])
            .arg(&file)
            .output()
            .expect("shellcheck on this machine (make init)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
