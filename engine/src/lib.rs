//! The contracts of Riverrun: what a job is. No executor, no storage, no connectors.
//!
//! Records ([`element`]) flow from [`source`]s through [`operator`]s, which keep [`state`] by
//! [`key`] and fire by event [`time`] and [`watermark`]s, into [`sink`]s. A job is a [`graph`] of
//! these, [`erased`] to batches. Barriers cut [`checkpoint`]s; [`compat`] says whether a job may
//! restore one. [`testing`] drives a single operator by hand, in the order the runtime does: it is
//! the runtime's specification.

pub mod bad;
pub mod checkpoint;
pub mod clock;
pub mod compat;
pub mod console;
pub mod context;
pub mod crash;
pub mod data;
mod deal;
pub mod element;
pub mod erased;
pub mod error;
pub mod graph;
pub mod key;
pub mod metrics;
pub mod operator;
pub mod output;
pub mod outside;
#[cfg_attr(not(feature = "planted"), path = "planted_absent.rs")]
pub mod planted;
pub mod rehearsal;
pub mod sink;
pub mod source;
pub mod state;
pub mod testing;
pub mod time;
pub mod timer;
pub mod watermark;

/// Whether this process makes a mistake on purpose: see [`planted`].
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is($name)
    };
}

pub use operator::Result;
