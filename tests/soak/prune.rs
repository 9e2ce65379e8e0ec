//! Runs of `retain` with `mark-and-delete`, and of `delete`: what has to stay stays with its data, what has to go is gone in
//! the end. Must not know how a deletion is done.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kit;
use crate::plan::{Fault, Plan};
use crate::runs::Run;
use crate::{Outcome, Sin, Soak};

/// How long data may take to go once its snapshot is gone.
const GOING: Duration = Duration::from_secs(20);

/// A sort of snapshot: its name begins so, it has these labels of ours, and is distrusted.
type Sort = (&'static str, &'static [(&'static str, &'static str)], bool);

/// Snapshots that are made for a run of pruning.
const HISTORY: [Sort; 6] = [
    ("due", &[("retain", "daily_weekly_monthly"), ("daily", "2025-02-03"), ("delete-after", "2026-01-02")], false),
    ("kept", &[("retain", "daily_weekly_monthly"), ("delete-after", "")], false),
    ("older", &[("retain", "daily_weekly_monthly"), ("daily", "2025-02-02")], false),
    ("bad", &[("retain", "days"), ("retain-days", "3"), ("delete-after", "2026-01-02")], true),
    ("later", &[("retain", "days"), ("retain-days", "30"), ("delete-after", "2126-01-02")], false),
    ("bare", &[("retain", "daily_weekly_monthly")], false),
];

/// What of a snapshot decides whether it stays, read from the object.
struct Judged {
    name: String,
    /// When it was cut.
    cut: String,
    /// Whether its date is over.
    due: bool,
    distrusted: bool,
}

impl Judged {
    fn of(snapshot: &Value, today: &str) -> Option<Judged> {
        let meta = &snapshot["metadata"];
        // Without a label of ours it is not pruned at all; what is not ready is no backup.
        let date = meta["labels"]["backup-ns.sh/delete-after"].as_str().unwrap_or_default();
        (snapshot["status"]["readyToUse"] == true && meta["deletionTimestamp"].is_null()).then(|| Judged {
            name: meta["name"].as_str().unwrap_or_default().into(),
            cut: snapshot["status"]["creationTime"].as_str().unwrap_or_default().into(),
            due: date.len() == 10 && date < today,
            distrusted: !meta["annotations"]["backup-ns.sh/distrusted"].is_null(),
        })
    }
}

/// By the rules of docs/retention.md, said a second time: which must stay, and which must go. Of those that were cut within the
/// same second, none must go for another.
fn judged(snapshots: &[Value], today: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let all: Vec<Judged> = snapshots.iter().filter_map(|snapshot| Judged::of(snapshot, today)).collect();
    let newest = |good: bool| all.iter().filter(|one| !good || !one.distrusted).map(|one| one.cut.as_str()).max();
    let floor: Vec<&str> = [newest(false), newest(true)].into_iter().flatten().collect();
    let (mut stay, mut go) = (BTreeSet::new(), BTreeSet::new());
    for one in &all {
        let alone = |cut: &str| all.iter().filter(|other| other.cut == cut).count() == 1;
        match (one.due, floor.contains(&one.cut.as_str())) {
            (false, _) => stay.insert(one.name.clone()),
            (true, false) => go.insert(one.name.clone()),
            (true, true) => alone(&one.cut) && stay.insert(one.name.clone()),
        };
    }
    (stay, go)
}

