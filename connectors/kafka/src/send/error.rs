//! What can go wrong while sending, by what to do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;

/// Why records were not sent or committed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// Not yet: call again.
    #[error("Kafka did not answer yet: {0}")]
    Again(String),
    /// A newer producer has the transactional id, or the transaction has expired: Kafka reports
    /// both alike.
    #[error(
        "RR0731: Kafka has fenced this producer: another one took its transactional id, or the \
         transaction was open for longer than its timeout ({0})"
    )]
    Fenced(String),
    /// A record that cannot be sent as it is.
    #[error("RR0732: a record for topic '{topic}' was refused: {reason}")]
    Refused {
        /// Where it was to go.
        topic: String,
        /// Why.
        reason: String,
    },
    /// A record that the broker did not take.
    #[error("RR0733: a record for topic '{topic}', partition {partition} was not taken: {reason}")]
    NotDelivered {
        /// Where it was to go.
        topic: String,
        /// Where it was to go.
        partition: i32,
        /// Why.
        reason: String,
    },
    /// Rights that are missing.
    #[error(
        "RR0734: not allowed: {0}; a sink needs WRITE on its topics, WRITE and READ on the marker \
         topic, and WRITE on the transactional ids with the job's name as prefix"
    )]
    NotAllowed(String),
    /// Anything else: the producer is of no more use.
    #[error("RR0735: Kafka failed: {0}")]
    Failed(String),
}

impl SendError {
    /// Whether calling again may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, SendError::Again(_))
    }
}

pub(super) fn of(error: &KafkaError) -> SendError {
    match error {
        // The crate's own flush, before the commit: nothing of it has begun.
        KafkaError::Flush(code) => SendError::Again(code.to_string()),
        KafkaError::Transaction(inner) => {
            let reason = format!("{} ({})", inner.string(), inner.name());
            match inner.code() {
                code if inner.is_fatal() => fatal(code, &reason),
                _ if inner.is_retriable() => SendError::Again(reason),
                code => by_code(code, reason),
            }
        }
        other => match other.rdkafka_error_code() {
            Some(code) => by_code(code, other.to_string()),
            None => SendError::Failed(other.to_string()),
        },
    }
}

pub(super) fn fatal(code: Code, reason: &str) -> SendError {
    by_code(code, reason.to_owned())
}

fn by_code(code: Code, reason: String) -> SendError {
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            SendError::Fenced(reason)
        }
        Code::TransactionalIdAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed => SendError::NotAllowed(reason),
        code => SendError::Failed(format!("{reason}{}", remedy(code))),
    }
}

fn remedy(code: Code) -> &'static str {
    match code {
        Code::MessageSizeTooLarge => {
            " (the topic's `max.message.bytes` bounds whole batches: raise it, or lower \
             `batch.size`)"
        }
        _ => "",
    }
}

/// What a failed delivery means.
pub(super) fn delivery(topic: &str, partition: i32, error: &KafkaError) -> SendError {
    let reason = error.to_string();
    match error.rdkafka_error_code().map(|code| by_code(code, reason.clone())) {
        Some(known @ (SendError::Fenced(_) | SendError::NotAllowed(_))) => known,
        _ => {
            let remedy = error.rdkafka_error_code().map_or("", remedy);
            let topic = topic.to_owned();
            SendError::NotDelivered { topic, partition, reason: format!("{reason}{remedy}") }
        }
    }
}
