//! One table out of a dump, beside what is there.

use super::*;

/// A PATH on which `awk` is this one.
fn path_with(parent: &Path, awk: &[&str]) -> String {
    let tools = parent.join(format!("awk-{}", awk.join("-")));
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("awk"), format!("#!/bin/sh\nexec {} \"$@\"\n", awk.join(" "))).unwrap();
    ok(Command::new("chmod").args(["-R", "a+rx"]).arg(&tools));
    format!("{}:{}", tools.display(), std::env::var("PATH").unwrap())
}

/// What a load of one table gets: its schema and name, those that it gets, and whether it may replace.
type Wish<'a> = [&'a str; 5];

/// Loads one table of a dump: how it went, with what was said, and what was left out.
fn load_table(
    server: &Server,
    shell: &[&str],
    path: &str,
    file: &Path,
    database: &str,
    wish: Wish<'_>,
) -> (String, Vec<String>) {
    let (port, password, database) = (server.port.to_string(), format!("={PASSWORD}"), format!("={database}"));
    let values = session_values(file.to_str().unwrap(), &port, &["=app", &password, &database]);
    let parts = format!("{POSTGRES}{POSTGRES_TABLE}{LOAD_TABLE}");
    load_with(shell, &parts, &[&values[..], &wish].concat(), path, file, &sha256(file))
}

fn load_with(
    shell: &[&str],
    parts: &str,
    values: &[&str],
    path: &str,
    file: &Path,
    sum: &str,
) -> (String, Vec<String>) {
    let mut session = Session::running(shell, parts, values, &[("PATH", path)]);
    session.until(&["looked"]);
    session.tell(&format!("load - 0 {sum} try"));
    let mut left = Vec::new();
    let (key, value) = loop {
        let line = session.until(&["left", "loaded", "lost"]);
        if line.0 != "left" {
            break line;
        }
        left.push(line.1);
    };
    let state = session.seen.get("state").cloned().unwrap_or_default();
    let said = session.last_words();
    assert!(session.child.wait().unwrap().success());
    assert_eq!(left_in(file.parent().unwrap()), Vec::<String>::new(), "{shell:?}");
    (if key == "lost" { format!("lost {value}: {said}; {state}") } else { key }, left)
}

/// What is hard about a table, and about what is beside it in the dump.
const SHOP: &str = r#"CREATE ROLE reader; CREATE ROLE owner; CREATE ROLE gone; CREATE SCHEMA "My.Schema"; GRANT ALL ON SCHEMA public TO owner;
    CREATE TYPE state AS ENUM ('new', 'paid');
    CREATE TABLE customers (id int PRIMARY KEY, name text);
    CREATE FUNCTION looks() RETURNS text LANGUAGE sql AS $f$ SELECT '
COPY public.orders (id) FROM stdin;
7
\.
CREATE TABLE public.orders (n int);
' $f$;
    CREATE FUNCTION lies() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN -- it's
