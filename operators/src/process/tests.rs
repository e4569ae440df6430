//! The process operator against plain models: timers in order, in slices, through a restore.

use std::collections::BTreeSet;

use proptest::prelude::*;
use riverrun_engine::checkpoint::{RestoredTime, SnapshotMode};
use riverrun_engine::clock::ManualClock;
use riverrun_engine::erased::{AnyBatch, ErasedOperator, OperatorEnv};
use riverrun_engine::graph::OpenOperator;
use riverrun_engine::key::{KEY_GROUPS, KeyGroupRange};
use riverrun_engine::output::SideOutput;
use riverrun_engine::state::ValueState;
use riverrun_engine::testing::{HarnessSnapshot, OperatorHarness};
use riverrun_engine::time::{at, millis, secs};

use super::*;
use crate::sketch::{Sketch, keyed_batch, open_of};

/// Sets, deletes, and tells what fired.
struct Bell {
    rung: ValueState<u64>,
}

const COUNTS: SideOutput<u64> = SideOutput::new("counts");

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum Order {
    Set(Timestamp),
    Delete(Timestamp),
    SetProcessing(Timestamp),
}

impl Bell {
    fn open(op: &mut Declare<u8>) -> Bell {
        Bell { rung: op.value("rung") }
    }
}

impl ProcessFunction for Bell {
    type Key = u8;
    type In = Order;
    type Out = (u8, Timestamp);

