//! The producers of the slots: made, fenced, called until they answer.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_kafka::cluster::{Cluster, Isolation};
use riverrun_kafka::send::{Producer, ProducerSettings, SendError};

use super::gateway::{Gateway, Slot};
use crate::kafka::outside;

/// How many take turns: one interval is committed while the next one is sent.
pub(super) const SLOTS: usize = 2;
/// How long one call may last before it is repeated.
pub(super) const CALL: Duration = Duration::from_secs(1);
/// How long an old transaction may take until it is decided; then the attempt fails, and tries
/// again after a pause.
const FENCE: Duration = Duration::from_secs(60);
/// Bytes in a producer's queue: a flush at the barrier lasts as long as it is deep.
const QUEUE_BYTES: usize = 16 << 20;
/// Below the broker's default for `max.message.bytes` (1,048,588), which bounds whole batches.
pub(super) const BATCH_BYTES: usize = 900_000;
const LINGER: Duration = Duration::from_millis(5);
/// Between two lines that say that Kafka does not answer.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The id that fences: `<job>-<slot>`.
pub(super) fn transactional_id(job: &str, slot: usize) -> String {
    format!("{job}-{slot}")
}

/// What a producer of this engine is made with.
pub(super) fn settings(
    connection: &riverrun_kafka::connection::Connection,
    transactional_id: Option<String>,
    timeout: Duration,
    batch_bytes: usize,
) -> ProducerSettings {
    ProducerSettings {
        connection: connection.clone(),
        transactional_id,
        transaction_timeout: timeout,
        queue_bytes: QUEUE_BYTES,
        batch_bytes,
        linger: LINGER,
    }
}

/// A new producer for `slot`: whoever had its id before is fenced.
pub(super) fn fenced(gateway: &Gateway, slot: Slot, batch_bytes: usize) -> Result<Arc<Producer>> {
    let id = transactional_id(&gateway.ctx.job, slot.0);
    let settings = settings(&gateway.connection, Some(id), gateway.timeout, batch_bytes);
    let made = Producer::new(&settings)?;
    gateway.until_done(FENCE, || made.init())?;
    Ok(Arc::new(made))
}

/// New producers for all slots.
pub(super) fn all_fenced(gateway: &Gateway) -> Result<Vec<Arc<Producer>>> {
    let batch_bytes = batch_bytes(gateway)?;
    (0..SLOTS).map(|slot| fenced(gateway, Slot(slot), batch_bytes)).collect()
}

/// The largest batch that every topic takes: the broker refuses a batch, not a record, that is
/// larger than the topic's `max.message.bytes`, and the client does not divide it.
///
/// # Errors
/// A topic that is not there.
pub(super) fn batch_bytes(gateway: &Gateway) -> Result<usize> {
    let mut cluster = Cluster::connect(&gateway.connection, Isolation::Committed, FENCE)?;
    let mut smallest = BATCH_BYTES;
    for topic in gateway.topics() {
        cluster.describe(&[topic.to_string()])?;
        let settings = cluster.settings(&topic)?;
        gateway.keeps(&topic, outside::kept(&settings));
        let limit = settings.get("max.message.bytes");
        if let Some(limit) = limit.and_then(|limit| limit.parse::<usize>().ok()) {
            // A tenth for what surrounds the records.
            smallest = smallest.min(limit - limit / 10);
        }
    }
    Ok(smallest.max(1))
}

/// Calls until it is done, fails for good, `limit` is over or the attempt has ended. Every call
/// blocks for a while by itself.
pub(super) fn until_done(
    ctx: &TaskContext,
    limit: Duration,
    closed: impl Fn() -> bool,
    mut call: impl FnMut() -> Result<(), SendError>,
) -> Result<(), SendError> {
    let began = ctx.clock.monotonic();
    let mut told = began;
    loop {
        let error = match call() {
            Err(error @ SendError::Again(_)) => error,
            done => return done,
        };
        let now = ctx.clock.monotonic();
        let waited = now.saturating_sub(began);
        if closed() {
            return Err(SendError::Failed(format!("the attempt has ended; {error}")));
        }
        if waited >= limit {
            return Err(SendError::Failed(format!("no answer in {} s: {error}", limit.as_secs())));
        }
        if now.saturating_sub(told) >= TELL_EVERY {
            told = now;
            tracing::warn!(waited_ms = waited.as_millis(), %error, "waiting for Kafka");
        }
        rest(Duration::from_millis(10));
    }
}

/// Waits, on a thread for blocking work.
#[expect(
    clippy::disallowed_methods,
    reason = "never on a worker: whoever calls this blocks anyway"
)]
pub(super) fn rest(duration: Duration) {
    std::thread::sleep(duration);
}
