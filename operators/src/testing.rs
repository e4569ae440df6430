//! [`Harness`]: unit tests of a process function without runtime, threads or storage.
//!
//! Called by the users' tests. It drives the same operator that a job runs, in the runtime's order
//! (`riverrun_engine::testing`), so what holds here holds there. A harness has all key groups, no
//! other subtask and a wall clock that stands still until [`Harness::processing_time`] moves it.
//!
//! ```
//! # use riverrun_engine::{Result, state::{Declare, ValueState}, time::{Timestamp, at, secs}};
//! # use riverrun_engine::timer::Timer;
//! # use riverrun_operators::{Context, ProcessFunction, testing::Harness};
//! # struct Silence { last: ValueState<Timestamp> }
//! # impl Silence {
//! #     fn open(op: &mut Declare<u64>) -> Silence { Silence { last: op.value("last") } }
//! # }
//! # impl ProcessFunction for Silence {
//! #     type Key = u64; type In = i64; type Out = String;
//! #     fn process(&mut self, _: i64, ctx: &mut Context<u64, String>) -> Result<()> {
//! #         let at = ctx.timestamp();
//! #         ctx.set_timer(at + secs(60));
//! #         self.last.set(ctx, at)
//! #     }
//! #     fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, String>) -> Result<()> {
//! #         if self.last.get(ctx)?.is_some_and(|last| *last + secs(60) == timer.at) {
//! #             ctx.emit(format!("{} fell silent", ctx.key()));
//! #         }
//! #         Ok(())
//! #     }
//! # }
//! # fn main() -> Result<()> {
//! let mut silence = Harness::open(Silence::open);
//! silence.push(7, 21, at(0))?;
//! let mut silence = silence.snapshot().restore(Silence::open); // any test can rehearse a crash
//! silence.watermark(at(90))?;
//! assert_eq!(silence.take(), ["7 fell silent"]);
//! assert_eq!(silence.value(7, |step| &step.last)?, Some(at(0)));
//! # Ok(())
//! # }
//! ```

use std::fmt;

use riverrun_engine::Result;
use riverrun_engine::checkpoint::{OperatorSnapshot, RestoredTime, SnapshotMode};
use riverrun_engine::clock::{Clock as _, ManualClock};
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::erased::AnyBatch;
use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange, KeyHash, KeyHasher};
use riverrun_engine::metrics::OperatorMetrics;
use riverrun_engine::operator::{Firing, Operator as _, OperatorContext};
use riverrun_engine::output::{Output, Port, SideOutput};
use riverrun_engine::state::{Declare, StateStore, ValueState};
use riverrun_engine::time::Timestamp;

use crate::co_process::{CoProcessFunction, Connected, Either};
use crate::context::Context;
use crate::process::{Process, ProcessFunction};

/// Drives one process function by hand.
pub struct Harness<P: ProcessFunction> {
    operator: Process<P>,
    state: StateStore,
    output: Output<P::Out>,
    metrics: OperatorMetrics,
    clock: ManualClock,
    watermark: Timestamp,
    emitted: Vec<(Port, AnyBatch)>,
    /// The first snapshot whole, then what changed: as the checkpoints of a job.
    taken: Vec<OperatorSnapshot>,
}

impl<P: ProcessFunction> fmt::Debug for Harness<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Harness({:?}, watermark {})", self.state, self.watermark)
    }
}

/// What a harness would find in its checkpoint.
#[derive(Clone, Debug)]
pub struct Snapshot {
    parts: Vec<OperatorSnapshot>,
    now: Timestamp,
}

impl<P: CoProcessFunction> Harness<Connected<P>> {
    /// Opens a function of two inputs: `Harness::connected(Priced::open)`.
    #[must_use]
    pub fn connected(open: impl Fn(&mut Declare<P::Key>) -> P) -> Self {
        Harness::open(|op: &mut Declare<P::Key>| Connected(open(op)))
    }

    /// Hands over the next record of the left input.
    ///
    /// # Errors
    /// As [`Harness::push`].
    pub fn push_left(&mut self, key: P::Key, item: P::Left, at: Timestamp) -> Result<()> {
        self.push(key, Either::Left(item), at)
    }

