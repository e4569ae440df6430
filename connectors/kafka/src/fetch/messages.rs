//! Messages of librdkafka, taken from its queue in one call and copied out.
//!
//! Used by [`super::Fetcher`]. Invariant: a message is given back as soon as it was copied, and
//! what it points to is not kept.
#![expect(unsafe_code, reason = "the batch call of librdkafka exists in C only")]

use std::ffi::CStr;
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka_sys as sys;

use crate::cluster::{Queue, millis, text};
use crate::records::{Header, Place, Records};

/// The most messages of one call: what is copied before anyone hears of it.
const MESSAGES_MAX: usize = 2048;

/// A message of librdkafka, given back when dropped.
pub(super) struct Message(*mut sys::rd_kafka_message_t);

// SAFETY: a message belongs to its holder and may be read and given back on any thread.
unsafe impl Send for Message {}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: owned, and not used again.
        unsafe { sys::rd_kafka_message_destroy(self.0) }
    }
}

/// What tells messages of one partition from those of others, without comparing names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle {
    /// The address of the topic's handle: the same for all messages of a topic as long as one of
    /// its partitions is fetched. Compared only.
    topic: usize,
    partition: i32,
}

/// Takes at most [`MESSAGES_MAX`] messages; waits for the first one only, at most `timeout`.
pub(super) fn take(queue: &Queue, timeout: Duration, into: &mut Vec<Message>) {
    into.clear();
    let mut taken = [ptr::null_mut(); MESSAGES_MAX];
    // The call waits until its array is full: so one message with patience, the rest without.
    let (first, rest) = taken.split_at_mut(1);
    let mut count = batch(queue, timeout, first);
    if count == 1 {
        count += batch(queue, Duration::ZERO, rest);
    }
    into.extend(taken[..count].iter().map(|message| Message(*message)));
}

fn batch(queue: &Queue, timeout: Duration, into: &mut [*mut sys::rd_kafka_message_t]) -> usize {
    // SAFETY: the queue is alive; the array has as many places as is said.
    let count = unsafe {
        sys::rd_kafka_consume_batch_queue(
            queue.ptr(),
            millis(timeout),
            into.as_mut_ptr(),
            into.len(),
        )
    };
    usize::try_from(count).unwrap_or(0).min(into.len())
}

impl Message {
    fn get(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: not null, alive until dropped, and not written to by anyone.
        unsafe { &*self.0 }
    }

    /// The error it stands for; `None` for a record.
    pub(super) fn error(&self) -> Option<Code> {
        let code = Code::from(self.get().err);
        (code != Code::NoError).then_some(code)
    }

    /// What an error says.
    pub(super) fn reason(&self) -> String {
        let message = self.get();
        String::from_utf8_lossy(bytes(message.payload.cast(), message.len).unwrap_or_default())
            .into_owned()
    }

    pub(super) fn handle(&self) -> Handle {
        let message = self.get();
        Handle { topic: message.rkt as usize, partition: message.partition }
    }

    /// Topic and partition; `None` for what belongs to no topic.
    pub(super) fn partition(&self) -> Option<(String, i32)> {
        let message = self.get();
        if message.rkt.is_null() {
            return None;
        }
        // SAFETY: the handle is alive as long as the message; the name is copied.
        let topic = unsafe { text(sys::rd_kafka_topic_name(message.rkt)) };
        Some((topic, message.partition))
    }

    pub(super) fn offset(&self) -> i64 {
        self.get().offset
    }

    /// Appends the record to `records`, with its headers or without.
    pub(super) fn copy_into(&self, records: &mut Records, headers: bool) {
        let message = self.get();
        let place = Place { offset: message.offset, timestamp: self.timestamp(), partition: None };
        let key = bytes(message.key.cast(), message.key_len);
        let value = bytes(message.payload.cast(), message.len);
        if !headers {
            records.push(place, key, value, []);
            return;
        }
        let headers = self.headers().into_iter();
        let headers = headers.flat_map(|list| (0..).map_while(move |i| header(list, i)));
        records.push(place, key, value, headers);
    }

    fn headers(&self) -> Option<*mut sys::rd_kafka_headers_t> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; the headers live as long as it.
        let error = unsafe { sys::rd_kafka_message_headers(self.0, &mut headers) };
        (Code::from(error) == Code::NoError).then_some(headers)
    }

    fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0, &mut kind) };
        let none = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        (kind != none).then_some(millis)
    }
}

/// The bytes a message lends; absent is not empty.
fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka lends `length` bytes there for as long as the message lives; the callers
    // copy them before it is dropped.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}

fn header<'a>(list: *mut sys::rd_kafka_headers_t, i: usize) -> Option<Header<'a>> {
    let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the list is alive as long as its message.
    let error =
        unsafe { sys::rd_kafka_header_get_all(list, i, &mut name, &mut value, &mut length) };
    if Code::from(error) != Code::NoError {
        return None;
    }
    // SAFETY: a name ends with a zero byte and lives as long as the list.
    let name = unsafe { CStr::from_ptr(name) };
    // Kafka's names are UTF-8; one that is not keeps its place without a name.
    Some((name.to_str().unwrap_or_default(), bytes(value.cast(), length)))
}
