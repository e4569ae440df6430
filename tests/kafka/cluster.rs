//! One broker for all tests of this process, one test at a time, and what tests do to its topics.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use riverrun::connectors::kafka::Kafka;
use xtask::kafka::Broker;

use crate::rig::broker;

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The broker, held by one test: what one measures must not be another's doing.
pub(crate) struct Cluster(MutexGuard<'static, Broker>);

pub(crate) type Record<'a> = BaseRecord<'a, [u8], [u8]>;

impl Cluster {
    pub(crate) fn take() -> Cluster {
        static BROKER: OnceLock<Mutex<Broker>> = OnceLock::new();
        let start = || Mutex::new(broker(&[]));
        // A test that failed leaves the broker as any other does.
        Cluster(BROKER.get_or_init(start).lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn broker(&mut self) -> &mut Broker {
        &mut self.0
    }

    pub(crate) fn kafka(&self) -> Kafka {
        Kafka::brokers(&self.0.address().to_string())
    }

    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        self.0.create_topic(topic, partitions, &[]).expect("a topic");
    }

    pub(crate) fn delete(&self, topic: &str) {
        self.0.delete_topic(topic).expect("is deleted");
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.address().to_string());
        config
    }

    pub(crate) fn producer(&self) -> Sender {
        Sender(self.config().create().expect("a producer"))
    }

    pub(crate) fn transactions(&self, id: &str) -> Sender {
        let producer: BaseProducer =
            self.config().set("transactional.id", id).create().expect("a producer");
        producer.init_transactions(LIMIT).expect("is initialised");
        Sender(producer)
    }

    fn admin<R>(
        &self,
        work: impl AsyncFnOnce(&AdminClient<DefaultClientContext>, &AdminOptions) -> R,
    ) -> R {
        let admin: AdminClient<DefaultClientContext> = self.config().create().expect("a client");
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(work(&admin, &options))
    }

    /// Gives the topic more partitions, `partitions` in all.
    pub(crate) fn grow(&self, topic: &str, partitions: usize) {
        self.admin(async |admin, options| {
            let more = NewPartitions::new(topic, partitions);
            let done = admin.create_partitions([&more], options).await.expect("answers");
            done.into_iter().for_each(|topic| drop(topic.expect("grows")));
        });
    }

    /// What the group has of partition 0 of `topic`.
    pub(crate) fn group_offset(&self, group: &str, topic: &str) -> Option<i64> {
        let consumer: BaseConsumer =
            self.config().set("group.id", group).create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let told = consumer.committed_offsets(asked, LIMIT).expect("answers");
        told.elements().first().and_then(|element| element.offset().to_raw())
    }

    /// Deletes the records before `offset`.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("legal");
        self.admin(async |admin, options| {
            admin.delete_records(&before, options).await.expect("deletes");
        });
    }
}

/// A producer that waits for room.
pub(crate) struct Sender(BaseProducer);

impl Sender {
    pub(crate) fn send(&self, record: Record<'_>) {
        let mut record = record;
        while let Err((error, back)) = self.0.send(record) {
            let full =
                error.rdkafka_error_code() == Some(rdkafka::error::RDKafkaErrorCode::QueueFull);
            assert!(full, "{error}");
            self.0.poll(Duration::from_millis(10));
            record = back;
        }
    }

    /// Sends these numbers as JSON.
    pub(crate) fn numbers(&self, topic: &str, partition: i32, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let (value, key) = (n.to_string(), n.to_be_bytes());
            let record = Record::to(topic).partition(partition).payload(value.as_bytes());
            self.send(record.key(&key[..]));
        }
    }

    pub(crate) fn flush(&self) {
        self.0.flush(LIMIT).expect("is delivered");
    }

    /// What `send` sends, in one transaction.
    pub(crate) fn transaction(&self, commit: bool, send: impl FnOnce(&Sender)) {
        self.0.begin_transaction().expect("begins");
        send(self);
        self.flush();
        match commit {
            true => self.0.commit_transaction(LIMIT).expect("commits"),
            false => self.0.abort_transaction(LIMIT).expect("aborts"),
        }
    }

    pub(crate) fn begin(&self) {
        self.0.begin_transaction().expect("begins");
    }

    pub(crate) fn abort(&self) {
        self.0.abort_transaction(LIMIT).expect("aborts");
    }
}

/// Waits until `met`.
pub(crate) fn await_that(what: &str, met: impl Fn() -> bool) {
    let began = Instant::now();
    while !met() {
        assert!(began.elapsed() < LIMIT, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
