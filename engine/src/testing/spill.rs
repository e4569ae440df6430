//! A spill in memory, the plain twin of the runtime's, and what every spill must do: steps, a plain
//! model, and the check of one against the other.
//!
//! Called by property tests of tables and of the spills themselves.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::graph::Uid;
use crate::state::spill::{Spill, SpillBatch, SpillDoor, SpillError, SpillRow};

/// Rows in a tree.
#[derive(Clone, Debug, Default)]
pub struct MemorySpill {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Opens [`MemorySpill`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemorySpillDoor;

impl SpillDoor for MemorySpillDoor {
    fn open(&self, _: &Uid, _: u32, _: &str) -> Result<Box<dyn Spill>, SpillError> {
        Ok(Box::new(MemorySpill::default()))
    }

    /// Its rows are the test's own.
    fn excess_bytes(&self) -> u64 {
        0
    }
}

impl Spill for MemorySpill {
    fn read(&mut self, keys: &[&[u8]], out: &mut Vec<Option<Vec<u8>>>) -> Result<(), SpillError> {
        out.clear();
        out.extend(keys.iter().map(|key| self.rows.get(*key).cloned()));
        Ok(())
    }

    fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError> {
        for (key, value) in rows.rows() {
            match value {
                Some(value) => _ = self.rows.insert(key.to_vec(), value.to_vec()),
                None => _ = self.rows.remove(key),
            }
        }
        Ok(())
    }

    fn scan(
        &mut self,
        prefix: &[u8],
        after: Option<&[u8]>,
        rows_max: usize,
        out: &mut Vec<SpillRow>,
    ) -> Result<(), SpillError> {
        out.clear();
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after.to_vec()),
            None => Bound::Included(prefix.to_vec()),
        };
        let rows = self.rows.range((from, Bound::Unbounded));
        let rows = rows.take_while(|(key, _)| key.starts_with(prefix));
        out.extend(rows.take(rows_max).map(|(key, value)| (key.clone(), value.clone())));
        Ok(())
    }

    fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError> {
        self.rows.retain(|key, _| !key.starts_with(prefix));
        Ok(())
    }
}

/// One call of a spill.
#[derive(Clone, Debug)]
pub enum SpillStep {
    /// Puts (with a value) and deletes.
    Write(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// Reads these keys.
    Read(Vec<Vec<u8>>),
    /// Walks all rows with the prefix, so many at a time.
    Walk(Vec<u8>, usize),
    /// Drops a prefix.
    Drop(Vec<u8>),
}

impl SpillStep {
    /// The step that some numbers stand for, so that any generator of numbers can draw steps. Keys
    /// are short and few, so that steps meet; they hold `0x00` and `0xff`.
    #[must_use]
    pub fn drawn(kind: u8, numbers: &[u32]) -> SpillStep {
        let first = numbers.first().copied().unwrap_or(0);
        match kind % 8 {
            0..4 => SpillStep::Write(numbers.iter().map(|n| drawn_row(*n)).collect()),
            4 | 5 => SpillStep::Read(numbers.iter().map(|n| drawn_key(*n)).collect()),
            6 => SpillStep::Walk(drawn_prefix(first), numbers.len().max(1)),
            _ => SpillStep::Drop(drawn_prefix(first)),
        }
    }
}

fn drawn_key(number: u32) -> Vec<u8> {
    let parts = [0x00, 0x01, 0x7f, 0xff];
    let part = |at: u32| parts[(number >> (2 * at)) as usize % parts.len()];
    let len = 2 + (number >> 12) % 3;
    (0..len).map(part).collect()
}

fn drawn_row(number: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    let value = vec![(number >> 16) as u8; (number >> 24) as usize % 40];
    (drawn_key(number), (number >> 14 & 3 != 0).then_some(value))
}

fn drawn_prefix(number: u32) -> Vec<u8> {
    let key = drawn_key(number);
    let len = (number >> 16) as usize % (key.len() + 1);
    key[..len].to_vec()
}

/// Takes the steps with `spill`, which is empty, and with a plain list of rows.
///
/// # Errors
/// The first step whose answer is not that of the list, with both.
pub fn check_spill(spill: &mut dyn Spill, steps: &[SpillStep]) -> Result<(), String> {
    let mut list: Vec<SpillRow> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let wrong = |what: String| format!("step {at}, {step:?}: {what}");
        let failed = |error: SpillError| format!("step {at}, {step:?}: {error}");
        match step {
            SpillStep::Write(rows) => {
                let mut batch = SpillBatch::default();
                for (key, value) in rows {
                    list.retain(|(there, _)| there != key);
                    match value {
                        Some(value) => batch.put(key, value),
                        None => batch.delete(key),
                    }
                    list.extend(value.clone().map(|value| (key.clone(), value)));
                }
                spill.write(&batch).map_err(failed)?;
            }
            SpillStep::Read(keys) => {
                let asked: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                let mut found = vec![Some(vec![0xaa])];
                spill.read(&asked, &mut found).map_err(failed)?;
                let there = |key| list.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
                let expected: Vec<_> = keys.iter().map(there).collect();
                if found != expected {
                    return Err(wrong(format!("{found:?} instead of {expected:?}")));
                }
            }
            SpillStep::Walk(prefix, rows_max) => {
                let found = walk(spill, prefix, *rows_max).map_err(failed)?;
                let mut expected = list.clone();
                expected.retain(|(key, _)| key.starts_with(prefix));
                expected.sort();
                if found != expected {
                    return Err(wrong(format!("{found:?} instead of {expected:?}")));
                }
            }
            SpillStep::Drop(prefix) => {
                list.retain(|(key, _)| !key.starts_with(prefix));
                spill.drop_prefix(prefix).map_err(failed)?;
            }
        }
    }
    Ok(())
}

