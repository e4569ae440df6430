//! All states of one operator's subtask, erased in one list, found by [`Slot`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::any::AnyState;
use super::codec::TypeShape;
use super::cut::Budget;
use super::entry;
use super::memory::ResidentMemory;
use super::spill::SpillDoor;
use super::stored::{StoredRows, Wait, Warmth};
use super::ttl::Times;
use crate::checkpoint::{RestoredTime, SnapshotMode, StateSnapshot};
use crate::clock::Clock;
use crate::graph::Uid;
use crate::key::{KeyGroup, KeyGroupRange};
use crate::operator::Result;
use crate::time::Timestamp;
use crate::timer::TimeDomain;

/// Where a state of type `S` lies in its store.
pub struct Slot<S> {
    index: usize,
    state: PhantomData<fn() -> S>,
}

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S> Copy for Slot<S> {}

impl<S> fmt::Debug for Slot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

impl<S> Slot<S> {
    pub(crate) fn at(index: usize) -> Self {
        Slot { index, state: PhantomData }
    }

    pub(crate) fn index(self) -> usize {
        self.index
    }
}

/// The states of one operator's subtask.
pub struct StateStore {
    range: KeyGroupRange,
    tracked: bool,
    states: Vec<(String, Box<dyn AnyState>)>,
    /// The next state to be written for the last cut.
    writing: usize,
    memory: Option<Memory>,
    times: Times,
    /// The states with a time to live.
    ending: Vec<(usize, TimeDomain)>,
}

/// A store's part of the process's memory.
struct Memory {
    shared: Arc<ResidentMemory>,
    /// Bytes taken when last asked.
    taken: usize,
    /// Calls until the next time.
    rest: u32,
    /// What does not fit goes there.
    door: Option<Arc<dyn SpillDoor>>,
    /// How often it was looked at when it was scarce.
    scarce_looks: u32,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.shared.report(self.taken, 0);
    }
}

/// How many batches pass between two looks at the memory taken.
const RELIEVE_EVERY: u32 = 16;
/// While memory is scarce, what grows makes room for itself. At one look in so many, what rests
/// gives way too, so that it does not keep its own for ever.
const GIVES_EVERY: u32 = 16;

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.states.iter().map(|(name, _)| name).collect();
        f.debug_struct("StateStore").field("range", &self.range).field("states", &names).finish()
    }
}

impl StateStore {
    /// An empty store for the keys of `range`; lists changes for deltas when `tracked`.
    #[must_use]
    pub fn new(range: KeyGroupRange, tracked: bool) -> Self {
        StateStore {
            range,
            tracked,
            states: Vec::new(),
            writing: usize::MAX,
            memory: None,
            times: Times::START,
            ending: Vec::new(),
        }
    }

    /// The key groups of this subtask.
    #[must_use]
    pub fn range(&self) -> KeyGroupRange {
        self.range
    }

    pub(crate) fn tracked(&self) -> bool {
        self.tracked
    }

    pub(crate) fn add(&mut self, name: &str, state: Box<dyn AnyState>) -> usize {
        self.states.push((name.to_owned(), state));
        self.states.len() - 1
    }

    /// The entries of the state at `index` end, by this clock.
    pub(super) fn ends(&mut self, index: usize, time: TimeDomain) {
        self.ending.push((index, time));
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    /// Event time has come to `at` for what has a time to live: the watermark, or the moment of the
    /// timer that fires. Never falls.
    #[inline]
    pub fn reach(&mut self, at: Timestamp) {
        self.times.event = self.times.event.max(at);
    }

    /// A call begins: the wall clock stands still until the next. Never falls.
    #[inline]
    pub(crate) fn read_clock(&mut self, clock: &dyn Clock) {
        if self.ending.iter().any(|(_, time)| *time == TimeDomain::Processing) {
            self.times.processing = self.times.processing.max(clock.now());
        }
    }

    /// All sections are restored, of a checkpoint with this time: what key groups still have to
    /// fire, they fire with the state as it was then.
    pub fn restored(&mut self, time: &RestoredTime) {
        self.reach(time.floors.iter().min().copied().unwrap_or(time.watermark));
    }

    /// Between two calls: removes some of what has ended of the states with a time to live.
    ///
    /// # Errors
    /// When the spill tier fails; when a value as of the last barrier cannot be written.
    #[inline]
    pub fn sweep(&mut self) -> Result<()> {
        for (index, _) in &self.ending {
            let (name, state) = &mut self.states[*index];
            let swept = state.sweep(self.times);
            swept.map_err(|e| e.context(format!("state '{name}' cannot be swept")))?;
        }
        Ok(())
    }

    /// The state in `slot`: resolve it once a batch, not once a record.
    ///
    /// # Panics
    /// When the slot is another operator's.
    #[inline]
    pub fn get_mut<S: 'static>(&mut self, slot: Slot<S>) -> &mut S {
        let state = self.states.get_mut(slot.index()).map(|(_, state)| state.as_any_mut());
        state.and_then(|state| state.downcast_mut()).expect("a handle is used in its own operator")
    }

