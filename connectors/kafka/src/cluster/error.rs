//! What can go wrong with a cluster: each error has a code, names broker, topic and partition as
//! far as they are known, and says what to do.

use thiserror::Error;

use super::Partition;
use crate::connection::ConnectionError;

/// A cluster that does not answer as it must.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClusterError {
    /// Settings that make no client.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The client could not be made.
    #[error("RR0710: no client for Kafka at '{brokers}' can be made: {reason}")]
    Client {
        /// The brokers, as given.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// Nobody answers.
    #[error(
        "RR0711: Kafka at '{brokers}' did not answer {asked} within {seconds} s{said}; is a broker \
         there and reachable from here (host, port, firewall)? does it ask for TLS \
         (`security.protocol`) or a login (`sasl.*`)? do its advertised listeners name an address \
         that this machine can reach?"
    )]
    Unreachable {
        /// The brokers, as given.
        brokers: String,
        /// The question.
        asked: String,
        /// How long was waited.
        seconds: u64,
        /// What librdkafka said meanwhile, behind a colon; empty if nothing.
        said: String,
    },
    /// A right is lacking, or the login is refused.
    #[error(
        "RR0712: Kafka at '{brokers}' refuses {asked}: {reason}; give the user of this connection \
         the right to it (READ on a topic that is read; CREATE, DESCRIBE and WRITE where asked \
         for), or check the login"
    )]
    Refused {
        /// The brokers, as given.
        brokers: String,
        /// The question.
        asked: String,
        /// What the broker says.
        reason: String,
    },
    /// A topic that is not there.
    #[error(
        "RR0713: the topic '{topic}' does not exist at '{brokers}': create it, or check its name \
         and whether this is the right cluster (without DESCRIBE on it, it cannot be seen)"
    )]
    NoTopic {
        /// The topic.
        topic: String,
        /// The brokers, as given.
        brokers: String,
    },
    /// A partition that is not there, or that nobody leads.
    #[error("RR0714: {partition} at '{brokers}' has no offsets to tell: {reason}")]
    NoOffsets {
        /// Which.
        partition: Partition,
        /// The brokers, as given.
        brokers: String,
        /// What the broker says.
        reason: String,
    },
    /// Any other answer.
    #[error("RR0715: Kafka at '{brokers}' answered {asked} with: {reason}")]
    Answer {
        /// The brokers, as given.
        brokers: String,
        /// The question.
        asked: String,
        /// What the broker says.
        reason: String,
    },
}
