//! The locks of a node, of one kind or the other: lock files, or Leases where a pod must not mount a directory of its node.
//! Must not know why somebody wants a lock.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cluster::kubectl::Kubectl;
use crate::core::kube::calls::Target;
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::process;

pub mod flock;
pub mod lease;

/// Which locks there are, and how long to wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeLocks {
    /// Lock files on the node.
    Flock(flock::LockFiles),
    /// Leases in the cluster.
    Lease(lease::LeaseLocks),
}

/// The locks of a node as they are, and how many wait for one, where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// `flock` or `lease`.
    pub kind: &'static str,
    /// The directory or namespace that they are in.
    pub place: String,
    /// The locks.
    pub locks: Vec<LockState>,
    /// How many wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
}

/// One lock as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockState {
    /// Its name.
    pub lock: String,
    /// Whether somebody holds it.
    pub held: bool,
    /// Who, as far as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The holder's process here, where that can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Since when, as far as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct HeldLock {
    /// Which one it is, for people.
    pub name: String,
    /// How long it took to get it.
    pub waited: Duration,
    _guard: Guard,
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are held, no more")]
enum Guard {
    File(flock::HeldFlock),
    Lease(lease::HeldLease),
}

impl NodeLocks {
    /// Takes any one of them, at once if one is free and nobody waits, else in turn. Only Leases need the cluster, and
    /// connect.
    ///
    /// # Errors
    /// The locks cannot be used, no lock in time (it says who holds them), or a signal.
    pub fn acquire(&self, holder: &str, connect: impl FnOnce() -> Result<Kubectl, Fail>) -> Result<HeldLock, Fail> {
        match self {
            NodeLocks::Flock(locks) => {
                let held = locks.acquire(holder)?;
                Ok(HeldLock { name: held.path.display().to_string(), waited: held.waited, _guard: Guard::File(held) })
            }
            NodeLocks::Lease(locks) => {
                let held = locks.acquire(&connect()?, holder)?;
                Ok(HeldLock { name: held.name.clone(), waited: held.waited, _guard: Guard::Lease(held) })
            }
        }
    }

    /// What [`NodeLocks::acquire`] does, as a step of a plan.
    pub fn step(&self, target: &Target) -> PlanStep {
        match self {
            NodeLocks::Flock(locks) => {
                let waits = humantime::format_duration(locks.timeout);
                let (count, dir) = (locks.count, locks.dir.display());
                PlanStep::new(format!("Take one of {count} locks in {dir}, waiting up to {waits}"))
            }
            NodeLocks::Lease(locks) => locks.step(target),
        }
    }
}

/// No signal came, and the whole run has time left. `holders` tells who holds the locks.
fn go_on(holders: impl Fn() -> String) -> Result<(), Fail> {
    if let Some(signal) = process::signal() {
        let what = format!("ended by signal {signal} while waiting for a lock");
        return Err(Fail::new(Exit::Signal(signal), what));
    }
    if process::hurried().is_some() {
        let what = format!("the time of the whole run is up, still waiting for a lock: {}", holders());
        return Err(Fail::new(Exit::Lock, what)
            .remedy("wait for the backups at work on this node, or raise BAK_TIMEOUT (--timeout)"));
    }
    Ok(())
}

/// Time to wait for one of `which` is over.
fn too_late(timeout: Duration, which: &str, holders: &str) -> Fail {
    let timeout = humantime::format_duration(timeout);
    Fail::new(Exit::Lock, format!("no lock within {timeout}: {which} are held: {holders}"))
        .remedy("wait for the backups at work on this node, or raise BAK_FLOCK_TIMEOUT_SEC or BAK_FLOCK_COUNT")
}
