//! Watermarks: how a split's clock is read off its records, and how the clocks of a subtask's
//! splits become one watermark.
//!
//! Decisions without I/O: the source task tells [`SplitClocks`] what happened and what time it is.
//! Invariants: the watermark never goes back; an idle split is counted again before its first
//! record; a record too far in the future moves nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::time::{Timestamp, minutes};

/// Reads the watermark of one split off its records.
pub trait WatermarkGenerator: Send + 'static {
    /// A record with this timestamp was read.
    fn on_record(&mut self, timestamp: Timestamp);

    /// No record with an earlier timestamp is expected.
    fn watermark(&self) -> Timestamp;

    /// All the generator knows, for the checkpoint.
    fn state(&self) -> Timestamp;

    /// Takes back what [`WatermarkGenerator::state`] returned.
    fn restore(&mut self, state: Timestamp);
}

type NewGenerator = Arc<dyn Fn() -> Box<dyn WatermarkGenerator> + Send + Sync>;

/// How a source's watermarks are made, one generator per split.
#[derive(Clone)]
pub struct Watermarks {
    new: NewGenerator,
    /// The highest timestamp that moves the watermark is now + this.
    pub(crate) max_future_skew: Duration,
    /// How far behind the wall clock a caught-up source's watermark stays.
    pub(crate) bound: Duration,
    pub(crate) follow_wall_clock: bool,
}

impl std::fmt::Debug for Watermarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watermarks").field("bound", &self.bound).finish_non_exhaustive()
    }
}

struct BoundedOutOfOrderness {
    highest: Timestamp,
    bound: Duration,
}

impl WatermarkGenerator for BoundedOutOfOrderness {
    fn on_record(&mut self, timestamp: Timestamp) {
        self.highest = self.highest.max(timestamp);
    }
    fn watermark(&self) -> Timestamp {
        self.highest - self.bound
    }
    fn state(&self) -> Timestamp {
        self.highest
    }
    fn restore(&mut self, state: Timestamp) {
        self.highest = state;
    }
}

impl Watermarks {
    /// Records of a split may come up to `bound` after a later one: the watermark stays `bound`
    /// behind the highest timestamp.
    #[must_use]
    pub fn bounded_out_of_orderness(bound: Duration) -> Self {
        let new = move || {
            let generator = BoundedOutOfOrderness { highest: Timestamp::MIN, bound };
            Box::new(generator) as Box<dyn WatermarkGenerator>
        };
        Watermarks { bound, ..Watermarks::custom(new) }
    }

    /// The timestamps of a split never fall.
    #[must_use]
    pub fn monotonic() -> Self {
        Watermarks::bounded_out_of_orderness(Duration::ZERO)
    }

    /// A generator of your own, one for each split.
    pub fn custom(new: impl Fn() -> Box<dyn WatermarkGenerator> + Send + Sync + 'static) -> Self {
        Watermarks {
            new: Arc::new(new),
            max_future_skew: minutes(5),
            bound: Duration::ZERO,
            follow_wall_clock: true,
        }
    }

    /// A record whose timestamp is more than `skew` ahead of the wall clock does not move the
    /// watermark (it is kept, and counted). 5 minutes unless said otherwise: one fast clock must
    /// not make all honest records late.
    #[must_use]
    pub fn max_future_skew(mut self, skew: Duration) -> Self {
        self.max_future_skew = skew;
        self
    }

    /// A caught-up unbounded source waits for its next record instead of following the wall clock:
    /// the last windows stay open until then.
    #[must_use]
    pub fn without_wall_clock(mut self) -> Self {
        self.follow_wall_clock = false;
        self
    }

    /// A generator for one split or subtask.
    #[must_use]
    pub fn generator(&self) -> Box<dyn WatermarkGenerator> {
        (self.new)()
    }

    /// The highest timestamp that may move the watermark at `now`.
    #[must_use]
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        now + self.max_future_skew
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Active,
    /// The source confirmed that nothing lies past the position.
    CaughtUp,
    Ended,
}

struct SplitClock {
    generator: Box<dyn WatermarkGenerator>,
    activity: Activity,
}

/// What the clocks of a subtask's splits say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceWatermark {
    /// No record with an earlier timestamp is expected.
    At(Timestamp),
    /// Nothing to say: do not wait for this subtask.
    Idle,
}

/// The clocks of the splits of one source subtask.
pub struct SplitClocks {
    watermarks: Watermarks,
    bounded: bool,
    splits: Vec<SplitClock>,
    emitted: Timestamp,
}

impl SplitClocks {
    /// No splits yet. `bounded` sources never follow the wall clock.
    #[must_use]
    pub fn new(watermarks: Watermarks, bounded: bool) -> Self {
        SplitClocks { watermarks, bounded, splits: Vec::new(), emitted: Timestamp::MIN }
    }

