//! [`MemoryPlan`]: the one memory number of a process, divided. A decision without I/O, taken when
//! an attempt starts.
//!
//! An eighth stays free for what is not counted: the allocator's slack, tables while they grow,
//! code. An eighth is the spill's. Connectors get what they can hold at most, and channels too:
//! where there are so many that full ones would take more than a quarter, each holds fewer batches.
//! All the rest is for resident state, in equal parts.

use thiserror::Error;

use super::Spilling;
use crate::config::Bytes;
use crate::task::inbox::CHANNEL_BATCHES;

/// What a record in a channel is taken to weigh, with its hash, time and share of the batch.
pub const RECORD: Bytes = Bytes(64);
/// The least resident state of a subtask: below this it would only spill.
const RESIDENT_MIN: Bytes = Bytes::mib(4);
/// The least memory of a spill, where that is at most a quarter of all.
const SPILL_MIN: Bytes = Bytes::mib(64);
const SPILL_PART: u64 = 8;
const FREE_PART: u64 = 8;
/// No machine has more.
const MIB_MAX: u64 = 1 << 40;

/// What a process must hold in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeeds {
    /// Subtasks that own state.
    pub stateful_subtasks: u64,
    /// Records in channels between subtasks, where each holds one batch.
    pub channel_records: u64,
    /// What connectors hold at most, such as the queues of a Kafka client.
    pub connectors: Bytes,
    /// Whether state that does not fit has another place.
    pub spilling: Spilling,
}

/// Who gets how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Resident state of each subtask that owns some.
    pub resident_per_subtask: Bytes,
    /// Indexes, filters and write buffers of the spill, all together.
    pub spill: Bytes,
    /// Records between subtasks.
    pub channels: Bytes,
    /// How many batches a channel holds, at least one.
    pub channel_batches: usize,
    /// What connectors hold.
    pub connectors: Bytes,
    /// What is left free for what is not counted.
    pub free: Bytes,
}

/// The job does not fit.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MemoryError {
    /// Too little is left for state.
    #[error(
        "RR0345: this job does not fit into `memory` = {memory}: channels take {channels}, \
         connectors {connectors}, the spill {spill}, {free} stay free, and each of {subtasks} \
         subtasks with state needs at least {RESIDENT_MIN}; raise `memory` to at least {enough}, \
         or lower `parallelism`"
    )]
    TooSmall {
        /// What it was given.
        memory: Bytes,
        /// The least with which it would start.
        enough: Bytes,
        /// Subtasks that own state.
        subtasks: u64,
        /// For channels.
        channels: Bytes,
        /// For connectors.
        connectors: Bytes,
        /// For the spill.
        spill: Bytes,
        /// Left free.
        free: Bytes,
    },
}

impl MemoryPlan {
    /// Divides `memory`.
    ///
    /// # Errors
    /// When the job does not fit, with the least memory that would do.
    pub fn divide(memory: Bytes, needs: &MemoryNeeds) -> Result<MemoryPlan, MemoryError> {
        match Self::fitting(memory, needs) {
            Some(plan) => Ok(plan),
            None => Err(MemoryError::TooSmall {
                memory,
                enough: Self::enough(needs),
                subtasks: needs.stateful_subtasks,
                channels: channels(needs, 1),
                connectors: needs.connectors,
                spill: spill(memory, needs),
                free: Bytes(memory.0 / FREE_PART),
            }),
        }
    }

    fn fitting(memory: Bytes, needs: &MemoryNeeds) -> Option<MemoryPlan> {
        let within = |batches: &usize| *batches == 1 || channels(needs, *batches).0 <= memory.0 / 4;
        let mut deepest_first = (1..=CHANNEL_BATCHES).rev().filter(within);
        deepest_first.find_map(|batches| Self::with(batches, memory, needs))
    }

    fn with(channel_batches: usize, memory: Bytes, needs: &MemoryNeeds) -> Option<MemoryPlan> {
        let (channels, spill) = (channels(needs, channel_batches), spill(memory, needs));
        let free = Bytes(memory.0 / FREE_PART);
        let taken = [channels, needs.connectors, spill, free]
            .iter()
            .fold(0_u64, |sum, part| sum.saturating_add(part.0));
        let resident = memory.0.checked_sub(taken)?;
        let each = match needs.stateful_subtasks {
            0 => Bytes::default(),
            subtasks => Bytes(resident / subtasks),
        };
        let fits = needs.stateful_subtasks == 0 || each >= RESIDENT_MIN;
        let connectors = needs.connectors;
        let resident_per_subtask = each;
        fits.then_some(MemoryPlan {
            resident_per_subtask,
            spill,
            channels,
            channel_batches,
            connectors,
            free,
        })
    }

