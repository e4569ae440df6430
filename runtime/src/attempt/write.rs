//! From the parts of all subtasks to a complete checkpoint: one segment, then the manifest.
//!
//! Called by the coordinator. The segment grows as the parts come ([`super::growing`]). What a
//! failed checkpoint cut goes into the segment of the next one ([`super::carried`]); merges
//! ([`super::merger`]) take the place of what they merged with the next manifest. Invariant: the
//! chain is what the newest complete manifest names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::{Barrier, CheckpointId, CheckpointKind, SnapshotMode};
use riverrun_engine::checkpoint::{OperatorSnapshot, SplitSnapshot, StateSnapshot, Turnover};
use riverrun_engine::crash_point;
use riverrun_engine::graph::{Graph, Uid};
use riverrun_engine::planted;
use riverrun_engine::state::StateSpec;
use riverrun_engine::time::Timestamp;

use super::carried::Carried;
use super::growing::Growing;
use super::merger::{MergeCounts, Merger, Outcome};
use super::participants::PreparedBy;
use crate::checkpoint::manifest::FORMAT_VERSION;
use crate::checkpoint::{
    Chain, CheckpointStore, Manifest, OperatorEntry, SegmentEntry, StoreError,
};
use crate::doors;
use crate::status::StorageStatus;
use crate::task::report::{Part, Subtask};

/// Writes the checkpoints of one attempt.
pub struct Writer {
    store: CheckpointStore,
    job: Arc<str>,
    attempt: Arc<str>,
    key_groups: u16,
    states: BTreeMap<Uid, Vec<StateSpec>>,
    parallelism: BTreeMap<Uid, u32>,
    chain: Chain,
    merger: Merger,
    /// A merge that has ended and is in no manifest yet.
    outcome: Option<Outcome>,
    carried: Carried,
    /// Bytes of all segments so far.
    delta_bytes: u64,
    next: Next,
    rows: RowBytes,
    /// What changed before the last checkpoint, where that is so much that the next holds
    /// everything.
    rewrites: Option<Turnover>,
    /// The segment of the checkpoint in flight, with the parts that have come.
    growing: Option<Growing>,
}

/// By operator and state: how long a row was when some were last written.
#[derive(Debug, Default)]
struct RowBytes(BTreeMap<Uid, BTreeMap<String, u64>>);

impl RowBytes {
    /// The turnover of a state in bytes, about: the lengths of rows are known once one was written.
    fn bytes_of(&mut self, uid: &Uid, state: &StateSnapshot) -> Option<Turnover> {
        let rows = state.sections.iter().map(|section| section.entries).sum::<u64>();
        let bytes = state.sections.iter().map(|section| section.bytes.len() as u64).sum::<u64>();
        if rows > 0 {
            let lengths = self.0.entry(uid.clone()).or_default();
            lengths.insert(state.state.clone(), bytes.div_ceil(rows));
        }
        match state.turnover? {
            Turnover { entries: 0, .. } => Some(Turnover::default()),
            Turnover { changed, entries } => {
                let each = *self.0.get(uid)?.get(&state.state)?;
                Some(Turnover { changed: changed * each, entries: entries * each })
            }
        }
    }
}

/// Whether so many bytes changed, of so many, that the next checkpoint is to hold everything: half
/// of them, since they would be written, and then merged. Not where that is so much that writing it
/// would take long, or memory that is not there.
fn is_worth_rewriting(bytes: Turnover) -> bool {
    bytes.changed >= doors::sizes().rewritten_min
        && bytes.changed * 2 >= bytes.entries
        && bytes.entries <= REWRITTEN_MAX
}

/// So many bytes of state, and no more, are written all in place of what changed.
const REWRITTEN_MAX: u64 = 128 << 20;

/// What the parts of a checkpoint say.
type Collected =
    (BTreeMap<Uid, OperatorEntry>, BTreeMap<Uid, Vec<SplitSnapshot>>, Option<Turnover>);

