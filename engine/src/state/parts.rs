//! Entries of many rows, lists and maps, on their way back into memory, and tails on their way to
//! their beginning. Called by [`super::fetch`] and [`super::warm`].
//!
//! 1. Asked for: rows in the spill are all there is if they begin as a whole entry does. Else what
//!    comes before them may be in the files: those rows are put into the spill, and then they are.
//!    Where nothing is spilled the files are read, part by part.
//! 2. Warming: rows come rising, so an entry is whole when the next key comes. It is placed, or
//!    joined to its tail in memory, or put into the spill before its tails there; where something
//!    newer is whole already, or it was removed, it is left.

use anyhow::Context as _;

use super::codec::Bytes;
use super::cold::OpenEntry;
use super::entry::{self, Entry, Op};
use super::fetch::Here;
use super::layout::RowKey;
use super::log::RowSink;
use super::segment::{Dirty, Mark, Slot, kept};
use super::table::Table;
use crate::data::Key;
use crate::key::{KeyGroup, KeyHash};
use crate::operator::Result;

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Brings back what is elsewhere of an entry that is not in memory, or of which only the tail
    /// is `here`.
    pub(super) fn fetch_parts(
        &mut self,
        (hash, key): (KeyHash, &K),
        full: &[u8],
        here: Here,
    ) -> Result<()> {
        let first = match self.may_be_spilled(hash) {
            true => self.cold_mut().first_row(full)?,
            false => None,
        };
        let spilled = first.is_some();
        let value = match first {
            Some(first) => {
                if !self.layout.begins(&first[full.len()..]) {
                    self.spill_stored(hash, full)?;
                }
                self.absorb_spilled(full)?
            }
            None => self.absorb_stored(hash, full)?,
        };
        match (here, value) {
            (Here::Tail, value) => self.join((hash, key), full, value, spilled),
            (_, Some(value)) if spilled => self.bring(hash, key.clone(), value),
            (_, Some(value)) => {
                let mut mark = Mark::written(hash);
                mark.touch();
                self.place(hash, Slot { mark, key: key.clone(), value });
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    fn absorb_spilled(&mut self, full: &[u8]) -> Result<Option<V>> {
        let Table { cold, layout, .. } = self;
        let Some(cold) = cold else { return Ok(None) };
        let mut value = None;
        cold.each_row(full, |row, bytes| {
            let made = layout.absorb(value.as_mut(), &row[full.len()..], &bytes, Bytes::Own)?;
            if let Some(made) = made {
                value = Some(made);
            }
            Ok(())
        })?;
        Ok(value)
    }

    /// An entry as the files have it, unless it was removed since.
    fn absorb_stored(&mut self, hash: KeyHash, full: &[u8]) -> Result<Option<V>> {
        let mut value = None;
        let mut after: Option<Vec<u8>> = None;
        while let Some(part) = self.stored_part(hash, full, after.as_deref())? {
            after = Some(self.absorb_rows(&mut value, &part, full.len() - 2)?);
        }
        Ok(value)
    }

    /// Takes rows of the files into an entry whose encoded key has so many bytes; the last one's
    /// key.
    fn absorb_rows(&mut self, value: &mut Option<V>, rows: &[u8], key: usize) -> Result<Vec<u8>> {
        let (mut rest, mut last, mut count) = (rows, &[][..], 0);
        while let Some(row) = entry::read(&mut rest)? {
            let within = row.key.get(key..).unwrap_or_default();
            let made = self.layout.absorb(value.as_mut(), within, row.value, Bytes::Stored)?;
            if let Some(made) = made {
                *value = Some(made);
            }
            (last, count) = (row.key, count + 1);
        }
        if let Some(cold) = &mut self.cold {
            cold.have_read(count);
        }
        Ok(last.to_vec())
    }

    /// The next rows that the files have of an entry, by its full key; `None` where there are none,
    /// or it was removed since.
    fn stored_part(
        &mut self,
        hash: KeyHash,
        full: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>> {
        let (group, position) = (hash.group(self.range().groups), self.range().position(hash));
        let Some(cold) = self.cold.as_mut().filter(|cold| cold.is_unread(position)) else {
            return Ok(None);
        };
        if cold.is_removed(position, full) {
            return Ok(None);
        }
        // A state of lists or maps has no namespace: behind the key group is the key.
        let part = cold.read_stored_part((group, &full[2..]), after)?;
        Ok((!part.is_empty()).then_some(part))
    }

    /// Puts what the files have of an entry before what is spilled of it.
    fn spill_stored(&mut self, hash: KeyHash, full: &[u8]) -> Result<()> {
        let mut after: Option<Vec<u8>> = None;
        while let Some(part) = self.stored_part(hash, full, after.as_deref())? {
            after = Some(self.spill_rows(hash, &part)?);
        }
        Ok(())
    }

    /// Puts rows of the files into the spill; the last one's key.
    fn spill_rows(&mut self, hash: KeyHash, rows: &[u8]) -> Result<Vec<u8>> {
        let position = self.range().position(hash) as u16;
        let (mut rest, mut last, mut count) = (rows, &[][..], 0);
        let cold = self.cold_mut();
        let mut sink = cold.sink(position, hash);
        while let Some(row) = entry::read(&mut rest)? {
            sink.put(&[], row.key, row.value)?;
            (last, count) = (row.key, count + 1);
        }
        drop(sink);
        cold.have_read(count);
        cold.flush()?;
        Ok(last.to_vec())
    }

    /// Puts the beginning of an entry, if there is one, before the tail in memory. `spilled`: it
    /// lies in the spill.
    fn join(
        &mut self,
        (hash, key): (KeyHash, &K),
        full: &[u8],
        beginning: Option<V>,
        spilled: bool,
    ) -> Result<()> {
        let at = self.segment_of(hash);
        let found = self.segments[at].slots.find(kept(hash), |slot| slot.key == *key);
        let mark = found.map(|slot| slot.mark).context("the tail of an entry is not in memory")?;
        if spilled && self.writing_all && !self.will_be_written(hash, key, mark)? {
            // The beginning is part of the snapshot, the tail was written or is none of it.
            let position = self.range().position(hash);
            let Table { logs, cold, .. } = self;
            let (log, cold) = (&mut logs[position].then, cold.as_mut());
            let cold = cold.expect("is there where something is spilled");
            cold.each_row(full, |row, value| log.put(&[], &row[2..], &value))?;
        }
        // Where changes leave no mark, nothing could tell later that the spilled rows are old.
        let known = spilled && self.dirty != Dirty::No;
        let Table { segments, layout, .. } = self;
        if let Some(slot) = segments[at].slots.find_mut(kept(hash), |slot| slot.key == *key) {
            layout.join(&mut slot.value, beginning, known);
        }
        Ok(())
    }

    /// Takes a page of rows that rise.
    pub(super) fn place_parts(&mut self, group: KeyGroup, rows: &[u8]) -> Result<()> {
        let mut open = self.cold.as_mut().and_then(|cold| cold.take_open());
        let mut rest = rows;
        while let Some(row) = entry::read(&mut rest)? {
            // Encoded keys are prefix-free.
            if open.as_ref().is_none_or(|open| !row.key.starts_with(&open.key)) {
                self.settle(open.take())?;
                open = Some(self.opened(group, &row)?);
            }
            if let Some(rows) = open.as_mut().and_then(|open| open.rows.as_mut()) {
                entry::write(rows, row)?;
            }
        }
        if let Some(cold) = &mut self.cold {
            cold.leave_open(open);
        }
        Ok(())
    }

    /// The entry that begins with `row`; its rows are left where something newer is known: that
    /// does not change any more.
    fn opened(&mut self, group: KeyGroup, row: &Entry<'_>) -> Result<OpenEntry> {
        let RowKey { key, hash, rest } = RowKey::<K>::of(row.key)?;
        anyhow::ensure!(
            hash.group(self.range().groups) == group,
            "a key lies in another key group than its own"
        );
        let bytes = row.key[..row.key.len() - rest.len()].to_vec();
        let (position, full) = (self.range().position(hash), self.full_key_of(hash, &key)?);
        let removed = self.cold.as_ref().is_some_and(|cold| cold.is_removed(position, &full));
        let newer = removed || self.here(hash, &key) == Here::Whole;
        Ok(OpenEntry { key: bytes, rows: (!newer).then(Vec::new) })
    }

    /// No more rows come of this entry, if there is one.
    fn settle(&mut self, open: Option<OpenEntry>) -> Result<()> {
        let Some(OpenEntry { key: bytes, rows: Some(rows) }) = open else { return Ok(()) };
        let row = Entry { op: Op::Put, namespace: &[], key: &bytes, value: &[] };
        let RowKey { key, hash, .. } = self.layout.row_key(&row)?;
        let (position, full) = (self.range().position(hash), self.full_key_of(hash, &key)?);
        let removed = self.cold.as_ref().is_some_and(|cold| cold.is_removed(position, &full));
        let here = self.here(hash, &key);
        if removed || here == Here::Whole {
            return Ok(());
        }
        if self.may_be_spilled(hash)
            && let Some(first) = self.cold_mut().first_row(&full)?
        {
            if !self.layout.begins(&first[full.len()..]) {
                self.spill_rows(hash, &rows)?;
            }
            return Ok(());
        }
        let mut value = None;
        self.absorb_rows(&mut value, &rows, bytes.len())?;
        match (here, value) {
            (Here::Tail, value) => self.join((hash, &key), &full, value, false),
            (_, Some(value)) => {
                self.place(hash, Slot { mark: Mark::written(hash), key, value });
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// The key group has no more rows.
    pub(super) fn settle_last(&mut self) -> Result<()> {
        let open = self.cold.as_mut().and_then(|cold| cold.take_open());
        self.settle(open)
    }
}
