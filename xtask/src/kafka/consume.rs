//! Reading a topic with Kafka's console consumer, as `read_committed` shows it.
//!
//! 1. The offsets up to which transactions are decided are asked for: that is the end, for now.
//! 2. The consumer prints each record between marks that no test writes, and says to its group
//!    how far it has come: beyond the records it printed, also past aborted ones.
//! 3. Once the group has reached the end, or enough records came, the consumer is ended.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::Signal;

use super::node::Node;
use super::process::{self, Deadline};
use super::record::{self, ConsumedRecord, RECORD};
use super::show::CONSUMER;
use super::wire::{At, Topic, Wire};

/// How many records lie between the consumer and us.
const WAITING: usize = 1_024;

/// How often the group is asked how far it has come.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long the consumer may take to end when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Up to where a topic is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This many records.
    Count(usize),
    /// All records of transactions that are decided at the time of the call, in every partition.
    End,
}

/// Reads the topic from its beginning, for at most `limit`.
pub(crate) fn committed(
    node: &Node,
    topic: &str,
    until: Until,
    limit: Duration,
) -> Result<Vec<ConsumedRecord>> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let group = format!("riverrun-xtask-{}-{call}", std::process::id());
    let mut wire = Wire::connect(node.address()?)?;
    let known = wire.topic(topic)?.with_context(|| format!("there is no topic `{topic}`"))?;
    let end = match until {
        Until::Count(_) => None,
        Until::End => Some(End::of(&mut wire, known, group.clone())?),
    };
    if until == Until::Count(0) || end.as_ref().is_some_and(End::is_empty) {
        return Ok(Vec::new());
    }
    let scratch = tempfile::NamedTempFile::new_in(node.folder()).context("no file for a log")?;
    let errors = scratch.reopen().context("the tool's log cannot be opened twice")?;
    let mut tool = tool(node, topic, &group)?.stderr(errors).spawn();
    let tool = tool.as_mut().map_err(|error| anyhow!("Java cannot be started: {error}"))?;
    let read = read(tool, &mut wire, until, end.as_ref(), Deadline::after(limit));
    process::kill(tool);
    read.with_context(|| {
        let said = process::tail(scratch.path(), 0);
        format!(
            "topic `{topic}` is not read as far as {until:?}; the console consumer said:\n{said}"
        )
    })
}

/// The console consumer, printing every part of each record.
fn tool(node: &Node, topic: &str, group: &str) -> Result<Command> {
    let mut tool = node.kafka().tool(node.folder(), CONSUMER);
    tool.args(["--bootstrap-server", &node.address()?.to_string(), "--topic", topic]);
    tool.args(["--group", group, "--from-beginning", "--isolation-level", "read_committed"]);
    for property in ["enable.auto.commit=true", "auto.commit.interval.ms=100"] {
        tool.args(["--consumer-property", property]);
    }
    record::print(&mut tool);
    tool.stdout(Stdio::piped());
    Ok(tool)
}

/// Takes the consumer's records until it has come far enough, and ends it.
fn read(
    tool: &mut Child,
    wire: &mut Wire,
    until: Until,
    end: Option<&End>,
    deadline: Deadline,
) -> Result<Vec<ConsumedRecord>> {
    let output = tool.stdout.take().context("the consumer has no standard output")?;
    let (to, records) = sync_channel(WAITING);
    // It ends with the consumer's output, which ends with the consumer, or when nobody receives.
    std::thread::spawn(move || split(output, &to));
    let mut read = Vec::new();
    let mut asked = Instant::now();
    loop {
        if until == Until::Count(read.len()) {
            return Ok(read);
        }
        match records.recv_timeout(process::LOOK_EVERY) {
            Ok(record) => read.push(record?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let status = process::end_of(tool, STOP_LIMIT, "the console consumer")?;
                return Err(anyhow!("the consumer ended by itself ({status})"));
            }
        }
        if let Some(end) = end
            && asked.elapsed() > ASK_EVERY
        {
            if end.is_reached(wire)? {
                break;
            }
            asked = Instant::now();
        }
        deadline.check(&format!("more than {} of the topic's records", read.len()))?;
    }
    process::signal(tool.id(), Signal::TERM)?;
    let stopped = Deadline::after(STOP_LIMIT);
    loop {
        match records.recv_timeout(process::LOOK_EVERY) {
            Ok(record) => read.push(record?),
            Err(RecvTimeoutError::Timeout) => stopped.check("the console consumer to end")?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    read.retain(|record| end.is_none_or(|end| end.is_before(record)));
    Ok(read)
}

/// What the thread that reads the consumer's output sends.
type Sent = Result<ConsumedRecord>;

/// Sends every record of the consumer's output.
fn split(output: ChildStdout, to: &SyncSender<Sent>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        match output.read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(_) if !bytes.ends_with(RECORD.as_bytes()) => {} // a line's end within a record
            Ok(_) => {
                let record = record::parse(&bytes[..bytes.len() - RECORD.len()]);
                bytes.clear();
                if to.send(record).is_err() {
                    return;
                }
            }
            Err(error) => {
                // Nobody receiving is as good as being heard.
                let _ = to.send(Err(error).context("the consumer's output cannot be read"));
                return;
            }
        }
    }
}

/// Where a reading ends: in each partition the first offset not to be read.
struct End {
    topic: Topic,
    group: String,
    start: Vec<i64>,
    end: Vec<i64>,
}

impl End {
    fn of(wire: &mut Wire, topic: Topic, group: String) -> Result<Self> {
        let start = wire.offsets(&topic, At::Start)?;
        let end = wire.offsets(&topic, At::Stable)?;
        Ok(End { topic, group, start, end })
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the group has come there in all partitions that hold anything.
    fn is_reached(&self, wire: &mut Wire) -> Result<bool> {
        let stands = wire.committed(&self.group, &self.topic)?;
        let mut partitions = self.start.iter().zip(&self.end).zip(&stands);
        Ok(partitions.all(|((start, end), stands)| start == end || stands >= end))
    }

    /// Whether it is no later record, which a consumer that runs on may have printed too.
    fn is_before(&self, record: &ConsumedRecord) -> bool {
        let partition = usize::try_from(record.partition).ok();
        partition.and_then(|p| self.end.get(p)).is_some_and(|end| record.offset < *end)
    }
}
