//! Ten million pending timers: what it costs to set, to checkpoint, to restore and to fire them.

use std::time::Instant;

use riverrun::engine::checkpoint::SnapshotMode;
use riverrun::engine::key::{KEY_GROUPS, KeyGroupRange, KeyHasher};
use riverrun::engine::state::{Declare, StateStore};
use riverrun::engine::time::Timestamp;
use riverrun::engine::timer::Timers;

use super::row::{Row, Target};

const TIMERS: u64 = 10_000_000;
/// They are due within an hour.
const WITHIN_MS: u64 = 3_600_000;

fn open() -> (StateStore, Timers<u64>) {
    let mut declare = Declare::<u64>::new(KeyGroupRange::all(KEY_GROUPS), true);
    let timers = declare.timers();
    (declare.finish().0, timers)
}

fn print(work: &str, began: Instant) -> anyhow::Result<()> {
    let row = Row {
        work: format!("10 M timers: {work}"),
        keys: TIMERS,
        checkpoint_ms: 0,
        value: began.elapsed().as_nanos() as f64 / TIMERS as f64,
        unit: "ns a timer",
        target: Target::Nothing,
    };
    row.print()
}

/// Measures and prints.
pub(crate) fn rows() -> anyhow::Result<()> {
    let (mut store, timers) = open();
    let mut hasher = KeyHasher::default();
    let began = Instant::now();
    for n in 0..TIMERS {
        let due = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % WITHIN_MS;
        let due = Timestamp::from_millis(due as i64);
        store.get_mut(timers.event).set(due, hasher.hash(&n)?, &n)?;
    }
    print("set", began)?;
    let began = Instant::now();
    let stored = store.snapshot(SnapshotMode::Full)?;
    print("written to a checkpoint", began)?;
    drop(store);
    let (mut store, timers) = open();
    let began = Instant::now();
    for state in &stored {
        for section in &state.sections {
            store.restore(&state.state, section.group, &section.bytes)?;
        }
    }
    print("restored", began)?;
    drop(stored);
    let (began, mut fired) = (Instant::now(), 0);
    let mut last = Timestamp::MIN;
    while let Some((due, _, _)) = store.get_mut(timers.event).pop_due(Timestamp::MAX)? {
        anyhow::ensure!(due >= last, "timers fire in the order of time");
        (last, fired) = (due, fired + 1);
    }
    anyhow::ensure!(fired == TIMERS, "{fired} of {TIMERS} timers fired");
    print("fired in order", began)
}
