//! The Job of an export or import: that of a restore test, with the tool's image, its Secret, and a way out to the network.

use serde_json::{Map, Value, json};

use crate::core::kube::labels;
use crate::core::restore::verify::{self, JobRequest, PodVolume, SCRATCH, VOLUME};

/// Where the files of the Secret are.
pub const SECRET: &str = "/backup-ns/secret";

/// How long the tool may take to remove its lock, in seconds.
const GRACE: u32 = 10;

/// Requests and limits of the container; those that are not set are those of the database's container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportResources {
    pub cpu_request: Option<String>,
    pub cpu_limit: Option<String>,
    pub memory_request: Option<String>,
    pub memory_limit: Option<String>,
}

/// What makes the Job of an export or import different.
#[derive(Debug, Clone)]
pub struct ExportJobRequest<'a> {
    pub base: JobRequest<'a>,
    pub secret: Option<&'a str>,
    pub service_account: Option<&'a str>,
    pub resources: &'a ExportResources,
    /// The run, by which a second one knows that the Job is not its own.
    pub run: &'a str,
}

/// The name of the Job: one for a snapshot, so that two exports of it do not run at once.
pub fn name(snapshot: &str, uid: &str) -> String {
    let hash = format!("{:016x}", labels::fnv1a(uid.as_bytes()));
    verify::job_name(&verify::EXPORT, snapshot, &hash[..8])
}

pub fn job(request: &ExportJobRequest<'_>) -> Value {
    let mut job = verify::job(&request.base);
    job["metadata"]["annotations"] = json!({labels::RUN: request.run});
    let spec = &mut job["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = json!(GRACE);
    if let Some(account) = request.service_account {
        spec["serviceAccountName"] = json!(account);
    }
    let container = &mut spec["containers"][0];
    let mounts = container["volumeMounts"].as_array_mut();
    for mount in mounts.into_iter().flatten() {
        // The claim of an import is to be filled.
        if mount["mountPath"] == VOLUME && matches!(request.base.volume, PodVolume::Snapshot(..)) {
            mount["readOnly"] = json!(true);
        }
    }
    let set = |resources: &mut Value, kind: &str, name: &str, value: Option<&String>| {
        if let Some(value) = value {
            resources[kind][name] = json!(value);
        }
    };
    let ExportResources { cpu_request, cpu_limit, memory_request, memory_limit } = request.resources;
    let mut resources = container.get("resources").cloned().unwrap_or_else(|| Value::Object(Map::new()));
    set(&mut resources, "requests", "cpu", cpu_request.as_ref());
    set(&mut resources, "limits", "cpu", cpu_limit.as_ref());
    set(&mut resources, "requests", "memory", memory_request.as_ref());
    set(&mut resources, "limits", "memory", memory_limit.as_ref());
    if resources.as_object().is_some_and(|resources| !resources.is_empty()) {
        container["resources"] = resources;
    }
    if let Some(secret) = request.secret {
        container["envFrom"] = json!([{"secretRef": {"name": secret}}]);
        let mount = json!({"name": "secret", "mountPath": SECRET, "readOnly": true});
        container["volumeMounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(mount.clone()));
        let volume = json!({"name": "secret", "secret": {"secretName": secret}});
        spec["volumes"].as_array_mut().into_iter().for_each(|volumes| volumes.push(volume.clone()));
    }
    job
}

/// The folders of the pod, as `export.sh` reads them: the volume, the scratch volume, and the files of the Secret.
pub const FOLDERS: [&str; 3] = [VOLUME, SCRATCH, SECRET];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::kube::objects::Snapshot;
    use crate::core::restore::verify::ScratchPodTemplate;

    #[test]
    fn the_pod_has_the_secret_and_a_way_out_and_cannot_change_the_volume() {
        let snapshot: Snapshot = serde_json::from_value(json!({"status": {"restoreSize": "1Gi"}})).unwrap();
        let (volume, template) = (verify::volume(&snapshot, None).unwrap(), ScratchPodTemplate::default());
        let resources = ExportResources { memory_limit: Some("1Gi".into()), ..ExportResources::default() };
        let name = name("data-1", "u-1");
        assert_eq!(name.len(), "data-1-export-".len() + 8);
        assert!(name.starts_with("data-1-export-"));
        assert_ne!(name, super::name("data-1", "u-2"), "of another snapshot of this name");
        let base = JobRequest {
            purpose: &verify::EXPORT,
            name: &name,
            namespace: "shop",
            volume: PodVolume::Snapshot("data-1", &volume),
            image: "restic:1",
            template: &template,
            keepalive: "while :",
            seconds: 60,
        };
        let of = |secret, service_account| {
            let request =
                ExportJobRequest { base: base.clone(), secret, service_account, resources: &resources, run: "r1" };
            job(&request)
        };
        let made = of(Some("restic"), Some("s3"));
        assert_eq!(made["metadata"]["annotations"]["backup-ns.sh/run"], "r1");
        assert_eq!(made["metadata"]["labels"], json!({"backup-ns.sh/export-job": name}));
        let spec = &made["spec"]["template"]["spec"];
        assert_eq!((&spec["serviceAccountName"], &spec["automountServiceAccountToken"]), (&json!("s3"), &json!(false)));
        let container = &spec["containers"][0];
        assert_eq!((&container["name"], &container["image"]), (&json!("export"), &json!("restic:1")));
        assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "restic"}}]));
        assert_eq!(container["resources"], json!({"limits": {"memory": "1Gi"}}));
        let mount = |path: &str| {
            let mounts = container["volumeMounts"].as_array().unwrap();
            mounts.iter().find(|mount| mount["mountPath"] == path).unwrap()["readOnly"].clone()
        };
        assert_eq!([mount(VOLUME), mount(SECRET), mount(SCRATCH)], [json!(true), json!(true), Value::Null]);
        let bare = of(None, None)["spec"]["template"]["spec"].clone();
        assert!(bare.get("serviceAccountName").is_none() && bare["containers"][0].get("envFrom").is_none());
        let egress = |purpose| verify::network_policy(purpose, "j", "shop", "u")["spec"]["egress"].clone();
        assert_eq!([egress(&verify::EXPORT), egress(&verify::RESTORE_TEST)], [json!([{}]), Value::Null]);
    }
}
