//! Decides which snapshots are marked with `delete-after`, and which are deleted because their date has passed. Must not know
//! how they are deleted. docs/retention.md explains the rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::retention::deletion_objections::shared_reason;
use crate::core::retention::history::{Action, ClaimHistory, Decision, FLOOR, Moment, Record, Standing, date};
use crate::core::retention::slot::SlotKind;

/// The snapshots that are kept although their date has passed.
#[derive(Debug, Clone, Default)]
pub struct DeletionBlocks {
    /// Sources of volumes that are not restored yet, by namespace and name.
    pub sources: BTreeSet<(String, String)>,
    /// Snapshots whose stored data another VolumeSnapshotContent names, as uid and name of that content.
    pub shared: BTreeMap<String, String>,
    /// Whether every good backup whose copy outside the cluster is not proven is kept, too.
    pub require_exported: bool,
}

/// Decides about every snapshot, by PVC, newest first. The order of `snapshots` does not matter.
pub fn decide(snapshots: &[Record], held: &DeletionBlocks, moment: &Moment) -> Vec<Decision> {
    let histories = ClaimHistory::all(snapshots, moment);
    histories.iter().flat_map(|history| of_claim(history, held, moment)).collect()
}

/// The snapshots whose deletion `delete` did not finish, and which no date deletes: their finalizer blocks the deletion of their
/// namespace.
pub fn left_behind(snapshots: &[Record], moment: &Moment) -> Vec<Decision> {
    let begun: BTreeSet<(&str, &str)> = snapshots
        .iter()
        .filter(|seen| seen.delete_began.is_some() && seen.has_finalizer)
        .map(|seen| (seen.namespace.as_str(), seen.name.as_str()))
        .collect();
    if begun.is_empty() {
        return Vec::new();
    }
    let is_left = |verdict: &Decision| {
        verdict.action == Action::Release && begun.contains(&(verdict.namespace.as_str(), verdict.name.as_str()))
    };
    decide(snapshots, &DeletionBlocks::default(), moment).into_iter().filter(is_left).collect()
}

fn of_claim(history: &ClaimHistory<'_>, held: &DeletionBlocks, moment: &Moment) -> Vec<Decision> {
    let judge = |(at, seen): (usize, &&Record)| match &seen.delete_after {
        _ if seen.deleting && !seen.has_finalizer => Decision::on(seen, Action::Keep, "it is being deleted"),
        _ if seen.is_at_work(moment) => Decision::on(seen, Action::Keep, "backup-ns delete is at work on it"),
        Some(label) => due(history, at, label, held, moment),
        None if seen.has_finalizer => stays(seen, "it has no delete-after any more"),
        None => unmarked(history, at, moment),
    };
    history.snapshots.iter().enumerate().map(judge).collect()
}

/// Keeps a snapshot, and calls off a deletion that has begun.
fn stays(seen: &Record, reason: &str) -> Decision {
    if seen.has_finalizer {
        return Decision::on(seen, Action::Release, format!("its deletion was begun, but is off: {reason}"));
    }
    Decision::on(seen, Action::Keep, reason)
}

/// Decides about a snapshot with a `delete-after` label.
fn due(history: &ClaimHistory<'_>, at: usize, label: &str, held: &DeletionBlocks, moment: &Moment) -> Decision {
    let seen = history.snapshots[at];
    let Some(date) = date(label) else {
        return stays(seen, &format!("delete-after is '{label}', which is no date YYYY-MM-DD")).warning();
    };
    if date >= moment.today() {
        return stays(seen, &format!("stays until {date} is over"));
    }
    if history.floor.contains(&at) {
        return stays(seen, &format!("its date {date} has passed, but it is the {FLOOR}")).warning();
    }
    if let Some(group) = &seen.group {
        return stays(seen, &format!("its date {date} has passed, but {}", group.reason(&seen.namespace, &seen.name)))
            .warning();
    }
    // A snapshot that is being deleted is not in the floor any more; its data is kept if it is the last.
    if seen.deleting && seen.ready && history.floor.is_empty() {
        return stays(seen, "no other ready snapshot of its PVC is left").warning();
    }
    // Its backup may still be running, and it may become the only one.
    if matches!(seen.standing(moment), Standing::Pending | Standing::Failing) {
        return Decision::on(seen, Action::Keep, "not ready yet; the next run looks again");
    }
    if seen.restoring {
        return Decision::on(seen, Action::Keep, "an in-place restore from it was begun and is not done");
    }
    if held.sources.contains(&(seen.namespace.clone(), seen.name.clone())) {
        return Decision::on(seen, Action::Keep, "a volume is being made from it; the next run looks again");
    }
    // What is no good backup has nothing that a copy could keep. Its other reasons come first: they pass by themselves.
    if held.require_exported && seen.ready && !seen.distrusted && !seen.exported {
        let Record { namespace, name, .. } = seen;
        let reason = format!(
            "its date {date} has passed, but no copy of it outside the cluster is proven: backup-ns export {name} -n {namespace}"
        );
        return Decision { unexported: true, ..stays(seen, &reason).warning() };
    }
    // A snapshot that is being deleted is checked again when its data is deleted.
    if let Some(other) = held.shared.get(&seen.uid).filter(|_| !seen.deleting) {
        let reason = format!("its date {date} has passed, but {}", shared_reason(other));
        return Decision::on(seen, Action::Keep, reason).warning();
    }
    Decision::on(seen, Action::Delete, format!("its date {date} has passed"))
}

