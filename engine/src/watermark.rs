//! Watermarks: how a split's clock is read off its records, and how the clocks of a subtask's
//! splits become one watermark.
//!
//! Decisions without I/O: the source task tells [`SplitClocks`] what happened and what time it is.
//! Invariants: the watermark never goes back; an idle split is counted again before its first
//! record; a record too far in the future moves nothing.
//!
//! A split that is caught up is not idle at once: for a while its clock goes on as time passes,
//! from where its records left it. So a producer that pauses for a moment, or writes to its
//! partitions by turns, makes nothing late, also where event time is not the time of day (old
//! events written again, events that took hours to arrive). How long it pauses is told by the
//! monotonic clock: a wall clock that jumps moves no watermark.
//!
//! A split that is empty so far is waited for no shorter. And where everything was empty, the first
//! record of one split does not yet say what time it is: the first records of its neighbours, also
//! of those on other subtasks, are on their way and may be older.

use std::sync::Arc;
use std::time::Duration;

use crate::time::{Timestamp, minutes};

/// Reads the watermark of one split off its records.
pub trait WatermarkGenerator: Send + 'static {
    /// A record with this timestamp was read.
    fn on_record(&mut self, timestamp: Timestamp);

    /// Records with these timestamps were read, in this order; `highest` is the highest of them, or
    /// [`Timestamp::MIN`] where there are none.
    fn on_records(&mut self, timestamps: &[Timestamp], highest: Timestamp) {
        let _ = highest;
        timestamps.iter().for_each(|timestamp| self.on_record(*timestamp));
    }

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
    /// How long a caught-up split is still waited for.
    pub(crate) idle_after: Duration,
    pub(crate) follow_wall_clock: bool,
}

/// How long a caught-up split is waited for, unless said otherwise.
const IDLE_AFTER: Duration = Duration::from_secs(5);

impl std::fmt::Debug for Watermarks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watermarks").field("idle_after", &self.idle_after).finish_non_exhaustive()
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
    fn on_records(&mut self, _: &[Timestamp], highest: Timestamp) {
        self.highest = self.highest.max(highest);
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
        Watermarks::custom(new)
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
            idle_after: IDLE_AFTER,
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

    /// A split at whose end nothing has come for `pause` is idle: the others go on without it, and
    /// records it brings later may be late. 5 seconds unless said otherwise. As long, but at most
    /// 5 seconds, a source that was empty waits after its first record before it says the time.
    #[must_use]
    pub fn idle_after(mut self, pause: Duration) -> Self {
        self.idle_after = pause;
        self
    }

    /// A caught-up unbounded source waits for its next record instead of letting event time go on
    /// with the wall clock: the last windows stay open until then.
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
    /// The source confirmed, at that time of the monotonic clock, that nothing lies past the
    /// position.
    CaughtUp(Duration),
    Ended,
}

struct SplitClock {
    generator: Box<dyn WatermarkGenerator>,
    activity: Activity,
}

impl SplitClock {
    /// How long nothing has come.
    fn quiet(&self, passed: Duration) -> Option<Duration> {
        match self.activity {
            Activity::CaughtUp(since) => Some(passed.saturating_sub(since)),
            Activity::Active | Activity::Ended => None,
        }
    }

    /// What the records said, if there were any, and as much more as `passed`.
    fn after(&self, passed: Duration) -> Option<Timestamp> {
        let said = self.generator.watermark();
        (said > Timestamp::MIN).then(|| said + passed)
    }
}

/// What the clocks of a subtask's splits say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceWatermark {
    /// No record with an earlier timestamp is expected.
    At(Timestamp),
    /// Do not wait for this subtask. Event time has reached this, if nobody who speaks knows
    /// better.
    Idle(Option<Timestamp>),
}

/// The clocks of the splits of one source subtask.
pub struct SplitClocks {
    watermarks: Watermarks,
    bounded: bool,
    splits: Vec<SplitClock>,
    beginning: Beginning,
    emitted: Timestamp,
}

/// Whether a subtask without a record so far may say what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    Unknown,
    /// All splits are there, and none has a record.
    Empty,
    /// The first record came: until then, of the monotonic clock, the others' are waited for.
    Until(Duration),
    /// They were waited for.
    Over,
}

impl SplitClocks {
    /// No splits yet. `bounded` sources never follow the wall clock.
    #[must_use]
    pub fn new(watermarks: Watermarks, bounded: bool) -> Self {
        SplitClocks {
            watermarks,
            bounded,
            splits: Vec::new(),
            beginning: Beginning::Unknown,
            emitted: Timestamp::MIN,
        }
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
        let highest = timestamps.iter().fold(Timestamp::MIN, |highest, at| highest.max(*at));
        if highest <= horizon {
            clock.generator.on_records(timestamps, highest);
            return 0;
        }
        let honest = timestamps.iter().filter(|timestamp| **timestamp <= horizon);
        honest.clone().for_each(|at| clock.generator.on_record(*at));
        (timestamps.len() - honest.count()) as u64
    }

