//! The part of a table that is not in memory: what memory pressure evicted, until it is asked for
//! again, and after a lazy restore what was not read yet.
//!
//! Called by [`super::Table`] only. Rows lie in the spill as they lie in snapshots. Invariants: an
//! entry is resident, or spilled, or both and then the resident one counts; a row in the spill
//! whose entry is gone from the state is gone from the spill; the filter holds every spilled key;
//! what is in the files only counts where it is neither resident nor spilled nor removed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::filter::SpillFilter;
use super::log::RowSink;
use super::segment::kept;
use super::spill::{Spill, SpillBatch, SpillError};
use super::stored::{StoredPage, StoredRows, Wait};
use crate::key::{KeyGroup, KeyHash};
use crate::operator::Result;

/// Makes room for one table.
pub(crate) type OpenSpill = Arc<dyn Fn() -> Result<Box<dyn Spill>, SpillError> + Send + Sync>;

/// How many rows one scan reads.
pub(super) const PAGE_ROWS: usize = 1024;

/// Rows of one key group: `(namespace and key, value)`, without the two bytes of the key group.
pub(super) type Page = Vec<(Vec<u8>, Vec<u8>)>;

/// What of one table is not in memory.
#[derive(Default)]
pub(super) struct Cold {
    /// None before anything was evicted.
    spill: Option<Box<dyn Spill>>,
    filter: SpillFilter,
    /// Entries that are spilled and not resident.
    entries: usize,
    batch: SpillBatch,
    key: Vec<u8>,
    unread: Option<Unread>,
    /// Full keys of no entry at all, as was found since anything was last evicted: those who ask
    /// for one ask again soon.
    absent: HashSet<Vec<u8>>,
}

/// What is still to be read of a lazy restore.
struct Unread {
    rows: Box<dyn StoredRows>,
    /// About how many rows were not read yet.
    left: usize,
    /// By position of the key group: the full keys that were removed since; `None` once all of it
    /// is read. Bounded by the entries of the key group.
    removed: Vec<Option<BTreeSet<Vec<u8>>>>,
    /// Bytes of the removed keys, with what a set takes for each.
    removed_bytes: usize,
    /// The entry of many rows of which a page may bring more.
    open: Option<OpenEntry>,
}

/// Rows of one entry that come page by page.
pub(super) struct OpenEntry {
    /// Its encoded key.
    pub(super) key: Vec<u8>,
    /// The rows so far, as [`entry`] has them: at most what the entry takes as rows. `None` where
    /// something newer is known.
    pub(super) rows: Option<Vec<u8>>,
}
/// So many keys are remembered as absent: more than a batch asks for.
const ABSENT_MAX: usize = 8192;
/// What a set takes for a key beside its bytes.
const REMOVED_OVERHEAD: usize = 48;

impl Cold {
    /// Of a table of so many key groups that are all to be read.
    pub(super) fn over(rows: Box<dyn StoredRows>, groups: usize) -> Self {
        let left = usize::try_from(rows.rows()).unwrap_or(usize::MAX);
        let removed = (0..groups).map(|_| Some(BTreeSet::new())).collect();
        let unread = Unread { rows, left, removed, removed_bytes: 0, open: None };
        Cold { unread: Some(unread), ..Cold::default() }
    }

    /// Whether anything can be evicted.
    pub(super) fn has_spill(&self) -> bool {
        self.spill.is_some()
    }

    /// From now on what is evicted goes there.
    pub(super) fn open(&mut self, spill: Box<dyn Spill>) {
        self.spill = Some(spill);
    }

    fn spill(&mut self) -> &mut dyn Spill {
        self.spill.as_deref_mut().expect("is opened before anything is evicted")
    }

    /// Entries that are not in memory: while a restore goes on, about.
    pub(super) fn entries(&self) -> usize {
        self.entries + self.unread.as_ref().map_or(0, |unread| unread.left)
    }

    /// So many more entries are spilled and not resident.
    pub(super) fn have_gone(&mut self, entries: usize) {
        self.entries += entries;
    }

    /// So many fewer.
    pub(super) fn have_come(&mut self, entries: usize) {
        self.entries = self.entries.saturating_sub(entries);
    }

