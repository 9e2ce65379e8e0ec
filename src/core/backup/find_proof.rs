//! Finds the proof of a dump file, by its size and SHA-256: on the claim that holds it, or on a snapshot of that claim. Must not
//! know how the file was read.

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::kube::labels;
use crate::core::kube::objects::{Meta, Pvc, Snapshot};

/// A proof, and the object that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The object, such as `VolumeSnapshot data-1`.
    pub by: String,
    pub proof: Proof,
    /// Why the snapshot that carries it is distrusted, if it is.
    pub distrusted: Option<String>,
}

/// The proof of a file of this size and SHA-256: from the claim itself, else from the newest snapshot that carries one. A claim
/// that was made from a snapshot has that snapshot's proof, too. A proof stays valid on a distrusted snapshot, but such
/// snapshots come last. Of several proofs of the same bytes, the one of a file at `path` is taken.
pub fn find(
    engine: Engine,
    claim: &Pvc,
    snapshots: &[Snapshot],
    (bytes, sha256): (u64, &str),
    path: &str,
) -> Option<Proven> {
    let named = |sources: &Snapshot| {
        let spec = &claim.spec;
        [&spec.data_source, &spec.data_source_ref].into_iter().flatten().any(|source| {
            let here = source.namespace.as_ref().is_none_or(|namespace| *namespace == claim.metadata.namespace);
            here && source.kind == "VolumeSnapshot" && source.name == sources.metadata.name
        })
    };
    let mut of_it: Vec<&Snapshot> =
        snapshots.iter().filter(|snapshot| snapshot.is_of(&claim.metadata.name) || named(snapshot)).collect();
    of_it.sort_by_key(|snapshot| {
        let meta = &snapshot.metadata;
        (meta.annotations.contains_key(labels::DISTRUSTED), std::cmp::Reverse(meta.creation_timestamp))
    });
    let on_claim = std::iter::once(("PersistentVolumeClaim", &claim.metadata));
    let on_snapshots = of_it.into_iter().map(|snapshot| ("VolumeSnapshot", &snapshot.metadata));
    on_claim.chain(on_snapshots).find_map(|(kind, meta)| {
        let all = noted(engine, meta)?;
        // Empty databases may have the same dump.
        let same = all.all().filter(|proof| proof.bytes == bytes && proof.sha256 == sha256);
        let proof = same.min_by_key(|proof| proof.file != path)?;
        let distrusted = meta.annotations.get(labels::DISTRUSTED).cloned();
        Some(Proven {
            by: format!("{kind} {}", meta.name),
            proof: Proof { more: Vec::new(), ..proof.clone() },
            distrusted,
        })
    })
}

/// The one of these paths that had the newest proven dump of a database, by the proofs on the claim and on snapshots of it. The volume
/// may be mounted elsewhere than it was, so only the names of the files count.
pub fn file_of<'a>(
    engine: Engine,
    claim: &Pvc,
    snapshots: &[Snapshot],
    database: &str,
    paths: [&'a str; 2],
) -> Option<&'a str> {
    let of_it = snapshots.iter().filter(|snapshot| snapshot.is_of(&claim.metadata.name));
    let metas = std::iter::once(&claim.metadata).chain(of_it.map(|snapshot| &snapshot.metadata));
    let found = metas.filter_map(|meta| {
        let all = noted(engine, meta)?;
        let of_name = all.all().filter(|proof| proof.database == database);
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
        let path_of = |proof: &Proof| paths.into_iter().find(|path| name(path) == name(&proof.file));
        of_name.filter_map(|proof| Some((proof.ended.clone(), path_of(proof)?))).max()
    });
    found.max().map(|(_, path)| path)
}

