//! A process function whose state has a time to live, as a user tests it.

use riverrun_engine::state::{ListState, MapState, Ttl, ValueState};
use riverrun_engine::time::{at, minutes, secs};

use super::*;
use crate::testing::Harness;

/// Lets an item of a key through once a minute.
struct Once {
    seen: ValueState<i64>,
}

impl Once {
    fn open(op: &mut Declare<u64>) -> Once {
        Once { seen: op.ttl(Ttl::since_write(minutes(1))).value("seen") }
    }

    fn by_wall_clock(op: &mut Declare<u64>) -> Once {
        Once { seen: op.ttl(Ttl::since_write(minutes(1)).processing_time()).value("seen") }
    }
}

impl ProcessFunction for Once {
    type Key = u64;
    type In = i64;
    type Out = i64;

    fn process(&mut self, item: i64, ctx: &mut Context<u64, i64>) -> Result<()> {
        if self.seen.get(ctx)?.is_none() {
            self.seen.set(ctx, item)?;
            ctx.emit(item);
        }
        Ok(())
    }
}

#[test]
fn what_was_seen_is_forgotten_after_a_minute_and_stays_forgotten() {
    let mut once = Harness::open(Once::open);
    once.push(7, 1, at(0)).expect("processes");
    once.watermark(at(59)).expect("advances");
    once.push(7, 2, at(59)).expect("processes");
    assert_eq!(once.take(), [1], "a minute is not over");
    let before = once.snapshot();
    once.watermark(at(60)).expect("advances");
    assert_eq!(once.value(7, |step| &step.seen).expect("reads"), None);
    let after = once.snapshot();
    let mut once = before.restore(Once::open);
    assert_eq!(once.value(7, |step| &step.seen).expect("reads"), Some(1));
    let mut once = after.restore(Once::open);
    once.push(7, 3, at(61)).expect("processes");
    assert_eq!(once.take(), [3]);
    assert_eq!(once.state_size("seen"), 1);
    (121..130).for_each(|moment| once.watermark(at(moment)).expect("advances"));
    assert_eq!(once.state_size("seen"), 0, "it was swept");
}

#[test]
fn a_late_record_does_not_shorten_a_life() {
    let mut once = Harness::open(Once::open);
    once.push(7, 1, at(100)).expect("processes");
    let write = |once: &mut Harness<Once>, item| {
        once.with(7, |step, ctx| step.seen.set(ctx, item)).expect("writes");
    };
    once.watermark(at(90)).expect("advances");
    write(&mut once, 2);
    once.watermark(at(159)).expect("advances");
    assert_eq!(once.value(7, |step| &step.seen).expect("reads"), Some(2));
    once.watermark(at(160)).expect("advances");
    assert_eq!(once.value(7, |step| &step.seen).expect("reads"), None);
}

#[test]
fn the_wall_clock_counts_where_one_says_so() {
    let mut once = Harness::open(Once::by_wall_clock);
    once.processing_time(at(1000)).expect("advances");
    once.push(7, 1, at(0)).expect("processes");
    once.watermark(at(500_000)).expect("advances");
    once.push(7, 2, at(0)).expect("processes");
    once.processing_time(at(1060)).expect("advances");
    once.push(7, 3, at(0)).expect("processes");
    assert_eq!(once.take(), [1, 3]);
    once.processing_time(at(10)).expect("advances");
    once.push(7, 4, at(0)).expect("processes");
    assert!(once.take().is_empty(), "a clock that goes back ends nothing");
}

/// Tells at each timer what it holds.
struct Told {
    list: ListState<i64>,
    map: MapState<i64, i64>,
}

impl Told {
    fn open(op: &mut Declare<u64>) -> Told {
        let ttl = Ttl::since_write(secs(10));
        Told { list: op.ttl(ttl).list("list"), map: op.ttl(ttl).map("map") }
    }
}

impl ProcessFunction for Told {
    type Key = u64;
    type In = i64;
    type Out = (Timestamp, Vec<i64>, Vec<i64>);

    fn process(&mut self, item: i64, ctx: &mut Context<u64, Self::Out>) -> Result<()> {
        let at = ctx.timestamp();
        ctx.set_timer(at + secs(9));
        ctx.set_timer(at + secs(10));
        self.list.push(ctx, item)?;
        self.map.insert(ctx, item, item).map(drop)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, Self::Out>) -> Result<()> {
        let list = self.list.iter(ctx)?.copied().collect();
        let map = self.map.iter(ctx)?.map(|(item, _)| *item).collect();
        ctx.emit((timer.at, list, map));
        Ok(())
    }
}

#[test]
fn a_timer_sees_what_was_there_at_its_moment_however_far_the_watermark_jumps() {
    let mut told = Harness::open(Told::open);
    told.push(7, 1, at(0)).expect("processes");
    told.push(7, 2, at(5)).expect("processes");
    told.watermark(Timestamp::MAX).expect("fires");
    let of = |moment: i64, items: &[i64]| (at(moment), items.to_vec(), items.to_vec());
    assert_eq!(told.take(), [of(9, &[1, 2]), of(10, &[2]), of(14, &[2]), of(15, &[])]);
}
