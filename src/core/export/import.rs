//! The way back from a repository: which copies it has, which one is meant, and what of it becomes what. A repository is untrusted.
//! Must not know how it is read.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::core::backup::name;
use crate::core::backup::proof::{Proof, is_sha256};
use crate::core::engine::Engine;
use crate::core::export::files::check_path;
use crate::core::export::manifest::{self, ExportManifest, ExportedFile, Layout};
use crate::core::export::record::ExportRecord;
use crate::core::export::{ExportContent, ExportTool};
use crate::core::kube::labels;
use crate::core::restore::verify::{self, ScratchVolume};

/// The word for the newest copy.
pub const LATEST: &str = "latest";

/// What ends the name of a file whose text is not compressed, for the scripts that read it.
const PLAIN: &str = ".backup-ns-copy.from.sql";

/// A finished copy in a repository, by the name of its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyEntry {
    /// What a user calls it: the beginning of the restic snapshot that holds the manifest, else `NAMESPACE/CLAIM/SNAPSHOT`.
    pub id: String,
    /// The full name of the manifest.
    pub manifest: String,
    /// The restic snapshot that holds the manifest.
    pub restic: Option<String>,
    pub namespace: String,
    pub claim: String,
    /// When the volume was cut, or with rclone when the manifest was written.
    pub time: DateTime<Utc>,
}

/// The namespace, and perhaps the claim, that copies are of: `NAMESPACE` or `NAMESPACE/CLAIM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiesOf {
    pub namespace: String,
    pub claim: Option<String>,
}

impl CopiesOf {
    /// As `--of` has it.
    ///
    /// # Errors
    /// What is accepted.
    pub fn parse(text: &str) -> Result<CopiesOf, String> {
        let (namespace, claim) = match text.split_once('/') {
            Some((namespace, claim)) => (namespace, Some(claim)),
            None => (text, None),
        };
        let are_names =
            name::check_name(namespace).is_ok() && claim.is_none_or(|claim| name::check_name(claim).is_ok());
        let of = CopiesOf { namespace: namespace.into(), claim: claim.map(str::to_string) };
        are_names.then_some(of).ok_or_else(|| "NAMESPACE or NAMESPACE/CLAIM".into())
    }

    fn has(&self, entry: &CopyEntry) -> bool {
        self.namespace == entry.namespace && self.claim.as_ref().is_none_or(|claim| *claim == entry.claim)
    }

    fn word(&self) -> String {
        self.claim.as_ref().map_or_else(|| self.namespace.clone(), |claim| format!("{}/{claim}", self.namespace))
    }
}

/// The fields of restic's snapshots that are needed.
#[derive(Deserialize)]
struct ResticSnapshot {
    id: String,
    time: DateTime<Utc>,
    paths: Vec<String>,
}

impl CopyEntry {
    /// From a line of the tool's list: restic's JSON of a snapshot, or `TIME;NAME`. `None` if it is no copy of backup-ns.
    pub fn parse(tool: ExportTool, line: &str) -> Option<CopyEntry> {
        match tool {
            ExportTool::Restic => {
                let ResticSnapshot { id, time, paths } = serde_json::from_str(line).ok()?;
                let [path] = &paths[..] else { return None };
                let names: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
                let [namespace, claim, manifest::NAME] = names[..] else { return None };
                let short = id.get(..8).filter(|_| manifest::is_id(&id))?.to_string();
                CopyEntry::of(short, path, Some(id), (namespace, claim), time)
            }
            ExportTool::Rclone => {
                let (time, path) = line.split_once(';')?;
                let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").ok()?.and_utc();
                CopyEntry { time, ..CopyEntry::named(path.strip_suffix(manifest::NAME)?.strip_suffix('/')?)? }.into()
            }
            ExportTool::Command => None,
        }
    }

    /// The copy `NAMESPACE/CLAIM/SNAPSHOT`, which is known by its name alone.
    pub fn named(id: &str) -> Option<CopyEntry> {
        let [namespace, claim, snapshot] = id.split('/').collect::<Vec<_>>()[..] else { return None };
        name::check_name(snapshot).ok()?;
        let path = format!("{id}/{}", manifest::NAME);
        CopyEntry::of(id.into(), &path, None, (namespace, claim), DateTime::UNIX_EPOCH)
    }