    /// The least whole MiB that fit: more memory never fits worse, so halving finds it.
    fn enough(needs: &MemoryNeeds) -> Bytes {
        let (mut short, mut enough) = (0, MIB_MAX);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            match Self::fitting(Bytes::mib(middle), needs) {
                Some(_) => enough = middle,
                None => short = middle,
            }
        }
        Bytes::mib(enough)
    }
}

fn channels(needs: &MemoryNeeds, batches: usize) -> Bytes {
    Bytes(needs.channel_records.saturating_mul(batches as u64).saturating_mul(RECORD.0))
}

fn spill(memory: Bytes, needs: &MemoryNeeds) -> Bytes {
    match (needs.spilling, needs.stateful_subtasks) {
        (Spilling::Absent, _) | (_, 0) => Bytes::default(),
        (Spilling::Present, _) => {
            Bytes(memory.0 / SPILL_PART).max(SPILL_MIN).min(Bytes(memory.0 / 4))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn needs() -> impl Strategy<Value = MemoryNeeds> {
        let spilling = prop_oneof![Just(Spilling::Present), Just(Spilling::Absent)];
        let connectors = (0_u64..1 << 33).prop_map(Bytes);
        (0_u64..300, 0_u64..12_000_000, connectors, spilling).prop_map(
            |(stateful_subtasks, channel_records, connectors, spilling)| MemoryNeeds {
                stateful_subtasks,
                channel_records,
                connectors,
                spilling,
            },
        )
    }

    proptest! {
        #[test]
        fn the_parts_never_exceed_the_whole(needs in needs(), mib in 1_u64..1 << 20) {
            let memory = Bytes::mib(mib);
            match MemoryPlan::divide(memory, &needs) {
                Ok(plan) => {
                    let resident = plan.resident_per_subtask.0 * needs.stateful_subtasks;
                    let parts = [plan.spill, plan.channels, plan.connectors, plan.free];
                    let sum = resident + parts.iter().map(|part| part.0).sum::<u64>();
                    prop_assert!(sum <= memory.0);
                    prop_assert!(memory.0 - sum < needs.stateful_subtasks.max(1)
                        || needs.stateful_subtasks == 0);
                }
                Err(MemoryError::TooSmall { enough, .. }) => {
                    prop_assert!(enough > memory);
                    prop_assert!(MemoryPlan::divide(enough, &needs).is_ok());
                    let less = Bytes(enough.0 - (1 << 20));
                    prop_assert!(MemoryPlan::divide(less, &needs).is_err());
                }
            }
        }
    }

    #[test]
    fn two_subtasks_in_two_gib() {
        let needs = MemoryNeeds {
            stateful_subtasks: 2,
            channel_records: 2 * 2 * 1024 * 5 / 4,
            connectors: Bytes::mib(64),
            spilling: Spilling::Present,
        };
        let plan = MemoryPlan::divide(Bytes::mib(2048), &needs).expect("fits");
        assert_eq!((plan.spill, plan.free), (Bytes::mib(256), Bytes::mib(256)));
        assert_eq!(plan.channels, Bytes(8 * 5120 * 64));
        assert_eq!(plan.resident_per_subtask, Bytes((2 * 1472 - 5) * 1024 * 1024 / 4));
        let without = MemoryNeeds { spilling: Spilling::Absent, ..needs };
        let plan = MemoryPlan::divide(Bytes::mib(2048), &without).expect("fits");
        assert_eq!(plan.spill, Bytes(0));
    }

    #[test]
    fn many_channels_hold_less_each() {
        let needs = MemoryNeeds {
            stateful_subtasks: 128,
            channel_records: 128 * 1024 + 128 * 128 * 256,
            connectors: Bytes::default(),
            spilling: Spilling::Absent,
        };
        let plan = MemoryPlan::divide(Bytes::mib(4096), &needs).expect("fits");
        assert_eq!(plan.channel_batches, 3);
        assert!(plan.channels <= Bytes::mib(1024), "{}", plan.channels);
    }

    #[test]
    fn a_job_that_does_not_fit_says_what_would_do() {
        let needs = MemoryNeeds {
            stateful_subtasks: 8,
            channel_records: 64 * 256,
            connectors: Bytes::mib(64),
            spilling: Spilling::Present,
        };
        let error = MemoryPlan::divide(Bytes::mib(128), &needs).expect_err("too small");
        assert_eq!(
            error.to_string(),
            "RR0345: this job does not fit into `memory` = 128MiB: channels take 1MiB, connectors \
             64MiB, the spill 32MiB, 16MiB stay free, and each of 8 subtasks with state needs at \
             least 4MiB; raise `memory` to at least 156MiB, or lower `parallelism`"
        );
    }
}
