//! What must be so in particular.

use super::model::{Change, GROUPS, Subtask};
use crate::checkpoint::{SnapshotMode, StateSnapshot, Turnover};
use crate::key::KeyGroupRange;

fn subtask() -> Subtask {
    Subtask::new(KeyGroupRange::all(GROUPS), true)
}

fn entries(snapshot: &[StateSnapshot]) -> u64 {
    snapshot.iter().flat_map(|state| &state.sections).map(|section| section.entries).sum()
}

fn delta(subtask: &mut Subtask) -> Vec<StateSnapshot> {
    subtask.snapshot(SnapshotMode::Delta, 1000, |_| {})
}

#[test]
fn what_comes_and_goes_between_two_barriers_is_never_written() {
    let mut subtask = subtask();
    for key in 0..100 {
        subtask.change(&Change::Set(key, 1));
        subtask.change(&Change::Push(key, 1));
        subtask.change(&Change::PutPair(key, 1, 1));
        subtask.change(&Change::AddToSlice(1, key, 1));
        subtask.change(&Change::SetTimer(1, key));
        subtask.change(&Change::Remove(key));
        subtask.change(&Change::ClearList(key));
        subtask.change(&Change::ClearMap(key));
    }
    subtask.change(&Change::DropSlices(2));
    subtask.change(&Change::Fire(2));
    assert_eq!(entries(&delta(&mut subtask)), 0);
}

#[test]
fn how_much_of_a_state_changed_is_known_while_it_is_in_memory() {
    let mut subtask = Subtask::spilling(KeyGroupRange::all(GROUPS), true);
    let mut after = |changes: Vec<Change>, mode, state: &str| {
        changes.iter().for_each(|change| subtask.change(change));
        let snapshot = subtask.snapshot(mode, 1000, |_| {});
        snapshot.iter().find(|own| own.state == state).expect("is declared").turnover
    };
    let of = |changed, entries| Some(Turnover { changed, entries });
    let add = |keys: std::ops::Range<u16>| keys.map(|key| Change::Add(key, 1)).collect();
    let delta = SnapshotMode::Delta;
    assert_eq!(after(add(0..100), SnapshotMode::Full, "values"), of(100, 100));
    assert_eq!(after(add(50..100), delta, "values"), of(50, 100));
    assert_eq!(after(add(99..101), SnapshotMode::Full, "values"), of(2, 101));
    assert_eq!(after(Vec::new(), delta, "values"), of(0, 101));
    let come_and_gone = (200..300).flat_map(|key| [Change::Add(key, 1), Change::Remove(key)]);
    assert_eq!(after(come_and_gone.collect(), delta, "values"), of(0, 101));
    let split = after(add(0..20_000), delta, "values").expect("in memory");
    assert!(
        split.entries == 20_000 && split.changed > 19_000,
        "{split:?}: about, as segments split"
    );
    assert_eq!(after(Vec::new(), delta, "lists"), of(0, 0));
    assert_eq!(after(vec![Change::Push(1, 1)], delta, "lists"), None, "of many rows");
    let slices = (0..40).map(|key| Change::AddToSlice(key as u8 % 4, key, 1)).collect();
    assert_eq!(after(slices, delta, "slices"), of(40, 40));
    assert_eq!(after(vec![Change::DropSlices(2)], delta, "slices"), of(0, 20));
    subtask.store.evict(0, 50);
    assert_eq!(self::delta(&mut subtask)[0].turnover, None, "some of it was evicted");
}

#[test]
fn a_small_change_of_a_large_collection_is_a_small_write() {
    let mut subtask = subtask();
    subtask.change(&Change::SetList(1, (0..100_000).collect()));
    for pair in 0..=255 {
        subtask.change(&Change::PutPair(1, pair, 1));
    }
    delta(&mut subtask);
    subtask.change(&Change::Push(1, 7));
    subtask.change(&Change::PutPair(1, 3, 7));
    subtask.change(&Change::RemovePair(1, 4));
    let written = delta(&mut subtask);
    assert_eq!(entries(&written), 3);
    let bytes: usize = written.iter().flat_map(|s| &s.sections).map(|s| s.bytes.len()).sum();
    assert!(bytes < 60, "{bytes} bytes");
}

#[test]
fn a_segment_that_splits_while_it_is_written_loses_nothing() {
    const KEYS: u16 = 60_000;
    let mut subtask = subtask();
    for key in 0..KEYS / 4 {
        subtask.change(&Change::Add(key, 1));
    }
    let mut stored = subtask.snapshot(SnapshotMode::Full, 1000, |_| {});
    for key in 0..KEYS / 4 {
        subtask.change(&Change::Add(key, u64::from(key % 3)));
    }
    let wanted = subtask.plain(KEYS);
    let mut next = KEYS / 4;
    stored.extend(subtask.snapshot(SnapshotMode::Delta, 500, |subtask| {
        // New keys split the segments, old ones change behind the barrier.
        for key in (next..KEYS).take(3000) {
            subtask.change(&Change::Add(key, 1));
            subtask.change(&Change::Add(key % (KEYS / 4), 5));
            next = key + 1;
        }
    }));
    assert!(next > KEYS / 2, "the segments have split");
    let now = subtask.plain(KEYS);
    let mut restored = super::pointed::subtask();
    restored.restore(&stored);
    assert_eq!(restored.plain(KEYS), wanted, "the barrier's state");
    stored.extend(delta(&mut subtask));
    let mut restored = super::pointed::subtask();
    restored.restore(&stored);
    assert_eq!(restored.plain(KEYS), now, "the state after it");
}