    /// The copy of which a snapshot has the record.
    pub fn recorded(record: &ExportRecord) -> Option<CopyEntry> {
        let path = record.manifest.strip_suffix(manifest::NAME)?.strip_suffix('/')?;
        match record.tool {
            ExportTool::Restic => {
                let id = record.ids.last().filter(|id| manifest::is_id(id))?;
                let (namespace, claim) = path.strip_prefix('/')?.split_once('/')?;
                let names = (namespace, claim);
                CopyEntry::of(id.clone(), &record.manifest, Some(id.clone()), names, DateTime::UNIX_EPOCH)
            }
            ExportTool::Rclone | ExportTool::Command => CopyEntry::named(path),
        }
    }

    fn of(
        id: String,
        manifest: &str,
        restic: Option<String>,
        (namespace, claim): (&str, &str),
        time: DateTime<Utc>,
    ) -> Option<CopyEntry> {
        let are_names = name::check_name(namespace).is_ok() && name::check_name(claim).is_ok();
        are_names.then(|| CopyEntry {
            id,
            manifest: manifest.into(),
            restic,
            namespace: namespace.into(),
            claim: claim.into(),
            time,
        })
    }

    fn is_called(&self, id: &str) -> bool {
        match &self.restic {
            Some(own) => id.len() >= 4 && own.starts_with(id),
            None => self.id == id,
        }
    }
}

/// The copies of `of`, or all, oldest first.
pub fn of(entries: Vec<CopyEntry>, of: Option<&CopiesOf>) -> Vec<CopyEntry> {
    let mut entries: Vec<CopyEntry> =
        entries.into_iter().filter(|entry| of.is_none_or(|wanted| wanted.has(entry))).collect();
    entries.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));
    entries
}

/// The copies with the time of their data in the place of that at which they were sent. `made` has it for each of them by its manifest;
/// one without is left out.
pub fn by_data(entries: Vec<CopyEntry>, made: impl Iterator<Item = Option<DateTime<Utc>>>) -> Vec<CopyEntry> {
    entries.into_iter().zip(made).filter_map(|(entry, made)| Some(CopyEntry { time: made?, ..entry })).collect()
}

/// Whether a manifest, with its SHA-256 and the uid of the VolumeSnapshot in it, is the one that an export recorded on the snapshot `uid`.
/// A VolumeSnapshot that was made anew for the same data has another uid, and keeps the record.
pub fn is_sent(record: &ExportRecord, (sha256, of): (&str, &str), uid: &str) -> bool {
    record.manifest_sha256.as_ref().map_or(of == uid, |sum| sum == sha256)
}

/// The copy that is called `id`, or with [`LATEST`] the newest of `wanted`.
///
/// # Errors
/// No copy has that name, or more than one; with the remedy.
pub fn choose(entries: Vec<CopyEntry>, id: &str, wanted: &CopiesOf) -> Result<CopyEntry, (String, String)> {
    let list = "backup-ns import lists all copies";
    if id == LATEST {
        let newest = of(entries, Some(wanted)).pop();
        return newest.ok_or_else(|| {
            let what = format!("the repository has no copy of {}", wanted.word());
            (what, format!("{list}; name one of them, or with --of NAMESPACE/CLAIM whose newest copy is meant"))
        });
    }
    let mut called: Vec<CopyEntry> = entries.into_iter().filter(|entry| entry.is_called(id)).collect();
    match (called.pop(), called.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            Err((format!("several copies in the repository begin with '{id}'"), format!("name more of it; {list}")))
        }
        (None, _) => Err((format!("the repository has no copy '{id}'"), list.into())),
    }
}

/// A copy in the list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyRow {
    pub id: String,
    pub namespace: String,
    pub claim: String,
    pub made: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<ExportContent>,
    pub bytes: u64,
    pub files: u64,
    /// The dumped databases, each as `postgres:NAME` or `mysql:NAME`.
    pub databases: Vec<String>,
    /// Why its manifest cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl CopyRow {
    pub fn of(entry: &CopyEntry, manifest: Result<&ExportManifest, String>) -> CopyRow {
        let bare = CopyRow {
            id: entry.id.clone(),
            namespace: entry.namespace.clone(),
            claim: entry.claim.clone(),
            made: entry.time,
            ..CopyRow::default()
        };
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(fault) => return CopyRow { fault: Some(fault), ..bare },
        };
        let copies = manifest.files.iter().map(|file| file.bytes);
        let dumps = manifest.proofs.iter().flat_map(|(engine, proof)| {
            std::iter::once(proof).chain(&proof.more).map(|proof| format!("{}:{}", engine.command(), proof.database))
        });
        CopyRow {
            made: manifest.made,
            volume_snapshot: Some(manifest.volume_snapshot.clone()),
            run: manifest.labels.get(labels::RUN).cloned(),
            what: Some(manifest.what),
            bytes: copies.chain(manifest.volume.iter().map(|volume| volume.bytes)).fold(0, u64::saturating_add),
            files: manifest.volume.as_ref().map_or(manifest.files.len() as u64, |volume| volume.files),
            databases: dumps.collect(),
            ..bare
        }
    }
}

