//! A checkpoint taken while an idle input has just resumed: the subtasks of a window stood at
//! different watermarks. It restores at any parallelism, and every window fires once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryInput, MemoryOutput, MemorySource, MemorySplit};
use riverrun::engine::checkpoint::SnapshotMode;
use riverrun::engine::context::TaskContext;
use riverrun::engine::element::Batch;
use riverrun::engine::source::{Progress, SourceReader, SplitIndex};
use riverrun::engine::time::Timestamp;
use riverrun::prelude::*;
use riverrun::runtime::checkpoint::CheckpointStore;
use riverrun::runtime::control::{CommandKind, Control};

use crate::world::{World, await_running, give, key_of};

/// Key, timestamp, and what it does beside being counted.
type Item = (u64, i64, Does);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Does {
    Nothing,
    /// The window that takes it waits until it may go on: what comes meanwhile piles up.
    Hold,
    /// Its split is not idle after it.
    StayAwake,
}

/// [`MemorySource`], whose splits stay awake when told so.
#[derive(Clone)]
struct Wakeful(MemorySource<Item>);

struct WakefulReader<R> {
    reader: R,
    awake: bool,
}

impl Source for Wakeful {
    type Item = Item;
    type Split = MemorySplit;
    type Reader = WakefulReader<<MemorySource<Item> as Source>::Reader>;

    fn is_bounded(&self) -> bool {
        self.0.is_bounded()
    }
    async fn discover(&self, ctx: &TaskContext) -> Result<Vec<MemorySplit>> {
        self.0.discover(ctx).await
    }
    async fn open(&self, ctx: TaskContext) -> Result<Self::Reader> {
        Ok(WakefulReader { reader: self.0.open(ctx).await?, awake: false })
    }
}

impl<R: SourceReader<Item = Item>> SourceReader for WakefulReader<R> {
    type Item = Item;
    type Split = R::Split;
    type Offset = R::Offset;

    async fn assign(&mut self, split: R::Split, offset: Option<R::Offset>) -> Result<()> {
        self.reader.assign(split, offset).await
    }
    fn next(&mut self, out: &mut Batch<Item>, records_max: usize) -> Result<Progress> {
        let progress = self.reader.next(out, records_max)?;
        if let Some((.., does)) = out.items.last() {
            self.awake = *does == Does::StayAwake;
        }
        let silent = self.awake && matches!(progress, Progress::CaughtUp(_));
        Ok(if silent { Progress::Pending } else { progress })
    }
    async fn ready(&mut self) {
        self.reader.ready().await;
    }
    fn offset(&self, split: SplitIndex) -> Option<R::Offset> {
        self.reader.offset(split)
    }
}

/// Whether the window is being held, and whether it may go on.
static HELD: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);
/// Those flags are one test's at a time.
static DIRECTED: Mutex<()> = Mutex::new(());

