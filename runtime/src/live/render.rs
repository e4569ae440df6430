//! From [`Facts`] to text: the block on a terminal, the line elsewhere. Pure.

use std::time::Duration;

use riverrun_engine::time::Timestamp;

use super::facts::{Facts, OperatorFacts, Rates, SplitFacts, rates};
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
/// Of these, what stands below the splits.
const ROWS_BELOW: usize = 3;
/// A title, a split and what is not shown: below that, none are shown.
const SPLIT_ROWS_MIN: usize = 3;
const SPLIT_ROWS_MAX: usize = 12;

/// The block: whole lines, none longer than the terminal is wide, so that none wraps.
#[must_use]
pub fn block(before: &Facts, now: &Facts, size: Size) -> String {
    let transactions = transactions(now);
    let other_rows = OTHER_ROWS + transactions.iter().len();
    let mut lines = vec![header(now)];
    lines.extend(table(before, now, size.rows.saturating_sub(other_rows).max(1)));
    let below = ROWS_BELOW + transactions.iter().len();
    lines.extend(splits(now, size.rows.saturating_sub(lines.len() + below)));
    lines.extend(transactions);
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
    let behind = match now.operators.iter().any(|operator| !operator.splits.is_empty()) {
        true => format!(", {} behind", count(behind(now) as f64)),
        false => String::new(),
    };
    format!(
        "{}: {}/s read, {}/s written, {} in all, lag {}{behind}, late {late}; {}{}",
        phase(now.phase),
        sum("source", |rates| rates.records_out),
        sum("sink", |rates| rates.records_in),
        count(read as f64),
        slowest.map_or_else(|| "-".to_owned(), |watermark| lag(watermark, now.now)),
        checkpoint(now),
        transactions(now).map_or_else(String::new, |told| format!("; {told}")),
    )
}

fn behind(now: &Facts) -> u64 {
    now.operators.iter().flat_map(|operator| &operator.splits).map(SplitFacts::behind).sum()
}

/// Where the sources stand, in at most `rows_max` lines: the splits that are most behind.
fn splits(now: &Facts, rows_max: usize) -> Vec<String> {
    let of = |operator: &'_ OperatorFacts| operator.splits.clone();
    let mut all: Vec<SplitFacts> = now.operators.iter().flat_map(of).collect();
    all.sort_by_key(|split| std::cmp::Reverse(split.behind()));
    if all.is_empty() || rows_max < SPLIT_ROWS_MIN {
        return Vec::new();
    }
    let shown = all.len().min(rows_max - 2).min(SPLIT_ROWS_MAX);
    let row = |split: &SplitFacts| {
        [
            split.name.clone(),
            split.next.to_string(),
            split.end.to_string(),
            split.behind().to_string(),
        ]
        .to_vec()
    };
    let title = ["split", "next", "end", "behind"].map(str::to_owned).to_vec();
    let rows: Vec<_> = std::iter::once(title).chain(all[..shown].iter().map(row)).collect();
    let mut lines = aligned(&rows, 1);
    if shown < all.len() {
        let (more, rest) = (all.len() - shown, &all[shown..]);
        let behind: u64 = rest.iter().map(SplitFacts::behind).sum();
        lines.push(format!("and {more} more, {} behind", count(behind as f64)));
    }
    lines
}

fn transactions(now: &Facts) -> Option<String> {
    let sink = now.operators.iter().find_map(|operator| operator.transactions)?;
    let open = sink.open_since.map(|since| {
        let millis = now.now.as_millis().saturating_sub(since.as_millis());
        format!(
            ", open for {}",
            duration(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
        )
    });
    Some(format!(
        "transactions: {} committed, {} aborted, {} fenced{}",
        sink.committed,
        sink.aborted,
        sink.fenced,
        open.unwrap_or_default()
    ))
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
                "checkpoint {} took {:.0}ms, {}; {counts}",
                last.checkpoint,
                last.duration_ms,
                bytes(last.bytes)
            ),
        },
    }
}
