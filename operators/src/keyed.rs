//! A [`KeyedStream`]: records grouped by key, so that what follows may keep state for each key.
//!
//! Made by `key_by`. On the wire its batches are `Batch<(K, T)>` with the hash of each key, which
//! was computed once and serves routing, key group and table. The edge behind it is
//! `Partitioning::Hash`: all records of a key reach one subtask, in their order.

use std::fmt;

use riverrun_engine::data::{Data, Key};
use riverrun_engine::operator::Operator;
use riverrun_engine::state::Declare;

use crate::job::Step;
use crate::stream::Stream;

/// Records of type `T` grouped by keys of type `K`.
#[must_use = "a keyed stream goes nowhere: follow it with `process`, `reduce`, `window`, ..."]
pub struct KeyedStream<K, T> {
    /// The records with their keys, exchanged by hash.
    pub(crate) records: Stream<(K, T)>,
}

impl<K, T> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        KeyedStream { records: self.records.clone() }
    }
}

impl<K, T> fmt::Debug for KeyedStream<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyed{:?}", self.records)
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// How many copies of the `key_by` just written run side by side. The step behind it has a
    /// parallelism of its own.
    pub fn parallelism(self, n: u32) -> Self {
        KeyedStream { records: self.records.parallelism(n) }
    }

    /// Writes down an operator that keeps state for each key.
    pub(crate) fn operator<Op, F>(self, step: Step, open: F) -> Stream<Op::Out>
    where
        Op: Operator<In = (K, T)>,
        F: Fn(&mut Declare<K>) -> Op + Send + Sync + 'static,
    {
        self.records.operator(step, open)
    }
}
