//! SIGTERM and SIGINT: the first asks for a stop, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::{Command, CommandKind};
use crate::cli::Exit;

/// Whether the door listens to signals too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// A run of its own.
    Heard,
    /// Part of another program, which has its own way with them.
    Ignored,
}

pub(super) struct Watched {
    terminate: Signal,
    interrupt: Signal,
    stopping: bool,
}

impl Watched {
    /// Takes the signals over; within a runtime only.
    pub(super) fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Watched { terminate, interrupt, stopping: false })
    }

    /// Waits for one. Cancel-safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Acts on one.
    pub(super) fn act(&mut self, commands: &mpsc::Sender<Command>) {
        if self.stopping {
            tracing::warn!("a second signal: ending at once, without a last checkpoint");
            std::process::exit(i32::from(Exit::Aborted.code()));
        }
        self.stopping = true;
        tracing::info!("stopping with a last checkpoint; a second signal ends at once");
        // Nobody waits for this answer: the run's own end is one.
        let (reply, _) = oneshot::channel();
        if commands
            .try_send(Command { kind: CommandKind::Stop { savepoint: false }, reply })
            .is_err()
        {
            tracing::warn!("too many orders are waiting already; a second signal ends at once");
        }
    }
}
