//! The proof of a dump. `container/dump.sh` tests the file and makes the first report, `container/recheck.sh` the second; here both
//! are judged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::backup::databases;
use crate::core::backup::globals::GlobalsProof;
use crate::core::backup::inventory::Inventory;
use crate::core::engine::Engine;

/// How many files of roles beside one dump are looked at.
const GLOBALS: usize = 64;

/// What the container reported about a finished dump file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpReport {
    pub bytes: Option<u64>,
    /// SHA-256 of the compressed file, 64 hexadecimal digits.
    pub sha256: String,
    /// The file's inode: a replaced file has another.
    pub inode: String,
    /// When the dump began, RFC 3339 in UTC.
    pub began: String,
    /// When it ended, RFC 3339 in UTC.
    pub ended: String,
    /// The run of the container that reported.
    pub identity: String,
    /// The database and its server before the dump.
    pub before: Inventory,
    /// The same after the dump.
    pub after: Inventory,
    /// The file of the server's roles, if one was made.
    pub globals: Option<GlobalsProof>,
    /// Of a recheck: size and SHA-256 of each such file beside the dump.
    pub globals_files: Vec<(u64, String)>,
}

impl DumpReport {
    /// Takes one line of the report. Unknown keys are ignored.
    pub fn note(&mut self, key: &str, value: &str) {
        match key {
            "bytes" => self.bytes = value.trim().parse().ok(),
            "sha256" => self.sha256 = value.into(),
            "inode" => self.inode = value.into(),
            "began" => self.began = value.into(),
            "ended" => self.ended = value.into(),
            "identity" => self.identity = value.into(),
            "before" => self.before.note(value),
            "after" => self.after.note(value),
            "globals" => self.globals = GlobalsProof::parse(value),
            "globals-file" if self.globals_files.len() < GLOBALS => {
                let words = value.split_once(' ');
                self.globals_files.extend(words.and_then(|(bytes, sum)| Some((bytes.parse().ok()?, sum.into()))));
            }
            _ => {}
        }
    }

    /// Checks whether the report of a dump is complete and plausible. Returns its size in bytes.
    ///
    /// # Errors
    /// What is missing or impossible.
    pub fn check(&self) -> Result<u64, String> {
        if self.began.is_empty() || self.ended.is_empty() {
            return Err("it did not say when it began and ended".into());
        }
        self.check_file()
    }

    /// Checks the report of a file. Unlike [`DumpReport::check`], for a recheck, which has no times.
    ///
    /// # Errors
    /// As [`DumpReport::check`].
    pub fn check_file(&self) -> Result<u64, String> {
        let bytes = self.bytes.ok_or("it gave no size")?;
        // The smallest gzip file has 18 bytes of header and trailer (RFC 1952, 2.2), and the closing comment of a dump alone takes
        // more than that in any format.
        if bytes < 18 {
            return Err(format!("{bytes} bytes are too few for a dump"));
        }
        if !is_sha256(&self.sha256) {
            return Err(format!("it gave no SHA-256 but '{}'", self.sha256));
        }
        if self.inode.is_empty() || self.identity.is_empty() {
            return Err("it did not say which file in which container".into());
        }
        Ok(bytes)
    }

    /// Checks whether the recheck, an exec of its own, found the same file.
    ///
    /// # Errors
    /// What differs.
    pub fn agrees(&self, second: &DumpReport) -> Result<(), String> {
        if self.identity != second.identity {
            return Err("the container was restarted or replaced after the dump".into());
        }
        if self.inode != second.inode {
            return Err("the file was replaced after the dump".into());
        }
        if self.bytes != second.bytes {
            return Err(format!("the file's size changed after the dump: {:?}, then {:?}", self.bytes, second.bytes));
        }
        if self.sha256 != second.sha256 {
            return Err(format!("the file's SHA-256 changed after the dump: {}, then {}", self.sha256, second.sha256));
        }
        if !second.has_globals(self.globals.as_ref()) {
            return Err("the file of the server's roles was replaced after the dump".into());
        }
        Ok(())
    }

    /// Whether the recheck found this file of roles beside the dump, if there is to be one.
    pub fn has_globals(&self, globals: Option<&GlobalsProof>) -> bool {
        globals.is_none_or(|it| self.globals_files.iter().any(|(bytes, sum)| *bytes == it.bytes && *sum == it.sha256))
    }
}

/// The proof, which is an annotation of the VolumeSnapshot, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The dump tool and its version, as it names itself.
    pub tool: String,
    pub database: String,
    /// Size of the compressed file in bytes.
    pub bytes: u64,
    /// SHA-256 of the compressed file.
    pub sha256: String,
    /// When the dump began, RFC 3339 in UTC.
    pub began: String,
    /// When the dump ended, RFC 3339 in UTC.
    pub ended: String,
    /// The dump's path in the container.
    pub file: String,
    /// The dump's path within the volume, for mounting a restored volume elsewhere.
    pub path_in_volume: String,
    pub pod: String,
    pub container: String,
    /// That container's image, which can load the dump.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// The namespace it was made in. Older proofs do not have it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// How many objects of each kind the database held, of the kinds in which none was created or dropped during the dump.
    /// Older proofs have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, u64>,
    /// Properties and settings of the server, by name. Older proofs have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub server: BTreeMap<String, String>,
    /// The file of the server's roles beside the dump. Older proofs have none, nor has a dump without that file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub globals: Option<GlobalsProof>,
    /// The proofs of the server's other databases, each in a file of its own. Older proofs have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<Proof>,
}

