//! How an output differs from the oracle's: as bags of records sink by sink, and in the order of
//! each key's records.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::output::{Output, Record};

/// Records shown of each difference.
const SHOWN: usize = 5;

/// How an output differs from the one expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Records expected and missing.
    pub lost: u64,
    /// Records expected that came too often.
    pub doubled: u64,
    /// Records that nobody expected.
    pub changed: u64,
    /// Keys whose records are all there, in another order.
    pub reordered: u64,
    /// Records that came again where they may.
    pub repeated: u64,
    /// The first of them, each after what became of it and its sink.
    pub first: Vec<String>,
}

impl Difference {
    /// How `got` differs from `expected`; order counts for the keys of `ordered` sinks, and records
    /// of those in `repeats` may come again.
    pub(super) fn between(
        expected: &Output,
        got: &Output,
        ordered: &BTreeSet<String>,
        repeats: &BTreeSet<String>,
    ) -> Difference {
        let mut difference = Difference::default();
        let sinks: BTreeSet<&String> = expected.by_sink.keys().chain(got.by_sink.keys()).collect();
        for sink in sinks {
            let of = |output: &Output| output.by_sink.get(sink).cloned().unwrap_or_default();
            let (expected, got) = (of(expected), of(got));
            let may_repeat = repeats.contains(sink);
            difference.bags(sink, &expected, &got, may_repeat);
            if ordered.contains(sink) && !may_repeat {
                difference.orders(sink, &expected, &got);
            }
        }
        difference
    }

    fn bags(&mut self, sink: &str, expected: &[Record], got: &[Record], may_repeat: bool) {
        let mut balance: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for record in expected {
            balance.entry(&record.text).or_default().0 += 1;
        }
        for record in got {
            balance.entry(&record.text).or_default().1 += 1;
        }
        for (text, (expected, got)) in balance {
            let (lost, more) = (expected.saturating_sub(got), got.saturating_sub(expected));
            let what = match (lost, expected) {
                (0, _) if more == 0 => continue,
                (0, 1..) if may_repeat => {
                    self.repeated += more;
                    continue;
                }
                (0, 0) => "changed",
                (0, _) => "doubled",
                _ => "lost",
            };
            self.lost += lost;
            match expected {
                0 => self.changed += more,
                _ => self.doubled += more,
            }
            self.show(what, sink, text);
        }
    }

    fn orders(&mut self, sink: &str, expected: &[Record], got: &[Record]) {
        let (expected, got) = (by_key(expected), by_key(got));
        for (key, texts) in &expected {
            let Some(other) = got.get(key).filter(|other| *other != texts) else { continue };
            let sorted = |texts: &[&str]| {
                let mut sorted: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
                sorted.sort();
                sorted
            };
            if sorted(other) == sorted(texts) {
                self.reordered += 1;
                self.show("reordered", sink, &format!("the records of key {key}"));
            }
        }
    }

    fn show(&mut self, what: &str, sink: &str, text: &str) {
        let already = self.first.iter().filter(|shown| shown.starts_with(what)).count();
        if already < SHOWN {
            self.first.push(format!("{what}: {sink}: {text}"));
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.lost + self.doubled + self.changed + self.reordered == 0
    }
}

fn by_key(records: &[Record]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for record in records {
        if let Some(key) = &record.key {
            by_key.entry(key).or_default().push(&record.text);
        }
    }
    by_key
}

/// The sinks whose records all have keys, and come in one order of each key in both outputs.
pub(super) fn ordered(a: &Output, b: &Output) -> BTreeSet<String> {
    let keyed = |records: &[Record]| records.iter().all(|record| record.key.is_some());
    let both = a.by_sink.iter().filter(|(sink, records)| {
        let other = b.by_sink.get(*sink);
        keyed(records) && other.is_some_and(|other| by_key(records) == by_key(other))
    });
    both.map(|(sink, _)| sink.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records `k1 k2`: the first letter is the key.
    fn output(records: &str) -> Output {
        let record = |text: &str| Record { text: text.to_owned(), key: Some(text[..1].to_owned()) };
        let records = records.split_whitespace().map(record).collect();
        Output { by_sink: [("s".to_owned(), records)].into() }
    }

    fn difference(expected: &str, got: &str) -> (u64, u64, u64, u64) {
        let ordered = BTreeSet::from(["s".to_owned()]);
        let none = BTreeSet::new();
        let d = Difference::between(&output(expected), &output(got), &ordered, &none);
        assert_eq!(d.is_exact(), d.first.is_empty());
        (d.lost, d.doubled, d.changed, d.reordered)
    }

    #[test]
    fn order_counts_within_a_key_and_number_everywhere() {
        assert_eq!(difference("a1 b1 a2", "a1 a2 b1"), (0, 0, 0, 0));
        assert_eq!(difference("a1 b1 a2", "a2 a1 b1"), (0, 0, 0, 1));
        assert_eq!(difference("a1 a1 b1", "a1 b1"), (1, 0, 0, 0));
        assert_eq!(difference("a1 b1", "a1 a1 a1 b1"), (0, 2, 0, 0));
        assert_eq!(difference("a1 b1", "a1 x"), (1, 0, 1, 0));
        assert_eq!(difference("a1", ""), (1, 0, 0, 0));
    }

    #[test]
    fn where_records_may_repeat_only_lost_and_changed_ones_count() {
        let sinks = BTreeSet::from(["s".to_owned()]);
        let between = |got| Difference::between(&output("a1 b1"), &output(got), &sinks, &sinks);
        let again = between("b1 a1 b1 a1");
        assert!(again.is_exact() && again.repeated == 2 && again.first.is_empty());
        assert_eq!((between("a1 a1").lost, between("a1 b1 x").changed), (1, 1));
    }

    #[test]
    fn a_sink_is_ordered_if_two_runs_agree() {
        let sinks = |a, b| ordered(&output(a), &output(b)).len();
        assert_eq!(sinks("a1 b1 a2", "b1 a1 a2"), 1);
        assert_eq!(sinks("a1 b1 a2", "b1 a2 a1"), 0);
    }
}
