//! Jobs that begin before their state is read: the sums are those of a plain map, whatever was
//! asked for before, while and behind the rest was read, at any parallelism, through stops, failed
//! attempts and savepoints; a damaged block is refused by the name of its file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryInput, MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::config::{Bytes, From};
use riverrun::runtime::control::{CommandKind, Control};
use riverrun::runtime::status::{JobStatus, Phase};

use crate::seen::wait;
use crate::world::{World, give};

const KEYS: u64 = 12_000;
const STOP: CommandKind = CommandKind::Stop { savepoint: false };

/// A job whose sum fails once, at the number that `fails` holds.
#[derive(Clone)]
struct Sums {
    source: MemorySource<u64>,
    input: MemoryInput<u64>,
    output: MemoryOutput<(u64, u64)>,
    fails: Arc<AtomicU64>,
}

impl Sums {
    fn new() -> Self {
        let (source, input) = MemorySource::live(1);
        let fails = Arc::new(AtomicU64::new(u64::MAX));
        Sums { source, input, output: MemoryOutput::new(), fails }
    }

    fn pipeline(&self, job: &Job) {
        let fails = self.fails.clone();
        let add = move |(sum, text): &mut (u64, String), n: u64| {
            let told = fails.compare_exchange(n, u64::MAX, Ordering::Relaxed, Ordering::Relaxed);
            assert!(told.is_err(), "told to fail at {n}");
            *sum += n;
            // Long enough that sections are sorted, with a length that tells keys apart.
            *text = "0123456789".repeat(12 + (n % 5) as usize);
            (n % KEYS, *sum)
        };
        let numbers = job.source("numbers", self.source.clone()).key_by(|n| n % KEYS);
        numbers.scan("sums", add).sink("out", self.output.sink());
    }

    /// Runs while `feed` pushes numbers, until `order` was carried out.
    fn run(
        &self,
        world: &World,
        order: CommandKind,
        feed: impl FnOnce(&MemoryInput<u64>) + Send + 'static,
    ) -> Arc<JobStatus> {
        let (input, output) = (self.input.clone(), self.output.clone());
        let before = output.items().len();
        let feed = move || {
            // At once, so that the first record finds next to nothing read.
            feed(&input);
            wait("something comes", || output.items().len() > before);
        };
        world.run_fed(|job| self.pipeline(job), order, feed)
    }

    /// A first run, stopped when there is a sum of every key: a stop cuts off what is not read yet.
    fn fill(&self, world: &World) {
        let output = self.output.clone();
        self.run(world, STOP, move |input| {
            push(input, &(0..KEYS).collect::<Vec<_>>());
            wait("a sum of every key", || output.items().len() >= KEYS as usize);
        });
    }

    /// What came out is what a plain map says of the numbers in their order.
    fn check(&self, numbers: &[u64]) {
        let mut expected: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for n in numbers {
            let sums = expected.entry(n % KEYS).or_default();
            sums.push(sums.last().unwrap_or(&0) + n);
        }
        let mut got: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (key, sum) in self.output.items() {
            got.entry(key).or_default().push(sum);
        }
        let wrong = expected.iter().find(|(key, sums)| got.get(key) != Some(sums));
        assert_eq!(wrong.map(|(key, sums)| (key, Some(sums), got.get(key))), None);
        assert_eq!(got.len(), expected.len());
    }
}

fn world() -> World {
    let mut world = World::new();
    world.config.key_groups = 8;
    world.config.checkpoint.lazy_from = Bytes::default();
    world.config.spill.dir = world.folder.path().join("spill").display().to_string();
    world
}

fn push(input: &MemoryInput<u64>, numbers: &[u64]) {
    numbers.iter().for_each(|n| input.push(0, *n));
}

