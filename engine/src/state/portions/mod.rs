//! [`Portions`]: a slice whose values are added to without being read.
//!
//! Called by [`super::Slice`], once memory pressure has moved anything of a slice out whose values
//! can be merged.
//!
//! 1. What is added meets in a table that begins empty: what a key has there is a *portion* of its
//!    value.
//! 2. Memory pressure hands out key groups of it ([`Portions::evict`]), a cut hands out all
//!    ([`Portions::cut`], written in steps by [`Portions::write_some`]): each portion goes to the
//!    spill ([`blocks`]) and, where deltas are written, into the snapshot of its interval, as a row
//!    of its own ([`layout`]). Then the key begins anew.
//! 3. [`Portions::walk`] shows all portions, the oldest first; who walks merges them.
//! 4. Where many lie in one of the [`places`], they are joined, between two batches
//!    ([`Portions::join_due`]).
//!
//! Invariants: a portion is written once, whatever happens, so a restore merges what it reads; the
//! portions of a key come in the order in which they were made; nothing is handed out while a full
//! snapshot is written, but what its cut has taken.

mod blocks;
mod joining;
mod layout;
mod places;

use hashbrown::HashTable;

use self::blocks::{BLOCK_BYTES, Blocks, number_of};
pub(super) use self::layout::{Merge, PortionLayout};
use self::places::Places;
use super::cut::Budget;
use super::entry::{self, Entry, Op};
use super::layout::{Layout, Rows};
use super::log::{Log, RowSink};
use super::segment::{Slot, sub_group};
use super::spill::Spill;
use super::table::{Logs, Table, write};
use crate::checkpoint::SnapshotMode;
use crate::data::Key;
use crate::key::{self, KeyGroupRange, KeyHash};
use crate::operator::Result;

/// What of one slice was added since anything of it left memory, and where that is.
pub(super) struct Portions<K, V> {
    layout: PortionLayout<V>,
    range: KeyGroupRange,
    /// Whether deltas are written.
    tracked: bool,
    /// What was not handed out yet.
    current: Table<K, V>,
    /// What the last cut has taken and was not handed out yet.
    taken: Option<Taken<K, V>>,
    writing: Writing,
    /// By position of the key group.
    logs: Vec<Logs>,
    /// The number of what was handed out last.
    number: u32,
    blocks: Blocks,
    places: Places,
    /// The key group that was handed out last.
    hand: usize,
}

/// A table that nothing is added to any more.
struct Taken<K, V> {
    table: Table<K, V>,
    /// Its next segment.
    next: usize,
    number: u32,
}

/// What is still to be written for the last cut.
enum Writing {
    Nothing,
    /// What it has taken.
    Delta,
    /// That, to the spill; then all that is there, from behind a block of a place.
    Full(u32, Option<Vec<u8>>),
}

/// Where portions are written to beside the spill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// The next snapshot, before its barrier.
    Early,
    /// The snapshot that was cut last.
    Cut,
}

