//! What every source and sink must keep to, as checks that run without the runtime: for the tests
//! of a connector of your own.
//!
//! ```
//! use riverrun_connectors::datagen::Datagen;
//! use riverrun_connectors::testing::check_source;
//! check_source(&Datagen::new(|i, _| i).count(100).splits(2)).expect("keeps the contract");
//! ```

mod doors;
mod drive;
#[cfg(test)]
mod planted;
mod sink;
mod source;

pub use doors::{block_on, context};
pub use sink::{Destination, check_sink};
pub use source::{check_source, read_all};
