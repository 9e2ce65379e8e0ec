//! The commands, one file each: gather, plan, do, report. What they decide with is in the core, what they act with are
//! the edges.

pub mod create;
