//! Lays the channels of a plan: one for each pair of subtasks that talk to each other. Which source
//! subtasks have nothing to read is known by then, and told to those downstream; so is which have
//! only such inputs.

use std::collections::BTreeMap;

use riverrun_engine::graph::{Graph, Partitioning};
use tokio::sync::mpsc;

use super::restore::Restore;
use crate::plan::{Plan, Task, TaskId};
use crate::task::build::{Input, SubtaskSpec};
use crate::task::emitter::Route;
use crate::task::report::{Order, Subtask};

/// The subtasks of a plan, wired, and the way to each source subtask.
#[derive(Default)]
pub struct Wired {
    /// All subtasks.
    pub specs: Vec<SubtaskSpec>,
    /// Where orders go.
    pub orders: BTreeMap<Subtask, mpsc::UnboundedSender<Order>>,
}

/// Wires `plan`, with channels of so many batches; `restore` knows the splits.
#[must_use]
pub fn wire(
    (graph, plan): (&Graph, &Plan),
    key_groups: u16,
    channel_batches: usize,
    restore: &Restore,
) -> Wired {
    let mut inputs: BTreeMap<(TaskId, u32), Vec<Input>> = BTreeMap::new();
    let mut routes: BTreeMap<(TaskId, u32), Vec<Route>> = BTreeMap::new();
    // Producers come before consumers.
    for link in plan.tasks.iter().flat_map(|task| &task.outputs) {
        let from = &plan.tasks[link.from.0];
        let consumers = plan.tasks[link.to.0].parallelism;
        for producer in 0..from.parallelism {
            let idle = match inputs.get(&(link.from, producer)) {
                Some(inputs) => inputs.iter().all(|input| input.idle),
                None => reads_nothing(graph, from, producer, restore),
            };
            let targets = match link.partitioning {
                Partitioning::Forward => producer..producer + 1,
                _ => 0..consumers,
            };
            let mut senders = Vec::new();
            for target in targets {
                let (sender, channel) = mpsc::channel(channel_batches);
                senders.push(sender);
                let input = Input { channel, idle };
                inputs.entry((link.to, target)).or_default().push(input);
            }
            let route = Route::new(link.port, link.partitioning, senders, key_groups);
            routes.entry((link.from, producer)).or_default().push(route);
        }
    }
    let mut wired = Wired::default();
    for (task, index) in plan.subtasks() {
        let subtask = Subtask { task, index };
        let source = Plan::is_source(graph, &plan.tasks[task.0]);
        let orders = source.then(|| {
            // At most one order for each checkpoint that timed out while the source was held up.
            let (sender, receiver) = mpsc::unbounded_channel();
            wired.orders.insert(subtask, sender);
            receiver
        });
        wired.specs.push(SubtaskSpec {
            subtask,
            task: plan.tasks[task.0].clone(),
            inputs: inputs.remove(&(task, index)).unwrap_or_default(),
            routes: routes.remove(&(task, index)).unwrap_or_default(),
            orders,
        });
    }
    wired
}

/// Whether `subtask` of `task` reads from outside, but has no split.
fn reads_nothing(graph: &Graph, task: &Task, subtask: u32, restore: &Restore) -> bool {
    let first = task.nodes.first().filter(|_| Plan::is_source(graph, task));
    first.is_some_and(|id| {
        let uid = &graph.node(*id).uid;
        restore.splits_of(uid, subtask, task.parallelism).is_empty()
    })
}
