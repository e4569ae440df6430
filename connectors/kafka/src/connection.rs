//! Where the cluster is and how to log in: properties of librdkafka, some of them secret.
//!
//! Invariants: a secret is read when a client is made, from its file or the environment, and is
//! never shown. What exactly-once stands on is set by the engine; a user who sets it is told so.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;
use thiserror::Error;

/// What the engine sets itself, and why.
const OURS: [(&str, &str); 18] = [
    ("transactional.id", "the job's name and the slot are the id: it fences earlier attempts"),
    ("enable.idempotence", "without it a retry would double records"),
    ("acks", "exactly-once needs `all`"),
    ("request.required.acks", "exactly-once needs `all`"),
    ("max.in.flight", "more than five would reorder records"),
    ("max.in.flight.requests.per.connection", "more than five would reorder records"),
    ("transaction.timeout.ms", "set it with `transaction_timeout(..)` of the sink"),
    ("message.timeout.ms", "it follows the transaction timeout"),
    ("delivery.timeout.ms", "it follows the transaction timeout"),
    ("enable.gapless.guarantee", "the transaction does more"),
    ("delivery.report.only.error", "the engine reads the reports"),
    ("enable.auto.commit", "offsets belong to checkpoints"),
    ("auto.commit.enable", "offsets belong to checkpoints"),
    ("enable.auto.offset.store", "offsets belong to checkpoints"),
    ("auto.offset.reset", "an offset that is gone is an error, never another offset"),
    ("isolation.level", "set it with `.uncommitted()` of the source"),
    ("group.protocol", "partitions are assigned by the job, not by a group"),
    ("enable.partition.eof", "the engine needs to know when it has caught up"),
];

/// What is secret whoever sets it: shown as `***`.
const SECRET: [&str; 8] = [
    "password",
    "secret",
    "key.pem",
    "key.password",
    "sasl.username",
    "token",
    "jaas",
    "credential",
];

/// A setting that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConnectionError {
    /// Set by the engine.
    #[error("RR0701: the Kafka property '{name}' is the engine's to set: {why}")]
    Ours {
        /// The property.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// Unknown, or a value it does not take.
    #[error("RR0702: librdkafka refuses the property '{name}': {reason}")]
    Refused {
        /// The property.
        name: String,
        /// What it says.
        reason: String,
    },
    /// A secret that cannot be read.
    #[error("RR0703: the secret for '{name}' cannot be read from {place}: {reason}")]
    Secret {
        /// The property.
        name: String,
        /// The file or variable.
        place: String,
        /// Why.
        reason: String,
    },
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Plain(String),
    File(PathBuf),
    Env(String),
}

/// How to reach a cluster. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    brokers: String,
    properties: BTreeMap<String, Value>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Connection");
        shown.field("brokers", &self.brokers);
        for (name, value) in &self.properties {
            match value {
                Value::Plain(_) if is_secret(name) => shown.field(name, &"***"),
                Value::Plain(value) => shown.field(name, value),
                Value::File(path) => shown.field(name, &format_args!("from file {path:?}")),
                Value::Env(name) => shown.field(name, &format_args!("from variable {name}")),
            };
        }
        shown.finish()
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|part| name.contains(part))
}

impl Connection {
    /// A cluster by some of its brokers: `host:port`, separated by commas.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        Connection { brokers: brokers.to_owned(), properties: BTreeMap::new() }
    }

    /// The brokers, as given.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Sets a property of librdkafka. Later ones win.
    #[must_use]
    pub fn property(self, name: &str, value: &str) -> Self {
        self.with(name, Value::Plain(value.to_owned()))
    }

    /// Sets a property to what a file says, without the line's end.
    #[must_use]
    pub fn property_from_file(self, name: &str, path: impl Into<PathBuf>) -> Self {
        self.with(name, Value::File(path.into()))
    }

    /// Sets a property to what an environment variable says.
    #[must_use]
    pub fn property_from_env(self, name: &str, variable: &str) -> Self {
        self.with(name, Value::Env(variable.to_owned()))
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.properties.insert(name.to_owned(), value);
        self
    }

    /// What can be said without a cluster: properties that are the engine's or that librdkafka does
    /// not know, secrets that cannot be read.
    ///
    /// # Errors
    /// The first of them.
    pub fn check(&self) -> Result<(), ConnectionError> {
        self.config().map(drop)
    }

    /// The settings of a client: the engine's `base` is added by the caller.
    pub(crate) fn config(&self) -> Result<ClientConfig, ConnectionError> {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == name) {
                return Err(ConnectionError::Ours { name: name.clone(), why });
            }
            let value = read(name, value)?;
            let mut alone = ClientConfig::new();
            alone.set(name, &value);
            if let Err(error) = alone.create_native_config() {
                let reason = match is_secret(name) {
                    true => "its value is not accepted".to_owned(),
                    false => error.to_string(),
                };
                return Err(ConnectionError::Refused { name: name.clone(), reason });
            }
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        Ok(config)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door to secrets")]
fn read(name: &str, value: &Value) -> Result<String, ConnectionError> {
    let failed = |place: String, reason: String| {
        Err(ConnectionError::Secret { name: name.to_owned(), place, reason })
    };
    match value {
        Value::Plain(value) => Ok(value.clone()),
        Value::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => failed(format!("the file '{}'", path.display()), error.to_string()),
        },
        Value::Env(variable) => match std::env::var(variable) {
            Ok(text) => Ok(text),
            Err(error) => failed(format!("the variable '{variable}'"), error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exactly_once_stands_on_is_refused_by_name() {
        for (name, _) in OURS {
            let error = Connection::new("localhost:1").property(name, "1").check();
            let error = error.expect_err("refused").to_string();
            assert!(error.contains(name) && error.contains("RR0701"), "{error}");
        }
        let unknown = Connection::new("x").property("no.such.thing", "1").check();
        assert!(unknown.expect_err("refused").to_string().contains("no.such.thing"));
        assert_eq!(Connection::new("x").property("client.id", "a").check(), Ok(()));
    }

    #[test]
    fn secrets_are_read_late_and_never_shown() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("password");
        let connection = Connection::new("x")
            .property("sasl.username", "hunter2")
            .property_from_file("sasl.password", &path);
        let error = connection.check().expect_err("not there").to_string();
        assert!(error.contains("RR0703") && error.contains("password"), "{error}");
        #[expect(clippy::disallowed_methods, reason = "a test's file")]
        std::fs::write(&path, "hunter2\n").expect("writes");
        let config = connection.config().expect("is read");
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
