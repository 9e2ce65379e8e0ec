//! The input of retention: a small record of every snapshot of ours, grouped by PVC, and the snapshots that are always kept.
//! Must not know what is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::core::escape::short;
use crate::core::kube::labels;
#[cfg(doc)]
use crate::core::kube::objects::Meta;
use crate::core::kube::objects::Snapshot;
use crate::core::retention::group_member::Membership;
use crate::core::retention::slot::SlotKind;
use crate::core::time_zone::Zone;

/// The longest error text that is kept, in characters.
const LONGEST_ERROR: usize = 1000;

/// The fields of a snapshot that decisions need, and no others, because tens of thousands are in memory at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The resourceVersion; a decision holds only for this version.
    pub version: String,
    /// The PVC, shortened by [`labels::pvc_value`]; empty if it is unknown.
    pub pvc: String,
    /// Whether its policy is `daily_weekly_monthly`.
    pub by_slots: bool,
    /// The values of its slot labels, in the order of [`SlotKind::ALL`].
    pub slots: [Option<String>; 3],
    /// The value of its `delete-after` label.
    pub delete_after: Option<String>,
    /// When the object was created.
    pub created: DateTime<Utc>,
    /// When the storage cut it.
    pub cut: Option<DateTime<Utc>>,
    pub ready: bool,
    pub error: Option<String>,
    /// Whether [`labels::DISTRUSTED`] is set.
    pub distrusted: bool,
    /// Whether its copy outside the cluster is proven, see [`Meta::has_proven_copy`].
    pub exported: bool,
    /// Whether an in-place restore from it is running.
    pub restoring: bool,
    /// Whether it has a deletionTimestamp.
    pub deleting: bool,
    /// Whether it has the finalizer of a deletion by backup-ns.
    pub has_finalizer: bool,
    /// Its deletionTimestamp.
    pub deleted: Option<DateTime<Utc>>,
    /// When the command `delete` began to delete it, by [`labels::DELETING`].
    pub delete_began: Option<DateTime<Utc>>,
    /// The group snapshot that it is a member of.
    pub group: Option<Membership>,
}

/// How long the command `delete` may work on one snapshot. Only after that its unfinished deletions are touched.
pub const AT_WORK: TimeDelta = TimeDelta::minutes(15);

/// The state of a snapshot, for retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Ready, and not distrusted: a backup.
    Good,
    /// Ready, but distrusted.
    Distrusted,
    /// Not ready yet, within the timeout.
    Pending,
    /// As [`Standing::Pending`], with an error that may pass.
    Failing,
    /// Not ready after the timeout.
    Failed,
    /// Deleted; the object may still exist.
    Deleting,
}

/// The time and the settings of a decision.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: DateTime<Utc>,
    /// The zone of every date.
    pub zone: Zone,
    /// How long a snapshot may take to become ready before it counts as failed.
    pub ready_timeout: Duration,
}

impl Moment {
    pub fn today(&self) -> NaiveDate {
        self.zone.local(self.now).date_naive()
    }
}

impl From<Snapshot> for Record {
    fn from(snapshot: Snapshot) -> Record {
        let group = Membership::of(&snapshot);
        let Snapshot { metadata: meta, spec, status } = snapshot;
        let label = |key: &str| meta.labels.get(key).cloned();
        let source = spec.source.persistent_volume_claim_name.as_deref().map(labels::pvc_value);
        Record {
            pvc: source.or_else(|| label(labels::PVC)).unwrap_or_default(),
            by_slots: label(labels::RETAIN).as_deref() == Some(labels::RETAIN_SLOTS),
            slots: SlotKind::ALL.map(|kind| label(kind.label())),
            delete_after: label(labels::DELETE_AFTER),
            created: meta.creation_timestamp,
            cut: status.creation_time,
            ready: status.ready_to_use == Some(true),
            error: status.error.map(|error| {
                short(&error.message.unwrap_or_else(|| "no reason given".into()), LONGEST_ERROR).into_owned()
            }),
            distrusted: meta.annotations.contains_key(labels::DISTRUSTED),
            exported: meta.has_proven_copy(),
            restoring: meta.annotations.contains_key(labels::RESTORING),
            deleting: meta.deletion_timestamp.is_some(),
            has_finalizer: meta.finalizers.iter().any(|finalizer| finalizer == labels::DELETION_FINALIZER),
            deleted: meta.deletion_timestamp,
            delete_began: meta
                .annotations
                .get(labels::DELETING)
                .and_then(|time| DateTime::parse_from_rfc3339(time).ok())
                .map(|time| time.to_utc()),
            group,
            uid: meta.uid,
            namespace: meta.namespace,
            name: meta.name,
            version: meta.resource_version,
        }
    }
}

