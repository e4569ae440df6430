//! What of a graph a drill can rehearse, and what it reads.
//!
//! Made by the commands `drill` and `run`: both refuse what cannot be rehearsed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use riverrun_engine::erased::{ErasedSink, ErasedSource};
use riverrun_engine::graph::{Graph, NodeKind, Uid};
use riverrun_engine::rehearsal::{RUN_PREFIX, Scratch};
use riverrun_engine::sink::Rehearsal;

use super::error::DrillError;

/// What a graph lets a drill see.
#[derive(Clone, Default)]
pub struct Rehearsed {
    /// Sinks whose output is compared.
    pub compared: Vec<String>,
    /// Sinks that leave no trace.
    pub unseen: Vec<String>,
    /// Sinks whose records may come again after a crash.
    pub repeats: BTreeSet<String>,
    /// Whether a transaction decides which checkpoint holds.
    pub decides: bool,
    /// Sinks whose scratch output lies in no folder.
    pub(super) staged: Vec<(Uid, Arc<dyn ErasedSink>)>,
    /// Sources whose input may move.
    sliced: Vec<(Uid, Arc<dyn ErasedSource>)>,
}

impl fmt::Debug for Rehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rehearsed { compared, unseen, repeats, .. } = self;
        write!(f, "Rehearsed({compared:?}, unseen {unseen:?}, repeats {repeats:?})")
    }
}

/// Only to be asked whether it answers: nothing is ever made under it.
const NOBODY: &str = RUN_PREFIX;

impl Rehearsed {
    /// Whether `graph` can be rehearsed.
    ///
    /// # Errors
    /// The first source or sink that cannot.
    pub fn of(graph: &Graph) -> Result<Rehearsed, DrillError> {
        let mut rehearsed = Rehearsed::default();
        for (_, node) in graph.nodes() {
            let (uid, name) = (|| node.uid.clone(), || node.uid.to_string());
            match &node.kind {
                NodeKind::Source(source) if source.slicing(NOBODY).is_some() => {
                    rehearsed.sliced.push((uid(), source.clone()));
                }
                NodeKind::Source(source) if !source.is_bounded() => {
                    return Err(DrillError::Unbounded { uid: uid() });
                }
                NodeKind::Sink(sink) => match sink.rehearsal() {
                    Rehearsal::Scratch => rehearsed.compared.push(name()),
                    Rehearsal::Staged { repeats } => {
                        rehearsed.compared.push(name());
                        rehearsed.staged.push((uid(), sink.clone()));
                        match repeats {
                            true => drop(rehearsed.repeats.insert(name())),
                            false => rehearsed.decides = true,
                        }
                    }
                    Rehearsal::Nothing => rehearsed.unseen.push(name()),
                    Rehearsal::Refused { reason } => {
                        return Err(DrillError::Sink { uid: uid(), reason });
                    }
                },
                NodeKind::Source(_) | NodeKind::Operator(_) => {}
            }
        }
        Ok(rehearsed)
    }

    /// Whether `scratch` says of each source whose input may move what is read.
    ///
    /// # Errors
    /// The first of which it does not.
    pub fn covered_by(&self, scratch: Option<&Scratch>) -> Result<(), DrillError> {
        let covered = |uid: &Uid| scratch.is_some_and(|scratch| scratch.slices.contains_key(uid));
        match self.sliced.iter().find(|(uid, _)| !covered(uid)) {
            Some((uid, _)) => Err(DrillError::Unbounded { uid: uid.clone() }),
            None => Ok(()),
        }
    }

    /// Settles what is read of the sources whose input may move, about `records_max` records of
    /// each; `job` is the job's own name.
    pub(super) fn slices(
        &self,
        job: &str,
        records_max: u64,
        tell: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<Uid, String>, DrillError> {
        let mut slices = BTreeMap::new();
        for (uid, source) in &self.sliced {
            let Some(mut slicing) = source.slicing(job) else { continue };
            let slice = slicing.fix(records_max).map_err(|error| DrillError::Slice {
                uid: uid.clone(),
                reason: format!("{error:#}"),
            })?;
            tell(&format!("{uid}: up to {} records: {}", slice.records, slice.told));
            slices.insert(uid.clone(), slice.text);
        }
        Ok(slices)
    }
}
