//! One librdkafka client of the consuming kind, and its main queue: logs and troubles.
//!
//! Used by [`super::Cluster`] and by [`crate::fetch`]. The main queue is not joined with the
//! messages: whoever holds the client serves it now and then, so that logs reach `tracing` and the
//! last trouble can be told in errors. Invariant: the queue is given back before the client.
#![expect(unsafe_code, reason = "events of librdkafka are read through its C calls")]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::time::Duration;

use rdkafka::client::Client as Raw;
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;
use rdkafka_sys as sys;

use super::error::ClusterError;
use super::is_login;
use crate::connection::Connection;

/// A queue of librdkafka, given back when dropped.
pub(crate) struct Queue(*mut sys::rd_kafka_queue_t);

// SAFETY: queues of librdkafka have locks of their own and may be used from any thread.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes over a queue that its maker gave to the caller.
    ///
    /// # Safety
    /// `queue` is one of `rd_kafka_queue_new` or `rd_kafka_queue_get_*` of a client that lives
    /// longer than this, and nobody else gives it back.
    pub(crate) unsafe fn own(queue: *mut sys::rd_kafka_queue_t) -> Self {
        Queue(queue)
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.0
    }

    /// Waits at most `timeout` for an event.
    pub(crate) fn event(&self, timeout: Duration) -> Option<Event> {
        // SAFETY: the queue is alive; the event is owned by `Event` from here on.
        let event = unsafe { sys::rd_kafka_queue_poll(self.0, millis(timeout)) };
        (!event.is_null()).then_some(Event(event))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned, and not used again.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// An event of librdkafka, given back when dropped.
pub(crate) struct Event(*mut sys::rd_kafka_event_t);

impl Event {
    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0
    }

    /// Its kind: one of `RD_KAFKA_EVENT_*`.
    pub(crate) fn kind(&self) -> c_int {
        // SAFETY: the event is alive.
        unsafe { sys::rd_kafka_event_type(self.0) }
    }

    /// The error it carries; `None` when it carries none.
    pub(crate) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        // SAFETY: the event is alive; the text lives as long as it and is copied.
        let (code, text) = unsafe {
            (sys::rd_kafka_event_error(self.0), text(sys::rd_kafka_event_error_string(self.0)))
        };
        let code = RDKafkaErrorCode::from(code);
        (code != RDKafkaErrorCode::NoError).then_some((code, text))
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, and not used again.
        unsafe { sys::rd_kafka_event_destroy(self.0) }
    }
}

/// Copies a text of librdkafka; none is empty.
///
/// # Safety
/// `text` is null or ends with a zero byte.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A wait as librdkafka takes it.
pub(crate) fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

/// A client. Dropping it closes its connections, which takes some 100 ms.
pub(crate) struct Client {
    // Before the client: given back first.
    main: Queue,
    raw: Raw<DefaultClientContext>,
    brokers: String,
    trouble: Option<(RDKafkaErrorCode, String)>,
}

impl Client {
    /// A client of `connection` with the engine's own settings `ours`, and with `usual` where the
    /// user has not set them.
    ///
    /// # Errors
    /// Settings that contradict, secrets that cannot be read; no cluster is asked.
    pub(crate) fn new(
        connection: &Connection,
        ours: &[(&str, String)],
        usual: &[(&str, String)],
    ) -> Result<Client, ClusterError> {
        let brokers = connection.brokers().to_owned();
        let failed = |error: rdkafka::error::KafkaError| ClusterError::Client {
            brokers: brokers.clone(),
            reason: error.to_string(),
        };
        let mut config = connection.config()?;
        let open = |(name, _): &&(&str, String)| config.get(name).is_none();
        let usual: Vec<_> = usual.iter().filter(open).collect();
        for (name, value) in ours.iter().chain(usual) {
            config.set(*name, value);
        }
        let native = config.create_native_config().map_err(failed)?;
        // SAFETY: the settings are alive and belong to no client yet.
        unsafe { sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_ERROR) };
        let kind = RDKafkaType::RD_KAFKA_CONSUMER;
        let raw = Raw::new(&config, native, kind, DefaultClientContext).map_err(failed)?;
        // SAFETY: the client is alive, and dropped after the queue.
        let main = unsafe { Queue::own(sys::rd_kafka_queue_get_main(raw.native_ptr())) };
        Ok(Client { main, raw, brokers, trouble: None })
    }

    pub(crate) fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.raw.native_ptr()
    }

    pub(crate) fn raw(&self) -> &Raw<DefaultClientContext> {
        &self.raw
    }

    /// The brokers, as given.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Passes on what librdkafka logged, waiting at most `timeout` for the first line.
    pub(crate) fn serve(&mut self, timeout: Duration) {
        let mut timeout = timeout;
        while let Some(event) = self.main.event(timeout) {
            timeout = Duration::ZERO;
            match event.kind() {
                sys::RD_KAFKA_EVENT_LOG => pass_on(&event, &self.brokers),
                // A refused login is the reason why all brokers are down, which is told after it.
                sys::RD_KAFKA_EVENT_ERROR => {
                    let login = self.trouble.take_if(|(code, _)| is_login(*code));
                    self.trouble = login.or_else(|| event.error()).or(self.trouble.take());
                }
                _ => {}
            }
        }
    }

    /// The last trouble since this was asked: brokers that do not answer, a refused login.
    pub(crate) fn trouble(&mut self) -> Option<(RDKafkaErrorCode, String)> {
        self.trouble.take()
    }
}

fn pass_on(event: &Event, brokers: &str) {
    let (mut facility, mut line, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the event is alive and a log line; what it points to is copied before it is dropped.
    let (facility, line) = unsafe {
        sys::rd_kafka_event_log(event.ptr(), &mut facility, &mut line, &mut level);
        (text(facility), text(line))
    };
    // The levels of syslog. Lost connections are told by the engine, once: here they are details.
    match level {
        0..=2 => tracing::error!(brokers, facility, "{line}"),
        3..=4 if facility != "FAIL" && facility != "ERROR" => {
            tracing::warn!(brokers, facility, "{line}");
        }
        _ => tracing::debug!(brokers, facility, "{line}"),
    }
}
