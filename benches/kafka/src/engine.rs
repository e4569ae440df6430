//! The work as a job: an ordinary job binary, with durable state and exactly-once output.

use std::process::ExitCode;

use riverrun::connectors::kafka::format::{Decode, Encode};
use riverrun::connectors::kafka::{End, Kafka};
use riverrun::prelude::*;

use crate::JOB;
use crate::event::{decode, encode, event, partition_of, parts};
use crate::expected::{WINDOW_MS, Work};
use crate::work::Event;

/// What the bench sets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    brokers: String,
    work: String,
    input: String,
    output: String,
    /// Ends with the records that are there.
    to_end: bool,
}

/// Events as they lie in Kafka.
#[derive(Clone, Copy)]
struct Raw;

impl Decode for Raw {
    type Item = Event;
    fn decode(&self, value: &[u8]) -> Result<Event> {
        let refuse = || anyhow::anyhow!("a value of {} bytes instead of 24", value.len());
        Ok(event(decode(value).ok_or_else(refuse)?))
    }
}

impl Encode<[u64; 3]> for Raw {
    fn encode(&self, item: &[u64; 3], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&encode(*item));
        Ok(())
    }
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count(u64);

impl Aggregate<Event> for Count {
    fn add(&mut self, _: &Event) {
        self.0 += 1;
    }
    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// Runs the job as the command line says.
pub(crate) fn main() -> ExitCode {
    riverrun::main(&std::env::var(JOB).unwrap_or_else(|_| "bench-kafka".to_owned()), pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let settings: Settings = job.settings()?;
    // As the bare loop does: 24 bytes of chance are not made smaller.
    let kafka = Kafka::brokers(&settings.brokers).property("compression.type", "none");
    let end = if settings.to_end { End::Latest } else { End::Never };
    let source = kafka.read(settings.input.as_str(), Raw).until(end);
    // The bare loop's records bear the time of sending too.
    let out = kafka.write(&settings.output, Raw).timestamp_of_sending();
    let out = out.partition(|[key, ..]| Some(partition_of(*key)));
    match Work::named(&settings.work)? {
        Work::Copy => {
            let events = job.source("events", source);
            events.map(|event| parts(&event)).sink("out", out);
        }
        Work::Running => {
            let add = |sum: &mut u64, event: Event| {
                *sum = sum.wrapping_add(event.price);
                [event.key, event.at as u64, *sum]
            };
            let events = job.source("events", source);
            events.key_by(|event| event.key).scan("sum", add).sink("out", out);
        }
        Work::Tumbling => {
            let clock = |event: &Event| Timestamp::from_millis(event.at);
            let events = job.source("events", source.event_time(clock, Watermarks::monotonic()));
            let length = millis(WINDOW_MS.unsigned_abs());
            let windows = events.key_by(|event| event.key).window(Tumbling::of(length));
            windows
                .aggregate::<Count>("count")
                .map(|w| [w.key, w.window.start.as_millis() as u64, w.value.0])
                .sink("out", out);
        }
    }
    Ok(())
}
