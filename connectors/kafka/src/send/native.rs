//! The calls of librdkafka that rust-rdkafka does not have, or has slower: sending by a kept topic
//! handle with headers and timestamps, and a flush that waits no longer than it must.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use rdkafka_sys as sys;
use rdkafka_sys::rd_kafka_resp_err_t as Code;
use rdkafka_sys::rd_kafka_vtype_t as vtype;

use super::error::SendError;
use super::reports::Reports;
use crate::records::{Record, Records};

/// By the key: `RD_KAFKA_PARTITION_UA`.
const ANY_PARTITION: i32 = -1;

pub(super) type Client = ThreadedProducer<Reports>;

/// A topic as one producer knows it. Keeps its producer's client alive.
pub struct Topic {
    native: *mut sys::rd_kafka_topic_t,
    name: String,
    client: Arc<Client>,
}

impl std::fmt::Debug for Topic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Topic({})", self.name)
    }
}

// SAFETY: librdkafka's handles are made for use from any thread (its INTRODUCTION.md, "completely
// thread-safe").
#[expect(unsafe_code, reason = "a handle of a C library")]
unsafe impl Send for Topic {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "a handle of a C library")]
unsafe impl Sync for Topic {}

impl Topic {
    pub(super) fn new(client: Arc<Client>, name: &str) -> Result<Self, SendError> {
        let refused =
            |reason: &str| SendError::Refused { topic: name.to_owned(), reason: reason.to_owned() };
        let text = CString::new(name).map_err(|_| refused("the name holds a zero byte"))?;
        // SAFETY: the client lives as long as `client` is held, the text until after the call; no
        // topic settings of our own: the null pointer asks for the client's.
        #[expect(unsafe_code, reason = "rust-rdkafka keeps no topic handles")]
        let native = unsafe {
            sys::rd_kafka_topic_new(client.client().native_ptr(), text.as_ptr(), ptr::null_mut())
        };
        match native.is_null() {
            true => Err(refused("no topic can have that name")),
            false => Ok(Topic { native, name: name.to_owned(), client }),
        }
    }

    /// Queues the records of `records` from the `first` on; returns how many were queued: fewer
    /// when the queue is full. Never blocks; may be called from several threads.
    ///
    /// # Errors
    /// A refused record; an earlier one that could not be delivered.
    pub fn send(&self, records: &Records, first: usize) -> Result<usize, SendError> {
        super::delivered(&self.client)?;
        let refused = |reason: String| SendError::Refused { topic: self.name.clone(), reason };
        for (sent, record) in records.iter().skip(first).enumerate() {
            if record.place().timestamp == Some(0) {
                let reason = "to librdkafka the timestamp 0 means `now`, so the record would \
                              change: give it another, or none";
                return Err(refused(reason.to_owned()));
            }
            match self.one(&record) {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => return Ok(sent),
                code => return Err(refused(RDKafkaErrorCode::from(code).to_string())),
            }
        }
        Ok(records.len().saturating_sub(first))
    }

    fn one(&self, record: &Record<'_>) -> Code {
        let (value, value_len) = parts(record.value());
        let (key, key_len) = parts(record.key());
        let place = record.place();
        let headers = headers(record);
        // SAFETY: every pointer is valid until the call returns: value and key are copied
        // (`MSG_F_COPY`), the handles live as long as they are borrowed. The list of variadic
        // arguments follows the table of `rd_kafka_vtype_t` and ends with END. Headers are taken
        // over when the call succeeds, and stay ours when it fails.
        #[expect(unsafe_code, reason = "the crate looks up the topic by name for each record")]
        unsafe {
            let code = sys::rd_kafka_producev(
                self.client.client().native_ptr(),
                vtype::RD_KAFKA_VTYPE_RKT,
                self.native,
                vtype::RD_KAFKA_VTYPE_PARTITION,
                place.partition.unwrap_or(ANY_PARTITION),
                vtype::RD_KAFKA_VTYPE_MSGFLAGS,
                sys::RD_KAFKA_MSG_F_COPY,
                vtype::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                vtype::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                vtype::RD_KAFKA_VTYPE_TIMESTAMP,
                place.timestamp.unwrap_or(0),
                vtype::RD_KAFKA_VTYPE_HEADERS,
                headers,
                vtype::RD_KAFKA_VTYPE_END,
            );
            if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            code
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_topic_new`, given back once, before the client that it keeps.
        #[expect(unsafe_code, reason = "a handle of a C library")]
        unsafe {
            sys::rd_kafka_topic_destroy(self.native);
        }
    }
}

/// Waits at most `limit` for the acknowledgement of all that was sent.
pub(super) fn flush(client: &Client, limit: Duration) -> bool {
    let ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives as long as `client` is borrowed.
    #[expect(unsafe_code, reason = "the crate's flush lasts 100 ms at least")]
    let code = unsafe { sys::rd_kafka_flush(client.client().native_ptr(), ms) };
    code == Code::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Absent is the null pointer; empty is not.
fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}

fn headers(record: &Record<'_>) -> *mut sys::rd_kafka_headers_t {
    let all = record.headers();
    if all.len() == 0 {
        return ptr::null_mut();
    }
    // SAFETY: the list is made here and handed to the caller; names and values are copied in.
    #[expect(unsafe_code, reason = "headers beside a topic handle")]
    unsafe {
        let list = sys::rd_kafka_headers_new(all.len());
        for (name, value) in all {
            let (bytes, len) = parts(value);
            let (name_len, len) = (name.len() as isize, len as isize);
            sys::rd_kafka_header_add(list, name.as_ptr().cast(), name_len, bytes, len);
        }
        list
    }
}
