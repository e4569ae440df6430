//! The fold over tumbling and sliding windows: a closure instead of an aggregate.
//!
//! A fold cannot merge, so overlapping windows cannot share slices: every window keeps an
//! accumulator of its own, and a record updates (and is cloned for) each of its size / step
//! windows. `aggregate` does one update; on tumbling windows both cost the same.

use std::sync::Arc;

use riverrun_engine::Result;
use riverrun_engine::checkpoint::RestoredTime;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::operator::{Firing, Operator, OperatorContext};
use riverrun_engine::state::{Declare, SliceTable, Slot, StateStore};
use riverrun_engine::time::Timestamp;

use super::Windowed;
use super::cursor::Cursor;
use super::late::Late;
use super::operator::{drop_fired, emit_slice};
use super::slices::{Grid, is_over};

/// Keeps an accumulator per key and window, by the window's start.
pub(crate) struct FoldOperator<K, T, S, F> {
    grid: Grid,
    late: Late<T>,
    fold: Arc<F>,
    windows: Slot<SliceTable<K, S>>,
    cursor: Cursor,
}

impl<K: Key, T: Data, S: Data + Default, F> FoldOperator<K, T, S, F> {
    pub(crate) fn open(declare: &mut Declare<K>, grid: Grid, late: Late<T>, fold: Arc<F>) -> Self {
        let windows = declare.sliced(&grid.windows_name());
        FoldOperator { grid, late, fold, windows, cursor: Cursor::at(Timestamp::MIN) }
    }
}

impl<K: Key, T: Data, S: Data + Default, F> Operator for FoldOperator<K, T, S, F>
where
    F: Fn(&mut S, T) + Send + Sync + 'static,
{
    type In = (K, T);
    type Out = Windowed<K, S>;

    fn process(
        &mut self,
        batch: Batch<(K, T)>,
        ctx: &mut OperatorContext<'_, Self::Out>,
    ) -> Result<()> {
        let watermark = ctx.watermark();
        let windows = ctx.state.get_mut(self.windows);
        let Batch { items, timestamps, hashes, .. } = batch;
        let mut items = items.into_iter();
        let mut at = 0;
        while at < timestamps.len() {
            let run = self.grid.run(&timestamps[at..]);
            let records = at..at + run.len;
            at += run.len;
            let hashes = &hashes[records.clone()];
            for end in self.grid.ends_of(run.slice).take_while(|end| *end < run.last_end) {
                if is_over(end, watermark) {
                    continue;
                }
                let slice = windows.slice_mut(self.grid.window(end).start);
                let mut items = items.as_slice().iter();
                let fold = |held: &mut S, item: &T| (self.fold)(held, item.clone());
                slice.each_or_insert_with(hashes, &mut items, S::default, fold)?;
            }
            // The last window takes the records themselves; when it is over, so are all others.
            if is_over(run.last_end, watermark) {
                let late: Vec<(K, T)> = items.by_ref().take(run.len).collect();
                let late = late.iter().map(|(_, item)| item);
                let late = late.zip(timestamps[records].iter().copied());
                self.late.take(late, ctx.output, ctx.metrics);
                continue;
            }
            let slice = windows.slice_mut(self.grid.window(run.last_end).start);
            let fold = |held: &mut S, item| (self.fold)(held, item);
            slice.each_or_insert_with(hashes, &mut items, S::default, fold)?;
        }
        Ok(())
    }

    fn advance(&mut self, ctx: &mut OperatorContext<'_, Self::Out>) -> Result<Firing> {
        let (grid, watermark) = (self.grid, ctx.watermark());
        let groups = ctx.state.range().len();
        let windows = ctx.state.get_mut(self.windows);
        let starts: Vec<_> = windows.starts().collect();
        let output = &mut *ctx.output;
        let next = |start, _fired| grid.last_end(start);
        let emit = |end, group, part| {
            let window = grid.window(end);
            let slice = windows.existing(window.start);
            slice.map_or(Ok((0, 1)), |slice| emit_slice(slice, window, (group, part), output))
        };
        let firing = self.cursor.fire(grid, groups, watermark, &starts, next, emit)?;
        drop_fired(ctx.state.get_mut(self.windows), self.cursor.needed_from(grid));
        Ok(firing)
    }

    fn restored(&mut self, _state: &mut StateStore, time: &RestoredTime) -> Result<()> {
        self.cursor = Cursor::restored(time);
        Ok(())
    }
}
