//! Writes the records of one subtask: encodes a batch, hands it to the transaction that is open for
//! it, and holds back what comes before its transaction is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::planted;
use riverrun_engine::sink::SinkWriter;
use riverrun_engine::time::Timestamp;
use riverrun_kafka::records::{Place, Records};
use riverrun_kafka::send::{Producer, Topic};

use super::gateway::{FULL_PAUSE, Gateway, Held, Interval, Turn};
use super::{Inner, slots};
use crate::kafka::format::Encode;
use crate::kafka::outside;

/// Bytes a writer holds back between its barrier and the next transaction; then it waits.
const HELD_MAX: usize = 4 << 20;
/// How long a flush without transactions may last.
const FLUSH: Duration = Duration::from_secs(60);

/// Where records go.
pub(super) enum Route {
    /// Into the transaction of the writer's interval.
    Transactions(Arc<Gateway>),
    /// At once, and again after a restart.
    AtLeastOnce(Arc<Producer>),
}

/// Writes the records of one subtask.
pub struct KafkaWriter<T, E> {
    inner: Arc<Inner<T, E>>,
    /// The number of the topic where all records go; `None`: each says where.
    only: Option<usize>,
    ctx: TaskContext,
    route: Route,
    interval: Interval,
    producer: Option<Arc<Producer>>,
    /// By name, where the topic is chosen record by record.
    numbers: BTreeMap<Arc<str>, usize>,
    outbox: Vec<Outbox>,
    scratch: Scratch,
    /// The oldest timestamp of the last batch.
    oldest: Option<Timestamp>,
    /// Whether it was said that such records are deleted.
    warned: bool,
}

/// The records for one topic that are not sent yet.
struct Outbox {
    topic: Arc<str>,
    handle: Option<Arc<Topic>>,
    records: Records,
    sent: usize,
}

