//! `reduce`: the items of a key combined one by one, each record answered with the result so far.

use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_engine::Result;
use riverrun_engine::data::{Data, Key, Rmp};
use riverrun_engine::element::Batch;
use riverrun_engine::operator::{Operator, OperatorContext};
use riverrun_engine::state::{Declare, Slot, Table};

use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::stream::Stream;

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// Combines each item with what the items of its key before it were combined to, and emits the
    /// new result with the record's timestamp. The first item of a key is its own result.
    #[track_caller]
    pub fn reduce(self, uid: &str, f: impl Fn(T, T) -> T + Send + Sync + 'static) -> Stream<T> {
        let f = Arc::new(f);
        self.operator(Step::named("reduce", uid), move |op: &mut Declare<K>| Reduce {
            reduced: op.table("reduced", Rmp),
            f: f.clone(),
            types: PhantomData,
        })
    }
}

struct Reduce<K, T, F> {
    /// `None` only while `f` is called: its argument is moved out and its result moved in.
    reduced: Slot<Table<K, Option<T>>>,
    f: Arc<F>,
    types: PhantomData<fn(K) -> T>,
}

impl<K: Key, T: Data, F> Operator for Reduce<K, T, F>
where
    F: Fn(T, T) -> T + Send + Sync + 'static,
{
    type In = (K, T);
    type Out = T;

    fn process(&mut self, batch: Batch<(K, T)>, ctx: &mut OperatorContext<'_, T>) -> Result<()> {
        let table = ctx.state.get_mut(self.reduced);
        let Batch { items, timestamps, hashes, origins } = batch;
        let (f, mut results) = (&*self.f, Vec::with_capacity(items.len()));
        let none = || None;
        table.each_or_insert_with(&hashes, &mut items.into_iter(), none, |held, item| {
            let result = match held.take() {
                Some(before) => f(before, item),
                None => item,
            };
            *held = Some(result.clone());
            results.push(result);
        })?;
        ctx.emit_batch(Batch { items: results, timestamps, hashes: Vec::new(), origins });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::sketch::{Sketch, keyed_batch, open_of};
    use proptest::prelude::*;
    use riverrun_engine::testing::{HarnessSnapshot, OperatorHarness};
    use riverrun_engine::time::{Timestamp, at};
    use std::collections::HashMap;

    #[derive(Clone, Debug)]
    enum Event {
        Records(Vec<(u8, i64)>),
        Snapshot,
        Crash,
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let records = proptest::collection::vec((0_u8..20, -100_i64..100), 1..30);
        let event = prop_oneof![
            4 => records.prop_map(Event::Records),
            2 => Just(Event::Snapshot),
            1 => Just(Event::Crash),
        ];
        proptest::collection::vec(event, 0..30)
    }

    type Model = HashMap<u8, i64>;

    fn combine(before: i64, item: i64) -> i64 {
        before.wrapping_mul(3) + item
    }

    proptest! {
        #[test]
        fn equals_a_fold_whatever_is_snapshot_and_restored(events in events()) {
            let keyed = Sketch::new().stream::<i64>().key_by(|_| 0_u8);
            let open = open_of(&keyed.reduce("sum", combine));
            let mut harness = OperatorHarness::open(&open);
            let mut model = Model::new();
            let mut taken: Option<(HarnessSnapshot, Model)> = None;
            for event in events {
                match event {
                    Event::Records(records) => {
                        let keyed = records.iter().map(|(key, n)| (*key, *n, Timestamp::from(*n)));
                        harness.process(keyed_batch(keyed)).expect("processes");
                        let fold = |(key, n): (u8, i64)| {
                            let next = model.get(&key).map_or(n, |before| combine(*before, n));
                            model.insert(key, next);
                            (next, Timestamp::from(n))
                        };
                        let wanted: Vec<_> = records.into_iter().map(fold).collect();
                        prop_assert_eq!(harness.take::<i64>(), wanted);
                    }
                    Event::Snapshot => match &mut taken {
                        Some((snapshot, before)) => {
                            harness.extend(snapshot).expect("writes the changes");
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

    #[test]
    fn the_first_item_is_its_own_result() {
        let keyed = Sketch::new().stream::<i64>().key_by(|_| 0_u8);
        let mut harness = OperatorHarness::open(&open_of(&keyed.reduce("max", i64::max)));
        harness.process(keyed_batch([(1_u8, 5_i64, at(1)), (1, 3, at(2))])).expect("processes");
        assert_eq!(harness.take::<i64>(), [(5, at(1)), (5, at(2))]);
    }
}
