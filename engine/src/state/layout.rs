//! [`Layout`]: how an entry of a table becomes rows, and rows an entry again. One value is one row;
//! a collection is a row per part, so that a small change is a small write.

use hashbrown::HashTable;

use super::codec::{Bytes, TypeShape, ValueCodec};
use super::entry::{self, Entry};
use super::log::{Log, RowSink};
use super::segment::{Dirty, Mark, Slot};
use super::table::{unwritable, write};
use crate::checkpoint::CheckpointId;
use crate::data::Key;
use crate::key::{self, KeyHash};
use crate::operator::Result;

/// Which rows of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Every one.
    All,
    /// Those that changed since they were last written.
    Changed,
}

/// Room for so many bytes of rows, and no more, is made before they are written.
const ROOM_MAX: usize = 256 << 10;

/// Which entries of a segment are still to be written for a snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// Those with this mark.
    Marked(Dirty),
    /// Those without it.
    Unmarked(Dirty),
    /// Every one.
    All,
}

impl Due {
    /// Which of their rows.
    fn rows(self) -> Rows {
        if matches!(self, Due::Marked(_)) { Rows::Changed } else { Rows::All }
    }

    #[inline]
    fn is(self, mark: Mark) -> bool {
        match self {
            Due::Marked(dirty) => mark.is(dirty),
            Due::Unmarked(dirty) => !mark.is(dirty),
            Due::All => true,
        }
    }
}

/// A row's key, taken apart.
pub(crate) struct RowKey<'a, K> {
    /// The key of the entry.
    pub(crate) key: K,
    /// Its hash.
    pub(crate) hash: KeyHash,
    /// What follows within a collection.
    pub(crate) rest: &'a [u8],
}

impl<'a, K: Key> RowKey<'a, K> {
    /// Of bytes that begin with an encoded key.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self> {
        let mut rest = bytes;
        let key = key::decode_first(&mut rest)?;
        let hash = key::hash_bytes(&bytes[..bytes.len() - rest.len()]);
        Ok(RowKey { key, hash, rest })
    }
}

/// The bytes of a key, in a buffer that is used again.
pub(crate) fn encoded<'b, K: Key>(key: &K, buffer: &'b mut Vec<u8>) -> Result<&'b [u8]> {
    buffer.clear();
    key::encode(key, buffer)?;
    Ok(buffer)
}

/// Between entries and rows. Has buffers of its own, so that writing allocates nothing.
pub(crate) trait Layout<K: Key, V>: Send {
    /// Writes rows of an entry; afterwards none of them counts as changed.
    fn write(&mut self, key: &K, value: &mut V, rows: Rows, sink: &mut dyn RowSink) -> Result<()>;

    /// Writes those entries of a segment that are `due`, of which there are about `count`: here the
    /// layout is known, and a step from one entry to the next costs little.
    fn write_due(
        &mut self,
        slots: &mut HashTable<Slot<K, V>>,
        (due, _count): (Due, usize),
        log: &mut Log,
    ) -> Result<()> {
        for slot in slots.iter_mut().filter(|slot| due.is(slot.mark)) {
            write(slot, due.rows(), self, log)?;
        }
        Ok(())
    }

    /// Writes that an entry is gone.
    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()>;

    /// The entry a row belongs to.
    fn row_key<'a>(&self, entry: &Entry<'a>) -> Result<RowKey<'a, K>> {
        RowKey::of(entry.key)
    }

    /// Takes a stored row into its entry, which is made where there is none.
    fn absorb(
        &self,
        held: Option<&mut V>,
        rest: &[u8],
        value: &[u8],
        source: Bytes,
    ) -> Result<Option<V>>;

    /// About how many bytes the value takes as rows: what it takes in memory is judged by that.
    fn size(&mut self, value: &V) -> usize;

    /// Takes the rows that begin with `rest` (not empty) out of an entry; whether anything is left.
    fn retract(&self, held: &mut V, rest: &[u8]) -> Result<bool>;

    /// The namespace of all rows, where they have one.
    fn namespace(&self) -> &[u8] {
        &[]
    }

    /// Whether an entry may be many rows.
    fn has_parts(&self) -> bool {
        false
    }

    /// The entry, of many rows, has just come from the spill tier and still lies there: changes
    /// are noted from now on.
    fn fetched(&self, held: &mut V) {
        let _ = held;
    }

    /// Whether it is known what of the entry has changed since [`Layout::fetched`], and that is
    /// little enough to be written alone. So it is of a tail: all of it.
    fn is_known_in_spill(&self, held: &V) -> bool {
        let _ = held;
        false
    }

    /// Writes to the spill tier what has changed since [`Layout::fetched`].
    fn write_unspilled(&mut self, key: &K, held: &mut V, sink: &mut dyn RowSink) -> Result<()> {
        self.write(key, held, Rows::All, sink)
    }

    /// Whether this is only what was added to an entry that may lie elsewhere, unread.
    fn is_tail(&self, held: &V) -> bool {
        let _ = held;
        false
    }

    /// Puts the `beginning`, if there is one, before a tail, which is whole then. `spilled`: all of
    /// the beginning lies in the spill tier.
    fn join(&self, tail: &mut V, beginning: Option<V>, spilled: bool) {
        let _ = (tail, beginning, spilled);
        unreachable!("only an entry that is added to unread can be a tail")
    }

    /// Whether spilled rows are a whole entry whose first one has this `rest`; else what comes
    /// before them may lie in the files of a lazy restore.
    fn begins(&self, rest: &[u8]) -> bool {
        let _ = rest;
        true
    }

    /// What is written from now on follows what this checkpoint holds, read or not.
    fn follow(&self, checkpoint: CheckpointId) {
        let _ = checkpoint;
    }

    /// Whether a row with this `rest` is a portion of its entry's one value.
    fn is_portion(&self, rest: &[u8]) -> bool {
        let _ = rest;
        false
    }

    /// The highest number of a portion that was absorbed.
    fn highest_portion(&self) -> u32 {
        0
    }

    /// Reads from now on what a checkpoint with this shape holds.
    fn read_as(&mut self, stored: &TypeShape);

    /// The codec of the value, where an entry is one value.
    fn codec_mut(&mut self) -> Option<&mut ValueCodec<V>> {
        None
    }
}

