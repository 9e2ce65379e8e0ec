//! Decides which slot labels the snapshots of a PVC keep: those of the newest days, weeks and months. Must not know how labels
//! are changed. docs/retention.md explains the rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::retention::history::{Action, ClaimHistory, Decision, FLOOR, Moment, Record, Standing};
use crate::core::retention::slot::SlotKind;

/// How many slots of each kind are kept, for each PVC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
}

impl Policy {
    pub fn keep(&self, kind: SlotKind) -> usize {
        match kind {
            SlotKind::Daily => self.daily,
            SlotKind::Weekly => self.weekly,
            SlotKind::Monthly => self.monthly,
        }
    }

    pub fn is_empty(&self) -> bool {
        SlotKind::ALL.iter().all(|kind| self.keep(*kind) == 0)
    }
}

/// Decides about every snapshot with the policy `daily_weekly_monthly`, by PVC, newest first. The newest good snapshot of each
/// slot holds it, and the newest slots of each kind are kept; every other label is removed. The order of `snapshots` does not
/// matter.
pub fn retain(snapshots: &[Record], policy: Policy, moment: &Moment) -> Vec<Decision> {
    ClaimHistory::all(snapshots, moment).iter().flat_map(|history| decide(history, policy, moment)).collect()
}

/// The decision about one slot label of one snapshot.
#[derive(Debug, Default)]
struct LabelChange {
    remove: bool,
    give: Option<String>,
    reason: String,
    warning: bool,
}

impl LabelChange {
    fn keep(reason: String) -> LabelChange {
        LabelChange { reason, ..LabelChange::default() }
    }

    fn remove(reason: String) -> LabelChange {
        LabelChange { remove: true, reason, ..LabelChange::default() }
    }
}

fn decide(history: &ClaimHistory<'_>, policy: Policy, moment: &Moment) -> Vec<Decision> {
    let by_kind = SlotKind::ALL.map(|kind| (kind, of_kind(history, kind, policy.keep(kind), moment)));
    let members = history.snapshots.iter().enumerate().filter(|(_, seen)| seen.by_slots);
    members
        .map(|(at, seen)| {
            let changes: Vec<_> = by_kind.iter().filter_map(|(kind, all)| Some((*kind, all.get(&at)?))).collect();
            let remove: Vec<SlotKind> = changes.iter().filter(|(_, c)| c.remove).map(|(kind, _)| *kind).collect();
            let give: BTreeMap<SlotKind, String> =
                changes.iter().filter_map(|(kind, change)| Some((*kind, change.give.clone()?))).collect();
            let reasons: Vec<&str> = changes.iter().map(|(_, change)| change.reason.as_str()).collect();
            let reason = match seen.standing(moment) {
                Standing::Deleting => "it is being deleted".into(),
                _ if reasons.is_empty() => "it holds no slot".into(),
                _ => reasons.join("; "),
            };
            let nothing = remove.is_empty() && give.is_empty();
            let action = if nothing { Action::Keep } else { Action::Label { remove, give } };
            let verdict = Decision::on(seen, action, reason);
            if changes.iter().any(|(_, change)| change.warning) { verdict.warning() } else { verdict }
        })
        .collect()
}

