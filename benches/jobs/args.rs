//! The command line of the bench, and its output.

use serde::Serialize;

use super::Line;
use super::work::Work;

/// What to measure.
pub(crate) struct Args {
    /// Which work.
    pub(crate) work: Vec<Work>,
    /// Distinct keys.
    pub(crate) keys: Vec<u64>,
    /// Workers and subtasks.
    pub(crate) parallelism: Vec<u32>,
    /// Checkpoint intervals; 0 is off.
    pub(crate) checkpoint_ms: Vec<u64>,
    /// Events a run.
    pub(crate) events: u64,
    /// Runs a row.
    pub(crate) rounds: usize,
    /// JSON lines instead of a table.
    pub(crate) json: bool,
}

const HELP: &str = "\
cargo xtask bench [--work filter,tumbling,sliding,running] [--keys 100000,10000000]
                  [--parallelism 1,2] [--checkpoint-ms 0,100] [--events 10000000]
                  [--rounds 3] [--json]";

fn list<T: std::str::FromStr>(value: &str) -> anyhow::Result<Vec<T>> {
    let parse =
        |part: &str| part.parse().map_err(|_| anyhow::anyhow!("'{part}' is no such value\n{HELP}"));
    value.split(',').map(parse).collect()
}

impl std::str::FromStr for Work {
    type Err = ();
    fn from_str(name: &str) -> Result<Self, ()> {
        let all = [Work::Filter, Work::Tumbling, Work::Sliding, Work::Running];
        all.into_iter().find(|work| work.name() == name).ok_or(())
    }
}

impl Args {
    /// Reads the command line.
    pub(crate) fn parse() -> anyhow::Result<Args> {
        let mut parsed = Args {
            work: vec![Work::Filter, Work::Tumbling, Work::Sliding, Work::Running],
            keys: vec![100_000, 10_000_000],
            parallelism: vec![1, 2],
            checkpoint_ms: vec![0, 100],
            events: 10_000_000,
            rounds: 3,
            json: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or_else(|| anyhow::anyhow!("{name} needs a value"));
            match name.as_str() {
                "--work" => parsed.work = list(&value()?)?,
                "--keys" => parsed.keys = list(&value()?)?,
                "--parallelism" => parsed.parallelism = list(&value()?)?,
                "--checkpoint-ms" => parsed.checkpoint_ms = list(&value()?)?,
                "--events" => parsed.events = value()?.parse()?,
                "--rounds" => parsed.rounds = value()?.parse::<usize>()?.max(1),
                "--json" => parsed.json = true,
                // What `cargo bench` adds.
                "--bench" => {}
                other => anyhow::bail!("unknown option '{other}'\n{HELP}"),
            }
        }
        Ok(parsed)
    }
}

/// Prints the head of the table.
pub(crate) fn print_head(json: bool) {
    if !json {
        println!(
            "{:<10} {:>10} {:>11} {:>13} {:>7} {:>12} {:>15}",
            "work", "keys", "parallelism", "checkpoint_ms", "system", "events/s", "ratio_to_oracle"
        );
    }
}

/// Prints one line.
pub(super) fn print(line: &Line, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", to_json(line)?);
    } else {
        println!(
            "{:<10} {:>10} {:>11} {:>13} {:>7} {:>12.0} {:>15.2}",
            line.work,
            line.keys,
            line.parallelism,
            line.checkpoint_ms,
            line.system,
            line.events_per_s,
            line.ratio_to_oracle
        );
    }
    Ok(())
}

fn to_json<T: Serialize>(line: &T) -> anyhow::Result<String> {
    Ok(serde_json::to_string(line)?)
}
