//! The steps of one backup: observe, dump, recheck, create the VolumeSnapshots. Must not know which command runs them.

pub mod cronjob_settings;
pub mod databases;
pub mod dump;
pub mod dump_path;
pub mod hooks;
pub mod inspect_dump;
pub mod load;
pub mod observe;
pub mod snapshots;
