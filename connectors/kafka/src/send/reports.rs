//! What a producer's own thread hears: failed deliveries and trouble with the connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::error::{self, SendError};

/// What librdkafka calls the lines that tell of the end of a connection (2.12,
/// `rd_kafka_broker_set_error`).
const CONNECTION_ENDED: &str = "FAIL";

/// A delivery that failed.
#[derive(Clone)]
pub(super) struct Failed {
    pub(super) error: SendError,
    /// Only because another failed before it, which may be reported later.
    pub(super) purged: bool,
}

/// Of one producer.
#[derive(Default)]
pub(super) struct Reports {
    failed: AtomicBool,
    /// The first.
    failure: Mutex<Option<Failed>>,
    trouble: AtomicBool,
}

impl Reports {
    /// The first failed delivery that was not a consequence, if that is known yet.
    pub(super) fn failed(&self) -> Option<Failed> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn take_trouble(&self) -> bool {
        self.trouble.swap(false, Ordering::AcqRel)
    }
}

impl ClientContext for Reports {
    /// A connection that is merely closed is no error to librdkafka, though it repeats what was
    /// under way. It says so in this line only, before it repeats anything; and of several alike
    /// within 30 s only with `debug=broker`.
    fn log(&self, level: RDKafkaLogLevel, about: &str, line: &str) {
        use RDKafkaLogLevel::{Alert, Critical, Emerg, Error, Warning};
        match level {
            // `error` tells of it too.
            _ if about == CONNECTION_ENDED => {
                self.trouble.store(true, Ordering::Release);
                tracing::debug!(about, line, "librdkafka, a producer");
            }
            Emerg | Alert | Critical | Error | Warning => {
                tracing::warn!(about, line, "librdkafka, a producer");
            }
            _ => tracing::debug!(about, line, "librdkafka, a producer"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(Code::Fatal) {
            self.trouble.store(true, Ordering::Release);
        }
        tracing::warn!(%error, reason, "Kafka producer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let failure = error::delivery(message.topic(), message.partition(), error);
            let mut first = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            let code = error.rdkafka_error_code();
            let purged = matches!(code, Some(Code::PurgeQueue | Code::PurgeInflight));
            if first.as_ref().is_none_or(|first| first.purged && !purged) {
                *first = Some(Failed { error: failure, purged });
            }
            drop(first);
            self.failed.store(true, Ordering::Release);
        }
    }
}
