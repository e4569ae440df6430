//! `dead_letter`: records that could not be read leave through a sink of their own; the job goes on
//! with the others.
//!
//! The sink takes part in the same checkpoints, so a bad record appears there exactly once.

use riverrun_engine::bad::{BadRecord, Parsed};
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::output::SideOutput;
use riverrun_engine::sink::Sink;

use crate::job::Step;
use crate::stream::Stream;

const BAD: SideOutput<BadRecord> = SideOutput::new("dead-letters");

impl<T: Data> Stream<Parsed<T>> {
    /// Sends the records that could not be read to `sink`, and goes on with those that could. The
    /// uid is the sink's. A bad record has no time of its own: give the stream its clock behind
    /// this.
    #[track_caller]
    pub fn dead_letter<S: Sink<BadRecord>>(self, uid: &str, sink: S) -> Stream<T> {
        let good = self.each_batch(Step::unnamed("dead_letter"), |batch, ctx| {
            let Batch { items, timestamps, origins, .. } = batch;
            let mut good = Batch { origins, ..Batch::with_capacity(items.len()) };
            for (item, timestamp) in items.into_iter().zip(timestamps) {
                match item {
                    Parsed::Good(item) => good.push(item, timestamp),
                    Parsed::Bad(bad) => {
                        ctx.metrics.dead_letters.add(1);
                        ctx.emit_to(BAD, bad, timestamp);
                    }
                }
            }
            ctx.emit_batch(good);
            Ok(())
        });
        good.side_output(BAD).sink(uid, sink);
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{Sketch, batch_of, harness_of};
    use riverrun_engine::context::TaskContext;
    use riverrun_engine::sink::SinkWriter;
    use riverrun_engine::time::at;

    struct Unopened;

    impl Sink<BadRecord> for Unopened {
        type Writer = Unopened;
        async fn open(&self, _: TaskContext) -> riverrun_engine::Result<Unopened> {
            Ok(Unopened)
        }
    }

    impl SinkWriter<BadRecord> for Unopened {
        type Committable = ();
        async fn write(&mut self, _: Batch<BadRecord>) -> riverrun_engine::Result<()> {
            Ok(())
        }
        fn prepare(
            &mut self,
            _: riverrun_engine::checkpoint::CheckpointId,
        ) -> futures::future::BoxFuture<'static, riverrun_engine::Result<Option<()>>> {
            Box::pin(async { Ok(None) })
        }
    }

    #[test]
    fn good_and_bad_part() {
        let sketch = Sketch::new();
        let good = sketch.stream::<Parsed<u64>>().dead_letter("bad", Unopened);
        let mut harness = harness_of(&good);
        let bad = BadRecord {
            split: "a.jsonl".to_owned(),
            position: 7,
            reason: "no number".to_owned(),
            text: "x".to_owned(),
            raw: None,
        };
        let records = [Parsed::Good(1_u64), Parsed::Bad(bad.clone()), Parsed::Good(2)];
        harness.process(batch_of(records.map(|r| (r, at(3))))).expect("no failure");
        assert_eq!(harness.take::<u64>(), vec![(1, at(3)), (2, at(3))]);
        assert_eq!(harness.take_side(BAD), vec![(bad, at(3))]);
        assert_eq!(harness.metrics().dead_letters.get(), 1);
    }
}
