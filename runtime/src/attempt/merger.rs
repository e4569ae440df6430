//! Runs merges beside the coordinator: one at a time, on a thread of its own.
//!
//! Called by [`super::write`] after each checkpoint. A merge that fails is counted and logged, and
//! tried again later, each time after a longer pause: the job goes on, its files only grow.
//! Invariants: what a merge reads and makes is pinned until its result is in a manifest or given
//! up; no merge outlives its attempt; no file name is used twice.

use std::time::Duration;

use riverrun_engine::crash_point;
use tokio::sync::oneshot;

use crate::checkpoint::run::merge::{Merged, Task, merge};
use crate::checkpoint::{Chain, CheckpointStore, Pinned, StoreError};
use crate::doors::{self, Aside};

/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What merges have done in this attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MergeCounts {
    /// How many ended well.
    pub done: u64,
    /// How many failed.
    pub failed: u64,
    /// Bytes they wrote.
    pub bytes: u64,
}

struct Running {
    task: Task,
    /// What it reads.
    inputs: Pinned,
    done: oneshot::Receiver<(Result<Merged, StoreError>, Pinned)>,
    /// Dropped to end it early.
    wanted: oneshot::Sender<()>,
    aside: Aside,
}

/// A merge that has ended well; its files stay as long as this lives.
pub struct Outcome {
    /// What was asked for.
    pub task: Task,
    /// What was made.
    pub merged: Merged,
    pinned: (Pinned, Pinned),
}

impl Outcome {
    /// Gives up the hold on its files: a manifest names them, or nobody will.
    pub fn release(self) {
        drop(self.pinned);
    }
}

/// Runs the merges of one attempt.
pub struct Merger {
    store: CheckpointStore,
    attempt: String,
    running: Option<Running>,
    next_number: u64,
    failed_in_a_row: u32,
    not_before: Duration,
    /// How many merges to come are prompt, because one that gave way was waited for.
    prompt: u32,
    counts: MergeCounts,
}

/// After one was waited for, so many merges are prompt before one gives way again.
const PROMPT: u32 = 16;

