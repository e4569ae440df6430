//! `scan` and `flat_scan`: a state for each key, stepped by each record.

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
    /// Each item steps the state of its key, which begins as the default, and becomes what `f`
    /// returns, with the record's timestamp.
    #[track_caller]
    pub fn scan<S, U>(
        self,
        uid: &str,
        f: impl Fn(&mut S, T) -> U + Send + Sync + 'static,
    ) -> Stream<U>
    where
        S: Data + Default,
        U: Data,
    {
        let f = Arc::new(f);
        self.operator(Step::named("scan", uid), move |op: &mut Declare<K>| Scan {
            states: op.table("state", Rmp),
            f: f.clone(),
            types: PhantomData,
        })
    }

    /// As [`KeyedStream::scan`], for an `f` that returns any number of results: an `Option`, a
    /// `Vec`, an iterator.
    #[track_caller]
    pub fn flat_scan<S, I>(
        self,
        uid: &str,
        f: impl Fn(&mut S, T) -> I + Send + Sync + 'static,
    ) -> Stream<I::Item>
    where
        S: Data + Default,
        I: IntoIterator + 'static,
        I::Item: Data,
    {
        let f = Arc::new(f);
        self.operator(Step::named("flat_scan", uid), move |op: &mut Declare<K>| FlatScan {
            states: op.table("state", Rmp),
            f: f.clone(),
            types: PhantomData,
        })
    }
}

struct Scan<K, T, S, U, F> {
    states: Slot<Table<K, S>>,
    f: Arc<F>,
    types: PhantomData<fn(T) -> U>,
}

impl<K: Key, T: Data, S: Data + Default, U: Data, F> Operator for Scan<K, T, S, U, F>
where
    F: Fn(&mut S, T) -> U + Send + Sync + 'static,
{
    type In = (K, T);
    type Out = U;

    fn process(&mut self, batch: Batch<(K, T)>, ctx: &mut OperatorContext<'_, U>) -> Result<()> {
        let table = ctx.state.get_mut(self.states);
        let Batch { items, timestamps, hashes, origins } = batch;
        let (f, mut results) = (&*self.f, Vec::with_capacity(items.len()));
        let step = |state: &mut S, item| results.push(f(state, item));
        table.each_or_insert_with(&hashes, &mut items.into_iter(), S::default, step)?;
        ctx.emit_batch(Batch { items: results, timestamps, hashes: Vec::new(), origins });
        Ok(())
    }
}

struct FlatScan<K, T, S, I, F> {
    states: Slot<Table<K, S>>,
    f: Arc<F>,
    types: PhantomData<fn(T) -> I>,
}

impl<K: Key, T: Data, S: Data + Default, I, F> Operator for FlatScan<K, T, S, I, F>
where
    I: IntoIterator + 'static,
    I::Item: Data,
    F: Fn(&mut S, T) -> I + Send + Sync + 'static,
{
    type In = (K, T);
    type Out = I::Item;

    fn process(
        &mut self,
        batch: Batch<(K, T)>,
        ctx: &mut OperatorContext<'_, I::Item>,
    ) -> Result<()> {
        let OperatorContext { state, output, .. } = ctx;
        let table = state.get_mut(self.states);
        let Batch { items, timestamps, hashes, .. } = batch;
        let (f, mut timestamps) = (&*self.f, timestamps.into_iter());
        table.each_or_insert_with(&hashes, &mut items.into_iter(), S::default, |state, item| {
            let at = timestamps.next().unwrap_or_else(|| unreachable!("every record has one"));
            f(state, item).into_iter().for_each(|item| output.emit(item, at));
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::sketch::{Sketch, keyed_batch, open_of};
    use riverrun_engine::testing::OperatorHarness;
    use riverrun_engine::time::at;

    #[test]
    fn a_scan_numbers_the_records_of_each_key_through_a_restore() {
        let keyed = Sketch::new().stream::<String>().key_by(|_| 0_u8);
        let number = |n: &mut u64, item: String| {
            *n += 1;
            format!("{item}{n}")
        };
        let open = open_of(&keyed.scan("number", number));
        let mut harness = OperatorHarness::open(&open);
        let record = |key: u8, item: &str| (key, item.to_owned(), at(3));
        harness.process(keyed_batch([record(1, "a"), record(2, "b")])).expect("processes");
        let mut snapshot = harness.snapshot().expect("writes");
        harness.process(keyed_batch([record(1, "c")])).expect("processes");
        harness.extend(&mut snapshot).expect("writes");
        let taken: Vec<(String, _)> = harness.take();
        assert_eq!(taken, ["a1", "b1", "c2"].map(|text| (text.to_owned(), at(3))));
        let mut harness = OperatorHarness::restore(&open, &snapshot).expect("restores");
        harness.process(keyed_batch([record(1, "d"), record(2, "e")])).expect("processes");
        let taken: Vec<(String, _)> = harness.take();
        assert_eq!(taken, ["d3", "e2"].map(|text| (text.to_owned(), at(3))));
    }

    #[test]
    fn a_flat_scan_emits_what_there_is() {
        let keyed = Sketch::new().stream::<i64>().key_by(|_| 0_u8);
        let every_second = |n: &mut u64, item: i64| {
            *n += 1;
            n.is_multiple_of(2).then_some(item)
        };
        let mut harness = OperatorHarness::open(&open_of(&keyed.flat_scan("second", every_second)));
        let records = (0..5_i64).map(|n| (7_u8, n, at(n)));
        harness.process(keyed_batch(records)).expect("processes");
        assert_eq!(harness.take::<i64>(), [(1, at(1)), (3, at(3))]);
    }
}
