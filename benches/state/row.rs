//! A row of `cargo xtask bench state`: what was measured, what was reached, what should be.

use serde::Serialize;

/// What a value should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Whatever it is: printed beside another row, to explain it.
    Nothing,
}

/// One row; the unit of `value` is the target's too.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured, with its size.
    pub(crate) work: String,
    /// Distinct keys.
    pub(crate) keys: u64,
    /// Milliseconds from one checkpoint to the next; 0 without checkpoints.
    pub(crate) checkpoint_ms: u64,
    /// What was reached.
    pub(crate) value: f64,
    /// Of `value`: `ms`, `x RocksDB`.
    pub(crate) unit: &'static str,
    /// What it should be.
    pub(crate) target: Target,
}

#[derive(Serialize)]
struct Line<'a> {
    work: &'a str,
    keys: u64,
    checkpoint_ms: u64,
    value: f64,
    unit: &'a str,
    target: Option<String>,
    met: Option<bool>,
}

impl Row {
    /// Prints it as a JSON line; `target` and `met` are null where there is no target.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let (target, met) = match self.target {
            Target::AtLeast(least) => (Some(format!(">= {least}")), Some(self.value >= least)),
            Target::AtMost(most) => (Some(format!("<= {most}")), Some(self.value <= most)),
            Target::Nothing => (None, None),
        };
        let Row { work, keys, checkpoint_ms, value, unit, .. } = self;
        let (keys, checkpoint_ms, value) = (*keys, *checkpoint_ms, *value);
        let line = Line { work, keys, checkpoint_ms, value, unit, target, met };
        println!("{}", serde_json::to_string(&line)?);
        Ok(())
    }
}
