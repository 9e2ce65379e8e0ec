//! The claim that is made from a VolumeSnapshot: what it is like, its StorageClass, its manifest. Must not know whether it
//! takes the place of another claim, or how it is made.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::core::engine::Engine;
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Meta, Pvc, Snapshot};
use crate::core::kube::quantity;

/// The template of a claim made from `snapshot`: as the claim that it is of, if that still exists, else as noted when the
/// snapshot was made; never smaller than the data. None if neither is known.
pub fn template(snapshot: &Snapshot, living: Option<&Pvc>) -> Option<ClaimTemplate> {
    let noted = ClaimTemplate::noted(&snapshot.metadata.annotations);
    let mut template = living.map(ClaimTemplate::of).or_else(|| noted.clone())?;
    let least = snapshot.status.restore_size.as_deref().unwrap_or_default();
    let was = noted.map(|noted| noted.storage).unwrap_or_default();
    template.storage = quantity::bigger(quantity::bigger(&template.storage, &was), least).to_string();
    Some(template)
}

/// The template of a claim if nothing is known of the old one: as big as the data, for one node, with the volume mode of the
/// content. None if the size of the data is unknown, too.
pub fn assumed(name: &str, snapshot: &Snapshot, content: Option<&Content>) -> Option<ClaimTemplate> {
    let size = snapshot.status.restore_size.clone()?;
    // A driver that does not know the size reports none, or 0.
    quantity::bytes(&size).filter(|bytes| *bytes > 0)?;
    Some(ClaimTemplate {
        name: name.into(),
        access_modes: vec!["ReadWriteOnce".into()],
        volume_mode: content.and_then(|content| content.spec.source_volume_mode.clone()),
        storage: size,
        ..ClaimTemplate::default()
    })
}

/// A StorageClass.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageClass {
    pub metadata: Meta,
    pub provisioner: String,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<String>,
}

/// The class of this name, or the one that Kubernetes gives a claim which names none: the newest that is marked as the default
/// (<https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass>). `driver` is the snapshot's, if known:
/// only that driver can make volumes from it.
///
/// # Errors
/// There is no such class, or it is of another driver; with the remedy.
pub fn class<'a>(
    classes: &'a [StorageClass],
    named: Option<&str>,
    driver: Option<&str>,
) -> Result<&'a str, (String, String)> {
    let is_default = |class: &&StorageClass| {
        let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        marks.iter().any(|mark| class.metadata.annotations.get(*mark).is_some_and(|value| value == "true"))
    };
    let is_fit = |class: &StorageClass| driver.is_none_or(|driver| class.provisioner == driver);
    let found = match named {
        Some(named) => classes.iter().find(|class| class.metadata.name == named),
        None => classes.iter().filter(is_default).max_by_key(|class| {
            let Meta { creation_timestamp: made, name, .. } = &class.metadata;
            (*made, Reverse(name))
        }),
    };
    let default = if named.is_none() { "the cluster's default " } else { "" };
    let what = match (found, named) {
        (Some(class), _) if is_fit(class) => return Ok(&class.metadata.name),
        (Some(StorageClass { metadata: Meta { name, .. }, provisioner, .. }), _) => {
            let driver = driver.unwrap_or_default();
            format!("{default}StorageClass {name} is of {provisioner}, the snapshot of {driver}")
        }
        (None, Some(named)) => format!("there is no StorageClass {named}"),
        (None, None) => "the cluster has no default StorageClass".into(),
    };
    let fit: Vec<&str> =
        classes.iter().filter(|class| is_fit(class)).map(|class| class.metadata.name.as_str()).collect();
    let which = if fit.is_empty() { "but no StorageClass fits".into() } else { fit.join(" or ") };
    Err((what, format!("name one with --storage-class: {which}")))
}

/// The manifest of a claim made from the VolumeSnapshot `source` in its namespace. `from` is the snapshot whose data that is,
/// which is another one for a clone. Only a claim that replaces the old one gets its annotations and finalizers: on a copy beside
/// it they would mislead the tools and controllers that set them.
pub fn claim(template: &ClaimTemplate, name: &str, namespace: &str, source: &str, from: &Snapshot) -> Value {
    let takes_its_place = name == template.name && namespace == from.metadata.namespace;
    let mut annotations = if takes_its_place { template.annotations.clone() } else { BTreeMap::new() };
    annotations.insert(labels::RESTORED_FROM.into(), full_name(from));
    for engine in Engine::ALL {
        if let Some(proof) = from.metadata.annotations.get(engine.annotation()) {
            annotations.insert(engine.annotation().into(), proof.clone());
        }
    }
    let mut spec = json!({
        "accessModes": template.access_modes,
        "resources": {"requests": {"storage": template.storage}},
        "dataSource": data_source(source),
    });
    if let Some(class) = &template.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    if let Some(mode) = &template.volume_mode {
        spec["volumeMode"] = json!(mode);
    }
    if let Some(class) = &template.volume_attributes_class_name {
        spec["volumeAttributesClassName"] = json!(class);
    }
    if !template.limits.is_empty() {
        spec["resources"]["limits"] = json!(template.limits);
    }
    let mut metadata =
        json!({"name": name, "namespace": namespace, "labels": template.labels, "annotations": annotations});
    if takes_its_place && !template.finalizers.is_empty() {
        metadata["finalizers"] = json!(template.finalizers);
    }
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
}

fn data_source(snapshot: &str) -> Value {
    json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot})
}

pub(super) fn full_name(snapshot: &Snapshot) -> String {
    format!("{}/{}", snapshot.metadata.namespace, snapshot.metadata.name)
}

