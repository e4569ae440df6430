//! What is added without being read, case by case; [`super::random`] has it among all else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::files::merged;
use super::model::{Change, GROUPS, Subtask};
use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHash, KeyHasher};
use crate::state::entry::{self, Op};
use crate::state::spill::SpillDoor;
use crate::state::{Declare, ResidentMemory, SliceTable, Slot, StateStore};
use crate::testing::{MemorySpillDoor, TalliedSpillDoor};
use crate::time::Timestamp;

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: GROUPS, groups: GROUPS };

fn subtask() -> Subtask {
    Subtask::spilling(ALL, true)
}

fn restored(chain: &[StateSnapshot]) -> Subtask {
    let mut subtask = subtask();
    subtask.restore(chain);
    subtask
}

/// Of each row of `state` in a snapshot: what it does, and the length of its key.
fn rows(snapshot: &[StateSnapshot], state: &str) -> Vec<(Op, usize)> {
    let mut rows = Vec::new();
    let own = snapshot.iter().filter(|own| own.state == state);
    for section in own.flat_map(|own| &own.sections) {
        let mut rest = &section.bytes[..];
        while let Some(entry) = entry::read(&mut rest).expect("entries") {
            rows.push((entry.op, entry.key.len()));
        }
    }
    rows
}

#[test]
fn a_portion_is_written_once_and_merged_with_what_was_there() {
    let mut subtask = subtask();
    subtask.change(&Change::Append(0, 7, 1));
    let mut chain = subtask.snapshot(SnapshotMode::Full, 10, |_| {});
    assert_eq!(rows(&chain, "merging"), [(Op::Put, 2)], "a value alone is one row");
    subtask.squeeze(1);
    subtask.change(&Change::Append(0, 7, 2));
    let second = subtask.snapshot(SnapshotMode::Delta, 10, |_| {});
    assert_eq!(rows(&second, "merging"), [(Op::Put, 6)], "a portion has a number");
    chain.extend(second);
    assert_eq!(rows(&subtask.snapshot(SnapshotMode::Delta, 10, |_| {}), "merging"), []);
    subtask.change(&Change::Append(0, 7, 3));
    chain.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
    let held = BTreeMap::from([(0, BTreeMap::from([(7, vec![1, 2, 3])]))]);
    assert_eq!(subtask.plain(9).merging, held);
    let mut again = restored(&chain);
    assert_eq!(again.plain(9).merging, held);
    // What was restored of several rows is one again with its next change.
    again.change(&Change::Append(0, 7, 4));
    let written = again.snapshot(SnapshotMode::Delta, 10, |_| {});
    assert_eq!(rows(&written, "merging"), [(Op::Delete, 2), (Op::Put, 2)]);
    chain.extend(written);
    let held = BTreeMap::from([(0, BTreeMap::from([(7, vec![1, 2, 3, 4])]))]);
    assert_eq!(restored(&chain).plain(9).merging, held);
}

#[test]
fn numbers_go_on_behind_those_that_a_checkpoint_has() {
    let mut subtask = subtask();
    let mut chain = Vec::new();
    for n in 0..5 {
        subtask.change(&Change::Append(0, 7, n));
        subtask.squeeze(1);
        chain.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
    }
    for n in 5..8 {
        let mut again = restored(&merged(&chain));
        again.squeeze(1);
        again.change(&Change::Append(0, 7, n));
        chain.extend(again.snapshot(SnapshotMode::Delta, 10, |_| {}));
    }
    let held = BTreeMap::from([(0, BTreeMap::from([(7, (0..8).collect::<Vec<_>>())]))]);
    assert_eq!(restored(&chain).plain(9).merging, held);
    assert_eq!(restored(&merged(&chain)).plain(9).merging, held, "merged by row");
}

#[test]
fn joined_portions_are_one_row_in_the_next_snapshot() {
    let mut subtask = subtask();
    let mut chain = Vec::new();
    for n in 0..4 {
        (0..20).for_each(|key| subtask.change(&Change::Append(0, key, n)));
        subtask.squeeze(1);
        chain.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
    }
    let before = subtask.plain(20);
    subtask.join(3);
    assert_eq!(subtask.plain(20), before);
    let joined = subtask.snapshot(SnapshotMode::Delta, 10, |_| {});
    let written = rows(&joined, "merging");
    assert_eq!(written.len(), 2 * 20, "each is deleted and put");
    assert!(written.iter().all(|(_, len)| *len == 2), "no portion among them");
    chain.extend(joined);
    assert_eq!(restored(&chain).plain(20).merging, before.merging);
    subtask.join(3);
    assert_eq!(rows(&subtask.snapshot(SnapshotMode::Delta, 10, |_| {}), "merging"), []);
    let full = subtask.snapshot(SnapshotMode::Full, 10, |_| {});
    assert_eq!(restored(&full).plain(20).merging, before.merging);
}

