//! A checkpoint of any parallelism restores at any other, with windows, sums, timers and side
//! outputs, from full segments and deltas: the committed output is that of one undisturbed run.

use riverrun::connectors::memory::{MemoryInput, MemoryOutput, MemorySource};
use riverrun::prelude::*;
use riverrun::runtime::control::{CommandKind, Control};

use crate::world::{World, await_running, give};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Found {
    Sum(u64, u64),
    Count(u64, i64, u64),
    Session(u64, i64, i64, u64),
    Reminder(u64, i64),
}

struct Remind {
    seen: MapState<u64, u64>,
    times: ListState<i64>,
}

impl Remind {
    fn open(op: &mut Declare<u64>) -> Remind {
        Remind { seen: op.map("seen"), times: op.list("times") }
    }
}

impl ProcessFunction for Remind {
    type Key = u64;
    type In = (u64, i64);
    type Out = Found;

    fn process(&mut self, (n, ms): (u64, i64), ctx: &mut Context<u64, Found>) -> Result<()> {
        *self.seen.or_default(ctx, &(n % 3))? += 1;
        self.times.push(ctx, ms)?;
        if n.is_multiple_of(5) {
            ctx.set_timer(Timestamp::from_millis(ms + 2_000));
        }
        if n.is_multiple_of(15) {
            ctx.delete_timer(Timestamp::from_millis(ms + 2_000));
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, Found>) -> Result<()> {
        let early = self.times.iter(ctx)?.filter(|ms| **ms <= timer.at.as_millis()).count();
        let kinds: u64 = self.seen.iter(ctx)?.map(|(_, n)| u64::from(*n > 0)).sum();
        let key = *ctx.key();
        ctx.emit(Found::Reminder(key * 1000 + kinds, timer.at.as_millis() + early as i64));
        Ok(())
    }
}

/// Item `n` of split `s`: key, number, time. Time rises within a split.
fn item(n: u64) -> (u64, i64) {
    (n, (n * 37) as i64)
}

fn pipeline(job: &Job, source: &MemorySource<(u64, i64)>, output: &MemoryOutput<Found>) {
    let clock = |item: &(u64, i64)| Timestamp::from_millis(item.1);
    let watermarks = Watermarks::bounded_out_of_orderness(secs(1)).without_wall_clock();
    let timed = source.clone().event_time(clock, watermarks);
    let items = job.source("items", timed);
    let keyed = items.key_by(|(n, _)| n % 17);
    let sums = keyed.clone().scan("sum", |sum: &mut u64, (n, _)| {
        *sum += n;
        (n % 17, *sum)
    });
    let counts = keyed.clone().window(Sliding::of(secs(3)).every(secs(1)));
    let counts = counts.aggregate::<Count>("count");
    let sessions = keyed.clone().window(Session::gap(millis(700))).aggregate::<Count>("sessions");
    let reminders = keyed.process("remind", Remind::open);
    let ms = |t: Timestamp| t.as_millis();
    sums.map(|(key, sum)| Found::Sum(key, sum)).sink("sums", output.sink());
    counts
        .map(move |w| Found::Count(w.key, ms(w.window.start), w.value.0))
        .sink("counts", output.sink());
    sessions
        .map(move |w| Found::Session(w.key, ms(w.window.start), ms(w.window.end), w.value.0))
        .sink("visits", output.sink());
    reminders.sink("reminders", output.sink());
}

const ITEMS: u64 = 600;

fn undisturbed() -> Vec<Found> {
    let output = MemoryOutput::new();
    let source = MemorySource::new(vec![(0..ITEMS).map(item).collect()]);
    World::new().at(1).run(|job| pipeline(job, &source, &output)).expect("it runs");
    sorted(&output)
}

fn sorted(output: &MemoryOutput<Found>) -> Vec<Found> {
    let mut items = output.items();
    items.sort();
    items
}

fn feed(input: &MemoryInput<(u64, i64)>, from: u64, to: u64) {
    (from..to).for_each(|n| input.push(0, item(n)));
}

#[test]
fn every_parallelism_restores_every_other() {
    let expected = undisturbed();
    for from in [1, 2, 3, 4, 7, 128] {
        for to in [1, 2, 5, 128] {
            if from.max(to) == 128 && from.min(to) > 2 {
                continue;
            }
            let output = MemoryOutput::new();
            let (source, input) = MemorySource::live(1);
            let world = World::new().at(from);
            let (control, orders) = Control::by_hand();
            let feeder = {
                let input = input.clone();
                std::thread::spawn(move || {
                    await_running(&orders);
                    for part in 0..6 {
                        feed(&input, part * 50, (part + 1) * 50);
                        std::thread::sleep(std::time::Duration::from_millis(25));
                    }
                    give(&orders, CommandKind::Stop { savepoint: false })
                })
            };
            world.start(|job| pipeline(job, &source, &output), control).0.expect("it stops");
            feeder.join().expect("it feeds").expect("it was stopped").expect("with a checkpoint");
            feed(&input, 300, ITEMS);
            input.close();
            let world = world.at(to);
            world.run(|job| pipeline(job, &source, &output)).expect("it restores and ends");
            let got = sorted(&output);
            let wrong = got.iter().zip(&expected).find(|(got, expected)| got != expected);
            assert_eq!(wrong, None, "from {from} to {to}");
            assert_eq!(got.len(), expected.len(), "from {from} to {to}");
        }
    }
}
