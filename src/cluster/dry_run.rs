//! Has the API try what an in-place restore is about to do (`dryRun=All`), and looks whether there is what that needs. Nothing
//! is changed. Must not know in which order it is done.

use std::thread;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::{self, Kubectl};
use crate::cluster::refusal::Refusal;
use crate::core::health::doctor::{self, Check, CheckOutcome, Driver};
use crate::core::health::rights::{self, Right};
use crate::core::kube::calls::{ACCESS_REVIEWS, QUOTAS, SNAPSHOT_CLASSES, SNAPSHOTS, STORAGE_CLASSES};
use crate::core::kube::claim_manifest::ClaimTemplate;
use crate::core::kube::namespace_objects::NamespaceObjects;
use crate::core::kube::objects::{ObjectList, Snapshot};
use crate::core::restore::dry_run::{self, DryRun, Quota};
use crate::core::restore::in_place::{Journal, NextStep};
use crate::core::restore::new_claim::StorageClass;
use crate::exit::{Exit, Fail};
use crate::io::process::Ending;

/// What is asked for.
pub struct InPlaceRequest<'a> {
    /// kubectl for the namespace.
    pub kubectl: &'a Kubectl,
    /// What is to be done.
    pub journal: &'a Journal,
    /// The snapshot that carries the journal.
    pub of: &'a Snapshot,
    /// What there is.
    pub namespace_objects: &'a NamespaceObjects,
    /// The class of the safety snapshot, where one was named.
    pub class: Option<&'a str>,
}

impl InPlaceRequest<'_> {
    /// Tries the rest of a restore, all requests side by side; how many those are.
    ///
    /// # Errors
    /// All that was refused, at once.
    pub fn all(&self, rest: NextStep, safety: &Value) -> Result<usize> {
        let (journal, namespace_objects) = (self.journal, self.namespace_objects);
        let from = if journal.back { namespace_objects.snapshot(&journal.safety) } else { None };
        let trials = match rest {
            NextStep::Forget => Vec::new(),
            _ => dry_run::trials(
                &self.kubectl.target,
                journal,
                namespace_objects,
                (self.of, from.unwrap_or(self.of)),
                safety,
            ),
        };
        let refused: Vec<Fail> = thread::scope(|scope| {
            let mut tasks: Vec<_> = trials.iter().map(|trial| scope.spawn(|| self.attempt(trial))).collect();
            if rest == NextStep::Replace {
                tasks.push(scope.spawn(|| check_class(self.kubectl, &journal.claim)));
            }
            if rest == NextStep::Replace && !journal.back {
                tasks.push(scope.spawn(|| self.check_snapshot_class()));
                tasks.push(scope.spawn(|| self.check_watch()));
            }
            let failed = || bail!(Fail::new(Exit::Failed, "a request was not made at all"));
            let outcomes = tasks.into_iter().map(|task| task.join().unwrap_or_else(|_| failed()));
            outcomes.filter_map(|outcome| Some(outcome.err()?.fail())).collect()
        });
        match all_of(refused) {
            Some(fail) => bail!(fail),
            None => Ok(trials.len()),
        }
    }

    /// One request. What may pass, and what would be refused for the copy of the claim alone, is no refusal.
    fn attempt(&self, trial: &DryRun) -> Result<()> {
        let Err(error) = self.kubectl.act(&trial.args, &trial.input) else { return Ok(()) };
        let said = error.said();
        // One that cannot be asked without doing it tells nothing.
        if error.has_no_dry_run() {
            tracing::warn!("cannot be tried, going on: {}: {said}", trial.what);
            return Ok(());
        }
        let fail = error.fail();
        match error.refusal() {
            // No answer, or none for now.
            Refusal::Transient => bail!(fail),
            _ if !matches!(error.ending, Ending::Status(status) if status.code().is_some()) => bail!(fail),
            // Quotas are asked last: nothing else speaks against it.
            Refusal::Forbidden if trial.beside => {
                if let Some(quota) = Quota::that_refused(&said) {
                    return self.check_quotas(quota);
                }
            }
            _ => {}
        }
        let mut remedy = fail.remedy;
        if error.exceeds_quota() {
            remedy = format!(
                "raise that ResourceQuota, or remove what it counts: kubectl describe resourcequota -n {}",
                self.kubectl.target.namespace
            );
        }
        let what = said.lines().last().unwrap_or(&fail.what).to_string();
        bail!(Fail::new(Exit::Precondition, format!("the API refuses to {}: {what}", trial.what)).remedy(remedy))
    }

    /// Whether the quotas leave room for the new claim once the old one is gone: the one that refused it beside the old one, and
    /// those that it hides, as far as they may be read.
    fn check_quotas(&self, refused: Quota) -> Result<()> {
        let claim = &self.journal.claim;
        let old = self.namespace_objects.claim(&claim.name).and_then(|old| old.spec.resources.requests.get("storage"));
        let old = old.map_or("0", String::as_str);
        let all = kubectl::if_found(self.kubectl.json::<ObjectList<Quota>>(&self.kubectl.target.list(QUOTAS, "")));
        let all = all.ok().flatten().map(|all| all.items).unwrap_or_default();
        let named = refused.metadata.name.clone();
        let others = all.into_iter().filter(|quota| quota.is_of_all() && quota.metadata.name != named);
        let class = claim.storage_class_name.as_deref();
        let lacks = [refused].into_iter().chain(others).find_map(|quota| quota.lacks(class, old, &claim.storage));
        match lacks {
            None => Ok(()),
            Some(lack) => {
                let what =
                    format!("there is no room for the claim {}, even when the old one is gone: {lack}", claim.name);
                bail!(Fail::new(Exit::Precondition, what).remedy("raise that ResourceQuota"))
            }
        }
    }

    /// Whether there is a class to make the safety snapshot with; without the right to look it goes on.
    fn check_snapshot_class(&self) -> Result<()> {
        let Some(claim) = self.namespace_objects.claim(&self.journal.claim.name) else { return Ok(()) };
        let classes = match self.kubectl.json::<ObjectList<Value>>(&self.kubectl.target.list(SNAPSHOT_CLASSES, "")) {
            Ok(classes) => classes.items,
            Err(error) if error.is(Refusal::Forbidden) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let checks = match (doctor::driver(claim, None), self.class) {
            (Driver::Csi(driver), named) => doctor::class(named, &driver, &classes),
            (_, Some(named)) if !classes.iter().any(|class| class["metadata"]["name"] == named) => {
                let remedy = "set BAK_VS_CLASS_NAME (--vs-class-name) to one of kubectl get volumesnapshotclasses";
                vec![Check::failed("class", format!("there is no VolumeSnapshotClass '{named}'"), remedy)]
            }
            _ => Vec::new(),
        };
        match checks.into_iter().find(|check| check.check == "class" && check.outcome == CheckOutcome::Failed) {
            Some(check) => {
                let what = format!("no safety snapshot can be made: {}", check.what);
                bail!(Fail::new(Exit::Precondition, what).remedy(check.remedy))
            }
            None => Ok(()),
        }
    }

    /// Whether the safety snapshot can be waited for. Only a plain no counts.
    fn check_watch(&self) -> Result<()> {
        let right = Right {
            group: "snapshot.storage.k8s.io",
            resource: SNAPSHOTS.plural,
            verb: "watch",
            cluster: false,
            needed: true,
        };
        let target = &self.kubectl.target;
        let review = rights::review(&right, &target.namespace);
        match self.kubectl.create::<Value>(&target.create(ACCESS_REVIEWS), &review) {
            Ok(answer) if answer["status"]["allowed"] == false => bail!(
                Fail::new(
                    Exit::Precondition,
                    "you may not watch volumesnapshots, so the safety snapshot cannot be waited for",
                )
                .remedy("grant the verb watch on volumesnapshots.snapshot.storage.k8s.io")
            ),
            _ => Ok(()),
        }
    }
}

