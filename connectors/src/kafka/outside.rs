//! Findings that sources and sinks share: topics, rights, for how long records are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use riverrun_engine::outside::Finding;
use riverrun_kafka::cluster::{ClusterError, Right, Rights, Topic};

/// How long each question may take: whoever looks is a person.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// What a right is needed for.
pub(super) struct Needed<'a> {
    pub(super) brokers: &'a str,
    /// As Kafka's tool names it: `--topic orders`.
    pub(super) resource: String,
    pub(super) rights: &'a [Right],
}

impl Needed<'_> {
    /// The command that grants `rights`.
    pub(super) fn command(&self, rights: &[Right]) -> String {
        let operations: String =
            rights.iter().map(|right| format!(" --operation {right}")).collect();
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:NAME{operations} {}",
            self.brokers, self.resource
        )
    }

    /// Those which are missing, and how to grant them; `None` when all are there, or unknown.
    pub(super) fn missing(&self, told: &Rights) -> Option<(String, String)> {
        let told = told.as_ref()?;
        let missing: Vec<Right> =
            self.rights.iter().filter(|right| !told.contains(right)).copied().collect();
        if missing.is_empty() {
            return None;
        }
        let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
        let what = format!("missing right: {} on {}", names.join(", "), &self.resource[2..]);
        Some((what, self.command(&missing)))
    }
}

/// A question that was not answered as it must be; what was refused names the command that grants
/// it.
pub(super) fn refused(error: &ClusterError, needed: &[Needed<'_>]) -> Finding {
    let grants = matches!(error, ClusterError::Refused { .. } | ClusterError::NoTopic { .. });
    let commands = needed.iter().filter(|_| grants).map(|needed| needed.command(needed.rights));
    Finding::bad(error.to_string(), commands.collect::<Vec<_>>().join("\n"))
}

/// Whether everything in `needed` may be done with the topic.
pub(super) fn rights(topic: &Topic, brokers: &str, needed: &[Right]) -> Finding {
    let needed = Needed { brokers, resource: format!("--topic {}", topic.name), rights: needed };
    match needed.missing(&topic.rights) {
        Some((what, remedy)) => Finding::bad(what, remedy),
        None if topic.rights.is_none() => Finding::doubtful(
            format!("topic '{}': the broker does not tell what may be done with it", topic.name),
            format!("should the run be refused: {}", needed.command(needed.rights)),
        ),
        None => Finding::good(format!("topic '{}': rights are there", topic.name)),
    }
}

/// A topic whose settings are hidden: nothing is known of how it keeps its records.
pub(super) fn hidden(topic: &str, brokers: &str) -> Finding {
    let rights = &[Right::DescribeConfigs];
    let needed = Needed { brokers, resource: format!("--topic {topic}"), rights };
    let what = format!("topic '{topic}' does not show its settings: how long it keeps records, ..");
    Finding::doubtful(what, needed.command(rights))
}

/// For how long a topic keeps its records; `None`: for ever, or unknown.
pub(super) fn kept(settings: &BTreeMap<String, String>) -> Option<Duration> {
    let deletes = settings.get("cleanup.policy").is_none_or(|policy| policy.contains("delete"));
    let millis = settings.get("retention.ms")?.parse::<i64>().ok()?;
    let millis = u64::try_from(millis).ok().filter(|_| deletes)?;
    Some(Duration::from_millis(millis))
}

/// As people say it: `7 days`, `90 min`.
pub(super) fn said(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        172_800.. => format!("{} days", seconds / 86_400),
        7200.. => format!("{} h", seconds / 3600),
        120.. => format!("{} min", seconds / 60),
        1.. => format!("{seconds} s"),
        0 => format!("{} ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_kept_for_ever_has_no_end() {
        assert_eq!(kept(&settings(&[("retention.ms", "-1")])), None);
        assert_eq!(
            kept(&settings(&[("retention.ms", "60000"), ("cleanup.policy", "compact")])),
            None
        );
        let both = settings(&[("retention.ms", "60000"), ("cleanup.policy", "compact,delete")]);
        assert_eq!(kept(&both), Some(Duration::from_mins(1)));
        assert_eq!(said(Duration::from_secs(604_800)), "7 days");
        assert_eq!(said(Duration::from_secs(119)), "119 s");
    }

    #[test]
    fn each_missing_right_is_named_with_the_command_that_grants_it() {
        let rights = &[Right::Read, Right::Describe];
        let needed = Needed { brokers: "b:1", resource: "--topic t".into(), rights };
        let told = Some(BTreeSet::from([Right::Describe]));
        let (what, command) = needed.missing(&told).expect("one is missing");
        assert_eq!(what, "missing right: Read on topic t");
        assert_eq!(
            command,
            "kafka-acls.sh --bootstrap-server b:1 --add --allow-principal User:NAME --operation \
             Read --topic t"
        );
        assert_eq!(needed.missing(&None), None);
    }
}
