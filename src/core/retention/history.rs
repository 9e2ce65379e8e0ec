//! The history that pruning decides on: a small record of every snapshot of ours, PVC by PVC, and which of them stay
//! whatever a label says. Must not know what is done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::core::escape::short;
use crate::core::kube::labels;
use crate::core::kube::objects::Snapshot;
use crate::core::retention::slot::SlotKind;
use crate::core::time_zone::Zone;

/// How much of an error is kept, in characters.
const WORDS: usize = 1000;

/// One snapshot, without what no decision needs: tens of thousands are held at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion: what is decided holds for this one only.
    pub version: String,
    /// The PVC it is of, as [`labels::pvc_value`] shortens it; empty where nothing tells.
    pub pvc: String,
    /// Whether its policy is `daily_weekly_monthly`.
    pub by_slots: bool,
    /// The values of its slot labels, in the order of [`SlotKind::ALL`].
    pub slots: [Option<String>; 3],
    /// The value of its `delete-after` label.
    pub delete_after: Option<String>,
    /// When the object was made.
    pub created: DateTime<Utc>,
    /// The moment for which it stands, once it is cut.
    pub cut: Option<DateTime<Utc>>,
    /// Whether volumes can be made from it.
    pub ready: bool,
    /// What went wrong last.
    pub error: Option<String>,
    /// Whether it carries the mark that its dump is not the proven one.
    pub distrusted: bool,
    /// Whether an in-place restore from it is at work.
    pub restoring: bool,
    /// Whether somebody deleted it already.
    pub deleting: bool,
    /// Whether it carries the finalizer of a deletion that we began.
    pub claimed: bool,
    /// When it was deleted.
    pub deleted: Option<DateTime<Utc>>,
    /// When `delete` began to delete it, by the note that it left.
    pub named: Option<DateTime<Utc>>,
}

/// How long `delete` may be at work on one snapshot. What it left behind is not touched before.
pub const AT_WORK: TimeDelta = TimeDelta::minutes(15);

/// Where a snapshot stands when pruning looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A backup: volumes can be made from it, and nothing speaks against what is in it.
    Good,
    /// Ready, but marked as not to be trusted.
    Distrusted,
    /// Not ready, and young enough to become so.
    Pending,
    /// As [`Standing::Pending`], with an error that may pass.
    Failing,
    /// Not ready for longer than one that succeeds takes.
    Failed,
    /// Deleted, though the object may still be there.
    Deleting,
}

/// By what pruning judges.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: DateTime<Utc>,
    /// The zone of every date.
    pub zone: Zone,
    /// How long a snapshot may take to become ready before it counts as failed.
    pub ready_timeout: Duration,
}

impl Moment {
    /// The day.
    pub fn today(&self) -> NaiveDate {
        self.zone.local(self.now).date_naive()
    }
}

impl From<Snapshot> for Record {
    fn from(snapshot: Snapshot) -> Record {
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
            error: status
                .error
                .map(|error| short(&error.message.unwrap_or_else(|| "no reason given".into()), WORDS).into_owned()),
            distrusted: meta.annotations.contains_key(labels::DISTRUSTED),
            restoring: meta.annotations.contains_key(labels::RESTORING),
            deleting: meta.deletion_timestamp.is_some(),
            claimed: meta.finalizers.iter().any(|finalizer| finalizer == labels::DELETION_FINALIZER),
            deleted: meta.deletion_timestamp,
            named: meta
                .annotations
                .get(labels::DELETING)
                .and_then(|time| DateTime::parse_from_rfc3339(time).ok())
                .map(|time| time.to_utc()),
            uid: meta.uid,
            namespace: meta.namespace,
            name: meta.name,
            version: meta.resource_version,
        }
    }
}

/// How far the clocks of a cluster may be apart.
const CLOCKS: TimeDelta = TimeDelta::minutes(5);

/// Whether a driver says of a cut that it lies in the future: its clock was wrong.
pub fn is_ahead(cut: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    cut.is_some_and(|cut| cut > now + CLOCKS)
}

/// The moment for which a snapshot stands: when it was cut, its `status.creationTime`. Before that it is when the object was made,
/// and also where the cut [`is_ahead`]: else the one with it would be the newest until then, whatever comes.
pub fn made(cut: Option<DateTime<Utc>>, created: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    cut.filter(|cut| !is_ahead(Some(*cut), now)).unwrap_or(created)
}

impl Record {
    /// See [`made`].
    pub fn made(&self, moment: &Moment) -> DateTime<Utc> {
        made(self.cut, self.created, moment.now)
    }

    /// Where it stands.
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