/// From how many bytes on a proof is shortened. All annotations of an object may have 256 KiB together, and half of that is copied to
/// the stored data: the proofs of two engines, the settings, and the claim.
const LONGEST: usize = 32 << 10;

impl Proof {
    /// The proofs of all databases that this one is of, the first one first.
    pub fn all(&self) -> impl Iterator<Item = &Proof> {
        std::iter::once(self).chain(&self.more)
    }

    /// How many bytes all the dumps have.
    pub fn all_bytes(&self) -> u64 {
        self.all().fold(0, |sum, proof| sum.saturating_add(proof.bytes))
    }

    /// One proof for each engine, from those of its databases in the order of their dumps.
    pub fn grouped(proofs: Vec<(Engine, Proof)>) -> Vec<(Engine, Proof)> {
        let mut grouped: Vec<(Engine, Proof)> = Vec::new();
        for (engine, proof) in proofs {
            match grouped.iter_mut().find(|(of, _)| *of == engine) {
                Some((_, first)) => first.more.push(proof),
                None => grouped.push((engine, proof)),
            }
        }
        grouped.iter_mut().for_each(|(_, proof)| proof.shorten());
        grouped
    }

    /// Adds this proof to that of an earlier dump, whose other databases it leaves as they are. `first` is the dump file of the first
    /// database.
    #[must_use]
    pub fn added_to(self, earlier: Option<Proof>, first: &str) -> Proof {
        let Some(mut earlier) = earlier else { return self };
        let mut others = std::mem::take(&mut earlier.more);
        others.insert(0, earlier);
        others.retain(|other| other.file != self.file);
        others.truncate(databases::MOST - 1);
        let mut all = match others.first() {
            Some(other) if self.file != first && other.file == first => {
                let mut all = others.remove(0);
                all.more = others;
                all.more.push(self);
                all
            }
            _ => Proof { more: others, ..self },
        };
        all.shorten();
        all
    }

    /// Leaves out what a restore test can do without, if the proof would be too long: what the other databases held and were like.
    fn shorten(&mut self) {
        if serde_json::to_string(self).map_or(0, |text| text.len()) > LONGEST {
            for proof in &mut self.more {
                proof.objects.clear();
                proof.server.clear();
            }
        }
    }
}

