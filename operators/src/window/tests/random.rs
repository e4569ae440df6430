//! Random records, watermarks, snapshots and restores: operator and model must agree at each step.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use riverrun_engine::data::Data;
use riverrun_engine::erased::open_operator;
use riverrun_engine::graph::OpenOperator;
use riverrun_engine::state::Declare;

use super::Items;
use super::driver::{Driver, Record, Room, Row, Saved};
use super::model::{GridModel, Model, SessionModel};
use crate::window::slices::Grid;
use crate::window::{FoldOperator, Late, SessionOperator, SlicedOperator};

#[derive(Clone, Debug)]
enum Step {
    Records(Vec<(u64, i64)>),
    Watermark(i64),
    Full,
    Delta,
    Crash(u32),
}

/// Mostly near 0, on both sides; now and then at the ends of time.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        40 => -150_i64..150,
        2 => (0_i64..150).prop_map(|past| i64::MIN + past),
        2 => (0_i64..150).prop_map(|left| i64::MAX - left),
        1 => Just(253_402_300_799_999_i64),
    ]
}

/// And whether there is room for what they leave.
fn steps() -> impl Strategy<Value = (Vec<Step>, Room)> {
    let step = prop_oneof![
        6 => vec((0_u64..5, moment()), 1..12).prop_map(Step::Records),
        6 => (0_i64..40).prop_map(Step::Watermark),
        1 => moment().prop_map(Step::Watermark),
        1 => Just(Step::Full),
        2 => Just(Step::Delta),
        1 => (1_u32..5).prop_map(Step::Crash),
    ];
    (vec(step, 1..40), room())
}

pub(super) fn room() -> impl Strategy<Value = Room> {
    prop_oneof![Just(Room::Plenty), Just(Room::None)]
}

/// What a crash goes back to.
struct Checkpoint<M> {
    saved: Saved,
    /// Restored subtasks are others than those that wrote: deltas need a new base.
    extends: bool,
    model: M,
    watermark: i64,
}

fn run<M: Model, V: Data>(
    open: &OpenOperator,
    mut model: M,
    items: fn(V) -> Vec<i64>,
    (steps, room): (Vec<Step>, Room),
) {
    let mut driver = Driver::open(open, 2, room);
    let (mut watermark, mut item) = (i64::MIN, 0);
    let mut checkpoint: Option<Checkpoint<M>> = None;
    let (mut late_before, mut at_the_end) = (0, false);
    for step in steps.into_iter().chain([Step::Watermark(i64::MAX)]) {
        match step {
            Step::Records(records) => {
                let mut number = |(key, at)| {
                    item += 1;
                    (key, item, at)
                };
                let records: Vec<Record> = records.into_iter().map(&mut number).collect();
                at_the_end |= records.iter().any(|(.., at)| *at == i64::MAX);
                driver.process(&records);
                records.into_iter().for_each(|record| model.add(record));
            }
            Step::Watermark(by) => {
                let from = if watermark == i64::MIN { -150 } else { watermark };
                watermark = watermark.max(from.saturating_add(by.max(0)).max(by));
                let found = driver.watermark::<V>(watermark).into_iter();
                let mut found: Vec<Row<Vec<i64>>> =
                    found.map(|(key, start, end, value)| (key, start, end, items(value))).collect();
                let mut wanted = model.watermark(watermark);
                found.sort();
                wanted.sort();
                assert_eq!(found, wanted, "at {watermark}");
            }
            Step::Full | Step::Delta => {
                let delta = matches!(step, Step::Delta);
                let before = checkpoint.take().filter(|c| c.extends && delta).map(|c| c.saved);
                let saved = driver.snapshot(before);
                let model = model.clone();
                checkpoint = Some(Checkpoint { saved, extends: true, model, watermark });
            }
            Step::Crash(parallelism) => {
                let Some(back) = &mut checkpoint else { continue };
                driver = Driver::restore(open, parallelism, room, &back.saved);
                (model, watermark) = (back.model.clone(), back.watermark);
                back.extends = false;
                late_before = model.late();
            }
        }
        assert_eq!(driver.late_dropped() + late_before, model.late());
    }
    // Nothing begins after the last moment of all, so a slice that begins there stays.
    assert!(driver.entries() == 0 || at_the_end, "all is over, and nothing is kept");
}

pub(super) fn sliced(size: i64, step: i64, offset: i64) -> OpenOperator {
    let grid = Grid::new(size, step, offset);
    open_operator::<u64, _, _>(move |declare: &mut Declare<u64>| {
        SlicedOperator::<u64, i64, Items>::open(declare, grid, Late::new(None))
    })
}

pub(super) fn folded(size: i64, step: i64, offset: i64) -> OpenOperator {
    let grid = Grid::new(size, step, offset);
    let push = Arc::new(|items: &mut Vec<i64>, item: i64| items.push(item));
    open_operator::<u64, _, _>(move |declare: &mut Declare<u64>| {
        FoldOperator::<u64, i64, Vec<i64>, _>::open(declare, grid, Late::new(None), push.clone())
    })
}

pub(super) fn sessions(gap: i64) -> OpenOperator {
    open_operator::<u64, _, _>(move |declare: &mut Declare<u64>| {
        SessionOperator::<u64, i64, Items>::open(declare, gap, Late::new(None))
    })
}

/// The model's items are in the order of arrival or time; those of `Items` are sorted.
#[derive(Clone)]
pub(super) struct Sorted<M>(pub(super) M);

impl<M: Model> Model for Sorted<M> {
    fn add(&mut self, record: Record) {
        self.0.add(record);
    }
    fn watermark(&mut self, at: i64) -> Vec<Row<Vec<i64>>> {
        let mut rows = self.0.watermark(at);
        rows.iter_mut().for_each(|row| row.3.sort_unstable());
        rows
    }
    fn late(&self) -> u64 {
        self.0.late()
    }
}

proptest! {
    #[test]
    fn tumbling_windows_are_the_models(size in 1_i64..60, offset in 0_i64..70, steps in steps()) {
        let model = Sorted(GridModel::new(size, size, offset));
        run(&sliced(size, size, offset), model, |items: Items| items.0, steps);
    }

    #[test]
    fn sliding_windows_are_the_models(
        step in 1_i64..30, more in 0_i64..60, offset in 0_i64..40, steps in steps(),
    ) {
        let size = step + more;
        let model = Sorted(GridModel::new(size, step, offset));
        run(&sliced(size, step, offset), model, |items: Items| items.0, steps);
    }

    #[test]
    fn folds_are_the_models_in_order_of_arrival(
        step in 1_i64..30, more in 0_i64..60, offset in 0_i64..40, steps in steps(),
    ) {
        let size = step + more;
        let model = GridModel::new(size, step, offset);
        run(&folded(size, step, offset), model, |items: Vec<i64>| items, steps);
    }

    #[test]
    fn sessions_are_the_models(gap in 1_i64..40, steps in steps()) {
        let model = Sorted(SessionModel::new(gap));
        run(&sessions(gap), model, |items: Items| items.0, steps);
    }
}
