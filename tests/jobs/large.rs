//! Large values and large collections in whole jobs: a small change is a small write, whatever it
//! is a change of, and all of it is restored, from a run too.

use std::path::Path;
use std::time::{Duration, Instant};

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};

use crate::world::{World, await_running, give};

const TEXT_BYTES: usize = 16 << 20;
/// Pairs of the map, values of the list.
const MANY: u64 = 200_000;

/// Item 0 makes everything large; each other adds a pair and a value, and shows what there is.
struct Large {
    text: ValueState<String>,
    map: MapState<u64, u64>,
    list: ListState<u64>,
}

/// Bytes of the text, pairs and their sum, values and their sum.
type Seen = (usize, (usize, u64), (usize, u64));

impl Large {
    fn open(op: &mut Declare<u64>) -> Large {
        Large { text: op.value("text"), map: op.map("map"), list: op.list("list") }
    }
}

impl ProcessFunction for Large {
    type Key = u64;
    type In = u64;
    type Out = Seen;

    fn process(&mut self, n: u64, ctx: &mut Context<u64, Seen>) -> Result<()> {
        if n == 0 {
            self.text.set(ctx, "riverrun".repeat(TEXT_BYTES / 8))?;
            for n in 0..MANY {
                self.map.insert(ctx, n, n)?;
            }
            return self.list.set(ctx, (0..MANY).collect());
        }
        self.map.insert(ctx, MANY + n, n)?;
        self.list.push(ctx, n)?;
        let text = self.text.get(ctx)?.map_or(0, String::len);
        let (mut map, mut list) = ((0, 0), (0, 0));
        self.map.iter(ctx)?.for_each(|(_, n)| map = (map.0 + 1, map.1 + n));
        self.list.iter(ctx)?.for_each(|n| list = (list.0 + 1, list.1 + n));
        ctx.emit((text, map, list));
        Ok(())
    }
}

fn pipeline(job: &Job, source: &MemorySource<u64>, output: &MemoryOutput<Seen>) {
    let numbers = job.source("numbers", source.clone()).key_by(|_| 7_u64);
    numbers.process("large", Large::open).sink("out", output.sink());
}

fn expected(added: u64) -> Seen {
    let (many, sum) = (MANY + added, MANY * (MANY - 1) / 2 + added * (added + 1) / 2);
    (TEXT_BYTES, (many as usize, sum), (many as usize, sum))
}

/// The lengths of the files of a kind, the oldest first.
fn lengths(folder: &Path, extension: &str) -> Vec<u64> {
    let Ok(entries) = std::fs::read_dir(folder.join("segments")) else { return Vec::new() };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == extension));
    files.sort();
    files.iter().filter_map(|file| Some(std::fs::metadata(file).ok()?.len())).collect()
}

#[test]
fn a_small_change_of_large_state_is_a_small_write_and_all_is_restored() {
    let output = MemoryOutput::new();
    let (source, input) = MemorySource::live(1);
    let world = World::new();
    let folder = world.folder.path().to_owned();
    let (control, orders) = Control::by_hand();
    let director = {
        let input = input.clone();
        std::thread::spawn(move || {
            await_running(&orders);
            input.push(0, 0);
            let (began, is_large) = (Instant::now(), |bytes: &u64| *bytes > TEXT_BYTES as u64);
            // Large once, and merged: then nobody needs the large segment any more.
            while !lengths(&folder, "seg").iter().any(is_large) {
                assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint holds it");
                std::thread::sleep(Duration::from_millis(1));
            }
            input.push(0, 1);
            std::thread::sleep(Duration::from_millis(500));
            input.push(0, 2);
            give(&orders, CommandKind::Stop { savepoint: false })
        })
    };
    world.start(|job| pipeline(job, &source, &output), control).0.expect("it stops");
    director.join().expect("it directs").expect("it was stopped").expect("with a checkpoint");
    let last = lengths(world.folder.path(), "seg").pop().expect("a segment");
    assert!(last < 2_000, "{last} bytes for two small changes");
    input.push(0, 3);
    input.close();
    world.at(1).run(|job| pipeline(job, &source, &output)).expect("it restores and ends");
    assert_eq!(output.items(), (1..=3).map(expected).collect::<Vec<_>>());
}
