//! The arguments, as clap reads them.

use std::collections::BTreeSet;

use clap::{Args, Parser, Subcommand, ValueEnum};
use riverrun_engine::graph::Uid;

use super::exit;
use crate::config::{Flags, From, RunOptions};

/// Everything a job's command line takes.
#[derive(Debug, Parser)]
#[command(after_help = exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) flags: Flags,
    #[command(subcommand)]
    pub(super) order: Order,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Runs the job until it ends or is stopped (SIGTERM and Ctrl-C stop it with a last checkpoint)
    #[command(after_help = exit::HELP)]
    Run(RunArgs),
    /// Checks the job without running it, and whether it may restore a checkpoint
    #[command(after_help = exit::HELP)]
    Check(CheckArgs),
    /// Shows the job's operators and how records flow between them
    Graph(GraphArgs),
    /// Shows and verifies checkpoints
    Checkpoint {
        #[command(subcommand)]
        order: CheckpointOrder,
    },
    /// Has the running job take a savepoint: a checkpoint that is kept until you remove it
    Savepoint,
    /// Stops the running job with a last checkpoint
    Stop(StopArgs),
    /// Shows the configuration
    Config {
        #[command(subcommand)]
        order: ConfigOrder,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Where to begin: a checkpoint's number, `newest`, `none` (the beginning), or `PATH#NUMBER` of
    /// another store
    #[arg(long, value_name = "CHECKPOINT", default_value = "newest")]
    pub(super) from: String,
    /// Gives up state that the job no longer has, or whose type changed, for good
    #[arg(long, value_name = "UID/STATE", value_parser = uid_and_state)]
    pub(super) drop_state: Vec<(Uid, String)>,
    /// Goes back behind committed output, which will then appear twice
    #[arg(long)]
    pub(super) accept_duplicates: bool,
    /// Shows the run as one block on the terminal
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(super) live: Live,
}

/// When the live block is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Live {
    /// On a terminal
    Auto,
    /// Also elsewhere
    Always,
    /// A log line every five seconds instead
    Never,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Also says whether the job may restore this checkpoint: a number, `newest`, or `PATH#NUMBER`
    #[arg(long, value_name = "CHECKPOINT")]
    pub(super) against: Option<String>,
    /// As if `run` were given the same
    #[arg(long, value_name = "UID/STATE", value_parser = uid_and_state, requires = "against")]
    pub(super) drop_state: Vec<(Uid, String)>,
}

#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// In the language of Graphviz
    #[arg(long, conflicts_with = "mermaid")]
    pub(super) dot: bool,
    /// In the language of Mermaid, for Markdown pages
    #[arg(long)]
    pub(super) mermaid: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum CheckpointOrder {
    /// Lists the complete checkpoints
    Ls {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows what a checkpoint holds
    Inspect {
        /// A number, or `PATH#NUMBER` of another store [default: the newest]
        checkpoint: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Reads a checkpoint whole and says of each file whether it is good
    Verify {
        /// A number, `newest`, or `PATH#NUMBER` of another store [default: all there are]
        checkpoint: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Makes the last checkpoint a savepoint, which is kept until you remove it
    #[arg(long)]
    pub(super) savepoint: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigOrder {
    /// Prints the whole configuration as it takes effect, as TOML, secrets masked
    Show {
        /// Says behind each value who set it
        #[arg(long)]
        origin: bool,
    },
}

impl RunArgs {
    /// What the user decided for this run.
    pub(super) fn options(&self) -> RunOptions {
        let from = match self.from.as_str() {
            "newest" => From::Newest,
            "none" | "beginning" => From::Beginning,
            checkpoint => From::Checkpoint(checkpoint.to_owned()),
        };
        let drop_state: BTreeSet<_> = self.drop_state.iter().cloned().collect();
        RunOptions { from, drop_state, accept_duplicates: self.accept_duplicates }
    }
}

fn uid_and_state(text: &str) -> Result<(Uid, String), String> {
    match text.split_once('/') {
        Some((uid, state)) if !uid.is_empty() && !state.is_empty() => {
            Ok((Uid::new(uid), state.to_owned()))
        }
        _ => Err("write UID/STATE, as in `spend/slices`".to_owned()),
    }
}
