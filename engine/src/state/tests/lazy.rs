//! What a lazy restore leaves to be read, case by case; [`super::random`] has it among all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::PlainFiles;
use super::model::{Change, GROUPS, Plain, Subtask};
use crate::checkpoint::{CheckpointId, SnapshotMode, StateSnapshot};
use crate::key::{KeyGroup, KeyGroupRange};
use crate::operator::Result;
use crate::state::stored::{StoredPage, StoredRows, Wait, Warmth};

const KEYS: u16 = 60;
const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: GROUPS, groups: GROUPS };

fn stored() -> Vec<StateSnapshot> {
    let mut subtask = Subtask::spilling(ALL, true);
    (0..KEYS).for_each(|key| subtask.change(&Change::Set(key, 1)));
    let mut stored = subtask.snapshot(SnapshotMode::Full, 10, |_| {});
    (0..KEYS).step_by(3).for_each(|key| subtask.change(&Change::Set(key, 2)));
    (0..KEYS).step_by(7).for_each(|key| subtask.change(&Change::Remove(key)));
    stored.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
    stored
}

fn lazily(stored: &[StateSnapshot]) -> Subtask {
    let mut subtask = Subtask::spilling(ALL, true);
    subtask.restore_lazily((stored, 2), 4);
    subtask
}

fn restored(stored: &[StateSnapshot]) -> Subtask {
    let mut subtask = Subtask::spilling(ALL, true);
    subtask.restore(stored);
    subtask
}

fn warm(subtask: &mut Subtask) {
    while subtask.store.warm().expect("reads") != Warmth::Warm {}
}

#[test]
fn what_is_asked_for_before_and_behind_warming_is_what_was_stored() {
    let mut stored = stored();
    stored.extend(collections());
    let wanted = restored(&stored).plain(KEYS);
    assert!(wanted.values.len() > 40 && wanted.lists.len() > 40 && wanted.maps.len() > 40);
    let mut subtask = lazily(&stored);
    assert_eq!(subtask.plain(KEYS), wanted, "asked for");
    warm(&mut subtask);
    assert_eq!(subtask.plain(KEYS), wanted, "asked for, then warmed");
    let mut subtask = lazily(&stored);
    warm(&mut subtask);
    assert_eq!(subtask.plain(KEYS), wanted, "warmed");
    let entries: Vec<usize> = subtask.store.sizes().take(3).map(|(_, entries)| entries).collect();
    let lens = [wanted.values.len(), wanted.lists.len(), wanted.maps.len()];
    assert_eq!(entries, lens, "counted right at the end");
}

#[test]
fn what_is_removed_or_changed_before_it_was_read_stays_so() {
    let stored = stored();
    let mut subtask = lazily(&stored);
    subtask.change(&Change::Remove(1));
    subtask.change(&Change::Remove(2));
    subtask.change(&Change::Set(2, 9));
    subtask.change(&Change::Remove(3));
    subtask.change(&Change::Set(3, 9));
    subtask.change(&Change::Remove(3));
    subtask.change(&Change::Add(4, 5));
    subtask.store.evict(0, usize::MAX);
    subtask.store.evict(0, usize::MAX);
    subtask.change(&Change::Remove(4));
    let mut plain = restored(&stored).plain(KEYS);
    plain.values.retain(|key, _| ![1, 3, 4].contains(key));
    plain.values.insert(2, 9);
    warm(&mut subtask);
    assert_eq!(subtask.plain(KEYS), plain);
}

#[test]
fn deltas_and_full_snapshots_of_a_store_that_is_not_warm_hold_what_they_must() {
    let stored = stored();
    for mode in [SnapshotMode::Delta, SnapshotMode::Full] {
        let mut subtask = lazily(&stored);
        subtask.change(&Change::Set(1, 100));
        subtask.change(&Change::Remove(2));
        assert_eq!(subtask.store.warm().expect("reads"), Warmth::More);
        let wanted = {
            let mut plain = restored(&stored).plain(KEYS);
            plain.values.insert(1, 100);
            plain.values.remove(&2);
            plain
        };
        let mut round = 0;
        let written = subtask.snapshot(mode, 3, |subtask| {
            round += 1;
            subtask.change(&Change::Add(10 + round % 30, 1000));
            subtask.store.thin_out(0);
            if round % 2 == 0 {
                subtask.store.evict(0, 5);
            }
            subtask.store.warm().expect("reads");
        });
        let mut chain = if mode == SnapshotMode::Full { Vec::new() } else { stored.clone() };
        chain.extend(written);
        assert_eq!(restored(&chain).plain(KEYS), wanted, "{mode:?}");
        assert_eq!(lazily(&chain).plain(KEYS), wanted, "{mode:?}, lazily");
    }
}

