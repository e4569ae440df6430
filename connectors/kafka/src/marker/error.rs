//! Why the topic of markers cannot be used.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;

use crate::connection::ConnectionError;

/// Why the topic of markers cannot be used.
#[derive(Debug, Error)]
pub enum MarkerError {
    /// The connection's settings.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Somebody else writes there.
    #[error(
        "RR0741: on the marker topic '{topic}' a transaction is open that is not this job's \
         ({open} records behind the last stable offset): the topic is this job's alone; end that \
         transaction (`kafka-transactions.sh --bootstrap-server .. list` names it) and start again"
    )]
    Open {
        /// The topic.
        topic: String,
        /// Offsets between the last stable one and the end.
        open: i64,
    },
    /// The end was not reported.
    #[error(
        "RR0742: the marker topic '{topic}' could not be read to its end at {end} in time: does \
         the job have the right to READ it, and are all its brokers there? Nothing was started, \
         since without the newest marker it is not known what is committed"
    )]
    NotRead {
        /// The topic.
        topic: String,
        /// Its last stable offset.
        end: i64,
    },
    /// Not as it must be.
    #[error("RR0743: the marker topic '{topic}' {what}: {remedy}")]
    Shape {
        /// The topic.
        topic: String,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Missing rights.
    #[error(
        "RR0744: not allowed while {doing} the marker topic '{topic}' ({reason}); the job needs \
         WRITE, READ and DESCRIBE_CONFIGS on it, and CREATE if it shall make it itself"
    )]
    NotAllowed {
        /// The topic.
        topic: String,
        /// During what.
        doing: &'static str,
        /// What Kafka said.
        reason: String,
    },
    /// The client or the broker.
    #[error(
        "RR0745: Kafka did not answer while {doing} the marker topic '{topic}' ({reason}): is a \
         broker there at the address given, and does it ask for TLS or a login?"
    )]
    Failed {
        /// The topic.
        topic: String,
        /// During what.
        doing: &'static str,
        /// What the client said.
        reason: String,
    },
}

impl MarkerError {
    pub(super) fn of(topic: &str, doing: &'static str, error: &KafkaError) -> Self {
        let code = error.rdkafka_error_code();
        Self::of_code(topic, doing, code, error.to_string())
    }

    pub(super) fn of_code(
        topic: &str,
        doing: &'static str,
        code: Option<Code>,
        reason: String,
    ) -> Self {
        let topic = topic.to_owned();
        match code {
            Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
                MarkerError::NotAllowed { topic, doing, reason }
            }
            _ => MarkerError::Failed { topic, doing, reason },
        }
    }
}
