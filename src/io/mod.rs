//! Child processes, output, confirmation, the HTTP server of metrics and the HTTP client of notifications. Must not know Kubernetes.

pub mod confirm;
pub mod http_client;
pub mod metrics_server;
pub mod process;
pub mod random;
pub mod report;
pub mod wait;
