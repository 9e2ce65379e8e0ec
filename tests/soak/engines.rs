//! The two databases: how each is reached, filled, held up and asked. Must not know what runs against it.

use std::fmt::Write as _;

/// Rows that never change, so that a dump takes a moment and some room.
pub const NOISE: u64 = 60_000;

/// The two sides of an entry, and what balances them.
pub const SIDES: [&str; 3] = ["(tx * 7919) % 997", "(tx * 104729) % 991", "-((tx * 7919) % 997 + (tx * 104729) % 991)"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Postgres,
    MySql,
}

impl Engine {
    pub const ALL: [Engine; 2] = [Engine::Postgres, Engine::MySql];

    /// Its name in flags and results, and its container's.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        }
    }

    pub fn directory(self) -> &'static str {
        match self {
            Engine::Postgres => "/var/lib/postgresql/data",
            Engine::MySql => "/var/lib/mysql",
        }
    }

    pub fn tool(self) -> &'static str {
        match self {
            Engine::Postgres => "pg_dump",
            Engine::MySql => "mariadb-dump",
        }
    }

    /// A client in its container, which ends with the first statement that fails.
    pub fn client(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "PGPASSWORD=$POSTGRES_PASSWORD exec psql -h 127.0.0.1 -U app -d app -XAtq -v ON_ERROR_STOP=1"
            }
            Engine::MySql => {
                "MYSQL_PWD=$MARIADB_ROOT_PASSWORD exec mariadb -h127.0.0.1 -uroot -BNn --default-character-set=utf8mb4 app"
            }
        }
    }

    /// A fresh database with what `$around` puts around it, and the dump on stdin loaded up to the first error.
    pub fn load(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "export PGPASSWORD=$POSTGRES_PASSWORD; p='psql -h 127.0.0.1 -U app -XAtq -v ON_ERROR_STOP=1'
                 $p -d postgres -c 'DROP DATABASE IF EXISTS app WITH (FORCE)' && $p -d postgres -c 'CREATE DATABASE app' &&
                 printf '%s\n' \"$around\" | $p -d app && $p -d app -o /dev/null"
            }
            Engine::MySql => {
                "export MYSQL_PWD=$MARIADB_ROOT_PASSWORD; m='mariadb -h127.0.0.1 -uroot --default-character-set=utf8mb4'
                 $m -e 'DROP DATABASE IF EXISTS app; CREATE DATABASE app' &&
                 printf '%s\n' \"$around\" | $m app && $m --binary-mode app >/dev/null"
            }
        }
    }

    /// What a dump needs around it: roles or accounts, settings of the database.
    pub fn surroundings(self) -> &'static str {
        match self {
            Engine::Postgres => include_str!("sql/postgres-surroundings.sql"),
            Engine::MySql => include_str!("sql/mysql-surroundings.sql"),
        }
    }

    /// What is in the database beside the journal, and never changes.
    pub fn contents(self) -> &'static str {
        match self {
            Engine::Postgres => include_str!("sql/postgres-contents.sql"),
            Engine::MySql => include_str!("sql/mysql-contents.sql"),
        }
    }

    /// Asks for all of that, as lines that are equal where two databases hold the same.
    fn fingerprint(self) -> &'static str {
        match self {
            Engine::Postgres => include_str!("sql/postgres-fingerprint.sql"),
            Engine::MySql => include_str!("sql/mysql-fingerprint.sql"),
        }
    }

    /// What its server is told, here and where dumps are loaded: a locale, a zone and modes that few have.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Engine::Postgres => &["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=tr-TR", "--encoding=UTF8"],
            Engine::MySql => &[
                "--ignore-db-dir=lost+found",
                "--innodb-log-file-size=10M",
                "--default-time-zone=+05:45",
                "--character-set-server=latin2",
                "--collation-server=latin2_hungarian_ci",
                "--sql-mode=ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
            ],
        }
    }

    /// Asks a database for all that the judgement needs; see [`Answers`].
    pub fn questions(self) -> String {
        format!("{}SELECT 'contents';\n{}", questions(), self.fingerprint())
    }

    pub fn create_tables(self) -> String {
        let (kind, noise) = match self {
            Engine::Postgres => ("", format!("SELECT n, md5(n::text) AS t FROM generate_series(1, {NOISE}) n")),
            Engine::MySql => ("ENGINE=InnoDB", format!("SELECT seq AS n, md5(seq) AS t FROM seq_1_to_{NOISE}")),
        };
        format!(
            "CREATE TABLE journal (tx bigint, part int, amount bigint, note varchar(60), PRIMARY KEY (tx, part)) {kind};
             CREATE TABLE account (part int PRIMARY KEY, total bigint) {kind};
             INSERT INTO account VALUES (1, 0), (2, 0), (3, 0);
             CREATE TABLE held (n int) {kind};
             CREATE TABLE era (n int) {kind};
             INSERT INTO era VALUES (1);
             CREATE TABLE noise AS {noise};\n"
        )
    }

    /// Keeps a table locked for so long, so that a dump waits in front of it.
    pub fn stall(self, seconds: f64) -> String {
        match self {
            Engine::Postgres => {
                format!("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep({seconds}); COMMIT;")
            }
            Engine::MySql => format!("LOCK TABLES held WRITE; SELECT SLEEP({seconds}); UNLOCK TABLES;"),
        }
    }

    /// Ends the connection of a dump, if there is one; says how many.
    pub fn disconnect(self) -> &'static str {
        match self {
            Engine::Postgres => {
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'COPY %' OR query LIKE 'LOCK TABLE public%'"
            }
            Engine::MySql => {
                "BEGIN NOT ATOMIC DECLARE n bigint DEFAULT (SELECT max(id) FROM information_schema.processlist
                 WHERE info LIKE 'SELECT /*!40001 SQL_NO_CACHE%'); IF n IS NULL THEN SELECT 0; ELSE KILL n; SELECT 1; END IF; END"
            }
        }
    }
}

