//! Processes that were started here: waiting for their end with a limit, signals by id, and the
//! tail of what they wrote.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

/// How often a wait looks.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a process may take until it stands still.
const STILL_LIMIT: Duration = Duration::from_secs(10);

/// How much of a log an error shows, in bytes.
const TAIL: u64 = 4_096;

/// A moment by which something must have happened.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// `limit` from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Deadline { at: Instant::now() + limit, limit }
    }

    /// Waits a moment before the next look; an error naming `what` was waited for, once it is past.
    pub(crate) fn wait(&self, what: &str) -> Result<()> {
        self.check(what)?;
        std::thread::sleep(LOOK_EVERY);
        Ok(())
    }

    /// The same error, without waiting.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        if Instant::now() >= self.at {
            bail!("waited {} s in vain for {what}", self.limit.as_secs());
        }
        Ok(())
    }
}

/// How `child` ended. It is killed when it has not after `limit`.
pub(crate) fn end_of(child: &mut Child, limit: Duration, what: &str) -> Result<ExitStatus> {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(status) = child.try_wait().with_context(|| format!("{what} is lost"))? {
            return Ok(status);
        }
        if let Err(late) = deadline.wait(&format!("{what} to end")) {
            kill(child);
            return Err(late);
        }
    }
}

/// Kills `child` and takes its exit; it may have ended before.
pub(crate) fn kill(child: &mut Child) {
    // Both fail only for a process that has been waited for: then there is nothing left to do.
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends `signal` to a process that was started here and has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.with_context(|| format!("{pid} is no process id"))?;
    rustix::process::kill_process(raw, signal)
        .with_context(|| format!("cannot send {signal:?} to process {pid}"))
}

/// Waits until a child of this process has stopped in all its threads: a signal takes effect in
/// its own time.
pub(crate) fn stopped(pid: u32) -> Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let raw = raw.with_context(|| format!("{pid} is no process id"))?;
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    let deadline = Deadline::after(STILL_LIMIT);
    while rustix::process::waitid(WaitId::Pid(raw), options)?.is_none() {
        deadline.wait(&format!("process {pid} to stand still"))?;
    }
    Ok(())
}

/// The last lines of the file `path`, not before the byte `from`; empty when there are none.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL).max(from).min(length)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_that_does_not_end_is_killed_and_named() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let late = end_of(&mut child, Duration::from_millis(100), "the sleeper").unwrap_err();
        assert!(late.to_string().contains("the sleeper to end"), "{late}");
        assert!(child.try_wait().unwrap().is_some());
    }

    #[test]
    fn a_tail_begins_where_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "old\nnew\n").unwrap();
        assert_eq!(tail(&path, 4), "new\n");
        assert_eq!(tail(&path, 400), "");
        std::fs::write(&path, "x".repeat(10_000)).unwrap();
        assert_eq!(tail(&path, 0).len(), 4_096);
    }
}
