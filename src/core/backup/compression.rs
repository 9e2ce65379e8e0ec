//! How a dump file is compressed, as its suffix says. Must not know which tool of a container does it.

use std::ops::RangeInclusive;

/// A format of dump files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `.gz`, or any suffix but that of the other (RFC 1952).
    Gzip,
    /// `.zst` (RFC 8878).
    Zstandard,
}

impl Compression {
    /// The format of a dump file.
    pub fn of(file: &str) -> Compression {
        match file.ends_with(".zst") {
            true => Compression::Zstandard,
            false => Compression::Gzip,
        }
    }

    /// The tool that every container of such a dump needs.
    pub fn tool(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstandard => "zstd",
        }
    }

    /// The level if no setting names one: docs/databases.md has what another one costs.
    pub fn default_level(self) -> u8 {
        match self {
            Compression::Gzip => 1,
            Compression::Zstandard => 3,
        }
    }

    /// The levels that its tools know without further options.
    pub fn levels(self) -> RangeInclusive<u8> {
        match self {
            Compression::Gzip => 1..=9,
            Compression::Zstandard => 1..=19,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_says_the_format() {
        for (file, format) in [
            ("/d/dump.sql.gz", Compression::Gzip),
            ("/d/dump.sql.zst", Compression::Zstandard),
            ("/d.zst/dump.gz", Compression::Gzip),
            ("/d/dump", Compression::Gzip),
            ("/d/dump.ZST", Compression::Gzip),
        ] {
            assert_eq!(Compression::of(file), format, "{file}");
            assert!(format.levels().contains(&format.default_level()));
        }
    }
}
