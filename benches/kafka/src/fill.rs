//! Fills the input topic, as fast as it goes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use riverrun_kafka::connection::Connection;
use riverrun_kafka::records::{Place, Records};
use riverrun_kafka::send::{Producer, ProducerSettings};

use crate::event::{Bytes, KEYS, encode, partition_of, parts};
use crate::work::event;

/// Records handed over at once.
const BATCH: u64 = 10_000;
const LIMIT: Duration = Duration::from_secs(60);

/// A producer without transactions.
pub(crate) fn producer(address: SocketAddr, linger: Duration) -> Result<Producer> {
    let connection = Connection::new(&address.to_string()).property("compression.type", "none");
    Ok(Producer::new(&ProducerSettings {
        connection,
        transactional_id: None,
        transaction_timeout: Duration::from_secs(60),
        queue_bytes: 64 * 1024 * 1024,
        batch_bytes: 1_000_000,
        linger,
    })?)
}

/// Adds a value for the partition of `key`.
pub(crate) fn push(records: &mut Records, key: u64, value: &Bytes) {
    let place = Place { offset: 0, timestamp: None, partition: Some(partition_of(key)) };
    records.push(place, None, Some(value), []);
}

/// Writes events `0..records`.
pub(crate) fn events(address: SocketAddr, topic: &str, records: u64) -> Result<()> {
    let producer = producer(address, Duration::from_millis(5))?;
    let topic = producer.topic(&Arc::from(topic))?;
    let mut batch = Records::new();
    for first in (0..records).step_by(BATCH as usize) {
        batch.clear();
        for event in (first..records.min(first + BATCH)).map(|i| event(i, KEYS)) {
            push(&mut batch, event.key, &encode(parts(&event)));
        }
        let mut sent = 0;
        while sent < batch.len() {
            sent += topic.send(&batch, sent)?;
            if sent < batch.len() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    Ok(producer.flush(LIMIT)?)
}
