//! What subtasks wrote behind barriers and no segment holds yet: the parts of the checkpoint that
//! is being written, and before them those of checkpoints that failed.
//!
//! Held by [`super::write`]. Every subtask reports its parts in the order of the barriers, so
//! adding them as they come keeps the order of each key group. Invariant: bounded by [`BYTES_MAX`]
//! and what one checkpoint adds; when that is not enough, the next checkpoint must be full.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{OperatorSnapshot, Section, SnapshotMode};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;

use crate::checkpoint::SegmentWriter;
use crate::checkpoint::run::{RemovalsFirst, sorted};
use crate::checkpoint::segment::SORTED_FROM;

/// What failed checkpoints may leave, in bytes.
pub const BYTES_MAX: u64 = 256 << 20;
/// No more than this is written without being sorted, even where a restore would read it whole.
const UNSORTED_MAX: u64 = 64 << 20;
/// Above this the entries of each row are squashed to the last one.
const SQUASH_FROM: u64 = 32 << 20;

/// After so many bytes others of this thread have their turn.
const TURN_BYTES: usize = 1 << 20;

/// Sections by key group, operator and state: so a range of key groups lies together in a segment.
#[derive(Debug, Default)]
pub struct Carried {
    sections: BTreeMap<(KeyGroup, Uid, String), Vec<Section>>,
    bytes: u64,
    squash_from: u64,
}

/// A segment's bytes, its entries, and the bytes of the entries by key group.
pub type Written = (Vec<u8>, u64, Vec<u64>);

impl Carried {
    /// Adds the snapshot of one subtask's operator.
    pub fn add(&mut self, uid: &Uid, snapshot: OperatorSnapshot) {
        for state in snapshot.states {
            for section in state.sections.into_iter().filter(|section| section.entries > 0) {
                self.bytes += section.bytes.len() as u64;
                let key = (section.group, uid.clone(), state.state.clone());
                self.sections.entry(key).or_default().push(section);
            }
        }
    }

    /// Whether what is carried stays within its bound; squashes it first where that helps.
    ///
    /// # Errors
    /// Sections that are not entries.
    pub fn fits(&mut self) -> anyhow::Result<bool> {
        if self.bytes > self.squash_from.max(SQUASH_FROM) {
            self.squash()?;
            self.squash_from = self.bytes * 2;
        }
        Ok(self.bytes <= BYTES_MAX)
    }

    fn squash(&mut self) -> anyhow::Result<()> {
        for ((group, ..), sections) in &mut self.sections {
            *sections = vec![sorted(*group, sections)?];
        }
        let sections = self.sections.values().flatten();
        self.bytes = sections.map(|section| section.bytes.len() as u64).sum();
        Ok(())
    }

    /// A segment of it all, for a job with `groups` key groups. Long sections are sorted, so that a
    /// restore can read them by key, unless it is everything and less than `lazy_from` bytes, which
    /// a restore reads whole; others of this thread have their turn in between.
    ///
    /// # Errors
    /// A name that is too long; sections that are not entries.
    pub async fn segment(
        &self,
        groups: u16,
        mode: SnapshotMode,
        lazy_from: u64,
    ) -> anyhow::Result<Written> {
        let short = mode == SnapshotMode::Full && self.bytes < lazy_from.min(UNSORTED_MAX);
        let sorted_from = if short { usize::MAX } else { SORTED_FROM };
        let mut writer = SegmentWriter::new();
        let (mut by_group, mut since_turn) = (vec![0; groups.into()], 0);
        for ((group, uid, state), sections) in &self.sections {
            let written = &mut by_group[usize::from(group.0)];
            let bytes = sections.iter().map(|section| section.bytes.len()).sum::<usize>();
            if bytes < sorted_from {
                *written += bytes as u64;
                sections.iter().try_for_each(|section| writer.add(uid, state, section))?;
            } else if let Some(RemovalsFirst { removed, removals, puts }) =
                RemovalsFirst::of(sections)?
            {
                let (of, removals) = ((uid, &state[..], *group), (removed, removals));
                *written += writer.add_rising(of, removals, puts.rising())?;
            } else {
                let section = sorted(*group, sections)?;
                *written += section.bytes.len() as u64;
                writer.add_sorted(uid, state, &section)?;
            }
            since_turn += bytes;
            if since_turn >= TURN_BYTES {
                since_turn = 0;
                tokio::task::yield_now().await;
            }
        }
        let (bytes, entries) = writer.finish();
        Ok((bytes, entries, by_group))
    }

    /// Forgets it all: a segment holds it, or a full one will.
    pub fn clear(&mut self) {
        *self = Carried::default();
    }

    /// How many bytes of entries it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use riverrun_engine::checkpoint::StateSnapshot;
    use riverrun_engine::state::entry::{self, Entry, Op};
    use riverrun_engine::time::Timestamp;

    use super::*;
    use crate::checkpoint::testing::block_on;

    fn snapshot(group: u16, key: u32, value: &[u8]) -> OperatorSnapshot {
        let mut bytes = Vec::new();
        let key = &key.to_be_bytes();
        let entry = Entry { op: Op::Put, namespace: &[], key, value };
        entry::write(&mut bytes, entry).expect("short");
        let sections = vec![Section { group: KeyGroup(group), entries: 1, bytes }];
        let states = vec![StateSnapshot { state: "sum".into(), sections, turnover: None }];
        OperatorSnapshot { watermark: Timestamp::MIN, states }
    }

    #[test]
    fn what_is_carried_is_squashed_before_it_is_too_much() {
        let (mut carried, uid) = (Carried::default(), Uid::new("spend"));
        let value = vec![7; 1 << 20];
        for round in 0..600 {
            carried.add(&uid, snapshot(round % 3, u32::from(round % 5), &value));
            assert!(carried.fits().expect("entries"), "round {round}");
            assert!(carried.bytes() < SQUASH_FROM * 3, "round {round}");
        }
        carried.squash().expect("entries");
        let (bytes, entries, by_group) =
            block_on(carried.segment(4, SnapshotMode::Delta, 0)).expect("short names");
        assert_eq!(entries, 15, "one of each row");
        assert!(bytes.len() < 16 << 20);
        assert_eq!(by_group.iter().sum::<u64>(), carried.bytes());
        assert_eq!(by_group[3], 0);
        for key in 0..400 {
            carried.add(&uid, snapshot(0, key, &value));
        }
        assert!(!carried.fits().expect("entries"), "nothing to squash");
        carried.clear();
        assert_eq!(block_on(carried.segment(4, SnapshotMode::Delta, 0)).expect("empty").1, 0);
    }

    #[test]
    fn everything_is_sorted_where_a_restore_would_be_lazy() {
        let (mut carried, uid) = (Carried::default(), Uid::new("spend"));
        for key in (0..200).rev() {
            carried.add(&uid, snapshot(0, key, &[7; 1 << 10]));
        }
        let written =
            |mode, lazy_from| block_on(carried.segment(1, mode, lazy_from)).expect("short names").0;
        let sorted = written(SnapshotMode::Delta, u64::MAX);
        assert!(written(SnapshotMode::Full, carried.bytes()) == sorted);
        assert!(written(SnapshotMode::Full, carried.bytes() + 1) != sorted);
    }
}