PERFORM 1;
CREATE TABLE public.orders (n int);
COPY public.orders (id) FROM stdin;
END $f$;
    CREATE TABLE aaa (v text); INSERT INTO aaa VALUES (E'\\.'), ('COPY public.orders (id) FROM stdin;'), (E'x\nCREATE TABLE public.orders (');
    CREATE TABLE orders (id serial PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY (START 100) UNIQUE,
      customer int REFERENCES customers, state state DEFAULT 'new', note text DEFAULT E'it''s;\n--', cents int CHECK (cents >= 0),
      twice int GENERATED ALWAYS AS (cents * 2) STORED);
    CREATE INDEX orders_note ON orders (lower(note)); CREATE UNIQUE INDEX "odd ""name" ON orders (cents) WHERE cents > 100;
    ALTER TABLE orders ADD CONSTRAINT sane CHECK (cents < 1000000) NOT VALID; ALTER TABLE orders ALTER note SET STATISTICS 7;
    ALTER TABLE orders CLUSTER ON orders_pkey; ALTER TABLE orders REPLICA IDENTITY FULL;
    CREATE STATISTICS wide ON id, cents FROM orders; CREATE PUBLICATION pub FOR TABLE orders;
    CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER before BEFORE UPDATE OF cents ON orders FOR EACH ROW EXECUTE FUNCTION fires('x ON public.customers');
    CREATE POLICY mine ON orders TO reader USING (cents > 0); ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    CREATE RULE quiet AS ON DELETE TO orders DO ALSO NOTHING;
    COMMENT ON TABLE orders IS E'of\norders;'; COMMENT ON COLUMN orders.note IS 'it''s'; COMMENT ON INDEX orders_note IS 'i';
    COMMENT ON CONSTRAINT sane ON orders IS 'c'; COMMENT ON SEQUENCE orders_id_seq IS 's';
    COMMENT ON CONSTRAINT orders_customer_fkey ON orders IS 'f'; COMMENT ON TRIGGER before ON orders IS 't';
    GRANT SELECT, UPDATE (note) ON orders TO reader; GRANT SELECT ON orders TO gone; GRANT USAGE ON SEQUENCE orders_id_seq TO reader;
    GRANT SELECT ON customers TO reader;
    INSERT INTO customers VALUES (1, 'one'); ALTER TABLE orders OWNER TO owner;
    INSERT INTO orders (customer, note, cents) SELECT 1, E'line\nof\t\\. ' || i, i FROM generate_series(1, 500) i;
    CREATE TABLE orders_more (LIKE orders); INSERT INTO orders_more OVERRIDING SYSTEM VALUE SELECT id, number, customer, state, note, cents FROM orders;
    CREATE TABLE "My.Schema"."Or""der's $x
; y" ("a""b" int PRIMARY KEY, id bigserial); INSERT INTO "My.Schema"."Or""der's $x
; y" VALUES (1), (2);
    CREATE TABLE events (id int, day date) PARTITION BY RANGE (day);
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO events VALUES (1, '2026-05-05'); CREATE INDEX ON events (id);
    CREATE TABLE base (id int); CREATE TABLE kid (w text) INHERITS (base); INSERT INTO kid VALUES (1, 'w');
    CREATE VIEW seen AS SELECT * FROM customers;
    SELECT lo_from_bytea(4711, decode(repeat('00ff', 5000), 'hex'))"#;