    /// Whether a key group, by its position, is not all read.
    pub(super) fn is_unread(&self, position: usize) -> bool {
        self.unread.as_ref().is_some_and(|unread| unread.removed[position].is_some())
    }

    /// Reads rows from the files, by key group and encoded key.
    pub(super) fn read_stored(
        &mut self,
        keys: &[(KeyGroup, &[u8])],
    ) -> Result<Vec<Option<Vec<u8>>>> {
        match &mut self.unread {
            Some(unread) => unread.rows.read(keys),
            None => Ok(vec![None; keys.len()]),
        }
    }

    /// The next page of what is still to be read; `None` where there is nothing.
    pub(super) fn stored_page(&mut self, wait: Wait) -> Option<Result<StoredPage>> {
        self.unread.as_mut().map(|unread| unread.rows.page(wait))
    }

    /// The next rows of an entry of many, behind the row key `after`: as puts, none at the end.
    pub(super) fn read_stored_part(
        &mut self,
        entry: (KeyGroup, &[u8]),
        after: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        match &mut self.unread {
            Some(unread) => unread.rows.read_part(entry, after),
            None => Ok(Vec::new()),
        }
    }

    /// So many rows of an entry were read from the files.
    pub(super) fn have_read(&mut self, rows: usize) {
        if let Some(unread) = &mut self.unread {
            unread.left = unread.left.saturating_sub(rows);
        }
    }

    /// Takes out the entry of which a page may bring more.
    pub(super) fn take_open(&mut self) -> Option<OpenEntry> {
        self.unread.as_mut().and_then(|unread| unread.open.take())
    }

    /// The next page may bring more of this entry.
    pub(super) fn leave_open(&mut self, open: Option<OpenEntry>) {
        if let Some(unread) = &mut self.unread {
            unread.open = open;
        }
    }

    /// Whether the entry was removed since the restore, as far as that matters.
    pub(super) fn is_removed(&self, position: usize, full: &[u8]) -> bool {
        let removed = self.unread.as_ref().and_then(|unread| unread.removed[position].as_ref());
        removed.is_some_and(|removed| removed.contains(full))
    }

    /// The entry was removed.
    pub(super) fn note_removed(&mut self, position: usize, full: Vec<u8>) {
        let Some(unread) = &mut self.unread else { return };
        if let Some(removed) = &mut unread.removed[position] {
            let bytes = full.len() + REMOVED_OVERHEAD;
            if removed.insert(full) {
                unread.removed_bytes += bytes;
            }
        }
    }

    /// Nothing is left to read of a key group.
    pub(super) fn group_is_read(&mut self, position: usize) {
        let Some(unread) = &mut self.unread else { return };
        for full in unread.removed[position].take().into_iter().flatten() {
            unread.removed_bytes -= full.len() + REMOVED_OVERHEAD;
        }
    }

    /// Nothing is left to read; what is left of this, if anything.
    pub(super) fn all_is_read(mut self) -> Option<Self> {
        self.unread = None;
        self.has_spill().then_some(self)
    }

    /// Whether the key may be spilled; "no" is certain.
    #[inline]
    pub(super) fn may_hold(&self, hash: KeyHash) -> bool {
        self.filter.may_hold(KeyHash(kept(hash)))
    }

    /// What says which keys may be spilled takes at most so many bytes.
    pub(super) fn bound_filter(&mut self, bytes_max: usize) {
        self.filter.bound(bytes_max);
    }

    /// What says which keys may be spilled takes so many bytes.
    pub(super) fn filter_bytes(&self) -> usize {
        self.filter.bytes()
    }

    /// Whether there was found to be no entry with this full key.
    pub(super) fn is_absent(&self, full: &[u8]) -> bool {
        self.absent.contains(full)
    }

    /// Looking for an entry with this full key found none.
    pub(super) fn note_absent(&mut self, full: Vec<u8>) {
        if self.absent.len() >= ABSENT_MAX {
            self.absent.clear();
        }
        self.absent.insert(full);
    }

    /// Bytes of memory it takes itself.
    pub(super) fn bytes(&self) -> usize {
        let unread = self.unread.as_ref().map_or(0, |unread| {
            let open = unread.open.as_ref().and_then(|open| open.rows.as_ref());
            unread.removed_bytes + unread.rows.bytes() + open.map_or(0, Vec::capacity)
        });
        self.filter_bytes() + unread
    }

