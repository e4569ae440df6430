//! A running sum as a job in this process: numbers from a source that hands out as many as it is
//! told, a sum (and a text as large as one likes) for each key, and a sink that counts.
//!
//! 1. [`Feed::open_to`] says up to which number the source may go; number `n` belongs to key
//!    `n mod keys`, so that so many numbers reach every key once.
//! 2. [`Running::start`] starts a run on a thread of its own, [`Running::stop`] ends it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use riverrun::engine::checkpoint::CheckpointId;
use riverrun::engine::context::TaskContext;
use riverrun::engine::element::Batch;
use riverrun::engine::sink::{Sink, SinkWriter};
use riverrun::engine::source::{Progress, Source, SourceReader, Split, SplitIndex};
use riverrun::prelude::*;
use riverrun::runtime::config::{Config, RunOptions};
use riverrun::runtime::control::{Command, CommandKind, Control};
use riverrun::runtime::run::{Outcome, RunError, run_job};
use riverrun::runtime::status::JobStatus;
use tokio::sync::{Notify, mpsc, oneshot};

use super::silence::Silence;

/// Workers, and subtasks of the sum.
pub(crate) const WORKERS: u32 = 2;
/// Every so many numbers a worker notes that it is at work.
const SEEN_EVERY: u64 = 16;

/// What is summed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Distinct keys.
    pub(crate) keys: u64,
    /// Bytes of text beside each sum.
    pub(crate) text_bytes: usize,
    /// Whether the sink gets every record, or none.
    pub(crate) answers: bool,
    /// From one checkpoint to the next.
    pub(crate) interval: Duration,
}

/// How far the source may go, and what came out; shared with the run.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    end: AtomicU64,
    more: Notify,
    /// Records that reached the sink.
    answered: AtomicU64,
    first_answer: OnceLock<Instant>,
    /// When workers did nothing.
    pub(crate) silence: Silence,
}

impl Feed {
    /// The source may hand out the numbers below `end`.
    pub(crate) fn open_to(&self, end: u64) {
        self.end.store(end, Ordering::Release);
        self.more.notify_one();
    }

    /// How many records have reached the sink.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Numbers(Arc<Feed>);

#[derive(Clone, Serialize, Deserialize)]
struct All;

impl Split for All {
    fn id(&self) -> String {
        "all".to_owned()
    }
}

struct Reader {
    feed: Arc<Feed>,
    next: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Split = All;
    type Reader = Reader;

    fn is_bounded(&self) -> bool {
        false
    }
    async fn discover(&self, _: &TaskContext) -> Result<Vec<All>> {
        Ok(vec![All])
    }
    async fn open(&self, _: TaskContext) -> Result<Reader> {
        Ok(Reader { feed: self.0.clone(), next: 0 })
    }
}

impl SourceReader for Reader {
    type Item = u64;
    type Split = All;
    type Offset = u64;

    async fn assign(&mut self, _: All, offset: Option<u64>) -> Result<()> {
        self.next = offset.unwrap_or(0);
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<u64>, records_max: usize) -> Result<Progress> {
        self.feed.silence.seen();
        let (first, end) = (self.next, self.feed.end.load(Ordering::Acquire));
        if first >= end {
            return Ok(Progress::Pending);
        }
        self.next = end.min(first + records_max as u64);
        (first..self.next).for_each(|n| out.push(n, Timestamp::MIN));
        Ok(Progress::Records { split: SplitIndex(0), first, last: self.next - 1 })
    }

    async fn ready(&mut self) {
        self.feed.more.notified().await;
    }

    fn offset(&self, _: SplitIndex) -> Option<u64> {
        Some(self.next)
    }
}

#[derive(Clone)]
struct Answers(Arc<Feed>);

impl Sink<u64> for Answers {
    type Writer = Answers;
    async fn open(&self, _: TaskContext) -> Result<Answers> {
        Ok(self.clone())
    }
}

impl SinkWriter<u64> for Answers {
    type Committable = ();

    async fn write(&mut self, batch: Batch<u64>) -> Result<()> {
        self.0.first_answer.get_or_init(Instant::now);
        self.0.answered.fetch_add(batch.len() as u64, Ordering::AcqRel);
        Ok(())
    }

    fn prepare(
        &mut self,
        _: CheckpointId,
    ) -> futures::future::BoxFuture<'static, Result<Option<()>>> {
        Box::pin(async { Ok(None) })
    }
}

