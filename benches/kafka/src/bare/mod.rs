//! The bare loop: librdkafka's batch calls, two threads, hash maps, a transaction each second. What
//! a careful programmer would write who needs no durable state.
//!
//! A thread owns every second partition and the keys in it, its own consumer and its own producer.
//! Settings as measured to be best on two cores: see `consumer` and `producer`.

mod native;
mod work;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use self::native::{Messages, Topic};
use self::work::{Doing, Results};
use crate::event::PARTITIONS;
use crate::expected::Work;

const THREADS: u32 = 2;
/// From commit to commit.
const TRANSACTION: Duration = Duration::from_secs(1);
/// The longest a call to the broker may last.
const LIMIT: Duration = Duration::from_secs(30);

/// What the bench asks of it.
#[derive(Parser)]
struct Asked {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    work: Work,
    #[arg(long)]
    input: String,
    #[arg(long)]
    output: String,
}

/// Runs it to the end of the input.
pub(crate) fn main() -> Result<()> {
    let asked = Asked::parse();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|at| {
                scope.spawn({
                    let asked = &asked;
                    move || run(asked, at)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a thread of the bare loop panicked"))?
        })
    })
}

fn consumer(asked: &Asked) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &asked.brokers)
        .set("group.id", format!("bare-{}", asked.output));
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("enable.partition.eof", "true").set("isolation.level", "read_committed");
    config.set("fetch.queue.backoff.ms", "2").set("queued.min.messages", "10000");
    config.set("queued.max.messages.kbytes", "16384").set("fetch.wait.max.ms", "100");
    Ok(config.create()?)
}

fn producer(asked: &Asked, at: u32) -> Result<BaseProducer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &asked.brokers);
    config.set("transactional.id", format!("bare-{}-{at}", asked.output));
    config.set("linger.ms", "5").set("batch.num.messages", "20000").set("batch.size", "1000000");
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "65536");
    config.set("delivery.report.only.error", "true").set("compression.type", "none");
    Ok(config.create()?)
}

/// The offsets to read next.
fn list(input: &str, next: &[(i32, i64)]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in next {
        list.add_partition_offset(input, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}

fn run(asked: &Asked, at: u32) -> Result<()> {
    let (consumer, producer) = (consumer(asked)?, producer(asked, at)?);
    let mine = (0..PARTITIONS).filter(|partition| partition % THREADS == at);
    let mut next: Vec<(i32, i64)> = mine.map(|partition| (partition as i32, 0)).collect();
    consumer.assign(&list(&asked.input, &next)?)?;
    let mut messages = Messages::of(&consumer);
    let topic = Topic::new(&producer, &asked.output)?;
    producer.init_transactions(LIMIT)?;
    producer.begin_transaction()?;
    let mut doing = Doing::new(asked.work, next.iter().map(|(partition, _)| *partition));
    let (mut results, mut ended, mut began) = (Results::default(), 0, Instant::now());
    let commit = |next: &[(i32, i64)]| -> Result<()> {
        producer.flush(LIMIT)?;
        let group = consumer.group_metadata().context("the consumer has a group")?;
        producer.send_offsets_to_transaction(&list(&asked.input, next)?, &group, LIMIT)?;
        Ok(producer.commit_transaction(LIMIT)?)
    };
    while ended < next.len() {
        let read = messages.take(Duration::from_millis(50), |partition, offset, value| {
            doing.event(partition, value, &mut results)?;
            if let Some((_, next)) = next.iter_mut().find(|(known, _)| *known == partition) {
                *next = offset + 1;
            }
            Ok(())
        })?;
        for partition in read {
            doing.ended(partition, &mut results);
            ended += 1;
        }
        topic.send(&mut results)?;
        producer.poll(Duration::ZERO);
        if began.elapsed() >= TRANSACTION {
            commit(&next)?;
            producer.begin_transaction()?;
            began = Instant::now();
        }
    }
    commit(&next)
}
