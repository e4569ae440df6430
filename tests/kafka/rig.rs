//! A broker for all tests, and jobs on it, in this process or in one of their own that can be
//! killed.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use riverrun::operators::Job;
use riverrun::runtime::config::{Config, RunOptions};
use riverrun::runtime::control::Control;
use riverrun::runtime::run::{Outcome, RunError, run_job};
use riverrun::runtime::status::JobStatus;
use tempfile::TempDir;
use xtask::kafka::{Broker, BrokerOptions, ConsumedRecord, Until, asked_version};

/// The broker of all tests that leave it alive. It ends with this process.
pub(crate) static BROKER: LazyLock<Broker> = LazyLock::new(|| broker(&[]));

/// How long anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A broker of a test's own, of the version that `KAFKA_VERSION` names, if it names one.
pub(crate) fn broker(properties: &[(&str, &str)]) -> Broker {
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let properties = properties.iter().map(text).collect();
    let options =
        BrokerOptions { properties, version: asked_version(), ..BrokerOptions::default() };
    Broker::start(&options).expect("Java and Maven, or the jars they fetched before")
}

/// A job's name and settings, and its folder.
pub(crate) struct World {
    pub(crate) job: String,
    pub(crate) config: Config,
    pub(crate) options: RunOptions,
    pub(crate) folder: TempDir,
}

impl World {
    /// Checkpoints every 50 ms, three attempts.
    pub(crate) fn new(job: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(job, folder.path().to_str().expect("text"));
        World { job: job.to_owned(), config, options: RunOptions::default(), folder }
    }

    /// Runs to the end.
    pub(crate) fn run(&self, pipeline: impl Fn(&Job)) -> Result<Outcome, RunError> {
        self.start(pipeline, Control::detached())
    }

    pub(crate) fn start(
        &self,
        pipeline: impl Fn(&Job),
        control: Control,
    ) -> Result<Outcome, RunError> {
        run(&self.job, &self.config, &self.options, pipeline, control)
    }

    /// The error of a run that must fail.
    pub(crate) fn error(&self, pipeline: impl Fn(&Job)) -> String {
        self.run(pipeline).expect_err("must fail").to_string()
    }
}

pub(crate) fn config(job: &str, folder: &str) -> Config {
    let mut config = Config::for_job(job);
    config.workers = 2;
    config.parallelism = 2;
    config.checkpoint.path = folder.to_owned();
    config.checkpoint.interval = Duration::from_millis(50);
    config.restart.attempts = 3;
    config.restart.backoff = Duration::from_millis(10);
    config
}

pub(crate) fn run(
    name: &str,
    config: &Config,
    options: &RunOptions,
    pipeline: impl Fn(&Job),
    control: Control,
) -> Result<Outcome, RunError> {
    let job = Job::new(serde_json::Value::Null);
    pipeline(&job);
    let graph = job.into_graph();
    let problems = graph.problems(config.key_groups);
    assert!(problems.is_empty(), "{problems:?}");
    let status = Arc::new(JobStatus::of(name, &graph));
    run_job(name, graph, config, options, status, control)
}

/// What readers of committed records see in `topic`, by another client than the engine's.
pub(crate) fn visible(broker: &Broker, topic: &str) -> Vec<ConsumedRecord> {
    broker.consume_committed(topic, Until::End, LIMIT).expect("reads")
}

/// What a process of its own is to run: the name of an ignored test, and what it reads from its
/// environment.
pub(crate) fn child(test: &str, variables: &[(&str, String)]) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--ignored", "--nocapture"]).stdin(Stdio::null());
    command.envs(variables.iter().map(|(name, value)| (*name, value)));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// Waits until the job that writes below `folder` has committed three checkpoints more than there
/// are now.
pub(crate) fn await_checkpoints(folder: &Path) {
    let names = || -> Vec<OsString> {
        let entries = fs::read_dir(folder.join("checkpoints")).into_iter().flatten();
        entries.map(|entry| entry.expect("reads").file_name()).collect()
    };
    let (before, until) = (names(), Instant::now() + LIMIT);
    while names().iter().filter(|name| !before.contains(name)).count() < 3 {
        assert!(Instant::now() < until, "no checkpoints");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A variable of a process that [`child`] started.
pub(crate) fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is given by the test that starts this"))
}

/// Waits for the end of a process, or kills it after `limit`; whether it ended by itself, well, and
/// what it said.
pub(crate) fn end_of(mut child: Child, limit: Duration) -> (Option<bool>, String) {
    let mut stderr = child.stderr.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut text).map(|_| text)
    });
    let until = Instant::now() + limit;
    let ended = loop {
        match child.try_wait().expect("asks") {
            Some(status) => break Some(status.success()),
            None if Instant::now() >= until => {
                child.kill().expect("kills");
                child.wait().expect("is gone");
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    (ended, reader.join().expect("no panic").expect("reads"))
}