#[test]
fn many_timers_of_one_key_share_a_segment() {
    let mut subtask = subtask();
    for key in 0..3 {
        for at in 0..=u8::MAX {
            subtask.change(&Change::SetTimer(at, key));
        }
    }
    let fired = subtask.fire(u8::MAX);
    assert_eq!(fired.len(), 3 * 256);
    assert!(fired.is_sorted(), "by moment, then by key");
}

#[test]
fn what_is_spilled_is_part_of_a_full_snapshot_and_comes_back() {
    const KEYS: u16 = 24;
    for tracked in [true, false] {
        let mut subtask = Subtask::spilling(KeyGroupRange::all(GROUPS), tracked);
        for key in 0..KEYS {
            subtask.change(&Change::Set(key, 1));
            subtask.change(&Change::SetList(key, (0..u64::from(key) * 700).collect()));
            for pair in 0..=u8::MAX {
                subtask.change(&Change::PutPair(key, pair, u64::from(pair)));
            }
            subtask.change(&Change::AddToSlice(2, key, 5));
        }
        let wanted = subtask.plain(KEYS);
        for state in 0..4 {
            subtask.store.evict(state, usize::MAX);
        }
        subtask.change(&Change::Look(3));
        let stored = subtask.snapshot(SnapshotMode::Full, 100, |_| {});
        let mut restored = super::pointed::subtask();
        restored.restore(&stored);
        assert_eq!(restored.plain(KEYS), wanted, "tracked {tracked}: restored");
        assert_eq!(subtask.plain(KEYS), wanted, "tracked {tracked}: fetched again");
    }
}

#[test]
fn a_list_that_comes_back_while_all_is_written_is_written_once() {
    const KEYS: u16 = 300;
    for moment in 0..24 {
        let mut subtask = Subtask::spilling(KeyGroupRange::all(GROUPS), true);
        for key in 0..KEYS {
            subtask.change(&Change::SetList(key, vec![u64::from(key); 3]));
        }
        delta(&mut subtask);
        subtask.store.evict(1, usize::MAX);
        let wanted = lists_of(&mut subtask);
        // Of every third only the tail is in memory at the barrier.
        (0..KEYS).step_by(3).for_each(|key| subtask.change(&Change::Push(key, 7)));
        assert_eq!(lists_of(&mut subtask), wanted, "each counts once");
        let (mut steps, mut next) = (0, 0);
        let stored = subtask.snapshot(SnapshotMode::Full, 40, |subtask| {
            steps += 1;
            for key in (next..KEYS).take(if steps > moment / 2 { 60 } else { 0 }) {
                subtask.change(&Change::Push(key, 9));
                if moment % 2 == 0 {
                    subtask.change(&Change::LookAtList(key));
                }
                next = key + 1;
            }
        });
        let mut restored = super::pointed::subtask();
        restored.restore(&stored);
        let lists = restored.plain(KEYS).lists;
        assert_eq!(lists.len(), wanted, "after {moment} halves of steps");
        for (key, list) in lists {
            let mut as_it_was = vec![u64::from(key); 3];
            as_it_was.extend(key.is_multiple_of(3).then_some(7));
            assert_eq!(list, as_it_was, "after {moment} halves of steps");
        }
    }
}

fn lists_of(subtask: &mut Subtask) -> usize {
    subtask.store.sizes().find(|(name, _)| *name == "lists").map_or(0, |(_, entries)| entries)
}

#[test]
fn a_timer_that_is_deleted_and_set_again_costs_no_more_each_time() {
    let mut subtask = subtask();
    for _ in 0..50_000 {
        subtask.change(&Change::SetTimer(200, 1));
        subtask.change(&Change::DeleteTimer(200, 1));
    }
    subtask.change(&Change::SetTimer(200, 1));
    assert_eq!(subtask.fire(u8::MAX).len(), 1);
}

#[test]
fn one_large_value_does_not_make_all_look_large() {
    let mut subtask = Subtask::new(KeyGroupRange::all(GROUPS), true);
    for key in 0..20_000 {
        subtask.change(&Change::SetList(key, vec![1]));
    }
    subtask.change(&Change::SetList(7, vec![1; 200_000]));
    delta(&mut subtask);
    let memory = std::sync::Arc::new(crate::state::ResidentMemory::new(64 << 20));
    subtask.store.limit(memory.clone(), None, (&crate::graph::Uid::new("test"), 0));
    for _ in 0..500 {
        subtask.store.relieve().expect("it fits");
    }
    assert!(memory.taken() > 1 << 20, "{}", memory.taken());
}
