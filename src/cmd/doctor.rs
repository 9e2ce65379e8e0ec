//! `doctor`: everything that a backup needs, looked at without changing anything, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::backup::cronjob_settings::config_maps;
use crate::backup::databases;
use crate::backup::dump::{self, DumpRules};
use crate::backup::dump_path::with_dump_file;
use crate::backup::observe::{choose, find_lasting};
use crate::backup::snapshots::{self, SnapshotSet};
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::versions::{Versions, git_version};
use crate::cmd::create::names;
use crate::cmd::now;
use crate::cmd::show::show;
use crate::config::fault::Fault;
use crate::config::settings::var;
use crate::config::{Create, Database, Doctor, ExportSettings, Global};
use crate::container;
use crate::core::backup::job;
use crate::core::backup::pod::{self, Chosen};
use crate::core::backup::preflight::{self, PreflightReport, Site};
use crate::core::escape::one_line;
use crate::core::health::cronjob::{ConfigMaps, Schedule};
use crate::core::health::doctor::{self, Check, CheckOutcome, Driver};
use crate::core::health::rights::{self, Granted, Right, RulesReview};
use crate::core::health::status::{self, Backup, ClaimStatus, Protection, Read, Report, Stored};
use crate::core::kube::calls::{
    CLAIMS, CONTENTS, CRON_JOBS, CSI_DRIVERS, JOBS, Kind, LIMIT_RANGES, NAMESPACES, PODS, QUOTAS, RULES_REVIEWS,
    SNAPSHOT_CLASSES, SNAPSHOTS, VOLUMES,
};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::json;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Item, ObjectList, Pvc};
use crate::core::kube::quota::{self, Scratch};
use crate::core::retention::history::Moment;
use crate::exit::{Exit, Fail};
use crate::io::process::{Ending, ProcessError};
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
        require_exported: config.require_exported,
        export: config.export.as_ref().map(|(settings, _)| settings),
        now: now(),
        kubectl: None,
        names: None,
        granted: Granted::default(),
        lines: CheckLines(checks),
    };
    exam.names(&config.faults)?;
    if exam.lines.0.iter().all(|check| check.check != "time zone") {
        let (zone, local) = (global.zone.name(), global.zone.local(exam.now).format("%Y-%m-%d %H:%M"));
        exam.lines.push(Check::passed("time zone", format!("{zone}, where it is {local}")));
    }
    if let Some((settings, missing)) = &config.export {
        let how = format!("{} of each {}, in {}", settings.tool.word(), settings.what.word(), settings.image);
        exam.lines.push(doctor::export_settings(missing, &how));
    }
    let namespace = reporter.step("look", |step| {
        let namespace = exam.cluster(config.faults.iter().any(Fault::hides_backup), step)?;
        exam.locks()?;
        Ok((namespace, format!("{} checks", exam.lines.0.len())))
    })?;
    if let Some(fail) = wait::interrupted() {
        bail!(fail);
    }
    let count = |outcome| exam.lines.0.iter().filter(|check| check.outcome == outcome).count();
    let [passed, failed, skipped] = [CheckOutcome::Passed, CheckOutcome::Failed, CheckOutcome::Skipped].map(count);
    let summary = json!({"passed": passed, "failed": failed, "skipped": skipped});
    let result = json!({"namespace": namespace, "checks": exam.lines.0, "summary": summary});
    show(reporter, global.output, &result, || {
        format!("{}{passed} passed, {failed} failed, {skipped} skipped\n", text(&exam.lines.0))
    })?;
    if failed == 0 {
        return Ok(());
    }
    bail!(
        Fail::new(Exit::Precondition, format!("{failed} of {} checks failed", exam.lines.0.len()))
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

/// The lines of the report, as far as they are written.
#[derive(Default)]
struct CheckLines(Vec<Check>);

impl CheckLines {
    fn push(&mut self, check: Check) {
        self.0.push(check);
    }

    fn extend(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.0.extend(checks);
    }

    /// Whether a check of another database of the same server says something new: of what passed, only that the database answers.
    fn lacks(&self, check: &Check) -> bool {
        (check.outcome != CheckOutcome::Passed || check.check == "database") && !self.0.contains(check)
    }

    fn skip(&mut self, checks: &[&'static str], why: &str) {
        self.extend(checks.iter().map(|check| Check::skipped(check, why)));
    }

    /// A failure as a line, but not a signal.
    fn fail(&mut self, check: &'static str, error: impl Failure, otherwise: &str) -> Result<()> {
        self.push(failed(check, error, otherwise)?);
        Ok(())
    }
}

impl IntoIterator for CheckLines {
    type Item = Check;
    type IntoIter = std::vec::IntoIter<Check>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// What has been found so far.
struct Exam<'a> {
    global: &'a Global,
    config: &'a Create,
    /// Whether `mark-and-delete` keeps what is not exported.
    require_exported: bool,
    /// The settings of an export, if one is configured.
    export: Option<&'a ExportSettings>,
    now: DateTime<Utc>,
    /// Once the API answered.
    kubectl: Option<Kubectl>,
    /// What the snapshots would be named, where that can be.
    names: Option<Vec<String>>,
    /// What the caller may do, as far as that was asked.
    granted: Granted,
    lines: CheckLines,
}

/// The kinds that a backup does without.
const OPTIONAL: [Kind; 4] = [QUOTAS, LIMIT_RANGES, SNAPSHOT_CLASSES, CSI_DRIVERS];

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
    /// The checks of an export that need the namespace's objects, if one is configured.
    fn export_checks(&self) -> &'static [&'static str] {
        if self.export.is_some() { &doctor::EXPORT_CHECKS[1..] } else { &[] }
    }

    fn skip_namespace(&mut self, why: &str) {
        self.lines.skip(&IN_NAMESPACE, why);
        self.lines.skip(self.export_checks(), why);
    }

    /// What a backup would name its snapshots.
    fn names(&mut self, faults: &[Fault]) -> Result<()> {
        if faults.iter().any(Fault::hides_names) {
            self.lines.skip(&["names"], "see configuration");
            return Ok(());
        }
        match names(self.config, self.global, self.now) {
            Ok(names) => {
                self.lines.push(Check::passed("names", format!("a snapshot now would be {}", names.join(", "))));
                self.names = Some(names);
                Ok(())
            }
            Err(error) => self.lines.fail("names", error, ""),
        }
    }

    /// Looks at all that is in the cluster; the namespace, if there is one. `hindered` is whether a setting is wrong without which
    /// nothing can be looked for.
    fn cluster(&mut self, hindered: bool, step: &Step) -> Result<Option<String>> {
        let Some(Connection { kubectl, minor, look }) = self.connect(hindered)? else {
            self.lines.skip(&["namespace", "rights", "snapshot API"], "the API cannot be asked");
            self.skip_namespace("the API cannot be asked");
            return Ok(None);
        };
        let namespace = kubectl.target.namespace.clone();
        self.kubectl = Some(kubectl.clone());
        let Some(look) = look else {
            self.snapshot_api(&kubectl)?;
            self.lines.skip(&["namespace", "rights"], "see configuration");
            self.skip_namespace("see configuration");
            return Ok(Some(namespace));
        };
        step.progress("rights");
        let granted = self.rights(&kubectl, minor, look.rules, look.objects.is_ok())?;
        self.granted = granted.clone();
        let listed = look.objects.as_ref().map(|list| &list.items[..]).unwrap_or_default();
        let is_populated = listed.iter().any(|object| object["metadata"]["namespace"] == namespace.as_str());
        let is_served = listed.iter().any(|object| object["apiVersion"] == doctor::SNAPSHOT_API);
        if is_populated {
            let at = self.lines.0.len();
            let accepted = self.look_inside(&kubectl, &granted, look.objects, is_served, step)?;
            // In a namespace that is being deleted the API accepts no new object
            // (<https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespacelifecycle>).
            let check = match accepted && granted.may("get", "namespaces") {
                true => Check::passed("namespace", format!("{namespace} is there")),
                false => namespace_check(&kubectl, &granted)?.1,
            };
            self.lines.0.insert(at, check);
            return Ok(Some(namespace));
        }
        // The list of a namespace that is not there is empty.
        let (is_there, check) = namespace_check(&kubectl, &granted)?;
        self.lines.push(check);
        if is_there {
            self.look_inside(&kubectl, &granted, look.objects, is_served, step)?;
        } else {
            self.snapshot_api(&kubectl)?;
            self.skip_namespace(&format!("there is no namespace {namespace}"));
        }
        Ok(Some(namespace))
    }

    /// Checks the snapshot API and everything in the namespace. `is_served` is whether objects of that API were listed. Returns
    /// whether the API would accept the snapshots of a backup.
    fn look_inside(
        &mut self,
        kubectl: &Kubectl,
        granted: &Granted,
        objects: Result<ObjectList<Value>, ProcessError>,
        is_served: bool,
        step: &Step,
    ) -> Result<bool> {
        let snapshots = match is_served {
            true => {
                self.lines.push(doctor::served_snapshot_api());
                true
            }
            false => self.snapshot_api(kubectl)?,
        };
        step.progress("namespace");
        let Some(seen) = self.observe(kubectl, granted, objects, snapshots)? else { return Ok(false) };
        let claims = self.claims(kubectl, granted, &seen)?;
        step.progress("container");
        let exam = &*self;
        // Each of these takes some calls of kubectl, and none needs what another one reads.
        let [drivers, pods, snapshot, history] = thread::scope(|scope| {
            let pods = scope.spawn(|| exam.pods(kubectl, granted, &seen, &claims));
            let snapshot = scope.spawn(|| exam.snapshot(kubectl, granted, &seen, &claims, snapshots));
            let contents = scope.spawn(|| contents(kubectl, granted, &seen));
            let drivers = scope.spawn(|| exam.drivers(kubectl, granted, &seen, &claims, snapshots));
            let history = exam.history(kubectl, granted, &seen, || joined(contents));
            [joined(drivers), joined(pods), joined(snapshot), history]
        });
        let snapshot = snapshot?;
        let accepted = snapshot.0.iter().all(|check| check.outcome == CheckOutcome::Passed);
        for lines in [claims.lines, drivers?, pods?, snapshot, self.quota(kubectl, &seen), history?] {
            self.lines.extend(lines);
        }
        Ok(accepted)
    }

    /// Finds kubectl and the API; None if it does not answer. Nothing is looked at if that is `hindered`.
    fn connect(&mut self, hindered: bool) -> Result<Option<Connection>> {
        const CONTEXT: &str = "check --context and --kubeconfig: kubectl config get-contexts";
        let asked = &self.global.asked;
        let unpinned = Kubectl::unpinned(asked, self.config.secrets(), self.global.retry_timeout);
        let first = unpinned.and_then(|unpinned| self.ask_first(&unpinned, hindered));
        let (kubectl, versions, look) = match first {
            Ok(first) => first,
            Err(error) => {
                self.lines.fail("kubectl", error, CONTEXT)?;
                return Ok(None);
            }
        };
        let version = |result: &Value| git_version(result).unwrap_or("of no known version").to_string();
        match versions.kubectl {
            Ok(result) => self.lines.push(Check::passed("kubectl", version(&result))),
            Err(error) if matches!(error.ending, Ending::NotFound) => {
                self.lines.fail("kubectl", error, "")?;
                return Ok(None);
            }
            // The rest shows whether it works.
            Err(error) => self.lines.push(Check::skipped("kubectl", format!("its version is not known: {error}"))),
        }
        if let Some(preferences) = &self.global.asked.shield.preferences {
            self.lines.push(doctor::preferences(preferences));
        }
        match versions.api {
            Ok(result) => {
                self.lines.push(Check::passed("API", format!("answers, {}", version(&result))));
                let minor = result["minor"].as_str().unwrap_or_default();
                let minor = minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
                Ok(Some(Connection { kubectl, minor, look }))
            }
            Err(error) => {
                self.lines.fail("API", error, CONTEXT)?;
                Ok(None)
            }
        }
    }

    /// Asks for everything that depends on no other answer but the context, side by side, and for the versions while that is read.
    /// Each is asked for once, because a person waits for the answer that the API is away.
    fn ask_first(&self, unpinned: &Kubectl, hindered: bool) -> Result<(Kubectl, Versions, Option<FirstLook>)> {
        let once = |kubectl: &Kubectl| {
            let mut kubectl = kubectl.clone();
            kubectl.retry_timeout = Duration::ZERO;
            kubectl
        };
        thread::scope(|scope| {
            let versions = scope.spawn(|| Versions::ask(&once(unpinned)));
            let kubectl = unpinned.pin(&self.global.asked)?;
            let look = (!hindered).then(|| {
                let kubectl = &once(&kubectl);
                thread::scope(|scope| {
                    let places = self.places(kubectl).into_iter();
                    let rules = places.map(|namespace| scope.spawn(move || rules_of(kubectl, &namespace)));
                    let rules = rules.collect::<Vec<_>>();
                    let objects = kubectl.all(&self.kinds());
                    FirstLook { rules: rules.into_iter().map(joined).collect(), objects }
                })
            });
            Ok((kubectl, joined(versions), look))
        })
    }

    /// All kinds that are looked at. Of those of the whole cluster there are only a few objects.
    fn kinds(&self) -> Vec<Kind> {
        let in_namespace = [CLAIMS, PODS, CRON_JOBS, JOBS].into_iter().chain(self.workloads());
        in_namespace.chain([SNAPSHOTS, QUOTAS, LIMIT_RANGES, SNAPSHOT_CLASSES, CSI_DRIVERS]).collect()
    }

    /// The namespaces in which rights are needed: that of the target, and that of the Leases.
    fn places(&self, kubectl: &Kubectl) -> Vec<String> {
        let leases = match &self.config.locks {
            Some(NodeLocks::Lease(locks)) => Some(locks.namespace.clone()),
            _ => None,
        };
        [kubectl.target.namespace.clone()].into_iter().chain(leases).collect()
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

    /// What the caller may do: by the rules of each of [`Exam::places`], and where they do not decide it, asked for in one more
    /// process. `all_listed` is whether every one of [`Exam::kinds`] could be listed.
    fn rights(
        &mut self,
        kubectl: &Kubectl,
        minor: Option<u32>,
        rules: Vec<Result<RulesReview, ProcessError>>,
        all_listed: bool,
    ) -> Result<Granted> {
        let exec = !self.config.databases.is_empty() || self.hooked() || self.export.is_some();
        let mut rights = rights::rights(&self.workloads(), exec, minor);
        if self.export.is_some() {
            rights.extend(rights::export_rights());
        }
        let by_place = [rights.clone(), rights::lease_rights(&lease::VERBS)];
        match ask_rights(kubectl, &self.places(kubectl), &by_place, rules, all_listed) {
            Ok(granted) => {
                self.lines.extend(granted.checks(&rights));
                if self.config.events {
                    self.lines.push(match granted.may("create", "events") {
                        true => Check::passed("rights", "may create events"),
                        // It does not affect backups.
                        false => Check::skipped("rights", "may not create events: backups leave none on the PVC"),
                    });
                }
                Ok(granted)
            }
            Err(error) if error.is(Refusal::Forbidden) => {
                self.lines.skip(&["rights"], "may not ask what is allowed (create selfsubjectaccessreviews)");
                Ok(Granted::default())
            }
            Err(error) => {
                self.lines.fail("rights", error, "see kubectl auth can-i --list")?;
                Ok(Granted::default())
            }
        }
    }

    /// Whether VolumeSnapshots can be asked for.
    fn snapshot_api(&mut self, kubectl: &Kubectl) -> Result<bool> {
        match judge_snapshot_api(kubectl) {
            Ok(check) => {
                let there = check.outcome == CheckOutcome::Passed;
                self.lines.push(check);
                Ok(there)
            }
            Err(error) => {
                const REMEDY: &str = "see kubectl api-resources --api-group=snapshot.storage.k8s.io";
                self.lines.fail("snapshot API", error, REMEDY)?;
                Ok(false)
            }
        }
    }

    /// What was read of the namespace. If `first`, which reads all kinds, failed, only those are read that are there and allowed.
    fn observe(
        &mut self,
        kubectl: &Kubectl,
        granted: &Granted,
        first: Result<ObjectList<Value>, ProcessError>,
        snapshots: bool,
    ) -> Result<Option<NamespaceFindings>> {
        let mut kinds = self.kinds();
        let may = |kind: &Kind| *kind == CSI_DRIVERS || granted.may("list", kind.plural);
        kinds.retain(|kind| (snapshots || *kind != SNAPSHOTS) && may(kind));
        let read = first.map(|list| (list, kinds.clone())).or_else(|error| {
            // The whole cluster's are got one by one; and where no right is known, a backup needs no quota.
            let optional = if granted.is_known() { &[SNAPSHOT_CLASSES, CSI_DRIVERS][..] } else { &OPTIONAL };
            kinds.retain(|kind| !optional.contains(kind));
            match &kinds[..] {
                _ if error.is_signal() => Err(error),
                [] => Ok((ObjectList { items: Vec::new() }, Vec::new())),
                kinds => Ok((kubectl.all(kinds)?, kinds.to_vec())),
            }
        });
        match read {
            Ok((_, kinds)) if kinds.is_empty() => {
                self.skip_namespace("nothing in the namespace may be listed");
                Ok(None)
            }
            Ok((list, kinds)) => Ok(Some(NamespaceFindings::of(list.items, kinds))),
            Err(error) => {
                self.lines.fail("claim", error, "see kubectl get persistentvolumeclaims,pods")?;
                self.lines.skip(&IN_NAMESPACE[1..], "the namespace cannot be read");
                self.lines.skip(self.export_checks(), "the namespace cannot be read");
                Ok(None)
            }
        }
    }

    /// The claims and their drivers.
    fn claims<'c>(
        &'c self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
    ) -> Result<ClaimFindings<'c>> {
        let mut found = ClaimFindings { holder_is_there: true, lines: CheckLines::default(), drivers: BTreeMap::new() };
        if !seen.has(CLAIMS) {
            found.lines.skip(&["claim"], "may not list persistentvolumeclaims");
            return Ok(found);
        }
        let namespace = &kubectl.target.namespace;
        for pvc in &self.config.pvcs {
            let claim = match find_lasting(namespace, pvc, &seen.namespace_objects.claims) {
                Ok(claim) => claim,
                Err(error) => {
                    found.lines.fail("claim", error, "")?;
                    found.holder_is_there &= self.config.pvcs.first() != Some(pvc);
                    continue;
                }
            };
            found.lines.push(match driver(kubectl, granted, claim)? {
                Driver::Csi(driver) => {
                    let check = Check::passed("claim", format!("{pvc} is bound, of the driver {driver}"));
                    found.drivers.entry(driver).or_default().push(pvc);
                    check
                }
                Driver::Other(kind) => Check::failed(
                    "claim",
                    format!("the volume of the PVC '{pvc}' has no CSI driver ({kind}), and so no snapshots"),
                    "move the data to a claim whose StorageClass is of a CSI driver that can snapshot",
                ),
                Driver::Unknown => Check::passed("claim", format!("{pvc} is bound, its driver is not known")),
            });
        }
        Ok(found)
    }

    /// Whether the drivers of the claims are there, and the VolumeSnapshotClass of each.
    fn drivers(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        claims: &ClaimFindings<'_>,
        snapshots: bool,
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        if !seen.has(CLAIMS) {
            lines.skip(&["driver", "class"], "may not list persistentvolumeclaims");
            return Ok(lines);
        }
        let unseen = match &self.config.class {
            Some(class) => {
                format!("may not list volumesnapshotclasses: whether there is a {class} is unknown")
            }
            None => "may not list volumesnapshotclasses".into(),
        };
        let why = match () {
            () if !snapshots => "there is no snapshot API",
            () if !granted.may("list", "volumesnapshotclasses") => &unseen,
            () if claims.drivers.is_empty() => "no driver is known",
            () => "",
        };
        lines.extend(self.registered(kubectl, granted, seen, &claims.drivers)?);
        if !why.is_empty() {
            lines.skip(&["class"], why);
            return Ok(lines);
        }
        let classes = match seen.has(SNAPSHOT_CLASSES) {
            true => Ok(seen.classes.clone()),
            false => {
                let list = kubectl.json::<ObjectList<Value>>(&kubectl.target.list(SNAPSHOT_CLASSES, ""));
                list.map(|list| list.items)
            }
        };
        match classes {
            Ok(classes) => {
                let named = self.config.class.as_deref();
                lines.extend(claims.drivers.keys().flat_map(|driver| doctor::class(named, driver, &classes)));
            }
            Err(error) if error.is(Refusal::Forbidden) => lines.skip(&["class"], &unseen),
            Err(error) => lines.fail("class", error, "see kubectl get volumesnapshotclasses")?,
        }
        Ok(lines)
    }

    /// Whether these drivers, each of some claims, are there.
    fn registered(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        drivers: &BTreeMap<String, Vec<&str>>,
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        if !granted.may("get", CSI_DRIVERS.plural) {
            lines.skip(&["driver"], "may not get csidrivers");
            return Ok(lines);
        }
        for (driver, pvcs) in drivers {
            let registered = match seen.has(CSI_DRIVERS) {
                true => Ok(seen.csi_drivers.iter().any(|registered| registered == driver)),
                false => match kubectl.get::<Value>(CSI_DRIVERS, driver) {
                    Ok(_) => Ok(true),
                    Err(error) if error.is(Refusal::NotFound) => Ok(false),
                    Err(error) => Err(error),
                },
            };
            match registered {
                Ok(true) => lines.push(Check::passed("driver", format!("{driver} is registered"))),
                Ok(false) => {
                    lines.push(doctor::no_driver(driver, pvcs, &seen.namespace_objects.snapshots, self.now));
                }
                Err(error) if error.is(Refusal::Forbidden) => {
                    lines.skip(&["driver"], "may not get csidrivers");
                    break;
                }
                Err(error) => lines.fail("driver", error, "see kubectl get csidrivers")?,
            }
        }
        Ok(lines)
    }

    /// The pod of each database, and what its container says; or the pods that are flushed in.
    fn pods(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        claims: &ClaimFindings<'_>,
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        if !claims.holder_is_there {
            lines.skip(&["pod", "container"], "see claim");
            return Ok(lines);
        }
        let missing = [PODS].into_iter().chain(self.workloads()).find(|kind| !seen.has(*kind));
        if let Some(kind) = missing {
            lines.skip(&["pod", "container"], &format!("may not list {}", kind.name()));
            return Ok(lines);
        }
        let holder = self.config.pvcs.first().map(String::as_str).unwrap_or_default();
        if self.config.databases.is_empty() {
            let (all, pods) = (&self.config.pvcs, &seen.namespace_objects.pods);
            let mounters: Vec<Chosen> = all.iter().flat_map(|pvc| pod::mounters(pvc, pods)).collect();
            let may = granted.may("create", "pods/exec");
            lines.push(doctor::flushed(&all.join(", "), &mounters, self.hooked(), may));
            lines.skip(&["container"], "no database is dumped (BAK_DB_SKIP)");
            return Ok(lines);
        }
        // Of all servers together, as a backup needs it.
        let mut room = (Vec::new(), u64::MAX);
        for database in &self.config.databases {
            let chosen = match choose(&seen.namespace_objects, &kubectl.target.namespace, database, holder) {
                Ok(chosen) => chosen,
                Err(error) => {
                    lines.fail("pod", error, "")?;
                    lines.skip(&["container"], &format!("there is no pod for {}", database.engine));
                    continue;
                }
            };
            let Chosen { pod, container, .. } = &chosen;
            let kind = if seen.is_native_sidecar(pod, container) { "native sidecar" } else { "container" };
            lines.push(Check::passed("pod", format!("{pod} is ready, its {kind} {container} mounts {holder}")));
            if !granted.may("create", "pods/exec") {
                lines.skip(&["container"], "may not create pods/exec");
                continue;
            }
            lines.extend(self.container(kubectl, database, &chosen, holder, &mut room)?);
        }
        if let Err(problem) = preflight::check_room(&room.0, room.1) {
            lines.push(Check::failed("space", problem.what, problem.remedy));
        }
        Ok(lines)
    }

    /// Looks into the container of a database as a backup does. `room` collects the sizes of the last dumps and the least free space.
    fn container(
        &self,
        kubectl: &Kubectl,
        database: &Database,
        chosen: &Chosen,
        holder: &str,
        room: &mut (Vec<u64>, u64),
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        let rules = DumpRules {
            pvc: holder,
            threshold_percent: self.config.threshold_percent,
            busy_timeout: self.config.busy_timeout,
            dump_timeout: self.config.dump_timeout,
            holder: &self.global.holder,
            nonce: &random::nonce(),
        };
        let first = with_dump_file(kubectl, database, chosen, rules.nonce);
        let all = match first.and_then(|first| databases::one_per_database(kubectl, &first, chosen, rules.nonce)) {
            Ok(all) => all,
            Err(error) => {
                lines.fail("container", error, "see kubectl describe pod")?;
                return Ok(lines);
            }
        };
        for (at, database) in all.iter().enumerate() {
            match self.preflight(kubectl, database, chosen, rules) {
                Ok((report, site, checks)) => {
                    room.0.push(report.old_bytes.unwrap_or_default());
                    room.1 = room.1.min(site.map_or(u64::MAX, |site| site.available_bytes));
                    let name = &database.database;
                    let others = checks.into_iter().filter(|check| at == 0 || lines.lacks(check));
                    let named = |check: Check| match check.outcome {
                        CheckOutcome::Failed if at > 0 => {
                            Check { what: format!("database {name}: {}", check.what), ..check }
                        }
                        _ => check,
                    };
                    let checks: Vec<Check> = others.map(named).collect();
                    lines.extend(checks);
                }
                Err(error) => lines.fail("container", error, "see kubectl describe pod")?,
            }
        }
        Ok(lines)
    }

    /// The very session that a backup of this database begins with; it ends before anything is made.
    fn preflight(
        &self,
        kubectl: &Kubectl,
        database: &Database,
        chosen: &Chosen,
        rules: DumpRules<'_>,
    ) -> Result<(PreflightReport, Option<Site>, Vec<Check>)> {
        let script = dump::SessionScript::of(container::dump(database.engine));
        let (mut session, report) = dump::run_preflight(kubectl, database, chosen, rules, script)?;
        let judged = rules.assess(&report, database, chosen);
        let free = judged.as_ref().map(|site| report::bytes(site.available_bytes)).unwrap_or_default();
        let found = judged.as_ref().map_err(Vec::as_slice);
        let mut checks = doctor::container(&report, database.engine, found, rules.threshold_percent, &free);
        let said = if judged.is_err() { session.last_words() } else { String::new() };
        // What the client says names the reason.
        let failed = checks.iter_mut().find(|it| it.check == "database" && it.outcome == CheckOutcome::Failed);
        if let Some(check) = failed.filter(|_| !said.is_empty()) {
            let said = kubectl.secrets.mask(&said);
            check.what = format!("{} (the container says: {said})", check.what);
        }
        Ok((report, judged.ok(), checks))
    }

    /// What the API says of the VolumeSnapshots that a backup would make; it makes none.
    fn snapshot(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        claims: &ClaimFindings<'_>,
        api: bool,
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        let why = match &self.names {
            _ if !api => "there is no snapshot API",
            _ if !granted.may("create", "volumesnapshots") => "may not create volumesnapshots",
            _ if claims.lines.0.iter().any(|check| check.outcome != CheckOutcome::Passed) => "see claim",
            None => "see names",
            Some(_) => "",
        };
        let Some(names) = self.names.clone().filter(|_| why.is_empty()) else {
            lines.skip(&["snapshot"], why);
            return Ok(lines);
        };
        let of = |pvc: &String| seen.namespace_objects.claims.iter().find(|claim| claim.metadata.name == *pvc);
        let claims: Vec<ClaimTemplate> = self.config.pvcs.iter().filter_map(of).map(ClaimTemplate::of).collect();
        let run = self.config.run_id.clone().unwrap_or_else(random::nonce);
        let (config, now, zone) = (self.config, self.now, self.global.zone);
        let cut = SnapshotSet { kubectl, config, now, zone, run, names, claims: &claims };
        match cut.dry_run(&cut.planned(&[], &seen.namespace_objects.snapshots)) {
            Ok(None) => {}
            Ok(Some(words)) => {
                lines.skip(&["snapshot"], &format!("the API cannot tell beforehand: {words}"));
                return Ok(lines);
            }
            Err(error) => {
                lines.fail("snapshot", snapshots::refused(&error), "")?;
                return Ok(lines);
            }
        }
        let each = match cut.names.len() {
            1 => "",
            _ => ", each by itself",
        };
        lines.push(Check::passed("snapshot", format!("the API would take {}{each}", cut.names.join(", "))));
        Ok(lines)
    }

    /// Whether quotas and limits leave room for the snapshots of a backup, and for the pod of a restore test.
    fn quota(&self, kubectl: &Kubectl, seen: &NamespaceFindings) -> CheckLines {
        let mut lines = CheckLines::default();
        if let Some(kind) = [QUOTAS, LIMIT_RANGES].into_iter().find(|kind| !seen.has(*kind)) {
            lines.skip(&["quota"], &format!("may not list {}", kind.plural));
            return lines;
        }
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
            Scratch { resources: &resources, storage, class }.refused(&seen.quotas, &seen.ranges)
        });
        let snapshots = self.config.pvcs.len();
        // One was tried just now; each of several was tried by itself.
        let short = quota::too_small_for(&seen.quotas, snapshots).filter(|_| snapshots > 1);
        lines.extend(doctor::quota(short, snapshots, &refused.unwrap_or_default()));
        lines
    }

    /// What earlier backups, restores and tests left, and what makes backups.
    fn history(
        &self,
        kubectl: &Kubectl,
        granted: &Granted,
        seen: &NamespaceFindings,
        contents: impl FnOnce() -> Result<Option<Vec<Stored>>, ProcessError>,
    ) -> Result<CheckLines> {
        let mut lines = CheckLines::default();
        let (namespace, pvcs) = (&kubectl.target.namespace, &self.config.pvcs);
        let maps = match granted.may("get", "configmaps") {
            true => config_maps(kubectl, &[&seen.schedules[..], &seen.exports].concat())?,
            false => None,
        };
        match seen.has(CRON_JOBS) {
            true => {
                let unmade = self.unmade(kubectl, granted, seen)?;
                let (plans, started, maps) = (&seen.schedules, (&seen.pods[..], &seen.jobs[..]), maps.as_ref());
                lines.extend(doctor::schedules(plans, started, maps, namespace, pvcs, &unmade, self.now));
            }
            false => lines.skip(&["schedule"], "may not list cronjobs"),
        }
        let contents = match contents() {
            // The other kinds of the snapshot API are there.
            Err(error) if [Refusal::NotFound, Refusal::UnknownKind].contains(&error.refusal()) => {
                lines.push(judge_snapshot_api(kubectl)?);
                None
            }
            contents => contents?,
        };
        if seen.has(SNAPSHOTS) {
            let report = self.report(namespace, seen, contents, maps);
            lines.extend(doctor::history(&report, &seen.namespace_objects.snapshots, namespace, pvcs));
            lines.push(doctor::controller(&seen.namespace_objects.snapshots, namespace, self.now));
            lines.push(doctor::stored_data(&report));
            lines.push(doctor::deletions(&report));
            let is_exported = |claim: &Protection| claim.late_export.is_some() || claim.newest_exported.is_some();
            if self.export.is_some() || report.claims.iter().any(is_exported) {
                lines.extend(doctor::last_export(&report, namespace, pvcs));
            }
        } else {
            lines.skip(
                &["last backup", "controller", "stored data", "deletions", "restores"],
                "may not list volumesnapshots, or there are none",
            );
        }
        if let Some(export) = self.export {
            lines.push(self.export_secret(kubectl, granted, export)?);
        }
        match seen.has(JOBS) {
            true => lines.push(doctor::trials(&seen.jobs, namespace, self.now)),
            false => lines.skip(&["restore tests"], "may not list jobs"),
        }
        Ok(lines)
    }

    /// Whether the Secret of an export is there; its data is not read.
    fn export_secret(&self, kubectl: &Kubectl, granted: &Granted, export: &ExportSettings) -> Result<Check> {
        let (namespace, name) = (&kubectl.target.namespace, export.secret.as_deref());
        let may = granted.may("get", "secrets");
        let found = match name.filter(|_| may) {
            None => None,
            Some(name) => match kubectl.is_secret(name) {
                Ok(found) => Some(found),
                Err(error) if error.is(Refusal::Forbidden) => None,
                Err(error) => return failed("export secret", error, "see kubectl get secrets"),
            },
        };
        Ok(doctor::export_secret(name, found, namespace))
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
        namespace: &str,
        seen: &NamespaceFindings,
        contents: Option<Vec<Stored>>,
        config_maps: Option<ConfigMaps>,
    ) -> Report {
        let snapshots: Vec<Backup> = seen.namespace_objects.snapshots.iter().cloned().map(Backup::from).collect();
        let covers = |other: &str| other == namespace;
        // The snapshots were read before: what was made meanwhile is no orphan.
        let leftovers = contents.map(|contents| {
            let mut found = status::leftovers(contents, &snapshots, covers);
            found.orphans.retain(|orphan| orphan.bound < self.now);
            found.superfluous.retain(|one| one.content.bound < self.now);
            found
        });
        let claims = seen.namespace_objects.claims.iter().cloned().map(ClaimStatus::from).collect();
        let (schedules, exports) = (seen.schedules.clone(), seen.exports.clone());
        let require_exported = self.require_exported;
        let read =
            Read { snapshots, claims, leftovers, schedules, exports, config_maps, require_exported, ..Read::default() };
        let ready_timeout = self.config.ready_timeout;
        status::report(read, &Moment { now: self.now, zone: self.global.zone, ready_timeout })
    }

    /// The node's locks, where this is the node; Leases wherever it is.
    fn locks(&mut self) -> Result<()> {
        let checked = match (&self.config.locks, &self.kubectl) {
            (None, _) => {
                self.lines.skip(&["locks"], "no lock is configured (BAK_LOCK, BAK_FLOCK)");
                return Ok(());
            }
            (Some(NodeLocks::Flock(locks)), _) => locks.check().map_err(anyhow::Error::from),
            (Some(NodeLocks::Lease(_)), None) => {
                self.lines.skip(&["locks"], "the API cannot be asked");
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
            Ok(what) => self.lines.push(Check::passed("locks", what)),
            Err(error) => self.lines.fail("locks", error, "see docs/locks.md")?,
        }
        Ok(())
    }
}

