//! Keyed state: what an operator declares, holds, snapshots and restores.
//!
//! [`Declare`] makes a [`StateStore`] while the operator opens; handles ([`ValueState`],
//! [`ListState`], [`MapState`]) and built-in operators reach their table by [`Slot`]. Sections hold
//! entries ([`entry`]) by key group, so that any parallelism can restore any other's.
//!
//! Invariants: all states are declared before the first record; a store is only touched by its own
//! subtask; a snapshot is cut between two calls of the operator and written between later ones.

mod any;
mod codec;
mod cold;
mod cut;
mod declare;
mod each;
pub mod entry;
mod evict;
mod fetch;
pub mod filter;
mod handle;
mod layout;
mod leave;
mod list;
mod log;
mod map;
mod memory;
mod parts;
mod portions;
mod segment;
mod slice;
mod slices;
pub mod spill;
mod store;
pub mod stored;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod ttl;
mod warm;

pub(crate) use codec::Bytes;
pub use codec::{TypeShape, ValueCodec};
pub(crate) use cut::Budget;
pub use declare::{Declare, Ending, StateKind, StateSpec};
pub use each::KeyedItems;
pub use handle::{Keyed, Scope, ValueState};
pub(crate) use layout::{Layout, RowKey, Rows, encoded};
pub use list::ListState;
pub(crate) use log::RowSink;
pub use map::MapState;
pub use memory::ResidentMemory;
pub use slice::Slice;
pub use slices::SliceTable;
pub(crate) use slices::{moment_of, namespace_of};
pub use store::{Slot, StateStore};
pub use table::Table;
pub use ttl::Ttl;
