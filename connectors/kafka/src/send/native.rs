//! The calls of librdkafka that rust-rdkafka does not have, or has slower: sending by a kept
//! topic handle, in batches or with headers and timestamps, and a flush that waits no longer than
//! it must.

use std::ffi::{CString, c_void};
use std::marker::PhantomData;
use std::mem;
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
        let mut all = records.iter().skip(first).peekable();
        let (mut sent, mut plain) = (0, Plain::default());
        while let Some(record) = all.next() {
            let partition = record.place().partition;
            let alike = |next: &Record<'_>| is_plain(next) && next.place().partition == partition;
            let followed = all.peek().is_some_and(alike);
            let (queued, code) = match is_plain(&record) {
                true => {
                    plain.add(&record);
                    if followed && plain.has_room() {
                        continue;
                    }
                    plain.queue(self, partition.unwrap_or(ANY_PARTITION))
                }
                false => match self.one(&record)? {
                    Code::RD_KAFKA_RESP_ERR_NO_ERROR => (1, Code::RD_KAFKA_RESP_ERR_NO_ERROR),
                    code => (0, code),
                },
            };
            sent += queued;
            match code {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => {}
                Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => return Ok(sent),
                code => return Err(self.refused(RDKafkaErrorCode::from(code).to_string())),
            }
        }
        Ok(sent)
    }

    fn refused(&self, reason: String) -> SendError {
        SendError::Refused { topic: self.name.clone(), reason }
    }

    fn one(&self, record: &Record<'_>) -> Result<Code, SendError> {
        if record.place().timestamp == Some(0) {
            let reason = "to librdkafka the timestamp 0 means `now`, so the record would change: \
                          give it another, or none";
            return Err(self.refused(reason.to_owned()));
        }
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
            Ok(code)
        }
    }
}

/// The most records of one call.
const PLAIN_MAX: usize = 512;

/// Whether a record can go through the batch call, which knows no timestamps and no headers.
fn is_plain(record: &Record<'_>) -> bool {
    record.place().timestamp.is_none() && record.headers().len() == 0
}

/// Records for one batch call. Their bytes are borrowed.
#[derive(Default)]
struct Plain<'a> {
    messages: Vec<sys::rd_kafka_message_t>,
    records: PhantomData<&'a Records>,
}

impl<'a> Plain<'a> {
    fn add(&mut self, record: &Record<'a>) {
        // SAFETY: a struct of numbers and pointers, for which zero is a value.
        #[expect(unsafe_code, reason = "the crate has no such messages")]
        let mut message: sys::rd_kafka_message_t = unsafe { mem::zeroed() };
        (message.payload, message.len) = parts(record.value());
        (message.key, message.key_len) = parts(record.key());
        self.messages.push(message);
    }

    fn has_room(&self) -> bool {
        self.messages.len() < PLAIN_MAX
    }

    /// Queues them; how many of the first were queued, and what the next one was refused for. All
    /// go to one partition: given one for each, librdkafka 2.12 adds partition -1 to a transaction
    /// while it does not know the topic yet, and the transaction never ends.
    fn queue(&mut self, topic: &Topic, partition: i32) -> (usize, Code) {
        let flags = sys::RD_KAFKA_MSG_F_COPY;
        let count = i32::try_from(self.messages.len()).unwrap_or(i32::MAX);
        // SAFETY: the topic is alive; the array has as many messages as is said; the bytes they
        // point to are borrowed by `self`, and copied by the call.
        #[expect(unsafe_code, reason = "the crate has no batch call")]
        unsafe {
            let first = self.messages.as_mut_ptr();
            sys::rd_kafka_produce_batch(topic.native, partition, flags, first, count);
        }
        // When the queue is full, all that follow are refused too. Anything else ends the attempt.
        let refused =
            |message: &sys::rd_kafka_message_t| message.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR;
        let at = self.messages.iter().position(refused);
        let result = match at {
            Some(at) => (at, self.messages[at].err),
            None => (self.messages.len(), Code::RD_KAFKA_RESP_ERR_NO_ERROR),
        };
        self.messages.clear();
        result
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
