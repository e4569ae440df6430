//! What is fraud, and how it is found: from transactions to alerts.

use riverrun::prelude::*;

use crate::transactions::Transaction;

/// What is found, and beside it what there was to find.
pub(crate) struct Found {
    /// Cards that spend too much.
    pub(crate) suspicions: Stream<Windowed<u64, Spend>>,
    /// Cards that are in two places.
    pub(crate) travel: Stream<Alert>,
    /// The fraud that was planted.
    pub(crate) truth: Stream<Truth>,
}

/// Finds the fraud among `transactions`.
pub(crate) fn find(transactions: Stream<Transaction>) -> Found {
    let cards = transactions.clone().key_by(|tx| tx.card);
    let spend = cards.clone().window(Sliding::of(secs(60)).every(secs(10)));
    let suspicions = spend
        .aggregate::<Spend>("spend")
        .filter(|spend| spend.value.count >= 5 && spend.value.cents > 200_000);
    let travel = cards.process("impossible-travel", Travel::open);
    let truth = transactions
        .filter(|tx| tx.fraud)
        .key_by(|tx| tx.card)
        .window(Session::gap(secs(20)))
        .aggregate::<Spend>("planted")
        .map(Truth::of);
    Found { suspicions, travel, truth }
}

/// What a card spent in a window.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Spend {
    /// How often.
    pub(crate) count: u64,
    /// How much.
    pub(crate) cents: i64,
}

/// The label of one planted fraud: the card, and the span of the thief's payments.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Truth {
    card: u64,
    from_ms: i64,
    to_ms: i64,
}

impl Truth {
    /// Of a session of the thief's payments, which ends a gap of 20 s after the last of them.
    pub(crate) fn of(planted: Windowed<u64, Spend>) -> Truth {
        let (from, to) = (planted.window.start, planted.window.end - secs(20));
        Truth { card: planted.key, from_ms: from.as_millis(), to_ms: to.as_millis() }
    }
}

impl Aggregate<Transaction> for Spend {
    fn add(&mut self, tx: &Transaction) {
        self.count += 1;
        self.cents += tx.cents;
    }
    fn merge(&mut self, other: Spend) {
        self.count += other.count;
        self.cents += other.cents;
    }
}

/// Remembers where a card paid last, for a minute.
struct Travel {
    last: ValueState<Transaction>,
}

/// A card that paid in two countries within a minute.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Alert {
    card: u64,
    at: Timestamp,
    from: u16,
    to: u16,
}

impl Travel {
    fn open(op: &mut Declare<u64>) -> Travel {
        Travel { last: op.value("last") }
    }
}

impl ProcessFunction for Travel {
    type Key = u64;
    type In = Transaction;
    type Out = Alert;

    fn process(&mut self, tx: Transaction, ctx: &mut Context<u64, Alert>) -> Result<()> {
        let last = self.last.get(ctx)?.filter(|last| last.country != tx.country);
        if let Some((from, at)) = last.map(|last| (last.country, last.at))
            && (tx.at - at).max(at - tx.at) < minutes(1)
        {
            ctx.emit(Alert { card: tx.card, at: tx.at, from, to: tx.country });
        }
        ctx.set_timer(tx.at + minutes(1));
        self.last.set(ctx, tx)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Context<u64, Alert>) -> Result<()> {
        let stale = self.last.get(ctx)?.is_some_and(|last| last.at + minutes(1) <= timer.at);
        if stale { self.last.clear(ctx) } else { Ok(()) }
    }
}
