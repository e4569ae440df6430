//! The sweep: removes what has ended of a state with a time to live, some entries a call.
//!
//! 1. A round goes through the places of every segment, then page by page through what is spilled
//!    of each key group. It stops wherever its credit is spent, and goes on there the next time.
//! 2. What has ended is removed as a user would remove it, so that deltas and the spill learn of
//!    it; what is only looked at is not marked in any way.
//! 3. After a round it rests until the first entry that it saw ends, for at least a sixteenth of
//!    the time to live.
//!
//! Called by [`super::StateStore::sweep`]. The credit grows with each call and with each write, so
//! however fast entries come, those that have ended are never much more than those that live.

use super::list::ListEntries;
use super::map::MapEntries;
use super::segment::ENTRIES_MAX;
use super::table::Table;
use super::ttl::{Times, Ttl, Until};
use crate::data::Key;
use crate::key::KeyHash;
use crate::operator::Result;
use crate::time::Timestamp;

/// What a call may look at, whatever was written.
const CREDIT_CALL: isize = 64;
/// What it may look at more for each write since the last: what is written once is removed once,
/// and of the places beside it about every second is free.
const CREDIT_WRITE: isize = REMOVAL + 4;
/// The most credit of one call: some tenths of a millisecond where all of it has ended.
const CREDIT_MAX: isize = 16_384;
/// What a removal costs, in looks.
const REMOVAL: isize = 4;

/// What an entry is like at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// What should be removed.
    pub(super) ended: Ended,
    /// When the first part ends that has not ended yet.
    pub(super) next: Timestamp,
    /// How many parts were looked at.
    pub(super) parts: usize,
}

/// How much of an entry has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing, or too little to be worth a write.
    Nothing,
    /// Parts of a collection.
    Parts,
    /// All of it.
    All,
}

/// An entry that ends, in whole or in parts.
pub(super) trait Ends: Sized {
    /// What it is like.
    fn look(&self, now: Timestamp) -> Look;

    /// Removes the parts that have ended; notes that for deltas when `tracked`.
    fn remove_ended(&mut self, now: Timestamp, tracked: bool);
}

impl Look {
    /// Of the ends of all parts.
    fn of(ends: impl Iterator<Item = Timestamp>, now: Timestamp) -> (Self, usize) {
        let (mut gone, mut parts, mut next) = (0, 0, Timestamp::MAX);
        for until in ends {
            parts += 1;
            if until <= now {
                gone += 1;
            } else {
                next = next.min(until);
            }
        }
        let ended = match gone {
            0 => Ended::Nothing,
            _ if gone == parts => Ended::All,
            _ => Ended::Parts,
        };
        (Look { ended, next, parts }, gone)
    }
}

impl<V> Ends for Until<V> {
    fn look(&self, now: Timestamp) -> Look {
        Look::of(std::iter::once(self.0), now).0
    }

    fn remove_ended(&mut self, _now: Timestamp, _tracked: bool) {}
}

impl<V> Ends for ListEntries<Until<V>> {
    fn look(&self, now: Timestamp) -> Look {
        let (look, gone) = Look::of(self.values.iter().map(|(until, _)| *until), now);
        // What is left of a list is written anew, so at least half of it must be gone.
        let worth = look.ended != Ended::Parts || gone * 2 >= look.parts;
        if worth { look } else { Look { ended: Ended::Nothing, ..look } }
    }

    fn remove_ended(&mut self, now: Timestamp, _tracked: bool) {
        self.values.retain(|(until, _)| now < *until);
        self.rewrite();
    }
}

impl<M, V> Ends for MapEntries<M, Until<V>> {
    fn look(&self, now: Timestamp) -> Look {
        Look::of(self.pairs.values().map(|(_, (until, _))| *until), now).0
    }

    fn remove_ended(&mut self, now: Timestamp, tracked: bool) {
        let gone: Vec<_> = self.pairs.extract_if(.., |_, (_, (until, _))| *until <= now).collect();
        gone.iter().filter(|_| tracked).for_each(|(map_key, _)| self.note(map_key));
    }
}

/// Where a round stands.
#[derive(Debug)]
enum Place {
    /// In memory: segment, place within it.
    Here(usize, usize),
    /// In the spill: key group by its position, and behind which full key.
    Spilled(usize, Option<Vec<u8>>),
}

/// The sweep of one table.
pub(super) struct Sweep<V> {
    ttl: Ttl,
    look: fn(&V, Timestamp) -> Look,
    remove_ended: fn(&mut V, Timestamp, bool),
    place: Place,
    /// What may still be looked at; below zero where more was looked at than that.
    credit: isize,
    /// When the round began.
    began: Timestamp,
    /// The first end that the round has seen.
    next: Timestamp,
    rests_until: Timestamp,
}

impl<V: Ends> Sweep<V> {
    pub(super) fn new(ttl: Ttl) -> Self {
        Sweep {
            ttl,
            look: V::look,
            remove_ended: V::remove_ended,
            place: Place::Here(0, 0),
            credit: 0,
            began: Timestamp::MIN,
            next: Timestamp::MAX,
            rests_until: Timestamp::MIN,
        }
    }
}

impl<V> Sweep<V> {
    /// An entry or a part of one was written.
    #[inline]
    pub(super) fn wrote(&mut self) {
        self.credit = (self.credit + CREDIT_WRITE).min(CREDIT_MAX);
    }

