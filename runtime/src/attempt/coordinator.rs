//! Cuts checkpoints and ends the attempt. A checkpoint's way:
//!
//! 1. due by interval, by command, or because every source has ended: a barrier to each source;
//! 2. every subtask reports its part; sinks have prepared theirs;
//! 3. participants learn that all have prepared;
//! 4. segment and manifest are stored: the checkpoint is complete;
//! 5. participants commit; what is no longer needed goes.
//!
//! Invariants: one checkpoint is in flight at a time. Where the store decides, what sinks prepared
//! for a checkpoint that failed is committed with the next one that completes, and the changes it
//! cut are written with that: its records are part of it; a storage error before the manifest fails
//! the checkpoint, not the job. Where a participant decides, no checkpoint can be left out: what
//! the storage refuses is tried again, then the attempt ends. Everything else ends the attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::{Barrier, CheckpointId, CheckpointKind, Prepared, SnapshotMode};
use riverrun_engine::clock::Clock;
use riverrun_engine::crash_point;
use riverrun_engine::planted;
use tokio::sync::{mpsc, oneshot};

use super::participants::{Participants, PreparedBy};
use super::write::{Writer, Written};
use crate::checkpoint::{CheckpointStore, Decision, Pending};
use crate::config::CheckpointConfig;
use crate::control::{Command, CommandKind};
use crate::doors;
use crate::status::{CheckpointStatus, JobStatus, Phase};
use crate::task::failure::Failure;
use crate::task::report::{Order, Part, Report, Subtask};

/// How an attempt ended.
#[derive(Debug)]
pub enum AttemptEnd {
    /// Every source has ended and the last checkpoint is committed.
    Ended(CheckpointId),
    /// Stopped as asked, with a last checkpoint.
    Stopped(CheckpointId),
    /// User code failed.
    Failed(Box<Failure>),
    /// The engine's surroundings failed: storage, a participant.
    Broken(String),
}

/// How often a savepoint looks whether all is read that it waits for.
const WARM_TICK: Duration = Duration::from_millis(10);
/// How often a checkpoint that is due looks whether the merge has ended that it waits for.
const MERGE_TICK: Duration = Duration::from_millis(5);
/// The longest that a checkpoint waits for a merge.
const MERGE_WAIT_MAX: Duration = Duration::from_secs(10);
/// The longest sleep.
const IDLE: Duration = Duration::from_secs(3600);

type Reply = oneshot::Sender<Result<CheckpointId, String>>;

/// What one attempt's coordinator works with.
pub struct Coordinator {
    /// Where checkpoints go.
    pub store: CheckpointStore,
    /// What writes them.
    pub writer: Writer,
    /// Who commits.
    pub participants: Participants,
    /// When.
    pub config: CheckpointConfig,
    /// Whether deltas may be asked for.
    pub tracked: bool,
    /// Whether it is a drill's: then sources show no offsets outside.
    pub rehearsed: bool,
    /// The attempt's name.
    pub attempt: Arc<str>,
    /// To the source subtasks.
    pub orders: BTreeMap<Subtask, mpsc::UnboundedSender<Order>>,
    /// All subtasks.
    pub subtasks: BTreeSet<Subtask>,
    /// The number of the next checkpoint.
    pub next: CheckpointId,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The live numbers.
    pub status: Arc<JobStatus>,
}

struct InFlight {
    pending: Pending<Subtask, Part>,
    kind: CheckpointKind,
    began: Duration,
    replies: Vec<Reply>,
}

struct State {
    in_flight: Option<InFlight>,
    wanted: Option<CheckpointKind>,
    replies: Vec<Reply>,
    ended: BTreeSet<Subtask>,
    /// Prepared since the last commit, also for checkpoints that failed: all of it belongs to the
    /// next one that completes.
    prepared: Vec<Prepared>,
    last_began: Duration,
    last_over: Duration,
}