/// Between two tries to store a checkpoint that must not be left out.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What the next checkpoint must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Everything: what lies in the store is not what the tables were made of, or what changed was
    /// lost.
    Full,
    /// Everything changed behind this barrier and later; parts of earlier ones are in the past.
    Since(CheckpointId),
}

/// What one checkpoint wrote.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Bytes of its own segment.
    pub bytes: u64,
    /// What lies in the store now.
    pub storage: StorageStatus,
}

impl Writer {
    /// For the operators of `graph`, each with its parallelism. `base` is what the tables were
    /// restored from, if deltas may follow it.
    #[must_use]
    pub fn new(
        store: CheckpointStore,
        (job, attempt): (Arc<str>, Arc<str>),
        graph: &Graph,
        key_groups: u16,
        parallelism: BTreeMap<Uid, u32>,
        base: Option<Chain>,
    ) -> Self {
        let next = if base.is_some() { Next::Since(CheckpointId(0)) } else { Next::Full };
        Writer {
            job,
            key_groups,
            states: graph.states(key_groups),
            parallelism,
            chain: base.unwrap_or_else(|| Chain::new(key_groups)),
            merger: Merger::new(store.clone(), &attempt),
            outcome: None,
            carried: Carried::default(),
            delta_bytes: 0,
            next,
            rows: RowBytes::default(),
            rewrites: None,
            growing: None,
            store,
            attempt,
        }
    }

    /// Whether the next checkpoint should wait for the merge under way, because merges have fallen
    /// behind.
    pub fn waits_for_merge(&mut self) -> bool {
        self.take_merged();
        self.rewrites.is_none() && self.chain.is_overdue() && self.merger.is_waited_for()
    }

    fn take_merged(&mut self) {
        if self.outcome.is_none() {
            self.outcome = self.merger.take();
        }
    }

    /// How much a checkpoint of `kind` must write: a savepoint everything, so that it needs no
    /// other's files; any other what changed, if the store holds what it changed from. Where half
    /// of everything changed, everything is written too: what changed would be written and merged.
    #[must_use]
    pub fn mode(&self, kind: CheckpointKind) -> SnapshotMode {
        if kind.is_pinned() || self.next == Next::Full || self.rewrites.is_some() {
            SnapshotMode::Full
        } else {
            SnapshotMode::Delta
        }
    }

    /// A barrier is on its way.
    pub fn begun(&mut self, barrier: Barrier) {
        if barrier.mode == SnapshotMode::Full {
            self.carried.clear();
            self.next = Next::Full;
        }
        // What is carried comes first, and of everything it must be known about how much it is.
        let expected = match barrier.mode {
            SnapshotMode::Full => self.rewrites.map(|turnover| turnover.entries),
            SnapshotMode::Delta => (self.carried.bytes() == 0).then_some(0),
        };
        let begin = |expected| self.begin_segment(barrier.checkpoint, barrier.mode, expected).ok();
        self.growing = expected.and_then(begin);
    }

    /// A part of the checkpoint in flight is here, and others are not: it is on its way already.
    pub async fn arrived(&mut self, subtask: Subtask, part: &Part) {
        let Some(mut growing) = self.growing.take() else { return };
        match growing.add_part(subtask, part).await {
            Ok(()) => self.growing = Some(growing),
            // All is written when all is here, and what is wrong with it told then.
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the segment waits"),
        }
    }

    /// A checkpoint failed after its barrier, with these parts; others may still come.
    pub fn failed(&mut self, barrier: Barrier, parts: BTreeMap<Subtask, Part>) {
        self.growing = None;
        for part in parts.into_values() {
            self.carry(barrier.checkpoint, part);
        }
    }

    /// A part of a checkpoint that has failed: what changed goes into the next one.
    pub fn carry(&mut self, checkpoint: CheckpointId, part: Part) {
        match self.next {
            Next::Since(first) if checkpoint >= first => {
                // It comes before what has come of the next.
                self.growing = None;
                for (uid, snapshot) in part.operators {
                    self.carried.add(&uid, snapshot);
                }
                self.bound();
            }
            _ => {}
        }
    }

