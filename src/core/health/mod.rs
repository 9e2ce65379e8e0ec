//! How well backups fare: status, doctor, lists and metrics. Must not know how it is read or printed.

pub mod cronjob;
pub mod doctor;
pub mod listing;
pub mod metrics;
pub mod status;
