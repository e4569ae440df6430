//! What a run shows of itself while it runs: on a terminal one block, redrawn in place four times a
//! second; elsewhere a log line every five seconds.
//!
//! Started by the command `run`. Reads [`JobStatus`] only; a terminal that is gone ends the
//! display, never the run.

mod facts;
mod render;
mod screen;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use riverrun_engine::clock::{Clock as _, SystemClock};
use riverrun_engine::console;

pub use facts::{Facts, OperatorFacts, Rates, rates};
pub(crate) use render::aligned;
pub use render::{Size, block, line};
pub use screen::{Above, Screen};

use crate::doors;
use crate::status::JobStatus;

const REDRAW: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Rates are those of the last second.
const RATE_FRAMES: usize = 4;
/// Where a terminal does not say how large it is.
const USUAL: Size = Size { columns: 100, rows: 30 };

/// How a run shows itself.
#[derive(Clone, Debug)]
pub enum Display {
    /// One block at the end of this terminal.
    Block(Screen),
    /// Lines in the log.
    Lines,
}

/// The running display.
#[derive(Debug)]
pub struct Live {
    over: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Live {
    /// Begins to show `status`.
    #[must_use]
    pub fn start(status: Arc<JobStatus>, display: Display) -> Self {
        if let Display::Block(screen) = &display {
            console::show(Some(Arc::new(screen.clone())));
        }
        let (over, ended) = sync_channel(1);
        let thread = doors::spawn_thread("live", move || {
            let mut shown = Shown::new(status, display);
            let every = shown.every();
            loop {
                let go_on = matches!(ended.recv_timeout(every), Err(RecvTimeoutError::Timeout));
                if shown.show(go_on).is_err() || !go_on {
                    return;
                }
            }
        });
        Live { over, thread }
    }

    /// Shows the last state and ends.
    pub fn end(self) {
        // Without a receiver it has ended by itself.
        self.over.send(()).ok();
        drop(self.thread.join());
        // The block stays where it is: what comes now, comes below.
        console::show(None);
    }
}

struct Shown {
    status: Arc<JobStatus>,
    display: Display,
    began: Duration,
    /// At most `RATE_FRAMES`, the oldest first.
    frames: VecDeque<Facts>,
}

impl Shown {
    fn new(status: Arc<JobStatus>, display: Display) -> Self {
        let began = doors::monotonic();
        let first = Facts::of(&status, SystemClock.now(), Duration::ZERO);
        Shown { status, display, began, frames: VecDeque::from([first]) }
    }

    fn every(&self) -> Duration {
        match self.display {
            Display::Block(_) => REDRAW,
            Display::Lines => LINE_EVERY,
        }
    }

    fn show(&mut self, go_on: bool) -> std::io::Result<()> {
        let up = doors::monotonic().saturating_sub(self.began);
        let now = Facts::of(&self.status, SystemClock.now(), up);
        match (&self.display, self.frames.front(), self.frames.back()) {
            (Display::Block(screen), Some(before), _) => {
                screen.draw(&block(before, &now, size()))?;
            }
            // The last line is the command's own: what came of it.
            (Display::Lines, _, Some(before)) if go_on => {
                tracing::info!(job = now.job, "{}", line(before, &now));
            }
            _ => {}
        }
        self.frames.push_back(now);
        while self.frames.len() > RATE_FRAMES {
            self.frames.pop_front();
        }
        Ok(())
    }
}

fn size() -> Size {
    let size = |(columns, rows): (u16, u16)| Size { columns: columns.into(), rows: rows.into() };
    let known = crossterm::terminal::size().map(size).ok();
    known.filter(|size| size.columns > 0 && size.rows > 0).unwrap_or(USUAL)
}
