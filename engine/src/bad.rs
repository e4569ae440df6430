//! Records that could not be read, as values: a source that is told to hand them on instead of
//! failing reads [`Parsed`] items, and the job decides where the [`BadRecord`]s go.
//!
//! Made by sources (`Files::json_lines_or_bad`, `.or_bad()` of Kafka), taken apart by
//! `.dead_letter(sink)`. Because bad records travel like good ones, they are part of the same
//! checkpoint and appear exactly once.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What becomes of records that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBad {
    /// The attempt ends with an error that names place and reason.
    #[default]
    Fail,
    /// They are passed over and counted (`skipped`).
    Skip,
}

/// What became of one record of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parsed<T> {
    /// It could be read.
    Good(T),
    /// It could not.
    Bad(BadRecord),
}

impl<T> Parsed<T> {
    /// The item, if it could be read.
    #[must_use]
    pub fn good(self) -> Option<T> {
        match self {
            Parsed::Good(item) => Some(item),
            Parsed::Bad(_) => None,
        }
    }
}

/// A record that could not be read: where it stands, why, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BadRecord {
    /// The split's id: a file; a topic and its partition.
    pub split: String,
    /// Where in the split: a file's line, from 1; a partition's offset.
    pub position: u64,
    /// Why it could not be read.
    pub reason: String,
    /// The record; bytes that are no UTF-8 are replaced, and a record beyond the source's limit is
    /// cut to its first kilobyte.
    pub text: String,
    /// The record as it is, where `text` is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Vec<u8>>,
}

impl BadRecord {
    /// What the record says, byte for byte where the source keeps that.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.split, self.position, self.reason)
    }
}
