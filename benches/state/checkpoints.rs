//! A whole checkpoint of 100,000 changed entries, from trigger to commit, and what the workers do
//! meanwhile: with just these records in an interval, and with as many as they can take.

use std::time::{Duration, Instant};

use super::bare_disk::BareDisk;
use super::gauge::percentile;
use super::job::{Running, STOP, WORKERS, Work};
use super::row::{Row, Target};

const KEYS: u64 = 100_000;
const CHECKPOINTS: u64 = 200;
/// The first checkpoints, that fill tables and files, are not counted.
const WARM: u64 = 10;
const INTERVAL: Duration = Duration::from_millis(100);
/// What is removed after a checkpoint is gone by then.
const SETTLED: Duration = Duration::from_millis(30);
/// As long as about as many checkpoints take.
const UNWATCHED: Duration = Duration::from_secs(20);
const WORK: Work = Work { keys: KEYS, text_bytes: 0, answers: false, interval: INTERVAL };

/// Waits for [`CHECKPOINTS`], tells `each` how many there are, and answers their milliseconds.
fn durations(
    run: &Running,
    mut each: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<f64>> {
    let mut all = Vec::new();
    for count in WARM..WARM + CHECKPOINTS {
        each(count)?;
        run.until_checkpoints(count + 1)?;
        let last = run.status.last_checkpoint();
        all.extend(last.map(|checkpoint| checkpoint.duration_ms));
    }
    Ok(all)
}

fn row(work: &str, value: f64, most: f64) -> Row {
    let (work, checkpoint_ms) = (work.to_owned(), INTERVAL.as_millis() as u64);
    Row { work, keys: KEYS, checkpoint_ms, value, unit: "ms", target: Target::AtMost(most) }
}

/// Of what is done without any checkpoint.
fn explaining(work: &str, value: f64) -> Row {
    Row { checkpoint_ms: 0, target: Target::Nothing, ..row(work, value, 0.0) }
}

/// Measures and prints.
pub(crate) fn rows() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = Running::start(WORK, folder.path());
    run.feed.open_to(KEYS);
    run.until_checkpoints(WARM)?;
    let (mut disk, mut bare) = (BareDisk::beside(&folder.path().join("checkpoints"))?, Vec::new());
    // In turns, since the disk is another one by the minute.
    let all = durations(&run, |count| {
        std::thread::sleep(SETTLED);
        bare.push(disk.round()?);
        run.feed.open_to(KEYS * (count - WARM + 2));
        Ok(())
    })?;
    run.stop(STOP)?;
    row("whole checkpoint of 100 k dirty entries, p50", percentile(&all, 0.5), 6.0).print()?;
    row("whole checkpoint of 100 k dirty entries, p99", percentile(&all, 0.99), 15.0).print()?;
    explaining("the disk alone, in turns with it, p50", percentile(&bare, 0.5)).print()?;
    explaining("the disk alone, in turns with it, p99", percentile(&bare, 0.99)).print()?;

    let folder = tempfile::tempdir()?;
    let run = Running::start(WORK, folder.path());
    run.feed.open_to(u64::MAX);
    run.until_checkpoints(WARM)?;
    run.feed.silence.clear();
    let began = Instant::now();
    let all = durations(&run, |_| Ok(()))?;
    let silent = run.feed.silence.at_moment(0.999, began.elapsed(), WORKERS);
    let longest = run.feed.silence.of_all(0.999);
    run.stop(STOP)?;
    row("the same at full load, p50", percentile(&all, 0.5), 6.0).print()?;
    row("the same at full load, p99", percentile(&all, 0.99), 15.0).print()?;
    row("a worker silent at full load, p99.9 of all silences", longest, 1.0).print()?;
    row("a worker silent at full load, p99.9 of all moments", silent, 1.0).print()?;
    explaining("the same without checkpoints", without_checkpoints()?).print()
}

/// For how long a worker is silent that has only records to care for: what the machine does to it.
fn without_checkpoints() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let run = Running::start(Work { interval: Duration::ZERO, ..WORK }, folder.path());
    run.feed.open_to(u64::MAX);
    std::thread::sleep(UNWATCHED / 4);
    run.feed.silence.clear();
    let began = Instant::now();
    std::thread::sleep(UNWATCHED);
    let silent = run.feed.silence.at_moment(0.999, began.elapsed(), WORKERS);
    run.stop(STOP)?;
    Ok(silent)
}
