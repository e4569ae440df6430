//! A segment of a table: some thousand entries of one key group, what changed of them, and what of
//! that still has to be written for the snapshot that was cut last.
//!
//! Called by [`super::Table`] only. Segments are small, so that growing, splitting and walking one
//! is never a pause.

use hashbrown::HashTable;

use crate::key::KeyHash;

/// What the table knows of an entry beside its key and value: the hash of its key and, in place of
/// the bits that only name the key group, its marks. One word, so that three entries of two
/// numbers each share fewer cache lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// The bits of a hash in whose place the marks lie.
const MARKS: u64 = 0xff << MARKS_AT;
const MARKS_AT: u32 = 32;

/// A hash without the bits that a [`Mark`] does not keep.
#[inline]
pub(super) fn kept(hash: KeyHash) -> u64 {
    hash.0 & !MARKS
}

/// Changed since it was last written, in an interval of this parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dirty {
    /// Not changed.
    No = 0,
    /// In an even interval.
    Even = 1,
    /// In an odd interval.
    Odd = 2,
}

impl Dirty {
    /// The parity of the interval after one of this parity; nothing changes what is not listed.
    pub(super) fn next(self) -> Self {
        match self {
            Dirty::No => Dirty::No,
            Dirty::Even => Dirty::Odd,
            Dirty::Odd => Dirty::Even,
        }
    }
}

impl Mark {
    const DIRTY: u64 = 3 << MARKS_AT;
    const STORED: u64 = 4 << MARKS_AT;
    const TOUCHED: u64 = 8 << MARKS_AT;
    const SPILLED: u64 = 16 << MARKS_AT;
    const JOINED: u64 = 32 << MARKS_AT;
    const BROUGHT: u64 = 64 << MARKS_AT;

    /// Of an entry that no snapshot holds.
    #[inline]
    pub(super) fn new(hash: KeyHash) -> Mark {
        Mark(kept(hash))
    }

    /// Of an entry as a snapshot holds it.
    pub(super) fn written(hash: KeyHash) -> Mark {
        Mark(kept(hash) | Self::STORED)
    }

    /// The hash, as [`kept`].
    #[inline]
    pub(super) fn hash(self) -> u64 {
        self.0 & !MARKS
    }

    /// The hash as one of a key of this key group.
    pub(super) fn hash_in(self, group: u64) -> KeyHash {
        KeyHash(self.hash() | (group << MARKS_AT) & MARKS)
    }

    #[inline]
    pub(super) fn is(self, dirty: Dirty) -> bool {
        self.0 & Self::DIRTY == (dirty as u64) << MARKS_AT
    }

    /// It changes: what is spilled of it is no longer true.
    #[inline]
    pub(super) fn set(&mut self, dirty: Dirty) {
        self.0 = self.0 & !(Self::DIRTY | Self::SPILLED) | (dirty as u64) << MARKS_AT;
    }

    /// A restore changes it: what is spilled of it is no longer true.
    pub(super) fn set_changed_before(&mut self) {
        self.0 &= !Self::SPILLED;
    }

    /// It is written to a snapshot.
    pub(super) fn set_written(&mut self) {
        self.0 = self.0 & (!MARKS | Self::TOUCHED | Self::BROUGHT | Self::SPILLED) | Self::STORED;
    }

    /// It is used: it shall stay in memory for another round of evictions.
    #[inline]
    pub(super) fn touch(&mut self) {
        let brought = self.0 & Self::BROUGHT != 0;
        self.0 = if brought { self.0 & !Self::BROUGHT } else { self.0 | Self::TOUCHED };
    }

    /// It came back to be used once: that use alone shall not keep it in memory.
    pub(super) fn set_brought(&mut self) {
        self.0 |= Self::BROUGHT;
    }

    /// Whether it is marked as used, and as changed like this.
    #[inline]
    pub(super) fn is_touched_and(self, dirty: Dirty) -> bool {
        self.0 & (Self::DIRTY | Self::TOUCHED) == (dirty as u64) << MARKS_AT | Self::TOUCHED
    }

    /// Whether it was used since [`Mark::take_touched`] was last asked.
    pub(super) fn is_touched(self) -> bool {
        self.0 & Self::TOUCHED != 0
    }

    /// Whether it was used since this was last asked.
    pub(super) fn take_touched(&mut self) -> bool {
        let touched = self.is_touched();
        self.0 &= !Self::TOUCHED;
        touched
    }

