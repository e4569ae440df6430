//! One checkpoint in flight: facts in, decision out, no I/O.
//!
//! Called by the coordinator between trigger and manifest. Invariants: complete only with exactly
//! one part of every expected subtask; `Complete` or `Failed` is told once, afterwards nothing
//! changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use riverrun_engine::checkpoint::{Barrier, CheckpointId};
use thiserror::Error;

/// How many missing subtasks a timeout names.
const NAMED: usize = 4;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T, P> {
    /// Nothing, as yet or any more.
    Waiting,
    /// Write it: all parts are here.
    Complete(BTreeMap<T, P>),
    /// Give it up, for this reason; these parts have arrived.
    Failed(String, BTreeMap<T, P>),
}

/// A part that does not belong here. The coordinator logs it; nothing has changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AckError {
    /// Of a checkpoint that was given up.
    #[error("{task} reports checkpoint {checkpoint}, which is over: {current} is in flight")]
    Older {
        /// Who.
        task: String,
        /// Its checkpoint.
        checkpoint: CheckpointId,
        /// The one in flight.
        current: CheckpointId,
    },
    /// Of a checkpoint that was never begun.
    #[error("RR0240: {task} reports checkpoint {checkpoint}, which was not begun after {current}")]
    Newer {
        /// Who.
        task: String,
        /// Its checkpoint.
        checkpoint: CheckpointId,
        /// The one in flight.
        current: CheckpointId,
    },
    /// By a subtask that takes no part.
    #[error("RR0241: {task} takes no part in checkpoint {checkpoint}, but reports it")]
    Unknown {
        /// Who.
        task: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// For the second time.
    #[error("RR0242: {task} reports checkpoint {checkpoint} for the second time")]
    Twice {
        /// Who.
        task: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// After the decision.
    #[error("{task} reports checkpoint {checkpoint} after it has failed")]
    Over {
        /// Who.
        task: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Collecting,
    Complete,
    Failed,
}

/// A checkpoint between its trigger and its decision. `T` names a subtask, `P` is its part.
#[derive(Debug)]
pub struct Pending<T, P> {
    barrier: Barrier,
    missing: BTreeSet<T>,
    parts: BTreeMap<T, P>,
    expected: usize,
    /// On the monotonic clock.
    started: Duration,
    timeout: Duration,
    stage: Stage,
}

impl<T: Ord + Clone + Debug, P> Pending<T, P> {
    /// `barrier` was sent at `started` of the monotonic clock; each of `expected` has until
    /// `timeout` to report its part.
    pub fn new(
        barrier: Barrier,
        expected: impl IntoIterator<Item = T>,
        started: Duration,
        timeout: Duration,
    ) -> Self {
        let missing: BTreeSet<T> = expected.into_iter().collect();
        let (parts, expected) = (BTreeMap::new(), missing.len());
        Pending { barrier, missing, parts, expected, started, timeout, stage: Stage::Collecting }
    }

    /// Its barrier.
    #[must_use]
    pub fn barrier(&self) -> Barrier {
        self.barrier
    }

    /// Who has not reported.
    pub fn missing(&self) -> impl Iterator<Item = &T> {
        self.missing.iter()
    }

    /// `task` has taken its snapshot of `checkpoint`.
    ///
    /// # Errors
    /// A part that does not belong here; nothing changes then.
    pub fn ack(
        &mut self,
        checkpoint: CheckpointId,
        task: T,
        part: P,
    ) -> Result<Decision<T, P>, AckError> {
        let (current, name) = (self.barrier.checkpoint, format!("{task:?}"));
        if checkpoint < current {
            return Err(AckError::Older { task: name, checkpoint, current });
        }
        if checkpoint > current {
            return Err(AckError::Newer { task: name, checkpoint, current });
        }
        if self.stage == Stage::Failed {
            return Err(AckError::Over { task: name, checkpoint });
        }
        if self.stage == Stage::Complete || self.parts.contains_key(&task) {
            return Err(AckError::Twice { task: name, checkpoint });
        }
        if !self.missing.remove(&task) {
            return Err(AckError::Unknown { task: name, checkpoint });
        }
        self.parts.insert(task, part);
        if !self.missing.is_empty() {
            return Ok(Decision::Waiting);
        }
        self.stage = Stage::Complete;
        Ok(Decision::Complete(std::mem::take(&mut self.parts)))
    }

    /// A subtask, or the attempt, cannot take `checkpoint`.
    pub fn failed(&mut self, checkpoint: CheckpointId, reason: String) -> Decision<T, P> {
        if checkpoint != self.barrier.checkpoint || self.stage != Stage::Collecting {
            return Decision::Waiting;
        }
        self.stage = Stage::Failed;
        Decision::Failed(reason, std::mem::take(&mut self.parts))
    }

    /// It is `now` on the monotonic clock.
    pub fn tick(&mut self, now: Duration) -> Decision<T, P> {
        if self.stage != Stage::Collecting || now < self.started.saturating_add(self.timeout) {
            return Decision::Waiting;
        }
        let mut named: Vec<_> = self.missing.iter().take(NAMED).map(|t| format!("{t:?}")).collect();
        if self.missing.len() > NAMED {
            named.push("..".to_owned());
        }
        let reason = format!(
            "not complete after {:?}: {} of {} subtasks have not reported ({})",
            self.timeout,
            self.missing.len(),
            self.expected,
            named.join(", "),
        );
        self.failed(self.barrier.checkpoint, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use riverrun_engine::checkpoint::{CheckpointKind, SnapshotMode};

    const N: CheckpointId = CheckpointId(5);

    fn pending(tasks: u32) -> Pending<u32, u32> {
        let (kind, mode) = (CheckpointKind::Periodic, SnapshotMode::Full);
        let barrier = Barrier { checkpoint: N, kind, mode };
        Pending::new(barrier, 0..tasks, Duration::from_millis(100), Duration::from_millis(50))
    }

    #[test]
    fn parts_that_do_not_belong_are_named_and_change_nothing() {
        let mut pending = pending(2);
        assert_eq!(pending.ack(N, 0, 0), Ok(Decision::Waiting));
        assert!(matches!(pending.ack(N, 0, 9), Err(AckError::Twice { .. })));
        assert!(matches!(pending.ack(N, 7, 9), Err(AckError::Unknown { .. })));
        assert!(matches!(pending.ack(CheckpointId(4), 1, 9), Err(AckError::Older { .. })));
        assert!(matches!(pending.ack(CheckpointId(6), 1, 9), Err(AckError::Newer { .. })));
        assert_eq!(pending.failed(CheckpointId(4), "old".into()), Decision::Waiting);
        assert_eq!(pending.ack(N, 1, 1), Ok(Decision::Complete([(0, 0), (1, 1)].into())));
        assert_eq!(pending.failed(N, "late".into()), Decision::Waiting);
        assert_eq!(pending.tick(Duration::MAX), Decision::Waiting);
    }

    #[test]
    fn a_timeout_names_who_is_missing() {
        let mut pending = pending(7);
        assert_eq!(pending.ack(N, 0, 0), Ok(Decision::Waiting));
        assert_eq!(pending.tick(Duration::from_millis(149)), Decision::Waiting);
        let Decision::Failed(reason, parts) = pending.tick(Duration::from_millis(150)) else {
            panic!("the time is over");
        };
        let expected =
            "not complete after 50ms: 6 of 7 subtasks have not reported (1, 2, 3, 4, ..)";
        assert_eq!(reason, expected);
        assert_eq!(parts, [(0, 0)].into(), "what has arrived is not lost");
        assert!(matches!(pending.ack(N, 1, 1), Err(AckError::Over { .. })));
    }

    proptest! {
        #[test]
        fn decided_once_and_complete_only_when_all_are_there(
            facts in prop::collection::vec((0..4_u8, 3..7_u64, 0..5_u32), 0..60)
        ) {
            let mut pending = pending(3);
            let (mut acked, mut decided) = (BTreeMap::new(), 0);
            for (fact, checkpoint, task) in facts {
                let id = CheckpointId(checkpoint);
                let decision = match fact {
                    0 => pending.failed(id, "a reason".into()),
                    1 => pending.tick(Duration::from_millis(u64::from(task) * 40)),
                    _ => pending.ack(id, task, task).unwrap_or(Decision::Waiting),
                };
                if fact > 1 && id == N && task < 3 && decided == 0 {
                    acked.insert(task, task);
                }
                match decision {
                    Decision::Waiting => prop_assert!(acked.len() < 3 || decided > 0),
                    Decision::Complete(parts) => {
                        prop_assert_eq!(&parts, &acked);
                        prop_assert_eq!(parts.len(), 3);
                        decided += 1;
                    }
                    Decision::Failed(_, parts) => {
                        prop_assert_eq!(&parts, &acked);
                        decided += 1;
                    }
                }
                prop_assert!(decided <= 1);
            }
        }
    }
}
