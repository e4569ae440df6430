//! Fetches the records of partitions, from explicit offsets, in batches of one partition each.
//!
//! Driven by a thread of the source's own, in this order: [`Fetcher::open`], [`Fetcher::add`] for
//! some partitions, then [`Fetcher::fetch`] again and again; partitions may come and go meanwhile.
//! Records that are not fetched wait in a queue of librdkafka, bounded in bytes: a caller that
//! stops fetching is the back-pressure, nothing needs to be paused.
//!
//! Invariants: no offset is ever chosen here, a partition whose offset is gone fails; a lost
//! connection is no failure, librdkafka mends it; no group is joined, offsets are committed to one
//! only to be looked at.
#![expect(unsafe_code, reason = "four calls of librdkafka that the safe crate does not lend")]

mod error;
mod messages;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

pub use error::FetchError;
use messages::{Handle, Message};

use crate::cluster::{Client, ClusterError, Isolation, Partition, Queue, passes, text};
use crate::connection::Connection;
use crate::records::Records;

/// Empty batches kept to be filled again.
const SPARE_MAX: usize = 64;
/// The most records of one batch.
const RECORDS_MAX: usize = 1024;
/// The most bytes of one batch, unless a single record is larger.
const BYTES_MAX: usize = 1024 * 1024;

/// How records are fetched.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// The group that offsets are committed to.
    pub group: String,
    /// Which records are seen.
    pub isolation: Isolation,
    /// Bytes of records that wait to be fetched, as they came from the broker; at least one fetch
    /// of a partition is kept whatever this says.
    pub buffer_bytes: u64,
    /// Whether records come with their headers. Without, librdkafka does not parse them,
    /// for which it allocates, also where there are none.
    pub headers: bool,
}

/// The number of a partition within its fetcher, in the order they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionIndex(pub usize);

/// What one call of [`Fetcher::fetch`] brought.
#[derive(Debug)]
pub enum Fetched {
    /// Records of one partition, in order.
    Records {
        /// Which.
        partition: PartitionIndex,
        /// The records, to be given to [`Fetcher::recycle`].
        records: Records,
        /// One past the last record written to the partition, as far as is known, committed or
        /// not.
        high: i64,
    },
    /// All that can be read now was read: everything before `offset`.
    End {
        /// Of which partition.
        partition: PartitionIndex,
        /// Where it ends; transaction markers and aborted records may lie right before.
        offset: i64,
        /// As with records: when it is more than `offset`, a transaction is open there.
        high: i64,
    },
    /// A partition cannot be read on.
    Failed(FetchError),
}

/// One consumer of librdkafka.
pub struct Fetcher {
    // Before the client: given back first.
    queue: Queue,
    client: Client,
    partitions: Vec<Fetching>,
    known: BTreeMap<Handle, PartitionIndex>,
    messages: Vec<Message>,
    spare: Vec<Records>,
    headers: bool,
    cut_off: bool,
}

struct Fetching {
    partition: Partition,
    topic: CString,
    asked: i64,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("partitions", &self.partitions.len())
            .finish_non_exhaustive()
    }
}

impl Fetcher {
    /// A consumer without partitions. No broker is asked yet.
    ///
    /// # Errors
    /// Settings that make no client.
    pub fn open(connection: &Connection, settings: &FetchSettings) -> Result<Self, ClusterError> {
        let kilobytes = (settings.buffer_bytes / 1024).clamp(1, 2_097_151);
        let response = settings.buffer_bytes.clamp(2_000_000, 50_000_000);
        let ours = [
            settings.isolation.property(),
            ("enable.partition.eof", "true".to_owned()),
            ("auto.offset.reset", "error".to_owned()),
            ("enable.auto.commit", "false".to_owned()),
            ("enable.auto.offset.store", "false".to_owned()),
            ("group.protocol", "classic".to_owned()),
        ];
        let usual = [
            ("group.id", settings.group.clone()),
            ("check.crcs", "true".to_owned()),
            // The default of 1000 makes a fetcher sleep for a second whenever its queue is full.
            ("fetch.queue.backoff.ms", "2".to_owned()),
            // As long a broker waits before it says that there is nothing more.
            ("fetch.wait.max.ms", "100".to_owned()),
            ("queued.min.messages", "10000".to_owned()),
            ("queued.max.messages.kbytes", kilobytes.to_string()),
            ("fetch.max.bytes", response.to_string()),
        ];
        let client = Client::new(connection, &ours, &usual)?;
        // SAFETY: the client is alive, of the consuming kind, has a group, and is dropped after
        // the queue.
        let queue = unsafe { Queue::own(sys::rd_kafka_queue_get_consumer(client.ptr())) };
        Ok(Fetcher {
            queue,
            client,
            partitions: Vec::new(),
            known: BTreeMap::new(),
            messages: Vec::new(),
            spare: Vec::new(),
            headers: settings.headers,
            cut_off: false,
        })
    }

