//! What the ResourceQuotas of a namespace leave room for. Objects are JSON here, as the API has them.

use serde_json::Value;

use crate::core::job::name;
use crate::core::quantity;

/// The count of VolumeSnapshots in a ResourceQuota.
const SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";

/// The names of quotas with too little room for so many VolumeSnapshots more, and how many there is room for. A quota that its
/// controller has not looked at yet limits nothing.
pub fn too_small_for(quotas: &[Value], snapshots: usize) -> Option<(String, u128)> {
    let left = quotas.iter().filter_map(|quota| {
        let amount = |of: &str| quantity::bytes(quota["status"][of][SNAPSHOTS].as_str()?);
        let left = amount("hard")?.saturating_sub(amount("used").unwrap_or(0));
        (left < snapshots as u128).then(|| (name(quota).to_string(), left))
    });
    left.min_by_key(|(_, left)| *left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_tightest_quota_counts() {
        let quota = |name: &str, hard: &str, used: &str| json!({"metadata": {"name": name}, "status": {"hard": {SNAPSHOTS: hard}, "used": {SNAPSHOTS: used}}});
        let fresh = json!({"metadata": {"name": "fresh"}, "spec": {"hard": {SNAPSHOTS: "0"}}});
        let other = json!({"metadata": {"name": "other"}, "status": {"hard": {"pods": "0"}, "used": {"pods": "0"}}});
        let all = [quota("wide", "1k", "3"), quota("narrow", "5", "4"), fresh, other, quota("over", "2", "2")];
        assert_eq!(too_small_for(&all, 2), Some(("over".into(), 0)));
        assert_eq!(too_small_for(&all[..4], 2), Some(("narrow".into(), 1)));
        assert_eq!(too_small_for(&all[..4], 1), None);
    }
}
