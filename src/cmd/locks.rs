//! `locks`: the lock files of this node.

use serde_json::json;

use crate::cmd::show::show;
use crate::config::Global;
use crate::exit::Fail;
use crate::lock::flock::Locks;
use crate::report::Reporter;

/// Makes them usable for everyone on this node.
///
/// # Errors
/// They cannot be made, or are not this user's to open to others.
pub fn run(global: &Global, locks: &Locks, reporter: &Reporter) -> Result<(), Fail> {
    if !global.dry_run {
        locks.prepare()?;
    }
    let told = json!({"dryRun": global.dry_run, "directory": locks.dir, "count": locks.count});
    show(reporter, global.output, &told, || {
        let did = if global.dry_run { "Dry run, nothing was changed: would prepare" } else { "Prepared" };
        format!("{did} {} lock files in {}\n", locks.count, locks.dir.display())
    })
}
