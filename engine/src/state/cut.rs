//! A table's part of a snapshot: cut at the barrier, written afterwards in small steps.
//!
//! 1. [`Table::cut`] only swaps the lists: microseconds, whatever changed.
//! 2. [`Table::write_some`] writes a step of what the lists name, between two batches.
//! 3. [`Table::take_sections`] when there is nothing left to write.
//!
//! Invariant: an interval is written whole before the next cut, so two parities tell the entries
//! of one from those of the other.

use super::layout::{Due, Rows};
use super::log::Log;
use super::segment::{Dirty, Pending, Segment, kept};
use super::table::{Table, write};
use crate::checkpoint::{Section, SnapshotMode, Turnover};
use crate::data::Key;
use crate::operator::Result;

/// How much one step writes: entries looked at or written.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) entries: usize,
}

impl Budget {
    /// About a tenth of a millisecond.
    pub(crate) fn step() -> Self {
        Budget { entries: 2048 }
    }

    pub(super) fn spend(&mut self, entries: usize) {
        self.entries = self.entries.saturating_sub(entries);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.entries == 0
    }
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// The barrier is here: what has changed until now belongs to it, or everything does.
    pub(crate) fn cut(&mut self, mode: SnapshotMode) {
        debug_assert!(self.writing.is_none(), "the cut before is written whole");
        let mut turnover = Turnover::default();
        for segment in &mut self.segments {
            let (now, entries) = (std::mem::take(&mut segment.now), segment.slots.len() as u64);
            let changed = u64::from(now.count).min(entries);
            turnover = turnover.and(Turnover { changed, entries });
            segment.then = match mode {
                SnapshotMode::Full if segment.slots.is_empty() => Pending::Nothing,
                SnapshotMode::Full => Pending::All,
                SnapshotMode::Delta if now.is_empty() => Pending::Nothing,
                SnapshotMode::Delta => Pending::Changed(now),
            };
        }
        self.logged = self.bytes_logged();
        for logs in &mut self.logs {
            let now = logs.now.take();
            logs.then = match mode {
                SnapshotMode::Full => Log::default(),
                SnapshotMode::Delta => now,
            };
        }
        self.turnover = self.cold.is_none().then_some(turnover);
        self.dirty = self.dirty.next();
        self.writing = Some(0);
        self.writing_all = mode == SnapshotMode::Full;
        self.writing_spilled = (self.writing_all && self.cold.is_some()).then_some((0, None));
    }

    /// Writes a part of what was cut; whether all of it is written.
    pub(crate) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        let Some(mut at) = self.writing else { return Ok(true) };
        while at < self.segments.len() {
            if budget.is_spent() {
                self.writing = Some(at);
                return Ok(false);
            }
            if self.write_segment(at, budget)? {
                at += 1;
            }
        }
        self.writing = Some(at);
        if !self.write_spilled(budget)? {
            return Ok(false);
        }
        self.writing = None;
        self.writing_all = false;
        Ok(true)
    }

    /// Whether all of the segment is written.
    fn write_segment(&mut self, at: usize, budget: &mut Budget) -> Result<bool> {
        let Table { segments, logs, layout, dirty, .. } = self;
        let Segment { slots, then, group, .. } = &mut segments[at];
        let log = &mut logs[usize::from(*group)].then;
        let cut = dirty.next();
        match then {
            Pending::Nothing => return Ok(true),
            Pending::All => {
                let tracked = *dirty != Dirty::No;
                let due = if tracked { Due::Unmarked(*dirty) } else { Due::All };
                layout.write_due(slots, (due, slots.len()), log)?;
                budget.spend(slots.len());
            }
            Pending::Changed(listed) if listed.many => {
                let count = slots.len().min(listed.count as usize);
                layout.write_due(slots, (Due::Marked(cut), count), log)?;
                budget.spend(slots.len());
            }
            Pending::Changed(listed) => {
                while let Some(hash) = listed.hashes.pop() {
                    let hash = kept(hash);
                    let changed = slots.find_mut(hash, |s| s.mark.hash() == hash && s.mark.is(cut));
                    if let Some(slot) = changed {
                        write(slot, Rows::Changed, &mut **layout, log)?;
                    }
                    budget.spend(1);
                    if budget.is_spent() && !listed.hashes.is_empty() {
                        return Ok(false);
                    }
                }
            }
        }
        *then = Pending::Nothing;
        Ok(true)
    }

    /// Takes what was written for the last cut, by position of the key group.
    pub(crate) fn take_logs(&mut self) -> impl Iterator<Item = Log> {
        self.logs.iter_mut().map(|logs| logs.then.take())
    }

    /// Of the interval before the last cut, where all entries were in memory.
    pub(crate) fn turnover(&self) -> Option<Turnover> {
        self.turnover
    }

    /// Takes what was written for the last cut.
    pub(crate) fn take_sections(&mut self) -> Vec<Section> {
        let groups = self.range().iter();
        let logs = self.take_logs();
        sections(groups.zip(logs))
    }
}

/// The sections of the logs that hold anything.
pub(crate) fn sections(logs: impl Iterator<Item = (u16, Log)>) -> Vec<Section> {
    let written = logs.filter(|(_, log)| !log.is_empty());
    written.map(|(group, log)| log.into_section(crate::key::KeyGroup(group))).collect()
}
