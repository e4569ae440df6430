//! The states with a time to live of one subtask, and the plain maps that say what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHash};
use crate::state::tests::model::hash_of;
use crate::state::{
    Declare, Keyed, ListState, MapState, ResidentMemory, Scope, StateStore, Ttl, ValueState,
};
use crate::testing::MemorySpillDoor;
use crate::time::Timestamp;

pub(super) const TTL_MS: i64 = 40;

/// What one call does.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Get,
    GetMut(u64),
    OrDefault(u64),
    Set(u64),
    Take,
    Push(u64),
    SetList(Vec<u64>),
    Iter,
    Len,
    TakeList,
    GetPair(u8),
    AddPair(u8, u64),
    PutPair(u8, u64),
    RemovePair(u8),
    Pairs,
    PairCount,
    ClearMap,
}

/// A number, and when it was written last.
type Held = (i64, u64);

/// What the states hold, plainly.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    values: BTreeMap<u16, Held>,
    lists: BTreeMap<u16, Vec<Held>>,
    maps: BTreeMap<u16, BTreeMap<u8, Held>>,
}

/// What a call answers.
pub(super) type Answer = Vec<(u8, u64)>;

fn numbers<'a>(all: impl Iterator<Item = &'a u64>) -> Answer {
    all.map(|n| (0, *n)).collect()
}

impl Plain {
    /// Forgets what has ended.
    fn forget(&mut self, now: i64) {
        let lives = |held: &Held| now < held.0 + TTL_MS;
        self.values.retain(|_, held| lives(held));
        self.lists.values_mut().for_each(|list| list.retain(lives));
        self.maps.values_mut().for_each(|map| map.retain(|_, held| lives(held)));
    }

    /// At `now`, written at `at`.
    pub(super) fn call(
        &mut self,
        key: u16,
        change: &Change,
        (now, at): (i64, i64),
        by_read: bool,
    ) -> Answer {
        self.forget(now);
        let fresh = |n: u64| (at, n);
        let renew = |held: &mut Held| held.0 = held.0.max(at);
        let read = |held: &mut Held| held.0 = if by_read { held.0.max(at) } else { held.0 };
        let list = self.lists.entry(key).or_default();
        let map = self.maps.entry(key).or_default();
        let values = &mut self.values;
        let numbers = |held: &mut dyn Iterator<Item = Held>| held.map(|(_, n)| (0, n)).collect();
        match change {
            Change::Get => {
                values.get_mut(&key).map(read);
                numbers(&mut values.get(&key).copied().into_iter())
            }
            Change::GetMut(n) => numbers(&mut values.get_mut(&key).into_iter().map(|held| {
                renew(held);
                held.1 += n;
                *held
            })),
            Change::OrDefault(n) => {
                let held = values.entry(key).or_insert(fresh(0));
                renew(held);
                held.1 += n;
                vec![(0, held.1)]
            }
            Change::Set(n) => {
                let held = values.entry(key).or_insert(fresh(0));
                renew(held);
                held.1 = *n;
                Vec::new()
            }
            Change::Take => numbers(&mut values.remove(&key).into_iter()),
            Change::Push(n) => {
                list.push(fresh(*n));
                Vec::new()
            }
            Change::SetList(all) => {
                *list = all.iter().map(|n| fresh(*n)).collect();
                Vec::new()
            }
            Change::Iter => {
                list.iter_mut().for_each(read);
                numbers(&mut list.iter().copied())
            }
            Change::Len => vec![(0, list.len() as u64)],
            Change::TakeList => numbers(&mut std::mem::take(list).into_iter()),
            Change::GetPair(pair) => {
                map.get_mut(pair).map(read);
                numbers(&mut map.get(pair).copied().into_iter())
            }
            Change::AddPair(pair, n) => {
                let held = map.entry(*pair).or_insert(fresh(0));
                renew(held);
                held.1 += n;
                vec![(0, held.1)]
            }
            Change::PutPair(pair, n) => {
                let before = map.get(pair).copied();
                let held = map.entry(*pair).or_insert(fresh(0));
                renew(held);
                held.1 = *n;
                numbers(&mut before.into_iter())
            }
            Change::RemovePair(pair) => numbers(&mut map.remove(pair).into_iter()),
            Change::Pairs => {
                map.values_mut().for_each(read);
                map.iter().map(|(pair, held)| (*pair, held.1)).collect()
            }
            Change::PairCount => vec![(0, map.len() as u64)],
            Change::ClearMap => {
                map.clear();
                Vec::new()
            }
        }
    }
}

pub(super) struct Subtask {
    pub(super) store: StateStore,
    value: ValueState<u64>,
    list: ListState<u64>,
    map: MapState<u8, u64>,
}

struct At<'a> {
    key: u16,
    hash: KeyHash,
    state: &'a mut StateStore,
    timestamp: Timestamp,
}

impl Keyed for At<'_> {
    type Key = u16;
    fn scope(&mut self) -> Scope<'_, u16> {
        let At { key, hash, timestamp, .. } = self;
        Scope { key, hash: *hash, state: self.state, timestamp: *timestamp }
    }
}

impl Subtask {
    pub(super) fn new(range: KeyGroupRange, ttl: Ttl) -> Self {
        let mut op = Declare::<u16>::new(range, true);
        let (value, list) = (op.ttl(ttl).value("value"), op.ttl(ttl).list("list"));
        let map = op.ttl(ttl).map("map");
        let mut store = op.finish().0;
        let memory = Arc::new(ResidentMemory::new(usize::MAX));
        store.limit(memory, Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
        Subtask { store, value, list, map }
    }

    pub(super) fn call(&mut self, key: u16, change: &Change, timestamp: Timestamp) -> Answer {
        let at = &mut At { key, hash: hash_of(key), state: &mut self.store, timestamp };
        let Subtask { value, list, map, .. } = self;
        let one = |n: Option<u64>| n.map(|n| (0, n)).into_iter().collect();
        let none = Vec::new();
        let answer = || -> crate::operator::Result<Answer> {
            Ok(match change {
                Change::Get => one(value.get(at)?.copied()),
                Change::GetMut(n) => one(value.get_mut(at)?.map(|held| {
                    *held += n;
                    *held
                })),
                Change::OrDefault(n) => {
                    let held = value.or_default(at)?;
                    *held += n;
                    one(Some(*held))
                }
                Change::Set(n) => value.set(at, *n).map(|()| none)?,
                Change::Take => one(value.take(at)?),
                Change::Push(n) => list.push(at, *n).map(|()| none)?,
                Change::SetList(all) => list.set(at, all.clone()).map(|()| none)?,
                Change::Iter => numbers(list.iter(at)?),
                Change::Len => one(Some(list.len(at)? as u64)),
                Change::TakeList => numbers(list.take(at)?.iter()),
                Change::GetPair(pair) => one(map.get(at, pair)?.copied()),
                Change::AddPair(pair, n) => {
                    let held = map.or_default(at, pair)?;
                    *held += n;
                    one(Some(*held))
                }
                Change::PutPair(pair, n) => one(map.insert(at, *pair, *n)?),
                Change::RemovePair(pair) => one(map.remove(at, pair)?),
                Change::Pairs => map.iter(at)?.map(|(pair, n)| (*pair, *n)).collect(),
                Change::PairCount => one(Some(map.len(at)? as u64)),
                Change::ClearMap => map.clear(at).map(|()| none)?,
            })
        };
        answer().expect("reads and writes")
    }

    pub(super) fn entries(&self) -> usize {
        self.store.sizes().map(|(_, entries)| entries).sum()
    }
}
