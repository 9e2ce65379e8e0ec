//! Whether a workload runs a server of another major version than the data in a snapshot is of. Must not know what is done about it.

use std::fmt;

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Container, Snapshot};
use crate::core::restore::verify;
use crate::core::restore::workloads::Down;

/// A database server and as much of its version as decides which data directories it takes: of PostgreSQL the first number, of MySQL
/// and MariaDB the first two.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    product: &'static str,
    numbers: Vec<u32>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.numbers.iter().map(u32::to_string).collect();
        write!(f, "{} {}", self.product, numbers.join("."))
    }
}

impl Version {
    /// By what a server says of itself: `15.18 (Debian 15.18-0+deb12u1)`, `10.11.14-MariaDB-0+deb12u2`, `9.7.4`.
    fn of_server(engine: Engine, text: &str) -> Option<Version> {
        let product = match engine {
            Engine::Postgres => "PostgreSQL",
            Engine::MySql if text.contains("MariaDB") => "MariaDB",
            Engine::MySql => "MySQL",
        };
        Version::of(product, text)
    }

    /// By the tag of an official image or one of that name: `postgres:15.18-alpine`, `registry:5000/library/mariadb:11.8@sha256:...`.
    fn of_image(image: &str) -> Option<Version> {
        let name = image.split('@').next()?.rsplit('/').next()?;
        let (name, tag) = name.split_once(':')?;
        let product = match name {
            "postgres" | "postgresql" => "PostgreSQL",
            "mariadb" => "MariaDB",
            "mysql" => "MySQL",
            _ => return None,
        };
        Version::of(product, tag)
    }

    fn of(product: &'static str, text: &str) -> Option<Version> {
        let end = text.find(|letter: char| letter != '.' && !letter.is_ascii_digit()).unwrap_or(text.len());
        // PostgreSQL before 10, with two numbers, is older than all that is supported.
        let most = if product == "PostgreSQL" { 1 } else { 2 };
        let numbers: Vec<u32> = text[..end].split('.').map_while(|number| number.parse().ok()).take(most).collect();
        (!numbers.is_empty()).then_some(Version { product, numbers })
    }

    /// Whether both are the same as far as both are known.
    fn is_like(&self, other: &Version) -> bool {
        self.product == other.product && self.numbers.iter().zip(&other.numbers).all(|(one, other)| one == other)
    }
}

/// What to say before the volume of `snapshot` is given to these workloads: one text for each container whose server is
/// of another major version now. What it runs is known by the newest proof of its image, or else by the image's tag; where neither
/// says it, nothing is said.
pub fn warnings(objects: &NamespaceObjects, snapshot: &Snapshot, workloads: &[Down]) -> Vec<String> {
    let name = &snapshot.metadata.name;
    let proofs = verify::proofs(snapshot).unwrap_or_default();
    let of_engine = |(engine, proofs): (Engine, Vec<Proof>)| Some((engine, proofs.into_iter().next()?));
    let mut found = Vec::new();
    for (engine, proof) in proofs.into_iter().filter_map(of_engine) {
        let Some(was) = proof.server.get("version").and_then(|text| Version::of_server(engine, text)) else { continue };
        for down in workloads {
            let containers = objects.workload(down).map(|it| it.spec.template.spec.containers.as_slice());
            let Some(container) = containers.unwrap_or_default().iter().find(|it| it.name == proof.container) else {
                continue;
            };
            let Some(is) = runs(objects, engine, container).filter(|is| !was.is_like(is)) else { continue };
            let then = if was.product != is.product {
                "which cannot read the data directory".to_string()
            } else if engine == Engine::Postgres {
                "which does not start on that data directory; an image that has its own in another place makes a new, empty \
                 database beside it"
                    .to_string()
            } else if was.numbers < is.numbers {
                format!(
                    "which upgrades the data directory as it starts (MySQL) or with mariadb-upgrade (MariaDB); {was} cannot read \
                     it after that"
                )
            } else {
                "which refuses the data directory of a newer version".to_string()
            };
            let image = if proof.image.is_empty() { was.to_string() } else { proof.image.clone() };
            found.push(format!(
                "the data directory in VolumeSnapshot {name} is of {was}, and the container {} of {down} now runs {is}, {then}; give \
                 the workload the image {image} for this restore, or load only the dump into the server that runs \
                 (docs/recovery.md)",
                container.name
            ));
        }
    }
    found
}

