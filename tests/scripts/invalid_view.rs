//! A view that refers to what is gone, at which the dump tool of MariaDB ends.

use super::*;

#[test]
#[ignore = "needs MariaDB on this machine: make test"]
fn a_view_that_ends_a_dump_of_mariadb_is_named() {
    let server = Maria::start();
    server.sql(
        "",
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (n int); CREATE TABLE gone (n int); CREATE VIEW v AS SELECT n FROM gone",
    );
    for shell in SHELLS {
        let dump = || {
            let file = server.dir.path().join(format!("view-{}.gz", shell[0]));
            let values = [USER, PASSWORD, "shop"].map(|value| format!("={value}"));
            let mut session = server.session(shell, &file, [&values[0], &values[1], &values[2]], &[]);
            (session.dump().0, session.last_words())
        };
        server.sql("shop", "DROP TABLE gone");
        let (outcome, said) = dump();
        assert_eq!(outcome, "lost", "{shell:?} {said}");
        // By the number in parentheses the program knows it.
        assert!(said.contains("View 'shop.v' references invalid") && said.contains("(1356)"), "{shell:?} {said}");
        // The remedy: what the view reads is made again.
        server.sql("shop", "CREATE TABLE gone (n int)");
        assert_eq!(dump().0, "proven", "{shell:?}");
    }
}