    /// Nothing lies past the position of `split`, at `passed` of the monotonic clock.
    pub fn on_caught_up(&mut self, split: usize, passed: Duration) {
        if let Some(clock) = self.splits.get_mut(split)
            && clock.activity == Activity::Active
        {
            clock.activity = Activity::CaughtUp(passed);
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

    /// The watermark of the subtask at `passed` of the monotonic clock; never falls.
    pub fn watermark(&mut self, passed: Duration) -> SourceWatermark {
        let was_beginning = matches!(self.beginning, Beginning::Until(_));
        if self.is_beginning(passed) {
            return SourceWatermark::At(self.emitted);
        }
        // What came in the beginning is said once, also where nothing more has come since.
        let speaks = |at: Option<Timestamp>| was_beginning && at.is_some();
        let follows = self.watermarks.follow_wall_clock && !self.bounded;
        let (mut lowest, mut idle) = (None::<Timestamp>, None::<Timestamp>);
        for clock in self.splits.iter().filter(|clock| clock.activity != Activity::Ended) {
            let quiet = clock.quiet(passed);
            let ahead = quiet.filter(|_| follows).unwrap_or_default();
            match (quiet, clock.after(ahead)) {
                // No time is known of a split that is empty so far: `None` is the lowest.
                (Some(quiet), at) if quiet >= self.watermarks.idle_after && !speaks(at) => {
                    idle = idle.max(at);
                }
                (_, at) => {
                    let at = at.unwrap_or(Timestamp::MIN);
                    lowest = Some(lowest.map_or(at, |lowest| lowest.min(at)));
                }
            }
        }
        let idle = idle.filter(|_| follows);
        self.emitted = lowest.or(idle).map_or(self.emitted, |at| self.emitted.max(at));
        match lowest {
            Some(_) => SourceWatermark::At(self.emitted),
            None => SourceWatermark::Idle(idle.map(|_| self.emitted)),
        }
    }

    /// Whether everything was empty and the first record has only just come.
    fn is_beginning(&mut self, passed: Duration) -> bool {
        let mut going = self.splits.iter().filter(|clock| clock.activity != Activity::Ended);
        let empty = |clock: &SplitClock| {
            clock.quiet(passed).is_some() && clock.after(Duration::ZERO).is_none()
        };
        self.beginning = match self.beginning {
            Beginning::Unknown if !self.splits.is_empty() && going.all(empty) => Beginning::Empty,
            Beginning::Empty if !going.all(empty) => {
                Beginning::Until(passed + self.watermarks.idle_after.min(IDLE_AFTER))
            }
            other => other,
        };
        if matches!(self.beginning, Beginning::Until(until) if passed >= until) {
            self.beginning = Beginning::Over;
        }
        matches!(self.beginning, Beginning::Until(_))
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
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(Timestamp::MIN));
        clocks.on_records(1, &[at(50)], at(1000));
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(at(45)));
        clocks.on_caught_up(1, secs(1000));
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(at(45)), "a short pause");
        assert_eq!(clocks.watermark(secs(1004)), SourceWatermark::At(at(49)), "time passes");
        assert_eq!(clocks.watermark(secs(1005)), SourceWatermark::At(at(95)));
        clocks.on_records(1, &[at(60)], at(1006));
        assert_eq!(clocks.watermark(secs(1006)), SourceWatermark::At(at(95)), "never back");
    }

    const NO_TIME: SourceWatermark = SourceWatermark::At(Timestamp::MIN);

    #[test]
    fn an_empty_split_is_waited_for_as_long_as_any() {
        let mut clocks = clocks(2, false);
        clocks.on_caught_up(1, secs(1000));
        clocks.on_records(0, &[at(100)], at(1000));
        assert_eq!(clocks.watermark(secs(1004)), NO_TIME);
        assert_eq!(clocks.watermark(secs(1005)), SourceWatermark::At(at(95)));
        let mut empty = self::clocks(1, false);
        empty.on_caught_up(0, secs(1000));
        assert_eq!(empty.watermark(secs(1004)), NO_TIME);
        assert_eq!(
            empty.watermark(secs(9000)),
            SourceWatermark::Idle(None),
            "there is no time yet"
        );
    }

    #[test]
    fn the_first_record_after_everything_was_empty_is_not_the_time_yet() {
        let mut clocks = clocks(2, false);
        (0..2).for_each(|split| clocks.on_caught_up(split, secs(1000)));
        assert_eq!(clocks.watermark(secs(1100)), SourceWatermark::Idle(None));
        clocks.on_records(0, &[at(100)], at(2000));
        assert_eq!(clocks.watermark(secs(1100)), NO_TIME, "the others come too");
        clocks.on_records(1, &[at(50)], at(2000));
        assert_eq!(clocks.watermark(secs(1104)), NO_TIME, "and those of other subtasks");
        assert_eq!(clocks.watermark(secs(1105)), SourceWatermark::At(at(45)));
        clocks.on_caught_up(1, secs(1105));
        assert_eq!(clocks.watermark(secs(1110)), SourceWatermark::At(at(95)), "once only");
    }

    #[test]
    fn what_came_in_the_beginning_is_said_also_when_nothing_follows() {
        for follows in [true, false] {
            let strategy = Watermarks::bounded_out_of_orderness(secs(5));
            let strategy = if follows { strategy } else { strategy.without_wall_clock() };
            let mut clocks = SplitClocks::new(strategy, false);
            (0..3).for_each(|_| clocks.add(None));
            (0..3).for_each(|split| clocks.on_caught_up(split, secs(1000)));
            assert_eq!(clocks.watermark(secs(1100)), SourceWatermark::Idle(None));
            clocks.on_records(0, &[at(100)], at(2000));
            clocks.on_records(1, &[at(50)], at(2000));
            (0..2).for_each(|split| clocks.on_caught_up(split, secs(1100)));
            assert_eq!(clocks.watermark(secs(1100)), NO_TIME, "the others come too");
            // Asked so late that all of them are idle.
            let passed = if follows { 10 } else { 0 };
            assert_eq!(clocks.watermark(secs(1110)), SourceWatermark::At(at(45 + passed)));
            let idle = follows.then_some(at(95 + passed));
            assert_eq!(clocks.watermark(secs(1110)), SourceWatermark::Idle(idle));
        }
    }

    #[test]
    fn a_restored_split_knows_the_time_at_once() {
        let mut clocks = SplitClocks::new(Watermarks::bounded_out_of_orderness(secs(5)), false);
        clocks.add(Some(at(100)));
        clocks.on_caught_up(0, secs(1000));
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(at(95)));
        clocks.on_records(0, &[at(101)], at(2000));
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(at(96)));
    }

    #[test]
    fn splits_that_take_turns_make_nothing_late() {
        // Old events written again, a hundred times as fast as they happened.
        let mut clocks = clocks(2, false);
        for round in 0..100_u64 {
            let (passed, event) = (secs(round), at(100 * round as i64));
            let split = (round % 2) as usize;
            clocks.on_records(split, &[event], at(1_000_000));
            clocks.on_caught_up(split, passed);
            let SourceWatermark::At(watermark) = clocks.watermark(passed) else { panic!("idle") };
            assert!(watermark <= event - secs(5), "{watermark} is past {event}");
        }
    }

    #[test]
    fn a_fast_clock_moves_nothing() {
        let mut clocks = clocks(1, false);
        let year_9999 = at(253_370_764_800);
        assert_eq!(clocks.on_records(0, &[at(100), year_9999], at(1000)), 1);
        assert_eq!(clocks.watermark(secs(1000)), SourceWatermark::At(at(95)));
    }

    #[test]
    fn a_caught_up_source_goes_on_as_time_passes_only_when_unbounded() {
        let mut live = clocks(2, false);
        live.on_records(0, &[at(100)], at(1000));
        live.on_records(1, &[at(50)], at(1000));
        live.on_caught_up(0, secs(1000));
        live.on_caught_up(1, secs(1000));
        assert_eq!(live.watermark(secs(1003)), SourceWatermark::At(at(48)));
        assert_eq!(live.watermark(secs(1005)), SourceWatermark::Idle(Some(at(100))));
        assert_eq!(live.watermark(secs(1065)), SourceWatermark::Idle(Some(at(160))));
        let mut file = clocks(1, true);
        file.on_records(0, &[at(100)], at(1000));
        file.on_caught_up(0, secs(1000));
        assert_eq!(file.watermark(secs(1003)), SourceWatermark::At(at(95)));
        assert_eq!(file.watermark(secs(1005)), SourceWatermark::Idle(None));
    }

    #[test]
    fn a_restored_clock_says_what_the_old_one_said() {
        let mut old = clocks(1, true);
        old.on_records(0, &[at(7), at(3)], at(1000));
        let mut new = SplitClocks::new(Watermarks::bounded_out_of_orderness(secs(5)), true);
        new.add(Some(old.state(0)));
        assert_eq!(new.watermark(secs(1000)), old.watermark(secs(1000)));
    }
}
