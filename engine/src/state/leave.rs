//! What becomes of an entry that leaves memory: it is written for the snapshots that still want it,
//! then to the spill, where that does not hold it just so.
//!
//! Called by [`super::evict`], with entries that are out of their table already. Invariant: where
//! this fails, entries are lost, so the attempt ends.

use hashbrown::HashTable;

use super::cold::{Cold, full_key};
use super::layout::{Layout, Rows};
use super::segment::{Dirty, Mark, Pending, Segment, Slot};
use super::table::{Logs, Table, write, write_before};
use crate::data::Key;
use crate::key::{self, KeyHash};
use crate::operator::Result;

/// Bytes of evicted rows that are written at once.
const EVICT_BYTES: usize = 256 << 10;

/// The way out of one segment.
pub(super) struct Leaving<'t, K, V> {
    pub(super) slots: &'t mut HashTable<Slot<K, V>>,
    then: &'t Pending,
    group: u16,
    logs: &'t mut Logs,
    layout: &'t mut dyn Layout<K, V>,
    dirty: Dirty,
    cold: &'t mut Cold,
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// The way out of the segment at `at`; there is a spill.
    pub(super) fn leaving(&mut self, at: usize) -> Leaving<'_, K, V> {
        let Table { segments, logs, layout, dirty, cold, .. } = self;
        let Segment { slots, then, group, .. } = &mut segments[at];
        let cold = cold.as_deref_mut().expect("is there where something may be spilled");
        let (logs, layout) = (&mut logs[usize::from(*group)], &mut **layout);
        Leaving { slots, then, group: *group, logs, layout, dirty: *dirty, cold }
    }
}

impl<K: Key, V> Leaving<'_, K, V> {
    /// At most so many of those that `leaves` names.
    pub(super) fn some(
        &mut self,
        at_most: usize,
        mut leaves: impl FnMut(&mut Mark) -> bool,
    ) -> Result<()> {
        let Leaving { slots, then, group, logs, layout, dirty, cold, .. } = self;
        let mut going = slots.extract_if(|slot| leaves(&mut slot.mark)).take(at_most);
        going.try_for_each(|slot| leave(slot, (then, *group, *dirty), logs, &mut **layout, cold))
    }

    /// Puts `all` into the table, but for at most so many that were not used since they were last
    /// looked at, of those that belong at the place `hand` or behind it; answers where that ends.
    /// Whoever puts all into new places leaves no marks of places once taken, which would fill them
    /// up.
    pub(super) fn unused(
        &mut self,
        all: HashTable<Slot<K, V>>,
        hand: usize,
        at_most: usize,
    ) -> Result<usize> {
        let Leaving { slots, then, group, logs, layout, dirty, cold } = self;
        let places = all.num_buckets();
        // Behind the last place the round is over; so it is where the table became smaller.
        let hand = if hand < places { hand } else { 0 };
        let (mut left, mut next) = (0, 0);
        for mut slot in all {
            let place = home(slot.mark, places);
            let asked = place >= hand && left < at_most;
            if asked {
                next = place + 1;
            }
            if asked && !slot.mark.take_touched() {
                leave(slot, (then, *group, *dirty), logs, &mut **layout, cold)?;
                left += 1;
            } else {
                slots.insert_unique(slot.mark.hash(), slot, |slot| slot.mark.hash());
            }
        }
        Ok(if left < at_most { 0 } else { next })
    }
}

/// Where a table of so many places (a power of two) puts an entry if nothing is there yet, and near
/// which it lies otherwise: a place that entries which come and go do not move. Places are taken by
/// the last bits of a hash, and walked in their order; were they not, who is asked next to leave
/// would only be chosen worse.
fn home(mark: Mark, places: usize) -> usize {
    mark.hash() as usize & (places - 1)
}

fn leave<K: Key, V>(
    mut slot: Slot<K, V>,
    (then, group, dirty): (&Pending, u16, Dirty),
    logs: &mut Logs,
    layout: &mut dyn Layout<K, V>,
    cold: &mut Cold,
) -> Result<()> {
    write_before(&mut slot, then, layout, &mut logs.then, dirty)?;
    if dirty != Dirty::No && slot.mark.is(dirty) {
        write(&mut slot, Rows::Changed, layout, &mut logs.now.early())?;
    }
    if slot.mark.is_spilled() {
        return Ok(());
    }
    let known = layout.is_known_in_spill(&slot.value);
    if layout.has_parts() && !known && cold.may_hold(KeyHash(slot.mark.hash())) {
        let mut prefix = Vec::new();
        full_key(group, layout.namespace(), &mut prefix);
        key::encode(&slot.key, &mut prefix)?;
        cold.forget_later(&prefix, true)?;
    }
    let mut sink = cold.sink(group, KeyHash(slot.mark.hash()));
    if known {
        layout.write_unspilled(&slot.key, &mut slot.value, &mut sink)?;
    } else {
        layout.write(&slot.key, &mut slot.value, Rows::All, &mut sink)?;
    }
    drop(sink);
    if cold.waiting() >= EVICT_BYTES { cold.flush() } else { Ok(()) }
}
