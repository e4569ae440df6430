//! Reads items that lie in memory, or that a test pushes while the job runs.
//!
//! Called by the source task through `engine::source`. Invariants: items are never removed, so
//! every offset stays readable; an offset is the number of items of its split that were read.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use anyhow::ensure;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::source::{Progress, Source, SourceReader, Split, SplitIndex};
use riverrun_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

struct Shared<T> {
    splits: Vec<Vec<T>>,
    closed: bool,
    /// Readers to wake when something happens: at most one for each reader.
    waiting: Vec<Waker>,
}

type Door<T> = Arc<Mutex<Shared<T>>>;

fn enter<T>(door: &Door<T>) -> MutexGuard<'_, Shared<T>> {
    // Nothing is left half done under the lock: a panic in a `clone` changes nothing.
    door.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source of items in memory: one split for each inner vector.
pub struct MemorySource<T> {
    shared: Door<T>,
    bounded: bool,
}

/// Pushes items into a running [`MemorySource`].
pub struct MemoryInput<T> {
    shared: Door<T>,
}

/// The same splits, for the next run of a test's job.
impl<T> Clone for MemorySource<T> {
    fn clone(&self) -> Self {
        MemorySource { shared: self.shared.clone(), bounded: self.bounded }
    }
}

impl<T> Clone for MemoryInput<T> {
    fn clone(&self) -> Self {
        MemoryInput { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for MemorySource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemorySource({} splits)", enter(&self.shared).splits.len())
    }
}

impl<T> fmt::Debug for MemoryInput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryInput({} splits)", enter(&self.shared).splits.len())
    }
}

impl<T: Data> MemorySource<T> {
    /// A bounded source: it ends when every split has been read.
    #[must_use]
    pub fn new(splits: Vec<Vec<T>>) -> Self {
        let shared = Shared { splits, closed: true, waiting: Vec::new() };
        MemorySource { shared: Arc::new(Mutex::new(shared)), bounded: true }
    }

    /// A source of `splits` empty splits and the handle to push into them; it ends when the handle
    /// is closed.
    #[must_use]
    pub fn live(splits: usize) -> (Self, MemoryInput<T>) {
        let source = MemorySource::new(vec![Vec::new(); splits]);
        enter(&source.shared).closed = false;
        let input = source.input();
        (source, input)
    }

    /// The source never ends: after its last item it has caught up and waits.
    #[must_use]
    pub fn unbounded(mut self) -> Self {
        self.bounded = false;
        enter(&self.shared).closed = false;
        self
    }

    /// How many items split `split` has.
    #[must_use]
    pub fn pushed(&self, split: usize) -> usize {
        enter(&self.shared).splits.get(split).map_or(0, Vec::len)
    }

    /// A handle to push more items.
    #[must_use]
    pub fn input(&self) -> MemoryInput<T> {
        MemoryInput { shared: self.shared.clone() }
    }
}

impl<T: Data> MemoryInput<T> {
    /// Appends an item to split `split`.
    ///
    /// # Panics
    /// When there is no such split, or the input was closed: the test is wrong.
    pub fn push(&self, split: usize, item: T) {
        let mut shared = enter(&self.shared);
        assert!(!shared.closed, "the memory input is closed");
        assert!(split < shared.splits.len(), "the memory source has no split {split}");
        shared.splits[split].push(item);
        shared.waiting.drain(..).for_each(Waker::wake);
    }

    /// Nothing will be pushed any more: the splits end after their last items.
    pub fn close(&self) {
        let mut shared = enter(&self.shared);
        shared.closed = true;
        shared.waiting.drain(..).for_each(Waker::wake);
    }
}

/// One of the vectors, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySplit(pub usize);

impl Split for MemorySplit {
    fn id(&self) -> String {
        self.0.to_string()
    }
}

impl<T: Data> Source for MemorySource<T> {
    type Item = T;
    type Split = MemorySplit;
    type Reader = MemoryReader<T>;

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    async fn discover(&self, _ctx: &TaskContext) -> Result<Vec<MemorySplit>> {
        Ok((0..enter(&self.shared).splits.len()).map(MemorySplit).collect())
    }

    async fn open(&self, _ctx: TaskContext) -> Result<MemoryReader<T>> {
        Ok(MemoryReader { shared: self.shared.clone(), splits: Vec::new(), turn: 0 })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    CaughtUp,
    Ended,
}

struct Assigned {
    number: usize,
    next: usize,
    said: Said,
}

/// Reads the splits of one subtask in turn.
pub struct MemoryReader<T> {
    shared: Door<T>,
    splits: Vec<Assigned>,
    turn: usize,
}

impl<T: Data> SourceReader for MemoryReader<T> {
    type Item = T;
    type Split = MemorySplit;
    type Offset = u64;

