//! Where a run begins, and the state it begins with.
//!
//! Called by the run at the start of each attempt, before any record is read. Invariant: never an
//! empty or older beginning unless the user asked for exactly that; in doubt an error that says
//! what to do.
//!
//! 1. The deciding participant has said what is committed ([`Decided`]).
//! 2. [`choose`] decides by names alone.
//! 3. [`begin`] reads the chosen checkpoint whole and checks every byte.
//! 4. The caller decides with `riverrun_engine::compat::plan_restore` what goes where, and gives
//!    each subtask its [`RestoredState::sections_for`].

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::compat::RestorePlan;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::state::{StateSpec, TypeShape};

use super::choose::{Choice, Decided, NOTHING_YET, RestoreError, choose, show};
use super::error::{Damage, StoreError};
use super::manifest::Manifest;
use super::segment::{Segment, SegmentError};
use super::store::CheckpointStore;
use crate::config::{From, RunOptions};

/// What an attempt begins with.
#[derive(Debug)]
pub struct Begin {
    /// Its state.
    pub start: Start,
    /// The number of its first checkpoint: above all that are stored, committed or not.
    pub next: CheckpointId,
}

/// The state an attempt begins with.
#[derive(Debug)]
pub enum Start {
    /// None.
    Beginning,
    /// A checkpoint's.
    Restored(Box<RestoredState>),
    /// The job has ended with this checkpoint: there is nothing to run.
    Finished(Box<RestoredState>),
}

/// Chooses, reads and checks what the attempt begins with.
///
/// # Errors
/// As [`choose`]; a chosen checkpoint that is damaged or another job's.
pub async fn begin(
    store: &CheckpointStore,
    job: &str,
    options: &RunOptions,
    decided: Decided,
) -> Result<Begin, RestoreError> {
    let stored = store.list().await?;
    let choice = choose(&options.from, options.accept_duplicates, &stored, decided)?;
    let highest = stored.last().copied().max(decided.flatten()).unwrap_or(NOTHING_YET);
    let start = match choice {
        Choice::Beginning => Start::Beginning,
        Choice::Own(id) => {
            let state = RestoredState::load(store, id, job, true).await;
            let state = state.map_err(|source| unreadable(id, &stored, source))?;
            let ended = state.manifest.kind == CheckpointKind::End;
            if ended && options.from == From::Newest {
                Start::Finished(Box::new(state))
            } else {
                Start::Restored(Box::new(state))
            }
        }
        Choice::Other { path, checkpoint } => {
            let other = CheckpointStore::open_existing(&path)?;
            let state = RestoredState::load(&other, checkpoint, job, false).await?;
            Start::Restored(Box::new(state))
        }
    };
    let restored = match &start {
        Start::Restored(state) => state.manifest.checkpoint,
        Start::Beginning | Start::Finished(_) => NOTHING_YET,
    };
    Ok(Begin { start, next: highest.max(restored).next() })
}

fn unreadable(id: CheckpointId, stored: &[CheckpointId], source: StoreError) -> RestoreError {
    match source {
        StoreError::Damaged { .. } | StoreError::NoCheckpoint { .. } | StoreError::Read { .. } => {
            let others: Vec<_> = stored.iter().copied().filter(|other| *other != id).collect();
            let (others, source) = (show(&others), Box::new(source));
            RestoreError::Unreadable { checkpoint: id, others, source }
        }
        other => RestoreError::Store(other),
    }
}

/// A checkpoint, read whole, every byte checked.
#[derive(Debug)]
pub struct RestoredState {
    /// What it consists of.
    pub manifest: Manifest,
    /// Its files, in the order in which they apply.
    pub segments: Vec<Segment>,
    /// Whether its files lie in the job's own store, so that deltas may follow them.
    pub own: bool,
    /// Where the sections of each stored uid lie: segment, section.
    places: BTreeMap<String, Vec<(usize, usize)>>,
}

