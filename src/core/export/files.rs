//! The files of an export, by the proofs of a snapshot, and their names in the repository.

use std::collections::BTreeSet;

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;

/// One proven file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenFile {
    pub engine: Engine,
    pub database: String,
    /// Whether it holds the server's roles or accounts instead of a dump.
    pub is_globals: bool,
    pub path_in_volume: String,
    pub bytes: u64,
    pub sha256: String,
    /// How it is compressed: `gzip`, `zstd` or `plain`.
    pub form: &'static str,
    /// Its name below the claim, as plain text.
    pub plain_name: String,
    /// The same as it is on the volume.
    pub stored_name: String,
}

/// The files that the proofs of a snapshot name.
///
/// # Errors
/// Why they have no names in a repository.
pub fn of_proofs(proofs: &[(Engine, Vec<Proof>)]) -> Result<Vec<ProvenFile>, String> {
    let mut files = Vec::new();
    for (engine, proof) in proofs.iter().flat_map(|(engine, proofs)| proofs.iter().map(move |proof| (*engine, proof))) {
        let path = proof.path_in_volume.trim_start_matches('/');
        check_path(path)?;
        let (form, plain) = match (path.strip_suffix(".zst"), path.strip_suffix(".gz")) {
            (Some(plain), _) => ("zstd", plain),
            (None, plain) => ("gzip", plain.unwrap_or(path)),
        };
        let file = |is_globals, path: &str, bytes, sha256: &str, form, plain: &str, stored: &str| ProvenFile {
            engine,
            database: proof.database.clone(),
            is_globals,
            path_in_volume: path.into(),
            bytes,
            sha256: sha256.into(),
            form,
            plain_name: plain.into(),
            stored_name: stored.into(),
        };
        files.push(file(false, path, proof.bytes, &proof.sha256, form, plain, path));
        if let Some(globals) = &proof.globals
            && let Some(path) = globals.file(path)
        {
            // On the volume its name has a part of its hash. Here it is the same each time, so that the older ones are found.
            let name = format!("{plain}.globals.sql");
            files.push(file(true, &path, globals.bytes, &globals.sha256, "plain", &name, &name));
        }
    }
    let names: BTreeSet<&String> = files.iter().flat_map(|file| [&file.plain_name, &file.stored_name]).collect();
    let expected: usize = files.iter().map(|file| if file.plain_name == file.stored_name { 1 } else { 2 }).sum();
    if names.len() == expected { Ok(files) } else { Err("two of its dumps have one name".into()) }
}

/// A proof is untrusted: its path must stay below the volume and below the claim in the repository.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let is_name = |part: &str| !["", ".", ".."].contains(&part) && !part.contains(char::is_control);
    if path.split('/').all(is_name) { Ok(()) } else { Err("its proof names a file outside the volume".into()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn proof(path: &str, globals: bool) -> Proof {
        let mut proof = json!({
            "tool": "t", "database": "app", "bytes": 100, "sha256": "a".repeat(64), "began": "", "ended": "", "file": "/x/d.gz",
            "pathInVolume": path, "pod": "db-1", "container": "db",
        });
        if globals {
            proof["globals"] = json!({"bytes": 7, "sha256": "b".repeat(64), "passwords": true, "roles": 1});
        }
        serde_json::from_value(proof).unwrap()
    }

    #[test]
    fn every_proven_file_gets_a_name_that_stays() {
        let all = [
            (Engine::Postgres, vec![proof("dump.sql.gz", true), proof("pg/web.sql.zst", false)]),
            (Engine::MySql, vec![proof("/mysql/dump", false)]),
        ];
        let files = of_proofs(&all).unwrap();
        let shown: Vec<_> = files
            .iter()
            .map(|file| (file.path_in_volume.as_str(), file.form, file.plain_name.as_str(), file.stored_name.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("dump.sql.gz", "gzip", "dump.sql", "dump.sql.gz"),
                ("dump.sql.gz.globals-bbbbbbbbbbbbbbbb.sql", "plain", "dump.sql.globals.sql", "dump.sql.globals.sql"),
                ("pg/web.sql.zst", "zstd", "pg/web.sql", "pg/web.sql.zst"),
                ("mysql/dump", "gzip", "mysql/dump", "mysql/dump"),
            ]
        );
        assert_eq!((files[1].is_globals, files[1].bytes, files[1].sha256.as_str()), (true, 7, "b".repeat(64).as_str()));
    }

    #[test]
    fn a_proof_cannot_name_a_file_outside_the_volume_or_two_by_one_name() {
        for path in ["", "/", "..", "../x.gz", "a/../../x", "a//b", "a/./b", "a\nb"] {
            assert!(of_proofs(&[(Engine::Postgres, vec![proof(path, false)])]).is_err(), "{path:?}");
        }
        let twice = [(Engine::Postgres, vec![proof("d.gz", false)]), (Engine::MySql, vec![proof("d.zst", false)])];
        assert!(of_proofs(&twice).is_err());
    }
}
