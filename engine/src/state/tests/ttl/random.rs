//! Random histories against plain maps and a clock in the hand.

use proptest::prelude::*;

use super::plain::{Change, Plain, Subtask, TTL_MS};
use crate::checkpoint::{RestoredTime, SnapshotMode, StateSnapshot};
use crate::clock::ManualClock;
use crate::key::KeyGroupRange;
use crate::state::Ttl;
use crate::state::cut::Budget;
use crate::state::stored::Warmth;
use crate::state::tests::files::PlainFiles;
use crate::state::tests::model::{GROUPS, hash_of};
use crate::time::{Timestamp, millis};
use crate::timer::TimeDomain;

const KEYS: u16 = 20;

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
    /// Back to the last whole snapshot, at this many subtasks; all may be left in the files.
    Crash(u32, bool),
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
        1 => (1..=3_u32, any::<bool>()).prop_map(|(subtasks, lazy)| Event::Crash(subtasks, lazy)),
    ]
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
    /// The number of the last of them.
    checkpoint: u64,
}

impl World {
    fn new(ttl: Ttl, by_read: bool) -> Self {
        let subtasks = Self::subtasks(ttl, 1);
        let (plain, stored_plain) = (Plain::default(), (Plain::default(), 0));
        let stored = Vec::new();
        let mut world =
            World { ttl, by_read, subtasks, plain, now: 0, stored, stored_plain, checkpoint: 0 };
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
        self.checkpoint += 1;
        self.stored_plain = (self.plain.clone(), self.now);
        for subtask in 0..self.subtasks.len() {
            self.subtasks[subtask].store.cut(mode).expect("encodes");
            let mut rounds = between.iter();
            loop {
                self.subtasks[subtask].store.sweep().expect("sweeps");
                self.subtasks[subtask].store.thin_out((step + 1) % 3);
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

    fn crash(&mut self, parallelism: u32, lazy: bool) {
        self.subtasks = Self::subtasks(self.ttl, parallelism);
        let (plain, at) = self.stored_plain.clone();
        self.plain = plain;
        if self.ttl.time() == TimeDomain::Event {
            self.now = at;
        }
        for subtask in &mut self.subtasks {
            let range = subtask.store.range();
            for state in ["value", "list", "map"].into_iter().filter(|_| lazy) {
                let stored = (&self.stored[..], self.checkpoint);
                let files = PlainFiles::of(stored, (state, range), 2);
                subtask.store.restore_from(state, Box::new(files)).expect("by key");
            }
            for state in self.stored.iter().filter(|_| !lazy) {
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
                for subtask in &mut self.subtasks {
                    subtask.store.evict(*state, 1);
                    subtask.store.warm().expect("reads");
                }
            }
            Event::Crash(parallelism, lazy) => self.crash(*parallelism, *lazy),
        }
        Ok(())
    }

    /// Everything ends, and goes: from memory, spill and checkpoints.
    fn end(&mut self) -> Result<(), TestCaseError> {
        self.snapshot(false, 7, &[])?;
        self.advance(2 * TTL_MS);
        for subtask in &mut self.subtasks {
            while subtask.store.warm().expect("reads") != Warmth::Warm {}
        }
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
        self.crash(1, false);
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
        world.crash(2, true);
        world.check()?;
        world.end()?;
    }
}
