//! The checks of a sink: it dies at each step of the protocol of `riverrun_engine::sink`, and what
//! is visible afterwards is counted.
//!
//! 1. Attempt `a` writes and commits checkpoint 1, then dies somewhere in checkpoint 2.
//! 2. Attempt `b` recovers (twice) from the checkpoint that was decided last: exactly its records
//!    are visible, nothing is left over.
//! 3. Attempt `b`, with one subtask more, writes the rest: every record is visible once.

use anyhow::{Context as _, ensure};
use riverrun_engine::Result;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointName, Prepared};
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::{Data, to_bytes};
use riverrun_engine::element::Batch;
use riverrun_engine::graph::Uid;
use riverrun_engine::sink::{Participant, Sink, SinkWriter};
use riverrun_engine::time::Timestamp;

use super::doors::{block_on, context};

/// Where a checked sink writes to, seen by a reader.
pub trait Destination<T> {
    /// Everything a reader sees, in any order.
    ///
    /// # Errors
    /// When it cannot be read.
    fn visible(&self) -> Result<Vec<T>>;

    /// Names what is hidden from readers and waits for a commit.
    ///
    /// # Errors
    /// When it cannot be listed.
    fn left_over(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// Where attempt `a` dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    WhileWriting,
    Prepared,
    Decided,
    Committed,
    CommittedTwice,
}

const DEATHS: [Death; 5] =
    [Death::WhileWriting, Death::Prepared, Death::Decided, Death::Committed, Death::CommittedTwice];

const UID: &str = "checked";
/// Records of one checkpoint.
const RECORDS: u64 = 30;

struct Attempt<T: Data, S: Sink<T>> {
    writers: Vec<S::Writer>,
    participant: Option<Box<dyn Participant>>,
}

type PreparedParts = Vec<Prepared>;

impl<T: Data, S: Sink<T>> Attempt<T, S> {
    async fn open(sink: &S, subtasks: u32, attempt: &str) -> Result<Self> {
        let ctx = |subtask| -> TaskContext { context(UID, subtask, subtasks, attempt) };
        let participant = sink.participant(&ctx(0)).map(|(_, participant)| participant);
        let mut writers = Vec::new();
        for subtask in 0..subtasks {
            writers.push(sink.open(ctx(subtask)).await.context("the sink does not open")?);
        }
        Ok(Attempt { writers, participant })
    }

    async fn recover(&mut self, at: Option<CheckpointId>, parts: &PreparedParts) -> Result<()> {
        match &mut self.participant {
            Some(participant) => {
                let attempt = String::new();
                let at = at.map(|checkpoint| CheckpointName { checkpoint, attempt });
                participant.recover(at, parts.clone()).await
            }
            None => Ok(()),
        }
    }

    async fn commit(&mut self, at: CheckpointId, parts: &PreparedParts) -> Result<()> {
        match &mut self.participant {
            Some(participant) => participant.commit(at, parts.clone()).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, items: Vec<T>) -> Result<()> {
        let writers = self.writers.len();
        for (i, item) in items.into_iter().enumerate() {
            let mut batch = Batch::default();
            batch.push(item, Timestamp::MIN);
            self.writers[i % writers].write(batch).await.context("writing")?;
        }
        Ok(())
    }

    /// Prepares on every writer and writes `next` before the parts are awaited.
    async fn prepare(&mut self, at: CheckpointId, next: Vec<T>) -> Result<PreparedParts> {
        let begun: Vec<_> = self.writers.iter_mut().map(|writer| writer.prepare(at)).collect();
        self.write(next).await?;
        let mut parts = Vec::new();
        for (subtask, part) in (0..).zip(begun) {
            if let Some(part) = part.await.context("preparing")? {
                let committable = to_bytes(&part)?;
                parts.push(Prepared { sink: Uid::new(UID), subtask, committable });
            }
        }
        if let Some(participant) = &mut self.participant {
            participant.prepared(at, &parts).await?;
        }
        Ok(parts)
    }
}

fn sorted<T: Data>(items: &[T]) -> Result<Vec<Vec<u8>>> {
    let mut bytes = items.iter().map(to_bytes).collect::<Result<Vec<_>>>()?;
    bytes.sort_unstable();
    Ok(bytes)
}

struct Check<'a, T, D> {
    item: &'a dyn Fn(u64) -> T,
    destination: D,
    exactly_once: bool,
}

impl<T: Data, D: Destination<T>> Check<'_, T, D> {
    fn items(&self, from: u64, to: u64) -> Vec<T> {
        (from..to).map(self.item).collect()
    }

