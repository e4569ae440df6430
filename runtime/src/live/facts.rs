//! [`Facts`]: what a running job shows of itself at one moment.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::metrics::{Counter, OperatorMetrics, TransactionMeter};
use riverrun_engine::time::Timestamp;

use crate::status::{CheckpointStatus, JobStatus, Phase};

/// One operator, its subtasks added up.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorFacts {
    /// Its name.
    pub uid: String,
    /// What it does.
    pub step: &'static str,
    /// How many subtasks have counted something.
    pub subtasks: usize,
    /// Records taken.
    pub records_in: u64,
    /// Records emitted.
    pub records_out: u64,
    /// Records behind the watermark, dropped or sent to a side output.
    pub late: u64,
    /// Records that could not be read: skipped or sent to the dead letters.
    pub unreadable: u64,
    /// Nanoseconds that its subtasks waited for room downstream.
    pub blocked_ns: u64,
    /// Its slowest subtask's.
    pub watermark: Timestamp,
    /// A source's splits, as far as it shows them: most behind first.
    pub splits: Vec<SplitFacts>,
    /// A sink's transactions, if it writes in any.
    pub transactions: Option<TransactionFacts>,
}

/// Where a source stands in one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitFacts {
    /// Its name.
    pub name: String,
    /// What is read next.
    pub next: u64,
    /// What would be next if all were read.
    pub end: u64,
}

impl SplitFacts {
    /// How much is still before the source.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }
}

/// What has become of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionFacts {
    /// Committed.
    pub committed: u64,
    /// Given up, to be written again.
    pub aborted: u64,
    /// Ended by another producer, or by the broker's limit.
    pub fenced: u64,
    /// Since when the newest is open.
    pub open_since: Option<Timestamp>,
}

type Subtasks = [(u32, Arc<OperatorMetrics>)];

fn splits(subtasks: &Subtasks) -> Vec<SplitFacts> {
    let of = |(_, metrics): &(u32, Arc<OperatorMetrics>)| metrics.splits();
    let mut splits: Vec<_> = subtasks
        .iter()
        .flat_map(of)
        .map(|(name, meter)| {
            let (next, end) = meter.get();
            SplitFacts { name, next, end }
        })
        .collect();
    splits.sort_by(|a, b| b.behind().cmp(&a.behind()).then_with(|| a.name.cmp(&b.name)));
    splits
}

fn transactions(subtasks: &Subtasks) -> Option<TransactionFacts> {
    let meters = || subtasks.iter().map(|(_, metrics)| &metrics.transactions);
    let sum = |of: fn(&TransactionMeter) -> &Counter| meters().map(|m| of(m).get()).sum::<u64>();
    let facts = TransactionFacts {
        committed: sum(|meter| &meter.committed),
        aborted: sum(|meter| &meter.aborted),
        fenced: sum(|meter| &meter.fenced),
        open_since: meters().filter_map(TransactionMeter::open_since).max(),
    };
    (facts.committed > 0 || facts.aborted > 0 || facts.open_since.is_some()).then_some(facts)
}

/// The job at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The job.
    pub job: String,
    /// Where it stands.
    pub phase: Phase,
    /// The attempt under way, from 1.
    pub attempt: u32,
    /// What it began from.
    pub restored_from: Option<CheckpointId>,
    /// Why the last attempt failed.
    pub last_failure: Option<String>,
    /// The operators, in the order of the graph.
    pub operators: Vec<OperatorFacts>,
    /// The last checkpoint that ended.
    pub checkpoint: Option<CheckpointStatus>,
    /// How many were committed.
    pub completed: u64,
    /// How many failed.
    pub failed: u64,
    /// The wall clock.
    pub now: Timestamp,
    /// Since the run began.
    pub up: Duration,
}

impl Facts {
    /// As they are now.
    #[must_use]
    pub fn of(status: &JobStatus, now: Timestamp, up: Duration) -> Self {
        let operators = status.operators.iter().map(|(uid, step)| {
            let subtasks = status.subtasks(uid);
            let sum = |of: fn(&OperatorMetrics) -> &Counter| {
                subtasks.iter().map(|(_, metrics)| of(metrics).get()).sum::<u64>()
            };
            OperatorFacts {
                uid: uid.to_string(),
                step,
                subtasks: subtasks.len(),
                records_in: sum(|metrics| &metrics.records_in),
                records_out: sum(|metrics| &metrics.records_out),
                late: sum(|metrics| &metrics.late_dropped) + sum(|metrics| &metrics.late_side),
                unreadable: sum(|metrics| &metrics.skipped) + sum(|m| &m.dead_letters),
                blocked_ns: sum(|metrics| &metrics.blocked_ns),
                watermark: status.watermark(uid).unwrap_or(Timestamp::MIN),
                splits: splits(&subtasks),
                transactions: transactions(&subtasks),
            }
        });
        let (completed, failed) = status.checkpoints();
        Facts {
            job: status.job.to_string(),
            phase: status.phase(),
            attempt: status.attempt(),
            restored_from: status.restored_from(),
            last_failure: status.last_failure(),
            operators: operators.collect(),
            checkpoint: status.last_checkpoint(),
            completed,
            failed,
            now,
            up,
        }
    }
}

/// An operator's rates between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Records a second taken.
    pub records_in: f64,
    /// Records a second emitted.
    pub records_out: f64,
    /// The part of their time that its subtasks waited for room downstream, 0 to 1.
    pub blocked: f64,
}

/// The rates of the operator at `index` since `before`.
#[must_use]
pub fn rates(before: &Facts, now: &Facts, index: usize) -> Rates {
    let seconds = now.up.saturating_sub(before.up).as_secs_f64();
    match (before.operators.get(index), now.operators.get(index)) {
        (Some(then), Some(here)) if seconds > 0.0 => {
            let rate = |then: u64, here: u64| here.saturating_sub(then) as f64 / seconds;
            let blocked = rate(then.blocked_ns, here.blocked_ns) / 1e9;
            Rates {
                records_in: rate(then.records_in, here.records_in),
                records_out: rate(then.records_out, here.records_out),
                blocked: (blocked / here.subtasks.max(1) as f64).min(1.0),
            }
        }
        _ => Rates::default(),
    }
}
