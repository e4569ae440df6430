//! A few questions to a broker in Kafka's own protocol, written by hand: is it ready, its topics,
//! how far they can be read, how far a group has. A JVM takes a second for each of them.
//!
//! Each uses an old version of its request that 3.9 and 4.x both answer, the last without tagged
//! fields. One connection, one question at a time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::bytes::{Answer, array, int16, int32, string};
use super::process::Deadline;

/// How long a connection, and then an answer, may take. The broker gets less for its own work.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const ANSWER_LIMIT: Duration = Duration::from_secs(35);
const WORK_LIMIT_MS: i32 = 30_000;

/// How long topics that were made or deleted may take to be known as such.
const SPREAD_LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// A topic as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// How many of them have a leader, and so can be read and written.
    pub(crate) led: usize,
}

/// A topic to be made: its name, the number of its partitions, its configuration.
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    pub(crate) partitions: u32,
    pub(crate) config: &'a [(&'a str, &'a str)],
}

/// A moment of a partition's log, as the broker is asked for it.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// The first offset that can be read.
    Start = -2,
    /// The offset up to which transactions are decided: the last stable offset.
    Stable = -1,
}

/// A connection to a broker.
pub(crate) struct Wire {
    stream: TcpStream,
    asked: i32,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)
            .with_context(|| format!("no broker at {address}"))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).context("the socket has no timeout")?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).context("the socket has no timeout")?;
        Ok(Wire { stream, asked: 0 })
    }

    /// Whether the broker serves, and leads all partitions it has. An error: it does not answer.
    pub(crate) fn is_ready(&mut self) -> Result<bool> {
        let mut versions = self.ask(18, 0, &[])?;
        if versions.int16()? != 0 {
            return Ok(false);
        }
        let (brokers, topics) = self.metadata()?;
        Ok(brokers > 0 && topics.iter().all(|topic| topic.led == topic.partitions))
    }

    /// All topics, Kafka's own too.
    pub(crate) fn topics(&mut self) -> Result<Vec<Topic>> {
        Ok(self.metadata()?.1)
    }

    /// The topic `name`, if there is one.
    pub(crate) fn topic(&mut self, name: &str) -> Result<Option<Topic>> {
        Ok(self.topics()?.into_iter().find(|topic| topic.name == name))
    }

    /// Makes topics, and waits until each of their partitions can be written.
    pub(crate) fn create(&mut self, topics: &[NewTopic<'_>]) -> Result<()> {
        let mut body = Vec::new();
        array(&mut body, topics, |body, topic| {
            string(body, topic.name);
            int32(body, i32::try_from(topic.partitions).unwrap_or(i32::MAX));
            int16(body, 1); // replicas
            int32(body, 0); // no assignment: the broker's choice
            array(body, topic.config, |body, (key, value)| {
                string(body, key);
                string(body, value);
            });
        });
        int32(&mut body, WORK_LIMIT_MS);
        body.push(0); // not only to validate
        let mut answer = self.ask(19, 2, &body)?;
        answer.int32()?; // throttled for, in ms
        for _ in 0..answer.count()? {
            let (name, code, message) = (answer.string()?, answer.int16()?, answer.text()?);
            let message = message.unwrap_or_default();
            ensure!(code == 0, "topic `{name}` is not made: {} {message}", meaning(code));
        }
        let deadline = Deadline::after(SPREAD_LIMIT);
        loop {
            let known = self.topics()?;
            let led = |new: &NewTopic<'_>| {
                known.iter().any(|t| t.name == new.name && t.led == t.partitions)
            };
            match topics.iter().find(|topic| !led(topic)) {
                None => return Ok(()),
                Some(topic) => deadline.wait(&format!("topic `{}` to have leaders", topic.name))?,
            }
        }
    }

    /// Deletes a topic, and waits until the broker does not know it any more.
    pub(crate) fn delete(&mut self, name: &str) -> Result<()> {
        let mut body = Vec::new();
        array(&mut body, &[name], |body, name| string(body, name));
        int32(&mut body, WORK_LIMIT_MS);
        let mut answer = self.ask(20, 1, &body)?;
        answer.int32()?; // throttled for, in ms
        for _ in 0..answer.count()? {
            let (name, code) = (answer.string()?, answer.int16()?);
            ensure!(code == 0, "topic `{name}` is not deleted: {}", meaning(code));
        }
        let deadline = Deadline::after(SPREAD_LIMIT);
        while self.topic(name)?.is_some() {
            deadline.wait(&format!("topic `{name}` to be gone"))?;
        }
        Ok(())
    }

    /// For each partition of `topic`, in order, the offset at that moment of its log.
    pub(crate) fn offsets(&mut self, topic: &Topic, at: At) -> Result<Vec<i64>> {
        let mut body = Vec::new();
        int32(&mut body, -1); // no replica asks
        body.push(1); // read_committed
        array(&mut body, &[topic], |body, topic| {
            string(body, &topic.name);
            array(body, &indices(topic), |body, index| {
                int32(body, *index);
                body.extend((at as i64).to_be_bytes());
            });
        });
        let mut answer = self.ask(2, 2, &body)?;
        answer.int32()?; // throttled for, in ms
        let mut offsets = vec![0; topic.partitions];
        for _ in 0..answer.count()? {
            answer.string()?;
            for _ in 0..answer.count()? {
                let (index, code) = (answer.int32()?, answer.int16()?);
                answer.int64()?; // its timestamp
                let offset = answer.int64()?;
                ensure!(code == 0, "no offsets of `{}` {index}: {}", topic.name, meaning(code));
                place(&mut offsets, index, offset)?;
            }
        }
        Ok(offsets)
    }

    /// For each partition of `topic`, in order, where the consumer group stands; -1: nowhere yet.
    pub(crate) fn committed(&mut self, group: &str, topic: &Topic) -> Result<Vec<i64>> {
        let mut body = Vec::new();
        string(&mut body, group);
        array(&mut body, &[topic], |body, topic| {
            string(body, &topic.name);
            array(body, &indices(topic), |body, index| int32(body, *index));
        });
        let mut answer = self.ask(9, 2, &body)?;
        let mut offsets = vec![-1; topic.partitions];
        for _ in 0..answer.count()? {
            answer.string()?;
            for _ in 0..answer.count()? {
                let (index, offset) = (answer.int32()?, answer.int64()?);
                answer.text()?; // what was written beside it
                // A group that is being loaded, or is not there yet, stands nowhere.
                if answer.int16()? == 0 {
                    place(&mut offsets, index, offset)?;
                }
            }
        }
        Ok(offsets)
    }

    /// How many brokers serve, and all topics.
    fn metadata(&mut self) -> Result<(usize, Vec<Topic>)> {
        let mut body = Vec::new();
        int32(&mut body, -1); // all topics
        body.push(0); // and none is to be made
        let mut answer = self.ask(3, 4, &body)?;
        answer.int32()?; // throttled for, in ms
        let brokers = answer.count()?;
        for _ in 0..brokers {
            answer.int32()?;
            answer.string()?; // host
            answer.int32()?; // port
            answer.text()?; // rack
        }
        answer.text()?; // the cluster's id
        answer.int32()?; // its controller
        let mut topics = Vec::new();
        for _ in 0..answer.count()? {
            answer.int16()?; // says no more than the partitions do
            let name = answer.string()?;
            answer.bytes(1)?; // whether it is Kafka's own
            let partitions = answer.count()?;
            let mut led = 0;
            for _ in 0..partitions {
                answer.int16()?;
                answer.int32()?; // its number
                led += usize::from(answer.int32()? >= 0);
                answer.numbers()?; // replicas
                answer.numbers()?; // those in sync
            }
            topics.push(Topic { name, partitions, led });
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok((brokers, topics))
    }

    /// Sends a request and reads its answer.
    fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Result<Answer> {
        self.asked += 1;
        let mut request = Vec::new();
        int16(&mut request, api);
        int16(&mut request, version);
        int32(&mut request, self.asked);
        string(&mut request, "riverrun-xtask");
        request.extend(body);
        let length = u32::try_from(request.len()).context("a request of 4 GiB")?;
        let mut exchange = || -> std::io::Result<Vec<u8>> {
            self.stream.write_all(&length.to_be_bytes())?;
            self.stream.write_all(&request)?;
            let mut length = [0; 4];
            self.stream.read_exact(&mut length)?;
            let length = u32::from_be_bytes(length) as usize;
            if length > LONGEST_ANSWER {
                return Err(std::io::Error::other(format!("an answer of {length} bytes")));
            }
            let mut answer = vec![0; length];
            self.stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        let bytes = exchange().context("the broker does not answer as Kafka does")?;
        let mut answer = Answer::new(bytes);
        let to = answer.int32()?;
        ensure!(to == self.asked, "the broker answered question {to}, not {}", self.asked);
        Ok(answer)
    }
}

/// The numbers of a topic's partitions.
fn indices(topic: &Topic) -> Vec<i32> {
    (0..i32::try_from(topic.partitions).unwrap_or(i32::MAX)).collect()
}

fn place(offsets: &mut [i64], index: i32, offset: i64) -> Result<()> {
    let slot = usize::try_from(index).ok().and_then(|index| offsets.get_mut(index));
    *slot.with_context(|| format!("the broker answers for partition {index}"))? = offset;
    Ok(())
}

/// What an error code means, for those that a developer meets.
fn meaning(code: i16) -> String {
    let name = match code {
        3 => "there is no such topic",
        7 => "the broker took too long",
        17 => "that is no name for a topic",
        36 => "it exists already",
        37 => "that is no number of partitions",
        38 => "there are not enough brokers",
        40 => "its configuration is wrong",
        41 => "the broker has no controller yet",
        _ => "",
    };
    format!("{name} (Kafka's error {code})")
}
