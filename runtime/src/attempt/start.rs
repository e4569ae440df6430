//! How an attempt starts, in this order: participants, the decision which checkpoint holds, its
//! state, the splits, recovery of what was prepared, building of every subtask, then the first
//! record. Up to there a stop ends the run without a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointName};
use riverrun_engine::clock::Clock;
use riverrun_engine::context::TaskContext;
use riverrun_engine::crash_point;
use riverrun_engine::element::Origin;
use riverrun_engine::graph::{Graph, Node, NodeKind, Uid};
use riverrun_engine::sink::Superseded;
use tokio::sync::{mpsc, watch};

use super::coordinator::{AttemptEnd, Coordinator};
use super::memory::{self, StateMemory};
use super::participants::{Participants, PreparedBy};
use super::restore::Restore;
use super::wiring::wire;
use super::worker::{self, Signal};
use super::write::Writer;
use crate::checkpoint::restore::{OpenFiles, begin, refuse_early};
use crate::checkpoint::{Chain, CheckpointStore, Start};
use crate::config::{Config, RunOptions};
use crate::control::Command;
use crate::doors::{self, OsThreads, TokioSleep};
use crate::plan::{Plan, plan};
use crate::run::{RunError, stop_asked};
use crate::status::{JobStatus, Phase};
use crate::task::build::{Shared, SubtaskSpec};
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
    /// A stop was asked for before the first record.
    Stopped,
}

/// What came of building the subtasks.
enum Built {
    Ready,
    Failed(AttemptEnd),
    Stopped,
}

/// Where an attempt begins, once that is settled.
struct Beginning {
    restore: Restore,
    prepared: PreparedBy,
    checkpoint: Option<CheckpointName>,
    /// Whether the checkpoint is of the job's own store.
    own: bool,
    next: CheckpointId,
}

/// How settling it can end.
enum Settled {
    Begins(Box<Beginning>),
    /// The job had ended; what it had prepared may still have to be committed.
    Finished(CheckpointName, PreparedBy),
    /// To be tried again by the next attempt.
    Broken(anyhow::Error),
}

