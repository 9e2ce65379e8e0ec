//! The report of `status`: for each claim its newest good backup, its newest tested one, failures and CronJobs; and leftovers that
//! no command cleans up by itself. Must not know how objects are read or the report is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::core::backup::name;
use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::export::record::ExportRecord;
use crate::core::health::cronjob::{ConfigMaps, EXPORT_LATE, LATE, Schedule};
use crate::core::health::listing;
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Pvc, Snapshot};
use crate::core::restore::stored_data::{Holder, Holders};
use crate::core::retention::history::{Action, Moment, Record, date, is_ahead, made};
use crate::core::retention::mark_and_delete::{DeletionBlocks, decide};
use crate::core::words;

/// How many days after its last day a snapshot is overdue: `mark-and-delete` of the next night deletes it.
const OVERDUE_DAYS: i64 = 2;

/// A VolumeSnapshot, with only what the report needs: tens of thousands are in memory at once.
#[derive(Debug, Clone)]
pub struct Backup {
    record: Record,
    uid: String,
    /// The claim's full name, if known; the one in the record may be shortened.
    pvc: Option<String>,
    /// Whether this program made it as a backup.
    counts: bool,
    /// Whether `mark-and-delete` may delete it.
    pruned: bool,
    restore_size: Option<String>,
    dumps: Box<[(Engine, DumpStatus)]>,
    /// When it passed a restore test.
    verified: Option<DateTime<Utc>>,
    /// When its copy outside the cluster was proven.
    exported: Option<DateTime<Utc>>,
}

/// The longest text of a version, in characters; it comes from an annotation.
const LONGEST_VERSION: usize = 80;

/// A dump in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DumpStatus {
    pub bytes: u64,
    /// The dump tool with its version, as it names itself.
    pub tool: Box<str>,
    /// The version of the server, if the proof has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<Box<str>>,
    /// How long the dump took, in seconds, if its proof says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<i64>,
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

impl From<Snapshot> for Backup {
    fn from(snapshot: Snapshot) -> Backup {
        let meta = &snapshot.metadata;
        let kind = meta.labels.get(labels::TYPE).map(String::as_str);
        let ours = meta.labels.keys().any(|key| key.starts_with(labels::PREFIX));
        let note = meta.annotations.get(labels::VERIFICATION).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let good = note.filter(|note| note["verdict"] == "good");
        let dumps = listing::proofs(&meta.annotations).into_iter().map(|(engine, proof)| {
            let seconds = |proof: &Proof| Some((time(&proof.ended)? - time(&proof.began)?).num_seconds());
            let seconds = proof.all().map(seconds).sum();
            let short = |text: &str| text.chars().take(LONGEST_VERSION).collect();
            let server_version = proof.server.get("version").map(|version| short(version));
            (engine, DumpStatus { bytes: proof.all_bytes(), tool: short(&proof.tool), server_version, seconds })
        });
        Backup {
            uid: meta.uid.clone(),
            pvc: snapshot.spec.source.persistent_volume_claim_name.clone(),
            counts: ours && ![Some(labels::SAFETY), Some(labels::CLONE)].contains(&kind),
            pruned: snapshot.is_pruned(),
            restore_size: snapshot.status.restore_size.clone(),
            dumps: dumps.collect(),
            verified: good.and_then(|note| time(note["at"].as_str()?)),
            exported: ExportRecord::of(meta).and_then(|record| record.time()),
            record: snapshot.into(),
        }
    }
}

/// The state of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Ready, and not distrusted.
    Ready,
    /// Not ready, and younger than the ready timeout.
    Pending,
    /// Not ready, with an error or older than the ready timeout.
    Failed,
    Distrusted,
}

impl State {
    pub const ALL: [State; 4] = [State::Ready, State::Pending, State::Failed, State::Distrusted];

    /// The word that reports use.
    pub fn word(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Pending => "pending",
            State::Failed => "failed",
            State::Distrusted => "distrusted",
        }
    }
}

impl Backup {
    /// Orders backups; the newest is the greatest.
    fn rank(&self, moment: &Moment) -> impl Ord + '_ {
        (self.record.made(moment), self.record.created, &self.record.name)
    }

    fn state(&self, moment: &Moment) -> State {
        let ready_timeout = TimeDelta::from_std(moment.ready_timeout).unwrap_or(TimeDelta::MAX);
        match &self.record {
            Record { distrusted: true, .. } => State::Distrusted,
            Record { ready: true, .. } => State::Ready,
            Record { error: Some(_), .. } => State::Failed,
            Record { created, .. } if moment.now - *created >= ready_timeout => State::Failed,
            _ => State::Pending,
        }
    }
}

/// The phase of a claim that is being deleted, as kubectl shows it.
const TERMINATING: &str = "Terminating";

/// A claim.
#[derive(Debug, Clone)]
pub struct ClaimStatus {
    namespace: String,
    name: String,
    phase: String,
    /// The snapshots, by namespace and name, that its volume will be made from.
    sources: Vec<(String, String)>,
    /// When it was created, if its volume was provisioned empty.
    made_empty: Option<DateTime<Utc>>,
    /// Whether a restore test made it.
    of_restore_test: bool,
}

/// The annotations that Kubernetes sets when it provisions the volume of a claim
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/#volume-kubernetes-io-storage-provisioner>).
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

impl From<Pvc> for ClaimStatus {
    fn from(claim: Pvc) -> ClaimStatus {
        let sources = claim.sources().collect();
        let spec = &claim.spec;
        let meta = claim.metadata;
        let from = spec.data_source.is_some() || spec.data_source_ref.is_some();
        let provisioned = PROVISIONER.iter().any(|key| meta.annotations.contains_key(*key));
        let restored = from || meta.annotations.contains_key(labels::RESTORED_FROM);
        ClaimStatus {
            // A claim that is bound to an existing volume has no provisioner.
            made_empty: Some(meta.creation_timestamp).filter(|_| !restored && provisioned),
            of_restore_test: meta.labels.contains_key(labels::VERIFY),
            phase: if meta.deletion_timestamp.is_some() { TERMINATING.into() } else { claim.status.phase },
            namespace: meta.namespace,
            name: meta.name,
            sources,
        }
    }
}

/// A VolumeSnapshotContent: the data that it names, and, if it is ours and not being deleted, its entry in the report in case its
/// VolumeSnapshot is gone.
#[derive(Debug, Clone)]
pub struct Stored {
    holder: Holder,
    orphan: Option<Orphan>,
}

/// Stored data of ours whose VolumeSnapshot is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// The VolumeSnapshotContent.
    pub name: String,
    /// The namespace that its VolumeSnapshot was in.
    pub namespace: String,
    pub volume_snapshot: String,
    /// Whether it is a clone: its deletion never deletes the data.
    pub clone: bool,
    pub deletion_policy: String,
    /// When the object was created, which for rebound data is after the cut.
    #[serde(skip)]
    pub bound: DateTime<Utc>,
    /// When its data was cut, if known, else as `bound`.
    pub created: DateTime<Utc>,
}

/// A VolumeSnapshotContent of ours whose VolumeSnapshot is gone, and whose data is that of another content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Superfluous {
    /// The content.
    #[serde(flatten)]
    pub content: Orphan,
    /// The other content that names the data.
    pub shares_data_of: String,
    /// The VolumeSnapshot of the other content, `NAMESPACE/NAME`.
    pub belongs_to: String,
}

/// The contents of ours without a VolumeSnapshot.
#[derive(Debug, Default)]
pub struct Leftovers {
    /// Those whose data no other content names.
    pub orphans: Vec<Orphan>,
    /// Those whose data another content names.
    pub superfluous: Vec<Superfluous>,
    /// See [`Holders::shared`].
    pub shared: BTreeMap<String, String>,
}

impl Stored {
    /// Reads a content; None if it names no data and is not ours.
    pub fn of(content: Content) -> Option<Stored> {
        let holder = Holder::from(&content);
        let meta = &content.metadata;
        let clone = content.is_clone();
        let mut keys = meta.labels.keys().chain(meta.annotations.keys());
        let has_data = content.handles().next().is_some();
        let reference = content.spec.volume_snapshot_ref;
        // Labels may never have been copied to it; then the name of its VolumeSnapshot shows that it is ours.
        let ours = keys.any(|key| key.starts_with(labels::PREFIX)) || clone || name::is_by_default(&reference.name);
        let cut = content.status.creation_time.and_then(|nanos| DateTime::from_timestamp(nanos / 1_000_000_000, 0));
        let orphan = Orphan {
            name: meta.name.clone(),
            namespace: reference.namespace,
            volume_snapshot: reference.name,
            clone,
            deletion_policy: content.spec.deletion_policy,
            bound: meta.creation_timestamp,
            created: cut.unwrap_or(meta.creation_timestamp),
        };
        let orphan = (ours && meta.deletion_timestamp.is_none()).then_some(orphan);
        (has_data || orphan.is_some()).then_some(Stored { holder, orphan })
    }
}

