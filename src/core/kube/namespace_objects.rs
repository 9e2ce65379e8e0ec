//! The objects of a namespace, sorted by their kind. Must not know what is looked for in them.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::core::kube::calls::{DAEMON_SETS, DEPLOYMENTS, Kind, STATEFUL_SETS};
use crate::core::kube::objects::{CronJob, Item, ObjectList, Pod, Pvc, Snapshot, Workload};

/// The kinds that can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecKind {
    /// A pod itself.
    Pod,
    /// A Deployment's pods.
    Deployment,
    /// A StatefulSet's pods.
    StatefulSet,
    /// A DaemonSet's pods.
    DaemonSet,
}

impl ExecKind {
    /// What to list for objects of this kind beside pods, if anything.
    pub fn resource(self) -> Option<Kind> {
        match self {
            ExecKind::Pod => None,
            ExecKind::Deployment => Some(DEPLOYMENTS),
            ExecKind::StatefulSet => Some(STATEFUL_SETS),
            ExecKind::DaemonSet => Some(DAEMON_SETS),
        }
    }

    /// As kubectl names it.
    pub fn word(self) -> &'static str {
        match self {
            ExecKind::Pod => "pod",
            ExecKind::Deployment => "deployment",
            ExecKind::StatefulSet => "statefulset",
            ExecKind::DaemonSet => "daemonset",
        }
    }
}

/// What a namespace holds, as far as it was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "ObjectList")]
pub struct NamespaceObjects {
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

impl NamespaceObjects {
    /// The snapshots, by namespace and name, that a volume is still to be made from.
    pub fn in_use(&self) -> BTreeSet<(String, String)> {
        self.claims.iter().flat_map(Pvc::sources).collect()
    }

    /// Sorts objects.
    pub fn of(items: impl IntoIterator<Item = Item>) -> NamespaceObjects {
        let mut objects = NamespaceObjects::default();
        for item in items {
            match item {
                Item::PersistentVolumeClaim(claim) => objects.claims.push(claim),
                Item::Pod(pod) => objects.pods.push(pod),
                Item::VolumeSnapshot(snapshot) => objects.snapshots.push(*snapshot),
                Item::Deployment(found) => objects.workloads.push((ExecKind::Deployment, found)),
                Item::StatefulSet(found) => objects.workloads.push((ExecKind::StatefulSet, found)),
                Item::DaemonSet(found) => objects.workloads.push((ExecKind::DaemonSet, found)),
                Item::CronJob(found) => objects.cron_jobs.push(found),
                Item::Other => {}
            }
        }
        objects
    }
}

impl From<ObjectList> for NamespaceObjects {
    fn from(list: ObjectList) -> NamespaceObjects {
        NamespaceObjects::of(list.items)
    }
}
