//! Kafka: sources and sinks whose every result is committed exactly once.
//!
//! [`Kafka`] says where the cluster is; `kafka.read_json(..)` makes a source (`source/`),
//! `kafka.write_json(..)` a sink (`sink/`). Bytes become items by [`format`]. All calls of the
//! client are behind the door, the crate `riverrun_kafka`.

pub mod format;

use riverrun_kafka::connection::Connection;

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