/// The contents of ours whose VolumeSnapshot is not among `snapshots`, in the namespaces whose snapshots were read. A content whose
/// data another one names, in any namespace, is no orphan. Contents must be read before snapshots: else a content made in
/// between would look like an orphan.
pub fn leftovers(contents: Vec<Stored>, snapshots: &[Backup], covers: impl Fn(&str) -> bool) -> Leftovers {
    let uids: BTreeSet<&str> = snapshots.iter().map(|backup| backup.uid.as_str()).collect();
    let names: BTreeSet<(&str, &str)> =
        snapshots.iter().map(|backup| (backup.record.namespace.as_str(), backup.record.name.as_str())).collect();
    // A VolumeSnapshot in a namespace that was not read is assumed to exist.
    let is_bound = |holder: &Holder| {
        !covers(&holder.namespace)
            || match holder.snapshot_uid.as_str() {
                // Made by hand and not bound yet.
                "" => names.contains(&(holder.namespace.as_str(), holder.snapshot.as_str())),
                uid => uids.contains(uid),
            }
    };
    let holders: Holders = contents.iter().map(|stored| stored.holder.clone()).collect();
    let ours: BTreeSet<String> =
        contents.iter().filter_map(|stored| Some(stored.orphan.as_ref()?.name.clone())).collect();
    // The greatest of several is kept: a clone must not be the last content that names the data.
    let rank = |holder: &Holder| (!holder.clone, is_bound(holder), !ours.contains(&holder.name), holder.name.clone());
    let mut found = Leftovers { shared: holders.shared(), ..Leftovers::default() };
    for Stored { holder, orphan } in contents {
        let Some(orphan) = orphan.filter(|_| !is_bound(&holder)) else { continue };
        match holders.others(&holder).into_iter().max_by_key(|other| rank(other)) {
            None => found.orphans.push(orphan),
            Some(other) if rank(other) > rank(&holder) => found.superfluous.push(Superfluous {
                content: orphan,
                shares_data_of: other.name.clone(),
                belongs_to: format!("{}/{}", other.namespace, other.snapshot),
            }),
            // This one is kept.
            Some(_) => {}
        }
    }
    let order = |a: &Orphan, b: &Orphan| {
        (&a.namespace, &a.volume_snapshot, &a.name).cmp(&(&b.namespace, &b.volume_snapshot, &b.name))
    };
    found.orphans.sort_by(order);
    found.superfluous.sort_by(|a, b| order(&a.content, &b.content));
    found
}

/// Objects that could not be read, and are missing from the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// The kind, in the plural.
    pub what: &'static str,
    /// Where; empty for the whole cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub reason: String,
}

/// The objects that the report is made from.
#[derive(Debug, Default)]
pub struct Read {
    /// The namespaces that were read; None for the whole cluster.
    pub scope: Option<Vec<String>>,
    pub snapshots: Vec<Backup>,
    pub claims: Vec<ClaimStatus>,
    /// The CronJobs that make backups.
    pub schedules: Vec<Schedule>,
    /// The CronJobs that export backups.
    pub exports: Vec<Schedule>,
    /// The data of their ConfigMaps; None if they may not be read.
    pub config_maps: Option<ConfigMaps>,
    /// The contents; None if they may not be read.
    pub leftovers: Option<Leftovers>,
    pub unread: Vec<Unread>,
    /// Whether `mark-and-delete` keeps what is not exported, so that it is not overdue.
    pub require_exported: bool,
}

/// The report of `status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub asked: DateTime<Utc>,
    pub claims: Vec<Protection>,
    /// Stored data of ours without a snapshot; None if that could not be read.
    pub orphaned_contents: Option<Vec<Orphan>>,
    /// Contents of ours without a snapshot whose data another content names; None if that could not be read.
    pub superfluous_contents: Option<Vec<Superfluous>>,
    pub unfinished_deletions: Vec<Unfinished>,
    pub overdue: Vec<Overdue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
}

/// The report as data, without what changes by time alone.
pub fn without_ages(report: &Report) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !["asked", "ageSeconds"].contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(all) => all.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(report).unwrap_or_default();
    strip(&mut value);
    value
}

/// A snapshot whose deletion was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unfinished {
    pub namespace: String,
    pub volume_snapshot: String,
}

/// A snapshot that `mark-and-delete` should have deleted days ago.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overdue {
    pub namespace: String,
    pub volume_snapshot: String,
    pub delete_after: String,
}

/// How one claim is protected.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    pub namespace: String,
    pub pvc: String,
    /// Whether it exists; None if unknown.
    pub exists: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Whether a CronJob makes backups of it that is neither suspended nor only prints its plan; None if unknown.
    pub scheduled: Option<bool>,
    /// The CronJobs, including those that are suspended or only print their plan.
    pub cron_jobs: Vec<BackupCronJob>,
    /// The number of snapshots by state.
    pub snapshots: BTreeMap<State, usize>,
    /// The number of failed snapshots that are newer than the newest good one.
    #[serde(skip)]
    pub failed_since: usize,
    /// The CronJob that should have made a newer good backup by now.
    #[serde(skip)]
    pub late: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Attempt>,
    /// The state of the newest snapshot that is not pending.
    #[serde(skip)]
    pub newest_decided: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_ready: Option<Ready>,
    /// The newest that passed a restore test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_verified: Option<Verified>,
    /// Whether a CronJob exports its backups that is neither suspended nor only prints its plan; None if unknown.
    pub export_scheduled: Option<bool>,
    /// The newest with a proven copy outside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_exported: Option<Exported>,
    /// The CronJob that should have exported a newer good backup by now.
    #[serde(skip)]
    pub late_export: Option<String>,
    pub notes: Vec<String>,
}

/// A CronJob that makes backups of a claim.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupCronJob {
    pub namespace: String,
    pub name: String,
    pub schedule: String,
    pub suspended: bool,
    pub dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_schedule: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<DateTime<Utc>>,
}

/// The last attempt at a backup that left a snapshot.
#[derive(Debug, Serialize)]
pub struct Attempt {
    /// The VolumeSnapshot.
    pub name: String,
    pub state: State,
    pub created: DateTime<Utc>,
}

/// A good backup.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The VolumeSnapshot.
    pub name: String,
    /// The time of its data.
    pub made: DateTime<Utc>,
    pub age_seconds: i64,
    /// The smallest volume it can be restored to, a quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<String>,
    pub dumps: BTreeMap<Engine, DumpStatus>,
}

/// A backup that passed a restore test.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The VolumeSnapshot.
    pub name: String,
    /// When that was.
    pub at: DateTime<Utc>,
    /// The same as seconds before the report.
    pub age_seconds: i64,
}

/// A backup with a proven copy outside the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The VolumeSnapshot.
    pub name: String,
    /// The time of its data: what was written later is lost with the cluster.
    pub made: DateTime<Utc>,
    /// The same as seconds before the report.
    pub age_seconds: i64,
    /// When the copy was proven.
    pub at: DateTime<Utc>,
}

impl Protection {
    /// Whether it has a CronJob or a snapshot.
    pub fn is_managed(&self) -> bool {
        !self.cron_jobs.is_empty() || self.newest.is_some()
    }

    pub fn count(&self, state: State) -> usize {
        self.snapshots.get(&state).copied().unwrap_or(0)
    }
}

/// A claim by its namespace and its name as [`labels::pvc_value`] shortens it.
type Key = (String, String);

fn key(namespace: &str, pvc: &str) -> Key {
    (namespace.into(), labels::pvc_value(pvc))
}

