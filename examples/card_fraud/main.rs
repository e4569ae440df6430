//! Card fraud, found while it happens: a card that spends too much within a minute (sliding
//! window), and a card that pays in two countries within a minute (process function with state and
//! a timer).
//!
//! The transactions are synthetic; fraud is planted in them and labelled, so that `cargo xtask
//! demo` can tell how much of it was found: `cargo run --release --example card_fraud -- run`
mod transactions;

use riverrun::connectors::datagen::Datagen;
use riverrun::prelude::*;
use transactions::{Settings, Spend, Transaction, Truth, transaction};

fn main() -> ExitCode {
    riverrun::main("card-fraud", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { out, seed, events, rate } = job.settings()?;
    let folder = |name: &str| Files::write_json_lines(format!("{out}/{name}"));

    // One split, so that a card's transactions come in one order in every run.
    let generated = Datagen::new(transaction)
        .seed(seed)
        .count(events)
        .rate(rate)
        .event_time(|tx| tx.at, Watermarks::bounded_out_of_orderness(secs(5)));
    let transactions = job.source("transactions", generated);
    let cards = transactions.clone().key_by(|tx| tx.card);
    cards
        .clone()
        .window(Sliding::of(secs(60)).every(secs(10)))
        .aggregate::<Spend>("spend")
        .filter(|spend| spend.value.count >= 5 && spend.value.cents > 200_000)
        .sink("suspicions", folder("suspicions"));
    cards.process("impossible-travel", Travel::open).sink("travel", folder("travel"));
    transactions
        .filter(|tx| tx.fraud)
        .key_by(|tx| tx.card)
        .window(Session::gap(secs(20)))
        .aggregate::<Spend>("planted")
        .map(Truth::of)
        .sink("truth", folder("truth"));
    Ok(())
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

#[derive(Clone, Serialize, Deserialize)]
struct Alert {
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