/// An API that answers.
struct Connection {
    kubectl: Kubectl,
    /// The minor version of the server.
    minor: Option<u32>,
    /// None if a setting is wrong without which nothing can be looked for.
    look: Option<FirstLook>,
}

/// What a look at a namespace begins with, asked for before it is known whether the API answers and what the caller may do.
struct FirstLook {
    /// The rules in each of [`Exam::places`].
    rules: Vec<Result<RulesReview, ProcessError>>,
    /// The objects of [`Exam::kinds`].
    objects: Result<ObjectList<Value>, ProcessError>,
}

/// The claims of a backup.
struct ClaimFindings<'a> {
    /// Whether a dump may have its claim.
    holder_is_there: bool,
    /// The claims of each CSI driver.
    drivers: BTreeMap<String, Vec<&'a str>>,
    /// Their lines in the report.
    lines: CheckLines,
}

/// What was read of the namespace, and of the cluster around it.
struct NamespaceFindings {
    /// The kinds that were read.
    kinds: Vec<Kind>,
    namespace_objects: NamespaceObjects,
    schedules: Vec<Schedule>,
    /// The CronJobs that export backups.
    exports: Vec<Schedule>,
    jobs: Vec<Value>,
    pods: Vec<Value>,
    quotas: Vec<Value>,
    ranges: Vec<Value>,
    /// The VolumeSnapshotClasses.
    classes: Vec<Value>,
    /// The names of the CSIDrivers.
    csi_drivers: Vec<String>,
}

