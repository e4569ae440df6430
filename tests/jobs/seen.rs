//! How far a job has read, so that a test need not guess how long that takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many items were read, as the job's clock says that looks at each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<AtomicU64>);

impl Seen {
    /// So many were read.
    pub(crate) fn read(&self, items: u64) {
        self.0.fetch_max(items, Ordering::SeqCst);
    }

    /// Waits until so many were.
    pub(crate) fn wait(&self, items: u64) {
        wait("reading", || self.0.load(Ordering::SeqCst) >= items);
    }
}

/// Waits until `done`.
pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let soon = |_: u32| {
        std::thread::sleep(Duration::from_millis(10));
        done()
    };
    assert!((0..6000).any(soon), "{what}: not within a minute");
}
