//! A store with one state of each kind, and the plain maps that say what it must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::files::PlainFiles;
use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::data::Rmp;
use crate::graph::Uid;
use crate::key::{self, KeyGroupRange, KeyHash};
use crate::state::ResidentMemory;
use crate::state::cut::Budget;
use crate::state::{
    Declare, Keyed, ListState, MapState, Scope, SliceTable, Slot, StateStore, Table,
};
use crate::testing::MemorySpillDoor;
use crate::time::Timestamp;
use crate::timer::Timers;

/// The number of key groups: few, so that each holds many keys.
pub(super) const GROUPS: u16 = 4;

/// The states that are read by key.
pub(super) const LAZY: [&str; 3] = ["values", "lists", "maps"];

/// A change of one state.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Add(u16, u64),
    /// A batch of records, of any keys.
    AddAll(Vec<(u16, u64)>),
    Look(u16),
    Set(u16, u64),
    Remove(u16),
    Push(u16, u64),
    LookAtList(u16),
    SetList(u16, Vec<u64>),
    ClearList(u16),
    PutPair(u16, u8, u64),
    RemovePair(u16, u8),
    ClearMap(u16),
    AddToSlice(u8, u16, u64),
    /// To values that can be merged, in an order.
    Append(u8, u16, u64),
    DropSlices(u8),
    SetTimer(u8, u16),
    DeleteTimer(u8, u16),
    Fire(u8),
}

/// What the states hold, plainly.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Plain {
    pub(super) values: BTreeMap<u16, u64>,
    pub(super) lists: BTreeMap<u16, Vec<u64>>,
    pub(super) maps: BTreeMap<u16, BTreeMap<u8, u64>>,
    pub(super) slices: BTreeMap<u8, BTreeMap<u16, u64>>,
    pub(super) merging: BTreeMap<u8, BTreeMap<u16, Vec<u64>>>,
    pub(super) timers: BTreeSet<(u8, u16)>,
}

impl Plain {
    pub(super) fn change(&mut self, change: &Change) {
        match change {
            Change::Look(_) | Change::LookAtList(_) => {}
            Change::Add(key, n) => *self.values.entry(*key).or_default() += n,
            Change::AddAll(records) => {
                records.iter().for_each(|(key, n)| *self.values.entry(*key).or_default() += n);
            }
            Change::Set(key, n) => drop(self.values.insert(*key, *n)),
            Change::Remove(key) => drop(self.values.remove(key)),
            Change::Push(key, n) => self.lists.entry(*key).or_default().push(*n),
            Change::SetList(key, values) if values.is_empty() => drop(self.lists.remove(key)),
            Change::SetList(key, values) => drop(self.lists.insert(*key, values.clone())),
            Change::ClearList(key) => drop(self.lists.remove(key)),
            Change::PutPair(key, pair, n) => {
                self.maps.entry(*key).or_default().insert(*pair, *n);
            }
            Change::RemovePair(key, pair) => {
                if let Some(map) = self.maps.get_mut(key) {
                    map.remove(pair);
                }
                self.maps.retain(|_, map| !map.is_empty());
            }
            Change::ClearMap(key) => drop(self.maps.remove(key)),
            Change::AddToSlice(slice, key, n) => {
                *self.slices.entry(*slice).or_default().entry(*key).or_default() += n;
            }
            Change::Append(slice, key, n) => {
                self.merging.entry(*slice).or_default().entry(*key).or_default().push(*n);
            }
            Change::DropSlices(before) => {
                self.slices.retain(|slice, _| slice >= before);
                self.merging.retain(|slice, _| slice >= before);
            }
            Change::SetTimer(at, key) => drop(self.timers.insert((*at, *key))),
            Change::DeleteTimer(at, key) => drop(self.timers.remove(&(*at, *key))),
            Change::Fire(until) => self.timers.retain(|(at, _)| at > until),
        }
    }
}

/// One subtask's store.
pub(super) struct Subtask {
    pub(super) store: StateStore,
    values: Slot<Table<u16, u64>>,
    lists: ListState<u64>,
    maps: MapState<u8, u64>,
    slices: Slot<SliceTable<u16, u64>>,
    merging: Slot<SliceTable<u16, Vec<u64>>>,
    timers: Timers<u16>,
}

struct At<'a> {
    key: u16,
    hash: KeyHash,
    state: &'a mut StateStore,
}

impl Keyed for At<'_> {
    type Key = u16;
    fn scope(&mut self) -> Scope<'_, u16> {
        let timestamp = Timestamp::MIN;
        Scope { key: &self.key, hash: self.hash, state: self.state, timestamp }
    }
}

pub(super) fn hash_of(key: u16) -> KeyHash {
    let mut bytes = Vec::new();
    key::encode(&key, &mut bytes).expect("encodes");
    key::hash_bytes(&bytes)
}

fn moment(at: u8) -> Timestamp {
    // Some near each other, some far apart.
    Timestamp::from_millis((i64::from(at) - 3) * 17)
}

