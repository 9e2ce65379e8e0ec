//! The databases of one server: which of them a setting names, and the dump file of each. Must not know how they are dumped.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The most databases of a server in one backup. Each takes a kubectl, from the preflight until the snapshot is cut.
pub const MOST: usize = 32;

/// The word for all databases of the server.
pub const ALL: &str = "*";

/// The longest name of a dump file that is made from a database's name, in bytes. A file system takes 255; the names of temporary
/// files are up to 57 longer.
const LONGEST: usize = 190;

/// How many hexadecimal digits of its SHA-256 stand for the rest of a name that is too long.
const DIGITS: usize = 16;

/// The databases that a setting names besides its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OtherDatabases {
    /// These, without the first; none for a setting that names one database.
    Named(Vec<String>),
    /// All of the server, in the place of the first, too.
    All,
}

impl OtherDatabases {
    /// Splits a setting into its first database, `None` for all, and the others.
    ///
    /// # Errors
    /// What is accepted.
    pub fn split(text: &str) -> Result<(Option<&str>, OtherDatabases), String> {
        if text == ALL {
            return Ok((None, OtherDatabases::All));
        }
        if !text.contains(',') {
            return Ok((Some(text), OtherDatabases::Named(Vec::new())));
        }
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let (first, others) = (names[0], &names[1..]);
        let is_repeated = |(at, name): (usize, &&str)| names[..at].contains(name);
        if names.iter().any(|name| name.is_empty() || *name == ALL)
            || names.iter().enumerate().any(is_repeated)
            || others.iter().any(|name| name.starts_with("${"))
            || names.len() > MOST
        {
            return Err(format!(
                "a database, or at most {MOST} of them with commas between them, none empty or twice, and ${{NAME}} only as the \
                 first; or * alone for all"
            ));
        }
        Ok((Some(first), OtherDatabases::Named(others.iter().map(ToString::to_string).collect())))
    }

    /// Whether a setting names one database only.
    pub fn is_empty(&self) -> bool {
        *self == OtherDatabases::Named(Vec::new())
    }
}

/// Puts the server's databases in the order of their dumps: the one that the container's own variable names comes first, if there
/// is such a one.
pub fn in_order(mut names: Vec<String>, own: &str) -> Vec<String> {
    names.sort();
    names.dedup();
    if let Some(at) = names.iter().position(|name| name == own) {
        names[..=at].rotate_right(1);
    }
    names
}

/// The dump file of a database that is not the first. `first` is the dump file of the first: `.db-NAME` is put before the suffixes
/// of its name. In NAME, each byte other than letters, digits, `_` and `-` is written as `%XX`; where the file's name would be too
/// long, NAME is cut and ends with `~` and the beginning of its SHA-256. So two databases have two files, and no such name is one of
/// the files that belong to another dump, which begin with its whole name and a dot.
pub fn dump_file(first: &str, name: &str) -> String {
    let (directory, base) = match first.rsplit_once('/') {
        Some((directory, base)) => (format!("{directory}/"), base),
        None => (String::new(), first),
    };
    let (stem, suffixes) = split_suffixes(base);
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(char::from(byte)),
            _ => write!(escaped, "%{byte:02X}").unwrap_or_default(),
        }
    }
    let room = LONGEST.saturating_sub(stem.len() + ".db-".len() + suffixes.len());
    if escaped.len() > room {
        let sum = Sha256::digest(name.as_bytes());
        escaped.truncate(room.saturating_sub(DIGITS + 1));
        escaped.push('~');
        for byte in &sum[..DIGITS / 2] {
            write!(escaped, "{byte:02x}").unwrap_or_default();
        }
    }
    format!("{directory}{stem}.db-{escaped}{suffixes}")
}

