//! The job that drills are tested with, and the planted bugs are caught by: pass-through, a running
//! number, three kinds of windows, timers that drop repetitions, two inputs, eight outputs.
//!
//! `drill_job fill FOLDER` writes its input; then it is a job like any other:
//! `drill_job drill --set input=FOLDER`. What it writes does not depend on how its input is read:
//! each key is in one file, in order, and nothing is late.

#![allow(clippy::disallowed_methods, reason = "writes its input before it is a job")]

mod input;
mod steps;

use riverrun::prelude::*;
use steps::{Both, Event, Number, Repeated, Sum};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("fill"), Some(folder)) => match input::fill(folder.as_ref()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => panic!("the input cannot be written: {error}"),
        },
        _ => riverrun::main("drill-job", pipeline),
    }
}

/// Keys that the wide job makes of one, and of how many it shows one.
const WIDTH: u64 = 100;
const SHOWN: u64 = 97;
/// How many digits they have: so many that all of them are more than the least `memory` holds.
const DIGITS: usize = 240;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    input: String,
    out: String,
    /// Three keys and one step only: small deltas in a row, which are squashed and not merged.
    calm: bool,
    /// A window with so many keys that it outgrows the least `memory`, and nothing else.
    wide: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let (input, out) = ("drill-job-input".to_owned(), "drill-job-out".to_owned());
        Settings { input, out, calm: false, wide: false }
    }
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { input, out, calm, wide } = job.settings()?;
    let sink = |name: &str| Files::write_json_lines(format!("{out}/{name}")).roll_bytes(100_000);
    let events = Files::json_lines::<Event>(format!("{input}/*.jsonl"))
        .event_time(|event| event.at, Watermarks::bounded_out_of_orderness(secs(5)));
    let events = job.source("events", events);
    if calm {
        let few = events.filter(|event| event.key < 3).key_by(|event| event.key);
        few.process("number", Number::open).sink("numbers", sink("numbers"));
        return Ok(());
    }
    if wide {
        let widened = |event: Event| {
            let key = move |n| event.key * WIDTH + n;
            (0..WIDTH).map(move |n| Event { key: key(n), ..event })
        };
        events
            .flat_map(widened)
            .key_by(|event| format!("{:0DIGITS$}", event.key))
            .window(Tumbling::of(minutes(30)))
            .aggregate::<Sum>("wide")
            .filter(|row| row.key.parse::<u64>().expect("digits") % SHOWN == 0)
            .sink("widened", sink("widened"));
        return Ok(());
    }
    events.clone().sink("all", sink("all"));

    let keyed = || events.clone().key_by(|event| event.key);
    keyed().process("number", Number::open).sink("numbers", sink("numbers"));
    keyed().process("repeated", Repeated::open).sink("repetitions", sink("repetitions"));
    keyed()
        .window(Tumbling::of(secs(60)))
        .aggregate::<Sum>("tumbling")
        .sink("tumbled", sink("tumbled"));
    keyed()
        .window(Sliding::of(secs(60)).every(secs(20)))
        .aggregate::<Sum>("sliding")
        .sink("slid", sink("slid"));
    keyed().window(Session::gap(secs(2))).aggregate::<Sum>("sessions").sink("sat", sink("sat"));

    // A source without a clock: nothing but its barriers makes waiting parts go.
    let plain = Files::json_lines::<Event>(format!("{input}/*.jsonl"));
    job.source("plain", plain)
        .key_by(|event| event.key)
        .scan("totals", |total: &mut u64, event| {
            *total += event.value;
            (event.key, *total)
        })
        .sink("totalled", sink("totalled"));

    let even = events.clone().filter(|event| event.value % 2 == 0).key_by(|event| event.key);
    let odd = events.filter(|event| event.value % 2 == 1).key_by(|event| event.key);
    even.connect(odd).process("both", Both::open).sink("pairs", sink("pairs"));
    Ok(())
}
