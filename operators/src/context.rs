//! The [`Context`] of a process function: one key, one record or timer, and what may be done there.
//!
//! Made by the process operator, once for each call of the user's function.

use std::fmt;

use riverrun_engine::clock::Clock;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::key::KeyHash;
use riverrun_engine::operator::OperatorContext;
use riverrun_engine::output::{Output, SideOutput};
use riverrun_engine::state::{Keyed, Scope, StateStore};
use riverrun_engine::time::Timestamp;
use riverrun_engine::timer::Timers;

/// What a process function reaches while it is called for one key. State handles take it:
/// `self.last.get(ctx)?`.
pub struct Context<'a, K, O> {
    key: &'a K,
    hash: KeyHash,
    timestamp: Timestamp,
    /// The same, where it is a moment of event time: what the state's time to live counts from.
    event: Timestamp,
    watermark: Timestamp,
    timers: Timers<K>,
    state: &'a mut StateStore,
    output: &'a mut Output<O>,
    clock: &'a dyn Clock,
}

impl<K: Key, O> fmt::Debug for Context<'_, K, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { hash, timestamp, watermark, .. } = self;
        write!(f, "Context({hash:?} at {timestamp}, watermark {watermark})")
    }
}

impl<'a, K: Key, O: Data> Context<'a, K, O> {
    #[inline]
    pub(crate) fn new(
        key: &'a K,
        hash: KeyHash,
        timestamp: Timestamp,
        timers: Timers<K>,
        ctx: &'a mut OperatorContext<'_, O>,
    ) -> Self {
        let watermark = ctx.watermark();
        let OperatorContext { state, output, clock, .. } = ctx;
        let event = timestamp;
        Context { key, hash, timestamp, event, watermark, timers, state, output, clock: *clock }
    }

    /// Called for a moment of processing time.
    pub(crate) fn by_wall_clock(self) -> Self {
        Context { event: Timestamp::MIN, ..self }
    }

    /// The key.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &K {
        self.key
    }

    /// When the record happened, or what the timer was set for.
    #[inline]
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// No record with an earlier timestamp is expected: a record behind it is late.
    /// [`Timestamp::MAX`] once the stream has ended.
    #[inline]
    #[must_use]
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The wall clock. Results that depend on it differ from run to run.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Emits an item with the timestamp of the record, or the moment of the timer.
    #[inline]
    pub fn emit(&mut self, item: O) {
        self.output.emit(item, self.timestamp);
    }

    /// Emits an item with a timestamp of your choice. One behind the watermark is late downstream.
    #[inline]
    pub fn emit_at(&mut self, item: O, timestamp: Timestamp) {
        self.output.emit(item, timestamp);
    }

    /// Emits an item to a side output, with the timestamp of [`Context::emit`].
    pub fn emit_to<U: Data>(&mut self, side: SideOutput<U>, item: U) {
        self.output.emit_to(side, item, self.timestamp);
    }

    /// Sets a timer of this key for when the watermark reaches `at`; one that is set already stays
    /// one timer. At or before the watermark it fires when the watermark next moves (set by
    /// `on_timer`: right after it).
    ///
    /// At the end of a bounded stream every timer fires; a timer that sets the next for ever must
    /// not do so when [`Context::watermark`] is [`Timestamp::MAX`], or the job never ends.
    pub fn set_timer(&mut self, at: Timestamp) {
        let set = self.state.get_mut(self.timers.event).set(at, self.hash, self.key);
        set.expect(ENCODED);
    }

    /// Deletes the timer of this key at `at`, if it is set.
    pub fn delete_timer(&mut self, at: Timestamp) {
        let deleted = self.state.get_mut(self.timers.event).delete(at, self.hash, self.key);
        deleted.expect(ENCODED);
    }

    /// Sets a timer of this key for when the wall clock reaches `at`. Those not reached when a
    /// bounded stream ends do not fire.
    pub fn set_processing_timer(&mut self, at: Timestamp) {
        let set = self.state.get_mut(self.timers.processing).set(at, self.hash, self.key);
        set.expect(ENCODED);
    }

    /// Deletes the processing-time timer of this key at `at`, if it is set.
    pub fn delete_processing_timer(&mut self, at: Timestamp) {
        let deleted = self.state.get_mut(self.timers.processing).delete(at, self.hash, self.key);
        deleted.expect(ENCODED);
    }
}

/// Why setting a timer cannot fail: a key without an encoding has no hash, and came not this far.
const ENCODED: &str = "the key was encoded when it was hashed";

impl<K: Key, O> Keyed for Context<'_, K, O> {
    type Key = K;

    #[inline]
    fn scope(&mut self) -> Scope<'_, K> {
        let Context { key, hash, event, .. } = *self;
        Scope { key, hash, state: self.state, timestamp: event }
    }
}
