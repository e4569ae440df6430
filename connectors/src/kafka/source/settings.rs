//! What is read, from where and to where: values without I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use riverrun_engine::bad::OnBad;
use riverrun_engine::time::Timestamp;
use riverrun_kafka::cluster::Isolation;

use super::error::KafkaSourceError;

/// Bytes of records that librdkafka holds for one subtask, unless said otherwise.
const BUFFER_BYTES: u64 = 16 * 1024 * 1024;
/// How often new partitions are looked for, unless said otherwise.
const DISCOVER_EVERY: Duration = Duration::from_secs(60);

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// Which topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches this regular expression, also those that are created later.
    /// Names that begin with `__`, topics of drills, and the job's own commit topic never match.
    Matching(String),
}

impl Topics {
    /// All topics whose whole name matches the regular expression `pattern`.
    #[must_use]
    pub fn matching(pattern: &str) -> Self {
        Topics::Matching(pattern.to_owned())
    }

    /// What is wrong with them; the pattern, if they are one.
    pub(super) fn check(&self) -> Result<Option<Regex>, KafkaSourceError> {
        let refuse = |reason: String| Err(KafkaSourceError::Setting { reason });
        match self {
            Topics::Named(names) if names.is_empty() => {
                refuse("a Kafka source needs a topic: name one".to_owned())
            }
            Topics::Named(names) => match names.iter().find(|name| !is_name(name)) {
                Some(name) => refuse(format!(
                    "'{name}' is no name of a topic: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'; \
                     for several topics write `[\"a\", \"b\"]` or `Topics::matching(..)`"
                )),
                None => Ok(None),
            },
            Topics::Matching(pattern) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(regex) => Ok(Some(regex)),
                Err(error) => refuse(format!("'{pattern}' is no regular expression: {error}")),
            },
        }
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&name.len()) && name.chars().all(legal) && name != "." && name != ".."
}

impl From<&str> for Topics {
    fn from(name: &str) -> Self {
        Topics::Named(vec![name.to_owned()])
    }
}

impl From<String> for Topics {
    fn from(name: String) -> Self {
        Topics::Named(vec![name])
    }
}

impl From<Vec<String>> for Topics {
    fn from(names: Vec<String>) -> Self {
        Topics::Named(names)
    }
}

impl<const N: usize> From<[&str; N]> for Topics {
    fn from(names: [&str; N]) -> Self {
        Topics::Named(names.map(str::to_owned).to_vec())
    }
}

/// Where a first start begins. A checkpoint always goes before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is there.
    #[default]
    Earliest,
    /// Behind what is there: at records to come.
    Latest,
    /// At the first record of each partition with this timestamp or a later one; behind the last,
    /// if there is none.
    Timestamp(Timestamp),
    /// At these offsets, one for every partition.
    Offsets(Offsets),
}

/// Where the source ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Nowhere.
    #[default]
    Never,
    /// Where each partition ends when the job first starts.
    Latest,
    /// Before these offsets; partitions without one are not read.
    Offsets(Offsets),
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) topics: Topics,
    pub(super) start: Start,
    pub(super) end: End,
    pub(super) on_bad: OnBad,
    pub(super) isolation: Isolation,
    pub(super) discover_every: Duration,
    pub(super) buffer_bytes: u64,
}

impl Settings {
    pub(super) fn new(topics: Topics) -> Self {
        Settings {
            topics,
            start: Start::default(),
            end: End::default(),
            on_bad: OnBad::default(),
            isolation: Isolation::default(),
            discover_every: DISCOVER_EVERY,
            buffer_bytes: BUFFER_BYTES,
        }
    }

    pub(super) fn is_bounded(&self) -> bool {
        self.end != End::Never
    }

    pub(super) fn check(&self) -> Result<(), KafkaSourceError> {
        self.topics.check()?;
        let refuse = |reason: String| Err(KafkaSourceError::Setting { reason });
        if self.discover_every.is_zero() {
            return refuse(
                "`.discover_every(0)` never stops looking: write a second or more".into(),
            );
        }
        if self.buffer_bytes < 1024 * 1024 {
            return refuse("`.buffer_bytes(..)` must have room for 1 MiB at least".to_owned());
        }
        let below = |offsets: &Offsets| offsets.iter().find(|(_, offset)| **offset < 0).is_some();
        let (Start::Offsets(start), End::Offsets(end)) = (&self.start, &self.end) else {
            let negative = matches!(&self.start, Start::Offsets(offsets) if below(offsets))
                || matches!(&self.end, End::Offsets(offsets) if below(offsets));
            return match negative {
                true => refuse("offsets are 0 or more".to_owned()),
                false => Ok(()),
            };
        };
        match start.iter().find(|(at, offset)| end.get(at).is_some_and(|end| end < offset)) {
            Some(((topic, number), offset)) => {
                refuse(format!("{topic}/{number} is to be read from {offset}, behind its end"))
            }
            None if below(start) || below(end) => refuse("offsets are 0 or more".to_owned()),
            None => Ok(()),
        }
    }
}
