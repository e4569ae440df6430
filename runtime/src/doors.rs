//! The runtime's doors to threads and time: everything that spawns, sleeps or measures goes through
//! here, and so can be led elsewhere: on a thread with a [`World`] of its own it is.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

mod tasks;
mod world;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::BoxFuture;
use riverrun_engine::clock::{Clock, SystemClock};
use riverrun_engine::context::{Sleep, Threads};
use riverrun_engine::time::Timestamp;

pub use tasks::{Aside, Blocking, Tasks, Worker, aside, blocking, detached, give_way, worker};
pub use world::{Installed, Sizes, World, install};

/// Starts a thread called `name`, in whatever world.
///
/// # Panics
/// When the system has no thread left: nothing can go on then.
pub fn spawn_thread<R: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> JoinHandle<R> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).expect("the system starts a thread")
}

/// Runs `work`, which may block, on a thread of its own; nobody waits for it.
pub fn beside(name: &str, work: impl FnOnce() + Send + 'static) {
    match world::current() {
        Some(world) => drop(world.spawn(name, Box::pin(async move { work() }))),
        None => drop(spawn_thread(name, work)),
    }
}

/// Runs `work` to its end on this thread, which is a thread of the caller's own.
///
/// # Panics
/// Within a runtime; when the system gives no runtime.
pub fn wait_for<R>(work: impl Future<Output = R>) -> R {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(FILES_AT_ONCE).build();
    runtime.expect("the system gives a runtime").block_on(work)
}

/// How many files are read and written at once by such a thread. Each takes a thread, which stays
/// as long as files come again within seconds: where checkpoints do, every stall would add some.
const FILES_AT_ONCE: usize = 4;

/// Waits on this thread, which is no task's: a drill's, or one that is told to dawdle.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Time that passes evenly: for durations, never for event time.
#[must_use]
pub fn monotonic() -> Duration {
    world::ask(|world| world.monotonic()).unwrap_or_else(|| SystemClock.monotonic())
}

/// The wall clock.
#[must_use]
pub fn clock() -> Arc<dyn Clock> {
    match world::current() {
        Some(_) => Arc::new(WorldClock),
        None => Arc::new(SystemClock),
    }
}

/// The clock of the world that the thread has which asks.
struct WorldClock;

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        world::ask(|world| world.now()).unwrap_or_else(|| SystemClock.now())
    }

    fn monotonic(&self) -> Duration {
        monotonic()
    }
}

/// A name no other run has, where the world gives one: processes have their own way.
#[must_use]
pub fn run_name() -> Option<String> {
    world::ask(|world| world.run_name())
}

/// How much goes at once.
#[must_use]
pub fn sizes() -> Sizes {
    world::ask(|world| world.sizes()).unwrap_or_default()
}

/// A thread of the operating system for each piece of work, or a task of the world.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsThreads;

impl Threads for OsThreads {
    fn run(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        beside(name, work);
    }
}

/// Sleeps on the clock of the tokio runtime of the caller.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioSleep;

impl Sleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}
