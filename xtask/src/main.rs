//! The developer's commands, each one word after `cargo xtask`. They say what they do at each step
//! and how long it took; a failure says what to do next.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to a developer")]
#![allow(clippy::disallowed_methods, reason = "it is no part of a job, so it needs no doors")]

mod bench;
mod bench_state;
mod cargo;
mod demo;
mod drill;
mod sim;
mod tally;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{kafka, say};

/// The developer's commands of Riverrun.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch card fraud being found while the job is killed, and see the result proved exact.
    Demo(demo::Options),
    /// Everything a change must pass: format, lints, house rules, all tests, documentation.
    Test(test::Options),
    /// Whole jobs beside a single-threaded oracle; `bench kernels` for the small ones.
    Bench(bench::Options),
    /// Proves that the drills can fail.
    Drill(drill::Options),
    /// Whole jobs on one thread, with time, order and disk in the hand of a seed.
    Sim(sim::Options),
    /// A real Apache Kafka broker, of one node: start, stop, topics, records.
    Kafka(kafka::cli::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Drill(options) => drill::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Kafka(options) => kafka::cli::run(&options, &cargo::target()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
