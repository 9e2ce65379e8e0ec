//! `create`: one backup, from the lock to the ready VolumeSnapshot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cmd::{now, print};
use crate::config::{Create, DbValue, Global, Output};
use crate::core::escape::{self, Secrets};
use crate::core::labels;
use crate::core::manifest::{self, Request, Retain, SlotChoice};
use crate::core::observed::{Item, List, Pod, Pvc, Readiness, Snapshot, Workload};
use crate::core::plan::{self, Step};
use crate::core::pod::{self, Chosen, NoPod};
use crate::core::proof::Proof;
use crate::dump::{Dump, Rules};
use crate::exit::{Exit, Fail};
use crate::kubectl::{self, Kubectl, Refusal};
use crate::report::{self, Reporter};
use crate::watch::Watch;

/// Makes one backup.
///
/// # Errors
/// As the exit codes say; whatever happens, the last good dump stays until a proven one replaces it.
pub fn run(global: &Global, config: &Create, reporter: &Reporter) -> Result<(), Fail> {
    let began = Instant::now();
    let _lock = match &config.locks {
        Some(locks) if !global.dry_run => Some(reporter.step("lock", |_| {
            let held = locks.acquire(&global.holder)?;
            let what = format!("{} after {}", held.path.display(), report::seconds(held.waited));
            Ok((held, what))
        })?),
        _ => None,
    };
    // The day, week and month that the backup stands for, however long its dump takes.
    let now = now();
    let rand = config.rand.clone().unwrap_or_else(|| (0..6).map(|_| fastrand::lowercase()).collect());
    let name = config.template.render(&config.pvc, now, global.zone, &rand).map_err(|why| {
        Fail::new(Exit::Usage, why)
            .remedy("correct BAK_VS_NAME_TEMPLATE (--vs-name-template) or BAK_VS_RAND (--vs-rand)")
    })?;
    let secrets = Secrets::new(match &config.postgres.password {
        DbValue::Literal(text) => Some(text.clone()),
        DbValue::Variable(_) => None,
    });
    let kubectl = Kubectl::connect(&global.asked, secrets, global.retry_timeout)?;
    let run = Run { global, config, reporter, kubectl, now, nonce: format!("{:032x}", fastrand::u128(..)), name };

    let chosen = run.observe()?;
    let rules = Rules {
        pvc: &config.pvc,
        threshold_percent: config.threshold_percent,
        busy_timeout: config.busy_timeout,
        holder: &global.holder,
        nonce: &run.nonce,
    };
    let mut dump = Dump::prepare(&run.kubectl, reporter, &config.postgres, chosen, rules)?;
    if global.dry_run {
        return run.show_plan(&dump);
    }
    let made = dump.make()?;
    let proof = dump.look_again(&made)?;
    let created = run.snapshot(&proof)?;
    let mut watch = Watch::of(&run.kubectl, created, config.ready_timeout);
    reporter.step("cut", |step| {
        watch.until("cut", step, |readiness| matches!(readiness, Readiness::Cut | Readiness::Ready))?;
        let at = watch.snapshot.status.creation_time.map(|time| global.zone.local(time).to_rfc3339());
        Ok(((), format!("at {}", at.unwrap_or_else(|| "an unknown time".into()))))
    })?;
    // From here on others may replace the dump.
    dump.release(&made, &run.name).map_err(|fail| run.distrust(fail))?;
    if config.wait_until_ready {
        reporter.step("ready", |step| {
            watch.until("ready", step, |readiness| *readiness == Readiness::Ready)?;
            Ok(((), watch.snapshot.status.bound_volume_snapshot_content_name.clone().unwrap_or_default()))
        })?;
    }
    run.summary(&watch.snapshot, &proof, made.took, began.elapsed())
}

/// What one run goes by.
struct Run<'a> {
    global: &'a Global,
    config: &'a Create,
    reporter: &'a Reporter,
    kubectl: Kubectl,
    now: DateTime<Utc>,
    /// Marks every line of this run's reports, and the snapshot as this run's own.
    nonce: String,
    /// The VolumeSnapshot's name.
    name: String,
}

