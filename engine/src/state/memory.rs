//! [`ResidentMemory`]: how much the resident tier of a process may take, shared by all its stores.
//!
//! Every [`super::StateStore`] says what it takes and asks what it must give back, between two
//! batches. Invariant: a store gives back in proportion to what it takes, so that one that grows
//! does not push out the others' whole state.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A budget of bytes, and what is taken of it.
#[derive(Debug)]
pub struct ResidentMemory {
    bytes_max: usize,
    taken: AtomicUsize,
    /// What the spill takes beyond its own.
    beside: AtomicUsize,
    /// How many states take from it.
    states: AtomicUsize,
}

/// Gives back one part in this many more than must be, so that not every batch evicts.
const SPARE: usize = 16;
/// What says which keys were spilled takes at most such a part.
const FILTERS_PART: usize = 4;

impl ResidentMemory {
    /// Of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        let (taken, beside) = (AtomicUsize::new(0), AtomicUsize::new(0));
        ResidentMemory { bytes_max, taken, beside, states: AtomicUsize::new(0) }
    }

    /// So many states more take from it.
    pub(super) fn share(&self, states: usize) {
        self.states.fetch_add(states, Ordering::Relaxed);
    }

    /// How many bytes the filters of one state may take.
    pub(super) fn filters_max(&self) -> usize {
        self.bytes_left() / FILTERS_PART / self.states.load(Ordering::Relaxed).max(1)
    }

    /// How many bytes the spill may take beyond its own: half of these are left to entries whatever
    /// it takes.
    #[must_use]
    pub fn lent_max(&self) -> usize {
        self.bytes_max / 2
    }

    /// The spill takes so many bytes beyond its own.
    pub(super) fn lend(&self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.beside.store(bytes.min(self.lent_max()), Ordering::Relaxed);
    }

    fn bytes_left(&self) -> usize {
        self.bytes_max - self.beside.load(Ordering::Relaxed)
    }

    /// A store took `before` bytes and takes `now`: how many of them it should give back.
    pub(super) fn report(&self, before: usize, now: usize) -> usize {
        let others = self.taken.load(Ordering::Relaxed).saturating_sub(before);
        let taken = others + now;
        if now >= before {
            self.taken.fetch_add(now - before, Ordering::Relaxed);
        } else {
            self.taken.fetch_sub(before - now, Ordering::Relaxed);
        }
        let bytes_max = self.bytes_left();
        if taken <= bytes_max {
            return 0;
        }
        let over = (taken - bytes_max) as u128 * now as u128 / taken.max(1) as u128;
        over as usize + now / SPARE
    }

    /// Whether nearly all is taken: what can do without more should.
    pub(super) fn is_scarce(&self) -> bool {
        let bytes_max = self.bytes_left();
        self.taken() > bytes_max - bytes_max / SPARE
    }

    /// Bytes taken by all stores together.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Bytes there are.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_share_a_quarter() {
        let memory = ResidentMemory::new(1000);
        memory.share(2);
        memory.share(3);
        assert_eq!(memory.filters_max(), 50);
    }

    #[test]
    fn what_the_spill_takes_too_much_is_missing_here() {
        let memory = ResidentMemory::new(1000);
        assert_eq!(memory.report(0, 900), 0);
        assert!(!memory.is_scarce());
        memory.lend(50);
        assert!(memory.is_scarce());
        memory.lend(200);
        assert_eq!(memory.report(900, 900), 100 + 56);
        memory.lend(u64::MAX);
        assert_eq!(memory.report(900, 500), 0, "half is left");
    }

    #[test]
    fn who_takes_more_gives_back_more() {
        let memory = ResidentMemory::new(1000);
        assert_eq!(memory.report(0, 600), 0);
        assert_eq!(memory.report(0, 300), 0);
        assert_eq!(memory.report(600, 900), 150 + 56, "200 too many, three quarters its own");
        assert_eq!(memory.taken(), 1200);
        assert_eq!(memory.report(900, 690), 0);
        assert_eq!(memory.taken(), 990);
    }
}
