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
    assert!(mean > 20_000, "{mean} entries in {MEMORY_BYTES} bytes");
    assert_eq!(store.get(slot).len(), usize::try_from(KEYS).expect("fits"));
    for key in (0..KEYS).step_by(997) {
        let hash = hasher.hash(&key).expect("a number");
        assert_eq!(store.get_mut(slot).get(hash, &key).expect("reads"), Some(&key));
    }
}
