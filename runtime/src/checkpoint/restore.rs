//! Where a run begins, and the state it begins with.
//!
//! Called by the run at the start of each attempt, before any record is read. Invariant: never an
//! empty or older beginning unless the user asked for exactly that; in doubt an error that says what
//! to do.
//!
//! 1. The deciding participant has said what is committed ([`Decided`]).
//! 2. [`choose`] decides by names alone.
//! 3. [`begin`] reads the chosen checkpoint whole and checks every byte.
//! 4. The caller decides with `riverrun_engine::compat::plan_restore` what goes where, and gives each
//!    subtask its [`RestoredState::sections_for`].

use std::collections::BTreeMap;

use riverrun_engine::checkpoint::{CheckpointId, CheckpointKind};
use riverrun_engine::compat::RestorePlan;
use riverrun_engine::graph::Uid;
use riverrun_engine::key::{KeyGroup, KeyGroupRange};
use riverrun_engine::state::{StateSpec, TypeShape};
use thiserror::Error;

use super::error::{Damage, StoreError};
use super::manifest::Manifest;
use super::segment::{Segment, SegmentError};
use super::store::CheckpointStore;
use crate::config::{From, RunOptions};

/// What the deciding participant knows: `None`, there is no such participant, the store decides;
/// `Some(None)`, it never decided anything; `Some(Some(0))`, nothing is committed yet;
/// `Some(Some(n))`, checkpoint n is.
pub type Decided = Option<Option<CheckpointId>>;

/// Marker 0: written before any output, so no checkpoint is committed yet.
const NOTHING_YET: CheckpointId = CheckpointId(0);

/// Where to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// With empty state.
    Beginning,
    /// With a checkpoint of the job's own store.
    Own(CheckpointId),
    /// With a checkpoint of another store.
    Other {
        /// The store.
        path: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
}

/// A run that cannot begin.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// `--from` something that is none.
    #[error(
        "RR0230: '{from}' names no checkpoint: give its number (`checkpoint ls` shows them), or \
         `PATH#NUMBER` for one of another store"
    )]
    NotACheckpoint {
        /// As given.
        from: String,
    },
    /// `--from` a checkpoint that is not there.
    #[error("RR0231: there is no checkpoint {checkpoint} in the store; there are: {stored}")]
    Absent {
        /// As given.
        checkpoint: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// Back behind committed output.
    #[error(
        "RR0232: to begin at {at} is to go back behind checkpoint {newest}: the output since then is \
         committed and would appear twice; leave `--from` away to begin at {newest}, or add \
         `--accept-duplicates` if that is what you want"
    )]
    Duplicates {
        /// Where the run should begin.
        at: String,
        /// The newest committed checkpoint.
        newest: CheckpointId,
    },
    /// The participant committed a checkpoint that the store does not have.
    #[error(
        "RR0233: the output of checkpoint {decided} is committed, but the store does not have that \
         checkpoint (there are: {stored}); is `checkpoint.path` the one of the last run? To begin \
         elsewhere knowingly, and see output twice: `--from NUMBER --accept-duplicates`, or \
         `--from beginning --accept-duplicates`"
    )]
    DecidedAbsent {
        /// What is committed.
        decided: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// The store has checkpoints, the participant knows of nothing.
    #[error(
        "RR0234: the store has checkpoints ({stored}), but where the output goes there is no marker \
         of any: was it deleted, or does the output now go elsewhere? If so, begin knowingly with \
         `--from {newest} --accept-duplicates`"
    )]
    NoMarker {
        /// The newest.
        newest: CheckpointId,
        /// Those that are there.
        stored: String,
    },
    /// A checkpoint newer than what is committed.
    #[error(
        "RR0235: checkpoint {checkpoint} was never committed, the newest that was is {committed}: \
         to begin at {checkpoint} would lose the output between them; leave `--from` away"
    )]
    NeverCommitted {
        /// As given.
        checkpoint: CheckpointId,
        /// What is committed (0: nothing).
        committed: CheckpointId,
    },
    /// The chosen checkpoint cannot be read.
    #[error(
        "RR0236: checkpoint {checkpoint} cannot be restored, nothing was started: {source}. Bring \
         the file back, or begin knowingly at another (there are: {others}) with `--from NUMBER \
         --accept-duplicates`; output after that checkpoint then appears twice"
    )]
    Unreadable {
        /// The chosen one.
        checkpoint: CheckpointId,
        /// The others.
        others: String,
        /// What is wrong.
        source: StoreError,
    },
    /// The store itself fails, or is another job's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn show(ids: &[CheckpointId]) -> String {
    const SHOWN: usize = 8;
    let newest = ids.iter().rev().take(SHOWN).map(ToString::to_string);
    let mut text = newest.collect::<Vec<_>>().join(", ");
    match ids.len() {
        0 => text.push_str("none"),
        n if n > SHOWN => text.push_str(&format!(" and {} older", n - SHOWN)),
        _ => {}
    }
    text
}

