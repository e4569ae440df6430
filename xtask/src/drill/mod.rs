//! `cargo xtask drill`: what only the project itself drills. `--planted` builds the drill job with
//! the planted bugs and proves that a drill catches each of them.

mod planted;

use anyhow::{Result, bail};

/// What to drill.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Proves that the drills can fail: each planted bug must be caught.
    #[arg(long)]
    planted: bool,
    /// Only the planted bugs whose names begin so.
    #[arg(long, value_name = "NAME", requires = "planted")]
    only: Option<String>,
}

/// Drills.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if !options.planted {
        bail!("say what to drill: `cargo xtask drill --planted`; your own job drills itself");
    }
    planted::run(options.only.as_deref())
}
