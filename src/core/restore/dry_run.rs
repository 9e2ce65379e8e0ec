//! The requests that an in-place restore has the API try (`dryRun=All`) before it stops anything, and whether a quota that
//! refuses a second claim would refuse the replacement of the first. Must not know how the requests are sent.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::kube::calls::{CLAIMS, SNAPSHOTS, Target, try_delete_options};
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Meta, Snapshot};
use crate::core::kube::quantity;
use crate::core::restore::in_place::{ClaimState, Journal, NextStep};

/// A request that the API tries and does not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// A phrase that says what would be done.
    pub what: String,
    pub args: Vec<String>,
    pub input: String,
    /// Whether it creates the new claim while the old one exists: a quota counts both.
    pub beside: bool,
}

/// The requests that remain of a restore, in their order. `of` is the snapshot that carries the journal, `from` the one that the
/// claim is made from, `safety` the manifest of the safety snapshot.
pub fn trials(
    target: &Target,
    journal: &Journal,
    namespace_objects: &NamespaceObjects,
    (of, from): (&Snapshot, &Snapshot),
    safety: &Value,
) -> Vec<DryRun> {
    let name = &journal.claim.name;
    let mut all = Vec::new();
    let mut trial = |what: String, args: Vec<String>, input: String, beside: bool| {
        all.push(DryRun { what, args, input, beside });
    };
    let place = journal.claim_state(namespace_objects, of);
    let stops = journal.next_step(namespace_objects, of) == Ok(NextStep::Replace);
    if !journal.back && place == ClaimState::Old && namespace_objects.snapshot(&journal.safety).is_none() {
        let what = format!("make the safety snapshot {}", journal.safety);
        trial(what, target.try_create(SNAPSHOTS), safety.to_string(), false);
    }
    let there = namespace_objects.claim(name).filter(|_| stops);
    if let Some(claim) = there.filter(|_| place != ClaimState::Gone) {
        let condition = json!({"uid": claim.metadata.uid});
        trial(format!("delete the claim {name}"), target.delete(CLAIMS, name), try_delete_options(&condition), false);
    }
    if stops {
        let mut claim = journal.replacement(&target.namespace, from);
        // While the old claim has the name, the new one can be tried only under another.
        if there.is_some() {
            claim["metadata"]["name"] = json!(journal.safety);
        }
        let what = format!("make the claim {name} from {}", from.metadata.name);
        trial(what, target.try_create(CLAIMS), claim.to_string(), there.is_some());
    }
    for down in journal.workloads.iter().filter(|down| namespace_objects.is_there(down)) {
        let mut patch = |what: &str, patch: Value| {
            let args = target.try_patch(down.kind.resource(), &down.name, &patch);
            trial(format!("{what} {down}"), args, String::new(), false);
        };
        if stops {
            patch("stop", down.patch(Some(&of.metadata.name)));
        }
        patch("start", down.patch(None));
    }
    all
}

/// A ResourceQuota.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Quota {
    pub metadata: Meta,
    pub spec: QuotaSpec,
    pub status: QuotaStatus,
}

/// `spec` of a [`Quota`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuotaSpec {
    /// Set if it counts only some objects.
    pub scopes: Vec<String>,
    pub scope_selector: Option<Value>,
}

/// `status` of a [`Quota`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct QuotaStatus {
    /// Quantities by resource: the most of each.
    pub hard: BTreeMap<String, String>,
    /// What is used of each.
    pub used: BTreeMap<String, String>,
}

