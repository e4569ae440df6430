//! What must come out, computed by hand over the events themselves.

use clap::ValueEnum;
use hashbrown::HashMap;

use crate::event::{KEYS, parts};
use crate::work::{Event, Tally, event};

/// Windows are this long.
pub(crate) const WINDOW_MS: i64 = 10_000;

/// What is done with the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Each as it is.
    Copy,
    /// After each, the sum of its key's prices so far.
    Running,
    /// Count per key in tumbling windows of 10 s of event time.
    Tumbling,
}

impl Work {
    /// As it is called in rows and settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Copy => "copy",
            Work::Running => "running",
            Work::Tumbling => "tumbling",
        }
    }

    /// By its name.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        Self::value_variants().iter().copied().find(|work| work.name() == name).ok_or_else(|| {
            anyhow::anyhow!("no work is called `{name}`: there is copy, running, tumbling")
        })
    }

    /// The results over `events` events.
    pub(crate) fn expected(self, events: u64) -> Tally {
        let mut tally = Tally::default();
        let all = (0..events).map(|i| event(i, KEYS));
        match self {
            Work::Copy => all.for_each(|event| tally.add(parts(&event))),
            Work::Running => {
                let mut sums = Sums::default();
                all.for_each(|event| tally.add(sums.add(&event)));
            }
            Work::Tumbling => {
                let mut counts: HashMap<(i64, u64), u64> = HashMap::new();
                all.for_each(|event| {
                    *counts.entry((start_of(event.at), event.key)).or_default() += 1
                });
                for ((start, key), count) in counts {
                    tally.add([key, start as u64, count]);
                }
            }
        }
        tally
    }
}

/// The start of the window of `at`.
pub(crate) fn start_of(at: i64) -> i64 {
    at - at.rem_euclid(WINDOW_MS)
}

/// Sums per key in a hash map.
#[derive(Default)]
pub(crate) struct Sums(HashMap<u64, u64>);

impl Sums {
    /// Key, time and new sum.
    pub(crate) fn add(&mut self, event: &Event) -> [u64; 3] {
        let sum = self.0.entry(event.key).or_default();
        *sum = sum.wrapping_add(event.price);
        [event.key, event.at as u64, *sum]
    }
}
