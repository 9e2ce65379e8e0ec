//! Whether ResourceQuotas and LimitRanges of a namespace leave room for further objects. Objects are JSON, as the API returns them.

use serde_json::Value;

use crate::core::kube::json::{list, name, text};
use crate::core::kube::quantity;

const SNAPSHOTS: &str = "count/volumesnapshots.snapshot.storage.k8s.io";

/// The ResourceQuota that leaves the least room, if that is too little for so many more VolumeSnapshots, and its room. A quota
/// without a status yet limits nothing.
pub fn too_small_for(quotas: &[Value], snapshots: usize) -> Option<(String, u128)> {
    let left = quotas.iter().filter_map(|quota| {
        let amount = |of: &str| quantity::bytes(quota["status"][of][SNAPSHOTS].as_str()?);
        let left = amount("hard")?.saturating_sub(amount("used").unwrap_or(0));
        (left < snapshots as u128).then(|| (name(quota).to_string(), left))
    });
    left.min_by_key(|(_, left)| *left)
}

/// A Job whose pod has a volume of its own, as a restore test has.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// `resources` of its container.
    pub resources: &'a Value,
    /// The size of its volume, a quantity.
    pub storage: &'a str,
    /// The StorageClass of its volume, if it is named.
    pub class: Option<&'a str>,
}

