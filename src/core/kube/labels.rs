//! The labels and annotations that backup-ns reads and writes, and the rules for their values.

/// What all of them begin with.
pub const PREFIX: &str = "backup-ns.sh/";
/// What made the snapshot: `adhoc`, `cronjob` or a word of the user's.
pub const TYPE: &str = "backup-ns.sh/type";
/// The value of [`TYPE`] for what was there before a restore, and is no backup.
pub const SAFETY: &str = "safety";
/// The value of [`TYPE`] for what brings stored data into another namespace.
pub const CLONE: &str = "clone";
/// The PersistentVolumeClaim, see [`pvc_value`].
pub const PVC: &str = "backup-ns.sh/pvc";
/// A word of the user's, usually the pod that ran the backup.
pub const POD: &str = "backup-ns.sh/pod";
/// `days` or `daily_weekly_monthly`.
pub const RETAIN: &str = "backup-ns.sh/retain";
/// The value of [`RETAIN`] for those that stay as long as they hold a slot that is kept.
pub const RETAIN_SLOTS: &str = "daily_weekly_monthly";
/// With `retain=days`: how many.
pub const RETAIN_DAYS: &str = "backup-ns.sh/retain-days";
/// Holder of the daily slot `YYYY-MM-DD`.
pub const DAILY: &str = "backup-ns.sh/daily";
/// Holder of the weekly slot `YYYY-wWW`.
pub const WEEKLY: &str = "backup-ns.sh/weekly";
/// Holder of the monthly slot `YYYY-MM`.
pub const MONTHLY: &str = "backup-ns.sh/monthly";
/// The last day, `YYYY-MM-DD`, on which the snapshot must stay.
pub const DELETE_AFTER: &str = "backup-ns.sh/delete-after";

/// Annotation: the configuration that was set, without passwords, as `KEY='value'` lines.
pub const ENV_CONFIG: &str = "backup-ns.sh/env-config";
/// Annotation: the proof of the PostgreSQL dump, JSON, see [`crate::core::backup::proof::Proof`].
pub const DUMP_POSTGRES: &str = "backup-ns.sh/dump-postgres";
/// Annotation: the proof of the MySQL or MariaDB dump, likewise.
pub const DUMP_MYSQL: &str = "backup-ns.sh/dump-mysql";
/// Annotation: what the claim is like, JSON, see [`crate::core::kube::claim_manifest::ClaimTemplate`].
pub const CLAIM: &str = "backup-ns.sh/claim";
/// Annotation of a VolumeSnapshotContent: the one, by name, whose place it takes.
pub const REBOUND_FROM: &str = "backup-ns.sh/rebound-from";
/// Annotation: why the snapshot must not be taken for a backup, although it is ready.
pub const DISTRUSTED: &str = "backup-ns.sh/distrusted";
/// Annotation of a claim: the snapshot that it was made from, `NAMESPACE/NAME`.
pub const RESTORED_FROM: &str = "backup-ns.sh/restored-from";
/// Annotation: an in-place restore from this snapshot is at work, JSON, see [`crate::core::restore::in_place::Journal`]. On a workload:
/// the restore that keeps it down.
pub const RESTORING: &str = "backup-ns.sh/restoring";
/// Annotation of a VolumeSnapshotContent: its stored data is that of another snapshot, `NAMESPACE/NAME`, and never goes with it.
pub const CLONE_OF: &str = "backup-ns.sh/clone-of";
/// Finalizer: a deletion of ours has begun and is not through with the stored data, see [`crate::cluster::delete_snapshot`].
pub const DELETION_FINALIZER: &str = "backup-ns.sh/sweep";
/// Annotation beside [`DELETION_FINALIZER`]: when `delete` began, RFC 3339. A deletion by policy leaves none.
pub const DELETING: &str = "backup-ns.sh/deleting";
/// Label of a VolumeSnapshotContent that was made for stored data that was there: which data, see [`data_value`].
pub const DATA: &str = "backup-ns.sh/data";
/// The run that made the snapshot: given, or the Job's, else of its own. Those of several claims share it, a retry finds its own
/// by it, and it tells our own object from another's of the same name.
pub const RUN: &str = "backup-ns.sh/run";

/// The day, `YYYY-MM-DD`, on which a restore test found it good last.
pub const VERIFIED: &str = "backup-ns.sh/verified";
/// Annotation: what the last restore test found, JSON, see [`crate::core::restore::verify::stamp`].
pub const VERIFICATION: &str = "backup-ns.sh/verification";
/// Annotation of a restore test's pod: its list of users, as `/etc/passwd` has it.
pub const USERS: &str = "backup-ns.sh/users";
/// On all that a restore test makes for itself: its Job.
pub const VERIFY: &str = "backup-ns.sh/verify";

/// On a Lease that is a lock, or a place in the queue for one: the node, see [`name_value`].
pub const LOCK_NODE: &str = "backup-ns.sh/lock-node";
/// Annotation of a Lease that is a place in the queue: its number, lower ones first.
pub const LOCK_TURN: &str = "backup-ns.sh/lock-turn";

/// Whether a label or annotation says of a snapshot what its content is to say, too. A restore that is at work is the
/// snapshot's alone, and some are the content's own.
pub fn is_synced(key: &str) -> bool {
    key.starts_with(PREFIX) && ![CLONE_OF, DATA, DELETING, REBOUND_FROM, RESTORING].contains(&key)
}
/// The longest label value that Kubernetes takes, in bytes
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>).
const LONGEST_VALUE: usize = 63;

/// Whether `value` may be the value of a label.
///
/// # Errors
/// What is accepted, as a phrase.
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

/// The value of the `pvc` label, see [`name_value`]. What is decided about a PVC is decided by `spec.source`, never by this
/// label, wherever that is known.
pub fn pvc_value(pvc: &str) -> String {
    name_value(pvc)
}

/// The value of [`DATA`] for a driver and its name of the data: others that name the same are found by it.
pub fn data_value(driver: &str, handle: &str) -> String {
    format!("{:016x}", fnv1a(format!("{driver}\0{handle}").as_bytes()))
}

/// An object's name as the value of a label. It may be longer (253) than a label's value; the end of a longer one gives way
/// to a hash, so that two long names stay two.
pub fn name_value(name: &str) -> String {
    if name.len() <= LONGEST_VALUE {
        return name.to_string();
    }
    let keep: String = name.chars().take(LONGEST_VALUE - 17).collect();
    format!("{}-{:016x}", keep.trim_end_matches(['-', '.']), fnv1a(name.as_bytes()))
}

/// 64-bit FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): stable over releases, which std's hashers are not.
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
        fn long_names_with_one_beginning_stay_apart(a in "[a-z]{1,9}", b in "[a-z]{1,9}") {
            let long = "p".repeat(100);
            prop_assert_eq!(a == b, pvc_value(&format!("{long}{a}")) == pvc_value(&format!("{long}{b}")));
        }
    }
}
