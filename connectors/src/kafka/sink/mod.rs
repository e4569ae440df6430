//! Kafka as a sink. A record's way: [`writer`] encodes it and hands it to the transaction that is
//! open for it; [`gateway`] cuts at barriers, for all sinks of the attempt at once; [`participant`]
//! commits and recovers. [`marker`], [`slots`] and [`memory`] are what they stand on.

mod gateway;
mod marker;
pub(super) mod memory;
mod outside;
mod participant;
mod registry;
mod slots;
mod stage;
mod writer;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::outside::{About, Outside};
use riverrun_engine::rehearsal::Stage;
use riverrun_engine::sink::{Participant, Rehearsal, Sink};
use riverrun_engine::time::Timestamp;
use riverrun_kafka::send::Producer;

use self::gateway::Gateway;
use self::outside::SinkOutside;
use self::participant::KafkaParticipant;
use self::stage::{KafkaStage, scratch_topic};
pub use self::writer::KafkaWriter;
use self::writer::Route;
use super::Kafka;
use super::format::Encode;

/// Headers of a record: names, which may repeat, and values, which may be absent.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

type ByRecord<T, R> = Box<dyn Fn(&T) -> R + Send + Sync>;
type Append<T> = Box<dyn Fn(&T, &mut Vec<u8>) + Send + Sync>;

/// How records find their topic.
enum TopicOf<T> {
    One(Arc<str>),
    ByRecord(ByRecord<T, Cow<'static, str>>),
}

/// What becomes the timestamp of a record.
enum Stamp<T> {
    /// Its event time.
    EventTime,
    /// The time of sending.
    Sending,
    /// What is made of it.
    ByRecord(ByRecord<T, Timestamp>),
}

/// The shape of a record in Kafka.
struct Inner<T, E> {
    topic: TopicOf<T>,
    encode: E,
    key: Option<Append<T>>,
    partition: Option<ByRecord<T, Option<i32>>>,
    headers: Option<ByRecord<T, Headers>>,
    timestamp: Stamp<T>,
    tombstone: Option<ByRecord<T, bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guarantee {
    ExactlyOnce,
    AtLeastOnce,
}

/// Writes to Kafka, exactly once unless told otherwise: all Kafka sinks of a job share one
/// transaction, which becomes visible to readers with `isolation.level=read_committed` when its
/// checkpoint is committed.
///
/// A record's timestamp is its event time; without one, the time of sending. Keyed records go to
/// the partition that Java's clients would choose (murmur2), others to any.
pub struct KafkaSink<T, E> {
    cluster: Kafka,
    /// Shared with the writers, and only with them: while the sink is being described it is alone.
    inner: Arc<Inner<T, E>>,
    guarantee: Guarantee,
    timeout: Option<Duration>,
}

impl<T, E> fmt::Debug for KafkaSink<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaSink({:?}, {:?})", self.cluster.connection, self.guarantee)
    }
}

impl<T: Data, E: Encode<T>> KafkaSink<T, E> {
    pub(super) fn new(cluster: Kafka, topic: &str, encode: E) -> Self {
        let inner = Inner {
            topic: TopicOf::One(topic.into()),
            encode,
            key: None,
            partition: None,
            headers: None,
            timestamp: Stamp::EventTime,
            tombstone: None,
        };
        let (inner, guarantee, timeout) = (Arc::new(inner), Guarantee::ExactlyOnce, None);
        KafkaSink { cluster, inner, guarantee, timeout }
    }

    fn set(mut self, change: impl FnOnce(&mut Inner<T, E>)) -> Self {
        change(Arc::get_mut(&mut self.inner).expect("no writer was opened yet"));
        self
    }

