//! A state many times its memory: what is kept about the rest must leave room for entries.

use std::sync::Arc;

use crate::checkpoint::SnapshotMode;
use crate::data::Rmp;
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHasher};
use crate::state::{Declare, ResidentMemory, Slot, StateStore, Table};
use crate::testing::MemorySpillDoor;

const MEMORY_BYTES: usize = 1 << 20;
const KEYS: u64 = 400_000;
const BATCH: u64 = 500;

fn spilling(groups: u16) -> (StateStore, Slot<Table<u64, u64>>) {
    let mut declare = Declare::<u64>::new(KeyGroupRange::all(groups), true);
    let slot = declare.table::<u64, _>("sums", Rmp);
    let mut store = declare.finish().0;
    let memory = Arc::new(ResidentMemory::new(usize::MAX));
    store.limit(memory, Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
    (store, slot)
}

/// Adds 1 to each.
fn add(store: &mut StateStore, slot: Slot<Table<u64, u64>>, keys: std::ops::Range<u64>) {
    let mut hasher = KeyHasher::default();
    for key in keys {
        let hash = hasher.hash(&key).expect("a number");
        *store.get_mut(slot).or_insert_with(hash, &key, || 0).expect("is there or new") += 1;
    }
}

#[test]
fn the_filter_of_spilled_keys_leaves_room_for_entries() {
    let mut declare = Declare::<u64>::new(KeyGroupRange::all(16), true);
    let slot = declare.table::<u64, _>("sum", Rmp);
    let mut store = declare.finish().0;
    let memory = Arc::new(ResidentMemory::new(MEMORY_BYTES));
    store.limit(memory.clone(), Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
    let mut hasher = KeyHasher::default();
    let mut here = Vec::new();
    for first in (0..KEYS).step_by(BATCH as usize) {
        let table = store.get_mut(slot);
        for key in first..first + BATCH {
            let hash = hasher.hash(&key).expect("a number");
            *table.or_insert_with(hash, &key, || 0).expect("is there or new") += key;
        }
        store.relieve().expect("spills");
        // What is evicted before it was written waits in memory for the next delta.
        drop(store.snapshot(SnapshotMode::Delta).expect("numbers encode"));
        if first > KEYS / 2 {
            here.push(store.get(slot).len_here());
        }
    }
    let mean = here.iter().sum::<usize>() / here.len();
    assert!(mean > 22_000, "{mean} entries in {MEMORY_BYTES} bytes");
    assert_eq!(store.get(slot).len(), usize::try_from(KEYS).expect("fits"));
    for key in (0..KEYS).step_by(997) {
        let hash = hasher.hash(&key).expect("a number");
        assert_eq!(store.get_mut(slot).get(hash, &key).expect("reads"), Some(&key));
    }
}

/// What nobody asks for any more gives way although it does not grow, one segment in four at a look
/// (in tests), once all of them were asked whether they are used.
#[test]
fn what_rests_gives_way_where_it_is_asked_to() {
    let (mut store, slot) = spilling(16);
    add(&mut store, slot, 0..1_280);
    let mut look = |rests| {
        let table = store.get_mut(slot);
        table.thin(rests).expect("spills");
        table.len_here()
    };
    assert!((0..100).all(|_| look(false) == 1_280), "nothing is crowded");
    assert!((0..4).all(|_| look(true) == 1_280), "all was used");
    let here = [look(true), look(true), look(true), look(true)];
    assert!(here.is_sorted_by(|a, b| a > b), "{here:?} entries");
    assert_eq!(here[3], 0);
    assert_eq!(store.get(slot).len(), 1_280);
}

/// What comes meanwhile does not bring the question back to those that were asked just before: who
/// is used once in each round stays.
#[test]
fn each_is_asked_once_in_a_round() {
    const HOT: u64 = 400;
    let (mut store, slot) = spilling(1);
    add(&mut store, slot, 0..800);
    let (mut before, mut rounds) = (0, 0);
    for look in 0..1_000 {
        add(&mut store, slot, 1_000 * (look + 1)..1_000 * (look + 1) + 40);
        let table = store.get_mut(slot);
        table.thin(false).expect("spills");
        let hand = table.segments[0].hand;
        if hand < before {
            rounds += 1;
            // The first use of what comes back does not count.
            (0..2).for_each(|_| add(&mut store, slot, 0..HOT));
        }
        before = hand;
    }
    let table = store.get(slot);
    let is_here = |key: &u64| table.is_here(KeyHasher::default().hash(key).expect("a number"), key);
    let here = (0..HOT).filter(is_here).count();
    assert!(rounds > 10, "{rounds}");
    assert!(here > 390, "{here} after {rounds} rounds");
}

#[test]
fn behind_the_last_place_a_round_begins() {
    let (mut store, slot) = spilling(1);
    add(&mut store, slot, 0..840);
    let table = store.get_mut(slot);
    table.thin(false).expect("spills");
    assert_eq!(table.len_here(), 840, "all was used");
    table.segments[0].hand = 1_024;
    table.thin(false).expect("spills");
    assert_eq!(table.len_here(), 735, "an eighth left");
}

/// Of a segment that would soon grow, an eighth leaves: what was not used since the look before.
/// It goes on where it stopped, so that what stays is not asked first the next time.
#[test]
fn what_is_crowded_loses_an_eighth_of_what_is_not_used() {
    let (mut store, slot) = spilling(1);
    // 1024 places take 896 entries.
    add(&mut store, slot, 0..840);
    let look = |store: &mut StateStore| {
        let table = store.get_mut(slot);
        table.thin(false).expect("spills");
        (table.len_here(), table.segments[0].hand)
    };
    assert_eq!(look(&mut store), (840, 0), "all was used");
    let (here, first) = look(&mut store);
    assert_eq!(here, 735, "an eighth of all");
    assert!((100..160).contains(&first), "an eighth of the places: {first}");
    assert_eq!(look(&mut store), (735, first), "there is room again");
    add(&mut store, slot, 1_000..1_100);
    let (here, hand) = look(&mut store);
    assert_eq!(here, 835 - 105, "an eighth, none of what is new");
    assert!(hand > first + 100, "new ones were passed: {hand}");
    add(&mut store, slot, 2_000..2_110);
    let (here, later) = look(&mut store);
    assert!(here < 840 && later > hand, "{here} entries, from {hand} to {later}");
    assert_eq!(store.get(slot).len(), 840 + 100 + 110);
    add(&mut store, slot, 0..840);
    let table = store.get_mut(slot);
    for key in 0..840_u64 {
        let hash = KeyHasher::default().hash(&key).expect("a number");
        assert_eq!(table.get(hash, &key).expect("reads"), Some(&2), "of {key}");
    }
}