    fn bound(&mut self) {
        let fits = self.carried.fits();
        if !matches!(fits, Ok(true)) {
            tracing::warn!(
                bytes = self.carried.bytes(),
                error = fits.err().map(|e| format!("{e:#}")),
                "too much is left of failed checkpoints: the next one writes everything"
            );
            self.carried.clear();
            self.next = Next::Full;
        }
    }

    /// Writes the segment, then the manifest; when this returns, the checkpoint is complete. What
    /// the storage refuses is tried again until the moment `until` ([`doors::monotonic`]).
    ///
    /// # Errors
    /// The storage's; then the checkpoint has failed, and what it cut is carried.
    pub async fn write(
        &mut self,
        barrier: Barrier,
        created: Timestamp,
        parts: BTreeMap<Subtask, Part>,
        prepared: PreparedBy,
        until: Option<Duration>,
    ) -> Result<(Manifest, Written), StoreError> {
        if barrier.mode == SnapshotMode::Delta && self.next == Next::Full {
            let checkpoint = barrier.checkpoint;
            let reason = "what changed before it was given up, the next one writes everything";
            return Err(StoreError::Unwritable { checkpoint, reason: reason.to_owned() });
        }
        let growing = self.growing.take();
        let growing = growing.filter(|segment| segment.is_of(barrier.checkpoint, &parts));
        let (operators, sources, turnover) = self.collect(parts);
        let rest = (operators, sources, prepared);
        let written = self.store_all((barrier, growing), created, rest, until).await;
        if written.is_ok() {
            self.rewrites = turnover.filter(|turnover| is_worth_rewriting(*turnover));
            if !barrier.kind.is_last() && self.rewrites.is_none() {
                self.merger.begin(&self.chain);
            }
        }
        if written.is_err() && barrier.mode == SnapshotMode::Delta {
            if planted!("delta.failed.forgotten") {
                self.carried.clear();
            }
            self.bound();
        }
        written
    }

    async fn store_all(
        &mut self,
        (barrier, mut growing): (Barrier, Option<Growing>),
        created: Timestamp,
        (operators, sources, prepared): (
            BTreeMap<Uid, OperatorEntry>,
            BTreeMap<Uid, Vec<SplitSnapshot>>,
            PreparedBy,
        ),
        until: Option<Duration>,
    ) -> Result<(Manifest, Written), StoreError> {
        let (id, mode) = (barrier.checkpoint, barrier.mode);
        let segment = insist(until, || {
            let grown = growing.take();
            async {
                match grown {
                    Some(grown) => grown.end().await,
                    None => self.segment(id, mode).await,
                }
            }
        });
        let segment = segment.await?;
        if segment.is_some() {
            crash_point!("checkpoint.delta.synced");
        }
        let mut chain = self.chain.clone();
        self.take_merged();
        if let Some(Outcome { task, merged, .. }) = &self.outcome {
            if !chain.apply(task, merged.clone()) {
                tracing::debug!(order = ?task.order, "a merge came too late");
            }
            crash_point!("merge.taken");
        }
        let bytes = segment.as_ref().map_or(0, |(entry, _)| entry.bytes);
        if let Some((entry, by_group)) = segment {
            chain.push(entry, by_group);
        }
        let manifest = Manifest {
            version: FORMAT_VERSION,
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            job: self.job.to_string(),
            checkpoint: id,
            kind: barrier.kind,
            attempt: self.attempt.to_string(),
            created,
            key_groups: self.key_groups,
            operators,
            sources,
            prepared,
            runs: chain.runs().to_vec(),
            segments: chain.segments().cloned().collect(),
        };
        insist(until, || self.store.write_manifest(&manifest)).await?;
        stored(barrier.kind);
        if let Some(outcome) = self.outcome.take() {
            crash_point!("merge.named");
            outcome.release();
        }
        self.chain = chain;
        self.carried.clear();
        self.next = Next::Since(id.next());
        self.delta_bytes += bytes;
        Ok((manifest, Written { bytes, storage: self.storage() }))
    }

