//! A key without equality.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let _keyed = transactions.key_by(|tx| tx.rate);
}

fn main() {}