/// Whether a claim was made from this snapshot's data.
pub fn is_from(claim: &Pvc, snapshot: &Snapshot) -> bool {
    claim.metadata.annotations.get(labels::RESTORED_FROM) == Some(&full_name(snapshot))
}

/// The claim that a snapshot is of, by its source or by the note on it.
pub fn of_claim(snapshot: &Snapshot) -> Option<String> {
    let source = snapshot.spec.source.persistent_volume_claim_name.clone();
    source.or_else(|| ClaimTemplate::noted(&snapshot.metadata.annotations).map(|noted| noted.name))
}

/// The name of its claim by its labels, for a command in a remedy; it may be shortened.
pub fn guessed_claim(snapshot: &Snapshot) -> &str {
    snapshot.metadata.labels.get(labels::PVC).map_or("NAME", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::restore::sample::{claim, snapshot};

    #[test]
    fn a_missing_claim_has_the_noted_template() {
        let note = r#"{"name": "data-db-0", "accessModes": ["ReadWriteOnce"], "storage": "3Gi"}"#;
        let of = |change: &dyn Fn(&mut Value)| serde_json::from_value::<Snapshot>(snapshot("s", change)).unwrap();
        assert_eq!(template(&of(&|_| ()), None), None);
        let noted = of(&|object| {
            object["metadata"]["annotations"][labels::CLAIM] = json!(note);
            object["spec"]["source"] = json!({"volumeSnapshotContentName": "c"});
        });
        assert_eq!(template(&noted, None).unwrap().storage, "3Gi");
        assert_eq!(of_claim(&noted).as_deref(), Some("data-db-0"));
        let living: Pvc = serde_json::from_value(claim()).unwrap();
        let template = template(&noted, Some(&living)).unwrap();
        assert_eq!((template.storage.as_str(), template.storage_class_name.as_deref()), ("3Gi", Some("fast")));
    }

    #[test]
    fn a_copy_lacks_the_annotations_and_finalizers_of_the_claim() {
        let of: Snapshot = serde_json::from_value(snapshot("s", |_| ())).unwrap();
        let living: Pvc = serde_json::from_value(claim()).unwrap();
        let template = template(&of, Some(&living)).unwrap();
        let made = |name: &str, namespace: &str| super::claim(&template, name, namespace, "s", &of)["metadata"].clone();
        let own = made("data-db-0", "shop");
        assert_eq!((&own["annotations"]["team"], &own["finalizers"][0]), (&json!("shop"), &json!("example.com/keep")));
        for copy in [made("look", "shop"), made("data-db-0", "staging")] {
            assert_eq!(copy["annotations"], json!({"backup-ns.sh/restored-from": "shop/s"}));
            assert!(copy.get("finalizers").is_none() && copy["labels"] == json!({"app": "db"}), "{copy}");
        }
    }

    #[test]
    fn an_unknown_claim_is_as_big_as_the_data() {
        let of = |size: Value| {
            let object = snapshot("s", |object| object["status"]["restoreSize"] = size.clone());
            serde_json::from_value::<Snapshot>(object).unwrap()
        };
        let content: Content = serde_json::from_value(json!({"spec": {"sourceVolumeMode": "Block"}})).unwrap();
        let made = assumed("data", &of(json!("2Gi")), Some(&content)).unwrap();
        let made = super::claim(&made, "data", "shop", "s", &of(json!("2Gi")));
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}, "volumeMode": "Block",
            "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
        });
        assert_eq!(made["spec"], spec, "without a class: Kubernetes gives it the default");
        assert_eq!(assumed("data", &of(json!("2Gi")), None).unwrap().volume_mode, None);
        for unknown in [json!(null), json!("0"), json!("much")] {
            assert_eq!(assumed("data", &of(unknown.clone()), None), None, "{unknown}");
        }
    }

    #[test]
    fn a_class_has_to_fit_and_the_default_is_the_newest() {
        let of = |name: &str, driver: &str, day: u32, mark: &str| -> StorageClass {
            let made = format!("2026-01-{day:02}T00:00:00Z");
            let annotations = json!({format!("storageclass.{mark}kubernetes.io/is-default-class"): "true"});
            let metadata = json!({"name": name, "creationTimestamp": made, "annotations": annotations});
            serde_json::from_value(json!({"metadata": metadata, "provisioner": driver})).unwrap()
        };
        let plain = || StorageClass {
            metadata: Meta { name: "plain".into(), ..Meta::default() },
            provisioner: "d".into(),
            ..StorageClass::default()
        };
        let all = [plain(), of("old", "d", 1, ""), of("new", "d", 3, "beta."), of("b", "e", 2, "")];
        assert_eq!(class(&all, None, Some("d")), Ok("new"));
        assert_eq!(class(&all, None, None), Ok("new"));
        let twins = [of("b", "d", 1, ""), of("a", "d", 1, "")];
        assert_eq!(class(&twins, None, None), Ok("a"));
        let (what, remedy) = class(&all, None, Some("e")).unwrap_err();
        assert!(what.contains("new is of d, the snapshot of e") && remedy.ends_with(": b"), "{what}; {remedy}");
        let (what, remedy) = class(&[plain()], None, Some("d")).unwrap_err();
        assert!(what.contains("no default") && remedy.ends_with(": plain"), "{what}; {remedy}");
        assert_eq!(class(&all, Some("old"), Some("d")), Ok("old"));
        let (what, remedy) = class(&all, Some("b"), Some("d")).unwrap_err();
        assert!(
            what == "StorageClass b is of e, the snapshot of d" && remedy.contains("plain or old or new"),
            "{what}; {remedy}"
        );
        assert_eq!(class(&all, Some("c"), None).unwrap_err().0, "there is no StorageClass c");
        assert!(class(&[], None, None).unwrap_err().1.contains("no StorageClass fits"));
    }
}
