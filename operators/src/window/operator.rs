//! The sliced window operator: tumbling and sliding windows of an [`Aggregate`].
//!
//! A record updates one entry, that of its key in its slice, whatever the windows' size and step.
//! Firing a window walks its slices, key group by key group, and merges them; a tumbling window is
//! one slice, and nothing is merged unless it outgrew memory: what is added to then is not read
//! before, so the slice holds several portions of a key. A slice is shared by windows that have
//! fired and windows that have not: a record that comes between reaches exactly those that did
//! not.
//!
//! Triggers and allowed lateness belong into `Cursor` (when a window fires) and `needed_from` (how
//! long its slices stay); neither changes what a record costs or how state is kept.

use std::marker::PhantomData;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use riverrun_engine::Result;
use riverrun_engine::checkpoint::RestoredTime;
use riverrun_engine::data::{Data, Key};
use riverrun_engine::element::Batch;
use riverrun_engine::key::KeyHash;
use riverrun_engine::operator::{Firing, Operator, OperatorContext};
use riverrun_engine::output::Output;
use riverrun_engine::planted;
use riverrun_engine::state::{Declare, Slice, SliceTable, Slot, StateStore};
use riverrun_engine::time::{Timestamp, Window};

use super::cursor::Cursor;
use super::late::Late;
use super::slices::{Grid, is_over};
use super::{Aggregate, Windowed, emit};

/// Keeps an aggregate per key and slice, and merges slices into windows when they are over.
pub(crate) struct SlicedOperator<K, T, A> {
    grid: Grid,
    late: Late<T>,
    slices: Slot<SliceTable<K, A>>,
    cursor: Cursor,
    merged: HashTable<Merged<K, A>>,
    item: PhantomData<fn(T)>,
}

/// One key of the window that is firing.
struct Merged<K, A> {
    hash: KeyHash,
    key: K,
    value: A,
}

impl<K: Key, T: Data, A: Aggregate<T>> SlicedOperator<K, T, A> {
    pub(crate) fn open(declare: &mut Declare<K>, grid: Grid, late: Late<T>) -> Self {
        SlicedOperator {
            grid,
            late,
            slices: declare.sliced_merging(&grid.slices_name(), A::merge),
            cursor: Cursor::at(Timestamp::MIN),
            merged: HashTable::new(),
            item: PhantomData,
        }
    }
}

impl<K: Key, T: Data, A: Aggregate<T>> Operator for SlicedOperator<K, T, A> {
    type In = (K, T);
    type Out = Windowed<K, A>;

    fn process(
        &mut self,
        batch: Batch<(K, T)>,
        ctx: &mut OperatorContext<'_, Self::Out>,
    ) -> Result<()> {
        let watermark = ctx.watermark();
        let slices = ctx.state.get_mut(self.slices);
        let Batch { items, timestamps, hashes, .. } = &batch;
        let mut at = 0;
        while at < items.len() {
            let run = self.grid.run(&timestamps[at..]);
            let records = at..at + run.len;
            at += run.len;
            let items = &items[records.clone()];
            if is_over(run.last_end, watermark) {
                let late =
                    items.iter().map(|(_, item)| item).zip(timestamps[records].iter().copied());
                self.late.take(late, ctx.output, ctx.metrics);
                continue;
            }
            let slice = slices.slice_mut(run.slice);
            let hashes = &hashes[records];
            let step = |held: &mut A, item: &T| held.add(item);
            slice.each_or_insert_with(hashes, &mut items.iter(), A::default, step)?;
        }
        Ok(())
    }

    fn advance(&mut self, ctx: &mut OperatorContext<'_, Self::Out>) -> Result<Firing> {
        let (grid, watermark) = (self.grid, ctx.watermark());
        let groups = ctx.state.range().len();
        let slices = ctx.state.get_mut(self.slices);
        let starts: Vec<_> = slices.starts().collect();
        let next =
            |start: Timestamp, fired: i128| grid.end_after(fired.max(start.as_millis().into()));
        let (merged, output) = (&mut self.merged, &mut *ctx.output);
        let emit = |end, group, part| {
            let window = grid.window(end);
            // No half-open range holds the slice that begins at the last moment of all.
            let last = Grid::holds_last_moment(end);
            let mut slices = slices.between(window.start, window.end, last);
            emit_part::<K, T, A>(&mut slices, window, (group, part), merged, output)
        };
        let firing = self.cursor.fire(grid, groups, watermark, &starts, next, emit)?;
        drop_fired(ctx.state.get_mut(self.slices), self.cursor.needed_from(grid));
        Ok(firing)
    }

    fn restored(&mut self, _state: &mut StateStore, time: &RestoredTime) -> Result<()> {
        if planted!("window.cursor.reset") {
            return Ok(());
        }
        self.cursor = Cursor::restored(time);
        Ok(())
    }
}

/// Emits the results of one window for the keys of one part of a key group; returns how many, and
/// how many parts the key group has.
fn emit_part<K: Key, T, A: Aggregate<T>>(
    slices: &mut [&mut Slice<K, A>],
    window: Window,
    (group, (part, parts)): (usize, (usize, Option<usize>)),
    merged: &mut HashTable<Merged<K, A>>,
    output: &mut Output<Windowed<K, A>>,
) -> Result<(usize, usize)> {
    if let [only] = slices
        && !only.is_in_portions()
    {
        return emit_slice(only, window, (group, (part, parts)), output);
    }
    let most = || slices.iter().map(|slice| slice.parts(group)).max().unwrap_or(1);
    let parts = parts.unwrap_or_else(most);
    for slice in slices {
        slice.walk_part(group, (part, parts), |hash, key, value| {
            match merged.entry(hash.0, |held| held.key == *key, |held| held.hash.0) {
                Entry::Occupied(held) => held.into_mut().value.merge(value.clone()),
                Entry::Vacant(free) => {
                    free.insert(Merged { hash, key: key.clone(), value: value.clone() });
                }
            }
        })?;
    }
    let results = merged.drain().map(|Merged { key, value, .. }| emit(output, key, window, value));
    Ok((results.count(), parts))
}

/// Emits a window that is one slice without portions, for the keys of one part of a key group;
/// returns how many, and how many parts the key group has.
pub(super) fn emit_slice<K: Key, V: Data>(
    slice: &mut Slice<K, V>,
    window: Window,
    (group, (part, parts)): (usize, (usize, Option<usize>)),
    output: &mut Output<Windowed<K, V>>,
) -> Result<(usize, usize)> {
    let parts = parts.unwrap_or_else(|| slice.parts(group));
    let mut results = 0;
    slice.walk_part(group, (part, parts), |_, key, value| {
        results += 1;
        emit(output, key.clone(), window, value.clone());
    })?;
    Ok((results, parts))
}

/// Drops the slices before `needed_from`; asks first, because that happens at every watermark.
pub(super) fn drop_fired<K: Key, V: Data>(slices: &mut SliceTable<K, V>, needed_from: Timestamp) {
    if slices.starts().next().is_some_and(|start| start < needed_from) {
        slices.drop_before(needed_from);
    }
}