    /// Chooses the topic of each record, instead of the one given first.
    #[must_use]
    pub fn topic_by<N: Into<Cow<'static, str>>>(
        self,
        topic: impl Fn(&T) -> N + Send + Sync + 'static,
    ) -> Self {
        let topic = move |item: &T| topic(item).into();
        self.set(|inner| inner.topic = TopicOf::ByRecord(Box::new(topic)))
    }

    /// Gives records a key; without this they have none.
    #[must_use]
    pub fn key<K: AsRef<[u8]>>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        let append = move |item: &T, out: &mut Vec<u8>| out.extend_from_slice(key(item).as_ref());
        self.set(|inner| inner.key = Some(Box::new(append)))
    }

    /// Chooses the partition of each record; `None`: by its key.
    #[must_use]
    pub fn partition(self, of: impl Fn(&T) -> Option<i32> + Send + Sync + 'static) -> Self {
        self.set(|inner| inner.partition = Some(Box::new(of)))
    }

    /// Gives records headers.
    #[must_use]
    pub fn headers(self, of: impl Fn(&T) -> Headers + Send + Sync + 'static) -> Self {
        self.set(|inner| inner.headers = Some(Box::new(of)))
    }

    /// Gives records another timestamp than their event time.
    #[must_use]
    pub fn timestamp(self, of: impl Fn(&T) -> Timestamp + Send + Sync + 'static) -> Self {
        self.set(|inner| inner.timestamp = Stamp::ByRecord(Box::new(of)))
    }

    /// Records bear the time of sending, not their event time: the broker then keeps them for its
    /// full `retention.ms` whatever their age, and sending costs less, since librdkafka takes
    /// records with a timestamp of their own one at a time only.
    #[must_use]
    pub fn timestamp_of_sending(self) -> Self {
        self.set(|inner| inner.timestamp = Stamp::Sending)
    }

    /// Records that are written without a value: in a compacted topic they delete their key.
    #[must_use]
    pub fn tombstone_if(self, which: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.set(|inner| inner.tombstone = Some(Box::new(which)))
    }

    /// Records are visible at once, and again after a restart; no transactions.
    #[must_use]
    pub fn at_least_once(mut self) -> Self {
        self.guarantee = Guarantee::AtLeastOnce;
        self
    }

    /// After how long the broker gives up a transaction; the broker's own limit is 15 minutes by
    /// default. Otherwise: a minute, or three checkpoint intervals where that is more.
    #[must_use]
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    fn timeout(&self, ctx: &TaskContext) -> Duration {
        self.timeout_at(ctx.checkpoint_interval)
    }

    fn timeout_at(&self, interval: Option<Duration>) -> Duration {
        let by_interval = interval.map_or(TIMEOUT_MAX, |interval| interval * 3);
        self.timeout.unwrap_or_else(|| by_interval.clamp(TIMEOUT_MIN, TIMEOUT_MAX))
    }

    /// Where it writes, if that is one topic: in a drill another.
    fn topic(&self, ctx: &TaskContext) -> Option<Arc<str>> {
        match &self.inner.topic {
            TopicOf::One(topic) if ctx.scratch.is_some() => {
                Some(scratch_topic(&ctx.job, topic).into())
            }
            TopicOf::One(topic) => Some(topic.clone()),
            TopicOf::ByRecord(_) => None,
        }
    }

    fn gateway(&self, ctx: &TaskContext) -> Result<Arc<Gateway>> {
        let memory = self.cluster.memory.clone();
        registry::gateway(ctx, &self.cluster.connection, self.timeout(ctx), memory)
    }
}

const TIMEOUT_MIN: Duration = Duration::from_secs(60);
/// What brokers allow by default.
const TIMEOUT_MAX: Duration = Duration::from_secs(15 * 60);

