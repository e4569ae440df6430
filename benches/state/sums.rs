//! A running sum, and a count, in the engine's state as its operators do it: a batch at a time,
//! hash once, read ahead what is spilled, update, give memory back.

use std::sync::Arc;

use riverrun::engine::data::Rmp;
use riverrun::engine::element::BATCH_RECORDS;
use riverrun::engine::graph::Uid;
use riverrun::engine::key::{KEY_GROUPS, KeyGroupRange, KeyHash, KeyHasher};
use riverrun::engine::state::spill::SpillDoor;
use riverrun::engine::state::{Declare, ResidentMemory, SliceTable, Slot, StateStore, Table};
use riverrun::engine::time::at;
use riverrun::runtime::config::Bytes;
use riverrun::runtime::state::memory::{MemoryNeeds, MemoryPlan};
use riverrun::runtime::state::{SPILLING, SpillPlace, spill_door};
use tempfile::TempDir;

/// What is done with each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// The sum of a key is read, changed and answered.
    Sum,
    /// A window's count of a key: nobody asks what it is.
    Count,
}

/// One subtask's state.
pub(crate) struct Sums {
    store: StateStore,
    sums: Slot<Table<u64, u64>>,
    counts: Slot<SliceTable<u64, u64>>,
    memory: Arc<ResidentMemory>,
    hasher: KeyHasher,
    hashed: Vec<(KeyHash, u64)>,
    _folder: TempDir,
}

impl Sums {
    /// All in memory.
    pub(crate) fn resident() -> anyhow::Result<Sums> {
        Sums::with(ResidentMemory::new(usize::MAX), None, tempfile::tempdir()?)
    }

    /// In `budget` as a process divides it; the rest is spilled.
    pub(crate) fn within(budget: Bytes) -> anyhow::Result<Sums> {
        let needs = MemoryNeeds {
            stateful_subtasks: 1,
            forward_channels: 0,
            exchange_channels: 0,
            connectors: Bytes::default(),
            spilling: SPILLING,
        };
        let plan = MemoryPlan::divide(budget, &needs)?;
        let folder = tempfile::tempdir()?;
        let place = SpillPlace {
            dir: folder.path().to_path_buf(),
            job: "bench".to_owned(),
            attempt: "1".to_owned(),
            memory: plan.spill,
        };
        let resident = usize::try_from(plan.resident_per_subtask.0)?;
        Sums::with(ResidentMemory::new(resident), spill_door(&place)?, folder)
    }

    fn with(
        memory: ResidentMemory,
        door: Option<Arc<dyn SpillDoor>>,
        folder: TempDir,
    ) -> anyhow::Result<Sums> {
        let mut declare = Declare::<u64>::new(KeyGroupRange::all(KEY_GROUPS), true);
        let sums = declare.table::<u64, _>("sum", Rmp);
        let counts = declare.sliced::<u64>("count");
        let (mut store, _) = declare.finish();
        let memory = Arc::new(memory);
        store.limit(memory.clone(), door, (&Uid::new("bench"), 0));
        let (hasher, hashed) = (KeyHasher::default(), Vec::with_capacity(BATCH_RECORDS));
        Ok(Sums { store, sums, counts, memory, hasher, hashed, _folder: folder })
    }

    /// What is written for checkpoints, and cut.
    pub(crate) fn store(&mut self) -> &mut StateStore {
        &mut self.store
    }

    /// Bytes that all entries take in memory, when last asked.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.taken()
    }

    /// Adds 1 for each key; answers the sum of what was answered.
    pub(crate) fn add(&mut self, update: Update, keys: &[u64]) -> anyhow::Result<u64> {
        let mut answered = 0_u64;
        for batch in keys.chunks(BATCH_RECORDS) {
            self.hashed.clear();
            for key in batch {
                self.hashed.push((self.hasher.hash(key)?, *key));
            }
            let table = match update {
                Update::Sum => self.store.get_mut(self.sums),
                Update::Count => self.store.get_mut(self.counts).slice_mut(at(0)),
            };
            table.prefetch(self.hashed.iter().map(|(hash, key)| (*hash, key)))?;
            for (hash, key) in &self.hashed {
                let sum = table.or_insert_with(*hash, key, || 0)?;
                *sum += 1;
                if update == Update::Sum {
                    answered = answered.wrapping_add(*sum);
                }
            }
            self.store.relieve()?;
        }
        Ok(answered)
    }
}
