//! This process and its surroundings: child processes, output, the question to a person, one HTTP page. Must not know Kubernetes.

pub mod confirm;
pub mod metrics_server;
pub mod process;
pub mod report;
pub mod wait;
