//! The resident tier: decoded entries in hash tables, a few thousand in each, of one key group.
//!
//! Called by the state handles and the windowed operators. Invariants:
//!
//! - an entry that changed since the last cut has the mark of this interval and is listed, or its
//!   segment says that many are;
//! - an entry that is still to be written for the last cut is written before it changes or goes
//!   (its pre-image), so a snapshot is the state at the barrier whenever it is encoded;
//! - an entry that no snapshot holds leaves no trace when it goes.

use super::codec::{Bytes, TypeShape};
use super::cold::{Cold, OpenSpill};
use super::entry::{Entry, Op};
use super::layout::{Layout, Rows, encoded};
use super::log::{Log, RowSink};
use super::segment::{Directory, Dirty, ENTRIES_MAX, Listed, Mark, Pending, Segment, Slot, kept};
use super::sweep::{Ends, Sweep};
use super::ttl::Ttl;
use crate::checkpoint::Turnover;
use crate::data::Key;
use crate::key::{KeyGroupRange, KeyHash};
use crate::operator::Result;

/// Heap bytes of an entry whose like was never looked at.
const HEAP_UNKNOWN: usize = 96;
/// What a value's allocations cost beside their contents.
const VALUE_OVERHEAD: usize = 32;
/// What a key's allocation costs beside its contents.
const KEY_OVERHEAD: usize = 16;

/// How many entries one look at sizes takes.
const SAMPLED: usize = 8;

/// A mean that forgets what is long past.
#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    bytes: usize,
    entries: usize,
}

impl Sizes {
    /// Entries after which the past counts half.
    const MEMORY: usize = 4096;

    fn learn(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries += 1;
        if self.entries >= Self::MEMORY {
            (self.bytes, self.entries) = (self.bytes / 2, self.entries / 2);
        }
    }

    fn mean(self) -> Option<usize> {
        self.bytes.checked_div(self.entries)
    }
}

/// What a key group adds to snapshots.
#[derive(Debug, Default)]
pub(super) struct Logs {
    /// To the next one.
    pub(super) now: Log,
    /// To the one that was cut last.
    pub(super) then: Log,
}

/// The values of one state by key, for the key groups of one subtask.
pub struct Table<K, V> {
    range: KeyGroupRange,
    /// First one of each key group, by position; then those that splits made.
    pub(super) segments: Vec<Segment<K, V>>,
    /// By position, once any key group has more than one segment.
    directories: Vec<Directory>,
    pub(super) logs: Vec<Logs>,
    pub(super) layout: Box<dyn Layout<K, V>>,
    /// The mark of what changes now; `No` where no deltas are asked for.
    pub(super) dirty: Dirty,
    /// The next segment to be written for the last cut; `None` when that is whole.
    pub(super) writing: Option<usize>,
    /// Whether the last cut is of everything and not yet whole.
    pub(super) writing_all: bool,
    /// The next spilled rows to be written for it: key group, and behind which full key.
    pub(super) writing_spilled: Option<(usize, Option<Vec<u8>>)>,
    /// Bytes that waited for the last cut: about as many will for the next.
    pub(super) logged: usize,
    /// As of the last cut, where all entries were in memory.
    pub(super) turnover: Option<Turnover>,
    /// Entries in memory.
    pub(super) len: usize,
    /// What is not in memory, once anything was evicted.
    pub(super) cold: Option<Box<Cold>>,
    pub(super) open_spill: Option<OpenSpill>,
    /// How many bytes the filter of spilled keys may take.
    pub(super) filter_bytes_max: usize,
    /// The segment that was visited last to evict from.
    pub(super) hand: usize,
    /// The same of what rests, and how many segments that is to be asked of next.
    pub(super) resting: usize,
    pub(super) rests: usize,
    /// What entries hold on the heap, judged by some of them.
    sizes: Sizes,
    /// The segment that was looked at last.
    sampled: usize,
    /// Where entries have a time to live: what removes those that have ended.
    pub(super) sweep: Option<Box<Sweep<V>>>,
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// An empty table for the keys of `range`; lists changes when `tracked`.
    pub(crate) fn new(range: KeyGroupRange, tracked: bool, layout: Box<dyn Layout<K, V>>) -> Self {
        Table {
            range,
            segments: (0..range.len()).map(|group| Segment::new(group as u16)).collect(),
            directories: Vec::new(),
            logs: (0..range.len()).map(|_| Logs::default()).collect(),
            layout,
            dirty: if tracked { Dirty::Even } else { Dirty::No },
            writing: None,
            writing_all: false,
            writing_spilled: None,
            logged: 0,
            turnover: None,
            len: 0,
            cold: None,
            open_spill: None,
            filter_bytes_max: usize::MAX,
            hand: 0,
            resting: 0,
            rests: 0,
            sizes: Sizes::default(),
            sampled: 0,
            sweep: None,
        }
    }

