//! Kubernetes objects: the fields that are read, the manifests that are sent, and the argument lists of kubectl. Must not know
//! what a backup consists of.

pub mod access;
pub mod calls;
pub mod claim_manifest;
pub mod json;
pub mod klog;
pub mod kubectl_env;
pub mod labels;
pub mod list_reader;
pub mod namespace_objects;
pub mod objects;
pub mod pace;
pub mod quantity;
pub mod quota;
