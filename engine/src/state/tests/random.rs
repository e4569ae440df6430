//! Random histories; more of them by `PROPTEST_CASES`.

use proptest::prelude::*;

use super::files::merged;
use super::model::{Change, GROUPS, Plain, Subtask, hash_of};
use crate::checkpoint::{SnapshotMode, StateSnapshot};
use crate::key::KeyGroupRange;

const KEYS: u16 = 24;

#[derive(Clone, Debug)]
enum Event {
    Change(Change),
    /// A barrier: full or delta, entries a step, and what changes between the steps.
    Snapshot(bool, usize, Vec<Vec<Change>>),
    /// Memory presses on state number such: this many entries.
    Evict(usize, usize),
    /// There is no room to tell which keys of a state were spilled.
    Thin(usize),
    Crowd(usize),
    /// Back to the last whole snapshot, at this many subtasks; memory presses after every so many
    /// sections.
    Crash(u32, usize),
    /// The same, with what is read by key left in the files, in pages of so many rows.
    CrashLazily(u32, usize),
    /// Every subtask takes so many pages of those, if there are any.
    Warm(usize),
    /// Memory presses on every slice whose values are merged: this many entries.
    Squeeze(usize),
    /// All portions are joined, in places of at most so many keys.
    Join(usize),
    /// What was written is merged: each row is there once.
    Merge,
    /// Looks at everything, and so brings everything back into memory.
    Check,
}

