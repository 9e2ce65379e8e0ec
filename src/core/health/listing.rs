//! The rows of `list`: what is kept of a snapshot, their order, and the filter. Must not know how a list is printed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::export::record::ExportRecord;
use crate::core::kube::labels;
use crate::core::kube::objects::Snapshot;
use crate::core::kube::quantity;
use crate::core::retention::history;
use crate::core::retention::slot::SlotKind;

/// One snapshot, with only what lists show: tens of thousands are in memory at once.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub namespace: String,
    pub name: String,
    /// The claim it was cut from; of a snapshot that was bound to stored data by hand, by its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pvc: Option<String>,
    /// The `type` label; None if another tool made it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The values of its slot labels, in the order of [`SlotKind::ALL`].
    #[serde(serialize_with = "by_kind")]
    pub slots: [Option<String>; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain_days: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// The day on which its copy outside the cluster was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    pub ready: bool,
    /// Why it is distrusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distrusted: Option<String>,
    pub deleting: bool,
    /// Whether it is gone, as only a watch knows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    pub created: DateTime<Utc>,
    /// The time of the cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<DateTime<Utc>>,
    /// The smallest volume it can be restored to, a quantity such as `1Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<String>,
    #[serde(rename = "volumeSnapshotContent", skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(serialize_with = "by_engine")]
    pub dumps: Box<[(Engine, Proof)]>,
    /// Where that copy is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<Box<ExportRecord>>,
}

fn by_kind<S: Serializer>(slots: &[Option<String>; 3], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(SlotKind::ALL.into_iter().zip(slots).filter_map(|(kind, slot)| Some((kind, slot.as_ref()?))))
}

fn by_engine<S: Serializer>(dumps: &[(Engine, Proof)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(dumps.iter().map(|(engine, proof)| (engine, proof)))
}

/// The valid proofs on a snapshot.
pub fn proofs(annotations: &BTreeMap<String, String>) -> Box<[(Engine, Proof)]> {
    let read = |engine: Engine| Some((engine, serde_json::from_str(annotations.get(engine.annotation())?).ok()?));
    Engine::ALL.into_iter().filter_map(read).collect()
}

impl From<Snapshot> for Row {
    fn from(snapshot: Snapshot) -> Row {
        let Snapshot { metadata: mut meta, spec, status } = snapshot;
        let dumps = proofs(&meta.annotations);
        let export = ExportRecord::of(&meta).map(Box::new);
        let mut label = |key: &str| meta.labels.remove(key).filter(|value| !value.is_empty());
        let noted = label(labels::PVC);
        Row {
            pvc: spec.source.persistent_volume_claim_name.or(noted),
            kind: label(labels::TYPE),
            slots: SlotKind::ALL.map(|kind| label(kind.label())),
            retain: label(labels::RETAIN),
            retain_days: label(labels::RETAIN_DAYS),
            delete_after: label(labels::DELETE_AFTER),
            verified: label(labels::VERIFIED),
            exported: label(labels::EXPORTED).filter(|_| export.is_some()),
            ready: status.ready_to_use == Some(true),
            distrusted: meta.annotations.remove(labels::DISTRUSTED),
            deleting: meta.deletion_timestamp.is_some(),
            deleted: false,
            created: meta.creation_timestamp,
            cut: status.creation_time,
            restore_size: status.restore_size,
            content: status.bound_volume_snapshot_content_name,
            error: status.error.map(|error| error.message.unwrap_or_else(|| "no reason given".into())),
            dumps,
            export,
            namespace: meta.namespace,
            name: meta.name,
        }
    }
}

impl Row {
    /// The time of its data, see [`history::made`].
    pub fn made(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        history::made(self.cut, self.created, now)
    }

    /// Whether it is ready and not distrusted.
    pub fn is_good(&self) -> bool {
        self.ready && self.distrusted.is_none() && !self.deleting
    }

    /// Whether it is of the claim and of one of the kinds; no claim or no kinds match all.
    pub fn matches(&self, pvc: Option<&str>, kinds: &[&str]) -> bool {
        let of_kind = |kind: &&str| {
            let slots = SlotKind::ALL.into_iter().zip(&self.slots);
            self.kind.as_deref() == Some(kind)
                || slots.into_iter().any(|(of, slot)| slot.is_some() && of.to_string() == **kind)
        };
        // Only a name from the label may be shortened.
        let is_of = |pvc: &str| self.pvc.as_deref().is_some_and(|own| own == pvc || own == labels::pvc_value(pvc));
        pvc.is_none_or(is_of) && (kinds.is_empty() || kinds.iter().any(of_kind))
    }

    /// `true`, `false`, `failed`, `distrusted`, `deleting` or `deleted`.
    pub fn readiness(&self) -> &'static str {
        match self {
            Row { deleted: true, .. } => "deleted",
            Row { deleting: true, .. } => "deleting",
            Row { ready: true, distrusted: Some(_), .. } => "distrusted",
            Row { ready: true, .. } => "true",
            Row { error: Some(_), .. } => "failed",
            _ => "false",
        }
    }

    /// The values of its slots, with commas in between.
    pub fn held(&self) -> String {
        Vec::from_iter(self.slots.iter().flatten().map(String::as_str)).join(",")
    }
}

