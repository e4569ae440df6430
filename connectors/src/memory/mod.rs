//! Sources and sinks in the memory of the process: for tests, with the same promises as real ones.
//!
//! ```
//! use riverrun_connectors::memory::{MemoryOutput, MemorySource};
//! let source = MemorySource::new(vec![vec![1, 2, 3], vec![4]]); // two splits
//! let output = MemoryOutput::<i32>::new();
//! // job.source("numbers", source).sink("out", output.sink()); and after the run:
//! assert!(output.items().is_empty());
//! # drop(source);
//! ```

mod sink;
mod source;

pub use sink::{MemoryOutput, MemoryPart, MemoryParticipant, MemorySink, MemoryWriter};
pub use source::{MemoryInput, MemoryReader, MemorySource, MemorySplit};
