//! What a drill needs of sources and sinks: input that stands still, and scratch output that lies
//! in no folder.
//!
//! [`Slicing`] and [`Stage`] are used by the command `drill` of a job; [`Scratch`] is what it tells
//! the runs it starts. Invariant: nothing here writes where a job's output belongs, or shows
//! offsets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::graph::Uid;
use crate::operator::Result;

/// What the name of every rehearsed run begins with, and so all that such runs make outside.
pub const RUN_PREFIX: &str = "riverrun-drill-";

/// Where a rehearsed run writes, and what it reads. Its job's name is one that no other has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// The folder below which sinks write in place of where their output belongs.
    pub folder: PathBuf,
    /// What is read of sources whose input may move, by their uids: as [`Slicing::fix`] said.
    pub slices: BTreeMap<Uid, String>,
}

/// What the runs of a drill read of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// For the source itself.
    pub text: String,
    /// At most how many records it has.
    pub records: u64,
    /// For people: `orders/0 from 10 to 300`.
    pub told: String,
}

/// Fixes what the runs of a drill read of a source whose input may move. Blocks.
pub trait Slicing: Send {
    /// Looks at what there is now, and takes about `records_max` records of it.
    ///
    /// # Errors
    /// Input that is not there, or when nobody answers.
    fn fix(&mut self, records_max: u64) -> Result<Slice>;
}

/// In which order records were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// In the order they are shown in.
    Shown,
    /// Those with this text in the order they are shown in.
    Within(String),
    /// In none that can be told.
    None,
}

/// A record of scratch output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What else of it a run decides: its key, its headers.
    pub about: String,
    /// Its value, as text.
    pub value: String,
    /// Its place among the others.
    pub order: Order,
}

/// The scratch output of one sink, in one life of a job: topics, say. Blocks.
pub trait Stage: Send {
    /// Makes what the runs of the life write to, shaped as what it stands for.
    ///
    /// # Errors
    /// When what it stands for is not there, or nobody answers.
    fn make(&mut self) -> Result<()>;

    /// How many records are visible by now. Hardly waits.
    ///
    /// # Errors
    /// When it cannot be read any more.
    fn visible(&mut self) -> Result<u64>;

    /// The same, once all is seen that is visible at the time of the call. Waits a moment; what is
    /// not told by then does not count.
    ///
    /// # Errors
    /// As of [`Stage::visible`].
    fn settled(&mut self) -> Result<u64>;

    /// All records, once no run writes any more.
    ///
    /// # Errors
    /// Output that is still open; when nobody answers.
    fn read(&mut self) -> Result<Vec<Shown>>;

    /// Removes all of it, however far it was made.
    ///
    /// # Errors
    /// What is left, and why.
    fn remove(&mut self) -> Result<()>;
}
