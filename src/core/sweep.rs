//! Which snapshots are marked with `delete-after`, and which are deleted because their date has passed. Decides and
//! explains; must not know how they are deleted. docs/retention.md has the rules in words.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::core::history::{Action, Group, Moment, Seen, Standing, Verdict};
use crate::core::slot::SlotKind;

/// Decides about every snapshot of ours, PVC by PVC, newest first. `in_use` are those, by namespace and name, that a
/// volume is still to be made from. The order of `snapshots` does not matter.
pub fn sweep(snapshots: &[Seen], in_use: &BTreeSet<(String, String)>, moment: &Moment) -> Vec<Verdict> {
    let groups = Group::all(snapshots, moment);
    groups.iter().flat_map(|group| of_group(group, in_use, moment)).collect()
}

/// The date of a `delete-after` label, which is written `YYYY-MM-DD` and in no other way.
pub fn date(label: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(label, "%Y-%m-%d").ok()?;
    (date.format("%Y-%m-%d").to_string() == label).then_some(date)
}

fn of_group(group: &Group<'_>, in_use: &BTreeSet<(String, String)>, moment: &Moment) -> Vec<Verdict> {
    let verdicts = group.snapshots.iter().enumerate().map(|(at, seen)| {
        let wanted = match &seen.delete_after {
            Some(label) => due(group, at, label, in_use, moment),
            None => unmarked(group, at, moment),
        };
        // A deletion that was begun and is not wanted any more.
        match wanted.action {
            Action::Delete => wanted,
            _ if seen.claimed => {
                let reason = format!("its deletion was begun, but is off: {}", wanted.reason);
                Verdict { action: Action::Release, reason, ..wanted }
            }
            _ => wanted,
        }
    });
    verdicts.collect()
}

const FLOOR: &str = "newest ready snapshot of its PVC";

/// A snapshot with a `delete-after` label.
fn due(group: &Group<'_>, at: usize, label: &str, in_use: &BTreeSet<(String, String)>, moment: &Moment) -> Verdict {
    let seen = group.snapshots[at];
    let keep = |reason: String| Verdict::on(seen, Action::Keep, reason);
    let Some(date) = date(label) else {
        return keep(format!("delete-after is '{label}', which is no date YYYY-MM-DD")).warning();
    };
    if date >= moment.today() {
        return keep(format!("stays until {date} is over"));
    }
    if seen.standing(moment) == Standing::Deleting && !seen.claimed {
        return keep("it is being deleted".into());
    }
    if group.floor.contains(&at) {
        return keep(format!("its date {date} has passed, but it is the {FLOOR}")).warning();
    }
    // One that is going already is no floor any more; its data stays if there is no other.
    if seen.deleting && group.floor.is_empty() {
        return keep("no other ready snapshot of its PVC is left".into()).warning();
    }
    if in_use.contains(&(seen.namespace.clone(), seen.name.clone())) {
        return keep("a volume is being made from it; the next run looks again".into());
    }
    let reason = format!("its date {date} has passed");
    Verdict::on(seen, Action::Delete, reason)
}

/// A snapshot without a `delete-after` label.
fn unmarked(group: &Group<'_>, at: usize, moment: &Moment) -> Verdict {
    let seen = group.snapshots[at];
    let keep = |reason: &str| Verdict::on(seen, Action::Keep, reason);
    if !seen.by_slots {
        return keep("it has no date").warning();
    }
    let slots: Vec<String> =
        SlotKind::ALL.iter().filter_map(|kind| Some(format!("{kind} {}", seen.slot(*kind)?))).collect();
    if !slots.is_empty() {
        return keep(&format!("holds {}", slots.join(", ")));
    }
    match seen.standing(moment) {
        Standing::Deleting => keep("it is being deleted"),
        Standing::Pending | Standing::Failing => keep("not ready yet"),
        _ if group.floor.contains(&at) => keep(FLOOR),
        _ => {
            let delete_after = moment.today().format("%Y-%m-%d").to_string();
            Verdict::on(seen, Action::Mark { delete_after }, "holds no slot")
        }
    }
}
