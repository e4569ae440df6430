//! State with a time to live against plain maps and a clock in the hand: what is seen is right at
//! every step, whatever was swept, evicted, written and restored; in the end nothing is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::model::{GROUPS, hash_of};
use crate::checkpoint::{RestoredTime, SnapshotMode, StateSnapshot};
use crate::clock::ManualClock;
use crate::graph::Uid;
use crate::key::{KeyGroupRange, KeyHash};
use crate::state::cut::Budget;
use crate::state::{
    Declare, Keyed, ListState, MapState, ResidentMemory, Scope, StateStore, Ttl, ValueState,
};
use crate::testing::MemorySpillDoor;
use crate::time::{Timestamp, millis};
use crate::timer::TimeDomain;

const KEYS: u16 = 20;
const TTL_MS: i64 = 40;

/// What one call does.
#[derive(Clone, Debug)]
enum Change {
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

/// A change for a key, this much before or behind what event time has come to.
type Call = (u16, i64, Change);

#[derive(Clone, Debug)]
enum Event {
    Call(Call),
    /// Time goes on.
    Advance(i64),
    /// So many calls without changes.
    Sweep(usize),
    /// A barrier: full or delta, entries a step, and what is called between the steps.
    Snapshot(bool, usize, Vec<Vec<Call>>),
    /// Memory presses on state number such.
    Evict(usize),
    /// Back to the last whole snapshot, at this many subtasks.
    Crash(u32),
}

fn change() -> impl Strategy<Value = Change> {
    let (n, pair) = (0..100_u64, 0..4_u8);
    prop_oneof![
        2 => Just(Change::Get),
        1 => n.clone().prop_map(Change::GetMut),
        1 => n.clone().prop_map(Change::OrDefault),
        3 => n.clone().prop_map(Change::Set),
        1 => Just(Change::Take),
        4 => n.clone().prop_map(Change::Push),
        1 => prop::collection::vec(n.clone(), 0..4).prop_map(Change::SetList),
        1 => Just(Change::Iter),
        1 => Just(Change::Len),
        1 => Just(Change::TakeList),
        1 => pair.clone().prop_map(Change::GetPair),
        1 => (pair.clone(), n.clone()).prop_map(|(p, n)| Change::AddPair(p, n)),
        3 => (pair.clone(), n).prop_map(|(p, n)| Change::PutPair(p, n)),
        1 => pair.prop_map(Change::RemovePair),
        1 => Just(Change::Pairs),
        1 => Just(Change::PairCount),
        1 => Just(Change::ClearMap),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let call = || (0..KEYS, -15..15_i64, change());
    let between = prop::collection::vec(prop::collection::vec(call(), 0..4), 0..4);
    prop_oneof![
        20 => call().prop_map(Event::Call),
        5 => (0..25_i64).prop_map(Event::Advance),
        1 => Just(Event::Advance(TTL_MS)),
        3 => (1..6_usize).prop_map(Event::Sweep),
        3 => (prop::bool::weighted(0.2), 1..20_usize, between)
            .prop_map(|(full, step, between)| Event::Snapshot(full, step, between)),
        3 => (0..3_usize).prop_map(Event::Evict),
        1 => (1..=3_u32).prop_map(Event::Crash),
    ]
}

/// A number, and when it was written last.
type Held = (i64, u64);

/// What the states hold, plainly.
#[derive(Clone, Debug, Default)]
struct Plain {
    values: BTreeMap<u16, Held>,
    lists: BTreeMap<u16, Vec<Held>>,
    maps: BTreeMap<u16, BTreeMap<u8, Held>>,
}

/// What a call answers.
type Answer = Vec<(u8, u64)>;

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
    fn call(&mut self, key: u16, change: &Change, (now, at): (i64, i64), by_read: bool) -> Answer {
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

struct Subtask {
    store: StateStore,
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
    fn new(range: KeyGroupRange, ttl: Ttl) -> Self {
        let mut op = Declare::<u16>::new(range, true);
        let (value, list) = (op.ttl(ttl).value("value"), op.ttl(ttl).list("list"));
        let map = op.ttl(ttl).map("map");
        let mut store = op.finish().0;
        let memory = Arc::new(ResidentMemory::new(usize::MAX));
        store.limit(memory, Some(Arc::new(MemorySpillDoor)), (&Uid::new("test"), 0));
        Subtask { store, value, list, map }
    }

    fn call(&mut self, key: u16, change: &Change, timestamp: Timestamp) -> Answer {
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

    fn entries(&self) -> usize {
        self.store.sizes().map(|(_, entries)| entries).sum()
    }
}

/// All subtasks of one operator.
struct World {
    ttl: Ttl,
    by_read: bool,
    subtasks: Vec<Subtask>,
    plain: Plain,
    now: i64,
    /// The snapshots since the last full one, and state and time at the last of them.
    stored: Vec<StateSnapshot>,
    stored_plain: (Plain, i64),
}

impl World {
    fn new(ttl: Ttl, by_read: bool) -> Self {
        let subtasks = Self::subtasks(ttl, 1);
        let (plain, stored_plain) = (Plain::default(), (Plain::default(), 0));
        let mut world =
            World { ttl, by_read, subtasks, plain, now: 0, stored: Vec::new(), stored_plain };
        world.advance(0);
        world
    }

    fn subtasks(ttl: Ttl, parallelism: u32) -> Vec<Subtask> {
        let range = |i| KeyGroupRange::of_subtask(i, parallelism, GROUPS);
        (0..parallelism).map(|i| Subtask::new(range(i), ttl)).collect()
    }

    fn advance(&mut self, by: i64) {
        self.now += by;
        self.tell_time();
    }

    fn tell_time(&mut self) {
        let now = Timestamp::from_millis(self.now);
        let clock = ManualClock::new(now);
        for subtask in &mut self.subtasks {
            subtask.store.reach(now);
            subtask.store.read_clock(&clock);
        }
    }

    fn call(&mut self, subtask: usize, (key, offset, change): &Call) -> Result<(), TestCaseError> {
        let subtask = &mut self.subtasks[subtask];
        if !subtask.store.range().contains(hash_of(*key).group(GROUPS)) {
            return Ok(());
        }
        let timestamp = self.now + offset;
        let at = if self.ttl.time() == TimeDomain::Event { timestamp } else { self.now };
        let wanted = self.plain.call(*key, change, (self.now, at.max(self.now)), self.by_read);
        let answer = subtask.call(*key, change, Timestamp::from_millis(timestamp));
        prop_assert_eq!(answer, wanted, "{:?} of {} at {}", change, key, self.now);
        Ok(())
    }

    fn snapshot(
        &mut self,
        full: bool,
        step: usize,
        between: &[Vec<Call>],
    ) -> Result<(), TestCaseError> {
        let full = full || self.stored.is_empty();
        let mode = if full { SnapshotMode::Full } else { SnapshotMode::Delta };
        if full {
            self.stored.clear();
        }
        self.stored_plain = (self.plain.clone(), self.now);
        for subtask in 0..self.subtasks.len() {
            self.subtasks[subtask].store.cut(mode).expect("encodes");
            let mut rounds = between.iter();
            loop {
                self.subtasks[subtask].store.sweep().expect("sweeps");
                self.subtasks[subtask].store.evict(step % 3, step);
                for call in rounds.next().into_iter().flatten() {
                    self.call(subtask, call)?;
                }
                let store = &mut self.subtasks[subtask].store;
                if store.write_within(&mut Budget { entries: step }).expect("encodes") {
                    self.stored.extend(store.take_snapshot());
                    break;
                }
            }
        }
        Ok(())
    }

    fn crash(&mut self, parallelism: u32) {
        self.subtasks = Self::subtasks(self.ttl, parallelism);
        let (plain, at) = self.stored_plain.clone();
        self.plain = plain;
        if self.ttl.time() == TimeDomain::Event {
            self.now = at;
        }
        for subtask in &mut self.subtasks {
            let range = subtask.store.range();
            for state in &self.stored {
                for section in state.sections.iter().filter(|s| range.contains(s.group)) {
                    let done = subtask.store.restore(&state.state, section.group, &section.bytes);
                    done.expect("what was written can be read");
                    subtask.store.evict(usize::from(section.group.0) % 3, 1);
                }
            }
            subtask.store.restored(&RestoredTime::at(Timestamp::from_millis(self.now)));
        }
        self.tell_time();
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        for subtask in 0..self.subtasks.len() {
            for key in 0..KEYS {
                for look in [Change::Get, Change::Iter, Change::Len, Change::Pairs] {
                    self.call(subtask, &(key, 0, look))?;
                }
            }
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.subtasks.iter().map(Subtask::entries).sum()
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Call(call) => {
                for subtask in 0..self.subtasks.len() {
                    self.call(subtask, call)?;
                }
            }
            Event::Advance(by) => self.advance(*by),
            Event::Sweep(calls) => {
                let sweep = |s: &mut Subtask| (0..*calls).for_each(|_| s.store.sweep().unwrap());
                self.subtasks.iter_mut().for_each(sweep);
            }
            Event::Snapshot(full, step, between) => self.snapshot(*full, *step, between)?,
            Event::Evict(state) => {
                self.subtasks.iter_mut().for_each(|s| s.store.evict(*state, 1));
            }
            Event::Crash(parallelism) => self.crash(*parallelism),
        }
        Ok(())
    }

    /// Everything ends, and goes: from memory, spill and checkpoints.
    fn end(&mut self) -> Result<(), TestCaseError> {
        self.snapshot(false, 7, &[])?;
        self.advance(2 * TTL_MS);
        for _ in 0..60 {
            self.subtasks.iter_mut().for_each(|s| s.store.sweep().expect("sweeps"));
        }
        prop_assert_eq!(self.entries(), 0);
        self.snapshot(false, 7, &[])?;
        let delta = std::mem::take(&mut self.stored);
        self.snapshot(true, 7, &[])?;
        let mut sections = self.stored.iter().flat_map(|state| &state.sections);
        prop_assert!(sections.next().is_none(), "a full snapshot of nothing");
        self.stored = delta;
        self.crash(1);
        prop_assert_eq!(self.entries(), 0, "restored from what changed");
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_has_ended_is_gone_and_nothing_else(
        events in prop::collection::vec(event(), 0..80),
        by_read: bool,
        by_wall_clock: bool,
    ) {
        let length = millis(TTL_MS.unsigned_abs());
        let ttl = if by_read { Ttl::since_read(length) } else { Ttl::since_write(length) };
        let ttl = if by_wall_clock { ttl.processing_time() } else { ttl.event_time() };
        let mut world = World::new(ttl, by_read);
        for event in &events {
            world.happen(event)?;
        }
        world.check()?;
        world.crash(2);
        world.check()?;
        world.end()?;
    }
}
