//! The language of Riverrun: jobs, streams and every operator.
//!
//! A pipeline is a function that writes steps into a [`Job`]: sources make [`Stream`]s, closures
//! change their items, `key_by` makes [`KeyedStream`]s, on which there is state: `reduce`, `scan`,
//! windows, and [`ProcessFunction`]s of your own. Nothing runs here: the result is the engine's
//! graph, read by the runtime. Each operator is one file, with its method, its operator and its
//! tests.
//!
//! What owns state takes its uid as first argument: the permanent name under which checkpoints keep
//! the state. A step is written at the user's line (`#[track_caller]`), which every error names.

mod co_process;
mod context;
mod dead_letter;
mod event_time;
mod exchange;
mod job;
mod keyed;
mod map;
mod process;
mod reduce;
mod scan;
mod side_output;
mod sink;
mod stream;
pub mod testing;
mod transform;
mod window;
mod windowed;

#[cfg(test)]
mod sketch;

pub use co_process::{CoProcessFunction, Connected, ConnectedStreams, Either};
pub use context::Context;
pub use job::Job;
pub use keyed::KeyedStream;
pub use process::ProcessFunction;
pub use sink::Placed;
pub use stream::Stream;
pub use window::{
    Aggregate, Count, FoldableAssigner, Session, Sliding, SlidingEvery, Tumbling, WindowAssigner,
    Windowed,
};
pub use windowed::WindowedStream;
