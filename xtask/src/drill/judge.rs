//! The verifier that shares nothing with the engine: Kafka's own Java consumer reads what a life
//! wrote, and what must stand there is computed from the input alone.
//!
//! - `numbers`: each key's events are numbered 1..n in their order within a partition, each once;
//! - `windows`: each window of a minute with its count and sum;
//! - `all`: every event, once. In = out: the drill job holds nothing back and nothing is late;
//! - no transaction of the job is open;
//! - the newest marker names the newest checkpoint.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xtask::kafka::{Broker, ConsumedRecord, Until};

use crate::demo::compare::sink_lines;

/// How long a topic may take to be read, a few seconds of which are the JVM's.
const READ: Duration = Duration::from_secs(60);
/// The spans of the windows that are judged.
const WINDOW_MS: i64 = 60_000;
const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";

/// A bag.
type Bag<T> = BTreeMap<T, u64>;

/// What must be written.
pub(super) struct Judge {
    /// By key, how many events there are.
    counts: BTreeMap<u64, u64>,
    /// `(key, start of the window, count, sum)`.
    windows: Bag<(u64, i64, u64, u64)>,
    /// `(key, number within its partition)`.
    events: Bag<(u64, u64)>,
}

fn json(record: &ConsumedRecord) -> Result<Value> {
    serde_json::from_str(record.value_text().context("a value that is no text")?)
        .context("a value that is no JSON")
}

fn number(value: &Value, pointer: &str) -> Result<u64> {
    let number = value.pointer(pointer).and_then(Value::as_u64);
    number.with_context(|| format!("`{value}` has no {pointer}"))
}

fn time(value: &Value, pointer: &str) -> Result<i64> {
    let time = value.pointer(pointer).and_then(Value::as_i64);
    time.with_context(|| format!("`{value}` has no {pointer}"))
}

impl Judge {
    /// Reads the input once.
    pub(super) fn of_input(broker: &Broker) -> Result<Judge> {
        let records = broker.consume_committed("drill-in", Until::End, READ)?;
        let events = records.iter().map(json).collect::<Result<Vec<_>>>()?;
        Judge::of(&events)
    }

    fn of(input: &[Value]) -> Result<Judge> {
        let (mut counts, mut events) = (BTreeMap::new(), Bag::new());
        let mut sums: BTreeMap<(u64, i64), (u64, u64)> = BTreeMap::new();
        for event in input {
            let (key, n) = (number(event, "/key")?, number(event, "/n")?);
            *counts.entry(key).or_default() += 1;
            *events.entry((key, n)).or_default() += 1;
            let start = time(event, "/at")?.div_euclid(WINDOW_MS) * WINDOW_MS;
            let (count, sum) = sums.entry((key, start)).or_default();
            (*count, *sum) = (*count + 1, *sum + number(event, "/value")?);
        }
        let window = |((key, start), (count, sum))| ((key, start, count, sum), 1);
        Ok(Judge { counts, windows: sums.into_iter().map(window).collect(), events })
    }

    /// Whether the life in `folder`, whose runs called their job `job`, wrote what it must.
    ///
    /// # Errors
    /// What is wrong, or cannot be known.
    pub(super) fn judge(&self, broker: &Broker, folder: &Path, job: &str) -> Result<()> {
        let read = |topic: &str| {
            let topic = format!("{job}.{topic}");
            let records = broker.consume_committed(&topic, Until::End, READ)?;
            records.iter().map(json).collect::<Result<Vec<_>>>()
        };
        self.numbers(&read("drill-numbers")?).context("numbers")?;
        self.windows(&read("drill-windows")?).context("windows")?;
        let lines = sink_lines(&folder.join("out/all"))?;
        let lines: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
        self.all(&lines).context("all")?;
        closed(broker, job)?;
        marked(broker, folder, job)
    }

    fn numbers(&self, records: &[Value]) -> Result<()> {
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for record in records {
            let (key, is) = (number(record, "/key")?, number(record, "/number")?);
            let last = seen.entry(key).or_default();
            *last += 1;
            ensure!(is == *last, "key {key}: number {is} stands where {last} must");
        }
        same(&self.counts, &seen)
    }

    fn windows(&self, records: &[Value]) -> Result<()> {
        let mut seen = Bag::new();
        for record in records {
            let (key, start) = (number(record, "/key")?, time(record, "/window/start")?);
            let (count, sum) = (number(record, "/value/count")?, number(record, "/value/value")?);
            *seen.entry((key, start, count, sum)).or_default() += 1;
        }
        same(&self.windows, &seen)
    }

