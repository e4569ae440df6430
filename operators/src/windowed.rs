//! A [`WindowedStream`]: keyed records and which windows they belong to, waiting for what to make
//! of each window.

use std::fmt;
use std::sync::Arc;

use riverrun_engine::data::{Data, Key};
use riverrun_engine::output::SideOutput;
use riverrun_engine::state::Declare;

use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::stream::Stream;
use crate::window::{
    Aggregate, FoldOperator, FoldableAssigner, Late, SessionOperator, Shape, SlicedOperator,
    Tumbling, WindowAssigner, Windowed,
};

/// Records of type `T` by keys of type `K`, in the windows of `W`.
#[must_use = "a windowed stream goes nowhere: follow it with `aggregate` or `fold`"]
pub struct WindowedStream<K, T, W = Tumbling> {
    keyed: KeyedStream<K, T>,
    assigner: W,
    late: Option<SideOutput<T>>,
}

impl<K, T, W: fmt::Debug> fmt::Debug for WindowedStream<K, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Windowed{:?} in {:?}", self.keyed, self.assigner)
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Groups the records of each key into windows of event time: `Tumbling::of(secs(60))`,
    /// `Sliding::of(secs(60)).every(secs(10))`, `Session::gap(minutes(30))`.
    ///
    /// A clock must be upstream: `event_time` on the source or on the stream.
    pub fn window<W: WindowAssigner>(self, assigner: W) -> WindowedStream<K, T, W> {
        WindowedStream { keyed: self, assigner, late: None }
    }
}

impl<K: Key, T: Data, W: WindowAssigner> WindowedStream<K, T, W> {
    /// Sends records that are late for all their windows to a side output of the step that follows,
    /// with their own timestamps. Without this they are dropped and counted.
    pub fn late_to(self, side: SideOutput<T>) -> Self {
        WindowedStream { late: Some(side), ..self }
    }

    /// Aggregates each window. A record costs one update however much windows overlap.
    ///
    /// Results appear when the watermark reaches the window's end, with the timestamp
    /// `window.end - 1 ms`.
    #[track_caller]
    pub fn aggregate<A: Aggregate<T>>(self, uid: &str) -> Stream<Windowed<K, A>> {
        let step = self.step("aggregate", uid);
        let late = Late::new(self.late);
        match self.assigner.shape() {
            Shape::Grid(grid) => self.keyed.operator(step, move |declare: &mut Declare<K>| {
                SlicedOperator::<K, T, A>::open(declare, grid, late)
            }),
            Shape::Session(gap) => self.keyed.operator(step, move |declare: &mut Declare<K>| {
                SessionOperator::<K, T, A>::open(declare, gap, late)
            }),
        }
    }

    /// Folds the records of each window into an accumulator that begins as `S::default()`.
    ///
    /// Overlapping windows cannot share a fold: a record is folded into each of its size / step
    /// windows. There `aggregate` is the cheap one; on tumbling windows both cost the same.
    #[track_caller]
    pub fn fold<S: Data + Default>(
        self,
        uid: &str,
        f: impl Fn(&mut S, T) + Send + Sync + 'static,
    ) -> Stream<Windowed<K, S>>
    where
        W: FoldableAssigner,
    {
        let step = self.step("fold", uid);
        let (grid, late, fold) = (self.assigner.grid(), Late::new(self.late), Arc::new(f));
        self.keyed.operator(step, move |declare: &mut Declare<K>| {
            FoldOperator::<K, T, S, _>::open(declare, grid, late, fold.clone())
        })
    }

    #[track_caller]
    fn step(&self, kind: &'static str, uid: &str) -> Step {
        let problems = self.assigner.problems();
        Step { needs_clock: true, problems, ..Step::named(kind, uid) }
    }
}

#[cfg(test)]
mod tests {
    use riverrun_engine::key::KEY_GROUPS;
    use riverrun_engine::time::{Timestamp, Window, at, millis, minutes, secs};

    use super::*;
    use crate::sketch::{Sketch, harness_of, keyed_batch};
    use crate::window::{Count, Session, Sliding};

    const LATE: SideOutput<i64> = SideOutput::new("late");

    fn records(moments: &[Timestamp]) -> riverrun_engine::element::Batch<(u64, i64)> {
        keyed_batch(moments.iter().map(|at| (7_u64, 1_i64, *at)))
    }

    fn row<V>(start: i64, end: i64, value: V) -> (Windowed<u64, V>, Timestamp) {
        let window = Window::new(at(start), at(end));
        (Windowed { key: 7, window, value }, at(end) - millis(1))
    }

    #[test]
    fn each_kind_of_window_runs_as_written() {
        let sketch = Sketch::new();
        let keyed = sketch.stream::<i64>().key_by(|_| 7_u64);
        let sliding = Sliding::of(secs(20)).every(secs(10));
        let mut sliding =
            harness_of(&keyed.clone().window(sliding).late_to(LATE).aggregate::<Count>("sliding"));
        let session = keyed.clone().window(Session::gap(secs(5)));
        let mut session = harness_of(&session.aggregate::<Count>("session"));
        let tumbling = keyed.window(Tumbling::of(secs(10)).offset(secs(3)));
        let mut tumbling = harness_of(&tumbling.fold("fold", |sum: &mut i64, item| *sum += item));
        for harness in [&mut sliding, &mut session, &mut tumbling] {
            harness.process(records(&[at(1), at(4), at(8)])).expect("takes records");
            harness.watermark(Timestamp::MAX).expect("fires");
        }
        assert_eq!(sliding.take(), [row(-10, 10, Count(3)), row(0, 20, Count(3))]);
        assert_eq!(session.take(), [row(1, 13, Count(3))]);
        assert_eq!(tumbling.take(), [row(-7, 3, 1_i64), row(3, 13, 2)]);
        sliding.process(records(&[at(9)])).expect("takes records");
        assert_eq!(sliding.take_side(LATE), [(1, at(9))]);
    }

    #[test]
    fn a_window_without_clock_and_a_length_without_sense_are_told_with_the_line() {
        let sketch = Sketch::new();
        let keyed = sketch.unclocked::<i64>().key_by(|_| 7_u64);
        let counts = keyed.window(Sliding::of(minutes(1)).every(secs(0))).aggregate::<Count>("a");
        let line = line!() - 1;
        drop(counts);
        let problems = sketch.0.graph().problems(KEY_GROUPS);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for part in ["RR0003", "RR0009", "the step of the windows is 0ns"] {
            assert!(told.iter().any(|p| p.contains(part)), "{told:?} without {part}");
        }
        assert!(told.iter().any(|p| p.contains(&format!("windowed.rs:{line}"))), "{told:?}");
    }
}
