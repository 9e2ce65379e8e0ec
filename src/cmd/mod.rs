//! The commands, one file each: gather, plan, do, report. What they decide with is in the core, what they act with are
//! the edges.

pub mod adhoc;
pub mod by_hand;
pub mod completion;
pub mod create;
pub mod delete;
pub mod delete_vsc;
pub mod doctor;
pub mod env;
pub mod list;
pub mod locks;
pub mod man;
pub mod mark_and_delete;
mod prune;
pub mod rebind_vsc;
pub mod restore;
pub mod retain;
mod show;
pub mod status;
pub mod sync_metadata_to_vsc;
pub mod trust;
pub mod verify;

use chrono::{DateTime, Utc};

/// The clock is read here, once; decisions get the time as an argument.
#[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}
