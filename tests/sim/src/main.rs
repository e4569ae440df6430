//! Deterministic simulation: whole jobs (sources, gates, state, checkpoints, files) on one thread,
//! with time, order and disk in the hand of a seed. `cargo xtask sim` starts it.
//!
//! A seed is a [`plan`]: a job, its input, and some lives, each with settings of its own, killed
//! after some step or at some operation of the [`disk`], which then may lose what was not synced.
//! [`simulate`] lives it under the [`scheduler`]; the [`judge`] compares with the [`oracle`].
//!
//! Invariant: a seed repeats exactly, in this process and in any other.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a developer")]

mod chance;
mod disk;
mod job;
mod judge;
mod oracle;
mod plan;
mod scheduler;
mod simulate;
#[path = "../../drills/steps.rs"]
mod steps;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use riverrun::engine::crash;
use simulate::{Report, simulate};

/// How often progress is told, in seeds.
const TOLD: u64 = 500;

/// Lives whole jobs on one thread, under many seeds.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed only.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With one seed: tell every step.
    #[arg(long, requires = "seed")]
    steps: bool,
    /// Go on after a finding, to see how many there are.
    #[arg(long)]
    keep_going: bool,
    /// Tell how often each crash point of the engine was passed.
    #[arg(long)]
    points: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.points {
        crash::arm(Vec::new(), |_| {});
    }
    if let Some(seed) = arguments.seed {
        let report = lived(seed, arguments.steps);
        println!("{}", line(seed, &report));
        return judged(u64::from(report.finding.is_some()));
    }
    let found = many(&arguments);
    crash::passings().iter().for_each(|(point, times)| println!("{times:>10} {point}"));
    judged(found)
}

fn judged(found: u64) -> ExitCode {
    if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What came of a seed; a panic of the simulation itself is a finding too.
fn lived(seed: u64, steps: bool) -> Report {
    catch_unwind(|| simulate(seed, steps)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        let finding = Some(format!("panicked: {}", text.unwrap_or_default()));
        Report { finding, ..Report::default() }
    })
}

fn line(seed: u64, report: &Report) -> String {
    let Report { trace, steps, lives, deaths, outages, .. } = report;
    let seconds = report.time.as_secs();
    let found = match &report.finding {
        None => "nothing found".to_owned(),
        Some(finding) => {
            format!("FOUND: {finding}\n  again: cargo xtask sim --seed {seed} --steps")
        }
    };
    format!(
        "seed {seed}: trace {trace:016x}, {lives} lives, {deaths} killed, {outages} losses of \
         power, {steps} steps, {seconds} simulated seconds; {found}"
    )
}

/// What came of all seeds so far.
#[derive(Default)]
struct Total {
    seeds: u64,
    found: u64,
    lives: u64,
    deaths: u64,
    outages: u64,
    steps: u64,
    time: Duration,
}

impl Total {
    fn add(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        self.lives += report.lives;
        self.deaths += report.deaths;
        self.outages += report.outages;
        self.steps += report.steps;
        self.time += report.time;
        if report.finding.is_some() {
            self.found += 1;
            println!("{}", line(seed, report));
        }
        if self.seeds.is_multiple_of(TOLD) {
            self.tell();
        }
    }

    fn tell(&self) {
        let Total { seeds, found, lives, deaths, outages, steps, time } = self;
        println!(
            "{seeds} seeds: {found} findings; {lives} lives, {deaths} killed, {outages} losses of \
             power, {steps} steps, {} simulated minutes",
            time.as_secs() / 60
        );
    }
}

/// Lives many seeds, on all cores; how many found something.
#[allow(clippy::disallowed_methods, reason = "each thread simulates by itself")]
fn many(arguments: &Arguments) -> u64 {
    let (next, over) = (AtomicU64::new(arguments.from), AtomicBool::new(false));
    let total = Mutex::new(Total::default());
    let end = arguments.from + arguments.seeds;
    let work = || {
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let report = lived(seed, false);
            if report.finding.is_some() && !arguments.keep_going {
                over.store(true, Ordering::Relaxed);
            }
            total.lock().expect("nobody panics with it").add(seed, &report);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let total = total.into_inner().expect("nobody panics with it");
    total.tell();
    total.found
}