    /// Makes a segment of what is carried, with its bytes by key group.
    async fn segment(
        &self,
        id: CheckpointId,
        mode: SnapshotMode,
    ) -> Result<Option<(SegmentEntry, Vec<u64>)>, StoreError> {
        let mut segment = self.begin_segment(id, mode, self.carried.bytes())?;
        self.carried.add_to(&mut segment).await.map_err(|error| StoreError::Unwritable {
            checkpoint: id,
            reason: format!("{error:#}"),
        })?;
        segment.end().await
    }

    fn begin_segment(
        &self,
        id: CheckpointId,
        mode: SnapshotMode,
        expected: u64,
    ) -> Result<Growing, StoreError> {
        Growing::begin(&self.store, (id, &self.attempt), mode, self.key_groups, expected)
    }

    /// Takes the changes out of `parts`, and says what the manifest must know beside them, and how
    /// many bytes changed of how many, if that is known of every state.
    fn collect(&mut self, parts: BTreeMap<Subtask, Part>) -> Collected {
        let mut sources: BTreeMap<Uid, Vec<SplitSnapshot>> = BTreeMap::new();
        let mut operators: BTreeMap<Uid, OperatorEntry> = BTreeMap::new();
        let mut turnover = Some(Turnover::default());
        for part in parts.into_values() {
            for (uid, snapshot) in part.operators {
                for state in &snapshot.states {
                    let own = self.rows.bytes_of(&uid, state);
                    turnover = turnover.and_then(|all| Some(all.and(own?)));
                }
                self.note(&uid, &snapshot, &mut operators);
                self.carried.add(&uid, snapshot);
            }
            if let Some((uid, splits)) = part.splits {
                sources.entry(uid).or_default().extend(splits);
            }
        }
        (operators, sources, turnover)
    }

    fn note(
        &self,
        uid: &Uid,
        snapshot: &OperatorSnapshot,
        operators: &mut BTreeMap<Uid, OperatorEntry>,
    ) {
        let entry = operators.entry(uid.clone()).or_insert_with(|| OperatorEntry {
            parallelism: self.parallelism.get(uid).copied().unwrap_or(1),
            watermark: snapshot.watermark,
            watermarks: Vec::new(),
            states: self.states.get(uid).cloned().unwrap_or_default(),
        });
        entry.watermark = entry.watermark.min(snapshot.watermark);
        entry.watermarks.push(snapshot.watermark);
    }

    fn storage(&self) -> StorageStatus {
        let MergeCounts { done, failed, bytes } = self.merger.counts();
        StorageStatus {
            named_bytes: self.chain.bytes(),
            named_files: (self.chain.runs().len() + self.chain.segments().len()) as u64,
            delta_bytes: self.delta_bytes,
            merge_bytes: bytes,
            merges: done,
            merges_failed: failed,
        }
    }
}

/// A checkpoint of this kind is complete.
fn stored(kind: CheckpointKind) {
    match kind {
        CheckpointKind::Savepoint => crash_point!("savepoint.stored"),
        CheckpointKind::Stop | CheckpointKind::StopSavepoint => crash_point!("stop.stored"),
        CheckpointKind::End => crash_point!("end.stored"),
        CheckpointKind::Periodic => {}
    }
    crash_point!("checkpoint.manifest.written");
}

/// Writes until the storage takes it, it is in doubt whether it has, or the moment `until` is over.
async fn insist<T, F: Future<Output = Result<T, StoreError>>>(
    until: Option<Duration>,
    mut write: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let mut pause = PAUSE_MIN;
    loop {
        match write().await {
            Err(error)
                if !error.in_doubt()
                    && until.is_some_and(|until| doors::monotonic() + pause < until) =>
            {
                tracing::warn!(%error, "the checkpoint is not stored yet, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            written => return written,
        }
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
