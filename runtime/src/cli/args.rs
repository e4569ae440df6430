//! The arguments, as clap reads them.

use std::collections::BTreeSet;
use std::path::PathBuf;

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
    /// Shows the state in a checkpoint, without starting the job
    #[command(after_help = STATE_HELP)]
    State {
        #[command(subcommand)]
        order: StateOrder,
    },
    /// Rehearses crashes: kills runs of the job on scratch folders, restores them, compares
    #[command(after_help = DRILL_HELP)]
    Drill(DrillArgs),
    /// Has the running job take a savepoint: a checkpoint that is kept until you remove it
    Savepoint,
    /// Stops the running job with a last checkpoint
    Stop(StopArgs),
    /// Shows and ends transactions that a run which is gone has left open
    Txn {
        #[command(subcommand)]
        order: TxnOrder,
    },
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
    /// Writes all output and checkpoints below this folder: what a drill's runs do
    #[arg(long, value_name = "FOLDER", hide = true, requires = "alias")]
    pub(super) scratch: Option<PathBuf>,
    /// The name of the job in a drill, which no other run has
    #[arg(long, value_name = "NAME", hide = true, requires = "scratch")]
    pub(super) alias: Option<String>,
    /// The folder of the checkpoints, below that of the drill
    #[arg(long, value_name = "NAME", hide = true, requires = "scratch")]
    pub(super) checkpoints: Option<String>,
    /// Lets sources rest after each batch: what a drill's runs do
    #[arg(long, value_name = "TIME", hide = true, requires = "scratch")]
    pub(super) pace: Option<humantime::Duration>,
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
    /// Also asks the systems that the job reads and writes: topics, rights, limits. Changes nothing
    #[arg(long)]
    pub(super) online: bool,
}

/// What is done with transactions.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum TxnOrder {
    /// Lists what readers of committed records do not see yet, where the job writes
    Ls,
    /// Aborts what a run that is gone has left open; refuses while the job runs
    Abort,
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
    /// Shows what a checkpoint holds: sizes by operator, state and key groups, growth, largest keys
    #[command(after_help = INSPECT_HELP)]
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

const INSPECT_HELP: &str = "\
Examples:
  my-job checkpoint inspect
  my-job checkpoint inspect 42 --json

Growth is told against the checkpoint before it. Entries and bytes are those that a restore would
find; the files also hold older ones.";

const STATE_HELP: &str = "\
Examples:
  my-job state ls
  my-job state get spend total 4711
  my-job state get visits by-user '{\"country\":\"de\",\"id\":7}' --checkpoint 42
  my-job state scan spend --limit 0 --json | jq .value
  my-job state scan visits by-user --prefix '[\"de\"]'
  my-job state export spend total --to totals.parquet

A key is written as JSON; texts and numbers need no quotes. What cannot be decoded is shown as
hex, 0x.., with a note.";

/// What `state` shows.
#[derive(Debug, Subcommand)]
pub(super) enum StateOrder {
    /// Lists every state: its kind, types, entries and bytes
    Ls {
        #[command(flatten)]
        from: FromCheckpoint,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Shows all that a state holds for one key
    Get(GetArgs),
    /// Shows the rows of all states, of an operator's, or of one state
    Scan(ScanArgs),
    /// Writes a state to a Parquet or Arrow file, one row for each entry
    Export(ExportArgs),
}

/// Which checkpoint is looked into.
#[derive(Debug, Args)]
pub(super) struct FromCheckpoint {
    /// A number, `newest`, or `PATH#NUMBER` of another store
    #[arg(long, value_name = "CHECKPOINT", default_value = "newest")]
    pub(super) checkpoint: String,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    /// The operator
    pub(super) uid: String,
    /// The state
    pub(super) state: String,
    /// The key as JSON, or plain where it is a text or a number
    #[arg(allow_hyphen_values = true)]
    pub(super) key: String,
    #[command(flatten)]
    pub(super) from: FromCheckpoint,
    /// As JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    /// The operator [default: all]
    pub(super) uid: Option<String>,
    /// The state [default: all]
    pub(super) state: Option<String>,
    /// Only keys that begin so: any beginning of a text, the first values of a tuple or struct as
    /// a JSON array, or a whole key
    #[arg(long, value_name = "KEY", requires = "uid", allow_hyphen_values = true)]
    pub(super) prefix: Option<String>,
    /// How many rows; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: u64,
    #[command(flatten)]
    pub(super) from: FromCheckpoint,
    /// As JSON, one object a line
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The operator
    pub(super) uid: String,
    /// The state
    pub(super) state: String,
    /// The file; its name ends in `.parquet` or `.arrow`
    #[arg(long, value_name = "FILE")]
    pub(super) to: PathBuf,
    /// Replaces the file if it is there
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) from: FromCheckpoint,
}

