//! The memory of an attempt: divided before anything is opened, with the room for what does not
//! fit beside it.

use std::path::PathBuf;
use std::sync::Arc;

use riverrun_engine::element::BATCH_RECORDS;
use riverrun_engine::graph::{Graph, NodeKind, Partitioning};
use riverrun_engine::state::ResidentMemory;
use riverrun_engine::state::spill::{SpillDoor, SpillError};

use crate::config::{Bytes, Config};
use crate::doors;
use crate::plan::{Plan, Task};
use crate::state::memory::{MemoryError, MemoryNeeds, MemoryPlan};
use crate::state::{SPILLING, SpillPlace, spill_door};
use crate::task::emitter::{PART_RECORDS, read_records};

/// What the states of an attempt share.
#[derive(Clone)]
pub struct StateMemory {
    /// What they may take.
    pub resident: Arc<ResidentMemory>,
    /// Where the rest goes, in a build with such room.
    pub door: Option<Arc<dyn SpillDoor>>,
    /// What a lazy restore may hold of the files of one subtask: a part of its resident state,
    /// which counts it.
    pub held_max: u64,
    /// How many batches a channel holds.
    pub channel_batches: usize,
}

/// The part of a subtask's resident state that may be what a lazy restore holds.
const HELD_PART: u64 = 4;
/// The same where all state must fit beside it, for there is no spill.
const HELD_PART_UNSPILLED: u64 = 16;

/// Divides the memory of `config` among the subtasks of `plan`.
///
/// # Errors
/// When the job does not fit.
pub fn divide(graph: &Graph, plan: &Plan, config: &Config) -> Result<MemoryPlan, MemoryError> {
    MemoryPlan::divide(config.memory, &needs(graph, plan, config))
}

fn needs(graph: &Graph, plan: &Plan, config: &Config) -> MemoryNeeds {
    let states = graph.states(config.key_groups);
    let mut needs = MemoryNeeds {
        stateful_subtasks: 0,
        channel_records: 0,
        connectors: Bytes(0),
        spilling: SPILLING,
    };
    for task in &plan.tasks {
        let nodes = task.nodes.iter().map(|id| graph.node(*id));
        let operators = nodes.filter(|node| matches!(node.kind, NodeKind::Operator(_)));
        let stateful =
            operators.filter(|node| states.get(&node.uid).is_some_and(|s| !s.is_empty()));
        needs.stateful_subtasks += stateful.count() as u64 * u64::from(task.parallelism);
        let whole = batch_records(graph, plan, task);
        for link in &task.outputs {
            let consumers = plan.tasks[link.to.0].parallelism as usize;
            let records = match link.partitioning {
                Partitioning::Hash => dealt_in_all(whole, consumers),
                Partitioning::Forward => whole,
                Partitioning::Rebalance | Partitioning::Broadcast => consumers * whole,
            };
            needs.channel_records += u64::from(task.parallelism) * records as u64;
        }
    }
    needs
}

/// The records in a batch that leaves a subtask of `task` whole.
fn batch_records(graph: &Graph, plan: &Plan, task: &Task) -> usize {
    if !Plan::is_source(graph, task) {
        return BATCH_RECORDS;
    }
    let dealing = task.outputs.iter().filter(|link| link.partitioning == Partitioning::Hash);
    let parts = dealing.map(|link| plan.tasks[link.to.0].parallelism as usize).max();
    read_records(BATCH_RECORDS, parts.unwrap_or(1))
}

/// The room for records in all parts of a batch of `whole`: each has a quarter more than it needs
/// on average.
fn dealt_in_all(whole: usize, parts: usize) -> usize {
    if parts <= 1 { whole } else { parts * (whole / parts).max(PART_RECORDS) * 5 / 4 }
}

/// What such a piece takes: less than the 32 MiB up to which glibc learns from it.
const LARGE_BYTES: usize = 4 << 20;

/// Has the allocator of the process keep what is freed for what comes next. That of glibc gives it
/// back to the system at once as long as no large piece has been freed (`mallopt(3)`, on
/// `M_MMAP_THRESHOLD`): so what a checkpoint has written would be given back, and asked for page by
/// page by the next. After it each thread that allocates may keep 8 MiB that are free.
pub fn keep_freed() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
}

/// Opens the room beside the memory.
///
/// # Errors
/// When its folder cannot be made.
pub fn open(
    (graph, plan, config): (&Graph, &Plan, &Config),
    divided: &MemoryPlan,
    (job, attempt): (&str, &str),
) -> Result<StateMemory, SpillError> {
    let subtasks = needs(graph, plan, config).stateful_subtasks;
    let bytes = divided.resident_per_subtask.0.saturating_mul(subtasks);
    let resident = Arc::new(ResidentMemory::new(usize::try_from(bytes).unwrap_or(usize::MAX)));
    let place = SpillPlace {
        dir: PathBuf::from(&config.spill.dir),
        job: job.to_owned(),
        attempt: attempt.to_owned(),
        memory: divided.spill,
        lent: Bytes(resident.lent_max() as u64),
    };
    let door = if subtasks == 0 { None } else { spill_door(&place)? };
    tracing::debug!(job, memory = %config.memory, ?divided, "memory divided");
    let channel_batches = divided.channel_batches.min(doors::sizes().channel_batches);
    let part = if door.is_some() { HELD_PART } else { HELD_PART_UNSPILLED };
    let held_max = divided.resident_per_subtask.0 / part;
    Ok(StateMemory { resident, door, held_max, channel_batches })
}
