//! Reads the partitions of one subtask: takes batches from the thread that fetches, makes items.
//!
//! 1. `assign` compares the offset with the survey of this attempt, then orders the partition.
//! 2. `next` takes batches in the order they came; an offset follows the records handed out.
//! 3. The end of a partition moves its offset past transaction markers and aborted records; it has
//!    caught up there, unless a transaction is open behind it, and has ended if it was to.
//! 4. Subtask 0 looks for new partitions now and then; every subtask takes those that are its.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::noop_waker_ref;
use riverrun_engine::Result;
use riverrun_engine::bad::OnBad;
use riverrun_engine::context::TaskContext;
use riverrun_engine::element::Batch;
use riverrun_engine::metrics::SplitMeter;
use riverrun_engine::planted;
use riverrun_engine::source::{Progress, SourceReader, SplitIndex};
use riverrun_engine::time::Timestamp;
use riverrun_kafka::cluster::{Isolation, Partition};
use riverrun_kafka::connection::Connection;
use riverrun_kafka::fetch::{FetchSettings, Fetched, PartitionIndex};
use riverrun_kafka::records::{Record, Records};

use super::error::KafkaSourceError;
use super::fetching;
use super::handover::{Front, Order, handover};
use super::looking::Looking;
use super::registry::Registry;
use super::settings::Settings;
use super::shape::{self, Shape};
use super::split::{KafkaOffset, KafkaSplit};

/// Offsets are shown to the group at most this often, however short the checkpoint interval.
const SHOW_EVERY: Duration = Duration::from_secs(1);

struct Assigned {
    place: Partition,
    next: i64,
    end: Option<i64>,
    /// Its number at the thread; `None`: it was at its end when it was assigned.
    index: Option<PartitionIndex>,
    meter: Arc<SplitMeter>,
    ended: bool,
}

/// A batch, and how much of it was looked at.
struct Opened {
    split: SplitIndex,
    records: Records,
    at: usize,
}

/// Reads the partitions of one subtask.
pub struct KafkaReader<S> {
    shape: S,
    settings: Settings,
    ctx: TaskContext,
    registry: Arc<Registry>,
    front: Front,
    assigned: Vec<Assigned>,
    /// The split of each partition ordered from the thread.
    fetched: Vec<SplitIndex>,
    /// Splits that ended and were not told of.
    ended: VecDeque<SplitIndex>,
    opened: Option<Opened>,
    looking: Option<Looking>,
    finds_seen: u64,
    /// When offsets were last shown to the group, on the monotonic clock.
    shown: Option<Duration>,
}

impl<S: Shape> KafkaReader<S> {
    pub(super) fn new(
        (connection, settings): (Connection, Settings),
        shape: S,
        registry: Arc<Registry>,
        ctx: TaskContext,
    ) -> Self {
        let (front, back) = handover();
        let fetch = FetchSettings {
            group: ctx.job.to_string(),
            isolation: match planted!("kafka.read.aborted") {
                true => Isolation::Uncommitted,
                false => settings.isolation,
            },
            buffer_bytes: settings.buffer_bytes,
            headers: S::HEADERS,
        };
        let name = format!("{}-{}-fetch", ctx.uid, ctx.subtask);
        let looks = ctx.subtask == 0 && !settings.is_bounded();
        let looking = looks.then(|| Looking::new(connection.clone()));
        ctx.metrics.forget_splits();
        ctx.threads.run(&name, Box::new(move || fetching::run(&connection, &fetch, &back)));
        KafkaReader {
            shape,
            settings,
            ctx,
            registry,
            front,
            assigned: Vec::new(),
            fetched: Vec::new(),
            ended: VecDeque::new(),
            opened: None,
            looking,
            finds_seen: 0,
            shown: None,
        }
    }