/// Whether a text is a SHA-256 as `sha256sum` prints it. It comes from the container, and becomes a part of file names and
/// commands.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DumpReport {
        let mut report = DumpReport::default();
        for (key, value) in [
            ("bytes", "1234"),
            ("sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("inode", "12"),
            ("identity", "boot:ns:1"),
            ("began", "2026-01-02T03:04:05Z"),
            ("ended", "2026-01-02T03:04:06Z"),
            ("other", "x"),
        ] {
            report.note(key, value);
        }
        report
    }

    #[test]
    fn a_report_must_be_complete() {
        assert_eq!(report().check(), Ok(1234));
        let holes: [fn(&mut DumpReport); 8] = [
            |c| c.began.clear(),
            |c| c.ended.clear(),
            |c| c.bytes = None,
            |c| c.bytes = Some(17),
            |c| c.sha256.clear(),
            |c| c.sha256.replace_range(0..1, "z"),
            |c| c.inode.clear(),
            |c| c.identity.clear(),
        ];
        for hole in holes {
            let mut report = report();
            hole(&mut report);
            assert!(report.check().is_err(), "{report:?}");
        }
    }

    #[test]
    fn a_proof_holds_the_objects_of_the_database_and_older_ones_are_read() {
        let older = r#"{"tool":"t","database":"app","bytes":20,"sha256":"0","began":"","ended":"","file":"/d","pathInVolume":"d",
            "pod":"p","container":"c"}"#;
        let mut proof: Proof = serde_json::from_str(older).unwrap();
        assert!(proof.objects.is_empty() && proof.server.is_empty() && proof.globals.is_none());
        let mut report = report();
        for key in ["before", "after"] {
            report.note(key, "object tables 2 aa");
            report.note(key, "property encoding UTF8");
        }
        proof.objects = report.before.objects(&report.after);
        proof.server = report.before.server(&report.after);
        let text = serde_json::to_string(&proof).unwrap();
        assert!(text.ends_with(r#""objects":{"tables":2},"server":{"encoding":"UTF8"}}"#), "{text}");
        assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);
        report.note("globals", &format!("3 no 120 {}", report.sha256));
        proof.globals = report.globals;
        let text = serde_json::to_string(&proof).unwrap();
        assert!(text.contains(r#""globals":{"bytes":120,"sha256":"#), "{text}");
        assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);
    }

    fn proof(database: &str, file: &str) -> Proof {
        let text = format!(
            r#"{{"tool":"t","database":"{database}","bytes":20,"sha256":"0","began":"","ended":"","file":"{file}","pathInVolume":"d",
            "pod":"p","container":"c","objects":{{"tables":1}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn files(proof: &Proof) -> Vec<&str> {
        proof.all().map(|proof| proof.file.as_str()).collect()
    }

    #[test]
    fn the_other_databases_of_a_server_are_in_the_proof_of_its_first() {
        let all = ["a", "b", "c"].map(|name| (Engine::Postgres, proof(name, name)));
        let mysql = (Engine::MySql, proof("m", "m"));
        let grouped = Proof::grouped(all.iter().cloned().chain([mysql.clone()]).collect());
        assert_eq!(grouped.len(), 2);
        let text = serde_json::to_string(&grouped[0].1).unwrap();
        assert_eq!(files(&serde_json::from_str(&text).unwrap()), ["a", "b", "c"]);
        assert_eq!(grouped[0].1.all_bytes(), 60);
        assert_eq!(grouped[1], mysql, "one database has the proof that it always had");
        assert!(!serde_json::to_string(&mysql.1).unwrap().contains("more"));
        assert!(grouped[0].1.all().all(|proof| proof.objects.len() == 1));
    }

    #[test]
    fn the_longest_proof_fits_into_an_annotation() {
        let long = |name: String| {
            let mut proof = proof(&name, &format!("/{name}"));
            proof.server = (0..100).map(|at| (format!("setting{at}"), "x".repeat(60))).collect();
            proof.image = "x".repeat(200);
            (Engine::MySql, proof)
        };
        let of = |number: usize| {
            let all = (0..number).map(|at| long(format!("{at:0>190}")));
            Proof::grouped(all.collect()).remove(0).1
        };
        let (few, many) = (of(2), of(databases::MOST));
        assert!(!few.more[0].server.is_empty());
        assert!(many.more[0].server.is_empty() && many.more[0].objects.is_empty() && !many.server.is_empty());
        assert_eq!(many.more.len(), databases::MOST - 1);
        let length = serde_json::to_string(&many).unwrap().len();
        assert!(length < 60 << 10, "{length}");
    }

    #[test]
    fn a_dump_of_one_database_leaves_the_proofs_of_the_others() {
        let earlier = Proof::grouped(["a", "b"].map(|name| (Engine::Postgres, proof(name, name))).to_vec()).remove(0).1;
        let add = |name: &str, earlier: Option<&Proof>| proof(name, name).added_to(earlier.cloned(), "a");
        assert_eq!(files(&add("a", None)), ["a"]);
        assert_eq!(files(&add("b", None)), ["b"]);
        assert_eq!(files(&add("a", Some(&earlier))), ["a", "b"]);
        assert_eq!(files(&add("b", Some(&earlier))), ["a", "b"]);
        assert_eq!(files(&add("c", Some(&earlier))), ["a", "b", "c"]);
        assert_eq!(files(&add("a", Some(&add("b", None)))), ["a", "b"]);
        assert_eq!(files(&add("c", Some(&add("b", None)))), ["c", "b"]);
        let many = (0..100).fold(earlier, |proof, at| add(&format!("d{at}"), Some(&proof)));
        assert_eq!(many.all().count(), databases::MOST);
        assert!(files(&many).contains(&"d99"));
    }

    #[test]
    fn a_recheck_must_find_the_file_of_roles() {
        let (mut first, mut second) = (report(), report());
        let sum = first.sha256.clone();
        second.note("globals-file", &format!("120 {}", "0".repeat(64)));
        assert_eq!(first.agrees(&second), Ok(()), "one of an earlier dump does no harm");
        first.note("globals", &format!("3 yes 120 {sum}"));
        for (files, same) in [(vec![], false), (vec![(121, &sum)], false), (vec![(9, &sum), (120, &sum)], true)] {
            let mut second = report();
            files.iter().for_each(|(bytes, sum)| second.note("globals-file", &format!("{bytes} {sum}")));
            assert_eq!(first.agrees(&second).is_ok(), same, "{files:?}");
        }
        (0..1000).for_each(|_| second.note("globals-file", &format!("1 {sum}")));
        assert_eq!(second.globals_files.len(), GLOBALS);
    }

    #[test]
    fn a_recheck_must_find_the_same() {
        assert_eq!(report().agrees(&report()), Ok(()));
        type ReportEdit = fn(&mut DumpReport);
        let changes: [(ReportEdit, &str); 4] = [
            (|c| c.identity.push('x'), "restarted"),
            (|c| c.inode.push('1'), "replaced"),
            (|c| c.bytes = Some(1235), "size"),
            (|c| c.sha256.replace_range(0..1, "f"), "SHA-256"),
        ];
        for (change, word) in changes {
            let mut second = report();
            change(&mut second);
            assert!(report().agrees(&second).unwrap_err().contains(word));
        }
    }
}