/// A server with that in a database of its own, and a dump of it.
fn shop() -> (Server, PathBuf) {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.feed("shop", &format!("{SHOP};"));
    let folder = server.folder("shop");
    let file = folder.join("dump.sql.gz");
    let dump = "pg_dump --clean --if-exists | gzip >\"$1\"";
    ok(server.client("sh", "shop").args(["-c", dump, "sh"]).arg(&file));
    server.feed("shop", "DROP OWNED BY gone; DROP ROLE gone; ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;");
    (server, file)
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn one_table_comes_back_beside_the_one_that_is_there() {
    let (server, file) = shop();
    // The definition by pg_dump, without what is left out and without comments of the dump.
    let definition = |table: &str| {
        let options = ["--schema-only", "--restrict-key=x", "--table", table];
        let known = server.client("pg_dump", "shop").arg("--help").output().unwrap();
        let keyed = String::from_utf8_lossy(&known.stdout).contains("--restrict-key");
        let options = if keyed { &options[..] } else { &["--schema-only", "--table", table] };
        let text = String::from_utf8(ok(server.client("pg_dump", "shop").args(options)).stdout).unwrap();
        let left_out = [
            "FOREIGN KEY",
            "CREATE TRIGGER",
            "CREATE POLICY",
            "CREATE RULE",
            "CREATE STATISTICS",
            "ALTER PUBLICATION",
            "ON CONSTRAINT orders_customer_fkey",
            "COMMENT ON TRIGGER",
            "TO gone",
            "ALTER STATISTICS",
        ];
        let statements = text.split(";\n").map(|one| {
            one.lines().filter(|line| !line.starts_with("--") && !line.is_empty()).collect::<Vec<_>>().join("\n")
        });
        let mut kept: Vec<String> = statements.filter(|one| !left_out.iter().any(|word| one.contains(word))).collect();
        kept.sort();
        kept.join(";\n")
    };
    let rows = |table: &str| {
        server.sql("shop", &format!("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t"))
    };
    let (wanted, good) = (definition("public.orders"), rows("orders"));
    assert!(wanted.contains("CREATE TABLE public.orders") && wanted.contains("REPLICA IDENTITY FULL"), "{wanted}");
    let expected = [
        "statistics public.wide",
        "rule quiet",
        "trigger before",
        "foreign key orders_customer_fkey",
        "policy mine",
        "its place in publication pub",
        "grant TO gone (role \"gone\" does not exist)",
    ];
    server.sql("shop", "UPDATE orders SET cents = 5000 WHERE id = 1");
    let changed = rows("orders");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let path = path_with(server.dir.path(), awk);
        let load = |wish: Wish<'_>| load_table(&server, shell, &path, &file, "shop", wish);
        let (outcome, mut left) = load(["public", "orders", "public", "orders_restored", ""]);
        assert_eq!(outcome, "loaded", "{shell:?} {awk:?}");
        left.sort();
        let mut all = expected;
        all.sort();
        assert_eq!(left, all, "{shell:?}");
        assert_eq!((rows("orders_restored"), rows("orders")), (good.clone(), changed.clone()), "{shell:?} {awk:?}");
        // The same but for the names that were taken.
        let is = definition("public.orders_restored");
        let is = is.replace("orders_restored", "orders").replace("\"odd \"\"name_0\"", "\"odd \"\"name\"");
        let lines = |text: &str| text.lines().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>();
        let differ: Vec<String> = lines(&is).symmetric_difference(&lines(&wanted)).cloned().collect();
        assert_eq!(differ, Vec::<String>::new(), "{shell:?}");
        // Its sequences go on, and are its own.
        let next = "INSERT INTO orders_restored (cents) VALUES (7) RETURNING id, number";
        assert_eq!(server.sql("shop", next), "501|600");
        // Not over it, unless that is said; then with the names that it had.
        let (outcome, _) = load(["public", "orders", "public", "orders_restored", ""]);
        assert!(outcome.starts_with("lost there the table public.orders_restored is there"), "{outcome}");
        assert_eq!(load(["public", "orders", "public", "orders_restored", "yes"]).0, "loaded");
        assert_eq!(rows("orders_restored"), good);
        server.sql("shop", "DROP TABLE orders_restored");
        assert_eq!(server.sql("shop", "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'backup%'"), "0");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_table_replaces_the_one_that_is_there_only_if_nothing_depends_on_it() {
    let (server, file) = shop();
    let path = std::env::var("PATH").unwrap();
    for shell in SHELLS {
        let load = |wish: Wish<'_>| load_table(&server, shell, &path, &file, "shop", wish);
        server.sql("shop", "UPDATE orders SET cents = 5000 WHERE id = 1");
        let (outcome, left) = load(["public", "orders", "public", "orders", "yes"]);
        assert_eq!(outcome, "loaded", "{shell:?}");
        assert!(left.contains(&"trigger before".to_string()), "{left:?}");
        let names = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname ~ '^orders_(pkey|note|id_seq|number)'";
        assert_eq!(
            server.sql("shop", names),
            "orders_id_seq,orders_note,orders_number_key,orders_number_seq,orders_pkey"
        );
        assert_eq!(server.sql("shop", "SELECT cents FROM orders WHERE id = 1"), "1");
        // One that others refer to.
        let before = server.sql("shop", "SELECT 'customers'::regclass::oid");
        let (outcome, _) = load(["public", "customers", "public", "customers", "yes"]);
        assert!(outcome.starts_with("lost depends the table public.customers cannot be replaced"), "{outcome}");
        assert!(outcome.contains("view seen depends on"), "{outcome}");
        assert_eq!(server.sql("shop", "SELECT 'customers'::regclass::oid"), before);
        // One that is gone comes back under its name.
        server.sql("shop", "DROP TABLE orders CASCADE");
        assert_eq!(load(["public", "orders", "public", "orders", ""]).0, "loaded");
        assert_eq!(server.sql("shop", "SELECT count(*) FROM orders"), "500");
    }
}

#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn odd_tables_come_back_or_are_refused_without_a_change() {
    let (server, file) = shop();
    let objects = || server.sql("shop", "SELECT md5(string_agg(oid || relname, ',' ORDER BY oid)) FROM pg_class");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let path = path_with(server.dir.path(), awk);
        let load = |wish: Wish<'_>| load_table(&server, shell, &path, &file, "shop", wish);
        // A name of everything, into another schema.
        let odd = "Or\"der's $x\n; y";
        assert_eq!(load(["My.Schema", odd, "public", "Back \"of' it", ""]).0, "loaded", "{shell:?} {awk:?}");
        assert_eq!(server.sql("shop", r#"SELECT sum("a""b"), max(id) FROM "Back ""of' it""#), "3|2");
        assert_eq!(server.sql("shop", r#"INSERT INTO "Back ""of' it" VALUES (9) RETURNING id"#), "3");
        server.sql("shop", r#"DROP TABLE "Back ""of' it""#);
        // A partition and a child become tables of their own.
        for (table, left) in
            [("events_2026", "its place among the partitions of public.events"), ("kid", "inheritance from base")]
        {
            assert_eq!(
                load(["public", table, "public", "apart", ""]),
                ("loaded".into(), vec![left.to_string()]),
                "{shell:?}"
            );
            assert_eq!(server.sql("shop", "SELECT count(*) FROM apart"), "1");
            assert_eq!(server.sql("shop", "SELECT (SELECT count(*) FROM base), (SELECT count(*) FROM events)"), "1|1");
            server.sql("shop", "DROP TABLE apart");
        }
        // The rows that look like another table's are this one's alone.
        assert_eq!(load(["public", "aaa", "public", "bbb", ""]), ("loaded".into(), vec![]));
        assert_eq!(server.sql("shop", "SELECT count(*) FROM aaa NATURAL JOIN bbb; DROP TABLE bbb"), "3");
        let before = objects();
        for (wish, why) in [
            (["public", "nothing", "public", "x", ""], "lost absent the dump holds no table public.nothing"),
            (["My.Schema", "orders", "public", "x", ""], "lost absent"),
            (["public", "seen", "public", "x", ""], "lost absent"),
            (["public", "events", "public", "x", ""], "the table public.events is partitioned"),
            (["public", "orders", "nowhere", "x", ""], "lost target there is no schema nowhere"),
            (["public", "orders", "public", "seen", "yes"], "lost target public.seen is there, and is no table"),
            (["public", "orders", "public", "aaa", ""], "lost there"),
        ] {
            let (outcome, _) = load(wish);
            assert!(outcome.starts_with("lost ") && outcome.contains(why), "{shell:?} {wish:?} {outcome}");
            assert_eq!(objects(), before, "{wish:?}");
        }
        // A dump that breaks off behind the table's rows.
        let whole = fs::read(&file).unwrap();
        filtered(&file, "gzip -dc | head -n -30 | gzip -c | head -c -9");
        let (outcome, _) = load(["public", "orders", "public", "x", ""]);
        assert!(outcome.contains("could not be read to its end"), "{outcome}");
        assert_eq!(objects(), before);
        fs::write(&file, whole).unwrap();
    }
}

/// The file is hashed while it is loaded, so it is loaded to its end, and then gone again.
#[test]
#[ignore = "needs PostgreSQL and MariaDB on this machine: make test"]
fn a_table_of_another_file_than_the_one_that_was_looked_at_takes_no_place() {
    let (server, file) = shop();
    let maria = Maria::start();
    maria.sql("", "CREATE DATABASE app");
    maria.sql("app", MARIA_SHOP);
    let folder = maria.dir.path().join("shop");
    fs::create_dir_all(&folder).unwrap();
    let maria_file = folder.join("dump.sql.gz");
    older_dump(&maria, &maria_file, "app");
    let objects = || {
        let tables = "SELECT group_concat(table_name, create_time ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'app'";
        (
            server.sql("shop", "SELECT md5(string_agg(oid || relname, ',' ORDER BY oid)) FROM pg_class"),
            maria.sql("app", tables),
        )
    };
    let (ports, password) = ([server.port, maria.port].map(|port| port.to_string()), format!("={PASSWORD}"));
    let (user, path) = (format!("={USER}"), std::env::var("PATH").unwrap());
    let before = objects();
    for shell in SHELLS {
        let of_postgres = ["=app", &password, "=shop", "public", "orders", "public", "orders", "yes"];
        let of_maria = [&user, &password, "=app", "utf8mb4", "", "orders", "", "orders", "yes"];
        for (parts, file, port, more) in [
            (format!("{POSTGRES}{POSTGRES_TABLE}{LOAD_TABLE}"), &file, &ports[0], &of_postgres[..]),
            (format!("{MYSQL}{MYSQL_TABLE}{LOAD_TABLE}"), &maria_file, &ports[1], &of_maria[..]),
        ] {
            let values = session_values(file.to_str().unwrap(), port, more);
            let (outcome, _) = load_with(shell, &parts, &values, &path, file, &"0".repeat(64));
            assert!(
                outcome.starts_with("lost replaced the dump file was replaced meanwhile: ;"),
                "{shell:?} {outcome}"
            );
            assert!(outcome.contains("; the database is as it was"), "{shell:?} {outcome}");
            assert_eq!(objects(), before, "{shell:?}");
        }
    }
}

/// Most of the time goes into unpacking, and into handing the text over.
#[test]
#[ignore = "needs PostgreSQL on this machine: make test"]
fn a_table_is_read_out_of_the_dump_once_and_in_large_pieces() {
    let (server, file) = shop();
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        let tool = |name: &str, text: &str| fs::write(dir.path().join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        let path = std::env::var("PATH").unwrap();
        let real = format!("PATH={path}; export PATH");
        let notes = dir.path().join("notes").display().to_string();
        let unpacker = format!("case $* in *c*) echo unpacked >>{notes} ;; esac; {real}; exec ${{0##*/}} \"$@\"");
        tool("gzip", &unpacker);
        tool("zstd", &unpacker);
        tool("awk", &format!("IFS= read -r first; echo ${{#first}} >>{notes}; {real}; exec awk \"$@\""));
        ok(Command::new("chmod").args(["-R", "a+rwx"]).arg(dir.path()));
        let path = format!("{}:{path}", dir.path().display());
        let (outcome, _) = load_table(&server, shell, &path, &file, "shop", ["public", "aaa", "public", "bbb", ""]);
        assert_eq!(outcome, "loaded", "{shell:?}");
        assert_eq!(server.sql("shop", "SELECT count(*) FROM aaa NATURAL JOIN bbb; DROP TABLE bbb"), "3");
        let mut noted: Vec<_> = fs::read_to_string(&notes).unwrap().lines().map(str::to_string).collect();
        noted.sort();
        assert_eq!(noted, ["130003", "unpacked"], "{shell:?}");
    }
}

/// The same for MariaDB, and what is beside that in a dump.
const MARIA_SHOP: &str = "CREATE TABLE customers (id int PRIMARY KEY, name text);
    INSERT INTO customers VALUES (1, 'one'), (2, ');\\nINSERT INTO `orders` VALUES\\n(7,1);');
    CREATE TABLE aaa (v text); INSERT INTO aaa VALUES ('x\nCREATE TABLE `orders` (');
    CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, customer int, note text, b blob, cents int CHECK (cents >= 0),
      twice int AS (cents * 2) STORED, UNIQUE KEY u (cents), FULLTEXT KEY f (note),
      CONSTRAINT fk FOREIGN KEY (customer) REFERENCES customers (id), CONSTRAINT sane CHECK (cents < 1000000)) COMMENT 'it''s;';
    INSERT INTO orders (customer, note, b, cents) SELECT 1, concat('line\n; \\\\', seq), unhex(md5(seq)), seq FROM seq_1_to_5000;
    ALTER TABLE orders AUTO_INCREMENT = 5001; CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = upper(NEW.note);
    CREATE TABLE orders_more LIKE orders; INSERT INTO orders_more (id, note) VALUES (1, 'more');
    CREATE TABLE children (id int, FOREIGN KEY (id) REFERENCES orders (id)); INSERT INTO children VALUES (1);
    CREATE TABLE `It's a``b.c` (n int); INSERT INTO `It's a``b.c` VALUES (1), (2);
    CREATE VIEW w AS SELECT count(*) n FROM orders";

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn one_table_of_mariadb_comes_back_beside_itself_or_takes_its_place() {
    let server = Maria::start();
    server.sql("", "CREATE DATABASE app");
    server.sql("app", MARIA_SHOP);
    let folder = server.dir.path().join("shop");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("dump.sql.gz");
    older_dump(&server, &file, "app");
    let rows = |table: &str| {
        let columns = "concat_ws(',', id, customer, note, hex(b), cents, twice)";
        server.sql("app", &format!("SET group_concat_max_len = 10000000; SELECT count(*), md5(group_concat({columns} ORDER BY id)) FROM {table}"))
    };
    let definition = |table: &str| {
        let text = server.sql("app", &format!("SHOW CREATE TABLE {table}"));
        text.split_once('\t').unwrap().1.replace("orders_restored", "orders")
    };
    let (good, whole) = (rows("orders"), definition("orders"));
    let without = whole.replace(",\\n  CONSTRAINT `fk` FOREIGN KEY (`customer`) REFERENCES `customers` (`id`)", "");
    assert_ne!(without, whole, "{whole}");
    server.sql("app", "DELETE FROM children; DELETE FROM orders WHERE id > 9");
    let changed = rows("orders");
    let objects = || {
        server.sql("app", "SELECT group_concat(table_name ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'app'")
    };
    let before = objects();
    let port = server.port.to_string();
    let (user, password) = (format!("={USER}"), format!("={PASSWORD}"));
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let path = path_with(server.dir.path(), awk);
        let load = |table: &str, to: &str, replace: &str| {
            let values = session_values(
                file.to_str().unwrap(),
                &port,
                &[&user, &password, "=app", "utf8mb4", "", table, "", to, replace],
            );
            load_with(shell, &format!("{MYSQL}{MYSQL_TABLE}{LOAD_TABLE}"), &values, &path, &file, &sha256(&file))
        };
        // What a session that was killed had left goes.
        fs::write(folder.join("dump.sql.gz.backup-ns.table"), "backup_ns_old\n").unwrap();
        server.sql("app", "CREATE TABLE backup_ns_old (n int)");
        let (outcome, left) = load("orders", "orders_restored", "");
        assert_eq!(
            (outcome.as_str(), left),
            ("loaded", vec!["foreign key fk".into(), "trigger tr".into()]),
            "{shell:?} {awk:?}"
        );
        assert_eq!((rows("orders_restored"), rows("orders")), (good.clone(), changed.clone()), "{shell:?} {awk:?}");
        assert_eq!(definition("orders_restored"), without);
        assert_eq!(server.sql("app", "INSERT INTO orders_restored (cents) VALUES (999999) RETURNING id"), "5001");
        let (outcome, _) = load("orders", "orders_restored", "");
        assert!(outcome.starts_with("lost there the table orders_restored is there"), "{outcome}");
        assert_eq!(load("orders", "orders_restored", "yes").0, "loaded");
        assert_eq!(rows("orders_restored"), good);
        server.sql("app", "DROP TABLE orders_restored");
        // A name of everything.
        assert_eq!(load("It's a`b.c", "Back \\ 'of` it", "").0, "loaded", "{shell:?} {awk:?}");
        assert_eq!(server.sql("app", "SELECT sum(n) FROM `Back \\ 'of`` it`"), "3");
        server.sql("app", "DROP TABLE `Back \\ 'of`` it`");
        assert_eq!(load("aaa", "bbb", ""), ("loaded".into(), vec![]));
        assert_eq!(server.sql("app", "SELECT count(*) FROM aaa JOIN bbb USING (v); DROP TABLE bbb"), "1");
        for (table, to, replace, why) in [
            ("nothing", "x", "", "lost absent the dump holds no table nothing"),
            ("w", "x", "", "lost absent"),
            ("orders", "w", "yes", "lost target w is there, and is no table"),
            ("orders", "aaa", "", "lost there"),
        ] {
            let (outcome, _) = load(table, to, replace);
            assert!(
                outcome.starts_with(why) && outcome.ends_with("; the database is as it was"),
                "{shell:?} {outcome}"
            );
        }
        // A dump that breaks off behind the rows of the table, and one whose rows the server refuses.
        let dump = fs::read(&file).unwrap();
        for filter in [
            "gzip -dc | head -n -3 | gzip -c | head -c -9",
            "gzip -dc | sed 's/^INSERT INTO `orders` VALUES/INSERT INTO `orders` VALUES (1);\\n&/' | gzip -c",
        ] {
            filtered(&file, filter);
            let (outcome, _) = load("orders", "orders", "yes");
            assert!(outcome.starts_with("lost other") && outcome.ends_with("; the database is as it was"), "{outcome}");
            assert_eq!((rows("orders"), objects()), (changed.clone(), before.clone()), "{shell:?} {filter}");
            fs::write(&file, &dump).unwrap();
        }
    }
    // Over the table that another one refers to, which goes on to do so.
    let path = std::env::var("PATH").unwrap();
    let values = session_values(
        file.to_str().unwrap(),
        &port,
        &[&user, &password, "=app", "utf8mb4", "", "orders", "", "orders", "yes"],
    );
    let (outcome, _) =
        load_with(&["dash"], &format!("{MYSQL}{MYSQL_TABLE}{LOAD_TABLE}"), &values, &path, &file, &sha256(&file));
    assert_eq!((outcome.as_str(), rows("orders"), objects()), ("loaded", good, before));
    server.sql("app", "INSERT INTO children VALUES (5000)");
    assert!(!server.ask("app", "INSERT INTO children VALUES (5001)").status.success());
    assert_eq!(server.sql("app", "SELECT n FROM w"), "5000");
}

#[test]
fn a_table_of_mysql_is_found_in_lines_as_mysqldump_writes_them() {
    let dump = "-- MySQL dump 10.13  Distrib 9.7.4, for Linux (x86_64)\n--\n-- Host: h    Database: app\n\
        /*!50503 SET NAMES utf8mb4 */;\nSET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\n\
        DROP TABLE IF EXISTS `a`;\n/*!50503 SET character_set_client = utf8mb4 */;\n\
        CREATE TABLE `a` (\n  `id` int\n);\nLOCK TABLES `a` WRITE;\nINSERT INTO `a` VALUES (1),('INSERT INTO `t` VALUES (9);');\n\
        UNLOCK TABLES;\nDROP TABLE IF EXISTS `t`;\n/*!50503 SET character_set_client = utf8mb4 */;\n\
        CREATE TABLE `t` (\n  `id` int,\n  CONSTRAINT `c` CHECK ((`id` > 0)),\n  CONSTRAINT `f` FOREIGN KEY (`id`) REFERENCES `a` (`id`)\n\
        ) ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 2 */;\n\
        /*!40000 ALTER TABLE `t` DISABLE KEYS */;\nINSERT  IGNORE INTO `t` VALUES (1),(2);\nINSERT  IGNORE INTO `t` VALUES (3);\n\
        DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`l`*/ /*!50003 TRIGGER `tr` BEFORE INSERT ON `t` FOR EACH ROW\n\
        SET NEW.id = 1; */;;\nDELIMITER ;\nINSERT INTO `b` VALUES (1);\n";
    let wanted = "/*!50503 SET NAMES utf8mb4 */;\n/*!50503 SET character_set_client = utf8mb4 */;\n\
        CREATE TABLE `new` (\n  `id` int,\n  CHECK ((`id` > 0))\n) ENGINE=InnoDB\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 2 */;\n\
        INSERT  IGNORE INTO `new` VALUES (1),(2);\nINSERT  IGNORE INTO `new` VALUES (3);\nDELIMITER ;;\nDELIMITER ;\n";
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("left");
    for (shell, awk) in SHELLS.into_iter().zip(AWKS) {
        let script = format!("{COMMON}{MYSQL}\nINTO=app ONLY=t AS=new LEFT=$1\ndb_filter_statements 0");
        let mut command = Command::new(shell[0]);
        command.env("PATH", path_with(dir.path(), awk)).args(&shell[1..]).args(["-c", &script, "sh"]).arg(&left);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text: String = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("--"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(text, wanted, "{shell:?} {awk:?}");
        assert_eq!(fs::read_to_string(&left).unwrap(), "foreign key f\ntrigger tr\n");
    }
}
