//! One backup, step by step: find what it works on, dump, prove, and have the VolumeSnapshots cut. Must not know which command asked.

pub mod cronjob_settings;
pub mod dump;
pub mod hooks;
pub mod inspect_dump;
pub mod load;
pub mod observe;
pub mod snapshots;