/// One numbered transaction: an entry on three accounts that adds up to nothing, and the accounts' totals.
pub fn transaction(n: u64) -> String {
    let mut text = "BEGIN;".to_string();
    for (part, side) in (1..).zip(SIDES) {
        let amount = side.replace("tx", &n.to_string());
        write!(text, " INSERT INTO journal VALUES ({n}, {part}, {amount}, 'tx {n} it''s \"$HOME\"');").unwrap();
        write!(text, " UPDATE account SET total = total + ({amount}) WHERE part = {part};").unwrap();
    }
    text + &format!(" COMMIT; SELECT 'done {n}';\n")
}

/// Asks for the journal and what belongs to it, a number a line.
fn questions() -> String {
    let [one, two, three] = SIDES;
    format!(
        "SELECT count(*) FROM journal;
         SELECT count(DISTINCT tx) FROM journal;
         SELECT coalesce(min(tx), 1) FROM journal;
         SELECT coalesce(max(tx), 0) FROM journal;
         SELECT count(*) FROM journal WHERE note <> concat('tx ', tx, ' it''s \"$HOME\"')
           OR amount <> CASE part WHEN 1 THEN {one} WHEN 2 THEN {two} ELSE {three} END;
         SELECT count(*) FROM (SELECT tx FROM journal GROUP BY tx HAVING count(*) <> 3 OR sum(amount) <> 0) torn;
         SELECT count(*) FROM account WHERE total = (SELECT coalesce(sum(amount), 0) FROM journal WHERE journal.part = account.part);
         SELECT count(*) FROM noise;
         SELECT max(n) FROM era;\n"
    )
}

/// What a database answered.
#[derive(Debug, Clone)]
pub struct Answers {
    rows: u64,
    transactions: u64,
    first: u64,
    /// The number of the last transaction.
    pub last: u64,
    wrong: u64,
    torn: u64,
    balanced: u64,
    noise: u64,
    /// A number that changes with each restore.
    pub era: u64,
    /// The fingerprint of what never changes.
    pub contents: String,
}

impl Answers {
    /// Reads them; none where they are not all there.
    pub fn read(said: &str) -> Option<Answers> {
        let (numbers, contents) = said.split_once("contents\n")?;
        let numbers: Vec<u64> = numbers.lines().filter_map(|line| line.parse().ok()).collect();
        let &[rows, transactions, first, last, wrong, torn, balanced, noise, era] = &numbers[..] else { return None };
        let contents = contents.trim().to_string();
        Some(Answers { rows, transactions, first, last, wrong, torn, balanced, noise, era, contents })
    }

    /// Whether the journal is a prefix of itself, the books balance, and what never changes is as it was.
    pub fn check(&self, contents: &str) -> Result<(), String> {
        let Answers { rows, transactions, first, last, wrong, torn, balanced, noise, .. } = self;
        if *rows != 3 * transactions || *first != 1 || last != transactions {
            return Err(format!(
                "{transactions} transactions from {first} to {last} with {rows} rows: no prefix of the journal"
            ));
        }
        if wrong + torn > 0 || *balanced != 3 || *noise != NOISE {
            return Err(format!(
                "{wrong} wrong rows, {torn} torn transactions, {balanced} of 3 accounts balanced, {noise} of {NOISE} other rows"
            ));
        }
        if self.contents != contents {
            let there: Vec<&str> = self.contents.lines().collect();
            let lacks = contents.lines().filter(|line| !there.contains(line)).map(|line| format!("\n  - {line}"));
            let has = there.iter().filter(|line| !contents.lines().any(|one| one == **line));
            let all: String = lacks.chain(has.map(|line| format!("\n  + {line}"))).collect();
            return Err(format!("other contents than there were:{all}"));
        }
        Ok(())
    }
}
