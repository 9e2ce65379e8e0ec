//! The accounts of MySQL and MariaDB that a dump needs, made from the file beside it.

use super::*;

/// Accounts of every kind of right, two of which own views: one on which another view is built, so that it must have its rights before
/// the load ends.
const ACCOUNTS: &str = r"CREATE ROLE 're`a''d\\er'; CREATE USER 'we''b\\x'@'10.%' IDENTIFIED BY 'hunter2' WITH MAX_USER_CONNECTIONS 3;
    GRANT SELECT ON `DB`.w TO 're`a''d\\er'; GRANT 're`a''d\\er' TO 'we''b\\x'@'10.%' WITH ADMIN OPTION;
    SET DEFAULT ROLE 're`a''d\\er' FOR 'we''b\\x'@'10.%';
    CREATE USER narrow@localhost; GRANT SELECT ON `DB`.t TO narrow@localhost WITH GRANT OPTION;
    CREATE DEFINER=narrow@localhost VIEW `a first` AS SELECT id FROM t; CREATE VIEW `b second` AS SELECT id FROM `a first`;
    CREATE USER part@'%' IDENTIFIED BY 'hunter3' ACCOUNT LOCK;
    GRANT INSERT, SELECT (id, `v`), UPDATE (v) ON `DB`.t TO part@'%'; GRANT EXECUTE ON PROCEDURE `DB`.p TO part@'%';
    GRANT SELECT ON other.nothing TO part@'%';
    CREATE USER there@'%' IDENTIFIED BY 'here'; GRANT ALL ON `DB`.* TO there@'%'; GRANT 're`a''d\\er' TO there@'%'";

const SHOWN: [&str; 6] = [
    r"SHOW CREATE USER 'we''b\\x'@'10.%'; SHOW GRANTS FOR 'we''b\\x'@'10.%'",
    r"SHOW GRANTS FOR 're`a''d\\er'",
    "SHOW CREATE USER narrow@localhost; SHOW GRANTS FOR narrow@localhost",
    "SHOW CREATE USER part@'%'; SHOW GRANTS FOR part@'%'",
    "SELECT is_role, default_role FROM mysql.user WHERE user LIKE 're%' OR user LIKE 'we%' ORDER BY 1, 2",
    "SELECT role, user, admin_option FROM mysql.roles_mapping WHERE user <> 'root' AND user <> 'there' ORDER BY 1, 2",
];

/// Drops what a load has made.
const DROP: &str =
    r"DROP USER IF EXISTS 'we''b\\x'@'10.%', narrow@localhost, part@'%', there@'%'; DROP ROLE IF EXISTS 're`a''d\\er'";

fn in_database(statements: &str) -> String {
    statements.replace("DB", MARIA_DATABASE)
}

/// A server with [`ACCOUNTS`], and a dump of it with its file of accounts.
fn dump_with_accounts() -> (Maria, PathBuf, PathBuf) {
    let server = Maria::start();
    server.sql("", "CREATE DATABASE other; CREATE TABLE other.nothing (n int)");
    server.sql(MARIA_DATABASE, &in_database(ACCOUNTS));
    // A line of a routine that looks like that of a definer, with what would be a line of its own in a report.
    server.sql(MARIA_DATABASE, "CREATE PROCEDURE quoting() SELECT \"\nCREATE DEFINER=`odd`@'a\\nneeds b' x\"");
    let folder = server.dir.path().join("dumps");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("d.sql.gz");
    let (user, password, name) = (format!("={USER}"), format!("={PASSWORD}"), format!("={MARIA_DATABASE}"));
    let mut session = server.session(SHELLS[0], &file, [&user, &password, &name], &[]);
    assert_eq!(session.dump_with("true").0, "proven", "{:?}", session.seen);
    session.close();
    session.until(&["end"]);
    let beside = globals_of(&file).remove(0);
    (server, file, beside)
}

/// A server that a load is made into, in these surroundings.
struct Target<'a> {
    server: &'a Maria,
    shell: &'a [&'a str],
    path: String,
    file: PathBuf,
}

struct Loaded {
    outcome: String,
    said: String,
    seen: BTreeMap<String, String>,
    /// Every account that it reported, and everything that it could not grant.
    roles: Vec<String>,
    ungranted: Vec<String>,
}

