//! What tasks and coordinator tell each other.

use riverrun_engine::checkpoint::{
    Barrier, CheckpointId, OperatorSnapshot, Prepared, SplitSnapshot,
};
use riverrun_engine::graph::Uid;

use super::failure::Failure;
use crate::plan::TaskId;

/// One copy of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subtask {
    /// The task.
    pub task: TaskId,
    /// The copy.
    pub index: u32,
}

/// One subtask's part of a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Its operators, by uid.
    pub operators: Vec<(Uid, OperatorSnapshot)>,
    /// Its splits, if it is a source.
    pub splits: Option<(Uid, Vec<SplitSnapshot>)>,
    /// What its sink prepared.
    pub prepared: Option<Prepared>,
}

/// From a task to the coordinator.
#[derive(Debug)]
pub enum Report {
    /// Opened and restored; waits for the start.
    Ready(Subtask),
    /// Its part of a checkpoint is complete and safe to decide upon.
    Snapshot(Subtask, CheckpointId, Box<Part>),
    /// Every split of this source subtask has ended.
    SourceEnded(Subtask),
    /// The loop is over, as it should be.
    Finished(Subtask),
    /// The loop is over, as it should not be.
    Failed(Box<Failure>),
}

/// From the coordinator to a source task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Mark the stream.
    Barrier(Barrier),
    /// The checkpoint of the barrier sent last is complete, and committed by every sink.
    Committed,
}
