//! `cargo xtask sim`: the simulation of `tests/sim`, built and run.
//!
//! `--planted` proves that it can fail: it is built with the planted bugs, and must find each of
//! [`PLANTED`] within some seeds.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use xtask::say::{Progress, spoken};

use crate::cargo;

/// What `cargo xtask sim` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One seed only: what a finding says repeats it.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With one seed: tell every step.
    #[arg(long, requires = "seed")]
    steps: bool,
    /// Go on after a finding, to see how many there are.
    #[arg(long)]
    keep_going: bool,
    /// Prove that planted bugs are found.
    #[arg(long, conflicts_with_all = ["seeds", "from", "seed", "keep_going"])]
    planted: bool,
}

/// The planted bugs that the simulation must find, each within [`SEEDS`].
const PLANTED: [&str; 30] = [
    "commit.before.stored",
    "commit.not.repeated",
    "commit.one.part",
    "commit.at.end.skipped",
    "commit.failed.forgotten",
    "delta.failed.forgotten",
    "segment.unwritten",
    "clean.named.removed",
    "merge.upto.ahead",
    "choose.older",
    "choose.nothing",
    "restore.last.group.lost",
    "operator.watermark.reset",
    "operator.watermark.ahead",
    "split.clock.ahead",
    "window.cursor.reset",
    "splits.read.twice",
    "splits.short.list",
    "offset.before.last",
    "offset.of.chunk",
    "gate.unaligned",
    "emitter.behind.barrier",
    "state.change.unlisted",
    "state.removal.unlogged",
    "timer.fired.kept",
    "timer.unordered",
    "session.merge.lost",
    "stop.ends.input",
    "sink.buffer.kept",
    "sink.left_over.shown",
];

/// Seeds for each planted bug: most are found within the first hundred.
const SEEDS: &str = "500";

/// Runs the simulation; whether it found nothing, or with `--planted` every bug.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.planted {
        return planted();
    }
    build(&[])?;
    let mut sim = std::process::Command::new(binary());
    match options.seed {
        Some(seed) => sim.arg("--seed").arg(seed.to_string()),
        None => sim
            .args(["--seeds", &options.seeds.to_string()])
            .arg("--from")
            .arg(options.from.to_string()),
    };
    sim.args(options.steps.then_some("--steps"));
    sim.args(options.keep_going.then_some("--keep-going"));
    Ok(sim.status().context("the simulation does not start")?.success())
}

fn binary() -> std::path::PathBuf {
    cargo::target().join("debug").join("riverrun-sim")
}

fn build(more: &[&str]) -> Result<()> {
    let mut words = vec!["build", "--quiet", "--package", "riverrun-sim", "--no-default-features"];
    words.extend(more);
    let built = cargo::command(&words).status().context("could not start cargo")?;
    if !built.success() {
        bail!("the simulation does not build; cargo's words are above");
    }
    Ok(())
}

fn planted() -> Result<bool> {
    let progress = Progress::start();
    progress.say("building the simulation with the planted bugs");
    build(&["--features", "planted"])?;
    let mut missed = Vec::new();
    for name in PLANTED {
        let mut sim = std::process::Command::new(binary());
        sim.args(["--seeds", SEEDS]).env("RIVERRUN_DRILL_PLANTED", name);
        let ran = sim.stderr(Stdio::null()).output().context("the simulation does not start")?;
        match found(&String::from_utf8_lossy(&ran.stdout)) {
            Some(finding) if ran.status.code() == Some(1) => {
                progress.say(&format!("found   {name}: {finding}"));
            }
            _ => {
                progress.say(&format!("MISSED  {name} in {SEEDS} seeds"));
                missed.push(name);
            }
        }
    }
    let caught = PLANTED.len() - missed.len();
    println!(
        "planted bugs found: {caught} of {}, in {}",
        PLANTED.len(),
        spoken(progress.elapsed())
    );
    if !missed.is_empty() {
        println!("not found, so a hole in the simulation: {}", missed.join(", "));
    }
    Ok(missed.is_empty())
}

/// The first finding that the simulation told, on one line.
fn found(told: &str) -> Option<String> {
    let line = told.lines().find(|line| line.contains("FOUND: "))?;
    let (seed, finding) = line.split_once("FOUND: ")?;
    let seed = seed.split(':').next().unwrap_or_default();
    let finding: String = finding.chars().take(100).collect();
    Some(format!("{seed}, {finding}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_finding_is_named() {
        let told =
            "500 seeds\nseed 7: trace 1, 2 lives; FOUND: life 1 of 2: 'x' is left over\nmore";
        assert_eq!(found(told).as_deref(), Some("seed 7, life 1 of 2: 'x' is left over"));
        assert_eq!(found("500 seeds: 0 findings"), None);
    }
}
