//! A changed job: what restores, what is refused, and how one says that it is meant.

use riverrun::connectors::memory::{MemoryOutput, MemorySource};
use riverrun::engine::graph::Uid;
use riverrun::prelude::*;
use riverrun::runtime::control::CommandKind;

use crate::world::World;

struct Keep<V> {
    last: ValueState<V>,
    next: fn(Option<V>, u64) -> V,
    show: fn(&V) -> String,
}

impl<V: Data> ProcessFunction for Keep<V> {
    type Key = u64;
    type In = u64;
    type Out = String;

    fn process(&mut self, n: u64, ctx: &mut Context<u64, String>) -> Result<()> {
        let next = (self.next)(self.last.take(ctx)?, n);
        let shown = (self.show)(&next);
        self.last.set(ctx, next)?;
        ctx.emit(shown);
        Ok(())
    }
}

type Input = MemorySource<u64>;
type Out = MemoryOutput<String>;

fn numbers(job: &Job, input: &Input, uid: &str, formerly: Option<&str>, out: &Out) {
    let keep = |op: &mut Declare<u64>| Keep::<u64> {
        last: op.value("last"),
        next: |last, n| last.unwrap_or(0) + n,
        show: |v| format!("{v}"),
    };
    let kept = job.source("in", input.clone()).key_by(|n| n % 2).process(uid, keep);
    let kept = match formerly {
        Some(old) => kept.formerly(old),
        None => kept,
    };
    kept.sink("out", out.sink());
}

fn texts(job: &Job, input: &Input, migrates: bool, out: &Out) {
    let keep = move |op: &mut Declare<u64>| {
        let last = op.value("last");
        if migrates {
            op.migrate(&last, |old: u64| format!("migrated {old}"));
        }
        let next = |last: Option<String>, n| format!("{} + {n}", last.unwrap_or_default());
        Keep::<String> { last, next, show: String::clone }
    };
    job.source("in", input.clone()).key_by(|n| n % 2).process("keep", keep).sink("out", out.sink());
}

/// A world with a checkpoint of `numbers` under the uid `keep` after 0, 1, 2, 3; then 4 and 5 wait.
fn stopped() -> (World, Input, Out) {
    let (world, out) = (World::new(), Out::new());
    let (input, live) = MemorySource::live(1);
    (0..4).for_each(|n| live.push(0, n));
    let stop = CommandKind::Stop { savepoint: false };
    let pause = std::time::Duration::from_millis(250);
    let ended = world.run_and_order(|job| numbers(job, &input, "keep", None, &out), stop, pause);
    ended.expect("it stops");
    [4, 5].into_iter().for_each(|n| live.push(0, n));
    live.close();
    (world, input, out)
}

fn last_two(out: &Out) -> Vec<String> {
    let items = out.items();
    let mut last: Vec<String> = items[items.len() - 2..].to_vec();
    last.sort();
    last
}

#[test]
fn a_rename_is_said() {
    let (world, input, out) = stopped();
    let error = world.error(|job| numbers(job, &input, "kept", None, &out));
    for part in ["RR0101", "keep/last", ".formerly(\"keep\")", "--drop-state keep/last"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    world.run(|job| numbers(job, &input, "kept", Some("keep"), &out)).expect("it goes on");
    assert_eq!(last_two(&out), ["6", "9"]);
}

#[test]
fn state_is_given_up_only_by_name() {
    let (mut world, input, out) = stopped();
    for state in ["last", "#event-timers", "#processing-timers"] {
        world.options.drop_state.insert((Uid::new("keep"), state.to_owned()));
    }
    world.run(|job| numbers(job, &input, "kept", None, &out)).expect("it begins empty");
    assert_eq!(last_two(&out), ["4", "5"]);
}

#[test]
fn a_changed_type_is_refused_with_both_and_migrates() {
    let (world, input, out) = stopped();
    let error = world.error(|job| texts(job, &input, false, &out));
    for part in ["RR0102", "keep/last", "u64", "String", "migrate"] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
    world.run(|job| texts(job, &input, true, &out)).expect("it migrates");
    assert_eq!(last_two(&out), ["migrated 2 + 4", "migrated 4 + 5"]);
}

#[test]
fn a_source_that_is_gone_is_refused() {
    let (world, _, out) = stopped();
    let other = MemorySource::new(vec![vec![1]]);
    let error = world.error(|job| {
        let keep = |op: &mut Declare<u64>| Keep::<u64> {
            last: op.value("last"),
            next: |_, n| n,
            show: |v| format!("{v}"),
        };
        let keyed = job.source("other", other.clone()).key_by(|n| n % 2);
        keyed.process("keep", keep).sink("out", out.sink());
    });
    assert!(error.contains("RR0101") && error.contains("in/#splits"), "{error}");
}
