//! The way of an entry back into memory: from the spill tier, else from the files of a lazy
//! restore. [`super::evict`] is the way out.
//!
//! 1. [`Table::fetch`] brings an entry back when it is asked for; [`Table::prefetch`] all of a
//!    batch with one read.
//! 2. [`Table::adding`] does not: what is added to an entry that may lie elsewhere begins a tail
//!    of it. That is joined to its beginning when the entry is asked for; until then it may be
//!    written, spilled and begun anew any number of times.
//!
//! Invariants: where a tail is in memory, what lies elsewhere comes before it; tails that were
//! spilled follow what is spilled before them, or what the files hold ([`Layout::begins`] tells
//! those that do); what the spill and the files both hold of an entry are the same rows.
//!
//! [`Layout::begins`]: super::Layout::begins

use super::codec::Bytes;
use super::cold::full_key;
use super::each::AHEAD;
use super::layout::Rows;
use super::segment::{Dirty, Mark, Pending, Slot, kept};
use super::table::{Table, write};
use super::warm::Missed;
use crate::data::Key;
use crate::key::{self, KeyHash};
use crate::operator::Result;

/// Room for most full keys.
const FULL_KEY_BYTES: usize = 32;

/// What of an entry is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// Nothing.
    No,
    /// What was added last; the rest may lie elsewhere.
    Tail,
    /// All of it.
    Whole,
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// What of an entry is in memory.
    pub(super) fn here(&self, hash: KeyHash, key: &K) -> Here {
        let slots = &self.segments[self.segment_of(hash)].slots;
        match slots.find(kept(hash), |slot| slot.key == *key) {
            None => Here::No,
            Some(slot) if self.layout.is_tail(&slot.value) => Here::Tail,
            Some(_) => Here::Whole,
        }
    }

    pub(super) fn is_here(&self, hash: KeyHash, key: &K) -> bool {
        self.here(hash, key) != Here::No
    }

    /// The value of a key, to be added to and not looked at: made by `new` where there is none in
    /// memory, which is told whether there may be one elsewhere. Reads nothing.
    ///
    /// # Errors
    /// When its value as of the last barrier cannot be written.
    #[inline]
    pub(super) fn adding(
        &mut self,
        hash: KeyHash,
        key: &K,
        new: impl FnOnce(bool) -> V,
    ) -> Result<&mut V> {
        let elsewhere = self.cold.is_some() && self.begins_tail(hash, key);
        self.found_or_made(hash, key, elsewhere, || new(elsewhere))
    }

    /// Whether an entry is not in memory and may lie elsewhere; then it counts as in memory.
    #[cold]
    fn begins_tail(&mut self, hash: KeyHash, key: &K) -> bool {
        if self.is_here(hash, key) {
            return false;
        }
        let spilled = self.may_be_spilled(hash);
        if spilled {
            self.cold_mut().have_come(1);
        }
        spilled || self.may_be_unread(hash)
    }

    /// Brings what is not in memory of an entry back from where it lies.
    #[cold]
    #[inline(never)]
    pub(super) fn fetch(&mut self, hash: KeyHash, key: &K) -> Result<()> {
        let here = self.here(hash, key);
        if here == Here::Whole {
            return Ok(());
        }
        let (spilled, unread) = (self.may_be_spilled(hash), self.may_be_unread(hash));
        if here == Here::No && !spilled && !unread {
            return Ok(());
        }
        let full = self.full_key_of(hash, key)?;
        if here == Here::No && self.cold_mut().is_absent(&full) {
            return Ok(());
        }
        if self.layout.has_parts() {
            self.fetch_parts((hash, key), &full, here)?;
        } else if !(spilled && self.fetch_spilled(hash, key, &full)?) && unread {
            self.fetch_unread(vec![(hash, key.clone(), full.clone())])?;
        }
        if !self.is_here(hash, key) {
            self.note_absent([full]);
        }
        Ok(())
    }

    /// Looking for these full keys found no entries.
    fn note_absent(&mut self, absent: impl IntoIterator<Item = Vec<u8>>) {
        if let Some(cold) = &mut self.cold {
            absent.into_iter().for_each(|full| cold.note_absent(full));
        }
    }

    /// Brings an entry of one row back from the spill, if it lies there; whether it did.
    fn fetch_spilled(&mut self, hash: KeyHash, key: &K, full: &[u8]) -> Result<bool> {
        let Some(bytes) = self.cold_mut().read(&[full])?.pop().flatten() else { return Ok(false) };
        if let Some(value) = self.layout.absorb(None, &[], &bytes, Bytes::Own)? {
            self.bring(hash, key.clone(), value)?;
        }
        Ok(true)
    }

    /// Brings back what is not in memory of the keys of a batch, with one read of the spill and,
    /// after a lazy restore, one of the files; where all of a table is in memory, asks the machine
    /// for the entries.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn prefetch<'k>(&mut self, keys: impl Iterator<Item = (KeyHash, &'k K)>) -> Result<()> {
        if self.cold.is_none() {
            self.look_ahead_at(keys);
            return Ok(());
        }
        if self.layout.has_parts() {
            return Ok(());
        }
        let mut missed: Vec<Missed<K>> = Vec::new();
        let keys: Vec<(KeyHash, &K)> = keys.collect();
        for keys in keys.chunks(AHEAD) {
            self.look_ahead_at(keys.iter().copied());
            for (hash, key) in keys.iter().copied() {
                let elsewhere = self.may_be_spilled(hash) || self.may_be_unread(hash);
                if elsewhere && !self.is_here(hash, key) {
                    missed.push((hash, key.clone(), self.full_key_of(hash, key)?));
                }
            }
        }
        missed.sort_unstable_by(|a, b| a.2.cmp(&b.2));
        missed.dedup_by(|a, b| a.2 == b.2);
        let (maybe, mut absent): (Vec<_>, Vec<_>) =
            missed.into_iter().partition(|(hash, ..)| self.may_be_spilled(*hash));
        let full: Vec<&[u8]> = maybe.iter().map(|(_, _, full)| full.as_slice()).collect();
        let rows = if full.is_empty() { Vec::new() } else { self.cold_mut().read(&full)? };
        for ((hash, key, full), bytes) in maybe.into_iter().zip(rows) {
            match bytes {
                Some(bytes) => {
                    if let Some(value) = self.layout.absorb(None, &[], &bytes, Bytes::Own)? {
                        self.bring(hash, key, value)?;
                    }
                }
                None => absent.push((hash, key, full)),
            }
        }
        // What is found after all is in memory then, and asked there first.
        let looked_for: Vec<Vec<u8>> = absent.iter().map(|(.., full)| full.clone()).collect();
        self.fetch_unread(absent)?;
        self.note_absent(looked_for);
        Ok(())
    }

    pub(super) fn full_key_of(&self, hash: KeyHash, key: &K) -> Result<Vec<u8>> {
        let mut full = Vec::with_capacity(FULL_KEY_BYTES);
        full_key(self.range().position(hash) as u16, self.layout.namespace(), &mut full);
        key::encode(key, &mut full)?;
        Ok(full)
    }

    /// Places an entry that was read from the spill.
    pub(super) fn bring(&mut self, hash: KeyHash, key: K, mut value: V) -> Result<()> {
        let mut mark = Mark::written(hash);
        mark.set_brought();
        // Where changes leave no mark, nothing could tell later that the spilled row is old.
        if self.dirty != Dirty::No {
            mark.set_spilled();
            self.layout.fetched(&mut value);
        }
        self.cold_mut().have_come(1);
        let mut slot = Slot { mark, key, value };
        if self.writing_all && !self.will_be_written(hash, &slot.key, slot.mark)? {
            // It is as it was at the barrier, and its segment was written without it.
            let position = self.range().position(hash);
            let log = &mut self.logs[position].then;
            write(&mut slot, Rows::All, &mut *self.layout, log)?;
        }
        self.place(hash, slot);
        Ok(())
    }

    /// For a full snapshot: whether what comes back now of an entry with this mark will still be
    /// written with its segment, or was written while it was spilled. Twice would be one row too
    /// many of a list.
    pub(super) fn will_be_written(&self, hash: KeyHash, key: &K, mark: Mark) -> Result<bool> {
        let changed = self.dirty != Dirty::No && mark.is(self.dirty);
        if !changed && matches!(self.segments[self.segment_of(hash)].then, Pending::All) {
            return Ok(true);
        }
        let Some((position, after)) = &self.writing_spilled else { return Ok(true) };
        let own = self.range().position(hash);
        let full = self.full_key_of(hash, key)?;
        let passed = after.as_ref().is_some_and(|after| full <= *after);
        Ok(own < *position || (own == *position && passed))
    }
}