    /// Whether a `delete` may be at work on it.
    pub fn is_at_work(&self, moment: &Moment) -> bool {
        let is_recent = |begun: DateTime<Utc>| moment.now - begun < AT_WORK && !is_ahead(Some(begun), moment.now);
        self.claimed && self.named.is_some_and(is_recent)
    }

    /// Whether a deletion of ours was begun and is at work no more. One by policy counts only after the same time, because it
    /// leaves no note.
    pub fn is_unfinished(&self, moment: &Moment) -> bool {
        let is_old = self.deleted.is_some_and(|deleted| moment.now - deleted >= AT_WORK);
        self.claimed && !self.is_at_work(moment) && (is_old || self.named.is_some())
    }

    /// The last day on which it stays, where a label says one; a label that is no date says nothing.
    pub fn leaves(&self) -> Option<NaiveDate> {
        self.delete_after.as_deref().and_then(date)
    }

    /// The value of its label for a kind of slot.
    pub fn slot(&self, kind: SlotKind) -> Option<&str> {
        self.slots[kind as usize].as_deref()
    }

    /// Newest first: by when it was cut, then by when the object was made, then by name.
    fn rank(&self, moment: &Moment) -> impl Ord + '_ {
        std::cmp::Reverse((self.made(moment), self.created, &self.name))
    }
}

/// The date of a `delete-after` label, which is written `YYYY-MM-DD` and in no other way.
pub fn date(label: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(label, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == label).then_some(date)
}

/// What one that is the [`Group::floor`] is told.
pub const FLOOR: &str = "newest ready snapshot of its PVC";

/// The snapshots of one PVC, newest first.
#[derive(Debug)]
pub struct Group<'a> {
    /// All that are known.
    pub snapshots: Vec<&'a Record>,
    /// Which of them stay whatever a label or a policy says, by position: the newest ready one, and the newest that is
    /// a backup, if that is another.
    pub floor: BTreeSet<usize>,
}

impl<'a> Group<'a> {
    fn new(mut snapshots: Vec<&'a Record>, moment: &Moment) -> Group<'a> {
        snapshots.sort_by(|a, b| a.rank(moment).cmp(&b.rank(moment)));
        let first = |wanted: &[Standing]| snapshots.iter().position(|seen| wanted.contains(&seen.standing(moment)));
        let floor = [first(&[Standing::Good, Standing::Distrusted]), first(&[Standing::Good])];
        Group { floor: floor.into_iter().flatten().collect(), snapshots }
    }

    /// Sorts snapshots by namespace and PVC. One of which nothing tells the PVC is a group by itself, and so, when it is
    /// ready, stays.
    pub fn all(snapshots: &'a [Record], moment: &Moment) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<(&str, &str, &str), Vec<&Record>> = BTreeMap::new();
        for seen in snapshots {
            let alone = if seen.pvc.is_empty() { seen.name.as_str() } else { "" };
            groups.entry((&seen.namespace, &seen.pvc, alone)).or_default().push(seen);
        }
        groups.into_values().map(|snapshots| Group::new(snapshots, moment)).collect()
    }
}

/// What becomes of a snapshot, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The PVC it is of.
    pub pvc: String,
    /// Its resourceVersion when it was judged.
    #[serde(skip)]
    pub version: String,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Why.
    pub reason: String,
    /// Whether somebody should look at it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

/// What is done to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase")]
pub enum Action {
    /// Nothing.
    Keep,
    /// Slot labels are taken off, and perhaps given.
    Label {
        /// Which are taken off.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        remove: Vec<SlotKind>,
        /// Which are given, with their values.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        give: BTreeMap<SlotKind, String>,
    },
    /// It gets this `delete-after`, `YYYY-MM-DD`.
    #[serde(rename_all = "camelCase")]
    Mark {
        /// The date.
        delete_after: String,
    },
    /// It is deleted, with its stored data.
    Delete,
    /// The finalizer of a deletion that was begun, but is not wanted any more, is taken off; its data stays.
    Release,
}

impl Action {
    /// The word for it.
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
    /// A verdict about `seen`.
    pub fn on(seen: &Record, action: Action, reason: impl Into<String>) -> Decision {
        Decision {
            namespace: seen.namespace.clone(),
            name: seen.name.clone(),
            pvc: seen.pvc.clone(),
            version: seen.version.clone(),
            action,
            reason: reason.into(),
            warning: false,
        }
    }

    /// The same verdict as one that somebody should look at.
    #[must_use]
    pub fn warning(mut self) -> Decision {
        self.warning = true;
        self
    }
}

/// Histories as text, for the tests of what decides about them.
#[cfg(test)]
pub mod testing {
    use proptest::prelude::*;

    use super::*;

