//! Workers: one thread each, one current-thread tokio runtime, the tasks of its subtasks.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use riverrun_engine::graph::Uid;
use tokio::sync::watch;
use tracing::Instrument;

use crate::doors::{self, Tasks, Worker};
use crate::task::build::{Shared, SubtaskSpec};
use crate::task::failure::{Guard, Stopped};
use crate::task::report::Report;

/// What all workers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Build, then wait.
    Build,
    /// All are built: run.
    Run,
    /// The attempt is over: drop everything.
    Cancel,
}

/// Starts worker `index` with its subtasks.
pub fn spawn(
    index: u32,
    specs: Vec<SubtaskSpec>,
    shared: Arc<Shared>,
    signal: watch::Receiver<Signal>,
) -> Worker {
    doors::worker(&format!("worker-{index}"), move || work(specs, shared, signal))
}

async fn work(specs: Vec<SubtaskSpec>, shared: Arc<Shared>, mut signal: watch::Receiver<Signal>) {
    let mut tasks = Tasks::none();
    for spec in specs {
        let first = spec.task.nodes.first().map(|id| shared.graph.node(*id).uid.clone());
        let operator = first.map(|uid| uid.to_string()).unwrap_or_default();
        let (job, subtask) = (&*shared.job, spec.subtask.index);
        let span = tracing::info_span!("task", job, operator, subtask);
        let name = format!("{operator}-{subtask}");
        tasks.start(&name, run_subtask(spec, shared.clone(), signal.clone()).instrument(span));
    }
    let cancelled = async {
        // The sender is gone only when the attempt is over too.
        while *signal.borrow_and_update() != Signal::Cancel && signal.changed().await.is_ok() {}
    };
    tokio::select! {
        biased;
        () = cancelled => {}
        () = tasks.ended() => {}
    }
}

async fn run_subtask(spec: SubtaskSpec, shared: Arc<Shared>, mut signal: watch::Receiver<Signal>) {
    let id = spec.subtask;
    let first = spec.task.nodes.first().map(|node| shared.graph.node(*node).uid.clone());
    let uid = first.unwrap_or_else(|| Uid::new("engine"));
    let ran = async {
        let built = spec.build(&shared).await?;
        shared.reports.send(Report::Ready(id)).await.map_err(|_| Stopped::Cancelled)?;
        let run = signal.wait_for(|signal| *signal != Signal::Build).await;
        run.map_err(|_| Stopped::Cancelled)?;
        drop(signal);
        built.run(shared.clock.clone()).await
    };
    let ran = AssertUnwindSafe(ran).catch_unwind().await;
    let guard = Guard { uid, subtask: id.index };
    let ran = ran.unwrap_or_else(|panic| Err(guard.panicked(panic.as_ref())));
    if let Err(Stopped::Failed(failure)) = ran {
        // Nobody listens only when the attempt is over: then there is nobody to tell.
        drop(shared.reports.send(Report::Failed(failure)).await);
    }
}
