//! Child processes, output, confirmation and the HTTP server of metrics. Must not know Kubernetes.

pub mod confirm;
pub mod metrics_server;
pub mod process;
pub mod random;
pub mod report;
pub mod wait;