fn await_flag(flag: &AtomicBool) {
    let began = Instant::now();
    while !flag.load(Ordering::Acquire) && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The timestamps of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Moments(Vec<i64>);

impl Aggregate<Item> for Moments {
    fn add(&mut self, (_, ms, does): &Item) {
        if *does == Does::Hold {
            HELD.store(true, Ordering::Release);
            await_flag(&GO_ON);
        }
        self.0.push(*ms);
    }
    fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

/// Key, start and end of a window, and what is in it.
type Row = (u64, i64, i64, Vec<i64>);

fn pipeline(job: &Job, source: &Wakeful, output: &MemoryOutput<Row>) {
    let clock = |item: &Item| Timestamp::from_millis(item.1);
    let watermarks = Watermarks::monotonic().without_wall_clock().idle_after(Duration::ZERO);
    let items = job.source("items", source.clone().event_time(clock, watermarks));
    let keyed = items.key_by(|(key, ..)| *key);
    let windows = keyed.window(Sliding::of(millis(20)).every(millis(10)));
    let ms = |at: Timestamp| at.as_millis();
    windows
        .aggregate::<Moments>("moments")
        .map(move |w| {
            let mut moments = w.value.0;
            moments.sort_unstable();
            (w.key, ms(w.window.start), ms(w.window.end), moments)
        })
        .sink("out", output.sink());
}

/// Every record in both of its windows.
fn expected(records: &[(u64, i64)]) -> Vec<Row> {
    let mut rows: std::collections::BTreeMap<(u64, i64), Vec<i64>> = Default::default();
    for (key, ms) in records {
        for start in [ms.div_euclid(10) * 10 - 10, ms.div_euclid(10) * 10] {
            rows.entry((*key, start)).or_default().push(*ms);
        }
    }
    rows.values_mut().for_each(|moments| moments.sort_unstable());
    rows.into_iter().map(|((key, start), moments)| (key, start, start + 20, moments)).collect()
}

const BEFORE: [(usize, u32, i64, Does); 5] = [
    (1, 2, 55, Does::Hold),
    (1, 0, 75, Does::Nothing),
    (1, 1, 90, Does::Nothing),
    (1, 0, 100, Does::Nothing),
    (0, 2, 60, Does::StayAwake),
];

/// Runs at three until the two subtasks that are not held have fired what lies before 100. The last
/// checkpoint is a savepoint, or holds what changed since one at the beginning.
fn run_until_uneven(
    world: &World,
    (source, output): (&Wakeful, &MemoryOutput<Row>),
    savepoint: bool,
) {
    HELD.store(false, Ordering::Release);
    GO_ON.store(false, Ordering::Release);
    let input: MemoryInput<Item> = source.0.input();
    let (control, orders) = Control::by_hand();
    let director = std::thread::spawn(move || {
        let pause = || std::thread::sleep(Duration::from_millis(60));
        input.push(0, (key_of(0, 3), 50, Does::Nothing));
        pause();
        if !savepoint {
            // That asks for a savepoint until one is taken.
            await_running(&orders);
        }
        for (split, subtask, ms, does) in BEFORE {
            input.push(split, (key_of(subtask, 3), ms, does));
            if does == Does::Hold {
                await_flag(&HELD);
            }
            pause();
        }
        GO_ON.store(true, Ordering::Release);
        pause();
        give(&orders, CommandKind::Stop { savepoint })
    });
    world.start(|job| pipeline(job, source, output), control).0.expect("it stops");
    director.join().expect("it directs").expect("answered").expect("a checkpoint");
}

/// Whether the last checkpoint has the windows at different watermarks, and what it wrote.
fn newest(world: &World) -> (bool, SnapshotMode) {
    let store = CheckpointStore::open_existing(&world.config.checkpoint.path).expect("opens");
    let newest = async {
        let newest = store.list().await.expect("lists").pop().expect("a checkpoint");
        store.read_manifest(newest).await.expect("reads")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    let manifest = runtime.block_on(newest);
    let (_, entry) = manifest.operators.iter().find(|(uid, _)| &*uid.0 == "moments").expect("it");
    let uneven = entry.watermarks.iter().any(|watermark| *watermark != entry.watermark);
    (uneven, manifest.segments.last().expect("there is state").mode)
}

#[test]
fn subtasks_at_different_watermarks_restore_at_any_parallelism() {
    restore_at_any_parallelism(true);
}

/// Slices and timers were dropped behind one watermark and not behind the other, and all of that is
/// told by a delta.
#[test]
fn so_they_do_from_a_delta() {
    restore_at_any_parallelism(false);
}

fn restore_at_any_parallelism(savepoint: bool) {
    let _one_at_a_time = DIRECTED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen_uneven = 0;
    for to in [1, 2, 3, 7] {
        let (source, input) = MemorySource::live(3);
        let (source, output) = (Wakeful(source), MemoryOutput::new());
        let mut world = World::new().at(3);
        // Whoever is held holds its worker; the sources that go on need their own.
        world.config.workers = 3;
        world.config.checkpoint.interval = Duration::from_secs(60);
        run_until_uneven(&world, (&source, &output), savepoint);
        let (uneven, wrote) = newest(&world);
        seen_uneven += u32::from(uneven);
        assert_eq!(wrote, if savepoint { SnapshotMode::Full } else { SnapshotMode::Delta });
        for subtask in 0..3 {
            input.push(2, (key_of(subtask, 3), 105, Does::Nothing));
        }
        input.close();
        world.at(to).run(|job| pipeline(job, &source, &output)).expect("it restores and ends");
        let before = BEFORE.iter().map(|(_, subtask, ms, _)| (key_of(*subtask, 3), *ms));
        let after = (0..3).map(|subtask| (key_of(subtask, 3), 105));
        let records: Vec<_> = before.chain(after).chain([(key_of(0, 3), 50)]).collect();
        let mut found = output.items();
        found.sort();
        assert_eq!(found, expected(&records), "restored at {to}");
    }
    assert!(seen_uneven > 0, "the watermarks never differed: this test says nothing");
}
