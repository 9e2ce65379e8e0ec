//! Kubernetes objects as data: what is read of them, what is sent, and the argument lists of kubectl. Must not know what a backup
//! is made of.

pub mod calls;
pub mod claim_manifest;
pub mod json;
pub mod kubectl_env;
pub mod labels;
pub mod namespace_objects;
pub mod objects;
pub mod quantity;
pub mod quota;
