//! Which VolumeSnapshots stay and which go. Must not know how they are labelled or deleted.

#[path = "../../core/history.rs"]
pub mod history;
#[path = "../../core/sweep.rs"]
pub mod mark_and_delete;
#[path = "../../core/removal.rs"]
pub mod removal;
#[path = "../../core/retention.rs"]
pub mod retain;
#[path = "../../core/slot.rs"]
pub mod slot;