fn change() -> impl Strategy<Value = Change> {
    let key = 0..KEYS;
    let number = 0..100_u64;
    prop_oneof![
        4 => (key.clone(), number.clone()).prop_map(|(k, n)| Change::Add(k, n)),
        2 => prop::collection::vec((key.clone(), number.clone()), 0..150).prop_map(Change::AddAll),
        1 => key.clone().prop_map(Change::Look),
        1 => (key.clone(), number.clone()).prop_map(|(k, n)| Change::Set(k, n)),
        2 => key.clone().prop_map(Change::Remove),
        5 => (key.clone(), number.clone()).prop_map(|(k, n)| Change::Push(k, n)),
        1 => key.clone().prop_map(Change::LookAtList),
        1 => (key.clone(), prop::collection::vec(number.clone(), 0..4))
            .prop_map(|(k, n)| Change::SetList(k, n)),
        1 => key.clone().prop_map(Change::ClearList),
        3 => (key.clone(), 0..5_u8, number.clone())
            .prop_map(|(k, p, n)| Change::PutPair(k, p, n)),
        2 => (key.clone(), 0..5_u8).prop_map(|(k, p)| Change::RemovePair(k, p)),
        1 => key.clone().prop_map(Change::ClearMap),
        4 => (0..8_u8, key.clone(), number).prop_map(|(s, k, n)| Change::AddToSlice(s, k, n)),
        5 => (0..4_u8, key.clone(), 0..100_u64).prop_map(|(s, k, n)| Change::Append(s, k, n)),
        1 => (0..8_u8).prop_map(Change::DropSlices),
        3 => (0..30_u8, key.clone()).prop_map(|(at, k)| Change::SetTimer(at, k)),
        1 => (0..30_u8, key).prop_map(|(at, k)| Change::DeleteTimer(at, k)),
        1 => (0..30_u8).prop_map(Change::Fire),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let between = prop::collection::vec(prop::collection::vec(change(), 0..6), 0..6);
    prop_oneof![
        20 => change().prop_map(Event::Change),
        3 => (prop::bool::weighted(0.2), 1..20_usize, between)
            .prop_map(|(full, step, between)| Event::Snapshot(full, step, between)),
        4 => (0..5_usize, 1..20_usize).prop_map(|(state, entries)| Event::Evict(state, entries)),
        2 => (0..5_usize).prop_map(Event::Thin),
        1 => (0..5_usize).prop_map(Event::Crowd),
        1 => (1..=4_u32, 1..8_usize).prop_map(|(subtasks, every)| Event::Crash(subtasks, every)),
        2 => (1..=4_u32, 1..6_usize)
            .prop_map(|(subtasks, rows)| Event::CrashLazily(subtasks, rows)),
        4 => (1..10_usize).prop_map(Event::Warm),
        4 => (1..5_usize).prop_map(Event::Squeeze),
        2 => (1..5_usize).prop_map(Event::Join),
        1 => Just(Event::Merge),
        2 => Just(Event::Check),
    ]
}

/// All subtasks of one operator.
struct World {
    subtasks: Vec<Subtask>,
    plain: Plain,
    /// The snapshots since the last full one, and what the state was at the last of them.
    stored: Vec<StateSnapshot>,
    stored_plain: Plain,
    /// The number of the last of them.
    checkpoint: u64,
}

impl World {
    fn subtasks(parallelism: u32) -> Vec<Subtask> {
        let range = |i| KeyGroupRange::of_subtask(i, parallelism, GROUPS);
        (0..parallelism).map(|i| Subtask::spilling(range(i), true)).collect()
    }

    fn change(&mut self, change: &Change) {
        self.plain.change(change);
        change_all(&mut self.subtasks, change);
    }

    fn snapshot(&mut self, full: bool, step: usize, between: Vec<Vec<Change>>) {
        let full = full || self.stored.is_empty();
        let mode = if full { SnapshotMode::Full } else { SnapshotMode::Delta };
        if full {
            self.stored.clear();
        }
        self.checkpoint += 1;
        self.stored_plain = self.plain.clone();
        for change in between.iter().flatten() {
            self.plain.change(change);
        }
        for subtask in &mut self.subtasks {
            let mut rounds = between.iter();
            let mut round = |subtask: &mut Subtask| {
                subtask.store.thin_out(step % 4);
                subtask.store.evict(step % 5, step);
                subtask.squeeze(step % 3);
                subtask.join(step);
                subtask.store.warm().expect("reads");
                for change in rounds.next().into_iter().flatten() {
                    change_all(std::slice::from_mut(subtask), change);
                }
            };
            self.stored.extend(subtask.snapshot(mode, step, &mut round));
            for changes in rounds {
                let subtask = std::slice::from_mut(subtask);
                changes.iter().for_each(|change| change_all(subtask, change));
            }
        }
    }

    fn crash(&mut self, parallelism: u32, every: usize) {
        self.subtasks = Self::subtasks(parallelism);
        for subtask in &mut self.subtasks {
            subtask.restore_and(&self.stored, |subtask, sections| {
                if sections.is_multiple_of(every) {
                    (0..5).for_each(|state| subtask.store.evict(state, 1));
                }
            });
        }
        self.plain = self.stored_plain.clone();
    }

    fn crash_lazily(&mut self, parallelism: u32, page_rows: usize) {
        self.subtasks = Self::subtasks(parallelism);
        for subtask in &mut self.subtasks {
            subtask.restore_lazily((&self.stored, self.checkpoint), page_rows);
        }
        self.plain = self.stored_plain.clone();
    }

    fn warm(&mut self, pages: usize) {
        for subtask in &mut self.subtasks {
            for _ in 0..pages {
                subtask.store.warm().expect("reads");
            }
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let mut held = Plain::default();
        for subtask in &mut self.subtasks {
            let part = subtask.plain(KEYS);
            held.values.extend(part.values);
            held.lists.extend(part.lists);
            held.maps.extend(part.maps);
            for (slice, keys) in part.slices {
                held.slices.entry(slice).or_default().extend(keys);
            }
            for (slice, keys) in part.merging {
                held.merging.entry(slice).or_default().extend(keys);
            }
        }
        held.timers = self.plain.timers.clone();
        prop_assert_eq!(&held, &self.plain);
        Ok(())
    }
}

/// The key whose owner a change is for; `None` when it is for every subtask.
fn key_of(change: &Change) -> Option<u16> {
    match change {
        Change::Add(key, _)
        | Change::Look(key)
        | Change::Set(key, _)
        | Change::Remove(key)
        | Change::Push(key, _)
        | Change::LookAtList(key)
        | Change::SetList(key, _)
        | Change::ClearList(key)
        | Change::PutPair(key, ..)
        | Change::RemovePair(key, _)
        | Change::ClearMap(key)
        | Change::AddToSlice(_, key, _)
        | Change::Append(_, key, _)
        | Change::SetTimer(_, key)
        | Change::DeleteTimer(_, key) => Some(*key),
        Change::AddAll(_) | Change::DropSlices(_) | Change::Fire(_) => None,
    }
}

fn change_all(subtasks: &mut [Subtask], change: &Change) {
    let group = key_of(change).map(|key| hash_of(key).group(GROUPS));
    for subtask in subtasks {
        if group.is_none_or(|group| subtask.store.range().contains(group)) {
            subtask.change(change);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn state_is_what_plain_maps_say(events in prop::collection::vec(event(), 0..80)) {
        let (plain, stored_plain) = (Plain::default(), Plain::default());
        let stored = Vec::new();
        let (subtasks, checkpoint) = (World::subtasks(1), 0);
        let mut world = World { subtasks, plain, stored, stored_plain, checkpoint };
        for event in events {
            match event {
                Event::Change(change) => world.change(&change),
                Event::Evict(state, entries) => {
                    world.subtasks.iter_mut().for_each(|s| s.store.evict(state, entries));
                }
                Event::Thin(state) => {
                    world.subtasks.iter_mut().for_each(|s| s.store.thin_out(state));
                }
                Event::Crowd(state) => {
                    world.subtasks.iter_mut().for_each(|s| s.store.crowd_filters(state));
                }
                Event::Snapshot(full, step, between) => world.snapshot(full, step, between),
                Event::Crash(parallelism, every) => world.crash(parallelism, every),
                Event::CrashLazily(parallelism, rows) => world.crash_lazily(parallelism, rows),
                Event::Warm(pages) => world.warm(pages),
                Event::Squeeze(entries) => {
                    world.subtasks.iter_mut().for_each(|s| s.squeeze(entries));
                }
                Event::Join(keys) => world.subtasks.iter_mut().for_each(|s| s.join(keys)),
                Event::Merge => world.stored = merged(&world.stored),
                Event::Check => world.check()?,
            }
        }
        world.check()?;
        world.crash_lazily(3, 2);
        world.warm(3);
        world.check()?;
        world.crash(2, 3);
        world.check()?;
        world.stored = merged(&world.stored);
        world.crash(3, 2);
        world.check()?;
        let mut fired: Vec<_> =
            world.subtasks.iter_mut().flat_map(|s| s.fire(u8::MAX)).map(|(_, key)| key).collect();
        let mut wanted: Vec<_> = world.plain.timers.iter().map(|(_, key)| *key).collect();
        fired.sort_unstable();
        wanted.sort_unstable();
        prop_assert_eq!(fired, wanted);
    }
}