    /// Fetches `added` too, each from its offset. They get the next numbers.
    ///
    /// # Errors
    /// When librdkafka refuses: a negative offset, a partition that is fetched already.
    pub fn add(&mut self, added: Vec<(Partition, i64)>) -> Result<(), FetchError> {
        let mut list = TopicPartitionList::with_capacity(added.len());
        for (partition, offset) in added {
            let name = CString::new(&*partition.topic);
            let topic = name.map_err(|_| self.broken("a topic's name holds a zero byte"))?;
            list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset))
                .map_err(|error| self.broken(&format!("{partition} from {offset}: {error}")))?;
            self.partitions.push(Fetching { partition, topic, asked: offset });
        }
        // SAFETY: client and list are alive; the list is copied.
        self.checked(unsafe { sys::rd_kafka_incremental_assign(self.client.ptr(), list.ptr()) })
    }

    /// Fetches this partition no more. What was fetched of it and is under way may still come.
    ///
    /// # Errors
    /// When librdkafka refuses.
    pub fn remove(&mut self, partition: PartitionIndex) -> Result<(), FetchError> {
        let Some(Fetching { partition, .. }) = self.partitions.get(partition.0) else {
            return Ok(());
        };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&partition.topic, partition.number);
        // SAFETY: client and list are alive; the list is copied.
        self.checked(unsafe { sys::rd_kafka_incremental_unassign(self.client.ptr(), list.ptr()) })
    }

    fn checked(&self, error: *mut sys::rd_kafka_error_t) -> Result<(), FetchError> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is ours, and given back after its text was copied.
        let reason = unsafe {
            let reason = text(sys::rd_kafka_error_string(error));
            sys::rd_kafka_error_destroy(error);
            reason
        };
        Err(self.broken(&reason))
    }

    fn broken(&self, reason: &str) -> FetchError {
        let brokers = self.client.brokers().to_owned();
        FetchError::Client { brokers, reason: reason.to_owned() }
    }

    /// Appends what there is to `out`, in order; waits for the first of it, at most `timeout`.
    ///
    /// # Errors
    /// When the client as a whole can do nothing any more.
    pub fn fetch(&mut self, timeout: Duration, out: &mut Vec<Fetched>) -> Result<(), FetchError> {
        let mut messages = std::mem::take(&mut self.messages);
        messages::take(&self.queue, timeout, &mut messages);
        let mut run: Option<(Handle, PartitionIndex, Records)> = None;
        for message in messages.drain(..) {
            let handle = message.handle();
            if let Some(code) = message.error() {
                self.close(run.take(), out);
                self.event(code, &message, out);
                continue;
            }
            let fits =
                |records: &Records| records.len() < RECORDS_MAX && records.size_bytes() < BYTES_MAX;
            if !matches!(&run, Some((of, _, records)) if *of == handle && fits(records)) {
                self.close(run.take(), out);
                let Some(index) = self.index(&message) else { continue };
                run = Some((handle, index, self.spare.pop().unwrap_or_default()));
            }
            if let Some((_, _, records)) = &mut run {
                message.copy_into(records, self.headers);
            }
        }
        self.close(run, out);
        self.messages = messages;
        self.client.serve(Duration::ZERO);
        match self.client.trouble() {
            Some((Code::Fatal, reason)) => Err(self.broken(&reason)),
            Some((code, reason)) => {
                self.told(code, &reason);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn close(&mut self, run: Option<(Handle, PartitionIndex, Records)>, out: &mut Vec<Fetched>) {
        if let Some((_, partition, records)) = run {
            self.heard();
            out.push(Fetched::Records { partition, records, high: self.high(partition) });
        }
    }

    /// The partition of a record.
    fn index(&mut self, message: &Message) -> Option<PartitionIndex> {
        if let Some(index) = self.known.get(&message.handle()) {
            return Some(*index);
        }
        let index = self.named(message)?;
        self.known.insert(message.handle(), index);
        Some(index)
    }

    fn named(&self, message: &Message) -> Option<PartitionIndex> {
        let (topic, number) = message.partition()?;
        // The last of several: a partition may have been removed and added again.
        let same = |fetching: &Fetching| {
            *fetching.partition.topic == *topic && fetching.partition.number == number
        };
        self.partitions.iter().rposition(same).map(PartitionIndex)
    }

    fn event(&mut self, code: Code, message: &Message, out: &mut Vec<Fetched>) {
        // By name: the handle of an error may be gone with it.
        let index = self.named(message);
        match (code, index) {
            (Code::PartitionEOF, Some(partition)) => {
                self.heard();
                let (offset, high) = (message.offset(), self.high(partition));
                out.push(Fetched::End { partition, offset, high });
            }
            (code, Some(index)) if !passes(code) && code != Code::PartitionEOF => {
                let fetching = &self.partitions[index.0];
                let offset = match message.offset() {
                    offset if offset >= 0 => offset,
                    _ => fetching.asked,
                };
                let partition = fetching.partition.clone();
                let error = FetchError::of(partition, code, offset, message.reason());
                out.push(Fetched::Failed(error));
            }
            // Only looking at a group's offsets needs that right.
            (Code::GroupAuthorizationFailed, _) => {
                tracing::debug!(reason = message.reason(), "offsets are not shown to the group");
            }
            (code, _) => self.told(code, &message.reason()),
        }
    }

    fn high(&self, partition: PartitionIndex) -> i64 {
        let Some(Fetching { partition, topic, .. }) = self.partitions.get(partition.0) else {
            return 0;
        };
        let (mut low, mut high) = (0, 0);
        // SAFETY: client and name are alive; only the two numbers are written.
        unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.client.ptr(),
                topic.as_ptr(),
                partition.number,
                &mut low,
                &mut high,
            );
        }
        high.max(0)
    }

    /// Brokers answer.
    fn heard(&mut self) {
        if std::mem::take(&mut self.cut_off) {
            tracing::info!(brokers = self.client.brokers(), "Kafka answers again");
        }
    }

    /// Brokers do not; librdkafka goes on trying. Told once.
    fn told(&mut self, code: Code, reason: &str) {
        let brokers = self.client.brokers();
        let lost = matches!(code, Code::AllBrokersDown | Code::Authentication | Code::SSL);
        if lost && !self.cut_off {
            self.cut_off = true;
            tracing::warn!(brokers, reason, "Kafka does not answer; nothing is read until it does");
        } else {
            tracing::debug!(brokers, %code, reason, "trouble with Kafka");
        }
    }

    /// Takes back a batch, to be filled again.
    pub fn recycle(&mut self, mut records: Records) {
        if self.spare.len() < SPARE_MAX {
            records.clear();
            self.spare.push(records);
        }
    }

    /// Commits offsets to the group, for whoever looks at it. Neither waits nor fails: nothing
    /// rests on it.
    pub fn commit(&self, offsets: &[(PartitionIndex, i64)]) {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (index, offset) in offsets {
            let Some(Fetching { partition, .. }) = self.partitions.get(index.0) else { continue };
            let offset = Offset::Offset(*offset);
            if list.add_partition_offset(&partition.topic, partition.number, offset).is_err() {
                return;
            }
        }
        // SAFETY: client and list are alive; the list is copied.
        let error = unsafe { sys::rd_kafka_commit(self.client.ptr(), list.ptr(), 1) };
        let code = Code::from(error);
        if code != Code::NoError {
            tracing::debug!(%code, "offsets are not shown to the group");
        }
    }
}

#[cfg(test)]
mod tests;
