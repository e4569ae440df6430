//! [`Contract`]: an operator wrapped in what it promises, and in what is promised to it.
//!
//! Called by the runtime and the harness in place of the operator itself, in debug builds only
//! ([`checked`] is the one place that decides). A broken rule is an error that names operator and
//! rule, and nothing is called behind it. Results are taken from the operator after every call and
//! kept until they are asked for: so a rule about them is checked where an error can be told.

use std::sync::Arc;

use thiserror::Error;

use crate::checkpoint::{OperatorSnapshot, RestoredTime, SnapshotMode};
use crate::element::BATCH_RECORDS;
use crate::erased::{AnyBatch, ErasedOperator, OperatorEnv};
use crate::graph::Uid;
use crate::key::KeyGroup;
use crate::operator::{Firing, Result};
use crate::output::Port;
use crate::state::spill::SpillDoor;
use crate::state::stored::{StoredRows, Warmth};
use crate::state::{ResidentMemory, TypeShape};
use crate::time::Timestamp;

/// Whether operators are wrapped.
const CHECKED: bool = cfg!(debug_assertions);

/// How often in a row [`Firing::More`] may be answered while nothing is emitted and no state grows
/// or shrinks: an operator may well skip some thousand timers a call, but not for ever.
const MORE_IN_VAIN_MAX: u32 = 10_000;

/// A rule between an operator and who drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rule {
    /// Of the caller.
    #[error("it was advanced to {to} after {from}: event time never goes back")]
    AdvancedBack {
        /// Where it stood.
        from: Timestamp,
        /// What was asked.
        to: Timestamp,
    },
    /// Of the operator.
    #[error("it passed on the watermark {to} after {from}: a watermark never goes back")]
    PassedBack {
        /// What it said before.
        from: Timestamp,
        /// What it says now.
        to: Timestamp,
    },
    /// Of the operator.
    #[error("it passed on the watermark {passed} at {at}, and has no clock of its own")]
    PassedAhead {
        /// What it says.
        passed: Timestamp,
        /// What it was advanced to.
        at: Timestamp,
    },
    /// Of the caller.
    #[error("{call} was called while its firing was not done: it had answered that more follows")]
    Interrupted {
        /// Which call.
        call: &'static str,
    },
    /// Of the operator.
    #[error("it answered {times} times that more follows, and did nothing")]
    MoreInVain {
        /// How often.
        times: u32,
    },
    /// Of the caller.
    #[error("its state was to be written before what it had emitted was taken")]
    OutputLeft,
    /// Of the operator.
    #[error("it emitted while its state was written or read: that belongs to no checkpoint")]
    EmittedInSnapshot,
    /// Of the caller.
    #[error("a batch it took has columns of different lengths")]
    TakenColumns,
    /// Of the operator.
    #[error("a batch it emitted has columns of different lengths")]
    EmittedColumns,
    /// Of the operator.
    #[error("it emitted a batch of {records} records: at most {max} leave together")]
    TooLarge {
        /// How many.
        records: usize,
        /// How many may.
        max: usize,
    },
    /// Of the caller.
    #[error("{call} was called after it had failed")]
    AfterError {
        /// Which call.
        call: &'static str,
    },
    /// Of the caller.
    #[error("{call} was called after it had begun")]
    RestoredLate {
        /// Which call.
        call: &'static str,
    },
    /// Of the caller.
    #[error("{call} was called before its key groups were advanced to one watermark, {to}")]
    StillBehind {
        /// Which call.
        call: &'static str,
        /// Where to.
        to: Timestamp,
    },
}

/// A rule that was broken: a bug of the operator or of the engine, never of a job's data.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("RR0902: '{operator}' and its contract: {rule}; please report this with the job's graph")]
pub struct ContractError {
    /// The operator.
    pub operator: String,
    /// The rule.
    pub rule: Rule,
}

/// Where an operator is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// State may still be restored.
    New,
    /// Restored from subtasks at different watermarks; to be advanced to this one first.
    Behind(Timestamp),
    /// Between two calls.
    Between,
    /// It has answered `More` to this call.
    Firing(Call),
    /// It has failed.
    Failed,
}

/// What can fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Advance(Timestamp),
    ProcessingTime,
}

