//! Batches whose keys make a table grow and its segments split while they are applied, between cuts
//! that are written meanwhile and evictions, against a plain map.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::data::{Key, Rmp};
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHasher};
use crate::state::cut::Budget;
use crate::state::{Declare, ResidentMemory, Slot, StateStore, Table};
use crate::testing::MemorySpillDoor;

/// One key group, so that a few thousand keys split its segment.
const GROUPS: u16 = 1;
/// More than fit into one segment, twice over.
const KEYS: u64 = 9_000;

struct Sums<K> {
    store: StateStore,
    sums: Slot<Table<K, u64>>,
    hasher: KeyHasher,
    key: fn(u64) -> K,
}

impl<K: Key> Sums<K> {
    fn new(key: fn(u64) -> K) -> Self {
        let mut op = Declare::<K>::new(KeyGroupRange::all(GROUPS), true);
        let sums = op.table("sums", Rmp);
        let mut store = op.finish().0;
        let memory = Arc::new(ResidentMemory::new(usize::MAX));
        store.limit(memory, Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
        Sums { store, sums, hasher: KeyHasher::default(), key }
    }

    fn add(&mut self, numbers: &[u64]) {
        let keys: Vec<K> = numbers.iter().map(|n| (self.key)(*n)).collect();
        let hashes = self.hasher.hash_all(&keys).expect("hashes");
        let mut items = keys.into_iter().map(|key| (key, 1)).collect::<Vec<_>>().into_iter();
        let table = self.store.get_mut(self.sums);
        table.each_or_insert_with(&hashes, &mut items, || 0, |sum, n| *sum += n).expect("adds");
    }

    fn sum(&mut self, number: u64) -> u64 {
        let key = (self.key)(number);
        let hash = self.hasher.hash(&key).expect("hashes");
        let held = self.store.get_mut(self.sums).get(hash, &key).expect("reads");
        held.copied().unwrap_or(0)
    }

    fn holds(&mut self, plain: &BTreeMap<u64, u64>) -> Result<(), TestCaseError> {
        for number in 0..KEYS {
            let wanted = plain.get(&number).copied().unwrap_or(0);
            prop_assert_eq!(self.sum(number), wanted, "of {}", number);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Step {
    /// The first of the keys that follow one another, and how many are new or not.
    first: u64,
    records: u64,
    /// What the keys are multiplied by: beyond 1 they repeat within the batch.
    stride: u64,
    cut: bool,
    /// Entries that are written of the last cut, and evicted.
    written: usize,
    evicted: usize,
    thinned: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let records = (0..KEYS, 1..1_500_u64, 1..4_000_u64);
    let evicted = prop_oneof![3 => Just(0_usize), 1 => 1..800_usize];
    let chances = (prop::bool::weighted(0.3), prop::bool::weighted(0.4));
    (records, 0..900_usize, evicted, chances).prop_map(
        |((first, records, stride), written, evicted, (cut, thinned))| Step {
            first,
            records,
            stride,
            cut,
            written,
            evicted,
            thinned,
        },
    )
}

fn runs<K: Key>(key: fn(u64) -> K, steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut sums, mut plain) = (Sums::new(key), BTreeMap::<u64, u64>::new());
    let mut stored: Vec<StateSnapshot> = Vec::new();
    let (mut at_cut, mut writing) = (BTreeMap::new(), false);
    let finish = |sums: &mut Sums<K>, stored: &mut Vec<StateSnapshot>| {
        while !sums.store.write_within(&mut Budget { entries: 500 }).expect("encodes") {}
        stored.extend(sums.store.take_snapshot());
    };
    for step in steps {
        let key = |i| (step.first + i * step.stride) % KEYS;
        let numbers: Vec<u64> = (0..step.records).map(key).collect();
        if step.cut {
            if std::mem::replace(&mut writing, true) {
                finish(&mut sums, &mut stored);
            }
            sums.store.cut(SnapshotMode::Delta).expect("encodes");
            at_cut = plain.clone();
        }
        sums.add(&numbers);
        numbers.iter().for_each(|number| *plain.entry(*number).or_default() += 1);
        if step.thinned {
            sums.store.thin_out(0);
        }
        if step.evicted > 0 {
            sums.store.evict(0, step.evicted);
        }
        if writing
            && sums.store.write_within(&mut Budget { entries: step.written }).expect("encodes")
        {
            stored.extend(sums.store.take_snapshot());
            writing = false;
        }
    }
    sums.holds(&plain)?;
    if writing {
        finish(&mut sums, &mut stored);
    }
    let mut again = Sums::new(key);
    for snapshot in &stored {
        for section in &snapshot.sections {
            again.store.restore(&snapshot.state, section.group, &section.bytes).expect("reads");
        }
    }
    again.holds(&at_cut)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batches_add_up_while_segments_split(steps in prop::collection::vec(step(), 1..24)) {
        runs(|n| n, &steps)?;
        runs(|n| format!("key {n}"), &steps)?;
    }
}
