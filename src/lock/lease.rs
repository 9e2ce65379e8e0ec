//! The node's locks as Leases in the cluster, for pods that must not mount a directory of their node. Reads, writes and
//! renews them; which one is free and whose turn it is, the core decides. Must not know why somebody wants a lock.
//!
//! A Lease that is held is renewed on a thread of its own. It limits load and guards no data: whoever loses one to another,
//! because the API was away for too long, says so and goes on.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cluster::kubectl::{self, Kubectl, Refusal};
use crate::core::kube::calls::{self, LEASES, Target};
use crate::core::kube::objects::ObjectList;
use crate::core::lease::{Contender, Lease, LeaseState, Move, Slots, Watched};
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::process::{self, ProcessError};
use crate::lock::{Listing, LockState};

/// How often whoever waits looks; more often where a Lease lasts less than a minute.
const PAUSE: Duration = Duration::from_secs(2);

/// What is done with Leases.
pub const VERBS: [&str; 4] = ["list", "create", "update", "delete"];

/// What makes all that they need.
const BY_CHART: &str = "once in the cluster the chart makes the namespace and the Role \
                        (cluster.enabled=true, cluster.locks.enabled=true), docs/locks.md has both as YAML";

/// What to do where a verb is missing.
pub fn grant(namespace: &str) -> String {
    format!(
        "grant list, create, update and delete of leases (coordination.k8s.io) in the namespace {namespace}; {BY_CHART}"
    )
}

/// Which Leases there are and how long to wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseLocks {
    /// The namespace that they are in.
    pub namespace: String,
    /// Those of the node.
    pub slots: Slots,
    /// How long to wait for one.
    pub timeout: Duration,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct HeldLease {
    /// The Lease, for people.
    pub name: String,
    /// How long it took to get it.
    pub waited: Duration,
    /// Hung up to end the thread.
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl LeaseLocks {
    /// Takes any one of them, at once if one is free and nobody waits, else in turn.
    ///
    /// # Errors
    /// The Leases cannot be read or written, no lock in time (it says who holds them), or a signal.
    pub fn acquire(&self, kubectl: &Kubectl, holder: &str) -> Result<HeldLease, Fail> {
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
                turn.leave();
                Err(super::go_on(|| turn.holders()).err().unwrap_or(fail))
            }
        }
    }

    fn api(&self, kubectl: &Kubectl, holder: &str) -> Api {
        // Letters alone: the name of a ticket ends with them.
        let nonce: String = (0..10).map(|_| fastrand::lowercase()).collect();
        Api { kubectl: kubectl.in_namespace(&self.namespace), me: Contender::new(&self.slots, holder, &nonce) }
    }

    /// All of them that there are, and the tickets of those who wait.
    ///
    /// # Errors
    /// They cannot be read.
    fn look(&self, kubectl: &Kubectl) -> Result<Vec<Lease>, Fail> {
        let api = self.api(kubectl, "");
        api.look().map_err(|error| api.fail(&error))
    }

    /// They as they are.
    ///
    /// # Errors
    /// They cannot be read, or their namespace is not there.
    pub fn list(&self, kubectl: &Kubectl) -> Result<Listing, Fail> {
        let leases = self.look(kubectl)?;
        let api = self.api(kubectl, "");
        // A namespace that is not there has an empty list, and whoever may list Leases may not always read namespaces.
        match if leases.is_empty() { api.attempt() } else { Ok(()) } {
            Err(error) if kubectl::refusal(&error) == Refusal::NotFound => return Err(api.fail(&error)),
            _ => {}
        }
        let seen = |LeaseState { name, holder, since }| LockState {
            lock: name,
            held: holder.is_some(),
            holder,
            pid: None,
            since,
        };
        let locks = self.slots.each(&leases).into_iter().map(seen).collect();
        let waiting = Some(self.slots.waiting(&leases));
        Ok(Listing { kind: "lease", place: self.namespace.clone(), locks, waiting })
    }

    /// Whether they can be made and read; none is made. Returns a line about it.
    ///
    /// # Errors
    /// They cannot, or their namespace is not there, whose list is merely empty then.
    pub fn check(&self, kubectl: &Kubectl) -> Result<String, Fail> {
        let api = self.api(kubectl, "");
        match api.attempt() {
            // Somebody else's admission cannot be asked beforehand.
            Err(error) if !error.said().contains("does not support dry run") => return Err(api.fail(&error)),
            _ => {}
        }
        let leases = self.look(kubectl)?;
        let held = self.slots.each(&leases).iter().filter(|slot| slot.holder.is_some()).count();
        Ok(format!("{} Leases, {}, in {}, {held} of them held", self.slots.count, self.slots.range(), self.namespace))
    }

    /// What [`LeaseLocks::acquire`] does, as a step of a plan.
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

