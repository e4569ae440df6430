//! The data plane of one subtask: what comes in ([`inbox`], [`gate`]), the fused operators
//! ([`chain`]), where it goes ([`outlet`]), and the loops that join them.

pub mod build;
pub mod chain;
pub mod emitter;
pub mod failure;
pub mod gate;
pub mod inbox;
pub mod operator_task;
pub mod outlet;
pub mod report;
pub mod source_task;
