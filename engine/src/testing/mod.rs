//! Testing without a runtime: [`OperatorHarness`] drives one operator in the runtime's order,
//! [`MemorySpillDoor`] stands in for the disk, [`check_spill`] says what every spill must do.

mod harness;
mod spill;

pub use harness::{HarnessSnapshot, OperatorHarness};
pub use spill::{MemorySpill, MemorySpillDoor, SpillStep, check_spill, walk};
