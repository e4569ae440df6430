//! How long the stream stands still for a checkpoint of 100,000 changed entries: the cut.

use std::time::Instant;

use riverrun::engine::checkpoint::SnapshotMode;

use super::gauge::percentile;
use super::row::{Row, Target};
use super::sums::{Sums, Update};

const KEYS: u64 = 100_000;
const ROUNDS: usize = 200;

/// Measures and prints.
pub(crate) fn rows() -> anyhow::Result<()> {
    let mut sums = Sums::resident()?;
    let keys: Vec<u64> = (0..KEYS).collect();
    let mut cuts_us = Vec::with_capacity(ROUNDS);
    let mut writes_us = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        sums.add(Update::Sum, &keys)?;
        let store = sums.store();
        let began = Instant::now();
        store.cut(SnapshotMode::Delta)?;
        cuts_us.push(began.elapsed().as_nanos() as f64 / 1e3);
        let began = Instant::now();
        while !store.write_some()? {}
        writes_us.push(began.elapsed().as_nanos() as f64 / 1e3);
        std::hint::black_box(store.take_snapshot());
    }
    let row = |work: &str, part, target| Row {
        work: work.to_owned(),
        keys: KEYS,
        checkpoint_ms: 0,
        value: percentile(&cuts_us, part),
        unit: "us",
        target,
    };
    row("cut of 100 k dirty entries, p50", 0.5, Target::AtMost(50.0)).print()?;
    row("cut of 100 k dirty entries, p99", 0.99, Target::AtMost(50.0)).print()?;
    let row = row("writing of the same, p50", 0.5, Target::Nothing);
    Row { value: percentile(&writes_us, 0.5), ..row }.print()
}
