//! Several databases of one server: a file and a proof for each, one snapshot, and nothing left after a fault. With the fake kubectl;
//! what real servers list is in tests/scripts, and whole backups of them are in tests/cluster.

use crate::support::{ALWAYS, BODY, Fault, OLD, REFUSED, Scenario, TRAILER};
use serde_json::Value;
use std::fs;

/// A pg_dump whose text names its database, which waits as long as `held.DATABASE` is there, and fails if `fails.DATABASE` is. The
/// server has the databases that the file `listed` names.
fn server(databases: &str) -> Scenario {
    Scenario::new()
        .env("BAK_DB_POSTGRES_DB", databases)
        .file("listed", "web\nshop\nodd/na me\n")
        .tool(
            "pg_dump",
            r#"case " $* " in *' --version '*) echo 'pg_dump (PostgreSQL) 17.6'; exit ;; esac
            cd "$FAKE_KUBECTL_DIR"
            cat dump.text
            echo "-- of $PGDATABASE"
            cat trailer
            : >"dumping.${PGDATABASE##*/}"
            until [ ! -e "held.${PGDATABASE##*/}" ]; do "$REAL/sleep" 0.1; done
            if [ -e "fails.${PGDATABASE##*/}" ]; then echo 'pg_dump: error: no' >&2; exit 1; fi"#,
        )
        .tool(
            "psql",
            r#"case "$*" in
            *datallowconn*)
              if [ -e "$FAKE_KUBECTL_DIR/unlisted" ]; then echo 'psql: error: refused' >&2; exit 2; fi
              nonce=${*#*SELECT \'}
              while IFS= read -r name; do echo "${nonce%% *} database $name"; done <"$FAKE_KUBECTL_DIR/listed" ;;
            esac"#,
        )
        .dump(BODY)
        .file("trailer", TRAILER)
}

