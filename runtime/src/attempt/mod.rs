//! One run of a job between start and stop or crash: wired, restored, coordinated, torn down.

pub mod carried;
pub mod coordinator;
pub mod growing;
pub mod memory;
pub mod merger;
pub mod participants;
pub mod restore;
pub mod start;
pub mod wiring;
pub mod worker;
pub mod write;