/// The way to the Leases, for one who wants one.
#[derive(Debug)]
struct Api {
    /// For their namespace.
    kubectl: Kubectl,
    me: Contender,
}

impl Api {
    fn look(&self) -> Result<Vec<Lease>, ProcessError> {
        let call = self.kubectl.target.list(LEASES, &self.me.slots().selector());
        self.kubectl.json::<ObjectList<Lease>>(&call).map(|list| list.items)
    }

    /// Asks whether a ticket could be created: the name of that is nobody else's.
    fn attempt(&self) -> Result<(), ProcessError> {
        let (_, manifest) = self.me.queued(&[], None, now());
        self.kubectl.act(&self.kubectl.target.try_create(LEASES), &manifest.to_string())
    }

    /// Creates a Lease, or replaces it in the version that its manifest says; none if somebody else did meanwhile, or this
    /// very call, whose first answer was lost.
    fn write(&self, manifest: &Value) -> Result<Option<Lease>, ProcessError> {
        let (meta, target) = (&manifest["metadata"], &self.kubectl.target);
        let call = match meta["resourceVersion"].is_null() {
            true => target.create(LEASES),
            // The API makes a Lease that is gone again.
            false => target.replace_one(LEASES, meta["name"].as_str().unwrap_or_default()),
        };
        match self.kubectl.create(&call, manifest) {
            Ok(lease) => Ok(Some(lease)),
            Err(error) => match kubectl::refusal(&error) {
                Refusal::AlreadyExists | Refusal::Conflict => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Writes what becomes of a Lease that it holds, in whichever version it is now; whether it holds it still.
    fn update(
        &self,
        lease: &mut Lease,
        change: fn(&Contender, &Lease, DateTime<Utc>) -> Value,
    ) -> Result<bool, ProcessError> {
        if let Some(new) = self.write(&change(&self.me, lease, now()))? {
            *lease = new;
            return Ok(true);
        }
        // An earlier write may have been done and its answer lost.
        let is_it = |found: &Lease| found.metadata.name == lease.metadata.name && self.me.has(found);
        let Some(found) = self.look()?.into_iter().find(is_it) else { return Ok(false) };
        *lease = found;
        let written = self.write(&change(&self.me, lease, now()))?;
        Ok(written.map(|new| *lease = new).is_some())
    }

    /// Deletes a ticket, unless it is gone or was renewed meanwhile.
    fn delete(&self, ticket: &Lease) -> Result<(), ProcessError> {
        let call = self.kubectl.target.delete(LEASES, &ticket.metadata.name);
        let options = calls::delete_options(&json!({"resourceVersion": ticket.metadata.resource_version}));
        match self.kubectl.act(&call, &options) {
            Err(error) if matches!(kubectl::refusal(&error), Refusal::NotFound | Refusal::Conflict) => Ok(()),
            outcome => outcome,
        }
    }

    fn fail(&self, error: &ProcessError) -> Fail {
        let fail = kubectl::fail(error);
        let namespace = &self.kubectl.target.namespace;
        match kubectl::refusal(error) {
            Refusal::Forbidden if fail.what.contains(" cannot ") => fail.remedy(grant(namespace)),
            Refusal::NotFound => {
                Fail::new(Exit::Precondition, format!("the Leases cannot be made: {}", fail.what)).remedy(format!(
                    "create the namespace of the locks (kubectl create namespace {namespace}), or set BAK_LOCK_NAMESPACE; {BY_CHART}"
                ))
            }
            _ => fail,
        }
    }

    /// The same for what must be done soon or not at all: even a call that hangs is over when the next renewal is due.
    fn brief(&self) -> Api {
        let mut kubectl = self.kubectl.clone();
        // A call that hangs is given ten seconds more than kubectl is told.
        let limit = third(self.me.slots()).saturating_sub(Duration::from_secs(10)).max(Duration::from_secs(1));
        kubectl.target.request_timeout = kubectl.target.request_timeout.min(limit);
        kubectl.retry_timeout = Duration::ZERO;
        Api { kubectl, me: self.me.clone() }
    }
}

/// How often a Lease is renewed: one renewal may fail.
fn third(slots: &Slots) -> Duration {
    slots.duration / 3
}

/// Written into Leases for people to read; nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "a Lease says when it was renewed, and that is not known at the start")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Somebody who waits for a lock.
struct Turn<'a> {
    locks: &'a LeaseLocks,
    api: Api,
    began: Instant,
    watched: Watched,
    /// As of the last look.
    leases: Vec<Lease>,
    expired: BTreeSet<String>,
    /// The number of its ticket, once it has one, and when that was written last.
    ticket: Option<(u64, Instant)>,
    /// Whether there may be something to take away again.
    wrote: bool,
}

impl Turn<'_> {
    fn wait(&mut self) -> Result<Lease, Fail> {
        let slots = &self.locks.slots;
        let pause = PAUSE.min(slots.duration / 30);
        let mut told = false;
        loop {
            super::go_on(|| self.holders())?;
            let last = self.began.elapsed() >= self.locks.timeout;
            self.look()?;
            let taken = match self.api.me.next(&self.leases, &self.expired, last) {
                Move::Wait if last => {
                    let which = format!("all {} Leases, {}, in {}", slots.count, slots.range(), self.locks.namespace);
                    return Err(super::too_late(self.locks.timeout, &which, &self.holders()));
                }
                Move::Wait => {
                    self.queue()?;
                    if !std::mem::replace(&mut told, true) {
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
            // Where another was faster, it looks again at once.
            if let Some(lease) = taken {
                self.step_out();
                return Ok(lease);
            }
        }
    }

    fn look(&mut self) -> Result<(), Fail> {
        let asked = self.began.elapsed();
        self.leases = self.api.look().map_err(|error| self.api.fail(&error))?;
        self.expired = self.watched.see(&self.leases, asked, self.began.elapsed());
        Ok(())
    }

    fn holders(&self) -> String {
        self.locks.slots.holders(&self.leases).join(", ")
    }

    /// Sees to it that it stands in the queue, and that nobody does who is gone.
    fn queue(&mut self) -> Result<(), Fail> {
        let fail = |error: ProcessError| self.api.fail(&error);
        let own = self.api.me.ticket(&self.leases);
        for ticket in self.locks.slots.tickets(&self.leases) {
            if self.expired.contains(&ticket.metadata.name) && !self.api.me.has(ticket) {
                self.api.delete(ticket).map_err(fail)?;
            }
        }
        let manifest = match (own, self.ticket) {
            (Some(_), Some((_, renewed))) if renewed.elapsed() < third(&self.locks.slots) => return Ok(()),
            (Some(own), _) => self.api.me.renewed(own, now()),
            // One that others took for expired is made again, at its old place.
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
        // If that was in vain, the next look shows it.
        self.api.write(&manifest).map_err(fail).map(drop)
    }

    /// Takes its ticket away, and those of whoever is gone: it has a lock.
    fn step_out(&self) {
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

    /// Takes away whatever it wrote: it gets no lock, or not any more.
    fn leave(&self) {
        if !self.wrote {
            return;
        }
        let api = self.api.brief();
        let tidy = || -> Result<(), ProcessError> {
            for mut lease in api.look()?.into_iter().filter(|lease| api.me.has(lease)) {
                match self.locks.slots.is_ticket(&lease) {
                    true => api.delete(&lease)?,
                    false => api.update(&mut lease, Contender::released).map(drop)?,
                }
            }
            Ok(())
        };
        if let Err(error) = process::unhurried(tidy) {
            tracing::warn!("something may be left in {} until it expires: {error}", self.locks.namespace);
        }
    }
}

impl HeldLease {
    /// Renews a Lease that was just taken, until it is dropped.
    fn keep(waited: Duration, api: Api, lease: Lease) -> HeldLease {
        let name = format!("Lease {} in {}", lease.metadata.name, api.kubectl.target.namespace);
        let (stop, stopped) = mpsc::channel();
        let keeper = Keeper { name: name.clone(), api: api.brief(), lease };
        // What keeps a lock, and lets go of it, is nothing that a signal cuts short.
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

/// Who renews a Lease.
struct Keeper {
    name: String,
    api: Api,
    lease: Lease,
}

impl Keeper {
    fn keep(mut self, stopped: &Receiver<()>) {
        let (pause, duration) = (third(self.api.me.slots()), self.api.me.slots().duration);
        let (mut tried, mut renewed, mut told) = (Instant::now(), Instant::now(), false);
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause.saturating_sub(tried.elapsed())) {
            tried = Instant::now();
            match self.api.update(&mut self.lease, Contender::renewed) {
                Ok(true) => (renewed, told) = (tried, false),
                Ok(false) => {
                    tracing::warn!("{} is another's now; the backup goes on without a lock of the node", self.name);
                    return;
                }
                Err(error) if renewed.elapsed() >= duration && !std::mem::replace(&mut told, true) => tracing::warn!(
                    "{} could not be renewed for {}, others may take it; the backup goes on: {error}",
                    self.name,
                    humantime::format_duration(duration)
                ),
                Err(error) => tracing::debug!("{} could not be renewed: {error}", self.name),
            }
        }
        match self.api.update(&mut self.lease, Contender::released) {
            Ok(true) => {}
            Ok(false) => tracing::warn!("{} was another's at the end", self.name),
            Err(error) => tracing::warn!("{} could not be let go, it expires: {error}", self.name),
        }
    }
}
