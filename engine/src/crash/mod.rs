//! Crash points: named places at which a drill lets a run die, stand still, dawdle or fail.
//!
//! Placed all over the engine with [`crash_point!`](crate::crash_point) and
//! [`fault_point!`](crate::fault_point); listed in [`POINTS`], and a test holds that neither has
//! what the other lacks. Armed by the command line of a run that a drill started, and by nobody
//! else: until then a point is one relaxed load of a static. What an action does to the process is
//! the runtime's, which has the doors for it.
//!
//! Invariants: armed at most once in a process; an order acts at its passing and at no other.

mod order;
mod points;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use thiserror::Error;

pub use order::{Action, CrashOrder, OrderError, Passing, points_of};
pub use points::{POINTS, Point, When, point};

static ARMED: AtomicBool = AtomicBool::new(false);
static ARMS: OnceLock<Arms> = OnceLock::new();

struct Arms {
    orders: Vec<CrashOrder>,
    /// By the places of [`POINTS`].
    passings: Vec<AtomicU64>,
    act: fn(Action),
}

/// What a fault point returns when it was told to fail.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("RR0801: a drill made '{point}' fail")]
pub struct Fault {
    /// The point.
    pub point: &'static str,
}

impl From<Fault> for std::io::Error {
    fn from(fault: Fault) -> Self {
        std::io::Error::other(fault)
    }
}

/// From here on points are counted, and `act` is called where an order says so. Only the first
/// call of a process counts.
pub fn arm(orders: Vec<CrashOrder>, act: fn(Action)) {
    let passings = POINTS.iter().map(|_| AtomicU64::new(0)).collect();
    if ARMS.set(Arms { orders, passings, act }).is_ok() {
        ARMED.store(true, Ordering::Release);
    }
}

/// Whether points do anything: what the macros ask first.
#[inline]
#[must_use]
pub fn is_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

/// Passes a point: what [`crash_point!`](crate::crash_point) does once armed.
#[cold]
pub fn pass(name: &str) {
    // A point that cannot fail takes no order to: orders are checked when they are read.
    drop(fault(name));
}

/// Passes a point that can fail: what [`fault_point!`](crate::fault_point) does once armed.
///
/// # Errors
/// When an order says so.
#[cold]
pub fn fault(name: &str) -> Result<(), Fault> {
    let Some(arms) = ARMS.get() else { return Ok(()) };
    let Some(at) = POINTS.iter().position(|point| point.name == name) else { return Ok(()) };
    let passing = arms.passings[at].fetch_add(1, Ordering::Relaxed) + 1;
    let of_this = |order: &&CrashOrder| order.point.name == name && order.passing.is(passing);
    for order in arms.orders.iter().filter(of_this) {
        match order.action {
            Action::Error => return Err(Fault { point: order.point.name }),
            action => (arms.act)(action),
        }
    }
    Ok(())
}

/// How often each point was passed so far; nothing while nobody counts.
#[must_use]
pub fn passings() -> Vec<(&'static str, u64)> {
    let Some(arms) = ARMS.get() else { return Vec::new() };
    let counts = arms.passings.iter().map(|count| count.load(Ordering::Relaxed));
    POINTS.iter().map(|point| point.name).zip(counts).collect()
}

/// A place at which a drill can let the run die: `crash_point!("checkpoint.cut")`. The name stands
/// in [`POINTS`].
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        if $crate::crash::is_armed() {
            $crate::crash::pass($name);
        }
    };
}

/// A [`crash_point!`](crate::crash_point) that a drill can also let fail: a `Result` whose error is
/// a [`Fault`].
#[macro_export]
macro_rules! fault_point {
    ($name:literal) => {
        if $crate::crash::is_armed() { $crate::crash::fault($name) } else { Ok(()) }
    };
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static ACTED: RefCell<Vec<Action>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn orders_act_at_their_passings_and_all_are_counted() {
        assert!(!is_armed());
        crash_point!("source.batch");
        let orders = CrashOrder::parse_all(
            "source.batch:2:sleep=7,source.batch:*:stop,storage.write:2:error",
        );
        arm(orders.expect("orders"), |action| ACTED.with_borrow_mut(|acted| acted.push(action)));
        crash_point!("source.batch");
        crash_point!("source.batch");
        let failing = || -> Result<(), Fault> { fault_point!("storage.write") };
        assert_eq!(failing(), Ok(()));
        assert_eq!(failing(), Err(Fault { point: "storage.write" }));
        assert_eq!(failing(), Ok(()));
        let acted = ACTED.with_borrow(Clone::clone);
        assert_eq!(acted, [Action::Stop, Action::Sleep { ms: 7 }, Action::Stop]);
        let counted: Vec<_> = passings().into_iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("source.batch", 2), ("storage.write", 3)]);
    }
}
