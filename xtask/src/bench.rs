//! `cargo xtask bench`: whole jobs beside their oracle, or the kernels. It only builds, runs and
//! passes its arguments on; what is measured, and how, stands in `benches/`.

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
    let (bench, rest) = match options.arguments.split_first() {
        Some((first, rest)) if first == "kernels" => ("kernels", rest),
        _ => ("jobs", options.arguments.as_slice()),
    };
    progress.say(&format!("building bench `{bench}` for speed; the first time takes minutes"));
    let built = cargo::command(&["bench", "--bench", bench, "--no-run"])
        .status()
        .context("could not start cargo")?;
    if !built.success() {
        return Ok(false);
    }
    progress.say(&format!("running it, with {} cores", cores()));
    let ran = cargo::command(&["bench", "--quiet", "--bench", bench, "--"])
        .args(rest)
        .status()
        .context("could not start cargo")?;
    progress.say(&format!("done in {}", spoken(progress.elapsed())));
    Ok(ran.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
