//! What two runs wrote, compared as bags of lines: files may be cut elsewhere and lines come in
//! another order, but every line must be there as often as in the other.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

/// How an output differs from the one expected.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Lines expected and missing.
    pub(crate) lost: u64,
    /// Lines expected that came too often.
    pub(crate) doubled: u64,
    /// Lines that nobody expected.
    pub(crate) changed: u64,
}

impl Difference {
    /// How `got` differs from `expected`.
    pub(crate) fn between(expected: &[String], got: &[String]) -> Self {
        let mut balance: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for line in expected {
            balance.entry(line).or_default().0 += 1;
        }
        for line in got {
            balance.entry(line).or_default().1 += 1;
        }
        let mut difference = Difference::default();
        for (expected, got) in balance.into_values() {
            difference.lost += expected.saturating_sub(got);
            match expected {
                0 => difference.changed += got,
                _ => difference.doubled += got.saturating_sub(expected),
            }
        }
        difference
    }

    /// Whether there is none.
    pub(crate) fn is_exact(&self) -> bool {
        *self == Difference::default()
    }
}

/// All lines of all visible files of all sinks below `output`, each after its sink's name.
pub(crate) fn lines(output: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for sink in visible(output)? {
        let name = sink.file_name().unwrap_or_default().to_string_lossy().into_owned();
        lines.extend(sink_lines(&sink)?.into_iter().map(|line| format!("{name}: {line}")));
    }
    Ok(lines)
}

/// All lines of one sink's visible files; none when it has no folder yet.
pub(crate) fn sink_lines(sink: &Path) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in visible(sink)? {
        if file.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    Ok(lines)
}

/// What lies in `folder` and does not begin with a dot, in order.
fn visible(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bag(lines: &str) -> Vec<String> {
        lines.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn order_does_not_count_and_number_does() {
        let of = |expected: &str, got: &str| Difference::between(&bag(expected), &bag(got));
        assert!(of("a b b c", "b c a b").is_exact());
        assert_eq!(of("a b b", "a b"), Difference { lost: 1, ..Difference::default() });
        assert_eq!(of("a b", "a a a b"), Difference { doubled: 2, ..Difference::default() });
        assert_eq!(of("a b", "a x"), Difference { lost: 1, changed: 1, doubled: 0 });
    }
}
