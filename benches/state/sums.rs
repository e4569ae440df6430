//! A running sum, and a window's count, in the engine's state as its operators do it: a batch at a
//! time, hash once, read ahead what is spilled, update, give memory back. Within a budget, which
//! subtasks share, deltas are cut and written as of a job with checkpoints, and thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use riverrun::engine::checkpoint::SnapshotMode;
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

/// From one delta to the next, within a budget.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

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
    hashes: Vec<KeyHash>,
    /// Keys, each with what is added to it.
    items: Vec<(u64, u64)>,
    /// When the last delta was cut; none are where there is no budget.
    cut: Option<Instant>,
    _folder: Arc<TempDir>,
}

impl Sums {
    /// All in memory.
    pub(crate) fn resident() -> anyhow::Result<Sums> {
        let memory = Arc::new(ResidentMemory::new(usize::MAX));
        Sums::with((0, 1), memory, None, Arc::new(tempfile::tempdir()?))
    }

    /// Of so many subtasks in `budget`, as a process divides it; the rest is spilled.
    pub(crate) fn within(budget: Bytes, subtasks: u32) -> anyhow::Result<Vec<Sums>> {
        let needs = MemoryNeeds {
            stateful_subtasks: subtasks.into(),
            channel_records: 0,
            connectors: Bytes::default(),
            spilling: SPILLING,
        };
        let plan = MemoryPlan::divide(budget, &needs)?;
        let folder = Arc::new(tempfile::tempdir()?);
        let resident = plan.resident_per_subtask.0 * u64::from(subtasks);
        let resident = Arc::new(ResidentMemory::new(usize::try_from(resident)?));
        let place = SpillPlace {
            dir: folder.path().to_path_buf(),
            job: "bench".to_owned(),
            attempt: "1".to_owned(),
            memory: plan.spill,
            lent: Bytes(resident.lent_max() as u64),
        };
        let door = spill_door(&place)?;
        let one =
            |index| Sums::with((index, subtasks), resident.clone(), door.clone(), folder.clone());
        (0..subtasks).map(one).collect()
    }

    fn with(
        (index, subtasks): (u32, u32),
        memory: Arc<ResidentMemory>,
        door: Option<Arc<dyn SpillDoor>>,
        folder: Arc<TempDir>,
    ) -> anyhow::Result<Sums> {
        let range = KeyGroupRange::of_subtask(index, subtasks, KEY_GROUPS);
        let mut declare = Declare::<u64>::new(range, true);
        let sums = declare.table::<u64, _>("sum", Rmp);
        let counts = declare.sliced_merging("count", |held: &mut u64, later| *held += later);
        let (mut store, _) = declare.finish();
        store.limit(memory.clone(), door, (&Uid::new("bench"), index));
        let hasher = KeyHasher::default();
        let (hashes, items) = (Vec::new(), Vec::new());
        let cut = (memory.bytes_max() < usize::MAX).then(Instant::now);
        Ok(Sums { store, sums, counts, memory, hasher, hashes, items, cut, _folder: folder })
    }

    /// What is written for checkpoints, and cut.
    pub(crate) fn store(&mut self) -> &mut StateStore {
        &mut self.store
    }

    /// Bytes that all entries take in memory, when last asked.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.taken()
    }

    /// Adds 1 for each key of this subtask's; answers the sum of what was answered.
    pub(crate) fn add(&mut self, update: Update, keys: &[u64]) -> anyhow::Result<u64> {
        let mut answered = 0_u64;
        let mut keys = keys.iter();
        while self.next_batch(&mut keys)? {
            match update {
                Update::Sum => answered = answered.wrapping_add(self.add_sums()?),
                Update::Count => {
                    let counts = self.store.get_mut(self.counts).slice_mut(at(0));
                    let add = |count: &mut u64, n: &u64| *count += n;
                    counts.each_or_insert_with(&self.hashes, &mut self.items.iter(), || 0, add)?;
                }
            }
            self.store.relieve()?;
            if let Some(cut) = &mut self.cut
                && cut.elapsed() >= INTERVAL
            {
                *cut = Instant::now();
                drop(self.store.snapshot(SnapshotMode::Delta)?);
            }
        }
        Ok(answered)
    }

    /// Takes the next keys of this subtask's; whether there are any.
    fn next_batch(&mut self, keys: &mut std::slice::Iter<'_, u64>) -> anyhow::Result<bool> {
        self.hashes.clear();
        self.items.clear();
        for key in keys {
            let hash = self.hasher.hash(key)?;
            if self.store.range().contains(hash.group(KEY_GROUPS)) {
                self.hashes.push(hash);
                self.items.push((*key, 1));
            }
            if self.items.len() == BATCH_RECORDS {
                break;
            }
        }
        Ok(!self.items.is_empty())
    }

    fn add_sums(&mut self) -> anyhow::Result<u64> {
        let table = self.store.get_mut(self.sums);
        let mut answered = 0_u64;
        let add = |sum: &mut u64, n: &u64| {
            *sum += n;
            answered = answered.wrapping_add(*sum);
        };
        table.each_or_insert_with(&self.hashes, &mut self.items.iter(), || 0, add)?;
        Ok(answered)
    }

    /// What all counts are together, walked as a window does that fires; merging is adding here.
    pub(crate) fn counted(&mut self) -> anyhow::Result<u64> {
        let counts = self.store.get_mut(self.counts).slice_mut(at(0));
        let mut counted = 0_u64;
        for group in 0..counts.group_count() {
            let parts = counts.parts(group);
            for part in 0..parts {
                counts.walk_part(group, (part, parts), |_, _, count| counted += count)?;
            }
        }
        Ok(counted)
    }
}
