//! The spilled part of a table: what memory pressure evicted, until it is asked for again.
//!
//! Called by [`super::Table`] only. Rows lie in the spill as they lie in snapshots. Invariants: an
//! entry is resident, or spilled, or both and then the resident one counts; a row in the spill
//! whose entry is gone from the state is gone from the spill; the filter holds every spilled key.

use std::sync::Arc;

use super::filter::SpillFilter;
use super::log::RowSink;
use super::segment::kept;
use super::spill::{Spill, SpillBatch, SpillError};
use crate::key::KeyHash;
use crate::operator::Result;

/// Makes room for one table.
pub(crate) type OpenSpill = Arc<dyn Fn() -> Result<Box<dyn Spill>, SpillError> + Send + Sync>;

/// How many rows one scan reads.
pub(super) const PAGE_ROWS: usize = 1024;

/// Rows of one key group: `(namespace and key, value)`, without the two bytes of the key group.
pub(super) type Page = Vec<(Vec<u8>, Vec<u8>)>;

/// What was evicted of one table.
pub(super) struct Cold {
    spill: Box<dyn Spill>,
    filter: SpillFilter,
    /// Entries that are spilled and not resident.
    pub(super) entries: usize,
    batch: SpillBatch,
    key: Vec<u8>,
}

impl Cold {
    pub(super) fn new(spill: Box<dyn Spill>) -> Self {
        let (filter, batch) = (SpillFilter::default(), SpillBatch::default());
        Cold { spill, filter, entries: 0, batch, key: Vec::new() }
    }

    /// Whether the key may be spilled; "no" is certain.
    #[inline]
    pub(super) fn may_hold(&self, hash: KeyHash) -> bool {
        self.filter.may_hold(KeyHash(kept(hash)))
    }

    /// Bytes of memory it takes itself.
    pub(super) fn bytes(&self) -> usize {
        self.filter.bytes()
    }

    /// Reads single rows, by full keys; one answer each.
    pub(super) fn read(&mut self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut rows = Vec::with_capacity(keys.len());
        self.spill.read(keys, &mut rows)?;
        Ok(rows)
    }

    /// Reads every row that begins with `prefix`, a full key.
    pub(super) fn read_all(&mut self, prefix: &[u8]) -> Result<Page> {
        let (mut all, mut page) = (Vec::new(), Vec::new());
        loop {
            let after = all.last().map(|(key, _): &(Vec<u8>, Vec<u8>)| key.as_slice());
            self.spill.scan(prefix, after, PAGE_ROWS, &mut page)?;
            let last = page.len() < PAGE_ROWS;
            all.append(&mut page);
            if last {
                return Ok(all);
            }
        }
    }

    /// Reads the next rows of a key group behind the full key `after`.
    pub(super) fn page(&mut self, group: u16, after: Option<&[u8]>) -> Result<Page> {
        let mut page = Vec::new();
        self.spill.scan(&group.to_be_bytes(), after, PAGE_ROWS, &mut page)?;
        Ok(page)
    }

    /// Removes the rows of an entry, by its full key.
    pub(super) fn forget(&mut self, key: &[u8], parts: bool) -> Result<()> {
        if parts {
            for (key, _) in self.read_all(key)? {
                self.batch.delete(&key);
            }
        } else {
            self.batch.delete(key);
        }
        self.flush()
    }

    /// Removes the rows of a key group.
    pub(super) fn forget_group(&mut self, group: u16) -> Result<()> {
        self.flush()?;
        Ok(self.spill.drop_prefix(&group.to_be_bytes())?)
    }

    /// Where an entry of a key group is written to; [`Cold::flush`] makes it so.
    pub(super) fn sink(&mut self, group: u16, hash: KeyHash) -> impl RowSink {
        self.filter.insert(KeyHash(kept(hash)));
        SpillSink { group, batch: &mut self.batch, key: &mut self.key }
    }

    /// Bytes waiting for [`Cold::flush`].
    pub(super) fn waiting(&self) -> usize {
        self.batch.bytes()
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.batch.is_empty() {
            self.spill.write(&self.batch)?;
            self.batch.clear();
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
