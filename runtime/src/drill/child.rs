//! Runs of this binary as processes: started, watched, killed.
//!
//! Called by [`super::oracle`] and [`super::life`]. Invariants: a child never outlives its
//! [`Running`]; it writes nowhere but below the scratch folder it was given.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::error::DrillError;
use super::interrupt::Interrupt;
use super::site::Site;
use super::{arm, disk, process};
use crate::config::Flags;
use crate::doors;

/// How often a run is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(2);

/// What the last lines of a failed run are cut to.
const SAID_LINES: usize = 8;

/// How to start runs of this binary.
#[derive(Clone, Debug)]
pub(super) struct Program {
    exe: PathBuf,
    arguments: Vec<OsString>,
}

/// How one run is started.
#[derive(Clone, Debug, Default)]
pub(super) struct Start<'a> {
    /// Below which folder of the life its checkpoints lie; the usual one, if empty.
    pub(super) checkpoints: &'a str,
    pub(super) parallelism: u32,
    /// How long its sources rest after each batch.
    pub(super) pace: Duration,
    /// `RIVERRUN_CRASH`.
    pub(super) crash: String,
    /// Where it tells how often it came by each point.
    pub(super) tally: Option<&'a Path>,
    /// Whether it makes no planted mistakes: what it writes is what must come.
    pub(super) honest: bool,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Killed, by itself or by the drill.
    Killed,
    /// Well.
    Well,
    /// With this code, having said this.
    Badly { code: Option<i32>, said: String },
    /// Not within its time.
    Hung { after: Duration },
}

/// A run under way.
pub(super) struct Running {
    child: Child,
    said: PathBuf,
    pub(super) began: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill, only to collect.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Program {
    /// This binary with the user's flags, and checkpoints every `interval`.
    pub(super) fn this(flags: &Flags, interval: Duration) -> Result<Self, DrillError> {
        let exe = std::env::current_exe().map_err(DrillError::Process)?;
        let mut arguments: Vec<OsString> = Vec::new();
        if let Some(config) = &flags.config {
            arguments.extend(["--config".into(), config.into()]);
        }
        for setting in &flags.settings {
            arguments.extend(["--set".into(), setting.into()]);
        }
        // The engine's own rules say which of two values holds: the later one.
        for conf in &flags.conf {
            arguments.extend(["--conf".into(), conf.into()]);
        }
        let own = [
            format!("checkpoint.interval={}ms", interval.as_millis()),
            "restart.backoff=10ms".to_owned(),
        ];
        arguments.extend(own.into_iter().flat_map(|conf| ["--conf".into(), conf.into()]));
        Ok(Program { exe, arguments })
    }

    /// Its path, to be shown.
    pub(super) fn exe(&self) -> &Path {
        &self.exe
    }

    /// Starts a run on `site`, where all it writes goes; `number` tells its words from others'.
    pub(super) fn start(
        &self,
        site: &Site,
        number: usize,
        start: &Start<'_>,
    ) -> Result<Running, DrillError> {
        let said = site.folder().join(format!("run-{number}.log"));
        let log = disk::create(&said)?;
        let mut command = Command::new(&self.exe);
        command.arg("run").args(&self.arguments);
        command.args(["--parallelism", &start.parallelism.to_string(), "--live", "never"]);
        command.arg("--scratch").arg(site.folder()).args(["--alias", site.job()]);
        if !start.checkpoints.is_empty() {
            command.args(["--checkpoints", start.checkpoints]);
        }
        command.args(["--pace", &format!("{}ms", start.pace.as_millis())]);
        command.env_remove(arm::CRASH).env_remove(arm::TALLY);
        if start.honest {
            command.env_remove(arm::PLANTED);
        }
        if !start.crash.is_empty() {
            command.env(arm::CRASH, &start.crash);
        }
        if let Some(tally) = start.tally {
            command.env(arm::TALLY, tally);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::from(log));
        let began = doors::monotonic();
        let child = command.spawn().map_err(DrillError::Process)?;
        Ok(Running { child, said, began })
    }
}

impl Running {
    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Result<Option<Ended>, DrillError> {
        let status = self.child.try_wait().map_err(DrillError::Process)?;
        status.map(|status| self.judged(status)).transpose()
    }

    fn judged(&self, status: ExitStatus) -> Result<Ended, DrillError> {
        if status.success() {
            return Ok(Ended::Well);
        }
        if process::was_killed(status) {
            return Ok(Ended::Killed);
        }
        Ok(Ended::Badly { code: status.code(), said: self.last_words()? })
    }

    fn last_words(&self) -> Result<String, DrillError> {
        let text = disk::read(&self.said)?;
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(SAID_LINES)..].join("\n"))
    }

    /// Waits until it has ended, calling `look` meanwhile; for at most `limit`.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        interrupt: &Interrupt,
        mut look: impl FnMut(&mut Self) -> Result<(), DrillError>,
    ) -> Result<Ended, DrillError> {
        loop {
            let looked = |running: &mut Self| look(running).map(|()| false);
            if let Some(ended) = self.wait_until(limit, interrupt, looked)? {
                return Ok(ended);
            }
        }
    }

    /// Waits until it has ended, or `met`; how it ended, if it has.
    pub(super) fn wait_until(
        &mut self,
        limit: Duration,
        interrupt: &Interrupt,
        mut met: impl FnMut(&mut Self) -> Result<bool, DrillError>,
    ) -> Result<Option<Ended>, DrillError> {
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(Some(ended));
            }
            interrupt.check()?;
            let after = doors::monotonic().saturating_sub(self.began);
            if after > limit {
                self.kill();
                drop(self.child.wait());
                return Ok(Some(Ended::Hung { after }));
            }
            if met(self)? {
                return Ok(None);
            }
            doors::pause(LOOK);
        }
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        drop(self.child.kill());
    }

    /// Whether it stands still.
    pub(super) fn is_stopped(&self) -> bool {
        process::is_stopped(&self.child)
    }

    /// Lets it go on.
    pub(super) fn go_on(&self) {
        process::go_on(&self.child);
    }
}

impl Ended {
    /// As it is told.
    pub(super) fn told(&self) -> String {
        match self {
            Ended::Killed => "killed".to_owned(),
            Ended::Well => "well".to_owned(),
            Ended::Badly { code: Some(code), .. } => format!("exit code {code}"),
            Ended::Badly { code: None, .. } => "ended by a signal".to_owned(),
            Ended::Hung { after } => format!("not ended after {}s", after.as_secs()),
        }
    }
}
