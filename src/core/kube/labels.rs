//! The labels and annotations that backup-ns reads and writes, and the rules for their values.

/// The prefix of all of them.
pub const PREFIX: &str = "backup-ns.sh/";
/// The origin of the snapshot: `adhoc`, `cronjob` or a word of the user.
pub const TYPE: &str = "backup-ns.sh/type";
/// The value of [`TYPE`] for the safety snapshot of an in-place restore, which is no backup.
pub const SAFETY: &str = "safety";
/// The value of [`TYPE`] for a snapshot that brings stored data into another namespace.
pub const CLONE: &str = "clone";
/// The PersistentVolumeClaim, see [`pvc_value`].
pub const PVC: &str = "backup-ns.sh/pvc";
/// A word of the user, usually the pod that ran the backup.
pub const POD: &str = "backup-ns.sh/pod";
/// `days` or `daily_weekly_monthly`.
pub const RETAIN: &str = "backup-ns.sh/retain";
/// The value of [`RETAIN`] for snapshots that are kept as long as they hold a slot.
pub const RETAIN_SLOTS: &str = "daily_weekly_monthly";
/// With `retain=days`: how many.
pub const RETAIN_DAYS: &str = "backup-ns.sh/retain-days";
/// The daily slot that the snapshot holds, `YYYY-MM-DD`.
pub const DAILY: &str = "backup-ns.sh/daily";
/// The weekly slot that the snapshot holds, `YYYY-wWW`.
pub const WEEKLY: &str = "backup-ns.sh/weekly";
/// The monthly slot that the snapshot holds, `YYYY-MM`.
pub const MONTHLY: &str = "backup-ns.sh/monthly";
/// The last day, `YYYY-MM-DD`, on which the snapshot is kept.
pub const DELETE_AFTER: &str = "backup-ns.sh/delete-after";

/// Annotation: the settings that were set, without passwords, as `KEY='value'` lines.
pub const ENV_CONFIG: &str = "backup-ns.sh/env-config";
/// Annotation: the proof of the PostgreSQL dump, JSON, see [`crate::core::backup::proof::Proof`].
pub const DUMP_POSTGRES: &str = "backup-ns.sh/dump-postgres";
/// Annotation: the proof of the MySQL or MariaDB dump.
pub const DUMP_MYSQL: &str = "backup-ns.sh/dump-mysql";
/// Annotation: the claim, JSON, see [`crate::core::kube::claim_manifest::ClaimTemplate`].
pub const CLAIM: &str = "backup-ns.sh/claim";
/// Annotation of a VolumeSnapshotContent: the name of the content that it replaces.
pub const REBOUND_FROM: &str = "backup-ns.sh/rebound-from";
/// Annotation: why the snapshot is no backup, although it is ready.
pub const DISTRUSTED: &str = "backup-ns.sh/distrusted";
/// Annotation of a claim: the snapshot that it was restored from, `NAMESPACE/NAME`.
pub const RESTORED_FROM: &str = "backup-ns.sh/restored-from";
/// Annotation: the running in-place restore from this snapshot, JSON, see [`crate::core::restore::in_place::Journal`]. On a
/// workload: the restore that scaled it down.
pub const RESTORING: &str = "backup-ns.sh/restoring";
/// Annotation of a VolumeSnapshotContent: its stored data belongs to this other snapshot, `NAMESPACE/NAME`, and is never deleted
/// with it.
pub const CLONE_OF: &str = "backup-ns.sh/clone-of";
/// Finalizer: backup-ns began to delete the snapshot, and its stored data is not deleted yet, see [`crate::cluster::delete_snapshot`].
pub const DELETION_FINALIZER: &str = "backup-ns.sh/sweep";
/// Annotation with [`DELETION_FINALIZER`]: when the command `delete` began, RFC 3339. mark-and-delete does not set it.
pub const DELETING: &str = "backup-ns.sh/deleting";
/// Label of a VolumeSnapshotContent that was made for existing stored data: a hash of the data's name, see [`data_value`].
pub const DATA: &str = "backup-ns.sh/data";
/// The run that made the snapshot: BAK_RUN_ID, else the Job, else a random id. The snapshots of several claims share it, and a
/// retry recognizes the snapshots of its own run by it.
pub const RUN: &str = "backup-ns.sh/run";