/// The largest difference between clocks of a cluster that is tolerated.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// Whether the time of a cut is in the future, because the driver's clock was wrong.
pub fn is_ahead(cut: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    cut.is_some_and(|cut| cut > now + CLOCKS)
}

/// The time of a snapshot's data: its `status.creationTime`. Before the cut, or if the cut [`is_ahead`], it is the time when the
/// object was created: otherwise a cut in the future would make this snapshot the newest until then.
pub fn made(cut: Option<DateTime<Utc>>, created: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    cut.filter(|cut| !is_ahead(Some(*cut), now)).unwrap_or(created)
}

impl Record {
    /// See [`made`].
    pub fn made(&self, moment: &Moment) -> DateTime<Utc> {
        made(self.cut, self.created, moment.now)
    }

    pub fn standing(&self, moment: &Moment) -> Standing {
        let ready_timeout = TimeDelta::from_std(moment.ready_timeout).unwrap_or(TimeDelta::MAX);
        match self {
            Record { deleting: true, .. } => Standing::Deleting,
            Record { ready: true, distrusted: false, .. } => Standing::Good,
            Record { ready: true, .. } => Standing::Distrusted,
            Record { created, .. } if moment.now - created >= ready_timeout => Standing::Failed,
            Record { error: Some(_), .. } => Standing::Failing,
            _ => Standing::Pending,
        }
    }

    /// Whether a `delete` may be working on it.
    pub fn is_at_work(&self, moment: &Moment) -> bool {
        let is_recent = |begun: DateTime<Utc>| moment.now - begun < AT_WORK && !is_ahead(Some(begun), moment.now);
        self.has_finalizer && self.delete_began.is_some_and(is_recent)
    }

    /// Whether a deletion by backup-ns was interrupted. mark-and-delete does not note when it began, so its deletions count as
    /// interrupted after [`AT_WORK`].
    pub fn is_unfinished(&self, moment: &Moment) -> bool {
        let is_old = self.deleted.is_some_and(|deleted| moment.now - deleted >= AT_WORK);
        self.has_finalizer && !self.is_at_work(moment) && (is_old || self.delete_began.is_some())
    }

    /// The date of its `delete-after` label, if that is valid.
    pub fn leaves(&self) -> Option<NaiveDate> {
        self.delete_after.as_deref().and_then(date)
    }

    /// The value of its slot label.
    pub fn slot(&self, kind: SlotKind) -> Option<&str> {
        self.slots[kind as usize].as_deref()
    }

    /// Orders snapshots newest first: by the cut, then by the creation of the object, then by name.
    fn rank(&self, moment: &Moment) -> impl Ord + '_ {
        std::cmp::Reverse((self.made(moment), self.created, &self.name))
    }
}

/// Parses a `delete-after` label. Only `YYYY-MM-DD` is valid.
pub fn date(label: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(label, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == label).then_some(date)
}

/// The reason to keep a snapshot of the [`ClaimHistory::floor`].
pub const FLOOR: &str = "newest ready snapshot of its PVC";

/// The snapshots of one PVC, newest first.
#[derive(Debug)]
pub struct ClaimHistory<'a> {
    pub snapshots: Vec<&'a Record>,
    /// The positions of the snapshots that are always kept: the newest ready one, and the newest that is a backup.
    pub floor: BTreeSet<usize>,
}