    fn all(&self, records: &[Value]) -> Result<()> {
        let mut seen = Bag::new();
        for record in records {
            *seen.entry((number(record, "/key")?, number(record, "/n")?)).or_default() += 1;
        }
        same(&self.events, &seen)
    }
}

/// Whether `seen` has each as often as `expected`.
fn same<K: Ord + std::fmt::Debug>(
    expected: &BTreeMap<K, u64>,
    seen: &BTreeMap<K, u64>,
) -> Result<()> {
    for (key, times) in expected {
        let is = seen.get(key).copied().unwrap_or(0);
        ensure!(is == *times, "{key:?} is there {is} times and must be {times} times");
    }
    let stranger = seen.keys().find(|key| !expected.contains_key(key));
    ensure!(stranger.is_none(), "{stranger:?} must not be there");
    Ok(())
}

/// Whether no transaction of the job is open, as Kafka's own tool tells.
fn closed(broker: &Broker, job: &str) -> Result<()> {
    let mut tool = broker.tool(TRANSACTIONS);
    tool.args(["--bootstrap-server", &broker.address().to_string(), "list"]);
    let said = tool.output().context("Java cannot be started")?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8_lossy(&said.stdout);
    let own = said.lines().filter(|line| line.starts_with(&format!("{job}-")));
    let over = |line: &&str| line.contains("Complete") || line.contains("Empty");
    let open: Vec<&str> = own.clone().filter(|line| !over(line)).collect();
    ensure!(open.is_empty(), "open transactions: {open:?}");
    ensure!(own.count() > 0, "the job has no transactions: {said}");
    Ok(())
}

/// Whether the newest marker names the newest checkpoint that is stored.
fn marked(broker: &Broker, folder: &Path, job: &str) -> Result<()> {
    let markers = broker.consume_committed(&format!("{job}-commit"), Until::End, READ)?;
    let last = markers.iter().max_by_key(|marker| marker.offset).context("no marker")?;
    let marked = number(&json(last)?, "/checkpoint")?;
    // Where another run took over, the newest of the folders is the owner's.
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(folder).context("the life has no folder")? {
        let path = entry?.path();
        let named =
            path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("checkpoints"));
        if named && let Ok(manifests) = std::fs::read_dir(path.join("checkpoints")) {
            let names = manifests.flatten().map(|entry| entry.file_name());
            stored.extend(
                names.filter_map(|name| {
                    name.to_string_lossy().split('.').next()?.parse::<u64>().ok()
                }),
            );
        }
    }
    ensure!(
        stored.iter().max() == Some(&marked),
        "the newest marker names checkpoint {marked}, the newest stored is {:?}",
        stored.iter().max()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge() -> Judge {
        let event = |key: u64, n: u64, at: i64| json!({"key": key, "n": n, "at": at, "value": 5});
        Judge::of(&[event(1, 0, 10), event(1, 1, 59_999), event(2, 2, 60_000)]).expect("events")
    }

    #[test]
    fn running_numbers_are_judged_in_their_order() {
        let of = |pairs: &[(u64, u64)]| {
            let one = |(key, number): &(u64, u64)| json!({"key": key, "number": number});
            judge().numbers(&pairs.iter().map(one).collect::<Vec<_>>()).is_ok()
        };
        assert!(of(&[(2, 1), (1, 1), (1, 2)]));
        assert!(!of(&[(2, 1), (1, 2), (1, 1)]), "out of order");
        assert!(!of(&[(2, 1), (1, 1)]), "one is missing");
        assert!(!of(&[(2, 1), (1, 1), (1, 2), (1, 2)]), "one too many");
    }

    #[test]
    fn windows_and_passed_through_events_are_judged_as_bags() {
        let window = |key: u64, start: i64, count: u64, sum: u64| {
            let value = json!({"count": count, "value": sum});
            json!({"key": key, "window": {"start": start}, "value": value})
        };
        let right = [window(2, 60_000, 1, 5), window(1, 0, 2, 10)];
        assert!(judge().windows(&right).is_ok());
        assert!(judge().windows(&right[..1]).is_err());
        assert!(judge().windows(&[right[0].clone(), window(1, 0, 2, 11)]).is_err());
        let event = |key: u64, n: u64| json!({"key": key, "n": n});
        assert!(judge().all(&[event(1, 1), event(2, 2), event(1, 0)]).is_ok());
        assert!(judge().all(&[event(1, 1), event(2, 2), event(1, 1)]).is_err());
    }
}