    /// Its entries have a time to live.
    pub(super) fn ending(mut self, ttl: Ttl) -> Self
    where
        V: Ends,
    {
        self.sweep = Some(Box::new(Sweep::new(ttl)));
        self
    }

    /// A value, or a part of one, was written that will end.
    #[inline]
    pub(super) fn wrote(&mut self) {
        if let Some(sweep) = &mut self.sweep {
            sweep.wrote();
        }
    }

    #[inline]
    pub(super) fn segment_of(&self, hash: KeyHash) -> usize {
        self.segment_at(self.range.position(hash), hash)
    }

    /// The segment of a hash in the key group at `position`.
    #[inline]
    pub(super) fn segment_at(&self, position: usize, hash: KeyHash) -> usize {
        match self.directories.get(position) {
            None => position,
            Some(directory) => directory.find(hash),
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the state cannot be read.
    #[inline]
    pub fn get(&mut self, hash: KeyHash, key: &K) -> Result<Option<&V>> {
        if self.cold.is_some() {
            self.fetch(hash, key)?;
        }
        let at = self.segment_of(hash);
        let slot = self.segments[at].slots.find_mut(kept(hash), |slot| slot.key == *key);
        Ok(slot.map(|slot| {
            slot.mark.touch();
            &slot.value
        }))
    }

    /// The value of a key, to be changed.
    ///
    /// # Errors
    /// When the state cannot be read; when its value as of the last barrier cannot be written.
    #[inline]
    pub fn get_mut(&mut self, hash: KeyHash, key: &K) -> Result<Option<&mut V>> {
        if self.cold.is_some() {
            self.fetch(hash, key)?;
        }
        let at = self.segment_of(hash);
        let Table { segments, logs, layout, dirty, .. } = self;
        let Segment { slots, now, then, group, .. } = &mut segments[at];
        let entries = slots.len();
        let Some(slot) = slots.find_mut(kept(hash), |slot| slot.key == *key) else {
            return Ok(None);
        };
        if !slot.mark.is_touched_and(*dirty) {
            let log = &mut logs[usize::from(*group)].then;
            change(slot, (hash, entries), (now, then, *dirty), &mut **layout, log)?;
        }
        Ok(Some(&mut slot.value))
    }

    /// The value of a key, to be changed, made by `new` where there is none.
    ///
    /// # Errors
    /// As [`Table::get_mut`].
    #[inline]
    pub fn or_insert_with(
        &mut self,
        hash: KeyHash,
        key: &K,
        new: impl FnOnce() -> V,
    ) -> Result<&mut V> {
        if self.cold.is_some() {
            self.fetch(hash, key)?;
        }
        self.found_or_made(hash, key, false, new)
    }

    /// The value of a key in memory, to be changed, made by `new` where there is none; then
    /// snapshots may hold the entry if it is `stored`.
    #[inline]
    pub(super) fn found_or_made(
        &mut self,
        hash: KeyHash,
        key: &K,
        stored: bool,
        new: impl FnOnce() -> V,
    ) -> Result<&mut V> {
        let mut at = self.segment_of(hash);
        if self.segments[at].is_full() {
            self.make_room(at);
            at = self.segment_of(hash);
        }
        let Table { segments, logs, layout, dirty, len, .. } = self;
        let Segment { slots, now, then, group, .. } = &mut segments[at];
        let entries = slots.len();
        match slots.find_entry(kept(hash), |slot| slot.key == *key) {
            Ok(slot) => {
                let slot = slot.into_mut();
                if !slot.mark.is_touched_and(*dirty) {
                    let log = &mut logs[usize::from(*group)].then;
                    change(slot, (hash, entries), (now, then, *dirty), &mut **layout, log)?;
                }
                Ok(&mut slot.value)
            }
            Err(absent) => {
                let slots = absent.into_table();
                *len += 1;
                let mut mark = if stored { Mark::written(hash) } else { Mark::new(hash) };
                mark.set(*dirty);
                mark.touch();
                if *dirty != Dirty::No {
                    now.push(hash, entries);
                }
                let slot = Slot { mark, key: key.clone(), value: new() };
                let slot = slots.insert_unique(kept(hash), slot, |slot| slot.mark.hash());
                Ok(&mut slot.into_mut().value)
            }
        }
    }

    /// Sets the value of a key and returns the one before.
    ///
    /// # Errors
    /// As [`Table::get_mut`].
    #[inline]
    pub fn insert(&mut self, hash: KeyHash, key: &K, value: V) -> Result<Option<V>> {
        let mut value = Some(value);
        let held = self.or_insert_with(hash, key, || {
            value.take().unwrap_or_else(|| unreachable!("called at most once"))
        })?;
        Ok(value.map(|value| std::mem::replace(held, value)))
    }

    /// Removes a key.
    ///
    /// # Errors
    /// As [`Table::get_mut`].
    pub fn remove(&mut self, hash: KeyHash, key: &K) -> Result<Option<V>> {
        if self.cold.is_some() {
            self.fetch(hash, key)?;
        }
        let at = self.segment_of(hash);
        let Table { segments, logs, layout, dirty, len, .. } = self;
        let Segment { slots, now, then, group, .. } = &mut segments[at];
        let Ok(mut found) = slots.find_entry(kept(hash), |slot| slot.key == *key) else {
            return Ok(None);
        };
        let Logs { now: log, then: log_then } = &mut logs[usize::from(*group)];
        write_before(found.get_mut(), then, &mut **layout, log_then, *dirty)?;
        let (slot, _) = found.remove();
        *len -= 1;
        if slot.mark.is(*dirty) {
            now.count = now.count.saturating_sub(1);
        }
        let logged = !crate::planted!("state.removal.unlogged");
        if *dirty != Dirty::No && slot.mark.is_stored() && logged {
            layout.delete(&slot.key, log)?;
        }
        if self.cold.is_some() {
            self.forget_spilled(hash, key)?;
            if slot.mark.is_stored() {
                self.note_removed(hash, key)?;
            }
        }
        Ok(Some(slot.value))
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, at: usize) {
        if !self.segments[at].is_whole_size() {
            return self.segments[at].grow();
        }
        let Some(half) = self.segments[at].split() else { return };
        if self.directories.is_empty() {
            self.directories = (0..self.range.len() as u32).map(Directory::new).collect();
        }
        let (new, group) = (self.segments.len() as u32, usize::from(half.group));
        self.directories[group].split(at as u32, new, half.depth);
        self.segments.push(half);
    }

    /// It is likely to become as large as `other`.
    pub(super) fn expect_like(&mut self, other: &Self) {
        self.sizes = other.sizes;
        for (segment, other) in self.segments.iter_mut().zip(&other.segments) {
            segment.expected = other.slots.len().min(ENTRIES_MAX) as u16;
        }
    }

    /// Into how many equal parts of the hashes the segments of a key group divide it.
    pub(super) fn places(&self, position: usize) -> usize {
        self.directories.get(position).map_or(1, Directory::len)
    }

    /// The segments that hold keys of one of `parts` parts of a key group, each once.
    pub(super) fn segments_of(
        &self,
        position: usize,
        (part, parts): (usize, usize),
    ) -> impl Iterator<Item = &Segment<K, V>> {
        let split = self.directories.get(position).map(|all| all.segments(part, parts));
        let at = split.unwrap_or_else(|| vec![position as u32]);
        at.into_iter().map(|at| &self.segments[at as usize])
    }

    /// Whether the last cut is still to be written, in part or whole.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(super) fn range(&self) -> KeyGroupRange {
        self.range
    }

    /// How many key groups the table has.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.range.len()
    }

