//! The marker: the last record of every transaction, naming the checkpoint it belongs to.
//!
//! Kafka commits marker and output together, so the newest committed marker says which checkpoint
//! holds. It lies in the topic `<job>-commit`: one partition, compacted, key = slot. Value: JSON,
//! so that a person with a console can read it; `version` 1 as below.

use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName};
use riverrun_engine::planted;
use riverrun_kafka::marker::Last;
use riverrun_kafka::records::{Place, Records};
use serde::{Deserialize, Serialize};

use super::gateway::Slot;

const VERSION: u32 = 1;

/// What one says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    version: u32,
    /// The checkpoint whose output is committed with it; 0: none yet.
    checkpoint: u64,
    /// The attempt that wrote the checkpoint.
    snapshot: String,
    /// The attempt that wrote the marker.
    pub(super) attempt: String,
}

/// The topic of a job's markers.
pub(super) fn topic(job: &str) -> String {
    format!("{job}-commit")
}

impl Marker {
    /// That `of` is committed, said by `attempt`; `None`: nothing is yet.
    pub(super) fn new(of: Option<&CheckpointName>, attempt: &str) -> Self {
        Marker {
            version: VERSION,
            checkpoint: of.map_or(0, |name| name.checkpoint.0),
            snapshot: of.map_or_else(String::new, |name| name.attempt.clone()),
            attempt: attempt.to_owned(),
        }
    }

    /// The checkpoint that is committed.
    pub(super) fn name(&self) -> CheckpointName {
        let (checkpoint, attempt) = (CheckpointId(self.checkpoint), self.snapshot.clone());
        CheckpointName { checkpoint, attempt }
    }

    /// As a record of `slot`.
    pub(super) fn record(&self, slot: Slot) -> Result<Records> {
        let mut records = Records::new();
        let place = Place { offset: 0, timestamp: None, partition: Some(0) };
        let (key, value) = (slot.0.to_string(), serde_json::to_vec(self)?);
        records.push(place, Some(key.as_bytes()), Some(&value), []);
        Ok(records)
    }

    /// The newest of what was read, which rises by offset: in the order of the commits, since the
    /// marker of the next transaction is sent only after the flush of the one before.
    ///
    /// # Errors
    /// A record that is no marker: the topic is not this job's alone.
    pub(super) fn newest(topic: &str, read: &[Last]) -> Result<Option<Self>> {
        let last = if planted!("kafka.marker.oldest") { read.first() } else { read.last() };
        let Some(last) = last else { return Ok(None) };
        let marker: Marker = serde_json::from_slice(&last.value).map_err(|error| {
            let text = String::from_utf8_lossy(&last.value[..last.value.len().min(200)]);
            anyhow::anyhow!(
                "RR0752: the record at offset {} of the marker topic '{topic}' is no marker \
                 ({error}): {text}. The topic is this job's alone; nothing was started, since what \
                 is committed cannot be known",
                last.offset
            )
        })?;
        anyhow::ensure!(
            marker.version == VERSION,
            "RR0753: the marker topic '{topic}' was written by a newer version of the engine \
             (format {}, this one reads {VERSION}): start the job with that version",
            marker.version
        );
        Ok(Some(marker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_by_offset_holds_and_strangers_are_named() {
        let name = CheckpointName { checkpoint: CheckpointId(7), attempt: "a-1".to_owned() };
        let marker = Marker::new(Some(&name), "b-1");
        let value = |marker: &Marker| {
            let records = marker.record(Slot(1)).expect("encodes");
            let record = records.get(0).expect("one");
            assert_eq!(record.key(), Some(&b"1"[..]));
            record.value().expect("has a value").to_vec()
        };
        let older = Last { offset: 3, value: value(&Marker::new(None, "a-1")) };
        let newer = Last { offset: 9, value: value(&marker) };
        let read = [older, newer];
        let newest = Marker::newest("t", &read).expect("reads").expect("there");
        assert_eq!((newest.name(), newest), (name, marker));
        assert_eq!(Marker::newest("t", &[]).expect("reads"), None);
        let stranger = [Last { offset: 4, value: b"hello".to_vec() }];
        let error = Marker::newest("t", &stranger).expect_err("no marker").to_string();
        assert!(error.contains("offset 4") && error.contains("hello"), "{error}");
        let newer = [Last { offset: 4, value: value(&Marker { version: 2, ..read_one(&read) }) }];
        let error = Marker::newest("t", &newer).expect_err("newer").to_string();
        assert!(error.contains("RR0753"), "{error}");
    }

    fn read_one(read: &[Last]) -> Marker {
        Marker::newest("t", read).expect("reads").expect("there")
    }
}
