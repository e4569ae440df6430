//! The runtime's doors to threads and time: everything that spawns, sleeps or measures goes through
//! here, so that it can be led elsewhere.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use riverrun_engine::context::{Sleep, Threads};

/// Starts a thread called `name`.
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

/// Runs `work` to its end on this thread, which is a thread of the caller's own.
///
/// # Panics
/// Within a runtime; when the system gives no runtime.
pub fn wait_for<R>(work: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the system gives a runtime").block_on(work)
}

/// Waits on this thread, which is no task's: a drill's, or one that is told to dawdle.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Time since the process began to ask: for durations, never for event time.
#[must_use]
pub fn monotonic() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

/// Threads of the operating system, one for each piece of work.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsThreads;

impl Threads for OsThreads {
    fn run(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        drop(spawn_thread(name, work));
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
