//! A world that a simulation puts in the place of the machine's: a whole job on one thread.
//!
//! [`install`]ed for the thread that installs it, and asked by the doors of [`super`]. What would
//! be a thread is a task of the world, which alone decides who goes on; time is what the world
//! says. Invariant: the doors look for a world when something is spawned, begun or waited for,
//! never for a record; without one that is a look at a thread-local.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use riverrun_engine::element::BATCH_RECORDS;
use riverrun_engine::time::Timestamp;

use crate::checkpoint::compaction::{SEGMENTS_MAX, SMALL_MIN};
use crate::task::emitter::PART_RECORDS;
use crate::task::inbox::CHANNEL_BATCHES;

/// What stands behind the doors of one thread.
pub trait World {
    /// Takes up `work`, which is polled on this thread until it has ended; returns its number.
    fn spawn(&self, name: &str, work: LocalBoxFuture<'static, ()>) -> u64;
    /// Drops what is left of task `number`: nothing, if it has ended.
    fn end(&self, number: u64);
    /// Time since the world began.
    fn monotonic(&self) -> Duration;
    /// What the wall clock shows.
    fn now(&self) -> Timestamp;
    /// A name no other run of this world has: of `a-z`, `0-9` and `-`.
    fn run_name(&self) -> String;
    /// How much goes at once.
    fn sizes(&self) -> Sizes;
}

/// How much goes at once: small numbers let much happen within a short run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Batches in a channel, at most.
    pub channel_batches: usize,
    /// Records in a batch that a source reads, at most; where it is dealt out, in a part of it.
    pub batch_records: usize,
    /// Records from which on a part of a batch travels alone.
    pub part_records: usize,
    /// Bytes of changes from which on a small state is worth a merge.
    pub merge_bytes: u64,
    /// Segments that a manifest names before some are squashed.
    pub segments: usize,
    /// Bytes that change from which on the next checkpoint holds everything, where they are half.
    pub rewritten_min: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            channel_batches: CHANNEL_BATCHES,
            batch_records: BATCH_RECORDS,
            part_records: PART_RECORDS,
            merge_bytes: SMALL_MIN,
            segments: SEGMENTS_MAX,
            // Less is not worth a merge.
            rewritten_min: SMALL_MIN,
        }
    }
}

thread_local! {
    static WORLD: RefCell<Option<Rc<dyn World>>> = const { RefCell::new(None) };
}

/// This thread has a world as long as this lives.
#[derive(Debug)]
pub struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        WORLD.with_borrow_mut(Option::take);
    }
}

/// Gives this thread a world.
///
/// # Panics
/// When it has one already.
#[must_use]
pub fn install(world: Rc<dyn World>) -> Installed {
    let before = WORLD.with_borrow_mut(|place| place.replace(world));
    assert!(before.is_none(), "this thread has a world already");
    Installed(())
}

pub(super) fn current() -> Option<Rc<dyn World>> {
    WORLD.with_borrow(Clone::clone)
}

/// What the world says, if there is one.
pub(super) fn ask<R>(question: impl FnOnce(&dyn World) -> R) -> Option<R> {
    WORLD.with_borrow(|world| world.as_deref().map(question))
}
