//! What the next manifest names: runs and segments, and how merges change them. No I/O.
//!
//! Held by the writer of checkpoints. Invariant: the state of a key group is that of the one run
//! that holds it, if any, then its sections of the segments of later checkpoints, in order; a file
//! that contributes nothing to any key group is not named.

use std::ops::RangeInclusive;

use riverrun_engine::checkpoint::{CheckpointId, SnapshotMode};
use riverrun_engine::key::KeyGroup;

use super::compaction::{Facts, Order, RunFact, SegmentFact, decide};
use super::manifest::{RunEntry, SegmentEntry};
use super::run::merge::{Merged, Task};
use super::view::StateFiles;
use crate::doors::{self, Sizes};

/// Merges are overdue when there are so many times the segments that there should be, or when
/// deltas are so many times as long as what they change.
const OVERDUE: usize = 2;
/// Deltas of fewer bytes are no matter, however little state there is.
const SMALL_DELTA: u64 = 1 << 20;

/// The files of the newest checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    groups: u16,
    runs: Vec<RunEntry>,
    /// Each with the bytes of its entries by key group.
    segments: Vec<(SegmentEntry, Vec<u64>)>,
}

impl Chain {
    /// No state yet, of a job with `groups` key groups.
    #[must_use]
    pub fn new(groups: u16) -> Self {
        Chain { groups, runs: Vec::new(), segments: Vec::new() }
    }

    /// The files of a checkpoint with `groups` key groups.
    #[must_use]
    pub fn of(files: &StateFiles, groups: u16) -> Self {
        let runs = files.runs().map(|(entry, _)| entry.clone()).collect();
        let segments = files.segments().map(|(entry, segment)| {
            let mut by_group = vec![0; groups.into()];
            for section in segment.sections() {
                by_group[usize::from(section.group.0)] += section.bytes;
            }
            (entry.clone(), by_group)
        });
        Chain { groups, runs, segments: segments.collect() }
    }

    /// The runs, rising by key group.
    #[must_use]
    pub fn runs(&self) -> &[RunEntry] {
        &self.runs
    }

    /// The segments, rising by checkpoint.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &SegmentEntry> {
        self.segments.iter().map(|(entry, _)| entry)
    }

    /// The length of all files in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let runs = self.runs.iter().map(|run| run.bytes).sum::<u64>();
        runs + self.segments().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Whether merges have fallen behind, in number or in length of what they should take in. They
    /// come before records then, and checkpoints wait for them: so space stays bounded whatever the
    /// interval.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        let deltas = self.segments().filter(|entry| entry.mode == SnapshotMode::Delta);
        let deltas = deltas.map(|entry| entry.bytes).sum::<u64>();
        let base = (self.bytes() - deltas).max(SMALL_DELTA);
        self.segments.len() > doors::sizes().segments * OVERDUE || deltas > base * OVERDUE as u64
    }

    /// Adds the segment of the next checkpoint. A full one makes everything before it obsolete.
    pub fn push(&mut self, entry: SegmentEntry, by_group: Vec<u64>) {
        if entry.mode == SnapshotMode::Full {
            *self = Chain::new(self.groups);
        }
        self.segments.push((entry, by_group));
    }

    fn upto(&self, group: usize) -> Option<CheckpointId> {
        let run = self.runs.iter().find(|run| run.holds(KeyGroup(group as u16)));
        run.map(|run| run.upto)
    }

    /// What is worth merging now; files get the numbers from `number` on.
    #[must_use]
    pub fn task(&self, attempt: &str, number: u64) -> Option<Task> {
        let fact = |run: &RunEntry| RunFact {
            first: run.first.0,
            last: run.last.0,
            upto: run.upto,
            bytes: run.bytes,
        };
        let runs: Vec<_> = self.runs.iter().map(fact).collect();
        let segments = self.segments.iter().map(|(entry, by_group)| SegmentFact {
            checkpoint: entry.checkpoint,
            full: entry.mode == SnapshotMode::Full,
            by_group: by_group.clone(),
        });
        let segments: Vec<_> = segments.collect();
        let Sizes { merge_bytes: small_min, segments: segments_max, .. } = doors::sizes();
        let groups = self.groups;
        let facts = Facts { runs: &runs, segments: &segments, groups, small_min, segments_max };
        self.task_for(decide(&facts)?, attempt, number)
    }

    /// What `order` means here.
    pub(super) fn task_for(&self, order: Order, attempt: &str, number: u64) -> Option<Task> {
        let (groups, segments) = match order {
            Order::Merge { first, last, .. } => (first..=last, &self.segments[..]),
            Order::Squash { first, last } => (0..=self.groups - 1, &self.segments[first..=last]),
        };
        let matters = |segment: &&(SegmentEntry, Vec<u64>)| {
            matches!(order, Order::Squash { .. })
                || self.contributes(segment, usize::from(*groups.start())..=(*groups.end()).into())
        };
        let inputs = segments.iter().filter(matters).map(|(entry, _)| entry.clone());
        let (first, last) = (KeyGroup(*groups.start()), KeyGroup(*groups.end()));
        let within = |run: &&RunEntry| run.first <= last && run.last >= first;
        Some(Task {
            order,
            prompt: self.is_overdue(),
            groups: self.groups,
            runs: self.runs.iter().filter(within).cloned().collect(),
            segments: inputs.collect(),
            upto: segments.last().map(|(entry, _)| entry.checkpoint)?,
            attempt: attempt.to_owned(),
            number,
        })
    }

    /// Whether a segment holds what no run holds, in `groups`.
    fn contributes(
        &self,
        (entry, by_group): &(SegmentEntry, Vec<u64>),
        mut groups: RangeInclusive<usize>,
    ) -> bool {
        groups.any(|group| {
            by_group[group] > 0 && self.upto(group).is_none_or(|upto| upto < entry.checkpoint)
        })
    }

    /// Puts what a merge has made in the place of what it was made of. `false`, and nothing
    /// changes, where that is no longer named: a full segment has come between.
    pub fn apply(&mut self, task: &Task, merged: Merged) -> bool {
        let named = |input: &SegmentEntry| self.segments().any(|entry| entry.file == input.file);
        let runs_named = task.runs.iter().all(|run| self.runs.contains(run));
        if !runs_named || !task.segments.iter().all(named) {
            return false;
        }
        match merged {
            Merged::Runs(runs) => {
                self.runs.retain(|run| !task.runs.contains(run));
                self.runs.extend(runs);
                self.runs.sort_by_key(|run| run.first);
            }
            Merged::Segment(squashed) => {
                let is_input = |(entry, _): &(SegmentEntry, Vec<u64>)| {
                    task.segments.iter().any(|input| input.file == entry.file)
                };
                let at = self.segments.iter().position(is_input).unwrap_or_default();
                self.segments.retain(|segment| !is_input(segment));
                if let Some(squashed) = squashed {
                    self.segments.insert(at, squashed);
                }
            }
        }
        let all = 0..=usize::from(self.groups) - 1;
        let chain = self.clone();
        self.segments.retain(|segment| chain.contributes(segment, all.clone()));
        true
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