/// Decides where to begin. `stored` are the complete checkpoints of the job's own store, rising.
///
/// # Errors
/// Whatever would lose or double output without the user's word for it; see [`RestoreError`].
pub fn choose(
    from: &From,
    accept_duplicates: bool,
    stored: &[CheckpointId],
    decided: Decided,
) -> Result<Choice, RestoreError> {
    let wanted = match from {
        From::Newest => return newest(stored, decided),
        From::Beginning => Choice::Beginning,
        From::Checkpoint(text) => parse(text)?,
    };
    if let Choice::Own(id) = wanted
        && !stored.contains(&id)
    {
        return Err(RestoreError::Absent { checkpoint: id, stored: show(stored) });
    }
    let committed = match (decided, stored.last()) {
        (Some(Some(NOTHING_YET)), _) | (None | Some(None), None) => NOTHING_YET,
        (Some(Some(id)), _) => id,
        (None, Some(newest)) => *newest,
        (Some(None), Some(_)) if accept_duplicates => return Ok(wanted),
        (Some(None), Some(newest)) => return Err(no_marker(stored, *newest)),
    };
    let at = match &wanted {
        Choice::Own(checkpoint) if *checkpoint > committed => {
            return Err(RestoreError::NeverCommitted { checkpoint: *checkpoint, committed });
        }
        Choice::Own(id) if *id == committed => return Ok(wanted),
        // The store was moved: just what is committed, from where it lies now.
        Choice::Other { checkpoint: id, .. } if decided == Some(Some(*id)) && stored.is_empty() => {
            return Ok(wanted);
        }
        Choice::Own(id) => format!("checkpoint {id}"),
        Choice::Other { path, checkpoint } => format!("checkpoint {checkpoint} of '{path}'"),
        Choice::Beginning => "the beginning".to_owned(),
    };
    if committed == NOTHING_YET || accept_duplicates {
        return Ok(wanted);
    }
    Err(RestoreError::Duplicates { at, newest: committed })
}

fn newest(stored: &[CheckpointId], decided: Decided) -> Result<Choice, RestoreError> {
    match (decided, stored.last()) {
        (None | Some(None), None) | (Some(Some(NOTHING_YET)), _) => Ok(Choice::Beginning),
        (None, Some(newest)) => Ok(Choice::Own(*newest)),
        (Some(None), Some(newest)) => Err(no_marker(stored, *newest)),
        (Some(Some(id)), _) if stored.contains(&id) => Ok(Choice::Own(id)),
        (Some(Some(decided)), _) => {
            Err(RestoreError::DecidedAbsent { decided, stored: show(stored) })
        }
    }
}

fn no_marker(stored: &[CheckpointId], newest: CheckpointId) -> RestoreError {
    RestoreError::NoMarker { newest, stored: show(stored) }
}

fn parse(text: &str) -> Result<Choice, RestoreError> {
    let wrong = || RestoreError::NotACheckpoint { from: text.to_owned() };
    let number = |digits: &str| digits.parse().map(CheckpointId).map_err(|_| wrong());
    match text.rsplit_once('#') {
        None => Ok(Choice::Own(number(text)?)),
        Some(("", _)) => Err(wrong()),
        Some((path, digits)) => {
            Ok(Choice::Other { path: path.to_owned(), checkpoint: number(digits)? })
        }
    }
}

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
    Finished(CheckpointId),
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
                Start::Finished(id)
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
            RestoreError::Unreadable { checkpoint: id, others: show(&others), source }
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
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
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
            (section.state, section.bytes)
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