/// The version of the server in a container.
fn runs(objects: &NamespaceObjects, engine: Engine, container: &Container) -> Option<Version> {
    let proofs = objects.snapshots.iter().filter_map(|snapshot| verify::proofs(snapshot).ok()).flatten();
    let proofs = proofs.filter(|(of, _)| *of == engine).flat_map(|(_, proofs)| proofs);
    let newest = proofs.filter(|proof| proof.image == container.image).max_by(|one, other| one.ended.cmp(&other.ended));
    let proven = newest.and_then(|proof| Version::of_server(engine, proof.server.get("version")?));
    proven.or_else(|| Version::of_image(&container.image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::restore::workloads::WorkloadKind;
    use serde_json::{Value, json};

    fn snapshot(name: &str, engine: Engine, image: &str, version: &str, ended: &str) -> Value {
        let proof = json!({
            "tool": "t", "database": "app", "bytes": 1, "sha256": "0", "began": "", "ended": ended, "file": "/d", "pathInVolume": "d",
            "pod": "p", "container": "db", "image": image, "server": {"version": version},
        });
        json!({
            "kind": "VolumeSnapshot",
            "metadata": {"name": name, "annotations": {engine.annotation(): proof.to_string()}},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        })
    }

    fn said(engine: Engine, was: (&str, &str), now: &str, others: &[Value]) -> Vec<String> {
        let workload = json!({
            "kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "mysql:1"}, {"name": "db", "image": now}]}}},
        });
        let mut items = vec![workload, snapshot("old", engine, was.0, was.1, "2026-01-01T00:00:00Z")];
        items.extend(others.iter().cloned());
        let objects: NamespaceObjects = serde_json::from_value(json!({"items": items})).unwrap();
        let down = Down { kind: WorkloadKind::Deployment, name: "shop".into(), replicas: 1 };
        warnings(&objects, objects.snapshot("old").unwrap(), &[down])
    }

    #[test]
    fn another_major_version_is_named_with_what_its_server_does() {
        let postgres = |now: &str| said(Engine::Postgres, ("postgres:15", "15.18 (Debian 15.18-0+deb12u1)"), now, &[]);
        for same in [
            "postgres:15",
            "postgres:15.19-alpine",
            "registry:5000/x/postgresql:15",
            "postgis/postgis:18-3.6",
            "postgres",
        ] {
            assert_eq!(postgres(same), Vec::<String>::new(), "{same}");
        }
        for other in ["postgres:18", "docker.io/library/postgres:18.6-alpine@sha256:00"] {
            assert_eq!(
                postgres(other),
                [
                    "the data directory in VolumeSnapshot old is of PostgreSQL 15, and the container db of deployment/shop now runs \
                  PostgreSQL 18, which does not start on that data directory; an image that has its own in another place makes a \
                  new, empty database beside it; give the workload the image postgres:15 for this restore, or load only the dump \
                  into the server that runs (docs/recovery.md)"
                ],
                "{other}"
            );
        }
        let maria = |was: &str, now: &str| said(Engine::MySql, ("", was), now, &[]).concat();
        assert_eq!(maria("10.11.14-MariaDB-0+deb12u2", "mariadb:10.11"), "");
        assert_eq!(maria("10.11.14-MariaDB-0+deb12u2", "mariadb:10"), "", "no more is known");
        let newer = maria("10.11.14-MariaDB-0+deb12u2", "mariadb:11.8");
        assert!(
            newer.contains("is of MariaDB 10.11, and") && newer.contains("runs MariaDB 11.8, which upgrades"),
            "{newer}"
        );
        assert!(newer.contains("give the workload the image MariaDB 10.11 for"), "{newer}");
        assert!(maria("11.8.2-MariaDB", "mariadb:10.11").contains("refuses the data directory of a newer version"));
        assert!(maria("9.7.4", "mariadb:11.8").contains("is of MySQL 9.7, and"));
        assert!(maria("9.7.4", "mariadb:11.8").contains("cannot read the data directory"));
        assert_eq!(maria("?", "mariadb:11.8"), "");
    }

    #[test]
    fn what_an_image_holds_is_known_by_its_newest_backup() {
        let of = |name: &str, version: &str, ended: &str| snapshot(name, Engine::Postgres, "own/db:7", version, ended);
        let (first, second) = (of("a", "15.1", "2026-02-01T00:00:00Z"), of("b", "17.2", "2026-03-01T00:00:00Z"));
        let old = ("postgres:15", "15.18");
        assert_eq!(said(Engine::Postgres, old, "own/db:7", &[]).len(), 0, "its tag says nothing");
        assert_eq!(said(Engine::Postgres, old, "own/db:7", std::slice::from_ref(&first)).len(), 0);
        for others in [[first.clone(), second.clone()], [second, first]] {
            assert!(said(Engine::Postgres, old, "own/db:7", &others).concat().contains("runs PostgreSQL 17,"));
        }
        // The same tag, and another server behind it by now.
        let latest = ("postgres:latest", "15.18");
        let moved = snapshot("new", Engine::Postgres, "postgres:latest", "18.6", "2026-03-01T00:00:00Z");
        assert_eq!(said(Engine::Postgres, latest, "postgres:latest", &[]).len(), 0);
        assert_eq!(said(Engine::Postgres, latest, "postgres:latest", &[moved]).len(), 1);
    }
}