    /// Whether changes are listed for deltas.
    pub(super) fn is_tracked(&self) -> bool {
        self.dirty != Dirty::No
    }

    /// How many keys; while a lazy restore goes on, or some were added to unread, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len + self.cold.as_ref().map_or(0, |cold| cold.entries())
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len_here(&self) -> usize {
        self.len
    }

    /// About how many bytes an entry holds beside its slot, allocations with what they cost.
    pub(crate) fn heap_per_entry(&self) -> usize {
        self.sizes.mean().unwrap_or(HEAP_UNKNOWN)
    }

    /// Looks at the size of some entries, of other ones each time.
    pub(crate) fn sample(&mut self) {
        if !Self::has_heap() || self.segments.is_empty() {
            return;
        }
        self.sampled = (self.sampled + 1) % self.segments.len();
        let Table { segments, layout, sizes, sampled, .. } = self;
        let mut bytes = Vec::new();
        for slot in segments[*sampled].slots.iter().take(SAMPLED) {
            let mut heap = 0;
            if std::mem::needs_drop::<V>() {
                heap += layout.size(&slot.value) + VALUE_OVERHEAD;
            }
            if std::mem::needs_drop::<K>() {
                // It was encoded when it was hashed.
                heap += encoded(&slot.key, &mut bytes).map_or(0, <[u8]>::len) + KEY_OVERHEAD;
            }
            sizes.learn(heap);
        }
    }

