//! Drives an operator at any parallelism, with snapshots (full and delta) and restores at another.

use std::sync::Arc;

use riverrun_engine::checkpoint::{OperatorSnapshot, RestoredTime, SnapshotMode};
use riverrun_engine::clock::ManualClock;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::erased::{AnyBatch, ErasedOperator, OperatorEnv};
use riverrun_engine::graph::{OpenOperator, Uid};
use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange, KeyHasher};
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::operator::Firing;
use riverrun_engine::output::Port;
use riverrun_engine::state::ResidentMemory;
use riverrun_engine::testing::MemorySpillDoor;
use riverrun_engine::time::{Timestamp, millis};

use crate::window::Windowed;

/// A record: key, item, timestamp.
pub(super) type Record = (u64, i64, i64);

/// A batch of keyed records, as it leaves `key_by`.
pub(super) fn batch(records: &[Record]) -> Batch<(u64, i64)> {
    let mut hasher = KeyHasher::default();
    let mut batch = Batch::default();
    for (key, item, at) in records {
        let hash = hasher.hash(key).expect("integers have a hash");
        batch.push_keyed((*key, *item), Timestamp::from_millis(*at), hash);
    }
    batch
}

/// A result: key, window's start and end, value.
pub(super) type Row<V> = (u64, i64, i64, V);

struct Subtask {
    range: KeyGroupRange,
    operator: Box<dyn ErasedOperator>,
    /// What it was restored at, if not all of its key groups were.
    behind: Option<i64>,
}

/// Whether state has room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// All there is.
    Plenty,
    /// None: it is spilled whenever it is looked at.
    None,
}

/// After so many batches a store has looked at its memory.
const LOOKED_WITHIN: usize = 20;

/// The snapshots of each subtask, oldest first.
pub(super) type Saved = Vec<Vec<OperatorSnapshot>>;

/// All subtasks of one operator.
pub(super) struct Driver {
    subtasks: Vec<Subtask>,
    env: OperatorEnv,
    room: Room,
    /// The most batches one call emitted.
    pub(super) most_batches: usize,
}

impl Driver {
    pub(super) fn open(open: &OpenOperator, parallelism: u32, room: Room) -> Self {
        let subtask = |index| {
            let range = KeyGroupRange::of_subtask(index, parallelism, KEY_GROUPS);
            let mut operator = open(range, true).operator;
            if room == Room::None {
                let (memory, door) = (ResidentMemory::new(1), MemorySpillDoor);
                operator.limit(
                    Arc::new(memory),
                    Some(Arc::new(door)),
                    (&Uid::new("window"), index),
                );
            }
            Subtask { range, operator, behind: None }
        };
        let metrics = Arc::new(OperatorMetrics::default());
        let env = OperatorEnv { metrics, clock: Arc::new(ManualClock::default()) };
        Driver { subtasks: (0..parallelism).map(subtask).collect(), env, room, most_batches: 0 }
    }

    pub(super) fn restore(
        open: &OpenOperator,
        parallelism: u32,
        room: Room,
        saved: &Saved,
    ) -> Self {
        let mut driver = Driver::open(open, parallelism, room);
        let last = saved.iter().filter_map(|chain| chain.last());
        let watermarks: Vec<Timestamp> = last.map(|snapshot| snapshot.watermark).collect();
        for Subtask { range, operator, behind } in &mut driver.subtasks {
            for state in saved.iter().flatten().flat_map(|snapshot| &snapshot.states) {
                for section in state.sections.iter().filter(|s| range.contains(s.group)) {
                    let (group, bytes) = (section.group, &section.bytes);
                    operator.restore(&state.state, group, bytes).expect("restores");
                }
            }
            let time = RestoredTime::of(&watermarks, *range);
            operator.restored(&time).expect("restores");
            *behind = time.is_uneven().then(|| time.watermark.as_millis());
        }
        driver
    }

    /// Writes all, or appends what changed to what was written by the same subtasks before.
    pub(super) fn snapshot(&mut self, before: Option<Saved>) -> Saved {
        let mode = if before.is_some() { SnapshotMode::Delta } else { SnapshotMode::Full };
        let mut saved = before.unwrap_or_else(|| vec![Vec::new(); self.subtasks.len()]);
        for (subtask, chain) in self.subtasks.iter_mut().zip(&mut saved) {
            chain.push(subtask.operator.snapshot(mode).expect("encodes"));
        }
        saved
    }

    pub(super) fn process(&mut self, records: &[Record]) {
        let all = batch(records);
        for Subtask { range, operator, .. } in &mut self.subtasks {
            let mut own = Batch::default();
            for ((item, at), hash) in all.items.iter().zip(&all.timestamps).zip(&all.hashes) {
                if range.contains(hash.group(KEY_GROUPS)) {
                    own.push_keyed(*item, *at, *hash);
                }
            }
            operator.process(AnyBatch::new(own), &self.env).expect("takes records");
            for _ in 0..if self.room == Room::None { LOOKED_WITHIN } else { 0 } {
                let nothing = AnyBatch::new(batch(&[]));
                operator.process(nothing, &self.env).expect("takes no records");
            }
            assert!(operator.take_output().iter().all(|(port, _)| *port != Port::Main));
        }
    }

    /// Moves event time; the results must come in the order of their windows' ends.
    pub(super) fn watermark<V: Data>(&mut self, at: i64) -> Vec<Row<V>> {
        (0..self.subtasks.len()).flat_map(|index| self.watermark_of(index, at)).collect()
    }

    /// Fires what only some key groups had fired before the restore.
    pub(super) fn catch_up<V: Data>(&mut self) -> Vec<Row<V>> {
        let mut rows = Vec::new();
        for index in 0..self.subtasks.len() {
            if let Some(watermark) = self.subtasks[index].behind.take() {
                rows.extend(self.watermark_of(index, watermark));
            }
        }
        rows
    }

    /// As [`Driver::watermark`], for one subtask.
    pub(super) fn watermark_of<V: Data>(&mut self, index: usize, at: i64) -> Vec<Row<V>> {
        let operator = &mut self.subtasks[index].operator;
        let (mut rows, mut last, mut firing) = (Vec::new(), Timestamp::MIN, Firing::More);
        while firing == Firing::More {
            firing = operator.advance(Timestamp::from_millis(at), &self.env).expect("fires");
            let output = operator.take_output();
            self.most_batches = self.most_batches.max(output.len());
            for (_, any) in output {
                let batch = any.into_typed::<Windowed<u64, V>>().expect("typed results");
                for (result, timestamp) in batch.items.into_iter().zip(batch.timestamps) {
                    let Windowed { key, window, value } = result;
                    assert_eq!(timestamp, window.end - millis(1));
                    assert!(window.end >= last, "{window} fires after the end {last}");
                    last = window.end;
                    rows.push((key, window.start.as_millis(), window.end.as_millis(), value));
                }
            }
        }
        rows
    }

    /// Which subtask owns a key.
    pub(super) fn owner(&self, key: u64) -> usize {
        let hash = KeyHasher::default().hash(&key).expect("integers have a hash");
        let group = hash.group(KEY_GROUPS);
        let owns = |subtask: &Subtask| subtask.range.contains(group);
        self.subtasks.iter().position(owns).expect("every group has an owner")
    }

    pub(super) fn late_dropped(&self) -> u64 {
        self.env.metrics.late_dropped.get()
    }

    /// How many entries all states hold.
    pub(super) fn entries(&self) -> usize {
        let sizes = self.subtasks.iter().flat_map(|subtask| subtask.operator.state_sizes());
        sizes.map(|(_, entries)| entries).sum()
    }
}
