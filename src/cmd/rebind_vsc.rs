//! `rebind-vsc`: a VolumeSnapshot again for stored data whose VolumeSnapshot, or whole namespace, is gone.
//!
//! What is done is done in an order that may leak, but loses nothing, and that another call goes on with: the old content is
//! told to keep its data, a new content and a VolumeSnapshot are made for the same data, and once they are ready the old
//! content goes, as an object alone. Two contents for one piece of data must not stay: a deletion of the one with its
//! data would empty the other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::cluster::delete_snapshot;
use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::cluster::watch::Watch;
use crate::cmd::{Context, now};
use crate::config::{Global, Rebind as Config};
use crate::core::kube::calls::{CONTENTS, Next, SNAPSHOT_CLASSES, SNAPSHOTS, delete_options};
use crate::core::kube::labels;
use crate::core::kube::objects::{Content, Meta, Readiness, Snapshot};
use crate::core::plan::{self, PlanStep as Planned};
use crate::core::restore::new_claim;
use crate::core::restore::rebind::{self, Pair, RebindPlan};
use crate::exit::{Exit, Fail};
use crate::io::report::Reporter;

/// How often a change is tried again that loses to other changes of the same object.
const TRIES: usize = 5;

/// Rebinds one content.
///
/// # Errors
/// As the exit codes say; whatever happens, the data stays, and the same call again goes on.
pub fn run(global: &Global, config: &Config, reporter: &Reporter) -> Result<()> {
    let context = Context::connect(global, config, reporter)?;
    let kubectl = &context.kubectl;
    let Some(old) = content(kubectl, &config.content)? else {
        let done = reporter.step("look", |_| {
            let done = rebound(kubectl, &config.content)?;
            Ok((done, "an earlier run has already done this".into()))
        })?;
        return report(&context, &done, &[]);
    };
    let reference = &old.spec.volume_snapshot_ref;
    let namespace = global.asked.namespace.as_ref().unwrap_or(&reference.namespace);
    let work = Rebinding {
        kubectl: kubectl.in_namespace(namespace),
        rebind: RebindPlan {
            old: &old,
            namespace,
            name: config.name.as_ref().unwrap_or(&reference.name),
            classless: is_classless(kubectl, &old)?,
        },
    };
    let pair = reporter.step("look", |_| {
        let pair = work.look(global)?;
        Ok((pair, format!("{} of {}/{}, bound to nothing", old.metadata.name, reference.namespace, reference.name)))
    })?;
    let mut notes = Vec::new();
    if let Some(date) = &pair.dropped {
        notes.push(format!("{}={date} is not taken along: it would be swept in the next night", labels::DELETE_AFTER));
    }
    if !old.metadata.labels.keys().any(|key| labels::is_synced(key)) {
        notes.push(
            "the old content says nothing of its snapshot: the new one has no labels, nothing prunes it, and its name and age alone \
             tell of which claim and day it is"
                .into(),
        );
    }
    if work.rebind.classless && old.spec.volume_snapshot_class_name.is_some() {
        notes.push("the VolumeSnapshotClass that it was cut by is gone, and not named any more".into());
    }
    notes.iter().for_each(|note| tracing::warn!("{note}"));
    if global.dry_run {
        let steps = work.steps(&pair, config.ready_timeout);
        return context.show(&json!({"dryRun": true, "steps": steps, "notes": notes}), || plan::text(&steps));
    }
    let made = work.make(&pair, config, reporter)?;
    report(&context, &made, &notes)
}

/// What came of it.
fn report(context: &Context<'_, Config>, made: &Snapshot, notes: &[String]) -> Result<()> {
    let old = &context.config.content;
    let Meta { namespace, name, .. } = &made.metadata;
    let content = made.status.bound_volume_snapshot_content_name.as_deref().unwrap_or_default();
    // What tells nothing of its claim takes a name for it.
    let named = match new_claim::of_claim(made) {
        Some(_) => String::new(),
        None => format!(" --pvc {}", new_claim::guessed_claim(made)),
    };
    let next = format!("backup-ns restore {name} -n {namespace}{named}");
    let value = json!({
        "namespace": namespace, "volumeSnapshot": name, "volumeSnapshotContent": content, "reboundFrom": old,
        "notes": notes, "next": next,
    });
    context.show(&value, || {
        format!("{namespace}/{name} is ready, bound to {content} in the place of {old}\nnext: {next}\n")
    })
}

