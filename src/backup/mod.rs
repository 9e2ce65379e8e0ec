//! One backup, step by step: find what it works on, dump, prove, and have the VolumeSnapshots cut. Must not know which command asked.

#[path = "../lender.rs"]
pub mod cronjob_settings;
#[path = "../dump.rs"]
pub mod dump;
#[path = "../hooks.rs"]
pub mod hooks;
#[path = "../dump_file.rs"]
pub mod inspect_dump;
#[path = "../load.rs"]
pub mod load;
#[path = "../observe.rs"]
pub mod observe;
#[path = "../cut.rs"]
pub mod snapshots;