impl Run<'_> {
    /// Reads the namespace and chooses the pod.
    fn observe(&self) -> Result<Chosen, Fail> {
        let (config, kubectl) = (self.config, &self.kubectl);
        let database = &config.postgres;
        self.reporter.step("observe", |_| {
            let call = kubectl.target.observe(database.resource.kind.resource());
            let list: List = kubectl.json(&call).map_err(|error| kubectl::fail(&error))?;
            let namespace = &kubectl.target.namespace;
            let mut pvcs: Vec<Pvc> = Vec::new();
            let mut pods: Vec<Pod> = Vec::new();
            let mut workload: Option<Workload> = None;
            for item in list.items {
                match item {
                    Item::PersistentVolumeClaim(pvc) => pvcs.push(pvc),
                    Item::Pod(pod) => pods.push(pod),
                    Item::Deployment(found) | Item::StatefulSet(found) | Item::DaemonSet(found)
                        if found.metadata.name == database.resource.name =>
                    {
                        workload = Some(found);
                    }
                    _ => {}
                }
            }
            let missing = |what: String| Fail::new(Exit::Precondition, what);
            let names: Vec<&str> = pvcs.iter().map(|pvc| pvc.metadata.name.as_str()).collect();
            let Some(pvc) = pvcs.iter().find(|pvc| pvc.metadata.name == config.pvc) else {
                let there = if names.is_empty() { "it has none".into() } else { format!("it has {}", names.join(", ")) };
                return Err(missing(format!("the namespace '{namespace}' has no PVC '{}' ({there})", config.pvc))
                    .remedy("set BAK_PVC_NAME (--pvc-name) to the claim that holds the database, or name another namespace with -n"));
            };
            if pvc.status.phase != "Bound" {
                return Err(missing(format!("the PVC '{}' is not bound but {}", config.pvc, pvc.status.phase))
                    .remedy(format!("see kubectl describe pvc {} -n {namespace}", config.pvc)));
            }
            let chosen = pod::choose(&database.resource, &database.container, &config.pvc, workload.as_ref(), &pods);
            let chosen = chosen.map_err(|why| match why {
                NoPod::NoWorkload => missing(format!("the namespace '{namespace}' has no {}", database.resource))
                    .remedy("set BAK_DB_POSTGRES_EXEC_RESOURCE (--db-postgres-exec-resource) to what runs the database"),
                NoPod::NoPods => missing(format!("{} has no pods", database.resource))
                    .remedy("scale it up, or name another resource"),
                NoPod::NoneFits(why) => missing(format!("no pod of {} will do: {}", database.resource, why.join("; ")))
                    .remedy("a dump is made in a ready pod that mounts the PVC in the container that is named"),
            })?;
            let what = format!("PVC {} in {namespace} is bound, pod {} mounts it", config.pvc, chosen.pod);
            Ok((chosen, what))
        })
    }

    fn request<'r>(&'r self, proof: Option<&'r Proof>) -> Request<'r> {
        let config = self.config;
        Request {
            name: &self.name,
            namespace: &self.kubectl.target.namespace,
            pvc: &config.pvc,
            class: config.class.as_deref(),
            kind: &config.label_type,
            pod: config.label_pod.as_deref(),
            retain: config.retain,
            run: &self.nonce,
            settings: &config.set,
            postgres: proof,
        }
    }

    /// The slots and the manifest of the snapshot, decided now.
    fn decide(&self, proof: Option<&Proof>) -> Result<(Vec<SlotChoice>, Value), Fail> {
        let (config, kubectl, zone) = (self.config, &self.kubectl, self.global.zone);
        let slots = match config.retain {
            Retain::Days(_) => Vec::new(),
            Retain::DailyWeeklyMonthly => {
                let list: List<Snapshot> = kubectl
                    .json(&kubectl.target.list_snapshots())
                    .map_err(|error| kubectl::fail(&error).during(Exit::Snapshot))?;
                manifest::choose_slots(&config.pvc, &list.items, self.now, zone, config.ready_timeout)
            }
        };
        let manifest = manifest::snapshot(&self.request(proof), &slots, self.now, zone);
        Ok((slots, manifest))
    }

    /// Creates the VolumeSnapshot. A request that got no answer is made again under the same name; an object of that
    /// name that carries this run's mark is the answer to the first.
    fn snapshot(&self, proof: &Proof) -> Result<Snapshot, Fail> {
        let (kubectl, name) = (&self.kubectl, &self.name);
        self.reporter.step("snapshot", |_| {
            let (slots, manifest) = self.decide(Some(proof))?;
            let text = manifest.to_string();
            let parse =
                |stdout: &mut dyn std::io::BufRead| serde_json::from_reader(stdout).map_err(std::io::Error::from);
            let create = || kubectl.once::<Snapshot>(kubectl.target.create_snapshot(), &text, parse);
            let created = kubectl.patiently(create).or_else(|error| {
                if kubectl::refusal(&error) != Refusal::AlreadyExists {
                    return Err(error);
                }
                let there: Snapshot = kubectl.json(&kubectl.target.get_snapshot(name))?;
                if there.metadata.annotations.get(labels::RUN) == Some(&self.nonce) { Ok(there) } else { Err(error) }
            });
            let created = created.map_err(|error| {
                let fail = kubectl::fail(&error).during(Exit::Snapshot);
                if let Exit::Signal(_) = fail.exit {
                    fail.remedy(format!(
                        "the dump is proven and in place; the VolumeSnapshot {name} may be there, labelled"
                    ))
                } else if fail.remedy.is_empty() {
                    fail.remedy("the dump is proven and in place; correct what the API says and run the backup again")
                } else {
                    fail
                }
            })?;
            let taken: Vec<String> = slots
                .iter()
                .map(|slot| match &slot.holder {
                    Some(holder) => format!("{} is held by {holder}", slot.value),
                    None => slot.value.clone(),
                })
                .collect();
            let what = match self.config.retain {
                Retain::Days(days) => format!("{name}, retained for {days} days"),
                Retain::DailyWeeklyMonthly => format!("{name}, slots {}", taken.join(", ")),
            };
            Ok((created, what))
        })
    }

    /// A snapshot of which it is not sure that it holds what was proven keeps no slot and no proof.
    fn distrust(&self, fail: Fail) -> Fail {
        if fail.exit != Exit::Snapshot {
            return fail;
        }
        let patch = self.kubectl.target.patch_snapshot(&self.name, &manifest::distrust(&fail.what));
        match self.kubectl.patiently(|| self.kubectl.once(patch.clone(), "", |_| Ok(()))) {
            Ok(()) => fail,
            Err(error) => {
                let remedy = format!("{}; it could not be marked so, delete it: {error}", fail.remedy);
                fail.remedy(remedy)
            }
        }
    }

    /// The plan: the very calls and the very manifest that a run would make.
    fn show_plan(&self, dump: &Dump<'_>) -> Result<(), Fail> {
        let (config, target, name) = (self.config, &self.kubectl.target, &self.name);
        let (database, chosen) = (&config.postgres, &dump.chosen);
        let (slots, manifest) = self.decide(None)?;
        let mut steps = Vec::new();
        if let Some(locks) = &config.locks {
            let waits = humantime::format_duration(locks.timeout);
            steps.push(Step::new(format!(
                "Take one of {} locks in {}, waiting up to {waits}",
                locks.count,
                locks.dir.display()
            )));
        }
        let shown = |value: &DbValue| match value {
            DbValue::Literal(text) => escape::word(text),
            DbValue::Variable(name) => format!("${name}"),
        };
        let password = match &database.password {
            DbValue::Literal(_) => escape::MASK.to_string(),
            variable => shown(variable),
        };
        steps.push(
            Step::new(format!(
                "In pod {}, container {}: check tools, database, path and space (done just now)",
                chosen.pod, chosen.container
            ))
            .kubectl(&target.exec(&chosen.pod, &chosen.container)),
        );
        steps.push(
            Step::new(format!("Dump into a temporary file, prove it, flush it, rename it to {}", database.dump_file)).command(format!(
                "PGHOST={} PGPORT={} PGUSER={} PGPASSWORD={password} PGDATABASE={} pg_dump --no-password --format=plain --clean --if-exists | {} -c",
                database.host, database.port, shown(&database.user), shown(&database.database), dump.look.compressor
            )),
        );
        steps.push(
            Step::new("Look at the file again through another stream, and flush its file system")
                .kubectl(&target.exec(&chosen.pod, &chosen.container)),
        );
        let held: Vec<String> = slots
            .iter()
            .filter_map(|slot| Some(format!("{} is held by {}", slot.value, slot.holder.as_ref()?)))
            .collect();
        let held = if held.is_empty() { String::new() } else { format!(" ({})", held.join(", ")) };
        steps.push(
            Step::new(format!("Create the VolumeSnapshot {name}{held}"))
                .kubectl(&target.create_snapshot())
                .manifest(manifest),
        );
        let goal = if config.wait_until_ready { "ready" } else { "cut" };
        steps.push(
            Step::new(format!("Wait until it is {goal}, up to {}", humantime::format_duration(config.ready_timeout)))
                .kubectl(&target.watch_snapshot(name, None, config.ready_timeout)),
        );
        print(
            self.reporter,
            &match self.global.output {
                Output::Text => format!(
                    "Dry run: nothing was changed. Backup of PVC {} in {}, {} % full:\n{}",
                    config.pvc,
                    target.namespace,
                    dump.site.used_percent,
                    plan::text(&steps)
                ),
                Output::Json => {
                    pretty(&json!({"dryRun": true, "namespace": target.namespace, "pvc": config.pvc, "steps": steps}))
                }
            },
        )
    }

    fn summary(&self, snapshot: &Snapshot, proof: &Proof, dumped: Duration, took: Duration) -> Result<(), Fail> {
        let summary = Summary {
            namespace: &self.kubectl.target.namespace,
            pvc: &self.config.pvc,
            volume_snapshot: &snapshot.metadata.name,
            volume_snapshot_content: snapshot.status.bound_volume_snapshot_content_name.as_deref(),
            creation_time: snapshot.status.creation_time,
            ready: snapshot.readiness() == Readiness::Ready,
            restore_size: snapshot.status.restore_size.as_deref(),
            labels: &snapshot.metadata.labels,
            dump: proof,
            dump_seconds: report::rounded(dumped),
            seconds: report::rounded(took),
        };
        print(
            self.reporter,
            &match self.global.output {
                Output::Json => pretty(&json!(summary)),
                Output::Text => summary.text(),
            },
        )
    }
}

/// What `create` says at its end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    namespace: &'a str,
    pvc: &'a str,
    volume_snapshot: &'a str,
    volume_snapshot_content: Option<&'a str>,
    creation_time: Option<DateTime<Utc>>,
    ready: bool,
    restore_size: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    dump: &'a Proof,
    /// How long the dump tool and the compressor took.
    dump_seconds: f64,
    /// How long all of it took.
    seconds: f64,
}

impl Summary<'_> {
    fn text(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(key, value)| format!("{}={value}", key.trim_start_matches("backup-ns.sh/")))
            .collect();
        let ready = if self.ready { "ready" } else { "cut, not ready yet" };
        format!(
            "Backup of PVC {} in {} is done in {:.1}s\n  snapshot  {} ({ready})\n  dump      {}, {} bytes, SHA-256 {}\n  tool      {}\n  labels    {}\n",
            self.pvc,
            self.namespace,
            self.seconds,
            self.volume_snapshot,
            self.dump.file,
            self.dump.bytes,
            self.dump.sha256,
            self.dump.tool,
            labels.join(" ")
        )
    }
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default())
}