    /// It came from the spill tier, where it still lies just so.
    pub(super) fn set_spilled(&mut self) {
        self.0 |= Self::SPILLED;
    }

    pub(super) fn is_spilled(self) -> bool {
        self.0 & Self::SPILLED != 0
    }

    /// Snapshots hold it in portions: they go when it is written whole.
    pub(super) fn set_joined(&mut self) {
        self.0 |= Self::JOINED;
    }

    pub(super) fn is_joined(self) -> bool {
        self.0 & Self::JOINED != 0
    }

    /// Whether a snapshot holds the entry, so that its end must be written.
    pub(super) fn is_stored(self) -> bool {
        self.0 & Self::STORED != 0
    }
}

/// An entry.
pub(crate) struct Slot<K, V> {
    pub(super) mark: Mark,
    pub(super) key: K,
    pub(super) value: V,
}

/// The changed entries of a segment: their hashes while they are few, which is quicker to go
/// through than the segment; beyond an eighth of it only that there are some.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) hashes: Vec<KeyHash>,
    pub(super) many: bool,
    /// How many were listed, and are, or would be but for `many`.
    pub(super) count: u32,
}

/// Below this, a list is never too long.
const LISTED_MIN: usize = 16;

impl Listed {
    #[inline]
    pub(super) fn push(&mut self, hash: KeyHash, entries: usize) {
        self.count = self.count.saturating_add(1);
        if self.many {
            return;
        }
        if self.hashes.len() >= LISTED_MIN.max(entries / 8) {
            self.many = true;
            self.hashes = Vec::new();
        } else {
            self.hashes.push(hash);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.many && self.hashes.is_empty()
    }
}

/// What of a segment is still to be written for the last cut.
#[derive(Debug, Default)]
pub(super) enum Pending {
    /// Nothing.
    #[default]
    Nothing,
    /// What had changed before the cut.
    Changed(Listed),
    /// Every entry that has not changed since the cut.
    All,
}

/// Some thousand entries of one key group.
pub(super) struct Segment<K, V> {
    pub(super) slots: HashTable<Slot<K, V>>,
    pub(super) now: Listed,
    pub(super) then: Pending,
    /// The position of its key group.
    pub(super) group: u16,
    /// How many bits of the hash all its keys share beyond those of the key group.
    pub(super) depth: u8,
    /// Its keys share more bits than there are: splitting it again would not help.
    pub(super) whole: bool,
    /// How many entries it is likely to get, as far as that is known.
    pub(super) expected: u16,
    /// The place from which on entries are asked next whether they are used.
    pub(super) hand: u16,
}

/// With so many entries a segment is taken to become as large as expected.
const GROWS_AT: usize = 14;

/// A smaller segment may grow, however scarce memory is.
const CROWDED_MIN: usize = if cfg!(test) { 3 } else { ENTRIES_MAX / 8 };

/// A full segment of this many entries is split: as many as 4096 places take.
pub(super) const ENTRIES_MAX: usize = 3584;

/// With at most so many entries in so much room, a table that is full is so by marks of places once
/// taken: laid out anew it takes many more, and rarely has to be again.
fn without_marks(room: usize) -> usize {
    room - room / 4
}

impl<K, V> Segment<K, V> {
    pub(super) fn new(group: u16) -> Self {
        Segment {
            slots: HashTable::new(),
            now: Listed::default(),
            then: Pending::Nothing,
            group,
            depth: 0,
            whole: false,
            expected: 0,
            hand: 0,
        }
    }

    /// Whether one more entry makes it split or grow.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() == self.slots.capacity()
    }

    /// How many entries it takes before it grows, were none of its places marked as once taken.
    pub(super) fn room(&self) -> usize {
        match self.slots.num_buckets() {
            places @ ..8 => places - 1,
            places => places / 8 * 7,
        }
    }

    /// Whether it will soon split, or grow to what takes as much memory.
    pub(super) fn is_crowded(&self) -> bool {
        let room = self.room();
        self.slots.len() >= CROWDED_MIN && self.slots.len() >= room - room / 14
    }

    /// An empty table of as many places, instead of this one.
    pub(super) fn take_slots(&mut self) -> HashTable<Slot<K, V>> {
        let empty = HashTable::with_capacity(self.room());
        std::mem::replace(&mut self.slots, empty)
    }

