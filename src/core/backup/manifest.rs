//! The VolumeSnapshot to create: its labels, slots, annotations and spec. Must not know how it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::core::backup::proof::Proof;
use crate::core::engine::Engine;
use crate::core::escape;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::objects::{Readiness, Snapshot};
use crate::core::retention::history;
use crate::core::retention::slot::{self, SlotKind};
use crate::core::time_zone::Zone;

/// How long a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// Until so many days have passed.
    Days(u32),
    /// As long as it holds a daily, weekly or monthly slot that the policy keeps.
    DailyWeeklyMonthly,
}

/// What a VolumeSnapshot of ours is made from.
#[derive(Debug, Clone)]
pub struct SnapshotRequest<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    /// The PersistentVolumeClaim to snapshot.
    pub pvc: &'a str,
    /// The VolumeSnapshotClass; none for the cluster's default.
    pub class: Option<&'a str>,
    /// Value of the `type` label.
    pub kind: &'a str,
    /// Value of the `pod` label; none for no label.
    pub pod: Option<&'a str>,
    pub retain: Retain,
    /// Identity of the run that makes it.
    pub run: &'a str,
    /// The settings that were set, in order, without passwords.
    pub settings: &'a [(String, String)],
    pub claim: Option<&'a ClaimTemplate>,
    pub dumps: &'a [(Engine, Proof)],
}

/// A slot, and whether another snapshot holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotChoice {
    pub kind: SlotKind,
    pub value: String,
    /// The snapshot that holds it already, if the new one does not get it.
    pub holder: Option<String>,
}

/// Decides the slots of a new snapshot of `pvc`: each of this day, week and month that no ready snapshot of the same
/// PVC holds yet. One that is pending counts as a holder while it is younger than `ready_timeout`; a failed or distrusted one
/// never does.
pub fn choose_slots(
    pvc: &str,
    snapshots: &[Snapshot],
    now: DateTime<Utc>,
    zone: Zone,
    ready_timeout: Duration,
) -> Vec<SlotChoice> {
    let ready_timeout = TimeDelta::from_std(ready_timeout).unwrap_or(TimeDelta::MAX);
    let counts = |snapshot: &Snapshot| match snapshot.readiness() {
        Readiness::Ready => true,
        Readiness::Failed(_) => false,
        Readiness::Pending | Readiness::Cut => now - snapshot.metadata.creation_timestamp < ready_timeout,
    };
    SlotKind::ALL
        .into_iter()
        .map(|kind| {
            let value = kind.value(now, zone);
            let holds = |snapshot: &&Snapshot| {
                let made = history::made(snapshot.status.creation_time, snapshot.metadata.creation_timestamp, now);
                let label = snapshot.metadata.labels.get(kind.label());
                snapshot.is_of(pvc)
                    && snapshot.metadata.deletion_timestamp.is_none()
                    && !snapshot.metadata.annotations.contains_key(labels::DISTRUSTED)
                    && label.is_some_and(|label| kind.same(label, made, &value, zone))
                    && counts(snapshot)
            };
            let holder = snapshots.iter().find(holds).map(|snapshot| snapshot.metadata.name.clone());
            SlotChoice { kind, value, holder }
        })
        .collect()
}

/// The labels of a new snapshot. `slots` count only where slots are the policy.
pub fn snapshot_labels(
    request: &SnapshotRequest<'_>,
    slots: &[SlotChoice],
    now: DateTime<Utc>,
    zone: Zone,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([
        (labels::TYPE.to_string(), request.kind.to_string()),
        (labels::PVC.to_string(), labels::pvc_value(request.pvc)),
        (labels::RUN.to_string(), request.run.to_string()),
    ]);
    if let Some(pod) = request.pod {
        all.insert(labels::POD.into(), pod.into());
    }
    match request.retain {
        Retain::Days(days) => {
            all.insert(labels::RETAIN.into(), "days".into());
            all.insert(labels::RETAIN_DAYS.into(), days.to_string());
            all.insert(labels::DELETE_AFTER.into(), slot::date_after(now, days, zone));
        }
        Retain::DailyWeeklyMonthly => {
            all.insert(labels::RETAIN.into(), labels::RETAIN_SLOTS.into());
            for slot in slots.iter().filter(|slot| slot.holder.is_none()) {
                all.insert(slot.kind.label().into(), slot.value.clone());
            }
        }
    }
    all
}

/// The merge patch that takes a snapshot of ours out of the backups: no slot, no proof, and why.
pub fn distrust(why: &str) -> Value {
    json!({"metadata": {
        "labels": {labels::DAILY: null, labels::WEEKLY: null, labels::MONTHLY: null},
        "annotations": {labels::DUMP_POSTGRES: null, labels::DUMP_MYSQL: null, labels::DISTRUSTED: why},
    }})
}