fn proof(snapshot: &Value) -> Value {
    let text = snapshot["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].as_str().unwrap();
    serde_json::from_str(text).unwrap()
}

/// The databases and the names of the files in a proof.
fn proven(proof: &Value) -> Vec<(String, String)> {
    let word = |of: &Value, key: &str| of[key].as_str().unwrap().rsplit('/').next().unwrap().to_string();
    let all = std::iter::once(proof).chain(proof["more"].as_array().into_iter().flatten());
    all.map(|proof| (proof["database"].as_str().unwrap().to_string(), word(proof, "file"))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(one, other)| (one.to_string(), other.to_string())).collect()
}

fn text(scenario: &Scenario, file: &str) -> String {
    let path = scenario.dir().join("data").join(file);
    let unpacked = std::process::Command::new("gzip").arg("-dc").stdin(fs::File::open(path).unwrap()).output().unwrap();
    String::from_utf8(unpacked.stdout).unwrap()
}

#[test]
fn each_database_of_a_list_has_a_proven_file_in_one_snapshot() {
    let scenario = server("${POSTGRES_DB}, web,odd/na me");
    let outcome = scenario.run().exits(0).clean().snapshots(1);
    let outcome = outcome.calls("config observe session session session try second second second create watch event");
    let file = "dump.db-odd%2Fna%20me.sql.gz";
    outcome.prints(&["data/dump.sql.gz, ", "data/dump.db-web.sql.gz, ", file]);
    let proof = proof(&scenario.snapshots()[0]);
    let expected = [("shop", "dump.sql.gz"), ("web", "dump.db-web.sql.gz"), ("odd/na me", file)];
    assert_eq!(proven(&proof), pairs(&expected));
    for (name, file) in expected {
        assert!(text(&scenario, file).contains(&format!("-- of {name}\n")), "{file}");
    }
    let path = proof["more"][0]["pathInVolume"].as_str().unwrap();
    assert!(path.ends_with("data/dump.db-web.sql.gz"), "{path}");
    assert_ne!(proof["more"][0]["sha256"], proof["sha256"]);
    // Each can be restored by itself, with its roles.
    assert_eq!(scenario.globals().len(), 3);
    assert!(proof["globals"].is_object() && proof["more"][0]["globals"].is_object(), "{proof}");
}

#[test]
fn all_databases_are_listed_once_and_the_containers_own_comes_first() {
    let scenario = server("*");
    scenario
        .run()
        .exits(0)
        .clean()
        .calls("config observe databases session session session try second second second create watch event");
    let file = "dump.db-odd%2Fna%20me.sql.gz";
    let expected = [("shop", "dump.sql.gz"), ("odd/na me", file), ("web", "dump.db-web.sql.gz")];
    assert_eq!(proven(&proof(&scenario.snapshots()[0])), pairs(&expected));
    scenario.run().exits(0);
    // A dry run names every file.
    let plan = scenario.again(&["create", "--dry-run"]).exits(0).clean().snapshots(2);
    plan.prints(&["rename it to", "/dump.db-web.sql.gz", file]);
}

#[test]
fn a_server_that_does_not_list_its_databases_is_no_backup() {
    let scenario = server("*").file("unlisted", "");
    let words = ["does not list its databases", "psql: error: refused", "or name the databases in BAK_DB_POSTGRES_DB"];
    scenario.run().exits(4).says(&words).calls("config observe databases event").lost_nothing();
    let scenario = server("*").file("listed", "");
    scenario.run().exits(4).says(&["has no database besides its own"]).lost_nothing();
    let many: String = (0..33).map(|at| format!("d{at}\n")).collect();
    let scenario = server("*").file("listed", &many);
    scenario.run().exits(4).says(&["33 databases, and one backup takes at most 32"]).lost_nothing();
    let scenario = server("*").fault("databases", ALWAYS, Fault::Refuse(REFUSED)).arg("--retry-timeout=1s");
    scenario.run().exits(4).lost_nothing();
}

#[test]
fn a_database_that_is_named_twice_is_a_mistake() {
    let words = ["BAK_DB_POSTGRES_DB names the database shop twice"];
    server("${POSTGRES_DB},shop").run().exits(4).says(&words).lost_nothing();
    let words = ["BAK_DB_POSTGRES_DB is 'web,web'", "none empty or twice"];
    server("web,web").run().exits(2).says(&words).lost_nothing();
}

#[test]
fn one_database_that_fails_is_named_and_leaves_the_last_dump_of_each() {
    let files = ["dump.sql.gz", "dump.db-web.sql.gz", "dump.db-odd%2Fna%20me.sql.gz"];
    for failing in ["shop", "web", "na me"] {
        let scenario = server("shop,web,odd/na me").file(&format!("fails.{failing}"), "");
        let path = |file: &str| scenario.dir().join("data").join(file);
        files.iter().for_each(|file| fs::write(path(file), OLD).unwrap());
        let words = [&format!("{failing}: "), "pg_dump: error: no", "the last good dump is untouched"];
        scenario.run().exits(6).says(&words).lost_nothing();
        for file in files {
            assert_eq!(fs::read(path(file)).unwrap(), OLD.as_bytes(), "{failing} {file}");
        }
        assert!(scenario.globals().is_empty());
    }
    // What is missing is found before anything is dumped.
    let scenario =
        server("shop,web").tool("psql", r#"case $PGDATABASE in web) echo 'no such database' >&2; exit 2 ;; esac"#);
    scenario.run().exits(4).says(&["no such database"]).lost_nothing();
}

/// While others are dumped, what is whole already may be lost: then none may take the place of the last dump.
#[test]
fn a_session_that_ends_while_others_are_dumped_leaves_the_last_dump_of_each() {
    let scenario = server("shop,web").file("held.web", "");
    let files = ["dump.sql.gz", "dump.db-web.sql.gz"].map(|file| scenario.dir().join("data").join(file));
    files.iter().for_each(|file| fs::write(file, OLD).unwrap());
    let running = scenario.start().until("dumping.web");
    let calls = scenario.lines("calls.jsonl");
    let first =
        calls.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|call| call["kind"] == "session");
    let pid = first.unwrap()["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    fs::remove_file(scenario.dir().join("held.web")).unwrap();
    running.finish().exits(6).says(&["database shop", "the last good dump is untouched"]).lost_nothing();
    for file in files {
        assert_eq!(fs::read(&file).unwrap(), OLD.as_bytes(), "{}", file.display());
    }
}

#[test]
fn whatever_ends_it_nothing_is_left_of_any_database() {
    // While one is whole and waits for the others.
    for signal in ["TERM", "KILL"] {
        let scenario = server("shop,web,odd/na me").file("held.web", "");
        let running = scenario.start().until("dumping.web").signal(signal);
        running.finish().lost_nothing();
        assert!(!scenario.dir().join("dumping.na me").exists(), "the third was not begun");
    }
}

#[test]
fn a_run_that_is_tried_again_adopts_a_snapshot_only_if_it_holds_all_databases() {
    let scenario = server("shop,web").arg("--run-id=night");
    scenario.run().exits(0).snapshots(1);
    let outcome = scenario.run().exits(0).says(&["an earlier try"]).clean().snapshots(1);
    assert_eq!((outcome.count("create"), outcome.count("second")), (0, 2), "{outcome}");
    outcome.prints(&["/dump.sql.gz, ", "/dump.db-web.sql.gz, "]);
    fs::write(scenario.dir().join("data/dump.db-web.sql.gz"), "another").unwrap();
    scenario.run().exits(0).says(&["was replaced since"]).clean().snapshots(2);
    let scenario = scenario.env("BAK_DB_POSTGRES_DB", "shop,web,odd/na me");
    scenario.run().exits(0).clean().snapshots(3);
}

#[test]
fn two_databases_never_share_a_file() {
    let scenario = server("shop,web");
    let mysql = scenario.dir().join("data/dump.db-web.sql.gz").display().to_string();
    let scenario = scenario
        .env("BAK_DB_MYSQL", "true")
        .env("BAK_DB_MYSQL_EXEC_CONTAINER", "postgres")
        .env("BAK_DB_MYSQL_DUMP_FILE", &mysql);
    scenario.run().exits(2).says(&["two databases would have one dump file", &mysql]).lost_nothing();
}

/// With the tools that a load needs, too.
fn with_load_tools(scenario: Scenario) -> Scenario {
    let add = |scenario: Scenario, tool| scenario.tool(tool, &format!("exec \"$REAL/{tool}\" \"$@\""));
    ["awk", "grep", "sed"].into_iter().fold(scenario, add)
}

/// A backup of three databases, and then this command in its namespace.
fn after_backup(args: &[&str]) -> Scenario {
    let scenario = with_load_tools(server("${POSTGRES_DB},web,odd/na me"));
    scenario.run().exits(0);
    let snapshot = scenario.snapshots().remove(0);
    scenario.also(snapshot).args(args)
}

#[test]
fn a_command_for_one_database_asks_which() {
    let words = [
        "BAK_DB_POSTGRES_DB names several databases, and this takes one: ${POSTGRES_DB}, web, odd/na me",
        "--database",
    ];
    for piece in ["dump", "restore", "download-dump", "info", "shell"] {
        let scenario = server("${POSTGRES_DB},web,odd/na me").args(&["postgres", piece]);
        scenario.run().exits(2).says(&words).calls("config observe").lost_nothing();
    }
    let words = ["this takes one: shop, odd/na me, web"];
    server("*").args(&["postgres", "info"]).run().exits(2).says(&words).calls("config observe databases");
    // A server with one database leaves no choice.
    server("*").file("listed", "web\n").args(&["postgres", "info", "--dry-run"]).run().prints(&["database   web"]);
}

#[test]
fn one_database_is_restored_from_its_own_file() {
    let restored = |args: &[&str]| {
        let scenario = after_backup(&[&["postgres", "restore", "--dry-run"], args].concat());
        let outcome = scenario.run().exits(0).clean();
        (outcome.stdout.clone(), outcome.kinds().join(" "))
    };
    let calls = "config observe session session";
    for (name, file) in
        [("web", "dump.db-web.sql.gz"), ("odd/na me", "dump.db-odd%2Fna%20me.sql.gz"), ("shop", "dump.sql.gz")]
    {
        let (plan, made) = restored(&["--database", name]);
        assert!(plan.contains(&format!("/{file} is whole and proven")), "{plan}");
        assert!(plan.contains(&format!("into the database {name} in one transaction")), "{plan}");
        assert_eq!(made, calls, "the proof names the file");
    }
    // The file of another database in its place is not loaded.
    let scenario = after_backup(&["postgres", "restore", "--yes", "--database", "web"]);
    let data = scenario.dir().join("data");
    fs::copy(data.join("dump.sql.gz"), data.join("dump.db-web.sql.gz")).unwrap();
    scenario.run().exits(6).says(&["is of the database shop, not of web", "nothing was loaded"]);
    let scenario = after_backup(&["postgres", "restore", "--yes", "--database", "gone"]);
    scenario.run().exits(4).says(&["there is no dump", "dump.db-gone.sql.gz"]);
}

#[test]
fn the_newest_proof_says_which_file_is_a_databases() {
    // The order of the list was changed since the backup.
    let scenario = after_backup(&["postgres", "restore", "--dry-run", "--database", "web"]);
    let scenario = scenario.env("BAK_DB_POSTGRES_DB", "web,shop");
    scenario.run().exits(0).prints(&["/dump.db-web.sql.gz is whole and proven"]);
}

#[test]
fn one_database_is_downloaded_and_shown() {
    let scenario = after_backup(&["postgres", "download-dump", "--dry-run", "--database", "web"]);
    scenario.run().exits(0).prints(&["rename it to dump.db-web.sql.gz"]);
    let scenario = after_backup(&["postgres", "info", "--database", "web"]);
    scenario.run().exits(0).prints(&["database   web", "dump.db-web.sql.gz", "proven by VolumeSnapshot"]);
}

/// The file of an older proof may be another database's by now.
#[test]
fn a_dump_is_written_where_the_settings_say() {
    let scenario = after_backup(&["postgres", "dump", "--dry-run", "--database", "web"]);
    let noted = proof(&scenario.snapshots()[0]).to_string();
    let scenario = scenario.env("BAK_DB_POSTGRES_DB", "web,shop").object("PersistentVolumeClaim", |claim| {
        claim["metadata"]["annotations"] = serde_json::json!({"backup-ns.sh/dump-postgres": noted});
    });
    let outcome = scenario.run().exits(0).prints(&["data/dump.sql.gz"]);
    assert!(!outcome.stdout.contains("dump.db-web"), "{outcome}");
}

#[test]
fn a_dump_of_one_database_keeps_the_proofs_of_the_others() {
    let scenario = after_backup(&["postgres", "dump", "--database", "web"]);
    let noted = proof(&scenario.snapshots()[0]).to_string();
    let scenario = scenario.object("PersistentVolumeClaim", |claim| {
        claim["metadata"]["annotations"] = serde_json::json!({"backup-ns.sh/dump-postgres": noted});
    });
    let outcome = scenario.run().exits(0).prints(&["data/dump.db-web.sql.gz"]);
    let patch = outcome.argv("patch");
    let patch: Value = serde_json::from_str(&patch[patch.find('{').unwrap()..=patch.rfind('}').unwrap()]).unwrap();
    let text = patch["metadata"]["annotations"]["backup-ns.sh/dump-postgres"].as_str().unwrap();
    let all: Value = serde_json::from_str(text).unwrap();
    let names: Vec<String> = proven(&all).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["shop", "odd/na me", "web"]);
}

#[test]
fn doctor_looks_at_each_database_and_names_what_is_missing() {
    let psql =
        r#"case $PGDATABASE in gone) echo 'psql: error: FATAL:  database "gone" does not exist' >&2; exit 2 ;; esac"#;
    let scenario = server("shop,web,gone").tool("psql", psql).args(&["doctor"]);
    let outcome = scenario.run().exits(4).clean();
    assert_eq!(outcome.count("session"), 3, "{outcome}");
    let lines = [
        "passed   database",
        "shop answers",
        "web answers",
        "FAILED   database",
        "database gone: the server has no database gone",
        "does not exist",
    ];
    let outcome = outcome.prints(&lines);
    // What is the same for all of them is there once.
    for check in ["passed   tools", "passed   path", "passed   space"] {
        assert_eq!(outcome.stdout.matches(check).count(), 1, "{check}: {outcome}");
    }
    let all = server("*").args(&["doctor"]);
    let outcome = all.run().clean().prints(&["shop answers", "web answers", "odd/na me answers"]);
    assert_eq!((outcome.count("databases"), outcome.count("session")), (1, 3), "{outcome}");
    let unlisted = server("*").file("unlisted", "").args(&["doctor"]);
    unlisted.run().exits(4).prints(&["FAILED   container", "does not list its databases"]);
}

#[test]
fn a_dump_of_this_machine_goes_into_the_database_that_is_named() {
    let file = |scenario: &Scenario| scenario.dir().join("mine.sql").display().to_string();
    let scenario = with_load_tools(server("shop,web")).file("mine.sql", &format!("{BODY}{TRAILER}"));
    let from = file(&scenario);
    let scenario = scenario.args(&["postgres", "restore", "--dry-run", "--database", "web", "--from", &from]);
    scenario.run().exits(0).prints(&["into the database web in one transaction"]);
    let scenario = scenario.args(&["postgres", "restore", "--dry-run", "--from", &from]);
    scenario.run().exits(2).says(&["this takes one: shop, web", "--database"]);
}

#[test]
fn an_empty_database_is_a_mistake_only_where_a_setting_names_it() {
    let empty = |databases: &str| {
        let psql = r#"case "$*" in
            *datallowconn*) n=${*#*SELECT \'}; for name in shop web; do echo "${n%% *} database $name"; done ;;
            *largeobject_metadata*) n=${*#*SELECT \'}; echo "${n%% *} tables 0" ;;
            esac"#;
        server(databases).tool("psql", psql)
    };
    let words = "the database web holds no table";
    let named = empty("shop,web");
    named.run().exits(0).says(&[words]);
    named.args(&["doctor"]).run().exits(4).prints(&["FAILED   database", words]);
    let all = empty("*");
    let outcome = all.run().exits(0);
    assert!(!outcome.stderr.contains("holds no table"), "{outcome}");
    all.args(&["doctor"]).run().prints(&["shop answers", "web answers"]);
}