/// Sorts by namespace, oldest first.
pub fn sort(rows: &mut [Row], now: DateTime<Utc>) {
    rows.sort_by(|a, b| (&a.namespace, a.made(now), &a.name).cmp(&(&b.namespace, b.made(now), &b.name)));
}

/// A column to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    Name,
    Pvc,
    Kind,
    DeleteAfter,
    Ready,
    Age,
    Size,
    Verified,
    Exported,
}

impl SortKey {
    /// The keys by the names of their columns.
    pub const NAMES: [(&str, SortKey); 9] = [
        ("name", SortKey::Name),
        ("pvc", SortKey::Pvc),
        ("type", SortKey::Kind),
        ("delete-after", SortKey::DeleteAfter),
        ("ready", SortKey::Ready),
        ("age", SortKey::Age),
        ("size", SortKey::Size),
        ("verified", SortKey::Verified),
        ("exported", SortKey::Exported),
    ];

    /// Sorts by this column, and what is equal oldest first. An empty cell comes first.
    pub fn sort(self, rows: &mut [Row], now: DateTime<Utc>) {
        rows.sort_by(|a, b| (a.made(now), &a.namespace, &a.name).cmp(&(b.made(now), &b.namespace, &b.name)));
        let size = |row: &Row| row.restore_size.as_deref().and_then(quantity::bytes);
        match self {
            SortKey::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
            SortKey::Pvc => rows.sort_by(|a, b| a.pvc.cmp(&b.pvc)),
            SortKey::Kind => rows.sort_by(|a, b| a.kind.cmp(&b.kind)),
            SortKey::DeleteAfter => rows.sort_by(|a, b| a.delete_after.cmp(&b.delete_after)),
            SortKey::Ready => rows.sort_by(|a, b| a.readiness().cmp(b.readiness())),
            SortKey::Age => {}
            SortKey::Size => rows.sort_by_key(size),
            SortKey::Verified => rows.sort_by(|a, b| a.verified.cmp(&b.verified)),
            SortKey::Exported => rows.sort_by(|a, b| a.exported.cmp(&b.exported)),
        }
    }
}

/// The rows that a watch has printed, as data, by namespace and name.
#[derive(Debug, Clone, Default)]
pub struct Printed(BTreeMap<(String, String), (String, Row)>);

