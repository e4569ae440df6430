//! Starts the job as a process, ends it in every way, and reads what it wrote.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::server::{ACCESS_KEY, SECRET_KEY, Server};

const EVENTS: u64 = 40_000;
/// Records a second where a run is to be interrupted: it would take four seconds.
pub(crate) const SLOWLY: u64 = 10_000;
pub(crate) const AT_ONCE: u64 = 0;

/// One life of the job, over several processes, with its checkpoints under one prefix.
pub(crate) struct Run<'a> {
    pub(crate) server: &'a Server,
    pub(crate) prefix: &'static str,
    folder: TempDir,
}

impl<'a> Run<'a> {
    pub(crate) fn new(server: &'a Server, prefix: &'static str) -> Self {
        Run { server, prefix, folder: tempfile::tempdir().expect("a folder") }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riverrun-s3-tests"));
        command.args(words);
        let path = format!("checkpoint.path={}", self.server.url(self.prefix));
        command.args(["--conf", &path]);
        let out = self.folder.path().join("out");
        command.args(["--set", &format!("out={}", out.display())]);
        command.args(["--set", &format!("events={EVENTS}")]);
        command.env("AWS_ENDPOINT", &self.server.endpoint).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
        command.env("AWS_REGION", "us-east-1").current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, parallelism: u32, rate: u64) -> Child {
        let mut command = self.command(&["run", "--live", "never"]);
        command.args(["--parallelism", &parallelism.to_string()]);
        command.args(["--conf", "checkpoint.interval=100ms", "--conf", "restart.attempts=3"]);
        command.args(["--set", &format!("rate={rate}")]);
        command.spawn().expect("the job starts")
    }

    /// Runs until the job ends by itself, well.
    pub(crate) fn to_its_end(&self, parallelism: u32, rate: u64) -> String {
        let (ended, said) = said(self.start(parallelism, rate));
        assert!(ended.status.success(), "{}: {said}", ended.status);
        said
    }

    /// All visible lines of all sinks, sorted.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut all = Vec::new();
        for sink in ["windows", "sums"] {
            let folder = self.folder.path().join("out").join(sink);
            for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if !file.file_name().to_string_lossy().starts_with('.') {
                    let text = std::fs::read_to_string(file.path()).expect("whole");
                    all.extend(text.lines().map(|line| format!("{sink} {line}")));
                }
            }
        }
        all.sort();
        all
    }

    /// Whether a checkpoint is complete.
    pub(crate) fn has_checkpoint(&self) -> bool {
        let manifests = self.server.folder(self.prefix).join("checkpoints");
        std::fs::read_dir(manifests).is_ok_and(|mut files| files.next().is_some())
    }

    /// Waits until a checkpoint is complete.
    pub(crate) fn await_checkpoint(&self) {
        let there = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            self.has_checkpoint()
        });
        assert!(there, "no checkpoint within half a minute");
    }
}

/// What a process said, and how it ended.
pub(crate) fn said(child: Child) -> (Output, String) {
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the process lives");
}

/// The newest segment of a store.
pub(crate) fn newest_segment(folder: &Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(folder.join("segments")).expect("segments");
    files.map(|file| file.expect("an entry").path()).max().expect("a segment")
}
