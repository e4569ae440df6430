//! What a job holds after many checkpoints: no more than after some.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Row, stop};
use crate::child::{Job, gauge};
use crate::expected::Work;
use crate::paced::Paced;
use crate::setup::{Options, Setup};

/// Enough that every key has its sum before the first look.
const RATE: u64 = 10_000;
const CHECKPOINT_MS: u64 = 20;
/// The share of all checkpoints after which the first look is taken.
const FIRST_SHARE: u64 = 5;
/// How much more memory may be in use at the last look than at the first.
const MEMORY_MOST: f64 = 1.2;
const LOOKS: u32 = 50;

/// The number of the newest checkpoint.
fn newest(folder: &Path) -> Option<u64> {
    let entries = folder.join("checkpoints").read_dir().ok()?.flatten();
    let number = |name: &str| name.strip_suffix(".manifest")?.parse().ok();
    entries.filter_map(|entry| number(&entry.file_name().to_string_lossy())).max()
}

/// Looks for a while: what is open for a moment only does not count.
fn look(pid: u32) -> Result<[u64; 3]> {
    let mut least = gauge(pid)?;
    for _ in 0..LOOKS {
        std::thread::sleep(Duration::from_millis(20));
        let now = gauge(pid)?;
        least.iter_mut().zip(now).for_each(|(least, now)| *least = now.min(*least));
    }
    Ok(least)
}

pub(super) fn measure(setup: &Setup, options: &Options) -> Result<()> {
    let job = Job::endless(setup, "flat", (Work::Running, CHECKPOINT_MS), options)?;
    let paced = Paced::start(setup.address(), &job.input, RATE)?;
    let mut running = job.start(setup)?;
    let (began, mut first) = (Instant::now(), None);
    // Ten times as long as it should take.
    let limit = Duration::from_millis(10 * CHECKPOINT_MS * options.checkpoints);
    loop {
        std::thread::sleep(Duration::from_millis(100));
        ensure!(running.try_wait()?.is_none(), "the engine ended");
        let done = newest(&job.checkpoints(setup)).unwrap_or(0);
        ensure!(began.elapsed() < limit, "{done} checkpoints in {} s", limit.as_secs());
        if first.is_none() && done >= options.checkpoints / FIRST_SHARE {
            first = Some(look(running.id())?);
        }
        if done >= options.checkpoints {
            break;
        }
    }
    let ([threads, files, bytes], last) = (first.context("a first look")?, look(running.id())?);
    paced.stop()?;
    stop(running)?;
    let memory = last[2] as f64 / bytes as f64;
    let flat = last[0] <= threads && last[1] <= files && memory <= MEMORY_MOST;
    Row::of("flat", CHECKPOINT_MS, "engine")
        .with("checkpoints", options.checkpoints as f64)
        .with("threads_before", threads as f64)
        .with("threads_after", last[0] as f64)
        .with("files_before", files as f64)
        .with("files_after", last[1] as f64)
        .with("memory_ratio", memory)
        .target("no more threads or files, memory 1.2", flat)
        .print(options.json);
    Ok(())
}
