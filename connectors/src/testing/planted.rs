//! Planted bugs: proof that the checks can fail.

use std::future::Future;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::element::Batch;
use riverrun_engine::sink::{Participant, Sink};
use riverrun_engine::source::{Progress, Source, SourceReader, SplitIndex};

use super::{Destination, check_sink, check_source};
use crate::memory::{MemoryOutput, MemoryReader, MemorySource, MemorySplit, MemoryWriter};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// The offset is that of the last record, not of the next.
    ReadsAgain,
    /// The offset is ahead of what was handed out.
    ReadsAhead,
    /// What comes while waiting (the first time) is taken, and lost when the waiting is given up.
    WaitsGreedily,
}

struct Faulty(MemorySource<u64>, Bug);

struct FaultyReader(MemoryReader<u64>, Bug);

impl Source for Faulty {
    type Item = u64;
    type Split = MemorySplit;
    type Reader = FaultyReader;

    fn is_bounded(&self) -> bool {
        true
    }
    async fn discover(&self, ctx: &TaskContext) -> Result<Vec<MemorySplit>> {
        self.0.discover(ctx).await
    }
    async fn open(&self, ctx: TaskContext) -> Result<FaultyReader> {
        Ok(FaultyReader(self.0.open(ctx).await?, self.1))
    }
}

impl SourceReader for FaultyReader {
    type Item = u64;
    type Split = MemorySplit;
    type Offset = u64;

    async fn assign(&mut self, split: MemorySplit, offset: Option<u64>) -> Result<()> {
        self.0.assign(split, offset).await
    }
    fn next(&mut self, out: &mut Batch<u64>, records_max: usize) -> Result<Progress> {
        self.0.next(out, records_max)
    }
    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        if self.1 == Bug::WaitsGreedily {
            self.1 = Bug::None;
            let _ = self.0.next(&mut Batch::default(), 1);
        }
        self.0.ready()
    }
    fn offset(&self, split: SplitIndex) -> Option<u64> {
        let offset = self.0.offset(split)?;
        Some(match self.1 {
            Bug::ReadsAgain => offset - 1,
            Bug::ReadsAhead => (offset + 1).min(40),
            _ => offset,
        })
    }
}

#[test]
fn a_source_that_loses_or_doubles_is_found_out() {
    let check = |bug| check_source(&Faulty(MemorySource::new(vec![(0..40).collect()]), bug));
    check(Bug::None).expect("no bug");
    for bug in [Bug::ReadsAgain, Bug::ReadsAhead, Bug::WaitsGreedily] {
        assert!(check(bug).is_err(), "{bug:?}");
    }
}

/// Writes at once what it should have hidden until the commit.
struct Hasty(MemoryOutput<u64>);

impl Sink<u64> for Hasty {
    type Writer = MemoryWriter<u64>;

    async fn open(&self, ctx: TaskContext) -> Result<MemoryWriter<u64>> {
        self.0.sink().at_least_once().open(ctx).await
    }
    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        self.0.sink().participant(ctx)
    }
}

/// Remembers nothing of what it committed: a repeated commit shows it again.
struct Repeats(MemoryOutput<u64>);

impl Destination<u64> for Repeats {
    fn visible(&self) -> Result<Vec<u64>> {
        let items = self.0.items();
        let again = self.0.committed().len().saturating_sub(1).min(1);
        Ok([items.clone(), items[..again.min(items.len())].to_vec()].concat())
    }
}

#[test]
fn a_sink_that_shows_too_much_is_found_out() {
    let hasty = || {
        let output = MemoryOutput::new();
        (Hasty(output.clone()), output)
    };
    let error = format!("{:#}", check_sink(hasty, |i| i).expect_err("hasty"));
    assert!(error.contains("before the first commit"), "{error}");
    let repeats = || {
        let output = MemoryOutput::new();
        (output.sink(), Repeats(output.clone()))
    };
    assert!(check_sink(repeats, |i| i).is_err());
}
