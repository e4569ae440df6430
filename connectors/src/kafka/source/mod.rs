//! Reads topics: which, from where, to where, and as what.
//!
//! Made by [`super::Kafka`]. A partition is a split. `discover` asks the cluster once for all
//! subtasks ([`survey`]); a reader fetches on a thread of its own ([`fetching`], [`handover`]) and
//! makes items on the worker ([`reader`], [`shape`]). Invariants: an offset is a number from the
//! first moment on; one that does not mean any more what it meant is an error, never another
//! offset.

mod error;
mod fetching;
mod handover;
mod looking;
mod outside;
mod reader;
mod registry;
mod settings;
mod shape;
mod slice;
mod split;
mod survey;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use riverrun_engine::Result;
use riverrun_engine::bad::OnBad;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::outside::{About, Outside};
use riverrun_engine::rehearsal::Slicing;
use riverrun_engine::source::{EventClock, Source};
use riverrun_engine::watermark::Watermarks;
use riverrun_kafka::cluster::Isolation;
use riverrun_kafka::connection::Connection;

pub use error::KafkaSourceError;
pub use reader::KafkaReader;
pub use settings::{End, Offsets, Start, Topics};
pub use shape::{KafkaRecord, OrBad, Shape, Values, Whole};
pub use split::{KafkaOffset, KafkaSplit};

use super::format::Decode;
use outside::SourceOutside;
use registry::Registry;
use settings::Settings;
use slice::KafkaSlicing;

/// A source of the records of topics. Made by [`super::Kafka`].
pub struct KafkaSource<S: Shape> {
    connection: Connection,
    settings: Settings,
    shape: S,
    clock: Option<Watermarks>,
    registry: Arc<Registry>,
}

impl<S: Shape> Clone for KafkaSource<S> {
    /// The same source, as if made anew: what one learns of its cluster is not the other's.
    fn clone(&self) -> Self {
        KafkaSource {
            connection: self.connection.clone(),
            settings: self.settings.clone(),
            shape: self.shape.clone(),
            clock: self.clock.clone(),
            registry: Arc::default(),
        }
    }
}

impl<S: Shape> fmt::Debug for KafkaSource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaSource({:?}, {:?})", self.connection, self.settings)
    }
}

impl<D: Decode<Item: Data>> KafkaSource<Values<D>> {
    pub(super) fn new(connection: Connection, topics: Topics, decode: D) -> Self {
        KafkaSource {
            connection,
            settings: Settings::new(topics),
            shape: Values(decode),
            clock: None,
            registry: Arc::default(),
        }
    }

    /// Reads records as [`KafkaRecord`]s: with key, headers, timestamp and place, and tombstones
    /// too.
    #[must_use]
    pub fn with_metadata(self) -> KafkaSource<Whole<D>> {
        self.shaped(|Values(decode)| Whole(decode))
    }
}

impl<S: Shape> KafkaSource<S> {
    fn shaped<T: Shape>(self, shape: impl FnOnce(S) -> T) -> KafkaSource<T> {
        KafkaSource {
            connection: self.connection,
            settings: self.settings,
            shape: shape(self.shape),
            clock: self.clock,
            registry: self.registry,
        }
    }

    fn set(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(&mut self.settings);
        self
    }

    /// Where a first start begins; [`Start::Earliest`] unless said otherwise. A job that goes on
    /// from a checkpoint goes on there.
    #[must_use]
    pub fn from(self, start: Start) -> Self {
        self.set(|settings| settings.start = start)
    }

    /// Where the source ends; [`End::Never`] unless said otherwise.
    #[must_use]
    pub fn until(self, end: End) -> Self {
        self.set(|settings| settings.end = end)
    }

    /// What becomes of records that cannot be read; [`OnBad::Fail`] unless said otherwise.
    #[must_use]
    pub fn on_bad(self, on_bad: OnBad) -> Self {
        self.set(|settings| settings.on_bad = on_bad)
    }

    /// Reads records that cannot be read too, as `Parsed::Bad`, for `.dead_letter(sink)`.
    #[must_use]
    pub fn or_bad(self) -> KafkaSource<OrBad<S>> {
        self.shaped(OrBad)
    }

