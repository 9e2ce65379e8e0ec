//! Node locks as Leases in the cluster, for pods that must not mount a directory of their node. Reads, writes and
//! renews them; the core decides which one is free and whose turn it is. Must not know what a lock is taken for.
//!
//! A thread renews a held Lease. A node lock limits load and protects no data: a backup that loses its Lease, because the API
//! did not answer for too long, logs a warning and continues.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cluster::failure::Failure;
use crate::cluster::kubectl::Kubectl;
use crate::cluster::refusal::Refusal;
use crate::core::kube::calls::{self, LEASES, Target};
use crate::core::kube::objects::ObjectList;
use crate::core::lease::{Contender, Lease, LeaseState, Move, Slots, Watched};
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, ProcessError};
use crate::io::random;
use crate::lock::{Listing, LockState};

/// How often the Leases are read while waiting; more often if a Lease lasts less than a minute.
const PAUSE: Duration = Duration::from_secs(2);

/// The rights that Leases need.
pub const VERBS: [&str; 4] = ["list", "create", "update", "delete"];

/// The remedy's hint at the chart.
const BY_CHART: &str = "once in the cluster the chart makes the namespace and the Role \
                        (cluster.enabled=true, cluster.locks.enabled=true), docs/locks.md has both as YAML";

/// The remedy for missing rights.
pub fn grant(namespace: &str) -> String {
    format!(
        "grant list, create, update and delete of leases (coordination.k8s.io) in the namespace {namespace}; {BY_CHART}"
    )
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseLocks {
    pub namespace: String,
    pub slots: Slots,
    /// How long to wait for one.
    pub timeout: Duration,
}

/// A held Lease. Dropping it releases it.
#[derive(Debug)]
pub struct HeldLease {
    pub name: String,
    pub waited: Duration,
    /// Dropping it ends the thread.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl LeaseLocks {
    /// Takes any one of the Leases, see [`super::NodeLocks::acquire`].
    pub fn acquire(&self, kubectl: &Kubectl, holder: &str) -> Result<HeldLease> {
        let api = self.api(kubectl, holder);
        let mut turn = Turn {
            locks: self,
            api,
            began: Instant::now(),
            watched: Watched::default(),
            leases: Vec::new(),
            expired: BTreeSet::new(),
            ticket: None,
            wrote: false,
        };
        match turn.wait() {
            Ok(lease) => Ok(HeldLease::keep(turn.began.elapsed(), turn.api, lease)),
            Err(fail) => {
                turn.withdraw();
                super::check_interrupted(|| turn.holders())?;
                Err(fail)
            }
        }
    }

    fn api(&self, kubectl: &Kubectl, holder: &str) -> Api {
        // Only letters: the name of a ticket ends with them.
        let nonce = random::letters(10);
        Api { kubectl: kubectl.in_namespace(&self.namespace), me: Contender::new(&self.slots, holder, &nonce) }
    }

    /// Reads the Leases of the node, locks and tickets.
    fn read(&self, kubectl: &Kubectl) -> Result<Vec<Lease>> {
        let api = self.api(kubectl, "");
        Ok(api.read().map_err(|error| api.fail(&error))?)
    }

    /// Lists the locks. Fails if their namespace does not exist.
    pub fn list(&self, kubectl: &Kubectl) -> Result<Listing> {
        let leases = self.read(kubectl)?;
        let api = self.api(kubectl, "");
        // The list of a namespace that does not exist is empty, and a caller with the right to list Leases may lack that to read
        // namespaces.
        match if leases.is_empty() { api.try_create() } else { Ok(()) } {
            Err(error) if error.is(Refusal::NotFound) => bail!(api.fail(&error)),
            _ => {}
        }
        let seen = |LeaseState { name, holder, since }| LockState {
            lock: name,
            held: holder.is_some(),
            holder,
            pid: None,
            since,
        };
        let locks = self.slots.states(&leases).into_iter().map(seen).collect();
        let waiting = Some(self.slots.waiting(&leases));
        Ok(Listing { kind: "lease", place: self.namespace.clone(), locks, waiting })
    }

    /// Checks whether Leases can be created and read, without creating one. Returns a line for doctor.
    pub fn check(&self, kubectl: &Kubectl) -> Result<String> {
        let api = self.api(kubectl, "");
        match api.try_create() {
            // An admission webhook may support no dry run; then creating cannot be tried.
            Err(error) if !error.has_no_dry_run() => bail!(api.fail(&error)),
            _ => {}
        }
        let leases = self.read(kubectl)?;
        let held = self.slots.states(&leases).iter().filter(|slot| slot.holder.is_some()).count();
        Ok(format!("{} Leases, {}, in {}, {held} of them held", self.slots.count, self.slots.range(), self.namespace))
    }

    /// [`LeaseLocks::acquire`] as a step of a plan.
    pub fn step(&self, target: &Target) -> PlanStep {
        let LeaseLocks { namespace, slots, timeout } = self;
        let waits = humantime::format_duration(*timeout);
        let what = format!(
            "Take one of {} Leases, {}, in {namespace}, waiting up to {waits}, and renew it until the end",
            slots.count,
            slots.range()
        );
        let target = Target { namespace: namespace.clone(), ..target.clone() };
        PlanStep::new(what).kubectl(&target.list(LEASES, &slots.selector())).kubectl(&target.create(LEASES))
    }
}

/// Reads and writes Leases for one contender.
#[derive(Debug)]
struct Api {
    /// Its target is the namespace of the Leases.
    kubectl: Kubectl,
    me: Contender,
}

impl Api {
    fn read(&self) -> Result<Vec<Lease>, ProcessError> {
        let call = self.kubectl.target.list(LEASES, &self.me.slots().selector());
        self.kubectl.json::<ObjectList<Lease>>(&call).map(|list| list.items)
    }

    /// Tries to create a ticket, as a dry run. A ticket's name is unique, so it cannot exist already.
    fn try_create(&self) -> Result<(), ProcessError> {
        let (_, manifest) = self.me.queued(&[], None, now());
        self.kubectl.act(&self.kubectl.target.try_create(LEASES), &manifest.to_string())
    }

    /// Creates a Lease, or replaces the version that its manifest names. Returns None if it was changed meanwhile, by another
    /// process or by this call, if its first answer was lost.
    fn write(&self, manifest: &Value) -> Result<Option<Lease>, ProcessError> {
        let (meta, target) = (&manifest["metadata"], &self.kubectl.target);
        let call = match meta["resourceVersion"].is_null() {
            true => target.create(LEASES),
            // If the Lease was deleted, this creates it again.
            false => target.replace_one(LEASES, meta["name"].as_str().unwrap_or_default()),
        };
        match self.kubectl.create(&call, manifest) {
            Ok(lease) => Ok(Some(lease)),
            Err(error) => match error.refusal() {
                Refusal::AlreadyExists | Refusal::Conflict => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Changes a Lease that this contender holds, whatever its version. Returns false if it does not hold it any more.
    fn update(
        &self,
        lease: &mut Lease,
        change: fn(&Contender, &Lease, DateTime<Utc>) -> Value,
    ) -> Result<bool, ProcessError> {
        if let Some(new) = self.write(&change(&self.me, lease, now()))? {
            *lease = new;
            return Ok(true);
        }
        // An earlier write may have succeeded, and its answer was lost.
        let is_same = |found: &Lease| found.metadata.name == lease.metadata.name && self.me.has(found);
        let Some(found) = self.read()?.into_iter().find(is_same) else { return Ok(false) };
        *lease = found;
        let written = self.write(&change(&self.me, lease, now()))?;
        Ok(written.map(|new| *lease = new).is_some())
    }

    /// Deletes a ticket, unless it was deleted or renewed meanwhile.
    fn delete(&self, ticket: &Lease) -> Result<(), ProcessError> {
        let call = self.kubectl.target.delete(LEASES, &ticket.metadata.name);
        let options = calls::delete_options(&json!({"resourceVersion": ticket.metadata.resource_version}));
        match self.kubectl.act(&call, &options) {
            Err(error) if matches!(error.refusal(), Refusal::NotFound | Refusal::Conflict) => Ok(()),
            outcome => outcome,
        }
    }

    fn fail(&self, error: &ProcessError) -> Fail {
        let fail = error.fail();
        let namespace = &self.kubectl.target.namespace;
        match error.refusal() {
            Refusal::Forbidden if error.lacks_right() => fail.remedy(grant(namespace)),
            Refusal::NotFound => {
                Fail::new(Exit::Precondition, format!("the Leases cannot be created: {}", fail.what)).remedy(format!(
                    "create the namespace of the locks (kubectl create namespace {namespace}), or set BAK_LOCK_NAMESPACE; {BY_CHART}"
                ))
            }
            _ => fail,
        }
    }

    /// The same with short timeouts and no retries: a call that hangs must end before the next renewal is due.
    fn brief(&self) -> Api {
        let mut kubectl = self.kubectl.clone();
        // A call that hangs is killed ten seconds after the timeout that kubectl has.
        let limit = renew_interval(self.me.slots()).saturating_sub(Duration::from_secs(10)).max(Duration::from_secs(1));
        kubectl.target.request_timeout = kubectl.target.request_timeout.min(limit);
        kubectl.retry_timeout = Duration::ZERO;
        Api { kubectl, me: self.me.clone() }
    }
}

/// How often a Lease is renewed: three times before it expires, so that one renewal may fail.
fn renew_interval(slots: &Slots) -> Duration {
    slots.duration / 3
}

/// The time that is written into Leases, for people to read; nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "a Lease says when it was renewed, and that is not known at the start")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A contender that waits for a lock.
struct Turn<'a> {
    locks: &'a LeaseLocks,
    api: Api,
    began: Instant,
    watched: Watched,
    /// The Leases that were read last.
    leases: Vec<Lease>,
    expired: BTreeSet<String>,
    /// The number of its ticket, and when that was written last.
    ticket: Option<(u64, Instant)>,
    /// Whether something was written that must be removed again.
    wrote: bool,
}

impl Turn<'_> {
    fn wait(&mut self) -> Result<Lease> {
        let slots = &self.locks.slots;
        let pause = PAUSE.min(slots.duration / 30);
        let mut logged = false;
        loop {
            super::check_interrupted(|| self.holders())?;
            let last = self.began.elapsed() >= self.locks.timeout;
            self.read()?;
            let taken = match self.api.me.next(&self.leases, &self.expired, last) {
                Move::Wait if last => {
                    let which = format!("all {} Leases, {}, in {}", slots.count, slots.range(), self.locks.namespace);
                    bail!(super::timed_out(self.locks.timeout, &which, &self.holders()));
                }
                Move::Wait => {
                    self.queue()?;
                    if !std::mem::replace(&mut logged, true) {
                        let before = self.locks.slots.waiting(&self.leases);
                        tracing::info!(
                            "waiting for one of {} locks, {before} wait before: {}",
                            slots.count,
                            self.holders()
                        );
                    }
                    process::sleep(pause.min(self.locks.timeout.saturating_sub(self.began.elapsed())));
                    continue;
                }
                Move::Hold(name) => self.leases.iter().find(|lease| lease.metadata.name == name).cloned(),
                Move::Take(number) => {
                    self.wrote = true;
                    let manifest = self.api.me.taken(number, &self.leases, now());
                    self.api.write(&manifest).map_err(|error| self.api.fail(&error))?
                }
            };
            // Another contender was faster: read the Leases again at once.
            if let Some(lease) = taken {
                self.delete_tickets();
                return Ok(lease);
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        let asked = self.began.elapsed();
        self.leases = self.api.read().map_err(|error| self.api.fail(&error))?;
        self.expired = self.watched.see(&self.leases, asked, self.began.elapsed());
        Ok(())
    }

    fn holders(&self) -> String {
        self.locks.slots.holders(&self.leases).join(", ")
    }

    /// Creates or renews its ticket, and deletes the expired tickets of others.
    fn queue(&mut self) -> Result<()> {
        let fail = |error: ProcessError| self.api.fail(&error);
        let own = self.api.me.ticket(&self.leases);
        for ticket in self.locks.slots.tickets(&self.leases) {
            if self.expired.contains(&ticket.metadata.name) && !self.api.me.has(ticket) {
                self.api.delete(ticket).map_err(fail)?;
            }
        }
        let manifest = match (own, self.ticket) {
            (Some(_), Some((_, renewed))) if renewed.elapsed() < renew_interval(&self.locks.slots) => return Ok(()),
            (Some(own), _) => self.api.me.renewed(own, now()),
            // Others deleted the ticket as expired: it is created again, with its old number.
            (None, had) => {
                let (turn, manifest) = self.api.me.queued(&self.leases, had.map(|(turn, _)| turn), now());
                self.ticket = Some((turn, Instant::now()));
                manifest
            }
        };
        self.wrote = true;
        if let Some((_, renewed)) = &mut self.ticket {
            *renewed = Instant::now();
        }
        // If this failed, the next read shows it.
        self.api.write(&manifest).map_err(fail)?;
        Ok(())
    }

    /// Deletes its ticket and expired ones, once it has a lock.
    fn delete_tickets(&self) {
        for ticket in self.locks.slots.tickets(&self.leases) {
            if !self.api.me.has(ticket) && !self.expired.contains(&ticket.metadata.name) {
                continue;
            }
            if let Err(error) = self.api.delete(ticket) {
                let fail = self.api.fail(&error);
                tracing::warn!(remedy = fail.remedy, "a place in the queue was left behind, until it expires: {fail}");
            }
        }
    }

    /// Removes all that it wrote, if it gets no lock.
    fn withdraw(&self) {
        if !self.wrote {
            return;
        }
        let api = self.api.brief();
        let tidy = || -> Result<(), ProcessError> {
            for mut lease in api.read()?.into_iter().filter(|lease| api.me.has(lease)) {
                match self.locks.slots.is_ticket(&lease) {
                    true => api.delete(&lease)?,
                    false => api.update(&mut lease, Contender::released).map(drop)?,
                }
            }
            Ok(())
        };
        if let Err(error) = process::unhurried(tidy) {
            tracing::warn!("a Lease may be left in {} until it expires: {error}", self.locks.namespace);
        }
    }
}

impl HeldLease {
    /// Renews the Lease until it is dropped.
    fn keep(waited: Duration, api: Api, lease: Lease) -> HeldLease {
        let name = format!("Lease {} in {}", lease.metadata.name, api.kubectl.target.namespace);
        let (stop, stopped) = mpsc::channel();
        let keeper = Keeper { name: name.clone(), api: api.brief(), lease };
        // A signal must not end the renewal, nor the release.
        let keeper = thread::spawn(move || process::unhurried(|| keeper.keep(&stopped)));
        HeldLease { name, waited, stop: Some(stop), keeper: Some(keeper) }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Renews a Lease, on a thread.
struct Keeper {
    name: String,
    api: Api,
    lease: Lease,
}

impl Keeper {
    fn keep(mut self, stopped: &Receiver<()>) {
        let (pause, duration) = (renew_interval(self.api.me.slots()), self.api.me.slots().duration);
        let (mut tried, mut renewed, mut logged) = (Instant::now(), Instant::now(), false);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause.saturating_sub(tried.elapsed())) {
            tried = Instant::now();
            match self.api.update(&mut self.lease, Contender::renewed) {
                Ok(true) => (renewed, logged) = (tried, false),
                Ok(false) => {
                    tracing::warn!("{} was taken by another backup; this one continues without a node lock", self.name);
                    return;
                }
                Err(error) if renewed.elapsed() >= duration && !std::mem::replace(&mut logged, true) => tracing::warn!(
                    "{} could not be renewed for {}, others may take it; the backup continues: {error}",
                    self.name,
                    humantime::format_duration(duration)
                ),
                Err(error) => tracing::debug!("{} could not be renewed: {error}", self.name),
            }
        }
        match self.api.update(&mut self.lease, Contender::released) {
            Ok(true) => {}
            Ok(false) => tracing::warn!("{} was taken by another backup before it was released", self.name),
            Err(error) => tracing::warn!("{} could not be released, and expires: {error}", self.name),
        }
    }
}