/// An operator that is held to its contract.
pub struct Contract {
    operator: Box<dyn ErasedOperator>,
    name: String,
    life: Life,
    /// What it was last advanced to: behind the checkpoint, where a source has found new splits.
    asked: Timestamp,
    /// Where its event time stands.
    advanced: Timestamp,
    passed: Timestamp,
    /// The largest batch taken: what is passed through may be as large.
    largest: usize,
    in_vain: u32,
    /// Entries of all states when it last answered `More`.
    entries: usize,
    ready: Vec<(Port, AnyBatch)>,
}

impl std::fmt::Debug for Contract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Contract({}, {:?})", self.name, self.life)
    }
}

/// `operator`, in debug builds within its contract; `name` is what errors call it.
#[must_use]
pub fn checked(name: &str, operator: Box<dyn ErasedOperator>) -> Box<dyn ErasedOperator> {
    if CHECKED { Box::new(Contract::of(name, operator)) } else { operator }
}

impl Contract {
    /// Holds `operator` to its contract; `name` is what errors call it.
    #[must_use]
    pub fn of(name: &str, operator: Box<dyn ErasedOperator>) -> Self {
        let (name, passed) = (name.to_owned(), operator.watermark_out());
        let (asked, advanced, ready) = (Timestamp::MIN, Timestamp::MIN, Vec::new());
        let (life, largest, in_vain, entries) = (Life::New, 0, 0, 0);
        Contract { operator, name, life, asked, advanced, passed, largest, in_vain, entries, ready }
    }

    fn broken(&mut self, rule: Rule) -> anyhow::Error {
        self.life = Life::Failed;
        ContractError { operator: self.name.clone(), rule }.into()
    }

    fn hold(&mut self, holds: bool, rule: Rule) -> Result<()> {
        if holds { Ok(()) } else { Err(self.broken(rule)) }
    }

    /// Whether `call` may come now, when nothing is firing that it does not go on with.
    fn may(&mut self, call: &'static str, goes_on: Option<Call>) -> Result<()> {
        match self.life {
            Life::Failed => Err(self.broken(Rule::AfterError { call })),
            Life::Firing(firing) if goes_on != Some(firing) => {
                Err(self.broken(Rule::Interrupted { call }))
            }
            Life::Behind(to) if goes_on != Some(Call::Advance(to)) => {
                Err(self.broken(Rule::StillBehind { call, to }))
            }
            _ => Ok(()),
        }
    }

    /// After every call that may emit: its results, its watermark, its error.
    fn after<R>(&mut self, result: Result<R>) -> Result<R> {
        let result = match result {
            Ok(result) => result,
            Err(error) => {
                self.life = Life::Failed;
                return Err(error);
            }
        };
        for (port, batch) in self.operator.take_output() {
            self.hold(batch.is_whole(), Rule::EmittedColumns)?;
            let (records, max) = (batch.len(), self.largest.max(BATCH_RECORDS));
            let bounded = port != Port::Main || records <= max;
            self.hold(bounded, Rule::TooLarge { records, max })?;
            self.ready.push((port, batch));
        }
        Ok(result)
    }

    /// What the operator would pass on now that it is between two calls.
    fn passes(&mut self) -> Result<()> {
        let (from, to, at) = (self.passed, self.operator.watermark_out(), self.advanced);
        self.hold(to >= from, Rule::PassedBack { from, to })?;
        let own = self.operator.has_clock();
        self.hold(own || to <= at, Rule::PassedAhead { passed: to, at })?;
        self.passed = to;
        Ok(())
    }

    fn entries(&self) -> usize {
        self.operator.state_sizes().iter().map(|(_, entries)| entries).sum()
    }

    fn fired(&mut self, call: Call, firing: Firing, emitted_before: usize) -> Result<Firing> {
        if firing == Firing::Done {
            (self.life, self.in_vain) = (Life::Between, 0);
            self.passes()?;
            return Ok(firing);
        }
        let entries = self.entries();
        let progressed = self.ready.len() > emitted_before || entries != self.entries;
        self.in_vain = if progressed { 0 } else { self.in_vain + 1 };
        (self.life, self.entries) = (Life::Firing(call), entries);
        let times = self.in_vain;
        self.hold(times < MORE_IN_VAIN_MAX, Rule::MoreInVain { times })?;
        Ok(firing)
    }
}