/// The VolumeSnapshot that an earlier call made from the content `name`, which is gone.
fn rebound(kubectl: &Kubectl, name: &str) -> Result<Snapshot> {
    let page = |next: &Next| kubectl.target.page(CONTENTS, None, "", next);
    let is_it =
        |content: &Content| content.metadata.annotations.get(labels::REBOUND_FROM).is_some_and(|from| from == name);
    let found = match kubectl.pages(page, |content: Content| Some(content).filter(is_it), |_| ()) {
        // Without the right to list, the only known fact is that no object has this name.
        Err(error) if error.is(Refusal::Forbidden) => Vec::new(),
        found => found?,
    };
    let Some(content) = found.first() else {
        bail!(
            Fail::new(Exit::Precondition, format!("there is no VolumeSnapshotContent {name}"))
                .remedy(format!("see which there are: kubectl get volumesnapshotcontents -l {}", labels::PVC))
        );
    };
    let reference = &content.spec.volume_snapshot_ref;
    let bound = snapshot(&kubectl.in_namespace(&reference.namespace), &reference.name)?;
    bound.filter(|bound| bound.metadata.uid == reference.uid).with_context(|| {
        let new = &content.metadata.name;
        Fail::new(Exit::Precondition, format!("{name} was rebound as {new}, whose VolumeSnapshot is gone again"))
            .remedy(format!("backup-ns rebind-vsc {new}"))
    })
}

/// Whether the VolumeSnapshotClass of a content is not there. Who may not look takes it to be there.
fn is_classless(kubectl: &Kubectl, content: &Content) -> Result<bool> {
    let Some(class) = &content.spec.volume_snapshot_class_name else { return Ok(true) };
    match kubectl.get::<Value>(SNAPSHOT_CLASSES, class) {
        Err(error) if error.is(Refusal::NotFound) => Ok(true),
        Err(error) if !error.is(Refusal::Forbidden) => Err(error.into()),
        _ => Ok(false),
    }
}

fn content(kubectl: &Kubectl, name: &str) -> Result<Option<Content>> {
    Ok(delete_snapshot::find_content(kubectl, name)?)
}

fn snapshot(kubectl: &Kubectl, name: &str) -> Result<Option<Snapshot>> {
    Ok(delete_snapshot::find_snapshot(kubectl, name)?)
}

struct Rebinding<'a> {
    /// For the namespace of the new VolumeSnapshot.
    kubectl: Kubectl,
    rebind: RebindPlan<'a>,
}

