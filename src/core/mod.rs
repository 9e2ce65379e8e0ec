//! The pure core: it decides and explains.
//!
//! Nothing below here starts a process, reads a clock, the environment or a file, or prints. Time is an
//! argument, observations are arguments, and decisions come back together with their reasons.

pub mod claim;
pub mod doctor;
pub mod dry_run;
pub mod engine;
pub mod escape;
pub mod event;
pub mod grants;
pub mod history;
#[cfg(test)]
mod hostile;
pub mod inventory;
pub mod job;
pub mod labels;
pub mod lease;
pub mod listing;
pub mod look;
pub mod manifest;
pub mod metrics;
pub mod mirror;
pub mod name;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod proof;
pub mod proven;
pub mod quantity;
pub mod quota;
pub mod rebind;
pub mod removal;
pub mod restore;
pub mod retention;
pub mod scene;
pub mod schedule;
pub mod shield;
pub mod slot;
pub mod status;
pub mod stored_data;
pub mod sweep;
pub mod target;
pub mod verify;
pub mod zone;
