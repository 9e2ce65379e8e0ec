//! The state of backups: status, doctor, lists and metrics. Must not know how objects are read or reports printed.

pub mod cronjob;
pub mod doctor;
pub mod listing;
pub mod metrics;
pub mod notification;
pub mod rights;
pub mod status;
