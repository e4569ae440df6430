//! A sink for other items.
use riverrun::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Tx {
    card: u64,
    rate: f64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Alert;

fn pipeline(transactions: riverrun::operators::Stream<Tx>) {
    transactions.sink("alerts", riverrun::connectors::memory::MemoryOutput::<Alert>::new().sink());
}

fn main() {}