    async fn assign(&mut self, split: MemorySplit, offset: Option<u64>) -> Result<()> {
        let shared = enter(&self.shared);
        let items = shared.splits.get(split.0).map(Vec::len);
        let next = usize::try_from(offset.unwrap_or(0))?;
        ensure!(
            items.is_some_and(|items| next <= items),
            "the memory source has no item {next} in split {}: it was made anew with fewer",
            split.0
        );
        self.splits.push(Assigned { number: split.0, next, said: Said::Nothing });
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<T>, records_max: usize) -> Result<Progress> {
        let shared = enter(&self.shared);
        let count = self.splits.len();
        for at in (0..count).map(|step| (self.turn + step) % count) {
            let split = &mut self.splits[at];
            let rest = &shared.splits[split.number][split.next..];
            if !rest.is_empty() {
                let records = rest.len().min(records_max);
                out.items.extend_from_slice(&rest[..records]);
                out.timestamps.resize(out.items.len(), Timestamp::MIN);
                let first = split.next as u64;
                split.next += records;
                split.said = Said::Nothing;
                self.turn = at + 1;
                let last = split.next as u64 - 1;
                return Ok(Progress::Records { split: SplitIndex(at), first, last });
            }
            if shared.closed && split.said != Said::Ended {
                split.said = Said::Ended;
                return Ok(Progress::Ended(SplitIndex(at)));
            }
            if split.said == Said::Nothing {
                split.said = Said::CaughtUp;
                return Ok(Progress::CaughtUp(SplitIndex(at)));
            }
        }
        Ok(Progress::Pending)
    }

    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        poll_fn(|cx| {
            let mut shared = enter(&self.shared);
            let has_news = |split: &Assigned| {
                split.next < shared.splits[split.number].len()
                    || split.said == Said::Nothing
                    || (shared.closed && split.said != Said::Ended)
            };
            if self.splits.iter().any(has_news) {
                return Poll::Ready(());
            }
            if !shared.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                shared.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    fn offset(&self, split: SplitIndex) -> Option<u64> {
        let next = self.splits.get(split.0)?.next as u64;
        (next > 0).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use riverrun_engine::clock::ManualClock;
    use riverrun_engine::erased::{Fetched, erase_source};
    use riverrun_engine::time::{at, secs};
    use riverrun_engine::watermark::{SourceWatermark, Watermarks};

    use super::*;
    use crate::testing::{block_on, check_source, context};

    #[test]
    fn keeps_the_contract() {
        let splits = vec![(0..2500).collect(), vec![], (5000..5003).collect::<Vec<i64>>()];
        check_source(&MemorySource::new(splits.clone())).expect("bounded");
        check_source(&MemorySource::new(splits).unbounded()).expect("unbounded");
    }

    #[test]
    fn pushed_items_wake_the_reader_and_closing_ends_it() {
        let (source, input) = MemorySource::live(1);
        let mut reader = block_on(source.open(context("numbers", 0, 1, "a"))).expect("opens");
        block_on(reader.assign(MemorySplit(0), None)).expect("assigned");
        let mut out = Batch::default();
        let at = SplitIndex(0);
        assert_eq!(reader.next(&mut out, 9).expect("reads"), Progress::CaughtUp(at));
        assert_eq!(reader.next(&mut out, 9).expect("reads"), Progress::Pending);
        assert_eq!(reader.offset(at), None);
        input.push(0, 7);
        block_on(reader.ready());
        let records = Progress::Records { split: at, first: 0, last: 0 };
        assert_eq!(reader.next(&mut out, 9).expect("reads"), records);
        assert_eq!((out.items, reader.offset(at)), (vec![7], Some(1)));
        input.close();
        block_on(reader.ready());
        assert_eq!(reader.next(&mut Batch::default(), 9).expect("reads"), Progress::Ended(at));
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_no_watermark() {
        let clock = ManualClock::new(at(1_000_000));
        let source = MemorySource::new(vec![vec![100]]).unbounded();
        let source =
            source.event_time(|n: &i64| at(*n), Watermarks::bounded_out_of_orderness(secs(5)));
        let source = erase_source(source);
        let ctx = TaskContext { clock: Arc::new(clock.clone()), ..context("numbers", 0, 1, "a") };
        let split = block_on(source.discover(&ctx, false)).expect("discovers").remove(0);
        let mut reader = block_on(source.open(ctx)).expect("opens");
        block_on(reader.assign(split, None)).expect("assigned");
        while !matches!(reader.fetch(9).expect("fetches"), Fetched::Pending) {}
        assert_eq!(reader.watermark(), Some(SourceWatermark::At(at(95))));
        for day in [86_400, -86_400] {
            clock.jump(at(1_000_000 + day));
            assert_eq!(reader.watermark(), Some(SourceWatermark::At(at(95))), "{day} s");
        }
        clock.jump(at(1_000_000));
        clock.set(at(1_000_003));
        assert_eq!(reader.watermark(), Some(SourceWatermark::At(at(98))), "time passes");
    }

    #[test]
    fn an_offset_past_the_items_is_refused() {
        let source = MemorySource::new(vec![vec![1]]);
        let mut reader = block_on(source.open(context("numbers", 0, 1, "a"))).expect("opens");
        let error = block_on(reader.assign(MemorySplit(0), Some(2))).expect_err("refused");
        assert!(error.to_string().contains("no item 2 in split 0"), "{error}");
    }
}
