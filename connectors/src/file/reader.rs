//! Reads the splits of one subtask in turn, a chunk at a time, ahead of the task.
//!
//! One chunk is read at a time, by a job on a thread for blocking work that takes the cursor along
//! and brings it back; the task takes records out of finished chunks and never waits for a file.
//! What was read ahead is in no offset: an offset follows the records handed out. The job of a
//! dropped reader ends with its chunk.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::task::noop_waker_ref;
use riverrun_engine::Result;
use riverrun_engine::context::TaskContext;
use riverrun_engine::data::Data;
use riverrun_engine::element::Batch;
use riverrun_engine::planted;
use riverrun_engine::source::{Progress, SourceReader, SplitIndex};
use riverrun_engine::time::Timestamp;

use super::chunk::{After, Chunk, Mark};
use super::cursor::Cursor;
use super::error::FileError;
use super::format::Format;
use super::input::Packing;
use super::source::ReadSettings;
use super::split::{FileOffset, FileSplit};

/// Finished chunks that wait for the task; one more may be being read.
const CHUNKS_AHEAD: usize = 2;
/// Files that are open at the same time.
const OPEN_FILES: usize = 64;
/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    CaughtUp,
}

struct Assigned {
    offset: Option<FileOffset>,
    said: Said,
}

/// A finished chunk, and how much of it was handed out.
struct Finished<T> {
    split: SplitIndex,
    items: std::vec::IntoIter<T>,
    marks: Vec<Mark>,
    handed: usize,
    skipped: u64,
    chunk: Chunk<T>,
}

struct Brought<T, D> {
    split: SplitIndex,
    cursor: Cursor<D>,
    chunk: Chunk<T>,
}

/// A chunk being read on a thread for blocking work.
type Job<T, D> = BoxFuture<'static, Result<Brought<T, D>>>;

/// Reads the files of one subtask.
pub struct FileReader<T: Data, F: Format<T>> {
    format: F,
    settings: ReadSettings,
    ctx: TaskContext,
    assigned: Vec<Assigned>,
    /// Splits to read, in turn: the first [`OPEN_FILES`] may be open.
    turns: VecDeque<(SplitIndex, Cursor<F::Decoder>)>,
    /// Splits that have caught up, until the next look.
    resting: VecDeque<(SplitIndex, Cursor<F::Decoder>)>,
    rest: Option<BoxFuture<'static, ()>>,
    job: Option<Job<T, F::Decoder>>,
    finished: VecDeque<Finished<T>>,
    failed: Option<anyhow::Error>,
}

impl<T: Data, F: Format<T>> FileReader<T, F> {
    pub(super) fn new(format: F, settings: ReadSettings, ctx: TaskContext) -> Self {
        FileReader {
            format,
            settings,
            ctx,
            assigned: Vec::new(),
            turns: VecDeque::new(),
            resting: VecDeque::new(),
            rest: None,
            job: None,
            finished: VecDeque::new(),
            failed: None,
        }
    }

