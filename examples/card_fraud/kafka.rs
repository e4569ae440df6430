//! The same card fraud, from Kafka to Kafka: transactions in, alerts out, each exactly once for
//! readers of committed records.
//!
//! `KAFKA_BROKERS=host:port cargo run --release --features kafka --example card_fraud_kafka run`;
//! `fill.rs` beside this fills the topic `transactions`. `cargo xtask demo --kafka` does it all,
//! broker included.
mod fraud;
mod transactions;

use riverrun::connectors::kafka::{End, Kafka};
use riverrun::prelude::*;
use transactions::Transaction;

/// `--set to_end=true`: ends with the transactions that are there, instead of waiting for more.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    to_end: bool,
}

fn main() -> ExitCode {
    riverrun::main("card-fraud-kafka", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let Settings { to_end } = job.settings()?;
    let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| "localhost:9092".to_owned());
    let kafka = Kafka::brokers(&brokers);

    let transactions = kafka
        .read_json::<Transaction>("transactions")
        .until(if to_end { End::Latest } else { End::Never })
        .event_time(|tx| tx.at, Watermarks::bounded_out_of_orderness(secs(5)));
    let found = fraud::find(job.source("transactions", transactions));
    let card = |spend: &Windowed<u64, fraud::Spend>| spend.key.to_string();
    found.suspicions.sink("suspicions", kafka.write_json("suspicions").key(card));
    found.travel.sink("travel", kafka.write_json("travel"));
    found.truth.sink("truth", kafka.write_json("truth"));
    Ok(())
}