    /// The records `0..to` are visible: exactly, or among others.
    fn visible(&self, to: u64, when: &str) -> Result<()> {
        let mut seen = sorted(&self.destination.visible()?)?;
        let wanted = sorted(&self.items(0, to))?;
        if !self.exactly_once {
            seen.retain(|item| wanted.contains(item));
            seen.dedup();
        }
        let (found, expected) = (seen.len(), wanted.len());
        ensure!(seen == wanted, "{when}, {found} records are visible instead of {expected}");
        Ok(())
    }

    /// What attempt `a` leaves: the checkpoint decided last, and what it prepared.
    async fn first<S: Sink<T>>(&self, sink: &S, death: Death) -> Result<(u64, PreparedParts)> {
        let mut attempt = Attempt::open(sink, 2, "a").await?;
        attempt.recover(None, &Vec::new()).await.context("recovering from nothing")?;
        attempt.write(self.items(0, RECORDS)).await?;
        let (one, two) = (CheckpointId(1), CheckpointId(2));
        let parts = attempt.prepare(one, self.items(RECORDS, RECORDS + 5)).await?;
        if self.exactly_once {
            self.visible(0, "before the first commit")?;
        }
        attempt.commit(one, &parts).await.context("committing 1")?;
        self.visible(RECORDS, "after the first commit")?;
        attempt.write(self.items(RECORDS + 5, 2 * RECORDS)).await?;
        if death == Death::WhileWriting {
            return Ok((1, parts));
        }
        let next = attempt.prepare(two, Vec::new()).await?;
        if self.exactly_once {
            self.visible(RECORDS, "before the second commit")?;
        }
        match death {
            Death::WhileWriting | Death::Prepared => return Ok((1, parts)),
            Death::Decided => {}
            Death::Committed => attempt.commit(two, &next).await.context("committing 2")?,
            Death::CommittedTwice => {
                attempt.commit(two, &next).await.context("committing 2")?;
                attempt.commit(two, &next).await.context("committing 2 again")?;
                self.visible(2 * RECORDS, "after a repeated commit")?;
            }
        }
        Ok((2, next))
    }

    async fn second<S: Sink<T>>(&self, sink: &S, at: u64, parts: &PreparedParts) -> Result<()> {
        let mut attempt = Attempt::open(sink, 3, "b").await?;
        for _ in 0..2 {
            let recovered = attempt.recover(Some(CheckpointId(at)), parts).await;
            recovered.with_context(|| format!("recovering from checkpoint {at}"))?;
            self.visible(at * RECORDS, "after the recovery")?;
            let left = self.destination.left_over()?;
            ensure!(left.is_empty(), "after the recovery, {left:?} is left over");
        }
        attempt.write(self.items(at * RECORDS, 3 * RECORDS)).await?;
        let next = CheckpointId(at + 1);
        let parts = attempt.prepare(next, Vec::new()).await?;
        attempt.commit(next, &parts).await.context("committing the rest")?;
        self.visible(3 * RECORDS, "at the end")?;
        let left = self.destination.left_over()?;
        ensure!(left.is_empty(), "at the end, {left:?} is left over");
        let after = CheckpointId(at + 2);
        let nothing = attempt.prepare(after, Vec::new()).await?;
        attempt.commit(after, &nothing).await.context("committing nothing")?;
        self.visible(3 * RECORDS, "after an empty checkpoint")
    }
}

/// Checks that a sink keeps the contract of `riverrun_engine::sink`. `fresh` makes a sink and its
/// destination, empty each time; `item` makes records that differ from each other. A sink without a
/// participant must lose nothing.
///
/// # Errors
/// What it breaks, and where the attempt had died.
pub fn check_sink<T: Data, S: Sink<T>, D: Destination<T>>(
    fresh: impl Fn() -> (S, D),
    item: impl Fn(u64) -> T,
) -> Result<()> {
    for death in DEATHS {
        let (sink, destination) = fresh();
        sink.check().context("`check` refuses the sink")?;
        let exactly_once = sink.participant(&context(UID, 0, 1, "a")).is_some();
        let check = Check { item: &item, destination, exactly_once };
        block_on(async {
            let (at, parts) = check.first(&sink, death).await?;
            check.second(&sink, at, &parts).await
        })
        .with_context(|| format!("an attempt that died at {death:?}"))?;
    }
    Ok(())
}