/// Judges what was read.
pub fn report(mut read: Read, moment: &Moment) -> Report {
    let overdue = overdue(&read, moment);
    let unfinished_deletions = unfinished_deletions(&read, moment);
    let mut leftovers = read.leftovers.take();
    for Leftovers { orphans, superfluous, .. } in leftovers.iter_mut() {
        for orphan in orphans.iter_mut().chain(superfluous.iter_mut().map(|one| &mut one.content)) {
            orphan.created = made(Some(orphan.created), orphan.bound, moment.now);
        }
    }
    let (orphaned_contents, superfluous_contents) = leftovers.map(|found| (found.orphans, found.superfluous)).unzip();
    let mut unread = mem::take(&mut read.unread);
    let Drafts { drafts, unclear, unclear_namespaces } = Drafts::of(&read);
    unread.extend(unclear);
    let is_read = |kind: &str, namespace: &str| {
        let about = |unread: &Unread| unread.namespace.is_empty() || unread.namespace == namespace;
        !unread.iter().any(|unread| unread.what == kind && about(unread))
    };
    let judge = |((namespace, label), draft): (Key, Draft<'_>)| {
        let cron_jobs = match is_read("cronjobs", &namespace) && !unclear_namespaces.contains(&namespace) {
            true if read.scope.is_none() => CronJobsRead::Everywhere,
            true => CronJobsRead::InItsNamespace,
            false => CronJobsRead::No,
        };
        let coverage = Coverage { claims: is_read("persistentvolumeclaims", &namespace), cron_jobs };
        draft.judge(namespace, label, coverage, moment)
    };
    // A CronJob may make backups of another namespace than its own.
    let in_scope = |namespace: &String| read.scope.as_ref().is_none_or(|scope| scope.contains(namespace));
    let claims = drafts.into_iter().filter(|((namespace, _), _)| in_scope(namespace)).map(judge).collect();
    Report { asked: moment.now, claims, orphaned_contents, superfluous_contents, unfinished_deletions, overdue, unread }
}

fn unfinished_deletions(read: &Read, moment: &Moment) -> Vec<Unfinished> {
    let unfinished = read.snapshots.iter().map(|backup| &backup.record).filter(|record| record.is_unfinished(moment));
    let mut all: Vec<Unfinished> = unfinished
        .map(|record| Unfinished { namespace: record.namespace.clone(), volume_snapshot: record.name.clone() })
        .collect();
    all.sort();
    all
}

/// The snapshots that `mark-and-delete` should have deleted days ago.
fn overdue(read: &Read, moment: &Moment) -> Vec<Overdue> {
    let held = DeletionBlocks {
        sources: read.claims.iter().flat_map(|claim| claim.sources.iter().cloned()).collect(),
        shared: read.leftovers.as_ref().map(|found| found.shared.clone()).unwrap_or_default(),
        require_exported: read.require_exported,
    };
    let pruned: Vec<Record> = read.snapshots.iter().filter(|one| one.pruned).map(|one| one.record.clone()).collect();
    let late = |record: &Record| {
        let day = date(record.delete_after.as_deref()?)?;
        ((moment.today() - day).num_days() >= OVERDUE_DAYS).then(|| day.to_string())
    };
    let late: BTreeMap<(&str, &str), String> = pruned
        .iter()
        .filter_map(|record| Some(((record.namespace.as_str(), record.name.as_str()), late(record)?)))
        .collect();
    let deleted = decide(&pruned, &held, moment).into_iter().filter(|verdict| verdict.action == Action::Delete);
    let mut overdue: Vec<Overdue> = deleted
        .filter_map(|verdict| {
            let delete_after = late.get(&(verdict.namespace.as_str(), verdict.name.as_str()))?.clone();
            Some(Overdue { namespace: verdict.namespace, volume_snapshot: verdict.name, delete_after })
        })
        .collect();
    overdue.sort();
    overdue
}

/// What was found about every claim.
struct Drafts<'a> {
    drafts: BTreeMap<Key, Draft<'a>>,
    /// The CronJobs whose settings do not say which claims they make backups of.
    unclear: Vec<Unread>,
    /// The namespaces that those may make backups of.
    unclear_namespaces: BTreeSet<String>,
}

impl<'a> Drafts<'a> {
    fn of(read: &'a Read) -> Drafts<'a> {
        let mut drafts: BTreeMap<Key, Draft<'a>> = BTreeMap::new();
        let (mut unclear, mut unclear_namespaces) = (Vec::new(), BTreeSet::new());
        for claim in read.claims.iter().filter(|claim| !claim.of_restore_test) {
            drafts.entry(key(&claim.namespace, &claim.name)).or_default().claim = Some(claim);
        }
        let maps = read.config_maps.as_ref();
        for schedule in &read.schedules {
            match schedule.claims(maps) {
                Ok(claims) => {
                    for (namespace, name) in claims {
                        let draft = drafts.entry(key(&namespace, &name)).or_default();
                        draft.plans.push(BackupPlan { schedule, dry_run: schedule.is_dry_run(maps) });
                        draft.name.get_or_insert(name);
                    }
                }
                Err(reason) => {
                    unclear_namespaces.extend(schedule.place(maps));
                    let reason =
                        format!("the claims that the CronJob {} backs up are unknown: {reason}", schedule.name);
                    unclear.push(Unread { what: "cronjobs", namespace: schedule.namespace.clone(), reason });
                }
            }
        }
        for schedule in &read.exports {
            match schedule.claims(maps) {
                // An export is of the first of several claims, which holds the dump.
                Ok(claims) => {
                    for (namespace, name) in claims.into_iter().take(1) {
                        let draft = drafts.entry(key(&namespace, &name)).or_default();
                        draft.exports.push(BackupPlan { schedule, dry_run: schedule.is_dry_run(maps) });
                        draft.name.get_or_insert(name);
                    }
                }
                Err(reason) => {
                    let reason = format!("the claim that the CronJob {} exports is unknown: {reason}", schedule.name);
                    unclear.push(Unread { what: "cronjobs", namespace: schedule.namespace.clone(), reason });
                }
            }
        }
        for backup in read.snapshots.iter().filter(|backup| !backup.record.pvc.is_empty()) {
            let Record { namespace, name, pvc, deleting, restoring, .. } = &backup.record;
            let is_backup = backup.counts && !deleting;
            if !is_backup && !restoring {
                continue;
            }
            let draft = drafts.entry((namespace.clone(), pvc.clone())).or_default();
            if is_backup {
                draft.backups.push(backup);
                draft.name = draft.name.take().or_else(|| backup.pvc.clone());
            }
            if *restoring {
                draft.restoring.push(name);
            }
        }
        Drafts { drafts, unclear, unclear_namespaces }
    }
}

/// What was found about one claim.
#[derive(Default)]
struct Draft<'a> {
    claim: Option<&'a ClaimStatus>,
    name: Option<String>,
    plans: Vec<BackupPlan<'a>>,
    exports: Vec<BackupPlan<'a>>,
    backups: Vec<&'a Backup>,
    /// The snapshots of which an in-place restore to this claim is not finished.
    restoring: Vec<&'a str>,
}

/// A CronJob that makes backups of a claim, or exports them.
struct BackupPlan<'a> {
    schedule: &'a Schedule,
    dry_run: bool,
}

/// What was read of the objects that decide about one claim.
#[derive(Debug, Clone, Copy)]
struct Coverage {
    /// Whether all claims of its namespace were read, so that one that was not found does not exist.
    claims: bool,
    cron_jobs: CronJobsRead,
}

/// Which CronJobs were read: one of another namespace may make backups of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CronJobsRead {
    Everywhere,
    InItsNamespace,
    No,
}

/// The backups of one claim that its report is made of.
struct Newest<'a> {
    of_all: Option<&'a Backup>,
    /// The newest that is not pending.
    decided: Option<&'a Backup>,
    ready: Option<&'a Backup>,
    verified: Option<&'a Backup>,
    exported: Option<&'a Backup>,
}