    /// Whether it is as large as a segment becomes, though what left may have left marks in place
    /// of some entries.
    pub(super) fn is_whole_size(&self) -> bool {
        self.slots.len() > without_marks(ENTRIES_MAX) && !self.whole
    }

    /// Grows to what is expected in one step, once it is clear that it grows. Where what left has
    /// only left marks, takes as many places anew.
    pub(super) fn grow(&mut self) {
        let len = self.slots.len();
        if len >= GROWS_AT && len <= without_marks(self.room()) {
            for slot in self.take_slots() {
                self.slots.insert_unique(slot.mark.hash(), slot, |slot| slot.mark.hash());
            }
        } else if len >= GROWS_AT {
            let more = usize::from(self.expected).saturating_sub(self.slots.len());
            self.slots.reserve(more, |slot| slot.mark.hash());
        }
    }

    /// Takes the entries with the next bit set into a segment of their own; nothing where that
    /// would leave one of the two nearly as full as before.
    pub(super) fn split(&mut self) -> Option<Self> {
        let bit = u32::from(self.depth);
        let set = |hash: u64| (sub_group(hash) >> bit) & 1 == 1;
        let moving = self.slots.iter().filter(|slot| set(slot.mark.hash())).count();
        let least = ENTRIES_MAX / 16;
        if bit >= DEPTH_MAX || moving < least || self.slots.len() - moving < least {
            self.whole = true;
            return None;
        }
        let mut half = Segment::new(self.group);
        half.slots = HashTable::with_capacity(ENTRIES_MAX);
        for slot in self.slots.extract_if(|slot| set(slot.mark.hash())) {
            half.slots.insert_unique(slot.mark.hash(), slot, |slot| slot.mark.hash());
        }
        half.now = split_listed(&mut self.now, set);
        half.then = match &mut self.then {
            Pending::Nothing => Pending::Nothing,
            Pending::All => Pending::All,
            Pending::Changed(listed) => Pending::Changed(split_listed(listed, set)),
        };
        self.depth += 1;
        half.depth = self.depth;
        half.hand = self.hand;
        Some(half)
    }
}

fn split_listed(listed: &mut Listed, set: impl Fn(u64) -> bool) -> Listed {
    let hashes = std::mem::take(&mut listed.hashes);
    let (there, here): (Vec<_>, _) = hashes.into_iter().partition(|hash| set(hash.0));
    listed.hashes = here;
    // Where that is not known, half of them.
    let moved = if listed.many { listed.count / 2 } else { there.len() as u32 };
    listed.count -= moved;
    Listed { hashes: there, many: listed.many, count: moved }
}

/// The most bits by which the segments of a key group are told apart.
pub(super) const DEPTH_MAX: u32 = 16;

/// The bits of a hash by which segments are told apart: between those of the key group and those
/// that the hash table takes for its tags.
#[inline]
pub(super) fn sub_group(hash: u64) -> u32 {
    ((hash >> 40) & 0xffff) as u32
}

/// From the bits of a hash to the segment, for a key group that has more than one.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    /// As many as 2 to the power of the deepest segment's depth.
    places: Vec<u32>,
}

impl Directory {
    pub(super) fn new(root: u32) -> Self {
        Directory { places: vec![root] }
    }

    #[inline]
    pub(super) fn find(&self, hash: KeyHash) -> usize {
        self.places[sub_group(hash.0) as usize & (self.places.len() - 1)] as usize
    }

    /// The segment at `old`, now of `depth`, gave those with its last bit set to the one at `new`.
    pub(super) fn split(&mut self, old: u32, new: u32, depth: u8) {
        if self.places.len() < 1 << depth {
            self.places.extend_from_within(..);
        }
        let bit = 1 << (depth - 1);
        for (place, segment) in self.places.iter_mut().enumerate() {
            if *segment == old && place & bit != 0 {
                *segment = new;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The segments with hashes of part `part` of `parts`, each once.
    pub(super) fn segments(&self, part: usize, parts: usize) -> Vec<u32> {
        let bits = parts.min(self.places.len()) - 1;
        let places = self.places.iter().enumerate();
        let own = places.filter(|(place, _)| place & bits == part & bits);
        let mut all: Vec<u32> = own.map(|(_, segment)| *segment).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
