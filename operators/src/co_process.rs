//! `connect(..).process(..)`: one function over two keyed streams, with state they share.
//!
//! Every operator has one typed input, so the two streams become one: on each side, before its
//! exchange by hash, a step tags the items ([`Either`]); the operator has two edges and is the
//! process operator around [`Connected`], which sends each tagged item to its side's method.

use std::ops::{Deref, DerefMut};

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::graph::Partitioning;
use riverrun_engine::state::Declare;
use riverrun_engine::timer::Timer;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::process::{Process, ProcessFunction};
use crate::stream::Stream;

/// A step over two streams of one key, with state and timers for each key.
///
/// The records of a key come in the order of their stream; which stream is first is not promised.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process function of two inputs",
    label = "`open` must return a `CoProcessFunction`",
    note = "implement `CoProcessFunction` for `{Self}`: `type Key`, `type Left`, `type Right`, \
            `type Out`, `fn process_left` and `fn process_right`"
)]
pub trait CoProcessFunction: Send + 'static {
    /// What both streams are keyed by.
    type Key: Key;
    /// What comes in from the stream that `connect` was called on.
    type Left: Data;
    /// What comes in from the other stream.
    type Right: Data;
    /// What goes out.
    type Out: Data;

    /// Takes the next record of a key from the left.
    ///
    /// # Errors
    /// Ends the attempt; the message should say what is wrong with the item.
    fn process_left(
        &mut self,
        item: Self::Left,
        ctx: &mut Context<Self::Key, Self::Out>,
    ) -> Result<()>;

    /// Takes the next record of a key from the right.
    ///
    /// # Errors
    /// Ends the attempt; the message should say what is wrong with the item.
    fn process_right(
        &mut self,
        item: Self::Right,
        ctx: &mut Context<Self::Key, Self::Out>,
    ) -> Result<()>;

    /// A timer of a key is due.
    ///
    /// # Errors
    /// Ends the attempt.
    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<Self::Key, Self::Out>) -> Result<()> {
        let _ = (timer, ctx);
        Ok(())
    }
}

/// Two streams of one key: made by [`KeyedStream::connect`].
#[derive(Clone, Debug)]
#[must_use = "connected streams go nowhere: follow them with `process`"]
pub struct ConnectedStreams<K, L, R> {
    left: KeyedStream<K, L>,
    right: KeyedStream<K, R>,
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Beside `right`, which has keys of the same type, for one function over both.
    pub fn connect<R: Data>(self, right: KeyedStream<K, R>) -> ConnectedStreams<K, T, R> {
        ConnectedStreams { left: self, right }
    }

    /// The same keys and hashes, the items tagged. The step stands before the exchange.
    fn tagged<E: Data>(self, step: Step, tag: fn(T) -> E) -> Stream<(K, E)> {
        let before = self.records.partitioned(Partitioning::Forward);
        let tagged = before.each_batch(step, move |batch, ctx| {
            ctx.emit_batch(batch.map_items(|(key, item)| (key, tag(item))));
            Ok(())
        });
        tagged.partitioned(Partitioning::Hash)
    }
}

impl<K: Key, L: Data, R: Data> ConnectedStreams<K, L, R> {
    /// A step of your own over both streams, with state and timers for each key. `open` is as in
    /// [`KeyedStream::process`].
    #[track_caller]
    pub fn process<P>(
        self,
        uid: &str,
        open: impl Fn(&mut Declare<K>) -> P + Send + Sync + 'static,
    ) -> Stream<P::Out>
    where
        P: CoProcessFunction<Key = K, Left = L, Right = R>,
    {
        let left = self.left.tagged(Step::unnamed("left"), Either::<L, R>::Left);
        let right = self.right.tagged(Step::unnamed("right"), Either::<L, R>::Right);
        let step = Step::named("co_process", uid);
        left.operator_of_two(&right, step, move |op: &mut Declare<K>| {
            Process::open(|op| Connected(open(op)), op)
        })
    }
}

/// An item of one of two connected streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Either<L, R> {
    /// Of the stream that `connect` was called on.
    Left(L),
    /// Of the other.
    Right(R),
}

