//! Kubernetes objects as data: what is read of them, what is sent, and the argument lists of kubectl. Must not know what a backup
//! is made of.

#[path = "../../core/target.rs"]
pub mod calls;
#[path = "../../core/claim.rs"]
pub mod claim_manifest;
#[path = "../../core/shield.rs"]
pub mod kubectl_env;
#[path = "../../core/labels.rs"]
pub mod labels;
#[path = "../../core/scene.rs"]
pub mod namespace_objects;
#[path = "../../core/observed.rs"]
pub mod objects;
#[path = "../../core/quantity.rs"]
pub mod quantity;
#[path = "../../core/quota.rs"]
pub mod quota;
