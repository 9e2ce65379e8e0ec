//! Reads the snapshots of every namespace that the caller may see, page by page. Must not know what is decided on them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::kube::calls::{CLAIMS, NAMESPACES, Next, SNAPSHOTS};
use crate::core::kube::objects::{Named, Pvc, Snapshot};
use crate::core::retention::history::Record;
use crate::core::words::counted;
use crate::io::process::ProcessError;
use crate::io::report::Step;

/// What was read, and from where. Of each snapshot `T` is kept, and nothing else.
#[derive(Debug)]
pub struct Survey<T = Record> {
    /// The namespaces; none for the whole cluster at once.
    pub scope: Option<Vec<String>>,
    /// The snapshots.
    pub snapshots: Vec<T>,
    /// The namespaces that may not be read.
    pub skipped: Vec<Skipped>,
    /// The cluster, where not even its namespaces may be listed, so that one alone was read. Pruning may be limited to it on purpose;
    /// a report on the cluster must say so.
    pub narrowed: Option<Skipped>,
}

/// A namespace that may not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name; empty for the whole cluster.
    pub namespace: String,
    /// What the API said.
    pub reason: String,
}

impl Skipped {
    /// One that was refused.
    pub fn of(namespace: &str, error: &ProcessError) -> Skipped {
        Skipped { namespace: namespace.into(), reason: error.said().lines().last().unwrap_or_default().to_string() }
    }
}

impl<T: Send> Survey<T> {
    /// Reads what any of `selectors` selects: in `named`, or wherever the caller may. Who may not read the cluster at once
    /// reads namespace by namespace, and who may not list those either reads the one that is the context's.
    ///
    /// # Errors
    /// The API does not answer, or nothing at all may be read.
    pub fn of(
        kubectl: &Kubectl,
        named: Option<&str>,
        selectors: &[&str],
        keep: impl Fn(Snapshot) -> Option<T> + Sync,
        step: &Step,
    ) -> Result<Survey<T>> {
        let mut survey = Survey {
            scope: named.map(|name| vec![name.into()]),
            snapshots: Vec::new(),
            skipped: Vec::new(),
            narrowed: None,
        };
        let refused = match survey.read(kubectl, selectors, &keep, step) {
            Ok(()) => return Ok(survey),
            Err(error) if named.is_none() && error.is(Refusal::Forbidden) => error,
            Err(error) => return Err(error.into()),
        };
        let page = |next: &Next| kubectl.target.page(NAMESPACES, None, "", next);
        let namespaces = match kubectl.pages(page, |found: Named| Some(found.metadata.name), |_| ()) {
            Ok(namespaces) => namespaces,
            Err(error) if error.is(Refusal::Forbidden) => {
                let own = kubectl.target.namespace.clone();
                tracing::warn!("neither the cluster's snapshots nor its namespaces may be listed; reading {own} alone");
                survey.narrowed = Some(Skipped::of("", &refused));
                vec![own]
            }
            Err(error) => return Err(error.into()),
        };
        let mut readable = Vec::new();
        for namespace in namespaces {
            survey.scope = Some(vec![namespace.clone()]);
            match survey.read(kubectl, selectors, &keep, step) {
                Ok(()) => readable.push(namespace),
                Err(error) if error.is(Refusal::Forbidden) => survey.skip(namespace, &error),
                Err(error) => return Err(error.into()),
            }
        }
        if readable.is_empty() {
            bail!(refused.fail());
        }
        survey.scope = Some(readable);
        Ok(survey)
    }

    fn skip(&mut self, namespace: String, error: &ProcessError) {
        let skipped = Skipped::of(&namespace, error);
        tracing::warn!(namespace, "it may not be read, skipping it: {}", skipped.reason);
        self.skipped.push(skipped);
    }

    fn places(&self) -> Vec<Option<&str>> {
        match &self.scope {
            None => vec![None],
            Some(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }

    /// Whether the snapshots of this namespace were read.
    pub fn covers(&self, namespace: &str) -> bool {
        self.scope.as_ref().is_none_or(|names| names.iter().any(|name| name == namespace))
    }

    /// Reads another kind in the same places, as `page` asks for it, and where that is forbidden.
    ///
    /// # Errors
    /// The API does not answer.
    pub fn also<K: DeserializeOwned, S: Send>(
        &self,
        kubectl: &Kubectl,
        page: impl Fn(Option<&str>, &Next) -> Vec<String>,
        keep: impl Fn(K) -> Option<S> + Sync,
    ) -> Result<(Vec<S>, Vec<Skipped>)> {
        let (mut all, mut skipped) = (Vec::new(), Vec::new());
        for place in self.places() {
            match kubectl.pages(|next| page(place, next), &keep, |_| ()) {
                Ok(read) => all.extend(read),
                Err(error) if error.is(Refusal::Forbidden) => {
                    skipped.push(Skipped::of(place.unwrap_or_default(), &error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((all, skipped))
    }

    /// Adds what `selectors` select in the scope; all of it or nothing.
    fn read(
        &mut self,
        kubectl: &Kubectl,
        selectors: &[&str],
        keep: &(impl Fn(Snapshot) -> Option<T> + Sync),
        step: &Step,
    ) -> Result<(), ProcessError> {
        let mut read = Vec::new();
        for namespace in self.places() {
            for selector in selectors {
                let page = |next: &Next| kubectl.target.page(SNAPSHOTS, namespace, selector, next);
                let so_far = self.snapshots.len() + read.len();
                let told = |number: usize| step.progress(&counted(so_far + number, "snapshot"));
                read.extend(kubectl.pages(page, keep, told)?);
            }
        }
        self.snapshots.extend(read);
        Ok(())
    }
}

impl Survey {
    /// The snapshots, by namespace and name, that a volume is still to be made from. A namespace of several whose claims
    /// may not be read is skipped altogether.
    ///
    /// # Errors
    /// The claims cannot be read.
    pub fn in_use(&mut self, kubectl: &Kubectl) -> Result<BTreeSet<(String, String)>> {
        let mut all = BTreeSet::new();
        let places = self.scope.clone().map_or(vec![None], |names| names.into_iter().map(Some).collect());
        let mut refused = 0;
        for namespace in &places {
            match (sources(kubectl, namespace.as_deref()), namespace) {
                (Ok(sources), _) => all.extend(sources),
                (Err(error), Some(name)) if error.is(Refusal::Forbidden) && refused + 1 < places.len() => {
                    refused += 1;
                    self.snapshots.retain(|seen| seen.namespace != *name);
                    self.skip(name.clone(), &error);
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(all)
    }
}

/// The snapshots, by namespace and name, that a volume is still to be made from, by the claims of a namespace or of all.
///
/// # Errors
/// The claims cannot be read.
pub fn sources(kubectl: &Kubectl, namespace: Option<&str>) -> Result<BTreeSet<(String, String)>, ProcessError> {
    let page = |next: &Next| kubectl.target.page(CLAIMS, namespace, "", next);
    let sources = |claim: Pvc| Some(claim.sources().collect::<Vec<_>>());
    Ok(kubectl.pages(page, sources, |_| ())?.into_iter().flatten().collect())
}
