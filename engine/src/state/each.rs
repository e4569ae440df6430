//! All records of a batch applied to the values of their keys.
//!
//! What a record costs here is what a keyed job costs, so the way of a value that is in memory is
//! as short as it can be: what cannot change between two records is looked at once, and all that is
//! not in memory is looked for and made elsewhere.

use std::borrow::Borrow;

use super::segment::{Segment, Slot, kept};
use super::table::{Table, change};
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;

/// Entries of so many bytes do not all lie in the caches.
const FAR_BYTES: usize = 4 << 20;

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Calls `step` for each record, in order, with the value of its key, made by `new` where there
    /// is none.
    ///
    /// # Errors
    /// As [`Table::get_mut`]; the records before are applied.
    #[inline]
    pub fn each_or_insert_with<Q: Borrow<K>, T>(
        &mut self,
        records: impl Iterator<Item = (KeyHash, Q, T)>,
        new: impl Fn() -> V,
        mut step: impl FnMut(&mut V, T),
    ) -> Result<()> {
        let (range, dirty) = (self.range(), self.dirty);
        let is_plain = self.cold.is_none();
        for (hash, key, record) in records {
            let key = key.borrow();
            if !is_plain {
                self.fetch(hash, key)?;
            }
            let at = self.segment_at(range.position(hash), hash);
            let Table { segments, logs, layout, .. } = self;
            let Segment { slots, now, then, group, .. } = &mut segments[at];
            let entries = slots.len();
            let value = match slots.find_mut(kept(hash), |slot| slot.key == *key) {
                Some(slot) => {
                    if !slot.mark.is_touched_and(dirty) {
                        let log = &mut logs[usize::from(*group)].then;
                        change(slot, (hash, entries), (now, then, dirty), &mut **layout, log)?;
                    }
                    &mut slot.value
                }
                None => self.make(hash, key, &new)?,
            };
            step(value, record);
        }
        Ok(())
    }

    /// Looks at the entries of a batch, where the table is larger than caches: here several are
    /// waited for at once, which they cannot be where each is used. The fewer steps lie between two
    /// of them, the more they are: segments are found before.
    pub(super) fn look_ahead<'k>(&self, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        if self.len_here() * size_of::<Slot<K, V>>() < FAR_BYTES {
            return;
        }
        let placed = keys.map(|(hash, key)| (self.segment_of(hash), kept(hash), key));
        let mut seen = 0;
        for (at, hash, key) in placed.collect::<Vec<_>>() {
            let slot = self.segments[at].slots.find(hash, |slot| slot.key == *key);
            seen ^= slot.map_or(0, |slot| slot.mark.hash());
        }
        std::hint::black_box(seen);
    }

    #[cold]
    #[inline(never)]
    fn make(&mut self, hash: KeyHash, key: &K, new: &impl Fn() -> V) -> Result<&mut V> {
        self.found_or_made(hash, key, false, new)
    }
}
