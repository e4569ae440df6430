//! `cargo xtask kafka consume`: records for a developer's eyes, as the console consumer prints
//! them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use clap::Args;

use super::config;
use super::install::Kafka;

/// The console consumer's class.
pub(crate) const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// What `cargo xtask kafka consume` can be told.
#[derive(Args)]
pub(crate) struct Shown {
    topic: String,
    /// Only records of committed transactions.
    #[arg(long)]
    committed: bool,
    /// From the topic's beginning, not from now on.
    #[arg(long)]
    from_beginning: bool,
    /// End after this many records; fewer are a failure.
    #[arg(long)]
    max: Option<u64>,
    /// End when no record has come for this many seconds.
    #[arg(long)]
    timeout: Option<u32>,
    /// Print keys too, a tab before the value.
    #[arg(long)]
    keys: bool,
}

impl Shown {
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }
}

/// Has the console consumer print records to standard output; whether it printed all it should.
pub(crate) fn pass_through(
    kafka: &Kafka,
    folder: &Path,
    address: &str,
    shown: &Shown,
) -> Result<bool> {
    let mut tool = kafka.tool(folder, CONSUMER);
    tool.args(["--bootstrap-server", address, "--topic", &shown.topic]);
    if shown.committed {
        tool.args(["--isolation-level", "read_committed"]);
    }
    if shown.from_beginning {
        tool.arg("--from-beginning");
    }
    if let Some(max) = shown.max {
        tool.args(["--max-messages", &max.to_string()]);
    }
    if let Some(seconds) = shown.timeout {
        tool.args(["--timeout-ms", &(u64::from(seconds) * 1_000).to_string()]);
    }
    tool.args(["--property", &format!("print.key={}", shown.keys)]);
    let spawned = tool.stderr(Stdio::piped()).spawn();
    let mut tool = spawned.context("Java cannot be started")?;
    let errors = tool.stderr.take().context("the consumer has no standard error")?;
    let (mut total, mut failed, mut late) = (None, false, false);
    for line in BufReader::new(errors).lines() {
        let line = line.context("the consumer's words cannot be read")?;
        total = total.or_else(|| {
            line.strip_prefix("Processed a total of ")?.split(' ').next()?.parse::<u64>().ok()
        });
        // Ended by its own timeout, as it was told to, the tool speaks of an error.
        let timeout = shown.timeout.is_some() && line.contains("TimeoutException");
        let closing = shown.timeout.is_some() && line.contains("terminating consumer process");
        failed |= config::is_error(&line);
        late |= timeout;
        if !timeout && !closing {
            eprintln!("{line}");
        }
    }
    let status = tool.wait().context("the consumer is lost")?;
    let enough = shown.max.is_none_or(|max| total.is_some_and(|total| total >= max));
    Ok(status.success() && (late || !failed) && enough)
}
