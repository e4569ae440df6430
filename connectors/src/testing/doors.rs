//! The smallest executor, and doors to threads and timers, for checks without the runtime.

#![allow(clippy::disallowed_methods, reason = "stands in for the runtime's doors in tests")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;
use riverrun_engine::clock::SystemClock;
use riverrun_engine::context::{Sleep, TaskContext, Threads};
use riverrun_engine::graph::Uid;
use riverrun_engine::metrics::OperatorMetrics;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one future to its end on the calling thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).expect("the system starts a thread");
}

struct PlainThreads;

impl Threads for PlainThreads {
    fn run(&self, name: &str, work: Box<dyn FnOnce() + Send>) {
        spawn(name, work);
    }
}

struct ThreadSleep;

impl Sleep for ThreadSleep {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (done, over) = oneshot::channel();
        spawn("sleep", move || {
            std::thread::sleep(duration);
            // Nobody waits any more when the future was dropped.
            let _ = done.send(());
        });
        Box::pin(async {
            let _ = over.await;
        })
    }
}

/// What the runtime would lend to subtask `subtask` of `parallelism` of the source or sink `uid`,
/// in the attempt called `attempt` of the job `test`.
#[must_use]
pub fn context(uid: &str, subtask: u32, parallelism: u32, attempt: &str) -> TaskContext {
    TaskContext {
        job: "test".into(),
        uid: Uid::new(uid),
        subtask,
        parallelism,
        attempt: attempt.into(),
        checkpoint_interval: Some(Duration::from_secs(1)),
        clock: Arc::new(SystemClock),
        threads: Arc::new(PlainThreads),
        sleep: Arc::new(ThreadSleep),
        scratch: None,
        metrics: Arc::new(OperatorMetrics::default()),
    }
}
