//! The alerts judged: the generator plants fraud and labels it, so what was found can be counted.
//!
//! An alert is a line of `suspicions` (`key`, `window.start`, `window.end`) or of `travel` (`card`,
//! `at`); a label is a line of `truth` (`card`, `from_ms`, `to_ms`). They meet when they name the
//! same card and their times touch.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::compare::sink_lines;

/// A card and a span of event time, its ends included, in milliseconds.
struct Span {
    card: String,
    from_ms: i64,
    to_ms: i64,
}

/// How the alerts fare against the truth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Score {
    /// Alerts raised.
    pub(crate) alerts: usize,
    /// Alerts that meet planted fraud.
    pub(crate) right: usize,
    /// Fraud planted.
    pub(crate) planted: usize,
    /// Planted fraud that at least one alert meets.
    pub(crate) found: usize,
}

impl Score {
    /// Of the alerts, how many were right: 0 to 1.
    pub(crate) fn precision(&self) -> f64 {
        self.right as f64 / self.alerts.max(1) as f64
    }

    /// Of the planted fraud, how much was found: 0 to 1.
    pub(crate) fn recall(&self) -> f64 {
        self.found as f64 / self.planted.max(1) as f64
    }
}

/// Judges the alerts below `output` by the labels below it.
pub(crate) fn score(output: &Path) -> Result<Score> {
    let mut alerts = spans(output, "suspicions", suspicion)?;
    alerts.extend(spans(output, "travel", travel)?);
    let truth = truth(output)?;
    Ok(judge(&alerts, &truth))
}

/// The planted fraud.
fn truth(output: &Path) -> Result<Vec<Span>> {
    let truth = spans(output, "truth", label)?;
    ensure!(!truth.is_empty(), "no labels in {}: nothing to judge by", output.display());
    Ok(truth)
}

fn judge(alerts: &[Span], truth: &[Span]) -> Score {
    let right = alerts.len() - unmet(alerts, truth);
    let found = truth.len() - unmet(truth, alerts);
    Score { alerts: alerts.len(), right, planted: truth.len(), found }
}

/// How many of `these` meet none of `those`.
fn unmet(these: &[Span], those: &[Span]) -> usize {
    let mut cards: HashMap<&str, Vec<&Span>> = HashMap::new();
    for span in those {
        cards.entry(&span.card).or_default().push(span);
    }
    let met = |a: &Span| {
        let others = cards.get(a.card.as_str());
        others.is_some_and(|o| o.iter().any(|b| a.from_ms <= b.to_ms && b.from_ms <= a.to_ms))
    };
    these.iter().filter(|span| !met(span)).count()
}

/// Every line of `sink` as a span.
fn spans(output: &Path, sink: &str, read: fn(&Value) -> Option<Span>) -> Result<Vec<Span>> {
    let lines = sink_lines(&output.join(sink))?;
    let span = |line: &String| {
        let value: Option<Value> = serde_json::from_str(line).ok();
        value.as_ref().and_then(read).with_context(|| format!("{sink}: cannot read `{line}`"))
    };
    lines.iter().map(span).collect()
}

fn suspicion(alert: &Value) -> Option<Span> {
    let window = &alert["window"];
    // A window's end is the first moment after it.
    let to_ms = window["end"].as_i64()? - 1;
    Some(Span { card: alert["key"].to_string(), from_ms: window["start"].as_i64()?, to_ms })
}

fn travel(alert: &Value) -> Option<Span> {
    let at = alert["at"].as_i64()?;
    Some(Span { card: alert["card"].to_string(), from_ms: at, to_ms: at })
}

fn label(truth: &Value) -> Option<Span> {
    let (from_ms, to_ms) = (truth["from_ms"].as_i64()?, truth["to_ms"].as_i64()?);
    Some(Span { card: truth["card"].to_string(), from_ms, to_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alerts_meet_the_fraud_on_their_card_in_their_time() {
        let window = |card: u64, start: i64| {
            let alert = json!({"key": card, "window": {"start": start, "end": start + 60}});
            suspicion(&alert).expect("an alert")
        };
        let fraud = |card: u64, from_ms: i64| {
            label(&json!({"card": card, "from_ms": from_ms, "to_ms": from_ms + 5})).expect("fraud")
        };
        let jump = travel(&json!({"card": 3, "at": 7})).expect("an alert");
        let alerts = [window(1, 0), window(1, 60), window(2, 0), jump];
        let truth = [fraud(1, 55), fraud(2, 60), fraud(3, 7), fraud(4, 0)];
        let score = judge(&alerts, &truth);
        assert_eq!(score, Score { alerts: 4, right: 3, planted: 4, found: 2 });
    }

    #[test]
    fn a_line_that_is_no_alert_is_named() {
        assert!(suspicion(&json!({"key": 1})).is_none());
        assert!(travel(&json!({"card": 1, "at": "soon"})).is_none());
    }
}