    /// The state in `slot`.
    ///
    /// # Panics
    /// When the slot is another operator's.
    #[must_use]
    pub fn get<S: 'static>(&self, slot: Slot<S>) -> &S {
        let state = self.states.get(slot.index()).map(|(_, state)| state.as_any());
        state.and_then(|state| state.downcast_ref()).expect("a handle is used in its own operator")
    }

    /// From now on the states take their memory from `memory`, and what does not fit goes through
    /// `door`, if there is one.
    pub fn limit(
        &mut self,
        memory: Arc<ResidentMemory>,
        door: Option<Arc<dyn SpillDoor>>,
        (uid, subtask): (&Uid, u32),
    ) {
        memory.share(self.states.iter().filter(|(_, state)| state.is_spilled()).count());
        for (name, state) in &mut self.states {
            let Some(door) = door.clone() else { break };
            let (uid, name) = (uid.clone(), name.clone());
            state.spill_to(Arc::new(move || door.open(&uid, subtask, &name)));
        }
        self.memory = Some(Memory { shared: memory, taken: 0, rest: 0, door, scarce_looks: 0 });
    }

    /// Between two batches: gives memory back where the process takes more than it may, and joins
    /// some of what that has left in portions.
    ///
    /// # Errors
    /// When the spill tier fails; when there is none and the state does not fit.
    #[inline]
    pub fn relieve(&mut self) -> Result<()> {
        match &mut self.memory {
            None => Ok(()),
            Some(memory) if memory.rest > 0 => {
                memory.rest -= 1;
                if memory.door.is_some() { self.tidy() } else { Ok(()) }
            }
            Some(_) => self.relieve_now(),
        }
    }

    fn tidy(&mut self) -> Result<()> {
        for (name, state) in &mut self.states {
            state.tidy().map_err(|e| e.context(format!("state '{name}' cannot be joined")))?;
        }
        Ok(())
    }

    fn relieve_now(&mut self) -> Result<()> {
        let bytes = |states: &[(String, Box<dyn AnyState>)]| {
            states.iter().map(|(_, state)| state.bytes()).sum::<usize>()
        };
        self.states.iter_mut().for_each(|(_, state)| state.sample());
        let now = bytes(&self.states);
        let Some(memory) = &mut self.memory else { return Ok(()) };
        memory.rest = RELIEVE_EVERY;
        let spills = memory.door.as_ref().map(|door| memory.shared.lend(door.excess_bytes()));
        let back = memory.shared.report(memory.taken, now);
        memory.taken = now;
        let scarce = spills.is_some() && memory.shared.is_scarce();
        if back == 0 && !scarce {
            return Ok(());
        }
        let filters_max = memory.shared.filters_max();
        self.states.iter_mut().for_each(|(_, state)| state.bound_filters(filters_max));
        if back == 0 {
            memory.scarce_looks = memory.scarce_looks.wrapping_add(1);
            let rests = memory.scarce_looks.is_multiple_of(GIVES_EVERY);
            return self.thin(rests);
        }
        anyhow::ensure!(
            spills.is_some(),
            "RR0012: the state does not fit into memory ({} of {} bytes are taken, {now} by this \
             operator's subtask): raise `memory`, or build the job with the feature `rocksdb`, \
             which spills to disk",
            memory.shared.taken(),
            memory.shared.bytes_max()
        );
        for (name, state) in &mut self.states {
            let share = (back as u128 * state.bytes() as u128 / now.max(1) as u128) as usize;
            if share > 0 {
                let evicted = state.evict(share);
                evicted.map_err(|e| e.context(format!("state '{name}' cannot be spilled")))?;
            }
        }
        let now = bytes(&self.states);
        if let Some(memory) = &mut self.memory {
            memory.shared.report(memory.taken, now);
            memory.taken = now;
        }
        Ok(())
    }

    fn thin(&mut self, rests: bool) -> Result<()> {
        for (name, state) in &mut self.states {
            state
                .thin(rests)
                .map_err(|e| e.context(format!("state '{name}' cannot be spilled")))?;
        }
        Ok(())
    }

    /// As if memory were scarce, for the state at `index`.
    #[cfg(test)]
    pub(super) fn thin_out(&mut self, index: usize) {
        self.states[index].1.thin(true).expect("evicts");
    }

    /// Moves so many entries of the state at `index` out of memory, and some more.
    #[cfg(test)]
    pub(super) fn evict(&mut self, index: usize, entries: usize) {
        self.states[index].1.evict(entries).expect("evicts");
    }

    /// Leaves no room to tell which keys of the state at `index` were spilled.
    #[cfg(test)]
    pub(super) fn crowd_filters(&mut self, index: usize) {
        self.states[index].1.bound_filters(0);
    }

    /// The number of entries of each state, by name.
    pub fn sizes(&self) -> impl Iterator<Item = (&str, usize)> {
        self.states.iter().map(|(name, state)| (name.as_str(), state.entries()))
    }

    /// The barrier is here: what [`StateStore::write_some`] writes from now on is the state of this
    /// moment, all of it or what changed since the last cut. Takes microseconds.
    ///
    /// One of everything first reads all that a lazy restore has left, which takes as long as it
    /// takes.
    ///
    /// # Errors
    /// A value that does not encode, with the state's name; a file that cannot be read.
    pub fn cut(&mut self, mode: SnapshotMode) -> Result<()> {
        if mode == SnapshotMode::Full {
            while self.warm_with(Wait::Yes)? != Warmth::Warm {
                self.relieve()?;
            }
        }
        for (name, state) in &mut self.states {
            state.cut(mode).map_err(|e| unwritable(e, name))?;
        }
        self.writing = 0;
        // What changes is not told apart: it must be written before anything does.
        if !self.tracked {
            while !self.write_some()? {}
        }
        Ok(())
    }

    /// Writes a part of what was cut, for about a tenth of a millisecond; whether all of it is
    /// written. May be called at any time between two calls of the operator.
    ///
    /// # Errors
    /// A value that does not encode, with the state's name and the key.
    pub fn write_some(&mut self) -> Result<bool> {
        self.write_within(&mut Budget::step())
    }

    pub(super) fn write_within(&mut self, budget: &mut Budget) -> Result<bool> {
        while let Some((name, state)) = self.states.get_mut(self.writing) {
            if !state.write_some(budget).map_err(|e| unwritable(e, name))? {
                return Ok(false);
            }
            self.writing += 1;
        }
        Ok(true)
    }

    /// Takes what was written, once all of it is.
    pub fn take_snapshot(&mut self) -> Vec<StateSnapshot> {
        let take = |(name, state): &mut (String, Box<dyn AnyState>)| StateSnapshot {
            state: name.clone(),
            sections: state.take_sections(),
            turnover: state.turnover(),
        };
        self.states.iter_mut().map(take).collect()
    }

    /// Cuts, writes and takes in one go.
    ///
    /// # Errors
    /// A value that does not encode, with the state's name and the key.
    pub fn snapshot(&mut self, mode: SnapshotMode) -> Result<Vec<StateSnapshot>> {
        self.cut(mode)?;
        while !self.write_some()? {}
        Ok(self.take_snapshot())
    }

    /// The values of state `name` are stored in this shape; call before [`StateStore::restore`].
    pub fn read_as(&mut self, name: &str, stored: &TypeShape) {
        if let Some((_, state)) = self.states.iter_mut().find(|(n, _)| n == name) {
            state.read_as(stored);
        }
    }

    /// State `name` is what `rows` hold, to be read as it is asked for: in the place of
    /// [`StateStore::restore`].
    ///
    /// # Errors
    /// No such state; one that holds something already, or cannot be read by key.
    pub fn restore_from(&mut self, name: &str, rows: Box<dyn StoredRows>) -> Result<()> {
        let state = self.states.iter_mut().find(|(n, _)| n == name);
        let Some((_, state)) = state else { anyhow::bail!("no state '{name}' is declared") };
        state.restore_from(rows)
    }

    /// Between two calls: reads a page of what a lazy restore has left, if one is at hand.
    ///
    /// # Errors
    /// A file that cannot be read; when memory cannot be given back.
    pub fn warm(&mut self) -> Result<Warmth> {
        let warmth = self.warm_with(Wait::No)?;
        if warmth == Warmth::More {
            self.relieve()?;
        }
        Ok(warmth)
    }

    /// One state after the other.
    fn warm_with(&mut self, wait: Wait) -> Result<Warmth> {
        for (name, state) in &mut self.states {
            let warmth = state.warm(wait);
            let warmth = warmth.map_err(|e| e.context(format!("state '{name}' cannot be read")))?;
            if warmth != Warmth::Warm {
                return Ok(warmth);
            }
        }
        Ok(Warmth::Warm)
    }

    /// Applies the entries of one section to state `name`, over what was applied before.
    ///
    /// # Errors
    /// No such state; entries or values that cannot be read.
    pub fn restore(&mut self, name: &str, group: KeyGroup, section: &[u8]) -> Result<()> {
        let state = self.states.iter_mut().find(|(n, _)| n == name);
        let Some((_, state)) = state else { anyhow::bail!("no state '{name}' is declared") };
        anyhow::ensure!(
            self.range.contains(group),
            "{group:?} of state '{name}' is none of {}",
            self.range
        );
        let mut rest = section;
        while let Some(entry) = entry::read(&mut rest)? {
            let applied = state.apply(group, &entry);
            applied.map_err(|e| e.context(format!("state '{name}' cannot be read")))?;
        }
        Ok(())
    }
}

fn unwritable(error: anyhow::Error, name: &str) -> anyhow::Error {
    error.context(format!("state '{name}' cannot be written"))
}