/// The manifest of a new snapshot.
pub fn snapshot(request: &SnapshotRequest<'_>, slots: &[SlotChoice], now: DateTime<Utc>, zone: Zone) -> Value {
    let settings: Vec<String> =
        request.settings.iter().map(|(key, value)| format!("{key}={}", escape::quoted(value))).collect();
    let mut annotations = BTreeMap::from([(labels::ENV_CONFIG, settings.join("\n"))]);
    if let Some(claim) = request.claim {
        annotations.insert(labels::CLAIM, claim.note());
    }
    for (engine, proof) in request.dumps {
        annotations.insert(engine.annotation(), json!(proof).to_string());
    }
    let mut spec = json!({"source": {"persistentVolumeClaimName": request.pvc}});
    if let Some(class) = request.class {
        spec["volumeSnapshotClassName"] = json!(class);
    }
    json!({
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {
            "name": request.name,
            "namespace": request.namespace,
            "labels": snapshot_labels(request, slots, now, zone),
            "annotations": annotations,
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").unwrap().to_utc()
    }

    fn seen(pvc: &str, label: (&str, &str), status: Value) -> Snapshot {
        serde_json::from_value(json!({
            "metadata": {"name": "old", "creationTimestamp": "2026-11-22T11:30:00Z", "labels": {label.0: label.1}},
            "spec": {"source": {"persistentVolumeClaimName": pvc}},
            "status": status,
        }))
        .unwrap()
    }

    fn taken(snapshot: &Snapshot, ready_timeout: Duration) -> Vec<SlotKind> {
        let slots = choose_slots("data", std::slice::from_ref(snapshot), now(), Zone::UTC, ready_timeout);
        slots.into_iter().filter(|slot| slot.holder.is_some()).map(|slot| slot.kind).collect()
    }

    const DAY: (&str, &str) = (labels::DAILY, "2026-11-22");

    #[test]
    fn a_slot_is_taken_by_a_ready_snapshot_of_the_same_pvc_only() {
        let ready = json!({"readyToUse": true});
        assert_eq!(taken(&seen("data", DAY, ready.clone()), HOUR), [SlotKind::Daily]);
        assert_eq!(taken(&seen("other", DAY, ready.clone()), HOUR), []);
        assert_eq!(taken(&seen("data", (labels::DAILY, "2026-11-21"), ready.clone()), HOUR), []);
        assert_eq!(taken(&seen("data", (labels::WEEKLY, "2026-w47"), ready.clone()), HOUR), [SlotKind::Weekly]);
        assert_eq!(taken(&seen("data", (labels::WEEKLY, "w47"), ready.clone()), HOUR), [SlotKind::Weekly]);
        assert_eq!(taken(&seen("data", (labels::MONTHLY, "2026-11"), ready), HOUR), [SlotKind::Monthly]);
        // A week without a year is of the year of the cut, also if that is after the object was made.
        let ahead = json!({"readyToUse": true, "creationTime": "2028-11-22T11:30:00Z"});
        assert_eq!(taken(&seen("data", (labels::WEEKLY, "w47"), ahead), HOUR), [SlotKind::Weekly]);
    }

    #[test]
    fn a_failed_snapshot_holds_no_slot_and_a_pending_one_only_while_young() {
        assert_eq!(taken(&seen("data", DAY, json!({"readyToUse": false, "error": {"message": "x"}})), HOUR), []);
        let pending = seen("data", DAY, json!({}));
        assert_eq!(taken(&pending, HOUR), [SlotKind::Daily]);
        assert_eq!(taken(&pending, HOUR / 4), []);
        let mut deleted = seen("data", DAY, json!({"readyToUse": true}));
        deleted.metadata.deletion_timestamp = Some(now());
        assert_eq!(taken(&deleted, HOUR), []);
        let mut bad = seen("data", DAY, json!({"readyToUse": true}));
        bad.metadata.annotations.insert(labels::DISTRUSTED.into(), "verify: it cannot be loaded".into());
        assert_eq!(taken(&bad, HOUR), []);
    }

    fn request(retain: Retain) -> SnapshotRequest<'static> {
        SnapshotRequest {
            name: "n",
            namespace: "ns",
            pvc: "data",
            class: None,
            kind: "adhoc",
            pod: None,
            retain,
            run: "r1",
            settings: &[],
            claim: None,
            dumps: &[],
        }
    }

    #[test]
    fn days_get_their_date_and_no_slots() {
        let slots = choose_slots("data", &[], now(), Zone::UTC, HOUR);
        let labels = snapshot_labels(&request(Retain::Days(30)), &slots, now(), Zone::UTC);
        let keys: Vec<&str> = labels.keys().map(String::as_str).collect();
        let expected =
            [labels::DELETE_AFTER, labels::PVC, labels::RETAIN, labels::RETAIN_DAYS, labels::RUN, labels::TYPE];
        assert_eq!(keys, expected);
        assert_eq!(labels[labels::DELETE_AFTER], "2026-12-22");
    }

    #[test]
    fn slots_get_no_date() {
        let slots = choose_slots("data", &[], now(), Zone::UTC, HOUR);
        let labels = snapshot_labels(&request(Retain::DailyWeeklyMonthly), &slots, now(), Zone::UTC);
        assert_eq!(labels[labels::DAILY], "2026-11-22");
        assert_eq!(labels[labels::WEEKLY], "2026-w47");
        assert_eq!(labels[labels::MONTHLY], "2026-11");
        assert!(!labels.contains_key(labels::DELETE_AFTER));
    }

    #[test]
    fn the_class_is_named_only_when_it_is_set() {
        let manifest = snapshot(&request(Retain::Days(1)), &[], now(), Zone::UTC);
        assert!(manifest["spec"].get("volumeSnapshotClassName").is_none());
        let manifest =
            snapshot(&SnapshotRequest { class: Some("c"), ..request(Retain::Days(1)) }, &[], now(), Zone::UTC);
        assert_eq!(manifest["spec"]["volumeSnapshotClassName"], "c");
    }

    proptest! {
        #[test]
        fn the_settings_survive_a_shell(value in "[ -~\n]{0,30}") {
            let settings = [("BAK_X".to_string(), value.clone())];
            let manifest = snapshot(&SnapshotRequest { settings: &settings, ..request(Retain::Days(1)) }, &[], now(), Zone::UTC);
            let text = manifest["metadata"]["annotations"][labels::ENV_CONFIG].as_str().unwrap().to_string();
            let inner = text.strip_prefix("BAK_X='").unwrap().strip_suffix('\'').unwrap();
            prop_assert_eq!(inner.replace(r"'\''", "'"), value);
        }
    }
}