/// Splits the name of a file before `.sql.gz`, `.gz` and the like.
fn split_suffixes(base: &str) -> (&str, &str) {
    let mut stem = base;
    for suffix in [".gz", ".zst", ".sql"] {
        stem = stem.strip_suffix(suffix).filter(|stem| !stem.is_empty()).unwrap_or(stem);
    }
    base.split_at(stem.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn named(names: &[&str]) -> OtherDatabases {
        OtherDatabases::Named(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_setting_names_one_database_several_or_all() {
        for (text, expected) in [
            ("app", (Some("app"), named(&[]))),
            (" app ", (Some(" app "), named(&[]))),
            ("a b*", (Some("a b*"), named(&[]))),
            ("${POSTGRES_DB}", (Some("${POSTGRES_DB}"), named(&[]))),
            ("app,shop", (Some("app"), named(&["shop"]))),
            (" app , web shop,x", (Some("app"), named(&["web shop", "x"]))),
            ("${POSTGRES_DB},shop", (Some("${POSTGRES_DB}"), named(&["shop"]))),
            ("*", (None, OtherDatabases::All)),
        ] {
            assert_eq!(OtherDatabases::split(text), Ok(expected), "{text}");
        }
        for wrong in ["a,,b", "a,", ",", " , a", "a,b,a", "a, a", "*,a", "a,*", "a,${B}"] {
            assert!(OtherDatabases::split(wrong).unwrap_err().contains("none empty or twice"), "{wrong}");
        }
        let many = |number: usize| (0..number).map(|at| format!("d{at}")).collect::<Vec<_>>().join(",");
        assert!(OtherDatabases::split(&many(MOST)).is_ok() && OtherDatabases::split(&many(MOST + 1)).is_err());
        assert!(named(&[]).is_empty() && !named(&["a"]).is_empty() && !OtherDatabases::All.is_empty());
    }

    #[test]
    fn the_containers_own_database_comes_first() {
        let order = |own: &str| in_order(["shop", "app", "B", "web"].map(String::from).to_vec(), own);
        assert_eq!(order("shop"), ["shop", "B", "app", "web"]);
        assert_eq!(order("B"), ["B", "app", "shop", "web"]);
        assert_eq!(order("gone"), ["B", "app", "shop", "web"]);
        assert!(in_order(Vec::new(), "a").is_empty());
    }

    #[test]
    fn each_database_has_a_file_of_its_own_beside_the_first() {
        for (first, name, expected) in [
            ("/data/dump.sql.gz", "shop", "/data/dump.db-shop.sql.gz"),
            ("/data/dump.sql.zst", "shop", "/data/dump.db-shop.sql.zst"),
            ("/data/dump.gz", "sql", "/data/dump.db-sql.gz"),
            ("/data/dump", "a", "/data/dump.db-a"),
            ("/data/.gz", "a", "/data/.gz.db-a"),
            ("/data/a.b.sql", "a", "/data/a.b.db-a.sql"),
            ("/a b/d.gz", "a/../b", "/a b/d.db-a%2F%2E%2E%2Fb.gz"),
            ("/d.gz", "Ümlaut 'q\"%", "/d.db-%C3%9Cmlaut%20%27q%22%25.gz"),
            ("/d.gz", "", "/d.db-.gz"),
        ] {
            assert_eq!(dump_file(first, name), expected, "{first} {name}");
        }
    }

    #[test]
    fn a_name_that_would_be_too_long_is_shortened() {
        let file = |name: &str| dump_file("/data/dump.sql.gz", name);
        let base = |name: &str| file(name).len() - "/data/".len();
        assert_eq!(base(&"x".repeat(175)), LONGEST);
        assert!(!file(&"x".repeat(175)).contains('~'));
        let (one, other) = (file(&format!("{}a", "ö".repeat(63))), file(&format!("{}b", "ö".repeat(63))));
        assert!(one != other && one.contains('~') && one.ends_with(".sql.gz"), "{one}");
        assert_eq!(base(&format!("{}a", "ö".repeat(63))), LONGEST);
        // Where the first name leaves no room, the hash alone tells them apart.
        let long = format!("/{}.gz", "d".repeat(200));
        assert_ne!(dump_file(&long, "a"), dump_file(&long, "b"));
    }

    proptest! {
        /// No other database's file, and none of the files beside a dump: those are its name and a dot.
        #[test]
        fn no_two_names_share_a_file(one in any::<String>(), other in any::<String>(), first in "/d(ump)?(\\.sql)?(\\.gz|\\.zst)?") {
            let (a, b) = (dump_file(&first, &one), dump_file(&first, &other));
            prop_assert_eq!(one == other, a == b);
            let all: BTreeSet<&str> = [first.as_str(), &a, &b].into();
            for file in &all {
                for beside in ["globals-0123456789abcdef.sql", "backup-ns.lock", "backup-ns.beat"] {
                    let beside = format!("{file}.{beside}");
                    prop_assert!(!all.contains(beside.as_str()));
                }
                prop_assert!(!file.contains(".backup-ns") && !file.contains(".globals-"), "{}", file);
            }
        }
    }
}
