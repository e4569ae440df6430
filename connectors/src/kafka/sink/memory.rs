//! What a run knows of its own earlier attempts, to tell an expired transaction from another run
//! of the job: Kafka reports both alike.
//!
//! Kept by the cluster handle, which lives as long as the run; written by the gateway, asked by the
//! participant before it fences anybody.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::marker::Marker;

/// Of one run.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The newest marker this run has committed.
    marked: Option<Marker>,
    /// When the newest transaction began, on the monotonic clock.
    began: Option<Duration>,
    /// How old it was when the run was fenced.
    fenced_at: Option<Duration>,
}

/// What to make of the newest marker before another attempt begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The run owns the job, or has never written.
    Owner,
    /// Another run's marker follows this run's own.
    Superseded,
    /// Fenced before its transaction could have expired: another run is about to write.
    Fenced,
}

impl Memory {
    fn enter(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn marked(&self, marker: Marker) {
        self.enter().marked = Some(marker);
    }

    pub(super) fn began(&self, now: Duration) {
        self.enter().began = Some(now);
    }

    pub(super) fn fenced(&self, now: Duration) {
        let mut known = self.enter();
        let age = known.began.map(|began| now.saturating_sub(began));
        known.fenced_at = known.fenced_at.or(age);
    }

    /// A new attempt begins: what fenced the one before is dealt with.
    pub(super) fn forgive(&self) {
        self.enter().fenced_at = None;
    }

    /// Whether the run has ever committed a marker.
    pub(super) fn has_marked(&self) -> bool {
        self.enter().marked.is_some()
    }

    /// Judges by the `newest` committed marker; `timeout` is the transactions'.
    pub(super) fn standing(&self, newest: Option<&Marker>, timeout: Duration) -> Standing {
        let known = self.enter();
        let Some(marked) = &known.marked else { return Standing::Owner };
        match newest {
            // A commit of unknown outcome may have made a newer one of this run's visible.
            Some(newest) if newest != marked && run(&newest.attempt) != run(&marked.attempt) => {
                Standing::Superseded
            }
            _ if known.fenced_at.is_some_and(|age| age < timeout) => Standing::Fenced,
            _ => Standing::Owner,
        }
    }
}

/// An attempt's name without its number.
fn run(attempt: &str) -> &str {
    attempt.rsplit_once('-').map_or(attempt, |(run, _)| run)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn marker(attempt: &str) -> Marker {
        Marker::new(None, attempt)
    }

    #[test]
    fn expiry_goes_on_and_another_run_ends_this_one() {
        let memory = Memory::default();
        assert_eq!(memory.standing(Some(&marker("b-1-0-1")), TIMEOUT), Standing::Owner);
        memory.marked(marker("a-1-0-1"));
        assert_eq!(memory.standing(Some(&marker("a-1-0-1")), TIMEOUT), Standing::Owner);
        assert_eq!(memory.standing(Some(&marker("a-1-0-2")), TIMEOUT), Standing::Owner);
        assert_eq!(memory.standing(Some(&marker("b-1-0-1")), TIMEOUT), Standing::Superseded);
        memory.began(Duration::ZERO);
        memory.fenced(Duration::from_millis(59_999));
        assert_eq!(memory.standing(Some(&marker("a-1-0-1")), TIMEOUT), Standing::Fenced);
        assert_eq!(memory.standing(Some(&marker("b-1-0-1")), TIMEOUT), Standing::Superseded);
        memory.forgive();
        memory.fenced(Duration::from_millis(60_000));
        assert_eq!(memory.standing(Some(&marker("a-1-0-1")), TIMEOUT), Standing::Owner);
    }
}