#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<T: Data, E: Encode<T>> KafkaWriter<T, E> {
    pub(super) fn new(
        inner: Arc<Inner<T, E>>,
        topic: Option<Arc<str>>,
        ctx: TaskContext,
        route: Route,
    ) -> Self {
        if let Route::Transactions(gateway) = &route {
            gateway.register();
        }
        let mut writer = KafkaWriter {
            inner,
            only: None,
            ctx,
            route,
            interval: Interval(0),
            producer: None,
            numbers: BTreeMap::new(),
            outbox: Vec::new(),
            scratch: Scratch::default(),
            oldest: None,
            warned: false,
        };
        writer.only = topic.map(|topic| writer.number(&topic));
        writer
    }

    fn number(&mut self, topic: &str) -> usize {
        if let Some(number) = self.numbers.get(topic) {
            return *number;
        }
        let (number, topic): (_, Arc<str>) = (self.outbox.len(), topic.into());
        self.numbers.insert(topic.clone(), number);
        self.outbox.push(Outbox { topic, handle: None, records: Records::new(), sent: 0 });
        number
    }

    fn encode(&mut self, item: &T, timestamp: Timestamp) -> Result<()> {
        let number = match self.only {
            Some(number) => number,
            None => self.number(&self.inner.clone().topic(item)),
        };
        let inner = &*self.inner;
        let Scratch { key, value } = &mut self.scratch;
        key.clear();
        value.clear();
        let has_key = inner.key(item, key);
        let has_value = !inner.is_tombstone(item);
        if has_value {
            inner.encode.encode(item, value).with_context(|| {
                format!("a record for topic '{}' cannot be encoded", self.outbox[number].topic)
            })?;
        }
        let timestamp = inner.timestamp(item, timestamp);
        self.oldest = timestamp.into_iter().chain(self.oldest).min();
        let partition = inner.partition(item);
        let place = Place { offset: 0, timestamp: timestamp.map(Timestamp::as_millis), partition };
        let headers = inner.headers(item);
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let key = has_key.then_some(&key[..]);
        let value = has_value.then_some(&value[..]);
        self.outbox[number].records.push(place, key, value, headers);
        Ok(())
    }

    /// Says once that the broker is going to delete what was written.
    fn warn_of_deletion(&mut self) {
        let Route::Transactions(gateway) = &self.route else { return };
        let Some(oldest) = self.oldest.take().filter(|_| !self.warned) else { return };
        let now = self.ctx.clock.now();
        let of = |outbox: &Outbox| Some((outbox.topic.clone(), gateway.kept(&outbox.topic)?));
        let kept = self.outbox.iter().filter_map(of).min_by_key(|(_, kept)| *kept);
        let Some((topic, kept)) = kept.filter(|(_, kept)| oldest + *kept < now) else { return };
        self.warned = true;
        tracing::warn!(
            uid = %self.ctx.uid, topic = %topic, timestamp = oldest.as_millis(),
            "RR0756: the broker deletes records of this topic {} after their timestamp, and older \
             ones are being written: their timestamp is their event time. Set `retention.ms=-1` \
             on the topic, or give them another: `.timestamp_of_sending()`",
            outside::said(kept)
        );
    }

    fn held_bytes(&self) -> usize {
        self.outbox.iter().map(|outbox| outbox.records.size_bytes()).sum()
    }

    /// Sends what is held, as far as it may be sent now.
    async fn drain(&mut self) -> Result<()> {
        loop {
            match self.turn()? {
                Turn::Now(producer) => {
                    if self.send(&producer)? {
                        return Ok(());
                    }
                    self.ctx.sleep.sleep(FULL_PAUSE).await;
                }
                Turn::Later if self.held_bytes() < HELD_MAX => return Ok(()),
                Turn::Later => {
                    if let Route::Transactions(gateway) = &self.route {
                        gateway.opened(self.interval).await;
                    }
                }
            }
        }
    }

    /// The producer of the writer's interval, asked for until it is there.
    fn turn(&mut self) -> Result<Turn> {
        let turn = match (&self.producer, &self.route) {
            (Some(producer), _) | (None, Route::AtLeastOnce(producer)) => {
                Turn::Now(producer.clone())
            }
            (None, Route::Transactions(gateway)) => gateway.turn(self.interval)?,
        };
        if let Turn::Now(producer) = &turn
            && self.producer.is_none()
        {
            self.producer = Some(producer.clone());
        }
        Ok(turn)
    }

    /// Whether all was sent; not when the queue is full.
    fn send(&mut self, producer: &Producer) -> Result<bool> {
        for outbox in self.outbox.iter_mut().filter(|outbox| !outbox.records.is_empty()) {
            let handle = match &outbox.handle {
                Some(handle) => handle.clone(),
                None => outbox.handle.insert(producer.topic(&outbox.topic)?).clone(),
            };
            outbox.records.group(outbox.sent);
            let sent = handle.send(&outbox.records, outbox.sent);
            if let (Err(error), Route::Transactions(gateway)) = (&sent, &self.route) {
                gateway.fail_with(error.clone());
            }
            outbox.sent += sent?;
            if outbox.sent < outbox.records.len() {
                return Ok(false);
            }
            outbox.records.clear();
            outbox.sent = 0;
        }
        Ok(true)
    }

    /// What is not sent at a barrier; the next interval begins with nothing.
    fn take_held(&mut self) -> Vec<Held> {
        if planted!("kafka.cut.passed") {
            return Vec::new();
        }
        self.producer = None;
        let mut held = Vec::new();
        for outbox in &mut self.outbox {
            outbox.handle = None;
            let records = std::mem::take(&mut outbox.records);
            let sent = std::mem::take(&mut outbox.sent);
            if sent < records.len() {
                held.push((outbox.topic.clone(), rest(&records, sent)));
            }
        }
        held
    }
}

fn rest(records: &Records, first: usize) -> Records {
    let mut rest = Records::new();
    for record in records.iter().skip(first) {
        rest.push(record.place(), record.key(), record.value(), record.headers());
    }
    rest
}

impl<T: Data, E: Encode<T>> SinkWriter<T> for KafkaWriter<T, E> {
    type Committable = ();

    async fn write(&mut self, batch: Batch<T>) -> Result<()> {
        for (item, timestamp) in batch.items.iter().zip(&batch.timestamps) {
            self.encode(item, *timestamp)?;
        }
        self.warn_of_deletion();
        self.drain().await
    }

    fn prepare(&mut self, checkpoint: CheckpointId) -> BoxFuture<'static, Result<Option<()>>> {
        match &self.route {
            Route::Transactions(gateway) => {
                let gateway = gateway.clone();
                self.interval.0 += 1;
                let acknowledged = gateway.pass(checkpoint, self.take_held());
                Box::pin(async { acknowledged.await.map(|()| None) })
            }
            Route::AtLeastOnce(producer) => {
                let (producer, ctx) = (producer.clone(), self.ctx.clone());
                let flushed = self.ctx.blocking(move || {
                    slots::until_done(&ctx, FLUSH, || false, || producer.flush(slots::CALL))?;
                    Ok(None)
                });
                Box::pin(flushed)
            }
        }
    }
}
