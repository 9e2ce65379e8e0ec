//! The objects of a namespace, by kind. Must not know what they are used for.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::core::kube::calls::{DAEMON_SETS, DEPLOYMENTS, Kind, STATEFUL_SETS};
use crate::core::kube::objects::{CronJob, Item, ObjectList, Pod, Pvc, Snapshot, Workload};

/// The kinds in which a database's container can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecKind {
    Pod,
    Deployment,
    StatefulSet,
    DaemonSet,
}

impl ExecKind {
    /// The kind to list in addition to pods.
    pub fn resource(self) -> Option<Kind> {
        match self {
            ExecKind::Pod => None,
            ExecKind::Deployment => Some(DEPLOYMENTS),
            ExecKind::StatefulSet => Some(STATEFUL_SETS),
            ExecKind::DaemonSet => Some(DAEMON_SETS),
        }
    }

    /// The name of the kind for kubectl.
    pub fn word(self) -> &'static str {
        match self {
            ExecKind::Pod => "pod",
            ExecKind::Deployment => "deployment",
            ExecKind::StatefulSet => "statefulset",
            ExecKind::DaemonSet => "daemonset",
        }
    }
}

/// The objects of a namespace, of the kinds that were requested.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "ObjectList")]
pub struct NamespaceObjects {
    pub claims: Vec<Pvc>,
    pub pods: Vec<Pod>,
    pub snapshots: Vec<Snapshot>,
    /// The Deployments, StatefulSets and DaemonSets.
    pub workloads: Vec<(ExecKind, Workload)>,
    pub cron_jobs: Vec<CronJob>,
}

impl NamespaceObjects {
    /// The VolumeSnapshot of this name.
    pub fn snapshot(&self, name: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.metadata.name == name)
    }

    /// The PersistentVolumeClaim of this name.
    pub fn claim(&self, name: &str) -> Option<&Pvc> {
        self.claims.iter().find(|claim| claim.metadata.name == name)
    }

    /// The snapshots, by namespace and name, that claims without a volume yet are restored from.
    pub fn in_use(&self) -> BTreeSet<(String, String)> {
        self.claims.iter().flat_map(Pvc::sources).collect()
    }

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
