//! Whether the user wants the drill to end: SIGINT and SIGTERM are told to a flag, which everything
//! that waits looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::DrillError;
use crate::doors;

/// Set by the first signal; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Hears signals from now on.
    pub(super) fn listen() -> Self {
        let interrupt = Interrupt::default();
        let heard = interrupt.clone();
        // Lives as long as the process: there is nothing to join.
        drop(doors::spawn_thread("signals", move || {
            doors::wait_for(signalled());
            heard.0.store(true, Ordering::Release);
        }));
        interrupt
    }

    /// # Errors
    /// [`DrillError::Interrupted`] once a signal came.
    pub(super) fn check(&self) -> Result<(), DrillError> {
        match self.0.load(Ordering::Acquire) {
            true => Err(DrillError::Interrupted),
            false => Ok(()),
        }
    }
}

#[cfg(unix)]
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return interrupted().await };
    tokio::select! {
        _ = term.recv() => {}
        () = interrupted() => {}
    }
}

#[cfg(not(unix))]
async fn signalled() {
    interrupted().await;
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // No signal can be heard: then none ends the drill but the one that kills it.
        std::future::pending::<()>().await;
    }
}
