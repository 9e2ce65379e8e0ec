//! `doctor`: everything that a backup needs, looked at without changing anything, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::backup::cronjob_settings::config_maps;
use crate::backup::dump::{self, DumpRules};
use crate::backup::observe::{choose, find_lasting};
use crate::backup::snapshots::{self, SnapshotSet};
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cmd::create::names;
use crate::cmd::now;
use crate::cmd::show::show;
use crate::config::fault::Fault;
use crate::config::settings::var;
use crate::config::{Create, Database, Doctor, Global};
use crate::container;
use crate::core::backup::job;
use crate::core::backup::pod::{self, Chosen};
use crate::core::escape::{Secrets, one_line};
use crate::core::health::cronjob::{ConfigMaps, Schedule};
use crate::core::health::doctor::{self, Check, CheckOutcome, Driver, Granted};
use crate::core::health::status::{self, Backup, ClaimStatus, Read, Report, Stored};
use crate::core::kube::calls::{
    CLAIMS, CONTENTS, CRON_JOBS, CSI_DRIVERS, JOBS, Kind, LIMIT_RANGES, NAMESPACES, PODS, QUOTAS, SNAPSHOT_CLASSES,
    SNAPSHOTS, VOLUMES,
};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::json;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Item, ObjectList, Pvc};
use crate::core::kube::quota::{self, Scratch};
use crate::core::retention::history::Moment;
use crate::exit::{Exit, Fail};
use crate::io::process::Ending;
use crate::io::random;
use crate::io::report::{self, Reporter, Step};
use crate::io::wait;
use crate::lock::{NodeLocks, lease};

/// Looks at everything and says what it found.
///
/// # Errors
/// A check failed, or a signal came; what was found is printed before.
pub fn run(global: &Global, config: &Doctor, reporter: &Reporter) -> Result<()> {
    let (zone, other): (Vec<&Fault>, Vec<&Fault>) = config.faults.iter().partition(|fault| fault.is_about(var!("TZ")));
    let [zone, other] = [zone, other].map(|faults| faults.into_iter().map(Fault::to_string).collect::<Vec<_>>());
    let checks = doctor::configuration(&zone, &other, global.dry_run);
    let mut exam = Exam {
        global,
        config: &config.create,
        now: now(),
        kubectl: None,
        names: None,
        granted: Granted::default(),
        checks,
    };
    exam.names(&config.faults)?;
    if exam.checks.iter().all(|check| check.check != "time zone") {
        let (zone, local) = (global.zone.name(), global.zone.local(exam.now).format("%Y-%m-%d %H:%M"));
        exam.checks.push(Check::passed("time zone", format!("{zone}, where it is {local}")));
    }
    let namespace = reporter.step("look", |step| {
        let namespace = exam.cluster(config.faults.iter().any(Fault::hides_backup), step)?;
        exam.locks()?;
        Ok((namespace, format!("{} checks", exam.checks.len())))
    })?;
    if let Some(fail) = wait::interrupted() {
        bail!(fail);
    }
    let count = |outcome| exam.checks.iter().filter(|check| check.outcome == outcome).count();
    let [passed, failed, skipped] = [CheckOutcome::Passed, CheckOutcome::Failed, CheckOutcome::Skipped].map(count);
    let summary = json!({"passed": passed, "failed": failed, "skipped": skipped});
    let result = json!({"namespace": namespace, "checks": exam.checks, "summary": summary});
    show(reporter, global.output, &result, || {
        format!("{}{passed} passed, {failed} failed, {skipped} skipped\n", text(&exam.checks))
    })?;
    if failed == 0 {
        return Ok(());
    }
    bail!(
        Fail::new(Exit::Precondition, format!("{failed} of {} checks failed", exam.checks.len()))
            .remedy("each line that failed says what to do about it")
    )
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { check, outcome, what, remedy } in checks {
        let word = match outcome {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "FAILED",
            CheckOutcome::Skipped => "skipped",
        };
        let _ = writeln!(text, "{word:<8} {check:<17} {}", one_line(what));
        if !remedy.is_empty() {
            let _ = writeln!(text, "{:26} remedy: {}", "", one_line(remedy));
        }
    }
    text
}

