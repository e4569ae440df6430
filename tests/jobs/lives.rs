//! State with a time to live in whole jobs: a clock it needs, and what becomes of it when the next
//! version of the job has another one.

use riverrun::connectors::memory::{MemoryInput, MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};

use crate::seen::Seen;
use crate::world::{World, give};

/// Adds up the items of a key that were not forgotten, and shows the sum.
struct Sum {
    sum: ValueState<u64>,
}

impl ProcessFunction for Sum {
    type Key = u64;
    type In = u64;
    type Out = u64;

    fn process(&mut self, n: u64, ctx: &mut Context<u64, u64>) -> Result<()> {
        let sum = self.sum.or_default(ctx)?;
        *sum += n;
        let sum = *sum;
        ctx.emit(sum);
        Ok(())
    }
}

type Input = MemorySource<u64>;
type Out = MemoryOutput<u64>;
type Open = fn(&mut Declare<u64>) -> Sum;

/// The sums of even and odd numbers; number n happened at second n.
fn sums(job: &Job, input: &Input, out: &Out, seen: &Seen, open: Open) {
    let seen = seen.clone();
    let clock = move |n: &u64| {
        seen.read(*n);
        at(*n as i64)
    };
    let watermarks = Watermarks::bounded_out_of_orderness(millis(0)).without_wall_clock();
    let timed = input.clone().event_time(clock, watermarks);
    job.source("in", timed).key_by(|n| n % 2).process("sum", open).sink("out", out.sink());
}

fn lasting(op: &mut Declare<u64>) -> Sum {
    Sum { sum: op.value("sum") }
}

fn for_ten_seconds(op: &mut Declare<u64>) -> Sum {
    Sum { sum: op.ttl(Ttl::since_write(secs(10))).value("sum") }
}

fn for_an_hour(op: &mut Declare<u64>) -> Sum {
    Sum { sum: op.ttl(Ttl::since_read(hours(1))).value("sum") }
}

fn by_wall_clock(op: &mut Declare<u64>) -> Sum {
    Sum { sum: op.ttl(Ttl::since_write(secs(10)).processing_time()).value("sum") }
}

/// A world with a checkpoint of `open` after `first`; then `then` wait.
fn stopped(open: Open, first: &[u64], then: &[u64]) -> (World, Input) {
    // With one subtask the watermark of what was read is there before the barrier.
    let (world, out) = (World::new().at(1), Out::new());
    let (input, live): (Input, MemoryInput<u64>) = MemorySource::live(1);
    first.iter().for_each(|n| live.push(0, *n));
    let (seen, (control, orders)) = (Seen::default(), Control::by_hand());
    let (read, highest) = (seen.clone(), first.iter().max().copied().unwrap_or(0));
    let stopper = std::thread::spawn(move || {
        read.wait(highest);
        give(&orders, CommandKind::Stop { savepoint: false })
    });
    world.start(|job| sums(job, &input, &out, &seen, open), control).0.expect("it stops");
    stopper.join().expect("it waits").expect("it was stopped").expect("with a checkpoint");
    then.iter().for_each(|n| live.push(0, *n));
    live.close();
    (world, input)
}

/// The last sums that a run shows, as many as there are keys.
fn last(world: &World, input: &Input, open: Open) -> Vec<u64> {
    let out = Out::new();
    world.run(|job| sums(job, input, &out, &Seen::default(), open)).expect("it goes on");
    let items = out.items();
    let mut last = items[items.len() - 2..].to_vec();
    last.sort_unstable();
    last
}

#[test]
fn event_time_needs_a_clock() {
    let job = Job::new(serde_json::Value::Null);
    let input = MemorySource::new(vec![vec![1]]);
    let keyed = job.source("in", input).key_by(|n| n % 2);
    keyed.clone().process("ends", for_ten_seconds).sink("out", Out::new().sink());
    keyed.process("by-wall-clock", by_wall_clock).sink("out-2", Out::new().sink());
    let found: Vec<String> = job.graph().problems(128).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    for part in ["RR0010", "'sum' of 'ends'", ".event_time(", ".processing_time()"] {
        assert!(found[0].contains(part), "'{part}' is not in: {}", found[0]);
    }
}

#[test]
fn what_ended_before_a_stop_is_not_there_after_it() {
    let (world, input) = stopped(for_ten_seconds, &[1, 2, 20], &[21, 22]);
    assert_eq!(last(&world, &input, for_ten_seconds), [21, 44]);
    let (world, input) = stopped(for_ten_seconds, &[1, 2, 20], &[21, 22]);
    assert_eq!(last(&world, &input, for_an_hour), [21, 44], "a longer life brings nothing back");
}

#[test]
fn a_time_to_live_that_comes_goes_or_follows_another_clock_is_said() {
    let cases: [(Open, Open); 3] =
        [(lasting, for_ten_seconds), (for_ten_seconds, lasting), (for_ten_seconds, by_wall_clock)];
    for (before, after) in cases {
        let (world, input) = stopped(before, &[1, 2], &[3, 4]);
        let error = world.error(|job| sums(job, &input, &Out::new(), &Seen::default(), after));
        for part in ["RR0102", "time to live", "sum/sum", "migrate_to_ttl", "10000 ms"] {
            assert!(error.contains(part), "'{part}' is not in: {error}");
        }
    }
}

#[test]
fn a_migration_says_when_each_value_ends() {
    let (world, input) = stopped(lasting, &[1, 2], &[3, 4]);
    let ends_at_two = |op: &mut Declare<u64>| {
        let step = for_ten_seconds(op);
        op.migrate_to_ttl(&step.sum, |old: u64| (at(if old == 1 { 2 } else { 60 }), old));
        step
    };
    assert_eq!(last(&world, &input, ends_at_two), [3, 6]);

    let (world, input) = stopped(for_ten_seconds, &[1, 2], &[3, 4]);
    let lasts = |op: &mut Declare<u64>| {
        let step = lasting(op);
        op.migrate(&step.sum, |(_, old): (Timestamp, u64)| old);
        step
    };
    assert_eq!(last(&world, &input, lasts), [4, 6]);

    let (world, input) = stopped(for_ten_seconds, &[1, 2], &[3, 4]);
    let by_the_clock = |op: &mut Declare<u64>| {
        let step = by_wall_clock(op);
        op.migrate_to_ttl(&step.sum, |(_, old): (Timestamp, u64)| (Timestamp::MAX, old + 100));
        step
    };
    assert_eq!(last(&world, &input, by_the_clock), [104, 106]);
}
