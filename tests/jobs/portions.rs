//! Windows that outgrow memory: what comes is added without being read, snapshot in portions,
//! restored at another parallelism, and no window is wrong.

use std::collections::BTreeMap;

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::engine::graph::Uid;
use riverrun::engine::key::KeyGroupRange;
use riverrun::prelude::*;
use riverrun::runtime::checkpoint::{CheckpointStore, StateReader};
use riverrun::runtime::config::Bytes;
use riverrun::runtime::control::CommandKind;

use crate::seen::Seen;
use crate::world::World;

const KEYS: u64 = 300_000;
const ITEMS: u64 = 900_000;
const STEP: u64 = 300_000;

fn key(n: u64) -> u64 {
    n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS
}

/// How many numbers, and all of them in their order, in one: it tells if any is lost, doubled or
/// merged in the wrong place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Chained {
    count: u32,
    hash: u64,
}

impl Aggregate<u64> for Chained {
    fn add(&mut self, n: &u64) {
        self.merge(Chained { count: 1, hash: *n });
    }
    fn merge(&mut self, later: Self) {
        self.hash = self.hash.wrapping_mul(31_u64.wrapping_pow(later.count));
        self.hash = self.hash.wrapping_add(later.hash);
        self.count += later.count;
    }
}

type Out = MemoryOutput<Windowed<u64, Chained>>;

/// Number n happened at millisecond n.
fn pipeline(job: &Job, source: &MemorySource<u64>, seen: &Seen, out: &Out) {
    let seen = seen.clone();
    let watermarks = Watermarks::bounded_out_of_orderness(millis(0)).without_wall_clock();
    let timed = source.clone().event_time(|n| Timestamp::from_millis(*n as i64), watermarks);
    job.source("numbers", timed)
        .inspect(move |n| seen.read(n + 1))
        .key_by(|n| key(*n))
        .window(Sliding::of(millis(2 * STEP)).every(millis(STEP)))
        .aggregate::<Chained>("chains")
        .sink("out", out.sink());
}

fn expected() -> BTreeMap<(i64, u64), Chained> {
    let mut all: BTreeMap<(i64, u64), Chained> = BTreeMap::new();
    for n in 0..ITEMS {
        let first = n as i64 / STEP as i64 - 1;
        for start in [first, first + 1] {
            all.entry((start * STEP as i64, key(n))).or_default().add(&n);
        }
    }
    all
}

/// How many rows of the newest checkpoint are portions, of a state by numbers.
pub(crate) fn portions(world: &World, uid: &str, state: &str) -> usize {
    let store = CheckpointStore::open_existing(&world.config.checkpoint.path).expect("opens");
    let count = async {
        let newest = store.list().await.expect("lists").pop().expect("a checkpoint");
        let manifest = store.read_manifest(newest).await.expect("reads");
        let (groups, states) = (manifest.key_groups, manifest.operators.len());
        assert!(states > 0);
        let reader = StateReader::open(&store, manifest).await.expect("opens");
        let mut rows = reader.rows(&Uid::new(uid), state, KeyGroupRange::all(groups));
        let mut found = 0;
        while let Some(row) = rows.next().await.expect("reads") {
            found += usize::from(row.key.len() > size_of::<u64>());
        }
        found
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(count)
}

#[test]
fn windows_beyond_memory_are_added_to_and_restored_in_portions() {
    let out = Out::new();
    let (source, input) = MemorySource::live(1);
    let mut world = World::new().at(2);
    world.config.memory = Bytes::mib(24);
    world.config.spill.dir = world.folder.path().join("spill").display().to_string();
    let seen = Seen::default();
    let feed = {
        let (input, seen) = (input.clone(), seen.clone());
        move || {
            (0..ITEMS / 2).for_each(|n| input.push(0, n));
            seen.wait(ITEMS / 2);
        }
    };
    let stop = CommandKind::Stop { savepoint: false };
    world.run_fed(|job| pipeline(job, &source, &seen, &out), stop, feed);
    let found = portions(&world, "chains", &format!("slices-{STEP}ms"));
    assert!(found > 1_000, "{found} portions");
    (ITEMS / 2..ITEMS).for_each(|n| input.push(0, n));
    input.close();
    let world = world.at(3);
    world.run(|job| pipeline(job, &source, &seen, &out)).expect("it restores and ends");
    let mut got = BTreeMap::new();
    for Windowed { key, window, value } in out.items() {
        let before = got.insert((window.start.as_millis(), key), value);
        assert!(before.is_none(), "{window} of {key} fires once");
    }
    assert!(got == expected(), "every window is that of a plain map");
}
