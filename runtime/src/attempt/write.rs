//! From the parts of all subtasks to a complete checkpoint: one segment, then the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use riverrun_engine::checkpoint::{Barrier, SnapshotMode, SplitSnapshot};
use riverrun_engine::graph::{Graph, Uid};
use riverrun_engine::state::StateSpec;
use riverrun_engine::time::Timestamp;

use super::participants::PreparedBy;
use crate::checkpoint::manifest::FORMAT_VERSION;
use crate::checkpoint::{
    CheckpointStore, Manifest, OperatorEntry, SegmentEntry, SegmentWriter, StoreError,
};
use crate::task::report::{Part, Subtask};

/// Deltas behind one full segment: a restore reads them all.
const DELTAS_MAX: usize = 32;

/// Writes the checkpoints of one attempt.
pub struct Writer {
    store: CheckpointStore,
    job: Arc<str>,
    attempt: Arc<str>,
    key_groups: u16,
    states: BTreeMap<Uid, Vec<StateSpec>>,
    parallelism: BTreeMap<Uid, u32>,
    segments: Vec<SegmentEntry>,
    full_next: bool,
}

/// What one checkpoint wrote.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes of its own segment.
    pub bytes: u64,
}

impl Writer {
    /// For the operators of `graph`, each with its parallelism.
    #[must_use]
    pub fn new(
        store: CheckpointStore,
        (job, attempt): (Arc<str>, Arc<str>),
        graph: &Graph,
        key_groups: u16,
        parallelism: BTreeMap<Uid, u32>,
    ) -> Self {
        let states = graph.states(key_groups);
        let (segments, full_next) = (Vec::new(), true);
        Writer { store, job, attempt, key_groups, states, parallelism, segments, full_next }
    }

    /// How much the next checkpoint must write: everything first, after a failure, and when the
    /// deltas have become many or longer than the full segment they follow.
    #[must_use]
    pub fn mode(&self) -> SnapshotMode {
        let (full, deltas) =
            self.segments.split_first().map_or((0, &[][..]), |(f, d)| (f.bytes, d));
        let delta_bytes: u64 = deltas.iter().map(|segment| segment.bytes).sum();
        if self.full_next || deltas.len() >= DELTAS_MAX || delta_bytes > full {
            SnapshotMode::Full
        } else {
            SnapshotMode::Delta
        }
    }

    /// A checkpoint failed after its barrier: what it cut is in no segment.
    pub fn failed(&mut self) {
        self.full_next = true;
    }

    /// Writes the segment, then the manifest; when this returns, the checkpoint is complete.
    ///
    /// # Errors
    /// The storage's; then the checkpoint has failed.
    pub async fn write(
        &mut self,
        barrier: Barrier,
        created: Timestamp,
        parts: BTreeMap<Subtask, Part>,
        prepared: PreparedBy,
    ) -> Result<(Manifest, Written), StoreError> {
        self.full_next = true;
        let mut segment = SegmentWriter::new();
        let mut sources: BTreeMap<Uid, Vec<SplitSnapshot>> = BTreeMap::new();
        let mut operators: BTreeMap<Uid, OperatorEntry> = BTreeMap::new();
        for part in parts.into_values() {
            for (uid, snapshot) in part.operators {
                let entry = operators.entry(uid.clone()).or_insert_with(|| OperatorEntry {
                    parallelism: self.parallelism.get(&uid).copied().unwrap_or(1),
                    watermark: snapshot.watermark,
                    watermarks: Vec::new(),
                    states: self.states.get(&uid).cloned().unwrap_or_default(),
                });
                entry.watermark = entry.watermark.min(snapshot.watermark);
                entry.watermarks.push(snapshot.watermark);
                for state in &snapshot.states {
                    for section in &state.sections {
                        let added = segment.add(&uid, &state.state, section);
                        added.map_err(|e| StoreError::Unwritable {
                            checkpoint: barrier.checkpoint,
                            reason: e.to_string(),
                        })?;
                    }
                }
            }
            if let Some((uid, splits)) = part.splits {
                sources.entry(uid).or_default().extend(splits);
            }
        }
        let (bytes, entries) = segment.finish();
        let (id, mode) = (barrier.checkpoint, barrier.mode);
        let entry = self.store.write_segment(id, &self.attempt, bytes, mode, entries).await?;
        let written = Written { bytes: entry.bytes };
        let mut segments = std::mem::take(&mut self.segments);
        if mode == SnapshotMode::Full {
            segments.clear();
        }
        segments.push(entry);
        let manifest = Manifest {
            version: FORMAT_VERSION,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            job: self.job.to_string(),
            checkpoint: barrier.checkpoint,
            kind: barrier.kind,
            attempt: self.attempt.to_string(),
            created,
            key_groups: self.key_groups,
            operators,
            sources,
            prepared,
            runs: Vec::new(),
            segments,
        };
        self.store.write_manifest(&manifest).await?;
        self.segments.clone_from(&manifest.segments);
        self.full_next = false;
        Ok((manifest, written))
    }
}
