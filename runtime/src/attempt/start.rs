//! How an attempt starts, in this order: participants, the decision which checkpoint holds, its
//! state, the splits, recovery of what was prepared, building of every subtask, then the first
//! record.

use std::collections::BTreeMap;
use std::sync::Arc;

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::clock::{Clock, SystemClock};
use riverrun_engine::context::TaskContext;
use riverrun_engine::element::Origin;
use riverrun_engine::graph::{Graph, Node, NodeKind, Uid};
use tokio::sync::{mpsc, watch};

use super::coordinator::{AttemptEnd, Coordinator};
use super::participants::Participants;
use super::restore::Restore;
use super::wiring::wire;
use super::worker::{self, Signal};
use super::write::Writer;
use crate::checkpoint::restore::{OpenFiles, begin};
use crate::checkpoint::{Chain, CheckpointStore, Start, StoreError};
use crate::config::{Config, RunOptions};
use crate::control::Command;
use crate::doors::{OsThreads, TokioSleep};
use crate::plan::{Plan, plan};
use crate::run::RunError;
use crate::status::{JobStatus, Phase};
use crate::task::build::Shared;
use crate::task::report::Report;

/// Reports the coordinator has not looked at yet; a task that reports waits when there are more.
const REPORTS_MAX: usize = 1024;

/// What every attempt of a run has in common.
pub struct Attempt<'a> {
    /// The job.
    pub job: Arc<str>,
    /// The graph.
    pub graph: Arc<Graph>,
    /// The settings.
    pub config: &'a Config,
    /// Where checkpoints are.
    pub store: CheckpointStore,
    /// The live numbers.
    pub status: Arc<JobStatus>,
    /// Which attempt of this run, from 1.
    pub number: u32,
    /// Its unique name.
    pub name: Arc<str>,
    /// Records among which one failed the attempt before.
    pub suspects: Vec<Origin>,
}

/// How a start can end without an attempt.
pub enum Started {
    /// The attempt ran.
    Ran(AttemptEnd),
    /// The job had ended before: nothing to do.
    Finished(CheckpointId),
}

