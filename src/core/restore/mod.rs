//! What is made of a VolumeSnapshot, and what is made good again. Must not know how it is sent.

#[path = "../../core/dry_run.rs"]
pub mod dry_run;
#[path = "../../core/restore.rs"]
pub mod in_place;
#[path = "../../core/rebind.rs"]
pub mod rebind;
#[path = "../../core/stored_data.rs"]
pub mod stored_data;
#[path = "../../core/mirror.rs"]
pub mod sync_metadata;
#[path = "../../core/verify.rs"]
pub mod verify;