    /// Goes on as far as that needs no waiting; whether there is something to hand out.
    fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.rest.as_mut().is_some_and(|rest| rest.poll_unpin(cx).is_ready()) {
                self.rest = None;
                self.turns.append(&mut self.resting);
            }
            if self.rest.is_none() && !self.resting.is_empty() {
                self.rest = Some(self.ctx.sleep.sleep(POLL));
                continue;
            }
            if self.job.is_none() && self.finished.len() < CHUNKS_AHEAD {
                self.job = self.turns.pop_front().map(|(split, cursor)| self.begin(split, cursor));
            }
            match self.job.as_mut().map(|job| job.poll_unpin(cx)) {
                Some(Poll::Ready(brought)) => {
                    self.job = None;
                    match brought {
                        Ok(brought) => self.take(brought),
                        Err(error) => self.failed = Some(error),
                    }
                }
                Some(Poll::Pending) | None => break,
            }
        }
        !self.finished.is_empty() || self.failed.is_some()
    }

    fn begin(&self, split: SplitIndex, mut cursor: Cursor<F::Decoder>) -> Job<T, F::Decoder> {
        let (settings, format) = (self.settings, self.format.clone());
        let work = self.ctx.blocking(move || {
            let chunk = cursor.read(&settings, &format);
            Ok(Brought { split, cursor, chunk })
        });
        work.boxed()
    }

    fn take(&mut self, Brought { split, cursor, mut chunk }: Brought<T, F::Decoder>) {
        match chunk.after {
            After::More => {
                let at = self.turns.len().min(OPEN_FILES - 1);
                self.turns.insert(at, (split, cursor));
            }
            After::CaughtUp => self.resting.push_back((split, cursor)),
            After::Ended | After::Failed(_) => {}
        }
        let items = std::mem::take(&mut chunk.items).into_iter();
        let marks = std::mem::take(&mut chunk.marks);
        self.finished.push_back(Finished { split, items, marks, handed: 0, skipped: 0, chunk });
    }

    /// Hands out of the first chunk; `None` when it has nothing more to say.
    fn hand_out(&mut self, out: &mut Batch<T>, records_max: usize) -> Result<Option<Progress>> {
        let Some(first) = self.finished.front_mut() else { return Ok(Some(Progress::Pending)) };
        let split = first.split;
        let assigned = &mut self.assigned[split.0];
        let seen = first.chunk.seen;
        let records = first.items.len().min(records_max);
        if records > 0 {
            out.items.extend(first.items.by_ref().take(records));
            out.timestamps.resize(out.items.len(), Timestamp::MIN);
            let marks = &first.marks[first.handed..first.handed + records];
            first.handed += records;
            let last = match () {
                () if planted!("offset.before.last") => marks[records.saturating_sub(2)],
                () if planted!("offset.of.chunk") => first.marks[first.marks.len() - 1],
                () => marks[records - 1],
            };
            assigned.offset = Some(FileOffset { place: last.place, seen });
            assigned.said = Said::Nothing;
            self.ctx.metrics.skipped.add(last.skipped - first.skipped);
            first.skipped = last.skipped;
            let (first, last) = (marks[0].line, last.line);
            return Ok(Some(Progress::Records { split, first, last }));
        }
        let Some(Finished { skipped, mut chunk, .. }) = self.finished.pop_front() else {
            return Ok(None);
        };
        self.ctx.metrics.skipped.add(chunk.skipped - skipped);
        if let Some(place) = chunk.place.filter(|place| place.bytes > 0) {
            assigned.offset = Some(FileOffset { place, seen });
        }
        Ok(match std::mem::replace(&mut chunk.after, After::More) {
            After::More => None,
            After::Ended => Some(Progress::Ended(split)),
            After::CaughtUp if assigned.said == Said::CaughtUp => None,
            After::CaughtUp => {
                assigned.said = Said::CaughtUp;
                Some(Progress::CaughtUp(split))
            }
            After::Failed(error) => return Err(error.into()),
        })
    }
}

impl<T: Data, F: Format<T>> SourceReader for FileReader<T, F> {
    type Item = T;
    type Split = FileSplit;
    type Offset = FileOffset;

    async fn assign(&mut self, split: FileSplit, offset: Option<FileOffset>) -> Result<()> {
        let wanted =
            self.settings.split_bytes.filter(|_| Packing::of(&split.path) == Packing::Plain);
        if split.size != wanted {
            let write = match split.size {
                Some(size) => format!("write `.split_bytes({size})`"),
                None => "remove `.split_bytes(..)`".to_owned(),
            };
            let path = &split.path;
            let reason = format!("the checkpoint has other ranges of '{path}': {write} again");
            return Err(FileError::Setting { reason }.into());
        }
        let mut cursor = Cursor::new(split, offset);
        let looked = self.ctx.blocking(move || {
            cursor.look()?;
            Ok(cursor)
        });
        let cursor = looked.await?;
        let index = SplitIndex(self.assigned.len());
        self.turns.push_back((index, cursor));
        self.assigned.push(Assigned { offset, said: Said::Nothing });
        Ok(())
    }

    fn next(&mut self, out: &mut Batch<T>, records_max: usize) -> Result<Progress> {
        loop {
            self.advance(&mut Context::from_waker(noop_waker_ref()));
            if self.finished.is_empty()
                && let Some(error) = self.failed.take()
            {
                return Err(error);
            }
            if let Some(progress) = self.hand_out(out, records_max)? {
                return Ok(progress);
            }
        }
    }

    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        poll_fn(|cx| if self.advance(cx) { Poll::Ready(()) } else { Poll::Pending })
    }

    fn offset(&self, split: SplitIndex) -> Option<FileOffset> {
        self.assigned.get(split.0)?.offset
    }
}