impl Coordinator {
    /// Runs until the attempt has ended.
    pub async fn run(
        mut self,
        reports: &mut mpsc::Receiver<Report>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> AttemptEnd {
        let now = doors::monotonic();
        let mut state = State {
            in_flight: None,
            wanted: None,
            replies: Vec::new(),
            ended: BTreeSet::new(),
            prepared: Vec::new(),
            last_began: now,
            last_over: now,
        };
        loop {
            let wake = self.wake_in(&state);
            let ended = tokio::select! {
                biased;
                report = reports.recv() => match report {
                    Some(report) => self.on_report(report, &mut state).await,
                    None => Some(AttemptEnd::Broken("all workers are gone".to_owned())),
                },
                Some(command) = commands.recv() => {
                    on_command(command, &mut state, &self.status);
                    None
                }
                () = tokio::time::sleep(wake) => self.on_tick(&mut state),
            };
            if let Some(end) = ended {
                return end;
            }
            self.begin_if_due(&mut state).await;
        }
    }

    fn due_at(&self, state: &State) -> Option<Duration> {
        let interval = self.config.interval;
        (!interval.is_zero())
            .then(|| (state.last_began + interval).max(state.last_over + self.config.min_pause))
    }

    fn wake_in(&self, state: &State) -> Duration {
        let now = doors::monotonic();
        match &state.in_flight {
            Some(flight) => (flight.began + self.config.timeout).saturating_sub(now),
            None if state.wanted.is_some_and(|kind| !self.waits(kind)) => Duration::ZERO,
            None => {
                let longest = if state.wanted.is_some() { WARM_TICK } else { IDLE };
                let due = self.due_at(state).map(|at| at.saturating_sub(now));
                // What is due and was not begun waits for a merge.
                let due = due.map(|due| if due.is_zero() { MERGE_TICK } else { due });
                due.map_or(longest, |due| due.min(longest))
            }
        }
    }

    /// A savepoint holds everything, so it waits until all that a restore has left is read.
    fn waits(&self, kind: CheckpointKind) -> bool {
        kind.is_pinned() && self.status.cold_states() > 0
    }

    async fn begin_if_due(&mut self, state: &mut State) {
        if state.in_flight.is_some() {
            return;
        }
        let now = doors::monotonic();
        let due = self.due_at(state).filter(|at| *at <= now);
        let periodic =
            due.is_some_and(|at| now >= at + MERGE_WAIT_MAX || !self.writer.waits_for_merge());
        let wanted = state.wanted.take_if(|kind| !self.waits(*kind));
        let ended = state.ended.len() == self.orders.len() && state.wanted.is_none();
        let kind = match wanted {
            Some(kind) => kind,
            None if ended => CheckpointKind::End,
            None if periodic => CheckpointKind::Periodic,
            None => return,
        };
        let mode = match kind {
            kind if self.tracked => self.writer.mode(kind),
            _ => SnapshotMode::Full,
        };
        let barrier = Barrier { checkpoint: self.next, kind, mode };
        self.next = self.next.next();
        self.writer.begun(barrier);
        tracing::debug!(checkpoint = %barrier.checkpoint, ?kind, ?mode, "checkpoint begins");
        crash_point!("checkpoint.begun");
        let subtasks = self.subtasks.iter().copied();
        let pending = Pending::new(barrier, subtasks, now, self.config.timeout);
        // Who waits for a savepoint waits on.
        let replies = match state.wanted {
            None => std::mem::take(&mut state.replies),
            Some(_) => Vec::new(),
        };
        state.in_flight = Some(InFlight { pending, kind, began: now, replies });
        state.last_began = now;
        for orders in self.orders.values() {
            // A source that is gone reports its failure by itself.
            let _gone = orders.send(Order::Barrier(barrier));
        }
        crash_point!("checkpoint.ordered");
    }

    async fn on_report(&mut self, report: Report, state: &mut State) -> Option<AttemptEnd> {
        match report {
            Report::Ready(_) | Report::Finished(_) => None,
            Report::Failed(failure) => Some(AttemptEnd::Failed(failure)),
            Report::SourceEnded(subtask) => {
                state.ended.insert(subtask);
                None
            }
            Report::Snapshot(subtask, checkpoint, mut part) => {
                state.prepared.extend(part.prepared.take());
                let flight = state.in_flight.as_mut();
                let flight = flight.filter(|f| f.pending.barrier().checkpoint == checkpoint);
                let Some(flight) = flight else {
                    // Its checkpoint has failed meanwhile.
                    self.writer.carry(checkpoint, *part);
                    return None;
                };
                self.writer.arrived(subtask, &part).await;
                match flight.pending.ack(checkpoint, subtask, *part) {
                    Ok(Decision::Complete(parts)) => self.complete(parts, state).await,
                    Ok(_) => None,
                    Err(error) => Some(AttemptEnd::Broken(error.to_string())),
                }
            }
        }
    }

    fn on_tick(&mut self, state: &mut State) -> Option<AttemptEnd> {
        let flight = state.in_flight.as_mut()?;
        match flight.pending.tick(doors::monotonic()) {
            Decision::Failed(reason, parts) => {
                if self.participants.decides() {
                    return Some(not_left_out(flight.pending.barrier().checkpoint, &reason));
                }
                self.writer.failed(flight.pending.barrier(), parts);
                self.checkpoint_failed(reason, state)
            }
            _ => None,
        }
    }

    async fn complete(
        &mut self,
        parts: BTreeMap<Subtask, Part>,
        state: &mut State,
    ) -> Option<AttemptEnd> {
        let flight = state.in_flight.as_ref()?;
        let (barrier, kind, began) = (flight.pending.barrier(), flight.kind, flight.began);
        let id = barrier.checkpoint;
        let broken = |error: anyhow::Error| Some(AttemptEnd::Broken(format!("{error:#}")));
        let sorted = match self.participants.sort(state.prepared.clone()) {
            Ok(sorted) => sorted,
            Err(error) => return broken(error),
        };
        crash_point!("checkpoint.whole");
        if planted!("commit.before.stored") {
            drop(self.participants.follow(id, &sorted).await);
        }
        let decides = self.participants.decides();
        let written = self.store_in_time(barrier, parts, &sorted, decides.then_some(began)).await;
        let written = match written {
            Ok(written) => written,
            Err(Unstored::Broken(reason)) => return Some(AttemptEnd::Broken(reason)),
            Err(Unstored::Refused(reason)) if decides => return Some(not_left_out(id, &reason)),
            Err(Unstored::Refused(reason)) => return self.checkpoint_failed(reason, state),
        };
        if planted!("commit.follower.first") {
            drop(self.participants.follow(id, &sorted).await);
        }
        if let Err(error) = self.participants.decide(id, &sorted).await {
            return broken(error);
        }
        crash_point!("commit.decided");
        let skipped = planted!("commit.at.end.skipped") && kind == CheckpointKind::End;
        let sorted = if skipped { PreparedBy::new() } else { sorted };
        let followed = self.participants.follow(id, &sorted);
        match tokio::time::timeout(self.config.timeout, followed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return broken(error),
            Err(_) => return Some(AttemptEnd::Broken(LATE.to_owned())),
        }
        crash_point!("commit.followed");
        state.prepared.clear();
        for orders in self.orders.values().filter(|_| !self.rehearsed) {
            let _gone = orders.send(Order::Committed);
        }
        let flight = state.in_flight.take()?;
        state.last_over = doors::monotonic();
        let duration_ms = (state.last_over - flight.began).as_secs_f64() * 1e3;
        let (bytes, storage) = (written.bytes, written.storage);
        tracing::debug!(checkpoint = %id, duration_ms, bytes, ?storage, "committed");
        self.status.set_storage(storage);
        let failed = None;
        let status = CheckpointStatus { checkpoint: id, kind, duration_ms, bytes, failed };
        self.status.checkpoint_ended(status);
        flight.replies.into_iter().for_each(|reply| drop(reply.send(Ok(id))));
        crash_point!("commit.told");
        if let Err(error) = self.store.retain(self.config.retain, id, &self.attempt).await {
            tracing::warn!(checkpoint = %id, %error, "older checkpoints remain");
        }
        crash_point!("clean.done");
        over(kind, id)
    }

    /// Tells the participants that all have prepared, and stores the checkpoint. `began`: when it
    /// did, if it must not be left out.
    async fn store_in_time(
        &mut self,
        barrier: Barrier,
        parts: BTreeMap<Subtask, Part>,
        sorted: &PreparedBy,
        began: Option<Duration>,
    ) -> Result<Written, Unstored> {
        let timeout = self.config.timeout;
        let until = began.map(|began| began + timeout);
        let stored = async {
            let prepared = self.participants.prepared(barrier.checkpoint, sorted).await;
            prepared.map_err(|error| Unstored::Broken(format!("{error:#}")))?;
            crash_point!("checkpoint.prepared");
            let now = self.clock.now();
            match self.writer.write(barrier, now, parts, sorted.clone(), until).await {
                Ok((_, written)) => Ok(written),
                Err(error) if error.in_doubt() => Err(Unstored::Broken(error.to_string())),
                Err(error) => Err(Unstored::Refused(error.to_string())),
            }
        };
        let late = |_| Err(Unstored::Broken(LATE.to_owned()));
        tokio::time::timeout(timeout, stored).await.unwrap_or_else(late)
    }

    fn checkpoint_failed(&mut self, reason: String, state: &mut State) -> Option<AttemptEnd> {
        let flight = state.in_flight.take()?;
        let checkpoint = flight.pending.barrier().checkpoint;
        if planted!("commit.failed.forgotten") {
            state.prepared.clear();
        }
        state.last_over = doors::monotonic();
        tracing::error!(%checkpoint, reason, "checkpoint failed, the job goes on");
        let duration_ms = (state.last_over - flight.began).as_secs_f64() * 1e3;
        self.status.checkpoint_ended(CheckpointStatus {
            checkpoint,
            kind: flight.kind,
            duration_ms,
            bytes: 0,
            failed: Some(reason.clone()),
        });
        for reply in flight.replies {
            drop(reply.send(Err(reason.clone())));
        }
        let last = flight.kind.is_last();
        last.then(|| AttemptEnd::Broken(format!("the last checkpoint failed: {reason}")))
    }
}

/// What a checkpoint of this kind that is committed means for the attempt.
fn over(kind: CheckpointKind, id: CheckpointId) -> Option<AttemptEnd> {
    match kind {
        CheckpointKind::End => {
            crash_point!("end.committed");
            Some(AttemptEnd::Ended(id))
        }
        CheckpointKind::Stop | CheckpointKind::StopSavepoint => {
            crash_point!("stop.committed");
            Some(AttemptEnd::Stopped(id))
        }
        CheckpointKind::Savepoint => {
            crash_point!("savepoint.answered");
            None
        }
        CheckpointKind::Periodic => None,
    }
}

/// Why a checkpoint is not stored.
enum Unstored {
    /// The storage did not take it, and the job may go on.
    Refused(String),
    /// The attempt cannot go on.
    Broken(String),
}

const LATE: &str = "storage or a sink did not answer in time; whether the checkpoint is complete \
                    shows at the restart";

fn not_left_out(checkpoint: CheckpointId, reason: &str) -> AttemptEnd {
    AttemptEnd::Broken(format!(
        "checkpoint {checkpoint} failed and cannot be left out, since its output lies in a \
         transaction of its own: {reason}"
    ))
}

fn on_command(command: Command, state: &mut State, status: &JobStatus) {
    let kind = match command.kind {
        CommandKind::Savepoint => CheckpointKind::Savepoint,
        CommandKind::Stop { savepoint: false } => CheckpointKind::Stop,
        CommandKind::Stop { savepoint: true } => CheckpointKind::StopSavepoint,
    };
    if kind.is_last() {
        crash_point!("stop.asked");
        status.set_phase(Phase::Stopping);
    } else {
        crash_point!("savepoint.asked");
    }
    // Several orders become one checkpoint that is all that was asked for.
    let before = state.wanted;
    let last = kind.is_last() || before.is_some_and(CheckpointKind::is_last);
    let pinned = kind.is_pinned() || before.is_some_and(CheckpointKind::is_pinned);
    state.wanted = Some(match (last, pinned) {
        (true, true) => CheckpointKind::StopSavepoint,
        (true, false) => CheckpointKind::Stop,
        (false, _) => CheckpointKind::Savepoint,
    });
    state.replies.push(command.reply);
}
