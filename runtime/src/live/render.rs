//! From [`Facts`] to text: the block on a terminal, the line elsewhere. Pure.

use riverrun_engine::time::Timestamp;

use super::facts::{Facts, OperatorFacts, Rates, rates};
use super::text::{bytes, count, duration, lag};
use crate::status::Phase;

/// The space there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Letters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
}

/// Lines that are no operators: header, title, checkpoint, failure, the cursor's.
const OTHER_ROWS: usize = 6;

/// The block: whole lines, none longer than the terminal is wide, so that none wraps.
#[must_use]
pub fn block(before: &Facts, now: &Facts, size: Size) -> String {
    let mut lines = vec![header(now)];
    lines.extend(table(before, now, size.rows.saturating_sub(OTHER_ROWS).max(1)));
    lines.push(checkpoint(now));
    if let Some(failure) = &now.last_failure {
        let first = failure.lines().next().unwrap_or_default();
        lines.push(format!("last failure: {first}"));
    }
    let cut = |line: String| {
        let printable = line.trim_end().chars().filter(|c| !c.is_control());
        printable.take(size.columns.max(1)).chain(['\n']).collect::<String>()
    };
    lines.into_iter().map(cut).collect()
}

/// The same in one line, for logs.
#[must_use]
pub fn line(before: &Facts, now: &Facts) -> String {
    let sum = |step: &str, of: fn(Rates) -> f64| {
        let at = now.operators.iter().enumerate().filter(|(_, operator)| operator.step == step);
        count(at.map(|(i, _)| of(rates(before, now, i))).sum::<f64>())
    };
    let sources = now.operators.iter().filter(|operator| operator.step == "source");
    let read: u64 = sources.map(|operator| operator.records_out).sum();
    let late: u64 = now.operators.iter().map(|operator| operator.late).sum();
    let watermarks = now.operators.iter().map(|operator| operator.watermark);
    let slowest = watermarks.filter(|watermark| *watermark > Timestamp::MIN).min();
    format!(
        "{}: {}/s read, {}/s written, {} in all, lag {}, late {late}; {}",
        phase(now.phase),
        sum("source", |rates| rates.records_out),
        sum("sink", |rates| rates.records_in),
        count(read as f64),
        slowest.map_or_else(|| "-".to_owned(), |watermark| lag(watermark, now.now)),
        checkpoint(now),
    )
}

fn header(now: &Facts) -> String {
    let from = match now.restored_from {
        Some(checkpoint) => format!("restored from checkpoint {checkpoint}"),
        None => "from the beginning".to_owned(),
    };
    let (job, phase, up) = (&now.job, phase(now.phase), duration(now.up));
    format!("{job}  {phase}  attempt {}  up {up}  {from}", now.attempt)
}

/// How the phase is told.
#[must_use]
pub(super) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Restoring => "restoring",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::BackingOff => "waiting to start again",
        Phase::Ended => "ended",
    }
}

fn table(before: &Facts, now: &Facts, rows_max: usize) -> Vec<String> {
    const TITLE: [&str; 8] = ["operator", "", "in/s", "out/s", "records", "lag", "late", "blocked"];
    let unreadable = now.operators.iter().any(|operator| operator.unreadable > 0);
    let mut title: Vec<String> = TITLE.map(str::to_owned).to_vec();
    if unreadable {
        title.push("unreadable".to_owned());
    }
    let operators = now.operators.iter().enumerate();
    let rows = operators.take(rows_max).map(|(i, operator)| {
        let mut cells = cells(operator, rates(before, now, i), now.now);
        if unreadable {
            cells.push(operator.unreadable.to_string());
        }
        cells
    });
    let rows: Vec<Vec<String>> = std::iter::once(title).chain(rows).collect();
    let mut lines = aligned(&rows, 2);
    if let Some(more) = now.operators.len().checked_sub(rows_max).filter(|more| *more > 0) {
        lines.push(format!("and {more} more: `graph` shows all"));
    }
    lines
}

fn cells(operator: &OperatorFacts, rates: Rates, now: Timestamp) -> Vec<String> {
    let source = operator.step == "source";
    let sink = operator.step == "sink";
    let unless = |absent: bool, n: f64| if absent { "-".to_owned() } else { count(n) };
    let records = if source { operator.records_out } else { operator.records_in };
    vec![
        operator.step.to_owned(),
        operator.uid.clone(),
        unless(source, rates.records_in),
        unless(sink, rates.records_out),
        count(records as f64),
        lag(operator.watermark, now),
        operator.late.to_string(),
        format!("{:.0}%", rates.blocked * 100.0),
    ]
}

/// Lines of cells in columns: the first `left` to the left, the others to the right.
pub(crate) fn aligned(rows: &[Vec<String>], left: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let cell = |(i, cell): (usize, &String)| match i < left {
        true => format!("{cell:<width$}", width = widths[i]),
        false => format!("{cell:>width$}", width = widths[i]),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

fn checkpoint(now: &Facts) -> String {
    let counts = format!("{} complete, {} failed", now.completed, now.failed);
    match &now.checkpoint {
        None => "no checkpoint yet".to_owned(),
        Some(last) => match &last.failed {
            Some(reason) => {
                let reason = reason.lines().next().unwrap_or_default();
                format!("checkpoint {} failed: {reason}; {counts}", last.checkpoint)
            }
            None => format!(
                "checkpoint {} took {}ms, {}; {counts}",
                last.checkpoint,
                last.duration_ms,
                bytes(last.bytes)
            ),
        },
    }
}
