//! Makes the records of one subtask's splits, in turn.
//!
//! Called by the source task through `engine::source`. Invariant: the records of a split from
//! position `p` on depend on seed, split and `p` alone: an offset is a position and nothing more.

use std::fmt;
use std::future::{Future, pending};
use std::marker::PhantomData;
use std::sync::Arc;

use anyhow::ensure;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::source::{Progress, SourceReader, Split, SplitIndex};
use riverrun_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::{Chance, DatagenSplit, Settings};

/// How many records of a split were made.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generated(pub u64);

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Making,
    Ended,
}

/// One split, and how far it is.
struct Lane {
    number: u64,
    /// Position of the next record within the split.
    next: u64,
    /// How many records the split has.
    records: u64,
    life: Life,
    /// The order within the block that `shuffled` names.
    order: Vec<u64>,
    shuffled: Option<u64>,
}

impl Lane {
    /// Makes `order` that of block `block`: Fisher-Yates, seeded by seed, split and block.
    fn shuffle(&mut self, block: u64, settings: &Settings) {
        if self.shuffled == Some(block) {
            return;
        }
        let size = u64::from(settings.disorder);
        let size = size.min(self.records - block * size);
        let mut chance = Chance::new(settings.seed ^ self.number.rotate_left(32), block);
        self.order.clear();
        self.order.extend(0..size);
        for i in (1..self.order.len()).rev() {
            let other = chance.below(i as u64 + 1) as usize;
            self.order.swap(i, other);
        }
        self.shuffled = Some(block);
    }
}

/// Makes the records of one subtask.
pub struct DatagenReader<T, F> {
    make: Arc<F>,
    settings: Settings,
    ctx: TaskContext,
    pace: Pace,
    lanes: Vec<Lane>,
    turn: usize,
    item: PhantomData<fn() -> T>,
}

impl<T, F: Fn(u64, &mut Chance) -> T> DatagenReader<T, F> {
    pub(super) fn new(make: Arc<F>, settings: Settings, ctx: TaskContext) -> Self {
        let pace = Pace::new(settings.rate, settings.splits, ctx.clock.monotonic());
        DatagenReader { make, settings, ctx, pace, lanes: Vec::new(), turn: 0, item: PhantomData }
    }

    fn fill(&mut self, at: usize, records: u64, out: &mut Vec<T>) {
        let (settings, make) = (self.settings, &*self.make);
        let lane = &mut self.lanes[at];
        let (number, splits) = (lane.number, u64::from(settings.splits));
        let one = |position: u64| {
            let i = position * splits + number;
            make(i, &mut Chance::new(settings.seed, i))
        };
        let positions = lane.next..lane.next + records;
        lane.next = positions.end;
        if settings.disorder <= 1 {
            out.extend(positions.map(one));
            return;
        }
        let size = u64::from(settings.disorder);
        out.reserve(records as usize);
        for position in positions {
            let block = position / size;
            lane.shuffle(block, &settings);
            out.push(one(block * size + lane.order[(position % size) as usize]));
        }
    }
}

