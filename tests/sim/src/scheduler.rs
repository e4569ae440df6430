//! The world of a simulated run: every task on one thread, the seed says who goes on.
//!
//! 1. What is woken is put among the ready; each step polls one of them: any of them with equal
//!    chance, or the one of highest rank, ranks being drawn and now and then drawn again, so that
//!    one task may be held up for long.
//! 2. While nobody is ready tokio's paused clock jumps to the next timer.
//! 3. After each step the [`Watch`] says whether the run is over; then every task is dropped where
//!    it waits.
//!
//! Invariant: the same seed makes the same steps; [`Scheduler::trace`] is a hash over them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use riverrun::engine::time::Timestamp;
use riverrun::runtime::doors::{Sizes, World};
use tokio::time::Instant;

use crate::chance::{Chance, mixed};

/// A rank is drawn anew once in so many steps.
const RERANKED: u64 = 64;
/// In ranked order any task may go once in so many steps, so that none waits for ever.
const ANY: u64 = 8;
/// One new task of so many begins late.
const LATE: u64 = 12;
/// By so many milliseconds at most.
const LATE_MS: u64 = 40;

/// Who is ready. Rising, since who is woken first of several is tokio's choice: a `watch` wakes in
/// an order that is drawn anew in each process.
#[derive(Default)]
struct Ready {
    numbers: Mutex<Vec<u64>>,
    root: Mutex<Option<Waker>>,
}

impl Ready {
    fn push(&self, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(place) = numbers.binary_search(&number) {
            numbers.insert(place, number);
        }
        drop(numbers);
        let root = self.root.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(root) = root {
            root.wake();
        }
    }
}

struct TaskWaker {
    number: u64,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.push(self.number);
        }
    }
}

struct Task {
    name: String,
    rank: u64,
    /// `None` while it is polled.
    work: Option<LocalBoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

/// What a run is told by the seed.
pub(crate) struct Orders {
    pub(crate) chance: Chance,
    /// Whether tasks go by rank.
    pub(crate) ranked: bool,
    /// What the wall clock shows at the beginning.
    pub(crate) wall: Timestamp,
    /// When it jumps, and by how many milliseconds.
    pub(crate) jumps: Vec<(Duration, i64)>,
    /// What its runs are called.
    pub(crate) name: String,
    pub(crate) sizes: Sizes,
    /// Whether each step is told.
    pub(crate) told: bool,
}

/// Why a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// What was asked for is done.
    Done,
    /// It was killed.
    Killed,
    /// It took too many steps or too long.
    Stuck,
}

/// Looks at the run after each of its steps; the number of steps is given.
pub(crate) type Watch<'a> = dyn FnMut(u64) -> Option<Over> + 'a;

pub(crate) struct Scheduler {
    orders: Orders,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Ready>,
    chance: RefCell<Chance>,
    next: Cell<u64>,
    runs: Cell<u32>,
    polls: Cell<u64>,
    trace: Cell<u64>,
    began: Instant,
    panicked: RefCell<Option<String>>,
}

impl Scheduler {
    /// Within the runtime whose clock is paused.
    #[allow(clippy::disallowed_methods, reason = "the paused clock")]
    pub(crate) fn new(orders: Orders) -> Self {
        let chance = RefCell::new(orders.chance.clone());
        Scheduler {
            orders,
            tasks: RefCell::default(),
            ready: Arc::default(),
            chance,
            next: Cell::new(0),
            runs: Cell::new(0),
            polls: Cell::new(0),
            trace: Cell::new(0),
            began: Instant::now(),
            panicked: RefCell::new(None),
        }
    }

    /// A hash over all steps.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// The task that panicked first, and what it said.
    pub(crate) fn panicked(&self) -> Option<String> {
        self.panicked.borrow().clone()
    }

