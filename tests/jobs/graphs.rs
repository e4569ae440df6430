//! Jobs that are wrong as they are written: each error names the user's line and what to do.

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::prelude::*;

fn source() -> MemorySource<u64> {
    MemorySource::new(vec![vec![1, 2, 3]])
}

fn problems(pipeline: impl Fn(&Job)) -> String {
    let job = Job::new(serde_json::Value::Null);
    pipeline(&job);
    let found: Vec<String> = job.graph().problems(128).iter().map(ToString::to_string).collect();
    found.join("\n")
}

fn must_say(found: &str, parts: &[&str]) {
    for part in parts {
        assert!(found.contains(part), "'{part}' is not in: {found}");
    }
}

#[test]
fn a_uid_used_twice_names_both_lines() {
    let lines = (line!() + 2, line!() + 3);
    let found = problems(|job| {
        job.source("numbers", source()).sink("out", MemoryOutput::<u64>::new().sink());
        job.source("numbers", source()).sink("out-2", MemoryOutput::<u64>::new().sink());
    });
    let (first, second) = (format!("graphs.rs:{}", lines.0), format!("graphs.rs:{}", lines.1));
    must_say(&found, &["RR0001", "'numbers'", &first, &second]);
}

#[test]
fn a_window_without_a_clock_says_how_to_get_one() {
    let found = problems(|job| {
        job.source("numbers", source())
            .key_by(|n| n % 2)
            .window(Tumbling::of(secs(10)))
            .aggregate::<Count>("count")
            .sink("out", MemoryOutput::new().sink());
    });
    must_say(&found, &["RR0003", "'count'", ".event_time("]);
}

#[test]
fn parallelism_must_be_one_to_the_number_of_key_groups() {
    for parallelism in [0, 129] {
        let found = problems(|job| {
            let out = MemoryOutput::<u64>::new().sink();
            job.source("numbers", source()).map(|n| n).parallelism(parallelism).sink("out", out);
        });
        must_say(&found, &["RR0004", &parallelism.to_string(), "1 to 128"]);
    }
}

#[test]
fn a_state_declared_twice_is_named() {
    struct Twice;
    impl ProcessFunction for Twice {
        type Key = u64;
        type In = u64;
        type Out = u64;
        fn process(&mut self, _: u64, _: &mut Context<u64, u64>) -> Result<()> {
            Ok(())
        }
    }
    let found = problems(|job| {
        let open = |op: &mut Declare<u64>| {
            let _states = [op.value::<u64>("last"), op.value::<u64>("last")];
            Twice
        };
        let keyed = job.source("numbers", source()).key_by(|n| *n);
        keyed.process("twice", open).sink("out", MemoryOutput::new().sink());
    });
    must_say(&found, &["RR0005", "'twice'", "'last'"]);
}

#[test]
fn a_job_must_read_and_write() {
    must_say(&problems(|_| {}), &["RR0006"]);
    let found = problems(|job| drop(job.source("numbers", source()).map(|n| n + 1)));
    must_say(&found, &["RR0007", "map"]);
}

#[test]
fn names_are_names_and_windows_have_a_size() {
    let found = problems(|job| {
        job.source("my numbers", source()).sink("out/put", MemoryOutput::<u64>::new().sink());
    });
    must_say(&found, &["RR0002", "'my numbers'", "'out/put'"]);
    let found = problems(|job| {
        let timed = source().event_time(|n| at(*n as i64), Watermarks::monotonic());
        job.source("numbers", timed)
            .key_by(|n| *n)
            .window(Tumbling::of(secs(0)))
            .aggregate::<Count>("count")
            .sink("out", MemoryOutput::new().sink());
    });
    must_say(&found, &["RR0009", "count"]);
}
