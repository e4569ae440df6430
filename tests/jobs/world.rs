//! A job with its checkpoints in a folder of its own, run in this process as often as one likes.

use std::sync::Arc;
use std::time::Duration;

use riverrun::engine::key::{KEY_GROUPS, KeyGroupRange, KeyHasher};
use riverrun::operators::Job;
use riverrun::runtime::config::{Config, RunOptions};
use riverrun::runtime::control::{Command, CommandKind, Control};
use riverrun::runtime::run::{Outcome, RunError, run_job};
use riverrun::runtime::status::JobStatus;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

/// A key of subtask `index` of so many.
pub(crate) fn key_of(index: u32, parallelism: u32) -> u64 {
    let owner = |key: &u64| {
        let hash = KeyHasher::default().hash(key).expect("integers have a hash");
        KeyGroupRange::owner(hash.group(KEY_GROUPS), parallelism, KEY_GROUPS) == index
    };
    (0..).find(owner).expect("every subtask has keys")
}

/// A job's settings and its folder.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) options: RunOptions,
    pub(crate) folder: TempDir,
}

impl World {
    /// Checkpoints every 20 ms, two attempts, nothing there yet.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::for_job("test");
        config.workers = 2;
        config.parallelism = 2;
        config.checkpoint.path = folder.path().display().to_string();
        config.checkpoint.interval = Duration::from_millis(20);
        config.restart.attempts = 2;
        config.restart.backoff = Duration::from_millis(1);
        World { config, options: RunOptions::default(), folder }
    }

    pub(crate) fn at(mut self, parallelism: u32) -> Self {
        self.config.parallelism = parallelism;
        self
    }

    /// Runs to the end.
    pub(crate) fn run(&self, pipeline: impl Fn(&Job)) -> Result<Outcome, RunError> {
        self.start(pipeline, Control::detached()).0
    }

    /// As [`World::run`], with the live numbers.
    pub(crate) fn start(
        &self,
        pipeline: impl Fn(&Job),
        control: Control,
    ) -> (Result<Outcome, RunError>, Arc<JobStatus>) {
        let job = Job::new(serde_json::Value::Null);
        pipeline(&job);
        let graph = job.into_graph();
        let problems = graph.problems(self.config.key_groups);
        assert!(problems.is_empty(), "{problems:?}");
        let status = Arc::new(JobStatus::of("test", &graph));
        let (config, options) = (&self.config, &self.options);
        (run_job("test", graph, config, options, status.clone(), control), status)
    }

    /// Runs until `order` was carried out, `pause` after records began to flow.
    pub(crate) fn run_and_order(
        &self,
        pipeline: impl Fn(&Job),
        order: CommandKind,
        pause: Duration,
    ) -> Result<Outcome, RunError> {
        let (control, orders) = Control::by_hand();
        let thread = std::thread::spawn(move || {
            await_running(&orders);
            std::thread::sleep(pause);
            give(&orders, order)
        });
        let ended = self.start(pipeline, control).0;
        drop(thread.join());
        ended
    }

    /// Runs until `order` was carried out, which is given once `feed` has come back. A stop cuts
    /// off what is not read yet, so `feed` waits for what must have been.
    pub(crate) fn run_fed(
        &self,
        pipeline: impl Fn(&Job),
        order: CommandKind,
        feed: impl FnOnce() + Send + 'static,
    ) -> Arc<JobStatus> {
        let (control, orders) = Control::by_hand();
        let feeder = std::thread::spawn(move || {
            feed();
            give(&orders, order).expect("runs").expect("is carried out");
        });
        let (ended, status) = self.start(pipeline, control);
        feeder.join().expect("no panic");
        ended.expect("it ends well");
        status
    }

    /// The error of a run that must fail.
    pub(crate) fn error(&self, pipeline: impl Fn(&Job)) -> String {
        self.run(pipeline).expect_err("must fail").to_string()
    }
}

/// Gives an order; `None` when the job has ended before.
pub(crate) fn give(
    orders: &mpsc::Sender<Command>,
    kind: CommandKind,
) -> Option<Result<riverrun::engine::checkpoint::CheckpointId, String>> {
    let (reply, answer) = oneshot::channel();
    orders.blocking_send(Command { kind, reply }).ok()?;
    answer.blocking_recv().ok()
}

/// Waits until records flow: before that there is nothing to stop.
pub(crate) fn await_running(orders: &mpsc::Sender<Command>) {
    let beginning = |_: &u32| {
        let refused = give(orders, CommandKind::Savepoint).and_then(Result::err);
        std::thread::sleep(Duration::from_millis(5));
        refused.is_some_and(|reason| reason.contains("ask again"))
    };
    (0..2_000).take_while(beginning).for_each(drop);
}
