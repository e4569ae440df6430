//! `cargo xtask test`: everything a change must pass, quickest first. All of it is built with one
//! profile into one target folder, and none of it needs C++.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cargo;
use crate::say::{Progress, spoken};
use crate::tally::Tally;

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Go on after a failed step, to see all of them.
    #[arg(long)]
    keep_going: bool,
}

/// One step.
struct Step {
    /// What it holds, for the reader.
    what: &'static str,
    /// The cargo command.
    words: &'static [&'static str],
    /// The subcommand it needs, and how to get it.
    needs: Option<Need>,
}

/// Something a step cannot do without.
struct Need {
    subcommand: &'static str,
    remedy: &'static str,
    /// Whether the step is skipped, not failed, where it is missing.
    optional: bool,
}

/// How a step ended.
enum Outcome {
    Passed,
    Failed,
    /// With what to do about it.
    Skipped(&'static str),
    /// Failed for want of something, with what to do about it.
    Missing(&'static str),
}

const STEPS: [Step; 7] = [
    Step {
        what: "format",
        words: &["fmt", "--all", "--check"],
        needs: Some(Need {
            subcommand: "fmt",
            remedy: "install rustfmt: `rustup component add rustfmt`",
            optional: false,
        }),
    },
    Step {
        what: "dependencies: licences, bans, sources",
        words: &["deny", "check", "licenses", "bans", "sources"],
        needs: Some(Need {
            subcommand: "deny",
            remedy: "to check them here too: `cargo install --locked cargo-deny`",
            optional: true,
        }),
    },
    Step {
        what: "lints",
        words: &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        needs: Some(Need {
            subcommand: "clippy",
            remedy: "install clippy: `rustup component add clippy`",
            optional: false,
        }),
    },
    Step {
        what: "examples build (the tests below run them)",
        words: &["build", "--workspace", "--examples"],
        needs: None,
    },
    Step {
        what: "tests: unit, property, house rules, compile errors, restore, examples",
        words: &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"],
        needs: None,
    },
    Step {
        what: "documentation's examples",
        words: &["test", "--workspace", "--doc", "--no-fail-fast"],
        needs: None,
    },
    Step {
        what: "checkpoints on S3, against a server of the registry",
        words: &[
            "test",
            "--manifest-path",
            "tests/s3/Cargo.toml",
            "--target-dir",
            "target",
            "--no-fail-fast",
        ],
        needs: None,
    },
];

/// Runs every step in order; whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    progress.say("nothing here needs a C++ compiler; the first build takes some minutes");
    let mut tally = Tally::default();
    let mut ended = Vec::new();
    for (i, step) in STEPS.iter().enumerate() {
        progress.say(&format!("{}/{} {}", i + 1, STEPS.len(), step.what));
        let before = progress.elapsed();
        let outcome = step.run(&progress, &mut tally)?;
        let failed = matches!(outcome, Outcome::Failed | Outcome::Missing(_));
        ended.push((step.what, outcome, progress.elapsed().saturating_sub(before)));
        if failed && !options.keep_going {
            break;
        }
    }
    let passed = close(&ended);
    progress.say("done");
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(passed)
}

impl Step {
    fn run(&self, progress: &Progress, tally: &mut Tally) -> Result<Outcome> {
        if let Some(need) = &self.needs
            && !cargo::knows(need.subcommand)
        {
            let missing = format!("cargo {} is not installed; {}", need.subcommand, need.remedy);
            progress.say(&missing);
            return Ok(match need.optional {
                true => Outcome::Skipped(need.remedy),
                false => Outcome::Missing(need.remedy),
            });
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
fn close(ended: &[(&str, Outcome, Duration)]) -> bool {
    println!();
    let mut failed = false;
    for (what, outcome, time) in ended {
        let (word, remedy) = match outcome {
            Outcome::Passed => ("ok", None),
            Outcome::Failed => ("FAILED", None),
            Outcome::Skipped(remedy) => ("skipped", Some(remedy)),
            Outcome::Missing(remedy) => ("MISSING", Some(remedy)),
        };
        failed |= matches!(outcome, Outcome::Failed | Outcome::Missing(_));
        println!("{word:>8}  {:>12}  {what}", spoken(*time));
        if let Some(remedy) = remedy {
            println!("{:>24}{remedy}", "");
        }
    }
    for step in &STEPS[ended.len()..] {
        println!("{:>8}  {:>12}  {}", "not run", "", step.what);
    }
    !failed
}