/// A text that compression finds little in.
fn noise(n: u64, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut state = n;
    while text.len() < bytes {
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        text.extend((0..8).map(|i| char::from(b'!' + ((state >> (8 * i)) as u8 & 0x3f))));
    }
    text.truncate(bytes);
    text
}

/// The sums of `work`, one a record if it answers.
pub(crate) fn sums(job: &Job, work: Work, feed: &Arc<Feed>) -> Stream<u64> {
    let Work { keys, text_bytes, answers, .. } = work;
    let seen = feed.clone();
    let add = move |(sum, text): &mut (u64, String), n: u64| {
        if n.is_multiple_of(SEEN_EVERY) {
            seen.silence.seen();
        }
        *sum = sum.wrapping_add(n);
        if text.len() < text_bytes {
            *text = noise(n, text_bytes);
        }
        answers.then_some(*sum)
    };
    job.source("numbers", Numbers(feed.clone()))
        .parallelism(1)
        .key_by(move |n| n % keys)
        .flat_scan("sum", add)
}

/// The settings of a job that does `work` and keeps everything in `folder`.
pub(crate) fn config(work: Work, folder: &Path) -> Config {
    let mut config = Config::for_job("bench");
    (config.workers, config.parallelism) = (WORKERS, WORKERS);
    config.checkpoint.path = folder.join("checkpoints").display().to_string();
    config.checkpoint.interval = work.interval;
    config.spill.dir = folder.join("spill").display().to_string();
    config.restart.attempts = 0;
    config
}

/// So often a run is looked at: seldom enough to leave the cores to it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A run under way.
pub(crate) struct Running {
    thread: JoinHandle<Result<Outcome, RunError>>,
    orders: mpsc::Sender<Command>,
    began: Instant,
    /// What it is fed.
    pub(crate) feed: Arc<Feed>,
    /// Its live numbers.
    pub(crate) status: Arc<JobStatus>,
}

impl Running {
    /// Starts `work` from what `folder` holds.
    pub(crate) fn start(work: Work, folder: &Path) -> Running {
        let feed = Arc::new(Feed::default());
        let job = Job::new(serde_json::Value::Null);
        sums(&job, work, &feed).sink("answers", Answers(feed.clone()));
        let graph = job.into_graph();
        let config = config(work, folder);
        let status = Arc::new(JobStatus::of("bench", &graph));
        let (control, orders) = Control::by_hand();
        let shown = status.clone();
        let began = Instant::now();
        let thread = std::thread::spawn(move || {
            run_job("bench", graph, &config, &RunOptions::default(), shown, control)
        });
        Running { thread, orders, began, feed, status }
    }

    /// Waits until `done` is true of the run.
    ///
    /// # Errors
    /// When the run ends meanwhile.
    pub(crate) fn until(&self, mut done: impl FnMut(&Running) -> bool) -> anyhow::Result<()> {
        while !done(self) {
            let why = || self.status.last_failure().unwrap_or_default();
            anyhow::ensure!(!self.thread.is_finished(), "the run ended: {}", why());
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Waits until so many checkpoints of this run are complete.
    pub(crate) fn until_checkpoints(&self, count: u64) -> anyhow::Result<()> {
        self.until(|run| run.status.checkpoints().0 >= count)
    }

    /// From the start to the first record in the sink.
    pub(crate) fn first_answer(&self) -> anyhow::Result<Duration> {
        self.until(|run| run.feed.first_answer.get().is_some())?;
        let first = self.feed.first_answer.get().context("it was just there")?;
        Ok(*first - self.began)
    }

    /// Since the start.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Takes a last checkpoint and ends.
    pub(crate) fn stop(self, kind: CommandKind) -> anyhow::Result<()> {
        let (reply, answer) = oneshot::channel();
        self.orders.blocking_send(Command { kind, reply }).ok().context("the run has ended")?;
        let ended = self.thread.join().map_err(|_| anyhow::anyhow!("the run panicked"))?;
        ended?;
        let said = answer.blocking_recv().context("the run did not answer")?;
        said.map(drop).map_err(|reason| anyhow::anyhow!("it did not stop: {reason}"))
    }
}

/// A checkpoint, and the end.
pub(crate) const STOP: CommandKind = CommandKind::Stop { savepoint: false };