impl<T, E> Inner<T, E> {
    fn topic(&self, item: &T) -> Cow<'_, str> {
        match &self.topic {
            TopicOf::One(topic) => Cow::Borrowed(topic),
            TopicOf::ByRecord(topic) => topic(item),
        }
    }

    /// Appends the key, if records have one.
    fn key(&self, item: &T, out: &mut Vec<u8>) -> bool {
        self.key.as_ref().inspect(|key| key(item, out)).is_some()
    }

    fn partition(&self, item: &T) -> Option<i32> {
        self.partition.as_ref().and_then(|partition| partition(item))
    }

    fn headers(&self, item: &T) -> Headers {
        self.headers.as_ref().map_or_else(Headers::new, |headers| headers(item))
    }

    fn timestamp(&self, item: &T, event_time: Timestamp) -> Option<Timestamp> {
        match &self.timestamp {
            Stamp::ByRecord(timestamp) => Some(timestamp(item)),
            Stamp::Sending => None,
            Stamp::EventTime => (event_time != Timestamp::MIN).then_some(event_time),
        }
    }

    fn is_tombstone(&self, item: &T) -> bool {
        self.tombstone.as_ref().is_some_and(|tombstone| tombstone(item))
    }
}

impl<T: Data, E: Encode<T>> Sink<T> for KafkaSink<T, E> {
    type Writer = KafkaWriter<T, E>;

    async fn open(&self, ctx: TaskContext) -> Result<KafkaWriter<T, E>> {
        let route = match self.guarantee {
            Guarantee::ExactlyOnce => Route::Transactions(self.gateway(&ctx)?),
            Guarantee::AtLeastOnce => {
                let settings = slots::settings(
                    &self.cluster.connection,
                    None,
                    TIMEOUT_MIN,
                    slots::BATCH_BYTES,
                );
                Route::AtLeastOnce(Arc::new(Producer::new(&settings)?))
            }
        };
        Ok(KafkaWriter::new(self.inner.clone(), self.topic(&ctx), ctx, route))
    }

    fn participant(&self, ctx: &TaskContext) -> Option<(String, Box<dyn Participant>)> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return None;
        }
        // Where two sinks contradict each other, `open` says so.
        let gateway = self.gateway(ctx).ok()?;
        if let Some(topic) = self.topic(ctx) {
            gateway.writes_to(&topic);
        }
        let name = format!("kafka:{}", self.cluster.connection.brokers());
        Some((name, Box::new(KafkaParticipant::new(gateway))))
    }

    fn check(&self) -> Result<()> {
        self.cluster.connection.check()?;
        if let TopicOf::One(topic) = &self.inner.topic {
            topic_name(topic)?;
        }
        Ok(())
    }

    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        let topic = match &self.inner.topic {
            TopicOf::One(topic) => Some(topic.clone()),
            TopicOf::ByRecord(_) => None,
        };
        let exactly_once = self.guarantee == Guarantee::ExactlyOnce;
        Some(Box::new(SinkOutside {
            connection: self.cluster.connection.clone(),
            topic,
            timeout: exactly_once.then(|| self.timeout_at(about.checkpoint_interval)),
            by_event_time: matches!(self.inner.timestamp, Stamp::EventTime),
            about: about.clone(),
        }))
    }

    fn rehearsal(&self) -> Rehearsal {
        match &self.inner.topic {
            TopicOf::One(_) => {
                Rehearsal::Staged { repeats: self.guarantee == Guarantee::AtLeastOnce }
            }
            TopicOf::ByRecord(_) => {
                let reason = "it chooses the topic of each record, so that no scratch topics can \
                              be made before; rehearse the job with one topic in their place";
                Rehearsal::Refused { reason: reason.to_owned() }
            }
        }
    }

    fn stage(&self, job: &str) -> Option<Box<dyn Stage>> {
        let TopicOf::One(topic) = &self.inner.topic else { return None };
        let connection = self.cluster.connection.clone();
        Some(Box::new(KafkaStage::new(connection, job, topic.clone())))
    }
}

/// By Kafka's rule for the names of topics.
fn topic_name(topic: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let fits = (1..=249).contains(&topic.len()) && topic.chars().all(plain);
    anyhow::ensure!(
        fits && topic != "." && topic != "..",
        "RR0754: '{topic}' can name no topic: letters, digits, '.', '_' and '-', at most 249"
    );
    Ok(())
}
