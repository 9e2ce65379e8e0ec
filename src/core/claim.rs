//! What a PersistentVolumeClaim is like, noted on each snapshot of it, so that it can be made again when it is gone.
//! Must not know where it is noted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::labels;
use crate::core::observed::Pvc;

/// Everything of a claim that a new one in its place must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimTemplate {
    /// Its name.
    pub name: String,
    /// `spec.storageClassName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// `spec.accessModes`.
    pub access_modes: Vec<String>,
    /// `spec.volumeMode`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_mode: Option<String>,
    /// `spec.resources.requests.storage`, a quantity such as `1Gi`.
    pub storage: String,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ClaimTemplate {
    /// Takes it from a claim that is there.
    pub fn of(claim: &Pvc) -> ClaimTemplate {
        let Pvc { metadata, spec, .. } = claim;
        ClaimTemplate {
            name: metadata.name.clone(),
            storage_class_name: spec.storage_class_name.clone(),
            access_modes: spec.access_modes.clone(),
            volume_mode: spec.volume_mode.clone(),
            storage: spec.resources.requests.get("storage").cloned().unwrap_or_default(),
            labels: metadata.labels.clone(),
        }
    }

    /// Reads it from the annotations of a snapshot or of its content; none where nothing was noted.
    pub fn noted(annotations: &BTreeMap<String, String>) -> Option<ClaimTemplate> {
        serde_json::from_str(annotations.get(labels::CLAIM)?).ok()
    }
}

/// A claim and its volume as the lock beside a dump file names them, `claim=UID,MADE` with a space behind it: its uid, and where
/// the volume was made for this very claim, when the claim was made, as touch(1) takes it in UTC. Nothing without a uid. A
/// provisioner names the volumes that it makes after the uid of their claim
/// (<https://github.com/kubernetes-csi/external-provisioner>, `--volume-name-prefix`).
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_volume_made_for_the_claim_has_its_time() {
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
    fn what_is_noted_is_read_again() {
        let claim: Pvc = serde_json::from_value(json!({
            "metadata": {"name": "data", "labels": {"app": "db"}},
            "spec": {
                "storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem",
                "resources": {"requests": {"storage": "2Gi"}}, "volumeName": "pv-1",
            },
        }))
        .unwrap();
        let template = ClaimTemplate::of(&claim);
        assert_eq!((template.storage.as_str(), template.storage_class_name.as_deref()), ("2Gi", Some("fast")));
        let note = BTreeMap::from([(labels::CLAIM.to_string(), json!(template).to_string())]);
        assert_eq!(ClaimTemplate::noted(&note), Some(template));
        assert_eq!(ClaimTemplate::noted(&BTreeMap::new()), None);
    }
}
