//! The job that is simulated, and its input. What it writes does not depend on how its input is
//! read: each key is in one split, in order, and nothing is late.

use std::path::Path;

use riverrun::connectors::memory::MemorySource;
use riverrun::prelude::*;

use crate::chance::Chance;
use crate::steps::{Both, Event, Number, Repeated, Sum};

/// When the first event happened, in milliseconds.
const FIRST: u64 = 1_700_000_000_000;
/// An event comes at most so long after a later one, in milliseconds.
const DISORDER: u64 = 4_000;
/// Between two events of a split, in milliseconds.
const STEP: u64 = 250;

/// The outputs, and the folders that they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Output {
    /// The events as they are.
    All,
    /// A running number for each key.
    Numbers,
    /// Sums over windows of a minute.
    Tumbled,
    /// Sums over windows that overlap.
    Slid,
    /// Sums over sessions.
    Sat,
    /// Spans that timers close.
    Spans,
    /// Two inputs in one state.
    Pairs,
    /// Sums of a source without a clock.
    Totals,
}

impl Output {
    pub(crate) const ALL: [Output; 8] = [
        Output::All,
        Output::Numbers,
        Output::Tumbled,
        Output::Slid,
        Output::Sat,
        Output::Spans,
        Output::Pairs,
        Output::Totals,
    ];

    pub(crate) fn folder(self) -> String {
        format!("/out/{self:?}").to_lowercase()
    }
}

/// Draws the events of each split.
pub(crate) fn events(chance: &mut Chance) -> Vec<Vec<Event>> {
    let splits = chance.within(1, 4);
    let keys = chance.of_these(&[1, 2, 5, 20, 60]);
    let longest = chance.of_these(&[20, 60, 120, 240]);
    let mut all = Vec::new();
    for split in 0..splits {
        let count = chance.within(0, longest);
        let event = |n: u64| {
            let key = split + splits * (chance.next() % keys);
            // Even, so that no two events are exactly a session's gap apart.
            let late = chance.within(0, DISORDER / 2) * 2;
            // Now and then nothing happens for long.
            let pauses = n / 40 * 20_000;
            let ms = FIRST + DISORDER + n * STEP + pauses - late;
            let value = chance.within(0, 99);
            Event { key, n, at: Timestamp::from_millis(ms.cast_signed()), value }
        };
        all.push((0..count).map(event).collect());
    }
    all
}

/// Where the events come from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Memory(MemorySource<Event>),
    /// A folder with a file for each split.
    Folder(String),
}

fn watermarks() -> Watermarks {
    // Virtual hours may pass between two lives: nobody is idle for that.
    let watermarks = Watermarks::bounded_out_of_orderness(millis(DISORDER));
    watermarks.without_wall_clock().idle_after(hours(10_000))
}

/// The gap that ends a session, in milliseconds: odd, as events are even.
pub(crate) const GAP: u64 = 2_001;

/// The job with these outputs.
pub(crate) fn pipeline(job: &Job, input: &Input, outputs: &[Output]) {
    match input {
        Input::Memory(source) => {
            if outputs.iter().any(|output| *output != Output::Totals) {
                let clocked = source.clone().event_time(|event: &Event| event.at, watermarks());
                timed(job.source("events", clocked), outputs);
            }
            if outputs.contains(&Output::Totals) {
                totals(job.source("plain", source.clone()));
            }
        }
        Input::Folder(folder) => {
            let source = || Files::json_lines::<Event>(Path::new(folder));
            if outputs.iter().any(|output| *output != Output::Totals) {
                let clocked = source().event_time(|event: &Event| event.at, watermarks());
                timed(job.source("events", clocked), outputs);
            }
            if outputs.contains(&Output::Totals) {
                totals(job.source("plain", source()));
            }
        }
    }
}

fn totals(events: Stream<Event>) {
    let totals = events.key_by(|event| event.key).scan("totals", |total: &mut u64, event| {
        *total += event.value;
        (event.key, *total)
    });
    totals.sink("totals-out", Files::write_json_lines(Output::Totals.folder()));
}

fn timed(events: Stream<Event>, outputs: &[Output]) {
    let to = |output: Output| Files::write_json_lines(output.folder());
    let keyed = || events.clone().key_by(|event| event.key);
    for output in outputs {
        match output {
            Output::All => drop(events.clone().sink("all", to(*output))),
            Output::Numbers => {
                drop(keyed().process("number", Number::open).sink("numbers", to(*output)));
            }
            Output::Tumbled => {
                let sums = keyed().window(Tumbling::of(secs(60))).aggregate::<Sum>("tumbling");
                drop(sums.sink("tumbled", to(*output)));
            }
            Output::Slid => {
                let windows = Sliding::of(secs(60)).every(secs(20));
                drop(keyed().window(windows).aggregate::<Sum>("sliding").sink("slid", to(*output)));
            }
            Output::Sat => {
                let windows = Session::gap(millis(GAP));
                drop(keyed().window(windows).aggregate::<Sum>("sessions").sink("sat", to(*output)));
            }
            Output::Spans => {
                drop(keyed().process("spans", Repeated::open).sink("spanned", to(*output)));
            }
            Output::Pairs => {
                let side = |odd: u64| {
                    let events = events.clone().filter(move |event| event.value % 2 == odd);
                    events.key_by(|event| event.key)
                };
                let both = side(0).connect(side(1)).process("both", Both::open);
                drop(both.sink("pairs", to(*output)));
            }
            Output::Totals => {}
        }
    }
}
