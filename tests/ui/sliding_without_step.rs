//! A sliding window that does not say how often.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let _windows = transactions.key_by(|tx| tx.card).window(Sliding::of(secs(60)));
}

fn main() {}
