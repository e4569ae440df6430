//! `cargo xtask test`: everything a change must pass, quickest first. All of it is built with one
//! profile into one target folder. What needs no C++ runs first; then RocksDB is built, once, and
//! what needs it follows: after that, a run without changes there takes no longer for it. What is
//! missing for any of it is installed, or named, before the first step.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cargo;
use crate::say::{Progress, spoken};
use crate::tally::Tally;
use crate::tools::{self, Tool};

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Go on after a failed step, to see all of them.
    #[arg(long)]
    keep_going: bool,
    /// Leave out what needs RocksDB, and so clang.
    #[arg(long)]
    without_rocksdb: bool,
    /// Leave out what needs Kafka, and so make, Java and Maven.
    #[arg(long)]
    without_kafka: bool,
}

/// One step.
struct Step {
    /// What it holds, for the reader.
    what: &'static str,
    /// The cargo command.
    words: &'static [&'static str],
    /// What it cannot do without. It is skipped where only something optional is missing.
    needs: &'static [Tool],
}

/// How a step ended.
enum Outcome {
    Passed,
    Failed,
    /// With what to do about it.
    Skipped(String),
}

/// Needs Rust and a C linker.
const STEPS: [Step; 9] = [
    Step { what: "format", words: &["fmt", "--all", "--check"], needs: &[Tool::Rustfmt] },
    Step {
        what: "dependencies: licences, bans, sources",
        words: &["deny", "check", "licenses", "bans", "sources"],
        needs: &[Tool::Deny],
    },
    Step {
        what: "lints",
        words: &[
            "clippy",
            "--workspace",
            "--exclude",
            "riverrun-kafka*",
            "--all-targets",
            "--no-default-features",
            "--",
            "-D",
            "warnings",
        ],
        needs: &[Tool::Clippy],
    },
    Step {
        what: "examples build (the tests below run them)",
        words: &["build", "--package", "riverrun", "--examples", "--no-default-features"],
        needs: &[],
    },
    Step {
        what: "tests: unit, property, house rules, compile errors, restore, examples",
        words: &[
            "test",
            "--workspace",
            "--exclude",
            "riverrun-kafka*",
            "--no-default-features",
            "--lib",
            "--bins",
            "--tests",
            "--no-fail-fast",
        ],
        needs: &[],
    },
    Step {
        what: "documentation's examples",
        words: &[
            "test",
            "--workspace",
            "--exclude",
            "riverrun-kafka*",
            "--no-default-features",
            "--doc",
            "--no-fail-fast",
        ],
        needs: &[],
    },
    Step {
        what: "lints of `state export` (arrow and parquet take about a minute, once)",
        words: &[
            "clippy",
            "--package",
            "riverrun-runtime",
            "--features",
            "riverrun-runtime/export",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        needs: &[Tool::Clippy],
    },
    Step {
        what: "tests of `state export`: Parquet and Arrow files, read again",
        words: &[
            "test",
            "--package",
            "riverrun-runtime",
            "--features",
            "riverrun-runtime/export",
            "--lib",
            "--no-fail-fast",
            "export",
        ],
        needs: &[],
    },
    Step {
        what: "checkpoints on S3, against a server of the registry",
        words: &["test", "--manifest-path", "tests/s3/Cargo.toml", "--no-fail-fast"],
        needs: &[],
    },
];

/// Needs C++ too. The first of them compiles it.
const ROCKSDB_STEPS: [Step; 3] = [
    Step {
        what: "RocksDB builds (its C++ takes about 12 minutes on two cores, once)",
        words: &["build", "--package", "riverrun-runtime", "--features", "rocksdb"],
        needs: &tools::ROCKSDB,
    },
    Step {
        what: "lints of what needs RocksDB",
        words: &[
            "clippy",
            "--package",
            "riverrun-runtime",
            "--package",
            "riverrun",
            "--features",
            "riverrun-runtime/rocksdb,riverrun/rocksdb",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        needs: &[Tool::Clippy],
    },
    Step {
        what: "tests of what needs RocksDB: the runtime's, whole jobs",
        words: &[
            "test",
            "--package",
            "riverrun-runtime",
            "--package",
            "riverrun",
            "--features",
            "riverrun-runtime/rocksdb,riverrun/rocksdb",
            "--lib",
            "--test",
            "jobs",
            "--no-fail-fast",
        ],
        needs: &[],
    },
];

/// Needs make, a compiler of C++, Java and, once, Maven. The first of them compiles librdkafka.
/// Both name the same packages and features: others would compile all that these need once more.
const KAFKA_STEPS: [Step; 2] = [
    Step {
        what: "lints of what needs Kafka (librdkafka takes about 2 minutes on two cores, once)",
        words: &[
            "clippy",
            "--package",
            "riverrun-kafka",
            "--package",
            "riverrun-connectors",
            "--package",
            "riverrun-kafka-tests",
            "--package",
            "riverrun-kafka-bench",
            "--package",
            "riverrun",
            "--package",
            "xtask",
            "--no-default-features",
            "--features",
            "riverrun-connectors/kafka,riverrun/kafka",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        needs: &[Tool::Clippy],
    },
    Step {
        what: "Kafka's door, the connector, whole jobs on a real broker: killed, fenced",
        words: &[
            "test",
            "--package",
            "riverrun-kafka",
            "--package",
            "riverrun-connectors",
            "--package",
            "riverrun-kafka-tests",
            "--package",
            "riverrun",
            "--package",
            "xtask",
            "--no-default-features",
            "--features",
            "riverrun-connectors/kafka,riverrun/kafka",
            "--lib",
            "--test",
            "kafka",
            "--no-fail-fast",
        ],
        needs: &tools::KAFKA,
    },
];

/// Runs every step in order; whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    let mut steps: Vec<&Step> = STEPS.iter().collect();
    progress.say("first what needs no C++ compiler; the first build of it takes some minutes");
    match options.without_rocksdb {
        true => progress.say("what needs RocksDB is left out, as asked: this is not everything"),
        false => {
            steps.extend(&ROCKSDB_STEPS);
            progress.say("then RocksDB is built, with clang, for the tests that need it");
        }
    }
    match options.without_kafka {
        true => progress.say("what needs Kafka is left out, as asked: this is not everything"),
        false => {
            steps.extend(&KAFKA_STEPS);
            progress.say("then librdkafka, and a Kafka broker is started for the tests on it");
        }
    }
    let needs: Vec<Tool> = steps.iter().flat_map(|step| step.needs).copied().collect();
    tools::ensure(&needs, &progress)?;
    let mut tally = Tally::default();
    let mut ended = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        progress.say(&format!("{}/{} {}", i + 1, steps.len(), step.what));
        let before = progress.elapsed();
        let outcome = step.run(&progress, &mut tally)?;
        let failed = matches!(outcome, Outcome::Failed);
        ended.push((step.what, outcome, progress.elapsed().saturating_sub(before)));
        if failed && !options.keep_going {
            break;
        }
    }
    let passed = close(&ended, &steps);
    progress.say("done");
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(passed)
}

impl Step {
    fn run(&self, progress: &Progress, tally: &mut Tally) -> Result<Outcome> {
        let mut optional = self.needs.iter().filter(|tool| tool.is_optional());
        if let Some(missing) = optional.find_map(|tool| tool.look().err()) {
            let remedy = missing.to_string();
            progress.say(&format!("skipped; {remedy}"));
            return Ok(Outcome::Skipped(remedy));
        }
        progress.say(&format!("    cargo {}", self.words.join(" ")));
        let mut command = cargo::command(self.words);
        let passed = match self.words.first() {
            Some(&"test") => tally.run(&mut command)?,
            _ => succeeds(&mut command)?,
        };
        Ok(if passed { Outcome::Passed } else { Outcome::Failed })
    }
}

fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status().context("could not start cargo")?;
    Ok(status.success())
}

/// Prints how each step ended; whether none failed and none is left.
fn close(ended: &[(&str, Outcome, Duration)], steps: &[&Step]) -> bool {
    println!();
    let mut failed = false;
    for (what, outcome, time) in ended {
        let (word, remedy) = match outcome {
            Outcome::Passed => ("ok", None),
            Outcome::Failed => ("FAILED", None),
            Outcome::Skipped(remedy) => ("skipped", Some(remedy)),
        };
        failed |= matches!(outcome, Outcome::Failed);
        println!("{word:>8}  {:>12}  {what}", spoken(*time));
        if let Some(remedy) = remedy {
            println!("{:>24}{remedy}", "");
        }
    }
    for step in &steps[ended.len()..] {
        println!("{:>8}  {:>12}  {}", "not run", "", step.what);
    }
    !failed
}
