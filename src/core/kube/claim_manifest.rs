//! The template of a PersistentVolumeClaim. It is stored on each snapshot of the claim, so that a deleted claim can be created
//! again. Must not know how it is stored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::core::kube::labels;
use crate::core::kube::objects::Pvc;

/// The fields of a claim that a new one in its place must have. Fields about its volume are left out, and so is its `selector`:
/// a claim with a selector cannot be restored from a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimTemplate {
    pub name: String,
    /// `spec.storageClassName`, or the older annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    pub access_modes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_attributes_class_name: Option<String>,
    /// `spec.resources.requests.storage`, a quantity such as `1Gi`.
    pub storage: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The annotations, without those about the volume.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The finalizers, without those that Kubernetes sets itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

/// The longest annotation that holds a template, in bytes. All annotations of an object share 256 KiB
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/>), and whole lists of snapshots are read.
const LONGEST_NOTE: usize = 8 * 1024;

/// The annotation of `kubectl apply`, which holds the whole manifest again.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The older annotation for the StorageClass. It overrides the field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

impl ClaimTemplate {
    pub fn of(claim: &Pvc) -> ClaimTemplate {
        let Pvc { metadata, spec, .. } = claim;
        let annotations = metadata.annotations.clone().into_iter().filter(|(key, _)| !is_of_the_volume(key));
        ClaimTemplate {
            name: metadata.name.clone(),
            storage_class_name: metadata.annotations.get(CLASS).or(spec.storage_class_name.as_ref()).cloned(),
            access_modes: spec.access_modes.clone(),
            volume_mode: spec.volume_mode.clone(),
            volume_attributes_class_name: spec.volume_attributes_class_name.clone(),
            storage: spec.resources.requests.get("storage").cloned().unwrap_or_default(),
            limits: spec.resources.limits.clone(),
            labels: metadata.labels.clone(),
            annotations: annotations.collect(),
            finalizers: metadata.finalizers.iter().filter(|finalizer| is_of_others(finalizer)).cloned().collect(),
        }
    }

    /// The annotation for a snapshot. If it is too long, the longest annotations of the claim are left out, then labels, then
    /// finalizers: the claim can be created without them.
    pub fn note(&self) -> String {
        let mut noted = self.clone();
        noted.annotations.remove(LAST_APPLIED);
        let mut excess = json!(noted).to_string().len().saturating_sub(LONGEST_NOTE);
        for map in [&mut noted.annotations, &mut noted.labels] {
            let mut keys: Vec<String> = map.keys().cloned().collect();
            keys.sort_by_key(|key| Reverse(key.len() + map.get(key).map_or(0, String::len)));
            for key in keys {
                if excess == 0 {
                    break;
                }
                // The entry takes at least so many bytes.
                excess = excess.saturating_sub(key.len() + map.remove(&key).map_or(0, |value| value.len()));
            }
        }
        while excess > 0
            && let Some(finalizer) = noted.finalizers.pop()
        {
            excess = excess.saturating_sub(finalizer.len());
        }
        json!(noted).to_string()
    }

    /// Reads it from the annotations of a snapshot or of its content.
    pub fn noted(annotations: &BTreeMap<String, String>) -> Option<ClaimTemplate> {
        serde_json::from_str(annotations.get(labels::CLAIM)?).ok()
    }
}

/// The text that identifies a claim in the dump lock: `claim=UID,CREATED` and a space. CREATED is when the claim was created,
/// in UTC as touch(1) reads it; it is empty unless the volume was provisioned for this claim. A provisioner names a volume after
/// the uid of its claim (<https://github.com/kubernetes-csi/external-provisioner>, `--volume-name-prefix`). Without a uid the
/// text is empty.
pub fn mark(claim: &Pvc) -> String {
    let Pvc { metadata, spec, .. } = claim;
    if metadata.uid.is_empty() {
        return String::new();
    }
    let made_for_it = spec.volume_name.as_deref().is_some_and(|volume| volume.ends_with(&metadata.uid));
    let made =
        if made_for_it { metadata.creation_timestamp.format("%Y%m%d%H%M.%S").to_string() } else { String::new() };
    format!("claim={},{made} ", metadata.uid)
}