impl Quota {
    /// The quota that refused a request, from the API's words
    /// (`exceeded quota: NAME, requested: R=1, used: R=1, limited: R=1`).
    pub fn that_refused(words: &str) -> Option<Quota> {
        let (_, rest) = words.split_once("exceeded quota: ")?;
        let (name, rest) = rest.split_once(", requested: ")?;
        let (_, rest) = rest.split_once(", used: ")?;
        let (used, hard) = rest.split_once(", limited: ")?;
        let amounts = |text: &str| {
            let pairs = text.lines().next().unwrap_or_default().split(',');
            let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
            pairs.map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let status = QuotaStatus { hard: amounts(hard), used: amounts(used) };
        let metadata = Meta { name: name.into(), ..Meta::default() };
        Some(Quota { metadata, status, ..Quota::default() })
    }

    /// Whether it counts every claim.
    pub fn is_of_all(&self) -> bool {
        self.spec.scopes.is_empty() && self.spec.scope_selector.is_none()
    }

    /// A phrase about the resource that does not suffice to replace a claim of the size `old` by one of the size `new`, both of the
    /// class; None if all do.
    pub fn lacks(&self, class: Option<&str>, old: &str, new: &str) -> Option<String> {
        let QuotaStatus { hard, used } = &self.status;
        let lack = |(key, most): (&String, &String)| {
            let (of_old, of_new) = (share(key, class, old)?, share(key, class, new)?);
            let used = used.get(key)?;
            let others = quantity::bytes(used)?.saturating_sub(of_old);
            let asked = if key.ends_with("requests.storage") { new } else { "1" };
            (others.checked_add(of_new)? > quantity::bytes(most)?)
                .then(|| format!("{key}: {asked} is needed, {used} is used with the old claim, {most} is the most"))
        };
        hard.iter().find_map(lack).map(|lack| format!("the ResourceQuota {}: {lack}", self.metadata.name))
    }
}

/// How much of a quota's resource one claim of this class and size takes, if any
/// (<https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-for-storage>).
fn share(key: &str, class: Option<&str>, size: &str) -> Option<u128> {
    let of_class = key.split_once(".storageclass.storage.k8s.io/");
    let key = match of_class {
        Some((of, key)) if class.is_none_or(|class| class == of) => key,
        Some(_) => return None,
        None => key,
    };
    match key {
        "persistentvolumeclaims" | "count/persistentvolumeclaims" => Some(1),
        "requests.storage" => quantity::bytes(size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The objects of a namespace, the snapshot `s` of it, and the planned restore of that.
    fn planned() -> (Vec<Value>, NamespaceObjects, Snapshot, Journal) {
        let volumes = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]);
        let pods = json!({"template": {"spec": {"volumes": volumes}}});
        let objects = vec![
            json!({
                "kind": "VolumeSnapshot", "metadata": {"name": "s", "namespace": "shop"},
                "spec": {"source": {"persistentVolumeClaimName": "data"}}, "status": {"readyToUse": true},
            }),
            json!({
                "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "uid": "u1"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }),
            json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": pods}),
            json!({"kind": "CronJob", "metadata": {"name": "report"}, "spec": {"jobTemplate": {"spec": pods}}}),
        ];
        let namespace_objects = of(&objects);
        let snapshot = namespace_objects.snapshot("s").unwrap().clone();
        let journal = namespace_objects.plan(&snapshot, "safe").unwrap();
        (objects, namespace_objects, snapshot, journal)
    }

    fn of(objects: &[Value]) -> NamespaceObjects {
        NamespaceObjects::of(serde_json::from_value::<Vec<_>>(json!(objects)).unwrap())
    }

    fn tried(journal: &Journal, namespace_objects: &NamespaceObjects, snapshot: &Snapshot) -> Vec<DryRun> {
        let target = Target { namespace: "shop".into(), ..Target::default() };
        trials(&target, journal, namespace_objects, (snapshot, snapshot), &json!({"metadata": {"name": "safe"}}))
    }

    fn whats(trials: &[DryRun]) -> Vec<&str> {
        trials.iter().map(|trial| trial.what.as_str()).collect()
    }

    #[test]
    fn every_request_that_is_still_to_come_is_tried_and_none_is_carried_out() {
        let (objects, namespace_objects, snapshot, mut journal) = planned();
        let all = tried(&journal, &namespace_objects, &snapshot);
        assert_eq!(
            whats(&all),
            [
                "make the safety snapshot safe",
                "delete the claim data",
                "make the claim data from s",
                "stop deployment/web",
                "start deployment/web",
                "stop cronjob/report",
                "start cronjob/report"
            ]
        );
        for trial in &all {
            let words = format!("{} {}", trial.args.join(" "), trial.input);
            let marks = ["?dryRun=All", r#""dryRun":["All"]"#, "--dry-run=server"];
            assert_eq!(marks.iter().filter(|mark| words.contains(**mark)).count(), 1, "{words}");
        }
        assert!(all[1].input.contains(r#""uid":"u1""#), "{}", all[1].input);
        let claim: Value = serde_json::from_str(&all[2].input).unwrap();
        assert_eq!((&claim["metadata"]["name"], all[2].beside), (&json!("safe"), true), "there is one of its own name");
        // What an earlier call did is tried no more.
        let mut later = objects.clone();
        later[1]["metadata"]["uid"] = json!("u2");
        later[1]["metadata"]["annotations"] = json!({"backup-ns.sh/restored-from": "shop/s"});
        let starts = ["start deployment/web", "start cronjob/report"];
        assert_eq!(whats(&tried(&journal, &of(&later), &snapshot)), starts);
        journal.back = true;
        assert_eq!(whats(&tried(&journal, &namespace_objects, &snapshot)), starts);
        // Once the claim is gone, the new one has its name.
        journal.back = false;
        later.remove(1);
        later.push(json!({"kind": "VolumeSnapshot", "metadata": {"name": "safe"}, "status": {"readyToUse": true}}));
        let all = tried(&journal, &of(&later), &snapshot);
        assert_eq!(whats(&all)[..2], ["make the claim data from s", "stop deployment/web"]);
        assert!(!all[0].beside && all[0].input.contains(r#""name":"data""#), "{}", all[0].input);
    }

    #[test]
    fn a_quota_that_counts_the_old_claim_is_no_refusal() {
        let refused = |used: &str, most: &str| {
            let words = format!(
                "Error from server (Forbidden): persistentvolumeclaims \"x\" is forbidden: exceeded quota: q, requested: \
                 requests.storage=1Gi, used: requests.storage={used}, limited: requests.storage={most}\n"
            );
            Quota::that_refused(&words).unwrap()
        };
        assert_eq!(refused("1Gi", "1Gi").lacks(None, "1Gi", "1Gi"), None);
        assert_eq!(refused("3Gi", "3500Mi").lacks(None, "1Gi", "1Gi"), None);
        let lack = refused("1Gi", "1Gi").lacks(None, "1Gi", "2Gi").unwrap();
        assert_eq!(
            lack,
            "the ResourceQuota q: requests.storage: 2Gi is needed, 1Gi is used with the old claim, 1Gi is the most"
        );
        // It was lowered since, or the old claim is not of it.
        assert!(refused("3Gi", "2Gi").lacks(None, "512Mi", "1Gi").is_some());
        assert!(refused("1Gi", "1Gi").lacks(None, "0", "1Gi").is_some());
        assert!(Quota::that_refused("is forbidden: User \"x\" cannot create").is_none());
    }

    #[test]
    fn a_quota_counts_by_number_size_and_class() {
        let quota = |hard: Value, used: Value| -> Quota {
            serde_json::from_value(json!({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}})).unwrap()
        };
        let lacks = |key: &str, used: &str, most: &str| {
            quota(json!({key: most}), json!({key: used})).lacks(Some("fast"), "1Gi", "1Gi").is_some()
        };
        for key in [
            "persistentvolumeclaims",
            "count/persistentvolumeclaims",
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims",
        ] {
            assert!(!lacks(key, "3", "3") && lacks(key, "4", "3"), "{key}");
        }
        for key in ["requests.storage", "fast.storageclass.storage.k8s.io/requests.storage"] {
            assert!(!lacks(key, "3Gi", "3Gi") && lacks(key, "4Gi", "3Gi"), "{key}");
        }
        for key in [
            "slow.storageclass.storage.k8s.io/persistentvolumeclaims",
            "pods",
            "count/volumesnapshots.snapshot.storage.k8s.io",
        ] {
            assert!(!lacks(key, "4", "3"), "{key}");
        }
        let scoped: Quota = serde_json::from_value(json!({"spec": {"scopes": ["BestEffort"]}})).unwrap();
        assert!(!scoped.is_of_all() && Quota::default().is_of_all());
    }
}
