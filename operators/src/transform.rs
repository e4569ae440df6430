//! The lowest door: an `Operator` of your own as a step of the language.

use riverrun_engine::data::{Data, Key};
use riverrun_engine::operator::Operator;
use riverrun_engine::state::Declare;

use crate::job::Step;
use crate::keyed::KeyedStream;
use crate::stream::Stream;

impl<T: Data> Stream<T> {
    /// An operator of your own, over batches and time. `open` declares its state and makes it; it
    /// is called for every subtask, and dry by `check`. State is kept by key group; a stream
    /// without keys has the key `()`, which one subtask owns: for keyed state see
    /// [`KeyedStream::transform`].
    #[track_caller]
    pub fn transform<Op>(
        self,
        uid: &str,
        open: impl Fn(&mut Declare) -> Op + Send + Sync + 'static,
    ) -> Stream<Op::Out>
    where
        Op: Operator<In = T>,
    {
        self.operator(Step::named("transform", uid), open)
    }
}

impl<K: Key, T: Data> KeyedStream<K, T> {
    /// An operator of your own over batches of `(key, item)`, whose `hashes` are those of the keys.
    #[track_caller]
    pub fn transform<Op>(
        self,
        uid: &str,
        open: impl Fn(&mut Declare<K>) -> Op + Send + Sync + 'static,
    ) -> Stream<Op::Out>
    where
        Op: Operator<In = (K, T)>,
    {
        self.operator(Step::named("transform", uid), open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, harness_of, keyed_batch};
    use riverrun_engine::Result;
    use riverrun_engine::data::Rmp;
    use riverrun_engine::element::Batch;
    use riverrun_engine::operator::OperatorContext;
    use riverrun_engine::state::{Slot, Table};
    use riverrun_engine::time::at;

    struct Count(Slot<Table<u64, u64>>);

    impl Operator for Count {
        type In = (u64, String);
        type Out = u64;

        fn process(
            &mut self,
            batch: Batch<Self::In>,
            ctx: &mut OperatorContext<'_, u64>,
        ) -> Result<()> {
            let counts = ctx.state.get_mut(self.0);
            for (((key, _), hash), timestamp) in
                batch.items.iter().zip(&batch.hashes).zip(&batch.timestamps)
            {
                let count = counts.or_insert_with(*hash, key, || 0)?;
                *count += 1;
                ctx.output.emit(*count, *timestamp);
            }
            Ok(())
        }
    }

    #[test]
    fn an_operator_of_ones_own_keeps_state_by_key() {
        let keyed = Sketch::new().stream::<String>().key_by(|text| text.len() as u64);
        let open = |op: &mut Declare<u64>| Count(op.table("count", Rmp));
        let mut harness = harness_of(&keyed.transform("count", open));
        let record = |key: u64| (key, String::new(), at(0));
        harness.process(keyed_batch([record(1), record(2), record(1)])).expect("processes");
        let counts: Vec<u64> = harness.take().into_iter().map(|(count, _)| count).collect();
        assert_eq!(counts, [1, 1, 2]);
        assert_eq!(harness.state_size("count"), 2);
    }
}
