//! Each rule, broken on purpose: by an operator, or by who drives it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::clock::ManualClock;
use crate::element::Batch;
use crate::key::KeyHash;
use crate::metrics::OperatorMetrics;
use crate::time::at;

/// What the operator does at its next call, whichever that is.
#[derive(Clone, Debug)]
enum Act {
    Emit(Batch<u64>),
    Pass(Timestamp),
    More,
    Fail,
}

/// Does what it is told, and keeps no contract by itself.
#[derive(Default)]
struct Puppet {
    acts: VecDeque<Vec<Act>>,
    ready: Vec<(Port, AnyBatch)>,
    watermark: Timestamp,
    passed: Option<Timestamp>,
    clock: bool,
    entries: usize,
}

impl Puppet {
    fn act(&mut self) -> Result<Firing> {
        let mut firing = Firing::Done;
        for act in self.acts.pop_front().unwrap_or_default() {
            match act {
                Act::Emit(batch) => self.ready.push((Port::Main, AnyBatch::new(batch))),
                Act::Pass(watermark) => self.passed = Some(watermark),
                Act::More => firing = Firing::More,
                Act::Fail => anyhow::bail!("as told"),
            }
        }
        Ok(firing)
    }
}

impl ErasedOperator for Puppet {
    fn process(&mut self, _: AnyBatch, _: &OperatorEnv) -> Result<()> {
        self.act().map(drop)
    }
    fn advance(&mut self, watermark: Timestamp, _: &OperatorEnv) -> Result<Firing> {
        self.watermark = self.watermark.max(watermark);
        self.act()
    }
    fn watermark_out(&self) -> Timestamp {
        self.passed.unwrap_or(self.watermark)
    }
    fn has_clock(&self) -> bool {
        self.clock
    }
    fn processing_time(&mut self, _: &OperatorEnv) -> Result<Firing> {
        self.act()
    }
    fn next_processing_time(&mut self) -> Option<Timestamp> {
        None
    }
    fn take_output(&mut self) -> Vec<(Port, AnyBatch)> {
        std::mem::take(&mut self.ready)
    }
    fn cut(&mut self, _: SnapshotMode) -> Result<()> {
        self.act().map(drop)
    }
    fn write_some(&mut self) -> Result<bool> {
        Ok(true)
    }
    fn take_snapshot(&mut self) -> OperatorSnapshot {
        OperatorSnapshot { watermark: self.watermark, states: Vec::new() }
    }
    fn limit(&mut self, _: Arc<ResidentMemory>, _: Option<Arc<dyn SpillDoor>>, _: (&Uid, u32)) {}
    fn read_as(&mut self, _: &str, _: &TypeShape) {}
    fn restore(&mut self, _: &str, _: KeyGroup, _: &[u8]) -> Result<()> {
        self.act().map(drop)
    }
    fn restore_from(&mut self, _: &str, _: Box<dyn StoredRows>) -> Result<()> {
        self.act().map(drop)
    }
    fn warm(&mut self) -> Result<Warmth> {
        self.act().map(|_| Warmth::Warm)
    }
    fn restored(&mut self, time: &RestoredTime) -> Result<()> {
        self.watermark = time.watermark;
        self.act().map(drop)
    }
    fn state_sizes(&self) -> Vec<(String, usize)> {
        vec![("state".to_owned(), self.entries)]
    }
}

struct Stage {
    contract: Contract,
    env: OperatorEnv,
}

/// A puppet that does `acts`, a call each, and then nothing.
fn stage(acts: Vec<Vec<Act>>) -> Stage {
    staged(Puppet { acts: acts.into(), watermark: Timestamp::MIN, ..Puppet::default() })
}

fn staged(puppet: Puppet) -> Stage {
    let clock = Arc::new(ManualClock::default());
    let env = OperatorEnv { metrics: Arc::new(OperatorMetrics::default()), clock };
    Stage { contract: Contract::of("puppet", Box::new(puppet)), env }
}

impl Stage {
    fn process(&mut self, batch: Batch<u64>) -> Result<()> {
        self.contract.process(AnyBatch::new(batch), &self.env)
    }
    fn advance(&mut self, seconds: i64) -> Result<Firing> {
        self.contract.advance(at(seconds), &self.env)
    }
    fn snapshot(&mut self) -> Result<OperatorSnapshot> {
        self.contract.snapshot(SnapshotMode::Full)
    }
}

fn records(count: usize) -> Batch<u64> {
    let mut batch = Batch::default();
    (0..count).for_each(|n| batch.push(n as u64, at(0)));
    batch
}

fn breaks<R: std::fmt::Debug>(result: Result<R>) -> Rule {
    let error = result.expect_err("a broken contract");
    let error = error.downcast::<ContractError>().expect("a contract's error");
    assert!(error.to_string().starts_with("RR0902: 'puppet'"), "{error}");
    error.rule
}

#[test]
fn a_good_operator_goes_through_untouched() {
    let acts = vec![
        vec![],
        vec![],
        vec![Act::Emit(records(BATCH_RECORDS))],
        vec![Act::Emit(records(3)), Act::More],
        vec![Act::Emit(records(1))],
    ];
    let mut stage = stage(acts);
    stage.contract.restore("state", KeyGroup(0), &[]).expect("restores");
    stage.contract.restored(&RestoredTime::at(at(1))).expect("restores");
    stage.process(records(2)).expect("takes");
    assert_eq!(stage.advance(5).expect("fires"), Firing::More);
    assert_eq!(stage.advance(5).expect("fires"), Firing::Done);
    let emitted: Vec<usize> = stage.contract.take_output().iter().map(|(_, b)| b.len()).collect();
    assert_eq!(emitted, [BATCH_RECORDS, 3, 1]);
    assert_eq!(stage.snapshot().expect("writes").watermark, at(5));
    assert_eq!(stage.contract.watermark_out(), at(5));
}