    /// Whether entries may hold anything outside their slots.
    pub(super) fn has_heap() -> bool {
        std::mem::needs_drop::<V>() || std::mem::needs_drop::<K>()
    }

    /// Bytes that wait to be part of a snapshot, or will until the next cut: who takes the room of
    /// those for entries must soon give it back.
    pub(super) fn log_bytes(&self) -> usize {
        let then: usize = self.logs.iter().map(|logs| logs.then.bytes()).sum();
        self.logged.max(self.bytes_logged() + then)
    }

    pub(super) fn bytes_logged(&self) -> usize {
        self.logs.iter().map(|logs| logs.now.bytes()).sum()
    }

    pub(super) fn read_as(&mut self, stored: &TypeShape) {
        self.layout.read_as(stored);
    }

    pub(super) fn codec_mut(&mut self) -> Option<&mut super::ValueCodec<V>> {
        self.layout.codec_mut()
    }

    /// Takes in an entry read from a checkpoint, over those before.
    pub(crate) fn apply(&mut self, entry: &Entry<'_>) -> Result<()> {
        let row = self.layout.row_key(entry)?;
        if self.cold.is_some() {
            // What was restored before may have been evicted since.
            self.fetch(row.hash, &row.key)?;
        }
        let at = self.segment_of(row.hash);
        let Table { segments, layout, len, .. } = self;
        let found = segments[at].slots.find_entry(kept(row.hash), |slot| slot.key == row.key);
        match (entry.op, found) {
            (Op::Put, Ok(mut slot)) => {
                let Slot { mark, value, .. } = slot.get_mut();
                layout.absorb(Some(value), row.rest, entry.value, Bytes::Stored)?;
                mark.set_changed_before();
                if layout.is_portion(row.rest) {
                    mark.set_joined();
                }
            }
            (Op::Put, Err(_)) => {
                if let Some(value) = layout.absorb(None, row.rest, entry.value, Bytes::Stored)? {
                    let mut mark = Mark::written(row.hash);
                    if layout.is_portion(row.rest) {
                        mark.set_joined();
                    }
                    self.place(row.hash, Slot { mark, key: row.key, value });
                }
            }
            (Op::Delete, Ok(mut slot)) => {
                slot.get_mut().mark.set_changed_before();
                if row.rest.is_empty() || !layout.retract(&mut slot.get_mut().value, row.rest)? {
                    slot.remove();
                    *len -= 1;
                    if self.cold.is_some() {
                        self.forget_spilled(row.hash, &row.key)?;
                    }
                }
            }
            (Op::Delete, Err(_)) => {}
            (Op::Drop, _) => {
                anyhow::bail!("a namespace is dropped in a state without namespaces")
            }
        }
        Ok(())
    }

