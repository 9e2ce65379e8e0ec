//! The pure core: it decides and explains.
//!
//! Nothing below here starts a process, reads a clock, the environment or a file, or prints. Time is an
//! argument, observations are arguments, and decisions come back together with their reasons.

pub mod backup;
pub mod engine;
pub mod escape;
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
