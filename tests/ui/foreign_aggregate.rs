//! An aggregate of other items.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Spend(u64);

impl Aggregate<String> for Spend {
    fn add(&mut self, _: &String) {}
    fn merge(&mut self, _: Spend) {}
}

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    let windows = transactions.key_by(|tx| tx.card).window(Tumbling::of(secs(60)));
    let _spend = windows.aggregate::<Spend>("spend");
}

fn main() {}
