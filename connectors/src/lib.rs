//! Where Riverrun's records come from and go: sources and sinks.
//!
//! Each connector is a folder or file of its own and knows only the contracts of `riverrun_engine`.
//! [`memory`] and [`datagen`] feed tests and examples, [`file`] reads and writes files exactly
//! once, [`print`] shows records, [`null`] counts them. [`testing`] holds what every source and
//! sink must keep to: a connector of your own can run it too.

pub mod datagen;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
pub mod null;
pub mod print;
pub mod testing;
