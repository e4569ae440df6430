//! Windows: which records belong together in event time, and what is kept of them.
//!
//! An [`assigner`] is what the user writes; it becomes a [`slices::Grid`] or a gap. [`operator`]
//! runs the grid with an [`aggregate`], [`fold`] with a closure, [`session`] runs the gap. All
//! three fire by the watermark, in parts, and share [`late`]. Joined to the language in
//! `windowed.rs`.
//!
//! Invariants: a window fires once, when the watermark has reached its end; its results bear the
//! last moment inside, `window.end - 1 ms`, so they are on time for a window of the same bounds
//! downstream; what has fired is told by the watermark alone, so nothing of it is kept in state.

mod aggregate;
mod assigner;
mod cursor;
mod fold;
mod late;
mod operator;
mod session;
mod slices;

use riverrun_engine::data::Data;
use riverrun_engine::output::Output;
use riverrun_engine::time::{Timestamp, Window, millis};
use serde::{Deserialize, Serialize};

pub use aggregate::{Aggregate, Count};
pub(crate) use assigner::Shape;
pub use assigner::{FoldableAssigner, Session, Sliding, SlidingEvery, Tumbling, WindowAssigner};
pub(crate) use fold::FoldOperator;
pub(crate) use late::Late;
pub(crate) use operator::SlicedOperator;
pub(crate) use session::SessionOperator;

#[cfg(test)]
mod tests;

/// The result of one window for one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Windowed<K, V> {
    /// The key.
    pub key: K,
    /// The span of event time that `value` speaks of.
    pub window: Window,
    /// What was made of the records.
    pub value: V,
}

/// Emits one result at the last moment of its window.
#[inline]
fn emit<K: Data, V: Data>(output: &mut Output<Windowed<K, V>>, key: K, window: Window, value: V) {
    output.emit(Windowed { key, window, value }, last_moment(window));
}

/// The timestamp of a window's results.
fn last_moment(window: Window) -> Timestamp {
    window.end - millis(1)
}
