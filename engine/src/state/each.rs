//! All records of a batch applied to the values of their keys.
//!
//! What a record costs here is what a keyed job costs, so the way of a value that is in memory is
//! as short as it can be: what cannot change between two records is looked at once, and all that is
//! not in memory is looked for and placed elsewhere.

use std::borrow::Borrow;
use std::{slice, vec};

use super::segment::{Dirty, Mark, Segment, Slot, kept};
use super::table::Table;
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;

/// The entries of so many records are asked for before the first of them is used: what comes then
/// finds them in the nearest cache.
pub(super) const AHEAD: usize = 64;

/// Where an entry probably is: in this segment, at this place of its table.
#[derive(Clone, Copy)]
struct Place {
    segment: u32,
    at: u32,
}

impl Place {
    /// No table has so many places.
    const NOWHERE: u32 = u32::MAX;
    const UNKNOWN: Place = Place { segment: 0, at: Self::NOWHERE };

    #[inline]
    fn new(segment: usize, at: Option<usize>) -> Place {
        let at = at.map_or(Self::NOWHERE, |at| at as u32);
        Place { segment: segment as u32, at }
    }
}

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
        let dirty = self.dirty;
        if self.cold.is_some() {
            self.prefetch(hashes.iter().copied().zip(items.ahead()))?;
        }
        // Of an entry that has parts, only some may be in memory.
        let in_parts = self.cold.is_some() && self.layout.has_parts();
        let mut places = [Place::UNKNOWN; AHEAD];
        for hashes in hashes.chunks(AHEAD) {
            for ((place, hash), key) in places.iter_mut().zip(hashes).zip(items.ahead()) {
                *place = self.look_ahead(*hash, key);
            }
            for (hash, place) in hashes.iter().copied().zip(&places) {
                let Some((key, record)) = items.next_item() else {
                    anyhow::bail!("there are fewer items than hashes of their keys");
                };
                let key = key.borrow();
                let slots = &mut self.segments[place.segment as usize].slots;
                let is_ready = |slot: &&mut Slot<K, V>| {
                    slot.key == *key && slot.mark.is_touched_and(dirty) && !in_parts
                };
                let mut made = None;
                let value = match slots.get_bucket_mut(place.at as usize).filter(is_ready) {
                    Some(slot) => &mut slot.value,
                    None => match self.make_ready(hash, key)? {
                        Some(value) => value,
                        None => made.insert(new()),
                    },
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

    /// Asks the machine for an entry that is to be used soon, and says where it seems to be.
    ///
    /// Keys are compared where they lie elsewhere and must come too. Else whoever compares waits
    /// for what was only to be asked for, and the seven bits that tables tell entries apart by are
    /// right nearly always.
    #[inline]
    fn look_ahead(&self, hash: KeyHash, key: &K) -> Place {
        let segment = self.segment_of(hash);
        let at = self.segments[segment].slots.find_bucket_index(kept(hash), |slot| {
            riverrun_prefetch::prefetch(slot);
            if !riverrun_prefetch::ASKS {
                std::hint::black_box(slot.mark.hash());
            }
            !std::mem::needs_drop::<K>() || slot.key == *key
        });
        Place::new(segment, at)
    }

    /// Asks the machine for the entries of all these keys.
    pub(super) fn look_ahead_at<'k>(&self, keys: impl Iterator<Item = (KeyHash, &'k K)>) {
        keys.for_each(|(hash, key)| {
            self.look_ahead(hash, key);
        });
    }

    /// The value of a key that is elsewhere, or not to be changed before that is noted.
    #[inline(never)]
    fn make_ready(&mut self, hash: KeyHash, key: &K) -> Result<Option<&mut V>> {
        self.get_mut(hash, key)
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
