//! What subtasks wrote behind barriers and no segment holds yet: the parts of the checkpoint that
//! is being written, and before them those of checkpoints that failed.
//!
//! Held by [`super::write`]. Every subtask reports its parts in the order of the barriers, so
//! adding them as they come keeps the order of each key group. Invariant: bounded by [`BYTES_MAX`]
//! and what one checkpoint adds; when that is not enough, the next checkpoint must be full.

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{OperatorSnapshot, Section};
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;

use super::growing::Growing;
use crate::checkpoint::run::sorted;

/// What failed checkpoints may leave, in bytes.
pub const BYTES_MAX: u64 = 256 << 20;
/// Above this the entries of each row are squashed to the last one.
const SQUASH_FROM: u64 = 32 << 20;

/// Sections by key group, operator and state: so a range of key groups lies together in a segment.
#[derive(Debug, Default)]
pub struct Carried {
    sections: BTreeMap<(KeyGroup, Uid, String), Vec<Section>>,
    bytes: u64,
    squash_from: u64,
}

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

    /// Adds it all to a segment.
    ///
    /// # Errors
    /// A name that is too long; sections that are not entries.
    pub async fn add_to(&self, segment: &mut Growing) -> anyhow::Result<()> {
        for ((group, uid, state), sections) in &self.sections {
            segment.add((uid, state, *group), sections).await?;
        }
        Ok(())
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
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use riverrun_engine::checkpoint::{CheckpointId, SnapshotMode, StateSnapshot};
    use riverrun_engine::state::entry::{self, Entry, Op};
    use riverrun_engine::time::Timestamp;

    use super::*;
    use crate::checkpoint::testing::block_on;
    use crate::checkpoint::{CheckpointStore, SegmentEntry};

    fn snapshot(group: u16, key: u32, value: &[u8]) -> OperatorSnapshot {
        let mut bytes = Vec::new();
        let key = &key.to_be_bytes();
        let entry = Entry { op: Op::Put, namespace: &[], key, value };
        entry::write(&mut bytes, entry).expect("short");
        let sections = vec![Section { group: KeyGroup(group), entries: 1, bytes: bytes.into() }];
        let states = vec![StateSnapshot { state: "sum".into(), sections, turnover: None }];
        OperatorSnapshot { watermark: Timestamp::MIN, states }
    }

    type Written = Option<(SegmentEntry, Vec<u64>)>;

    /// What is written of `carried` where restores are lazy from so many bytes on.
    fn written(carried: &Carried, mode: SnapshotMode, lazy_from: u64) -> Written {
        let store = CheckpointStore::on_certain(Arc::new(InMemory::new())).lazy_from(lazy_from);
        let own = (CheckpointId(1), "a");
        let segment = block_on(async {
            let mut segment = Growing::begin(&store, own, mode, 4, carried.bytes())?;
            carried.add_to(&mut segment).await.expect("short names");
            segment.end().await
        });
        segment.expect("writes")
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
        let (entry, by_group) = written(&carried, SnapshotMode::Delta, 0).expect("is written");
        assert_eq!(entry.entries, 15, "one of each row");
        assert!(entry.bytes < 16 << 20);
        assert_eq!(by_group.iter().sum::<u64>(), carried.bytes());
        assert_eq!(by_group[3], 0);
        for key in 0..400 {
            carried.add(&uid, snapshot(0, key, &value));
        }
        assert!(!carried.fits().expect("entries"), "nothing to squash");
        carried.clear();
        assert!(written(&carried, SnapshotMode::Delta, 0).is_none());
    }

    #[test]
    fn everything_is_sorted_where_a_restore_would_be_lazy() {
        let (mut carried, uid) = (Carried::default(), Uid::new("spend"));
        for key in (0..200).rev() {
            carried.add(&uid, snapshot(0, key, &[7; 1 << 10]));
        }
        let checksum = |mode, lazy_from| {
            let (entry, _) = written(&carried, mode, lazy_from).expect("is written");
            entry.checksum
        };
        let sorted = checksum(SnapshotMode::Delta, u64::MAX);
        let store = CheckpointStore::on_certain(Arc::new(InMemory::new()));
        let store = store.lazy_from(carried.bytes() - 1);
        let added = block_on(async {
            let own = (CheckpointId(1), "a");
            let mut segment = Growing::begin(&store, own, SnapshotMode::Full, 4, 1)?;
            anyhow::Ok(carried.add_to(&mut segment).await)
        });
        added.expect("begins").expect_err("more than expected: it would have been sorted");
        assert_eq!(checksum(SnapshotMode::Full, carried.bytes()), sorted);
        assert_ne!(checksum(SnapshotMode::Full, carried.bytes() + 1), sorted);
    }
}
