//! `run`: configuration, graph, logs, control door and display, then the run itself.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use super::args::{Live as When, RunArgs};
use super::error::CliError;
use super::{Context, Exit, out};
use crate::config::{Config, LogFormat};
use crate::control::{Signals, serve};
use crate::drill::{CHECKPOINTS, Rehearsed, arm};
use crate::live::text::{count, duration};
use crate::live::{Display, Live, Screen};
use crate::run::{Outcome, run_job};
use crate::status::JobStatus;
use crate::{doors, logs};

/// Runs the job until it has ended, was stopped, or gives up.
pub(super) fn run(context: &Context<'_>, args: &RunArgs) -> Result<Exit, CliError> {
    let mut config = context.config()?.config;
    let graph = context.graph(&config)?;
    let problems = graph.problems(config.key_groups);
    if !problems.is_empty() {
        return Err(CliError::Graph(problems));
    }
    let mut job = context.job;
    if let Some(folder) = &args.scratch {
        job = args.alias.as_deref().unwrap_or_default();
        let checkpoints = args.checkpoints.as_deref().unwrap_or(CHECKPOINTS);
        arm::lead_into(job, folder, checkpoints, &mut config)?;
        Rehearsed::of(&graph)?.covered_by(config.scratch.as_deref())?;
        config.pace = args.pace.map_or(Duration::ZERO, |pace| *pace);
        arm::end_with_the_drill();
    }
    arm::arm()?;
    let display = display(args.live, &config);
    let screen = match &display {
        Display::Block(screen) => Some(screen),
        Display::Lines => None,
    };
    logs::start(&config.log, screen)?;
    tracing::info!(
        job,
        parallelism = config.parallelism,
        workers = config.workers,
        checkpoints = config.checkpoint.path,
        "starting"
    );
    let operators = graph.nodes().map(|(_, node)| (node.uid.clone(), node.step)).collect();
    let status = Arc::new(JobStatus::new(job, operators));
    let (control, door) = serve(Signals::Heard).map_err(CliError::Door)?;
    let began = doors::monotonic();
    let live = Live::start(status.clone(), display);
    let ended = run_job(job, graph, &config, &args.options(), status.clone(), control);
    live.end();
    door.close();
    arm::tell()?;
    let up = duration(doors::monotonic().saturating_sub(began));
    out::tell(&format!("{}; {} in {up}", told(ended?), records(&status)));
    Ok(Exit::Done)
}

fn display(when: When, config: &Config) -> Display {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let fits = io::stderr().is_terminal() && !dumb && config.log.format == LogFormat::Text;
    match when {
        When::Always => Display::Block(Screen::on(Box::new(io::stderr()))),
        When::Auto if fits => Display::Block(Screen::on(Box::new(io::stderr()))),
        When::Auto | When::Never => Display::Lines,
    }
}

fn told(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ended { checkpoint } => format!("ended with checkpoint {checkpoint}"),
        Outcome::Stopped { checkpoint } => {
            format!("stopped with checkpoint {checkpoint}, `run` goes on from there")
        }
        Outcome::NotBegun => {
            "stopped before the first record; the next `run` begins where this one would have"
                .into()
        }
        Outcome::AlreadyEnded { checkpoint } => format!(
            "nothing to do: the job ended in an earlier run, with checkpoint {checkpoint} (to run \
             it again give it another `checkpoint.path`, or `--from none --accept-duplicates`)"
        ),
    }
}

fn records(status: &JobStatus) -> String {
    let (mut read, mut written) = (0, 0);
    for (uid, step) in &status.operators {
        for (_, metrics) in status.subtasks(uid) {
            match *step {
                "source" => read += metrics.records_out.get(),
                "sink" => written += metrics.records_in.get(),
                _ => {}
            }
        }
    }
    format!("{} records read, {} written", count(read as f64), count(written as f64))
}
