//! A state many times its memory: what is kept about the rest must leave room for entries.

use std::sync::Arc;

use crate::checkpoint::SnapshotMode;
use crate::data::Rmp;
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHasher};
use crate::state::{Declare, ResidentMemory};
use crate::testing::MemorySpillDoor;

const MEMORY_BYTES: usize = 1 << 20;
const KEYS: u64 = 400_000;
const BATCH: u64 = 500;

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

/// What nobody asks for any more makes room for what is used now, though that could do without.
#[test]
fn a_state_that_rests_gives_way_to_one_that_is_used() {
    let mut declare = Declare::<u64>::new(KeyGroupRange::all(16), true);
    let resting = declare.table::<u64, _>("resting", Rmp);
    let used = declare.table::<u64, _>("used", Rmp);
    let mut store = declare.finish().0;
    let memory = Arc::new(ResidentMemory::new(MEMORY_BYTES));
    store.limit(memory.clone(), Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
    let mut hasher = KeyHasher::default();
    for (slot, keys, rounds) in [(resting, 30_000, 1), (used, 60_000, 10)] {
        for key in (0..rounds).flat_map(|_| 0..keys) {
            let hash = hasher.hash(&key).expect("a number");
            *store.get_mut(slot).or_insert_with(hash, &key, || 0).expect("is there or new") += 1;
            if key % BATCH == 0 {
                store.relieve().expect("spills");
                drop(store.snapshot(SnapshotMode::Delta).expect("numbers encode"));
            }
        }
    }
    let here = [resting, used].map(|slot| store.get(slot).len_here());
    assert!(here[1] > 4 * here[0], "{here:?} entries");
}
