//! What `checkpoint inspect` prints. Called by [`super::checkpoint`].

use std::fmt::Write as _;

use super::checkpoint::kind;
use super::state::shown;
use crate::checkpoint::InspectReport;
use crate::checkpoint::inspect::{OperatorReport, StateReport};
use crate::checkpoint::sizes::{Growth, Size};
use crate::live::aligned;
use crate::live::text::{bytes, count, moment};

/// How many ranges of key groups stand in one line.
const RANGES_A_LINE: usize = 4;

/// The report as text.
pub(super) fn content(report: &InspectReport) -> String {
    let mut text = format!(
        "checkpoint {} of job '{}': {}, taken {} by attempt {} (engine {})\n{} key groups, {}, {} \
         in files\n",
        report.checkpoint,
        report.job,
        kind(report.kind),
        moment(report.created),
        report.attempt,
        report.engine,
        report.key_groups,
        size(report.size),
        bytes(report.bytes),
    );
    if let Some(since) = &report.since {
        let (id, then) = (since.checkpoint, moment(since.created));
        _ = writeln!(text, "since checkpoint {id} of {then}: {}", growth(&since.growth));
    }
    if let Some(reason) = &report.growth_unknown {
        _ = writeln!(text, "growth is not known: {reason}");
    }
    text.push_str("\noperators\n");
    report.operators.iter().for_each(|one| operator(one, &mut text));
    text.push_str("\nsplits\n");
    for split in &report.splits {
        let ended = if split.ended { ", ended" } else { "" };
        _ = writeln!(text, "  {}  {} at {}{ended}", split.source, split.split, split.offset);
    }
    if !report.prepared.is_empty() {
        text.push_str("\nprepared output\n");
    }
    for one in &report.prepared {
        _ = writeln!(text, "  {}  {} subtask {}", one.participant, one.sink, one.subtask);
    }
    text.push_str("\nfiles\n");
    for run in &report.runs {
        let (first, last) = (run.first.0, run.last.0);
        _ = writeln!(text, "  {}  key groups {first}-{last}, {}", run.file, bytes(run.bytes));
    }
    for segment in &report.segments {
        let mode = format!("{:?}", segment.mode).to_lowercase();
        _ = writeln!(text, "  {}  {mode}, {}", segment.file, bytes(segment.bytes));
    }
    text
}

fn operator(operator: &OperatorReport, text: &mut String) {
    let (uid, n, at) = (&operator.uid, operator.parallelism, moment(operator.watermark));
    _ = writeln!(text, "  {uid}  x{n}  watermark {at}  {}", size(operator.size));
    operator.states.iter().for_each(|one| state(one, text));
}

fn state(state: &StateReport, text: &mut String) {
    _ = writeln!(
        text,
        "    {}: {}, {} -> {}, {}; {}",
        state.name,
        state.kind,
        state.key,
        state.value,
        state.codec,
        size(state.size)
    );
    if let Some(one) = &state.growth {
        _ = writeln!(text, "      growth        {}", growth(one));
    }
    let Some(skew) = &state.skew else { return };
    let (group, times) = (skew.group, skew.times_mean);
    let held = size(skew.size);
    _ = writeln!(text, "      fullest       key group {group}: {held}, {times:.1} x the mean");
    let cell = |range: &crate::checkpoint::sizes::RangeReport| {
        let groups = format!("{}-{}", range.first, range.last);
        [format!("{groups}:"), count(range.size.entries as f64), bytes(range.size.bytes)]
    };
    let lines = state.ranges.chunks(RANGES_A_LINE);
    let lines: Vec<Vec<String>> = lines.map(|line| line.iter().flat_map(cell).collect()).collect();
    for (i, line) in aligned(&lines, 0).iter().enumerate() {
        let title = if i == 0 { "key groups" } else { "" };
        _ = writeln!(text, "      {title:<12}  {line}");
    }
    let mean = state.size.bytes as f64 / state.size.entries.max(1) as f64;
    let rows = state.largest.iter().map(|key| {
        let times = key.size.bytes as f64 / mean;
        vec![shown(&key.key), size(key.size), format!("{times:.1} x the mean entry")]
    });
    let rows: Vec<_> = rows.collect();
    for (i, line) in aligned(&rows, 1).iter().enumerate() {
        let title = if i == 0 { "largest keys" } else { "" };
        _ = writeln!(text, "      {title:<12}  {line}");
    }
}

fn size(size: Size) -> String {
    format!("{}, {}", entries(size.entries as f64), bytes(size.bytes))
}

/// Few of them to a tenth: rates are small where state grows slowly.
fn entries(n: f64) -> String {
    match n {
        1.0 => "1 entry".to_owned(),
        n if n < 10.0 && n.fract() != 0.0 => format!("{n:.1} entries"),
        n => format!("{} entries", count(n)),
    }
}

fn growth(growth: &Growth) -> String {
    let sign = |n: f64| if n < 0.0 { '-' } else { '+' };
    let both = |n: f64, size: f64| {
        let (n_sign, size_sign) = (sign(n), sign(size));
        format!("{n_sign}{}, {size_sign}{}", entries(n.abs()), bytes(size.abs() as u64))
    };
    let total = both(growth.entries as f64, growth.bytes as f64);
    match growth.entries_per_minute.zip(growth.bytes_per_minute) {
        Some((n, size)) => format!("{total}; a minute {}", both(n, size)),
        None => total,
    }
}