impl ErasedOperator for Contract {
    fn process(&mut self, batch: AnyBatch, env: &OperatorEnv) -> Result<()> {
        self.may("process", None)?;
        self.hold(batch.is_whole(), Rule::TakenColumns)?;
        self.life = Life::Between;
        self.largest = self.largest.max(batch.len());
        let result = self.operator.process(batch, env);
        self.after(result)?;
        self.passes()
    }

    fn advance(&mut self, watermark: Timestamp, env: &OperatorEnv) -> Result<Firing> {
        let (call, from) = (Call::Advance(watermark), self.asked);
        self.may("advance", Some(call))?;
        self.hold(watermark >= from, Rule::AdvancedBack { from, to: watermark })?;
        self.asked = watermark;
        self.advanced = self.advanced.max(watermark);
        let before = self.ready.len();
        let result = self.operator.advance(watermark, env);
        let firing = self.after(result)?;
        self.fired(call, firing, before)
    }

    fn watermark_out(&self) -> Timestamp {
        self.operator.watermark_out()
    }

    fn has_clock(&self) -> bool {
        self.operator.has_clock()
    }

    fn processing_time(&mut self, env: &OperatorEnv) -> Result<Firing> {
        self.may("processing_time", Some(Call::ProcessingTime))?;
        let before = self.ready.len();
        let result = self.operator.processing_time(env);
        let firing = self.after(result)?;
        self.fired(Call::ProcessingTime, firing, before)
    }

    fn next_processing_time(&mut self) -> Option<Timestamp> {
        self.operator.next_processing_time()
    }

    fn take_output(&mut self) -> Vec<(Port, AnyBatch)> {
        std::mem::take(&mut self.ready)
    }

    fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        self.may("cut", None)?;
        self.hold(self.ready.is_empty(), Rule::OutputLeft)?;
        let result = self.operator.cut(mode);
        self.after(result)?;
        self.hold(self.ready.is_empty(), Rule::EmittedInSnapshot)?;
        self.passes()
    }

    fn write_some(&mut self) -> Result<bool> {
        self.may("write_some", None)?;
        let before = self.ready.len();
        let result = self.operator.write_some();
        let whole = self.after(result)?;
        self.hold(self.ready.len() == before, Rule::EmittedInSnapshot)?;
        Ok(whole)
    }

    fn take_snapshot(&mut self) -> OperatorSnapshot {
        self.operator.take_snapshot()
    }

    fn limit(
        &mut self,
        memory: Arc<ResidentMemory>,
        door: Option<Arc<dyn SpillDoor>>,
        of: (&Uid, u32),
    ) {
        self.operator.limit(memory, door, of);
    }

    fn read_as(&mut self, name: &str, stored: &TypeShape) {
        self.operator.read_as(name, stored);
    }

    fn restore(&mut self, name: &str, group: KeyGroup, section: &[u8]) -> Result<()> {
        let call = "restore";
        self.may(call, None)?;
        self.hold(self.life == Life::New, Rule::RestoredLate { call })?;
        let result = self.operator.restore(name, group, section);
        self.after(result)
    }

    fn restore_from(&mut self, name: &str, rows: Box<dyn StoredRows>) -> Result<()> {
        let call = "restore_from";
        self.may(call, None)?;
        self.hold(self.life == Life::New, Rule::RestoredLate { call })?;
        let result = self.operator.restore_from(name, rows);
        self.after(result)
    }

    fn warm(&mut self) -> Result<Warmth> {
        self.may("warm", None)?;
        let before = self.ready.len();
        let result = self.operator.warm();
        let warmth = self.after(result)?;
        self.hold(self.ready.len() == before, Rule::EmittedInSnapshot)?;
        Ok(warmth)
    }

    fn restored(&mut self, time: &RestoredTime) -> Result<()> {
        let call = "restored";
        self.may(call, None)?;
        self.hold(self.life == Life::New, Rule::RestoredLate { call })?;
        let result = self.operator.restored(time);
        self.after(result)?;
        (self.advanced, self.passed) = (time.watermark, Timestamp::MIN);
        let behind = time.is_uneven();
        self.life = if behind { Life::Behind(time.watermark) } else { Life::Between };
        self.passes()
    }

    fn state_sizes(&self) -> Vec<(String, usize)> {
        self.operator.state_sizes()
    }
}

#[cfg(test)]
#[path = "contract_tests.rs"]
mod tests;
