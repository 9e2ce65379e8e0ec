//! `locks`: the locks of this node, who holds them, and that its lock files can be used by everyone.

use anyhow::Result;
use serde_json::json;

use crate::cluster::kubectl::Kubectl;
use crate::cmd::now;
use crate::cmd::show::{show, table};
use crate::config::{Global, LocksConfig, hostname};
use crate::core::escape::Secrets;
use crate::core::words::age;
use crate::io::report::Reporter;
use crate::lock::{Listing, LockState, NodeLocks, flock};

/// Lists them, or makes the files usable for everyone on this node.
///
/// # Errors
/// They cannot be read, or not be made.
pub fn run(global: &Global, config: &LocksConfig, reporter: &Reporter) -> Result<()> {
    let (listing, whose) = match &config.locks {
        NodeLocks::Flock(locks) if config.prepare => return prepare(global, locks, reporter),
        NodeLocks::Flock(locks) => {
            let whose = format!("Lock files in {}, as seen on {}", locks.dir.display(), hostname());
            (locks.list()?, whose)
        }
        NodeLocks::Lease(locks) => {
            let whose = format!("Leases of the node {} in the namespace {}", locks.slots.node(), locks.namespace);
            let kubectl = Kubectl::connect(&global.asked, Secrets::default(), global.retry_timeout)?;
            (locks.list(&kubectl)?, whose)
        }
    };
    show(reporter, global.output, &listing, || format!("{whose}\n{}", text(&listing)))
}

/// Makes the files usable for everyone.
fn prepare(global: &Global, locks: &flock::LockFiles, reporter: &Reporter) -> Result<()> {
    if !global.dry_run {
        locks.prepare()?;
    }
    let result = json!({"dryRun": global.dry_run, "directory": locks.dir, "count": locks.count});
    show(reporter, global.output, &result, || {
        let did = if global.dry_run { "Dry run, nothing was changed: would prepare" } else { "Prepared" };
        format!("{did} {} lock files in {}\n", locks.count, locks.dir.display())
    })
}

fn text(listing: &Listing) -> String {
    let now = now();
    let row = |seen: &LockState| {
        let holder = match (&seen.holder, seen.pid) {
            (Some(holder), _) => holder.clone(),
            (None, Some(pid)) => format!("process {pid}, which does not say"),
            (None, None) if seen.held => "an unnamed holder".into(),
            (None, None) => String::new(),
        };
        let since = seen.since.map(|since| format!("{} ago", age(now - since))).unwrap_or_default();
        [seen.lock.clone(), if seen.held { "held" } else { "free" }.into(), since, holder].to_vec()
    };
    let mut text = table(&["LOCK", "STATE", "SINCE", "HOLDER"], listing.locks.iter().map(row));
    if let Some(waiting) = listing.waiting.filter(|waiting| *waiting > 0) {
        text.push_str(&format!("{waiting} waiting\n"));
    }
    text
}
