//! The job that is simulated, and its input. What it writes does not depend on how its input is
//! read: each key is in one split, in order, and nothing is late.

use std::path::Path;

use riverrun::connectors::memory::MemorySource;
use riverrun::prelude::*;

use crate::chance::Chance;

/// What the job reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) key: u64,
    pub(crate) n: u64,
    pub(crate) at: Timestamp,
    pub(crate) value: u64,
}

/// When the first event happened, in milliseconds.
const FIRST: u64 = 1_700_000_000_000;
/// An event comes at most so long after a later one, in milliseconds.
const DISORDER: u64 = 4_000;
/// Between two events of a split, in milliseconds.
const STEP: u64 = 250;

/// The outputs, and the folders that they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Output {
    /// The events as they are.
    All,
    /// A running number for each key.
    Numbers,
    /// Sums over windows of a minute.
    Tumbled,
    /// Sums over windows that overlap.
    Slid,
    /// Sums over sessions.
    Sat,
    /// Spans that timers close.
    Spans,
    /// Two inputs in one state.
    Pairs,
    /// Sums of a source without a clock.
    Totals,
}

impl Output {
    pub(crate) const ALL: [Output; 8] = [
        Output::All,
        Output::Numbers,
        Output::Tumbled,
        Output::Slid,
        Output::Sat,
        Output::Spans,
        Output::Pairs,
        Output::Totals,
    ];

    pub(crate) fn folder(self) -> String {
        format!("/out/{self:?}").to_lowercase()
    }
}

/// Draws the events of each split.
pub(crate) fn events(chance: &mut Chance) -> Vec<Vec<Event>> {
    let splits = chance.within(1, 4);
    let keys = chance.of_these(&[1, 2, 5, 20, 60]);
    let longest = chance.of_these(&[20, 60, 120, 240]);
    let mut all = Vec::new();
    for split in 0..splits {
        let count = chance.within(0, longest);
        let event = |n: u64| {
            let key = split + splits * (chance.next() % keys);
            // Even, so that no two events are exactly a session's gap apart.
            let late = chance.within(0, DISORDER / 2) * 2;
            // Now and then nothing happens for long.
            let pauses = n / 40 * 20_000;
            let ms = FIRST + DISORDER + n * STEP + pauses - late;
            let value = chance.within(0, 99);
            Event { key, n, at: Timestamp::from_millis(ms.cast_signed()), value }
        };
        all.push((0..count).map(event).collect());
    }
    all
}

/// Where the events come from.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Memory(MemorySource<Event>),
    /// A folder with a file for each split.
    Folder(String),
}

fn watermarks() -> Watermarks {
    // Virtual hours may pass between two lives: nobody is idle for that.
    let watermarks = Watermarks::bounded_out_of_orderness(millis(DISORDER));
    watermarks.without_wall_clock().idle_after(hours(10_000))
}

/// Numbers the events of each key: 1, 2, 3 without a gap, with all their values so far.
struct Number {
    seen: ValueState<(u64, u64)>,
    values: ListState<u64>,
}

/// What it tells of each.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) key: u64,
    pub(crate) number: u64,
    pub(crate) n: u64,
    pub(crate) sum: u64,
    pub(crate) listed: u64,
}

/// After so many events of a key its list begins anew.
pub(crate) const LISTED: u64 = 8;

impl Number {
    fn open(op: &mut Declare<u64>) -> Number {
        Number { seen: op.value("seen"), values: op.list("values") }
    }
}

impl ProcessFunction for Number {
    type Key = u64;
    type In = Event;
    type Out = Numbered;

    fn process(&mut self, event: Event, ctx: &mut Context<u64, Numbered>) -> Result<()> {
        let (number, sum) = self.seen.get(ctx)?.copied().unwrap_or_default();
        let (number, sum) = (number + 1, sum + event.value);
        self.seen.set(ctx, (number, sum))?;
        if number % LISTED == 0 {
            self.values.clear(ctx)?;
        }
        self.values.push(ctx, event.value)?;
        let listed = self.values.iter(ctx)?.copied().sum();
        ctx.emit(Numbered { key: event.key, number, n: event.n, sum, listed });
        Ok(())
    }
}

/// Counts and sums.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) value: u64,
}

impl Aggregate<Event> for Sum {
    fn add(&mut self, event: &Event) {
        self.count += 1;
        self.value += event.value;
    }
    fn merge(&mut self, other: Sum) {
        self.count += other.count;
        self.value += other.value;
    }
}

/// How long a span is, in milliseconds.
const SPAN: u64 = 10_000;

/// The end of the span that begins with an event at `at`: on a grid.
pub(crate) fn span_end(at: Timestamp) -> Timestamp {
    let start = at.as_millis().cast_unsigned() / SPAN * SPAN;
    Timestamp::from_millis((start + SPAN).cast_signed())
}

/// Counts what follows the first event of a key until its span is over.
struct Spans {
    span: ValueState<(Timestamp, u64)>,
}

/// A span that is over.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) key: u64,
    pub(crate) until: Timestamp,
    pub(crate) more: u64,
    /// A timer without a span: there is none unless something is wrong.
    pub(crate) ghost: bool,
}

