//! From a `kill -9` to the next output that is committed, when there is a lot of state.
//!
//! 1. The job runs as a process of its own ([`child`]): it fills its state, then every key gets a
//!    record now and then; every hundredth sum goes to files, a checkpoint each 100 ms.
//! 2. Killed and started again at once, again and again. Output is there when a file becomes
//!    visible that was not before the kill.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use riverrun::prelude::*;
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::Control;
use riverrun::runtime::run::run_job;
use riverrun::runtime::status::JobStatus;

use super::gauge::percentile;
use super::job::{Feed, Work, config, sums};
use super::row::{Row, Target};

const GB: u64 = 1_000_000_000;
const TEXT_BYTES: usize = 100;
/// How many keys make a state of that size, whose rows `restores` counts so; a multiple of 200, so
/// that the sums of every round over the keys have their share of multiples of 100.
const KEYS: u64 = GB / (TEXT_BYTES as u64 + 16) / (2 * WRITTEN) * (2 * WRITTEN);
const INTERVAL: Duration = Duration::from_millis(100);
const WORK: Work = Work { keys: KEYS, text_bytes: TEXT_BYTES, answers: true, interval: INTERVAL };
/// How long the source rests after a batch, so that the state is touched all over, not rewritten.
const PACE: Duration = Duration::from_millis(5);
/// Of so many sums one is written.
const WRITTEN: u64 = 100;
const KILLS: usize = 9;
/// As long it runs before it is killed, each time.
const RUNS: Duration = Duration::from_secs(4);
/// The longest that is waited for.
const LIMIT: Duration = Duration::from_secs(120);
/// The word that makes this program a child, its folder behind.
pub(crate) const CHILD: &str = "recovery-child";
/// What a child says once every key has a value.
const FULL: &str = "full";

/// The job, until it is killed.
pub(crate) fn child(folder: &Path) -> anyhow::Result<()> {
    let feed = Arc::new(Feed::default());
    feed.open_to(u64::MAX);
    let (job, seen) = (Job::new(serde_json::Value::Null), AtomicU64::new(0));
    let count = move |_: &u64| {
        if seen.fetch_add(1, Ordering::Relaxed) + 1 == KEYS {
            println!("{FULL}");
        }
    };
    let out = Files::write_json_lines(out(folder).display().to_string());
    let shown = sums(&job, WORK, &feed).inspect(count).filter(|sum| sum % WRITTEN == 0);
    shown.sink("out", out);
    let graph = job.into_graph();
    let mut config = config(WORK, folder);
    config.pace = PACE;
    let status = Arc::new(JobStatus::of("bench", &graph));
    let options = RunOptions::default();
    run_job("bench", graph, &config, &options, status, Control::detached())?;
    anyhow::bail!("the job ended")
}

fn out(folder: &Path) -> std::path::PathBuf {
    folder.join("out")
}

/// A child that ends with this process.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // It is dead already, or nobody needs it any more.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(folder: &Path) -> anyhow::Result<Started> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(Started(command.spawn().context("cannot start the job")?))
}

/// The files that are visible.
fn visible(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(out(folder)).context("no output")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Measures and prints.
pub(crate) fn rows() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut running = start(folder.path())?;
    let said = running.0.stdout.take().context("the job says nothing")?;
    let full = BufReader::new(said).lines().map_while(Result::ok).any(|line| line == FULL);
    anyhow::ensure!(full, "the job ended before its state was full");
    let mut times = Vec::new();
    for _ in 0..KILLS {
        std::thread::sleep(RUNS);
        running.0.kill()?;
        running.0.wait()?;
        let (killed, before) = (Instant::now(), visible(folder.path())?);
        running = start(folder.path())?;
        while visible(folder.path())?.is_subset(&before) {
            anyhow::ensure!(killed.elapsed() < LIMIT, "no output for {} s", LIMIT.as_secs());
            std::thread::sleep(Duration::from_millis(2));
        }
        times.push(killed.elapsed().as_secs_f64());
    }
    let row = |what: &str, value: f64, target| Row {
        work: format!("kill -9 to the next committed output, 1 GB of state, {what} of {KILLS}"),
        keys: KEYS,
        checkpoint_ms: INTERVAL.as_millis() as u64,
        value,
        unit: "s",
        target,
    };
    row("p50", percentile(&times, 0.5), Target::AtMost(2.0)).print()?;
    row("longest", percentile(&times, 1.0), Target::Nothing).print()
}
