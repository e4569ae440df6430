//! `event_time` behind a source without a clock: timestamps and watermarks per subtask.
//!
//! The operator has a clock of its own, so it passes no watermark on but the end of the stream.
//! The clock is state: one entry under a key of the subtask's first key group. Restored at another
//! parallelism, a subtask goes on from the lowest clock among the entries that came to it, and from
//! the beginning where none came: a watermark may be late, never early.

use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_engine::Result;
use riverrun_engine::checkpoint::RestoredTime;
use riverrun_engine::data::{Data, Rmp};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange, KeyHash, KeyHasher};
use riverrun_engine::operator::{Operator, OperatorContext};
use riverrun_engine::state::{Declare, Slot, StateStore, Table};
use riverrun_engine::time::Timestamp;
use riverrun_engine::watermark::{WatermarkGenerator, Watermarks};

use crate::job::Step;
use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Gives the records their timestamps, and the stream watermarks, from here on.
    ///
    /// A source's own `.event_time(..)` is better where there is one: it has a clock for each
    /// split, so that none makes the records of a slower one late. This one has a clock for each
    /// subtask.
    #[track_caller]
    pub fn event_time(
        self,
        at: impl Fn(&T) -> Timestamp + Send + Sync + 'static,
        watermarks: Watermarks,
    ) -> Stream<T> {
        let at = Arc::new(at);
        // It owns state without a uid of the user's: counted among its like, the name is as
        // permanent as can be.
        let number = self.graph.count("event_time") + 1;
        let uid = Some(Uid::new(&format!("event_time-{number}")));
        let step = Step { uid, has_clock: Some(true), ..Step::unnamed("event_time") };
        self.operator(step, move |op: &mut Declare<u64>| EventTime {
            at: at.clone(),
            horizon: watermarks.clone(),
            generator: watermarks.generator(),
            emitted: Timestamp::MIN,
            clocks: op.table("#clock", Rmp),
            own: None,
            item: PhantomData,
        })
    }
}

struct EventTime<T, F> {
    at: Arc<F>,
    horizon: Watermarks,
    generator: Box<dyn WatermarkGenerator>,
    emitted: Timestamp,
    clocks: Slot<Table<u64, Timestamp>>,
    own: Option<(u64, KeyHash)>,
    item: PhantomData<fn(T) -> T>,
}

impl<T, F> EventTime<T, F> {
    fn own(&mut self, range: KeyGroupRange) -> Result<(u64, KeyHash)> {
        match self.own {
            Some(own) => Ok(own),
            None => Ok(*self.own.insert(key_in(range)?)),
        }
    }

    /// Keeps the generator's state under this subtask's key.
    fn keep(&mut self, state: &mut StateStore) -> Result<()> {
        let (key, hash) = self.own(state.range())?;
        let now = self.generator.state();
        let clocks = state.get_mut(self.clocks);
        if clocks.get(hash, &key)? != Some(&now) {
            clocks.insert(hash, &key, now)?;
        }
        Ok(())
    }
}

/// The least key in the first key group of `range`.
fn key_in(range: KeyGroupRange) -> Result<(u64, KeyHash)> {
    let mut hasher = KeyHasher::default();
    // Each try hits with a chance of 1 in `groups`: the bound is out of reach.
    for key in 0..1_000 * u64::from(range.groups) {
        let hash = hasher.hash(&key)?;
        if hash.group(range.groups) == KeyGroup(range.start) {
            return Ok((key, hash));
        }
    }
    anyhow::bail!("no key found in {range}")
}

