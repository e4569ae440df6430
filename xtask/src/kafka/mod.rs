//! A real Apache Kafka, one node, from the jars its project publishes: for `cargo xtask kafka` and,
//! as [`Broker`], for tests. Whoever uses it needs Java 17 or later; the first use of a version
//! needs Maven too.
//!
//! 1. `jars` has Maven copy the jars of a version into the user's cache, whole or not at all.
//! 2. `config` writes the properties of a node that is broker and controller in one.
//! 3. `node` formats its data folder, starts it and waits until it leads all its partitions.
//! 4. `broker` owns such a node for a test; `cli` leaves one behind and finds it again (`state`).
//! 5. `wire` asks it about topics and offsets; `produce` and `consume` run Kafka's own Java tools.
//!
//! None of it uses a Kafka client of Rust or C: what checks a client must not share its mistakes.
//! Every wait has a limit and says what it waited for. Only processes started here are ended, each
//! by its id.

mod broker;
mod bytes;
pub mod cli;
mod config;
mod consume;
mod install;
mod jars;
mod java;
mod node;
mod ports;
mod process;
mod produce;
mod record;
mod show;
mod state;
mod wire;

pub use broker::{Broker, BrokerOptions};
pub use consume::Until;
pub use jars::REMEDY as MAVEN_REMEDY;
pub use java::REMEDY as JAVA_REMEDY;
pub use ports::free_port;
pub use record::ConsumedRecord;
pub use wire::Topic;

/// The version of Kafka that runs unless another is named.
pub const DEFAULT_VERSION: &str = "4.1.0";

/// The version that `KAFKA_VERSION` names, if it names one.
pub fn asked_version() -> String {
    std::env::var("KAFKA_VERSION").unwrap_or_else(|_| DEFAULT_VERSION.to_owned())
}

/// Whether there is a Java that runs Kafka.
///
/// # Errors
/// It is missing or too old; the error says how to get one.
pub fn look_for_java() -> anyhow::Result<()> {
    java::Java::find().map(drop)
}

/// Whether the jars of a version are there, so that nobody need fetch them.
///
/// # Errors
/// It is no version of Kafka that runs here; nobody says where jars are kept.
pub fn has_jars(version: &str) -> anyhow::Result<bool> {
    jars::are_there(&jars::Version::parse(version)?)
}