#[test]
fn a_job_that_begins_before_its_state_is_read_sums_as_if_it_had_been() {
    let (mut world, sums) = (world(), Sums::new());
    let mut all: Vec<u64> = (0..2 * KEYS).collect();
    let first = all.clone();
    sums.run(&world, STOP, move |input| push(input, &first));
    for (round, parallelism) in [3, 1, 2, 4].into_iter().enumerate() {
        world = world.at(parallelism);
        let step = [977, 3, 61, 1][round];
        let numbers: Vec<u64> = (0..KEYS).step_by(step).map(|n| n + 7 * KEYS).collect();
        all.extend(&numbers);
        let fails = round % 2 == 0;
        let at = if fails { numbers[numbers.len() / 2] } else { u64::MAX };
        sums.fails.store(at, Ordering::Relaxed);
        let (output, wanted) = (sums.output.clone(), all.len());
        let status = sums.run(&world, STOP, move |input| {
            push(input, &numbers);
            // Whoever stops an attempt that has failed gets no checkpoint.
            while fails && output.items().len() < wanted {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(status.cold_states(), 0, "nothing is left behind by a run");
    }
    let last: Vec<u64> = (0..KEYS).collect();
    push(&sums.input, &last);
    all.extend(&last);
    sums.input.close();
    world.run(|job| sums.pipeline(job)).expect("it ends");
    sums.check(&all);
}

#[test]
fn a_savepoint_of_a_job_that_is_not_warm_holds_everything() {
    let (mut world, sums) = (world(), Sums::new());
    let mut all: Vec<u64> = (0..KEYS).collect();
    sums.fill(&world);
    let some: Vec<u64> = (0..KEYS).step_by(50).collect();
    all.extend(&some);
    let stop = CommandKind::Stop { savepoint: true };
    let status = sums.run(&world, stop, move |input| push(input, &some));
    assert!(status.last_checkpoint().is_some_and(|last| last.bytes > 100 * KEYS), "all of it");
    // Only its own files are needed: it is restored from a copy, in another store.
    let savepoint = status.last_checkpoint().expect("was just taken").checkpoint;
    let from = format!("{}#{savepoint}", world.config.checkpoint.path);
    let elsewhere = tempfile::tempdir().expect("a folder");
    world.config.checkpoint.path = elsewhere.path().display().to_string();
    world.options.from = From::Checkpoint(from);
    let last: Vec<u64> = (0..KEYS).collect();
    push(&sums.input, &last);
    all.extend(&last);
    sums.input.close();
    world.run(|job| sums.pipeline(job)).expect("it ends");
    sums.check(&all);
}

/// The longest file of state.
fn longest(world: &World) -> PathBuf {
    let files = ["segments", "runs"].into_iter().flat_map(|folder| {
        let entries = std::fs::read_dir(world.folder.path().join(folder));
        entries.into_iter().flatten().map(|entry| entry.expect("lists").path())
    });
    let length = |file: &PathBuf| file.metadata().map_or(0, |file| file.len());
    files.max_by_key(length).expect("there is state")
}

#[test]
fn a_damaged_block_ends_the_attempt_and_then_the_checkpoint_is_refused() {
    let (mut world, sums) = (world(), Sums::new());
    sums.fill(&world);
    world.config.checkpoint.interval = Duration::from_secs(600);
    let file = longest(&world);
    let whole = std::fs::read(&file).expect("reads");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    let visible = sums.output.items().len();

    // Some of these lie in what is read, and so refused, at the start: between the blocks.
    let mut found_later = 0;
    for ninth in 1..9 {
        let mut damaged = whole.clone();
        damaged[whole.len() * ninth / 9] ^= 0x10;
        std::fs::write(&file, damaged).expect("writes");
        let (ended, status) = world.start(|job: &Job| sums.pipeline(job), Control::detached());
        let error = ended.expect_err("refused").to_string();
        assert!(error.contains(&name), "'{name}' is not in: {error}");
        if let Some(failure) = status.last_failure() {
            assert!(failure.contains(&name) && failure.contains("'sums'"), "{failure}");
            found_later += 1;
        }
        assert_eq!(sums.output.items().len(), visible);
    }
    assert!(found_later > 0, "no attempt had begun, and then read the block");

    std::fs::write(&file, whole).expect("writes");
    push(&sums.input, &[1, 2, 3]);
    sums.input.close();
    world.run(|job| sums.pipeline(job)).expect("whole again, it goes on");
    sums.check(&(0..KEYS).chain([1, 2, 3]).collect::<Vec<_>>());
}

#[test]
fn all_is_warm_by_itself_and_the_status_says_when() {
    let (world, sums) = (world(), Sums::new());
    sums.fill(&world);
    let (control, orders) = Control::by_hand();
    let job = Job::new(serde_json::Value::Null);
    sums.pipeline(&job);
    let graph = job.into_graph();
    let status = Arc::new(JobStatus::of("test", &graph));
    let watched = status.clone();
    let watcher = std::thread::spawn(move || {
        let is_warm = || watched.phase() == Phase::Running && watched.cold_states() == 0;
        wait("all is warm", is_warm);
        give(&orders, STOP).expect("runs").expect("stops");
    });
    let (config, options) = (&world.config, &world.options);
    let ended =
        riverrun::runtime::run::run_job("test", graph, config, options, status.clone(), control);
    watcher.join().expect("no panic");
    ended.expect("it stops");
}

/// Long enough that a list of some takes several blocks.
fn text(n: u64) -> String {
    format!("{n:>60}")
}

/// Each number adds to the list and to the map of its key; every third shows both. Number 0 makes
/// those of its key large.
struct Kept {
    list: ListState<String>,
    map: MapState<u64, u64>,
    fails: Arc<AtomicU64>,
}

/// A key, its list, its map.
type Shown = (u64, Vec<String>, Vec<(u64, u64)>);

const KEPT: u64 = 2_000;
const LARGE: u64 = 30_000;

impl ProcessFunction for Kept {
    type Key = u64;
    type In = u64;
    type Out = Shown;

    fn process(&mut self, n: u64, ctx: &mut Context<u64, Shown>) -> Result<()> {
        let told = self.fails.compare_exchange(n, u64::MAX, Ordering::Relaxed, Ordering::Relaxed);
        assert!(told.is_err(), "told to fail at {n}");
        for n in 0..if n == 0 { LARGE } else { 0 } {
            self.list.push(ctx, text(n))?;
            self.map.insert(ctx, n, n)?;
        }
        self.list.push(ctx, text(n))?;
        *self.map.or_default(ctx, &(n % 7))? += n;
        if n.is_multiple_of(3) {
            let list = self.list.iter(ctx)?.cloned().collect();
            let map = self.map.iter(ctx)?.map(|(key, sum)| (*key, *sum)).collect();
            ctx.emit((n % KEPT, list, map));
        }
        Ok(())
    }
}

/// What is shown for these numbers, in order.
fn shown(numbers: &[u64]) -> BTreeMap<u64, Vec<Shown>> {
    let mut kept: BTreeMap<u64, (Vec<String>, BTreeMap<u64, u64>)> = BTreeMap::new();
    let mut all: BTreeMap<u64, Vec<Shown>> = BTreeMap::new();
    for n in numbers {
        let (list, map) = kept.entry(n % KEPT).or_default();
        for n in 0..if *n == 0 { LARGE } else { 0 } {
            list.push(text(n));
            map.insert(n, n);
        }
        list.push(text(*n));
        *map.entry(n % 7).or_default() += n;
        if n.is_multiple_of(3) {
            let map = map.iter().map(|(key, sum)| (*key, *sum)).collect();
            all.entry(n % KEPT).or_default().push((n % KEPT, list.clone(), map));
        }
    }
    all
}

#[test]
fn lists_and_maps_are_what_they_were_through_lazy_restores() {
    let mut world = world();
    let (source, input) = MemorySource::live(1);
    let (output, fails) = (MemoryOutput::new(), Arc::new(AtomicU64::new(u64::MAX)));
    let pipeline = |job: &Job| {
        let fails = fails.clone();
        let open = move |op: &mut Declare<u64>| {
            let (list, map, fails) = (op.list("list"), op.map("map"), fails.clone());
            Kept { list, map, fails }
        };
        let numbers = job.source("numbers", source.clone()).key_by(|n| n % KEPT);
        numbers.process("kept", open).sink("out", output.sink());
    };
    let (mut all, mut cold) = (Vec::new(), 0);
    for (round, parallelism) in (0_u64..).zip([2, 3, 1, 2, 4]) {
        world = world.at(parallelism);
        let step = [1, 977, 1, 13, 1][round as usize];
        let numbers: Vec<u64> = (0..KEPT).step_by(step).map(|n| n + round * KEPT).collect();
        all.extend(&numbers);
        let fails_at = if round % 2 == 1 { numbers[numbers.len() / 2] } else { u64::MAX };
        fails.store(fails_at, Ordering::Relaxed);
        let wanted = shown(&all).values().map(Vec::len).sum::<usize>();
        let (control, orders) = Control::by_hand();
        let (input, output) = (input.clone(), output.clone());
        let job = Job::new(serde_json::Value::Null);
        pipeline(&job);
        let graph = job.into_graph();
        let status = Arc::new(JobStatus::of("test", &graph));
        let watched = status.clone();
        let feeder = std::thread::spawn(move || {
            // At once, so that the first record finds next to nothing read.
            push(&input, &numbers);
            let (began, mut cold) = (Instant::now(), 0);
            while output.items().len() < wanted {
                assert!(began.elapsed() < Duration::from_secs(60), "nothing comes");
                cold = watched.cold_states().max(cold);
                std::thread::yield_now();
            }
            let stop = CommandKind::Stop { savepoint: round == 2 };
            give(&orders, stop).expect("runs").expect("stops");
            cold
        });
        let (config, options) = (&world.config, &world.options);
        let ended = riverrun::runtime::run::run_job(
            "test",
            graph,
            config,
            options,
            status.clone(),
            control,
        );
        cold += feeder.join().expect("no panic");
        ended.expect("it stops well");
        assert_eq!(status.cold_states(), 0, "nothing is left behind by a run");
    }
    assert!(cold > 0, "all was read before the first record");
    let mut got: BTreeMap<u64, Vec<Shown>> = BTreeMap::new();
    for item in output.items() {
        got.entry(item.0).or_default().push(item);
    }
    let expected = shown(&all);
    let wrong = expected.iter().find(|(key, items)| got.get(key) != Some(items));
    assert!(wrong.is_none(), "key {:?}", wrong.map(|(key, _)| key));
    assert_eq!(got.len(), expected.len());
}
