//! Testing without a runtime: [`OperatorHarness`] drives one operator in the runtime's order,
//! [`Contract`] holds an operator and whoever drives it to that order, [`MemorySpillDoor`] stands
//! in for the disk, [`TalliedSpillDoor`] counts what is asked of it, [`check_spill`] says what
//! every spill must do.

mod contract;
mod harness;
mod spill;
mod tallied;

pub use contract::{Contract, ContractError, Rule, checked};
pub use harness::{HarnessSnapshot, OperatorHarness};
pub use spill::{MemorySpill, MemorySpillDoor, SpillStep, check_spill, walk};
pub use tallied::TalliedSpillDoor;