/// Decides about the labels of one kind. The keys are positions in the history.
fn of_kind(history: &ClaimHistory<'_>, kind: SlotKind, keep: usize, moment: &Moment) -> BTreeMap<usize, LabelChange> {
    let mut changes = BTreeMap::new();
    // Snapshots whose labels count, and snapshots whose slot another may take; newest first, like the history.
    let mut good: Vec<(usize, String)> = Vec::new();
    let mut lost: Vec<(usize, String)> = Vec::new();
    for (at, seen) in history.snapshots.iter().enumerate().filter(|(_, seen)| seen.by_slots) {
        let Some(label) = seen.slot(kind) else { continue };
        let Some(slot) = kind.read(label, seen.made(moment), moment.zone) else {
            let reason = format!("the label {kind}='{label}' is no {kind} slot");
            changes.insert(at, LabelChange { warning: true, ..LabelChange::keep(reason) });
            continue;
        };
        match (seen.standing(moment), seen.leaves()) {
            // It is deleted after its date, unless the label is removed; until then no other loses a slot to it.
            (Standing::Good, Some(date)) => {
                changes.insert(at, LabelChange::keep(format!("{kind} {slot}: does not count, it goes after {date}")));
            }
            (Standing::Good, None) => good.push((at, slot)),
            (Standing::Distrusted | Standing::Failed | Standing::Failing, _) => lost.push((at, slot)),
            (Standing::Pending, _) => {
                changes.insert(at, LabelChange::keep(format!("{kind} {slot}: not ready yet")));
            }
            (Standing::Deleting, _) => {}
        }
    }

    // The holder of each slot: the newest, or, where none is a backup, an heir.
    let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, slot) in &good {
        holders.entry(slot).or_insert(*at);
    }
    let own: BTreeSet<usize> = holders.values().copied().collect();
    for (_, slot) in &lost {
        if !holders.contains_key(slot.as_str())
            && let Some(at) = heir(history, kind, slot, &own, moment)
        {
            holders.insert(slot, at);
        }
    }

    let mut order: Vec<(usize, &str)> = holders.iter().map(|(slot, at)| (*at, *slot)).collect();
    order.sort_unstable();
    for (number, (at, slot)) in (1..).zip(order) {
        let change = match (number <= keep, own.contains(&at)) {
            (true, true) => LabelChange::keep(format!("{kind} {slot}: number {number} of {keep}")),
            (true, false) => LabelChange {
                give: Some(slot.to_string()),
                ..LabelChange::keep(format!("{kind} {slot}: given, because the one that held it is no backup"))
            },
            (false, true) if history.floor.contains(&at) => LabelChange::keep(format!("{kind} {slot}: {FLOOR}")),
            (false, true) => LabelChange::remove(format!("{kind} {slot}: number {number}, only {keep} are kept")),
            // A label that would be removed again is not given.
            (false, false) => {
                holders.remove(slot);
                continue;
            }
        };
        changes.insert(at, change);
    }

    let name = |at: usize| history.snapshots[at].name.as_str();
    for (at, slot) in good.iter().filter(|(at, _)| !own.contains(at)) {
        let newer = || LabelChange::remove(format!("{kind} {slot}: {} is newer", name(holders[slot.as_str()])));
        // A snapshot that is given another slot loses this one.
        changes.entry(*at).or_insert_with(newer);
    }
    for (at, slot) in &lost {
        let holder = holders.get(slot.as_str()).map(|at| name(*at));
        let number = as_if_good(history, kind, *at, slot, &holders, moment);
        let change = if history.floor.contains(at) {
            LabelChange::keep(format!("{kind} {slot}: {FLOOR}"))
        } else if number.is_some_and(|number| number <= keep) {
            let number = number.unwrap_or_default();
            LabelChange::keep(format!(
                "{kind} {slot}: its dump is not to be trusted, unless taken back: it would be number {number} of {keep}"
            ))
        } else {
            loss(history.snapshots[*at], &format!("{kind} {slot}"), holder, moment)
        };
        changes.insert(*at, change);
    }
    changes
}

/// The snapshot that gets the slot of one that is no backup: the newest good one of the same day, week or month that holds no
/// slot of that kind (`own`) and is not marked for deletion.
fn heir(
    history: &ClaimHistory<'_>,
    kind: SlotKind,
    slot: &str,
    own: &BTreeSet<usize>,
    moment: &Moment,
) -> Option<usize> {
    history.snapshots.iter().enumerate().position(|(at, seen)| {
        let malformed =
            || seen.slot(kind).is_some_and(|label| kind.read(label, seen.made(moment), moment.zone).is_none());
        seen.by_slots
            && seen.standing(moment) == Standing::Good
            && seen.delete_after.is_none()
            && !own.contains(&at)
            && kind.value(seen.made(moment), moment.zone) == slot
            && !malformed()
    })
}

