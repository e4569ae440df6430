//! A job between Kafka topics beside a bare loop over librdkafka: `cargo xtask bench kafka`.
//!
//! 1. A broker of its own is started, on the same cores; the input topic is filled once.
//! 2. For each row, engine and bare loop run in turns, each as a process of its own, each into a
//!    topic of its own; what they wrote is read back and must agree with what was computed by hand.
//! 3. Rates and CPU time are those of the whole process, from its start to its end.
//!
//! One binary in several roles: what it runs itself it tells by [`ROLE`].
#![allow(clippy::disallowed_methods, reason = "a bench measures, and runs processes")]

mod bare;
mod child;
mod engine;
mod event;
mod expected;
mod fill;
mod paced;
mod reader;
mod rows;
mod setup;
#[path = "../../jobs/work.rs"]
#[allow(dead_code, reason = "shared with the bench of whole jobs")]
mod work;

use std::process::ExitCode;

use clap::Parser as _;

/// The variable that says what this process is: `engine`, `bare`, or, without it, the bench.
const ROLE: &str = "BENCH_KAFKA_ROLE";
/// The variable that says what the engine's job is called: each has a history of its own.
const JOB: &str = "BENCH_KAFKA_JOB";

fn main() -> ExitCode {
    let done = match std::env::var(ROLE).as_deref() {
        Ok("engine") => return engine::main(),
        Ok("bare") => bare::main(),
        _ => rows::run(&setup::Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
