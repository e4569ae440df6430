//! What can go wrong with an export: RR0606 to RR0610.

use std::io;

use riverrun_engine::graph::Uid;
use thiserror::Error;

use crate::cli::Exit;

/// An export that failed.
#[derive(Debug, Error)]
pub(in crate::cli) enum ExportError {
    /// A file of an unknown kind.
    #[error("RR0606: '{file}' says no format: let its name end in `.parquet` or `.arrow`")]
    Format {
        /// As given.
        file: String,
    },
    /// A file that is there.
    #[error("RR0607: '{file}' is there already; name another, or replace it with `--force`")]
    Exists {
        /// As given.
        file: String,
    },
    /// A file that cannot be written.
    #[error("RR0608: '{file}' cannot be written: {source}; it is as it was before")]
    File {
        /// As given.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A value that is not of the type its checkpoint names.
    #[error(
        "RR0609: in {uid}/{state} the row of key {key} has in '{column}' {found}, which is not of \
         the column's type; `state scan --json` shows rows as they are"
    )]
    Column {
        /// The operator.
        uid: Uid,
        /// The state.
        state: String,
        /// The key, shown.
        key: String,
        /// The column.
        column: String,
        /// The value, shown.
        found: String,
    },
    /// A table that its format's writer refuses.
    #[error("RR0610: '{file}' cannot be written as a table: {reason}; it is as it was before")]
    Table {
        /// As given.
        file: String,
        /// What the writer says.
        reason: String,
    },
}

impl ExportError {
    /// The exit code.
    pub(in crate::cli::state) fn exit(&self) -> Exit {
        match self {
            ExportError::Format { .. } | ExportError::Exists { .. } => Exit::Usage,
            ExportError::File { .. } | ExportError::Column { .. } => Exit::Failed,
            ExportError::Table { .. } => Exit::Failed,
        }
    }
}
