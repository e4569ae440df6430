//! Fills a Kafka topic with the transactions of the card fraud example, keyed by card: as many as
//! `--set events=N`, at `--set rate=N` a second, into the topic `--set out=NAME`.
mod generator;
mod transactions;

use generator::{Settings, generated};
use riverrun::connectors::kafka::Kafka;
use riverrun::prelude::*;
use transactions::Transaction;

fn main() -> ExitCode {
    riverrun::main("card-fraud-fill", pipeline)
}

fn pipeline(job: &Job) -> Result<()> {
    let settings: Settings = job.settings()?;
    let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| "localhost:9092".to_owned());
    let topic = Kafka::brokers(&brokers).write_json::<Transaction>(&settings.out);
    let transactions = job.source("transactions", generated(&settings));
    transactions.sink("topic", topic.key(|tx| tx.card.to_string()));
    Ok(())
}
