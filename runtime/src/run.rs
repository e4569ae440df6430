//! A run of a job: attempts, one after the other, until it has ended, was stopped, or gives up.
//!
//! An attempt that fails is followed by the next after a pause that doubles; a completed checkpoint
//! between two failures begins the count anew, unless the same records fail again. After a failure
//! of user code the records in question are read again one at a time, so that the one that fails
//! twice can be named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::compat::CompatError;
use riverrun_engine::crash_point;
use riverrun_engine::element::Origin;
use riverrun_engine::graph::Graph;
use riverrun_engine::sink::Superseded;
use riverrun_engine::time::Timestamp;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::attempt::coordinator::AttemptEnd;
use crate::attempt::memory::keep_freed;
use crate::attempt::start::{Attempt, Started};
use crate::checkpoint::{
    CheckpointStore, LockError, LockInfo, RestoreError, StoreError, StoreLock,
};
use crate::config::{Config, From as Begin, RestartConfig, RunOptions};
use crate::control::{Command, CommandKind, Control};
use crate::doors;
use crate::state::memory::MemoryError;
use crate::status::{JobStatus, Phase};
use crate::task::failure::{Failure, install_panic_hook};

/// How a run ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every source has ended, all is committed.
    Ended {
        /// The last checkpoint.
        checkpoint: CheckpointId,
    },
    /// Stopped as asked.
    Stopped {
        /// The last checkpoint.
        checkpoint: CheckpointId,
    },
    /// Stopped before the first record: all is as the run before left it.
    NotBegun,
    /// The job had ended in an earlier run.
    AlreadyEnded {
        /// Its last checkpoint.
        checkpoint: CheckpointId,
    },
}

