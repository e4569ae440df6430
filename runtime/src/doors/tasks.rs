//! What runs futures: workers with the tasks of their subtasks, and threads beside them that do one
//! thing. In a [`World`](super::World) all of these are its tasks.

#![allow(clippy::disallowed_methods, reason = "this is the door")]

use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use super::world::current;
use super::{spawn_thread, wait_for};

/// Something that does one thing beside the workers.
#[derive(Debug)]
pub enum Aside {
    /// A thread.
    Thread(JoinHandle<()>),
    /// A task of the world.
    Task(u64),
}

/// Runs the future that `work` makes to its end, on a thread of its own called `name`.
pub fn aside<F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Aside
where
    F: Future<Output = ()> + 'static,
{
    match current() {
        Some(world) => Aside::Task(world.spawn(name, Box::pin(async move { work().await }))),
        None => Aside::Thread(spawn_thread(name, move || wait_for(work()))),
    }
}

/// From here on this thread, and those that it starts, run when others leave them a CPU, and about
/// a tenth of the time where they leave none. Where the system allows no such thing, as all do.
pub fn give_way() {
    if current().is_none() {
        lower_priority();
    }
}

#[cfg(unix)]
fn lower_priority() {
    /// How nice it is to others, of at most 19.
    const NICE: i32 = 10;

    _ = rustix::process::setpriority_process(None, NICE);
}

#[cfg(not(unix))]
fn lower_priority() {}

impl Aside {
    /// Waits until it has ended, which it must be about to do. In a world it ends where it waits.
    pub fn end(self) {
        match self {
            Aside::Thread(thread) => drop(thread.join()),
            Aside::Task(number) => {
                if let Some(world) = current() {
                    world.end(number);
                }
            }
        }
    }
}

/// Runs `work` to its end on this thread's runtime, also when what is returned is dropped; `None`
/// when the work has panicked, or its runtime is gone.
pub async fn detached<R: Send + 'static>(
    name: &str,
    work: impl Future<Output = R> + Send + 'static,
) -> Option<R> {
    let (send, done) = oneshot::channel();
    // Nobody waits any more only when this was dropped.
    let work = async move { drop(send.send(work.await)) };
    match current() {
        Some(world) => drop(world.spawn(name, Box::pin(work))),
        None => drop(tokio::spawn(work)),
    }
    done.await.ok()
}

/// What runs on a thread for work that blocks.
#[derive(Debug)]
pub struct Blocking<R>(tokio::task::JoinHandle<R>);

impl<R> Blocking<R> {
    /// Waits for its end; `None` when it has panicked.
    pub async fn ended(self) -> Option<R> {
        self.0.await.ok()
    }
}

/// Runs `work`, which blocks on real files, beside this thread's runtime, also when nobody waits
/// for it. A [`World`](super::World) has none of these: its files are in memory.
pub fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Blocking<R> {
    Blocking(tokio::task::spawn_blocking(work))
}

/// What runs the tasks of its subtasks.
#[derive(Debug)]
pub enum Worker {
    /// A thread with a runtime.
    Thread(JoinHandle<()>),
    /// A task of the world: closed when it has ended.
    Task(oneshot::Receiver<()>),
}

/// Starts a worker called `name` that runs the future which `work` makes; only there is a place for
/// [`Tasks`].
pub fn worker<F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Worker
where
    F: Future<Output = ()> + 'static,
{
    let Some(world) = current() else {
        return Worker::Thread(spawn_thread(name, move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let runtime = runtime.expect("a runtime without I/O needs nothing from the system");
            runtime.block_on(LocalSet::new().run_until(work()));
        }));
    };
    let (running, ended) = oneshot::channel();
    world.spawn(
        name,
        Box::pin(async move {
            let _running = running;
            work().await;
        }),
    );
    Worker::Task(ended)
}

impl Worker {
    /// Waits until it has ended, which it must be about to do: a thread is waited for by this
    /// thread.
    pub async fn ended(self) {
        match self {
            // Its tasks' panics are caught; one in a destructor was printed and ends only the
            // thread.
            Worker::Thread(thread) => drop(thread.join()),
            Worker::Task(ended) => drop(ended.await),
        }
    }
}

/// Tasks of one worker; they end with this.
#[derive(Debug)]
pub enum Tasks {
    /// Of the worker's runtime.
    Runtime(JoinSet<()>),
    /// Of the world: their numbers, and what is closed when they have ended.
    World(Vec<(u64, oneshot::Receiver<()>)>),
}

impl Tasks {
    /// None yet.
    #[must_use]
    pub fn none() -> Self {
        match current() {
            Some(_) => Tasks::World(Vec::new()),
            None => Tasks::Runtime(JoinSet::new()),
        }
    }

    /// Starts one.
    pub fn start(&mut self, name: &str, work: impl Future<Output = ()> + 'static) {
        match self {
            Tasks::Runtime(tasks) => drop(tasks.spawn_local(work)),
            Tasks::World(tasks) => {
                let (running, ended) = oneshot::channel();
                let work = async move {
                    let _running = running;
                    work.await;
                };
                if let Some(world) = current() {
                    tasks.push((world.spawn(name, Box::pin(work)), ended));
                }
            }
        }
    }

    /// Waits until all have ended. Cancel-safe.
    pub async fn ended(&mut self) {
        match self {
            Tasks::Runtime(tasks) => while tasks.join_next().await.is_some() {},
            Tasks::World(tasks) => {
                while let Some((_, ended)) = tasks.last_mut() {
                    drop(ended.await);
                    tasks.pop();
                }
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let Tasks::World(tasks) = self else { return };
        let Some(world) = current() else { return };
        tasks.drain(..).for_each(|(number, _)| world.end(number));
    }
}