impl<T: Data, F: Fn(&T) -> Timestamp + Send + Sync + 'static> Operator for EventTime<T, F> {
    type In = T;
    type Out = T;

    fn process(&mut self, mut batch: Batch<T>, ctx: &mut OperatorContext<'_, T>) -> Result<()> {
        let horizon = self.horizon.horizon(ctx.clock.now());
        let mut future = 0;
        batch.timestamps.clear();
        for item in &batch.items {
            let timestamp = (self.at)(item);
            batch.timestamps.push(timestamp);
            if timestamp > horizon {
                future += 1;
            } else {
                self.generator.on_record(timestamp);
            }
        }
        if future > 0 {
            ctx.metrics.future.add(future);
        }
        self.emitted = self.emitted.max(self.generator.watermark());
        self.keep(ctx.state)?;
        ctx.emit_batch(batch);
        Ok(())
    }

    fn watermark_out(&self, watermark: Timestamp) -> Timestamp {
        if watermark == Timestamp::MAX { watermark } else { self.emitted }
    }

    fn has_clock(&self) -> bool {
        true
    }

    fn restored(&mut self, state: &mut StateStore, _time: &RestoredTime) -> Result<()> {
        let own = self.own(state.range())?;
        let clocks = state.get_mut(self.clocks);
        let mut entries = Vec::new();
        for group in 0..clocks.group_count() {
            clocks.walk_part(group, (0, 1), |hash, key, at| entries.push((hash, *key, *at)))?;
        }
        let Some(lowest) = entries.iter().map(|(_, _, at)| *at).min() else { return Ok(()) };
        for (hash, key, _) in entries.into_iter().filter(|(_, key, _)| *key != own.0) {
            clocks.remove(hash, &key)?;
        }
        self.generator.restore(lowest);
        self.emitted = self.generator.watermark();
        self.keep(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, open_of};
    use riverrun_engine::checkpoint::{OperatorSnapshot, SnapshotMode};
    use riverrun_engine::clock::ManualClock;
    use riverrun_engine::erased::{AnyBatch, ErasedOperator, OperatorEnv};
    use riverrun_engine::graph::OpenOperator;
    use riverrun_engine::key::KEY_GROUPS;
    use riverrun_engine::time::{at, secs};

    struct Subtasks {
        open: OpenOperator,
        env: OperatorEnv,
        operators: Vec<Box<dyn ErasedOperator>>,
    }

    impl Subtasks {
        fn new(parallelism: u32, from: &[OperatorSnapshot]) -> Self {
            let strategy = Watermarks::bounded_out_of_orderness(secs(5));
            let open = open_of(&Sketch::new().unclocked::<i64>().event_time(|s| at(*s), strategy));
            let clock = Arc::new(ManualClock::new(at(1000)));
            let env = OperatorEnv { metrics: Arc::default(), clock };
            let mut subtasks = Subtasks { open, env, operators: Vec::new() };
            for index in 0..parallelism {
                let range = KeyGroupRange::of_subtask(index, parallelism, KEY_GROUPS);
                let mut operator = (subtasks.open)(range, true).operator;
                for state in from.iter().flat_map(|snapshot| &snapshot.states) {
                    for section in state.sections.iter().filter(|s| range.contains(s.group)) {
                        let (group, bytes) = (section.group, &section.bytes);
                        operator.restore(&state.state, group, bytes).expect("restores");
                    }
                }
                operator.restored(&RestoredTime::at(Timestamp::MIN)).expect("restores");
                subtasks.operators.push(operator);
            }
            subtasks
        }

        fn push(&mut self, index: usize, seconds: &[i64]) -> Vec<Timestamp> {
            let timestamps = vec![Timestamp::MIN; seconds.len()];
            let batch = Batch { items: seconds.to_vec(), timestamps, ..Batch::default() };
            self.operators[index].process(AnyBatch::new(batch), &self.env).expect("processes");
            let taken = self.operators[index].take_output().into_iter();
            let typed = taken.map(|(_, batch)| batch.into_typed::<i64>().expect("integers"));
            typed.flat_map(|batch| batch.timestamps).collect()
        }

        fn watermarks(&self) -> Vec<Timestamp> {
            self.operators.iter().map(|operator| operator.watermark_out()).collect()
        }

        fn snapshot(&mut self, mode: SnapshotMode) -> Vec<OperatorSnapshot> {
            self.operators.iter_mut().map(|o| o.snapshot(mode).expect("writes")).collect()
        }
    }

    #[test]
    fn records_are_stamped_and_move_the_watermark_which_never_falls() {
        let mut one = Subtasks::new(1, &[]);
        assert_eq!(one.push(0, &[100, 90]), [at(100), at(90)]);
        assert_eq!(one.watermarks(), [at(95)]);
        one.push(0, &[50]);
        one.operators[0].advance(at(500), &one.env).expect("advances");
        assert_eq!(one.watermarks(), [at(95)], "upstream clocks do not count");
        one.operators[0].advance(Timestamp::MAX, &one.env).expect("advances");
        assert_eq!(one.watermarks(), [Timestamp::MAX], "the end does");
    }

    #[test]
    fn a_fast_clock_is_counted_and_moves_nothing() {
        let mut one = Subtasks::new(1, &[]);
        one.push(0, &[100, 253_370_764_800]);
        assert_eq!(one.watermarks(), [at(95)]);
        assert_eq!(one.env.metrics.future.get(), 1);
    }

    #[test]
    fn clocks_are_restored_exactly_and_by_their_minimum_at_another_parallelism() {
        let mut two = Subtasks::new(2, &[]);
        two.push(0, &[10]);
        let mut snapshots = two.snapshot(SnapshotMode::Full);
        two.push(0, &[100]);
        two.push(1, &[70]);
        snapshots.extend(two.snapshot(SnapshotMode::Delta));
        assert_eq!(Subtasks::new(2, &snapshots).watermarks(), [at(95), at(65)]);
        let mut one = Subtasks::new(1, &snapshots);
        assert_eq!(one.watermarks(), [at(65)]);
        let unknown = Timestamp::MIN;
        let four = Subtasks::new(4, &snapshots);
        assert_eq!(four.watermarks(), [at(95), unknown, at(65), unknown]);

        one.push(0, &[80]);
        let again = one.snapshot(SnapshotMode::Delta);
        snapshots.extend(again);
        assert_eq!(Subtasks::new(2, &snapshots).watermarks(), [at(75), unknown]);
    }
}