/// One copy that is to be brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedCopy {
    /// Its full name in the repository.
    pub name: String,
    pub restic: Option<String>,
    pub bytes: u64,
    /// Its SHA-256; of a whole volume the number of its files.
    pub sum: String,
    /// What it is called where it is brought to.
    pub place: String,
}

impl WantedCopy {
    /// The manifest itself, before anything is known of it.
    pub fn manifest(entry: &CopyEntry) -> WantedCopy {
        WantedCopy {
            name: entry.manifest.clone(),
            restic: entry.restic.clone(),
            bytes: 0,
            sum: String::new(),
            place: manifest::NAME.into(),
        }
    }

    fn of(file: &ExportedFile, place: String) -> WantedCopy {
        WantedCopy {
            name: file.name.clone(),
            restic: file.id.clone(),
            bytes: file.bytes,
            sum: file.sha256.clone(),
            place,
        }
    }

    /// As `import.sh` reads it.
    pub fn values(&self) -> [String; 5] {
        let restic = self.restic.clone().unwrap_or_default();
        [self.name.clone(), restic, self.bytes.to_string(), self.sum.clone(), self.place.clone()]
    }
}

/// Checks that a manifest is of this copy, and that what it names are copies in the same folder.
///
/// # Errors
/// Why it cannot be used.
pub fn check(manifest: &ExportManifest, entry: &CopyEntry, tool: ExportTool) -> Result<(), String> {
    if (&manifest.namespace, &manifest.claim) != (&entry.namespace, &entry.claim) || manifest.tool != tool {
        return Err("the manifest is of another copy".into());
    }
    let folder = entry.manifest.strip_suffix(manifest::NAME).unwrap_or_default();
    let layout = Layout::in_folder(folder.trim_end_matches('/'));
    let has_id = |id: &Option<String>| match tool {
        ExportTool::Restic => id.as_deref().is_some_and(manifest::is_id),
        _ => id.is_none(),
    };
    for file in &manifest.files {
        let own = layout.own(&file.name).ok_or("the manifest names a file of another copy")?;
        check_path(own)?;
        check_path(&file.path_in_volume)?;
        if !has_id(&file.id) || !is_sha256(&file.sha256) || !is_sha256(&file.stored_sha256) {
            return Err("the manifest does not say what a file is".into());
        }
    }
    if let Some(volume) = &manifest.volume
        && !(layout.own(&volume.name) == Some(manifest::WHOLE) && has_id(&volume.id))
    {
        return Err("the manifest names the volume of another copy".into());
    }
    Ok(())
}

/// The copies for a claim: each file under its name in the repository, with the manifest. A whole volume is one copy.
pub fn for_claim(manifest: &ExportManifest, entry: &CopyEntry, described: (u64, &str)) -> Vec<WantedCopy> {
    if let Some(volume) = &manifest.volume {
        return vec![WantedCopy {
            name: volume.name.clone(),
            restic: volume.id.clone(),
            bytes: volume.bytes,
            sum: volume.files.to_string(),
            place: String::new(),
        }];
    }
    let folder = entry.manifest.strip_suffix(manifest::NAME).unwrap_or_default();
    let place = |file: &ExportedFile| file.name.strip_prefix(folder).unwrap_or(&file.name).to_string();
    let files = manifest.files.iter().map(|file| WantedCopy::of(file, place(file)));
    let (bytes, sum) = described;
    files.chain([WantedCopy { bytes, sum: sum.into(), ..WantedCopy::manifest(entry) }]).collect()
}

/// A dump in a copy.
#[derive(Debug, Clone, PartialEq)]
pub struct CopiedDump {
    pub dump: WantedCopy,
    /// The roles or accounts of its server.
    pub globals: Option<WantedCopy>,
    /// The proof, as if the dump had been made as it is brought back.
    pub proof: Proof,
}

