//! [`Places`]: into what the key groups of a slice are divided in the spill. A place is as large as
//! can be joined without a pause; one that outgrows that becomes two, by the next bit of the hash.

use std::collections::VecDeque;

use crate::key::KeyHash;
use crate::state::segment::Directory;

/// Portions of a place that are worth joining, whatever lies there joined.
const PORTIONS_LEAST: usize = 4096;
/// Portions that are worth joining, for each key that lies there joined: so what the spill and the
/// checkpoints hold is at most about three times what it is joined to.
const PORTIONS_PER_KEY: usize = 2;

/// A part of a key group.
#[derive(Debug)]
pub(super) struct Place {
    /// The position of the key group.
    pub(super) group: u16,
    /// How many bits of the hash all its keys share beyond those of the key group.
    pub(super) depth: u8,
    /// Portions that came since they were joined.
    portions: usize,
    /// Keys that were joined then.
    joined: usize,
    is_due: bool,
}

/// All of a slice, at first one for each key group.
#[derive(Debug)]
pub(super) struct Places {
    directories: Vec<Directory>,
    places: Vec<Place>,
    /// Those worth joining.
    due: VecDeque<u32>,
}

impl Places {
    pub(super) fn new(groups: usize) -> Self {
        let place = |group| Place { group, depth: 0, portions: 0, joined: 0, is_due: false };
        Places {
            directories: (0..groups as u32).map(Directory::new).collect(),
            places: (0..groups as u16).map(place).collect(),
            due: VecDeque::new(),
        }
    }

    /// The place of a key.
    pub(super) fn find(&self, group: u16, hash: KeyHash) -> u32 {
        self.directories[usize::from(group)].find(hash) as u32
    }

    pub(super) fn get(&self, place: u32) -> Option<&Place> {
        self.places.get(place as usize)
    }

    /// Into how many equal parts of the hashes the places of a key group divide it.
    pub(super) fn parts(&self, position: usize) -> usize {
        self.directories[position].len()
    }

    /// The places with keys of one of `parts` parts of a key group.
    pub(super) fn of(&self, position: usize, (part, parts): (usize, usize)) -> Vec<u32> {
        self.directories[position].segments(part, parts)
    }

    /// So many portions came.
    pub(super) fn came(&mut self, at: u32, portions: usize) {
        let place = &mut self.places[at as usize];
        place.portions += portions;
        let worth = PORTIONS_LEAST.max(place.joined * PORTIONS_PER_KEY);
        if place.portions > worth && !place.is_due {
            place.is_due = true;
            self.due.push_back(at);
        }
    }

    /// The next one that is worth joining.
    pub(super) fn due(&mut self) -> Option<u32> {
        self.due.pop_front()
    }

    /// It holds so many keys, and no portions.
    pub(super) fn is_joined(&mut self, at: u32, keys: usize) {
        let place = &mut self.places[at as usize];
        (place.portions, place.joined, place.is_due) = (0, keys, false);
    }

    /// Makes two of one; the new one gets the keys with the next bit set.
    pub(super) fn split(&mut self, at: u32) -> u32 {
        let new = self.places.len() as u32;
        let place = &mut self.places[at as usize];
        place.depth += 1;
        let (group, depth) = (place.group, place.depth);
        self.directories[usize::from(group)].split(at, new, depth);
        self.places.push(Place { group, depth, portions: 0, joined: 0, is_due: false });
        new
    }

    /// How many keys, each counted once for every portion.
    pub(super) fn len(&self) -> usize {
        self.places.iter().map(|place| place.portions + place.joined).sum()
    }

    /// About how many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        let divided: usize = self.directories.iter().map(Directory::len).sum();
        self.places.capacity() * size_of::<Place>() + divided * size_of::<u32>()
    }
}
