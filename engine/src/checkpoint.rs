//! The words of a checkpoint: its id, its barrier, and what one subtask contributes to it.
//!
//! Written by the runtime, read by `compat` (may this job restore that?) and by the sinks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::Uid;
use crate::key::KeyGroup;
use crate::time::Timestamp;

/// The number of a checkpoint: rising through the life of a job, restarts included.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl CheckpointId {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        CheckpointId(self.0 + 1)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a checkpoint is taken, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointKind {
    /// The engine's own, by interval; may go when newer ones are complete.
    Periodic,
    /// Asked for and pinned.
    Savepoint,
    /// The last of a stopped run: the sources read nothing after it.
    Stop,
    /// The last of a stopped run, and pinned.
    StopSavepoint,
    /// The last of a job whose sources have all ended: every window has fired.
    End,
}

impl CheckpointKind {
    /// Whether the attempt ends behind this barrier.
    #[must_use]
    pub fn is_last(self) -> bool {
        matches!(self, CheckpointKind::Stop | CheckpointKind::StopSavepoint | CheckpointKind::End)
    }

    /// Whether it is kept until the user removes it.
    #[must_use]
    pub fn is_pinned(self) -> bool {
        matches!(self, CheckpointKind::Savepoint | CheckpointKind::StopSavepoint)
    }
}

/// How much of the state a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotMode {
    /// Everything.
    Full,
    /// What changed since the snapshot before.
    Delta,
}

/// A checkpoint's mark in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// What kind.
    pub kind: CheckpointKind,
    /// How much each subtask writes.
    pub mode: SnapshotMode,
}

/// The entries of one key group in one state's snapshot, in the entry format of `state::entry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The key group.
    pub group: KeyGroup,
    /// How many entries.
    pub entries: u64,
    /// The entries.
    pub bytes: Vec<u8>,
}

/// One state's part of a subtask's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSnapshot {
    /// The state's name.
    pub state: String,
    /// Ascending by key group; groups without entries are absent.
    pub sections: Vec<Section>,
}

/// One operator's part of a subtask's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSnapshot {
    /// The operator's watermark at the barrier.
    pub watermark: Timestamp,
    /// One for each declared state.
    pub states: Vec<StateSnapshot>,
}

/// A split as the checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitSnapshot {
    /// The split's permanent id.
    pub id: String,
    /// The split, encoded.
    pub split: Vec<u8>,
    /// The next place to read, encoded; `None` when nothing was read yet.
    pub offset: Option<Vec<u8>>,
    /// The same for people.
    pub offset_text: String,
    /// The state of the split's watermark generator.
    pub clock: Timestamp,
    /// Whether the split has ended.
    pub ended: bool,
}

/// What one sink subtask prepared: visible only once committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The sink.
    pub sink: Uid,
    /// The subtask that prepared it.
    pub subtask: u32,
    /// The sink's own description of it, encoded.
    pub committable: Vec<u8>,
}
