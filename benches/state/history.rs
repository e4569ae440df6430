//! What thousands of checkpoints leave behind: bytes on disk, memory, handles, files, threads, and
//! the time to start again.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use riverrun::runtime::control::CommandKind;

use super::Size;
use super::gauge::{Taken, folder_bytes, percentile, taken};
use super::job::{Running, STOP, Work};
use super::row::{Row, Target};

const KEYS: u64 = 100_000;
/// After so many the disk is measured.
const SPACE_AFTER: u64 = 1_000;
/// A short history, to compare with.
const SHORT: u64 = 10;
/// As close together as checkpoints can be told to come.
const INTERVAL: Duration = Duration::from_millis(10);
const RESTARTS: usize = 9;
const WORK: Work = Work { keys: KEYS, text_bytes: 0, answers: false, interval: INTERVAL };
/// A restart is over with its first answer, and takes no checkpoint but its last.
const AGAIN: Work = Work { answers: true, interval: Duration::from_secs(3600), ..WORK };

fn print(work: String, value: f64, unit: &'static str, target: Target) -> anyhow::Result<()> {
    let checkpoint_ms = INTERVAL.as_millis() as u64;
    Row { work, keys: KEYS, checkpoint_ms, value, unit, target }.print()
}

/// Measures and prints.
pub(crate) fn rows(size: Size) -> anyhow::Result<()> {
    let checkpoints = match size {
        Size::Small => SPACE_AFTER,
        Size::Full => 10_000,
    };
    let short = tempfile::tempdir()?;
    let run = Running::start(WORK, short.path());
    run.feed.open_to(u64::MAX);
    run.until_checkpoints(SHORT)?;
    run.stop(STOP)?;

    let long = tempfile::tempdir()?;
    let run = Running::start(WORK, long.path());
    run.feed.open_to(u64::MAX);
    let mut samples = Vec::new();
    let mut on_disk = 0;
    for count in 1..=checkpoints {
        run.until_checkpoints(count)?;
        if count == SPACE_AFTER {
            on_disk = folder_bytes(long.path())?;
        }
        samples.push(taken(long.path())?);
    }
    run.stop(STOP)?;
    restarts(short.path(), long.path(), checkpoints)?;
    let live = live_bytes(long.path())?;
    print(
        format!("space on disk after {SPACE_AFTER} checkpoints of the running sum"),
        on_disk as f64 / live as f64,
        "x the live state",
        Target::AtMost(3.0),
    )?;
    flat("memory", &samples, |taken| taken.memory)?;
    flat("file handles", &samples, |taken| taken.handles)?;
    flat("files", &samples, |taken| taken.files)?;
    flat("threads", &samples, |taken| taken.threads)
}

/// Of the state in `folder`: a savepoint is just that, its segment and its manifest. Both count, as
/// all files do of what lies on disk.
fn live_bytes(folder: &Path) -> anyhow::Result<u64> {
    let run = Running::start(AGAIN, folder);
    run.feed.open_to(u64::MAX);
    run.first_answer()?;
    let status = run.status.clone();
    run.stop(CommandKind::Stop { savepoint: true })?;
    let segment = status.last_checkpoint().context("a savepoint was taken")?.bytes;
    let mut newest = None;
    for entry in std::fs::read_dir(folder.join("checkpoints").join("checkpoints"))? {
        newest = newest.max(Some(entry?.path()));
    }
    let manifest = newest.context("a savepoint has a manifest")?.metadata()?.len();
    Ok(segment + manifest)
}

/// The time to the first record: in turns, so that both get the same minutes.
fn restarts(short: &Path, long: &Path, checkpoints: u64) -> anyhow::Result<()> {
    let (mut after_short, mut after_long) = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        for (folder, times) in [(short, &mut after_short), (long, &mut after_long)] {
            let run = Running::start(AGAIN, folder);
            run.feed.open_to(u64::MAX);
            times.push(run.first_answer()?.as_secs_f64() * 1e3);
            run.stop(STOP)?;
        }
    }
    let (short, long) = (percentile(&after_short, 0.5), percentile(&after_long, 0.5));
    let work = format!("restart after {checkpoints} checkpoints");
    print(work.clone(), long / short, "x after ten", Target::AtMost(1.25))?;
    print(work, long, "ms", Target::Nothing)
}

/// The most of the last fifth of a run beside the most of its second: the first is for growing up.
fn flat(what: &str, samples: &[Taken], of: fn(&Taken) -> u64) -> anyhow::Result<()> {
    let fifth = samples.len() / 5;
    let most = |samples: &[Taken]| samples.iter().map(of).max().unwrap_or(0).max(1) as f64;
    let (early, late) = (most(&samples[fifth..2 * fifth]), most(&samples[4 * fifth..]));
    let work = format!("{what} over {} checkpoints", samples.len());
    print(work, late / early, "x the start", Target::AtMost(1.1))
}