struct Counts {
    store: StateStore,
    counts: Slot<SliceTable<u64, u64>>,
    hasher: KeyHasher,
}

impl Counts {
    fn within(bytes: usize, door: impl SpillDoor + 'static) -> Counts {
        let mut op = Declare::<u64>::new(ALL, true);
        let counts = op.sliced_merging("counts", |held: &mut u64, later| *held += later);
        let mut store = op.finish().0;
        let memory = Arc::new(ResidentMemory::new(bytes));
        store.limit(memory, Some(Arc::new(door)), (&Uid::new("test"), 0));
        Counts { store, counts, hasher: KeyHasher::default() }
    }

    fn add(&mut self, keys: impl Iterator<Item = u64>) {
        let slice = self.store.get_mut(self.counts).slice_mut(Timestamp::MIN);
        let items: Vec<(u64, u64)> = keys.map(|key| (key, 1)).collect();
        let hash = |(key, _): &(u64, u64)| self.hasher.hash(key).expect("a key");
        let hashes: Vec<KeyHash> = items.iter().map(hash).collect();
        let add = |held: &mut u64, n: &u64| *held += n;
        slice.each_or_insert_with(&hashes, &mut items.iter(), || 0, add).expect("adds");
        self.store.relieve().expect("it fits");
    }

    fn walked(&mut self) -> BTreeMap<u64, u64> {
        let slice = self.store.get_mut(self.counts).slice_mut(Timestamp::MIN);
        let mut held = BTreeMap::new();
        for group in 0..slice.group_count() {
            let parts = slice.parts(group);
            for part in 0..parts {
                let see = |_, key: &u64, count: &u64| *held.entry(*key).or_default() += count;
                slice.walk_part(group, (part, parts), see).expect("walks");
            }
        }
        held
    }
}

#[test]
fn what_is_added_to_is_never_read_and_few_rows_are_written() {
    let spilled = TalliedSpillDoor::default();
    let mut counts = Counts::within(1 << 20, spilled.clone());
    const KEYS: u64 = 200_000;
    for round in 0..3 {
        for first in (0..KEYS).step_by(1000) {
            counts.add((first..first + 1000).map(|n| (n * 7919 + round) % KEYS));
        }
    }
    assert_eq!(spilled.reads(), 0, "what is added to is not read");
    let rows = spilled.rows();
    assert!((1..KEYS as usize).contains(&rows), "{rows} rows for {} additions", 3 * KEYS);
    let held = counts.walked();
    assert_eq!((held.len() as u64, held.values().sum::<u64>()), (KEYS, 3 * KEYS));
    assert!(held.values().all(|count| *count == 3));
}

#[test]
fn however_often_keys_are_added_to_their_portions_stay_few() {
    const KEYS: u64 = 20_000;
    let mut counts = Counts::within(200_000, MemorySpillDoor);
    let mut draw = 1_u64;
    let (mut most, mut chain, mut additions) = (0, Vec::new(), 0);
    for round in 0..1_200 {
        counts.add((0..256).map(|_| {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (draw >> 33) % KEYS
        }));
        additions += 256;
        if round % 200 == 7 {
            chain.extend(counts.store.snapshot(SnapshotMode::Delta).expect("encodes"));
        }
        most = most.max(counts.store.sizes().map(|(_, entries)| entries).sum());
    }
    assert!(most < 6 * KEYS as usize, "{most} portions of {KEYS} keys");
    let slice = counts.store.get_mut(counts.counts).slice_mut(Timestamp::MIN);
    assert!(slice.parts(0) > 1, "the key groups are divided");
    let held = counts.walked();
    assert_eq!(held.values().sum::<u64>(), additions);
    chain.extend(counts.store.snapshot(SnapshotMode::Delta).expect("encodes"));
    let mut again = Counts::within(200_000, MemorySpillDoor);
    for state in &merged(&chain) {
        for section in &state.sections {
            let done = again.store.restore(&state.state, section.group, &section.bytes);
            done.expect("what was written can be read");
            again.store.relieve().expect("it fits");
        }
    }
    assert!(again.walked() == held, "restored as it was");
}