impl<'a> Newest<'a> {
    fn of(backups: &[&'a Backup], moment: &Moment) -> Newest<'a> {
        let newest = |wanted: &dyn Fn(&Backup) -> bool| {
            let wanted = backups.iter().copied().filter(|backup| wanted(backup));
            wanted.max_by(|a, b| a.rank(moment).cmp(&b.rank(moment)))
        };
        let is_ready = |backup: &Backup| backup.state(moment) == State::Ready;
        Newest {
            of_all: newest(&|_| true),
            decided: newest(&|backup| backup.state(moment) != State::Pending),
            ready: newest(&is_ready),
            verified: newest(&|backup| is_ready(backup) && backup.verified.is_some()),
            exported: newest(&|backup| is_ready(backup) && backup.exported.is_some()),
        }
    }
}

impl Draft<'_> {
    /// `label` is the claim's name as snapshots carry it, for a claim whose whole name is unknown.
    fn judge(self, namespace: String, label: String, coverage: Coverage, moment: &Moment) -> Protection {
        let Draft { claim, name, plans, exports, backups, .. } = &self;
        let newest = Newest::of(backups, moment);
        let mut snapshots: BTreeMap<State, usize> = State::ALL.map(|state| (state, 0)).into();
        for backup in backups {
            *snapshots.entry(backup.state(moment)).or_default() += 1;
        }
        let is_since = |backup: &Backup| newest.ready.is_none_or(|ready| backup.rank(moment) > ready.rank(moment));
        let has_failed_since = |backup: &&&Backup| backup.state(moment) == State::Failed && is_since(backup);
        let age = |then: DateTime<Utc>| (moment.now - then).num_seconds().max(0);
        let scheduled = |plans: &[BackupPlan<'_>]| match coverage.cron_jobs {
            _ if plans.iter().any(|plan| !plan.schedule.suspended && !plan.dry_run) => Some(true),
            CronJobsRead::Everywhere => Some(false),
            CronJobsRead::InItsNamespace if !plans.is_empty() => Some(false),
            CronJobsRead::InItsNamespace | CronJobsRead::No => None,
        };
        let mut protection = Protection {
            exists: claim.map(|_| true).or(coverage.claims.then_some(false)),
            phase: claim.map(|claim| claim.phase.clone()),
            pvc: claim.map(|claim| claim.name.clone()).or_else(|| name.clone()).unwrap_or(label),
            scheduled: scheduled(plans),
            cron_jobs: plans.iter().map(BackupCronJob::from).collect(),
            snapshots,
            failed_since: backups.iter().filter(has_failed_since).count(),
            late: self.late(plans, newest.ready, LATE, moment).map(|schedule| schedule.name.clone()),
            newest: newest.of_all.map(|backup| Attempt {
                name: backup.record.name.clone(),
                state: backup.state(moment),
                created: backup.record.created,
            }),
            newest_decided: newest.decided.map(|backup| backup.state(moment)),
            newest_ready: newest.ready.map(|backup| Ready {
                name: backup.record.name.clone(),
                made: backup.record.made(moment),
                age_seconds: age(backup.record.made(moment)),
                restore_size: backup.restore_size.clone(),
                dumps: backup.dumps.iter().cloned().collect(),
            }),
            newest_verified: newest.verified.and_then(|backup| {
                let at = backup.verified?;
                Some(Verified { name: backup.record.name.clone(), at, age_seconds: age(at) })
            }),
            export_scheduled: scheduled(exports),
            newest_exported: newest.exported.and_then(|backup| {
                let (at, made) = (backup.exported?, backup.record.made(moment));
                Some(Exported { name: backup.record.name.clone(), made, age_seconds: age(made), at })
            }),
            late_export: self.late(exports, newest.exported, EXPORT_LATE, moment).map(|schedule| schedule.name.clone()),
            namespace,
            notes: Vec::new(),
        };
        protection.notes = self.notes(&protection, &newest, coverage.cron_jobs, moment);
        protection
    }

    /// The CronJob of `plans` that should have made, or exported, a newer good backup by now than `newest`. A claim that was made
    /// empty after the run that was due has had none yet.
    fn late<'p>(
        &self,
        plans: &'p [BackupPlan<'_>],
        newest: Option<&Backup>,
        late: TimeDelta,
        moment: &Moment,
    ) -> Option<&'p Schedule> {
        let since = newest.map(|newest| newest.record.made(moment)).or_else(|| self.claim?.made_empty);
        let is_late = |schedule: &&Schedule| {
            schedule.due(moment.now, late).is_some_and(|due| since.is_none_or(|since| since < due))
        };
        plans.iter().filter(|plan| !plan.dry_run).map(|plan| plan.schedule).find(is_late)
    }

    fn notes(
        &self,
        protection: &Protection,
        newest: &Newest<'_>,
        cron_jobs: CronJobsRead,
        moment: &Moment,
    ) -> Vec<String> {
        let error = newest.of_all.and_then(|newest| newest.record.error.as_deref());
        let mut schedules = self.plans.iter().map(|plan| plan.schedule);
        let failed = schedules.find(|schedule| !schedule.suspended && schedule.failed());
        let restoring = self.restoring.iter().map(|name| format!("an in-place restore of {name} is not finished"));
        let mut all: Vec<String> = restoring.chain(notes(protection, cron_jobs, error, failed, moment)).collect();
        all.extend(self.export_notes(protection, moment));
        // A claim that was deleted and made anew under its name has its snapshots, and none of its data.
        let made_empty = self.claim.and_then(|claim| claim.made_empty);
        if made_empty.zip(newest.ready).is_some_and(|(made_empty, ready)| made_empty > ready.record.made(moment)) {
            all.push("the claim is younger than its newest backup, and was not made from one".into());
        }
        let cuts = self.backups.iter().filter_map(|backup| Some((&backup.record.name, backup.record.cut?)));
        let latest = cuts.max_by_key(|(_, cut)| *cut).filter(|(_, cut)| is_ahead(Some(*cut), moment.now));
        all.extend(latest.map(|(name, cut)| {
            let day = cut.format("%Y-%m-%d");
            format!("{name} says that it was cut in the future, on {day}: the clock of its driver was wrong")
        }));
        all
    }
}

impl Draft<'_> {
    /// Notes about its copies outside the cluster, where a CronJob makes some.
    fn export_notes(&self, protection: &Protection, moment: &Moment) -> Vec<String> {
        let mut notes = Vec::new();
        match (&protection.newest_exported, &protection.late_export) {
            (None, Some(cronjob)) => {
                notes.push(format!("no copy outside the cluster is proven, though CronJob {cronjob} exports"));
            }
            (Some(exported), Some(cronjob)) => {
                let old = words::age(TimeDelta::seconds(exported.age_seconds));
                notes.push(format!(
                    "the newest backup with a proven copy outside the cluster is {old} old, though CronJob {cronjob} exports"
                ));
            }
            (_, None) => {}
        }
        let mut running = self.exports.iter().map(|plan| plan.schedule).filter(|schedule| !schedule.suspended);
        if let Some((schedule, last)) = running.find(|schedule| schedule.failed()).and_then(|it| Some((it, it.last?))) {
            notes.push(last_run_failed(schedule, last, moment));
        }
        notes
    }
}

/// The note about a CronJob whose last run, at this time, failed.
fn last_run_failed(schedule: &Schedule, last: DateTime<Utc>, moment: &Moment) -> String {
    format!("the last run of CronJob {}, {} ago, failed", schedule.name, words::age(moment.now - last))
}

impl From<&BackupPlan<'_>> for BackupCronJob {
    fn from(&BackupPlan { schedule, dry_run }: &BackupPlan<'_>) -> BackupCronJob {
        BackupCronJob {
            namespace: schedule.namespace.clone(),
            name: schedule.name.clone(),
            schedule: schedule.cron.clone(),
            suspended: schedule.suspended,
            dry_run,
            last_schedule: schedule.last,
            last_success: schedule.succeeded,
        }
    }
}

/// Notes about a claim. `error` is that of its newest snapshot, `failed` a CronJob whose last run failed.
fn notes(
    of: &Protection,
    cron_jobs: CronJobsRead,
    error: Option<&str>,
    failed: Option<&Schedule>,
    moment: &Moment,
) -> Vec<String> {
    let mut notes = Vec::new();
    if of.exists == Some(false) {
        notes.push("the claim is not there".to_string());
    }
    if of.phase.as_deref() == Some(TERMINATING) {
        notes.push("the claim is being deleted".into());
    }
    let unplanned = match cron_jobs {
        _ if !of.cron_jobs.is_empty() => None,
        CronJobsRead::Everywhere if !of.is_managed() => Some("it has no backups, and no CronJob makes any".to_string()),
        CronJobsRead::Everywhere => Some("no CronJob makes backups of it".into()),
        CronJobsRead::InItsNamespace => Some(format!("no CronJob in {} makes backups of it", of.namespace)),
        CronJobsRead::No => None,
    };
    if !of.is_managed() {
        notes.extend(unplanned);
        return notes;
    }
    match (&of.newest_ready, &of.late) {
        (None, None) => notes.push("there is no good backup".into()),
        (None, Some(cronjob)) => notes.push(format!("there is no good backup, though CronJob {cronjob} makes them")),
        (Some(ready), Some(cronjob)) => {
            let old = words::age(TimeDelta::seconds(ready.age_seconds));
            notes.push(format!("the newest good backup is {old} old, though CronJob {cronjob} makes them"));
        }
        (Some(_), None) => {}
    }
    if let Some(newest) = of.newest.as_ref().filter(|newest| newest.state != State::Ready) {
        let why = match (newest.state, error) {
            (State::Distrusted, _) => "must not be trusted".to_string(),
            (State::Failed, Some(error)) => format!("failed: {error}"),
            (State::Failed, None) => "never became ready".into(),
            _ => "is not ready yet".into(),
        };
        notes.push(format!("the last attempt, {}, {why}", newest.name));
    }
    if let Some((schedule, last)) = failed.and_then(|schedule| Some((schedule, schedule.last?))) {
        notes.push(last_run_failed(schedule, last, moment));
    }
    let dry = of.cron_jobs.iter().filter(|plan| plan.dry_run && !plan.suspended);
    notes.extend(dry.map(|plan| format!("CronJob {} only prints its plan (BAK_DRY_RUN)", plan.name)));
    if of.scheduled == Some(false) {
        let suspended = of.cron_jobs.iter().rfind(|plan| plan.suspended);
        notes.extend(suspended.map(|plan| format!("CronJob {} is suspended", plan.name)));
    }
    notes.extend(unplanned);
    notes
}