/// The dumps of an engine, named so that the scripts which read them know their form.
///
/// # Errors
/// A proven dump is not in the copy, or is another one there.
pub fn dumps(manifest: &ExportManifest, engine: Engine, proofs: &[Proof]) -> Result<Vec<CopiedDump>, String> {
    let of = |(at, proof): (usize, &Proof)| {
        let find = |is_globals: bool, sum: &str| {
            let mut files = manifest.files.iter().filter(|file| file.engine == engine && file.is_globals == is_globals);
            files.find(|file| file.database == proof.database && file.stored_sha256 == sum)
        };
        let lacks = |what: &str| format!("the copy does not hold the {what} of the database {}", proof.database);
        let file = find(false, &proof.sha256).ok_or_else(|| lacks("proven dump"))?;
        let form = match (file.is_plain, file.path_in_volume.ends_with(".zst")) {
            (true, _) => PLAIN,
            (false, true) => ".sql.zst",
            (false, false) => ".sql.gz",
        };
        let place = format!("{at}{form}");
        let globals = match &proof.globals {
            Some(globals) => {
                let file = find(true, &globals.sha256).ok_or_else(|| lacks("file of roles or accounts"))?;
                if (file.bytes, &file.sha256) != (globals.bytes, &globals.sha256) {
                    return Err(lacks("proven file of roles or accounts"));
                }
                Some(WantedCopy::of(file, globals.file(&place).ok_or_else(|| lacks("hash of the file of roles"))?))
            }
            None => None,
        };
        let dump = WantedCopy::of(file, place.clone());
        let proof = Proof {
            path_in_volume: place,
            bytes: file.bytes,
            sha256: file.sha256.clone(),
            more: Vec::new(),
            ..proof.clone()
        };
        Ok(CopiedDump { dump, globals, proof })
    };
    proofs.iter().enumerate().map(of).collect()
}

/// The one dump of an engine that is to be loaded: that of the database `name`, or the only one.
///
/// # Errors
/// The copy has no such dump, or several; with the remedy.
pub fn one_dump(manifest: &ExportManifest, engine: Engine, name: Option<&str>) -> Result<CopiedDump, (String, String)> {
    let all: Vec<Proof> = manifest.proofs.get(&engine).into_iter().flat_map(Proof::all).cloned().collect();
    let names: Vec<&str> = all.iter().map(|proof| proof.database.as_str()).collect();
    let chosen: Vec<Proof> =
        all.iter().filter(|proof| name.is_none_or(|name| proof.database == name)).cloned().collect();
    let others = if names.is_empty() { "another copy".into() } else { format!("--database {}", names.join(" or ")) };
    if manifest.what == ExportContent::Volume {
        let remedy = "bring it back as a claim: backup-ns import ID --pvc NAME";
        return Err(("the copy is of all files of the volume".into(), remedy.into()));
    }
    match &chosen[..] {
        [one] => {
            let found = dumps(manifest, engine, std::slice::from_ref(one));
            let found = found.map_err(|why| (why, "name another copy".to_string()))?;
            found.into_iter().next().ok_or_else(|| ("the copy holds no dump".into(), "name another copy".into()))
        }
        [] => Err((format!("the copy holds no such dump of {engine}"), format!("name {others}"))),
        _ => Err((format!("the copy holds several dumps of {engine}"), format!("name one with {others}"))),
    }
}

/// A volume for what is brought back: as the claim was, in another class perhaps, with room for it.
///
/// # Errors
/// Why there can be no such volume.
pub fn volume(manifest: &ExportManifest, class: Option<&str>, storage: Option<&str>) -> Result<ScratchVolume, String> {
    let mut template = manifest.claim_template.clone().unwrap_or_default();
    if let Some(class) = class {
        template.storage_class_name = Some(class.into());
    }
    // The manifest is untrusted, and the name becomes part of a path of the API.
    if let Some(class) = template.storage_class_name.as_ref().filter(|class| !class.is_empty()) {
        name::check_name(class).map_err(|why| format!("its StorageClass: {why}"))?;
    }
    if let Some(storage) = storage {
        template.storage = storage.into();
        return verify::volume_of(Some(template), None);
    }
    let copies = manifest.files.iter().map(|file| file.bytes);
    let bytes = copies.chain(manifest.volume.iter().map(|volume| volume.bytes)).fold(0, u64::saturating_add);
    let size = manifest.restore_size.as_deref();
    if template.storage.is_empty() && size.is_none() {
        template.storage = "1".into();
    }
    Ok(verify::volume_of(Some(template), size)?.with_room(bytes))
}

