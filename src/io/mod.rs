//! This process and its surroundings: child processes, output, the question to a person, one HTTP page. Must not know Kubernetes.

#[path = "../ask.rs"]
pub mod confirm;
#[path = "../page.rs"]
pub mod metrics_server;
#[path = "../process.rs"]
pub mod process;
#[path = "../report.rs"]
pub mod report;
