//! The engine's state beside RocksDB used directly for the same updates, in one thread: with all in
//! memory, and with ten times as much state as the budget both have. Both must answer the same.

use std::time::Instant;

use riverrun::runtime::config::Bytes;

use super::Size;
use super::draw::{Draw, Keys};
use super::rocks_direct::Direct;
use super::row::{Row, Target};
use super::sums::{Sums, Update};

const RESIDENT_KEYS: u64 = 100_000;
const RESIDENT_EVENTS: usize = 1_000_000;
const RESIDENT_BUDGET: Bytes = Bytes::mib(256);
/// State for each byte of budget.
const TIMES: u64 = 10;
const SAMPLE_KEYS: u64 = 200_000;
/// Keys that are handed over at once while state is filled.
const FILL_KEYS: u64 = 1 << 16;

fn draws(keys: u64, drawn: Keys, events: usize) -> Vec<u64> {
    let mut draw = Draw::new(keys, drawn);
    (0..events).map(|_| draw.next_key()).collect()
}

fn add_directly(direct: &Direct, keys: &[u64]) -> anyhow::Result<u64> {
    keys.iter().try_fold(0_u64, |sum, key| Ok(sum.wrapping_add(direct.add(*key, 1)?)))
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

/// Warms up with a quarter of `keys`; then the answer and the nanoseconds of one update.
fn timed(
    keys: &[u64],
    mut add: impl FnMut(&[u64]) -> anyhow::Result<u64>,
) -> anyhow::Result<(u64, f64)> {
    let (warm, keys) = keys.split_at(keys.len() / 4);
    add(warm)?;
    let began = Instant::now();
    let answered = add(keys)?;
    Ok((answered, began.elapsed().as_nanos() as f64 / keys.len().max(1) as f64))
}

/// State that fits: 100,000 keys.
pub(crate) fn resident_rows() -> anyhow::Result<()> {
    let (mut sums, direct) = (Sums::resident()?, Direct::open(RESIDENT_BUDGET.0)?);
    fill(RESIDENT_KEYS, |keys| sums.add(Update::Sum, keys))?;
    fill(RESIDENT_KEYS, |keys| add_directly(&direct, keys))?;
    let keys = draws(RESIDENT_KEYS, Keys::Uniform, RESIDENT_EVENTS);
    let ours = timed(&keys, |keys| sums.add(Update::Sum, keys))?;
    let theirs = timed(&keys, |keys| add_directly(&direct, keys))?;
    anyhow::ensure!(ours.0 == theirs.0, "engine and RocksDB answer different sums");
    print("running sum, all in memory", RESIDENT_KEYS, (ours.1, theirs.1), 50.0)
}

fn print(work: &str, keys: u64, ns: (f64, f64), least: f64) -> anyhow::Result<()> {
    let row = |work: &str, value, unit, target| Row {
        work: work.to_owned(),
        keys,
        checkpoint_ms: 0,
        value,
        unit,
        target,
    };
    row(work, ns.1 / ns.0, "x RocksDB", Target::AtLeast(least)).print()?;
    row(&format!("{work}: engine"), ns.0, "ns an update", Target::Nothing).print()?;
    row(&format!("{work}: RocksDB"), ns.1, "ns an update", Target::Nothing).print()
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
        Size::Small => (Bytes::mib(32), 1_000_000),
        Size::Full => (Bytes::mib(256), 10_000_000),
    };
    let keys = keys_beyond(budget)?;
    let direct = Direct::open(budget.0)?;
    fill(keys, |keys| add_directly(&direct, keys))?;
    let mut sums = Sums::within(budget)?;
    fill(keys, |keys| sums.add(Update::Sum, keys))?;
    let beside = |sums: &mut Sums, update, drawn| {
        let drawn = draws(keys, drawn, events);
        let theirs = timed(&drawn, |keys| add_directly(&direct, keys))?;
        let ours = timed(&drawn, |keys| sums.add(update, keys))?;
        let same = update == Update::Count || ours.0 == theirs.0;
        anyhow::ensure!(same, "engine and RocksDB answer different sums");
        anyhow::Ok((ours.1, theirs.1))
    };
    let name = |what: &str| format!("state {TIMES} times a budget of {budget}, {what}");
    let ns = beside(&mut sums, Update::Sum, Keys::Uniform)?;
    print(&name("uniform read-modify-write"), keys, ns, 1.2)?;
    let ns = beside(&mut sums, Update::Sum, Keys::Zipf)?;
    print(&name("zipf 0.99 read-modify-write"), keys, ns, 10.0)?;
    drop(sums);
    let mut counts = Sums::within(budget)?;
    fill(keys, |keys| counts.add(Update::Count, keys))?;
    let ns = beside(&mut counts, Update::Count, Keys::Uniform)?;
    let counted = counts.counted()?;
    let added = keys + events as u64;
    anyhow::ensure!(counted == added, "{added} were added, and {counted} are there");
    print(&name("uniform aggregate"), keys, ns, 10.0)
}
