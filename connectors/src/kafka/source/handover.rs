//! Between the thread that fetches and the task that reads: batches one way, orders and empty
//! batches the other.
//!
//! Bounded in bytes: the thread fetches only while less than [`BYTES`] wait here, so at most that
//! and one call's worth lie here; the rest waits in the client, which has a bound of its own.
//! Invariants: an order is followed before the next fetch; whichever side goes first, the other
//! hears of it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use riverrun_kafka::cluster::Partition;
use riverrun_kafka::fetch::{FetchError, Fetched, PartitionIndex};
use riverrun_kafka::records::Records;

use super::error::KafkaSourceError;

/// Bytes of records that wait for the task before the thread stops fetching.
const BYTES: usize = 4 * 1024 * 1024;
/// What a record takes beside its bytes.
const RECORD_BYTES: usize = 64;

/// From the task to the thread.
#[derive(Debug)]
pub(super) enum Order {
    /// Fetch this too.
    Add(Partition, i64),
    /// Fetch this no more.
    Remove(PartitionIndex),
    /// Show these offsets to the group.
    Commit(Vec<(PartitionIndex, i64)>),
    /// Fill this again.
    Recycle(Records),
}

/// From the thread to the task.
pub(super) type Brought = Result<Fetched, FetchError>;

#[derive(Default)]
struct Inside {
    brought: VecDeque<Brought>,
    bytes: usize,
    orders: Vec<Order>,
    /// Whether the thread has something to fetch.
    fetching: bool,
    reader_gone: bool,
    thread_gone: bool,
}

/// The place both sides meet at.
#[derive(Default)]
pub(super) struct Handover {
    inside: Mutex<Inside>,
    /// The thread waits here: for room or an order.
    changed: Condvar,
    /// The task waits here.
    arrived: AtomicWaker,
}

fn weight(brought: &Brought) -> usize {
    match brought {
        Ok(Fetched::Records { records, .. }) => records.size_bytes() + records.len() * RECORD_BYTES,
        _ => RECORD_BYTES,
    }
}

/// The reader's end.
pub(super) struct Front(Arc<Handover>);

/// The thread's end.
pub(super) struct Back(Arc<Handover>);

/// Both ends.
pub(super) fn handover() -> (Front, Back) {
    let shared = Arc::new(Handover::default());
    (Front(shared.clone()), Back(shared))
}

impl Handover {
    /// A panic of the other side leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Front {
    /// What came first; `Err` when the thread is gone and nothing is left.
    pub(super) fn pop(&self) -> Result<Option<Brought>, KafkaSourceError> {
        let mut inside = self.0.lock();
        let Some(brought) = inside.brought.pop_front() else {
            return match inside.thread_gone {
                true => Err(KafkaSourceError::ThreadEnded),
                false => Ok(None),
            };
        };
        let was_full = inside.bytes >= BYTES;
        inside.bytes -= weight(&brought);
        if was_full && inside.bytes < BYTES {
            self.0.changed.notify_one();
        }
        Ok(Some(brought))
    }

    pub(super) fn order(&self, order: Order) {
        let quiet = matches!(order, Order::Recycle(_));
        self.0.lock().orders.push(order);
        if !quiet {
            self.0.changed.notify_one();
        }
    }

    /// Ready when `pop` has something to say. Only waits.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.arrived.register(cx.waker());
        let inside = self.0.lock();
        match !inside.brought.is_empty() || inside.thread_gone {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let mut inside = self.0.lock();
        inside.reader_gone = true;
        inside.brought.clear();
        drop(inside);
        self.0.changed.notify_one();
    }
}

impl Back {
    /// Waits until there is an order, or something to fetch and room for it. `None` when the
    /// reader is gone.
    pub(super) fn wait(&self) -> Option<Vec<Order>> {
        let mut inside = self.0.lock();
        loop {
            if inside.reader_gone {
                return None;
            }
            let may_fetch = inside.fetching && inside.bytes < BYTES;
            let only_empties = inside.orders.iter().all(|o| matches!(o, Order::Recycle(_)));
            if may_fetch || !only_empties {
                let orders = std::mem::take(&mut inside.orders);
                inside.fetching |= orders.iter().any(|o| matches!(o, Order::Add(..)));
                return Some(orders);
            }
            let waited = self.0.changed.wait(inside);
            inside = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether there is something to fetch and room for it.
    pub(super) fn may_fetch(&self) -> bool {
        let inside = self.0.lock();
        inside.fetching && inside.bytes < BYTES && !inside.reader_gone
    }

    pub(super) fn bring(&self, brought: impl IntoIterator<Item = Brought>) {
        let mut inside = self.0.lock();
        if inside.reader_gone {
            return;
        }
        let before = inside.brought.len();
        for brought in brought {
            inside.bytes += weight(&brought);
            inside.brought.push_back(brought);
        }
        let came = inside.brought.len() > before;
        drop(inside);
        if came {
            self.0.arrived.wake();
        }
    }
}

impl Drop for Back {
    fn drop(&mut self) {
        self.0.lock().thread_gone = true;
        self.0.arrived.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;
    use riverrun_kafka::records::Place;

    use super::*;
    use crate::testing::block_on;

    fn batch(bytes: usize) -> Brought {
        let mut records = Records::new();
        let place = Place { offset: 0, timestamp: None, partition: None };
        records.push(place, None, Some(&vec![0; bytes]), []);
        Ok(Fetched::Records { partition: PartitionIndex(0), records, high: 1 })
    }

    fn add() -> Order {
        Order::Add(Partition { topic: "t".into(), number: 0 }, 0)
    }

    #[test]
    fn the_thread_fetches_only_with_a_partition_and_with_room() {
        let (front, back) = handover();
        assert!(!back.may_fetch(), "nothing is assigned");
        front.order(add());
        assert!(matches!(back.wait().as_deref(), Some([Order::Add(..)])));
        back.bring([batch(BYTES / 2), batch(BYTES / 2)]);
        assert!(!back.may_fetch(), "full");
        front.order(Order::Commit(Vec::new()));
        assert!(
            matches!(back.wait().as_deref(), Some([Order::Commit(_)])),
            "orders pass when full"
        );
        assert!(front.pop().expect("alive").is_some() && back.may_fetch());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "two sides need two threads")]
    fn each_side_hears_that_the_other_is_gone() {
        let (front, back) = handover();
        let thread = std::thread::spawn(move || back.wait().is_none());
        drop(front);
        assert!(thread.join().expect("no panic"), "a waiting thread ends");
        let (front, back) = handover();
        back.bring([batch(1)]);
        drop(back);
        block_on(poll_fn(|cx| front.poll_ready(cx)));
        assert!(front.pop().expect("what came first").is_some());
        assert!(front.pop().is_err(), "then its end");
    }
}
