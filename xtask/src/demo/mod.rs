//! `cargo xtask demo`: card fraud found live by a job that is killed under the reader's eyes, and
//! the proof that the result is the one an undisturbed run gives.
//!
//! 1. Build the example `card_fraud`.
//! 2. Run it undisturbed, as fast as it goes: what must come out.
//! 3. Run it at a steady rate on two subtasks, and kill it (SIGKILL) halfway.
//! 4. Restore it on three subtasks, and let it end.
//! 5. Compare both outputs line by line, and the alerts with the fraud that was planted.

pub(crate) mod compare;
mod job;
mod kafka;
mod truth;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cargo;
use crate::say::{Progress, spoken};
use compare::Difference;
use job::Job;
use truth::Score;

/// What `cargo xtask demo` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Transactions to generate.
    #[arg(long, default_value_t = 600_000)]
    events: u64,
    /// Transactions a second while it is shown live.
    #[arg(long, default_value_t = 30_000)]
    rate: u64,
    /// Draws the transactions: the same number, the same cards and the same fraud.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// From Kafka to Kafka, on a broker that is started for it: needs Java and, once, Maven.
    #[arg(long)]
    kafka: bool,
}

/// Runs the demo; whether the verdict is exact.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    if options.kafka {
        return kafka::run(options, &progress);
    }
    progress.say("building the job `card_fraud` for speed; the first build takes minutes");
    let [binary] = cargo::build_examples(["card_fraud"], "")?;
    progress.say(&format!("built: {}", binary.display()));

    let folder = cargo::target().join("demo");
    clear(&folder)?;
    let calm = Job::new(&binary, &folder.join("undisturbed"), options, 0)?;
    progress.say(&format!("undisturbed run over {} transactions", options.events));
    calm.run(1, job::Shown::No)?;
    let expected = calm.lines()?;
    progress.say(&format!("it wrote {} lines: what must come out", expected.len()));

    let live = Job::new(&binary, &folder.join("live"), options, options.rate)?;
    progress.say(&format!("the same, live, at {} a second on 2 subtasks", options.rate));
    let killed = live.run_and_kill(2, expected.len() as u64 / 2)?;
    progress.say(&format!("KILLED (SIGKILL) with {killed} lines visible; restoring on 3 subtasks"));
    live.run(3, job::Shown::Yes)?;
    progress.say("the restored run came to its end");

    let difference = Difference::between(&expected, &live.lines()?);
    let score = truth::score(live.output())?;
    report(&difference, &score, &live, &progress);
    Ok(difference.is_exact())
}

/// Prints the result and the verdict.
fn report(difference: &Difference, score: &Score, live: &Job, progress: &Progress) {
    println!();
    println!("  alerts found   {:>8}", score.alerts);
    println!("  fraud planted  {:>8}   found {}", score.planted, score.found);
    println!("  precision      {:>8.3}", score.precision());
    println!("  recall         {:>8.3}", score.recall());
    println!();
    println!("  lost    {:>6}   lines of the undisturbed run that are missing", difference.lost);
    println!("  doubled {:>6}   lines that came more often than they should", difference.doubled);
    println!("  changed {:>6}   lines that the undisturbed run never wrote", difference.changed);
    println!();
    println!("  output: {}", live.output().display());
    println!("  took:   {}", spoken(progress.elapsed()));
    println!();
    match difference.is_exact() {
        true => println!("VERDICT: exact"),
        false => println!("VERDICT: NOT EXACT; compare the folders `undisturbed` and `live`"),
    }
}

/// Empties the demo's folder: a checkpoint of an earlier demo must not be restored.
fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot clear {}; is a demo running?", folder.display()))?;
    }
    Ok(())
}
