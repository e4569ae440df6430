//! Operators with their types erased, each together with its state, its output and its watermark.

use std::sync::Arc;

use super::AnyBatch;
use crate::checkpoint::{OperatorSnapshot, RestoredTime, SnapshotMode};
use crate::clock::Clock;
use crate::data::Key;
use crate::graph::{OpenOperator, Opened, Uid};
use crate::key::KeyGroup;
use crate::metrics::OperatorMetrics;
use crate::operator::{Firing, Operator, OperatorContext, Result};
use crate::output::{Output, Port};
use crate::state::spill::SpillDoor;
use crate::state::stored::{StoredRows, Warmth};
use crate::state::{Declare, ResidentMemory, StateStore, TypeShape};
use crate::time::Timestamp;

/// An operator of one subtask, as its chain sees it.
pub trait ErasedOperator: Send {
    /// Takes the next records.
    ///
    /// # Errors
    /// The operator's own; a batch of another type.
    fn process(&mut self, batch: AnyBatch, env: &OperatorEnv) -> Result<()>;

    /// Event time has reached `watermark`; again while [`Firing::More`].
    ///
    /// # Errors
    /// The operator's own.
    fn advance(&mut self, watermark: Timestamp, env: &OperatorEnv) -> Result<Firing>;

    /// The watermark to pass on.
    fn watermark_out(&self) -> Timestamp;

    /// Whether that is the operator's own, and may be ahead of the one advanced to.
    fn has_clock(&self) -> bool;

    /// The wall clock moved; again while [`Firing::More`].
    ///
    /// # Errors
    /// The operator's own.
    fn processing_time(&mut self, env: &OperatorEnv) -> Result<Firing>;

    /// When the wall clock matters next.
    fn next_processing_time(&mut self) -> Option<Timestamp>;

    /// Takes what was emitted.
    fn take_output(&mut self) -> Vec<(Port, AnyBatch)>;

    /// The barrier is here: what is written from now on is the state of this moment.
    ///
    /// # Errors
    /// A value that does not encode.
    fn cut(&mut self, mode: SnapshotMode) -> Result<()>;

    /// Writes a part of what was cut, for about a tenth of a millisecond; whether all of it is
    /// written. Between any two calls.
    ///
    /// # Errors
    /// A value that does not encode.
    fn write_some(&mut self) -> Result<bool>;

    /// Takes the operator's part of the checkpoint, once it is written.
    fn take_snapshot(&mut self) -> OperatorSnapshot;

    /// Cuts, writes and takes in one go.
    ///
    /// # Errors
    /// A value that does not encode.
    fn snapshot(&mut self, mode: SnapshotMode) -> Result<OperatorSnapshot> {
        self.cut(mode)?;
        while !self.write_some()? {}
        Ok(self.take_snapshot())
    }

    /// The states take their memory from `memory`, and what does not fit goes through `door`, if
    /// there is one: before `restore`.
    fn limit(
        &mut self,
        memory: Arc<ResidentMemory>,
        door: Option<Arc<dyn SpillDoor>>,
        of: (&Uid, u32),
    );

    /// State `name` is stored in this shape: before `restore`.
    fn read_as(&mut self, name: &str, stored: &TypeShape);

    /// Applies a section of a checkpoint; in order.
    ///
    /// # Errors
    /// Bytes that cannot be read.
    fn restore(&mut self, name: &str, group: KeyGroup, section: &[u8]) -> Result<()>;

    /// State `name` is what `rows` hold, to be read as it is asked for: in the place of its
    /// sections.
    ///
    /// # Errors
    /// A state that cannot be read by key.
    fn restore_from(&mut self, name: &str, rows: Box<dyn StoredRows>) -> Result<()>;

    /// Reads a page of what such a restore has left, if one is at hand. Between any two calls.
    ///
    /// # Errors
    /// A file that cannot be read.
    fn warm(&mut self) -> Result<Warmth>;

    /// All sections are applied; `time` is the checkpoint's. Where it is uneven, the next call is
    /// [`ErasedOperator::advance`] to its watermark.
    ///
    /// # Errors
    /// The operator's own.
    fn restored(&mut self, time: &RestoredTime) -> Result<()>;

    /// The number of entries of each state.
    fn state_sizes(&self) -> Vec<(String, usize)>;
}

/// What a chain lends to each of its operators.
#[derive(Clone)]
pub struct OperatorEnv {
    /// The operator's counters.
    pub metrics: Arc<OperatorMetrics>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for OperatorEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorEnv").finish_non_exhaustive()
    }
}

