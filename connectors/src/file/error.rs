//! What can go wrong with files: each error has a code, names the file, and says what to do.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A file that cannot be read or written as the job asks.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system refused.
    #[error("RR0510: cannot {doing} '{path}': {error}{}", hint(error))]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A pattern without files.
    #[error(
        "RR0511: nothing matches '{path}': no such file or folder, or no file fits the pattern; \
         check it from the folder the job is started in ({})",
        here()
    )]
    NoMatch {
        /// The pattern.
        path: String,
    },
    /// A folder without files.
    #[error(
        "RR0512: the folder '{path}' holds no visible file: an input without files is more likely \
         a mistake than no input; name another folder, or put an empty file there"
    )]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Not a pattern.
    #[error("RR0513: '{path}' is not a pattern: {reason}")]
    Pattern {
        /// What was written.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A name that cannot be kept in a checkpoint.
    #[error("RR0514: the name of '{path}' is not UTF-8: rename it, checkpoints name files as text")]
    Name {
        /// The file, as far as it can be shown.
        path: PathBuf,
    },
    /// Settings that contradict.
    #[error("RR0515: {reason}")]
    Setting {
        /// What, and what to write.
        reason: String,
    },
    /// A file that is gone.
    #[error(
        "RR0516: '{path}' has vanished since it was first read{}: put it back as it was, or start \
         the job anew", up_to(*line)
    )]
    Vanished {
        /// The file.
        path: PathBuf,
        /// Where reading stood.
        line: u64,
    },
    /// A file that is shorter than it was.
    #[error(
        "RR0517: '{path}' shrank from {was} to {is} bytes since it was first read{}: files may \
         only grow; put it back as it was, or start the job anew", up_to(*line)
    )]
    Shrank {
        /// The file.
        path: PathBuf,
        /// Its length when it was seen before, in bytes.
        was: u64,
        /// Its length now.
        is: u64,
        /// Where reading stood.
        line: u64,
    },
    /// A file that is another.
    #[error(
        "RR0518: '{path}' is not the file it was: its first {bytes} bytes changed since it was \
         first read{}; put the old one back, or start the job anew", up_to(*line)
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// How many bytes were compared.
        bytes: u64,
        /// Where reading stood.
        line: u64,
    },
    /// A last line that was read as a record and has grown since.
    #[error(
        "RR0519: line {line} of '{path}' was read as the last one, without a line end, and has \
         grown since: its first half became a record already; use `.follow()` for files that grow"
    )]
    LineGrew {
        /// The file.
        path: PathBuf,
        /// The line.
        line: u64,
    },
    /// A record that cannot be read.
    #[error(
        "RR0520: {at}: {reason}; mend the line, or skip such records with `.on_bad(OnBad::Skip)`, \
         or read them as `Parsed` with `.or_bad()` and send them to `.dead_letter(sink)`"
    )]
    Bad {
        /// File and line.
        at: String,
        /// What is wrong.
        reason: String,
    },
    /// Committed output that is not there.
    #[error(
        "RR0521: output is lost: '{visible}' ({bytes} bytes), which checkpoint {checkpoint} \
         promised, is neither there nor waiting as '{hidden}': if it was taken away after it \
         became visible put it back, else restore the folder from a copy"
    )]
    OutputLost {
        /// The promised file.
        visible: PathBuf,
        /// Its hidden name.
        hidden: String,
        /// Its length.
        bytes: u64,
        /// By which checkpoint.
        checkpoint: u64,
    },
    /// A file of that name holds something else.
    #[error(
        "RR0522: '{visible}' exists already and is not the output of checkpoint {checkpoint} \
         ({is} bytes instead of {bytes}, or other content): it is of another run, or was changed; \
         move it away or write to another folder"
    )]
    OutputDiffers {
        /// The file.
        visible: PathBuf,
        /// Its length.
        is: u64,
        /// The promised length.
        bytes: u64,
        /// By which checkpoint.
        checkpoint: u64,
    },
    /// An item that a format cannot hold.
    #[error("RR0523: an item cannot be written as {format}: {reason}; `map` it to one that can")]
    Item {
        /// The format.
        format: &'static str,
        /// Why not.
        reason: String,
    },
}

impl FileError {
    /// The system refused `doing` on `path`.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |error| FileError::Io { doing, path: path.to_owned(), error }
    }
}

fn up_to(line: u64) -> String {
    if line == 0 { String::new() } else { format!(" (up to line {line})") }
}

fn here() -> String {
    super::disk::working_folder()
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; check whose it is and who may use it",
        io::ErrorKind::StorageFull => "; free some space, the job goes on from its checkpoint",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            "; the file is damaged or incomplete, copy it again"
        }
        _ => "",
    }
}
