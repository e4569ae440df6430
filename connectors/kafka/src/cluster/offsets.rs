//! From where to where partitions reach, and where they stood at a time: one request to each
//! leader, for all of its partitions.
#![expect(unsafe_code, reason = "one call of librdkafka that takes many partitions at once")]

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use super::{Client, Cluster, ClusterError, Failed, Partition, millis, passes};

/// From where to where a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The first offset that is still there.
    pub low: i64,
    /// One past the last that can be read: the last stable offset, if only committed records are
    /// seen.
    pub end: i64,
}

/// Kafka's names for the two ends, where a timestamp may stand.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

type Listed = Vec<Result<i64, Code>>;

/// The offset of the first record at `when` or later, for each of `partitions`; negative: none.
fn list(
    client: &Client,
    partitions: &[Partition],
    when: i64,
    timeout: Duration,
) -> Result<Listed, Failed> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let offset = match when {
            EARLIEST => Offset::Beginning,
            LATEST => Offset::End,
            when => Offset::Offset(when),
        };
        let added = asked.add_partition_offset(&partition.topic, partition.number, offset);
        added.map_err(super::failed)?;
    }
    // SAFETY: client and list are alive; the call blocks and writes into the list only.
    let error =
        unsafe { sys::rd_kafka_offsets_for_times(client.ptr(), asked.ptr(), millis(timeout)) };
    let error = Code::from(error);
    if error != Code::NoError {
        return Err(error.into());
    }
    let mut listed = Vec::with_capacity(partitions.len());
    for (partition, element) in partitions.iter().zip(asked.elements()) {
        let same = element.topic() == &*partition.topic;
        debug_assert!(same && element.partition() == partition.number, "order is kept");
        let code = element.error().err().and_then(|error| error.rdkafka_error_code());
        match code {
            Some(code) if passes(code) => return Err(code.into()),
            Some(code) => listed.push(Err(code)),
            None => match element.offset().to_raw().unwrap_or(LATEST) {
                // What was asked stands there still: nobody answered for this partition.
                end if end < 0 && when < 0 => return Err(Code::LeaderNotAvailable.into()),
                offset => listed.push(Ok(offset)),
            },
        }
    }
    Ok(listed)
}

impl Cluster {
    /// From where to where each of `partitions` reaches, in their order.
    ///
    /// # Errors
    /// A partition that is not there or may not be read; when nobody answers.
    pub fn reach(&mut self, partitions: &[Partition]) -> Result<Vec<Reach>, ClusterError> {
        let lows = self.listed(partitions, EARLIEST)?;
        let ends = self.listed(partitions, LATEST)?;
        Ok(lows.into_iter().zip(ends).map(|(low, end)| Reach { low, end }).collect())
    }

    /// The offset of the first record of each of `partitions` whose timestamp is `millis` since
    /// 1970 or later; `None` where there is none.
    ///
    /// # Errors
    /// A partition that is not there or may not be read; when nobody answers.
    pub fn offsets_at(
        &mut self,
        partitions: &[Partition],
        millis: i64,
    ) -> Result<Vec<Option<i64>>, ClusterError> {
        let listed = self.listed(partitions, millis.max(0))?;
        Ok(listed.into_iter().map(|offset| (offset >= 0).then_some(offset)).collect())
    }

    fn listed(&mut self, partitions: &[Partition], when: i64) -> Result<Vec<i64>, ClusterError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let asked = "for the offsets of partitions";
        let listed = self.ask(asked, |client, timeout| list(client, partitions, when, timeout))?;
        let one = |(partition, offset): (&Partition, Result<i64, Code>)| {
            offset.map_err(|code| ClusterError::NoOffsets {
                partition: partition.clone(),
                brokers: self.brokers().to_owned(),
                reason: code.to_string(),
            })
        };
        partitions.iter().zip(listed).map(one).collect()
    }
}
