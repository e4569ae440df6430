//! What to merge next: facts in, decision out, no I/O.
//!
//! Called by [`super::chain`] after each checkpoint. Two kinds of merge keep files, space and what
//! is written within bounds:
//!
//! - a **merge** of key groups writes their live rows anew, as runs: worth it when what changed
//!   since their run outweighs the run, so that a byte of change costs at most about one more;
//! - a **squash** makes one segment of several that follow each other: keys written again and again
//!   are in it once, and what runs hold already is left out. It keeps the number of segments within
//!   [`SEGMENTS_MAX`] at the cost of about one more byte for each power of [`SQUASHED`] between the
//!   length of a segment and that of the base.
//!
//! Rules, the first that applies:
//!
//! 1. The changes of a range outweigh its base (and [`RANGE_MIN`]): it is merged. A full segment
//!    counts as base. A state under [`SMALL`] is one range.
//! 2. Most of a full segment is held by runs already: the rest is merged too, range by range.
//! 3. Most of the bytes of all deltas are held by runs already: those that hold most are squashed.
//! 4. There are more than [`SEGMENTS_MAX`] deltas: the cheapest [`SQUASHED`] neighbours of like
//!    length are squashed; where they are too long for that, the range that changed most is merged.
//!
//! What is done where merges fall behind all the same: [`super::chain::Chain::is_overdue`].

use riverrun_engine::checkpoint::CheckpointId;

/// Ranges of key groups that are merged by themselves.
const RANGES: u16 = 16;
/// State with fewer bytes is one range.
pub(super) const SMALL: u64 = 16 << 20;
/// Changes of a range under so many bytes are not worth a merge.
const RANGE_MIN: u64 = 1 << 20;
/// The same where the whole state is one small range.
pub const SMALL_MIN: u64 = 256 << 10;
/// Named deltas; one more for each checkpoint that completes while a merge runs.
pub const SEGMENTS_MAX: usize = 64;
/// Segments squashed at once.
const SQUASHED: usize = 16;
/// Of segments that are squashed, the longest is at most such a part of all, where there is a
/// choice.
const ALIKE: u64 = 4;
/// Bytes squashed at once: they are in memory.
const SQUASH_BYTES_MAX: u64 = 64 << 20;

/// What is known of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunFact {
    /// Its first key group.
    pub first: u16,
    /// Its last.
    pub last: u16,
    /// The checkpoint whose state it is.
    pub upto: CheckpointId,
    /// Its length.
    pub bytes: u64,
}

/// What is known of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFact {
    /// Its (last) checkpoint.
    pub checkpoint: CheckpointId,
    /// Whether it holds everything.
    pub full: bool,
    /// Bytes of entries by key group.
    pub by_group: Vec<u64>,
}

/// What the next manifest would name.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Rising; no two hold the same group.
    pub runs: &'a [RunFact],
    /// Rising by checkpoint; only the first may be full.
    pub segments: &'a [SegmentFact],
    /// The number of key groups.
    pub groups: u16,
    /// Changes of a small state from which on it is worth a merge: [`SMALL_MIN`].
    pub small_min: u64,
    /// Deltas that are named before some are squashed: [`SEGMENTS_MAX`].
    pub segments_max: usize,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make runs of these key groups; no run crosses the ends.
    Merge {
        /// The first.
        first: u16,
        /// The last.
        last: u16,
        /// How many groups lie in one run at most.
        groups_a_run: u16,
    },
    /// Make one of the segments with these positions.
    Squash {
        /// The first.
        first: usize,
        /// The last.
        last: usize,
    },
}

impl Facts<'_> {
    fn upto(&self, group: u16) -> Option<CheckpointId> {
        let run = self.runs.iter().find(|run| (run.first..=run.last).contains(&group));
        run.map(|run| run.upto)
    }

    /// Bytes of each segment that no run holds, by key group.
    fn live(&self) -> Vec<Vec<u64>> {
        let upto: Vec<_> = (0..self.groups).map(|group| self.upto(group)).collect();
        let live = |segment: &SegmentFact| {
            let groups = segment.by_group.iter().zip(&upto);
            let bytes = |(bytes, upto): (&u64, &Option<CheckpointId>)| {
                if upto.is_some_and(|upto| upto >= segment.checkpoint) { 0 } else { *bytes }
            };
            groups.map(bytes).collect()
        };
        self.segments.iter().map(live).collect()
    }

    /// The part of the runs' bytes that lies in a range.
    fn run_bytes(&self, first: u16, last: u16) -> u64 {
        let part = |run: &RunFact| {
            let (from, to) = (run.first.max(first), run.last.min(last));
            let groups = u64::from((to + 1).saturating_sub(from));
            run.bytes * groups / u64::from(run.last - run.first + 1)
        };
        self.runs.iter().map(part).sum()
    }

    /// The range, widened until no run crosses its ends.
    fn widened(&self, first: u16, last: u16) -> (u16, u16) {
        let meets = self.runs.iter().filter(|run| run.first <= last && run.last >= first);
        meets.fold((first, last), |(from, to), run| (from.min(run.first), to.max(run.last)))
    }
}

