//! Subtasks at different watermarks, restored at any parallelism: each key must see what a model of
//! that key alone says, which is first advanced to where its new subtask begins.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use riverrun_engine::data::Data;
use riverrun_engine::graph::OpenOperator;

use super::Items;
use super::driver::{Driver, Room, Row};
use super::model::{GridModel, Model, SessionModel};
use super::random::{Sorted, folded, room, sessions, sliced};

const KEYS: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Records(Vec<(u64, i64)>),
    /// One subtask's event time moves, the others' stay.
    Watermark(usize, i64),
    /// A snapshot, and at once a restore at this parallelism.
    Restore(u32),
}

fn steps() -> impl Strategy<Value = (Vec<Step>, Room)> {
    let step = prop_oneof![
        3 => vec((0..KEYS, -50_i64..200), 1..20).prop_map(Step::Records),
        3 => (0_usize..6, 0_i64..60).prop_map(|(subtask, by)| Step::Watermark(subtask, by)),
        2 => (1_u32..6).prop_map(Step::Restore),
    ];
    (vec(step, 1..30), room())
}

/// The subtasks, their watermarks, and a model for each key.
struct Twins<M, V> {
    driver: Driver,
    room: Room,
    watermarks: Vec<i64>,
    models: BTreeMap<u64, M>,
    items: fn(V) -> Vec<i64>,
    /// Late at the driver before this one; it counts anew.
    late_before: u64,
}

impl<M: Model, V: Data> Twins<M, V> {
    /// Compares what the driver fired with what the models of `keys` fire at their watermarks.
    fn compare(&mut self, found: Vec<Row<V>>, keys: &[u64]) {
        let items = |(key, start, end, value)| (key, start, end, (self.items)(value));
        let mut found: Vec<Row<Vec<i64>>> = found.into_iter().map(items).collect();
        let mut wanted = Vec::new();
        for key in keys {
            let watermark = self.watermarks[self.driver.owner(*key)];
            wanted.extend(self.models.get_mut(key).expect("known").watermark(watermark));
        }
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "at {:?}", self.watermarks);
    }

    fn restore(&mut self, open: &OpenOperator, parallelism: u32) {
        let before: Vec<i64> = (0..KEYS).map(|k| self.watermarks[self.driver.owner(k)]).collect();
        let saved = self.driver.snapshot(None);
        let groups = u64::from(riverrun_engine::key::KEY_GROUPS);
        self.late_before += self.driver.late_dropped();
        let old = std::mem::take(&mut self.watermarks);
        self.driver = Driver::restore(open, parallelism, self.room, &saved);
        // Ranges are contiguous: new subtask i follows the old ones its groups overlap.
        let (from, to) = (old.len() as u64, u64::from(parallelism));
        let bounds = |index: u64, of: u64| index * groups / of..(index + 1) * groups / of;
        for index in 0..to {
            let own = bounds(index, to);
            let overlaps = |i: &u64| {
                let other = bounds(*i, from);
                other.start < own.end && own.start < other.end
            };
            let followed = (0..from).filter(overlaps).map(|i| old[i as usize]);
            self.watermarks.push(followed.max().expect("there are fewer subtasks than groups"));
        }
        let found = self.driver.catch_up::<V>();
        self.compare(found, &(0..KEYS).collect::<Vec<_>>());
        for (key, before) in before.iter().enumerate() {
            assert!(self.watermarks[self.driver.owner(key as u64)] >= *before, "never back");
        }
    }
}

fn run<M: Model, V: Data>(
    open: &OpenOperator,
    model: M,
    items: fn(V) -> Vec<i64>,
    (steps, room): (Vec<Step>, Room),
) {
    let driver = Driver::open(open, 3, room);
    let models = (0..KEYS).map(|key| (key, model.clone())).collect();
    let watermarks = vec![-50; 3];
    let mut twins = Twins { driver, room, watermarks, models, items, late_before: 0 };
    let mut item = 0;
    let found = twins.driver.watermark(-50);
    twins.compare(found, &(0..KEYS).collect::<Vec<_>>());
    for step in steps.into_iter().chain([Step::Restore(1), Step::Watermark(0, 10_000)]) {
        match step {
            Step::Records(records) => {
                for (key, at) in records {
                    item += 1;
                    twins.driver.process(&[(key, item, at)]);
                    twins.models.get_mut(&key).expect("known").add((key, item, at));
                }
            }
            Step::Watermark(subtask, by) => {
                let subtask = subtask % twins.watermarks.len();
                twins.watermarks[subtask] += by;
                let found = twins.driver.watermark_of(subtask, twins.watermarks[subtask]);
                let own = |key: &u64| twins.driver.owner(*key) == subtask;
                let keys: Vec<u64> = (0..KEYS).filter(own).collect();
                twins.compare(found, &keys);
            }
            Step::Restore(parallelism) => twins.restore(open, parallelism),
        }
        let late: u64 = twins.models.values().map(Model::late).sum();
        assert_eq!(twins.driver.late_dropped() + twins.late_before, late);
    }
    assert_eq!(twins.driver.entries(), 0, "all is over, and nothing is kept");
}

proptest! {
    #[test]
    fn sliding_windows_restore_from_uneven_subtasks(
        step in 1_i64..30, more in 0_i64..60, offset in 0_i64..40, steps in steps(),
    ) {
        let size = step + more;
        let model = Sorted(GridModel::new(size, step, offset));
        run(&sliced(size, step, offset), model, |items: Items| items.0, steps);
    }

    #[test]
    fn folds_restore_from_uneven_subtasks(
        step in 1_i64..30, more in 0_i64..60, offset in 0_i64..40, steps in steps(),
    ) {
        let size = step + more;
        let model = GridModel::new(size, step, offset);
        run(&folded(size, step, offset), model, |items: Vec<i64>| items, steps);
    }

    #[test]
    fn sessions_restore_from_uneven_subtasks(gap in 1_i64..40, steps in steps()) {
        let model = Sorted(SessionModel::new(gap));
        run(&sessions(gap), model, |items: Items| items.0, steps);
    }
}