    /// Takes the next batch; what it says itself, if it is no records.
    fn open(&mut self) -> Result<Option<Progress>> {
        let Some(fetched) = self.front.pop()? else { return Ok(Some(Progress::Pending)) };
        Ok(match fetched? {
            Fetched::Failed(error) => return Err(error.into()),
            Fetched::Records { partition, records, high } => {
                let split = self.fetched[partition.0];
                self.show(split, high);
                self.opened = Some(Opened { split, records, at: 0 });
                None
            }
            Fetched::End { partition, offset, high } => {
                let split = self.fetched[partition.0];
                let assigned = &mut self.assigned[split.0];
                if assigned.ended {
                    return Ok(None);
                }
                assigned.next = assigned.next.max(offset);
                self.show(split, high);
                if self.end_if_due(split) {
                    return Ok(None);
                }
                // A transaction that is open behind the end may still bring older records.
                (high <= offset).then_some(Progress::CaughtUp(split))
            }
        })
    }

    /// `high` is where the partition ends now.
    fn show(&self, split: SplitIndex, high: i64) {
        let assigned = &self.assigned[split.0];
        let unsigned = |offset: i64| u64::try_from(offset).unwrap_or(0);
        assigned.meter.set(unsigned(assigned.next), unsigned(high.max(assigned.next)));
    }

    /// Ends `split` if everything before its end was read.
    fn end_if_due(&mut self, split: SplitIndex) -> bool {
        let assigned = &mut self.assigned[split.0];
        let due = assigned.end.is_some_and(|end| assigned.next >= end);
        if due && !assigned.ended {
            assigned.ended = true;
            self.ended.push_back(split);
            if let Some(index) = assigned.index {
                self.front.order(Order::Remove(index));
            }
        }
        due
    }

    /// Hands out of the open batch; `None` when nothing of it is to be handed out.
    fn hand_out(&mut self, out: &mut Batch<S::Item>, max: usize) -> Result<Option<Progress>> {
        let Some(mut opened) = self.opened.take() else { return Ok(None) };
        let split = opened.split;
        let (first, last) = self.make(&mut opened, out, max)?;
        match opened.at < opened.records.len() && !self.assigned[split.0].ended {
            true => self.opened = Some(opened),
            false => self.front.order(Order::Recycle(opened.records)),
        }
        self.end_if_due(split);
        let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
        let (first, last) = (u64::try_from(first)?, u64::try_from(last)?);
        Ok(Some(Progress::Records { split, first, last }))
    }

    /// Makes items of records until there are `max`, or none is left. The offsets of the first
    /// and the last that was looked at.
    fn make(
        &mut self,
        opened: &mut Opened,
        out: &mut Batch<S::Item>,
        max: usize,
    ) -> Result<(Option<i64>, Option<i64>)> {
        let KafkaReader { shape, settings, ctx, assigned, .. } = self;
        let assigned = &mut assigned[opened.split.0];
        let (mut first, mut last) = (None, None);
        while let Some(record) = opened.records.get(opened.at)
            && out.items.len() < max
        {
            let offset = record.place().offset;
            if assigned.ended || assigned.end.is_some_and(|end| offset >= end) {
                // Everything before the end was read, though no record stands right before it.
                assigned.next = assigned.end.unwrap_or(assigned.next).max(assigned.next);
                opened.at = opened.records.len();
                break;
            }
            match item(shape, settings.on_bad, record, &assigned.place) {
                Ok(Some(item)) => {
                    out.items.push(item);
                    let millis = record.place().timestamp;
                    out.timestamps.push(millis.map_or(Timestamp::MIN, Timestamp::from_millis));
                }
                Ok(None) => ctx.metrics.skipped.add(1),
                // The good ones before it go first; the next call comes here again.
                Err(_) if first.is_some() => break,
                Err(error) => return Err(error.into()),
            }
            opened.at += 1;
            first = first.or(Some(offset));
            last = Some(offset);
            assigned.next = offset + 1;
        }
        let end = assigned.meter.get().1;
        assigned.meter.set(u64::try_from(assigned.next).unwrap_or(0), end);
        Ok((first, last))
    }

    /// Lets the look for new partitions go on, as far as that needs no waiting.
    fn look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(looking) = &mut self.looking else { return Poll::Pending };
        looking.poll(&self.ctx, &self.settings, &self.registry, cx)
    }
}

