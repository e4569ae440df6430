//! Producers: records go into the client's queue, a batch at a time, inside a transaction or
//! without one.
//!
//! Called by the sink's gateway, which orders the calls:
//!
//! 1. [`Producer::init`] once: earlier holders of the transactional id are fenced, what they left
//!    open is decided;
//! 2. [`Producer::begin`], then [`Topic::send`] from any thread;
//! 3. [`Producer::flush`]: all that was sent is acknowledged, or the interval is lost;
//! 4. [`Producer::commit`], again and again until it is done or fails for good.
//!
//! Invariants: a refused record and a failed delivery are errors, never skipped: Kafka would commit
//! without them. After an error that is not [`SendError::Again`] the producer is of no more use.
//! The calls of rust-rdkafka that flush slowly find an empty queue, since 3 came before.

mod error;
mod native;
mod reports;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::producer::Producer as _;

pub use self::error::SendError;
use self::native::Client;
pub use self::native::Topic;
use self::reports::{Failed, Reports};
use crate::connection::{Connection, ConnectionError};

/// What a producer is made with.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// The cluster.
    pub connection: Connection,
    /// The id that fences; `None`: no transactions.
    pub transactional_id: Option<String>,
    /// After how long the broker gives up a transaction that is not committed.
    pub transaction_timeout: Duration,
    /// Bytes that may wait in the queue: a flush lasts as long as it is deep.
    pub queue_bytes: usize,
    /// The largest request for one partition, in bytes; below the topics' `max.message.bytes`.
    pub batch_bytes: usize,
    /// How long a record may wait for others.
    pub linger: Duration,
}

/// How long one call to the broker may last before it is repeated.
const CALL: Duration = Duration::from_secs(1);
/// How long a broker that does not answer holds a request.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(10);

/// A producer. Its own thread serves the delivery reports.
pub struct Producer {
    client: Arc<Client>,
    topics: Mutex<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// Makes a producer; nothing is sent yet.
    ///
    /// # Errors
    /// Settings that librdkafka refuses.
    pub fn new(settings: &ProducerSettings) -> Result<Self, ConnectionError> {
        let config = config(settings)?;
        let client = Client::from_config_and_context(&config, Reports::default());
        let client = client.map_err(|error| ConnectionError::Refused {
            name: "(all together)".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Producer { client: Arc::new(client), topics: Mutex::default() })
    }

    /// Fences every earlier holder of the transactional id; what they left open is decided before
    /// this returns. One try of about a second.
    ///
    /// # Errors
    /// [`SendError::Again`] while the broker does not answer or still completes the old
    /// transaction.
    pub fn init(&self) -> Result<(), SendError> {
        let done = self.client.init_transactions(Duration::from_secs(5));
        done.map_err(|error| self.error(&error))
    }

    /// Opens the next transaction. Local: the broker learns of it with the first record.
    ///
    /// # Errors
    /// The producer was fenced, or a transaction is open.
    pub fn begin(&self) -> Result<(), SendError> {
        self.client.begin_transaction().map_err(|error| self.error(&error))
    }

    /// The handle for sending to `topic`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn topic(&self, topic: &Arc<str>) -> Result<Arc<Topic>, SendError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = topics.get(topic) {
            return Ok(known.clone());
        }
        let made = Arc::new(Topic::new(self.client.clone(), topic)?);
        topics.insert(topic.clone(), made.clone());
        Ok(made)
    }

    /// Waits until all that was sent is acknowledged, at most `limit`.
    ///
    /// # Errors
    /// A record that could not be delivered; [`SendError::Again`] when the limit has passed.
    pub fn flush(&self, limit: Duration) -> Result<(), SendError> {
        let until = now() + limit;
        loop {
            let left = until.saturating_duration_since(now());
            let flushed = native::flush(&self.client, left.min(CALL));
            delivered(&self.client)?;
            match flushed {
                true => return Ok(()),
                false if left.is_zero() => {
                    return Err(SendError::Again("records are not acknowledged yet".to_owned()));
                }
                false => {}
            }
        }
    }

    /// Commits the open transaction; everything was flushed before. One try of about a second:
    /// when told to call again, the commit goes on meanwhile.
    ///
    /// # Errors
    /// [`SendError::Again`]; whatever else leaves open whether it is committed: the marker tells.
    pub fn commit(&self) -> Result<(), SendError> {
        delivered(&self.client)?;
        self.client.commit_transaction(CALL).map_err(|error| self.error(&error))
    }

    /// Whether the connection failed since this was last asked: a request that was repeated may
    /// then still be on its way, and the producer must be replaced before its next transaction.
    pub fn was_troubled(&self) -> bool {
        self.client.context().take_trouble()
    }

    fn error(&self, error: &rdkafka::error::KafkaError) -> SendError {
        fatal(&self.client).unwrap_or_else(|| error::of(error))
    }
}

#[expect(clippy::disallowed_methods, reason = "a limit of waiting is told by the machine's clock")]
fn now() -> Instant {
    Instant::now()
}

/// Whether nothing that was sent has failed.
fn delivered(client: &Client) -> Result<(), SendError> {
    match client.context().failed() {
        None => Ok(()),
        Some(failed) => Err(fatal(client).unwrap_or_else(|| reason(client, failed))),
    }
}

/// What failed first. Where only its consequences are reported yet, any call about the transaction
/// says it.
fn reason(client: &Client, failed: Failed) -> SendError {
    if !failed.purged {
        return failed.error;
    }
    client.begin_transaction().map_or_else(|error| error::of(&error), |()| failed.error)
}

fn fatal(client: &Client) -> Option<SendError> {
    let (code, reason) = client.client().fatal_error()?;
    Some(error::fatal(code, &reason))
}

fn config(settings: &ProducerSettings) -> Result<ClientConfig, ConnectionError> {
    let mut config = settings.connection.config()?;
    let ms = |duration: Duration| duration.as_millis().to_string();
    let mut default = |name: &str, value: String| {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    };
    default("linger.ms", ms(settings.linger));
    default("batch.size", settings.batch_bytes.to_string());
    default("batch.num.messages", "100000".to_owned());
    default("compression.type", "lz4".to_owned());
    // As Java's clients do: what is keyed alike lies in the partition of the same number.
    default("partitioner", "murmur2_random".to_owned());
    default("queue.buffering.max.kbytes", (settings.queue_bytes / 1024).max(1).to_string());
    // The bytes bound it.
    default("queue.buffering.max.messages", "0".to_owned());
    let socket = SOCKET_TIMEOUT.min(settings.transaction_timeout / 2);
    default("socket.timeout.ms", ms(socket));
    // For `was_troubled`. Such lines come when connections do, not with records.
    let debug = config.get("debug").map_or_else(String::new, |asked| format!("{asked},"));
    config.set("debug", format!("{debug}broker")).set_log_level(RDKafkaLogLevel::Debug);
    config.set("enable.idempotence", "true");
    config.set("delivery.report.only.error", "true");
    if let Some(id) = &settings.transactional_id {
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", ms(settings.transaction_timeout));
    }
    Ok(config)
}
