//! Lives a plan: every life a run of the job on a runtime of its own, on the disk that the lives
//! before left behind; and judges what is visible after each.
//!
//! What must hold: nothing is visible that the oracle does not know, nothing twice. After the last
//! life, which nobody disturbs, all of it is, with every file that was ever visible, no hidden file
//! is left, and every checkpoint is whole. A run may fail only where its storage does. No task
//! panics.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use riverrun::connectors::file::lent::lend;
use riverrun::connectors::memory::MemorySource;
use riverrun::engine::time::Timestamp;
use riverrun::operators::Job;
use riverrun::runtime::checkpoint::{CheckpointStore, mount};
use riverrun::runtime::config::RunOptions;
use riverrun::runtime::control::{Command, Control};
use riverrun::runtime::doors::{World as _, install};
use riverrun::runtime::run::{Outcome, RunError, run_here};
use riverrun::runtime::status::JobStatus;
use tokio::sync::{mpsc, oneshot};

use crate::chance::{Chance, mixed};
use crate::disk::{Files, Objects, SIMULATED, SimDisk};
use crate::job::{Input, pipeline};
use crate::judge::Judge;
use crate::plan::{Feed, Life, Plan};
use crate::scheduler::{Orders, Over, Scheduler};
use crate::steps::Event;

/// More steps than a run of this size can need.
const STEPS_MAX: u64 = 2_000_000;
/// Longer than a run of this size can take.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// Between two lives.
const BETWEEN: Duration = Duration::from_secs(30);
/// The longest pause between two live events, in milliseconds.
const LIVE_PAUSE: u64 = 30;
const CHECKPOINTS: &str = "/checkpoints";
const INPUT: &str = "/in";

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// A hash over everything that happened.
    pub(crate) trace: u64,
    pub(crate) steps: u64,
    /// Simulated time of all lives.
    pub(crate) time: Duration,
    pub(crate) lives: u64,
    pub(crate) deaths: u64,
    pub(crate) outages: u64,
    /// What is wrong.
    pub(crate) finding: Option<String>,
}

/// Where the lives of a seed take place.
struct Site {
    seed: u64,
    plan: Plan,
    chance: Chance,
    disk: SimDisk,
    input: Input,
    /// The splits that are fed one event after the other.
    live: Option<MemorySource<Event>>,
    wall: Timestamp,
    told: bool,
    report: Report,
}

/// How a run ended, if it did.
type Ended = Rc<RefCell<Option<Result<Outcome, RunError>>>>;

/// Lives the plan of `seed`; `told`: every step is printed.
pub(crate) fn simulate(seed: u64, told: bool) -> Report {
    let plan = Plan::of(seed);
    let chance = Chance::of(seed);
    let disk = SimDisk::new(chance.branch("disk"), told);
    let (mut input, mut live) = (Input::Folder(INPUT.to_owned()), None);
    match plan.feed {
        Feed::Memory => input = Input::Memory(MemorySource::new(plan.splits.clone())),
        Feed::Live => {
            let (source, _) = MemorySource::live(plan.splits.len());
            (input, live) = (Input::Memory(source.clone()), Some(source));
        }
        Feed::Files => {
            for (split, events) in plan.splits.iter().enumerate() {
                let text = |event| serde_json::to_string(event).expect("a value") + "\n";
                let text: String = events.iter().map(text).collect();
                disk.put(Path::new(&format!("{INPUT}/{split}.jsonl")), text.into_bytes());
            }
        }
    }
    let wall = Timestamp::from_millis(1_800_000_000_000);
    let report = Report::default();
    let mut site = Site { seed, plan, chance, disk, input, live, wall, told, report };
    site.report.finding = site.live().err();
    site.report.trace = mixed(site.report.trace ^ site.disk.trace());
    site.report
}

impl Site {
    fn live(&mut self) -> Result<(), String> {
        let mut judge = Judge::of(&self.plan.splits, &self.plan.outputs);
        let lives = self.plan.lives.clone();
        for (number, life) in (1_u64..).zip(&lives) {
            let last = number == lives.len() as u64;
            let told = |finding: String| format!("life {number} of {}: {finding}", lives.len());
            if self.told {
                println!("life {number}: {life:?}");
            }
            self.disk.begin(life.weather);
            let ended = self.run(number, life).map_err(told)?;
            self.report.lives += 1;
            self.disk.freeze();
            if ended.is_none() {
                self.report.deaths += 1;
            }
            // A run that ended may lose power too, and nothing of what it committed with that.
            if life.power && !last {
                self.report.outages += 1;
                self.disk.lose_power();
            }
            may_end_so(ended, life, last).map_err(told)?;
            judge.look(&self.disk, last).map_err(told)?;
        }
        Ok(())
    }