impl NamespaceFindings {
    fn of(items: Vec<Value>, kinds: Vec<Kind>) -> NamespaceFindings {
        let of_kind = |kind: &str| items.iter().filter(|item| item["kind"] == kind).cloned().collect::<Vec<_>>();
        let cron_jobs = of_kind("CronJob");
        let schedules = cron_jobs.iter().filter_map(Schedule::of).collect();
        let exports = cron_jobs.iter().filter_map(Schedule::of_exports).collect();
        let csi_drivers = of_kind("CSIDriver").iter().map(|driver| json::name(driver).to_string()).collect();
        let [jobs, pods, quotas, ranges, classes] =
            ["Job", "Pod", "ResourceQuota", "LimitRange", "VolumeSnapshotClass"].map(of_kind);
        // What cannot be read as its kind is of no use to a backup either.
        let objects = items.into_iter().filter_map(|item| serde_json::from_value::<Item>(item).ok());
        let namespace_objects = NamespaceObjects::of(objects);
        NamespaceFindings {
            kinds,
            namespace_objects,
            schedules,
            exports,
            jobs,
            pods,
            quotas,
            ranges,
            classes,
            csi_drivers,
        }
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

/// Waits for a thread, and panics if it did.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The check that a failure makes fail; a signal is passed on.
fn failed(check: &'static str, error: impl Failure, otherwise: &str) -> Result<Check> {
    let fail = error.fail();
    if error.is_signal() {
        bail!(fail);
    }
    let remedy = if fail.remedy.is_empty() { otherwise.to_string() } else { fail.remedy };
    Ok(Check::failed(check, fail.what, remedy))
}

/// Whether the namespace is there, as far as one may know, and the check of that.
fn namespace_check(kubectl: &Kubectl, granted: &Granted) -> Result<(bool, Check)> {
    const OTHER: &str = "name another with -n (BAK_NAMESPACE)";
    let name = &kubectl.target.namespace;
    let unknown = || Check::skipped("namespace", "may not get namespaces");
    if !granted.may("get", "namespaces") {
        return Ok((true, unknown()));
    }
    Ok(match kubectl.get::<Value>(NAMESPACES, name) {
        Ok(namespace) if namespace["metadata"]["deletionTimestamp"].is_null() => {
            (true, Check::passed("namespace", format!("{name} is there")))
        }
        Ok(_) => (true, Check::failed("namespace", format!("{name} is being deleted"), OTHER)),
        Err(error) if error.is(Refusal::NotFound) => {
            let remedy = format!("{OTHER}; kubectl get namespaces shows them");
            (false, Check::failed("namespace", format!("there is no namespace {name}"), remedy))
        }
        Err(error) if error.is(Refusal::Forbidden) => (true, unknown()),
        Err(error) => (true, failed("namespace", error, "see kubectl get namespace")?),
    })
}

/// Checks the snapshot API.
fn judge_snapshot_api(kubectl: &Kubectl) -> Result<Check, ProcessError> {
    let find = |version: &str| match kubectl.json::<Value>(&kubectl.target.snapshot_kinds(version)) {
        Ok(found) => Ok(Some(found)),
        Err(error) if [Refusal::NotFound, Refusal::UnknownKind].contains(&error.refusal()) => Ok(None),
        Err(error) => Err(error),
    };
    match find("/v1")? {
        Some(kinds) => Ok(doctor::snapshot_api(Some(&kinds), None)),
        None => Ok(doctor::snapshot_api(None, find("")?.as_ref())),
    }
}

/// The rules of the caller in a namespace.
fn rules_of(kubectl: &Kubectl, namespace: &str) -> Result<RulesReview, ProcessError> {
    let answer = kubectl.create::<Value>(&kubectl.target.create(RULES_REVIEWS), &rights::rules_review(namespace))?;
    Ok(RulesReview::of(&answer))
}

/// What the caller may do: by the rules of each of `places`, and where they do not decide it, by an answer for each right, all in
/// one more process. `wanted` are the rights in each of the places.
fn ask_rights(
    kubectl: &Kubectl,
    places: &[String],
    wanted: &[Vec<Right>],
    rules: Vec<Result<RulesReview, ProcessError>>,
    all_listed: bool,
) -> Result<Granted, ProcessError> {
    let mut reviews = Vec::new();
    for ((namespace, rights), rules) in places.iter().zip(wanted).zip(rules) {
        let rules = match rules {
            Ok(rules) => rules,
            Err(error) if error.is(Refusal::Transient) => rules_of(kubectl, namespace)?,
            Err(error) if error.is(Refusal::Forbidden) => RulesReview::default(),
            Err(error) => return Err(error),
        };
        reviews.extend(
            rules.undecided(rights, namespace, all_listed).into_iter().map(|right| rights::review(right, namespace)),
        );
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews}).to_string();
    let answers = match &reviews[..] {
        [] => Vec::new(),
        _ => kubectl.patiently(|| {
            kubectl.once(kubectl.target.review(), &list, |stdout| {
                let answers = serde_json::Deserializer::from_reader(stdout).into_iter::<Value>();
                Ok(answers.collect::<Result<Vec<Value>, _>>()?)
            })
        })?,
    };
    Ok(Granted::of(wanted.iter().take(places.len()).flatten(), &answers))
}

/// The driver of a claim. Its volume is asked only where the claim does not say who made it.
fn driver(kubectl: &Kubectl, granted: &Granted, claim: &Pvc) -> Result<Driver> {
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

/// The stored data of the cluster, if it may be listed. It is read after the snapshots: one that is deleted meanwhile leaves no
/// content that seems to be without its snapshot.
fn contents(
    kubectl: &Kubectl,
    granted: &Granted,
    seen: &NamespaceFindings,
) -> Result<Option<Vec<Stored>>, ProcessError> {
    if !seen.has(SNAPSHOTS) || !granted.may("list", CONTENTS.plural) {
        return Ok(None);
    }
    match kubectl.pages(|next| kubectl.target.page(CONTENTS, None, "", next), Stored::of, |_| ()) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.is(Refusal::Forbidden) => Ok(None),
        Err(error) => Err(error),
    }
}
