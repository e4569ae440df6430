//! What is late does not hang on which subtask gets a core first.

use std::time::Duration;

use riverrun::connectors::datagen::{Chance, Datagen};
use riverrun::connectors::memory::MemoryOutput;
use riverrun::operators::Stream;
use riverrun::prelude::*;

use crate::world::World;

const LATE: SideOutput<u64> = SideOutput::new("late");
/// So few that they fit into the channels to what is held up.
const RECORDS: u64 = 3_000;
const LATE_RECORDS: u64 = 100;
const DAWDLERS: u64 = 16;

/// Source subtasks that hold up the second worker before most of what else this is to run.
fn dawdlers(job: &Job) {
    let made = |i: u64, _: &mut Chance| {
        if i % 2 == 1 {
            std::thread::sleep(Duration::from_millis(50));
        }
        i
    };
    let slow = job.source("slow", Datagen::new(made).count(DAWDLERS).splits(DAWDLERS as u32));
    slow.parallelism(DAWDLERS as u32).sink("none", MemoryOutput::new().sink());
}

/// One split: the time of a record is its number in seconds, that of the last ones is long past.
fn numbers() -> impl riverrun::engine::source::Source<Item = u64> {
    let at = |i: &u64| {
        let late = *i >= RECORDS - LATE_RECORDS;
        Timestamp::from_millis(if late { 0 } else { *i as i64 * 1000 })
    };
    Datagen::new(|i, _| i)
        .count(RECORDS)
        .event_time(at, Watermarks::bounded_out_of_orderness(Duration::from_secs(1)))
}

/// How many of what `read` brings are late for their windows.
fn late_of(read: impl Fn(&Job) -> Stream<u64>) -> usize {
    let late = MemoryOutput::new();
    let ended = World::new().run(|job| {
        dawdlers(job);
        let windows = read(job).key_by(|i| i % 1000);
        let windows = windows.window(Tumbling::of(Duration::from_secs(10))).late_to(LATE);
        let counts = windows.aggregate::<Count>("counts");
        counts.side_output(LATE).sink("late", late.sink());
        counts.sink("counted", MemoryOutput::new().sink());
    });
    ended.expect("it ends well");
    late.items().len()
}

#[test]
fn a_subtask_without_a_split_is_not_waited_for() {
    let late = late_of(|job| job.source("numbers", numbers()));
    assert_eq!(late, LATE_RECORDS as usize);
}

/// What reads only from such a subtask is no more waited for than that.
#[test]
fn nor_is_what_follows_it() {
    let late = late_of(|job| {
        let numbers = job.source("numbers", numbers());
        numbers.clone().sink("all", MemoryOutput::new().sink());
        numbers.map(|i| i)
    });
    assert_eq!(late, LATE_RECORDS as usize);
}