    /// `2026-11-22T02:00` or `2026-11-22`, in UTC; the day alone is its second hour, when backups are made.
    pub fn at(text: &str) -> DateTime<Utc> {
        let text = if text.contains('T') { format!("{text}:00Z") } else { format!("{text}T02:00:00Z") };
        DateTime::parse_from_rfc3339(&text).expect(&text).to_utc()
    }

    /// Judges at that time, in UTC, with the patience of a quarter of an hour.
    pub fn moment(now: &str) -> Moment {
        Moment { now: at(now), zone: Zone::UTC, ready_timeout: Duration::from_secs(900) }
    }

    /// A ready snapshot of the PVC `data` in `shop` under the policy of slots, that holds none.
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
            restoring: false,
            deleting: false,
            claimed: false,
            deleted: None,
            named: None,
        }
    }

    /// A row: name, moment of the cut, kinds of the slots it holds (`dwm`, `-` for none), and what else there is to say
    /// about it, in words `key` or `key=value`.
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
                "restoring" => seen.restoring = true,
                "deleting" => seen.deleting = true,
                "claimed" => seen.claimed = true,
                "named" => seen.named = Some(at(value)),
                _ => panic!("what is {word}? {row}"),
            }
        }
        seen
    }

    /// A verdict as text: the action, and the reason.
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

    /// Holds a table against what is decided about it. Each row is a snapshot, see [`parse`], and below it, behind
    /// `=>`, stands the verdict on it, if there is one. Empty lines and what follows a `#` do not count.
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

    /// What is left when it is done.
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
                Action::Release => seen.claimed = false,
                Action::Delete => drop(left.remove(place)),
            }
        }
        left
    }

    /// The moment at which [`histories`] are judged: the turn of a year with 53 ISO weeks is in the middle of them.
    pub const NOW: &str = "2027-01-10T02:00";

    /// Whatever may be found in a cluster, in any order: a few PVCs, and labels that make sense and labels that do not.
    pub fn histories() -> impl Strategy<Value = Vec<Record>> {
        prop::collection::vec(any_seen(), 0..24).prop_map(|mut all| {
            for (number, seen) in all.iter_mut().enumerate() {
                // Names in no order that means anything.
                seen.name = format!("s{:02}", number * 7 % 24);
            }
            all
        })
    }

    fn any_seen() -> impl Strategy<Value = Record> {
        // Most are of one PVC and within days of each other, so that slots collide; some are minutes old.
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
        let flags = [0.85, 0.8, 0.15, 0.15, 0.1, 0.1].map(prop::bool::weighted);
        (place, times, date, [label(), label(), label()], flags).prop_map(|(place, times, date, slots, flags)| {
            let (hours, minutes, delay, cut) = times;
            let [ready_now, by_slots, error, distrusted, deleting, claimed] = flags;
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
                restoring: false,
                deleting,
                claimed,
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

        // Bound to stored data by hand: only the label tells the PVC. And not one sign is lost.
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
        let row = "a 2026-11-22 - days pvc=logs weekly=w47 pending error= distrusted restoring deleting claimed named=2026-11-22T02:04";
        let deleted = Some(at("2026-11-22T02:05"));
        let expected = Record { version: "7".into(), deleted, error: Some("no reason given".into()), ..parse(row) };
        assert_eq!(seen(object), expected);
    }

    #[test]
    fn where_it_stands() {
        for (row, standing) in [
            ("a 2026-11-22 -", Standing::Good),
            // The error is then of an attempt before.
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
            // It is the making of the object that patience counts from.
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
            // By what it stands for, not by when the object was made: this one was bound to older data by hand.
            ("a 2026-11-20 - created=2026-11-22; b 2026-11-21 -", "b"),
            ("a 2026-11-21 - created=2026-11-20; b 2026-11-21 - created=2026-11-21", "b"),
            // Neither policy nor date matters.
            ("a 2026-11-20 dwm; b 2026-11-21 - days date=2026-11-01", "b"),
            // PVC by PVC, namespace by namespace, and one of which nothing tells the PVC is alone.
            (
                "a 2026-11-20 -; b 2026-11-21 - pvc=logs; c 2026-11-22 - ns=bank; d 2026-11-22 - pvc=; e 2026-11-22 - pvc=",
                "c d e a b",
            ),
        ] {
            let snapshots: Vec<Record> = rows.split(';').map(parse).collect();
            let groups = Group::all(&snapshots, &moment("2026-11-22T12:00"));
            let named = |group: &Group<'_>| group.floor.iter().map(|at| group.snapshots[*at].name.clone()).collect();
            let names: Vec<String> = groups.iter().flat_map(|group| -> Vec<String> { named(group) }).collect();
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