    /// One run; `None` when it was killed.
    fn run(
        &mut self,
        number: u64,
        life: &Life,
    ) -> Result<Option<Result<Outcome, RunError>>, String> {
        let name = format!("sim-{}", self.seed);
        let objects = Objects::below(&self.disk, Path::new(CHECKPOINTS));
        let syncs = objects.clone();
        let _mounted = mount(&name, Arc::new(objects), move |folder| syncs.sync_names(folder));
        let _lent = lend(Arc::new(Files(self.disk.clone())));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|e| e.to_string())?;
        let path = format!("memory://{name}");
        let (over, scheduler, ended) = runtime.block_on(self.drive(number, life, &path));
        self.report.steps += scheduler.polls();
        self.report.trace = mixed(self.report.trace ^ scheduler.trace());
        if self.told {
            println!("life {number}: {over:?} {ended:?}");
        }
        if let Some(panicked) = scheduler.panicked() {
            return Err(panicked);
        }
        match over {
            Over::Done => Ok(ended),
            Over::Killed => Ok(None),
            Over::Stuck => Err("it does not end".to_owned()),
        }
    }

    async fn drive(
        &mut self,
        number: u64,
        life: &Life,
        path: &str,
    ) -> (Over, Rc<Scheduler>, Option<Result<Outcome, RunError>>) {
        let scheduler = Rc::new(Scheduler::new(Orders {
            chance: self.chance.branch(&format!("order of life {number}")),
            ranked: life.ranked,
            wall: self.wall,
            jumps: life.jumps.clone(),
            name: format!("life{number}"),
            sizes: life.sizes,
            told: self.told,
        }));
        let _world = install(scheduler.clone());
        let ended: Ended = Rc::default();
        self.start(&scheduler, number, life, path, &ended);
        let mut watch = |steps| match () {
            () if self.disk.is_dead() || life.killed_at.is_some_and(|at| steps >= at) => {
                // Nothing that is dropped from here on may have an effect.
                self.disk.freeze();
                Some(Over::Killed)
            }
            () if ended.borrow().is_some() => Some(Over::Done),
            () => (steps > STEPS_MAX).then_some(Over::Stuck),
        };
        let over = scheduler.drive(LIMIT, &mut watch).await;
        self.report.time += scheduler.monotonic();
        self.wall = scheduler.now() + BETWEEN;
        let ended = ended.borrow_mut().take();
        (over, scheduler, ended)
    }

    /// The run, whoever gives it orders, and whoever feeds it.
    fn start(
        &self,
        scheduler: &Rc<Scheduler>,
        number: u64,
        life: &Life,
        path: &str,
        ended: &Ended,
    ) {
        let job = Job::new(serde_json::Value::Null);
        pipeline(&job, &self.input, &self.plan.outputs);
        let graph = job.into_graph();
        let status = Arc::new(JobStatus::of("sim", &graph));
        let config = life.config(path, self.plan.key_groups);
        let (control, orders) = Control::by_hand();
        let place = ended.clone();
        let run = async move {
            let options = RunOptions::default();
            let over = run_here("sim", graph, &config, &options, status, control).await;
            *place.borrow_mut() = Some(over);
        };
        scheduler.spawn("run", Box::pin(run));
        for (at, kind) in life.orders.clone() {
            let orders: mpsc::Sender<Command> = orders.clone();
            let order = async move {
                tokio::time::sleep(at).await;
                let (reply, answer) = oneshot::channel();
                if orders.send(Command { kind, reply }).await.is_ok() {
                    drop(answer.await);
                }
            };
            scheduler.spawn("order", Box::pin(order));
        }
        if let Some(source) = &self.live {
            let chance = self.chance.branch(&format!("feed of life {number}"));
            let feed = feed(source.clone(), self.plan.splits.clone(), chance);
            scheduler.spawn("feed", Box::pin(feed));
        }
    }
}

/// Pushes what was not pushed yet, one event after the other, each in the split that chance says.
async fn feed(source: MemorySource<Event>, splits: Vec<Vec<Event>>, mut chance: Chance) {
    let input = source.input();
    let mut pushed: Vec<usize> = (0..splits.len()).map(|split| source.pushed(split)).collect();
    loop {
        let open = |split: &usize| pushed[*split] < splits[*split].len();
        let open: Vec<usize> = (0..splits.len()).filter(open).collect();
        if open.is_empty() {
            return input.close();
        }
        let split = open[chance.place(open.len())];
        input.push(split, splits[split][pushed[split]]);
        pushed[split] += 1;
        if chance.happens(1, 3) {
            tokio::time::sleep(Duration::from_millis(chance.within(1, LIVE_PAUSE))).await;
        }
    }
}

/// Whether a run of this life may end so.
fn may_end_so(
    ended: Option<Result<Outcome, RunError>>,
    life: &Life,
    last: bool,
) -> Result<(), String> {
    match ended {
        None if last => Err("the last run was killed".to_owned()),
        None => Ok(()),
        Some(Ok(Outcome::Ended { .. } | Outcome::AlreadyEnded { .. })) => Ok(()),
        Some(Ok(outcome)) if last => Err(format!("the last run ended as {outcome:?}")),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => {
            let text = error.to_string();
            let stopped = matches!(error, RunError::StoppedBetween { .. });
            let damage = text.contains("RR0204") || text.contains("panicked");
            let excused = life.is_disturbed() || (stopped && !last);
            match excused && !damage {
                true if text.contains(SIMULATED) || text.contains("RR04") => Ok(()),
                _ => Err(format!("it failed: {text}")),
            }
        }
    }
}

/// Every checkpoint in the store must be whole.
pub(crate) async fn checkpoints_are_whole(disk: &SimDisk) -> Result<(), String> {
    let objects = Objects::below(disk, Path::new(CHECKPOINTS));
    let store = CheckpointStore::on(Arc::new(objects), "the simulated disk");
    for id in store.list().await.map_err(|e| e.to_string())? {
        let report = store.verify(id).await.map_err(|e| e.to_string())?;
        if !report.is_good() {
            return Err(format!("checkpoint {id} is damaged: {report:?}"));
        }
    }
    Ok(())
}