impl Spans {
    fn open(op: &mut Declare<u64>) -> Spans {
        Spans { span: op.value("span") }
    }
}

impl ProcessFunction for Spans {
    type Key = u64;
    type In = Event;
    type Out = Span;

    fn process(&mut self, event: Event, ctx: &mut Context<u64, Span>) -> Result<()> {
        let held = self.span.get(ctx)?.copied();
        let until = span_end(event.at);
        match held {
            Some((held, more)) if held >= until => return self.span.set(ctx, (held, more + 1)),
            Some((held, more)) => {
                ctx.delete_timer(held);
                ctx.emit(Span { key: event.key, until: held, more, ghost: false });
            }
            None => {}
        }
        ctx.set_timer(until);
        self.span.set(ctx, (until, 0))
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, Span>) -> Result<()> {
        let held = self.span.get(ctx)?.copied().filter(|(until, _)| *until == timer.at);
        let (key, more) = (*ctx.key(), held.map_or(0, |(_, more)| more));
        ctx.emit(Span { key, until: timer.at, more, ghost: held.is_none() });
        if held.is_some() {
            self.span.clear(ctx)?;
        }
        Ok(())
    }
}

/// Numbers the events of two inputs, each by itself, in one state.
struct Both {
    sides: MapState<bool, u64>,
}

impl Both {
    fn open(op: &mut Declare<u64>) -> Both {
        Both { sides: op.map("sides") }
    }

    fn count(&mut self, event: &Event, ctx: &mut Context<u64, (u64, bool, u64)>) -> Result<()> {
        let odd = event.value % 2 == 1;
        let number = self.sides.get(ctx, &odd)?.copied().unwrap_or_default() + 1;
        self.sides.insert(ctx, odd, number)?;
        ctx.emit((event.key, odd, number));
        Ok(())
    }
}

impl CoProcessFunction for Both {
    type Key = u64;
    type Left = Event;
    type Right = Event;
    type Out = (u64, bool, u64);

    fn process_left(&mut self, event: Event, ctx: &mut Context<u64, Self::Out>) -> Result<()> {
        self.count(&event, ctx)
    }

    fn process_right(&mut self, event: Event, ctx: &mut Context<u64, Self::Out>) -> Result<()> {
        self.count(&event, ctx)
    }
}

/// The gap that ends a session, in milliseconds: odd, as events are even.
pub(crate) const GAP: u64 = 2_001;

/// The job with these outputs.
pub(crate) fn pipeline(job: &Job, input: &Input, outputs: &[Output]) {
    match input {
        Input::Memory(source) => {
            if outputs.iter().any(|output| *output != Output::Totals) {
                let clocked = source.clone().event_time(|event: &Event| event.at, watermarks());
                timed(job.source("events", clocked), outputs);
            }
            if outputs.contains(&Output::Totals) {
                totals(job.source("plain", source.clone()));
            }
        }
        Input::Folder(folder) => {
            let source = || Files::json_lines::<Event>(Path::new(folder));
            if outputs.iter().any(|output| *output != Output::Totals) {
                let clocked = source().event_time(|event: &Event| event.at, watermarks());
                timed(job.source("events", clocked), outputs);
            }
            if outputs.contains(&Output::Totals) {
                totals(job.source("plain", source()));
            }
        }
    }
}

fn totals(events: Stream<Event>) {
    let totals = events.key_by(|event| event.key).scan("totals", |total: &mut u64, event| {
        *total += event.value;
        (event.key, *total)
    });
    totals.sink("totals-out", Files::write_json_lines(Output::Totals.folder()));
}

fn timed(events: Stream<Event>, outputs: &[Output]) {
    let to = |output: Output| Files::write_json_lines(output.folder());
    let keyed = || events.clone().key_by(|event| event.key);
    for output in outputs {
        match output {
            Output::All => drop(events.clone().sink("all", to(*output))),
            Output::Numbers => {
                drop(keyed().process("number", Number::open).sink("numbers", to(*output)));
            }
            Output::Tumbled => {
                let sums = keyed().window(Tumbling::of(secs(60))).aggregate::<Sum>("tumbling");
                drop(sums.sink("tumbled", to(*output)));
            }
            Output::Slid => {
                let windows = Sliding::of(secs(60)).every(secs(20));
                drop(keyed().window(windows).aggregate::<Sum>("sliding").sink("slid", to(*output)));
            }
            Output::Sat => {
                let windows = Session::gap(millis(GAP));
                drop(keyed().window(windows).aggregate::<Sum>("sessions").sink("sat", to(*output)));
            }
            Output::Spans => {
                drop(keyed().process("spans", Spans::open).sink("spanned", to(*output)));
            }
            Output::Pairs => {
                let side = |odd: u64| {
                    let events = events.clone().filter(move |event| event.value % 2 == odd);
                    events.key_by(|event| event.key)
                };
                let both = side(0).connect(side(1)).process("both", Both::open);
                drop(both.sink("pairs", to(*output)));
            }
            Output::Totals => {}
        }
    }
}
