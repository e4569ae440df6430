//! What can go wrong while records are fetched: each error has a code, names the partition, and
//! says what to do.

use rdkafka::error::RDKafkaErrorCode as Code;
use thiserror::Error;

use crate::cluster::{ClusterError, Partition};

/// Records that cannot be fetched.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// No client.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The offset is outside the partition.
    #[error(
        "RR0716: offset {offset} of {partition} is not there: {reason}; its records were deleted \
         (retention, or the topic was made anew) and have not been read. A new attempt says from \
         where to where the partition reaches"
    )]
    Lost {
        /// Which.
        partition: Partition,
        /// The offset asked for.
        offset: i64,
        /// What librdkafka says.
        reason: String,
    },
    /// The topic or the partition is gone.
    #[error(
        "RR0717: {partition} is gone: {reason}; a topic that was deleted cannot be read on, also \
         when one of its name is created again"
    )]
    Gone {
        /// Which.
        partition: Partition,
        /// What librdkafka says.
        reason: String,
    },
    /// Anything else that stops a partition.
    #[error("RR0718: {partition} cannot be read: {reason}{}", hint(*.code))]
    Partition {
        /// Which.
        partition: Partition,
        /// The error's number.
        code: Code,
        /// What librdkafka says.
        reason: String,
    },
    /// The client can do nothing any more.
    #[error("RR0719: the Kafka client at '{brokers}' cannot go on: {reason}")]
    Client {
        /// The brokers, as given.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
}

fn hint(code: Code) -> &'static str {
    match code {
        Code::TopicAuthorizationFailed => {
            "; give the user of this connection the right READ on the topic"
        }
        Code::BadMessage | Code::InvalidMessage => {
            "; a batch in the log is damaged: compare with another consumer, and ask whoever runs \
             the brokers"
        }
        _ => "",
    }
}

impl FetchError {
    pub(super) fn of(partition: Partition, code: Code, offset: i64, reason: String) -> Self {
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                FetchError::Lost { partition, offset, reason }
            }
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
                FetchError::Gone { partition, reason }
            }
            _ => FetchError::Partition { partition, code, reason },
        }
    }
}
