//! The steps of the jobs that are drilled and simulated, and what they read. What each emits
//! depends on its key's events in their order only.

use riverrun::prelude::*;

/// What the jobs read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) key: u64,
    pub(crate) n: u64,
    pub(crate) at: Timestamp,
    pub(crate) value: u64,
}

/// Numbers the events of each key: 1, 2, 3 without a gap, with all their values so far.
pub(crate) struct Number {
    /// The text makes the state large enough to be worth a merge.
    seen: ValueState<(u64, u64, String)>,
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
    pub(crate) fn open(op: &mut Declare<u64>) -> Number {
        Number { seen: op.value("seen"), values: op.list("values") }
    }
}

impl ProcessFunction for Number {
    type Key = u64;
    type In = Event;
    type Out = Numbered;

    fn process(&mut self, event: Event, ctx: &mut Context<u64, Numbered>) -> Result<()> {
        let (number, sum, _) = self.seen.get(ctx)?.cloned().unwrap_or_default();
        let (number, sum) = (number + 1, sum + event.value);
        self.seen.set(ctx, (number, sum, format!("{sum:0>200}")))?;
        if number % LISTED == 0 {
            self.values.clear(ctx)?;
        }
        self.values.push(ctx, event.value)?;
        let listed = self.values.iter(ctx)?.copied().sum();
        ctx.emit(Numbered { key: event.key, number, n: event.n, sum, listed });
        Ok(())
    }
}

/// How long events of a key count as repetitions of the first, in milliseconds.
const SPAN_MS: u64 = 10_000;

/// The end of the span that begins with an event at `at`. Spans lie on a grid, so that the order of
/// events within a few seconds does not count.
pub(crate) fn span_end(at: Timestamp) -> Timestamp {
    let start = at.as_millis().cast_unsigned() / SPAN_MS * SPAN_MS;
    Timestamp::from_millis((start + SPAN_MS).cast_signed())
}

/// Lets the first event of a key through, and tells once its span is over how many repeated it.
pub(crate) struct Repeated {
    /// The end of the span, and how many were dropped in it.
    span: ValueState<(Timestamp, u64)>,
}

/// A span that is over.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Repetition {
    pub(crate) key: u64,
    pub(crate) until: Timestamp,
    pub(crate) dropped: u64,
    /// A timer without a span: there is none unless something is wrong.
    pub(crate) ghost: bool,
}

impl Repeated {
    pub(crate) fn open(op: &mut Declare<u64>) -> Repeated {
        Repeated { span: op.value("span") }
    }
}

impl ProcessFunction for Repeated {
    type Key = u64;
    type In = Event;
    type Out = Repetition;

    fn process(&mut self, event: Event, ctx: &mut Context<u64, Repetition>) -> Result<()> {
        let held = self.span.get(ctx)?.copied();
        let until = span_end(event.at);
        match held {
            Some((held, dropped)) if held >= until => self.span.set(ctx, (held, dropped + 1)),
            Some((held, dropped)) => {
                ctx.delete_timer(held);
                ctx.emit(Repetition { key: event.key, until: held, dropped, ghost: false });
                ctx.set_timer(until);
                self.span.set(ctx, (until, 0))
            }
            None => {
                ctx.set_timer(until);
                self.span.set(ctx, (until, 0))
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, Repetition>) -> Result<()> {
        let held = self.span.get(ctx)?.copied().filter(|(until, _)| *until == timer.at);
        let (key, dropped) = (*ctx.key(), held.map_or(0, |(_, dropped)| dropped));
        ctx.emit(Repetition { key, until: timer.at, dropped, ghost: held.is_none() });
        if held.is_some() {
            self.span.clear(ctx)?;
        }
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

/// Numbers the events of two inputs, each by itself, in one state.
pub(crate) struct Both {
    sides: MapState<bool, u64>,
}

impl Both {
    pub(crate) fn open(op: &mut Declare<u64>) -> Both {
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
