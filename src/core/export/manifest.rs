//! The manifest of an export: a small file that goes to the repository last, and says what an import needs when the cluster is
//! gone. A copy without a manifest is not finished.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::export::files::ProvenFile;
use crate::core::export::{ExportContent, ExportTool};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::objects::Snapshot;

/// The version of the format.
pub const VERSION: u32 = 1;

/// The name of the manifest below the claim, or with rclone below the snapshot.
pub const NAME: &str = "manifest.json";

/// The name of a whole volume in the folder of a snapshot, with rclone.
pub const WHOLE: &str = "volume";

/// The labels of a snapshot that go with its copy.
const LABELS: [&str; 10] = [
    labels::TYPE,
    labels::PVC,
    labels::POD,
    labels::RUN,
    labels::RETAIN,
    labels::RETAIN_DAYS,
    labels::DAILY,
    labels::WEEKLY,
    labels::MONTHLY,
    labels::VERIFIED,
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportManifest {
    pub version: u32,
    pub backup_ns: String,
    pub namespace: String,
    pub claim: String,
    pub volume_snapshot: String,
    pub uid: String,
    /// When the snapshot was cut.
    pub made: DateTime<Utc>,
    pub tool: ExportTool,
    pub tool_version: String,
    pub what: ExportContent,
    /// The copies, the dumps before the roles of their servers. Empty for a whole volume.
    pub files: Vec<ExportedFile>,
    /// The copy of the whole volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<ExportedVolume>,
    /// The labels of the snapshot, of backup-ns.
    pub labels: BTreeMap<String, String>,
    /// The proof of each engine, as on the snapshot.
    pub proofs: BTreeMap<Engine, Proof>,
    /// The claim, as on the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_template: Option<ClaimTemplate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_class: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<String>,
}

/// The copy of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedFile {
    pub engine: Engine,
    pub database: String,
    #[serde(default)]
    pub is_globals: bool,
    /// Where it lay in the volume.
    pub path_in_volume: String,
    /// Its size and SHA-256 there.
    pub stored_bytes: u64,
    pub stored_sha256: String,
    /// The full name of the copy in the repository.
    pub name: String,
    /// Whether the copy is unpacked.
    pub is_plain: bool,
    /// Size and SHA-256 of the copy.
    pub bytes: u64,
    pub sha256: String,
    /// The restic snapshot that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The copy of a whole volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedVolume {
    pub name: String,
    pub files: u64,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What the container reported of one copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentCopy {
    pub is_plain: bool,
    pub bytes: u64,
    pub sha256: String,
    pub id: Option<String>,
}

impl SentCopy {
    /// From `NUMBER plain|stored BYTES SHA256 ID`, with the number of the file.
    pub fn parse(text: &str) -> Option<(usize, SentCopy)> {
        let words: Vec<&str> = text.split(' ').collect();
        let [number, form, bytes, sha256, id] = words[..] else { return None };
        let is_plain = match form {
            "plain" => true,
            "stored" => false,
            _ => return None,
        };
        let sent = SentCopy { is_plain, bytes: bytes.parse().ok()?, sha256: checked_sum(sha256)?, id: checked_id(id)? };
        Some((number.parse().ok()?, sent))
    }

    /// Of the manifest, from `BYTES SHA256 ID`.
    pub fn parse_manifest(text: &str) -> Option<SentCopy> {
        SentCopy::parse(&format!("0 stored {text}")).map(|(_, sent)| sent)
    }
}

impl ExportedVolume {
    /// From `FILES BYTES ID`.
    pub fn parse(name: &str, text: &str) -> Option<ExportedVolume> {
        let words: Vec<&str> = text.split(' ').collect();
        let [files, bytes, id] = words[..] else { return None };
        let (files, bytes) = (files.parse().ok()?, bytes.parse().ok()?);
        Some(ExportedVolume { name: name.into(), files, bytes, id: checked_id(id)? })
    }
}

fn checked_sum(text: &str) -> Option<String> {
    crate::core::backup::proof::is_sha256(text).then(|| text.into())
}

/// An id of restic, or `-`: it becomes a part of commands.
fn checked_id(text: &str) -> Option<Option<String>> {
    match text {
        "-" => Some(None),
        id if is_id(id) => Some(Some(id.into())),
        _ => None,
    }
}

/// Whether a text is an id of a restic snapshot, perhaps a shortened one.
pub(super) fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where the files of one export are in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    folder: String,
}

