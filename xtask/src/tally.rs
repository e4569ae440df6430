//! Counts what `cargo test` says it ran, while passing every line through: the closing line of
//! `cargo xtask test` is a sum of real results.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Adds what one line of cargo's output reports, if it reports a result.
    fn add(&mut self, line: &str) {
        let Some(result) = line.trim_start().strip_prefix("test result: ") else { return };
        let words: Vec<&str> = result.split([' ', ';']).filter(|w| !w.is_empty()).collect();
        for pair in words.windows(2) {
            let count = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                _ => {}
            }
        }
    }

    /// Runs `command`, passes its output through and adds its results; whether it succeeded.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<bool> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("could not start cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("cargo's output cannot be read")?;
            let line = String::from_utf8_lossy(&line);
            self.add(&line);
            println!("{line}");
        }
        std::io::stdout().flush().context("standard output is closed")?;
        Ok(child.wait().context("cargo did not end")?.success())
    }
}

#[test]
fn results_are_summed() {
    let mut tally = Tally::default();
    tally.add("running 3 tests");
    tally.add("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    tally.add("test result: FAILED. 3 passed; 2 failed; 1 ignored; finished in 0.00s");
    assert_eq!(tally, Tally { passed: 15, failed: 2 });
}