/// Decides what to merge next, if anything.
#[must_use]
pub fn decide(facts: &Facts<'_>) -> Option<Order> {
    let live = facts.live();
    let sum = |segment: usize| live[segment].iter().sum::<u64>();
    let deltas = facts.segments.iter().take_while(|segment| segment.full).count()..live.len();
    let full = (0..deltas.start).map(sum).sum::<u64>();
    let delta_bytes = deltas.clone().map(sum).sum::<u64>();
    let state = facts.run_bytes(0, facts.groups - 1) + full + delta_bytes;
    let (ranges, least) = if state < SMALL { (1, facts.small_min) } else { (RANGES, RANGE_MIN) };
    let groups_a_run = facts.groups.div_ceil(ranges.min(facts.groups));
    let in_range = |segment: usize, (first, last): (u16, u16)| {
        live[segment][first.into()..=last.into()].iter().sum::<u64>()
    };
    let merge = |(first, last)| {
        let (first, last) = facts.widened(first, last);
        Order::Merge { first, last, groups_a_run }
    };
    let ends = |first: u16| (first, (first + groups_a_run).min(facts.groups) - 1);
    let all = (0..facts.groups).step_by(groups_a_run.into()).map(ends);
    let changed = |range| deltas.clone().map(|segment| in_range(segment, range)).sum::<u64>();
    let full_in = |range| (0..deltas.start).map(|segment| in_range(segment, range)).sum::<u64>();

    let outweighs = |range: &(u16, u16)| {
        changed(*range) > (facts.run_bytes(range.0, range.1) + full_in(*range)).max(least)
    };
    if let Some(range) = all.clone().filter(outweighs).max_by_key(|range| changed(*range)) {
        return Some(merge(range));
    }
    let written = |segment: usize| facts.segments[segment].by_group.iter().sum::<u64>();
    let full_written = (0..deltas.start).map(written).sum::<u64>();
    if full > 0 && full_written - full > full {
        return all.clone().max_by_key(|range| full_in(*range)).map(merge);
    }
    let dead = |segments: std::ops::Range<usize>| {
        segments.map(|segment| written(segment) - sum(segment)).sum::<u64>()
    };
    if dead(deltas.clone()) > delta_bytes.max(least) {
        let windows = windows(&deltas, &live).map(|window| (dead(window.0..window.1 + 1), window));
        let most = windows.max_by_key(|(dead, _)| *dead).filter(|(dead, _)| *dead > 0);
        if let Some((_, (first, last))) = most {
            return Some(Order::Squash { first, last });
        }
    }
    if deltas.len() <= facts.segments_max {
        return None;
    }
    let cost = |(first, last): &(usize, usize)| {
        let bytes = (*first..=*last).map(sum);
        let (total, longest) = (bytes.clone().sum::<u64>(), bytes.max().unwrap_or(0));
        // Of a kind: otherwise one long segment would be written again for every few short ones.
        (longest > total / ALIKE, total)
    };
    let whole = windows(&deltas, &live).filter(|window| window.1 - window.0 + 1 == SQUASHED);
    match whole.min_by_key(cost) {
        Some((first, last)) => Some(Order::Squash { first, last }),
        None => all.max_by_key(|range| changed(*range)).map(merge),
    }
}

/// Neighbours that can be squashed at once: as many as allowed from each position on.
fn windows(
    deltas: &std::ops::Range<usize>,
    live: &[Vec<u64>],
) -> impl Iterator<Item = (usize, usize)> {
    let end = deltas.end;
    deltas.clone().filter_map(move |first| {
        let mut bytes = 0;
        let fits = |segment: &usize| {
            bytes += live[*segment].iter().sum::<u64>();
            bytes <= SQUASH_BYTES_MAX
        };
        let count = (first..end.min(first + SQUASHED)).take_while(fits).count();
        (count > 0).then(|| (first, first + count - 1))
    })
}

#[cfg(test)]
#[path = "compaction_tests.rs"]
mod tests;
