//! Decides which VolumeSnapshots are kept. Must not know how they are labelled or deleted.

pub mod deletion_objections;
pub mod group_member;
pub mod history;
pub mod mark_and_delete;
pub mod retain;
pub mod slot;
