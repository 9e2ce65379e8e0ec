//! The objects of a namespace, sorted by their kind. Must not know what is looked for in them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::core::backup::pod::ExecKind;
use crate::core::kube::objects::{CronJob, Item, List, Pod, Pvc, Snapshot, Workload};

/// What a namespace holds, as far as it was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "List")]
pub struct Scene {
    /// The claims.
    pub claims: Vec<Pvc>,
    /// The pods.
    pub pods: Vec<Pod>,
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// The Deployments, StatefulSets and DaemonSets.
    pub workloads: Vec<(ExecKind, Workload)>,
    /// The CronJobs.
    pub cron_jobs: Vec<CronJob>,
}

impl Scene {
    /// The snapshots, by namespace and name, that a volume is still to be made from.
    pub fn in_use(&self) -> BTreeSet<(String, String)> {
        self.claims.iter().flat_map(Pvc::sources).collect()
    }

    /// Sorts objects.
    pub fn of(items: impl IntoIterator<Item = Item>) -> Scene {
        let mut scene = Scene::default();
        for item in items {
            match item {
                Item::PersistentVolumeClaim(claim) => scene.claims.push(claim),
                Item::Pod(pod) => scene.pods.push(pod),
                Item::VolumeSnapshot(snapshot) => scene.snapshots.push(*snapshot),
                Item::Deployment(found) => scene.workloads.push((ExecKind::Deployment, found)),
                Item::StatefulSet(found) => scene.workloads.push((ExecKind::StatefulSet, found)),
                Item::DaemonSet(found) => scene.workloads.push((ExecKind::DaemonSet, found)),
                Item::CronJob(found) => scene.cron_jobs.push(found),
                Item::Other => {}
            }
        }
        scene
    }
}

impl From<List> for Scene {
    fn from(list: List) -> Scene {
        Scene::of(list.items)
    }
}