fn noted(engine: Engine, meta: &Meta) -> Option<Proof> {
    serde_json::from_str(meta.annotations.get(engine.annotation())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn proof(sha256: &str) -> Value {
        json!({
            "tool": "pg_dump", "database": "app", "bytes": 20, "sha256": sha256, "began": "", "ended": "", "file": "/d",
            "pathInVolume": "d", "pod": "p", "container": "c",
        })
    }

    fn noting(sha256: &str) -> Value {
        json!({"backup-ns.sh/dump-postgres": proof(sha256).to_string()})
    }

    fn snapshot(name: &str, pvc: &str, annotations: &Value) -> Snapshot {
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations, "creationTimestamp": "2026-11-22T12:00:00Z"},
            "spec": {"source": {"persistentVolumeClaimName": pvc}},
        }))
        .unwrap()
    }

    fn claim(annotations: &Value, source: Option<&str>) -> Pvc {
        let mut claim =
            json!({"metadata": {"name": "data", "namespace": "shop", "annotations": annotations}, "spec": {}});
        if let Some(name) = source {
            claim["spec"]["dataSource"] = json!({"kind": "VolumeSnapshot", "name": name});
        }
        serde_json::from_value(claim).unwrap()
    }

    fn by(claim: &Pvc, snapshots: &[Snapshot]) -> Option<String> {
        find(Engine::Postgres, claim, snapshots, (20, "aa"), "/d").map(|proven| proven.by)
    }

    #[test]
    fn a_proof_counts_where_the_file_can_have_come_from() {
        let none = json!({});
        let bare = claim(&none, None);
        assert_eq!(by(&claim(&noting("aa"), None), &[]).as_deref(), Some("PersistentVolumeClaim data"));
        assert_eq!(by(&bare, &[snapshot("s", "data", &noting("aa"))]).as_deref(), Some("VolumeSnapshot s"));
        let elsewhere = [snapshot("s", "other", &noting("aa"))];
        assert_eq!(by(&bare, &elsewhere), None, "a snapshot of another claim");
        assert_eq!(by(&claim(&none, Some("s")), &elsewhere).as_deref(), Some("VolumeSnapshot s"), "made from it");
        assert_eq!(by(&claim(&none, Some("t")), &elsewhere), None);
    }

    #[test]
    fn each_database_of_a_server_is_found_by_its_own_file() {
        let mut first = proof("aa");
        let of = |sha256: &str, database: &str, file: &str| {
            let mut other = proof(sha256);
            (other["database"], other["file"]) = (json!(database), json!(file));
            other
        };
        first["more"] = json!([of("bb", "shop", "/d.db-shop"), of("bb", "web", "/d.db-web")]);
        let noted = json!({"backup-ns.sh/dump-postgres": first.to_string()});
        let found = |sha256: &str, path: &str| {
            let proven = find(Engine::Postgres, &claim(&noted, None), &[], (20, sha256), path)?;
            assert!(proven.proof.more.is_empty(), "it is of one file");
            Some(proven.proof.database)
        };
        assert_eq!(found("aa", "/d").as_deref(), Some("app"));
        assert_eq!(found("bb", "/d.db-web").as_deref(), Some("web"), "of two with the same bytes");
        assert_eq!(found("bb", "/moved").as_deref(), Some("shop"));
        assert_eq!(found("cc", "/d"), None);
    }

    #[test]
    fn the_newest_proof_says_which_file_is_a_databases() {
        let noting = |all: &[(&str, &str, &str)]| {
            let one = |(database, file, ended): &(&str, &str, &str)| {
                let mut proof = proof("aa");
                (proof["database"], proof["file"], proof["ended"]) = (json!(database), json!(file), json!(ended));
                proof
            };
            let mut first = one(&all[0]);
            first["more"] = json!(all[1..].iter().map(one).collect::<Vec<_>>());
            json!({"backup-ns.sh/dump-postgres": first.to_string()})
        };
        let old = snapshot("s", "data", &noting(&[("app", "/d", "2026-01-01"), ("web", "/d.db-web", "2026-01-01")]));
        let new = snapshot("t", "data", &noting(&[("web", "/d", "2026-01-02"), ("app", "/d.db-app", "2026-01-02")]));
        let other = snapshot("u", "other", &noting(&[("web", "/d.db-web", "2026-01-03")]));
        let of = |claim: &Pvc, snapshots: &[Snapshot], database: &str| {
            let paths = ["/d".to_string(), format!("/d.db-{database}")];
            let found = file_of(Engine::Postgres, claim, snapshots, database, [&paths[0], &paths[1]]);
            found.map(str::to_string)
        };
        let (bare, all) = (claim(&json!({}), None), [new, old, other]);
        assert_eq!(of(&bare, &all, "web").as_deref(), Some("/d"));
        assert_eq!(of(&bare, &all, "app").as_deref(), Some("/d.db-app"));
        assert_eq!(of(&bare, &all[1..], "web").as_deref(), Some("/d.db-web"));
        assert_eq!(of(&bare, &all, "gone"), None);
        let noted = claim(&noting(&[("web", "/d.db-web", "2026-01-04")]), None);
        assert_eq!(of(&noted, &all, "web").as_deref(), Some("/d.db-web"));
        let moved = claim(&noting(&[("web", "/old/d", "2026-01-04")]), None);
        assert_eq!(of(&moved, &all, "web").as_deref(), Some("/d"), "the volume was mounted elsewhere");
        assert_eq!(
            of(&claim(&noting(&[("web", "/etc/passwd", "2026-01-04")]), None), &[], "web"),
            None,
            "no other path"
        );
    }

    #[test]
    fn other_bytes_are_not_proven() {
        let bare = claim(&json!({}), None);
        assert_eq!(by(&claim(&noting("bb"), None), &[snapshot("s", "data", &noting("cc"))]), None);
        assert_eq!(
            find(Engine::Postgres, &claim(&noting("aa"), None), &[], (21, "aa"), "/d"),
            None,
            "the size differs"
        );
        assert_eq!(
            find(Engine::MySql, &claim(&noting("aa"), None), &[], (20, "aa"), "/d"),
            None,
            "of the other database"
        );
        let mut distrusted = noting("aa");
        distrusted["backup-ns.sh/distrusted"] = json!("why");
        let why = |snapshots: &[Snapshot]| {
            find(Engine::Postgres, &bare, snapshots, (20, "aa"), "/d").map(|proven| (proven.by, proven.distrusted))
        };
        let bad = snapshot("s", "data", &distrusted);
        assert_eq!(
            why(std::slice::from_ref(&bad)),
            Some(("VolumeSnapshot s".into(), Some("why".into()))),
            "what was dumped is proven"
        );
        let older = snapshot("t", "data", &noting("aa"));
        assert_eq!(why(&[bad, older]), Some(("VolumeSnapshot t".into(), None)), "one that is trusted goes first");
        let broken = json!({"backup-ns.sh/dump-postgres": "no JSON"});
        assert_eq!(by(&claim(&broken, None), &[]), None);
    }
}
