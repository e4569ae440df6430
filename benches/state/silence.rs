//! For how long a worker did nothing for the stream: the gaps between two moments at which it was
//! seen reading or updating.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shorter gaps are nobody's concern, and there are millions of them.
const GAP_MIN: Duration = Duration::from_micros(20);
/// Gaps that are kept; a run that has more is wrong anyway.
const GAPS_MAX: usize = 1 << 22;

/// The gaps of all workers of a run.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    gaps: Mutex<Vec<Duration>>,
    /// How many there were, the shortest too.
    all: AtomicU64,
}

thread_local! {
    /// When this thread was seen last.
    static SEEN: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Silence {
    /// This worker is at work.
    pub(crate) fn seen(&self) {
        let now = Instant::now();
        let before = SEEN.replace(Some(now));
        let gap = before.map_or(Duration::ZERO, |before| now - before);
        self.all.fetch_add(1, Ordering::Relaxed);
        if gap >= GAP_MIN {
            let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
            if gaps.len() < GAPS_MAX {
                gaps.push(gap);
            }
        }
    }

    /// Forgets all gaps so far.
    pub(crate) fn clear(&self) {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.all.store(0, Ordering::Relaxed);
    }

    /// The gap, in milliseconds, that only the part of all gaps beyond `part` exceeds.
    pub(crate) fn of_all(&self, part: f64) -> f64 {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gaps.sort_unstable();
        let beyond = self.all.load(Ordering::Relaxed) as f64 * (1.0 - part);
        let at = gaps.iter().rev().nth(beyond as usize);
        at.copied().unwrap_or(GAP_MIN).as_secs_f64() * 1e3
    }

    /// How long the gap is, in milliseconds, into which all but the part `part` of the moments of
    /// `workers` workers in `time` fall: who comes at any moment waits no longer in so many cases.
    pub(crate) fn at_moment(&self, part: f64, time: Duration, workers: u32) -> f64 {
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gaps.sort_unstable();
        let beyond = (time * workers).as_secs_f64() * (1.0 - part);
        let mut sum = 0.0;
        for gap in gaps.iter().rev() {
            sum += gap.as_secs_f64();
            if sum > beyond {
                return gap.as_secs_f64() * 1e3;
            }
        }
        GAP_MIN.as_secs_f64() * 1e3
    }
}