/// What has been found so far.
struct Exam<'a> {
    global: &'a Global,
    config: &'a Create,
    now: DateTime<Utc>,
    /// Once the API answered.
    kubectl: Option<Kubectl>,
    /// What the snapshots would be named, where that can be.
    names: Option<Vec<String>>,
    /// What the caller may do, as far as that was asked.
    granted: Granted,
    checks: Vec<Check>,
}

/// The checks that need this namespace's objects, in their order.
const IN_NAMESPACE: [&str; 14] = [
    "claim",
    "driver",
    "class",
    "pod",
    "container",
    "snapshot",
    "quota",
    "schedule",
    "last backup",
    "controller",
    "stored data",
    "deletions",
    "restores",
    "restore tests",
];

impl Exam<'_> {
    fn skip(&mut self, checks: &[&'static str], why: &str) {
        self.checks.extend(checks.iter().map(|check| Check::skipped(check, why)));
    }

    /// A failure as a line, but not a signal.
    fn fail(&mut self, check: &'static str, error: impl Failure, otherwise: &str) -> Result<()> {
        let fail = error.fail();
        if error.is_signal() {
            bail!(fail);
        }
        let remedy = if fail.remedy.is_empty() { otherwise.to_string() } else { fail.remedy };
        self.checks.push(Check::failed(check, fail.what, remedy));
        Ok(())
    }

    /// What a backup would name its snapshots.
    fn names(&mut self, faults: &[Fault]) -> Result<()> {
        if faults.iter().any(Fault::hides_names) {
            self.skip(&["names"], "see configuration");
            return Ok(());
        }
        match names(self.config, self.global, self.now) {
            Ok(names) => {
                self.checks.push(Check::passed("names", format!("a snapshot now would be {}", names.join(", "))));
                self.names = Some(names);
                Ok(())
            }
            Err(error) => self.fail("names", error, ""),
        }
    }

    /// Looks at all that is in the cluster; the namespace, if there is one. `hindered` is whether a setting is wrong without which
    /// nothing can be looked for.
    fn cluster(&mut self, hindered: bool, step: &Step) -> Result<Option<String>> {
        let Some((kubectl, minor)) = self.connect(self.config.secrets())? else {
            self.skip(&["namespace", "rights", "snapshot API"], "the API cannot be asked");
            self.skip(&IN_NAMESPACE, "the API cannot be asked");
            return Ok(None);
        };
        let namespace = kubectl.target.namespace.clone();
        self.kubectl = Some(kubectl.clone());
        if hindered {
            self.snapshot_api(&kubectl)?;
            self.skip(&["namespace", "rights"], "see configuration");
            self.skip(&IN_NAMESPACE, "see configuration");
            return Ok(Some(namespace));
        }
        step.progress("rights");
        let granted = self.rights(&kubectl, minor)?;
        self.granted = granted.clone();
        if !self.namespace(&kubectl, &granted)? {
            self.snapshot_api(&kubectl)?;
            self.skip(&IN_NAMESPACE, &format!("there is no namespace {namespace}"));
            return Ok(Some(namespace));
        }
        let snapshots = self.snapshot_api(&kubectl)?;
        step.progress("namespace");
        let Some(seen) = self.observe(&kubectl, &granted, snapshots)? else {
            return Ok(Some(namespace));
        };
        match self.claims(&kubectl, &granted, &seen, snapshots)? {
            true => {
                step.progress("container");
                self.pods(&kubectl, &granted, &seen)?;
            }
            false => self.skip(&["pod", "container"], "see claim"),
        }
        step.progress("snapshot");
        self.snapshot(&kubectl, &granted, &seen, snapshots)?;
        self.quota(&kubectl, &granted, &seen)?;
        self.history(&kubectl, &granted, &seen)?;
        Ok(Some(namespace))
    }

    /// kubectl and the API, with the minor version of the server.
    fn connect(&mut self, secrets: Secrets) -> Result<Option<(Kubectl, Option<u32>)>> {
        const CONTEXT: &str = "check --context and --kubeconfig: kubectl config get-contexts";
        let kubectl = match Kubectl::connect(&self.global.asked, secrets, self.global.retry_timeout) {
            Ok(kubectl) => kubectl,
            Err(error) => {
                self.fail("kubectl", error, CONTEXT)?;
                return Ok(None);
            }
        };
        let ask = |args: Vec<String>| {
            kubectl.once(args, "", |stdout| serde_json::from_reader::<_, Value>(stdout).map_err(std::io::Error::from))
        };
        let version = |result: &Value| result["gitVersion"].as_str().unwrap_or("of no known version").to_string();
        match ask(kubectl.target.version()) {
            Ok(result) => self.checks.push(Check::passed("kubectl", version(&result["clientVersion"]))),
            Err(error) if matches!(error.ending, Ending::NotFound) => {
                self.fail("kubectl", error, "")?;
                return Ok(None);
            }
            Err(error) => self.fail("kubectl", error, "see kubectl version --client")?,
        }
        if let Some(preferences) = &self.global.asked.shield.preferences {
            self.checks.push(doctor::preferences(preferences));
        }
        // Once: a person waits for the answer that the API is away.
        match ask(kubectl.target.server_version()) {
            Ok(result) => {
                self.checks.push(Check::passed("API", format!("answers, {}", version(&result))));
                let minor = result["minor"].as_str().unwrap_or_default();
                let minor = minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                Ok(Some((kubectl, minor)))
            }
            Err(error) => {
                self.fail("API", error, CONTEXT)?;
                Ok(None)
            }
        }
    }

    /// Whether the namespace is there, as far as one may know.
    fn namespace(&mut self, kubectl: &Kubectl, granted: &Granted) -> Result<bool> {
        let name = &kubectl.target.namespace;
        if !granted.may("get", "namespaces") {
            self.skip(&["namespace"], "may not get namespaces");
            return Ok(true);
        }
        match kubectl.get::<Value>(NAMESPACES, &kubectl.target.namespace) {
            Ok(namespace) if namespace["metadata"]["deletionTimestamp"].is_null() => {
                self.checks.push(Check::passed("namespace", format!("{name} is there")));
            }
            Ok(_) => {
                let remedy = "name another with -n (BAK_NAMESPACE)";
                self.checks.push(Check::failed("namespace", format!("{name} is being deleted"), remedy));
            }
            Err(error) if error.is(Refusal::NotFound) => {
                let remedy = "name another with -n (BAK_NAMESPACE); kubectl get namespaces shows them";
                self.checks.push(Check::failed("namespace", format!("there is no namespace {name}"), remedy));
                return Ok(false);
            }
            Err(error) if error.is(Refusal::Forbidden) => {
                self.skip(&["namespace"], "may not get namespaces");
            }
            Err(error) => self.fail("namespace", error, "see kubectl get namespace")?,
        }
        Ok(true)
    }

    /// The resources of the workloads that run the databases.
    fn workloads(&self) -> Vec<Kind> {
        let kinds = self.config.databases.iter().filter_map(|database| database.resource.kind.resource());
        Vec::from_iter(kinds.collect::<BTreeSet<_>>())
    }

    /// Whether a hook is run.
    fn hooked(&self) -> bool {
        !self.config.hooks.pre.is_empty() || !self.config.hooks.post.is_empty()
    }

    /// What the caller may do, asked for in one process.
    fn rights(&mut self, kubectl: &Kubectl, minor: Option<u32>) -> Result<Granted> {
        let rights = doctor::rights(&self.workloads(), !self.config.databases.is_empty() || self.hooked(), minor);
        let mut items: Vec<Value> =
            rights.iter().map(|right| doctor::review(right, &kubectl.target.namespace)).collect();
        if let Some(NodeLocks::Lease(locks)) = &self.config.locks {
            let leases = doctor::lease_rights(&lease::VERBS);
            items.extend(leases.iter().map(|right| doctor::review(right, &locks.namespace)));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let answers = kubectl.patiently(|| {
            kubectl.once(kubectl.target.review(), &list, |stdout| {
                let answers = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
                Ok(answers.collect::<Result<Vec<Value>, _>>()?)
            })
        });
        match answers {
            Ok(answers) => {
                let granted = Granted::of(&answers);
                self.checks.extend(granted.checks(&rights));
                if self.config.events {
                    self.checks.push(match granted.may("create", "events") {
                        true => Check::passed("rights", "may create events"),
                        // It does not affect backups.
                        false => Check::skipped("rights", "may not create events: backups leave none on the PVC"),
                    });
                }
                Ok(granted)
            }
            Err(error) if error.is(Refusal::Forbidden) => {
                self.skip(&["rights"], "may not ask what is allowed (create selfsubjectaccessreviews)");
                Ok(Granted::default())
            }
            Err(error) => {
                self.fail("rights", error, "see kubectl auth can-i --list")?;
                Ok(Granted::default())
            }
        }
    }

    /// Whether VolumeSnapshots can be asked for.
    fn snapshot_api(&mut self, kubectl: &Kubectl) -> Result<bool> {
        let find = |version: &str| match kubectl.json::<Value>(&kubectl.target.snapshot_kinds(version)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if [Refusal::NotFound, Refusal::UnknownKind].contains(&error.refusal()) => Ok(None),
            Err(error) => Err(error),
        };
        let judged = find("/v1").and_then(|kinds| match kinds {
            Some(kinds) => Ok(doctor::snapshot_api(Some(&kinds), None)),
            None => Ok(doctor::snapshot_api(None, find("")?.as_ref())),
        });
        match judged {
            Ok(check) => {
                let there = check.outcome == CheckOutcome::Passed;
                self.checks.push(check);
                Ok(there)
            }
            Err(error) => {
                self.fail("snapshot API", error, "see kubectl api-resources --api-group=snapshot.storage.k8s.io")?;
                Ok(false)
            }
        }
    }

    /// Reads what may be read of the namespace, in one process.
    fn observe(&mut self, kubectl: &Kubectl, granted: &Granted, snapshots: bool) -> Result<Option<NamespaceFindings>> {
        let mut kinds = vec![CLAIMS, PODS, CRON_JOBS, JOBS];
        kinds.extend(self.workloads());
        if snapshots {
            kinds.push(SNAPSHOTS);
        }
        kinds.retain(|kind| granted.may("list", kind.plural));
        if kinds.is_empty() {
            self.skip(&IN_NAMESPACE, "nothing in the namespace may be listed");
            return Ok(None);
        }
        match kubectl.all::<Value, ObjectList<Value>>(&kinds) {
            Ok(list) => Ok(Some(NamespaceFindings::of(list.items, kinds))),
            Err(error) => {
                self.fail("claim", error, "see kubectl get persistentvolumeclaims,pods")?;
                self.skip(&IN_NAMESPACE[1..], "the namespace cannot be read");
                Ok(None)
            }
        }
    }

    /// The claims, and the VolumeSnapshotClass of each of their drivers. Whether a dump may have its claim.
    fn claims(
        &mut self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        snapshots: bool,
    ) -> Result<bool> {
        if !seen.has(CLAIMS) {
            self.skip(&["claim", "driver", "class"], "may not list persistentvolumeclaims");
            return Ok(true);
        }
        let mut there = true;
        let namespace = &kubectl.target.namespace;
        let mut drivers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for pvc in &self.config.pvcs {
            let claim = match find_lasting(namespace, pvc, &seen.namespace_objects.claims) {
                Ok(claim) => claim,
                Err(error) => {
                    self.fail("claim", error, "")?;
                    there &= self.config.pvcs.first() != Some(pvc);
                    continue;
                }
            };
            match self.driver(kubectl, granted, claim)? {
                Driver::Csi(driver) => {
                    self.checks.push(Check::passed("claim", format!("{pvc} is bound, of the driver {driver}")));
                    drivers.entry(driver).or_default().push(pvc);
                }
                Driver::Other(kind) => self.checks.push(Check::failed(
                    "claim",
                    format!("the volume of the PVC '{pvc}' has no CSI driver ({kind}), and so no snapshots"),
                    "move the data to a claim whose StorageClass is of a CSI driver that can snapshot",
                )),
                Driver::Unknown => {
                    self.checks.push(Check::passed("claim", format!("{pvc} is bound, its driver is not known")));
                }
            }
        }
        self.drivers(kubectl, granted, seen, &drivers)?;
        let unseen = match &self.config.class {
            Some(class) => {
                format!("may not list volumesnapshotclasses: whether there is a {class} is unknown")
            }
            None => "may not list volumesnapshotclasses".into(),
        };
        let why = match () {
            () if !snapshots => "there is no snapshot API",
            () if !granted.may("list", "volumesnapshotclasses") => &unseen,
            () if drivers.is_empty() => "no driver is known",
            () => "",
        };
        if !why.is_empty() {
            self.skip(&["class"], why);
            return Ok(there);
        }
        match kubectl.json::<ObjectList<Value>>(&kubectl.target.list(SNAPSHOT_CLASSES, "")) {
            Ok(classes) => {
                let named = self.config.class.as_deref();
                self.checks.extend(drivers.keys().flat_map(|driver| doctor::class(named, driver, &classes.items)));
            }
            Err(error) if error.is(Refusal::Forbidden) => {
                self.skip(&["class"], &unseen);
            }
            Err(error) => self.fail("class", error, "see kubectl get volumesnapshotclasses")?,
        }
        Ok(there)
    }

    /// Whether these drivers, each of some claims, are there.
    fn drivers(
        &mut self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        drivers: &BTreeMap<String, Vec<&str>>,
    ) -> Result<()> {
        if !granted.may("get", CSI_DRIVERS.plural) {
            self.skip(&["driver"], "may not get csidrivers");
            return Ok(());
        }
        for (driver, pvcs) in drivers {
            match kubectl.get::<Value>(CSI_DRIVERS, driver) {
                Ok(_) => self.checks.push(Check::passed("driver", format!("{driver} is registered"))),
                Err(error) if error.is(Refusal::NotFound) => {
                    self.checks.push(doctor::no_driver(driver, pvcs, &seen.namespace_objects.snapshots, self.now));
                }
                Err(error) if error.is(Refusal::Forbidden) => {
                    self.skip(&["driver"], "may not get csidrivers");
                }
                Err(error) => self.fail("driver", error, "see kubectl get csidrivers")?,
            }
        }
        Ok(())
    }

    /// The driver of a claim. Its volume is asked only where the claim does not say who made it.
    fn driver(&mut self, kubectl: &Kubectl, granted: &Granted, claim: &Pvc) -> Result<Driver> {
        let result = doctor::driver(claim, None);
        let volume = claim.spec.volume_name.as_deref().unwrap_or_default();
        if result != Driver::Unknown || volume.is_empty() || !granted.may("get", "persistentvolumes") {
            return Ok(result);
        }
        match kubectl.get::<Value>(VOLUMES, volume) {
            Ok(volume) => Ok(doctor::driver(claim, Some(&volume))),
            Err(error) if matches!(error.ending, Ending::Signal(_)) => Err(error.into()),
            Err(_) => Ok(result),
        }
    }

    /// The pod of each database, and what its container says; or the pods that are flushed in.
    fn pods(&mut self, kubectl: &Kubectl, granted: &Granted, seen: &NamespaceFindings) -> Result<()> {
        let missing = [PODS].into_iter().chain(self.workloads()).find(|kind| !seen.has(*kind));
        if let Some(kind) = missing {
            self.skip(&["pod", "container"], &format!("may not list {}", kind.name()));
            return Ok(());
        }
        let holder = self.config.pvcs.first().map(String::as_str).unwrap_or_default();
        if self.config.databases.is_empty() {
            let (all, pods) = (&self.config.pvcs, &seen.namespace_objects.pods);
            let mounters: Vec<Chosen> = all.iter().flat_map(|pvc| pod::mounters(pvc, pods)).collect();
            let may = granted.may("create", "pods/exec");
            self.checks.push(doctor::flushed(&all.join(", "), &mounters, self.hooked(), may));
            self.skip(&["container"], "no database is dumped (BAK_DB_SKIP)");
            return Ok(());
        }
        for database in &self.config.databases {
            let chosen = match choose(&seen.namespace_objects, &kubectl.target.namespace, database, holder) {
                Ok(chosen) => chosen,
                Err(error) => {
                    self.fail("pod", error, "")?;
                    self.skip(&["container"], &format!("there is no pod for {}", database.engine));
                    continue;
                }
            };
            let Chosen { pod, container, .. } = &chosen;
            let kind = if seen.is_native_sidecar(pod, container) { "native sidecar" } else { "container" };
            self.checks.push(Check::passed("pod", format!("{pod} is ready, its {kind} {container} mounts {holder}")));
            if !granted.may("create", "pods/exec") {
                self.skip(&["container"], "may not create pods/exec");
                continue;
            }
            self.container(kubectl, database, &chosen, holder)?;
        }
        Ok(())
    }

    /// Looks into the container of a database as a backup does.
    fn container(&mut self, kubectl: &Kubectl, database: &Database, chosen: &Chosen, holder: &str) -> Result<()> {
        let rules = DumpRules {
            pvc: holder,
            threshold_percent: self.config.threshold_percent,
            busy_timeout: self.config.busy_timeout,
            dump_timeout: self.config.dump_timeout,
            holder: &self.global.holder,
            nonce: &random::nonce(),
        };
        // The very session that a backup begins with; it ends before anything is made.
        match dump::run_preflight(kubectl, database, chosen, rules, container::dump(database.engine)) {
            Ok((mut session, report)) => {
                let judged = rules.assess(&report, database, chosen);
                let free = judged.as_ref().map(|site| report::bytes(site.available_bytes)).unwrap_or_default();
                let judged = judged.as_ref().map_err(Vec::as_slice);
                let mut checks = doctor::container(&report, database.engine, judged, rules.threshold_percent, &free);
                let said = if judged.is_err() { session.last_words() } else { String::new() };
                // What the client says names the reason.
                let database =
                    checks.iter_mut().find(|it| it.check == "database" && it.outcome == CheckOutcome::Failed);
                if let Some(check) = database.filter(|_| !said.is_empty()) {
                    let said = kubectl.secrets.mask(&said);
                    check.what = format!("{} (the container says: {said})", check.what);
                }
                self.checks.extend(checks);
            }
            Err(error) => self.fail("container", error, "see kubectl describe pod")?,
        }
        Ok(())
    }

    /// What the API says of the VolumeSnapshots that a backup would make; it makes none.
    fn snapshot(&mut self, kubectl: &Kubectl, granted: &Granted, seen: &NamespaceFindings, api: bool) -> Result<()> {
        let failed = |check: &&Check| check.check == "claim" && check.outcome != CheckOutcome::Passed;
        let why = match (&self.names, self.checks.iter().find(failed)) {
            _ if !api => "there is no snapshot API",
            _ if !granted.may("create", "volumesnapshots") => "may not create volumesnapshots",
            (_, Some(_)) => "see claim",
            (None, _) => "see names",
            _ => "",
        };
        let Some(names) = self.names.clone().filter(|_| why.is_empty()) else {
            self.skip(&["snapshot"], why);
            return Ok(());
        };
        let of = |pvc: &String| seen.namespace_objects.claims.iter().find(|claim| claim.metadata.name == *pvc);
        let claims: Vec<ClaimTemplate> = self.config.pvcs.iter().filter_map(of).map(ClaimTemplate::of).collect();
        let run = self.config.run_id.clone().unwrap_or_else(random::nonce);
        let (config, now, zone) = (self.config, self.now, self.global.zone);
        let cut = SnapshotSet { kubectl, config, now, zone, run, names, claims: &claims };
        match cut.dry_run(&cut.planned(&[], &seen.namespace_objects.snapshots)) {
            Ok(None) => {}
            Ok(Some(words)) => {
                self.skip(&["snapshot"], &format!("the API cannot tell beforehand: {words}"));
                return Ok(());
            }
            Err(error) => return self.fail("snapshot", snapshots::refused(&error), ""),
        }
        let each = match cut.names.len() {
            1 => "",
            _ => ", each by itself",
        };
        self.checks.push(Check::passed("snapshot", format!("the API would take {}{each}", cut.names.join(", "))));
        Ok(())
    }

    /// Whether quotas and limits leave room for the snapshots of a backup, and for the pod of a restore test.
    fn quota(&mut self, kubectl: &Kubectl, granted: &Granted, seen: &NamespaceFindings) -> Result<()> {
        let kinds = [QUOTAS, LIMIT_RANGES];
        if let Some(kind) = kinds.iter().find(|kind| !granted.may("list", kind.plural)) {
            self.skip(&["quota"], &format!("may not list {}", kind.plural));
            return Ok(());
        }
        let items = match kubectl.all::<Value, ObjectList<Value>>(&kinds) {
            Ok(list) => list.items,
            Err(error) if error.is(Refusal::Forbidden) => {
                self.skip(&["quota"], "may not list resourcequotas and limitranges");
                return Ok(());
            }
            Err(error) => {
                return self.fail("quota", error, "see kubectl get resourcequotas,limitranges");
            }
        };
        let (ranges, quotas): (Vec<Value>, Vec<Value>) =
            items.into_iter().partition(|item| item["kind"] == "LimitRange");
        let claim = self
            .config
            .pvcs
            .first()
            .and_then(|pvc| seen.namespace_objects.claims.iter().find(|it| it.metadata.name == *pvc));
        let database = self.config.databases.first();
        let resources = claim.zip(database).and_then(|(claim, database)| {
            let chosen =
                choose(&seen.namespace_objects, &kubectl.target.namespace, database, &claim.metadata.name).ok()?;
            Some(seen.container(&chosen.pod, &chosen.container)?["resources"].clone())
        });
        let refused = claim.zip(resources).map(|(claim, resources)| {
            let storage = claim.spec.resources.requests.get("storage").map_or("0", String::as_str);
            let class = claim.spec.storage_class_name.as_deref();
            Scratch { resources: &resources, storage, class }.refused(&quotas, &ranges)
        });
        let snapshots = self.config.pvcs.len();
        // One was tried just now; each of several was tried by itself.
        let short = quota::too_small_for(&quotas, snapshots).filter(|_| snapshots > 1);
        self.checks.extend(doctor::quota(short, snapshots, &refused.unwrap_or_default()));
        Ok(())
    }

    /// What earlier backups, restores and tests left, and what makes backups.
    fn history(&mut self, kubectl: &Kubectl, granted: &Granted, seen: &NamespaceFindings) -> Result<()> {
        let (namespace, pvcs) = (&kubectl.target.namespace, &self.config.pvcs);
        let maps = match granted.may("get", "configmaps") {
            true => config_maps(kubectl, &seen.schedules)?,
            false => None,
        };
        match seen.has(CRON_JOBS) {
            true => {
                let unmade = self.unmade(kubectl, granted, seen)?;
                let (plans, started) = (&seen.schedules, (&seen.pods[..], &seen.jobs[..]));
                self.checks.extend(doctor::schedules(
                    plans,
                    started,
                    maps.as_ref(),
                    namespace,
                    pvcs,
                    &unmade,
                    self.now,
                ));
            }
            false => self.skip(&["schedule"], "may not list cronjobs"),
        }
        if seen.has(SNAPSHOTS) {
            let report = self.report(kubectl, granted, seen, maps)?;
            self.checks.extend(doctor::history(&report, &seen.namespace_objects.snapshots, namespace, pvcs));
            self.checks.push(doctor::controller(&seen.namespace_objects.snapshots, namespace, self.now));
            self.checks.push(doctor::stored_data(&report));
            self.checks.push(doctor::deletions(&report));
        } else {
            self.skip(
                &["last backup", "controller", "stored data", "deletions", "restores"],
                "may not list volumesnapshots, or there are none",
            );
        }
        match seen.has(JOBS) {
            true => self.checks.push(doctor::trials(&seen.jobs, namespace, self.now)),
            false => self.skip(&["restore tests"], "may not list jobs"),
        }
        Ok(())
    }

    /// The Jobs of CronJobs that have no pod, by CronJob, and why where Events may be read, which they are only then.
    fn unmade(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
    ) -> Result<BTreeMap<String, (String, String)>> {
        if !seen.has(PODS) || !seen.has(JOBS) {
            return Ok(BTreeMap::new());
        }
        let podless = |schedule: &Schedule| {
            Some((schedule.name.clone(), job::podless(&seen.jobs, &seen.pods, &schedule.name, self.now)?))
        };
        let podless: Vec<(String, &Value)> = seen.schedules.iter().filter_map(podless).collect();
        let events = match granted.may("list", "events") && !podless.is_empty() {
            true => match kubectl.json::<ObjectList<Value>>(&kubectl.target.warnings()) {
                Ok(list) => list.items,
                Err(error) if error.is(Refusal::Forbidden) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
            false => Vec::new(),
        };
        let why = |job| job::unmade(json::uid(job), &events).unwrap_or_default().to_string();
        Ok(podless.into_iter().map(|(cronjob, job)| (cronjob, (json::name(job).to_string(), why(job)))).collect())
    }

    /// How the namespace's claims are protected, as `status` tells it.
    fn report(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        config_maps: Option<ConfigMaps>,
    ) -> Result<Report> {
        let contents = match granted.may("list", "volumesnapshotcontents") {
            true => match kubectl.pages(|next| kubectl.target.page(CONTENTS, None, "", next), Stored::of, |_| ()) {
                Ok(contents) => Some(contents),
                Err(error) if error.is(Refusal::Forbidden) => None,
                Err(error) => return Err(error.into()),
            },
            false => None,
        };
        let snapshots: Vec<Backup> = seen.namespace_objects.snapshots.iter().cloned().map(Backup::from).collect();
        let covers = |namespace: &str| namespace == kubectl.target.namespace;
        // The snapshots were read before: what was made meanwhile is no orphan.
        let leftovers = contents.map(|contents| {
            let mut found = status::leftovers(contents, &snapshots, covers);
            found.orphans.retain(|orphan| orphan.bound < self.now);
            found.superfluous.retain(|one| one.content.bound < self.now);
            found
        });
        let claims = seen.namespace_objects.claims.iter().cloned().map(ClaimStatus::from).collect();
        let schedules = seen.schedules.clone();
        let read = Read { snapshots, claims, leftovers, schedules, config_maps, ..Read::default() };
        let ready_timeout = self.config.ready_timeout;
        Ok(status::report(read, &Moment { now: self.now, zone: self.global.zone, ready_timeout }))
    }

    /// The node's locks, where this is the node; Leases wherever it is.
    fn locks(&mut self) -> Result<()> {
        let checked = match (&self.config.locks, &self.kubectl) {
            (None, _) => {
                self.skip(&["locks"], "no lock is configured (BAK_LOCK, BAK_FLOCK)");
                return Ok(());
            }
            (Some(NodeLocks::Flock(locks)), _) => locks.check().map_err(anyhow::Error::from),
            (Some(NodeLocks::Lease(_)), None) => {
                self.skip(&["locks"], "the API cannot be asked");
                return Ok(());
            }
            (Some(NodeLocks::Lease(locks)), Some(kubectl)) => {
                let missing = lease::VERBS.into_iter().filter(|verb| !self.granted.may(verb, "leases"));
                match missing.collect::<Vec<_>>().join(", ") {
                    none if none.is_empty() => locks.check(kubectl),
                    verbs => {
                        let what = format!("may not {verbs} leases in {}", locks.namespace);
                        Err(Fail::new(Exit::Precondition, what).remedy(lease::grant(&locks.namespace)).into())
                    }
                }
            }
        };
        match checked {
            Ok(what) => self.checks.push(Check::passed("locks", what)),
            Err(error) => self.fail("locks", error, "see docs/locks.md")?,
        }
        Ok(())
    }
}

/// What was read of the namespace.
struct NamespaceFindings {
    /// The kinds that were read.
    kinds: Vec<Kind>,
    namespace_objects: NamespaceObjects,
    schedules: Vec<Schedule>,
    jobs: Vec<Value>,
    pods: Vec<Value>,
}

impl NamespaceFindings {
    fn of(items: Vec<Value>, kinds: Vec<Kind>) -> NamespaceFindings {
        let of_kind = |kind: &str| items.iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<_>>();
        let schedules = of_kind("CronJob").iter().filter_map(Schedule::of).collect();
        let (jobs, pods) = (of_kind("Job"), of_kind("Pod"));
        // What cannot be read as its kind is of no use to a backup either.
        let objects = items.into_iter().filter_map(|item| serde_json::from_value::<Item>(item).ok());
        NamespaceFindings { kinds, schedules, jobs, pods, namespace_objects: NamespaceObjects::of(objects) }
    }

    fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// A container of a pod, of any kind.
    fn container(&self, pod: &str, container: &str) -> Option<&Value> {
        let pod = self.pods.iter().find(|it| it["metadata"]["name"] == pod)?;
        let lists = ["containers", "initContainers"].into_iter().filter_map(|list| pod["spec"][list].as_array());
        lists.flatten().find(|it| it["name"] == container)
    }

    fn is_native_sidecar(&self, pod: &str, container: &str) -> bool {
        self.container(pod, container).is_some_and(|container| container["restartPolicy"] == "Always")
    }
}
