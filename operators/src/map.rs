//! The steps without state: `map`, `try_map`, `filter`, `filter_map`, `flat_map`, `inspect`.
//!
//! Each takes a whole batch a call; the closure is inlined into the loop over its records and
//! shared by all subtasks. Timestamps and origins go with the record.

use riverrun_engine::Result;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;

use crate::job::Step;
use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// Each item becomes another.
    #[track_caller]
    pub fn map<U>(self, f: impl Fn(T) -> U + Send + Sync + 'static) -> Stream<U>
    where
        U: Data,
    {
        self.each_batch(Step::unnamed("map"), move |batch, ctx| {
            ctx.emit_batch(batch.map_items(&f));
            Ok(())
        })
    }

    /// Each item becomes another, or ends the attempt with an error.
    #[track_caller]
    pub fn try_map<U>(self, f: impl Fn(T) -> Result<U> + Send + Sync + 'static) -> Stream<U>
    where
        U: Data,
    {
        self.each_batch(Step::unnamed("try_map"), move |batch, ctx| {
            let Batch { items, timestamps, hashes, origins } = batch;
            let items = items.into_iter().map(&f).collect::<Result<Vec<U>>>()?;
            ctx.emit_batch(Batch { items, timestamps, hashes, origins });
            Ok(())
        })
    }

    /// Keeps the items that `keep` says yes to.
    #[track_caller]
    pub fn filter(self, keep: impl Fn(&T) -> bool + Send + Sync + 'static) -> Stream<T> {
        self.each_batch(Step::unnamed("filter"), move |mut batch, ctx| {
            retain(&mut batch, &keep);
            ctx.emit_batch(batch);
            Ok(())
        })
    }

    /// Each item becomes another, or nothing.
    #[track_caller]
    pub fn filter_map<U>(self, f: impl Fn(T) -> Option<U> + Send + Sync + 'static) -> Stream<U>
    where
        U: Data,
    {
        self.each_batch(Step::unnamed("filter_map"), move |batch, ctx| {
            let Batch { items, timestamps, origins, .. } = batch;
            let mut kept = Batch { origins, ..Batch::with_capacity(items.len()) };
            for (item, timestamp) in items.into_iter().zip(timestamps) {
                if let Some(item) = f(item) {
                    kept.push(item, timestamp);
                }
            }
            ctx.emit_batch(kept);
            Ok(())
        })
    }

    /// Each item becomes any number of others, which all have its timestamp.
    #[track_caller]
    pub fn flat_map<I>(self, f: impl Fn(T) -> I + Send + Sync + 'static) -> Stream<I::Item>
    where
        I: IntoIterator,
        I::Item: Data,
    {
        self.each_batch(Step::unnamed("flat_map"), move |batch, ctx| {
            for (item, timestamp) in batch.items.into_iter().zip(batch.timestamps) {
                f(item).into_iter().for_each(|item| ctx.emit(item, timestamp));
            }
            Ok(())
        })
    }

    /// Looks at each item as it passes. After a crash an item may pass again.
    #[track_caller]
    pub fn inspect(self, f: impl Fn(&T) + Send + Sync + 'static) -> Stream<T> {
        self.each_batch(Step::unnamed("inspect"), move |batch, ctx| {
            batch.items.iter().for_each(&f);
            ctx.emit_batch(batch);
            Ok(())
        })
    }
}

/// Keeps the records whose items `keep` says yes to, in place and in order, in every column.
fn retain<T>(batch: &mut Batch<T>, keep: impl Fn(&T) -> bool) {
    let keyed = !batch.hashes.is_empty();
    let mut kept = 0;
    for at in 0..batch.items.len() {
        if !keep(&batch.items[at]) {
            continue;
        }
        if kept != at {
            batch.items.swap(kept, at);
            batch.timestamps[kept] = batch.timestamps[at];
            if keyed {
                batch.hashes[kept] = batch.hashes[at];
            }
        }
        kept += 1;
    }
    batch.items.truncate(kept);
    batch.timestamps.truncate(kept);
    batch.hashes.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, run};
    use proptest::prelude::*;
    use riverrun_engine::key::KeyHash;
    use riverrun_engine::time::{Timestamp, at};

    proptest! {
        #[test]
        fn retain_keeps_every_column_together(items: Vec<u8>, keyed: bool) {
            let stamp = |item: &u8| Timestamp::from_millis(i64::from(*item) * 3);
            let hash = |item: &u8| KeyHash(u64::from(*item) * 7);
            let mut batch = Batch {
                items: items.clone(),
                timestamps: items.iter().map(stamp).collect(),
                hashes: items.iter().filter(|_| keyed).map(hash).collect(),
                ..Batch::default()
            };
            retain(&mut batch, |item| item % 3 == 0);
            let wanted: Vec<u8> = items.into_iter().filter(|item| item % 3 == 0).collect();
            prop_assert_eq!(&batch.timestamps, &wanted.iter().map(stamp).collect::<Vec<_>>());
            let hashes: Vec<_> = wanted.iter().filter(|_| keyed).map(hash).collect();
            prop_assert_eq!(&batch.hashes, &hashes);
            prop_assert_eq!(batch.items, wanted);
        }
    }

    #[test]
    fn each_step_does_to_a_stream_what_its_name_does_to_an_iterator() {
        let input = || [(1_u64, at(1)), (2, at(2)), (3, at(0))];
        let stream = || Sketch::new().stream::<u64>();
        assert_eq!(run(stream().map(|n| n * 10), input()), [(10, at(1)), (20, at(2)), (30, at(0))]);
        assert_eq!(run(stream().filter(|n| n % 2 == 1), input()), [(1, at(1)), (3, at(0))]);
        let odd = stream().filter_map(|n| (n % 2 == 1).then(|| n.to_string()));
        assert_eq!(run(odd, input()), [("1".to_owned(), at(1)), ("3".to_owned(), at(0))]);
        let below = stream().flat_map(|n| 1..n);
        assert_eq!(run(below, input()), [(1, at(2)), (1, at(0)), (2, at(0))]);
        assert_eq!(run(stream().inspect(|_| ()), input()), input());
        assert_eq!(run(stream().try_map(|n| Ok(n + 1)), input())[0], (2, at(1)));
    }

    #[test]
    fn an_error_in_try_map_ends_the_call() {
        let stream = Sketch::new().stream::<u64>().try_map(|n| {
            anyhow::ensure!(n != 2, "two is refused");
            Ok(n)
        });
        let mut harness = crate::sketch::harness_of(&stream);
        let batch = Batch { items: vec![1_u64, 2], timestamps: vec![at(0); 2], ..Batch::default() };
        let error = harness.process(batch).expect_err("refused");
        assert_eq!(error.to_string(), "two is refused");
    }
}