impl Attempt<'_> {
    fn interval(&self) -> Option<Duration> {
        let interval = self.config.checkpoint.interval;
        (!interval.is_zero()).then_some(interval)
    }

    fn context(&self, node: &Node) -> TaskContext {
        TaskContext {
            job: self.job.clone(),
            uid: node.uid.clone(),
            subtask: 0,
            parallelism: node.parallelism.unwrap_or(self.config.parallelism),
            attempt: self.name.clone(),
            checkpoint_interval: self.interval(),
            clock: doors::clock(),
            threads: Arc::new(OsThreads),
            sleep: Arc::new(TokioSleep),
            scratch: self.config.scratch.clone(),
            metrics: self.status.metrics(&node.uid, 0),
        }
    }

    /// Starts and runs the attempt. A stop is heard at any moment; only what is recovering output
    /// is let finish first, so that nothing goes on behind a lock that was given back.
    ///
    /// # Errors
    /// What another attempt would not mend.
    pub async fn run(
        &self,
        options: &RunOptions,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<Started, RunError> {
        self.status.set_phase(Phase::Restoring);
        let plan = plan(&self.graph, self.config.parallelism);
        let divided = memory::divide(&self.graph, &plan, self.config)?;
        let broken =
            |error: anyhow::Error| Ok(Started::Ran(AttemptEnd::Broken(format!("{error:#}"))));
        let mut participants = Participants::of(&self.graph, |node| self.context(node))
            .map_err(|e| RunError::Sinks(format!("{e:#}")))?;
        let settled = tokio::select! {
            biased;
            settled = self.settle(options, &mut participants) => settled?,
            () = stop_asked(commands) => return Ok(Started::Stopped),
        };
        let Beginning { restore, prepared, checkpoint, own, next } = match settled {
            Settled::Begins(beginning) => *beginning,
            Settled::Broken(error) => return broken(error),
            Settled::Finished(checkpoint, prepared) => {
                // The run before may have died between its last checkpoint and the commit of it.
                return match self.recover(&mut participants, Some(&checkpoint), &prepared).await {
                    Ok(()) => Ok(Started::Finished(checkpoint.checkpoint)),
                    Err(error) => broken(error),
                };
            }
        };
        // Settling may have taken long: by now another run may hold the store, and have output.
        if let Err(error) = self.store.still_held(next) {
            return broken(error.into());
        }
        let held = checkpoint.as_ref().filter(|_| own);
        if let Err(error) = self.recover(&mut participants, held, &prepared).await {
            return broken(error);
        }
        crash_point!("start.recovered");
        if let Err(error) = self.store.remove_orphans(&self.name).await {
            tracing::warn!(%error, "left-overs of earlier attempts remain");
        }
        crash_point!("start.cleaned");
        let checkpoint = checkpoint.map(|name| name.checkpoint);
        self.status.begin_attempt(self.number, checkpoint);
        let (job, attempt) = (&*self.job, self.number);
        match checkpoint {
            Some(checkpoint) => tracing::info!(job, attempt, %checkpoint, "attempt begins"),
            None => tracing::info!(job, attempt, "attempt begins, from nothing"),
        }
        let names = (&*self.job, &*self.name);
        match memory::open((&self.graph, &plan, self.config), &divided, names) {
            Ok(memory) => Ok(self.go((plan, memory), restore, participants, next, commands).await),
            Err(error) => broken(error.into()),
        }
    }

    /// Commits again what was prepared for `checkpoint`, which must outlive what is visible then.
    async fn recover(
        &self,
        participants: &mut Participants,
        checkpoint: Option<&CheckpointName>,
        prepared: &PreparedBy,
    ) -> anyhow::Result<()> {
        self.store.settle()?;
        participants.recover(checkpoint, prepared).await
    }

    /// Settles where the attempt begins. Reads only, so it may be given up at any moment.
    async fn settle(
        &self,
        options: &RunOptions,
        participants: &mut Participants,
    ) -> Result<Settled, RunError> {
        // What the attempt before wrote last may be on its way: the checkpoint it makes whole must
        // not come up behind the back of this one.
        let written = self.store.written();
        if tokio::time::timeout(self.config.checkpoint.timeout, written).await.is_err() {
            let late = anyhow::anyhow!("what the attempt before wrote is still on its way");
            return Ok(Settled::Broken(late));
        }
        match participants.visible().await {
            Ok(None) => {}
            Ok(Some(visible)) => {
                match refuse_early(&self.store, &self.job, options, visible).await {
                    Err(error) if error.may_pass() => return Ok(Settled::Broken(error.into())),
                    refused => refused?,
                }
            }
            Err(error) => return Ok(Settled::Broken(error)),
        }
        let decided = match participants.decided().await {
            Ok(decided) => decided,
            Err(error) => match error.downcast::<Superseded>() {
                Ok(superseded) => return Err(superseded.into()),
                Err(error) => return Ok(Settled::Broken(error)),
            },
        };
        crash_point!("start.decided");
        let begin = match begin(&self.store, &self.job, options, decided).await {
            Err(error) if error.may_pass() => return Ok(Settled::Broken(error.into())),
            begin => begin?,
        };
        let state = match begin.start {
            Start::Finished(state) => {
                let manifest = state.manifest;
                return Ok(Settled::Finished(manifest.name(), manifest.prepared));
            }
            Start::Beginning => None,
            Start::Restored(state) => Some(state),
        };
        let (checkpoint, own) = match &state {
            Some(state) => {
                state.manifest.check_key_groups(self.config.key_groups)?;
                (Some(state.manifest.name()), state.own)
            }
            None => (None, true),
        };
        // Another store's outputs are another job's history: nothing of them is ours.
        let prepared = state.as_ref().filter(|state| state.own);
        let prepared = prepared.map(|state| state.manifest.prepared.clone()).unwrap_or_default();
        let groups = self.config.key_groups;
        let mut restore = Restore::plan(&self.graph, groups, state, &options.drop_state)?;
        for (_, node) in self.graph.nodes() {
            if let NodeKind::Source(source) = &node.kind {
                match source.discover(&self.context(node), restore.has_splits(&node.uid)).await {
                    Ok(splits) => restore.add_splits(&node.uid, splits),
                    Err(error) => {
                        let error = error.context(format!("source '{}' has no splits", node.uid));
                        return Ok(Settled::Broken(error));
                    }
                }
            }
        }
        let next = begin.next;
        Ok(Settled::Begins(Box::new(Beginning { restore, prepared, checkpoint, own, next })))
    }

    async fn go(
        &self,
        (plan, memory): (Plan, StateMemory),
        restore: Restore,
        participants: Participants,
        next: CheckpointId,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Started {
        let config = self.config;
        let (groups, batches) = (config.key_groups, memory.channel_batches);
        let wired = wire((&self.graph, &plan), groups, batches, &restore);
        let (reports, mut reported) = mpsc::channel(REPORTS_MAX);
        let tracked = !config.checkpoint.interval.is_zero();
        let clock: Arc<dyn Clock> = doors::clock();
        let (base, files) = (restore.base(), restore.files());
        let shared = Arc::new(Shared {
            job: self.job.clone(),
            attempt: self.name.clone(),
            graph: self.graph.clone(),
            key_groups: config.key_groups,
            tracked,
            checkpoint_interval: self.interval(),
            clock: clock.clone(),
            threads: Arc::new(OsThreads),
            sleep: Arc::new(TokioSleep),
            scratch: config.scratch.clone(),
            pace: config.pace,
            status: self.status.clone(),
            reports,
            restore,
            suspects: self.suspects.clone(),
            memory,
        });
        let subtasks = wired.specs.iter().map(|spec| spec.subtask).collect();
        let coordinator = Coordinator {
            store: self.store.clone(),
            writer: self.writer(&plan, base),
            participants,
            config: config.checkpoint.clone(),
            tracked,
            rehearsed: config.scratch.is_some(),
            attempt: self.name.clone(),
            orders: wired.orders,
            subtasks,
            next,
            clock,
            status: self.status.clone(),
        };
        let (signal, signalled) = watch::channel(Signal::Build);
        let workers: Vec<_> = per_worker(wired.specs, config.workers)
            .map(|(i, specs)| worker::spawn(i, specs, shared.clone(), signalled.clone()))
            .collect();
        drop(shared);
        let started = match built(&coordinator, &mut reported, commands).await {
            Built::Stopped => Started::Stopped,
            Built::Failed(end) => Started::Ran(end),
            Built::Ready => {
                self.may_run(files.as_ref());
                signal.send_replace(Signal::Run);
                Started::Ran(coordinator.run(&mut reported, commands).await)
            }
        };
        signal.send_replace(Signal::Cancel);
        drop(reported);
        for worker in workers {
            worker.ended().await;
        }
        started
    }

    /// Every subtask is built and restored: the first record may come.
    fn may_run(&self, files: Option<&OpenFiles>) {
        files.into_iter().for_each(OpenFiles::close);
        crash_point!("start.built");
        self.status.set_phase(Phase::Running);
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

/// The subtasks of each worker that has any.
fn per_worker(
    specs: Vec<SubtaskSpec>,
    workers: u32,
) -> impl Iterator<Item = (u32, Vec<SubtaskSpec>)> {
    let mut per_worker: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for spec in specs {
        per_worker[(spec.subtask.index % workers) as usize].push(spec);
    }
    (0..).zip(per_worker).filter(|(_, specs)| !specs.is_empty())
}

/// Waits until every subtask is built and restored, or one is not, or a stop is asked for.
async fn built(
    coordinator: &Coordinator,
    reports: &mut mpsc::Receiver<Report>,
    commands: &mut mpsc::Receiver<Command>,
) -> Built {
    tokio::select! {
        biased;
        failed = ready(coordinator, reports) => failed.map_or(Built::Ready, Built::Failed),
        () = stop_asked(commands) => Built::Stopped,
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
