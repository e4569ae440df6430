//! What a record becomes: its value alone, or all of it; and what one becomes that cannot be read.
//!
//! Called once a record, on the worker. A tombstone has no value: it is a bad record for whoever
//! reads values alone.

use riverrun_engine::Result;
use riverrun_engine::bad::{BadRecord, Parsed};
use riverrun_engine::data::Data;
use riverrun_engine::time::Timestamp;
use riverrun_kafka::cluster::Partition;
use riverrun_kafka::records::Record;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::kafka::format::Decode;

/// A record with everything Kafka knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaRecord<T> {
    /// Its key; absent and empty are two things.
    pub key: Option<Vec<u8>>,
    /// Its value; `None`: a tombstone.
    pub value: Option<T>,
    /// Its headers, in order; names may repeat and values be absent.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// When it was written, or when its writer says it was; old logs do not say.
    pub timestamp: Option<Timestamp>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// Where it stands in the partition.
    pub offset: i64,
}

/// Makes items of records.
pub trait Shape: Clone + Send + Sync + 'static {
    /// What is made.
    type Item: Data;

    /// Whether records must come with their headers, which costs.
    const HEADERS: bool;

    /// Makes an item of `record`, which stands in `partition`.
    ///
    /// # Errors
    /// Why it is a bad record.
    fn make(&self, record: Record<'_>, partition: &Partition) -> Result<Self::Item>;

    /// The item a bad record becomes; `None`: the source decides.
    fn keep(&self, bad: impl FnOnce() -> BadRecord) -> Option<Self::Item> {
        drop(bad);
        None
    }
}

/// The value alone.
#[derive(Clone, Debug)]
pub struct Values<D>(pub(in crate::kafka) D);

impl<D: Decode<Item: Data>> Shape for Values<D> {
    type Item = D::Item;

    const HEADERS: bool = false;

    fn make(&self, record: Record<'_>, _: &Partition) -> Result<D::Item> {
        match record.value() {
            Some(value) => self.0.decode(value),
            None => anyhow::bail!("it is a tombstone, without a value: see `.with_metadata()`"),
        }
    }
}

/// All of it: [`KafkaRecord`].
#[derive(Clone, Debug)]
pub struct Whole<D>(pub(super) D);

impl<D: Decode<Item: Data>> Shape for Whole<D> {
    type Item = KafkaRecord<D::Item>;

    const HEADERS: bool = true;

    fn make(&self, record: Record<'_>, partition: &Partition) -> Result<Self::Item> {
        let place = record.place();
        let header =
            |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(<[u8]>::to_vec));
        Ok(KafkaRecord {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(|value| self.0.decode(value)).transpose()?,
            headers: record.headers().map(header).collect(),
            timestamp: place.timestamp.map(Timestamp::from_millis),
            topic: partition.topic.clone(),
            partition: partition.number,
            offset: place.offset,
        })
    }
}

/// Bad records too: [`Parsed`].
#[derive(Clone, Debug)]
pub struct OrBad<S>(pub(super) S);

impl<S: Shape> Shape for OrBad<S> {
    type Item = Parsed<S::Item>;

    const HEADERS: bool = S::HEADERS;

    fn make(&self, record: Record<'_>, partition: &Partition) -> Result<Self::Item> {
        self.0.make(record, partition).map(Parsed::Good)
    }

    fn keep(&self, bad: impl FnOnce() -> BadRecord) -> Option<Self::Item> {
        Some(Parsed::Bad(bad()))
    }
}

/// What is told of a record that cannot be read.
pub(super) fn bad(record: Record<'_>, partition: &Partition, reason: String) -> BadRecord {
    let value = record.value().unwrap_or_default();
    let text = String::from_utf8_lossy(value).into_owned();
    BadRecord {
        split: partition.to_string(),
        position: u64::try_from(record.place().offset).unwrap_or_default(),
        reason,
        raw: (text.as_bytes() != value).then(|| value.to_vec()),
        text,
    }
}
