//! Keys and values without the user's types: what lies in a checkpoint as JSON, and keys given as
//! text as the bytes they are stored under.
//!
//! Called by the command line (`state`, `checkpoint inspect`), which works on any checkpoint
//! without the job's graph: all it needs of a type is the [`Shape`] that the manifest keeps.
//! [`layout`] is the one place that knows what the parts of a row mean.
//!
//! Invariants: integers are exact to 64 bits, wider ones are text; a float that JSON does not have
//! is text (`NaN`, `inf`, `-inf`); what cannot be decoded is shown as hex (`0x..`) with a note, and
//! never guessed at. Otherwise a key looks as `serde_json` writes it.

mod hex;
mod key;
mod layout;
mod rmp;
mod shape;
mod text;

#[cfg(test)]
mod key_tests;

use thiserror::Error;

pub use hex::{from_hex, hex};
pub use layout::{Layout, Place, ShownRow, Within};
pub use shape::{Node, Scalar, Shape};

/// Bytes that are not what their type says.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Undecodable {
    /// The bytes end within a value.
    #[error("the bytes end within {what}")]
    Cut {
        /// Which value.
        what: &'static str,
    },
    /// A byte that cannot stand there.
    #[error("{found} is no {what}")]
    Wrong {
        /// What should stand there.
        what: &'static str,
        /// What does.
        found: u64,
    },
    /// Bytes behind the value.
    #[error("{bytes} bytes follow the value")]
    Longer {
        /// How many.
        bytes: usize,
    },
    /// Text that is none.
    #[error("text that is not UTF-8")]
    Text,
    /// Values within values within values.
    #[error("nested more than {} times", shape::DEPTH_MAX)]
    Deep,
    /// A type that keys cannot hold, or that the manifest does not say.
    #[error("a type without an encoding: {name}")]
    Type {
        /// Its name.
        name: String,
    },
    /// No MessagePack.
    #[error("no MessagePack: {reason}")]
    MessagePack {
        /// What its reader says.
        reason: String,
    },
}

/// A value that does not fit a type.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}expected {expected}, found {found}", place(at))]
pub struct Misfit {
    /// Where in the value, as in `.user[1]`; empty for the value itself.
    pub at: String,
    /// What should be there.
    pub expected: String,
    /// What is there, as JSON.
    pub found: String,
}

fn place(at: &str) -> String {
    if at.is_empty() { String::new() } else { format!("at `{at}` ") }
}
