//! The two batch calls of librdkafka.
#![expect(unsafe_code, reason = "they exist in C only")]

use std::ffi::CString;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::slice;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka_sys as sys;

use super::work::Results;

/// Messages of one call.
const BATCH: usize = 4096;

/// What a consumer has fetched.
pub(super) struct Messages<'a> {
    queue: *mut sys::rd_kafka_queue_t,
    taken: Vec<*mut sys::rd_kafka_message_t>,
    _consumer: PhantomData<&'a BaseConsumer>,
}

impl<'a> Messages<'a> {
    pub(super) fn of(consumer: &'a BaseConsumer) -> Self {
        // SAFETY: the consumer outlives what is returned, which gives the queue back.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        Messages { queue, taken: vec![ptr::null_mut(); BATCH], _consumer: PhantomData }
    }

    /// Hands partition, offset and value of each message to `each`; the partitions that ended.
    pub(super) fn take(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(i32, i64, &[u8]) -> Result<()>,
    ) -> Result<Vec<i32>> {
        let mut ended = Vec::new();
        let mut count = self.batch(patience, 0, 1);
        if count == 1 {
            count += self.batch(Duration::ZERO, 1, BATCH);
        }
        for at in 0..count {
            // SAFETY: the call filled that many places; each message is given back once, below,
            // and its value is not kept.
            let (message, value) = unsafe {
                let message = &*self.taken[at];
                let start = match message.payload.is_null() {
                    true => ptr::NonNull::<u8>::dangling().as_ptr().cast_const(),
                    false => message.payload.cast::<u8>().cast_const(),
                };
                (message, slice::from_raw_parts(start, message.len))
            };
            match Code::from(message.err) {
                Code::NoError => each(message.partition, message.offset, value)?,
                Code::PartitionEOF => ended.push(message.partition),
                Code::AllBrokersDown | Code::BrokerTransportFailure => {}
                code => bail!("the consumer: {code}"),
            }
            // SAFETY: as above.
            unsafe { sys::rd_kafka_message_destroy(self.taken[at]) };
        }
        Ok(ended)
    }

    fn batch(&mut self, patience: Duration, from: usize, to: usize) -> usize {
        let places = &mut self.taken[from..to];
        // SAFETY: the queue is alive, and there are as many places as is said.
        let count = unsafe {
            let ms = patience.as_millis() as i32;
            sys::rd_kafka_consume_batch_queue(self.queue, ms, places.as_mut_ptr(), places.len())
        };
        usize::try_from(count).unwrap_or(0)
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, and given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

/// A topic to send to.
pub(super) struct Topic<'a> {
    native: *mut sys::rd_kafka_topic_t,
    producer: &'a BaseProducer,
}

impl<'a> Topic<'a> {
    pub(super) fn new(producer: &'a BaseProducer, name: &str) -> Result<Self> {
        let name = CString::new(name)?;
        let client = producer.client().native_ptr();
        // SAFETY: the producer outlives the topic; the name is copied.
        let native = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        ensure!(!native.is_null(), "no topic can be called {name:?}");
        Ok(Topic { native, producer })
    }

    /// Queues all results, and empties them.
    pub(super) fn send(&self, results: &mut Results) -> Result<()> {
        for (partition, values) in results.0.iter_mut().enumerate() {
            let mut messages: Vec<_> = values
                .iter()
                .map(|value| {
                    // SAFETY: a struct of numbers and pointers, for which zero is a value.
                    let mut message: sys::rd_kafka_message_t = unsafe { mem::zeroed() };
                    message.payload = value.as_ptr().cast_mut().cast();
                    message.len = value.len();
                    message
                })
                .collect();
            while !messages.is_empty() {
                let (count, flags) = (messages.len() as i32, sys::RD_KAFKA_MSG_F_COPY);
                // SAFETY: topic and messages are alive, and the values are copied.
                let queued = unsafe {
                    let first = messages.as_mut_ptr();
                    sys::rd_kafka_produce_batch(self.native, partition as i32, flags, first, count)
                };
                if queued == count {
                    break;
                }
                messages.retain(|message| Code::from(message.err) != Code::NoError);
                if let Some(refused) =
                    messages.iter().find(|message| Code::from(message.err) != Code::QueueFull)
                {
                    bail!("the producer: {}", Code::from(refused.err));
                }
                self.producer.poll(Duration::from_millis(1));
            }
            values.clear();
        }
        Ok(())
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, given back once and before its producer.
        unsafe { sys::rd_kafka_topic_destroy(self.native) };
    }
}