    /// Goes by Kafka's own timestamps: when a record was written, or when its writer says it was.
    #[must_use]
    pub fn kafka_time(mut self, watermarks: Watermarks) -> Self {
        self.clock = Some(watermarks);
        self
    }

    /// Reads records of transactions that are open or were aborted too.
    #[must_use]
    pub fn uncommitted(self) -> Self {
        self.set(|settings| settings.isolation = Isolation::Uncommitted)
    }

    /// How often new partitions, and new topics that match, are looked for: every 60 s unless said
    /// otherwise. They are read from their first record. A source with an end does not look.
    #[must_use]
    pub fn discover_every(self, every: Duration) -> Self {
        self.set(|settings| settings.discover_every = every)
    }

    /// How many bytes of records wait in the client, for each subtask: 16 MiB unless said
    /// otherwise. As much again may be on its way to the task.
    #[must_use]
    pub fn buffer_bytes(self, bytes: u64) -> Self {
        self.set(|settings| settings.buffer_bytes = bytes)
    }

    /// What is read: in a drill a slice of it.
    fn settings(&self, ctx: &TaskContext) -> Result<Cow<'_, Settings>> {
        Ok(match ctx.slice() {
            Some(text) => Cow::Owned(slice::apply(&self.settings, text)?),
            None => Cow::Borrowed(&self.settings),
        })
    }

    /// Asks the cluster for all partitions and keeps the answer for this attempt.
    async fn survey(&self, ctx: &TaskContext, settings: &Settings) -> Result<()> {
        let (connection, settings) = (self.connection.clone(), settings.clone());
        let job = ctx.job.clone();
        let taken = ctx.blocking(move || Ok(survey::take(&connection, &settings, &job)?)).await?;
        self.registry.keep(ctx, taken);
        Ok(())
    }

    fn surveyed<R>(&self, ctx: &TaskContext, ask: impl FnOnce(&survey::Survey) -> R) -> Result<R> {
        let answer = self.registry.ask(ctx, ask);
        answer.ok_or_else(|| anyhow::anyhow!("another attempt asked for the splits meanwhile"))
    }
}

impl<S: Shape> Source for KafkaSource<S> {
    type Item = S::Item;
    type Split = KafkaSplit;
    type Reader = KafkaReader<S>;

    fn is_bounded(&self) -> bool {
        self.settings.is_bounded()
    }

    async fn discover(&self, ctx: &TaskContext) -> Result<Vec<KafkaSplit>> {
        let settings = self.settings(ctx)?;
        self.survey(ctx, &settings).await?;
        if let Some(first) = self.registry.first(&ctx.uid) {
            return self.surveyed(ctx, |survey| survey.after(&settings, first));
        }
        let first = self.surveyed(ctx, |survey| survey.first(&settings))??;
        self.registry.keep_first(&ctx.uid, first.clone());
        Ok(first)
    }

    async fn discover_again(&self, ctx: &TaskContext) -> Result<Vec<KafkaSplit>> {
        let settings = self.settings(ctx)?;
        self.survey(ctx, &settings).await?;
        self.surveyed(ctx, |survey| survey.again(&settings))
    }

    async fn open(&self, ctx: TaskContext) -> Result<KafkaReader<S>> {
        let settings = self.settings(&ctx)?.into_owned();
        if self.registry.ask(&ctx, |_| ()).is_none() {
            self.survey(&ctx, &settings).await?;
        }
        let connection = self.connection.clone();
        let (shape, registry) = (self.shape.clone(), self.registry.clone());
        Ok(KafkaReader::new((connection, settings), shape, registry, ctx))
    }

    fn check(&self) -> Result<()> {
        self.settings.check()?;
        self.connection.check()?;
        Ok(())
    }

    fn outside(&self, about: &About) -> Option<Box<dyn Outside>> {
        let (connection, settings) = (self.connection.clone(), self.settings.clone());
        Some(Box::new(SourceOutside { connection, settings, about: about.clone() }))
    }

    fn slicing(&self, job: &str) -> Option<Box<dyn Slicing>> {
        let (connection, settings) = (self.connection.clone(), self.settings.clone());
        Some(Box::new(KafkaSlicing { connection, settings, job: job.to_owned() }))
    }

    fn clock(&self) -> Option<EventClock<S::Item>> {
        self.clock.clone().map(EventClock::given)
    }
}
