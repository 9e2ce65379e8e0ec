//! What one backup is made of: the choice of the pod, the questions before a dump, its proof, and the VolumeSnapshot to create.
//! Must not know how any of it is read or sent.

#[path = "../../core/event.rs"]
pub mod event;
#[path = "../../core/proven.rs"]
pub mod find_proof;
#[path = "../../core/grants.rs"]
pub mod grants;
#[path = "../../core/inventory.rs"]
pub mod inventory;
#[path = "../../core/job.rs"]
pub mod job;
#[path = "../../core/manifest.rs"]
pub mod manifest;
#[path = "../../core/name.rs"]
pub mod name;
#[path = "../../core/pod.rs"]
pub mod pod;
#[path = "../../core/look.rs"]
pub mod preflight;
#[path = "../../core/proof.rs"]
pub mod proof;
