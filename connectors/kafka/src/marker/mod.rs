//! A small topic whose last committed records count: made, checked, and read to its end.
//!
//! Called by the sink's participant for the topic of markers. The topic has one partition and is
//! compacted, so that its records never expire. Reading, in this order (the caller has fenced all
//! its own writers before, so that nothing of theirs is open):
//!
//! 1. the partition's high watermark, and its last stable offset; wait until they are equal:
//!    what lies between them may still become visible;
//! 2. assign an offset by number, a little before the end (a logical one costs half a second);
//! 3. read until the end of the partition is reported: only that proves that all was read. A
//!    client without the right to read gets neither records nor an error nor that report.

mod error;
mod topic;

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

pub use self::error::MarkerError;
pub use self::topic::{Topic, ensure};
use crate::connection::Connection;

/// How far before the end reading begins; ten times as far when nothing was found there.
const BACK: i64 = 1000;
/// How long one call to the broker may last.
const CALL: Duration = Duration::from_secs(5);
const PARTITION: i32 = 0;

/// One committed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// Where it stands.
    pub offset: i64,
    /// Its value; a tombstone is empty.
    pub value: Vec<u8>,
}

/// Reads the last committed records of `topic`, rising; empty only if there is none at all. Ends
/// within `limit`.
///
/// # Errors
/// When the end cannot be reached: then nothing is known.
pub fn read(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<Vec<Last>, MarkerError> {
    let until = after(limit);
    let consumer = consumer(connection, topic, "read_committed")?;
    let ends = stable_end(connection, &consumer, topic, until)?;
    read_back(&consumer, topic, ends, until)
}

/// As [`read`], but only what is visible by now: what is open may belong to others.
///
/// # Errors
/// As [`read`].
pub fn read_visible(
    connection: &Connection,
    topic: &str,
    limit: Duration,
) -> Result<Vec<Last>, MarkerError> {
    let until = after(limit);
    let consumer = consumer(connection, topic, "read_committed")?;
    let ends = watermarks(&consumer, topic, until)?;
    read_back(&consumer, topic, ends, until)
}

fn read_back(
    consumer: &BaseConsumer,
    topic: &str,
    (low, end): (i64, i64),
    until: Instant,
) -> Result<Vec<Last>, MarkerError> {
    let mut back = BACK;
    loop {
        let from = low.max(end.saturating_sub(back));
        let found = read_from(consumer, topic, (from, end), until)?;
        if !found.is_empty() || from == low {
            return Ok(found);
        }
        back = back.saturating_mul(10);
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a wait for the broker")]
fn after(limit: Duration) -> Instant {
    Instant::now() + limit
}

fn consumer(
    connection: &Connection,
    topic: &str,
    isolation: &str,
) -> Result<BaseConsumer, MarkerError> {
    let mut config = connection.config()?;
    config.set("group.id", topic);
    config.set("isolation.level", isolation);
    config.set("enable.auto.commit", "false");
    config.set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "error");
    config.set("fetch.wait.max.ms", "50");
    config.create().map_err(|error| MarkerError::of(topic, "reading", &error))
}

/// The first offset and the end, once nothing is open before it.
fn stable_end(
    connection: &Connection,
    committed: &BaseConsumer,
    topic: &str,
    until: Instant,
) -> Result<(i64, i64), MarkerError> {
    let all = consumer(connection, topic, "read_uncommitted")?;
    loop {
        let (_, high) = watermarks(&all, topic, until)?;
        let (low, stable) = watermarks(committed, topic, until)?;
        if stable >= high {
            return Ok((low, stable));
        }
        if passed(until) {
            let (topic, open) = (topic.to_owned(), high - stable);
            return Err(MarkerError::Open { topic, open });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks until it is answered: a young cluster does not know its coordinators yet.
fn watermarks(
    consumer: &BaseConsumer,
    topic: &str,
    until: Instant,
) -> Result<(i64, i64), MarkerError> {
    loop {
        match consumer.fetch_watermarks(topic, PARTITION, CALL) {
            Ok(known) => return Ok(known),
            Err(error) if passed(until) || is_final(&error) => {
                return Err(MarkerError::of(topic, "asking for its end", &error));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::UnknownTopic
                | Code::Authentication
                | Code::SaslAuthenticationFailed
        )
    )
}

fn read_from(
    consumer: &BaseConsumer,
    topic: &str,
    (from, end): (i64, i64),
    until: Instant,
) -> Result<Vec<Last>, MarkerError> {
    let failed = |error: &KafkaError| MarkerError::of(topic, "reading", error);
    let mut partitions = TopicPartitionList::new();
    let added = partitions.add_partition_offset(topic, PARTITION, Offset::Offset(from));
    added.and_then(|()| consumer.assign(&partitions)).map_err(|error| failed(&error))?;
    let mut found = Vec::new();
    while !passed(until) {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default().to_vec();
                found.push(Last { offset: message.offset(), value });
            }
            Some(Err(KafkaError::PartitionEOF(PARTITION))) => return Ok(found),
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(failed(&error)),
        }
    }
    Err(MarkerError::NotRead { topic: topic.to_owned(), end })
}

/// What mends itself, and what an assigning consumer hears about a group it does not use.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::GroupAuthorizationFailed
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
        )
    )
}

fn passed(until: Instant) -> bool {
    #[expect(clippy::disallowed_methods, reason = "measures a wait for the broker")]
    let now = Instant::now();
    now >= until
}