    /// Reads single rows, by full keys; one answer each.
    pub(super) fn read(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut rows = Vec::with_capacity(keys.len());
        self.spill().read(keys, &mut rows)?;
        Ok(rows)
    }

    /// Reads every row that begins with `prefix`, a full key.
    pub(super) fn read_all(&mut self, prefix: &[u8]) -> Result<Page> {
        let mut all = Vec::new();
        self.each_row(prefix, |key, value| {
            all.push((key, value));
            Ok(())
        })?;
        Ok(all)
    }

    /// Reads every row that begins with `prefix`, a full key, a page at a time.
    pub(super) fn each_row(
        &mut self,
        prefix: &[u8],
        mut see: impl FnMut(Vec<u8>, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut page = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            self.spill().scan(prefix, after.as_deref(), PAGE_ROWS, &mut page)?;
            let last = page.len() < PAGE_ROWS;
            after = page.last().map(|(key, _)| key.clone());
            page.drain(..).try_for_each(|(key, value)| see(key, value))?;
            if last {
                return Ok(());
            }
        }
    }

    /// The full key of the first row that begins with `prefix`, a full key.
    pub(super) fn first_row(&mut self, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut page = Vec::new();
        self.spill().scan(prefix, None, 1, &mut page)?;
        Ok(page.pop().map(|(key, _)| key))
    }

    /// Reads the next rows of a key group behind the full key `after`.
    pub(super) fn page(&mut self, group: u16, after: Option<&[u8]>) -> Result<Page> {
        let mut page = Vec::new();
        self.spill().scan(&group.to_be_bytes(), after, PAGE_ROWS, &mut page)?;
        Ok(page)
    }

    /// Removes the rows of an entry, by its full key.
    pub(super) fn forget(&mut self, key: &[u8], parts: bool) -> Result<()> {
        self.forget_later(key, parts)?;
        self.flush()
    }

    /// As [`Cold::forget`], with [`Cold::flush`]; none of the entry's rows waits for that yet.
    pub(super) fn forget_later(&mut self, key: &[u8], parts: bool) -> Result<()> {
        if parts {
            let mut gone = Vec::new();
            self.each_row(key, |key, _| {
                gone.push(key);
                Ok(())
            })?;
            gone.iter().for_each(|key| self.batch.delete(key));
        } else {
            self.batch.delete(key);
        }
        Ok(())
    }

    /// Removes the rows of a key group.
    pub(super) fn forget_group(&mut self, group: u16) -> Result<()> {
        if !self.has_spill() {
            return Ok(());
        }
        self.flush()?;
        Ok(self.spill().drop_prefix(&group.to_be_bytes())?)
    }

    /// Where an entry of a key group is written to; [`Cold::flush`] makes it so.
    pub(super) fn sink(&mut self, group: u16, hash: KeyHash) -> impl RowSink {
        self.filter.insert(KeyHash(kept(hash)));
        self.absent.clear();
        SpillSink { group, batch: &mut self.batch, key: &mut self.key }
    }

    /// Bytes waiting for [`Cold::flush`].
    pub(super) fn waiting(&self) -> usize {
        self.batch.bytes()
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            let Cold { spill, batch, .. } = self;
            spill.as_mut().expect("is opened before anything is evicted").write(batch)?;
            batch.clear();
        }
        Ok(())
    }
}

struct SpillSink<'a> {
    group: u16,
    batch: &'a mut SpillBatch,
    key: &'a mut Vec<u8>,
}

impl SpillSink<'_> {
    fn full_key(&mut self, namespace: &[u8], key: &[u8]) {
        full_key(self.group, namespace, self.key);
        self.key.extend_from_slice(key);
    }
}

impl RowSink for SpillSink<'_> {
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        self.full_key(namespace, key);
        self.batch.put(self.key, value);
        Ok(())
    }

    fn delete(&mut self, namespace: &[u8], key: &[u8]) -> Result<()> {
        self.full_key(namespace, key);
        self.batch.delete(self.key);
        Ok(())
    }
}

/// Begins a full key in `out`: key group, namespace.
pub(super) fn full_key(group: u16, namespace: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&group.to_be_bytes());
    out.extend_from_slice(namespace);
}
