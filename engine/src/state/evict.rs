//! From a table into its [`Cold`] part: evicting by CLOCK, and walking both. The way back is
//! [`super::fetch`].
//!
//! 1. [`Table::thin`], where memory is nearly all taken: a segment that is about to grow loses some
//!    of what was not used since it was last thinned, so that it need not. So that what rests gives
//!    way too, now and then one of many segments loses all that was not used, and its room.
//! 2. [`Table::evict`], where more is taken than there is: it goes round the segments, and so much
//!    of each leaves memory that it can give back half of its room.
//! 3. [`Table::walk_part`] shows every entry, without bringing any back.

use super::codec::Bytes;
use super::cold::{Cold, PAGE_ROWS};
use super::cut::Budget;
use super::entry::{Entry, Op};
use super::fetch::Here;
use super::log::RowSink;
use super::segment::{ENTRIES_MAX, Pending, Segment, Slot, sub_group};
use super::table::Table;
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;

/// A crowded segment is made emptier by one entry in so many.
const THINNED: usize = 8;
/// At one look at most about so many leave: twice as many as can have come since the last. Of four
/// times as many it is asked whether they were used.
const THINNED_MAX: usize = 32 << 10;
const ASKED_MAX: usize = 4 * THINNED_MAX;
/// One segment in so many gives way each time that what rests is to.
const RESTS_PART: usize = if cfg!(test) { 4 } else { 64 };

