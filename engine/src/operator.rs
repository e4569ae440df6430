//! The lowest door: an [`Operator`] takes batches and time, keeps state, and emits.
//!
//! Calling order, the same in the runtime and in the harness: `process`, `advance` and
//! `processing_time` in the order of the stream; `advance` again while it answers [`Firing::More`];
//! a snapshot only between calls; `end` last, after the final watermark was advanced through.

use crate::checkpoint::RestoredTime;
use crate::clock::Clock;
use crate::data::Data;
use crate::element::Batch;
use crate::metrics::OperatorMetrics;
use crate::output::{Output, SideOutput};
use crate::state::StateStore;
use crate::time::Timestamp;

/// What is returned by user code: any error, with context.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// Whether the work that became due is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firing {
    /// All of it.
    Done,
    /// Call again: the rest follows after what was emitted so far has left.
    More,
}

/// One step of a job over the records of one subtask.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an operator",
    note = "implement `Operator` for it, or use `map`, `filter`, `process` for the usual cases"
)]
pub trait Operator: Send + 'static {
    /// What comes in.
    type In: Data;
    /// What goes out.
    type Out: Data;

    /// Takes the next records.
    ///
    /// # Errors
    /// Ends the attempt; the message should say what is wrong with the record.
    fn process(
        &mut self,
        batch: Batch<Self::In>,
        ctx: &mut OperatorContext<'_, Self::Out>,
    ) -> Result<()>;

    /// Event time has reached `ctx.watermark()`: fires what is due, at most some thousand records a
    /// call. The runtime passes the watermark on once the answer is [`Firing::Done`].
    ///
    /// # Errors
    /// As [`Operator::process`].
    fn advance(&mut self, ctx: &mut OperatorContext<'_, Self::Out>) -> Result<Firing> {
        let _ = ctx;
        Ok(Firing::Done)
    }

    /// The watermark to pass on after advancing to `watermark`: itself, unless the operator has a
    /// clock of its own. Must never go back.
    fn watermark_out(&self, watermark: Timestamp) -> Timestamp {
        watermark
    }

    /// Whether the watermark passed on is the operator's own, and may be ahead of the one taken.
    fn has_clock(&self) -> bool {
        false
    }

    /// The wall clock has reached a moment asked for by [`Operator::next_processing_time`].
    ///
    /// # Errors
    /// As [`Operator::process`].
    fn processing_time(&mut self, ctx: &mut OperatorContext<'_, Self::Out>) -> Result<Firing> {
        let _ = ctx;
        Ok(Firing::Done)
    }

    /// When `processing_time` is to be called next, if at all.
    fn next_processing_time(&self, state: &mut StateStore) -> Option<Timestamp> {
        let _ = state;
        None
    }

    /// The restored state is in place, no record has been seen. For what is derived from state, and
    /// from `time`: everything due by its floors has fired. Where they are uneven, `advance` to its
    /// watermark follows before the first record.
    ///
    /// # Errors
    /// Ends the attempt.
    fn restored(&mut self, state: &mut StateStore, time: &RestoredTime) -> Result<()> {
        let _ = (state, time);
        Ok(())
    }
}

/// What an operator reaches while it is called.
pub struct OperatorContext<'a, O> {
    /// The operator's state.
    pub state: &'a mut StateStore,
    /// Where results go.
    pub output: &'a mut Output<O>,
    /// The operator's counters.
    pub metrics: &'a OperatorMetrics,
    /// The wall clock.
    pub clock: &'a dyn Clock,
    pub(crate) watermark: Timestamp,
}

impl<'a, O: Data> OperatorContext<'a, O> {
    /// A context at `watermark`; called by the erased operator and the harness.
    pub fn new(
        state: &'a mut StateStore,
        output: &'a mut Output<O>,
        metrics: &'a OperatorMetrics,
        clock: &'a dyn Clock,
        watermark: Timestamp,
    ) -> Self {
        state.read_clock(clock);
        OperatorContext { state, output, metrics, clock, watermark }
    }

    /// No record with an earlier timestamp is expected.
    #[inline]
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Emits one record.
    #[inline]
    pub fn emit(&mut self, item: O, timestamp: Timestamp) {
        self.output.emit(item, timestamp);
    }

    /// Emits a whole batch.
    pub fn emit_batch(&mut self, batch: Batch<O>) {
        self.output.emit_batch(batch);
    }

    /// Emits one record to a side output.
    pub fn emit_to<U: Data>(&mut self, side: SideOutput<U>, item: U, timestamp: Timestamp) {
        self.output.emit_to(side, item, timestamp);
    }
}
