//! How much a source is asked for at once, more where its batches are dealt out, and what is set
//! aside for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use riverrun::connectors::memory::MemoryOutput;
use riverrun::engine::context::TaskContext;
use riverrun::engine::data::Data;
use riverrun::engine::element::{BATCH_RECORDS, Batch};
use riverrun::engine::source::{Progress, Source, SourceReader, Split, SplitIndex};
use riverrun::operators::Stream;
use riverrun::prelude::*;
use riverrun::runtime::attempt::memory::divide;
use riverrun::runtime::config::{Bytes, Config};
use riverrun::runtime::plan::plan;
use riverrun::runtime::state::memory::RECORD;
use riverrun::runtime::task::inbox::CHANNEL_BATCHES;

use crate::world::World;

const RECORDS: u64 = 20_000;

/// `RECORDS` records made of their numbers, each time as many as are asked for; notes the most.
#[derive(Clone)]
struct Asked<T> {
    made: fn(u64) -> T,
    most: Arc<AtomicUsize>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Whole;

impl Split for Whole {
    fn id(&self) -> String {
        "all".to_owned()
    }
}

struct AskedReader<T> {
    asked: Asked<T>,
    next: u64,
}

impl<T: Data> Source for Asked<T> {
    type Item = T;
    type Split = Whole;
    type Reader = AskedReader<T>;

    fn is_bounded(&self) -> bool {
        true
    }
    async fn discover(&self, _: &TaskContext) -> Result<Vec<Whole>> {
        Ok(vec![Whole])
    }
    async fn open(&self, _: TaskContext) -> Result<AskedReader<T>> {
        Ok(AskedReader { asked: self.clone(), next: 0 })
    }
}

impl<T: Data> SourceReader for AskedReader<T> {
    type Item = T;
    type Split = Whole;
    type Offset = u64;

    async fn assign(&mut self, _: Whole, offset: Option<u64>) -> Result<()> {
        self.next = offset.unwrap_or(0);
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<T>, records_max: usize) -> Result<Progress> {
        self.asked.most.fetch_max(records_max, Ordering::Relaxed);
        let (split, first) = (SplitIndex(0), self.next);
        self.next = RECORDS.min(first + records_max as u64);
        if first == self.next {
            return Ok(Progress::Ended(split));
        }
        out.items.extend((first..self.next).map(self.asked.made));
        out.timestamps.resize(out.items.len(), Timestamp::MIN);
        Ok(Progress::Records { split, first, last: self.next - 1 })
    }

    async fn ready(&mut self) {}

    fn offset(&self, _: SplitIndex) -> Option<u64> {
        Some(self.next)
    }
}

/// The most records a source was asked for, and how many came out.
fn most<T: Data>(
    parallelism: u32,
    made: fn(u64) -> T,
    rest: impl Fn(Stream<T>) -> Stream<u64>,
) -> usize {
    let asked = Asked { made, most: Arc::default() };
    let output = MemoryOutput::new();
    let pipeline = |job: &Job| {
        rest(job.source("records", asked.clone()).parallelism(1)).sink("out", output.sink());
    };
    World::new().at(parallelism).run(pipeline).expect("runs to its end");
    assert_eq!(output.items().len() as u64, RECORDS);
    asked.most.load(Ordering::Relaxed)
}

#[test]
fn what_is_dealt_out_is_read_in_larger_batches_while_they_are_few_bytes() {
    let number = |n: u64| n;
    let keyed = |numbers: Stream<u64>| numbers.key_by(|n| *n).scan("own", |_: &mut u64, n| n);
    assert_eq!(most(1, number, keyed), BATCH_RECORDS);
    assert_eq!(most(2, number, keyed), 2 * BATCH_RECORDS);
    assert_eq!(most(6, number, keyed), 4 * BATCH_RECORDS);
    assert_eq!(most(1, number, |numbers| numbers.map(|n| n)), BATCH_RECORDS);
    let of_64_bytes =
        |rows: Stream<[u64; 8]>| rows.key_by(|row| row[0]).scan("own", |_: &mut u64, row| row[0]);
    assert_eq!(most(6, |n| [n; 8], of_64_bytes), 2 * BATCH_RECORDS);
    let of_256_bytes =
        |rows: Stream<[u64; 32]>| rows.key_by(|row| row[0]).scan("own", |_: &mut u64, row| row[0]);
    assert_eq!(most(6, |n| [n; 32], of_256_bytes), BATCH_RECORDS);
    let texts = |texts: Stream<String>| {
        texts.key_by(String::len).scan("own", |_: &mut u64, text| text.len() as u64)
    };
    assert_eq!(most(6, |n| n.to_string(), texts), BATCH_RECORDS);
}

#[test]
fn channels_get_room_for_what_is_read_and_dealt_out() {
    let records = |parallelism: u32, pipeline: &dyn Fn(Stream<u64>)| {
        let job = Job::new(serde_json::Value::Null);
        let asked = Asked { made: |n| n, most: Arc::default() };
        pipeline(job.source("records", asked));
        let graph = job.into_graph();
        let mut config = Config::for_job("test");
        config.memory = Bytes::mib(16 << 10);
        let plan = plan(&graph, parallelism);
        let divided = divide(&graph, &plan, &config).expect("it fits");
        assert_eq!(divided.channel_batches, CHANNEL_BATCHES);
        divided.channels.0 / RECORD.0 / CHANNEL_BATCHES as u64
    };
    let keyed = |numbers: Stream<u64>| {
        let own = numbers.key_by(|n| *n).scan("own", |_: &mut u64, n| n);
        own.sink("out", MemoryOutput::new().sink());
    };
    // A part has a quarter more than it needs on average; none is smaller than what travels alone.
    assert_eq!(records(1, &keyed), 1024);
    assert_eq!(records(2, &keyed), 2 * 2 * 1024 * 5 / 4);
    assert_eq!(records(16, &keyed), 16 * 16 * 256 * 5 / 4);
    let dealt_in_turn = |numbers: Stream<u64>| {
        numbers.rebalance().map(|n| n).sink("out", MemoryOutput::new().sink());
    };
    assert_eq!(records(2, &dealt_in_turn), 2 * 2 * 1024);
}