    /// Adds the next split, with the state of its clock in the checkpoint.
    pub fn add(&mut self, restored: Option<Timestamp>) {
        let mut generator = self.watermarks.generator();
        if let Some(state) = restored {
            generator.restore(state);
        }
        self.splits.push(SplitClock { generator, activity: Activity::Active });
    }

    /// Records were read from `split`. Returns how many lay too far in the future.
    pub fn on_records(&mut self, split: usize, timestamps: &[Timestamp], now: Timestamp) -> u64 {
        let horizon = self.watermarks.horizon(now);
        let Some(clock) = self.splits.get_mut(split) else { return 0 };
        clock.activity = Activity::Active;
        let mut future = 0;
        for timestamp in timestamps {
            if *timestamp > horizon {
                future += 1;
            } else {
                clock.generator.on_record(*timestamp);
            }
        }
        future
    }

    /// Nothing lies past the position of `split`.
    pub fn on_caught_up(&mut self, split: usize) {
        if let Some(clock) = self.splits.get_mut(split)
            && clock.activity == Activity::Active
        {
            clock.activity = Activity::CaughtUp;
        }
    }

    /// Nothing will ever come from `split` again.
    pub fn on_ended(&mut self, split: usize) {
        if let Some(clock) = self.splits.get_mut(split) {
            clock.activity = Activity::Ended;
        }
    }

    /// The state of one split's clock, for the checkpoint.
    #[must_use]
    pub fn state(&self, split: usize) -> Timestamp {
        self.splits.get(split).map_or(Timestamp::MIN, |clock| clock.generator.state())
    }

    /// The watermark of the subtask at `now`; never falls.
    pub fn watermark(&mut self, now: Timestamp) -> SourceWatermark {
        let active = self.splits.iter().filter(|clock| clock.activity == Activity::Active);
        let lowest = active.map(|clock| clock.generator.watermark()).min();
        let waiting = self.splits.iter().any(|clock| clock.activity == Activity::CaughtUp);
        let at = match lowest {
            Some(lowest) => lowest,
            None if waiting && self.watermarks.follow_wall_clock && !self.bounded => {
                now - self.watermarks.bound
            }
            None => return SourceWatermark::Idle,
        };
        self.emitted = self.emitted.max(at);
        SourceWatermark::At(self.emitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{at, secs};

    fn clocks(splits: usize, bounded: bool) -> SplitClocks {
        let strategy = Watermarks::bounded_out_of_orderness(secs(5));
        let mut clocks = SplitClocks::new(strategy, bounded);
        (0..splits).for_each(|_| clocks.add(None));
        clocks
    }

    #[test]
    fn the_slowest_split_decides_until_it_is_idle() {
        let mut clocks = clocks(2, false);
        clocks.on_records(0, &[at(100)], at(1000));
        assert_eq!(clocks.watermark(at(1000)), SourceWatermark::At(Timestamp::MIN));
        clocks.on_records(1, &[at(50)], at(1000));
        assert_eq!(clocks.watermark(at(1000)), SourceWatermark::At(at(45)));
        clocks.on_caught_up(1);
        assert_eq!(clocks.watermark(at(1000)), SourceWatermark::At(at(95)));
        clocks.on_records(1, &[at(60)], at(1000));
        assert_eq!(clocks.watermark(at(1000)), SourceWatermark::At(at(95)), "never back");
    }

    #[test]
    fn a_fast_clock_moves_nothing() {
        let mut clocks = clocks(1, false);
        let year_9999 = at(253_370_764_800);
        assert_eq!(clocks.on_records(0, &[at(100), year_9999], at(1000)), 1);
        assert_eq!(clocks.watermark(at(1000)), SourceWatermark::At(at(95)));
    }

    #[test]
    fn a_caught_up_source_follows_the_wall_clock_only_when_unbounded() {
        let mut live = clocks(1, false);
        live.on_records(0, &[at(100)], at(1000));
        live.on_caught_up(0);
        assert_eq!(live.watermark(at(1000)), SourceWatermark::At(at(995)));
        let mut file = clocks(1, true);
        file.on_records(0, &[at(100)], at(1000));
        file.on_caught_up(0);
        assert_eq!(file.watermark(at(1000)), SourceWatermark::Idle);
    }

    #[test]
    fn a_restored_clock_says_what_the_old_one_said() {
        let mut old = clocks(1, true);
        old.on_records(0, &[at(7), at(3)], at(1000));
        let mut new = SplitClocks::new(Watermarks::bounded_out_of_orderness(secs(5)), true);
        new.add(Some(old.state(0)));
        assert_eq!(new.watermark(at(1000)), old.watermark(at(1000)));
    }
}
