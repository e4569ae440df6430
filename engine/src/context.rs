//! What the runtime lends to sources and sinks: who they are, the clock, waiting, and threads
//! for blocking work. Under simulation the same doors lead to a paused clock and to threads that
//! run inline.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::graph::Uid;
use crate::metrics::OperatorMetrics;
use crate::operator::Result;
use crate::rehearsal::Scratch;

/// Threads of their own for blocking work: the door to spawning.
pub trait Threads: Send + Sync + 'static {
    /// Runs `work` on a thread called `name`; returns at once.
    fn run(&self, name: &str, work: Box<dyn FnOnce() + Send>);
}

/// Waiting without a thread: the door to timers.
pub trait Sleep: Send + Sync + 'static {
    /// Ends after `duration`. Cancel-safe.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Who a source or sink subtask is, and what it may use.
#[derive(Clone)]
pub struct TaskContext {
    /// The job.
    pub job: Arc<str>,
    /// The source or sink.
    pub uid: Uid,
    /// Which copy.
    pub subtask: u32,
    /// Of how many.
    pub parallelism: u32,
    /// A name no other attempt of this job has, for what must not be mixed up with their
    /// left-overs.
    pub attempt: Arc<str>,
    /// How often checkpoints are taken; `None`: only when asked for, and at the end.
    pub checkpoint_interval: Option<Duration>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Threads for blocking work.
    pub threads: Arc<dyn Threads>,
    /// Waiting.
    pub sleep: Arc<dyn Sleep>,
    /// In a drill: where sinks write in place of where their output belongs, and what is read.
    pub scratch: Option<Arc<Scratch>>,
    /// The subtask's counters.
    pub metrics: Arc<OperatorMetrics>,
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskContext({} {}/{})", self.uid, self.subtask, self.parallelism)
    }
}

impl TaskContext {
    /// Where a sink that writes into `folder` writes: there, or in a drill into the scratch folder
    /// of its own.
    #[must_use]
    pub fn output_folder(&self, folder: &Path) -> PathBuf {
        match &self.scratch {
            Some(scratch) => scratch.folder.join(&*self.uid.0),
            None => folder.to_owned(),
        }
    }

    /// In a drill: what this source is to read, if its input may move.
    #[must_use]
    pub fn slice(&self) -> Option<&str> {
        self.scratch.as_ref()?.slices.get(&self.uid).map(String::as_str)
    }

    /// Runs blocking work on a thread of its own and waits for it without blocking the worker.
    /// Dropping the future does not stop the work.
    ///
    /// # Errors
    /// What the work returns; a panic in it.
    pub fn blocking<R: Send + 'static, F: FnOnce() -> Result<R> + Send + 'static>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<R>> + Send + 'static + use<R, F> {
        let (done, result) = oneshot::channel();
        let name = format!("{}-{}", self.uid, self.subtask);
        // The receiver is gone only when the attempt is: nobody is left to tell.
        self.threads.run(&name, Box::new(move || drop(done.send(work()))));
        async move {
            result.await.unwrap_or_else(|_| Err(anyhow::anyhow!("panicked on thread '{name}'")))
        }
    }
}