    fn process(&mut self, order: Order, ctx: &mut Context<u8, Self::Out>) -> Result<()> {
        match order {
            Order::Set(at) => ctx.set_timer(at),
            Order::Delete(at) => ctx.delete_timer(at),
            Order::SetProcessing(at) => ctx.set_processing_timer(at),
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u8, Self::Out>) -> Result<()> {
        let rung = self.rung.or_default(ctx)?;
        *rung += 1;
        let rung = *rung;
        ctx.emit_to(COUNTS, rung);
        ctx.emit((*ctx.key(), timer.at));
        Ok(())
    }
}

fn open_bell() -> OpenOperator {
    let keyed = Sketch::new().stream::<Order>().key_by(|_| 0_u8);
    open_of(&keyed.process("bell", Bell::open))
}

#[derive(Clone, Debug)]
enum Event {
    Orders(Vec<(u8, Order)>),
    Watermark(i64),
    Snapshot,
    Crash,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let moment = (0_i64..60).prop_map(Timestamp::from_millis);
    let order = prop_oneof![
        3 => moment.clone().prop_map(Order::Set),
        1 => moment.prop_map(Order::Delete),
    ];
    let event = prop_oneof![
        4 => proptest::collection::vec((0_u8..9, order), 1..12).prop_map(Event::Orders),
        3 => (0_i64..60).prop_map(Event::Watermark),
        2 => Just(Event::Snapshot),
        1 => Just(Event::Crash),
    ];
    proptest::collection::vec(event, 0..40)
}

type Model = (BTreeSet<(Timestamp, u8)>, Timestamp);

proptest! {
    #[test]
    fn timers_fire_in_the_order_of_moment_and_key(events in events()) {
        let open = open_bell();
        let mut harness = OperatorHarness::open(&open);
        let mut model: Model = (BTreeSet::new(), Timestamp::MIN);
        let mut taken: Option<(HarnessSnapshot, Model)> = None;
        for event in events {
            match event {
                Event::Orders(orders) => {
                    for (key, order) in &orders {
                        match order {
                            Order::Set(at) => drop(model.0.insert((*at, *key))),
                            Order::Delete(at) => drop(model.0.remove(&(*at, *key))),
                            Order::SetProcessing(_) => (),
                        }
                    }
                    let records = orders.into_iter().map(|(key, order)| (key, order, at(0)));
                    harness.process(keyed_batch(records)).expect("processes");
                    prop_assert!(harness.take::<(u8, Timestamp)>().is_empty());
                }
                Event::Watermark(ms) => {
                    model.1 = model.1.max(Timestamp::from_millis(ms));
                    harness.watermark(model.1).expect("fires");
                    let later = model.0.split_off(&(model.1 + millis(1), 0));
                    let due = std::mem::replace(&mut model.0, later);
                    let wanted: Vec<_> = due.into_iter().map(|(at, key)| ((key, at), at)).collect();
                    prop_assert_eq!(harness.take::<(u8, Timestamp)>(), wanted);
                }
                Event::Snapshot => match &mut taken {
                    Some((snapshot, before)) => {
                        harness.extend(snapshot).expect("writes");
                        before.clone_from(&model);
                    }
                    None => taken = Some((harness.snapshot().expect("writes"), model.clone())),
                },
                Event::Crash => if let Some((snapshot, before)) = &taken {
                    harness = OperatorHarness::restore(&open, snapshot).expect("restores");
                    model.clone_from(before);
                }
            }
        }
    }
}

fn env() -> OperatorEnv {
    OperatorEnv {
        metrics: std::sync::Arc::default(),
        clock: std::sync::Arc::new(ManualClock::default()),
    }
}

fn fired(operator: &mut dyn ErasedOperator) -> Vec<(u8, Timestamp)> {
    let main = operator.take_output().into_iter();
    let typed = main.filter_map(|(_, batch)| batch.into_typed::<(u8, Timestamp)>().ok());
    typed.flat_map(|batch| batch.items).collect()
}

#[test]
fn timers_follow_their_key_groups_to_three_subtasks() {
    let (open, env) = (open_bell(), env());
    let mut old = open(KeyGroupRange::all(KEY_GROUPS), true).operator;
    let orders = (0..200_u8).map(|key| (key, Order::Set(at(i64::from(key) % 7)), at(0)));
    old.process(AnyBatch::new(keyed_batch(orders)), &env).expect("processes");
    let snapshot = old.snapshot(SnapshotMode::Full).expect("writes");
    let mut all = Vec::new();
    for subtask in 0..3 {
        let range = KeyGroupRange::of_subtask(subtask, 3, KEY_GROUPS);
        let mut new = open(range, true).operator;
        for state in &snapshot.states {
            for section in state.sections.iter().filter(|section| range.contains(section.group)) {
                new.restore(&state.state, section.group, &section.bytes).expect("restores");
            }
        }
        new.restored(&RestoredTime::at(snapshot.watermark)).expect("restores");
        assert_eq!(new.advance(at(100), &env).expect("fires"), Firing::Done);
        all.extend(fired(new.as_mut()));
    }
    all.sort_unstable();
    let wanted: Vec<_> = (0..200_u8).map(|key| (key, at(i64::from(key) % 7))).collect();
    assert_eq!(all, wanted);
}

#[test]
fn many_timers_fire_in_slices_and_are_counted() {
    let (open, env) = (open_bell(), env());
    let mut operator = open(KeyGroupRange::all(KEY_GROUPS), true).operator;
    let orders = (0..2500_i64).map(|n| (1_u8, Order::Set(Timestamp::from_millis(n)), at(0)));
    operator.process(AnyBatch::new(keyed_batch(orders)), &env).expect("processes");
    let mut slices = Vec::new();
    loop {
        let firing = operator.advance(Timestamp::MAX, &env).expect("fires");
        slices.push(fired(operator.as_mut()).len());
        if firing == Firing::Done {
            break;
        }
    }
    assert_eq!(slices, [1024, 1024, 452]);
    assert_eq!(env.metrics.timers_fired.get(), 2500);
}

#[test]
fn a_timer_at_the_watermark_fires_when_the_watermark_next_moves() {
    let mut harness = OperatorHarness::open(&open_bell());
    harness.watermark(at(10)).expect("advances");
    harness.process(keyed_batch([(1_u8, Order::Set(at(5)), at(0))])).expect("processes");
    assert!(harness.take::<(u8, Timestamp)>().is_empty());
    harness.watermark(at(11)).expect("fires");
    assert_eq!(harness.take::<(u8, Timestamp)>(), [((1, at(5)), at(5))]);
    assert_eq!(harness.take_side(COUNTS), [(1, at(5))]);
}

#[test]
fn processing_time_has_timers_of_its_own() {
    let mut harness = OperatorHarness::open(&open_bell());
    let set = |s| Order::SetProcessing(at(s));
    harness.process(keyed_batch([(1_u8, set(5), at(0)), (2, set(9), at(0))])).expect("processes");
    harness.watermark(at(100)).expect("advances");
    assert!(harness.take::<(u8, Timestamp)>().is_empty());
    harness.processing_time(at(5) + secs(1)).expect("fires");
    assert_eq!(harness.take::<(u8, Timestamp)>(), [((1, at(5)), at(5))]);
}