impl Layout {
    /// restic finds older copies by their path, so that is the same each time, and absolute. With other tools each snapshot has a
    /// folder.
    pub fn of(tool: ExportTool, namespace: &str, claim: &str, snapshot: &str) -> Layout {
        Layout {
            folder: match tool {
                ExportTool::Restic => format!("/{namespace}/{claim}"),
                ExportTool::Rclone | ExportTool::Command => format!("{namespace}/{claim}/{snapshot}"),
            },
        }
    }

    /// A folder as a copy names it.
    pub(super) fn in_folder(folder: &str) -> Layout {
        Layout { folder: folder.into() }
    }

    /// The name of a file in the folder; `None` if that is elsewhere.
    pub fn own<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.folder.as_str())?.strip_prefix('/')
    }

    /// The full name of a file.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// What a manifest is made of.
#[derive(Debug)]
pub struct Described<'a> {
    pub namespace: &'a str,
    pub claim: &'a str,
    pub snapshot: &'a Snapshot,
    pub proofs: &'a [(Engine, Vec<Proof>)],
    pub tool: ExportTool,
    pub tool_version: &'a str,
    pub what: ExportContent,
    pub files: &'a [(ProvenFile, SentCopy)],
    pub volume: Option<ExportedVolume>,
}

/// The manifest of a finished upload.
pub fn of(described: Described<'_>) -> ExportManifest {
    let snapshot = described.snapshot;
    let meta = &snapshot.metadata;
    let layout = Layout::of(described.tool, described.namespace, described.claim, &meta.name);
    let file = |(file, sent): &(ProvenFile, SentCopy)| ExportedFile {
        engine: file.engine,
        database: file.database.clone(),
        is_globals: file.is_globals,
        path_in_volume: file.path_in_volume.clone(),
        stored_bytes: file.bytes,
        stored_sha256: file.sha256.clone(),
        name: layout.name(if sent.is_plain { &file.plain_name } else { &file.stored_name }),
        is_plain: sent.is_plain,
        bytes: sent.bytes,
        sha256: sent.sha256.clone(),
        id: sent.id.clone(),
    };
    let proofs = described.proofs.iter().filter_map(|(engine, all)| {
        let mut first = all.first()?.clone();
        first.more = all[1..].to_vec();
        Some((*engine, first))
    });
    let labelled = LABELS.into_iter().filter_map(|label| Some((label.to_string(), meta.labels.get(label)?.clone())));
    ExportManifest {
        version: VERSION,
        backup_ns: env!("CARGO_PKG_VERSION").into(),
        namespace: described.namespace.into(),
        claim: described.claim.into(),
        volume_snapshot: meta.name.clone(),
        uid: meta.uid.clone(),
        made: made(snapshot),
        tool: described.tool,
        tool_version: described.tool_version.into(),
        what: described.what,
        files: described.files.iter().map(file).collect(),
        volume: described.volume,
        labels: labelled.collect(),
        proofs: proofs.collect(),
        claim_template: ClaimTemplate::noted(&meta.annotations),
        snapshot_class: snapshot.spec.volume_snapshot_class_name.clone(),
        restore_size: snapshot.status.restore_size.clone(),
    }
}

/// When the snapshot was cut.
pub fn made(snapshot: &Snapshot) -> DateTime<Utc> {
    snapshot.status.creation_time.unwrap_or(snapshot.metadata.creation_timestamp)
}

/// The tags of each copy in restic: its claim, run, snapshot and retention slots. A comma would make two of one.
pub fn tags(claim: &str, snapshot: &Snapshot) -> Vec<String> {
    let noted = |key: &str, label: &str| {
        let value = snapshot.metadata.labels.get(label).filter(|value| labels::check_value(value).is_ok());
        value.filter(|value| !value.is_empty()).map(|value| format!("{key}={value}"))
    };
    let own = [format!("claim={claim}"), format!("snapshot={}", snapshot.metadata.name)];
    let slots = [
        ("run", labels::RUN),
        ("type", labels::TYPE),
        ("daily", labels::DAILY),
        ("weekly", labels::WEEKLY),
        ("monthly", labels::MONTHLY),
    ];
    own.into_iter().chain(slots.into_iter().filter_map(|(key, label)| noted(key, label))).collect()
}

impl ExportManifest {
    /// As it is stored.
    pub fn text(&self) -> String {
        format!("{:#}\n", json!(self))
    }

