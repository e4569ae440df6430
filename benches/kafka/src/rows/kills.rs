//! At full rate the engine is killed again and again, and at the end each result must be there
//! once, in its order.
//!
//! Every event adds one to the sum of its key, so the results of a key are 1, 2, 3 and so on: a gap
//! is a lost record, a number that comes again a doubled one.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Row, stop};
use crate::child::Job;
use crate::event::KEYS;
use crate::expected::Work;
use crate::paced::Paced;
use crate::reader::Reader;
use crate::setup::{Options, Setup};

const CHECKPOINT_MS: u64 = 100;
/// As long it runs before it is killed, each time.
const RUNS: Duration = Duration::from_secs(20);
/// The longest without a new result while the rest is read.
const LIMIT: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_millis(100);

/// The results so far: how many of each key, all in their order.
struct Seen {
    by_key: Vec<u64>,
    all: u64,
}

impl Seen {
    fn add(&mut self, [key, _, sum]: [u64; 3]) -> Result<()> {
        let last = &mut self.by_key[key as usize];
        ensure!(sum == *last + 1, "key {key}: {sum} stands where {} must", *last + 1);
        (*last, self.all) = (sum, self.all + 1);
        Ok(())
    }

    /// Reads what there is.
    fn read(&mut self, reader: &mut Reader) -> Result<u64> {
        let (before, mut wrong) = (self.all, None);
        reader.read(PATIENCE, |result| {
            if wrong.is_none() {
                wrong = self.add(result).err();
            }
        })?;
        wrong.map_or(Ok(self.all - before), Err)
    }
}

pub(super) fn measure(setup: &Setup, options: &Options) -> Result<()> {
    let job = Job::endless(setup, "kills", (Work::Running, CHECKPOINT_MS), options)?;
    let paced = Paced::start(setup.address(), &job.input, options.rate)?;
    let mut running = job.start(setup)?;
    for kill in 1..=options.kills {
        std::thread::sleep(RUNS);
        running.kill()?;
        running.wait()?;
        eprintln!("killed {kill} of {}", options.kills);
        running = job.start(setup)?;
    }
    let written = paced.stop()?;
    eprintln!("reading {written} results");
    let mut reader = Reader::open(setup.address(), &job.output)?;
    let mut seen = Seen { by_key: vec![0; KEYS as usize], all: 0 };
    let mut last = Instant::now();
    while seen.all < written {
        if seen.read(&mut reader)? > 0 {
            last = Instant::now();
        }
        ensure!(last.elapsed() < LIMIT, "{} of {written} results are there", seen.all);
    }
    stop(running)?;
    // What came twice would stand behind.
    while seen.read(&mut reader)? > 0 {}
    ensure!(seen.all == written, "{} results of {written} records", seen.all);
    Row::of("kills", CHECKPOINT_MS, "engine")
        .with("kills", options.kills as f64)
        .with("records", written as f64)
        .with("records_per_s", options.rate as f64)
        .target("each result once, in order", true)
        .print(options.json);
    Ok(())
}
