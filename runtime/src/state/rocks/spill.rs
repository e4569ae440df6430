//! [`RocksSpill`]: the rows of one state of a subtask, in a range of the process's database. Their
//! keys there are the space's number, then the row's own key.

use std::sync::Arc;

use riverrun_engine::state::spill::{Spill, SpillBatch, SpillError, SpillRow, prefix_end};
use rocksdb::{DB, DBRawIterator, ReadOptions, WriteBatch};

use super::database::{Database, SpaceId};

/// Keys that are read at once; more are read in turns.
const READ_KEYS_MAX: usize = 1024;
/// Up to so many rows of a dropped prefix are deleted one by one: a delete of a range slows down
/// every read until it is merged, wherever it lies.
const POINT_DELETES_MAX: usize = 512;

/// A range of the database.
pub(super) struct RocksSpill {
    pub(super) database: Arc<Database>,
    space: SpaceId,
    /// The keys of a read, one behind the other, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    /// The order of a read: that of the keys.
    order: Vec<usize>,
}

impl RocksSpill {
    pub(super) fn new(database: Arc<Database>) -> RocksSpill {
        let space = database.space();
        RocksSpill { database, space, keys: Vec::new(), ends: Vec::new(), order: Vec::new() }
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        [&self.space.bytes(), key].concat()
    }

    /// One turn of a read: `order` names the keys, and they rise.
    fn read_turn(
        &mut self,
        db: &DB,
        asked: &[&[u8]],
        order: &[usize],
        out: &mut [Option<Vec<u8>>],
    ) -> Result<(), SpillError> {
        self.keys.clear();
        self.ends.clear();
        for at in order {
            self.keys.extend_from_slice(&self.space.bytes());
            self.keys.extend_from_slice(asked[*at]);
            self.ends.push(self.keys.len());
        }
        let mut start = 0;
        let keys: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|end| &self.keys[std::mem::replace(&mut start, *end)..*end])
            .collect();
        let rows = Database::rows(db);
        let found = db.batched_multi_get_cf_opt(rows, keys, true, &ReadOptions::default());
        for (at, row) in order.iter().zip(found) {
            let row = row.map_err(|error| self.database.failed("reading", error))?;
            out[*at] = row.map(|row| row.to_vec());
        }
        Ok(())
    }

    /// The rows from `from` up to the end of the prefix; `prefix` and `from` are full keys.
    fn rows<'a>(db: &'a DB, prefix: &[u8], from: &[u8]) -> DBRawIterator<'a> {
        let mut options = ReadOptions::default();
        if let Some(end) = prefix_end(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mut rows = db.raw_iterator_opt(options);
        rows.seek(from);
        rows
    }

    fn walked(&self, rows: &DBRawIterator<'_>) -> Result<(), SpillError> {
        rows.status().map_err(|error| self.database.failed("reading", error))
    }
}

impl Spill for RocksSpill {
    fn read(&mut self, keys: &[&[u8]], out: &mut Vec<Option<Vec<u8>>>) -> Result<(), SpillError> {
        out.clear();
        out.resize(keys.len(), None);
        let database = Arc::clone(&self.database);
        let Some(db) = database.opened() else { return Ok(()) };
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(0..keys.len());
        order.sort_unstable_by_key(|at| keys[*at]);
        let mut turns = order.chunks(READ_KEYS_MAX);
        let read = turns.try_for_each(|turn| self.read_turn(db, keys, turn, out));
        self.order = order;
        read
    }

    fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::with_capacity_bytes(rows.bytes() + rows.len() * 16);
        let mut full = self.space.bytes().to_vec();
        for (key, value) in rows.rows() {
            full.truncate(size_of::<SpaceId>());
            full.extend_from_slice(key);
            match value {
                Some(value) => batch.put(&full, value),
                None => batch.delete(&full),
            }
        }
        self.database.write(self.database.open()?, batch)
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
        out: &mut Vec<SpillRow>,
    ) -> Result<(), SpillError> {
        out.clear();
        let Some(db) = self.database.opened() else { return Ok(()) };
        let prefix = self.full(prefix);
        // The first key above `after` is `after` and a zero.
        let after = after.map(|after| [&self.full(after)[..], &[0]].concat());
        let from = after.filter(|after| *after > prefix).unwrap_or_else(|| prefix.clone());
        let mut rows = Self::rows(db, &prefix, &from);
        while let Some((key, value)) = rows.item().filter(|_| out.len() < rows_max) {
            if !key.starts_with(&prefix) {
                break;
            }
            out.push((key[size_of::<SpaceId>()..].to_vec(), value.to_vec()));
            rows.next();
        }
        self.walked(&rows)
    }

    /// 1. Look at the first rows; where those are all, delete each.
    /// 2. Else remove the files that hold nothing else, and cover what is left by one range.
    fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError> {
        let Some(db) = self.database.opened() else { return Ok(()) };
        let prefix = self.full(prefix);
        let mut batch = WriteBatch::default();
        let mut rows = Self::rows(db, &prefix, &prefix);
        while let Some(key) = rows.key().filter(|key| key.starts_with(&prefix)) {
            if batch.len() == POINT_DELETES_MAX {
                drop(rows);
                return self.drop_range(db, &prefix);
            }
            batch.delete(key);
            rows.next();
        }
        self.walked(&rows)?;
        if batch.is_empty() { Ok(()) } else { self.database.write(db, batch) }
    }
}

impl RocksSpill {
    /// Removing files may uncover older rows of theirs, so the range is deleted after that.
    fn drop_range(&self, db: &DB, prefix: &[u8]) -> Result<(), SpillError> {
        let end = prefix_end(prefix).expect("no space has the highest number");
        let removed = db.delete_file_in_range(prefix, &end[..]);
        removed.map_err(|error| self.database.failed("removing rows", error))?;
        let mut batch = WriteBatch::default();
        batch.delete_range(prefix, &end[..]);
        self.database.write(db, batch)
    }
}

impl Drop for RocksSpill {
    /// Makes room for others. Nobody will ask for these rows again, so a failure costs disk only.
    fn drop(&mut self) {
        let Some(db) = self.database.opened() else { return };
        if let Err(error) = self.drop_range(db, &self.space.bytes()) {
            tracing::debug!(%error, "rows of an ended subtask stay until the attempt ends");
        }
    }
}
