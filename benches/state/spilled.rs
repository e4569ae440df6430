//! The engine's state beside RocksDB used directly for the same updates: with all in memory, in one
//! thread; and with ten times as much state as the budget both have, where the engine has two
//! subtasks, as two workers have, and RocksDB one thread. Both must answer the same sums; of counts
//! nobody asks for one, so their total must be right.

use std::time::Instant;

use riverrun::runtime::config::Bytes;

use super::Size;
use super::draw::{Draw, Keys};
use super::rocks_direct::Direct;
use super::row::{Row, Target};
use super::sums::{INTERVAL, Sums, Update};
use super::threads::side_by_side;

const RESIDENT_KEYS: u64 = 100_000;
const RESIDENT_EVENTS: usize = 1_000_000;
const RESIDENT_BUDGET: Bytes = Bytes::mib(256);
/// State for each byte of budget.
const TIMES: u64 = 10;
/// Of the engine, and threads of RocksDB where it has as many.
const SUBTASKS: u32 = 2;
const SAMPLE_KEYS: u64 = 200_000;
/// Keys that are handed over at once while state is filled.
const FILL_KEYS: u64 = 1 << 16;

fn draws(keys: u64, drawn: Keys, events: usize) -> Vec<u64> {
    let mut draw = Draw::new(keys, drawn);
    (0..events).map(|_| draw.next_key()).collect()
}

fn fill(keys: u64, mut add: impl FnMut(&[u64]) -> anyhow::Result<u64>) -> anyhow::Result<()> {
    let mut batch = Vec::new();
    for first in (0..keys).step_by(FILL_KEYS as usize) {
        batch.clear();
        batch.extend(first..keys.min(first + FILL_KEYS));
        add(&batch)?;
    }
    Ok(())
}

/// The answer, and the nanoseconds of one update.
fn timed(
    keys: &[u64],
    add: impl FnOnce(&[u64]) -> anyhow::Result<u64>,
) -> anyhow::Result<(u64, f64)> {
    let began = Instant::now();
    let answered = add(keys)?;
    Ok((answered, began.elapsed().as_nanos() as f64 / keys.len().max(1) as f64))
}

/// State that fits: 100,000 keys.
pub(crate) fn resident_rows() -> anyhow::Result<()> {
    let (mut sums, direct) = (Sums::resident()?, Direct::open(RESIDENT_BUDGET.0)?);
    fill(RESIDENT_KEYS, |keys| sums.add(Update::Sum, keys))?;
    fill(RESIDENT_KEYS, |keys| direct.add_all(keys, 1))?;
    let keys = draws(RESIDENT_KEYS, Keys::Uniform, RESIDENT_EVENTS);
    let (warm, keys) = keys.split_at(RESIDENT_EVENTS / 4);
    sums.add(Update::Sum, warm)?;
    direct.add_all(warm, 1)?;
    let ours = timed(keys, |keys| sums.add(Update::Sum, keys))?;
    let theirs = timed(keys, |keys| direct.add_all(keys, 1))?;
    anyhow::ensure!(ours.0 == theirs.0, "engine and RocksDB answer different sums");
    let row = Rows { work: "running sum, all in memory", keys: RESIDENT_KEYS, checkpoint_ms: 0 };
    row.ratio(theirs.1 / ours.1, 50.0)?;
    row.explaining("engine", ours.1)?;
    row.explaining("RocksDB", theirs.1)
}

/// The rows of one piece of work.
struct Rows<'a> {
    work: &'a str,
    keys: u64,
    checkpoint_ms: u64,
}

impl Rows<'_> {
    fn ratio(&self, value: f64, least: f64) -> anyhow::Result<()> {
        let target = Target::AtLeast(least);
        self.row(self.work.to_owned(), value, "x RocksDB", target).print()
    }

    fn explaining(&self, who: &str, ns: f64) -> anyhow::Result<()> {
        let work = format!("{}: {who}", self.work);
        self.row(work, ns, "ns an update", Target::Nothing).print()
    }

    fn row(&self, work: String, value: f64, unit: &'static str, target: Target) -> Row {
        let Rows { keys, checkpoint_ms, .. } = *self;
        Row { work, keys, checkpoint_ms, value, unit, target }
    }
}

/// How many keys take [`TIMES`] the budget when all of them are in memory.
fn keys_beyond(budget: Bytes) -> anyhow::Result<u64> {
    let mut sums = Sums::resident()?;
    fill(SAMPLE_KEYS, |keys| sums.add(Update::Sum, keys))?;
    Ok(budget.0 * TIMES * SAMPLE_KEYS / sums.bytes().max(1) as u64)
}

