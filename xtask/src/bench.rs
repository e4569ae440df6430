//! `cargo xtask bench`: whole jobs beside their oracle, or the kernels. It only builds, runs and
//! passes its arguments on; what is measured, and how, stands in `benches/jobs` and
//! `engine/benches`.

use anyhow::{Context as _, Result};
use clap::Args;

use crate::cargo;
use crate::say::{Progress, spoken};

/// What `cargo xtask bench` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// `kernels` for the small ones first; the rest goes to the bench: `--json`, `--events N`,
    /// `--keys N`, `--work NAME`, or criterion's own.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds and runs; whether the bench succeeded, its check against the oracle included.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    let (package, bench, rest) = match options.arguments.split_first() {
        Some((first, rest)) if first == "kernels" => ("riverrun-engine", "kernels", rest),
        _ => ("riverrun", "jobs", options.arguments.as_slice()),
    };
    progress.say(&format!("building bench `{bench}` for speed; the first time takes minutes"));
    let built = cargo::command(&["bench", "--package", package, "--bench", bench, "--no-run"])
        .status()
        .context("could not start cargo")?;
    if !built.success() {
        return Ok(false);
    }
    progress.say(&format!("running it, with {} cores", cores()));
    let ran = cargo::command(&["bench", "--quiet", "--package", package, "--bench", bench, "--"])
        .args(rest)
        .status()
        .context("could not start cargo")?;
    progress.say(&format!("done in {}", spoken(progress.elapsed())));
    Ok(ran.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
