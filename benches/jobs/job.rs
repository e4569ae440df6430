//! The same work as a job: source, key_by, operator, sink, run by the real runtime.

use std::sync::{Arc, Mutex, PoisonError};

use riverrun::engine::checkpoint::CheckpointId;
use riverrun::engine::context::TaskContext;
use riverrun::engine::element::Batch;
use riverrun::engine::sink::{Sink, SinkWriter};
use riverrun::engine::source::{Progress, Source, SourceReader, Split, SplitIndex};
use riverrun::operators::Stream;
use riverrun::prelude::*;
use riverrun::runtime::config::{Config, RunOptions};
use riverrun::runtime::control::Control;
use riverrun::runtime::run::run_job;
use riverrun::runtime::status::JobStatus;

use super::work::{Event, PARTITIONS, Row, Tally, Work, event};

/// All events, split `s` of `n` has those with i mod n = s: some partitions, so that the order of
/// a key's events holds.
struct Events {
    row: Row,
    splits: u32,
}

#[derive(Clone, Serialize, Deserialize)]
struct Share {
    first: u64,
    step: u64,
}

impl Split for Share {
    fn id(&self) -> String {
        format!("{}-of-{}", self.first, self.step)
    }
}

struct Reader {
    row: Row,
    /// Each with the next event to read.
    shares: Vec<(Share, u64)>,
    turn: usize,
}

impl Source for Events {
    type Item = Event;
    type Split = Share;
    type Reader = Reader;

    fn is_bounded(&self) -> bool {
        true
    }
    async fn discover(&self, _: &TaskContext) -> Result<Vec<Share>> {
        let step = u64::from(self.splits);
        Ok((0..step).map(|first| Share { first, step }).collect())
    }
    async fn open(&self, _: TaskContext) -> Result<Reader> {
        Ok(Reader { row: self.row, shares: Vec::new(), turn: 0 })
    }
}

impl SourceReader for Reader {
    type Item = Event;
    type Split = Share;
    type Offset = u64;

    async fn assign(&mut self, share: Share, offset: Option<u64>) -> Result<()> {
        let next = offset.unwrap_or(share.first);
        self.shares.push((share, next));
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<Event>, records_max: usize) -> Result<Progress> {
        self.turn = (self.turn + 1) % self.shares.len();
        let (split, keys) = (SplitIndex(self.turn), self.row.keys);
        let (share, next) = &mut self.shares[self.turn];
        let first = *next;
        if first >= self.row.events {
            return Ok(Progress::Ended(split));
        }
        let end = (first + share.step * records_max as u64).min(self.row.events);
        out.items.extend((first..end).step_by(share.step as usize).map(|i| event(i, keys)));
        *next = first + share.step * out.items.len() as u64;
        Ok(Progress::Records { split, first, last: *next - share.step })
    }

    async fn ready(&mut self) {}

    fn offset(&self, split: SplitIndex) -> Option<u64> {
        self.shares.get(split.0).map(|(_, next)| *next)
    }
}

/// Adds up what comes out.
#[derive(Clone, Default)]
struct Total(Arc<Mutex<Tally>>);

struct TotalWriter<T> {
    total: Total,
    parts: fn(&T) -> [u64; 3],
}

struct TotalSink<T> {
    total: Total,
    parts: fn(&T) -> [u64; 3],
}

impl<T: riverrun::engine::data::Data> Sink<T> for TotalSink<T> {
    type Writer = TotalWriter<T>;
    async fn open(&self, _: TaskContext) -> Result<TotalWriter<T>> {
        Ok(TotalWriter { total: self.total.clone(), parts: self.parts })
    }
}

impl<T: riverrun::engine::data::Data> SinkWriter<T> for TotalWriter<T> {
    type Committable = ();

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        let mut total = self.total.0.lock().unwrap_or_else(PoisonError::into_inner);
        batch.items.iter().for_each(|item| total.add((self.parts)(item)));
        Ok(())
    }

    fn prepare(
        &mut self,
        _: CheckpointId,
    ) -> futures::future::BoxFuture<'static, Result<Option<()>>> {
        Box::pin(async { Ok(None) })
    }
}

fn counts(stream: Stream<Windowed<u64, Count>>, total: &Total) {
    let parts = |w: &Windowed<u64, Count>| [w.key, w.window.start.as_millis() as u64, w.value.0];
    stream.sink("total", TotalSink { total: total.clone(), parts });
}

fn pipeline(job: &Job, row: Row, total: &Total) {
    let even = PARTITIONS.is_multiple_of(u64::from(row.parallelism));
    let splits = if even { row.parallelism } else { 1 };
    let events = Events { row, splits }
        .event_time(|event| Timestamp::from_millis(event.at), Watermarks::monotonic());
    let events = job.source("events", events).parallelism(splits);
    let total = total.clone();
    match row.work {
        Work::Filter => {
            let parts = |event: &Event| [event.price, 0, 0];
            events.filter(|event| event.key % 123 == 0).sink("total", TotalSink { total, parts });
        }
        Work::Tumbling => {
            let windows = events.key_by(|event| event.key).window(Tumbling::of(secs(10)));
            counts(windows.aggregate::<Count>("count"), &total);
        }
        Work::Sliding => {
            let sliding = Sliding::of(secs(60)).every(secs(10));
            let windows = events.key_by(|event| event.key).window(sliding);
            counts(windows.aggregate::<Count>("count"), &total);
        }
        Work::Running => {
            let parts = |result: &(u64, u64)| [result.0, result.1, 0];
            let add = |sum: &mut u64, event: Event| {
                *sum = sum.wrapping_add(event.price);
                (*sum & 0x3ff == 0).then_some((event.key, *sum))
            };
            events
                .key_by(|event| event.key)
                .flat_scan("sum", add)
                .sink("total", TotalSink { total, parts });
        }
    }
}

/// Runs one row.
pub(crate) fn run(row: Row) -> anyhow::Result<Tally> {
    let total = Total::default();
    let job = Job::new(serde_json::Value::Null);
    pipeline(&job, row, &total);
    let folder = tempfile::tempdir()?;
    let mut config = Config::for_job("bench");
    config.parallelism = row.parallelism;
    config.workers = row.parallelism;
    config.checkpoint.path = folder.path().display().to_string();
    config.checkpoint.interval = std::time::Duration::from_millis(row.checkpoint_ms);
    let graph = job.into_graph();
    let status = Arc::new(JobStatus::of("bench", &graph));
    run_job("bench", graph, &config, &RunOptions::default(), status, Control::detached())?;
    let tally = total.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(*tally)
}
