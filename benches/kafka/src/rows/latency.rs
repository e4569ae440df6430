//! From the writing of a record to the reading of its result by a reader of committed records.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Row, millis_of, stop};
use crate::child::Job;
use crate::expected::Work;
use crate::paced::{Paced, now_us};
use crate::reader::Reader;
use crate::setup::{Options, Setup};

const RATE: u64 = 10_000;
const CHECKPOINT_MS: u64 = 100;
/// Not counted: the start.
const WARM: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(30);

pub(super) fn measure(setup: &Setup, options: &Options) -> Result<()> {
    let job = Job::endless(setup, "latency", (Work::Copy, CHECKPOINT_MS), options)?;
    let running = job.start(setup)?;
    let paced = Paced::start(setup.address(), &job.input, RATE)?;
    let mut reader = Reader::open(setup.address(), &job.output)?;
    let (began, mut late) = (Instant::now(), Vec::new());
    while began.elapsed() < WARM + MEASURED {
        let counts = began.elapsed() >= WARM;
        reader.read(Duration::from_millis(20), |[_, written_us, _]| {
            if counts {
                late.push(now_us().saturating_sub(written_us));
            }
        })?;
    }
    paced.stop()?;
    stop(running)?;
    let due = MEASURED.as_secs() * RATE;
    ensure!(late.len() as u64 * 10 > due * 9, "{} results of {due} were read", late.len());
    late.sort_unstable();
    let at = |share: f64| {
        let place = (late.len() as f64 * share) as usize;
        millis_of(Duration::from_micros(late[place.min(late.len() - 1)]))
    };
    let (p50, p99) = (at(0.5), at(0.99));
    Row::of("latency", CHECKPOINT_MS, "engine")
        .with("records_per_s", late.len() as f64 / MEASURED.as_secs_f64())
        .with("p50_ms", p50)
        .with("p99_ms", p99)
        .target("p50 100 ms, p99 200 ms", p50 <= 100.0 && p99 <= 200.0)
        .print(options.json);
    Ok(())
}
