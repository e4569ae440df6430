//! The settings of a run, whole and checked: every field has a value.
//!
//! [`Config::load`] puts them together, each layer over the one before: defaults, the file, the
//! environment, the flags. It does no I/O: [`ConfigSources`] is read before, once. Invariant: a
//! [`Config`] that was loaded satisfies every range and relation; whoever runs it checks nothing.

mod bytes;
mod check;
mod environment;
mod error;
mod file;
pub(crate) mod hint;
mod keys;
mod load;
mod machine;
mod origin;
mod secret;
mod settings;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::graph::Uid;
use riverrun_engine::rehearsal::Scratch;
use serde::{Deserialize, Serialize};

pub use bytes::Bytes;
pub use error::ConfigError;
pub use load::LoadedConfig;
pub use origin::Origin;
pub use sources::{ConfigSources, FileText, Flags};

/// The settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Subtasks of every operator that sets none itself.
    pub parallelism: u32,
    /// Threads; subtask i lives on worker i mod n.
    pub workers: u32,
    /// Key groups: the highest parallelism, a power of two. Fixed by the first checkpoint.
    pub key_groups: u16,
    /// What the process may use for state, the spill, channels and connectors.
    pub memory: Bytes,
    /// Checkpoints.
    pub checkpoint: CheckpointConfig,
    /// State that does not fit into memory.
    pub spill: SpillConfig,
    /// What happens after a failure.
    pub restart: RestartConfig,
    /// Logs.
    pub log: LogConfig,
    /// The job's own settings, for `job.settings::<S>()`.
    pub settings: serde_json::Value,
    /// In a drill: where sinks write in place of where their output belongs, and what is read. No
    /// key sets it.
    #[serde(skip)]
    pub scratch: Option<Arc<Scratch>>,
    /// In a drill: how long a source rests after each batch. No key sets it.
    #[serde(skip)]
    pub pace: Duration,
}

impl Config {
    /// The defaults of `job` on this machine: for jobs that are run by a program, not by a person.
    #[must_use]
    pub fn for_job(job: &str) -> Config {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let temp_dir = std::env::temp_dir();
        keys::defaults(job, u32::try_from(cores).unwrap_or(1), machine::memory(), &temp_dir)
    }
}

/// When and where checkpoints are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// A folder, or `memory://name`, or (feature `s3`) `s3://bucket/path`.
    pub path: String,
    /// From one to the next; zero: only at the end and on demand.
    pub interval: Duration,
    /// After this a checkpoint has failed.
    pub timeout: Duration,
    /// At least this long between the end of one and the beginning of the next.
    pub min_pause: Duration,
    /// How many complete checkpoints are kept, beside savepoints.
    pub retain: usize,
    /// From a checkpoint of at least so many bytes of state the job starts before it is read: what
    /// can be read by key is read when it is asked for, and else while the job runs.
    pub lazy_from: Bytes,
}

/// Where state goes that does not fit into memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpillConfig {
    /// A folder on a local disk. Each run makes one of its own in it, and removes it.
    pub dir: String,
}

/// What happens after a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestartConfig {
    /// How many attempts may fail in a row without a completed checkpoint between them.
    pub attempts: u32,
    /// The pause before the second attempt; doubled each time.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// A `tracing` filter: `info`, `warn,riverrun_runtime=debug`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Where a run begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the newest complete checkpoint; at the beginning where there is none at all.
    #[default]
    Newest,
    /// At the beginning, whatever checkpoints there are (refused while some are, unless output that
    /// was committed may appear again).
    Beginning,
    /// At this checkpoint of the job's own store, by number, or of another store, by `PATH#NUMBER`.
    Checkpoint(String),
}

/// What a user decided for one run only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Where to begin.
    pub from: From,
    /// State given up for good.
    pub drop_state: BTreeSet<(Uid, String)>,
    /// Go back behind committed output, which will then appear twice.
    pub accept_duplicates: bool,
}
