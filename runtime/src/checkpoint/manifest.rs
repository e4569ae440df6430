//! The manifest: the list that makes a checkpoint whole. Written last, never overwritten.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{
    CheckpointId, CheckpointKind, CheckpointName, Prepared, SnapshotMode, SplitSnapshot,
};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::state::StateSpec;
use riverrun_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StoreError;

/// The version of the format this engine writes.
pub const FORMAT_VERSION: u32 = 1;

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub version: u32,
    /// The version of the engine that wrote it.
    pub engine: String,
    /// The job it belongs to.
    pub job: String,
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// The attempt that took it: unique among all attempts of the job.
    pub attempt: String,
    /// When it was taken.
    pub created: Timestamp,
    /// The number of key groups of the job.
    pub key_groups: u16,
    /// The operators, by uid.
    pub operators: BTreeMap<Uid, OperatorEntry>,
    /// The splits of each source.
    pub sources: BTreeMap<Uid, Vec<SplitSnapshot>>,
    /// What each participant has to commit.
    pub prepared: BTreeMap<String, Vec<Prepared>>,
    /// The base runs, rising by key group; no two hold the same group.
    pub runs: Vec<RunEntry>,
    /// What changed since, rising by checkpoint.
    pub segments: Vec<SegmentEntry>,
}

/// One operator in a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorEntry {
    /// How many subtasks it had.
    pub parallelism: u32,
    /// The lowest watermark of its subtasks.
    pub watermark: Timestamp,
    /// The watermark of each subtask. They differ only where an input was idle.
    pub watermarks: Vec<Timestamp>,
    /// The states it declared.
    pub states: Vec<StateSpec>,
}

/// One segment: the state written behind one barrier, or the last of several that were squashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// Its name within the store, e.g. `segments/00000000000000000042-ab12.seg`.
    pub file: String,
    /// The (last) checkpoint whose changes it holds.
    pub checkpoint: CheckpointId,
    /// How much it holds.
    pub mode: SnapshotMode,
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-128 of its bytes, as 32 hex digits.
    pub checksum: String,
    /// XXH3-64 of its index, as 16 hex digits.
    pub index: String,
    /// How many entries.
    pub entries: u64,
}

/// One base run: the live rows of a range of key groups at one checkpoint. The state of a key group
/// is that of its run, then the sections of all segments of later checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEntry {
    /// Its name within the store, e.g. `runs/00000000000000000042-ab12.7.run`.
    pub file: String,
    /// The first key group it holds.
    pub first: KeyGroup,
    /// The last one.
    pub last: KeyGroup,
    /// The checkpoint whose state it is.
    pub upto: CheckpointId,
    /// Its length in bytes.
    pub bytes: u64,
    /// XXH3-128 of its bytes, as 32 hex digits.
    pub checksum: String,
    /// XXH3-64 of its index, as 16 hex digits.
    pub index: String,
    /// How many rows.
    pub entries: u64,
}

/// What is known of a file before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRef<'a> {
    pub(super) file: &'a str,
    pub(super) bytes: u64,
    pub(super) checksum: &'a str,
    index: &'a str,
}

impl FileRef<'_> {
    /// The checksum of its index; one that is none fits no file.
    pub(super) fn index(&self) -> u64 {
        u64::from_str_radix(self.index, 16).unwrap_or_default()
    }
}

impl SegmentEntry {
    pub(super) fn stored(&self) -> FileRef<'_> {
        let SegmentEntry { file, bytes, checksum, index, .. } = self;
        FileRef { file, bytes: *bytes, checksum, index }
    }
}

impl RunEntry {
    pub(super) fn stored(&self) -> FileRef<'_> {
        let RunEntry { file, bytes, checksum, index, .. } = self;
        FileRef { file, bytes: *bytes, checksum, index }
    }

    /// Whether it holds `group`.
    #[must_use]
    pub fn holds(&self, group: KeyGroup) -> bool {
        (self.first..=self.last).contains(&group)
    }
}

impl Manifest {
    /// Its full name.
    #[must_use]
    pub fn name(&self) -> CheckpointName {
        CheckpointName { checkpoint: self.checkpoint, attempt: self.attempt.clone() }
    }

    /// Whether it is a checkpoint of `job`.
    ///
    /// # Errors
    /// When it is another job's, with both names.
    pub fn check_job(&self, job: &str) -> Result<(), StoreError> {
        if self.job == job {
            return Ok(());
        }
        let (stored, job) = (self.job.clone(), job.to_owned());
        Err(StoreError::OtherJob { checkpoint: self.checkpoint, stored, job })
    }

    /// Whether its keys are divided as the run's.
    ///
    /// # Errors
    /// When the number of key groups is another.
    pub fn check_key_groups(&self, configured: u16) -> Result<(), StoreError> {
        if self.key_groups == configured {
            return Ok(());
        }
        let (checkpoint, stored) = (self.checkpoint, self.key_groups);
        Err(StoreError::KeyGroups { checkpoint, stored, configured })
    }

    /// How many bytes of state it names.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }

    /// All files of state it names: runs, then segments.
    pub(super) fn files(&self) -> impl Iterator<Item = FileRef<'_>> {
        let runs = self.runs.iter().map(RunEntry::stored);
        runs.chain(self.segments.iter().map(SegmentEntry::stored))
    }
}
