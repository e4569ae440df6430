//! What can go wrong while looking into state: RR0601 to RR0604; from RR0605 on it is
//! the export's.

use riverrun_engine::checkpoint::CheckpointId;
use riverrun_engine::graph::Uid;
use riverrun_engine::state::StateSpec;
use thiserror::Error;

use super::export::ExportError;
use crate::cli::Exit;
use crate::config::hint::nearest;
use crate::value::Misfit;

/// A look into state that failed.
#[derive(Debug, Error)]
pub(in crate::cli) enum StateError {
    /// No such operator.
    #[error("RR0601: no operator '{uid}' has state in checkpoint {checkpoint}; {hint}")]
    NoUid {
        /// As given.
        uid: String,
        /// Where it was looked for.
        checkpoint: CheckpointId,
        /// Those that are there.
        hint: String,
    },
    /// No such state.
    #[error("RR0602: '{uid}' has no state '{state}' in checkpoint {checkpoint}; {hint}")]
    NoState {
        /// The operator.
        uid: String,
        /// As given.
        state: String,
        /// Where it was looked for.
        checkpoint: CheckpointId,
        /// Those that are there.
        hint: String,
    },
    /// A key of another type.
    #[error("RR0603: '{given}' is no key of {uid}/{state}, whose keys are {key}: {misfit}")]
    Key {
        /// The operator.
        uid: Uid,
        /// The state.
        state: String,
        /// As given.
        given: String,
        /// The type of keys.
        key: String,
        /// What does not fit.
        misfit: Box<Misfit>,
    },
    /// Nothing under a key.
    #[error(
        "RR0604: {uid}/{state} holds nothing for key {key} in checkpoint {checkpoint}; `state scan \
         {uid} {state}` shows what it holds"
    )]
    NoValue {
        /// The operator.
        uid: Uid,
        /// The state.
        state: String,
        /// As given.
        key: String,
        /// Where it was looked for.
        checkpoint: CheckpointId,
    },
    /// An export.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl StateError {
    pub(super) fn no_uid(uid: &str, known: Vec<String>, checkpoint: CheckpointId) -> Self {
        StateError::NoUid { uid: uid.to_owned(), checkpoint, hint: hint(uid, known) }
    }

    pub(super) fn no_state(
        uid: &str,
        state: &str,
        known: Vec<String>,
        checkpoint: CheckpointId,
    ) -> Self {
        let hint = hint(state, known);
        StateError::NoState { uid: uid.to_owned(), state: state.to_owned(), checkpoint, hint }
    }

    pub(super) fn key(uid: &Uid, spec: &StateSpec, given: &str, misfit: Misfit) -> Self {
        StateError::Key {
            uid: uid.clone(),
            state: spec.name.clone(),
            given: given.to_owned(),
            key: spec.key.to_string(),
            misfit: Box::new(misfit),
        }
    }

    /// The exit code.
    pub(in crate::cli) fn exit(&self) -> Exit {
        match self {
            StateError::NoUid { .. } | StateError::NoState { .. } | StateError::Key { .. } => {
                Exit::Usage
            }
            StateError::NoValue { .. } => Exit::Failed,
            StateError::Export(error) => error.exit(),
        }
    }
}

/// What was probably meant, and all there is.
fn hint(word: &str, mut known: Vec<String>) -> String {
    known.sort_unstable();
    known.dedup();
    if known.is_empty() {
        return "there is none".to_owned();
    }
    let meant = nearest(word, known.iter().map(String::as_str));
    let meant = meant.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    format!("{meant}there is: {}", known.join(", "))
}
