//! Kafka: sources and sinks whose every result is committed exactly once.
//!
//! [`Kafka`] says where the cluster is; `kafka.read_json(..)` makes a source (`source/`),
//! `kafka.write_json(..)` a sink (`sink/`). Bytes become items by [`format`]. All calls of the
//! client are behind the door, the crate `riverrun_kafka`.

pub mod format;
mod outside;
mod sink;
pub mod source;

use std::sync::Arc;

use riverrun_engine::bad::BadRecord;
pub use riverrun_engine::bad::OnBad;
use riverrun_engine::data::Data;
use riverrun_kafka::connection::Connection;

use self::format::{AsRead, Bytes, Decode, Encode, Json, Rmp, Text};
use self::sink::memory::Memory;
pub use self::sink::{Headers, KafkaSink, KafkaWriter};
use self::source::Values;
pub use self::source::{End, KafkaRecord, KafkaSource, KafkaSourceError, Start, Topics};

/// A Kafka cluster: makes sources and sinks.
#[derive(Clone, Debug)]
pub struct Kafka {
    connection: Connection,
    memory: Arc<Memory>,
}

impl Kafka {
    /// The cluster that some of its brokers belong to: `host:port`, separated by commas.
    #[must_use]
    pub fn brokers(brokers: &str) -> Self {
        Kafka { connection: Connection::new(brokers), memory: Arc::default() }
    }

    /// Sets any property of librdkafka, but for those that exactly-once stands on.
    #[must_use]
    pub fn property(self, name: &str, value: &str) -> Self {
        Kafka { connection: self.connection.property(name, value), ..self }
    }

    /// Sets a property to what a file says: for secrets.
    #[must_use]
    pub fn property_from_file(self, name: &str, path: impl Into<std::path::PathBuf>) -> Self {
        Kafka { connection: self.connection.property_from_file(name, path), ..self }
    }

    /// Sets a property to what an environment variable says: for secrets.
    #[must_use]
    pub fn property_from_env(self, name: &str, variable: &str) -> Self {
        Kafka { connection: self.connection.property_from_env(name, variable), ..self }
    }

    /// A sink that writes JSON to `topic`.
    #[must_use]
    pub fn write_json<T: Data>(&self, topic: &str) -> KafkaSink<T, Json<T>> {
        self.write(topic, Json::default())
    }

    /// A sink that writes MessagePack with field names to `topic`.
    #[must_use]
    pub fn write_rmp<T: Data>(&self, topic: &str) -> KafkaSink<T, Rmp<T>> {
        self.write(topic, Rmp::default())
    }

    /// A sink that writes UTF-8 text to `topic`.
    #[must_use]
    pub fn write_text(&self, topic: &str) -> KafkaSink<String, Text> {
        self.write(topic, Text)
    }

    /// A sink that writes bytes as they are to `topic`.
    #[must_use]
    pub fn write_bytes(&self, topic: &str) -> KafkaSink<Vec<u8>, Bytes> {
        self.write(topic, Bytes)
    }

    /// A sink for records that could not be read: as they are, with headers that say from where
    /// (`riverrun.split`, `riverrun.position`) and why (`riverrun.reason`).
    #[must_use]
    pub fn write_bad(&self, topic: &str) -> KafkaSink<BadRecord, AsRead> {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        self.write(topic, AsRead).headers(move |bad: &BadRecord| {
            vec![
                header("riverrun.split", &bad.split),
                header("riverrun.position", &bad.position.to_string()),
                header("riverrun.reason", &bad.reason),
            ]
        })
    }

    /// A sink that writes to `topic` in a format of your own.
    #[must_use]
    pub fn write<T: Data, E: Encode<T>>(&self, topic: &str, encode: E) -> KafkaSink<T, E> {
        KafkaSink::new(self.clone(), topic, encode)
    }
}

/// Sources.
impl Kafka {
    /// Reads one JSON value a record.
    pub fn read_json<T: Data>(&self, topics: impl Into<Topics>) -> KafkaSource<Values<Json<T>>> {
        self.read(topics, Json::default())
    }

    /// Reads one MessagePack value a record.
    pub fn read_rmp<T: Data>(&self, topics: impl Into<Topics>) -> KafkaSource<Values<Rmp<T>>> {
        self.read(topics, Rmp::default())
    }

    /// Reads each record as UTF-8 text.
    pub fn read_text(&self, topics: impl Into<Topics>) -> KafkaSource<Values<Text>> {
        self.read(topics, Text)
    }

    /// Reads each record as it is.
    pub fn read_bytes(&self, topics: impl Into<Topics>) -> KafkaSource<Values<Bytes>> {
        self.read(topics, Bytes)
    }

    /// Reads a format of your own.
    pub fn read<D>(&self, topics: impl Into<Topics>, decode: D) -> KafkaSource<Values<D>>
    where
        D: Decode<Item: Data>,
    {
        KafkaSource::new(self.connection.clone(), topics.into(), decode)
    }
}