/// Samples for the tests of what reads a report.
#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::core::retention::history::testing::at;

    /// A scheduled claim in `shop` with one snapshot, `night`, in this state.
    pub fn protection(pvc: &str, state: State) -> Protection {
        let made = at("2026-11-22T02:00");
        Protection {
            namespace: "shop".into(),
            pvc: pvc.into(),
            exists: Some(true),
            phase: None,
            scheduled: Some(true),
            cron_jobs: Vec::new(),
            snapshots: [(state, 1)].into(),
            failed_since: usize::from(state == State::Failed),
            late: None,
            newest: Some(Attempt { name: "night".into(), state, created: made }),
            newest_decided: Some(state).filter(|state| *state != State::Pending),
            newest_ready: (state == State::Ready).then(|| Ready {
                name: "night".into(),
                made,
                age_seconds: 36000,
                restore_size: None,
                dumps: BTreeMap::new(),
            }),
            newest_verified: None,
            export_scheduled: Some(false),
            newest_exported: None,
            late_export: None,
            notes: Vec::new(),
        }
    }

    /// A report of ten hours later without problems.
    pub fn report(claims: Vec<Protection>) -> Report {
        Report {
            asked: at("2026-11-22T12:00"),
            claims,
            orphaned_contents: Some(Vec::new()),
            superfluous_contents: Some(Vec::new()),
            unfinished_deletions: Vec::new(),
            overdue: Vec::new(),
            unread: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::retention::history::testing::{at, moment};
    use serde_json::json;

    fn shot(namespace: &str, name: &str, made: &str, labels: Value, more: Value) -> Backup {
        let mut all =
            json!({"backup-ns.sh/type": "cronjob", "backup-ns.sh/pvc": "data", "backup-ns.sh/retain": "days"});
        all.as_object_mut().unwrap().extend(labels.as_object().unwrap().clone());
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut object = json!({
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": all,
                "creationTimestamp": format!("{made}:00Z"),
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"readyToUse": true, "creationTime": format!("{made}:00Z"), "restoreSize": "1Gi"},
        });
        for (pointer, value) in more.as_object().unwrap() {
            let (field, key) = pointer.split_once('.').unwrap();
            object[field][key] = value.clone();
        }
        serde_json::from_value::<Snapshot>(object).unwrap().into()
    }

    fn claim(namespace: &str, name: &str) -> ClaimStatus {
        let claim = json!({"metadata": {"namespace": namespace, "name": name}, "status": {"phase": "Bound"}});
        serde_json::from_value::<Pvc>(claim).unwrap().into()
    }

    fn cronjob(namespace: &str, more: Value) -> Schedule {
        let mut object = json!({
            "metadata": {"namespace": namespace, "name": "backup"},
            "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": [
                {"image": "backup-ns"},
            ]}}}}},
        });
        for (pointer, value) in more.as_object().unwrap() {
            let (field, key) = pointer.split_once('.').unwrap();
            object[field][key] = value.clone();
        }
        Schedule::of(&object).unwrap()
    }

    fn judge(read: Read) -> Report {
        report(read, &moment("2026-11-22T12:00"))
    }

    fn one(read: Read) -> Protection {
        let mut report = judge(read);
        assert_eq!(report.claims.len(), 1, "{report:?}");
        report.claims.remove(0)
    }

    /// A snapshot whose copy was proven on 2026-11-22.
    fn exported(name: &str, made: &str) -> Backup {
        let record = json!({
            "tool": "restic", "what": "dump", "repository": "r", "manifest": "m", "bytes": 1, "files": 1, "seconds": 3,
            "at": "2026-11-22T04:00:00+01:00",
        });
        let annotations = json!({"metadata.annotations": {"backup-ns.sh/export": record.to_string()}});
        shot("shop", name, made, json!({"backup-ns.sh/exported": "2026-11-22"}), annotations)
    }

    #[test]
    fn an_old_copy_is_noted_only_where_a_cronjob_exports() {
        let fresh = || shot("shop", "fresh", "2026-11-22T02:00", json!({}), json!({}));
        let export = |more: Value| {
            let args = json!([{"image": "backup-ns", "args": ["export"]}]);
            let mut object = json!({
                "metadata": {"namespace": "shop", "name": "copy", "creationTimestamp": "2026-11-01T00:00:00Z"},
                "spec": {"schedule": "0 4 * * *", "jobTemplate": {"spec": {"template": {"spec": {"containers": args}}}}},
            });
            for (pointer, value) in more.as_object().unwrap() {
                *object.pointer_mut(pointer).unwrap() = value.clone();
            }
            assert_eq!(Schedule::of(&object), None, "it makes no backups");
            Schedule::of_exports(&object).unwrap()
        };
        let none = "no copy outside the cluster is proven, though CronJob copy exports";
        let old = "the newest backup with a proven copy outside the cluster is 2d3h old, though CronJob copy exports";
        let suspended = json!({"/spec": {"schedule": "0 4 * * *", "suspend": true, "jobTemplate": {"spec": {"template": {"spec":
            {"containers": [{"image": "backup-ns", "args": ["export"]}]}}}}}});
        let young = json!({"/metadata/creationTimestamp": "2026-11-21T00:00:00Z"});
        for (backup, exports, scheduled, notes) in [
            (fresh(), vec![], false, &[][..]),
            (fresh(), vec![export(json!({}))], true, &[none]),
            (fresh(), vec![export(young)], true, &[]),
            (fresh(), vec![export(suspended)], false, &[]),
            (exported("copied", "2026-11-20T10:00"), vec![export(json!({}))], true, &[]),
            (exported("copied", "2026-11-20T09:00"), vec![export(json!({}))], true, &[old]),
            (exported("copied", "2026-11-20T09:00"), vec![], false, &[]),
        ] {
            let snapshots = vec![fresh(), backup];
            let schedules = vec![cronjob("shop", json!({}))];
            let config_maps = Some(ConfigMaps::new());
            let claims = vec![claim("shop", "data")];
            let judged = one(Read { snapshots, claims, schedules, exports, config_maps, ..Read::default() });
            assert_eq!(
                (judged.export_scheduled, &judged.notes[..]),
                (Some(scheduled), &Vec::from_iter(notes.iter().map(|it| it.to_string()))[..])
            );
        }
    }

    #[test]
    fn a_copy_of_what_is_no_good_backup_does_not_count() {
        let mut bad = exported("bad", "2026-11-22T02:00");
        bad.record.distrusted = true;
        let snapshots = vec![bad, exported("good", "2026-11-20T02:00")];
        let judged = one(Read { snapshots, claims: vec![claim("shop", "data")], ..Read::default() });
        assert_eq!(judged.newest_exported.unwrap().name, "good");
    }

    #[test]
    fn a_well_protected_claim_has_no_notes() {
        let proof = json!({
            "tool": "pg_dump", "database": "app", "bytes": 1234, "sha256": "e3", "began": "2026-11-22T01:58:00Z",
            "ended": "2026-11-22T01:59:00Z", "file": "/d", "pathInVolume": "d", "pod": "p", "container": "c",
            "server": {"version": "17.12"},
        });
        let good = json!({"verdict": "good", "at": "2026-11-22T13:00:00+02:00"});
        let annotations =
            json!({"backup-ns.sh/dump-postgres": proof.to_string(), "backup-ns.sh/verification": good.to_string()});
        let read = Read {
            snapshots: vec![
                exported("old", "2026-11-21T02:00"),
                shot("shop", "new", "2026-11-22T02:00", json!({}), json!({"metadata.annotations": annotations})),
            ],
            claims: vec![claim("shop", "data")],
            schedules: vec![cronjob("shop", json!({}))],
            config_maps: Some(ConfigMaps::new()),
            ..Read::default()
        };
        let judged = serde_json::to_value(one(read)).unwrap();
        let expected = json!({
            "namespace": "shop", "pvc": "data", "exists": true, "phase": "Bound", "scheduled": true,
            "cronJobs": [{"namespace": "shop", "name": "backup", "schedule": "0 3 * * *", "suspended": false, "dryRun": false}],
            "snapshots": {"ready": 2, "pending": 0, "failed": 0, "distrusted": 0},
            "newest": {"name": "new", "state": "ready", "created": "2026-11-22T02:00:00Z"},
            "newestReady": {
                "name": "new", "made": "2026-11-22T02:00:00Z", "ageSeconds": 36000, "restoreSize": "1Gi",
                "dumps": {"postgres": {"bytes": 1234, "tool": "pg_dump", "serverVersion": "17.12", "seconds": 60}},
            },
            "newestVerified": {"name": "new", "at": "2026-11-22T11:00:00Z", "ageSeconds": 3600},
            "exportScheduled": false,
            "newestExported": {
                "name": "old", "made": "2026-11-21T02:00:00Z", "ageSeconds": 122400, "at": "2026-11-22T03:00:00Z",
            },
            "notes": [],
        });
        assert_eq!(judged, expected);
    }

    #[test]
    fn the_dumps_of_several_databases_are_counted_together() {
        let proof = |minutes: &str, bytes: u64, more: Value| {
            json!({
                "tool": "pg_dump", "database": "app", "bytes": bytes, "sha256": "e3", "began": "2026-11-22T01:50:00Z",
                "ended": format!("2026-11-22T01:{minutes}:00Z"), "file": "/d", "pathInVolume": "d", "pod": "p",
                "container": "c", "more": more,
            })
        };
        let dump = |proof: Value| {
            let annotations = json!({"backup-ns.sh/dump-postgres": proof.to_string()});
            let shot = shot("shop", "new", "2026-11-22T02:00", json!({}), json!({"metadata.annotations": annotations}));
            (shot.dumps[0].1.bytes, shot.dumps[0].1.seconds)
        };
        let other = proof("53", 200, json!([]));
        assert_eq!(dump(proof("51", 100, json!([other]))), (300, Some(240)));
        let broken = proof("x", 200, json!([]));
        assert_eq!(dump(proof("51", 100, json!([broken]))), (300, None));
    }

    #[test]
    fn a_failed_night_is_noted() {
        let error =
            json!({"status.readyToUse": false, "status.creationTime": null, "status.error": {"message": "full"}});
        let read = |more: Value, cron: Value| Read {
            snapshots: vec![
                shot("shop", "good", "2026-11-21T02:00", json!({}), json!({})),
                shot("shop", "night", "2026-11-22T11:55", json!({}), more),
            ],
            claims: vec![claim("shop", "data")],
            schedules: vec![cronjob("shop", cron)],
            config_maps: Some(ConfigMaps::new()),
            ..Read::default()
        };
        let failed = one(read(error, json!({"status.lastScheduleTime": "2026-11-22T03:00:00Z"})));
        assert_eq!((failed.count(State::Ready), failed.count(State::Failed)), (1, 1));
        assert_eq!(failed.newest_ready.as_ref().unwrap().name, "good");
        let notes = ["the last attempt, night, failed: full", "the last run of CronJob backup, 9h ago, failed"];
        assert_eq!(failed.notes, notes);
        let dry_run = json!({"args": ["create", "--dry-run"], "name": "b", "image": "backup-ns"});
        let dry_run = json!({"spec.jobTemplate": {"spec": {"template": {"spec": {"containers": [dry_run]}}}}});
        let dry = one(read(json!({}), dry_run));
        assert_eq!((dry.scheduled, dry.cron_jobs[0].dry_run), (Some(false), true));
        assert_eq!(dry.notes, ["CronJob backup only prints its plan (BAK_DRY_RUN)"]);
        let pending = json!({"status.readyToUse": false, "status.creationTime": null});
        let waits = one(read(pending, json!({"spec.suspend": true})));
        assert_eq!(waits.notes, ["the last attempt, night, is not ready yet", "CronJob backup is suspended"]);
        assert_eq!((waits.scheduled, waits.count(State::Pending)), (Some(false), 1));
        assert_eq!([failed.newest_decided, waits.newest_decided], [Some(State::Failed), Some(State::Ready)]);
        let distrusted = json!({"metadata.annotations": {"backup-ns.sh/distrusted": "why"}});
        let bad = one(read(distrusted, json!({})));
        assert_eq!(bad.notes, ["the last attempt, night, must not be trusted"]);
        assert_eq!(bad.newest_ready.unwrap().name, "good");
    }

    #[test]
    fn a_late_backup_is_noted() {
        let made = json!({"metadata.creationTimestamp": "2026-10-01T00:00:00Z"});
        let judge_claim = |claim: ClaimStatus, backups: &[&str], cron: &Value| {
            let read = Read {
                snapshots: backups.iter().map(|made| shot("shop", made, made, json!({}), json!({}))).collect(),
                claims: vec![claim],
                schedules: vec![cronjob("shop", cron.clone())],
                config_maps: Some(ConfigMaps::new()),
                ..Read::default()
            };
            let protection = one(read);
            (protection.notes, protection.late)
        };
        let judged = |backups: &[&str], cron: &Value| judge_claim(claim("shop", "data"), backups, cron);
        let late = |note: &str| (vec![note.to_string()], Some("backup".to_string()));
        let old = "the newest good backup is 29d old, though CronJob backup makes them";
        assert_eq!(judged(&["2026-10-24T02:00"], &made), late(old));
        assert_eq!(judged(&["2026-10-24T02:00", "2026-11-22T02:00"], &made), (vec![], None));
        assert_eq!(judged(&[], &made), late("there is no good backup, though CronJob backup makes them"));
        let new = ClaimStatus { made_empty: Some(at("2026-11-22T00:00")), ..claim("shop", "data") };
        assert_eq!(judge_claim(new, &[], &made).1, None);
        // Made tonight.
        let young = json!({"metadata.creationTimestamp": "2026-11-22T00:00:00Z"});
        assert_eq!(judged(&["2026-10-24T02:00"], &young), (vec![], None));
    }

    #[test]
    fn an_empty_claim_that_is_younger_than_its_backups_is_noted() {
        let judged = |made: &str, spec: Value, annotations: Value| {
            let claim = json!({
                "metadata": {"namespace": "shop", "name": "data", "creationTimestamp": made, "annotations": annotations},
                "spec": spec, "status": {"phase": "Bound"},
            });
            let read = Read {
                snapshots: vec![shot("shop", "night", "2026-11-22T02:00", json!({}), json!({}))],
                claims: vec![serde_json::from_value::<Pvc>(claim).unwrap().into()],
                schedules: vec![cronjob("shop", json!({}))],
                config_maps: Some(ConfigMaps::new()),
                ..Read::default()
            };
            one(read).notes
        };
        let (before, after) = ("2026-11-22T01:00:00Z", "2026-11-22T11:00:00Z");
        let note = "the claim is younger than its newest backup, and was not made from one";
        let made = || json!({"volume.kubernetes.io/storage-provisioner": "csi"});
        assert_eq!(judged(after, json!({}), made()), [note]);
        assert_eq!(judged(before, json!({}), made()), [""; 0]);
        let source = json!({"dataSource": {"kind": "VolumeSnapshot", "name": "night"}});
        assert_eq!(judged(after, source, made()), [""; 0]);
        let mut restored = made();
        restored["backup-ns.sh/restored-from"] = json!("shop/night");
        assert_eq!(judged(after, json!({}), restored), [""; 0]);
        assert_eq!(judged(after, json!({"volumeName": "pv-1"}), json!({})), [""; 0], "it is bound to its old volume");
    }

    #[test]
    fn a_snapshot_that_is_slow_failed() {
        let slow = json!({"status.readyToUse": false, "status.creationTime": null});
        let snapshots = vec![shot("shop", "slow", "2026-11-22T11:40", json!({}), slow)];
        let judged = one(Read { snapshots, ..Read::default() });
        assert_eq!(judged.count(State::Failed), 1);
        let notes = [
            "the claim is not there",
            "there is no good backup",
            "the last attempt, slow, never became ready",
            "no CronJob makes backups of it",
        ];
        assert_eq!(judged.notes, notes);
    }

    #[test]
    fn a_failure_counts_until_a_newer_one_is_ready() {
        let error = || json!({"status.readyToUse": false, "status.error": {"message": "full"}});
        let since = |good: &str| {
            let mut snapshots = ["2026-11-20T02:00", "2026-11-21T02:00"]
                .map(|made| shot("shop", made, made, json!({}), error()))
                .to_vec();
            if !good.is_empty() {
                snapshots.push(shot("shop", "good", good, json!({}), json!({})));
            }
            one(Read { snapshots, ..Read::default() }).failed_since
        };
        assert_eq!(["", "2026-11-19T02:00", "2026-11-20T12:00", "2026-11-22T02:00"].map(since), [2, 2, 1, 0]);
    }

    #[test]
    fn a_cut_in_the_future_is_not_the_newest() {
        let error =
            json!({"status.readyToUse": false, "status.creationTime": null, "status.error": {"message": "full"}});
        let ahead = json!({"status.creationTime": "2028-10-22T02:00:00Z"});
        let snapshots = vec![
            shot("shop", "ahead", "2026-11-10T02:00", json!({}), ahead),
            shot("shop", "good", "2026-11-20T02:00", json!({}), json!({})),
            shot("shop", "night", "2026-11-22T02:00", json!({}), error),
        ];
        let judged = one(Read { snapshots, claims: vec![claim("shop", "data")], ..Read::default() });
        let ready = judged.newest_ready.unwrap();
        assert_eq!((ready.name.as_str(), ready.age_seconds), ("good", 58 * 3600));
        assert_eq!((judged.newest.unwrap().name.as_str(), judged.failed_since), ("night", 1));
        let note = "ahead says that it was cut in the future, on 2028-10-22: the clock of its driver was wrong";
        assert!(judged.notes.iter().any(|judged| judged == note), "{:?}", judged.notes);
    }

    #[test]
    fn what_is_no_backup_does_not_count() {
        let at = "2026-11-22T02:00";
        let snapshots = vec![
            shot("shop", "safety", at, json!({"backup-ns.sh/type": "safety"}), json!({})),
            shot("shop", "clone", at, json!({"backup-ns.sh/type": "clone"}), json!({})),
            shot("shop", "going", at, json!({}), json!({"metadata.deletionTimestamp": "2026-11-22T03:00:00Z"})),
            shot(
                "shop",
                "foreign",
                at,
                json!({"backup-ns.sh/type": null, "backup-ns.sh/pvc": null, "backup-ns.sh/retain": null}),
                json!({}),
            ),
        ];
        let judged = one(Read { snapshots, claims: vec![claim("shop", "data")], ..Read::default() });
        assert!(judged.newest.is_none() && !judged.is_managed());
        assert_eq!(judged.notes, ["it has no backups, and no CronJob makes any"]);
    }

    #[test]
    fn a_schedule_for_a_claim_that_is_not_there_is_told() {
        let read = Read {
            schedules: vec![cronjob("shop", json!({}))],
            config_maps: Some(ConfigMaps::new()),
            claims: vec![claim("bank", "data")],
            ..Read::default()
        };
        let claims = judge(read).claims;
        assert_eq!(claims.iter().map(|one| one.namespace.as_str()).collect::<Vec<_>>(), ["bank", "shop"]);
        assert_eq!(claims[1].notes, ["the claim is not there", "there is no good backup"]);
        assert_eq!((claims[1].scheduled, claims[0].scheduled), (Some(true), Some(false)));
    }

    #[test]
    fn an_unfinished_in_place_restore_is_noted() {
        let note = json!({"metadata.annotations": {"backup-ns.sh/restoring": "{}"}});
        let begun =
            |kind: &str| shot("shop", "a", "2026-11-22T02:00", json!({"backup-ns.sh/type": kind}), note.clone());
        let notes = |kind| one(Read { snapshots: vec![begun(kind)], ..Read::default() }).notes;
        // Of a snapshot that is no backup, too.
        for kind in ["cronjob", "safety"] {
            let notes = notes(kind);
            assert_eq!(notes[..2], ["an in-place restore of a is not finished", "the claim is not there"], "{notes:?}");
        }
    }

    #[test]
    fn a_claim_that_is_being_deleted_is_told() {
        let going = json!({
            "metadata": {"namespace": "shop", "name": "data", "deletionTimestamp": "2026-11-22T11:00:00Z"},
            "status": {"phase": "Bound"},
        });
        let claims = vec![serde_json::from_value::<Pvc>(going).unwrap().into()];
        let snapshots = vec![shot("shop", "a", "2026-11-22T02:00", json!({}), json!({}))];
        let judged = one(Read {
            snapshots,
            claims,
            schedules: vec![cronjob("shop", json!({}))],
            config_maps: Some(ConfigMaps::new()),
            ..Read::default()
        });
        assert_eq!(
            (judged.phase.as_deref(), &judged.notes[..]),
            (Some("Terminating"), &["the claim is being deleted".to_string()][..])
        );
    }

    #[test]
    fn what_was_not_read_is_not_known() {
        let unread = |what| Unread { what, namespace: "shop".into(), reason: "no".into() };
        let read =
            || Read { snapshots: vec![shot("shop", "a", "2026-11-22T02:00", json!({}), json!({}))], ..Read::default() };
        let judged = one(Read { unread: vec![unread("persistentvolumeclaims"), unread("cronjobs")], ..read() });
        assert_eq!((judged.exists, judged.scheduled, judged.notes.len()), (None, None, 0));
        let elsewhere = Unread { namespace: "bank".into(), ..unread("cronjobs") };
        assert_eq!(one(Read { unread: vec![elsewhere], ..read() }).scheduled, Some(false));
        // A CronJob whose ConfigMap may not be read says nothing, and that is said.
        let mut from = cronjob("shop", json!({}));
        from = {
            let mut object = json!({"metadata": {"namespace": "shop", "name": from.name}, "spec": {"jobTemplate": {"spec": {"template": {"spec": {
                "containers": [{"image": "backup-ns", "envFrom": [{"configMapRef": {"name": "x"}}]}]}}}}}});
            object["status"] = json!({});
            Schedule::of(&object).unwrap()
        };
        let report = judge(Read { schedules: vec![from], ..read() });
        assert_eq!(report.claims[0].scheduled, None);
        assert!(report.unread[0].reason.contains("the ConfigMap x may not be read"), "{report:?}");
        // Nor of the namespace that it is for.
        let secret = json!({"name": "BAK_PVC_NAME", "valueFrom": {"secretKeyRef": {"name": "x", "key": "pvc"}}});
        let container = json!({"image": "backup-ns", "args": ["create", "-n", "shop"], "env": [secret]});
        let central = json!({"spec.jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}});
        let report = judge(Read { schedules: vec![cronjob("central", central)], ..read() });
        assert_eq!((report.claims[0].scheduled, report.unread.len()), (None, 1));
    }

    #[test]
    fn overdue_is_what_a_sweep_would_delete_two_days_later() {
        let due = |name: &str, date: &str| {
            shot("shop", name, "2026-11-10T02:00", json!({"backup-ns.sh/delete-after": date}), json!({}))
        };
        let mut source = claim("shop", "look");
        source.sources = vec![("shop".into(), "used".into())];
        let snapshots = vec![
            shot("shop", "new", "2026-11-22T02:00", json!({}), json!({})),
            due("late", "2026-11-20"),
            due("tonight", "2026-11-21"),
            due("used", "2026-11-01"),
            due("no-date", "soon"),
            // The newest of its claim stays, even after its date.
            shot("bank", "only", "2026-11-10T02:00", json!({"backup-ns.sh/delete-after": "2026-11-11"}), json!({})),
        ];
        let report = judge(Read { snapshots, claims: vec![source], ..Read::default() });
        let late =
            Overdue { namespace: "shop".into(), volume_snapshot: "late".into(), delete_after: "2026-11-20".into() };
        assert_eq!(report.overdue, [late]);
    }

    #[test]
    fn stored_data_of_ours_without_a_snapshot_is_an_orphan() {
        let content = |name: &str, uid: &str, labels: Value, more: Value| {
            let mut object = json!({
                "metadata": {"name": name, "labels": labels, "creationTimestamp": "2026-11-22T02:00:00Z"},
                "spec": {"deletionPolicy": "Retain", "volumeSnapshotRef": {"namespace": "shop", "name": "a", "uid": uid}},
            });
            for (key, value) in more.as_object().unwrap() {
                object["metadata"][key] = value.clone();
            }
            Stored::of(serde_json::from_value::<Content>(object).unwrap())
        };
        let ours = || json!({"backup-ns.sh/pvc": "data"});
        let never_synced = || {
            let reference = json!({"namespace": "shop", "name": "data-2026-11-22-020000-abcdef", "uid": "uid-gone"});
            let object = json!({"metadata": {"name": "never-synced", "creationTimestamp": "2026-11-22T02:00:00Z"}, "spec": {"volumeSnapshotRef": reference}});
            Stored::of(serde_json::from_value::<Content>(object).unwrap())
        };
        let all = || {
            let all = [
                content("bound", "uid-a", ours(), json!({})),
                content("lost", "uid-gone", ours(), json!({})),
                content("foreign", "uid-gone", json!({}), json!({})),
                content("going", "uid-gone", ours(), json!({"deletionTimestamp": "2026-11-22T03:00:00Z"})),
                content("by-hand", "", ours(), json!({})),
                never_synced(),
            ];
            all.into_iter().flatten().collect::<Vec<Stored>>()
        };
        let snapshots = [shot("shop", "a", "2026-11-22T02:00", json!({}), json!({}))];
        let names = |orphans: Vec<Orphan>| orphans.into_iter().map(|orphan| orphan.name).collect::<Vec<_>>();
        let orphans = |snapshots, covers: fn(&str) -> bool| leftovers(all(), snapshots, covers).orphans;
        assert_eq!(names(orphans(&snapshots, |_| true)), ["lost", "never-synced"]);
        assert_eq!(names(orphans(&[], |_| true)), ["bound", "by-hand", "lost", "never-synced"]);
        assert!(orphans(&[], |namespace| namespace != "shop").is_empty());
    }

    /// Contents of ours: name, its VolumeSnapshot's namespace and uid, driver, handle.
    fn contents(rows: &[[&str; 5]]) -> Vec<Stored> {
        let content = |[name, namespace, uid, driver, handle]: &[&str; 5]| {
            let object = json!({
                "metadata": {"name": name, "creationTimestamp": "2026-11-22T02:00:00Z", "labels": {"backup-ns.sh/pvc": "data"}},
                "spec": {"driver": driver, "source": {"snapshotHandle": handle},
                    "volumeSnapshotRef": {"namespace": namespace, "name": "a", "uid": uid}},
            });
            Stored::of(serde_json::from_value::<Content>(object).unwrap())
        };
        rows.iter().filter_map(content).collect()
    }

    #[test]
    fn what_shares_its_data_is_no_orphan() {
        let snapshots = [shot("shop", "a", "2026-11-22T02:00", json!({}), json!({}))];
        let check = |rows: &[[&str; 5]], orphans: &[&str], superfluous: &[(&str, &str)]| {
            let found = leftovers(contents(rows), &snapshots, |namespace| namespace == "shop");
            let names: Vec<&str> = found.orphans.iter().map(|one| one.name.as_str()).collect();
            let pairs: Vec<(&str, &str)> =
                found.superfluous.iter().map(|one| (one.content.name.as_str(), one.shares_data_of.as_str())).collect();
            assert_eq!((&names[..], &pairs[..]), (orphans, superfluous), "{rows:?}");
        };
        let bound = ["bound", "shop", "uid-a", "d", "h"];
        let old = ["old", "shop", "uid-gone", "d", "h"];
        let clone = ["clone-1", "shop", "uid-gone", "d", "h"];
        // In a namespace that may not be read.
        let hidden = ["hidden", "bank", "uid-x", "d", "h"];
        check(&[old], &["old"], &[]);
        check(&[bound, old], &[], &[("old", "bound")]);
        check(&[hidden, old], &[], &[("old", "hidden")]);
        check(&[bound, clone], &[], &[("clone-1", "bound")]);
        check(&[hidden, clone], &[], &[("clone-1", "hidden")]);
        check(&[hidden], &[], &[]);
        // Where none is bound one stays, and that is no clone.
        check(&[old, clone], &[], &[("clone-1", "old")]);
        check(&[old, ["older", "shop", "uid-gone", "d", "h"]], &[], &[("old", "older")]);
        // Other data.
        check(&[bound, ["old", "shop", "uid-gone", "other", "h"]], &["old"], &[]);
        check(&[bound, ["old", "shop", "uid-gone", "d", "i"]], &["old"], &[]);
        check(&[["x", "shop", "uid-gone", "d", ""], ["y", "shop", "uid-gone", "d", ""]], &["x", "y"], &[]);
        // One that is not of ours, or is going, names it all the same.
        let mut foreign = contents(&[["foreign", "bank", "uid-x", "d", "h"]]);
        foreign[0].orphan = None;
        let found = leftovers(foreign.into_iter().chain(contents(&[old])).collect(), &snapshots, |_| true);
        assert_eq!((found.orphans.len(), found.superfluous.len()), (0, 1));
    }

    #[test]
    fn a_snapshot_whose_data_is_shared_is_not_overdue() {
        let due = json!({"backup-ns.sh/delete-after": "2026-11-01"});
        let all = || {
            vec![
                shot("shop", "new", "2026-11-22T02:00", json!({}), json!({})),
                shot("shop", "a", "2026-11-10T02:00", due.clone(), json!({})),
            ]
        };
        let overdue = |rows: &[[&str; 5]]| {
            let leftovers = Some(leftovers(contents(rows), &all(), |_| true));
            judge(Read { snapshots: all(), leftovers, ..Read::default() }).overdue.len()
        };
        let own = ["own", "shop", "uid-a", "d", "h"];
        assert_eq!((overdue(&[own]), overdue(&[own, ["twin", "bank", "uid-b", "d", "h"]])), (1, 0));
    }

    #[test]
    fn a_deletion_that_is_at_work_no_more_is_named() {
        let begun = |deleted: Value, note: Value| {
            let more = json!({
                "metadata.finalizers": [labels::DELETION_FINALIZER], "metadata.deletionTimestamp": deleted,
                "metadata.annotations": {labels::DELETING: note},
            });
            let read =
                Read { snapshots: vec![shot("shop", "a", "2026-11-10T02:00", json!({}), more)], ..Read::default() };
            judge(read).unfinished_deletions.len()
        };
        let (old, young) = (json!("2026-11-22T11:44:00Z"), json!("2026-11-22T11:46:00Z"));
        assert_eq!(begun(old.clone(), old.clone()), 1);
        assert_eq!(begun(young.clone(), young.clone()), 0, "it may be at work");
        assert_eq!(begun(old.clone(), json!("")), 1, "of a pruning");
        assert_eq!(begun(young, json!("")), 0);
        assert_eq!(begun(Value::Null, old), 1, "killed before the deletion itself");
        let gone = shot(
            "shop",
            "a",
            "2026-11-10T02:00",
            json!({}),
            json!({"metadata.deletionTimestamp": "2026-11-01T00:00:00Z"}),
        );
        assert_eq!(judge(Read { snapshots: vec![gone], ..Read::default() }).unfinished_deletions, []);
    }

    #[test]
    fn stored_data_is_as_old_as_its_cut() {
        let created = |cut: Value| {
            let object = json!({
                "metadata": {"name": "clone-1", "creationTimestamp": "2026-11-22T02:00:00Z"},
                "spec": {"source": {"snapshotHandle": "h"}, "volumeSnapshotRef": {"namespace": "shop", "name": "a", "uid": "u"}},
                "status": {"creationTime": cut},
            });
            let content = serde_json::from_value::<Content>(object).unwrap();
            let read = Read {
                leftovers: Some(leftovers(Stored::of(content).into_iter().collect(), &[], |_| true)),
                ..Read::default()
            };
            serde_json::to_value(judge(read)).unwrap()["orphanedContents"][0]["created"].clone()
        };
        assert_eq!(created(json!(1_792_000_000_123_456_789_i64)), "2026-10-14T17:46:40Z");
        assert_eq!(created(Value::Null), "2026-11-22T02:00:00Z");
        assert_eq!(created(json!(1_892_000_000_000_000_000_i64)), "2026-11-22T02:00:00Z", "no clock is that wrong");
    }
}
