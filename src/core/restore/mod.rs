//! Restores and restore tests of VolumeSnapshots, and care for their stored data. Must not know how requests are sent.

pub mod clone;
pub mod dry_run;
pub mod in_place;
pub mod new_claim;
pub mod rebind;
#[cfg(test)]
mod sample;
pub mod server_version;
pub mod stored_data;
pub mod sync_metadata;
pub mod verify;
pub mod workloads;
