//! Which slot labels a PVC's snapshots keep: the newest so many days, weeks and months. Decides and explains; must not
//! know how labels are changed. docs/retention.md has the rules in words.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::history::{Action, Group, Moment, Seen, Standing, Verdict};
use crate::core::slot::SlotKind;

/// How many slots of each kind are kept, for each PVC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Days.
    pub daily: usize,
    /// ISO weeks.
    pub weekly: usize,
    /// Months.
    pub monthly: usize,
}

impl Policy {
    /// How many of this kind.
    pub fn keep(&self, kind: SlotKind) -> usize {
        match kind {
            SlotKind::Daily => self.daily,
            SlotKind::Weekly => self.weekly,
            SlotKind::Monthly => self.monthly,
        }
    }

    /// Whether it keeps nothing at all.
    pub fn is_empty(&self) -> bool {
        SlotKind::ALL.iter().all(|kind| self.keep(*kind) == 0)
    }
}

/// Decides about every snapshot whose policy is `daily_weekly_monthly`, PVC by PVC, newest first. Among those that are
/// good, the newest of each slot holds it, and the newest slots of each kind are kept; every other label goes. The
/// order of `snapshots` does not matter.
pub fn retain(snapshots: &[Seen], policy: Policy, moment: &Moment) -> Vec<Verdict> {
    Group::all(snapshots, moment).iter().flat_map(|group| decide(group, policy, moment)).collect()
}

/// What becomes of one label of one snapshot.
#[derive(Debug, Default)]
struct Change {
    remove: bool,
    give: Option<String>,
    reason: String,
    warning: bool,
}

impl Change {
    fn keep(reason: String) -> Change {
        Change { reason, ..Change::default() }
    }

    fn remove(reason: String) -> Change {
        Change { remove: true, reason, ..Change::default() }
    }
}

fn decide(group: &Group<'_>, policy: Policy, moment: &Moment) -> Vec<Verdict> {
    let by_kind = SlotKind::ALL.map(|kind| (kind, of_kind(group, kind, policy.keep(kind), moment)));
    let members = group.snapshots.iter().enumerate().filter(|(_, seen)| seen.by_slots);
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
            let verdict = Verdict::on(seen, action, reason);
            if changes.iter().any(|(_, change)| change.warning) { verdict.warning() } else { verdict }
        })
        .collect()
}

/// Decides about the labels of one kind; what is decided, by the snapshot's position in the group.
fn of_kind(group: &Group<'_>, kind: SlotKind, keep: usize, moment: &Moment) -> BTreeMap<usize, Change> {
    let mut changes = BTreeMap::new();
    // Who holds a slot now, and who would get it from one that lost it; in the order of the group, newest first.
    let mut held: Vec<(usize, String, bool)> = Vec::new();
    let mut lost: Vec<(usize, String)> = Vec::new();
    for (at, seen) in group.snapshots.iter().enumerate().filter(|(_, seen)| seen.by_slots) {
        let Some(label) = seen.slot(kind) else { continue };
        let Some(slot) = kind.read(label, seen.made(), moment.zone) else {
            let reason = format!("the label {kind}='{label}' is no {kind} slot");
            changes.insert(at, Change { warning: true, ..Change::keep(reason) });
            continue;
        };
        match seen.standing(moment) {
            Standing::Good => held.push((at, slot, false)),
            Standing::Distrusted | Standing::Failed | Standing::Failing => lost.push((at, slot)),
            Standing::Pending => {
                changes.insert(at, Change::keep(format!("{kind} {slot}: not ready yet")));
            }
            Standing::Deleting => {}
        }
    }
    let taken: BTreeSet<String> = held.iter().map(|(_, slot, _)| slot.clone()).collect();
    let mut heirs: BTreeMap<String, usize> = BTreeMap::new();
    for (_, slot) in lost.iter().filter(|(_, slot)| !taken.contains(slot)) {
        if let Some(at) = heir(group, kind, slot, moment)
            && heirs.insert(slot.clone(), at).is_none()
        {
            held.push((at, slot.clone(), true));
        }
    }
    held.sort();

    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, slot, given) in &held {
        let number = kept.len() + 1;
        let change = match kept.get(slot.as_str()) {
            Some(newer) => Change::remove(format!("{kind} {slot}: {} is newer", group.snapshots[*newer].name)),
            None => {
                kept.insert(slot, *at);
                match (number <= keep, given) {
                    (true, true) => Change {
                        give: Some(slot.clone()),
                        ..Change::keep(format!("{kind} {slot}: given, because who held it is no backup"))
                    },
                    (true, false) => Change::keep(format!("{kind} {slot}: number {number} of {keep}")),
                    // What would be given only to be taken away is not given.
                    (false, true) => continue,
                    (false, false) => Change::remove(format!("{kind} {slot}: number {number}, only {keep} are kept")),
                }
            }
        };
        let stays = change.remove && group.floor.contains(at);
        let floor = || Change::keep(format!("{kind} {slot}: newest ready snapshot of its PVC"));
        changes.insert(*at, if stays { floor() } else { change });
    }
    for (at, slot) in &lost {
        changes.insert(*at, loss(group, *at, kind, slot, kept.get(slot.as_str()).copied(), moment));
    }
    changes
}

/// Who gets the slot of one that is no backup: the newest good snapshot of that very day, week or month without a
/// label of that kind. One that is marked already is out of the game.
fn heir(group: &Group<'_>, kind: SlotKind, slot: &str, moment: &Moment) -> Option<usize> {
    group.snapshots.iter().position(|seen| {
        seen.by_slots
            && seen.standing(moment) == Standing::Good
            && seen.delete_after.is_none()
            && seen.slot(kind).is_none()
            && kind.value(seen.made(), moment.zone) == slot
    })
}

/// What becomes of the label of one that is no backup, where `holder` has its slot now.
fn loss(group: &Group<'_>, at: usize, kind: SlotKind, slot: &str, holder: Option<usize>, moment: &Moment) -> Change {
    let seen = group.snapshots[at];
    let why = match (seen.standing(moment), &seen.error) {
        (Standing::Distrusted, _) => "its dump is not to be trusted".into(),
        (_, Some(error)) => format!("it failed: {error}"),
        _ => "it never became ready".into(),
    };
    match holder {
        _ if group.floor.contains(&at) => Change::keep(format!("{kind} {slot}: newest ready snapshot of its PVC")),
        Some(holder) => Change::remove(format!("{kind} {slot}: {why}; {} has the slot", group.snapshots[holder].name)),
        // Its error may pass, and nobody else can stand for that slot.
        None if seen.standing(moment) == Standing::Failing => {
            Change::keep(format!("{kind} {slot}: {why}, but it may still become ready"))
        }
        None => Change::remove(format!("{kind} {slot}: {why}")),
    }
}
