//! `restore`: a claim from a snapshot, beside the old one, in another namespace, or in its place.

use std::cell::Cell;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cluster::delete_snapshot;
use crate::cluster::dry_run;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::{self, Kubectl};
use crate::cluster::refusal::Refusal;
use crate::cluster::restore_in_place::{self, InPlace};
use crate::cmd::show::{print, yaml};
use crate::cmd::{Context, now};
use crate::config::{Global, Output, Restore, Way};
use crate::core::escape;
use crate::core::kube::calls::{CLAIMS, CONTENTS, NAMESPACES, Next, SNAPSHOTS, STORAGE_CLASSES, delete_options};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::labels;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{Content, Meta, ObjectList, Pvc, Readiness, Snapshot};
use crate::core::plan::{self, PlanStep};
use crate::core::restore::clone;
use crate::core::restore::in_place::{self, Continuation, Hindrance, Journal};
use crate::core::restore::new_claim::{self, StorageClass};
use crate::core::restore::server_version;
use crate::exit::{Exit, Fail};
use crate::io::confirm;
use crate::io::random;
use crate::io::report::{self, Reporter};
use crate::io::wait;

/// Restores one snapshot.
///
/// # Errors
/// As the exit codes say. Beside the old claim nothing that was there is touched; in its place a failure says how things
/// stand and how to go on.
pub fn run(global: &Global, config: &Restore, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    match config.way {
        Way::Beside => context.beside(),
        Way::InPlace | Way::RollBack => context.in_place(),
    }
}

/// A claim to be made, and what has to be there before it.
struct PlannedClaim {
    /// kubectl for the claim's namespace.
    kubectl: Kubectl,
    /// The claim's name.
    name: String,
    /// The claim.
    claim: Value,
    /// For a clone: the content and the VolumeSnapshot that bring the data into the namespace.
    bridge: Option<(Value, Value)>,
    /// What the claim is taken to be like, where nothing tells.
    assumed: Option<String>,
}