/// What leaves a segment beside what was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Further {
    /// Nothing.
    Nothing,
    /// Where entries hold little else than their place, so many that half of the places are free.
    HalfThePlaces,
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Moves entries that were not used lately out of memory, until there is room for about
    /// `entries` more; returns for how many. None while a full snapshot is being written.
    pub(super) fn evict(&mut self, entries: usize) -> Result<usize> {
        if self.writing_all || self.len == 0 || !self.opens_spill()? {
            return Ok(0);
        }
        let mut given_back = 0;
        // Twice round: the first time everything may have been used.
        for _ in 0..2 * self.segments.len() {
            if given_back >= entries {
                break;
            }
            self.hand = (self.hand + 1) % self.segments.len();
            given_back += self.evict_from(self.hand, Further::HalfThePlaces)?;
        }
        self.cold_mut().flush()?;
        Ok(given_back)
    }

    /// Moves entries that were not used lately out of segments that would soon grow and, where what
    /// `rests` is to give way too, out of one of many others. None while a full snapshot is being
    /// written.
    pub(super) fn thin(&mut self, rests: bool) -> Result<()> {
        if self.writing_all || self.len == 0 {
            return Ok(());
        }
        let (mut asked, mut left) = (0, 0);
        for _ in 0..self.segments.len() {
            self.hand = (self.hand + 1) % self.segments.len();
            if self.segments[self.hand].is_crowded() && self.opens_spill()? {
                asked += self.segments[self.hand].slots.len();
                left += self.thin_out(self.hand)?;
            }
            if left >= THINNED_MAX || asked >= ASKED_MAX {
                break;
            }
        }
        if rests {
            self.rests += self.segments.len();
            while self.rests >= RESTS_PART && self.opens_spill()? {
                self.rests -= RESTS_PART;
                self.resting = (self.resting + 1) % self.segments.len();
                self.evict_from(self.resting, Further::Nothing)?;
            }
        }
        self.cold.as_mut().map_or(Ok(()), |cold| cold.flush())
    }

    /// Whether there is a spill, from now on.
    fn opens_spill(&mut self) -> Result<bool> {
        if self.has_spill() {
            return Ok(true);
        }
        let Some(open) = &self.open_spill else { return Ok(false) };
        let spill = open()?;
        let cold = self.cold.get_or_insert_default();
        cold.open(spill);
        cold.bound_filter(self.filter_bytes_max);
        Ok(true)
    }

    /// What says which keys were spilled may take so many bytes.
    pub(super) fn bound_filter(&mut self, bytes_max: usize) {
        self.filter_bytes_max = bytes_max;
        if let Some(cold) = &mut self.cold {
            cold.bound_filter(bytes_max);
        }
    }

    pub(super) fn cold_mut(&mut self) -> &mut Cold {
        self.cold.as_deref_mut().expect("is there where something may be spilled")
    }

    fn has_spill(&self) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.has_spill())
    }

    /// Takes out what was not used since the last round and what goes `further`, and gives back the
    /// room where that is half of it. For how many entries that makes room.
    fn evict_from(&mut self, at: usize, further: Further) -> Result<usize> {
        let (slot, heap) = (size_of::<Slot<K, V>>(), self.heap_of_entry());
        let room = self.segments[at].room();
        let mut leaving = self.leaving(at);
        let (before, bytes) = (leaving.slots.len(), leaving.slots.allocation_size());
        let small = room * 3 / 8;
        let mut left = leaving.some(before, |mark| !mark.take_touched());
        if left.is_ok() && heap < slot && further == Further::HalfThePlaces {
            left = leaving.some(leaving.slots.len().saturating_sub(small), |_| true);
        }
        let slots = leaving.slots;
        if slots.len() <= small {
            slots.shrink_to(slots.len() * 4 / 3, |slot| slot.mark.hash());
        }
        let evicted = before - slots.len();
        let freed = bytes.saturating_sub(slots.allocation_size());
        self.have_left(evicted);
        left.map_err(|error| error.context("evicting an entry"))?;
        Ok((evicted * heap + freed) / (heap + slot).max(1))
    }

    /// Takes some out that were not used since the last round; how many.
    fn thin_out(&mut self, at: usize) -> Result<usize> {
        let slots = &mut self.segments[at].slots;
        if slots.iter().all(|slot| slot.mark.is_touched()) {
            slots.iter_mut().for_each(|slot| _ = slot.mark.take_touched());
            return Ok(0);
        }
        let (all, hand) = (self.segments[at].take_slots(), self.segments[at].hand);
        let before = all.len();
        let mut leaving = self.leaving(at);
        let hand = leaving.unused(all, usize::from(hand), before.div_ceil(THINNED));
        let evicted = before - leaving.slots.len();
        self.have_left(evicted);
        let hand = hand.map_err(|error| error.context("evicting an entry"))?;
        // Beyond that it begins anew: what stayed is not marked as used any more.
        self.segments[at].hand = u16::try_from(hand).unwrap_or(0);
        Ok(evicted)
    }

    fn have_left(&mut self, entries: usize) {
        self.len -= entries;
        self.cold_mut().have_gone(entries);
    }

    /// Forgets what is spilled of a key group.
    pub(super) fn forget_spilled_group(&mut self, position: usize) -> Result<()> {
        let mut gone = 0;
        let mut after: Option<Vec<u8>> = None;
        while let Some(page) = self.cold_page(position, after.as_deref())? {
            for (full, _) in &page.rows {
                let row = self.row_of(full)?;
                gone += usize::from(!self.is_here(row.hash, &row.key));
            }
            if page.last {
                break;
            }
            after = page.end();
        }
        if let Some(cold) = &mut self.cold {
            cold.have_come(gone);
            cold.forget_group(position as u16)?;
        }
        Ok(())
    }

    /// An entry was removed: nothing of it may be left in the spill.
    pub(super) fn forget_spilled(&mut self, hash: KeyHash, key: &K) -> Result<()> {
        if !self.may_be_spilled(hash) {
            return Ok(());
        }
        let (full, parts) = (self.full_key_of(hash, key)?, self.layout.has_parts());
        self.cold_mut().forget(&full, parts)
    }

    /// How many parts the entries of a key group, by its position, are best walked in.
    #[must_use]
    pub fn parts(&self, position: usize) -> usize {
        if self.cold.is_some() { 1 } else { self.places(position) }
    }

    /// The entries of one of `parts` parts (a power of two, at least [`Table::parts`]) of a key
    /// group, those in memory first. Brings none back into memory; after a lazy restore, reads what
    /// is left first.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn walk_part(
        &mut self,
        position: usize,
        (part, parts): (usize, usize),
        mut see: impl FnMut(KeyHash, &K, &V),
    ) -> Result<()> {
        self.warm_all()?;
        let of_part = |hash: u64| sub_group(hash) as usize & (parts - 1) == part;
        let group = u64::from(self.range().start) + position as u64;
        for segment in self.segments_of(position, (part, parts)) {
            for slot in segment.slots.iter().filter(|slot| of_part(slot.mark.hash())) {
                see(slot.mark.hash_in(group), &slot.key, &slot.value);
            }
        }
        let mut see = |hash: KeyHash, key: &K, value: &V| {
            if of_part(hash.0) {
                see(hash, key, value);
            }
        };
        let mut after: Option<Vec<u8>> = None;
        while let Some(page) = self.cold_page(position, after.as_deref())? {
            for entry in self.entries_on(&page)? {
                see(entry.hash, &entry.key, &entry.value);
            }
            if page.last {
                break;
            }
            after = page.end();
        }
        Ok(())
    }

    /// The entries of a page that are not in memory.
    pub(super) fn entries_on(&self, page: &ColdPage) -> Result<Vec<ColdEntry<K, V>>> {
        let mut entries: Vec<ColdEntry<K, V>> = Vec::new();
        for (full, bytes) in &page.rows {
            let row = self.row_of(full)?;
            if self.is_here(row.hash, &row.key) {
                continue;
            }
            let mut open = entries.last_mut().filter(|entry| entry.key == row.key);
            let held = open.as_deref_mut().map(|entry| &mut entry.value);
            let made = self.layout.absorb(held, row.rest, bytes, Bytes::Own)?;
            match (open, made) {
                (Some(entry), _) => entry.last_row.clone_from(full),
                (None, Some(value)) => {
                    let (hash, key, last_row) = (row.hash, row.key, full.clone());
                    entries.push(ColdEntry { hash, key, value, last_row });
                }
                (None, None) => {}
            }
        }
        Ok(entries)
    }

    pub(super) fn may_be_spilled(&self, hash: KeyHash) -> bool {
        self.cold.as_ref().is_some_and(|cold| cold.may_hold(hash))
    }

    fn row_of<'a>(&self, full: &'a [u8]) -> Result<super::RowKey<'a, K>> {
        let (namespace, key) = full[2..].split_at(self.layout.namespace().len());
        self.layout.row_key(&Entry { op: Op::Put, namespace, key, value: &[] })
    }

    /// The next spilled rows of a key group; whole entries only.
    pub(super) fn cold_page(
        &mut self,
        position: usize,
        after: Option<&[u8]>,
    ) -> Result<Option<ColdPage>> {
        let parts = self.layout.has_parts();
        let namespace = self.layout.namespace().len();
        let Some(cold) = self.cold.as_mut().filter(|cold| cold.has_spill()) else {
            return Ok(None);
        };
        let mut rows = cold.page(position as u16, after)?;
        let mut last = rows.len() < PAGE_ROWS;
        if parts && !last {
            // Up to the last entry that may go on in the next page, or all of one that is longer.
            let end = rows.last().map(|(full, _)| full.clone()).unwrap_or_default();
            let open = super::RowKey::<K>::of(&end[2 + namespace..])?.rest.len();
            let open = &end[..end.len() - open];
            let whole = rows.iter().take_while(|(full, _)| !full.starts_with(open)).count();
            rows.truncate(whole);
            if whole == 0 {
                rows = cold.read_all(open)?;
            }
            last = false;
        }
        Ok(Some(ColdPage { rows, last }))
    }

    /// For a full snapshot: writes spilled rows of entries that are not in memory, as they are.
    pub(super) fn write_spilled(&mut self, budget: &mut Budget) -> Result<bool> {
        while let Some((position, after)) = self.writing_spilled.take() {
            if position >= self.range().len() {
                return Ok(true);
            }
            let Some(page) = self.cold_page(position, after.as_deref())? else { return Ok(true) };
            for (full, value) in &page.rows {
                let row = self.row_of(full)?;
                // What is in memory was written with its segment, of a tail only that.
                if self.here(row.hash, &row.key) != Here::Whole {
                    let (namespace, key) = full[2..].split_at(self.layout.namespace().len());
                    self.logs[position].then.put(namespace, key, value)?;
                }
            }
            budget.spend(page.rows.len().max(1));
            self.writing_spilled =
                if page.last { Some((position + 1, None)) } else { Some((position, page.end())) };
            if budget.is_spent() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// About how many bytes of memory the table takes.
    pub(crate) fn bytes(&self) -> usize {
        let own = |segment: &Segment<K, V>| {
            let pending = match &segment.then {
                Pending::Changed(listed) => listed.hashes.capacity(),
                Pending::Nothing | Pending::All => 0,
            };
            segment.slots.allocation_size() + 8 * (segment.now.hashes.capacity() + pending)
        };
        let tables: usize = self.segments.iter().map(own).sum();
        let headers = self.segments.capacity() * size_of::<Segment<K, V>>();
        let heap = self.len_here() * self.heap_of_entry();
        let cold = self.cold.as_ref().map_or(0, |cold| cold.bytes());
        tables + headers + heap + self.log_bytes() + cold
    }

    fn heap_of_entry(&self) -> usize {
        if Self::has_heap() { self.heap_per_entry() } else { 0 }
    }

    /// How many entries of `bytes` to evict are about as many.
    pub(super) fn entries_of(&self, bytes: usize) -> usize {
        let each = size_of::<Slot<K, V>>() + self.heap_of_entry();
        (bytes / each.max(1)).max(ENTRIES_MAX)
    }
}

/// An entry that is spilled and not in memory.
pub(super) struct ColdEntry<K, V> {
    pub(super) hash: KeyHash,
    pub(super) key: K,
    pub(super) value: V,
    /// The full key of its last row.
    pub(super) last_row: Vec<u8>,
}

/// Spilled rows of a key group, whole entries only.
pub(super) struct ColdPage {
    rows: super::cold::Page,
    /// Whether the key group has none behind them.
    pub(super) last: bool,
}

impl ColdPage {
    /// The full key behind which the next page begins.
    pub(super) fn end(mut self) -> Option<Vec<u8>> {
        self.rows.pop().map(|(key, _)| key)
    }
}
