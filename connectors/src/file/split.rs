//! What is read, how far, and whether it is still the same file.
//!
//! Invariants: a split's id never changes; the ranges of a file are cut at fixed multiples of a
//! size, so that a file that grew has the old ranges and more; an offset carries what is needed to
//! notice that its file shrank or was replaced.

use std::fmt;
use std::path::Path;

use riverrun_engine::source::Split;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::disk::{self, File};
use super::error::FileError;

/// How many bytes at the beginning of a file tell it from others.
const HEAD_BYTES: u64 = 4096;

/// A file, or the lines that start within a range of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    /// The file, as it was found.
    pub path: String,
    /// The first byte of the range.
    pub start: u64,
    /// The length of the range in bytes; `None`: to the end of the file.
    pub size: Option<u64>,
}

impl FileSplit {
    /// One past the last byte at which a line of this split may start.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.size.map(|size| self.start.saturating_add(size))
    }
}

impl Split for FileSplit {
    fn id(&self) -> String {
        match self.size {
            None => self.path.clone(),
            Some(size) => format!("{}@{}+{size}", self.path, self.start),
        }
    }
}

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Bytes before it: of the file, or of its decompressed content.
    pub(super) bytes: u64,
    /// Lines before it: of the file, or of the range.
    pub(super) line: u64,
}

/// What a file looked like when it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Its length in bytes: it may only grow.
    length: u64,
    /// How many bytes of its beginning are in `head`.
    head_bytes: u64,
    /// Their xxh3.
    head: u64,
}

/// A place in a file, and what the file looked like.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileOffset {
    pub(super) place: Place,
    pub(super) seen: Seen,
}

impl fmt::Debug for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FileOffset { place, seen } = self;
        write!(f, "line {}, byte {} (file of {} bytes)", place.line, place.bytes, seen.length)
    }
}

fn head(file: &mut File, path: &Path, bytes: u64) -> Result<u64, FileError> {
    let mut buffer = vec![0; bytes as usize];
    disk::read_at(file, path, 0, &mut buffer)?;
    Ok(xxh3_64(&buffer))
}

impl Seen {
    /// The file's length when it was looked at.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Opens the file at `path`, having made sure that it is the one seen `before`; with how it
    /// looks now. `line` is where reading stands, for errors.
    pub(super) fn open(
        before: Option<Seen>,
        path: &Path,
        line: u64,
    ) -> Result<(File, Seen), FileError> {
        let Some((mut file, length)) = disk::open(path)? else {
            return Err(match before {
                Some(_) => FileError::Vanished { path: path.to_owned(), line },
                None => FileError::NoMatch { path: path.display().to_string() },
            });
        };
        if let Some(Seen { length: was, head_bytes: bytes, head: expected }) = before {
            if length < was {
                return Err(FileError::Shrank { path: path.to_owned(), was, is: length, line });
            }
            if head(&mut file, path, bytes)? != expected {
                return Err(FileError::Replaced { path: path.to_owned(), bytes, line });
            }
        }
        let head_bytes = length.min(HEAD_BYTES);
        let head = head(&mut file, path, head_bytes)?;
        Ok((file, Seen { length, head_bytes, head }))
    }
}