impl Rebinding<'_> {
    /// Looks whether it can be done, and with what.
    fn look(&self, global: &Global) -> Result<Pair> {
        let RebindPlan { old, namespace, name, .. } = self.rebind;
        let reference = &old.spec.volume_snapshot_ref;
        let bound = snapshot(&self.kubectl.in_namespace(&reference.namespace), &reference.name)?;
        rebind::judge_old(old, bound.as_ref()).map_err(Fail::precondition)?;
        let today = global.zone.local(now()).date_naive();
        let pair = self.rebind.pair(today).ok_or_else(|| Fail::new(Exit::Precondition, "nothing is stored"))?;
        let taken = self.taken()?;
        if let Some(found) = content(&self.kubectl, &rebind::new_name(old))? {
            self.rebind.judge_content(&found, taken.as_ref()).map_err(Fail::precondition)?;
        }
        if taken.is_none() {
            // Whether the namespace is there, and whether this may be made in it.
            let target = &self.kubectl.target;
            match self.kubectl.act(&target.try_create(SNAPSHOTS), &pair.snapshot.to_string()) {
                Err(error) if error.misses_namespace() => {
                    let what = format!("the namespace {namespace} is not there");
                    let remedy = format!("kubectl create namespace {namespace}, or name another one with -n");
                    bail!(Fail::new(Exit::Precondition, what).remedy(remedy));
                }
                Err(error) if error.is(Refusal::AlreadyExists) => {
                    let what = format!("another client made {namespace}/{name} meanwhile");
                    bail!(Fail::new(Exit::Precondition, what).remedy("run this again"));
                }
                // The admission of another namespace is asked only by the request itself.
                Err(error) if error.has_no_dry_run() => {}
                answer => answer?,
            }
        }
        Ok(pair)
    }

    /// The VolumeSnapshot that has the name of the new one and is it; none if the name is free.
    fn taken(&self) -> Result<Option<Snapshot>> {
        let taken = snapshot(&self.kubectl, self.rebind.name)?;
        if let Some(taken) = &taken {
            self.rebind.judge_snapshot(taken).map_err(Fail::precondition)?;
        }
        Ok(taken)
    }

    /// The steps, with the very calls.
    fn steps(&self, pair: &Pair, limit: Duration) -> Vec<Planned> {
        let (target, old) = (&self.kubectl.target, self.rebind.old);
        let (meta, name) = (&old.metadata, &old.metadata.name);
        let mut steps = Vec::new();
        if old.spec.deletion_policy != "Retain" {
            let patch = target.patch(CONTENTS, name, &rebind::retain_patch(meta));
            steps.push(Planned::new(format!("Have the VolumeSnapshotContent {name} keep its data")).kubectl(&patch));
        }
        let content = Planned::new(format!("Create the VolumeSnapshotContent {}", rebind::new_name(old)));
        steps.push(content.kubectl(&target.create(CONTENTS)).manifest(pair.content.clone()));
        let snapshot = Planned::new(format!("Create the VolumeSnapshot {}/{}", target.namespace, self.rebind.name));
        steps.push(snapshot.kubectl(&target.create(SNAPSHOTS)).manifest(pair.snapshot.clone()));
        let wait = format!("Wait until it is ready, up to {}", humantime::format_duration(limit));
        steps.push(Planned::new(wait).kubectl(&target.watch_snapshot(self.rebind.name, None, limit)));
        let mut last = Planned::new(format!("Delete the VolumeSnapshotContent {name}; the data stays"));
        if let Some(patch) = rebind::orphan_patch(meta) {
            last = last.kubectl(&target.patch(CONTENTS, name, &patch));
        }
        steps.push(last.kubectl(&target.delete(CONTENTS, name)));
        steps
    }

    /// Does it, or what an earlier call left of it; the new VolumeSnapshot.
    fn make(&self, pair: &Pair, config: &Config, reporter: &Reporter) -> Result<Snapshot> {
        let old = self.rebind.old;
        let new = rebind::new_name(old);
        reporter.step("keep", |_| Ok(((), self.keep()?)))?;
        reporter.step("content", |_| {
            self.create(&self.kubectl.target.create(CONTENTS), &pair.content)?;
            // A call that was answered is no proof that this is what is there.
            let made = content(&self.kubectl, &new)?.ok_or_else(|| self.lost("VolumeSnapshotContent", &new))?;
            let taken = self.taken()?;
            self.rebind.judge_content(&made, taken.as_ref()).map_err(Fail::precondition)?;
            self.recheck(&made, taken.is_some())?;
            Ok(((), format!("{new}, for {}", old.handle().unwrap_or_default())))
        })?;
        let made = reporter.step("snapshot", |_| {
            self.create(&self.kubectl.target.create(SNAPSHOTS), &pair.snapshot)?;
            let made = self.taken()?.ok_or_else(|| self.lost("VolumeSnapshot", self.rebind.name))?;
            Ok((made, format!("{}/{}", self.rebind.namespace, self.rebind.name)))
        })?;
        let made = reporter.step("ready", |step| {
            let mut watch = Watch::of(&self.kubectl, made, config.ready_timeout);
            watch
                .until("ready", step, |readiness| *readiness == Readiness::Ready)
                .map_err(|error| self.stays(error.fail()))?;
            let made = watch.snapshot;
            self.check(&made, &new)?;
            Ok((made, format!("bound to {new}")))
        })?;
        reporter.step("release", |_| Ok(((), self.release()?)))?;
        Ok(made)
    }

    /// Has the old content keep its data.
    fn keep(&self) -> Result<String> {
        let name = &self.rebind.old.metadata.name;
        for _ in 0..TRIES {
            let Some(now) = self.old_now()? else {
                let what = format!("another client deleted the VolumeSnapshotContent {name} meanwhile");
                bail!(Fail::new(Exit::Failed, what).remedy("run this again: it tells what there is now"));
            };
            if now.spec.deletion_policy == "Retain" {
                return Ok(format!("{name} keeps its data"));
            }
            rebind::judge_old(&now, None).map_err(Fail::precondition)?;
            self.patch(&now, &rebind::retain_patch(&now.metadata))?;
        }
        bail!(self.unsettled())
    }

    /// Looks at the old content again, now that the new one is there. Who deletes its data says so on it first and looks for
    /// others afterwards, so one of the two sees the other. Then the new one goes, unless an earlier call made its VolumeSnapshot.
    fn recheck(&self, made: &Content, bound: bool) -> Result<()> {
        let (name, new) = (&self.rebind.old.metadata.name, &made.metadata.name);
        let now = self.old_now()?;
        if now.as_ref().is_some_and(|now| now.spec.deletion_policy == "Retain") {
            return Ok(());
        }
        if now.is_some() && !bound {
            let conditions = json!({"uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version});
            match self.kubectl.act(&self.kubectl.target.delete(CONTENTS, new), &delete_options(&conditions)) {
                Err(error) if error.is(Refusal::NotFound) => {}
                outcome => outcome?,
            }
        }
        let what = match now {
            Some(_) => format!("another client began to delete the VolumeSnapshotContent {name} with its data"),
            None => format!("another client deleted the VolumeSnapshotContent {name} meanwhile, perhaps with its data"),
        };
        bail!(Fail::new(Exit::Failed, what).remedy("run this again: it tells what there is now"))
    }

    /// Deletes the old content, and nothing but the object.
    fn release(&self) -> Result<String> {
        let name = &self.rebind.old.metadata.name;
        for _ in 0..TRIES {
            let Some(now) = self.old_now()? else { return Ok(format!("{name} is gone")) };
            let meta = &now.metadata;
            if now.spec.deletion_policy != "Retain" {
                bail!(self.unsettled());
            }
            if let Some(patch) = rebind::orphan_patch(meta) {
                self.patch(&now, &patch)?;
                continue;
            }
            if meta.deletion_timestamp.is_some() {
                return Ok(format!("{name} is deleted, its data stays"));
            }
            let conditions = json!({"uid": meta.uid, "resourceVersion": meta.resource_version});
            match self.kubectl.act(&self.kubectl.target.delete(CONTENTS, name), &delete_options(&conditions)) {
                Ok(()) => return Ok(format!("{name} is deleted, its data stays")),
                // It was changed, or the first request was carried out: read it again.
                Err(error) if matches!(error.refusal(), Refusal::Conflict | Refusal::NotFound) => {}
                Err(error) => bail!(self.stays(error.fail())),
            }
        }
        bail!(self.unsettled())
    }

    /// The old content as it is now; none if it is gone.
    fn old_now(&self) -> Result<Option<Content>> {
        let old = self.rebind.old;
        let now = content(&self.kubectl, &old.metadata.name)?.filter(|now| now.metadata.uid == old.metadata.uid);
        match now {
            Some(now) if now.spec.volume_snapshot_ref.uid != old.spec.volume_snapshot_ref.uid => {
                bail!(self.unsettled())
            }
            now => Ok(now),
        }
    }

    /// Patches the old content in this very version. One that was changed meanwhile is looked at again.
    fn patch(&self, now: &Content, patch: &Value) -> Result<()> {
        let Err(error) = self.kubectl.act(&self.kubectl.target.patch(CONTENTS, &now.metadata.name, patch), "") else {
            return Ok(());
        };
        let overtaken =
            self.old_now()?.is_none_or(|later| later.metadata.resource_version != now.metadata.resource_version);
        if overtaken { Ok(()) } else { bail!(self.stays(error.fail())) }
    }

    /// Creates an object; one that is there already, from an earlier call or an earlier request of this one, is looked at by
    /// the caller.
    fn create(&self, args: &[String], manifest: &Value) -> Result<()> {
        match self.kubectl.act(args, &manifest.to_string()) {
            Err(error) if error.is(Refusal::AlreadyExists) => Ok(()),
            answer => Ok(answer.map_err(|error| self.stays(error.fail()))?),
        }
    }

    /// Whether the new VolumeSnapshot and the new content are each other's.
    fn check(&self, made: &Snapshot, new: &str) -> Result<()> {
        let bound = content(&self.kubectl, new)?.ok_or_else(|| self.lost("VolumeSnapshotContent", new))?;
        let (is, wanted) = (bound.spec.volume_snapshot_ref.uid.as_str(), made.metadata.uid.as_str());
        if is != wanted || made.status.bound_volume_snapshot_content_name.as_deref() != Some(new) {
            let what = format!("{} is ready, but not bound to {new}", made.metadata.name);
            bail!(self.stays(Fail::new(Exit::Snapshot, what)));
        }
        Ok(self.rebind.judge_content(&bound, Some(made)).map_err(Fail::precondition)?)
    }

    fn lost(&self, kind: &str, name: &str) -> Fail {
        self.stays(Fail::new(Exit::Snapshot, format!("the {kind} {name} was made and is not there")))
    }

    fn unsettled(&self) -> Fail {
        let what = format!("another client is changing the VolumeSnapshotContent {}", self.rebind.old.metadata.name);
        self.stays(Fail::new(Exit::Failed, what))
    }

    /// A failure on the way: what is safe, and what to do.
    fn stays(&self, fail: Fail) -> Fail {
        let old = &self.rebind.old.metadata.name;
        let see = format!("see kubectl describe volumesnapshotcontent {}", rebind::new_name(self.rebind.old));
        match fail.exit {
            // What is missing has its own remedy.
            Exit::Precondition => fail,
            _ => fail.remedy(format!(
                "the stored data is untouched, and {old} still names it; {see}, then run this again: it goes on"
            )),
        }
    }
}