/// The item of one record; `None` when it is bad and skipped.
fn item<S: Shape>(
    shape: &S,
    on_bad: OnBad,
    record: Record<'_>,
    place: &Partition,
) -> Result<Option<S::Item>, KafkaSourceError> {
    let reason = match shape.make(record, place) {
        Ok(item) => return Ok(Some(item)),
        Err(error) => format!("{error:#}"),
    };
    match shape.keep(|| shape::bad(record, place, reason.clone())) {
        None if on_bad == OnBad::Fail => {
            let (partition, offset) = (place.clone(), record.place().offset);
            Err(KafkaSourceError::Bad { partition, offset, reason })
        }
        kept => Ok(kept),
    }
}

impl<S: Shape> SourceReader for KafkaReader<S> {
    type Item = S::Item;
    type Split = KafkaSplit;
    type Offset = KafkaOffset;

    async fn assign(&mut self, split: KafkaSplit, offset: Option<KafkaOffset>) -> Result<()> {
        let offset = offset.unwrap_or(KafkaOffset { next: split.start });
        let place = split.place();
        let end = self.registry.ask(&self.ctx, |survey| {
            survey.check(&split, offset)?;
            Ok::<_, KafkaSourceError>(survey.end(&self.settings, &place, split.end))
        });
        let end =
            end.ok_or_else(|| anyhow::anyhow!("the source was not asked for its splits"))??;
        let index = SplitIndex(self.assigned.len());
        let next = offset.next;
        let fetched = end.is_none_or(|end| next < end);
        let at_thread = fetched.then_some(PartitionIndex(self.fetched.len()));
        let meter = self.ctx.metrics.split(&place.to_string());
        let assigned =
            Assigned { place: place.clone(), next, end, index: at_thread, meter, ended: false };
        self.assigned.push(assigned);
        if fetched {
            self.fetched.push(index);
            self.front.order(Order::Add(place, next));
        } else {
            self.end_if_due(index);
        }
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<S::Item>, records_max: usize) -> Result<Progress> {
        loop {
            if let Some(progress) = self.hand_out(out, records_max)? {
                return Ok(progress);
            }
            if let Some(split) = self.ended.pop_front() {
                return Ok(Progress::Ended(split));
            }
            if self.opened.is_none()
                && let Some(progress) = self.open()?
            {
                return Ok(progress);
            }
        }
    }

    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        poll_fn(|cx| {
            if !self.ended.is_empty() || self.opened.is_some() {
                return Poll::Ready(());
            }
            match self.look(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => self.front.poll_ready(cx),
            }
        })
    }

    fn offset(&self, split: SplitIndex) -> Option<KafkaOffset> {
        let assigned = self.assigned.get(split.0)?;
        let next = match &self.opened {
            _ if planted!("kafka.offset.last") => assigned.next.max(1) - 1,
            Some(opened) if planted!("kafka.offset.of.batch") && opened.split == split => {
                assigned.next + i64::try_from(opened.records.len() - opened.at).ok()?
            }
            _ => assigned.next,
        };
        Some(KafkaOffset { next })
    }

    fn found(&mut self) -> Result<Vec<KafkaSplit>> {
        let _goes_on = self.look(&mut Context::from_waker(noop_waker_ref()));
        if let Some(error) = self.looking.as_mut().and_then(Looking::failure) {
            return Err(error);
        }
        Ok(self.registry.take(&self.ctx, &mut self.finds_seen))
    }

    fn committed(&mut self, offsets: &[(SplitIndex, KafkaOffset)]) {
        let now = self.ctx.clock.monotonic();
        if self.shown.is_some_and(|shown| now < shown + SHOW_EVERY) {
            return;
        }
        let at_thread = |(split, offset): &(SplitIndex, KafkaOffset)| {
            let index = self.assigned.get(split.0)?.index?;
            Some((index, offset.next))
        };
        let offsets: Vec<_> = offsets.iter().filter_map(at_thread).collect();
        if !offsets.is_empty() {
            self.shown = Some(now);
            self.front.order(Order::Commit(offsets));
        }
    }
}
