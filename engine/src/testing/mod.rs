//! Testing without a runtime: [`OperatorHarness`] drives one operator in the runtime's order, and
//! [`Contract`] holds an operator and whoever drives it to that order.

mod contract;
mod harness;

pub use contract::{Contract, ContractError, Rule, checked};
pub use harness::{HarnessSnapshot, OperatorHarness};