impl RestoredState {
    /// Reads checkpoint `id` of `store`, which is the job's own or not.
    ///
    /// # Errors
    /// Damage, by file; a checkpoint of another job.
    pub async fn load(
        store: &CheckpointStore,
        id: CheckpointId,
        job: &str,
        own: bool,
    ) -> Result<Self, StoreError> {
        let manifest = store.read_manifest(id).await?;
        manifest.check_job(job)?;
        let segments = store.load(&manifest).await?;
        let mut places: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (at, segment) in segments.iter().enumerate() {
            for (index, section) in segment.sections().enumerate() {
                if section.group >= KeyGroup(manifest.key_groups) {
                    let part = format!("key group {}", section.group.0);
                    let damage = Damage::Segment(SegmentError::Inconsistent { part });
                    return Err(store.damaged(id, &manifest.segments[at].file, damage));
                }
                match places.get_mut(section.uid) {
                    Some(places) => places.push((at, index)),
                    None => drop(places.insert(section.uid.to_owned(), vec![(at, index)])),
                }
            }
        }
        Ok(RestoredState { manifest, segments, own, places })
    }

    /// The states it holds, by stored uid.
    #[must_use]
    pub fn stored_states(&self) -> BTreeMap<Uid, Vec<StateSpec>> {
        let states =
            |(uid, entry): (&Uid, &super::OperatorEntry)| (uid.clone(), entry.states.clone());
        self.manifest.operators.iter().map(states).collect()
    }

    /// What the subtask of `uid` (the job's) with the keys of `range` restores: state names and
    /// entries, in the order in which they apply.
    pub fn sections_for<'a>(
        &'a self,
        plan: &'a RestorePlan,
        uid: &'a Uid,
        range: KeyGroupRange,
    ) -> impl Iterator<Item = (&'a str, KeyGroup, &'a [u8])> {
        let mut found = Vec::new();
        for (stored, places) in &self.places {
            let states: Vec<&str> = plan
                .iter()
                .filter(|((from, _), to)| *from.0 == **stored && to.uid == *uid)
                .map(|((_, state), _)| state.as_str())
                .collect();
            let wanted = places.iter().filter(|(segment, index)| {
                let section = self.segments[*segment].section(*index);
                range.contains(section.group) && states.contains(&section.state)
            });
            found.extend(wanted.copied().filter(|_| !states.is_empty()));
        }
        found.sort_unstable();
        found.into_iter().map(|(segment, index)| {
            let section = self.segments[segment].section(index);
            (section.state, section.group, section.bytes)
        })
    }

    /// Whether deltas may follow this checkpoint: its files are our own, and the job declares just
    /// the states it holds, under the same names and types. Otherwise the first checkpoint must be
    /// full: in a chain that crosses a change, old entries would be read under new names and types,
    /// and state that was given up would come back.
    #[must_use]
    pub fn may_continue(
        &self,
        plan: &RestorePlan,
        declared: &BTreeMap<Uid, Vec<StateSpec>>,
    ) -> bool {
        let taken_as_is = |uid: &Uid, spec: &StateSpec| {
            let restored = plan.get(&(uid.clone(), spec.name.clone()));
            restored.is_some_and(|to| to.uid == *uid && to.migrate_from.is_none())
                && declared.get(uid).is_some_and(|specs| specs.iter().any(|now| same(now, spec)))
        };
        let mut stored = self.manifest.operators.iter();
        self.own && stored.all(|(uid, entry)| entry.states.iter().all(|s| taken_as_is(uid, s)))
    }
}

/// Whether both are written and read alike: even an added field would leave entries without it.
fn same(a: &StateSpec, b: &StateSpec) -> bool {
    let alike = a.name == b.name && a.kind == b.kind && a.codec == b.codec;
    alike && a.key.same(&b.key) && a.value.same(&b.value)
}

/// The states of `uid` (the job's) whose stored values have another shape, and that shape.
pub fn migrations_for<'a>(
    plan: &'a RestorePlan,
    uid: &'a Uid,
) -> impl Iterator<Item = (&'a str, &'a TypeShape)> {
    let of = plan.iter().filter(move |(_, to)| to.uid == *uid);
    of.filter_map(|((_, state), to)| Some((state.as_str(), to.migrate_from.as_ref()?)))
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
