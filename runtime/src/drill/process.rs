//! The door to signals: how a run dies or stands still by its own hand, and how the drill lets it
//! go on.

#[cfg(unix)]
pub(super) use with_signals::*;
#[cfg(not(unix))]
pub(super) use without_signals::*;

#[cfg(unix)]
mod with_signals {
    use std::process::Child;

    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};

    /// Kills this process as `kill -9` does: nothing of it runs any more.
    pub(crate) fn kill_this() {
        // Nobody is left to see that it did not.
        let _gone = kill_process(getpid(), Signal::KILL);
    }

    /// Stops this process until somebody lets it go on.
    pub(crate) fn stop_this() {
        let _went_on = kill_process(getpid(), Signal::STOP);
    }

    fn pid(child: &Child) -> Option<Pid> {
        i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    }

    /// Lets a stopped child go on.
    pub(crate) fn go_on(child: &Child) {
        if let Some(pid) = pid(child) {
            // It may have been killed meanwhile.
            let _gone = kill_process(pid, Signal::CONT);
        }
    }

    /// Whether a child stands still.
    pub(crate) fn is_stopped(child: &Child) -> bool {
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = pid(child).map(|pid| waitid(WaitId::Pid(pid), look));
        matches!(seen, Some(Ok(Some(status))) if status.stopped())
    }

    /// Whether it was killed by a signal that no process survives.
    pub(crate) fn was_killed(status: std::process::ExitStatus) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        status.signal() == Some(Signal::KILL.as_raw())
    }
}

#[cfg(not(unix))]
mod without_signals {
    use std::process::{Child, ExitStatus};

    /// What a process that killed itself says here.
    const KILLED: i32 = 137;

    /// Ends this process; nothing of it runs any more.
    pub(crate) fn kill_this() {
        std::process::exit(KILLED);
    }

    /// No process stands still here.
    pub(crate) fn stop_this() {}

    /// Nothing to do.
    pub(crate) fn go_on(_child: &Child) {}

    /// No process stands still here.
    pub(crate) fn is_stopped(_child: &Child) -> bool {
        false
    }

    /// Whether it was killed, by itself or by the drill.
    pub(crate) fn was_killed(status: ExitStatus) -> bool {
        matches!(status.code(), Some(KILLED | 1))
    }
}