/// State ten times its budget.
pub(crate) fn rows(size: Size) -> anyhow::Result<()> {
    let (budget, events) = match size {
        Size::Small => (Bytes::mib(32), 750_000),
        Size::Full => (Bytes::mib(256), 7_500_000),
    };
    let keys = keys_beyond(budget)?;
    let direct = Direct::open(budget.0)?;
    fill(keys, |keys| direct.add_all(keys, 1))?;
    let spilled = Spilled { keys, events, budget, direct };
    let mut sums = spilled.filled(Update::Sum)?;
    let mut row = |drawn, what, least| spilled.rows(&mut sums, (Update::Sum, drawn), (what, least));
    row(Keys::Uniform, "uniform read-modify-write", 1.2)?;
    row(Keys::Zipf, "zipf 0.99 read-modify-write", 10.0)?;
    drop(sums);
    let mut counts = spilled.filled(Update::Count)?;
    let mut row =
        |drawn, what, least| spilled.rows(&mut counts, (Update::Count, drawn), (what, least));
    let mut added = keys;
    added += row(Keys::Uniform, "uniform aggregate", 10.0)?;
    added += row(Keys::Zipf, "zipf 0.99 aggregate", 10.0)?;
    let counted = counts.iter_mut().try_fold(0, |sum, one| anyhow::Ok(sum + one.counted()?))?;
    anyhow::ensure!(counted == added, "{added} were added, and {counted} are there");
    Ok(())
}

/// What is the same for all work on state that does not fit.
struct Spilled {
    keys: u64,
    /// Of one measurement.
    events: usize,
    budget: Bytes,
    direct: Direct,
}

impl Spilled {
    /// Every key once.
    fn filled(&self, update: Update) -> anyhow::Result<Vec<Sums>> {
        let mut sums = Sums::within(self.budget, SUBTASKS)?;
        fill(self.keys, |keys| side_by_side(&mut sums, |one| one.add(update, keys)))?;
        Ok(sums)
    }

    /// Draws before anything is measured: where some keys are drawn more than others, until memory
    /// holds those, which takes about so many.
    fn warm(&self, drawn: Keys) -> usize {
        match drawn {
            Keys::Uniform => self.events / 3,
            Keys::Zipf => self.keys as usize * 2 / 5,
        }
    }

    /// Measures and prints; how many updates that took.
    fn rows(
        &self,
        sums: &mut [Sums],
        (update, drawn): (Update, Keys),
        (what, least): (&str, f64),
    ) -> anyhow::Result<u64> {
        let drawn = draws(self.keys, drawn, self.warm(drawn) + 2 * self.events);
        let (warm, drawn_twice) = drawn.split_at(drawn.len() - 2 * self.events);
        side_by_side(&mut *sums, |one| one.add(update, warm))?;
        // What is merged is no longer in its cache, so some of what warms comes after that.
        let (warm, warm_last) = warm.split_at(warm.len() / 4 * 3);
        self.direct.add_all(warm, SUBTASKS.into())?;
        self.direct.settle()?;
        self.direct.add_all(warm_last, 1)?;

        let (first, second) = drawn_twice.split_at(self.events);
        let theirs = timed(first, |keys| self.direct.add_all(keys, 1))?;
        let theirs_two = timed(second, |keys| self.direct.add_all(keys, SUBTASKS.into()))?;
        self.direct.settle()?;
        let ours = timed(first, |keys| side_by_side(&mut *sums, |one| one.add(update, keys)))?;
        let ours_one = timed(second, |keys| {
            let added = sums.iter_mut().map(|one| one.add(update, keys));
            added.sum::<anyhow::Result<u64>>()
        })?;
        let same = (ours.0, ours_one.0) == (theirs.0, theirs_two.0);
        anyhow::ensure!(
            same || update == Update::Count,
            "engine and RocksDB answer different sums"
        );
        let work =
            &format!("state {TIMES} times a budget of {}, two subtasks, {what}", self.budget);
        let checkpoint_ms = INTERVAL.as_millis() as u64;
        let rows = Rows { work, keys: self.keys, checkpoint_ms };
        rows.ratio(theirs.1 / ours.1, least)?;
        rows.explaining("engine", ours.1)?;
        rows.explaining("engine, its subtasks in one thread", ours_one.1)?;
        let rows = Rows { checkpoint_ms: 0, ..rows };
        rows.explaining("RocksDB, one thread", theirs.1)?;
        rows.explaining("RocksDB, two threads", theirs_two.1)?;
        Ok(drawn.len() as u64)
    }
}