/// A [`CoProcessFunction`] as a [`ProcessFunction`] over tagged items; the harness drives it.
#[derive(Debug)]
pub struct Connected<P>(pub P);

impl<P> Deref for Connected<P> {
    type Target = P;
    fn deref(&self) -> &P {
        &self.0
    }
}

impl<P> DerefMut for Connected<P> {
    fn deref_mut(&mut self) -> &mut P {
        &mut self.0
    }
}

impl<P: CoProcessFunction> ProcessFunction for Connected<P> {
    type Key = P::Key;
    type In = Either<P::Left, P::Right>;
    type Out = P::Out;

    #[inline]
    fn process(&mut self, item: Self::In, ctx: &mut Context<P::Key, P::Out>) -> Result<()> {
        match item {
            Either::Left(item) => self.0.process_left(item, ctx),
            Either::Right(item) => self.0.process_right(item, ctx),
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<P::Key, P::Out>) -> Result<()> {
        self.0.on_timer(timer, ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, harness_of, keyed_batch, uids};
    use riverrun_engine::element::Batch;
    use riverrun_engine::key::KeyHasher;
    use riverrun_engine::state::ValueState;
    use riverrun_engine::testing::OperatorHarness;
    use riverrun_engine::time::at;

    /// Joins each order with the last rate of its key.
    struct Priced {
        rate: ValueState<i64>,
    }

    impl CoProcessFunction for Priced {
        type Key = String;
        type Left = i64;
        type Right = i64;
        type Out = i64;

        fn process_left(&mut self, order: i64, ctx: &mut Context<String, i64>) -> Result<()> {
            let rate = self.rate.get(ctx)?.copied();
            ctx.emit(order * rate.unwrap_or(0));
            Ok(())
        }

        fn process_right(&mut self, rate: i64, ctx: &mut Context<String, i64>) -> Result<()> {
            self.rate.set(ctx, rate)
        }
    }

    #[test]
    fn both_sides_reach_one_state() {
        let sketch = Sketch::new();
        let orders = sketch.stream::<i64>().key_by(|_| "SE".to_owned());
        let rates = sketch.stream::<i64>().key_by(|_| "SE".to_owned());
        let open = |op: &mut Declare<String>| Priced { rate: op.value("rate") };
        let priced = orders.connect(rates).process("priced", open);
        let graph = sketch.0.graph();
        assert_eq!(
            uids(&graph),
            ["source", "key_by-1", "source", "key_by-3", "left-4", "right-5", "priced"]
        );
        let edges: Vec<_> = graph.inputs(priced.node).collect();
        assert!(edges.iter().all(|edge| edge.partitioning == Partitioning::Hash));
        let tag = graph.inputs(edges[0].from).next().expect("an input");
        assert_eq!(tag.partitioning, Partitioning::Forward);

        let mut harness = harness_of(&priced);
        let batch = keyed_batch([
            ("SE".to_owned(), Either::<i64, i64>::Left(3), at(1)),
            ("SE".to_owned(), Either::Right(10), at(2)),
            ("SE".to_owned(), Either::Left(3), at(3)),
        ]);
        harness.process(batch).expect("processes");
        assert_eq!(harness.take::<i64>(), [(0, at(1)), (30, at(3))]);
    }

    #[test]
    fn tagging_keeps_the_hashes() {
        let sketch = Sketch::new();
        let keyed = sketch.stream::<i64>().key_by(|n| *n);
        let tagged = keyed.tagged(Step::unnamed("left"), Either::<i64, i64>::Left);
        let mut found = None;
        tagged.graph.change(tagged.node, |node| found = Some(node.kind.clone()));
        let Some(riverrun_engine::graph::NodeKind::Operator(open)) = found else { panic!("found") };
        let mut harness = OperatorHarness::open(&open);
        let batch: Batch<(i64, i64)> = keyed_batch([(4, 4, at(0))]);
        harness.process(batch).expect("processes");
        let taken = harness.take::<(i64, Either<i64, i64>)>();
        assert_eq!(taken, [((4, Either::Left(4)), at(0))]);
        assert!(KeyHasher::default().hash(&4_i64).is_ok());
    }
}