/// The day, `YYYY-MM-DD`, of the last restore test that passed.
pub const VERIFIED: &str = "backup-ns.sh/verified";
/// Annotation: the result of the last restore test, JSON, see [`crate::core::restore::verify::stamp`].
pub const VERIFICATION: &str = "backup-ns.sh/verification";
/// Annotation of a restore test's pod: its users, in the format of `/etc/passwd`.
pub const USERS: &str = "backup-ns.sh/users";
/// Label of the objects of a restore test: its Job.
pub const VERIFY: &str = "backup-ns.sh/verify";

/// The day, `YYYY-MM-DD`, of the last export whose copy was read back.
pub const EXPORTED: &str = "backup-ns.sh/exported";
/// Annotation: where that copy is, JSON, see [`crate::core::export::record::ExportRecord`].
pub const EXPORT: &str = "backup-ns.sh/export";
/// Label of the objects of an export: its Job.
pub const EXPORT_JOB: &str = "backup-ns.sh/export-job";
/// Label of the objects of an import: its Job.
pub const IMPORT_JOB: &str = "backup-ns.sh/import-job";
/// Annotation of a claim: the copy that it was filled from, `NAMESPACE/CLAIM/SNAPSHOT`.
pub const IMPORTED_FROM: &str = "backup-ns.sh/imported-from";

/// Label of a Lease that is a node lock, or a place in the queue for one: the node, see [`name_value`].
pub const LOCK_NODE: &str = "backup-ns.sh/lock-node";
/// Annotation of a Lease that is a place in the queue: its number; the lowest is first.
pub const LOCK_TURN: &str = "backup-ns.sh/lock-turn";

/// Whether `sync-metadata-to-vsc` copies a label or annotation from a snapshot to its content. Not copied are the state of a
/// running restore, and what is the content's own.
pub fn is_synced(key: &str) -> bool {
    key.starts_with(PREFIX) && ![CLONE_OF, DATA, DELETING, REBOUND_FROM, RESTORING].contains(&key)
}
/// The longest label value that Kubernetes takes, in bytes
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
const LONGEST_VALUE: usize = 63;

/// Checks the value of a label. The error is a phrase that says what is accepted.
pub fn check_value(value: &str) -> Result<(), String> {
    let alphanumeric = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    let fine = bytes.len() <= LONGEST_VALUE
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b));
    if fine {
        Ok(())
    } else {
        Err(format!("at most {LONGEST_VALUE} letters, digits, '-', '_' and '.', with a letter or digit at either end"))
    }
}

/// The value of the `pvc` label, see [`name_value`]. Decisions use `spec.source` instead of this label where it is known.
pub fn pvc_value(pvc: &str) -> String {
    name_value(pvc)
}

/// The value of [`DATA`] for a driver and its name of the data. Contents of the same data are found by it.
pub fn data_value(driver: &str, handle: &str) -> String {
    format!("{:016x}", fnv1a(format!("{driver}\0{handle}").as_bytes()))
}

/// An object's name as the value of a label. The end of a name that is too long is replaced by a hash, so that different names
/// stay different.
pub fn name_value(name: &str) -> String {
    if name.len() <= LONGEST_VALUE {
        return name.to_string();
    }
    let keep: String = name.chars().take(LONGEST_VALUE - 17).collect();
    format!("{}-{:016x}", keep.trim_end_matches(['-', '.']), fnv1a(name.as_bytes()))
}

/// 64-bit FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>). Unlike std's hashers it is the same in every release.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_follow_the_syntax_of_kubernetes() {
        for good in ["", "a", "cronjob", "2026-w53", "A_b.c-9", &"x".repeat(63)] {
            assert!(check_value(good).is_ok(), "{good}");
        }
        for bad in ["-a", "a-", "a b", "ä", "a/b", "a\n", &"x".repeat(64)] {
            assert!(check_value(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_pvc_name_has_a_label(name in "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?") {
            prop_assert!(check_value(&pvc_value(&name)).is_ok(), "{}", pvc_value(&name));
        }

        #[test]
        fn long_names_with_a_common_beginning_stay_different(a in "[a-z]{1,9}", b in "[a-z]{1,9}") {
            let long = "p".repeat(100);
            prop_assert_eq!(a == b, pvc_value(&format!("{long}{a}")) == pvc_value(&format!("{long}{b}")));
        }
    }
}