    pub(super) fn place(&mut self, hash: KeyHash, slot: Slot<K, V>) {
        let mut at = self.segment_of(hash);
        if self.segments[at].is_full() {
            self.make_room(at);
            at = self.segment_of(hash);
        }
        self.len += 1;
        self.segments[at].slots.insert_unique(kept(hash), slot, |slot| slot.mark.hash());
    }

    /// Forgets every key of one key group, by its position, as if it had never been.
    pub(super) fn forget_group(&mut self, position: usize) -> Result<()> {
        self.forget_spilled_group(position)?;
        let split = self.directories.get(position).map(|all| all.segments(0, 1));
        for at in split.unwrap_or_else(|| vec![position as u32]) {
            let segment = &mut self.segments[at as usize];
            self.len -= segment.slots.len();
            segment.slots.clear();
            segment.now = Listed::default();
        }
        Ok(())
    }
}

/// An entry, one of so many of its segment, is about to change: its pre-image is written where that
/// is due, and it is listed.
#[cold]
#[inline(never)]
pub(super) fn change<K: Key, V>(
    slot: &mut Slot<K, V>,
    (hash, entries): (KeyHash, usize),
    (now, then, dirty): (&mut Listed, &Pending, Dirty),
    layout: &mut dyn Layout<K, V>,
    log: &mut Log,
) -> Result<()> {
    slot.mark.touch();
    if slot.mark.is(dirty) {
        return Ok(());
    }
    write_before(slot, then, layout, log, dirty)?;
    slot.mark.set(dirty);
    if !crate::planted!("state.change.unlisted") {
        now.push(hash, entries);
    }
    Ok(())
}

/// Writes an entry for the last cut, if it is still to be written for that: before it changes.
pub(super) fn write_before<K: Key, V>(
    slot: &mut Slot<K, V>,
    then: &Pending,
    layout: &mut dyn Layout<K, V>,
    log: &mut Log,
    dirty: Dirty,
) -> Result<()> {
    match then {
        Pending::Nothing => Ok(()),
        _ if crate::planted!("state.touched.while.written") => Ok(()),
        Pending::Changed(_) if slot.mark.is(dirty.next()) => {
            write(slot, Rows::Changed, layout, log)
        }
        Pending::All if !slot.mark.is(dirty) => write(slot, Rows::All, layout, log),
        Pending::Changed(_) | Pending::All => Ok(()),
    }
}

/// Writes an entry, which is then as a snapshot holds it.
#[inline]
pub(super) fn write<K: Key, V>(
    slot: &mut Slot<K, V>,
    rows: Rows,
    layout: &mut (impl Layout<K, V> + ?Sized),
    sink: &mut dyn RowSink,
) -> Result<()> {
    let mut write = || {
        if slot.mark.is_joined() && rows == Rows::Changed {
            layout.delete(&slot.key, sink)?;
        }
        layout.write(&slot.key, &mut slot.value, rows, sink)
    };
    write().map_err(|error| unwritable(&slot.key, error))?;
    slot.mark.set_written();
    Ok(())
}

#[cold]
pub(super) fn unwritable<K: Key>(key: &K, error: anyhow::Error) -> anyhow::Error {
    let key = serde_json::to_string(key).unwrap_or_else(|_| "(not printable)".to_owned());
    error.context(format!("the value of key {key} cannot be written"))
}
