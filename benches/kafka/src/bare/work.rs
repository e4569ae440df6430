//! What the bare loop does with each event of its partitions.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use hashbrown::HashMap;

use crate::event::{Bytes, PARTITIONS, decode, encode, event, partition_of};
use crate::expected::{Sums, WINDOW_MS, Work, start_of};

/// Results to be sent, by partition.
#[derive(Default)]
pub(super) struct Results(pub(super) [Vec<Bytes>; PARTITIONS as usize]);

impl Results {
    fn add(&mut self, parts: [u64; 3]) {
        self.0[partition_of(parts[0]) as usize].push(encode(parts));
    }
}

/// The work, and its state.
pub(super) struct Doing {
    work: Work,
    sums: Sums,
    /// Counts by key, by the start of their window.
    open: BTreeMap<i64, HashMap<u64, u64>>,
    /// The time each partition has reached.
    reached: BTreeMap<i32, i64>,
}

impl Doing {
    pub(super) fn new(work: Work, partitions: impl Iterator<Item = i32>) -> Self {
        let reached = partitions.map(|partition| (partition, 0)).collect();
        Doing { work, sums: Sums::default(), open: BTreeMap::new(), reached }
    }

    /// One event.
    pub(super) fn event(&mut self, partition: i32, value: &[u8], out: &mut Results) -> Result<()> {
        let parts = decode(value).context("a value that is no event")?;
        match self.work {
            Work::Copy => out.add(parts),
            Work::Running => out.add(self.sums.add(&event(parts))),
            Work::Tumbling => {
                let (start, key) = (start_of(event(parts).at), parts[0]);
                *self.open.entry(start).or_default().entry(key).or_default() += 1;
                let reached = self.reached.entry(partition).or_default();
                if start > *reached {
                    *reached = start;
                    self.fire(out);
                }
            }
        }
        Ok(())
    }

    /// Nothing more comes from `partition`.
    pub(super) fn ended(&mut self, partition: i32, out: &mut Results) {
        self.reached.insert(partition, i64::MAX);
        self.fire(out);
    }

    /// Gives out the windows that no partition will add to.
    fn fire(&mut self, out: &mut Results) {
        let reached = self.reached.values().min().copied().unwrap_or(i64::MAX);
        while let Some(first) = self.open.first_entry()
            && *first.key() + WINDOW_MS <= reached
        {
            let (start, counts) = first.remove_entry();
            counts.into_iter().for_each(|(key, count)| out.add([key, start as u64, count]));
        }
    }
}
