//! The lock of object storage: an object `LOCK` that its holder writes anew every few seconds.
//!
//! Called by [`super::lock`] for places that the operating system cannot lock. No two clocks are
//! compared: who waits looks at the object and measures with its own clock how long that stays as
//! it is. Every write is conditional on the version that was read, so of two that take it at once
//! one is refused by the storage.
//!
//! 1. Absent, or marked as free: it is taken.
//! 2. Held: whoever wants it waits. Is it written anew meanwhile, the holder lives: refused.
//! 3. Not written for [`Times::lease`]: the holder is dead or cut off, and it is taken.
//! 4. The holder writes it every [`Times::renew`]. It trusts it only for [`Times::trust`] from the
//!    moment a successful write was sent, which is before anybody else's waiting can be over: a
//!    manifest is written under that trust only ([`Fence::check`]).
//! 5. Another's text in it: lost, for good.

mod keep;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::ObjectStore;
use riverrun_engine::clock::{Clock as _, SystemClock};
use riverrun_engine::time::Timestamp;
use tokio::sync::oneshot;

use self::keep::{look, take};
use super::lock::{LockError, LockInfo};
use crate::doors;

/// The lengths of a lease.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// A lock not written for so long is anybody's.
    pub(super) lease: Duration,
    /// How long its holder trusts it after a write was sent.
    pub(super) trust: Duration,
    /// How often it is written.
    pub(super) renew: Duration,
    /// How often it is looked at by who waits, and tried again by its holder after a failure.
    pub(super) look: Duration,
}

/// What a run uses: after a crash the way is free within eleven seconds.
pub(super) const TIMES: Times = Times {
    lease: Duration::from_secs(10),
    trust: Duration::from_secs(8),
    renew: Duration::from_millis(2500),
    look: Duration::from_millis(500),
};

/// A moment on both clocks: the monotonic one may stand still while the machine is suspended, the
/// wall clock may be set.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Duration,
    wall: Timestamp,
}

impl Moment {
    fn now() -> Self {
        Moment { monotonic: doors::monotonic(), wall: SystemClock.now() }
    }

    /// The longer of both measures.
    fn elapsed(self) -> Duration {
        let now = Moment::now();
        now.monotonic.saturating_sub(self.monotonic).max(now.wall - self.wall)
    }
}

/// What is known of a lease that is held.
#[derive(Debug)]
struct State {
    holder: LockInfo,
    /// When the last write that succeeded was sent.
    written: Moment,
    /// Who has it instead of us.
    lost_to: Option<String>,
}

/// Asks whether a lease is still held; clones ask the same.
#[derive(Clone, Debug)]
pub struct Fence {
    state: Arc<Mutex<State>>,
    trust: Duration,
}

/// Why a run may not write a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// Another run has the lock: for good.
    Lost {
        /// Who.
        holder: String,
    },
    /// The storage did not let it be renewed for so long that another may have it.
    Unsure {
        /// For how long, in milliseconds.
        silent_ms: u64,
    },
}

impl Fence {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody else can have the lock now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Fenced> {
        let state = self.state();
        if let Some(holder) = state.lost_to.clone() {
            return Err(Fenced::Lost { holder });
        }
        let silent = state.written.elapsed();
        let silent_ms = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        if silent < self.trust { Ok(()) } else { Err(Fenced::Unsure { silent_ms }) }
    }
}

/// A held lock of object storage; given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    fence: Fence,
    over: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Lease {
    /// Takes the lock of the place that `open` opens, called `path` in messages. Blocks, for a
    /// little more than the lease at the longest.
    pub(super) fn acquire<E: Into<LockError> + Send + 'static>(
        open: impl FnOnce() -> Result<Arc<dyn ObjectStore>, E> + Send + 'static,
        path: &str,
        info: &LockInfo,
        times: Times,
    ) -> Result<Lease, LockError> {
        let (place, info) = (path.to_owned(), info.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (over, ended) = oneshot::channel();
        let thread = doors::spawn_thread("lease", move || {
            let keeping = async {
                let taken = match open() {
                    Ok(objects) => take(objects, &place, info, times).await,
                    Err(error) => Err(error.into()),
                };
                match taken {
                    Ok(mut keeper) => {
                        let fence = keeper.fence.clone();
                        // Whoever waited for it is there until it is told.
                        if tell.send(Ok(fence)).is_ok() {
                            keeper.keep(ended).await;
                        }
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            };
            runtime().block_on(keeping);
        });
        let fence = told.recv().unwrap_or_else(|_| {
            let (path, reason) = (path.to_owned(), "its thread ended".to_owned());
            Err(LockError::Lease { path, reason })
        })?;
        Ok(Lease { fence, over: Some(over), thread: Some(thread) })
    }

    /// Asks whether it is still held.
    pub(super) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Says anew who holds it, with the next write.
    pub(super) fn update(&self, info: &LockInfo) {
        self.fence.state().holder = info.clone();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}

/// Who holds the lock of the place that `open` opens, alive or not; `None` when it is free. Blocks.
pub(super) fn read<E: Into<LockError> + Send + 'static>(
    open: impl FnOnce() -> Result<Arc<dyn ObjectStore>, E> + Send + 'static,
    path: &str,
) -> Result<Option<LockInfo>, LockError> {
    let place = path.to_owned();
    // On a thread of its own: the caller may be within a runtime.
    let reading = doors::spawn_thread("lock", move || {
        runtime().block_on(async {
            let found = look(open().map_err(Into::into)?.as_ref(), &place).await?;
            Ok(found.filter(|(text, _)| !text.free).map(|(text, _)| text.holder))
        })
    });
    let path = path.to_owned();
    reading
        .join()
        .unwrap_or_else(|_| Err(LockError::Lease { path, reason: "its thread ended".to_owned() }))
}

#[cfg(test)]
mod tests;