impl Target<'_> {
    fn load(&self, user: &str, globals: &str, how: &str) -> Loaded {
        let (port, user, name) = (self.server.port.to_string(), format!("={user}"), format!("={MARIA_DATABASE}"));
        let values = session_values(self.file.to_str().unwrap(), &port, &[&user, "=", &name, "utf8mb4"]);
        let parts = format!("{MYSQL}{MYSQL_LOAD}{LOAD}");
        let mut session = Session::running(self.shell, &parts, &values, &[("PATH", &self.path)]);
        let (mut roles, mut ungranted) = (Vec::new(), Vec::new());
        while let (key, value) = session.until(&["role", "looked"])
            && key == "role"
        {
            roles.push(value);
        }
        assert_eq!(session.seen["answers"], "yes", "{:?}", session.seen);
        session.tell(&format!("load {globals} 0 {} {how}", sha256(&self.file)));
        let outcome = loop {
            let (key, value) = session.until(&["ungranted", "loaded", "lost"]);
            if key != "ungranted" {
                break key;
            }
            ungranted.push(value);
        };
        let (said, seen) = (session.last_words(), session.seen.clone());
        assert!(session.child.wait().unwrap().success());
        assert!(left_in(self.file.parent().unwrap()).iter().all(|name| name.ends_with(".accounts")), "{seen:?}");
        for secret in ["PASSWORD '", "*58815970", "IDENTIFIED"] {
            assert!(!format!("{said}{seen:?}").contains(secret), "{secret}: {said} {seen:?}");
        }
        Loaded { outcome, said, seen, roles, ungranted }
    }

    /// Nothing was loaded, for this reason.
    #[track_caller]
    fn refused(&self, loaded: &Loaded, why: &str) {
        assert_eq!(loaded.outcome, "lost", "{:?}", self.shell);
        let all = format!("{} {}", loaded.said, loaded.seen["lost"]);
        assert!(all.contains(why), "{:?} {all}", self.shell);
        assert_eq!(self.server.sql("", &format!("SELECT count(*) FROM `{MARIA_DATABASE}`.t")), "0");
    }

    fn unfinished(&self) -> PathBuf {
        PathBuf::from(format!("{}.backup-ns.accounts", self.file.display()))
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn missing_accounts_are_made_from_the_recorded_file_and_no_others_are_changed() {
    let (server, file, beside) = dump_with_accounts();
    let other = Maria::start();
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let folder = other.dir.path().join(shell[0]);
        fs::create_dir_all(&folder).unwrap();
        let copy = folder.join("d.sql.gz");
        fs::copy(&file, &copy).unwrap();
        let globals = folder.join(beside.file_name().unwrap());
        fs::copy(&beside, &globals).unwrap();
        let target = Target { server: &other, shell, path: with_awk(&folder, awk), file: copy };
        other.sql("", &in_database("CREATE OR REPLACE DATABASE `DB`; CREATE TABLE `DB`.t (n int)"));
        other.sql(
            "",
            "CREATE USER there@'%' IDENTIFIED BY 'its own'; CREATE OR REPLACE USER lowly@localhost, lowly@'127.0.0.1';
            GRANT ALL ON *.* TO lowly@localhost; GRANT ALL ON *.* TO lowly@'127.0.0.1'; REVOKE CREATE USER ON *.* FROM lowly@localhost",
        );
        // The server drops such a grant with the procedure, which a load replaces.
        other.sql(
            "",
            &in_database("CREATE PROCEDURE `DB`.p() SELECT 2; GRANT EXECUTE ON PROCEDURE `DB`.p TO there@'%'"),
        );
        let own = other.sql("", "SHOW CREATE USER there@'%'; SHOW GRANTS FOR there@'%'");
        assert!(own.contains("EXECUTE ON PROCEDURE"), "{own}");
        let sum = sha256(&beside);

        // Without them nothing is loaded, nor from another file, nor by a user who may not grant.
        let without = target.load("root", "-", "try");
        target.refused(&without, "ERROR 1449");
        assert!(without.roles.contains(&"`there`@`%`".to_string()), "{:?}", without.roles);
        let another = target.load("root", &format!("{}{}", &sum[..16], "0".repeat(48)), "try");
        target.refused(&another, "replaced meanwhile");
        fs::rename(&globals, folder.join("away")).unwrap();
        target.refused(&target.load("root", &sum, "try"), "the file of accounts cannot be read");
        fs::rename(folder.join("away"), &globals).unwrap();
        assert!(!target.unfinished().exists(), "{shell:?}");
        let lowly = target.load("lowly", &sum, "try");
        target.refused(&lowly, "the recorded accounts cannot be made");
        assert!(
            lowly.seen["state"].contains("the database is as it was; accounts that were made stay"),
            "{:?}",
            lowly.seen
        );
        assert!(lowly.said.starts_with("ERROR 1"), "{}", lowly.said);
        other.sql("", &DROP.replace(", there@'%'", ""));

        // What a load made that failed later counts as missing, so that the next one completes it.
        let dump = fs::read(&target.file).unwrap();
        filtered(&target.file, "gzip -dc | sed 's/^DROP TABLE/DROP MABLE/' | gzip");
        let broken = target.load("root", &sum, "try");
        target.refused(&broken, "ERROR 1064");
        assert!(!broken.said.contains("---\n"), "the statement that failed is not repeated: {}", broken.said);
        fs::write(&target.file, dump).unwrap();
        other.sql("", "REVOKE ALL, GRANT OPTION FROM narrow@localhost");
        let made = other.sql("", "SELECT count(*) FROM mysql.user WHERE user = 'part'");
        assert!(made == "1" && target.unfinished().exists(), "{made}");

        let loaded = target.load("root", &sum, "try");
        assert_eq!(loaded.outcome, "loaded", "{shell:?} {} {:?}", loaded.said, loaded.seen);
        assert!(!loaded.roles.contains(&"`part`@`%`".to_string()), "{:?}", loaded.roles);
        assert_eq!(loaded.seen["not-granted"], r"`re``a'd\er` TO `there`@`%`", "{shell:?}");
        assert_eq!(loaded.ungranted, Vec::<String>::new());
        assert_eq!(other.sql("", "SHOW CREATE USER there@'%'; SHOW GRANTS FOR there@'%'"), own, "{shell:?}");
        for statement in SHOWN {
            assert_eq!(other.sql("", statement), server.sql("", statement), "{shell:?} {awk:?} {statement}");
        }
        assert_eq!(other.sql(MARIA_DATABASE, "SELECT count(*) FROM `b second`"), "20002", "{shell:?}");
        assert!(!target.unfinished().exists(), "{shell:?}");
        // Once more: all of them are there. A right to columns comes with the table, as it does in a dump of PostgreSQL.
        let revoked = r"REVOKE UPDATE (v) ON `DB`.t FROM part@'%'; REVOKE SELECT ON `DB`.w FROM 're`a''d\\er'";
        other.sql("", &in_database(revoked));
        let again = target.load("root", &sum, "try");
        assert_eq!(other.sql("", SHOWN[3]), server.sql("", SHOWN[3]), "{shell:?}");
        assert!(!other.sql("", SHOWN[1]).contains("SELECT"), "{shell:?}");
        assert_eq!(again.outcome, "loaded", "{shell:?} {}", again.said);
        assert!(again.roles.contains(&"`part`@`%`".to_string()), "{:?}", again.roles);
        other.sql("", DROP);
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn an_account_that_cannot_be_made_is_named_without_its_hash() {
    let (_server, file, beside) = dump_with_accounts();
    let other = Maria::start();
    other.sql("", &in_database("CREATE OR REPLACE DATABASE `DB`; CREATE TABLE `DB`.t (n int)"));
    let text = fs::read_to_string(&beside).unwrap();
    let target = Target { server: &other, shell: SHELLS[0], path: std::env::var("PATH").unwrap(), file };
    for (statement, why) in [
        (
            "IDENTIFIED VIA nosuch USING '*58815970BE77B3720276F63DB198B1FA42E5CC02'",
            "ERROR 1524 (HY000): Plugin 'nosuch' is not loaded",
        ),
        (
            "IDENTIFIED BEI '*58815970BE77B3720276F63DB198B1FA42E5CC02'",
            "ERROR 1064 (42000): You have an error in your SQL syntax",
        ),
    ] {
        let line = format!("CREATE USER IF NOT EXISTS `odd`@`%` {statement};\n-- Accounts complete");
        fs::write(&beside, text.replace("-- Accounts complete", &line)).unwrap();
        let sum = sha256(&beside);
        let named = beside.with_file_name(format!("d.sql.gz.globals-{}.sql", &sum[..16]));
        fs::copy(&beside, &named).unwrap();
        let loaded = target.load("root", &sum, "try");
        target.refused(&loaded, why);
        assert!(!loaded.said.contains("near"), "{}", loaded.said);
    }
    // A grant on what is not there does not end the load.
    let line = "GRANT SELECT (n) ON `gone`.`t` TO `part`@`%`;\n-- Accounts complete";
    fs::write(&beside, text.replace("-- Accounts complete", line)).unwrap();
    let sum = sha256(&beside);
    fs::copy(&beside, beside.with_file_name(format!("d.sql.gz.globals-{}.sql", &sum[..16]))).unwrap();
    let loaded = target.load("root", &sum, "try");
    assert_eq!(loaded.ungranted, ["ERROR 1146 (42S02): Table 'gone.t' doesn't exist"], "{}", loaded.said);
    assert!(loaded.outcome == "loaded" && !target.unfinished().exists(), "{}", loaded.said);
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn the_accounts_that_a_dump_needs_and_the_file_makes_are_named() {
    let (_server, file, beside) = dump_with_accounts();
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let path = with_awk(file.parent().unwrap(), awk);
        let values = [file.to_str().unwrap(), "roles"];
        let mut session =
            Session::running(shell, &format!("{MYSQL}{MYSQL_INSPECT}{INSPECT}"), &values, &[("PATH", &path)]);
        let mut lines = Vec::new();
        while let (key, value) = session.until(&["needs", "globals-role", "globals-file", "plain", "end"])
            && key != "end"
        {
            lines.push(format!("{key} {value}"));
        }
        let mut needs: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("needs ")).collect();
        needs.sort_unstable();
        assert_eq!(needs, ["`narrow`@`localhost`", "`root`@`localhost`"], "{shell:?} {lines:?}");
        let of_file = format!("globals-file {} {}", fs::metadata(&beside).unwrap().len(), sha256(&beside));
        let made = [r"`re``a'd\er`", "`narrow`@`localhost`", "`part`@`%`", "`there`@`%`", r"`we'b\x`@`10.%`"];
        let made = made.map(|account| format!("globals-role {account}"));
        let plain = format!("plain {}", text_of(&file).len());
        let rest: Vec<_> = lines.iter().filter(|line| !line.starts_with("needs ")).cloned().collect();
        assert_eq!(rest, [&[plain, of_file], &made[..]].concat(), "{shell:?}");
    }
}

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_restore_test_takes_the_recorded_accounts() {
    let (server, file, beside) = dump_with_accounts();
    let (volume, bytes, sum) = (file.parent().unwrap(), fs::metadata(&file).unwrap().len().to_string(), sha256(&file));
    let name = beside.file_name().unwrap().to_str().unwrap();
    let (of_accounts, accounts) = (fs::metadata(&beside).unwrap().len().to_string(), sha256(&beside));
    let engine = format!("{MYSQL}{MYSQL_VERIFY}");
    let query = "SELECT count(*) = 2 AND max(super_priv) = ':super' FROM mysql.user WHERE user IN ('narrow', ':other')";
    let like = format!("version {}\n", server.sql("", "SELECT version()"));
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let test = |super_: &str, other: &str, globals: [&str; 3]| {
            let query = query.replace(":super", super_).replace(":other", other);
            let values =
                ["d.sql.gz", &bytes, &sum, MARIA_DATABASE, &query, "", "", &like, globals[0], globals[1], globals[2]];
            verify_volume(&[], shell, awk, &engine, volume, &values)
        };
        let good = test("N", "part", [name, &of_accounts, &accounts]);
        assert_eq!(good, ["roles 5", "tables 2", "rows 20002", "query yes", "end good"], "{shell:?}");
        // Nothing is made up but the definers.
        let made_up = test("Y", "mariadb.sys", ["", "", ""]);
        assert_eq!(made_up, ["tables 2", "rows 20002", "query yes", "end good"], "{shell:?}");
        let another = ["bad the file of the accounts is not that of the proof"];
        assert_eq!(test("N", "part", [name, &of_accounts, &sum]), another, "{shell:?}");
    }
}
