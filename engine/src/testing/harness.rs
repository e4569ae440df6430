//! Drives one operator by hand, in the order the runtime does: process, advance until done, pass
//! the watermark on, snapshot between calls, restore before the first record.

use std::sync::Arc;

use crate::checkpoint::{OperatorSnapshot, RestoredTime, SnapshotMode};
use crate::clock::ManualClock;
use crate::data::Data;
use crate::element::Batch;
use crate::erased::{AnyBatch, ErasedOperator, OperatorEnv};
use crate::graph::{OpenOperator, Uid};
use crate::key::{KEY_GROUPS, KeyGroupRange};
use crate::metrics::OperatorMetrics;
use crate::operator::{Firing, Result};
use crate::output::{Port, SideOutput};
use crate::state::ResidentMemory;
use crate::testing::MemorySpillDoor;
use crate::time::Timestamp;

use super::contract::checked;

/// One operator, all key groups, no threads.
pub struct OperatorHarness {
    operator: Box<dyn ErasedOperator>,
    env: OperatorEnv,
    clock: ManualClock,
    emitted: Vec<(Port, AnyBatch)>,
}

/// What a harness wrote at a barrier.
#[derive(Clone, Debug)]
pub struct HarnessSnapshot {
    snapshots: Vec<OperatorSnapshot>,
}

impl HarnessSnapshot {
    /// Puts what was written at a later barrier behind this.
    pub fn push(&mut self, later: OperatorSnapshot) {
        self.snapshots.push(later);
    }
}

impl OperatorHarness {
    /// Opens the operator with empty state.
    #[must_use]
    pub fn open(open: &OpenOperator) -> Self {
        let clock = ManualClock::default();
        let metrics = Arc::new(OperatorMetrics::default());
        let env = OperatorEnv { metrics, clock: Arc::new(clock.clone()) };
        let operator = checked("operator", open(KeyGroupRange::all(KEY_GROUPS), true).operator);
        OperatorHarness { operator, env, clock, emitted: Vec::new() }
    }

    /// Opens the operator and restores what a harness of the same job wrote.
    ///
    /// # Errors
    /// Entries that cannot be read.
    pub fn restore(open: &OpenOperator, snapshot: &HarnessSnapshot) -> Result<Self> {
        let mut harness = OperatorHarness::open(open);
        let mut watermark = Timestamp::MIN;
        for part in &snapshot.snapshots {
            watermark = part.watermark;
            for state in &part.states {
                for section in &state.sections {
                    let (group, bytes) = (section.group, &section.bytes);
                    harness.operator.restore(&state.state, group, bytes)?;
                }
            }
        }
        harness.operator.restored(&RestoredTime::at(watermark))?;
        Ok(harness)
    }

    /// From now on its state may take `bytes` of memory; what does not fit is spilled, to memory
    /// too.
    pub fn limit(&mut self, bytes: usize) {
        let memory = Arc::new(ResidentMemory::new(bytes));
        self.operator.limit(memory, Some(Arc::new(MemorySpillDoor)), (&Uid::new("harness"), 0));
    }

    /// Hands over one batch.
    ///
    /// # Errors
    /// The operator's own.
    pub fn process<T: Data>(&mut self, batch: Batch<T>) -> Result<()> {
        self.operator.process(AnyBatch::new(batch), &self.env)?;
        self.emitted.extend(self.operator.take_output());
        Ok(())
    }

    /// Moves event time, firing all that is due; returns the watermark passed on.
    ///
    /// # Errors
    /// The operator's own.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<Timestamp> {
        while self.operator.advance(watermark, &self.env)? == Firing::More {
            self.emitted.extend(self.operator.take_output());
        }
        self.emitted.extend(self.operator.take_output());
        Ok(self.operator.watermark_out())
    }

    /// Moves the wall clock, firing all that is due.
    ///
    /// # Errors
    /// The operator's own.
    pub fn processing_time(&mut self, now: Timestamp) -> Result<()> {
        self.clock.set(now);
        if self.operator.next_processing_time().is_none_or(|at| at > now) {
            return Ok(());
        }
        while self.operator.processing_time(&self.env)? == Firing::More {
            self.emitted.extend(self.operator.take_output());
        }
        self.emitted.extend(self.operator.take_output());
        Ok(())
    }

    /// Takes what the main output holds, with timestamps.
    ///
    /// # Panics
    /// When the items are of another type.
    pub fn take<T: Data>(&mut self) -> Vec<(T, Timestamp)> {
        self.take_port(Port::Main)
    }

    /// Takes what a side output holds, with timestamps.
    ///
    /// # Panics
    /// When the items are of another type.
    pub fn take_side<T: Data>(&mut self, side: SideOutput<T>) -> Vec<(T, Timestamp)> {
        self.take_port(Port::Side(side.name()))
    }

    fn take_port<T: Data>(&mut self, port: Port) -> Vec<(T, Timestamp)> {
        let (taken, kept) =
            std::mem::take(&mut self.emitted).into_iter().partition(|(p, _)| *p == port);
        self.emitted = kept;
        let taken: Vec<(Port, AnyBatch)> = taken;
        let typed = taken.into_iter().map(|(_, batch)| batch.into_typed::<T>());
        let typed = typed.map(|batch| batch.expect("the output has items of this type"));
        typed.flat_map(|batch| batch.items.into_iter().zip(batch.timestamps)).collect()
    }

    /// The barrier is here: cuts the operator's state. What is processed from now on is not part of
    /// the snapshot, which [`OperatorHarness::written`] brings.
    ///
    /// # Errors
    /// A value that does not encode.
    pub fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        self.operator.cut(mode)
    }

    /// Writes a part of what was cut; `None` while there is more.
    ///
    /// # Errors
    /// A value that does not encode.
    pub fn written(&mut self) -> Result<Option<OperatorSnapshot>> {
        Ok(self.operator.write_some()?.then(|| self.operator.take_snapshot()))
    }

    /// Writes the operator's state, all of it.
    ///
    /// # Errors
    /// A value that does not encode.
    pub fn snapshot(&mut self) -> Result<HarnessSnapshot> {
        Ok(HarnessSnapshot { snapshots: vec![self.operator.snapshot(SnapshotMode::Full)?] })
    }

    /// Writes what changed since the last snapshot, behind what `snapshot` holds.
    ///
    /// # Errors
    /// A value that does not encode.
    pub fn extend(&mut self, snapshot: &mut HarnessSnapshot) -> Result<()> {
        snapshot.push(self.operator.snapshot(SnapshotMode::Delta)?);
        Ok(())
    }

    /// The operator's counters.
    #[must_use]
    pub fn metrics(&self) -> &OperatorMetrics {
        &self.env.metrics
    }

    /// The number of entries of a state.
    #[must_use]
    pub fn state_size(&self, name: &str) -> usize {
        let sizes = self.operator.state_sizes();
        sizes.iter().find(|(state, _)| state == name).map_or(0, |(_, entries)| *entries)
    }
}
