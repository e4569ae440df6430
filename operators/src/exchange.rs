//! The steps that change which subtask takes a record: `key_by`, `union`, `rebalance`.
//!
//! `key_by` is an operator of its own, chained to what is before it: it makes the key and its hash,
//! once. The hash decides the subtask on the edge behind it.

use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::Partitioning;
use riverrun_engine::key::KeyHasher;
use riverrun_engine::operator::{Operator, OperatorContext};
use riverrun_engine::state::Declare;

use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Groups the records by key: all records of a key reach one subtask, in their order.
    #[track_caller]
    pub fn key_by<K>(self, f: impl Fn(&T) -> K + Send + Sync + 'static) -> KeyedStream<K, T>
    where
        K: Key,
    {
        let f = Arc::new(f);
        let open = move |_: &mut Declare| KeyBy {
            f: f.clone(),
            hasher: KeyHasher::default(),
            types: PhantomData,
        };
        let keyed = self.operator(Step::unnamed("key_by"), open);
        KeyedStream { records: keyed.partitioned(Partitioning::Hash) }
    }

    /// The records of both streams. The watermark is the lower of the two; the order is kept within
    /// each of the streams, not between them.
    #[track_caller]
    pub fn union(self, other: Stream<T>) -> Stream<T> {
        let pass = |_: &mut Declare| Pass(PhantomData);
        self.operator_of_two(&other, Step::unnamed("union"), pass)
    }

    /// Deals the records out to all subtasks of the next step in turn: against uneven load, at the
    /// price of their order.
    pub fn rebalance(self) -> Stream<T> {
        self.partitioned(Partitioning::Rebalance)
    }
}

struct KeyBy<T, K, F> {
    f: Arc<F>,
    hasher: KeyHasher,
    types: PhantomData<fn(T) -> K>,
}

impl<T: Data, K: Key, F> Operator for KeyBy<T, K, F>
where
    F: Fn(&T) -> K + Send + Sync + 'static,
{
    type In = T;
    type Out = (K, T);

    fn process(&mut self, batch: Batch<T>, ctx: &mut OperatorContext<'_, (K, T)>) -> Result<()> {
        let keys: Vec<K> = batch.items.iter().map(|item| (self.f)(item)).collect();
        let hashes = self.hasher.hash_all(&keys)?;
        ctx.output.emit_keyed(keys, Batch { hashes, ..batch });
        Ok(())
    }
}

struct Pass<T>(PhantomData<fn(T) -> T>);

impl<T: Data> Operator for Pass<T> {
    type In = T;
    type Out = T;

    fn process(&mut self, batch: Batch<T>, ctx: &mut OperatorContext<'_, T>) -> Result<()> {
        ctx.emit_batch(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, open_of, run, uids};
    use riverrun_engine::clock::ManualClock;
    use riverrun_engine::erased::{AnyBatch, OperatorEnv};
    use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange};
    use riverrun_engine::time::at;

    #[test]
    fn key_by_carries_the_key_and_its_frozen_hash() {
        let keyed = Sketch::new().stream::<u64>().key_by(|n| n % 3);
        assert_eq!(keyed.records.partitioning, Partitioning::Hash);
        let mut operator = open_of(&keyed.records)(KeyGroupRange::all(KEY_GROUPS), true).operator;
        let env = OperatorEnv { metrics: Arc::default(), clock: Arc::new(ManualClock::default()) };
        let batch =
            Batch { items: vec![7_u64, 5], timestamps: vec![at(1), at(2)], ..Batch::default() };
        operator.process(AnyBatch::new(batch), &env).expect("processes");
        let (_, batch) = operator.take_output().remove(0);
        let batch = batch.into_typed::<(u64, u64)>().expect("pairs");
        assert_eq!(batch.items, [(1, 7), (2, 5)]);
        assert_eq!(batch.timestamps, [at(1), at(2)]);
        let hash = |key: u64| KeyHasher::default().hash(&key).expect("hashes");
        assert_eq!(batch.hashes, [hash(1), hash(2)]);
    }

    #[test]
    fn a_union_has_two_inputs_and_a_clock_only_if_both_have() {
        let sketch = Sketch::new();
        let clocked = sketch.stream::<u64>();
        let bare = sketch.unclocked::<u64>().rebalance();
        let union = clocked.union(bare);
        let graph = sketch.0.graph();
        assert_eq!(uids(&graph), ["source", "source", "union-2"]);
        let ways: Vec<_> = graph.inputs(union.node).map(|edge| edge.partitioning).collect();
        assert_eq!(ways, [Partitioning::Forward, Partitioning::Rebalance]);
        assert!(!graph.node(union.node).has_clock);
        assert_eq!(run(union, [(3_u64, at(1))]), [(3, at(1))]);
    }

    #[test]
    fn streams_of_two_jobs_and_a_misplaced_parallelism_are_problems() {
        let (sketch, other) = (Sketch::new(), Sketch::new());
        let union = sketch.stream::<u64>().union(other.stream());
        assert!(!sketch.0.graph().node(union.node).problems.is_empty());
        let mapped = sketch.stream::<u64>().map(|n| n).rebalance().parallelism(3);
        assert!(!sketch.0.graph().node(mapped.node).problems.is_empty());
    }
}
