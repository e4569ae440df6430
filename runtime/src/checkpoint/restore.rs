//! Where a run begins, and the state it begins with.
//!
//! Called by the run at the start of each attempt, before any record is read. Invariant: never an
//! empty or older beginning unless the user asked for exactly that; in doubt an error that says
//! what to do.
//!
//! 1. The deciding participant has said what is committed ([`Decided`]); before it fenced anybody,
//!    [`refuse_early`] has looked at what could be seen.
//! 2. [`choose`] decides by names alone.
//! 3. [`begin`] reads the chosen checkpoint whole and checks every byte; one of the job's own that
//!    is too long for that is only opened, and each block checked when it is read.
//! 4. The caller decides with `riverrun_engine::compat::plan_restore` what goes where, and gives
//!    each subtask its [`RestoredState::sections_for`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind, CheckpointName};
use riverrun_engine::compat::RestorePlan;
use riverrun_engine::crash_point;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::planted;
use riverrun_engine::state::{StateKind, StateSpec, TypeShape};

use super::chain::Chain;
use super::choose::{Choice, Decided, NOTHING_YET, RestoreError, choose, show};
use super::error::StoreError;
use super::manifest::Manifest;
use super::store::CheckpointStore;
use super::view::{Piece, StateFiles, Trust};
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
    committed: Option<Option<CheckpointName>>,
) -> Result<Begin, RestoreError> {
    let stored = store.list().await?;
    let number = |name: &CheckpointName| name.checkpoint;
    let committed = committed.filter(|_| !planted!("choose.stored"));
    let decided: Decided = committed.as_ref().map(|name| name.as_ref().map(number));
    let older = usize::from(planted!("choose.older") && stored.len() > 1);
    let known = &stored[..stored.len() - older];
    let choice = choose(&options.from, options.accept_duplicates, known, decided)?;
    let empty = planted!("choose.nothing");
    let choice = if empty { Choice::Beginning } else { choice };
    let highest = stored.last().copied().max(decided.flatten()).unwrap_or(NOTHING_YET);
    let start = match choice {
        Choice::Beginning => Start::Beginning,
        Choice::Own(id) => {
            let state = RestoredState::load(store, id, job, true).await;
            let state = state.map_err(|source| unreadable(id, &stored, source))?;
            same_attempt(&state.manifest, committed.flatten())?;
            crash_point!("restore.verified");
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

/// Refuses what [`begin`] would refuse anyway, by what can be seen of the last decision before any
/// run is fenced: a second job of one name ends here and not the first.
///
/// # Errors
/// As [`begin`], but for damage within the checkpoint's files.
pub async fn refuse_early(
    store: &CheckpointStore,
    job: &str,
    options: &RunOptions,
    visible: Option<CheckpointName>,
) -> Result<(), RestoreError> {
    let stored = store.list().await?;
    let decided: Decided = Some(visible.as_ref().map(|name| name.checkpoint));
    let choice = choose(&options.from, options.accept_duplicates, &stored, decided)?;
    let Choice::Own(id) = choice else { return Ok(()) };
    let manifest = store.read_manifest(id).await;
    let manifest = manifest.map_err(|source| unreadable(id, &stored, source))?;
    manifest.check_job(job)?;
    same_attempt(&manifest, visible)
}

/// A number may have been used twice, after the store or the job was taken back: what is committed
/// is one attempt's.
fn same_attempt(
    manifest: &Manifest,
    committed: Option<CheckpointName>,
) -> Result<(), RestoreError> {
    let (checkpoint, attempt) = (manifest.checkpoint, &manifest.attempt);
    match committed {
        Some(name) if name.checkpoint == checkpoint && name.attempt != *attempt => {
            Err(RestoreError::OtherAttempt {
                checkpoint,
                stored: attempt.clone(),
                committed: name.attempt,
            })
        }
        _ => Ok(()),
    }
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

/// The files of a restored checkpoint, until somebody closes them; clones are the same.
#[derive(Clone, Debug)]
pub struct OpenFiles {
    files: Arc<Mutex<Option<Arc<StateFiles>>>>,
}

impl OpenFiles {
    fn new(files: StateFiles) -> Self {
        OpenFiles { files: Arc::new(Mutex::new(Some(Arc::new(files)))) }
    }

    /// The files, unless they are closed.
    #[must_use]
    pub fn get(&self) -> Option<Arc<StateFiles>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Frees their memory as soon as nobody reads them any more.
    pub fn close(&self) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A checkpoint that is whole, as far as it was read.
#[derive(Debug)]
pub struct RestoredState {
    /// What it consists of.
    pub manifest: Manifest,
    /// Its files, open: their blocks are read as they are applied.
    pub files: OpenFiles,
    /// Whether its files lie in the job's own store, so that deltas may follow them.
    pub own: bool,
    /// Whether they are only opened, because they are too long to be read before the first record;
    /// otherwise every byte was checked.
    pub lazy: bool,
}

/// A state that is read as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLater {
    /// Its name.
    pub name: String,
    /// What is kept for each key.
    pub kind: StateKind,
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
        let named = (manifest.runs.as_slice(), manifest.segments.as_slice());
        let groups = manifest.key_groups;
        let bytes = manifest.files().map(|file| file.bytes).sum();
        let lazy = own && store.restores_lazily(bytes);
        let trust = if lazy { Trust::Blockwise } else { Trust::Nothing };
        let mut files = StateFiles::open(store, id, named, groups, trust).await?;
        if lazy {
            files.keep(store);
        }
        Ok(RestoredState { manifest, files: OpenFiles::new(files), own, lazy })
    }

    /// The states it holds, by stored uid.
    #[must_use]
    pub fn stored_states(&self) -> BTreeMap<Uid, Vec<StateSpec>> {
        let states =
            |(uid, entry): (&Uid, &super::OperatorEntry)| (uid.clone(), entry.states.clone());
        self.manifest.operators.iter().map(states).collect()
    }

    /// The states of `uid` that its subtask with the keys of `range` need not read before the first
    /// record: those that can be asked for by key. Only where deltas may follow this checkpoint.
    ///
    /// What they hold in memory until they are read, beside indexes and filters, is about
    /// `held_max` bytes together at most: sections that are not sorted, and removals.
    #[must_use]
    pub fn states_to_read_later(
        &self,
        uid: &Uid,
        range: KeyGroupRange,
        held_max: u64,
    ) -> Vec<ReadLater> {
        let Some(files) = self.files.get().filter(|_| self.lazy) else { return Vec::new() };
        let specs = self.manifest.operators.get(uid).into_iter().flat_map(|entry| &entry.states);
        let mut left = held_max;
        let by_key = specs.filter(|spec| {
            if !matches!(spec.kind, StateKind::Value | StateKind::List | StateKind::Map) {
                return false;
            }
            let weight = files.weight(&uid.0, &spec.name, range);
            let worth = weight.entries > 0 && weight.held <= left;
            left -= if worth { weight.held } else { 0 };
            worth
        });
        by_key.map(|spec| ReadLater { name: spec.name.clone(), kind: spec.kind }).collect()
    }

    /// What the subtask of `uid` (the job's) with the keys of `range` restores, but for the states
    /// that are read `later`: state names and entries, in the order in which they apply, key group
    /// by key group. `None` when the files are closed.
    #[must_use]
    pub fn sections_for(
        &self,
        plan: &RestorePlan,
        uid: &Uid,
        range: KeyGroupRange,
        later: &[ReadLater],
    ) -> Option<Sections> {
        let is_later = |state: &str| later.iter().any(|later| later.name == state);
        let of = plan.iter().filter(|((_, state), to)| to.uid == *uid && !is_later(state));
        let names = of.map(|((stored, state), _)| (stored.0.to_string(), state.clone()));
        let (names, groups) = (names.collect(), range.iter().map(KeyGroup).collect());
        let files = self.files.get()?;
        Some(Sections { files, names, groups, pieces: VecDeque::new() })
    }

    /// What the next checkpoint may name of this one.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        self.files.get().map(|files| Chain::of(&files, self.manifest.key_groups))
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

/// Entries to restore: in memory are one key group's changes and 1 MiB of its run; where changes
/// drop a namespace, that key group's rows of the state.
///
/// Invariant: no namespace is dropped. A table that holds many key groups would drop the namespace
/// of all of them; so there, the live rows come in place of what made them.
#[derive(Debug)]
pub struct Sections {
    files: Arc<StateFiles>,
    /// Stored operators and their states.
    names: Vec<(String, String)>,
    /// Those that follow.
    groups: VecDeque<KeyGroup>,
    /// Of the key group under way: which of `names`, and what.
    pieces: VecDeque<(usize, KeyGroup, Piece)>,
}

impl Sections {
    /// Whether there is no state to restore.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() || (self.groups.is_empty() && self.pieces.is_empty())
    }

    /// The next state's name, key group and entries; `None` when there are no more.
    ///
    /// # Errors
    /// A block that changed since it was checked; storage that does not answer.
    pub async fn next(&mut self) -> Result<Option<(String, KeyGroup, Bytes)>, StoreError> {
        while self.pieces.is_empty() {
            let Some(group) = self.groups.pop_front() else { return Ok(None) };
            for (at, (uid, state)) in self.names.iter().enumerate() {
                let pieces = self.files.pieces(group, uid, state).await?;
                self.pieces.extend(pieces.into_iter().map(|piece| (at, group, piece)));
            }
        }
        let Some((at, group, piece)) = self.pieces.pop_front() else { return Ok(None) };
        let bytes = self.files.read(piece).await?;
        Ok(Some((self.names[at].1.clone(), group, bytes)))
    }
}

/// Whether both are written and read alike: even an added field would leave entries without it.
fn same(a: &StateSpec, b: &StateSpec) -> bool {
    let alike = a.name == b.name && a.kind == b.kind && a.codec == b.codec;
    let map_keys = match (&a.map_key, &b.map_key) {
        (Some(a), Some(b)) => a.same(b),
        (a, b) => a.is_none() && b.is_none(),
    };
    alike && map_keys && a.key.same(&b.key) && a.value.same(&b.value)
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
