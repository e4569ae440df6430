//! What the subtasks of one source know together: the survey of this attempt, where the first
//! start began, and partitions that came up while reading.
//!
//! Written by `discover` and by subtask 0, which looks for new partitions; read by every reader.
//! Invariant: a partition is in the survey of the attempt before any subtask is assigned it, and is
//! given to one subtask only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use riverrun_engine::context::TaskContext;
use riverrun_engine::graph::Uid;
use riverrun_kafka::cluster::Partition;

use super::settings::Settings;
use super::split::KafkaSplit;
use super::survey::{Seen, Survey};

/// What one source knows.
struct Known {
    attempt: Arc<str>,
    survey: Survey,
    /// Came up in this attempt, and waits for the subtask whose it is.
    found: Vec<(u32, KafkaSplit)>,
}

#[derive(Default)]
struct Inside {
    known: BTreeMap<Uid, Known>,
    /// What `Latest` and the like were when this process first started the source: an attempt that
    /// ended before its first checkpoint must not begin elsewhere the next time.
    first: BTreeMap<Uid, Vec<KafkaSplit>>,
}

/// Shared by a source and its readers.
#[derive(Default)]
pub(super) struct Registry {
    inside: Mutex<Inside>,
    /// How often something was found: so that a reader need not lock to see that nothing was.
    finds: AtomicU64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the survey of this attempt.
    pub(super) fn keep(&self, ctx: &TaskContext, survey: Survey) {
        let known = Known { attempt: ctx.attempt.clone(), survey, found: Vec::new() };
        self.lock().known.insert(ctx.uid.clone(), known);
    }

    /// The splits this process first started with.
    pub(super) fn first(&self, uid: &Uid) -> Option<Vec<KafkaSplit>> {
        self.lock().first.get(uid).cloned()
    }

    pub(super) fn keep_first(&self, uid: &Uid, splits: Vec<KafkaSplit>) {
        self.lock().first.insert(uid.clone(), splits);
    }

    /// Asks the survey of this attempt; `None` when there is none.
    pub(super) fn ask<R>(&self, ctx: &TaskContext, ask: impl FnOnce(&Survey) -> R) -> Option<R> {
        let inside = self.lock();
        let known = inside.known.get(&ctx.uid).filter(|known| known.attempt == ctx.attempt)?;
        Some(ask(&known.survey))
    }

    /// The partitions of this attempt with their topics' ids.
    pub(super) fn partitions(&self, ctx: &TaskContext) -> BTreeMap<Partition, Option<String>> {
        let ids = |survey: &Survey| {
            let one = |(p, seen): (&Partition, &Seen)| (p.clone(), seen.topic_id.clone());
            survey.partitions.iter().map(one).collect()
        };
        self.ask(ctx, ids).unwrap_or_default()
    }

    /// Takes up partitions that came up: the survey has them, and each waits for its subtask.
    pub(super) fn found(
        &self,
        ctx: &TaskContext,
        settings: &Settings,
        found: BTreeMap<Partition, Seen>,
    ) {
        let mut inside = self.lock();
        let Some(known) = inside.known.get_mut(&ctx.uid) else { return };
        if known.attempt != ctx.attempt || found.is_empty() {
            return;
        }
        let news = Survey { partitions: found, ..known.survey.clone() };
        for split in news.again(settings) {
            let owner = u32::try_from(split.partition).unwrap_or(0) % ctx.parallelism.max(1);
            known.found.push((owner, split));
        }
        known.survey.partitions.extend(news.partitions);
        self.finds.fetch_add(1, Ordering::Release);
    }

    /// What came up and is this subtask's. `seen` is how many finds the caller has looked at.
    pub(super) fn take(&self, ctx: &TaskContext, seen: &mut u64) -> Vec<KafkaSplit> {
        let finds = self.finds.load(Ordering::Acquire);
        if std::mem::replace(seen, finds) == finds {
            return Vec::new();
        }
        let mut inside = self.lock();
        let Some(known) = inside.known.get_mut(&ctx.uid) else { return Vec::new() };
        if known.attempt != ctx.attempt {
            return Vec::new();
        }
        let own = known.found.extract_if(.., |(owner, _)| *owner == ctx.subtask);
        own.map(|(_, split)| split).collect()
    }
}

#[cfg(test)]
mod tests {
    use riverrun_kafka::cluster::Reach;

    use super::*;
    use crate::testing::context;

    fn seen(low: i64) -> Seen {
        Seen { topic_id: None, reach: Reach { low, end: 9 }, at: None }
    }

    #[test]
    fn what_comes_up_is_given_once_to_one_subtask_of_this_attempt() {
        let registry = Registry::default();
        let settings = Settings::new("t".into());
        let part = |number| Partition { topic: "t".into(), number };
        let of = |subtask, attempt| context("source", subtask, 2, attempt);
        let partitions = BTreeMap::from([(part(0), seen(0))]);
        let survey = Survey { brokers: "b".into(), cluster: "c".into(), partitions };
        registry.keep(&of(0, "a"), survey);
        registry.found(&of(0, "a"), &settings, [(part(1), seen(5)), (part(2), seen(0))].into());
        let (mut zero, mut one) = (0, 0);
        let own = registry.take(&of(1, "a"), &mut one);
        assert_eq!(own.iter().map(|s| (s.partition, s.start)).collect::<Vec<_>>(), [(1, 5)]);
        assert!(registry.take(&of(1, "a"), &mut one).is_empty());
        assert_eq!(registry.take(&of(0, "a"), &mut zero).len(), 1);
        assert_eq!(registry.partitions(&of(0, "a")).len(), 3);
        registry.found(&of(0, "old"), &settings, [(part(3), seen(0))].into());
        assert!(registry.take(&of(1, "a"), &mut one).is_empty(), "of an attempt that is over");
    }
}
