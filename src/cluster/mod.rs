//! What is done in the cluster with kubectl. Must not know what a dump is.

pub mod bulk;
pub mod delete_snapshot;
pub mod dry_run;
pub mod failure;
pub mod kubectl;
#[cfg(test)]
mod kubectl_minors;
pub mod refusal;
pub mod restore_in_place;
pub mod scratch_pod;
pub mod survey;
pub mod versions;
pub mod watch;
