//! User code that panics or fails, in every callback: the attempt ends cleanly and the error names
//! operator, subtask and source position; a record that fails twice is named as such; nothing that
//! was committed is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::operators::{KeyedStream, Stream};
use riverrun::prelude::*;

use crate::world::World;

const POISON: u64 = 700;

fn numbers(job: &Job) -> Stream<u64> {
    let source = MemorySource::new(vec![(0..1000).collect()]);
    let clock = |n: &u64| Timestamp::from_millis(*n as i64);
    job.source("numbers", source.event_time(clock, Watermarks::monotonic()))
}

fn keyed(job: &Job) -> KeyedStream<u64, u64> {
    numbers(job).key_by(|n| n % 10)
}

fn out(stream: Stream<u64>) {
    stream.sink("out", MemoryOutput::new().sink());
}

fn boom(n: u64) -> u64 {
    assert!(n != POISON, "no {n} please");
    n
}

/// The text of the error a poisoned pipeline ends with.
fn text(pipeline: impl Fn(&Job)) -> String {
    World::new().error(pipeline)
}

fn names_the_record(text: &str, operator: &str) {
    for part in
        ["RR0401", operator, "subtask", "no 700 please", "failed twice", "at 700", "panicked"]
    {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn stateless_steps() {
    names_the_record(&text(|job| out(numbers(job).map(boom))), "map");
    names_the_record(&text(|job| out(numbers(job).filter(|n| boom(*n) < 2000))), "filter");
    names_the_record(&text(|job| out(numbers(job).flat_map(|n| Some(boom(n))))), "flat_map");
    names_the_record(&text(|job| out(numbers(job).filter_map(|n| Some(boom(n))))), "filter_map");
    let inspected = |n: &u64| assert!(boom(*n) == *n);
    names_the_record(&text(|job| out(numbers(job).inspect(inspected))), "inspect");
    let keyed = |job: &Job| out(numbers(job).key_by(|n| boom(*n)).reduce("sum", |a, b| a + b));
    names_the_record(&text(keyed), "key_by");
}

#[test]
fn stateful_steps_behind_an_exchange() {
    names_the_record(&text(|job| out(keyed(job).reduce("sum", |a, b| boom(b) + a))), "'sum'");
    let scan = |job: &Job| out(keyed(job).scan("scan", |_: &mut u64, n| boom(n)));
    names_the_record(&text(scan), "'scan'");
    let folded = |job: &Job| {
        let windows = keyed(job).window(Tumbling::of(secs(1)));
        out(windows.fold("fold", |sum: &mut u64, n| *sum += boom(n)).map(|w| w.value));
    };
    names_the_record(&text(folded), "'fold'");
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Fragile(u64);

impl Aggregate<u64> for Fragile {
    fn add(&mut self, n: &u64) {
        self.0 += boom(*n);
    }
    fn merge(&mut self, other: Fragile) {
        self.0 += other.0;
    }
}

struct Two;

impl CoProcessFunction for Two {
    type Key = u64;
    type Left = u64;
    type Right = u64;
    type Out = u64;
    fn process_left(&mut self, n: u64, ctx: &mut Context<u64, u64>) -> Result<()> {
        ctx.emit(n);
        Ok(())
    }
    fn process_right(&mut self, n: u64, ctx: &mut Context<u64, u64>) -> Result<()> {
        ctx.emit(boom(n));
        Ok(())
    }
}

#[test]
fn aggregates_and_two_inputs() {
    let windows = |job: &Job| {
        let windows = keyed(job).window(Tumbling::of(secs(1)));
        out(windows.aggregate::<Fragile>("fragile").map(|w| w.value.0));
    };
    names_the_record(&text(windows), "'fragile'");
    let sessions = |job: &Job| {
        let windows = keyed(job).window(Session::gap(secs(1)));
        out(windows.aggregate::<Fragile>("fragile").map(|w| w.value.0));
    };
    names_the_record(&text(sessions), "'fragile'");
    let two = |job: &Job| {
        let left = job.source("left", MemorySource::new(vec![vec![1_u64]])).key_by(|n| n % 10);
        out(left.connect(keyed(job)).process("two", |_: &mut Declare<u64>| Two));
    };
    names_the_record(&text(two), "'two'");
}

#[derive(Clone, Deserialize)]
struct Unwritable(u64);

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(self.0 != POISON, "no 700 on paper please");
        serializer.serialize_newtype_struct("Unwritable", &self.0)
    }
}

#[test]
fn state_that_cannot_be_written() {
    let error = text(|job| {
        let items = numbers(job).map(Unwritable).key_by(|n| n.0 % 1000);
        items.reduce("kept", |_, b| b).sink("out", riverrun::connectors::null::Null::new());
    });
    for part in ["RR0401", "'kept'", "writing its state", "no 700 on paper please"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn the_clock_of_the_source() {
    let error = text(|job| {
        let source = MemorySource::new(vec![(0..1000_u64).collect()]);
        let clock = |n: &u64| Timestamp::from_millis(boom(*n) as i64);
        out(job.source("numbers", source.event_time(clock, Watermarks::monotonic())));
    });
    for part in ["RR0401", "'numbers'", "reading", "no 700 please"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

struct Timed;

impl ProcessFunction for Timed {
    type Key = u64;
    type In = u64;
    type Out = u64;
    fn process(&mut self, _: u64, ctx: &mut Context<u64, u64>) -> Result<()> {
        ctx.set_timer(Timestamp::from_millis(500));
        Ok(())
    }
    fn on_timer(&mut self, _: Timer, _: &mut Context<u64, u64>) -> Result<()> {
        anyhow::bail!("no timers please")
    }
}

#[test]
fn timers() {
    let error = text(|job| out(keyed(job).process("timed", |_: &mut Declare<u64>| Timed)));
    for part in ["RR0401", "'timed'", "advancing event time", "no timers please"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn an_error_of_try_map_says_what_the_user_said() {
    let error = text(|job| {
        out(numbers(job).try_map(|n| {
            anyhow::ensure!(n != POISON, "no 700 please");
            Ok(n)
        }));
    });
    assert!(error.contains("no 700 please") && error.contains("failed twice"), "{error}");
}

#[test]
fn a_failure_that_passes_costs_nothing() {
    let world = World::new();
    let output = MemoryOutput::new();
    let failures = Arc::new(AtomicU64::new(0));
    let (sink, count) = (output.clone(), failures.clone());
    let ended = world.run(move |job| {
        let count = count.clone();
        let once = move |n: u64| {
            let first = n == POISON && count.fetch_add(1, Ordering::SeqCst) == 0;
            assert!(!first, "only once");
            n
        };
        numbers(job).map(once).sink("out", sink.sink());
    });
    ended.expect("the second attempt gets through");
    let mut items = output.items();
    items.sort_unstable();
    assert_eq!(items, (0..1000).collect::<Vec<u64>>());
    assert_eq!(failures.load(Ordering::SeqCst), 2);
}
