//! From the start after a `kill -9` to the first new result among the committed records.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Row, median, millis_of, stop};
use crate::child::Job;
use crate::expected::Work;
use crate::paced::Paced;
use crate::reader::Reader;
use crate::setup::{Options, Setup};

const RATE: u64 = 10_000;
const CHECKPOINT_MS: u64 = 100;
const KILLS: usize = 9;
/// As long it runs before it is killed, each time.
const RUNS: Duration = Duration::from_secs(3);
/// As long nothing is started, so that everything was read that is visible.
const DEAD: Duration = Duration::from_millis(500);
/// The longest that is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads for `time`.
fn read_on(reader: &mut Reader, time: Duration) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        reader.read(Duration::from_millis(10), |_| {})?;
    }
    Ok(())
}

pub(super) fn measure(setup: &Setup, options: &Options) -> Result<()> {
    let job = Job::endless(setup, "restart", (Work::Running, CHECKPOINT_MS), options)?;
    let paced = Paced::start(setup.address(), &job.input, RATE)?;
    let mut reader = Reader::open(setup.address(), &job.output)?;
    let mut running = job.start(setup)?;
    let mut times = Vec::new();
    for _ in 0..KILLS {
        read_on(&mut reader, RUNS)?;
        running.kill()?;
        running.wait()?;
        read_on(&mut reader, DEAD)?;
        let (began, mut seen) = (Instant::now(), 0_u64);
        running = job.start(setup)?;
        while seen == 0 {
            reader.read(Duration::from_millis(5), |_| seen += 1)?;
            ensure!(began.elapsed() < LIMIT, "no result for {} s after a kill", LIMIT.as_secs());
        }
        times.push(millis_of(began.elapsed()));
    }
    paced.stop()?;
    stop(running)?;
    let most = times.iter().copied().fold(0.0, f64::max);
    Row::of("restart", CHECKPOINT_MS, "engine")
        .with("kills", KILLS as f64)
        .with("p50_ms", median(times))
        .with("max_ms", most)
        .target("3,000 ms", most <= 3000.0)
        .print(options.json);
    Ok(())
}
