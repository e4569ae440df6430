//! `state export` in a job that was built without the feature `export`.

use thiserror::Error;

use crate::cli::args::ExportArgs;
use crate::cli::error::CliError;
use crate::cli::{Exit, state::StateError};

/// An export that failed.
#[derive(Debug, Error)]
pub(in crate::cli) enum ExportError {
    /// Built without the feature.
    #[error(
        "RR0605: this job is built without `state export`: build it with the feature `export` of \
         riverrun (`riverrun = {{ .., features = [\"export\"] }}`)"
    )]
    NotBuilt,
}

impl ExportError {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            ExportError::NotBuilt => Exit::Usage,
        }
    }
}

/// Says how to get it.
pub(super) async fn export(_path: &str, _args: &ExportArgs) -> Result<(), CliError> {
    Err(StateError::from(ExportError::NotBuilt).into())
}
