//! An item that cannot be serialized.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

struct Plain;

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let _plain = transactions.map(|_| Plain);
}

fn main() {}
