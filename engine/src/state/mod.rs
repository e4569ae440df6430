//! Keyed state: what an operator declares, holds, snapshots and restores.
//!
//! [`Declare`] makes a [`StateStore`] while the operator opens; handles ([`ValueState`],
//! [`ListState`], [`MapState`]) and built-in operators reach their table by [`Slot`]. Sections hold
//! entries ([`entry`]) by key group, so that any parallelism can restore any other's.
//!
//! Invariants: all states are declared before the first record; a store is only touched by its own
//! subtask; a snapshot is taken between two calls of the operator.

mod codec;
mod declare;
pub mod entry;
pub mod filter;
mod handle;
mod map;
mod slices;
pub mod spill;
mod store;
mod table;

pub use codec::{TypeShape, ValueCodec};
pub use declare::{Declare, StateKind, StateSpec};
pub use handle::{Keyed, ListState, Scope, ValueState};
pub use map::{MapEntries, MapState};
pub use slices::SliceTable;
pub use store::{Slot, StateStore};
pub use table::Table;
