//! The producers of the slots: made, fenced, called until they answer.

use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_kafka::send::{Producer, ProducerSettings, SendError};

use super::gateway::{Gateway, Slot};

/// How many take turns: one epoch is committed while the next one is sent.
pub(super) const SLOTS: usize = 2;
/// How long one call may last before it is repeated.
pub(super) const CALL: Duration = Duration::from_secs(1);
/// How long an old transaction may take until it is decided; then the attempt fails, and tries
/// again after a pause.
const FENCE: Duration = Duration::from_secs(60);
/// Bytes in a producer's queue: a flush at the barrier lasts as long as it is deep.
const QUEUE_BYTES: usize = 16 << 20;
/// Below the broker's default for `max.message.bytes` (1,048,588), which bounds whole batches.
const BATCH_BYTES: usize = 900_000;
const LINGER: Duration = Duration::from_millis(5);
/// Between two lines that say that Kafka does not answer.
const TELL_MS: i64 = 10_000;

/// The id that fences: `<job>-<slot>`.
pub(super) fn transactional_id(job: &str, slot: Slot) -> String {
    format!("{job}-{}", slot.0)
}

/// What a producer of this engine is made with.
pub(super) fn settings(
    connection: &riverrun_kafka::connection::Connection,
    transactional_id: Option<String>,
    timeout: Duration,
) -> ProducerSettings {
    ProducerSettings {
        connection: connection.clone(),
        transactional_id,
        transaction_timeout: timeout,
        queue_bytes: QUEUE_BYTES,
        batch_bytes: BATCH_BYTES,
        linger: LINGER,
    }
}

/// A new producer for `slot`: whoever had its id before is fenced.
pub(super) fn fenced(gateway: &Gateway, slot: Slot) -> Result<Arc<Producer>> {
    let id = transactional_id(&gateway.ctx.job, slot);
    let made = Producer::new(&settings(&gateway.connection, Some(id), gateway.timeout))?;
    gateway.until_done(FENCE, || made.init())?;
    Ok(Arc::new(made))
}

/// New producers for all slots.
pub(super) fn all_fenced(gateway: &Gateway) -> Result<Vec<Arc<Producer>>> {
    (0..SLOTS).map(|slot| fenced(gateway, Slot(slot))).collect()
}

/// Calls until it is done, fails for good, `limit` is over or the attempt has ended. Every call
/// blocks for a while by itself.
pub(super) fn until_done(
    ctx: &TaskContext,
    limit: Duration,
    closed: impl Fn() -> bool,
    mut call: impl FnMut() -> Result<(), SendError>,
) -> Result<(), SendError> {
    let began = ctx.clock.now().as_millis();
    let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    let mut told = began;
    loop {
        let error = match call() {
            Err(error @ SendError::Again(_)) => error,
            done => return done,
        };
        let now = ctx.clock.now().as_millis();
        let waited = now.saturating_sub(began);
        if closed() {
            return Err(SendError::Failed(format!("the attempt has ended; {error}")));
        }
        if waited >= limit_ms {
            return Err(SendError::Failed(format!("no answer in {} s: {error}", limit.as_secs())));
        }
        if now.saturating_sub(told) >= TELL_MS {
            told = now;
            tracing::warn!(waited_ms = waited, %error, "waiting for Kafka");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
