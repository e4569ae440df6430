//! In place of RocksDB where the feature `rocksdb` is off: there is no room but memory.

use std::sync::Arc;

use riverrun_engine::state::spill::{SpillDoor, SpillError};

use super::{SpillPlace, Spilling};

/// This build keeps all state in memory.
pub const SPILLING: Spilling = Spilling::Absent;

/// No door: state must fit its memory.
///
/// # Errors
/// None; with RocksDB there are some.
pub fn spill_door(_place: &SpillPlace) -> Result<Option<Arc<dyn SpillDoor>>, SpillError> {
    Ok(None)
}
