//! Why a drill did not take place, or not to its end.

use std::path::PathBuf;
use std::time::Duration;

use riverrun_engine::crash::OrderError;
use riverrun_engine::graph::Uid;
use thiserror::Error;

/// A drill that says nothing about the job.
#[derive(Debug, Error)]
pub enum DrillError {
    /// A sink that would write where its output belongs.
    #[error("RR0811: sink '{uid}' cannot be rehearsed: {reason}")]
    Sink {
        /// The sink.
        uid: Uid,
        /// Why.
        reason: String,
    },
    /// A source that never ends.
    #[error(
        "RR0812: source '{uid}' never ends, so there is no whole output to compare with; give the \
         job a setting that bounds it, and the drill that setting by `--set`; a source of your own \
         can settle what is read in a drill: `Source::slicing`"
    )]
    Unbounded {
        /// The source.
        uid: Uid,
    },
    /// No output.
    #[error(
        "RR0813: the undisturbed run wrote nothing that could be compared{}; is its input empty? \
         give it more, or a sink whose output can be read: files, Kafka",
        if sinks.is_empty() { String::new() } else { format!(" (not comparable: {sinks})") }
    )]
    Nothing {
        /// The sinks whose output nobody sees.
        sinks: String,
    },
    /// An output that is never the same.
    #[error(
        "RR0814: two undisturbed runs, at parallelism {} and {}, wrote different output, so what a \
         crash changes cannot be told ({} missing, {} too many); first: {}. If it is a field that \
         holds the wall clock or the like, leave it out with `--ignore FIELD`",
        parallelisms.0, parallelisms.1, missing, more, first
    )]
    Differs {
        /// Of both runs.
        parallelisms: (u32, u32),
        /// Records only the first wrote.
        missing: u64,
        /// Records only the second wrote.
        more: u64,
        /// One of them.
        first: String,
    },
    /// A run that failed without any disturbance.
    #[error("RR0815: the undisturbed run failed ({ended}); the last of what it said:\n{said}")]
    Undisturbed {
        /// How it ended.
        ended: String,
        /// Its last words.
        said: String,
    },
    /// Points that are none, or an order that is none.
    #[error(transparent)]
    Points(#[from] OrderError),
    /// A point that this job never comes by.
    #[error(
        "RR0816: '{point}' is a point of exactly-once Kafka sinks, and this job has none; leave it \
         out"
    )]
    NotRehearsed {
        /// The point.
        point: &'static str,
    },
    /// A parallelism that is none.
    #[error("RR0817: `--rescale {text}`: give numbers from 1 to {most} with commas between them")]
    Rescale {
        /// As given.
        text: String,
        /// The number of key groups.
        most: u16,
    },
    /// A file or folder of the drill.
    #[error("RR0818: cannot {doing} '{path}': {source}", path = path.display())]
    Disk {
        /// What was attempted.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A run that cannot be started or watched.
    #[error("RR0819: the drill cannot start or watch a run of this binary: {0}")]
    Process(std::io::Error),
    /// A field that cannot be left out.
    #[error("RR0820: `--ignore` and `--key` need records of JSON, and sink '{sink}' wrote: {line}")]
    NoFields {
        /// The sink.
        sink: String,
        /// A line.
        line: String,
    },
    /// The user wants it to end.
    #[error("RR0821: interrupted; its runs are ended and its scratch folder is removed")]
    Interrupted,
    /// A source whose input cannot be settled.
    #[error("RR0823: it cannot be settled what source '{uid}' reads in all runs: {reason}")]
    Slice {
        /// The source.
        uid: Uid,
        /// Why.
        reason: String,
    },
    /// Scratch output that cannot be made, read or removed.
    #[error("RR0824: the scratch output of sink '{uid}' cannot be {done}: {reason}")]
    Stage {
        /// The sink.
        uid: Uid,
        /// What was attempted.
        done: &'static str,
        /// Why.
        reason: String,
    },
    /// A name that a job of the user's could have.
    #[error(
        "RR0825: '{name}' is no name for the job of a rehearsed run; only `drill` starts such runs"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A check that cannot be started.
    #[error("RR0826: `--verify {command}` cannot be started: {reason}")]
    Verify {
        /// The command.
        command: String,
        /// Why.
        reason: String,
    },
    /// An undisturbed run that does not end.
    #[error("RR0822: the undisturbed run did not end within {}s; bound its input", after.as_secs())]
    Endless {
        /// How long it was waited for.
        after: Duration,
    },
}
