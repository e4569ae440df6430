//! The drill job on Kafka: pass-through, a running number, three kinds of windows, timers, two
//! inputs; its outputs are two topics and files.
//!
//! `kafka-drill-job fill BROKERS TOPIC EVENTS` writes input into a topic, which must be there with
//! three partitions: [`IN`] and [`MORE`] are needed. Then it is a job like any other:
//! `kafka-drill-job drill --set brokers=BROKERS`. Its sources never end. Each key is in one
//! partition, in order, and nothing is late.

#![allow(clippy::disallowed_methods, reason = "writes its input before it is a job")]

#[allow(dead_code, reason = "shared with the drill job on files")]
mod input;
mod steps;

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use riverrun::connectors::kafka::Kafka;
use riverrun::prelude::*;
use steps::{Both, Event, Number, Numbered, Repeated, Sum};

const IN: &str = "drill-in";
const MORE: &str = "drill-more";
/// A calm job numbers one of so many events of its keys.
const CALM_OF: u64 = 16;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["fill", brokers, topic, events] => match fill(brokers, topic, events) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => panic!("the input cannot be written: {error:#}"),
        },
        _ => riverrun::main("drill-kafka", pipeline),
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    brokers: String,
    /// What is read in place of [`IN`].
    input: String,
    /// Where files go.
    out: String,
    /// The prefix of the topics that are written.
    to: String,
    /// After how long the broker gives up a transaction.
    timeout_ms: u64,
    /// Only one sink, of records that may come again.
    at_least_once: bool,
    /// Three keys and one step only: small deltas in a row, which are squashed and not merged,
    /// where the input is long enough.
    calm: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            brokers: "127.0.0.1:9092".to_owned(),
            input: IN.to_owned(),
            out: "drill-kafka-out".to_owned(),
            to: "drill".to_owned(),
            timeout_ms: 60_000,
            at_least_once: false,
            calm: false,
        }
    }
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { brokers, input, out, to, timeout_ms, at_least_once, calm } = job.settings()?;
    let kafka = Kafka::brokers(&brokers);
    let read = |topic: &str| {
        let watermarks = Watermarks::bounded_out_of_orderness(secs(5));
        kafka.read_json::<Event>(topic.to_owned()).event_time(|event| event.at, watermarks)
    };
    let timeout = Duration::from_millis(timeout_ms);
    let files = |name: &str| Files::write_json_lines(format!("{out}/{name}")).roll_bytes(50_000);
    let events = job.source("events", read(&input));
    let keyed = || events.clone().key_by(|event| event.key);
    let numbers = kafka
        .write_json::<Numbered>(&format!("{to}-numbers"))
        .key(|numbered: &Numbered| numbered.key.to_string());
    if at_least_once {
        keyed().process("number", Number::open).sink("numbers", numbers.at_least_once());
        return Ok(());
    }
    let numbers = numbers.transaction_timeout(timeout);
    if calm {
        let few = events.filter(|event| event.key < 3 && event.n % CALM_OF == 0);
        few.key_by(|event| event.key).process("number", Number::open).sink("numbers", numbers);
        return Ok(());
    }
    keyed().process("number", Number::open).sink("numbers", numbers);
    let windows = kafka
        .write_json::<Windowed<u64, Sum>>(&format!("{to}-windows"))
        .key(|window: &Windowed<u64, Sum>| window.key.to_string())
        .transaction_timeout(timeout);
    keyed().window(Tumbling::of(secs(60))).aggregate::<Sum>("tumbling").sink("windows", windows);

    events.clone().sink("all", files("all"));
    keyed()
        .window(Sliding::of(secs(60)).every(secs(20)))
        .aggregate::<Sum>("sliding")
        .sink("slid", files("slid"));
    keyed().window(Session::gap(secs(2))).aggregate::<Sum>("sessions").sink("sat", files("sat"));
    keyed().process("repeated", Repeated::open).sink("repetitions", files("repetitions"));

    let more = job.source("more", read(MORE)).key_by(|event| event.key);
    keyed().connect(more).process("both", Both::open).sink("pairs", files("pairs"));
    Ok(())
}

/// How long the broker may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Transactions that are committed.
const TRANSACTIONS: u64 = 8;

/// Writes `events` into each partition of `topic`: in transactions, some of which are aborted.
fn fill(brokers: &str, topic: &str, events: &str) -> Result<()> {
    let events: u64 = events.parse().context("how many events?")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("transactional.id", "kafka-drill-job-fill");
    let producer: BaseProducer = config.create()?;
    producer.init_transactions(LIMIT)?;
    for n in 0..TRANSACTIONS {
        let chunk = n * events / TRANSACTIONS..(n + 1) * events / TRANSACTIONS;
        if n % 4 == 1 {
            producer.begin_transaction()?;
            send(&producer, topic, chunk.clone())?;
            producer.flush(LIMIT)?;
            producer.abort_transaction(LIMIT)?;
        }
        producer.begin_transaction()?;
        send(&producer, topic, chunk)?;
        producer.commit_transaction(LIMIT)?;
    }
    Ok(())
}

fn send(producer: &BaseProducer, topic: &str, chunk: std::ops::Range<u64>) -> Result<()> {
    for n in chunk {
        for partition in 0..3_u32 {
            let event = input::event(u64::from(partition), n);
            let (key, value) = (event.key.to_string(), serde_json::to_vec(&event)?);
            let record = BaseRecord::to(topic).key(&key).payload(&value);
            let mut record = record.partition(i32::try_from(partition)?);
            while let Err((error, back)) = producer.send(record) {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                anyhow::ensure!(full, "{error}");
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
    }
    Ok(())
}
