//! Starts the examples' binaries, ends them in every way, and compares what they wrote.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::binary::binary;

/// An example and its settings.
pub(crate) struct Example {
    /// The name of its binary.
    pub(crate) name: &'static str,
    /// `--set` for every run.
    pub(crate) settings: &'static [&'static str],
    /// `--set` for runs that are to be interrupted.
    pub(crate) slowly: &'static [&'static str],
}

/// One life of an example, over several processes.
pub(crate) struct Run<'a> {
    example: &'a Example,
    folder: TempDir,
}

/// Moments to interrupt a run, drawn by a seed.
pub(crate) struct Moments {
    /// The seed.
    pub(crate) seed: u64,
    state: u64,
}

impl Moments {
    pub(crate) fn from_seed() -> Self {
        let seed = std::env::var("KILL_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(1);
        Moments { seed, state: seed }
    }

    /// A time between both, in milliseconds.
    pub(crate) fn next_ms(&mut self, from: u64, to: u64) -> Duration {
        self.state =
            self.state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        Duration::from_millis(from + (self.state >> 33) % (to - from))
    }
}

impl Example {
    pub(crate) fn in_folder(&self) -> Run<'_> {
        Run { example: self, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The golden lines, sorted; written anew with `BLESS=1`.
    pub(crate) fn golden(&self) -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("tests/golden").join(format!("{}.txt", self.name));
        if std::env::var_os("BLESS").is_some() {
            let run = self.in_folder();
            run.to_its_end(1, &[]);
            let text = run.lines().join("\n") + "\n";
            std::fs::write(&path, text).expect("the golden file is written");
        }
        let text = std::fs::read_to_string(&path).expect("there is a golden file");
        text.lines().map(str::to_owned).collect()
    }
}

impl Run<'_> {
    fn start(&self, parallelism: u32, further: &[&str]) -> Child {
        self.start_as(Command::new(binary(self.example.name)), parallelism, further)
    }

    fn start_as(&self, mut command: Command, parallelism: u32, further: &[&str]) -> Child {
        let (out, checkpoints) = (self.folder.path().join("out"), self.folder.path().join("cp"));
        command.arg("run").args(["--parallelism", &parallelism.to_string()]);
        command.args(["--conf", &format!("checkpoint.path={}", checkpoints.display())]);
        command.args(["--conf", "checkpoint.interval=20ms", "--live", "never"]);
        command.args(["--conf", "restart.attempts=3"]);
        command.args(["--set", &format!("out={}", out.display())]);
        for setting in self.example.settings.iter().chain(further) {
            command.args(["--set", setting]);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the example starts")
    }

    /// Runs until the job ends by itself.
    pub(crate) fn to_its_end(&self, parallelism: u32, further: &[&str]) {
        let output = self.start(parallelism, further).wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed: {}\n{said}", self.example.name, output.status);
    }

    /// Runs where no file may grow beyond `blocks` (of 512 bytes or a kilobyte), as on a full disk:
    /// the run must give up and say so.
    pub(crate) fn on_a_full_disk(&self, parallelism: u32, blocks: u32) {
        let mut shell = Command::new("sh");
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.arg("-c").arg(limited).arg(binary(self.example.name));
        let child = self.start_as(shell, parallelism, &[]);
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        let name = self.example.name;
        assert_eq!(
            output.status.code(),
            Some(1),
            "{name} on a full disk: {}\n{said}",
            output.status
        );
        // Whichever file was the first that did not fit: it is named, with the reason.
        let last = said.lines().rfind(|line| line.starts_with("error: RR0401")).unwrap_or_default();
        let named = last.contains("file '") || last.contains("cannot write '");
        assert!(last.contains("File too large") && named, "names it: {said}");
    }

    /// Runs for `after`, then ends the process at once; whether it was still running.
    pub(crate) fn then_sigkill(&self, parallelism: u32, after: Duration) -> bool {
        let mut child = self.start(parallelism, self.example.slowly);
        std::thread::sleep(after);
        let running = child.try_wait().expect("it can be watched").is_none();
        child.kill().expect("it can be killed");
        drop(child.wait());
        running
    }

    /// Runs for `after`, then asks the process to stop; it must end well.
    pub(crate) fn then_sigterm(&self, parallelism: u32, after: Duration) {
        let child = self.start(parallelism, self.example.slowly);
        std::thread::sleep(after);
        // Nobody has waited for it yet: so it is there even when it has ended by itself.
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it can be asked");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "stop of {}: {}\n{said}",
            self.example.name,
            output.status
        );
    }

    /// All visible lines of all sinks, each after its sink's name, sorted. CSV heads count once.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut all = Vec::new();
        let out = self.folder.path().join("out");
        for sink in std::fs::read_dir(&out).into_iter().flatten().flatten() {
            let name = sink.file_name().to_string_lossy().into_owned();
            for file in std::fs::read_dir(sink.path()).expect("a folder").flatten() {
                if file.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                let csv = file.path().extension().is_some_and(|extension| extension == "csv");
                let text = std::fs::read_to_string(file.path()).expect("a visible file is whole");
                let lines = text.lines().skip(usize::from(csv));
                all.extend(lines.map(|line| format!("{name} {line}")));
            }
        }
        all.sort();
        all
    }

    /// The lines must be those of `golden`, each as often.
    pub(crate) fn must_equal(&self, golden: &[String], how: &str) {
        let mut balance: BTreeMap<&str, i64> = BTreeMap::new();
        let got = self.lines();
        golden.iter().for_each(|line| *balance.entry(line).or_default() -= 1);
        got.iter().for_each(|line| *balance.entry(line).or_default() += 1);
        let wrong: Vec<_> = balance.iter().filter(|(_, n)| **n != 0).collect();
        let lost: i64 = wrong.iter().map(|(_, n)| (-**n).max(0)).sum();
        let more: i64 = wrong.iter().map(|(_, n)| (**n).max(0)).sum();
        let first: Vec<_> = wrong.iter().take(5).collect();
        let name = self.example.name;
        assert!(wrong.is_empty(), "{name}, {how}: {lost} lost, {more} too many, e.g. {first:?}");
    }
}