impl Printed {
    /// The rows that are new or changed, in their order, then those that are gone. `all` has the rows that `is_wanted` leaves out, too:
    /// what is only left out is not gone.
    pub fn changes(&mut self, all: &[Row], is_wanted: impl Fn(&Row) -> bool) -> Vec<Row> {
        let key = |row: &Row| (row.namespace.clone(), row.name.clone());
        let mut changes = Vec::new();
        for row in all.iter().filter(|row| is_wanted(row)) {
            let data = serde_json::to_string(row).unwrap_or_default();
            if self.0.get(&key(row)).is_none_or(|(before, _)| *before != data) {
                changes.push(row.clone());
                self.0.insert(key(row), (data, row.clone()));
            }
        }
        let there: BTreeSet<_> = all.iter().map(|row| (row.namespace.as_str(), row.name.as_str())).collect();
        let gone: Vec<_> = self.0.keys().filter(|(space, name)| !there.contains(&(space, name))).cloned().collect();
        let gone = gone.into_iter().filter_map(|key| self.0.remove(&key));
        changes.extend(gone.map(|(_, row)| Row { deleted: true, ready: false, ..row }));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn row(more: Value) -> Row {
        let mut object = json!({
            "metadata": {"namespace": "shop", "name": "a", "creationTimestamp": "2026-11-22T02:00:00Z"},
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
        });
        for (key, value) in more.as_object().unwrap() {
            match object.get_mut(key).and_then(Value::as_object_mut) {
                Some(there) => there.extend(value.as_object().unwrap().clone()),
                None => object[key] = value.clone(),
            }
        }
        serde_json::from_value::<Snapshot>(object).unwrap().into()
    }

    #[test]
    fn an_object_becomes_a_row_with_exact_values() {
        let proof = json!({
            "tool": "pg_dump", "database": "app", "bytes": 1234, "sha256": "e3", "began": "2026-11-22T01:58:00Z",
            "ended": "2026-11-22T01:59:00Z", "file": "/d", "pathInVolume": "d", "pod": "p", "container": "c",
        });
        let row = row(json!({
            "metadata": {
                "labels": {
                    "backup-ns.sh/type": "cronjob", "backup-ns.sh/daily": "2026-11-22", "backup-ns.sh/monthly": "2026-11",
                    "backup-ns.sh/retain": "daily_weekly_monthly", "backup-ns.sh/verified": "2026-11-23", "app": "x",
                },
                "annotations": {"backup-ns.sh/dump-postgres": proof.to_string(), "backup-ns.sh/dump-mysql": "no JSON"},
            },
            "status": {
                "readyToUse": true, "creationTime": "2026-11-22T02:00:01Z", "restoreSize": "1Gi",
                "boundVolumeSnapshotContentName": "c",
            },
        }));
        let expected = json!({
            "namespace": "shop", "name": "a", "pvc": "data", "type": "cronjob",
            "slots": {"daily": "2026-11-22", "monthly": "2026-11"}, "retain": "daily_weekly_monthly",
            "verified": "2026-11-23", "ready": true, "deleting": false, "created": "2026-11-22T02:00:00Z",
            "cut": "2026-11-22T02:00:01Z", "restoreSize": "1Gi", "volumeSnapshotContent": "c",
            "dumps": {"postgres": proof},
        });
        assert_eq!(serde_json::to_value(&row).unwrap(), expected);
        assert_eq!(row.held(), "2026-11-22,2026-11");
    }

    #[test]
    fn a_copy_counts_only_with_its_record() {
        let record = json!({
            "tool": "restic", "what": "dump", "repository": "s3:s3.example.com/b", "manifest": "/shop/data/manifest.json",
            "bytes": 5, "files": 1, "at": "2026-11-23T03:00:00+01:00", "seconds": 3,
        });
        let of = |note: &str| {
            let labels = json!({"backup-ns.sh/exported": "2026-11-23"});
            let row = row(json!({"metadata": {"labels": labels, "annotations": {"backup-ns.sh/export": note}}}));
            let row = serde_json::to_value(&row).unwrap();
            (row["exported"].clone(), row["export"].clone())
        };
        assert_eq!(of(&record.to_string()), (json!("2026-11-23"), record));
        assert_eq!(of("{}"), (Value::Null, Value::Null));
    }

    #[test]
    fn the_readiness_is_a_word() {
        let distrusted = json!({"annotations": {"backup-ns.sh/distrusted": "why"}});
        let deleting = json!({"deletionTimestamp": "2026-11-22T03:00:00Z"});
        for (more, word) in [
            (json!({}), "false"),
            (json!({"status": {"readyToUse": true, "error": {"message": "before"}}}), "true"),
            (json!({"status": {"readyToUse": false, "error": {"message": "no"}}}), "failed"),
            (json!({"status": {"error": {}}}), "failed"),
            (json!({"status": {"readyToUse": true}, "metadata": distrusted}), "distrusted"),
            (json!({"status": {"readyToUse": true}, "metadata": deleting}), "deleting"),
        ] {
            assert_eq!(row(more.clone()).readiness(), word, "{more}");
        }
    }

    #[test]
    fn good_is_what_is_ready_and_trusted() {
        let good = |more: Value| row(more).is_good();
        assert!(good(json!({"status": {"readyToUse": true}})));
        assert!(!good(json!({"status": {"readyToUse": false}})));
        let ready = json!({"readyToUse": true});
        assert!(!good(json!({"status": ready, "metadata": {"annotations": {"backup-ns.sh/distrusted": "why"}}})));
        assert!(!good(json!({"status": ready, "metadata": {"deletionTimestamp": "2026-11-22T12:00:00Z"}})));
    }

    #[test]
    fn kinds_are_any_of_them_and_the_claim_besides() {
        let labels = |labels: Value| row(json!({"metadata": {"labels": labels}}));
        let weekly = labels(json!({"backup-ns.sh/type": "cronjob", "backup-ns.sh/weekly": "2026-w47"}));
        let foreign = labels(json!({"app": "x"}));
        for (pvc, kinds, both) in [
            (None, &[][..], (true, true)),
            (Some("data"), &[], (true, true)),
            (Some("logs"), &[], (false, false)),
            (None, &["weekly"], (true, false)),
            (None, &["daily"], (false, false)),
            (None, &["daily", "cronjob"], (true, false)),
            (None, &["adhoc"], (false, false)),
            (Some("logs"), &["weekly"], (false, false)),
        ] {
            assert_eq!((weekly.matches(pvc, kinds), foreign.matches(pvc, kinds)), both, "{pvc:?} {kinds:?}");
        }
        // Bound by hand: only the label names the claim, and shortens a long name.
        let long = "p".repeat(100);
        let bound = row(json!({
            "metadata": {"labels": {"backup-ns.sh/pvc": labels::pvc_value(&long)}},
            "spec": {"source": {"persistentVolumeClaimName": null}},
        }));
        assert!(bound.matches(Some(&long), &[]) && !bound.matches(Some("data"), &[]));
    }

    #[test]
    fn rows_are_sorted_by_a_column_and_then_by_age() {
        let of = |name: &str, created: &str, more: Value| {
            let mut object = json!({
                "metadata": {"name": name, "creationTimestamp": created, "labels": more["labels"]},
                "spec": {"source": {"persistentVolumeClaimName": more["pvc"]}}, "status": more["status"],
            });
            object["metadata"]["namespace"] = more["namespace"].clone();
            row(object)
        };
        let labels = |kind: &str, after: &str| json!({"backup-ns.sh/type": kind, "backup-ns.sh/delete-after": after});
        let rows = [
            of(
                "b",
                "2026-11-22T02:00:00Z",
                json!({"namespace": "shop", "pvc": "data", "labels": labels("cronjob", "2026-12-02"),
                "status": {"readyToUse": true, "restoreSize": "1Gi"}}),
            ),
            of(
                "a",
                "2026-11-23T02:00:00Z",
                json!({"namespace": "bank", "pvc": "data", "labels": labels("adhoc", ""),
                "status": {"readyToUse": false, "restoreSize": "900Mi"}}),
            ),
            of(
                "c",
                "2026-11-21T02:00:00Z",
                json!({"namespace": "shop", "pvc": "cache", "labels": labels("cronjob", "2026-12-01"),
                "status": {"readyToUse": true, "restoreSize": "no size"}}),
            ),
        ];
        for (key, expected) in [
            ("name", "a b c"),
            ("pvc", "c b a"),
            ("type", "a c b"),
            ("delete-after", "a c b"),
            ("ready", "a c b"),
            ("age", "c b a"),
            ("size", "c a b"),
            ("verified", "c b a"),
            ("exported", "c b a"),
        ] {
            let mut rows = rows.clone();
            let found = SortKey::NAMES.into_iter().find(|(name, _)| *name == key).unwrap();
            found.1.sort(&mut rows, history::testing::at("2026-11-24T12:00"));
            assert_eq!(Vec::from_iter(rows.iter().map(|row| row.name.as_str())).join(" "), expected, "{key}");
        }
    }

    #[test]
    fn a_watch_prints_each_change_once() {
        let named = |name: &str, ready: bool| row(json!({"metadata": {"name": name}, "status": {"readyToUse": ready}}));
        let mut printed = Printed::default();
        let mut changes = |rows: &[Row]| {
            let changes = printed.changes(rows, |row| row.name != "filtered");
            Vec::from_iter(changes.iter().map(|row| format!("{} {}", row.name, row.readiness()))).join(", ")
        };
        assert_eq!(changes(&[named("b", false), named("a", true), named("filtered", true)]), "b false, a true");
        assert_eq!(changes(&[named("b", false), named("a", true)]), "");
        assert_eq!(changes(&[named("b", true), named("a", true)]), "b true");
        assert_eq!(changes(&[named("a", true)]), "b deleted");
        assert_eq!(changes(&[named("a", true)]), "");
        assert_eq!(changes(&[named("b", true), named("a", true)]), "b true");
    }

    #[test]
    fn the_oldest_comes_first_within_its_namespace() {
        let at = |namespace: &str, name: &str, created: &str, cut: Option<&str>| {
            row(json!({
                "metadata": {"namespace": namespace, "name": name, "creationTimestamp": created},
                "status": {"creationTime": cut},
            }))
        };
        let mut rows = [
            at("shop", "c", "2026-11-22T02:00:00Z", None),
            at("shop", "b", "2026-11-22T02:00:00Z", None),
            // Bound again later to data of before.
            at("shop", "d", "2026-11-23T02:00:00Z", Some("2026-11-20T02:00:00Z")),
            // Cut by a driver whose clock was wrong.
            at("shop", "a", "2026-11-19T02:00:00Z", Some("2028-11-19T02:00:00Z")),
            at("bank", "z", "2026-11-24T02:00:00Z", None),
        ];
        sort(&mut rows, history::testing::at("2026-11-24T12:00"));
        assert_eq!(rows.each_ref().map(|row| row.name.as_str()), ["z", "a", "d", "b", "c"]);
    }
}