#[test]
fn event_time_never_goes_back() {
    let mut stage = stage(vec![]);
    stage.advance(5).expect("fires");
    assert_eq!(breaks(stage.advance(4)), Rule::AdvancedBack { from: at(5), to: at(4) });

    let mut stage = self::stage(vec![]);
    stage.contract.restored(&RestoredTime::at(at(5))).expect("restores");
    stage.advance(4).expect("new splits may begin behind the checkpoint");
    assert_eq!(stage.contract.watermark_out(), at(5));

    let mut stage = self::stage(vec![vec![], vec![Act::Pass(at(4))]]);
    stage.advance(5).expect("fires");
    assert_eq!(breaks(stage.process(records(1))), Rule::PassedBack { from: at(5), to: at(4) });
}

#[test]
fn a_watermark_ahead_needs_a_clock() {
    let acts = VecDeque::from([vec![Act::Pass(at(9))]]);
    let puppet = |clock| Puppet { acts: acts.clone(), clock, ..Puppet::default() };
    let mut without = staged(puppet(false));
    assert_eq!(breaks(without.advance(5)), Rule::PassedAhead { passed: at(9), at: at(5) });
    staged(puppet(true)).advance(5).expect("its own");
}

#[test]
fn a_firing_is_not_interrupted() {
    for call in ["process", "advance", "processing_time", "cut"] {
        let mut stage = stage(vec![vec![Act::More]]);
        assert_eq!(stage.advance(5).expect("fires"), Firing::More);
        let rule = match call {
            "process" => breaks(stage.process(records(1))),
            "advance" => breaks(stage.advance(6)),
            "cut" => breaks(stage.snapshot()),
            _ => breaks(stage.contract.processing_time(&stage.env)),
        };
        assert_eq!(rule, Rule::Interrupted { call });
    }
}

#[test]
fn more_without_end_is_noticed() {
    let mut stage = stage(vec![vec![Act::More]; MORE_IN_VAIN_MAX as usize + 2]);
    let answers = (0..).map(|_| stage.advance(5)).take_while(|answer| answer.is_ok()).count();
    // The first answer only tells how much state there is; here there is none, so it counts too.
    assert_eq!(answers, MORE_IN_VAIN_MAX as usize - 1);
    assert_eq!(breaks(stage.snapshot()), Rule::AfterError { call: "cut" });

    let acts = vec![vec![Act::Emit(records(1)), Act::More]; MORE_IN_VAIN_MAX as usize + 2];
    let mut busy = self::stage(acts);
    while busy.advance(5).expect("it does something") == Firing::More {
        busy.contract.take_output();
    }
}

#[test]
fn nothing_is_emitted_around_a_snapshot() {
    let mut stage = stage(vec![vec![Act::Emit(records(1))]]);
    stage.process(records(1)).expect("takes");
    assert_eq!(breaks(stage.snapshot()), Rule::OutputLeft);
    let mut stage = self::stage(vec![vec![Act::Emit(records(1))]]);
    assert_eq!(breaks(stage.snapshot()), Rule::EmittedInSnapshot);
}

#[test]
fn columns_are_of_one_length() {
    let mut untimed = records(2);
    untimed.timestamps.pop();
    let mut half_keyed = records(2);
    half_keyed.hashes.push(KeyHash(1));
    for batch in [untimed, half_keyed] {
        let taken = breaks(stage(vec![]).process(batch.clone()));
        assert_eq!(taken, Rule::TakenColumns);
        let emitted = breaks(stage(vec![vec![Act::Emit(batch)]]).process(records(1)));
        assert_eq!(emitted, Rule::EmittedColumns);
    }
}

#[test]
fn a_batch_is_bounded_or_passed_through() {
    let emits = |count| stage(vec![vec![Act::Emit(records(count))]]);
    let (records_, max) = (BATCH_RECORDS + 1, BATCH_RECORDS);
    let rule = breaks(emits(records_).process(records(1)));
    assert_eq!(rule, Rule::TooLarge { records: records_, max });
    emits(records_).process(records(records_)).expect("it came like that");
}

#[test]
fn nothing_is_called_after_an_error() {
    let mut stage = stage(vec![vec![Act::Fail]]);
    assert_eq!(stage.process(records(1)).expect_err("as told").to_string(), "as told");
    assert_eq!(breaks(stage.advance(1)), Rule::AfterError { call: "advance" });
}

#[test]
fn state_is_restored_before_the_first_call() {
    let mut stage = stage(vec![]);
    stage.process(records(1)).expect("takes");
    let rule = breaks(stage.contract.restore("state", KeyGroup(0), &[]));
    assert_eq!(rule, Rule::RestoredLate { call: "restore" });

    let mut stage = self::stage(vec![]);
    stage.contract.restored(&RestoredTime::at(at(1))).expect("restores");
    let rule = breaks(stage.contract.restored(&RestoredTime::at(at(1))));
    assert_eq!(rule, Rule::RestoredLate { call: "restored" });
}

#[test]
fn key_groups_that_are_behind_catch_up_first() {
    let uneven = RestoredTime { watermark: at(9), floors: vec![at(4), at(9)] };
    let mut stage = stage(vec![]);
    stage.contract.restored(&uneven).expect("restores");
    let rule = breaks(stage.process(records(1)));
    assert_eq!(rule, Rule::StillBehind { call: "process", to: at(9) });

    let mut stage = self::stage(vec![]);
    stage.contract.restored(&uneven).expect("restores");
    stage.advance(9).expect("catches up");
    stage.process(records(1)).expect("takes");
}
