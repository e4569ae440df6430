//! Before the first record: a stop is heard and harms nothing, and storage that cannot be read for
//! a moment is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryOutput, MemorySource, MemorySplit};
use riverrun::engine::context::TaskContext;
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};
use riverrun::runtime::run::Outcome;

use crate::world::{World, give};

/// [`MemorySource`] that hangs where it is told to, as a server does that does not answer.
#[derive(Clone)]
struct Hanging {
    source: MemorySource<u64>,
    at: Arc<AtomicU32>,
}

const NOWHERE: u32 = 0;
const DISCOVERING: u32 = 1;
const OPENING: u32 = 2;

impl Hanging {
    async fn hang(&self, here: u32, ctx: &TaskContext) {
        while self.at.load(Ordering::Acquire) == here {
            ctx.sleep.sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Source for Hanging {
    type Item = u64;
    type Split = MemorySplit;
    type Reader = <MemorySource<u64> as Source>::Reader;

    fn is_bounded(&self) -> bool {
        self.source.is_bounded()
    }
    async fn discover(&self, ctx: &TaskContext) -> Result<Vec<MemorySplit>> {
        self.hang(DISCOVERING, ctx).await;
        self.source.discover(ctx).await
    }
    async fn open(&self, ctx: TaskContext) -> Result<Self::Reader> {
        self.hang(OPENING, &ctx).await;
        self.source.open(ctx).await
    }
}

fn pipeline(job: &Job, source: &Hanging, output: &MemoryOutput<u64>) {
    let numbers = job.source("numbers", source.clone()).key_by(|n| n % 7);
    numbers.scan("count", |_: &mut u64, n| n).sink("out", output.sink());
}

fn hanging(items: std::ops::Range<u64>) -> Hanging {
    let source = MemorySource::new(vec![items.collect()]);
    Hanging { source, at: Arc::new(AtomicU32::new(NOWHERE)) }
}

#[test]
fn a_stop_before_the_first_record_is_heard_at_once_and_harms_nothing() {
    let (world, output, source) = (World::new(), MemoryOutput::new(), hanging(0..100));
    for at in [DISCOVERING, OPENING] {
        source.at.store(at, Ordering::Release);
        let (control, orders) = Control::by_hand();
        let order = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            let savepoint = give(&orders, CommandKind::Savepoint).expect("answered");
            let asked = Instant::now();
            let stopped = give(&orders, CommandKind::Stop { savepoint: false });
            (savepoint, stopped.expect("answered"), asked.elapsed())
        });
        let ended = world.start(|job| pipeline(job, &source, &output), control).0;
        assert_eq!(ended.expect("it stops well"), Outcome::NotBegun);
        let (savepoint, stopped, took) = order.join().expect("ordered");
        assert!(savepoint.expect_err("there is nothing to cut").contains("ask again"));
        assert!(stopped.expect_err("there is no checkpoint").contains("before the first record"));
        assert!(took < Duration::from_secs(1), "{took:?}");
        assert!(output.items().is_empty());
    }
    source.at.store(NOWHERE, Ordering::Release);
    world.run(|job| pipeline(job, &source, &output)).expect("nothing is in its way");
    assert_eq!(output.items().len(), 100);
}

/// A file that cannot be read, for a reason that passes: its name leads round in a circle.
#[cfg(unix)]
#[test]
fn storage_that_cannot_be_read_for_a_moment_is_tried_again() {
    let (mut world, output) = (World::new(), MemoryOutput::new());
    let (source, input) = MemorySource::live(1);
    let source = Hanging { source, at: Arc::new(AtomicU32::new(NOWHERE)) };
    (0..50).for_each(|n| input.push(0, n));
    let (stop, pause) = (CommandKind::Stop { savepoint: false }, Duration::from_millis(150));
    world.run_and_order(|job| pipeline(job, &source, &output), stop, pause).expect("it stops");
    (50..80).for_each(|n| input.push(0, n));
    input.close();
    let segments = world.folder.path().join("segments");
    let files = std::fs::read_dir(&segments).expect("a folder");
    let file = files.map(|entry| entry.expect("an entry").path()).max().expect("a segment");
    let away = file.with_extension("away");
    std::fs::rename(&file, &away).expect("moves");
    std::os::unix::fs::symlink(&file, &file).expect("links");
    let error = world.error(|job| pipeline(job, &source, &output));
    assert!(error.contains("RR0401") && error.contains("RR0205"), "tried, then given up: {error}");
    world.config.restart.attempts = 50;
    world.config.restart.backoff = Duration::from_millis(20);
    world.config.restart.backoff_max = Duration::from_millis(20);
    let mender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        std::fs::rename(&away, &file).expect("moves back");
    });
    let (ended, status) = world.start(|job| pipeline(job, &source, &output), Control::detached());
    ended.expect("it ends");
    mender.join().expect("it mends");
    assert!(status.attempt() > 1, "the first attempt could not begin");
    let mut items = output.items();
    items.sort_unstable();
    assert_eq!(items, (0..80).collect::<Vec<u64>>());
}
