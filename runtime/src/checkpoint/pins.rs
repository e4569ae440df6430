//! Files that must stay although no manifest names them, or no longer: those that a merge reads,
//! and those it has written for the next manifest.
//!
//! Held by the store, asked by retention. Invariant: a file is pinned as long as one [`Pinned`]
//! that was made for it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often each file is pinned. Bounded by what one merge reads and writes.
type Counts = BTreeMap<String, usize>;

/// All pinned files of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins {
    counts: Arc<Mutex<Counts>>,
}

/// Keeps its files until it is dropped.
#[derive(Debug, Default)]
pub struct Pinned {
    pins: Pins,
    files: Vec<String>,
}

impl Pins {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pin(&self, files: impl IntoIterator<Item = String>) -> Pinned {
        let mut pinned = Pinned { pins: self.clone(), files: Vec::new() };
        files.into_iter().for_each(|file| pinned.add(file));
        pinned
    }

    pub(super) fn names(&self) -> BTreeSet<String> {
        self.counts().keys().cloned().collect()
    }
}

impl Pinned {
    /// Keeps `file` too.
    pub fn add(&mut self, file: String) {
        *self.pins.counts().entry(file.clone()).or_default() += 1;
        self.files.push(file);
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut counts = self.pins.counts();
        for file in &self.files {
            if let Some(count) = counts.get_mut(file) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(file);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_pinned_until_the_last_that_needs_it_is_gone() {
        let pins = Pins::default();
        let first = pins.pin(["a".to_owned(), "b".to_owned()]);
        let mut second = pins.pin(["b".to_owned()]);
        second.add("c".to_owned());
        drop(first);
        assert_eq!(pins.names().into_iter().collect::<Vec<_>>(), ["b", "c"]);
        drop(second);
        assert!(pins.names().is_empty());
    }
}
