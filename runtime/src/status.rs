//! What a running job shows of itself: written by tasks and coordinator, read by whoever displays
//! it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::graph::{Graph, Uid};
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::time::Timestamp;
use serde::Serialize;

/// Where a job stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading the checkpoint.
    Restoring,
    /// Moving records.
    Running,
    /// The last checkpoint is on its way.
    Stopping,
    /// Waiting to start the next attempt.
    BackingOff,
    /// Over.
    Ended,
}

/// A finished checkpoint, or one that failed.
#[derive(Clone, Debug, Serialize)]
pub struct CheckpointStatus {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Its kind.
    pub kind: CheckpointKind,
    /// From the trigger to the commit, in milliseconds.
    pub duration_ms: f64,
    /// Bytes of state written.
    pub bytes: u64,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

/// What checkpoints and merges have written in this attempt, and what the newest checkpoint names.
/// Write amplification is `(delta_bytes + merge_bytes) / delta_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StorageStatus {
    /// Bytes of all files the newest checkpoint names.
    pub named_bytes: u64,
    /// How many files these are.
    pub named_files: u64,
    /// Bytes of the segments that checkpoints wrote.
    pub delta_bytes: u64,
    /// Bytes that merges wrote.
    pub merge_bytes: u64,
    /// Merges that ended well.
    pub merges: u64,
    /// Merges that failed.
    pub merges_failed: u64,
}

#[derive(Debug)]
struct Now {
    storage: StorageStatus,
    phase: Phase,
    last_checkpoint: Option<CheckpointStatus>,
    completed: u64,
    failed: u64,
    last_failure: Option<String>,
    restored_from: Option<CheckpointId>,
}

/// The live numbers of one job in this process.
#[derive(Debug)]
pub struct JobStatus {
    /// The job.
    pub job: Arc<str>,
    /// In the order of the graph: the uid and the step of each node.
    pub operators: Vec<(Uid, &'static str)>,
    metrics: DashMap<(Uid, u32), Arc<OperatorMetrics>>,
    attempt: AtomicU32,
    /// States of subtasks that a restore has left to be read later, and are not all read.
    cold: Arc<AtomicU32>,
    now: Mutex<Now>,
}

/// A state of a subtask that is not all read, as long as this lives.
#[derive(Debug)]
pub struct ColdState {
    cold: Arc<AtomicU32>,
}

impl Drop for ColdState {
    fn drop(&mut self) {
        self.cold.fetch_sub(1, Ordering::Relaxed);
    }
}

impl JobStatus {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(job: &str, operators: Vec<(Uid, &'static str)>) -> Self {
        let now = Now {
            storage: StorageStatus::default(),
            phase: Phase::Restoring,
            last_checkpoint: None,
            completed: 0,
            failed: 0,
            last_failure: None,
            restored_from: None,
        };
        JobStatus {
            job: job.into(),
            operators,
            metrics: DashMap::new(),
            attempt: AtomicU32::new(0),
            cold: Arc::default(),
            now: Mutex::new(now),
        }
    }

    /// Of the nodes of `graph`.
    #[must_use]
    pub fn of(job: &str, graph: &Graph) -> Self {
        JobStatus::new(job, graph.nodes().map(|(_, node)| (node.uid.clone(), node.step)).collect())
    }

    /// How many states of subtasks a restore has left to be read while the job runs: none are left
    /// when all is warm.
    #[must_use]
    pub fn cold_states(&self) -> u32 {
        self.cold.load(Ordering::Relaxed)
    }

    /// Counts one until what is returned is dropped.
    #[must_use]
    pub fn one_cold(&self) -> ColdState {
        self.cold.fetch_add(1, Ordering::Relaxed);
        ColdState { cold: self.cold.clone() }
    }

    fn now<R>(&self, f: impl FnOnce(&mut Now) -> R) -> R {
        f(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The counters of one subtask; they go on over attempts.
    #[must_use]
    pub fn metrics(&self, uid: &Uid, subtask: u32) -> Arc<OperatorMetrics> {
        self.metrics.entry((uid.clone(), subtask)).or_default().clone()
    }

    /// The counters of all subtasks of one operator, by subtask.
    #[must_use]
    pub fn subtasks(&self, uid: &Uid) -> Vec<(u32, Arc<OperatorMetrics>)> {
        let of = self.metrics.iter().filter(|entry| entry.key().0 == *uid);
        let mut found: Vec<_> = of.map(|entry| (entry.key().1, entry.value().clone())).collect();
        found.sort_by_key(|(subtask, _)| *subtask);
        found
    }

    /// The watermark of one operator: its slowest subtask's.
    #[must_use]
    pub fn watermark(&self, uid: &Uid) -> Option<Timestamp> {
        self.subtasks(uid).iter().map(|(_, metrics)| metrics.watermark()).min()
    }

    /// The attempt under way, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt.load(Ordering::Relaxed)
    }

    /// A new attempt begins, from `restored`.
    pub fn begin_attempt(&self, attempt: u32, restored: Option<CheckpointId>) {
        self.attempt.store(attempt, Ordering::Relaxed);
        self.now(|now| now.restored_from = restored);
    }

    /// Where the job stands.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.now(|now| now.phase)
    }

    /// Moves on.
    pub fn set_phase(&self, phase: Phase) {
        self.now(|now| now.phase = phase);
    }

    /// A checkpoint was committed, or failed.
    pub fn checkpoint_ended(&self, status: CheckpointStatus) {
        self.now(|now| {
            if status.failed.is_none() {
                now.completed += 1;
            } else {
                now.failed += 1;
            }
            now.last_checkpoint = Some(status);
        });
    }

    /// The store has grown or shrunk.
    pub fn set_storage(&self, storage: StorageStatus) {
        self.now(|now| now.storage = storage);
    }

    /// What lies in the store, and what was written.
    #[must_use]
    pub fn storage(&self) -> StorageStatus {
        self.now(|now| now.storage)
    }

    /// An attempt failed.
    pub fn attempt_failed(&self, reason: String) {
        self.now(|now| now.last_failure = Some(reason));
    }

    /// The last checkpoint that ended, well or badly.
    #[must_use]
    pub fn last_checkpoint(&self) -> Option<CheckpointStatus> {
        self.now(|now| now.last_checkpoint.clone())
    }

    /// How many checkpoints were committed, and how many failed.
    #[must_use]
    pub fn checkpoints(&self) -> (u64, u64) {
        self.now(|now| (now.completed, now.failed))
    }

    /// Why the last attempt failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.now(|now| now.last_failure.clone())
    }

    /// The checkpoint the attempt began from.
    #[must_use]
    pub fn restored_from(&self) -> Option<CheckpointId> {
        self.now(|now| now.restored_from)
    }
}
