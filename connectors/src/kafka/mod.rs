//! Kafka: sources and sinks whose every result is committed exactly once.
//!
//! [`Kafka`] says where the cluster is; `kafka.read_json(..)` makes a source (`source/`),
//! `kafka.write_json(..)` a sink (`sink/`). Bytes become items by [`format`]. All calls of the
//! client are behind the door, the crate `riverrun_kafka`.

pub mod format;
pub mod source;

use riverrun_engine::data::Data;
use riverrun_kafka::connection::Connection;

pub use riverrun_engine::bad::OnBad;
pub use source::{End, KafkaRecord, KafkaSource, KafkaSourceError, Start, Topics};

use format::{Bytes, Decode, Json, Rmp, Text};
use source::Values;

/// A Kafka cluster: makes sources and sinks.
#[derive(Clone, Debug)]
pub struct Kafka {
    connection: Connection,
}

impl Kafka {
    /// The cluster that some of its brokers belong to: `host:port`, separated by commas.
    #[must_use]
    pub fn brokers(brokers: &str) -> Self {
        Kafka { connection: Connection::new(brokers) }
    }

    /// Sets any property of librdkafka, but for those that exactly-once stands on.
    #[must_use]
    pub fn property(self, name: &str, value: &str) -> Self {
        Kafka { connection: self.connection.property(name, value) }
    }

    /// Sets a property to what a file says: for secrets.
    #[must_use]
    pub fn property_from_file(self, name: &str, path: impl Into<std::path::PathBuf>) -> Self {
        Kafka { connection: self.connection.property_from_file(name, path) }
    }

    /// Sets a property to what an environment variable says: for secrets.
    #[must_use]
    pub fn property_from_env(self, name: &str, variable: &str) -> Self {
        Kafka { connection: self.connection.property_from_env(name, variable) }
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
