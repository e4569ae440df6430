//! Runs of the job's binary: its settings, its folders, its death.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::Options;
use super::compare;

/// How often the output is looked at while waiting for the moment to kill.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whether a run is seen on the terminal.
pub(crate) enum Shown {
    Yes,
    No,
}

/// One job with its folder: `config.toml`, `checkpoints/`, `out/`.
pub(crate) struct Job {
    binary: PathBuf,
    config: PathBuf,
    output: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Job {
    /// A job that keeps all it writes below `folder`; `rate` 0 is as fast as it goes.
    pub(crate) fn new(binary: &Path, folder: &Path, options: &Options, rate: u64) -> Result<Self> {
        let job = Job::bare(binary, folder)?;
        let out = format!("out={}", job.output.display());
        Ok(job.set(&out).generating(options, rate))
    }

    /// A job without settings.
    pub(crate) fn bare(binary: &Path, folder: &Path) -> Result<Self> {
        let output = folder.join("out");
        std::fs::create_dir_all(&output)
            .with_context(|| format!("cannot create {}", output.display()))?;
        let config = folder.join("config.toml");
        let checkpoints = folder.join("checkpoints").display().to_string();
        let text = format!("[checkpoint]\npath = {checkpoints:?}\ninterval = \"200ms\"\n");
        std::fs::write(&config, text)
            .with_context(|| format!("cannot write {}", config.display()))?;
        let (binary, settings, environment) = (binary.to_owned(), Vec::new(), Vec::new());
        Ok(Job { binary, config, output, settings, environment })
    }

    /// With one more setting, `NAME=VALUE`.
    pub(crate) fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// With the settings of the generator.
    pub(crate) fn generating(self, options: &Options, rate: u64) -> Self {
        let job = self.set(&format!("events={}", options.events));
        job.set(&format!("rate={rate}")).set(&format!("seed={}", options.seed))
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where the job writes.
    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// All lines the job has made visible, each with its sink's name.
    pub(crate) fn lines(&self) -> Result<Vec<String>> {
        compare::lines(&self.output)
    }

    /// Runs the job to its end.
    pub(crate) fn run(&self, parallelism: u16, shown: Shown) -> Result<()> {
        end(self.start(parallelism, shown)?)
    }

    /// Runs the job for a while, then kills it without warning.
    pub(crate) fn run_for_and_kill(&self, parallelism: u16, time: Duration) -> Result<()> {
        let mut child = self.start(parallelism, Shown::Yes)?;
        std::thread::sleep(time);
        child.kill().context("the job cannot be killed")?;
        let status = child.wait().context("the killed job did not end")?;
        ensure!(status.code().is_none(), "the job ended ({status}) before it could be killed");
        Ok(())
    }

    /// Runs the job until `lines` of its lines are visible, then kills it without warning; how many
    /// were visible when it was dead.
    pub(crate) fn run_and_kill(&self, parallelism: u16, lines: u64) -> Result<usize> {
        let mut child = self.start(parallelism, Shown::Yes)?;
        let waited = self.wait_for(&mut child, lines.max(1));
        let killed = child.kill();
        let status = child.wait().context("the killed job did not end")?;
        waited?;
        killed.context("the job cannot be killed")?;
        ensure!(
            status.code().is_none(),
            "the job ended ({status}) before it could be killed; \
             give it more to do with --events, or less a second with --rate"
        );
        Ok(self.lines()?.len())
    }

    /// Waits until `lines` lines are visible or the job has ended.
    fn wait_for(&self, child: &mut Child, lines: u64) -> Result<()> {
        while (self.lines()?.len() as u64) < lines {
            if child.try_wait().context("the job cannot be watched")?.is_some() {
                break;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub(crate) fn start(&self, parallelism: u16, shown: Shown) -> Result<Child> {
        let mut command = Command::new(&self.binary);
        command.arg("run").args(["--parallelism", &parallelism.to_string()]);
        command.arg("--config").arg(&self.config).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        if let Shown::No = shown {
            command.stdout(Stdio::null());
        }
        command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))
    }
}

/// Waits until a job has come to its end.
pub(crate) fn end(mut child: Child) -> Result<()> {
    let status = child.wait().context("the job did not end")?;
    if !status.success() {
        bail!("the job failed ({status}); its own words are above");
    }
    Ok(())
}
