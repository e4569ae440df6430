//! `cargo xtask demo --kafka`: the same, from Kafka to Kafka, on a broker of its own.
//!
//! 1. Build the examples; start a broker; make the topics.
//! 2. Run `card_fraud` undisturbed on files: what must come out.
//! 3. Fill the topic `transactions` at a steady rate, by a job of its own.
//! 4. Meanwhile run `card_fraud_kafka` on two subtasks, and kill it (SIGKILL) halfway.
//! 5. When the topic is full, restore it on three subtasks, to the topic's end.
//! 6. Read the alerts with Kafka's own consumer, committed records only, and compare.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use xtask::kafka::{Broker, BrokerOptions, Until};

use super::Options;
use super::compare::Difference;
use super::job::{self, Job, Shown};
use super::truth;
use crate::cargo;
use crate::say::Progress;
use crate::tools;

/// How long the consumer may take to read the alerts.
const READ: Duration = Duration::from_secs(120);
const EXAMPLES: [&str; 3] = ["card_fraud", "card_fraud_kafka", "card_fraud_fill"];
const OUTPUT: [&str; 3] = ["suspicions", "travel", "truth"];

/// Runs the demo; whether the verdict is exact.
pub(super) fn run(options: &Options, progress: &Progress) -> Result<bool> {
    tools::ensure(&tools::KAFKA, progress)?;
    progress.say("building the jobs for speed; the first build compiles librdkafka, some minutes");
    let [files, fraud, filler] = cargo::build_examples(EXAMPLES, "kafka")?;
    let folder = cargo::target().join("demo-kafka");
    super::clear(&folder)?;

    progress.say("starting a Kafka broker; the first time Maven fetches its jars");
    let broker = Broker::start(&BrokerOptions::default())?;
    let address = broker.address().to_string();
    broker.create_topic("transactions", 3, &[])?;
    for topic in OUTPUT {
        broker.create_topic(topic, 2, &[])?;
    }
    progress.say(&format!("it answers at {address}"));

    let calm = Job::new(&files, &folder.join("undisturbed"), options, 0)?;
    progress.say(&format!("undisturbed run on files over {} transactions", options.events));
    calm.run(1, Shown::No)?;
    let expected = calm.lines()?;
    progress.say(&format!("it wrote {} lines: what must come out", expected.len()));

    let rate = options.rate;
    progress.say(&format!("filling the topic, {rate} a second; the job reads it on 2 subtasks"));
    let fill = Job::bare(&filler, &folder.join("fill"))?.set("out=transactions");
    let fill = fill.generating(options, rate).env("KAFKA_BROKERS", &address);
    let filling = fill.start(1, Shown::No)?;
    let live = Job::bare(&fraud, &folder.join("live"))?.env("KAFKA_BROKERS", &address);
    let half = Duration::from_millis(options.events.saturating_mul(500) / rate.max(1));
    let killed = live.run_for_and_kill(2, half);
    job::end(filling).context("filling the topic")?;
    killed?;
    progress.say("KILLED (SIGKILL); the topic is full now; restoring on 3 subtasks");
    let live = live.set("to_end=true");
    live.run(3, Shown::Yes)?;
    progress.say("the restored run came to its end; reading with Kafka's own consumer");

    keep(&broker, live.output())?;
    let difference = Difference::between(&expected, &live.lines()?);
    let score = truth::score(live.output())?;
    super::report(&difference, &score, &live, progress);
    Ok(difference.is_exact())
}

/// Writes what readers of committed records see into files, a folder a topic.
fn keep(broker: &Broker, output: &Path) -> Result<()> {
    for topic in OUTPUT {
        let records = broker.consume_committed(topic, Until::End, READ)?;
        let lines = records.iter().filter_map(|record| record.value_text());
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        let folder = output.join(topic);
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("committed.jsonl"), lines))
            .with_context(|| format!("cannot write below {}", folder.display()))?;
    }
    Ok(())
}
