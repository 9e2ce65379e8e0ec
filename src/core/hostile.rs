//! Snapshots, claims and contents of a malicious tenant: for odd values in every label, annotation and time, no decision panics.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::core::backup::proof::Proof;
use crate::core::backup::{find_proof, grants};
use crate::core::engine::Engine;
use crate::core::health::listing::{self, Row};
use crate::core::health::status::{self, Backup};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Content, Pvc, Snapshot};
use crate::core::kube::{labels, quantity};
use crate::core::restore::in_place::{self, Journal};
use crate::core::restore::sync_metadata::{Source, Sources};
use crate::core::restore::verify::{self, Facts, Verdict};
use crate::core::restore::{clone, new_claim};
use crate::core::retention::history::{self, Moment, Record};
use crate::core::retention::mark_and_delete::{self, DeletionBlocks};
use crate::core::retention::retain::{self, Policy};
use crate::core::time_zone::Zone;
use crate::core::words;

/// Values that broke other programs.
fn text() -> impl Strategy<Value = String> {
    let fixed = [
        "",
        " ",
        "\u{1b}[2J",
        "\u{202e}\u{0}",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "NaN",
        "0000-00-00",
        "9999-12-31",
        "-262143-01-01",
        "+262142-12-31",
        "2026-W53",
        "9999-w99",
        "9999-13",
        "9999-12-31T23:59:60Z",
        "+262142-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "/",
        "../../x",
        "a/b/c",
        "null",
        "[]",
        "{}",
        "\"",
        r#"{"bytes":-1}"#,
        r#"{"name":null,"accessModes":"x","storage":{}}"#,
        "999999999999999999999999999999Ei",
        "1e38Ei",
        "0.00000000000000000000000000000000000000000000000001Ki",
        "ä\u{301}👩\u{200d}👧",
    ];
    let deep = "[".repeat(100_000);
    let long = "x".repeat(100_000);
    prop_oneof![
        8 => prop::sample::select(fixed.map(String::from).to_vec()),
        1 => prop::sample::select(vec![deep, long]),
        4 => any::<String>(),
        4 => documents(),
    ]
}

/// The JSON of snapshots' annotations, with one odd value.
fn documents() -> impl Strategy<Value = String> {
    let proof = json!({
        "tool": "t", "database": "app", "bytes": 20, "sha256": "0", "began": "2026-01-02T03:04:05Z", "ended": "2026-01-02T03:04:06Z",
        "file": "/d", "pathInVolume": "d", "pod": "p", "container": "c", "image": "i", "objects": {"tables": 1}, "server": {"a": "b"},
    });
    let claim = json!({"name": "data", "accessModes": ["ReadWriteOnce"], "storage": "1Gi", "labels": {"a": "b"}});
    let journal = json!({
        "claim": claim, "uid": "u", "annotations": {}, "owners": [], "safety": "s", "back": false,
        "workloads": [{"kind": "Deployment", "name": "app", "replicas": 4294967295u32}],
    });
    let verdict = json!({"verdict": "good", "at": "2026-01-02T03:04:05Z", "tables": 1});
    let changed = (prop::sample::select(vec![proof, claim, journal, verdict]), any::<prop::sample::Index>(), odd());
    changed.prop_map(|(mut document, key, value)| {
        let fields = document.as_object_mut().unwrap();
        let key = fields.keys().nth(key.index(fields.len())).unwrap().clone();
        fields.insert(key, value);
        document.to_string()
    })
}

fn odd() -> impl Strategy<Value = Value> {
    let numbers = [json!(-1), json!(u64::MAX), json!(1e300), json!(null), json!([[]]), json!({"": null})];
    let times = ["+262142-12-31T23:59:59Z", "-262143-01-01T00:00:00Z", "0000-01-01T00:00:00Z"].map(|time| json!(time));
    prop_oneof![
        prop::sample::select([&numbers[..], &times[..]].concat()),
        any::<String>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
    ]
}

/// Times that the API may hold, and some that it should not.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    let extremes = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::UNIX_EPOCH];
    prop_oneof![
        prop::sample::select(extremes.to_vec()),
        (-62_135_596_800i64..253_402_300_800).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap()),
    ]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let keys = [
        labels::RETAIN,
        labels::PVC,
        labels::TYPE,
        labels::DELETE_AFTER,
        labels::VERIFIED,
        labels::DISTRUSTED,
        labels::RESTORING,
        labels::RESTORED_FROM,
        labels::CLONE_OF,
        labels::CLAIM,
        labels::VERIFICATION,
        "backup-ns.sh/daily",
        "backup-ns.sh/weekly",
        "backup-ns.sh/monthly",
        "backup-ns.sh/dump-postgres",
        "backup-ns.sh/dump-mysql",
    ];
    let key = || prop::sample::select(keys.map(String::from).to_vec());
    let map = move || prop::collection::btree_map(key(), text(), 0..8);
    let status =
        (any::<Option<bool>>(), prop::option::of(instant()), prop::option::of(text()), prop::option::of(text()));
    (map(), map(), instant(), status, prop::option::of(text()), any::<bool>()).prop_map(
        |(labels, annotations, made, (ready, cut, size, error), pvc, by_slots)| {
            let mut snapshot = Snapshot::default();
            snapshot.metadata.name = "s".into();
            snapshot.metadata.namespace = "shop".into();
            snapshot.metadata.uid = "u".into();
            snapshot.metadata.labels = labels;
            if by_slots {
                snapshot.metadata.labels.insert(labels::RETAIN.into(), labels::RETAIN_SLOTS.into());
            }
            snapshot.metadata.annotations = annotations;
            snapshot.metadata.creation_timestamp = made;
            snapshot.spec.source.persistent_volume_claim_name = pvc;
            snapshot.status.ready_to_use = ready;
            snapshot.status.creation_time = cut;
            snapshot.status.restore_size = size;
            snapshot.status.error = error.map(|message| serde_json::from_value(json!({"message": message})).unwrap());
            snapshot
        },
    )
}