    /// There are entries it has not seen: it does not rest.
    pub(super) fn begin_anew(&mut self) {
        self.rests_until = Timestamp::MIN;
    }

    /// Looks at an entry, which costs as many looks as it has parts.
    fn see(&mut self, value: &V, now: Timestamp) -> Ended {
        let look = (self.look)(value, now);
        self.next = self.next.min(look.next);
        self.credit -= isize::try_from(look.parts).unwrap_or(isize::MAX);
        if look.ended != Ended::Nothing {
            self.credit -= REMOVAL;
        }
        look.ended
    }

    /// The round is over: when the next one begins.
    fn rest(&mut self) {
        let length = self.ttl.length();
        // What was written during the round ends no sooner than a time to live after its begin.
        let first = self.next.min(self.began + length);
        self.rests_until = first.max(self.began + length / 16);
        self.next = Timestamp::MAX;
        self.place = Place::Here(0, 0);
    }
}

impl<K: Key, V: Send + 'static> Table<K, V> {
    /// Removes some of what has ended.
    pub(super) fn sweep(&mut self, times: Times) -> Result<()> {
        let Some(mut sweep) = self.sweep.take() else { return Ok(()) };
        let now = times.of(sweep.ttl.time());
        let swept = self.sweep_with(&mut sweep, now);
        self.sweep = Some(sweep);
        swept
    }

    fn sweep_with(&mut self, sweep: &mut Sweep<V>, now: Timestamp) -> Result<()> {
        if now < sweep.rests_until {
            sweep.credit = 0;
            return Ok(());
        }
        sweep.credit = (sweep.credit + CREDIT_CALL).min(CREDIT_MAX);
        while sweep.credit > 0 {
            match std::mem::replace(&mut sweep.place, Place::Here(0, 0)) {
                Place::Here(at, place) => {
                    if (at, place) == (0, 0) {
                        sweep.began = now;
                    }
                    sweep.place = self.sweep_segment(sweep, now, (at, place))?;
                }
                Place::Spilled(position, after) if position < self.range().len() => {
                    sweep.place = self.sweep_page(sweep, now, (position, after))?;
                }
                Place::Spilled(..) => {
                    sweep.rest();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Sweeps the places of a segment from `place` on; where to go on.
    fn sweep_segment(
        &mut self,
        sweep: &mut Sweep<V>,
        now: Timestamp,
        (at, mut place): (usize, usize),
    ) -> Result<Place> {
        let Some(segment) = self.segments.get(at) else { return Ok(Place::Spilled(0, None)) };
        let group = u64::from(self.range().start) + u64::from(segment.group);
        let places = segment.slots.num_buckets();
        let mut ended: Vec<(KeyHash, K, Ended)> = Vec::new();
        sweep.credit -= 1;
        while place < places && sweep.credit > 0 {
            match segment.slots.get_bucket(place) {
                None => sweep.credit -= 1,
                Some(slot) => match sweep.see(&slot.value, now) {
                    Ended::Nothing => {}
                    some => ended.push((slot.mark.hash_in(group), slot.key.clone(), some)),
                },
            }
            place += 1;
        }
        for (hash, key, ended) in ended {
            self.remove_ended(sweep, now, (hash, &key, ended))?;
        }
        if place < places {
            return Ok(Place::Here(at, place));
        }
        let slots = &mut self.segments[at].slots;
        if slots.capacity() > ENTRIES_MAX / 16 && slots.len() < slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2, |slot| slot.mark.hash());
        }
        Ok(Place::Here(at + 1, 0))
    }

    /// Sweeps spilled entries of a key group behind `after`; where to go on. Only what has ended
    /// comes back into memory, to be removed there.
    fn sweep_page(
        &mut self,
        sweep: &mut Sweep<V>,
        now: Timestamp,
        (position, after): (usize, Option<Vec<u8>>),
    ) -> Result<Place> {
        let Some(page) = self.cold_page(position, after.as_deref())? else {
            return Ok(Place::Spilled(self.range().len(), None));
        };
        sweep.credit -= 1;
        for entry in self.entries_on(&page)? {
            let ended = sweep.see(&entry.value, now);
            self.remove_ended(sweep, now, (entry.hash, &entry.key, ended))?;
            if sweep.credit <= 0 {
                return Ok(Place::Spilled(position, Some(entry.last_row)));
            }
        }
        Ok(match page.last {
            true => Place::Spilled(position + 1, None),
            false => Place::Spilled(position, page.end()),
        })
    }

    fn remove_ended(
        &mut self,
        sweep: &mut Sweep<V>,
        now: Timestamp,
        (hash, key, ended): (KeyHash, &K, Ended),
    ) -> Result<()> {
        let tracked = self.is_tracked();
        let ended = match ended {
            Ended::Nothing => return Ok(()),
            // Of a list that was added to unread, only a part was looked at.
            _ if self.layout.has_parts() => match self.get(hash, key)? {
                Some(whole) => {
                    let look = (sweep.look)(whole, now);
                    sweep.next = sweep.next.min(look.next);
                    look.ended
                }
                None => return Ok(()),
            },
            some => some,
        };
        match ended {
            Ended::Nothing => {}
            Ended::All => drop(self.remove(hash, key)?),
            Ended::Parts => {
                if let Some(value) = self.get_mut(hash, key)? {
                    (sweep.remove_ended)(value, now, tracked);
                }
            }
        }
        Ok(())
    }
}
