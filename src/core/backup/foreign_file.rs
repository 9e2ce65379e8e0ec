//! What a file is that did not come from a backup, as its first bytes say. Must not know how they were read.

use crate::core::engine::Engine;
use crate::core::escape;

/// The most bytes that [`of`] looks at.
pub const HEAD: usize = 512;

/// How a file that can be loaded is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    Gzip,
    Zstandard,
    Plain,
}

impl Storage {
    /// The suffix of the received file, by which the container's scripts choose the tool that reads it.
    pub fn suffix(self) -> &'static str {
        match self {
            Storage::Gzip => "from.gz",
            Storage::Zstandard => "from.zst",
            Storage::Plain => "from.sql",
        }
    }
}

/// A file that cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unloadable {
    Empty,
    /// `pg_dump` in one of the formats that `pg_restore` reads.
    Archive,
    /// Compressed by this other tool.
    Packed(&'static str),
    Binary,
    /// A dump of the other engine.
    OtherEngine(Engine),
    /// A dump of several databases, or of one that it creates and names itself.
    NamesDatabases,
    /// Text that no dump tool of the engine begins with.
    Unknown,
}

impl Unloadable {
    /// What is wrong with a file of this name, and what to do. `name` is a path on this machine, or `-`.
    pub fn explain(self, name: &str, engine: Engine) -> (String, String) {
        let tool = match engine {
            Engine::Postgres => "pg_dump --clean --if-exists",
            Engine::MySql => "mysqldump or mariadb-dump",
        };
        let file = if name == "-" { "FILE".into() } else { escape::word(name) };
        let (what, remedy) = match self {
            Unloadable::Empty => ("is empty".to_string(), format!("name a dump that {tool} has made")),
            Unloadable::Archive if engine != Engine::Postgres => {
                return Unloadable::OtherEngine(Engine::Postgres).explain(name, engine);
            }
            Unloadable::Archive => (
                "is an archive for pg_restore, not SQL".into(),
                format!("turn it into SQL with pg_restore --clean --if-exists --file={file}.sql {file}, and name that"),
            ),
            Unloadable::Packed(tool) => (
                format!("is compressed with {tool}; gzip, zstd and plain SQL can be read"),
                format!("unpack it with {tool} -dc {file} >{file}.sql, and name that"),
            ),
            Unloadable::Binary => ("is neither SQL nor compressed".into(), format!("name a dump that {tool} has made")),
            Unloadable::OtherEngine(other) => (
                format!("is a dump of {other}"),
                format!("use backup-ns {} restore for it, or name a dump that {tool} has made", other.command()),
            ),
            Unloadable::NamesDatabases => {
                let all = match engine {
                    Engine::Postgres => "pg_dumpall",
                    Engine::MySql => "--databases or --all-databases",
                };
                let of_one = match engine {
                    Engine::Postgres => "pg_dump --clean --if-exists DATABASE",
                    Engine::MySql => "mysqldump DATABASE or mariadb-dump DATABASE",
                };
                (
                    format!("names the databases that it goes to, as a dump made with {all} does"),
                    format!("name a dump of one database: {of_one}"),
                )
            }
            Unloadable::Unknown => {
                (format!("does not begin as a dump of {engine} does"), format!("name a dump that {tool} has made"))
            }
        };
        (format!("{} {what}", shown(name)), format!("{remedy}; nothing was changed"))
    }
}

/// The name of the file for people.
pub fn shown(name: &str) -> String {
    if name == "-" { "what comes on stdin".into() } else { format!("the file {name}") }
}

/// What a file is that begins so: [`HEAD`] bytes, or all of a smaller one.
///
/// # Errors
/// What it is instead of a dump that can be loaded.
pub fn of(head: &[u8]) -> Result<Storage, Unloadable> {
    match head {
        [] => Err(Unloadable::Empty),
        // RFC 1952, and RFC 8878 with its skippable frames.
        [0x1f, 0x8b, ..] => Ok(Storage::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Storage::Zstandard),
        // The formats custom and tar.
        _ if head.starts_with(b"PGDMP") || head.starts_with(b"toc.dat\0") => Err(Unloadable::Archive),
        _ if head.starts_with(b"BZh") => Err(Unloadable::Packed("bzip2")),
        _ if head.starts_with(b"\xfd7zXZ\0") => Err(Unloadable::Packed("xz")),
        _ if head.contains(&0) => Err(Unloadable::Binary),
        _ => Ok(Storage::Plain),
    }
}

/// What the container's inspection says of the text: its `kind`.
///
/// # Errors
/// What it is instead of a dump that can be loaded.
pub fn judge(kind: &str, engine: Engine) -> Result<(), Unloadable> {
    match (kind, engine) {
        ("postgres", Engine::Postgres) | ("mysql", Engine::MySql) => Ok(()),
        ("postgres" | "cluster", Engine::MySql) => Err(Unloadable::OtherEngine(Engine::Postgres)),
        ("mysql" | "databases", Engine::Postgres) => Err(Unloadable::OtherEngine(Engine::MySql)),
        ("cluster" | "databases", _) => Err(Unloadable::NamesDatabases),
        ("archive", _) => Err(Unloadable::Archive),
        _ => Err(Unloadable::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_a_file_is() {
        for (head, expected) in [
            (&b"\x1f\x8b\x08\x00"[..], Ok(Storage::Gzip)),
            (b"\x28\xb5\x2f\xfd\x04", Ok(Storage::Zstandard)),
            (b"\x5a\x2a\x4d\x18\x04", Ok(Storage::Zstandard)),
            (b"--\n-- PostgreSQL database dump\n--\n", Ok(Storage::Plain)),
            (b"x", Ok(Storage::Plain)),
            (b"", Err(Unloadable::Empty)),
            (b"PGDMP\x01\x0e", Err(Unloadable::Archive)),
            (b"toc.dat\0\0\0", Err(Unloadable::Archive)),
            (b"BZh91AY", Err(Unloadable::Packed("bzip2"))),
            (b"\xfd7zXZ\0\0", Err(Unloadable::Packed("xz"))),
            (b"a\0b", Err(Unloadable::Binary)),
        ] {
            assert_eq!(of(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_dump_goes_only_to_its_own_engine() {
        use Engine::{MySql, Postgres};
        let kinds = ["postgres", "cluster", "mysql", "databases", "archive", "unknown", ""];
        let judged = |engine| kinds.map(|kind| judge(kind, engine).err());
        let (archive, unknown) = (Some(Unloadable::Archive), Some(Unloadable::Unknown));
        let (mine, yours) = (Some(Unloadable::OtherEngine(MySql)), Some(Unloadable::OtherEngine(Postgres)));
        let names = Some(Unloadable::NamesDatabases);
        assert_eq!(judged(Postgres), [None, names, mine, mine, archive, unknown, unknown]);
        assert_eq!(judged(MySql), [yours, yours, None, names, archive, unknown, unknown]);
        let (what, remedy) = Unloadable::Archive.explain("a.dump", Postgres);
        assert_eq!(what, "the file a.dump is an archive for pg_restore, not SQL");
        assert!(remedy.contains("--file=a.dump.sql a.dump, and name that"), "{remedy}");
        assert!(Unloadable::Archive.explain("a.dump", MySql).0.ends_with("is a dump of PostgreSQL"));
        let (what, remedy) = Unloadable::Packed("xz").explain("-", MySql);
        assert!(what.starts_with("what comes on stdin is compressed with xz"), "{what}");
        assert!(remedy.starts_with("unpack it with xz -dc FILE >FILE.sql, and name that; nothing"), "{remedy}");
    }
}
