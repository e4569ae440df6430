//! What a lazy restore leaves to be read, case by case; [`super::random`] has it among all else.

use super::files::PlainFiles;
use super::model::{Change, GROUPS, Subtask};
use crate::checkpoint::{CheckpointId, SnapshotMode, StateSnapshot};
use crate::key::KeyGroupRange;
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
    let stored = stored();
    let wanted = restored(&stored).plain(KEYS);
    assert!(wanted.values.len() > 40);
    let mut subtask = lazily(&stored);
    assert_eq!(subtask.plain(KEYS), wanted, "asked for");
    warm(&mut subtask);
    assert_eq!(subtask.plain(KEYS), wanted, "asked for, then warmed");
    let mut subtask = lazily(&stored);
    warm(&mut subtask);
    assert_eq!(subtask.plain(KEYS), wanted, "warmed");
    let entries = subtask.store.sizes().next().map(|(_, entries)| entries);
    assert_eq!(entries, Some(wanted.values.len()), "counted right at the end");
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
            subtask.store.evict(0, 5);
            subtask.store.warm().expect("reads");
        });
        let mut chain = if mode == SnapshotMode::Full { Vec::new() } else { stored.clone() };
        chain.extend(written);
        assert_eq!(restored(&chain).plain(KEYS), wanted, "{mode:?}");
        assert_eq!(lazily(&chain).plain(KEYS), wanted, "{mode:?}, lazily");
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
    fn read(&mut self, _: &[(crate::key::KeyGroup, &[u8])]) -> Result<Vec<Option<Vec<u8>>>> {
        anyhow::bail!("block 3 of 'a.run' is damaged")
    }
    fn read_part(&mut self, _: (crate::key::KeyGroup, &[u8]), _: Option<&[u8]>) -> Result<Vec<u8>> {
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
