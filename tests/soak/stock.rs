//! The snapshots that there are and what each holds, and whether any is gone that had to stay. Must not know how a run can
//! take one away.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engines::Engine;
use crate::kit;
use crate::plan::Plan;
use crate::runs::{exec, text};
use crate::writers::Journal;
use crate::{Outcome, Sin, Soak};

/// Where the local cluster's driver has the data of snapshots.
pub const DATA: &str = "/var/lib/backup-ns-cluster/csi/snapshots";

/// How many sound snapshots there are at most after a run.
const ROOM: usize = 5;

/// How a stored dump or its proof is spoilt, as a script that has the file in `$f` and its text by `t`; and whether the proof is
/// made to agree with what the file is then.
const DAMAGES: [(&str, &str, bool); 7] = [
    ("a flipped byte", "printf x | dd of=\"$f\" bs=1 seek=900 conv=notrunc", false),
    ("an end cut off", "truncate -s -5000 \"$f\"", false),
    ("no file", "rm \"$f\"", false),
    ("another sum in the proof", ":", false),
    ("a cut file with a proof that agrees", "truncate -s -5000 \"$f\"", true),
    (
        "no closing comment, with a proof that agrees",
        "t | head -n -9 | gzip -1 >\"$f.new\" && mv \"$f.new\" \"$f\"",
        true,
    ),
    (
        "no trigger, with a proof that agrees",
        "t | sed -e '/^CREATE TRIGGER stamp/,/;$/d' -e '/TRIGGER `*sold/,/^END/d' | gzip -1 >\"$f.new\" && mv \"$f.new\" \"$f\"",
        true,
    ),
];

/// A snapshot of the claim.
#[derive(Debug, Clone)]
pub struct Known {
    pub name: String,
    /// The number in the table `era`, in both databases.
    pub era: u64,
    /// For each engine, between which transactions the volume was cut.
    pub bounds: Vec<(Engine, u64, u64)>,
    /// Whose dumps are in it, proven.
    pub dumps: Vec<Engine>,
    /// Whose dump file on the volume another had changed before.
    pub unwhole: Vec<Engine>,
    /// How its dump was spoilt.
    pub spoilt: Option<&'static str>,
}

impl Known {
    /// Whether it is a backup that nothing is wrong with.
    pub fn sound(&self) -> bool {
        self.spoilt.is_none() && !self.dumps.is_empty()
    }
}

impl Soak {
    /// Between which transactions a cut is that came between two moments.
    pub fn bounds(&self, from: Instant, to: Instant) -> Vec<(Engine, u64, u64)> {
        let of = |engine: Engine| {
            let known = self.writer(engine).journal.lock().unwrap();
            (engine, Journal::by(&known.committed, from), Journal::by(&known.sent, to))
        };
        Engine::ALL.into_iter().map(of).collect()
    }

    /// All snapshots of the namespace.
    pub fn snapshots(&self) -> Vec<Value> {
        self.tenant.get(&["volumesnapshots"])["items"].as_array().unwrap().clone()
    }

    /// The contents of the namespace's snapshots, those too whose snapshot is gone.
    pub fn stored(&self) -> Vec<Value> {
        let all: Value = serde_json::from_str(&kit::kubectl(&["get", "volumesnapshotcontents", "-o", "json"])).unwrap();
        let mut all = all["items"].as_array().unwrap().clone();
        all.retain(|content| content["spec"]["volumeSnapshotRef"]["namespace"] == self.tenant.namespace.as_str());
        all
    }

    /// What is wrong with a snapshot that has to be there, ready, with its data.
    pub fn lost(name: &str, snapshots: &[Value], stored: &[Value]) -> Option<String> {
        let Some(snapshot) = snapshots.iter().find(|one| one["metadata"]["name"] == name) else {
            return Some(format!("the VolumeSnapshot {name} is gone"));
        };
        if !snapshot["metadata"]["deletionTimestamp"].is_null() {
            return Some(format!("the VolumeSnapshot {name} is being deleted: {}", snapshot["metadata"]));
        }
        let content = snapshot["status"]["boundVolumeSnapshotContentName"].as_str().unwrap_or_default();
        let Some(content) = stored.iter().find(|one| one["metadata"]["name"] == content) else {
            return Some(format!("the content '{content}' of the VolumeSnapshot {name} is gone"));
        };
        if !content["metadata"]["deletionTimestamp"].is_null() {
            return Some(format!("the content of the VolumeSnapshot {name} is being deleted: {}", content["metadata"]));
        }
        let handle = content["status"]["snapshotHandle"].as_str().unwrap_or_default();
        let data = Path::new(DATA).join(format!("{handle}.img"));
        (!data.exists()).then(|| format!("the stored data of the VolumeSnapshot {name} is gone: {}", data.display()))
    }

