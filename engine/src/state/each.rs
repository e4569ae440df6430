//! All records of a batch applied to the values of their keys.
//!
//! What a record costs here is what a keyed job costs, so the way of a value that is in memory is
//! as short as it can be: what cannot change between two records is looked at once, and all that is
//! not in memory is looked for and placed elsewhere.

use std::borrow::Borrow;
use std::{slice, vec};

use super::segment::{Dirty, Mark, Segment, Slot, kept};
use super::table::{Table, change};
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;

/// Entries of so many bytes do not all lie in the caches.
const FAR_BYTES: usize = 4 << 20;

/// The entries of so many records are looked at before the first of them is used: what comes then
/// finds them in the nearer caches, and the machine still knows where their pages are.
const AHEAD: usize = 128;

/// Keyed items one after the other, of which the keys to come can be seen.
pub trait KeyedItems<K> {
    /// A key as it comes.
    type Key: Borrow<K>;
    /// An item without its key.
    type Item;

    /// The keys that are left.
    fn ahead<'k>(&'k self) -> impl Iterator<Item = &'k K>
    where
        K: 'k;

    /// The next one.
    fn next_item(&mut self) -> Option<(Self::Key, Self::Item)>;
}

impl<K, T> KeyedItems<K> for vec::IntoIter<(K, T)> {
    type Key = K;
    type Item = T;

    fn ahead<'k>(&'k self) -> impl Iterator<Item = &'k K>
    where
        K: 'k,
    {
        self.as_slice().iter().map(|(key, _)| key)
    }

    #[inline]
    fn next_item(&mut self) -> Option<(K, T)> {
        self.next()
    }
}

impl<'b, K, T> KeyedItems<K> for slice::Iter<'b, (K, T)> {
    type Key = &'b K;
    type Item = &'b T;

    fn ahead<'k>(&'k self) -> impl Iterator<Item = &'k K>
    where
        K: 'k,
    {
        self.as_slice().iter().map(|(key, _)| key)
    }

    #[inline]
    fn next_item(&mut self) -> Option<(&'b K, &'b T)> {
        self.next().map(|(key, item)| (key, item))
    }
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Takes an item for each of `hashes`, those of their keys, and calls `step` for it, in order,
    /// with the value of its key, made by `new` where there is none.
    ///
    /// What is not in memory is brought back before, for all of them at once.
    ///
    /// # Errors
    /// As [`Table::get_mut`]; fewer items than hashes. The records before are applied.
    #[inline]
    pub fn each_or_insert_with<I: KeyedItems<K>>(
        &mut self,
        hashes: &[KeyHash],
        items: &mut I,
        new: impl Fn() -> V,
        mut step: impl FnMut(&mut V, I::Item),
    ) -> Result<()> {
        let (range, dirty) = (self.range(), self.dirty);
        let is_plain = self.cold.is_none();
        if !is_plain {
            self.prefetch(hashes.iter().copied().zip(items.ahead()))?;
        }
        for hashes in hashes.chunks(AHEAD) {
            if is_plain {
                self.look_ahead(hashes.iter().copied().zip(items.ahead()));
            }
            for hash in hashes.iter().copied() {
                let Some((key, record)) = items.next_item() else {
                    anyhow::bail!("there are fewer items than hashes of their keys");
                };
                let key = key.borrow();
                if !is_plain {
                    self.fetch(hash, key)?;
                }
                let at = self.segment_at(range.position(hash), hash);
                let Table { segments, logs, layout, .. } = self;
                let Segment { slots, now, then, group, .. } = &mut segments[at];
                let entries = slots.len();
                let mut made = None;
                let value = match slots.find_mut(kept(hash), |slot| slot.key == *key) {
                    Some(slot) => {
                        if !slot.mark.is_touched_and(dirty) {
                            let log = &mut logs[usize::from(*group)].then;
                            change(slot, (hash, entries), (now, then, dirty), &mut **layout, log)?;
                        }
                        &mut slot.value
                    }
                    None => made.insert(new()),
                };
                step(value, record);
                // Only now: what is put into a new place need not wait until that has come from
                // memory, what is read from it does.
                if let Some(value) = made {
                    self.add(hash, key, value);
                }
            }
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

    /// Places an entry that is not there, changed in this interval.
    #[cold]
    #[inline(never)]
    fn add(&mut self, hash: KeyHash, key: &K, value: V) {
        let mut mark = Mark::new(hash);
        mark.set(self.dirty);
        mark.touch();
        self.place(hash, Slot { mark, key: key.clone(), value });
        if self.dirty != Dirty::No {
            let at = self.segment_of(hash);
            let Segment { now, slots, .. } = &mut self.segments[at];
            now.push(hash, slots.len());
        }
    }
}