impl Subtask {
    pub(super) fn new(range: KeyGroupRange, tracked: bool) -> Self {
        let mut declare = Declare::<u16>::new(range, tracked);
        let values = declare.table("values", Rmp);
        let (lists, maps) = (declare.list("lists"), declare.map("maps"));
        let slices = declare.sliced("slices");
        let merging = declare.sliced_merging("merging", |held: &mut Vec<u64>, later| {
            held.extend(later);
        });
        let timers = declare.timers();
        Subtask { store: declare.finish().0, values, lists, maps, slices, merging, timers }
    }

    /// With a spill tier in memory.
    pub(super) fn spilling(range: KeyGroupRange, tracked: bool) -> Self {
        let mut subtask = Subtask::new(range, tracked);
        let door = Arc::new(MemorySpillDoor);
        let memory = Arc::new(ResidentMemory::new(usize::MAX));
        subtask.store.limit(memory, Some(door), (&Uid::new("test"), 0));
        subtask
    }

    pub(super) fn change(&mut self, change: &Change) {
        let owns = |key: &u16| hash_of(*key);
        match change {
            Change::Look(key) => {
                let table = self.store.get_mut(self.values);
                table.get(owns(key), key).expect("reads");
            }
            Change::Add(key, n) => {
                let table = self.store.get_mut(self.values);
                // In two records: the second one finds what the first one left.
                let items = vec![(*key, n - n / 2), (*key, n / 2)];
                let (hashes, mut items) = ([owns(key); 2], items.into_iter());
                table
                    .each_or_insert_with(&hashes, &mut items, || 0, |held, n| *held += n)
                    .expect("reads");
            }
            Change::AddAll(records) => {
                let range = self.store.range();
                let own = |(key, _): &(u16, u64)| range.contains(hash_of(*key).group(GROUPS));
                let items: Vec<(u16, u64)> = records.iter().copied().filter(own).collect();
                let hashes: Vec<KeyHash> = items.iter().map(|(key, _)| owns(key)).collect();
                let table = self.store.get_mut(self.values);
                let add = |held: &mut u64, n: &u64| *held += n;
                table.each_or_insert_with(&hashes, &mut items.iter(), || 0, add).expect("reads");
            }
            Change::Set(key, n) => {
                self.store.get_mut(self.values).insert(owns(key), key, *n).expect("reads");
            }
            Change::Remove(key) => {
                self.store.get_mut(self.values).remove(owns(key), key).expect("reads");
            }
            Change::AddToSlice(slice, key, n) => {
                let table = self.store.get_mut(self.slices).slice_mut(moment(*slice));
                let (hashes, mut items) = ([owns(key)], vec![(*key, *n)].into_iter());
                table
                    .each_or_insert_with(&hashes, &mut items, || 0, |held, n| *held += n)
                    .expect("reads");
            }
            Change::Append(slice, key, n) => {
                let slice = self.store.get_mut(self.merging).slice_mut(moment(*slice));
                let (hashes, mut items) = ([owns(key)], vec![(*key, *n)].into_iter());
                slice.each_or_insert_with(&hashes, &mut items, Vec::new, Vec::push).expect("reads");
            }
            Change::DropSlices(before) => {
                self.store.get_mut(self.slices).drop_before(moment(*before));
                self.store.get_mut(self.merging).drop_before(moment(*before));
            }
            Change::SetTimer(at, key) => {
                let timers = self.store.get_mut(self.timers.event);
                timers.set(moment(*at), owns(key), key).expect("encodes");
            }
            Change::DeleteTimer(at, key) => {
                let timers = self.store.get_mut(self.timers.event);
                timers.delete(moment(*at), owns(key), key).expect("encodes");
            }
            Change::Fire(until) => drop(self.fire(*until)),
            change => self.change_collection(change),
        }
    }

    fn change_collection(&mut self, change: &Change) {
        let (Change::Push(key, _)
        | Change::LookAtList(key)
        | Change::SetList(key, _)
        | Change::ClearList(key)
        | Change::PutPair(key, ..)
        | Change::RemovePair(key, _)
        | Change::ClearMap(key)) = change
        else {
            unreachable!("{change:?} is no change of a collection")
        };
        let mut at = At { key: *key, hash: hash_of(*key), state: &mut self.store };
        let done = match change {
            Change::Push(_, n) => self.lists.push(&mut at, *n),
            Change::LookAtList(_) => self.lists.len(&mut at).map(drop),
            Change::SetList(_, values) => self.lists.set(&mut at, values.clone()),
            Change::ClearList(_) => self.lists.clear(&mut at),
            Change::PutPair(_, pair, n) => self.maps.insert(&mut at, *pair, *n).map(drop),
            Change::RemovePair(_, pair) => self.maps.remove(&mut at, pair).map(drop),
            _ => self.maps.clear(&mut at),
        };
        done.expect("changes");
    }