/// A claim that goes with its owner until [`keep`] is applied.
pub fn claim(name: &str, namespace: &str, volume: &ScratchVolume, from: &str, owner: &Value, proofs: &Value) -> Value {
    let mut annotations = json!({labels::IMPORTED_FROM: from});
    for (annotation, proof) in proofs.as_object().into_iter().flatten() {
        annotations[annotation] = proof.clone();
    }
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations, "ownerReferences": [owner]},
        "spec": volume.claim_spec(None),
    })
}

/// The proofs of the dumps in a whole volume, as annotations of a claim that has it.
pub fn proofs_of_volume(manifest: &ExportManifest) -> Value {
    let of = |(engine, proof): (&Engine, &Proof)| (engine.annotation().to_string(), json!(json!(proof).to_string()));
    match manifest.what {
        ExportContent::Volume => Value::Object(manifest.proofs.iter().map(of).collect()),
        ExportContent::Dump => json!({}),
    }
}

/// The merge patch that gives a claim other owners.
pub fn owned_by(uid: &str, owners: &[Value]) -> Value {
    json!({"metadata": {"uid": uid, "ownerReferences": owners}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::export::files;
    use crate::core::export::manifest::{Described, SentCopy};
    use crate::core::kube::objects::Snapshot;

    const ID: &str = "5f0c4d0e9a570d2d3f8ad1c55f0c4d0e9a570d2d3f8ad1c55f0c4d0e9a570d2d";

    fn restic(id: &str, path: &str, time: &str) -> String {
        json!({"time": time, "tree": "x", "paths": [path], "hostname": "shop", "tags": ["claim=data"], "id": id})
            .to_string()
    }

    fn entry(id: &str, path: &str, time: &str) -> CopyEntry {
        CopyEntry::parse(ExportTool::Restic, &restic(id, path, time)).unwrap()
    }

    /// The manifest of one snapshot with a dump and its roles.
    fn manifest(tool: ExportTool, is_plain: bool) -> ExportManifest {
        let proof = json!({
            "tool": "t", "database": "app", "bytes": 100, "sha256": "a".repeat(64), "began": "", "ended": "", "file": "/x/d.gz",
            "pathInVolume": "pg/d.sql.gz", "pod": "db-1", "container": "db",
            "globals": {"bytes": 7, "sha256": "b".repeat(64), "passwords": true, "roles": 1},
        });
        let snapshot: Snapshot = serde_json::from_value(json!({
            "metadata": {
                "name": "data-1", "uid": "u", "labels": {"backup-ns.sh/run": "r1"},
                "annotations": {"backup-ns.sh/dump-postgres": proof.to_string(), "backup-ns.sh/claim": "{\"name\":\"data\",\"storage\":\"1Gi\"}"},
            },
            "status": {"creationTime": "2026-11-22T12:00:05Z", "restoreSize": "2Gi"},
        }))
        .unwrap();
        let proofs = verify::proofs(&snapshot).unwrap();
        let id = if tool == ExportTool::Restic { "f06b65f1" } else { "-" };
        let form = if is_plain { "plain 5000" } else { "stored 100" };
        let sum = if is_plain { "c" } else { "a" }.repeat(64);
        let sent = [format!("0 {form} {sum} {id}"), format!("1 stored 7 {} {id}", "b".repeat(64))];
        let sent = sent.iter().map(|line| SentCopy::parse(line).unwrap().1);
        let files: Vec<_> = files::of_proofs(&proofs).unwrap().into_iter().zip(sent).collect();
        manifest::of(Described {
            namespace: "shop",
            claim: "data",
            snapshot: &snapshot,
            proofs: &proofs,
            tool,
            tool_version: "t 1",
            what: ExportContent::Dump,
            files: &files,
            volume: None,
        })
    }

    fn of_manifest(tool: ExportTool) -> CopyEntry {
        match tool {
            ExportTool::Restic => entry(ID, "/shop/data/manifest.json", "2026-11-22T12:00:05Z"),
            _ => CopyEntry::named("shop/data/data-1").unwrap(),
        }
    }

    #[test]
    fn the_newest_copy_of_rclone_is_that_of_the_newest_data() {
        let at = |time: &str| DateTime::parse_from_rfc3339(time).unwrap().to_utc();
        let of = |line: &str| CopyEntry::parse(ExportTool::Rclone, line).unwrap();
        // The older snapshot was sent last.
        let entries = vec![
            of("2026-11-23 03:00:00;shop/data/new/manifest.json"),
            of("2026-11-24 03:00:00;shop/data/old/manifest.json"),
            of("2026-11-25 03:00:00;shop/data/odd/manifest.json"),
        ];
        let made = [Some(at("2026-11-23T01:00:00Z")), Some(at("2026-11-20T01:00:00Z")), None];
        let wanted = CopiesOf { namespace: "shop".into(), claim: None };
        assert_eq!(choose(entries.clone(), LATEST, &wanted).unwrap().id, "shop/data/odd", "by when it was sent");
        assert_eq!(choose(by_data(entries, made.into_iter()), LATEST, &wanted).unwrap().id, "shop/data/new");
    }

    #[test]
    fn a_manifest_is_known_by_its_hash_and_without_that_by_its_snapshot() {
        let record = |sum: Option<&str>| -> ExportRecord {
            let record = json!({
                "tool": "rclone", "what": "dump", "repository": "far:x", "manifest": "shop/data/a/manifest.json", "manifestSha256": sum,
                "bytes": 1, "files": 1, "at": "2026-11-23T00:00:00Z", "seconds": 1,
            });
            serde_json::from_value(record).unwrap()
        };
        assert!(is_sent(&record(Some("a")), ("a", "u"), "made anew"));
        assert!(!is_sent(&record(Some("a")), ("b", "u"), "u"));
        assert!(is_sent(&record(None), ("b", "u"), "u") && !is_sent(&record(None), ("b", "u"), "v"));
    }

    #[test]
    fn a_storage_class_that_is_no_name_is_refused() {
        let mut of = manifest(ExportTool::Restic, true);
        assert!(volume(&of, Some("fast"), None).is_ok());
        let template = of.claim_template.as_mut().unwrap();
        template.storage_class_name = Some("../../secrets?watch=true".into());
        assert!(volume(&of, None, None).is_err());
    }

    #[test]
    fn only_manifests_of_backup_ns_are_copies() {
        let found = entry(ID, "/shop/data/manifest.json", "2026-11-22T13:00:05+01:00");
        assert_eq!((found.id.as_str(), found.restic.as_deref()), ("5f0c4d0e", Some(ID)));
        assert_eq!((found.namespace.as_str(), found.claim.as_str()), ("shop", "data"));
        assert_eq!(found.time.timestamp(), 1_795_348_805);
        let time = "2026-11-22T12:00:05Z";
        for line in [
            "{}".to_string(),
            "null".into(),
            restic(ID, "/shop/data/dump.sql", time),
            restic(ID, "/srv/x/y/manifest.json", time),
            restic(ID, "/Not A/data/manifest.json", time),
            restic(ID, "/shop/../manifest.json", time),
            restic("--option0", "/shop/data/manifest.json", time),
            restic("éééé", "/shop/data/manifest.json", time),
        ] {
            assert_eq!(CopyEntry::parse(ExportTool::Restic, &line), None, "{line}");
        }
        let line = "2026-11-22 12:00:05;shop/data/data-1/manifest.json";
        let found = CopyEntry::parse(ExportTool::Rclone, line).unwrap();
        assert_eq!(
            (found.id.as_str(), found.manifest.as_str()),
            ("shop/data/data-1", "shop/data/data-1/manifest.json")
        );
        assert_eq!((found.time.timestamp(), found.restic), (1_795_348_805, None));
        for line in [
            "",
            "x;shop/data/data-1/manifest.json",
            "2026-11-22 12:00:05;a/b/manifest.json",
            "2026-11-22 12:00:05;a/b/../manifest.json",
        ] {
            assert_eq!(CopyEntry::parse(ExportTool::Rclone, line), None, "{line}");
        }
        assert_eq!(CopyEntry::parse(ExportTool::Command, line), None);
        assert!(CopyEntry::named("a/b").is_none() && CopyEntry::named("a/b/c/d").is_none());
    }

    #[test]
    fn a_copy_is_chosen_by_its_name_or_is_the_newest_of_a_claim() {
        let other = format!("5f0d{}", &ID[4..]);
        let all = || {
            vec![
                entry(&other, "/shop/data/manifest.json", "2026-11-23T12:00:00Z"),
                entry(ID, "/shop/data/manifest.json", "2026-11-22T12:00:00Z"),
                entry(&format!("aaaa{}", &ID[4..]), "/web/data/manifest.json", "2026-11-24T12:00:00Z"),
            ]
        };
        let of = |text: &str| CopiesOf::parse(text).unwrap();
        let chosen =
            |id: &str, wanted: &str| choose(all(), id, &of(wanted)).map(|found| found.id).map_err(|(what, _)| what);
        assert_eq!(chosen(LATEST, "shop/data"), Ok("5f0d4d0e".into()));
        assert_eq!(chosen(LATEST, "web"), Ok("aaaa4d0e".into()));
        assert_eq!(chosen(LATEST, "shop/other"), Err("the repository has no copy of shop/other".into()));
        assert_eq!(chosen("5f0c", "web"), Ok("5f0c4d0e".into()), "a name is of any namespace");
        assert_eq!(chosen(ID, "web"), Ok("5f0c4d0e".into()));
        assert_eq!(chosen("5f0", "shop"), Err("the repository has no copy '5f0'".into()), "too short to be meant");
        let several = choose([all(), all()].concat(), "5f0c", &of("shop"));
        assert!(several.unwrap_err().0.starts_with("several copies"));
        let ids = |wanted: Option<&CopiesOf>| super::of(all(), wanted).into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(Some(&of("shop"))), ["5f0c4d0e", "5f0d4d0e"], "oldest first");
        assert_eq!(ids(None).len(), 3);
        for text in ["", "a/b/c", "A", "a/", "/b", "a b"] {
            assert!(CopiesOf::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_manifest_must_be_of_the_copy_and_name_only_its_files() {
        for tool in ExportTool::ALL {
            let (entry, good) = (of_manifest(tool), manifest(tool, tool == ExportTool::Restic));
            assert_eq!(check(&good, &entry, tool), Ok(()), "{tool:?}");
            let changes: [fn(&mut ExportManifest); 9] = [
                |it| it.namespace = "other".into(),
                |it| it.claim = "other".into(),
                |it| it.files[0].name = "/shop/other/d.sql".into(),
                |it| it.files[0].name = format!("{}/../x", it.files[0].name),
                |it| it.files[0].path_in_volume = "../x".into(),
                |it| it.files[0].sha256 = "x".into(),
                |it| it.files[0].stored_sha256 = String::new(),
                |it| it.files[0].id = Some("--x".into()),
                |it| {
                    it.volume = Some(manifest::ExportedVolume { name: "else".into(), files: 1, bytes: 1, id: None });
                },
            ];
            for (number, change) in changes.into_iter().enumerate() {
                let mut other = good.clone();
                change(&mut other);
                assert!(check(&other, &entry, tool).is_err(), "{tool:?} {number}");
            }
            let others = ExportTool::ALL.into_iter().filter(|it| *it != tool);
            assert!(others.into_iter().all(|other| check(&good, &entry, other).is_err()));
        }
    }

    #[test]
    fn a_dump_that_comes_back_is_tested_by_the_hash_of_its_manifest() {
        let found = manifest(ExportTool::Restic, true);
        let proofs = vec![found.proofs[&Engine::Postgres].clone()];
        let dump = dumps(&found, Engine::Postgres, &proofs).unwrap().pop().unwrap();
        assert_eq!(dump.dump.place, "0.backup-ns-copy.from.sql");
        assert_eq!((dump.dump.bytes, dump.dump.sum.as_str()), (5000, "c".repeat(64).as_str()));
        assert_eq!((dump.proof.path_in_volume.as_str(), dump.proof.bytes), ("0.backup-ns-copy.from.sql", 5000));
        assert_eq!((&dump.proof.sha256, &dump.proof.database), (&"c".repeat(64), &"app".to_string()));
        let globals = dump.globals.unwrap();
        let file = dump.proof.globals.as_ref().unwrap().file(&dump.proof.path_in_volume);
        assert_eq!((Some(globals.place), globals.bytes), (file, 7));
        let stored = manifest(ExportTool::Rclone, false);
        let dump = dumps(&stored, Engine::Postgres, &proofs).unwrap().pop().unwrap();
        assert_eq!((dump.dump.place.as_str(), dump.dump.restic), ("0.sql.gz", None));

        // A copy of another dump than the proven one, or of other roles.
        let mut other = found.clone();
        other.files[0].stored_sha256 = "d".repeat(64);
        assert!(dumps(&other, Engine::Postgres, &proofs).unwrap_err().contains("proven dump"));
        let mut other = found.clone();
        other.files[1].sha256 = "d".repeat(64);
        assert!(dumps(&other, Engine::Postgres, &proofs).unwrap_err().contains("roles"));
        assert!(dumps(&found, Engine::MySql, &proofs).is_err());
    }

    #[test]
    fn one_dump_is_loaded_and_the_right_one() {
        let mut found = manifest(ExportTool::Restic, true);
        let one = |found: &ExportManifest, engine, name| one_dump(found, engine, name).map(|it| it.proof.database);
        assert_eq!(one(&found, Engine::Postgres, None), Ok("app".into()));
        assert_eq!(one(&found, Engine::Postgres, Some("app")), Ok("app".into()));
        assert!(one(&found, Engine::MySql, None).is_err() && one(&found, Engine::Postgres, Some("web")).is_err());
        let proof = found.proofs.get_mut(&Engine::Postgres).unwrap();
        proof.more.push(Proof { database: "web".into(), more: Vec::new(), ..proof.clone() });
        assert_eq!(one(&found, Engine::Postgres, None).unwrap_err().1, "name one with --database app or web");
        found.what = ExportContent::Volume;
        assert!(one(&found, Engine::Postgres, None).unwrap_err().1.contains("--pvc"));
    }

    #[test]
    fn a_claim_has_room_and_goes_with_its_job_until_it_is_kept() {
        let (found, entry) = (manifest(ExportTool::Restic, true), of_manifest(ExportTool::Restic));
        let spec = |class, storage| volume(&found, class, storage).unwrap().claim_spec(None);
        assert_eq!(spec(None, None)["resources"]["requests"]["storage"], "2Gi");
        assert_eq!(spec(Some("fast"), Some("5Mi"))["storageClassName"], "fast");
        assert_eq!(spec(Some("fast"), Some("5Mi"))["resources"]["requests"]["storage"], "5Mi");
        let mut large = found.clone();
        large.files.truncate(1);
        large.files[0].bytes = 10 << 30;
        let needed = volume(&large, None, None).unwrap().claim_spec(None);
        assert_eq!(needed["resources"]["requests"]["storage"], ((11u64 << 30) + (64 << 20)).to_string());
        large.claim_template.as_mut().unwrap().volume_mode = Some("Block".into());
        assert!(volume(&large, None, None).is_err());

        let owner = json!({"kind": "Job", "name": "j", "uid": "u1"});
        let made = claim(
            "copy",
            "look",
            &volume(&found, None, None).unwrap(),
            "shop/data/data-1",
            &owner,
            &proofs_of_volume(&found),
        );
        assert_eq!(made["metadata"]["ownerReferences"], json!([owner]));
        assert_eq!(made["metadata"]["annotations"], json!({"backup-ns.sh/imported-from": "shop/data/data-1"}));
        assert!(made["spec"].get("dataSource").is_none());
        assert_eq!(owned_by("u2", &[])["metadata"], json!({"uid": "u2", "ownerReferences": []}));
        let copies = for_claim(&found, &entry, (900, "m"));
        let places: Vec<&str> = copies.iter().map(|copy| copy.place.as_str()).collect();
        assert_eq!(places, ["pg/d.sql", "pg/d.sql.globals.sql", "manifest.json"]);
        assert_eq!(copies[2].values(), ["/shop/data/manifest.json", ID, "900", "m", "manifest.json"].map(String::from));

        // Of a whole volume the proofs go with the claim, because its files are those of the proofs.
        let mut whole = found;
        whole.what = ExportContent::Volume;
        whole.volume = Some(manifest::ExportedVolume {
            name: "/shop/data/volume".into(),
            files: 3,
            bytes: 70,
            id: Some("f06b65f1".into()),
        });
        let copies = for_claim(&whole, &entry, (900, "m"));
        assert_eq!((copies.len(), copies[0].sum.as_str()), (1, "3"));
        let proofs = proofs_of_volume(&whole);
        assert!(proofs["backup-ns.sh/dump-postgres"].as_str().unwrap().contains("\"app\""), "{proofs}");
    }

    #[test]
    fn a_row_says_what_a_copy_holds_or_why_it_cannot_be_used() {
        let (found, entry) = (manifest(ExportTool::Restic, true), of_manifest(ExportTool::Restic));
        let row = CopyRow::of(&entry, Ok(&found));
        assert_eq!((row.bytes, row.files, row.run.as_deref()), (5007, 2, Some("r1")));
        assert_eq!((row.databases, row.volume_snapshot.as_deref()), (vec!["postgres:app".into()], Some("data-1")));
        let row = json!(CopyRow::of(&entry, Err("gone".into())));
        assert_eq!((&row["fault"], &row["id"], row.get("run")), (&json!("gone"), &json!("5f0c4d0e"), None));
    }
}