/// Files that count the bytes which are read of them.
struct Counted(PlainFiles, Arc<AtomicUsize>);

impl StoredRows for Counted {
    fn checkpoint(&self) -> CheckpointId {
        self.0.checkpoint()
    }
    fn rows(&self) -> u64 {
        self.0.rows()
    }
    fn bytes(&self) -> usize {
        0
    }
    fn read(&mut self, keys: &[(KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>> {
        let rows = self.0.read(keys)?;
        let bytes = rows.iter().flatten().map(Vec::len).sum();
        self.1.fetch_add(bytes, Ordering::Relaxed);
        Ok(rows)
    }
    fn read_part(&mut self, of: (KeyGroup, &[u8]), after: Option<&[u8]>) -> Result<Vec<u8>> {
        let rows = self.0.read_part(of, after)?;
        self.1.fetch_add(rows.len(), Ordering::Relaxed);
        Ok(rows)
    }
    fn page(&mut self, wait: Wait) -> Result<StoredPage> {
        self.0.page(wait)
    }
}

/// Lists and maps, the first of each large, in a checkpoint and one that follows.
fn collections() -> Vec<StateSnapshot> {
    let mut subtask = Subtask::spilling(ALL, true);
    for key in 0..KEYS {
        let len = if key == 0 { 3_000 } else { 3 };
        subtask.change(&Change::SetList(key, (0..len).collect()));
        for pair in 0..if key == 0 { u8::MAX } else { 3 } {
            subtask.change(&Change::PutPair(key, pair, 1));
        }
    }
    let mut stored = subtask.snapshot(SnapshotMode::Full, 10, |_| {});
    subtask.store.evict(1, usize::MAX);
    (0..KEYS).step_by(3).for_each(|key| subtask.change(&Change::Push(key, 7)));
    (0..KEYS).step_by(5).for_each(|key| subtask.change(&Change::RemovePair(key, 1)));
    (0..KEYS).step_by(7).for_each(|key| subtask.change(&Change::ClearList(key)));
    (0..KEYS).step_by(14).for_each(|key| subtask.change(&Change::Push(key, 8)));
    (0..KEYS).step_by(11).skip(1).for_each(|key| subtask.change(&Change::ClearMap(key)));
    stored.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
    stored
}

fn counted(stored: &[StateSnapshot], checkpoint: u64, state: &str) -> (Subtask, Arc<AtomicUsize>) {
    let (mut subtask, bytes) = (Subtask::spilling(ALL, true), Arc::new(AtomicUsize::new(0)));
    let files = PlainFiles::of((stored, checkpoint), (state, ALL), 1_000);
    let files = Counted(files, bytes.clone());
    subtask.store.restore_from(state, Box::new(files)).expect("it is empty");
    (subtask, bytes)
}

#[test]
fn of_lists_and_maps_only_what_is_asked_for_is_read() {
    let stored = collections();
    for (state, ask) in [("lists", Change::LookAtList(1)), ("maps", Change::PutPair(1, 2, 1))] {
        let (mut subtask, bytes) = counted(&stored, 2, state);
        assert_eq!(bytes.load(Ordering::Relaxed), 0, "{state}: it may begin");
        subtask.change(&ask);
        let read = bytes.load(Ordering::Relaxed);
        assert!((1..100).contains(&read), "{state}: {read} bytes for a small one");
    }
}

#[test]
fn a_restored_list_is_added_to_unread_again_and_again() {
    let mut stored = collections();
    let mut plain = restored(&stored).plain(KEYS);
    plain.maps.clear();
    for checkpoint in 2..7_u64 {
        let (mut subtask, bytes) = counted(&stored, checkpoint, "lists");
        let push = |subtask: &mut Subtask, plain: &mut Plain, n: u64, step: usize| {
            for key in (0..KEYS + 9).step_by(step) {
                subtask.change(&Change::Push(key, n));
                plain.change(&Change::Push(key, n));
            }
        };
        push(&mut subtask, &mut plain, checkpoint * 100, 1);
        subtask.store.evict(1, usize::MAX);
        push(&mut subtask, &mut plain, checkpoint * 100 + 1, 2);
        stored.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
        assert_eq!(bytes.load(Ordering::Relaxed), 0, "nothing is read");
        // What comes behind the checkpoint is replayed by whoever restores that.
        let mut later = plain.clone();
        push(&mut subtask, &mut later, checkpoint * 100 + 2, 3);
        for _ in 0..checkpoint {
            subtask.store.warm().expect("reads");
        }
        subtask.store.evict(1, 30);
        push(&mut subtask, &mut later, checkpoint * 100 + 3, 1);
        if checkpoint % 2 == 0 {
            warm(&mut subtask);
        }
        assert_eq!(subtask.plain(KEYS + 9).lists, later.lists, "in the attempt");
        assert_eq!(restored(&stored).plain(KEYS + 9).lists, plain.lists, "restored at once");
    }
}

#[test]
fn a_list_that_is_added_to_unread_and_then_removed_does_not_come_back() {
    let stored = collections();
    let all = |subtask: &mut Subtask, change: fn(u16) -> Change| {
        (0..KEYS + 9).for_each(|key| subtask.change(&change(key)));
    };
    let mut spilled = Subtask::spilling(ALL, true);
    spilled.restore(&stored);
    spilled.store.evict(1, usize::MAX);
    for mut subtask in [spilled, counted(&stored, 2, "lists").0] {
        all(&mut subtask, |key| Change::Push(key, 1));
        all(&mut subtask, Change::ClearList);
        let mut stored = stored.clone();
        stored.extend(subtask.snapshot(SnapshotMode::Delta, 10, |_| {}));
        warm(&mut subtask);
        assert!(subtask.plain(KEYS + 9).lists.is_empty(), "in the attempt");
        assert!(restored(&stored).plain(KEYS + 9).lists.is_empty(), "restored");
    }
}

/// Files of which every block is damaged.
struct Damaged;

impl StoredRows for Damaged {
    fn checkpoint(&self) -> CheckpointId {
        CheckpointId(1)
    }
    fn rows(&self) -> u64 {
        7
    }
    fn bytes(&self) -> usize {
        0
    }
    fn read(&mut self, _: &[(KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>> {
        anyhow::bail!("block 3 of 'a.run' is damaged")
    }
    fn read_part(&mut self, _: (KeyGroup, &[u8]), _: Option<&[u8]>) -> Result<Vec<u8>> {
        anyhow::bail!("block 3 of 'a.run' is damaged")
    }
    fn page(&mut self, _: Wait) -> Result<StoredPage> {
        anyhow::bail!("block 3 of 'a.run' is damaged")
    }
}

#[test]
fn a_damaged_block_is_an_error_and_nothing_is_made_of_it() {
    let mut subtask = Subtask::spilling(ALL, true);
    subtask.store.restore_from("values", Box::new(Damaged)).expect("reads nothing");
    let error = format!("{:#}", subtask.store.warm().expect_err("damaged"));
    assert!(error.contains("state 'values'") && error.contains("'a.run'"), "{error}");
    let error = subtask.store.cut(SnapshotMode::Full).expect_err("damaged");
    assert!(format!("{error:#}").contains("'a.run'"), "{error:#}");
}

#[test]
fn only_what_can_be_read_by_key_is_restored_lazily() {
    let stored = stored();
    let files = || Box::new(PlainFiles::of((&stored, 2), ("values", ALL), 4));
    let mut subtask = Subtask::spilling(ALL, true);
    for state in ["slices", "#event-timers", "none"] {
        assert!(subtask.store.restore_from(state, files()).is_err(), "{state}");
    }
    subtask.change(&Change::Set(1, 1));
    assert!(subtask.store.restore_from("values", files()).is_err(), "it holds something");
    let mut untracked = Subtask::spilling(ALL, false);
    assert!(untracked.store.restore_from("values", files()).is_err(), "no deltas can follow");
}
