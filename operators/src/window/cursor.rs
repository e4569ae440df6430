//! [`Cursor`]: how far the windows of a grid have fired, and firing on from there in parts.
//!
//! Kept in memory only: between two answers of `Firing::More` no snapshot is taken, and at every
//! other moment the watermark says it all. Gaps are leapt over, never walked: the next window to
//! fire is found from the first slice that holds records.
//!
//! Restored with key groups of subtasks that stood at different watermarks, it begins at the lowest
//! and leaves out what a group has fired before: its floor. The first firing levels them.

use riverrun_engine::Result;
use riverrun_engine::checkpoint::RestoredTime;
use riverrun_engine::operator::Firing;
use riverrun_engine::time::Timestamp;

use super::slices::{Grid, is_over};

/// About how many results one call emits; a part of a key group is never cut.
const RESULTS_PER_CALL: usize = 4096;

/// How far the windows have fired.
#[derive(Debug)]
pub(super) struct Cursor {
    /// Every window that ends by then has fired.
    fired: i128,
    /// How many key groups of the window after `fired` have fired too.
    group: usize,
    /// How many parts of the key group after those, and of how many: settled with the first, since
    /// eviction or growth between two calls may change what is best.
    part: usize,
    parts: Option<usize>,
    /// What each key group had fired when it was restored, if not all the same.
    floors: Vec<i128>,
}

impl Cursor {
    /// Everything due at `watermark` has fired.
    pub(super) fn at(watermark: Timestamp) -> Self {
        Cursor { fired: due_at(watermark), group: 0, part: 0, parts: None, floors: Vec::new() }
    }

    /// Every key group has fired what was due at its floor.
    pub(super) fn restored(time: &RestoredTime) -> Self {
        let lowest = time.floors.iter().min().copied().unwrap_or(time.watermark);
        let floors = time.floors.iter().map(|floor| due_at(*floor)).collect();
        Cursor { floors, ..Cursor::at(lowest) }
    }

    /// Fires windows that are over, in the order of their ends, until there is none or enough was
    /// emitted. `starts` are those of the slices, `next` finds the end of the first window after
    /// (a slice's start, what has fired), and `emit` the window with this end for one part of one
    /// key group, of so many as it chose for the first: it tells how many results that were, and of
    /// how many parts.
    pub(super) fn fire(
        &mut self,
        grid: Grid,
        groups: usize,
        watermark: Timestamp,
        starts: &[Timestamp],
        next: impl Fn(Timestamp, i128) -> i128,
        mut emit: impl FnMut(i128, usize, (usize, Option<usize>)) -> Result<(usize, usize)>,
    ) -> Result<Firing> {
        let mut starts = starts.iter().copied().peekable();
        let mut emitted = 0;
        loop {
            while starts.next_if(|start| grid.last_end(*start) <= self.fired).is_some() {}
            let end = starts.peek().map(|start| next(*start, self.fired));
            let Some(end) = end.filter(|end| is_over(*end, watermark)) else {
                self.fired = self.fired.max(due_at(watermark));
                if self.floors.iter().all(|floor| *floor <= self.fired) {
                    self.floors = Vec::new();
                }
                return Ok(Firing::Done);
            };
            while self.group < groups {
                if emitted >= RESULTS_PER_CALL {
                    return Ok(Firing::More);
                }
                let mut parts = 1;
                if self.floors.get(self.group).is_none_or(|floor| *floor < end) {
                    let (results, of) = emit(end, self.group, (self.part, self.parts))?;
                    (emitted, parts) = (emitted + results, of);
                }
                (self.part, self.parts) = (self.part + 1, Some(parts));
                if self.part >= parts {
                    (self.group, self.part, self.parts) = (self.group + 1, 0, None);
                }
            }
            (self.fired, self.group) = (end, 0);
        }
    }

    /// No slice before this moment is needed any more.
    pub(super) fn needed_from(&self, grid: Grid) -> Timestamp {
        grid.needed_from(self.fired)
    }
}

/// The last end that is over at `watermark`: at the end of time, every one.
fn due_at(watermark: Timestamp) -> i128 {
    match watermark {
        Timestamp::MAX => i128::MAX / 2,
        before => i128::from(before.as_millis()),
    }
}