/// Whether an annotation of a claim is about its volume, or is our own.
fn is_of_the_volume(key: &str) -> bool {
    let prefixes = ["pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/", labels::PREFIX];
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether a finalizer belongs to another program than Kubernetes, which adds its own again.
fn is_of_others(finalizer: &str) -> bool {
    let domain = finalizer.split_once('/').map_or("kubernetes.io", |(domain, _)| domain);
    !["kubernetes.io", "k8s.io"]
        .iter()
        .any(|own| domain.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim() -> Value {
        json!({
            "metadata": {
                "name": "data", "labels": {"app": "db"},
                "annotations": {
                    "team": "shop", LAST_APPLIED: "{}", "pv.kubernetes.io/bind-completed": "yes",
                    "pv.kubernetes.io/bound-by-controller": "yes", "volume.kubernetes.io/storage-provisioner": "csi",
                    "volume.beta.kubernetes.io/storage-provisioner": "csi", "volume.kubernetes.io/selected-node": "n",
                    "backup-ns.sh/restored-from": "shop/s",
                },
                "finalizers": [
                    "kubernetes.io/pvc-protection", "snapshot.storage.kubernetes.io/pvc-as-source-protection",
                    "foregroundDeletion", "example.com/keep", "billing.x-k8s.io/claim",
                ],
            },
            "spec": {
                "storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
                "volumeAttributesClassName": "gold",
                "resources": {"requests": {"storage": "2Gi"}, "limits": {"storage": "4Gi"}}, "volumeName": "pv-1",
                "selector": {"matchLabels": {"a": "b"}},
            },
        })
    }

    fn template(change: impl Fn(&mut Value)) -> ClaimTemplate {
        let mut claim = claim();
        change(&mut claim);
        ClaimTemplate::of(&serde_json::from_value(claim).unwrap())
    }

    fn noted(template: &ClaimTemplate) -> ClaimTemplate {
        ClaimTemplate::noted(&BTreeMap::from([(labels::CLAIM.to_string(), template.note())])).unwrap()
    }

    #[test]
    fn a_template_has_all_of_a_claim_but_its_volume() {
        let taken = json!(template(|_| ()));
        let expected = json!({
            "name": "data", "storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
            "volumeAttributesClassName": "gold", "storage": "2Gi", "limits": {"storage": "4Gi"}, "labels": {"app": "db"},
            "annotations": {"team": "shop", LAST_APPLIED: "{}"}, "finalizers": ["example.com/keep", "billing.x-k8s.io/claim"],
        });
        assert_eq!(taken, expected);
        let classed = template(|claim| claim["metadata"]["annotations"][CLASS] = json!("slow"));
        assert_eq!(classed.storage_class_name.as_deref(), Some("slow"), "the older annotation overrides the field");
    }

    #[test]
    fn only_a_volume_provisioned_for_the_claim_has_its_time() {
        let of = |uid: &str, volume: &str| {
            let claim = json!({
                "metadata": {"name": "data", "uid": uid, "creationTimestamp": "2026-11-29T08:05:09Z"},
                "spec": {"volumeName": volume},
            });
            mark(&serde_json::from_value(claim).unwrap())
        };
        assert_eq!(of("1-2", "pvc-1-2"), "claim=1-2,202611290805.09 ");
        assert_eq!(of("1-2", "nfs-share"), "claim=1-2, ", "it may be an older volume, or another claim's as well");
        assert_eq!(of("", ""), "");
    }

    #[test]
    fn a_stored_template_is_read_again() {
        let template = template(|claim| {
            claim["metadata"]["annotations"].as_object_mut().unwrap().remove(LAST_APPLIED);
        });
        assert_eq!(noted(&template), template);
        assert_eq!(ClaimTemplate::noted(&BTreeMap::new()), None);
        let older = r#"{"name": "data", "accessModes": ["ReadWriteOnce"], "storage": "3Gi"}"#;
        let older = ClaimTemplate::noted(&BTreeMap::from([(labels::CLAIM.to_string(), older.to_string())])).unwrap();
        assert_eq!((older.storage.as_str(), older.finalizers.len()), ("3Gi", 0));
    }

    #[test]
    fn a_stored_template_is_limited_and_keeps_what_the_claim_needs() {
        let big = template(|claim| {
            let annotations = &mut claim["metadata"]["annotations"];
            annotations["small"] = json!("kept");
            annotations["big"] = json!("x".repeat(200_000));
            for n in 0..300 {
                claim["metadata"]["labels"][format!("label-{n}")] = json!("y".repeat(60));
            }
            claim["metadata"]["finalizers"] = (0..900).map(|n| format!("example.com/{n}")).collect();
        });
        assert!(big.note().len() <= LONGEST_NOTE, "{}", big.note().len());
        let noted = noted(&big);
        assert_eq!((noted.storage.as_str(), noted.volume_attributes_class_name.as_deref()), ("2Gi", Some("gold")));
        let one = template(|claim| {
            claim["metadata"]["annotations"]["big"] = json!("x".repeat(9_000));
        });
        let annotations = self::noted(&one).annotations;
        assert_eq!(
            annotations,
            BTreeMap::from([("team".to_string(), "shop".to_string())]),
            "only the longest was left out"
        );
    }
}
