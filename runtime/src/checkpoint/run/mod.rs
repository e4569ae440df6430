//! Base runs: the live rows of a range of key groups, sorted, in one file.
//!
//! Written by [`merge`] in the background, read by [`super::view`] for restores, merges and the
//! command line. [`format`] describes the file byte by byte; [`overlay`] is what deltas do to rows,
//! [`puts`] and [`held`] are the quick way where they only put.

pub mod filter;
pub mod format;
pub mod held;
pub mod merge;
pub mod overlay;
pub mod puts;
pub mod reader;
pub mod writer;

#[cfg(test)]
mod tests;

pub use held::{HeldPuts, HeldPutsBuilder};
pub use overlay::{Overlay, RemovalsFirst, overlaid, sorted};
pub use puts::{Put, Puts};
pub use reader::{Row, RunReader};
pub use writer::RunWriter;
