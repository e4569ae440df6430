//! The work of a merge: from runs and segments to new runs, or from segments to one.
//!
//! Called by the merger beside the coordinator, on a thread of its own. Invariants: live state is
//! not touched, only files are read and made; nothing is visible before a manifest names it; of the
//! inputs one key group's changes and one block are in memory, of the output one file, which ends
//! after [`RUN_BYTES`] at the next key group.
//!
//! 1. Open the inputs, index by index.
//! 2. Key group by key group, state by state: changes over rows, into the file under way.
//! 3. Where a file is long enough, or its range of key groups ends: make it durable under a new
//!    name. A file whose write failed is given up; the next try takes the next name, since a second
//!    fsync over the same bytes would prove nothing.

use std::time::Duration;

use riverrun_engine::checkpoint::{CheckpointId, Section};
use riverrun_engine::crash_point;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::KeyGroup;
use riverrun_engine::planted;

use super::format::BLOCK_BYTES;
use super::puts::{Put, Puts};
use super::writer::{Name, RunWriter};
use crate::checkpoint::changes::Changes;
use crate::checkpoint::compaction::Order;
use crate::checkpoint::frame::FormatError;
use crate::checkpoint::manifest::{RunEntry, SegmentEntry};
use crate::checkpoint::pins::Pinned;
use crate::checkpoint::segment::SegmentWriter;
use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::view::{StateFiles, Trust};
use crate::checkpoint::{StoreError, names};
use crate::doors;

/// The length at which a run ends, at the next key group.
const RUN_BYTES: usize = 64 << 20;

/// What to merge.
#[derive(Clone, Debug)]
pub struct Task {
    /// How.
    pub order: Order,
    /// Whether it neither rests nor gives way to those who move records: merges have fallen behind.
    pub prompt: bool,
    /// The number of key groups of the job.
    pub groups: u16,
    /// The runs that hold some of the key groups.
    pub runs: Vec<RunEntry>,
    /// The segments to apply over them, or to squash.
    pub segments: Vec<SegmentEntry>,
    /// The last checkpoint whose changes are in.
    pub upto: CheckpointId,
    /// Whose files it makes.
    pub attempt: String,
    /// The number of the first file it makes.
    pub number: u64,
}

/// What a merge has made.
#[derive(Clone, Debug)]
pub enum Merged {
    /// In the place of the task's runs.
    Runs(Vec<RunEntry>),
    /// In the place of the task's segments, with its bytes by key group; `None` where nothing is
    /// left of them.
    Segment(Option<(SegmentEntry, Vec<u64>)>),
}

impl Merged {
    /// Bytes written.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Merged::Runs(runs) => runs.iter().map(|run| run.bytes).sum(),
            Merged::Segment(segment) => segment.as_ref().map_or(0, |(entry, _)| entry.bytes),
        }
    }
}

/// Does `task`; `pinned` keeps what it makes.
///
/// # Errors
/// A damaged input; storage that is full or fails. What was made is an orphan then.
pub async fn merge(
    store: &CheckpointStore,
    task: &Task,
    pinned: &mut Pinned,
) -> Result<Merged, StoreError> {
    let named = (task.runs.as_slice(), task.segments.as_slice());
    let files = StateFiles::open(store, task.upto, named, task.groups, Trust::Blockwise).await?;
    match task.order {
        Order::Merge { first, last, groups_a_run } => {
            let mut runs = Runs { store, task, files: &files, made: Vec::new() };
            runs.make(first, last, groups_a_run, pinned).await?;
            Ok(Merged::Runs(runs.made))
        }
        Order::Squash { .. } => squash(store, task, &files, pinned).await.map(Merged::Segment),
    }
}

fn unwritable(task: &Task) -> impl Fn(FormatError) -> StoreError {
    let checkpoint = task.upto;
    move |error| StoreError::Unwritable { checkpoint, reason: error.to_string() }
}

struct Runs<'a> {
    store: &'a CheckpointStore,
    task: &'a Task,
    files: &'a StateFiles,
    made: Vec<RunEntry>,
}