impl<K: Key, V: Send + 'static> Portions<K, V> {
    pub(super) fn new(
        layout: PortionLayout<V>,
        (range, tracked): (KeyGroupRange, bool),
        spill: Box<dyn Spill>,
    ) -> Self {
        Portions {
            current: Table::new(range, false, Box::new(layout.again::<K>())),
            layout,
            range,
            tracked,
            taken: None,
            writing: Writing::Nothing,
            logs: (0..range.len()).map(|_| Logs::default()).collect(),
            number: 0,
            blocks: Blocks::new(spill),
            places: Places::new(range.len()),
            hand: 0,
        }
    }

    /// Where is added.
    #[inline]
    pub(super) fn current(&mut self) -> &mut Table<K, V> {
        &mut self.current
    }

    /// Hands out key groups until about `entries` have gone; returns how many. `restored` is the
    /// highest number that a checkpoint has given.
    pub(super) fn evict(&mut self, entries: usize, restored: u32) -> Result<usize> {
        if self.current.len_here() == 0 {
            return Ok(0);
        }
        let number = self.next_number(restored)?;
        let beside = if self.tracked { Beside::Early } else { Beside::Nothing };
        let mut evicted = 0;
        for _ in 0..self.range.len() {
            if evicted >= entries {
                break;
            }
            self.hand = (self.hand + 1) % self.range.len();
            for at in 0..self.current.segments.len() {
                if usize::from(self.current.segments[at].group) == self.hand {
                    let slots = take_slots(&mut self.current, at);
                    evicted += slots.len();
                    self.hand_out((self.hand, slots), number, beside)?;
                }
            }
        }
        self.blocks.flush()?;
        Ok(evicted)
    }

    fn next_number(&mut self, restored: u32) -> Result<u32> {
        let next = self.number.max(restored).checked_add(1);
        self.number = next.ok_or_else(|| anyhow::anyhow!("a slice is in too many portions"))?;
        Ok(self.number)
    }

    /// Writes the portions of one segment, place by place.
    fn hand_out(
        &mut self,
        (position, slots): (usize, HashTable<Slot<K, V>>),
        number: u32,
        beside: Beside,
    ) -> Result<()> {
        let Portions { layout, places, blocks, logs, .. } = self;
        let mut of_place: Vec<_> = slots
            .into_iter()
            .map(|slot| (places.find(position as u16, KeyHash(slot.mark.hash())), slot))
            .collect();
        of_place.sort_unstable_by_key(|(place, _)| *place);
        let mut early;
        let logs = &mut logs[position];
        let log: Option<&mut dyn RowSink> = match beside {
            Beside::Nothing => None,
            Beside::Early => {
                early = logs.now.early();
                Some(&mut early)
            }
            Beside::Cut => Some(&mut logs.then),
        };
        let (block, key) = (&mut Vec::new(), &mut Vec::new());
        let mut sink = PortionSink { block, log, number, key };
        for portions in of_place.chunk_by_mut(|a, b| a.0 == b.0) {
            let place = portions[0].0;
            for (_, slot) in &mut *portions {
                write(slot, Rows::All, layout, &mut sink)?;
                if sink.block.len() >= BLOCK_BYTES {
                    blocks.put(place, number, sink.block)?;
                    sink.block.clear();
                }
            }
            if !sink.block.is_empty() {
                blocks.put(place, number, sink.block)?;
                sink.block.clear();
            }
            places.came(place, portions.len());
        }
        Ok(())
    }

    /// The barrier is here: what was added until now belongs to it.
    pub(super) fn cut(&mut self, mode: SnapshotMode, restored: u32) -> Result<()> {
        for logs in &mut self.logs {
            let now = logs.now.take();
            logs.then = match mode {
                SnapshotMode::Full => Log::default(),
                SnapshotMode::Delta => now,
            };
        }
        self.writing = match mode {
            SnapshotMode::Full => Writing::Full(0, None),
            SnapshotMode::Delta => Writing::Delta,
        };
        if self.current.len_here() > 0 {
            let number = self.next_number(restored)?;
            let mut anew = Table::new(self.range, false, Box::new(self.layout.again::<K>()));
            anew.expect_like(&self.current);
            let table = std::mem::replace(&mut self.current, anew);
            self.taken = Some(Taken { table, next: 0, number });
        }
        Ok(())
    }

    /// Writes a part of what was cut; whether all of it is written.
    pub(super) fn write_some(&mut self, budget: &mut Budget) -> Result<bool> {
        let beside = match self.writing {
            Writing::Nothing => return Ok(true),
            Writing::Delta => Beside::Cut,
            Writing::Full(..) => Beside::Nothing,
        };
        while let Some(Taken { table, next, number }) = &mut self.taken {
            let Some(segment) = table.segments.get(*next) else {
                self.taken = None;
                break;
            };
            if budget.is_spent() {
                return Ok(false);
            }
            let (position, number) = (usize::from(segment.group), *number);
            let slots = take_slots(table, *next);
            *next += 1;
            budget.spend(slots.len().max(1));
            self.hand_out((position, slots), number, beside)?;
        }
        self.blocks.flush()?;
        if !self.copy_some(budget)? {
            return Ok(false);
        }
        self.writing = Writing::Nothing;
        Ok(true)
    }

    /// For a full snapshot: copies rows from the spill.
    fn copy_some(&mut self, budget: &mut Budget) -> Result<bool> {
        let Portions { writing, places, blocks, logs, layout, .. } = self;
        let Writing::Full(at, after) = writing else { return Ok(true) };
        let namespace = Layout::<K, V>::namespace(layout);
        let mut row = Vec::new();
        while let Some(place) = places.get(*at) {
            if budget.is_spent() {
                return Ok(false);
            }
            let page = blocks.page(*at, after.as_deref())?;
            let log = &mut logs[usize::from(place.group)].then;
            budget.spend(1);
            for (key, bytes) in &page.blocks {
                let mut rest = &bytes[..];
                while let Some(entry) = entry::read(&mut rest)? {
                    row_key(&mut row, entry.key, number_of(key));
                    log.put(namespace, &row, entry.value)?;
                    budget.spend(1);
                }
            }
            *after = page.next;
            *at += u32::from(after.is_none());
        }
        Ok(true)
    }

    /// Whether the last cut is still to be written.
    pub(super) fn is_writing(&self) -> bool {
        !matches!(self.writing, Writing::Nothing)
    }

    /// Whether that is of everything.
    pub(super) fn is_writing_all(&self) -> bool {
        matches!(self.writing, Writing::Full(..))
    }

    /// Takes what was written for the last cut, by position of the key group.
    pub(super) fn take_logs(&mut self) -> impl Iterator<Item = Log> {
        self.logs.iter_mut().map(|logs| logs.then.take())
    }

    /// Into how many parts a key group is best walked.
    pub(super) fn parts(&self, position: usize) -> usize {
        self.places.parts(position)
    }

    /// The portions of one of `parts` parts of a key group; those of a key, the oldest first.
    pub(super) fn walk(
        &mut self,
        position: usize,
        (part, parts): (usize, usize),
        mut see: impl FnMut(KeyHash, &K, &V),
    ) -> Result<()> {
        for place in self.places.of(position, (part, parts)) {
            self.see_blocks(place, |hash, key, value| {
                if sub_group(hash.0) as usize & (parts - 1) == part {
                    see(hash, &key, &value);
                }
            })?;
        }
        if let Some(taken) = &mut self.taken {
            taken.table.walk_part(position, (part, parts), &mut see)?;
        }
        self.current.walk_part(position, (part, parts), see)
    }

    /// The portions of a place in the spill; returns the keys of their blocks.
    fn see_blocks(
        &mut self,
        place: u32,
        mut see: impl FnMut(KeyHash, K, V),
    ) -> Result<Vec<Vec<u8>>> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.blocks.page(place, after.as_deref())?;
            for (block, bytes) in page.blocks {
                let mut rest = &bytes[..];
                while let Some(entry) = entry::read(&mut rest)? {
                    let value = self.layout.decode(entry.value)?;
                    see(key::hash_bytes(entry.key), key::decode(entry.key)?, value);
                }
                keys.push(block);
            }
            after = page.next;
            if after.is_none() {
                return Ok(keys);
            }
        }
    }

    /// How many entries, each counted once for every portion.
    pub(super) fn len(&self) -> usize {
        let taken = self.taken.as_ref().map_or(0, |taken| taken.table.len_here());
        self.places.len() + self.current.len_here() + taken
    }

    /// Looks at the size of some entries.
    pub(super) fn sample(&mut self) {
        self.current.sample();
    }

    /// About how many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        let taken = self.taken.as_ref().map_or(0, |taken| taken.table.bytes());
        let logs: usize = self.logs.iter().map(|logs| logs.now.bytes() + logs.then.bytes()).sum();
        self.current.bytes() + taken + logs + self.places.bytes()
    }
}

