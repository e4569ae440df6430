//! The words of a checkpoint: its id, its barrier, and what one subtask contributes to it.
//!
//! Written by the runtime, read by `compat` (may this job restore that?) and by the sinks.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::graph::Uid;
use crate::key::{KeyGroup, KeyGroupRange};
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

/// A checkpoint's full name: a number may be used again after the job was taken back behind it, an
/// attempt's name never is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointName {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// The attempt that wrote it.
    pub attempt: String,
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
    /// The entries: shared with whoever writes them.
    pub bytes: Bytes,
}

/// One state's part of a subtask's snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSnapshot {
    /// The state's name.
    pub state: String,
    /// Ascending by key group; groups without entries are absent.
    pub sections: Vec<Section>,
    /// In entries. `None` where it is not known: part of the state is not in memory, or its entries
    /// may be many rows.
    pub turnover: Option<Turnover>,
}

/// How much of a state changed in the interval before a barrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// What changed, about.
    pub changed: u64,
    /// All there was at the barrier.
    pub entries: u64,
}

impl Turnover {
    /// Of both together.
    #[must_use]
    pub fn and(self, other: Turnover) -> Turnover {
        Turnover { changed: self.changed + other.changed, entries: self.entries + other.entries }
    }
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

/// Where event time stood, for one subtask that begins from a checkpoint. Its key groups may come
/// from subtasks that stood at different watermarks, because an idle input had resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredTime {
    /// The highest of their watermarks: what is behind it is late.
    pub watermark: Timestamp,
    /// What each key group of the range has fired up to; empty when that is `watermark` for all.
    pub floors: Vec<Timestamp>,
}

impl RestoredTime {
    /// Every key group has fired up to `watermark`.
    #[must_use]
    pub fn at(watermark: Timestamp) -> Self {
        RestoredTime { watermark, floors: Vec::new() }
    }

    /// For the key groups `range`, when the subtasks before stood at `watermarks`.
    #[must_use]
    pub fn of(watermarks: &[Timestamp], range: KeyGroupRange) -> Self {
        let parallelism = watermarks.len() as u32;
        let floor = |group| KeyGroupRange::owner(KeyGroup(group), parallelism, range.groups);
        let floors: Vec<Timestamp> = match parallelism {
            0 => Vec::new(),
            _ => range.iter().map(|group| watermarks[floor(group) as usize]).collect(),
        };
        let lowest = watermarks.iter().min().copied().unwrap_or(Timestamp::MIN);
        let watermark = floors.iter().max().copied().unwrap_or(lowest);
        let even = floors.iter().all(|floor| *floor == watermark);
        RestoredTime { watermark, floors: if even { Vec::new() } else { floors } }
    }

    /// Whether some key group must first fire what the others have fired already: the operator is
    /// advanced to `watermark` before its first record.
    #[must_use]
    pub fn is_uneven(&self) -> bool {
        !self.floors.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtask_begins_at_the_highest_watermark_of_those_it_follows() {
        let at = Timestamp::from_millis;
        let range = |index, parallelism| KeyGroupRange::of_subtask(index, parallelism, 4);
        let of = |old: &[i64], range| {
            RestoredTime::of(&old.iter().copied().map(at).collect::<Vec<_>>(), range)
        };
        assert_eq!(of(&[10, 20], range(0, 2)), RestoredTime::at(at(10)));
        let floors = [10, 10, 20, 20].map(at).to_vec();
        assert_eq!(of(&[10, 20], range(0, 1)), RestoredTime { watermark: at(20), floors });
        let floors = [20, 5].map(at).to_vec();
        assert_eq!(of(&[20, 5, 9, 9], range(0, 2)), RestoredTime { watermark: at(20), floors });
        assert_eq!(of(&[20, 5, 9, 9], range(1, 2)), RestoredTime::at(at(9)));
        assert_eq!(of(&[20, 5], range(0, 5)), RestoredTime::at(at(5)), "no key groups, no haste");
        assert_eq!(of(&[], range(0, 1)), RestoredTime::at(Timestamp::MIN));
    }
}