/// Whether a claim's StorageClass is there; without the right to look it goes on. Without it a claim is made and never bound.
///
/// # Errors
/// It is not.
pub fn check_class(kubectl: &Kubectl, claim: &ClaimTemplate) -> Result<()> {
    let Some(class) = claim.storage_class_name.as_deref().filter(|class| !class.is_empty()) else { return Ok(()) };
    match kubectl.find::<StorageClass>(STORAGE_CLASSES, class) {
        Ok(None) => bail!(
            Fail::new(Exit::Precondition, format!("there is no StorageClass {class}"))
                .remedy("see kubectl get storageclasses; --storage-class names another for a claim beside the old one")
        ),
        Err(error) if error.exit() != Exit::Precondition => Err(error),
        _ => Ok(()),
    }
}

/// Several failures as one, or None. A signal outweighs all else, an API that is away the rest.
fn all_of(fails: Vec<Fail>) -> Option<Fail> {
    let signal = fails.iter().find(|fail| matches!(fail.exit, Exit::Signal(_)));
    let away = fails.iter().find(|fail| fail.exit != Exit::Precondition);
    if let Some(fail) = signal.or(away) {
        return Some(fail.clone());
    }
    let exit = fails.first()?.exit;
    let join = |words: Vec<String>| {
        let mut all: Vec<String> = Vec::new();
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            if !all.contains(&word) {
                all.push(word);
            }
        }
        all.join("; ")
    };
    let remedy = join(fails.iter().map(|fail| fail.remedy.clone()).collect());
    Some(Fail::new(exit, join(fails.into_iter().map(|fail| fail.what).collect())).remedy(remedy))
}
