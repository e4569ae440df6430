//! A process function that is none.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

struct Velocity;

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let cards = transactions.key_by(|tx| tx.card);
    let _alerts = cards.process("velocity", |_: &mut Declare<u64>| Velocity);
}

fn main() {}