impl Context<'_, Restore> {
    fn beside(&self) -> Result<()> {
        let (snapshot, planned) = self.reporter.step("observe", |_| {
            let snapshot = self.snapshot()?;
            let planned = self.plan(&snapshot)?;
            let what = format!(
                "{} is ready, size {}",
                self.config.snapshot,
                snapshot.status.restore_size.clone().unwrap_or_else(|| "?".into())
            );
            Ok(((snapshot, planned), what))
        })?;
        warn_of(&snapshot);
        if let Some(assumed) = &planned.assumed {
            tracing::warn!("nothing tells what the claim was like; assumed: {assumed}");
        }
        if self.global.output == Output::Yaml {
            return self.print_manifests(&planned);
        }
        if self.global.dry_run {
            let steps = planned.steps();
            let result = json!({
                "dryRun": true, "namespace": planned.kubectl.target.namespace, "pvc": planned.name, "steps": steps,
                "assumed": planned.assumed,
            });
            return self.show(&result, || {
                format!(
                    "Dry run: nothing was changed. PVC {} in {}:\n{}",
                    planned.name,
                    planned.kubectl.target.namespace,
                    plan::text(&steps)
                )
            });
        }
        if let Some((content, bridge)) = &planned.bridge {
            self.reporter.step("bridge", |_| self.bridge(&planned, content, bridge))?;
        }
        let made = self.reporter.step("claim", |_| self.claim(&planned, &snapshot))?;
        let bound = match self.config.wait {
            true => Some(self.reporter.step("bound", |step| {
                let word = restore_in_place::await_bound(&planned.kubectl, &planned.name, self.config.timeout, step)?;
                Ok((word.clone(), word))
            })?),
            false => None,
        };
        if planned.bridge.is_some() && bound.as_deref() == Some("bound") {
            self.reporter.step("clean up", |_| self.take_bridge_away(&planned, &snapshot))?;
        }
        self.summary(&planned, &snapshot, made, bound.as_deref())
    }

    /// The snapshot, ready.
    fn snapshot(&self) -> Result<Snapshot> {
        let (name, namespace) = (&self.config.snapshot, &self.kubectl.target.namespace);
        let snapshot = self.kubectl.find::<Snapshot>(SNAPSHOTS, name)?;
        let snapshot = snapshot.ok_or_else(|| no_snapshot(namespace, name))?;
        let not_ready = |why: String| {
            Fail::new(Exit::Snapshot, format!("no volume can be made from VolumeSnapshot {name}: {why}"))
                .remedy(format!("see kubectl describe volumesnapshot {name} -n {namespace}; backup-ns list -n {namespace} shows others"))
        };
        match snapshot.readiness() {
            _ if snapshot.metadata.deletion_timestamp.is_some() => bail!(not_ready("it is being deleted".into())),
            Readiness::Ready => Ok(snapshot),
            Readiness::Failed(why) => bail!(not_ready(why)),
            Readiness::Pending | Readiness::Cut => bail!(not_ready("it is not ready yet".into())),
        }
    }

    fn plan(&self, snapshot: &Snapshot) -> Result<PlannedClaim> {
        let source = new_claim::of_claim(snapshot);
        let living = match &source {
            Some(source) => self.kubectl.find(CLAIMS, source)?,
            None => None,
        };
        let (mut template, assumed) = match new_claim::template(snapshot, living.as_ref()) {
            Some(template) => (template, None),
            None => self.assume(snapshot, source).map(|(template, assumed)| (template, Some(assumed)))?,
        };
        if let Some(class) = &self.config.storage_class {
            // The attributes are of the old class's driver.
            if template.storage_class_name.as_ref() != Some(class) {
                template.volume_attributes_class_name = None;
            }
            template.storage_class_name = Some(class.clone());
        }
        dry_run::check_class(&self.kubectl, &template)?;
        let elsewhere = self.config.to_namespace.as_ref().filter(|to| **to != self.kubectl.target.namespace);
        let kubectl = elsewhere.map_or_else(|| self.kubectl.clone(), |to| self.kubectl.in_namespace(to));
        if elsewhere.is_some() {
            check_namespace(&kubectl)?;
        }
        let name = match &self.config.pvc {
            Some(name) => name.clone(),
            // The same call again means the same claim; a claim in use is never taken for the copy.
            None => match kubectl.find::<Pvc>(CLAIMS, &template.name)? {
                Some(there) if there.status.phase == "Bound" || !new_claim::is_from(&there, snapshot) => {
                    snapshot.metadata.name.clone()
                }
                _ => template.name.clone(),
            },
        };
        Context { kubectl: kubectl.clone(), ..*self }.check_not_begun(&name, snapshot)?;
        let bridge = match elsewhere {
            Some(to) => {
                let content = self.content(snapshot)?;
                Some(clone::clone(snapshot, &content, to).map_err(|why| Fail::new(Exit::Precondition, why))?)
            }
            None => None,
        };
        let claim = new_claim::claim(&template, &name, &kubectl.target.namespace, &snapshot.metadata.name, snapshot);
        Ok(PlannedClaim { kubectl, name, claim, bridge, assumed })
    }

    /// Refuses a claim that an in-place restore of another snapshot is to make: that restore could then not be finished. Without
    /// the right to list snapshots this check is left out.
    fn check_not_begun(&self, claim: &str, snapshot: &Snapshot) -> Result<()> {
        let namespace = Some(self.kubectl.target.namespace.as_str());
        let page = |next: &Next| self.kubectl.target.page(SNAPSHOTS, namespace, "", next);
        let keep = |other: Snapshot| {
            let begun = in_place::journal(&other).is_some_and(|journal| journal.claim.name == claim);
            (begun && other.metadata.uid != snapshot.metadata.uid).then_some(other.metadata.name)
        };
        let begun = self.kubectl.pages(page, keep, |_| ()).map_err(anyhow::Error::from);
        match if_allowed(begun)?.unwrap_or_default().first() {
            Some(other) => bail!(self.begun(other, claim)),
            None => Ok(()),
        }
    }

    /// What the claim is taken to be like where nothing tells, and the same in words. Without the right to read the content or
    /// the classes goes on without.
    fn assume(&self, snapshot: &Snapshot, source: Option<String>) -> Result<(ClaimTemplate, String)> {
        let (target, Meta { name, .. }) = (&self.kubectl.target, &snapshot.metadata);
        let Some(claim) = self.config.pvc.clone().or(source) else {
            let guess = new_claim::guessed_claim(snapshot);
            bail!(Fail::new(Exit::Precondition, format!("the claim of VolumeSnapshot {name} is unknown")).remedy(
                format!(
                    "name the claim: {} --pvc {guess}; the snapshot's name and age may show which it is (docs/recovery.md, \"Data \
                     without labels\"); apply no workload before that is done, it would make an empty claim",
                    self.command(name)
                ),
            ));
        };
        let content = snapshot.status.bound_volume_snapshot_content_name.as_deref().unwrap_or_default();
        let content = if_allowed(self.kubectl.find::<Content>(CONTENTS, content))?.flatten();
        let template = new_claim::assumed(&claim, snapshot, content.as_ref()).ok_or_else(|| {
            Fail::new(Exit::Precondition, format!("nothing tells how big a volume of VolumeSnapshot {name} has to be"))
                .remedy("make a PVC by hand, of the size that it had, with the snapshot as its dataSource")
        })?;
        let named = self.config.storage_class.as_deref();
        let mut class = match named {
            Some(class) => format!("StorageClass {class}"),
            None => "the cluster's default StorageClass".into(),
        };
        if let Some(classes) = if_allowed(kubectl::if_found(
            self.kubectl.json::<ObjectList<StorageClass>>(&target.list(STORAGE_CLASSES, "")),
        ))?
        .flatten()
        {
            let driver =
                content.as_ref().map(|content| content.spec.driver.as_str()).filter(|driver| !driver.is_empty());
            let found = new_claim::class(&classes.items, named, driver);
            let found = found.map_err(Fail::precondition)?;
            if named.is_none() {
                class = format!("{class} {found}");
            }
        }
        let mode = template.volume_mode.as_deref().unwrap_or("Filesystem");
        let assumed =
            format!("{}, as big as the data, {}, {mode}, {class}", template.storage, template.access_modes.join(" "));
        Ok((template, assumed))
    }

    fn content(&self, snapshot: &Snapshot) -> Result<Content> {
        let name = snapshot.status.bound_volume_snapshot_content_name.clone().unwrap_or_default();
        Ok(self.kubectl.get(CONTENTS, &name)?)
    }

    fn print_manifests(&self, planned: &PlannedClaim) -> Result<()> {
        let all = planned.bridge.iter().flat_map(|(content, snapshot)| [content, snapshot]).chain([&planned.claim]);
        let documents: Vec<String> = all.map(yaml).collect();
        print(self.reporter, &documents.join("---\n"))
    }

    /// Brings the data into the other namespace. The content first: without the snapshot it is of no use.
    fn bridge(&self, planned: &PlannedClaim, content: &Value, bridge: &Value) -> Result<((), String)> {
        let kubectl = &planned.kubectl;
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_string();
        self.make_content(kubectl, content, &name(content))?;
        self.recheck(kubectl, &name(content))?;
        let target = &kubectl.target;
        let snapshot: Snapshot =
            kubectl.ensure(&target.create(SNAPSHOTS), bridge, &target.get(SNAPSHOTS, &name(bridge)))?;
        let of = |annotations: &Value| annotations[labels::CLONE_OF].as_str().map(str::to_string);
        if snapshot.metadata.annotations.get(labels::CLONE_OF).cloned() != of(&bridge["metadata"]["annotations"]) {
            let (name, namespace) = (&snapshot.metadata.name, &kubectl.target.namespace);
            bail!(
                Fail::new(Exit::Precondition, format!("{namespace} has another VolumeSnapshot {name} already"),)
                    .remedy("move it out of the way, or clone into another namespace")
            );
        }
        Ok(((), format!("{} in {}, on the same stored data", snapshot.metadata.name, kubectl.target.namespace)))
    }

    /// Looks at the source again, now that the content is there. Who deletes its data deletes the VolumeSnapshot first and looks for
    /// other contents afterwards, so one of the two sees the other.
    fn recheck(&self, kubectl: &Kubectl, content: &str) -> Result<()> {
        let name = &self.config.snapshot;
        let source = self.kubectl.find::<Snapshot>(SNAPSHOTS, name)?;
        if source.is_some_and(|source| source.metadata.deletion_timestamp.is_none()) {
            return Ok(());
        }
        if let Some(made) = kubectl.find::<Content>(CONTENTS, content)? {
            delete_snapshot::forget_clone(kubectl, &made)?;
        }
        bail!(
            Fail::new(Exit::Failed, format!("another client deleted the VolumeSnapshot {name} meanwhile"))
                .remedy(format!("choose another: backup-ns list -n {}", self.kubectl.target.namespace))
        )
    }

    /// Creates a clone's content. One that is left of an earlier clone, bound to a snapshot that is gone, gives way.
    fn make_content(&self, kubectl: &Kubectl, content: &Value, name: &str) -> Result<()> {
        let target = &kubectl.target;
        let made = wait::until(self.config.timeout, || {
            match kubectl.create::<Content>(&target.create(CONTENTS), content) {
                Ok(_) => return Ok(Some(())),
                Err(error) if error.is(Refusal::AlreadyExists) => {}
                Err(error) => return Err(error.into()),
            }
            let Some(there) = kubectl.find::<Content>(CONTENTS, name)? else { return Ok(None) };
            let bound_to = &there.spec.volume_snapshot_ref;
            let snapshot = kubectl.find::<Snapshot>(SNAPSHOTS, &bound_to.name)?;
            if bound_to.uid.is_empty() || snapshot.is_some_and(|snapshot| snapshot.metadata.uid == bound_to.uid) {
                return Ok(Some(()));
            }
            delete_snapshot::forget_clone(kubectl, &there)?;
            Ok(None)
        })?;
        made.with_context(|| Fail::new(Exit::Failed, format!("an old VolumeSnapshotContent {name} does not go")))
    }

    /// Creates the claim; whether it did, or found one that an earlier call made.
    fn claim(&self, planned: &PlannedClaim, snapshot: &Snapshot) -> Result<(bool, String)> {
        let (kubectl, name) = (&planned.kubectl, &planned.name);
        let namespace = &kubectl.target.namespace;
        match kubectl.create::<Pvc>(&kubectl.target.create(CLAIMS), &planned.claim) {
            Ok(_) => Ok((true, format!("{name} in {namespace}"))),
            Err(error) if error.is(Refusal::AlreadyExists) => match kubectl.find::<Pvc>(CLAIMS, name)? {
                Some(there) if there.metadata.deletion_timestamp.is_some() => {
                    bail!(
                        Fail::new(Exit::Precondition, format!("the PVC {name} in {namespace} is being deleted"))
                            .remedy("wait until it is gone, or choose another name with --pvc")
                    )
                }
                Some(there) if new_claim::is_from(&there, snapshot) => {
                    Ok((false, format!("{name} in {namespace} is there already")))
                }
                _ => bail!(
                    Fail::new(Exit::Precondition, format!("{namespace} has another PVC {name} already"))
                        .remedy("choose another name with --pvc, or replace the claim itself with --in-place")
                ),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Takes away what brought the data over, unless another claim is still to be made from it: the data is the source's.
    fn take_bridge_away(&self, planned: &PlannedClaim, snapshot: &Snapshot) -> Result<((), String)> {
        let kubectl = &planned.kubectl;
        let namespace_objects: NamespaceObjects = kubectl.all(&[SNAPSHOTS, CLAIMS])?;
        let name = &snapshot.metadata.name;
        if namespace_objects.in_use().contains(&(kubectl.target.namespace.clone(), name.clone())) {
            return Ok(((), "another claim is still to be made from it, it stays".into()));
        }
        if let Some(bridge) = namespace_objects.snapshot(name) {
            delete_snapshot::delete(kubectl, bridge, None)?;
        }
        Ok(((), "temporary objects removed; the data still belongs to the source".into()))
    }

    fn summary(&self, planned: &PlannedClaim, snapshot: &Snapshot, made: bool, bound: Option<&str>) -> Result<()> {
        let (namespace, name) = (&planned.kubectl.target.namespace, &planned.name);
        let result = json!({
            "namespace": namespace, "pvc": name, "volumeSnapshot": snapshot.metadata.name,
            "made": made, "clone": planned.bridge.is_some(), "bound": bound == Some("bound"), "assumed": planned.assumed,
            "seconds": report::rounded(self.began.elapsed()),
        });
        self.show(&result, || {
            let state = match bound {
                Some(word) => format!("is {word}"),
                None => "is asked for; --wait would wait until it is bound".into(),
            };
            let mut text = format!("PVC {name} in {namespace}, made from {}, {state}\n", snapshot.metadata.name);
            if !made {
                text.push_str(
                    "  It was there before this call, which made nothing; what was written to it since is in it. A fresh one: \
                     --pvc with another name\n",
                );
            }
            if planned.bridge.is_some() && bound != Some("bound") {
                let this = format!(
                    "backup-ns restore {} -n {} --to-namespace {namespace} --pvc {name} --wait",
                    snapshot.metadata.name, self.kubectl.target.namespace
                );
                text.push_str(&format!(
                    "  What brings the data over stays until it is bound; take it away then with: {this}\n"
                ));
            }
            text
        })
    }

    fn in_place(&self) -> Result<()> {
        let (config, kubectl) = (self.config, &self.kubectl);
        let (name, now) = (&config.snapshot, now());
        let (namespace_objects, snapshot, mut journal, found) = self.reporter.step("observe", |_| {
            let namespace_objects = restore_in_place::observe(kubectl)?;
            let snapshot = namespace_objects.snapshot(name);
            let snapshot = snapshot.ok_or_else(|| no_snapshot(&kubectl.target.namespace, name))?.clone();
            let (journal, found) = self.journal(&namespace_objects, &snapshot, now)?;
            let what = format!("claim {}, {} of {name}", journal.claim.name, said(&journal));
            Ok(((namespace_objects, snapshot, journal, found), what))
        })?;
        warn_of(&snapshot);
        if let Some(held) = journal.held() {
            tracing::warn!("{held}");
        }
        journal.back = config.way == Way::RollBack;
        if !journal.back {
            for warning in server_version::warnings(&namespace_objects, &snapshot, &journal.workloads) {
                tracing::warn!("{warning}");
            }
        }
        journal.run = random::letters(10);
        if !self.global.dry_run {
            confirm::confirm(self.reporter, &self.question(&journal, found.is_some()), config.yes, "--yes")?;
        }
        let mut work = InPlace {
            kubectl,
            reporter: self.reporter,
            snapshot,
            journal,
            found,
            class: config.class.as_deref(),
            ready_timeout: config.ready_timeout,
            timeout: config.timeout,
            now,
            zone: self.global.zone,
            command: self.command(name),
            stage: Cell::default(),
            is_kept: Cell::new(true),
        };
        if self.global.dry_run {
            work.reporter.step("try", |_| work.rehearse(&namespace_objects))?;
            return self.show_plan(&work.snapshot, &work.journal);
        }
        let earlier = work.run(&namespace_objects)?;
        self.show_in_place(&work, earlier)
    }

    /// The journal of this call, and the one that an earlier call wrote.
    fn journal(
        &self,
        namespace_objects: &NamespaceObjects,
        snapshot: &Snapshot,
        now: DateTime<Utc>,
    ) -> Result<(Journal, Option<Journal>)> {
        let name = &self.config.snapshot;
        let claim = new_claim::of_claim(snapshot).unwrap_or_default();
        if let Some((what, remedy)) = namespace_objects.deleted_claim_problem(&claim, name) {
            bail!(Fail::new(Exit::Precondition, what).remedy(remedy));
        }
        let safety = in_place::safety_name(&claim, now, self.global.zone);
        let precondition = |what: String| Fail::new(Exit::Precondition, what);
        match in_place::continuation(namespace_objects, snapshot, &claim, self.config.way == Way::RollBack) {
            Ok(Continuation::Begin) => {
                let journal = namespace_objects.plan(snapshot, &safety).map_err(|problems| {
                    let (whats, remedies): (Vec<String>, Vec<String>) = problems.into_iter().unzip();
                    precondition(whats.join("; ")).remedy(remedies.join("; "))
                })?;
                Ok((journal, None))
            }
            Ok(Continuation::Resume { journal, renew_safety }) => {
                let found = Some(Journal::clone(&journal));
                let safety = if renew_safety { safety } else { journal.safety.clone() };
                Ok((Journal { safety, ..*journal }, found))
            }
            Err(Hindrance::UnknownJournal) => {
                let what = format!("{name} carries a note on an in-place restore that this version cannot read");
                bail!(precondition(what).remedy("finish that restore with the version of backup-ns that began it"))
            }
            Err(Hindrance::RollingBack) => {
                let what = format!("the restore of {name} to the claim {claim} is being taken back");
                bail!(precondition(what).remedy(self.finish(name, "--rollback --yes")))
            }
            Err(Hindrance::OtherRestore(other)) => bail!(self.begun(&other, &claim)),
            Err(Hindrance::NotBegun) => {
                bail!(precondition(format!("no in-place restore of {name} is in progress")).remedy(
                "after a restore what was there before is a VolumeSnapshot of the type safety: restore that in place"
            ))
            }
        }
    }

    fn question(&self, journal: &Journal, is_begun: bool) -> String {
        let (name, namespace) = (&self.config.snapshot, &self.kubectl.target.namespace);
        let claim = &journal.claim.name;
        match (is_begun, journal.back) {
            (_, true) => format!(
                "The claim {claim} in {namespace} becomes what it was before the restore of {name}; what was written to it since is lost."
            ),
            (true, false) => format!("The restore of {name} to the claim {claim} in {namespace} goes on."),
            (false, false) => format!(
                "The claim {claim} in {namespace} is replaced by what it was in {name}; meanwhile {} is down.",
                said(journal),
            ),
        }
    }

    /// Shows how a restore ended; `earlier` is when an earlier call made the claim, if one did.
    fn show_in_place(&self, work: &InPlace<'_>, earlier: Option<DateTime<Utc>>) -> Result<()> {
        let (name, namespace) = (&self.config.snapshot, &self.kubectl.target.namespace);
        let Journal { claim, safety, workloads, back, .. } = &work.journal;
        let result = json!({
            "namespace": namespace, "pvc": claim.name, "volumeSnapshot": name, "safety": safety, "rolledBack": back,
            "madeEarlier": earlier,
            "workloads": workloads.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "seconds": report::rounded(self.began.elapsed()),
        });
        self.show(&result, || match back {
            true => format!("PVC {} in {namespace} is as it was before the restore\n", claim.name),
            false if let Some(at) = earlier => format!(
                "PVC {} in {namespace} was made from {name} at {at} by an earlier call, which this one brought to its end: what was \
                 written to it since is in it\n  To restore it anew, say the same again; what was there before the earlier call is \
                 kept in VolumeSnapshot {safety}\n",
                claim.name,
            ),
            false => {
                let took = report::seconds(self.began.elapsed());
                let kept = match work.is_kept.get() {
                    true => format!(
                        "What was there is kept in VolumeSnapshot {safety}; back to it with: {} --in-place",
                        self.command(safety)
                    ),
                    false => format!("What was there is not kept: something else deleted VolumeSnapshot {safety}"),
                };
                format!("PVC {} in {namespace} is restored from {name} in {took}\n  {kept}\n", claim.name)
            }
        })
    }

    /// Another restore was begun, and is not done.
    fn begun(&self, other: &str, claim: &str) -> Fail {
        let what = format!("a restore of {other} to the claim {claim} was begun and is not done");
        let ways = format!("--in-place --yes, or take it back with: {} --rollback --yes", self.command(other));
        Fail::new(Exit::Precondition, what).remedy(self.finish(other, &ways))
    }

    fn finish(&self, snapshot: &str, ways: &str) -> String {
        format!("wait for the call that does it; if that was ended, finish it first: {} {ways}", self.command(snapshot))
    }

    /// This command for a snapshot, as it is to be typed, but for its last words.
    fn command(&self, snapshot: &str) -> String {
        let asked = &self.global.asked;
        let mut command = format!("backup-ns restore {snapshot} -n {}", self.kubectl.target.namespace);
        for (flag, value) in [("context", &asked.context), ("kubeconfig", &asked.kubeconfig)] {
            if let Some(value) = value {
                command.push_str(&format!(" --{flag}={}", escape::word(value)));
            }
        }
        asked.access.iter().for_each(|argument| command.push_str(&format!(" {}", escape::word(argument))));
        command
    }

    fn show_plan(&self, snapshot: &Snapshot, journal: &Journal) -> Result<()> {
        let target = &self.kubectl.target;
        let (name, claim) = (&snapshot.metadata.name, &journal.claim.name);
        let note = target.patch(SNAPSHOTS, name, &Journal::patch(Some(journal), snapshot));
        let mut steps = vec![PlanStep::new(format!("Note the plan on VolumeSnapshot {name}")).kubectl(&note)];
        for down in &journal.workloads {
            let call = target.patch(down.kind.resource(), &down.name, &down.patch(Some(name)));
            steps.push(PlanStep::new(format!("Bring {down} down")).kubectl(&call));
        }
        steps.push(PlanStep::new(format!("Wait until no pod mounts {claim}")));
        if !journal.back {
            let manifest =
                journal.safety(name, &target.namespace, self.config.class.as_deref(), now(), self.global.zone);
            steps.push(
                PlanStep::new(format!(
                    "Keep what is there in VolumeSnapshot {}, and wait until it is ready",
                    journal.safety
                ))
                .kubectl(&target.create(SNAPSHOTS))
                .manifest(manifest),
            );
        }
        let what = if journal.back {
            format!("If the claim {claim} was replaced: delete it")
        } else {
            format!("Delete the claim {claim}")
        };
        let condition = delete_options(&json!({"uid": journal.uid}));
        steps.push(
            PlanStep::new(format!("{what}, only if this holds: {condition}")).kubectl(&target.delete(CLAIMS, claim)),
        );
        let mut from = snapshot.clone();
        if journal.back {
            from.metadata.name.clone_from(&journal.safety);
        }
        steps.push(
            PlanStep::new(format!("Make it from {}, and wait until it is bound", from.metadata.name))
                .kubectl(&target.create(CLAIMS))
                .manifest(journal.replacement(&target.namespace, &from)),
        );
        for down in &journal.workloads {
            let call = target.patch(down.kind.resource(), &down.name, &down.patch(None));
            steps.push(PlanStep::new(format!("Bring {down} up as it was, and wait until it is ready")).kubectl(&call));
        }
        let done = target.patch(SNAPSHOTS, name, &Journal::patch(None, snapshot));
        steps.push(PlanStep::new("Take the note away").kubectl(&done));
        let result = json!({"dryRun": true, "namespace": target.namespace, "pvc": claim, "steps": steps});
        self.show(&result, || {
            format!("Dry run: nothing was changed. Restore of {name} in {}:\n{}", target.namespace, plan::text(&steps))
        })
    }
}

impl PlannedClaim {
    fn steps(&self) -> Vec<PlanStep> {
        let target = &self.kubectl.target;
        let mut steps = Vec::new();
        if let Some((content, snapshot)) = &self.bridge {
            steps.push(
                PlanStep::new(
                    "Bring the stored data into the namespace: a content that shares it and never deletes it",
                )
                .kubectl(&target.create(CONTENTS))
                .manifest(content.clone()),
            );
            steps.push(
                PlanStep::new("And its VolumeSnapshot").kubectl(&target.create(SNAPSHOTS)).manifest(snapshot.clone()),
            );
        }
        steps.push(
            PlanStep::new(format!("Create the PersistentVolumeClaim {}", self.name))
                .kubectl(&target.create(CLAIMS))
                .manifest(self.claim.clone()),
        );
        steps
    }
}

/// The workloads of a plan, in words.
fn said(journal: &Journal) -> String {
    let names: Vec<String> = journal.workloads.iter().map(ToString::to_string).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// What was found; none where it may not be looked at.
fn if_allowed<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(error) if error.exit() == Exit::Precondition => Ok(None),
        found => found.map(Some),
    }
}

/// Says what speaks against a snapshot. One of what was there before a restore never was a backup, and is asked for as such.
fn warn_of(snapshot: &Snapshot) {
    let Meta { name, labels: all, annotations, .. } = &snapshot.metadata;
    let is_safety = all.get(labels::TYPE).is_some_and(|kind| kind == labels::SAFETY);
    if let Some(why) = annotations.get(labels::DISTRUSTED).filter(|_| !is_safety) {
        tracing::warn!("VolumeSnapshot {name} is not to be trusted: {why}");
    }
}

fn no_snapshot(namespace: &str, name: &str) -> Fail {
    Fail::new(Exit::Precondition, format!("the namespace '{namespace}' has no VolumeSnapshot '{name}'")).remedy(format!(
        "see backup-ns list -n {namespace}; stored data whose VolumeSnapshot is gone comes back with backup-ns rebind-vsc"
    ))
}

/// Whether the namespace exists; yes without the right to read it.
fn check_namespace(kubectl: &Kubectl) -> Result<()> {
    let namespace = &kubectl.target.namespace;
    match kubectl.find::<Value>(NAMESPACES, &kubectl.target.namespace) {
        Ok(None) => bail!(
            Fail::new(Exit::Precondition, format!("there is no namespace '{namespace}'"))
                .remedy(format!("kubectl create namespace {namespace}"))
        ),
        Err(error) if error.exit() != Exit::Precondition => Err(error),
        _ => Ok(()),
    }
}
