//! Files: JSON lines, CSV and raw lines, read and written exactly once.
//!
//! A path is a file, a folder (its visible files, not those of subfolders) or a glob
//! (`logs/*.jsonl.gz`); `.gz` and `.zst` are unpacked. A checkpoint keeps the byte after the last
//! record, the line and what the file looked like: a file that shrank, vanished or was replaced is
//! an error, never read on from somewhere else. Packed files are resumed by unpacking them again up
//! to the place.
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! use riverrun_connectors::file::{Files, OnBad};
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Reading { sensor: String, value: f64 }
//! let readings = Files::json_lines::<Reading>("readings/*.jsonl").on_bad(OnBad::Skip);
//! let alerts = Files::write_csv("alerts").roll_bytes(64 << 20);
//! # drop((readings, alerts));
//! ```

mod chunk;
mod csv;
mod cursor;
mod disk;
mod error;
mod format;
mod input;
pub mod lent;
mod list;
mod part;
mod participant;
mod reader;
mod sink;
mod source;
mod split;
#[cfg(test)]
mod tests;

use std::path::Path;

use riverrun_engine::bad::Parsed;
use riverrun_engine::data::Data;

pub use self::csv::{Csv, CsvDecoder};
pub use error::FileError;
pub use format::{Decode, Decoded, Encode, Format, JsonLines, OrBad, OrBadDecoder, RawLines};
pub use part::{FilePart, PartFile};
pub use participant::FileParticipant;
pub use reader::FileReader;
pub use riverrun_engine::bad::OnBad;
pub use sink::{FileSink, FileWriter};
pub use source::FileSource;
pub use split::{FileOffset, FileSplit};

/// Sources and sinks of files.
#[derive(Clone, Copy, Debug)]
pub struct Files;

impl Files {
    /// Reads one JSON value a line.
    pub fn json_lines<T: Data>(path: impl AsRef<Path>) -> FileSource<T, JsonLines> {
        Files::read(path, JsonLines)
    }

    /// Reads one JSON value a line; what cannot be read is an item too, for `.dead_letter(sink)`.
    pub fn json_lines_or_bad<T: Data>(
        path: impl AsRef<Path>,
    ) -> FileSource<Parsed<T>, OrBad<JsonLines>> {
        Files::json_lines(path).or_bad()
    }

    /// Reads CSV with a header row that names the fields of `T`.
    pub fn csv<T: Data>(path: impl AsRef<Path>) -> FileSource<T, Csv> {
        Files::read(path, Csv)
    }

    /// Reads each line as it is: strict UTF-8, empty lines too.
    pub fn lines(path: impl AsRef<Path>) -> FileSource<String, RawLines> {
        Files::read(path, RawLines)
    }

    /// Reads a format of your own.
    pub fn read<T: Data, F: Format<T>>(path: impl AsRef<Path>, format: F) -> FileSource<T, F> {
        FileSource::new(path.as_ref().to_owned(), format)
    }

    /// Writes one JSON value a line into files in `folder`.
    pub fn write_json_lines(folder: impl AsRef<Path>) -> FileSink<JsonLines> {
        Files::write(folder, JsonLines)
    }

    /// Writes CSV into files in `folder`, each with a header row of the items' field names.
    pub fn write_csv(folder: impl AsRef<Path>) -> FileSink<Csv> {
        Files::write(folder, Csv)
    }

    /// Writes a format of your own.
    pub fn write<F>(folder: impl AsRef<Path>, format: F) -> FileSink<F> {
        FileSink::new(folder.as_ref().to_owned(), format)
    }
}
