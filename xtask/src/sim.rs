//! `cargo xtask sim`: the simulation of `tests/sim`, built and run.
//!
//! `--planted` proves that it can fail: it is built with the planted bugs of the drills, and must
//! find each that it can come by within some seeds.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use xtask::say::{Progress, spoken};

use crate::cargo;
use crate::drill::bugs::{BUGS, Job};

/// What `cargo xtask sim` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Prove that planted bugs are found.
    #[arg(long, conflicts_with = "told")]
    planted: bool,
    /// What the simulation is told, as `--seeds 20000`; `cargo xtask sim -- --help` lists it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    told: Vec<String>,
}

/// Planted bugs of the drill job that the simulation does not come by, and why.
const NOT_SIMULATED: [(&str, &str); 3] = [
    ("squash.removal.lost", "its states are too small to be squashed without being merged"),
    ("state.touched.while.written", "its states are written in one step"),
    ("lock.ignored", "no second run takes over while the first stands still"),
];

/// The planted bugs that the simulation must find, each within [`SEEDS`].
fn to_find() -> impl Iterator<Item = &'static str> {
    let of_files = BUGS.iter().filter(|bug| bug.job == Job::Files).map(|bug| bug.name);
    of_files.filter(|name| NOT_SIMULATED.iter().all(|(left_out, _)| left_out != name))
}

/// Seeds for each planted bug: most are found within the first hundred.
const SEEDS: &str = "500";

/// Runs the simulation; whether it found nothing, or with `--planted` every bug.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.planted {
        return planted();
    }
    build(&[])?;
    let mut sim = std::process::Command::new(binary());
    sim.args(&options.told);
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
    let (mut sought, mut missed) = (0, Vec::new());
    for name in to_find() {
        sought += 1;
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
    let found = sought - missed.len();
    println!("planted bugs found: {found} of {sought}, in {}", spoken(progress.elapsed()));
    for (name, why) in NOT_SIMULATED {
        println!("not sought: {name}: {why}");
    }
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
    fn what_is_left_out_is_planted() {
        for (name, why) in NOT_SIMULATED {
            assert!(BUGS.iter().any(|bug| bug.name == name && bug.job == Job::Files), "{name}");
            assert!(!why.is_empty());
        }
        assert!(to_find().count() >= 30);
    }

    #[test]
    fn the_first_finding_is_named() {
        let told =
            "500 seeds\nseed 7: trace 1, 2 lives; FOUND: life 1 of 2: 'x' is left over\nmore";
        assert_eq!(found(told).as_deref(), Some("seed 7, life 1 of 2: 'x' is left over"));
        assert_eq!(found("500 seeds: 0 findings"), None);
    }
}
