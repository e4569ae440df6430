//! The rows, a module for each kind.

mod flat;
mod kills;
mod latency;
mod restart;
mod throughput;

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};

use crate::setup::{Options, Rows, Setup};

/// Measures and prints everything that is asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let setup = Setup::start()?;
    if options.wants(Rows::Throughput) {
        throughput::measure(&setup, options)?;
    }
    if options.wants(Rows::Latency) {
        latency::measure(&setup, options)?;
    }
    if options.wants(Rows::Restart) {
        restart::measure(&setup, options)?;
    }
    if options.wants(Rows::Kills) {
        kills::measure(&setup, options)?;
    }
    if options.wants(Rows::Flat) {
        flat::measure(&setup, options)?;
    }
    Ok(())
}

/// One line of the result: what was measured, what it should be, whether it is.
struct Row {
    fields: Map<String, Value>,
}

impl Row {
    fn of(work: &str, checkpoint_ms: u64, system: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("work".to_owned(), work.into());
        fields.insert("checkpoint_ms".to_owned(), checkpoint_ms.into());
        fields.insert("system".to_owned(), system.into());
        Row { fields }
    }

    /// A figure, to three places.
    fn with(mut self, name: &str, value: f64) -> Self {
        self.fields.insert(name.to_owned(), json!((value * 1000.0).round() / 1000.0));
        self
    }

    /// What should be reached, in words, and whether it is.
    fn target(mut self, words: &str, met: bool) -> Self {
        self.fields.insert("target".to_owned(), words.into());
        self.fields.insert("met".to_owned(), met.into());
        self
    }

    #[allow(clippy::print_stdout, reason = "the result")]
    fn print(self, json: bool) {
        if json {
            println!("{}", Value::Object(self.fields));
            return;
        }
        let words = self.fields.iter().map(|(name, value)| match value {
            Value::String(text) => format!("{name} {text}"),
            value => format!("{name} {value}"),
        });
        println!("{}", words.collect::<Vec<_>>().join("  "));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ends a job as its user would: final checkpoint, commit, exit code 0.
fn stop(mut job: Child) -> Result<()> {
    kill_process(Pid::from_child(&job), Signal::TERM)?;
    let ended = job.wait()?;
    ensure!(ended.success(), "the engine ended with {ended} when it was asked to stop");
    Ok(())
}

fn millis_of(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