impl Runs<'_> {
    async fn make(
        &mut self,
        first: u16,
        last: u16,
        groups_a_run: u16,
        pinned: &mut Pinned,
    ) -> Result<(), StoreError> {
        let (names, mut pace) = (self.files.names(), Pace::of(self.task));
        let (mut from, mut writer) = (first, self.writer(&names)?);
        for group in first..=last {
            self.add(group, &names, &mut writer).await?;
            let ends =
                group == last || (group + 1) % groups_a_run == 0 || writer.bytes() >= RUN_BYTES;
            if ends {
                let full = if group == last { self.writer(&[])? } else { self.writer(&names)? };
                let full = std::mem::replace(&mut writer, full);
                self.end(full, KeyGroup(from)..=KeyGroup(group), pinned).await?;
                from = group + 1;
            }
            pace.rest().await;
        }
        Ok(())
    }

    fn writer(&self, names: &[Name]) -> Result<RunWriter, StoreError> {
        RunWriter::new(names).map_err(unwritable(self.task))
    }

    async fn add(
        &self,
        group: u16,
        names: &[Name],
        writer: &mut RunWriter,
    ) -> Result<(), StoreError> {
        for (number, (uid, state)) in (0..).zip(names) {
            let mut add = |namespace: &[u8], key: &[u8], value: &[u8]| {
                let added = writer.add((KeyGroup(group), number), (namespace, key), value);
                added.map_err(unwritable(self.task))
            };
            let changes = self.files.changes(KeyGroup(group), uid, state).await?;
            if let Some(puts) = self.files.puts(&changes)? {
                self.add_under((KeyGroup(group), uid, state), puts.rising(), add).await?;
                continue;
            }
            let mut rows = self.files.rows_with((KeyGroup(group), uid, state), &changes)?;
            while let Some(row) = rows.next().await? {
                add(&row.namespace, &row.key, &row.value)?;
            }
        }
        Ok(())
    }

    /// The rows of a key group's run, with `puts` over them.
    async fn add_under(
        &self,
        (group, uid, state): (KeyGroup, &str, &str),
        puts: impl Iterator<Item = Put<'_>>,
        mut add: impl FnMut(&[u8], &[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut puts = puts.map(|put| put.entry).peekable();
        if let Some((_, run)) = self.files.run_of(group) {
            for span in run.spans(run.blocks(group, uid, state)) {
                for row in run.rows(span).await? {
                    let at = (&row.namespace[..], &row.key[..]);
                    while let Some(put) = puts.next_if(|put| (put.namespace, put.key) < at) {
                        add(put.namespace, put.key, put.value)?;
                    }
                    if puts.peek().is_none_or(|put| (put.namespace, put.key) != at) {
                        add(&row.namespace, &row.key, &row.value)?;
                    }
                }
            }
        }
        puts.try_for_each(|put| add(put.namespace, put.key, put.value))
    }

    async fn end(
        &mut self,
        writer: RunWriter,
        groups: std::ops::RangeInclusive<KeyGroup>,
        pinned: &mut Pinned,
    ) -> Result<(), StoreError> {
        let written = writer.finish().map_err(unwritable(self.task))?;
        let number = self.task.number + self.made.len() as u64;
        let file = names::run(self.task.upto, &self.task.attempt, number)?;
        pinned.add(file.clone());
        let ahead = u64::from(planted!("merge.upto.ahead")) * 3;
        let upto = CheckpointId(self.task.upto.0 + ahead);
        self.made.push(self.store.write_run(file, upto, groups, written).await?);
        crash_point!("merge.run.written");
        Ok(())
    }
}

/// Keeps a merge from taking more than half of a core from those who move records: it rests as long
/// as it has worked, unless it is prompt.
struct Pace {
    since: Duration,
    rests: bool,
}

impl Pace {
    /// Shorter work is added up: rests are that exact at best.
    const WORK_MIN: Duration = Duration::from_millis(5);
    /// A long wait for storage is no reason for a long rest.
    const REST_MAX: Duration = Duration::from_millis(100);

    fn of(task: &Task) -> Self {
        Pace { since: doors::monotonic(), rests: !task.prompt }
    }

    async fn rest(&mut self) {
        let worked = doors::monotonic().saturating_sub(self.since);
        if worked < Self::WORK_MIN {
            return;
        }
        if self.rests {
            tokio::time::sleep(worked.min(Self::REST_MAX)).await;
        } else {
            // It may be ended here.
            tokio::task::yield_now().await;
        }
        self.since = doors::monotonic();
    }
}

async fn squash(
    store: &CheckpointStore,
    task: &Task,
    files: &StateFiles,
    pinned: &mut Pinned,
) -> Result<Option<(SegmentEntry, Vec<u64>)>, StoreError> {
    let names: Vec<_> = files.names().into_iter().map(|(uid, s)| (Uid::new(&uid), s)).collect();
    let mut writer = SegmentWriter::new();
    let (mut by_group, mut pace) = (vec![0; task.groups.into()], Pace::of(task));
    for group in 0..task.groups {
        for (uid, state) in &names {
            let changes = files.changes(KeyGroup(group), &uid.0, state).await?;
            // It is sorted anyhow: where it has more than a block, it can be read by key.
            let written = match files.puts(&changes)? {
                Some(puts) if puts.bytes() >= BLOCK_BYTES => {
                    writer.add_rising((uid, state, KeyGroup(group)), (0, &[]), puts.rising())
                }
                puts => {
                    let section = short_or_removing(task, files, group, (puts, &changes))?;
                    let added = match section.bytes.len() {
                        0 => Ok(()),
                        1..BLOCK_BYTES => writer.add(uid, state, &section),
                        _ => writer.add_sorted(uid, state, &section),
                    };
                    added.map(|()| section.bytes.len() as u64)
                }
            };
            by_group[usize::from(group)] += written.map_err(unwritable(task))?;
        }
        pace.rest().await;
    }
    if writer.is_empty() {
        return Ok(None);
    }
    let (pieces, entries) = writer.finish();
    let file = names::squashed(task.upto, &task.attempt, task.number)?;
    pinned.add(file.clone());
    let entry = store.write_squashed(file, task.upto, pieces, entries).await?;
    crash_point!("merge.squashed");
    Ok(Some((entry, by_group)))
}

/// What `changes` do, in order: their puts, where they are known to be nothing else.
fn short_or_removing(
    task: &Task,
    files: &StateFiles,
    group: u16,
    (puts, changes): (Option<Puts<'_>>, &Changes),
) -> Result<Section, StoreError> {
    let mut bytes = Vec::new();
    let written = match puts {
        Some(puts) => Ok(puts.write(&mut bytes)),
        None => files.overlay(changes)?.write(&mut bytes),
    };
    let entries = written.map_err(|error| StoreError::Unwritable {
        checkpoint: task.upto,
        reason: format!("{error:#}"),
    })?;
    Ok(Section { group: KeyGroup(group), entries, bytes: bytes.into() })
}
