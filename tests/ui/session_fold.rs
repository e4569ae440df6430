//! A fold over sessions, which merge.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let sessions = transactions.key_by(|tx| tx.card).window(Session::gap(secs(60)));
    let _folded = sessions.fold("count", |count: &mut u64, _| *count += 1);
}

fn main() {}
