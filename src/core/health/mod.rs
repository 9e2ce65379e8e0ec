//! How well backups fare: status, doctor, lists and metrics. Must not know how it is read or printed.

#[path = "../../core/schedule.rs"]
pub mod cronjob;
#[path = "../../core/doctor.rs"]
pub mod doctor;
#[path = "../../core/listing.rs"]
pub mod listing;
#[path = "../../core/metrics.rs"]
pub mod metrics;
#[path = "../../core/status.rs"]
pub mod status;