struct Erased<Op: Operator> {
    operator: Op,
    state: StateStore,
    output: Output<Op::Out>,
    watermark: Timestamp,
    /// The watermark at the last cut.
    cut_at: Timestamp,
}

impl<Op: Operator> Erased<Op> {
    fn split<'a>(&'a mut self, env: &'a OperatorEnv) -> (&'a mut Op, OperatorContext<'a, Op::Out>) {
        let Erased { operator, state, output, watermark, .. } = self;
        let ctx = OperatorContext::new(state, output, &env.metrics, env.clock.as_ref(), *watermark);
        (operator, ctx)
    }
}

impl<Op: Operator> ErasedOperator for Erased<Op> {
    fn process(&mut self, batch: AnyBatch, env: &OperatorEnv) -> Result<()> {
        let batch = batch.expect::<Op::In>()?;
        self.output.set_origins(batch.origins.clone());
        let (operator, mut ctx) = self.split(env);
        operator.process(batch, &mut ctx)?;
        self.state.sweep()?;
        self.state.relieve()
    }

    fn advance(&mut self, watermark: Timestamp, env: &OperatorEnv) -> Result<Firing> {
        self.watermark = self.watermark.max(watermark);
        self.output.set_origins(crate::element::Origins::default());
        let (operator, mut ctx) = self.split(env);
        let firing = operator.advance(&mut ctx)?;
        if firing == Firing::Done {
            self.state.reach(self.watermark);
        }
        self.state.sweep()?;
        self.state.relieve()?;
        Ok(firing)
    }

    fn watermark_out(&self) -> Timestamp {
        self.operator.watermark_out(self.watermark)
    }

    fn has_clock(&self) -> bool {
        self.operator.has_clock()
    }

    fn processing_time(&mut self, env: &OperatorEnv) -> Result<Firing> {
        self.output.set_origins(crate::element::Origins::default());
        let (operator, mut ctx) = self.split(env);
        let firing = operator.processing_time(&mut ctx)?;
        self.state.sweep()?;
        self.state.relieve()?;
        Ok(firing)
    }

    fn next_processing_time(&mut self) -> Option<Timestamp> {
        self.operator.next_processing_time(&mut self.state)
    }

    fn take_output(&mut self) -> Vec<(Port, AnyBatch)> {
        self.output.take()
    }

    fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        self.cut_at = self.watermark;
        self.state.cut(mode)
    }

    fn write_some(&mut self) -> Result<bool> {
        self.state.write_some()
    }

    fn take_snapshot(&mut self) -> OperatorSnapshot {
        OperatorSnapshot { watermark: self.cut_at, states: self.state.take_snapshot() }
    }

    fn limit(
        &mut self,
        memory: Arc<ResidentMemory>,
        door: Option<Arc<dyn SpillDoor>>,
        of: (&Uid, u32),
    ) {
        self.state.limit(memory, door, of);
    }

    fn read_as(&mut self, name: &str, stored: &TypeShape) {
        self.state.read_as(name, stored);
    }

    fn restore(&mut self, name: &str, group: KeyGroup, section: &[u8]) -> Result<()> {
        self.state.restore(name, group, section)?;
        self.state.relieve()
    }

    fn restore_from(&mut self, name: &str, rows: Box<dyn StoredRows>) -> Result<()> {
        self.state.restore_from(name, rows)
    }

    fn warm(&mut self) -> Result<Warmth> {
        self.state.warm()
    }

    fn restored(&mut self, time: &RestoredTime) -> Result<()> {
        self.watermark = time.watermark;
        self.state.restored(time);
        self.operator.restored(&mut self.state, time)
    }

    fn state_sizes(&self) -> Vec<(String, usize)> {
        self.state.sizes().map(|(name, entries)| (name.to_owned(), entries)).collect()
    }
}

/// The graph's way to open an operator: `open` declares its states and makes it.
pub fn open_operator<K, Op, F>(open: F) -> OpenOperator
where
    K: Key,
    Op: Operator,
    F: Fn(&mut Declare<K>) -> Op + Send + Sync + 'static,
{
    Arc::new(move |range, tracked| {
        let mut declare = Declare::<K>::new(range, tracked);
        let operator = open(&mut declare);
        let declared_twice = declare.declared_twice().to_vec();
        let (state, states) = declare.finish();
        let output = Output::default();
        let (watermark, cut_at) = (Timestamp::MIN, Timestamp::MIN);
        let erased = Erased { operator, state, output, watermark, cut_at };
        Opened { operator: Box::new(erased), states, declared_twice }
    })
}
