//! The one folder with `Any`: typed batches, operators, sources and sinks become boxed ones here,
//! and typed again. The price is one virtual call and one downcast a batch, not a record.

mod batch;
mod operator;
mod sink;
mod source;

pub use batch::AnyBatch;
pub use operator::{ErasedOperator, OperatorEnv, open_operator};
pub use sink::{ErasedSink, ErasedWriter, PrepareFuture, erase_sink};
pub use source::{ErasedReader, ErasedSource, ErasedSplit, Fetched, erase_source};
