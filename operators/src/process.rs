//! `process`: a function of your own over the records and timers of each key.
//!
//! [`Process`] is the operator: it calls the function record by record, and fires timers in the
//! order (moment, key), at most [`FIRED_MAX`] a call. Timers are state: a restored job fires what
//! the old one would have fired. For state with a time to live event time stands, for a timer, at
//! the moment it was set for, so what it sees does not depend on how far the watermark jumped.

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::operator::{Firing, Operator, OperatorContext};
use riverrun_engine::state::{Declare, Slot, StateStore};
use riverrun_engine::time::Timestamp;
use riverrun_engine::timer::{TimeDomain, Timer, TimerQueue, Timers};

use crate::context::Context;
use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::stream::Stream;

/// A step with state and timers for each key.
///
/// The state is declared when the step opens, in a function of your own that takes
/// [`Declare`] with the type of the key and returns the step:
///
/// ```
/// use riverrun_engine::Result;
/// use riverrun_engine::state::{Declare, ValueState};
/// use riverrun_operators::{Context, ProcessFunction};
///
/// struct Changes { last: ValueState<i64> }
///
/// impl Changes {
///     fn open(op: &mut Declare<u64>) -> Changes { Changes { last: op.value("last") } }
/// }
///
/// impl ProcessFunction for Changes {
///     type Key = u64;
///     type In = i64;
///     type Out = i64;
///
///     fn process(&mut self, item: i64, ctx: &mut Context<u64, i64>) -> Result<()> {
///         if self.last.get(ctx)? != Some(&item) {
///             ctx.emit(item);
///         }
///         self.last.set(ctx, item)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process function",
    label = "`open` must return a process function",
    note = "implement `ProcessFunction` for `{Self}`: `type Key`, `type In`, `type Out`, and \
            `fn process(&mut self, item: In, ctx: &mut Context<Key, Out>) -> Result<()>`",
    note = "two keyed inputs, as of `connect`, take a `CoProcessFunction`"
)]
pub trait ProcessFunction: Send + 'static {
    /// What the stream is keyed by.
    type Key: Key;
    /// What comes in.
    type In: Data;
    /// What goes out.
    type Out: Data;

    /// Takes the next record of a key.
    ///
    /// # Errors
    /// Ends the attempt; the message should say what is wrong with the item.
    fn process(&mut self, item: Self::In, ctx: &mut Context<Self::Key, Self::Out>) -> Result<()>;

    /// A timer of a key is due.
    ///
    /// # Errors
    /// Ends the attempt.
    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<Self::Key, Self::Out>) -> Result<()> {
        let _ = (timer, ctx);
        Ok(())
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// A step of your own with state and timers for each key. `open` declares the state and makes
    /// the step; it is called for every subtask, and dry by `check`.
    #[track_caller]
    pub fn process<P>(
        self,
        uid: &str,
        open: impl Fn(&mut Declare<K>) -> P + Send + Sync + 'static,
    ) -> Stream<P::Out>
    where
        P: ProcessFunction<Key = K, In = T>,
    {
        self.operator(Step::named("process", uid), move |op| Process::open(&open, op))
    }
}

/// How many timers fire before what they emitted may leave.
const FIRED_MAX: u64 = 1024;

/// The operator around a process function.
pub(crate) struct Process<P: ProcessFunction> {
    pub(crate) function: P,
    pub(crate) timers: Timers<P::Key>,
}

impl<P: ProcessFunction> Process<P> {
    pub(crate) fn open(open: impl Fn(&mut Declare<P::Key>) -> P, op: &mut Declare<P::Key>) -> Self {
        Process { function: open(op), timers: op.timers() }
    }

    fn fire(
        &mut self,
        domain: TimeDomain,
        now: Timestamp,
        ctx: &mut OperatorContext<'_, P::Out>,
    ) -> Result<Firing> {
        let queue: Slot<TimerQueue<P::Key>> = match domain {
            TimeDomain::Event => self.timers.event,
            TimeDomain::Processing => self.timers.processing,
        };
        for fired in 0..FIRED_MAX {
            let Some((at, key, hash)) = ctx.state.get_mut(queue).pop_due(now)? else {
                ctx.metrics.timers_fired.add(fired);
                return Ok(Firing::Done);
            };
            let mut context = match domain {
                TimeDomain::Event => {
                    ctx.state.reach(at);
                    Context::new(&key, hash, at, self.timers, ctx)
                }
                TimeDomain::Processing => {
                    Context::new(&key, hash, at, self.timers, ctx).by_wall_clock()
                }
            };
            self.function.on_timer(Timer { at, domain }, &mut context)?;
        }
        ctx.metrics.timers_fired.add(FIRED_MAX);
        Ok(Firing::More)
    }
}

impl<P: ProcessFunction> Operator for Process<P> {
    type In = (P::Key, P::In);
    type Out = P::Out;

    fn process(
        &mut self,
        batch: Batch<(P::Key, P::In)>,
        ctx: &mut OperatorContext<'_, P::Out>,
    ) -> Result<()> {
        let Batch { items, timestamps, hashes, .. } = batch;
        for (((key, item), hash), timestamp) in items.into_iter().zip(hashes).zip(timestamps) {
            let mut context = Context::new(&key, hash, timestamp, self.timers, ctx);
            self.function.process(item, &mut context)?;
        }
        Ok(())
    }

    fn advance(&mut self, ctx: &mut OperatorContext<'_, P::Out>) -> Result<Firing> {
        self.fire(TimeDomain::Event, ctx.watermark(), ctx)
    }

    fn processing_time(&mut self, ctx: &mut OperatorContext<'_, P::Out>) -> Result<Firing> {
        self.fire(TimeDomain::Processing, ctx.clock.now(), ctx)
    }

    fn next_processing_time(&self, state: &mut StateStore) -> Option<Timestamp> {
        // What cannot be read is due at once: firing it says why.
        state.get_mut(self.timers.processing).first().unwrap_or(Some(Timestamp::MIN))
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod ttl_tests;
