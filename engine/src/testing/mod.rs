//! Testing without a runtime: [`OperatorHarness`] drives one operator in the runtime's order.

mod harness;

pub use harness::{HarnessSnapshot, OperatorHarness};