const DRILL_HELP: &str = "\
Examples:
  my-job drill --set events=100000
  my-job drill --points checkpoint.cut,file.renamed --kills 50
  my-job drill --random --duration 10m --rescale 1,2,3,4 --json drill.json
  my-job drill --seed 42 --life 17          # one life of an earlier drill again

Your own output, topics, checkpoints and offsets are not touched. Of Kafka topics a slice is read
that is settled once; other sources must end. The output must not hold the wall clock, or name the
fields that do with --ignore.
Exit codes: 0 exact; 1 something was lost, doubled, changed or failed; 2 it cannot be told.";

#[derive(Debug, Args)]
pub(super) struct DrillArgs {
    /// How many runs to kill [default: one at each point, and again where it was not reached]
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub(super) kills: Option<u64>,
    /// Where to kill: names with commas between them, or `all`
    #[arg(long, value_name = "LIST")]
    pub(super) points: Option<String>,
    /// Also kill at moments drawn by chance; alone, or with `--points` in turn
    #[arg(long)]
    pub(super) random: bool,
    /// The parallelisms of the runs, in turn
    #[arg(long, value_name = "LIST", default_value = "1,2,4")]
    pub(super) rescale: String,
    /// Also let runs stand still while a second one is started
    #[arg(long)]
    pub(super) zombie: bool,
    /// Also let runs have a disk that is slow or full for a while, a clock that jumps by a day,
    /// CPUs that others want too, and kill them at random; implies `--random`
    #[arg(long)]
    pub(super) faults: bool,
    /// How many runs of each life are disturbed, in turn one that runs and one that starts again
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) deaths: u32,
    /// What all chance is drawn from [default: another each time]
    #[arg(long, value_name = "S")]
    pub(super) seed: Option<u64>,
    /// Goes on for so long: `90s`, `10m`
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<humantime::Duration>,
    /// Only the life of this number
    #[arg(long, value_name = "N", conflicts_with_all = ["kills", "duration"])]
    pub(super) life: Option<u32>,
    /// Ends with the first life that is not as it should be
    #[arg(long)]
    pub(super) first: bool,
    /// Leaves this field of JSON records out of the comparison; may be given again
    #[arg(long, value_name = "FIELD")]
    pub(super) ignore: Vec<String>,
    /// The field of JSON records whose equal values keep their order [default: `key`]
    #[arg(long, value_name = "FIELD")]
    pub(super) key: Option<String>,
    /// The interval between the runs' checkpoints
    #[arg(long, value_name = "TIME", default_value = "20ms")]
    pub(super) interval: humantime::Duration,
    /// How long a run is stretched to at least, by rests, so that something can happen in it
    #[arg(long, value_name = "TIME", default_value = "1200ms")]
    pub(super) stretch: humantime::Duration,
    /// How many records are read at most of each source whose input may move
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(super) records: u64,
    /// How long a run may take before it counts as hung [default: by how long it takes undisturbed]
    #[arg(long, value_name = "TIME")]
    pub(super) limit: Option<humantime::Duration>,
    /// Runs this after each life, with its folder and the name of its job behind; the life fails if
    /// it does: a check of your own
    #[arg(long, value_name = "COMMAND")]
    pub(super) verify: Option<String>,
    /// Where to make the scratch folder [default: the system's folder for such things]
    #[arg(long, value_name = "FOLDER")]
    pub(super) scratch: Option<PathBuf>,
    /// Lists the points, each with what has happened there
    #[arg(long)]
    pub(super) list_points: bool,
    /// Writes the report as JSON too
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Writes the report as JUnit XML too
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
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