    /// Hands over the next record of the right input.
    ///
    /// # Errors
    /// As [`Harness::push`].
    pub fn push_right(&mut self, key: P::Key, item: P::Right, at: Timestamp) -> Result<()> {
        self.push(key, Either::Right(item), at)
    }
}

impl<P: ProcessFunction> Harness<P> {
    /// Opens the function with empty state: `Harness::open(Velocity::open)`.
    ///
    /// # Panics
    /// When a state is declared twice.
    #[must_use]
    pub fn open(open: impl Fn(&mut Declare<P::Key>) -> P) -> Self {
        let mut declare = Declare::new(KeyGroupRange::all(KEY_GROUPS), true);
        let operator = Process::open(open, &mut declare);
        let twice = declare.declared_twice();
        assert!(twice.is_empty(), "declared twice, give one another name: {twice:?}");
        let (state, _) = declare.finish();
        Harness {
            operator,
            state,
            output: Output::default(),
            metrics: OperatorMetrics::default(),
            clock: ManualClock::default(),
            watermark: Timestamp::MIN,
            emitted: Vec::new(),
            taken: Vec::new(),
        }
    }

    fn split(&mut self) -> (&mut Process<P>, OperatorContext<'_, P::Out>) {
        let Harness { operator, state, output, metrics, clock, watermark, .. } = self;
        (operator, OperatorContext::new(state, output, metrics, clock, *watermark))
    }

    fn hash(key: &P::Key) -> Result<KeyHash> {
        KeyHasher::default().hash(key)
    }

    /// Hands over the next record of a key.
    ///
    /// # Errors
    /// The function's own; a key without an encoding.
    pub fn push(&mut self, key: P::Key, item: P::In, at: Timestamp) -> Result<()> {
        let hash = Self::hash(&key)?;
        let mut batch = Batch::default();
        batch.push_keyed((key, item), at, hash);
        let (operator, mut ctx) = self.split();
        let done = operator.process(batch, &mut ctx);
        self.emitted.extend(self.output.take());
        done.and_then(|()| self.state.sweep())
    }

    /// Moves event time, firing every timer that is due.
    ///
    /// # Errors
    /// The function's own.
    ///
    /// # Panics
    /// When the watermark would fall: no runtime does that.
    pub fn watermark(&mut self, at: Timestamp) -> Result<()> {
        let before = self.watermark;
        assert!(at >= before, "a watermark never falls: it is {before}, not {at}");
        self.watermark = at;
        self.fire(Process::advance)?;
        self.state.reach(at);
        self.state.sweep()
    }

    /// Moves the wall clock, firing every processing-time timer that is due.
    ///
    /// # Errors
    /// The function's own.
    pub fn processing_time(&mut self, at: Timestamp) -> Result<()> {
        self.clock.set(at);
        self.fire(Process::processing_time)?;
        self.state.sweep()
    }

