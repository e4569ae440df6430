//! What `check --online` says: everything outside that the sources and sinks of the job stand on.

use std::fmt::Write as _;

use riverrun_engine::graph::{Graph, NodeKind, Uid};
use riverrun_engine::outside::{About, Finding, Outside, Verdict};

use super::error::CliError;
use crate::config::Config;

/// The run that would be.
pub(super) fn about(job: &str, config: &Config) -> About {
    let interval = config.checkpoint.interval;
    About {
        job: job.into(),
        checkpoint_interval: (!interval.is_zero()).then_some(interval),
        checkpoint_timeout: config.checkpoint.timeout,
    }
}

/// What the job's sources and sinks reach.
pub(super) fn all(graph: &Graph, about: &About) -> Vec<(Uid, Box<dyn Outside>)> {
    let outside = |kind: &NodeKind| match kind {
        NodeKind::Source(source) => source.outside(about),
        NodeKind::Sink(sink) => sink.outside(about),
        NodeKind::Operator(_) => None,
    };
    let with_uid =
        |node: &riverrun_engine::graph::Node| Some((node.uid.clone(), outside(&node.kind)?));
    graph.nodes().filter_map(|(_, node)| with_uid(node)).collect()
}

/// Looks at everything, and hands each part of the report to `show` as soon as it is there.
///
/// # Errors
/// When something would make the run fail; when the report cannot be shown.
pub(super) fn look(
    graph: &Graph,
    about: &About,
    mut show: impl FnMut(&str) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let outside = all(graph, about);
    if outside.is_empty() {
        return show("\nonline: no source or sink of this job reaches anything to look at\n");
    }
    let mut seen: Vec<Finding> = Vec::new();
    for (uid, mut outside) in outside {
        show(&format!("\nonline {uid}\n"))?;
        for finding in outside.look() {
            // What all sinks of a job share is told once.
            if !seen.contains(&finding) {
                show(&line(&finding))?;
                seen.push(finding);
            }
        }
    }
    match seen.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        count => Err(CliError::Outside { count }),
    }
}

fn line(finding: &Finding) -> String {
    let mark = match finding.verdict {
        Verdict::Good => "ok   ",
        Verdict::Doubtful => "warn ",
        Verdict::Bad => "FAIL ",
    };
    let mut text = format!("  {mark} {}\n", finding.what);
    for line in finding.remedy.lines() {
        _ = writeln!(text, "         {line}");
    }
    text
}
