//! How fast is a whole job beside the same work done by hand in one thread? `cargo xtask bench`.
//!
//! Every row runs the engine and the single-threaded oracle in turns, in the same minutes, and
//! prints the median of the ratios; absolute figures are this machine's at this moment. Results
//! are checked: engine and oracle must agree on count and checksum.
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints and measures")]

mod args;
mod job;
mod oracle;
mod work;

use std::time::{Duration, Instant};

use args::Args;
use serde::Serialize;
use work::{Row, Tally, Work};

/// One line of the result.
#[derive(Serialize)]
struct Line {
    work: &'static str,
    keys: u64,
    parallelism: u32,
    checkpoint_ms: u64,
    system: &'static str,
    events: u64,
    events_per_s: f64,
    ratio_to_oracle: f64,
}

fn timed(run: impl FnOnce() -> anyhow::Result<Tally>) -> anyhow::Result<(Tally, Duration)> {
    let began = Instant::now();
    let tally = run()?;
    Ok((tally, began.elapsed()))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn measure(row: Row, rounds: usize, args: &Args) -> anyhow::Result<()> {
    let (mut engine_rates, mut oracle_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (expected, by_hand) = timed(|| Ok(oracle::run(row.work, row.events, row.keys)))?;
        let (got, by_engine) = timed(|| job::run(row))?;
        anyhow::ensure!(got == expected, "{row:?}: engine {got:?}, oracle {expected:?}");
        let rate = |time: Duration| row.events as f64 / time.as_secs_f64();
        engine_rates.push(rate(by_engine));
        oracle_rates.push(rate(by_hand));
        ratios.push(by_hand.as_secs_f64() / by_engine.as_secs_f64());
    }
    let line = |system, rates, ratio_to_oracle| Line {
        work: row.work.name(),
        keys: row.keys,
        parallelism: row.parallelism,
        checkpoint_ms: row.checkpoint_ms,
        system,
        events: row.events,
        events_per_s: median(rates),
        ratio_to_oracle,
    };
    for line in [line("oracle", oracle_rates, 1.0), line("engine", engine_rates, median(ratios))] {
        args::print(&line, args.json)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse()?;
    args::print_head(args.json);
    for work in &args.work {
        for keys in &args.keys {
            for parallelism in &args.parallelism {
                for checkpoint_ms in &args.checkpoint_ms {
                    let (keys, parallelism) = (*keys, *parallelism);
                    let (work, checkpoint_ms, events) = (*work, *checkpoint_ms, args.events);
                    let row = Row { work, keys, parallelism, checkpoint_ms, events };
                    measure(row, args.rounds, &args)?;
                }
            }
        }
    }
    Ok(())
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Work::Filter => "filter",
            Work::Tumbling => "tumbling",
            Work::Sliding => "sliding",
            Work::Running => "running",
        }
    }
}
