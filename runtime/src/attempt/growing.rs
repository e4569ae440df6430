//! The segment of one checkpoint, which grows as the parts of subtasks come: what has come is
//! sorted, and on its way to the disk, while others still write theirs.
//!
//! Called by [`super::write`]. Long sections are sorted, so that a restore can read them by key,
//! unless it is everything and so short that a restore reads it whole.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_engine::checkpoint::{CheckpointId, OperatorSnapshot, Section, SnapshotMode};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;

use crate::checkpoint::run::{RemovalsFirst, overlaid};
use crate::checkpoint::segment::SORTED_FROM;
use crate::checkpoint::{CheckpointStore, Put, SegmentEntry, SegmentWriter, StoreError};
use crate::task::report::{Part, Subtask};

/// No more than this is written without being sorted, even where a restore would read it whole.
const UNSORTED_MAX: u64 = 64 << 20;
/// So many bytes are sent to the disk, and then others of this thread have their turn.
const PIECE_BYTES: u64 = 1 << 20;
/// What is there when a part is over is sent if it is as much as this.
const PIECE_MIN: u64 = 64 << 10;

/// A segment on its way.
#[derive(Debug)]
pub struct Growing {
    store: CheckpointStore,
    checkpoint: CheckpointId,
    mode: SnapshotMode,
    put: Put,
    writer: SegmentWriter,
    /// Whose parts were added.
    parts: BTreeSet<Subtask>,
    /// Bytes of entries by key group.
    by_group: Vec<u64>,
    /// So many more bytes may be added, none of them sorted.
    unsorted: Option<u64>,
}

impl Growing {
    /// That of `checkpoint`, for a job with `groups` key groups, of `expected` bytes of entries.
    ///
    /// # Errors
    /// An attempt whose name is none of a file.
    pub fn begin(
        store: &CheckpointStore,
        (checkpoint, attempt): (CheckpointId, &str),
        mode: SnapshotMode,
        groups: u16,
        expected: u64,
    ) -> Result<Growing, StoreError> {
        let short = store.lazy_from_bytes().min(UNSORTED_MAX);
        let unsorted = match mode {
            SnapshotMode::Full if expected < short => Some(short),
            SnapshotMode::Full | SnapshotMode::Delta => None,
        };
        Ok(Growing {
            store: store.clone(),
            checkpoint,
            mode,
            put: store.begin_segment(checkpoint, attempt)?,
            writer: SegmentWriter::new(),
            parts: BTreeSet::new(),
            by_group: vec![0; groups.into()],
            unsorted,
        })
    }

    /// Whether it is the one of `checkpoint`, and `parts` are what was added.
    #[must_use]
    pub fn is_of(&self, checkpoint: CheckpointId, parts: &BTreeMap<Subtask, Part>) -> bool {
        self.checkpoint == checkpoint && parts.keys().eq(&self.parts)
    }

    /// Adds what a subtask wrote.
    ///
    /// # Errors
    /// As [`Growing::add`].
    pub async fn add_part(&mut self, subtask: Subtask, part: &Part) -> anyhow::Result<()> {
        for (uid, snapshot) in &part.operators {
            self.add_snapshot(uid, snapshot).await?;
        }
        self.parts.insert(subtask);
        if self.writer.waiting() >= PIECE_MIN {
            self.put.append(self.writer.take());
        }
        Ok(())
    }

    async fn add_snapshot(&mut self, uid: &Uid, snapshot: &OperatorSnapshot) -> anyhow::Result<()> {
        let of =
            |at: usize| snapshot.states[at].sections.iter().map(move |own| (own.group, at, own));
        let mut sections: Vec<_> = (0..snapshot.states.len()).flat_map(of).collect();
        // So what a restore reads of some key groups lies together.
        sections.sort_by_key(|(group, at, _)| (*group, *at));
        let apart = sections.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1));
        anyhow::ensure!(apart, "two sections of a state are of one key group");
        for (group, at, section) in sections.into_iter().filter(|(.., own)| own.entries > 0) {
            let state = &snapshot.states[at].state;
            self.add((uid, state, group), std::slice::from_ref(section)).await?;
        }
        Ok(())
    }

    /// Adds all sections of a state and key group, in their order.
    ///
    /// # Errors
    /// A name that is too long; sections that are not entries; more than was expected, by far.
    pub async fn add(
        &mut self,
        (uid, state, group): (&Uid, &str, KeyGroup),
        sections: &[Section],
    ) -> anyhow::Result<()> {
        let bytes = sections.iter().map(|section| section.bytes.len()).sum::<usize>();
        let written = &mut self.by_group[usize::from(group.0)];
        if let Some(left) = &mut self.unsorted {
            let Some(rest) = left.checked_sub(bytes as u64) else {
                anyhow::bail!("there is more than was expected: some of it is to be sorted");
            };
            *left = rest;
        }
        if bytes < SORTED_FROM || self.unsorted.is_some() {
            *written += bytes as u64;
            sections.iter().try_for_each(|section| self.writer.add(uid, state, section))?;
        } else if let Some(RemovalsFirst { removed, removals, puts }) = RemovalsFirst::of(sections)?
        {
            let of = (uid, state, group);
            *written += self.writer.add_rising(of, (removed, removals), puts.rising())?;
        } else {
            let section = overlaid(group, sections)?;
            *written += section.bytes.len() as u64;
            self.writer.add_sorted(uid, state, &section)?;
        }
        if self.writer.waiting() >= PIECE_BYTES {
            self.put.append(self.writer.take());
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Makes it durable, and answers its bytes by key group with it. Where nothing was added there
    /// is none: an idle job's files do not grow.
    ///
    /// # Errors
    /// The storage's.
    pub async fn end(self) -> Result<Option<(SegmentEntry, Vec<u64>)>, StoreError> {
        let Growing { store, checkpoint, mode, put, writer, by_group, .. } = self;
        if mode == SnapshotMode::Delta && writer.is_empty() {
            return Ok(None);
        }
        let (last, entries) = writer.finish();
        let entry = store.end_segment(checkpoint, put, last, mode, entries).await?;
        Ok(Some((entry, by_group)))
    }
}
