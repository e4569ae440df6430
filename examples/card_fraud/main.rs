//! Card fraud, found while it happens: a card that spends too much within a minute (sliding
//! window), and a card that pays in two countries within a minute (process function with state and
//! a timer).
//!
//! The transactions are synthetic; fraud is planted in them and labelled, so that `cargo xtask
//! demo` can tell how much of it was found: `cargo run --release --example card_fraud -- run`. On
//! Kafka: `kafka.rs` beside this.
mod fraud;
mod generator;
mod transactions;

use generator::{Settings, generated};
use riverrun::prelude::*;

fn main() -> ExitCode {
    riverrun::main("card-fraud", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let settings: Settings = job.settings()?;
    let clock = Watermarks::bounded_out_of_orderness(secs(5));
    let transactions = generated(&settings).event_time(|tx| tx.at, clock);
    let found = fraud::find(job.source("transactions", transactions));

    let folder = |name: &str| Files::write_json_lines(format!("{}/{name}", settings.out));
    found.suspicions.sink("suspicions", folder("suspicions"));
    found.travel.sink("travel", folder("travel"));
    found.truth.sink("truth", folder("truth"));
    Ok(())
}
