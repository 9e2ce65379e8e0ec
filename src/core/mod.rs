//! The pure core: decisions and their reasons.
//!
//! Nothing in it starts a process, reads a clock, the environment or a file, or prints. The time and what was observed are
//! arguments.

pub mod backup;
pub mod engine;
pub mod escape;
pub mod export;
pub mod health;
#[cfg(test)]
mod hostile;
pub mod kube;
pub mod lease;
pub mod plan;
pub mod restore;
pub mod retention;
pub mod time_zone;
pub mod words;