proptest! {
    #[test]
    fn every_decision_takes_any_snapshot(
        snapshots in prop::collection::vec(snapshot(), 1..5),
        zone in prop::sample::select(vec!["UTC", "Pacific/Kiritimati", "Etc/GMT+12"]),
    ) {
        let moment = Moment { zone: Zone::parse(zone).unwrap(), ..history::testing::moment("2026-11-22") };
        let seen: Vec<Record> = snapshots.iter().cloned().map(Record::from).collect();
        for require_exported in [false, true] {
            let held = DeletionBlocks { require_exported, ..DeletionBlocks::default() };
            let _ = mark_and_delete::decide(&seen, &held, &moment);
        }
        let _ = mark_and_delete::left_behind(&seen, &moment);
        let _ = retain::retain(&seen, Policy { daily: 2, weekly: 1, monthly: 1 }, &moment);
        let mut rows: Vec<Row> = snapshots.iter().cloned().map(Row::from).collect();
        listing::sort(&mut rows, moment.now);
        for row in &rows {
            let _ = (row.readiness(), row.held(), words::age(moment.now - row.made(moment.now)));
        }
        let backups: Vec<Backup> = snapshots.iter().cloned().map(Backup::from).collect();
        let leftovers = status::leftovers(Vec::new(), &backups, |_| true);
        let read = status::Read {
            scope: None,
            snapshots: backups,
            claims: Vec::new(),
            schedules: Vec::new(),
            exports: Vec::new(),
            config_maps: None,
            leftovers: Some(leftovers),
            unread: Vec::new(),
            require_exported: true,
        };
        let report = status::report(read, &moment);
        let _ = crate::core::health::metrics::text(&report);
        let _ = serde_json::to_string(&report);
        let _ = verify::choose(&snapshots, None, "data", moment.now);
        let sources: Sources = snapshots.iter().cloned().filter_map(Source::of).collect();
        let _ = sources.change(&json!({"metadata": {"name": "c"}, "spec": {"volumeSnapshotRef": {"uid": "u"}}}));
        let namespace_objects = NamespaceObjects { snapshots: snapshots.clone(), ..NamespaceObjects::default() };
        for snapshot in &snapshots {
            let meta = &snapshot.metadata;
            let claim = Pvc::default();
            let _ = namespace_objects.objections(snapshot, &moment);
            let _ = find_proof::find(Engine::Postgres, &claim, &snapshots, (20, "0"), "/d");
            let proofs = verify::proofs(snapshot).unwrap_or_default();
            let noted = ClaimTemplate::noted(&meta.annotations);
            let _ = verify::volume(snapshot, noted.clone());
            let _ = verify::pod_template(&[], proofs.first().and_then(|(_, all)| all.first()), "data");
            let facts = Facts { tables: u64::MAX, rows: u64::MAX, ..Facts::default() };
            let facts = BTreeMap::from([(Engine::Postgres, facts.clone()), (Engine::MySql, facts)]);
            for verdict in [Verdict::Good(facts), Verdict::Bad("x".into())] {
                let _ = verify::stamp(meta, &verdict, moment.now, moment.zone, u64::MAX);
            }
            let template = new_claim::template(snapshot, None);
            let _ = template.map(|template| new_claim::claim(&template, "new", "shop", &meta.name, snapshot));
            let _ = new_claim::assumed("new", snapshot, None);
            let _ = (new_claim::guessed_claim(snapshot), new_claim::of_claim(snapshot));
            let _ = namespace_objects.plan(snapshot, "safety");
            if let Some(journal) = in_place::journal(snapshot) {
                let _ = (journal.claim_state(&namespace_objects, snapshot), journal.next_step(&namespace_objects, snapshot), journal.others(&namespace_objects, snapshot));
                let _ = journal.safety("data", "shop", None, moment.now, moment.zone);
                let _ = (journal.replacement("shop", snapshot), Journal::patch(Some(&journal), snapshot));
            }
            let content = Content { metadata: meta.clone(), ..Content::default() };
            let _ = clone::clone(snapshot, &content, "other");
        }
    }

    #[test]
    fn any_value_is_read_or_refused(value in text()) {
        let _ = (quantity::bytes(&value), history::date(&value), labels::check_value(&value));
        let _ = (serde_json::from_str::<Proof>(&value), serde_json::from_str::<Journal>(&value));
        let _ = (grants::account(&value), verify::engine_of(&value), verify::job_name(&verify::RESTORE_TEST, &value, "abcdef"));
        let _ = labels::pvc_value(&value);
    }
}
