//! `state`: looks into the state of a checkpoint, row by row. Works on the manifest alone: the job
//! is neither started nor its graph built.
//!
//! Called by the command line; one file an order. [`crate::value`] turns bytes into what is shown.

mod error;
#[cfg_attr(feature = "export", path = "export/mod.rs")]
#[cfg_attr(not(feature = "export"), path = "export_absent.rs")]
mod export;
mod get;
mod ls;
mod rows;
mod scan;

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::graph::Uid;
use riverrun_engine::state::StateSpec;

pub(super) use error::StateError;
#[cfg(test)]
pub(super) use get::found;
pub(super) use rows::shown;
#[cfg(test)]
pub(super) use scan::print_rows;

use super::args::{FromCheckpoint, StateOrder};
use super::error::CliError;
use super::{Context, Exit, stored, wait_for};
use crate::checkpoint::StateReader;

/// Shows state.
pub(super) fn state(context: &Context<'_>, order: &StateOrder) -> Result<Exit, CliError> {
    let path = context.config()?.config.checkpoint.path;
    wait_for(async {
        match order {
            StateOrder::Ls { from, json } => ls::ls(&Opened::at(&path, from).await?, *json).await,
            StateOrder::Get(args) => get::get(&Opened::at(&path, &args.from).await?, args).await,
            StateOrder::Scan(args) => scan::scan(&Opened::at(&path, &args.from).await?, args).await,
            StateOrder::Export(args) => export::export(&path, args).await,
        }
    })?;
    Ok(Exit::Done)
}

/// A checkpoint, open to be looked into.
pub(super) struct Opened {
    pub(super) reader: StateReader,
}

impl Opened {
    /// The checkpoint that `from` names; without a path of its own in the store at `path`.
    pub(super) async fn at(path: &str, from: &FromCheckpoint) -> Result<Opened, CliError> {
        let (store, id) = stored::find(path, &from.checkpoint).await?;
        let manifest = store.read_manifest(id).await?;
        let reader = StateReader::open(&store, manifest).await?;
        Ok(Opened { reader })
    }

    pub(super) fn checkpoint(&self) -> CheckpointId {
        self.reader.manifest().checkpoint
    }

    pub(super) fn key_groups(&self) -> u16 {
        self.reader.manifest().key_groups
    }

    /// The states of `uid`, or all; of them `state`, or all.
    ///
    /// # Errors
    /// No operator or state of that name.
    pub(super) fn select(
        &self,
        uid: Option<&str>,
        state: Option<&str>,
    ) -> Result<Vec<(Uid, StateSpec)>, StateError> {
        let mut states = self.reader.states();
        let checkpoint = self.checkpoint();
        if let Some(uid) = uid {
            let known: Vec<String> = states.iter().map(|(uid, _)| uid.to_string()).collect();
            states.retain(|(known, _)| &*known.0 == uid);
            if states.is_empty() {
                return Err(StateError::no_uid(uid, known, checkpoint));
            }
        }
        if let Some(state) = state {
            let known: Vec<String> = states.iter().map(|(_, spec)| spec.name.clone()).collect();
            states.retain(|(_, spec)| spec.name == state);
            if states.is_empty() {
                let uid = uid.unwrap_or("any operator");
                return Err(StateError::no_state(uid, state, known, checkpoint));
            }
        }
        Ok(states)
    }

    /// The one state of that name.
    ///
    /// # Errors
    /// As [`Opened::select`].
    pub(super) fn one(&self, uid: &str, state: &str) -> Result<(Uid, StateSpec), StateError> {
        let found = self.select(Some(uid), Some(state))?.into_iter().next();
        found.ok_or_else(|| StateError::no_state(uid, state, Vec::new(), self.checkpoint()))
    }
}
