//! Spilled state in RocksDB: one database for a process, in a scratch folder, thrown away with the
//! attempt. The one folder that names the crate.
//!
//! [`spill_door`] claims the folder ([`scratch`]); each state of a subtask gets a range of keys
//! ([`spill`]); the first row that is spilled opens the database ([`database`]), set up for that
//! purpose ([`options`]).
//!
//! Invariants: no log, no sync, no flush at barriers; indexes, filters and write buffers share one
//! budget, and say so where it does not suffice; a range belongs to one subtask, so its rows need
//! no lock and no transaction.

mod database;
mod options;
mod scratch;
mod spill;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use riverrun_engine::graph::Uid;
use riverrun_engine::state::spill::{Spill, SpillDoor, SpillError};

use self::database::Database;
use self::scratch::Scratch;
use self::spill::RocksSpill;
use super::{SpillPlace, Spilling};

/// This build has room beside memory.
pub const SPILLING: Spilling = Spilling::Present;

/// Opens the room for state that does not fit into memory, and removes what killed runs of the job
/// left there. The folder goes when the door and all that was opened through it are dropped. The
/// attempt's name must never have been used before.
///
/// # Errors
/// When the folder cannot be made or locked.
pub fn spill_door(place: &SpillPlace) -> Result<Option<Arc<dyn SpillDoor>>, SpillError> {
    Ok(Some(Arc::new(RocksDoor::open(place)?)))
}

/// Opens ranges of one database.
struct RocksDoor {
    database: Arc<Database>,
}

impl RocksDoor {
    fn open(place: &SpillPlace) -> Result<RocksDoor, SpillError> {
        let scratch = Scratch::claim(&place.dir, &place.job, &place.attempt);
        let scratch = scratch.map_err(|error| SpillError::Io {
            folder: place.dir.display().to_string(),
            doing: "making a folder in it",
            reason: error.to_string(),
        })?;
        Ok(RocksDoor { database: Arc::new(Database::in_folder(scratch, place)?) })
    }
}

impl SpillDoor for RocksDoor {
    fn open(&self, _: &Uid, _: u32, _: &str) -> Result<Box<dyn Spill>, SpillError> {
        Ok(Box::new(RocksSpill::new(Arc::clone(&self.database))))
    }

    fn excess_bytes(&self) -> u64 {
        self.database.excess_bytes()
    }
}
