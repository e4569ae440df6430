//! The contracts of Riverrun: what a job is. No executor, no storage, no connectors.
//!
//! Records ([`element`]) flow from [`source`]s through [`operator`]s, which keep [`state`] by
//! [`key`] and fire by event [`time`] and [`watermark`]s, into [`sink`]s. A job is a [`graph`] of
//! these, [`erased`] to batches. Barriers cut [`checkpoint`]s; [`compat`] says whether a job may
//! restore one. [`testing`] drives a single operator by hand, in the order the runtime does: it is
//! the runtime's specification.

pub mod data;
pub mod bad;
pub mod key;
pub mod time;
pub mod clock;
pub mod element;
pub mod checkpoint;
pub mod context;
pub mod source;
pub mod watermark;
pub mod state;
pub mod timer;
pub mod output;
pub mod operator;
pub mod metrics;
pub mod sink;
pub mod erased;
pub mod graph;
pub mod error;
pub mod compat;
pub mod testing;

pub use operator::Result;
