//! What the job must write, computed plainly from its input: one key after the other, no windows
//! but a map, no timers, no threads.

use std::collections::BTreeMap;

use riverrun::prelude::*;

use crate::job::{GAP, Output};
use crate::steps::{Event, LISTED, Numbered, Repetition, Sum, span_end};

/// A line and how often it must be there.
pub(crate) type Lines = BTreeMap<String, usize>;

fn line(lines: &mut Lines, item: &impl Serialize) {
    let text = serde_json::to_string(item).expect("items are values");
    *lines.entry(text).or_default() += 1;
}

fn windowed(lines: &mut Lines, key: u64, (start, end): (u64, u64), value: Sum) {
    let moment = |ms: u64| Timestamp::from_millis(ms.cast_signed());
    line(lines, &Windowed { key, window: Window::new(moment(start), moment(end)), value });
}

/// Sums over windows of `size`, one beginning at each multiple of `step`, in milliseconds.
fn windows(lines: &mut Lines, key: u64, events: &[&Event], (size, step): (u64, u64)) {
    let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
    for event in events {
        let at = event.at.as_millis().cast_unsigned();
        let mut start = at / step * step;
        while start + size > at {
            sums.entry(start).or_default().add(event);
            start -= step;
        }
    }
    for (start, sum) in sums {
        windowed(lines, key, (start, start + size), sum);
    }
}

fn sessions(lines: &mut Lines, key: u64, events: &[&Event]) {
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|event| event.at);
    let mut open: Option<(u64, u64, Sum)> = None;
    for event in sorted {
        let at = event.at.as_millis().cast_unsigned();
        let (start, mut sum) = match open.take() {
            Some((start, end, sum)) if at < end => (start, sum),
            Some((start, end, sum)) => {
                windowed(lines, key, (start, end), sum);
                (at, Sum::default())
            }
            None => (at, Sum::default()),
        };
        sum.add(event);
        open = Some((start, at + GAP, sum));
    }
    if let Some((start, end, sum)) = open {
        windowed(lines, key, (start, end), sum);
    }
}

fn spans(lines: &mut Lines, key: u64, events: &[&Event]) {
    let mut open: Option<(Timestamp, u64)> = None;
    for event in events {
        let until = span_end(event.at);
        open = match open {
            Some((held, dropped)) if held >= until => Some((held, dropped + 1)),
            Some((held, dropped)) => {
                line(lines, &Repetition { key, until: held, dropped, ghost: false });
                Some((until, 0))
            }
            None => Some((until, 0)),
        };
    }
    if let Some((until, dropped)) = open {
        line(lines, &Repetition { key, until, dropped, ghost: false });
    }
}

fn numbers(lines: &mut Lines, key: u64, events: &[&Event]) {
    let (mut sum, mut listed) = (0, 0);
    for (number, event) in (1..).zip(events) {
        sum += event.value;
        listed = if number % LISTED == 0 { event.value } else { listed + event.value };
        line(lines, &Numbered { key, number, n: event.n, sum, listed });
    }
}

/// What `output` must hold in the end.
pub(crate) fn expected(splits: &[Vec<Event>], output: Output) -> Lines {
    let mut lines = Lines::new();
    let mut keys: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    for event in splits.iter().flatten() {
        keys.entry(event.key).or_default().push(event);
    }
    for (key, events) in keys {
        match output {
            Output::All => events.iter().for_each(|event| line(&mut lines, event)),
            Output::Numbers => numbers(&mut lines, key, &events),
            Output::Tumbled => windows(&mut lines, key, &events, (60_000, 60_000)),
            Output::Slid => windows(&mut lines, key, &events, (60_000, 20_000)),
            Output::Sat => sessions(&mut lines, key, &events),
            Output::Spans => spans(&mut lines, key, &events),
            Output::Pairs => {
                for odd in [false, true] {
                    let of = events.iter().filter(|event| (event.value % 2 == 1) == odd).count();
                    (1..=of as u64).for_each(|number| line(&mut lines, &(key, odd, number)));
                }
            }
            Output::Totals => {
                let mut total = 0;
                for event in events {
                    total += event.value;
                    line(&mut lines, &(key, total));
                }
            }
        }
    }
    lines
}