/// One value, one row.
pub(crate) struct ValueLayout<V> {
    namespace: Vec<u8>,
    pub(super) codec: ValueCodec<V>,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<V: 'static> ValueLayout<V> {
    pub(crate) fn new(namespace: &[u8], codec: ValueCodec<V>) -> Self {
        ValueLayout { namespace: namespace.to_vec(), codec, key: Vec::new(), value: Vec::new() }
    }

    /// Writes the row of an entry where it is to lie.
    #[inline]
    fn make<K: Key>(&self, key: &K, value: &V, out: &mut Vec<u8>) -> Result<()> {
        let key = |out: &mut _| key::encode(key, out);
        entry::write_made(out, &self.namespace, key, |out| self.codec.encode(value, out))
    }
}

impl<K: Key, V: Send + 'static> Layout<K, V> for ValueLayout<V> {
    fn write(&mut self, key: &K, value: &mut V, _: Rows, sink: &mut dyn RowSink) -> Result<()> {
        if let Some(out) = sink.place() {
            return self.make(key, value, out);
        }
        self.value.clear();
        self.codec.encode(value, &mut self.value)?;
        sink.put(&self.namespace, encoded(key, &mut self.key)?, &self.value)
    }

    fn write_due(
        &mut self,
        slots: &mut HashTable<Slot<K, V>>,
        (due, count): (Due, usize),
        log: &mut Log,
    ) -> Result<()> {
        let mut roomy = false;
        for slot in slots.iter_mut().filter(|slot| due.is(slot.mark)) {
            debug_assert!(!slot.mark.is_joined(), "one row is not joined to others");
            let out = log.place_put();
            let from = out.len();
            let made = self.make(&slot.key, &slot.value, out);
            made.map_err(|error| unwritable(&slot.key, error))?;
            slot.mark.set_written();
            if !roomy {
                // The others are perhaps as long.
                out.reserve(count.saturating_mul(out.len() - from).min(ROOM_MAX));
                roomy = true;
            }
        }
        Ok(())
    }

    fn delete(&mut self, key: &K, sink: &mut dyn RowSink) -> Result<()> {
        sink.delete(&self.namespace, encoded(key, &mut self.key)?)
    }

    fn row_key<'a>(&self, entry: &Entry<'a>) -> Result<RowKey<'a, K>> {
        Ok(RowKey { key: key::decode(entry.key)?, hash: key::hash_bytes(entry.key), rest: &[] })
    }

    fn absorb(
        &self,
        held: Option<&mut V>,
        _rest: &[u8],
        value: &[u8],
        source: Bytes,
    ) -> Result<Option<V>> {
        let value = self.codec.decode(value, source)?;
        let Some(held) = held else { return Ok(Some(value)) };
        *held = value;
        Ok(None)
    }

    fn size(&mut self, value: &V) -> usize {
        self.value.clear();
        // One that cannot be encoded is named when it is written.
        self.codec.encode(value, &mut self.value).map_or(0, |()| self.value.len())
    }

    fn retract(&self, _held: &mut V, _rest: &[u8]) -> Result<bool> {
        anyhow::bail!("a part is deleted of a value that has none")
    }

    fn read_as(&mut self, stored: &TypeShape) {
        self.codec.read_as(stored);
    }

    fn codec_mut(&mut self) -> Option<&mut ValueCodec<V>> {
        Some(&mut self.codec)
    }

    fn namespace(&self) -> &[u8] {
        &self.namespace
    }
}