/// Decides about a snapshot without a `delete-after` label.
fn unmarked(history: &ClaimHistory<'_>, at: usize, moment: &Moment) -> Decision {
    let seen = history.snapshots[at];
    let keep = |reason: &str| Decision::on(seen, Action::Keep, reason);
    if !seen.by_slots {
        return keep("it has no date").warning();
    }
    let slots: Vec<String> =
        SlotKind::ALL.iter().filter_map(|kind| Some(format!("{kind} {}", seen.slot(*kind)?))).collect();
    if !slots.is_empty() {
        return keep(&format!("holds {}", slots.join(", ")));
    }
    match seen.standing(moment) {
        Standing::Pending | Standing::Failing => keep("not ready yet"),
        _ if history.floor.contains(&at) => keep(&format!("holds no slot, but is the {FLOOR}")),
        _ if let Some(group) = &seen.group => {
            keep(&format!("holds no slot, but {}", group.reason(&seen.namespace, &seen.name))).warning()
        }
        _ => {
            let delete_after = moment.today().format("%Y-%m-%d").to_string();
            Decision::on(seen, Action::Mark { delete_after }, "holds no slot")
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;
    use crate::core::retention::history::testing::{self, NOW, apply, at, histories, moment, ready};
    use crate::core::retention::retain::{Policy, retain};

    /// Checks the decisions on 2026-11-22, with the snapshots `used` in use.
    fn check(used: &str, table: &str) {
        let sources = used.split_whitespace().map(|name| ("shop".to_string(), name.to_string())).collect();
        let held = DeletionBlocks { sources, ..DeletionBlocks::default() };
        testing::check(table, |snapshots| decide(snapshots, &held, &moment("2026-11-22T12:00")));
    }

    #[test]
    fn a_snapshot_without_a_slot_is_marked_today() {
        check(
            "",
            "
            f 2026-11-22 d
                => keep: holds daily 2026-11-22
            e 2026-11-21T03:00 -
                => mark 2026-11-22: holds no slot
            d 2026-11-21 -     distrusted
                => mark 2026-11-22: holds no slot
            c 2026-11-20 -     slow
                => mark 2026-11-22: holds no slot
            b 2026-11-19 dm    weekly=?
                => keep: holds daily 2026-11-19, weekly ?, monthly 2026-11
            a 2026-11-18 -     deleting
                => keep: it is being deleted
            # Its policy is a date, but it has none.
            z 2026-11-17 -     days
                => keep (!): it has no date
            ",
        );
    }

    #[test]
    fn a_cut_in_the_future_makes_no_floor() {
        check(
            "",
            "
            b 2026-11-20 - date=2026-11-21
                => keep (!): its date 2026-11-21 has passed, but it is the newest ready snapshot of its PVC
            a 2028-10-22 - date=2026-11-21 created=2026-11-10T02:00
                => delete: its date 2026-11-21 has passed
            # The clocks of two machines are never the same.
            z 2026-11-22T12:04 - pvc=logs date=2026-11-21 created=2026-11-10T02:00
                => keep (!): its date 2026-11-21 has passed, but it is the newest ready snapshot of its PVC
            ",
        );
    }

    #[test]
    fn a_date_stays_until_its_day_is_over() {
        check(
            "",
            "
            f 2026-11-22 d
                => keep: holds daily 2026-11-22
            e 2026-11-21 - date=2026-11-23
                => keep: stays until 2026-11-23 is over
            d 2026-11-20 - date=2026-11-22
                => keep: stays until 2026-11-22 is over
            c 2026-11-19 - date=2026-11-21
                => delete: its date 2026-11-21 has passed
            # A date outweighs the slots: a person set it.
            b 2026-11-18 d date=2025-12-31
                => delete: its date 2025-12-31 has passed
            a 2026-11-17 - days date=2026-11-21
                => delete: its date 2026-11-21 has passed
            z 2026-11-16 - days date=2026-12-16
                => keep: stays until 2026-12-16 is over
            y 2026-11-15 - slow date=2026-11-21
                => delete: its date 2026-11-21 has passed
            x 2026-11-14 - distrusted date=2026-11-21
                => delete: its date 2026-11-21 has passed
            w 2026-11-13 - date=2026-11-21 deleting
                => keep: it is being deleted
            ",
        );
    }

    #[test]
    fn the_day_is_that_of_the_zone() {
        let zone = crate::core::time_zone::Zone::parse("Pacific/Kiritimati").unwrap();
        let table = |now: &str, verdicts: [&str; 2]| {
            let rows = ["a 2026-11-02 - date=2026-11-22", "b 2026-11-01 -"];
            let rows: String =
                rows.iter().zip(verdicts).map(|(row, verdict)| format!("{row}\n=> {verdict}\n")).collect();
            let moment = Moment { zone, ..moment(now) };
            testing::check(&format!("new 2026-11-03 d\n=> keep: holds daily 2026-11-03\n{rows}"), |snapshots| {
                decide(snapshots, &DeletionBlocks::default(), &moment)
            });
        };
        // Fourteen hours ahead of UTC.
        table("2026-11-22T09:59", ["keep: stays until 2026-11-22 is over", "mark 2026-11-22: holds no slot"]);
        table("2026-11-22T10:00", ["delete: its date 2026-11-22 has passed", "mark 2026-11-23: holds no slot"]);
    }

    #[test]
    fn a_malformed_date_keeps() {
        check(
            "",
            "
            f 2026-11-22 -
                => keep: holds no slot, but is the newest ready snapshot of its PVC
            e 2026-11-21 - date=
                => keep (!): delete-after is '', which is no date YYYY-MM-DD
            d 2026-11-20 - date=2026-11-1
                => keep (!): delete-after is '2026-11-1', which is no date YYYY-MM-DD
            c 2026-11-19 - date=2026-02-30
                => keep (!): delete-after is '2026-02-30', which is no date YYYY-MM-DD
            b 2026-11-18 - days date=never
                => keep (!): delete-after is 'never', which is no date YYYY-MM-DD
            ",
        );
    }

    #[test]
    fn the_newest_ready_one_of_each_pvc_stays() {
        check(
            "",
            "
            c 2026-11-22 - slow date=2026-11-21
                => delete: its date 2026-11-21 has passed
            b 2026-11-21 - date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but it is the newest ready snapshot of its PVC
            a 2026-11-20 - date=2026-11-20
                => delete: its date 2026-11-20 has passed
            d 2026-11-19 - pvc=logs
                => keep: holds no slot, but is the newest ready snapshot of its PVC
            e 2026-11-18 - ns=bank date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but it is the newest ready snapshot of its PVC
            # Nothing tells of what they are.
            f 2026-11-17 - pvc= date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but it is the newest ready snapshot of its PVC
            g 2026-11-16 - pvc= days date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but it is the newest ready snapshot of its PVC
            ",
        );
        // The newest ready one is distrusted: the newest backup is kept, too.
        check(
            "",
            "
            c 2026-11-22 - distrusted
                => keep: holds no slot, but is the newest ready snapshot of its PVC
            b 2026-11-21 - date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but it is the newest ready snapshot of its PVC
            a 2026-11-20 - distrusted date=2026-11-20
                => delete: its date 2026-11-20 has passed
            ",
        );
    }

    #[test]
    fn a_snapshot_that_may_become_ready_stays() {
        check(
            "",
            "
            d 2026-11-22T11:59 - pending
                => keep: not ready yet
            c 2026-11-22T11:58 - slow error=busy
                => keep: not ready yet
            # Made with 'days' just before midnight, or marked by hand.
            b 2026-11-22T11:57 - days pending date=2026-11-21
                => keep: not ready yet; the next run looks again
            a 2026-11-22T11:56 - pending error=busy date=2026-11-21
                => keep: not ready yet; the next run looks again
            ",
        );
    }

    #[test]
    fn a_snapshot_in_use_is_left_for_later() {
        check(
            "b c d",
            "
            e 2026-11-22 d
                => keep: holds daily 2026-11-22
            d 2026-11-21 -
                => mark 2026-11-22: holds no slot
            c 2026-11-20 - date=2026-11-21
                => keep: a volume is being made from it; the next run looks again
            # Its workloads are down; what they are to come up with must not go.
            bb 2026-11-19T12:00 - date=2026-11-21 restoring
                => keep: an in-place restore from it was begun and is not done
            # Also a deletion that was begun waits, rather than being called off.
            b 2026-11-19 - date=2026-11-21 deleting finalizer
                => keep: a volume is being made from it; the next run looks again
            # The same name elsewhere.
            c 2026-11-20 - date=2026-11-21 ns=bank slow
                => delete: its date 2026-11-21 has passed
            ",
        );
    }

    #[test]
    fn a_deletion_that_was_begun_is_finished_or_called_off() {
        check(
            "",
            "
            g 2026-11-22 d
                => keep: holds daily 2026-11-22
            f 2026-11-21 - date=2026-11-21 deleting finalizer
                => delete: its date 2026-11-21 has passed
            e 2026-11-20 - date=2026-11-21 finalizer
                => delete: its date 2026-11-21 has passed
            d 2026-11-19 - date=2026-11-22 deleting finalizer
                => release: its deletion was begun, but is off: stays until 2026-11-22 is over
            c 2026-11-18 - deleting finalizer
                => release: its deletion was begun, but is off: it has no delete-after any more
            b 2026-11-17 - finalizer
                => release: its deletion was begun, but is off: it has no delete-after any more
            a 2026-11-16 dwm date= deleting finalizer
                => release (!): its deletion was begun, but is off: delete-after is '', which is no date YYYY-MM-DD
            z 2026-11-15 - days finalizer
                => release: its deletion was begun, but is off: it has no delete-after any more
            # The newer ones went by another hand meanwhile.
            y 2026-11-14 - pvc=logs date=2026-11-13 finalizer
                => release (!): its deletion was begun, but is off: its date 2026-11-13 has passed, but it is the newest ready snapshot of its PVC
            x 2026-11-13 - pvc=mail date=2026-11-13 deleting finalizer
                => release (!): its deletion was begun, but is off: no other ready snapshot of its PVC is left
            # This one was never a backup.
            w 2026-11-12 - pvc=mail date=2026-11-13 deleting finalizer slow
                => delete: its date 2026-11-13 has passed
            ",
        );
    }

    #[test]
    fn data_that_another_content_names_stays() {
        let shared = [("uid-b".to_string(), "clone-1".to_string()), ("uid-c".to_string(), "twin".to_string())].into();
        let held = DeletionBlocks { shared, ..DeletionBlocks::default() };
        let table = "
            e 2026-11-22 d
                => keep: holds daily 2026-11-22
            d 2026-11-21 - date=2026-11-20
                => delete: its date 2026-11-20 has passed
            b 2026-11-20 - date=2026-11-20
                => keep (!): its date 2026-11-20 has passed, but the VolumeSnapshotContent clone-1 names the same stored data; backup-ns delete-vsc clone-1 --keep-data deletes that object alone, or says what needs it
            # That looks again, and keeps the data.
            c 2026-11-19 - date=2026-11-20 deleting finalizer
                => delete: its date 2026-11-20 has passed
            ";
        testing::check(table, |snapshots| decide(snapshots, &held, &moment("2026-11-22T12:00")));
    }

    #[test]
    fn a_member_of_a_group_is_neither_marked_nor_deleted() {
        let group = "it is a member of the VolumeGroupSnapshot one, whose data is only deleted as a whole; kubectl delete \
            volumegroupsnapshot one -n shop deletes the group with all its VolumeSnapshots; under deletionPolicy Retain the data \
            stays under its VolumeGroupSnapshotContent";
        let table = "
            g 2026-11-22 d
                => keep: holds daily 2026-11-22
            f 2026-11-21 - group=one
                => keep (!): holds no slot, but GROUP
            e 2026-11-20 - group=one date=2026-11-21
                => keep (!): its date 2026-11-21 has passed, but GROUP
            # An earlier version began to delete it.
            d 2026-11-19 - group=one date=2026-11-21 deleting finalizer
                => release (!): its deletion was begun, but is off: its date 2026-11-21 has passed, but GROUP
            # It waits for its group.
            c 2026-11-18 - group=one date=2026-11-21 deleting
                => keep: it is being deleted
            # Nothing is to be done about these yet.
            b 2026-11-17 d group=one
                => keep: holds daily 2026-11-17
            a 2026-11-16 - group=one date=2026-11-22
                => keep: stays until 2026-11-22 is over
            z 2026-11-15 - date=2026-11-21
                => delete: its date 2026-11-21 has passed
            ";
        check("", &table.replace("GROUP", group));
    }

    #[test]
    fn a_good_backup_without_a_proven_copy_stays_if_that_is_required() {
        let held = DeletionBlocks {
            sources: [("shop".to_string(), "e".to_string())].into(),
            require_exported: true,
            ..DeletionBlocks::default()
        };
        let table = "
            i 2026-11-22 d
                => keep: holds daily 2026-11-22
            # It is marked all the same: that deletes nothing.
            h 2026-11-21 -
                => mark 2026-11-22: holds no slot
            g 2026-11-20 - date=2026-11-23
                => keep: stays until 2026-11-23 is over
            f 2026-11-19 - date=2026-11-21
                => keep (!): its date 2026-11-21 has passed, but no copy of it outside the cluster is proven: backup-ns export f -n shop
            e 2026-11-18 - date=2026-11-21
                => keep: a volume is being made from it; the next run looks again
            d 2026-11-17 - date=2026-11-21 exported
                => delete: its date 2026-11-21 has passed
            c 2026-11-16 - days date=2026-11-21
                => keep (!): its date 2026-11-21 has passed, but no copy of it outside the cluster is proven: backup-ns export c -n shop
            # There is no good backup in these.
            b 2026-11-15 - slow date=2026-11-21
                => delete: its date 2026-11-21 has passed
            a 2026-11-14 - distrusted date=2026-11-21
                => delete: its date 2026-11-21 has passed
            # A deletion that was begun is called off: the data stays.
            z 2026-11-13 - date=2026-11-21 deleting finalizer
                => release (!): its deletion was begun, but is off: its date 2026-11-21 has passed, but no copy of it outside the cluster is proven: backup-ns export z -n shop
            y 2026-11-12 - date=2026-11-21 deleting finalizer exported
                => delete: its date 2026-11-21 has passed
            # The floor needs no other reason, and no copy gives one to go below it.
            x 2026-11-11 - pvc=logs date=2026-11-21 exported
                => keep (!): its date 2026-11-21 has passed, but it is the newest ready snapshot of its PVC
            ";
        testing::check(table, |snapshots| decide(snapshots, &held, &moment("2026-11-22T12:00")));
    }

    #[test]
    fn a_snapshot_that_delete_works_on_is_left_alone() {
        check(
            "",
            "
            f 2026-11-22 d
                => keep: holds daily 2026-11-22
            e 2026-11-21 - deleting finalizer began=2026-11-22T11:46
                => keep: backup-ns delete is at work on it
            d 2026-11-20 - date=2026-11-21 finalizer began=2026-11-22T11:46
                => keep: backup-ns delete is at work on it
            c 2026-11-19 - deleting finalizer began=2026-11-22T11:44
                => release: its deletion was begun, but is off: it has no delete-after any more
            b 2026-11-18 - date=2026-11-21 deleting finalizer began=2026-11-22T11:44
                => delete: its date 2026-11-21 has passed
            # A note from the future does not count.
            a 2026-11-17 - deleting finalizer began=2027-11-22T11:44
                => release: its deletion was begun, but is off: it has no delete-after any more
            ",
        );
        let rows = [
            "f 2026-11-22 d",
            "e 2026-11-21 - finalizer began=2026-11-22T11:46",
            "c 2026-11-19 - finalizer began=2026-11-22T11:44",
            "b 2026-11-18 - finalizer",
        ];
        let all: Vec<Record> = rows.map(testing::parse).to_vec();
        let left = left_behind(&all, &moment("2026-11-22T12:00"));
        assert_eq!(left.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    fn nothing_in_use() -> DeletionBlocks {
        DeletionBlocks::default()
    }

    fn uses() -> impl Strategy<Value = DeletionBlocks> {
        let name = (0..24).prop_map(|number| ("shop".to_string(), format!("s{number:02}")));
        prop::collection::btree_set(name, 0..6)
            .prop_map(|sources| DeletionBlocks { sources, ..DeletionBlocks::default() })
    }

    fn done(verdicts: &[Decision], which: impl Fn(&Action) -> bool) -> BTreeSet<String> {
        verdicts.iter().filter(|verdict| which(&verdict.action)).map(|verdict| verdict.name.clone()).collect()
    }

    fn deleted(verdicts: &[Decision]) -> BTreeSet<String> {
        done(verdicts, |action| *action == Action::Delete)
    }

    proptest! {
        #[test]
        fn a_second_run_changes_nothing(snapshots in histories(), in_use in uses()) {
            let once = apply(&snapshots, &decide(&snapshots, &in_use, &moment(NOW)));
            for verdict in decide(&once, &in_use, &moment(NOW)) {
                // A deletion was called off before the object was deleted: it is decided again.
                let anew = snapshots.iter().any(|seen| seen.name == verdict.name && seen.has_finalizer);
                prop_assert!(verdict.action == Action::Keep || anew, "{:?}", verdict);
                prop_assert!(verdict.action != Action::Delete, "{:?}", verdict);
            }
        }

        #[test]
        fn order_does_not_matter(
            (snapshots, shuffled) in histories().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
            in_use in uses(),
        ) {
            prop_assert_eq!(decide(&snapshots, &in_use, &moment(NOW)), decide(&shuffled, &in_use, &moment(NOW)));
        }

        #[test]
        fn never_below_the_floor(snapshots in histories(), in_use in uses()) {
            let verdicts = decide(&snapshots, &in_use, &moment(NOW));
            prop_assert_eq!(verdicts.len(), snapshots.len());
            let after = apply(&snapshots, &verdicts);
            let ready = |seen: &&Record| seen.ready && !seen.deleting;
            for seen in snapshots.iter().filter(ready) {
                let of = |other: &&Record| {
                    let known = !seen.pvc.is_empty() || other.name == seen.name;
                    known && (&other.namespace, &other.pvc) == (&seen.namespace, &seen.pvc)
                };
                let newest = |all: &[Record], trusted: bool| {
                    let mine = all.iter().filter(of).filter(ready).filter(|other| !trusted || !other.distrusted);
                    mine.map(|other| (other.cut, other.created)).max()
                };
                prop_assert_eq!(newest(&snapshots, false), newest(&after, false));
                prop_assert_eq!(newest(&snapshots, true), newest(&after, true));
            }
        }

        #[test]
        fn only_what_is_due_and_unused_is_deleted(snapshots in histories(), in_use in uses()) {
            for name in deleted(&decide(&snapshots, &in_use, &moment(NOW))) {
                let seen = snapshots.iter().find(|seen| seen.name == name).unwrap();
                let date = seen.delete_after.as_deref().and_then(date).unwrap();
                prop_assert!(date < moment(NOW).today(), "{:?}", seen);
                prop_assert!(!in_use.sources.contains(&(seen.namespace.clone(), seen.name.clone())));
                prop_assert!(!seen.deleting || seen.has_finalizer);
            }
        }

        #[test]
        fn a_required_copy_only_keeps_what_has_none(snapshots in histories(), in_use in uses()) {
            let required = DeletionBlocks { require_exported: true, ..in_use.clone() };
            let (without, with) = (decide(&snapshots, &in_use, &moment(NOW)), decide(&snapshots, &required, &moment(NOW)));
            for (without, with) in without.iter().zip(&with) {
                let seen = snapshots.iter().find(|seen| seen.name == with.name).unwrap();
                let has_none = seen.ready && !seen.distrusted && !seen.exported;
                prop_assert_eq!(with.unexported, without.action == Action::Delete && has_none);
                prop_assert!(with.unexported || with == without, "{:?} {:?}", with, without);
                prop_assert!(!with.unexported || matches!(with.action, Action::Keep | Action::Release), "{:?}", with);
            }
        }

        #[test]
        fn a_night_lies_between_mark_and_deletion(snapshots in histories()) {
            let verdicts = decide(&snapshots, &nothing_in_use(), &moment(NOW));
            let marked = done(&verdicts, |action| matches!(action, Action::Mark { .. }));
            let midnight = Moment { now: at("2027-01-10T23:59"), ..moment(NOW) };
            let same_day = deleted(&decide(&apply(&snapshots, &verdicts), &nothing_in_use(), &midnight));
            prop_assert!(marked.is_disjoint(&same_day));
        }

        #[test]
        fn a_later_time_never_resurrects(snapshots in histories(), in_use in uses(), minutes in 0i64..20_000) {
            let later = Moment { now: moment(NOW).now + TimeDelta::minutes(minutes), ..moment(NOW) };
            let early = decide(&snapshots, &in_use, &moment(NOW));
            let late = decide(&snapshots, &in_use, &later);
            prop_assert!(deleted(&early).is_subset(&deleted(&late)));
            let marked = |verdicts: &[Decision]| done(verdicts, |action| matches!(action, Action::Mark { .. }));
            prop_assert!(marked(&early).is_subset(&marked(&late)));
        }
    }

    const DEFAULT: Policy = Policy { daily: 7, weekly: 4, monthly: 12 };

    /// A new snapshot, with the slots that `create` would give it.
    fn create(all: &mut Vec<Record>, name: &str, cut: chrono::DateTime<chrono::Utc>) {
        let mut new = ready(name, cut);
        let moment = Moment { now: cut, ..moment(NOW) };
        for kind in SlotKind::ALL {
            let value = kind.value(cut, moment.zone);
            let holds = |seen: &Record| {
                let counts = matches!(seen.standing(&moment), Standing::Good | Standing::Pending);
                counts && seen.slot(kind).is_some_and(|label| kind.same(label, seen.made(&moment), &value, moment.zone))
            };
            new.slots[kind as usize] = (!all.iter().any(holds)).then_some(value);
        }
        all.push(new);
    }

    #[derive(Debug, Clone, Copy)]
    enum Night {
        Good,
        Missed,
        Failed,
        Distrusted,
        Twice,
        FailedThenGood,
    }

    fn nights(days: usize) -> impl Strategy<Value = Vec<Night>> {
        use Night::{Distrusted, Failed, FailedThenGood, Good, Missed, Twice};
        let night = prop_oneof![
            10 => Just(Good), 2 => Just(Missed), 3 => Just(Failed), 1 => Just(Distrusted), 1 => Just(Twice),
            2 => Just(FailedThenGood),
        ];
        prop::collection::vec(night, days)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        // A backup every night for more than a year, and both commands every day.
        #[test]
        fn a_year_of_nights_loses_no_backup_that_counts(
            nights in nights(400),
            (daily, weekly, monthly) in (0usize..8, 0usize..5, 0usize..13),
        ) {
            let policy = Policy { daily, weekly, monthly };
            let mut all: Vec<Record> = Vec::new();
            let mut ever = false;
            // Every slot that a backup ever held.
            let mut history: Vec<BTreeSet<String>> = vec![BTreeSet::new(); 3];
            for (day, night) in nights.into_iter().enumerate() {
                let cut = at("2026-01-01") + TimeDelta::days(day as i64);
                let spoil = |all: &mut Vec<Record>| (all.last_mut().unwrap().ready, all.last_mut().unwrap().error) = (false, Some("full".into()));
                match night {
                    Night::Missed => {}
                    Night::Good => create(&mut all, &format!("n{day:03}"), cut),
                    Night::Failed => {
                        create(&mut all, &format!("n{day:03}"), cut);
                        spoil(&mut all);
                    }
                    Night::Distrusted => {
                        create(&mut all, &format!("n{day:03}"), cut);
                        all.last_mut().unwrap().distrusted = true;
                    }
                    Night::Twice => {
                        create(&mut all, &format!("n{day:03}"), cut);
                        create(&mut all, &format!("n{day:03}b"), cut + TimeDelta::hours(1));
                    }
                    Night::FailedThenGood => {
                        create(&mut all, &format!("n{day:03}"), cut);
                        create(&mut all, &format!("n{day:03}b"), cut + TimeDelta::minutes(1));
                        let at = all.len() - 2;
                        (all[at].ready, all[at].error) = (false, Some("full".into()));
                    }
                }
                let now = Moment { now: cut + TimeDelta::hours(2), ..moment(NOW) };
                let good = |seen: &Record| seen.standing(&now) == Standing::Good;
                ever |= all.iter().any(good);

                all = apply(&all, &retain(&all, policy, &now));
                for seen in all.iter().filter(|seen| good(seen)) {
                    for kind in SlotKind::ALL {
                        history[kind as usize].extend(seen.slot(kind).map(String::from));
                    }
                }
                let verdicts = decide(&all, &nothing_in_use(), &now);
                for name in deleted(&verdicts) {
                    let seen = all.iter().find(|seen| seen.name == name).unwrap();
                    prop_assert!(seen.slots.iter().all(Option::is_none), "{:?}", seen);
                }
                all = apply(&all, &verdicts);

                prop_assert_eq!(all.iter().any(good), ever);
                for kind in SlotKind::ALL {
                    let held: BTreeSet<String> =
                        all.iter().filter(|seen| good(seen)).filter_map(|seen| seen.slot(kind)).map(String::from).collect();
                    let wanted: BTreeSet<String> =
                        history[kind as usize].iter().rev().take(policy.keep(kind)).cloned().collect();
                    prop_assert!(wanted.is_subset(&held), "{} {:?} {:?}", kind, wanted, held);
                }
            }
            // Snapshots do not pile up: those of three kinds of slot, the floor, and those that wait for their deletion.
            prop_assert!(all.len() <= daily + weekly + monthly + 8, "{}", all.len());
        }
    }

    /// The snapshots after both commands, and the decisions.
    fn both(all: &[Record], now: &str) -> (Vec<Record>, Vec<Decision>, Vec<Decision>) {
        let labels = retain(all, DEFAULT, &moment(now));
        let relabelled = apply(all, &labels);
        let deletions = decide(&relabelled, &nothing_in_use(), &moment(now));
        (apply(&relabelled, &deletions), labels, deletions)
    }

    /// The calendar of docs/retention.md, as decided by the code, and the line of a dry run that is shown there.
    fn calendar() -> [String; 2] {
        let mut all: Vec<Record> = Vec::new();
        let night = |all: &mut Vec<Record>, day: &str| create(all, &format!("data-{day}"), at(day));
        let mut day = at("2026-10-01").date_naive();
        while day < at("2026-11-16").date_naive() {
            night(&mut all, &day.to_string());
            if day == at("2026-11-15").date_naive() {
                create(&mut all, "data-2026-11-15-by-hand", at("2026-11-15T09:00"));
            }
            all = both(&all, &format!("{day}T12:00")).0;
            day = day.succ_opt().unwrap();
        }
        night(&mut all, "2026-11-16");
        let failed = all.last_mut().unwrap();
        (failed.ready, failed.error) = (false, Some("no space".into()));
        create(&mut all, "data-2026-11-16-by-hand", at("2026-11-16T09:00"));

        let (mut left, labels, deletions) = both(&all, "2026-11-16T12:00");
        night(&mut left, "2026-11-17");
        let (_, _, tomorrow) = both(&left, "2026-11-17T12:00");
        let said = |verdicts: &[Decision], name: &str| {
            let verdict = verdicts.iter().find(|verdict| verdict.name == name);
            match verdict.map(|verdict| &verdict.action) {
                Some(Action::Keep) | None => String::new(),
                Some(Action::Label { remove, .. }) => {
                    remove.iter().map(|kind| format!("takes {kind}")).collect::<Vec<_>>().join(", ")
                }
                Some(Action::Mark { .. }) => "marks it".into(),
                Some(action) => format!("{}s it", action.word()),
            }
        };
        let mut table = String::from(
            "| snapshot | labels | `retain` on the 16th | `mark-and-delete` on the 16th | on the 17th |\n|---|---|---|---|---|\n",
        );
        for seen in labels.iter().map(|verdict| all.iter().find(|seen| seen.name == verdict.name).unwrap()) {
            let mut has: Vec<String> =
                SlotKind::ALL.iter().filter_map(|kind| Some(format!("{kind} {}", seen.slot(*kind)?))).collect();
            has.extend(seen.delete_after.as_ref().map(|date| format!("delete-after {date}")));
            let name = &seen.name;
            let cells = [
                if seen.ready { name.clone() } else { format!("{name} (failed)") },
                has.join(", "),
                said(&labels, name),
                said(&deletions, name),
                said(&tomorrow, name),
            ];
            table += &format!("| {} |\n", cells.join(" | ").trim_end());
        }
        let shown = labels.iter().find(|verdict| verdict.name == "data-2026-11-09").unwrap();
        [table, format!("({})", shown.reason)]
    }

    #[test]
    fn the_calendar_in_the_documentation_is_right() {
        for part in calendar() {
            assert!(
                include_str!("../../../docs/retention.md").contains(&part),
                "docs/retention.md should have:\n{part}"
            );
        }
    }
}
