//! The record of an export on its snapshot: a label with the day, and an annotation that says where the copy is.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::escape;
use crate::core::export::{ExportContent, ExportTool};
use crate::core::kube::labels;
use crate::core::kube::objects::Meta;
use crate::core::time_zone::Zone;

/// The longest address of a repository that is noted, in characters.
const LONGEST: usize = 512;

/// Where the copy of a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportRecord {
    pub tool: ExportTool,
    pub what: ExportContent,
    /// The repository's address, without user, password and parameters.
    pub repository: String,
    /// The restic snapshots of the files, and the manifest's last; empty for other tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// The full name of the manifest.
    pub manifest: String,
    /// The SHA-256 of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// How many bytes were sent and read back.
    pub bytes: u64,
    pub files: u64,
    /// When it was proven, RFC 3339.
    pub at: String,
    pub seconds: u64,
    /// When `verify --from-export` last found that the copy can be restored, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// Why it is no copy any more, as `verify --from-export` found: then the label is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
}

impl ExportRecord {
    /// The record of a snapshot, if its copy was proven. What has no time is no proof.
    pub fn of(meta: &Meta) -> Option<ExportRecord> {
        meta.labels.get(labels::EXPORTED)?;
        let record: ExportRecord = serde_json::from_str(meta.annotations.get(labels::EXPORT)?).ok()?;
        record.time().map(|_| record)
    }

    /// When it was proven.
    pub fn time(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.at).ok().map(|at| at.to_utc())
    }
}

/// The address as it is noted: one line, and not too long.
pub fn address(text: &str) -> String {
    escape::short(&escape::one_line(text), LONGEST).into_owned()
}

/// The text for [`ExportRecord::at`].
pub fn time_text(now: DateTime<Utc>, zone: Zone) -> String {
    zone.local(now).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// The merge patch that stamps a snapshot, only in the version of `meta`.
pub fn stamp(meta: &Meta, record: &ExportRecord, now: DateTime<Utc>, zone: Zone) -> Value {
    let day = zone.local(now).format("%Y-%m-%d").to_string();
    json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version,
        "labels": {labels::EXPORTED: day}, "annotations": {labels::EXPORT: json!(record).to_string()},
    }})
}

/// The merge patch for the outcome of a restore test of the copy, only in the version of `meta`: when it was good, or why it is bad.
/// A bad copy takes the label away, so that nothing relies on it, and the next export sends another.
pub fn tested(meta: &Meta, record: &ExportRecord, outcome: Result<String, String>) -> Value {
    let (verified, bad) = match outcome {
        Ok(at) => (Some(at), None),
        Err(why) => (None, Some(escape::short(&why, LONGEST).into_owned())),
    };
    let mut labels = json!({});
    if bad.is_some() {
        labels[labels::EXPORTED] = Value::Null;
    }
    let record = ExportRecord { verified, bad, ..record.clone() };
    json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version,
        "labels": labels, "annotations": {labels::EXPORT: json!(record).to_string()},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_for_one_version_and_is_read_again() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T23:30:00Z").unwrap().to_utc();
        let zone = Zone::parse("Europe/Vienna").unwrap();
        let record = ExportRecord {
            tool: ExportTool::Restic,
            what: ExportContent::Dump,
            repository: address("rest:https://far/\u{1b}[2Jx"),
            ids: vec!["f06b65f1".into()],
            manifest: "/shop/data/manifest.json".into(),
            manifest_sha256: Some("c".repeat(64)),
            bytes: 5000,
            files: 1,
            at: time_text(now, zone),
            seconds: 3,
            verified: None,
            bad: None,
        };
        assert!(!record.repository.contains('\u{1b}'));
        let mut meta = Meta { uid: "u".into(), resource_version: "7".into(), ..Meta::default() };
        let patch = stamp(&meta, &record, now, zone);
        assert_eq!((&patch["metadata"]["uid"], &patch["metadata"]["resourceVersion"]), (&json!("u"), &json!("7")));
        assert_eq!(patch["metadata"]["labels"], json!({"backup-ns.sh/exported": "2026-11-23"}));
        let note = patch["metadata"]["annotations"]["backup-ns.sh/export"].as_str().unwrap();
        meta.annotations.insert(labels::EXPORT.into(), note.into());
        assert_eq!(ExportRecord::of(&meta), None, "without the label there is no proven copy");
        meta.labels.insert(labels::EXPORTED.into(), "2026-11-23".into());
        let again = ExportRecord::of(&meta).unwrap();
        assert_eq!((again.time(), &again), (Some(now), &record));

        let good = tested(&meta, &record, Ok("2026-11-24T00:00:00Z".into()));
        let noted = |patch: &Value| {
            let text = patch["metadata"]["annotations"]["backup-ns.sh/export"].as_str().unwrap();
            serde_json::from_str::<ExportRecord>(text).unwrap()
        };
        assert_eq!(good["metadata"]["labels"], json!({}));
        assert_eq!(noted(&good).verified.as_deref(), Some("2026-11-24T00:00:00Z"));
        let bad = tested(&meta, &noted(&good), Err("its SHA-256".into()));
        assert_eq!(bad["metadata"]["labels"], json!({"backup-ns.sh/exported": null}));
        assert_eq!((noted(&bad).verified, noted(&bad).bad.as_deref()), (None, Some("its SHA-256")));

        meta.annotations.insert(labels::EXPORT.into(), json!(ExportRecord { at: "once".into(), ..record }).to_string());
        assert_eq!(
            (ExportRecord::of(&meta), meta.has_proven_copy()),
            (None, false),
            "without a time there is no proof"
        );
        // Retention asks for the same of what every record has.
        let whole: Value = serde_json::from_str(note).unwrap();
        let optional = ["ids", "manifestSha256"];
        for (key, _) in whole.as_object().unwrap().iter().filter(|(key, _)| !optional.contains(&key.as_str())) {
            for broken in [Value::Null, json!([])] {
                let mut broken_record = whole.clone();
                broken_record[key] = broken;
                meta.annotations.insert(labels::EXPORT.into(), broken_record.to_string());
                assert_eq!((ExportRecord::of(&meta), meta.has_proven_copy()), (None, false), "{key}");
            }
        }
        meta.annotations.insert(labels::EXPORT.into(), note.into());
        assert!(meta.has_proven_copy());
        meta.labels.clear();
        assert!(!meta.has_proven_copy());
    }
}