/// The number that a distrusted snapshot would have if it were trusted again; None if another distrusted one of that slot is
/// newer. It is kept beside the holder of its slot as long as the policy would keep it.
fn as_if_good(
    history: &ClaimHistory<'_>,
    kind: SlotKind,
    at: usize,
    slot: &str,
    holders: &BTreeMap<&str, usize>,
    moment: &Moment,
) -> Option<usize> {
    let newer = &history.snapshots[..at];
    let same = |seen: &&&Record| {
        let label = seen.slot(kind).and_then(|label| kind.read(label, seen.made(moment), moment.zone));
        seen.by_slots && label.as_deref() == Some(slot) && seen.standing(moment) == Standing::Distrusted
    };
    let counts = history.snapshots[at].standing(moment) == Standing::Distrusted
        && history.snapshots[at].delete_after.is_none()
        && !newer.iter().any(|seen| same(&seen));
    counts.then(|| 1 + holders.iter().filter(|(other, holder)| **other != slot && **holder < at).count())
}

/// The decision about the label of a snapshot that is no backup, where `holder` now holds its slot.
fn loss(seen: &Record, slot: &str, holder: Option<&str>, moment: &Moment) -> LabelChange {
    let standing = seen.standing(moment);
    let why = match (standing, &seen.error) {
        (Standing::Distrusted, _) => "its dump is not to be trusted".into(),
        (_, Some(error)) => format!("it failed: {error}"),
        _ => "it never became ready".into(),
    };
    match holder {
        Some(holder) => LabelChange::remove(format!("{slot}: {why}; {holder} holds its slot")),
        // Its error may pass, and no other can take the slot.
        None if standing == Standing::Failing => {
            LabelChange::keep(format!("{slot}: {why}, but it may still become ready"))
        }
        None => LabelChange::remove(format!("{slot}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::retention::history::testing::{self, NOW, apply, histories, moment};

    const DEFAULT: Policy = Policy { daily: 7, weekly: 4, monthly: 12 };

    fn policy(daily: usize, weekly: usize, monthly: usize) -> Policy {
        Policy { daily, weekly, monthly }
    }

    /// Checks the decisions at 2026-11-22T12:00, a Sunday.
    fn check(policy: Policy, table: &str) {
        testing::check(table, |snapshots| retain(snapshots, policy, &moment("2026-11-22T12:00")));
    }

    #[test]
    fn the_newest_so_many_of_each_kind_stay() {
        check(
            policy(2, 1, 1),
            "
            e 2026-11-22 d
                => keep: daily 2026-11-22: number 1 of 2
            d 2026-11-21 d
                => keep: daily 2026-11-21: number 2 of 2
            c 2026-11-20 d
                => label -daily: daily 2026-11-20: number 3, only 2 are kept
            b 2026-11-19 -
                => keep: it holds no slot
            a 2026-11-16 dwm
                => label -daily: daily 2026-11-16: number 4, only 2 are kept; weekly 2026-w47: number 1 of 1; monthly 2026-11: number 1 of 1
            z 2026-10-31 dwm
                => label -daily -weekly -monthly: daily 2026-10-31: number 5, only 2 are kept; weekly 2026-w44: number 2, only 1 are kept; monthly 2026-10: number 2, only 1 are kept
            ",
        );
    }

    #[test]
    fn newest_is_by_the_cut_and_not_by_name_or_label() {
        check(
            policy(1, 0, 0),
            "
            z 2026-11-20 d
                => label -daily: daily 2026-11-20: number 2, only 1 are kept
            a 2026-11-21 d
                => keep: daily 2026-11-21: number 1 of 1
            ",
        );
        // A label from another zone or person, and an object that was created later than its data.
        check(
            policy(1, 0, 0),
            "
            a 2026-11-20 - daily=2026-11-30 created=2026-11-22
                => label -daily: daily 2026-11-30: number 2, only 1 are kept
            b 2026-11-21 d
                => keep: daily 2026-11-21: number 1 of 1
            ",
        );
    }

    #[test]
    fn a_cut_in_the_future_does_not_outlive_all_others() {
        check(
            policy(1, 0, 0),
            "
            a 2028-10-22 - created=2026-11-10T02:00 daily=2026-11-10
                => label -daily: daily 2026-11-10: number 3, only 1 are kept
            b 2026-11-22 d
                => keep: daily 2026-11-22: number 1 of 1
            c 2026-11-21 d
                => label -daily: daily 2026-11-21: number 2, only 1 are kept
            ",
        );
    }

    #[test]
    fn each_pvc_counts_by_itself() {
        check(
            policy(1, 0, 0),
            "
            a 2026-11-22 d
                => keep: daily 2026-11-22: number 1 of 1
            b 2026-11-21 d
                => label -daily: daily 2026-11-21: number 2, only 1 are kept
            c 2026-11-20 d pvc=logs
                => keep: daily 2026-11-20: number 1 of 1
            d 2026-11-19 d ns=bank
                => keep: daily 2026-11-19: number 1 of 1
            # Nothing tells of what they are.
            e 2026-11-18 d pvc=
                => keep: daily 2026-11-18: number 1 of 1
            f 2026-11-17 d pvc=
                => keep: daily 2026-11-17: number 1 of 1
            # Another policy: neither judged nor counted.
            g 2026-11-22T03:00 d days
            ",
        );
    }

    #[test]
    fn of_two_in_one_slot_the_newer_keeps_it_and_it_counts_once() {
        check(
            policy(2, 9, 9),
            "
            d 2026-11-22T03:00 d
                => keep: daily 2026-11-22: number 1 of 2
            c 2026-11-22T02:00 dw
                => label -daily: daily 2026-11-22: d is newer; weekly 2026-w47: number 1 of 9
            b 2026-11-21 d
                => keep: daily 2026-11-21: number 2 of 2
            a 2026-11-20 d
                => label -daily: daily 2026-11-20: number 3, only 2 are kept
            ",
        );
    }

    #[test]
    fn weeks_of_the_older_tool_and_the_year_of_a_week() {
        // 2027-01-01 to 03 lie in 2026-w53. The first two are one week in two spellings.
        testing::check(
            "
            e 2027-01-04 w
                => keep: weekly 2027-w01: number 1 of 3
            d 2027-01-02 w
                => keep: weekly 2026-w53: number 2 of 3
            c 2026-12-30 - weekly=w53
                => label -weekly: weekly 2026-w53: d is newer
            b 2026-12-23 - weekly=w52
                => keep: weekly 2026-w52: number 3 of 3
            a 2026-01-02 - weekly=w01
                => label -weekly: weekly 2026-w01: number 4, only 3 are kept
            ",
            |snapshots| retain(snapshots, policy(9, 3, 9), &moment("2027-01-04T12:00")),
        );
    }

    #[test]
    fn the_newest_ready_one_keeps_everything() {
        check(
            policy(0, 0, 0),
            "
            c 2026-11-22T11:55 dwm pending
                => keep: daily 2026-11-22: not ready yet; weekly 2026-w47: not ready yet; monthly 2026-11: not ready yet
            b 2026-11-21 dwm
                => keep: daily 2026-11-21: newest ready snapshot of its PVC; weekly 2026-w47: newest ready snapshot of its PVC; monthly 2026-11: newest ready snapshot of its PVC
            a 2026-11-20 d
                => label -daily: daily 2026-11-20: number 2, only 0 are kept
            ",
        );
        // The newest ready one is distrusted, so that the newest backup is kept, too.
        check(
            policy(0, 1, 1),
            "
            c 2026-11-22 d distrusted
                => keep: daily 2026-11-22: newest ready snapshot of its PVC
            b 2026-11-21 d
                => keep: daily 2026-11-21: newest ready snapshot of its PVC
            a 2026-11-20 d
                => label -daily: daily 2026-11-20: number 2, only 0 are kept
            ",
        );
    }

    #[test]
    fn a_failed_snapshot_gives_its_slots_to_a_ready_one() {
        check(
            DEFAULT,
            "
            d 2026-11-22T04:00 -
                => label +daily=2026-11-22 +weekly=2026-w47 +monthly=2026-11: daily 2026-11-22: given, because the one that held it is no backup; weekly 2026-w47: given, because the one that held it is no backup; monthly 2026-11: given, because the one that held it is no backup
            c 2026-11-22T03:00 -
                => keep: it holds no slot
            b 2026-11-22T02:00 dwm pending error=full
                => label -daily -weekly -monthly: daily 2026-11-22: it failed: full; d holds its slot; weekly 2026-w47: it failed: full; d holds its slot; monthly 2026-11: it failed: full; d holds its slot
            # No other is of these days, and c does not have the policy.
            a 2026-11-21 d slow
                => label -daily: daily 2026-11-21: it never became ready
            z 2026-11-20 d distrusted
                => keep: daily 2026-11-20: its dump is not to be trusted, unless taken back: it would be number 2 of 7
            ",
        );
    }

    #[test]
    fn a_distrusted_snapshot_stays_as_long_as_a_trusted_one_would() {
        check(
            policy(2, 0, 1),
            "
            f 2026-11-22 d
                => label +monthly=2026-11: daily 2026-11-22: number 1 of 2; monthly 2026-11: given, because the one that held it is no backup
            # Others stand for its day and its month, and none loses a slot to it.
            e 2026-11-21T04:00 dm distrusted
                => keep: daily 2026-11-21: its dump is not to be trusted, unless taken back: it would be number 2 of 2; monthly 2026-11: its dump is not to be trusted, unless taken back: it would be number 1 of 1
            d 2026-11-21T03:00 -
                => label +daily=2026-11-21: daily 2026-11-21: given, because the one that held it is no backup
            c 2026-11-21T02:00 d distrusted
                => label -daily: daily 2026-11-21: its dump is not to be trusted; d holds its slot
            # The policy would not keep it either way.
            b 2026-11-20 d distrusted
                => label -daily: daily 2026-11-20: its dump is not to be trusted
            # A person set until when it stays.
            a 2026-10-21 m distrusted date=2026-11-22
                => label -monthly: monthly 2026-10: its dump is not to be trusted
            ",
        );
    }

    #[test]
    fn heirs_of_a_slot() {
        check(
            DEFAULT,
            "
            # Marked, of another policy, not ready, not trusted, going, of another PVC: none of these.
            h 2026-11-21T09:00 - date=2026-11-22
                => keep: it holds no slot
            g 2026-11-21T08:00 - date=
                => keep: it holds no slot
            f 2026-11-21T07:00 - days
            e 2026-11-21T06:00 - slow
                => keep: it holds no slot
            d 2026-11-21T05:00 - distrusted
                => keep: it holds no slot
            c 2026-11-21T04:00 - deleting
                => keep: it is being deleted
            b 2026-11-21T03:00 - pvc=logs
                => keep: it holds no slot
            # Nor one with a malformed label.
            i 2026-11-21T02:30 - daily=x
                => keep (!): the label daily='x' is no daily slot
            a 2026-11-21 d slow
                => label -daily: daily 2026-11-21: it never became ready
            ",
        );
        check(
            DEFAULT,
            "
            # Who has that slot already needs no heir.
            d 2026-11-21T05:00 -
                => keep: it holds no slot
            c 2026-11-21T04:00 d
                => keep: daily 2026-11-21: number 1 of 7
            b 2026-11-21T03:00 d slow
                => label -daily: daily 2026-11-21: it never became ready; c holds its slot
            # Two that failed have one heir.
            a 2026-11-20T04:00 -
                => label +daily=2026-11-20: daily 2026-11-20: given, because the one that held it is no backup
            z 2026-11-20T03:00 d slow
                => label -daily: daily 2026-11-20: it never became ready; a holds its slot
            y 2026-11-20T02:00 d error=full pending
                => label -daily: daily 2026-11-20: it failed: full; a holds its slot
            ",
        );
        // A snapshot that alone holds a slot does not give it up for that of its own day.
        check(
            DEFAULT,
            "
            b 2026-11-20T04:00 - daily=2026-11-19
                => keep: daily 2026-11-19: number 1 of 7
            a 2026-11-20T03:00 d slow
                => label -daily: daily 2026-11-20: it never became ready
            ",
        );
        // A snapshot that loses a wrong label as a duplicate can get the slot of its own day in the same run.
        check(
            DEFAULT,
            "
            c 2026-11-21T04:00 d
                => keep: daily 2026-11-21: number 1 of 7
            b 2026-11-20T04:00 - daily=2026-11-21
                => label +daily=2026-11-20: daily 2026-11-20: given, because the one that held it is no backup
            a 2026-11-20T03:00 d slow
                => label -daily: daily 2026-11-20: it never became ready; b holds its slot
            ",
        );
    }

    #[test]
    fn a_slot_outside_the_policy_is_not_given() {
        check(
            policy(1, 1, 1),
            "
            d 2026-11-22 d
                => keep: daily 2026-11-22: number 1 of 1
            c 2026-11-21T03:00 -
                => keep: it holds no slot
            b 2026-11-21T02:00 d slow
                => label -daily: daily 2026-11-21: it never became ready
            ",
        );
    }

    #[test]
    fn an_error_may_pass() {
        check(
            DEFAULT,
            "
            b 2026-11-22T11:50 dw pending error=busy
                => label -weekly: daily 2026-11-22: it failed: busy, but it may still become ready; weekly 2026-w47: it failed: busy; a holds its slot
            a 2026-11-21 w
                => keep: weekly 2026-w47: number 1 of 4
            ",
        );
        check(
            DEFAULT,
            "
            b 2026-11-22T11:50 d pending error=busy
                => label -daily: daily 2026-11-22: it failed: busy; a holds its slot
            a 2026-11-22T02:00 -
                => label +daily=2026-11-22: daily 2026-11-22: given, because the one that held it is no backup
            ",
        );
    }

    #[test]
    fn only_ready_ones_count() {
        check(
            policy(1, 1, 1),
            "
            d 2026-11-22T11:55 d pending
                => keep: daily 2026-11-22: not ready yet
            c 2026-11-22 d deleting
                => keep: it is being deleted
            b 2026-11-21 d slow
                => label -daily: daily 2026-11-21: it never became ready
            a 2026-11-20 d
                => keep: daily 2026-11-20: number 1 of 1
            ",
        );
    }

    #[test]
    fn a_snapshot_with_a_date_takes_no_slot_from_another() {
        check(
            policy(1, 1, 1),
            "
            c 2026-11-22T04:00 d date=2026-11-20
                => keep: daily 2026-11-22: does not count, it goes after 2026-11-20
            b 2026-11-22T03:00 d
                => keep: daily 2026-11-22: number 1 of 1
            # No date, so that it stays and counts.
            a 2026-11-21 d date=never
                => label -daily: daily 2026-11-21: number 2, only 1 are kept
            ",
        );
    }

    #[test]
    fn malformed_labels_stay_with_a_warning() {
        check(
            policy(1, 1, 1),
            "
            c 2026-11-22 d
                => keep: daily 2026-11-22: number 1 of 1
            b 2026-11-21 - daily=2026-11-31 weekly=w60 monthly=
                => keep (!): the label daily='2026-11-31' is no daily slot; the label weekly='w60' is no weekly slot; the label monthly='' is no monthly slot
            a 2026-11-20 d weekly=2026-w7 monthly=2026-1
                => label -daily (!): daily 2026-11-20: number 2, only 1 are kept; the label weekly='2026-w7' is no weekly slot; the label monthly='2026-1' is no monthly slot
            ",
        );
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let vienna = Moment {
            zone: crate::core::time_zone::Zone::parse("Europe/Vienna").unwrap(),
            ..moment("2026-11-22T12:00")
        };
        testing::check(
            "
            b 2026-11-21T23:30 -
                => label +daily=2026-11-22: daily 2026-11-22: given, because the one that held it is no backup
            a 2026-11-22T02:00 d slow
                => label -daily: daily 2026-11-22: it never became ready; b holds its slot
            ",
            |snapshots| retain(snapshots, DEFAULT, &vienna),
        );
    }

    #[test]
    fn a_policy_of_nothing_is_empty() {
        assert!(policy(0, 0, 0).is_empty());
        for one in [policy(1, 0, 0), policy(0, 1, 0), policy(0, 0, 1)] {
            assert!(!one.is_empty());
        }
    }

    /// A slot of a PVC: namespace, PVC, kind, value.
    type Slot = (String, String, SlotKind, String);

    /// The slots that a backup holds: good, with the policy of slots, and not about to be deleted by its date.
    fn good_slots(snapshots: &[Record]) -> BTreeSet<Slot> {
        let moment = moment(NOW);
        let counts =
            |seen: &&Record| seen.by_slots && seen.leaves().is_none() && seen.standing(&moment) == Standing::Good;
        let slots = |seen: &Record| -> Vec<Slot> {
            let pvc = if seen.pvc.is_empty() { &seen.name } else { &seen.pvc };
            let slot = |kind: SlotKind| kind.read(seen.slot(kind)?, seen.made(&moment), moment.zone);
            let of = |kind| Some((seen.namespace.clone(), pvc.clone(), kind, slot(kind)?));
            SlotKind::ALL.into_iter().filter_map(of).collect()
        };
        snapshots.iter().filter(counts).flat_map(slots).collect()
    }

    /// How many slots of each kind each PVC has.
    fn counts(slots: BTreeSet<Slot>) -> BTreeMap<(String, String, SlotKind), usize> {
        let mut counts = BTreeMap::new();
        for (namespace, pvc, kind, _) in slots {
            *counts.entry((namespace, pvc, kind)).or_default() += 1;
        }
        counts
    }

    /// The removed labels, each with its snapshot's name.
    fn gone(snapshots: &[Record], after: &[Record]) -> BTreeSet<(String, SlotKind)> {
        let pairs = snapshots.iter().zip(after);
        let lost = |kind: SlotKind| {
            move |(old, new): &(&Record, &Record)| old.slot(kind).is_some() && old.slot(kind) != new.slot(kind)
        };
        let of = |kind| pairs.clone().filter(lost(kind)).map(move |(old, _)| (old.name.clone(), kind));
        SlotKind::ALL.into_iter().flat_map(of).collect()
    }

    fn policies() -> impl Strategy<Value = Policy> {
        (0usize..9, 0usize..5, 0usize..5).prop_map(|(daily, weekly, monthly)| policy(daily, weekly, monthly))
    }

    proptest! {
        #[test]
        fn a_second_run_changes_nothing(snapshots in histories(), policy in policies()) {
            let once = apply(&snapshots, &retain(&snapshots, policy, &moment(NOW)));
            for verdict in retain(&once, policy, &moment(NOW)) {
                prop_assert_eq!(&verdict.action, &Action::Keep, "{:?}", verdict);
            }
        }

        #[test]
        fn order_does_not_matter(
            (snapshots, shuffled) in histories().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            policy in policies(),
        ) {
            prop_assert_eq!(retain(&snapshots, policy, &moment(NOW)), retain(&shuffled, policy, &moment(NOW)));
        }

        #[test]
        fn each_is_judged_once_and_no_other_policy_is_touched(snapshots in histories(), policy in policies()) {
            let verdicts = retain(&snapshots, policy, &moment(NOW));
            let judged: BTreeSet<_> = verdicts.iter().map(|verdict| &verdict.name).collect();
            let expected: BTreeSet<_> = snapshots.iter().filter(|seen| seen.by_slots).map(|seen| &seen.name).collect();
            prop_assert_eq!(verdicts.len(), judged.len());
            prop_assert_eq!(judged, expected);
            let changes = verdicts.iter().all(|verdict| matches!(verdict.action, Action::Keep | Action::Label { .. }));
            prop_assert!(changes);
        }

        #[test]
        fn never_below_the_floor(snapshots in histories(), policy in policies()) {
            let after = apply(&snapshots, &retain(&snapshots, policy, &moment(NOW)));
            let (before, kept) = (good_slots(&snapshots), good_slots(&after));
            let kept = counts(kept);
            for (key, had) in counts(before) {
                let has = kept.get(&key).copied().unwrap_or(0);
                prop_assert!(has >= had.min(policy.keep(key.2)), "{:?}: {} of {}", key, has, had);
            }
            // The newest ready one of each PVC, computed in another way than the code does.
            for seen in &snapshots {
                let rivals = snapshots.iter().filter(|other| {
                    let same = (&other.namespace, &other.pvc) == (&seen.namespace, &seen.pvc);
                    same && !seen.pvc.is_empty() && other.ready && !other.deleting && other.name != seen.name
                });
                let newest = rivals.map(|other| (other.cut, other.created)).max();
                if seen.ready && !seen.deleting && newest < Some((seen.cut, seen.created)) {
                    let same = after.iter().find(|other| other.name == seen.name).unwrap();
                    for kind in SlotKind::ALL {
                        let label = seen.slot(kind);
                        prop_assert!(label.is_none() || same.slot(kind) == label, "{}", &seen.name);
                    }
                }
            }
        }

        #[test]
        fn keeping_more_never_removes_more(snapshots in histories(), less in policies(), more in policies()) {
            let more = policy(less.daily + more.daily, less.weekly + more.weekly, less.monthly + more.monthly);
            let few = apply(&snapshots, &retain(&snapshots, less, &moment(NOW)));
            let many = apply(&snapshots, &retain(&snapshots, more, &moment(NOW)));
            prop_assert!(good_slots(&few).is_subset(&good_slots(&many)));
            // A snapshot with an error may lose more, but only to a backup that gets the slot.
            let failing = |(name, _): &(String, SlotKind)| {
                let seen = snapshots.iter().find(|seen| seen.name == *name).unwrap();
                seen.standing(&moment(NOW)) == Standing::Failing
            };
            let added: BTreeSet<_> = gone(&snapshots, &many).difference(&gone(&snapshots, &few)).cloned().collect();
            prop_assert!(added.iter().all(failing), "{:?}", added);
        }

        #[test]
        fn a_later_time_never_brings_a_label_back(snapshots in histories(), policy in policies(), minutes in 0i64..5000) {
            let later = Moment { now: moment(NOW).now + chrono::TimeDelta::minutes(minutes), ..moment(NOW) };
            let early = gone(&snapshots, &apply(&snapshots, &retain(&snapshots, policy, &moment(NOW))));
            let late = gone(&snapshots, &apply(&snapshots, &retain(&snapshots, policy, &later)));
            prop_assert!(early.is_subset(&late), "{:?} {:?}", early, late);
        }

        #[test]
        fn only_a_backup_of_that_time_is_given_a_slot(snapshots in histories(), policy in policies()) {
            for verdict in retain(&snapshots, policy, &moment(NOW)) {
                let Action::Label { give, .. } = verdict.action else { continue };
                let seen = snapshots.iter().find(|seen| seen.name == verdict.name).unwrap();
                for (kind, slot) in give {
                    prop_assert_eq!(kind.value(seen.made(&moment(NOW)), moment(NOW).zone), slot);
                    prop_assert_eq!(seen.standing(&moment(NOW)), Standing::Good);
                    prop_assert!(seen.delete_after.is_none());
                }
            }
        }

        // The older tool: label by label, the values sorted, the last N kept, each snapshot with another one loses it.
        #[test]
        fn clean_histories_are_judged_as_by_the_older_tool(
            nights in prop::collection::btree_set(0i64..500, 1..60),
            (daily, weekly, monthly) in (1usize..9, 1usize..6, 1usize..14),
        ) {
            let mut held = BTreeSet::new();
            let mut snapshots: Vec<Record> = nights
                .iter()
                .map(|night| {
                    let cut = testing::at("2026-01-01") + chrono::TimeDelta::days(*night);
                    let mut seen = testing::ready(&format!("n{night}"), cut);
                    for kind in SlotKind::ALL {
                        let value = kind.value(cut, moment(NOW).zone);
                        let free = held.insert((kind, value.clone()));
                        seen.slots[kind as usize] = free.then_some(value);
                    }
                    seen
                })
                .collect();
            let policy = policy(daily, weekly, monthly);
            let ours = apply(&snapshots, &retain(&snapshots, policy, &moment("2027-06-01")));
            for kind in SlotKind::ALL {
                let values: BTreeSet<String> = snapshots.iter().filter_map(|seen| seen.slot(kind)).map(String::from).collect();
                let keep: BTreeSet<String> = values.into_iter().rev().take(policy.keep(kind)).collect();
                for seen in &mut snapshots {
                    seen.slots[kind as usize].take_if(|value| !keep.contains(value));
                }
            }
            prop_assert_eq!(ours, snapshots);
        }
    }
}