impl Soak {
    /// Snapshots of the claim without a dump, ready.
    fn make(&self, plan: &Plan, some: &[Sort]) -> Vec<String> {
        let class = &self.classes[if plan.class == "plain" { "plain" } else { "kept" }].0;
        let snapshot = |(name, labels, distrusted): &Sort| {
            let mut all = json!({"backup-ns.sh/pvc": "data", "backup-ns.sh/type": "adhoc"});
            for (key, value) in *labels {
                all[format!("backup-ns.sh/{key}")] = json!(value);
            }
            let notes = if *distrusted { json!({"backup-ns.sh/distrusted": "for the soak"}) } else { json!({}) };
            json!({
                "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
                "metadata": {"name": format!("{name}-{}", plan.number), "labels": all, "annotations": notes},
                "spec": {"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": class},
            })
        };
        let items: Vec<Value> = some.iter().map(snapshot).collect();
        let names: Vec<String> = items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().into()).collect();
        kit::apply(&self.tenant.namespace, &json!({"apiVersion": "v1", "kind": "List", "items": items}));
        for name in &names {
            let ready = "--for=jsonpath={.status.readyToUse}=true";
            self.tenant.kubectl(&["wait", "volumesnapshot", name, ready, "--timeout=60s"]);
        }
        names
    }

    /// The policy is carried out on a history with one snapshot of each sort.
    pub fn prune(&mut self, plan: &Plan) -> Outcome {
        let mut rng = plan.rng();
        // The last one that is made is the newest, and stays whatever it says.
        let mut history = HISTORY.to_vec();
        rng.shuffle(&mut history);
        let (some, last) = history.split_at(HISTORY.len() - 1);
        self.make(plan, some);
        self.make(plan, last);
        let backups: Vec<String> =
            self.stock.iter().filter(|known| known.sound()).map(|known| known.name.clone()).collect();
        if backups.len() > 2 {
            // A backup is due as well.
            let label = "backup-ns.sh/delete-after=2026-01-03";
            self.tenant.kubectl(&["label", "--overwrite", "volumesnapshot", &backups[0], label]);
        }
        let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
        let (mut stay, mut go) = judged(&self.snapshots(), &today);
        let policy = ["--retain-last-daily=1", "--retain-last-weekly=0", "--retain-last-monthly=0", "--tz=UTC"];
        let all = |command: &[&str]| -> Vec<String> {
            command.iter().chain(&policy).map(|word| (*word).to_string()).collect()
        };
        let delete = all(&["mark-and-delete", "--retain-first", "--delete-interval=0s"]);
        let retain = all(&["retain"]);
        let mut outcome = Outcome::default();
        // Both in one, or the first one of two.
        let first = if rng.u32(..4) == 0 { &retain } else { &delete };
        let mut run = self.spawn(plan, first);
        let mut second = None;
        if let Fault::Second(after, _) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            second = Some(self.spawn(plan, &delete));
        }
        if let Fault::MarkTaken(after) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            if let Some(name) = rng.choice(&go).cloned()
                && self.take_mark(&name)
            {
                write!(outcome.said, "(of {name}) ").unwrap();
                go.remove(&name);
                stay.insert(name);
            }
        }
        let late = self.strike(plan, &mut run);
        write!(outcome.said, "of {}", stay.len() + go.len()).unwrap();
        if !late.is_empty() {
            write!(outcome.said, " ({late})").unwrap();
        }
        let mut ended = vec![run.done()];
        ended.extend(second.map(Run::done));
        for one in &ended {
            self.note(plan, &mut outcome, one, &[1, 3, 4]);
        }
        self.must_stay(&stay, &mut outcome);
        // The next night.
        for _ in 0..3 {
            let next = self.spawn(plan, &delete).done();
            write!(outcome.said, ", again → {}", next.code).unwrap();
            let code = next.code;
            ended.push(next);
            if code == 0 {
                break;
            }
        }
        if ended.last().is_some_and(|ended| ended.code != 0) {
            outcome.problem(Sin::Broken, "it does not come to its end without a fault");
        }
        self.check_end(plan, &stay, &go, &mut outcome);
        self.stock.retain(|known| !go.contains(&known.name));
        outcome.ended = ended;
        outcome
    }

    /// Takes the mark off; whether that was before its deletion was begun.
    fn take_mark(&self, name: &str) -> bool {
        let label = ["label", "volumesnapshot", name, "backup-ns.sh/delete-after-", "-o", "json"];
        let done = kit::kubectl_with(&[&["-n", &self.tenant.namespace], &label[..]].concat(), "");
        let after: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        done.status.success() && !after["metadata"]["uid"].is_null() && after["metadata"]["deletionTimestamp"].is_null()
    }

    /// Hides the data of one of these; from where, and to where.
    fn hide(&self, stay: &BTreeSet<String>, plan: &Plan) -> Option<(String, String)> {
        let name = plan.rng().choice(stay.iter())?;
        let content = self.tenant.content(name);
        let content: Value =
            serde_json::from_str(&kit::kubectl(&["get", "volumesnapshotcontent", &content, "-o", "json"])).unwrap();
        let from = format!("{}/{}.img", crate::stock::DATA, content["status"]["snapshotHandle"].as_str()?);
        let to = format!("{from}.hidden");
        std::fs::rename(&from, &to).ok()?;
        Some((from, to))
    }

    /// Once all is done: what had to stay is there, and what had to go is gone. Data that is hidden meanwhile has to be found missing.
    fn check_end(&self, plan: &Plan, stay: &BTreeSet<String>, go: &BTreeSet<String>, outcome: &mut Outcome) {
        let hidden = self.lie.then(|| self.hide(stay, plan)).flatten();
        outcome.lied = hidden.is_some();
        self.must_stay(stay, outcome);
        if let Some((from, to)) = hidden {
            std::fs::rename(to, from).unwrap();
        }
        self.must_go(go, outcome);
    }

    fn must_stay(&self, stay: &BTreeSet<String>, outcome: &mut Outcome) {
        let (snapshots, stored) = (self.snapshots(), self.stored());
        for name in stay {
            if let Some(why) = Soak::lost(name, &snapshots, &stored) {
                outcome.problem(Sin::Lost, why);
            }
        }
    }

    /// Each of them is gone, with its data.
    fn must_go(&self, go: &BTreeSet<String>, outcome: &mut Outcome) {
        let end = Instant::now() + GOING;
        loop {
            let snapshots = self.snapshots();
            let there = |name: &&String| snapshots.iter().any(|one| one["metadata"]["name"] == name.as_str());
            let stored = self.stored();
            let data = |name: &&String| {
                stored.iter().any(|content| content["spec"]["volumeSnapshotRef"]["name"] == name.as_str())
            };
            let left: Vec<&String> = go.iter().filter(|name| there(name) || data(name)).collect();
            if left.is_empty() {
                return;
            }
            if Instant::now() > end {
                for name in left {
                    let what =
                        if there(&name) { "the VolumeSnapshot" } else { "the stored data of the VolumeSnapshot" };
                    outcome.problem(Sin::Broken, format!("{what} {name} is there still"));
                }
                return;
            }
            sleep(Duration::from_millis(500));
        }
    }

    /// One snapshot is deleted by name, or refused.
    pub fn delete(&mut self, plan: &Plan) -> Outcome {
        let mut rng = plan.rng();
        let made = self.make(plan, &HISTORY[2..3]);
        sleep(Duration::from_millis(1100));
        let newest = self.make(plan, &HISTORY[1..2]);
        let backups: Vec<String> =
            self.stock.iter().filter(|known| known.sound()).map(|known| known.name.clone()).collect();
        let refused = rng.u32(..4) == 0;
        let name = match refused {
            true => newest[0].clone(),
            false if backups.len() > 2 && rng.bool() => backups[0].clone(),
            false => made[0].clone(),
        };
        let mut stay: BTreeSet<String> = backups.into_iter().chain(made).chain(newest).collect();
        let args: Vec<String> = ["delete", &name, "--yes"].map(str::to_string).to_vec();
        let mut run = self.spawn(plan, &args);
        let mut second = None;
        if let Fault::Second(after, _) = plan.fault {
            sleep(Duration::from_secs_f64(after));
            second = Some(self.spawn(plan, &args));
        }
        let late = self.strike(plan, &mut run);
        let mut outcome = Outcome::default();
        write!(outcome.said, "{}", if refused { "of the newest" } else { "of another" }).unwrap();
        if !late.is_empty() {
            write!(outcome.said, " ({late})").unwrap();
        }
        let mut ended = vec![run.done()];
        ended.extend(second.map(Run::done));
        for one in &ended {
            self.note(plan, &mut outcome, one, &[1, 3, 4]);
        }
        if refused {
            if ended.iter().any(|one| one.code == 0) {
                outcome.problem(Sin::Lost, format!("the newest snapshot {name} was deleted without --force"));
            }
        } else {
            // A person who is not sure types it again, until it is done or nothing is left to do.
            for _ in 0..3 {
                if ended.last().is_some_and(|one| one.code == 0 || one.stderr.contains("has no VolumeSnapshot")) {
                    break;
                }
                let next = self.spawn(plan, &args).done();
                write!(outcome.said, ", again → {}", next.code).unwrap();
                ended.push(next);
            }
            stay.remove(&name);
            self.stock.retain(|known| known.name != name);
        }
        let go = if refused { BTreeSet::new() } else { BTreeSet::from([name]) };
        self.check_end(plan, &stay, &go, &mut outcome);
        outcome.ended = ended;
        outcome
    }
}
