//! What the bench is told, and what all rows stand on: a broker of its own and a full topic.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tempfile::TempDir;
use xtask::kafka::{Broker, BrokerOptions};

use crate::event::PARTITIONS;
use crate::expected::Work;
use crate::fill;

/// Groups of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// Records a second and CPU time, beside the bare loop.
    Throughput,
    /// From a record's writing to its result's reading.
    Latency,
    /// From a start after `kill -9` to the first new result.
    Restart,
    /// At full rate, killed every 20 s: each result once, in order.
    Kills,
    /// Threads, files and memory over many checkpoints.
    Flat,
}

/// Engine and bare loop between Kafka topics, on a broker of their own.
#[derive(Parser)]
#[command(name = "cargo xtask bench kafka")]
pub(crate) struct Options {
    /// Records of the input.
    #[arg(long, default_value_t = 20_000_000)]
    pub(crate) records: u64,
    /// How often each row is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Only this work; may be given more than once.
    #[arg(long)]
    pub(crate) work: Vec<Work>,
    /// Only these rows; may be given more than once.
    #[arg(long)]
    pub(crate) rows: Vec<Rows>,
    /// Subtasks, and worker threads, of the engine.
    #[arg(long, default_value_t = 2)]
    pub(crate) parallelism: u32,
    /// Checkpoints of the row `flat`.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) checkpoints: u64,
    /// How often the row `kills` kills the engine, every 20 s.
    #[arg(long, default_value_t = 30)]
    pub(crate) kills: u64,
    /// Records a second that the row `kills` writes meanwhile.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) rate: u64,
    /// A line of JSON a row.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Whether these rows are asked for.
    pub(crate) fn wants(&self, rows: Rows) -> bool {
        self.rows.is_empty() || self.rows.contains(&rows)
    }
}

/// A broker, and a folder for checkpoints.
pub(crate) struct Setup {
    pub(crate) broker: Broker,
    folder: TempDir,
}

/// The topic that `throughput` reads.
pub(crate) const INPUT: &str = "events";

impl Setup {
    /// Starts the broker.
    pub(crate) fn start() -> Result<Self> {
        eprintln!("starting a broker");
        let broker = Broker::start(&BrokerOptions::default())?;
        Ok(Setup { broker, folder: tempfile::tempdir()? })
    }

    /// Where the broker is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// For what a run leaves.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// An empty topic.
    pub(crate) fn topic(&self, name: &str) -> Result<()> {
        self.broker.create_topic(name, PARTITIONS, &[])
    }

    /// The input topic, with as many events.
    pub(crate) fn filled(&self, records: u64) -> Result<()> {
        eprintln!("filling a topic with {records} records");
        self.topic(INPUT)?;
        fill::events(self.address(), INPUT, records)
    }
}