/// Takes the entries of a segment out of a table without deltas, and their room with them.
fn take_slots<K, V>(table: &mut Table<K, V>, at: usize) -> HashTable<Slot<K, V>> {
    let slots = std::mem::take(&mut table.segments[at].slots);
    table.len -= slots.len();
    slots
}

/// The key of a portion's row in snapshots.
fn row_key(row: &mut Vec<u8>, key: &[u8], number: u32) {
    row.clear();
    row.extend_from_slice(key);
    if number > 0 {
        row.extend_from_slice(&number.to_be_bytes());
    }
}

/// Writes portions of one number: to a block, and beside it to a snapshot.
struct PortionSink<'a> {
    block: &'a mut Vec<u8>,
    log: Option<&'a mut dyn RowSink>,
    number: u32,
    key: &'a mut Vec<u8>,
}

impl RowSink for PortionSink<'_> {
    fn put(&mut self, namespace: &[u8], key: &[u8], value: &[u8]) -> Result<()> {
        entry::write(self.block, Entry { op: Op::Put, namespace: &[], key, value })?;
        if let Some(log) = &mut self.log {
            row_key(self.key, key, self.number);
            log.put(namespace, self.key, value)?;
        }
        Ok(())
    }

    fn delete(&mut self, _namespace: &[u8], _key: &[u8]) -> Result<()> {
        anyhow::bail!("a portion is only ever put")
    }
}
