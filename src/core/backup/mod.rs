//! One backup: the choice of the pod, the preflight of the dump, its proof, and the VolumeSnapshot to create. Must not know how
//! any of it is read or sent.

pub mod compression;
pub mod databases;
pub mod default_dump_file;
pub mod event;
pub mod find_proof;
pub mod foreign_file;
pub mod globals;
pub mod grants;
pub mod inventory;
pub mod job;
pub mod manifest;
pub mod name;
pub mod one_table;
pub mod pod;
pub mod preflight;
pub mod proof;
pub mod tool_error;