    /// Reads a manifest, which is untrusted.
    ///
    /// # Errors
    /// Why this version cannot read it.
    pub fn parse(text: &str) -> Result<ExportManifest, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match value["version"].as_u64() {
            Some(version) if version == u64::from(VERSION) => {
                serde_json::from_value(value).map_err(|error| error.to_string())
            }
            Some(version) => Err(format!("it has the version {version}, and this backup-ns reads {VERSION}")),
            None => Err("it has no version".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::export::files;

    fn snapshot() -> Snapshot {
        let proof = json!({
            "tool": "t", "database": "app", "bytes": 100, "sha256": "a".repeat(64), "began": "", "ended": "", "file": "/x/d.gz",
            "pathInVolume": "d.sql.gz", "pod": "db-1", "container": "db",
        });
        serde_json::from_value(json!({
            "metadata": {
                "name": "data-1", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-11-22T12:00:00Z",
                "labels": {
                    "backup-ns.sh/daily": "2026-11-22", "backup-ns.sh/run": "r,1", "backup-ns.sh/type": "cronjob", "app": "x",
                },
                "annotations": {"backup-ns.sh/dump-postgres": proof.to_string(), "backup-ns.sh/claim": "{\"name\":\"data\",\"storage\":\"1Gi\"}"},
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "csi"},
            "status": {"readyToUse": true, "creationTime": "2026-11-22T12:00:05Z", "restoreSize": "2Gi"},
        }))
        .unwrap()
    }

    #[test]
    fn a_manifest_says_what_an_import_needs_and_is_read_again() {
        let snapshot = snapshot();
        let proofs = crate::core::restore::verify::proofs(&snapshot).unwrap();
        let sum = "c".repeat(64);
        let (number, sent) = SentCopy::parse(&format!("0 plain 5000 {sum} f06b65f1")).unwrap();
        assert_eq!(number, 0);
        let files: Vec<_> = files::of_proofs(&proofs).unwrap().into_iter().zip([sent]).collect();
        let manifest = of(Described {
            namespace: "shop",
            claim: "data",
            snapshot: &snapshot,
            proofs: &proofs,
            tool: ExportTool::Restic,
            tool_version: "restic 0.14.0",
            what: ExportContent::Dump,
            files: &files,
            volume: None,
        });
        let again = ExportManifest::parse(&manifest.text()).unwrap();
        assert_eq!(again, manifest);
        let file = &again.files[0];
        assert_eq!((file.name.as_str(), file.bytes, file.stored_bytes), ("/shop/data/d.sql", 5000, 100));
        assert_eq!((file.sha256.as_str(), file.id.as_deref()), (sum.as_str(), Some("f06b65f1")));
        assert_eq!(again.claim_template.unwrap().storage, "1Gi");
        assert_eq!(again.proofs[&Engine::Postgres].path_in_volume, "d.sql.gz");
        assert_eq!(again.labels.len(), 3, "only those of backup-ns");
        let other = manifest.text().replace("\"version\": 1", "\"version\": 2");
        assert_eq!(ExportManifest::parse(&other).unwrap_err(), "it has the version 2, and this backup-ns reads 1");
        assert!(ExportManifest::parse("{}").is_err() && ExportManifest::parse("x").is_err());
    }

    #[test]
    fn what_the_container_reports_is_checked() {
        let sum = "c".repeat(64);
        assert!(SentCopy::parse(&format!("0 stored 5 {sum} -")).unwrap().1.id.is_none());
        for text in [
            String::new(),
            format!("0 odd 5 {sum} -"),
            format!("0 plain 5 {} -", "C".repeat(64)),
            format!("0 plain x {sum} -"),
            format!("0 plain 5 {sum} short"),
            format!("0 plain 5 {sum} --option0"),
            format!("0 plain 5 {sum} f06b65f1 more"),
        ] {
            assert_eq!(SentCopy::parse(&text), None, "{text}");
        }
        assert_eq!(SentCopy::parse_manifest(&format!("9 {sum} f06b65f1")).unwrap().bytes, 9);
        assert_eq!(ExportedVolume::parse("v", "3 70 -").unwrap().bytes, 70);
        assert_eq!(ExportedVolume::parse("v", "3 70"), None);
    }

    #[test]
    fn restic_finds_older_copies_by_their_path_and_tags_have_no_comma() {
        let name = |tool| Layout::of(tool, "shop", "data", "data-1").name(NAME);
        assert_eq!(name(ExportTool::Restic), "/shop/data/manifest.json");
        assert_eq!(name(ExportTool::Rclone), "shop/data/data-1/manifest.json");
        let tags = tags("data", &snapshot());
        assert_eq!(tags, ["claim=data", "snapshot=data-1", "type=cronjob", "daily=2026-11-22"]);
    }
}
