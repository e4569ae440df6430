//! `cargo xtask drill`: what only the project itself drills.
//!
//! - `--planted` builds the drill jobs with the planted [`bugs`] and proves that a drill catches
//!   each;
//! - `--kafka` drills the job on Kafka while its broker is killed ([`faults`]), judged by Kafka's
//!   own client ([`judge`]);
//! - `--campaign HOURS` goes on for long and keeps the figures ([`campaign`]).

pub(crate) mod bugs;
mod campaign;
mod faults;
mod jobs;
mod judge;
mod planted;

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Result, bail};
use clap::ValueEnum;
use xtask::say::Progress;

use self::bugs::Job;
use self::faults::Beside;
use crate::cargo;
use crate::tools;

/// What to drill.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Proves that the drills can fail: each planted bug must be caught.
    #[arg(long, conflicts_with_all = ["kafka", "campaign"])]
    planted: bool,
    /// Only the planted bugs whose names begin so.
    #[arg(long, value_name = "NAME", requires = "planted")]
    only: Option<String>,
    /// Drills the job on Kafka while its broker is killed; needs Java and, once, Maven.
    #[arg(long, conflicts_with = "campaign")]
    kafka: bool,
    /// How many runs to kill with `--kafka`.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "kafka")]
    kills: u64,
    /// What `--kafka` draws from.
    #[arg(long, value_name = "S", default_value_t = 1, requires = "kafka")]
    seed: u64,
    /// Lets the broker of `--kafka` live.
    #[arg(long, requires = "kafka")]
    calm: bool,
    /// Drills for so many hours, and appends the figures to `tests/DRILLS.md`.
    #[arg(long, value_name = "HOURS")]
    campaign: Option<f64>,
    /// Which job is drilled; planted bugs: of both, unless one is named.
    #[arg(long)]
    target: Option<Target>,
    /// Asks a drill that runs elsewhere about a life: what `--kafka` has its drill do.
    #[arg(long, hide = true, value_name = "FOLDER")]
    ask: Option<PathBuf>,
    /// Of which life.
    #[arg(hide = true, requires = "ask")]
    about: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// The drill job on files.
    Files,
    /// The drill job on Kafka.
    Kafka,
}

/// Drills.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if let Some(folder) = &options.ask {
        return faults::ask(folder, &options.about);
    }
    if options.planted {
        let jobs: &[Job] = match options.target {
            Some(Target::Files) => &[Job::Files, Job::Clicks, Job::Spilling],
            Some(Target::Kafka) => &[Job::Kafka],
            None => &[Job::Files, Job::Clicks, Job::Spilling, Job::Kafka],
        };
        return planted::run(options.only.as_deref(), jobs);
    }
    if let Some(hours) = options.campaign {
        return match options.target {
            Some(Target::Kafka) => campaign::run(hours, Job::Kafka, "kafka"),
            Some(Target::Files) | None => campaign::run(hours, Job::Files, "files"),
        };
    }
    if options.kafka {
        return kafka(options);
    }
    bail!("say what: `--planted`, `--kafka` or `--campaign HOURS`; your own job drills itself")
}

/// The job on Kafka, while its broker is killed.
fn kafka(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    tools::ensure(jobs::needs(Job::Kafka), &progress)?;
    progress.say("building the drill job and starting a broker");
    let mut built = jobs::Built::new(Job::Kafka, false, &cargo::target().join("drill-kafka"))?;
    let mut drill = built.drill();
    drill.args(["--random", "--zombie", "--points", "all", "--limit", "5m"]);
    drill.args(["--kills", &options.kills.to_string(), "--seed", &options.seed.to_string()]);
    drill.stdout(Stdio::inherit());
    let beside = Beside { seed: options.seed, disturbs: !options.calm, judge_every: 1 };
    let (code, faults) = faults::run(&mut built, drill, beside, &progress)?;
    println!(
        "broker killed {} times, {} of them for longer than transactions live; {} lives judged by \
         Kafka's own consumer",
        faults.kills, faults.past_timeout, faults.judged
    );
    Ok(code == Some(0))
}
