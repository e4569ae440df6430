//! What a checkpoint holds, for people and programs.
//!
//! Called by the command line (`checkpoint inspect`). Invariant: everything is checked before it is
//! shown.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, SplitSnapshot};
use riverrun_engine::graph::Uid;
use riverrun_engine::time::Timestamp;
use serde::Serialize;

use super::error::StoreError;
use super::manifest::{Manifest, OperatorEntry, RunEntry, SegmentEntry};
use super::store::CheckpointStore;
use super::view::{StateFiles, Trust};

/// A checkpoint's content, counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InspectReport {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// The job.
    pub job: String,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// When, in milliseconds since 1970.
    pub created: Timestamp,
    /// By which attempt.
    pub attempt: String,
    /// By which version of the engine.
    pub engine: String,
    /// The number of key groups.
    pub key_groups: u16,
    /// Bytes of all state it names.
    pub bytes: u64,
    /// The operators.
    pub operators: Vec<OperatorReport>,
    /// The splits of all sources.
    pub splits: Vec<SplitReport>,
    /// What participants have prepared.
    pub prepared: Vec<PreparedReport>,
    /// The base runs.
    pub runs: Vec<RunEntry>,
    /// The segments, in the order in which they apply.
    pub segments: Vec<SegmentEntry>,
}

/// One operator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorReport {
    /// Its name.
    pub uid: Uid,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// Its watermark, in milliseconds since 1970.
    pub watermark: Timestamp,
    /// Its states.
    pub states: Vec<StateReport>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateReport {
    /// Its name.
    pub name: String,
    /// What is kept for each key.
    pub kind: String,
    /// The codec of its values.
    pub codec: String,
    /// The type of its keys.
    pub key: String,
    /// The type of its values.
    pub value: String,
    /// Entries in all files: a key that changed in several deltas counts in each.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitReport {
    /// The source.
    pub source: Uid,
    /// The split.
    pub split: String,
    /// Where it goes on.
    pub offset: String,
    /// The highest time seen, in milliseconds since 1970.
    pub clock: Timestamp,
    /// Whether it has ended.
    pub ended: bool,
}

/// What one sink subtask has prepared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreparedReport {
    /// The participant.
    pub participant: String,
    /// The sink.
    pub sink: Uid,
    /// The subtask.
    pub subtask: u32,
    /// The length of its description.
    pub bytes: u64,
}

/// Entries and bytes by operator and state.
type Sizes<'a> = BTreeMap<(&'a str, &'a str), (u64, u64)>;

impl CheckpointStore {
    /// Reads and counts checkpoint `id`.
    ///
    /// # Errors
    /// No such checkpoint; the first damaged file.
    pub async fn inspect(&self, id: CheckpointId) -> Result<InspectReport, StoreError> {
        let manifest = self.read_manifest(id).await?;
        let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
        let groups = manifest.key_groups;
        let files = StateFiles::open(self, id, named, groups, Trust::Nothing).await?;
        Ok(report(manifest, &files))
    }
}

fn report(manifest: Manifest, files: &StateFiles) -> InspectReport {
    let mut sizes = Sizes::new();
    for (_, (uid, state), rows, row_bytes) in files.runs().flat_map(|(_, run)| run.sizes()) {
        let (entries, bytes) = sizes.entry((uid, state)).or_default();
        *entries += rows;
        *bytes += row_bytes;
    }
    for section in files.segments().flat_map(|(_, segment)| segment.sections()) {
        let (entries, bytes) = sizes.entry((section.uid, section.state)).or_default();
        *entries += section.entries;
        *bytes += section.bytes;
    }
    let operators = manifest.operators.iter().map(|(uid, entry)| operator(uid, entry, &sizes));
    let splits = manifest
        .sources
        .iter()
        .flat_map(|(source, splits)| splits.iter().map(|split| split_report(source, split)));
    let prepared = manifest.prepared.iter().flat_map(|(participant, all)| {
        all.iter().map(|one| PreparedReport {
            participant: participant.clone(),
            sink: one.sink.clone(),
            subtask: one.subtask,
            bytes: one.committable.len() as u64,
        })
    });
    InspectReport {
        checkpoint: manifest.checkpoint,
        kind: manifest.kind,
        created: manifest.created,
        key_groups: manifest.key_groups,
        bytes: manifest.bytes(),
        operators: operators.collect(),
        splits: splits.collect(),
        prepared: prepared.collect(),
        job: manifest.job,
        attempt: manifest.attempt,
        engine: manifest.engine,
        runs: manifest.runs,
        segments: manifest.segments,
    }
}

fn operator(uid: &Uid, entry: &OperatorEntry, sizes: &Sizes<'_>) -> OperatorReport {
    let states = entry.states.iter().map(|state| {
        let size = sizes.get(&(&*uid.0, state.name.as_str()));
        let (entries, bytes) = size.copied().unwrap_or_default();
        StateReport {
            name: state.name.clone(),
            kind: format!("{:?}", state.kind).to_lowercase(),
            codec: state.codec.clone(),
            key: state.key.to_string(),
            value: state.value.to_string(),
            entries,
            bytes,
        }
    });
    OperatorReport {
        uid: uid.clone(),
        parallelism: entry.parallelism,
        watermark: entry.watermark,
        states: states.collect(),
    }
}

fn split_report(source: &Uid, split: &SplitSnapshot) -> SplitReport {
    SplitReport {
        source: source.clone(),
        split: split.id.clone(),
        offset: split.offset_text.clone(),
        clock: split.clock,
        ended: split.ended,
    }
}
