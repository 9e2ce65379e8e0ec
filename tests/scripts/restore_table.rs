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

/// What a load of one table is told: its schema and name, those that it gets, and whether it may replace.
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
    let values =
        [file.to_str().unwrap(), "someone", "0", "1", "1", "/", "127.0.0.1", &port, "=app", &password, &database];
    let values = [&values[..], &wish].concat();
    let parts = format!("{POSTGRES}{POSTGRES_TABLE}{LOAD_TABLE}");
    let mut session = Session::running(shell, &parts, &values, &[("PATH", path)]);
    session.until(&["looked"]);
    session.tell(&format!("load - 0 {} try", sha256(file)));
    let mut left = Vec::new();
    let (key, value) = loop {
        let line = session.until(&["left", "loaded", "lost"]);
        if line.0 != "left" {
            break line;
        }
        left.push(line.1);
    };
    let said = session.last_words();
    assert!(session.child.wait().unwrap().success());
    assert_eq!(left_in(file.parent().unwrap()), Vec::<String>::new(), "{shell:?}");
    (if key == "lost" { format!("lost {value}: {said}") } else { key }, left)
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