impl Attempt<'_> {
    fn context(&self, node: &Node) -> TaskContext {
        TaskContext {
            job: self.job.clone(),
            uid: node.uid.clone(),
            subtask: 0,
            parallelism: node.parallelism.unwrap_or(self.config.parallelism),
            attempt: self.name.clone(),
            clock: Arc::new(SystemClock),
            threads: Arc::new(OsThreads),
            sleep: Arc::new(TokioSleep),
            metrics: self.status.metrics(&node.uid, 0),
        }
    }

    /// Starts and runs the attempt.
    ///
    /// # Errors
    /// What another attempt would not mend.
    pub async fn run(
        &self,
        options: &RunOptions,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<Started, RunError> {
        self.status.set_phase(Phase::Restoring);
        let broken =
            |error: anyhow::Error| Ok(Started::Ran(AttemptEnd::Broken(format!("{error:#}"))));
        let mut participants = Participants::of(&self.graph, |node| self.context(node))
            .map_err(|e| RunError::Sinks(format!("{e:#}")))?;
        let stored = match self.store.list().await {
            Ok(stored) => stored,
            // Storage that does not answer now may answer the next attempt.
            Err(error @ StoreError::Read { .. }) => return broken(error.into()),
            Err(error) => return Err(error.into()),
        };
        let decided = match participants.decided(stored).await {
            Ok(decided) => decided,
            Err(error) => return broken(error),
        };
        let begin = begin(&self.store, &self.job, options, decided).await?;
        let (state, checkpoint, prepared) = match begin.start {
            Start::Finished(state) => {
                // The run before may have died between its last checkpoint and the commit of it.
                let (checkpoint, prepared) = (state.manifest.checkpoint, &state.manifest.prepared);
                return match participants.recover(Some(checkpoint), prepared).await {
                    Ok(()) => Ok(Started::Finished(checkpoint)),
                    Err(error) => broken(error),
                };
            }
            Start::Beginning => (None, None, BTreeMap::new()),
            Start::Restored(state) => {
                state.manifest.check_key_groups(self.config.key_groups)?;
                let (checkpoint, prepared) =
                    (state.manifest.checkpoint, state.manifest.prepared.clone());
                // Another store's outputs are another job's history: nothing of them is ours.
                let prepared = if state.own { prepared } else { BTreeMap::new() };
                (Some(state), Some(checkpoint), prepared)
            }
        };
        let own = state.as_ref().is_none_or(|state| state.own);
        let groups = self.config.key_groups;
        let mut restore = Restore::plan(&self.graph, groups, state, &options.drop_state)?;
        for (_, node) in self.graph.nodes() {
            if let NodeKind::Source(source) = &node.kind {
                match source.discover(&self.context(node)).await {
                    Ok(splits) => restore.add_splits(&node.uid, splits),
                    Err(error) => {
                        let error = error.context(format!("source '{}' has no splits", node.uid));
                        return broken(error);
                    }
                }
            }
        }
        let recovered = participants.recover(checkpoint.filter(|_| own), &prepared).await;
        if let Err(error) = recovered {
            return broken(error);
        }
        if let Err(error) = self.store.remove_orphans(&self.name).await {
            tracing::warn!(%error, "left-overs of earlier attempts remain");
        }
        self.status.begin_attempt(self.number, checkpoint);
        let (job, attempt) = (&*self.job, self.number);
        match checkpoint {
            Some(checkpoint) => tracing::info!(job, attempt, %checkpoint, "attempt begins"),
            None => tracing::info!(job, attempt, "attempt begins, from nothing"),
        }
        Ok(Started::Ran(self.go(restore, participants, begin.next, commands).await))
    }

    async fn go(
        &self,
        restore: Restore,
        participants: Participants,
        next: CheckpointId,
        commands: &mut mpsc::Receiver<Command>,
    ) -> AttemptEnd {
        let config = self.config;
        let plan = plan(&self.graph, config.parallelism);
        let wired = wire(&self.graph, &plan, config.key_groups);
        let (reports, mut reported) = mpsc::channel(REPORTS_MAX);
        let tracked = !config.checkpoint.interval.is_zero();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (base, files) = (restore.base(), restore.files());
        let shared = Arc::new(Shared {
            job: self.job.clone(),
            attempt: self.name.clone(),
            graph: self.graph.clone(),
            key_groups: config.key_groups,
            tracked,
            clock: clock.clone(),
            threads: Arc::new(OsThreads),
            sleep: Arc::new(TokioSleep),
            status: self.status.clone(),
            reports,
            restore,
            suspects: self.suspects.clone(),
        });
        let subtasks = wired.specs.iter().map(|spec| spec.subtask).collect();
        let coordinator = Coordinator {
            store: self.store.clone(),
            writer: self.writer(&plan, base),
            participants,
            config: config.checkpoint.clone(),
            tracked,
            attempt: self.name.clone(),
            orders: wired.orders,
            subtasks,
            next,
            clock,
            status: self.status.clone(),
        };
        let (signal, signalled) = watch::channel(Signal::Build);
        let mut per_worker: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
        for spec in wired.specs {
            per_worker[(spec.subtask.index % config.workers) as usize].push(spec);
        }
        let workers = (0..).zip(per_worker).filter(|(_, specs)| !specs.is_empty());
        let spawn = |(index, specs)| worker::spawn(index, specs, shared.clone(), signalled.clone());
        let threads: Vec<_> = workers.map(spawn).collect();
        drop(shared);
        let end = match ready(&coordinator, &mut reported).await {
            Some(end) => end,
            None => {
                files.iter().for_each(OpenFiles::close);
                self.status.set_phase(Phase::Running);
                signal.send_replace(Signal::Run);
                coordinator.run(&mut reported, commands).await
            }
        };
        signal.send_replace(Signal::Cancel);
        drop(reported);
        for thread in threads {
            // Its tasks' panics are caught; one in a destructor was printed and ends only the
            // thread.
            drop(thread.join());
        }
        end
    }

    fn writer(&self, plan: &Plan, base: Option<Chain>) -> Writer {
        let mut parallelism: BTreeMap<Uid, u32> = BTreeMap::new();
        for task in &plan.tasks {
            for node in &task.nodes {
                parallelism.insert(self.graph.node(*node).uid.clone(), task.parallelism);
            }
        }
        let names = (self.job.clone(), self.name.clone());
        let (graph, groups) = (&self.graph, self.config.key_groups);
        Writer::new(self.store.clone(), names, graph, groups, parallelism, base)
    }
}

/// Waits until every subtask is built and restored; `Some` when one is not.
async fn ready(
    coordinator: &Coordinator,
    reports: &mut mpsc::Receiver<Report>,
) -> Option<AttemptEnd> {
    let mut waiting = coordinator.subtasks.clone();
    while !waiting.is_empty() {
        match reports.recv().await {
            Some(Report::Ready(subtask)) => drop(waiting.remove(&subtask)),
            Some(Report::Failed(failure)) => return Some(AttemptEnd::Failed(failure)),
            Some(_) => {}
            None => return Some(AttemptEnd::Broken("all workers are gone".to_owned())),
        }
    }
    None
}