    /// Every snapshot of the stock is there. Each that is not is said once.
    pub fn look_for_losses(&mut self, outcome: &mut Outcome) {
        let (snapshots, stored) = (self.snapshots(), self.stored());
        self.stock.retain(|known| match Soak::lost(&known.name, &snapshots, &stored) {
            Some(why) => {
                outcome.problem(Sin::Lost, why);
                false
            }
            None => true,
        });
    }

    /// Takes away what does no harm but is of no more use: what failed runs left, and the oldest of many.
    pub fn clear(&mut self) {
        while self.stock.iter().filter(|known| known.sound()).count() > ROOM {
            let oldest = self.stock.iter().position(Known::sound).unwrap();
            self.stock.remove(oldest);
        }
        let keep: Vec<&str> = self.stock.iter().map(|known| known.name.as_str()).collect();
        let snapshots = self.snapshots();
        let names = snapshots.iter().filter_map(|one| one["metadata"]["name"].as_str());
        let gone: Vec<&str> = names.filter(|name| !keep.contains(name)).collect();
        if !gone.is_empty() {
            self.tenant
                .kubectl(&[&["delete", "volumesnapshots", "--wait=false", "--ignore-not-found"], &gone[..]].concat());
        }
        // Under `Retain` the data is left; what has no snapshot any more goes.
        let left = self.snapshots();
        for content in self.stored() {
            let of = &content["spec"]["volumeSnapshotRef"]["name"];
            if !left.iter().any(|one| one["metadata"]["name"] == *of) {
                Soak::let_go(&content);
            }
        }
    }

    /// Has a content go with its data.
    pub fn let_go(content: &Value) {
        let name = content["metadata"]["name"].as_str().unwrap();
        let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
        kit::kubectl_with(&["patch", "volumesnapshotcontent", name, "--type=merge", "-p", patch], "");
        kit::kubectl_with(&["delete", "volumesnapshotcontent", name, "--wait=false", "--ignore-not-found"], "");
    }

    /// At the end, all data goes with the namespace.
    pub fn let_data_go(&self) {
        let snapshots = ["-n", &self.tenant.namespace, "delete", "volumesnapshots", "--all", "--wait=false"];
        for content in self.stored() {
            let name = content["metadata"]["name"].as_str().unwrap();
            let patch = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
            kit::kubectl_with(&["patch", "volumesnapshotcontent", name, "--type=merge", "-p", patch], "");
        }
        kit::kubectl_with(&snapshots, "");
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end && !self.stored().is_empty() {
            sleep(Duration::from_millis(500));
        }
        self.stored().iter().for_each(Soak::let_go);
    }

    /// Makes a snapshot of a restored volume whose dump was spoilt: its proof is still that of the whole one.
    pub fn spoil(&mut self, plan: &Plan, look: &str, annotations: &Value) {
        let mut rng = plan.rng();
        let (how, script, agrees) = *rng.choice(&DAMAGES).unwrap();
        let engine = *rng.choice(&plan.engines).unwrap();
        let key = format!("backup-ns.sh/dump-{}", engine.name());
        let mut annotations = annotations.clone();
        let mut proof: Value = serde_json::from_str(annotations[&key].as_str().unwrap()).unwrap();
        let path = proof["pathInVolume"].as_str().unwrap().to_string();
        let script = format!(
            "f=/restored/{path}; t() {{ gzip -dc \"$f\"; }}; {{ {script}; }} >/dev/null 2>&1 || exit 1
             sync -f /restored; [ ! -e \"$f\" ] || {{ wc -c <\"$f\"; sha256sum <\"$f\"; }}"
        );
        let done = exec(&self.tenant.namespace, look, "look", &script, b"");
        if !done.status.success() {
            return;
        }
        let said = text(&done.stdout);
        let mut words = said.split_whitespace();
        if agrees {
            proof["bytes"] = json!(words.next().unwrap().parse::<u64>().unwrap());
            proof["sha256"] = json!(words.next().unwrap());
        } else if how == DAMAGES[3].0 {
            proof["sha256"] = json!(proof["sha256"].as_str().unwrap().chars().rev().collect::<String>());
        }
        annotations[&key] = json!(proof.to_string());
        annotations.as_object_mut().unwrap().retain(|key, _| !key.contains("kubectl"));
        let name = format!("spoilt-{}", plan.number);
        let class = &self.classes["plain"].0;
        // Without a label it is not pruned.
        let snapshot = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"source": {"persistentVolumeClaimName": look}, "volumeSnapshotClassName": class},
        });
        kit::apply(&self.tenant.namespace, &snapshot);
        let wait = ["wait", "volumesnapshot", &name, "--for=jsonpath={.status.readyToUse}=true", "--timeout=60s"];
        self.tenant.kubectl(&wait);
        let bounds = self.bounds(Instant::now(), Instant::now());
        let (dumps, unwhole) = (plan.engines.clone(), Vec::new());
        self.stock.push(Known { name, era: self.era, bounds, dumps, unwhole, spoilt: Some(how) });
    }
}
