//! What a checkpoint holds, for people and programs.
//!
//! Called by the command line (`checkpoint inspect`). Invariant: everything is checked before it is
//! shown.

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, SplitSnapshot};
use riverrun_engine::graph::Uid;
use riverrun_engine::time::Timestamp;
use serde::Serialize;

use super::error::StoreError;
use super::manifest::{Manifest, OperatorEntry, RunEntry, SegmentEntry};
use super::sizes::{Growth, LargeKey, Measured, RangeReport, Size, Skew, measure};
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
    /// Bytes of all files it names.
    pub bytes: u64,
    /// All rows of all states.
    pub size: Size,
    /// The checkpoint before it, and what all states have grown by since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Why there is a checkpoint before it and yet no growth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth_unknown: Option<String>,
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

/// What changed since another checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Since {
    /// Which.
    pub checkpoint: CheckpointId,
    /// When it was taken, in milliseconds since 1970.
    pub created: Timestamp,
    /// The growth.
    #[serde(flatten)]
    pub growth: Growth,
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
    /// The rows of its states.
    #[serde(flatten)]
    pub size: Size,
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
    /// Its rows.
    #[serde(flatten)]
    pub size: Size,
    /// What it has grown by since the checkpoint before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub growth: Option<Growth>,
    /// The fullest key group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew: Option<Skew>,
    /// By range of key groups.
    pub ranges: Vec<RangeReport>,
    /// The largest keys, largest first.
    pub largest: Vec<LargeKey>,
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

/// A checkpoint with all its states counted.
struct Counted {
    manifest: Manifest,
    states: Vec<(Uid, String, Measured)>,
}

impl Counted {
    async fn read(store: &CheckpointStore, id: CheckpointId) -> Result<Counted, StoreError> {
        let manifest = store.read_manifest(id).await?;
        let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
        let groups = manifest.key_groups;
        let files = StateFiles::open(store, id, named, groups, Trust::Nothing).await?;
        let mut states = Vec::new();
        for (uid, entry) in &manifest.operators {
            for spec in &entry.states {
                let measured = measure(&files, uid, spec, groups).await?;
                states.push((uid.clone(), spec.name.clone(), measured));
            }
        }
        Ok(Counted { manifest, states })
    }

    fn state(&self, uid: &Uid, state: &str) -> Option<&Measured> {
        let found = self.states.iter().find(|(u, name, _)| u == uid && name == state);
        found.map(|(_, _, measured)| measured)
    }

    fn total(&self) -> Size {
        let mut total = Size::default();
        self.states.iter().for_each(|(_, _, measured)| total.add(measured.total));
        total
    }
}

impl CheckpointStore {
    /// Reads and counts checkpoint `id`, and the one before it to say what has grown.
    ///
    /// # Errors
    /// No such checkpoint; the first damaged file. That the one before cannot be read is no error
    /// but told in the report.
    pub async fn inspect(&self, id: CheckpointId) -> Result<InspectReport, StoreError> {
        let counted = Counted::read(self, id).await?;
        let before = self.list().await?.into_iter().rfind(|other| *other < id);
        let before = match before {
            Some(before) => Some(Counted::read(self, before).await),
            None => None,
        };
        Ok(report(counted, before))
    }
}

fn report(counted: Counted, before: Option<Result<Counted, StoreError>>) -> InspectReport {
    let (before, growth_unknown) = match before {
        None => (None, None),
        Some(Ok(before)) => (Some(before), None),
        Some(Err(error)) => (None, Some(error.to_string())),
    };
    let size = counted.total();
    let created = counted.manifest.created;
    let since = before.as_ref().map(|before| Since {
        checkpoint: before.manifest.checkpoint,
        created: before.manifest.created,
        growth: size.growth(created, before.total(), before.manifest.created),
    });
    let entries = counted.manifest.operators.iter();
    let operators = entries.map(|(uid, entry)| operator(uid, entry, &counted, before.as_ref()));
    let operators = operators.collect();
    let manifest = counted.manifest;
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
        created,
        key_groups: manifest.key_groups,
        bytes: manifest.bytes(),
        size,
        since,
        growth_unknown,
        operators,
        splits: splits.collect(),
        prepared: prepared.collect(),
        job: manifest.job,
        attempt: manifest.attempt,
        engine: manifest.engine,
        runs: manifest.runs,
        segments: manifest.segments,
    }
}

fn operator(
    uid: &Uid,
    entry: &OperatorEntry,
    counted: &Counted,
    before: Option<&Counted>,
) -> OperatorReport {
    let mut size = Size::default();
    let mut states = Vec::with_capacity(entry.states.len());
    for spec in &entry.states {
        let Some(measured) = counted.state(uid, &spec.name) else { continue };
        let growth = before.map(|before| {
            let held = before.state(uid, &spec.name).map(|m| m.total).unwrap_or_default();
            measured.total.growth(counted.manifest.created, held, before.manifest.created)
        });
        size.add(measured.total);
        states.push(StateReport {
            name: spec.name.clone(),
            kind: format!("{:?}", spec.kind).to_lowercase(),
            codec: spec.codec.clone(),
            key: spec.key.to_string(),
            value: spec.value.to_string(),
            size: measured.total,
            growth,
            skew: measured.skew(),
            ranges: measured.ranges(),
            largest: measured.largest.clone(),
        });
    }
    OperatorReport {
        uid: uid.clone(),
        parallelism: entry.parallelism,
        watermark: entry.watermark,
        size,
        states,
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
