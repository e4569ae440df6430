//! The Kafka source on a real broker. Numbers in names are the cases of the list of failures.

mod offsets;
mod partitions;
mod pressure;
mod records;

use std::thread::JoinHandle;

use riverrun::connectors::kafka::Kafka;
use riverrun::connectors::memory::MemoryOutput;
use riverrun::prelude::*;
use riverrun::runtime::control::{Command, CommandKind, Control};
use riverrun::runtime::run::{Outcome, RunError};
use tokio::sync::mpsc;

use crate::world::{World, await_running, give};

/// A world whose job may not fail.
fn world() -> World {
    let mut world = World::new();
    world.config.restart.attempts = 1;
    world
}

/// Numbers from a source to an output, beside state, so that a double or a hole shows twice.
fn copy<S: Source<Item = u64>>(job: &Job, source: S, output: &MemoryOutput<(u64, u64)>) {
    job.source("numbers", source)
        .key_by(|n| n % 7)
        .scan("count", |count: &mut u64, n| {
            *count += 1;
            (n, *count)
        })
        .sink("out", output.sink());
}

/// What was read, in order of the numbers. The counts of a key must be without holes.
fn read(output: &MemoryOutput<(u64, u64)>) -> Vec<u64> {
    let items = output.items();
    let mut numbers: Vec<u64> = items.iter().map(|(n, _)| *n).collect();
    numbers.sort_unstable();
    for key in 0..7 {
        let own = items.iter().filter(|(n, _)| n % 7 == key);
        let mut counts: Vec<u64> = own.map(|(_, count)| *count).collect();
        counts.sort_unstable();
        assert!(counts.iter().copied().eq(1..=counts.len() as u64), "state of key {key}");
    }
    numbers
}

/// A job that runs until it is told to stop.
struct Live {
    orders: mpsc::Sender<Command>,
    job: JoinHandle<(World, Result<Outcome, RunError>)>,
}

impl Live {
    /// Starts it and waits until records may flow.
    fn start(world: World, pipeline: impl Fn(&Job) + Send + 'static) -> Live {
        let (control, orders) = Control::by_hand();
        let job = std::thread::spawn(move || {
            let ended = world.start(pipeline, control).0;
            (world, ended)
        });
        await_running(&orders);
        Live { orders, job }
    }

    /// A checkpoint of all that was read up to now.
    fn checkpoint(&self) {
        give(&self.orders, CommandKind::Savepoint).expect("runs").expect("is taken");
    }

    fn stop(self) -> World {
        give(&self.orders, CommandKind::Stop { savepoint: false }).expect("runs").expect("stops");
        let (world, ended) = self.job.join().expect("no panic");
        ended.expect("stops");
        world
    }

    /// Stops it, unless it has ended by itself.
    fn stop_if_it_runs(self) -> (World, Outcome) {
        let _ended = give(&self.orders, CommandKind::Stop { savepoint: false });
        let (world, ended) = self.job.join().expect("no panic");
        (world, ended.expect("runs"))
    }

    /// The error it ends with by itself.
    fn failure(self) -> (World, String) {
        let (world, ended) = self.job.join().expect("no panic");
        (world, ended.expect_err("fails").to_string())
    }
}

fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

type Numbers = riverrun::connectors::kafka::KafkaSource<
    riverrun::connectors::kafka::source::Values<riverrun::connectors::kafka::format::Json<u64>>,
>;

fn numbers(kafka: &Kafka, topic: &str) -> Numbers {
    kafka.read_json::<u64>(topic)
}
