//! The broker that lives on after `cargo xtask kafka start`: the file that names it, and whether
//! the process it names is still that broker.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::config::Ports;
use super::node;
use super::process::{self, Deadline};

/// How long a broker may take to stop of itself, and then to die.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const DEATH_LIMIT: Duration = Duration::from_secs(10);

/// A broker that was started in a folder. It may have ended since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) ports: Ports,
}

impl Started {
    /// What the folder's file says, if there is one.
    ///
    /// # Errors
    /// The file cannot be read, or was not written here.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = file(folder);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let foreign = || {
            format!(
                "{} does not say which broker runs; remove the folder if none does",
                path.display()
            )
        };
        Self::parse(&text).with_context(foreign).map(Some)
    }

    /// Writes the file.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let text = json!({
            "pid": self.pid,
            "version": self.version,
            "port": self.ports.broker,
            "controller_port": self.ports.controller,
        });
        let path = file(folder);
        std::fs::write(&path, format!("{text}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether the process is there and is the broker of this folder.
    pub(crate) fn runs(&self, folder: &Path) -> bool {
        let last = format!(" {}", node::properties_of(folder).display());
        arguments(self.pid).is_some_and(|words| words.trim_end().ends_with(&last))
    }

    /// Asks the broker to stop, and kills it when it has not after ten seconds.
    pub(crate) fn stop(&self, folder: &Path) -> Result<()> {
        process::signal(self.pid, Signal::TERM)?;
        if self.is_gone(folder, STOP_LIMIT).is_ok() {
            return Ok(());
        }
        process::signal(self.pid, Signal::KILL)?;
        self.is_gone(folder, DEATH_LIMIT)
    }

    fn is_gone(&self, folder: &Path, limit: Duration) -> Result<()> {
        let deadline = Deadline::after(limit);
        while self.runs(folder) {
            deadline.wait(&format!("the broker (process {}) to end", self.pid))?;
        }
        Ok(())
    }

    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("it is no JSON")?;
        let number = |key: &str| {
            value[key].as_u64().with_context(|| format!("`{key}` is missing or no number"))
        };
        let port = |key: &str| -> Result<u16> { Ok(u16::try_from(number(key)?)?) };
        let pid = u32::try_from(number("pid")?)?;
        ensure!(pid > 1, "process {pid} is no broker");
        let version = value["version"].as_str().context("`version` is missing")?.to_owned();
        let ports = Ports { broker: port("port")?, controller: port("controller_port")? };
        Ok(Started { pid, version, ports })
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("broker.json")
}

/// The arguments of a process, as one text; none when there is no such process, or a dead one.
fn arguments(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let mut ps = Command::new("ps");
    let said = ps.args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Stdio;

    use super::*;

    fn started(pid: u32) -> Started {
        let ports = Ports { broker: 10_001, controller: 10_002 };
        Started { pid, version: "4.1.0".to_owned(), ports }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Started::read(folder.path()).unwrap(), None);
        started(4_711).write(folder.path()).unwrap();
        assert_eq!(Started::read(folder.path()).unwrap(), Some(started(4_711)));
    }

    #[test]
    fn a_file_of_another_hand_is_refused() {
        let good = r#"{"pid": 7, "version": "4.1.0", "port": 1, "controller_port": 2}"#;
        assert!(Started::parse(good).is_ok());
        for (from, to) in
            [("7", "1"), ("7", "\"7\""), ("1,", "70000,"), ("version", "v"), ("{", "")]
        {
            assert!(Started::parse(&good.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn only_the_broker_of_the_folder_runs_there() {
        let folder = tempfile::tempdir().unwrap();
        // This process lives, but it is no broker; a broker of another folder is not this one's.
        assert!(!started(std::process::id()).runs(folder.path()));
        let properties = node::properties_of(folder.path());
        // Two commands, so that the shell stays and keeps its arguments.
        let mut child = Command::new("sh")
            .args(["-c", "echo up; read _; :"])
            .arg(&properties)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Born a moment ago, a process has no arguments yet.
        child.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
        let other = tempfile::tempdir().unwrap();
        let runs = started(child.id()).runs(folder.path());
        let runs_elsewhere = started(child.id()).runs(other.path());
        process::kill(&mut child);
        assert!(runs && !runs_elsewhere);
        assert!(!started(child.id()).runs(folder.path()));
    }
}
