//! What a job touches outside itself, seen without running it: topics, rights, limits, and what
//! earlier runs have left open.
//!
//! Sources and sinks that reach somewhere give an [`Outside`]; `check --online` and `txn` ask it.
//! Invariant: looking changes nothing that a running job, or a reader of its output, could notice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::operator::Result;

/// The run that would be.
#[derive(Clone, Debug)]
pub struct About {
    /// The job.
    pub job: Arc<str>,
    /// How often checkpoints are taken; `None`: only when asked for, and at the end.
    pub checkpoint_interval: Option<Duration>,
    /// How long one may take.
    pub checkpoint_timeout: Duration,
}

/// What a finding means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The run would begin, and may regret it.
    Doubtful,
    /// The run would fail.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it means.
    pub verdict: Verdict,
    /// What was looked at, and how it is.
    pub what: String,
    /// What to do about it; empty where there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn good(what: impl Into<String>) -> Self {
        Finding { verdict: Verdict::Good, what: what.into(), remedy: String::new() }
    }

    /// The run would begin, and may regret it.
    #[must_use]
    pub fn doubtful(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { verdict: Verdict::Doubtful, what: what.into(), remedy: remedy.into() }
    }

    /// The run would fail.
    #[must_use]
    pub fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { verdict: Verdict::Bad, what: what.into(), remedy: remedy.into() }
    }
}

/// Records that readers of committed records do not see yet, because a transaction before or among
/// them is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Where: `topic/partition`.
    pub place: String,
    /// From which offset on.
    pub from: u64,
    /// How many offsets, up to the end.
    pub count: u64,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} from offset {} on", self.place, self.count, self.from)
    }
}

/// Looks at the world for one source or sink. Blocks: use it on a thread of its own.
pub trait Outside: Send {
    /// Everything that the run stands on. What cannot be asked is a finding too.
    fn look(&mut self) -> Vec<Finding>;

    /// What open transactions hold back where this sink writes.
    ///
    /// # Errors
    /// When nobody answers.
    fn held_back(&mut self) -> Result<Vec<HeldBack>> {
        Ok(Vec::new())
    }

    /// Aborts whatever earlier runs of the job have left open; the ids of what was ended. A run
    /// that is alive is ended by this. What was aborted is written again by the next run, which
    /// goes on from the checkpoint that was committed last.
    ///
    /// # Errors
    /// When nobody answers.
    fn abort(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}
