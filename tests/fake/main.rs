//! The real binary against a kubectl whose faults are chosen, one module a command or a promise: what it says, how many processes
//! and requests it takes, what it never touches, and what is left after any fault.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by panicking, and play the world that the program runs in"
)]

mod cli;
mod create_fault_cases;
mod create_fault_matrix;
mod create_runs;
mod doctor;
mod export;
mod from_cronjob;
mod hostile;
mod kubectl_env;
mod leases;
mod list_delete_env;
mod locks;
mod notifications;
mod prune;
mod restore_from;
mod restore_in_place_matrix;
mod several_databases;
mod status;
mod support;
mod sync_metadata;