impl<'a> ClaimHistory<'a> {
    fn new(mut snapshots: Vec<&'a Record>, moment: &Moment) -> ClaimHistory<'a> {
        snapshots.sort_by(|a, b| a.rank(moment).cmp(&b.rank(moment)));
        let first = |wanted: &[Standing]| snapshots.iter().position(|seen| wanted.contains(&seen.standing(moment)));
        let floor = [first(&[Standing::Good, Standing::Distrusted]), first(&[Standing::Good])];
        ClaimHistory { floor: floor.into_iter().flatten().collect(), snapshots }
    }

    /// Splits snapshots by namespace and PVC. A snapshot of an unknown PVC is a history by itself, so that it is kept if it is ready.
    pub fn all(snapshots: &'a [Record], moment: &Moment) -> Vec<ClaimHistory<'a>> {
        let mut histories: BTreeMap<(&str, &str, &str), Vec<&Record>> = BTreeMap::new();
        for seen in snapshots {
            let alone = if seen.pvc.is_empty() { seen.name.as_str() } else { "" };
            histories.entry((&seen.namespace, &seen.pvc, alone)).or_default().push(seen);
        }
        histories.into_values().map(|snapshots| ClaimHistory::new(snapshots, moment)).collect()
    }
}

/// A decision about a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub namespace: String,
    pub name: String,
    pub pvc: String,
    /// The resourceVersion for which it holds.
    #[serde(skip)]
    pub version: String,
    #[serde(flatten)]
    pub action: Action,
    pub reason: String,
    /// Whether the user should check the snapshot.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
    /// Whether it is kept only because no copy of it outside the cluster is proven.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unexported: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    Keep,
    /// Remove and add slot labels.
    Label {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        remove: Vec<SlotKind>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        give: BTreeMap<SlotKind, String>,
    },
    /// Set `delete-after`, `YYYY-MM-DD`.
    #[serde(rename_all = "camelCase")]
    Mark {
        delete_after: String,
    },
    /// Delete the snapshot and its stored data.
    Delete,
    /// Call off a deletion: remove its finalizer, and keep the stored data.
    Release,
}

impl Action {
    pub fn word(&self) -> &'static str {
        match self {
            Action::Keep => "keep",
            Action::Label { .. } => "label",
            Action::Mark { .. } => "mark",
            Action::Delete => "delete",
            Action::Release => "release",
        }
    }
}

impl Decision {
    pub fn on(seen: &Record, action: Action, reason: impl Into<String>) -> Decision {
        Decision {
            namespace: seen.namespace.clone(),
            name: seen.name.clone(),
            pvc: seen.pvc.clone(),
            version: seen.version.clone(),
            action,
            reason: reason.into(),
            warning: false,
            unexported: false,
        }
    }

    #[must_use]
    pub fn warning(mut self) -> Decision {
        self.warning = true;
        self
    }
}

/// Histories as text, for tests.
#[cfg(test)]
pub mod testing {
    use proptest::prelude::*;

    use super::*;

    /// Parses `2026-11-22T02:00` or `2026-11-22` in UTC. A date without a time means 02:00, when backups are made.
    pub fn at(text: &str) -> DateTime<Utc> {
        let text = if text.contains('T') { format!("{text}:00Z") } else { format!("{text}T02:00:00Z") };
        DateTime::parse_from_rfc3339(&text).expect(&text).to_utc()
    }

    /// This time in UTC, with a timeout of 15 minutes.
    pub fn moment(now: &str) -> Moment {
        Moment { now: at(now), zone: Zone::UTC, ready_timeout: Duration::from_secs(900) }
    }

    /// A ready snapshot of the PVC `data` in `shop`, with the policy of slots and without a slot.
    pub fn ready(name: &str, cut: DateTime<Utc>) -> Record {
        Record {
            namespace: "shop".into(),
            name: name.into(),
            uid: format!("uid-{name}"),
            version: "1".into(),
            pvc: "data".into(),
            by_slots: true,
            slots: [None, None, None],
            delete_after: None,
            created: cut,
            cut: Some(cut),
            ready: true,
            error: None,
            distrusted: false,
            exported: false,
            restoring: false,
            deleting: false,
            has_finalizer: false,
            deleted: None,
            delete_began: None,
            group: None,
        }
    }