    /// Polls tasks until `watch` says that the run is over, or `limit` has passed; then drops them.
    pub(crate) async fn drive(&self, limit: Duration, watch: &mut Watch<'_>) -> Over {
        let mut late = pin!(tokio::time::sleep(limit));
        let over = poll_fn(|cx| {
            let mut root = self.ready.root.lock().unwrap_or_else(PoisonError::into_inner);
            *root = Some(cx.waker().clone());
            drop(root);
            if self.step()
                && let Some(over) = watch(self.polls.get())
            {
                return Poll::Ready(over);
            }
            if self.is_idle() {
                late.as_mut().poll(cx).map(|()| Over::Stuck)
            } else {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        let over = over.await;
        self.clear();
        over
    }

    fn is_idle(&self) -> bool {
        self.ready.numbers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn pick(&self) -> Option<u64> {
        let mut numbers = self.ready.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.is_empty() {
            return None;
        }
        let mut chance = self.chance.borrow_mut();
        let any = chance.place(numbers.len());
        if !self.orders.ranked || chance.happens(1, ANY) {
            return Some(numbers.remove(any));
        }
        let mut tasks = self.tasks.borrow_mut();
        if chance.happens(1, RERANKED)
            && let Some(task) = tasks.get_mut(&numbers[any])
        {
            task.rank = chance.next();
        }
        let rank = |at: &usize| tasks.get(&numbers[*at]).map(|task| task.rank);
        let first = (0..numbers.len()).max_by_key(rank).unwrap_or(any);
        Some(numbers.remove(first))
    }

    /// Polls one task; whether there was one.
    fn step(&self) -> bool {
        let Some(number) = self.pick() else { return false };
        let mut tasks = self.tasks.borrow_mut();
        // It may have ended since it was woken.
        let Some(task) = tasks.get_mut(&number) else { return false };
        let Some(mut work) = task.work.take() else { return false };
        let waker = task.waker.clone();
        self.polls.set(self.polls.get() + 1);
        let ms = self.monotonic().as_millis() as u64;
        self.trace.set(mixed(self.trace.get() ^ number.rotate_left(40) ^ ms));
        if self.orders.told {
            println!("{:>7} {ms:>8} ms  {number:>4} {}", self.polls.get(), task.name);
        }
        drop(tasks);
        waker.queued.store(false, Ordering::Relaxed);
        let waker = Waker::from(waker);
        let mut cx = Context::from_waker(&waker);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut cx)));
        let mut tasks = self.tasks.borrow_mut();
        if let Ok(Poll::Pending) = polled
            && let Some(task) = tasks.get_mut(&number)
        {
            task.work = Some(work);
            return true;
        }
        let ended = tasks.remove(&number);
        drop(tasks);
        if let (Err(panic), Some(task)) = (&polled, &ended) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let text = format!("task '{}' panicked: {}", task.name, text.unwrap_or_default());
            self.panicked.borrow_mut().get_or_insert(text);
        }
        true
    }

    /// Drops all tasks, and what they spawn while they are dropped.
    fn clear(&self) {
        loop {
            let first = self.tasks.borrow_mut().pop_first();
            let Some((_, task)) = first else { return };
            drop(task);
        }
    }
}

impl World for Scheduler {
    fn spawn(&self, name: &str, work: LocalBoxFuture<'static, ()>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let mut chance = self.chance.borrow_mut();
        let late = chance.happens(1, LATE).then(|| chance.within(1, LATE_MS));
        let rank = chance.next();
        drop(chance);
        let work = match late {
            Some(ms) => Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                work.await;
            }),
            None => work,
        };
        let queued = AtomicBool::new(true);
        let waker = Arc::new(TaskWaker { number, queued, ready: self.ready.clone() });
        let task = Task { name: name.to_owned(), rank, work: Some(work), waker };
        self.tasks.borrow_mut().insert(number, task);
        self.ready.push(number);
        number
    }

    fn end(&self, number: u64) {
        let ended = self.tasks.borrow_mut().remove(&number);
        drop(ended);
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn now(&self) -> Timestamp {
        let (passed, Orders { wall, jumps, .. }) = (self.monotonic(), &self.orders);
        let jumped = jumps.iter().filter(|(at, _)| *at <= passed).map(|(_, ms)| ms).sum::<i64>();
        Timestamp::from_millis((*wall + passed).as_millis() + jumped)
    }

    fn run_name(&self) -> String {
        self.runs.set(self.runs.get() + 1);
        format!("{}-{}", self.orders.name, self.runs.get())
    }

    fn sizes(&self) -> Sizes {
        self.orders.sizes
    }
}
