//! A table whose restored state is not all read yet: asking for what is missed, and warming.
//!
//! 1. [`Table::restore_from`] takes the door to the files; nothing is read.
//! 2. A key that is asked for is in memory, else spilled, else (while its key group is not warm) in
//!    the files, unless it was removed since: whoever has it first counts.
//! 3. [`Table::warm`] places page by page what nobody has asked for. The last page of a key group
//!    makes that warm, the last of all ends it: from then on the table is like any other.
//!
//! Invariants: of an entry that came from the files and left again there is a trace until its key
//! group is warm: its row in the spill, or its key among the removed; entries that come from the
//! files count as stored, so deltas go on over the same files; while a full snapshot is written
//! nothing is left to read ([`super::StateStore::cut`]).

use super::codec::Bytes;
use super::cold::{Cold, full_key};
use super::entry;
use super::segment::{Dirty, Mark, Slot};
use super::stored::{StoredPage, StoredRows, Wait, Warmth};
use super::table::Table;
use crate::data::Key;
use crate::key::{KeyGroup, KeyHash};
use crate::operator::Result;

/// An entry that may be somewhere else than in memory, and its full key.
pub(super) type Missed<K> = (KeyHash, K, Vec<u8>);

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// The state is what `rows` hold: to be read as it is asked for, and by [`Table::warm`].
    pub(super) fn restore_from(&mut self, rows: Box<dyn StoredRows>) -> Result<()> {
        let alone = self.is_empty() && self.cold.is_none() && self.dirty != Dirty::No;
        anyhow::ensure!(alone, "only a state that is empty, with deltas, can be restored lazily");
        let groups = self.range().len();
        self.layout.follow(rows.checkpoint());
        self.cold = Some(Box::new(Cold::over(rows, groups)));
        Ok(())
    }

    /// Whether a key may be in the files and nowhere else.
    pub(super) fn may_be_unread(&self, hash: KeyHash) -> bool {
        let position = self.range().position(hash);
        self.cold.as_ref().is_some_and(|cold| cold.is_unread(position))
    }

    /// Brings entries into memory that are neither there nor spilled, where the files have them.
    pub(super) fn fetch_unread(&mut self, missed: Vec<Missed<K>>) -> Result<()> {
        let (range, Some(cold)) = (self.range(), &mut self.cold) else { return Ok(()) };
        let missed: Vec<_> = missed
            .into_iter()
            .filter(|(hash, _, full)| {
                let position = range.position(*hash);
                cold.is_unread(position) && !cold.is_removed(position, full)
            })
            .collect();
        if missed.is_empty() {
            return Ok(());
        }
        // A state of one value a key has no namespace: behind the key group is the key.
        let keys: Vec<_> =
            missed.iter().map(|(hash, _, full)| (hash.group(range.groups), &full[2..])).collect();
        let rows = cold.read_stored(&keys)?;
        anyhow::ensure!(rows.len() == missed.len(), "one answer a key");
        for ((hash, key, _), bytes) in missed.into_iter().zip(rows) {
            if let Some(bytes) = bytes {
                self.place_stored(hash, key, &bytes, true)?;
            }
        }
        Ok(())
    }

    fn place_stored(&mut self, hash: KeyHash, key: K, bytes: &[u8], used: bool) -> Result<()> {
        let Some(value) = self.layout.absorb(None, &[], bytes, Bytes::Stored)? else {
            return Ok(());
        };
        let mut mark = Mark::written(hash);
        if used {
            mark.touch();
        }
        if let Some(cold) = &mut self.cold {
            cold.have_read(1);
        }
        self.place(hash, Slot { mark, key, value });
        Ok(())
    }

    /// An entry that snapshots hold was removed: the files must not bring it back.
    pub(super) fn note_removed(&mut self, hash: KeyHash, key: &K) -> Result<()> {
        if self.may_be_unread(hash) {
            let (position, full) = (self.range().position(hash), self.full_key_of(hash, key)?);
            if let Some(cold) = &mut self.cold {
                cold.note_removed(position, full);
            }
        }
        Ok(())
    }

    /// Takes a page of what was not asked for yet.
    pub(super) fn warm(&mut self, wait: Wait) -> Result<Warmth> {
        let page = match self.cold.as_mut().and_then(|cold| cold.stored_page(wait)) {
            None => return Ok(Warmth::Warm),
            Some(page) => page?,
        };
        let start = self.range().start;
        match page {
            StoredPage::Later => return Ok(Warmth::Later),
            StoredPage::Rows(group, rows) => self.place_page(group, &rows)?,
            StoredPage::Whole(group) => {
                self.settle_last()?;
                if let Some(cold) = &mut self.cold {
                    cold.group_is_read(usize::from(group.0 - start));
                }
            }
            StoredPage::End => {
                // Without a spill it is as if it had never been.
                self.cold = self.cold.take().and_then(|cold| cold.all_is_read().map(Box::new));
                if let Some(sweep) = &mut self.sweep {
                    sweep.begin_anew();
                }
                return Ok(Warmth::Warm);
            }
        }
        Ok(Warmth::More)
    }

    fn place_page(&mut self, group: KeyGroup, rows: &[u8]) -> Result<()> {
        let range = self.range();
        anyhow::ensure!(range.contains(group), "{group:?} is none of {range}");
        if self.layout.has_parts() {
            return self.place_parts(group, rows);
        }
        let position = usize::from(group.0 - range.start);
        let mut maybe_spilled: Vec<(Missed<K>, &[u8])> = Vec::new();
        let mut rest = rows;
        while let Some(entry) = entry::read(&mut rest)? {
            let row = self.layout.row_key(&entry)?;
            anyhow::ensure!(
                row.hash.group(range.groups) == group,
                "a key lies in another key group than its own"
            );
            if self.is_here(row.hash, &row.key) {
                continue;
            }
            let mut full = Vec::with_capacity(2 + entry.key.len());
            full_key(position as u16, &[], &mut full);
            full.extend_from_slice(entry.key);
            if self.cold.as_ref().is_some_and(|cold| cold.is_removed(position, &full)) {
                continue;
            }
            if self.may_be_spilled(row.hash) {
                maybe_spilled.push(((row.hash, row.key, full), entry.value));
            } else {
                self.place_stored(row.hash, row.key, entry.value, false)?;
            }
        }
        let keys: Vec<&[u8]> = maybe_spilled.iter().map(|((_, _, full), _)| &full[..]).collect();
        let spilled = match &mut self.cold {
            Some(cold) if !keys.is_empty() => cold.read(&keys)?,
            _ => Vec::new(),
        };
        for (((hash, key, _), value), spilled) in maybe_spilled.into_iter().zip(spilled) {
            if spilled.is_none() {
                self.place_stored(hash, key, value, false)?;
            }
        }
        Ok(())
    }

    /// Reads all that is left, at once.
    pub(super) fn warm_all(&mut self) -> Result<()> {
        while self.warm(Wait::Yes)? != Warmth::Warm {}
        Ok(())
    }
}