impl Merger {
    /// For `attempt`, whose name is part of all file names.
    #[must_use]
    pub fn new(store: CheckpointStore, attempt: &str) -> Self {
        Merger {
            store,
            attempt: attempt.to_owned(),
            running: None,
            next_number: 0,
            failed_in_a_row: 0,
            not_before: Duration::ZERO,
            prompt: 0,
            counts: MergeCounts::default(),
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> MergeCounts {
        self.counts
    }

    /// Begins a merge if one is worth it and none is running. `chain` is what the newest manifest
    /// names.
    pub fn begin(&mut self, chain: &Chain) {
        if self.running.is_some() || doors::monotonic() < self.not_before {
            return;
        }
        let Some(mut task) = chain.task(&self.attempt, self.next_number) else { return };
        task.prompt |= self.prompt > 0;
        self.prompt = self.prompt.saturating_sub(1);
        // As many files as there are key groups at most.
        self.next_number += u64::from(task.groups);
        let files = task.runs.iter().map(|run| &run.file);
        let files = files.chain(task.segments.iter().map(|segment| &segment.file));
        let inputs = self.store.pin(files.cloned());
        let (wanted, ended) = oneshot::channel();
        let (send, done) = oneshot::channel();
        let (store, work) = (self.store.clone(), task.clone());
        tracing::debug!(order = ?task.order, upto = %task.upto, "merge begins");
        let aside = doors::aside("merge", async move || {
            if !work.prompt {
                doors::give_way();
            }
            crash_point!("merge.begun");
            let mut made = store.pin([]);
            let merged = tokio::select! {
                biased;
                merged = merge(&store, &work, &mut made) => Some(merged),
                _ = ended => None,
            };
            if let Some(merged) = merged {
                // Nobody takes it when the attempt is over: the files are orphans then.
                drop(send.send((merged, made)));
            }
        });
        self.running = Some(Running { task, inputs, done, wanted, aside });
    }

    /// Whether a merge is under way. Somebody waits for it: the next ones give way no more.
    pub fn is_waited_for(&mut self) -> bool {
        if self.running.is_some() {
            self.prompt = PROMPT;
        }
        self.running.is_some()
    }

    /// The result of the merge that has ended meanwhile, if one has.
    pub fn take(&mut self) -> Option<Outcome> {
        let (merged, made) = match self.running.as_mut()?.done.try_recv() {
            Ok((Ok(merged), made)) => (Ok(merged), made),
            Ok((Err(error), made)) => (Err(error.to_string()), made),
            Err(oneshot::error::TryRecvError::Empty) => return None,
            Err(oneshot::error::TryRecvError::Closed) => {
                (Err("its thread has panicked".to_owned()), Pinned::default())
            }
        };
        let Running { task, inputs, aside, .. } = self.running.take()?;
        aside.end();
        match merged {
            Ok(merged) => {
                crash_point!("merge.done");
                self.failed_in_a_row = 0;
                self.counts.done += 1;
                self.counts.bytes += merged.bytes();
                tracing::debug!(order = ?task.order, bytes = merged.bytes(), "merge done");
                Some(Outcome { task, merged, pinned: (inputs, made) })
            }
            Err(error) => {
                let pause = PAUSE * 2_u32.saturating_pow(self.failed_in_a_row.min(8));
                self.not_before = doors::monotonic() + pause.min(PAUSE_MAX);
                self.failed_in_a_row += 1;
                self.counts.failed += 1;
                tracing::warn!(error, order = ?task.order, "merge failed, tried again later");
                None
            }
        }
    }
}

impl Drop for Merger {
    /// Ends the merge that is running: the next attempt, or another process, owns the store then.
    fn drop(&mut self) {
        if let Some(Running { wanted, aside, .. }) = self.running.take() {
            drop(wanted);
            aside.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use riverrun_engine::checkpoint::{CheckpointId, SnapshotMode};

    use super::*;
    use crate::checkpoint::testing::{FailingStore, block_on, segment};

    /// A chain whose one segment is said to be long enough for a merge.
    async fn chain(store: &CheckpointStore) -> Chain {
        let (bytes, entries) = segment(0..4, 1);
        let (id, mode) = (CheckpointId(1), SnapshotMode::Delta);
        let entry = store.write_segment(id, "a", bytes, mode, entries).await.expect("writes");
        let mut chain = Chain::new(4);
        chain.push(entry, vec![1 << 20; 4]);
        chain
    }

    async fn ended(merger: &mut Merger) -> Option<Outcome> {
        let before = merger.counts();
        for _ in 0..1000 {
            let outcome = merger.take();
            if outcome.is_some() || merger.counts() != before {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the merge does not end");
    }

    #[test]
    fn a_merge_that_fails_is_tried_again_under_another_name_after_a_pause() {
        // The first file is the segment, the second the run.
        let failing = FailingStore::new(Arc::new(InMemory::new()), 2, false);
        let store = CheckpointStore::on_certain(failing);
        block_on(async {
            let mut chain = chain(&store).await;
            let mut merger = Merger::new(store.clone(), "a");
            merger.begin(&chain);
            assert!(ended(&mut merger).await.is_none());
            assert_eq!(merger.counts().failed, 1);
            merger.begin(&chain);
            assert!(merger.running.is_none(), "not at once");
            merger.not_before = Duration::ZERO;
            merger.begin(&chain);
            let outcome = ended(&mut merger).await.expect("there is room again");
            let Merged::Runs(runs) = outcome.merged.clone() else { panic!("as decided") };
            assert_eq!((runs.len(), runs[0].entries), (1, 4));
            assert!(runs[0].file.ends_with("-a.4.run"), "{}", runs[0].file);
            assert!(chain.apply(&outcome.task, outcome.merged.clone()));
            assert_eq!((chain.runs().len(), chain.segments().len()), (1, 0));
            // No manifest names it, and yet it stays while somebody means to name it.
            let kept = store.remove_orphans("b").await.expect("removes");
            assert!(kept.files.is_empty(), "{kept:?}");
            outcome.release();
            let gone = store.remove_orphans("b").await.expect("removes");
            assert_eq!(gone.files.len(), 2, "{gone:?}");
        });
    }

    #[test]
    fn a_merge_does_not_outlive_its_attempt() {
        let store = CheckpointStore::on_certain(Arc::new(InMemory::new()));
        block_on(async {
            let chain = chain(&store).await;
            let mut merger = Merger::new(store.clone(), "a");
            merger.begin(&chain);
            drop(merger);
            let gone = store.remove_orphans("b").await.expect("removes");
            assert!(!gone.files.is_empty(), "nothing is pinned any more");
            let again = store.remove_orphans("b").await.expect("removes");
            assert!(again.files.is_empty(), "nothing was written since: {again:?}");
        });
    }
}
