//! Engine and bare loop as processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::expected::Work;
use crate::setup::{Options, Setup};
use crate::{JOB, ROLE};

/// What a process took from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// Of the clock on the wall.
    pub(crate) wall: Duration,
    /// Of all cores, in user and kernel.
    pub(crate) cpu: Duration,
}

/// One run of the engine.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) parallelism: u32,
    pub(crate) checkpoint_ms: u64,
    pub(crate) to_end: bool,
}

impl Job {
    /// One without an end, between topics of its own: made, empty, `NAME-in` and `NAME-out`.
    pub(crate) fn endless(
        setup: &Setup,
        name: &str,
        (work, checkpoint_ms): (Work, u64),
        options: &Options,
    ) -> Result<Job> {
        let (input, output) = (format!("{name}-in"), format!("{name}-out"));
        setup.topic(&input)?;
        setup.topic(&output)?;
        let parallelism = options.parallelism;
        Ok(Job { work, input, output, parallelism, checkpoint_ms, to_end: false })
    }

    /// Where its checkpoints lie.
    pub(crate) fn checkpoints(&self, setup: &Setup) -> std::path::PathBuf {
        setup.folder().join(&self.output)
    }

    /// Starts it; started again, it goes on where it was.
    pub(crate) fn start(&self, setup: &Setup) -> Result<Child> {
        let mut command = role("engine")?;
        command
            .env(JOB, &self.output)
            .arg("run")
            .args(["--parallelism", &self.parallelism.to_string()]);
        for (name, value) in [
            ("brokers", setup.address().to_string()),
            ("work", self.work.name().to_owned()),
            ("input", self.input.clone()),
            ("output", self.output.clone()),
            ("to_end", self.to_end.to_string()),
        ] {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        for (name, value) in [
            ("workers", self.parallelism.to_string()),
            ("checkpoint.path", self.checkpoints(setup).display().to_string()),
            ("checkpoint.interval", format!("{}ms", self.checkpoint_ms)),
            ("log.level", "error".to_owned()),
        ] {
            command.arg("--conf").arg(format!("{name}={value}"));
        }
        command.spawn().context("cannot start the engine")
    }
}

/// The bare loop over the whole input.
pub(crate) fn bare(setup: &Setup, work: Work, input: &str, output: &str) -> Result<Child> {
    let mut command = role("bare")?;
    command.args(["--brokers", &setup.address().to_string(), "--work", work.name()]);
    command.args(["--input", input, "--output", output]);
    command.spawn().context("cannot start the bare loop")
}

fn role(name: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, name).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Waits for the end of what `start` starts.
pub(crate) fn timed(start: impl FnOnce() -> Result<Child>) -> Result<Spent> {
    let (began, before) = (Instant::now(), of_children()?);
    let ended = start()?.wait()?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(Spent { wall: began.elapsed(), cpu: of_children()?.saturating_sub(before) })
}

/// Linux counts CPU time in hundredths of a second for whoever asks.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all children that have ended and were waited for.
fn of_children() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("CPU time: needs Linux")?;
    // Behind the name, which may hold anything: state is field 3, `cutime` 16, `cstime` 17.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(16 - 3).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

/// Threads, open files and bytes in memory of a process.
pub(crate) fn gauge(pid: u32) -> Result<[u64; 3]> {
    let folder = Path::new("/proc").join(pid.to_string());
    let count = |name: &str| Ok::<_, std::io::Error>(folder.join(name).read_dir()?.count() as u64);
    let status = std::fs::read_to_string(folder.join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok([count("task")?, count("fd")?, kib.trim().parse::<u64>()? * 1024])
}