impl<T, F> SourceReader for DatagenReader<T, F>
where
    T: Data,
    F: Fn(u64, &mut Chance) -> T + Send + Sync + 'static,
{
    type Item = T;
    type Split = DatagenSplit;
    type Offset = Generated;

    async fn assign(&mut self, split: DatagenSplit, offset: Option<Generated>) -> Result<()> {
        let Settings { count, splits, .. } = self.settings;
        ensure!(
            split.of == splits && split.number < splits,
            "RR0503: the checkpoint has split {} of a source with {splits} splits: the number of \
             splits cannot change, write `.splits({})`",
            split.id(),
            split.of
        );
        let number = u64::from(split.number);
        let records = count.map_or(u64::MAX / u64::from(splits), |count| {
            count.saturating_sub(number).div_ceil(u64::from(splits))
        });
        let next = offset.map_or(0, |made| made.0);
        ensure!(
            next <= records,
            "RR0504: {next} records of split {} were made, but now it has {records}: do not make \
             `.count(..)` smaller",
            split.id()
        );
        let (life, order, shuffled) = (Life::Making, Vec::new(), None);
        self.lanes.push(Lane { number, next, records, life, order, shuffled });
        self.pace.add_split();
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<T>, records_max: usize) -> Result<Progress> {
        let allowed = self.pace.allowed(self.ctx.clock.monotonic());
        let count = self.lanes.len();
        for at in (0..count).map(|step| (self.turn + step) % count) {
            let lane = &mut self.lanes[at];
            let (first, rest) = (lane.next, lane.records - lane.next);
            if rest == 0 && lane.life == Life::Making {
                lane.life = Life::Ended;
                return Ok(Progress::Ended(SplitIndex(at)));
            }
            let records = rest.min(allowed).min(records_max as u64);
            if records > 0 {
                self.pace.spend(records);
                self.turn = at + 1;
                self.fill(at, records, &mut out.items);
                out.timestamps.resize(out.items.len(), Timestamp::MIN);
                let last = first + records - 1;
                return Ok(Progress::Records { split: SplitIndex(at), first, last });
            }
        }
        Ok(Progress::Pending)
    }

    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        let making = self.lanes.iter().any(|lane| lane.life == Life::Making);
        let wait = self.pace.wait().filter(|_| making);
        let wait = wait.map(|wait| (wait, self.ctx.sleep.clone()));
        async move {
            match wait {
                Some((wait, _)) if wait.is_zero() => {}
                Some((wait, sleep)) => sleep.sleep(wait).await,
                None => pending().await,
            }
        }
    }

    fn offset(&self, split: SplitIndex) -> Option<Generated> {
        let next = self.lanes.get(split.0)?.next;
        (next > 0).then_some(Generated(next))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use riverrun_engine::source::Source;

    use super::super::Datagen;
    use super::*;
    use crate::testing::{block_on, check_source, context, read_all};

    fn roll(i: u64, chance: &mut Chance) -> (u64, u64) {
        (i, chance.below(1000))
    }

    #[test]
    fn keeps_the_contract() {
        check_source(&Datagen::new(roll).count(5000).splits(3)).expect("splits");
        check_source(&Datagen::new(roll).count(2500).splits(2).disorder(100)).expect("disorder");
        check_source(&Datagen::new(roll).count(2)).expect("fewer than a batch");
        check_source(&Datagen::new(roll).count(0).splits(2)).expect("none");
        check_source(&Datagen::new(roll).count(60).rate(20_000)).expect("paced");
    }

    #[test]
    fn disorder_changes_the_order_and_nothing_else() {
        let read = |disorder| {
            let source = Datagen::new(roll).count(1005).splits(2).disorder(disorder);
            read_all(&source).expect("reads")
        };
        let (plain, shuffled) = (read(1), read(10));
        for (split, (plain, shuffled)) in plain.iter().zip(&shuffled).enumerate() {
            assert_ne!(plain, shuffled);
            for (block, (a, b)) in plain.chunks(10).zip(shuffled.chunks(10)).enumerate() {
                let set = |items: &[(u64, u64)]| items.iter().copied().collect::<BTreeSet<_>>();
                assert_eq!(set(a), set(b), "block {block} of split {split}");
            }
        }
    }

    #[test]
    fn another_number_of_splits_is_refused() {
        let source = Datagen::new(roll).splits(2);
        let mut reader = block_on(source.open(context("made", 0, 1, "a"))).expect("opens");
        let error = block_on(reader.assign(DatagenSplit { number: 0, of: 3 }, None));
        let error = error.expect_err("refused").to_string();
        assert!(error.contains("RR0503") && error.contains("`.splits(3)`"), "{error}");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_before_a_run() {
        assert!(Datagen::new(roll).splits(0).check().is_err());
        assert!(Datagen::new(roll).disorder(u32::MAX).check().is_err());
    }
}
