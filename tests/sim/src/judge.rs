//! Compares what is visible on the disk with what the oracle says.

use std::path::Path;

use crate::disk::{SimDisk, Weather};
use crate::job::Output;
use crate::oracle::{Lines, expected};
use crate::simulate::checkpoints_are_whole;
use crate::steps::Event;

/// How many lines are named at most.
const NAMED: usize = 5;

/// What one output must hold, and every file that was ever visible in it.
struct Wanted {
    folder: String,
    lines: Lines,
    seen: Vec<(String, Vec<u8>)>,
}

/// What must hold.
pub(crate) struct Judge {
    wanted: Vec<Wanted>,
}

impl Judge {
    pub(crate) fn of(splits: &[Vec<Event>], outputs: &[Output]) -> Judge {
        let wanted = |output: &Output| Wanted {
            folder: output.folder(),
            lines: expected(splits, *output),
            seen: Vec::new(),
        };
        Judge { wanted: outputs.iter().map(wanted).collect() }
    }

    /// Looks at what is visible now, between two lives or after the `last`.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn look(&mut self, disk: &SimDisk, last: bool) -> Result<(), String> {
        self.wanted.iter_mut().try_for_each(|wanted| wanted.look(disk, last))?;
        if !last {
            return Ok(());
        }
        disk.begin(Weather::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(|e| e.to_string())?;
        runtime.block_on(checkpoints_are_whole(disk))
    }
}

impl Wanted {
    fn look(&mut self, disk: &SimDisk, last: bool) -> Result<(), String> {
        let (hidden, visible): (Vec<_>, Vec<_>) =
            disk.all(Path::new(&self.folder)).into_iter().partition(|(path, _)| {
                Path::new(path).file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
            });
        if let (true, Some((path, _))) = (last, hidden.first()) {
            return Err(format!("'{path}' is left over"));
        }
        for (path, bytes) in &self.seen {
            match visible.iter().find(|(other, _)| other == path) {
                Some((_, now)) if now == bytes => {}
                Some(_) => return Err(format!("'{path}' was visible and has changed")),
                // A loss of power may undo a rename, until the checkpoint is committed again.
                None if !last => {}
                None => return Err(format!("'{path}' was visible and is gone")),
            }
        }
        let mut lines = Lines::new();
        for (path, bytes) in &visible {
            let text = std::str::from_utf8(bytes).map_err(|e| format!("'{path}': {e}"))?;
            text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
        }
        self.seen.retain(|(path, _)| !visible.iter().any(|(other, _)| other == path));
        self.seen.extend(visible);
        self.compare(&lines, last)
    }

    fn compare(&self, lines: &Lines, last: bool) -> Result<(), String> {
        let mut wrong = Vec::new();
        for (line, count) in lines {
            let most = self.lines.get(line).copied().unwrap_or_default();
            if *count > most {
                wrong.push(format!("{count} times, not {most}: {line}"));
            }
        }
        for (line, most) in self.lines.iter().filter(|_| last) {
            let count = lines.get(line).copied().unwrap_or_default();
            if count < *most {
                wrong.push(format!("{count} times, not {most}: {line}"));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let (all, folder) = (wrong.len(), &self.folder);
        wrong.truncate(NAMED);
        Err(format!("{all} lines of '{folder}' are not as they must be:\n  {}", wrong.join("\n  ")))
    }
}
