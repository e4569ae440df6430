//! How the commands speak: every line of theirs begins with the time since the start, so that it
//! stands out from what cargo and the jobs print. Nothing goes to standard output but results:
//! `cargo xtask bench --json` is read by programs.

use std::time::{Duration, Instant};

/// What a command says of its progress.
pub struct Progress {
    start: Instant,
}

impl Progress {
    /// Starts the clock.
    pub fn start() -> Self {
        Progress { start: Instant::now() }
    }

    /// Says `what` is going on.
    pub fn say(&self, what: &str) {
        eprintln!("[{:>6.1} s] {what}", self.start.elapsed().as_secs_f64());
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A duration as a person says it: `820 ms`, `3.4 s`, `2 min 05 s`.
pub fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[test]
fn durations_are_spoken() {
    assert_eq!(spoken(Duration::from_millis(820)), "820 ms");
    assert_eq!(spoken(Duration::from_millis(3_400)), "3.4 s");
    assert_eq!(spoken(Duration::from_secs(125)), "2 min 05 s");
}