impl Scratch<'_> {
    /// The reasons why the namespace would refuse it.
    pub fn refused(&self, quotas: &[Value], ranges: &[Value]) -> Vec<String> {
        let about_it = quotas.iter().filter(|quota| self.is_in_scopes(quota, ranges));
        let by_quotas = about_it.flat_map(|quota| self.refused_by_quota(quota, ranges));
        let limits =
            ranges.iter().flat_map(|range| list(range, "/spec/limits").iter().map(move |limit| (range, limit)));
        let by_ranges = limits.flat_map(|(range, limit)| self.refused_by_range(name(range), limit, ranges));
        by_quotas.chain(by_ranges).collect()
    }

    /// Whether the pod is in all scopes of a quota. Quotas of a PriorityClass are left out: a pod without a class may get
    /// the cluster's default (<https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-scopes>).
    fn is_in_scopes(&self, quota: &Value, ranges: &[Value]) -> bool {
        let is_in = |scope: &str| match scope {
            // The time limit is the Job's, not the pod's.
            "NotTerminating" => true,
            "BestEffort" => self.is_best_effort(ranges),
            "NotBestEffort" => !self.is_best_effort(ranges),
            _ => false,
        };
        let selected = list(quota, "/spec/scopeSelector/matchExpressions").iter();
        list(quota, "/spec/scopes").iter().all(|scope| is_in(scope.as_str().unwrap_or_default()))
            && selected.into_iter().all(|term| term["operator"] == "Exists" && is_in(text(term, "/scopeName")))
    }

    /// Whether its container neither requests nor limits CPU and memory.
    fn is_best_effort(&self, ranges: &[Value]) -> bool {
        let has = |of: &str| ["cpu", "memory"].iter().any(|resource| self.amount(of, resource, ranges).is_some());
        !has("requests") && !has("limits")
    }

    fn refused_by_quota(&self, quota: &Value, ranges: &[Value]) -> Vec<String> {
        let hard = quota["status"]["hard"].as_object().into_iter().flatten();
        let judge = |(key, hard): (&String, &Value)| {
            let wanted = match key.as_str() {
                "pods"
                | "count/pods"
                | "count/jobs.batch"
                | "persistentvolumeclaims"
                | "count/persistentvolumeclaims" => "1".to_string(),
                "requests.storage" => self.storage.to_string(),
                "limits.cpu" | "limits.memory" | "limits.ephemeral-storage" => {
                    match self.amount("limits", key.trim_start_matches("limits."), ranges) {
                        Some(amount) => amount,
                        None => return Some(format!("{key} must be set, and no LimitRange has a default")),
                    }
                }
                "cpu"
                | "memory"
                | "ephemeral-storage"
                | "requests.cpu"
                | "requests.memory"
                | "requests.ephemeral-storage" => {
                    match self.amount("requests", key.trim_start_matches("requests."), ranges) {
                        Some(amount) => amount,
                        None => return Some(format!("{key} must be set, and no LimitRange has a default")),
                    }
                }
                _ => match (self.class, key.split_once(".storageclass.storage.k8s.io/")) {
                    (Some(class), Some((of, what))) if of == class => {
                        if what == "requests.storage" {
                            self.storage.to_string()
                        } else {
                            "1".into()
                        }
                    }
                    _ => return None,
                },
            };
            let (hard, used) = (hard.as_str()?, quota["status"]["used"][key].as_str().unwrap_or("0"));
            let (all, taken) = (quantity::thousandths(hard)?, quantity::thousandths(used).unwrap_or(0));
            let room = taken.saturating_add(quantity::thousandths(&wanted)?) <= all;
            (!room).then(|| format!("{key}: it needs {wanted}, and {used} of {hard} are used"))
        };
        hard.filter_map(judge).map(|why| format!("the ResourceQuota {}: {why}", name(quota))).collect()
    }

    /// The amount of a resource that its container has, by itself or by the default of a LimitRange.
    fn amount(&self, of: &str, resource: &str, ranges: &[Value]) -> Option<String> {
        let named = |of: &str| self.resources[of][resource].as_str().map(str::to_string);
        let limits = ranges.iter().flat_map(|range| list(range, "/spec/limits"));
        let mut limits = limits.filter(|limit| limit["type"] == "Container");
        let mut default = |key: &str| limits.find_map(|limit| limit[key][resource].as_str().map(str::to_string));
        match of {
            "limits" => named("limits").or_else(|| default("default")),
            // A container without a request requests its limit.
            _ => named("requests").or_else(|| named("limits")).or_else(|| default("defaultRequest")),
        }
    }

    fn refused_by_range(&self, range: &str, limit: &Value, ranges: &[Value]) -> Vec<String> {
        let of_claims = match text(limit, "/type") {
            "PersistentVolumeClaim" => true,
            "Container" | "Pod" => false,
            _ => return Vec::new(),
        };
        let mut reasons = Vec::new();
        for (bound, of) in [("min", "requests"), ("max", "limits")] {
            for (resource, value) in limit[bound].as_object().into_iter().flatten() {
                let has = match of_claims {
                    true => (resource == "storage").then(|| self.storage.to_string()),
                    false => self.amount(of, resource, ranges),
                };
                let Some(value) = value.as_str() else { continue };
                let fits = has
                    .as_deref()
                    .and_then(quantity::thousandths)
                    .zip(quantity::thousandths(value))
                    .map(|(has, bound_at)| if bound == "min" { has >= bound_at } else { has <= bound_at });
                let has = has.unwrap_or_else(|| "none".into());
                if fits == Some(false) {
                    reasons.push(format!("the LimitRange {range}: {bound} of {resource} is {value}, it has {has}"));
                }
            }
        }
        reasons
    }
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
    #[test]
    fn a_restore_test_must_fit_into_quotas_and_limits() {
        let quota =
            |hard: Value, used: Value| json!({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}});
        let range = |limit: Value| json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}});
        let (none, small) = (json!({}), json!({"requests": {"cpu": "250m"}, "limits": {"memory": "256Mi"}}));
        let refused = |resources: &Value, quota: Value, range: Value| {
            Scratch { resources, storage: "1Gi", class: Some("fast") }.refused(&[quota], &[range])
        };
        let free = json!({});
        for (resources, hard, used, limit, expected) in [
            (&none, json!({"pods": "3"}), json!({"pods": "2"}), json!({}), ""),
            (
                &none,
                json!({"pods": "3"}),
                json!({"pods": "3"}),
                json!({}),
                "the ResourceQuota q: pods: it needs 1, and 3 of 3",
            ),
            (&none, json!({"count/jobs.batch": "0"}), free.clone(), json!({}), "count/jobs.batch"),
            (
                &none,
                json!({"requests.storage": "10Gi"}),
                json!({"requests.storage": "9.5Gi"}),
                json!({}),
                "it needs 1Gi",
            ),
            (
                &none,
                json!({"fast.storageclass.storage.k8s.io/requests.storage": "0"}),
                free.clone(),
                json!({}),
                "fast.storage",
            ),
            (&none, json!({"slow.storageclass.storage.k8s.io/requests.storage": "0"}), free.clone(), json!({}), ""),
            (&none, json!({"requests.cpu": "1"}), free.clone(), json!({}), "requests.cpu must be set"),
            (
                &none,
                json!({"limits.memory": "1Gi"}),
                free.clone(),
                json!({"type": "Container", "default": {"memory": "1Gi"}}),
                "",
            ),
            (&small, json!({"requests.cpu": "1"}), json!({"requests.cpu": "750m"}), json!({}), ""),
            (&small, json!({"requests.cpu": "1"}), json!({"requests.cpu": "751m"}), json!({}), "it needs 250m"),
            (&small, json!({"memory": "255Mi"}), free.clone(), json!({}), "it needs 256Mi"),
            (
                &small,
                free.clone(),
                free.clone(),
                json!({"type": "Container", "max": {"memory": "128Mi"}}),
                "max of memory is 128Mi",
            ),
            (&small, free.clone(), free.clone(), json!({"type": "Container", "min": {"cpu": "200m"}}), ""),
            (
                &none,
                free.clone(),
                free.clone(),
                json!({"type": "PersistentVolumeClaim", "min": {"storage": "2Gi"}}),
                "min of storage",
            ),
        ] {
            let reasons = refused(resources, quota(hard.clone(), used), range(limit.clone())).join("; ");
            assert_eq!(
                (reasons.is_empty(), reasons.contains(expected)),
                (expected.is_empty(), true),
                "{hard} {limit}: {reasons}"
            );
        }
    }

    #[test]
    fn a_quota_with_scopes_counts_where_the_pod_is_in_them() {
        let with_cpu = json!({"type": "Container", "default": {"cpu": "1"}});
        let exists = |scope: &str| json!({"scopeName": scope, "operator": "Exists"});
        let (none, small, disk) =
            (json!({}), json!({"requests": {"cpu": "250m"}}), json!({"limits": {"ephemeral-storage": "1Gi"}}));
        for (resources, scopes, selector, limit, counts) in [
            (&none, json!(["NotTerminating"]), json!([]), &none, true),
            (&none, json!(["Terminating"]), json!([]), &none, false),
            (&none, json!(["BestEffort"]), json!([]), &none, true),
            (&disk, json!(["BestEffort"]), json!([]), &none, true),
            (&small, json!(["BestEffort"]), json!([]), &none, false),
            (&none, json!(["BestEffort"]), json!([]), &with_cpu, false),
            (&none, json!(["NotBestEffort"]), json!([]), &none, false),
            (&none, json!(["NotBestEffort"]), json!([]), &with_cpu, true),
            (&small, json!(["NotBestEffort", "NotTerminating"]), json!([]), &none, true),
            (&small, json!(["NotBestEffort", "Terminating"]), json!([]), &none, false),
            (&small, Value::Null, json!([exists("NotBestEffort")]), &none, true),
            (&small, Value::Null, json!([exists("BestEffort")]), &none, false),
            (&small, json!(["NotTerminating"]), json!([exists("BestEffort")]), &none, false),
            // Whether the cluster has a default class is not known here.
            (&none, Value::Null, json!([exists("PriorityClass")]), &none, false),
            (
                &none,
                Value::Null,
                json!([{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]),
                &none,
                false,
            ),
            (&none, Value::Null, json!([exists("CrossNamespacePodAffinity")]), &none, false),
        ] {
            let quota = json!({
                "metadata": {"name": "q"}, "status": {"hard": {"pods": "0"}, "used": {}},
                "spec": {"scopes": scopes, "scopeSelector": {"matchExpressions": selector}},
            });
            let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [limit]}});
            let refused = Scratch { resources, storage: "1Gi", class: None }.refused(&[quota], &[range]);
            assert_eq!(!refused.is_empty(), counts, "{resources} {scopes} {selector} {limit}: {refused:?}");
        }
    }
}
