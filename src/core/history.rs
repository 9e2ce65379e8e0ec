//! The history that pruning decides on: a small record of every snapshot of ours, PVC by PVC, and which of them stay
//! whatever a label says. Must not know what is done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Serialize;

use crate::core::labels;
use crate::core::observed::Snapshot;
use crate::core::slot::SlotKind;
use crate::core::zone::Zone;

/// One snapshot, without what no decision needs: tens of thousands are held at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
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
    /// Whether somebody deleted it already.
    pub deleting: bool,
    /// Whether it carries the finalizer of a deletion that we began.
    pub claimed: bool,
}

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
    pub patience: Duration,
}

impl Moment {
    /// The day.
    pub fn today(&self) -> NaiveDate {
        self.zone.local(self.now).date_naive()
    }
}

impl From<Snapshot> for Seen {
    fn from(snapshot: Snapshot) -> Seen {
        let Snapshot { metadata: meta, spec, status } = snapshot;
        let label = |key: &str| meta.labels.get(key).cloned();
        let source = spec.source.persistent_volume_claim_name.as_deref().map(labels::pvc_value);
        Seen {
            pvc: source.or_else(|| label(labels::PVC)).unwrap_or_default(),
            by_slots: label(labels::RETAIN).as_deref() == Some(labels::RETAIN_SLOTS),
            slots: SlotKind::ALL.map(|kind| label(labels::of_slot(kind))),
            delete_after: label(labels::DELETE_AFTER),
            created: meta.creation_timestamp,
            cut: status.creation_time,
            ready: status.ready_to_use == Some(true),
            error: status.error.map(|error| error.message.unwrap_or_else(|| "no reason given".into())),
            distrusted: meta.annotations.contains_key(labels::DISTRUSTED),
            deleting: meta.deletion_timestamp.is_some(),
            claimed: meta.finalizers.iter().any(|finalizer| finalizer == labels::SWEEP),
            namespace: meta.namespace,
            name: meta.name,
            version: meta.resource_version,
        }
    }
}

impl Seen {
    /// The moment for which it stands: its `status.creationTime`, and before it is cut when the object was made.
    pub fn made(&self) -> DateTime<Utc> {
        self.cut.unwrap_or(self.created)
    }

    /// Where it stands.
    pub fn standing(&self, moment: &Moment) -> Standing {
        let patience = TimeDelta::from_std(moment.patience).unwrap_or(TimeDelta::MAX);
        match self {
            Seen { deleting: true, .. } => Standing::Deleting,
            Seen { ready: true, distrusted: false, .. } => Standing::Good,
            Seen { ready: true, .. } => Standing::Distrusted,
            Seen { created, .. } if moment.now - created >= patience => Standing::Failed,
            Seen { error: Some(_), .. } => Standing::Failing,
            _ => Standing::Pending,
        }
    }

    /// The value of its label for a kind of slot.
    pub fn slot(&self, kind: SlotKind) -> Option<&str> {
        self.slots[kind as usize].as_deref()
    }

    /// Newest first: by when it was cut, then by when the object was made, then by name.
    fn rank(&self) -> impl Ord + '_ {
        std::cmp::Reverse((self.made(), self.created, &self.name))
    }
}

/// The snapshots of one PVC, newest first.
#[derive(Debug)]
pub struct Group<'a> {
    /// All that are known.
    pub snapshots: Vec<&'a Seen>,
    /// Which of them stay whatever a label or a policy says, by position: the newest ready one, and the newest that is
    /// a backup, if that is another.
    pub floor: BTreeSet<usize>,
}

impl<'a> Group<'a> {
    fn new(mut snapshots: Vec<&'a Seen>, moment: &Moment) -> Group<'a> {
        snapshots.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let first = |wanted: &[Standing]| snapshots.iter().position(|seen| wanted.contains(&seen.standing(moment)));
        let floor = [first(&[Standing::Good, Standing::Distrusted]), first(&[Standing::Good])];
        Group { floor: floor.into_iter().flatten().collect(), snapshots }
    }

    /// Sorts snapshots by namespace and PVC. One of which nothing tells the PVC is a group by itself, and so, when it is
    /// ready, stays.
    pub fn all(snapshots: &'a [Seen], moment: &Moment) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<(&str, &str, &str), Vec<&Seen>> = BTreeMap::new();
        for seen in snapshots {
            let alone = if seen.pvc.is_empty() { seen.name.as_str() } else { "" };
            groups.entry((&seen.namespace, &seen.pvc, alone)).or_default().push(seen);
        }
        groups.into_values().map(|snapshots| Group::new(snapshots, moment)).collect()
    }
}

/// What becomes of a snapshot, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
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

impl Verdict {
    /// A verdict about `seen`.
    pub fn on(seen: &Seen, action: Action, reason: impl Into<String>) -> Verdict {
        Verdict {
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
    pub fn warning(mut self) -> Verdict {
        self.warning = true;
        self
    }
}