/// Why a run ended badly.
#[derive(Debug, Error)]
pub enum RunError {
    /// Too many attempts failed.
    #[error("RR0401: gave up after {attempts} failed attempts; the last one: {last}")]
    GaveUp {
        /// How many in a row.
        attempts: u32,
        /// The last failure.
        last: String,
    },
    /// Stopped while no attempt was running.
    #[error(
        "RR0402: stopped without a last checkpoint, because the attempt had failed: {last}; the \
         next run goes on from the newest checkpoint"
    )]
    StoppedBetween {
        /// The last failure.
        last: String,
    },
    /// Sinks that cannot commit together.
    #[error("RR0403: {0}")]
    Sinks(String),
    /// The checkpoint does not fit the job.
    #[error("{}", join(.0))]
    Compat(Vec<CompatError>),
    /// The checkpoint cannot be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The checkpoint store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job does not fit into its memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Another run has taken over the output.
    #[error(transparent)]
    Superseded(#[from] Superseded),
    /// Another run holds the checkpoints.
    #[error(transparent)]
    Lock(#[from] LockError),
}

fn join(errors: &[CompatError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl From<Vec<CompatError>> for RunError {
    fn from(errors: Vec<CompatError>) -> Self {
        RunError::Compat(errors)
    }
}

struct Failures {
    config: RestartConfig,
    in_a_row: u32,
    last: Option<Failure>,
    text: String,
}

impl Failures {
    fn none(config: &RestartConfig) -> Self {
        Failures { config: config.clone(), in_a_row: 0, last: None, text: String::new() }
    }

    /// Counts a failure; returns how it is told.
    fn add(&mut self, end: AttemptEnd, progressed: bool) -> String {
        let (failure, mut text) = match end {
            AttemptEnd::Failed(failure) => (Some(*failure), String::new()),
            AttemptEnd::Broken(reason) => (None, reason),
            AttemptEnd::Ended(_) | AttemptEnd::Stopped(_) => (None, String::new()),
        };
        let again = self.last.as_ref().zip(failure.as_ref()).is_some_and(|(a, b)| same(a, b));
        if let Some(failure) = &failure {
            text = failure.to_string();
            if let ([origin], true) = (&failure.origins[..], again)
                && origin.first == origin.last
            {
                text = format!("the record {origin} failed twice: {text}");
            }
        }
        self.in_a_row = if progressed && !again { 1 } else { self.in_a_row + 1 };
        self.last = failure;
        self.text.clone_from(&text);
        text
    }

    fn pause(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.in_a_row.saturating_sub(1));
        self.config.backoff.saturating_mul(doubled).min(self.config.backoff_max)
    }

    fn suspects(&self) -> Vec<Origin> {
        self.last.as_ref().map(|failure| failure.origins.clone()).unwrap_or_default()
    }
}

/// Whether both failures may be the same record's.
fn same(a: &Failure, b: &Failure) -> bool {
    let overlap = |x: &Origin, y: &Origin| {
        x.source == y.source && x.split == y.split && x.first <= y.last && y.first <= x.last
    };
    a.uid == b.uid && a.origins.iter().any(|x| b.origins.iter().any(|y| overlap(x, y)))
}

/// Runs `job` until it has ended, was stopped, or gives up. Blocks.
///
/// # Errors
/// What no further attempt would mend, or that too many failed.
pub fn run_job(
    job: &str,
    graph: Graph,
    config: &Config,
    options: &RunOptions,
    status: Arc<JobStatus>,
    control: Control,
) -> Result<Outcome, RunError> {
    doors::wait_for(run_here(job, graph, config, options, status, control))
}

/// As [`run_job`], on the caller's runtime, which must be this thread's alone.
///
/// # Errors
/// As [`run_job`].
pub async fn run_here(
    job: &str,
    graph: Graph,
    config: &Config,
    options: &RunOptions,
    status: Arc<JobStatus>,
    control: Control,
) -> Result<Outcome, RunError> {
    install_panic_hook();
    keep_freed();
    let ended = attempts(job, graph, config, options, &status, control).await;
    status.set_phase(Phase::Ended);
    ended
}

async fn attempts(
    job: &str,
    graph: Graph,
    config: &Config,
    options: &RunOptions,
    status: &Arc<JobStatus>,
    mut control: Control,
) -> Result<Outcome, RunError> {
    let path = &config.checkpoint.path;
    let began = doors::clock().now();
    let run = doors::run_name().unwrap_or_else(|| run_name(began));
    let info = lock_info(job, began, &attempt_name(&run, 1), &control);
    let Some(lock) = lock(path, info, &mut control.commands).await? else {
        return Ok(Outcome::NotBegun);
    };
    let store = locked(path, &lock)?.lazy_from(lazy_from(config));
    let mut first = Attempt {
        job: job.into(),
        graph: Arc::new(graph),
        config,
        store,
        status: status.clone(),
        number: 1,
        name: attempt_name(&run, 1),
        suspects: Vec::new(),
    };
    let ended = in_turn(&mut first, &run, options, &lock, &mut control.commands).await;
    // The lock is given back when nothing is on its way any more that it stands for.
    drop(tokio::time::timeout(config.checkpoint.timeout, first.store.written()).await);
    ended
}

fn attempt_name(run: &str, number: u32) -> Arc<str> {
    format!("{run}-{number}").into()
}

/// Runs attempts, one after the other, from the one given on.
async fn in_turn(
    attempt: &mut Attempt<'_>,
    run: &str,
    options: &RunOptions,
    lock: &StoreLock,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Outcome, RunError> {
    let (config, status, job) = (attempt.config, attempt.status.clone(), attempt.job.clone());
    let mut options = options.clone();
    let mut failures = Failures::none(&config.restart);
    loop {
        let (number, committed) = (attempt.number, status.checkpoints().0);
        let started = attempt.run(&options, commands).await?;
        over(lock)?;
        let end = match started {
            Started::Finished(checkpoint) => return Ok(Outcome::AlreadyEnded { checkpoint }),
            Started::Stopped if number == 1 => return Ok(Outcome::NotBegun),
            Started::Stopped => return Err(RunError::StoppedBetween { last: failures.text }),
            Started::Ran(end) => end,
        };
        match end {
            AttemptEnd::Ended(checkpoint) => return Ok(Outcome::Ended { checkpoint }),
            AttemptEnd::Stopped(checkpoint) => return Ok(Outcome::Stopped { checkpoint }),
            AttemptEnd::Failed(_) | AttemptEnd::Broken(_) => {}
        }
        let stopping = status.phase() == Phase::Stopping;
        let progressed = status.checkpoints().0 > committed;
        if progressed {
            // From here on the newest checkpoint is this run's own, and holds what was decided:
            // what the user gave up is gone from it, and must not be given up again.
            options = RunOptions { from: Begin::Newest, ..RunOptions::default() };
        }
        let text = failures.add(end, progressed);
        status.attempt_failed(text.clone());
        if failures.in_a_row >= config.restart.attempts {
            return Err(RunError::GaveUp { attempts: failures.in_a_row, last: text });
        }
        if stopping {
            // Whoever asked for a stop does not want another attempt.
            return Err(RunError::StoppedBetween { last: text });
        }
        let pause = failures.pause();
        let pause_ms = pause.as_millis();
        tracing::error!(job = &*job, attempt = number, reason = text, pause_ms, "attempt failed");
        status.set_phase(Phase::BackingOff);
        wait(pause, commands, &text).await?;
        attempt.number += 1;
        attempt.name = attempt_name(run, attempt.number);
        attempt.suspects = failures.suspects();
    }
}

/// From how many bytes of state on a restore is lazy: never where no deltas are taken, since then
/// the first checkpoint would have to read everything.
fn lazy_from(config: &Config) -> u64 {
    let checkpoint = &config.checkpoint;
    if checkpoint.interval.is_zero() { u64::MAX } else { checkpoint.lazy_from.0 }
}

/// The store at `path`, which `lock` holds.
fn locked(path: &str, lock: &StoreLock) -> Result<CheckpointStore, StoreError> {
    crash_point!("start.locked");
    Ok(CheckpointStore::open(path)?.fenced(lock.fence()))
}

/// An attempt has ended: what it says counts only if its checkpoints were locked throughout.
fn over(lock: &StoreLock) -> Result<(), LockError> {
    crash_point!("run.over");
    lock.check()
}

/// Runs this process has begun: several may begin in one millisecond.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// What no other run has: its beginning, its process, and how many runs that process began before.
fn run_name(began: Timestamp) -> String {
    let (pid, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
    format!("{:x}-{pid:x}-{run:x}", began.as_millis())
}

fn lock_info(job: &str, since: Timestamp, attempt: &str, control: &Control) -> LockInfo {
    LockInfo {
        pid: std::process::id(),
        job: job.to_owned(),
        attempt: attempt.to_owned(),
        since,
        control_port: Some(control.address.port),
        control_token: control.address.token.clone(),
    }
}

/// Takes the lock, which may wait for storage; `None` when a stop came first.
async fn lock(
    path: &str,
    info: LockInfo,
    commands: &mut mpsc::Receiver<Command>,
) -> Result<Option<StoreLock>, LockError> {
    let (tell, told) = oneshot::channel();
    let path = path.to_owned();
    // A lock that nobody waits for any more gives itself back.
    doors::beside("lock", move || drop(tell.send(StoreLock::acquire(&path, &info))));
    tokio::select! {
        biased;
        taken = told => taken.expect("the thread answers").map(Some),
        () = stop_asked(commands) => Ok(None),
    }
}

/// Waits for a stop while no attempt is running. Savepoints are refused, there is nothing to cut.
pub(crate) async fn stop_asked(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        let (stop, reason) = match command.kind {
            CommandKind::Savepoint => (false, "the job is just beginning; ask again"),
            CommandKind::Stop { .. } => {
                (true, "stopped before the first record, so without a checkpoint of its own")
            }
        };
        drop(command.reply.send(Err(reason.to_owned())));
        if stop {
            return;
        }
    }
    // Nobody can give orders any more.
    std::future::pending().await
}

/// Waits out the pause; a stop ends the run at once, there is nothing to cut.
async fn wait(
    pause: Duration,
    commands: &mut mpsc::Receiver<Command>,
    last: &str,
) -> Result<(), RunError> {
    let mut pause = std::pin::pin!(tokio::time::sleep(pause));
    loop {
        tokio::select! {
            biased;
            () = &mut pause => return Ok(()),
            Some(command) = commands.recv() => match command.kind {
                CommandKind::Savepoint => {
                    let reason = "no attempt is running just now; ask again".to_owned();
                    drop(command.reply.send(Err(reason)));
                }
                CommandKind::Stop { .. } => {
                    let error = RunError::StoppedBetween { last: last.to_owned() };
                    drop(command.reply.send(Err(error.to_string())));
                    return Err(error);
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_begin_in_one_millisecond_have_names_of_their_own() {
        let began = Timestamp::from_millis(7);
        assert_ne!(run_name(began), run_name(began));
    }
}
