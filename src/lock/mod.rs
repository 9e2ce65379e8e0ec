//! Node locks, which limit how many backups run on a node at once: lock files, or Leases where a pod must not mount a
//! directory of its node. Must not know what a lock is taken for.

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cluster::kubectl::Kubectl;
use crate::core::kube::calls::Target;
use crate::core::plan::PlanStep;
use crate::exit::{Exit, Fail};
use crate::io::process;

pub mod flock;
pub mod lease;

/// The node locks, and how long to wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeLocks {
    Flock(flock::LockFiles),
    Lease(lease::LeaseLocks),
}

/// The state of the node locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// `flock` or `lease`.
    pub kind: &'static str,
    /// The directory, or the namespace of the Leases.
    pub place: String,
    pub locks: Vec<LockState>,
    /// How many processes wait for a lock, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LockState {
    /// The name of the file or Lease.
    pub lock: String,
    pub held: bool,
    /// The name that the holder wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// The holder's process id, if this pid namespace has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When the lock was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
}

/// A held node lock. Dropping it releases it.
#[derive(Debug)]
pub struct HeldLock {
    pub name: String,
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
    /// Takes any one of the locks: at once if one is free and the queue is empty, else in turn. `connect` is called only for
    /// Leases. If the time is over, the error names the holders.
    pub fn acquire(&self, holder: &str, connect: impl FnOnce() -> Result<Kubectl>) -> Result<HeldLock> {
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

    /// [`NodeLocks::acquire`] as a step of a plan.
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

/// Fails after a signal, or when the time of the whole run is up. `holders` names who holds the locks.
fn check_interrupted(holders: impl Fn() -> String) -> Result<(), Fail> {
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

/// The failure when the time to wait for one of `which` is over.
fn timed_out(timeout: Duration, which: &str, holders: &str) -> Fail {
    let timeout = humantime::format_duration(timeout);
    Fail::new(Exit::Lock, format!("no lock within {timeout}: {which} are held: {holders}"))
        .remedy("wait for the backups at work on this node, or raise BAK_FLOCK_TIMEOUT_SEC or BAK_FLOCK_COUNT")
}