    fn fire(
        &mut self,
        step: impl Fn(&mut Process<P>, &mut OperatorContext<'_, P::Out>) -> Result<Firing>,
    ) -> Result<()> {
        loop {
            let (operator, mut ctx) = self.split();
            let firing = step(operator, &mut ctx);
            self.emitted.extend(self.output.take());
            if firing? == Firing::Done {
                return Ok(());
            }
        }
    }

    /// Takes the items emitted so far.
    pub fn take(&mut self) -> Vec<P::Out> {
        self.take_records().into_iter().map(|(item, _)| item).collect()
    }

    /// Takes the items emitted so far, with their timestamps.
    pub fn take_records(&mut self) -> Vec<(P::Out, Timestamp)> {
        self.take_port(Port::Main)
    }

    /// Takes the items emitted to a side output so far.
    ///
    /// # Panics
    /// When items of another type were emitted under its name.
    pub fn take_side<U: Data>(&mut self, side: SideOutput<U>) -> Vec<U> {
        self.take_port(Port::Side(side.name())).into_iter().map(|(item, _)| item).collect()
    }

    fn take_port<U: Data>(&mut self, port: Port) -> Vec<(U, Timestamp)> {
        let emitted = std::mem::take(&mut self.emitted).into_iter();
        let (taken, kept): (Vec<_>, Vec<_>) = emitted.partition(|(of, _)| *of == port);
        self.emitted = kept;
        let wanted = std::any::type_name::<U>();
        let typed = taken.into_iter().map(|(_, batch)| match batch.into_typed::<U>() {
            Ok(batch) => batch,
            Err(other) => panic!("the {port} holds {other:?}, not {wanted}"),
        });
        typed.flat_map(|batch| batch.items.into_iter().zip(batch.timestamps)).collect()
    }

    /// The value that `state` of the function has for a key:
    /// `velocity.value(7, |step| &step.last)?`.
    ///
    /// # Errors
    /// A key without an encoding; state that cannot be read.
    pub fn value<V: Data>(
        &mut self,
        key: P::Key,
        state: impl FnOnce(&P) -> &ValueState<V>,
    ) -> Result<Option<V>> {
        self.with(key, |function, ctx| Ok(state(function).get(ctx)?.cloned()))
    }

    /// Reads (or prepares) any state of the function for a key:
    /// `velocity.with(7, |step, ctx| step.visits.len(ctx))?`.
    ///
    /// # Errors
    /// A key without an encoding; what `f` returns.
    pub fn with<R>(
        &mut self,
        key: P::Key,
        f: impl FnOnce(&mut P, &mut Context<P::Key, P::Out>) -> Result<R>,
    ) -> Result<R> {
        let (hash, at) = (Self::hash(&key)?, self.watermark);
        let (operator, mut ctx) = self.split();
        let mut context = Context::new(&key, hash, at, operator.timers, &mut ctx);
        let result = f(&mut operator.function, &mut context);
        self.emitted.extend(self.output.take());
        result
    }

    /// The function's counters.
    #[must_use]
    pub fn metrics(&self) -> &OperatorMetrics {
        &self.metrics
    }

    /// How many entries the state `name` holds, over all keys: 0 when nothing is left behind. What
    /// has ended counts until it is swept, some calls later.
    ///
    /// # Panics
    /// When there is no such state.
    #[must_use]
    pub fn state_size(&self, name: &str) -> usize {
        let found = self.state.sizes().find(|(state, _)| *state == name);
        found.map(|(_, entries)| entries).unwrap_or_else(|| panic!("no state '{name}' is declared"))
    }

    /// Writes all state and timers down as a checkpoint does: the first time whole, later what
    /// changed.
    ///
    /// # Panics
    /// When a value does not encode.
    pub fn snapshot(&mut self) -> Snapshot {
        let first = self.taken.is_empty();
        let mode = if first { SnapshotMode::Full } else { SnapshotMode::Delta };
        let states = self.state.snapshot(mode).unwrap_or_else(|e| panic!("{e:#}"));
        self.taken.push(OperatorSnapshot { watermark: self.watermark, states });
        Snapshot { parts: self.taken.clone(), now: self.clock.now() }
    }
}

impl Snapshot {
    /// Opens the function and gives it back what was written. What was emitted and not taken is
    /// lost, as in a crash; counters begin anew. `open` may be a newer version's: it then reads
    /// the older state as a job would after an upgrade.
    ///
    /// # Panics
    /// When the state cannot be read.
    #[must_use]
    pub fn restore<P: ProcessFunction>(
        &self,
        open: impl Fn(&mut Declare<P::Key>) -> P,
    ) -> Harness<P> {
        let mut harness = Harness::open(open);
        harness.clock.set(self.now);
        for part in &self.parts {
            harness.watermark = part.watermark;
            for state in &part.states {
                for section in &state.sections {
                    let done = harness.state.restore(&state.state, section.group, &section.bytes);
                    done.unwrap_or_else(|e| panic!("the snapshot cannot be restored: {e:#}"));
                }
            }
        }
        let time = RestoredTime::at(harness.watermark);
        harness.state.restored(&time);
        let done = harness.operator.restored(&mut harness.state, &time);
        done.unwrap_or_else(|e| panic!("the snapshot cannot be restored: {e:#}"));
        harness
    }

    /// As [`Snapshot::restore`], for a function of two inputs.
    ///
    /// # Panics
    /// When the state cannot be read.
    #[must_use]
    pub fn restore_connected<P: CoProcessFunction>(
        &self,
        open: impl Fn(&mut Declare<P::Key>) -> P,
    ) -> Harness<Connected<P>> {
        self.restore(|op: &mut Declare<P::Key>| Connected(open(op)))
    }
}

#[cfg(test)]
mod tests;
