//! `cargo xtask bench`: whole jobs beside their oracle, or the kernels. It only builds, runs and
//! passes its arguments on; what is measured, and how, stands in `benches/jobs` and
//! `engine/benches`.

use anyhow::{Context as _, Result};
use clap::Args;

use crate::bench_state;
use crate::cargo;
use crate::say::{Progress, spoken};
use crate::tools::{self, Tool};

/// What `cargo xtask bench` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// `kernels` for the small ones first, `rocksdb` for RocksDB used directly, `state` for what
    /// state should reach beside what it does (`--json`, `--full`), or `kafka` for jobs between
    /// topics of a broker of their own (`--help`); the rest goes to the bench: `--json`,
    /// `--events N`, `--keys N`, `--work NAME`, or criterion's own.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// A bench, and what it is built from.
struct Bench {
    words: &'static [&'static str],
    building: &'static str,
    needs: &'static [Tool],
}

const JOBS: Bench = Bench {
    words: &["bench", "--package", "riverrun", "--no-default-features", "--bench", "jobs"],
    building: "building bench `jobs` for speed; the first time takes minutes",
    needs: &[],
};

const KERNELS: Bench = Bench {
    words: &["bench", "--package", "riverrun-engine", "--bench", "kernels"],
    building: "building bench `kernels` for speed; the first time takes minutes",
    needs: &[],
};

const ROCKSDB: Bench = Bench {
    words: &["bench", "--package", "riverrun", "--features", "rocksdb", "--bench", "state"],
    building: "building bench `state` for speed, with RocksDB: the first time takes half an hour",
    needs: &tools::ROCKSDB,
};

/// A program, since it runs itself in several roles.
const KAFKA: Bench = Bench {
    words: &["run", "--release", "--package", "riverrun-kafka-bench"],
    building: "building engine and bare loop for speed: librdkafka takes minutes once",
    needs: &tools::KAFKA,
};

/// Builds and runs; whether the bench succeeded, its check against the oracle included.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let progress = Progress::start();
    if let Some((first, rest)) = options.arguments.split_first()
        && first == "state"
    {
        return bench_state::run(rest, &progress);
    }
    let (bench, rest) = match options.arguments.split_first() {
        Some((first, rest)) if first == "kernels" => (KERNELS, rest),
        Some((first, rest)) if first == "rocksdb" => (ROCKSDB, rest),
        Some((first, rest)) if first == "kafka" => (KAFKA, rest),
        _ => (JOBS, options.arguments.as_slice()),
    };
    tools::ensure(bench.needs, &progress)?;
    progress.say(bench.building);
    let built = match bench.words {
        ["run", words @ ..] => cargo::command(&["build"]).args(words).status(),
        words => cargo::command(words).arg("--no-run").status(),
    };
    if !built.context("could not start cargo")?.success() {
        return Ok(false);
    }
    progress.say(&format!("running it, with {} cores", cores()));
    let ran = cargo::command(bench.words)
        .args(["--quiet", "--"])
        .args(rest)
        .status()
        .context("could not start cargo")?;
    progress.say(&format!("done in {}", spoken(progress.elapsed())));
    Ok(ran.success())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