    /// Fires what is due, in order.
    pub(super) fn fire(&mut self, until: u8) -> Vec<(Timestamp, u16)> {
        let timers = self.store.get_mut(self.timers.event);
        let pop = || timers.pop_due(moment(until)).expect("reads");
        std::iter::from_fn(pop).map(|(at, key, _)| (at, key)).collect()
    }

    /// What it holds, for the keys below `keys`.
    pub(super) fn plain(&mut self, keys: u16) -> Plain {
        let mut plain = Plain::default();
        let range = self.store.range();
        for key in (0..keys).filter(|key| range.contains(hash_of(*key).group(GROUPS))) {
            let hash = hash_of(key);
            let held = self.store.get_mut(self.values).get(hash, &key).expect("reads").copied();
            plain.values.extend(held.map(|value| (key, value)));
            let mut at = At { key, hash, state: &mut self.store };
            let list: Vec<u64> = self.lists.iter(&mut at).expect("reads").copied().collect();
            plain.lists.extend((!list.is_empty()).then_some((key, list)));
            let map: BTreeMap<u8, u64> =
                self.maps.iter(&mut at).expect("reads").map(|(k, v)| (*k, *v)).collect();
            plain.maps.extend((!map.is_empty()).then_some((key, map)));
        }
        for slice in 0..=u8::MAX {
            let slices = self.store.get_mut(self.slices);
            let Some(table) = slices.existing(moment(slice)) else { continue };
            let mut held = BTreeMap::new();
            for group in 0..table.group_count() {
                let parts = table.parts(group) * 2;
                for part in 0..parts {
                    let see = |_, key: &u16, value: &u64| {
                        assert!(held.insert(*key, *value).is_none(), "seen twice");
                    };
                    table.walk_part(group, (part, parts), see).expect("reads");
                }
            }
            plain.slices.extend((!held.is_empty()).then_some((slice, held)));
        }
        plain.merging = self.merged();
        plain
    }

    /// What the slices hold whose values are merged.
    fn merged(&mut self) -> BTreeMap<u8, BTreeMap<u16, Vec<u64>>> {
        let mut all = BTreeMap::new();
        for at in 0..=u8::MAX {
            let slices = self.store.get_mut(self.merging);
            let Some(slice) = slices.existing(moment(at)) else { continue };
            let mut held = BTreeMap::<u16, Vec<u64>>::new();
            for group in 0..slice.group_count() {
                let (parts, portioned) = (slice.parts(group) * 2, slice.is_in_portions());
                for part in 0..parts {
                    let see = |_, key: &u16, value: &Vec<u64>| {
                        assert!(portioned || !held.contains_key(key), "seen twice");
                        held.entry(*key).or_default().extend(value);
                    };
                    slice.walk_part(group, (part, parts), see).expect("reads");
                }
            }
            all.extend((!held.is_empty()).then_some((at, held)));
        }
        all
    }

    /// Moves some entries of each slice whose values are merged out of memory.
    pub(super) fn squeeze(&mut self, entries: usize) {
        self.store.get_mut(self.merging).squeeze(entries);
    }

    /// Joins all portions, in places of at most so many keys.
    pub(super) fn join(&mut self, keys_max: usize) {
        self.store.get_mut(self.merging).join_all(keys_max);
    }

    /// Cuts, and lets `between` happen between every two steps of writing.
    pub(super) fn snapshot(
        &mut self,
        mode: SnapshotMode,
        step: usize,
        mut between: impl FnMut(&mut Self),
    ) -> Vec<StateSnapshot> {
        self.store.cut(mode).expect("encodes");
        loop {
            between(self);
            if self.store.write_within(&mut Budget { entries: step }).expect("encodes") {
                return self.store.take_snapshot();
            }
        }
    }

    pub(super) fn restore(&mut self, snapshot: &[StateSnapshot]) {
        self.restore_and(snapshot, |_, _| {});
    }

    /// Restores checkpoint number so; of what can be read by key only the door is taken, with
    /// pages of so many rows.
    pub(super) fn restore_lazily(
        &mut self,
        (snapshot, checkpoint): (&[StateSnapshot], u64),
        page_rows: usize,
    ) {
        for state in LAZY {
            let of = (state, self.store.range());
            let files = PlainFiles::of((snapshot, checkpoint), of, page_rows);
            self.store.restore_from(state, Box::new(files)).expect("it can be read by key");
        }
        let others = snapshot.iter().filter(|s| !LAZY.contains(&s.state.as_str()));
        self.restore(&others.cloned().collect::<Vec<_>>());
    }

    /// Restores, and lets `between` happen after each section.
    pub(super) fn restore_and(
        &mut self,
        snapshot: &[StateSnapshot],
        mut between: impl FnMut(&mut Self, usize),
    ) {
        let range = self.store.range();
        let mut sections = 0;
        for state in snapshot {
            for section in state.sections.iter().filter(|s| range.contains(s.group)) {
                let restored = self.store.restore(&state.state, section.group, &section.bytes);
                restored.expect("what was written can be read");
                sections += 1;
                between(self, sections);
            }
        }
    }
}
