//! The door through which other processes and signals give orders to a run: `savepoint`, `stop`,
//! SIGTERM, SIGINT.
//!
//! The command line opens it ([`serve`]) before the run, passes the run its inner side
//! ([`Control`]), and calls it from elsewhere ([`call`]). One line of JSON each way, on a port of
//! the loopback interface alone, with a token that only who may read the checkpoint folder knows:
//!
//! ```text
//! > {"token":"3f..","command":"savepoint"}        or {"stop":{"savepoint":true}}
//! < {"ok":true,"checkpoint":42}                   or {"ok":false,"error":".."}
//! ```
//!
//! Invariants: an order is answered once it was carried out, or refused; nothing is carried out
//! without the token; whoever calls cannot hold up the run.

mod call;
mod serve;
mod signals;
#[cfg(test)]
mod tests;

use riverrun_engine::checkpoint::CheckpointId;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use call::{ControlError, call};
pub use serve::{Door, serve};
pub use signals::Signals;

/// An order to a run.
#[derive(Debug)]
pub struct Command {
    /// What to do.
    pub kind: CommandKind,
    /// To be told when it is done: the checkpoint it made, or why there is none.
    pub reply: oneshot::Sender<Result<CheckpointId, String>>,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Take a savepoint and go on.
    Savepoint,
    /// Take a last checkpoint, commit it and end.
    Stop {
        /// Whether the last checkpoint is a savepoint.
        savepoint: bool,
    },
}

/// Where a run takes orders: published beside the lock of its checkpoints.
#[derive(Clone, PartialEq, Eq)]
pub struct ControlAddress {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// What proves the right to give orders.
    pub token: String,
}

impl std::fmt::Debug for ControlAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlAddress({})", self.port)
    }
}

/// The run's side of the door.
#[derive(Debug)]
pub struct Control {
    /// To be published.
    pub address: ControlAddress,
    /// The orders, in turn.
    pub commands: mpsc::Receiver<Command>,
}

impl Control {
    /// A door without an outer side: nobody gives orders.
    #[must_use]
    pub fn detached() -> Self {
        Control::by_hand().0
    }

    /// A door whose orders come from this process.
    #[must_use]
    pub fn by_hand() -> (Self, mpsc::Sender<Command>) {
        let (orders, commands) = mpsc::channel(4);
        let address = ControlAddress { port: 0, token: String::new() };
        (Control { address, commands }, orders)
    }
}

#[derive(Serialize, Deserialize)]
struct Request {
    token: String,
    command: CommandKind,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<CheckpointId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}
