//! The harness as a user writes with it.

use riverrun_engine::state::ListState;
use riverrun_engine::time::{at, minutes, secs};
use riverrun_engine::timer::{TimeDomain, Timer};
use serde::{Deserialize, Serialize};

use super::*;

const LATE: SideOutput<Payment> = SideOutput::new("late");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Payment {
    at: Timestamp,
    country: String,
}

fn paid_in(country: &str, at: Timestamp) -> Payment {
    Payment { at, country: country.to_owned() }
}

struct Velocity {
    last: ValueState<Payment>,
    countries: ListState<String>,
}

impl Velocity {
    fn open(op: &mut Declare<u64>) -> Velocity {
        Velocity { last: op.value("last"), countries: op.list("countries") }
    }
}

impl ProcessFunction for Velocity {
    type Key = u64;
    type In = Payment;
    type Out = u64;

    fn process(&mut self, payment: Payment, ctx: &mut Context<u64, u64>) -> Result<()> {
        if payment.at < ctx.watermark() {
            ctx.emit_to(LATE, payment);
            return Ok(());
        }
        if let Some(last) = self.last.get(ctx)?
            && last.country != payment.country
            && payment.at - last.at < minutes(1)
        {
            ctx.emit(*ctx.key());
        }
        self.countries.push(ctx, payment.country.clone())?;
        ctx.set_timer(payment.at + minutes(1));
        ctx.set_processing_timer(ctx.now() + secs(10));
        self.last.set(ctx, payment)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, u64>) -> Result<()> {
        if timer.domain == TimeDomain::Processing {
            ctx.emit_at(0, at(-1));
            return Ok(());
        }
        let stale = self.last.get(ctx)?.is_some_and(|last| last.at + minutes(1) <= timer.at);
        if stale { self.last.clear(ctx) } else { Ok(()) }
    }
}

#[test]
fn a_function_is_driven_snapshot_and_restored() -> Result<()> {
    let mut velocity = Harness::open(Velocity::open);
    velocity.push(7, paid_in("SE", at(0)), at(0))?;
    let mut velocity = velocity.snapshot().restore(Velocity::open);
    assert_eq!(velocity.value(7, |v| &v.last)?, Some(paid_in("SE", at(0))));
    velocity.push(7, paid_in("BR", at(10)), at(10))?;
    assert_eq!(velocity.take_records(), [(7, at(10))]);
    assert!(velocity.take().is_empty());
    assert_eq!(velocity.with(7, |v, ctx| v.countries.len(ctx))?, 2);
    velocity.watermark(at(90))?;
    assert!(velocity.value(7, |v| &v.last)?.is_none());
    assert_eq!((velocity.state_size("last"), velocity.state_size("#event-timers")), (0, 0));
    velocity.push(7, paid_in("BR", at(80)), at(80))?;
    assert_eq!(velocity.take_side(LATE), [paid_in("BR", at(80))]);
    assert_eq!(velocity.metrics().timers_fired.get(), 2);
    Ok(())
}

#[test]
fn the_second_snapshot_holds_the_first_and_the_changes() -> Result<()> {
    let mut velocity = Harness::open(Velocity::open);
    velocity.push(1, paid_in("SE", at(0)), at(0))?;
    let first = velocity.snapshot();
    velocity.push(2, paid_in("SE", at(5)), at(5))?;
    velocity.watermark(at(62))?;
    let second = velocity.snapshot();
    assert!(first.restore(Velocity::open).value(2, |v| &v.last)?.is_none());
    let mut restored = second.restore(Velocity::open);
    assert!(restored.value(1, |v| &v.last)?.is_none(), "cleared by its timer");
    assert!(restored.value(2, |v| &v.last)?.is_some());
    restored.watermark(at(65))?;
    assert!(restored.value(2, |v| &v.last)?.is_none(), "the timer was restored");
    Ok(())
}

#[test]
fn the_wall_clock_stands_still_until_moved() -> Result<()> {
    let mut velocity = Harness::open(Velocity::open);
    velocity.processing_time(at(100))?;
    velocity.push(1, paid_in("SE", at(0)), at(0))?;
    let mut velocity = velocity.snapshot().restore(Velocity::open);
    velocity.processing_time(at(109))?;
    assert!(velocity.take().is_empty());
    velocity.processing_time(at(110))?;
    assert_eq!(velocity.take_records(), [(0, at(-1))]);
    Ok(())
}

/// Emits a right item only after a left one opened the door.
struct Door {
    open: ValueState<bool>,
}

impl Door {
    fn open(op: &mut Declare<String>) -> Door {
        Door { open: op.value("open") }
    }
}

impl CoProcessFunction for Door {
    type Key = String;
    type Left = bool;
    type Right = u32;
    type Out = u32;

    fn process_left(&mut self, open: bool, ctx: &mut Context<String, u32>) -> Result<()> {
        self.open.set(ctx, open)
    }
    fn process_right(&mut self, item: u32, ctx: &mut Context<String, u32>) -> Result<()> {
        if self.open.get(ctx)? == Some(&true) {
            ctx.emit(item);
        }
        Ok(())
    }
}

#[test]
fn two_inputs_are_driven_alike() -> Result<()> {
    let mut door = Harness::connected(Door::open);
    door.push_right("a".to_owned(), 1, at(0))?;
    door.push_left("a".to_owned(), true, at(1))?;
    let mut door = door.snapshot().restore_connected(Door::open);
    door.push_right("a".to_owned(), 2, at(2))?;
    door.push_right("b".to_owned(), 3, at(2))?;
    assert_eq!(door.take(), [2]);
    assert_eq!(door.value("a".to_owned(), |door| &door.open)?, Some(true));
    Ok(())
}