/// All rows with the prefix, `rows_max` at a time.
///
/// # Errors
/// Those of the spill.
pub fn walk(
    spill: &mut dyn Spill,
    prefix: &[u8],
    rows_max: usize,
) -> Result<Vec<SpillRow>, SpillError> {
    let mut all: Vec<SpillRow> = Vec::new();
    let mut part = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        spill.scan(prefix, after.as_deref(), rows_max, &mut part)?;
        let ended = part.len() < rows_max;
        all.append(&mut part);
        if ended {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A spill that forgets deletes: the check must see it.
    struct Forgetful(MemorySpill);

    impl Spill for Forgetful {
        fn read(
            &mut self,
            keys: &[&[u8]],
            out: &mut Vec<Option<Vec<u8>>>,
        ) -> Result<(), SpillError> {
            self.0.read(keys, out)
        }

        fn write(&mut self, rows: &SpillBatch) -> Result<(), SpillError> {
            let mut puts = SpillBatch::default();
            rows.rows().for_each(|(key, value)| _ = value.map(|value| puts.put(key, value)));
            self.0.write(&puts)
        }

        fn scan(
            &mut self,
            prefix: &[u8],
            after: Option<&[u8]>,
            rows_max: usize,
            out: &mut Vec<SpillRow>,
        ) -> Result<(), SpillError> {
            self.0.scan(prefix, after, rows_max, out)
        }

        fn drop_prefix(&mut self, prefix: &[u8]) -> Result<(), SpillError> {
            self.0.drop_prefix(prefix)
        }
    }

    proptest! {
        #[test]
        fn the_twin_does_what_a_list_does(
            drawn in prop::collection::vec(
                (any::<u8>(), prop::collection::vec(any::<u32>(), 0..30)),
                0..40,
            ),
        ) {
            let step = |(kind, numbers): &(u8, Vec<u32>)| SpillStep::drawn(*kind, numbers);
            let steps: Vec<SpillStep> = drawn.iter().map(step).collect();
            check_spill(&mut MemorySpill::default(), &steps).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn the_check_can_fail() {
        let key = b"k".to_vec();
        let put = SpillStep::Write(vec![(key.clone(), Some(vec![1]))]);
        let delete = SpillStep::Write(vec![(key.clone(), None)]);
        let steps = [put, delete, SpillStep::Read(vec![key])];
        assert!(check_spill(&mut MemorySpill::default(), &steps).is_ok());
        assert!(check_spill(&mut Forgetful(MemorySpill::default()), &steps).is_err());
    }
}
