//! Makes the topic of markers, or checks that it is as it must be.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::MarkerError;
use crate::connection::Connection;

type Admin = AdminClient<DefaultClientContext>;

/// How long one call to the broker may last.
const CALL: Duration = Duration::from_secs(5);
/// As many copies as the broker makes by default.
const BROKERS_DEFAULT: i32 = -1;

/// How the topic was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// It was there, and is as it must be.
    There,
    /// It was not there and was made.
    Made,
}

/// Makes `topic` unless it is there; checks that it has one partition and is compacted. Ends within
/// `limit`.
///
/// # Errors
/// When it cannot be made, or is not as it must be.
pub fn ensure(connection: &Connection, topic: &str, limit: Duration) -> Result<Topic, MarkerError> {
    let until = super::after(limit);
    let failed = |error: &KafkaError| MarkerError::of(topic, "looking for", error);
    let admin: Admin = connection.config()?.create().map_err(|error| failed(&error))?;
    let mut made = Topic::There;
    loop {
        let known = match admin.inner().fetch_metadata(Some(topic), CALL) {
            Ok(known) => known,
            Err(_) if !super::passed(until) => continue,
            Err(error) => return Err(failed(&error)),
        };
        let of_topic = known.topics().iter().find(|known| known.name() == topic);
        let (error, partitions) =
            of_topic.map_or((None, 0), |known| (known.error(), known.partitions().len()));
        match error.map(Code::from) {
            None if partitions == 1 => return compacted(&admin, topic).map(|()| made),
            None if partitions > 1 => {
                return Err(MarkerError::Shape {
                    topic: topic.to_owned(),
                    what: format!("has {partitions} partitions"),
                    remedy: "the order of markers needs exactly one; make it anew, compacted, \
                             before the first run",
                });
            }
            Some(code @ Code::TopicAuthorizationFailed) => {
                let reason = code.to_string();
                return Err(MarkerError::of_code(topic, "looking for", Some(code), reason));
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) if made == Topic::There => {
                make(&admin, topic)?;
                made = Topic::Made;
            }
            code if super::passed(until) => {
                let reason = code.map_or("no partitions yet".to_owned(), |code| code.to_string());
                return Err(MarkerError::of_code(topic, "looking for", code, reason));
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn make(admin: &Admin, topic: &str) -> Result<(), MarkerError> {
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(BROKERS_DEFAULT))
        .set("cleanup.policy", "compact");
    let made = block_on(admin.create_topics([&new], &options()));
    let made = made.map_err(|error| MarkerError::of(topic, "making", &error))?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != Code::TopicAlreadyExists => {
            Err(MarkerError::of_code(topic, "making", Some(code), code.to_string()))
        }
        _ => Ok(()),
    }
}

/// A topic that deletes would lose the newest marker of a job that rests.
fn compacted(admin: &Admin, topic: &str) -> Result<(), MarkerError> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let told = block_on(admin.describe_configs(&asked, &options()));
    let told =
        told.map_err(|error| MarkerError::of(topic, "asking for the settings of", &error))?;
    let policy = match told.into_iter().next() {
        Some(Ok(settings)) => settings.get("cleanup.policy").and_then(|entry| entry.value.clone()),
        Some(Err(code)) => {
            let doing = "asking for the settings of";
            return Err(MarkerError::of_code(topic, doing, Some(code), code.to_string()));
        }
        None => None,
    };
    let shape = |what: String, remedy| MarkerError::Shape { topic: topic.to_owned(), what, remedy };
    match policy.as_deref() {
        Some("compact") => Ok(()),
        Some(other) => Err(shape(
            format!("has cleanup.policy={other}"),
            "its records must never expire: set `cleanup.policy=compact`",
        )),
        // Without the right the broker answers with no entries, and no error.
        None => Err(shape(
            "does not show its settings".to_owned(),
            "give the job the right DESCRIBE_CONFIGS on it: a topic that deletes its records would \
             lose what is committed",
        )),
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL))
}