    /// Parses a row: name, time of the cut, kinds of the slots that it holds (`dwm`, `-` for none), and further properties as
    /// `key` or `key=value`.
    pub fn parse(row: &str) -> Record {
        let mut words = row.split_whitespace();
        let mut next = || words.next().unwrap_or_else(|| panic!("too short: {row}"));
        let (name, cut, slots) = (next(), at(next()), next());
        let mut seen = ready(name, cut);
        for (kind, letter) in SlotKind::ALL.into_iter().zip(['d', 'w', 'm']) {
            seen.slots[kind as usize] = slots.contains(letter).then(|| kind.value(cut, Zone::UTC));
        }
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "ns" => seen.namespace = value.into(),
                "pvc" => seen.pvc = value.into(),
                "days" => seen.by_slots = false,
                "daily" => seen.slots[0] = Some(value.into()),
                "weekly" => seen.slots[1] = Some(value.into()),
                "monthly" => seen.slots[2] = Some(value.into()),
                "date" => seen.delete_after = Some(value.into()),
                "created" => seen.created = at(value),
                "pending" => (seen.ready, seen.cut) = (false, None),
                "slow" => seen.ready = false,
                "error" => seen.error = Some(value.into()),
                "distrusted" => seen.distrusted = true,
                "exported" => seen.exported = true,
                "restoring" => seen.restoring = true,
                "deleting" => seen.deleting = true,
                "finalizer" => seen.has_finalizer = true,
                "began" => seen.delete_began = Some(at(value)),
                "group" => seen.group = Some(Membership { group: value.into(), is_owned: true }),
                _ => panic!("what is {word}? {row}"),
            }
        }
        seen
    }

    /// A decision as text: the action and the reason.
    pub fn render(verdict: &Decision) -> String {
        let more = match &verdict.action {
            Action::Label { remove, give } => {
                let removed = remove.iter().map(|kind| format!(" -{kind}"));
                removed.chain(give.iter().map(|(kind, slot)| format!(" +{kind}={slot}"))).collect()
            }
            Action::Mark { delete_after } => format!(" {delete_after}"),
            _ => String::new(),
        };
        let warning = if verdict.warning { " (!)" } else { "" };
        format!("{}{more}{warning}: {}", verdict.action.word(), verdict.reason)
    }

    /// Checks decisions against a table. Each row is a snapshot, see [`parse`], and the decision about it, if there is one, is in
    /// the next line after `=>`. Empty lines and comments after `#` are ignored.
    pub fn check(table: &str, decide: impl Fn(&[Record]) -> Vec<Decision>) {
        let lines = table.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line).trim());
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        let rows: Vec<&str> = lines.iter().filter(|line| !line.starts_with("=>")).copied().collect();
        let snapshots: Vec<Record> = rows.iter().map(|row| parse(row)).collect();
        let verdicts = decide(&snapshots);
        let mut actual = Vec::new();
        for (row, seen) in rows.into_iter().zip(&snapshots) {
            actual.push(row.to_string());
            let on = |verdict: &&Decision| (&verdict.namespace, &verdict.name) == (&seen.namespace, &seen.name);
            actual.extend(verdicts.iter().filter(on).map(|verdict| format!("=> {}", render(verdict))));
        }
        assert!(actual == lines, "expected:\n{}\nbut it is:\n{}", lines.join("\n"), actual.join("\n"));
    }

    /// The snapshots after the decisions were executed.
    pub fn apply(snapshots: &[Record], verdicts: &[Decision]) -> Vec<Record> {
        let mut left = snapshots.to_vec();
        for verdict in verdicts {
            let on = |seen: &Record| (&seen.namespace, &seen.name) == (&verdict.namespace, &verdict.name);
            let Some(place) = left.iter().position(on) else { panic!("there is no {}", verdict.name) };
            let seen = &mut left[place];
            match &verdict.action {
                Action::Keep => {}
                Action::Label { remove, give } => {
                    for kind in remove {
                        assert!(seen.slots[*kind as usize].take().is_some(), "{} has no {kind} label", seen.name);
                    }
                    for (kind, slot) in give {
                        seen.slots[*kind as usize] = Some(slot.clone());
                    }
                }
                Action::Mark { delete_after } => seen.delete_after = Some(delete_after.clone()),
                Action::Release if seen.deleting => drop(left.remove(place)),
                Action::Release => seen.has_finalizer = false,
                Action::Delete => drop(left.remove(place)),
            }
        }
        left
    }

    /// The time of decisions about [`histories`], which contain the end of a year with 53 ISO weeks.
    pub const NOW: &str = "2027-01-10T02:00";

    /// Random snapshots of a few PVCs, in any order, with valid and malformed labels.
    pub fn histories() -> impl Strategy<Value = Vec<Record>> {
        prop::collection::vec(any_seen(), 0..24).prop_map(|mut all| {
            for (number, seen) in all.iter_mut().enumerate() {
                // The order of the names has no meaning.
                seen.name = format!("s{:02}", number * 7 % 24);
            }
            all
        })
    }

    fn any_seen() -> impl Strategy<Value = Record> {
        // Most are of one PVC and made within days, so that slots collide; some are minutes old.
        let hours = prop_oneof![4 => 0i64..24 * 12, 2 => 0i64..24 * 400, 1 => Just(0)];
        let place =
            prop::sample::select(vec!["shop/data", "shop/data", "shop/data", "shop/logs", "shop/", "bank/data"]);
        let date = prop_oneof![
            6 => Just(None),
            3 => (-5i64..5).prop_map(|days| Some((at(NOW).date_naive() + TimeDelta::days(days)).to_string())),
            1 => prop::sample::select(vec!["", "soon", "2027-1-1"]).prop_map(|text| Some(text.to_string())),
        ];
        let label = || prop::sample::select(vec!['-', '-', '=', '=', '=', '=', '<', 'o', '!']);
        let times = (hours, prop_oneof![3 => 0i64..60, 1 => 0i64..20], 0i64..20, prop::bool::weighted(0.9));
        let flags = [0.85, 0.8, 0.15, 0.15, 0.1, 0.1, 0.5].map(prop::bool::weighted);
        (place, times, date, [label(), label(), label()], flags).prop_map(|(place, times, date, slots, flags)| {
            let (hours, minutes, delay, cut) = times;
            let [ready_now, by_slots, error, distrusted, deleting, has_finalizer, exported] = flags;
            let made = at(NOW) - TimeDelta::minutes(hours * 60 + minutes);
            let (namespace, pvc) = place.split_once('/').expect("a slash");
            let mut seen = ready("", made);
            for (kind, sort) in SlotKind::ALL.into_iter().zip(slots) {
                let earlier = kind.value(made - TimeDelta::days(3), Zone::UTC);
                seen.slots[kind as usize] = match (sort, kind) {
                    ('-', _) => None,
                    ('<', _) => Some(earlier),
                    ('o', SlotKind::Weekly) => Some(kind.value(made, Zone::UTC)[5..].to_string()),
                    ('!', _) => Some("w99".into()),
                    _ => Some(kind.value(made, Zone::UTC)),
                };
            }
            Record {
                namespace: namespace.into(),
                pvc: pvc.into(),
                by_slots,
                delete_after: date,
                created: made - TimeDelta::minutes(delay),
                cut: (cut || ready_now).then_some(made),
                ready: ready_now,
                error: error.then(|| "no space".into()),
                distrusted,
                exported,
                restoring: false,
                deleting,
                has_finalizer,
                ..seen
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::testing::{at, moment, parse};
    use super::*;

    fn seen(object: serde_json::Value) -> Record {
        serde_json::from_value::<Snapshot>(object).unwrap().into()
    }

    #[test]
    fn an_object_becomes_a_record() {
        let object = json!({
            "metadata": {
                "namespace": "shop", "name": "a", "uid": "uid-a", "resourceVersion": "7", "creationTimestamp": "2026-11-22T02:00:00Z",
                "labels": {
                    "backup-ns.sh/retain": "daily_weekly_monthly", "backup-ns.sh/pvc": "other",
                    "backup-ns.sh/daily": "2026-11-22", "backup-ns.sh/monthly": "2026-11", "backup-ns.sh/delete-after": "",
                },
            },
            "spec": {"source": {"persistentVolumeClaimName": "data"}},
            "status": {"creationTime": "2026-11-22T02:01:00Z", "readyToUse": true, "error": null},
        });
        let expected =
            Record { version: "7".into(), created: at("2026-11-22T02:00"), ..parse("a 2026-11-22T02:01 dm date=") };
        assert_eq!(seen(object), expected);

        // Bound to existing stored data: only the label has the PVC. All marks are read.
        let object = json!({
            "metadata": {
                "namespace": "shop", "name": "a", "uid": "uid-a", "resourceVersion": "7", "creationTimestamp": "2026-11-22T02:00:00Z",
                "deletionTimestamp": "2026-11-22T02:05:00Z", "finalizers": ["other", "backup-ns.sh/sweep"],
                "labels": {"backup-ns.sh/retain": "days", "backup-ns.sh/pvc": "logs", "backup-ns.sh/weekly": "w47"},
                "annotations": {
                    "backup-ns.sh/distrusted": "", "backup-ns.sh/restoring": "{}", "backup-ns.sh/deleting": "2026-11-22T02:04:00Z",
                },
            },
            "spec": {"source": {"volumeSnapshotContentName": "c"}},
            "status": {"error": {}},
        });
        let row = "a 2026-11-22 - days pvc=logs weekly=w47 pending error= distrusted restoring deleting finalizer began=2026-11-22T02:04";
        let deleted = Some(at("2026-11-22T02:05"));
        let expected = Record { version: "7".into(), deleted, error: Some("no reason given".into()), ..parse(row) };
        assert_eq!(seen(object), expected);
    }

    #[test]
    fn standings() {
        for (row, standing) in [
            ("a 2026-11-22 -", Standing::Good),
            // The error is from an earlier attempt.
            ("a 2026-11-22 - error=x", Standing::Good),
            ("a 2026-11-22 - distrusted", Standing::Distrusted),
            ("a 2026-11-22 - deleting", Standing::Deleting),
            ("a 2026-11-22 - pending", Standing::Failed),
            ("a 2026-11-22T11:45 - pending", Standing::Failed),
            ("a 2026-11-22T11:46 - pending", Standing::Pending),
            ("a 2026-11-22T11:46 - slow", Standing::Pending),
            ("a 2026-11-22T11:46 - pending distrusted", Standing::Pending),
            ("a 2026-11-22T11:46 - pending error=x", Standing::Failing),
            ("a 2026-11-22T11:45 - pending error=x", Standing::Failed),
            // The timeout counts from the creation of the object.
            ("a 2026-11-22T11:59 - slow created=2026-11-22T11:40", Standing::Failed),
        ] {
            assert_eq!(parse(row).standing(&moment("2026-11-22T12:00")), standing, "{row}");
        }
    }

    #[test]
    fn a_date_is_written_in_one_way() {
        assert_eq!(date("2028-02-29").map(|date| date.to_string()).as_deref(), Some("2028-02-29"));
        for bad in
            ["", "soon", "2027-02-29", "2027-2-28", "2027-02-8", "20270228", "2027-02-28T00", " 2027-02-28", "27-02-28"]
        {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_floor_is_the_newest_ready_one_and_the_newest_backup() {
        for (rows, floor) in [
            ("a 2026-11-20 -; b 2026-11-21 -", "b"),
            ("a 2026-11-20 -; b 2026-11-21 - distrusted; c 2026-11-21T03:00 - slow", "b a"),
            ("a 2026-11-20 -; b 2026-11-21 - deleting; c 2026-11-22T11:59 - pending", "a"),
            ("a 2026-11-20 - pending", ""),
            // By the cut, and not by the creation of the object: this one was bound to older data.
            ("a 2026-11-20 - created=2026-11-22; b 2026-11-21 -", "b"),
            ("a 2026-11-21 - created=2026-11-20; b 2026-11-21 - created=2026-11-21", "b"),
            // Policy and date do not matter.
            ("a 2026-11-20 dwm; b 2026-11-21 - days date=2026-11-01", "b"),
            // By PVC and namespace; a snapshot of an unknown PVC is alone.
            (
                "a 2026-11-20 -; b 2026-11-21 - pvc=logs; c 2026-11-22 - ns=bank; d 2026-11-22 - pvc=; e 2026-11-22 - pvc=",
                "c d e a b",
            ),
        ] {
            let snapshots: Vec<Record> = rows.split(';').map(parse).collect();
            let histories = ClaimHistory::all(&snapshots, &moment("2026-11-22T12:00"));
            let floor_names = |history: &ClaimHistory<'_>| {
                history.floor.iter().map(|at| history.snapshots[*at].name.clone()).collect()
            };
            let names: Vec<String> =
                histories.iter().flat_map(|history| -> Vec<String> { floor_names(history) }).collect();
            assert_eq!(names.join(" "), floor, "{rows}");
        }
    }

    #[test]
    fn verdicts_are_flat_json() {
        let on = |action| serde_json::to_value(Decision::on(&parse("a 2026-11-22 -"), action, "why")).unwrap();
        let base = |more: serde_json::Value| {
            let mut all = json!({"namespace": "shop", "name": "a", "pvc": "data", "reason": "why"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        assert_eq!(on(Action::Keep), base(json!({"action": "keep"})));
        assert_eq!(
            on(Action::Mark { delete_after: "2026-11-22".into() }),
            base(json!({"action": "mark", "deleteAfter": "2026-11-22"}))
        );
        let give = BTreeMap::from([(SlotKind::Weekly, "2026-w47".to_string())]);
        assert_eq!(
            on(Action::Label { remove: vec![SlotKind::Daily], give }),
            base(json!({"action": "label", "remove": ["daily"], "give": {"weekly": "2026-w47"}}))
        );
        let warned = Decision::on(&parse("a 2026-11-22 -"), Action::Release, "why").warning();
        assert_eq!(serde_json::to_value(warned).unwrap(), base(json!({"action": "release", "warning": true})));
    }
}
